//! The answer to "where is the harm, and what does it look like": segments and symptoms with their numbers.
//!
//! What is here: which values are results of a request, what the others explain, and who shows it. What is not: words.

use super::Map;
use super::attribute::Known;
use super::candidate::Predicate;
use super::counts::Dispersion;
use super::gather::{Gather, Witness};
use super::question::Mark;
use super::search::{Explanation, Found, Search, dispersion_of, search};
use super::store::{NONE, OTHER, Row, Store, Sums};
use super::symptom::{Judged, Occurrence, Symptom, comes_with_arm, is_of_failures, is_the_event, judge};
use crate::telemetry::Scalar;

/// Attributes that OpenTelemetry defines as results of a request.
const RESULTS: [&str; 9] = [
    "http.response.status_code",
    "http.status_code",
    "error.type",
    "exception.",
    "otel.status_",
    "rpc.grpc.status_code",
    "rpc.response.status_code",
    "db.response.status_code",
    "status.",
];
/// Examples that are shown of an explanation, and subjects by events.
const EXAMPLES: usize = 3;
const SUBJECTS: usize = 5;
/// A result has the event so many times as often as all rows, or is none of it.
const TELLING: f64 = 1.5;
/// A subject with more than this share of the events of a segment is the finding itself.
const MOST: f64 = 0.5;

/// A value of an attribute, by place and code.
pub type Value = (usize, u16);

/// Who shows a finding.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shown {
    /// Subjects of the treatment with an event, how many in all; `None` where no row names one (a trace, or a row, that
    /// stands for a subject is not counted as one).
    pub subjects: Option<usize>,
    /// Those with most events, and how many events, where they are known by name.
    pub most: Vec<(Box<str>, u64)>,
    /// Requests with the event, spread over the time, each of another subject.
    pub examples: Vec<Witness>,
    /// A request of the control without the event.
    pub control: Option<Witness>,
    /// Does one subject have more than half of the events.
    pub is_one_subject: bool,
}

/// A symptom with its numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Sign {
    /// Which value.
    pub value: Value,
    /// Its requests in both arms, weighted where a ramp has stages, and by how much they are to be divided.
    pub symptom: Symptom,
    /// Its requests as they are, control first.
    pub requests: [f64; 2],
    /// Excess and probabilities.
    pub judged: Judged,
    /// Does it come with the arm itself, as a flag with the same split does.
    pub is_confounded: bool,
    /// Who shows it.
    pub shown: Shown,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Segments that explain the harm.
    pub found: Found,
    /// Who shows each of them.
    pub shown: Vec<Shown>,
    /// Results of requests that stand out, by excess.
    pub signs: Vec<Sign>,
    /// How many results were asked.
    pub signs_tried: usize,
    /// The segments with the greatest shares when none explains the harm.
    pub largest: Vec<Explanation>,
}

/// Occurrences of every value of an attribute; the store is sorted.
fn occurrences(store: &Store, place: usize) -> Vec<Occurrence> {
    let (column, scale) = (store.column(place), store.scale());
    let codes = column.iter().max().map_or(0, |code| usize::from(*code) + 1);
    let mut found = vec![Occurrence::default(); codes];
    // The rows of one subject lie side by side: per value the subject last seen and its rows so far.
    let mut running: Vec<(u64, f64)> = vec![(0, 0.0); codes];
    for ((at, row), code) in (0..).zip(store.rows()).zip(column) {
        let code = usize::from(*code);
        let (lane, weight) = (store.lane(at), scale.weight(store.lane(at)));
        let value = &mut found[code];
        let (n, is_event) =
            (if row.treated { &mut value.n_t } else { &mut value.n_c }, f64::from(u8::from(row.event)));
        *n += weight;
        value.events += weight * is_event;
        value.events_t += if row.treated { weight * is_event } else { 0.0 };
        value.requests[usize::from(row.treated)] += scale.rows[usize::from(lane)] * is_event;
        let (subject, n) = &mut running[code];
        if *subject != row.subject {
            (*subject, *n) = (row.subject, 0.0);
        }
        // (n + w)^2 - n^2
        value.squares += weight * (2.0 * *n + weight);
        *n += weight;
    }
    found
}

/// A value that is a result of the request.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    value: Value,
    is_confounded: bool,
    /// Goes with the event: else, as status 200, it is no symptom of it.
    is_telling: bool,
    occurrence: Occurrence,
}

/// The values that are results of the request, and whether each comes with its arm.
fn results(gathered: &Gather) -> Vec<Outcome> {
    let store = &gathered.store;
    let all = gathered.tested;
    let n = all.n_t + all.n_c;
    let (share_t, without, rate) = (all.n_t / n, n - all.events(), all.events() / n);
    let mut found = Vec::new();
    for (place, attribute) in gathered.attributes.iter().enumerate() {
        let values = occurrences(store, place);
        let is_known = RESULTS.iter().any(|name| attribute.name.starts_with(name));
        let present: f64 = values.iter().skip(1).map(|v| v.n_t + v.n_c - v.events).sum();
        let all_results = is_known || is_of_failures(present, without);
        for (code, occurrence) in (0..).zip(values) {
            let confounded = comes_with_arm(&occurrence, share_t);
            // To lack what only one arm has comes with the arm, too.
            if all_results || confounded || code != NONE && is_the_event(&occurrence) {
                let is_confounded = code == NONE || confounded && !all_results;
                let n = occurrence.n_t + occurrence.n_c;
                let is_telling = confounded || occurrence.events >= TELLING * n * rate;
                found.push(Outcome { value: (place, code), is_confounded, is_telling, occurrence });
            }
        }
    }
    found
}

/// How far the events of each value of an attribute come in series of the same subject, in the arm where they do so more.
fn dispersions(store: &Store, place: usize, codes: usize) -> Vec<f64> {
    let (column, balance) = (store.column(place), store.scale().balance);
    let weight = |at: usize| balance[usize::from(store.lane(at as u32))];
    let mut greatest = vec![1.0_f64; codes];
    let first = store.first_treated();
    for (treated, range) in [(false, 0..first), (true, first..store.len())] {
        let (mut all, mut sums) = (Sums::default(), vec![Sums::default(); codes]);
        let mut of_subject: Vec<(u16, f64)> = Vec::new();
        let rows = &store.rows()[range.clone()];
        let mut begin = range.start;
        for subject in rows.chunk_by(|a, b| a.subject == b.subject) {
            let places = begin..begin + subject.len();
            let n: f64 = places.clone().map(weight).sum();
            begin = places.end;
            if !store.keeps_all_of(subject[0].subject, treated) {
                continue;
            }
            all.close(&Sums { n, ..Sums::default() });
            of_subject.clear();
            for at in places.zip(subject).filter(|(_, row)| row.event).map(|(at, _)| at) {
                let code = column[at];
                match of_subject.iter_mut().find(|(known, _)| *known == code) {
                    Some((_, events)) => *events += weight(at),
                    None => of_subject.push((code, weight(at))),
                }
            }
            for (code, e) in &of_subject {
                sums[usize::from(*code)].close(&Sums { n, e: *e, ..Sums::default() });
            }
        }
        for (greatest, sums) in greatest.iter_mut().zip(sums) {
            *greatest = greatest.max(Sums { n: all.n, nn: all.nn, ..sums }.dispersion());
        }
    }
    greatest
}

fn judge_results(gathered: &Gather, results: &[Outcome], ln_alpha: f64) -> (Vec<Sign>, usize) {
    let store = &gathered.store;
    let is_asked = |r: &&Outcome| r.value.1 != NONE && r.value.1 != OTHER && r.is_telling;
    let asked: Vec<&Outcome> = results.iter().filter(is_asked).collect();
    let mut symptoms: Vec<Symptom> = Vec::with_capacity(asked.len());
    for of_attribute in asked.chunk_by(|a, b| a.value.0 == b.value.0) {
        let place = of_attribute[0].value.0;
        let codes = of_attribute.iter().map(|r| usize::from(r.value.1) + 1).max().unwrap_or_default();
        let all = store.column(place).iter().max().map_or(0, |code| usize::from(*code) + 1);
        let dispersion = dispersions(store, place, codes.max(all));
        symptoms.extend(of_attribute.iter().map(|r| Symptom {
            e_t: r.occurrence.events_t,
            e_c: r.occurrence.events - r.occurrence.events_t,
            dispersion: dispersion[usize::from(r.value.1)],
        }));
    }
    let judged = judge(&symptoms, gathered.tested.n_t, gathered.tested.n_c);
    let is_shown = |judged: &Judged| {
        symptoms[judged.place].e_t >= super::candidate::EVENTS
            && judged.excess > 0.0
            && judged.ln_p_adjusted <= ln_alpha
    };
    let signs = judged.into_iter().filter(is_shown).map(|judged| {
        let Outcome { value, is_confounded, occurrence, .. } = *asked[judged.place];
        let shown = show(gathered, &Predicate(vec![value]));
        let requests = occurrence.requests;
        Sign { value, symptom: symptoms[judged.place], requests, judged, is_confounded, shown }
    });
    (signs.collect(), asked.len())
}

/// By what the counts of one finding are divided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Marked {
    /// As a segment.
    pub segment: Dispersion,
    /// As a symptom.
    pub symptom: f64,
}

/// The dispersions of rows that were gathered by marks.
pub fn marked(gathered: &mut Gather) -> Marked {
    gathered.settle();
    let store = &gathered.store;
    let code = |mark: Mark| {
        let number = Known::Value(Scalar::Number(f64::from(mark as u8)));
        gathered.attributes.first().and_then(|a| (0..4).find(|code| *a.known(*code) == number))
    };
    let Some(inside) = code(Mark::Inside) else { return Marked { segment: Dispersion::NONE, symptom: 1.0 } };
    // OTHER, which no row has here, where no row has left.
    let left = Predicate(vec![(0, code(Mark::Left).unwrap_or(OTHER))]);
    let segment = dispersion_of(store, &Predicate(vec![(0, inside)]), &left);
    let symptom = dispersions(store, 0, 5)[usize::from(inside)];
    Marked { segment, symptom }
}

/// Who shows the events of a segment.
fn show(gathered: &Gather, predicate: &Predicate) -> Shown {
    let store = &gathered.store;
    let witness = |row: Row| (row.witness as usize).checked_sub(1).and_then(|at| gathered.witnesses.get(at));
    let mut by_subject: Map<u64, (u64, Option<Box<str>>)> = Map::default();
    let mut seen: Vec<&Witness> = Vec::new();
    let mut control: Option<&Witness> = None;
    for row in (0..store.len() as u32).filter(|at| predicate.matches(store, *at)).map(|at| store.row(at)) {
        let shown = witness(row);
        if row.treated && row.event {
            let (events, name) = by_subject.entry(row.subject).or_default();
            *events += 1;
            if let Some(shown) = shown {
                *name = name.take().or_else(|| shown.subject.clone());
                seen.push(shown);
            }
        } else if !row.treated && !row.event && shown.is_some_and(|w| control.is_none_or(|c| c.at < w.at)) {
            control = shown;
        }
    }
    let total: u64 = by_subject.values().map(|(events, _)| events).sum();
    let mut most: Vec<(Box<str>, u64)> =
        by_subject.into_values().filter_map(|(events, name)| Some((name?, events))).collect();
    let subjects = (!most.is_empty()).then_some(most.len());
    most.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    most.truncate(SUBJECTS);
    let is_one_subject = most.first().is_some_and(|(_, events)| *events as f64 > MOST * total as f64) && total > 1;
    Shown { subjects, most, examples: spread(seen), control: control.cloned(), is_one_subject }
}

/// The newest request of each third of the time, each of another subject.
fn spread(mut seen: Vec<&Witness>) -> Vec<Witness> {
    seen.retain(|witness| witness.trace.is_some());
    seen.sort_by_key(|witness| std::cmp::Reverse((witness.at, witness.trace)));
    let (Some(newest), Some(oldest)) = (seen.first(), seen.last()) else { return Vec::new() };
    let third = (newest.at - oldest.at) / EXAMPLES as i64 + 1;
    let begin = newest.at;
    let mut chosen: Vec<Witness> = Vec::new();
    for part in 0..EXAMPLES as i64 {
        let in_part = |w: &&&Witness| (begin - w.at) / third == part;
        let is_new = |w: &&&Witness| chosen.iter().all(|c| c.subject.is_none() || c.subject != w.subject);
        if let Some(witness) = seen.iter().filter(in_part).find(is_new) {
            chosen.push((*witness).clone());
        }
    }
    chosen
}

/// Answers from gathered rows, whose pass has ended (`Gather::finish`). Values that are results of a request are no longer
/// told apart in the store after it.
pub fn answer(gathered: &mut Gather, how: &Search) -> Answer {
    let results = results(gathered);
    (how.pause)();
    let (signs, signs_tried) = judge_results(gathered, &results, how.alpha.ln());
    for of_attribute in results.chunk_by(|a, b| a.value.0 == b.value.0) {
        let mut map: Vec<u16> = (0..=u16::MAX).collect();
        of_attribute.iter().for_each(|r| map[usize::from(r.value.1)] = OTHER);
        gathered.store.recode(of_attribute[0].value.0, &map);
    }
    let store = &gathered.store;
    let found = search(store, how);
    let shown = found.explanations.iter().map(|e| show(gathered, &e.predicate)).collect();
    let is_unexplained = found.explanations.is_empty() && !found.is_cut;
    let largest = if is_unexplained { super::search::largest(store, how, EXAMPLES) } else { Vec::new() };
    Answer { found, shown, signs, signs_tried, largest }
}

/// What a predicate says, by the names of the attributes.
pub fn named<'g>(gathered: &'g Gather, predicate: &Predicate) -> Vec<(&'g str, &'g Known, bool)> {
    let part = |(place, code): &Value| {
        let attribute = &gathered.attributes[*place];
        (attribute.name.as_str(), attribute.known(*code), attribute.is_masked())
    };
    predicate.0.iter().map(part).collect()
}
