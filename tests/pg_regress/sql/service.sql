-- The services that telemetry names: told by the ingest trigger, gathered by maintain(), listed by bi_service.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never

-- At once, each once, however many rows and statements; NULL and the empty name are none. Rows need no flags.
INSERT INTO flagscope.telemetry (ts, signal, name, service)
SELECT now() - i * interval '1 day', 'log', 'x', CASE i % 4 WHEN 0 THEN 'web' WHEN 1 THEN 'pay' WHEN 2 THEN '' END
FROM generate_series(1, 100) i;
INSERT INTO flagscope.telemetry (ts, signal, name, service) VALUES (now(), 'span', 'x', 'web');
SELECT service, ts = first_at AS once, ts BETWEEN now() - interval '1 minute' AND clock_timestamp() AS now
FROM flagscope.bi_service ORDER BY service;
SELECT count(*) FROM _flagscope.service_delta;
-- By COPY, and by the functions of OTLP and of people.
COPY flagscope.telemetry (ts, signal, name, service) FROM STDIN (FORMAT csv);
2040-01-01 00:00:00+00,log,x,copied
\.
SELECT count(*) AS ingested FROM flagscope.ingest_otlp('{"resourceLogs": [{"resource": {"attributes": [
    {"key": "service.name", "value": {"stringValue": "by otlp"}}]}, "scopeLogs": [{"logRecords": [
    {"timeUnixNano": "1795341117070601989", "body": {"stringValue": "x"}}]}]}]}');
SELECT flagscope.record('[{"signal": "log", "name": "x", "service": "by hand"}]');
SELECT string_agg(service, ', ' ORDER BY service) AS services FROM flagscope.bi_service;
-- maintain() gathers them; told again, they are the same ones, and only the time moves.
SELECT flagscope.maintain() IS NOT NULL AS maintained;
SELECT count(*) AS waiting FROM _flagscope.service_delta;
UPDATE _flagscope.service_total SET first_at = first_at - interval '1 day', last_at = last_at - interval '1 day';
INSERT INTO _flagscope.service_delta VALUES ('web', now());
SELECT service, ts > now() - interval '1 minute' AS moved, first_at < now() - interval '23 hours' AS first_stays
FROM flagscope.bi_service WHERE service IN ('pay', 'web') ORDER BY service;
SELECT flagscope.maintain() IS NOT NULL AS maintained;
SELECT count(*) AS services, count(*) FILTER (WHERE last_at > now() - interval '1 minute') AS moved
FROM _flagscope.service_total;
-- Forgotten with the telemetry; never more than 1,000; a name is cut to 255 bytes, between characters.
UPDATE _flagscope.service_total SET last_at = now() - interval '30 days 30 minutes' WHERE service = 'pay';
UPDATE _flagscope.service_total SET last_at = now() - interval '30 days 90 minutes' WHERE service = 'copied';
SELECT flagscope.maintain() IS NOT NULL AS maintained;
SELECT string_agg(service, ', ' ORDER BY service) AS services FROM flagscope.bi_service;
INSERT INTO flagscope.telemetry (ts, signal, name, service)
SELECT now(), 'log'::flagscope.signal, 'x', 'service ' || i FROM generate_series(1, 1500) i
UNION ALL SELECT now(), 'log', 'x', repeat('ü', 200);
SELECT count(*) FROM flagscope.bi_service;
SELECT length(service) AS characters, octet_length(service) AS bytes FROM flagscope.bi_service WHERE service LIKE 'ü%';
SELECT flagscope.maintain() IS NOT NULL AS maintained;
SELECT count(*) FROM flagscope.bi_service;
-- A writer needs no right to these tables, and has none.
CREATE ROLE regress_service_writer;
SELECT flagscope.grant_writer('regress_service_writer');
SET ROLE regress_service_writer;
INSERT INTO flagscope.telemetry (ts, signal, name, service) VALUES (now(), 'log', 'x', 'of the writer');
SELECT * FROM flagscope.bi_service;
RESET ROLE;
SELECT service FROM _flagscope.service_delta;
DROP OWNED BY regress_service_writer;
DROP ROLE regress_service_writer;
-- What nobody consumes does not grow beyond 8 MB.
INSERT INTO _flagscope.service_delta SELECT repeat(md5(i::text), 7), now() FROM generate_series(1, 40000) i;
SELECT pg_relation_size('_flagscope.service_delta') >= 8388608 AS full;
INSERT INTO flagscope.telemetry (ts, signal, name, service) VALUES (now(), 'log', 'x', 'too late');
SELECT count(*) FROM flagscope.bi_service WHERE service = 'too late';
