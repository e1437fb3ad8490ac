//! SQL face of `core::chart`.

use flagscope_core::chart;
use pgrx::prelude::*;

#[pg_extern(immutable, strict, parallel_safe, name = "sparkline")]
fn _sparkline(values: Vec<Option<f64>>) -> String {
    chart::sparkline(&values)
}

#[pg_extern(immutable, strict, parallel_safe)]
fn bar(value: f64, max: f64, width: default!(i32, 20)) -> String {
    chart::bar(value, max, usize::try_from(width.clamp(0, 1000)).unwrap_or_default())
}
