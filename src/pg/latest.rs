//! Reads configuration as last committed, regardless of the calling query's snapshot: what fills a cache must not be
//! older than the invalidation that emptied it, or the cache would remain stale until the next change.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, c_char};

use flagscope_core::{Error, Kind, Result};
use pgrx::{IntoDatum, pg_sys};
use serde_json::Value;

use super::jsonb::{plain_at, text_at};

/// Whether this is part of a parallel query, where only the query's own snapshot may be used. What is cached then must
/// be discarded afterwards.
pub fn is_parallel() -> bool {
    // SAFETY: reads a variable of the session.
    unsafe { pg_sys::IsInParallelMode() }
}

/// An argument of a query.
pub enum Argument<'a> {
    /// A text.
    Text(&'a str),
    /// An array of texts.
    Texts(&'a [String]),
    /// A bigint, or NULL.
    Bigint(Option<i64>),
    /// An integer.
    Integer(i32),
}

impl Argument<'_> {
    fn type_oid(&self) -> pg_sys::Oid {
        match self {
            Self::Text(_) => pg_sys::TEXTOID,
            Self::Texts(_) => pg_sys::TEXTARRAYOID,
            Self::Bigint(_) => pg_sys::INT8OID,
            Self::Integer(_) => pg_sys::INT4OID,
        }
    }

    fn datum(&self) -> Option<pg_sys::Datum> {
        match *self {
            Self::Text(text) => text.into_datum(),
            Self::Texts(texts) => texts.iter().map(String::as_str).collect::<Vec<_>>().into_datum(),
            Self::Bigint(number) => number.and_then(IntoDatum::into_datum),
            Self::Integer(number) => number.into_datum(),
        }
    }
}

/// A row of an answer; its columns count from 0.
pub struct Row<'r> {
    values: &'r [pg_sys::Datum],
    nulls: &'r [bool],
}

impl<'r> Row<'r> {
    fn column(&self, number: usize) -> Option<pg_sys::Datum> {
        let value = *self.values.get(number)?;
        (self.nulls.get(number) == Some(&false)).then_some(value)
    }

    /// A column of type text.
    pub fn text(&self, number: usize) -> Option<&'r str> {
        // SAFETY: the column is a text, and lies in the row.
        self.column(number).and_then(|datum| unsafe { text_at(datum, false) })
    }

    /// A column of type bigint.
    pub fn bigint(&self, number: usize) -> Option<i64> {
        // SAFETY: the column is a bigint.
        self.column(number).and_then(|datum| unsafe { plain_at(datum, false) })
    }

    /// A column of type double precision.
    pub fn number(&self, number: usize) -> Option<f64> {
        // SAFETY: the column is a double precision.
        self.column(number).and_then(|datum| unsafe { plain_at(datum, false) })
    }

    /// A column of type boolean.
    pub fn boolean(&self, number: usize) -> Option<bool> {
        // SAFETY: the column is a boolean.
        self.column(number).and_then(|datum| unsafe { plain_at(datum, false) })
    }

    /// Whether the transaction that a column of type xid names is the current one, or a part of it.
    pub fn is_of_this_transaction(&self, number: usize) -> bool {
        // SAFETY: the column is an xid; the function reads variables of the session.
        self.column(number).is_some_and(|datum| unsafe {
            pg_sys::TransactionIdIsCurrentTransactionId(pg_sys::TransactionId::from(datum.value() as u32))
        })
    }
}

/// Whether the current transaction has written anything.
pub fn has_written() -> bool {
    // SAFETY: reads a variable of the session.
    unsafe { pg_sys::GetTopTransactionIdIfAny() != pg_sys::InvalidTransactionId }
}

/// A snapshot taken now, under which several queries see the same state.
pub struct Reader(());

/// Reads under one snapshot.
///
/// # Errors
/// Those of the body.
pub fn read<R>(body: impl FnOnce(&Reader) -> Result<R>) -> Result<R> {
    // SAFETY: the snapshot and the SPI connection are given back after the body, whatever it returns; an error of
    // PostgreSQL's unwinds to it, and its abort gives them back.
    unsafe {
        let snapshot = if is_parallel() { pg_sys::GetActiveSnapshot() } else { pg_sys::GetLatestSnapshot() };
        pg_sys::PushActiveSnapshot(snapshot);
        pg_sys::SPI_connect();
        let result = body(&Reader(()));
        pg_sys::SPI_finish();
        pg_sys::PopActiveSnapshot();
        result
    }
}

thread_local! {
    /// Plans by the place of their query's text.
    static PLANS: RefCell<HashMap<*const c_char, pg_sys::SPIPlanPtr>> = RefCell::new(HashMap::new());
}

impl Reader {
    /// Calls back with every row of a query. Its plan is kept for the session, so the text must be constant.
    ///
    /// # Errors
    /// Those of the callback, and a query that cannot run.
    pub fn each(
        &self,
        query: &'static CStr,
        arguments: &[Argument],
        mut row: impl FnMut(&Row) -> Result<()>,
    ) -> Result<()> {
        let unreadable = |what: &str| Error::new(Kind::Corrupted, format!("flagscope's configuration: {what}"));
        let plan = plan(query, arguments).ok_or_else(|| unreadable("a query cannot be planned"))?;
        let datums: Vec<_> = arguments.iter().map(Argument::datum).collect();
        let nulls: Vec<_> = datums.iter().map(|datum| if datum.is_some() { b' ' } else { b'n' } as _).collect();
        let mut values: Vec<_> = datums.into_iter().map(|datum| datum.unwrap_or(pg_sys::Datum::from(0))).collect();
        // SAFETY: the plan was made for arguments of these types; a read-only execution takes the active snapshot. The
        // table is there when a query has succeeded, with SPI_processed tuples; what a row shows lies in its tuple, and
        // the callback cannot keep it. A callback may run no query of its own: SPI's results are taken before.
        unsafe {
            let code = pg_sys::SPI_execute_plan(plan, values.as_mut_ptr(), nulls.as_ptr(), true, 0);
            if code != pg_sys::SPI_OK_SELECT as i32 || pg_sys::SPI_tuptable.is_null() {
                return Err(unreadable(&format!("SPI code {code}")));
            }
            let table = pg_sys::SPI_tuptable;
            let count = pg_sys::SPI_processed as usize;
            let descriptor = (*table).tupdesc;
            let columns = (*descriptor).natts as usize;
            let (mut values, mut nulls) = (vec![pg_sys::Datum::from(0); columns], vec![false; columns]);
            let mut result = Ok(());
            for number in 0..count {
                let tuple = *(*table).vals.add(number);
                pg_sys::heap_deform_tuple(tuple, descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
                result = row(&Row { values: &values, nulls: &nulls });
                if result.is_err() {
                    break;
                }
            }
            pg_sys::SPI_freetuptable(table);
            result
        }
    }
}

/// The plan of a query, made once per session.
fn plan(query: &'static CStr, arguments: &[Argument]) -> Option<pg_sys::SPIPlanPtr> {
    if let Some(plan) = PLANS.with_borrow(|plans| plans.get(&query.as_ptr()).copied()) {
        return Some(plan);
    }
    let mut types: Vec<_> = arguments.iter().map(Argument::type_oid).collect();
    // SAFETY: inside an SPI connection; a plan that is kept lives as long as the session, and is planned anew by
    // PostgreSQL when what it rests on has changed.
    let plan = unsafe {
        let plan = pg_sys::SPI_prepare(query.as_ptr(), types.len() as i32, types.as_mut_ptr());
        (!plan.is_null() && pg_sys::SPI_keepplan(plan) == 0).then_some(plan)?
    };
    PLANS.with_borrow_mut(|plans| plans.insert(query.as_ptr(), plan));
    Some(plan)
}

/// The single text that a query returns, read as JSON; `None` if it returns no row or NULL.
pub fn json(query: &'static CStr, arguments: &[Argument]) -> Result<Option<Value>> {
    let mut found = None;
    read(|reader| {
        reader.each(query, arguments, |row| {
            found = row.text(0).map(serde_json::from_str).transpose().map_err(|problem| {
                Error::new(Kind::Corrupted, format!("flagscope's configuration cannot be read: {problem}"))
            })?;
            Ok(())
        })
    })?;
    Ok(found)
}
