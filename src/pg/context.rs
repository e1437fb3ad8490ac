//! The CONTEXT lines of an error: one for each function and statement that is running.

use pgrx::pg_sys;

/// Leaves the innermost lines out of the error that is raised next.
pub fn leave_out(lines: usize) {
    for _ in 0..lines {
        // SAFETY: the session's own list. What it points to lives as long as its function runs, which called this one;
        // and whoever catches the error puts the list back as it was when he began to listen (PG_CATCH).
        unsafe {
            let Some(innermost) = pg_sys::error_context_stack.as_ref() else { return };
            pg_sys::error_context_stack = innermost.previous;
        }
    }
}
