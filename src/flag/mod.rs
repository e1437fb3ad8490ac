//! SQL face of `core::targeting`: flags cached per backend, and the functions that answer from them.
//!
//! What is here: the cache and the way from an SQL call to an answer. The functions stand by topic: `evaluate`
//! (answers), `ofrep` (the same as OFREP's JSON), `exchange` (flagd's documents, checks).

pub mod evaluate;
pub mod exchange;
pub mod ofrep;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use flagscope_core::Error;
use flagscope_core::targeting::{Answer, Context, Flag, Session, Stored, ValueType, evaluate as decide};
use pgrx::pg_sys::panic::ErrorReport;

use crate::error::Report;
use crate::pg::jsonb::Jsonb;
use crate::pg::{cache, clock, latest};

/// Bound of the cache: callers can ask for any number of flags that do not exist.
const MAX_CACHED: usize = 10_000;

/// A rule may build up to 16 MB before it is stopped, and a session keeps that until its next context.
const FLAGS_PER_CONTEXT: usize = 64;

#[derive(Default)]
struct Cache {
    generation: u64,
    /// Filled inside a parallel query, by its snapshot: not to be used after it.
    is_parallel: bool,
    /// environment as asked for -> flag -> the flag, or that there is none
    flags: HashMap<String, HashMap<String, Option<Rc<Flag>>>>,
    /// environment as asked for -> the keys of its flags, without archived ones
    keys: HashMap<String, Rc<[String]>>,
    count: usize,
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::new(Cache::default());
    static SESSION: RefCell<Session> = RefCell::new(Session::new());
}

/// Who asks: the arguments that every evaluating function has.
struct Caller<'a> {
    targeting_key: Option<&'a str>,
    context: Option<Jsonb<'a>>,
    environment: String,
}

impl<'a> Caller<'a> {
    fn new(targeting_key: Option<&'a str>, context: Option<Jsonb<'a>>, environment: Option<&str>) -> Self {
        Self { targeting_key, context, environment: environment.map_or_else(default_environment, str::to_owned) }
    }

    /// Calls back with the caller's context; a context that cannot be read is given as an error.
    fn with_context<R>(&self, timestamp: i64, body: impl FnOnce(flagscope_core::Result<Context>) -> R) -> R {
        SESSION.with_borrow_mut(|session| {
            let mut builder = session.begin(timestamp);
            let fed = self.context.as_ref().map_or(Ok(()), |context| context.feed(&mut builder));
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
        let lookup = |key: &str| cached(&self.environment, key).ok().flatten();
        Ok(self.with_context(clock::unix_seconds(), |context| {
            let flag = flag.as_deref();
            body(flag, context.as_ref().map(|context| decide(flag, asked, context, &lookup)))
        }))
    }

    /// Answers for every flag of the environment, reading the context once for as many as a session has memory for.
    fn answers<R>(
        &self,
        body: impl Fn(&str, Option<&Flag>, Result<Answer, &Error>) -> R,
    ) -> Result<Vec<R>, ErrorReport> {
        let lookup = |key: &str| cached(&self.environment, key).ok().flatten();
        let now = clock::unix_seconds();
        let keys = keys(&self.environment)?;
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

/// Looks into the cache, emptied first where it is out of date.
fn look<R>(find: impl FnOnce(&Cache) -> Option<R>) -> Option<R> {
    let generation = cache::generation();
    CACHE.with_borrow_mut(|cache| {
        let is_parallel = latest::is_parallel();
        if cache.generation != generation || cache.count >= MAX_CACHED || (cache.is_parallel && !is_parallel) {
            *cache = Cache { generation, is_parallel, ..Cache::default() };
        }
        cache.is_parallel |= is_parallel;
        find(cache)
    })
}

/// The keys of an environment's flags, from the cache or loaded into it; an unknown environment is an error.
fn keys(environment: &str) -> Result<Rc<[String]>, ErrorReport> {
    if let Some(known) = look(|cache| cache.keys.get(environment).cloned()) {
        return Ok(known);
    }
    let loaded = latest::json(c"SELECT flagscope._load_flag_keys($1)::text", &[environment]).report()?;
    let loaded: Vec<String> = loaded.and_then(|json| serde_json::from_value(json).ok()).unwrap_or_default();
    let loaded = Rc::from(loaded);
    CACHE.with_borrow_mut(|cache| cache.keys.insert(environment.to_owned(), Rc::clone(&loaded)));
    Ok(loaded)
}

/// A flag from the cache, or loaded into it.
fn cached(environment: &str, flag: &str) -> Result<Option<Rc<Flag>>, ErrorReport> {
    let known = look(|cache| cache.flags.get(environment).and_then(|flags| flags.get(flag)).cloned());
    if let Some(known) = known {
        return Ok(known);
    }
    let loaded = load(environment, flag)?;
    CACHE.with_borrow_mut(|cache| {
        cache.count += 1;
        cache.flags.entry(environment.to_owned()).or_default().insert(flag.to_owned(), loaded.clone());
    });
    Ok(loaded)
}

/// A flag with all that its prerequisites need, in the cache: no query runs, and none fails, while it is evaluated.
fn with_needed(environment: &str, flag: &str) -> Result<Option<Rc<Flag>>, ErrorReport> {
    let asked = cached(environment, flag)?;
    let needed = |flag: &Flag| flag.definition().prerequisites.iter().map(|p| p.flag.clone()).collect::<Vec<_>>();
    let mut open = asked.as_deref().map(needed).unwrap_or_default();
    let mut seen = HashSet::new();
    while let Some(key) = open.pop() {
        if seen.insert(key.clone()) {
            open.extend(cached(environment, &key)?.as_deref().map(needed).unwrap_or_default());
        }
    }
    Ok(asked)
}

fn load(environment: &str, flag: &str) -> Result<Option<Rc<Flag>>, ErrorReport> {
    match latest::json(c"SELECT flagscope._load_flag($1, $2)::text", &[flag, environment]).report()? {
        Some(json) => Ok(Some(Rc::new(Stored::parse(json).and_then(|stored| stored.flag()).report()?))),
        None => Ok(None),
    }
}
