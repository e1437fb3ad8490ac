-- Metrics of telemetry with a conversion window: a row counts for what its subject was exposed to, from the first
-- exposure to before the end of the window. Every number beside one by hand,
-- from telemetry joined to its own exposures. Clock pinned.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}',
    conversion_window => '1 minute');
SELECT flagscope.create_metric('order value', 'mean', 'event', '{"name": "order", "attributes": {"country": "de"}}',
    harm => 'decrease', cap => 60, conversion_window => '1 minute');
SELECT flagscope.create_metric('pay time', 'quantile', 'metric', '{"name_matches": "^pay[.]"}', unit => 's',
    conversion_window => '1 minute');
SELECT flagscope.create_metric('problems', 'rate', 'log', '{"severity_at_least": 17}',
    per => '{"signal": "span", "name": "pay"}', conversion_window => '1 minute');
SELECT flagscope.create_metric('basket', 'ratio', 'event', '{"name": "order"}',
    per => '{"signal": "span", "name": "pay"}', conversion_window => '1 minute');
SELECT flagscope.create_metric('quick errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}',
    conversion_window => '10 seconds');
SELECT flagscope.create_metric('tagged errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_environment('staging', '{stage}');
SELECT count(flagscope.create_flag(f)) FROM unnest('{cart,theme}'::text[]) f;
SELECT count(flagscope.create_guardrail('cart', m, limit_value => CASE m WHEN 'basket' THEN 1000 END))
FROM unnest('{errors,order value,pay time,problems,basket,tagged errors}'::text[]) m;
SELECT count(flagscope.create_guardrail('theme', m)) FROM unnest('{quick errors,order value}'::text[]) m;
-- Only what the ingest trigger counts is on watch.
SELECT flag, metric FROM _flagscope.watch;
SELECT count(_flagscope.decide(flagscope.create_rollout(f, stages => '{50,100}', min_duration => '1 hour'), 'start',
    'tester', 'by hand', '2040-01-02 12:00'))
FROM unnest('{cart,theme}'::text[]) f;

-- 120 subjects are exposed to cart, every third to theme some seconds later; the first ten cross from control to
-- treatment after half a minute; one has a long name.
CREATE TEMP TABLE who AS
SELECT i, CASE WHEN i = 11 THEN repeat('long', 100) ELSE 'c' || i END AS subject,
    timestamptz '2040-01-02 12:00:01' + i * interval '100 ms' AS at
FROM generate_series(1, 120) i;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
SELECT at, 'event'::flagscope.signal, 'feature_flag.evaluation', subject,
    jsonb_build_object('cart', CASE WHEN i > 10 AND i % 2 = 0 THEN 'on' ELSE 'off' END)
FROM who
UNION ALL SELECT at + interval '30 s', 'event', 'feature_flag.evaluation', subject, '{"cart": "on"}'
FROM who WHERE i <= 10
UNION ALL SELECT at + interval '7 s', 'event', 'feature_flag.evaluation', subject,
    jsonb_build_object('theme', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END)
FROM who WHERE i % 3 = 0;
-- What they do: just before the first exposure, at it, within the window, at its very end, after it.
-- Whatever flags the row carries.
CREATE TEMP TABLE done AS
SELECT w.*, o.nr, w.at + o.after AS ts
FROM who w, unnest('{-1 us,0,5 s,12 s,30 s,40 s,59.999999 s,60 s,80 s}'::interval[]) WITH ORDINALITY o(after, nr);
INSERT INTO flagscope.telemetry (ts, signal, name, subject, is_error, flags)
SELECT ts, 'span', 'pay', subject, (i + nr) % 5 = 0,
    CASE WHEN i % 4 = 0 THEN '{"cart": "off"}' WHEN i % 4 = 1 THEN '{"cart": "on"}' ELSE '{"other": "x"}' END::jsonb
FROM done;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, value, attributes, flags)
SELECT ts, 'event', 'order', subject,
    CASE WHEN i % 40 = 7 THEN 'NaN' WHEN i % 40 = 8 THEN NULL ELSE ((i * nr) % 90 - 5)::float8 END,
    CASE WHEN i % 7 = 0 THEN '{"country": "fr"}' WHEN i % 11 > 0 THEN '{"country": "de", "n": 1}' END::jsonb, '{}'
FROM done;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, value, flags)
SELECT ts, 'metric', CASE WHEN nr % 2 = 0 THEN 'pay.time' ELSE 'pay.wait' END, subject,
    0.1 + (i * 31 + nr * 7) % 100 / 100.0, '{}'
FROM done;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, severity, flags)
SELECT ts, 'log', 'shop', subject, CASE WHEN (i + nr) % 6 = 0 THEN 17 ELSE 9 END, '{}' FROM done;
-- A point of a histogram; rows without subject, of nobody, and of another environment.
INSERT INTO flagscope.telemetry (ts, signal, name, subject, value, distribution, flags)
SELECT w.at + interval '20 s', 'metric', 'pay.batch', w.subject, 5, flagscope.histogram(v), '{}'
FROM who w, generate_series(1, 9) v WHERE w.i <= 20 GROUP BY w.at, w.subject;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, is_error, environment, flags)
SELECT '2040-01-02 12:00:20', 'span', 'pay', x.subject, true, x.environment, '{"cart": "on"}'
FROM (VALUES (NULL, 'production'), ('nobody', 'production'), ('c5', 'staging'), ('c5', 'stage'), ('c5', 'unheard of'),
    ('c5', NULL)) x(subject, environment);
-- By hand: units from their exposures, rows from telemetry.
CREATE TEMP VIEW unit_by_hand AS
SELECT f.key AS flag, t.subject, min(t.ts) AS first_seen, min(t.ts) FILTER (WHERE f.value = 'on') AS treated_at
FROM flagscope.telemetry t, jsonb_each_text(t.flags) f WHERE t.name = 'feature_flag.evaluation' GROUP BY 1, 2;
CREATE TEMP VIEW row_by_hand AS
SELECT m.metric, u.flag, CASE WHEN u.treated_at <= t.ts THEN 'on' ELSE 'off' END AS variant, t.*
FROM flagscope.telemetry t JOIN unit_by_hand u USING (subject)
    JOIN (VALUES ('cart', 'errors', interval '1 minute'), ('cart', 'order value', '1 minute'),
        ('theme', 'order value', '1 minute'), ('cart', 'pay time', '1 minute'),
        ('cart', 'problems', '1 minute'), ('cart', 'basket', '1 minute'),
        ('theme', 'quick errors', '10 seconds')) m(flag, metric, width)
        ON m.flag = u.flag AND t.ts >= u.first_seen AND t.ts < u.first_seen + m.width
WHERE coalesce(t.environment, 'production') = 'production'
    AND CASE m.metric WHEN 'order value' THEN t.name = 'order' AND t.attributes ->> 'country' = 'de'
        WHEN 'pay time' THEN t.name ~ '^pay[.]'
        WHEN 'problems' THEN t.name = 'pay' OR t.severity >= 17 WHEN 'basket' THEN t.name = 'pay' OR t.name = 'order'
        ELSE t.name = 'pay' END;

-- The ingest trigger has counted nothing but the metric without a window.
SELECT metric, sum(n) AS n FROM _flagscope.variant_delta GROUP BY 1;
SELECT (flagscope.tick('2040-01-02 12:00:04')).at AS too_early, count(*) AS runs FROM flagscope.metric_run;
SELECT (flagscope.tick('2040-01-02 12:00:10')).at, (flagscope.tick('2040-01-02 12:00:12')).at AS between_two;
SELECT metric, until::time, given, counted, failures, problem FROM flagscope.metric_run ORDER BY 1;
DO $$
BEGIN
    FOR s IN 15..150 BY 5 LOOP PERFORM flagscope.tick(timestamptz '2040-01-02 12:00' + s * interval '1 s'); END LOOP;
END $$;
SELECT count(*) AS runs, count(DISTINCT until) AS together, max(until)::time AS until, count(problem) AS problems
FROM flagscope.metric_run;
CREATE TEMP VIEW counted AS
SELECT v.flag, v.metric, v.variant, sum(v.n) AS n, sum(v.events) AS events,
    round(flagscope.mean(flagscope.rollup(v.moments))::numeric, 6) AS mean,
    round(flagscope.sum(flagscope.rollup(v.moments))::numeric, 6) AS total,
    flagscope.invalid(flagscope.rollup(v.moments)) AS invalid,
    flagscope.quantile(flagscope.rollup(v.histogram), 0.9) AS p90
FROM flagscope.variant_rollup v GROUP BY 1, 2, 3;
SELECT c.flag, c.metric, c.variant, c.n, c.events, h.n AS n_by_hand, h.events AS events_by_hand
FROM counted c LEFT JOIN (
    SELECT flag, metric, variant, count(*) FILTER (WHERE name = 'pay') AS n,
        count(*) FILTER (WHERE CASE metric WHEN 'problems' THEN severity >= 17 ELSE is_error END) AS events
    FROM row_by_hand WHERE metric IN ('errors', 'quick errors', 'problems')
    GROUP BY 1, 2, 3) h USING (flag, metric, variant)
WHERE c.metric IN ('errors', 'quick errors', 'problems') ORDER BY 1, 2, 3;
SELECT c.flag, c.variant, c.n, c.mean, c.invalid, h.* FROM counted c LEFT JOIN (
    SELECT flag, variant, count(*) FILTER (WHERE value < 'NaN') AS n_by_hand,
        round(avg(least(greatest(value, 0), 60)) FILTER (WHERE value < 'NaN')::numeric, 6) AS mean_by_hand,
        count(*) FILTER (WHERE value IS NULL OR value = 'NaN') AS invalid_by_hand
    FROM row_by_hand WHERE metric = 'order value' GROUP BY 1, 2) h USING (flag, variant)
WHERE c.metric = 'order value' ORDER BY 1, 2;
SELECT c.variant, c.n, c.total, h.n_by_hand, h.total_by_hand FROM counted c LEFT JOIN (
    SELECT variant, count(*) FILTER (WHERE name = 'pay') AS n_by_hand,
        round(sum(value) FILTER (WHERE name = 'order' AND value < 'NaN')::numeric, 6) AS total_by_hand
    FROM row_by_hand WHERE metric = 'basket' GROUP BY 1) h USING (variant)
WHERE c.metric = 'basket' ORDER BY 1;
SELECT c.variant, c.n, h.n_by_hand, abs(c.p90 / h.p90_by_hand - 1) < 0.011 AS p90_is_near FROM counted c LEFT JOIN (
    SELECT r.variant, count(*) AS n_by_hand, percentile_disc(0.9) WITHIN GROUP (ORDER BY x.value) AS p90_by_hand
    FROM row_by_hand r,
        LATERAL (SELECT r.value WHERE r.distribution IS NULL
            UNION ALL SELECT generate_series(1, 9) WHERE r.distribution IS NOT NULL) x
    WHERE r.metric = 'pay time' GROUP BY 1) h USING (variant)
WHERE c.metric = 'pay time' ORDER BY 1;
-- Rollups that a tick counts are nobody's raw rows; those of the other metric are, to the last row.
SELECT * FROM flagscope.verify_rollup('2040-01-02', '2040-01-03');
SELECT flagscope.rebuild_rollup('2040-01-02', '2040-01-03') AS rebuilt;
SELECT metric, sum(n) AS n FROM flagscope.variant_rollup GROUP BY 1 ORDER BY 1;

-- What comes later than query.delay is not counted.
INSERT INTO flagscope.telemetry (ts, signal, name, subject, is_error, flags)
VALUES ('2040-01-02 12:00:20', 'span', 'pay', 'c1', true, '{}');
SELECT (flagscope.tick('2040-01-02 12:02:40')).at;
SELECT sum(n) = (SELECT sum(n) FROM counted WHERE metric = 'errors') AS as_before
FROM flagscope.variant_rollup WHERE metric = 'errors';

-- preview_metric() shows the same: rows that match, and those within a window.
SELECT topic, flag, variant, n, events, round(value::numeric, 4) AS value, detail
FROM flagscope.preview_metric('errors', '2040-01-02 12:00', '2040-01-02 12:02') WHERE topic <> 'example';
SELECT topic, detail
FROM flagscope.preview_metric(
    '{"kind": "mean", "signal": "event", "filter": {"name": "order"}, "cap": 60, "conversion_window": "1 hour"}'::jsonb,
    '2040-01-02 11:00', '2040-01-02 12:00:01.1')
WHERE topic IN ('rows', 'warning');
SELECT topic, flag, variant, n FROM flagscope.preview_metric('{"kind": "mean", "query": "SELECT subject, value, ts '
    'FROM flagscope.telemetry WHERE name = ''order'' AND ts >= $1 AND ts < $2", "cap": '
    '60, "conversion_window": "10 s"}'::jsonb, '2040-01-02 12:00', '2040-01-02 12:02') WHERE topic = 'variant';
SELECT u.flag, CASE WHEN u.treated_at <= t.ts THEN 'on' ELSE 'off' END AS variant, count(*) AS n_by_hand
FROM flagscope.telemetry t JOIN unit_by_hand u USING (subject)
WHERE t.name = 'order' AND t.ts >= u.first_seen AND t.ts < u.first_seen + interval '10 s' GROUP BY 1, 2 ORDER BY 1, 2;

-- What is refused.
CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    $s$SELECT flagscope.create_metric('x', 'mean', 'event', conversion_window => '-1 s')$s$,
    $s$INSERT INTO flagscope.metric_definition (name, kind, signal, conversion_window)
        VALUES ('x', 'mean', 'event', '0')$s$,
    $s$SELECT *
        FROM flagscope.preview_metric('{"kind": "mean", "signal": "event", "conversion_window": "0 s"}'::jsonb)$s$,
    $s$UPDATE flagscope.metric_definition SET conversion_window = '1 day' WHERE name = 'errors'$s$,
    $s$SELECT flagscope.create_guardrail('theme', 'errors', name => 'x', comparison => 'baseline')$s$]) s;

-- The tick reads for everybody: nobody else may have it read.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_window;
RESET client_min_messages;
CREATE ROLE regress_window;
SELECT flagscope.grant_admin('regress_window');
SET ROLE regress_window;
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    $s$SELECT * FROM _flagscope.count_telemetry('[]', '[]', now(), now(), 1000, 1)$s$,
    $s$SELECT * FROM _flagscope.count_windows('{}', now(), now())$s$,
    $s$SELECT _flagscope.poll_metrics(now())$s$]) s;
RESET ROLE;
DROP OWNED BY regress_window;
DROP ROLE regress_window;

-- Counted together; when that fails each by itself, so that only what fails is in state error, and nothing is lost.
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
SELECT '2040-01-02 12:02:41', 'event', 'feature_flag.evaluation', 'd' || i,
    jsonb_build_object('cart', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END)
FROM generate_series(1, 40) i;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, is_error, flags)
SELECT '2040-01-02 12:02:42', 'span', 'pay', 'd' || i, i % 4 < 2, '{}' FROM generate_series(1, 40) i;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, value, attributes, flags)
SELECT '2040-01-02 12:02:42', 'event', 'order', 'd' || i, 20, '{"country": "de"}', '{}' FROM generate_series(1, 10) i;
SELECT flagscope.set_setting('query.rows', '30');
SELECT (flagscope.tick('2040-01-02 12:02:50')).at;
SELECT count(*) AS runs, count(problem) AS problems, min(failures) AS failures FROM flagscope.metric_run;
SELECT (flagscope.tick('2040-01-02 12:02:50.4')).at;
SELECT metric, until::time, given, counted, failures, retry_at::time, problem FROM flagscope.metric_run ORDER BY 1;
SELECT g.flag, g.name, s.state, s.reason
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
WHERE s.state = 'error' ORDER BY g.id;
SELECT flagscope.set_setting('query.rows', '100000');
SELECT (flagscope.tick('2040-01-02 12:03:01')).at, (flagscope.tick('2040-01-02 12:03:10')).at;
SELECT metric, until::time, failures, problem FROM flagscope.metric_run ORDER BY 1;
SELECT metric, variant, sum(n) AS n, sum(events) AS events
FROM flagscope.variant_rollup WHERE bucket = '2040-01-02 12:02:40' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*) AS in_error FROM flagscope.guardrail_status WHERE state = 'error';

-- The plan reads the partitions of its range, by their index on time.
SELECT flagscope.maintain('2040-01-02') IS NOT NULL AS made;
CREATE FUNCTION pg_temp.plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP RETURN NEXT line; END LOOP;
END $$;
SET enable_seqscan = off;
SELECT btrim(regexp_replace(p, 'p[0-9]{8}\w*', '...')) AS plan
FROM pg_temp.plan($$SELECT *
    FROM flagscope.telemetry WHERE ts >= '2040-01-03 12:00' AND ts < '2040-01-03 12:00:05' AND subject IS NOT NULL$$) p
WHERE p ~ 'Scan|Cond';
RESET enable_seqscan;

-- From first exposures to a rollback, which can be computed anew.
SELECT flagscope.create_flag('bad'), flagscope.create_guardrail('bad', 'errors') AS guardrail \gset
SELECT _flagscope.decide(flagscope.create_rollout('bad', stages => '{50,100}', min_duration => '1 hour'), 'start',
    'tester', 'by hand', '2040-01-02 12:04') > 0 AS started;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
SELECT timestamptz '2040-01-02 12:04:01' + i * interval '10 ms', 'event', 'feature_flag.evaluation', 'b' || i,
    jsonb_build_object('bad', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END)
FROM generate_series(1, 600) i;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, is_error)
SELECT timestamptz '2040-01-02 12:04:01' + i * interval '10 ms' + n * interval '4 s', 'span', 'pay', 'b' || i,
    CASE WHEN i % 2 = 0 THEN (i + n) % 10 < 2 ELSE (i + n) % 40 = 0 END
FROM generate_series(1, 600) i, generate_series(1, 10) n;
DO $$
BEGIN FOR s IN 2..60 LOOP PERFORM flagscope.tick(timestamptz '2040-01-02 12:04' + s * interval '1 s'); END LOOP; END $$;
SELECT action, at::time, reason FROM flagscope.decision WHERE guardrail_id IS NOT NULL ORDER BY id;
SELECT count(*) AS strata, bool_and(abs(r.log_e_stored - r.log_e_recomputed) < 1e-12) AS equal,
    sum(r.n_treatment) AS n_treatment, sum(r.n_control) AS n_control
FROM flagscope.decision d, _flagscope.replay_evidence(d.id) r WHERE d.guardrail_id IS NOT NULL;
SELECT d.evidence ->> 'n_treatment' AS n_treatment, flagscope.explain_decision(d.id) ~ 'errors' AS explained,
    (SELECT bool_or(b.fires AND b.at = d.at)
            AND bool_or(b.at = d.at AND abs(b.log_e - (d.evidence ->> 'log_e')::float8) < 1e-9)
        FROM flagscope.backtest_guardrail(d.guardrail_id, '2040-01-02 12:04', '2040-01-02 12:06') b) AS as_backtested
FROM flagscope.decision d WHERE d.guardrail_id IS NOT NULL;
SELECT variant, reason FROM flagscope.evaluate('bad', 'b2');

-- Reading that takes too long: said of the metric, and read again in smaller parts.
SELECT (flagscope.tick('2040-01-02 12:05:30')).at;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, is_error, flags)
SELECT timestamptz '2040-01-02 12:05:31' + i * interval '100 us', 'span', 'pay', 'c1', false, '{}'
FROM generate_series(1, 30000) i;
SELECT flagscope.set_setting('query.timeout', '"1 ms"');
DO $$
BEGIN
    FOR n IN 0..9 LOOP PERFORM flagscope.tick(timestamptz '2040-01-02 12:05:40' + n * interval '100 ms'); END LOOP;
END $$;
SELECT metric, until::time, failures, problem FROM flagscope.metric_run WHERE metric = 'errors';
SELECT current_setting('statement_timeout') AS statement_timeout, flagscope.set_setting('query.timeout', '"60 s"');
DO $$
BEGIN FOR n IN 1..9 LOOP PERFORM flagscope.tick(timestamptz '2040-01-02 12:06' + n * interval '5 s'); END LOOP; END $$;
SELECT metric, until::time, failures, problem FROM flagscope.metric_run ORDER BY 1;
SELECT sum(n) AS none_within_a_window FROM flagscope.variant_rollup
WHERE bucket BETWEEN '2040-01-02 12:05:30' AND '2040-01-02 12:05:40' AND metric = 'errors';
