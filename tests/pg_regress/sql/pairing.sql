-- Arms whose data come at different times (an exporter per variant) are compared all the same.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never

CREATE FUNCTION pg_temp.spans(variant text, at timestamptz, n integer, errors integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, value, flags, is_error)
    SELECT at - i * interval '1 ms', 'span', 'pay', 0.1, jsonb_build_object('shop', variant), i <= errors
    FROM generate_series(1, n) i;
$$;
CREATE FUNCTION pg_temp.tick(at timestamptz)
RETURNS TABLE (decisions integer, state text, n_treatment bigint, n_control bigint, waiting text) LANGUAGE plpgsql AS $$
BEGIN
    decisions := (flagscope.tick(at)).decisions;
    SELECT s.state, s.n_treatment, s.n_control, format('%s/%s', (s.waiting_treatment).n, (s.waiting_control).n)
    INTO state, n_treatment, n_control, waiting FROM flagscope.guardrail_status s ORDER BY s.rollout_id DESC LIMIT 1;
    RETURN NEXT;
END $$;
SELECT flagscope.create_flag('shop');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_guardrail('shop', 'errors', min_sample => 50);
SELECT flagscope.create_rollout('shop', stages => ARRAY[50, 100], min_duration => '0 s');
SELECT _flagscope.decide(1, 'start', 'tester', 'by hand', '2040-01-02 12:00');
SELECT _flagscope.begin_evidence(1, '2040-01-02 12:00');

-- The treatment fails whenever it is called, but never in the same tick as the control:
-- seen as soon as both were there.
SELECT pg_temp.spans('off', '2040-01-02 12:00:01', 300, 0);
SELECT * FROM pg_temp.tick('2040-01-02 12:00:01');
SELECT pg_temp.spans('off', '2040-01-02 12:00:02', 100, 0);
SELECT * FROM pg_temp.tick('2040-01-02 12:00:02');
SELECT pg_temp.spans('on', '2040-01-02 12:00:03', 100, 100);
SELECT * FROM pg_temp.tick('2040-01-02 12:00:03');
SELECT action, to_percent FROM flagscope.decision ORDER BY id DESC LIMIT 1;
-- One stratum of all of them, and it can be computed anew.
SELECT at::time, n_treatment, n_control, events_treatment, events_control
FROM flagscope.evaluation WHERE n_treatment + n_control > 0;
SELECT bool_and(abs(log_e_stored - log_e_recomputed) < 1e-9) AS same FROM _flagscope.replay_evidence(2);

-- What waits longer than guardrail.pairing is given up: it is no sample, and the ramp does not advance on it.
SELECT flagscope.create_rollout('shop', stages => ARRAY[50, 100], min_duration => '0 s');
SELECT _flagscope.decide(2, 'start', 'tester', 'by hand', '2040-01-02 13:00');
SELECT _flagscope.begin_evidence(2, '2040-01-02 13:00');
SELECT pg_temp.spans('on', '2040-01-02 13:00:01', 500, 5);
SELECT * FROM pg_temp.tick('2040-01-02 13:00:01');
SELECT pg_temp.spans('on', '2040-01-02 13:01:02', 10, 0);
SELECT * FROM pg_temp.tick('2040-01-02 13:01:02');
SELECT pg_temp.spans('off', '2040-01-02 13:01:03', 40, 0);
SELECT * FROM pg_temp.tick('2040-01-02 13:01:03');
SELECT state, reason FROM flagscope.guardrail_status WHERE rollout_id = 2;
-- At 100 % no control is left, and 40 data points are no baseline: nothing is compared, and a person completes it.
SELECT flagscope.advance_rollout(2, reason => 'by hand', actor => 'ann');
UPDATE flagscope.rollout SET stage_started_at = '2040-01-02 13:02' WHERE id = 2;
SELECT pg_temp.spans('on', '2040-01-02 13:02:01', 60, 0);
SELECT * FROM pg_temp.tick('2040-01-02 13:02:01');
SELECT status FROM flagscope.rollout WHERE id = 2;
