-- correlate() over rows of telemetry beside a plain SELECT count(*) over the same rows, in the same run: requests with
-- ten attributes, one in ten with a log line and one in five with a child span.
\set ON_ERROR_STOP on
CREATE EXTENSION flagscope;
SELECT flagscope.create_flag('f'), flagscope.create_metric('errors', 'proportion', 'span', '{"name": "POST /checkout"}',
    '{"is_error": true}'),
    flagscope.create_metric('duration', 'quantile', 'span', '{"name": "POST /checkout"}', unit => 's') \gset ignored_
-- All rows are read, however long it takes.
SELECT flagscope.set_setting('correlate.timeout', '"10 minutes"') \gset ignored_
SELECT count(flagscope.maintain()) AS made FROM generate_series(1, 1) \gset ignored_
CREATE FUNCTION pg_temp.u(i bigint, what bigint) RETURNS float8 LANGUAGE sql IMMUTABLE
AS $$ SELECT (hashint8extended(i, what) & 1048575) / 1048576.0::float8 $$;
SET flagscope.attribution = off;
INSERT INTO flagscope.telemetry (ts, signal, name, value, subject, flags, service, is_error, trace_id, span_id,
    parent_span_id, severity, body, attributes, environment)
SELECT date_trunc('day', now()) + (i * interval '20 hours') / :correlate_rows,
    CASE k WHEN 1 THEN 'span' WHEN 2 THEN 'span' ELSE 'log' END::flagscope.signal,
    CASE k WHEN 1 THEN 'POST /checkout' WHEN 2 THEN 'SELECT price' ELSE 'shop' END,
    CASE WHEN k < 3 THEN 0.02 + 0.1 * pg_temp.u(i, 6) END, 'user-' || w.who,
    jsonb_build_object('f', CASE WHEN pg_temp.u(w.who, 2) < 0.5 THEN 'on' ELSE 'off' END, 'g',
        CASE WHEN pg_temp.u(w.who, 9) < 0.5 THEN 'on' ELSE 'off' END),
    'shop', CASE WHEN k = 1 THEN pg_temp.u(i, 5) < CASE WHEN pg_temp.u(w.who, 2) < 0.5 AND pg_temp.u(w.who, 3) < 0.2
    THEN 0.06 ELSE 0.01 END END,
    md5(i::text)::uuid, decode(lpad(to_hex(4 * i + k), 16, '0'), 'hex'),
    CASE WHEN k > 1 THEN decode(lpad(to_hex(4 * i + 1), 16, '0'), 'hex') END,
    CASE WHEN k = 3 THEN 9 END, CASE WHEN k = 3 THEN format('order %s of user-%s took %sms', i, w.who, i % 900) END,
    CASE WHEN k = 1 THEN jsonb_build_object('country',
        (ARRAY['DE','FR','US','AT','PL'])[1 + floor(5 * pg_temp.u(w.who, 3))::integer], 'app_version',
    '2.' || floor(8 * pg_temp.u(w.who, 4)),
        'http.route', '/checkout', 'http.response.status_code', 200, 'request_id', md5(i::text), 'region',
        'eu-' || i % 7, 'host', 'host-' || i % 60,
        'items', i % 9, 'payload', floor(1e5 * pg_temp.u(i, 8)), 'plan', (ARRAY['free','team','pro'])[1 + i % 3],
        'browser', 'b' || w.who % 11, 'is_new', i % 5 = 0) END, 'production'
FROM generate_series(1, (:correlate_rows / 1.3)::bigint) i,
    LATERAL (SELECT floor(:correlate_rows / 20 * pg_temp.u(i, 1))::bigint AS who) w,
    LATERAL (SELECT 1 AS k UNION ALL SELECT 2 WHERE i % 5 = 0 UNION ALL SELECT 3 WHERE i % 10 = 0) k;
VACUUM (ANALYZE) flagscope.telemetry;
CREATE TABLE took (what text, ms float8);
CREATE FUNCTION pg_temp.measure(what text, statement text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    begun timestamptz;
BEGIN
    FOR i IN 1..3 LOOP
        begun := clock_timestamp();
        EXECUTE statement;
        INSERT INTO took VALUES (what, 1000 * extract(epoch FROM clock_timestamp() - begun));
    END LOOP;
    RETURN 3;
END $$;
SET max_parallel_workers_per_gather = 0;
SELECT pg_temp.measure('SELECT count(*)', 'SELECT count(*) FROM flagscope.telemetry WHERE ts >= date_trunc(''day'', '
    'now()) AND ts < date_trunc(''day'', now()) + interval ''1 day''') \gset ignored_
SELECT sum(pg_temp.measure(what, format('SELECT * FROM flagscope.%s', call))) AS runs FROM (VALUES
    ('correlate(errors)', 'correlate(''f'', ''errors'', since => date_trunc(''day'', now()), until => '
        'date_trunc(''day'', now()) + interval ''1 day'', treatment => ''on'', control => ''off'')'),
    ('correlate(duration)', 'correlate(''f'', ''duration'', since => date_trunc(''day'', now()), until => '
        'date_trunc(''day'', now()) + interval ''1 day'', treatment => ''on'', control => ''off'')'),
    ('compare_spans', 'compare_spans(''f'', since => date_trunc(''day'', now()), until => date_trunc(''day'', now()) + '
        'interval ''1 day'', treatment => ''on'', control => ''off'')'),
    ('compare_patterns', 'compare_patterns(''f'', since => date_trunc(''day'', now()), until => date_trunc(''day'', '
        'now()) + interval ''1 day'', treatment => ''on'', control => ''off'')'),
    ('log_patterns',
        'patterns((SELECT flagscope.log_patterns(body, ts) FROM flagscope.telemetry WHERE body IS NOT NULL))')) v(what,
        call) \gset ignored_
SELECT t.what, round(min(t.ms)) AS ms,
    round((min(t.ms) / (SELECT min(c.ms) FROM took c WHERE c.what = 'SELECT count(*)'))::numeric,
    1) AS "times count(*)",
    round((1000 * min(t.ms) / (SELECT count(*) FROM flagscope.telemetry))::numeric, 2) AS "us a row"
FROM took t GROUP BY t.what ORDER BY 2;
SELECT kind, finding, round(100 * share::numeric) AS "%"
    FROM flagscope.correlate('f', 'errors', since => date_trunc('day', now()),
    until => date_trunc('day', now()) + interval '1 day', treatment => 'on', control => 'off');
