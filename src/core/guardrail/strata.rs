//! Which rows are compared with each other when the arms come apart: those of the same span of time, under the same
//! allocation, as soon as both arms of it are there.
//!
//! Two arms that processes of their own send arrive at different times: each flushes at a phase of its own, one may be stored
//! later, and what is counted may come after what it is counted per. What arrived together did not happen together then, and
//! an outage that both arms had would look like one of the treatment's. So rows wait, by ten seconds of event time, until
//! both arms are known to be there. Spans are as wide as thin traffic needs, up to ten minutes.
//!
//! Invariant: where a span begins and ends is settled before any of its rows is compared, and depends on when rows came and
//! never on what is in them. So the labels within a span are exchangeable, and the tests are as valid as with ticks of that
//! length. Times are in microseconds.

use crate::telemetry::BUCKET_MICROS;

const SECOND: i64 = 1_000_000;
/// What rows may be late by before anything is known of them: OpenTelemetry's exporters flush every 5 seconds.
const FIRST_LAG: i64 = 5 * SECOND;
/// What is added to the lag that was seen.
const SLACK: i64 = SECOND;
/// After this time a lag that was not seen again counts half.
const LAG_HALVES: f64 = 600e6;
/// After this time what was seen of gaps counts half.
const GAPS_HALVE: f64 = 1200e6;
/// A span is this many mean gaps of the thinner arm wide.
const GAPS: f64 = 2.5;
/// A gap of more than this many mean ones is a pause.
const PAUSE: f64 = 4.0;
/// The widest span.
const WIDEST: i64 = 600 * SECOND;
/// With more spans of a metric than this at once, they are compared by the widest ones.
const MOST_SPANS: u64 = 60;

/// How the rows of one arm have come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrivals {
    /// Greatest time of any row.
    pub latest: Option<i64>,
    /// By how much rows were behind it when they came.
    pub lag: f64,
    /// Buckets with rows; older ones count less.
    pub occupied: f64,
}

/// What one tick brings of an arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Earliest time.
    pub first: i64,
    /// Latest time.
    pub last: i64,
    /// Number of buckets.
    pub buckets: u32,
}

/// How the arms of a metric have come so far, and which span is open.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairing {
    /// Start of the open span; `None` before the first row.
    pub since: Option<i64>,
    /// Its width, and that of those that follow.
    pub width: i64,
    /// How long this has been watched; what is long ago counts less.
    pub elapsed: f64,
    /// Treatment and control.
    pub arms: [Arrivals; 2],
}

/// Spans that are over: rows from `since` to before `until`, in spans of `width`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// Start of the first one.
    pub since: i64,
    /// End of the last one.
    pub until: i64,
    /// Width of each.
    pub width: i64,
}

impl Default for Pairing {
    fn default() -> Self {
        let arrivals = Arrivals { latest: None, lag: FIRST_LAG as f64, occupied: 0.0 };
        Self { since: None, width: BUCKET_MICROS, elapsed: 0.0, arms: [arrivals; 2] }
    }
}

/// Start of the bucket of a time.
fn bucket(ts: i64) -> i64 {
    ts.div_euclid(BUCKET_MICROS) * BUCKET_MICROS
}

/// Start of the stratum that a bucket is compared in, when a tick has so many of its metric at once: after a past that was
/// sent late, or a stop of the ticks, strata as wide as those of thin traffic. Within one allocation the share is the same, so
/// they are as valid as narrow ones, and how many there are depends on when rows came and never on what is in them; a tick
/// does not look 360 times at an hour.
pub fn stratum_of(start: i64, at_once: u64) -> i64 {
    if at_once > MOST_SPANS { start.div_euclid(WIDEST) * WIDEST } else { start }
}

impl Pairing {
    /// Notes what a tick brings of treatment and control. A clock that is ahead of the tick's shows nothing of what is still
    /// to come, and no lag beyond `patience` is believed: nothing waits that long.
    pub fn note(&mut self, came: [Option<Batch>; 2], now: i64, patience: i64) {
        let latest = |arms: &[Arrivals; 2]| arms.iter().filter_map(|arm| arm.latest).max();
        let before = latest(&self.arms);
        let first = came.iter().flatten().map(|batch| batch.first).min();
        self.since = self.since.or(first.map(bucket));
        let seen = [0, 1].map(|i| came[i].map_or((0.0, 0.0), |batch| self.arms[i].note(batch, now, patience)));
        let passed = latest(&self.arms).zip(before.or(self.since));
        let passed = passed.map_or(0, |(latest, before)| latest.saturating_sub(before).max(0)) as f64;
        let faded = |passed: f64, halves: f64| (-passed / halves).exp2();
        // A night without traffic is no gap of thin traffic.
        let usual = passed.min((PAUSE * self.gap()).max(patience as f64));
        self.elapsed = self.elapsed * faded(usual, GAPS_HALVE) + usual;
        for (arm, (behind, new)) in self.arms.iter_mut().zip(seen) {
            arm.lag = behind.max(arm.lag * faded(passed, LAG_HALVES));
            arm.occupied = arm.occupied * faded(usual, GAPS_HALVE) + new;
        }
    }

    /// The time before which both arms are there: what either has shown, less its lag; and whatever has waited for as long
    /// as anything does. `now` is `None` while rows are left unread that were written before.
    pub fn line(&self, now: Option<i64>, patience: i64) -> Option<i64> {
        let shown = |arm: &Arrivals| Some(arm.latest?.saturating_sub(arm.lag as i64).saturating_sub(SLACK));
        let both = self.arms.iter().map(shown).collect::<Option<Vec<_>>>().and_then(|both| both.into_iter().min());
        both.max(now.map(|now| now.saturating_sub(patience)))
    }

    /// Closes the spans that are over, and settles how wide the next ones are.
    pub fn close(&mut self, line: Option<i64>) -> Option<Closed> {
        let (since, line) = (self.since?, line?);
        let spans = line.saturating_sub(since).div_euclid(self.width);
        if spans <= 0 {
            return None;
        }
        let until = since.saturating_add(spans.saturating_mul(self.width));
        let closed = Closed { since, until, width: self.width };
        (self.since, self.width) = (Some(until), self.next_width());
        Some(closed)
    }

    /// The mean gap of the thinner arm.
    fn gap(&self) -> f64 {
        let occupied = self.arms.iter().map(|arm| arm.occupied).fold(f64::INFINITY, f64::min);
        (self.elapsed + BUCKET_MICROS as f64) / (occupied + 1.0)
    }

    /// Some mean gaps of the thinner arm; one bucket where hardly any is empty.
    fn next_width(&self) -> i64 {
        let gap = self.gap();
        if gap <= 1.5 * BUCKET_MICROS as f64 {
            return BUCKET_MICROS;
        }
        let buckets = (GAPS * gap / BUCKET_MICROS as f64).ceil() as i64;
        buckets.saturating_mul(BUCKET_MICROS).min(WIDEST)
    }
}

impl Arrivals {
    /// How far a batch was behind what was there, and how many buckets of it are new.
    fn note(&mut self, batch: Batch, now: i64, patience: i64) -> (f64, f64) {
        let was = self.latest.replace(batch.last.min(now).max(self.latest.unwrap_or(i64::MIN)));
        let behind = was.map_or(0, |was| was.saturating_sub(batch.first).clamp(0, patience.max(0)));
        let known = u32::from(was.is_some_and(|was| bucket(batch.first) <= bucket(was)));
        (behind as f64, f64::from(batch.buckets.saturating_sub(known)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: i64 = 60 * SECOND;

    fn batch(first: i64, last: i64) -> Option<Batch> {
        let buckets = (bucket(last) - bucket(first)) / BUCKET_MICROS + 1;
        Some(Batch { first, last, buckets: buckets as u32 })
    }

    /// Both arms by single processes that flush every 5 s, the control's 2 s later.
    #[test]
    fn a_span_is_over_when_both_arms_are_known_to_be_there() {
        let mut pairing = Pairing::default();
        let mut closed = Vec::new();
        for flush in 1..=12 {
            let (t, c) = (5 * flush * SECOND, (5 * flush + 2) * SECOND);
            for (now, came) in [(t, [batch(t - 5 * SECOND, t - 1), None]), (c, [None, batch(c - 5 * SECOND, c - 1)])]
            {
                pairing.note(came, now, PATIENCE);
                let line = pairing.line(Some(now), PATIENCE);
                closed
                    .extend(pairing.close(line).map(|c| (now / SECOND, c.since / SECOND, c.until / SECOND, c.width)));
            }
        }
        // Of each bucket what is there 6 s beyond it in both arms: at first 5 s of lag and 1 s of slack.
        let of = |now, since| (now, since, since + 10, BUCKET_MICROS);
        assert_eq!(closed, [of(20, 0), of(30, 10), of(40, 20), of(50, 30), of(60, 40)]);
    }

    #[test]
    fn a_lag_that_was_seen_is_waited_for_and_forgotten_slowly() {
        let mut pairing = Pairing::default();
        pairing.note([batch(0, 30 * SECOND), batch(0, 30 * SECOND)], 30 * SECOND, PATIENCE);
        pairing.note([batch(10 * SECOND, 31 * SECOND), None], 31 * SECOND, PATIENCE);
        assert_eq!((pairing.arms[0].lag, pairing.arms[1].lag < 5e6), (20e6, true));
        assert_eq!(pairing.line(None, PATIENCE), Some(10 * SECOND));
        // Hours late, it is not waited for longer than anything is.
        pairing.note([batch(-9000 * SECOND, 32 * SECOND), None], 32 * SECOND, PATIENCE);
        assert_eq!(pairing.arms[0].lag, 60e6);
        pairing.note([batch(632 * SECOND, 632 * SECOND), None], 632 * SECOND, PATIENCE);
        assert_eq!(pairing.arms[0].lag, 30e6);
    }

    #[test]
    fn an_arm_that_is_silent_is_waited_for_a_minute() {
        let mut pairing = Pairing::default();
        pairing.note([None, batch(0, 9 * SECOND)], 10 * SECOND, PATIENCE);
        assert_eq!(pairing.line(Some(69 * SECOND), PATIENCE), Some(9 * SECOND));
        assert_eq!(pairing.close(Some(9 * SECOND)), None);
        // Not while there is more to read: its rows may be among that.
        assert_eq!(pairing.line(None, PATIENCE), None);
        let line = pairing.line(Some(70 * SECOND), PATIENCE);
        assert_eq!(pairing.close(line), Some(Closed { since: 0, until: 10 * SECOND, width: BUCKET_MICROS }));
    }

    #[test]
    fn a_clock_that_is_ahead_shows_nothing() {
        let mut pairing = Pairing::default();
        pairing.note([batch(0, 1 << 60), batch(0, SECOND)], 5 * SECOND, PATIENCE);
        assert_eq!(pairing.arms[0].latest, Some(5 * SECOND));
    }

    /// Two requests a minute, a tenth of them with the treatment: as strata of ten minutes by hand.
    #[test]
    fn spans_grow_with_the_gaps_of_the_thinner_arm() {
        let mut pairing = Pairing::default();
        let mut widths = Vec::new();
        for minute in 0..120 {
            let ts = minute * 60 * SECOND;
            let one = batch(ts, ts);
            pairing.note([one.filter(|_| minute % 5 == 0), one], ts, PATIENCE);
            let line = pairing.line(Some(ts), PATIENCE);
            widths.extend(pairing.close(line).map(|c| c.width / SECOND));
        }
        assert!(widths[0] == 10 && widths.len() < 20 && widths.iter().rev().take(8).all(|w| *w >= 500), "{widths:?}");
        // And narrow again where traffic grows.
        for second in 7200..12_000 {
            let one = batch(second * SECOND, second * SECOND);
            pairing.note([one, one], second * SECOND, PATIENCE);
            let line = pairing.line(Some(second * SECOND), PATIENCE);
            pairing.close(line);
        }
        assert_eq!(pairing.width, BUCKET_MICROS);
    }

    #[test]
    fn a_night_without_traffic_does_not_widen_the_morning() {
        let mut pairing = Pairing::default();
        for second in (0..600).chain(36_000..36_100) {
            let one = batch(second * SECOND, second * SECOND);
            pairing.note([one, one], second * SECOND, PATIENCE);
            let line = pairing.line(Some(second * SECOND), PATIENCE);
            pairing.close(line);
        }
        assert_eq!(pairing.width, BUCKET_MICROS);
    }

    /// Ten minutes are compared bucket by bucket, an hour in six strata.
    #[test]
    fn a_long_past_is_compared_by_ten_minutes() {
        let strata = |buckets: i64| {
            let mut starts: Vec<i64> =
                (0..buckets).map(|i| stratum_of(i * BUCKET_MICROS, buckets as u64) / SECOND).collect();
            starts.dedup();
            starts
        };
        assert_eq!(strata(60), (0..60).map(|i| 10 * i).collect::<Vec<_>>());
        assert_eq!(strata(361), [0, 600, 1200, 1800, 2400, 3000, 3600]);
        // Before 2000, too.
        assert_eq!(stratum_of(-BUCKET_MICROS, 61), -WIDEST);
    }

    #[test]
    fn after_a_stop_spans_are_closed_one_by_one() {
        let mut pairing = Pairing::default();
        pairing.note([batch(0, 3600 * SECOND), batch(0, 3600 * SECOND)], 3600 * SECOND, PATIENCE);
        let line = pairing.line(Some(3600 * SECOND), PATIENCE);
        assert_eq!(pairing.close(line), Some(Closed { since: 0, until: 3590 * SECOND, width: BUCKET_MICROS }));
    }
}
