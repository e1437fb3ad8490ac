//! Keeps the sets as the database has them: told by NOTIFY, and asked for besides, since notifications can be lost where a
//! connection dies unseen (PostgREST#3778), and poolers do not have them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, interval_at, sleep};

use super::{Followed, Loaded, Set, snapshot};
use crate::database::{HEARTBEAT, Link, Linker, Problem, check, describe, jitter};
use crate::gateway::Gateway;
use crate::log;

/// Changes that come within so long of one another are loaded at once.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// What the database notifies by.
const CHANNEL: &str = "flagscope_flag";
/// Between two attempts to connect: from the first to the second, doubled each time.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// What the first attempt gave.
pub enum Start {
    /// The flags are there.
    Loaded,
    /// The database is away; why.
    Away(String),
}

/// Keeps the sets of a gateway.
pub struct Follower {
    gateway: Arc<Gateway>,
    linker: Linker,
    cursors: HashMap<String, i64>,
}

impl Follower {
    /// For a gateway.
    pub fn new(gateway: Arc<Gateway>) -> Result<Self, String> {
        let linker = Linker::new(&gateway.config)?;
        Ok(Self { gateway, linker, cursors: HashMap::new() })
    }

    /// Tries it once: the error is what somebody has to change before this gateway can serve.
    pub async fn first(&mut self) -> Result<Start, String> {
        let link = match self.linker.connect(CHANNEL).await {
            Ok(link) => link,
            Err(problem) => return Ok(Start::Away(problem)),
        };
        let gateway = Arc::clone(&self.gateway);
        for followed in gateway.flags.all() {
            match check(&link.client, &followed.asked, !gateway.config.sinks.is_empty()).await {
                Ok(_) => {}
                Err(Problem::Unfit(problem)) => return Err(problem),
                Err(Problem::Away(problem)) => return Ok(Start::Away(problem)),
            }
        }
        Ok(match self.load_all(&link).await {
            Ok(_) => Start::Loaded,
            Err(problem) => Start::Away(problem),
        })
    }

    /// Follows until the gateway ends.
    pub async fn run(mut self) {
        let gateway = Arc::clone(&self.gateway);
        let mut draining = gateway.draining.subscribe();
        let mut pause = BACKOFF.0;
        loop {
            let problem = tokio::select! {
                problem = self.follow(&mut pause) => problem,
                () = Gateway::ends(&mut draining) => return,
            };
            if self.gateway.flags.is_up.swap(false, Ordering::Relaxed) || pause == BACKOFF.0 {
                log::warn("the database is away; flags are served from memory", &[("error", &problem)]);
            }
            sleep(jitter(pause)).await;
            pause = (pause * 2).min(BACKOFF.1);
        }
    }

    /// Follows as long as the connection lasts; returns why it ended.
    async fn follow(&mut self, pause: &mut Duration) -> String {
        match self.followed(pause).await {
            Ok(ended) | Err(ended) => ended,
        }
    }

    async fn followed(&mut self, pause: &mut Duration) -> Result<String, String> {
        let gateway = Arc::clone(&self.gateway);
        let mut link = self.linker.connect(CHANNEL).await?;
        self.load_all(&link).await?;
        *pause = BACKOFF.0;
        if !gateway.flags.is_up.swap(true, Ordering::Relaxed) {
            log::info("the database is there", &[("database", &self.linker.name())]);
        }
        let every = |period: Duration| interval_at(Instant::now() + period, period);
        let config = &gateway.config;
        let (mut poll, mut reload, mut beat) = (every(config.poll), every(config.reload), every(HEARTBEAT));
        let told = Arc::clone(&link.told);
        loop {
            tokio::select! {
                () = told.notified() => {
                    sleep(DEBOUNCE).await;
                    self.load_all(&link).await?;
                }
                () = gateway.flags.wanted.notified() => {
                    self.load_all(&link).await?;
                    // Clients that ask for what does not exist must not keep the database busy.
                    sleep(DEBOUNCE).await;
                }
                _ = poll.tick() => if self.has_changed(&link).await? { self.load_all(&link).await?; },
                _ = reload.tick() => if self.load_all(&link).await? { self.gateway.metrics.drift.one(); },
                _ = beat.tick() => link.beat().await?,
                ended = &mut link.driver => return Ok(ended.unwrap_or_else(|problem| problem.to_string())),
            }
        }
    }

    /// Loads all sets; whether one was another than before.
    async fn load_all(&mut self, link: &Link) -> Result<bool, String> {
        let gateway = Arc::clone(&self.gateway);
        let mut changed = false;
        for followed in gateway.flags.all() {
            changed |= self.load(link, followed).await?;
        }
        if changed && let Some(path) = gateway.config.snapshot.clone() {
            let sets = gateway.flags.all().iter().filter_map(|followed| {
                followed.now().map(|set| snapshot::Saved::new(followed.asked.clone(), set.at, set.loaded.clone()))
            });
            let sets = sets.collect();
            let written = tokio::task::spawn_blocking(move || snapshot::write(&path, sets)).await;
            if let Ok(Err(problem)) = written {
                log::warn("the snapshot could not be written", &[("error", &problem)]);
            }
        }
        Ok(changed)
    }

    async fn load(&mut self, link: &Link, followed: &Followed) -> Result<bool, String> {
        let asked = Some(followed.asked.as_str()).filter(|name| !name.is_empty());
        let query =
            "SELECT key, version, cursor, metadata::text, segments::text, flags::text FROM flagscope.flag_set($1)";
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&asked];
        let row = link.asked(link.client.query_one(query, &parameters)).await?;
        let loaded = loaded(&row).map_err(|error| describe(&error))?;
        self.cursors.insert(followed.asked.clone(), loaded.cursor);
        self.gateway.metrics.loads.one();
        let previous = followed.now();
        let compiled = tokio::task::spawn_blocking(move || {
            Set::new(loaded, SystemTime::now(), previous.as_deref())
                .map(|set| (previous.is_none_or(|p| p.tag != set.tag), set))
        });
        let (changed, set) = compiled
            .await
            .map_err(|problem| format!("the flags cannot be compiled: {problem}"))?
            .map_err(|problem| format!("the flags cannot be read: {problem}"))?;
        followed.confirm();
        if changed {
            log::info(
                "flags",
                &[("environment", &set.loaded.key), ("version", &set.tag), ("flags", &set.keys.len())],
            );
            followed.set.send_replace(Some(Arc::new(set)));
        }
        Ok(changed)
    }

    /// Whether the database tells of flags that are not as they are here.
    async fn has_changed(&mut self, link: &Link) -> Result<bool, String> {
        let gateway = Arc::clone(&self.gateway);
        let Some(cursor) = self.cursors.values().min().copied() else { return Ok(true) };
        let query = "SELECT environment, flag, version, state FROM flagscope.flag_changes($1)";
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&cursor];
        let rows = link.asked(link.client.query(query, &parameters)).await?;
        for followed in gateway.flags.all() {
            followed.confirm();
        }
        let sets: Vec<_> = gateway.flags.all().iter().filter_map(Followed::now).collect();
        for row in rows {
            let told: Result<(String, String, i64, String), _> =
                (|| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?)))();
            let (environment, flag, version, state) =
                told.map_err(|error: tokio_postgres::Error| describe(&error))?;
            let known = sets
                .iter()
                .filter(|set| set.loaded.key == environment)
                .map(|set| set.entry(&flag).map(|e| e.version));
            let wanted = (state == "active").then_some(version);
            if known.into_iter().any(|known| known != wanted) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn loaded(row: &tokio_postgres::Row) -> Result<Loaded, tokio_postgres::Error> {
    Ok(Loaded {
        key: row.try_get(0)?,
        version: row.try_get(1)?,
        cursor: row.try_get(2)?,
        metadata: row.try_get(3)?,
        segments: row.try_get(4)?,
        flags: row.try_get(5)?,
    })
}
