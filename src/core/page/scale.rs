//! Scales of charts: from values to places, and their ticks.

use super::words::form;

/// From values to places between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    is_log: bool,
}

impl Scale {
    /// From the least to the greatest value; of nothing from 0 to 1, of one value around it.
    pub fn over(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for x in values.filter(|x| x.is_finite()) {
            (low, high) = (low.min(x), high.max(x));
        }
        if low > high {
            return Self { low: 0.0, high: 1.0, is_log: false };
        }
        if high - low <= f64::EPSILON * high.abs().max(low.abs()) {
            let around = if low == 0.0 { 1.0 } else { low.abs() / 2.0 };
            return Self { low: low - around, high: high + around, is_log: false };
        }
        Self { low, high, is_log: false }
    }

    /// The same as logarithms, where all values are positive.
    pub fn logarithmic(self) -> Self {
        Self { is_log: self.low > 0.0, ..self }
    }

    /// With room beside its ends, as a part of its length.
    pub fn with_room(self, room: f64) -> Self {
        if self.is_log {
            let factor = (self.high / self.low).powf(room).min(1e3);
            return Self { low: self.low / factor, high: self.high * factor, ..self };
        }
        let more = (self.high - self.low) * room;
        if !more.is_finite() {
            return self;
        }
        // What starts at 0 has no room below.
        Self { low: if self.low == 0.0 { 0.0 } else { self.low - more }, high: self.high + more, ..self }
    }

    /// The place of a value, 0 to 1; what lies beyond an end is at the end. `None`: not a number, or a logarithm of none.
    pub fn place(&self, x: f64) -> Option<f64> {
        let x = if self.is_log { if x > 0.0 { x.ln() } else { f64::NEG_INFINITY } } else { x };
        let [low, high] = [self.low, self.high].map(|end| if self.is_log { end.ln() } else { end });
        if x.is_nan() {
            return None;
        }
        let place = (x.clamp(low, high) - low) / (high - low);
        place.is_finite().then_some(place)
    }

    /// Round values on the scale, at most about `most`.
    pub fn ticks(&self, most: usize) -> Vec<f64> {
        if self.is_log && self.high / self.low > 4.0 {
            return self.log_ticks(most);
        }
        let rough = (self.high - self.low) / most as f64;
        if !(rough > 0.0 && rough.is_finite()) {
            return Vec::new();
        }
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough).unwrap_or(power * 10.0);
        let first = (self.low / step).ceil();
        (0..=most).map(|i| (first + i as f64) * step).filter(|x| *x <= self.high * (1.0 + 1e-12)).collect()
    }

    fn log_ticks(&self, most: usize) -> Vec<f64> {
        let [low, high] = [self.low, self.high].map(f64::log10);
        let powers = (low.floor() as i32)..=(high.ceil() as i32);
        let all: Vec<f64> = powers
            .flat_map(|p| [1.0, 2.0, 5.0].map(|m| m * 10_f64.powi(p)))
            .filter(|x| (self.low..=self.high).contains(x))
            .collect();
        let every = all.len().div_ceil(most.max(1)).max(1);
        // 1 is no difference: it stays.
        let one = all.iter().position(|x| (*x - 1.0).abs() < 1e-9).unwrap_or(0);
        all.iter().enumerate().filter(|(i, _)| i % every == one % every).map(|(_, x)| *x).collect()
    }
}

const STEPS: [(f64, &str); 20] = [
    (1.0, "%H:%M:%S"),
    (5.0, "%H:%M:%S"),
    (15.0, "%H:%M:%S"),
    (30.0, "%H:%M:%S"),
    (60.0, "%H:%M"),
    (120.0, "%H:%M"),
    (300.0, "%H:%M"),
    (600.0, "%H:%M"),
    (900.0, "%H:%M"),
    (1800.0, "%H:%M"),
    (3600.0, "%H:%M"),
    (7200.0, "%H:%M"),
    (10800.0, "%H:%M"),
    (21600.0, "%b %d, %H:%M"),
    (43200.0, "%b %d, %H:%M"),
    (86400.0, "%b %d"),
    (172_800.0, "%b %d"),
    (604_800.0, "%b %d"),
    (2_592_000.0, "%Y-%m-%d"),
    (31_536_000.0, "%Y-%m-%d"),
];

/// Round times from one to another in UTC, with their words; at most `most`.
pub fn time_ticks(since: f64, until: f64, most: usize) -> Vec<(f64, String)> {
    let length = until - since;
    if !(length > 0.0 && length.is_finite()) {
        return Vec::new();
    }
    let (step, shape) = STEPS
        .into_iter()
        .find(|(step, _)| length / step <= most as f64)
        .unwrap_or((length / most as f64, "%Y-%m-%d"));
    let first = (since / step).ceil();
    (0..=most)
        .map(|i| (first + i as f64) * step)
        .filter(|at| *at <= until)
        .filter_map(|at| Some((at, form(at, shape)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_lie_between_0_and_1() {
        let scale = Scale::over([2.0, 4.0, f64::NAN, 3.0].into_iter());
        assert_eq!([2.0, 3.0, 4.0, 9.0, f64::INFINITY].map(|x| scale.place(x)), [0.0, 0.5, 1.0, 1.0, 1.0].map(Some));
        assert_eq!(scale.place(f64::NAN), None);
        let log = Scale::over([1.0, 100.0].into_iter()).logarithmic();
        assert_eq!([1.0, 10.0, 0.0].map(|x| log.place(x)), [0.0, 0.5, 0.0].map(Some));
    }

    #[test]
    fn scales_of_little_still_are_scales() {
        for values in [vec![], vec![0.0], vec![5.0], vec![-5.0], vec![f64::MAX, f64::MIN], vec![5e-324]] {
            let scale = Scale::over(values.iter().copied()).with_room(0.1);
            assert!(scale.ticks(5).len() < 8, "{values:?}");
            for x in values {
                assert!(scale.place(x).is_none_or(|place| (0.0..=1.0).contains(&place)), "{x}");
            }
        }
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(Scale::over([0.0, 97.0].into_iter()).ticks(5), [0.0, 20.0, 40.0, 60.0, 80.0]);
        assert_eq!(Scale::over([0.5, 60.0].into_iter()).logarithmic().ticks(4), [1.0, 5.0, 20.0]);
    }

    #[test]
    fn times_are_round_too() {
        let words = |since: f64, until: f64| -> Vec<String> {
            time_ticks(since, until, 5).into_iter().map(|t| t.1).collect()
        };
        // 1,796,032,017 is 2026-11-30 09:46:57 UTC.
        assert_eq!(words(1_796_032_017.0, 1_796_032_217.0), ["09:47", "09:48", "09:49", "09:50"]);
        assert_eq!(words(1_796_032_017.0, 1_796_332_017.0), ["Dec 01", "Dec 02", "Dec 03"]);
        assert_eq!(words(0.0, 0.0), Vec::<String>::new());
        assert!(words(0.0, 1e18).len() <= 6);
    }
}
