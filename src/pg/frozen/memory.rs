//! Memory whose end PostgreSQL decides: with the query, or with the transaction if the query fails.

use pgrx::{PgMemoryContexts, pg_sys};

/// A memory context that is no value's of Rust, so that nobody ends it twice.
#[derive(Clone, Copy)]
pub struct Memory(pg_sys::MemoryContext);

impl Memory {
    /// A new one, which ends with `parent`.
    ///
    /// # Safety
    /// The parent is a context that is alive.
    pub unsafe fn under(parent: pg_sys::MemoryContext) -> Self {
        // SAFETY: as the caller promises. What `new` gives would end it when it is dropped.
        unsafe {
            let previous = pg_sys::MemoryContextSwitchTo(parent);
            let made = PgMemoryContexts::new("flagscope frozen rows");
            let context = made.value();
            std::mem::forget(made);
            pg_sys::MemoryContextSwitchTo(previous);
            Self(context)
        }
    }

    /// Does something with new values going there.
    pub fn inside<R>(self, action: impl FnOnce() -> R) -> R {
        // SAFETY: the context is alive as long as its parent; an error restores the one before.
        unsafe {
            let previous = pg_sys::MemoryContextSwitchTo(self.0);
            let result = action();
            pg_sys::MemoryContextSwitchTo(previous);
            result
        }
    }

    /// Gives back what is in it.
    pub fn reset(self) {
        // SAFETY: the context is alive.
        unsafe { pg_sys::MemoryContextReset(self.0) }
    }

    /// The context.
    pub fn context(self) -> pg_sys::MemoryContext {
        self.0
    }

    /// Ends it.
    pub fn end(self) {
        // SAFETY: the context is alive, and not the current one.
        unsafe { pg_sys::MemoryContextDelete(self.0) }
    }
}
