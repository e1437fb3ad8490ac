//! Walks down a request: each object of a list in turn; faults are reported with their place.

use super::context::Record;
use super::fault::{Fault, Result};
use super::field::Fields;
use serde_json::Value;

/// Receives each record, or the reason why it is rejected.
pub(super) type Emit<'e> = &'e mut dyn FnMut(Result<Record>);

/// Visits each object of the list `key`; faults get their place added.
pub(super) fn each(parent: Fields, key: &str, emit: Emit, inner: impl Fn(Fields, Emit)) {
    match parent.list(key) {
        Ok(list) => visit(list, key, emit, inner),
        Err(fault) => emit(Err(fault)),
    }
}

/// Visits each object of a list that stands under `key`.
pub(super) fn visit(list: &[Value], key: &str, emit: Emit, inner: impl Fn(Fields, Emit)) {
    for (index, value) in list.iter().enumerate() {
        let place = |fault: Fault| fault.within(key, index);
        match Fields::of(value) {
            Ok(fields) => inner(fields, &mut |row| emit(row.map_err(place))),
            Err(fault) => emit(Err(place(fault))),
        }
    }
}

/// Reports an object in which nothing is understood.
pub(super) fn expect(fields: Fields, wanted: &[&str], known: &[&str], emit: Emit) {
    if let Err(fault) = fields.expect(wanted, known) {
        emit(Err(fault));
    }
}

/// Rejects `records` records, and at least one, for the same reason.
pub(super) fn reject(records: usize, fault: &Fault, emit: Emit) {
    for _ in 0..records.max(1) {
        emit(Err(fault.clone()));
    }
}
