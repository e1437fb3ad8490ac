//! Aggregates: `sql/aggregate/`, after all tables and types.

use pgrx::extension_sql_file;

extension_sql_file!(
    "../../sql/aggregate/moments.sql",
    name = "moments_aggregate",
    requires = [
        "node_state",
        sketch::moments::moments_in,
        sketch::moments::moments_out,
        sketch::moments::moments_recv,
        sketch::moments::moments_send,
        sketch::moments::moments_accum,
        sketch::moments::moments_accum_cap,
        sketch::moments::moments_absorb,
        sketch::moments::moments_combine,
        sketch::moments::moments_serialize,
        sketch::moments::moments_deserialize,
        sketch::moments::moments_final,
        sketch::moments::moments_merge,
        sketch::moments::moments_count,
        sketch::moments::moments_invalid,
        sketch::moments::moments_mean,
        sketch::moments::moments_variance,
        sketch::moments::moments_stddev,
        sketch::moments::moments_min,
        sketch::moments::moments_max,
        sketch::moments::moments_sum
    ]
);
extension_sql_file!(
    "../../sql/aggregate/histogram.sql",
    name = "histogram_aggregate",
    requires = [
        "moments_aggregate",
        sketch::histogram::histogram_in,
        sketch::histogram::histogram_out,
        sketch::histogram::histogram_recv,
        sketch::histogram::histogram_send,
        sketch::histogram::histogram_accum,
        sketch::histogram::histogram_accum_scale,
        sketch::histogram::histogram_inverse,
        sketch::histogram::histogram_inverse_scale,
        sketch::histogram::histogram_moving_accum,
        sketch::histogram::histogram_moving_accum_scale,
        sketch::histogram::histogram_moving_final,
        sketch::histogram::histogram_absorb,
        sketch::histogram::histogram_combine,
        sketch::histogram::histogram_serialize,
        sketch::histogram::histogram_deserialize,
        sketch::histogram::histogram_final,
        sketch::histogram::histogram_merge,
        sketch::histogram::histogram_quantile,
        sketch::histogram::histogram_quantiles,
        sketch::histogram::histogram_count,
        sketch::histogram::histogram_invalid,
        sketch::histogram::histogram_min,
        sketch::histogram::histogram_max,
        sketch::histogram::histogram_count_above,
        sketch::histogram::histogram_buckets,
        sketch::histogram::histogram_sum,
        sketch::histogram::histogram_mean,
        sketch::histogram::histogram_quantile_rank,
        sketch::histogram::histogram_trimmed_mean,
        sketch::histogram::histogram_quantile_interval,
        sketch::histogram::histogram_to_otlp,
        sketch::histogram::histogram_from_otlp
    ]
);
extension_sql_file!(
    "../../sql/aggregate/tdigest.sql",
    name = "tdigest_aggregate",
    requires = [
        "histogram_aggregate",
        sketch::tdigest::tdigest_in,
        sketch::tdigest::tdigest_out,
        sketch::tdigest::tdigest_recv,
        sketch::tdigest::tdigest_send,
        sketch::tdigest::tdigest_accum,
        sketch::tdigest::tdigest_accum_compression,
        sketch::tdigest::tdigest_absorb,
        sketch::tdigest::tdigest_combine,
        sketch::tdigest::tdigest_serialize,
        sketch::tdigest::tdigest_deserialize,
        sketch::tdigest::tdigest_final,
        sketch::tdigest::tdigest_merge,
        sketch::tdigest::tdigest_quantile,
        sketch::tdigest::tdigest_quantiles,
        sketch::tdigest::tdigest_count,
        sketch::tdigest::tdigest_invalid,
        sketch::tdigest::tdigest_min,
        sketch::tdigest::tdigest_max,
        sketch::tdigest::tdigest_quantile_rank,
        sketch::tdigest::tdigest_trimmed_mean,
        sketch::tdigest::tdigest_quantile_interval
    ]
);
extension_sql_file!(
    "../../sql/aggregate/ratio.sql",
    name = "ratio_aggregate",
    requires = [
        "tdigest_aggregate",
        sketch::ratio::ratio_in,
        sketch::ratio::ratio_out,
        sketch::ratio::ratio_recv,
        sketch::ratio::ratio_send,
        sketch::ratio::ratio_accum,
        sketch::ratio::ratio_absorb,
        sketch::ratio::ratio_combine,
        sketch::ratio::ratio_serialize,
        sketch::ratio::ratio_deserialize,
        sketch::ratio::ratio_final,
        sketch::ratio::ratio_merge,
        sketch::ratio::ratio_count,
        sketch::ratio::ratio_invalid,
        sketch::ratio::ratio_value,
        sketch::ratio::ratio_variance,
        sketch::ratio::ratio_standard_error,
        sketch::ratio::ratio_design_effect,
        sketch::ratio::design_effect_final
    ]
);
extension_sql_file!(
    "../../sql/aggregate/anomaly.sql",
    name = "anomaly_aggregate",
    requires = [
        "ratio_aggregate",
        anomaly::robust_z_accum,
        anomaly::robust_z_inverse,
        anomaly::robust_z_final,
        anomaly::ewma_accum,
        anomaly::ewma_accum_default,
        anomaly::ewma_final,
        anomaly::ewma_z_final,
        anomaly::series_accum,
        anomaly::anomaly_score_final,
        anomaly::anomaly_z_final,
        anomaly::anomaly_scores,
        anomaly::anomalies
    ]
);
extension_sql_file!(
    "../../sql/aggregate/patterns.sql",
    name = "patterns_aggregate",
    requires = [
        "anomaly_aggregate",
        correlate::patterns::patterns_accum,
        correlate::patterns::patterns_accum_ts,
        correlate::patterns::patterns_absorb,
        correlate::patterns::patterns_combine,
        correlate::patterns::patterns_serialize,
        correlate::patterns::patterns_deserialize,
        correlate::patterns::patterns_final,
        correlate::patterns::patterns_merge,
        correlate::patterns::patterns_count,
        correlate::patterns::patterns_lost,
        correlate::patterns::patterns,
        correlate::weigh::log_template,
    ]
);
