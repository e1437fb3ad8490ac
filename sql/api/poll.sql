-- Metrics that are counted by the tick: queries, and telemetry with a conversion window. Deltas and the end of the
-- range commit together: no row of a range is counted twice, and a failed range is read again. Rows and exposures that
-- arrive later than query.delay are not counted.

CREATE FUNCTION _flagscope.count_due(due _flagscope.due_metric[], until timestamptz)
RETURNS TABLE (metric text, given bigint, counted bigint, problem text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    d _flagscope.due_metric := due[1];
BEGIN
    IF (d.metric).per_unit THEN
        RETURN QUERY SELECT * FROM _flagscope.count_units(due, d.since, until);
    ELSIF (d.metric).query IS NULL THEN
        RETURN QUERY SELECT w.*, NULL::text FROM _flagscope.count_windows(due, d.since, until) w;
    ELSE
        RETURN QUERY SELECT (d.metric).name, c.given, c.counted, NULL::text
            FROM _flagscope.count_query(d.metric, d.rollouts, d.since, until) c;
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.count_due(_flagscope.due_metric[], timestamptz) IS
    'counts one query, metrics with a conversion window or metrics by unit, from where the last run ended; '
    'returns how many rows there were, how many counted, and what is wrong with them';

CREATE FUNCTION _flagscope.poll(due _flagscope.due_metric[], at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    d _flagscope.due_metric := due[1];
    -- In smaller ranges after a pause and after each failure: a growing range would never fit the limits again.
    part interval := greatest(interval '1 minute' / 2 ^ least(d.failures, 6), interval '1 second');
    until timestamptz := least(at - _flagscope.setting_interval('query.delay'), d.since + part);
    alone boolean := cardinality(due) = 1;
    behind boolean := until < at - _flagscope.setting_interval('query.delay');
BEGIN
    -- If it lags behind, continue at the next tick, with a range of a size that succeeded.
    INSERT INTO flagscope.metric_run AS q (metric, until, run_at, given, counted, retry_at, problem)
    SELECT c.metric, until, at, c.given, c.counted, CASE WHEN behind THEN at END, c.problem
    FROM _flagscope.count_due(due, until) c
    ON CONFLICT (metric)
        DO UPDATE SET until = excluded.until, run_at = excluded.run_at, given = excluded.given,
        counted = excluded.counted, failures = CASE WHEN behind THEN greatest(q.failures - 1, 0) ELSE 0 END,
        retry_at = excluded.retry_at, problem = excluded.problem;
EXCEPTION WHEN assert_failure OR OTHERS THEN
    -- After a batch fails, retry each metric alone.
    INSERT INTO flagscope.metric_run AS q (metric, until, run_at, failures, retry_at, problem)
    SELECT (x.metric).name, x.since, at, 1,
        CASE WHEN alone THEN at + _flagscope.setting_interval('guardrail.retry_after') ELSE at END,
        CASE WHEN alone THEN
            _flagscope.message(CASE WHEN (x.metric).query IS NULL THEN 'metric "%s" could not be counted: %s'
                    ELSE 'the query of metric "%s" failed: %s' END,
                (x.metric).name, SQLERRM) END
    FROM unnest(due) x
    ON CONFLICT (metric)
        DO UPDATE SET until = excluded.until, run_at = excluded.run_at, failures = q.failures + 1,
        problem = excluded.problem,
        retry_at = CASE
            WHEN alone THEN at
                + _flagscope.setting_interval('guardrail.retry_after')
                * CASE WHEN q.problem IS NULL THEN 1 ELSE 2 ^ least(q.failures, 5) END
            ELSE at END;
END $$;
COMMENT ON FUNCTION _flagscope.poll(_flagscope.due_metric[], timestamptz) IS
    'counts metrics that have been counted up to the same time, until query.delay ago but at most a minute; '
    'a failure is noted, and the range is retried with increasing delays';

CREATE FUNCTION _flagscope.due_metrics(at timestamptz) RETURNS SETOF _flagscope.due_metric[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_agg(ROW(m, x.rollouts, x.since, coalesce(q.failures, 0))::_flagscope.due_metric ORDER BY m.name)
    FROM flagscope.metric_definition m LEFT JOIN flagscope.metric_run q ON q.metric = m.name CROSS JOIN LATERAL (
        -- Begin where the last run ended, even if evidence has restarted since; else where the evidence begins.
        SELECT array_agg(DISTINCT r.id) AS rollouts,
            CASE WHEN q.until >= min(r.started_at) THEN q.until ELSE greatest(q.until, min(s.since)) END AS since
        FROM flagscope.guardrail g
            JOIN flagscope.rollout r
                ON r.flag = g.flag AND r.environment = g.environment AND _flagscope.is_watched(r, at)
            JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id AND s.rollout_id = r.id
        WHERE g.metric = m.name AND g.enabled) x
    WHERE _flagscope.is_polled(m) AND x.rollouts IS NOT NULL
        AND x.since < at - _flagscope.setting_interval('query.delay')
        -- After the clock was set back, do not wait for it to catch up.
        AND (q.run_at IS NULL OR q.run_at > at
            OR at >= coalesce(q.retry_at, q.run_at + _flagscope.setting_interval('query.interval')))
    -- Metrics that read the same range of telemetry are counted together; queries, and metrics that failed, alone.
    GROUP BY x.since, m.per_unit, CASE WHEN m.query IS NOT NULL OR q.failures > 0 THEN m.name END
    ORDER BY min(coalesce(q.run_at, '-infinity')), min(m.name);
$$;
COMMENT ON FUNCTION _flagscope.due_metrics(timestamptz) IS
    'the metrics that a tick must count for guardrails of live and watched rollouts: in arrays that can be counted '
    'together, longest waiting first';

CREATE FUNCTION _flagscope.poll_metrics(at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    started timestamptz := clock_timestamp();
    due _flagscope.due_metric[];
BEGIN
    IF NOT EXISTS (SELECT FROM flagscope.metric_definition m WHERE _flagscope.is_polled(m)) THEN
        RETURN;
    END IF;
    FOR due IN SELECT * FROM _flagscope.due_metrics(at) LOOP
        PERFORM _flagscope.poll(due, at);
        EXIT WHEN clock_timestamp() > started + _flagscope.setting_interval('query.timeout');
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.poll_metrics(timestamptz) IS
    'part of tick(): counts the metrics that are due, each reading in a subtransaction; those that do not fit the '
    'budget come first in the next tick';
