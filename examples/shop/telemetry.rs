//! OpenTelemetry's SDK, as its own guide sets it up. All that can be chosen is in OpenTelemetry's own variables: where to
//! (OTEL_EXPORTER_OTLP_ENDPOINT), under which name (OTEL_SERVICE_NAME), how often (OTEL_BSP_SCHEDULE_DELAY and others).

use opentelemetry::global;
use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter};
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::error::Error;
use std::sync::OnceLock;

/// Logs have no global provider: most programs connect their logging crate to it instead.
static LOGS: OnceLock<SdkLoggerProvider> = OnceLock::new();

pub struct Telemetry {
    spans: SdkTracerProvider,
    metrics: SdkMeterProvider,
    logs: SdkLoggerProvider,
}

pub fn start() -> Result<Telemetry, Box<dyn Error + Send + Sync>> {
    let spans =
        SdkTracerProvider::builder().with_batch_exporter(SpanExporter::builder().with_http().build()?).build();
    let metrics =
        SdkMeterProvider::builder().with_periodic_exporter(MetricExporter::builder().with_http().build()?).build();
    let logs = SdkLoggerProvider::builder().with_batch_exporter(LogExporter::builder().with_http().build()?).build();
    global::set_tracer_provider(spans.clone());
    global::set_meter_provider(metrics.clone());
    LOGS.get_or_init(|| logs.clone());
    Ok(Telemetry { spans, metrics, logs })
}

pub fn logs() -> Option<&'static SdkLoggerProvider> {
    LOGS.get()
}

impl Telemetry {
    /// Sends what is left.
    pub fn stop(self) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.spans.shutdown()?;
        self.logs.shutdown()?;
        Ok(self.metrics.shutdown()?)
    }
}
