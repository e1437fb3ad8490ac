//! The database: how to reach it, and whether it is one for this gateway.

mod check;
mod failure;
mod link;
mod stores;
mod tls;

use std::path::Path;
use std::time::Duration;

use tokio_postgres::{Client, Config, Connection, Socket};

pub use check::{Problem, check};
pub use failure::{Failure, failure};
pub use link::{HEARTBEAT, Link, Linker, jitter};
pub use stores::{check_nodes, stores};

/// How long making a connection may take, unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection on which nothing comes for so long is asked whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// How to reach a database.
#[derive(Clone)]
pub struct Database {
    config: Config,
    tls: tls::Tls,
}

/// What drives a client: without it nothing moves.
pub type Driver = Connection<Socket, tls::Stream<Socket>>;

impl Database {
    /// Reads a URL of libpq.
    pub fn new(url: &str, ca: Option<&Path>) -> Result<Self, String> {
        let mut url = url.to_owned();
        for checked in ["sslmode=verify-full", "sslmode=verify-ca"] {
            if url.contains(checked) {
                if ca.is_none() {
                    return Err(format!("{checked} needs database.ca, the file of the authority to check with"));
                }
                url = url.replace(checked, "sslmode=require");
            }
        }
        let mut config: Config =
            url.parse().map_err(|problem| format!("not a URL of PostgreSQL: {}", describe(&problem)))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err("the URL names no host".to_owned());
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("flagscope-gateway");
        }
        config.keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE).keepalives_retries(3);
        Ok(Self { config, tls: tls::Tls::new(ca)? })
    }

    /// Makes a connection.
    pub async fn connect(&self) -> Result<(Client, Driver), tokio_postgres::Error> {
        self.config.connect(self.tls.clone()).await
    }

    /// Asks the server to stop what a client is waiting for.
    pub async fn cancel(&self, client: &Client) {
        // Where even that fails the connection is gone, and the statement with it.
        let _ = client.cancel_token().cancel_query(self.tls.clone()).await;
    }

    /// The name of the database, for messages.
    pub fn name(&self) -> String {
        let config = &self.config;
        config.get_dbname().or(config.get_user()).unwrap_or("postgres").to_owned()
    }
}

/// An error in words, with the server's hint, or with what lies beneath it.
pub fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(told) = error.as_db_error() {
        let hint = told.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
        return format!("{} {}{hint}", told.code().code(), told.message());
    }
    let mut text = error.to_string();
    let mut beneath = std::error::Error::source(error);
    while let Some(cause) = beneath {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        beneath = cause.source();
    }
    text
}
