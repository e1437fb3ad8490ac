//! What the gateway counts, and its text for Prometheus.

use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the times that are counted, in seconds.
const BOUNDS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0];

/// A number that only grows.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn one(&self) {
        self.many(1);
    }

    /// So many more.
    pub fn many(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Times, in buckets.
#[derive(Default)]
pub struct Times {
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    nanos: AtomicU64,
}

impl Times {
    /// Counts a time.
    pub fn add(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        if let Some(bucket) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    fn write(&self, out: &mut String, name: &str, labels: &str) {
        let mut below = 0;
        let separator = if labels.is_empty() { "" } else { "," };
        for (bound, bucket) in BOUNDS.iter().zip(&self.buckets) {
            below += bucket.load(Ordering::Relaxed);
            let _ = writeln!(out, "{name}_bucket{{{labels}{separator}le=\"{bound}\"}} {below}");
        }
        let count = self.count.load(Ordering::Relaxed);
        let _ = writeln!(out, "{name}_bucket{{{labels}{separator}le=\"+Inf\"}} {count}");
        let _ = writeln!(out, "{name}_sum{{{labels}}} {}", self.nanos.load(Ordering::Relaxed) as f64 / 1e9);
        let _ = writeln!(out, "{name}_count{{{labels}}} {count}");
    }
}

/// What is asked of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// OTLP over HTTP.
    OtlpHttp,
    /// OTLP over gRPC.
    OtlpGrpc,
    /// OFREP.
    Ofrep,
    /// flagd's evaluation.
    FlagdRpc,
    /// flagd's sync.
    FlagdSync,
    /// The console.
    Console,
    /// Nothing that is served.
    Other,
}

impl Service {
    const ALL: [Self; 7] =
        [Self::OtlpHttp, Self::OtlpGrpc, Self::Ofrep, Self::FlagdRpc, Self::FlagdSync, Self::Console, Self::Other];

    fn label(self) -> &'static str {
        match self {
            Self::OtlpHttp => "otlp_http",
            Self::OtlpGrpc => "otlp_grpc",
            Self::Ofrep => "ofrep",
            Self::FlagdRpc => "flagd_rpc",
            Self::FlagdSync => "flagd_sync",
            Self::Console => "console",
            Self::Other => "other",
        }
    }
}

/// Counters by a label that few have.
#[derive(Default)]
pub struct Labelled(Mutex<Vec<(String, u64)>>);

impl Labelled {
    /// So many more of those with these labels.
    pub fn add(&self, labels: &str, n: u64) {
        // Whoever panicked while counting has counted.
        if n == 0 {
            return;
        }
        let mut counts = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match counts.iter_mut().find(|(known, _)| known == labels) {
            Some((_, count)) => *count += n,
            None => counts.push((labels.to_owned(), n)),
        }
    }

    fn write(&self, out: &mut String, name: &str) {
        let counts = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (labels, count) in counts.iter() {
            let _ = writeln!(out, "{name}{{{labels}}} {count}");
        }
    }
}

/// All that is counted.
#[derive(Default)]
pub struct Metrics {
    /// Answers by service and status.
    pub requests: Labelled,
    times: [Times; Service::ALL.len()],
    /// Records of telemetry, by signal and what became of them.
    pub records: Labelled,
    /// Bytes of telemetry, unpacked.
    pub received_bytes: Counter,
    /// Rows of the outbox, by sink and what became of them.
    pub deliveries: Labelled,
    /// Rows stored, by node, where there are several.
    pub node_rows: Labelled,
    /// Rows that another node stored while theirs was away, by theirs.
    pub node_round: Labelled,
    /// Exposures, by what became of them.
    pub exposures: Labelled,
    /// Times to store a group.
    pub commits: Times,
    /// Flags evaluated.
    pub evaluations: Counter,
    /// Bulk answers that had not changed.
    pub not_modified: Counter,
    /// What was refused, by the reason.
    pub refused: Labelled,
    /// Sets of flags loaded.
    pub loads: Counter,
    /// Reloads that found a change nobody had told of.
    pub drift: Counter,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts an answer.
    pub fn answered(&self, service: Service, status: u16, time: Duration) {
        self.requests.add(&format!("service=\"{}\",code=\"{status}\"", service.label()), 1);
        if let Some(times) = self.times.get(service as usize) {
            times.add(time);
        }
    }

    /// The text, with values of the moment that others know.
    pub fn text(&self, moment: &[(&str, &str, &str, f64)]) -> String {
        let mut out = String::with_capacity(4096);
        let head = |out: &mut String, name: &str, kind: &str, help: &str| {
            let _ = writeln!(out, "# HELP flagscope_gateway_{name} {help}\n# TYPE flagscope_gateway_{name} {kind}");
        };
        head(&mut out, "requests_total", "counter", "answers by service and status");
        self.requests.write(&mut out, "flagscope_gateway_requests_total");
        head(&mut out, "request_seconds", "histogram", "time from a request's header to its answer");
        for service in Service::ALL {
            let labels = format!("service=\"{}\"", service.label());
            self.times[service as usize].write(&mut out, "flagscope_gateway_request_seconds", &labels);
        }
        head(&mut out, "refused_total", "counter", "requests refused, by the reason");
        self.refused.write(&mut out, "flagscope_gateway_refused_total");
        head(&mut out, "records_total", "counter", "records of telemetry by what became of them");
        self.records.write(&mut out, "flagscope_gateway_records_total");
        head(&mut out, "deliveries_total", "counter", "notifications by sink and what became of them");
        self.deliveries.write(&mut out, "flagscope_gateway_deliveries_total");
        head(&mut out, "exposures_total", "counter", "exposures by what became of them");
        self.exposures.write(&mut out, "flagscope_gateway_exposures_total");
        head(&mut out, "node_rows_total", "counter", "rows stored, by node");
        self.node_rows.write(&mut out, "flagscope_gateway_node_rows_total");
        head(&mut out, "node_round_total", "counter", "rows gone round the node, to another one");
        self.node_round.write(&mut out, "flagscope_gateway_node_round_total");
        head(&mut out, "commit_seconds", "histogram", "time to store a group of rows");
        self.commits.write(&mut out, "flagscope_gateway_commit_seconds", "");
        for (name, help, counter) in [
            ("received_bytes_total", "bytes of telemetry, unpacked", &self.received_bytes),
            ("evaluations_total", "flags evaluated", &self.evaluations),
            ("not_modified_total", "bulk answers that were the same as the client's", &self.not_modified),
            ("flags_loads_total", "sets of flags loaded", &self.loads),
            ("flags_drift_total", "reloads that found a change nobody had told of", &self.drift),
        ] {
            head(&mut out, name, "counter", help);
            let _ = writeln!(out, "flagscope_gateway_{name} {}", counter.get());
        }
        let mut before = "";
        for (name, help, labels, value) in moment {
            if *name != before {
                head(&mut out, name, "gauge", help);
            }
            before = name;
            let _ = writeln!(out, "flagscope_gateway_{name}{labels} {value}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_prometheus() {
        let metrics = Metrics::new();
        metrics.answered(Service::Ofrep, 200, Duration::from_millis(2));
        metrics.answered(Service::Ofrep, 200, Duration::from_secs(60));
        let text = metrics.text(&[("database_up", "whether", "", 1.0)]);
        for line in [
            "# TYPE flagscope_gateway_requests_total counter",
            "flagscope_gateway_requests_total{service=\"ofrep\",code=\"200\"} 2",
            "flagscope_gateway_request_seconds_bucket{service=\"ofrep\",le=\"0.001\"} 0",
            "flagscope_gateway_request_seconds_bucket{service=\"ofrep\",le=\"0.0025\"} 1",
            "flagscope_gateway_request_seconds_bucket{service=\"ofrep\",le=\"+Inf\"} 2",
            "flagscope_gateway_request_seconds_sum{service=\"ofrep\"} 60.002",
            "flagscope_gateway_database_up 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
