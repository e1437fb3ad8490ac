//! The e-SR detector: evidence that a series has changed, added up point by point until it is enough for an alarm.
//!
//! M_t = e_t (1 + M_(t-1)), the e-Shiryaev-Roberts statistic of Shin, Ramdas and Rinaldo (arXiv 2203.03532), with e_t a
//! mixture of p-to-e calibrators. If the p-values are uniform given the past, the mean number of points until M reaches
//! A is at least A, whatever their distribution was: so log10 M is a scale on which one threshold means the same for
//! every series.

/// An alarm comes at M = 10^4: on a series of minutes, a false one in a week.
pub const ALARM: f64 = 4.0;

/// A limited detector goes no further. Thus an alarm lasts as long as the points are unusual, and is over some 10 usual points
/// later (the mean of ln e over uniform p is -0.30), however long the episode was. Nothing is reset at an alarm: the
/// next point of an outage must not look as if all were well.
pub const MOST: f64 = ALARM + 1.0;

/// Of a past so short that no few points are an alarm, no more are counted.
const MOST_POINTS: u32 = 100;

/// The e-value of a p-value, 1/4 p^(-1/2) + 1/20 p^(-4/5) + 1/2 (1 - p): each part has mean at most its weight, 1/2,
/// 1/4 and 1/4 by their integrals.
pub fn evidence(p: f64) -> f64 {
    0.25 * p.powf(-0.5) + 0.05 * p.powf(-0.8) + 0.5 * (1.0 - p)
}

/// The fewest points that can be an alarm at a score of `line`, beside so many of the past: until then silence of a
/// detector that begins says nothing. No p-value is below half of the smallest rank.
pub fn least_points(line: f64, history: f64) -> u32 {
    let smallest = 0.5 / (history.max(0.0) + 1.0);
    let mut detector = Detector::default();
    let mut points = 0;
    while points < MOST_POINTS && detector.score() < line {
        detector.push(smallest);
        points += 1;
    }
    points
}

/// log M, which is negative infinity before the first point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detector(f64);

impl Default for Detector {
    fn default() -> Self {
        Self(f64::NEG_INFINITY)
    }
}

impl Detector {
    /// Take the p-value of the next point (above 0, at most 1).
    pub fn push(&mut self, p: f64) {
        // log(1 + M) from log M without overflow.
        let log_one_more = if self.0 > 0.0 { self.0 + (-self.0).exp().ln_1p() } else { self.0.exp().ln_1p() };
        self.0 = evidence(p).ln() + log_one_more;
    }

    /// log M.
    pub fn log(&self) -> f64 {
        self.0
    }

    /// log10 M.
    pub fn score(&self) -> f64 {
        self.0 / std::f64::consts::LN_10
    }

    /// Forget evidence beyond [`MOST`].
    pub fn limit(&mut self) {
        self.0 = self.0.min(MOST * std::f64::consts::LN_10);
    }
}
