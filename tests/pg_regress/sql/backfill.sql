-- A metric put on watch later is rolled up by slices as short as its rows are many: whatever comes, is settled or is
-- past its retention meanwhile, each row counts once.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SET client_min_messages = warning;
SET timezone = 'UTC';
\set now '2030-01-02 12:00:05+00'
SELECT flagscope.create_flag('f'),
    flagscope.create_metric('errors', 'proportion', 'span', event => '{"is_error": true}'),
    flagscope.create_metric('latency', 'mean', 'span', cap => 1000);
-- Rollups by ten seconds are kept for an hour, and the backfill reaches further.
SELECT flagscope.set_setting('rollup.fine.retention', '"1 hour"'),
    flagscope.set_setting('rollup.backfill', '"3 hours"');
-- A row a second, of the last minutes and of two hours ago.
CREATE FUNCTION pg_temp.send(since timestamptz, seconds integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, flags)
    SELECT since + n * interval '1 second', 'span', 'req', n, n % 10 = 0,
        jsonb_build_object('f', CASE n % 2 WHEN 0 THEN 'on' ELSE 'off' END)
    FROM generate_series(0, seconds - 1) n;
$$;
SELECT pg_temp.send(:'now'::timestamptz - interval '2 hours 12 minutes', 720),
    pg_temp.send(:'now'::timestamptz - interval '14 minutes', 840);
SELECT flagscope.create_guardrail('f', 'errors') > 0 AS errors,
    flagscope.create_guardrail('f', 'latency') > 0 AS latency;
-- Slice by slice, with a step of 40 seconds whatever they take; among them rows come, buckets are settled, old ones go.
CREATE TEMP TABLE slice (n integer GENERATED ALWAYS AS IDENTITY, since timestamptz, reached timestamptz);
DO $$
DECLARE
    now constant timestamptz := '2030-01-02 12:00:05+00';
BEGIN
    FOR turn IN 1..2000 LOOP
        UPDATE _flagscope.watch SET step = '40 seconds';
        EXIT WHEN NOT _flagscope.backfill(now, '-infinity');
        INSERT INTO slice (since, reached) SELECT w.since, w.reached FROM _flagscope.watch w WHERE w.metric = 'errors';
        IF turn IN (2, 9, 20, 200) THEN
            PERFORM pg_temp.send(now - interval '5 minutes' * turn, 60);
        END IF;
        IF turn % 3 = 0 THEN
            PERFORM _flagscope.consume_lanes(now, 'infinity'),
                _flagscope.settle_until(now - interval '30 seconds', 'infinity');
        END IF;
        IF turn % 5 = 0 THEN
            PERFORM _flagscope.forget_rollups(now + turn * interval '1 second', 'infinity');
        END IF;
    END LOOP;
END $$;
SELECT count(*) > 200 AS many_slices, count(*) FILTER (WHERE reached IS NULL) AS whole_ten_minutes,
    max(since - reached) AS deepest,
    bool_and(reached IS NULL
        OR reached > since - interval '10 minutes') FILTER (WHERE since IS NOT NULL) AS within_ten_minutes
FROM slice;
SELECT metric, since, target, reached FROM _flagscope.watch ORDER BY metric;
SELECT flagscope.maintain(:'now');
-- Everything is there once, at each level.
SELECT count(*) AS differences FROM flagscope.verify_rollup('-infinity');
SELECT h.metric, h.variant, sum(h.n) AS n, sum(h.events) AS events
FROM flagscope.variant_history h WHERE h.bucket_width = interval '10 minutes' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT flags ->> 'f' AS variant, count(*) AS n, count(*) FILTER (WHERE is_error) AS events
FROM flagscope.telemetry GROUP BY 1 ORDER BY 1;
SELECT _flagscope.forget_rollups(:'now'::timestamptz + interval '20 minutes', 'infinity') AS waits;
SELECT count(*) > 0 AS some, bool_and(bucket >= timestamptz '2030-01-02 11:20:00+00') AS as_long_as_kept
FROM flagscope.variant_rollup WHERE settled;
-- The step follows the time that slices take, from a bucket to ten minutes.
SELECT step, took, _flagscope.next_step(step, took, 0)
FROM (VALUES (1, interval '10 seconds', interval '1 millisecond'), (2, '10 seconds', '50 milliseconds'),
    (3, '10 seconds', '10 seconds'),
    (4, '5 minutes', '1 millisecond'), (5, '10 minutes', '100 milliseconds'), (6, '10 minutes', '1 minute'),
    (7, '1 minute', '0')) x(n, step, took)
ORDER BY n;
