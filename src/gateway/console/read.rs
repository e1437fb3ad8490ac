//! Pages: the database makes their data, the core's renderer draws them. What is of an environment that the key is not for does
//! not exist for its owner.

use flagscope_core::page::{Overview, RolloutPage, Shell, TracePage, render_rollout, render_rollouts, render_trace};
use hyper::StatusCode;
use serde::de::DeserializeOwned;
use tokio_postgres::types::Type;

use super::fault::Fault;
use super::pool::{Trouble, Value};
use super::visit::Visit;
use super::{Console, act, reply};
use crate::web::Response;

/// All flags and rollouts.
pub async fn overview(console: &Console, visit: &Visit<'_>) -> Result<Response, Fault> {
    let mut data: Overview = load(console, "SELECT _flagscope.overview_data()::text", &[]).await?;
    if let Some(environments) = visit.environments() {
        data.flags.retain(|flag| environments.contains(&flag.environment));
        // What is wrong with single rollouts stands in their rows; the rest is about the judging of all.
        data.health.retain(|health| !health.name.starts_with("rollout "));
    }
    Ok(reply::html(StatusCode::OK, render_rollouts(&data, &visit.live())))
}

/// One rollout, with what may be done.
pub async fn rollout(console: &Console, visit: &Visit<'_>, id: i64) -> Result<Response, Fault> {
    check_environment(console, visit, id).await?;
    let query = "SELECT _flagscope.rollout_page_data($1, pg_catalog.clock_timestamp())::text";
    let data: RolloutPage = load(console, query, &[(&id, Type::INT8)]).await?;
    let shell = Shell { actions: act::actions(visit, &data.rollout), ..visit.live() };
    Ok(reply::html(StatusCode::OK, render_rollout(&data, &shell)))
}

/// One trace, if all of it is of environments that may be seen.
pub async fn trace(console: &Console, visit: &Visit<'_>, id: &str) -> Result<Response, Fault> {
    let unknown = || Fault::Unknown("There is no such trace".to_owned());
    let plain = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    if !id.bytes().all(plain) || id.bytes().filter(|byte| *byte != b'-').count() != 32 {
        return Err(unknown());
    }
    if let Some(environments) = visit.environments() {
        let query = "SELECT FROM flagscope.telemetry t WHERE t.trace_id = $1::text::uuid
            AND t.environment <> ALL ($2::text[]) LIMIT 1";
        let values: [Value<'_>; 2] = [(&id, Type::TEXT), (&environments, Type::TEXT_ARRAY)];
        if !console.pool.query(query, &values).await?.is_empty() {
            return Err(unknown());
        }
    }
    let query = "SELECT _flagscope.trace_page_data($1::text::uuid)::text";
    let data: TracePage = load(console, query, &[(&id, Type::TEXT)]).await?;
    Ok(reply::html(StatusCode::OK, render_trace(&data, &visit.shell())))
}

/// Refuses a rollout that does not exist, or is of an environment that the key is not for: told alike.
pub async fn check_environment(console: &Console, visit: &Visit<'_>, id: i64) -> Result<(), Fault> {
    let query = "SELECT r.environment FROM flagscope.rollout r WHERE r.id = $1";
    let rows = console.pool.query(query, &[(&id, Type::INT8)]).await?;
    let environment = rows.first().and_then(|row| row.try_get::<_, String>(0).ok());
    let is_seen =
        |environment: &String| visit.session.as_ref().is_some_and(|session| session.key.is_for(environment));
    match environment.filter(is_seen) {
        Some(_) => Ok(()),
        None => Err(Fault::Unknown(format!("There is no rollout {id}"))),
    }
}

/// The data of a page, which is one text of JSON.
async fn load<T: DeserializeOwned>(console: &Console, query: &str, values: &[Value<'_>]) -> Result<T, Fault> {
    let rows = console.pool.query(query, values).await.map_err(|trouble| match trouble {
        // There is no such rollout, no such trace.
        Trouble::Refused { code, message, .. } if code == "42704" => Fault::Unknown(message),
        trouble => Fault::Database(trouble),
    })?;
    let text: Option<&str> = rows.first().and_then(|row| row.try_get(0).ok());
    let text = text.ok_or_else(|| Fault::Defect("the database gave no data for a page".to_owned()))?;
    serde_json::from_str(text).map_err(|problem| Fault::Defect(format!("data of a page: {problem}")))
}
