//! flagscope-gateway: what applications connect to. OpenTelemetry in, OpenFeature flags out; the
//! database stands behind it.
//!
//! The door: which rooms there are (README.md has the map), and the life of a gateway from its sockets to its end.

mod admin;
mod auth;
pub mod config;
mod console;
mod database;
mod deliver;
mod flags;
mod gateway;
mod grpc;
mod listen;
pub mod log;
mod metric;
mod route;
mod telemetry;
mod web;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::Config;
use flags::{Flags, Follower, Start};
use gateway::Gateway;
use listen::{Address, Listener, Server, Services, Tls};

/// A gateway whose sockets are open.
pub struct Running {
    gateway: Arc<Gateway>,
    tls: Option<Arc<Tls>>,
    /// Where it listens, in the order of [`Config::listeners`].
    pub bound: Vec<SocketAddr>,
}

/// Starts a gateway. The error is what somebody has to change before it can serve; a database that is away is none.
pub async fn start(config: Config) -> Result<Running, String> {
    let environments = environments(&config);
    let gateway = Arc::new(Gateway::new(config, Flags::new(environments))?);
    let tls = Tls::new(&gateway.config)?.map(Arc::new);
    restore(&gateway);
    let mut follower = Follower::new(Arc::clone(&gateway))?;
    if let Start::Away(problem) = follower.first().await? {
        let from = if gateway.flags.are_loaded() { "the snapshot" } else { "nothing yet" };
        log::warn("the database is away at the start", &[("error", &problem), ("serving", &from)]);
    }
    database::check_nodes(&gateway.config).await?;
    let listeners = open(&gateway.config).await?;
    let server = Arc::new(Server::new(Arc::clone(&gateway), tls.clone()));
    let mut bound = Vec::new();
    for (listener, services) in listeners {
        bound.extend(listener.bound());
        tokio::spawn(listener.run(Arc::clone(&server), services));
    }
    if !gateway.config.otlp_http.is_empty() || !gateway.config.otlp_grpc.is_empty() {
        telemetry::spawn_senders(&gateway)?;
    }
    deliver::spawn(&gateway)?;
    console::spawn(&gateway)?;
    tokio::spawn(follower.run());
    Ok(Running { gateway, tls, bound })
}

impl Running {
    /// Ends it: no new connections after the delay, then what is under way, for as long as that may take.
    pub async fn drain(&self) {
        let config = &self.gateway.config;
        self.gateway.draining.send_replace(true);
        if tokio::time::timeout(config.drain_timeout, self.gateway.tasks.wait()).await.is_err() {
            log::warn("what is still under way is given up", &[]);
        }
    }

    /// Takes the keys of the configuration as it is now, and reads the certificates again. Whatever else has changed in it
    /// waits for the next start.
    pub fn reload(&self, config: Result<Config, String>) {
        match config.and_then(|config| self.reload_keys(&config)) {
            Ok(keys) => log::info("keys are read again", &[("keys", &keys)]),
            Err(problem) => log::error("keys stay as they are", &[("error", &problem)]),
        }
        let Some(tls) = &self.tls else { return };
        match tls.reload(&self.gateway.config) {
            Ok(()) => log::info("certificates are read again", &[]),
            Err(problem) => log::error("certificates stay as they are", &[("error", &problem)]),
        }
    }

    /// How many keys there are now. What an environment needs to be served is made at the start.
    fn reload_keys(&self, config: &Config) -> Result<usize, String> {
        let served = |name: &String| self.gateway.flags.all().iter().any(|followed| followed.asked == *name);
        match config.keys.iter().flat_map(|key| &key.environments).find(|name| !served(name)) {
            Some(name) => Err(format!("environment \"{name}\" of a key is not served yet: restart the gateway")),
            None => {
                self.gateway.auth.reload(config);
                Ok(config.keys.len())
            }
        }
    }

    /// How long load balancers get to see that it ends.
    pub fn delay(&self) -> Duration {
        self.gateway.config.drain_delay
    }

    /// Tells `/readyz` that it will end.
    pub fn announce_end(&self) {
        self.gateway.ending.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Those that are served to everybody, then those of keys; an empty name is the server's own.
fn environments(config: &Config) -> Vec<String> {
    let mut environments = config.environments.clone();
    if environments.is_empty() {
        environments.push(String::new());
    }
    for environment in config.keys.iter().flat_map(|key| &key.environments) {
        if !environments.contains(environment) {
            environments.push(environment.clone());
        }
    }
    environments
}

/// Takes the flags of the snapshot, if there is one.
fn restore(gateway: &Gateway) {
    let Some(path) = &gateway.config.snapshot else { return };
    let told = |problem: &dyn std::fmt::Display| {
        log::warn("the snapshot cannot be read", &[("file", &path.display()), ("error", problem)]);
    };
    let saved = match flags::snapshot::read(path) {
        Ok(saved) => saved.unwrap_or_default(),
        Err(problem) => return told(&problem),
    };
    for saved in saved {
        if let Some(followed) = gateway.flags.all().iter().find(|followed| followed.asked == saved.asked)
            && let Err(problem) = followed.restore(saved)
        {
            told(&problem);
        }
    }
}

/// Opens all sockets; those with one address are one.
async fn open(config: &Config) -> Result<Vec<(Listener, Services)>, String> {
    let mut wanted: Vec<(Address, Services)> = Vec::new();
    for (name, texts) in config.listeners() {
        let services = Services::named(name);
        for text in texts {
            let address = Address::parse(text)?;
            match wanted.iter_mut().find(|(known, _)| *known == address && !text.ends_with(":0")) {
                Some((_, known)) => *known = known.and(services),
                None => wanted.push((address, services)),
            }
        }
    }
    let mut open = Vec::new();
    for (address, services) in wanted {
        let listener = Listener::open(&address).await.map_err(|problem| format!("{address:?}: {problem}"))?;
        open.push((listener, services));
    }
    Ok(open)
}
