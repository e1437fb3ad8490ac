//! How many requests a second: a bucket that fills with the time and holds those of one second.

use std::sync::Mutex;
use std::time::Instant;

/// A bucket.
pub struct Bucket {
    rate: Option<f64>,
    level: Mutex<(f64, Instant)>,
}

impl Bucket {
    /// Of so many a second; none is no limit.
    pub fn new(rate: Option<f64>) -> Self {
        Self { rate, level: Mutex::new((rate.unwrap_or_default().max(1.0), Instant::now())) }
    }

    /// Takes one; or in how many seconds there is one.
    pub fn take(&self) -> Result<(), u64> {
        let Some(rate) = self.rate else { return Ok(()) };
        let now = Instant::now();
        let mut level = self.level.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let filled = (level.0 + now.duration_since(level.1).as_secs_f64() * rate).min(rate.max(1.0));
        *level = if filled >= 1.0 { (filled - 1.0, now) } else { (filled, now) };
        if filled >= 1.0 { Ok(()) } else { Err(((1.0 - filled) / rate).ceil().clamp(1.0, 30.0) as u64) }
    }
}
