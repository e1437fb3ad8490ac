//! flagd's document to definitions, bad flags reported one by one.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::inline::flat;
use super::write::{inferred_type, write};
use super::{OWN, below};
use crate::targeting::{
    Bucketing, Definition, Prerequisite, Problem, Split, ValueType, WEIGHT_TOTAL, check, unknown_variants,
};
use crate::{Error, Kind, Result};

/// A flag of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// What it says; none where that cannot be read. A definition whose rule has an error can still be evaluated,
    /// to PARSE_ERROR as with flagd; whether to take it is the caller's choice.
    pub definition: Option<Definition>,
    /// What is wrong with it. Paths point into the document.
    pub problems: Vec<Problem>,
}

/// What a document says.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its flags, the bad ones too.
    pub flags: Vec<Entry>,
    /// `$evaluators`, without those that cannot be evaluated.
    pub segments: Map<String, Value>,
    /// The flag set's metadata.
    pub metadata: Map<String, Value>,
    /// The keys of flags whose bucketing the document says; that of others is the reader's choice.
    pub bucketed: BTreeSet<String>,
    /// What is wrong outside the flags.
    pub problems: Vec<Problem>,
}

/// Reads a document; an error where it is none at all.
pub fn read(document: &Value) -> Result<Document> {
    let not_one = |what: &str| Error::new(Kind::InvalidParameter, format!("not a document of flagd: {what}"));
    let Some(top) = document.as_object() else { return Err(not_one("it is not an object")) };
    let flags: Vec<(String, Option<&str>, &Value)> = match top.get("flags") {
        Some(Value::Object(flags)) => {
            flags.iter().map(|(key, flag)| (below("/flags", key), Some(key.as_str()), flag)).collect()
        }
        Some(Value::Array(flags)) => flags
            .iter()
            .enumerate()
            .map(|(index, flag)| (format!("/flags/{index}"), flag.get("key").and_then(Value::as_str), flag))
            .collect(),
        Some(_) => return Err(not_one("\"flags\" is neither an object nor an array")),
        None => return Err(not_one("it has no \"flags\"")),
    };
    let mut problems = Vec::new();
    let segments = segments(top, &mut problems);
    let metadata = object(top, "", "metadata", &mut problems);
    let mut reader = Reader { top, segments: &segments, entries: Vec::new() };
    flags.into_iter().for_each(|(path, key, flag)| reader.flag(path, key, flag));
    let says = |key: &str| reader.kept(key).is_some_and(|kept| kept["bucketing"].is_string());
    let bucketed = reader.entries.iter().map(|(_, entry)| entry.key.clone()).filter(|key| says(key)).collect();
    let flags = reader.finish(&metadata);
    let can_run =
        |name: &str| !check(&json!({"$ref": name}), &segments).iter().any(|problem| problem.error.is_some());
    let is_good = |name: &str| is_name(name) && can_run(name);
    let good = segments.iter().filter(|(name, _)| is_good(name)).map(|(name, rule)| (name.clone(), rule.clone()));
    Ok(Document { flags, segments: good.collect(), metadata, bucketed, problems })
}

/// The segments; those that `write` kept, where they still give the document's.
fn segments(top: &Map<String, Value>, problems: &mut Vec<Problem>) -> Map<String, Value> {
    let stands = object(top, "", "$evaluators", problems);
    let kept = top.get(OWN).and_then(|own| own["$evaluators"].as_object()).cloned();
    let segments = kept.filter(|kept| flat(kept) == stands).unwrap_or(stands);
    for name in segments.keys() {
        if !is_name(name) {
            let message = "a segment's name has 1 to 255 bytes and no control characters";
            problems.push(fatal(below("/$evaluators", name), message));
        }
        for problem in check(&json!({"$ref": name}), &segments) {
            problems.extend((!problems.contains(&problem)).then_some(problem)); // one that others refer to shows up in each
        }
    }
    segments
}

/// Whether a segment can have the name where it is stored.
fn is_name(name: &str) -> bool {
    (1..=255).contains(&name.len()) && !name.contains(char::is_control)
}

/// An object that may be absent.
fn object(fields: &Map<String, Value>, path: &str, key: &str, problems: &mut Vec<Problem>) -> Map<String, Value> {
    match fields.get(key) {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(map)) => map.clone(),
        Some(_) => {
            problems.push(fatal(below(path, key), format!("\"{key}\" is not an object")));
            Map::new()
        }
    }
}

fn fatal(path: String, message: impl Into<String>) -> Problem {
    let hint = "Mend it in the document, and import that again.".into();
    Problem { path, message: message.into(), hint, error: Some(Kind::InvalidParameter) }
}

struct Reader<'d> {
    top: &'d Map<String, Value>,
    segments: &'d Map<String, Value>,
    /// The flags so far, each with its path.
    entries: Vec<(String, Entry)>,
}

impl Reader<'_> {
    fn flag(&mut self, path: String, key: Option<&str>, flag: &Value) {
        let mut problems = Vec::new();
        let key = key.unwrap_or_default();
        let definition = if key.is_empty() {
            problems.push(fatal(path.clone(), "a flag needs a key"));
            None
        } else if self.entries.iter().any(|(_, entry)| entry.key == key) {
            problems.push(fatal(path.clone(), format!("a second flag \"{key}\"")));
            None
        } else {
            self.definition(&path, key, flag, &mut problems)
        };
        self.entries.push((path, Entry { key: key.to_owned(), definition, problems }));
    }

    /// What `write` kept of a flag.
    fn kept(&self, key: &str) -> Option<&Value> {
        self.top.get(OWN).and_then(|own| own.get("flags")).and_then(|flags| flags.get(key))
    }

    /// What the document says of a flag, without what was kept of it but for type, schema and bucketing.
    fn definition(&self, path: &str, key: &str, flag: &Value, problems: &mut Vec<Problem>) -> Option<Definition> {
        let Some(fields) = flag.as_object() else {
            problems.push(fatal(path.to_owned(), "a flag is an object"));
            return None;
        };
        let enabled = state(path, fields, problems);
        let kept = self.kept(key);
        let named = kept.and_then(|kept| kept["type"].as_str()).and_then(ValueType::from_label);
        let variants = variants(path, fields, named, problems);
        let default_variant =
            default_variant(path, fields, variants.as_ref().map(|(variants, _)| variants), problems);
        let metadata = metadata(path, fields, problems);
        let (variants, value_type) = variants?;
        Some(Definition {
            key: key.to_owned(),
            value_type,
            enabled: enabled?,
            variants,
            default_variant: default_variant?,
            targeting: fields.get("targeting").filter(|rule| !rule.is_null()).cloned(),
            bucketing: kept.and_then(|k| k["bucketing"].as_str()).and_then(Bucketing::from_label).unwrap_or_default(),
            split: None,
            prerequisites: Vec::new(),
            metadata,
            value_schema: kept.and_then(|kept| kept.get("schema")).cloned(),
        })
    }

    /// Takes back what `write` kept, where it still gives the flags as they stand; then checks the rules.
    fn finish(mut self, metadata: &Map<String, Value>) -> Vec<Entry> {
        let plain = self.entries.iter().filter_map(|(_, entry)| entry.definition.as_ref());
        let restored: Vec<Definition> = plain
            .map(|plain| self.kept(&plain.key).map_or_else(|| plain.clone(), |kept| restore(plain, kept)))
            .collect();
        let again = write(&restored, self.segments, metadata).document;
        for whole in restored {
            let Some((path, entry)) = self.entries.iter_mut().find(|(_, entry)| entry.key == whole.key) else {
                continue;
            };
            let same = entry.definition.as_ref() == Some(&whole);
            if !same && again["flags"].get(&whole.key) == self.top["flags"].get(&whole.key) {
                entry.definition = Some(whole);
            } else if !same {
                let message =
                    "the flag was edited after its export: its rollout and prerequisites are not taken back";
                let hint = "To change these, change the flag where it was exported from.".into();
                entry.problems.push(Problem { path: path.clone(), message: message.to_owned(), hint, error: None });
            }
        }
        self.entries.iter_mut().for_each(|(path, entry)| entry.check_rule(path, self.segments));
        self.entries.into_iter().map(|(_, entry)| entry).collect()
    }
}

impl Entry {
    fn check_rule(&mut self, path: &str, segments: &Map<String, Value>) {
        let Some(rule) = self.definition.as_ref().and_then(Definition::rule) else { return };
        let path = below(path, "targeting");
        self.problems.extend(check(rule, segments).into_iter().map(|problem| match &problem.path {
            inside_segment if inside_segment.starts_with("/$evaluators/") => problem,
            inside => Problem { path: format!("{path}{inside}"), ..problem },
        }));
        // With flagd the flag answers with an error where the rule gives one of these, and else as it should.
        let variants = self.definition.as_ref().map(|definition| &definition.variants);
        let unknown = variants.map(|variants| unknown_variants(rule, segments, variants)).unwrap_or_default();
        self.problems.extend(unknown.into_iter().map(|problem| match problem.path.starts_with("/$evaluators/") {
            true => Problem { error: None, ..problem },
            false => Problem { path: format!("{path}{}", problem.path), error: None, ..problem },
        }));
    }
}

fn state(path: &str, fields: &Map<String, Value>, problems: &mut Vec<Problem>) -> Option<bool> {
    match fields.get("state").and_then(Value::as_str) {
        Some("ENABLED") => Some(true),
        Some("DISABLED") => Some(false),
        _ => {
            problems.push(fatal(below(path, "state"), "\"state\" is neither \"ENABLED\" nor \"DISABLED\""));
            None
        }
    }
}

fn variants(
    path: &str,
    fields: &Map<String, Value>,
    named: Option<ValueType>,
    problems: &mut Vec<Problem>,
) -> Option<(Map<String, Value>, ValueType)> {
    let path = below(path, "variants");
    let Some(variants) = fields.get("variants").and_then(Value::as_object).filter(|map| !map.is_empty()) else {
        problems.push(fatal(path, "a flag needs an object of variants"));
        return None;
    };
    let named = named.filter(|kind| variants.values().all(|value| kind.fits(value)));
    if let Some((name, value)) =
        variants.iter().find(|(_, value)| value.is_number() && !ValueType::Number.fits(value))
    {
        let message = format!("{value} is beyond 2^53 - 1, where clients round whole numbers: write it as text");
        problems.push(fatal(below(&path, name), message));
        return None;
    }
    let Some(kind) = named.or_else(|| inferred_type(variants)) else {
        problems.push(fatal(path, "the variants are not of one type: boolean, string, number or object"));
        return None;
    };
    Some((variants.clone(), kind))
}

fn default_variant(
    path: &str,
    fields: &Map<String, Value>,
    variants: Option<&Map<String, Value>>,
    problems: &mut Vec<Problem>,
) -> Option<Option<String>> {
    match fields.get("defaultVariant") {
        None | Some(Value::Null) => Some(None),
        // Python's core takes the empty name for none.
        Some(Value::String(name)) if name.is_empty() => Some(None),
        Some(Value::String(name)) if variants.is_none_or(|variants| variants.contains_key(name)) => {
            Some(Some(name.clone()))
        }
        Some(other) => {
            let message = format!("the default variant {other} is not one of the variants");
            problems.push(fatal(below(path, "defaultVariant"), message));
            None
        }
    }
}

fn metadata(path: &str, fields: &Map<String, Value>, problems: &mut Vec<Problem>) -> Map<String, Value> {
    let metadata = object(fields, path, "metadata", problems);
    let odd = metadata.iter().filter(|(_, value)| value.is_object() || value.is_array() || value.is_null());
    problems.extend(odd.map(|(key, value)| {
        let path = below(&below(path, "metadata"), key);
        fatal(path, format!("metadata is text, number or boolean, not {value}"))
    }));
    metadata
}

/// The definition with what was kept for it.
fn restore(plain: &Definition, kept: &Value) -> Definition {
    let mut whole = plain.clone();
    if let Some(targeting) = kept.get("targeting") {
        whole.targeting = Some(targeting.clone()).filter(|rule| !rule.is_null());
    }
    if let Some(metadata) = kept["metadata"].as_object() {
        whole.metadata = metadata.clone();
    }
    let text = |value: &Value, key: &str| value[key].as_str().map(str::to_owned);
    let split = &kept["split"];
    let weight = split["weight"].as_u64().filter(|weight| *weight <= u64::from(WEIGHT_TOTAL));
    if let (Some(treatment), Some(control), Some(weight)) = (text(split, "treatment"), text(split, "control"), weight)
    {
        whole.split = Some(Split { treatment, control, weight: weight as u32 });
    }
    let prerequisites = kept["prerequisites"].as_array().into_iter().flatten();
    let prerequisite = |value| Some(Prerequisite { flag: text(value, "flag")?, variant: text(value, "variant")? });
    whole.prerequisites = prerequisites.filter_map(prerequisite).collect();
    whole
}
