//! What PostgreSQL's headers have as inline functions, which its library does not export.

use pgrx::pg_sys;

/// How many elements a list has.
///
/// # Safety
/// A list, or NIL.
pub unsafe fn length(list: *const pg_sys::List) -> usize {
    // SAFETY: as the caller promises.
    unsafe { list.as_ref() }.and_then(|list| usize::try_from(list.length).ok()).unwrap_or(0)
}

/// The elements of a list of pointers.
///
/// # Safety
/// A list of pointers to `T`, or NIL, that outlives the iterator.
pub unsafe fn nodes<T>(list: *mut pg_sys::List) -> impl Iterator<Item = *mut T> {
    // SAFETY: as the caller promises.
    (0..unsafe { length(list) }).map(move |place| unsafe { (*(*list).elements.add(place)).ptr_value.cast() })
}

/// The elements of a list of numbers.
///
/// # Safety
/// A list of int, or NIL, that outlives the iterator.
pub unsafe fn numbers(list: *mut pg_sys::List) -> impl Iterator<Item = i32> {
    // SAFETY: as the caller promises.
    (0..unsafe { length(list) }).map(move |place| unsafe { (*(*list).elements.add(place)).int_value })
}

/// Empties a slot.
///
/// # Safety
/// A slot of the executor's.
pub unsafe fn clear(slot: *mut pg_sys::TupleTableSlot) {
    // SAFETY: as the caller promises; every kind of slot can be cleared.
    unsafe {
        if let Some(clear) = (*(*slot).tts_ops).clear {
            clear(slot);
        }
    }
}

/// The value of an expression, in the current memory context, and whether it is NULL.
///
/// # Safety
/// A state that was made for the context's node.
pub unsafe fn evaluate(state: *mut pg_sys::ExprState, context: *mut pg_sys::ExprContext) -> Option<pg_sys::Datum> {
    let mut is_null = false;
    // SAFETY: as the caller promises; a state that is ready has its function.
    let value = unsafe { (*state).evalfunc.map(|function| function(state, context, &raw mut is_null)) };
    value.filter(|_| !is_null)
}
