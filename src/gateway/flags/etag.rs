//! What a client has already: the tag of a bulk answer covers the set, the flags that the client may see, and the context.
//! (A tag of the set alone gave users the values of the user before: open-feature/flagd#2012.)

use sha2::{Digest, Sha256};

use super::set::Set;

/// The tag of an answer: of what it is made from, or, where a rule reads the time, of the answer itself.
pub fn of(set: &Set, body: &[u8], answer: Option<&[u8]>) -> String {
    let mut digest = Sha256::new();
    for part in [set.tag.as_bytes(), answer.unwrap_or(body)] {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    let hex: String = digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

/// Whether the header If-None-Match names the tag: a list, of tags that may be weak, or `*`.
pub fn matches(header: &str, tag: &str) -> bool {
    header.split(',').map(str::trim).any(|given| given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag)
}

#[cfg(test)]
mod tests {
    use super::super::set::tests::set;
    use super::*;
    use serde_json::json;

    #[test]
    fn a_tag_is_of_set_and_context() {
        let (old, new) = (set(1, json!([])), set(2, json!([])));
        let tag = of(&old, b"{}", None);
        assert_eq!(tag, of(&old, b"{}", None));
        assert_ne!(tag, of(&new, b"{}", None));
        assert_ne!(tag, of(&old, b"{\"context\":{}}", None));
        assert_ne!(of(&old, b"{}", Some(b"1")), of(&old, b"{}", Some(b"2")));
        assert_eq!((tag.len(), tag.starts_with('"')), (34, true));
    }

    #[test]
    fn lists_and_weak_tags_match() {
        for (header, wanted) in
            [("\"a\"", true), ("W/\"a\"", true), ("\"b\", \"a\"", true), ("*", true), ("\"b\"", false), ("a", false)]
        {
            assert_eq!(matches(header, "\"a\""), wanted, "{header}");
        }
    }
}
