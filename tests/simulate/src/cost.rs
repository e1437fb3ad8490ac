//! What one increment of each test costs, beside the last row of the targets.

use std::hint::black_box;
use std::time::Instant;

use flagscope_core::sketch::Histogram;
use flagscope_core::stats::exceedance::{self, MIX4};
use flagscope_core::stats::label::{LogScore, increment};
use flagscope_core::stats::mean::{self, Group, Line, Scale};
use flagscope_core::stats::mixture::ERROR_GRID;
use flagscope_core::stats::rate::{self, Counts};
use flagscope_core::stats::share;
use flagscope_core::stats::tilt::{Arms, Harm, fisher_increment};

fn microseconds<T>(mut once: impl FnMut() -> T) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let (begun, mut n) = (Instant::now(), 0);
        while begun.elapsed().as_millis() < 100 {
            (0..20).for_each(|_| drop(black_box(once())));
            n += 20;
        }
        best = best.min(begun.elapsed().as_secs_f64() * 1e6 / f64::from(n));
    }
    best
}

/// A histogram with values in 300 bins.
fn wide(n: u64, from: f64) -> Histogram {
    let mut h = Histogram::default();
    (0..300).for_each(|i| h.push_n(from * 2_f64.powf(f64::from(i) / 32.0), n / 300).expect("few values"));
    h
}

/// Print a row for each test.
pub fn measure() {
    let (t, c, past) = (wide(30_000, 0.01), wide(60_000, 0.01), wide(600_000, 0.01));
    let thresholds = exceedance::thresholds(&past, &MIX4).expect("levels").expect("values");
    let score = LogScore::of(&past).expect("a spread");
    let slopes = score.slopes(Harm::Increase);
    let p = |n_t, y_t, n_c, y_c| {
        let arms = Arms { n_t, y_t, n_c, y_c };
        move || fisher_increment(black_box(&arms), 1.1, Harm::Increase, &ERROR_GRID).expect("a table")
    };
    let counts = Counts { exposure_t: 50.0, count_t: 120, exposure_c: 950.0, count_c: 2000 };
    let group = |n, mean| Group { n, mean, m2: n as f64 };
    let scale = Scale { cap: 10.0, centre: 1.0 };
    let margin = Line { relative: 0.05, absolute: 0.0 };
    let moved = exceedance::shifted(&thresholds, 3);
    let mix4 = || -> Vec<Vec<f64>> {
        let arms = exceedance::arms(black_box(&t), &c, &thresholds, &moved);
        arms.iter().map(|a| fisher_increment(a, 1.0, Harm::Increase, &ERROR_GRID).expect("a table")).collect()
    };
    println!("| one increment | us | aim |\n|---|---|---|");
    let rows: [(&str, f64, f64); 8] = [
        ("P, 10 events of 1,000", microseconds(p(500, 5, 500, 5)), 50.0),
        ("P, 300 events of 1,000", microseconds(p(500, 150, 500, 150)), 50.0),
        ("P, 5,000 events of 100,000", microseconds(p(50_000, 2500, 50_000, 2500)), 50.0),
        ("R, 2,120 events", microseconds(|| rate::increment(&counts, 1.1, Harm::Increase, &ERROR_GRID)), 50.0),
        (
            "M, 1,000 values",
            microseconds(|| mean::increment(&group(50, 1.1), &group(950, 1.0), &scale, &margin, Harm::Increase)),
            50.0,
        ),
        ("S, 1,000 units", microseconds(|| share::increment(0.05, 48, 952)), 50.0),
        ("Q mix4, 90,000 values in 300 bins", microseconds(mix4), 500.0),
        (
            "H, 90,000 values in 300 bins",
            microseconds(|| increment(&score.bins(black_box(&t), &c).expect("bins"), &slopes)),
            500.0,
        ),
    ];
    for (name, us, aim) in rows {
        println!("| {name} | {us:.1} | {aim} |");
    }
}
