//! The template of a log line: what changes from line to line becomes a mask.
//!
//! What is here: one line at a time, so that a template depends on its line alone. What is not: words that vary
//! (`patterns`).

use std::sync::LazyLock;

use regex_automata::meta::Regex;

/// So much of a line is looked at, in bytes and in words.
const BYTES: usize = 1024;
const WORDS: usize = 48;

/// Masks in the order in which they are tried where several begin at the same place.
const MASKS: [(&str, &str); 9] = [
    ("<str>", r#""[^"]*"|'[^']*'"#),
    ("<uuid>", r"(?-u:\b)[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?-u:\b)"),
    ("<email>", r"(?-u:\b)[0-9A-Za-z._%+-]+@[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)+"),
    (
        "<time>",
        r"(?-u:\b)\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?|(?-u:\b)\d\d:\d\d:\d\d(?:[.,]\d+)?",
    ),
    (
        "<ip>",
        r"(?-u:\b)\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?(?-u:\b)|(?-u:\b)[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){3,7}",
    ),
    ("<hex>", r"(?-u:\b)0[xX][0-9A-Fa-f]+(?-u:\b)"),
    ("<hex>", r"(?-u:\b)[0-9A-Fa-f]{8,}(?-u:\b)"),
    ("<id>", r"(?-u:\b)[A-Za-z]+(?:[-_][A-Za-z]+)*[-_]\d+(?-u:\b)"),
    ("<n>", r"(?:(?-u:\b)|[+-])\d+(?:[.,:]\d+)*(?:%|[A-Za-zµ]{1,3}(?-u:\b)|(?-u:\b))"),
];
/// The mask that needs a digit and a letter: else it is a word ("deadbeef") or a number.
const HEX_WORD: usize = 6;

static FIND: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let patterns: Vec<&str> = MASKS.iter().map(|(_, pattern)| *pattern).collect();
    Regex::new_many(&patterns).ok()
});

/// What stands for a match; None where it is no value after all.
fn mask(pattern: usize, text: &str) -> Option<&'static str> {
    let has = |test: fn(&u8) -> bool| text.as_bytes().iter().any(test);
    if pattern != HEX_WORD || (has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic)) {
        return Some(MASKS[pattern].0);
    }
    if has(u8::is_ascii_digit) { Some("<n>") } else { None }
}

/// The first line, cut to a length; never in the middle of a character.
fn beginning(line: &str) -> &str {
    let line = line.trim_start().lines().next().unwrap_or("");
    &line[..line.floor_char_boundary(BYTES)]
}

/// The template of a line: of its first line that is not empty, values as masks (`<str>`, `<uuid>`, `<email>`, `<time>`,
/// `<ip>`, `<hex>`, `<id>`, `<n>`), words apart by one space, 48 words of 1,024 bytes at most.
pub fn template(line: &str) -> String {
    let line = beginning(line);
    let mut masked = String::with_capacity(line.len());
    let mut done = 0;
    for found in FIND.iter().flat_map(|regex| regex.find_iter(line)) {
        if let Some(mask) = mask(found.pattern().as_usize(), &line[found.range()]) {
            masked.push_str(&line[done..found.start()]);
            masked.push_str(mask);
            done = found.end();
        }
    }
    masked.push_str(&line[done..]);
    let mut words = masked.split_whitespace();
    let mut template = String::with_capacity(masked.len());
    for word in words.by_ref().take(WORDS) {
        if !template.is_empty() {
            template.push(' ');
        }
        template.push_str(word);
    }
    template
}

/// Does a word have a mask in it.
pub(super) fn has_mask(word: &str) -> bool {
    MASKS.iter().any(|(mask, _)| word.contains(mask))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand.
    #[test]
    fn values_become_masks_and_words_stay() {
        for (line, want) in [
            ("", ""),
            ("  \n\n next", "next"),
            ("deadbeef feedface", "deadbeef feedface"),
            ("order 12345678 of db-2", "order <n> of <id>"),
            ("it's Bob's", "it<str>s"),
            ("from fe80:0:0:0:1:2:3:4 to [::1]:80", "from <ip> to [::<n>]:<n>"),
            ("at 10:11:12.5 -3.5", "at <time> <n>"),
            ("GET /api/v1/orders/4711", "GET /api/v1/orders/<n>"),
            ("größe=12µs 日本 5", "größe=<n> 日本 <n>"),
        ] {
            assert_eq!(template(line), want, "{line}");
        }
        let long = format!("{} tail", "é".repeat(2000));
        assert_eq!(template(&long).len(), BYTES);
        assert_eq!(template(&"w ".repeat(100)).split(' ').count(), WORDS);
    }

    #[test]
    fn the_patterns_compile() {
        assert!(FIND.is_some());
    }
}
