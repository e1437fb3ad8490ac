//! What must hold for any bytes: an error or an answer, never a panic, and the same answer twice. Shared by the libFuzzer
//! targets beside it and by the bounded run of `make check` (src/core/tests/fuzz.rs).

use std::sync::Arc;

use flagscope_core::otlp;
use flagscope_core::sketch::{Histogram, Moments, Sketch, TDigest};
use flagscope_core::targeting::{Bucketing, Flag, Rule, Session, check, evaluate, explain, flagd};
use serde_json::{Map, Value, json};

/// Lines of JSON: a rule, a context, segments, a document of flagd. What is none is no input.
pub fn targeting(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n').map(serde_json::from_str::<Value>);
    let mut next = || lines.next().and_then(Result::ok);
    let (rule, context, segments, document) = (next().unwrap_or_default(), next(), next(), next());
    let segments = segments.and_then(|value| value.as_object().cloned()).unwrap_or_default();
    let fatal = check(&rule, &segments).iter().any(|problem| problem.error.is_some());
    for bucketing in [Bucketing::V2, Bucketing::V3] {
        assert_eq!(
            Rule::compile(&rule, &segments, bucketing, "flag").is_err(),
            fatal,
            "check() says otherwise: {rule}"
        );
        let Some(flag) = flag(&rule, &segments, bucketing) else { continue };
        let context = context.clone().unwrap_or_else(|| json!({}));
        let once = answer(&flag, &context);
        assert_eq!(once, answer(&flag, &context), "two answers: {rule} {context}");
    }
    for document in document.iter().chain([&rule]) {
        if let Ok(read) = flagd::read(document) {
            let definitions: Vec<_> = read.flags.into_iter().filter_map(|flag| flag.definition).collect();
            flagd::write(&definitions, &read.segments, &read.metadata);
        }
    }
}

fn flag(rule: &Value, segments: &Map<String, Value>, bucketing: Bucketing) -> Option<Flag> {
    let flag = json!({"state": "ENABLED", "variants": {"a": 1, "b": 2}, "defaultVariant": "a", "targeting": rule});
    let document = flagd::read(&json!({"flags": {"flag": flag}})).ok()?;
    let mut definition = document.flags.into_iter().next()?.definition?;
    definition.bucketing = bucketing;
    Some(Flag::new(definition, segments, &Map::new()))
}

fn answer(flag: &Flag, context: &Value) -> Option<(Option<String>, String)> {
    let mut session = Session::new();
    let mut builder = session.begin(1_700_000_000);
    builder.value(context).ok()?;
    let context = builder.finish(Some("key")).ok()?;
    let nobody = |_: &str| None::<Arc<Flag>>;
    let answer = evaluate(Some(flag), None, &context, &nobody);
    let result = (answer.variant.map(str::to_owned), format!("{:?} {:?}", answer.reason, answer.error));
    explain("flag", Some(flag), None, &context, &nobody);
    Some(result)
}

/// An OTLP payload.
pub fn otlp(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let decoded = otlp::decode(text);
    // Also what was not understood is told, without a rejected record.
    assert!(decoded.rejected == 0 || decoded.first_error.is_some());
    assert_eq!(decoded, otlp::decode(text));
}

/// A request of protobuf, of each kind; and packed rows, which come from whoever may call `ingest_rows`.
pub fn protobuf(bytes: &[u8]) {
    for request in [otlp::Request::Traces, otlp::Request::Logs, otlp::Request::Metrics] {
        let mut packed = Vec::new();
        let mut count = 0;
        let account = otlp::read_protobuf(request, bytes, &mut |row| {
            otlp::pack(&mut packed, &row);
            count += 1;
        });
        assert!(account.rejected == 0 || account.first_error.is_some());
        assert_eq!(otlp::unpack(&packed).filter_map(Result::ok).count(), count);
    }
    let rows: Vec<_> = otlp::unpack(bytes).map_while(Result::ok).collect();
    let mut again = Vec::new();
    rows.iter().for_each(|row| otlp::pack(&mut again, row));
    assert_eq!(otlp::unpack(&again).filter_map(Result::ok).count(), rows.len());
}

/// A sketch from storage or a client, binary or as text: what is accepted comes back as it was.
pub fn sketch(bytes: &[u8]) {
    one_sketch::<TDigest>(bytes);
    one_sketch::<Histogram>(bytes);
    one_sketch::<Moments>(bytes);
}

fn one_sketch<S: Sketch + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).ok();
    for sketch in S::decode(bytes).ok().into_iter().chain(text.and_then(|text| S::from_text(text).ok())) {
        let again = S::decode(&sketch.encode());
        assert_eq!(again.as_ref().ok(), Some(&sketch), "{again:?}");
        assert_eq!(S::from_text(&sketch.to_text()).ok(), Some(sketch));
    }
}
