//! Tags that do not count: of an unknown environment, flag or variant, or a variant that is not text. The row is
//! stored, but its sender believes that it is judged.
//!
//! Here: which tags these are, and how often they occur in one statement. Most tags are known by the plan; other flags
//! are noted and looked up together at the end of the statement. Not here: the look-up.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Plan;

/// Entries that one statement writes at most; the rest is counted by cause only.
const MOST_ROWS: usize = 64;
/// Tags noted before they are settled, and flags remembered: both limit the memory of a statement.
const MOST_TAGS: usize = 4_096;
const MOST_KNOWN: usize = 20_000;
/// The longest key of a flag (in bytes); examples are cut to it.
const LONGEST_KEY: usize = 255;
const LONGEST_VARIANT: usize = 1_000;

/// Why a tag does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// No environment has this key or alias.
    Environment,
    /// There is no such flag.
    Flag,
    /// The flag has no such variant.
    Variant,
    /// The value that should be a variant is not text.
    NotText,
}

impl Cause {
    /// The cause as it is stored.
    pub fn label(self) -> &'static str {
        match self {
            Self::Environment => "unknown environment",
            Self::Flag => "unknown flag",
            Self::Variant => "unknown variant",
            Self::NotText => "variant is not text",
        }
    }
}

/// What a row's `flags` contain for a flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said<'a> {
    /// A variant.
    Text(&'a str),
    /// Something else, as JSON (shortened).
    Other(String),
}

/// Flags that were looked up: their variants, or that they do not exist.
#[derive(Debug, Default)]
pub struct KnownFlags(HashMap<String, Option<HashSet<String>>>);

impl KnownFlags {
    /// Stores the result of a look-up of some flags; those not found do not exist.
    pub fn learn(&mut self, wanted: Vec<String>, mut found: HashMap<String, HashSet<String>>) {
        if self.0.len() + wanted.len() > MOST_KNOWN {
            self.0.clear();
        }
        for flag in wanted {
            let variants = found.remove(&flag);
            self.0.insert(flag, variants);
        }
    }
}

/// A tag in an environment, and how many rows have it. `cause`: `None` until its flag was looked up. `flag`: empty for
/// rows without one.
#[derive(Debug)]
struct Tag {
    cause: Option<Cause>,
    environment: String,
    flag: String,
    variant: String,
    example: String,
    rows: u64,
}

/// The uncounted tags of one statement.
#[derive(Debug, Default)]
pub struct Uncounted {
    tags: Vec<Tag>,
    /// environment, flag, what was said -> number of the tag
    numbers: HashMap<(String, String, String), usize>,
    settled: BTreeMap<(Cause, String, String), (u64, String)>,
}

impl Uncounted {
    /// Numbers of those of a row's tags that do not count, as far as is known.
    pub fn note<'a>(
        &mut self,
        plan: &Plan,
        known: &KnownFlags,
        environment: &str,
        tags: impl Iterator<Item = (&'a str, Said<'a>)>,
    ) -> Vec<usize> {
        let mut noted = Vec::new();
        for (flag, said) in tags {
            if let Some(cause) = cause(plan, known, environment, flag, &said) {
                noted.push(self.number(cause, environment, flag, &said));
            }
        }
        noted
    }

    /// The number of an unknown environment, for its rows without tags, which cannot be attributed.
    pub fn note_environment(&mut self, plan: &Plan, environment: &str) -> Option<usize> {
        let unknown = plan.environment_key(environment).is_none();
        unknown.then(|| self.number(Some(Cause::Environment), environment, "", &Said::Other(String::new())))
    }

    /// Counts a row for the tags with these numbers.
    pub fn count(&mut self, numbers: &[usize]) {
        for number in numbers {
            self.tags[*number].rows += 1;
        }
    }

    /// Whether the tags should be settled before more are noted. Numbers given out before become invalid.
    pub fn is_full(&self) -> bool {
        self.tags.len() >= MOST_TAGS
    }

    /// The flags that have to be looked up before [`Uncounted::settle`], each once.
    pub fn missing(&self, known: &KnownFlags) -> Vec<String> {
        let open = self.tags.iter().filter(|tag| tag.cause.is_none() && !known.0.contains_key(&tag.flag));
        let flags: HashSet<&String> = open.map(|tag| &tag.flag).collect();
        flags.into_iter().cloned().collect()
    }

    /// Adds up all tags noted so far, now that their flags are known, and forgets them. If a flag is still unknown, the
    /// look-up failed: nothing is reported about it.
    pub fn settle(&mut self, known: &KnownFlags) {
        self.numbers.clear();
        for tag in std::mem::take(&mut self.tags) {
            let cause = tag.cause.or_else(|| match known.0.get(&tag.flag)? {
                None => Some(Cause::Flag),
                Some(variants) if variants.contains(&tag.variant) => None,
                Some(_) => Some(Cause::Variant),
            });
            let Some(cause) = cause.filter(|_| tag.rows > 0) else { continue };
            let mut key = (cause, tag.environment, tag.flag);
            if self.settled.len() >= MOST_ROWS && !self.settled.contains_key(&key) {
                (key.1, key.2) = (String::new(), String::new());
            }
            let (rows, _) = self.settled.entry(key).or_insert((0, tag.example));
            *rows += tag.rows;
        }
    }

    /// Cause, environment, flag, an example and the number of rows of everything that was settled; environment and flag
    /// are empty if there are too many.
    pub fn iter(&self) -> impl Iterator<Item = (Cause, &str, &str, &str, u64)> {
        self.settled.iter().map(|((cause, environment, flag), (rows, example))| {
            (*cause, environment.as_str(), flag.as_str(), example.as_str(), *rows)
        })
    }

    fn number(&mut self, cause: Option<Cause>, environment: &str, flag: &str, said: &Said) -> usize {
        let (variant, json) = match said {
            Said::Text(variant) => (*variant, serde_json::Value::from(cut(variant, LONGEST_KEY)).to_string()),
            Said::Other(json) => (json.as_str(), json.clone()),
        };
        let (environment, flag) = (cut(environment, LONGEST_KEY), cut(flag, LONGEST_KEY));
        let key = (environment.to_owned(), flag.to_owned(), cut(variant, LONGEST_VARIANT).to_owned());
        *self.numbers.entry(key).or_insert_with_key(|(environment, flag, variant)| {
            let example = match flag.as_str() {
                "" => "a row without flags".to_owned(),
                flag => format!("{{{}: {json}}}", serde_json::Value::from(flag)),
            };
            let (environment, flag, variant) = (environment.clone(), flag.clone(), variant.clone());
            self.tags.push(Tag { cause, environment, flag, variant, example, rows: 0 });
            self.tags.len() - 1
        })
    }
}

/// Why the tag does not count; `Some(None)`: its flag must be looked up; `None`: it counts, or may count.
fn cause(plan: &Plan, known: &KnownFlags, environment: &str, flag: &str, said: &Said) -> Option<Option<Cause>> {
    let Some(key) = plan.environment_key(environment) else { return Some(Some(Cause::Environment)) };
    let Said::Text(variant) = said else { return Some(Some(Cause::NotText)) };
    if flag.len() > LONGEST_KEY {
        return Some(Some(Cause::Flag));
    }
    if variant.len() > LONGEST_VARIANT {
        return Some(Some(Cause::Variant));
    }
    if let Some(has) = plan.has_variant(key, flag, variant) {
        return (!has).then_some(Some(Cause::Variant));
    }
    match known.0.get(flag) {
        None => Some(None),
        Some(None) => Some(Some(Cause::Flag)),
        Some(Some(variants)) => (!variants.contains(*variant)).then_some(Some(Cause::Variant)),
    }
}

/// The beginning of a text, of at most so many bytes.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests {
    use super::super::{Definition, Filter, MetricKind, Signal};
    use super::*;

    fn plan() -> Plan {
        let mut plan = Plan::default();
        plan.environment("production", "production");
        plan.environment("prod", "production");
        let filter = Filter::parse(&serde_json::json!({})).unwrap();
        let metric = plan.metric("errors", Definition::new(MetricKind::Proportion, Signal::Span, filter));
        plan.watch("watched", "production", &["on", "off"].map(str::to_owned), metric);
        plan
    }

    /// What is told of rows with these tags once `unwatched` (with variant `on`) was looked up.
    fn told(rows: &[(&str, &str, Said)]) -> Vec<(Cause, String, String, String, u64)> {
        let (plan, mut known, mut uncounted) = (plan(), KnownFlags::default(), Uncounted::default());
        for (environment, flag, said) in rows {
            let numbers = uncounted.note(&plan, &known, environment, [(*flag, said.clone())].into_iter());
            uncounted.count(&numbers);
        }
        let found = HashMap::from([("unwatched".to_owned(), HashSet::from(["on".to_owned()]))]);
        known.learn(uncounted.missing(&known), found);
        uncounted.settle(&known);
        let owned = |(cause, environment, flag, example, n): (_, &str, &str, &str, _)| {
            (cause, environment.to_owned(), flag.to_owned(), example.to_owned(), n)
        };
        uncounted.iter().map(owned).collect()
    }

    fn row(
        cause: Cause,
        environment: &str,
        flag: &str,
        example: &str,
        n: u64,
    ) -> (Cause, String, String, String, u64) {
        (cause, environment.into(), flag.into(), example.into(), n)
    }

    #[test]
    fn what_counts_or_could_is_not_told() {
        let good = [("production", "watched", Said::Text("on")), ("prod", "unwatched", Said::Text("on"))];
        assert_eq!(told(&good), []);
    }

    #[test]
    fn every_cause_is_told_with_an_example() {
        let rows = [
            ("prd", "watched", Said::Text("on")),
            ("prd", "watched", Said::Text("off")),
            ("prod", "misspelt", Said::Text("on")),
            ("production", "watched", Said::Text("On")),
            ("production", "unwatched", Said::Text("off")),
            ("production", "watched", Said::Other("true".into())),
            ("production", "watched", Said::Other("true".into())),
        ];
        let wanted = [
            row(Cause::Environment, "prd", "watched", r#"{"watched": "on"}"#, 2),
            row(Cause::Flag, "prod", "misspelt", r#"{"misspelt": "on"}"#, 1),
            row(Cause::Variant, "production", "unwatched", r#"{"unwatched": "off"}"#, 1),
            row(Cause::Variant, "production", "watched", r#"{"watched": "On"}"#, 1),
            row(Cause::NotText, "production", "watched", r#"{"watched": true}"#, 2),
        ];
        assert_eq!(told(&rows), wanted);
    }

    #[test]
    fn rows_without_flags_are_told_of_an_unknown_environment() {
        let (plan, known, mut uncounted) = (plan(), KnownFlags::default(), Uncounted::default());
        assert_eq!(uncounted.note_environment(&plan, "prod"), None);
        for _ in 0..2 {
            let number = uncounted.note_environment(&plan, "prd").unwrap();
            uncounted.count(&[number]);
        }
        uncounted.settle(&known);
        assert_eq!(uncounted.iter().collect::<Vec<_>>(), [(Cause::Environment, "prd", "", "a row without flags", 2)]);
    }

    #[test]
    fn however_many_flags_there_are_the_rows_are_few() {
        let flags: Vec<String> = (0..1000).map(|n| format!("user {n}")).collect();
        let rows: Vec<_> = flags.iter().map(|flag| ("production", flag.as_str(), Said::Text("on"))).collect();
        let told = told(&rows);
        assert!(told.len() <= MOST_ROWS + 1);
        assert_eq!(told.iter().map(|row| row.4).sum::<u64>(), 1000);
        assert_eq!((told[0].1.as_str(), told[0].2.as_str()), ("", ""));
        let long = "x".repeat(10_000);
        let cut = &told_of(&long)[0];
        assert!(cut.0 == Cause::Flag && cut.2.len() == LONGEST_KEY && cut.3.len() < 600);
    }

    fn told_of(text: &str) -> Vec<(Cause, String, String, String, u64)> {
        told(&[("production", text, Said::Text(text))])
    }
}
