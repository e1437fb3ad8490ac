-- How sure a stage is before it ends: would harm have been seen (power), is it refuted (safe).
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SET flagscope.actor = 'ann';
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{}', '{"is_error": true}');
-- n spans of both arms, a tenth of them errors, and the tick that sees them.
CREATE FUNCTION pg_temp.minute(flag text, at timestamptz, n_t integer, n_c integer) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO flagscope.telemetry (ts, signal, name, flags, is_error)
    SELECT at, 'span', 'x', jsonb_build_object(flag, v.variant), i % 10 = 0
    FROM (VALUES ('on', n_t), ('off', n_c)) v(variant, n), generate_series(1, v.n) i;
    PERFORM flagscope.tick(at + interval '15 seconds');
    RETURN flagscope.ramp_gate((SELECT r.id FROM flagscope.rollout r WHERE r.flag = minute.flag),
        at + interval '15 seconds');
END $$;

-- Power: half as much again is not seen in 400 rows of each arm. What is missing, and when it will be there.
SELECT flagscope.create_flag('power'), flagscope.create_guardrail('power', 'errors') > 0 AS guarded;
SELECT flagscope.create_rollout('power', stages => '{50, 60, 100}', min_duration => '2 min',
    max_duration => '20 min') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-02 12:00') > 0 AS started;
SELECT m, pg_temp.minute('power', '2040-01-02 12:00'::timestamptz + m * interval '1 min', 200, 200)
FROM generate_series(1, 3) m;
SELECT state, reason FROM flagscope.guardrail_status;
-- With ten times as much it would have been, and the decision says so.
SELECT pg_temp.minute('power', '2040-01-02 12:04', 4000, 4000);
SELECT action, at, reason FROM flagscope.decision WHERE rollout_id = :id ORDER BY id;

-- Thin traffic does not wait for ever: the stage ends after max_duration, and says that little would have been found.
SELECT flagscope.create_flag('thin'), flagscope.create_guardrail('thin', 'errors') > 0 AS guarded;
SELECT flagscope.create_rollout('thin', stages => '{50, 100}', min_duration => '2 min') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-03 12:00') > 0 AS started;
SELECT m, pg_temp.minute('thin', '2040-01-03 12:00'::timestamptz + m * interval '1 min', 100, 100)
FROM generate_series(1, 4) m;
SELECT action, at, reason FROM flagscope.decision WHERE rollout_id = :id ORDER BY id;

-- Safe: the ramp waits until 20 % worse is refuted, however long that takes.
SELECT flagscope.create_flag('safe'), flagscope.create_guardrail('safe', 'errors', advance_when => 'safe',
    safe_margin => 0.2) > 0 AS guarded;
SELECT flagscope.create_rollout('safe', stages => '{50, 60, 100}', min_duration => '1 min') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-04 12:00') > 0 AS started;
SELECT m, pg_temp.minute('safe', '2040-01-04 12:00'::timestamptz + m * interval '1 min', 3000, 3000)
FROM generate_series(1, 3) m;
SELECT state, reason FROM flagscope.guardrail_status WHERE rollout_id = :id;
-- The stored increments are the evidence, to the last bit.
SELECT s.safe_evidence = (SELECT array_agg(x.sum ORDER BY x.i) FROM (
        SELECT i, sum(v ORDER BY e.stratum) AS sum
        FROM flagscope.evaluation e, unnest(e.safe_increment) WITH ORDINALITY v(v, i)
        WHERE e.evidence_id = s.evidence_id GROUP BY i) x) AS adds_up
FROM flagscope.guardrail_status s WHERE s.rollout_id = :id;
SELECT pg_temp.minute('safe', '2040-01-04 12:04', 20000, 20000);
SELECT action, at, reason FROM flagscope.decision WHERE rollout_id = :id ORDER BY id;

-- Refused.
\set VERBOSITY terse
SELECT flagscope.create_guardrail('safe', 'errors', name => 'x', safe_margin => 0.1);
SELECT flagscope.create_guardrail('safe', 'errors', name => 'x', advance_when => 'safe', safe_margin => 0);
SELECT flagscope.create_guardrail('safe', 'errors', name => 'x', advance_when => 'safe', safe_margin => 'NaN');
SELECT flagscope.create_guardrail('safe', 'errors', name => 'x', advance_when => 'sure');
SELECT flagscope.create_guardrail('safe', 'errors', name => 'x', test => 'threshold', limit_value => 0.1,
    advance_when => 'safe');
SELECT flagscope.create_guardrail('safe', 'errors', name => 'x', detectable => 1);
SELECT flagscope.create_guardrail('safe', 'errors', name => 'x', detectable => 'NaN');
SELECT flagscope.create_policy('x', '{"metric": "errors", "safe_margin": 0.1}');
SELECT flagscope.create_policy('x', '{"metric": "errors", "advance_when": "sure"}');
SELECT flagscope.create_flag('more');
SELECT flagscope.create_rollout('more', advance_when => 'sure');
SELECT flagscope.create_rollout('more', min_duration => '2 min', max_duration => '1 min');
