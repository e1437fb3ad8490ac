-- Metrics by unit: each subject counts once, with one value, when its window is over (the rule is
-- src/core/telemetry/tally.rs; why that is valid, src/core/stats/README.md, section 7). A unit belongs to the arm
-- that it was first exposed to, whatever it sees later. What is counted is dated at the end of the window; its share
-- is that of the first exposure. Tallies, deltas and the end of the range (metric_run.until) commit together, as of
-- all that ticks count.

COMMENT ON FUNCTION _flagscope.tally_telemetry(jsonb, jsonb, timestamptz, timestamptz, integer, bigint) IS
    'adds the rows of telemetry from since to before until to the tallies of metrics by unit, arguments as of '
    'count_telemetry(); returns how many rows with a subject match each metric, how many counted, and how many '
    'carry no subject';
COMMENT ON FUNCTION _flagscope.unit_value(text, boolean, bigint, bigint, float8) IS
    'the value that a unit counts with: kind of metric, sum_values, and its tally, NULL for who has no row '
    '(src/core/telemetry/tally.rs)';

CREATE FUNCTION _flagscope.note_units(rollouts bigint[], subjects text[], seen timestamptz[], treated boolean[])
RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO flagscope.rollout_subject (rollout_id, subject, variant, first_seen, treated_at)
    SELECT DISTINCT ON (r.id, k.subject) r.id, k.subject, CASE WHEN u.treated THEN r.treatment ELSE r.control END,
        u.at, CASE WHEN u.treated THEN u.at END
    FROM unnest(rollouts, subjects, seen, treated) u(rollout_id, subject, at, treated)
        JOIN flagscope.rollout r ON r.id = u.rollout_id AND u.at >= r.started_at,
        LATERAL (SELECT _flagscope.unit_key(u.subject) AS subject) k
    ORDER BY r.id, k.subject, u.at, u.treated
    ON CONFLICT (rollout_id, subject) DO NOTHING;
$$;
COMMENT ON FUNCTION _flagscope.note_units(bigint[], text[], timestamptz[], boolean[]) IS
    'subjects of rollouts without exposures are units from their first row that names the flag';

CREATE FUNCTION _flagscope.keep_tallies(metrics text[], rollouts bigint[], subjects text[], n bigint[],
    events bigint[], totals float8[])
RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO _flagscope.unit_tally AS t (rollout_id, metric, subject, n, events, total)
    SELECT u.rollout_id, u.metric, _flagscope.unit_key(u.subject), sum(u.n), sum(u.events), sum(u.total)
    FROM unnest(metrics, rollouts, subjects, n, events, totals) u(metric, rollout_id, subject, n, events, total)
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (rollout_id, metric, subject) DO UPDATE SET n = t.n + excluded.n, events = t.events + excluded.events,
        total = t.total + excluded.total;
$$;
COMMENT ON FUNCTION _flagscope.keep_tallies(text[], bigint[], text[], bigint[], bigint[], float8[]) IS
    'adds to the tallies of units';

CREATE FUNCTION _flagscope.arms_by_unit(rollouts bigint[]) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- Only rollouts with exposures have a split.
    SELECT coalesce(jsonb_agg(a || jsonb_build_object('by_rows', NOT EXISTS (
        SELECT FROM flagscope.rollout_health h
        WHERE h.rollout_id = (a ->> 'id')::bigint AND h.rule = 'split'))), '[]')
    FROM jsonb_array_elements(_flagscope.arms(rollouts)) a;
$$;
COMMENT ON FUNCTION _flagscope.arms_by_unit(bigint[]) IS
    'rollouts as arms() gives them, and whether their units are known by rows alone, since no exposure is sent';

CREATE FUNCTION _flagscope.tally_query(m flagscope.metric_definition, rollouts bigint[], since timestamptz,
    until timestamptz,
    OUT metric text, OUT given bigint, OUT counted bigint, OUT nameless bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    got record;
    by_rows bigint[] := ARRAY(SELECT (a ->> 'id')::bigint
        FROM jsonb_array_elements(_flagscope.arms_by_unit(rollouts)) a WHERE (a ->> 'by_rows')::boolean);
BEGIN
    -- A row without a time, or with one outside the range, is of the range's end.
    SELECT array_agg(g.subject) AS subjects, array_agg(g.variant) AS variants, array_agg(g.value) AS values,
        array_agg(CASE WHEN g.ts::timestamptz >= since AND g.ts::timestamptz < until THEN g.ts::timestamptz
            ELSE until - interval '1 microsecond' END) AS at,
        count(g.subject) AS named, count(*) - count(g.subject) AS nameless INTO got
    FROM _flagscope.query_rows(m.owner::text, m.query, since, until, _flagscope.poll_milliseconds(),
        _flagscope.setting_number('query.rows')::bigint) g
    -- What is no value is none, and not zero.
    WHERE g.value > '-Infinity' AND g.value < 'Infinity';
    PERFORM _flagscope.note_units(array_agg(r.id), array_agg(g.subject), array_agg(g.at),
        array_agg(g.variant = r.treatment))
    FROM unnest(got.subjects, got.variants, got.at) g(subject, variant, at)
        JOIN flagscope.rollout r ON r.id = ANY (by_rows) AND g.variant IN (r.treatment, r.control)
    WHERE g.subject IS NOT NULL;
    WITH tied AS (
        SELECT u.rollout_id, u.subject, g.value
        FROM unnest(got.subjects, got.values, got.at) g(subject, value, at)
            JOIN flagscope.rollout_subject u ON u.rollout_id = ANY (rollouts)
                AND u.subject = _flagscope.unit_key(g.subject)
                AND _flagscope.in_window(g.at, u.first_seen, m.conversion_window)
    ), kept AS (
        SELECT _flagscope.keep_tallies(array_agg(m.name), array_agg(t.rollout_id), array_agg(t.subject),
            array_agg(1::bigint), array_agg((t.value <> 0)::integer::bigint), array_agg(t.value)), count(*) AS n
        FROM tied t
    )
    SELECT m.name, got.named, k.n, got.nameless INTO metric, given, counted, nameless FROM kept k;
END $$;
COMMENT ON FUNCTION _flagscope.tally_query(flagscope.metric_definition, bigint[], timestamptz, timestamptz) IS
    'runs the query of a metric by unit over a range and adds its rows to the tallies of their units; returns as '
    'tally_telemetry()';

CREATE FUNCTION _flagscope.close_units(m flagscope.metric_definition, rollouts bigint[], since timestamptz,
    until timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH run AS MATERIALIZED (
        -- Rows of units that came before the metric was counted are not known.
        SELECT r.id, r.flag, r.environment, r.treatment, r.control, _flagscope.unit_window(m) AS width,
            ARRAY(SELECT c FROM _flagscope.cuts(r.id, r.started_at, r.stage_started_at) c ORDER BY c) AS cuts,
            (SELECT min(s.since) FROM flagscope.guardrail g JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id
                WHERE g.metric = m.name AND g.enabled AND s.rollout_id = r.id) AS counted_since
        FROM flagscope.rollout r WHERE r.id = ANY (rollouts)
    ), over AS MATERIALIZED (
        SELECT r.id, u.subject, u.variant, u.first_seen + r.width AS at, width_bucket(u.first_seen, r.cuts) AS share,
            u.first_seen >= r.counted_since AND u.variant IN (r.treatment, r.control) AS counts,
            u.variant = r.treatment AS treated
        FROM run r JOIN flagscope.rollout_subject u ON u.rollout_id = r.id
            AND u.first_seen >= since - r.width AND u.first_seen < until - r.width
    ), tallied AS (
        DELETE FROM _flagscope.unit_tally t USING over o
        WHERE t.rollout_id = o.id AND t.metric = m.name AND t.subject = o.subject
        RETURNING t.*
    ), valued AS MATERIALIZED (
        SELECT o.id, o.treated, o.at, dense_rank() OVER (ORDER BY o.id, o.share, o.treated) AS key,
            _flagscope.unit_value(m.kind::text, m.sum_values, t.n, t.events, t.total) AS value
        FROM over o LEFT JOIN tallied t ON t.rollout_id = o.id AND t.subject = o.subject WHERE o.counts
    ), listed AS (
        -- A mean of no rows is none; zeros count of sums and of proportions.
        SELECT array_agg(v.key) AS keys, array_agg(v.at) AS at, array_agg(v.value) AS values,
            array_agg(NULL::float8) AS exposures
        FROM valued v WHERE v.value IS NOT NULL
    ), began AS (
        SELECT v.key, _flagscope.bucket_of(v.at) AS bucket, v.id, v.treated, min(v.at) AS first_at
        FROM valued v WHERE v.value IS NOT NULL GROUP BY 1, 2, 3, 4
    )
    INSERT INTO _flagscope.variant_delta (flag, environment, variant, metric, bucket, n, events, moments, histogram,
        last_ts, first_ts)
    SELECT r.flag, r.environment, CASE WHEN b.treated THEN r.treatment ELSE r.control END, m.name, s.bucket, s.n,
        s.events, s.moments, s.histogram, s.last_ts, b.first_at
    FROM listed l, LATERAL _flagscope.fold_query(m.kind::text, m.cap, l.keys, l.at, l.values, l.exposures) s
        JOIN began b ON b.key = s.key AND b.bucket = s.bucket JOIN run r ON r.id = b.id;
$$;
COMMENT ON FUNCTION _flagscope.close_units(flagscope.metric_definition, bigint[], timestamptz, timestamptz) IS
    'writes the units whose windows end in a range as deltas, one value each; all who were exposed count, also those '
    'without rows, except for the mean of their own rows';

CREATE FUNCTION _flagscope.unit_problem(m flagscope.metric_definition, given bigint, nameless bigint) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN given > 0 THEN NULL
        WHEN nameless > 0 THEN _flagscope.message('metric "%s" counts users, but its rows carry no subject: %s', m.name,
            CASE WHEN m.query IS NULL THEN 'send telemetry with a subject, or use a guardrail without per_unit'
                ELSE 'the query must return the column subject' END)
        -- Without any row nothing is known to be better.
        ELSE (SELECT q.problem FROM flagscope.metric_run q WHERE q.metric = m.name AND q.failures = 0) END;
$$;
COMMENT ON FUNCTION _flagscope.unit_problem(flagscope.metric_definition, bigint, bigint) IS
    'what is wrong with a metric by unit of whose rows none carries a subject: rows with one, and without';

CREATE FUNCTION _flagscope.count_units(due _flagscope.due_metric[], since timestamptz, until timestamptz)
RETURNS TABLE (metric text, given bigint, counted bigint, problem text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    d _flagscope.due_metric := due[1];
BEGIN
    IF (d.metric).query IS NOT NULL THEN
        RETURN QUERY SELECT x.metric, x.given, x.counted,
                _flagscope.unit_problem(d.metric, x.given, x.nameless)
            FROM _flagscope.tally_query(d.metric, d.rollouts, since, until) x;
    ELSE
        RETURN QUERY SELECT x.metric, x.given, x.counted, _flagscope.unit_problem(o.metric, x.given, x.nameless)
            FROM _flagscope.tally_telemetry(
                (SELECT jsonb_agg(_flagscope.metric_definition(u.metric) || jsonb_build_object('rollouts', u.rollouts)
                        ORDER BY (u.metric).name)
                    FROM unnest(due) u),
                _flagscope.arms_by_unit(ARRAY(SELECT DISTINCT r FROM unnest(due) u, unnest(u.rollouts) r)),
                since, until, _flagscope.poll_milliseconds(),
                _flagscope.setting_number('query.rows')::bigint) x JOIN unnest(due) o ON (o.metric).name = x.metric;
    END IF;
    PERFORM _flagscope.close_units(u.metric, u.rollouts, since, until) FROM unnest(due) u;
END $$;
COMMENT ON FUNCTION _flagscope.count_units(_flagscope.due_metric[], timestamptz, timestamptz) IS
    'counts metrics by unit in a range: rows into tallies, then the units whose windows are over; returns how many '
    'rows with a subject matched, how many counted, and what is wrong if none carries a subject';

CREATE FUNCTION _flagscope.forget_tallies(at timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM _flagscope.unit_tally t WHERE NOT EXISTS (SELECT FROM flagscope.rollout r
        WHERE r.id = t.rollout_id AND _flagscope.is_watched(r, at));
$$;
COMMENT ON FUNCTION _flagscope.forget_tallies(timestamptz) IS
    'part of maintain(): tallies of rollouts that are no longer watched';
