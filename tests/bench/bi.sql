-- What the queries of a dashboard cost, over the views for BI tools: five days of traffic of one flag in 20 services, a
-- proportion and a quantile on watch, one row in a hundred an error with a log of its own; beside it 200 flags whose
-- rollouts are over, and half a million subjects; and what the page of a rollout costs over the same rows. Aims: 300
-- ms, errors 1 s. Beside the time of the wall stands that of the processor, which other work on the machine does not
-- change.
\pset footer off
SET client_min_messages = warning;
-- As examples/superset and examples/grafana say for the role that dashboards read with.
SET jit = off;
CREATE EXTENSION flagscope;
SELECT flagscope.set_setting('tick.budget', '"1 hour"') \g /dev/null
SELECT flagscope.create_flag('new-checkout') \g /dev/null
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "POST /checkout"}',
    '{"is_error": true}') \g /dev/null
SELECT flagscope.create_metric('duration', 'quantile', 'span', '{"name": "POST /checkout"}', unit => 's') \g /dev/null
SELECT flagscope.create_guardrail('new-checkout', 'errors'),
    flagscope.create_guardrail('new-checkout', 'duration') \g /dev/null
-- Rollouts that were: four stages each, over a day.
SELECT flagscope.create_flag('flag ' || i) FROM generate_series(1, :flags) i \g /dev/null
SELECT flagscope.create_rollout('flag ' || i, stages => '{5, 25, 50, 100}', min_duration => '0')
FROM generate_series(1, :flags) i \g /dev/null
SELECT _flagscope.decide(r.id, v.action::flagscope.action, 'bench', 'by hand',
    now() - interval '20 days' + r.id * interval '1 hour' + v.at::interval)
FROM flagscope.rollout r, (VALUES ('start', '0'), ('advance', '6 hours'), ('advance', '12 hours'),
    ('rollback', '1 day')) v(action, at) ORDER BY r.id, v.at::interval \g /dev/null
SELECT flagscope.create_rollout('new-checkout', stages => '{25, 100}', min_duration => '30 days') AS live \gset
SELECT flagscope.start_rollout(:live, at => now() - interval '5 days') \g /dev/null
INSERT INTO flagscope.rollout_subject (rollout_id, subject, variant, first_seen, treated_at)
SELECT :live, 'subject ' || i, CASE WHEN i % 4 = 0 THEN 'on' ELSE 'off' END,
    now() - i * interval '5 days' / (:bi_rows / 20), CASE WHEN i % 4 = 0 THEN now() END
FROM generate_series(1, :bi_rows / 20) i;
CREATE PROCEDURE fill(n bigint) LANGUAGE plpgsql AS $$
DECLARE
    begin_at timestamptz := now() - interval '5 days';
    parts bigint := greatest(n / 100000, 1);
BEGIN
    FOR part IN 0 .. parts - 1 LOOP
        INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, flags, service, subject, severity, body,
            trace_id)
        SELECT begin_at + (part + i / 100000.0) / parts * interval '5 days',
            CASE WHEN i % 100 = 1 THEN 'log' ELSE 'span' END::flagscope.signal,
            CASE WHEN i % 100 = 1 THEN 'checkout.pay' ELSE 'POST /checkout' END,
            CASE WHEN i % 100 <> 1 THEN exp(sin(i + part) * 2) / 10 END, i % 100 < 2,
            CASE WHEN i % 4 < 2 THEN '{"new-checkout": "on"}' ELSE '{"new-checkout": "off"}' END::jsonb,
            'service ' || i % 20, 'subject ' || i % 5000, CASE WHEN i % 100 = 1 THEN 17 END,
            CASE WHEN i % 100 = 1 THEN format('payment %s of %s refused by bank %s', i, md5(i::text), i / 100 % 30) END,
            CASE WHEN i % 100 < 10 THEN md5(part || ' ' || i / 2)::uuid END
        FROM generate_series(1, 100000) i;
        COMMIT;
        IF part % 10 = 9 THEN PERFORM flagscope.tick(); COMMIT; END IF;
    END LOOP;
    FOR i IN 1..3 LOOP PERFORM flagscope.tick(); PERFORM flagscope.maintain(); COMMIT; END LOOP;
END $$;
-- Partitions first, else the first million rows would have to be moved.
SELECT flagscope.maintain(now() - i * interval '1 day') FROM unnest('{5,3,1,0}'::integer[]) i \g /dev/null
CALL fill(:bi_rows);
VACUUM ANALYZE flagscope.telemetry, flagscope.variant_rollup, flagscope.variant_history, flagscope.rollout_subject,
    flagscope.evaluation, flagscope.decision, flagscope.flag_state_history, _flagscope.service_total,
    _flagscope.variant_delta_0, _flagscope.variant_delta_1, _flagscope.variant_delta_2, _flagscope.variant_delta_3;
CREATE TABLE bi_took (place integer, query text, aim integer, ms float8, processor_ms float8, rows bigint);
-- What this session's process has had of the processor so far, in ms, to a hundredth of a second; Linux alone tells.
CREATE FUNCTION worked() RETURNS float8 LANGUAGE sql AS $$
    SELECT 10 * (f[12]::float8 + f[13]::float8)
    FROM (SELECT string_to_array(split_part(pg_read_file('/proc/self/stat'), ') ', 2), ' ') AS f) x
$$;
CREATE PROCEDURE ask() LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz;
    before float8;
    q record;
    n bigint;
BEGIN
    FOR q IN SELECT * FROM (VALUES
            (1, 300, 'error rate by variant, 5 days by hours',
                'SELECT date_trunc(''hour'', ts), variant, sum(events)::float8 / sum(n) FROM flagscope.bi_metric
                WHERE flag = ''new-checkout'' AND metric = ''errors'' AND ts > now() - interval ''5 days''
                GROUP BY 1, 2'),
            (2, 300, 'p95 by variant, the last hour by 10 seconds',
                'SELECT ts, variant, p95 FROM flagscope.bi_metric WHERE flag = ''new-checkout''
                AND metric = ''duration'' AND ts > now() - interval ''1 hour'''),
            (3, 300, 'all metrics of all flags, 5 days',
                'SELECT flag, metric, variant, sum(n) FROM flagscope.bi_metric WHERE ts > now() - interval ''5 days''
                GROUP BY 1, 2, 3'),
            (4, 300, 'all rollouts', 'SELECT * FROM flagscope.bi_rollout'),
            (5, 300, 'the ramp of one rollout', format('SELECT * FROM flagscope.bi_ramp WHERE rollout_id = %s',
                (SELECT max(id) FROM flagscope.rollout))),
            (6, 300, 'the ramps of all rollouts, 30 days',
                'SELECT * FROM flagscope.bi_ramp WHERE ts > now() - interval ''30 days'''),
            (7, 300, 'guardrails of one flag',
                'SELECT * FROM flagscope.bi_guardrail WHERE flag = ''new-checkout'''),
            (8, 300, 'decisions, 30 days',
                'SELECT * FROM flagscope.bi_decision WHERE ts > now() - interval ''30 days'''),
            (9, 300, 'subjects by variant and hour, 5 days',
                'SELECT date_trunc(''hour'', ts), variant, sum(count) FROM flagscope.bi_exposure
                WHERE flag = ''new-checkout'' GROUP BY 1, 2'),
            (10, 300, 'health', 'SELECT * FROM flagscope.bi_health'),
            (11, 1000, 'errors by fingerprint and variant, 5 days',
                'SELECT variant, fingerprint, sum(count), count(DISTINCT subject) FROM flagscope.bi_error
                WHERE flag = ''new-checkout'' AND ts > now() - interval ''5 days''
                GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 10'),
            (12, 1000, 'errors by fingerprint and variant, the last hour',
                'SELECT variant, fingerprint, sum(count), count(DISTINCT subject) FROM flagscope.bi_error
                WHERE flag = ''new-checkout'' AND ts > now() - interval ''1 hour''
                GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 10'),
            (13, 300, 'filter box: services', 'SELECT service FROM flagscope.bi_service'),
            (14, 300, 'filter box: flags and metrics',
                'SELECT flag FROM flagscope.bi_flag UNION ALL SELECT name FROM flagscope.metric_definition'),
            (15, 300, 'the page of a rollout', format('SELECT flagscope.rollout_page(%s)',
                (SELECT max(id) FROM flagscope.rollout))),
            (16, 300, 'of it the traces', format(
                'SELECT _flagscope.page_traces(r, now()) FROM flagscope.rollout r WHERE r.id = %s',
                (SELECT max(id) FROM flagscope.rollout))),
            (17, NULL, 'beside it: services by DISTINCT', 'SELECT DISTINCT service FROM flagscope.telemetry')
        ) q(place, aim, name, query)
    LOOP
        FOR i IN 1..CASE WHEN q.aim = 300 THEN 7 ELSE 3 END LOOP
            started := clock_timestamp();
            before := worked();
            -- Of whole rows: a column that nobody asks for would not be computed.
            EXECUTE format('SELECT count(q) FROM (%s OFFSET 0) q', q.query) INTO n;
            INSERT INTO bi_took
            VALUES (q.place, q.name, q.aim, extract(epoch FROM clock_timestamp() - started) * 1000,
                worked() - before, n);
        END LOOP;
    END LOOP;
END $$;
CALL ask();
\echo 'Queries of dashboards in ms (median)'
SELECT query, max(rows) AS rows, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric, 1) AS ms,
    round(avg(processor_ms)::numeric) AS "of the processor", aim
FROM bi_took GROUP BY place, query, aim ORDER BY place;
SELECT count(*) AS raw_rows, count(*) FILTER (WHERE is_error OR severity >= 17) AS errors,
    pg_size_pretty((SELECT sum(pg_relation_size(i.indexrelid)) FROM pg_index i
        WHERE pg_get_indexdef(i.indexrelid) ~ 'telemetry.*is_error')) AS index_on_errors,
    pg_size_pretty((SELECT sum(bytes) FROM flagscope.chunk WHERE parent = 'telemetry')) AS telemetry
FROM flagscope.telemetry;
