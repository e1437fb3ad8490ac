-- Metrics that are queries: their rows become deltas like those of the ingest trigger, so that evidence, rollups and
-- readers know no difference. When they run stands in poll.sql.

CREATE FUNCTION _flagscope.count_query(m flagscope.metric_definition, rollouts bigint[], since timestamptz, until timestamptz,
    OUT given bigint, OUT counted bigint)
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    WITH given AS MATERIALIZED (
        SELECT g.subject, g.variant, g.value, g.exposure,
            -- A row without a time, or with one outside the range, is of the range's end.
            CASE WHEN g.ts::timestamptz >= since AND g.ts::timestamptz < until THEN g.ts::timestamptz ELSE until - interval '1 microsecond' END AS at
        FROM _flagscope.query_rows(m.owner::text, m.query, since, until,
            _flagscope.poll_milliseconds(), _flagscope.setting_number('query.rows')::bigint) g
    ), tied AS (
        SELECT r.flag, r.environment, g.variant, g.value, g.exposure, g.at
        FROM given g JOIN flagscope.rollout r ON r.id = ANY (rollouts) AND g.variant IN (r.treatment, r.control)
        UNION ALL
        SELECT r.flag, r.environment, CASE WHEN u.treated_at <= g.at THEN r.treatment ELSE u.variant END, g.value, g.exposure, g.at
        FROM given g
            JOIN flagscope.rollout_subject u ON u.rollout_id = ANY (rollouts) AND _flagscope.in_window(g.at, u.first_seen, m.conversion_window)
                AND u.subject = CASE WHEN octet_length(g.subject) > 255 THEN md5(g.subject) ELSE g.subject END
            JOIN flagscope.rollout r ON r.id = u.rollout_id
        WHERE g.variant IS NULL
    ), state AS (
        SELECT t.flag, t.environment, t.variant, _flagscope.bucket_of(t.at) AS bucket, max(t.at) AS last_ts, count(*) AS rows,
            count(*) FILTER (WHERE abs(t.value) < 'Infinity') AS valid,
            count(*) FILTER (WHERE abs(t.value) < 'Infinity' AND t.value <> 0) AS hits,
            coalesce(sum(t.value) FILTER (WHERE t.value >= 0 AND t.value <= 1e12 AND t.value = trunc(t.value)), 0)::bigint AS total,
            CASE m.kind
                WHEN 'mean' THEN flagscope.moments(CASE WHEN NOT abs(t.value) < 'Infinity' OR t.value IS NULL THEN 'NaN' WHEN m.cap IS NULL THEN t.value
                    ELSE least(greatest(t.value, 0), m.cap) END)
                WHEN 'rate' THEN flagscope.moments(CASE WHEN t.exposure >= 0 THEN t.exposure ELSE 'NaN' END) END AS moments,
            CASE m.kind WHEN 'quantile' THEN flagscope.histogram(coalesce(t.value, 'NaN')) END AS histogram
        FROM tied t GROUP BY 1, 2, 3, 4
    ), written AS (
        INSERT INTO _flagscope.variant_delta (flag, environment, variant, metric, bucket, n, events, moments, histogram, last_ts)
        SELECT s.flag, s.environment, s.variant, m.name, s.bucket, CASE m.kind WHEN 'rate' THEN flagscope.count(s.moments) ELSE s.valid END,
            CASE m.kind WHEN 'proportion' THEN s.hits WHEN 'rate' THEN s.total ELSE 0 END, s.moments, s.histogram, s.last_ts
        FROM state s
    )
    SELECT (SELECT count(*) FROM given), coalesce((SELECT sum(s.rows) FROM state s), 0)::bigint;
$$;
COMMENT ON FUNCTION _flagscope.count_query(flagscope.metric_definition, bigint[], timestamptz, timestamptz) IS
    'runs a metric''s query over a range and writes its rows as deltas of the rollouts whose units they are about; returns how many rows there were and how many counted';
