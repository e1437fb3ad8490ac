//! How regularly an arm's data comes, and so for how long a pause means nothing. Times are in microseconds.
//!
//! What is here: the usual gap between arrivals and its deviation, as TCP estimates round trips (Jacobson 1988; RFC 6298: mean
//! and mean deviation, exponentially weighted), and the two limits taken from them. What is not: what follows from a pause
//! (`verdict`, and `ramp_gate()` in `sql/api/ramp.sql`).
//!
//! An exporter sends many batches at once and then none for a while, so arrivals within [`BEAT`] are one beat: gaps are those
//! between the beginnings of beats.
//!
//! * **Fresh** is what came within the mean and four deviations ([`BEAT`] at least): of independent arrivals one gap in 50 is
//!   longer, which costs a ramp no more than the wait for the next data.
//! * **Silent** is an arm after the mean and eighteen deviations, and ten means at least: of independent arrivals (exponential
//!   gaps: the deviation is 2/e of the mean) fewer than one gap in 10,000 is longer (measured below), since it stops a ramp.
//!   Deviations are learnt slowly, so that a few regular gaps do not make an irregular arm look regular. While few are
//!   known, fourteen means, at least those that the other arm's gaps and both shares let expect.

/// Arrivals within this time are one.
pub const BEAT: i64 = 5_000_000;
/// Weight of the newest gap.
const WEIGHT: f64 = 1.0 / 16.0;
/// Gaps after which silence can be told from the usual.
const KNOWN: f64 = 8.0;
/// So many means are hardly ever exceeded: e^-14 is a millionth.
const MEANS: f64 = 14.0;

/// When an arm's data comes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rhythm {
    /// Tick that last saw data.
    pub last: Option<i64>,
    /// When the present beat began.
    pub beat: i64,
    /// How many gaps were seen.
    pub gaps: f64,
    /// Their mean.
    pub mean: f64,
    /// Their mean deviation.
    pub deviation: f64,
}

impl Rhythm {
    /// Data has come.
    pub fn came(&mut self, at: i64) {
        let gap = at.saturating_sub(self.beat);
        if self.last.is_none() || gap < 0 {
            self.beat = at;
        } else if gap >= BEAT {
            self.learn(gap as f64);
            self.beat = at;
        }
        self.last = Some(at);
    }

    fn learn(&mut self, gap: f64) {
        self.gaps += 1.0;
        if self.gaps == 1.0 {
            (self.mean, self.deviation) = (gap, gap / 2.0);
            return;
        }
        // The mean of all while there are few.
        let weight = WEIGHT.max(1.0 / self.gaps);
        self.deviation += weight * ((gap - self.mean).abs() - self.deviation);
        self.mean += weight * (gap - self.mean);
    }

    fn pause(&self, at: i64, otherwise: i64) -> f64 {
        at.saturating_sub(self.last.unwrap_or(otherwise)) as f64
    }

    /// For how long what came is fresh: two gaps tell, and never longer than data may pause.
    pub fn fresh_for(&self, stale_after: i64) -> f64 {
        let limit = stale_after as f64;
        if self.gaps < 2.0 { limit } else { limit.min(self.mean + (BEAT as f64).max(4.0 * self.deviation)) }
    }

    /// Is the last data fresh.
    pub fn is_fresh(&self, stale_after: i64, at: i64) -> bool {
        self.last.is_some() && self.pause(at, at) <= self.fresh_for(stale_after)
    }

    /// The mean gap of an arm that has so many times this one's share of the traffic; unknown, it is infinite. Arrivals of
    /// busy traffic are one beat, so it is too long rather than too short.
    pub fn expected_at(&self, times: f64) -> f64 {
        if self.gaps < 2.0 { f64::INFINITY } else { self.mean / times }
    }

    /// Has it stopped for longer than chance explains; `since`: where there was none, since when there could be; `expected`:
    /// the mean gap that the other arm lets expect.
    pub fn is_silent(&self, stale_after: i64, since: i64, at: i64, expected: f64) -> bool {
        let limit = match self.gaps {
            gaps if gaps < KNOWN => (MEANS * expected.max(self.mean)).max(stale_after as f64),
            _ => self.mean + (18.0 * self.deviation).max(9.0 * self.mean),
        };
        self.pause(at, since) > limit
    }

    /// As it is stored; nothing of an arm without data.
    pub fn stored(&self) -> Vec<f64> {
        self.last
            .map_or_else(Vec::new, |last| vec![last as f64, self.beat as f64, self.gaps, self.mean, self.deviation])
    }

    /// From what is stored; damaged numbers are those of an arm without data.
    pub fn from_stored(stored: &[f64]) -> Self {
        match *stored {
            [last, beat, gaps, mean, deviation] if stored.iter().all(|x| x.is_finite()) => {
                Self { last: Some(last as i64), beat: beat as i64, gaps, mean, deviation }
            }
            _ => Self::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const STALE: i64 = 120 * SECOND;

    fn regular(every: i64, n: i64) -> Rhythm {
        let mut rhythm = Rhythm::default();
        (0..n).for_each(|i| rhythm.came(i * every));
        rhythm
    }

    #[test]
    fn busy_traffic_is_fresh_for_seconds_and_silent_within_a_minute() {
        let busy = regular(SECOND / 10, 6000);
        let last = busy.last.unwrap();
        assert!(busy.is_fresh(STALE, last + 9 * SECOND));
        assert!(!busy.is_fresh(STALE, last + 11 * SECOND));
        assert!(!busy.is_silent(STALE, 0, last + 45 * SECOND, 0.0));
        assert!(busy.is_silent(STALE, 0, last + 55 * SECOND, 0.0));
    }

    #[test]
    fn a_slow_exporter_has_its_own_rhythm() {
        // Ten instances send within a second, once a minute.
        let mut slow = Rhythm::default();
        (0..30).for_each(|m| (0..10).for_each(|i| slow.came(m * 60 * SECOND + i * SECOND / 10)));
        let last = slow.last.unwrap();
        assert!((slow.mean - 60e6).abs() < 1e3 && slow.deviation < 6e6, "{slow:?}");
        assert!(slow.is_fresh(STALE, last + 62 * SECOND));
        assert!(!slow.is_fresh(STALE, last + 100 * SECOND));
        assert!(!slow.is_silent(STALE, 0, last + 300 * SECOND, 0.0));
        assert!(slow.is_silent(STALE, 0, last + 700 * SECOND, 0.0));
    }

    #[test]
    fn while_little_is_known_data_may_pause_as_set() {
        let new = regular(30 * SECOND, 2);
        assert!(new.is_fresh(STALE, 150 * SECOND) && !new.is_fresh(STALE, 151 * SECOND));
        assert!(!Rhythm::default().is_fresh(STALE, 0));
        let silent = |at, expected| Rhythm::default().is_silent(STALE, 0, at, expected);
        assert!(!silent(STALE, 0.0) && silent(STALE + 1, 0.0));
        // A tenth of an arm with a gap of 6 seconds, as far as two of its gaps tell.
        let expected = regular(6 * SECOND, 3).expected_at(0.1);
        assert!(!silent(14 * 60 * SECOND, expected) && silent(14 * 60 * SECOND + 1, expected));
        assert_eq!(regular(6 * SECOND, 2).expected_at(0.1), f64::INFINITY);
        // A clock that was set back begins a beat and no gap.
        let mut back = regular(10 * SECOND, 10);
        back.came(5 * SECOND);
        assert_eq!((back.gaps, back.last), (9.0, Some(5 * SECOND)));
    }

    /// Independent numbers, uniform between 0 and 1, always the same.
    fn uniform() -> impl Iterator<Item = f64> {
        let mut seed = 42_u64;
        std::iter::repeat_with(move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((seed >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
        })
    }

    /// Independent arrivals: of exponential gaps P(gap > k means) = e^-k, so 14 means (mean + 18 * 2/e means) are exceeded once
    /// in a million gaps by the true numbers, 3.9 means (mean + 4 * 2/e) by 2 in 100.
    #[test]
    fn chance_is_hardly_ever_taken_for_silence() {
        let (mut rhythm, mut at, mut silent, mut late) = (Rhythm::default(), 0_i64, 0, 0);
        for u in uniform().take(400_000) {
            at += (-u.ln() * 20e6) as i64 + 1;
            silent += i32::from(rhythm.gaps >= KNOWN && rhythm.is_silent(i64::MAX, 0, at, 0.0));
            late += i32::from(rhythm.gaps >= KNOWN && !rhythm.is_fresh(i64::MAX, at));
            rhythm.came(at);
        }
        assert!(silent < 20, "{silent} of 400,000 gaps");
        assert!((2000..16_000).contains(&late), "{late} of 400,000 gaps");
    }

    /// Two requests a minute, one in ten of the thin arm: stages of two hours that begin anew, looked at every ten seconds.
    #[test]
    fn thin_traffic_at_the_start_of_a_stage_is_not_silent() {
        let (mut uniform, mut silent) = (uniform(), 0);
        for _ in 0..2000 {
            let [mut thin, mut other] = [Rhythm::default(); 2];
            let mut next = 0_i64;
            for at in (0..720).map(|i| i * 10 * SECOND) {
                while next <= at {
                    let arm = if uniform.next() < Some(0.1) { &mut thin } else { &mut other };
                    arm.came(at);
                    next += (-uniform.next().unwrap_or(0.5).ln() * 30e6) as i64 + 1;
                }
                silent += i32::from(thin.is_silent(STALE, 0, at, other.expected_at(0.1 / 0.9)));
            }
        }
        assert!(silent < 20 * 720 / 100, "{silent} of 1,440,000 looks");
    }

    #[test]
    fn it_is_stored_and_read_back() {
        let rhythm = regular(7 * SECOND, 9);
        assert_eq!(Rhythm::from_stored(&rhythm.stored()), rhythm);
        assert_eq!(Rhythm::default().stored(), Vec::<f64>::new());
        assert_eq!(Rhythm::from_stored(&[1.0, f64::NAN, 1.0, 1.0, 1.0]), Rhythm::default());
    }
}
