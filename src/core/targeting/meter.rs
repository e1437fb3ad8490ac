//! Limits the cost of an evaluation. JsonLogic has loops, so a rule of 200 bytes can cause hours of work or gigabytes
//! of memory (a `reduce` that doubles a text, a `map` in a `map` in a `map`), and the backend could not be cancelled
//! meanwhile. So loops pay for each iteration and for what they build, and an evaluation that runs out of units ends
//! with an error.
//!
//! The meter is thread-local because the engine's operators are shared and get no state of ours.

use std::cell::Cell;

use datalogic_rs::{DataValue, Error};

/// Units of an evaluation; a unit is roughly one operator. Measured: using up all takes 5 ms in plain loops and 0.3 s
/// with the most expensive operators; a loop over 10,000 elements with ten operators each needs a tenth.
const BUDGET: u64 = 1_000_000;

/// Operators scan their texts and lists, so above this many bytes of rule and context a unit costs more.
const BYTES_PER_PRICE: usize = 16 * 1024;

/// The engine compares objects key by key with every key, so above this sum of squares a unit costs more.
const SQUARES_PER_PRICE: usize = 4096;

/// A unit copies this much.
const BYTES_PER_UNIT: usize = 16;

/// A value built by a rule may be this much larger than rule and context together.
const HEADROOM: usize = 4096;

/// Deeper values are refused: rendering, comparing and hashing them recurse.
const MAX_DEPTH: usize = 160;

/// The bucket of the last `fractional` inside a rule, for explanations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) bucket: u32,
    pub(super) total: u32,
}

struct Meter {
    left: Cell<u64>,
    price: Cell<u64>,
    largest: Cell<usize>,
    placed: Cell<Option<Placed>>,
}

thread_local! {
    static METER: Meter = const {
        Meter { left: Cell::new(0), price: Cell::new(1), largest: Cell::new(0), placed: Cell::new(None) }
    };
}

/// Starts an evaluation over that many bytes of rule and context; squares are of the context's numbers of keys.
pub(super) fn start(bytes: usize, squares: usize) {
    METER.with(|meter| {
        meter.left.set(BUDGET);
        meter.price.set(1 + (bytes / BYTES_PER_PRICE + squares / SQUARES_PER_PRICE) as u64);
        meter.largest.set(bytes + HEADROOM);
        meter.placed.set(None);
    });
}

/// Whether the evaluation has used up its units.
pub(super) fn exhausted() -> bool {
    METER.with(|meter| meter.left.get() == 0)
}

/// Notes where a `fractional` put its key.
pub(super) fn note(placed: Placed) {
    METER.with(|meter| meter.placed.set(Some(placed)));
}

/// Where the last `fractional` of the evaluation put its key.
pub(super) fn placed() -> Option<Placed> {
    METER.with(|meter| meter.placed.get())
}

/// Pays for work by operators, which may scan all there is.
pub(super) fn charge(units: u64) -> Result<(), Error> {
    pay(units.saturating_mul(METER.with(|meter| meter.price.get())))
}

fn pay(units: u64) -> Result<(), Error> {
    METER.with(|meter| {
        let left = meter.left.get().saturating_sub(units);
        meter.left.set(left);
        if left == 0 { Err(Error::configuration_error("the rule does too much work")) } else { Ok(()) }
    })
}

/// Pays for a value that a rule built, and refuses it where it is too large or too deep to go on with.
pub(super) fn charge_value(value: &DataValue) -> Result<(), Error> {
    let largest = METER.with(|meter| meter.largest.get());
    let mut room = largest;
    if !fits(value, &mut room, MAX_DEPTH) {
        METER.with(|meter| meter.left.set(0));
        return Err(Error::configuration_error("the rule builds a value that is too large"));
    }
    pay(((largest - room) / BYTES_PER_UNIT) as u64)
}

/// Subtracts the size of a value from the remaining room.
fn fits(value: &DataValue, room: &mut usize, depth: usize) -> bool {
    let size = match value {
        DataValue::String(text) => text.len(),
        _ => 1,
    };
    if size > *room || depth == 0 {
        return false;
    }
    *room -= size;
    match value {
        DataValue::Array(items) => items.iter().all(|item| fits(item, room, depth - 1)),
        DataValue::Object(entries) => entries.iter().all(|(_, entry)| fits(entry, room, depth - 1)),
        _ => true,
    }
}
