//! JSON as text: what rows keep of their records is written once and never a tree again.

use serde::Serialize;
use serde_json::Value;

/// A JSON value as its text.
#[derive(Debug, Clone)]
pub struct Json(String);

impl Json {
    /// A text that is JSON, as the caller knows.
    pub(super) fn of_text(text: String) -> Self {
        Self(text)
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its text.
    pub fn into_text(self) -> String {
        self.0
    }

    /// Its value; null where the text is none.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self(value.to_string())
    }
}

/// Equal are values, whatever the order of keys.
impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || self.value() == other.value()
    }
}

/// Writes an object member by member; a key must come once.
pub(super) struct Members(Vec<u8>);

impl Members {
    /// An object that others write into as well: what was written for another place is copied.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// A member.
    pub(super) fn put(&mut self, key: &str, value: &(impl Serialize + ?Sized)) {
        self.begin(key);
        self.write(value);
    }

    /// A member whose value is text already.
    pub(super) fn put_text(&mut self, key: &str, value: &str) {
        self.begin(key);
        self.0.extend_from_slice(value.as_bytes());
    }

    fn begin(&mut self, key: &str) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        self.write(key);
        self.0.push(b':');
    }

    fn write(&mut self, value: &(impl Serialize + ?Sized)) {
        // Into memory, of values that JSON has: neither can fail.
        let written = serde_json::to_writer(&mut self.0, value);
        debug_assert!(written.is_ok());
    }

    /// The object; none without a member.
    pub(super) fn finish(mut self) -> Option<Json> {
        if self.0.is_empty() {
            return None;
        }
        self.0.push(b'}');
        String::from_utf8(self.0).ok().map(Json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_make_an_object() {
        let mut members = Members::with_capacity(0);
        members.put("a\"b", &json!([1, "x"]));
        members.put_text("c", "{\"d\":null}");
        let json = members.finish().unwrap();
        assert_eq!(json.as_str(), r#"{"a\"b":[1,"x"],"c":{"d":null}}"#);
        assert_eq!(json, Json::from(json!({"c": {"d": null}, "a\"b": [1, "x"]})));
        assert_eq!(Members::with_capacity(9).finish(), None);
    }
}
