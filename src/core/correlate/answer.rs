//! The answer to "where is the harm, and what does it look like": segments and symptoms with their numbers.
//!
//! What is here: which values are results of a request, what the others explain, and who shows it. What is not: words.

use std::collections::HashMap;

use super::attribute::Known;
use super::candidate::Predicate;
use super::gather::{Gather, Witness};
use super::search::{Explanation, Found, Search, search};
use super::store::{NONE, OTHER, Row, Store};
use super::symptom::{Judged, Occurrence, Symptom, comes_with_arm, is_of_failures, is_the_event, judge};

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
/// A subject with more than this share of the events of a segment is the finding itself.
const MOST: f64 = 0.5;

/// A value of an attribute, by place and code.
pub type Value = (usize, u16);

/// Who shows a finding.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shown {
    /// Subjects of the treatment with an event, how many in all.
    pub subjects: usize,
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
    /// Its requests in both arms, and by how much they are to be divided.
    pub symptom: Symptom,
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
fn occurrences(store: &Store, place: usize, codes: usize) -> Vec<Occurrence> {
    let mut found = vec![Occurrence::default(); codes];
    // The rows of one subject lie side by side: per value the subject last seen and its rows so far.
    let mut running: Vec<(u64, f64)> = vec![(0, 0.0); codes];
    for at in 0..store.len() as u32 {
        let (row, code) = (store.row(at), usize::from(store.code(place, at)));
        let weight = store.weight(row);
        let value = &mut found[code];
        if row.treated {
            value.n_t += weight
        } else {
            value.n_c += weight
        }
        value.events += if row.event { weight } else { 0.0 };
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

/// The values that are results of the request, and whether each comes with its arm.
fn results(gathered: &Gather) -> Vec<(Value, bool)> {
    let store = &gathered.store;
    let share_t = gathered.all.n_t / (gathered.all.n_t + gathered.all.n_c);
    let without = gathered.all.n_t + gathered.all.n_c - gathered.all.events();
    let mut found = Vec::new();
    for (place, attribute) in gathered.attributes.iter().enumerate() {
        let codes =
            (0..store.len() as u32).map(|at| store.code(place, at)).max().map_or(0, |code| usize::from(code) + 1);
        let values = occurrences(store, place, codes);
        let is_known = RESULTS.iter().any(|name| attribute.name.starts_with(name));
        let present: f64 = values.iter().skip(1).map(|v| v.n_t + v.n_c - v.events).sum();
        let all_results = is_known || is_of_failures(present, without);
        for (code, value) in values.iter().enumerate().skip(1) {
            let confounded = comes_with_arm(value, share_t);
            if all_results || confounded || is_the_event(value) {
                found.push(((place, code as u16), confounded && !all_results));
            }
        }
        // To lack what only one arm has comes with the arm, too.
        if values.first().is_some_and(|none| all_results || comes_with_arm(none, share_t)) {
            found.push(((place, NONE), true));
        }
    }
    found
}

fn judge_results(gathered: &Gather, results: &[(Value, bool)]) -> (Vec<Sign>, usize) {
    let store = &gathered.store;
    let asked: Vec<&(Value, bool)> =
        results.iter().filter(|((_, code), _)| *code != NONE && *code != OTHER).collect();
    let symptom = |((place, code), _): &&(Value, bool)| {
        let is_event = |at: u32, row: Row| row.event && store.code(*place, at) == *code;
        let rows = || 0..store.len() as u32;
        let counts = store.counts(rows().filter(|at| is_event(*at, store.row(*at))));
        let dispersion = [false, true].map(|arm| store.dispersion_of(arm, rows(), is_event));
        Symptom { e_t: counts.e_t, e_c: counts.e_c, dispersion: dispersion[0].max(dispersion[1]).max(1.0) }
    };
    let symptoms: Vec<Symptom> = asked.iter().map(symptom).collect();
    let judged = judge(&symptoms, gathered.all.n_t, gathered.all.n_c);
    let signs = judged.into_iter().map(|judged| {
        let (value, is_confounded) = *asked[judged.place];
        let predicate = Predicate(vec![value]);
        Sign { value, symptom: symptoms[judged.place], judged, is_confounded, shown: show(gathered, &predicate) }
    });
    (signs.collect(), asked.len())
}

/// Who shows the events of a segment.
fn show(gathered: &Gather, predicate: &Predicate) -> Shown {
    let store = &gathered.store;
    let witness = |row: Row| (row.witness as usize).checked_sub(1).and_then(|at| gathered.witnesses.get(at));
    let mut by_subject: HashMap<u64, (u64, Option<Box<str>>)> = HashMap::new();
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
    let subjects = by_subject.len();
    let mut most: Vec<(Box<str>, u64)> =
        by_subject.into_values().filter_map(|(events, name)| Some((name?, events))).collect();
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

/// Answers from gathered rows, whose pass has ended (`Gather::finish`).
pub fn answer(gathered: &Gather, how: &Search) -> Answer {
    let results = results(gathered);
    let (mut signs, signs_tried) = judge_results(gathered, &results);
    signs.retain(|sign| {
        sign.symptom.e_t >= super::candidate::EVENTS
            && sign.judged.excess > 0.0
            && sign.judged.ln_p_adjusted <= how.alpha.ln()
    });
    let mut store = gathered.store.clone();
    for place in 0..store.attributes() {
        let mut map: Vec<u16> = (0..=u16::MAX).collect();
        for ((_, code), _) in results.iter().filter(|((attribute, _), _)| *attribute == place) {
            map[usize::from(*code)] = OTHER;
        }
        store.recode(place, &map);
    }
    let found = search(&store, how);
    let shown = found.explanations.iter().map(|e| show(gathered, &e.predicate)).collect();
    let largest =
        if found.explanations.is_empty() { super::search::largest(&store, how, EXAMPLES) } else { Vec::new() };
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
