//! By how much p-values of segments are corrected for all the segments that were tried.
//!
//! What is here: how alpha is divided among candidates, by their margins alone. What is not: their p (`chance`), which of
//! the significant ones is named (`search`).
//!
//! Weighted Bonferroni (Genovese, Roeder and Wasserman 2006) among those that could be significant at all (Tarone 1990): a
//! segment of six events in both arms cannot have a p of 1e-6, however they fall on the arms, so it is no trial, and takes
//! nothing of alpha. Margins (rows by arm, events of both arms together) decide what could be, never how events fell.

use super::candidate::Candidate;
use super::chance::ln_p_relative;
use super::counts::{Counts, Dispersion, Split};

/// Part of alpha that is the values'; pairs, of which there are many more, have the rest.
const OF_VALUES: f64 = 0.6;

/// What each candidate's p is multiplied by.
#[derive(Debug, Clone, Copy)]
pub struct Correction {
    ln_alpha: f64,
    /// What a weight of 1 is multiplied by: of values, of pairs.
    of_order: [f64; 2],
}

/// Of the values' part of alpha each has its share by events in both arms: a value with a fifth of the events needs less
/// evidence than a hundred small ones that could hardly have enough. Pairs share theirs equally.
fn weight(candidate: &Candidate) -> f64 {
    if candidate.predicate.is_pair() { 1.0 } else { candidate.counts.events() }
}

impl Correction {
    /// Of these candidates among all rows. `dispersion` is what each of them has at least.
    pub fn new(list: &[Candidate], all: Counts, dispersion: f64, ln_alpha: f64) -> Self {
        let has_pairs = list.iter().any(|c| c.predicate.is_pair());
        let parts = if has_pairs { [OF_VALUES, 1.0 - OF_VALUES] } else { [1.0, 1.0] };
        let of_order = [false, true].map(|is_pair| {
            let part: f64 = parts[usize::from(is_pair)];
            let of = list.iter().filter(|c| c.predicate.is_pair() == is_pair);
            let tried = of.map(|c| {
                let weight = weight(c);
                // Up to this sum of weights its line is not below the least p that it can have.
                (weight, (ln_alpha + part.ln() + weight.ln() - least_ln_p(c, all, dispersion)).exp())
            });
            needed(tried.collect()) / part
        });
        Self { ln_alpha, of_order }
    }

    /// Where rows have left: no less than before, so that what is found later is no easier to find.
    pub fn and(self, later: Self) -> Self {
        let of_order = [0, 1].map(|order| self.of_order[order].max(later.of_order[order]));
        Self { of_order, ..self }
    }

    /// By how many a candidate's p is multiplied.
    pub fn of(&self, candidate: &Candidate) -> usize {
        let sum = self.of_order[usize::from(candidate.predicate.is_pair())];
        (sum / weight(candidate)).ceil().max(1.0) as usize
    }

    /// The log p up to which a candidate is significant.
    pub fn line(&self, candidate: &Candidate) -> f64 {
        self.ln_alpha - (self.of(candidate) as f64).ln()
    }
}

/// The least log p that a candidate could have with its margins: all its events are the treatment's, as far as that has so
/// many.
fn least_ln_p(candidate: &Candidate, all: Counts, dispersion: f64) -> f64 {
    // Then the absolute scale decides alone.
    if all.e_c == 0.0 {
        return f64::NEG_INFINITY;
    }
    let events = candidate.counts.events();
    let e_t = events.min(all.e_t);
    let most = Counts { e_t, e_c: events - e_t, ..candidate.counts };
    // A dispersion above 1 makes p greater.
    let d = if dispersion > 0.0 { dispersion.min(1.0) } else { 1.0 };
    ln_p_relative(&Split::new(most, all), Dispersion { inside: d, outside: d })
}

/// The least sum of weights by which alpha may be divided: those that could be significant then have no more together.
/// Each is its weight, and up to which sum it could be. The greater the sum, the fewer could be.
fn needed(mut tried: Vec<(f64, f64)>) -> f64 {
    tried.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut sum = 0.0;
    for (weight, most) in tried {
        // With a sum up to `most` it counts, and so do all before it.
        if sum >= most {
            break;
        }
        sum += weight;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::candidate::Predicate;
    use super::super::tally::{Mix, Tallied};
    use super::*;

    fn candidate(values: usize, counts: Counts) -> Candidate {
        let predicate = Predicate((0..values).map(|attribute| (attribute, 1)).collect());
        Candidate::new(predicate, Tallied { counts, rows: counts, kept: 0.0, mix: Mix::default() })
    }

    // By hand: of 10 events 4 are the treatment's. If all 3 of a segment were, that had the chance C(7, 1) / C(10, 4).
    #[test]
    fn the_least_p_is_that_of_all_events_in_one_arm() {
        let all = Counts::new(100.0, 4.0, 100.0, 6.0);
        let of = |e_t, e_c| least_ln_p(&candidate(1, Counts::new(30.0, e_t, 30.0, e_c)), all, 1.0);
        assert!((of(1.0, 2.0) - (7.0_f64 / 210.0).ln()).abs() < 1e-9, "{}", of(1.0, 2.0));
        // How they fell is not asked.
        assert!((of(1.0, 2.0) - of(3.0, 0.0)).abs() < 1e-12);
        // More than the treatment has cannot be its.
        assert!((of(2.0, 4.0) - (15.0_f64 / 210.0).ln()).abs() < 1e-9, "{}", of(2.0, 4.0));
    }

    #[test]
    fn those_that_could_be_significant_are_counted() {
        let equal = |most: &[f64]| needed(most.iter().map(|most| (1.0, *most)).collect());
        assert_eq!(equal(&[0.5, 3.0, 100.0, 1.0, 50.0, 2.0]), 3.0);
        assert_eq!(equal(&[9.0, 9.0, 9.0]), 3.0);
        assert_eq!(equal(&[]), 0.0);
    }

    // The chance of any is at most the sum of the lines of those that could be.
    #[test]
    fn all_parts_of_alpha_are_alpha_at_most() {
        let all = Counts::new(12_000.0, 150.0, 48_000.0, 440.0);
        let few = |n: u32| Counts::new(20.0 * f64::from(n), f64::from(n), 80.0 * f64::from(n), f64::from(4 * n % 7));
        let list: Vec<Candidate> =
            (1..400).map(|n| candidate(1 + usize::from(n > 60), few(if n > 60 { n % 12 } else { n } + 1))).collect();
        let alpha = 0.05_f64;
        let correction = Correction::new(&list, all, 1.0, alpha.ln());
        let could = list.iter().filter(|c| least_ln_p(c, all, 1.0) <= correction.line(c));
        let sum: f64 = could.clone().map(|c| correction.line(c).exp()).sum();
        assert!(could.count() > 20 && sum <= alpha * (1.0 + 1e-9), "{sum}");
        let pairs = list.iter().filter(|c| c.predicate.is_pair()).count();
        let pair = list.iter().find(|c| c.predicate.is_pair()).unwrap();
        let counted = correction.of(pair) as f64 * (1.0 - OF_VALUES);
        assert!(counted < 0.8 * pairs as f64, "{counted} of {pairs}");
    }
}
