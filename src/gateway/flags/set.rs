//! The flags of an environment, compiled.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use flagscope_core::targeting::{Flag, Stored, flagd};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// A set as `flagscope.flag_set` gives it; JSON as text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    /// Key of the environment.
    pub key: String,
    /// The greatest version of its flags.
    pub version: i64,
    /// For `flag_changes`.
    pub cursor: i64,
    /// What goes with every answer.
    pub metadata: String,
    /// Rules that others name.
    pub segments: String,
    /// The definitions.
    pub flags: String,
}

/// A flag of a set.
#[derive(Debug)]
pub struct Entry {
    /// Compiled; none where its definition cannot be read, which is an answer too: PARSE_ERROR.
    pub flag: Option<Arc<Flag>>,
    /// Of its last change.
    pub version: i64,
}

/// The flags of an environment at one moment.
#[derive(Debug)]
pub struct Set {
    /// What it was made of.
    pub loaded: Loaded,
    /// When it was loaded.
    pub at: SystemTime,
    /// Stands for all that it says: version and digest. Versions are drawn before they are committed, so of two sets with the
    /// same greatest version one may have a change that the other lacks.
    pub tag: String,
    /// Keys in the order of the database, which is that of bulk answers.
    pub keys: Vec<String>,
    /// Whether answers may change although the set does not.
    pub reads_time: bool,
    flags: HashMap<String, Entry>,
    metadata: Map<String, Value>,
    /// Written when somebody asks for it, once.
    document: OnceLock<String>,
}

impl Entry {
    /// Whether a rollout serves part of the subjects another variant.
    pub fn is_split(&self) -> bool {
        self.flag.as_ref().is_some_and(|flag| flag.definition().split.is_some())
    }
}

impl Set {
    /// Compiles a set; flags that are as they were in `previous` are taken from it.
    pub fn new(loaded: Loaded, at: SystemTime, previous: Option<&Self>) -> Result<Self, serde_json::Error> {
        let metadata: Map<String, Value> = serde_json::from_str(&loaded.metadata)?;
        let definitions: Vec<Value> = serde_json::from_str(&loaded.flags)?;
        let previous = previous.filter(|previous| previous.metadata == metadata && previous.loaded.key == loaded.key);
        let mut set = Self {
            tag: tag(&loaded),
            keys: Vec::with_capacity(definitions.len()),
            reads_time: false,
            flags: HashMap::with_capacity(definitions.len()),
            loaded,
            at,
            metadata,
            document: OnceLock::new(),
        };
        for definition in definitions {
            let key = definition.get("key").and_then(Value::as_str).unwrap_or_default().to_owned();
            let entry = entry(&key, definition, previous);
            set.reads_time |= entry.flag.as_ref().is_some_and(|flag| flag.reads_time());
            set.keys.push(key.clone());
            set.flags.insert(key, entry);
        }
        Ok(set)
    }

    /// A flag, if there is one of this key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.flags.get(key)
    }

    /// A compiled flag, for the evaluation of others.
    pub fn flag(&self, key: &str) -> Option<Arc<Flag>> {
        self.flags.get(key).and_then(|entry| entry.flag.clone())
    }

    /// The flags as flagd's document, as `export_flagd` gives it.
    pub fn document(&self) -> &str {
        self.document.get_or_init(|| {
            // What cannot be read is left out, as what flagd's form cannot say.
            let definitions: Vec<Value> = serde_json::from_str(&self.loaded.flags).unwrap_or_default();
            let read = |definition| Stored::parse(definition).and_then(|stored| stored.definition()).ok();
            let definitions: Vec<_> = definitions.into_iter().filter_map(read).collect();
            let segments = serde_json::from_str(&self.loaded.segments).unwrap_or_default();
            flagd::write(&definitions, &segments, &self.metadata).document.to_string()
        })
    }

    /// The version in a tag.
    pub fn version_of(tag: &str) -> Option<i64> {
        tag.split('-').next()?.parse().ok()
    }
}

fn entry(key: &str, definition: Value, previous: Option<&Set>) -> Entry {
    let version = definition.get("version").and_then(Value::as_i64).unwrap_or_default();
    let known = previous.and_then(|previous| previous.entry(key)).filter(|known| known.version == version);
    let flag = match known {
        Some(known) => known.flag.clone(),
        None => Stored::parse(definition).and_then(Stored::into_flag).ok().map(Arc::new),
    };
    Entry { flag, version }
}

fn tag(loaded: &Loaded) -> String {
    let mut digest = Sha256::new();
    for part in [&loaded.key, &loaded.metadata, &loaded.flags] {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    let digest = digest.finalize();
    let short: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{short}", loaded.version)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use serde_json::json;

    /// A set of definitions, with what is left out of them.
    pub fn set(version: i64, definitions: Value) -> Set {
        let loaded = Loaded {
            key: "production".to_owned(),
            version,
            cursor: 0,
            metadata: "{}".to_owned(),
            segments: "{}".to_owned(),
            flags: definitions.to_string(),
        };
        Set::new(loaded, SystemTime::UNIX_EPOCH, None).unwrap()
    }

    fn flag(version: i64, on: bool) -> Value {
        json!({"key": "a", "value_type": "boolean", "enabled": on, "variants": {"on": true}, "default_variant": "on",
            "bucketing": "v2", "version": version, "tags": ["client"]})
    }

    #[test]
    fn what_did_not_change_is_kept() {
        let old = set(5, json!([flag(5, true)]));
        let again = Set::new(old.loaded.clone(), old.at, Some(&old)).unwrap();
        assert!(Arc::ptr_eq(&again.flag("a").unwrap(), &old.flag("a").unwrap()));
        assert_eq!(again.tag, old.tag);
        let new = set(6, json!([flag(6, false)]));
        assert_ne!(new.tag, old.tag);
        assert_eq!((Set::version_of(&new.tag), Set::version_of("x")), (Some(6), None));
        // The same greatest version, another flag: a change that was committed later than a newer one.
        assert_ne!(set(6, json!([flag(4, false)])).tag, new.tag);
    }

    #[test]
    fn a_flag_that_cannot_be_read_costs_itself() {
        let set = set(1, json!([{"key": "broken", "value_type": "colour", "bucketing": "v2"}, flag(1, true)]));
        assert!(set.entry("broken").unwrap().flag.is_none());
        assert!(set.flag("a").is_some());
    }
}
