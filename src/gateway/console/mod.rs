//! The console: pages for people, on sockets of their own. All flags and rollouts, one rollout, a trace; whoever's key has the
//! scope `operate` drives rollouts, by the SQL functions that everybody uses.
//!
//! `login` lets people in, `session` knows them, `visit` is one request of theirs; `pool` asks the database, `read` makes pages of
//! its answers by the core's renderer, `act` does what a form says; `follow` knows that something has happened, `events` tells open
//! pages; `fault` is why there is no page, `reply` what every answer has.
//!
//! Invariants: nobody reads without a key; a page shows environments of its key alone; nothing is done but by a POST of a form
//! that the console made for this session, which came from one of its own pages; no page loads or calls another host.

mod act;
mod events;
mod fault;
mod follow;
mod login;
mod pool;
mod read;
mod reply;
mod session;
mod visit;

use std::sync::Arc;

use hyper::{Method, StatusCode};
use tokio::sync::watch;

use crate::config::Config;
use crate::database::Database;
use crate::gateway::Gateway;
use crate::web::{self, Request, Response};
use act::Verb;
use fault::Fault;
use pool::Pool;
use session::Sessions;
use visit::Visit;

pub use follow::spawn;

/// Connections for pages; who comes when all are busy waits.
const CONNECTIONS: usize = 4;
/// Longest form that is read.
const FORM: usize = 64 << 10;

/// The console of a gateway.
pub struct Console {
    pool: Pool,
    sessions: Sessions,
    /// Counts what has happened, for pages that are open.
    happened: watch::Sender<u64>,
}

impl Console {
    /// As it is configured; none where it has no address.
    pub fn new(config: &Config) -> Result<Option<Self>, String> {
        if config.console.is_empty() {
            return Ok(None);
        }
        let url = Some(&config.console_database_url).filter(|url| !url.is_empty()).unwrap_or(&config.database_url);
        let database = Database::new(url, config.database_ca.as_deref())
            .map_err(|problem| format!("console.database_url: {problem}"))?;
        let pool = Pool::new(database, CONNECTIONS, config.statement_timeout);
        Ok(Some(Self { pool, sessions: Sessions::new(config)?, happened: watch::Sender::new(0) }))
    }
}

/// What a path names.
enum Place {
    Overview,
    Rollout(i64),
    Trace(String),
    LogIn,
    LogOut,
    Events,
    Script,
    Act(i64, &'static Verb),
}

impl Place {
    fn of(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        Some(match parts.as_slice() {
            [""] => Self::Overview,
            ["rollout", id] => Self::Rollout(id.parse().ok()?),
            ["rollout", id, verb] => Self::Act(id.parse().ok()?, Verb::named(verb)?),
            ["trace", id] => Self::Trace(web::decoded(id)?),
            ["login"] => Self::LogIn,
            ["logout"] => Self::LogOut,
            ["events"] => Self::Events,
            ["live.js"] => Self::Script,
            _ => return None,
        })
    }

    /// How it is asked for; HEAD goes with GET.
    fn allows(&self) -> &'static str {
        match self {
            Self::LogIn => "GET, HEAD, POST",
            Self::LogOut | Self::Act(..) => "POST",
            _ => "GET, HEAD",
        }
    }
}

/// Answers a request that came to the console.
pub async fn answer(gateway: &Arc<Gateway>, request: Request) -> Response {
    let Some(console) = &gateway.console else { return web::empty(StatusCode::NOT_FOUND) };
    let visit = match Visit::new(gateway, console, &request) {
        Ok(visit) => visit,
        Err(problem) => {
            crate::log::error("the console has no randomness", &[("error", &problem)]);
            return web::empty(StatusCode::INTERNAL_SERVER_ERROR);
        }
    };
    let response = match serve(gateway, console, &visit, request).await {
        Ok(response) => response,
        Err(fault) => reply::fault(&visit, &fault),
    };
    reply::finish(&visit, response)
}

async fn serve(
    gateway: &Arc<Gateway>,
    console: &Console,
    visit: &Visit<'_>,
    request: Request,
) -> Result<Response, Fault> {
    let (place, method) = (Place::of(request.uri().path()), request.method().clone());
    let is_known = place.as_ref().is_none_or(|place| place.allows().split(", ").any(|known| method == known));
    if let Some(place) = place.as_ref().filter(|_| !is_known) {
        return Err(Fault::Method(place.allows()));
    }
    match place {
        Some(Place::LogIn) if method == Method::POST => login::log_in(gateway, console, visit, request).await,
        Some(Place::LogIn) => Ok(login::form(visit, &request)),
        Some(Place::Script) => Ok(reply::script()),
        place if visit.session.is_none() => Err(visit.stranger(&request, place.as_ref().map(Place::allows))),
        None => Err(Fault::Unknown("There is no such page".to_owned())),
        Some(Place::Overview) => read::overview(console, visit).await,
        Some(Place::Rollout(id)) => read::rollout(console, visit, id).await,
        Some(Place::Trace(id)) => read::trace(console, visit, &id).await,
        Some(Place::Events) => events::answer(gateway, console),
        Some(Place::LogOut) => login::log_out(console, visit, request).await,
        Some(Place::Act(id, verb)) => act::answer(console, visit, request, id, verb).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_places() {
        let allows = |path: &str| Place::of(path).map(|place| place.allows());
        for path in ["/", "/rollout/7", "/trace/0af7651916cd43dd8448eb211c80319c", "/events", "/live.js"] {
            assert_eq!(allows(path), Some("GET, HEAD"), "{path}");
        }
        assert_eq!((allows("/logout"), allows("/rollout/7/step_back")), (Some("POST"), Some("POST")));
        for path in [
            "",
            "//",
            "/rollout/",
            "/rollout/x",
            "/rollout/7/drop",
            "/rollout/99999999999999999999",
            "/x",
            "/trace/%ff",
        ] {
            assert_eq!(allows(path), None, "{path}");
        }
    }
}
