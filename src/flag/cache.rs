//! Flags cached by a backend: loaded one by one or all flags of an environment at once, refreshed one by one.
//!
//! After a change of any flag, the next access asks which flags have changed since the last one (`flag_change`, by
//! transaction) and loads those. Versions are unique, so a flag with an unchanged version is unchanged.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use flagscope_core::Result;
use flagscope_core::targeting::{Flag, Parts, Stored};
use pgrx::pg_sys::panic::ErrorReport;

use crate::error::Report;
use crate::pg::cache::{self, Generation};
use crate::pg::latest::{self, Argument, Reader, Row};

/// A session that has used so many flags of an environment gets all of them in bulk: a flag takes 0.1 ms alone, and
/// 0.015 ms as one of all.
const FEW: usize = 32;
/// With more changes than this, everything is loaded again.
const MANY_CHANGES: i32 = 1000;
/// Flags loaded by one query: their definitions may be large, and are held in memory in addition to the cache.
const PAGE: i32 = 200;
/// Bound of a backend's cache, by the estimate of [`weight`]: about 11,000 flags with rules.
const MAX_BYTES: usize = 25 * 1024 * 1024;
/// Bound of the cached names of environments: callers can ask for any number of names that do not exist.
const MAX_NAMES: usize = 1000;

/// Approximate memory of a flag: each byte of its definition is in some node of a tree (measured: 2.4 KB with parts of
/// 200 bytes, whose names are another 200 in one document).
fn weight(definition: usize) -> usize {
    1600 + definition * 4
}

/// A flag as a row of `served_flag`.
fn parts<'r>(row: &Row<'r>) -> Parts<'r> {
    let text = |column| row.text(column).unwrap_or_default();
    Parts {
        key: text(0),
        value_type: text(6),
        enabled: row.boolean(7).unwrap_or_default(),
        variants: text(8),
        default_variant: row.text(9),
        targeting: row.text(10),
        bucketing: text(11),
        split: row
            .text(12)
            .zip(row.text(13))
            .zip(row.number(14))
            .map(|((treatment, control), percent)| (treatment, control, percent)),
        prerequisites: text(15),
        metadata: text(16),
        set_metadata: text(17),
        segments: text(18),
    }
}

/// A flag, or the knowledge that it does not exist.
struct Entry {
    version: i64,
    flag: Option<Arc<Flag>>,
    is_archived: bool,
    weight: usize,
    was_used: Cell<bool>,
}

#[derive(Default)]
struct Environment {
    flags: HashMap<String, Entry>,
    /// Keys of flags that are not archived, in order.
    keys: Option<Rc<[String]>>,
    /// Whether a flag that is not cached does not exist.
    is_whole: bool,
    /// Whether all flags of the environment were too many to be cached.
    is_too_large: bool,
}

#[derive(Default)]
struct Cache {
    generation: Generation,
    /// Filled inside a parallel query, by its snapshot: must not be used after that query.
    is_parallel: bool,
    /// The data read includes every transaction before this one.
    cursor: Option<i64>,
    /// Keys of environments by the names that callers used.
    names: HashMap<String, Option<Rc<str>>>,
    environments: HashMap<Rc<str>, Environment>,
    weight: usize,
    /// Loaded as the current transaction has left it, which may still be rolled back.
    tentative: HashSet<(Rc<str>, String)>,
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::new(Cache::default());
}

/// A flag of an environment, by the environment's key or alias.
pub fn flag(environment: &str, flag: &str) -> std::result::Result<Option<Arc<Flag>>, ErrorReport> {
    CACHE.with_borrow_mut(|cache| cache.flag(environment, flag)).report()
}

/// The keys of an environment's flags, without archived ones; an unknown environment is an error.
pub fn keys(environment: &str) -> std::result::Result<Rc<[String]>, ErrorReport> {
    CACHE.with_borrow_mut(|cache| cache.keys(environment)).report()
}

impl Cache {
    fn flag(&mut self, name: &str, flag: &str) -> Result<Option<Arc<Flag>>> {
        self.renew()?;
        let Some(key) = self.environment(name)? else { return Ok(None) };
        let environment = self.environments.entry(Rc::clone(&key)).or_default();
        if let Some(entry) = environment.flags.get(flag) {
            entry.was_used.set(true);
            return Ok(entry.flag.clone());
        }
        if environment.is_whole {
            return Ok(None);
        }
        if environment.flags.len() >= FEW && !environment.is_too_large {
            self.read(|cache, reader| cache.load_all(reader, &key))?;
        } else {
            self.read(|cache, reader| cache.load(reader, &key, &[flag.to_owned()]))?;
        }
        self.make_room(&key, flag);
        Ok(self.environments.get(&key).and_then(|e| e.flags.get(flag)).and_then(|entry| entry.flag.clone()))
    }

    fn keys(&mut self, name: &str) -> Result<Rc<[String]>> {
        self.renew()?;
        if let Some(key) = self.environment(name)? {
            let environment = self.environments.entry(Rc::clone(&key)).or_default();
            if let Some(keys) = &environment.keys {
                return Ok(Rc::clone(keys));
            }
            if !environment.is_whole && !environment.is_too_large {
                self.read(|cache, reader| cache.load_all(reader, &key))?;
            }
        }
        let mut keys = Vec::new();
        self.read(|_, reader| {
            reader.each(c"SELECT * FROM _flagscope.load_flag_keys($1)", &[Argument::Text(name)], |row| {
                keys.extend(row.text(0).map(str::to_owned));
                Ok(())
            })
        })?;
        let keys: Rc<[String]> = Rc::from(keys);
        if let Some(environment) = self.environment(name)?.and_then(|key| self.environments.get_mut(&key)) {
            environment.keys = Some(Rc::clone(&keys));
        }
        Ok(keys)
    }

    /// The key of an environment, given its key or alias.
    fn environment(&mut self, name: &str) -> Result<Option<Rc<str>>> {
        if let Some(known) = self.names.get(name) {
            return Ok(known.clone());
        }
        let mut found = None;
        self.read(|_, reader| {
            reader.each(c"SELECT _flagscope.load_environment($1)", &[Argument::Text(name)], |row| {
                found = row.text(0).map(Rc::from);
                Ok(())
            })
        })?;
        if self.names.len() >= MAX_NAMES {
            self.names.clear();
        }
        self.names.insert(name.to_owned(), found.clone());
        Ok(found)
    }

    fn read<R>(&mut self, body: impl FnOnce(&mut Self, &Reader) -> Result<R>) -> Result<R> {
        self.is_parallel |= latest::is_parallel();
        latest::read(|reader| body(self, reader))
    }

    /// Applies the changes since the last access.
    fn renew(&mut self) -> Result<()> {
        let generation = cache::generation();
        let left_parallel = self.is_parallel && !latest::is_parallel();
        if left_parallel || self.cursor.is_none() || self.generation.environments != generation.environments {
            *self = Self { generation, ..Self::default() };
            return self.read(|cache, reader| cache.changes(reader).map(|_| ()));
        }
        if self.generation.flags != generation.flags {
            // If loading fails, the next access tries again.
            let mut renewed = std::mem::take(self);
            renewed.read(Self::load_changes)?;
            renewed.make_room("", "");
            *self = renewed;
        }
        self.generation = generation;
        Ok(())
    }

    fn load_changes(&mut self, reader: &Reader) -> Result<()> {
        let changes = self.changes(reader)?;
        if changes.len() >= MANY_CHANGES as usize || self.tentative.len() >= MANY_CHANGES as usize {
            let generation = self.generation;
            let cursor = self.cursor;
            *self = Self { generation, cursor, ..Self::default() };
            return Ok(());
        }
        let mut stale: HashMap<Rc<str>, HashSet<String>> = HashMap::new();
        for (environment, flag) in self.tentative.drain() {
            stale.entry(environment).or_default().insert(flag);
        }
        for (environment, flag, version) in changes {
            let Some((key, known)) = self.environments.get_key_value(environment.as_str()) else { continue };
            let is_known = known.flags.get(&flag).map(|entry| entry.version == version);
            if is_known == Some(false) || is_known.is_none() && known.is_whole {
                stale.entry(Rc::clone(key)).or_default().insert(flag);
            }
        }
        for (environment, flags) in stale {
            for flags in flags.into_iter().collect::<Vec<_>>().chunks(PAGE as usize) {
                self.load(reader, &environment, flags)?;
            }
        }
        Ok(())
    }

    /// The flags that may have changed since the cursor, which is advanced.
    fn changes(&mut self, reader: &Reader) -> Result<Vec<(String, String, i64)>> {
        let mut changes = Vec::new();
        let arguments = [Argument::Bigint(self.cursor), Argument::Integer(MANY_CHANGES)];
        reader.each(c"SELECT * FROM _flagscope.load_changes($1, $2)", &arguments, |row| {
            match (row.bigint(0), row.text(1), row.text(2), row.bigint(3)) {
                (Some(cursor), ..) => self.cursor = Some(cursor),
                (None, Some(environment), Some(flag), Some(version)) => {
                    changes.push((environment.to_owned(), flag.to_owned(), version));
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(changes)
    }

    /// Loads flags by key, noting those that do not exist.
    fn load(&mut self, reader: &Reader, environment: &Rc<str>, flags: &[String]) -> Result<()> {
        let mut missing: HashSet<&str> = flags.iter().map(String::as_str).collect();
        let arguments = [Argument::Text(environment), Argument::Texts(flags)];
        reader.each(c"SELECT * FROM _flagscope.load_flags($1, $2)", &arguments, |row| {
            missing.remove(row.text(0).unwrap_or_default());
            self.keep(environment, row)
        })?;
        let is_whole = self.environments.get(environment).is_some_and(|known| known.is_whole);
        for flag in missing {
            if latest::has_written() {
                self.tentative.insert((Rc::clone(environment), flag.to_owned()));
            }
            let none = Entry {
                version: 0,
                flag: None,
                is_archived: true,
                weight: 200 + flag.len(),
                was_used: Cell::new(false),
            };
            self.put(environment, flag, (!is_whole).then_some(none));
        }
        Ok(())
    }

    /// Loads every flag of an environment, or as many as may be cached.
    fn load_all(&mut self, reader: &Reader, environment: &Rc<str>) -> Result<()> {
        let known = self.environments.entry(Rc::clone(environment)).or_default();
        self.weight -= known.flags.values().map(|entry| entry.weight).sum::<usize>();
        known.flags = HashMap::new();
        let mut after = String::new();
        loop {
            let mut rows = 0;
            let arguments = [Argument::Text(environment), Argument::Text(&after), Argument::Integer(PAGE)];
            let mut last = None;
            reader.each(c"SELECT * FROM _flagscope.load_flags_after($1, $2, $3)", &arguments, |row| {
                rows += 1;
                last = row.text(0).map(str::to_owned);
                self.keep(environment, row)
            })?;
            let is_full = self.weight >= MAX_BYTES;
            if rows < PAGE || is_full {
                if let Some(known) = self.environments.get_mut(environment) {
                    (known.is_whole, known.is_too_large) = (!is_full, is_full);
                }
                return Ok(());
            }
            after = last.unwrap_or_default();
        }
    }

    /// Caches a flag from a row.
    fn keep(&mut self, environment: &Rc<str>, row: &Row) -> Result<()> {
        let parts = parts(row);
        if row.is_of_this_transaction(4) || row.is_of_this_transaction(5) {
            self.tentative.insert((Rc::clone(environment), parts.key.to_owned()));
        }
        let entry = Entry {
            version: row.bigint(2).unwrap_or_default(),
            flag: Some(Arc::new(Stored::read(&parts)?.into_flag()?)),
            is_archived: row.boolean(3).unwrap_or_default(),
            weight: weight(parts.len()),
            was_used: Cell::new(false),
        };
        self.put(environment, parts.key, Some(entry));
        Ok(())
    }

    fn put(&mut self, environment: &Rc<str>, flag: &str, entry: Option<Entry>) {
        let known = self.environments.entry(Rc::clone(environment)).or_default();
        let is_listed = |entry: &Entry| !entry.is_archived;
        let comes = entry.as_ref().is_some_and(is_listed);
        self.weight += entry.as_ref().map_or(0, |entry| entry.weight);
        let was = match entry {
            Some(entry) => known.flags.insert(flag.to_owned(), entry),
            None => known.flags.remove(flag),
        };
        self.weight -= was.as_ref().map_or(0, |entry| entry.weight);
        if known.keys.is_some() && comes != was.as_ref().is_some_and(is_listed) {
            known.keys = None;
        }
    }

    /// Drops flags of any environment that were not used since the last time, until a quarter of the room is free.
    fn make_room(&mut self, asked_environment: &str, asked: &str) {
        if self.weight < MAX_BYTES {
            return;
        }
        for ignores_use in [false, true] {
            for (key, known) in &mut self.environments {
                let weight = &mut self.weight;
                let before = known.flags.len();
                known.flags.retain(|flag, entry| {
                    let stays = *weight < MAX_BYTES / 4 * 3
                        || (entry.was_used.take() && !ignores_use)
                        || (**key == *asked_environment && flag == asked);
                    *weight -= if stays { 0 } else { entry.weight };
                    stays
                });
                if known.flags.len() < before {
                    (known.is_whole, known.is_too_large) = (false, true);
                }
            }
        }
    }
}
