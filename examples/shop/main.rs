//! The shop of `make demo`: an ordinary application. Of flagscope it knows two addresses, both of the gateway:
//!
//!   OTEL_EXPORTER_OTLP_ENDPOINT   where its OpenTelemetry SDK sends spans, logs and metrics
//!   OFREP_ENDPOINT                where its OpenFeature provider asks for flags
//!
//! `checkout` is the application; `telemetry` and `flags` are what one writes to have both SDKs; `payment` is the part
//! that goes wrong, and `customers` plays the world outside. It runs until SIGTERM, or for as many seconds as its argument
//! says, and sends what is left.

mod checkout;
mod customers;
mod flags;
mod payment;
mod telemetry;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

/// Checkouts a second, and how long from one lot of customers to the next.
const RATE: u64 = 1500;
const PERIOD: Duration = Duration::from_millis(20);
/// Customers at once: more are turned away, as they would be where flags or payments do not answer.
const ROOM: usize = 2000;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let telemetry = telemetry::start()?;
    let shop = Arc::new(checkout::Shop::open(flags::client().await?));
    shop.watch_queue();
    let lasting = std::env::args().nth(1).map(|seconds| seconds.parse()).transpose()?;
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        () = serve(&shop) => {}
        () = tokio::time::sleep(lasting.map_or(Duration::MAX, Duration::from_secs)) => {}
        _ = terminated.recv() => {}
    }
    telemetry.stop()
}

/// Lets customers in, for ever.
async fn serve(shop: &Arc<checkout::Shop>) {
    let inside = Arc::new(AtomicUsize::new(0));
    let mut customers = customers::Customers::default();
    let mut clock = tokio::time::interval(PERIOD);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        clock.tick().await;
        for _ in 0..RATE * PERIOD.as_millis() as u64 / 1000 {
            let customer = customers.next();
            if inside.fetch_add(1, Ordering::Relaxed) >= ROOM {
                inside.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (shop, inside) = (Arc::clone(shop), Arc::clone(&inside));
            tokio::spawn(async move {
                shop.checkout(customer).await;
                inside.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }
}
