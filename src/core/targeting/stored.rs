//! Definitions in the JSON form that the extension stores them in and hands them around.

use serde::de::DeserializeOwned;
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

/// What the evaluation of a flag reads, part by part; the texts of more than a word are JSON.
#[derive(Debug, Clone, Copy, Default)]
pub struct Parts<'a> {
    /// The flag's key.
    pub key: &'a str,
    /// The label of its type.
    pub value_type: &'a str,
    /// Whether it is on.
    pub enabled: bool,
    /// Its variants: an object.
    pub variants: &'a str,
    /// The variant served when nothing else decides.
    pub default_variant: Option<&'a str>,
    /// Its rule.
    pub targeting: Option<&'a str>,
    /// The label of its bucketing.
    pub bucketing: &'a str,
    /// Treatment, control and percent of a live rollout.
    pub split: Option<(&'a str, &'a str, f64)>,
    /// The flags that it needs: an array.
    pub prerequisites: &'a str,
    /// Its metadata: an object.
    pub metadata: &'a str,
    /// Those of its flag set: an object.
    pub set_metadata: &'a str,
    /// The segments that its rule may name: an object.
    pub segments: &'a str,
}

impl Parts<'_> {
    /// The bytes of all its texts.
    pub fn len(&self) -> usize {
        let texts = [self.key, self.variants, self.prerequisites, self.metadata, self.set_metadata, self.segments];
        let whole: usize = texts.iter().map(|text| text.len()).sum();
        whole + self.targeting.map_or(0, str::len)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A part from its JSON. Most are empty.
fn json<T: Default + DeserializeOwned>(text: &str) -> Result<T> {
    if matches!(text, "" | "{}" | "[]") {
        return Ok(T::default());
    }
    serde_json::from_str(text)
        .map_err(|problem| Error::new(Kind::Corrupted, format!("a stored flag cannot be read: {problem}")))
}

impl Stored {
    /// Reads the stored form.
    pub fn parse(json: Value) -> Result<Self> {
        serde_json::from_value(json)
            .map_err(|problem| Error::new(Kind::Corrupted, format!("a stored flag cannot be read: {problem}")))
    }

    /// Reads the stored form from its parts.
    pub fn read(parts: &Parts) -> Result<Self> {
        Ok(Self {
            key: parts.key.to_owned(),
            value_type: parts.value_type.to_owned(),
            enabled: parts.enabled,
            variants: json(parts.variants)?,
            default_variant: parts.default_variant.map(str::to_owned),
            targeting: parts.targeting.map(json).transpose()?,
            bucketing: parts.bucketing.to_owned(),
            split: parts.split.map(|(treatment, control, percent)| StoredSplit {
                treatment: treatment.to_owned(),
                control: control.to_owned(),
                percent,
            }),
            prerequisites: json(parts.prerequisites)?,
            metadata: json(parts.metadata)?,
            value_schema: None, // no evaluation reads it
            segments: json(parts.segments)?,
            set_metadata: json(parts.set_metadata)?,
        })
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
    fn parts_are_the_whole() {
        let parts = Parts {
            key: "f",
            value_type: "string",
            enabled: true,
            variants: r#"{"a": "A", "b": "B"}"#,
            default_variant: Some("a"),
            targeting: Some(r#"{"if": [{"$ref": "s"}, "b"]}"#),
            bucketing: "v3",
            split: Some(("b", "a", 12.5)),
            prerequisites: r#"[{"flag": "g", "variant": "on"}]"#,
            metadata: r#"{"owner": "shop"}"#,
            set_metadata: "{}",
            segments: r#"{"s": true}"#,
        };
        let whole = Stored::parse(json!({
            "key": "f", "value_type": "string", "enabled": true, "variants": {"a": "A", "b": "B"}, "default_variant": "a",
            "targeting": {"if": [{"$ref": "s"}, "b"]}, "bucketing": "v3",
            "split": {"treatment": "b", "control": "a", "percent": 12.5},
            "prerequisites": [{"flag": "g", "variant": "on"}], "metadata": {"owner": "shop"}, "segments": {"s": true}
        }));
        assert_eq!(format!("{:?}", Stored::read(&parts).unwrap()), format!("{:?}", whole.unwrap()));
        assert_eq!(Stored::read(&Parts { variants: "[", ..parts }).unwrap_err().kind, Kind::Corrupted);
        assert!(Stored::read(&Parts { variants: "[1]", ..parts }).is_err());
    }

    #[test]
    fn damage_is_an_error() {
        assert_eq!(Stored::parse(json!([1])).unwrap_err().kind, Kind::Corrupted);
        assert_eq!(Stored::parse(json!({"key": "f"})).unwrap().definition().unwrap_err().kind, Kind::Corrupted);
    }
}
