-- Telemetry that counts for nobody: stored, counted by cause and flag, and told by status().
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SELECT flagscope.maintain() IS NOT NULL AS ready;
CREATE FUNCTION pg_temp.told() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT regexp_replace(says, '\d{4}-\d\d-\d\d \d\d:\d\d', 'NOW') FROM flagscope.status() WHERE item = 'not counted'
$$;

-- Also before anything is on watch, and before there is a flag.
INSERT INTO flagscope.telemetry (ts, signal, name, flags)
VALUES (clock_timestamp(), 'span', 'pay', '{"new-checkout": "on"}');
SELECT cause, environment, flag, rows, example FROM flagscope.uncounted;
SELECT * FROM pg_temp.told();
TRUNCATE _flagscope.uncounted_delta;

SELECT flagscope.create_flag('new-checkout'), flagscope.create_flag('theme', '{"blue": "#00f"}', 'blue', 'string');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_guardrail('new-checkout', 'errors');
-- What counts, and what could if somebody watched it, is not told.
INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags)
SELECT clock_timestamp(), 'span', 'pay', false, f::jsonb
FROM unnest('{"{\"new-checkout\": \"on\"}","{\"new-checkout\": \"off\", \"theme\": \"blue\"}","{}",NULL}'::text[]) f;
SELECT count(*) FROM flagscope.uncounted;

-- Each cause, in one statement and by another role without rights on any table behind it.
CREATE ROLE uncounted_writer;
SELECT flagscope.grant_writer('uncounted_writer');
SET ROLE uncounted_writer;
INSERT INTO flagscope.telemetry (ts, signal, name, is_error, environment, flags)
SELECT clock_timestamp(), 'span', 'pay', false, e, f::jsonb FROM (VALUES
    ('production', '{"new-checkout": true}'), ('production', '{"new-checkout": true, "theme": "blue"}'),
    ('prod', '{"new-checkout": null, "theme": 17.50}'),
    ('production', '{"new-checkout": {"variant": "on"}}'), ('production', '{"theme": ["blue"]}'),
    ('production', '{"new-chekout": "on", "theme": "blue"}'), ('production', '{"new-checkout": "On"}'),
    ('production', '{"theme": "red"}'),
    ('prd', '{"new-checkout": "on"}'), ('prd', '{"new-checkout": "on"}'), ('prd', '{"nobody": "knows"}'), ('prd', NULL),
    ('production', NULL)) v(e, f);
RESET ROLE;
SELECT cause, environment, flag, rows, example FROM flagscope.uncounted ORDER BY cause, environment, flag;
SELECT * FROM pg_temp.told();
-- Who reads sees all of it.
CREATE ROLE uncounted_reader;
SELECT flagscope.grant_reader('uncounted_reader');
SET ROLE uncounted_reader;
SELECT count(*), (SELECT count(*) FROM flagscope.uncounted) AS lines FROM flagscope.status() WHERE item = 'not counted';
RESET ROLE;
-- The rows are there, and what counts among them is counted.
SELECT count(*) FROM flagscope.telemetry WHERE environment = 'prd';
SELECT variant, sum(n) FROM _flagscope.variant_delta WHERE metric = 'errors' GROUP BY 1 ORDER BY 1;
-- One row for each cause and flag of a statement, however many rows it had; COPY and OTLP are told, too.
SELECT count(*) FROM _flagscope.uncounted_delta;
COPY flagscope.telemetry (ts, signal, name, flags) FROM stdin (DELIMITER '|');
2040-01-01|event|x|{"copied": "on"}
2040-01-01|event|x|{"copied": "on"}
2040-01-01|event|x|{"copied": "off"}
\.
SELECT accepted FROM flagscope.ingest_otlp('{
    "resourceLogs": [{"resource": {"attributes": [{"key": "deployment.environment.name",
    "value": {"stringValue": "prd"}}]},
    "scopeLogs": [{"logRecords": [{"timeUnixNano": "2208988800000000000", "eventName": "feature_flag.evaluation",
    "attributes": [{"key": "feature_flag.key", "value": {"stringValue": "by-otlp"}},
        {"key": "feature_flag.result.variant", "value": {"stringValue": "on"}}]}]}]}]}');
SELECT cause, environment, flag, rows, example
FROM flagscope.uncounted WHERE flag IN ('copied', 'by-otlp') ORDER BY flag;
-- A row that is tied to what its trace says counts for that, too, and once: the tie is an update of the same row.
INSERT INTO flagscope.telemetry (ts, signal, name, trace_id, flags)
VALUES (clock_timestamp(), 'event', 'feature_flag.evaluation', '00000000-0000-0000-0000-0000000000aa',
    '{"traced": "on"}');
INSERT INTO flagscope.telemetry (ts, signal, name, trace_id)
VALUES (clock_timestamp(), 'span', 'pay', '00000000-0000-0000-0000-0000000000aa');
SELECT cause, flag, rows FROM flagscope.uncounted WHERE flag = 'traced';

-- maintain() adds up what came in; the view says the same before and after, and more rows go to the same line.
CREATE TEMP TABLE before AS TABLE flagscope.uncounted;
SELECT flagscope.maintain() IS NOT NULL AS gathered;
SELECT count(*) FROM _flagscope.uncounted_delta;
(TABLE before EXCEPT TABLE flagscope.uncounted) UNION ALL (TABLE flagscope.uncounted EXCEPT TABLE before);
INSERT INTO flagscope.telemetry (ts, signal, name, flags)
VALUES (clock_timestamp(), 'span', 'pay', '{"new-checkout": "OFF"}');
SELECT rows, example FROM flagscope.uncounted WHERE flag = 'new-checkout' AND cause = 'unknown variant';
-- A variant that is known from now on counts from now on; what was told stays told until it is old.
UPDATE flagscope.flag_definition SET variants = variants || '{"OFF": false}' WHERE key = 'new-checkout';
INSERT INTO flagscope.telemetry (ts, signal, name, flags)
VALUES (clock_timestamp(), 'span', 'pay', '{"new-checkout": "OFF"}');
SELECT rows FROM flagscope.uncounted WHERE flag = 'new-checkout' AND cause = 'unknown variant';
SELECT flagscope.create_flag('copied');
INSERT INTO flagscope.telemetry (ts, signal, name, flags) VALUES (clock_timestamp(), 'span', 'pay', '{"copied": "on"}');
SELECT rows FROM flagscope.uncounted WHERE flag = 'copied';
-- A statement that fails tells nothing.
BEGIN;
INSERT INTO flagscope.telemetry (ts, signal, name, flags)
VALUES (clock_timestamp(), 'span', 'pay', '{"rolled-back": "on"}');
ROLLBACK;
SELECT count(*) FROM flagscope.uncounted WHERE flag = 'rolled-back';

-- However many flags a statement names, few rows are written; and 1,000 flags are kept apart, the latest.
INSERT INTO flagscope.telemetry (ts, signal, name, flags)
SELECT clock_timestamp(), 'span', 'pay', jsonb_build_object('user ' || n, 'on') FROM generate_series(1, 10000) n;
SELECT count(*) <= 65 AS few, sum(n) FROM _flagscope.uncounted_delta WHERE cause = 'unknown flag';
SELECT _flagscope.gather_uncounted();
INSERT INTO _flagscope.uncounted_total
SELECT 'unknown flag', 'production', 'flag ' || n, 1, '{}', clock_timestamp(), clock_timestamp()
FROM generate_series(1, 2000) n;
CREATE TEMP TABLE all_rows AS SELECT sum(rows) AS rows FROM flagscope.uncounted;
SELECT _flagscope.gather_uncounted();
SELECT count(*) FILTER (WHERE flag <> '') AS apart, count(*) FILTER (WHERE flag = '') <= 4 AS others,
    sum(n) = (SELECT rows FROM all_rows) AS none_lost
FROM _flagscope.uncounted_total;
SELECT count(*) FROM pg_temp.told();
-- What did not come again for a week is forgotten; status() tells of the last day.
UPDATE _flagscope.uncounted_total SET last_at = clock_timestamp() - interval '2 days';
SELECT count(*) FROM pg_temp.told();
UPDATE _flagscope.uncounted_total SET last_at = clock_timestamp() - interval '8 days' WHERE flag <> 'flag 2000';
SELECT _flagscope.gather_uncounted();
SELECT DISTINCT flag FROM flagscope.uncounted;
-- When nobody maintains, 8 MB of such news are enough.
INSERT INTO _flagscope.uncounted_delta
SELECT 'unknown flag', 'production', repeat('x', 200), '{}', 1, clock_timestamp() FROM generate_series(1, 40000);
SELECT pg_relation_size('_flagscope.uncounted_delta') >= 8388608 AS full;
INSERT INTO flagscope.telemetry (ts, signal, name, flags) VALUES (clock_timestamp(), 'span', 'pay', '{"beyond": "on"}');
SELECT count(*) FROM flagscope.uncounted WHERE flag = 'beyond';
-- No publication stands in the way of consuming it.
SET client_min_messages = error;  -- of wal_level, which is the server's matter
CREATE PUBLICATION uncounted_everywhere FOR ALL TABLES;
RESET client_min_messages;
SELECT _flagscope.gather_uncounted();
SELECT count(*) FROM _flagscope.uncounted_delta;
DROP PUBLICATION uncounted_everywhere;
DROP OWNED BY uncounted_writer, uncounted_reader;
DROP ROLE uncounted_writer, uncounted_reader;
