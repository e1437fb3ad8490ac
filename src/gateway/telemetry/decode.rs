//! A body to packed rows.

use bytes::Bytes;
use flagscope_core::otlp::{self, Account, pack, read_json, read_protobuf};

use super::queue::Room;
use super::read::LARGE;
use super::route::{Mark, Marks, Part};
use super::{Form, Outcome};

/// The rows of a request.
pub struct Decoded {
    /// Packed.
    pub part: Part,
    /// How many.
    pub count: u64,
    /// What gave none.
    pub account: Account,
    /// Their room; that of the body is given back.
    pub room: Room,
}

/// Decodes a body; a large one on a thread of its own. Rows are marked where there are several nodes.
pub async fn decode(
    kind: otlp::Request,
    form: Form,
    body: Bytes,
    room: Room,
    environments: Vec<String>,
    marks: Option<Marks>,
) -> Result<Decoded, Outcome> {
    let is_large = body.len() > LARGE;
    let work = move || now(kind, form, &body, room, &environments, marks);
    let decoded = if is_large {
        tokio::task::spawn_blocking(work).await.ok()
    } else {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).ok()
    };
    decoded.unwrap_or_else(|| {
        crate::log::error("decoding panicked", &[("signal", &super::label(kind)), ("form", &format!("{form:?}"))]);
        Err(Outcome::Defect)
    })
}

fn now(
    kind: otlp::Request,
    form: Form,
    body: &[u8],
    mut room: Room,
    environments: &[String],
    mut marks: Option<Marks>,
) -> Result<Decoded, Outcome> {
    let (mut rows, mut count, mut full) = (Vec::new(), 0, None);
    let mut begun = Vec::new();
    let (mut foreign, mut first) = (0, None);
    let mut take = |mut row: otlp::Row| {
        if full.is_some() {
            return;
        }
        if let Some(own) = environments.first() {
            // A key of some environments counts in them alone.
            let named = row.environment.get_or_insert_with(|| own.clone());
            if !environments.contains(named) {
                foreign += 1;
                first.get_or_insert_with(|| format!("environment \"{named}\" is not one of this key"));
                return;
            }
        }
        begun.clear();
        pack(&mut begun, &row);
        // The version goes once in front of a group.
        let packed = begun.get(1..).unwrap_or_default();
        let marked = if marks.is_some() { size_of::<Mark>() } else { 0 };
        match room.grow(packed.len() + marked) {
            Ok(()) => {
                if let Some(marks) = &mut marks {
                    marks.add(&row, packed.len());
                }
                rows.extend_from_slice(packed);
                count += 1;
            }
            Err(outcome) => full = Some(outcome),
        }
    };
    let mut account = match form {
        Form::Protobuf => read_protobuf(kind, body, &mut take),
        Form::Json => match std::str::from_utf8(body) {
            Ok(text) => read_json(text, &mut take),
            Err(_) => return Err(Outcome::Bad("not JSON: it is not UTF-8".to_owned())),
        },
    };
    match full {
        Some(outcome) => Err(outcome),
        None => {
            account.rejected += foreign;
            account.first_error = account.first_error.or(first);
            let marks = marks.map(Marks::end).unwrap_or_default();
            room.shrink(rows.len() + size_of_val(marks.as_slice()));
            Ok(Decoded { part: Part { rows, marks }, count, account, room })
        }
    }
}
