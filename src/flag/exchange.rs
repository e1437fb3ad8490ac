//! Import and export of definitions: flagd's documents, and the check of a targeting rule.

use std::collections::BTreeSet;

use flagscope_core::Result as CoreResult;
use flagscope_core::targeting::{self, Definition, Problem, Stored, check, check_values, flagd, outcomes};
use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Map, Value, json};

use crate::error::Report;
use crate::pg::document::Document;

/// Raises unless a flag's JSON can be read when the flag is evaluated.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn check_document(document: Document) -> Result<(), ErrorReport> {
    document.0.report().map(|_| ())
}

/// The object, empty if it is missing.
fn object(json: Option<Document>) -> CoreResult<Map<String, Value>> {
    match json.map(|document| document.0).transpose()? {
        Some(Value::Object(map)) => Ok(map),
        _ => Ok(Map::new()),
    }
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope", name = "check_targeting")]
#[allow(clippy::type_complexity)] // the columns of one SQL row; pgrx reads their names here
fn check_rule(
    targeting: Option<Document>,
    segments: Option<Document>,
) -> Result<
    TableIterator<'static, (name!(path, String), name!(problem, String), name!(hint, String), name!(is_error, bool))>,
    ErrorReport,
> {
    let problems = match targeting.map(|targeting| targeting.0) {
        Some(Ok(targeting)) => check(&targeting, &object(segments).report()?),
        Some(Err(error)) => {
            let hint = error.hint.unwrap_or_else(|| "Give it as JSON.".into());
            vec![Problem { path: String::new(), message: error.message, hint, error: Some(error.kind) }]
        }
        None => Vec::new(), // no rule: everybody gets the default variant
    };
    Ok(TableIterator::new(problems.into_iter().map(|p| (p.path, p.message, p.hint, p.error.is_some()))))
}

/// Which variants a targeting rule names as results, and whether it may compute others.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn targeting_outcomes(
    targeting: Document,
) -> Result<TableIterator<'static, (name!(variants, Vec<String>), name!(any, bool))>, ErrorReport> {
    let found = outcomes(&targeting.0.report()?);
    Ok(TableIterator::once((found.variants.into_iter().collect(), found.any)))
}

/// The results of a rule that are not among the variants; none for a rule that cannot be read.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn unknown_variants(
    targeting: Document,
    segments: Document,
    variants: Document,
) -> Result<TableIterator<'static, (name!(path, String), name!(problem, String), name!(hint, String))>, ErrorReport> {
    let rule = targeting.0.unwrap_or_default();
    let (segments, variants) = (object(Some(segments)).report()?, object(Some(variants)).report()?);
    let problems = targeting::unknown_variants(&rule, &segments, &variants);
    Ok(TableIterator::new(problems.into_iter().map(|p| (p.path, p.message, p.hint))))
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn check_schema(
    schema: Option<Document>,
    variants: Option<Document>,
) -> Result<TableIterator<'static, (name!(path, String), name!(problem, String))>, ErrorReport> {
    let problems = match (schema, variants.map(|variants| variants.0).transpose().report()?) {
        (Some(schema), Some(Value::Object(variants))) => check_values(&schema.0.report()?, &variants).report()?,
        _ => Vec::new(),
    };
    Ok(TableIterator::new(problems.into_iter().map(|p| (p.path, p.message))))
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn write_flagd(
    definitions: Option<Document>,
    segments: Option<Document>,
    metadata: Option<Document>,
) -> Result<TableIterator<'static, (name!(document, JsonB), name!(problems, JsonB))>, ErrorReport> {
    let mut parsed = Vec::new();
    let definitions = definitions.map(|definitions| definitions.0).transpose().report()?;
    for definition in definitions.iter().filter_map(Value::as_array).flatten() {
        parsed.push(Stored::parse(definition.clone()).and_then(|stored| stored.definition()).report()?);
    }
    let written = flagd::write(&parsed, &object(segments).report()?, &object(metadata).report()?);
    Ok(TableIterator::once((JsonB(written.document), JsonB(problems(&written.problems)))))
}

#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn read_flagd(document: Document) -> Result<JsonB, ErrorReport> {
    let document = document.0.report()?;
    let read = flagd::read(&document).report()?;
    let flags: Vec<Value> = read
        .flags
        .iter()
        .map(|entry| {
            let definition = entry.definition.as_ref().map(|d| stored(d, &document, &read.bucketed));
            json!({"key": entry.key, "definition": definition, "problems": problems(&entry.problems)})
        })
        .collect();
    let problems = problems(&read.problems);
    Ok(JsonB(json!({"flags": flags, "segments": read.segments, "metadata": read.metadata, "problems": problems})))
}

/// A definition as stored. A live rollout is not part of an import: its split remains in the rule, together with the
/// prerequisites, as in flagd, so that users keep their variant. A bucketing that the document does not state is
/// omitted.
fn stored(definition: &Definition, document: &Value, bucketed: &BTreeSet<String>) -> Value {
    let stored = match &definition.split {
        None => Stored::of(definition),
        Some(_) => {
            let targeting = document["flags"][&definition.key].get("targeting").cloned();
            Stored::of(&Definition { targeting, split: None, prerequisites: Vec::new(), ..definition.clone() })
        }
    };
    let mut stored = serde_json::to_value(stored).unwrap_or(Value::Null);
    if let Some(fields) = stored.as_object_mut().filter(|_| !bucketed.contains(&definition.key)) {
        fields.remove("bucketing");
    }
    stored
}

fn problems(problems: &[Problem]) -> Value {
    let told =
        |p: &Problem| json!({"path": p.path, "problem": p.message, "hint": p.hint, "is_error": p.error.is_some()});
    problems.iter().map(told).collect()
}
