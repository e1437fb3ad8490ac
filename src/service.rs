//! The services that send telemetry, for lists to choose from (`sql/api/service.sql`): each session tells of a service when
//! it first writes a row of it, and again every ten minutes.

use std::cell::RefCell;
use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::pg::delta;

/// How long a session keeps silent about what it has told: then the time of its last row is noted again, and what was
/// told by a transaction that was rolled back is told after all.
const SILENT: Duration = Duration::from_secs(600);
/// Services that a session remembers to have told. A sender that puts numbers into the names would else fill its memory.
const MOST: usize = 1000;
/// Bytes that are kept of a name.
const LONGEST: usize = 255;

/// What this session has told.
#[derive(Default)]
struct Told {
    names: HashSet<String>,
    since: Option<Instant>,
}

impl Told {
    /// Notes a name; was it still to be told?
    fn insert(&mut self, name: &str) -> bool {
        if self.names.len() >= MOST || self.since.is_none_or(|since| since.elapsed() > SILENT) {
            self.names.clear();
            self.since = Some(Instant::now());
        }
        !self.names.contains(name) && self.names.insert(name.to_owned())
    }
}

thread_local! {
    static TOLD: RefCell<Told> = RefCell::default();
}

/// The services of one statement.
#[derive(Default)]
pub struct Services {
    /// Of the row before: mostly the same.
    last: String,
    new: Vec<String>,
}

impl Services {
    /// Notes the service of a row.
    pub fn note(&mut self, service: Option<&str>) {
        let Some(name) =
            service.map(|name| &name[..name.floor_char_boundary(LONGEST)]).filter(|name| !name.is_empty())
        else {
            return;
        };
        if name != self.last {
            name.clone_into(&mut self.last);
            if TOLD.with_borrow_mut(|told| told.insert(name)) {
                self.new.push(name.to_owned());
            }
        }
    }

    /// Writes what is new, in the transaction of the rows.
    pub fn write(&self) {
        delta::insert_services(self.new.iter().map(String::as_str));
    }
}
