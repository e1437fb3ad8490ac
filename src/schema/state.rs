//! Tables and types, in order: `sql/schema/`.

use pgrx::extension_sql_file;

extension_sql_file!("../../sql/schema/bootstrap.sql", name = "bootstrap_state", bootstrap);
extension_sql_file!(
    "../../sql/schema/sketch.sql",
    name = "sketch_state",
    requires = [
        sketch::moments::moments_in,
        sketch::moments::moments_out,
        sketch::moments::moments_recv,
        sketch::moments::moments_send,
        sketch::histogram::histogram_in,
        sketch::histogram::histogram_out,
        sketch::histogram::histogram_recv,
        sketch::histogram::histogram_send,
        sketch::tdigest::tdigest_in,
        sketch::tdigest::tdigest_out,
        sketch::tdigest::tdigest_recv,
        sketch::tdigest::tdigest_send,
        sketch::ratio::ratio_in,
        sketch::ratio::ratio_out,
        sketch::ratio::ratio_recv,
        sketch::ratio::ratio_send,
    ]
);
extension_sql_file!(
    "../../sql/schema/setting.sql",
    name = "setting_state",
    requires = ["sketch_state", refusal::refuse]
);
extension_sql_file!(
    "../../sql/schema/patterns.sql",
    name = "patterns_state",
    requires = [
        "setting_state",
        correlate::patterns::patterns_in,
        correlate::patterns::patterns_out,
        correlate::patterns::patterns_recv,
        correlate::patterns::patterns_send,
    ]
);
extension_sql_file!("../../sql/schema/flag.sql", name = "flag_state", requires = ["patterns_state"]);
extension_sql_file!("../../sql/schema/rollout.sql", name = "rollout_state", requires = ["flag_state"]);
extension_sql_file!("../../sql/schema/telemetry.sql", name = "telemetry_state", requires = ["rollout_state"]);
extension_sql_file!("../../sql/schema/frozen.sql", name = "frozen_state", requires = ["telemetry_state"]);
extension_sql_file!("../../sql/schema/otlp.sql", name = "otlp_state", requires = ["frozen_state"]);
extension_sql_file!(
    "../../sql/schema/metric.sql",
    name = "metric_state",
    requires = ["otlp_state", kind::kind_takes]
);
extension_sql_file!("../../sql/schema/rollup.sql", name = "rollup_level_state", requires = ["metric_state"]);
extension_sql_file!("../../sql/schema/guardrail.sql", name = "guardrail_state", requires = ["rollup_level_state"]);
extension_sql_file!("../../sql/schema/evidence.sql", name = "evidence_state", requires = ["guardrail_state"]);
extension_sql_file!("../../sql/schema/pairing.sql", name = "pairing_state", requires = ["evidence_state"]);
extension_sql_file!("../../sql/schema/dependence.sql", name = "dependence_state", requires = ["pairing_state"]);
extension_sql_file!("../../sql/schema/anomaly.sql", name = "anomaly_state", requires = ["dependence_state"]);
extension_sql_file!("../../sql/schema/decision.sql", name = "decision_state", requires = ["anomaly_state"]);
extension_sql_file!("../../sql/schema/correlate.sql", name = "correlation_state", requires = ["decision_state"]);
extension_sql_file!("../../sql/schema/health.sql", name = "health_state", requires = ["correlation_state"]);
extension_sql_file!("../../sql/schema/unit.sql", name = "unit_state", requires = ["health_state"]);
extension_sql_file!("../../sql/schema/uncounted.sql", name = "uncounted_state", requires = ["unit_state"]);
extension_sql_file!("../../sql/schema/service.sql", name = "service_state", requires = ["uncounted_state"]);
extension_sql_file!("../../sql/schema/worker.sql", name = "worker_state", requires = ["service_state"]);
extension_sql_file!("../../sql/schema/restore.sql", name = "restore_state", requires = ["worker_state"]);
extension_sql_file!("../../sql/schema/node.sql", name = "node_state", requires = ["restore_state"]);
