-- What happened together is compared, not what arrived together: arms that come apart, processes that serve both,
-- changes of the share, late data, a stop of the ticks.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never

-- Spans of one arm, spread over the seconds from one time to before another.
CREATE FUNCTION pg_temp.spans(variant text, since time, until time, n integer, errors integer,
    instance text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, flags, is_error, instance)
    SELECT '2040-01-02'::date + since + (until - since) * (i - 1) / n, 'span', 'pay',
        jsonb_build_object('shop', variant), i <= errors, instance
    FROM generate_series(1, n) i;
$$;
-- A tick: the strata that it compared, and what waits after it.
CREATE FUNCTION pg_temp.tick(at time)
RETURNS TABLE (n_treatment bigint, n_control bigint, events text, waiting text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM flagscope.tick('2040-01-02'::date + at);
    RETURN QUERY SELECT e.n_treatment, e.n_control, format('%s/%s', e.events_treatment[1], e.events_control[1]),
        (SELECT string_agg(format('%s %s', w.bucket::time, CASE WHEN w.treated THEN w.n || '/' ELSE '/' || w.n END),
            ', ' ORDER BY w.bucket, w.treated DESC) FROM _flagscope.waiting_stratum w)
    FROM (SELECT) x LEFT JOIN flagscope.evaluation e ON e.at = '2040-01-02'::date + tick.at AND e.n_treatment > 0
    ORDER BY e.stratum;
END $$;
SELECT flagscope.create_flag('shop');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_guardrail('shop', 'errors', min_sample => 0, stale_after => '1 hour');
SELECT flagscope.create_rollout('shop', stages => ARRAY[50, 80, 100], min_duration => '10 days');
SELECT flagscope.start_rollout(1, at => '2040-01-02 12:00:05') > 0 AS started;

-- Two processes, an arm each: neither is compared before both are known to be there, here 5 s behind what was seen last
-- and a second more. What happened before the start, in the same bucket, is not the rollout's.
SELECT pg_temp.spans('on', '12:00:03', '12:00:15', 120, 12, 'canary');
SELECT * FROM pg_temp.tick('12:00:16');
SELECT pg_temp.spans('off', '12:00:00', '12:00:17', 170, 17, 'stable');
SELECT * FROM pg_temp.tick('12:00:17');
SELECT pg_temp.spans('on', '12:00:15', '12:00:20', 50, 0, 'canary');
SELECT pg_temp.spans('off', '12:00:17', '12:00:22', 50, 0, 'stable');
SELECT * FROM pg_temp.tick('12:00:22');
-- Late rows are a further stratum of their bucket, once both arms have some.
SELECT pg_temp.spans('on', '12:00:05', '12:00:10', 3, 1, 'another canary');
SELECT * FROM pg_temp.tick('12:00:23');
SELECT pg_temp.spans('off', '12:00:05', '12:00:10', 4, 0, 'another stable');
SELECT * FROM pg_temp.tick('12:00:24');
-- The lag that was seen is waited for: 15 s behind the treatment's latest row.
SELECT since::time, width, latest[1]::time, latest[2]::time, round(lag[1]::numeric, 1) AS lag_treatment,
    round(lag[2]::numeric, 1) AS lag_control FROM _flagscope.pairing;

-- A Collector sends both in one statement: they are two processes all the same. Without names a transaction is one
-- client.
BEGIN;
SELECT pg_temp.spans('on', '12:00:20', '12:00:25', 50, 2, 'canary');
SELECT pg_temp.spans('off', '12:00:20', '12:00:25', 50, 2, 'stable');
SELECT pg_temp.spans('on', '12:00:20', '12:00:25', 7, 2);
SELECT pg_temp.spans('off', '12:00:20', '12:00:25', 8, 2);
COMMIT;
SELECT * FROM pg_temp.tick('12:00:25');
SELECT pg_temp.spans('on', '12:00:25', '12:00:26', 9, 2);
SELECT pg_temp.spans('off', '12:00:25', '12:00:26', 9, 2);
SELECT * FROM pg_temp.tick('12:00:26');
-- In the end a minute is enough, whoever is silent.
SELECT * FROM pg_temp.tick('12:01:40');

-- A process that serves both arms is known by what it sent before. Then its rows wait no more.
SELECT pg_temp.spans('on', '12:02:00', '12:02:05', 50, 1, 'pod'),
    pg_temp.spans('off', '12:02:00', '12:02:05', 50, 1, 'pod');
SELECT * FROM pg_temp.tick('12:02:05');
SELECT pg_temp.spans('on', '12:02:10', '12:02:15', 51, 1, 'pod'),
    pg_temp.spans('off', '12:02:10', '12:02:15', 52, 1, 'pod');
SELECT * FROM pg_temp.tick('12:02:15');
SELECT instance, n_treatment, n_control, expected, _flagscope.is_shared(n_treatment, n_control, expected)
FROM _flagscope.source ORDER BY 1;

-- No stratum has two shares: the bucket in which the next stage begins is cut there.
SELECT flagscope.advance_rollout(1, reason => 'by hand', actor => 'ann', at => '2040-01-02 12:03:04') > 0 AS advanced;
SELECT pg_temp.spans('on', '12:03:00', '12:03:10', 100, 1), pg_temp.spans('off', '12:03:00', '12:03:10', 100, 1);
SELECT * FROM pg_temp.tick('12:03:10');
SELECT stage_treatment FROM flagscope.guardrail_status;

-- After a stop of the ticks, bucket by bucket.
SELECT pg_temp.spans('on', '12:04:00', '12:09:00', 3000, 30), pg_temp.spans('off', '12:04:00', '12:09:00', 3000, 30);
SELECT (flagscope.tick('2040-01-02 13:00')).guardrails;
SELECT count(*), min(n_treatment), max(n_treatment), min(n_control), max(n_control)
FROM flagscope.evaluation WHERE at = '2040-01-02 13:00';

-- What never finds its other half is told.
SELECT pg_temp.spans('on', '13:00:00', '13:00:10', 5000, 50, 'canary');
SELECT * FROM pg_temp.tick('13:00:11');
SELECT * FROM pg_temp.tick('13:01:11');
SELECT alone_treatment, alone_control FROM _flagscope.pairing;
SELECT * FROM flagscope.status() WHERE item LIKE 'guardrail%';

-- The evidence is the sum of its strata, and comes out again.
SELECT (SELECT array_agg(round(b.log_e::numeric, 9))
        FROM flagscope.backtest_guardrail(1, '2040-01-02', '2040-01-03') b WHERE b.n_treatment > 0)
    = array_agg(round(e.log_e::numeric, 9) ORDER BY e.stratum) AS same, count(*)
FROM flagscope.evaluation e WHERE e.n_treatment > 0;

-- At 100 % no control is left: the treatment's data counts alone.
SELECT flagscope.advance_rollout(1, reason => 'by hand', actor => 'ann', at => '2040-01-02 13:02') > 0 AS advanced;
SELECT pg_temp.spans('on', '13:02:00', '13:02:05', 60, 0, 'canary');
SELECT * FROM pg_temp.tick('13:02:06');
SELECT stage_treatment FROM flagscope.guardrail_status;

-- A new rollout inherits nothing of the last one's rows of the same ten seconds, whenever they come: with 12 rows a
-- second of each arm from 13:04:00 to 13:04:10, the 60 after its start at 13:04:05 are its own.
SELECT flagscope.rollback_rollout(1, at => '2040-01-02 13:04:03') > 0 AS over;
SELECT flagscope.create_rollout('shop', stages => ARRAY[50, 100], min_duration => '10 days') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-02 13:04:05') > 0 AS started;
SELECT pg_temp.spans('on', '13:04:00', '13:04:10', 120, 60, 'pod'),
    pg_temp.spans('off', '13:04:00', '13:04:10', 120, 0, 'pod');
SELECT * FROM pg_temp.tick('13:04:20');
SELECT * FROM pg_temp.tick('13:05:20');
SELECT n_treatment, n_control, (evidence IS NULL) AS nothing_yet FROM flagscope.guardrail_status
WHERE rollout_id = :id;
