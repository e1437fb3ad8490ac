//! The only module with `unsafe`: everything that needs PostgreSQL's own structures beyond what pgrx wraps.
#![allow(unsafe_code)]

pub mod aggregate;
pub mod answer;
pub mod argument;
pub mod arguments;
pub mod before;
#[cfg(all(feature = "boundary", not(test)))]
mod boundary;
pub mod cache;
pub mod clock;
mod confined;
pub mod context;
pub mod delta;
pub mod document;
pub mod flat;
pub mod frozen;
pub mod json_text;
pub mod jsonb;
pub mod latest;
pub mod locker;
pub mod pending;
pub mod process;
pub mod query;
pub mod reading;
pub mod record;
pub mod restore;
pub mod row;
pub mod scan;
pub mod stored;
pub mod timer;
pub mod transition;
pub mod trigger;
pub mod value;
pub mod wake;
