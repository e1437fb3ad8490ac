//! Values of metrics in words, and what a verdict may say of treatment and control.

use super::{Against, Counted};
use crate::stats::tilt::Harm;

/// What the stored counts of a guardrail say of both arms.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Direction in which the metric hurts.
    pub harm: Harm,
    /// Which quantile is spoken of; `None`: of none.
    pub quantile: Option<f64>,
    /// Its place among those that are tested.
    pub place: usize,
    /// The unit of the metric; may be empty.
    pub unit: &'a str,
    /// Whose values they are: "with the treatment".
    pub with: &'a str,
    /// What the treatment is compared with.
    pub against: Against,
    /// All that was weighed of treatment and control.
    pub total: [Counted<'a>; 2],
}

impl Seen<'_> {
    /// The share of data points that are events, or beyond the threshold of the quantile, of each arm; `None` without any.
    pub fn shares(&self) -> [Option<f64>; 2] {
        self.total.map(|arm| {
            let events = *arm.events.get(self.place)?;
            (arm.n > 0).then(|| events as f64 / arm.n as f64)
        })
    }
}

/// A number with three significant digits, without trailing zeros.
pub fn number(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return format!("{x}");
    }
    let digits = (2 - x.abs().log10().floor() as i32).max(0) as usize;
    if digits > 6 {
        return format!("{x:.1e}");
    }
    let text = format!("{x:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A number with its unit, if there is one.
pub fn amount(x: f64, unit: &str) -> String {
    if unit.is_empty() { number(x) } else { format!("{} {unit}", number(x)) }
}

/// A share as a percentage.
pub fn percent(share: f64) -> String {
    format!("{} %", number(share * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let all = [0.0, 0.00912, 4.605, 12.0, 1234.5, 1e-9, 0.1].map(number);
        assert_eq!(all, ["0", "0.00912", "4.61", "12", "1234", "1.0e-9", "0.1"]);
        assert_eq!([0.0, 0.0491, 0.05, 1.0].map(percent), ["0 %", "4.91 %", "5 %", "100 %"]);
        assert_eq!([amount(0.5, "s"), amount(12.0, "")], ["0.5 s", "12"]);
    }
}
