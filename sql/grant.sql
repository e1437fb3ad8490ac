-- Who may do what, in one page. Nothing is granted to PUBLIC; roles get one of three sets by a function.
--   reader  sees everything: SELECT on all tables and views, EXECUTE on what only reads
--   writer  sends telemetry and evaluates flags: no SELECT, no configuration
--   admin   both, and writes configuration, drives rollouts, calls tick()
-- Decisions, evaluations, statuses and history are written by flagscope's own functions only, with the owner's rights.

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA flagscope FROM PUBLIC;

ALTER FUNCTION flagscope.tick(timestamptz) SECURITY DEFINER;
ALTER FUNCTION flagscope._by_hand(bigint, flagscope.action, text, text, timestamptz, boolean, integer) SECURITY DEFINER;
ALTER FUNCTION flagscope.approve_stage(bigint, text, text, timestamptz, integer) SECURITY DEFINER;
ALTER FUNCTION flagscope._lock_stages() SECURITY DEFINER;
ALTER FUNCTION flagscope._keep_flag_state_history() SECURITY DEFINER;
ALTER FUNCTION flagscope._check_flag_state() SECURITY DEFINER;
ALTER FUNCTION flagscope._check_guardrail() SECURITY DEFINER;

CREATE FUNCTION flagscope._grant_on_schema(target regrole) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF target IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the role to grant to cannot be NULL';
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA flagscope TO %s', target);
END $$;
COMMENT ON FUNCTION flagscope._grant_on_schema(regrole) IS 'lets a role name objects of the schema';

CREATE FUNCTION flagscope._grant_functions(target regrole, volatilities "char"[], names text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN SELECT p.oid::regprocedure FROM pg_proc p
        WHERE p.pronamespace = 'flagscope'::regnamespace AND p.prorettype <> 'trigger'::regtype
            AND (p.provolatile = ANY (volatilities) AND (p.provolatile <> 'v' OR p.proname !~ '^(_|grant_|detach_all$)')
                 OR p.proname = ANY (names))
    LOOP
        EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %s', f, target);
    END LOOP;
END $$;
COMMENT ON FUNCTION flagscope._grant_functions(regrole, "char"[], text[]) IS
    'grants functions by volatility or name; private ones that write only by name, since _decide() would take any actor';

CREATE FUNCTION flagscope.grant_reader(target regrole) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM flagscope._grant_on_schema(target), flagscope._grant_functions(target, '{i,s}'::"char"[], '{}'::text[]);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA flagscope TO %s', target);
END $$;
COMMENT ON FUNCTION flagscope.grant_reader(regrole) IS 'lets a role read everything: for dashboards and people';

CREATE FUNCTION flagscope.grant_writer(target regrole) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM flagscope._grant_on_schema(target), flagscope._grant_functions(target, '{}'::"char"[],
        '{evaluate,evaluate_boolean,evaluate_string,evaluate_integer,evaluate_number,evaluate_object,evaluate_all,evaluate_as_of,
          explain_evaluation,ofrep_evaluate,ofrep_evaluate_all,_evaluate_among,_definitions_as_of,_finite,
          expose,export_flagd,export_problems,_export,flag_changes,ingest_otlp,record,record_metric,record_log,record_span,record_event,_record,
          _severity,_span_id}'::text[]);
    EXECUTE format('GRANT INSERT ON flagscope.telemetry TO %s', target);
END $$;
COMMENT ON FUNCTION flagscope.grant_writer(regrole) IS 'lets a role send telemetry and evaluate flags: for applications and collectors';

CREATE FUNCTION flagscope.grant_deliverer(target regrole) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM flagscope._grant_on_schema(target);
    EXECUTE format('GRANT SELECT, UPDATE (attempts, next_try_at, delivered_at) ON flagscope.outbox TO %s', target);
END $$;
COMMENT ON FUNCTION flagscope.grant_deliverer(regrole) IS 'lets a role deliver notifications from the outbox, and nothing else';

CREATE FUNCTION flagscope.grant_admin(target regrole) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM flagscope.grant_reader(target), flagscope.grant_writer(target),
        flagscope._grant_functions(target, '{v}'::"char"[],
            '{_by_hand,_change_flag_state,_set_archived,_import_flag,_import_alike,_import_in_bulk,_import_segments,_import_set}'::text[]);
    EXECUTE format('GRANT INSERT, UPDATE, DELETE ON flagscope.environment, flagscope.flag, flagscope.segment, flagscope.metric,
        flagscope.guardrail, flagscope.guardrail_policy, flagscope.freeze, flagscope.setting TO %s', target);
    -- Approvals are given by approve_stage() alone, with a decision.
    EXECUTE format('GRANT INSERT (rollout_id, ordinal, percent, min_duration, min_sample, approval_needed),
        UPDATE (ordinal, percent, min_duration, min_sample, approval_needed), DELETE ON flagscope.rollout_stage TO %s', target);
    -- The other columns are kept by decisions and triggers: what is split, since when, by whom.
    EXECUTE format('GRANT INSERT (flag, environment, enabled, default_variant, targeting, prerequisites, variants, metadata),
        UPDATE (enabled, default_variant, targeting, prerequisites, variants, metadata), DELETE
        ON flagscope.flag_state TO %s', target);
    EXECUTE format('GRANT INSERT (flag, environment, treatment, control, unit, alpha, cooldown, watch, exclusion_group, restart_of), DELETE ON flagscope.rollout TO %s', target);
    -- What was told, and who is said to have decided it, stays as it was.
    EXECUTE format('GRANT UPDATE (attempts, next_try_at, delivered_at), DELETE ON flagscope.outbox TO %s', target);
    EXECUTE format('GRANT DELETE ON flagscope.telemetry_stray TO %s', target);
END $$;
COMMENT ON FUNCTION flagscope.grant_admin(regrole) IS 'lets a role define flags, metrics and guardrails and drive rollouts: for a platform team';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA flagscope FROM PUBLIC;
-- What fills a backend's caches: whoever may insert a row of telemetry or evaluate a flag needs them.
GRANT EXECUTE ON FUNCTION flagscope._load_environment(text), flagscope._load_changes(bigint, integer), flagscope._load_flags(text, text[]),
    flagscope._load_flags_after(text, text, integer), flagscope._load_flag_keys(text), flagscope._configuration(),
    flagscope._variants_of(text) TO PUBLIC;
-- CHECK constraints say with it what is wrong: whoever writes a row calls it.
GRANT EXECUTE ON FUNCTION flagscope._refuse(text, text) TO PUBLIC;
-- What errors are written with.
GRANT EXECUTE ON FUNCTION flagscope._message(text, VARIADIC "any") TO PUBLIC;

DO $$
BEGIN
    IF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
            MESSAGE = flagscope._message('flagscope needs a database in UTF8, this one is in %s', current_setting('server_encoding')),
            HINT = 'CREATE DATABASE ... ENCODING ''UTF8'' TEMPLATE template0.';
    END IF;
END $$;
