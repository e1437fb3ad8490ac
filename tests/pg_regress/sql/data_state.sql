-- Each data state of a guardrail, what it does to the ramp, and that one failing rule costs the others nothing.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SET client_min_messages = notice;
\set SHOW_CONTEXT never

CREATE FUNCTION pg_temp.spans(variant text, at timestamptz, n integer, errors integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, value, flags, is_error)
    SELECT at - i * interval '1 ms', 'span', 'pay', 0.1, jsonb_build_object('shop', variant), i <= errors
    FROM generate_series(1, n) i;
$$;
-- A tick, then every guardrail's state in words, and the gate.
CREATE FUNCTION pg_temp.tick(at timestamptz) RETURNS TABLE (guardrail text, state text, reason text)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM flagscope.tick(at);
    RETURN QUERY SELECT g.name, s.state::text, s.reason FROM flagscope.guardrail g
        LEFT JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id AND s.rollout_id = 1 ORDER BY g.id;
    RETURN QUERY SELECT 'ramp', r.status::text, coalesce(flagscope.ramp_gate(r.id, at), 'clear')
        FROM flagscope.rollout r WHERE r.id = 1;
END $$;
SELECT flagscope.create_flag('shop');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_guardrail('shop', 'errors', min_sample => 50, action => 'hold');
SELECT flagscope.create_rollout('shop', stages => ARRAY[50, 100], min_duration => '1 hour');
SELECT _flagscope.decide(1, 'start', 'tester', 'by hand', '2040-01-02 12:00');
SELECT _flagscope.begin_evidence(1, '2040-01-02 12:00');

-- not_enough: within the grace of a minute missing data is excused; then it is no_data.
SELECT * FROM pg_temp.tick('2040-01-02 12:00:59');
SELECT * FROM pg_temp.tick('2040-01-02 12:01');
-- The control alone is no data of the treatment.
SELECT pg_temp.spans('off', '2040-01-02 12:01:10', 50, 0);
SELECT * FROM pg_temp.tick('2040-01-02 12:01:10');
SELECT pg_temp.spans('on', '2040-01-02 12:01:20', 49, 0), pg_temp.spans('off', '2040-01-02 12:01:20', 60, 0);
SELECT * FROM pg_temp.tick('2040-01-02 12:01:20');
-- ok from the 50th on.
SELECT pg_temp.spans('on', '2040-01-02 12:01:30', 1, 0), pg_temp.spans('off', '2040-01-02 12:01:30', 1, 0);
SELECT * FROM pg_temp.tick('2040-01-02 12:01:30');
-- stale: exactly 2 minutes are not, a moment more is; new data ends it.
SELECT * FROM pg_temp.tick('2040-01-02 12:03:30');
SELECT * FROM pg_temp.tick('2040-01-02 12:03:30.001');
SELECT pg_temp.spans('on', '2040-01-02 12:03:40', 1, 0), pg_temp.spans('off', '2040-01-02 12:03:40', 1, 0);
SELECT * FROM pg_temp.tick('2040-01-02 12:03:40');
-- inconclusive: ln e is past half of the line.
SELECT pg_temp.spans('on', '2040-01-02 12:03:50', 100, 12), pg_temp.spans('off', '2040-01-02 12:03:50', 100, 1);
SELECT * FROM pg_temp.tick('2040-01-02 12:03:50');
SELECT log_e >= ln(1 / alpha) / 2 AND log_e < ln(1 / alpha) AS half_way FROM flagscope.guardrail_status;

-- error: a rule whose stored evidence is damaged. The one beside it is judged in the same tick, and the ramp is held.
SELECT flagscope.create_metric('slow', 'proportion', 'span', '{}', '{"value_above": 0.5}');
SELECT flagscope.create_guardrail('shop', 'slow', min_sample => 1);
SELECT pg_temp.spans('on', '2040-01-02 12:04', 10, 0), pg_temp.spans('off', '2040-01-02 12:04', 10, 0);
SELECT * FROM pg_temp.tick('2040-01-02 12:04');
UPDATE flagscope.guardrail_status SET evidence = '{1}' WHERE guardrail_id = 1;
SELECT pg_temp.spans('on', '2040-01-02 12:04:10', 20, 0), pg_temp.spans('off', '2040-01-02 12:04:10', 20, 0);
SELECT * FROM pg_temp.tick('2040-01-02 12:04:10');
SELECT guardrail_id, state, failures, retry_at, evaluated_at, n_treatment FROM flagscope.guardrail_status ORDER BY 1;
SELECT item, says FROM flagscope.status() WHERE item LIKE 'guardrail%';
-- It is left alone until then, and fails again later and later, at most 32 times as late.
SELECT * FROM pg_temp.tick('2040-01-02 12:04:19');
SELECT failures, retry_at FROM flagscope.guardrail_status WHERE guardrail_id = 1;
DO $$
DECLARE
    at timestamptz := '2040-01-02 12:04:20';
BEGIN
    FOR i IN 2 .. 8 LOOP
        PERFORM flagscope.tick(at);
        RAISE NOTICE '%', (SELECT format('failure %s at %s, next try after %s', failures, at::time, retry_at - at)
            FROM flagscope.guardrail_status WHERE guardrail_id = 1);
        at := (SELECT retry_at FROM flagscope.guardrail_status WHERE guardrail_id = 1);
    END LOOP;
END $$;
-- The good one still acts: here it rolls back, while the other one is in error.
BEGIN;
SELECT pg_temp.spans('on', '2040-01-02 12:30', 30, 0), pg_temp.spans('off', '2040-01-02 12:30', 300, 0);
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags)
SELECT timestamptz '2040-01-02 12:30' - interval '1 s', 'span', 'pay', 0.9, '{"shop": "on"}'
FROM generate_series(1, 30);
COMMIT;
SELECT * FROM pg_temp.tick('2040-01-02 12:30');
SELECT action, rule ->> 'name' AS guardrail, to_status FROM flagscope.decision ORDER BY id DESC LIMIT 1;

-- A mended rule is well again: without its row it begins anew.
SELECT flagscope.create_rollout('shop', stages => ARRAY[50, 100]);
SELECT _flagscope.decide(2, 'start', 'tester', 'by hand', '2040-01-02 13:00');
SELECT _flagscope.begin_evidence(2, '2040-01-02 13:00');
UPDATE flagscope.guardrail_status SET evidence = '{NaN,0,0,0,0,0,0,0}' WHERE guardrail_id = 1 AND rollout_id = 2;
SELECT flagscope.tick('2040-01-02 13:00:10') IS NOT NULL AS ticked;
SELECT state, reason FROM flagscope.guardrail_status WHERE guardrail_id = 1 AND rollout_id = 2;
DELETE FROM flagscope.guardrail_status WHERE guardrail_id = 1 AND rollout_id = 2;
SELECT flagscope.tick('2040-01-02 13:00:20') IS NOT NULL AS ticked;
SELECT state, reason, failures, retry_at, alpha
FROM flagscope.guardrail_status WHERE guardrail_id = 1 AND rollout_id = 2;
-- An idle tick writes no evaluation.
SELECT count(*) AS evaluations FROM flagscope.evaluation WHERE rollout_id = 2;
SELECT flagscope.tick('2040-01-02 13:00:21') IS NOT NULL AS ticked;
SELECT count(*) AS evaluations FROM flagscope.evaluation WHERE rollout_id = 2;
