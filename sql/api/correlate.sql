-- correlate(): why a rollout does harm. Who and where is hurt, what it looks like, in which operation, what else moved
-- and what did not, what else changed. Read only, with the caller's rights; it decides nothing, and may say that there
-- is nothing.

COMMENT ON FUNCTION _flagscope.correlate(jsonb, timestamptz, timestamptz) IS
    'what telemetry says to a question, as a JSON list of findings: segments, symptoms, spans, log lines, notes';

CREATE FUNCTION _flagscope.percent_words(share float8) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN share >= 0 THEN '+' ELSE '' END || round((100 * share)::numeric,
    CASE WHEN abs(share) >= 0.1 THEN 0 ELSE 1 END) || ' %' $$;
COMMENT ON FUNCTION _flagscope.percent_words(float8) IS 'a relative change for people: +23 %, -0.4 %';

CREATE FUNCTION _flagscope.distance_words(s float8) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN abs(s) < 1 THEN 'just when'
    ELSE _flagscope.seconds_words(abs(s)) || CASE WHEN s < 0 THEN ' before' ELSE ' after' END END $$;
COMMENT ON FUNCTION _flagscope.distance_words(float8) IS
    'a distance in time for people: 20 seconds before, just when; what follows says of what';

CREATE FUNCTION _flagscope.metric_findings(q jsonb, OUT findings jsonb, OUT began timestamptz)
-- That compare_metrics() has nothing is no news here.
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $$
    WITH c AS MATERIALIZED (
        SELECT x.*, row_number() OVER () AS place FROM flagscope.compare_metrics(q ->> 'flag', q ->> 'environment',
            (q ->> 'asked_since')::timestamptz, (q ->> 'until')::timestamptz, q ->> 'treatment', q ->> 'control') x
    ), own AS (
        SELECT c.onset FROM c WHERE c.metric = q ->> 'metric_name'
    ), said AS (
        SELECT c.place, format('%s moved by %s (%s to %s)%s', c.metric, _flagscope.percent_words(c.effect),
                _flagscope.percent_words(c.lower), _flagscope.percent_words(c.upper),
                ', ' || _flagscope.distance_words(
                    extract(epoch FROM c.onset - (SELECT own.onset FROM own))::float8) || ' the harm began')
                AS words,
            c.p_value, c.n_treatment, c.n_control
        FROM c WHERE c.verdict = 'moved' AND c.metric <> q ->> 'metric_name' AND c.place <= 20
        UNION ALL
        SELECT 1000, 'still: ' || string_agg(c.metric, ', ' ORDER BY c.metric), NULL, NULL, NULL
        FROM c WHERE c.verdict = 'still' HAVING count(*) > 0
    )
    SELECT (SELECT jsonb_agg(jsonb_build_object('kind', 'metric', 'finding', s.words, 'p_value', s.p_value,
            'n_treatment', s.n_treatment, 'n_control', s.n_control, 'recompute', format(
                'SELECT * FROM flagscope.compare_metrics(%L, environment => %L, since => %L, until => %L, '
                'treatment => %L, control => %L)', q ->> 'flag', q ->> 'environment', q ->> 'asked_since',
                q ->> 'until', q ->> 'treatment', q ->> 'control'))
            ORDER BY s.place) FROM said s),
        (SELECT own.onset FROM own);
$$;
COMMENT ON FUNCTION _flagscope.metric_findings(jsonb) IS
    'findings about other metrics, and when the asked one began to grow';

CREATE FUNCTION _flagscope.change_findings(q jsonb, began timestamptz, told jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH x AS MATERIALIZED (
        SELECT coalesce(began, (q ->> 'asked_since')::timestamptz) AS at, m.name AS metric, m
        FROM (SELECT q ->> 'metric_name' AS name) a LEFT JOIN flagscope.metric_definition m ON m.name = a.name
    ), near AS (
        SELECT c.ts, c.what, c.who, c.control_moved, '{}'::jsonb AS columns,
            format('SELECT * FROM flagscope.coincident_changes(%L, %L, %L, since => %L, until => %L, at => %L)',
                q ->> 'flag', x.metric, q ->> 'environment', x.at - interval '15 minutes', q ->> 'until', x.at)
                AS recompute
        FROM x, flagscope.coincident_changes(q ->> 'flag', x.metric, q ->> 'environment', x.at - interval '15 minutes',
            (q ->> 'until')::timestamptz, x.at)
            WITH ORDINALITY c(ts, kind, what, who, reason, control_moved, closeness, place)
        WHERE c.place <= 5
        UNION ALL
        SELECT v.ts, t.row ->> 'finding', NULL, CASE WHEN x.metric IS NOT NULL THEN _flagscope.control_moved(
                q ->> 'flag', x.m, q ->> 'environment', q ->> 'control', v.ts) END,
            t.row - '{kind,finding,at,recompute}'::text[], t.row ->> 'recompute'
        FROM x, jsonb_array_elements(told) t(row), LATERAL (SELECT timestamptz '2000-01-01 00:00:00+00'
            + (t.row ->> 'at')::bigint * interval '1 microsecond' AS ts) v
        WHERE t.row ->> 'kind' = 'version'
    )
    SELECT jsonb_agg(n.columns || jsonb_build_object('kind', 'change', 'finding', format('%s, at %s UTC%s%s%s', n.what,
            to_char(n.ts AT TIME ZONE 'UTC', 'HH24:MI:SS'), ' by ' || n.who,
            CASE WHEN began IS NOT NULL THEN format(', %s the harm began',
                _flagscope.distance_words(extract(epoch FROM n.ts - began)::float8)) END,
            CASE n.control_moved WHEN true THEN '; the control moved there, too' ELSE '' END),
            'recompute', n.recompute)
        ORDER BY abs(extract(epoch FROM n.ts - x.at)), n.ts, n.what)
    FROM near n, x;
$$;
COMMENT ON FUNCTION _flagscope.change_findings(jsonb, timestamptz, jsonb) IS
    'findings about what else changed, the nearest to the beginning of the harm first: changes that are known, and '
    'versions that telemetry (told) saw first';

CREATE FUNCTION _flagscope.question_notes(q jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, MDY'
AS $$
    SELECT jsonb_agg(jsonb_build_object('kind', 'note', 'finding', n.words)) FROM (
    SELECT format('only the newest part of the range is read, from %s: more rows than setting correlate.rows',
        q ->> 'since') AS words
    WHERE (q ->> 'since')::timestamptz > (q ->> 'asked_since')::timestamptz
    UNION ALL
    SELECT format('the decision rests on all rows of "%s" in the environment: these have no variants to compare',
        q ->> 'metric_name') WHERE q ? 'of_environment'
    UNION ALL
    SELECT 'p-values hold for one look: who asks again and again until something shows will be shown something'
    WHERE EXISTS (SELECT FROM flagscope.rollout r WHERE r.flag = q ->> 'flag' AND r.environment = q ->> 'environment'
        AND r.status IN ('running', 'paused', 'held'))) n;
$$;
COMMENT ON FUNCTION _flagscope.question_notes(jsonb) IS 'what has to be said of a question itself';

CREATE FUNCTION _flagscope.explore(q jsonb) RETURNS SETOF flagscope.finding
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET timezone = 'UTC' SET datestyle = 'ISO, MDY'
AS $$
    WITH metrics AS MATERIALIZED (
        SELECT m.* FROM _flagscope.metric_findings(q) m
    ), telemetry AS MATERIALIZED (
        SELECT _flagscope.correlate(q, (q ->> 'since')::timestamptz, (q ->> 'until')::timestamptz) AS rows
    ), part AS MATERIALIZED (
        SELECT 1 AS nr, t.rows FROM telemetry t
        UNION ALL SELECT 2, m.findings FROM metrics m
        UNION ALL SELECT 3, _flagscope.change_findings(q, m.began, t.rows) FROM metrics m, telemetry t
        UNION ALL SELECT 4, _flagscope.question_notes(q)
    )
    SELECT f.* FROM (
        -- What telemetry says of flags comes after the metrics, notes come last.
        SELECT row_number() OVER (ORDER BY CASE r.row ->> 'kind' WHEN 'flag' THEN 2.5 WHEN 'note' THEN 4 ELSE p.nr END,
            p.nr, r.place) AS rank, r.row
        FROM part p, jsonb_array_elements(p.rows) WITH ORDINALITY r(row, place)
        WHERE r.row ->> 'kind' <> 'version') x,
        jsonb_populate_record(NULL::flagscope.finding, x.row || jsonb_build_object('rank', x.rank)) f
    ORDER BY x.rank;
$$;
COMMENT ON FUNCTION _flagscope.explore(jsonb) IS
    'the findings of a question in their order: telemetry, metrics, flags, changes, notes';

CREATE FUNCTION flagscope.correlate(flag text, metric text DEFAULT NULL, environment text DEFAULT NULL,
    since timestamptz DEFAULT NULL, until timestamptz DEFAULT clock_timestamp(), attributes text[] DEFAULT NULL,
    max_order integer DEFAULT 2, treatment text DEFAULT NULL, control text DEFAULT NULL) RETURNS SETOF flagscope.finding
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM _flagscope.explore(_flagscope.question(flag, metric, environment, since, until, treatment, control,
    attributes, max_order)); $$;
COMMENT ON FUNCTION flagscope.correlate(text, text, text, timestamptz, timestamptz, text[], integer, text, text) IS
    'why a flag''s treatment does harm, in one call: the segments that concentrate it, what the failure looks like, '
    'operations, log lines, other metrics, flags and changes, and notes of what was left out. Of one metric (the one '
    'with the most evidence) over a range of time (the last hour), the treatment against the control; attributes: only '
    'these; max_order 1: segments of one attribute alone';

CREATE FUNCTION _flagscope.decision_question(d flagscope.decision) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- What was judged: from the beginning of the evidence to the last row in it.
    SELECT _flagscope.question(d.flag, d.rule ->> 'metric', d.environment,
        coalesce((d.evidence ->> 'since')::timestamptz, r.stage_started_at, r.started_at, d.at - interval '1 hour'),
        coalesce(d.watermark, d.at) + interval '1 microsecond',
        -- Of named variants the first one is asked about.
        CASE WHEN d.rule #>> '{variants,0}' <> r.control THEN d.rule #>> '{variants,0}' ELSE r.treatment END, r.control,
        NULL::text[], 2)
        || CASE d.rule ->> 'scope' WHEN 'environment' THEN '{"of_environment": true}' ELSE '{}' END::jsonb
    FROM (SELECT d.rollout_id) x LEFT JOIN flagscope.rollout r ON r.id = x.rollout_id;
$$;
COMMENT ON FUNCTION _flagscope.decision_question(flagscope.decision) IS
    'the question why a decision was made: its guardrail''s metric over the time of its evidence';

CREATE FUNCTION flagscope.correlate_decision(decision_id bigint) RETURNS SETOF flagscope.finding
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    d flagscope.decision := _flagscope.require_decision(decision_id);
BEGIN
    RETURN QUERY SELECT c.rank, c.kind, c.finding, c.share, c.p_value, c.treatment, c.control, c.n_treatment,
        c.events_treatment, c.n_control, c.events_control, c.subjects, c.same_as, c.goes_with, c.predicate, c.traces,
        c.examples, c.recompute
        FROM flagscope.correlation c WHERE c.decision_id = d.id ORDER BY c.rank;
    IF NOT FOUND THEN
        RETURN QUERY SELECT * FROM _flagscope.explore(_flagscope.decision_question(d));
    END IF;
END $$;
COMMENT ON FUNCTION flagscope.correlate_decision(bigint) IS
    'correlate() for a decision: its guardrail''s metric over the time of its evidence; as the worker kept it in table '
    'correlation, else computed now';

CREATE FUNCTION flagscope.correlate_rollout(rollout_id bigint) RETURNS SETOF flagscope.finding
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    r flagscope.rollout := _flagscope.require_rollout(rollout_id);
    decision_id bigint := (SELECT d.id FROM flagscope.decision d
        WHERE d.rollout_id = r.id AND d.guardrail_id IS NOT NULL AND NOT d.shadow AND d.action <> 'warn'
        ORDER BY d.id DESC LIMIT 1);
BEGIN
    IF decision_id IS NOT NULL THEN
        RETURN QUERY SELECT * FROM flagscope.correlate_decision(decision_id);
    ELSIF r.started_at IS NULL THEN
        RETURN QUERY SELECT x.* FROM jsonb_populate_record(NULL::flagscope.finding,
            jsonb_build_object('rank', 1, 'kind', 'note', 'finding',
            format('rollout %s has not started: nobody is in it', r.id))) x;
    ELSE
        RETURN QUERY SELECT * FROM _flagscope.explore(_flagscope.question(r.flag, NULL::text, r.environment,
            r.started_at, coalesce(r.ended_at, greatest(clock_timestamp(), r.started_at + interval '1 microsecond')),
            r.treatment, r.control, NULL::text[], 2));
    END IF;
END $$;
COMMENT ON FUNCTION flagscope.correlate_rollout(bigint) IS
    'correlate() for a rollout: for the last decision of a guardrail on it, else for the metric with the most evidence '
    'since it started';

CREATE FUNCTION _flagscope.latest_rollout(flag text, environment text) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    env text := _flagscope.environment(environment);
    found_id bigint := (SELECT max(r.id) FROM flagscope.rollout r
        WHERE r.flag = latest_rollout.flag AND r.environment = env);
BEGIN
    PERFORM _flagscope.require_flag(flag);
    IF found_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = _flagscope.message('flag "%s" has had no rollout in %s', flag, env),
            HINT = 'correlate(flag, metric) asks about any range of time.';
    END IF;
    RETURN found_id;
END $$;
COMMENT ON FUNCTION _flagscope.latest_rollout(text, text) IS
    'the last rollout of a flag in an environment; raises where there was none';

CREATE FUNCTION flagscope.correlate_rollout(flag text, environment text DEFAULT NULL) RETURNS SETOF flagscope.finding
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM flagscope.correlate_rollout(_flagscope.latest_rollout(flag, environment)) $$;
COMMENT ON FUNCTION flagscope.correlate_rollout(text, text) IS 'the same for the last rollout of a flag';
