-- Maintenance: one part that fails takes none of the others with it; retention does not believe one clock; what lies in
-- no partition expires by when it came.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SELECT flagscope.create_flag('f');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_guardrail('f', 'errors');
SELECT * FROM flagscope.maintain('2040-01-05 12:00');

-- A partition that somebody detached keeps its name; its time gets another one, and nothing stops.
ALTER TABLE flagscope.telemetry DETACH PARTITION _flagscope.telemetry_p20400107;
SELECT * FROM flagscope.maintain('2040-01-05 12:01');
INSERT INTO flagscope.telemetry (ts, signal, name) VALUES ('2040-01-07 12:00', 'log', 'x');
SELECT tableoid::regclass FROM flagscope.telemetry;
SELECT chunk, lower, upper FROM flagscope.chunk WHERE parent = 'telemetry' ORDER BY lower;
DROP TABLE _flagscope.telemetry_p20400107;
-- Nor does one that is detached by retention, where there is a table of that name from before; nor does keeping all.
BEGIN;
CREATE TABLE flagscope.detached_telemetry_p20400105 ();
SELECT flagscope.set_retention('1 hour', expired => 'detach');
SELECT flagscope.confirm_time('2040-01-06 12:00');
SELECT * FROM flagscope.maintain('2040-01-06 12:00');
SELECT relname FROM pg_class WHERE relname LIKE 'detached%' AND relkind = 'r' ORDER BY 1;
CREATE SCHEMA kept CREATE TABLE detached_telemetry_p20400106 ();
SELECT * FROM flagscope.detach_all('kept') d WHERE d::text ~ '_telemetry' ORDER BY 1;
ROLLBACK;

-- Parts that fail say so; the others are done: buckets settled, a partition made.
BEGIN;
INSERT INTO flagscope.telemetry (ts, signal, name, flags) VALUES ('2040-01-05 12:00', 'span', 'pay', '{"f": "on"}');
SELECT strata FROM flagscope.tick('2040-01-05 12:01:30');
CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
CREATE TRIGGER refuse BEFORE DELETE ON flagscope.outbox FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.refuse();
CREATE TABLE flagscope.wall PARTITION OF flagscope.telemetry FOR VALUES FROM (MINVALUE) TO ('1999-01-01');
ALTER TABLE flagscope.telemetry DETACH PARTITION flagscope.wall;
ALTER TABLE flagscope.telemetry ATTACH PARTITION flagscope.wall FOR VALUES FROM ('2040-01-09 00:00') TO (MAXVALUE);
SELECT * FROM flagscope.maintain('2040-01-06 11:00');
SELECT settled FROM flagscope.variant_rollup;
SELECT count(*) FROM flagscope.chunk WHERE parent = 'evaluation';
-- The tick goes on, and says so.
SELECT flagscope.tick('2040-01-06 11:01') IS NOT NULL AS ticked;
SELECT says LIKE '%failed: delivered notifications: not this one; partitions of telemetry: from 2040-01-09 %' AS told
FROM flagscope.status() WHERE item = 'last maintenance';
ROLLBACK;

-- Few partitions a run, however many are wanted: each takes locks to the end of the transaction.
BEGIN;
SELECT flagscope.set_chunk_interval('1 hour'), flagscope.set_setting('telemetry.premake', '100');
SELECT made FROM flagscope.maintain('2040-01-06 11:00') \g /dev/null
SELECT count(*) AS at_most_ten_more FROM flagscope.chunk WHERE parent = 'telemetry' AND upper - lower = '1 hour';
ROLLBACK;

-- A clock that is ten years ahead drops nothing; neither does one that comes back.
INSERT INTO flagscope.telemetry (ts, signal, name, flags) VALUES ('2040-01-05 12:00', 'span', 'pay', '{"f": "on"}');
SELECT flagscope.tick('2040-01-05 12:02') IS NOT NULL AS ticked;
SELECT flagscope.tick('2050-01-05 12:02') IS NOT NULL AS ticked FROM generate_series(1, 3);
SELECT count(*) FROM flagscope.telemetry WHERE name = 'pay';
SELECT count(*) FROM flagscope.variant_states('f', since => '2040-01-01', until => '2040-01-06');
SELECT item, says FROM flagscope.status() WHERE item = 'retention';
SELECT flagscope.tick('2040-01-05 12:03') IS NOT NULL AS ticked;
SELECT item, says FROM flagscope.status() WHERE item = 'retention';
SELECT dropped, problems FROM flagscope.maintain('2030-01-05 12:03');
SELECT dropped, problems FROM flagscope.maintain('2040-01-06 12:03');
-- It needs a person's word, that of somebody who may give it.
BEGIN;
SELECT flagscope.confirm_time('2050-01-05 12:02');
SELECT dropped, problems FROM flagscope.maintain('2050-01-05 12:02');
SELECT dropped, problems FROM flagscope.maintain('2040-01-06 12:03');
ROLLBACK;
SELECT flagscope.confirm_time('infinity');
SELECT flagscope.confirm_time(NULL);

-- Rows with an impossible time are kept as long as others, from when they came; then they go, and the rollups of a
-- future of which no row is left.
INSERT INTO flagscope.telemetry (ts, signal, name, flags)
VALUES ('1970-01-01 00:00', 'span', 'pay', '{"f": "on"}'), ('2100-01-01 00:00', 'span', 'pay', '{"f": "on"}'),
    ('2100-01-02 00:00', 'span', 'pay', '{"f": "on"}');
SELECT flagscope.tick('2040-01-06 12:04') IS NOT NULL AS ticked;
SELECT problems FROM flagscope.maintain('2040-01-06 12:05');
SELECT bucket, n FROM flagscope.variant_rollup WHERE bucket > '2041-01-01' ORDER BY 1;
SELECT count(*) FROM flagscope.verify_rollup('2090-01-01');
SELECT flagscope.confirm_time('2040-01-20 12:00');
SELECT problems FROM flagscope.maintain('2040-01-20 12:00');
INSERT INTO flagscope.telemetry (ts, signal, name, flags)
VALUES ('2100-01-02 00:00:01', 'span', 'pay', '{"f": "on"}'), ('1970-01-02 00:00', 'log', 'x', NULL);
SELECT flagscope.tick('2040-01-20 12:01') IS NOT NULL AS ticked;
SELECT problems FROM flagscope.maintain('2040-01-20 14:00');
SELECT flagscope.confirm_time('2040-02-05 12:00');
SELECT problems FROM flagscope.maintain('2040-02-05 12:00');
SELECT ts FROM _flagscope.telemetry_stray ORDER BY ts;
SELECT flagscope.confirm_time('2040-02-05 13:00'), problems FROM flagscope.maintain('2040-02-05 13:00');
-- Those that came first are gone, and with them a day in the future; those that came later stay.
SELECT ts FROM _flagscope.telemetry_stray ORDER BY ts;
SELECT bucket, n FROM flagscope.variant_rollup WHERE bucket > '2041-01-01' ORDER BY 1;
SELECT count(*) FROM flagscope.variant_history WHERE bucket < '2000-01-01' OR bucket > '2100-01-02';
-- Of a future of which rows are gone nothing is compared or computed anew.
SELECT count(*) FROM flagscope.verify_rollup('2040-01-10');
SELECT flagscope.confirm_time('2040-02-20 12:00');
SELECT problems FROM flagscope.maintain('2040-02-20 15:00');
SELECT count(*) FROM _flagscope.telemetry_stray;
SELECT count(*) FROM flagscope.variant_rollup WHERE bucket > '2041-01-01';

-- Subjects of rollouts that are over go after their time, and those that nothing is left of; those of live ones stay.
SELECT flagscope.create_flag('g');
SELECT flagscope.start_rollout(flagscope.create_rollout(f, stages => '{50, 100}', min_duration => '1 day'),
    at => '2040-02-20 12:00', override => true, reason => 'unguarded') > 0 AS started
FROM unnest('{f,g}'::text[]) f;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
SELECT '2040-02-20 12:00:10', 'event', 'feature_flag.evaluation', 'user-' || i, jsonb_build_object(f, 'on')
FROM generate_series(1, 100) i, unnest('{f,g}'::text[]) f;
SELECT flagscope.tick('2040-02-20 15:00:30') IS NOT NULL AS ticked;
SELECT flagscope.rollback_rollout(r.id, at => '2040-02-20 16:00') > 0 AS over
FROM flagscope.rollout r WHERE r.flag = 'f';
INSERT INTO flagscope.rollout_subject (rollout_id, subject, variant, first_seen)
VALUES (4711, 'of a rollout that is no more', 'on', '2040-02-20 12:00');
CREATE FUNCTION pg_temp.units(at timestamptz) RETURNS TABLE (flag text, units bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM flagscope.confirm_time(at), flagscope.maintain(at);
    RETURN QUERY SELECT r.flag, count(*)
        FROM flagscope.rollout_subject u LEFT JOIN flagscope.rollout r ON r.id = u.rollout_id GROUP BY 1 ORDER BY 1;
END $$;
SELECT * FROM pg_temp.units('2040-02-20 16:00');
SELECT * FROM pg_temp.units('2040-03-21 15:59');
SELECT * FROM pg_temp.units('2040-03-21 16:01');
