//! How a field is read that may be missing.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A finite number, or nothing: NaN and infinities come as text.
pub fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    Ok(Value::deserialize(from)?.as_f64().filter(|x| x.is_finite()))
}

/// A text; what is null or left out is empty.
pub fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A list; what is null is empty.
pub fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
