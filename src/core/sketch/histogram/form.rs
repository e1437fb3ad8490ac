//! The binary and the text form of a histogram.
//!
//! What is not here: what the numbers mean (`mod.rs`, `bin.rs`).
//!
//! Binary: scale, invalid, number of bins; then, unless there are none, sum, min, max and the bins: the first key, the
//! steps between keys, each followed by its count. Measured: 292 bins of 10,000 values are 613 bytes.
//! Text: bins of positive and negative values apart, each bin as [OTel index, count].

use serde::{Deserialize, Serialize};

use super::bin::{self, ZERO_KEY};
use super::{Histogram, NAME};
use crate::Result;
use crate::sketch::Sketch;
use crate::sketch::codec::{self, Check, Reader, Writer};

const EXAMPLE: &str =
    r#"{"scale":5,"zero":0,"positive":[[31,2]],"negative":[],"min":2.0,"max":2.0,"sum":4.0,"invalid":0}"#;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    scale: i32,
    zero: u64,
    positive: Vec<(i32, u64)>,
    negative: Vec<(i32, u64)>,
    min: Option<f64>,
    max: Option<f64>,
    sum: Option<f64>,
    invalid: u64,
}

impl Histogram {
    fn form(&self) -> Form {
        let side = |wanted: bool| {
            let index = move |(key, n): &(i32, u64)| {
                bin::index_of(*key).filter(|(_, negative)| *negative == wanted).map(|(index, _)| (index, *n))
            };
            self.bins.iter().filter_map(index)
        };
        Form {
            scale: self.scale,
            zero: self.zero(),
            positive: side(false).collect(),
            negative: side(true).rev().collect(),
            min: self.min(),
            max: self.max(),
            sum: self.sum(),
            invalid: self.invalid,
        }
    }

    fn from_form(form: Form) -> Check<Self> {
        let empty = Self::new(form.scale).map_err(|e| e.message)?;
        let mut bins = Vec::with_capacity(form.positive.len() + form.negative.len() + 1);
        for (index, n) in form.negative.iter().rev() {
            bins.push((key_from(2 * i64::from(ZERO_KEY) - i64::from(*index), form.scale, true)?, *n));
        }
        bins.extend((form.zero > 0).then_some((ZERO_KEY, form.zero)));
        for (index, n) in &form.positive {
            bins.push((key_from((*index).into(), form.scale, false)?, *n));
        }
        let state = Self { bins, invalid: form.invalid, ..empty };
        match (form.min, form.max, form.sum) {
            (Some(min), Some(max), Some(sum)) if !state.bins.is_empty() => Self { min, max, sum, ..state }.checked(),
            (None, None, None) if state.bins.is_empty() => state.checked(),
            _ => Err("min, max and sum must be numbers, or all null where there is no bin".into()),
        }
    }

    fn read(bytes: &[u8]) -> Check<Self> {
        let mut reader = Reader::new(bytes)?;
        let scale = i32::try_from(reader.zigzag()?).map_err(|e| e.to_string())?;
        let mut state = Self::new(scale).map_err(|e| e.message)?;
        state.invalid = reader.varint()?;
        // The shortest bin is a step and a count of one byte each.
        let bins = reader.length(2)?;
        if bins > 0 {
            for field in [&mut state.sum, &mut state.min, &mut state.max] {
                *field = reader.f64()?;
            }
            state.bins.reserve_exact(bins);
            let mut key = 0_i64;
            for _ in 0..bins {
                key = key.checked_add(reader.zigzag()?).ok_or("a key is out of range")?;
                state.bins.push((existing(key, scale)?, reader.varint()?));
            }
        }
        reader.finish()?;
        state.checked()
    }

    /// Check a content that came from outside; the keys exist already.
    fn checked(mut self) -> Check<Self> {
        codec::check_count("invalid", self.invalid)?;
        for (key, n) in &self.bins {
            if *n == 0 {
                return Err(format!("the count of bin \"{key}\" is 0"));
            }
            self.count = codec::check_count("count", self.count.saturating_add(*n))?;
        }
        if !self.bins.is_sorted_by(|a, b| a.0 < b.0) {
            return Err("the bins are not in the order of their index".into());
        }
        let (Some(first), Some(last)) = (self.bins.first(), self.bins.last()) else { return Ok(self) };
        codec::check_range(self.min, self.max)?;
        if !self.sum.is_finite() {
            return Err(format!("sum \"{}\" is not finite", self.sum));
        }
        let ends = (bin::key(self.min, self.scale), bin::key(self.max, self.scale));
        if ends == (first.0, last.0) {
            return Ok(self);
        }
        Err(format!("min \"{}\" and max \"{}\" are not in the outermost bins", self.min, self.max))
    }
}

/// Check that the key is one of a bin.
fn existing(key: i64, scale: i32) -> Check<i32> {
    let known = i32::try_from(key).ok().filter(|key| bin::exists(*key, scale));
    known.ok_or_else(|| format!("no value falls into bin \"{key}\" at scale \"{scale}\""))
}

/// Check that the key is one of a bin on this side of zero.
fn key_from(key: i64, scale: i32, negative: bool) -> Check<i32> {
    let key = existing(key, scale)?;
    match bin::index_of(key) {
        Some((_, side)) if side == negative => Ok(key),
        _ => Err(format!("bin \"{key}\" is on the other side of zero")),
    }
}

impl Sketch for Histogram {
    const NAME: &'static str = NAME;

    fn merge(&mut self, other: &Self) -> Result<()> {
        self.absorb(other)
    }

    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.zigzag(self.scale.into());
        writer.varint(self.invalid);
        writer.varint(self.bins.len() as u64);
        if !self.bins.is_empty() {
            for field in [self.sum, self.min, self.max] {
                writer.f64(field);
            }
        }
        let mut before = 0;
        for (key, n) in &self.bins {
            writer.zigzag(i64::from(*key) - before);
            writer.varint(*n);
            before = (*key).into();
        }
        writer.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        codec::binary(Self::read(bytes))
    }

    fn to_text(&self) -> String {
        codec::json(&self.form())
    }

    fn from_text(s: &str) -> Result<Self> {
        codec::text(s, EXAMPLE, Self::from_form)
    }
}
