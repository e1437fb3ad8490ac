-- Frozen chunks: every row comes back as it was, queries read them as before, skip what they need not read, and say
-- which segment is damaged.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SELECT flagscope.set_chunk_interval('1 day'), flagscope.set_setting('telemetry.premake', '1'),
    flagscope.set_retention('400 days');
SELECT made FROM flagscope.maintain('2026-03-01 12:00');
SELECT flagscope.confirm_time('2026-03-03 12:00');
SELECT made FROM flagscope.maintain('2026-03-03 12:00');

-- A shop: 45,000 spans of 9,000 traces of 500 users on 1 March, and rows of every odd kind.
INSERT INTO flagscope.telemetry (ts, ts_nanos, signal, name, value, unit, subject, flags, service, is_error, trace_id,
    span_id, attributes, attribution, environment, instance)
SELECT '2026-03-01'::timestamptz + i * interval '1.9 s', i % 1000, 'span', 'GET /' || i % 7, i / 1000.0, 's',
    'user-' || i / 90, jsonb_build_object('new-checkout', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END), 'service-'
        || i % 3,
    i % 100 = 0, md5((i / 5)::text)::uuid, decode(left(md5(i::text), 16), 'hex'),
    jsonb_build_object('http.route', '/' || i % 7, 'n', i), 'tag', 'production', 'pod-' || i % 4
FROM generate_series(1, 45000) i;
INSERT INTO flagscope.telemetry (ts, signal, name, value, severity, body, attributes, span_id, parent_span_id, subject,
    distribution, unit, environment, attribution)
SELECT '2026-03-01 23:59:00'::timestamptz + n * interval '1 s', s::flagscope.signal, name, value, severity, body,
    attributes,
    span_id, parent_span_id, subject, distribution, unit, environment, 'none'
FROM (VALUES
    (1, 'log', '', float8 'NaN', 24::smallint, '', jsonb '{}', bytea '', bytea '\x00', '', NULL::flagscope.histogram,
        '', NULL),
    (2, 'event', 'ä€😀', '-0', -32768, E'tab\t"\\ new\nline', '[]', '\x0102030405060708', NULL, NULL,
        NULL, NULL, 'x'),
    (3, 'metric', 'm', 'Infinity', 0, NULL, '{"a": 1.10, "b": 1e300, "c": [null, true, {"d": "\u00e9"}], "": ""}', NULL,
        NULL, NULL, (SELECT flagscope.histogram(x) FROM generate_series(1.0, 9.0) x), NULL, NULL),
    (4, 'metric', 'm', '-Infinity', 32767, repeat('lång ', 40000), 'null', NULL, NULL, 'user-1',
        NULL, NULL, NULL),
    (5, 'metric', 'm', 4.9e-324, NULL, NULL, '"text"', NULL, NULL, NULL, NULL, NULL, NULL),
    (6, 'metric', 'm', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL))
    v(n, s, name, value, severity, body, attributes, span_id, parent_span_id, subject, distribution, unit, environment);
-- The next day is another chunk, which stays as it is.
INSERT INTO flagscope.telemetry (ts, signal, name, subject, trace_id)
VALUES ('2026-03-02 08:00', 'log', 'next day', 'user-7', md5('70')::uuid);

CREATE TABLE rows_before AS SELECT t.* FROM flagscope.telemetry t;
CREATE TABLE trace_before AS SELECT * FROM flagscope.trace(md5('70')::uuid);
CREATE TABLE subject_before AS SELECT * FROM flagscope.telemetry_of('user-7', '2026-03-01', '2026-03-03');
-- As text, all bits of a number are told apart: -0 from 0, and every digit.
CREATE VIEW difference AS
SELECT count(*) AS rows, (SELECT count(*) FROM (SELECT b::text FROM rows_before b
        EXCEPT ALL SELECT t::text FROM flagscope.telemetry t) x) AS lost,
    (SELECT count(*) FROM (SELECT t::text FROM flagscope.telemetry t
        EXCEPT ALL SELECT b::text FROM rows_before b) x) AS made_up
FROM flagscope.telemetry;

SELECT rows, segments, bytes_before > 4 * bytes AS is_smaller
    FROM flagscope.freeze_chunk('_flagscope.telemetry_p20260301');
SELECT * FROM difference;
SELECT chunk, lower, rows_estimated, bytes > 0 AS has_bytes, is_frozen
FROM flagscope.chunk WHERE parent = 'telemetry' AND lower < '2026-03-03';
SELECT item, regexp_replace(says, '[0-9]+ kB', 'x kB') AS says FROM flagscope.status() WHERE item = 'frozen chunks';
-- Everything that reads telemetry reads it.
SELECT count(*) AS lost FROM (TABLE trace_before EXCEPT ALL SELECT * FROM flagscope.trace(md5('70')::uuid)) x;
SELECT count(*) AS lost FROM (TABLE subject_before
    EXCEPT ALL SELECT * FROM flagscope.telemetry_of('user-7', '2026-03-01', '2026-03-03')) x;
SELECT flag, variant, spans, errors FROM flagscope.span_summary WHERE name = 'GET /1' ORDER BY variant, service LIMIT 2;
SELECT signal, count(*) FROM flagscope.telemetry WHERE ts < '2026-03-02' GROUP BY 1 ORDER BY 1;

-- Segments without what is asked for are not read: of three, by the clock, by trace and by subject, also when the
-- value is known only while the query runs.
CREATE FUNCTION segments_read(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    line text;
    found text := '';
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) ' || query LOOP
        found := found || coalesce(substring(line FROM 'Segments.*') || '; ', '');
    END LOOP;
    RETURN found;
END $$;
SELECT q, segments_read('SELECT * FROM flagscope.telemetry t WHERE ' || q) FROM (VALUES ('true'),
    ('ts < ''2026-03-01 00:05'''),
    ('ts BETWEEN ''2026-03-01 12:00'' AND ''2026-03-01 12:05'''), ('''2026-03-01 00:05'' > ts'),
        ('ts >= ''2026-03-01 23:00'''),
    ('ts = ''2026-03-01 12:00'''), ('trace_id = md5(''70'')::uuid'), ('trace_id = md5(''none'')::uuid'),
    ('trace_id = ANY (ARRAY[md5(''70''), md5(''8999'')]::uuid[])'), ('trace_id = (SELECT md5(''8000'')::uuid)'),
    ('subject = ''user-7'''), ('subject = ''nobody'''), ('subject IN (''user-7'', ''user-499'')'),
        ('subject = NULL::text'),
    ('ts < ''2026-03-02'' AND trace_id <> md5(''70'')::uuid'),
        ('subject > ''user-7'' AND ts > ''2026-03-01 23:00''')) v(q);
SELECT count(*), min(value), max(value) FROM flagscope.telemetry WHERE trace_id = md5('70')::uuid;
SELECT count(*), min(subject) FROM flagscope.telemetry WHERE subject IN ('user-7', 'user-499');
SELECT v.n, count(t.ts) FROM (VALUES (1), (70), (8999)) v(n)
    LEFT JOIN LATERAL (SELECT * FROM flagscope.telemetry t WHERE t.trace_id = md5(v.n::text)::uuid) t ON true
GROUP BY 1 ORDER BY 1;
PREPARE of_trace(uuid) AS SELECT count(*) FROM flagscope.telemetry WHERE trace_id = $1;
SET plan_cache_mode = force_generic_plan;
EXECUTE of_trace(md5('8000')::uuid);
EXECUTE of_trace(md5('none')::uuid);
RESET plan_cache_mode;
-- Places are unique.
SELECT count(*), count(DISTINCT (t.tableoid, t.ctid)) FROM flagscope.telemetry t;

-- Its rows cannot be changed; those of other chunks can, by statements over all.
UPDATE flagscope.telemetry SET name = 'x' WHERE trace_id = md5('70')::uuid;
DELETE FROM flagscope.telemetry WHERE ts < '2026-03-01 00:05';
UPDATE flagscope.telemetry SET body = 'changed' WHERE name = 'next day' RETURNING name, body;
-- Late rows are kept beside it, counted, and read with it.
SELECT flagscope.create_flag('late');
SELECT flagscope.create_metric('late rows', 'mean', 'log', '{"name": "late"}', cap => 10);
SELECT flagscope.create_guardrail('late', 'late rows');
INSERT INTO flagscope.telemetry (ts, signal, name, value, subject, trace_id, flags)
SELECT t, 'log', 'late', 1.5, 'user-7', md5('70')::uuid, '{"late": "on"}'
FROM (VALUES (timestamptz '2026-03-01 10:00'), ('2026-03-02 10:00'), ('2026-03-01 11:00')) v(t);
COPY flagscope.telemetry (ts, signal, name, body) FROM stdin (DELIMITER ',');
2026-03-01 12:00:00,log,late,copied
\.
SELECT flagscope.record('[{"ts": "2026-03-01T13:00:00Z", "signal": "log", "name": "late", "body": "recorded",
    "value": 2, "flags": {"late": "off"}}]');
SELECT accepted, rejected, duplicate FROM flagscope.ingest_otlp('{"resourceLogs": [{"scopeLogs": [{"logRecords": [
    {"timeUnixNano": "1772371800000000000", "eventName": "late", "body": {"stringValue": "by OTLP"}}]}]}]}'::text);
SELECT variant, sum(n) AS rows FROM _flagscope.variant_delta WHERE metric = 'late rows' GROUP BY 1 ORDER BY 1;
INSERT INTO flagscope.telemetry (ts, signal, name) VALUES ('2026-03-01 14:00', 'log', NULL);
INSERT INTO flagscope.telemetry (ts, signal, name, flags) VALUES ('2026-03-01 14:00', 'log', 'bad', '[]');
SELECT tableoid::regclass, ts, body, subject FROM flagscope.telemetry WHERE name = 'late' ORDER BY ts;
SELECT count(*) FROM flagscope.telemetry WHERE trace_id = md5('70')::uuid;
SELECT count(*) FROM _flagscope.telemetry_late;
-- Roles need no right on what is behind it.
CREATE ROLE frozen_reader;
CREATE ROLE frozen_writer;
SELECT flagscope.grant_reader('frozen_reader'), flagscope.grant_writer('frozen_writer');
SET ROLE frozen_reader;
SELECT count(*) FROM flagscope.telemetry WHERE ts < '2026-03-02';
SELECT count(*), sum(rows) FROM flagscope.frozen_segments();
SELECT substr(flagscope.segment_file('_flagscope.telemetry_p20260301', 1), 1, 4) AS magic;
SELECT flagscope.thaw_chunk('_flagscope.telemetry_p20260301');
SELECT count(*) FROM _flagscope.make_segments('pg_authid'::regclass, '-infinity', 'infinity');
SET ROLE frozen_writer;
INSERT INTO flagscope.telemetry (ts, signal, name, body) VALUES ('2026-03-01 15:00', 'log', 'late', 'by a writer');
SELECT count(*) FROM flagscope.telemetry WHERE ts < '2026-03-02';
SELECT count(*) FROM _flagscope.telemetry_p20260301;
RESET ROLE;
SELECT flagscope.segment_file('_flagscope.telemetry_p20260301', 77);
SELECT flagscope.segment_file('_flagscope.telemetry_p20260302', 1);
-- Once an hour they become segments.
SELECT flagscope.confirm_time('2026-03-04 12:00');
SELECT problems FROM flagscope.maintain('2026-03-04 12:00');
SELECT count(*) FROM _flagscope.telemetry_late;
SELECT ts, body, subject FROM flagscope.telemetry WHERE name = 'late' ORDER BY ts;
SELECT segments_read('SELECT * FROM flagscope.telemetry WHERE ts = ''2026-03-01 13:00''');

-- Thawed, it is as before, with triggers and indexes, and takes changes.
DELETE FROM flagscope.telemetry WHERE name = 'late' AND ts >= '2026-03-02';
INSERT INTO rows_before SELECT * FROM flagscope.telemetry WHERE name = 'late';
UPDATE rows_before SET body = 'changed' WHERE name = 'next day';
SELECT flagscope.thaw_chunk('_flagscope.telemetry_p20260301');
SELECT * FROM difference;
SELECT (SELECT count(*) FROM pg_indexes i WHERE i.tablename = c.relname) AS indexes,
    (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = c.oid) AS triggers, relreplident
FROM pg_class c WHERE relname IN ('telemetry_p20260301', 'telemetry_p20260302') ORDER BY relname;
SELECT count(*) FROM pg_class WHERE relname ~ '_(segments|thawed)$';
UPDATE flagscope.telemetry SET body = 'late' WHERE name = 'late';

-- A flipped bit is found, and its segment named; the others come back.
SELECT rows, segments FROM flagscope.freeze_chunk('_flagscope.telemetry_p20260301');
CREATE TABLE whole AS TABLE _flagscope.telemetry_p20260301_segments;
UPDATE _flagscope.telemetry_p20260301_segments SET parquet = set_bit(parquet, 77777, 1 - get_bit(parquet, 77777))
WHERE number = 2;
SELECT count(*) FROM flagscope.telemetry;
SELECT flagscope.thaw_chunk('_flagscope.telemetry_p20260301');
SELECT count(*) FROM flagscope.telemetry WHERE ts < '2026-03-01 01:00';
UPDATE _flagscope.telemetry_p20260301_segments s SET parquet = w.parquet, last_ts = s.last_ts - interval '1 hour'
FROM whole w WHERE w.number = s.number AND s.number = 2;
SELECT count(*) FROM flagscope.telemetry WHERE ts > '2026-03-01 23:00';
UPDATE _flagscope.telemetry_p20260301_segments s SET last_ts = w.last_ts, subjects = set_bit(w.subjects, 5,
    1 - get_bit(w.subjects, 5))
FROM whole w WHERE w.number = s.number AND s.number = 2;
SELECT count(*) FROM flagscope.telemetry WHERE subject = 'user-7';
DELETE FROM _flagscope.telemetry_p20260301_segments WHERE number = 2;
SELECT flagscope.thaw_chunk('_flagscope.telemetry_p20260301'), (SELECT sum(rows) FROM whole
    WHERE number <> 2) AS of_the_others;
SELECT count(*) FROM flagscope.telemetry WHERE ts < '2026-03-02';

-- What cannot be frozen, or thawed.
SELECT flagscope.freeze_chunk(NULL);
SELECT flagscope.freeze_chunk('flagscope.flag_definition');
SELECT flagscope.freeze_chunk('_flagscope.telemetry_stray');
SELECT flagscope.thaw_chunk('_flagscope.telemetry_p20260302');
SELECT flagscope.thaw_chunk(NULL);
SELECT rows FROM flagscope.freeze_chunk('_flagscope.telemetry_p20260302');
SELECT flagscope.freeze_chunk('_flagscope.telemetry_p20260302');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT flagscope.thaw_chunk('_flagscope.telemetry_p20260302');
ROLLBACK;
SELECT made > 0 AS made FROM flagscope.maintain();
\set VERBOSITY sqlstate
DO $$ BEGIN PERFORM flagscope.freeze_chunk(c.chunk)
    FROM flagscope.chunk c WHERE c.parent = 'telemetry' AND c.upper > now() LIMIT 1; END $$;
\set VERBOSITY default
-- An empty chunk has no segments.
SELECT rows, segments FROM flagscope.freeze_chunk('_flagscope.telemetry_p20260303');
SELECT count(*) FROM flagscope.telemetry WHERE ts >= '2026-03-03' AND ts < '2026-03-04';
SELECT flagscope.thaw_chunk('_flagscope.telemetry_p20260303');

-- By age: the worker does it, or maintain().
SELECT flagscope.set_freeze_after('30 minutes');
SELECT flagscope.set_freeze_after('500 days');
SELECT flagscope.set_freeze_after('7 days');
SELECT flagscope.set_setting('attribution.trace_window', '"8 days"');
SELECT flagscope.confirm_time('2026-03-08 12:00');
SELECT problems FROM flagscope.maintain('2026-03-08 12:00');
SELECT chunk FROM flagscope.chunk WHERE is_frozen;
SELECT flagscope.confirm_time('2026-03-09 12:00');
SELECT problems FROM flagscope.maintain('2026-03-09 12:00');
SELECT chunk FROM flagscope.chunk WHERE is_frozen;
SELECT flagscope.set_freeze_after(NULL);

-- Retention drops segments with their chunk, or leaves them as files in a table that needs no flagscope.
INSERT INTO flagscope.telemetry (ts, signal, name) VALUES ('2026-03-02 15:00', 'log', 'later still');
SELECT * FROM flagscope.drop_chunks('2026-03-02');
SELECT flagscope.set_retention('1 day', expired => 'detach');
SELECT dropped, problems FROM flagscope.maintain('2026-03-09 12:00');
SELECT number, rows, first_ts, last_ts, substr(parquet, 1, 4) AS magic FROM flagscope.detached_telemetry_p20260302;
SELECT count(*) FROM pg_class WHERE relname ~ '_segments$';
SELECT count(*) FROM _flagscope.telemetry_late;
DROP OWNED BY frozen_reader, frozen_writer;
DROP ROLE frozen_reader, frozen_writer;
DROP EXTENSION flagscope CASCADE;
