//! A compiled targeting rule: JsonLogic with flagd's operators, and nothing else.

use datalogic_rs::bumpalo::Bump;
use datalogic_rs::{DataValue, Logic};
use serde_json::{Map, Value};

use super::operator::ENGINE;
use super::{Bucketing, Context, check, meter};
use crate::{Error, Kind, Result};

/// A compiled targeting rule. It belongs to one flag: `fractional` hashes the flag's key.
#[derive(Debug, Clone)]
pub struct Rule {
    logic: Logic,
    bytes: usize,
}

impl Rule {
    /// Compiles a rule; the error names what is wrong and where.
    pub fn compile(
        targeting: &Value,
        segments: &Map<String, Value>,
        bucketing: Bucketing,
        flag: &str,
    ) -> Result<Self> {
        let prepared = check::prepare(targeting, segments, bucketing, flag).map_err(|problem| {
            let place = if problem.path.is_empty() { String::new() } else { format!(" at {}", problem.path) };
            Error::new(problem.error.unwrap_or(Kind::InvalidParameter), format!("{}{place}", problem.message))
        })?;
        // If the engine refuses what our own checks accepted, the checks are wrong; its message is better than none.
        let logic = ENGINE
            .compile(prepared.logic)
            .map_err(|error| Error::new(Kind::InvalidParameter, format!("the rule cannot be compiled: {error}")))?;
        Ok(Self { logic, bytes: prepared.bytes })
    }

    /// The result of the rule for a context.
    pub(super) fn run<'a>(
        &'a self,
        flag: &'a str,
        context: &'a Context,
    ) -> std::result::Result<&'a DataValue<'a>, Fault> {
        meter::start(self.bytes + context.bytes, context.squares);
        self.apply(context.root(flag), context.arena)
    }

    fn apply<'a>(&'a self, root: DataValue<'a>, arena: &'a Bump) -> std::result::Result<&'a DataValue<'a>, Fault> {
        let result = ENGINE.evaluate(&self.logic, root, arena).map_err(|error| {
            // Operators of ours are compiled to other names (`operator.rs`, `loose.rs`).
            let text = error.to_string().replace("(in operator: #", "(in operator: ");
            if meter::exhausted() { Fault::TooMuch(text) } else { Fault::Operator(text) }
        })?;
        match result {
            DataValue::Number(number) if !number.as_f64().is_finite() => {
                Err(Fault::Operator("the rule gives an infinite number".to_owned()))
            }
            result => Ok(result),
        }
    }
}

/// Why a rule yielded nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// An operator cannot handle its arguments.
    Operator(String),
    /// It exceeded the cost limit of an evaluation.
    TooMuch(String),
}

impl Fault {
    /// What happened, as text.
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Operator(text) | Self::TooMuch(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Origin: tests/data/flagd-cases/README.md.
    const SUITE: &str = include_str!("../../../tests/data/flagd-cases/jsonlogic.json");

    /// Runs a rule over any data; the suite has some that is no context.
    fn result(rule: &Value, data: &Value) -> std::result::Result<Value, String> {
        let targeting = if rule.is_object() { rule.clone() } else { json!({"if": [true, rule]}) };
        let rule =
            Rule::compile(&targeting, &Map::new(), Bucketing::V2, "flag").map_err(|error| error.to_string())?;
        let arena = Bump::new();
        let root = DataValue::from_serde_value_in(data, &arena);
        meter::start(0, 0);
        rule.apply(root, &arena).map(DataValue::to_serde_value).map_err(Fault::into_text)
    }

    fn same(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
            (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
            _ => a == b,
        }
    }

    #[test]
    fn every_row_of_jsonlogics_suite_that_engines_agree_on_holds() {
        let suite: Vec<Value> = serde_json::from_str(SUITE).expect("the suite is JSON");
        let must: Vec<&Value> = suite.iter().filter(|row| row["tier"] == "must").collect();
        let mut missed = Vec::new();
        for row in &must {
            let got = result(&row["rule"], &row["data"]);
            let holds = match (&got, row.get("error")) {
                (Ok(value), None) => same(value, &row["result"]),
                (got, error) => got.is_err() && error.is_some(),
            };
            if !holds {
                missed.push(format!("{}: {got:?}; {row}", row["id"]));
            }
        }
        assert_eq!(missed, Vec::<String>::new());
        assert_eq!(must.len(), 405);
    }
}
