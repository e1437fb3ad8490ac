//! The histogram as OTLP's exponential histogram data point (opentelemetry-proto, metrics.proto), in its JSON form.
//!
//! What is here: the fields that hold the distribution. What is not: times and attributes, which are not a
//! histogram's. Our bins are OTLP's bins of the same scale, so both directions are exact but for three things that one
//! side does not have: `invalid` is not written; a `zeroThreshold` is not kept, its values count as zeros; and where
//! OTLP leaves out sum, min or max (or writes NaN or an infinity), the middles and bounds of bins stand in for them.
//! Buckets of subnormal numbers count as zeros, as these do everywhere here.
//!
//! Names are read in lowerCamelCase, OTLP's, and in snake_case, in which `attributes.otlp` of a stored point has them.

use serde_json::{Map, Value, json};

use super::{Histogram, MAX_SCALE, ZERO_KEY, bin};
use crate::sketch::codec;
use crate::{Error, Kind, Result};

/// The finest scale in use by OTLP's exporters; ours ends earlier, so finer ones are coarsened, exactly.
const FINEST: i64 = 20;
const HINT: &str = r#"Expected an OTLP exponential histogram data point, for example {"scale": 5, "zeroCount": "0", "positive": {"offset": 31, "bucketCounts": ["2"]}}."#;

impl Histogram {
    /// The data point; counts are text, as ProtoJSON has 64-bit integers.
    pub fn to_otlp(&self) -> Value {
        let mut point = Map::new();
        point.insert("count".into(), text(self.count));
        point.insert("scale".into(), json!(self.scale));
        point.insert("zeroCount".into(), text(self.zero()));
        for (side, negative) in [("positive", false), ("negative", true)] {
            if let Some(buckets) = self.side(negative) {
                point.insert(side.into(), buckets);
            }
        }
        for (name, value) in [("sum", self.sum()), ("min", self.min()), ("max", self.max())] {
            if let Some(value) = value {
                point.insert(name.into(), json!(value));
            }
        }
        Value::Object(point)
    }

    fn side(&self, negative: bool) -> Option<Value> {
        let bins = self.bins.iter().filter_map(|(key, n)| bin::index_of(*key).map(|(index, side)| (index, side, *n)));
        let mut bins: Vec<(i32, u64)> = bins.filter(|b| b.1 == negative).map(|(index, _, n)| (index, n)).collect();
        bins.sort_unstable_by_key(|b| b.0);
        let (offset, last) = (bins.first()?.0, bins.last()?.0);
        let mut counts = vec![0; (last - offset) as usize + 1];
        bins.into_iter().for_each(|(index, n)| counts[(index - offset) as usize] = n);
        Some(json!({"offset": offset, "bucketCounts": counts.into_iter().map(text).collect::<Vec<_>>()}))
    }

    /// Read a data point. Fields that do not belong to the distribution are ignored.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when it is no exponential histogram, its count is not the sum of its buckets, or its
    /// extremes lie outside them.
    pub fn from_otlp(point: &Value) -> Result<Self> {
        read(point).map_err(|reason| {
            Error::new(Kind::InvalidParameter, format!("not an exponential histogram: {reason}")).hint(HINT)
        })
    }
}

fn text(n: u64) -> Value {
    Value::String(n.to_string())
}

type Read<T> = std::result::Result<T, String>;

fn read(point: &Value) -> Read<Histogram> {
    let fields = point.as_object().ok_or("it is no JSON object")?;
    let scale = signed(fields, "scale")?.ok_or("\"scale\" is missing")?;
    if !(i64::from(super::MIN_SCALE)..=FINEST).contains(&scale) {
        return Err(format!("scale \"{scale}\" is not between {} and {FINEST}", super::MIN_SCALE));
    }
    let mut state = Histogram::new(scale.min(MAX_SCALE.into()) as i32).map_err(|e| e.message)?;
    let zeros = unsigned(field(fields, "zeroCount"), "zeroCount")?;
    let mut bins = Vec::from_iter((zeros > 0).then_some((ZERO_KEY, zeros)));
    for (side, negative) in [("positive", false), ("negative", true)] {
        buckets(fields.get(side), side, negative, scale, &mut bins)?;
    }
    for (_, n) in &bins {
        state.count = codec::check_count("count", state.count.saturating_add(*n))?;
    }
    if fields.contains_key("count") && unsigned(fields.get("count"), "count")? != state.count {
        return Err(format!("count {} is not the sum of the buckets, \"{}\"", fields["count"], state.count));
    }
    // Coarsening can put two buckets into one bin; add_bins joins them.
    state.add_bins(bins.into_iter());
    summary(state, fields)
}

/// The bins of one side.
fn buckets(side: Option<&Value>, name: &str, negative: bool, scale: i64, bins: &mut Vec<(i32, u64)>) -> Read<()> {
    let Some(side) = side.and_then(Value::as_object) else { return Ok(()) };
    let offset = signed(side, "offset")?.unwrap_or(0);
    let counts = match field(side, "bucketCounts") {
        None | Some(Value::Null) => return Ok(()),
        Some(counts) => counts.as_array().ok_or(format!("\"{name}.bucketCounts\" is no array"))?,
    };
    for (i, n) in counts.iter().enumerate() {
        let n = unsigned(Some(n), "bucketCounts")?;
        if n == 0 {
            continue;
        }
        let finest = offset.checked_add(i as i64).ok_or(format!("offset \"{offset}\" is out of range"))?;
        let index = finest >> (scale - i64::from(MAX_SCALE)).max(0);
        let key = key(index, negative, scale.min(MAX_SCALE.into()) as i32);
        bins.push((key.ok_or(format!("no double falls into {name} bucket \"{finest}\" of scale \"{scale}\""))?, n));
    }
    Ok(())
}

/// The key of a bucket that some double falls into.
fn key(index: i64, negative: bool, scale: i32) -> Option<i32> {
    if bin::is_subnormal(index, scale) {
        return Some(ZERO_KEY);
    }
    let key = if negative { (2 * i64::from(ZERO_KEY)).checked_sub(index)? } else { index };
    let key = i32::try_from(key).ok().filter(|key| bin::exists(*key, scale))?;
    bin::index_of(key).filter(|(_, side)| *side == negative).map(|_| key)
}

/// Sum and extremes: those given, brought within the outermost bins; otherwise what the bins tell.
fn summary(mut state: Histogram, fields: &Map<String, Value>) -> Read<Histogram> {
    let [sum, min, max] = ["sum", "min", "max"].map(|name| number(fields, name));
    let (sum, min, max) = (sum?, min?, max?);
    let (Some(first), Some(last)) = (state.bins.first(), state.bins.last()) else { return Ok(state) };
    let threshold = number(fields, "zeroThreshold")?.unwrap_or(0.0);
    state.min = within(min, "min", first.0, state.scale, threshold)?.0;
    state.max = within(max, "max", last.0, state.scale, threshold)?.1;
    if state.min > state.max {
        return Err(format!("\"min\" is above \"max\", got \"{}\" and \"{}\"", state.min, state.max));
    }
    let middles = || state.bins.iter().map(|(key, n)| state.middle(*key) * *n as f64).sum::<f64>();
    state.sum = super::saturate(sum.unwrap_or_else(middles));
    Ok(state)
}

/// The least and the greatest value that an outermost bin may hold when `given` is the extreme in it.
///
/// Producers find bins by a logarithm, which may err by one bin at an edge: then the edge is taken.
fn within(given: Option<f64>, name: &str, key: i32, scale: i32, threshold: f64) -> Read<(f64, f64)> {
    let (low, high) = bin::range(key, scale);
    let (low, high) = match bin::index_of(key) {
        None => (low, high),
        // Below the least normal number begin the zeros.
        Some((_, false)) => (low.next_up().max(f64::MIN_POSITIVE), high),
        Some((_, true)) => (low, high.next_down().min(-f64::MIN_POSITIVE)),
    };
    let Some(x) = given else { return Ok((low, high)) };
    if bin::key(x, scale) == key {
        return Ok((x, x));
    }
    let near = if key == ZERO_KEY { x.abs() <= threshold } else { (bin::key(x, scale) - key).abs() <= 1 };
    let x = x.clamp(low, high);
    if near { Ok((x, x)) } else { Err(format!("\"{name}\" is not in the outermost bucket, which ends at \"{x}\"")) }
}

/// A field by OTLP's name, or by the same in snake_case.
fn field<'v>(fields: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    fields.get(name).or_else(|| {
        let mut snake = String::with_capacity(name.len() + 2);
        for letter in name.chars() {
            if letter.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(letter.to_ascii_lowercase());
        }
        fields.get(&snake)
    })
}

/// An integer: a number or digits in text, which ProtoJSON's readers take for one of any size.
fn signed(fields: &Map<String, Value>, name: &str) -> Read<Option<i64>> {
    let n = match fields.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(digits)) => digits.parse().ok(),
        Some(value) => value.as_i64(),
    };
    n.map(Some).ok_or_else(|| format!("\"{name}\" is no integer, got {}", cut(&fields[name])))
}

/// A number, also as text; none of NaN and the infinities, which ProtoJSON writes as text: they say nothing of the values
/// that are counted here.
fn number(fields: &Map<String, Value>, name: &str) -> Read<Option<f64>> {
    let Some(value) = field(fields, name) else { return Ok(None) };
    let x = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.parse().ok(),
        value => value.as_f64(),
    };
    let x: f64 = x.ok_or_else(|| format!("\"{name}\" is no number, got {}", cut(value)))?;
    Ok(Some(x).filter(|x| x.is_finite()))
}

/// A count: a number, or digits in text as ProtoJSON writes 64-bit integers; 0 where it is left out.
fn unsigned(value: Option<&Value>, name: &str) -> Read<u64> {
    let n = match value {
        None | Some(Value::Null) => Some(0),
        Some(Value::String(digits)) => digits.parse().ok(),
        Some(value) => value.as_u64(),
    };
    let n = n.ok_or_else(|| format!("\"{name}\" is no count, got {}", cut(value.unwrap_or(&Value::Null))))?;
    codec::check_count(name, n)
}

/// A value as a message quotes it: it may be a stranger's, of any length.
fn cut(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
