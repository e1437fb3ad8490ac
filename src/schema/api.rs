//! Functions and views by topic: `sql/api/`, after the aggregates; last the rights and what a dump carries.

use pgrx::extension_sql_file;

extension_sql_file!(
    "../../sql/api/comparison.sql",
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
extension_sql_file!(
    "../../sql/api/message.sql",
    name = "message_api",
    requires = ["comparison_api", message::message]
);
extension_sql_file!(
    "../../sql/api/names.sql",
    name = "names_api",
    requires = ["message_api", refusal::refuse, refusal::raise_for_caller, refusal::unknown, refusal::names_hint]
);
extension_sql_file!(
    "../../sql/api/progress.sql",
    name = "progress_api",
    requires = ["names_api", calendar::seconds_words]
);
extension_sql_file!("../../sql/api/setting.sql", name = "setting_api", requires = ["progress_api"]);
extension_sql_file!(
    "../../sql/api/stats.sql",
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
    "../../sql/api/chart.sql",
    name = "chart_api",
    requires = ["stats_api", chart::_sparkline, chart::bar]
);
extension_sql_file!("../../sql/api/node.sql", name = "node_api", requires = ["chart_api"]);
extension_sql_file!("../../sql/api/actor.sql", name = "actor_api", requires = ["node_api"]);
extension_sql_file!(
    "../../sql/api/environment.sql",
    name = "environment_api",
    requires = ["actor_api", exchange::check_document]
);
extension_sql_file!(
    "../../sql/api/flag.sql",
    name = "flag_api",
    requires = ["environment_api", exchange::check_document, exchange::check_schema, exchange::check_rule]
);
extension_sql_file!(
    "../../sql/api/targeting.sql",
    name = "targeting_api",
    requires = ["flag_api", exchange::check_rule, exchange::targeting_outcomes, exchange::unknown_variants]
);
extension_sql_file!("../../sql/api/variant.sql", name = "variant_api", requires = ["targeting_api"]);
extension_sql_file!("../../sql/api/segment.sql", name = "segment_api", requires = ["variant_api"]);
extension_sql_file!("../../sql/api/rollout.sql", name = "rollout_api", requires = ["segment_api"]);
extension_sql_file!("../../sql/api/freeze.sql", name = "freeze_api", requires = ["rollout_api", calendar::week_ends]);
extension_sql_file!(
    "../../sql/api/metric.sql",
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
extension_sql_file!(
    "../../sql/api/scope.sql",
    name = "scope_api",
    requires = ["metric_api", scalar::whose_words, scalar::of_whom]
);
extension_sql_file!("../../sql/api/guardrail.sql", name = "guardrail_api", requires = ["scope_api"]);
extension_sql_file!("../../sql/api/policy.sql", name = "policy_api", requires = ["guardrail_api"]);
extension_sql_file!(
    "../../sql/api/evidence.sql",
    name = "evidence_api",
    requires = ["policy_api", scalar::alpha_share, scalar::alpha_left_at_start, scalar::alpha_half,]
);
extension_sql_file!("../../sql/api/notice.sql", name = "notice_api", requires = ["evidence_api"]);
extension_sql_file!("../../sql/api/decision.sql", name = "decision_api", requires = ["notice_api"]);
extension_sql_file!("../../sql/api/delivery.sql", name = "delivery_api", requires = ["decision_api"]);
extension_sql_file!("../../sql/api/rollout_action.sql", name = "rollout_action_api", requires = ["delivery_api"]);
extension_sql_file!("../../sql/api/by_flag.sql", name = "by_flag_api", requires = ["rollout_action_api"]);
extension_sql_file!("../../sql/api/reference.sql", name = "reference_api", requires = ["by_flag_api"]);
extension_sql_file!("../../sql/api/alert.sql", name = "alert_api", requires = ["reference_api", calendar::utc]);
extension_sql_file!(
    "../../sql/api/partition.sql",
    name = "partition_api",
    requires = ["alert_api", telemetry::fold_telemetry]
);
extension_sql_file!(
    "../../sql/api/frozen.sql",
    name = "frozen_api",
    requires = ["partition_api", freeze::make_segments, freeze::whole_file]
);
extension_sql_file!("../../sql/api/telemetry.sql", name = "telemetry_api", requires = ["frozen_api"]);
extension_sql_file!(
    "../../sql/api/attribution.sql",
    name = "attribution_api",
    requires = ["telemetry_api", attribution::note_row, attribution::find_flags]
);
extension_sql_file!(
    "../../sql/api/configuration.sql",
    name = "configuration_api",
    requires = ["attribution_api", telemetry::announce_change]
);
extension_sql_file!(
    "../../sql/api/evaluate.sql",
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
    "../../sql/api/exchange.sql",
    name = "exchange_api",
    requires = ["evaluate_api", exchange::write_flagd, exchange::read_flagd]
);
extension_sql_file!(
    "../../sql/api/otlp.sql",
    name = "otlp_api",
    requires = ["exchange_api", otlp::decode_otlp, otlp::otlp_since]
);
extension_sql_file!("../../sql/api/uncounted.sql", name = "uncounted_api", requires = ["otlp_api"]);
extension_sql_file!("../../sql/api/service.sql", name = "service_api", requires = ["uncounted_api"]);
extension_sql_file!("../../sql/api/record.sql", name = "record_api", requires = ["service_api"]);
extension_sql_file!(
    "../../sql/api/tick.sql",
    name = "tick_api",
    requires = ["record_api", pairing::is_shared, pairing::comes_in_parts]
);
extension_sql_file!(
    "../../sql/api/pair.sql",
    name = "pair_api",
    requires = ["tick_api", pairing::advance_pairing, pairing::stratum_of]
);
extension_sql_file!(
    "../../sql/api/judge.sql",
    name = "judge_api",
    requires = [
        "pair_api",
        judge::step,
        scalar::is_due,
        scalar::newest_point,
        scalar::not_fresh,
        scalar::is_eventless,
        kind::looks_back,
        kind::spread,
    ]
);
extension_sql_file!(
    "../../sql/api/joint.sql",
    name = "joint_api",
    requires = ["judge_api", guardrail::together::may_reach_together, guardrail::together::blamed_together]
);
extension_sql_file!("../../sql/api/health.sql", name = "health_api", requires = ["joint_api", health::judge_split]);
extension_sql_file!(
    "../../sql/api/row_share.sql",
    name = "row_share_api",
    requires = ["health_api", health::judge_row_share]
);
extension_sql_file!("../../sql/api/query.sql", name = "query_api", requires = ["row_share_api", query::fold_query]);
extension_sql_file!(
    "../../sql/api/window.sql",
    name = "window_api",
    requires = ["query_api", window::count_telemetry]
);
extension_sql_file!(
    "../../sql/api/dependence.sql",
    name = "dependence_api",
    requires = ["window_api", dependence::read_units]
);
extension_sql_file!(
    "../../sql/api/unit.sql",
    name = "unit_api",
    requires = ["dependence_api", unit::tally_telemetry, unit::unit_value]
);
extension_sql_file!("../../sql/api/poll.sql", name = "poll_api", requires = ["unit_api"]);
extension_sql_file!("../../sql/api/rollup.sql", name = "rollup_level_api", requires = ["poll_api"]);
extension_sql_file!(
    "../../sql/api/rebuild.sql",
    name = "rebuild_api",
    requires = ["rollup_level_api", telemetry::fold_stored]
);
extension_sql_file!("../../sql/api/verify.sql", name = "verify_api", requires = ["rebuild_api"]);
extension_sql_file!("../../sql/api/watch.sql", name = "watch_api", requires = ["verify_api"]);
extension_sql_file!("../../sql/api/chunk.sql", name = "chunk_api", requires = ["watch_api"]);
extension_sql_file!("../../sql/api/retention.sql", name = "retention_api", requires = ["chunk_api"]);
extension_sql_file!("../../sql/api/maintain.sql", name = "maintain_api", requires = ["retention_api"]);
extension_sql_file!("../../sql/api/budget.sql", name = "budget_api", requires = ["maintain_api"]);
extension_sql_file!(
    "../../sql/api/anomaly.sql",
    name = "anomaly_api",
    requires = ["budget_api", kind::alarm_score, kind::anomaly_x, kind::anomaly_value, anomaly::difference_scores]
);
extension_sql_file!(
    "../../sql/api/effect.sql",
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
extension_sql_file!("../../sql/api/gate.sql", name = "gate_api", requires = ["effect_api", safety::sees]);
extension_sql_file!("../../sql/api/ramp.sql", name = "ramp_api", requires = ["gate_api"]);
extension_sql_file!("../../sql/api/wait.sql", name = "wait_api", requires = ["ramp_api"]);
extension_sql_file!("../../sql/api/locked.sql", name = "locked_api", requires = ["wait_api", lock::lockers]);
extension_sql_file!("../../sql/api/reading.sql", name = "reading_api", requires = ["locked_api"]);
extension_sql_file!("../../sql/api/question.sql", name = "question_api", requires = ["reading_api"]);
extension_sql_file!(
    "../../sql/api/weigh.sql",
    name = "weigh_api",
    requires =
        ["question_api", correlate::weigh::weigh, correlate::weigh::segment_test, correlate::weigh::symptom_p_value,]
);
extension_sql_file!(
    "../../sql/api/compare.sql",
    name = "compare_api",
    requires = [
        "weigh_api",
        correlate::compare_spans,
        correlate::compare_patterns,
        correlate::metric::metric_verdict,
        correlate::metric::onset_place
    ]
);
extension_sql_file!("../../sql/api/change.sql", name = "change_api", requires = ["compare_api"]);
extension_sql_file!(
    "../../sql/api/correlate.sql",
    name = "correlate_api",
    requires = ["change_api", correlate::correlate]
);
extension_sql_file!("../../sql/api/explain.sql", name = "explain_api", requires = ["correlate_api"]);
extension_sql_file!(
    "../../sql/api/report.sql",
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
    "../../sql/api/plan.sql",
    name = "plan_api",
    requires = ["report_api", planner::forecast_ramp, planner::gated_seconds, planner::safe_seconds, kind::worse]
);
extension_sql_file!("../../sql/api/start.sql", name = "start_api", requires = ["plan_api"]);
extension_sql_file!("../../sql/api/rollout_report.sql", name = "rollout_report_api", requires = ["start_api"]);
extension_sql_file!("../../sql/api/replay.sql", name = "replay_api", requires = ["rollout_report_api"]);
extension_sql_file!("../../sql/api/backtest.sql", name = "backtest_api", requires = ["replay_api"]);
extension_sql_file!("../../sql/api/margin.sql", name = "margin_api", requires = ["backtest_api", kind::noise]);
extension_sql_file!("../../sql/api/check.sql", name = "check_api", requires = ["margin_api"]);
extension_sql_file!("../../sql/api/preview_metric.sql", name = "preview_metric_api", requires = ["check_api"]);
extension_sql_file!("../../sql/api/restore.sql", name = "restore_api", requires = ["preview_metric_api"]);
extension_sql_file!("../../sql/api/due.sql", name = "due_api", requires = ["restore_api", worker::wake_worker]);
extension_sql_file!("../../sql/api/applied.sql", name = "applied_api", requires = ["due_api"]);
extension_sql_file!("../../sql/api/send.sql", name = "send_api", requires = ["applied_api"]);
extension_sql_file!("../../sql/api/hear.sql", name = "hear_api", requires = ["send_api"]);
extension_sql_file!("../../sql/api/cluster.sql", name = "cluster_api", requires = ["hear_api"]);
extension_sql_file!("../../sql/api/member.sql", name = "member_api", requires = ["cluster_api"]);
extension_sql_file!(
    "../../sql/api/status.sql",
    name = "status_api",
    requires = ["member_api", preloaded, worker::wake_launcher]
);
extension_sql_file!("../../sql/api/bi.sql", name = "bi_api", requires = ["status_api"]);
extension_sql_file!("../../sql/api/bi_telemetry.sql", name = "bi_telemetry_api", requires = ["bi_api"]);
extension_sql_file!("../../sql/api/page_series.sql", name = "page_series_api", requires = ["bi_telemetry_api"]);
extension_sql_file!("../../sql/api/page_rollout.sql", name = "page_rollout_api", requires = ["page_series_api"]);
extension_sql_file!(
    "../../sql/api/page.sql",
    name = "page_api",
    requires = ["page_rollout_api", page::render_rollout]
);
extension_sql_file!("../../sql/api/help.sql", name = "help_api", requires = ["page_api"]);
extension_sql_file!("../../sql/grant.sql", name = "grant_api", requires = ["help_api"]);
extension_sql_file!("../../sql/dump.sql", name = "dump_api", requires = ["grant_api"]);
