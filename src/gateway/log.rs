//! Log lines on standard error: text for people, or JSON. Never keys, tokens, contexts or bodies.

use std::fmt::Display;
use std::io::Write;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something works otherwise than wanted.
    Warn,
    /// What an operator wants to know.
    Info,
    /// What one wants to know who looks for a fault.
    Debug,
}

impl Level {
    const ALL: [Self; 4] = [Self::Error, Self::Warn, Self::Info, Self::Debug];

    /// Its name.
    pub fn label(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    /// The level of that name.
    pub fn parse(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|level| level.label() == name);
        found.ok_or_else(|| format!("not a level: \"{name}\"; error, warn, info or debug"))
    }
}

static SETTING: OnceLock<(Level, bool)> = OnceLock::new();

/// Chooses the level and the format, once; before, it is `info` as text.
pub fn set_up(level: Level, json: bool) {
    let _ = SETTING.set((level, json));
}

/// Writes a line: what happened, and facts by name.
pub fn log(level: Level, what: &str, facts: &[(&str, &dyn Display)]) {
    let (most, json) = SETTING.get().copied().unwrap_or((Level::Info, false));
    if level > most {
        return;
    }
    let line = line(level, json, &time(SystemTime::now()), what, facts);
    // Whoever closed standard error does not want to know.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

/// Something does not work.
pub fn error(what: &str, facts: &[(&str, &dyn Display)]) {
    log(Level::Error, what, facts);
}

/// Something works otherwise than wanted.
pub fn warn(what: &str, facts: &[(&str, &dyn Display)]) {
    log(Level::Warn, what, facts);
}

/// What an operator wants to know.
pub fn info(what: &str, facts: &[(&str, &dyn Display)]) {
    log(Level::Info, what, facts);
}

fn line(level: Level, json: bool, time: &str, what: &str, facts: &[(&str, &dyn Display)]) -> String {
    if json {
        let mut object = serde_json::Map::new();
        for (key, value) in [("time", time), ("level", level.label()), ("message", what)] {
            object.insert(key.to_owned(), value.into());
        }
        object.extend(facts.iter().map(|(key, value)| ((*key).to_owned(), value.to_string().into())));
        return serde_json::Value::Object(object).to_string() + "\n";
    }
    let facts: String = facts.iter().map(|(key, value)| format!(" {key}={}", quoted(&value.to_string()))).collect();
    format!("{time} {:<5} {what}{facts}\n", level.label())
}

/// A value in a line of text: in quotes where it could be taken for more than one.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:[]@?&%+,".contains(c);
    if !value.is_empty() && value.chars().all(plain) { value.to_owned() } else { format!("{value:?}") }
}

/// A time in UTC, with milliseconds: days to a date by the Gregorian calendar's cycle of 400 years.
pub fn time(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (since.as_secs(), since.subsec_millis());
    let (days, of_day) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let of_cycle = days % 146_097;
    let year_of_cycle = (of_cycle - of_cycle / 1460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let day_of_year = of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = days / 146_097 * 400 + year_of_cycle + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_dates() {
        // Source: date -u -d @SECONDS.
        for (seconds, wanted) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_796_000_000, "2026-11-30T00:53:20.000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000Z"),
        ] {
            assert_eq!(time(UNIX_EPOCH + Duration::from_secs(seconds)), wanted);
        }
    }

    #[test]
    fn lines_have_one_line_each() {
        let facts: [(&str, &dyn Display); 2] = [("flags", &3), ("error", &"no\n\"such\" host")];
        assert_eq!(
            line(Level::Warn, false, "T", "the database is away", &facts),
            "T warn  the database is away flags=3 error=\"no\\n\\\"such\\\" host\"\n"
        );
        assert_eq!(
            line(Level::Info, true, "T", "x", &facts),
            "{\"error\":\"no\\n\\\"such\\\" host\",\"flags\":\"3\",\"level\":\"info\",\"message\":\"x\",\"time\":\"T\"}\n"
        );
    }
}
