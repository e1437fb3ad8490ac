//! From what a request gives to a context, and to answers.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{SystemTime, UNIX_EPOCH};

use flagscope_core::targeting::{
    Answer, Context, ErrorCode, FLAGS_PER_CONTEXT, Reason, Session, ValueType, evaluate,
};
use flagscope_core::{Error, Kind};

use super::set::{Entry, Set};
use super::wire;

thread_local! {
    static SESSION: RefCell<Session> = RefCell::new(Session::new());
}

/// Why a body gives no context.
#[derive(Debug)]
pub enum BadBody {
    /// It is not JSON.
    NotJson(String),
    /// What it says is no context, or more than is read.
    NoContext(String),
}

impl From<Error> for BadBody {
    fn from(error: Error) -> Self {
        match error.kind {
            Kind::InvalidText => Self::NotJson(error.message),
            _ => Self::NoContext(error.message),
        }
    }
}

/// What a request gives for its context.
#[derive(Clone, Copy)]
pub enum Given<'a> {
    /// The body of OFREP: `{"context": {...}}`, or nothing.
    Json(&'a [u8]),
    /// `google.protobuf.Struct`.
    Struct(&'a [u8]),
}

/// Calls back with the context that is given.
fn with_context<R>(given: Given, now: i64, then: impl FnOnce(&Context) -> R) -> Result<R, BadBody> {
    SESSION.with_borrow_mut(|session| {
        let mut builder = session.begin(now);
        match given {
            Given::Struct(bytes) => wire::feed(&mut builder, bytes)?,
            Given::Json(body) => {
                let text = std::str::from_utf8(body);
                let text = text.map_err(|_| BadBody::NotJson("not JSON: it is not UTF-8".to_owned()))?;
                if !text.trim_ascii().is_empty() {
                    builder.json(text)?;
                    builder.unwrap_body();
                }
            }
        }
        Ok(then(&builder.finish(None)?))
    })
}

/// What an evaluation gives; none where it panicked, which costs its request alone.
pub fn guarded<R>(work: impl FnOnce() -> R) -> Option<R> {
    let done = catch_unwind(AssertUnwindSafe(work)).ok();
    if done.is_none() {
        crate::log::error("an evaluation panicked", &[]);
    }
    done
}

/// The time of an evaluation, in Unix seconds.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

/// Evaluates one flag of a set, as a value of a type where one is asked for. Calls back with the answer and whom it is for.
pub fn one<R>(
    set: &Set,
    key: &str,
    asked: Option<ValueType>,
    given: Given,
    then: impl FnOnce(&Answer, Option<&str>) -> R,
) -> Result<R, BadBody> {
    with_context(given, now(), |context| {
        answer(set, set.entry(key), asked, context, |answer| then(answer, context.targeting_key()))
    })
}

/// Evaluates flags of a set with a context, which is read once for as many as a session has memory for.
pub fn many(set: &Set, keys: &[&str], given: Given, mut then: impl FnMut(&str, &Answer)) -> Result<(), BadBody> {
    let now = now();
    if keys.is_empty() {
        return with_context(given, now, |_| ());
    }
    for keys in keys.chunks(FLAGS_PER_CONTEXT) {
        with_context(given, now, |context| {
            for key in keys {
                answer(set, set.entry(key), None, context, |answer| then(key, answer));
            }
        })?;
    }
    Ok(())
}

fn answer<R>(
    set: &Set,
    entry: Option<&Entry>,
    asked: Option<ValueType>,
    context: &Context,
    then: impl FnOnce(&Answer) -> R,
) -> R {
    match entry {
        Some(Entry { flag: None, .. }) => {
            let error = Some(ErrorCode::ParseError);
            then(&Answer { value: None, variant: None, reason: Reason::Error, error, metadata: None })
        }
        entry => {
            let flag = entry.and_then(|entry| entry.flag.as_deref());
            then(&evaluate(flag, asked, context, &|key| set.flag(key)))
        }
    }
}
