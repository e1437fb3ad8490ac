//! Prerequisites: other flags that must serve a given variant. Cycles are refused when flags are stored; here they end
//! with an error instead of endless recursion.

use std::cell::Cell;
use std::sync::Arc;

use super::evaluate::{Outcome, Step, decide};
use super::{Context, Flag, Prerequisite};

/// Finds another flag of the same environment.
pub type Lookup<'l> = dyn Fn(&str) -> Option<Arc<Flag>> + 'l;

/// The maximum depth of prerequisites; each level evaluates a rule on the stack of the one above (measured: 4 KB
/// without optimisation; rules themselves have returned by then).
const MAX_DEPTH: usize = 16;

/// The maximum number of flags that an evaluation may look at, because shared prerequisites multiply.
const MAX_FLAGS: u32 = 256;

/// The path from the requested flag to the one being decided.
pub(super) struct Path<'p> {
    flags: &'p Lookup<'p>,
    left: &'p Cell<u32>,
    key: &'p str,
    depth: usize,
    above: Option<&'p Path<'p>>,
}

/// A prerequisite that cannot be evaluated.
pub(super) enum Endless {
    /// A flag needs itself.
    Cycle,
    /// Too deep or too many.
    TooMany,
}

impl<'p> Path<'p> {
    /// The beginning of the path.
    pub(super) fn new(flags: &'p Lookup<'p>, left: &'p Cell<u32>, key: &'p str) -> Self {
        left.set(MAX_FLAGS);
        Self { flags, left, key, depth: 0, above: None }
    }

    fn meets(&self, key: &str) -> bool {
        self.key == key || self.above.is_some_and(|above| above.meets(key))
    }
}

/// Whether the other flag serves the variant for the same context.
pub(super) fn holds(prerequisite: &Prerequisite, context: &Context, path: &Path) -> Result<bool, Endless> {
    if path.meets(&prerequisite.flag) {
        return Err(Endless::Cycle);
    }
    let left = path.left.get().checked_sub(1).filter(|_| path.depth < MAX_DEPTH).ok_or(Endless::TooMany)?;
    path.left.set(left);
    let Some(flag) = (path.flags)(&prerequisite.flag) else { return Ok(false) };
    let below = Path {
        flags: path.flags,
        left: path.left,
        key: &prerequisite.flag,
        depth: path.depth + 1,
        above: Some(path),
    };
    let Outcome { variant, error, step, .. } = decide(&flag, context, &below);
    match step {
        Step::Cycle => Err(Endless::Cycle),
        Step::TooManyPrerequisites => Err(Endless::TooMany),
        _ => Ok(error.is_none() && variant == Some(prerequisite.variant.as_str())),
    }
}
