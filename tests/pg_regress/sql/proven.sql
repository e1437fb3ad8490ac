-- Harm that a sequential test has proven stays proven: it waits for a person, and what an edit costs is told.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
UPDATE flagscope.setting SET value = '0' WHERE name = 'guardrail.detectable';  -- test gate has it
SET client_min_messages = notice;
\set SHOW_CONTEXT never
SET flagscope.actor = 'ann';
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{}', '{"is_error": true}');
SELECT flagscope.set_setting('rollup.fine.retention', '"30000 days"');
-- n spans of a variant, some of them errors.
CREATE FUNCTION pg_temp.spans(flag text, variant text, at timestamptz, n integer, errors integer) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, flags, is_error)
    SELECT at, 'span', 'x', jsonb_build_object(flag, variant), i <= errors FROM generate_series(1, n) i;
$$;
CREATE FUNCTION pg_temp.both(flag text, at timestamptz, n integer, treatment integer, control integer) RETURNS void
LANGUAGE sql AS $$ SELECT pg_temp.spans(flag, 'on', at, n, treatment), pg_temp.spans(flag, 'off', at, n, control); $$;
CREATE VIEW pg_temp.stand AS
SELECT r.flag, r.status, r.stage, s.percent
FROM flagscope.rollout r JOIN flagscope.flag_state s USING (flag, environment);

-- A cooldown heals a threshold, never a proof: a person resumes, and the report goes on showing what was proven.
SELECT flagscope.create_flag('rest');
SELECT flagscope.create_guardrail('rest', 'errors', action => 'hold', min_sample => 10) > 0 AS made;
SELECT flagscope.create_rollout('rest', stages => ARRAY[10, 50, 100], min_duration => '1 min',
    cooldown => '30 min') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-02-01 12:00') > 0 AS started;
SELECT pg_temp.both('rest', '2040-02-01 12:01', 50, 25, 0);
SELECT decisions FROM flagscope.tick('2040-02-01 12:01');
SELECT h AS hour, (flagscope.tick('2040-02-01 12:00'::timestamptz + h * interval '1 hour')).decisions
FROM generate_series(1, 5) h;
SELECT * FROM pg_temp.stand WHERE flag = 'rest';
SELECT flagscope.ramp_gate(:id, '2040-02-01 18:00');
SELECT _flagscope.rests_until(r) FROM flagscope.rollout r WHERE id = :id;
SELECT flagscope.resume_rollout(:id, reason => 'fixed', at => '2040-02-01 18:00') > 0 AS resumed;
SELECT s.state, s.reason, s.alpha, r.alpha_left FROM flagscope.guardrail_status s
    JOIN flagscope.rollout r ON r.id = s.rollout_id WHERE r.id = :id;
SELECT pg_temp.both('rest', '2040-02-01 18:01', 500, 0, 0);
SELECT decisions FROM flagscope.tick('2040-02-01 18:01');
SELECT line FROM flagscope.rollout_report(:id, '2040-02-01 18:01') WITH ORDINALITY x(line, nr)
WHERE nr BETWEEN (SELECT nr FROM flagscope.rollout_report(:id, '2040-02-01 18:01') WITH ORDINALITY y(line, nr)
        WHERE line = 'guardrails')
    AND (SELECT nr FROM flagscope.rollout_report(:id, '2040-02-01 18:01') WITH ORDINALITY y(line, nr)
        WHERE line ^@ 'what the ramp') ORDER BY nr;
-- So does that of a rollout that restarts it.
SELECT flagscope.rollback_rollout(:id, at => '2040-02-01 18:02') > 0 AS over;
SELECT flagscope.restart_rollout(:id, at => '2040-02-01 18:03') AS again \gset
SELECT line FROM flagscope.rollout_report(:again, '2040-02-01 18:04') line WHERE line ~ 'proven before|ln e';

-- Below the first stage nobody is served: a step back from it goes to 0 %.
SELECT flagscope.create_flag('back');
SELECT flagscope.create_guardrail('back', 'errors', action => 'step_back', min_sample => 10) > 0 AS made;
SELECT flagscope.create_rollout('back', stages => ARRAY[10, 50], min_duration => '1 h') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-02-01 12:00') > 0 AS started;
SELECT pg_temp.both('back', '2040-02-01 12:01', 500, 250, 0);
SELECT decisions FROM flagscope.tick('2040-02-01 12:01');
SELECT * FROM pg_temp.stand WHERE flag = 'back';
SELECT action, from_percent, to_percent, from_stage, to_stage, reason FROM flagscope.decision WHERE rollout_id = :id
ORDER BY id;
SELECT e.variant, count(*) FROM generate_series(1, 1000) u, flagscope.evaluate('back', 'u' || u) e GROUP BY 1;
-- What came late is judged all the same.
SELECT pg_temp.both('back', '2040-02-01 12:01', 10, 0, 0);
SELECT guardrails, decisions FROM flagscope.tick('2040-02-01 12:02');
SELECT percent, n_treatment, n_control FROM flagscope.evaluation WHERE rollout_id = :id ORDER BY stratum;
SELECT flagscope.approve_stage(:id);
SELECT flagscope.step_back_rollout(:id, at => '2040-02-01 12:03') > 0 AS still;
SELECT * FROM pg_temp.stand WHERE flag = 'back';
SELECT flagscope.resume_rollout(:id, at => '2040-02-01 12:04') > 0 AS resumed;
SELECT * FROM pg_temp.stand WHERE flag = 'back';
SELECT line FROM flagscope.rollout_report(:id, '2040-02-01 12:04') line WHERE line ~ 'error budget|ln e';

-- A rule that is only tightened keeps its evidence and its share of the budget; 21 smaller margins cost nothing.
SELECT flagscope.create_flag('edit');
SELECT flagscope.create_guardrail('edit', 'errors', margin => 0.5, action => 'warn', min_sample => 10) AS rule \gset
SELECT flagscope.create_rollout('edit', stages => ARRAY[50, 90], min_duration => '1 h') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-02-01 12:00') > 0 AS started;
CREATE VIEW pg_temp.evidence AS
SELECT s.guardrail_version AS version, s.state, s.margin, s.limit_value AS "limit", s.alpha, s.last_stratum AS stratum,
    round(s.log_e::numeric, 3) AS log_e, r.alpha_left
FROM flagscope.guardrail_status s JOIN flagscope.rollout r ON r.id = s.rollout_id;
DO $$
BEGIN
    FOR i IN 1..21 LOOP
        PERFORM pg_temp.both('edit', '2040-02-01 12:00'::timestamptz + i * interval '10 s', 100, 5, 4);
        PERFORM flagscope.tick('2040-02-01 12:00'::timestamptz + i * interval '10 s');
        UPDATE flagscope.guardrail SET margin = 0.5 - i / 50.0 WHERE flag = 'edit';
    END LOOP;
END $$;
UPDATE flagscope.guardrail SET action = 'rollback' WHERE id = :rule;
SELECT e.* FROM pg_temp.evidence e, flagscope.guardrail_status s
WHERE s.rollout_id = :id AND s.guardrail_version = e.version AND e.margin IS NOT NULL AND s.alpha = e.alpha;
SELECT count(*) AS strata, min(bound) AS narrowest, max(bound) AS widest, count(DISTINCT evidence_id) AS evidence
FROM flagscope.evaluation WHERE rollout_id = :id;
-- Harm is found on all of it, and replay and backtest say what was said live, though the margin moved meanwhile.
SELECT pg_temp.both('edit', '2040-02-01 12:05', 400, 100, 16);
SELECT decisions FROM flagscope.tick('2040-02-01 12:05');
SELECT action, reason FROM flagscope.decision WHERE rollout_id = :id AND actor = 'flagscope';
SELECT max(id) AS decision FROM flagscope.decision WHERE rollout_id = :id \gset
SELECT count(*) AS strata, max(abs(stored - recomputed)) < 1e-9 AS equal FROM flagscope.replay(:decision)
WHERE part = 'stratum';
SELECT count(*) AS strata, max(abs(b.log_e - e.log_e)) < 1e-9 AS equal, count(*) FILTER (WHERE b.fires) AS fires
FROM flagscope.backtest_guardrail(:rule, '2040-02-01 12:00', '2040-02-01 13:00') b
    JOIN flagscope.evaluation e ON e.at = b.at AND e.rollout_id = :id;

-- What loosens begins anew with half of what is left, and says so; a limit likewise.
SELECT flagscope.create_flag('loose');
SELECT flagscope.create_guardrail('loose', 'errors', margin => 0.1) AS rule,
    flagscope.create_guardrail('loose', 'errors', name => 'limit', limit_value => 0.05) AS bound \gset
SELECT flagscope.create_rollout('loose', stages => ARRAY[50, 90], min_duration => '1 h') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-02-01 12:00') > 0 AS started;
SELECT pg_temp.both('loose', '2040-02-01 12:01', 100, 5, 4);
SELECT decisions FROM flagscope.tick('2040-02-01 12:01');
UPDATE flagscope.guardrail SET limit_value = 0.04 WHERE id = :bound;
UPDATE flagscope.guardrail SET margin = 0.2 WHERE id = :rule;
SELECT decisions FROM flagscope.tick('2040-02-01 12:02');
UPDATE flagscope.guardrail SET limit_value = 0.06 WHERE id = :bound;
UPDATE flagscope.guardrail SET margin = NULL, margin_absolute = 0.01 WHERE id = :rule;
SELECT decisions FROM flagscope.tick('2040-02-01 12:03');
UPDATE flagscope.guardrail SET margin_absolute = 0.005 WHERE id = :rule;
SELECT g.name, g.version, s.guardrail_version, s.margin_absolute, s.limit_value, s.alpha, r.alpha_left
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
    JOIN flagscope.rollout r ON r.id = s.rollout_id WHERE r.id = :id ORDER BY g.id;

-- A warning that was armed again has used its share more than once: when it begins to act it needs one of its own.
SELECT flagscope.create_flag('warned');
SELECT flagscope.create_guardrail('warned', 'errors', action => 'warn', min_sample => 10) AS rule \gset
SELECT flagscope.create_rollout('warned', stages => ARRAY[50, 90], min_duration => '1 day') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-02-01 12:00') > 0 AS started;
SELECT pg_temp.both('warned', '2040-02-01 12:01', 50, 25, 0);
SELECT decisions FROM flagscope.tick('2040-02-01 12:01');
SELECT decisions FROM flagscope.tick('2040-02-01 13:02');
SELECT rearmed, state FROM flagscope.guardrail_status WHERE rollout_id = :id;
UPDATE flagscope.guardrail SET action = 'rollback' WHERE id = :rule;
SELECT decisions FROM flagscope.tick('2040-02-01 13:03');
SELECT rearmed, state, alpha FROM flagscope.guardrail_status WHERE rollout_id = :id;
