//! Stores what waits: each sender has a connection, and stores one group after the other, each in one transaction.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use flagscope_core::otlp::PACKED_VERSION;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::Outcome;
use super::line::Line;
use super::queue::{Answer, Waiting};
use crate::database::{Database, Failure, describe, failure, stores};
use crate::gateway::Gateway;
use crate::log;

/// A serialisation failure or a deadlock is tried again so often.
const TRIES: u32 = 3;
/// Between two attempts to connect.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Starts the senders of a gateway.
pub fn spawn_senders(gateway: &Arc<Gateway>) -> Result<(), String> {
    for (node, database) in stores(&gateway.config)?.into_iter().enumerate() {
        for _ in 0..gateway.config.senders {
            tokio::spawn(run(Arc::clone(gateway), node, database.clone()));
        }
    }
    Ok(())
}

async fn run(gateway: Arc<Gateway>, node: usize, database: Database) {
    let Some(line) = gateway.queue.lines.get(node) else { return };
    let mut pause = PAUSE.0;
    loop {
        match database.connect().await {
            Ok((client, driver)) => {
                let mut driver = tokio::spawn(driver);
                line.connected();
                let ended = serve(&gateway, line, &database, &client, &mut driver, &mut pause).await;
                line.lost();
                driver.abort();
                log::warn("a sender lost its connection", &[("database", &line.name), ("error", &ended)]);
            }
            Err(error) => {
                line.away();
                if pause == PAUSE.0 {
                    let told = describe(&error);
                    log::warn("a sender cannot connect", &[("database", &line.name), ("error", &told)]);
                }
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// What drives a connection, and ends when the connection does.
type Driven = JoinHandle<Result<(), tokio_postgres::Error>>;

/// Stores groups as long as the connection lasts.
async fn serve(
    gateway: &Gateway,
    line: &Line,
    database: &Database,
    client: &Client,
    driver: &mut Driven,
    pause: &mut Duration,
) -> String {
    loop {
        let first = tokio::select! {
            first = line.first() => first,
            // A connection that is gone must not take a group.
            ended = &mut *driver => return why(ended),
        };
        let group = gateway.queue.group(first, gateway.config.linger).await;
        if let Some(problem) = store(gateway, line, database, client, group).await {
            return problem;
        }
        *pause = PAUSE.0;
    }
}

fn why(ended: Result<Result<(), tokio_postgres::Error>, tokio::task::JoinError>) -> String {
    match ended {
        Ok(Ok(())) => "the connection was closed".to_owned(),
        Ok(Err(error)) => describe(&error),
        Err(panicked) => panicked.to_string(),
    }
}

/// Stores a group, by halves where one request of it is bad. Gives why the connection cannot be used any more.
async fn store(
    gateway: &Gateway,
    line: &Line,
    database: &Database,
    client: &Client,
    group: Vec<Waiting>,
) -> Option<String> {
    let mut parts = vec![group];
    while let Some(mut part) = parts.pop() {
        // Who has gone away meanwhile is stored all the same: its rows were taken.
        match call(gateway, database, client, &part).await {
            Ok(()) => answer(part, &Ok(())),
            Err((Failure::Data, _)) if part.len() > 1 => {
                let half = part.split_off(part.len() / 2);
                parts.extend([half, part]);
            }
            Err((Failure::Data, told)) => answer(part, &Err(Outcome::Bad(told))),
            Err((Failure::Defect, told)) => {
                log::error("rows were refused by the database", &[("error", &told)]);
                answer(part, &Err(Outcome::Defect));
            }
            Err((failure, told)) => {
                // What may be stored already is not given to another node.
                let may_go = failure == Failure::Away;
                if may_go {
                    back(line, part)
                } else {
                    answer(part, &Err(Outcome::Away))
                }
                parts.into_iter().for_each(|part| back(line, part));
                // A server that refuses now may take the next group later.
                sleep(PAUSE.0).await;
                return Some(told);
            }
        }
    }
    None
}

fn answer(part: Vec<Waiting>, outcome: &Result<(), Outcome>) {
    for waiting in part {
        // Nobody may wait any more.
        let outcome = outcome.clone().map_or_else(Answer::Failed, |()| Answer::Stored);
        let _ = waiting.answer.send(outcome);
    }
}

/// Gives rows back that are not stored: another node may take them, if there is any.
fn back(line: &Line, part: Vec<Waiting>) {
    if line.is_alone {
        return answer(part, &Err(Outcome::Away));
    }
    for waiting in part {
        let _ = waiting.answer.send(Answer::Back(waiting.rows));
    }
}

async fn call(
    gateway: &Gateway,
    database: &Database,
    client: &Client,
    part: &[Waiting],
) -> Result<(), (Failure, String)> {
    if client.is_closed() {
        return Err((Failure::Away, "the connection was closed".to_owned()));
    }
    let mut rows = Vec::with_capacity(1 + part.iter().map(|waiting| waiting.rows.len()).sum::<usize>());
    rows.push(PACKED_VERSION);
    for waiting in part {
        rows.extend_from_slice(&waiting.rows);
    }
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&rows, Type::BYTEA)];
    let mut tries = 0;
    loop {
        tries += 1;
        let begun = Instant::now();
        // Without a name, so that a pooler may give each statement another connection.
        let query = client.query_typed("SELECT accepted, duplicate FROM flagscope.ingest_rows($1)", &parameters);
        let answered = match timeout(gateway.config.statement_timeout, query).await {
            Ok(answered) => answered,
            Err(_) => {
                let _ = timeout(Duration::from_secs(5), database.cancel(client)).await;
                return Err((Failure::Unsure, "a query took longer than database.statement_timeout".to_owned()));
            }
        };
        match answered {
            Ok(stored) => {
                let number =
                    |column| stored.first().and_then(|row| row.try_get::<_, i64>(column).ok()).unwrap_or_default();
                let metrics = &gateway.metrics;
                metrics.records.add("outcome=\"accepted\"", number(0) as u64);
                metrics.records.add("outcome=\"duplicate\"", number(1) as u64);
                metrics.commits.add(begun.elapsed());
                gateway.queue.stored(rows.len(), begun.elapsed());
                if gateway.config.nodes.is_empty() {
                    gateway.flags.is_up.store(true, Ordering::Relaxed);
                }
                return Ok(());
            }
            Err(error) => match failure(&error) {
                (Failure::Away, true) if tries < TRIES => {}
                (failure, _) => return Err((failure, describe(&error))),
            },
        }
    }
}
