//! Knows that something has happened: the database notifies of decisions and of flags, and is asked besides, since notifications
//! can be lost, and what guardrails estimate has none.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::database::{HEARTBEAT, Link, Linker, jitter};
use crate::gateway::Gateway;
use crate::log;

/// What the database notifies by: of decisions, and of flags.
const CHANNELS: [&str; 2] = ["flagscope_outbox", "flagscope_flag"];
/// What happens within so long of one another is told at once.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// The database is asked so often for a decision, while a page is open.
const POLL: Duration = Duration::from_secs(1);
/// A new judgement is told so often at most: pages show estimates.
const JUDGED: Duration = Duration::from_secs(5);
/// Pages are renewed so often at least: they show how long something lasts, and whether anything is judged at all.
const AT_LEAST: Duration = Duration::from_secs(30);
/// Between two attempts to connect.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Follows the database for the console, if there is one.
pub fn spawn(gateway: &Arc<Gateway>) -> Result<(), String> {
    if gateway.console.is_some() {
        tokio::spawn(listen(Arc::clone(gateway), Linker::new(&gateway.config)?));
        tokio::spawn(ask(Arc::clone(gateway)));
    }
    Ok(())
}

fn tell(gateway: &Gateway) {
    if let Some(console) = &gateway.console {
        console.happened.send_modify(|count| *count += 1);
    }
}

/// Tells of notifications, and that the database went away or came back, until the gateway ends.
async fn listen(gateway: Arc<Gateway>, linker: Linker) {
    let mut draining = gateway.draining.subscribe();
    let mut pause = PAUSE.0;
    loop {
        tokio::select! {
            ended = hear(&gateway, &linker, &mut pause) => {
                if let Err(problem) = ended && pause == PAUSE.0 {
                    log::warn("the console lost its connection", &[("error", &problem)]);
                }
            }
            () = Gateway::ends(&mut draining) => return,
        }
        if pause == PAUSE.0 {
            tell(&gateway);
        }
        sleep(jitter(pause)).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

async fn hear(gateway: &Gateway, linker: &Linker, pause: &mut Duration) -> Result<(), String> {
    let link: Link = linker.connect(CHANNELS[0]).await?;
    if linker.listens() {
        link.asked(link.client.batch_execute(&format!("LISTEN {}", CHANNELS[1]))).await?;
    }
    *pause = PAUSE.0;
    tell(gateway);
    let mut beat = interval(HEARTBEAT);
    loop {
        tokio::select! {
            () = link.told.notified() => {
                sleep(DEBOUNCE).await;
                tell(gateway);
            }
            _ = beat.tick() => link.beat().await?,
        }
        if link.client.is_closed() {
            return Err("the connection was closed".to_owned());
        }
    }
}

/// The last decision, and when there was a round of judgement.
type Seen = (Option<i64>, Option<f64>);

/// Asks what no notification tells, while somebody has a page open.
async fn ask(gateway: Arc<Gateway>) {
    let Some(console) = &gateway.console else { return };
    let mut draining = gateway.draining.subscribe();
    let mut every = interval(POLL);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut seen, mut told): (Seen, Instant) = ((None, None), Instant::now());
    loop {
        tokio::select! {
            _ = every.tick() => {}
            () = Gateway::ends(&mut draining) => return,
        }
        if console.happened.receiver_count() == 0 {
            continue;
        }
        let query = "SELECT (SELECT max(d.id) FROM flagscope.decision d),
            (SELECT extract(epoch FROM s.last_ok_at)::float8 FROM _flagscope.tick_state s)";
        // Whoever has the page open is told of a failure by the page.
        let Ok(rows) = console.pool.query(query, &[]).await else { continue };
        let now: Seen = rows
            .first()
            .map_or((None, None), |row| (row.try_get(0).unwrap_or_default(), row.try_get(1).unwrap_or_default()));
        let passed = told.elapsed();
        if now.0 != seen.0 || (now.1 != seen.1 && passed >= JUDGED) || passed >= AT_LEAST {
            (seen, told) = (now, Instant::now());
            tell(&gateway);
        }
    }
}
