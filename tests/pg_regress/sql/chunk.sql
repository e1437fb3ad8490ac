-- Partitions by hand and by volume: widths, retention that drops or detaches, and what is kept beyond the extension.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SET timezone = 'America/New_York';

-- Bounds are UTC over both changes of the clocks, whatever the session's zone.
SELECT flagscope.set_chunk_interval('6 hours'), flagscope.set_setting('telemetry.premake', '5');
SELECT made FROM flagscope.maintain('2040-03-11 04:00+00');
SELECT flagscope.confirm_time('2040-11-04 04:00+00');
SELECT made FROM flagscope.maintain('2040-11-04 04:00+00');
SELECT chunk, lower AT TIME ZONE 'UTC' AS lower, upper AT TIME ZONE 'UTC' AS upper
FROM flagscope.chunk WHERE parent = 'telemetry' ORDER BY lower;
INSERT INTO flagscope.telemetry (ts, signal, name)
SELECT t, 'log', 'hourly' FROM generate_series(timestamptz '2040-11-04 00:00+00', '2040-11-05 11:00+00', '1 hour') t;
ANALYZE flagscope.telemetry;
SELECT c.chunk, c.rows_estimated, c.bytes > 0 AS has_bytes, count(*),
    bool_and(t.ts >= c.lower AND t.ts < c.upper) AS within, c.age IS NULL AS not_over
FROM flagscope.telemetry t JOIN flagscope.chunk c ON c.chunk = t.tableoid::regclass
GROUP BY 1, 2, 3, 6, c.lower ORDER BY c.lower;
RESET timezone;

-- By volume: a day at first; narrower once a day of it would be too large.
SELECT flagscope.set_chunk_interval(NULL), flagscope.set_setting('telemetry.premake', '1');
SELECT flagscope.confirm_time('2040-12-01 12:00');
SELECT made FROM flagscope.maintain('2040-12-01 12:00');
INSERT INTO flagscope.telemetry (ts, signal, name, body)
SELECT '2040-12-01 00:00:00'::timestamptz + i * interval '4 s', 'log', 'volume', repeat('x', 400)
FROM generate_series(1, 10000) i;
SELECT _flagscope.chunk_interval('telemetry', '2040-12-01 12:00');
SELECT flagscope.set_setting('telemetry.chunk_bytes', '5e6');
SELECT _flagscope.chunk_interval('telemetry', '2040-12-01 12:00');
SELECT flagscope.set_setting('telemetry.chunk_bytes', '5e5');
SELECT _flagscope.chunk_interval('telemetry', '2040-12-01 12:00');
SELECT flagscope.confirm_time('2040-12-02 23:30');
SELECT made FROM flagscope.maintain('2040-12-02 23:30');
SELECT chunk, lower, upper FROM flagscope.chunk WHERE parent = 'telemetry' AND lower >= '2040-12-01' ORDER BY lower;

-- Retention that detaches: the rows stay, as a table of the user's, out of telemetry.
SELECT flagscope.set_retention('10 days', expired => 'detach');
SELECT flagscope.confirm_time('2040-11-14 13:00');
SELECT dropped FROM flagscope.maintain('2040-11-14 13:00');
SELECT count(*) FROM flagscope.telemetry WHERE ts < '2040-03-11 06:00';
SELECT c.relname, c.relispartition, (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = c.oid) AS triggers
FROM pg_class c WHERE relname LIKE 'detached%' AND relkind = 'r';
SELECT what, at FROM _flagscope.removal WHERE what = 'telemetry';
-- Rollups cannot be computed from rows that are gone.
SELECT * FROM flagscope.rebuild_rollup('2040-03-11');

-- By hand.
SELECT * FROM flagscope.drop_chunks('2040-11-04 06:00');
SELECT * FROM flagscope.drop_chunks('2040-11-04 06:00');
SELECT count(*) FROM flagscope.telemetry WHERE name = 'hourly';
SELECT * FROM flagscope.drop_chunks('2041-01-01', 'metric');
SELECT flagscope.set_chunk_interval('1 second');
SELECT flagscope.set_chunk_interval('1 month');
SELECT flagscope.set_chunk_interval(NULL, 'evaluation');
SELECT flagscope.set_retention('0 s');
SELECT flagscope.set_retention('1 day', expired => 'archive');
SELECT flagscope.set_setting('telemetry.chunk_interval', '"automatic"');

-- Before DROP EXTENSION: what is detached stays.
INSERT INTO flagscope.telemetry (ts, signal, name, flags) VALUES ('1970-01-01', 'log', 'stray', '{"f": "on"}');
SELECT count(*) FROM flagscope.telemetry;
BEGIN;
SELECT * FROM flagscope.detach_all('kept') d WHERE d::text !~ 'evaluation' ORDER BY 1;
SELECT count(*) FROM flagscope.telemetry;
DROP EXTENSION flagscope;
COMMIT;
SELECT relname, (SELECT count(*) FROM pg_index i WHERE i.indrelid = c.oid) AS indexes
FROM pg_class c WHERE relnamespace = 'kept'::regnamespace AND relkind = 'r' AND relname ~ 'telemetry' ORDER BY 1;
SELECT signal, count(*), pg_typeof(signal) FROM kept.detached_telemetry_p20401201 GROUP BY signal;
SELECT ts, signal, name, flags FROM kept.detached_telemetry_stray;
CREATE EXTENSION flagscope;
SELECT made FROM flagscope.maintain('2040-12-01 12:00');
SET client_min_messages = warning;
DROP SCHEMA kept CASCADE;
