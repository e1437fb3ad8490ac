//! Verdicts in words, for people on call: what was seen, what it means, and what is missing and when it will be there.
//!
//! Only what is stored is told, so that a replay says the same. The numbers of the test are in the evidence of a decision.

use super::rhythm::Rhythm;
use super::rule::{Comparison, Rule};
use super::safety::Data;
use super::standing::{Arm, Standing};
use crate::calendar::span;
use crate::kind::report::level;
use crate::kind::words::{Seen, number, percent};
use crate::kind::{Against, Counted, KindRules};
use crate::stats::margin::Margin;
use crate::stats::mixture::ERROR_GRID;
use crate::stats::tilt::Harm;

pub(super) const MINUTE: f64 = 60e6;

/// A sentence, and what the clock or the last rows add to it: by that alone no verdict is news.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// What changes only with what was judged.
    pub text: String,
    /// What is added when there was data.
    pub outlook: String,
}

impl From<String> for Words {
    fn from(text: String) -> Self {
        Self { text, outlook: String::new() }
    }
}

impl From<&str> for Words {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Words {
    /// The sentence to store: the last one, when there was no data and it says the same.
    pub(super) fn after(self, last: &str, has_data: bool) -> String {
        if !has_data && last.starts_with(&self.text) { last.to_owned() } else { self.text + &self.outlook }
    }
}

/// Evidence over the line.
pub(super) fn proven(s: &Standing) -> Words {
    let seen = seen_worse(s, "beyond the margin of");
    let text = format!("{seen}. Harm is proven (anytime p {})", anytime_p(s.status.max_log_e));
    Words { text, outlook: latest(s) }
}

/// Evidence half of the way to the line.
pub(super) fn building_up(s: &Standing) -> Words {
    let part = (s.status.log_e / s.line() * 100.0).floor();
    let seen = seen_worse(s, "the margin is");
    let text = format!("{seen}. Harm is not proven: the evidence is at {part} % of the line");
    let soon = proof_in(s).map_or_else(String::new, |time| format!("; if it goes on so, it is proven in {time}"));
    Words { text, outlook: latest(s) + &soon }
}

/// No evidence to speak of: shown to be safe, or not known to be.
pub(super) fn no_harm(s: &Standing) -> Words {
    let meaning = match (is_safe(s), s.status.log_e > 0.0) {
        (true, _) if !s.is_of_both() => "Shown to be within it".to_owned(),
        (true, _) => format!("Shown to be no worse than {}", percent(s.rule.safe_margin)),
        (false, true) => format!("Little evidence of harm{}", hidden(s)),
        (false, false) => format!("No sign of harm yet{}", hidden(s)),
    };
    let text = match Facts::of(s, None).seen() {
        Some(seen) => format!("{}: {seen}. {meaning}", subject(s, s.rule.quantile)),
        None => format!("{}: {}", subject(s, s.rule.quantile), lower(&meaning)),
    };
    Words { text, outlook: latest(s) }
}

/// Is what the rule wants to be safe from refuted, at every look.
fn is_safe(s: &Standing) -> bool {
    s.is_sequential() && s.status.safety.log_e >= -s.rule.safe_alpha.ln()
}

/// What the test has not been able to see so far.
fn hidden(s: &Standing) -> String {
    let Some(sight) = Data::of(s.rule, s.status).sight() else { return String::new() };
    match sight.smallest() {
        None => " (there is too little data to see any)".to_owned(),
        Some(effect) if s.rule.kind.rules().levels(s.rule.quantile).is_empty() => {
            format!(" (an effect below {} times could hide)", number(effect))
        }
        Some(effect) => format!(" (less than {} times as many values beyond it could hide)", number(effect)),
    }
}

fn lower(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// No event at all.
pub(super) fn eventless(s: &Standing) -> Words {
    let whose = if s.is_of_both() { "in either arm" } else { &s.rule.whose.of };
    format!("no event {whose} so far (is the event right? preview_metric)").into()
}

/// The value over the window beside the limit.
pub(super) fn threshold(s: &Standing, is_beyond: bool) -> Words {
    let side = match (is_beyond, s.rule.harm) {
        (false, _) => "within",
        (true, Harm::Increase) => "above",
        (true, Harm::Decrease) => "below",
    };
    let doubt = match !is_beyond && s.is_eventless() {
        true => "; no event in the window (is the event right? preview_metric)",
        false => "",
    };
    let value = told(s, s.status.value.unwrap_or_default());
    let (of, with) = (subject(s, s.rule.quantile), &s.rule.whose.with);
    format!("{of}: {value} {with}, {side} {}{doubt}", limit(s)).into()
}

/// Nothing yet, and not for long.
pub(super) fn expected(s: &Standing) -> Words {
    let counted = s.rule.by_unit.map(|window| {
        format!("no user has been counted yet: each counts {} after its first exposure", span(window as f64))
    });
    let seen = counted.unwrap_or_else(|| format!("no data {} yet", arms(s)));
    format!("{seen}; it may take {} from the start of the stage", span(s.rule.grace as f64)).into()
}

/// Nothing, for too long.
pub(super) fn no_data(s: &Standing) -> Words {
    if s.rule.by_unit.is_some() {
        return "no user has been counted since the rollout started. Do exposures or rows carry a subject? (preview_metric)"
            .into();
    }
    let both = "Are both served, and does the telemetry name the flag?";
    let question = if s.is_of_both() { both } else { s.rule.whose.asks };
    format!("no data {} since the rollout started. {question} (preview_metric)", arms(s)).into()
}

/// There was data, and it stopped.
pub(super) fn stale(s: &Standing, last: i64) -> Words {
    format!(
        "no data {} since {} UTC, longer than {}. The next data is judged at once",
        arms(s),
        clock(last),
        span(s.rule.stale_after as f64)
    )
    .into()
}

/// One arm stopped, the other did not.
pub(super) fn silent(s: &Standing, arm: Arm) -> Words {
    let (status, of, other, question) = match arm {
        Arm::Treatment => (
            &s.status.rhythm_treatment,
            "the treatment",
            "the control",
            "Does it fail before it reports, or is it not served?",
        ),
        Arm::Control => (
            &s.status.rhythm_control,
            "the control",
            "the treatment",
            "The treatment is compared with nothing: is the control still served, and does it report?",
        ),
    };
    let since = status.last.map_or_else(|| "in this stage".to_owned(), |last| format!("since {} UTC", clock(last)));
    format!("no data of {of} {since} while {other}'s goes on. {question}").into()
}

/// Everybody is served the treatment.
pub(super) fn alone(s: &Standing) -> Words {
    let why = if s.is_of_both() {
        format!("a {} has no test against what the control was", s.rule.kind.rules().label())
    } else {
        format!("the control had fewer than {} data points before", thousands(s.rule.min_sample.max(1)))
    };
    format!(
        "nothing is compared: everybody is served the treatment, and {why}. A person completes the rollout, or \
         on_state says {{\"no_control\": \"ignore\"}}"
    )
    .into()
}

/// Why data is not fresh enough to advance on; `None`: it is. `whose` says whose data the first arm is, as [`Whose::of`].
///
/// [`Whose::of`]: super::whose::Whose
pub fn not_fresh(arms: [Option<&Rhythm>; 2], whose: &str, stale_after: i64, at: i64) -> Option<String> {
    let of = [whose, "of the control"];
    let (rhythm, arm) = arms
        .into_iter()
        .zip(of)
        .find_map(|(arm, of)| Some((arm.filter(|arm| !arm.is_fresh(stale_after, at))?, of)))?;
    let usual = span(rhythm.fresh_for(stale_after));
    Some(match rhythm.last {
        Some(last) => {
            format!("the last data {arm} came at {} UTC; up to {usual} without any are usual", clock(last))
        }
        None => format!("no data {arm} in this stage yet"),
    })
}

/// The treatment alone, or a control that gave no past.
pub(super) fn no_control(s: &Standing) -> Words {
    if s.needs_past() {
        "the control has no past to compare with yet: the next data of both is compared with what came now".into()
    } else if s.status.rhythm_control.last.is_some() {
        "data of both came, but none of the same time yet: it is compared once both of a span are there".into()
    } else {
        "no data of the control yet".into()
    }
}

/// Fewer data points than wanted.
pub(super) fn too_few(s: &Standing) -> Words {
    let wanted = s.wanted();
    let (n, arm) = match s.status.stage_treatment {
        n if n <= s.stage_control() => (n, &*s.rule.whose.of),
        _ => (s.stage_control(), "of the control"),
    };
    let points = if s.rule.by_unit.is_some() { "users" } else { "data points" };
    let text = format!("{} of {} {points} {arm} in this stage", thousands(n), thousands(wanted));
    let rest = wanted.saturating_sub(n) as f64 * time_of_one(s, n);
    let outlook = about(rest).map_or_else(String::new, |time| format!("; at this rate the rest takes {time}"));
    Words { text, outlook }
}

/// A threshold without a value.
pub(super) fn empty_window(s: &Standing) -> Words {
    let window = span(s.rule.window as f64);
    format!("no data {} in the last {}", s.rule.whose.of, window.strip_prefix("1 ").unwrap_or(&window)).into()
}

/// A baseline that is not known.
pub(super) fn no_baseline(rule: &Rule) -> String {
    let wanted = thousands(rule.min_sample.max(1));
    let who = rule.whose.lacks_past.clone().unwrap_or_else(|| format!("variant \"{}\"", rule.control));
    let has = if who.starts_with("variants") { "have" } else { "has" };
    format!("{who} {has} too short a past to be a baseline: it takes {wanted} data points")
}

/// A rule that could not be judged.
pub(super) fn failed(problem: &str) -> String {
    format!("cannot be judged: {problem}; its data waits, and it is tried again")
}

/// What a guardrail of several adds to a breach that they show together.
pub(super) fn part_of_joint(s: &Standing) -> String {
    let words = seen_worse(s, "the margin is");
    if s.rule.name == s.rule.metric { words } else { format!("{} ({words})", s.rule.name) }
}

/// What several guardrails show together.
pub(super) fn together(parts: &[String], log_mean: f64) -> String {
    let (none, all) = if parts.len() == 2 { ("neither", "both") } else { ("none", "all") };
    format!(
        "{}. By itself {none} proves harm, {all} together do (anytime p {})",
        parts.join("; "),
        anytime_p(log_mean)
    )
}

/// What is known of treatment and control in words.
struct Facts<'a> {
    rules: &'static dyn KindRules,
    seen: Option<Seen<'a>>,
}

impl<'a> Facts<'a> {
    /// Of one of several quantiles that are tested at once, the `place`th, where there are several.
    fn of(s: &Standing<'a>, place: Option<usize>) -> Self {
        let (status, rules) = (s.status, s.rule.kind.rules());
        let levels = rules.levels(s.rule.quantile);
        let place = if levels.len() > 1 { place } else { Some(0) };
        let against = match (s.is_of_both(), status.margin, status.limit) {
            (true, Some(margin), _) => Some(Against::Control(margin)),
            (false, _, Some(limit)) => Some(Against::Limit(limit)),
            _ => None,
        };
        let total = [
            Counted { n: status.n_treatment, events: &status.events_treatment, moments: None },
            Counted { n: status.n_control, events: &status.events_control, moments: None },
        ];
        let seen = place.zip(against).map(|(place, against)| Seen {
            harm: s.rule.harm,
            quantile: levels.get(place).copied(),
            place,
            unit: &s.rule.unit,
            with: &s.rule.whose.with,
            against,
            total,
        });
        Self { rules, seen }
    }

    fn seen(&self) -> Option<String> {
        self.rules.seen(self.seen.as_ref()?)
    }

    fn effect(&self) -> Option<String> {
        self.rules.effect_seen(self.seen.as_ref()?)
    }
}

/// The metric with what is known of both arms, where they differ in the wrong direction.
fn seen_worse(s: &Standing, margin_is: &str) -> String {
    let place = worst_level(s);
    let facts = Facts::of(s, Some(place));
    let quantile = facts.seen.and_then(|seen| seen.quantile).or(s.rule.quantile);
    let (subject, side) = (subject(s, quantile), if s.rule.harm == Harm::Increase { "above" } else { "below" });
    let seen = match facts.seen() {
        Some(seen) => seen,
        None if s.is_of_both() => format!("with the treatment {side} the control"),
        None => format!("{} {side} {}", s.rule.whose.with, limit(s)),
    };
    // The counts of a quantile are beyond the margin, and say so.
    let is_told = quantile.is_some();
    let margin = s.status.margin.filter(|margin| s.is_of_both() && !is_told && !is_zero(*margin));
    let margin = margin.map(|m| format!("{margin_is} {}", facts.rules.margin_told(m, &s.rule.unit)));
    let more: Vec<String> = facts.effect().into_iter().chain(margin).collect();
    if more.is_empty() { format!("{subject}: {seen}") } else { format!("{subject}: {seen} ({})", more.join(", ")) }
}

fn is_zero(margin: Margin) -> bool {
    matches!(margin, Margin::Relative(0.0) | Margin::Absolute(0.0))
}

/// The place of the tested quantile with the most evidence.
fn worst_level(s: &Standing) -> usize {
    let sums = s.status.evidence.get(1..).unwrap_or_default();
    let each = sums.chunks(ERROR_GRID.log_or().len()).map(|ell| s.rule.kind.rules().mixed(ell).unwrap_or(0.0));
    each.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(place, _)| place)
}

pub(super) fn subject(s: &Standing, quantile: Option<f64>) -> String {
    let (name, several) = (&s.rule.metric, s.rule.kind.rules().levels(None).len() > 1);
    match quantile {
        Some(p) if several => format!("{} of {name}", level(p)),
        _ => name.clone(),
    }
}

pub(super) fn told(s: &Standing, value: f64) -> String {
    s.rule.kind.rules().told(value, &s.rule.unit)
}

fn limit(s: &Standing) -> String {
    let what =
        if s.rule.comparison == Comparison::Baseline { "the baseline with its margin," } else { "the limit of" };
    s.status.limit.map_or_else(|| "a limit".to_owned(), |limit| format!("{what} {}", told(s, limit)))
}

fn arms<'a>(s: &Standing<'a>) -> &'a str {
    // Against control only what was compared counts: an arm alone waits for the other one.
    if s.is_of_both() { "of treatment and control to compare" } else { &s.rule.whose.of }
}

/// How many users were counted, of a metric by unit, and the values of the stratum at hand, where sums do not tell.
fn latest(s: &Standing) -> String {
    let users = s.rule.by_unit.map(|_| match s.is_of_both() {
        true => format!(
            ". {} users with the treatment, {} with the control",
            thousands(s.status.n_treatment),
            thousands(s.status.n_control)
        ),
        false => format!(". {} users with the treatment", thousands(s.status.n_treatment)),
    });
    users.unwrap_or_default() + &latest_values(s)
}

fn latest_values(s: &Standing) -> String {
    match s.latest {
        [Some(t), Some(c)] if s.is_of_both() => {
            format!(". Latest: {} with the treatment, {} with the control", told(s, t), told(s, c))
        }
        [Some(t), _] if !s.is_of_both() => format!(". Latest: {} {}", told(s, t), s.rule.whose.with),
        _ => String::new(),
    }
}

/// How long one data point takes of which there were so many in this stage; infinite where that is not known.
fn time_of_one(s: &Standing, n: u64) -> f64 {
    if n == 0 || s.stage.started_at == i64::MIN {
        return f64::INFINITY;
    }
    s.stage_age().max(0) as f64 / n as f64
}

/// When the evidence reaches the line if each data point adds as much as those so far.
fn proof_in(s: &Standing) -> Option<String> {
    let wanted = s.line() / s.status.log_e * s.status.n_treatment as f64;
    about((wanted - s.status.n_treatment as f64) * time_of_one(s, s.status.stage_treatment))
}

/// A time from now on, if it is worth telling.
fn about(time: f64) -> Option<String> {
    (time > 0.0 && time < 365.0 * 1440.0 * MINUTE).then(|| match time {
        time if time < 0.25 * MINUTE => "a few seconds".to_owned(),
        time => format!("about {}", span(time)),
    })
}

/// A time of day (UTC), of microseconds since a midnight.
fn clock(at: i64) -> String {
    let seconds = at.div_euclid(1_000_000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

pub(super) fn minute(at: i64) -> String {
    let mut text = clock(at);
    text.truncate(5);
    text
}

/// The anytime-valid p-value, 1/e at its least (`core/stats/README.md`, section 1).
fn anytime_p(max_log_e: f64) -> String {
    let p = (-max_log_e).exp().min(1.0);
    if p < 1e-12 { "below 1e-12".to_owned() } else { number(p) }
}

fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
