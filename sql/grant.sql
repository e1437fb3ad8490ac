-- Privileges, all in one place. Nothing is granted to PUBLIC; functions grant one of these sets to a role. Each
-- function of the schema flagscope is named in a list here, or only the owner may call it; test role_matrix compares.
--   reader  sees everything: SELECT on all tables and views, EXECUTE on what only reads
--   writer  sends telemetry and evaluates flags: no SELECT, no configuration
--   operator  a reader that drives rollouts: starts, pauses, approves, rolls back; no configuration
--   admin   both, and writes configuration, drives rollouts, calls tick()
-- Decisions, evaluations, statuses and history are written by flagscope's own functions only, with the owner's rights.

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA flagscope, _flagscope FROM PUBLIC;

ALTER FUNCTION flagscope.tick(timestamptz) SECURITY DEFINER;
ALTER FUNCTION _flagscope.decide_manually(bigint, flagscope.action, text, text, timestamptz, boolean,
    integer) SECURITY DEFINER;
ALTER FUNCTION flagscope.approve_stage(bigint, integer, text, text, timestamptz) SECURITY DEFINER;
ALTER FUNCTION _flagscope.lock_stages() SECURITY DEFINER;
ALTER FUNCTION _flagscope.keep_flag_state_history() SECURITY DEFINER;
ALTER FUNCTION _flagscope.check_flag_state() SECURITY DEFINER;
ALTER FUNCTION _flagscope.check_guardrail() SECURITY DEFINER;

CREATE FUNCTION _flagscope.grant_on_schema(target regrole, schema text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF target IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the role to grant to cannot be NULL';
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %s', schema, target);
END $$;
COMMENT ON FUNCTION _flagscope.grant_on_schema(regrole, text) IS 'lets a role use a schema';

CREATE FUNCTION _flagscope.grant_functions(target regrole, schema text, names text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN SELECT p.oid::regprocedure FROM pg_proc p
        WHERE p.pronamespace = schema::regnamespace AND p.proname = ANY (names)
    LOOP
        EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %s', f, target);
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.grant_functions(regrole, text, text[]) IS
    'grants the functions and aggregates of these names';

CREATE FUNCTION _flagscope.grant_private_readers(target regrole) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    SELECT _flagscope.grant_functions(target, '_flagscope'::text, (
        SELECT array_agg(DISTINCT p.proname::text) FROM pg_proc p
        WHERE p.pronamespace = '_flagscope'::regnamespace AND p.provolatile <> 'v'
            AND p.prorettype <> 'trigger'::regtype));
$$;
COMMENT ON FUNCTION _flagscope.grant_private_readers(regrole) IS
    'what the functions for readers call; private ones that write are granted by name alone: '
    'decide() would take any actor';

CREATE FUNCTION flagscope.grant_reader(target regrole) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM _flagscope.grant_on_schema(target, 'flagscope'::text),
        _flagscope.grant_on_schema(target, '_flagscope'::text), _flagscope.grant_private_readers(target),
        -- of verify_rollup() and backtests, which only read
        _flagscope.grant_functions(target, '_flagscope'::text, '{show_progress}'::text[]),
        -- sketches and other aggregates, and what reads them
        _flagscope.grant_functions(target, 'flagscope'::text,
            '{anomaly_score,anomaly_z,bar,buckets,count,count_above,design_effect,ewma,ewma_z,histogram,
              histogram_from_otlp,invalid,max,mean,merge,min,moments,quantile,quantile_interval,
              quantile_rank,ratio,robust_z,rollup,sparkline,standard_error,stddev,sum,tdigest,to_otlp,
              trimmed_mean,value,variance}'::text[]),
        -- statistics
        _flagscope.grant_functions(target, 'flagscope'::text,
            '{adjust_p_values,anomalies,chi_square_test,combine_e,e_bh,mean_test,odds_ratio,proportion_test,
              rank_test,rate_test,ratio_test,sequential_distribution_test,sequential_limit_test,
              sequential_mean_t_test,sequential_mean_test,sequential_proportion_test,
              sequential_quantile_strict_test,sequential_quantile_test,sequential_rate_test,
              sequential_ratio_test,sequential_share_test}'::text[]),
        -- why, and log lines
        _flagscope.grant_functions(target, 'flagscope'::text,
            '{coincident_changes,compare_metrics,compare_patterns,compare_spans,correlate,correlate_decision,
              correlate_rollout,explain_rollout,log_patterns,log_template,lost,patterns,segment_test,
              weigh_segment,weigh_symptom}'::text[]),
        -- definitions, before anything is made of them
        _flagscope.grant_functions(target, 'flagscope'::text,
            '{check_export,check_filter,check_per,check_query,check_targeting,preview_metric}'::text[]),
        -- what is stored, and what it says
        _flagscope.grant_functions(target, 'flagscope'::text,
            '{backtest,backtest_guardrail,evaluate,evaluate_all,evaluate_as_of,evaluate_boolean,
              evaluate_integer,evaluate_number,evaluate_object,evaluate_string,explain_decision,
              explain_evaluation,export_flagd,flag_changes,flag_set,frozen_segments,help,metric_series,ofrep_evaluate,
              ofrep_evaluate_all,plan_rollout,ramp_gate,replay,rollout_chart,rollout_page,rollout_report,
              segment_file,status,suggest_margin,telemetry_of,trace,variant_states,variant_summary,
              verify_rollup}'::text[]);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA flagscope, _flagscope TO %s', target);
END $$;
COMMENT ON FUNCTION flagscope.grant_reader(regrole) IS 'lets a role read everything, for dashboards and people';

CREATE FUNCTION flagscope.grant_writer(target regrole) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM _flagscope.grant_on_schema(target, 'flagscope'::text),
        _flagscope.grant_on_schema(target, '_flagscope'::text), _flagscope.grant_functions(target, 'flagscope'::text,
            '{evaluate,evaluate_all,evaluate_as_of,evaluate_boolean,evaluate_integer,evaluate_number,
              evaluate_object,evaluate_string,explain_evaluation,export_flagd,check_export,expose,
              flag_changes,flag_set,ingest_otlp,ingest_rows,ofrep_evaluate,ofrep_evaluate_all,record,record_event,
              record_log,record_metric,record_span}'::text[]),
        _flagscope.grant_functions(target, '_flagscope'::text,
            '{definitions_as_of,evaluate_among,export,finite,record,severity,span_id}'::text[]);
    EXECUTE format('GRANT INSERT ON flagscope.telemetry TO %s', target);
END $$;
COMMENT ON FUNCTION flagscope.grant_writer(regrole) IS
    'lets a role send telemetry and evaluate flags, for applications and collectors';

CREATE FUNCTION flagscope.grant_deliverer(target regrole) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM _flagscope.grant_on_schema(target, 'flagscope'::text),
        _flagscope.grant_functions(target, 'flagscope'::text, '{end_delivery,take_deliveries}'::text[]);
    EXECUTE format('GRANT SELECT, UPDATE (attempts, next_try_at, delivered_at) ON flagscope.outbox TO %s', target);
    EXECUTE format('GRANT SELECT, UPDATE (attempts, next_try_at, ended_at) ON flagscope.outbox_delivery TO %s', target);
END $$;
COMMENT ON FUNCTION flagscope.grant_deliverer(regrole) IS
    'lets a role deliver notifications from the outbox, and nothing else';

CREATE FUNCTION flagscope.grant_operator(target regrole) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM flagscope.grant_reader(target),
        _flagscope.grant_functions(target, 'flagscope'::text,
            '{advance_rollout,approve_stage,complete_rollout,pause_rollout,resume_rollout,rollback_rollout,
              start_rollout,step_back_rollout}'::text[]),
        _flagscope.grant_functions(target, '_flagscope'::text, '{decide_manually}'::text[]);
END $$;
COMMENT ON FUNCTION flagscope.grant_operator(regrole) IS
    'lets a role read everything and drive rollouts, for people on call and the console of flagscope-gateway';

CREATE FUNCTION flagscope.grant_admin(target regrole) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM flagscope.grant_reader(target), flagscope.grant_writer(target),
        _flagscope.grant_functions(target, 'flagscope'::text,
            '{add_variant,advance_rollout,approve_stage,archive_flag,complete_rollout,confirm_time,
              create_environment,create_flag,create_change_freeze,create_guardrail,create_metric,
              create_policy,create_query_metric,create_rollout,create_segment,disable_flag,drop_chunks,
              enable_flag,finish_restore,freeze_chunk,import_flagd,maintain,pause_rollout,rebuild_rollup,
              restart_rollout,resume_rollout,rollback_rollout,set_chunk_interval,set_default_variant,set_freeze_after,
              set_prerequisites,set_retention,set_setting,set_targeting,start_rollout,step_back_rollout,thaw_chunk,
              tick,unarchive_flag}'::text[]),
        _flagscope.grant_functions(target, '_flagscope'::text,
            '{decide_manually,change_flag_state,import_alike,import_flag,import_in_bulk,import_segments,
              import_set,set_archived}'::text[]);
    EXECUTE format('GRANT INSERT, UPDATE, DELETE
        ON flagscope.environment_definition, flagscope.flag_definition, flagscope.segment,
        flagscope.metric_definition, flagscope.guardrail, flagscope.guardrail_policy, flagscope.change_freeze,
        flagscope.setting TO %s', target);
    -- Approvals are given by approve_stage() alone, with a decision.
    EXECUTE format('GRANT INSERT (rollout_id, ordinal, percent, min_duration, max_duration, min_sample, advance_when,
        approval_needed), UPDATE (ordinal, percent, min_duration, max_duration, min_sample, advance_when,
        approval_needed), DELETE ON flagscope.rollout_stage TO %s', target);
    -- The other columns are maintained by decisions and triggers.
    EXECUTE format('GRANT INSERT (flag, environment, enabled, default_variant, targeting, prerequisites, variants,
        metadata), UPDATE (enabled, default_variant, targeting, prerequisites, variants, metadata), DELETE
        ON flagscope.flag_state TO %s', target);
    EXECUTE format('GRANT INSERT (flag, environment, treatment, control, subject_attribute, alpha, cooldown, follow_up,
        holdback, exclusion_group, restart_of), DELETE ON flagscope.rollout TO %s', target);
    -- Payloads of notifications cannot be changed.
    EXECUTE format('GRANT UPDATE (attempts, next_try_at, delivered_at), DELETE ON flagscope.outbox TO %s', target);
    EXECUTE format('GRANT UPDATE (attempts, next_try_at, ended_at), DELETE ON flagscope.outbox_delivery TO %s', target);
    EXECUTE format('GRANT DELETE ON _flagscope.telemetry_stray TO %s', target);
END $$;
COMMENT ON FUNCTION flagscope.grant_admin(regrole) IS
    'lets a role define flags, metrics and guardrails and drive rollouts, for a platform team';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA flagscope, _flagscope FROM PUBLIC;
-- Functions that fill a backend's caches: needed by every role that may insert telemetry or evaluate flags.
GRANT EXECUTE ON FUNCTION _flagscope.load_environment(text), _flagscope.load_changes(bigint, integer),
    _flagscope.load_flags(text, text[]), _flagscope.load_flags_after(text, text, integer),
    _flagscope.load_flag_keys(text), _flagscope.configuration(), _flagscope.variants_of(text) TO PUBLIC;
-- Called by CHECK constraints, so by every role that writes rows.
GRANT EXECUTE ON FUNCTION _flagscope.refuse(text, text), _flagscope.kind_takes(text, text) TO PUBLIC;
-- Used to format error messages.
GRANT EXECUTE ON FUNCTION _flagscope.message(text, VARIADIC "any") TO PUBLIC;

DO $$
BEGIN
    IF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
            MESSAGE = _flagscope.message('flagscope needs a database in UTF8, this one is in %s',
                current_setting('server_encoding')),
            HINT = 'CREATE DATABASE ... ENCODING ''UTF8'' TEMPLATE template0.';
    END IF;
END $$;
