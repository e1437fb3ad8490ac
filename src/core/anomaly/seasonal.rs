//! A series with a daily and weekly rhythm compared with its own past: the usual value of this time of day, how far the
//! newest point is from it, and whether that is evidence of a change.
//!
//! Measured on 20 simulated minute series (phi 0.7; normal noise, and t3): 0.10 and 0.02 false episodes a day, a step of 4
//! standard deviations found within 5 and 6 points in the median (the aims were 0.15 and 7). On 6 series with a trend of half a
//! deviation a day and a holiday (a day without its rhythm, up to 30 deviations off): the holiday itself is told once or twice,
//! the last alarm comes 0 to 3 hours after it (once 10), and a step of 4 deviations two days later is found in 5 to 8 minutes in
//! the median, 14 at most; with points of ten minutes in 36 to 53 (65 at most). `src/core/tests/anomaly.rs` repeats the
//! measurements.

use std::collections::VecDeque;

use super::detector::Detector;
use super::robust::{Scale, median};
use crate::calendar::is_weekend;
use crate::{Error, Kind, Result};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// Points this near to the same time of day are compared.
const NEAR: i64 = 300 * SECOND;
/// The baseline uses the same time of day on days of the same class (working day or weekend) ...
const RECENT_DAYS: i64 = 14;
/// ... and on the same weekdays, which reach further back.
const WEEKS: i64 = 3;
/// No score before the series is this old,
const WARM_UP: i64 = 7 * DAY;
/// or before so many points can be compared.
const LEAST_HISTORY: usize = 100;
/// A point further out enters the history as if it were here (Hampel), so that an anomaly does not become usual.
const CLIP: f64 = 3.0;
/// The trend is a median over so many differences from one week to the next, ...
const TREND_SAMPLES: usize = 400;
/// ... once there are differences for so long.
const TREND_SPAN: i64 = 2 * DAY;
/// The level is an average of z with this weight of the newest point, ...
const LEVEL_WEIGHT: f64 = 0.1;
/// ... in which a point weighs at most so many deviations. One beyond `CLIP` is an episode (a holiday, an outage) until it is
/// below half of that: single points are noise, and belong to what is usual.
const LEVEL_CLIP: f64 = 6.0;
/// The correlation is the median over days that have so many points.
const LEAST_OF_A_DAY: usize = 12;
/// Scale and correlation of the residuals change slowly: they are recomputed after this many points,
const REFRESH: usize = 60;
/// and while a series only learns after this many (22 days of minutes: 260 ms with 60, 110 with this).
const LEARNING_REFRESH: usize = 600;

/// What is said of one point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// The usual value of this time of day: median over the same time of earlier days.
    pub baseline: f64,
    /// Half of the band, three robust standard deviations of earlier residuals.
    pub lower: f64,
    /// The upper end of the band.
    pub upper: f64,
    /// Robust standard deviations from the middle of the band.
    pub z: f64,
    /// log10 of the e-SR statistic: 4 is an alarm, of which a healthy series gives one in 10,000 points.
    pub score: f64,
}

/// The usual value of a time of day, without the trend: the values and how long ago they were.
#[derive(Debug, Clone, Copy)]
struct Usual {
    value: f64,
    lag: f64,
}

/// A residual of the past: when, how large, in z, and how much z was new.
#[derive(Debug, Clone, Copy)]
struct Past {
    at: i64,
    /// With what the trend at that time adds to it.
    residual: f64,
    /// How long before it the values lie, in the mean, that it was compared with.
    lag: f64,
    z: f64,
    innovation: Option<f64>,
}

/// The past of a series, at most 21 days of it, and the verdict on its newest point.
///
/// It tells of increases; for decreases give it the negated series. For latencies and counts give it their logarithm.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// (microseconds, value with anomalies clipped), in order of time.
    values: VecDeque<(i64, f64)>,
    past: VecDeque<Past>,
    scale: Option<Scale>,
    phi: f64,
    since_refresh: usize,
    begun: Option<i64>,
    last_at: Option<i64>,
    /// The least distance of two points so far.
    step: Option<i64>,
    /// By how much the series grows a microsecond.
    trend: f64,
    /// Where z has been lately.
    level: f64,
    /// What a series does in an episode does not become usual.
    in_episode: bool,
    detector: Detector,
    /// Points are learned from but not judged.
    only_learns: bool,
    newest: Option<Point>,
}

impl Series {
    /// Take the next point; `at` in microseconds since any midnight (UTC) between a Friday and a Saturday, as
    /// PostgreSQL's are (2000-01-01 was a Saturday). A value that is missing or not finite has no score and changes
    /// nothing.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when the point is earlier than the one before it, or at an infinite time.
    pub fn push(&mut self, at: i64, x: Option<f64>) -> Result<()> {
        if self.last_at.is_some_and(|last| at < last) {
            return Err(Error::new(Kind::InvalidParameter, "the points of a series must be in order of time")
                .hint("Write anomaly_score(at, x ORDER BY at), or OVER (ORDER BY at)."));
        }
        if matches!(at, i64::MIN | i64::MAX) {
            return Err(Error::new(Kind::InvalidParameter, "the time of a point must be finite"));
        }
        self.newest = None;
        let gap = self.last_at.replace(at).map(|last| at.saturating_sub(last)).filter(|gap| *gap > 0);
        self.step = self.step.min(gap).or(self.step).or(gap);
        let Some(x) = x.filter(|x| x.is_finite()) else { return Ok(()) };
        let begun = *self.begun.get_or_insert(at);
        self.refresh();
        let usual = self.usual(at);
        let kept = match usual {
            Some(usual) => self.judge(at, x, usual, at.saturating_sub(begun) >= WARM_UP),
            None => x,
        };
        self.values.push_back((at, kept));
        self.forget(at);
        Ok(())
    }

    /// A series that learns what is usual without judging, until [`Self::judge_from_here`].
    pub fn learning() -> Self {
        Self { only_learns: true, ..Self::default() }
    }

    /// Evidence counts from the next point on.
    pub fn judge_from_here(&mut self) {
        self.only_learns = false;
        self.since_refresh = LEARNING_REFRESH;
        self.detector = Detector::default();
    }

    /// What is said of the newest point; None when it was missing, and while the series is younger than seven days.
    pub fn newest(&self) -> Option<Point> {
        self.newest
    }

    /// The median over the same time of earlier days, which the trend has carried to today: working days are compared with
    /// other days, in the mean nearer ones, than weekends.
    fn usual(&self, at: i64) -> Option<Usual> {
        let earlier =
            (1..=RECENT_DAYS).filter(|days| *days % 7 == 0 || is_weekend(at) == is_weekend(at - days * DAY));
        let weeks = (RECENT_DAYS / 7 + 1..=WEEKS).map(|week| week * 7);
        let (mut near, mut lags) = (Vec::new(), 0.0);
        for days in earlier.chain(weeks) {
            let centre = at - days * DAY;
            let first = self.values.partition_point(|v| v.0 < centre - NEAR);
            let of_day = self.values.range(first..).take_while(|v| v.0 <= centre + NEAR);
            near.extend(of_day.map(|v| {
                let lag = (at - v.0) as f64;
                lags += lag;
                v.1 + self.trend * lag
            }));
        }
        median(&mut near).map(|value| Usual { value, lag: lags / near.len() as f64 })
    }

    /// Judge a point that has a baseline, and add it to the residuals; the value that the history keeps.
    fn judge(&mut self, at: i64, x: f64, usual: Usual, warm: bool) -> f64 {
        let Usual { value: baseline, lag } = usual;
        let residual = x - baseline;
        let Some((scale, z)) = self.scale.and_then(|scale| Some((scale, scale.z(residual)?))) else {
            self.past.push_back(Past { at, residual, lag, z: 0.0, innovation: None });
            return x;
        };
        let innovation = self.innovation(at, z);
        if let Some(v) = innovation.filter(|_| warm && !self.only_learns) {
            let history = self.past.iter().filter_map(|past| past.innovation);
            let (mut n, mut at_least) = (0_usize, 0_usize);
            history.for_each(|past| {
                n += 1;
                at_least += usize::from(past >= v);
            });
            if n >= LEAST_HISTORY {
                self.detector.push((at_least + 1) as f64 / (n + 1) as f64);
                self.detector.limit();
                let (middle, half) = (baseline + scale.median, CLIP * scale.deviation);
                let score = self.detector.score();
                self.newest = Some(Point { baseline, lower: middle - half, upper: middle + half, z, score });
            }
        }
        let clipped = scale.median + z.clamp(-CLIP, CLIP) * scale.deviation;
        let residual = if z.abs() > CLIP { clipped } else { residual };
        self.follow(z);
        self.past.push_back(Past { at, residual, lag, z, innovation: innovation.filter(|_| !self.in_episode) });
        baseline + residual
    }

    /// Whether an episode begins or ends with this point.
    fn follow(&mut self, z: f64) {
        self.level += LEVEL_WEIGHT * (z.clamp(-LEVEL_CLIP, LEVEL_CLIP) - self.level);
        self.in_episode = self.level.abs() > if self.in_episode { CLIP / 2.0 } else { CLIP };
    }

    /// The part of z that the point before did not predict; None without a directly preceding point.
    fn innovation(&self, at: i64, z: f64) -> Option<f64> {
        let before = self.past.back()?;
        let near = self.step.is_none_or(|step| at - before.at <= 2 * step);
        near.then_some(z - self.phi * before.z)
    }

    /// Scale of the residuals and their correlation from point to point, over the last 14 days.
    fn refresh(&mut self) {
        let every = if self.only_learns { LEARNING_REFRESH } else { REFRESH };
        if self.past.len() < LEAST_HISTORY || (self.scale.is_some() && self.since_refresh < every) {
            self.since_refresh += 1;
            return;
        }
        self.since_refresh = 0;
        self.detrend();
        let mut residuals: Vec<f64> = self.past.iter().map(|past| past.residual).collect();
        self.scale = Scale::of(&mut residuals);
        self.phi = self.correlation();
    }

    /// The trend as it is now, also in the residuals of the past.
    fn detrend(&mut self) {
        let trend = self.growth();
        let change = std::mem::replace(&mut self.trend, trend) - trend;
        self.past.iter_mut().for_each(|past| past.residual += change * past.lag);
    }

    /// The slope by the median of differences from one week to the next (as Theil and Sen, with the season held fixed): a
    /// holiday is in a seventh of them.
    fn growth(&self) -> f64 {
        let Some((oldest, newest)) = self.values.front().zip(self.values.back()) else { return 0.0 };
        let since = (oldest.0 + 7 * DAY).max(newest.0 - RECENT_DAYS * DAY);
        if newest.0 - since < TREND_SPAN {
            return 0.0;
        }
        let first = self.values.partition_point(|v| v.0 < since);
        let every = ((self.values.len() - first) / TREND_SAMPLES).max(1);
        let weekly = self.values.range(first..).step_by(every).filter_map(|v| {
            let before = self.values.get(self.values.partition_point(|w| w.0 < v.0 - 7 * DAY))?;
            (before.0 - (v.0 - 7 * DAY) <= NEAR).then(|| (v.1 - before.1) / (v.0 - before.0) as f64)
        });
        median(&mut weekly.collect::<Vec<f64>>()).unwrap_or(0.0)
    }

    /// The correlation of one point with the next: the median over days, each around its own mean. Around one mean, a holiday
    /// looked like a correlation near 1, and a step thereafter like the natural course of things (measured: a step of 4
    /// deviations two days after a holiday was not found within ten hours).
    fn correlation(&self) -> f64 {
        let mut days: Vec<f64> = Vec::new();
        let mut z: Vec<f64> = Vec::new();
        let mut day = i64::MIN;
        for past in &self.past {
            if past.at.div_euclid(DAY) != day {
                days.extend(lag_one(&z));
                z.clear();
                day = past.at.div_euclid(DAY);
            }
            z.push(past.z.clamp(-4.0, 4.0));
        }
        days.extend(lag_one(&z));
        median(&mut days).unwrap_or(0.0)
    }

    fn forget(&mut self, at: i64) {
        let values_from = at - (WEEKS * 7) * DAY - NEAR;
        while self.values.front().is_some_and(|v| v.0 < values_from) {
            self.values.pop_front();
        }
        while self.past.front().is_some_and(|past| past.at < at - RECENT_DAYS * DAY) {
            self.past.pop_front();
        }
    }
}

/// The correlation of neighbours in a day's values, around their mean; None for a day with few values.
fn lag_one(z: &[f64]) -> Option<f64> {
    if z.len() < LEAST_OF_A_DAY {
        return None;
    }
    let mean = z.iter().sum::<f64>() / z.len() as f64;
    let square: f64 = z.iter().map(|z| (z - mean).powi(2)).sum();
    let lagged: f64 = z.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    (square > 0.0).then(|| (lagged / square).clamp(-0.99, 0.99))
}
