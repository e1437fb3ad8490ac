//! Numbers, times and names as people read them.

use chrono::DateTime;

use crate::kind::MetricKind;
use crate::kind::report::Form;

/// Text of applications at a length that people read; `most` is in characters.
pub fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A label of a database type as words: rolled_back is "rolled back".
pub fn label(label: &str) -> String {
    label.replace('_', " ")
}

/// A time in a form of chrono; nothing for one that the calendar does not know.
pub fn form(at: f64, form: &str) -> Option<String> {
    // Microseconds as an integer: a double would be cut, not rounded.
    Some(DateTime::from_timestamp_micros((at * 1e6).round() as i64)?.format(form).to_string())
}

/// A time to the second, with its zone; a dash for none.
pub fn time(at: Option<f64>) -> String {
    at.and_then(|at| form(at, "%Y-%m-%d %H:%M:%S UTC")).unwrap_or_else(|| "-".to_owned())
}

/// A time to the minute, for columns that say UTC in their heading; a dash for none.
pub fn minute(at: Option<f64>) -> String {
    at.and_then(|at| form(at, "%Y-%m-%d %H:%M")).unwrap_or_else(|| "-".to_owned())
}

/// How long before another time: "5 minutes before this page was made".
pub fn ago(at: Option<f64>, now: Option<f64>) -> Option<String> {
    let passed = now? - at?;
    (passed >= 1.0).then(|| format!("{} before this page was made", span(passed)))
}

/// A span of time in its greatest whole unit.
pub fn span(seconds: f64) -> String {
    let (n, unit) = match seconds {
        s if s < 90.0 => (s, "second"),
        s if s < 5400.0 => (s / 60.0, "minute"),
        s if s < 129_600.0 => (s / 3600.0, "hour"),
        s => (s / 86400.0, "day"),
    };
    let n = n.round();
    format!("{n} {unit}{}", if n == 1.0 { "" } else { "s" })
}

/// A duration with the unit that suits it: 12.3 ms, 4.56 s.
pub fn duration(seconds: Option<f64>) -> String {
    let Some(x) = seconds else { return "-".to_owned() };
    match x.abs() {
        size if size >= 1.0 || size == 0.0 => format!("{} s", number(Some(x))),
        size if size >= 1e-3 => format!("{} ms", number(Some(x * 1e3))),
        _ => format!("{} µs", number(Some(x * 1e6))),
    }
}

/// A count with commas between thousands; a dash for none.
pub fn count(n: Option<i64>) -> String {
    let Some(n) = n else { return "-".to_owned() };
    let digits = n.unsigned_abs().to_string();
    let grouped: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|part| std::str::from_utf8(part).ok()).collect();
    format!("{}{}", if n < 0 { "-" } else { "" }, grouped.join(","))
}

/// A number with three digits that count; a dash for none.
pub fn number(x: Option<f64>) -> String {
    let Some(x) = x.filter(|x| x.is_finite()) else { return "-".to_owned() };
    let size = if x == 0.0 { 0.0 } else { x.abs().log10().floor() };
    if !(-6.0..9.0).contains(&size) {
        return format!("{x:.2e}");
    }
    let text = format!("{x:.0$}", (2.0 - size).clamp(0.0, 8.0) as usize);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text.trim_start_matches('-').bytes().all(|b| b == b'0') { "0".to_owned() } else { text.to_owned() }
}

/// A share of users, 0 to 100.
pub fn percent(x: Option<f64>) -> String {
    x.map_or_else(|| "-".to_owned(), |x| format!("{} %", number(Some(x))))
}

/// How the values of a metric are told.
#[derive(Debug, Clone, Copy)]
pub struct Unit<'a> {
    is_share: bool,
    unit: &'a str,
}

impl<'a> Unit<'a> {
    /// Of a metric of a kind with a UCUM unit. A kind that this program does not know has plain numbers.
    pub fn new(kind: &str, unit: &'a str) -> Self {
        let is_share = MetricKind::from_label(kind).is_ok_and(|kind| matches!(kind.rules().form(), Form::Share));
        Self { is_share, unit: unit.trim_matches(['{', '}']).trim_start_matches('1') }
    }

    /// A number as it is, without a unit.
    pub const PLAIN: Unit<'static> = Unit { is_share: false, unit: "" };

    /// A share of users in percent, 0 to 100.
    pub const PERCENT: Unit<'static> = Unit { is_share: false, unit: "%" };

    /// A value with its unit; a dash for none.
    pub fn tell(&self, x: Option<f64>) -> String {
        match x {
            Some(x) if self.is_share => percent(Some(x * 100.0)),
            Some(_) if self.unit == "s" => duration(x),
            Some(_) if !self.unit.is_empty() => format!("{} {}", number(x), short(self.unit, 12)),
            _ => number(x),
        }
    }
}

/// What an estimate is, for people; `p95` after "quantile_ratio" is its level.
pub fn measure(measure: &str) -> String {
    let (what, level) = measure.split_once(' ').unwrap_or((measure, ""));
    match what {
        "odds_ratio" => "odds of the event, treatment by control".to_owned(),
        "rate_ratio" => "rate, treatment by control".to_owned(),
        "quantile_ratio" => format!("{level}, treatment by control"),
        "difference" => "difference of the means, treatment minus control".to_owned(),
        "share_above" => "share of values above the limit".to_owned(),
        "stage_quantile" => "quantile in this stage".to_owned(),
        "window" => "value over the last window".to_owned(),
        "score" => "how unusual it is (score)".to_owned(),
        what => label(what),
    }
}

/// Whether an estimate is a ratio of treatment and control, so that 1 is no difference.
pub fn is_ratio(measure: &str) -> bool {
    measure.contains("_ratio")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        let told = [0.0, -0.0, 1.0, 12.345, 0.012345, -1234.5, 1e-9, 1e12, 0.1 + 0.2].map(|x| number(Some(x)));
        assert_eq!(told, ["0", "0", "1", "12.3", "0.0123", "-1234", "1.00e-9", "1.00e12", "0.3"]);
        assert_eq!([None, Some(f64::NAN), Some(f64::INFINITY)].map(number), ["-", "-", "-"]);
        assert_eq!([0, 999, 1000, -1_234_567].map(|n| count(Some(n))), ["0", "999", "1,000", "-1,234,567"]);
        assert_eq!(count(Some(i64::MIN)), "-9,223,372,036,854,775,808");
    }

    #[test]
    fn values_have_their_unit() {
        assert_eq!(Unit::new("proportion", "").tell(Some(0.16)), "16 %");
        assert_eq!(Unit::new("quantile", "s").tell(Some(0.1866)), "187 ms");
        assert_eq!(Unit::new("mean", "{order}").tell(Some(2.5)), "2.5 order");
        assert_eq!(Unit::new("no such kind", "1").tell(Some(2.5)), "2.5");
        assert_eq!([0.00001, 0.5, 90.0].map(|x| duration(Some(x))), ["10 µs", "500 ms", "90 s"]);
    }

    #[test]
    fn times_are_in_utc() {
        // 2026-11-30 09:46:57 UTC by GNU date.
        assert_eq!(time(Some(1_796_032_017.0)), "2026-11-30 09:46:57 UTC");
        assert_eq!([time(None), time(Some(1e300)), minute(Some(0.0))], ["-", "-", "1970-01-01 00:00"]);
        assert_eq!(ago(Some(10.0), Some(370.0)).as_deref(), Some("6 minutes before this page was made"));
        assert_eq!(ago(Some(10.0), None), None);
        assert_eq!([1.0, 60.0, 3600.0, 86400.0 * 3.0].map(span), ["1 second", "60 seconds", "60 minutes", "3 days"]);
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!([short("äöü", 2), short("äöü", 3)], ["äö…", "äöü"]);
    }
}
