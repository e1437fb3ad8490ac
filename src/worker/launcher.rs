//! The launcher: one process for the cluster that keeps a worker in each database that wants one.
//!
//! It connects to no database, so it can only find out whether a database has the extension by starting a worker there:
//! a worker without extension ends at once and is tried again at growing intervals. Restarts are decided not by exit
//! code, which a handle does not tell, but by how long the worker lived.

use super::limiter::Limiter;
use crate::pg::process::{self, Child, Database, WORKER};
use pgrx::prelude::*;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Pause before a worker is started again that had done its work, or after a first probe that found nothing.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Pause between two probes of a database that never had the extension.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// A worker that lived this long has found its extension (a probe takes about 10 ms).
const PROVEN: Duration = Duration::from_secs(1);
/// Limit of workers younger than `PROVEN` at a time: a cluster of a hundred databases must not use all worker slots at
/// once.
const YOUNG_MAX: usize = 3;
/// New databases are noticed within this time, including those created from a template that has the extension.
const SCAN: Duration = Duration::from_secs(10);
/// Pause when no worker slot is free.
const STARVED: Duration = Duration::from_secs(5);

/// What the launcher knows of one database.
struct Ward {
    worker: Option<Child>,
    started: Instant,
    due: Instant,
    pause: Duration,
}

/// The launcher's memory.
#[derive(Default)]
struct Launcher {
    wards: BTreeMap<u32, Ward>,
    limiter: Limiter,
    starved: bool,
}

/// Keep workers running until SIGTERM.
pub fn run() {
    process::connect_to_nothing();
    let mut launcher = Launcher::default();
    loop {
        let pause = launcher.supervise();
        if !process::wait(pause) {
            // The next launcher starts its own workers; these would only be in their way.
            launcher.wards.values().for_each(Ward::stop);
            return process::exit_for_restart();
        }
        if process::take_reload() {
            launcher.forgive();
        }
    }
}

impl Launcher {
    /// Do what is due and return how long to sleep.
    fn supervise(&mut self) -> Duration {
        let now = Instant::now();
        self.wards.values_mut().for_each(|ward| ward.notice_end(now));
        match process::transaction(|| Ok(process::databases())) {
            Ok(databases) => self.update(&databases, now),
            Err(failure) if self.limiter.allows(&failure.message, now) => {
                warning!("flagscope launcher cannot read the list of databases: {}", failure.message);
            }
            Err(_) => {}
        }
        self.start_due(now);
        let full = self.young(now) >= YOUNG_MAX;
        self.wards.values().map(|ward| ward.wakes_in(now, full)).fold(SCAN, Duration::min)
    }

    /// How many workers are still younger than `PROVEN`.
    fn young(&self, now: Instant) -> usize {
        self.wards.values().filter(|ward| ward.is_young(now)).count()
    }

    /// Follow the list of databases: forget dropped ones, add new ones.
    fn update(&mut self, databases: &[Database], now: Instant) {
        self.wards.retain(|oid, ward| {
            let stays = databases.iter().any(|database| database.oid == *oid);
            if !stays {
                ward.stop();
            }
            stays
        });
        for database in databases {
            let ward = self.wards.entry(database.oid).or_insert_with(|| Ward::new(now));
            if database.busy && ward.due <= now {
                // A worker started now would wait for the end of DROP DATABASE only to fail then.
                ward.due = now + PAUSE_MIN;
            }
        }
    }

    /// Start the workers whose time has come, a few at a time.
    fn start_due(&mut self, now: Instant) {
        let room = YOUNG_MAX.saturating_sub(self.young(now));
        let due = self.wards.iter_mut().filter(|(_, ward)| ward.worker.is_none() && ward.due <= now);
        for (oid, ward) in due.take(room) {
            match Child::start(*oid, "flagscope_worker_main", WORKER) {
                Some(worker) => {
                    self.starved = false;
                    ward.worker = Some(worker);
                    ward.started = now;
                }
                None => {
                    ward.due = now + STARVED;
                    starve(&mut self.starved, &mut self.limiter, now);
                }
            }
        }
    }

    /// Try every database again soon: an extension was created, or the configuration was reloaded.
    fn forgive(&mut self) {
        let now = Instant::now();
        for ward in self.wards.values_mut() {
            ward.pause = PAUSE_MIN;
            ward.due = ward.due.min(now);
        }
    }
}

/// Report once per episode that no worker slot is free.
fn starve(starved: &mut bool, limiter: &mut Limiter, now: Instant) {
    let message = "flagscope has no background worker slot left for a database";
    if !*starved && limiter.allows(message, now) {
        ereport!(
            PgLogLevel::WARNING,
            PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
            message,
            "Raise max_worker_processes: flagscope needs one for the cluster and one for each database that has it."
        );
    }
    *starved = true;
}

impl Ward {
    fn new(now: Instant) -> Self {
        Ward { worker: None, started: now, due: now, pause: PAUSE_MIN }
    }

    /// Check whether the worker has ended, and if so, when to start the next one.
    fn notice_end(&mut self, now: Instant) {
        if self.worker.as_ref().is_none_or(Child::is_alive) {
            return;
        }
        self.worker = None;
        if now.duration_since(self.started) >= PROVEN {
            self.pause = PAUSE_MIN;
        }
        self.due = now + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    fn is_young(&self, now: Instant) -> bool {
        self.worker.is_some() && now.duration_since(self.started) < PROVEN
    }

    /// When the launcher must look at this database again.
    fn wakes_in(&self, now: Instant, full: bool) -> Duration {
        match self.worker {
            // It stops counting as a young worker.
            Some(_) if self.is_young(now) => (self.started + PROVEN).saturating_duration_since(now),
            // Its end wakes the launcher.
            Some(_) => SCAN,
            // It waits until a young worker ends or becomes old enough, which wakes the launcher as well.
            None if full => SCAN,
            None => self.due.saturating_duration_since(now),
        }
    }

    fn stop(&self) {
        if let Some(worker) = &self.worker {
            worker.stop();
        }
    }
}
