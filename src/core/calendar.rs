//! The calendar: weekdays, times of day, and times as text, by the chrono library.
//!
//! Times are microseconds since 2000-01-01 UTC, as PostgreSQL counts them. No clock is asked, and no time zone but UTC is
//! known: local times come from PostgreSQL, whose time zones its administrators keep up to date.

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Weekday};

/// Microseconds from 1970, where Unix, OTLP and chrono begin to count, to 2000, where PostgreSQL does.
pub const UNIX_TO_POSTGRES: i64 = 946_684_800_000_000;

/// A time by the calendar; none beyond the years that chrono knows (262,143) and for "infinity".
fn civil(at: i64) -> Option<NaiveDateTime> {
    Some(DateTime::from_timestamp_micros(at.checked_add(UNIX_TO_POSTGRES)?)?.naive_utc())
}

/// Whether the day is a Saturday or a Sunday.
pub fn is_weekend(at: i64) -> bool {
    civil(at).is_some_and(|at| matches!(at.weekday(), Weekday::Sat | Weekday::Sun))
}

/// A time as text, to the second; "infinity" and years that chrono does not know as what they are.
pub fn text(at: i64) -> String {
    match civil(at) {
        Some(at) => format!("{} UTC", at.format("%Y-%m-%d %H:%M:%S")),
        None if at < 0 => "-infinity".into(),
        None => "infinity".into(),
    }
}

/// A length of time (in microseconds) in the greatest unit of which it is two or more, rounded: "90 seconds", "2 days".
pub fn span(time: f64) -> String {
    const SECOND: f64 = 1e6;
    let units = [(86_400.0, "day"), (3_600.0, "hour"), (60.0, "minute"), (1.0, "second")];
    let units = units.map(|(seconds, unit)| (seconds * SECOND, unit));
    let fits = |(length, _): &&(f64, &str)| time >= 1.995 * length || time == *length;
    let (length, unit) = units.iter().find(fits).copied().unwrap_or(units[3]);
    let n = (time / length).round();
    if n == 1.0 { format!("1 {unit}") } else { format!("{n} {unit}s") }
}

/// Days of the week, from a time of day to another, each in microseconds since midnight; `to` may be the midnight after.
#[derive(Debug, Clone)]
pub struct Weekly {
    /// From 1, Monday, to 7, Sunday.
    pub weekdays: Vec<i32>,
    /// From this time of day ...
    pub from: i64,
    /// ... to before this one.
    pub to: i64,
}

impl Weekly {
    /// When the span ends that a local time lies in; none: it lies in none.
    pub fn ends(&self, local: i64) -> Option<i64> {
        let day = civil(local)?.date();
        let weekday = i32::try_from(day.weekday().number_from_monday()).ok()?;
        let midnight = day.and_time(chrono::NaiveTime::MIN);
        let now = civil(local)? - midnight;
        let holds = now >= TimeDelta::microseconds(self.from) && now < TimeDelta::microseconds(self.to);
        let end = midnight.checked_add_signed(TimeDelta::microseconds(self.to))?;
        (holds && self.weekdays.contains(&weekday)).then(|| end.and_utc().timestamp_micros() - UNIX_TO_POSTGRES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDate;

    const HOUR: i64 = 3_600_000_000;
    const DAY: i64 = 24 * HOUR;

    fn at(year: i32, month: u32, day: u32, hour: u32, minute: u32) -> i64 {
        let day = NaiveDate::from_ymd_opt(year, month, day).expect("a day");
        let time = day.and_hms_opt(hour, minute, 0).expect("a time");
        time.and_utc().timestamp_micros() - UNIX_TO_POSTGRES
    }

    #[test]
    fn lengths_of_time_have_the_greatest_unit_of_which_there_are_two() {
        let of = |seconds: f64| span(1e6 * seconds);
        assert_eq!([0.4, 1.0, 90.0, 119.0].map(of), ["0 seconds", "1 second", "90 seconds", "119 seconds"]);
        assert_eq!([60.0, 120.0, 3_600.0, 7_100.0].map(of), ["1 minute", "2 minutes", "1 hour", "118 minutes"]);
        assert_eq!([7_200.0, 86_400.0, 100_000.0, 1e6].map(of), ["2 hours", "1 day", "28 hours", "12 days"]);
    }

    #[test]
    fn it_counts_from_2000() {
        assert_eq!(at(2000, 1, 1, 0, 0), 0);
        assert_eq!(text(0), "2000-01-01 00:00:00 UTC");
        assert_eq!(text(-1), "1999-12-31 23:59:59 UTC");
    }

    #[test]
    fn weekends_as_a_calendar_has_them() {
        // 2026-11-28 is a Saturday, 2024-02-29 a Thursday, 1999-12-26 a Sunday (cal 11 2026, cal 2 2024, cal 12 1999).
        assert!(is_weekend(at(2026, 11, 28, 0, 0)) && is_weekend(at(2026, 11, 29, 23, 59)));
        assert!(!is_weekend(at(2026, 11, 27, 23, 59)) && !is_weekend(at(2026, 11, 30, 0, 0)));
        assert!(!is_weekend(at(2024, 2, 29, 12, 0)) && is_weekend(at(1999, 12, 26, 12, 0)));
    }

    #[test]
    fn every_week_has_two_days_of_weekend_in_a_row() {
        for week in -3000..3000 {
            let days: Vec<_> = (0..7).map(|day| is_weekend((week * 7 + day) * DAY)).collect();
            assert_eq!(days, [true, true, false, false, false, false, false]);
        }
    }

    #[test]
    fn friday_afternoons() {
        let frozen = Weekly { weekdays: vec![5], from: 14 * HOUR, to: 24 * HOUR };
        assert_eq!(frozen.ends(at(2026, 11, 27, 14, 0)), Some(at(2026, 11, 28, 0, 0)));
        assert_eq!(frozen.ends(at(2026, 11, 27, 23, 59)), Some(at(2026, 11, 28, 0, 0)));
        assert_eq!(frozen.ends(at(2026, 11, 27, 13, 59)), None);
        assert_eq!(frozen.ends(at(2026, 11, 28, 0, 0)), None);
        assert_eq!(frozen.ends(at(2026, 11, 26, 15, 0)), None);
    }

    #[test]
    fn the_end_is_no_part_of_it() {
        let morning = Weekly { weekdays: vec![1, 7], from: 0, to: 6 * HOUR };
        assert_eq!(morning.ends(at(2026, 11, 29, 5, 59)), Some(at(2026, 11, 29, 6, 0)));
        assert_eq!(morning.ends(at(2026, 11, 29, 6, 0)), None);
        assert_eq!(morning.ends(at(2026, 11, 30, 0, 0)), Some(at(2026, 11, 30, 6, 0)));
    }

    #[test]
    fn times_beyond_the_calendar_are_in_no_span_and_have_a_text() {
        let always = Weekly { weekdays: (1..=7).collect(), from: 0, to: DAY };
        for (endless, says) in [(i64::MAX, "infinity"), (i64::MIN, "-infinity")] {
            assert_eq!(always.ends(endless), None);
            assert_eq!(text(endless), says);
            assert!(!is_weekend(endless));
        }
    }
}
