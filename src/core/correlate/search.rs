//! Where is the treatment's harm: the segments that explain it, one after the other.
//!
//! What is here: the search. Take the segment with the greatest gain among the significant ones, remove its rows, and
//! search again in what is left, until nothing is significant any more. What is not: what a segment is called.
//!
//! "Nothing concentrates this harm" is an answer: then there is no explanation.

use super::candidate::{Candidate, Predicate, candidates};
use super::chance::{binomial_tail, ln_p_segment};
use super::correction::Correction;
use super::counts::{Counts, Dispersion, Split};
use super::gain::gain;
use super::store::{Store, Sums};
use super::tally::Mix;

/// How a search is done.
#[derive(Debug, Clone, Copy)]
pub struct Search {
    /// Chance of any explanation where there is none.
    pub alpha: f64,
    /// Values of a segment: 1 or 2.
    pub order: usize,
    /// Explanations at the most.
    pub most: usize,
    /// Called now and then, so that the caller can end a long search by unwinding.
    pub pause: fn(),
    /// Asked before another explanation is looked for: is there time left.
    pub has_time: fn() -> bool,
}

impl Default for Search {
    fn default() -> Self {
        Self { alpha: 0.05, order: 2, most: 5, pause: || {}, has_time: || true }
    }
}

/// A pair, and every further explanation, is about at least this share of the excess.
const LEAST_SHARE: f64 = 0.05;
/// How far beyond the line, in nats, a segment's chance may be before its own dispersion is known: dispersion makes it
/// greater, but for the rounding of counts.
const SLACK: f64 = 2.0;
/// Up to here the control's dispersion is that of every segment; above, it is one of which subjects fail in series.
const CLUSTERED: f64 = 1.5;
/// A value with so many of a pair's events of the treatment may say what the pair says.
const MOST_EVENTS: f64 = 0.8;
/// Two segments that share so much of their rows and of their events are one under two names.
const SAME: f64 = 0.9;

/// A segment that explains harm.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Which rows.
    pub predicate: Predicate,
    /// Counts of the segment, among the rows that earlier explanations left; weighted where a ramp has stages.
    pub counts: Counts,
    /// The same as rows and events.
    pub rows: Counts,
    /// Counts of all rows that earlier explanations left.
    pub all: Counts,
    /// Its part of the whole excess; may be above 1 where the rest fares better than the control.
    pub share: f64,
    /// How much better it explains the events than "everywhere alike", in nats.
    pub gain: f64,
    /// log p, not yet multiplied by the number of tests.
    pub ln_p: f64,
    /// By how many its p is multiplied: the fewer, the more of the events are its own.
    pub tests: usize,
    /// By which counts were divided.
    pub dispersion: Dispersion,
    /// Segments of the same rows under other names.
    pub same_as: Vec<Predicate>,
    /// Values that looked significant before its rows were removed, and not after.
    pub goes_with: Vec<Predicate>,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Explanations, the strongest first.
    pub explanations: Vec<Explanation>,
    /// Segments that were tried.
    pub tests: usize,
    /// Counts of all rows.
    pub all: Counts,
    /// Dispersion of the control.
    pub control_dispersion: f64,
    /// Did the time end before the search did.
    pub is_cut: bool,
}

/// A candidate with its numbers.
#[derive(Debug, Clone)]
struct Weighed {
    candidate: Candidate,
    gain: f64,
    ln_p: f64,
    dispersion: Dispersion,
}

/// Rows that are still there, and what is known of them.
struct Round<'s> {
    store: &'s Store,
    rows: Vec<u32>,
    all: Counts,
    mix: Mix,
    control_dispersion: f64,
    /// By how much rates of the control's subjects differ (`Sums::heterogeneity`).
    heterogeneity: f64,
    pause: fn(),
}

impl<'s> Round<'s> {
    fn of_all(store: &'s Store, pause: fn()) -> Self {
        let rows: Vec<u32> = (0..store.len() as u32).collect();
        let [control, _] = store.sums(false, rows.iter().copied().take(store.first_treated()), |_| true);
        let (control_dispersion, heterogeneity) = (control.dispersion(), control.heterogeneity());
        let all = store.tallied(rows.iter().copied());
        Self { store, all: all.counts, mix: all.mix, rows, control_dispersion, heterogeneity, pause }
    }

    /// Some of the rows. The control's dispersion stays that of all: fewer rows would only tell it less exactly.
    fn part(&self, keep: impl Fn(u32) -> bool) -> Self {
        let rows: Vec<u32> = self.rows.iter().copied().filter(|at| keep(*at)).collect();
        let all = self.store.tallied(rows.iter().copied());
        Self { store: self.store, all: all.counts, mix: all.mix, rows, ..*self }
    }

    /// The dispersion that every segment has at least.
    fn least_dispersion(&self) -> f64 {
        self.control_dispersion.min(CLUSTERED)
    }

    /// By how much p-values of these candidates are corrected.
    fn correction(&self, list: &[Candidate], ln_alpha: f64) -> Correction {
        Correction::new(list, self.all, self.least_dispersion(), ln_alpha)
    }

    /// What the control's dispersion is in a part, of which the treatment's rows have this activity. How far events come in
    /// series grows with the events that a subject has: 1 + heterogeneity * (mean events of the subject of an event), with
    /// the rate of events that the part would have if it were harmed as all are. Not that of all the control where that is
    /// greater: one very active subject makes a dispersion of 60, which says nothing of a segment that it hardly has rows in.
    fn control_dispersion_in(&self, part: &Counts, activity: f64) -> f64 {
        if self.control_dispersion <= CLUSTERED {
            return self.control_dispersion;
        }
        let all = &self.all;
        let [rate_t, rate_c] = [all.e_t / all.n_t, all.e_c / all.n_c];
        let of_part = (part.e_c + rate_c) / (part.n_c + 1.0);
        let harmed = (of_part * (rate_t / rate_c).max(1.0)).max(of_part + (rate_t - rate_c).max(0.0));
        (1.0 + self.heterogeneity * harmed * activity).clamp(CLUSTERED, self.control_dispersion)
    }

    /// Dispersions of a segment and the rest: of the control, or the treatment's own where that is greater (the treatment
    /// as a whole would not do: the harm itself inflates it).
    fn dispersion(&self, candidate: &Candidate) -> Dispersion {
        let predicate = &candidate.predicate;
        let first = self.store.first_treated() as u32;
        let treated = &self.rows[self.rows.partition_point(|at| *at < first)..];
        let rows = treated.iter().copied();
        let [inside, outside] = match predicate.0.as_slice() {
            [(attribute, code)] => {
                let column = self.store.column(*attribute);
                self.store.sums(true, rows, |at| column[at as usize] == *code)
            }
            [(a, code_a), (b, code_b)] => {
                let (a, b) = (self.store.column(*a), self.store.column(*b));
                self.store.sums(true, rows, |at| a[at as usize] == *code_a && b[at as usize] == *code_b)
            }
            _ => self.store.sums(true, rows, |at| predicate.matches(self.store, at)),
        };
        let at_least = |sums: &Sums, part: &Counts, mix: &Mix| {
            let of_control = self.control_dispersion_in(part, sums.activity());
            let d = sums.dispersion().max(of_control * mix.spread(&self.mix));
            if d > 0.0 { d } else { 1.0 }
        };
        let (split, rest) = (Split::new(candidate.counts, self.all), self.mix.without(&candidate.mix));
        let inside = at_least(&inside, &split.inside, &candidate.mix);
        Dispersion { inside, outside: at_least(&outside, &split.outside, &rest) }
    }

    fn ln_p(&self, candidate: &Candidate, split: &Split, dispersion: Dispersion) -> f64 {
        let kept = if self.store.is_sampled() { candidate.kept } else { f64::INFINITY };
        ln_p_segment(split, dispersion, kept)
    }

    /// The numbers of a candidate; None where the treatment fails no more in it than elsewhere, and where its log p is
    /// surely beyond a line.
    fn weigh(&self, candidate: &Candidate, line: f64) -> Option<Weighed> {
        (self.pause)();
        let split = Split::new(candidate.counts, self.all);
        let gain = gain(&split);
        if gain <= 0.0 {
            return None;
        }
        let least = self.least_dispersion();
        let at_least = Dispersion { inside: least, outside: least };
        if least > 0.0 && self.ln_p(candidate, &split, at_least) > line + SLACK {
            return None;
        }
        let dispersion = self.dispersion(candidate);
        let ln_p = self.ln_p(candidate, &split, dispersion);
        Some(Weighed { candidate: candidate.clone(), gain, ln_p, dispersion })
    }

    /// Candidates that could be shown, where their log p is up to a line: enough events of the treatment, and a pair is
    /// about enough of the excess.
    fn weigh_all(&self, candidates: &[Candidate], excess: f64, tests: &Correction) -> Vec<Weighed> {
        let least = super::candidate::EVENTS.max(LEAST_SHARE * excess);
        let shown =
            |c: &&Candidate| c.counts.e_t >= if c.predicate.0.len() > 1 { least } else { super::candidate::EVENTS };
        let weighed = candidates.iter().filter(shown).filter_map(|c| self.weigh(c, tests.line(c)));
        let mut weighed: Vec<Weighed> = weighed.filter(|w| w.ln_p <= tests.line(&w.candidate)).collect();
        // Equal gain: fewer values first, then the order of the attributes.
        let order = |w: &Weighed| (w.candidate.predicate.0.len(), w.candidate.predicate.clone());
        weighed.sort_by(|a, b| b.gain.total_cmp(&a.gain).then_with(|| order(a).cmp(&order(b))));
        weighed
    }

    /// Has a value most of the events of a pair: it is one of the pair's, or another name for most of its rows.
    fn has_most_of(&self, value: &Candidate, pair: &Candidate) -> bool {
        if pair.predicate.0.iter().any(|v| value.predicate.0 == [*v]) {
            return true;
        }
        (self.pause)();
        let events = self.rows.iter().filter(|at| {
            let row = self.store.row(**at);
            row.treated && row.event && pair.predicate.matches(self.store, **at)
        });
        let ([mut both, mut all], scale) = ([0.0; 2], self.store.scale());
        for at in events {
            let weight = scale.weight(self.store.lane(*at));
            all += weight;
            both += if value.predicate.matches(self.store, *at) { weight } else { 0.0 };
        }
        both >= MOST_EVENTS * all
    }

    /// Does a pair stand out among the rows of a value that has its events, too: else the value says it all.
    fn beats(&self, pair: &Weighed, parent: &Weighed, tried: usize, ln_alpha: f64) -> bool {
        let within = self.part(|at| parent.candidate.predicate.matches(self.store, at));
        let line = ln_alpha - (tried as f64).ln();
        within.weigh(&pair.candidate, line).is_some_and(|w| w.ln_p <= line)
            || self.is_denser(&pair.candidate, parent, line)
    }

    /// Do two segments have the same rows, and the same events of the treatment.
    fn is_same(&self, one: &Candidate, other: &Candidate) -> bool {
        (self.pause)();
        let [a, b] = [one.counts, other.counts];
        let sizes = [(a.n_t + a.n_c, b.n_t + b.n_c), (a.e_t, b.e_t)];
        // What both have is at most the smaller one, what one of them has at least the greater.
        if sizes.iter().any(|(a, b)| a.min(*b) < SAME * a.max(*b)) {
            return false;
        }
        let (one, other) = (&one.predicate, &other.predicate);
        let mut both = [0.0; 2];
        let mut any = [0.0; 2];
        let scale = self.store.scale();
        for at in &self.rows {
            let (a, b) = (one.matches(self.store, *at), other.matches(self.store, *at));
            let row = self.store.row(*at);
            let weight = scale.weight(self.store.lane(*at));
            for kind in 0..=usize::from(row.treated && row.event) {
                any[kind] += if a || b { weight } else { 0.0 };
                both[kind] += if a && b { weight } else { 0.0 };
            }
        }
        (0..2).all(|kind| both[kind] >= SAME * any[kind])
    }

    /// Has a segment the same events of the treatment as another one, in fewer rows than chance explains.
    fn is_denser(&self, one: &Candidate, other: &Weighed, line: f64) -> bool {
        (self.pause)();
        let [a, b] = [one.counts, other.candidate.counts];
        if a.n_t >= b.n_t || a.e_t.min(b.e_t) < SAME * a.e_t.max(b.e_t) {
            return false;
        }
        let (one, wide) = (&one.predicate, &other.candidate.predicate);
        let scale = self.store.scale();
        let first = self.rows.partition_point(|at| !self.store.row(*at).treated);
        let (mut both, mut any) = (Counts::default(), 0.0);
        for (place, at) in self.rows.iter().enumerate() {
            let (a, b) = (one.matches(self.store, *at), wide.matches(self.store, *at));
            let (weight, event) = (scale.weight(self.store.lane(*at)), self.store.row(*at).event);
            if a && b {
                both.add(place >= first, event, weight);
            }
            any += if place >= first && (a || b) && event { weight } else { 0.0 };
        }
        // Where the control's events are, too, a harm that multiplies them is not denser.
        let share = (both.n_t / b.n_t).max((both.e_c + 0.5) / (b.e_c + 1.0));
        let d = other.dispersion.inside;
        both.e_t >= SAME * any && binomial_tail((both.e_t / d).floor(), (b.e_t / d).round_ties_even(), share) <= line
    }
}

/// Of segments with the same harm the narrowest. The gain compares how events fall on the arms, so rows without any event
/// hardly change it: a region looks as guilty as the one country in it where everything happens. Of two segments that
/// share their events of the treatment, the one is named that has fewer rows, if it has more of the events than its part of
/// the other's rows explains.
fn narrowest<'w>(round: &Round, best: &'w Weighed, significant: &'w [Weighed], ln_alpha: f64) -> &'w Weighed {
    let line = ln_alpha - (significant.len() as f64).ln();
    // Of the same order, or a pair of the value.
    let is_asked = |w: &Weighed, than: &Weighed| {
        let [one, other] = [w, than].map(|w| &w.candidate.predicate.0);
        one.len() == other.len() || one.len() > other.len() && other.iter().all(|value| one.contains(value))
    };
    let mut narrowest = best;
    // Each step has fewer rows, so this ends.
    while let Some(next) =
        significant.iter().find(|w| is_asked(w, narrowest) && round.is_denser(&w.candidate, narrowest, line))
    {
        narrowest = next;
    }
    narrowest
}

/// Dispersions of a segment and the rest among the rows outside of `left`. The store must be sorted.
pub fn dispersion_of(store: &Store, predicate: &Predicate, left: &Predicate) -> Dispersion {
    let round = Round::of_all(store, || {}).part(|at| !left.matches(store, at));
    let inside = round.rows.iter().copied().filter(|at| predicate.matches(store, *at));
    round.dispersion(&Candidate::new(predicate.clone(), store.tallied(inside)))
}

/// The significant candidate that explains most, once a pair has been held against the values that have its events: a country
/// is not told as its region in its continent.
fn choose(round: &Round, significant: &[Weighed], candidates: &[Candidate], ln_alpha: f64) -> Option<Weighed> {
    let best = narrowest(round, significant.first()?, significant, ln_alpha);
    let tried = |parent: &Predicate| {
        let value = parent.0[0];
        candidates.iter().filter(|c| c.predicate.0.len() > 1 && c.predicate.0.contains(&value)).count()
    };
    let mut parents: Vec<&Weighed> = significant
        .iter()
        .filter(|w| best.candidate.predicate.is_pair() && !w.candidate.predicate.is_pair())
        .filter(|w| round.has_most_of(&w.candidate, &best.candidate))
        .filter(|parent| !round.beats(best, parent, tried(&parent.candidate.predicate).max(1), ln_alpha))
        .collect();
    parents.sort_by(|a, b| b.gain.total_cmp(&a.gain));
    Some(parents.first().copied().unwrap_or(best).clone())
}

/// Looks for the segments that explain the harm. The store must be sorted.
pub fn search(store: &Store, how: &Search) -> Found {
    let mut round = Round::of_all(store, how.pause);
    let (all, excess) = (round.all, round.all.excess());
    let mut pause = how.pause;
    let mut list = candidates(store, &round.rows, how.order, &mut pause);
    let tests = list.len();
    let ln_alpha = how.alpha.ln();
    let mut corrected = round.correction(&list, ln_alpha);
    let control_dispersion = round.control_dispersion;
    let mut found = Found { explanations: Vec::new(), tests, all, control_dispersion, is_cut: false };
    let mut significant = round.weigh_all(&list, excess, &corrected);
    while found.explanations.len() < how.most && round.all.excess() >= LEAST_SHARE * excess {
        if !(how.has_time)() {
            found.is_cut = !significant.is_empty();
            break;
        }
        let Some(best) = choose(&round, &significant, &list, ln_alpha) else { break };
        let chosen = best.candidate.predicate.clone();
        let same_as = same_as(&round, &best, &significant);
        let rest = round.part(|at| !chosen.matches(store, at));
        let before = std::mem::replace(&mut round, rest);
        list = candidates(store, &round.rows, how.order, &mut pause);
        let tests = corrected.of(&best.candidate);
        corrected = corrected.and(round.correction(&list, ln_alpha));
        let left = round.weigh_all(&list, excess, &corrected);
        let goes_with = significant
            .iter()
            .map(|w| &w.candidate.predicate)
            .filter(|p| p.0.len() == 1 && !chosen.0.contains(&p.0[0]) && !same_as.contains(p))
            .filter(|p| !left.iter().any(|w| w.candidate.predicate == **p))
            .cloned()
            .collect();
        found.explanations.push(explain(best, before.all, excess, tests, same_as, goes_with));
        significant = left;
    }
    found
}

fn same_as(round: &Round, best: &Weighed, significant: &[Weighed]) -> Vec<Predicate> {
    let chosen = &best.candidate.predicate;
    let others = significant.iter().map(|w| &w.candidate);
    others
        .filter(|c| c.predicate != *chosen && c.predicate.0.len() == chosen.0.len())
        .filter(|c| round.is_same(&best.candidate, c))
        .map(|c| c.predicate.clone())
        .collect()
}

/// The values with the greatest shares of the excess, whether they are significant or not: for display only.
pub fn largest(store: &Store, how: &Search, most: usize) -> Vec<Explanation> {
    let round = Round::of_all(store, how.pause);
    let excess = round.all.excess();
    let mut pause = how.pause;
    let mut list = candidates(store, &round.rows, 1, &mut pause);
    let tests = list.len();
    list.retain(|c| c.counts.e_t >= super::candidate::EVENTS && gain(&Split::new(c.counts, round.all)) > 0.0);
    list.sort_by(|a, b| b.counts.excess().total_cmp(&a.counts.excess()).then(a.predicate.cmp(&b.predicate)));
    list.truncate(if excess > 0.0 { most.min(how.most) } else { 0 });
    let weighed = list.iter().filter_map(|c| round.weigh(c, f64::INFINITY));
    weighed.map(|w| explain(w, round.all, excess, tests, Vec::new(), Vec::new())).collect()
}

fn explain(
    best: Weighed,
    all: Counts,
    excess: f64,
    tests: usize,
    same_as: Vec<Predicate>,
    goes_with: Vec<Predicate>,
) -> Explanation {
    let Weighed { candidate, gain, ln_p, dispersion } = best;
    let share = candidate.counts.excess() / excess;
    Explanation {
        predicate: candidate.predicate,
        counts: candidate.counts,
        rows: candidate.rows,
        all,
        share,
        gain,
        ln_p,
        tests,
        dispersion,
        same_as,
        goes_with,
    }
}
