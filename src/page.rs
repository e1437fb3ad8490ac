//! SQL face of `core::page`.

use flagscope_core::page::{RolloutPage, Shell, render_rollout as render};
use flagscope_core::{Error, Kind};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::error::Report;
use crate::pg::document::Document;

/// The page of a rollout as a file of its own.
#[pg_extern(immutable, strict, parallel_safe, schema = "_flagscope")]
fn render_rollout(page: Document) -> Result<String, ErrorReport> {
    let page: RolloutPage = page
        .0
        .and_then(|page| {
            // Serde would take a list for the fields in their order.
            let page = if page.is_object() { page } else { serde_json::Value::Null };
            serde_json::from_value(page).map_err(|problem| {
                Error::new(Kind::InvalidParameter, format!("this is not the data of a page: {problem}"))
                    .hint("flagscope.rollout_page(id) makes a page from what is stored.")
            })
        })
        .report()?;
    Ok(render(&page, &Shell::default()))
}
