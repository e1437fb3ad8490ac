//! OTLP/JSON to telemetry rows.
