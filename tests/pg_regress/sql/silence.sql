-- Silence is not health: data of both arms, fresh by its own rhythm; a treatment that falls silent; nothing to compare.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
UPDATE flagscope.setting SET value = '0' WHERE name = 'guardrail.detectable';  -- stages end by their times
\set SHOW_CONTEXT never
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{}', '{"is_error": true}');
SELECT flagscope.create_metric('latency', 'quantile', 'span', unit => 's');
SELECT flagscope.create_metric('basket', 'mean', 'span', cap => 1);
SELECT flagscope.set_setting('rollup.fine.retention', '"30000 days"');
CREATE FUNCTION pg_temp.spans(flag text, variant text, at timestamptz, n integer, errors integer) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, flags, is_error, value)
    SELECT at, 'span', 'x', jsonb_build_object(flag, variant), i <= errors, 0.1 + (i % 10) / 100.0
    FROM generate_series(1, n) i;
$$;
-- Rows of both arms every 2 seconds, from one second of a flag's time to another, judged each time.
CREATE FUNCTION pg_temp.traffic(flag text, began integer, ended integer, treatment integer DEFAULT 5,
    control integer DEFAULT 5, errors integer DEFAULT 0) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    at timestamptz;
BEGIN
    FOR s IN began..ended BY 2 LOOP
        at := '2040-01-02 12:00'::timestamptz + s * interval '1 second';
        PERFORM pg_temp.spans(flag, 'on', at, treatment, errors), pg_temp.spans(flag, 'off', at, control, 0),
            flagscope.tick(at);
    END LOOP;
END $$;
CREATE FUNCTION pg_temp.at(s integer) RETURNS timestamptz
LANGUAGE sql IMMUTABLE RETURN '2040-01-02 12:00:00+00'::timestamptz + s * interval '1 second';
CREATE VIEW pg_temp.stand AS
SELECT r.flag, r.status, r.stage, s.percent, g.name AS guardrail, st.state, st.reason
FROM flagscope.rollout r JOIN flagscope.flag_state s USING (flag, environment)
    JOIN flagscope.guardrail_status st ON st.rollout_id = r.id JOIN flagscope.guardrail g ON g.id = st.guardrail_id;
CREATE FUNCTION pg_temp.begin(flag text, stages numeric[], OUT id bigint, variadic metrics text[] DEFAULT '{errors}')
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM flagscope.create_flag(flag);
    PERFORM flagscope.create_guardrail(flag, m, min_sample => 50) FROM unnest(metrics) m;
    id := flagscope.create_rollout(flag, stages => stages, min_duration => '10 minutes');
    PERFORM flagscope.start_rollout(id, at => pg_temp.at(0));
END $$;

-- Data stops at 8:10 in a stage of ten minutes. Nothing is known to be wrong at 10:00, nor to be right: no advance.
-- A busy guardrail says so long before it is stale (2 minutes), and goes on at once when data comes.
SELECT pg_temp.begin('stopped', '{10, 50}') AS id \gset
SELECT pg_temp.traffic('stopped', 400, 490);
SELECT s, (flagscope.tick(pg_temp.at(s))).decisions, flagscope.ramp_gate(:id, pg_temp.at(s))
FROM unnest('{500,599,600,605,609,611,700}'::integer[]) s;
SELECT * FROM pg_temp.stand WHERE flag = 'stopped';
SELECT pg_temp.traffic('stopped', 702, 702);
SELECT * FROM pg_temp.stand WHERE flag = 'stopped';
-- Who wants no waiting for data that stops says so.
SELECT pg_temp.begin('eager', '{10, 50}') AS id \gset
UPDATE flagscope.guardrail SET on_state = '{"stale": "ignore"}' WHERE flag = 'eager';
SELECT pg_temp.traffic('eager', 400, 490);
SELECT decisions FROM flagscope.tick(pg_temp.at(605));

-- A minimum sample is one of both arms.
SELECT pg_temp.begin('few', '{90, 95}') AS id \gset
SELECT pg_temp.traffic('few', 2, 20, control => 2);
SELECT * FROM pg_temp.stand WHERE flag = 'few';
SELECT pg_temp.traffic('few', 22, 60, control => 2);
SELECT * FROM pg_temp.stand WHERE flag = 'few';

-- A treatment that dies reports no harm: it falls silent while the control goes on, which holds the rollout.
SELECT pg_temp.begin('dies', '{10, 50}') AS id \gset
SELECT pg_temp.traffic('dies', 102, 200);
SELECT pg_temp.traffic('dies', 202, 248, treatment => 0);
SELECT state, reason FROM pg_temp.stand WHERE flag = 'dies';
SELECT pg_temp.traffic('dies', 250, 270, treatment => 0);
SELECT * FROM pg_temp.stand WHERE flag = 'dies';
SELECT at, action, reason FROM flagscope.decision WHERE rollout_id = :id AND actor = 'flagscope';
SELECT kind, payload ->> 'action' AS action, payload ->> 'event' AS event FROM flagscope.outbox
WHERE payload ->> 'flag' = 'dies' ORDER BY id;
-- It is well again when data comes; a person resumes.
SELECT pg_temp.traffic('dies', 272, 272);
SELECT status, state FROM pg_temp.stand WHERE flag = 'dies';
-- What only warns only warns; another reaction is what on_state says.
SELECT pg_temp.begin('warns', '{10, 50}') AS id \gset
UPDATE flagscope.guardrail SET action = 'warn' WHERE flag = 'warns';
SELECT pg_temp.traffic('warns', 102, 200), pg_temp.traffic('warns', 202, 270, treatment => 0);
SELECT action, to_status FROM flagscope.decision WHERE rollout_id = :id AND actor = 'flagscope';
SELECT pg_temp.begin('back', '{10, 50}') AS id \gset
UPDATE flagscope.guardrail SET on_state = '{"silent": "rollback"}' WHERE flag = 'back';
SELECT pg_temp.traffic('back', 102, 200), pg_temp.traffic('back', 202, 270, treatment => 0);
SELECT action, to_status FROM flagscope.decision WHERE rollout_id = :id AND actor = 'flagscope';
-- So it is with a control that stops: what goes on is compared with nothing.
SELECT pg_temp.begin('control dies', '{10, 50}') AS id \gset
SELECT pg_temp.traffic('control dies', 102, 200), pg_temp.traffic('control dies', 202, 248, control => 0);
SELECT state FROM pg_temp.stand WHERE flag = 'control dies';
SELECT pg_temp.traffic('control dies', 250, 270, control => 0);
SELECT * FROM pg_temp.stand WHERE flag = 'control dies';
SELECT action, to_status FROM flagscope.decision WHERE rollout_id = :id AND actor = 'flagscope';
SELECT pg_temp.traffic('control dies', 272, 272);
SELECT status, state FROM pg_temp.stand WHERE flag = 'control dies';
-- With the stage: its gaps there are not known; two minutes are more than those of the treatment let expect.
SELECT pg_temp.begin('with the stage', '{10, 50}') AS id \gset
SELECT pg_temp.traffic('with the stage', 102, 200);
SELECT flagscope.advance_rollout(:id, at => pg_temp.at(201)) > 0 AS advanced;
SELECT pg_temp.traffic('with the stage', 202, 318, control => 0);
SELECT state, reason FROM pg_temp.stand WHERE flag = 'with the stage';
SELECT pg_temp.traffic('with the stage', 320, 326, control => 0);
SELECT state, reason FROM pg_temp.stand WHERE flag = 'with the stage';
-- Both arms silent are no dead treatment; at 0 % nobody waits for one.
SELECT pg_temp.begin('both', '{10, 50}') AS id \gset
SELECT pg_temp.traffic('both', 102, 200);
SELECT decisions FROM flagscope.tick(pg_temp.at(330));
SELECT status, state FROM pg_temp.stand WHERE flag = 'both';
SELECT pg_temp.begin('zero', '{10, 50}') AS id \gset
SELECT pg_temp.traffic('zero', 102, 200);
SELECT flagscope.step_back_rollout(:id, at => pg_temp.at(201)) > 0 AS stopped;
SELECT pg_temp.traffic('zero', 202, 400, treatment => 0);
SELECT status, percent, state FROM pg_temp.stand WHERE flag = 'zero';

-- At 100 % there is no control. What it was in the stages before is known, so guardrails go on against that; a mean
-- has no such test, and says that nothing is compared.
SELECT pg_temp.begin('all', '{50, 100}', 'errors', 'latency', 'basket') AS id \gset
SELECT pg_temp.traffic('all', 482, 602);
SELECT * FROM pg_temp.stand WHERE flag = 'all' ORDER BY guardrail;
SELECT g.name, s.carries_on, s.alpha, s.margin, s.control_verdict ->> 'state' AS before,
    s.control_verdict ->> 'reason' AS reason, r.alpha_left
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
    JOIN flagscope.rollout r ON r.id = s.rollout_id WHERE r.id = :id ORDER BY g.id;
SELECT pg_temp.traffic('all', 604, 680, control => 0);
SELECT guardrail, state, reason FROM pg_temp.stand WHERE flag = 'all' ORDER BY guardrail;
SELECT flagscope.ramp_gate(:id, pg_temp.at(680));
SELECT line FROM flagscope.rollout_report(:id, pg_temp.at(680)) line WHERE line ~ 'against the control|baseline';
-- It fails 60 % now: found.
SELECT pg_temp.traffic('all', 682, 700, control => 0, errors => 3);
SELECT action, from_percent, to_percent, reason, evidence ->> 'comparison' AS comparison FROM flagscope.decision
WHERE rollout_id = :id AND actor = 'flagscope' ORDER BY id DESC LIMIT 1;
SELECT max(id) AS decision FROM flagscope.decision WHERE rollout_id = :id \gset
SELECT count(*) > 3 AS strata, max(abs(stored - recomputed)) < 1e-9 AS equal FROM flagscope.replay(:decision)
WHERE part = 'stratum';
SELECT line FROM regexp_split_to_table((SELECT flagscope.explain_decision(:decision)), '\n') line
WHERE line ~ '^(guardrail|values|line)';
SELECT g.name, count(*) > 50 AS strata, max(abs(b.log_e - e.log_e)) < 1e-9 AS equal,
    count(*) FILTER (WHERE b.fires) AS fires, min(b.line) < max(b.line) AS two_lines
FROM flagscope.guardrail g, flagscope.backtest_guardrail(g.id, pg_temp.at(0), pg_temp.at(900)) b
    JOIN flagscope.evaluation e ON e.at = b.at AND e.rollout_id = :id
WHERE g.flag = 'all' AND g.name <> 'basket' AND e.guardrail_id = g.id GROUP BY g.name ORDER BY 1;

-- Completed by hand at 50 %: the follow-up goes on against what the control was, and rolls back.
SELECT pg_temp.begin('after', '{50, 100}') AS id \gset
SELECT pg_temp.traffic('after', 202, 300);
SELECT flagscope.complete_rollout(:id, at => pg_temp.at(301)) > 0 AS completed;
SELECT pg_temp.traffic('after', 302, 360, treatment => 10, control => 0);
SELECT * FROM pg_temp.stand WHERE flag = 'after';
SELECT pg_temp.traffic('after', 362, 380, treatment => 10, control => 0, errors => 6);
SELECT status, default_variant FROM flagscope.rollout r JOIN flagscope.flag_state s USING (flag, environment)
WHERE r.id = :id;

-- A warning that is breached when everybody is served the treatment stays so; armed again it goes on against what the
-- control was, and what it proved against the control is kept.
SELECT pg_temp.begin('warned', '{50, 100}', 'errors', 'basket') AS id \gset
UPDATE flagscope.guardrail SET action = 'warn' WHERE flag = 'warned';
SELECT flagscope.set_setting('guardrail.rewarn_after', '"10 minutes"');
SELECT pg_temp.traffic('warned', 102, 602, errors => 1);
SELECT guardrail, percent, state, reason FROM pg_temp.stand WHERE flag = 'warned' ORDER BY guardrail;
SELECT pg_temp.traffic('warned', 604, 760, errors => 1, control => 0);
SELECT g.name, s.state, s.carries_on, s.rearmed, s.control_verdict ->> 'state' AS before,
    s.limit_value IS NOT NULL AS known, s.reason
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
WHERE s.rollout_id = :id ORDER BY g.id;
SELECT flagscope.set_setting('guardrail.rewarn_after', '"1 hour"');

-- Nothing before, nothing to compare with: no_control, never ok; a person completes it. Back at a smaller share it is
-- compared with the control again.
SELECT pg_temp.begin('at once', '{50, 100}') AS id \gset
SELECT flagscope.advance_rollout(:id, at => pg_temp.at(1)) > 0 AS advanced;
SELECT pg_temp.traffic('at once', 600, 720, control => 0);
SELECT * FROM pg_temp.stand WHERE flag = 'at once';
SELECT flagscope.step_back_rollout(:id, at => pg_temp.at(721)) > 0 AS stepped_back;
SELECT flagscope.resume_rollout(:id, at => pg_temp.at(721)) > 0 AS resumed;
SELECT pg_temp.traffic('at once', 722, 760);
SELECT * FROM pg_temp.stand WHERE flag = 'at once';
SELECT carries_on, control_verdict, limit_value, margin FROM flagscope.guardrail_status WHERE rollout_id = :id;
