//! Bytes and text of the states: a small writer, a checking reader, and the errors both forms share.
//!
//! What is not here: what the bytes mean; each state knows its own content.
//!
//! Integers are LEB128 varints (zigzag for signed ones), since most counts and bin steps are below 128. A varint
//! must be minimal: then equal states have equal bytes.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Sketch;
use crate::{Error, Kind, Result};

/// The first byte of every binary form. A new layout takes the next number and keeps reading this one.
const VERSION: u8 = 1;

/// Why a content is refused; the reader of the form turns it into an [`Error`] of its kind.
pub type Check<T> = std::result::Result<T, String>;

/// Writes a binary form.
pub struct Writer(Vec<u8>);

impl Writer {
    pub fn new() -> Self {
        Self(vec![VERSION])
    }

    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub fn zigzag(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)) as u64);
    }

    pub fn f64(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn text(&mut self, text: &str) {
        self.varint(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a binary form and checks every step.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Open a binary form and check its version.
    pub fn new(bytes: &'a [u8]) -> Check<Self> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => Ok(Self { rest }),
            Some((other, _)) => Err(format!("version \"{other}\" is unknown")),
            None => Err("there are no bytes".into()),
        }
    }

    fn u8(&mut self) -> Check<u8> {
        let (&first, rest) = self.rest.split_first().ok_or("the bytes end too early")?;
        self.rest = rest;
        Ok(first)
    }

    pub fn varint(&mut self) -> Check<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                let minimal = byte != 0 || shift == 0;
                return if minimal { Ok(value) } else { Err("a number has more bytes than it needs".into()) };
            }
        }
        Err("a number is longer than 64 bits".into())
    }

    pub fn zigzag(&mut self) -> Check<i64> {
        let raw = self.varint()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    pub fn f64(&mut self) -> Check<f64> {
        let (bytes, rest) = self.rest.split_first_chunk::<8>().ok_or("the bytes end too early")?;
        self.rest = rest;
        Ok(f64::from_le_bytes(*bytes))
    }

    /// Read how many items follow. A count that the remaining bytes cannot hold is refused before anything is
    /// allocated for it.
    pub fn length(&mut self, least_item_bytes: usize) -> Check<usize> {
        let items = self.varint()?;
        let fits = usize::try_from(items).is_ok_and(|n| n <= self.rest.len() / least_item_bytes);
        if fits { Ok(items as usize) } else { Err(format!("\"{items}\" items do not fit into the bytes")) }
    }

    pub fn text(&mut self) -> Check<String> {
        let length = self.length(1)?;
        let (text, rest) = self.rest.split_at(length);
        self.rest = rest;
        String::from_utf8(text.to_vec()).map_err(|_| "a text is not valid UTF-8".into())
    }

    /// Refuse bytes after the end.
    pub fn finish(self) -> Check<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(format!("\"{}\" bytes follow the end", self.rest.len())) }
    }
}

/// Turn the reason for refused bytes into an error.
pub fn binary<S: Sketch>(read: Check<S>) -> Result<S> {
    read.map_err(|reason| Error::new(Kind::InvalidBinary, format!("{} cannot be decoded: {reason}", S::NAME)))
}

/// Parse the JSON of a text form and build the state from it; `example` goes into the hint.
pub fn text<S: Sketch, T: DeserializeOwned>(s: &str, example: &str, build: fn(T) -> Check<S>) -> Result<S> {
    serde_json::from_str(s).map_err(|e| e.to_string()).and_then(build).map_err(|reason| {
        let message = format!("invalid input for type {}: {reason}", S::NAME);
        Error::new(Kind::InvalidText, message).hint(format!("Expected one JSON object, for example {example}."))
    })
}

/// Print a text form. Every float in it is finite, so JSON can hold it.
pub fn json<T: Serialize>(form: &T) -> String {
    serde_json::to_string(form).unwrap_or_default()
}

/// Add two counts, or refuse when the result passes [`super::MAX_COUNT`].
pub fn add_counts(name: &str, a: u64, b: u64) -> Result<u64> {
    a.checked_add(b).filter(|n| *n <= super::MAX_COUNT).ok_or_else(|| {
        Error::new(Kind::LimitExceeded, format!("a {name} counts at most \"{}\" values", super::MAX_COUNT))
    })
}

/// Check a count read from outside.
pub fn check_count(what: &str, n: u64) -> Check<u64> {
    if n <= super::MAX_COUNT { Ok(n) } else { Err(format!("{what} \"{n}\" is more than 2^53")) }
}

/// Check that the extremes are finite and in order.
pub fn check_range(min: f64, max: f64) -> Check<()> {
    let good = min.is_finite() && max.is_finite() && min <= max;
    if good { Ok(()) } else { Err(format!("\"{min}\" to \"{max}\" is no range of values")) }
}
