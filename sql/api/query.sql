-- Metrics that are queries: run by the tick, and their rows become deltas like those of the ingest trigger, so that
-- evidence, rollups and readers know no difference. Deltas and the end of the range commit together: no row of a range
-- is counted twice, and a range that failed is read once more.

CREATE FUNCTION flagscope._count_query(m flagscope.metric, rollouts bigint[], since timestamptz, until timestamptz,
    OUT given bigint, OUT counted bigint)
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    WITH given AS MATERIALIZED (
        SELECT g.subject, g.variant, g.value, g.exposure,
            -- A row without a time, or with one outside the range, is of the range's end.
            CASE WHEN g.ts::timestamptz >= since AND g.ts::timestamptz < until THEN g.ts::timestamptz ELSE until - interval '1 microsecond' END AS at
        FROM flagscope._query_rows(m.owner, m.query, since, until,
            least(ceil(1000 * extract(epoch FROM flagscope._setting_interval('query.timeout'))), 1e9)::integer, flagscope._setting_number('query.rows')::bigint) g
    ), tied AS (
        SELECT r.flag, r.environment, g.variant, g.value, g.exposure, g.at
        FROM given g JOIN flagscope.rollout r ON r.id = ANY (rollouts) AND g.variant IN (r.treatment, r.control)
        UNION ALL
        SELECT r.flag, r.environment, CASE WHEN u.treated_at <= g.at THEN r.treatment ELSE u.variant END, g.value, g.exposure, g.at
        FROM given g
            JOIN flagscope.unit u ON u.rollout_id = ANY (rollouts) AND u.first_seen <= g.at
                AND (m.conversion_window IS NULL OR g.at < u.first_seen + m.conversion_window)
                AND u.subject = CASE WHEN octet_length(g.subject) > 255 THEN md5(g.subject) ELSE g.subject END
            JOIN flagscope.rollout r ON r.id = u.rollout_id
        WHERE g.variant IS NULL
    ), state AS (
        SELECT t.flag, t.environment, t.variant, flagscope._bucket_of(t.at) AS bucket, max(t.at) AS last_ts, count(*) AS rows,
            count(*) FILTER (WHERE abs(t.value) < 'Infinity') AS valid,
            count(*) FILTER (WHERE abs(t.value) < 'Infinity' AND t.value <> 0) AS hits,
            coalesce(sum(t.value) FILTER (WHERE t.value >= 0 AND t.value < 1e15 AND t.value = trunc(t.value)), 0)::bigint AS total,
            CASE m.kind
                WHEN 'mean' THEN flagscope.moments(CASE WHEN NOT abs(t.value) < 'Infinity' OR t.value IS NULL THEN 'NaN' WHEN m.cap IS NULL THEN t.value
                    ELSE least(greatest(t.value, 0), m.cap) END)
                WHEN 'rate' THEN flagscope.moments(CASE WHEN t.exposure >= 0 THEN t.exposure ELSE 'NaN' END) END AS moments,
            CASE m.kind WHEN 'quantile' THEN flagscope.histogram(coalesce(t.value, 'NaN')) END AS histogram
        FROM tied t GROUP BY 1, 2, 3, 4
    ), written AS (
        INSERT INTO flagscope.variant_delta (flag, environment, variant, metric, bucket, n, events, moments, histogram, last_ts)
        SELECT s.flag, s.environment, s.variant, m.name, s.bucket, CASE m.kind WHEN 'rate' THEN flagscope.count(s.moments) ELSE s.valid END,
            CASE m.kind WHEN 'proportion' THEN s.hits WHEN 'rate' THEN s.total ELSE 0 END, s.moments, s.histogram, s.last_ts
        FROM state s
    )
    SELECT (SELECT count(*) FROM given), coalesce((SELECT sum(s.rows) FROM state s), 0)::bigint;
$$;
COMMENT ON FUNCTION flagscope._count_query(flagscope.metric, bigint[], timestamptz, timestamptz) IS
    'runs a metric''s query over a range and writes its rows as deltas of the rollouts whose units they are about; returns how many rows there were and how many counted';

CREATE FUNCTION flagscope._run_query(m flagscope.metric, rollouts bigint[], since timestamptz, at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- After a pause, and after each failure, in smaller parts: a range that only grew would never fit its limits again.
    part interval := greatest(interval '1 minute' / 2 ^ coalesce((SELECT least(q.failures, 6) FROM flagscope.metric_run q WHERE q.metric = m.name), 0), interval '1 second');
    until timestamptz := least(at - flagscope._setting_interval('query.delay'), since + part);
    run record;
BEGIN
    SELECT * INTO run FROM flagscope._count_query(m, rollouts, since, until);
    INSERT INTO flagscope.metric_run AS q (metric, until, run_at, given, counted) VALUES (m.name, until, at, run.given, run.counted)
    ON CONFLICT (metric) DO UPDATE SET until = excluded.until, run_at = excluded.run_at, given = excluded.given, counted = excluded.counted,
        failures = 0, retry_at = NULL, problem = NULL;
EXCEPTION WHEN assert_failure OR OTHERS THEN
    INSERT INTO flagscope.metric_run AS q (metric, until, run_at, failures, retry_at, problem)
    VALUES (m.name, since, at, 1, at + flagscope._setting_interval('guardrail.retry_after'), format('the query of metric "%s" failed: %s', m.name, SQLERRM))
    ON CONFLICT (metric) DO UPDATE SET until = excluded.until, run_at = excluded.run_at, failures = q.failures + 1, problem = excluded.problem,
        retry_at = at + flagscope._setting_interval('guardrail.retry_after') * (2 ^ least(q.failures, 5));
END $$;
COMMENT ON FUNCTION flagscope._run_query(flagscope.metric, bigint[], timestamptz, timestamptz) IS
    'counts the rows of a metric''s query up to now less query.delay; what fails is noted, and the range is read again later and later';

CREATE FUNCTION flagscope._run_queries(at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    started timestamptz := clock_timestamp();
    work record;
BEGIN
    IF NOT EXISTS (SELECT FROM flagscope.metric m WHERE m.query IS NOT NULL) THEN
        RETURN;
    END IF;
    FOR work IN
        SELECT m, x.rollouts, x.since
        FROM flagscope.metric m LEFT JOIN flagscope.metric_run q ON q.metric = m.name CROSS JOIN LATERAL (
            -- Where the last run ended, also when evidence has begun anew since; or with the evidence.
            SELECT array_agg(DISTINCT r.id) AS rollouts, CASE WHEN q.until >= min(r.started_at) THEN q.until ELSE greatest(q.until, min(s.since)) END AS since FROM flagscope.guardrail g
                JOIN flagscope.rollout r ON r.flag = g.flag AND r.environment = g.environment AND flagscope._is_watched(r, at)
                JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id AND s.rollout_id = r.id
            WHERE g.metric = m.name AND g.enabled) x
        WHERE m.query IS NOT NULL AND x.rollouts IS NOT NULL AND x.since < at - flagscope._setting_interval('query.delay')
            -- A clock that was set back is no reason to wait.
            AND (q.run_at IS NULL OR q.run_at > at OR at >= coalesce(q.retry_at, q.run_at + flagscope._setting_interval('query.interval')))
        ORDER BY q.run_at NULLS FIRST, m.name
    LOOP
        PERFORM flagscope._run_query(work.m, work.rollouts, work.since, at);
        EXIT WHEN clock_timestamp() > started + flagscope._setting_interval('query.timeout');
    END LOOP;
END $$;
COMMENT ON FUNCTION flagscope._run_queries(timestamptz) IS
    'runs the queries of metrics that guardrails of live rollouts read and that are due, each in a subtransaction; those that the tick has no time for are first in the next';
