-- Anomaly guardrails: :anomaly_flags (50) of them, four of five proportions, the others quantiles, with 22 days
-- of ten-minute points of two variants. The first
-- look reads the past from rollups, every later one adds a point; and one guardrail with points of a minute.
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION flagscope;
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}'),
    flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}') \g /dev/null
SELECT count(flagscope.create_flag('flag-' || i)),
    count(CASE
        WHEN i <= :anomaly_flags * 4 / 5 THEN flagscope.create_guardrail('flag-' || i, 'errors', test => 'anomaly')
        ELSE flagscope.create_guardrail('flag-' || i, 'duration', test => 'anomaly', quantile => 0.95) END)
FROM generate_series(1, :anomaly_flags) i \g /dev/null
SELECT _flagscope.floor('10 minutes', now()) - interval '10 minutes' AS start \gset
INSERT INTO flagscope.variant_history (flag, environment, variant, metric, bucket_width, bucket, n, events, moments,
    histogram, last_ts)
SELECT 'flag-' || i, 'production', v, CASE WHEN i <= :anomaly_flags * 4 / 5 THEN 'errors' ELSE 'duration' END,
    interval '10 minutes', at, 600, 30 + floor(10 * random()), NULL,
    CASE WHEN i > :anomaly_flags * 4 / 5 THEN h.states[1 + floor(20 * random())] END, at
FROM generate_series(1, :anomaly_flags) i, unnest('{on,off}'::text[]) v,
    generate_series(:'start'::timestamptz - interval '22 days',
        :'start'::timestamptz + interval '1 hour', '10 minutes') at,
    (SELECT array_agg(h) AS states
        FROM (SELECT flagscope.histogram(0.1 * exp(random())) AS h
            FROM generate_series(1, 12000) k GROUP BY k % 20) x) h;
VACUUM ANALYZE flagscope.variant_history;
SELECT count(flagscope.start_rollout(flagscope.create_rollout('flag-' || i, stages => '{50, 100}',
        min_duration => '2 days'),
    at => :'start'))
FROM generate_series(1, :anomaly_flags) i \g /dev/null
SELECT flagscope.set_setting('maintenance.interval', '"1 day"') \g /dev/null
CREATE TEMP TABLE ticks (what text, place integer, guardrails integer, ms float8);
-- Two minutes after a point's end every guardrail has its turn.
INSERT INTO ticks
SELECT 'first look: 22 days of ten-minute points', 1, :anomaly_flags,
    (flagscope.tick(:'start'::timestamptz + interval '12 minutes')).milliseconds;
INSERT INTO ticks
SELECT 'later look: one point more', 3, :anomaly_flags,
    (flagscope.tick(:'start'::timestamptz + k * interval '10 minutes' + interval '2 minutes')).milliseconds
FROM generate_series(2, 4) k;
INSERT INTO ticks
SELECT 'nothing new', 2, :anomaly_flags,
    (flagscope.tick(:'start'::timestamptz + interval '42 minutes' + k * interval '1 second')).milliseconds
FROM generate_series(1, 3) k;
DELETE FROM flagscope.guardrail WHERE flag <> 'flag-1';
UPDATE flagscope.guardrail SET time_window = '1 minute';
INSERT INTO _flagscope.anomaly_point (guardrail_id, variant, at, n, events, value, x)
SELECT g.id, v, at, 600, 30, 0.05, random()
FROM flagscope.guardrail g, unnest('{"",on,off}'::text[]) v,
    generate_series(:'start'::timestamptz - interval '22 days',
        :'start'::timestamptz + interval '40 minutes', '1 minute') at;
VACUUM ANALYZE _flagscope.anomaly_point;
INSERT INTO ticks
SELECT 'one guardrail with points of a minute', 4, 1,
    (flagscope.tick(:'start'::timestamptz + interval '40 minutes' + k * interval '1 minute')).milliseconds
FROM generate_series(2, 4) k;
SELECT what, guardrails, round(avg(ms)::numeric, 1) AS "tick, ms",
    round((avg(ms) / guardrails)::numeric, 2) AS "ms a guardrail"
FROM ticks GROUP BY what, place, guardrails ORDER BY place;
