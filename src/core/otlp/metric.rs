//! Metrics: one row per data point. `point` reads what the five kinds of points have of their own.

use super::context::{Context, Record, put, put_object};
use super::distribution::distribution;
use super::fault::{Fault, Result};
use super::field::{Fields, boolean, number, signed, unsigned};
use super::id;
use super::point::{self, Point};
use super::row::Row;
use super::value;
use super::walk::{Emit, each, expect, reject};
use crate::telemetry::Signal;
use serde_json::{Map, Value};

/// Bit 0 of a point's flags: the series exists, but nothing was recorded.
const NO_RECORDED_VALUE: u64 = 1;

/// Aggregation temporality 2 is CUMULATIVE: a point counts from its series' start.
const CUMULATIVE: i64 = 2;

/// `otlp.change` of a total that is NaN or infinite, beside those of [`Change`](super::Change).
const INVALID: &str = "invalid";

/// One kind of metric: its field, its name under `otlp.type`, and the reader of its points.
struct Kind {
    field: &'static str,
    name: &'static str,
    read: fn(Fields) -> Result<Point>,
}

const KINDS: [Kind; 5] = [
    Kind { field: "sum", name: "sum", read: point::number_point },
    Kind { field: "gauge", name: "gauge", read: point::number_point },
    Kind { field: "histogram", name: "histogram", read: point::histogram },
    Kind { field: "exponentialHistogram", name: "exponential_histogram", read: point::exponential_histogram },
    Kind { field: "summary", name: "summary", read: point::summary },
];

/// What the points of one metric have in common.
struct Series<'a> {
    name: &'a str,
    unit: Option<&'a str>,
    otlp: Map<String, Value>,
    /// Whether its points are totals, so that only differences are news. An up-down sum is a level, like a gauge.
    cumulative: bool,
}

/// Reads a metric; one without data gives no row.
pub(super) fn read(metric: Fields, context: Context, emit: Emit) {
    expect(metric, &KINDS.map(|kind| kind.field), &["name", "description", "unit", "metadata"], emit);
    let Some((kind, data)) = KINDS.iter().find_map(|kind| Some((kind, metric.get(kind.field)?))) else {
        return;
    };
    let place = |fault: Fault| fault.at(kind.field);
    let data = match Fields::of(data) {
        Ok(data) => data,
        Err(fault) => return emit(Err(place(fault))),
    };
    match series(metric, kind, data) {
        Ok(series) => {
            let emit: Emit = &mut |row| emit(row.map_err(place));
            expect(data, &["dataPoints"], &["aggregationTemporality", "isMonotonic"], emit);
            each(data, "dataPoints", emit, |point, emit| emit(row(point, &series, kind, context)));
        }
        Err(fault) => reject(data.list("dataPoints").map_or(0, <[_]>::len), &fault, emit),
    }
}

fn series<'a>(metric: Fields<'a>, kind: &Kind, data: Fields) -> Result<Series<'a>> {
    let name = metric.text("name")?.ok_or_else(|| Fault::new("missing name").at("name"))?;
    let mut otlp = Map::new();
    put(&mut otlp, "type", Some(kind.name));
    let place = |fault: Fault| fault.at(kind.field);
    let temporality = data.read("aggregationTemporality", signed).map_err(place)?;
    put(&mut otlp, "temporality", temporality.filter(|&temporality| temporality != 0));
    let mut monotonic = !matches!(kind.field, "gauge" | "summary");
    if kind.field == "sum" {
        monotonic = data.read("isMonotonic", boolean).map_err(place)?.unwrap_or(false);
        put(&mut otlp, "monotonic", Some(monotonic));
    }
    put(&mut otlp, "description", metric.text("description")?);
    put_object(&mut otlp, "metadata", metric.read("metadata", value::attributes)?.unwrap_or_default());
    Ok(Series { name, unit: metric.text("unit")?, otlp, cumulative: monotonic && temporality == Some(CUMULATIVE) })
}

fn row(point: Fields, series: &Series, kind: &Kind, context: Context) -> Result<Record> {
    let time = point.read("timeUnixNano", id::nanos)?.flatten();
    let time = time.ok_or_else(|| Fault::new("missing time").at("timeUnixNano"))?;
    let mut row = Row::new(Signal::Metric, series.name, time);
    row.unit = series.unit.map(str::to_owned);
    let mut otlp = series.otlp.clone();
    let start = point.read("startTimeUnixNano", id::nanos)?.flatten();
    put(&mut otlp, "start", start.map(|start| start.to_string()));
    let read = (kind.read)(point)?;
    otlp.extend(read.otlp);
    row.value = read.value;
    row.cumulative = series.cumulative && (kind.field != "sum" || row.value.is_some());
    if series.cumulative && kind.field == "sum" {
        put(&mut otlp, "total", row.value.map(number));
        if row.value.is_some_and(|total| !total.is_finite()) {
            // It says nothing of what came before or comes after: never the point that another one is compared with.
            (row.value, row.cumulative) = (None, false);
            put(&mut otlp, "change", Some(INVALID));
        }
    }
    let exemplars = point.each("exemplars", point::exemplar)?;
    put(&mut otlp, "exemplars", (!exemplars.is_empty()).then_some(exemplars));
    row.distribution = if row.cumulative { None } else { distribution(&otlp) };
    if point.read("flags", unsigned)?.unwrap_or_default() & NO_RECORDED_VALUE != 0 {
        (row.value, row.distribution, row.cumulative) = (None, None, false);
        put(&mut otlp, "no_recorded_value", Some(true));
    }
    let attributes = point.read("attributes", value::attributes)?.unwrap_or_default();
    Ok(context.complete(row, attributes, otlp))
}
