//! Durations and sizes as people write them: `30 s`, `5min`, `64 MiB`.

use std::time::Duration;

/// A duration: a number and ms, s, min or h; a number alone is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("not a duration: \"{text}\"; write it like 500ms, 10s, 5min, 1h");
    let (number, unit) = split(text);
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let seconds = number.parse::<f64>().map_err(|_| wrong())? * factor;
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

/// A size: a number and B, KiB, MiB or GiB; a number alone is bytes.
pub fn size(text: &str) -> Result<usize, String> {
    let wrong = || format!("not a size: \"{text}\"; write it like 64KiB, 64MiB, 1GiB");
    let (number, unit) = split(text);
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(wrong()),
    };
    let number: usize = number.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

/// A duration as it is shown.
pub fn show_duration(value: Duration) -> String {
    let millis = value.as_millis();
    if millis.is_multiple_of(1000) { format!("{}s", millis / 1000) } else { format!("{millis}ms") }
}

/// A size as it is shown.
pub fn show_size(value: usize) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if value >= 1 << shift && value.is_multiple_of(1 << shift) {
            return format!("{}{unit}", value >> shift);
        }
    }
    format!("{value}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_come_back() {
        for text in ["500ms", "10s", "0s", "1500ms"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
        assert_eq!(duration("5 min"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1500)));
        for text in ["64MiB", "1GiB", "1KiB", "1000B"] {
            assert_eq!(show_size(size(text).unwrap()), text);
        }
        for wrong in ["", "5 years", "-1s", "x", "1e400h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "1.5MiB", "5MB", "99999999999999GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
