//! Evaluation: typed and untyped answers, for one flag or all, now or as of a time; documented by `COMMENT` in
//! `sql/api/evaluate.sql`.

use std::collections::HashMap;
use std::sync::Arc;

use flagscope_core::targeting::ofrep::INVALID_CONTEXT;
use flagscope_core::targeting::{Answer, Flag, Stored, ValueType, evaluate as decide, explain};
use flagscope_core::{Error, Kind};
use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Map, Value};

use super::{Caller, cache, with_needed};
use crate::error::Report;
use crate::pg::answer::AnsweredValue;
use crate::pg::clock;
use crate::pg::document::Document;
use crate::pg::jsonb::Jsonb;

/// The columns of an answer: value, variant, reason, error code, metadata.
type Columns = (Option<AnsweredValue>, Option<String>, String, Option<String>, Option<AnsweredValue>);

fn columns(answer: Result<Answer, &Error>, metadata: Option<&Map<String, Value>>) -> Columns {
    let metadata = metadata.map(|m| AnsweredValue(Value::Object(m.clone())));
    match answer {
        Ok(answer) => (
            answer.value.cloned().map(AnsweredValue),
            answer.variant.map(str::to_owned),
            answer.reason.label().to_owned(),
            answer.error.map(|error| error.label().to_owned()),
            metadata,
        ),
        // An answer like any other, because an error would abort the caller's transaction.
        Err(_) => (None, None, "ERROR".to_owned(), Some(INVALID_CONTEXT.to_owned()), metadata),
    }
}

/// The requested key: NULL and the empty string are no flag's key.
pub(super) fn named(flag: Option<&str>) -> &str {
    flag.unwrap_or_default()
}

#[pg_extern(stable, parallel_safe)]
#[allow(clippy::type_complexity)] // the columns of one SQL row; pgrx reads their names here
fn evaluate(
    flag: Option<&str>,
    targeting_key: default!(Option<&str>, "NULL"),
    context: default!(Option<Jsonb>, "NULL"),
    environment: default!(Option<&str>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(value, Option<AnsweredValue>),
            name!(variant, Option<String>),
            name!(reason, String),
            name!(error_code, Option<String>),
            name!(metadata, Option<AnsweredValue>),
        ),
    >,
    ErrorReport,
> {
    let caller = Caller::new(targeting_key, context, environment);
    let row = caller.answer(named(flag), None, |flag, answer| columns(answer, flag.map(Flag::metadata)))?;
    Ok(TableIterator::once(row))
}

#[pg_extern(stable, parallel_safe)]
#[allow(clippy::type_complexity)] // the columns of one SQL row; pgrx reads their names here
fn evaluate_all(
    targeting_key: default!(Option<&str>, "NULL"),
    context: default!(Option<Jsonb>, "NULL"),
    environment: default!(Option<&str>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(flag, String),
            name!(value, Option<AnsweredValue>),
            name!(variant, Option<String>),
            name!(reason, String),
            name!(error_code, Option<String>),
            name!(metadata, Option<AnsweredValue>),
        ),
    >,
    ErrorReport,
> {
    let caller = Caller::new(targeting_key, context, environment);
    let rows = caller.answers(|key, flag, answer| {
        let (value, variant, reason, error, metadata) = columns(answer, flag.map(Flag::metadata));
        (key.to_owned(), value, variant, reason, error, metadata)
    })?;
    Ok(TableIterator::new(rows))
}

/// A typed answer: the served value, else the caller's default.
fn typed<R>(
    flag: Option<&str>,
    caller: &Caller,
    asked: ValueType,
    read: impl FnOnce(&Value) -> Option<R>,
) -> Result<Option<R>, ErrorReport> {
    caller.answer(named(flag), Some(asked), |_, answer| answer.ok().and_then(|a| a.value).and_then(read))
}

#[pg_extern(stable, parallel_safe)]
fn evaluate_boolean(
    flag: Option<&str>,
    targeting_key: Option<&str>,
    default: Option<bool>,
    context: default!(Option<Jsonb>, "NULL"),
    environment: default!(Option<&str>, "NULL"),
) -> Result<Option<bool>, ErrorReport> {
    let caller = Caller::new(targeting_key, context, environment);
    Ok(typed(flag, &caller, ValueType::Boolean, Value::as_bool)?.or(default))
}

#[pg_extern(stable, parallel_safe)]
fn evaluate_string(
    flag: Option<&str>,
    targeting_key: Option<&str>,
    default: Option<String>,
    context: default!(Option<Jsonb>, "NULL"),
    environment: default!(Option<&str>, "NULL"),
) -> Result<Option<String>, ErrorReport> {
    let caller = Caller::new(targeting_key, context, environment);
    Ok(typed(flag, &caller, ValueType::String, |v| v.as_str().map(str::to_owned))?.or(default))
}

#[pg_extern(stable, parallel_safe)]
fn evaluate_integer(
    flag: Option<&str>,
    targeting_key: Option<&str>,
    default: Option<i64>,
    context: default!(Option<Jsonb>, "NULL"),
    environment: default!(Option<&str>, "NULL"),
) -> Result<Option<i64>, ErrorReport> {
    let caller = Caller::new(targeting_key, context, environment);
    let whole = |v: &Value| v.as_i64().or_else(|| v.as_f64().map(|x| x as i64)); // within 2^53: the type was checked
    Ok(typed(flag, &caller, ValueType::Integer, whole)?.or(default))
}

#[pg_extern(stable, parallel_safe)]
fn evaluate_number(
    flag: Option<&str>,
    targeting_key: Option<&str>,
    default: Option<f64>,
    context: default!(Option<Jsonb>, "NULL"),
    environment: default!(Option<&str>, "NULL"),
) -> Result<Option<f64>, ErrorReport> {
    let caller = Caller::new(targeting_key, context, environment);
    Ok(typed(flag, &caller, ValueType::Number, Value::as_f64)?.or(default))
}

#[pg_extern(stable, parallel_safe)]
fn evaluate_object(
    flag: Option<&str>,
    targeting_key: Option<&str>,
    default: Option<Document>,
    context: default!(Option<Jsonb>, "NULL"),
    environment: default!(Option<&str>, "NULL"),
) -> Result<Option<JsonB>, ErrorReport> {
    let caller = Caller::new(targeting_key, context, environment);
    let served = typed(flag, &caller, ValueType::Object, |v| Some(JsonB(v.clone())))?;
    match (served, default) {
        (None, Some(default)) => Ok(Some(JsonB(default.0.report()?))),
        (served, _) => Ok(served),
    }
}

#[pg_extern(stable, parallel_safe)]
fn explain_evaluation(
    flag: Option<&str>,
    targeting_key: default!(Option<&str>, "NULL"),
    context: default!(Option<Jsonb>, "NULL"),
    environment: default!(Option<&str>, "NULL"),
) -> Result<JsonB, ErrorReport> {
    let (caller, flag) = (Caller::new(targeting_key, context, environment), named(flag));
    let found = with_needed(&caller.environment, flag)?;
    let lookup = |key: &str| cache::flag(&caller.environment, key).ok().flatten();
    let explained = caller.with_context(clock::unix_seconds(), |context| {
        context.map(|context| explain(flag, found.as_deref(), None, &context, &lookup))
    });
    let explanation = explained.report()?;
    Ok(JsonB(serde_json::to_value(explanation).unwrap_or(Value::Null)))
}

/// Evaluates a flag from definitions given as JSON, at a given time; `sql/api/evaluate.sql` takes them from the
/// history.
#[pg_extern(stable, parallel_safe, schema = "_flagscope")]
#[allow(clippy::type_complexity)] // the columns of one SQL row; pgrx reads their names here
fn evaluate_among(
    definitions: Option<Document>,
    flag: Option<&str>,
    targeting_key: Option<&str>,
    context: Option<Jsonb>,
    unix_seconds: Option<f64>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(value, Option<AnsweredValue>),
            name!(variant, Option<String>),
            name!(reason, String),
            name!(error_code, Option<String>),
            name!(metadata, Option<AnsweredValue>),
        ),
    >,
    ErrorReport,
> {
    let at = moment(unix_seconds).report()?;
    let flags = definitions.map_or_else(|| Ok(HashMap::new()), |d| d.0.and_then(compiled)).report()?;
    let caller = Caller::new(targeting_key, context, None);
    let found = flags.get(named(flag)).cloned();
    let lookup = |key: &str| flags.get(key).cloned();
    let row = caller.with_context(at, |context| {
        let flag = found.as_deref();
        columns(context.as_ref().map(|context| decide(flag, None, context, &lookup)), flag.map(Flag::metadata))
    });
    Ok(TableIterator::once(row))
}

/// A time in whole seconds.
fn moment(unix_seconds: Option<f64>) -> flagscope_core::Result<i64> {
    let missing = |what: &str| {
        Error::new(Kind::InvalidParameter, format!("the time of an evaluation cannot be {what}"))
            .hint("For the answer of now use evaluate().")
    };
    match unix_seconds {
        Some(seconds) if seconds.is_finite() => Ok(seconds.floor() as i64),
        Some(_) => Err(missing("infinite")),
        None => Err(missing("NULL")),
    }
}

/// Flags by key from a JSON array of stored definitions.
fn compiled(definitions: Value) -> flagscope_core::Result<HashMap<String, Arc<Flag>>> {
    let Value::Array(definitions) = definitions else {
        return Err(Error::new(Kind::InvalidParameter, "definitions must be a JSON array"));
    };
    let mut flags = HashMap::new();
    for definition in definitions {
        let flag = Arc::new(Stored::parse(definition)?.into_flag()?);
        flags.insert(flag.definition().key.clone(), flag);
    }
    Ok(flags)
}
