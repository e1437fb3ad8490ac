//! flagd's `sem_ver`: versions as people write them, compared as SemVer 2.0 does.
//!
//! A leading `v` is dropped, `1` and `1.2` are padded, numbers are read as text and build metadata is ignored; anything
//! that is not a version then yields no answer.

use datalogic_rs::DataValue;
use semver::{BuildMetadata, Version};

/// The comparisons that there are: `^` is "same major", `~` "same major and minor".
pub(super) const COMPARISONS: [&str; 8] = ["=", "!=", "<", "<=", ">", ">=", "~", "^"];

/// Whether the comparison holds; none where a version or the comparison is not one.
pub(super) fn compare(left: &DataValue, comparison: &str, right: &DataValue) -> Option<bool> {
    let (left, right) = (read(left)?, read(right)?);
    Some(match comparison {
        "=" => left == right,
        "!=" => left != right,
        "<" => left < right,
        "<=" => left <= right,
        ">" => left > right,
        ">=" => left >= right,
        "~" => (left.major, left.minor) == (right.major, right.minor),
        "^" => left.major == right.major,
        _ => return None,
    })
}

fn read(value: &DataValue) -> Option<Version> {
    match value {
        DataValue::String(text) => parse(text),
        DataValue::Number(number) => parse(&number.to_string()),
        _ => None,
    }
}

/// Reads a version.
pub(super) fn parse(text: &str) -> Option<Version> {
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let padding = match core.split('.').count() {
        1 => ".0.0",
        2 => ".0",
        _ => "",
    };
    let mut version = if padding.is_empty() {
        Version::parse(text).ok()?
    } else {
        Version::parse(&format!("{core}{padding}{}", &text[core.len()..])).ok()?
    };
    version.build = BuildMetadata::EMPTY;
    Some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_people_write_them() {
        let shape = |text| parse(text).map(|version| version.to_string());
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(shape("v1"), some("1.0.0"));
        assert_eq!(shape("V1.2-rc.1+build"), some("1.2.0-rc.1"));
        assert_eq!(shape("1.2.3+build"), some("1.2.3"));
        assert_eq!(shape("2.0.0.0"), None);
        assert_eq!(shape("01.0.0"), None);
        assert_eq!(shape(""), None);
        assert_eq!(shape("v"), None);
        assert_eq!(shape("1-é"), None);
    }
}
