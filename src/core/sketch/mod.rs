//! Mergeable states: what a group of values leaves behind so that groups can be added up later, in any order.
//!
//! What is here: the trait [`Sketch`] and its four states. [`Moments`] answers mean and variance, [`Ratio`] those of a
//! ratio of two sums over units, [`Histogram`] is the fixed-bin state that sequential tests may read, [`TDigest`] gives
//! people the better tail quantiles.
//!
//! What is not: tests and intervals (`stats`), the SQL types, and any knowledge of flags or telemetry.
//!
//! Which one for what: src/core/stats/README.md, section 5. A t-digest's centroids depend on the data and on the merge order, so
//! no test runs on one; a histogram's bins are fixed for ever, so its counts are exact at every edge.

pub(crate) mod codec;
pub mod digest;
pub mod histogram;
pub mod moments;
pub mod quantile;
pub mod ratio;

use std::borrow::Cow;

use crate::Result;

pub use digest::TDigest;
pub use histogram::Histogram;
pub use moments::Moments;
pub use ratio::Ratio;

/// Most values one state may count: up to 2^53 a count is exact in a float8, where every formula needs it.
pub const MAX_COUNT: u64 = 1 << 53;

/// A state that can be merged, stored and read by people.
///
/// Both readers check everything: `decode` and `from_text` accept nothing that pushes and merges could not have made
/// (up to rounding), never panic, and never allocate more than a small multiple of their input.
pub trait Sketch: Sized + Clone {
    /// The name of the SQL type, as it stands in error messages.
    const NAME: &'static str;

    /// Add the values that `other` has seen.
    ///
    /// # Errors
    /// [`crate::Kind::LimitExceeded`] when the sum would pass [`MAX_COUNT`]; `self` is unchanged then.
    fn merge(&mut self, other: &Self) -> Result<()>;

    /// The binary form: a version byte and the content.
    fn encode(&self) -> Vec<u8>;

    /// Read the binary form.
    ///
    /// # Errors
    /// [`crate::Kind::InvalidBinary`] for anything that [`Sketch::encode`] does not write.
    fn decode(bytes: &[u8]) -> Result<Self>;

    /// The text form: one line of JSON.
    fn to_text(&self) -> String;

    /// Read the text form.
    ///
    /// # Errors
    /// [`crate::Kind::InvalidText`] with the reason and an example of the form.
    fn from_text(s: &str) -> Result<Self>;
}

/// A state while values come in: what an aggregate keeps for a group until it is asked for the sketch.
pub trait Accumulate: Sized {
    /// What it becomes.
    type Sketch: Sketch;

    /// Begin with the values of a sketch.
    fn start(sketch: Self::Sketch) -> Self;

    /// Add the values of a sketch.
    ///
    /// # Errors
    /// As [`Sketch::merge`].
    fn absorb(&mut self, other: &Self::Sketch) -> Result<()>;

    /// The sketch of all values so far.
    fn sketch(&self) -> Cow<'_, Self::Sketch>;
}

/// A sketch that needs no other form to grow.
impl<S: Sketch> Accumulate for S {
    type Sketch = S;

    fn start(sketch: S) -> Self {
        sketch
    }

    fn absorb(&mut self, other: &S) -> Result<()> {
        self.merge(other)
    }

    fn sketch(&self) -> Cow<'_, S> {
        Cow::Borrowed(self)
    }
}
