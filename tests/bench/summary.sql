-- variant_summary, from rollups, over a growing number of raw rows, against the same question put to the raw rows: five
-- days of traffic of one flag, a proportion and a quantile.
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION flagscope;
SELECT flagscope.create_flag('new-checkout') \g /dev/null
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "POST /checkout"}',
    '{"is_error": true}') \g /dev/null
SELECT flagscope.create_metric('duration', 'quantile', 'span', '{"name": "POST /checkout"}') \g /dev/null
SELECT flagscope.create_guardrail('new-checkout', 'errors'),
    flagscope.create_guardrail('new-checkout', 'duration') \g /dev/null
CREATE TABLE summary_took (rows bigint, name text, ms float8, place integer);
CREATE PROCEDURE fill(n bigint) LANGUAGE plpgsql AS $$
DECLARE
    begin_at timestamptz := date_trunc('hour', now()) - interval '5 days';
    have bigint := (SELECT count(*) FROM flagscope.telemetry);
BEGIN
    -- One part after the other, each over all of the five days, as traffic of a busier shop.
    FOR part IN have / 100000 .. n / 100000 - 1 LOOP
        INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, flags)
        SELECT begin_at + (part % 50 + i / 100000.0) * interval '144 minutes', 'span', 'POST /checkout',
            exp(sin(i + part) * 2) / 10, i % 100 = 0,
            CASE WHEN i % 4 = 0 THEN '{"new-checkout": "on"}' ELSE '{"new-checkout": "off"}' END::jsonb
        FROM generate_series(1, 100000) i;
        COMMIT;
        IF part % 10 = 9 THEN PERFORM flagscope.tick(); COMMIT; END IF;
    END LOOP;
    FOR i IN 1..3 LOOP PERFORM flagscope.tick(); PERFORM flagscope.maintain(); COMMIT; END LOOP;
END $$;
CREATE PROCEDURE ask(n bigint) LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz;
    q record;
BEGIN
    FOR q IN SELECT * FROM (VALUES
            (1, 'variant_summary, 5 days',
                'SELECT * FROM flagscope.variant_summary(''new-checkout'',
                    since => now() - interval ''5 days'', until => NULL)', 9),
            (2, 'variant_summary, 1 hour', 'SELECT * FROM flagscope.variant_summary(''new-checkout'')', 9),
            (3, 'metric_series, 5 days by hours',
                'SELECT * FROM flagscope.metric_series(''new-checkout'', ''duration'',
                    since => now() - interval ''5 days'', until => now(), bucket_width => ''1 hour'')', 9),
            (4, 'raw rows, 5 days, exact quantiles',
                'SELECT flags ->> ''new-checkout'', count(*), count(*) FILTER (WHERE is_error),
                    percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY value)
                FROM flagscope.telemetry
                WHERE signal = ''span'' AND name = ''POST /checkout'' AND ts > now() - interval ''5 days''
                GROUP BY 1', 1),
            (5, 'raw rows, 5 days, counts alone',
                'SELECT flags ->> ''new-checkout'', count(*), count(*) FILTER (WHERE is_error)
                FROM flagscope.telemetry
                WHERE signal = ''span'' AND name = ''POST /checkout'' AND ts > now() - interval ''5 days''
                GROUP BY 1', 1)
        ) q(place, name, query, times)
    LOOP
        FOR i IN 1..q.times LOOP
            started := clock_timestamp();
            EXECUTE q.query;
            INSERT INTO summary_took
            VALUES (n, q.name, extract(epoch FROM clock_timestamp() - started) * 1000, q.place);
        END LOOP;
    END LOOP;
END $$;
-- As after some minutes: what filling left behind in the tables of rollups is vacuumed.
SELECT format('CALL fill(%s)', n),
    'VACUUM ANALYZE flagscope.variant_rollup, flagscope.variant_history,
        _flagscope.variant_delta_0, _flagscope.variant_delta_1, _flagscope.variant_delta_2, _flagscope.variant_delta_3',
    format('CALL ask(%s)', n)
FROM (SELECT unnest(ARRAY[1e6, 1e7, 5e7]) UNION SELECT :summary_rows) s(n) WHERE n <= :summary_rows ORDER BY n
\gexec
\echo 'Latency in ms (median), by number of raw rows'
SELECT rows, name, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric, 1) AS ms
FROM summary_took GROUP BY rows, name, place ORDER BY place, rows;
SELECT count(*) AS raw_rows,
    (SELECT sum(n) FROM flagscope.variant_states('new-checkout', since => now() - interval '10 days',
        metric => 'errors')) AS in_rollups,
    pg_size_pretty((SELECT sum(bytes) FROM flagscope.chunk WHERE parent = 'telemetry')) AS raw,
    pg_size_pretty(pg_total_relation_size('flagscope.variant_rollup')
        + pg_total_relation_size('flagscope.variant_history')) AS rollups
FROM flagscope.telemetry;
