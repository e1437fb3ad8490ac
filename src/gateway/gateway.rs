//! What everything shares: the configuration, the flags, the metrics, and whether the gateway drains.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::auth::Auth;
use crate::config::Config;
use crate::console::Console;
use crate::database::{self, Database};
use crate::flags::{Exposures, Flags};
use crate::metric::Metrics;
use crate::telemetry::Queue;

/// A gateway.
pub struct Gateway {
    /// As it was started.
    pub config: Config,
    /// Who may ask.
    pub auth: Auth,
    /// The flags it serves.
    pub flags: Flags,
    /// The rows that wait to be stored.
    pub queue: Queue,
    /// The exposures that it has recorded lately.
    pub exposures: Exposures,
    /// The console, where it has an address.
    pub console: Option<Console>,
    /// What it counts.
    pub metrics: Metrics,
    /// Whether it will end: `/readyz` says so before the sockets close.
    pub ending: AtomicBool,
    /// Whether it ends.
    pub draining: watch::Sender<bool>,
    /// Room for event streams.
    pub streams: Arc<Semaphore>,
    /// What is under way.
    pub tasks: Tasks,
}

impl Gateway {
    /// A gateway that has no flags yet.
    pub fn new(config: Config, flags: Flags) -> Result<Self, String> {
        let auth = Auth::new(&config)?;
        let streams = Arc::new(Semaphore::new(config.streams.min(Semaphore::MAX_PERMITS)));
        let tasks = Tasks::default();
        let stores: Vec<String> = database::stores(&config)?.iter().map(Database::place).collect();
        let queue = Queue::new(config.ingest_queue, config.ingest_group, &stores, config.nodes_by_subject);
        let (ending, draining) = (AtomicBool::new(false), watch::Sender::new(false));
        let (exposures, metrics) = (Exposures::default(), Metrics::new());
        let console = Console::new(&config)?;
        Ok(Self { config, auth, flags, queue, exposures, console, metrics, ending, draining, streams, tasks })
    }

    /// Room for another stream, if there is any.
    pub fn stream_room(&self) -> Option<OwnedSemaphorePermit> {
        let room = Arc::clone(&self.streams).try_acquire_owned().ok();
        if room.is_none() {
            self.metrics.refused.add("why=\"streams\"", 1);
        }
        room
    }

    /// Waits until it ends.
    pub async fn ends(draining: &mut watch::Receiver<bool>) {
        // A sender that is gone is a gateway that is.
        let _ = draining.wait_for(|draining| *draining).await;
    }

    /// Whether it ends.
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }
}

/// Connections that are not over yet: each holds a token, and when the last is gone the channel says so.
pub struct Tasks {
    token: std::sync::Mutex<Option<mpsc::Sender<()>>>,
    over: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

impl Default for Tasks {
    fn default() -> Self {
        let (token, over) = mpsc::channel(1);
        Self { token: std::sync::Mutex::new(Some(token)), over: tokio::sync::Mutex::new(over) }
    }
}

impl Tasks {
    /// A token, to be dropped at the end; none once it is waited for the last.
    pub fn token(&self) -> Option<mpsc::Sender<()>> {
        self.token.lock().ok().and_then(|token| token.clone())
    }

    /// Waits until all tokens are gone.
    pub async fn wait(&self) {
        if let Ok(mut token) = self.token.lock() {
            *token = None;
        }
        while self.over.lock().await.recv().await.is_some() {}
    }
}
