-- Guardrails by unit: each user counts once, with one value, when its window is over. Every number beside one by
-- hand, from telemetry and orders joined to the exposures. Clock pinned.
DROP EXTENSION IF EXISTS flagscope CASCADE;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SET timezone = 'UTC';
CREATE SCHEMA IF NOT EXISTS per_unit;
CREATE TABLE per_unit.orders (at timestamptz NOT NULL, customer text, amount numeric NOT NULL);

-- Bad input.
SELECT flagscope.create_flag('cart'), flagscope.create_flag('rows'), flagscope.create_flag('nameless');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_metric('retries', 'rate', 'span', '{"name": "retry"}', per => '{"name": "pay"}');
SELECT flagscope.create_guardrail('cart', 'errors', per_unit => NULL);
SELECT flagscope.create_guardrail('cart', 'retries', per_unit => true);
SELECT flagscope.create_guardrail('cart', 'no such metric', per_unit => true);
SELECT flagscope.create_metric('quick', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}', per_unit => true,
    conversion_window => '30 seconds');
SELECT flagscope.create_metric('odd', 'mean', 'span', '{"name": "pay"}', sum_values => true);
SELECT flagscope.create_metric('p95', 'quantile', 'span', '{"name": "pay"}', per_unit => true);
SELECT flagscope.create_query_metric('odd', 'mean', 'SELECT customer AS subject, amount AS value FROM per_unit.orders '
    'WHERE at >= $1 AND at < $2', per_unit => NULL);

-- The guardrail makes the metric that counts users; another one uses it.
SELECT flagscope.set_setting('unit.window', '"1 minute"');
SELECT flagscope.create_guardrail('cart', 'errors', per_unit => true) > 0 AS made,
    flagscope.create_guardrail('rows', 'errors', per_unit => true) > 0 AS again;
SELECT name, kind, per_unit, conversion_window FROM flagscope.metric_definition WHERE per_unit;
-- Conversion, revenue, and each user's own mean.
SELECT flagscope.create_metric('conversion', 'proportion', 'event', '{"name": "order"}', '{"name": "order"}',
    harm => 'decrease', per_unit => true, conversion_window => '1 minute');
SELECT flagscope.create_metric('revenue', 'mean', 'event', '{"name": "order"}', harm => 'decrease', sum_values => true,
    cap => 50, per_unit => true, conversion_window => '1 minute');
SELECT flagscope.create_metric('order value', 'mean', 'event', '{"name": "order"}', harm => 'decrease', cap => 50,
    per_unit => true, conversion_window => '1 minute');
SELECT flagscope.create_query_metric('conversion of the shop', 'proportion', 'SELECT customer AS subject, '
    'true AS value, at AS ts FROM per_unit.orders WHERE at >= $1 AND at < $2', harm => 'decrease', per_unit => true);
SELECT flagscope.create_query_metric('revenue of the shop', 'mean', 'SELECT customer AS subject, amount AS value, '
    'at AS ts FROM per_unit.orders WHERE at >= $1 AND at < $2', harm => 'decrease', cap => 50, per_unit => true,
    sum_values => true);
SELECT count(flagscope.create_guardrail('cart', m))
FROM unnest('{conversion,revenue,order value,conversion of the shop,revenue of the shop}'::text[]) m;
SELECT flagscope.create_metric('orders', 'proportion', 'event', '{"name": "order of nobody"}', '{"value": 1}',
    per_unit => true);
SELECT flagscope.create_guardrail('nameless', 'orders') > 0 AS made;
SELECT count(_flagscope.decide(flagscope.create_rollout(f, stages => '{50,100}', min_duration => '1 hour'), 'start',
    'tester', 'by hand', '2040-01-02 12:00'))
FROM unnest('{cart,rows,nameless}'::text[]) f;

-- 120 users are exposed to cart; the first ten cross from control to treatment, and stay with the control all the same.
CREATE TEMP TABLE who AS
SELECT i, CASE WHEN i = 11 THEN repeat('long', 100) ELSE 'c' || i END AS subject, i > 10 AND i % 2 = 0 AS treated,
    timestamptz '2040-01-02 12:00:01' + i * interval '100 ms' AS at
FROM generate_series(1, 120) i;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
SELECT at, 'event'::flagscope.signal, 'feature_flag.evaluation', subject,
    jsonb_build_object('cart', CASE WHEN treated THEN 'on' ELSE 'off' END)
FROM who
UNION ALL SELECT at + interval '30 s', 'event', 'feature_flag.evaluation', subject, '{"cart": "on"}'
FROM who WHERE i <= 10;
-- Two of three do something, some of them often; one is a bot. Before the exposure, at it, at the window's very
-- end, after.
CREATE TEMP TABLE done AS
SELECT w.*, o.nr, w.at + o.after AS ts
FROM who w, unnest('{-1 us,0,5 s,12 s,30 s,40 s,59.999999 s,60 s,80 s}'::interval[]) WITH ORDINALITY o(after, nr)
WHERE i % 3 > 0;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, is_error, flags)
SELECT ts, 'span'::flagscope.signal, 'pay', subject, (i * 7 + nr) % 40 = 0, '{"other": "x"}'::jsonb FROM done
UNION ALL SELECT at + n * interval '10 ms', 'span', 'pay', subject, n % 3 = 0, '{}'
FROM who, generate_series(1, 1000) n WHERE i = 20;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, value, flags)
SELECT ts, 'event', 'order', subject, CASE WHEN i % 40 = 7 THEN 'NaN' ELSE (i * nr % 31)::float8 END, '{}'
FROM done WHERE (i + nr) % 4 = 0;
INSERT INTO per_unit.orders SELECT ts, subject, i * nr % 31 FROM done WHERE (i + nr) % 4 = 0;
-- Without exposures a user's first row that names the flag is taken for one.
INSERT INTO flagscope.telemetry (ts, signal, name, subject, is_error, flags)
SELECT at + n * interval '9 s', 'span', 'pay', 'r' || i, (i + n) % 10 = 0,
    jsonb_build_object('rows', CASE WHEN treated THEN 'on' ELSE 'off' END)
FROM who, generate_series(0, 8) n WHERE i <= 60;
-- Each tick breaks off at its end once (as at a crash), is played, and played again: below, nobody counts twice.
DO $$
DECLARE
    at timestamptz;
BEGIN
    FOR s IN 10..90 BY 5 LOOP
        at := timestamptz '2040-01-02 12:00' + s * interval '1 s';
        BEGIN
            PERFORM flagscope.tick(at);
            RAISE query_canceled;
        EXCEPTION WHEN query_canceled THEN NULL;
        END;
        PERFORM flagscope.tick(at);
        PERFORM flagscope.tick(at);
    END LOOP;
END $$;
CREATE TEMP VIEW counted AS
SELECT v.flag, v.metric, v.variant, sum(v.n) AS n, sum(v.events) AS events,
    round(flagscope.sum(flagscope.rollup(v.moments))::numeric, 6) AS total
FROM flagscope.variant_rollup v GROUP BY 1, 2, 3;
SELECT metric, n, events, c.variant, h.* FROM counted c LEFT JOIN (
    SELECT CASE WHEN w.treated THEN 'on' ELSE 'off' END AS variant, count(*) AS by_hand,
        count(*) FILTER (WHERE EXISTS (SELECT FROM flagscope.telemetry t WHERE t.subject = w.subject AND t.name = 'pay'
            AND t.is_error AND t.ts >= w.at AND t.ts < w.at + interval '1 minute')) AS errors_by_hand,
        count(*) FILTER (WHERE EXISTS (SELECT FROM done d WHERE d.i = w.i AND (d.i + d.nr) % 4 = 0
            AND d.nr BETWEEN 2 AND 7)) AS orders_by_hand
    FROM who w GROUP BY 1) h USING (variant)
WHERE flag = 'cart' AND total IS NULL ORDER BY 1, c.variant;
SELECT metric, c.variant, n, total, h.* FROM counted c LEFT JOIN (
    SELECT variant, count(*) AS by_hand, sum(least(spent, 50)) AS spent_by_hand,
        sum(least(in_telemetry, 50)) AS without_nan, count(own) AS with_orders,
        round(sum(least(own, 50)), 6) AS own_by_hand
    FROM (SELECT CASE WHEN w.treated THEN 'on' ELSE 'off' END AS variant, coalesce(sum(d.i * d.nr % 31), 0) AS spent,
            coalesce(sum(d.i * d.nr % 31) FILTER (WHERE d.i % 40 <> 7), 0) AS in_telemetry,
            avg(d.i * d.nr % 31) FILTER (WHERE d.i % 40 <> 7) AS own
        FROM who w LEFT JOIN done d ON d.i = w.i AND (d.i + d.nr) % 4 = 0 AND d.nr BETWEEN 2 AND 7
        GROUP BY w.i, w.treated) x GROUP BY 1) h USING (variant)
WHERE flag = 'cart' AND total IS NOT NULL ORDER BY 1, 2;
SELECT c.variant, n, events, h.* FROM counted c LEFT JOIN (
    SELECT CASE WHEN treated THEN 'on' ELSE 'off' END AS variant, count(*) AS by_hand,
        count(*) FILTER (WHERE EXISTS (SELECT FROM generate_series(0, 6) n WHERE (i + n) % 10 = 0)) AS errors_by_hand
    FROM who WHERE i <= 60 GROUP BY 1) h USING (variant)
WHERE flag = 'rows' ORDER BY 1;
-- Nothing is left; what comes later changes nothing; a user is never counted again.
SELECT count(*) AS tallies FROM _flagscope.unit_tally;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, is_error, flags)
SELECT '2040-01-02 12:01:26', 'span', 'pay', 'r' || i, true, '{"rows": "on"}' FROM who WHERE i <= 60;
SELECT (flagscope.tick('2040-01-02 12:01:35')).at, count(*) AS tallies FROM _flagscope.unit_tally;
SELECT g.name, s.state, s.n_treatment, s.n_control, s.reason
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
WHERE g.flag IN ('cart', 'nameless') ORDER BY g.id;
-- The report says units, when one is counted, and how many still wait: now none, of a new one all.
SELECT r.line FROM flagscope.rollout_report((SELECT id FROM flagscope.rollout WHERE flag = 'cart'),
    '2040-01-02 12:01:35') r(line)
WHERE r.line LIKE '%: counts users: %' ORDER BY 1;
BEGIN;
SELECT flagscope.create_flag('new'), flagscope.create_guardrail('new', 'errors', per_unit => true) > 0 AS guarded;
SELECT _flagscope.decide(flagscope.create_rollout('new', stages => '{50,100}'), 'start', 'tester', 'by hand',
    '2040-01-02 12:01:36') > 0 AS started;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
SELECT '2040-01-02 12:01:37', 'event', 'feature_flag.evaluation', subject,
    jsonb_build_object('new', CASE WHEN i % 3 = 0 THEN 'on' ELSE 'off' END)
FROM who WHERE i <= 30;
SELECT (flagscope.tick('2040-01-02 12:01:50')).at;
SELECT r.line FROM flagscope.rollout_report((SELECT id FROM flagscope.rollout WHERE flag = 'new'),
    '2040-01-02 12:01:50') r(line)
WHERE r.line LIKE '%: counts users: %';
ROLLBACK;
-- Evidence is what its strata say.
SELECT g.name, count(*) FILTER (WHERE e.n_treatment > 0) > 0 AS has_strata,
    sum(e.n_treatment) = max(s.n_treatment) AS sums_up
FROM flagscope.evaluation e JOIN flagscope.guardrail g ON g.id = e.guardrail_id
    JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id AND s.rollout_id = e.rollout_id
WHERE g.flag = 'cart' AND cardinality(s.events_treatment) > 0 GROUP BY 1 ORDER BY 1;
-- Rows without a subject: nothing can be counted by user, and that is never ok.
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags)
VALUES ('2040-01-02 12:01:36', 'event', 'order of nobody', 1, '{"nameless": "on"}');
SELECT (flagscope.tick('2040-01-02 12:01:45')).at;
SELECT s.state, s.reason FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
WHERE g.flag = 'nameless';
-- A conversion that is 100 % by construction is told before anybody relies on it.
SELECT detail FROM flagscope.preview_metric(jsonb_build_object('kind', 'proportion', 'query', 'SELECT customer AS '
    'subject, true AS value, at AS ts FROM per_unit.orders WHERE at >= $1 AND at < $2'), '2040-01-02 12:00',
    '2040-01-02 12:02')
WHERE topic = 'warning';
-- Harm: one half of the control buys, of the treatment one tenth. What is decided is what its strata say, each way.
SELECT flagscope.create_flag('worse'), flagscope.create_guardrail('worse', 'conversion of the shop') > 0 AS made;
SELECT _flagscope.decide(flagscope.create_rollout('worse', stages => '{50,100}', min_duration => '1 hour'), 'start',
    'tester', 'by hand', '2040-01-02 12:02') > 0 AS started;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
SELECT timestamptz '2040-01-02 12:02:01' + i * interval '50 ms', 'event', 'feature_flag.evaluation', 'w' || i,
    jsonb_build_object('worse', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END)
FROM generate_series(1, 600) i;
INSERT INTO per_unit.orders SELECT '2040-01-02 12:02:40', 'w' || i, 5 FROM generate_series(1, 600) i
WHERE CASE WHEN i % 2 = 0 THEN i % 20 = 0 ELSE i % 4 = 1 END;
DO $$
BEGIN
    FOR s IN 5..110 BY 5 LOOP PERFORM flagscope.tick(timestamptz '2040-01-02 12:02' + s * interval '1 s'); END LOOP;
END $$;
SELECT d.action, d.at::time, d.reason FROM flagscope.decision d JOIN flagscope.rollout r ON r.id = d.rollout_id
WHERE r.flag = 'worse' ORDER BY d.id;
SELECT b.at = s.breached_at AS fires_when_it_did, abs(b.log_e - s.max_log_e) < 1e-9 AS with_the_same_evidence
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id AND g.flag = 'worse',
    LATERAL flagscope.backtest_guardrail(g.id, '2040-01-02 12:00', '2040-01-02 13:00') b
WHERE b.fires ORDER BY b.at LIMIT 1;
DROP SCHEMA per_unit CASCADE;
