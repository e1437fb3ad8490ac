//! Exponentially weighted moving average: the forecast of a series without seasons, and how far a point is from it.

use crate::{Error, Kind, Result};

/// The default weight of the newest point: a memory of about 20 points.
pub const DEFAULT_WEIGHT: f64 = 0.1;
/// Number of points before the variance is good enough for a score.
const WARM_UP: u64 = 10;
/// A point further out than this many standard deviations changes mean and variance as if it were here, so that an
/// anomaly does not become the forecast (Huber's psi, as in Croux, Gelper, Mahieu, robust exponential smoothing, Int.
/// J. Forecasting 2010).
const CLIP: f64 = 3.0;

/// Mean and variance of a series, newer points weighing more.
#[derive(Debug, Clone, PartialEq)]
pub struct Ewma {
    weight: f64,
    n: u64,
    mean: f64,
    variance: f64,
    score: Option<f64>,
}

impl Ewma {
    /// Of no points, with the weight of the newest one.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when the weight is not above 0 and at most 1.
    pub fn new(weight: f64) -> Result<Self> {
        if weight > 0.0 && weight <= 1.0 {
            return Ok(Self { weight, n: 0, mean: 0.0, variance: 0.0, score: None });
        }
        let message = format!("weight must be above 0 and at most 1, got \"{weight}\"");
        Err(Error::new(Kind::InvalidParameter, message).hint("0.1 remembers about 20 points."))
    }

    /// Take the next point. One that is missing or not finite has no score and changes nothing.
    pub fn push(&mut self, x: Option<f64>) {
        self.score = None;
        let Some(x) = x.filter(|x| x.is_finite()) else { return };
        self.n += 1;
        let deviation = self.variance.sqrt();
        let error = x - self.mean;
        if self.n > WARM_UP {
            self.score = if error == 0.0 { Some(0.0) } else { Some(error / deviation).filter(|z| z.is_finite()) };
        }
        // At first a plain mean: the first point must not weigh more than those after it.
        let weight = self.weight.max((self.n as f64).recip());
        let limit = if self.n > WARM_UP && deviation > 0.0 { CLIP * deviation } else { f64::MAX };
        let step = weight * error.clamp(-limit, limit);
        self.mean += step;
        // West's update (CACM 22, 1979) with exponential weights.
        self.variance = ((1.0 - weight) * (self.variance + step * error.clamp(-limit, limit))).min(f64::MAX);
    }

    /// The mean after the last point; None before the first.
    pub fn mean(&self) -> Option<f64> {
        (self.n > 0).then_some(self.mean)
    }

    /// How many standard deviations the last point lay above the mean of the points before it; None for a point that
    /// was missing, for the first ten, and while all points were equal.
    pub fn score(&self) -> Option<f64> {
        self.score
    }
}
