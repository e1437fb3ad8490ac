-- Six roles beside every object of the extension: what each may do is decided here, and is what the catalog says and
-- what happens. An object that nobody has decided on fails the test: every table and view, every function for people,
-- and every private one that has the owner's rights or is granted by name.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SET client_min_messages = error;
DO $$
DECLARE
    who text;
BEGIN
    FOREACH who IN ARRAY '{nobody,reader,writer,deliverer,operator,admin}'::text[] LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'regress_flagscope_' || who) THEN
            EXECUTE format('DROP OWNED BY %1$I; DROP ROLE %1$I', 'regress_flagscope_' || who);
        END IF;
        EXECUTE format('CREATE ROLE %I', 'regress_flagscope_' || who);
    END LOOP;
END $$;
SELECT flagscope.grant_reader('regress_flagscope_reader'), flagscope.grant_writer('regress_flagscope_writer'),
    flagscope.grant_deliverer('regress_flagscope_deliverer'),
    flagscope.grant_operator('regress_flagscope_operator'), flagscope.grant_admin('regress_flagscope_admin');
CREATE TEMP TABLE role AS
SELECT short, 'regress_flagscope_' || short AS name
FROM unnest('{nobody,reader,writer,deliverer,operator,admin}'::text[]) short;
CREATE TEMP TABLE member AS
SELECT d.classid, d.objid FROM pg_depend d
WHERE d.refclassid = 'pg_extension'::regclass
    AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'flagscope') AND d.deptype = 'e';

-- Tables, views and sequences: r reads, a appends, w changes, d deletes, a lower case letter in brackets some columns
-- only (below). TRUNCATE, REFERENCES and TRIGGER are the owner's.
CREATE TEMP TABLE decided_relation (names text, reader text, writer text, deliverer text, admin text);
INSERT INTO decided_relation VALUES
    -- configuration: people change it by functions or by hand
    ('environment_definition flag_definition segment metric_definition guardrail '
        'guardrail_policy change_freeze setting',
        'r', '', '', 'rawd'),
    ('flag_state rollout_stage', 'r', '', '', 'r(a)(w)d'), ('rollout', 'r', '', '', 'r(a)d'),
    -- telemetry comes in, and is read
    ('telemetry', 'r', 'a', '', 'ra'), ('telemetry_stray', 'r', '', '', 'rd'),
    ('outbox outbox_delivery', 'r', '', 'r(w)', 'r(w)d'),
    -- kept by the extension alone: books, rollups, what the worker notes
    ('served_flag correlation decision environment_history evaluation evaluation_stray flag_change flag_state_history '
        'guardrail_status rollout_health split_count anomaly_point source pairing waiting_stratum dependence '
        'unit_tally row_count row_share',
        'r', '', '', 'r'),
    ('variant_delta_late_0 variant_delta_late_1 variant_delta_late_2 variant_delta_late_3 variant_delta_past_0 '
        'variant_delta_past_1 variant_delta_past_2 variant_delta_past_3',
        'r', '', '', 'r'),
    ('alert arrival delta_place freezing frozen_segment telemetry_late health incarnation manifest restore '
        'setting_default told_wait uncounted uncounted_delta uncounted_total',
        'r', '', '', 'r'),
    ('variant_delta variant_delta_0 variant_delta_1 variant_delta_2 variant_delta_3 '
        'variant_rollup variant_history watch',
        'r', '', '', 'r'),
    ('rollout_subject subject_delta removal metric_run tick_state late_trace '
        'late_trace_state otlp_series otlp_evaluation',
        'r', '', '', 'r'),
    ('allocation chunk event exposure log metric_point progress span span_summary tagged variant_state',
        'r', '', '', 'r'),
    ('bi_correlation bi_decision bi_error bi_exposure bi_flag bi_guardrail bi_health bi_metric bi_ramp bi_rollout '
        'bi_service bi_state service_delta service_total', 'r', '', '', 'r'),
    -- of a cluster, which superusers set up
    ('this_node node node_telemetry node_report node_state delta_mark kept_delta history_delta', 'r', '', '', 'r'),
    ('decision_id_seq evidence_seq flag_state_id_seq flag_version_seq change_freeze_id_seq guardrail_id_seq '
        'guardrail_policy_id_seq outbox_id_seq rollout_id_seq',
        '', '', '', '');
CREATE TEMP TABLE relation AS
SELECT c.oid, c.relnamespace::regnamespace AS schema, c.relname, c.relkind, r.short, r.name,
    (SELECT string_agg(CASE WHEN has_table_privilege(r.name, c.oid, p) THEN l
            WHEN l IN ('r', 'a', 'w') AND c.relkind <> 'S' AND has_any_column_privilege(r.name, c.oid, p) THEN
                format('(%s)', l) END,
        '' ORDER BY o)
     FROM unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[],
         '{r,a,w,d,T,R,G}'::text[]) WITH ORDINALITY x(p, l, o)
     WHERE c.relkind <> 'S' OR p IN ('SELECT', 'UPDATE')) AS may
FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid, role r
WHERE c.relkind IN ('r', 'p', 'v', 'S', 'm');
SELECT coalesce(r.relname, d.relname) AS relation, coalesce(r.short, d.short) AS role, r.may, d.may AS decided
FROM (SELECT n AS relname, x.short, x.may FROM decided_relation d, unnest(string_to_array(d.names, ' ')) n,
        LATERAL (VALUES ('nobody', ''), ('reader', d.reader), ('writer', d.writer), ('deliverer', d.deliverer),
            -- drives rollouts by functions alone
            ('operator', d.reader), ('admin', d.admin)) x(short, may)) d
    FULL JOIN relation r ON r.relname = d.relname AND r.short = d.short
WHERE coalesce(r.may, '') IS DISTINCT FROM d.may ORDER BY 1, 2;
-- Some columns only: those that the extension does not keep itself.
SELECT r.relname AS relation, r.short AS role, x.p AS privilege,
    string_agg(a.attname, ', ' ORDER BY a.attnum) AS columns
FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped,
    unnest('{SELECT,INSERT,UPDATE}'::text[]) x(p)
WHERE r.relkind <> 'S' AND NOT has_table_privilege(r.name, r.oid, x.p)
    AND has_column_privilege(r.name, r.oid, a.attnum, x.p)
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- Functions. Every one for people is listed. Of the private ones those that have the owner's rights, or that another
-- than these may call: what computes or reads with its caller's rights is a reader's, what writes is the owner's.
CREATE TEMP TABLE decided_function (schema text, who text, names text);
INSERT INTO decided_function VALUES
    ('flagscope', '', 'detach_all grant_admin grant_deliverer grant_operator grant_reader grant_writer'),
    ('flagscope', '', 'create_cluster join_cluster add_node leave_cluster'),
    ('flagscope', 'reader operator admin',
        'anomaly_score anomaly_z bar buckets count count_above design_effect ewma ewma_z histogram histogram_from_otlp '
        'invalid max mean merge min moments quantile quantile_interval quantile_rank ratio robust_z rollup sparkline '
        'standard_error stddev sum tdigest to_otlp trimmed_mean value variance'),
    ('flagscope', 'reader operator admin',
        'coincident_changes compare_metrics compare_patterns compare_spans correlate correlate_decision '
        'correlate_rollout explain_rollout log_patterns'),
    ('flagscope', 'reader operator admin', 'log_template lost patterns segment_test weigh_segment weigh_symptom'),
    ('flagscope', 'reader operator admin',
        'adjust_p_values anomalies chi_square_test combine_e e_bh mean_test odds_ratio proportion_test rank_test '
        'rate_test ratio_test sequential_distribution_test sequential_limit_test sequential_mean_t_test '
        'sequential_mean_test sequential_proportion_test sequential_quantile_strict_test sequential_quantile_test '
        'sequential_rate_test sequential_ratio_test sequential_share_test'),
    ('flagscope', 'reader operator admin',
        'backtest backtest_guardrail check_filter check_per check_query check_targeting explain_decision help '
        'metric_series plan_rollout preview_metric ramp_gate replay rollout_chart rollout_page rollout_report status '
        'suggest_margin telemetry_of trace variant_states variant_summary verify_rollup frozen_segments segment_file'),
    ('flagscope', 'reader writer operator admin',
        'evaluate evaluate_all evaluate_as_of evaluate_boolean evaluate_integer evaluate_number evaluate_object '
        'evaluate_string explain_evaluation export_flagd flag_set check_export flag_changes '
        'ofrep_evaluate ofrep_evaluate_all'),
    ('flagscope', 'deliverer', 'end_delivery take_deliveries'),
    ('flagscope', 'writer admin',
        'expose ingest_otlp ingest_rows record record_event record_log record_metric record_span'),
    ('flagscope', 'admin',
        'add_variant archive_flag confirm_time create_environment '
        'create_flag create_change_freeze create_guardrail create_metric create_policy create_query_metric '
        'create_rollout create_segment disable_flag drop_chunks enable_flag finish_restore import_flagd maintain '
        'rebuild_rollup restart_rollout set_chunk_interval freeze_chunk thaw_chunk set_freeze_after '
        'set_default_variant set_prerequisites set_retention set_setting set_targeting tick unarchive_flag'),
    ('flagscope', 'operator admin',
        'advance_rollout approve_stage complete_rollout pause_rollout resume_rollout rollback_rollout start_rollout '
        'step_back_rollout'),
    ('_flagscope', 'nobody reader writer deliverer operator admin',
        'configuration kind_takes load_changes load_environment load_flag_keys load_flags '
        'load_flags_after message refuse variants_of'),
    ('_flagscope', 'reader operator admin',
        'tick_words worker_words judging not_judging require_targeting restore_problem rollout_lockers rollout_states '
        'session_words show_progress store_states table_holders waiting_words alone_words'),
    ('_flagscope', 'reader operator admin',
        'deciding_node delta_slot heard_states ingest_nodes node_role own_states require_deciding require_raw_rows '
        'silent_nodes'),
    ('_flagscope', 'reader writer operator admin', 'definitions_as_of evaluate_among export finite severity span_id'),
    ('_flagscope', 'writer admin', 'record'),
    ('_flagscope', 'operator admin', 'decide_manually'),
    ('_flagscope', 'admin',
        'change_flag_state set_archived import_alike import_flag '
        'import_in_bulk import_segments import_set');
CREATE TEMP TABLE function AS
SELECT p.oid, p.pronamespace, p.proname, p.prorettype, p.provolatile, p.prosecdef, p.prokind,
    p.proargtypes, p.proisstrict,
    (SELECT coalesce(string_agg(r.short,
            ' ' ORDER BY array_position('{nobody,reader,writer,deliverer,operator,admin}', r.short)), '')
        FROM role r WHERE has_function_privilege(r.name, p.oid, 'EXECUTE'))
AS may
FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid;
SELECT coalesce(f.oid::regprocedure::text, d.name) AS function, f.may, coalesce(d.who, x.otherwise) AS decided
FROM (SELECT d.schema::regnamespace AS schema, d.who, n AS name
        FROM decided_function d, unnest(string_to_array(d.names, ' ')) n) d
    FULL JOIN function f ON f.proname = d.name AND f.pronamespace = d.schema,
    LATERAL (SELECT CASE WHEN f.prorettype = 'trigger'::regtype THEN ''
        WHEN f.pronamespace = 'flagscope'::regnamespace OR f.prosecdef THEN 'not decided'
        WHEN f.provolatile = 'v' THEN '' ELSE 'reader operator admin' END) x(otherwise)
WHERE f.may IS DISTINCT FROM coalesce(d.who, x.otherwise) ORDER BY 1;
-- Schema, types, and what is left: names may be used by those with a role, created by nobody.
SELECT n AS schema, r.short, has_schema_privilege(r.name, n, 'USAGE') AS usage,
    has_schema_privilege(r.name, n, 'CREATE') AS creates
FROM role r, unnest('{flagscope,_flagscope}'::text[]) n ORDER BY n, r.name;
SELECT DISTINCT m.classid::regclass AS other FROM member m
WHERE m.classid NOT IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass, 'pg_cast'::regclass);

-- What happens. A statement as a role, rolled back: whether it was refused for want of a right.
CREATE FUNCTION pg_temp.is_refused(who text, statement text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE format('SET LOCAL ROLE %I', who);
        EXECUTE statement;
        RAISE data_exception;
    EXCEPTION WHEN insufficient_privilege THEN RETURN true;
        WHEN OTHERS THEN RETURN false;
    END;
END $$;
SELECT flagscope.create_flag('f'), flagscope.create_metric('m', 'proportion', 'span', '{}', '{"is_error": true}'),
    flagscope.create_guardrail('f', 'm'), flagscope.create_rollout('f');
-- Every table is read, written and emptied by every role.
SELECT r.relname AS relation, r.short AS role, x.statement, pg_temp.is_refused(r.name, x.statement) AS refused
FROM relation r,
    LATERAL (VALUES ('r', format('SELECT * FROM %s.%I LIMIT 1', r.schema, r.relname)),
        ('a', format('INSERT INTO %s.%I DEFAULT VALUES', r.schema, r.relname)),
        ('d', format('DELETE FROM %s.%I WHERE false', r.schema, r.relname)),
        ('T', format('TRUNCATE %s.%I', r.schema, r.relname)),
        ('R', format('CREATE TEMP TABLE x (LIKE %1$s.%2$I); '
            'ALTER TABLE %1$s.%2$I ADD COLUMN x integer', r.schema, r.relname))) x(p, statement)
WHERE r.relkind IN ('r', 'p') AND pg_temp.is_refused(r.name, x.statement) = (coalesce(r.may, '') ~ x.p)
ORDER BY 1, 2, 3;
-- Every function is called by every role, with some value for each argument: refused are those that it may not call,
-- and those that it may call have all the rights that they need inside. One refuses by itself: no role owns no metric.
CREATE FUNCTION pg_temp.some_call(f oid) RETURNS text LANGUAGE sql AS $$
    SELECT format('SELECT %s.%I(%s)', p.pronamespace::regnamespace, p.proname, string_agg(CASE WHEN o IS NULL THEN ''
        WHEN t = ANY ('{text,name,"character varying"}'::regtype[]) THEN '''f''::' || t
        WHEN t = ANY ('{bigint,integer,smallint,numeric,double precision}'::regtype[]) THEN '1::' || t
        WHEN t = 'boolean'::regtype THEN 'false' WHEN t = ANY ('{jsonb,json}'::regtype[]) THEN '''{}''::' || t
        WHEN t = 'timestamptz'::regtype THEN '''2040-01-02''::timestamptz'
            WHEN t = 'timestamp'::regtype THEN '''2040-01-02''::timestamp'
            WHEN t = 'interval'::regtype THEN '''1 day''::interval'
        WHEN t = 'tstzrange'::regtype THEN '''[2040-01-02,2040-01-03)''::tstzrange'
            WHEN t = 'uuid'::regtype THEN '''00000000-0000-0000-0000-000000000001''::uuid'
        WHEN y.typtype = 'e' THEN
            format('%L::%s',
                (SELECT e.enumlabel FROM pg_enum e WHERE e.enumtypid = t ORDER BY e.enumsortorder LIMIT 1), t)
        WHEN t = 'oid'::regtype THEN '1::oid'
            WHEN t = 'tid'::regtype THEN '''(0,1)''::tid'
            WHEN t = 'bytea'::regtype THEN '''\x''::bytea'
            WHEN t = 'regrole'::regtype THEN 'current_user::regrole'
            WHEN t = 'regclass'::regtype THEN '''flagscope.telemetry''::regclass'
        WHEN y.typcategory = 'A' THEN format('''{}''::%s', t)
        WHEN t::text ~ '^flagscope\.(moments|histogram|tdigest)$' THEN format('(SELECT %s(1.0::float8))', t)
            WHEN t::text = 'flagscope.patterns' THEN '(SELECT flagscope.log_patterns(''f''))'
            WHEN t::text = 'flagscope.ratio' THEN '(SELECT flagscope.ratio(1.0::float8, 1.0::float8))'
        ELSE format('NULL::%s', t) END, ', ' ORDER BY o))
    FROM pg_proc p LEFT JOIN unnest(p.proargtypes::regtype[]) WITH ORDINALITY u(t, o) ON true
        LEFT JOIN pg_type y ON y.oid = t
    WHERE p.oid = f GROUP BY p.oid;
$$;
SELECT f.oid::regprocedure AS function, r.short AS role, has_function_privilege(r.name, f.oid, 'EXECUTE') AS may_call
FROM function f, role r
WHERE f.prokind = 'f' AND f.prorettype <> 'trigger'::regtype
    AND NOT EXISTS (SELECT FROM unnest(f.proargtypes) t JOIN pg_type y ON y.oid = t WHERE y.typtype = 'p')
    AND f.proname <> 'check_query_owner' AND f.prorettype NOT IN ('internal'::regtype, 'cstring'::regtype)
    AND pg_temp.is_refused(r.name, pg_temp.some_call(f.oid))
        <> NOT (has_function_privilege(r.name, f.oid, 'EXECUTE')
            AND has_schema_privilege(r.name, f.pronamespace, 'USAGE'))
ORDER BY 1, 2;
DROP OWNED BY regress_flagscope_nobody, regress_flagscope_reader, regress_flagscope_writer, regress_flagscope_deliverer,
    regress_flagscope_admin;
DROP ROLE regress_flagscope_nobody, regress_flagscope_reader, regress_flagscope_writer, regress_flagscope_deliverer,
    regress_flagscope_admin;
