-- Metrics of telemetry with a conversion window: a row counts for the variant that its subject was exposed to, and only
-- for a while. The ingest trigger cannot do this: it would need every subject's first exposure, even one not committed
-- yet. So the tick reads the rows some seconds later and counts them with the same code; poll.sql determines when.
--
-- Several metrics are counted in one pass, because reading is most of the work.

CREATE FUNCTION _flagscope.metric_definition(m flagscope.metric_definition) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres' SET extra_float_digits = 1
AS $$ SELECT to_jsonb(m) || jsonb_build_object('window', 1e6 * extract(epoch FROM m.conversion_window)) $$;
COMMENT ON FUNCTION _flagscope.metric_definition(flagscope.metric_definition) IS
    'a metric as passed to Rust: its columns, and its window in microseconds';

CREATE FUNCTION _flagscope.arms(rollouts bigint[]) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object('id', r.id, 'flag', r.flag, 'environment', r.environment,
            'treatment', r.treatment, 'control', r.control)
            ORDER BY r.id), '[]')
    FROM flagscope.rollout r WHERE r.id = ANY (rollouts);
$$;
COMMENT ON FUNCTION _flagscope.arms(bigint[]) IS
    'rollouts as passed to Rust: [{id, flag, environment, treatment, control}]';

CREATE FUNCTION _flagscope.subjects_of(rollouts bigint[], subjects text[])
RETURNS TABLE (n bigint, rollout_id bigint, first_seen timestamptz, began_treated boolean, treated_at timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
BEGIN
    -- One index lookup for each subject and rollout; LIMIT keeps the planner from reading all units, possibly millions.
    RETURN QUERY SELECT s.n, u.rollout_id, u.first_seen, u.variant = u.treatment, u.treated_at
    FROM unnest(subjects) WITH ORDINALITY s(subject, n), flagscope.rollout r, LATERAL (
        SELECT x.*, r.treatment FROM flagscope.rollout_subject x
        WHERE x.rollout_id = r.id
            AND x.subject = _flagscope.unit_key(s.subject)
        LIMIT 1) u
    WHERE r.id = ANY (rollouts);
END $$;
COMMENT ON FUNCTION _flagscope.subjects_of(bigint[], text[]) IS
    'the units of some rollouts for some subjects; n: the subject''s position in the array; '
    'began_treated: its first exposure was to the treatment';

COMMENT ON FUNCTION _flagscope.count_telemetry(jsonb, jsonb, timestamptz, timestamptz, integer, bigint) IS
    'counts rows of telemetry from since to before until for metrics with a conversion window '
    '([{name, ..., window, rollouts}]) by the units of rollouts (as arms()), and writes deltas; raises when the '
    'milliseconds are over, or for a metric with more than most rows; '
    'returns how many rows match each metric and how many counted';

CREATE TYPE _flagscope.due_metric AS (metric flagscope.metric_definition, rollouts bigint[], since timestamptz,
    failures integer);
COMMENT ON TYPE _flagscope.due_metric IS
    'a metric to be counted now: for which rollouts, from when on, after how many failures';

CREATE FUNCTION _flagscope.count_windows(due _flagscope.due_metric[], since timestamptz, until timestamptz)
RETURNS TABLE (metric text, given bigint, counted bigint)
-- A partition created today has no statistics yet; a tick must use its index on ts instead of reading all of it.
LANGUAGE sql SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off
AS $$
    SELECT * FROM _flagscope.count_telemetry(
        (SELECT jsonb_agg(_flagscope.metric_definition(d.metric) || jsonb_build_object('rollouts', d.rollouts)
                ORDER BY (d.metric).name)
            FROM unnest(due) d),
        _flagscope.arms(ARRAY(SELECT DISTINCT r FROM unnest(due) d, unnest(d.rollouts) r)),
        since, until, _flagscope.poll_milliseconds(), _flagscope.setting_number('query.rows')::bigint);
$$;
COMMENT ON FUNCTION _flagscope.count_windows(_flagscope.due_metric[], timestamptz, timestamptz) IS
    'counts the rows of telemetry in a range for metrics with a conversion window, in one pass; '
    'returns how many match each and how many counted';
