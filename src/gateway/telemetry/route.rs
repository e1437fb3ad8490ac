//! Which node stores a row: the one with the highest weight for the row's key (rendezvous hashing). Gateways that have the
//! same nodes agree without a word, and when a node is away only its keys go elsewhere, each to the next of its own order.

use std::collections::HashMap;

use flagscope_core::otlp::Row;

/// What a row is kept by, and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    key: u64,
    /// Packed.
    pub bytes: u32,
    /// Whether its node alone can store it: the difference of a cumulative point is to the point before, which is there.
    pub stays: bool,
}

/// The marks of a request's rows.
#[derive(Default)]
pub struct Marks {
    by_subject: bool,
    all: Vec<Mark>,
    /// Rows with a trace and no subject, and the subjects of traces.
    open: Vec<(usize, u64)>,
    subjects: HashMap<u64, u64>,
}

impl Marks {
    /// Of no rows; by subject or by trace first.
    pub fn new(by_subject: bool) -> Self {
        Self { by_subject, ..Self::default() }
    }

    /// Notes a row.
    pub fn add(&mut self, row: &Row, bytes: usize) {
        let trace = row.trace_id.map(|id| hash(&[b"trace", id.as_bytes()]));
        let subject = row.subject.as_ref().map(|subject| hash(&[b"subject", subject.as_bytes()]));
        let own = if self.by_subject { subject.or(trace) } else { trace.or(subject) };
        let process = || {
            let parts = [&row.environment, &row.service, &row.instance];
            hash(&parts.map(|part| part.as_deref().unwrap_or_default().as_bytes()))
        };
        let key = if row.cumulative { process() } else { own.unwrap_or_else(process) };
        if let (true, false, Some(id)) = (self.by_subject, row.cumulative, trace) {
            match subject {
                Some(subject) => drop(self.subjects.entry(id).or_insert(subject)),
                None => self.open.push((self.all.len(), id)),
            }
        }
        self.all.push(Mark { key, bytes: u32::try_from(bytes).unwrap_or(u32::MAX), stays: row.cumulative });
    }

    /// All of them: by subject, a row without one goes with the first subject that its trace has in the request.
    pub fn end(mut self) -> Vec<Mark> {
        for (place, trace) in self.open {
            if let (Some(mark), Some(subject)) = (self.all.get_mut(place), self.subjects.get(&trace)) {
                mark.key = *subject;
            }
        }
        self.all
    }
}

/// Rows of one request, packed, and a mark for each where there are several nodes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Packed, without the version in front.
    pub rows: Vec<u8>,
    /// In the order of the rows.
    pub marks: Vec<Mark>,
}

/// The nodes, by their names.
pub struct Nodes(Vec<u64>);

impl Nodes {
    /// Nodes with these names; their order is of no account.
    pub fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        Self(names.map(|name| hash(&[name.as_bytes()])).collect())
    }

    /// The first node in the order of a row, among those that may.
    pub fn of(&self, mark: &Mark, may: impl Fn(usize) -> bool) -> Option<usize> {
        let nodes = self.0.iter().enumerate().filter(|(node, _)| may(*node));
        nodes.max_by_key(|(_, seed)| mix(mark.key ^ **seed)).map(|(node, _)| node)
    }

    /// Where a row is at home.
    pub fn home(&self, mark: &Mark) -> Option<usize> {
        self.of(mark, |_| true)
    }

    /// Divides rows among the nodes that may; none where a row has no place.
    pub fn split(&self, part: &Part, may: impl Fn(usize) -> bool) -> Option<Vec<(usize, Part)>> {
        let mut parts: Vec<Part> = self.0.iter().map(|_| Part::default()).collect();
        let mut rest = part.rows.as_slice();
        for mark in &part.marks {
            let (row, after) = rest.split_at_checked(mark.bytes as usize)?;
            rest = after;
            let node = if mark.stays { self.home(mark).filter(|home| may(*home)) } else { self.of(mark, &may) };
            let to = parts.get_mut(node?)?;
            to.rows.extend_from_slice(row);
            to.marks.push(*mark);
        }
        Some(parts.into_iter().enumerate().filter(|(_, part)| !part.marks.is_empty()).collect())
    }
}

/// FNV-1a of some parts, each behind its length: the same in every gateway, of whatever version.
fn hash(parts: &[&[u8]]) -> u64 {
    let lengths = parts.iter().map(|part| (part.len() as u64).to_le_bytes());
    parts.iter().zip(lengths).fold(BASIS, |hash, (part, length)| fnv(fnv(hash, &length), part))
}

const BASIS: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The step of SplitMix64: each bit of what goes in changes half of those that come out.
fn mix(of: u64) -> u64 {
    let z = of.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use flagscope_core::otlp::decode;

    use super::*;

    const NAMES: [&str; 5] =
        ["eu-1:5432/shop", "eu-2:5432/shop", "eu-3:5432/shop", "us-1:5432/shop", "us-2:5432/shop"];

    fn mark(n: u64) -> Mark {
        Mark { key: hash(&[b"subject", format!("user-{n}").as_bytes()]), bytes: 1, stays: false }
    }

    #[test]
    fn the_hashes_are_those_of_their_authors() {
        // http://www.isthe.com/chongo/tech/comp/fnv/ and splitmix64.c of Sebastiano Vigna, seed 0.
        assert_eq!(fnv(BASIS, b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv(BASIS, b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn keys_are_spread_evenly() {
        let nodes = Nodes::new(NAMES.into_iter());
        for make in [mark as fn(u64) -> Mark, |n| Mark { key: hash(&[b"trace", &n.to_be_bytes()]), ..mark(0) }] {
            let (mut counts, keys) = ([0_u32; 5], 50_000);
            for n in 0..keys {
                counts[nodes.home(&make(n)).unwrap()] += 1;
            }
            let expected = keys as f64 / 5.0;
            let chi: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
            // The 99.9 % quantile of chi-square with 4 degrees of freedom (tables: 18.467).
            assert!(chi < 18.467, "{chi} {counts:?}");
        }
    }

    #[test]
    fn only_the_keys_of_a_node_that_is_away_move() {
        let nodes = Nodes::new(NAMES.into_iter());
        for (away, gone) in NAMES.iter().enumerate() {
            let left = Nodes::new(NAMES.into_iter().filter(|name| name != gone));
            let mut to = [0; 5];
            for n in 0..10_000 {
                let (home, now) = (nodes.home(&mark(n)).unwrap(), nodes.of(&mark(n), |node| node != away).unwrap());
                assert!(now != away && (home == away || home == now), "{n}");
                to[now] += u32::from(home == away);
                // Whether it is away or was never there is the same.
                let place = left.home(&mark(n)).unwrap();
                assert_eq!(place + usize::from(place >= away), now, "{n}");
            }
            // Each of the other four takes some quarter of its 2,000.
            assert!(to.iter().enumerate().all(|(node, n)| node == away || (400..600).contains(n)), "{to:?}");
        }
        let mut turned = NAMES;
        turned.reverse();
        let turned = Nodes::new(turned.into_iter());
        assert!((0..1000).all(|n| turned.home(&mark(n)).unwrap() + nodes.home(&mark(n)).unwrap() == 4));
    }

    /// Marks of spans with (trace, subject).
    fn marks(by_subject: bool, spans: &[(u8, &str)]) -> Vec<u64> {
        let spans: Vec<String> = spans
            .iter()
            .map(|(trace, subject)| {
                let attributes = if subject.is_empty() {
                    String::new()
                } else {
                    format!(r#","attributes":[{{"key":"user.id","value":{{"stringValue":"{subject}"}}}}]"#)
                };
                let trace = if *trace == 0 { String::new() } else { format!(r#","traceId":"{trace:032x}""#) };
                format!(r#"{{"timeUnixNano":"1700000000000000000"{trace}{attributes}}}"#)
            })
            .collect();
        let text = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{}]}}]}}]}}"#, spans.join(","));
        let mut marks = Marks::new(by_subject);
        let decoded = decode(&text);
        assert_eq!((decoded.rows.len(), decoded.rejected), (spans.len(), 0));
        decoded.rows.iter().for_each(|row| marks.add(row, 1));
        marks.end().iter().map(|mark| mark.key).collect()
    }

    #[test]
    fn a_trace_is_together_by_trace_and_with_its_subject_by_subject() {
        let rows = [(1, ""), (1, "ann"), (0, "ann"), (2, "ann"), (1, ""), (3, ""), (1, "bob")];
        let by_trace = marks(false, &rows);
        assert!([1, 4, 6].iter().all(|n| by_trace[*n] == by_trace[0]), "{by_trace:?}");
        assert!(
            by_trace[2] != by_trace[0] && by_trace[3] != by_trace[2],
            "its subject's other rows may be elsewhere"
        );
        let by_subject = marks(true, &rows);
        assert!([0, 2, 3, 4].iter().all(|n| by_subject[*n] == by_subject[1]), "{by_subject:?}");
        assert!(by_subject[6] != by_subject[0], "another subject in the trace");
        assert_eq!(by_subject[5], by_trace[5], "a trace of which no subject is seen");
        assert_eq!(by_subject[2], by_trace[2], "a subject without a trace");
    }

    #[test]
    fn rows_are_divided_in_their_order_and_what_stays_waits() {
        let nodes = Nodes::new(NAMES.into_iter());
        let mut part = Part::default();
        for n in 0..200_u8 {
            part.marks.push(Mark { bytes: 2, ..mark(u64::from(n)) });
            part.rows.extend_from_slice(&[n, n]);
        }
        let parts = nodes.split(&part, |node| node != 3).unwrap();
        let mut seen: Vec<u8> = Vec::new();
        for (node, part) in &parts {
            assert!(*node != 3 && part.rows.len() == part.marks.len() * 2 && part.rows.is_sorted());
            seen.extend(part.rows.chunks(2).map(|row| row[0]));
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..200).collect::<Vec<u8>>());
        let home = nodes.home(&part.marks[0]).unwrap();
        part.marks[0].stays = true;
        assert!(nodes.split(&part, |node| node != home).is_none(), "its difference is to a point that is away");
        assert!(nodes.split(&part, |node| node == home).is_some());
        assert!(nodes.split(&part, |_| false).is_none());
    }
}
