//! Answers of the states that a person can check, and the words of their errors.

use flagscope_core::Kind;
use flagscope_core::sketch::histogram::{DEFAULT_SCALE, ZERO_KEY, shift_for_margin};
use flagscope_core::sketch::{Histogram, MAX_COUNT, Moments, Sketch, TDigest};

#[test]
fn nothing_has_no_answers() {
    let (moments, histogram, digest) = (Moments::default(), Histogram::default(), TDigest::default());
    assert_eq!((moments.mean(), moments.sum(), moments.variance(), moments.min()), (None, None, None, None));
    assert_eq!((histogram.sum(), histogram.min(), histogram.max()), (None, None, None));
    assert_eq!(histogram.quantile(0.5), Ok(None));
    assert_eq!(digest.quantile(0.5), Ok(None));
    assert_eq!((digest.rank(1.0), digest.trimmed_mean(0.1, 0.9)), (Ok(None), Ok(None)));
}

#[test]
fn one_value_has_a_mean_but_no_variance() {
    let mut moments = Moments::default();
    moments.push(3.0);
    assert_eq!((moments.mean(), moments.variance(), moments.stddev()), (Some(3.0), None, None));
}

/// A sum of squares would lose this variance: 1e18 has no digits left for 30.
#[test]
fn a_large_mean_does_not_drown_the_variance() {
    let mut moments = Moments::default();
    [4.0, 7.0, 13.0, 16.0].iter().for_each(|x| moments.push(1e9 + x));
    assert_eq!((moments.mean(), moments.variance()), (Some(1e9 + 10.0), Some(30.0)));
}

#[test]
fn extremes_of_float_do_not_poison_moments() {
    let mut moments = Moments::default();
    [f64::MAX, f64::MIN].iter().for_each(|x| moments.push(*x));
    assert_eq!(moments.mean(), Some(0.0));
    let mut moments = Moments::default();
    [f64::MAX, f64::MIN, f64::MAX, 1.0, f64::NAN, f64::NEG_INFINITY].iter().for_each(|x| moments.push(*x));
    assert_eq!((moments.count(), moments.invalid()), (4, 2));
    assert!(moments.mean().is_some_and(f64::is_finite) && moments.m2() == f64::MAX);
}

#[test]
fn invalid_values_are_counted_apart() {
    let (mut histogram, mut digest) = (Histogram::default(), TDigest::default());
    for x in [1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        histogram.push(x);
        digest.push(x);
    }
    histogram.push_n(f64::NAN, 5).expect("few values");
    assert_eq!((histogram.count(), histogram.invalid(), histogram.max()), (1, 8, Some(1.0)));
    assert_eq!((digest.count(), digest.invalid(), digest.max()), (1, 3, Some(1.0)));
}

#[test]
fn bins_are_those_of_opentelemetry() {
    let mut h = Histogram::new(0).expect("a scale");
    [1.0, 1.5, 2.0, 2.1, 0.0, -3.0, -0.0, 1e-310].iter().for_each(|x| h.push(*x));
    assert_eq!(h.zero(), 3);
    assert_eq!(h.buckets(), [(-4.0, -2.0, 1), (0.0, 0.0, 3), (0.5, 1.0, 1), (1.0, 2.0, 2), (2.0, 4.0, 1)]);
    assert_eq!([h.count_above(0), h.count_above(-1), h.count_above(ZERO_KEY)], [1, 3, 4]);
    assert_eq!((h.lower_bound(1), h.upper_bound(1), h.upper_bound(1 << 19)), (Some(2.0), Some(4.0), None));
    assert_eq!(Histogram::default().key(f64::NAN), None);
}

#[test]
fn margins_are_rounded_up_to_bins() {
    let base = 2_f64.powf(1.0 / 32.0);
    for bins in 0..200 {
        assert_eq!(shift_for_margin(base.powi(bins) - 1.0, DEFAULT_SCALE), Ok(bins));
        assert_eq!(shift_for_margin(base.powi(bins) - 1.0 + 1e-6, DEFAULT_SCALE), Ok(bins + 1));
    }
    assert_eq!(shift_for_margin(1.0, 5), Ok(32));
    assert_eq!(shift_for_margin(0.05, 5), Ok(3));
    // Some of these logarithms come out above the exact multiple.
    for (scale, bins) in (0..=8).flat_map(|scale| (0..500).map(move |bins| (scale, bins))) {
        let margin = 2_f64.powf(f64::from(bins) / f64::from(1 << scale)) - 1.0;
        assert!(margin > 1e9 || shift_for_margin(margin, scale) == Ok(bins), "{scale} {bins}");
    }
    for margin in [-0.1, f64::NAN, f64::INFINITY] {
        assert_eq!(shift_for_margin(margin, 5).unwrap_err().kind, Kind::InvalidParameter);
    }
}

#[test]
fn a_digest_knows_the_tail() {
    let mut digest = TDigest::default();
    (1..=100_000).for_each(|x| digest.push(f64::from(x)));
    let p999 = digest.quantile(0.999).expect("a level").expect("values");
    assert!((p999 / 99_900.0 - 1.0).abs() < 0.001, "{p999}");
    assert!((digest.rank(25_000.0).expect("a number").expect("values") - 0.25).abs() < 0.005);
    assert!((digest.trimmed_mean(0.1, 0.9).expect("levels").expect("values") / 50_000.5 - 1.0).abs() < 0.01);
    assert_eq!((digest.count(), digest.min(), digest.max()), (100_000, Some(1.0), Some(100_000.0)));
}

#[test]
fn texts_are_one_readable_line() {
    let (mut moments, mut histogram, mut digest) = (Moments::default(), Histogram::default(), TDigest::default());
    for x in [1.0, 2.0] {
        moments.push(x);
        digest.push(x);
        histogram.push(2.0);
    }
    assert_eq!(moments.to_text(), r#"{"n":2,"mean":1.5,"m2":0.5,"min":1.0,"max":2.0,"invalid":0}"#);
    assert_eq!(
        histogram.to_text(),
        r#"{"scale":5,"zero":0,"positive":[[31,2]],"negative":[],"min":2.0,"max":2.0,"sum":4.0,"invalid":0}"#
    );
    assert_eq!(
        digest.to_text(),
        r#"{"compression":100,"count":2,"min":1.0,"max":2.0,"centroids":[[1.0,1],[2.0,1]],"invalid":0}"#
    );
}

#[test]
fn errors_tell_what_and_what_to_do() {
    for error in [Histogram::default().quantile(1.5).unwrap_err(), TDigest::default().quantile(1.5).unwrap_err()] {
        assert_eq!(error.kind, Kind::InvalidParameter);
        assert_eq!(error.message, "quantile must be between 0 and 1, got \"1.5\"");
        assert!(error.hint.is_some());
    }
    assert!(Histogram::default().quantile(f64::NAN).is_err() && TDigest::default().rank(f64::NAN).is_err());
    assert_eq!(TDigest::default().trimmed_mean(0.9, 0.1).unwrap_err().kind, Kind::InvalidParameter);
    assert_eq!(TDigest::new(9).unwrap_err().kind, Kind::InvalidParameter);
    assert_eq!(Histogram::new(9).unwrap_err().kind, Kind::InvalidParameter);
    let error = Moments::from_text("{}").unwrap_err();
    assert_eq!(error.kind, Kind::InvalidText);
    assert!(error.message.starts_with("invalid input for type moments: missing field `n`"), "{}", error.message);
    assert!(error.hint.is_some_and(|hint| hint.contains(r#"{"n":2,"#)));
    assert_eq!(Moments::decode(&[2]).unwrap_err().message, "moments cannot be decoded: version \"2\" is unknown");
}

#[test]
fn numbers_in_bytes_are_minimal_and_of_64_bits() {
    assert_eq!(Moments::decode(&[1, 0, 0]), Ok(Moments::default()));
    let message = |bytes: &[u8]| Moments::decode(bytes).unwrap_err().message;
    assert!(message(&[1, 0x80, 0, 0]).ends_with("a number has more bytes than it needs"));
    let mut long = vec![1];
    long.extend([0xff; 9]);
    long.extend([2, 0]);
    assert!(message(&long).ends_with("a number is longer than 64 bits"));
    assert!(message(&[1, 0, 0, 7]).ends_with("\"1\" bytes follow the end"));
    // A claim of 2^53 bins is refused before memory is asked for.
    let claim = [1, 10, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
    assert!(Histogram::decode(&claim).unwrap_err().message.ends_with("items do not fit into the bytes"));
}

#[test]
fn a_full_state_refuses_more() {
    let mut full = Histogram::default();
    full.push_n(1.0, MAX_COUNT).expect("just enough");
    assert_eq!(full.push_n(1.0, 1).unwrap_err().kind, Kind::LimitExceeded);
    assert_eq!(full.push_n(1.0, u64::MAX).unwrap_err().kind, Kind::LimitExceeded);
    let (before, other) = (full.clone(), full.clone());
    assert_eq!(full.merge(&other).unwrap_err().kind, Kind::LimitExceeded);
    assert_eq!(full, before);
}

#[test]
fn impossible_texts_are_refused() {
    let histogram = |text: &str| Histogram::from_text(text).unwrap_err().message;
    let good =
        r#"{"scale":5,"zero":1,"positive":[[31,2]],"negative":[[31,1]],"min":-2.0,"max":2.0,"sum":2.0,"invalid":0}"#;
    assert_eq!(Histogram::from_text(good).expect("a state").count(), 4);
    for (from, to) in [
        ("[[31,2]],\"neg", "[[31,0]],\"neg"),
        ("[[31,2]]", "[[31,2],[31,1]]"),
        ("[[31,2]]", "[[30,2]]"),
        ("[[31,2]]", "[[32768,2]]"),
        ("[[31,2]]", "[[-1048576,2]]"),
        ("\"scale\":5", "\"scale\":9"),
        ("\"min\":-2.0", "\"min\":null"),
        ("\"max\":2.0", "\"max\":3.0"),
        ("\"invalid\":0", "\"invalid\":0,\"more\":1"),
        ("\"invalid\":0", "\"invalid\":-1"),
        ("[31,1]", "[31,9007199254740993]"),
        ("\"sum\":2.0", "\"sum\":1e999"),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good);
        assert!(histogram(&text).starts_with("invalid input for type histogram: "), "{text}");
    }
    for bad in [
        r#"{"n":0,"mean":1.0,"m2":0,"min":1.0,"max":1.0,"invalid":0}"#,
        r#"{"n":1,"mean":1.0,"m2":0.5,"min":1.0,"max":1.0,"invalid":0}"#,
        r#"{"n":2,"mean":3.0,"m2":0.5,"min":1.0,"max":2.0,"invalid":0}"#,
        r#"{"n":2,"mean":1.5,"m2":-0.5,"min":1.0,"max":2.0,"invalid":0}"#,
        r#"{"n":2,"mean":1.5,"m2":0.5,"min":2.0,"max":1.0,"invalid":0}"#,
    ] {
        assert_eq!(Moments::from_text(bad).unwrap_err().kind, Kind::InvalidText, "{bad}");
    }
    for bad in [
        r#"{"compression":100,"count":3,"min":1.0,"max":2.0,"centroids":[[1.0,1],[2.0,1]],"invalid":0}"#,
        r#"{"compression":100,"count":2,"min":1.0,"max":2.0,"centroids":[[2.0,1],[1.0,1]],"invalid":0}"#,
        r#"{"compression":100,"count":1,"min":1.0,"max":2.0,"centroids":[[1.0,0],[2.0,1]],"invalid":0}"#,
        r#"{"compression":100,"count":1,"min":1.0,"max":2.0,"centroids":[[3.0,1]],"invalid":0}"#,
        r#"{"compression":100,"count":0,"min":1.0,"max":2.0,"centroids":[],"invalid":0}"#,
        r#"{"compression":5,"count":0,"min":null,"max":null,"centroids":[],"invalid":0}"#,
    ] {
        assert_eq!(TDigest::from_text(bad).unwrap_err().kind, Kind::InvalidText, "{bad}");
    }
}
