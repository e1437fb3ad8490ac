-- What people read: summaries and series from rollups, charts, a decision explained, status in words.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never

SELECT item, says FROM flagscope.status() WHERE item <> 'worker';
-- However loaded the machine is, a tick does all of its work.
SELECT flagscope.set_setting('tick.budget', '"1 hour"');
SELECT flagscope.create_flag('shop');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}', unit => 's');
SELECT flagscope.create_metric('basket', 'mean', 'event', '{"name": "order"}', unit => 'EUR');
SELECT flagscope.create_guardrail('shop', 'errors', min_sample => 1),
    flagscope.create_guardrail('shop', 'duration', min_sample => 1),
    flagscope.create_guardrail('shop', 'basket', limit_value => 1000, min_sample => 1);
SELECT flagscope.create_rollout('shop', stages => ARRAY[25, 50, 100], min_duration => '30 s');
SELECT _flagscope.decide(1, 'start', 'tester', 'by hand', '2040-01-02 12:00');
SELECT _flagscope.begin_evidence(1, '2040-01-02 12:00');
-- Six times 10 seconds: nothing in the third, a bad treatment in the last two.
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags, is_error)
SELECT timestamptz '2040-01-02 12:00' + s * interval '10 s' + i * interval '50 ms', 'span', 'pay',
    (1 + i % 20) * CASE WHEN s > 3 AND i % 4 = 0 THEN 0.04 ELSE 0.01 END,
    jsonb_build_object('shop', CASE WHEN i % 4 = 0 THEN 'on' ELSE 'off' END), i % 50 = 0 OR (s > 3 AND i % 12 = 0)
FROM generate_series(0, 5) s, generate_series(1, 199) i WHERE s <> 2;
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags)
SELECT timestamptz '2040-01-02 12:00' + i * interval '1 s', 'event', 'order', 10 + i,
    jsonb_build_object('shop', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END)
FROM generate_series(0, 59) i WHERE i NOT BETWEEN 20 AND 29;

-- By variant, from deltas that no tick has merged yet; after a tick the same; and both against plain SQL.
SELECT _flagscope.decide(1, 'advance', 'tester', 'by hand', '2040-01-02 12:00:30');
CREATE TEMP TABLE before AS
SELECT * FROM flagscope.variant_summary('shop', since => '2040-01-02 11:00', until => '2040-01-02 12:01');
SELECT flagscope.tick('2040-01-02 12:01') IS NOT NULL AS ticked;
SELECT metric, variant, n, events, round(rate::numeric, 5) AS rate, round(mean::numeric, 4) AS mean,
    round(p50::numeric, 4) AS p50, round(p95::numeric, 4) AS p95, round(p99::numeric, 4) AS p99
FROM flagscope.variant_summary('shop', since => '2040-01-02 11:00', until => '2040-01-02 12:01');
SELECT count(*) FROM (TABLE before EXCEPT SELECT * FROM flagscope.variant_summary('shop', since => '2040-01-02 11:00',
    until => '2040-01-02 12:01')) x;
SELECT s.metric, s.variant, s.n = x.n AS n, s.events IS NOT DISTINCT FROM x.events AS events,
    abs(s.mean - x.mean) < 1e-12 AS mean, abs(s.p50 / x.p50 - 1) < 0.011 AS p50, abs(s.p95 / x.p95 - 1) < 0.011 AS p95
FROM flagscope.variant_summary('shop', since => '2040-01-02 12:00', until => '2040-01-02 12:01') s JOIN LATERAL (
    SELECT count(*) AS n, CASE s.metric WHEN 'errors' THEN count(*) FILTER (WHERE is_error) END AS events,
        avg(value) AS mean, (array_agg(value ORDER BY value))[1 + floor(0.5 * (count(*) - 1))] AS p50,
        (array_agg(value ORDER BY value))[1 + floor(0.95 * (count(*) - 1))] AS p95
    FROM flagscope.tagged t WHERE t.variant = s.variant
        AND t.name = CASE s.metric WHEN 'basket' THEN 'order' ELSE 'pay' END AND ts >= '2040-01-02 12:00') x ON true;
-- A window that begins later, and nothing of what nobody watches.
SELECT metric, variant, n
FROM flagscope.variant_summary('shop', since => '2040-01-02 12:00:40', until => '2040-01-02 12:01');
SELECT count(*) FROM flagscope.variant_summary('unknown');
SELECT count(*) FROM flagscope.variant_summary('shop', environment => 'mars');

-- Over time, without gaps: the silent 10 seconds are there with NULL.
SELECT ts::time, variant, n, round(value::numeric, 4) AS rate
FROM flagscope.metric_series('shop', 'errors', since => '2040-01-02 12:00', until => '2040-01-02 12:00:59',
    bucket_width => '10 s');
SELECT ts::time, variant, n, round(value::numeric, 2) AS mean
FROM flagscope.metric_series('shop', 'basket', since => '2040-01-02 12:00:05', until => '2040-01-02 12:00:59',
    bucket_width => '30 s');
SELECT ts::time, variant, n, round(value::numeric, 3) AS p50
FROM flagscope.metric_series('shop', 'duration', since => '2040-01-02 12:00', until => '2040-01-02 12:01:10',
    bucket_width => '20 s', quantile => 0.5);
-- The default is a minute; a range may be open; what cannot be answered is said.
SELECT ts::time, variant, n FROM flagscope.metric_series('shop', 'errors', since => NULL, until => '2040-01-02 12:02');
SET client_min_messages = notice;
SELECT * FROM flagscope.metric_series('shop', 'errors', since => '2040-01-02 12:00', until => '2040-01-02 12:01',
    bucket_width => '15 s');
SELECT *
FROM flagscope.metric_series('shop', 'errors', since => '1000-01-01', until => '2040-01-03', bucket_width => '1 day');
SELECT count(*)
FROM flagscope.metric_series('shop', 'unknown', since => '2040-01-02 12:00', until => '2040-01-02 12:01');

-- Charts.
SELECT flagscope.bar(50, 100) AS half, flagscope.bar(1, 3, 3) AS third, flagscope.bar(200, 100, 4) AS over,
    flagscope.bar(0, 100) AS none, flagscope.bar(-1, 100) AS negative, flagscope.bar('NaN', 1) AS nan,
    flagscope.bar(1, 0) AS of_nothing, flagscope.bar(NULL, 1) IS NULL AS null,
    length(flagscope.bar(1, 1, 100000)) AS longest, flagscope.bar(1, 1, -5) AS shortest;
SELECT flagscope.sparkline(ARRAY[1, 2, NULL, 4, 8]) AS list, flagscope.sparkline(ARRAY[3, 3]) AS flat,
    flagscope.sparkline('{}'::float8[]) AS nothing,
    flagscope.sparkline(ARRAY['NaN', 1, 'Infinity', 2]::float8[]) AS gaps,
    flagscope.sparkline(NULL::float8[]) IS NULL AS null;
SELECT variant, flagscope.sparkline(value ORDER BY ts)
FROM flagscope.metric_series('shop', 'errors', since => '2040-01-02 12:00', until => '2040-01-02 12:00:59',
    bucket_width => '10 s')
GROUP BY variant ORDER BY variant;

-- The ramp and the metric beside each other; decisions in words.
SELECT ts::time, percent, ramp, n_treatment AS nt, round(treatment::numeric, 3) AS treatment, n_control AS nc,
    round(control::numeric, 3) AS control, chart
FROM flagscope.rollout_chart(1, 'errors');
SELECT ts::time, percent, round(treatment::numeric, 3) AS p50_on, round(control::numeric, 3) AS p50_off, chart
FROM flagscope.rollout_chart(1, 'duration', '20 s', 0.5);
SELECT flagscope.explain_decision(id) FROM flagscope.decision ORDER BY id;
SELECT flagscope.explain_decision(99);
SELECT * FROM _flagscope.replay_evidence(99);
SELECT count(*) FROM _flagscope.replay_evidence(1);
SELECT item, regexp_replace(says, 'by .*', 'by ...') AS says
FROM flagscope.status() WHERE item NOT IN ('worker', 'last maintenance', 'backfill');
SELECT says ~ '^2040-01-02 12:01:00 UTC, [0-9.]+ ms$' AS maintenance
FROM flagscope.status() WHERE item = 'last maintenance';
SELECT says FROM flagscope.status() WHERE item = 'worker';
-- A completed rollout: everyone has it.
SELECT flagscope.create_flag('done');
SELECT flagscope.create_rollout('done', stages => ARRAY[10, 100]) AS done \gset
SELECT flagscope.create_guardrail('done', 'errors') > 0 AS made;
SELECT _flagscope.decide(:done, a, 'tester', 'by hand', t::timestamptz) > 0 AS done
FROM (VALUES ('start'::flagscope.action, '2040-01-02 12:30'), ('advance', '2040-01-02 12:31'),
    ('complete', '2040-01-02 12:32')) v(a, t);
INSERT INTO flagscope.telemetry (ts, signal, name, flags) VALUES ('2040-01-02 12:30', 'span', 'pay', '{"done": "off"}');
SELECT ts::time, percent, ramp, n_treatment, n_control FROM flagscope.rollout_chart(:done, 'errors', '30 s');
-- A live rollout has a line of its own.
SELECT flagscope.create_rollout('shop') AS live \gset
SELECT _flagscope.decide(:live, 'start', 'tester', 'by hand', '2040-01-02 13:00');
SELECT flagscope.tick('2040-01-02 13:00:10') IS NOT NULL AS ticked;
SELECT item, says FROM flagscope.status() WHERE item LIKE 'rollout%';
