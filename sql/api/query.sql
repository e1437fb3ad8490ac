-- Metrics that are queries: their rows become deltas like those of the ingest trigger, so that evidence, rollups and
-- readers know no difference. When they run stands in poll.sql.

COMMENT ON FUNCTION _flagscope.fold_query(text, float8, bigint[], timestamptz[], float8[], float8[]) IS
    'the states of a query''s rows by key and bucket, as those of telemetry are folded (src/core/kind/): kind, cap, '
    'and of each row its key, time, value, exposure';

CREATE FUNCTION _flagscope.count_query(m flagscope.metric_definition, rollouts bigint[], since timestamptz,
    until timestamptz,
    OUT given bigint, OUT counted bigint)
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    WITH given AS MATERIALIZED (
        SELECT g.subject, g.variant, g.value, g.exposure,
            -- A row without a time, or with one outside the range, is of the range's end.
            CASE WHEN g.ts::timestamptz >= since AND g.ts::timestamptz < until THEN g.ts::timestamptz
                ELSE until - interval '1 microsecond' END AS at
        FROM _flagscope.query_rows(m.owner::text, m.query, since, until,
            _flagscope.poll_milliseconds(), _flagscope.setting_number('query.rows')::bigint) g
    ), tied AS (
        SELECT r.id AS rollout_id, g.variant = r.treatment AS treated, g.value, g.exposure, g.at
        FROM given g JOIN flagscope.rollout r ON r.id = ANY (rollouts) AND g.variant IN (r.treatment, r.control)
        UNION ALL
        SELECT r.id, coalesce(u.treated_at <= g.at, false) OR u.variant = r.treatment, g.value, g.exposure, g.at
        FROM given g
            JOIN flagscope.rollout_subject u
                ON u.rollout_id = ANY (rollouts) AND _flagscope.in_window(g.at, u.first_seen, m.conversion_window)
                    AND u.subject = _flagscope.unit_key(g.subject)
            JOIN flagscope.rollout r ON r.id = u.rollout_id
        WHERE g.variant IS NULL AND (u.treated_at <= g.at OR u.variant IN (r.treatment, r.control))
    ), listed AS (
        -- Two keys a rollout, one for each arm.
        SELECT array_agg(2 * t.rollout_id + t.treated::integer) AS keys, array_agg(t.at) AS at,
            array_agg(t.value) AS values, array_agg(t.exposure) AS exposures, count(*) AS n
        FROM tied t
    ), written AS (
        INSERT INTO _flagscope.variant_delta (flag, environment, variant, metric, bucket, n, events, moments,
            histogram, last_ts, first_ts)
        SELECT r.flag, r.environment, CASE s.key % 2 WHEN 1 THEN r.treatment ELSE r.control END, m.name, s.bucket, s.n,
            s.events, s.moments, s.histogram, s.last_ts, greatest(s.bucket, since)
        FROM listed l, LATERAL _flagscope.fold_query(m.kind::text, m.cap, l.keys, l.at, l.values, l.exposures) s
            JOIN flagscope.rollout r ON r.id = s.key / 2
    )
    SELECT (SELECT count(*) FROM given), (SELECT l.n FROM listed l);
$$;
COMMENT ON FUNCTION _flagscope.count_query(flagscope.metric_definition, bigint[], timestamptz, timestamptz) IS
    'runs a metric''s query over a range and writes its rows as deltas of the rollouts whose units they are about; '
    'returns how many rows there were and how many counted';
