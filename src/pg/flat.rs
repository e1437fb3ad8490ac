//! jsonb read from its bytes, without a call into PostgreSQL for each key: what a scan over millions of rows needs.
//!
//! What is here: the binary form of PostgreSQL 15 to 18 (`utils/jsonb.h`, `numeric.c`), read by safe code that checks every
//! length: bytes that are no jsonb give fewer entries, never a fault. What is not: writing it, and arrays.

use flagscope_core::correlate::Value;
use flagscope_core::telemetry::Found;

/// Of a container's header: how many entries, and whether it is an object.
const COUNT: u32 = 0x0FFF_FFFF;
const IS_OBJECT: u32 = 0x2000_0000;
/// Of an entry: its end or its length, which of both it is, and its type.
const EXTENT: u32 = 0x0FFF_FFFF;
const IS_END: u32 = 0x8000_0000;
const TYPE: u32 = 0x7000_0000;
const STRING: u32 = 0x0000_0000;
const NUMERIC: u32 = 0x1000_0000;
const FALSE: u32 = 0x2000_0000;
const TRUE: u32 = 0x3000_0000;
const NULL: u32 = 0x4000_0000;
const CONTAINER: u32 = 0x5000_0000;

/// A value in an object.
#[derive(Debug, Clone, Copy)]
enum Node<'t> {
    Scalar(Value<'t>),
    Object(&'t [u8]),
    Null,
    /// Arrays, and what cannot be read.
    Other,
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

fn aligned(at: usize) -> usize {
    at.next_multiple_of(4)
}

/// Calls back with every entry of an object; nothing of anything else.
fn each_entry<'t>(container: &'t [u8], mut entry: impl FnMut(&'t str, Node<'t>)) -> Option<()> {
    let header = word(container, 0)?;
    if header & IS_OBJECT == 0 {
        return None;
    }
    let n = (header & COUNT) as usize;
    let data = container.get(4 + 8 * n..)?;
    // All keys come first, then all values; each begins where the one before ends.
    let extent = |at: usize, begin: usize| {
        let entry = word(container, 4 + 4 * at)?;
        let extent = (entry & EXTENT) as usize;
        Some((entry & TYPE, if entry & IS_END != 0 { extent } else { begin + extent }))
    };
    let mut value_begin = 0;
    for key in 0..n {
        value_begin = extent(key, value_begin)?.1;
    }
    let mut key_begin = 0;
    for at in 0..n {
        let (_, key_end) = extent(at, key_begin)?;
        let (kind, value_end) = extent(n + at, value_begin)?;
        if let Ok(key) = std::str::from_utf8(data.get(key_begin..key_end)?) {
            entry(key, node(kind, data, value_begin, value_end));
        }
        (key_begin, value_begin) = (key_end, value_end);
    }
    Some(())
}

fn node(kind: u32, data: &[u8], begin: usize, end: usize) -> Node<'_> {
    let read = match kind {
        STRING => data.get(begin..end).and_then(|text| std::str::from_utf8(text).ok()).map(Value::Text),
        NUMERIC => data.get(aligned(begin)..end).and_then(number).map(Value::Number),
        FALSE => Some(Value::Bool(false)),
        TRUE => Some(Value::Bool(true)),
        NULL => return Node::Null,
        CONTAINER => return data.get(aligned(begin)..end).map_or(Node::Other, Node::Object),
        _ => None,
    };
    read.map_or(Node::Other, Node::Scalar)
}

/// The digits of a numeric's varlena, in base 10,000: negative, weight of the first, digits.
fn digits(varlena: &[u8]) -> Option<(bool, i32, &[u8])> {
    // The varlena's own header: four bytes, as numerics inside a jsonb have it.
    let first = *varlena.first()?;
    let is_plain = if cfg!(target_endian = "little") { first & 0x03 == 0 } else { first & 0xC0 == 0 };
    let content = if is_plain { varlena.get(4..)? } else { return None };
    let half = |at: usize| Some(u16::from_ne_bytes(content.get(at..at + 2)?.try_into().ok()?));
    let header = half(0)?;
    match header >> 14 {
        0b11 => None, // NaN and infinities, which JSON has not
        0b10 => {
            let weight = i32::from(header & 0x3F) - if header & 0x40 != 0 { 64 } else { 0 };
            Some((header & 0x2000 != 0, weight, &content[2..]))
        }
        sign => Some((sign == 0b01, i32::from(half(2)? as i16), content.get(4..)?)),
    }
}

/// Powers of ten that a double holds exactly.
const EXACT_POWER: i32 = 22;
const EXACT_INTEGER: u64 = 1 << 53;

/// A numeric as the nearest double; None where it is none or beyond one.
fn number(varlena: &[u8]) -> Option<f64> {
    let (is_negative, weight, digits) = digits(varlena)?;
    let digits = digits.chunks_exact(2).filter_map(|d| Some(u64::from(u16::from_ne_bytes(d.try_into().ok()?))));
    let n = digits.clone().count() as i32;
    let power = 4 * (weight - n + 1);
    let small = digits.clone().try_fold(0_u64, |sum, d| sum.checked_mul(10_000)?.checked_add(d));
    let magnitude = match small.filter(|sum| *sum <= EXACT_INTEGER && power.abs() <= EXACT_POWER) {
        // Both are exact, so one operation rounds as it must (W. D. Clinger, 1990).
        Some(sum) if power < 0 => sum as f64 / 10_f64.powi(-power),
        Some(sum) => sum as f64 * 10_f64.powi(power),
        None => {
            let mut text = String::with_capacity(4 * n as usize + 8);
            digits.for_each(|d| text.push_str(&format!("{d:04}")));
            text.push_str(&format!("e{power}"));
            text.parse().ok().filter(|x: &f64| x.is_finite())?
        }
    };
    Some(if is_negative { -magnitude } else { magnitude })
}

/// Calls back with each scalar of an object, those of objects inside it by dotted names.
pub fn each_scalar(container: &[u8], mut visit: impl FnMut(&str, Value<'_>)) {
    let mut name = String::new();
    each_entry(container, |key, node| match node {
        Node::Scalar(value) => visit(key, value),
        Node::Object(inner) => {
            let _ = each_entry(inner, |inner_key, node| {
                if let Node::Scalar(value) = node {
                    name.clear();
                    name.push_str(key);
                    name.push('.');
                    name.push_str(inner_key);
                    visit(&name, value);
                }
            });
        }
        Node::Null | Node::Other => {}
    });
}

/// A value of an object by its key, as filters see it; JSON's null is none.
pub fn found<'t>(container: &'t [u8], wanted: &str) -> Option<Found<'t>> {
    let mut found = None;
    each_entry(container, |key, node| {
        if key == wanted {
            found = match node {
                Node::Scalar(Value::Text(text)) => Some(Found::Text(text)),
                Node::Scalar(Value::Number(number)) => Some(Found::Number(number)),
                Node::Scalar(Value::Bool(bool)) => Some(Found::Bool(bool)),
                Node::Object(_) | Node::Other => Some(Found::Other),
                Node::Null => None,
            };
        }
    });
    found
}

/// The entries of an object whose values are texts.
pub fn texts(container: &[u8]) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    each_entry(container, |key, node| {
        if let Node::Scalar(Value::Text(text)) = node {
            found.push((key, text));
        }
    });
    found
}
