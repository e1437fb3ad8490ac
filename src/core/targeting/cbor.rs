//! JSON values in deterministic CBOR (RFC 8949, 4.2.1): what bucketing v3 hashes.
//!
//! Whole floats in [-2^63, 2^64) become integers and -0 becomes 0 (ADR fractional-non-string-rand-units), other
//! floats take the shortest form that keeps their value, map keys stand in the order of their encodings.

use datalogic_rs::DataValue;
use datalogic_rs::datavalue::NumberValue;

const UNSIGNED: u8 = 0x00;
const NEGATIVE: u8 = 0x20;
const TEXT: u8 = 0x60;
const ARRAY: u8 = 0x80;
const MAP: u8 = 0xa0;

/// `[a, b]`, two text strings.
pub(super) fn pair(a: &str, b: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(a.len() + b.len() + 11);
    head(ARRAY, 2, &mut out);
    text(a, &mut out);
    text(b, &mut out);
    out
}

/// Appends a value. Its depth must be bounded by the caller.
pub(super) fn encode(value: &DataValue, out: &mut Vec<u8>) {
    match *value {
        DataValue::Null => out.push(0xf6),
        DataValue::Bool(value) => out.push(if value { 0xf5 } else { 0xf4 }),
        DataValue::Number(NumberValue::Integer(value)) => integer(value, out),
        DataValue::Number(NumberValue::Float(value)) => float(value, out),
        DataValue::String(value) => text(value, out),
        DataValue::Array(items) => {
            head(ARRAY, items.len() as u64, out);
            items.iter().for_each(|item| encode(item, out));
        }
        DataValue::Object(entries) => map(entries, out),
    }
}

fn map(entries: &[(&str, DataValue)], out: &mut Vec<u8>) {
    let encoded = |(key, value): &(&str, DataValue)| {
        let (mut name, mut content) = (Vec::new(), Vec::new());
        text(key, &mut name);
        encode(value, &mut content);
        (name, content)
    };
    let mut pairs: Vec<_> = entries.iter().map(encoded).collect();
    pairs.sort();
    head(MAP, pairs.len() as u64, out);
    for (name, content) in pairs {
        out.extend(name);
        out.extend(content);
    }
}

fn text(value: &str, out: &mut Vec<u8>) {
    head(TEXT, value.len() as u64, out);
    out.extend(value.as_bytes());
}

fn integer(value: i64, out: &mut Vec<u8>) {
    if value < 0 { head(NEGATIVE, !value as u64, out) } else { head(UNSIGNED, value as u64, out) }
}

/// A major type with its argument in the shortest of five forms.
fn head(major: u8, argument: u64, out: &mut Vec<u8>) {
    match argument {
        0..=23 => out.push(major | argument as u8),
        24..=0xff => out.extend([major | 24, argument as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend((argument as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend((argument as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend(argument.to_be_bytes());
        }
    }
}

fn float(value: f64, out: &mut Vec<u8>) {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    if value.fract() == 0.0 && (-TWO_TO_63..TWO_TO_63).contains(&value) {
        integer(value as i64, out);
    } else if value.fract() == 0.0 && (TWO_TO_63..2.0 * TWO_TO_63).contains(&value) {
        head(UNSIGNED, value as u64, out);
    } else if let Some(half) = half(value) {
        out.push(0xf9);
        out.extend(half.to_be_bytes());
    } else if f64::from(value as f32) == value {
        out.push(0xfa);
        out.extend((value as f32).to_be_bytes());
    } else {
        out.push(0xfb);
        out.extend(value.to_be_bytes());
    }
}

/// The 16 bit float (IEEE 754 binary16) of the same value, where there is one.
fn half(value: f64) -> Option<u16> {
    let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
    if value.is_nan() {
        return Some(0x7e00);
    }
    if value.is_infinite() {
        return Some(sign | 0x7c00);
    }
    let bits = value.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1023;
    if (-14..=15).contains(&exponent) {
        let fits = bits & ((1 << 42) - 1) == 0;
        return fits.then(|| sign | ((exponent + 15) as u16) << 10 | ((bits >> 42) & 0x3ff) as u16);
    }
    // Below 2^-14 a half counts in steps of 2^-24.
    let steps = value.abs() * 16_777_216.0;
    (steps < 1024.0 && steps.fract() == 0.0).then_some(sign | steps as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: DataValue) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&value, &mut out);
        out
    }

    fn number(value: f64) -> Vec<u8> {
        of(DataValue::Number(NumberValue::Float(value)))
    }

    #[test]
    fn lengths_take_the_shortest_form() {
        assert_eq!(pair("a", ""), [0x82, 0x61, b'a', 0x60]);
        assert_eq!(pair(&"x".repeat(24), "")[..3], [0x82, 0x78, 24]);
        assert_eq!(pair(&"x".repeat(256), "")[..4], [0x82, 0x79, 1, 0]);
        assert_eq!(pair(&"x".repeat(65_536), "")[..6], [0x82, 0x7a, 0, 1, 0, 0]);
    }

    /// Examples of RFC 8949, appendix A, with whole floats as integers.
    #[test]
    fn numbers_are_those_of_the_standard() {
        assert_eq!(of(DataValue::from_i64(-1)), [0x20]);
        assert_eq!(of(DataValue::from_i64(1000)), [0x19, 0x03, 0xe8]);
        assert_eq!(of(DataValue::from_i64(i64::MIN)), [0x3b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(number(-0.0), [0x00]);
        assert_eq!(number(1.5), [0xf9, 0x3e, 0x00]);
        assert_eq!(number(5.960464477539063e-8), [0xf9, 0x00, 0x01]);
        assert_eq!(number(0.00006103515625), [0xf9, 0x04, 0x00]);
        assert_eq!(number(1.1), [0xfb, 0x3f, 0xf1, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a]);
        assert_eq!(number(3.4028234663852886e+38), [0xfa, 0x7f, 0x7f, 0xff, 0xff]);
        assert_eq!(number(1.0e+300), [0xfb, 0x7e, 0x37, 0xe4, 0x3c, 0x88, 0x00, 0x75, 0x9c]);
        assert_eq!(number(9_223_372_036_854_775_808.0), [0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(number(f64::INFINITY), [0xf9, 0x7c, 0x00]);
    }

    #[test]
    fn map_keys_stand_in_the_order_of_their_encodings() {
        let entries = [("aa", DataValue::Null), ("b", DataValue::Bool(true))];
        assert_eq!(of(DataValue::Object(&entries)), [0xa2, 0x61, b'b', 0xf5, 0x62, b'a', b'a', 0xf6]);
    }
}
