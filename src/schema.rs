//! The one list that composes sql/ in order. Tables and types come first (`sql/schema/`), then code by topic
//! (`sql/api/`, `sql/aggregate/`); every file names the one before it, since unrelated items have no stable order.

use pgrx::{extension_sql_file, pg_schema};

/// The private schema, declared so that `#[pg_extern(schema = "_flagscope")]` may name it; bootstrap.sql creates it.
#[pg_schema]
mod _flagscope {}

extension_sql_file!("../sql/schema/bootstrap.sql", name = "bootstrap_state", bootstrap);
extension_sql_file!(
    "../sql/schema/sketch.sql",
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
    "../sql/schema/setting.sql",
    name = "setting_state",
    requires = ["sketch_state", refusal::refuse]
);
extension_sql_file!(
    "../sql/schema/patterns.sql",
    name = "patterns_state",
    requires = [
        "setting_state",
        correlate::patterns::patterns_in,
        correlate::patterns::patterns_out,
        correlate::patterns::patterns_recv,
        correlate::patterns::patterns_send,
    ]
);
extension_sql_file!("../sql/schema/flag.sql", name = "flag_state", requires = ["patterns_state"]);
extension_sql_file!("../sql/schema/rollout.sql", name = "rollout_state", requires = ["flag_state"]);
extension_sql_file!("../sql/schema/telemetry.sql", name = "telemetry_state", requires = ["rollout_state"]);
extension_sql_file!("../sql/schema/otlp.sql", name = "otlp_state", requires = ["telemetry_state"]);
extension_sql_file!("../sql/schema/metric.sql", name = "metric_state", requires = ["otlp_state", kind::kind_takes]);
extension_sql_file!("../sql/schema/rollup.sql", name = "rollup_level_state", requires = ["metric_state"]);
extension_sql_file!("../sql/schema/guardrail.sql", name = "guardrail_state", requires = ["rollup_level_state"]);
extension_sql_file!("../sql/schema/pairing.sql", name = "pairing_state", requires = ["guardrail_state"]);
extension_sql_file!("../sql/schema/anomaly.sql", name = "anomaly_state", requires = ["pairing_state"]);
extension_sql_file!("../sql/schema/decision.sql", name = "decision_state", requires = ["anomaly_state"]);
extension_sql_file!("../sql/schema/correlate.sql", name = "correlation_state", requires = ["decision_state"]);
extension_sql_file!("../sql/schema/health.sql", name = "health_state", requires = ["correlation_state"]);
extension_sql_file!("../sql/schema/uncounted.sql", name = "uncounted_state", requires = ["health_state"]);
extension_sql_file!("../sql/schema/service.sql", name = "service_state", requires = ["uncounted_state"]);
extension_sql_file!("../sql/schema/worker.sql", name = "worker_state", requires = ["service_state"]);
extension_sql_file!("../sql/schema/restore.sql", name = "restore_state", requires = ["worker_state"]);
extension_sql_file!(
    "../sql/aggregate/moments.sql",
    name = "moments_aggregate",
    requires = [
        "restore_state",
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
    "../sql/aggregate/histogram.sql",
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
    "../sql/aggregate/tdigest.sql",
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
    "../sql/aggregate/ratio.sql",
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
    "../sql/aggregate/anomaly.sql",
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
    "../sql/aggregate/patterns.sql",
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
extension_sql_file!(
    "../sql/api/comparison.sql",
    name = "comparison_api",
    requires = [
        "patterns_aggregate",
        comparison::mean_test,
        comparison::ratio_test,
        comparison::proportion_test,
        comparison::rate_test,
        comparison::adjust_p_values,
        comparison::rank_test,
        comparison::chi_square_test
    ]
);
extension_sql_file!("../sql/api/message.sql", name = "message_api", requires = ["comparison_api", message::message]);
extension_sql_file!(
    "../sql/api/names.sql",
    name = "names_api",
    requires = ["message_api", refusal::refuse, refusal::raise_for_caller, refusal::unknown, refusal::names_hint]
);
extension_sql_file!("../sql/api/progress.sql", name = "progress_api", requires = ["names_api"]);
extension_sql_file!("../sql/api/setting.sql", name = "setting_api", requires = ["progress_api"]);
extension_sql_file!(
    "../sql/api/stats.sql",
    name = "stats_api",
    requires = [
        "setting_api",
        guardrail::estimate::odds_ratio,
        guardrail::estimate::rate_interval,
        stats::counts::sequential_proportion_test,
        stats::counts::sequential_limit_test,
        stats::counts::sequential_rate_test,
        stats::values::sequential_mean_test,
        stats::values::sequential_mean_t_test,
        stats::values::sequential_quantile_test,
        stats::values::sequential_quantile_strict_test,
        stats::values::sequential_distribution_test,
        stats::values::sequential_ratio_test,
        stats::counts::sequential_share_test,
        stats::design_effect,
        stats::combine_e,
        stats::e_bh,
        filter::check_filter,
        filter::check_per,
        filter::require_filter,
        filter::require_per,
        query::require_query,
        query::query_rows,
        query::own_query_rows,
        survey::survey
    ]
);
extension_sql_file!(
    "../sql/api/chart.sql",
    name = "chart_api",
    requires = ["stats_api", chart::_sparkline, chart::bar]
);
extension_sql_file!("../sql/api/actor.sql", name = "actor_api", requires = ["chart_api"]);
extension_sql_file!(
    "../sql/api/environment.sql",
    name = "environment_api",
    requires = ["actor_api", exchange::check_document]
);
extension_sql_file!(
    "../sql/api/flag.sql",
    name = "flag_api",
    requires = ["environment_api", exchange::check_document, exchange::check_schema, exchange::check_rule]
);
extension_sql_file!(
    "../sql/api/targeting.sql",
    name = "targeting_api",
    requires = ["flag_api", exchange::check_rule, exchange::targeting_outcomes, exchange::unknown_variants]
);
extension_sql_file!("../sql/api/variant.sql", name = "variant_api", requires = ["targeting_api"]);
extension_sql_file!("../sql/api/segment.sql", name = "segment_api", requires = ["variant_api"]);
extension_sql_file!("../sql/api/rollout.sql", name = "rollout_api", requires = ["segment_api"]);
extension_sql_file!("../sql/api/freeze.sql", name = "freeze_api", requires = ["rollout_api", calendar::week_ends]);
extension_sql_file!(
    "../sql/api/metric.sql",
    name = "metric_api",
    requires = [
        "freeze_api",
        kind::kind_value,
        kind::kind_interval,
        kind::is_tested,
        kind::counts_events,
        kind::margin_setting,
        kind::tested_levels,
        kind::kind_problem,
        kind::kind_takes
    ]
);
extension_sql_file!("../sql/api/guardrail.sql", name = "guardrail_api", requires = ["metric_api"]);
extension_sql_file!("../sql/api/policy.sql", name = "policy_api", requires = ["guardrail_api"]);
extension_sql_file!(
    "../sql/api/evidence.sql",
    name = "evidence_api",
    requires = ["policy_api", scalar::alpha_share, scalar::alpha_left_at_start, scalar::alpha_half,]
);
extension_sql_file!("../sql/api/notice.sql", name = "notice_api", requires = ["evidence_api"]);
extension_sql_file!("../sql/api/decision.sql", name = "decision_api", requires = ["notice_api"]);
extension_sql_file!("../sql/api/delivery.sql", name = "delivery_api", requires = ["decision_api"]);
extension_sql_file!("../sql/api/rollout_action.sql", name = "rollout_action_api", requires = ["delivery_api"]);
extension_sql_file!("../sql/api/by_flag.sql", name = "by_flag_api", requires = ["rollout_action_api"]);
extension_sql_file!("../sql/api/reference.sql", name = "reference_api", requires = ["by_flag_api"]);
extension_sql_file!("../sql/api/alert.sql", name = "alert_api", requires = ["reference_api", calendar::utc]);
extension_sql_file!(
    "../sql/api/partition.sql",
    name = "partition_api",
    requires = ["alert_api", telemetry::fold_telemetry]
);
extension_sql_file!("../sql/api/telemetry.sql", name = "telemetry_api", requires = ["partition_api"]);
extension_sql_file!(
    "../sql/api/attribution.sql",
    name = "attribution_api",
    requires = ["telemetry_api", attribution::note_row, attribution::find_flags]
);
extension_sql_file!(
    "../sql/api/configuration.sql",
    name = "configuration_api",
    requires = ["attribution_api", telemetry::announce_change]
);
extension_sql_file!(
    "../sql/api/evaluate.sql",
    name = "evaluate_api",
    requires = [
        "configuration_api",
        flag::evaluate::evaluate,
        flag::evaluate::evaluate_all,
        flag::evaluate::evaluate_boolean,
        flag::evaluate::evaluate_string,
        flag::evaluate::evaluate_integer,
        flag::evaluate::evaluate_number,
        flag::evaluate::evaluate_object,
        flag::evaluate::explain_evaluation,
        flag::evaluate::evaluate_among,
        flag::ofrep::ofrep_evaluate,
        flag::ofrep::ofrep_evaluate_all,
    ]
);
extension_sql_file!(
    "../sql/api/exchange.sql",
    name = "exchange_api",
    requires = ["evaluate_api", exchange::write_flagd, exchange::read_flagd]
);
extension_sql_file!(
    "../sql/api/otlp.sql",
    name = "otlp_api",
    requires = ["exchange_api", otlp::decode_otlp, otlp::otlp_since]
);
extension_sql_file!("../sql/api/uncounted.sql", name = "uncounted_api", requires = ["otlp_api"]);
extension_sql_file!("../sql/api/service.sql", name = "service_api", requires = ["uncounted_api"]);
extension_sql_file!("../sql/api/record.sql", name = "record_api", requires = ["service_api"]);
extension_sql_file!(
    "../sql/api/tick.sql",
    name = "tick_api",
    requires = ["record_api", pairing::is_shared, pairing::comes_in_parts]
);
extension_sql_file!("../sql/api/pair.sql", name = "pair_api", requires = ["tick_api", pairing::advance_pairing]);
extension_sql_file!(
    "../sql/api/judge.sql",
    name = "judge_api",
    requires = [
        "pair_api",
        judge::step,
        scalar::is_due,
        scalar::newest_point,
        scalar::not_fresh,
        scalar::is_eventless,
        kind::looks_back,
    ]
);
extension_sql_file!(
    "../sql/api/joint.sql",
    name = "joint_api",
    requires = ["judge_api", guardrail::together::may_reach_together, guardrail::together::blamed_together]
);
extension_sql_file!(
    "../sql/api/health.sql",
    name = "health_api",
    requires = ["joint_api", health::share_increment, health::share_log_e]
);
extension_sql_file!("../sql/api/query.sql", name = "query_api", requires = ["health_api", query::fold_query]);
extension_sql_file!("../sql/api/window.sql", name = "window_api", requires = ["query_api", window::count_telemetry]);
extension_sql_file!("../sql/api/poll.sql", name = "poll_api", requires = ["window_api"]);
extension_sql_file!("../sql/api/rollup.sql", name = "rollup_level_api", requires = ["poll_api"]);
extension_sql_file!(
    "../sql/api/rebuild.sql",
    name = "rebuild_api",
    requires = ["rollup_level_api", telemetry::fold_stored]
);
extension_sql_file!("../sql/api/verify.sql", name = "verify_api", requires = ["rebuild_api"]);
extension_sql_file!("../sql/api/watch.sql", name = "watch_api", requires = ["verify_api"]);
extension_sql_file!("../sql/api/chunk.sql", name = "chunk_api", requires = ["watch_api"]);
extension_sql_file!("../sql/api/retention.sql", name = "retention_api", requires = ["chunk_api"]);
extension_sql_file!("../sql/api/maintain.sql", name = "maintain_api", requires = ["retention_api"]);
extension_sql_file!("../sql/api/budget.sql", name = "budget_api", requires = ["maintain_api"]);
extension_sql_file!(
    "../sql/api/anomaly.sql",
    name = "anomaly_api",
    requires = ["budget_api", kind::alarm_score, kind::anomaly_x, kind::anomaly_value]
);
extension_sql_file!(
    "../sql/api/effect.sql",
    name = "effect_api",
    requires = [
        "anomaly_api",
        kind::compared,
        kind::limited,
        kind::stage_quantile,
        kind::quantile_ratios,
        kind::effect_words
    ]
);
extension_sql_file!("../sql/api/ramp.sql", name = "ramp_api", requires = ["effect_api"]);
extension_sql_file!("../sql/api/wait.sql", name = "wait_api", requires = ["ramp_api"]);
extension_sql_file!("../sql/api/locked.sql", name = "locked_api", requires = ["wait_api", lock::lockers]);
extension_sql_file!("../sql/api/reading.sql", name = "reading_api", requires = ["locked_api"]);
extension_sql_file!("../sql/api/question.sql", name = "question_api", requires = ["reading_api"]);
extension_sql_file!(
    "../sql/api/weigh.sql",
    name = "weigh_api",
    requires =
        ["question_api", correlate::weigh::weigh, correlate::weigh::segment_test, correlate::weigh::symptom_p_value,]
);
extension_sql_file!(
    "../sql/api/compare.sql",
    name = "compare_api",
    requires = ["weigh_api", correlate::compare_spans, correlate::compare_patterns]
);
extension_sql_file!("../sql/api/change.sql", name = "change_api", requires = ["compare_api"]);
extension_sql_file!(
    "../sql/api/correlate.sql",
    name = "correlate_api",
    requires = ["change_api", correlate::correlate]
);
extension_sql_file!("../sql/api/explain.sql", name = "explain_api", requires = ["correlate_api"]);
extension_sql_file!(
    "../sql/api/report.sql",
    name = "report_api",
    requires = [
        "explain_api",
        guardrail::replay::replay_strata,
        kind::value_words,
        kind::level_words,
        kind::counts_words,
        kind::margin_words
    ]
);
extension_sql_file!(
    "../sql/api/plan.sql",
    name = "plan_api",
    requires = ["report_api", planner::forecast_ramp, kind::worse]
);
extension_sql_file!("../sql/api/rollout_report.sql", name = "rollout_report_api", requires = ["plan_api"]);
extension_sql_file!("../sql/api/replay.sql", name = "replay_api", requires = ["rollout_report_api"]);
extension_sql_file!("../sql/api/backtest.sql", name = "backtest_api", requires = ["replay_api"]);
extension_sql_file!("../sql/api/margin.sql", name = "margin_api", requires = ["backtest_api", kind::noise]);
extension_sql_file!("../sql/api/check.sql", name = "check_api", requires = ["margin_api"]);
extension_sql_file!("../sql/api/preview_metric.sql", name = "preview_metric_api", requires = ["check_api"]);
extension_sql_file!("../sql/api/restore.sql", name = "restore_api", requires = ["preview_metric_api"]);
extension_sql_file!("../sql/api/due.sql", name = "due_api", requires = ["restore_api", worker::wake_worker]);
extension_sql_file!(
    "../sql/api/status.sql",
    name = "status_api",
    requires = ["due_api", preloaded, worker::wake_launcher]
);
extension_sql_file!("../sql/api/bi.sql", name = "bi_api", requires = ["status_api"]);
extension_sql_file!("../sql/api/bi_telemetry.sql", name = "bi_telemetry_api", requires = ["bi_api"]);
extension_sql_file!("../sql/api/help.sql", name = "help_api", requires = ["bi_telemetry_api"]);
extension_sql_file!("../sql/grant.sql", name = "grant_api", requires = ["help_api"]);
extension_sql_file!("../sql/dump.sql", name = "dump_api", requires = ["grant_api"]);
