//! A condition on one value of a row: a column's or an attribute's.
//!
//! What is decided here, and documented for users with [`Filter`](super::Filter):
//! - What a row lacks meets no condition but absence, and the negation of any other.
//! - A number is also found where it was stored as text (`"503"`): exporters differ in it, and a filter that silently
//!   found nothing would make a guardrail blind. A text is compared with texts alone.
//! - Numbers are doubles: 2^53 and 2^53 + 1 are one, what lies beyond a double is infinite. NaN meets no comparison.

use regex::Regex;

/// A value that a row has, where it lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Found<'a> {
    /// A text.
    Text(&'a str),
    /// A number as a double.
    Number(f64),
    /// A boolean.
    Bool(bool),
    /// A list or an object: it is there, and equal to nothing.
    Other,
}

impl Found<'_> {
    /// The number, or the one that a text spells in decimals.
    fn number(self) -> Option<f64> {
        match self {
            Found::Number(x) => Some(x),
            Found::Text(text) => spelled(text),
            Found::Bool(_) | Found::Other => None,
        }
    }
}

/// The number that a text spells: digits, sign, point and exponent alone, so neither `inf` nor ` 5`.
pub(super) fn spelled(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E'));
    if plain { text.parse().ok() } else { None }
}

/// Whether a number is among some in their total order.
fn is_among(numbers: &[f64], x: f64) -> bool {
    numbers.binary_search_by(|known| known.total_cmp(&(x + 0.0))).is_ok()
}

/// Bounds of a number; infinite ones that are included are none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    pub lower: f64,
    pub lower_counts: bool,
    pub upper: f64,
    pub upper_counts: bool,
}

impl Range {
    /// Every number but NaN.
    pub const ALL: Self =
        Self { lower: f64::NEG_INFINITY, lower_counts: true, upper: f64::INFINITY, upper_counts: true };

    /// Narrows it by a lower bound.
    pub fn above(&mut self, bound: f64, counts: bool) {
        if bound > self.lower || bound == self.lower && !counts {
            (self.lower, self.lower_counts) = (bound, counts);
        }
    }

    /// Narrows it by an upper bound.
    pub fn below(&mut self, bound: f64, counts: bool) {
        if bound < self.upper || bound == self.upper && !counts {
            (self.upper, self.upper_counts) = (bound, counts);
        }
    }

    /// Whether no number lies in it.
    pub fn is_empty(self) -> bool {
        self.lower > self.upper || self.lower == self.upper && !(self.lower_counts && self.upper_counts)
    }

    fn holds(self, x: f64) -> bool {
        (x > self.lower || self.lower_counts && x == self.lower)
            && (x < self.upper || self.upper_counts && x == self.upper)
    }
}

/// What a value must be.
#[derive(Debug, Clone)]
pub(super) enum Condition {
    /// The row has none.
    Absent,
    Text(String),
    Number(f64),
    Bool(bool),
    Range(Range),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Matches(Regex),
    /// One of the texts or numbers, both in order; -0 is 0.
    OneOf(Vec<String>, Vec<f64>),
    Not(Box<Condition>),
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

impl Condition {
    /// Whether it holds of what was found.
    pub fn holds(&self, found: Option<Found>) -> bool {
        match self {
            Self::Absent => found.is_none(),
            Self::Not(condition) => !condition.holds(found),
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(found)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(found)),
            _ => found.is_some_and(|found| self.holds_of(found)),
        }
    }

    fn holds_of(&self, found: Found) -> bool {
        match (self, found) {
            (Self::Bool(wanted), Found::Bool(is)) => *wanted == is,
            (Self::Number(wanted), _) => found.number() == Some(*wanted),
            (Self::Range(range), _) => found.number().is_some_and(|x| range.holds(x)),
            (Self::OneOf(texts, numbers), _) => {
                let is_text = |text: &str| texts.binary_search_by(|known| known.as_str().cmp(text)).is_ok();
                matches!(found, Found::Text(text) if is_text(text))
                    || !numbers.is_empty() && found.number().is_some_and(|x| is_among(numbers, x))
            }
            (_, Found::Text(text)) => self.holds_of_text(text),
            _ => false,
        }
    }

    fn holds_of_text(&self, text: &str) -> bool {
        match self {
            Self::Text(wanted) => wanted == text,
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::Suffix(suffix) => text.ends_with(suffix.as_str()),
            Self::Contains(part) => text.contains(part.as_str()),
            Self::Matches(pattern) => pattern.is_match(text),
            _ => false,
        }
    }

    /// What it costs, roughly: whoever has a choice asks the cheap one first. What is negated holds of most rows, and seldom
    /// saves asking for the next.
    pub fn cost(&self) -> usize {
        match self {
            Self::Matches(_) => 20,
            Self::Contains(_) => 5,
            Self::OneOf(..) => 2,
            Self::Not(condition) => 5 + condition.cost(),
            Self::All(conditions) | Self::Any(conditions) => conditions.iter().map(Self::cost).sum(),
            _ => 1,
        }
    }
}
