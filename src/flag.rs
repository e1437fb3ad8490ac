//! SQL face of `core::targeting`: evaluation with flags cached per backend.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use flagscope_core::targeting::{Answer, Bucketing, Flag, Split, evaluate as decide};
use flagscope_core::{Error, Kind};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, spi};
use serde_json::Value;

use crate::error::Report;
use crate::pg::cache;
use crate::pg::document::Document;

/// Bound of the cache: callers can ask for any number of flags that do not exist.
const MAX_CACHED: usize = 10_000;

/// A flag as cached: its definition and the metadata of its answers.
struct Cached {
    flag: Flag,
    metadata: Value,
}

#[derive(Default)]
struct Cache {
    generation: u64,
    /// (environment as asked for, flag) -> the flag, or that there is none
    flags: HashMap<(String, String), Option<Rc<Cached>>>,
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::new(Cache::default());
}

/// Evaluates a flag; documented in `sql/api/evaluate.sql`.
#[pg_extern(stable, parallel_safe)]
#[allow(clippy::type_complexity)] // the columns of one SQL row
fn evaluate(
    flag: Option<&str>,
    targeting_key: default!(Option<&str>, "NULL"),
    context: default!(Option<Document>, "NULL"),
    environment: default!(Option<&str>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(value, Option<JsonB>),
            name!(variant, Option<String>),
            name!(reason, String),
            name!(error_code, Option<String>),
            name!(metadata, Option<JsonB>),
        ),
    >,
    ErrorReport,
> {
    // NULL is no flag's key.
    let cached = cached(environment.map_or_else(default_environment, str::to_owned), flag.unwrap_or_default())?;
    let context = context.map(|document| document.0).transpose();
    let from_context = context.as_ref().ok().and_then(|c| c.as_ref()?.get("targetingKey")?.as_str());
    let answer = match &context {
        Ok(_) => decide(cached.as_ref().map(|c| &c.flag), targeting_key.or(from_context)),
        Err(_) => Answer::error("INVALID_CONTEXT"), // an answer as any other: an error would end the caller's transaction
    };
    Ok(TableIterator::once((
        answer.value.cloned().map(JsonB),
        answer.variant.map(str::to_owned),
        answer.reason.label().to_owned(),
        answer.error_code.map(str::to_owned),
        cached.as_ref().map(|c| JsonB(c.metadata.clone())),
    )))
}

/// Raises unless a flag's JSON can be read when the flag is evaluated.
#[pg_extern(immutable, strict, parallel_safe)]
fn _check_document(document: Document) -> Result<(), ErrorReport> {
    document.0.report().map(|_| ())
}

fn cached(environment: String, flag: &str) -> Result<Option<Rc<Cached>>, ErrorReport> {
    let generation = cache::generation();
    let key = (environment, flag.to_owned());
    let known = CACHE.with_borrow_mut(|cache| {
        if cache.generation != generation || cache.flags.len() >= MAX_CACHED {
            *cache = Cache { generation, flags: HashMap::new() };
        }
        cache.flags.get(&key).cloned()
    });
    if let Some(known) = known {
        return Ok(known);
    }
    let loaded = load(&key.0, &key.1)
        .map_err(|problem| Error::new(Kind::Corrupted, format!("flag \"{flag}\" cannot be read: {problem}")))
        .report()?
        .map(Rc::new);
    CACHE.with_borrow_mut(|cache| cache.flags.insert(key, loaded.clone()));
    Ok(loaded)
}

fn load(environment: &str, flag: &str) -> Result<Option<Cached>, spi::Error> {
    let query = "SELECT enabled, variants, default_variant, treatment, control, percent, bucketing, metadata
                 FROM flagscope._load_flag($1, $2)";
    Spi::connect(|client| {
        let mut rows = client.select(query, Some(1), &[flag.into(), environment.into()])?;
        let Some(row) = rows.next() else { return Ok(None) };
        let Some(JsonB(Value::Object(variants))) = row.get(2)? else { return Ok(None) };
        let split = match (row.get(4)?, row.get(5)?, row.get(6)?) {
            (Some(treatment), Some(control), Some(percent)) => Some(Split::new(treatment, control, percent)),
            _ => None,
        };
        let bucketing: Option<String> = row.get(7)?;
        let flag = Flag {
            key: flag.to_owned(),
            enabled: row.get(1)?.unwrap_or(false),
            variants,
            default_variant: row.get(3)?,
            split,
            bucketing: if bucketing.as_deref() == Some("v3") { Bucketing::V3 } else { Bucketing::V2 },
        };
        let metadata = row.get::<JsonB>(8)?.map_or(Value::Null, |json| json.0);
        Ok(Some(Cached { flag, metadata }))
    })
}

fn default_environment() -> String {
    crate::guc::environment().unwrap_or_default()
}
