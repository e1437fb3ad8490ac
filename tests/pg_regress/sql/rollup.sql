-- The ingest trigger: what a statement leaves in variant_delta equals what plain SQL says about its rows, and a tick
-- merges it without a change.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never

-- However loaded the machine is, a tick does all of its work.
SELECT flagscope.set_setting('tick.budget', '"1 hour"');
SELECT flagscope.create_flag('cart');
SELECT flagscope.create_flag('theme', variants => '{"blue": "b", "red": "r", "green": "g"}', default_variant => 'blue',
    value_type => 'string');
SELECT flagscope.create_flag('nobody watches');
SELECT flagscope.create_environment('staging', aliases => '{stage,test}');
SELECT flagscope.create_metric('share', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_metric('amount', 'mean', 'event', '{"name": "order"}');
SELECT flagscope.create_metric('duration', 'quantile', 'span', '{"name_matches": "^(pay|browse)$"}');
SELECT flagscope.create_guardrail('cart', 'share'), flagscope.create_guardrail('cart', 'amount', limit_value => 1),
    flagscope.create_guardrail('cart', 'duration');
SELECT flagscope.create_guardrail('theme', 'share'),
    flagscope.create_guardrail('theme', 'duration', environment => 'staging');

-- Maintenance, which would settle and backfill, is done with for the next minute.
SELECT strata FROM flagscope.tick('2040-01-02 12:04:30');

-- Many kinds of rows in one statement: flags of several kinds, environments by key, alias, default and unknown.
SELECT setseed(0.5);
CREATE TEMP TABLE sent AS
SELECT timestamptz '2040-01-02 12:00' + i * interval '13 ms' AS ts, s.signal::flagscope.signal, s.name,
    CASE i % 31 WHEN 0 THEN 'NaN' WHEN 1 THEN 'Infinity' WHEN 2 THEN '-Infinity' WHEN 3 THEN
        NULL ELSE exp(random() * 6 - 3) END::float8 AS value,
    (CASE i % 7 WHEN 0 THEN '{"cart": "on"}' WHEN 1 THEN '{"cart": "off", "theme": "red"}' WHEN 2 THEN
        '{"theme": "green", "cart": "on", "nobody watches": "on"}'
        WHEN 3 THEN '{"unknown flag": "on"}'
        WHEN 4 THEN '{}'
        WHEN 5 THEN NULL
        ELSE '{"cart": "variant of an old version", "theme": 7}' END)::jsonb AS flags,
    (ARRAY['production', 'prod', NULL, 'staging', 'stage', 'mars'])[1 + i % 6] AS environment,
    CASE i % 5 WHEN 0 THEN true WHEN 1 THEN NULL ELSE false END AS is_error
FROM generate_series(1, 20000) i,
    LATERAL (SELECT (ARRAY['span', 'span', 'event', 'log'])[1 + i / 7 % 4],
        (ARRAY['pay', 'browse', 'order', 'pay'])[1 + i / 7 % 4]) s(signal, name);
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags, environment, is_error) SELECT * FROM sent;

-- The same by plain SQL, from the definitions of the metrics.
CREATE VIEW pg_temp.expected AS
SELECT w.flag, w.environment, f.value #>> '{}' AS variant, w.metric, date_bin('10 seconds', s.ts, 'epoch') AS bucket,
    count(*) FILTER (WHERE w.metric = 'share' OR s.value NOT IN ('NaN', 'Infinity', '-Infinity')) AS n,
    count(*) FILTER (WHERE w.metric = 'share' AND s.is_error) AS events, max(s.ts) AS last_ts,
    avg(s.value) FILTER (WHERE s.value NOT IN ('NaN', 'Infinity', '-Infinity')) AS mean,
    stddev_samp(s.value) FILTER (WHERE s.value NOT IN ('NaN', 'Infinity', '-Infinity')) AS stddev,
    min(s.value) FILTER (WHERE s.value > '-Infinity') AS min, max(s.value) FILTER (WHERE s.value < 'Infinity') AS max,
    count(*) FILTER (WHERE s.value IN ('NaN', 'Infinity', '-Infinity') OR s.value IS NULL) AS invalid,
    count(*) FILTER (WHERE s.value > 1 AND s.value < 'Infinity') AS above_1
FROM sent s, LATERAL jsonb_each(s.flags) f,
    (VALUES ('cart', 'production', 'share'), ('cart', 'production', 'amount'), ('cart', 'production', 'duration'),
            ('theme', 'production', 'share'), ('theme', 'staging', 'duration')) w(flag, environment, metric)
-- no other names become rollups
WHERE f.key = w.flag AND (SELECT k.variants ? (f.value #>> '{}') FROM flagscope.flag_definition k WHERE k.key = f.key)
    AND CASE coalesce(s.environment, 'production')
        WHEN 'prod' THEN 'production'
        WHEN 'stage' THEN 'staging'
        ELSE coalesce(s.environment, 'production') END = w.environment
    AND CASE w.metric WHEN 'share' THEN s.signal = 'span' AND s.name = 'pay'
        WHEN 'amount' THEN s.signal = 'event' AND s.name = 'order'
        ELSE s.signal = 'span' AND s.name IN ('pay', 'browse') END
GROUP BY 1, 2, 3, 4, 5;
CREATE FUNCTION pg_temp.compare(state regclass)
RETURNS TABLE (flag text, environment text, metric text, groups bigint, n numeric, events numeric, invalid numeric,
    same_counts boolean, same_sketch boolean)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format($q$
    SELECT coalesce(d.flag, e.flag), coalesce(d.environment, e.environment), coalesce(d.metric, e.metric), count(*),
        sum(d.n), sum(d.events), sum(coalesce(flagscope.invalid(d.moments), flagscope.invalid(d.histogram))),
        bool_and((d.n, d.events, d.last_ts) IS NOT DISTINCT FROM (e.n, e.events, e.last_ts)),
        bool_and(CASE coalesce(d.metric, e.metric)
            WHEN 'share' THEN d.moments IS NULL AND d.histogram IS NULL
            WHEN 'amount' THEN
                d.histogram IS NULL AND flagscope.count(d.moments) = e.n AND flagscope.invalid(d.moments) = e.invalid
                AND abs(flagscope.mean(d.moments) - e.mean) < 1e-12 * abs(e.mean)
                AND abs(flagscope.stddev(d.moments) - e.stddev) < 1e-9 * e.stddev AND flagscope.min(d.moments) = e.min
                AND flagscope.max(d.moments) = e.max
            ELSE d.moments IS NULL AND flagscope.count(d.histogram) = e.n AND flagscope.invalid(d.histogram) = e.invalid
                AND flagscope.min(d.histogram) = e.min AND flagscope.max(d.histogram) = e.max
                AND flagscope.count_above(d.histogram, 1) = e.above_1 END)
    FROM %s d FULL JOIN pg_temp.expected e USING (flag, environment, variant, metric, bucket)
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3$q$, state);
END $$;
SELECT * FROM pg_temp.compare('_flagscope.variant_delta');
SELECT DISTINCT flag, variant FROM _flagscope.variant_delta ORDER BY 1, 2;
-- Bin by bin.
SELECT count(*) AS bins, bool_and(b.count = x.count) AS same FROM (
    SELECT b.lower, b.upper, b.count
    FROM (SELECT flagscope.rollup(histogram) AS h
            FROM _flagscope.variant_delta WHERE flag = 'cart' AND metric = 'duration' AND variant = 'on') h,
        flagscope.buckets(h.h) b
) b LEFT JOIN LATERAL (
    SELECT count(*) FROM sent s
    WHERE s.value > b.lower AND s.value <= b.upper AND s.flags ->> 'cart' = 'on' AND s.signal = 'span'
        AND coalesce(s.environment, 'prod') IN ('production', 'prod') AND s.name IN ('pay', 'browse')
) x ON true;

-- A tick consumes the deltas: the rollup is what the deltas were, and so it stays.
CREATE TEMP TABLE before AS SELECT * FROM _flagscope.variant_delta;
SELECT strata, (SELECT count(DISTINCT (flag, environment, variant, metric)) FROM before) AS series
FROM flagscope.tick('2040-01-02 12:05');
SELECT count(*) AS deltas FROM _flagscope.variant_delta;
SELECT * FROM pg_temp.compare('flagscope.variant_rollup');
SELECT count(*) AS rows,
    bool_and((r.n, r.events, r.moments::text, r.histogram::text, r.last_ts)
        IS NOT DISTINCT FROM (b.n, b.events, b.moments::text, b.histogram::text, b.last_ts)) AS same
FROM flagscope.variant_rollup r FULL JOIN before b USING (flag, environment, variant, metric, bucket);
SELECT strata FROM flagscope.tick('2040-01-02 12:05:01');
SELECT * FROM pg_temp.compare('flagscope.variant_rollup')
EXCEPT SELECT * FROM pg_temp.compare('_flagscope.variant_state');
-- The same rows in 40 statements: merged, they are the same again, in each bucket twice as many.
DO $$
BEGIN
    FOR k IN 0 .. 39 LOOP
        INSERT INTO flagscope.telemetry (ts, signal, name, value, flags, environment, is_error)
        SELECT * FROM sent WHERE extract(microseconds FROM ts)::bigint / 13000 % 40 = k;
    END LOOP;
END $$;
SELECT count(*) > 10 * (SELECT count(*) FROM before) AS many_deltas FROM _flagscope.variant_delta;
SELECT strata FROM flagscope.tick('2040-01-02 12:05:02');
SELECT count(*) AS rows, bool_and(r.n = 2 * e.n AND r.events = 2 * e.events AND r.last_ts = e.last_ts) AS twice,
    bool_and(abs(flagscope.mean(r.moments) - e.mean) < 1e-12 * abs(e.mean)
        AND flagscope.invalid(r.moments) = 2 * e.invalid) AS moments,
    bool_and(flagscope.count_above(r.histogram, 1) = 2 * e.above_1
        AND flagscope.invalid(r.histogram) = 2 * e.invalid) AS histogram
FROM flagscope.variant_rollup r FULL JOIN pg_temp.expected e USING (flag, environment, variant, metric, bucket);

-- What is rolled back leaves no delta; what is deleted or updated later stays counted, as it was judged.
BEGIN;
INSERT INTO flagscope.telemetry (ts, signal, name, flags) VALUES ('2040-01-02 12:10', 'span', 'pay', '{"cart": "on"}');
SELECT count(*) FROM _flagscope.variant_delta;
ROLLBACK;
SELECT count(*) FROM _flagscope.variant_delta;
BEGIN;
SAVEPOINT half;
INSERT INTO flagscope.telemetry (ts, signal, name, flags) VALUES ('2040-01-02 12:10', 'span', 'pay', '{"cart": "on"}');
ROLLBACK TO half;
INSERT INTO flagscope.telemetry (ts, signal, name, flags) VALUES ('2040-01-02 12:10', 'span', 'pay', '{"cart": "off"}');
COMMIT;
DELETE FROM flagscope.telemetry WHERE ts = '2040-01-02 12:10';
SELECT variant, metric, n FROM _flagscope.variant_delta ORDER BY 1, 2;

-- Rows that go straight into a partition count too; so does COPY, and a row whose time has no partition.
TRUNCATE _flagscope.variant_delta;
INSERT INTO _flagscope.telemetry_p20400102 (ts, signal, name, flags)
VALUES ('2040-01-02 12:11', 'span', 'pay', '{"cart": "on"}');
COPY flagscope.telemetry (ts, signal, name, flags) FROM stdin (DELIMITER '|');
2040-01-02 12:11:10|span|pay|{"cart": "on"}
1999-12-31 23:59:59|span|pay|{"cart": "on"}
2200-01-01 00:00|span|pay|{"cart": "on"}
\.
SELECT variant, metric, bucket, n FROM _flagscope.variant_delta ORDER BY metric DESC, bucket;
-- The default environment is the session's.
TRUNCATE _flagscope.variant_delta;
SET flagscope.environment = 'stage';
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags)
VALUES ('2040-01-02 12:12', 'span', 'pay', 1, '{"theme": "red", "cart": "on"}');
RESET flagscope.environment;
SELECT flag, environment, metric, n FROM _flagscope.variant_delta ORDER BY 1, 2, 3;

-- A guardrail is in force for the next statement of the very session that made it, in the same transaction too; and
-- what nobody watches any more is not folded.
TRUNCATE _flagscope.variant_delta;
BEGIN;
INSERT INTO flagscope.telemetry (ts, signal, name, flags)
VALUES ('2040-01-02 12:13', 'log', 'shop', '{"theme": "red"}');
SELECT flagscope.create_metric('logs', 'proportion', 'log', '{}', '{"severity_at_least": 17}');
SELECT flagscope.create_guardrail('theme', 'logs') IS NOT NULL AS made;
INSERT INTO flagscope.telemetry (ts, signal, name, flags, severity)
VALUES ('2040-01-02 12:13', 'log', 'shop', '{"theme": "red"}', 17);
COMMIT;
UPDATE flagscope.guardrail SET enabled = false WHERE metric = 'logs';
INSERT INTO flagscope.telemetry (ts, signal, name, flags, severity)
VALUES ('2040-01-02 12:13', 'log', 'shop', '{"theme": "red"}', 17);
UPDATE flagscope.guardrail SET enabled = true WHERE metric = 'logs';
BEGIN;
DELETE FROM flagscope.guardrail WHERE metric = 'logs';
INSERT INTO flagscope.telemetry (ts, signal, name, flags, severity)
VALUES ('2040-01-02 12:13', 'log', 'shop', '{"theme": "red"}', 17);
ROLLBACK;
INSERT INTO flagscope.telemetry (ts, signal, name, flags, severity)
VALUES ('2040-01-02 12:13', 'log', 'shop', '{"theme": "red"}', 16);
SELECT flag, metric, n, events FROM _flagscope.variant_delta ORDER BY events DESC;
-- A new alias too.
UPDATE flagscope.environment_definition SET aliases = aliases || '{live}' WHERE key = 'production';
INSERT INTO flagscope.telemetry (ts, signal, name, flags, severity, environment)
VALUES ('2040-01-02 12:13', 'log', 'shop', '{"theme": "red"}', 24, 'live');
SELECT sum(n) AS n, sum(events) AS events FROM _flagscope.variant_delta;

-- A point of a histogram counts with every value it stands for, not with its mean alone; computed anew it is the same.
TRUNCATE _flagscope.variant_delta;
SELECT flagscope.create_metric('server p95', 'quantile', 'metric', '{"name": "http.server.request.duration"}'),
    flagscope.create_metric('server mean', 'mean', 'metric', '{"name": "http.server.request.duration"}');
SELECT flagscope.create_guardrail('cart', 'server p95', limit_value => 9, quantile => 0.95) IS NOT NULL
    AND flagscope.create_guardrail('cart', 'server mean', limit_value => 9) IS NOT NULL AS made;
INSERT INTO flagscope.telemetry (ts, signal, name, value, distribution, flags)
SELECT '2040-01-02 12:14', 'metric', 'http.server.request.duration', avg(x), flagscope.histogram(x), '{"cart": "on"}'
FROM (SELECT point, CASE WHEN i % 10 = 0 THEN 2.0 ELSE 0.1 END AS x
    FROM generate_series(1, 3) point, generate_series(1, 100) i) v
GROUP BY point;
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags)
VALUES ('2040-01-02 12:14', 'metric', 'http.server.request.duration', 0.1, '{"cart": "on"}');
SELECT metric, n, round(flagscope.quantile(histogram, 0.95)::numeric, 1) AS p95, flagscope.min(histogram) AS min,
    flagscope.max(histogram) AS max, round(flagscope.mean(moments)::numeric, 9) AS mean,
    round(flagscope.stddev(moments)::numeric, 2) AS stddev
FROM _flagscope.variant_delta ORDER BY metric DESC;
SELECT stddev(x)::numeric(3, 2) AS stddev_by_hand
FROM (SELECT CASE WHEN i % 10 = 0 THEN 2.0 ELSE 0.1 END AS x FROM generate_series(1, 300) i UNION ALL SELECT 0.1) v;
SELECT metric, difference
FROM flagscope.verify_rollup('2040-01-02 12:13:30', '2040-01-02 12:15') WHERE metric LIKE 'server%';
