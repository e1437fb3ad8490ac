-- Rollups against raw rows: verify_rollup() finds every difference, rebuild_rollup() mends it, metrics put on watch
-- later are backfilled, and the levels of 10 seconds, 10 minutes and 1 day agree. Clock pinned.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET client_min_messages = warning;  -- on a slow machine it tells how far it is

SELECT flagscope.create_flag('cart');
SELECT flagscope.create_environment('staging', aliases => '{stage}');
SELECT flagscope.create_metric('share', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_metric('amount', 'mean', 'event', '{"name": "order"}');
SELECT flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}');
SELECT flagscope.create_guardrail('cart', 'share') IS NOT NULL AS made;

-- Half an hour of traffic before two more metrics are put on watch.
CREATE FUNCTION pg_temp.traffic(since timestamptz, seconds integer, each integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, environment, flags)
    SELECT since + i * interval '1 s' / each, s.signal::flagscope.signal, s.name,
        CASE WHEN i % 97 = 0 THEN NULL WHEN i % 89 = 0 THEN 'NaN' ELSE exp(sin(i) * 3) END, i % 11 = 0,
        (ARRAY['production', 'prod', 'staging', 'stage', 'mars'])[1 + i % 5],
        (ARRAY['{"cart": "on"}', '{"cart": "off"}', '{"cart": "no variant"}', '{"x": "on"}', NULL])[1
            + i % 7 % 5]::jsonb
    FROM generate_series(0, seconds * each - 1) i, (VALUES ('span', 'pay'), ('event', 'order')) s(signal, name);
$$;
SELECT flagscope.tick('2040-03-01 09:00') IS NOT NULL AS ticked;
SELECT pg_temp.traffic('2040-03-01 09:00', 1800, 5);
SELECT flagscope.tick('2040-03-01 09:30') IS NOT NULL AS ticked;
SELECT count(flagscope.maintain('2040-03-01 09:30')) FROM generate_series(1, 9);
SELECT flag, environment, metric, since FROM _flagscope.watch;
SELECT * FROM flagscope.verify_rollup('2040-03-01 08:00');
SELECT flagscope.create_guardrail('cart', 'amount', limit_value => 1e6) IS NOT NULL
    AND flagscope.create_guardrail('cart', 'duration') IS NOT NULL
    AND flagscope.create_guardrail('cart', 'amount', environment => 'staging', limit_value => 1e6) IS NOT NULL AS made;
-- Rows that come before the backfill are folded live and counted once; so are those of a tick.
SELECT pg_temp.traffic('2040-03-01 09:30', 300, 5);
SELECT environment, metric, sum(n) FROM _flagscope.variant_state GROUP BY 1, 2 ORDER BY 1, 2;
SELECT environment, metric, since, target, barrier IS NOT NULL AS barrier FROM _flagscope.watch ORDER BY 1, 2;
-- No other transaction is open, so the first run may begin: ten minutes at a time, newest first, an hour back.
SELECT flagscope.maintain('2040-03-01 09:36') IS NOT NULL AS maintained;
SELECT environment, metric, since IS NOT NULL AS begun, barrier IS NOT NULL AS barrier
FROM _flagscope.watch ORDER BY 1, 2;
SELECT count(flagscope.maintain('2040-03-01 09:36')) FROM generate_series(1, 9);
SELECT environment, metric, since, target FROM _flagscope.watch ORDER BY 1, 2;
SELECT * FROM flagscope.verify_rollup('2040-03-01 08:00');
SELECT environment, metric, sum(n) AS n,
    (SELECT count(*) FROM flagscope.telemetry t WHERE t.flags ->> 'cart' IN ('on', 'off')
            AND (t.name = 'order') = (s.metric = 'amount') AND (s.metric = 'share' OR t.value <> 'NaN')
            AND t.environment
                = ANY (CASE s.environment WHEN 'staging' THEN '{staging,stage}'
                    ELSE '{production,prod}' END::text[])) AS by_hand
FROM _flagscope.variant_state s GROUP BY 1, 2 ORDER BY 1, 2;
-- What was backfilled is no evidence; what came since is still in the deltas, marked.
SELECT environment, metric, rolled_up, sum(n) FROM _flagscope.variant_delta GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT strata FROM flagscope.tick('2040-03-01 09:36:01');
SELECT * FROM flagscope.verify_rollup('2040-03-01 08:00');

-- Every kind of damage is found, and mended.
CREATE TEMP VIEW found AS
SELECT bucket_width, environment, metric, variant, bucket, n_raw, n_rollup, difference
FROM flagscope.verify_rollup('2040-03-01 08:00', '2040-03-01 10:00') ORDER BY 1, 2, 3, 4, 5;
UPDATE flagscope.variant_rollup
SET n = n + 1 WHERE metric = 'share' AND variant = 'on' AND bucket = '2040-03-01 09:00:10';
UPDATE flagscope.variant_rollup
SET events = events - 1 WHERE metric = 'share' AND variant = 'off' AND bucket = '2040-03-01 09:00:20';
DELETE FROM flagscope.variant_rollup WHERE metric = 'duration' AND variant = 'on' AND bucket = '2040-03-01 09:10:10';
UPDATE flagscope.variant_rollup r SET moments = flagscope.merge(r.moments, r.moments)
WHERE metric = 'amount' AND variant = 'on' AND environment = 'staging' AND bucket = '2040-03-01 09:20:10';
UPDATE flagscope.variant_rollup r SET histogram = o.histogram
FROM flagscope.variant_rollup o WHERE r.metric = 'duration' AND r.variant = 'off' AND r.bucket = '2040-03-01 09:00:00'
    AND (o.flag, o.environment, o.metric, o.variant, o.bucket)
        = (r.flag, r.environment, r.metric, r.variant, r.bucket + interval '10 s');
INSERT INTO flagscope.variant_rollup
SELECT flag, environment, variant, metric, '2040-03-01 08:00', n, events, moments, histogram, last_ts, true
FROM flagscope.variant_rollup WHERE metric = 'share' AND variant = 'on' AND bucket = '2040-03-01 09:00:00';
UPDATE flagscope.variant_history SET n = n + 7 WHERE metric = 'share' AND variant = 'on';
SELECT * FROM found;
SELECT flagscope.rebuild_rollup('2040-03-01 09:00', '2040-03-01 09:30') > 0 AS rebuilt;
SELECT * FROM found;
SELECT flagscope.rebuild_rollup('2040-03-01 08:00', '2040-03-01 10:00') > 0 AS rebuilt;
SELECT * FROM found;

-- Late rows open a bucket again; it is settled again, at every level.
SELECT pg_temp.traffic('2040-03-01 09:05', 3, 50);
SELECT * FROM found;
SELECT flagscope.tick('2040-03-01 09:36:30') IS NOT NULL AS ticked;
SELECT settled, count(*) FROM flagscope.variant_rollup WHERE bucket = '2040-03-01 09:05:00' GROUP BY 1 ORDER BY 1;
SELECT count(flagscope.maintain('2040-03-01 09:41'));
SELECT settled, count(*) FROM flagscope.variant_rollup WHERE bucket = '2040-03-01 09:05:00' GROUP BY 1 ORDER BY 1;
SELECT * FROM found;

-- A new variant and a new alias: rows that count only now are rolled up.
INSERT INTO flagscope.telemetry (ts, signal, name, environment, flags)
VALUES ('2040-03-01 09:41', 'span', 'pay', 'live', '{"cart": "on"}');
UPDATE flagscope.environment_definition SET aliases = aliases || '{live}' WHERE key = 'production';
SELECT environment, metric, since FROM _flagscope.watch ORDER BY 1, 2;
SELECT count(flagscope.maintain('2040-03-01 09:42')) FROM generate_series(1, 10);
SELECT count(flagscope.maintain('2040-03-01 09:42')) FROM generate_series(1, 10);
SELECT environment, metric, since FROM _flagscope.watch ORDER BY 1, 2;
SELECT n FROM _flagscope.variant_state WHERE bucket = '2040-03-01 09:41' AND metric = 'share';
SELECT * FROM found;
-- A guardrail switched off takes its watch along, and back on.
UPDATE flagscope.guardrail SET enabled = false WHERE metric = 'amount';
SELECT environment, metric FROM _flagscope.watch ORDER BY 1, 2;
UPDATE flagscope.guardrail SET enabled = true WHERE metric = 'amount';
SELECT environment, metric, since FROM _flagscope.watch ORDER BY 1, 2;

-- Whatever level answers, the sum is the same, for any range: against the 10 seconds alone.
SELECT flagscope.set_setting('rollup.fine.retention', '"10 days"');
SELECT flagscope.rebuild_rollup('-infinity') > 0 AS rebuilt;
SELECT pg_temp.traffic('2040-03-03 23:58', 240, 1), pg_temp.traffic('2040-03-02 00:00', 60, 1);
SELECT flagscope.confirm_time('2040-03-04 00:05');
SELECT count(flagscope.tick('2040-03-04 00:05')), count(flagscope.maintain('2040-03-04 00:05'))
FROM generate_series(1, 2);
SELECT pg_temp.traffic('2040-03-04 00:01', 60, 1);
SELECT count(*) AS ranges,
    bool_and(w.n IS NOT DISTINCT FROM f.n AND w.events IS NOT DISTINCT FROM f.events
        AND w.count IS NOT DISTINCT FROM f.count) AS same
FROM (VALUES ('2040-03-01 00:00', '2040-03-04 00:05'), ('2040-03-01 09:00', '2040-03-01 09:09:50'),
    ('2040-03-01 09:03:20', '2040-03-01 09:37:30'), ('2040-03-01 09:04:50', '2040-03-01 09:05:00'),
    ('2040-03-01 23:59:50', '2040-03-03 23:59:50'), ('2040-03-01 09:10', '2040-03-04 00:00'),
    ('2040-02-28 10:01', '2040-03-02 00:00:30'), ('2040-03-03 23:59', '2040-03-04 00:01:30')) r(since, until),
    unnest('{10 seconds, 10 minutes, 1 day}'::interval[]) widest,
    LATERAL (SELECT sum(s.n) AS n, sum(s.events) AS events, flagscope.count(flagscope.rollup(s.histogram)) AS count
        FROM flagscope.variant_states('cart', since => r.since::timestamptz, until => r.until::timestamptz,
            bucket_width => widest) s) w,
    LATERAL (SELECT sum(s.n) AS n, sum(s.events) AS events, flagscope.count(flagscope.rollup(s.histogram)) AS count
        FROM _flagscope.variant_state s
        WHERE s.environment = 'production' AND s.bucket >= r.since::timestamptz AND s.bucket <= r.until::timestamptz) f;
SELECT widest, count(*) AS states, sum(n) AS n
FROM unnest('{10 seconds, 10 minutes, 1 day}'::interval[]) widest,
    flagscope.variant_states('cart', since => '2040-03-01', until => '2040-03-04 00:05', bucket_width => widest)
GROUP BY 1 ORDER BY 1;
-- Retention by level: what is left answers, in its own width.
SELECT flagscope.set_setting('rollup.fine.retention', '"1 day"');
SELECT count(flagscope.maintain('2040-03-04 09:15'));
SELECT what, at FROM _flagscope.removal ORDER BY 1;
SELECT widest, count(*) AS states, sum(n) AS n
FROM unnest('{10 seconds, 10 minutes, 1 day}'::interval[]) widest,
    flagscope.variant_states('cart', since => '2040-03-01', until => '2040-03-04 09:15', bucket_width => widest)
GROUP BY 1 ORDER BY 1;
SELECT * FROM flagscope.verify_rollup('-infinity');
SELECT flagscope.set_setting('rollup.medium.retention', '"2 days"'),
    flagscope.set_setting('rollup.coarse.retention', '"3 days"');
SELECT count(flagscope.maintain('2040-03-04 09:16'));
SELECT widest, count(*) AS states, sum(n) AS n
FROM unnest('{10 seconds, 10 minutes, 1 day}'::interval[]) widest,
    flagscope.variant_states('cart', since => '2040-03-01', until => '2040-03-04 09:15', bucket_width => widest)
GROUP BY 1 ORDER BY 1;
SELECT flagscope.rebuild_rollup('2040-03-01');
SELECT * FROM flagscope.verify_rollup('2040-03-05', '2040-03-04');
