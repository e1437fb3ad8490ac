//! Values: sketches, documents, texts and arrays.

use std::panic::{RefUnwindSafe, UnwindSafe};

use flagscope_core::sketch::{Histogram, Moments, Ratio, Sketch, TDigest};
use pgrx::pg_sys::Datum;
use pgrx::pg_sys::panic::CaughtError;
use pgrx::prelude::*;
use serde_json::{Value, json};

use super::{Outcome, forms};
use crate::pg::document::Document;
use crate::pg::jsonb::{Jsonb, plain_at, text_at};
use crate::pg::value::Stored;

/// What a conversion ends with: its result, or the words of its error, which comes from Rust and leaves nothing of
/// PostgreSQL's half done.
fn caught<T>(call: impl FnOnce() -> T + UnwindSafe + RefUnwindSafe) -> Result<T, String> {
    PgTryBuilder::new(|| Ok(call())).catch_others(|e| Err(words(&e))).catch_rust_panic(|e| Err(words(&e))).execute()
}

fn words(error: &CaughtError) -> String {
    let (CaughtError::PostgresError(report)
    | CaughtError::ErrorReport(report)
    | CaughtError::RustPanic { ereport: report, .. }) = error;
    report.message().to_owned()
}

/// The words of a statement's error, in a subtransaction; none: it goes through.
fn refusal(statement: &str) -> Result<Option<String>, spi::Error> {
    Spi::run(
        "CREATE OR REPLACE FUNCTION pg_temp.refusal(statement text) RETURNS text LANGUAGE plpgsql AS
         'BEGIN EXECUTE statement; RETURN NULL; EXCEPTION WHEN OTHERS THEN RETURN SQLERRM; END'",
    )?;
    Spi::get_one_with_args("SELECT pg_temp.refusal($1)", &[statement.into()])
}

/// A sketch comes back as it was, whatever form its datum has.
fn returns<S: Sketch>(sketch: &S) -> Outcome {
    let name = format!("flagscope.{}", S::NAME);
    for (form, datum) in forms::of(Stored::to_datum(sketch), &name)? {
        // SAFETY: each is a datum of the sketch's type.
        let back = unsafe { Stored::<S>::from_datum(datum, false) };
        assert_eq!(back.map(|s| s.0.encode()), Some(sketch.encode()), "{name} {form}");
    }
    // SAFETY: NULL has no datum.
    assert!(unsafe { Stored::<S>::from_datum(Datum::from(0), true) }.is_none(), "{name} NULL");
    Ok(())
}

/// Damaged bytes are an error, at whatever place they end.
fn refuses_its_parts<S: Sketch>(sketch: &S) {
    let bytes = sketch.encode();
    for end in 0..bytes.len().min(300) {
        let part = bytes[..end].to_vec();
        // SAFETY: a varlena that says it is of this type, and is none.
        let read = caught(move || {
            unsafe { Stored::<S>::from_datum(part.into_datum().unwrap_or(Datum::from(0)), false) }.is_some()
        });
        assert!(read.is_err(), "{} of {end} bytes", S::NAME);
    }
}

#[pg_test(schema = "tests")]
fn sketches_in_every_form() -> Outcome {
    for n in [0, 1, 5, 20_000] {
        let (mut moments, mut histogram) = (Moments::default(), Histogram::new(5)?);
        let (mut digest, mut ratio) = (TDigest::new(1000)?, Ratio::default());
        for i in 0..n {
            let x = f64::from(i).sin() * 1e6;
            moments.push(x);
            histogram.push(x);
            digest.push(x);
            ratio.push(x, x + 1.0);
        }
        digest.flush();
        returns(&moments)?;
        returns(&histogram)?;
        returns(&digest)?;
        returns(&ratio)?;
    }
    Ok(())
}

#[pg_test(schema = "tests")]
fn damaged_sketches_are_errors() -> Outcome {
    let (mut moments, mut histogram, mut digest) = (Moments::default(), Histogram::new(5)?, TDigest::new(100)?);
    for i in 0..50 {
        moments.push(f64::from(i));
        histogram.push(f64::from(i));
        digest.push(f64::from(i));
    }
    digest.flush();
    refuses_its_parts(&moments);
    refuses_its_parts(&histogram);
    refuses_its_parts(&digest);
    Ok(())
}

#[pg_test(schema = "tests")]
fn documents_in_every_form() -> Outcome {
    let huge: Value =
        (0..20_000).map(|i| (format!("key {i}"), json!([i, null, "text"]))).collect::<serde_json::Map<_, _>>().into();
    for value in [
        json!(null),
        json!(1.5),
        json!("x"),
        json!([]),
        json!({}),
        json!({"a": {"b": [true]}}),
        json!("x".repeat(100_000)),
        huge,
    ] {
        let datum = pgrx::JsonB(value.clone()).into_datum().ok_or("a document is not NULL")?;
        for (form, datum) in forms::of(datum, "jsonb")? {
            // SAFETY: each is a jsonb.
            let read = unsafe { Document::from_datum(datum, false) }.ok_or("it is not NULL")?;
            assert_eq!(read.0.map_err(|error| error.to_string()), Ok(value.clone()), "{form}");
        }
    }
    // SAFETY: NULL has no datum.
    assert!(unsafe { Document::from_datum(Datum::from(0), true) }.is_none());
    Ok(())
}

#[pg_test(schema = "tests")]
fn documents_that_cannot_be_read_are_errors_of_ours() -> Outcome {
    for text in ["'1e400'", "repeat('[', 200) || repeat(']', 200)", "'{\"a\": ' || repeat('9', 100000) || '}'"] {
        let read = Spi::get_one::<Document>(&format!("SELECT ({text})::jsonb"))?.ok_or("it is not NULL")?;
        assert!(read.0.is_err(), "{text}");
    }
    Ok(())
}

#[pg_test(schema = "tests")]
fn flags_in_every_form() -> Outcome {
    let many: Value = (0..3000).map(|i| (format!("flag-{i}"), json!("on"))).collect::<serde_json::Map<_, _>>().into();
    for value in [
        json!({}),
        json!({"a": "on"}),
        json!({"a": "on", "b": 1, "c": null, "d": {"e": "on"}}),
        json!({"long": "v".repeat(9000)}),
        many,
    ] {
        let datum = pgrx::JsonB(value.clone()).into_datum().ok_or("flags are not NULL")?;
        let mut want: Vec<_> =
            value.as_object().into_iter().flatten().filter_map(|(k, v)| Some((k.as_str(), v.as_str()?))).collect();
        want.sort_unstable();
        for (form, datum) in forms::of(datum, "jsonb")? {
            // SAFETY: each is a jsonb that stays until the end of the test.
            let mut got = unsafe { Jsonb::new(datum) }.text_entries();
            got.sort_unstable();
            assert_eq!(got, want, "{form}");
        }
    }
    Ok(())
}

#[pg_test(schema = "tests")]
fn flags_that_are_no_object_have_no_entries() -> Outcome {
    for text in ["null", "1", "\"on\"", "[]", "[{\"a\": \"on\"}]", "true"] {
        let flags = Spi::get_one::<pgrx::JsonB>(&format!("SELECT '{text}'::jsonb"))?.and_then(IntoDatum::into_datum);
        // SAFETY: a jsonb that stays until the end of the test.
        let flags = unsafe { Jsonb::new(flags.ok_or("it is not NULL")?) };
        assert_eq!((flags.text_entries().len(), flags.entries().len()), (0, 0), "{text}");
    }
    Ok(())
}

#[pg_test(schema = "tests")]
fn texts_in_every_form() -> Outcome {
    for text in [
        String::new(),
        "production".into(),
        "grün".into(),
        "x".repeat(126),
        "x".repeat(3000),
        "äöü€😀".repeat(200_000),
    ] {
        let datum = text.as_str().into_datum().ok_or("a text is not NULL")?;
        for (form, datum) in forms::of(datum, "text")? {
            // SAFETY: each is a text that stays until the end of the test.
            assert_eq!(unsafe { text_at(datum, false) }, Some(text.as_str()), "{form}");
        }
    }
    // SAFETY: NULL has no datum.
    unsafe {
        assert_eq!(text_at(Datum::from(0), true), None);
        assert_eq!(plain_at::<i64>(Datum::from(0), true), None);
        assert_eq!(plain_at::<f64>(1.5.into_datum().unwrap_or(Datum::from(0)), false), Some(1.5));
    }
    Ok(())
}

#[pg_test(schema = "tests")]
fn a_text_that_is_not_utf8_is_none() {
    let datum = vec![0x66u8, 0xff, 0x66].into_datum().unwrap_or(Datum::from(0));
    // SAFETY: a varlena, whose bytes are no text: as in a database of encoding SQL_ASCII.
    assert_eq!(unsafe { text_at(datum, false) }, None);
}

#[pg_test(schema = "tests")]
fn arrays_whatever_their_bounds() -> Outcome {
    // What comes of an array from 1 on is what comes of it from elsewhere, and of one that plpgsql holds expanded.
    let one = "SELECT array_to_string(flagscope.quantile(flagscope.histogram(x), '{{BOUNDS}}'), ' ') FROM generate_series(1, 1000) x";
    let of = |array: &str| Spi::get_one::<String>(&one.replace("'{{BOUNDS}}'", array));
    let want = of("'{0.5,0.9}'::float8[]")?;
    assert!(want.is_some());
    assert_eq!(of("'[0:1]={0.5,0.9}'::float8[]")?, want);
    assert_eq!(of("'[-7:-6]={0.5,0.9}'::float8[]")?, want);
    assert_eq!(of("('[5:8]={0,0.5,0.9,1}'::float8[])[6:7]")?, want);
    Spi::run(
        "CREATE FUNCTION pg_temp.expanded() RETURNS float8[] LANGUAGE plpgsql AS 'DECLARE a float8[]; BEGIN a[3] := 0.9; a[2] := 0.5; RETURN a; END'",
    )?;
    assert_eq!(of("pg_temp.expanded()")?, want);
    // NULL inside is NULL inside: array_to_string leaves it out.
    assert_eq!(of("'{0.5,NULL}'::float8[]")?, of("'{0.5}'::float8[]")?);
    for nothing in ["'{}'::float8[]", "NULL::float8[]"] {
        assert_eq!(of(nothing)?.unwrap_or_default(), "", "{nothing}");
    }
    Ok(())
}

#[pg_test(schema = "tests")]
fn arrays_with_null_inside_are_errors() -> Outcome {
    for query in [
        "SELECT flagscope.adjust_p_values('{1,NULL}')",
        "SELECT flagscope.adjust_p_values('[3:4]={NULL,1}')",
        "SELECT _flagscope.week_ends('2026-11-29', '{NULL}', 0, 1)",
    ] {
        let said = refusal(query)?;
        assert!(said.as_ref().is_some_and(|words| words.contains("NULL")), "{query}: {said:?}");
    }
    Ok(())
}

#[pg_test(schema = "tests")]
fn arrays_of_more_dimensions_are_read_or_refused() -> Outcome {
    // Whichever it is: the backend lives, and so do its transaction and the next call.
    for query in [
        "SELECT flagscope.quantile(flagscope.histogram(1), '{{0.5,0.9},{0.1,0.2}}'::float8[])",
        "SELECT _flagscope.judge_split('{{1},{2}}', '{{0.5},{0.5}}', '{0,0}', '{1,1}', '{f,f}', '{1,1}', '{1,1}', '{}', 0.01)",
        "SELECT flagscope.adjust_p_values('{{0.1},{0.2}}'::float8[])",
    ] {
        refusal(query)?;
    }
    assert_eq!(refusal("SELECT 1")?, None);
    Ok(())
}
