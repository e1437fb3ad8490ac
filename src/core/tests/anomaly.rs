//! Scores of series that a person can check, and the detector on a simulated one.

use flagscope_core::anomaly::detector::{ALARM, Detector, evidence};
use flagscope_core::anomaly::ewma::Ewma;
use flagscope_core::anomaly::robust::{Scale, last_z, median};
use flagscope_core::anomaly::seasonal::{Point, Series};

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
fn a_detector_starts_again_after_an_alarm() {
    let mut detector = Detector::default();
    assert_eq!(detector.score(), f64::NEG_INFINITY);
    while detector.score() < ALARM {
        detector.push(1e-4);
        detector.reset_after_alarm();
        detector.push(1e-4);
    }
    detector.reset_after_alarm();
    assert_eq!(detector.score(), f64::NEG_INFINITY);
    // Evidence beyond the largest float is still a number.
    (0..1000).for_each(|_| detector.push(1e-9));
    assert!(detector.log() > 1000.0 && detector.log().is_finite());
}

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (2.0 * std::f64::consts::PI * self.uniform()).cos()
    }

    /// Student's t with 3 degrees of freedom, scaled to variance 1: heavy tails.
    fn t3(&mut self) -> f64 {
        let chi2: f64 = (0..3).map(|_| self.normal().powi(2)).sum();
        self.normal() / chi2.sqrt()
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
                move || if heavy { random.t3() } else { random.normal() }
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
        || random.normal(),
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
