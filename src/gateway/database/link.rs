//! A connection that is told of changes by LISTEN, where that is to be had, and is known to be alive.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, Client};

use super::{Database, Driver, describe};
use crate::config::Config;
use crate::log;

/// The connection is tried so often, and is dead where that takes longer.
pub const HEARTBEAT: Duration = Duration::from_secs(10);
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection.
pub struct Link {
    /// To ask.
    pub client: Client,
    /// A notification came.
    pub told: Arc<Notify>,
    /// Ends when the connection does, with the reason.
    pub driver: JoinHandle<String>,
    database: Database,
    within: Duration,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// How to make such connections.
pub struct Linker {
    database: Database,
    listens: bool,
    within: Duration,
}

impl Linker {
    /// As it is configured: poolers have no notifications, so LISTEN may have an address of its own.
    pub fn new(config: &Config) -> Result<Self, String> {
        let (listens, url) = match config.listen_url.as_str() {
            "off" => (false, &config.database_url),
            "" => (true, &config.database_url),
            url => (true, &url.to_owned()),
        };
        let database = Database::new(url, config.database_ca.as_deref())?;
        Ok(Self { database, listens, within: config.statement_timeout })
    }

    /// The name of the database, for messages.
    pub fn name(&self) -> String {
        self.database.name()
    }

    /// Whether notifications are to be had.
    pub fn listens(&self) -> bool {
        self.listens
    }

    /// Makes one, which listens to a channel.
    pub async fn connect(&self, channel: &str) -> Result<Link, String> {
        let (client, connection) = self.database.connect().await.map_err(|error| describe(&error))?;
        let told = Arc::new(Notify::new());
        let driver = tokio::spawn(drive(connection, Arc::clone(&told)));
        let link = Link { client, told, driver, database: self.database.clone(), within: self.within };
        if self.listens {
            // Before anything is read, so that no change falls between.
            let listens = link.asked(link.client.batch_execute(&format!("LISTEN {channel}"))).await;
            if let Err(problem) = listens {
                log::warn("no notifications: changes are polled for", &[("error", &problem)]);
            }
        }
        Ok(link)
    }
}

impl Link {
    /// What the server answers, within the time that a statement has.
    pub async fn asked<T>(&self, query: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, String> {
        match timeout(self.within, query).await {
            Ok(answer) => answer.map_err(|error| describe(&error)),
            Err(_) => {
                let _ = timeout(HEARTBEAT_TIMEOUT, self.database.cancel(&self.client)).await;
                Err("a query took longer than database.statement_timeout".to_owned())
            }
        }
    }

    /// Whether somebody is still there.
    pub async fn beat(&self) -> Result<(), String> {
        let alive = timeout(HEARTBEAT_TIMEOUT, self.client.simple_query("SELECT 1")).await;
        alive.map_err(|_| "the connection is silent".to_owned())?.map_err(|error| describe(&error))?;
        Ok(())
    }
}

/// Moves a connection until it ends, and returns why.
async fn drive(mut connection: Driver, told: Arc<Notify>) -> String {
    loop {
        match std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            Some(Ok(AsyncMessage::Notification(_))) => told.notify_one(),
            Some(Ok(_)) => {}
            Some(Err(error)) => return describe(&error),
            None => return "the connection was closed".to_owned(),
        }
    }
}

/// A time that is up to a quarter shorter, so that replicas do not come all at once.
pub fn jitter(time: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness they come at once.
    let _ = getrandom::fill(&mut byte);
    time - time / 4 * u32::from(byte[0]) / 256
}
