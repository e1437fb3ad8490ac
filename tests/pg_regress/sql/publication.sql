-- A publication of all tables changes nothing: tables without a primary key have a replica identity,
-- partitions made later too.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SET client_min_messages = error;  -- wal_level may be too low to publish anything
DROP PUBLICATION IF EXISTS everything;
CREATE PUBLICATION everything FOR ALL TABLES;
RESET client_min_messages;
SELECT made > 0 AS made FROM flagscope.maintain('2040-01-02 12:00');
SELECT flagscope.create_flag('f'),
    flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}'),
    flagscope.create_guardrail('f', 'errors', min_sample => 10);
SELECT flagscope.start_rollout(flagscope.create_rollout('f', stages => '{50, 100}', min_duration => '1 hour'),
    at => '2040-01-02 12:00') > 0 AS started;

-- Every kind of write: deltas, exposures, rows tied to their trace before and after, stray rows, retention, rebuilding.
INSERT INTO flagscope.telemetry (ts, signal, name, is_error, trace_id)
VALUES ('2040-01-02 12:00:01', 'span', 'pay', false, '00000000-0000-0000-0000-000000000001');
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags, trace_id)
VALUES ('2040-01-02 12:00:01', 'event', 'feature_flag.evaluation', 'u1', '{"f": "on"}',
    '00000000-0000-0000-0000-000000000001');
INSERT INTO flagscope.telemetry (ts, signal, name, is_error, subject)
VALUES ('2040-01-02 12:00:02', 'span', 'pay', false, 'u1');
INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags)
SELECT timestamptz '2040-01-02 12:00:03' + i * interval '1 ms', 'span', 'pay', i % 2 = 0,
    jsonb_build_object('f', CASE WHEN i % 4 < 2 THEN 'on' ELSE 'off' END)
FROM generate_series(1, 40) i;
INSERT INTO flagscope.telemetry (ts, signal, name) VALUES ('2039-12-30', 'span', 'stray');
SELECT strata, guardrails, decisions FROM flagscope.tick('2040-01-02 12:00:10');
SELECT attribution, count(*) FROM flagscope.telemetry WHERE name = 'pay' GROUP BY 1 ORDER BY 1;
SELECT n_treatment, n_control FROM flagscope.guardrail_status;
INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags)
SELECT timestamptz '2040-01-02 12:01:03' + i * interval '1 ms', 'span', 'pay', i % 4 < 2,
    jsonb_build_object('f', CASE WHEN i % 4 < 2 THEN 'on' ELSE 'off' END)
FROM generate_series(1, 400) i;
SELECT strata, guardrails, decisions FROM flagscope.tick('2040-01-02 12:01:10');
SELECT action, actor FROM flagscope.decision ORDER BY id;
SELECT maintain_error FROM _flagscope.tick_state;
SELECT made > 0 AS made FROM flagscope.maintain('2040-01-08 12:00');
SELECT count(*) AS stray FROM _flagscope.telemetry_stray;
SELECT count(*) AS differences FROM flagscope.verify_rollup('2040-01-01', '2040-01-03');
SELECT flagscope.rebuild_rollup('2040-01-02', '2040-01-03') IS NOT NULL AS rebuilt;
UPDATE flagscope.telemetry SET body = 'x' WHERE name = 'stray';
DELETE FROM flagscope.telemetry WHERE name = 'stray';
SELECT flagscope.set_retention('1 day');
SELECT flagscope.confirm_time('2040-01-09 12:00') IS NOT NULL AS confirmed;
SELECT dropped FROM flagscope.maintain('2040-01-09 12:00');

-- Not one permanent table is without an identity, whatever is made in future.
SELECT c.oid::regclass AS without_identity FROM pg_class c
WHERE c.relnamespace IN ('flagscope'::regnamespace, '_flagscope'::regnamespace) AND c.relkind IN ('r', 'p')
    AND c.relpersistence = 'p' AND c.relreplident <> 'f'
    AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
ORDER BY 1;
DROP PUBLICATION everything;
