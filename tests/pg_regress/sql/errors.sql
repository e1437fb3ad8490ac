-- Each error that flagscope raises itself, once: SQLSTATE, message, hint. Standard SQLSTATEs only.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SET client_min_messages = notice;
CREATE FUNCTION pg_temp.try(statement text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    hint text;
BEGIN
    EXECUTE statement;
    RAISE WARNING '% was taken', statement;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RAISE NOTICE '%', format(E'%s\n  %s %s%s', statement, SQLSTATE, SQLERRM, E'\n  hint: ' || nullif(hint, ''));
END $$;
SELECT flagscope.create_flag('f');
SELECT flagscope.create_metric('errors', 'proportion', 'span', event => '{"is_error": true}');
SELECT flagscope.create_metric('amount', 'mean', 'event');
SELECT flagscope.create_guardrail('f', 'errors');
SELECT flagscope.create_rollout('f', stages => ARRAY[10, 100]);

-- flags and environments
DO $$ BEGIN
    PERFORM pg_temp.try($q$SELECT flagscope.create_flag('f')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_flag('g', '[]')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_flag('g', '{"on": 1}', 'on')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_flag('g', '{"x": {"n": 1e400}}', 'x', 'object')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_flag('g', default_variant => 'maybe')$q$);
    PERFORM pg_temp.try($q$UPDATE flagscope.flag_definition SET value_type = 'string'$q$);
    PERFORM pg_temp.try($q$UPDATE flagscope.flag_definition SET variants = '{"on": true}'$q$);
    PERFORM pg_temp.try($q$UPDATE flagscope.flag_state SET flag = 'g'$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.set_default_variant('g', 'on')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.enable_flag('f', 'mars')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_environment('production')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_environment('staging', '{prod}')$q$);
END $$;
-- settings
DO $$ BEGIN
    PERFORM pg_temp.try($q$SELECT flagscope.set_setting('unknown', '1')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.set_setting('rollout.alpha', '"1"')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.set_setting('rollout.alpha', '1')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.set_setting('guardrail.window', '"soon"')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.set_setting('guardrail.window', '"0 s"')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.set_setting('telemetry.retention', '"1 year"')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.set_setting('telemetry.chunk_interval', '"1 s"')$q$);
END $$;
-- metrics and guardrails
DO $$ BEGIN
    PERFORM pg_temp.try($q$SELECT flagscope.create_metric('errors', 'mean', 'span')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_metric('m', 'proportion', 'span')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_metric('m', 'mean', 'span', event => '{}')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_metric('m', 'mean', 'span', '{"nmae": "pay"}')$q$);
    PERFORM pg_temp.try($q$UPDATE flagscope.metric_definition SET kind = 'mean', event = NULL WHERE name = 'errors'$q$);
    PERFORM pg_temp.try($q$UPDATE flagscope.metric_definition SET signal = 'log' WHERE name = 'errors'$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_guardrail('f', 'unknown')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_guardrail('unknown', 'errors')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_guardrail('f', 'errors')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_guardrail('f', 'amount')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_guardrail('f', 'errors', limit_value => 2)$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.odds_ratio('{10}', '{11}', '{10}', '{1}', 0.01)$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.odds_ratio('{10}', '{1,2}', '{10}', '{1}', 0.01)$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.odds_ratio('{10}', '{NULL}', '{10}', '{1}', 0.01)$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.odds_ratio('{-1}', '{0}', '{10}', '{1}', 0.01)$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.odds_ratio('{10}', '{1}', '{10}', '{1}', 0)$q$);
END $$;
-- rollouts and decisions
SELECT flagscope.create_flag('g');
DO $$ BEGIN
    PERFORM pg_temp.try($q$SELECT flagscope.create_rollout('f')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_rollout('unknown')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_rollout('f', treatment => 'new')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_rollout('f', treatment => NULL)$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_rollout('f', treatment => 'on', control => 'on')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_rollout('f', stages => '{}')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_rollout('f', stages => '{0}')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_rollout('f', stages => '{101}')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_rollout('f', stages => '{NaN}')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_rollout('f', stages => '{NULL}')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_rollout('f', stages => '{50,50}')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_rollout('f', stages => '{50,10}')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_rollout('f', stages => '{0.0001}')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_rollout('f', alpha => 0.7)$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_rollout('g', min_duration => '-1 s')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.create_rollout('g', min_sample => -1)$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.start_rollout(99)$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.pause_rollout(1)$q$);
    PERFORM pg_temp.try($q$INSERT INTO flagscope.rollout (flag, environment, treatment, control, alpha, status, stage)
        VALUES ('f', 'production', 'on', 'off', 0.01, 'held', 1)$q$);
    PERFORM pg_temp.try($q$UPDATE flagscope.rollout SET status = 'completed', stage = 1$q$);
    PERFORM pg_temp.try($q$UPDATE flagscope.rollout SET flag = 'g'$q$);
    PERFORM pg_temp.try($q$DELETE FROM flagscope.decision$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.explain_decision(99)$q$);
    PERFORM pg_temp.try($q$SELECT _flagscope.replay_evidence(99)$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.tick('-infinity')$q$);
END $$;
-- A NULL rollout is none.
SELECT flagscope.ramp_gate(NULL);
DO $$ BEGIN PERFORM pg_temp.try('SELECT flagscope.start_rollout(NULL)'); END $$;
-- sketches
DO $$ BEGIN
    PERFORM pg_temp.try($q$SELECT 'x'::flagscope.moments$q$);
    PERFORM pg_temp.try($q$SELECT 'x'::flagscope.histogram$q$);
    PERFORM pg_temp.try($q$SELECT 'x'::flagscope.tdigest$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.quantile(flagscope.tdigest(1), 2)$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.tdigest(1, 1)$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.trimmed_mean(flagscope.tdigest(1), 1, 0)$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.quantile_rank(flagscope.tdigest(1), 'NaN')$q$);
    PERFORM pg_temp.try($q$SELECT flagscope.merge('{"n":9007199254740992,"mean":1.5,"m2":0.5,"min":1.0,"max":2.0,
         "invalid":0}'::flagscope.moments, '{"n":2,"mean":1.5,"m2":0.5,"min":1.0,"max":2.0,"invalid":0}')$q$);
END $$;
-- GUCs have bounds, and no others of this prefix are known.
DO $$ BEGIN
    PERFORM pg_temp.try($q$SET flagscope.enabled = off$q$);
    PERFORM pg_temp.try($q$SET flagscope.unknown = 1$q$);
END $$;
-- The bounds stand below; from 18 on the message has them with their unit.
\set VERBOSITY sqlstate
ALTER SYSTEM SET flagscope.interval = 5;
ALTER SYSTEM SET flagscope.interval = '2 h';
\set VERBOSITY default
SELECT name, setting, unit, vartype, context, min_val, max_val, boot_val, short_desc, extra_desc
FROM pg_settings WHERE name LIKE 'flagscope.%' ORDER BY 1 \gx
