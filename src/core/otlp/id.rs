//! Trace and span ids (hex, not base64) and times (nanoseconds since 1970, where 0 is "unknown").

use super::fault::{Fault, Result};
use super::field::{text, unsigned};
use super::tree::Tree;
use std::fmt::Write;
use uuid::Uuid;

/// A trace id; empty text and sixteen zero bytes mean "none".
pub(super) fn trace(value: &Tree) -> Result<Option<Uuid>> {
    Ok(bytes::<16>(value)?.map(Uuid::from_bytes))
}

/// A span id; empty text and eight zero bytes mean "none".
pub(super) fn span(value: &Tree) -> Result<Option<[u8; 8]>> {
    bytes(value)
}

/// Lower-case hex, the form in which an id stands inside `attributes`.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A time; 0 means "unknown".
pub(super) fn nanos(value: &Tree) -> Result<Option<u64>> {
    Ok(Some(unsigned(value)?).filter(|&nanos| nanos != 0))
}

fn bytes<const N: usize>(value: &Tree) -> Result<Option<[u8; N]>> {
    if let Tree::Bytes(bytes) = value {
        return binary(bytes);
    }
    let digits = text(value)?.as_bytes();
    if digits.is_empty() {
        return Ok(None);
    }
    let refuse = || Fault::unlike(&format!("{} hexadecimal digits", 2 * N), value);
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return Err(refuse());
    }
    let mut bytes = [0; N];
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(high).zip(nibble(low)).map(|(high, low)| high << 4 | low).ok_or_else(refuse)?;
    }
    Ok(Some(bytes).filter(|bytes| bytes != &[0; N]))
}

/// As protobuf has it.
fn binary<const N: usize>(bytes: &[u8]) -> Result<Option<[u8; N]>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let id = bytes.try_into().map_err(|_| Fault::new(format!("has {} bytes, not {N}", bytes.len())))?;
    Ok(Some(id).filter(|id| id != &[0; N]))
}

fn nibble(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ids_are_hex_of_either_case() {
        let upper = trace(&json!("5B8EFFF798038103D269B633813FC60C").into()).unwrap();
        assert_eq!(upper, trace(&json!("5b8efff798038103d269b633813fc60c").into()).unwrap());
        assert_eq!(upper, Some(Uuid::from_u128(0x5B8E_FFF7_9803_8103_D269_B633_813F_C60C)));
        assert_eq!(hex(&upper.unwrap().into_bytes()), "5b8efff798038103d269b633813fc60c");
        assert_eq!(span(&json!("EEE19B7EC3C1B174").into()).unwrap(), Some(0xEEE1_9B7E_C3C1_B174_u64.to_be_bytes()));
    }

    #[test]
    fn empty_and_zero_are_absent() {
        assert_eq!(trace(&json!("").into()).unwrap(), None);
        assert_eq!(trace(&json!("0".repeat(32)).into()).unwrap(), None);
        assert_eq!(span(&json!("0".repeat(16)).into()).unwrap(), None);
    }

    #[test]
    fn other_text_is_refused() {
        for refused in [json!("EEE19B7EC3C1B17"), json!("EEE19B7EC3C1B1744"), json!("EEE19B7EC3C1B17G"), json!(5)] {
            assert!(span(&refused.clone().into()).is_err(), "{refused}");
        }
        // Base64 of sixteen bytes, as a generic protobuf printer would write it; and a character of two bytes.
        assert!(trace(&json!("W47/95gDgQPSabYzgT/GDA==").into()).is_err());
        assert!(span(&json!("EEE19B7EC3C1B1é").into()).is_err());
        let reason = span(&json!("xyz").into()).unwrap_err().to_string();
        assert_eq!(reason, "not 16 hexadecimal digits: \"xyz\"");
    }

    #[test]
    fn zero_time_is_unknown() {
        assert_eq!(nanos(&json!("0").into()).unwrap(), None);
        assert_eq!(nanos(&json!(1_544_712_660_000_000_000_u64).into()).unwrap(), Some(1_544_712_660_000_000_000));
        assert!(nanos(&json!("2018-12-13T14:51:00Z").into()).is_err());
    }
}
