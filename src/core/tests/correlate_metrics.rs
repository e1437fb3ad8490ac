//! Other metrics: how often one is said to have moved where none did, how often one is called still that is at its margin, and
//! how near the onset is to the planted one. `cargo test -p flagscope-core --test correlate_metrics -- --nocapture` prints
//! what `src/core/correlate/README.md` tells.

#[path = "planted/random.rs"]
mod random;

use flagscope_core::correlate::metric::{Bucket, Effect, Verdict, onset, verdict};
use flagscope_core::stats::report::multiple::{Correction, adjust};
use flagscope_core::stats::report::proportions::compare;
use flagscope_core::stats::tilt::Arms;
use random::Random;

const SETS: u64 = 400;
/// 5 % of 400 and three standard errors.
const MOST: usize = 33;
const METRICS: usize = 6;
const MARGIN: f64 = 0.1;

fn events(n: u64, rate: f64, random: &mut Random) -> u64 {
    (0..n).filter(|_| random.share() < rate).count() as u64
}

/// Verdicts on some metrics of which the treatment's rates are so many times the control's.
fn verdicts(seed: u64, times: f64) -> Vec<Verdict> {
    let mut random = Random(seed << 32);
    let mut found: Vec<(f64, Effect)> = Vec::new();
    for metric in 0..METRICS {
        let rate = 0.03 * 1.7_f64.powi(metric as i32);
        let (n_t, n_c) = (600, 2_400);
        let (y_t, y_c) = (events(n_t, rate * times, &mut random), events(n_c, rate, &mut random));
        let of_control = y_c as f64 / n_c as f64;
        let Ok(Some(test)) = compare(&Arms { n_t, y_t, n_c, y_c }, 0.9) else { continue };
        let [estimate, lower, upper] =
            [test.newcombe.difference, test.newcombe.lower, test.newcombe.upper].map(|x| x / of_control);
        let effect = Effect { estimate: Some(estimate), interval: Some([lower, upper]), p_value: None };
        found.push((test.p_value, effect));
    }
    let ps: Vec<f64> = found.iter().map(|(p, _)| *p).collect();
    let adjusted = adjust(&ps, Correction::BenjaminiHochberg).expect("p-values");
    let judged =
        |((_, effect), p): (&(f64, Effect), f64)| verdict(&Effect { p_value: Some(p), ..*effect }, Some(MARGIN));
    found.iter().zip(adjusted).map(judged).collect()
}

#[test]
fn nothing_moves_where_nothing_moved() {
    let any = (0..SETS).filter(|seed| verdicts(*seed, 1.0).contains(&Verdict::Moved)).count();
    println!("no effect: any of {METRICS} metrics moved in {any} of {SETS} sets");
    assert!(any <= MOST, "{any} of {SETS}");
}

/// By metric, since each is a statement of its own: at the margin it is called still in at most 5 %.
#[test]
fn what_is_at_its_margin_is_not_still() {
    let still = |times: f64| {
        let all = (0..SETS).flat_map(|seed| verdicts(seed, times));
        all.filter(|verdict| *verdict == Verdict::Still).count()
    };
    let (above, below) = (still(1.0 + MARGIN), still(1.0 - MARGIN));
    println!("at the margin: still {above} above and {below} below, of {}", SETS as usize * METRICS);
    let most = 0.05 * SETS as f64 * METRICS as f64;
    assert!(above.max(below) as f64 <= most + 3.0 * (0.95 * most).sqrt(), "{above} {below}");
}

/// 20 minutes of 10 seconds with 20 and 80 requests, of which 5 % fail; in the treatment 15 % from the 60th on.
#[test]
fn the_onset_is_near_the_planted_one() {
    let distance = |seed: u64| {
        let mut random = Random(seed << 32 | 1 << 31);
        let buckets: Vec<Bucket> = (0..120)
            .map(|bucket| {
                let rate = if bucket >= 60 { 0.15 } else { 0.05 };
                let (y_t, y_c) = (events(20, rate, &mut random), events(80, 0.05, &mut random));
                Bucket { n_t: 20.0, y_t: y_t as f64, n_c: 80.0, y_c: y_c as f64 }
            })
            .collect();
        onset(&buckets, false).map_or(120, |place| (place as i64 - 60).abs())
    };
    let mut distances: Vec<i64> = (0..SETS).map(distance).collect();
    distances.sort_unstable();
    let of = |share: f64| 10 * distances[(share * SETS as f64) as usize];
    println!("onset: {} s from the planted one in the median, {} s in 9 of 10", of(0.5), of(0.9));
    assert!(of(0.5) <= 30 && of(0.9) <= 120, "{} {}", of(0.5), of(0.9));
}
