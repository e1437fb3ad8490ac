//! Log lines by template, in bounded memory: how often each came in either arm.
//!
//! What is here: a state that merges, and the templates that are read from it. What is not: masks (`mask`), and whether a
//! difference could be chance (`symptom`).
//!
//! Below its caps (lines and bytes) a state is exact and merges exactly in any order. Above them, the lines seen least go,
//! and how many went is kept (as in the space-saving sketch).

use std::collections::BTreeMap;

use super::mask::has_mask;

/// Masked lines that a state keeps, and up to how many it grows before it forgets.
pub const KEPT: usize = 2_000;
pub(super) const GROWN: usize = 2_500;
/// Bytes up to which it grows, and what an entry takes beside its texts (measured: 10 million lines of random words of 100
/// bytes are 1.1 MB).
const BYTES: usize = 1_500_000;
const ENTRY_BYTES: usize = 160;
/// Time of a line that has none.
pub const NO_TIME: (i64, i64) = (i64::MAX, i64::MIN);
/// Longest example, in bytes.
const EXAMPLE: usize = 200;
/// From so many different words on a place in a template is a variable.
const VARIABLE: usize = 8;

/// What is known of one masked line.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Lines of the control and of the treatment.
    pub lines: [u64; 2],
    /// The earliest, in microseconds; of lines without times `NO_TIME`.
    pub first: i64,
    /// The latest.
    pub last: i64,
    /// A line as it was, cut to 200 bytes: of the earliest, and of those the one that sorts first.
    pub example: String,
}

impl Entry {
    fn absorb(&mut self, other: &Self) {
        for (mine, more) in self.lines.iter_mut().zip(other.lines) {
            *mine = mine.saturating_add(more);
        }
        if (other.first, &other.example) < (self.first, &self.example) {
            self.example.clone_from(&other.example);
        }
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }

    /// Lines of both arms.
    pub fn total(&self) -> u64 {
        self.lines[0].saturating_add(self.lines[1])
    }
}

/// Masked lines and their counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Patterns {
    entries: BTreeMap<String, Entry>,
    lost: u64,
    bytes: usize,
}

/// The beginning of a line, as an example.
fn beginning(line: &str) -> &str {
    let line = line.trim_start();
    &line[..line.floor_char_boundary(EXAMPLE)]
}

/// A template that lines have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Its text: words, masks, and `<*>` where words vary.
    pub text: String,
    /// All its lines.
    pub entry: Entry,
    /// The masked lines that it stands for.
    pub members: Vec<String>,
}

impl Patterns {
    /// Adds a line by its template (`mask::template`).
    pub fn add(&mut self, template: &str, line: &str, treated: bool, (first, last): (i64, i64)) {
        let example = beginning(line);
        if let Some(entry) = self.entries.get_mut(template) {
            let lines = &mut entry.lines[usize::from(treated)];
            *lines = lines.saturating_add(1);
            if (first, example) < (entry.first, entry.example.as_str()) {
                self.bytes = self.bytes + example.len() - entry.example.len();
                example.clone_into(&mut entry.example);
            }
            (entry.first, entry.last) = (entry.first.min(first), entry.last.max(last));
            return;
        }
        let mut lines = [0; 2];
        lines[usize::from(treated)] = 1;
        self.absorb(template, &Entry { lines, first, last, example: example.to_owned() });
        self.bound();
    }

    /// Adds another state.
    pub(super) fn absorb_all(&mut self, other: &Self) {
        for (template, entry) in &other.entries {
            self.absorb(template, entry);
        }
        self.lost = self.lost.saturating_add(other.lost);
        self.bound();
    }

    /// A state from its parts, as they were stored.
    pub fn from_parts(entries: impl IntoIterator<Item = (String, Entry)>, lost: u64) -> Self {
        let mut state = Self { lost, ..Self::default() };
        for (template, entry) in entries {
            state.absorb(&template, &entry);
        }
        state.bound();
        state
    }

    /// Masked lines, by text.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(template, entry)| (template.as_str(), entry))
    }

    /// Lines that were forgotten for want of room.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn absorb(&mut self, template: &str, entry: &Entry) {
        match self.entries.get_mut(template) {
            Some(mine) => {
                self.bytes -= mine.example.len();
                mine.absorb(entry);
                self.bytes += mine.example.len();
            }
            None => {
                self.bytes += ENTRY_BYTES + template.len() + entry.example.len();
                self.entries.insert(template.to_owned(), entry.clone());
            }
        }
    }

    /// Forgets the lines seen least, and of those the ones that sort last.
    fn bound(&mut self) {
        if self.entries.len() <= GROWN && self.bytes <= BYTES {
            return;
        }
        let mut order: Vec<(std::cmp::Reverse<u64>, &str, usize)> = self
            .entries
            .iter()
            .map(|(text, entry)| {
                (std::cmp::Reverse(entry.total()), text.as_str(), ENTRY_BYTES + text.len() + entry.example.len())
            })
            .collect();
        let mut kept = order.len().min(KEPT);
        if self.bytes > BYTES {
            order.sort_unstable();
            let mut bytes = 0;
            let mut fits = |(_, _, size): &(_, _, usize)| {
                bytes += size;
                bytes <= BYTES / 4 * 3
            };
            kept = kept.min(order.iter().take_while(|entry| fits(entry)).count());
        } else {
            order.select_nth_unstable(kept);
        }
        let gone: Vec<String> = order[kept..].iter().map(|(_, text, _)| (*text).to_owned()).collect();
        for text in gone {
            if let Some(entry) = self.entries.remove(&text) {
                self.bytes -= ENTRY_BYTES + text.len() + entry.example.len();
                self.lost = self.lost.saturating_add(entry.total());
            }
        }
    }

    /// The templates: masked lines of which only some words differ are one, with `<*>` in their place. The order in which
    /// lines came plays no part.
    pub fn templates(&self) -> Vec<Template> {
        let mut lines: Vec<(&String, &Entry)> = self.entries.iter().collect();
        lines.sort_by(|a, b| b.1.total().cmp(&a.1.total()).then(a.0.cmp(b.0)));
        let mut clusters: Vec<Cluster> = Vec::new();
        for (text, _) in lines {
            let words: Vec<&str> = text.split(' ').collect();
            match clusters.iter_mut().find(|cluster| cluster.takes(&words)) {
                Some(cluster) => cluster.members.push(words),
                None => clusters.push(Cluster { members: vec![words] }),
            }
        }
        let mut templates: BTreeMap<String, Template> = BTreeMap::new();
        for cluster in &clusters {
            let varies = cluster.varying();
            for member in &cluster.members {
                let masked = member.join(" ");
                let text = general(member, &varies);
                let Some(entry) = self.entries.get(&masked) else { continue };
                let template = templates.entry(text.clone());
                template.and_modify(|t| t.entry.absorb(entry)).or_insert_with(|| Template {
                    text: text.clone(),
                    entry: entry.clone(),
                    members: Vec::new(),
                });
                if let Some(template) = templates.get_mut(&text) {
                    template.members.push(masked);
                }
            }
        }
        templates.into_values().collect()
    }
}

fn general(words: &[&str], varies: &[bool]) -> String {
    let general: Vec<&str> =
        words.iter().zip(varies).map(|(word, varies)| if *varies { "<*>" } else { word }).collect();
    general.join(" ")
}

/// Masked lines that resemble the first of them.
struct Cluster<'a> {
    members: Vec<Vec<&'a str>>,
}

impl Cluster<'_> {
    /// The same number of words and the same first one, and at most a quarter of them different.
    fn takes(&self, words: &[&str]) -> bool {
        let first = &self.members[0];
        if first.len() != words.len() || first[0] != words[0] {
            return false;
        }
        let different = first.iter().zip(words).filter(|(a, b)| a != b).count();
        4 * different <= words.len()
    }

    /// Places where words vary: from eight different ones on, or a mask beside a word. (From three on, "established",
    /// "refused" and "closed" melt into one, and a new error is lost.)
    fn varying(&self) -> Vec<bool> {
        (0..self.members[0].len())
            .map(|place| {
                let words: std::collections::BTreeSet<&str> =
                    self.members.iter().map(|member| member[place]).collect();
                let masks = words.iter().filter(|word| has_mask(word)).count();
                words.len() >= VARIABLE || (masks > 0 && masks < words.len())
            })
            .collect()
    }
}
