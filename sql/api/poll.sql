-- Metrics that the tick counts: queries, and telemetry with a conversion window. Deltas and the end of the range commit
-- together: no row of a range is counted twice, and a range that failed is read once more. What comes later than
-- query.delay is not seen: no row, and no exposure either.

CREATE FUNCTION _flagscope.count_due(due _flagscope.due_metric[], until timestamptz) RETURNS TABLE (metric text, given bigint, counted bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    d _flagscope.due_metric := due[1];
BEGIN
    IF (d.metric).query IS NULL THEN
        RETURN QUERY SELECT * FROM _flagscope.count_windows(due, d.since, until);
    ELSE
        RETURN QUERY SELECT (d.metric).name, c.given, c.counted FROM _flagscope.count_query(d.metric, d.rollouts, d.since, until) c;
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.count_due(_flagscope.due_metric[], timestamptz) IS
    'counts one query, or metrics with a conversion window, from where they stand; returns how many rows there were and how many counted';

CREATE FUNCTION _flagscope.poll(due _flagscope.due_metric[], at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    d _flagscope.due_metric := due[1];
    -- After a pause, and after each failure, in smaller parts: a range that only grew would never fit its limits again.
    part interval := greatest(interval '1 minute' / 2 ^ least(d.failures, 6), interval '1 second');
    until timestamptz := least(at - _flagscope.setting_interval('query.delay'), d.since + part);
    alone boolean := cardinality(due) = 1;
    behind boolean := until < at - _flagscope.setting_interval('query.delay');
BEGIN
    -- What is behind goes on at the next tick, in parts of a size that was not too much.
    INSERT INTO flagscope.metric_run AS q (metric, until, run_at, given, counted, retry_at)
    SELECT c.metric, until, at, c.given, c.counted, CASE WHEN behind THEN at END FROM _flagscope.count_due(due, until) c
    ON CONFLICT (metric) DO UPDATE SET until = excluded.until, run_at = excluded.run_at, given = excluded.given, counted = excluded.counted,
        failures = CASE WHEN behind THEN greatest(q.failures - 1, 0) ELSE 0 END, retry_at = excluded.retry_at, problem = NULL;
EXCEPTION WHEN assert_failure OR OTHERS THEN
    -- Of several each is tried by itself at the next tick: what one cannot do is not the others' failure.
    INSERT INTO flagscope.metric_run AS q (metric, until, run_at, failures, retry_at, problem)
    SELECT (x.metric).name, x.since, at, 1, CASE WHEN alone THEN at + _flagscope.setting_interval('guardrail.retry_after') ELSE at END,
        CASE WHEN alone THEN _flagscope.message(CASE WHEN (x.metric).query IS NULL THEN 'metric "%s" could not be counted: %s' ELSE 'the query of metric "%s" failed: %s' END, (x.metric).name, SQLERRM) END
    FROM unnest(due) x
    ON CONFLICT (metric) DO UPDATE SET until = excluded.until, run_at = excluded.run_at, failures = q.failures + 1, problem = excluded.problem,
        retry_at = CASE WHEN alone THEN at + _flagscope.setting_interval('guardrail.retry_after') * CASE WHEN q.problem IS NULL THEN 1 ELSE 2 ^ least(q.failures, 5) END ELSE at END;
END $$;
COMMENT ON FUNCTION _flagscope.poll(_flagscope.due_metric[], timestamptz) IS
    'counts metrics that stand at the same time, up to now less query.delay or a minute of it; what fails is noted, and the range is read again later and later';

CREATE FUNCTION _flagscope.due_metrics(at timestamptz) RETURNS SETOF _flagscope.due_metric[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_agg(ROW(m, x.rollouts, x.since, coalesce(q.failures, 0))::_flagscope.due_metric ORDER BY m.name)
    FROM flagscope.metric_definition m LEFT JOIN flagscope.metric_run q ON q.metric = m.name CROSS JOIN LATERAL (
        -- Where the last run ended, also when evidence has begun anew since; or with the evidence.
        SELECT array_agg(DISTINCT r.id) AS rollouts, CASE WHEN q.until >= min(r.started_at) THEN q.until ELSE greatest(q.until, min(s.since)) END AS since FROM flagscope.guardrail g
            JOIN flagscope.rollout r ON r.flag = g.flag AND r.environment = g.environment AND _flagscope.is_watched(r, at)
            JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id AND s.rollout_id = r.id
        WHERE g.metric = m.name AND g.enabled) x
    WHERE _flagscope.is_polled(m) AND x.rollouts IS NOT NULL AND x.since < at - _flagscope.setting_interval('query.delay')
        -- A clock that was set back is no reason to wait.
        AND (q.run_at IS NULL OR q.run_at > at OR at >= coalesce(q.retry_at, q.run_at + _flagscope.setting_interval('query.interval')))
    -- Together what reads the same range of telemetry; a query is alone, and so is what failed.
    GROUP BY x.since, CASE WHEN m.query IS NOT NULL OR q.failures > 0 THEN m.name END
    ORDER BY min(coalesce(q.run_at, '-infinity')), min(m.name);
$$;
COMMENT ON FUNCTION _flagscope.due_metrics(timestamptz) IS
    'the metrics that a tick has to count, read by guardrails of watched rollouts: those that can be counted together in one array, longest waiting first';

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
    'part of tick(): counts the metrics that are due, each reading in a subtransaction; those that the tick has no time for are first in the next';
