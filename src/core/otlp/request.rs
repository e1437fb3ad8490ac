//! The way from a request to its records: resource, scope, record. The three signals differ in names only.

use std::rc::Rc;

use super::context::{Context, Resource, Scope};
use super::field::Fields;
use super::tree::Tree;
use super::walk::{Emit, each, expect, reject, visit};
use super::{log, metric, span};

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
pub(super) fn read(value: &Tree, emit: Emit) {
    match value {
        Tree::List(requests) => visit(requests, "", emit, one_request),
        request => match Fields::of(request) {
            Ok(request) => one_request(request, emit),
            Err(fault) => emit(Err(fault)),
        },
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
            let records = |scope: &Tree| Fields::of(&scope.open()).map_or(0, |scope| count(shape, scope));
            reject(scopes.iter().map(records).sum(), &fault, emit);
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
    scope.list(shape.records).map_or(0, <[_]>::len)
}
