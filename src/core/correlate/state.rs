//! The state of log lines as a sketch: its binary and text form.
//!
//! What is here: bytes and JSON. What is not: what a state does (`patterns`).

use serde::{Deserialize, Serialize};

use super::patterns::{Entry, GROWN, Patterns};
use crate::Result;
use crate::sketch::Sketch;
use crate::sketch::codec::{self, Check, Reader, Writer};

const EXAMPLE: &str =
    r#"{"lost":0,"entries":[{"template":"took <n>","lines":[3,0],"first":0,"last":9,"example":"took 5ms"}]}"#;
/// Longest template, and longest example. A line of 1,024 bytes is at most three times as long when masked.
const TEMPLATE: usize = 4_096;
const LINE: usize = 256;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    lost: u64,
    entries: Vec<FormEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormEntry {
    template: String,
    lines: [u64; 2],
    first: i64,
    last: i64,
    example: String,
}

fn check(form: Form) -> Check<Patterns> {
    if form.entries.len() > GROWN {
        return Err(format!("\"{}\" entries are more than {GROWN}", form.entries.len()));
    }
    let mut entries = Vec::with_capacity(form.entries.len());
    for FormEntry { template, lines, first, last, example } in form.entries {
        codec::check_count("count", lines[0].max(lines[1]))?;
        if template.len() > TEMPLATE || example.len() > LINE {
            return Err("a template or an example is too long".to_owned());
        }
        if template.contains('\0') || example.contains('\0') {
            return Err("a template or an example holds a NUL".to_owned());
        }
        entries.push((template, Entry { lines, first, last, example }));
    }
    Ok(Patterns::from_parts(entries, codec::check_count("count", form.lost)?))
}

fn read(bytes: &[u8]) -> Check<Form> {
    let mut reader = Reader::new(bytes)?;
    let lost = reader.varint()?;
    let n = reader.length(6)?;
    let mut entries = Vec::with_capacity(n.min(GROWN));
    for _ in 0..n {
        let template = reader.text()?;
        let lines = [reader.varint()?, reader.varint()?];
        let (first, last) = (reader.zigzag()?, reader.zigzag()?);
        entries.push(FormEntry { template, lines, first, last, example: reader.text()? });
    }
    reader.finish()?;
    Ok(Form { lost, entries })
}

impl Sketch for Patterns {
    const NAME: &'static str = "patterns";

    fn merge(&mut self, other: &Self) -> Result<()> {
        self.absorb_all(other);
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.varint(self.lost());
        writer.varint(self.entries().count() as u64);
        for (template, entry) in self.entries() {
            writer.text(template);
            entry.lines.iter().for_each(|n| writer.varint(*n));
            writer.zigzag(entry.first);
            writer.zigzag(entry.last);
            writer.text(&entry.example);
        }
        writer.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        codec::binary(read(bytes).and_then(check))
    }

    fn to_text(&self) -> String {
        let entry = |(template, entry): (&str, &Entry)| FormEntry {
            template: template.to_owned(),
            lines: entry.lines,
            first: entry.first,
            last: entry.last,
            example: entry.example.clone(),
        };
        codec::json(&Form { lost: self.lost(), entries: self.entries().map(entry).collect() })
    }

    fn from_text(s: &str) -> Result<Self> {
        codec::text(s, EXAMPLE, check)
    }
}
