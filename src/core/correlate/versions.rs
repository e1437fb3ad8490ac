//! Versions that were rolled out meanwhile: values of `service.version` and `deployment.*` that appear in the middle of the rows.
//!
//! What is here: when a value came first, and in which arms. What is not: whether it is to blame; nearness in time is no proof.
//!
//! Rows come in any order. So rows of a service are counted by time, in at most 128 buckets that become wider as they have to,
//! and a value has appeared if none of the rows before its first one has it, though many should.

use std::collections::BTreeMap;

use super::Value;
use super::chance::binomial_tail;

/// Services and attributes that are followed.
const GROUPS: usize = 64;
/// Values of each; an attribute with more is a name of something else.
const VALUES: usize = 32;
/// Buckets of time, and how wide they are at first, in microseconds.
const BUCKETS: usize = 128;
const WIDTH: i64 = 10_000_000;
/// Rows that a value must have, and that must lie before its first one.
const LEAST: f64 = 20.0;
/// log of the chance at which a value is said to have been away before, and arms to differ in it. Not more, since rows of one
/// user resemble each other.
const LN_CHANCE: f64 = -13.8;
/// The same for "in one arm only", which is seen and not inferred.
const LN_ONLY: f64 = -6.9;

/// Is an attribute one that tells what was rolled out (OpenTelemetry's names).
#[inline]
pub fn is_version(name: &str) -> bool {
    name == "service.version" || name.starts_with("deployment.")
}

/// A value and what is known of it.
#[derive(Debug, Clone)]
struct Seen {
    text: String,
    first: i64,
    rows: [u64; 2],
}

/// Rows of one service that have one attribute.
#[derive(Debug, Clone)]
struct Group {
    service: Option<String>,
    name: String,
    width: i64,
    buckets: BTreeMap<i64, [u64; 2]>,
    values: Vec<Seen>,
    is_full: bool,
}

/// What was seen.
#[derive(Debug, Clone, Default)]
pub struct Versions(Vec<Group>);

/// A value that appeared.
#[derive(Debug, Clone, PartialEq)]
pub struct Appeared {
    /// Whose.
    pub service: Option<String>,
    /// The attribute.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The time of its first row, in microseconds since 2000.
    pub at: i64,
    /// Its rows, control first.
    pub rows: [u64; 2],
    /// Rows of the same service that have the attribute, from then on.
    pub of: [u64; 2],
}

impl Group {
    fn note(&mut self, at: i64, treated: bool, value: Value<'_>) {
        if self.is_full {
            return;
        }
        self.buckets.entry(at.div_euclid(self.width)).or_default()[usize::from(treated)] += 1;
        while self.buckets.len() > BUCKETS {
            self.width *= 2;
            let mut wider: BTreeMap<i64, [u64; 2]> = BTreeMap::new();
            for (bucket, [c, t]) in &self.buckets {
                let [of_c, of_t] = wider.entry(bucket.div_euclid(2)).or_default();
                (*of_c, *of_t) = (*of_c + c, *of_t + t);
            }
            self.buckets = wider;
        }
        let written;
        let text = match value {
            Value::Text(text) => text,
            Value::Number(x) => {
                written = x.to_string();
                &written
            }
            Value::Bool(bool) => ["false", "true"][usize::from(bool)],
        };
        if let Some(seen) = self.values.iter_mut().find(|seen| seen.text == text) {
            seen.first = seen.first.min(at);
            seen.rows[usize::from(treated)] += 1;
        } else if self.values.len() < VALUES {
            let mut rows = [0; 2];
            rows[usize::from(treated)] = 1;
            self.values.push(Seen { text: text.to_owned(), first: at, rows });
        } else {
            (self.is_full, self.values, self.buckets) = (true, Vec::new(), BTreeMap::new());
        }
    }

    /// Values that are not there from the beginning on.
    fn appeared(&self) -> impl Iterator<Item = Appeared> {
        self.values.iter().filter_map(|seen| {
            let first = seen.first.div_euclid(self.width);
            let sum = |mut sum: [u64; 2], rows: &[u64; 2]| {
                (0..2).for_each(|arm| sum[arm] += rows[arm]);
                sum
            };
            let before = self.buckets.range(..first).map(|(_, rows)| rows).fold([0; 2], sum);
            let of = self.buckets.range(first..).map(|(_, rows)| rows).fold([0; 2], sum);
            let (before, n) = ((before[0] + before[1]) as f64, (seen.rows[0] + seen.rows[1]) as f64);
            // That none of the rows before has it, if each had it by its share from then on.
            let ln_none = before * (-n / (of[0] + of[1]) as f64).ln_1p();
            (before.min(n) >= LEAST && ln_none <= LN_CHANCE).then(|| Appeared {
                service: self.service.clone(),
                name: self.name.clone(),
                value: seen.text.clone(),
                at: seen.first,
                rows: seen.rows,
                of,
            })
        })
    }
}

impl Versions {
    /// A row with such an attribute.
    pub fn note(&mut self, at: i64, treated: bool, service: Option<&str>, name: &str, value: Value<'_>) {
        let found = self.0.iter().position(|group| group.name == name && group.service.as_deref() == service);
        let place = match found {
            Some(place) => place,
            None if self.0.len() < GROUPS => {
                let (service, name) = (service.map(str::to_owned), name.to_owned());
                let (buckets, values) = (BTreeMap::new(), Vec::new());
                self.0.push(Group { service, name, width: WIDTH, buckets, values, is_full: false });
                self.0.len() - 1
            }
            None => return,
        };
        self.0[place].note(at, treated, value);
    }

    /// What appeared, that with most rows first.
    pub fn appeared(&self) -> Vec<Appeared> {
        let mut appeared: Vec<Appeared> = self.0.iter().flat_map(Group::appeared).collect();
        let order = |a: &Appeared| (std::cmp::Reverse(a.rows[0] + a.rows[1]), a.at, a.name.clone(), a.value.clone());
        appeared.sort_by_key(order);
        appeared
    }
}

impl Appeared {
    /// In which arms: "in both arms", "in the treatment only".
    fn arms(&self) -> String {
        let [c, t] = self.rows;
        let share = self.of[1] as f64 / (self.of[0] + self.of[1]) as f64;
        let [of_c, of_t] = [0, 1].map(|arm| self.rows[arm] as f64 / self.of[arm].max(1) as f64);
        // That so many rows or more would come to one arm by its share of all.
        let ln_tail = |k: u64, share: f64| binomial_tail(k as f64, (c + t) as f64, share);
        let (ln_t, ln_c) = (ln_tail(t, share), ln_tail(c, 1.0 - share));
        if c == 0 && ln_t <= LN_ONLY {
            "in the treatment only".to_owned()
        } else if t == 0 && ln_c <= LN_ONLY {
            "in the control only".to_owned()
        } else if ln_t.min(ln_c) <= LN_CHANCE {
            let what = if ln_t < ln_c { "more" } else { "less" };
            let [of_c, of_t] = [of_c, of_t].map(super::words::percent);
            format!("{what} in the treatment ({of_t} of its rows, {of_c} of the control's)")
        } else if c > 0 && t > 0 {
            "in both arms".to_owned()
        } else {
            format!("in {} rows, all of the {}", c + t, if t > 0 { "treatment" } else { "control" })
        }
    }

    /// "service.version 2.4 of shop seen first, in both arms".
    pub fn words(&self) -> String {
        let of = self.service.as_ref().map(|service| format!(" of {service}")).unwrap_or_default();
        format!("{} {}{of} seen first, {}", self.name, self.value, self.arms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    /// A row a second for an hour, every second one of the treatment; `version` of a row.
    fn noted(version: impl Fn(i64, bool) -> &'static str) -> Versions {
        let mut versions = Versions::default();
        // In an order that is not that of time.
        for i in (0..3_600).map(|i| i * 1_789 % 3_600) {
            let treated = i * 7 % 10 < 5;
            versions.note(i * SECOND, treated, Some("shop"), "service.version", Value::Text(version(i, treated)));
        }
        versions
    }

    #[test]
    fn a_version_of_both_arms() {
        let versions = noted(|i, _| if i < 1_200 { "2.3" } else { "2.4" });
        let appeared = versions.appeared();
        assert_eq!(appeared.len(), 1);
        assert_eq!((appeared[0].at, appeared[0].rows, appeared[0].of), (1_200 * SECOND, [1_200; 2], [1_200; 2]));
        assert_eq!(appeared[0].words(), "service.version 2.4 of shop seen first, in both arms");
    }

    #[test]
    fn a_version_of_the_treatment() {
        let words = |versions: &Versions| versions.appeared().iter().map(Appeared::words).collect::<Vec<_>>();
        let only = noted(|i, treated| if i >= 1_200 && treated { "2.4" } else { "2.3" });
        assert_eq!(words(&only), ["service.version 2.4 of shop seen first, in the treatment only"]);
        let more = noted(|i, treated| if i >= 1_200 && (treated || i % 7 == 0) { "2.4" } else { "2.3" });
        let [said] = words(&more).try_into().expect("one");
        assert!(said.ends_with("more in the treatment (100.0 % of its rows, 14.4 % of the control's)"), "{said}");
    }

    #[test]
    fn what_is_there_from_the_beginning_or_is_rare_did_not_appear() {
        assert!(noted(|_, treated| if treated { "2.4" } else { "2.3" }).appeared().is_empty());
        // Three rows, in the last minute.
        assert!(noted(|i, _| if i > 3_596 { "2.4" } else { "2.3" }).appeared().is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut versions = Versions::default();
        for i in 0..100_000 {
            let name = format!("deployment.{}", i % 100);
            versions.note(i * 60 * SECOND, i % 2 == 0, None, &name, Value::Number((i / 100 % 40) as f64));
        }
        assert_eq!(versions.0.len(), GROUPS);
        assert!(versions.0.iter().all(|g| g.is_full && g.values.is_empty() && g.buckets.is_empty()));
        let mut one = Versions::default();
        (0..100_000).for_each(|i| one.note(i * 60 * SECOND, true, None, "service.version", Value::Bool(true)));
        assert!(
            one.0[0].buckets.len() <= BUCKETS && one.0[0].buckets.values().map(|[_, t]| t).sum::<u64>() == 100_000
        );
    }
}
