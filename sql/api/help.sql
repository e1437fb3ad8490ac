-- help(): what there is, by topic, from the catalog and its comments.

CREATE FUNCTION _flagscope.help_topics() RETURNS TABLE (place bigint, topic text, about text, names text[])
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- As in the manual; "*" stands for any characters. What is called first comes first.
    SELECT row_number() OVER (), t.topic, t.about, string_to_array(t.names, ' ') FROM (VALUES
        ('flag', 'flags, their variants, targeting, environments',
            'create_flag enable_flag disable_flag set_default_variant add_variant set_targeting check_targeting '
            'create_segment set_prerequisites create_environment archive_flag unarchive_flag export_flagd import_flagd '
            'check_export flag_changes flag_set flag_definition flag_state flag_state_history environment_definition '
            'environment_history segment'),
        ('evaluate', 'which variant somebody is served, and why', 'evaluate* explain_evaluation expose ofrep_*'),
        ('rollout', 'a variant for more and more users, stage by stage',
            'create_rollout start_rollout advance_rollout approve_stage pause_rollout resume_rollout step_back_rollout '
            'rollback_rollout complete_rollout restart_rollout ramp_gate plan_rollout create_change_freeze rollout '
            'rollout_stage allocation change_freeze'),
        ('metric', 'numbers from telemetry or from your tables',
            'create_metric create_query_metric preview_metric check_filter check_per check_query metric_definition '
            'metric_run'),
        ('guardrail', 'metrics on watch that act on a rollout',
            'create_guardrail create_policy suggest_margin backtest backtest_guardrail guardrail guardrail_policy '
            'guardrail_status evaluation'),
        ('decision', 'what was done, why, and who is told',
            'explain_decision replay take_deliveries end_delivery decision outbox outbox_delivery'),
        ('why', 'where the harm is and what goes with it',
            'correlate correlate_* explain_rollout compare_* coincident_changes weigh_* segment_test log_patterns '
            'log_template patterns lost correlation'),
        ('telemetry', 'sending, reading and keeping it',
            'record record_* ingest_otlp ingest_rows trace telemetry_of set_retention set_chunk_interval drop_chunks '
            'freeze_chunk thaw_chunk set_freeze_after frozen_segments segment_file detach_all telemetry tagged span '
            'span_summary log metric_point event exposure uncounted chunk'),
        ('rollup', 'metrics by variant and time',
            'variant_states verify_rollup rebuild_rollup variant_rollup variant_history'),
        ('report', 'for people: reports, charts, health',
            'status rollout_report rollout_page rollout_chart variant_summary metric_series sparkline bar health '
            'rollout_health rollout_subject'),
        ('bi', 'plain views for Superset, Grafana and others', 'bi_*'),
        ('sketch', 'mergeable summaries of values',
            'tdigest histogram moments ratio rollup merge quantile quantile_interval quantile_rank trimmed_mean count '
            'count_above buckets invalid min max mean sum stddev variance value standard_error design_effect to_otlp '
            'histogram_from_otlp'),
        ('statistics', 'tests for one look, and for every look',
            'mean_test ratio_test proportion_test rate_test rank_test chi_square_test adjust_p_values sequential_* '
            'odds_ratio combine_e e_bh'),
        ('anomaly', 'scores of unusual values',
            'anomaly_score anomaly_z robust_z ewma ewma_z anomalies'),
        ('worker', 'judging, maintenance, roles, settings',
            'tick maintain progress confirm_time finish_restore grant_* set_setting setting help'),
        ('cluster', 'several ingest nodes, one that decides',
            'create_cluster add_node join_cluster leave_cluster node')
    ) t(topic, about, names);
$$;
COMMENT ON FUNCTION _flagscope.help_topics() IS 'the topics of help(), with the names that belong to each';

CREATE FUNCTION _flagscope.help_objects()
RETURNS TABLE (name text, is_function boolean, signature text, short text, comment text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.proname::text, true, regexp_replace(replace(replace(replace(format('%s(%s)%s', p.proname,
            pg_get_function_arguments(p.oid), ' returns ' || pg_get_function_result(p.oid)),
            'timestamp with time zone', 'timestamptz'), 'double precision', 'float8'), 'DEFAULT ', '= '),
            '::[a-z0-9_."]+( with time zone)?(\[\])?', '', 'g'),
        format('%s(%s)', p.proname, CASE WHEN length(a.needed) > 32 THEN '...' ELSE a.needed END), d.description
    -- What has a comment is for people: not the parts of types and aggregates.
    FROM pg_proc p JOIN pg_description d ON d.objoid = p.oid AND d.classoid = 'pg_proc'::regclass,
        LATERAL (SELECT concat_ws(', ',
            nullif(array_to_string((p.proargnames)[1:p.pronargs - p.pronargdefaults], ', '), ''),
            CASE WHEN p.pronargdefaults > 0 THEN '...' END) AS needed) a
    WHERE p.pronamespace = 'flagscope'::regnamespace
    UNION ALL
    SELECT c.relname::text, false, CASE c.relkind WHEN 'v' THEN 'view ' ELSE 'table ' END || c.relname, c.relname,
        d.description
    FROM pg_class c JOIN pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass AND d.objsubid = 0
    WHERE c.relnamespace = 'flagscope'::regnamespace AND c.relkind IN ('r', 'p', 'v');
$$;
COMMENT ON FUNCTION _flagscope.help_objects() IS
    'every public function, table and view with its comment; short: with the arguments that have no default';

CREATE FUNCTION _flagscope.help_overview() RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('flagscope %s: a topic by help(''rollout''), a name by help(''create_rollout'')',
        (SELECT e.extversion FROM pg_extension e WHERE e.extname = 'flagscope'))
    UNION ALL SELECT ''
    UNION ALL (
        SELECT format('  %s %s %s', rpad(t.topic, 11), rpad(t.about, 50),
            array_to_string(t.names[1:3], ', ') || CASE WHEN cardinality(t.names) > 3 THEN ' ...' ELSE '' END)
        FROM _flagscope.help_topics() t ORDER BY t.place)
    UNION ALL SELECT ''
    UNION ALL SELECT 'Is it working? SELECT * FROM flagscope.status(). What runs? SELECT * FROM flagscope.bi_rollout.';
$$;
COMMENT ON FUNCTION _flagscope.help_overview() IS 'the lines of help() without an argument';

CREATE FUNCTION _flagscope.help_topic(topic text) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH found AS (
        -- Of several functions of a name the one that says most.
        SELECT DISTINCT ON (n.place, o.name) n.place, o.name, o.is_function, o.short,
            regexp_replace(o.comment, ';.*$', '') AS clause
        FROM _flagscope.help_topics() t, unnest(t.names) WITH ORDINALITY n(pattern, place)
            JOIN _flagscope.help_objects() o ON o.name ~ ('^' || replace(n.pattern, '*', '.*') || '$')
        WHERE t.topic = help_topic.topic ORDER BY n.place, o.name, length(o.comment) DESC
    ), listed AS MATERIALIZED (
        SELECT f.*, row_number() OVER (ORDER BY NOT f.is_function, f.place, f.name) AS line,
            max(length(f.short)) OVER () AS width FROM found f
    )
    SELECT format('%s: %s', t.topic, t.about) FROM _flagscope.help_topics() t WHERE t.topic = help_topic.topic
    UNION ALL SELECT ''
    UNION ALL (
        -- In a window of 120 columns.
        SELECT format('  %s  %s', rpad(l.short, l.width), CASE WHEN length(l.clause) <= 114 - l.width THEN l.clause
            ELSE regexp_replace(left(l.clause, 111 - l.width), '\s*\S*$', ' ...') END)
        FROM listed l ORDER BY l.line)
    UNION ALL
    SELECT x.line FROM _flagscope.help_objects() o, LATERAL (VALUES (''),
        (format('All about one: help(''%s''); the table of that name: help(''flagscope.%s'')',
            (SELECT l.name FROM listed l WHERE l.line = 1), topic))) x(line)
    WHERE o.name = topic AND NOT o.is_function;
$$;
COMMENT ON FUNCTION _flagscope.help_topic(text) IS 'the lines of help() for a topic';

CREATE FUNCTION _flagscope.help_name(name text) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.line FROM (
        SELECT row_number() OVER (ORDER BY o.is_function DESC, o.signature) AS place, 0::bigint AS part,
            format(E'%s\n    %s', o.signature, o.comment) AS line
        FROM _flagscope.help_objects() o WHERE o.name = help_name.name
        UNION ALL
        SELECT 1000, a.attnum, format('    %s %s: %s', a.attname, format_type(a.atttypid, a.atttypmod),
            coalesce(col_description(a.attrelid, a.attnum), ''))
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'flagscope'::regnamespace AND c.relname = help_name.name
            AND c.relkind IN ('r', 'p', 'v') AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT 2000, 0, format('setting %s = %s%s    %s', s.name, s.value, E'\n', s.description)
        FROM flagscope.setting s WHERE s.name = help_name.name
        UNION ALL
        SELECT 3000, 0, format('parameter %s = ''%s''%s    %s', s.name, s.setting, E'\n',
            s.short_desc)
        FROM pg_settings s WHERE s.name = 'flagscope.' || help_name.name) x
        CROSS JOIN LATERAL string_to_table(x.line, E'\n') WITH ORDINALITY l(line, nth)
    ORDER BY x.place, x.part, l.nth;
$$;
COMMENT ON FUNCTION _flagscope.help_name(text) IS
    'the lines of help() for the name of a function, table, view, setting or parameter; no rows: there is none';

CREATE FUNCTION flagscope.help(about text DEFAULT NULL) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- As people write it: Rollouts, create_flag(), flagscope.create_flag. With the schema it is no topic.
    word text := regexp_replace(lower(btrim(about)), '\(.*$', '');
    name text := regexp_replace(word, '^flagscope\.', '');
BEGIN
    IF about IS NULL THEN
        RETURN QUERY SELECT _flagscope.help_overview();
        RETURN;
    END IF;
    RETURN QUERY SELECT h.line FROM _flagscope.help_topics() t, _flagscope.help_topic(t.topic) h(line)
        WHERE t.topic IN (word, regexp_replace(word, 's$', ''));
    IF NOT FOUND THEN
        RETURN QUERY SELECT _flagscope.help_name(name);
    END IF;
    IF NOT FOUND THEN
        PERFORM _flagscope.unknown('topic or name', about, ARRAY(SELECT t.topic FROM _flagscope.help_topics() t
            UNION SELECT o.name FROM _flagscope.help_objects() o UNION SELECT s.name FROM flagscope.setting s), '');
    END IF;
END $$;
COMMENT ON FUNCTION flagscope.help(text) IS
    'what there is: the topics; of a topic its functions and tables (help(''rollout'')); or all about a function, '
    'table, view, setting or parameter (help(''create_rollout''), help(''flagscope.rollout''))';
