//! The verdict: a data state and the reason in words, from where a guardrail stands.
//!
//! Order matters. A breach comes first: it needs no minimum sample, since a sequential test is exact from the first
//! event on. Then what is missing, then what is uncertain; only what is left is ok.

use super::anomaly::{self, Sighting};
use super::data_state::DataState;
use super::rule::{Comparison, Rule, Test};
use super::status::{Stage, Status};
use crate::kind::MetricKind;
use crate::stats::margin::Margin;
use crate::stats::tilt::Harm;

/// Where a guardrail stands: the numbers a verdict is made of. Times are in microseconds.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Name of the metric.
    pub metric: String,
    /// Kind of the metric.
    pub kind: MetricKind,
    /// Unit of the metric; may be empty.
    pub unit: String,
    /// Direction in which it hurts.
    pub harm: Harm,
    /// How it is tested.
    pub test: Test,
    /// What it is compared with.
    pub comparison: Comparison,
    /// Limit of an absolute comparison, or of a baseline that is known.
    pub limit: Option<f64>,
    /// Which quantile.
    pub quantile: Option<f64>,
    /// Value over the window, for thresholds; score of an anomaly.
    pub value: Option<f64>,
    /// The newest point of an anomaly's series.
    pub anomaly: Option<Sighting>,
    /// Of what counts events: there was none in any arm that is looked at.
    pub is_eventless: bool,
    /// Natural log of the e-value now.
    pub log_e: f64,
    /// Its maximum so far.
    pub max_log_e: f64,
    /// This guardrail's share of the error budget.
    pub alpha: f64,
    /// Why it is breached together with others, in words; `None`: it is not.
    pub joint: Option<String>,
    /// Data points of the treatment since the evidence began.
    pub sample: u64,
    /// How many of them a threshold or an anomaly wants before it is believed.
    pub breach_sample: u64,
    /// Data points of the treatment in this stage.
    pub stage_sample: u64,
    /// Is the first data of the control only what the next is judged at: quantiles, means, absolute margins.
    pub needs_past: bool,
    /// Data points of the control so far.
    pub control_sample: u64,
    /// Data points wanted in this stage.
    pub min_sample: u64,
    /// Since the stage started.
    pub stage_age: i64,
    /// Since the last data of the treatment; `None`: there never was any.
    pub idle: Option<i64>,
    /// Time of the last data, as text (UTC).
    pub last_data: Option<String>,
    /// How long missing data is excused at the start of a stage.
    pub grace: i64,
    /// How long data may pause.
    pub stale_after: i64,
}

/// A state and its reason in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The state.
    pub state: DataState,
    /// Why, in words.
    pub reason: String,
}

impl Standing {
    /// Where a guardrail stands at a time.
    pub fn of(rule: &Rule, status: &Status, stage: &Stage, anomaly: Option<Sighting>, at: i64) -> Self {
        let rules = rule.kind.rules();
        let is_absolute = matches!(status.margin, Some(Margin::Absolute(_)));
        let last = status.last_data_at;
        Self {
            metric: rule.metric.clone(),
            kind: rule.kind,
            unit: rule.unit.clone(),
            harm: rule.harm,
            test: rule.test,
            comparison: rule.comparison,
            limit: status.limit,
            quantile: rule.quantile,
            value: status.value,
            anomaly,
            is_eventless: is_eventless(
                rule.kind,
                rule.test,
                status.value,
                [&status.events_treatment, &status.events_control],
            ),
            log_e: status.log_e,
            max_log_e: status.max_log_e,
            alpha: status.alpha,
            joint: status.joint.clone(),
            sample: status.n_treatment,
            breach_sample: rule.min_sample,
            stage_sample: status.stage_treatment,
            needs_past: rule.is_of_control() && (is_absolute || rules.needs_past(status.margin)),
            control_sample: status.n_control,
            min_sample: rule.min_sample.max(stage.min_sample),
            stage_age: at.saturating_sub(stage.started_at),
            idle: last.map(|last| at.saturating_sub(last)),
            last_data: last.map(clock),
            grace: rule.grace,
            stale_after: rule.stale_after,
        }
    }

    fn line(&self) -> f64 {
        -self.alpha.ln()
    }

    fn is_sequential(&self) -> bool {
        self.test == Test::Sequential
    }

    fn is_threshold(&self) -> bool {
        self.test == Test::Threshold
    }

    fn is_beyond_limit(&self) -> bool {
        match (self.value, self.limit) {
            (Some(value), Some(limit)) if self.harm == Harm::Decrease => value < limit,
            (Some(value), Some(limit)) => value > limit,
            _ => false,
        }
    }

    pub(super) fn subject(&self) -> String {
        let name = &self.metric;
        match (self.kind, self.quantile) {
            (MetricKind::Quantile, Some(p)) => format!("p{} of {name}", number(p * 100.0)),
            (MetricKind::Quantile, None) => format!("{name} (p50, p90, p95, p99)"),
            _ => name.clone(),
        }
    }

    pub(super) fn amount(&self, x: f64) -> String {
        if self.unit.is_empty() { number(x) } else { format!("{} {}", number(x), self.unit) }
    }

    fn rival(&self) -> String {
        let what =
            if self.comparison == Comparison::Baseline { "the baseline with its margin," } else { "the limit of" };
        self.limit.map_or_else(|| "control".to_owned(), |limit| format!("{what} {}", self.amount(limit)))
    }
}

/// Judges where a guardrail stands.
pub fn verdict(s: &Standing) -> Verdict {
    breach(s).or_else(|| missing(s)).or_else(|| uncertain(s)).unwrap_or_else(|| clear(s))
}

fn state(state: DataState, reason: String) -> Option<Verdict> {
    Some(Verdict { state, reason })
}

fn breach(s: &Standing) -> Option<Verdict> {
    if s.is_sequential() && s.max_log_e >= s.line() {
        let reason = format!(
            "{} is worse than {}: ln e {} reached the line {} (anytime p {})",
            s.subject(),
            s.rival(),
            number(s.max_log_e),
            number(s.line()),
            anytime_p(s.max_log_e),
        );
        return state(DataState::Breached, reason);
    }
    // The e-values may fall again; what they said together once stays, as one's own maximum does.
    if let Some(reason) = &s.joint {
        return state(DataState::Breached, reason.clone());
    }
    // A threshold controls no error, so it waits for its sample.
    if s.is_threshold() && s.sample >= s.breach_sample && s.is_beyond_limit() {
        let value = s.amount(s.value.unwrap_or_default());
        let side = if s.harm == Harm::Decrease { "below" } else { "above" };
        return state(DataState::Breached, format!("{} is {value}, {side} {}", s.subject(), s.rival()));
    }
    anomaly::breach(s)
}

fn missing(s: &Standing) -> Option<Verdict> {
    let excused = s.stage_age < s.grace;
    // Against control only what was compared counts: an arm alone waits for the other one.
    let what = if s.comparison == Comparison::Control { "treatment and control to compare" } else { "the treatment" };
    match (s.idle, &s.last_data) {
        (None, _) if excused => return state(DataState::NotEnough, format!("no data of {what} yet")),
        (None, _) => return state(DataState::NoData, format!("no data of {what} since the rollout started")),
        (Some(idle), Some(last)) if idle > s.stale_after && !excused => {
            return state(DataState::Stale, format!("no data of {what} since {last} UTC"));
        }
        _ => {}
    }
    if s.comparison == Comparison::Control && s.control_sample == 0 {
        let lack =
            if s.needs_past { "the control has no past to compare with yet" } else { "no data of the control yet" };
        return state(DataState::NotEnough, lack.into());
    }
    // Data of this stage is wanted in any case: what was before it says nothing of it.
    let wanted = s.min_sample.max(1);
    if s.stage_sample < wanted {
        let reason = format!("{} of {} data points in this stage", thousands(s.stage_sample), thousands(wanted));
        return state(DataState::NotEnough, reason);
    }
    if s.is_threshold() && s.value.is_none() {
        return state(DataState::NoData, "no data of the treatment in the window".into());
    }
    anomaly::missing(s)
}

/// Half of the line on the log scale (e = 10 at alpha 0.01): widening the exposure now would be a bet.
fn uncertain(s: &Standing) -> Option<Verdict> {
    if s.is_sequential() && s.log_e >= s.line() / 2.0 {
        let reason =
            format!("evidence of harm is building up: ln e {}, the line is {}", number(s.log_e), number(s.line()));
        return state(DataState::Inconclusive, reason);
    }
    anomaly::uncertain(s)
}

fn clear(s: &Standing) -> Verdict {
    let reason = match (s.value, &s.anomaly) {
        (_, Some(a)) => anomaly::clear(s, a),
        (Some(value), None) if s.is_threshold() => {
            let doubt =
                if s.is_eventless { "; no event in the window (is the event right? check_metric)" } else { "" };
            format!("{} is {}, within {}{doubt}", s.subject(), s.amount(value), s.rival())
        }
        // What everybody hopes for, and what a misspelt event looks like.
        _ if s.is_eventless => {
            let whose = if s.comparison == Comparison::Control { "in either arm" } else { "of the treatment" };
            format!("no event {whose} so far (is the event right? check_metric)")
        }
        _ => format!("no sign of harm: ln e {}, the line is {}", number(s.log_e), number(s.line())),
    };
    Verdict { state: DataState::Ok, reason }
}

/// Has a guardrail that counts events seen none, of treatment and control: all is well, or its metric's event is not what
/// was meant.
pub fn is_eventless(kind: MetricKind, test: Test, value: Option<f64>, events: [&[u64]; 2]) -> bool {
    kind.rules().counts_events()
        && match test {
            Test::Sequential => events.iter().all(|events| events.iter().all(|n| *n == 0)),
            Test::Threshold => value == Some(0.0),
            Test::Anomaly => false,
        }
}

/// A time of day (UTC), of microseconds since a midnight.
pub(super) fn clock(at: i64) -> String {
    let seconds = at.div_euclid(1_000_000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A number with three significant digits, without trailing zeros.
pub(super) fn number(x: f64) -> String {
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

/// The anytime-valid p-value, 1/e at its least (statistics.md 2).
fn anytime_p(max_log_e: f64) -> String {
    let p = (-max_log_e).exp().min(1.0);
    if p < 1e-12 { "below 1e-12".to_owned() } else { number(p) }
}

fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    pub(in super::super) fn standing() -> Standing {
        Standing {
            metric: "errors".into(),
            kind: MetricKind::Proportion,
            unit: String::new(),
            harm: Harm::Increase,
            test: Test::Sequential,
            comparison: Comparison::Control,
            limit: None,
            quantile: None,
            value: None,
            anomaly: None,
            is_eventless: false,
            log_e: -0.5,
            max_log_e: 0.25,
            alpha: 0.01,
            joint: None,
            sample: 3000,
            breach_sample: 100,
            stage_sample: 1500,
            needs_past: false,
            control_sample: 9000,
            min_sample: 1000,
            stage_age: 600 * SECOND,
            idle: Some(SECOND),
            last_data: Some("14:03:05".into()),
            grace: 60 * SECOND,
            stale_after: 120 * SECOND,
        }
    }

    fn words(s: Standing) -> (&'static str, String) {
        let verdict = verdict(&s);
        (verdict.state.label(), verdict.reason)
    }

    #[test]
    fn a_quiet_guardrail_is_ok() {
        assert_eq!(words(standing()), ("ok", "no sign of harm: ln e -0.5, the line is 4.61".into()));
    }

    #[test]
    fn no_event_at_all_is_ok_and_said() {
        let none = Standing { is_eventless: true, log_e: 0.0, max_log_e: 0.0, ..standing() };
        let reason = "no event in either arm so far (is the event right? check_metric)";
        assert_eq!(words(none.clone()), ("ok", reason.into()));
        let limit = Standing { comparison: Comparison::Absolute, limit: Some(0.05), log_e: -3.0, ..none.clone() };
        let reason = "no event of the treatment so far (is the event right? check_metric)";
        assert_eq!(words(limit.clone()), ("ok", reason.into()));
        let threshold = Standing { test: Test::Threshold, value: Some(0.0), ..limit };
        let reason =
            "errors is 0, within the limit of 0.05; no event in the window (is the event right? check_metric)";
        assert_eq!(words(threshold), ("ok", reason.into()));
        // Before there is a sample it says nothing.
        assert_eq!(words(Standing { stage_sample: 412, ..none }).0, "not_enough");
    }

    #[test]
    fn a_breach_needs_no_sample_and_stays() {
        let s = Standing { log_e: 1.0, max_log_e: 4.7, stage_sample: 3, idle: Some(9000 * SECOND), ..standing() };
        let reason = "errors is worse than control: ln e 4.7 reached the line 4.61 (anytime p 0.0091)";
        assert_eq!(words(s), ("breached", reason.into()));
    }

    #[test]
    fn what_several_said_together_stays_until_one_says_it_alone() {
        let s = Standing {
            log_e: -3.0,
            joint: Some("errors and duration".into()),
            idle: Some(9000 * SECOND),
            ..standing()
        };
        assert_eq!(words(s.clone()), ("breached", "errors and duration".into()));
        assert!(words(Standing { max_log_e: 4.7, ..s }).1.starts_with("errors is worse than control: ln e 4.7"));
    }

    #[test]
    fn missing_data_is_never_ok() {
        let never = Standing { idle: None, last_data: None, stage_sample: 0, ..standing() };
        let young = Standing { stage_age: 5 * SECOND, ..never.clone() };
        assert_eq!(words(young), ("not_enough", "no data of treatment and control to compare yet".into()));
        assert_eq!(
            words(never),
            ("no_data", "no data of treatment and control to compare since the rollout started".into())
        );
        let stopped = Standing { idle: Some(121 * SECOND), ..standing() };
        assert_eq!(
            words(stopped),
            ("stale", "no data of treatment and control to compare since 14:03:05 UTC".into())
        );
        let alone = Standing { control_sample: 0, ..standing() };
        assert_eq!(words(alone), ("not_enough", "no data of the control yet".into()));
        let small = Standing { stage_sample: 412, ..standing() };
        assert_eq!(words(small), ("not_enough", "412 of 1,000 data points in this stage".into()));
    }

    #[test]
    fn growing_evidence_is_inconclusive() {
        let s = Standing { log_e: 2.31, max_log_e: 2.31, ..standing() };
        let reason = "evidence of harm is building up: ln e 2.31, the line is 4.61";
        assert_eq!(words(s), ("inconclusive", reason.into()));
    }

    #[test]
    fn thresholds_wait_for_their_sample() {
        let limit = Standing {
            metric: "queue depth".into(),
            kind: MetricKind::Mean,
            test: Test::Threshold,
            comparison: Comparison::Absolute,
            limit: Some(100.0),
            value: Some(120.5),
            ..standing()
        };
        assert_eq!(words(limit.clone()), ("breached", "queue depth is 120, above the limit of 100".into()));
        let small = Standing { sample: 5, stage_sample: 5, ..limit.clone() };
        assert_eq!(words(small).0, "not_enough");
        // Once it is believed, no stage starts blind.
        let next_stage = Standing { stage_sample: 5, ..limit.clone() };
        assert_eq!(words(next_stage).0, "breached");
        let within = Standing { value: Some(12.0), ..limit.clone() };
        assert_eq!(words(within), ("ok", "queue depth is 12, within the limit of 100".into()));
        let low = Standing { harm: Harm::Decrease, value: Some(12.0), ..limit.clone() };
        assert_eq!(words(low), ("breached", "queue depth is 12, below the limit of 100".into()));
        let silent = Standing { value: None, ..limit };
        assert_eq!(words(silent).0, "no_data");
    }

    #[test]
    fn quantiles_are_named_with_unit() {
        let s = Standing {
            metric: "duration".into(),
            kind: MetricKind::Quantile,
            comparison: Comparison::Absolute,
            unit: "s".into(),
            quantile: Some(0.95),
            limit: Some(0.5),
            max_log_e: 10.0,
            ..standing()
        };
        assert!(words(s).1.starts_with("p95 of duration is worse than the limit of 0.5 s"));
    }

    #[test]
    fn a_time_of_day_is_one_before_2000_too() {
        assert_eq!([0, 50_585_999_999, -1].map(clock), ["00:00:00", "14:03:05", "23:59:59"]);
    }

    #[test]
    fn numbers_read_well() {
        let all = [0.0, 0.00912, 4.605, 12.0, 1234.5, 1e-9, 0.1].map(number);
        assert_eq!(all, ["0", "0.00912", "4.61", "12", "1234", "1.0e-9", "0.1"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
