//! The split of a rollout whose clients learn of a stage late: simulated under a fixed seed, with every second looked at.

#[path = "planted/random.rs"]
mod random;

use flagscope_core::stats::share::{GRID, increment};
use flagscope_core::stats::split::{Finding, Slice, judge};
use random::Random;

const ALPHA: f64 = 0.01;
/// Seconds of the settling, as the default of setting `health.settle`.
const SETTLE: i64 = 60;

impl Random {
    fn split(&mut self, n: u64, share: f64) -> [u64; 2] {
        let treated = (0..n).filter(|_| self.share() < share).count() as u64;
        [treated, n - treated]
    }
}

/// How clients learn of a change.
#[derive(Debug, Clone, Copy)]
enum Lag {
    /// All of them so many seconds late.
    AtOnce(i64),
    /// One after the other over so many seconds.
    Spread(i64),
}

impl Lag {
    /// The part of the clients that know after so many seconds.
    fn known(self, second: i64) -> f64 {
        match self {
            Self::AtOnce(lag) => f64::from(u8::from(second >= lag)),
            Self::Spread(lag) => ((second as f64 + 0.5) / lag as f64).min(1.0),
        }
    }
}

/// A ramp of stages of 150 s with new units each second, of which the treatment gets `odds` times its odds.
struct Ramp {
    stages: &'static [f64],
    per_second: u64,
    lag: Lag,
    odds: f64,
}

impl Ramp {
    /// The second in which the mismatch is found, if it is, looking every `every` seconds.
    fn found(&self, random: &mut Random, every: i64) -> Option<i64> {
        let mut slices: Vec<Slice> = Vec::new();
        let mut before = 0.0;
        for (i, share) in (0_i64..).zip(self.stages) {
            for second in 0..150 {
                let known = self.lag.known(second);
                let served = before + (share - before) * known;
                let got = served * self.odds / (1.0 + served * (self.odds - 1.0));
                let n = random.split(self.per_second, got);
                let older = [share.min(before), share.max(before)];
                match slices.last_mut().filter(|s| s.epoch == i && !s.settling) {
                    Some(last) => last.n = [last.n[0] + n[0], last.n[1] + n[1]],
                    None => slices.push(Slice { epoch: i, nominal: *share, older, settling: second < SETTLE, n }),
                }
                let looks = second % every == every - 1;
                if looks && judge(&slices, &[], ALPHA).expect("counts").finding == Finding::Mismatch {
                    return Some(i * 150 + second);
                }
            }
            before = *share;
        }
        None
    }
}

fn false_rate(runs: u64, lag: Lag, per_second: u64, every: i64) -> f64 {
    let ramp = Ramp { stages: &[0.1, 0.5, 0.25], per_second, lag, odds: 1.0 };
    let found = (0..runs).filter(|seed| ramp.found(&mut Random(seed * 7919), every).is_some()).count();
    found as f64 / runs as f64
}

/// Whatever the lag is, within what is allowed, the chance of a false mismatch is at most alpha.
#[test]
fn a_lag_is_no_mismatch() {
    for lag in [Lag::AtOnce(0), Lag::AtOnce(5), Lag::AtOnce(30), Lag::Spread(60)] {
        let rate = false_rate(100, lag, 40, 10);
        assert!(rate <= ALPHA, "{lag:?}: {rate}");
    }
}

/// `cargo test --release -p flagscope-core --test stats_split -- --ignored --nocapture`
#[test]
#[ignore = "prints a table, and takes minutes"]
fn table() {
    for per_second in [20, 200] {
        for lag in
            [Lag::AtOnce(0), Lag::AtOnce(5), Lag::AtOnce(30), Lag::Spread(30), Lag::Spread(60), Lag::AtOnce(61)]
        {
            let rate = false_rate(2000, lag, per_second, 5);
            println!("{per_second} units a second, {lag:?}: {:.2} % of 2000 ramps", rate * 100.0);
        }
    }
    for share in [0.48, 0.52] {
        let (mut here, mut often, mut once) = (Vec::new(), Vec::new(), 0);
        for seed in 0..1000 {
            let mut random = Random(seed * 104_729 + 11);
            let (n, chi) = settled(&mut random, share);
            here.push(n);
            often.push(chi);
            let [t, c] = random.split(6765, share);
            once += u32::from(chi_square(t, c) >= 10.828);
        }
        here.sort_unstable();
        often.sort_unstable();
        println!(
            "{share}: units until found, median {} (here), {} (chi-square 0.001 at every 20 units, no valid test); \
             chi-square 0.001 once at 6,765 units finds {} %",
            here[500],
            often[500],
            f64::from(once) / 10.0
        );
    }
    let mut often = 0;
    for seed in 0..1000 {
        let mut random = Random(seed * 31 + 5);
        let (mut t, mut c) = (0, 0);
        often += u32::from((0..2000).any(|_| {
            let n = random.split(20, 0.5);
            (t, c) = (t + n[0], c + n[1]);
            chi_square(t, c) >= 10.828
        }));
    }
    println!("chi-square 0.001 at every 20 of 40,000 units: {:.1} % false", f64::from(often) / 10.0);
}

/// A real 48 / 52 is found as fast as by a chi-square at 0.001 that is looked at once: that finds half of them with 6,765
/// units (Pearson: (z 0.9995 / 0.04)^2 = (3.2905 / 0.04)^2). Here 6,780 in the median of 1,000 seeds.
#[test]
fn a_split_is_found_as_fast_as_by_chi_square() {
    let mut units: Vec<u64> = (0..31).map(|seed| settled(&mut Random(seed * 104_729 + 11), 0.48).0).collect();
    units.sort_unstable();
    assert!(units[15] <= 8_000, "the median is {} units", units[15]);
}

/// Units until a split of a share instead of one half is found here, and by a chi-square at 0.001 that is looked at as often.
fn settled(random: &mut Random, share: f64) -> (u64, u64) {
    let (mut t, mut c, mut here, mut chi) = (0, 0, None, None);
    while here.is_none() || chi.is_none() {
        let n = random.split(20, share);
        (t, c) = (t + n[0], c + n[1]);
        let slice = Slice { epoch: 0, nominal: 0.5, older: [0.0, 0.5], settling: false, n: [t, c] };
        if judge(&[slice], &[], ALPHA).expect("counts").finding == Finding::Mismatch {
            here.get_or_insert(t + c);
        }
        if chi_square(t, c) >= 10.828 {
            chi.get_or_insert(t + c);
        }
    }
    (here.unwrap_or(0), chi.unwrap_or(0))
}

/// Pearson's statistic against one half.
fn chi_square(t: u64, c: u64) -> f64 {
    (t as f64 - c as f64).powi(2) / (t + c) as f64
}

/// By hand, from the formula in split.rs: a settling counts from where it says least; the rest counts whole.
#[test]
fn evidence_by_hand() {
    let slice = |settling, older, n| Slice { epoch: 1, nominal: 0.5, older, settling, n };
    let slices =
        [slice(true, [0.1, 0.5], [0, 10]), slice(true, [0.1, 0.5], [6, 4]), slice(false, [0.1, 0.5], [50, 60])];
    let found = judge(&slices, &[], ALPHA).expect("counts");
    let parts = slices.map(|s| increment(0.5, s.n[0], s.n[1]).expect("counts"));
    for (j, d) in GRID.iter().enumerate() {
        let [a, b, c] = [&parts[0], &parts[1], &parts[2]].map(|part| part[j]);
        // Less than was asked for may be the old 10 %, more may not.
        let by_hand = if *d > 0.0 { a + b + c } else { (a + b + c).min(b + c).min(c) };
        assert!((found.evidence[j] - by_hand).abs() < 1e-12, "{d}");
    }
    // Nothing older could be served: all of it counts.
    let all = judge(&[slice(true, [0.5, 0.5], [50, 80])], &[], ALPHA).expect("counts");
    assert_eq!(all.evidence, increment(0.5, 50, 80).expect("counts"));
}

#[test]
fn a_mismatch_ends() {
    let slice = |n| Slice { epoch: 1, nominal: 0.5, older: [0.5, 0.5], settling: false, n };
    let found = judge(&[slice([100, 300])], &[], ALPHA).expect("counts");
    assert_eq!(found.finding, Finding::Mismatch);
    let weights: f64 = found.mismatch.iter().map(|w| w.exp()).sum();
    assert!((weights - 1.0).abs() < 1e-9);
    // As it was: it goes on, and in the end is found anew. As asked for: over, once that is 100 times as likely.
    let after = |n| judge(&[slice(n)], &found.mismatch, ALPHA).expect("counts");
    assert_eq!(after([10, 30]).finding, Finding::None);
    assert_eq!(after([10, 30]).mismatch, found.mismatch);
    assert_eq!(after([100, 300]).finding, Finding::Mismatch);
    assert_eq!(after([10, 10]).finding, Finding::None);
    assert_eq!(after([40, 40]).finding, Finding::Over);
    // Units of a settling say nothing of its end.
    let settling = Slice { settling: true, older: [0.0, 0.5], ..slice([40, 40]) };
    assert_eq!(judge(&[settling], &found.mismatch, ALPHA).expect("counts").finding, Finding::None);
}

/// A mismatch that goes on as it was is believed to be over with chance alpha at most.
#[test]
fn a_mismatch_that_goes_on_hardly_ends() {
    let (mut wrong, mut right) = (0, 0);
    for seed in 0..400 {
        let mut random = Random(seed * 65_537 + 3);
        let (mut mismatch, mut n) = (Vec::new(), [0, 0]);
        for _ in 0..300 {
            let more = random.split(20, 0.4);
            n = [n[0] + more[0], n[1] + more[1]];
            let slice = Slice { epoch: 1, nominal: 0.5, older: [0.5, 0.5], settling: false, n };
            let found = judge(&[slice], &mismatch, ALPHA).expect("counts");
            if found.finding != Finding::None {
                n = [0, 0];
            }
            wrong += u32::from(found.finding == Finding::Over);
            right += u32::from(found.finding == Finding::Mismatch);
            mismatch = found.mismatch;
        }
    }
    assert!(right > 2000 && f64::from(wrong) <= ALPHA * f64::from(right), "{wrong} of {right}");
}
