-- Actions of people on rollouts. Each records its actor and reason, and can be given a time (for replay and tests).

CREATE FUNCTION _flagscope.decide_manually(rollout_id bigint, action flagscope.action, reason text, actor text,
    at timestamptz DEFAULT NULL, override boolean DEFAULT false, stage integer DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given text := coalesce(reason, nullif(current_setting('flagscope.reason', true), ''));
    moment timestamptz := coalesce(at, clock_timestamp());
    person text := coalesce(_flagscope.check_actor(nullif(actor, '')), _flagscope.actor());
    evidence jsonb := '{}';
    r flagscope.rollout;
    decided bigint;
BEGIN
    IF NOT isfinite(moment) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('the time of a decision must be finite, got "%s"', moment);
    END IF;
    SELECT * INTO r FROM flagscope.rollout x WHERE x.id = decide_manually.rollout_id FOR NO KEY UPDATE;
    IF r.stage <> decide_manually.stage THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('rollout %s is at stage %s, not at stage %s: it was moved in the meantime',
                r.id, r.stage, decide_manually.stage),
            HINT = _flagscope.message('See SELECT * FROM flagscope.rollout_report(%s).', r.id);
    END IF;
    IF action = 'start' AND r.status = 'draft' THEN
        PERFORM _flagscope.attach_policies(r);
    END IF;
    -- What a draft cannot do is refused by decide().
    IF action = 'start' OR (action IN ('resume', 'advance', 'complete') AND r.status <> 'draft') THEN
        evidence := _flagscope.check_widening(r, moment, override, given);
    END IF;
    BEGIN
        decided := _flagscope.decide(rollout_id, action, person, coalesce(given, 'by hand'), moment,
            NULL::bigint, false, evidence);
    EXCEPTION WHEN unique_violation THEN
        -- Two rollouts that start concurrently do not see each other.
        IF r.exclusion_group IS NULL THEN
            RAISE;
        END IF;
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message(
                'another rollout of exclusion group "%s" was started at the same time as rollout %s',
                r.exclusion_group, r.id),
            HINT = _flagscope.message('See SELECT id, flag, status FROM flagscope.rollout WHERE exclusion_group = %s.',
                quote_literal(r.exclusion_group));
    END;
    IF action = 'resume' THEN
        -- a person has looked at it, unlike when the ramp resumes by itself
        PERFORM _flagscope.renew_health(rollout_id, moment);
    ELSIF action = 'start' THEN
        PERFORM _flagscope.tell_start(rollout_id, moment);
    END IF;
    RETURN decided;
END $$;
COMMENT ON FUNCTION _flagscope.decide_manually(bigint, flagscope.action, text, text, timestamptz, boolean, integer) IS
    'makes a person''s decision; what widens a rollout is refused during a freeze, and a start without a guardrail '
    'that sees anything, unless overridden with a reason; '
    'refused if the rollout is at another stage than the one given';

CREATE FUNCTION flagscope.start_rollout(rollout_id bigint, override boolean DEFAULT false, reason text DEFAULT NULL,
    actor text DEFAULT NULL, at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE sql RETURN _flagscope.decide_manually(rollout_id, 'start', reason, actor, at, override);
COMMENT ON FUNCTION flagscope.start_rollout(bigint, boolean, text, text, timestamptz) IS
    'starts a drafted rollout at its first stage; from now on its guardrails are judged, and a notice says what they '
    'can see; refused while none would see anything, unless overridden with a reason; returns the decision''s id';

CREATE FUNCTION flagscope.pause_rollout(rollout_id bigint, reason text DEFAULT NULL, actor text DEFAULT NULL,
    at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE sql RETURN _flagscope.decide_manually(rollout_id, 'pause', reason, actor, at);
COMMENT ON FUNCTION flagscope.pause_rollout(bigint, text, text, timestamptz) IS
    'stops the ramp at its present stage; guardrails are still judged; returns the decision''s id';

CREATE FUNCTION flagscope.resume_rollout(rollout_id bigint, override boolean DEFAULT false, reason text DEFAULT NULL,
    actor text DEFAULT NULL, at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE sql RETURN _flagscope.decide_manually(rollout_id, 'resume', reason, actor, at, override);
COMMENT ON FUNCTION flagscope.resume_rollout(bigint, boolean, text, text, timestamptz) IS
    'resumes a paused or held ramp; its stage starts again, and so does the evidence of breached guardrails; '
    'returns the decision''s id';

CREATE FUNCTION flagscope.advance_rollout(rollout_id bigint, stage integer DEFAULT NULL,
    override boolean DEFAULT false, reason text DEFAULT NULL, actor text DEFAULT NULL,
    at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE sql RETURN _flagscope.decide_manually(rollout_id, 'advance', reason, actor, at, override, stage);
COMMENT ON FUNCTION flagscope.advance_rollout(bigint, integer, boolean, text, text, timestamptz) IS
    'moves to the next stage without waiting for the gates of the present one; from the last stage it completes the '
    'rollout, and is recorded as that; if stage is given, only if it is the present one, so that two callers, '
    'or a caller and the worker, do not advance twice; returns the decision''s id';

CREATE FUNCTION flagscope.step_back_rollout(rollout_id bigint, stage integer DEFAULT NULL, reason text DEFAULT NULL,
    actor text DEFAULT NULL, at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE sql RETURN _flagscope.decide_manually(rollout_id, 'step_back', reason, actor, at, false, stage);
COMMENT ON FUNCTION flagscope.step_back_rollout(bigint, integer, text, text, timestamptz) IS
    'moves back one stage and holds there until resumed; from the first stage to 0 %; if stage is given, only if it is '
    'the present one; returns the decision''s id';

CREATE FUNCTION flagscope.rollback_rollout(rollout_id bigint, reason text DEFAULT NULL, actor text DEFAULT NULL,
    at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE sql RETURN _flagscope.decide_manually(rollout_id, 'rollback', reason, actor, at);
COMMENT ON FUNCTION flagscope.rollback_rollout(bigint, text, text, timestamptz) IS
    'ends the rollout and serves everyone what was served before it; returns the decision''s id';

CREATE FUNCTION flagscope.complete_rollout(rollout_id bigint, override boolean DEFAULT false,
    reason text DEFAULT NULL, actor text DEFAULT NULL, at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE sql RETURN _flagscope.decide_manually(rollout_id, 'complete', reason, actor, at, override);
COMMENT ON FUNCTION flagscope.complete_rollout(bigint, boolean, text, text, timestamptz) IS
    'ends the rollout and makes the treatment the flag''s default variant; returns the decision''s id';

CREATE FUNCTION flagscope.approve_stage(rollout_id bigint, stage integer DEFAULT NULL, reason text DEFAULT NULL,
    actor text DEFAULT NULL, at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    decided bigint := _flagscope.decide_manually(rollout_id, 'approve'::flagscope.action, reason, actor,
        at, false, stage);
BEGIN
    UPDATE flagscope.rollout_stage s SET approved_by = d.actor, approved_at = d.at
    FROM flagscope.decision d JOIN flagscope.rollout r ON r.id = d.rollout_id
    WHERE d.id = decided AND s.rollout_id = r.id AND s.ordinal = r.stage;
    RETURN decided;
END $$;
COMMENT ON FUNCTION flagscope.approve_stage(bigint, integer, text, text, timestamptz) IS
    'allows the ramp to leave its present stage once the other gates are clear; if stage is given, only if it is the '
    'present one, so that nobody approves a stage they have not seen; returns the decision''s id';

CREATE FUNCTION _flagscope.check_rest(r flagscope.rollout, at timestamptz, override boolean, reason text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    until timestamptz := (SELECT max(d.at) + _flagscope.setting_interval('rollout.retry_after')
        FROM flagscope.decision d
        WHERE d.rollout_id = r.id AND d.actor = 'flagscope' AND d.to_status = 'rolled_back'
            AND d.from_status <> 'rolled_back');
BEGIN
    IF r.status <> 'rolled_back' THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('rollout %s is %s: only a rollout that was rolled back can be restarted',
                r.id, r.status),
            HINT = CASE
                WHEN r.status IN ('paused', 'held') THEN
                    _flagscope.message('Resume it with flagscope.resume_rollout(%s).', r.id)
                ELSE 'Create another rollout.' END;
    ELSIF at < until AND NOT (coalesce(override, false) AND coalesce(reason, '') <> '') THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('rollout %s was rolled back by a guardrail and cannot be restarted before %s',
                r.id, _flagscope.utc(until)),
            HINT = 'Wait (setting rollout.retry_after), or pass override => true and a reason.';
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.check_rest(flagscope.rollout, timestamptz, boolean, text) IS
    'raises unless the rollout was rolled back long enough ago';

CREATE FUNCTION flagscope.restart_rollout(rollout_id bigint, override boolean DEFAULT false, reason text DEFAULT NULL,
    actor text DEFAULT NULL, at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r flagscope.rollout;
    new_id bigint;
BEGIN
    r := _flagscope.require_rollout(rollout_id);
    PERFORM _flagscope.check_rest(r, coalesce(at, clock_timestamp()), override, reason);
    BEGIN
        INSERT INTO flagscope.rollout (flag, environment, treatment, control, subject_attribute, alpha, cooldown,
            follow_up, holdback, exclusion_group, restart_of)
        VALUES (r.flag, r.environment, r.treatment, r.control, r.subject_attribute, r.alpha, r.cooldown, r.follow_up,
            r.holdback, r.exclusion_group, r.id)
        RETURNING id INTO new_id;
    EXCEPTION WHEN unique_violation THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('flag "%s" has a live rollout in environment "%s" already',
                r.flag, r.environment);
    END;
    INSERT INTO flagscope.rollout_stage (rollout_id, ordinal, percent, min_duration, max_duration, min_sample,
        advance_when, approval_needed)
    SELECT new_id, s.ordinal, s.percent, s.min_duration, s.max_duration, s.min_sample, s.advance_when, s.approval_needed
    FROM flagscope.rollout_stage s WHERE s.rollout_id = r.id ORDER BY s.ordinal;
    PERFORM _flagscope.decide_manually(new_id, 'start'::flagscope.action,
        coalesce(reason, format('restart of rollout %s', r.id)), actor, at, override, NULL::integer);
    RETURN new_id;
END $$;
COMMENT ON FUNCTION flagscope.restart_rollout(bigint, boolean, text, text, timestamptz) IS
    'starts a copy of a rollout that was rolled back, from the first stage and with new evidence; '
    'returns the new rollout''s id';
