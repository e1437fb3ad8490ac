//! The way from a request to its records: resource, scope, record. The three signals differ in names only.

use std::rc::Rc;

use super::context::{Context, Resource, Scope};
use super::fault::{Fault, Result};
use super::field::Fields;
use super::row::Record;
use super::{log, metric, span};
use serde_json::Value;

/// Takes each row, or the reason why a record gives none.
pub(super) type Emit<'e> = &'e mut dyn FnMut(Result<Record>);

/// The names of one signal's three levels, and the reader of its records.
struct Shape {
    resources: &'static str,
    scopes: &'static str,
    records: &'static str,
    read: fn(Fields, Context, Emit),
}

const SHAPES: [Shape; 3] = [
    Shape { resources: "resourceSpans", scopes: "scopeSpans", records: "spans", read: span::read },
    Shape { resources: "resourceLogs", scopes: "scopeLogs", records: "logRecords", read: log::read },
    Shape { resources: "resourceMetrics", scopes: "scopeMetrics", records: "metrics", read: metric::read },
];

/// Reads the rows of a request, or of an array of requests.
pub(super) fn read(value: &Value, emit: Emit) {
    match value {
        Value::Array(requests) => visit(requests, "", emit, one_request),
        request => match Fields::of(request) {
            Ok(request) => one_request(request, emit),
            Err(fault) => emit(Err(fault)),
        },
    }
}

/// Visits each object of the list `key`; faults that come out of it learn their place.
pub(super) fn each(parent: Fields, key: &str, emit: Emit, inner: impl Fn(Fields, Emit)) {
    match parent.list(key) {
        Ok(list) => visit(list, key, emit, inner),
        Err(fault) => emit(Err(fault)),
    }
}

fn visit(list: &[Value], key: &str, emit: Emit, inner: impl Fn(Fields, Emit)) {
    for (index, value) in list.iter().enumerate() {
        let place = |fault: Fault| fault.within(key, index);
        match Fields::of(value) {
            Ok(fields) => inner(fields, &mut |row| emit(row.map_err(place))),
            Err(fault) => emit(Err(place(fault))),
        }
    }
}

/// Tells of an object in which nothing is understood.
pub(super) fn expect(fields: Fields, wanted: &[&str], known: &[&str], emit: Emit) {
    if let Err(fault) = fields.expect(wanted, known) {
        emit(Err(fault));
    }
}

fn one_request(request: Fields, emit: Emit) {
    expect(request, &SHAPES.map(|shape| shape.resources), &[], emit);
    for shape in &SHAPES {
        each(request, shape.resources, emit, |group, emit| one_resource(shape, group, emit));
    }
}

fn one_resource(shape: &Shape, group: Fields, emit: Emit) {
    expect(group, &[shape.scopes], &["resource", "schemaUrl"], emit);
    match Resource::read(group) {
        Ok(resource) => {
            let resource = Rc::new(resource);
            each(group, shape.scopes, emit, |group, emit| one_scope(shape, &resource, group, emit));
        }
        Err(fault) => {
            let scopes = group.list(shape.scopes).unwrap_or_default();
            let records = scopes.iter().filter_map(|scope| Fields::of(scope).ok()).map(|scope| count(shape, scope));
            reject(records.sum(), &fault, emit);
        }
    }
}

fn one_scope(shape: &Shape, resource: &Rc<Resource>, group: Fields, emit: Emit) {
    expect(group, &[shape.records], &["scope", "schemaUrl"], emit);
    match Scope::read(group) {
        Ok(scope) => {
            let context = Context { resource, scope: &Rc::new(scope) };
            each(group, shape.records, emit, |record, emit| (shape.read)(record, context, emit));
        }
        Err(fault) => reject(count(shape, group), &fault, emit),
    }
}

fn count(shape: &Shape, scope: Fields) -> usize {
    scope.list(shape.records).map_or(0, <[Value]>::len)
}

/// Rejects `records` records, and at least one, for the same reason.
pub(super) fn reject(records: usize, fault: &Fault, emit: Emit) {
    for _ in 0..records.max(1) {
        emit(Err(fault.clone()));
    }
}
