//! The configuration: one struct with its defaults, filled from a TOML file, then the environment, then arguments.
//!
//! What is here: the values. `key` is the one list of their names, which file, environment, arguments, `--help` and
//! `--check` share; `read` finds the three sources; `unit` reads durations and sizes.

mod key;
mod read;
mod unit;

use std::path::PathBuf;
use std::time::Duration;

use crate::auth::Key;
use crate::database::stores;
use crate::deliver::Sink;
use crate::listen::Address;

pub use key::{KEYS, Key as ConfigKey, without_password};
pub use read::{Command, HELP, read};

/// All that can be configured; each value's meaning stands in [`KEYS`].
#[derive(Debug, Clone)]
#[allow(missing_docs)] // KEYS says it, for users too
pub struct Config {
    pub database_url: String,
    pub nodes: Vec<String>,
    pub nodes_by_subject: bool,
    pub listen_url: String,
    pub database_ca: Option<PathBuf>,
    pub statement_timeout: Duration,
    pub senders: usize,
    pub otlp_http: Vec<String>,
    pub otlp_grpc: Vec<String>,
    pub flagd_rpc: Vec<String>,
    pub flagd_sync: Vec<String>,
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub tls_client_ca: Option<PathBuf>,
    pub keys: Vec<Key>,
    pub auth_required: Option<bool>,
    pub token_secret: String,
    pub origins: Vec<String>,
    pub max_age: Duration,
    pub ofrep: Vec<String>,
    pub admin: Vec<String>,
    pub console: Vec<String>,
    pub console_database_url: String,
    pub console_url: String,
    pub console_session: Duration,
    pub environments: Vec<String>,
    pub poll: Duration,
    pub reload: Duration,
    pub snapshot: Option<PathBuf>,
    pub streams: usize,
    pub exposures: bool,
    pub ingest_queue: usize,
    pub ingest_group: usize,
    pub linger: Duration,
    pub ingest_timeout: Duration,
    pub limit_request: usize,
    pub limit_ofrep: usize,
    pub limit_header: usize,
    pub connections: usize,
    pub body_timeout: Duration,
    pub idle_timeout: Duration,
    pub sinks: Vec<Sink>,
    pub deliver_max_age: Duration,
    pub deliver_ca: Option<PathBuf>,
    pub drain_delay: Duration,
    pub drain_timeout: Duration,
    pub log_level: crate::log::Level,
    pub log_json: bool,
    pub threads: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database_url: String::new(),
            nodes: Vec::new(),
            nodes_by_subject: false,
            listen_url: String::new(),
            database_ca: None,
            statement_timeout: Duration::from_secs(10),
            senders: 4,
            otlp_http: vec!["127.0.0.1:4318".to_owned()],
            otlp_grpc: vec!["127.0.0.1:4317".to_owned()],
            flagd_rpc: vec!["127.0.0.1:8013".to_owned()],
            flagd_sync: vec!["127.0.0.1:8015".to_owned()],
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
            keys: Vec::new(),
            auth_required: None,
            token_secret: String::new(),
            origins: Vec::new(),
            max_age: Duration::from_secs(7200),
            ofrep: vec!["127.0.0.1:8016".to_owned()],
            admin: vec!["127.0.0.1:9464".to_owned()],
            console: Vec::new(),
            console_database_url: String::new(),
            console_url: String::new(),
            console_session: Duration::from_secs(12 * 3600),
            environments: Vec::new(),
            poll: Duration::from_secs(30),
            reload: Duration::from_secs(300),
            snapshot: None,
            streams: 10_000,
            exposures: false,
            ingest_queue: 192 << 20,
            ingest_group: 4 << 20,
            linger: Duration::from_millis(5),
            ingest_timeout: Duration::from_secs(10),
            limit_request: 64 << 20,
            limit_ofrep: 1 << 20,
            limit_header: 64 << 10,
            connections: 10_000,
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            sinks: Vec::new(),
            deliver_max_age: Duration::from_secs(86_400),
            deliver_ca: None,
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(25),
            log_level: crate::log::Level::Info,
            log_json: false,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

impl Config {
    /// The addresses of each service, by key.
    pub fn listeners(&self) -> [(&'static str, &Vec<String>); 7] {
        [
            ("listen.otlp_http", &self.otlp_http),
            ("listen.otlp_grpc", &self.otlp_grpc),
            ("listen.ofrep", &self.ofrep),
            ("listen.flagd_rpc", &self.flagd_rpc),
            ("listen.flagd_sync", &self.flagd_sync),
            ("listen.admin", &self.admin),
            ("listen.console", &self.console),
        ]
    }

    /// Whether no application is served without a key: who configures keys for applications means them, and who is reached
    /// by others needs them. Nobody is ever served by the console without one.
    pub fn requires_keys(&self) -> bool {
        self.auth_required.unwrap_or_else(|| self.keys.iter().any(Key::is_of_applications))
    }

    /// An address by which others than this machine reach what needs a key of an application.
    fn public(&self) -> Option<&str> {
        let without = ["listen.admin", "listen.console"];
        let services = self.listeners().into_iter().filter(|(name, _)| !without.contains(name));
        let mut addresses = services.flat_map(|(_, addresses)| addresses);
        addresses.find(|text| Address::parse(text).is_ok_and(|address| !address.is_local())).map(String::as_str)
    }

    /// What no single value can say about itself.
    pub fn check(&self) -> Result<(), String> {
        if self.database_url.is_empty() {
            return Err("database.url is missing: a URL like postgresql://gateway:secret@127.0.0.1:5432/shop, \
                also as FLAGSCOPE_GATEWAY_DATABASE_URL or DATABASE_URL"
                .to_owned());
        }
        if !self.nodes.is_empty() {
            stores(self)?;
        }
        for (name, addresses) in self.listeners() {
            for address in addresses {
                Address::parse(address).map_err(|problem| format!("{name}: {problem}"))?;
            }
        }
        if self.tls_cert.is_some() != self.tls_key.is_some()
            || (self.tls_client_ca.is_some() && self.tls_cert.is_none())
        {
            return Err("tls.cert and tls.key go together, and tls.client_ca needs both".to_owned());
        }
        if let Some(address) = self.public()
            && !self.requires_keys()
            && self.auth_required.is_none()
        {
            return Err(format!(
                "{address} is reached by others, and there are no auth.keys: configure keys \
                (flagscope-gateway key new), or say auth.required = false"
            ));
        }
        if self.auth_required == Some(true) && self.keys.is_empty() {
            return Err("auth.required is true, and there are no auth.keys".to_owned());
        }
        self.check_console()
    }

    /// The console has sockets of its own, and those who log in need keys.
    fn check_console(&self) -> Result<(), String> {
        if self.console.is_empty() {
            return Ok(());
        }
        let others = self.listeners().into_iter().filter(|(name, _)| *name != "listen.console");
        let mut shared = others.filter(|(_, texts)| texts.iter().any(|text| is_same(&self.console, text)));
        if let Some((name, _)) = shared.next() {
            return Err(format!("listen.console and {name} have an address in common: the console needs its own"));
        }
        if !self.keys.iter().any(Key::reads) {
            return Err(
                "listen.console needs a key to log in with: one of auth.keys with the scope read or operate \
                (flagscope-gateway key new)"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

/// Whether an address is one of these; a port of 0 is another one each time.
fn is_same(addresses: &[String], text: &str) -> bool {
    !text.ends_with(":0") && addresses.iter().any(|address| address == text)
}
