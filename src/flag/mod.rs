//! SQL face of `core::targeting`: flags cached by the backend, and the functions that evaluate them.
//!
//! What is here: the way from an SQL call to an answer. `cache` holds the flags; the functions are grouped by topic:
//! `evaluate` (answers), `ofrep` (answers as OFREP's JSON), `exchange` (flagd's documents, checks).

mod cache;
pub mod evaluate;
pub mod exchange;
pub mod ofrep;

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use flagscope_core::Error;
use flagscope_core::targeting::{Answer, Context, FLAGS_PER_CONTEXT, Flag, Session, ValueType, evaluate as decide};
use pgrx::pg_sys::panic::ErrorReport;

use crate::pg::clock;
use crate::pg::jsonb::Jsonb;

thread_local! {
    static SESSION: RefCell<Session> = RefCell::new(Session::new());
}

/// Who asks: the arguments common to all evaluating functions.
struct Caller<'a> {
    targeting_key: Option<&'a str>,
    context: Option<Jsonb<'a>>,
    environment: String,
    /// Whether the context may be given as the body of an OFREP request.
    in_body: bool,
}

impl<'a> Caller<'a> {
    fn new(targeting_key: Option<&'a str>, context: Option<Jsonb<'a>>, environment: Option<&str>) -> Self {
        let environment = environment.map_or_else(default_environment, str::to_owned);
        Self { targeting_key, context, environment, in_body: false }
    }

    /// A caller by OFREP: with the context, or with the request's body that contains it.
    fn by_ofrep(context: Option<Jsonb<'a>>, environment: Option<&str>) -> Self {
        Self { in_body: true, ..Self::new(None, context, environment) }
    }

    /// Calls back with the caller's context, or with the error if it cannot be read.
    fn with_context<R>(&self, timestamp: i64, body: impl FnOnce(flagscope_core::Result<Context>) -> R) -> R {
        SESSION.with_borrow_mut(|session| {
            let mut builder = session.begin(timestamp);
            let fed = self.context.as_ref().map_or(Ok(()), |context| context.feed(&mut builder));
            if self.in_body {
                builder.unwrap_body();
            }
            body(fed.and_then(|()| builder.finish(self.targeting_key)))
        })
    }

    /// Answers for one flag.
    fn answer<R>(
        &self,
        key: &str,
        asked: Option<ValueType>,
        body: impl FnOnce(Option<&Flag>, Result<Answer, &Error>) -> R,
    ) -> Result<R, ErrorReport> {
        let flag = with_needed(&self.environment, key)?;
        let lookup = |key: &str| cache::flag(&self.environment, key).ok().flatten();
        Ok(self.with_context(clock::unix_seconds(), |context| {
            let flag = flag.as_deref();
            body(flag, context.as_ref().map(|context| decide(flag, asked, context, &lookup)))
        }))
    }

    /// Answers for every flag of the environment; the context is read once for as many flags as fit into the session's
    /// memory.
    fn answers<R>(
        &self,
        mut body: impl FnMut(&str, Option<&Flag>, Result<Answer, &Error>) -> R,
    ) -> Result<Vec<R>, ErrorReport> {
        let lookup = |key: &str| cache::flag(&self.environment, key).ok().flatten();
        let now = clock::unix_seconds();
        let keys = cache::keys(&self.environment)?;
        let mut rows = Vec::with_capacity(keys.len());
        for keys in keys.chunks(FLAGS_PER_CONTEXT) {
            let flags: Vec<_> =
                keys.iter().map(|key| with_needed(&self.environment, key)).collect::<Result<_, _>>()?;
            self.with_context(now, |context| {
                rows.extend(keys.iter().zip(&flags).map(|(key, flag)| {
                    let flag = flag.as_deref();
                    body(key, flag, context.as_ref().map(|context| decide(flag, None, context, &lookup)))
                }));
            });
        }
        Ok(rows)
    }
}

fn default_environment() -> String {
    crate::guc::environment().unwrap_or_default()
}

/// A flag with all its prerequisites, taken from the cache first, so that no query runs or fails during the evaluation.
fn with_needed(environment: &str, flag: &str) -> Result<Option<Arc<Flag>>, ErrorReport> {
    let asked = cache::flag(environment, flag)?;
    let needed = |flag: &Flag| flag.definition().prerequisites.iter().map(|p| p.flag.clone()).collect::<Vec<_>>();
    let mut open = asked.as_deref().map(needed).unwrap_or_default();
    let mut seen = HashSet::new();
    while let Some(key) = open.pop() {
        if seen.insert(key.clone()) {
            open.extend(cache::flag(environment, &key)?.as_deref().map(needed).unwrap_or_default());
        }
    }
    Ok(asked)
}
