-- Only flagscope's own decisions are by "flagscope": nobody else is recorded under that name, by whatever way.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'regress_flagscope_boss') THEN
        DROP OWNED BY regress_flagscope_boss;
        DROP ROLE regress_flagscope_boss;
    END IF;
END $$;
CREATE ROLE regress_flagscope_boss;
SELECT flagscope.grant_admin('regress_flagscope_boss');
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN concat_ws(' ', SQLSTATE, SQLERRM);
END $$;
SELECT flagscope.create_flag('f'), flagscope.create_flag('g');
SELECT flagscope.create_rollout('f', approval => true), flagscope.create_rollout('g');
SET ROLE regress_flagscope_boss;
-- Every function with an actor.
SELECT s, pg_temp.try(s) FROM unnest(ARRAY[
    $$SELECT flagscope.start_rollout(1, actor => 'flagscope')$$,
    $$SELECT flagscope.start_rollout(1, actor => ' FlagScope ')$$,
    $$SELECT flagscope.start_rollout(1, actor => U&'flag\200Bscope') AS zero_width$$,
    $$SELECT flagscope.start_rollout(1, actor => U&'\FF46\FF4C\FF41\FF47\FF53\FF43\FF4F\FF50\FF45') AS wide$$,
    $$SELECT flagscope.start_rollout(1, actor => 'ann', override => true, reason => 'unguarded')$$,
    $$SELECT flagscope.approve_stage(1, actor => 'flagscope')$$,
    $$SELECT flagscope.pause_rollout(1, actor => 'flagscope')$$,
    $$SELECT flagscope.resume_rollout(1, actor => 'flagscope')$$,
    $$SELECT flagscope.advance_rollout(1, actor => 'flagscope')$$,
    $$SELECT flagscope.step_back_rollout(1, actor => 'flagscope')$$,
    $$SELECT flagscope.complete_rollout(1, actor => 'flagscope')$$,
    $$SELECT flagscope.rollback_rollout(1, actor => 'flagscope')$$,
    $$SELECT flagscope.restart_rollout(2, actor => 'flagscope')$$,
    $$SELECT _flagscope.decide(1, 'pause', 'flagscope', 'x')$$]) s;
-- Every change under the setting, and every table with a name in it.
SET flagscope.actor = 'flagscope';
SELECT s, pg_temp.try(s) FROM unnest(ARRAY[
    $$SELECT flagscope.disable_flag('f')$$,
    $$SELECT flagscope.set_default_variant('g', 'on')$$,
    $$SELECT flagscope.set_targeting('g', 'null')$$,
    $$UPDATE flagscope.flag_state SET enabled = false$$,
    $$SELECT flagscope.create_flag('h')$$,
    $$SELECT flagscope.create_change_freeze('x', weekdays => '{5}')$$,
    $$SELECT flagscope.pause_rollout(1)$$,
    $$SELECT flagscope.import_flagd('{"flags": {"i": {"state": "ENABLED", "variants": {"on": true},
         "defaultVariant": "on"}}}')$$]) s;
SELECT count(*) AS imported FROM flagscope.flag_definition WHERE key = 'i';
RESET flagscope.actor;
SELECT s, pg_temp.try(s) FROM unnest(ARRAY[
    $$INSERT INTO flagscope.change_freeze (name, weekdays, created_by) VALUES ('x', '{5}', 'flagscope')$$,
    $$INSERT INTO flagscope.change_freeze (name, weekdays) VALUES ('x', '{5}')$$,
    $$UPDATE flagscope.change_freeze SET created_by = 'Flagscope'$$,
    $$UPDATE flagscope.flag_state SET actor = 'flagscope'$$,
    $$UPDATE flagscope.rollout_stage SET approved_by = 'flagscope'$$,
    $$UPDATE flagscope.outbox SET payload = payload || '{"actor": "flagscope"}'$$,
    $$UPDATE flagscope.outbox SET attempts = 1$$]) s;
RESET ROLE;
-- A role may have the name, and is not taken for it.
SELECT ('flagscope' = ANY (ARRAY(SELECT actor FROM flagscope.decision UNION ALL SELECT actor FROM flagscope.flag_state
    UNION ALL SELECT actor FROM flagscope.flag_state_history UNION ALL SELECT created_by FROM flagscope.change_freeze
    UNION ALL SELECT payload ->> 'actor' FROM flagscope.outbox
    UNION ALL SELECT approved_by FROM flagscope.rollout_stage))) IS TRUE AS recorded;
DROP OWNED BY regress_flagscope_boss;
DROP ROLE regress_flagscope_boss;
BEGIN;
SET LOCAL client_min_messages = error;
CREATE ROLE flagscope SUPERUSER;
SET LOCAL SESSION AUTHORIZATION flagscope;
SELECT _flagscope.actor();
SELECT flagscope.pause_rollout(1) > 0 AS paused;
INSERT INTO flagscope.change_freeze (name, weekdays) VALUES ('by that role', '{5}') RETURNING created_by;
SELECT actor FROM flagscope.decision ORDER BY id DESC LIMIT 1;
ROLLBACK;
