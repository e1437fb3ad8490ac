//! Scores of series that a person can check, and the detector on a simulated one.

#[path = "planted/random.rs"]
mod random;

use flagscope_core::anomaly::detector::{ALARM, Detector, MOST, evidence};
use flagscope_core::anomaly::difference::{Basis, Value, scores};
use flagscope_core::anomaly::ewma::Ewma;
use flagscope_core::anomaly::robust::{Scale, last_z, median};
use flagscope_core::anomaly::seasonal::{Point, Series};
use random::Random;

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 1440 * MINUTE;

#[test]
fn medians_and_scales() {
    assert_eq!(median(&mut []), None);
    assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), Some(2.5));
    assert_eq!(median(&mut [f64::MAX, f64::MAX]), Some(f64::MAX));
    // The MAD of 1 1 2 2 4 6 9 is 1 (Rousseeuw and Croux).
    assert_eq!(Scale::of(&mut [1.0, 1.0, 2.0, 2.0, 4.0, 6.0, 9.0]), Some(Scale { median: 2.0, deviation: 1.4826 }));
    // More than half are equal: the mean absolute deviation, 2 / 5, stands in.
    let scale = Scale::of(&mut [5.0, 5.0, 5.0, 5.0, 7.0]).expect("values");
    assert_eq!((scale.median, (scale.deviation * 1e6).round()), (5.0, 501_326.0));
    let flat = Scale::of(&mut [5.0; 4]).expect("values");
    assert_eq!((flat.z(5.0), flat.z(6.0)), (Some(0.0), None));
}

#[test]
fn the_last_value_is_scored() {
    assert_eq!(last_z(&[1.0, 2.0]), None);
    assert_eq!(last_z(&[1.0, 2.0, f64::NAN]), None);
    assert_eq!(last_z(&[1.0, f64::NAN, 2.0, 3.0]), last_z(&[1.0, 2.0, 3.0]));
    assert_eq!(last_z(&[1.0, 2.0, 3.0]), Some(1.0 / 1.4826));
}

#[test]
fn an_average_forgets_and_scores() {
    let mut ewma = Ewma::new(0.5).expect("a weight");
    assert_eq!((ewma.mean(), ewma.score()), (None, None));
    // With weight 1 / n until that is below one half: 10, then the mean of two, then halves.
    for (x, mean) in [(10.0, 10.0), (20.0, 15.0), (5.0, 10.0), (10.0, 10.0)] {
        ewma.push(Some(x));
        assert_eq!((ewma.mean(), ewma.score()), (Some(mean), None));
    }
    let mut ewma = Ewma::new(0.1).expect("a weight");
    (0..200).for_each(|i| ewma.push(Some(if i % 2 == 0 { 9.0 } else { 11.0 })));
    assert!(ewma.score().is_some_and(|z| (z - 1.0).abs() < 0.1), "{:?}", ewma.score());
    let before = ewma.mean().expect("points");
    ewma.push(None);
    ewma.push(Some(f64::NAN));
    assert_eq!((ewma.mean(), ewma.score()), (Some(before), None));
    ewma.push(Some(1000.0));
    assert!(ewma.score().is_some_and(|z| z > 900.0));
    assert!(ewma.mean().is_some_and(|mean| mean - before < 0.4), "an outlier moves it by 3 deviations at most");
    assert!(Ewma::new(0.0).is_err() && Ewma::new(1.1).is_err() && Ewma::new(f64::NAN).is_err());
}

/// The mean of e(p) over uniform p is at most 1: by the midpoint rule on a grid that is finer near 0.
#[test]
fn evidence_is_worth_at_most_one() {
    let cut = |i: i32| 10_f64.powf(-f64::from(i) / 100.0);
    let mean: f64 = (0..4000).map(|i| (cut(i) - cut(i + 1)) * evidence((cut(i) + cut(i + 1)) / 2.0)).sum();
    assert!(mean < 1.0 && mean > 0.99, "{mean}");
}

#[test]
fn a_limited_detector_recovers() {
    let mut detector = Detector::default();
    assert_eq!(detector.score(), f64::NEG_INFINITY);
    (0..10).for_each(|_| {
        detector.push(1e-4);
        detector.limit();
    });
    assert!((detector.score() - MOST).abs() < 1e-12, "{}", detector.score());
    // Ordinary points: ln e(0.5) is -0.37, so half of the alarm is reached after 1 + 2 decades in 19 points.
    (0..19).for_each(|_| detector.push(0.5));
    assert!(detector.score() < ALARM / 2.0, "{}", detector.score());
    // Without a limit, evidence beyond the largest float is still a number.
    (0..1000).for_each(|_| detector.push(1e-9));
    assert!(detector.log() > 1000.0 && detector.log().is_finite());
}

impl Random {
    /// What this file's series were first drawn with: its one seed has no false alarm then.
    fn gauss(&mut self) -> f64 {
        (-2.0 * (1.0 - self.share()).ln()).sqrt() * (std::f64::consts::TAU * self.share()).cos()
    }

    /// Student's t with 3 degrees of freedom, scaled to variance 1: heavy tails.
    fn t3(&mut self) -> f64 {
        let chi2: f64 = (0..3).map(|_| self.gauss().powi(2)).sum();
        self.gauss() / chi2.sqrt()
    }
}

/// A minute series: daily and weekly season, AR(1) noise of phi 0.7 and variance 1, and a step of `step` deviations from
/// minute `from` on.
fn simulate(
    days: i64,
    from: i64,
    step: f64,
    mut noise_of: impl FnMut() -> f64,
    mut each: impl FnMut(i64, Option<Point>),
) {
    let (mut series, mut noise) = (Series::default(), 0.0);
    for minute in 0..days * 1440 {
        let at = minute * MINUTE;
        noise = 0.7 * noise + noise_of() * (1.0 - 0.49_f64).sqrt();
        let angle = 2.0 * std::f64::consts::PI * (minute % 1440) as f64 / 1440.0;
        let weekend = if (at / DAY) % 7 < 2 { 0.5 } else { 1.0 };
        let x = 100.0 + weekend * 20.0 * angle.sin() + noise + if minute >= from { step } else { 0.0 };
        series.push(at, Some(x)).expect("in order");
        each(minute, series.newest());
    }
}

/// Twenty series of 28 days: false episodes a day in the last seven, and minutes to find a step.
/// `cargo test --release -p flagscope-core --test anomaly -- --ignored --nocapture`
#[test]
#[ignore = "prints a table, and takes minutes"]
fn table() {
    for (name, heavy) in [("normal", false), ("t3", true)] {
        let mut episodes = 0;
        let mut minutes = [2.0, 4.0, 8.0].map(|step| (step, Vec::new()));
        for seed in 0..20 {
            let noise = |seed: u64| {
                let mut random = Random(seed);
                move || if heavy { random.t3() } else { random.gauss() }
            };
            let mut last = i64::MIN / 2;
            simulate(28, i64::MAX, 0.0, noise(seed), |minute, point| {
                if minute >= 21 * 1440 && point.is_some_and(|p| p.score >= ALARM) {
                    episodes += i32::from(minute - last > 60);
                    last = minute;
                }
            });
            for (step, found) in &mut minutes {
                let from = 22 * 1440 + 37 * (seed as i64 + 1);
                let mut first = None;
                simulate(23, from, *step, noise(seed + 100), |minute, point| {
                    if minute >= from && point.is_some_and(|p| p.score >= ALARM) {
                        first.get_or_insert(minute - from + 1);
                    }
                });
                found.push(first.unwrap_or(i64::MAX));
            }
        }
        let found = minutes.map(|(step, mut found)| {
            found.sort_unstable();
            format!("{step} sd: {} min", found[found.len() / 2])
        });
        println!(
            "{name}: {:.3} false episodes a day; median to find {}",
            f64::from(episodes) / 140.0,
            found.join(", ")
        );
    }
}

#[test]
fn a_season_is_no_anomaly_and_a_step_is() {
    let mut alarms = Vec::new();
    let mut unusual = 0;
    let mut random = Random(7);
    simulate(
        24,
        23 * 1440 + 600,
        8.0,
        || random.gauss(),
        |minute, point| {
            assert_eq!(point.is_some(), minute >= 7 * 1440, "minute {minute}");
            let Some(point) = point else { return };
            assert!(point.lower < point.upper && point.z.is_finite() && !point.score.is_nan());
            unusual += u32::from(point.z.abs() > 3.0 && minute < 23 * 1440);
            if point.score >= ALARM {
                alarms.push(minute);
            }
        },
    );
    let found = alarms.iter().filter(|m| **m >= 23 * 1440 + 600).min().expect("the step is found");
    let false_alarms = alarms.iter().filter(|m| **m < 23 * 1440 + 600).count();
    // 16 quiet days: at most 0.15 a day; 8 deviations within 5 minutes.
    assert!(false_alarms <= 2, "{alarms:?}");
    assert!(*found < 23 * 1440 + 605, "{found}");
    assert!(unusual < 16 * 1440 / 100, "{unusual} beyond three deviations");
}

/// A flag whose metric has a trend of half a deviation a day, a weekly rhythm, AR(1) noise, and a holiday.
#[derive(Clone, Copy)]
struct Flag {
    seed: u64,
    heavy: bool,
    /// Minutes of a point.
    width: i64,
    /// Correlation of one point with the next.
    phi: f64,
    /// The day of the holiday; all of it lies `height` deviations from other days, and has no rhythm.
    holiday: i64,
    height: f64,
    /// The minute of a step of four deviations.
    step: Option<i64>,
}

impl Flag {
    /// Minutes of the points with an alarm.
    fn alarms(&self, days: i64) -> Vec<i64> {
        let (mut series, mut noise, mut random) = (Series::default(), 0.0, Random(self.seed));
        let mut alarms = Vec::new();
        for minute in (0..days * 1440).step_by(usize::try_from(self.width).expect("positive")) {
            let fresh = if self.heavy { random.t3() } else { random.gauss() };
            noise = self.phi * noise + fresh * (1.0 - self.phi * self.phi).sqrt();
            series.push(minute * MINUTE, Some(self.usual(minute) + noise)).expect("in order");
            if series.newest().is_some_and(|p| p.score >= self.line()) {
                alarms.push(minute);
            }
        }
        alarms
    }

    fn usual(&self, minute: i64) -> f64 {
        let day = minute / 1440;
        let angle = 2.0 * std::f64::consts::PI * (minute % 1440) as f64 / 1440.0;
        let rhythm = if day % 7 < 2 { 0.5 } else { 1.0 } * 20.0 * angle.sin();
        let season = if day == self.holiday { self.height } else { rhythm };
        let step = self.step.is_some_and(|from| minute >= from);
        100.0 + 0.5 * minute as f64 / 1440.0 + season + if step { 4.0 } else { 0.0 }
    }

    /// One false alarm a week (setting `guardrail.anomaly_every`).
    fn line(&self) -> f64 {
        flagscope_core::guardrail::alarm_score(7.0 * 1440.0, self.width as f64)
    }
}

/// Alarms with more than an hour between them.
fn episodes(alarms: &[i64]) -> usize {
    let gaps = alarms.windows(2).filter(|pair| pair[1] - pair[0] > 60).count();
    gaps + usize::from(!alarms.is_empty())
}

/// Of some flags: alarms episodes in the week of a holiday, a flag; hours until the last alarm after it; and minutes until a
/// step two days after it is found.
fn after_holidays(flags: u64, width: i64, phi: f64, heavy: bool, height: f64) -> (f64, Vec<i64>, Vec<i64>) {
    let (mut false_ones, mut recovered, mut found) = (0, Vec::new(), Vec::new());
    for seed in 0..flags {
        let healthy = Flag { seed, heavy, width, phi, holiday: 24, height, step: None };
        let alarms: Vec<i64> = healthy.alarms(29).into_iter().filter(|m| *m >= 22 * 1440).collect();
        false_ones += episodes(&alarms);
        let end = 25 * 1440;
        let last = alarms.iter().copied().filter(|m| (end..end + 1440).contains(m)).max();
        recovered.push(last.map_or(0, |last| (last - end) / 60));
        let from = 27 * 1440 + 37 * (seed as i64 + 1);
        let step = Flag { seed: seed + 100, step: Some(from), ..healthy };
        let first = step.alarms(28).into_iter().find(|m| *m >= from);
        found.push(first.map_or(i64::MAX, |first| first - from + width));
    }
    found.sort_unstable();
    recovered.sort_unstable();
    (false_ones as f64 / flags as f64, recovered, found)
}

/// `cargo test --release -p flagscope-core --test anomaly -- --ignored --nocapture holidays`
#[test]
#[ignore = "prints a table, and takes half an hour"]
fn table_of_holidays() {
    for (width, phi) in [(1, 0.7), (10, 0.3)] {
        for heavy in [false, true] {
            for height in [10.0, -10.0, 4.0, -30.0] {
                let (alarms, recovered, found) = after_holidays(20, width, phi, heavy, height);
                println!(
                    "points of {width} min, t3 {heavy}, holiday {height:+} sd: {alarms} episodes in its week; last alarm \
                     {} h after it (of all {}); a step of 4 sd two days later found in {} min (all: {})",
                    recovered[10], recovered[19], found[10], found[19]
                );
            }
        }
    }
}

/// The holiday itself may be told, at most at its beginning and as its rhythm crosses the usual one.
#[test]
fn a_holiday_is_over_when_it_is_over() {
    let (alarms, recovered, found) = after_holidays(2, 10, 0.3, false, 10.0);
    assert!(alarms <= 3.0, "{alarms}");
    assert!(recovered.iter().all(|hours| *hours <= 6), "{recovered:?}");
    // Not within ten hours while holidays counted as what is usual.
    assert!(found.iter().all(|minutes| *minutes <= 90), "{found:?}");
}

/// A flag with both arms in the last week of four: what `Flag` has, noise that the arms share, and noise of their own that is
/// smaller the more rows they have.
struct Arms {
    flag: Flag,
    /// The treatment's share of 4,000 rows a point.
    share: f64,
    /// Deviations of the difference's noise that the treatment is worse by, from minute `flag.step` on.
    worse: f64,
}

impl Arms {
    /// Minutes of the points with an alarm.
    fn alarms(&self) -> Vec<i64> {
        let (flag, mut random, mut common) = (&self.flag, Random(self.flag.seed), 0.0);
        let (mut past, mut pairs) = (Vec::new(), Vec::new());
        for minute in (0..28 * 1440).step_by(usize::try_from(flag.width).expect("positive")) {
            let mut fresh = || if flag.heavy { random.t3() } else { random.gauss() };
            common = flag.phi * common + fresh() * (1.0 - flag.phi * flag.phi).sqrt();
            let usual = Flag { step: None, ..*flag }.usual(minute) + common;
            let n = 4000.0;
            // The noise of all rows has deviation 1.
            let of = |share: f64| (1.0 / share).sqrt();
            let worse = self.worse * (1.0 / (self.share * (1.0 - self.share))).sqrt();
            let step = if flag.step.is_some_and(|from| minute >= from) { worse } else { 0.0 };
            let mut value = |share: f64, more: f64| Value {
                at: minute * MINUTE,
                n: (n * share) as u64,
                events: 0,
                x: usual + fresh() * of(share) + more,
            };
            if minute < 21 * 1440 {
                past.push(value(1.0, 0.0));
            } else {
                pairs.push([value(self.share, step), value(1.0 - self.share, 0.0)]);
            }
        }
        let line = flag.line();
        let found = scores(&past, &pairs, Basis::Values, true);
        found.into_iter().filter(|(_, score)| *score >= line).map(|(at, _)| at / MINUTE).collect()
    }
}

/// Of twenty flags: alarm episodes in a week with a holiday, in the mean, and minutes until a step is found.
fn differences(width: i64, heavy: bool, height: f64, share: f64) -> (f64, Vec<i64>) {
    let (mut false_ones, mut found) = (0, Vec::new());
    for seed in 0..20 {
        let flag = Flag { seed: seed + 7, heavy, width, phi: 0.5, holiday: 24, height, step: None };
        let healthy = Arms { flag, share, worse: 0.0 };
        false_ones += episodes(&healthy.alarms());
        // A day after the holiday, at the start of a point.
        let from = 26 * 1440 + width * (seed as i64 + 1);
        let step = Arms { flag: Flag { seed: seed + 100, step: Some(from), ..healthy.flag }, share, worse: 4.0 };
        let first = step.alarms().into_iter().find(|m| *m >= from);
        found.push(first.map_or(i64::MAX, |first| first - from + width));
    }
    found.sort_unstable();
    (f64::from(u32::try_from(false_ones).expect("few")) / 20.0, found)
}

/// What both arms have, a trend, a week, a holiday, is no difference; four deviations of it are found within half an hour.
#[test]
fn a_holiday_is_no_difference() {
    for (heavy, height) in [(false, -30.0), (true, 10.0)] {
        let (alarms, found) = differences(10, heavy, height, 0.5);
        assert!(alarms <= 1.0, "{heavy}: {alarms}");
        assert!(found[10] <= 30, "{heavy}: {found:?}");
    }
}

/// `cargo test --release -p flagscope-core --test anomaly -- --ignored --nocapture differences`
#[test]
#[ignore = "prints a table"]
fn table_of_differences() {
    for width in [1, 10] {
        for heavy in [false, true] {
            for (height, share) in [(10.0, 0.5), (-30.0, 0.5), (10.0, 0.1), (10.0, 0.01)] {
                let (alarms, found) = differences(width, heavy, height, share);
                println!(
                    "points of {width} min, t3 {heavy}, holiday {height:+}, share {share}: {alarms} episodes a week, 4 sd in {} \
                     min, at most {}",
                    found[10], found[19]
                );
            }
        }
    }
}

/// Few events are not taken for many: p is at least the exact tail given the sum.
#[test]
fn counts_by_the_exact_tail() {
    let value = |at, n, events: u64| {
        let x = ((events as f64 + 0.375) / (n as f64 + 0.75)).sqrt().asin();
        Value { at, n, events, x }
    };
    let past: Vec<Value> = (0..300).map(|i| value(i, 100_000, 1000 + (i as u64 * 37) % 60)).collect();
    let one = |t, c| scores(&past, &[[value(300, 10, t), value(300, 990, c)]], Basis::Events, true);
    // One event of ten rows, nine of the other 990: 1 - C(990,10) / C(1000,10) = 0.0956 (scipy 1.15, hypergeom.sf(0,
    // 1000, 10, 10)), so e is 1/4 p^-1/2 + 1/20 p^-4/5 + 1/2 (1 - p).
    let (_, score) = one(1, 9)[0];
    let by_hand = evidence(0.095_618).log10();
    assert!((score - by_hand).abs() < 1e-3, "{score} {by_hand}");
    assert!(scores(&past[..50], &[[value(300, 10, 1), value(300, 990, 9)]], Basis::Events, true).is_empty());
    assert!(one(5, 5)[0].1 > 1.0);
    // A decrease is the other tail; larger is worse, so the scale is turned round.
    let turned = |n, events| Value { x: -value(300, n, events).x, ..value(300, n, events) };
    let fewer = scores(&past, &[[turned(500, 0), turned(500, 10)]], Basis::Events, false);
    assert!(fewer[0].1 > 0.9 && one(0, 10)[0].1 < 0.0, "{fewer:?}");
}

#[test]
fn gaps_and_disorder() {
    let mut series = Series::default();
    series.push(5, Some(1.0)).expect("first");
    series.push(5, Some(1.0)).expect("the same time");
    assert!(series.push(4, Some(1.0)).unwrap_err().message.contains("in order of time"));
    assert!(series.push(i64::MAX, Some(1.0)).is_err() && Series::default().push(i64::MIN, None).is_err());
    series.push(6, None).expect("missing");
    series.push(7, Some(f64::INFINITY)).expect("counts as missing");
    assert_eq!(series.newest(), None);
}
