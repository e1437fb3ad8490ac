-- A healthy rollout under a pinned clock: each gate of the ramp in words, advances, approval, completion; nothing is
-- decided twice.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
UPDATE flagscope.setting SET value = '0' WHERE name = 'guardrail.detectable';  -- stages end by their times
\set SHOW_CONTEXT never

-- start_rollout() at a given time.
CREATE FUNCTION pg_temp.start(rollout bigint, at timestamptz) RETURNS void LANGUAGE sql AS $$
    SELECT _flagscope.decide(rollout, 'start', 'tester', 'by hand', at);
    SELECT _flagscope.begin_evidence(rollout, at);
$$;
-- Spans that end just before a time, the first of them errors.
CREATE FUNCTION pg_temp.spans(variant text, at timestamptz, n integer, errors integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, value, flags, is_error)
    SELECT at - i * interval '1 ms', 'span', 'pay', 0.1, jsonb_build_object('shop', variant), i <= errors
    FROM generate_series(1, n) i;
$$;
-- What a tick did, and why the ramp is where it is after it.
CREATE FUNCTION pg_temp.tick(at timestamptz, OUT strata int, OUT guardrails int, OUT decisions int, OUT gate text)
LANGUAGE plpgsql AS $$
BEGIN
    SELECT t.strata, t.guardrails, t.decisions INTO strata, guardrails, decisions FROM flagscope.tick(at) t;
    gate := coalesce(flagscope.ramp_gate(1, at), 'clear');
END $$;

SELECT flagscope.create_flag('shop');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_guardrail('shop', 'errors');
SELECT flagscope.create_rollout('shop', stages => ARRAY[10, 50, 100], min_sample => 150);
UPDATE flagscope.rollout_stage SET approval_needed = true WHERE ordinal = 2;
SELECT strata, guardrails, decisions FROM flagscope.tick('2040-01-02 11:59');  -- a draft is nobody's business
SELECT pg_temp.start(1, '2040-01-02 12:00');

-- Stage 1: no data, then none for too long, then too little.
SELECT * FROM pg_temp.tick('2040-01-02 12:00:10');
SELECT * FROM pg_temp.tick('2040-01-02 12:01:10');
SELECT pg_temp.spans('on', '2040-01-02 12:02', 140, 2);
SELECT * FROM pg_temp.tick('2040-01-02 12:02');
-- That was the treatment alone. What happens at the same time is compared.
SELECT pg_temp.spans('on', '2040-01-02 12:02:10', 140, 2), pg_temp.spans('off', '2040-01-02 12:02:10', 1260, 18);
SELECT * FROM pg_temp.tick('2040-01-02 12:02:10');
-- The same sample, but nothing for more than two minutes.
SELECT * FROM pg_temp.tick('2040-01-02 12:04:11');
-- Enough sample (the stage asks for more than the guardrail's 100), but not enough time.
SELECT pg_temp.spans('on', '2040-01-02 12:09:59', 60, 1), pg_temp.spans('off', '2040-01-02 12:09:59', 540, 9);
SELECT * FROM pg_temp.tick('2040-01-02 12:09:59');
-- Time is reached: advance, once. A new stage counts its sample from 0.
SELECT * FROM pg_temp.tick('2040-01-02 12:10');
SELECT * FROM pg_temp.tick('2040-01-02 12:10');
SELECT percent, default_variant, actor, reason FROM flagscope.flag_state WHERE flag = 'shop';

-- Stage 2 asks for approval.
SELECT pg_temp.spans('on', '2040-01-02 12:19', 500, 10), pg_temp.spans('off', '2040-01-02 12:19', 500, 10);
SELECT * FROM pg_temp.tick('2040-01-02 12:19');
SELECT * FROM pg_temp.tick('2040-01-02 12:20');
SELECT flagscope.approve_stage(1, reason => 'numbers seen', actor => 'ann');
SELECT ordinal, approved_by, approved_at IS NOT NULL AS at FROM flagscope.rollout_stage ORDER BY ordinal;
SELECT * FROM pg_temp.tick('2040-01-02 12:20:01');

-- The last stage: advancing completes.
SELECT pg_temp.spans('on', '2040-01-02 12:30:02', 900, 18);
SELECT * FROM pg_temp.tick('2040-01-02 12:30:02');
SELECT * FROM pg_temp.tick('2040-01-02 12:30:03');
SELECT status, stage, version, previous_variant, started_at, ended_at FROM flagscope.rollout;
SELECT enabled, default_variant, rollout_id, percent FROM flagscope.flag_state WHERE flag = 'shop';
SELECT variant, reason FROM flagscope.evaluate('shop', 'anyone');

-- The story as it was stored.
SELECT id, action, from_stage || '->' || to_stage AS stage, from_percent || '->' || to_percent AS percent,
    from_status || '->' || to_status AS status, actor, reason, key
FROM flagscope.decision ORDER BY id;
SELECT percent, lower(valid) AS since, upper(valid) AS until FROM flagscope.allocation ORDER BY version;
SELECT count(*), array_agg(DISTINCT kind) AS kinds, bool_and(payload ->> 'reason' = d.reason) AS same
FROM flagscope.outbox o JOIN flagscope.decision d ON d.id = (o.payload ->> 'id')::bigint;
-- Every stratum weighed adds up to what the guardrail holds: at 100 % against what the control was, with evidence of
-- its own.
SELECT s.n_treatment, s.n_control, s.events_treatment, s.events_control,
    sum(e.n_treatment) = s.n_treatment AND sum(e.n_control) = s.n_control AS n_adds_up,
    array_agg(e.events_treatment[1] ORDER BY e.at) AS events_by_tick
FROM flagscope.guardrail_status s JOIN flagscope.evaluation e USING (guardrail_id, rollout_id, evidence_id)
GROUP BY s.guardrail_id, s.rollout_id;

-- A tick's time must be finite.
SELECT flagscope.tick('infinity');
SELECT flagscope.tick(NULL);
