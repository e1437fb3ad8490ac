//! Definitions in and out: flagd's documents, and the check of a targeting rule.

use flagscope_core::targeting::{Definition, Problem, Stored, check, check_values, flagd, outcomes};
use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Map, Value, json};

use crate::error::Report;
use crate::pg::document::Document;

/// Raises unless a flag's JSON can be read when the flag is evaluated.
#[pg_extern(immutable, strict, parallel_safe)]
fn _check_document(document: Document) -> Result<(), ErrorReport> {
    document.0.report().map(|_| ())
}

fn object(json: Option<JsonB>) -> Map<String, Value> {
    match json {
        Some(JsonB(Value::Object(map))) => map,
        _ => Map::new(),
    }
}

#[pg_extern(immutable, parallel_safe, name = "_check_targeting")]
#[allow(clippy::type_complexity)] // the columns of one SQL row; pgrx reads their names here
fn check_rule(
    targeting: Document,
    segments: Option<JsonB>,
) -> TableIterator<'static, (name!(path, String), name!(problem, String), name!(is_error, bool))> {
    let problems = match targeting.0 {
        Ok(targeting) => check(&targeting, &object(segments)),
        Err(error) => vec![Problem { path: String::new(), message: error.message, error: Some(error.kind) }],
    };
    TableIterator::new(problems.into_iter().map(|p| (p.path, p.message, p.error.is_some())))
}

/// Which variants a targeting rule names as results, and whether it may compute others.
#[pg_extern(immutable, strict, parallel_safe)]
fn _targeting_outcomes(
    targeting: Document,
) -> Result<TableIterator<'static, (name!(variants, Vec<String>), name!(any, bool))>, ErrorReport> {
    let found = outcomes(&targeting.0.report()?);
    Ok(TableIterator::once((found.variants.into_iter().collect(), found.any)))
}

#[pg_extern(immutable, parallel_safe)]
fn _check_schema(
    schema: Option<Document>,
    variants: Document,
) -> Result<TableIterator<'static, (name!(path, String), name!(problem, String))>, ErrorReport> {
    let problems = match (schema, variants.0.report()?) {
        (Some(schema), Value::Object(variants)) => check_values(&schema.0.report()?, &variants).report()?,
        _ => Vec::new(),
    };
    Ok(TableIterator::new(problems.into_iter().map(|p| (p.path, p.message))))
}

#[pg_extern(immutable, parallel_safe, name = "_write_flagd")]
fn write_flagd(
    definitions: JsonB,
    segments: Option<JsonB>,
    metadata: Option<JsonB>,
) -> Result<TableIterator<'static, (name!(document, JsonB), name!(problems, JsonB))>, ErrorReport> {
    let mut parsed = Vec::new();
    for definition in definitions.0.as_array().into_iter().flatten() {
        parsed.push(Stored::parse(definition.clone()).and_then(|stored| stored.definition()).report()?);
    }
    let written = flagd::write(&parsed, &object(segments), &object(metadata));
    Ok(TableIterator::once((JsonB(written.document), JsonB(problems(&written.problems)))))
}

#[pg_extern(immutable, parallel_safe, name = "_read_flagd")]
fn read_flagd(document: Document) -> Result<JsonB, ErrorReport> {
    let document = document.0.report()?;
    let read = flagd::read(&document).report()?;
    let flags: Vec<Value> = read
        .flags
        .iter()
        .map(|entry| {
            let definition = entry.definition.as_ref().map(|d| stored(d, &document));
            json!({"key": entry.key, "definition": definition, "problems": problems(&entry.problems)})
        })
        .collect();
    let problems = problems(&read.problems);
    Ok(JsonB(json!({"flags": flags, "segments": read.segments, "metadata": read.metadata, "problems": problems})))
}

/// A definition as it is stored. A live rollout is no part of what is imported: its split stays in the rule, as flagd has
/// it, together with the prerequisites, so that everyone keeps the variant.
fn stored(definition: &Definition, document: &Value) -> Value {
    let stored = match &definition.split {
        None => Stored::of(definition),
        Some(_) => {
            let targeting = document["flags"][&definition.key].get("targeting").cloned();
            Stored::of(&Definition { targeting, split: None, prerequisites: Vec::new(), ..definition.clone() })
        }
    };
    serde_json::to_value(stored).unwrap_or(Value::Null)
}

fn problems(problems: &[Problem]) -> Value {
    problems.iter().map(|p| json!({"path": p.path, "problem": p.message, "is_error": p.error.is_some()})).collect()
}
