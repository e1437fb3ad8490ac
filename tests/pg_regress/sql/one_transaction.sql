-- Several ticks in one transaction are as good as several transactions: SQL functions that write in a CTE must not lose
-- that on the way to the planner. And a decision is dated after the data that it rests on.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
-- Crossings count from the start, not only once clients know the share.
UPDATE flagscope.setting SET value = '"1 millisecond"' WHERE name = 'health.settle';
\set SHOW_CONTEXT never
SELECT made > 0 AS made FROM flagscope.maintain('2040-01-02 12:00');
SELECT flagscope.create_flag('f'),
    flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}'),
    flagscope.create_guardrail('f', 'errors', min_sample => 10);
SELECT flagscope.create_query_metric('orders', 'mean',
        $$SELECT s AS subject, $1 AS ts, 1.0::float8 AS value FROM unnest('{u1,u2}'::text[]) s$$, cap => 10),
    flagscope.create_guardrail('f', 'orders');
SELECT flagscope.start_rollout(flagscope.create_rollout('f', stages => '{50, 100}', min_duration => '1 hour'),
    at => '2040-01-02 12:00') > 0 AS started;
-- The same units and buckets at every tick: seen first, known, gone back to the control; settled and counted again.
BEGIN;
CREATE TABLE pg_temp.result AS SELECT 0 AS n, t.* FROM flagscope.tick('2040-01-02 12:00:01') t;
DO $$
BEGIN
    FOR n IN 1..6 LOOP
        INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
        SELECT timestamptz '2040-01-02 12:00:01' + n * interval '1 ms', 'event', 'feature_flag.evaluation', 'u' || i,
            jsonb_build_object('f', CASE WHEN (i + n) % 2 = 0 THEN 'on' ELSE 'off' END)
        FROM generate_series(1, 5) i;
        INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags)
        VALUES ('2040-01-02 12:00:02', 'span', 'pay', false, '{"f": "on"}'),
            ('2040-01-02 12:00:02', 'span', 'pay', false, '{"f": "off"}');
        INSERT INTO pg_temp.result
        SELECT n, t.* FROM flagscope.tick(timestamptz '2040-01-02 12:00:10' + n * interval '10 s') t;
        PERFORM flagscope.maintain(timestamptz '2040-01-02 12:01:10' + n * interval '10 s');
    END LOOP;
END $$;
SELECT count(*) AS ticks, min(guardrails) > 0 AS judged FROM pg_temp.result WHERE n > 0;
SELECT rule, state, n_treatment, n_control FROM flagscope.rollout_health ORDER BY rule;
SELECT count(*) AS units, count(*) FILTER (WHERE crossed) AS crossed FROM flagscope.rollout_subject;
SELECT g.name, s.state <> 'error' AS judged, s.n_treatment
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id ORDER BY g.id;
SELECT sum(n) AS n
FROM flagscope.variant_states('f', since => '2040-01-02 12:00', until => '2040-01-02 13:00', metric => 'errors');
SELECT count(*) AS problems FROM flagscope.metric_run WHERE problem IS NOT NULL;
COMMIT;

-- A tick that takes its time before it takes the data: a query sleeps, and rows come meanwhile.
DROP EXTENSION flagscope;
CREATE EXTENSION flagscope;
SELECT flagscope.create_flag('f'),
    flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}'),
    flagscope.create_guardrail('f', 'errors', min_sample => 10);
SELECT flagscope.create_query_metric('slow', 'mean',
        $$SELECT 'u' AS subject, $1 AS ts, 1.0::float8 AS value FROM pg_sleep(0.4) s$$, cap => 10),
    flagscope.create_guardrail('f', 'slow');
SELECT flagscope.set_setting('query.delay', '"1 ms"');
SELECT flagscope.start_rollout(flagscope.create_rollout('f', stages => '{50, 100}', min_duration => '1 hour'),
    at => clock_timestamp() - interval '1 minute') > 0 AS started;
SELECT flagscope.tick() IS NOT NULL AS ticked;
INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags)
SELECT clock_timestamp() + interval '250 ms', 'span', 'pay', i % 4 < 2,
    jsonb_build_object('f', CASE WHEN i % 4 < 2 THEN 'on' ELSE 'off' END)
FROM generate_series(1, 400) i;
UPDATE flagscope.metric_run SET retry_at = clock_timestamp();
SELECT decisions FROM flagscope.tick();
SELECT d.action, d.at >= d.watermark AS dated_after_its_data, d.at <= d.recorded_at AS and_not_later
FROM flagscope.decision d WHERE d.guardrail_id IS NOT NULL;
SELECT bool_and(s.changed_at >= d.at) AS served_from_then
FROM flagscope.flag_state s JOIN flagscope.decision d ON d.id = s.decision_id;
-- A time that its caller gives is his.
SELECT at FROM flagscope.tick('2040-01-02 12:00');
