-- The ends of what there is: infinite ranges, the first and the last time of PostgreSQL, options out of bounds.
\set SHOW_CONTEXT never
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SELECT made > 0 AS made FROM flagscope.maintain();
SELECT flagscope.create_flag('f'),
    flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_guardrail('f', 'errors') AS guardrail;
INSERT INTO flagscope.telemetry (ts, signal, name, is_error, subject, flags)
SELECT ts, 'span', 'pay', true, 'ann', '{"f": "on"}'
FROM unnest('{"4714-11-24 00:00:00Z BC", "2000-01-01 00:00:00Z", "294276-12-31 23:59:59.999999Z"}'::timestamptz[]) ts;
SELECT flagscope.tick() IS NOT NULL AS ticked;
SELECT made >= 0 AS maintained FROM flagscope.maintain();
-- All of them are counted, verified and read, whatever the range.
SELECT count(*) AS differences FROM flagscope.verify_rollup('-infinity');
SELECT count(*) AS differences FROM flagscope.verify_rollup('-infinity', '294276-12-31 23:59:59.999999Z');
SELECT flagscope.rebuild_rollup('-infinity') > 0 AS rebuilt;
SELECT count(*) AS differences FROM flagscope.verify_rollup('-infinity', 'infinity');
SELECT r.since, r.until, (SELECT sum(n)
        FROM flagscope.variant_summary('f', since => r.since::timestamptz, until => r.until::timestamptz)) AS n,
    (SELECT count(*)
        FROM flagscope.telemetry_of('ann', r.since::timestamptz, r.until::timestamptz)) AS rows_of_ann
FROM (VALUES (NULL, NULL), ('-infinity', 'infinity'), ('-infinity', '2000-01-02'),
    ('294276-12-31 23:59:59Z', 'infinity'), ('4714-11-24 00:00:00Z BC', '4714-11-25 00:00:00Z BC'),
    ('infinity', 'infinity'), ('-infinity', '-infinity'), ('2000-01-02', '2000-01-01')) r(since, until);
SELECT r.since, r.until,
    (SELECT sum(n) FROM flagscope.metric_series('f', 'errors', since => r.since::timestamptz,
        until => r.until::timestamptz, bucket_width => r.bucket_width)) AS n
FROM (VALUES ('1999-12-31', '2000-01-02', '1 day'::interval), ('infinity', 'infinity', '1 day'),
    ('-infinity', '-infinity', '1 day'), ('2000-01-02', '2000-01-01', '1 day'),
    ('280000-01-01', 'infinity', '10000 days'),
    ('-infinity', '1990-01-01', '10000 days')) r(since, until, bucket_width);
SET client_min_messages = notice;
SELECT count(*) FROM flagscope.metric_series('f', 'errors', since => '-infinity', until => '2020-01-01');
SELECT count(*), sum(n) FROM flagscope.variant_states('f', since => '-infinity', until => 'infinity');
SELECT count(*), sum(n) FROM flagscope.variant_states('f', since => 'infinity', until => '-infinity');
SELECT * FROM flagscope.verify_rollup('infinity');
SELECT * FROM flagscope.rebuild_rollup('infinity', '-infinity');
SELECT topic, n FROM flagscope.preview_metric('errors', '-infinity', 'infinity') WHERE topic = 'rows';
-- A rollout of this flag, and what looks back at it.
SET client_min_messages = warning;
SELECT flagscope.start_rollout(flagscope.create_rollout('f', stages => '{50, 100}')) > 0 AS started;
SELECT count(*) >= 0 AS answers FROM flagscope.backtest_guardrail(1, '-infinity', 'infinity');
SELECT r.rule,
    (SELECT count(*) >= 0
        FROM flagscope.backtest('f', r.rule::jsonb, since => '-infinity', until => 'infinity')) AS answers
FROM (VALUES ('{"metric": "errors", "margin": 0.5}'), ('{"metric": "errors", "limit_value": 0.5}'),
    ('{"metric": "errors", "limit_value": 0.5, "test": "threshold"}'),
    ('{"metric": "errors", "test": "anomaly"}')) r(rule);
SELECT * FROM flagscope.rollout_report(1, 'infinity');
SELECT flagscope.ramp_gate(1, '-infinity') IS NOT NULL AS says_why;
SELECT * FROM flagscope.evaluate_as_of('f', 'ann', at => 'infinity');
SELECT variant FROM flagscope.evaluate_as_of('f', 'ann', at => '294276-12-31');
SELECT flagscope.record_event('order', at => '-infinity');
SELECT variant FROM flagscope.expose('f', 'ann', at => 'infinity');
SELECT minutes FROM flagscope.suggest_margin(1, '-infinity', 'infinity');

-- Options of aggregates and readers out of bounds: the value is told, with what it must be.
CREATE FUNCTION pg_temp.try(expression text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
    got text;
BEGIN
    EXECUTE format('SELECT (%s)::text FROM generate_series(1, 3) x', expression) INTO got;
    RETURN 'gives ' || coalesce(got, 'NULL');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE || ' ' || SQLERRM, nullif(hint, ''));
END $$;
SELECT e AS expression, pg_temp.try(e)
FROM unnest(ARRAY['flagscope.tdigest(x, -1)', 'flagscope.tdigest(x, 0)', 'flagscope.tdigest(x, 2147483647)',
    'flagscope.tdigest(x, NULL)', 'flagscope.histogram(x, -99)', 'flagscope.histogram(x, 99)',
    'flagscope.histogram(x, NULL)', 'flagscope.moments(x, ''NaN'')', 'flagscope.moments(x, NULL)',
    'flagscope.quantile(flagscope.histogram(x), 95)', 'flagscope.quantile(flagscope.histogram(x), -0.1)',
    'flagscope.quantile(flagscope.tdigest(x), float8 ''NaN'')',
    'flagscope.quantile(flagscope.histogram(x), ''{0.5, 2}''::float8[])',
    'flagscope.quantile_interval(flagscope.histogram(x), 0.5, 95)',
    'flagscope.quantile_interval(flagscope.tdigest(x), 0.5, 1)',
    'flagscope.trimmed_mean(flagscope.histogram(x), 0.9, 0.1)', 'flagscope.trimmed_mean(flagscope.tdigest(x), -1, 2)',
    'flagscope.quantile_rank(flagscope.histogram(x), ''NaN'')', 'flagscope.ewma(x, 2)', 'flagscope.ewma(x, 0)',
    'flagscope.ewma_z(x, -1)',
    '(SELECT verdict FROM flagscope.sequential_proportion_test(''{5}'', ''{1}'', ''{5}'', ''{1}'', margin => 2))',
    '(SELECT p_value FROM flagscope.proportion_test(5, 1, 5, 1, 95))']) e;
