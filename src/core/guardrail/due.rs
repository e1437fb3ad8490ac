//! When a guardrail is judged: there is data, or time alone can change its verdict.

use super::data_state::DataState;
use super::rule::Test;

/// What of a guardrail tells whether it is due. Times are in microseconds since 2000.
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    /// How it is tested.
    pub test: Test,
    /// Its last verdict.
    pub state: DataState,
    /// Has data come.
    pub has_data: bool,
    /// Could its metric not be counted.
    pub has_problem: bool,
    /// When a failure is tried again.
    pub retry_at: Option<i64>,
    /// Tick that last saw data.
    pub last_data_at: Option<i64>,
    /// How long data may pause.
    pub stale_after: i64,
    /// Of an anomaly: the last point that was judged.
    pub point: Option<i64>,
    /// Of an anomaly: the newest one ([`newest_point`]).
    pub newest: Option<i64>,
}

/// Can the verdict differ from the last one: there is data, a window moves on, a point of a series is over, data is missing
/// for too long, or a failure may be over.
pub fn is_due(p: &Pending, at: i64) -> bool {
    let may_try = p.retry_at.is_none_or(|retry| retry <= at);
    let by_clock = || match (p.test, p.last_data_at) {
        (Test::Threshold, _) => true,
        (Test::Anomaly, _) if p.point != p.newest => true,
        _ if p.state == DataState::Error => true,
        (_, None) => p.state != DataState::NoData,
        (_, Some(last)) => {
            last < at.saturating_sub(p.stale_after)
                && !matches!(
                    p.state,
                    DataState::Stale | DataState::Silent | DataState::NoControl | DataState::Breached
                )
        }
    };
    let is_told = matches!(p.state, DataState::Error | DataState::Breached);
    p.has_data || (p.has_problem && !is_told) || (may_try && by_clock())
}

/// Start of the newest point of an anomaly's series that is over and whose rows have had the time `pairing` to come. Not of
/// all guardrails at the same moment: they are spread over a minute by their ids.
pub fn newest_point(id: i64, width: i64, pairing: i64, at: i64) -> Option<i64> {
    let seen = at.saturating_sub(pairing).saturating_sub(id % 60 * 1_000_000);
    (width > 0).then(|| seen.div_euclid(width).saturating_sub(1).saturating_mul(width))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn quiet() -> Pending {
        Pending {
            test: Test::Sequential,
            state: DataState::Ok,
            has_data: false,
            has_problem: false,
            retry_at: None,
            last_data_at: Some(100 * SECOND),
            stale_after: 120 * SECOND,
            point: None,
            newest: None,
        }
    }

    #[test]
    fn a_quiet_guardrail_is_due_when_its_data_has_stopped() {
        assert!(!is_due(&quiet(), 220 * SECOND));
        assert!(is_due(&quiet(), 221 * SECOND));
        assert!(!is_due(&Pending { state: DataState::Stale, ..quiet() }, 900 * SECOND));
        assert!(!is_due(&Pending { state: DataState::Breached, ..quiet() }, 900 * SECOND));
        assert!(is_due(&Pending { has_data: true, ..quiet() }, 101 * SECOND));
    }

    #[test]
    fn a_guardrail_without_any_data_is_due_until_that_is_told() {
        let never = Pending { last_data_at: None, state: DataState::NotEnough, ..quiet() };
        assert!(is_due(&never, 0));
        assert!(!is_due(&Pending { state: DataState::NoData, ..never }, 0));
    }

    #[test]
    fn a_failure_is_tried_again_at_its_time() {
        let failed = Pending { state: DataState::Error, retry_at: Some(200 * SECOND), ..quiet() };
        assert!(!is_due(&failed, 199 * SECOND));
        assert!(is_due(&failed, 200 * SECOND));
        assert!(is_due(&Pending { has_data: true, ..failed }, 101 * SECOND));
    }

    #[test]
    fn a_metric_that_cannot_be_counted_is_told_once() {
        let lost = Pending { has_problem: true, ..quiet() };
        assert!(is_due(&lost, 101 * SECOND));
        assert!(!is_due(&Pending { state: DataState::Breached, ..lost }, 101 * SECOND));
        let told = Pending { state: DataState::Error, retry_at: Some(200 * SECOND), ..lost };
        assert!(!is_due(&told, 101 * SECOND));
    }

    #[test]
    fn windows_move_on_with_the_clock() {
        assert!(is_due(&Pending { test: Test::Threshold, ..quiet() }, 101 * SECOND));
        let anomaly = Pending { test: Test::Anomaly, point: Some(60), newest: Some(60), ..quiet() };
        assert!(!is_due(&anomaly, 101 * SECOND));
        assert!(is_due(&Pending { newest: Some(120), ..anomaly }, 101 * SECOND));
        assert!(is_due(&Pending { point: None, ..anomaly }, 101 * SECOND));
    }

    #[test]
    fn a_point_is_over_and_its_rows_had_time() {
        let minute = 60 * SECOND;
        // 10 minutes wide, at 00:21:00: the one from 00:10 to 00:20 is over, its rows have had their minute.
        assert_eq!(newest_point(0, 10 * minute, minute, 21 * minute), Some(10 * minute));
        assert_eq!(newest_point(1, 10 * minute, minute, 21 * minute), Some(0));
        assert_eq!(newest_point(0, 10 * minute, minute, 21 * minute - 1), Some(0));
        assert_eq!(newest_point(0, 0, minute, minute), None);
    }
}
