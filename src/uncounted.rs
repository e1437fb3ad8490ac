//! Rows that do not count, from a statement to `uncounted_delta`; `core/telemetry/uncounted.rs` decides which do not.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use flagscope_core::telemetry::{KnownFlags, Uncounted};

use crate::pg::{delta, latest};

/// Adds up what was noted so far. Flags that were never looked up under this configuration are looked up by one query;
/// if that fails, nothing is reported about them, but the rows are stored all the same.
pub fn settle(uncounted: &mut Uncounted, known: &RefCell<KnownFlags>) {
    let missing = uncounted.missing(&known.borrow());
    if !missing.is_empty()
        && let Some(found) = variants_of(&missing)
    {
        known.borrow_mut().learn(missing, found);
    }
    uncounted.settle(&known.borrow());
}

/// Writes the sums, in the transaction of the rows.
pub fn write(uncounted: &Uncounted) {
    delta::insert_uncounted(
        uncounted.iter().map(|(cause, environment, flag, example, n)| (cause.label(), environment, flag, example, n)),
    );
}

/// The variants of those flags that exist.
fn variants_of(flags: &[String]) -> Option<HashMap<String, HashSet<String>>> {
    let wanted = serde_json::to_string(flags).ok()?;
    let found =
        latest::json(c"SELECT _flagscope.variants_of($1)::text", &[latest::Argument::Text(&wanted)]).ok()??;
    serde_json::from_value(found).ok()
}
