//! Stages of a ramp: times at which the treatment had different shares of the traffic.
//!
//! What is here: which stage a row belongs to, and by how much the rows of each stage count. What is not: tests, which take
//! the weighted counts (`chance`).
//!
//! While a ramp goes from 1 over 10 to 50 %, most rows of the treatment are late and most of the control early. Whatever
//! changes with time, errors of both arms or the traffic of a country, then looks like the treatment's (Simpson's paradox).
//! So a row of the treatment counts by the control's share of its stage, n_c / (n_t + n_c), and one of the control by the
//! treatment's, n_t / (n_t + n_c): the weights of Mantel and Haenszel (1959). With them both arms have the same mix of
//! stages, no stage is compared with another, and one in which only one arm has rows does not count. They are scaled
//! so that a weighted count varies about as a count does (L. Kish, 1965: n_eff = (sum w)^2 / sum w^2).

use super::counts::Counts;

/// Stages that are told apart; the earliest of more are one.
pub const STRATA: usize = 16;

/// When which stage began.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stages {
    /// Beginnings in microseconds, in their order, with the number of the stage.
    begins: Vec<(i64, u8)>,
    is_cut: bool,
}

impl Stages {
    /// From what was served since when; where the same was served twice it is one stage.
    pub fn new(mut served: Vec<(i64, String)>) -> Self {
        served.sort();
        let mut known: Vec<&str> = Vec::new();
        let mut stages = Self::default();
        for (begin, what) in served.iter().rev() {
            let number = known.iter().position(|k| k == what).unwrap_or_else(|| {
                known.push(what);
                known.len() - 1
            });
            stages.is_cut |= number >= STRATA;
            stages.begins.push((*begin, number.min(STRATA - 1) as u8));
        }
        stages.begins.reverse();
        stages
    }

    /// The stage of a time; before the first one that of the first.
    #[inline]
    pub fn of(&self, at: i64) -> u8 {
        match self.begins.len() {
            0 | 1 => 0,
            _ => self.begins[self.begins.partition_point(|(begin, _)| *begin <= at).max(1) - 1].1,
        }
    }

    /// Were there more stages than are told apart.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }
}

/// Adds a row to the totals of its stage.
pub fn add(totals: &mut Vec<Counts>, stratum: u8, treated: bool, event: bool) {
    let stratum = usize::from(stratum);
    if stratum >= totals.len() {
        totals.resize(stratum + 1, Counts::default());
    }
    totals[stratum].add(treated, event, 1.0);
}

/// By how much a row counts, by its stage and arm.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weights(Vec<[f64; 2]>);

impl Weights {
    /// From the rows of both arms in each stage. Of a single stage all are 1.
    pub fn new(totals: &[Counts]) -> Self {
        let compared = |c: &&Counts| c.n_t > 0.0 && c.n_c > 0.0;
        if totals.len() < 2 {
            return Self::default();
        }
        if totals.iter().filter(compared).count() < 2 {
            return Self(totals.iter().map(|c| if compared(&c) { [1.0; 2] } else { [0.0; 2] }).collect());
        }
        let share = |c: &Counts| {
            let n = (c.n_t + c.n_c).max(1.0);
            [c.n_t / n, c.n_c / n]
        };
        let (mut sums, mut squares) = ([0.0; 2], [0.0; 2]);
        for c in totals {
            for (arm, (w, n)) in share(c).into_iter().zip([c.n_c, c.n_t]).enumerate() {
                sums[arm] += w * n;
                squares[arm] += w * w * n;
            }
        }
        let weights = |c: &Counts| {
            let [w_c, w_t] = share(c);
            [w_c * sums[0] / squares[0], w_t * sums[1] / squares[1]]
        };
        Self(totals.iter().map(weights).collect())
    }

    /// Of a row; of a stage without rows of the question 0.
    #[inline]
    pub fn of(&self, stratum: u8, treated: bool) -> f64 {
        let of_none = if self.0.is_empty() { 1.0 } else { 0.0 };
        self.0.get(usize::from(stratum)).map_or(of_none, |of| of[usize::from(treated)])
    }

    /// Weighted counts from those of each stage.
    pub fn counts(&self, totals: &[Counts]) -> Counts {
        let weighted = |(stratum, c): (u8, &Counts)| {
            let (t, k) = (self.of(stratum, true), self.of(stratum, false));
            Counts::new(t * c.n_t, t * c.e_t, k * c.n_c, k * c.e_c)
        };
        (0..).zip(totals).map(weighted).fold(Counts::default(), |sum, c| sum.plus(&c))
    }

    /// Stages with rows of both arms, of which each is compared within itself; 0 where nothing is weighted.
    pub fn compared(&self) -> usize {
        self.0.iter().filter(|of| of[0] > 0.0 && of[1] > 0.0).count()
    }

    /// Stages whose rows do not count, since one of the arms has none.
    pub fn left_out(&self) -> usize {
        self.0.len() - self.compared()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand.
    #[test]
    fn a_time_belongs_to_what_was_served() {
        let served = [(30, "10 %"), (10, "1 %"), (20, "0 %"), (40, "0 %")];
        let stages = Stages::new(served.map(|(at, what)| (at, what.to_owned())).to_vec());
        let of = [5, 10, 19, 20, 30, 39, 40, 99].map(|at| stages.of(at));
        assert_eq!(of, [2, 2, 2, 0, 1, 1, 0, 0]);
        assert_eq!(Stages::default().of(7), 0);
        let many = Stages::new((0..40).map(|i| (i, i.to_string())).collect());
        assert!(many.is_cut() && many.of(39) == 0 && many.of(0) == 15 && many.of(20) == 15 && many.of(25) == 14);
    }

    /// By hand: without an effect in any stage, weighted rates are the same, however the pooled ones differ.
    #[test]
    fn stages_are_compared_within_themselves() {
        let totals = [Counts::new(100.0, 1.0, 9_900.0, 99.0), Counts::new(5_000.0, 500.0, 5_000.0, 500.0)];
        let pooled = totals[0].plus(&totals[1]);
        assert!(pooled.e_t / pooled.n_t > 2.0 * pooled.e_c / pooled.n_c);
        let weighted = Weights::new(&totals).counts(&totals);
        assert!(weighted.excess().abs() < 1e-9, "{weighted:?}");
        // The scale: no more rows than there are.
        assert!(weighted.n_t <= 5_100.0 && weighted.n_t > 5_000.0 && weighted.n_c <= 14_900.0, "{weighted:?}");
    }

    #[test]
    fn one_stage_is_not_weighted_and_one_arm_alone_does_not_count() {
        let both = Counts::new(3.0, 1.0, 7.0, 2.0);
        assert_eq!(Weights::new(&[both]).counts(&[both]), both);
        let totals = [both, Counts::new(0.0, 0.0, 50.0, 5.0), Counts::new(9.0, 9.0, 0.0, 0.0)];
        let weights = Weights::new(&totals);
        assert_eq!(weights.counts(&totals), both);
        assert_eq!((weights.compared(), weights.left_out()), (1, 2));
        let more = [both, Counts::new(5.0, 1.0, 5.0, 1.0), totals[2]];
        assert_eq!((Weights::new(&more).compared(), Weights::new(&more).left_out()), (2, 1));
    }
}
