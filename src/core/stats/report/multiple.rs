//! Many p-values at once: each made larger, so that it may be compared with alpha as if it were the only one.
//!
//! What is not here: e-values (`combine::e_bh`), which need no correction for looks.

use crate::{Error, Kind, Result};

/// What is kept at alpha over all tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Correction {
    /// The chance of any false finding, whatever the dependence: p times their number.
    Bonferroni,
    /// The same, and never larger (Holm, Scandinavian Journal of Statistics 6, 1979).
    Holm,
    /// The expected share of false findings among all findings, for independent or positively dependent tests (Benjamini
    /// and Hochberg, JRSS B 57, 1995).
    BenjaminiHochberg,
    /// The same, whatever the dependence (Benjamini and Yekutieli, Annals of Statistics 29, 2001).
    BenjaminiYekutieli,
}

impl Correction {
    /// The correction of an SQL word.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] for another word.
    pub fn from_label(label: &str) -> Result<Self> {
        match label {
            "bonferroni" => Ok(Self::Bonferroni),
            "holm" => Ok(Self::Holm),
            "bh" => Ok(Self::BenjaminiHochberg),
            "by" => Ok(Self::BenjaminiYekutieli),
            _ => Err(Error::new(Kind::InvalidParameter, format!("correction \"{label}\" is not known"))
                .hint("Use bonferroni or holm (chance of any false finding), bh or by (share of false findings).")),
        }
    }
}

/// The corrected p-values, in the order given.
///
/// # Errors
/// [`Kind::InvalidParameter`] for a number that is not between 0 and 1.
pub fn adjust(ps: &[f64], correction: Correction) -> Result<Vec<f64>> {
    if let Some(bad) = ps.iter().find(|p| !(0.0..=1.0).contains(*p)) {
        return Err(Error::new(Kind::InvalidParameter, format!("a p-value must be between 0 and 1, got \"{bad}\"")));
    }
    let n = ps.len() as f64;
    let mut order: Vec<usize> = (0..ps.len()).collect();
    order.sort_by(|a, b| ps[*a].total_cmp(&ps[*b]));
    let harmonic: f64 = (1..=ps.len()).map(|k| 1.0 / k as f64).sum();
    // By rank, from 1 for the smallest.
    let factor = |rank: f64| match correction {
        Correction::Bonferroni => n,
        Correction::Holm => n - rank + 1.0,
        Correction::BenjaminiHochberg => n / rank,
        Correction::BenjaminiYekutieli => n / rank * harmonic,
    };
    let mut sorted: Vec<f64> = order.iter().enumerate().map(|(i, at)| ps[*at] * factor(i as f64 + 1.0)).collect();
    // No p-value is corrected to less than a smaller one: in a family the larger one gives way, in a share the smaller.
    match correction {
        Correction::Bonferroni | Correction::Holm => {
            (1..sorted.len()).for_each(|i| sorted[i] = sorted[i].max(sorted[i - 1]));
        }
        _ => (1..sorted.len()).rev().for_each(|i| sorted[i - 1] = sorted[i - 1].min(sorted[i])),
    }
    let mut adjusted = vec![0.0; ps.len()];
    order.into_iter().zip(sorted).for_each(|(at, p)| adjusted[at] = p.min(1.0));
    Ok(adjusted)
}
