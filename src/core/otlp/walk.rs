//! From an object to those below it: a fault on the way learns its place.

use super::context::Record;
use super::fault::{Fault, Result};
use super::field::Fields;
use super::tree::Tree;

/// Takes each row, or the reason why a record gives none.
pub(super) type Emit<'e> = &'e mut dyn FnMut(Result<Record>);

/// Visits each object of the list `key`; faults that come out of it learn their place.
pub(super) fn each(parent: Fields, key: &str, emit: Emit, inner: impl Fn(Fields, Emit)) {
    match parent.list(key) {
        Ok(list) => visit(list, key, emit, inner),
        Err(fault) => emit(Err(fault)),
    }
}

pub(super) fn visit(list: &[Tree], key: &str, emit: Emit, inner: impl Fn(Fields, Emit)) {
    for (index, value) in list.iter().enumerate() {
        let place = |fault: Fault| fault.within(key, index);
        let value = value.open();
        match Fields::of(&value) {
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

/// Rejects `records` records, and at least one, for the same reason.
pub(super) fn reject(records: usize, fault: &Fault, emit: Emit) {
    for _ in 0..records.max(1) {
        emit(Err(fault.clone()));
    }
}
