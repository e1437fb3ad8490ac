//! The explainer: a process of the worker's that looks into why a guardrail had to act, freezes old chunks, and ends.
//!
//! It runs beside the worker and after the decision, so no tick waits for it, at a low priority, in a transaction of its
//! own for each decision. The worker starts it when a decision is due, and again if it ended before all were looked into.

use std::time::{Duration, Instant};

use pgrx::prelude::*;

use super::database::is_ready;
use crate::pg::process::{self, Child, EXPLAINER};

/// Pause before another one is started after one that left something undone, or when there is no slot for it.
const PAUSE: Duration = Duration::from_secs(10);

/// How often the worker asks whether a chunk is to be frozen.
const ASKS: Duration = Duration::from_secs(60);

/// Look into decisions, and freeze chunks, until none is due.
pub fn run(database: pg_sys::Oid) {
    process::connect(database, EXPLAINER);
    process::give_way();
    loop {
        match process::transaction(do_one) {
            Ok(true) => {}
            Ok(false) => return,
            Err(failure) => {
                warning!("flagscope cannot look into a decision or freeze a chunk: {}", failure.message);
                return;
            }
        }
        process::report_idle();
        if !process::wait(Duration::from_millis(1)) {
            return;
        }
    }
}

/// False: there was none, or no database to look into.
fn do_one() -> Result<bool, spi::Error> {
    if !is_ready() || !process::function_exists("_flagscope.correlate_pending()") {
        return Ok(false);
    }
    process::report_running(c"SELECT _flagscope.correlate_pending()");
    if Spi::get_one::<i64>("SELECT _flagscope.correlate_pending()")?.is_some() {
        return Ok(true);
    }
    if !is_freezing_due()? {
        return Ok(false);
    }
    process::report_running(c"SELECT _flagscope.freeze_next(pg_catalog.clock_timestamp())");
    // One that could not be frozen is noted, and due again later.
    Ok(Spi::get_one::<String>("SELECT _flagscope.freeze_next(pg_catalog.clock_timestamp())")?.is_none())
}

fn is_freezing_due() -> Result<bool, spi::Error> {
    Ok(process::function_exists("_flagscope.is_freezing_due(pg_catalog.timestamptz)")
        && Spi::get_one::<bool>("SELECT _flagscope.is_freezing_due(pg_catalog.clock_timestamp())")? == Some(true))
}

/// What the worker knows of its explainer.
#[derive(Default)]
pub struct Explainer {
    child: Option<Child>,
    started: Option<Instant>,
    /// Somebody has to ask whether a decision is due.
    asks: bool,
    asked: Option<Instant>,
}

impl Explainer {
    /// When a worker begins it does not know what the one before it left.
    pub fn new() -> Self {
        Self { asks: true, ..Self::default() }
    }

    /// A tick has decided something.
    pub fn notice_decision(&mut self) {
        self.asks = true;
    }

    /// Should the worker ask now whether a decision is due: not while one is looked into, nor right after a failure.
    pub fn is_to_ask(&mut self) -> bool {
        if self.child.as_ref().is_some_and(|child| !child.is_alive()) {
            self.child = None;
        }
        let rests = self.started.is_some_and(|started| started.elapsed() < PAUSE);
        let is_time = self.asked.is_none_or(|asked| asked.elapsed() >= ASKS);
        (self.asks || is_time) && self.child.is_none() && !rests
    }

    /// Start it, or note that there is nothing to do.
    pub fn take(&mut self, database: pg_sys::Oid, is_due: bool) {
        self.asks = is_due;
        self.asked = Some(Instant::now());
        if is_due {
            self.child = Child::start(database.to_u32(), "flagscope_explainer_main", EXPLAINER);
            self.started = Some(Instant::now());
        }
    }

    /// End it with the worker.
    pub fn stop(&self) {
        if let Some(child) = &self.child {
            child.stop();
        }
    }
}

/// Is a decision due, or a chunk to be frozen; inside a transaction.
pub fn is_due() -> Result<bool, spi::Error> {
    let is_decision_due = process::function_exists("_flagscope.due_correlation()")
        && Spi::get_one::<i64>("SELECT _flagscope.due_correlation()")?.is_some();
    Ok(is_decision_due || is_freezing_due()?)
}
