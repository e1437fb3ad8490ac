//! Reading the JSON form of a filter: all that is wrong with it, each with its place.

use regex::RegexBuilder;
use serde_json::{Map, Value};

use super::condition::{Condition, Range, spelled};
use super::{Filter, Test};
use crate::error::{Error, Kind};
use crate::names;

/// The keys of a filter.
const KEYS: [&str; 14] = [
    "name",
    "service",
    "body",
    "value",
    "severity",
    "is_error",
    "attributes",
    "and",
    "or",
    "not",
    "name_matches",
    "severity_at_least",
    "value_above",
    "value_below",
];

/// The keys of a condition.
const OPERATORS: [&str; 9] = [">", ">=", "<", "<=", "prefix", "suffix", "contains", "matches", "not"];

/// What a condition is, for hints.
const CONDITION: &str = "A condition is a value to be equal to, null for absent, a list of which one must hold, or an \
     object of >, >=, <, <= (numbers), prefix, suffix, contains, matches (texts) and not (a condition).";

/// Bounds: of a compiled pattern (a backend keeps one per metric), of patterns, of conditions, and of nesting. A row
/// pays for each condition, and evaluating recurses.
const PATTERN_BYTES: usize = 1 << 20;
const MOST_PATTERNS: usize = 16;
const MOST_CONDITIONS: usize = 1_000;
const DEEPEST: usize = 16;
/// A list of problems ends here.
const MOST_PROBLEMS: usize = 100;

/// What is wrong with a filter, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: a JSON pointer (RFC 6901).
    pub path: String,
    /// What.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// The kind of error that using it gives; none for a warning: it works, but surely not as it was meant.
    pub error: Option<Kind>,
}

impl From<Problem> for Error {
    /// A message that names a key of the filter itself says the place already.
    fn from(problem: Problem) -> Self {
        let Problem { path, message, hint, error } = problem;
        let is_inside = path.get(1..).is_some_and(|rest| rest.contains('/'));
        let message = if is_inside { format!("{message} at {path}") } else { message };
        Self::new(error.unwrap_or(Kind::InvalidParameter), message).hint(hint)
    }
}

/// What a condition is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    Text,
    Number,
    Attribute,
}

/// Compiles a filter; what is wrong is left out and noted.
pub(super) fn read(json: &Value) -> (Filter, Vec<Problem>) {
    let mut reader = Reader::default();
    let filter = reader.filter(json, 0);
    (filter, reader.problems)
}

#[derive(Default)]
struct Reader {
    path: String,
    problems: Vec<Problem>,
    conditions: usize,
    patterns: usize,
}

impl Reader {
    fn problem(&mut self, error: Option<Kind>, message: impl Into<String>, hint: impl Into<String>) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(Problem {
                path: self.path.clone(),
                message: message.into(),
                hint: hint.into(),
                error,
            });
        }
    }

    fn wrong(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        self.problem(Some(Kind::InvalidParameter), message, hint);
    }

    fn warn(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        self.problem(None, message, hint);
    }

    /// Reads something one step further down.
    fn within<T>(&mut self, step: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(&step.replace('~', "~0").replace('/', "~1"));
        let read = read(self);
        self.path.truncate(length);
        read
    }

    /// Whether there is room for one more, this deep.
    fn has_room(&mut self, depth: usize) -> bool {
        self.conditions += 1;
        if depth > DEEPEST {
            self.problem(
                Some(Kind::LimitExceeded),
                format!("the filter is deeper than {DEEPEST} levels"),
                "\"and\" within \"and\" is one list, and so is \"or\" within \"or\".",
            );
        } else if self.conditions == MOST_CONDITIONS + 1 {
            self.problem(
                Some(Kind::LimitExceeded),
                format!("the filter has more than {MOST_CONDITIONS} conditions"),
                "Perhaps a prefix or a pattern says the same; or write an attribute that says it when the row is sent.",
            );
        }
        depth <= DEEPEST && self.conditions <= MOST_CONDITIONS
    }

    fn filter(&mut self, json: &Value, depth: usize) -> Filter {
        if !self.has_room(depth) {
            return Filter::default();
        }
        let Value::Object(map) = json else {
            self.wrong(format!("a filter must be a JSON object, got {}", shown(json)), keys_hint());
            return Filter::default();
        };
        let mut tests = Vec::new();
        for (key, value) in map {
            self.within(key, |reader| reader.entry(key, value, depth, &mut tests));
        }
        Filter::new(tests)
    }

    fn entry(&mut self, key: &str, value: &Value, depth: usize, tests: &mut Vec<Test>) {
        match key {
            "name" => tests.extend(self.condition(On::Text, value, depth).map(Test::Name)),
            "service" => tests.extend(self.condition(On::Text, value, depth).map(Test::Service)),
            "body" => tests.extend(self.condition(On::Text, value, depth).map(Test::Body)),
            "value" => tests.extend(self.condition(On::Number, value, depth).map(Test::Value)),
            "severity" => tests.extend(self.condition(On::Number, value, depth).map(Test::Severity)),
            "name_matches" => tests.extend(self.pattern(key, value).map(Test::Name)),
            "severity_at_least" => tests.extend(self.severity(value).map(Test::Severity)),
            "value_above" | "value_below" => tests.extend(self.bound(key, value).map(Test::Value)),
            "attributes" => self.attributes(value, depth, tests),
            "not" => tests.push(Test::Not(self.filter(value, depth + 1))),
            // Its conditions are the filter's own, so that the cheap ones come first.
            "and" => {
                tests.extend(self.filters(key, value, depth).into_iter().flatten().flat_map(|filter| filter.tests))
            }
            "or" => tests.extend(self.filters(key, value, depth).map(Test::Any)),
            "is_error" => match value.as_bool() {
                Some(wanted) => tests.push(Test::IsError(wanted)),
                None => self.unlike(key, "true or false", value),
            },
            other => self.wrong(format!("a filter has no key \"{}\"", names::shown(other)), unknown_hint(other)),
        }
    }

    fn unlike(&mut self, key: &str, wanted: &str, got: &Value) {
        self.wrong(format!("filter key \"{key}\" must be {wanted}, got {}", shown(got)), keys_hint());
    }

    fn filters(&mut self, key: &str, value: &Value, depth: usize) -> Option<Vec<Filter>> {
        let items = value.as_array().filter(|items| !items.is_empty());
        let Some(items) = items else {
            self.unlike(key, "a list of one filter or more", value);
            return None;
        };
        let read =
            |(index, item): (usize, &Value)| self.within(&index.to_string(), |reader| reader.filter(item, depth + 1));
        Some(items.iter().enumerate().map(read).collect())
    }

    fn severity(&mut self, value: &Value) -> Option<Condition> {
        let severity = value.as_i64().filter(|n| (1..=24).contains(n));
        if severity.is_none() {
            self.unlike("severity_at_least", "a severity number from 1 to 24", value);
        }
        severity.map(|n| Condition::Range(Range { lower: n as f64, ..Range::ALL }))
    }

    fn bound(&mut self, key: &str, value: &Value) -> Option<Condition> {
        let Some(bound) = value.as_f64() else {
            self.unlike(key, "a number", value);
            return None;
        };
        let mut range = Range::ALL;
        if key == "value_above" {
            range.above(bound, false)
        } else {
            range.below(bound, false)
        }
        Some(Condition::Range(range))
    }

    fn attributes(&mut self, value: &Value, depth: usize, tests: &mut Vec<Test>) {
        let Value::Object(map) = value else {
            return self.unlike("attributes", "a JSON object of conditions", value);
        };
        for (key, value) in map {
            let condition = self.within(key, |reader| reader.condition(On::Attribute, value, depth));
            tests.extend(condition.map(|condition| Test::Attribute(key.clone(), condition)));
        }
    }

    fn condition(&mut self, on: On, value: &Value, depth: usize) -> Option<Condition> {
        if !self.has_room(depth) {
            return None;
        }
        match (value, on) {
            (Value::Null, _) => {
                if self.path == "/name" {
                    self.warn("every row has a name, so nothing matches", CONDITION);
                }
                Some(Condition::Absent)
            }
            (Value::Array(items), _) => self.one_of(on, items, depth),
            (Value::Object(map), _) => self.operators(on, map, depth),
            (Value::Bool(wanted), On::Attribute) => Some(Condition::Bool(*wanted)),
            (Value::String(text), On::Text | On::Attribute) => {
                if on == On::Attribute && spelled(text).is_some() {
                    let message = format!("{} is compared with texts alone", shown(value));
                    self.warn(message, format!("{text} without quotes finds the number and its text."));
                }
                Some(Condition::Text(text.clone()))
            }
            (Value::Number(n), On::Number | On::Attribute) => n.as_f64().map(Condition::Number),
            _ => {
                let what = if on == On::Text { "texts" } else { "numbers" };
                let key = self.path.rsplit('/').next().unwrap_or_default().to_owned();
                self.wrong(format!("\"{key}\" is compared with {what}, got {}", shown(value)), CONDITION);
                None
            }
        }
    }

    fn one_of(&mut self, on: On, items: &[Value], depth: usize) -> Option<Condition> {
        if items.is_empty() {
            self.wrong("a list of no conditions matches nothing", "List at least one, or leave the key out.");
            return None;
        }
        let (mut texts, mut numbers, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for (index, item) in items.iter().enumerate() {
            let read = self.within(&index.to_string(), |reader| {
                if item.is_array() {
                    reader.wrong("a list within a list", "Write one list: one of its conditions must hold.");
                    return None;
                }
                reader.condition(on, item, depth + 1)
            });
            match read {
                Some(Condition::Text(text)) => texts.push(text),
                Some(Condition::Number(x)) => numbers.push(x + 0.0),
                other => others.extend(other),
            }
        }
        texts.sort();
        numbers.sort_by(f64::total_cmp);
        let plain = (!texts.is_empty() || !numbers.is_empty()).then_some(Condition::OneOf(texts, numbers));
        if others.is_empty() {
            return plain;
        }
        Some(Condition::Any(plain.into_iter().chain(others).collect()))
    }

    fn operators(&mut self, on: On, map: &Map<String, Value>, depth: usize) -> Option<Condition> {
        if map.is_empty() {
            self.wrong("a condition without any operator", CONDITION);
        }
        let (mut range, mut all) = (None, Vec::new());
        for (key, value) in map {
            self.within(key, |reader| reader.operator(on, key, value, depth, &mut range, &mut all));
        }
        if range.is_some_and(Range::is_empty) {
            self.wrong("no number meets all of these comparisons", "Comparisons of one object must all hold.");
        }
        all.extend(range.map(Condition::Range));
        all.sort_by_key(Condition::cost);
        if all.len() > 1 { Some(Condition::All(all)) } else { all.pop() }
    }

    fn operator(
        &mut self,
        on: On,
        key: &str,
        value: &Value,
        depth: usize,
        range: &mut Option<Range>,
        all: &mut Vec<Condition>,
    ) {
        match key {
            ">" | ">=" | "<" | "<=" if on != On::Text => match value.as_f64() {
                Some(bound) if key.starts_with('>') => range.get_or_insert(Range::ALL).above(bound, key == ">="),
                Some(bound) => range.get_or_insert(Range::ALL).below(bound, key == "<="),
                None => self.wrong(format!("\"{key}\" compares numbers, got {}", shown(value)), CONDITION),
            },
            "prefix" | "suffix" | "contains" if on != On::Number => all.extend(self.part(key, value)),
            "matches" if on != On::Number => all.extend(self.pattern(key, value)),
            "not" => {
                let condition = self.condition(on, value, depth + 1);
                all.extend(condition.map(|condition| Condition::Not(Box::new(condition))));
            }
            known if OPERATORS.contains(&known) => {
                let what = if on == On::Text { "a text" } else { "a number" };
                self.wrong(format!("{what} has no \"{known}\""), CONDITION);
            }
            other => self.unknown_operator(other),
        }
    }

    fn unknown_operator(&mut self, key: &str) {
        let hint = match names::hint(key, &OPERATORS, "") {
            near if near.starts_with("Did") => format!("{near} {CONDITION}"),
            _ => format!(
                "{CONDITION} Names of attributes are flat: {{\"http.route\": ..}}, not {{\"http\": {{\"route\": ..}}}}."
            ),
        };
        self.wrong(format!("a condition has no \"{}\"", names::shown(key)), hint);
    }

    fn part(&mut self, key: &str, value: &Value) -> Option<Condition> {
        let Some(text) = value.as_str() else {
            self.wrong(format!("\"{key}\" must be a text, got {}", shown(value)), CONDITION);
            return None;
        };
        if text.is_empty() {
            self.warn(format!("\"{key}\" of nothing holds of every text"), "{\"not\": null} says that it is there.");
        }
        let text = text.to_owned();
        Some(match key {
            "prefix" => Condition::Prefix(text),
            "suffix" => Condition::Suffix(text),
            _ => Condition::Contains(text),
        })
    }

    fn pattern(&mut self, key: &str, value: &Value) -> Option<Condition> {
        let Some(source) = value.as_str() else {
            self.unlike(key, "a regular expression as text", value);
            return None;
        };
        self.patterns += 1;
        if self.patterns == MOST_PATTERNS + 1 {
            let message = format!("the filter has more than {MOST_PATTERNS} patterns");
            self.problem(Some(Kind::LimitExceeded), message, "One pattern may have alternatives: \"^(a|b)\".");
        }
        if self.patterns > MOST_PATTERNS {
            return None;
        }
        match RegexBuilder::new(source).size_limit(PATTERN_BYTES).build() {
            Ok(pattern) => Some(Condition::Matches(pattern)),
            Err(problem) => {
                let short = problem.to_string().lines().last().unwrap_or_default().trim().to_owned();
                self.wrong(
                    format!("filter key \"{key}\" is no regular expression: \"{}\": {short}", names::shown(source)),
                    "The syntax is that of Rust's regex crate: no look-around, no back-references.",
                );
                None
            }
        }
    }
}

fn shown(value: &Value) -> String {
    names::shown(&value.to_string())
}

fn keys_hint() -> String {
    format!("A filter is a JSON object of conditions that must all hold; its keys are: {}.", KEYS.join(", "))
}

fn unknown_hint(key: &str) -> String {
    match names::hint(key, &KEYS, "") {
        near if near.starts_with("Did") => format!("{near} Its keys are: {}.", KEYS.join(", ")),
        _ => format!("Its keys are: {}.", KEYS.join(", ")),
    }
}
