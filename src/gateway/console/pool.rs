//! Connections for pages: made when they are needed, kept while they work. A database that comes back is found by the next page.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use crate::database::{Database, describe};

/// A value with its type: statements are not prepared, so that poolers between may be in transaction mode.
pub type Value<'a> = (&'a (dyn ToSql + Sync), Type);

/// How long it may take to give a query up.
const CANCEL: Duration = Duration::from_secs(2);

/// Why the database gave no answer.
#[derive(Debug)]
pub enum Trouble {
    /// It is away, or does not answer in time.
    Away(String),
    /// It refused: SQLSTATE, words, and what to do.
    Refused { code: String, message: String, hint: String },
}

/// Some connections.
pub struct Pool {
    database: Database,
    room: Semaphore,
    idle: Mutex<Vec<Client>>,
    within: Duration,
}

impl Pool {
    /// At most so many; a query is given up after a time.
    pub fn new(database: Database, most: usize, within: Duration) -> Self {
        Self { database, room: Semaphore::new(most), idle: Mutex::new(Vec::new()), within }
    }

    /// The rows of a query. It is sent once: what was done when a connection broke off must not be done again.
    pub async fn query(&self, query: &str, values: &[Value<'_>]) -> Result<Vec<Row>, Trouble> {
        let late = |_| Trouble::Away(format!("it has not answered within {} s", self.within.as_secs_f64()));
        let room = timeout(self.within, self.room.acquire()).await.map_err(late)?;
        let _room = room.map_err(|problem| Trouble::Away(problem.to_string()))?;
        let client = match self.take() {
            Some(client) => client,
            None => self.connect().await?,
        };
        match timeout(self.within, client.query_typed(query, values)).await {
            Ok(outcome) => self.outcome(client, outcome),
            Err(passed) => {
                let _ = timeout(CANCEL, self.database.cancel(&client)).await;
                Err(late(passed))
            }
        }
    }

    fn outcome(&self, client: Client, outcome: Result<Vec<Row>, tokio_postgres::Error>) -> Result<Vec<Row>, Trouble> {
        match outcome {
            Ok(rows) => {
                self.keep(client);
                Ok(rows)
            }
            Err(error) => {
                let told = error.as_db_error().filter(|told| !is_away(told.code().code()));
                let Some(told) = told else { return Err(Trouble::Away(describe(&error))) };
                let trouble = Trouble::Refused {
                    code: told.code().code().to_owned(),
                    message: told.message().to_owned(),
                    hint: told.hint().unwrap_or_default().to_owned(),
                };
                self.keep(client);
                Err(trouble)
            }
        }
    }

    async fn connect(&self) -> Result<Client, Trouble> {
        let (client, driver) = self.database.connect().await.map_err(|error| Trouble::Away(describe(&error)))?;
        tokio::spawn(driver);
        // Compiling the queries of a page takes longer (up to 80 ms) than running them. Where it may not be set, it is slower.
        let _ = timeout(self.within, client.batch_execute("SET jit = off")).await;
        Ok(client)
    }

    fn take(&self) -> Option<Client> {
        let mut idle = self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while let Some(client) = idle.pop() {
            if !client.is_closed() {
                return Some(client);
            }
        }
        None
    }

    fn keep(&self, client: Client) {
        if !client.is_closed() {
            self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(client);
        }
    }
}

/// Whether an SQLSTATE says that the server does not serve now: connections, resources, shutdown.
fn is_away(code: &str) -> bool {
    matches!(code.get(..2), Some("08" | "53" | "57" | "58")) || code.starts_with("28") || code == "3D000"
}
