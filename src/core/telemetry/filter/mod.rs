//! Filters: which rows a metric matches. `read` makes them from JSON, `condition` holds one value against them.
//!
//! # The form
//! A filter is a JSON object of which every key must hold; `{}` is every row.
//!
//! | key | a condition on |
//! |---|---|
//! | `name`, `service`, `body` | that column, a text |
//! | `value`, `severity` | that column, a number |
//! | `attributes` | `{key: condition}`: each of the row's attributes |
//! | `is_error` | `true` or `false`; a row that does not say is no error |
//! | `and`, `or` | a list of filters: all, or at least one of them |
//! | `not` | a filter that must not hold |
//! | `name_matches`, `severity_at_least`, `value_above`, `value_below` | short for `name {"matches"}`, `severity {">="}`, `value {">"}`, `value {"<"}` |
//!
//! | condition | the value |
//! |---|---|
//! | a text, a number, `true`, `false` | is equal to it |
//! | `null` | is absent (or JSON's null) |
//! | a list | meets one of its conditions |
//! | `{">": n}`, `">="`, `"<"`, `"<="` | is such a number |
//! | `{"prefix": text}`, `"suffix"`, `"contains"` | is a text that begins, ends with or has it |
//! | `{"matches": pattern}` | is a text in which the regular expression is found, in time linear in its length |
//! | `{"not": condition}` | does not meet it; so it may be absent: `{"not": [.., null]}` if it may not |
//!
//! Several keys of one object must hold together: `{">=": 500, "<": 600}`. Failures without health checks:
//! `{"attributes": {"http.response.status_code": {">=": 500}, "http.route": {"not": ["/health", "/ready"]}}}`.

mod condition;
mod read;

pub use condition::Found;
pub use read::Problem;

use serde_json::Value;

use super::Row;
use crate::error::{Error, Result};
use condition::Condition;

/// An attribute's value: a JSON scalar.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// A text.
    Text(String),
    /// A number, compared as a double.
    Number(f64),
    /// A boolean.
    Bool(bool),
}

/// A compiled filter; the default one matches every row.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// All must hold; the cheapest come first.
    tests: Vec<Test>,
}

/// One thing that a row must meet.
#[derive(Debug, Clone)]
enum Test {
    IsError(bool),
    Severity(Condition),
    Value(Condition),
    Name(Condition),
    Service(Condition),
    Attribute(String, Condition),
    Body(Condition),
    Any(Vec<Filter>),
    Not(Filter),
}

impl Filter {
    /// Compiles a filter from its JSON form.
    ///
    /// # Errors
    /// The first thing that is wrong with it, where it stands, and what it should be.
    pub fn parse(json: &Value) -> Result<Self> {
        let (filter, problems) = read::read(json);
        match problems.into_iter().find(|problem| problem.error.is_some()) {
            Some(problem) => Err(Error::from(problem)),
            None => Ok(filter),
        }
    }

    /// Everything that is wrong with the JSON form of a filter, and what works but is hardly meant.
    pub fn check(json: &Value) -> Vec<Problem> {
        read::read(json).1
    }

    fn new(mut tests: Vec<Test>) -> Self {
        tests.sort_by_key(Test::cost);
        Self { tests }
    }

    /// The one name that a row must have to match.
    pub fn exact_name(&self) -> Option<&str> {
        self.tests.iter().find_map(|test| match test {
            Test::Name(Condition::Text(name)) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The names that a row can have to match; `None`: others, too.
    pub fn names(&self) -> Option<Vec<&str>> {
        self.tests.iter().find_map(|test| match test {
            Test::Name(Condition::Text(name)) => Some(vec![name.as_str()]),
            Test::Name(Condition::OneOf(names, _)) => Some(names.iter().map(String::as_str).collect()),
            _ => None,
        })
    }

    /// Whether every condition holds.
    pub fn matches(&self, row: &impl Row) -> bool {
        self.tests.iter().all(|test| test.holds(row))
    }

    fn cost(&self) -> usize {
        self.tests.iter().map(Test::cost).sum()
    }
}

impl Test {
    fn holds(&self, row: &impl Row) -> bool {
        match self {
            // A row that does not say is no error: only failures are marked by most SDKs.
            Self::IsError(wanted) => row.is_error().unwrap_or(false) == *wanted,
            Self::Severity(condition) => condition.holds(row.severity().map(|x| Found::Number(f64::from(x)))),
            Self::Value(condition) => condition.holds(row.value().map(Found::Number)),
            Self::Name(condition) => condition.holds(Some(Found::Text(row.name()))),
            Self::Service(condition) => condition.holds(row.service().map(Found::Text)),
            Self::Attribute(key, condition) => condition.holds(row.attribute(key)),
            Self::Body(condition) => condition.holds(row.body().map(Found::Text)),
            Self::Any(filters) => filters.iter().any(|filter| filter.matches(row)),
            Self::Not(filter) => !filter.matches(row),
        }
    }

    /// What it costs, roughly, in comparisons of a number.
    fn cost(&self) -> usize {
        match self {
            Self::IsError(_) | Self::Severity(_) => 1,
            Self::Value(condition) => condition.cost(),
            Self::Name(condition) => 2 * condition.cost(),
            Self::Service(condition) => 3 * condition.cost(),
            Self::Attribute(_, condition) => 10 + 2 * condition.cost(),
            // It may be long, and compressed.
            Self::Body(condition) => 30 + 10 * condition.cost(),
            Self::Any(filters) => filters.iter().map(Filter::cost).sum(),
            Self::Not(filter) => filter.cost(),
        }
    }
}

#[cfg(test)]
mod tests;
