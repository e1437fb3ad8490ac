//! SQL face of `core::guardrail`. What each function means stands with its `COMMENT` in `sql/api/`.

mod estimate;
mod judge;
mod pairing;
mod replay;
pub mod row;
pub mod safety;
mod scalar;
mod together;

/// A count as it is stored: beyond what a bigint holds it stays the largest.
fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn all_stored(counts: &[u64]) -> Vec<i64> {
    counts.iter().copied().map(stored).collect()
}
