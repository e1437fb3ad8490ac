//! How exactly the share of a segment in the whole harm is known.
//!
//! What is here: an interval. What is not: whether the share could be chance (`chance`).

use super::counts::{Counts, Dispersion, Split};

/// The normal quantile of intervals of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// Variance of an excess e_t - n_t e_c / n_c: events vary as Poisson counts, times how far they come in series.
fn variance(c: &Counts, dispersion: f64) -> f64 {
    let ratio = if c.n_c > 0.0 { c.n_t / c.n_c } else { 0.0 };
    dispersion * (c.e_t + ratio * ratio * c.e_c)
}

/// The interval of 95 % of a segment's share of the excess. The share is A / (A + B), of the excess inside and outside, which
/// are independent; it is r where A - r (A + B) = (1 - r) A - r B could be 0, of variance (1 - r)^2 var A + r^2 var B (E. C.
/// Fieller, "Some problems in interval estimation", Journal of the Royal Statistical Society B 16, 1954). Where the whole
/// excess is far from 0 that is the interval of the delta method; where it is not, no interval is finite, and there is `None`.
pub fn share_interval(inside: Counts, all: Counts, dispersion: Dispersion) -> Option<[f64; 2]> {
    let split = Split::new(inside, all);
    let (a, b) = (split.inside.excess(), split.outside.excess());
    let (var_a, var_b) = (variance(&split.inside, dispersion.inside), variance(&split.outside, dispersion.outside));
    let (total, zz) = (a + b, Z * Z);
    // square r^2 - 2 half r + rest <= 0
    let square = total * total - zz * (var_a + var_b);
    let half = a * total - zz * var_a;
    let root = (half * half - square * (a * a - zz * var_a)).sqrt();
    (square > 0.0 && root.is_finite()).then(|| [(half - root) / square, (half + root) / square])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator of its own: L'Ecuyer's multiplier for 2^64 (Mathematics of Computation 68, 1999).
    struct Random(u64);

    impl Random {
        fn share(&mut self) -> f64 {
            self.0 = self.0.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(3_037_000_493);
            (self.0 >> 11) as f64 / (1u64 << 53) as f64
        }

        /// Users who fail, each so many times in a row.
        fn events(&mut self, mean: f64, series: f64) -> f64 {
            let (mut product, mut users, limit) = (1.0, -1.0, (-mean / series).exp());
            while product > limit {
                product *= self.share();
                users += 1.0;
            }
            users * series
        }
    }

    /// Against the quantiles of a parametric bootstrap: 20,000 draws of all four counts of events.
    #[test]
    fn it_is_that_of_a_bootstrap() {
        let inside = Counts::new(1_000.0, 120.0, 4_000.0, 80.0);
        let all = Counts::new(10_000.0, 400.0, 40_000.0, 800.0);
        let mut random = Random(16);
        for series in [1.0, 3.0] {
            let dispersion = Dispersion { inside: series, outside: series };
            let [lower, upper] = share_interval(inside, all, dispersion).expect("an interval");
            let out = Split::new(inside, all).outside;
            let mut shares: Vec<f64> = (0..20_000)
                .map(|_| {
                    let mut draw = |c: &Counts| {
                        let (e_t, e_c) = (random.events(c.e_t, series), random.events(c.e_c, series));
                        Counts::new(c.n_t, e_t, c.n_c, e_c).excess()
                    };
                    let (a, b) = (draw(&inside), draw(&out));
                    a / (a + b)
                })
                .collect();
            shares.sort_by(f64::total_cmp);
            let width = upper - lower;
            for (end, of_bootstrap) in [(lower, shares[500]), (upper, shares[19_500])] {
                assert!((end - of_bootstrap).abs() < 0.06 * width, "{series}: {lower} {upper} {of_bootstrap}");
            }
        }
    }

    /// Far from 0 it is the delta method's: (B^2 var A + A^2 var B) / (A + B)^4.
    #[test]
    fn far_from_0_it_is_that_of_the_delta_method() {
        let inside = Counts::new(1e6, 60_000.0, 1e6, 10_000.0);
        let all = Counts::new(4e6, 140_000.0, 4e6, 40_000.0);
        let (a, b, var_a, var_b) = (50_000.0, 50_000.0, 70_000.0, 110_000.0);
        let delta = Z * f64::sqrt((b * b * var_a + a * a * var_b) / 1e5_f64.powi(4));
        let [lower, upper] = share_interval(inside, all, Dispersion::NONE).expect("an interval");
        assert!((0.5 - delta - lower).abs() < 2e-5 && (0.5 + delta - upper).abs() < 2e-5, "{lower} {upper} {delta}");
    }

    #[test]
    fn of_hardly_any_harm_no_share_is_known() {
        let (inside, all) = (Counts::new(100.0, 6.0, 100.0, 5.0), Counts::new(1e3, 52.0, 1e3, 50.0));
        assert_eq!(share_interval(inside, all, Dispersion::NONE), None);
        assert_eq!(share_interval(all, all, Dispersion::NONE), None);
    }
}
