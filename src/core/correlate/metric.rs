//! Another metric beside the one that is asked about: did the treatment move it, and since when.
//!
//! What is here: the verdict on an effect, and the time at which it began. What is not: effects and their tests
//! (`stats::report`), which come from rollups.

/// Above this, a p-value (corrected for all metrics) is no proof.
pub const ALPHA: f64 = 0.05;

/// What is said of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is another one in the treatment, by more than what it may differ by.
    Moved,
    /// It is the same, to what it may differ by.
    Still,
    /// The data say neither.
    Unclear,
}

impl Verdict {
    /// In one word for SQL.
    pub fn label(self) -> &'static str {
        match self {
            Self::Moved => "moved",
            Self::Still => "still",
            Self::Unclear => "unclear",
        }
    }
}

/// The treatment's effect on a metric, relative to the control's value; what is not known is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Effect {
    /// The estimate.
    pub estimate: Option<f64>,
    /// Its interval of 90 %: within the margin on both sides is what two one-sided tests of 5 % show (D. J. Schuirmann,
    /// Journal of Pharmacokinetics and Biopharmaceutics 15, 1987).
    pub interval: Option<[f64; 2]>,
    /// Two-sided p-value, corrected for all metrics.
    pub p_value: Option<f64>,
}

/// The verdict, by what the metric may differ by (`margin`, relative to the control's value).
pub fn verdict(effect: &Effect, margin: Option<f64>) -> Verdict {
    let Some(margin) = margin else { return Verdict::Unclear };
    let is_beyond = effect.estimate.is_some_and(|estimate| estimate.abs() > margin);
    if is_beyond && effect.p_value.is_some_and(|p| p <= ALPHA) {
        Verdict::Moved
    } else if effect.interval.is_some_and(|[lower, upper]| lower > -margin && upper < margin) {
        Verdict::Still
    } else {
        Verdict::Unclear
    }
}

/// One bucket of time: what was counted, and of how many, in both arms.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bucket {
    /// Rows (or exposure) of the treatment.
    pub n_t: f64,
    /// Events, or the sum of values, among them.
    pub y_t: f64,
    /// The same of the control.
    pub n_c: f64,
    /// Its events or sum of values.
    pub y_c: f64,
}

/// The bucket in which the treatment began to have more than the control (`falls`: less). The excess of each bucket is held
/// against none before a bucket and the same rate from it on, up to where the sum of all is greatest: the bucket that makes this
/// most likely, (sum of the excess)^2 by its variance (D. V. Hinkley, "Inference about the change-point in a sequence of random
/// variables", Biometrika 57, 1970, of a shift of unknown size). A bucket without the control is held against all of it.
/// `None` where there is no excess.
///
/// Not the last minimum of the cumulative sum: before the harm the sum wanders, and its minimum is anywhere.
pub fn onset(buckets: &[Bucket], falls: bool) -> Option<usize> {
    let (n, y) = buckets.iter().fold((0.0, 0.0), |(n, y), b| (n + b.n_c, y + b.y_c));
    let sign = if falls { -1.0 } else { 1.0 };
    // Place, excess, and variance but for a factor that all have.
    let excess = |(place, b): (usize, &Bucket)| {
        let (n, y) = if b.n_c > 0.0 { (b.n_c, b.y_c) } else { (n, y) };
        (b.n_t > 0.0 && n > 0.0).then(|| (place, sign * (b.y_t - b.n_t * y / n), b.n_t * (1.0 + b.n_t / n)))
    };
    let excesses: Vec<(usize, f64, f64)> = buckets.iter().enumerate().filter_map(excess).collect();
    let (mut total, mut greatest, mut end) = (0.0, 0.0, 0);
    for (at, (_, excess, _)) in excesses.iter().enumerate() {
        total += excess;
        if total > greatest {
            (greatest, end) = (total, at + 1);
        }
    }
    let (mut sum, mut variance, mut most, mut begins) = (0.0, 0.0, 0.0, None);
    for (place, excess, of_one) in excesses[..end].iter().rev() {
        (sum, variance) = (sum + excess, variance + of_one);
        if sum > 0.0 && sum * sum / variance > most {
            (most, begins) = (sum * sum / variance, Some(*place));
        }
    }
    begins
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(estimate: f64, lower: f64, upper: f64, p: f64) -> Effect {
        Effect { estimate: Some(estimate), interval: Some([lower, upper]), p_value: Some(p) }
    }

    #[test]
    fn it_moves_beyond_its_margin_and_is_still_within_it() {
        let of = |e| verdict(&e, Some(0.1));
        assert_eq!(of(effect(0.3, 0.2, 0.4, 0.001)), Verdict::Moved);
        assert_eq!(of(effect(-0.3, -0.4, -0.2, 0.05)), Verdict::Moved);
        assert_eq!(of(effect(0.3, -0.1, 0.7, 0.051)), Verdict::Unclear);
        assert_eq!(of(effect(0.05, 0.04, 0.06, 0.001)), Verdict::Still);
        assert_eq!(of(effect(0.05, -0.1, 0.09, 0.5)), Verdict::Unclear);
        assert_eq!(of(Effect { estimate: Some(9.0), ..Effect::default() }), Verdict::Unclear);
        assert_eq!(verdict(&effect(0.3, 0.2, 0.4, 0.001), None), Verdict::Unclear);
    }

    fn bucket(y_t: f64, y_c: f64) -> Bucket {
        Bucket { n_t: 10.0, y_t, n_c: 10.0, y_c }
    }

    /// By hand: the excess is 1, -1, -1, -1 | 2, 3, 2, -1, and 7^2 / 3 is more than 5^2 / 2, 6^2 / 4 and 5^2 / 7.
    #[test]
    fn it_begins_where_that_is_most_likely() {
        let buckets =
            [(2.0, 1.0), (0.0, 1.0), (1.0, 2.0), (1.0, 2.0), (4.0, 2.0), (4.0, 1.0), (3.0, 1.0), (1.0, 2.0)];
        let mut buckets = buckets.map(|(t, c)| bucket(t, c)).to_vec();
        assert_eq!(onset(&buckets, false), Some(4));
        // Nobody of the treatment: nothing begins there.
        buckets.insert(4, Bucket { n_t: 0.0, ..bucket(0.0, 5.0) });
        assert_eq!(onset(&buckets, false), Some(5));
        // Without the control the bucket is held against all of it: 5 more than 17 of 90 explain.
        buckets[5].n_c = 0.0;
        assert_eq!(onset(&buckets, false), Some(5));
        assert_eq!(onset(&[bucket(1.0, 3.0), bucket(0.0, 2.0)], true), Some(0));
        assert_eq!(onset(&[bucket(1.0, 3.0), bucket(0.0, 2.0)], false), None);
        assert_eq!(onset(&[], false), None);
    }
}
