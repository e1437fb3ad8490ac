//! The fuzz targets of tests/fuzz in a bounded form that is the same in every run: mutations of real inputs, by a fixed
//! seed. `make fuzz` runs them guided by coverage, for as long as asked.

use flagscope_core::otlp;
use flagscope_core::sketch::{Histogram, Moments, Sketch, TDigest};
use serde_json::Value;

#[path = "../../../tests/fuzz/judge.rs"]
mod judge;

/// What breaks JSON and numbers.
const TOKENS: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    "\\",
    "\n",
    "null",
    "true",
    "-1",
    "0",
    "1e308",
    "1e400",
    "-0.0",
    "0.5",
    "9223372036854775808",
    "\\u0000",
    "\\ud800",
    "{\"var\": \"\"}",
    "[[[[",
    "\u{fffd}",
    "999999999",
];

/// Marsaglia's xorshift64: good enough to pick places, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len() + 1);
        let end = (at + 1 + self.below(20)).min(bytes.len());
        match self.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            1 if at < bytes.len() => bytes[at] = self.below(256) as u8,
            2 if at < end => drop(bytes.drain(at..end)),
            3 if at < end => bytes.extend_from_within(at..end),
            4 => {
                let from = self.below(other.len());
                let part = other[from..(from + 40).min(other.len())].to_vec();
                bytes.splice(at..end.max(at), part);
            }
            _ => drop(bytes.splice(at..at, TOKENS[self.below(TOKENS.len())].bytes()).count()),
        }
    }
}

/// Runs a judge on mutated seeds; on the stack that PostgreSQL gives a backend, times what a build without optimisation takes.
fn bounded(name: &'static str, seeds: Vec<Vec<u8>>, runs: usize, judge: fn(&[u8])) {
    let run = move || {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
        for turn in 0..runs {
            let mut bytes = seeds[turn % seeds.len()].clone();
            for _ in 0..dice.below(6) {
                let other = dice.below(seeds.len());
                dice.mutate(&mut bytes, &seeds[other]);
            }
            let input = bytes.clone();
            if std::panic::catch_unwind(move || judge(&input)).is_err() {
                panic!("{name}, run {turn}: {:?}", String::from_utf8_lossy(&bytes));
            }
        }
    };
    std::thread::Builder::new().stack_size(8 << 20).spawn(run).expect("a thread").join().expect("no panic");
}

fn data(file: &str) -> String {
    let path = format!("{}/../../tests/data/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|problem| panic!("{path}: {problem}"))
}

#[test]
fn targeting() {
    let cases: Vec<Value> = serde_json::from_str(&data("flagd-cases/jsonlogic.json")).expect("JSON");
    let mut seeds: Vec<Vec<u8>> =
        cases.iter().map(|case| format!("{}\n{}", case["rule"], case["data"]).into_bytes()).collect();
    let sets: Value = serde_json::from_str(&data("flagd-cases/flagsets.json")).expect("JSON");
    for set in sets.as_object().expect("an object").values() {
        let flags = set["flags"].as_object().into_iter().flatten();
        seeds.extend(flags.map(|(key, flag)| {
            let document = serde_json::json!({"flags": {key: flag}, "$evaluators": set["$evaluators"]});
            format!("{}\n{{\"x\": 1}}\n{}\n{document}", flag["targeting"], set["$evaluators"]).into_bytes()
        }));
    }
    bounded("targeting", seeds, 6_000, judge::targeting);
}

#[test]
fn otlp() {
    let mut seeds: Vec<Vec<u8>> =
        data("otlp/edge_cases.jsonl").lines().map(|line| line.as_bytes().to_vec()).collect();
    for file in ["otlp/traces.jsonl", "otlp/logs.jsonl", "otlp/metrics.jsonl"] {
        let short = data(file);
        seeds.extend(short.lines().filter(|line| line.len() < 20_000).take(3).map(|line| line.as_bytes().to_vec()));
    }
    bounded("otlp", seeds, 6_000, judge::otlp);
}

#[test]
fn protobuf() {
    let mut seeds = Vec::new();
    for file in ["traces", "logs", "metrics"] {
        let path = format!("{}/../../tests/data/otlp/{file}.pb", env!("CARGO_MANIFEST_DIR"));
        let samples = std::fs::read(&path).unwrap_or_else(|problem| panic!("{path}: {problem}"));
        // Each request stands behind its length; the first one of each file is short enough.
        let (length, rest) = samples.split_first_chunk::<4>().expect("a length");
        let request = rest[..u32::from_le_bytes(*length) as usize].to_vec();
        for kind in [otlp::Request::Traces, otlp::Request::Logs, otlp::Request::Metrics] {
            let mut packed = Vec::new();
            otlp::read_protobuf(kind, &request, &mut |row| {
                if packed.len() < 2000 {
                    otlp::pack(&mut packed, &row)
                }
            });
            seeds.extend((!packed.is_empty()).then_some(packed));
        }
        seeds.push(request);
    }
    bounded("protobuf", seeds, 3_000, judge::protobuf);
}

#[test]
fn sketches() {
    let (mut digest, mut histogram) = (TDigest::new(20).expect("a digest"), Histogram::new(3).expect("a histogram"));
    let mut moments = Moments::default();
    for i in -3..30 {
        let x = f64::from(i).powi(3) / 7.0;
        digest.push(x);
        histogram.push(x);
        moments.push(x);
    }
    digest.flush();
    let texts = [digest.to_text(), histogram.to_text(), moments.to_text()];
    let mut seeds = vec![digest.encode(), histogram.encode(), moments.encode()];
    seeds.extend(texts.map(String::into_bytes));
    bounded("sketch", seeds, 30_000, judge::sketch);
}

/// Extremes without any value, found by libFuzzer: they would have come to life in the next merge.
#[test]
fn what_libfuzzer_found() {
    judge::sketch(b"[0,0,[],[],2,1,0,0]");
    let empty = r#"{"scale":5,"zero":0,"positive":[],"negative":[],"min":2.0,"max":1.0,"sum":0.0,"invalid":0}"#;
    assert!(Histogram::from_text(empty).is_err());
}
