-- What people do with rollouts by the flag's key: each calls the function of the same name with the id of the rollout
-- that is meant, in the environment that is named (else as evaluate() chooses it).

CREATE FUNCTION _flagscope.rollout_of(flag text, environment text, statuses flagscope.rollout_status[]) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    env text := _flagscope.environment(environment);
    found bigint;
    others text;
BEGIN
    PERFORM _flagscope.require_flag(flag);
    -- At most one of a flag and an environment is live or a draft; of those that are over the latest is meant.
    SELECT r.id INTO found FROM flagscope.rollout r
    WHERE r.flag = rollout_of.flag AND r.environment = env AND r.status = ANY (statuses) ORDER BY r.id DESC LIMIT 1;
    IF found IS NULL THEN
        SELECT string_agg(format('%s (%s)', r.id, r.status), ', ' ORDER BY r.id) INTO others FROM flagscope.rollout r
        WHERE r.flag = rollout_of.flag AND r.environment = env;
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = _flagscope.message('flag "%s" has no rollout in environment "%s" that is %s', flag, env,
                replace(array_to_string(statuses, ' or '), '_', ' ')),
            HINT = coalesce(_flagscope.message('Its rollouts are: %s.', others),
                'Create one with flagscope.create_rollout(flag).');
    END IF;
    RETURN found;
END $$;
COMMENT ON FUNCTION _flagscope.rollout_of(text, text, flagscope.rollout_status[]) IS
    'the latest rollout of a flag in an environment that has one of these statuses; raises when there is none';

CREATE FUNCTION flagscope.start_rollout(flag text, environment text DEFAULT NULL, override boolean DEFAULT false,
    reason text DEFAULT NULL, actor text DEFAULT NULL, at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE sql
RETURN flagscope.start_rollout(_flagscope.rollout_of(flag, environment, '{draft}'), override, reason, actor, at);
COMMENT ON FUNCTION flagscope.start_rollout(text, text, boolean, text, text, timestamptz) IS
    'the same by a flag''s key: the draft';

CREATE FUNCTION flagscope.pause_rollout(flag text, environment text DEFAULT NULL, reason text DEFAULT NULL,
    actor text DEFAULT NULL, at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE sql
RETURN flagscope.pause_rollout(_flagscope.rollout_of(flag, environment, '{running,paused,held}'), reason, actor, at);
COMMENT ON FUNCTION flagscope.pause_rollout(text, text, text, text, timestamptz) IS
    'the same by a flag''s key: the live one';

CREATE FUNCTION flagscope.resume_rollout(flag text, environment text DEFAULT NULL, override boolean DEFAULT false,
    reason text DEFAULT NULL, actor text DEFAULT NULL, at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE sql
RETURN flagscope.resume_rollout(_flagscope.rollout_of(flag, environment, '{running,paused,held}'), override,
    reason, actor, at);
COMMENT ON FUNCTION flagscope.resume_rollout(text, text, boolean, text, text, timestamptz) IS
    'the same by a flag''s key: the live one';

CREATE FUNCTION flagscope.advance_rollout(flag text, environment text DEFAULT NULL, stage integer DEFAULT NULL,
    override boolean DEFAULT false, reason text DEFAULT NULL, actor text DEFAULT NULL,
    at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE sql
RETURN flagscope.advance_rollout(_flagscope.rollout_of(flag, environment, '{running,paused,held}'), stage, override,
    reason, actor, at);
COMMENT ON FUNCTION flagscope.advance_rollout(text, text, integer, boolean, text, text, timestamptz) IS
    'the same by a flag''s key: the live one';

CREATE FUNCTION flagscope.step_back_rollout(flag text, environment text DEFAULT NULL, stage integer DEFAULT NULL,
    reason text DEFAULT NULL, actor text DEFAULT NULL, at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE sql
RETURN flagscope.step_back_rollout(_flagscope.rollout_of(flag, environment, '{running,paused,held}'), stage,
    reason, actor, at);
COMMENT ON FUNCTION flagscope.step_back_rollout(text, text, integer, text, text, timestamptz) IS
    'the same by a flag''s key: the live one';

CREATE FUNCTION flagscope.rollback_rollout(flag text, environment text DEFAULT NULL, reason text DEFAULT NULL,
    actor text DEFAULT NULL, at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE sql
RETURN flagscope.rollback_rollout(_flagscope.rollout_of(flag, environment, '{running,paused,held,completed}'),
    reason, actor, at);
COMMENT ON FUNCTION flagscope.rollback_rollout(text, text, text, text, timestamptz) IS
    'the same by a flag''s key: the live one, else the latest completed one';

CREATE FUNCTION flagscope.complete_rollout(flag text, environment text DEFAULT NULL, override boolean DEFAULT false,
    reason text DEFAULT NULL, actor text DEFAULT NULL, at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE sql
RETURN flagscope.complete_rollout(_flagscope.rollout_of(flag, environment, '{running,paused,held}'), override,
    reason, actor, at);
COMMENT ON FUNCTION flagscope.complete_rollout(text, text, boolean, text, text, timestamptz) IS
    'the same by a flag''s key: the live one';

CREATE FUNCTION flagscope.restart_rollout(flag text, environment text DEFAULT NULL, override boolean DEFAULT false,
    reason text DEFAULT NULL, actor text DEFAULT NULL, at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE sql
RETURN flagscope.restart_rollout(_flagscope.rollout_of(flag, environment, '{rolled_back}'), override,
    reason, actor, at);
COMMENT ON FUNCTION flagscope.restart_rollout(text, text, boolean, text, text, timestamptz) IS
    'the same by a flag''s key: the latest one that was rolled back';

CREATE FUNCTION flagscope.approve_stage(flag text, environment text DEFAULT NULL, stage integer DEFAULT NULL,
    reason text DEFAULT NULL, actor text DEFAULT NULL, at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE sql
RETURN flagscope.approve_stage(_flagscope.rollout_of(flag, environment, '{running,paused,held}'), stage,
    reason, actor, at);
COMMENT ON FUNCTION flagscope.approve_stage(text, text, integer, text, text, timestamptz) IS
    'the same by a flag''s key: the live one';
