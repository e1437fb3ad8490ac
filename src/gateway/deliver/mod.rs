//! Delivery: what stands in the outbox goes to the sinks that are configured. Each sink has rows of its own
//! (`flagscope.outbox_delivery`), so that one that fails repeats only its own.
//!
//! `sink` is a sink as it is configured; `news` says a row of the outbox in words, `alert` whether it is a problem or the
//! end of one; `webhook`, `alertmanager`, `slack`, `pagerduty`, `teams` and `mail` are what each gets; `post` sends it; `outcome`
//! says what its answer means.
//!
//! Invariants: no lock and no transaction is held while something is sent. Rows of one topic go in their order.

mod alert;
mod alertmanager;
mod mail;
mod news;
mod outcome;
mod pagerduty;
mod post;
mod sink;
mod slack;
mod teams;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep};

use crate::database::{HEARTBEAT, Link, Linker, describe, jitter};
use crate::gateway::Gateway;
use crate::log;
use news::News;
use outcome::Outcome;
use post::Poster;
pub use sink::Sink;

/// What the database notifies by.
const CHANNEL: &str = "flagscope_outbox";
/// What is due is looked for so often, besides.
const POLL: Duration = Duration::from_secs(10);
/// So many rows are sent at once. Their lease is longer than a request may take.
const MOST: i32 = 10;
/// Between two attempts to connect.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// Starts a deliverer for each sink.
pub fn spawn(gateway: &Arc<Gateway>) -> Result<(), String> {
    let config = &gateway.config;
    if config.sinks.is_empty() {
        return Ok(());
    }
    let poster = Arc::new(Poster::new(config.deliver_ca.as_deref(), &config.sinks)?);
    for place in 0..config.sinks.len() {
        let deliverer = Deliverer {
            gateway: Arc::clone(gateway),
            linker: Linker::new(config)?,
            poster: Arc::clone(&poster),
            place,
            names: config.sinks.iter().map(|sink| sink.name.clone()).collect(),
        };
        tokio::spawn(deliverer.run());
    }
    Ok(())
}

/// Delivers to one sink.
struct Deliverer {
    gateway: Arc<Gateway>,
    linker: Linker,
    poster: Arc<Poster>,
    place: usize,
    names: Vec<String>,
}

/// A row of the outbox that is this sink's for now.
struct Taken {
    id: i64,
    kind: String,
    payload: String,
    tags: Vec<String>,
    attempts: i32,
    age: f64,
}

impl Deliverer {
    fn sink(&self) -> &Sink {
        &self.gateway.config.sinks[self.place]
    }

    /// Delivers until the gateway ends.
    async fn run(self) {
        let mut draining = self.gateway.draining.subscribe();
        let mut pause = PAUSE.0;
        loop {
            let problem = tokio::select! {
                ended = self.serve(&mut pause) => ended.unwrap_or_else(|problem| problem),
                // What is being sent has its token and is waited for.
                () = Gateway::ends(&mut draining) => return,
            };
            if pause == PAUSE.0 {
                log::warn(
                    "a sink's deliverer lost its connection",
                    &[("sink", &self.sink().name), ("error", &problem)],
                );
            }
            sleep(jitter(pause)).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Delivers as long as the connection lasts; returns why it ended.
    async fn serve(&self, pause: &mut Duration) -> Result<String, String> {
        let link = Arc::new(self.linker.connect(CHANNEL).await?);
        let told = Arc::clone(&link.told);
        let mut beat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        loop {
            let mut wait = POLL;
            let rows = self.take(&link).await?;
            *pause = PAUSE.0;
            let is_full = rows.len() >= MOST as usize;
            if !rows.is_empty() {
                wait = self.deliver(&link, rows).await?;
            }
            if is_full {
                continue;
            }
            tokio::select! {
                () = told.notified() => {}
                () = sleep(wait) => {}
                _ = beat.tick() => link.beat().await?,
            }
            if link.client.is_closed() {
                return Ok("the connection was closed".to_owned());
            }
        }
    }

    async fn take(&self, link: &Link) -> Result<Vec<Taken>, String> {
        let query = "SELECT outbox_id, kind, payload::text, tags, attempts,
                extract(epoch FROM clock_timestamp() - created_at)::float8
            FROM flagscope.take_deliveries($1, $2)";
        let rows = link.asked(link.client.query(query, &[&self.sink().name, &MOST])).await?;
        let read = |row: &tokio_postgres::Row| {
            Ok(Taken {
                id: row.try_get(0)?,
                kind: row.try_get(1)?,
                payload: row.try_get(2)?,
                tags: row.try_get(3)?,
                attempts: row.try_get(4)?,
                age: row.try_get(5)?,
            })
        };
        rows.iter().map(read).collect::<Result<_, _>>().map_err(|error: tokio_postgres::Error| describe(&error))
    }

    /// Sends rows, all at once: they are of different topics. Gives for how long nothing is due.
    async fn deliver(&self, link: &Arc<Link>, rows: Vec<Taken>) -> Result<Duration, String> {
        let mut under_way = JoinSet::new();
        let mut wait = POLL;
        for row in rows {
            // A gateway that ends takes no more; the lease gives the row to another one.
            let Some(token) = self.gateway.tasks.token() else { break };
            let (gateway, poster, link) = (Arc::clone(&self.gateway), Arc::clone(&self.poster), Arc::clone(link));
            let (place, names, database) = (self.place, self.names.clone(), self.linker.name());
            under_way.spawn(async move {
                let outcome = send(&gateway, &poster, &gateway.config.sinks[place], &database, &row).await;
                let ended = end(&gateway, &link, &gateway.config.sinks[place], &names, &row, &outcome).await;
                drop(token);
                ended.map(|()| outcome)
            });
        }
        while let Some(done) = under_way.join_next().await {
            match done.map_err(|panicked| panicked.to_string())?? {
                // The next of its topic may be due now.
                Outcome::Delivered | Outcome::Skipped(_) | Outcome::GivenUp(_) => wait = Duration::ZERO,
                Outcome::Again(after, _) => wait = wait.min(after),
            }
        }
        Ok(wait)
    }
}

/// Sends one row, unless this sink is not to be told of it.
async fn send(gateway: &Gateway, poster: &Poster, sink: &Sink, database: &str, row: &Taken) -> Outcome {
    let Ok(payload) = serde_json::from_str(&row.payload) else {
        return Outcome::GivenUp("the payload is no JSON".to_owned());
    };
    let at = std::time::SystemTime::now();
    let news = News { id: row.id, kind: &row.kind, payload: &payload, text: &row.payload, database, at };
    if row.attempts <= 1 && row.age > gateway.config.deliver_max_age.as_secs_f64() {
        return Outcome::Skipped("older than deliver.max_age");
    }
    if !sink.wants(&news, &row.tags) {
        return Outcome::Skipped("the sink is not configured for it");
    }
    match sink.message(&news) {
        None => Outcome::Skipped("nothing to tell this kind of sink"),
        Some(message) => Outcome::of(poster.post(sink, message).await, row.attempts, &sink.secret),
    }
}

/// Notes what became of a row.
async fn end(
    gateway: &Gateway,
    link: &Link,
    sink: &Sink,
    names: &[String],
    row: &Taken,
    outcome: &Outcome,
) -> Result<(), String> {
    let (label, problem, again) = outcome.noted();
    gateway.metrics.deliveries.add(&format!("sink=\"{}\",outcome=\"{label}\"", sink.name), 1);
    if let (Some(problem), "failed" | "given_up") = (problem, label) {
        let facts: [(&str, &dyn std::fmt::Display); 4] =
            [("sink", &sink.name), ("row", &row.id), ("attempt", &row.attempts), ("error", &problem)];
        log::warn(if again.is_some() { "a delivery failed" } else { "a delivery is given up" }, &facts);
    }
    let again = again.map(|after| after.as_secs_f64());
    let query = "SELECT FROM flagscope.end_delivery($1, $2, $3, $4, pg_catalog.make_interval(secs => $5))";
    link.asked(link.client.query(query, &[&row.id, &sink.name, &names, &problem, &again])).await.map(|_| ())
}
