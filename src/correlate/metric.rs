//! SQL face of `core::correlate::metric`: a verdict on another metric, and when it began to move.

use flagscope_core::correlate::metric::{Bucket, Effect, onset, verdict};
use pgrx::prelude::*;

/// The verdict on a metric; documented in `sql/api/compare.sql`.
#[pg_extern(immutable, parallel_safe, schema = "_flagscope")]
fn metric_verdict(
    estimate: Option<f64>,
    lower: Option<f64>,
    upper: Option<f64>,
    p_value: Option<f64>,
    margin: Option<f64>,
) -> &'static str {
    let interval = lower.zip(upper).map(|(lower, upper)| [lower, upper]);
    verdict(&Effect { estimate, interval, p_value }, margin).label()
}

/// The place, from 1, of the bucket in which a metric began to move; documented in `sql/api/compare.sql`.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn onset_place(
    n_treatment: Vec<Option<f64>>,
    y_treatment: Vec<Option<f64>>,
    n_control: Vec<Option<f64>>,
    y_control: Vec<Option<f64>>,
    falls: bool,
) -> Option<i32> {
    // An arm without rows in a bucket has NULL there.
    let at = |list: &[Option<f64>], place: usize| list.get(place).copied().flatten().unwrap_or(0.0);
    let bucket = |place| Bucket {
        n_t: at(&n_treatment, place),
        y_t: at(&y_treatment, place),
        n_c: at(&n_control, place),
        y_c: at(&y_control, place),
    };
    let buckets: Vec<Bucket> = (0..n_treatment.len()).map(bucket).collect();
    onset(&buckets, falls).and_then(|place| i32::try_from(place + 1).ok())
}
