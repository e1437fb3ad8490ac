//! Definitions in the JSON form that the extension stores them in and hands them around.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Bucketing, Definition, Flag, Prerequisite, Split, ValueType};
use crate::{Error, Kind, Result};

/// A definition with what else its evaluation needs: the segments it may name, the metadata of its flag set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stored {
    key: String,
    value_type: String,
    enabled: bool,
    variants: Map<String, Value>,
    default_variant: Option<String>,
    targeting: Option<Value>,
    bucketing: String,
    split: Option<StoredSplit>,
    prerequisites: Vec<StoredPrerequisite>,
    metadata: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_schema: Option<Value>,
    #[serde(skip_serializing)]
    segments: Map<String, Value>,
    #[serde(skip_serializing)]
    set_metadata: Map<String, Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct StoredSplit {
    treatment: String,
    control: String,
    percent: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct StoredPrerequisite {
    flag: String,
    variant: String,
}

impl Stored {
    /// Reads the stored form.
    pub fn parse(json: Value) -> Result<Self> {
        serde_json::from_value(json)
            .map_err(|problem| Error::new(Kind::Corrupted, format!("a stored flag cannot be read: {problem}")))
    }

    /// Reads the stored form from its text.
    pub fn read(text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map_err(|problem| Error::new(Kind::Corrupted, format!("a stored flag cannot be read: {problem}")))
    }

    /// The stored form of a definition.
    pub fn of(definition: &Definition) -> Self {
        Self {
            key: definition.key.clone(),
            value_type: definition.value_type.label().to_owned(),
            enabled: definition.enabled,
            variants: definition.variants.clone(),
            default_variant: definition.default_variant.clone(),
            targeting: definition.targeting.clone(),
            bucketing: definition.bucketing.label().to_owned(),
            split: None, // a rollout is not part of what is imported
            prerequisites: definition
                .prerequisites
                .iter()
                .map(|p| StoredPrerequisite { flag: p.flag.clone(), variant: p.variant.clone() })
                .collect(),
            metadata: definition.metadata.clone(),
            value_schema: definition.value_schema.clone(),
            ..Self::default()
        }
    }

    /// The definition.
    pub fn definition(&self) -> Result<Definition> {
        self.clone().into_definition()
    }

    /// The flag, compiled.
    pub fn into_flag(mut self) -> Result<Flag> {
        let (segments, set_metadata) = (std::mem::take(&mut self.segments), std::mem::take(&mut self.set_metadata));
        Ok(Flag::new(self.into_definition()?, &segments, &set_metadata))
    }

    fn into_definition(self) -> Result<Definition> {
        let damaged = |what: &str| Error::new(Kind::Corrupted, format!("a stored flag has no {what}"));
        Ok(Definition {
            value_type: ValueType::from_label(&self.value_type).ok_or_else(|| damaged("type"))?,
            bucketing: Bucketing::from_label(&self.bucketing).ok_or_else(|| damaged("bucketing"))?,
            key: self.key,
            enabled: self.enabled,
            variants: self.variants,
            default_variant: self.default_variant,
            targeting: self.targeting,
            split: self.split.map(|s| Split::new(s.treatment, s.control, s.percent)),
            prerequisites: self
                .prerequisites
                .into_iter()
                .map(|p| Prerequisite { flag: p.flag, variant: p.variant })
                .collect(),
            metadata: self.metadata,
            value_schema: self.value_schema,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_stored_comes_back() {
        let json = json!({
            "key": "f", "value_type": "string", "enabled": true, "variants": {"a": "A", "b": "B"}, "default_variant": "a",
            "targeting": {"if": [true, "b"]}, "bucketing": "v3", "split": null,
            "prerequisites": [{"flag": "g", "variant": "on"}], "metadata": {"owner": "shop"},
            "value_schema": {"type": "string"}
        });
        let stored = Stored::parse(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(Stored::of(&stored.definition().unwrap())).unwrap(), json);
    }

    #[test]
    fn damage_is_an_error() {
        assert_eq!(Stored::parse(json!([1])).unwrap_err().kind, Kind::Corrupted);
        assert_eq!(Stored::parse(json!({"key": "f"})).unwrap().definition().unwrap_err().kind, Kind::Corrupted);
    }
}
