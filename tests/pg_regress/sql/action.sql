-- What each action of a guardrail does to rollout and flag; shadow rules; two breaches in one tick; evidence after a
-- person resumed.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never

-- A flag with a rollout at its second stage, and one guardrail for each (name, action, shadow, weight) given.
CREATE FUNCTION pg_temp.ramp(flag text, rules text[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    rollout bigint;
    rule text;
BEGIN
    PERFORM flagscope.create_flag(flag, variants => '{"old": 1, "new": 2, "other": 3}', default_variant => 'other',
        value_type => 'integer');
    FOREACH rule IN ARRAY rules LOOP
        PERFORM flagscope.create_guardrail(flag, split_part(rule, ' ', 1), name => rule,
            action => split_part(rule, ' ', 2)::flagscope.action, shadow => rule LIKE '%shadow', min_sample => 10);
    END LOOP;
    rollout := flagscope.create_rollout(flag, treatment => 'new', control => 'old', stages => ARRAY[10, 50, 100],
        min_duration => '1 hour');
    PERFORM _flagscope.decide(rollout, 'start', 'tester', 'by hand', '2040-01-02 12:00');
    PERFORM _flagscope.decide(rollout, 'advance', 'tester', 'by hand', '2040-01-02 12:01');
    PERFORM _flagscope.begin_evidence(rollout, '2040-01-02 12:00');
    RETURN rollout;
END $$;
-- 50 bad rows of the treatment (errors, and slow ones if asked for) and 200 good ones of the control.
CREATE FUNCTION pg_temp.bad(flag text, at timestamptz, slow boolean DEFAULT false) RETURNS void LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, value, flags, is_error)
    SELECT at, 'span', 'pay', CASE WHEN slow AND i <= 50 THEN 9 ELSE 0.1 END,
        jsonb_build_object(flag, CASE WHEN i <= 50 THEN 'new' ELSE 'old' END), i <= 25 FROM generate_series(1, 250) i;
$$;
CREATE VIEW pg_temp.stand AS
SELECT r.flag, r.status, r.stage, s.enabled, s.default_variant AS "default", s.treatment, s.percent
FROM flagscope.rollout r JOIN flagscope.flag_state s USING (flag, environment);
CREATE VIEW pg_temp.decided AS
SELECT d.id, d.flag, d.rule ->> 'name' AS guardrail, d.action, d.shadow, d.from_status, d.to_status,
    d.from_stage || '->' || d.to_stage AS stage, round(d.from_percent) || '->' || round(d.to_percent) AS percent
FROM flagscope.decision d WHERE d.guardrail_id IS NOT NULL;
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{}', '{"is_error": true}');
SELECT flagscope.create_metric('slow', 'proportion', 'span', '{}', '{"value_above": 1}');

-- One flag for each action, the same bad rows for all, one tick.
SELECT action, pg_temp.ramp('flag-' || action, ARRAY['errors ' || action])
FROM unnest('{warn,hold,pause,step_back,rollback,disable}'::text[]) action;
SELECT pg_temp.ramp('flag-shadow', '{errors rollback shadow}');
SELECT pg_temp.bad(flag, '2040-01-02 12:02') FROM flagscope.rollout;
SELECT strata, guardrails, decisions FROM flagscope.tick('2040-01-02 12:02');
SELECT * FROM pg_temp.decided ORDER BY id;
SELECT * FROM pg_temp.stand ORDER BY flag;
-- What callers get: the split while there is one, then what was served before; a disabled flag gives nothing.
SELECT r.flag, e.variant, e.reason, count(*) BETWEEN 400 AND 600 OR count(*) IN (1000) AS about_as_many
FROM flagscope.rollout r, generate_series(1, 1000) i, flagscope.evaluate(r.flag, 'user' || i) e
GROUP BY 1, 2, 3 HAVING count(*) > 200 ORDER BY 1, 2;

-- Decided once: neither later ticks nor more bad rows decide again.
-- A warning does not hold the ramp, and after an hour it begins anew.
SELECT pg_temp.bad(flag, '2040-01-02 12:03') FROM flagscope.rollout;
SELECT strata, guardrails, decisions FROM flagscope.tick('2040-01-02 12:03');
SELECT strata, guardrails, decisions FROM flagscope.tick('2040-01-02 13:30');
SELECT count(*) FROM pg_temp.decided;
SELECT r.flag, flagscope.ramp_gate(r.id, '2040-01-02 13:30') ~ 'breached' AS breached, r.status
FROM flagscope.rollout r WHERE r.status = 'running' ORDER BY r.id;

-- A paused or held rollout is still on watch, and can still be rolled back: here by a rule made meanwhile.
SELECT flagscope.create_guardrail('flag-pause', 'slow'),
    flagscope.create_guardrail('flag-hold', 'slow', action => 'pause');
SELECT pg_temp.bad('flag-pause', '2040-01-02 13:31', slow => true),
    pg_temp.bad('flag-hold', '2040-01-02 13:31', slow => true);
SELECT strata, guardrails, decisions FROM flagscope.tick('2040-01-02 13:31');
SELECT * FROM pg_temp.decided WHERE guardrail = 'slow' ORDER BY id;

-- Two breaches in one tick: the warning and the shadow verdict are told, of the others the most severe acts.
SELECT pg_temp.ramp('two', '{errors hold,slow step_back,slow warn,errors disable shadow}');
SELECT pg_temp.bad('two', '2040-01-02 14:00', slow => true);
SELECT strata, guardrails, decisions FROM flagscope.tick('2040-01-02 14:00');
SELECT * FROM pg_temp.decided WHERE flag = 'two' ORDER BY id;
SELECT * FROM pg_temp.stand WHERE flag = 'two';
-- What is less severe is over with it: the rollout is held already.
SELECT strata, guardrails, decisions FROM flagscope.tick('2040-01-02 14:00:10');

-- A person resumes: the stage and the breached rules start anew, so the old evidence does not hold it again at once.
SELECT id AS two FROM flagscope.rollout WHERE flag = 'two' \gset
SELECT _flagscope.decide(:two, 'resume', 'ann', 'fixed', '2040-01-02 14:10') IS NOT NULL AS resumed;
SELECT g.name, s.state, s.reason, s.n_treatment, s.evidence, s.since, s.breached_at, s.stage_treatment
FROM flagscope.guardrail_status s
JOIN flagscope.guardrail g ON g.id = s.guardrail_id WHERE rollout_id = :two ORDER BY g.id;
SELECT strata, guardrails, decisions FROM flagscope.tick('2040-01-02 14:10:10');
SELECT * FROM pg_temp.stand WHERE flag = 'two';
-- New harm is seen anew, and decided anew.
SELECT pg_temp.bad('two', '2040-01-02 14:11');
SELECT strata, guardrails, decisions FROM flagscope.tick('2040-01-02 14:11');
SELECT * FROM pg_temp.decided WHERE flag = 'two' ORDER BY id;
SELECT count(*) AS strata, min(at) AS first
FROM pg_temp.decided d, _flagscope.replay_evidence(d.id) WHERE d.flag = 'two' AND d.guardrail = 'errors hold';
