//! Median and median absolute deviation: location and scale that are robust against up to half of the values.

/// The ratio of standard deviation and MAD of a normal distribution, as in Hampel (JASA 69, 1974).
pub const NORMAL: f64 = 1.4826;
/// The ratio of standard deviation and mean absolute deviation of a normal distribution, sqrt(pi / 2).
const NORMAL_MEAN: f64 = 1.253_314_137_315_500_3;

/// Where values lie and how far they spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// The median.
    pub median: f64,
    /// A standard deviation: 1.4826 MAD. When more than half of the values are equal, the MAD is 0 and tells nothing;
    /// then 1.2533 times the mean absolute deviation (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993).
    /// 0 only when all values are equal.
    pub deviation: f64,
}

impl Scale {
    /// The scale of finite values, which are reordered; None without values.
    pub fn of(values: &mut [f64]) -> Option<Self> {
        let median = median(values)?;
        values.iter_mut().for_each(|x| *x = (*x - median).abs());
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let mad = self::median(values)?;
        Some(Self { median, deviation: if mad > 0.0 { NORMAL * mad } else { NORMAL_MEAN * mean } })
    }

    /// How many standard deviations a value lies above the median; 0 for the median itself whatever the spread, and
    /// None for another value when all values were equal, so that there is no scale.
    pub fn z(&self, x: f64) -> Option<f64> {
        if x == self.median {
            return Some(0.0);
        }
        (self.deviation > 0.0).then(|| (x - self.median) / self.deviation).filter(|z| z.is_finite())
    }
}

/// The median of finite values, which are reordered: for an even number, the mean of the two in the middle.
pub fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let (half, odd) = (values.len() / 2, !values.len().is_multiple_of(2));
    let (below, middle, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    let upper = *middle;
    if odd {
        return Some(upper);
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // Not (lower + upper) / 2, which overflows.
    Some(lower.midpoint(upper))
}

/// How unusual the last value is among all of them (itself too, as in a Hampel filter): its distance from the median in
/// robust standard deviations. Values that are not finite are left out; None when the last one is, and when there are
/// fewer than three values.
pub fn last_z(values: &[f64]) -> Option<f64> {
    let last = values.last().copied().filter(|x| x.is_finite())?;
    let mut finite: Vec<f64> = values.iter().copied().filter(|x| x.is_finite()).collect();
    if finite.len() < 3 { None } else { Scale::of(&mut finite)?.z(last) }
}
