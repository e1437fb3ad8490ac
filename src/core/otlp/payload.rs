//! Cuts a payload into JSON values: one per line, or one over many lines.
//!
//! Values are read one after the other, wherever they end, so that a file of lines and a pretty-printed request
//! need no guess beforehand. Only after a fault it matters where the next value may begin:
//!
//! - the fault is on the line where the value began: that line is lost, the next one is tried;
//! - it is on a later line (a broken pretty-printed request, or a line cut short which ran into its successor):
//!   the next line that begins with `{` is tried, so that neither every inner line nor the successor counts as lost.
//!
//! The second rule reads text again. It may do so for as many bytes as the payload has; then (only hostile text gets
//! there) what was read is lost. So the work is linear: 7 MB of `{"a":[` lines took 14 s without that bound.

use super::fault::Fault;
use super::tree::{self, Tree};
use serde_json::Deserializer;

/// The longest request that is read: what OTLP's specification advises servers to take.
const LONGEST: usize = 64 << 20;

/// One value of the payload, the line it began on (from 1) and its text.
pub(super) struct Document<'a> {
    pub(super) line: usize,
    pub(super) text: &'a str,
    pub(super) value: Result<Tree<'a>, Fault>,
}

/// How far a payload was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Bytes from the end.
    left: usize,
    line: usize,
    /// How many bytes may still be read a second time.
    again: usize,
}

impl Place {
    /// The beginning.
    pub(super) fn start(payload: &str) -> Self {
        // Windows tools write a byte order mark.
        let left = payload.strip_prefix('\u{FEFF}').unwrap_or(payload).len();
        Self { left, line: 1, again: left }
    }

    /// The next value of the payload; nothing for blank text.
    pub(super) fn next<'a>(&mut self, payload: &'a str) -> Option<Document<'a>> {
        let Self { left, line, again } = *self;
        let mut documents = Documents { rest: &payload[payload.len() - left..], line, again };
        let document = documents.next();
        *self = Self { left: documents.rest.len(), line: documents.line, again: documents.again };
        document
    }
}

struct Documents<'a> {
    rest: &'a str,
    line: usize,
    again: usize,
}

impl<'a> Iterator for Documents<'a> {
    type Item = Document<'a>;

    fn next(&mut self) -> Option<Document<'a>> {
        self.skip(self.rest.len() - self.rest.trim_ascii_start().len());
        if self.rest.is_empty() {
            return None;
        }
        let (line, start) = (self.line, self.rest);
        let within = &start[..start.floor_char_boundary(LONGEST)];
        tree::begin();
        let mut values = Deserializer::from_str(within).into_iter::<Tree>();
        let value = values.next()?;
        let end = values.byte_offset();
        let value = match value {
            Ok(value @ (Tree::Object(_) | Tree::List(_))) => {
                self.skip(end);
                Ok(value)
            }
            Ok(value) => {
                self.skip(line_end(start));
                Err(Fault::unlike("an object", &value))
            }
            Err(error) if error.is_eof() && within.len() < start.len() => {
                self.skip(within.len() + line_end(&start[within.len()..]));
                Err(Fault::new(format!("a request longer than {} MiB", LONGEST >> 20)))
            }
            Err(error) => {
                let next = self.after_fault(start, error.line());
                self.skip(next);
                Err(not_json(line, &error))
            }
        };
        let text = &start[..start.len() - self.rest.len()];
        Some(Document { line, text, value })
    }
}

impl Documents<'_> {
    fn skip(&mut self, bytes: usize) {
        let (skipped, rest) = self.rest.split_at(bytes);
        self.line += skipped.bytes().filter(|&byte| byte == b'\n').count();
        self.rest = rest;
    }

    /// Where to go on when the value at `start` has a fault on its line `faulty`, counted from 1.
    fn after_fault(&mut self, start: &str, faulty: usize) -> usize {
        let read = start.match_indices('\n').nth(faulty.saturating_sub(1)).map_or(start.len(), |(end, _)| end);
        if faulty <= 1 {
            return read;
        }
        let next = next_object(start);
        match self.again.checked_sub(read.saturating_sub(next)) {
            Some(again) => {
                self.again = again;
                next
            }
            None => read,
        }
    }
}

fn line_end(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// Where the next line begins that begins with `{`.
fn next_object(text: &str) -> usize {
    text.find("\n{").map_or(text.len(), |end| end + 1)
}

/// The parser's reason with its place in the payload; serde_json counts lines from the value's first one.
fn not_json(line: usize, error: &serde_json::Error) -> Fault {
    let message = error.to_string();
    let reason = message.split(" at line ").next().unwrap_or(&message);
    let line = line + error.line().saturating_sub(1);
    Fault::new(format!("not JSON: {reason} (line {line} column {})", error.column()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(payload: &str) -> impl Iterator<Item = Document<'_>> {
        let mut place = Place::start(payload);
        std::iter::from_fn(move || place.next(payload))
    }

    /// Line and kind of each document: `o` for one that was read, `x` for a fault.
    fn lines(payload: &str) -> Vec<(usize, char)> {
        documents(payload).map(|found| (found.line, if found.value.is_ok() { 'o' } else { 'x' })).collect()
    }

    #[test]
    fn lines_and_pretty_printed_values() {
        assert_eq!(lines(""), []);
        assert_eq!(lines(" \r\n\n\t"), []);
        assert_eq!(lines("{}\r\n\r\n{}\n"), [(1, 'o'), (3, 'o')]);
        assert_eq!(lines("\u{FEFF}{\n \"a\":\n 1\n}\n{}"), [(1, 'o'), (5, 'o')]);
        assert_eq!(lines("{}{}"), [(1, 'o'), (1, 'o')]);
    }

    #[test]
    fn a_broken_line_is_one_fault() {
        assert_eq!(
            lines("{}\nnot json at all\n5 6 7\n\"x\"\nnull\n{}"),
            [(1, 'o'), (2, 'x'), (3, 'x'), (4, 'x'), (5, 'x'), (6, 'o')]
        );
        assert_eq!(lines("{} garbage {}\n{}"), [(1, 'o'), (1, 'x'), (2, 'o')]);
    }

    #[test]
    fn a_line_cut_short_does_not_take_its_successor() {
        assert_eq!(lines("{\"a\":[{\"b\":\"c\n{}\n{}"), [(1, 'x'), (2, 'o'), (3, 'o')]);
        assert_eq!(lines("{\"a\":[\n{}\n{}"), [(1, 'x'), (2, 'o'), (3, 'o')]);
        assert_eq!(lines("{}\n{\"a\":"), [(1, 'o'), (2, 'x')]);
    }

    #[test]
    fn a_broken_pretty_printed_value_is_one_fault() {
        assert_eq!(lines("{\n  \"a\": 1,\n  \"b\" 2,\n  \"c\": 3\n}\n{}"), [(1, 'x'), (6, 'o')]);
        let fault = documents("\n{\n  \"b\" 2\n}").find_map(|found| found.value.err()).unwrap();
        assert_eq!(fault.to_string(), "not JSON: expected `:` (line 3 column 7)");
    }

    #[test]
    fn length_is_bounded() {
        let long = format!("{{\"a\":\"{}\"}}", "ü".repeat(LONGEST / 2));
        assert_eq!(lines(&format!("{{}}\n{long}\n{{}}")), [(1, 'o'), (2, 'x'), (3, 'o')]);
        let fault = documents(&long).find_map(|found| found.value.err()).unwrap();
        assert_eq!(fault.to_string(), "a request longer than 64 MiB");
    }

    #[test]
    fn nesting_is_bounded() {
        assert_eq!(lines(&"[".repeat(100_000)), [(1, 'x')]);
        assert_eq!(lines(&"{\"a\":\n".repeat(300)).first(), Some(&(1, 'x')));
    }

    #[test]
    fn hostile_text_is_read_about_twice() {
        // Each line opens what the next 63 run into: read again for each line it would take 64 times as long.
        let hostile = "{\"a\":[\n".repeat(6400);
        let faults = lines(&hostile).len();
        assert!((100..400).contains(&faults), "{faults}");
        // A good line after it is still found.
        assert_eq!(lines(&(hostile + "x\n{}")).last(), Some(&(6402, 'o')));
    }
}
