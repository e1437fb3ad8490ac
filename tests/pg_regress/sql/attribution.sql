-- Rows that came without flags: by trace, else by subject; late evaluations; and the rollups, which follow exactly.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SELECT flagscope.create_flag('f'), flagscope.create_flag('g');
SELECT flagscope.create_environment('staging');
SELECT flagscope.create_metric('failed', 'proportion', 'log', '{}', '{"severity_at_least": 17}');
SELECT flagscope.create_guardrail('f', 'failed'), flagscope.create_guardrail('g', 'failed');
SELECT flagscope.maintain('2040-01-01') IS NOT NULL AS ready;
CREATE FUNCTION pg_temp.trace(n integer) RETURNS uuid
LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid $$;
-- What the rollups say of a variant, and what plain SQL over the rows says.
CREATE VIEW pg_temp.counted AS
SELECT flag, variant, r.n, r.events, (r.n, r.events) IS NOT DISTINCT FROM (t.n, t.events) AS as_rows FROM (
    SELECT flag, variant, sum(n)::bigint AS n, sum(events)::bigint AS events
    FROM _flagscope.variant_state GROUP BY 1, 2) r
FULL JOIN (SELECT flag, variant, count(*) AS n, count(*) FILTER (WHERE severity >= 17) AS events FROM flagscope.tagged
    WHERE signal = 'log' AND coalesce(environment, 'production') = 'production' GROUP BY 1, 2) t USING (flag, variant);

-- By trace: the evaluations stored before, and those of the same statement.
INSERT INTO flagscope.telemetry (ts, signal, name, flags, trace_id, subject) VALUES
    ('2040-01-01 10:00', 'event', 'feature_flag.evaluation', '{"f": "on"}', pg_temp.trace(1), 'ann');
INSERT INTO flagscope.telemetry (ts, signal, name, severity, trace_id) VALUES
    ('2040-01-01 10:00:01', 'log', 'stored before', 17, pg_temp.trace(1)),
    ('2040-01-01 10:00:01', 'log', 'other trace', 9, pg_temp.trace(2)),
    ('2040-01-01 11:00:00.000001', 'log', 'more than an hour later', 9, pg_temp.trace(1));
COPY flagscope.telemetry (ts, signal, name, severity, flags, trace_id) FROM stdin (DELIMITER '|', NULL '');
2040-01-01 10:00:02|log|same statement|17||00000000-0000-0000-0000-000000000003
2040-01-01 10:00:03|event|feature_flag.evaluation||{"f": "off", "g": "on"}|00000000-0000-0000-0000-000000000003
2040-01-01 10:00:04|log|tagged|9|{"f": "on"}|00000000-0000-0000-0000-000000000003
\.
-- By the subject's latest evaluation before it, of the day before, in its environment; the trace goes before it.
INSERT INTO flagscope.telemetry (ts, signal, name, flags, subject, environment) VALUES
    ('2040-01-01 10:10', 'event', 'feature_flag.evaluation', '{"f": "off"}', 'ann', NULL),
    ('2040-01-01 10:11', 'event', 'feature_flag.evaluation', '{"g": "off"}', 'ann', 'prod'),
    ('2040-01-01 10:12', 'event', 'feature_flag.evaluation', '{"f": "on", "g": "on"}', 'ann', 'staging'),
    ('2040-01-01 10:12', 'event', 'feature_flag.evaluation', NULL, 'ann', NULL);
INSERT INTO flagscope.telemetry (ts, signal, name, severity, subject, trace_id, environment) VALUES
    ('2040-01-01 10:05', 'log', 'after the first', 17, 'ann', NULL, NULL),
    ('2040-01-01 10:13', 'log', 'after all', 17, 'ann', NULL, 'production'),
    ('2040-01-01 09:59', 'log', 'before all', 17, 'ann', NULL, NULL),
    ('2040-01-01 10:13', 'log', 'staging', 17, 'ann', NULL, 'staging'),
    ('2040-01-01 10:13', 'log', 'trace first', 17, 'ann', pg_temp.trace(3), NULL),
    ('2040-01-02 10:12', 'log', 'next day', 17, 'ann', NULL, NULL),
    ('2040-01-01 10:13', 'log', 'stranger', 17, 'eve', NULL, NULL),
    ('2040-01-01 10:13', 'log', 'nobody', 17, NULL, NULL, NULL);
SELECT ts, logger, flags, attribution FROM flagscope.log ORDER BY ts, logger;
SELECT * FROM pg_temp.counted ORDER BY 1, 2;

-- Late: an evaluation ties the rows of its trace that came before it, once; it adds flags and changes none.
TRUNCATE flagscope.telemetry, _flagscope.variant_delta;
INSERT INTO flagscope.telemetry (ts, signal, name, severity, trace_id, subject)
SELECT '2040-01-01 12:00', 'log', 'row ' || n, 17, pg_temp.trace(n), NULL FROM generate_series(1, 3) n;
INSERT INTO flagscope.telemetry (ts, signal, name, severity, trace_id, flags)
VALUES ('2040-01-01 12:00', 'log', 'tagged', 9, pg_temp.trace(1), '{"g": "on"}');
SELECT count(*) FROM pg_temp.counted WHERE flag = 'f';
INSERT INTO flagscope.telemetry (ts, signal, name, flags, trace_id)
VALUES ('2040-01-01 12:00:01', 'event', 'feature_flag.evaluation', '{"f": "on"}', pg_temp.trace(1)),
    ('2040-01-01 12:00:01', 'event', 'feature_flag.evaluation', '{"f": "off"}', pg_temp.trace(2)),
    ('2040-01-01 13:00:00.000001', 'event', 'feature_flag.evaluation', '{"f": "on"}', pg_temp.trace(3));
INSERT INTO flagscope.telemetry (ts, signal, name, flags, trace_id)
VALUES ('2040-01-01 12:00:02', 'event', 'feature_flag.evaluation', '{"g": "off"}', pg_temp.trace(1)),
    ('2040-01-01 12:00:03', 'event', 'feature_flag.evaluation', '{"f": "off"}', pg_temp.trace(1)),
    ('2040-01-01 12:00:03', 'event', 'feature_flag.evaluation', NULL, pg_temp.trace(2));
SELECT logger, flags, attribution FROM flagscope.log ORDER BY logger;
SELECT * FROM pg_temp.counted ORDER BY 1, 2;
-- The ticks look at these traces once more, find nothing to do, and forget them.
SELECT count(*), count(DISTINCT trace_id) FROM _flagscope.late_trace;
SELECT count(flagscope.tick(timestamptz '2040-01-01 13:00' + n * interval '1 s')) FROM generate_series(1, 1) n;
SELECT count(flagscope.tick('2040-01-01 13:00:02')) FROM generate_series(1, 1) n;
SELECT count(*) FROM _flagscope.late_trace;
SELECT * FROM pg_temp.counted ORDER BY 1, 2;
-- A subject's evaluation is no answer for the past, but what it was taken for is kept, and the trace adds to it.
INSERT INTO flagscope.telemetry (ts, signal, name, flags, subject)
VALUES ('2040-01-01 14:00', 'event', 'feature_flag.evaluation', '{"f": "off"}', 'bob');
INSERT INTO flagscope.telemetry (ts, signal, name, severity, subject, trace_id)
VALUES ('2040-01-01 14:01', 'log', 'bob', 17, 'bob', pg_temp.trace(9));
INSERT INTO flagscope.telemetry (ts, signal, name, flags, subject, trace_id)
VALUES ('2040-01-01 14:01', 'event', 'feature_flag.evaluation', '{"f": "on", "g": "on"}', 'bob', pg_temp.trace(9));
SELECT logger, flags, attribution FROM flagscope.log WHERE logger = 'bob';
SELECT * FROM pg_temp.counted ORDER BY 1, 2;

-- A statement over a long time, for a subject that is evaluated all the time:
-- each row has what was said just before it.
INSERT INTO flagscope.telemetry (ts, signal, name, flags, subject)
SELECT '2040-01-01 14:10'::timestamptz + n * interval '1 s', 'event', 'feature_flag.evaluation',
    jsonb_build_object('x', 'v' || n), 'busy'
FROM generate_series(1, 1500) n;
INSERT INTO flagscope.telemetry (ts, signal, name, subject)
SELECT '2040-01-01 14:10:00.5'::timestamptz + n * interval '1 s', 'log', 'busy', 'busy' FROM generate_series(1, 1500) n;
SELECT count(*),
    count(*) FILTER (WHERE flags ->> 'x' = 'v'
        || extract(epoch FROM ts - '2040-01-01 14:10:00.5')::integer) AS just_before
FROM flagscope.log WHERE logger = 'busy';

-- Any split and any order of the same rows gives the same rows and the same rollups.
CREATE TEMP TABLE sent AS
SELECT n, timestamptz '2040-01-01 15:00' + n * interval '1 ms' AS ts,
    CASE WHEN n % 5 = 0 THEN 'event' ELSE 'log' END::flagscope.signal AS signal,
    CASE WHEN n % 5 = 0 THEN 'feature_flag.evaluation' ELSE 'row ' || n END AS name,
    CASE WHEN n % 3 = 0 THEN 17 END::smallint AS severity, pg_temp.trace(1000 + n / 10) AS trace_id,
    CASE WHEN n % 5 = 0 THEN
        jsonb_build_object(CASE WHEN n % 10 = 0 THEN 'f' ELSE 'g' END, CASE WHEN n % 20 < 10 THEN 'on'
            ELSE 'off' END) END AS flags
FROM generate_series(0, 1999) n;
CREATE FUNCTION pg_temp.send(slices integer, seed float8) RETURNS TABLE (digest text, counts text)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM setseed(seed);
    TRUNCATE flagscope.telemetry, _flagscope.variant_delta, flagscope.variant_rollup, _flagscope.late_trace;
    CREATE TEMP TABLE slice AS SELECT s.*, floor(random() * slices)::integer AS slice FROM sent s;
    FOR k IN 0 .. slices - 1 LOOP
        INSERT INTO flagscope.telemetry (ts, signal, name, severity, trace_id, flags)
        SELECT s.ts, s.signal, s.name, s.severity, s.trace_id, s.flags FROM slice s WHERE s.slice = k ORDER BY random();
    END LOOP;
    DROP TABLE slice;
    RETURN QUERY
        SELECT md5(string_agg(t.name || t.flags::text, ' ' ORDER BY t.ts)),
            (SELECT string_agg(c::text, ' ' ORDER BY c.flag, c.variant) FROM pg_temp.counted c)
        FROM flagscope.telemetry t;
END $$;
SELECT count(DISTINCT s.digest) AS outcomes, count(DISTINCT s.counts) AS counts, max(s.counts) AS all_of_them
FROM (VALUES (1, 0.1), (2, 0.2), (7, 0.3), (50, 0.4), (400, 0.5)) v(slices, seed), pg_temp.send(v.slices, v.seed) s;
SELECT count(*), count(flags) AS tied FROM flagscope.log;

-- A failed statement leaves nothing behind, not for the next one either.
TRUNCATE flagscope.telemetry, _flagscope.variant_delta;
INSERT INTO flagscope.telemetry (ts, signal, name, flags, trace_id)
VALUES ('2040-01-01 16:00', 'event', 'feature_flag.evaluation', '{"f": "on"}', pg_temp.trace(1));
INSERT INTO flagscope.telemetry (ts, signal, name, trace_id, attributes)
SELECT '2040-01-01 16:00', 'log', 'lost', pg_temp.trace(1), CASE n WHEN 500 THEN (repeat('x', n))::jsonb END
FROM generate_series(1, 500) n;
BEGIN;
SAVEPOINT half;
INSERT INTO flagscope.telemetry (ts, signal, name, trace_id)
VALUES ('2040-01-01 16:00', 'log', 'taken back', pg_temp.trace(1));
ROLLBACK TO half;
INSERT INTO flagscope.telemetry (ts, signal, name, trace_id)
VALUES ('2040-01-01 16:00', 'log', 'kept', pg_temp.trace(1));
COMMIT;
SELECT logger, flags, attribution FROM flagscope.log;
SELECT * FROM pg_temp.counted;
-- A row of any time that PostgreSQL has, however far the windows reach beyond it.
INSERT INTO flagscope.telemetry (ts, signal, name, trace_id, subject)
VALUES ('4713-11-24 00:00+00 BC', 'log', 'first of all', pg_temp.trace(7), 'ann'),
    ('294276-12-31 23:59:59', 'log', 'last of all', pg_temp.trace(7), 'ann');
INSERT INTO flagscope.telemetry (ts, signal, name, trace_id, flags)
VALUES ('294276-12-31 23:59:59.999', 'event', 'feature_flag.evaluation', pg_temp.trace(7), '{"x": "on"}'),
    ('4713-11-24 00:00+00 BC', 'event', 'feature_flag.evaluation', pg_temp.trace(8), '{"x": "on"}');
SELECT logger, attribution FROM flagscope.log WHERE logger LIKE '%of all' ORDER BY logger;
DELETE FROM flagscope.telemetry WHERE ts < '2000-01-01' OR ts > '2100-01-01';
-- It can be switched off; and a writer needs no right to read.
SET flagscope.attribution = off;
INSERT INTO flagscope.telemetry (ts, signal, name, trace_id)
VALUES ('2040-01-01 16:01', 'log', 'switched off', pg_temp.trace(1));
RESET flagscope.attribution;
CREATE ROLE attribution_writer;
SELECT flagscope.grant_writer('attribution_writer');
SET ROLE attribution_writer;
INSERT INTO flagscope.telemetry (ts, signal, name, trace_id)
VALUES ('2040-01-01 16:02', 'log', 'writer', pg_temp.trace(1));
SELECT count(*) FROM flagscope.telemetry;
SELECT _flagscope.attribute_traces('{}', now(), now());
RESET ROLE;
INSERT INTO _flagscope.telemetry_p20400101 (ts, signal, name, trace_id)
VALUES ('2040-01-01 16:03', 'log', 'into the partition', pg_temp.trace(1));
SELECT logger, flags, attribution FROM flagscope.log ORDER BY ts;
SELECT * FROM pg_temp.counted;
DROP OWNED BY attribution_writer;
DROP ROLE attribution_writer;
-- A change of more rows than fit into work_mem: their old versions are read from disk.
SET work_mem = '64kB';
INSERT INTO flagscope.telemetry (ts, signal, name, flags, body)
SELECT '2040-01-01 17:00', 'log', 'long', '{"x": "on"}', repeat('x', 200) FROM generate_series(1, 5000);
UPDATE flagscope.telemetry SET body = 'short' WHERE name = 'long';
RESET work_mem;
SELECT body, count(*) FROM flagscope.log WHERE logger = 'long' GROUP BY body;
