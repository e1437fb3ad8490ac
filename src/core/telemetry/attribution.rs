//! Attribution: flags for a row without any, from the evaluations in its trace, else from those of its subject.
//!
//! Here: the choice among evaluations. Not here: finding them (`sql/api/attribution.sql`) and writing rows. Rows of one
//! statement share few traces and subjects, so the evaluations of each are merged only once for each range that counts.

use std::collections::{BTreeMap, HashMap};

use serde_json::value::RawValue;

/// The windows of attribution, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Before and after a row of the same trace.
    pub trace: i64,
    /// Before a row of the same subject.
    pub subject: i64,
}

/// A busy subject is evaluated thousands of times a day: only this many of the latest evaluations count.
pub const SUBJECT_EVALUATIONS: usize = 100;

/// A flag evaluation that is stored or being stored.
#[derive(Debug)]
pub struct Evaluation {
    /// Microseconds, and nanoseconds beyond them.
    at: (i64, i16),
    /// Variants as JSON text, which is not interpreted here.
    flags: BTreeMap<String, Box<RawValue>>,
}

impl Evaluation {
    /// From its time and its flags, a JSON object; anything else has no flags.
    pub fn new(ts: i64, nanos: i16, flags: &str) -> Self {
        Self { at: (ts, nanos), flags: serde_json::from_str(flags).unwrap_or_default() }
    }
}

/// What a row's flags come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// An evaluation in its trace.
    Trace,
    /// Its subject's latest evaluations.
    Subject,
}

impl By {
    /// The SQL label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Subject => "subject",
        }
    }
}

/// A row without flags.
#[derive(Debug, Clone, Copy)]
pub struct Loose<'a> {
    /// Its time, in microseconds.
    pub ts: i64,
    /// Its trace.
    pub trace: Option<[u8; 16]>,
    /// Key of its environment and its subject.
    pub subject: Option<(&'a str, &'a str)>,
}

/// The evaluations that may apply to a statement's rows.
#[derive(Debug)]
pub struct Evaluated {
    reach: Reach,
    lists: Vec<Vec<Evaluation>>,
    by_trace: HashMap<[u8; 16], usize>,
    /// environment key -> subject -> its list
    by_subject: HashMap<String, HashMap<String, usize>>,
    /// Ranges of evaluations in a list -> the number of their answer.
    known: HashMap<(usize, usize, usize), Option<usize>>,
    answers: Vec<(String, By)>,
}

impl Evaluated {
    /// None yet.
    pub fn new(reach: Reach) -> Self {
        Self {
            reach,
            lists: Vec::new(),
            by_trace: HashMap::new(),
            by_subject: HashMap::new(),
            known: HashMap::new(),
            answers: Vec::new(),
        }
    }

    /// Adds an evaluation in a trace.
    pub fn add_in_trace(&mut self, trace: [u8; 16], evaluation: Evaluation) {
        let list = *self.by_trace.entry(trace).or_insert_with(|| new_list(&mut self.lists));
        self.lists[list].push(evaluation);
    }

    /// Adds an evaluation for a subject in an environment, given by its key.
    pub fn add_for_subject(&mut self, environment: &str, subject: &str, evaluation: Evaluation) {
        let subjects = self.by_subject.entry(environment.to_owned()).or_default();
        let list = *subjects.entry(subject.to_owned()).or_insert_with(|| new_list(&mut self.lists));
        self.lists[list].push(evaluation);
    }

    /// Sorts the evaluations, once all are added.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.lists.iter_mut().for_each(|list| list.sort_by_key(|e| e.at));
        self
    }

    /// The number of the row's answer, if there is one.
    pub fn find(&mut self, row: &Loose) -> Option<usize> {
        let in_trace = row.trace.and_then(|trace| self.by_trace.get(&trace).copied());
        let around = (row.ts.saturating_sub(self.reach.trace), row.ts.saturating_add(self.reach.trace));
        let by_trace = in_trace.and_then(|list| self.answer(list, around, usize::MAX, By::Trace));
        by_trace.or_else(|| {
            let list = row.subject.and_then(|(environment, subject)| self.by_subject.get(environment)?.get(subject));
            let before = (row.ts.saturating_sub(self.reach.subject), row.ts);
            self.answer(*list?, before, SUBJECT_EVALUATIONS, By::Subject)
        })
    }

    /// The answers by number: flags as a JSON object, and where they come from.
    pub fn answers(&self) -> &[(String, By)] {
        &self.answers
    }

    /// The merged flags of the latest evaluations of a list within a range of time.
    fn answer(&mut self, list: usize, (from, to): (i64, i64), most: usize, by: By) -> Option<usize> {
        let evaluations = &self.lists[list];
        let end = evaluations.partition_point(|e| e.at.0 <= to);
        let begin = evaluations.partition_point(|e| e.at.0 < from).max(end.saturating_sub(most));
        *self.known.entry((list, begin, end)).or_insert_with(|| {
            // If a flag was evaluated twice, the latest counts.
            let merged: BTreeMap<_, _> = evaluations[begin..end].iter().flat_map(|e| &e.flags).collect();
            let text = serde_json::to_string(&merged).ok().filter(|_| !merged.is_empty())?;
            self.answers.push((text, by));
            Some(self.answers.len() - 1)
        })
    }
}

fn new_list(lists: &mut Vec<Vec<Evaluation>>) -> usize {
    lists.push(Vec::new());
    lists.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: [u8; 16] = [7; 16];

    fn find(
        evaluated: &mut Evaluated,
        ts: i64,
        trace: Option<[u8; 16]>,
        subject: Option<&str>,
    ) -> Option<(String, By)> {
        let subject = subject.map(|s| ("production", s));
        evaluated.find(&Loose { ts, trace, subject }).map(|n| evaluated.answers()[n].clone())
    }

    fn answer(flags: &str, by: By) -> Option<(String, By)> {
        Some((flags.to_owned(), by))
    }

    #[test]
    fn the_trace_goes_before_the_subject_and_the_latest_wins() {
        let mut evaluated = Evaluated::new(Reach { trace: 10, subject: 100 });
        evaluated.add_in_trace(TRACE, Evaluation::new(60, 1, r#"{"f": "late", "n": 1e400}"#));
        evaluated.add_in_trace(TRACE, Evaluation::new(60, 0, r#"{"f": "early", "g": "on"}"#));
        evaluated.add_for_subject("production", "ann", Evaluation::new(50, 0, r#"{"h": "on"}"#));
        evaluated.add_for_subject("staging", "ann", Evaluation::new(51, 0, r#"{"h": "other"}"#));
        let mut evaluated = evaluated.sorted();
        let traced = answer(r#"{"f":"late","g":"on","n":1e400}"#, By::Trace);
        assert_eq!(find(&mut evaluated, 50, Some(TRACE), Some("ann")), traced);
        assert_eq!(find(&mut evaluated, 70, Some(TRACE), None), traced);
        assert_eq!(find(&mut evaluated, 71, Some(TRACE), Some("ann")), answer(r#"{"h":"on"}"#, By::Subject));
        assert_eq!(find(&mut evaluated, 150, None, Some("ann")), answer(r#"{"h":"on"}"#, By::Subject));
        assert_eq!(evaluated.answers().len(), 2, "rows with the same evaluations share an answer");
        for nothing in [(49, Some(TRACE), Some("ann")), (151, None, Some("ann")), (60, Some([8; 16]), Some("eve"))] {
            assert_eq!(find(&mut evaluated, nothing.0, nothing.1, nothing.2), None, "{nothing:?}");
        }
    }

    #[test]
    fn a_busy_subject_has_its_last_hundred_and_what_is_no_object_says_nothing() {
        let mut evaluated = Evaluated::new(Reach { trace: 10, subject: i64::MAX });
        evaluated.add_for_subject("production", "ann", Evaluation::new(0, 0, r#"{"old": "on"}"#));
        for ts in 1..=100 {
            evaluated.add_for_subject("production", "ann", Evaluation::new(ts, 0, r#"{"new": "on"}"#));
        }
        evaluated.add_for_subject("production", "eve", Evaluation::new(1, 0, "[1]"));
        let mut evaluated = evaluated.sorted();
        let ann = |evaluated: &mut Evaluated, ts| find(evaluated, ts, None, Some("ann"));
        assert_eq!(ann(&mut evaluated, i64::MAX), answer(r#"{"new":"on"}"#, By::Subject));
        assert_eq!(ann(&mut evaluated, 99), answer(r#"{"new":"on","old":"on"}"#, By::Subject));
        assert_eq!(ann(&mut evaluated, -1), None);
        assert_eq!(find(&mut evaluated, 5, None, Some("eve")), None);
    }
}
