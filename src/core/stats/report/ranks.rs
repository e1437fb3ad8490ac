//! Two distributions by ranks: Mann-Whitney's U on histograms, and the largest distance of the two shares.
//!
//! A bin is a tie. So the answer is exactly that of the test on the binned values (the README.md above, section 5); against
//! the raw values it is off by what happens inside bins, 2.2 % wide at the default scale.

use super::distribution::normal_tail;
use crate::Result;
use crate::sketch::{Histogram, Sketch};

/// What ranks say of two groups.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranks {
    /// Pairs in which the treatment is greater, ties counted half (Mann and Whitney, Ann. Math. Stat. 18, 1947).
    pub u: f64,
    /// u over all pairs: the chance that a value of the treatment is greater than one of the control.
    pub superiority: f64,
    /// Two-sided, normal approximation with continuity and tie corrections.
    pub p_value: f64,
    /// One-sided.
    pub p_greater: f64,
    /// The largest distance between the two cumulative shares, at a bin's edge (Kolmogorov and Smirnov).
    pub distance: f64,
}

/// Compare two histograms. When their scales differ, the finer one is coarsened.
///
/// None where it says nothing: with an empty group, or when all values are in one bin.
///
/// # Errors
/// [`crate::Kind::LimitExceeded`] when both together count too many values.
pub fn compare(treatment: &Histogram, control: &Histogram) -> Result<Option<Ranks>> {
    let mut both = treatment.clone();
    both.merge(control)?;
    let (n_t, n_c) = (treatment.count() as f64, control.count() as f64);
    let (mut below_t, mut below_c) = (0.0, 0.0);
    let (mut u, mut ties, mut distance) = (0.0, 0.0, 0.0_f64);
    for (t, c) in pairs(treatment, control, &both) {
        u += t * (below_c + c / 2.0);
        let tied = t + c;
        ties += tied * (tied * tied - 1.0);
        (below_t, below_c) = (below_t + t, below_c + c);
        distance = distance.max((below_t / n_t - below_c / n_c).abs());
    }
    let n = n_t + n_c;
    let variance = n_t * n_c / 12.0 * (n + 1.0 - ties / (n * (n - 1.0)));
    if n_t == 0.0 || n_c == 0.0 || variance <= 0.0 {
        return Ok(None);
    }
    let (centred, sd) = (u - n_t * n_c / 2.0, variance.sqrt());
    Ok(Some(Ranks {
        u,
        superiority: u / n_t / n_c,
        p_value: (2.0 * normal_tail((centred.abs() - 0.5) / sd)).min(1.0),
        p_greater: normal_tail((centred - 0.5) / sd),
        distance,
    }))
}

/// The counts of both groups in every bin of `both`, in the order of values.
fn pairs(treatment: &Histogram, control: &Histogram, both: &Histogram) -> Vec<(f64, f64)> {
    let count = |histogram: &Histogram| {
        let mut counts = vec![0.0; both.bins().len()];
        for (key, n) in histogram.bins() {
            let key = both.key_from(histogram, *key);
            if let Ok(at) = both.bins().binary_search_by_key(&key, |b| b.0) {
                counts[at] += *n as f64;
            }
        }
        counts
    };
    count(treatment).into_iter().zip(count(control)).collect()
}
