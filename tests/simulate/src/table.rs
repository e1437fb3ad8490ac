//! Playing a cell many times and printing its row.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cells::{Cell, Measure};
use crate::draws::{Alarms, TICK, generator};

/// Play a cell's rollouts on some threads; the result does not depend on how many.
pub fn play(cell: &Cell, index: usize, runs: usize, seed: u64, threads: usize) -> Vec<Alarms> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut mine = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= runs {
                return mine;
            }
            mine.push((number, cell.rollout.play(&mut generator(seed, index, number))));
        }
    };
    let mut all: Vec<(usize, Alarms)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|t| t.join().expect("a thread")).collect()
    });
    all.sort_by_key(|x| x.0);
    all.into_iter().map(|x| x.1).collect()
}

/// One method's result in a cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Result {
    /// Rollouts that ever alarmed, in percent.
    pub fired: f64,
    /// Median seconds to the alarm; a miss counts as infinite, an alarm before the effect too.
    pub median: f64,
    /// 90 % of the alarms came within these seconds.
    pub p90: f64,
}

/// The result of one method.
pub fn result(alarms: &[Alarms], method: usize, begins: usize) -> Result {
    let mut seconds: Vec<f64> = alarms
        .iter()
        .map(|a| match a.0[method] {
            Some(tick) if tick > begins => (tick - begins) as f64 * TICK,
            _ => f64::INFINITY,
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let at = |p: f64| seconds[((seconds.len() - 1) as f64 * p).round() as usize];
    let fired = alarms.iter().filter(|a| a.0[method].is_some()).count() as f64 / alarms.len() as f64;
    Result { fired: 100.0 * fired, median: at(0.5), p90: at(0.9) }
}

/// The greatest share of false alarms that a cell of this many runs may have: 5 % and three standard errors.
pub fn most(runs: usize) -> f64 {
    5.0 + 300.0 * (0.05 * 0.95 / runs as f64).sqrt()
}

/// Whether a delay meets its target: 10 % more, or one tick, since a detection is quantised to 5 seconds.
pub fn is_met(seconds: f64, target: f64) -> bool {
    seconds <= (target * 1.1).max(target + TICK)
}

/// The row of a cell, and whether every target of it is met.
pub fn row(cell: &Cell, alarms: &[Alarms]) -> (String, bool) {
    let mut met = true;
    let begins = if let Measure::Delay(begins) = cell.measure { begins } else { 0 };
    let mut parts = Vec::new();
    let mut others = Vec::new();
    for (method, name) in cell.rollout.methods().iter().enumerate() {
        let ours = cell.ours.iter().find(|x| x.0 == method);
        let is_idle = alarms.iter().all(|a| a.0[method].is_none());
        let result = result(alarms, method, begins);
        let (value, good) = match cell.measure {
            Measure::FalseAlarms(limit) => {
                let limit = limit.unwrap_or_else(|| most(alarms.len()));
                (format!("{:.1}", result.fired), ours.is_none() || result.fired <= limit)
            }
            Measure::Delay(_) => {
                let target = ours.map_or(f64::NAN, |x| x.1);
                (delay(&result), target.is_nan() || is_met(result.median, target))
            }
        };
        let target = ours.filter(|x| x.1.is_finite()).map_or(String::new(), |x| format!(" (aim {})", x.1));
        match ours {
            Some(_) => parts.push(format!("{name} {value}{target}{}", if good { "" } else { " MISSED" })),
            None if !is_idle => others.push(format!("{name} {value}")),
            None => {}
        }
        met &= good;
    }
    let aim = match cell.measure {
        Measure::FalseAlarms(limit) => format!("at most {:.1} %", limit.unwrap_or_else(|| most(alarms.len()))),
        Measure::Delay(_) => "s, median/p90".into(),
    };
    (format!("| {} | {aim} | {} | {} |", cell.name, parts.join(", "), others.join(", ")), met)
}

fn delay(result: &Result) -> String {
    let second = |x: f64| if x.is_finite() { format!("{x:.0}") } else { "-".into() };
    let missed = if result.fired < 99.5 { format!(" [{:.0}%]", result.fired) } else { String::new() };
    format!("{}/{}{missed}", second(result.median), second(result.p90))
}
