-- Decisions: the only way to change a rollout, which changes its flag and the outbox in the same transaction.

CREATE FUNCTION _flagscope.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
        MESSAGE = _flagscope.message('%s is append-only: %s is refused', TG_TABLE_NAME, TG_OP),
        HINT = 'Decisions are never changed; make a new one to correct it.';
END $$;
COMMENT ON FUNCTION _flagscope.refuse_change() IS 'trigger: refuses changes of an append-only table';
CREATE TRIGGER decision_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON flagscope.decision
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.refuse_change();

CREATE FUNCTION _flagscope.status_after(action flagscope.action, status flagscope.rollout_status, is_last boolean)
RETURNS flagscope.rollout_status
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN action IN ('start', 'resume') THEN 'running'
        WHEN action = 'pause' THEN 'paused'
        WHEN action IN ('hold', 'step_back') THEN 'held'
        WHEN action IN ('rollback', 'disable') THEN 'rolled_back'
        WHEN action = 'complete' OR (action = 'advance' AND is_last) THEN 'completed'
        ELSE status END::flagscope.rollout_status;
END;
COMMENT ON FUNCTION _flagscope.status_after(flagscope.action, flagscope.rollout_status, boolean) IS
    'status of a rollout after an action; advancing from the last stage completes it; '
    'a step back holds the ramp until resumed';

CREATE FUNCTION _flagscope.check_action(r flagscope.rollout, action flagscope.action,
    to_status flagscope.rollout_status)
RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fits boolean := CASE action
        WHEN 'start' THEN r.status = 'draft'
        WHEN 'resume' THEN r.status IN ('paused', 'held')
        WHEN 'pause' THEN r.status IN ('running', 'held')
        WHEN 'advance' THEN r.status = 'running'
        WHEN 'approve' THEN r.status IN ('running', 'paused', 'held') AND r.stage > 0
        WHEN 'warn' THEN true
        ELSE r.status <> 'draft' END;
BEGIN
    IF NOT (fits AND (to_status = r.status OR _flagscope.legal_transition(r.status, to_status)))
       OR (to_status = r.status AND r.status IN ('rolled_back', 'completed') AND action <> 'warn') THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('rollout %s is %s: it cannot %s', r.id, r.status,
                replace(action::text, '_', ' ')),
            HINT = CASE r.status
                WHEN 'draft' THEN format('Start it with flagscope.start_rollout(%s).', r.id)
                WHEN 'rolled_back' THEN 'It is over; create another rollout.'
                WHEN 'completed' THEN 'It is over; it can only be rolled back.'
                ELSE 'See SELECT * FROM flagscope.rollout.' END;
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.check_action(flagscope.rollout, flagscope.action, flagscope.rollout_status) IS
    'raises unless the action is possible in the rollout''s present status';

CREATE FUNCTION _flagscope.check_not_followed(r flagscope.rollout) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    follower bigint := (SELECT max(x.id) FROM flagscope.rollout x
        WHERE x.flag = r.flag AND x.environment = r.environment AND x.id > r.id
            AND x.status IN ('running', 'paused', 'held', 'completed'));
BEGIN
    -- Rolling back to before this rollout would also undo the one that was built on it.
    IF r.status = 'completed' AND follower IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message(
                'rollout %s is completed, and rollout %s of the same flag was started after it',
                r.id, follower),
            HINT = _flagscope.message('Roll rollout %s back first.', follower);
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.check_not_followed(flagscope.rollout) IS
    'raises if a completed rollout was followed by another rollout of the same flag that is in force';

CREATE FUNCTION _flagscope.serve(r flagscope.rollout, percent numeric, action flagscope.action, at timestamptz,
    actor text, reason text, decision_id bigint) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE flagscope.flag_state s SET
        rollout_id = CASE WHEN over.yes THEN NULL ELSE r.id END,
        treatment = CASE WHEN over.yes THEN NULL ELSE r.treatment END,
        control = CASE WHEN over.yes THEN NULL ELSE r.control END,
        percent = CASE WHEN over.yes THEN NULL ELSE serve.percent END,
        default_variant = CASE r.status WHEN 'completed' THEN r.treatment
                                        WHEN 'rolled_back' THEN r.previous_variant ELSE s.default_variant END,
        enabled = s.enabled AND action <> 'disable',
        changed_at = greatest(at, s.changed_at + interval '1 microsecond'),
        actor = serve.actor, reason = serve.reason, decision_id = serve.decision_id
    FROM (SELECT r.status IN ('rolled_back', 'completed') AS yes) over
    WHERE s.flag = r.flag AND s.environment = r.environment;
$$;
COMMENT ON FUNCTION _flagscope.serve(flagscope.rollout, numeric, flagscope.action, timestamptz, text, text, bigint) IS
    'writes the flag''s state as the changed rollout demands';

CREATE FUNCTION _flagscope.percent(rollout_id bigint, stage integer) RETURNS numeric
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce((SELECT s.percent FROM flagscope.rollout_stage s
                     WHERE s.rollout_id = percent.rollout_id AND s.ordinal = percent.stage), 0);
END;
COMMENT ON FUNCTION _flagscope.percent(bigint, integer) IS 'percent of a stage; 0 if there is no such stage';

CREATE FUNCTION _flagscope.move_rollout(r flagscope.rollout, action flagscope.action, at timestamptz)
RETURNS flagscope.rollout
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    was flagscope.rollout := r;
    is_last boolean := NOT EXISTS (SELECT FROM flagscope.rollout_stage s
        WHERE s.rollout_id = r.id AND s.ordinal > r.stage);
    next_stage integer := CASE action WHEN 'start' THEN 1 WHEN 'advance' THEN r.stage + (NOT is_last)::integer
                                      -- Below the first stage nobody is served the treatment.
                                      WHEN 'step_back' THEN greatest(r.stage - 1, 0)
                                      WHEN 'resume' THEN greatest(r.stage, 1) ELSE r.stage END;
    next_status flagscope.rollout_status := _flagscope.status_after(action, r.status, is_last);
BEGIN
    PERFORM _flagscope.check_action(r, action, next_status), _flagscope.check_not_followed(r);
    IF action = 'start' THEN
        PERFORM _flagscope.prepare_start(r);
    ELSIF action = 'resume' THEN
        PERFORM _flagscope.check_stage_plan(r.id);
    END IF;
    UPDATE flagscope.rollout x SET
        status = next_status, stage = next_stage, version = x.version + 1,
        stage_started_at = CASE WHEN next_stage <> r.stage OR action IN ('start', 'resume') THEN at
            ELSE x.stage_started_at END,
        started_at = CASE action WHEN 'start' THEN at ELSE x.started_at END,
        ended_at = CASE WHEN next_status IN ('rolled_back', 'completed') THEN at ELSE x.ended_at END,
        follow_up_until = CASE WHEN next_status = 'completed' AND x.follow_up > interval '0'
            -- The last stage of a holdback was the follow-up, if it has lasted its time.
            AND NOT (x.holdback IS NOT NULL AND is_last AND at >= x.stage_started_at + coalesce((SELECT s.min_duration
                FROM flagscope.rollout_stage s WHERE s.rollout_id = r.id AND s.ordinal = r.stage), '0'))
            THEN at + x.follow_up END,
        previous_variant = CASE action WHEN 'start' THEN
            (SELECT s.default_variant
                FROM flagscope.flag_state s WHERE s.flag = r.flag AND s.environment = r.environment)
            ELSE x.previous_variant END
    WHERE x.id = r.id RETURNING x.* INTO r;
    IF next_stage <> r.stage OR action IN ('start', 'advance', 'step_back', 'resume', 'complete') THEN
        PERFORM _flagscope.change_comparison(r, was, at);
        -- A verdict "ok" on the stage before does not hold for this one.
        UPDATE flagscope.guardrail_status g SET stage_treatment = 0, stage_control = 0, rhythm_treatment = '{}',
            rhythm_control = '{}', waiting_treatment = NULL, waiting_control = NULL,
            waiting_since = NULL, looks = '{}', looked_at = NULL,
            state = CASE WHEN g.state IN ('ok', 'inconclusive', 'silent') THEN 'not_enough'
                ELSE g.state END,
            state_since = CASE WHEN g.state IN ('ok', 'inconclusive', 'silent') THEN at
                ELSE g.state_since END,
            reason = CASE WHEN g.state IN ('ok', 'inconclusive', 'silent') THEN 'no data in this stage yet'
                ELSE g.reason END
        WHERE g.rollout_id = r.id;
        -- An approval is for one visit of a stage: entered again, the stage needs another one.
        UPDATE flagscope.rollout_stage s SET approved_by = NULL, approved_at = NULL
        WHERE s.rollout_id = r.id AND s.ordinal = next_stage AND s.approved_at IS NOT NULL
            AND next_status <> 'completed';
    END IF;
    IF action = 'start' THEN
        PERFORM _flagscope.begin_evidence(r.id, at);
    END IF;
    RETURN r;
END $$;
COMMENT ON FUNCTION _flagscope.move_rollout(flagscope.rollout, flagscope.action, timestamptz) IS
    'applies an action to a rollout: status, stage, times; in a new stage, samples are counted from 0';

CREATE FUNCTION _flagscope.decide(
    rollout_id bigint, action flagscope.action, actor text, reason text, at timestamptz DEFAULT clock_timestamp(),
    guardrail_id bigint DEFAULT NULL, shadow boolean DEFAULT false, evidence jsonb DEFAULT '{}'
) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    was flagscope.rollout;
    now_is flagscope.rollout;
    g flagscope.guardrail;
    status flagscope.guardrail_status;
    new_id bigint;
    from_percent numeric;
    to_percent numeric;
    done flagscope.action;
BEGIN
    SELECT * INTO was FROM flagscope.rollout r WHERE r.id = decide.rollout_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = _flagscope.message('rollout %s does not exist', coalesce(rollout_id::text, 'NULL')),
            HINT = 'See SELECT id, flag, environment, status FROM flagscope.rollout.';
    END IF;
    -- One decision at a time for each flag, over all its rollouts.
    PERFORM FROM flagscope.flag_state s WHERE s.flag = was.flag AND s.environment = was.environment FOR NO KEY UPDATE;
    SELECT * INTO g FROM flagscope.guardrail x WHERE x.id = decide.guardrail_id;
    SELECT * INTO status FROM flagscope.guardrail_status x WHERE x.guardrail_id = g.id AND x.rollout_id = was.id;
    now_is := CASE WHEN shadow OR action = 'warn' THEN was ELSE _flagscope.move_rollout(was, action, at) END;
    IF action = 'resume' AND NOT shadow THEN
        PERFORM _flagscope.renew_evidence(was.id, at, decide.actor <> 'flagscope');
    END IF;
    -- What advances from the last stage completes, and is called so.
    done := CASE WHEN action = 'advance' AND now_is.status = 'completed' THEN 'complete' ELSE action END;
    from_percent := CASE WHEN was.status IN ('running', 'paused', 'held') THEN _flagscope.percent(was.id, was.stage)
                         WHEN was.status = 'completed' THEN 100 ELSE 0 END;
    to_percent := CASE WHEN now_is.status = 'rolled_back' THEN 0 WHEN now_is.status = 'completed' THEN 100
                       ELSE _flagscope.percent(now_is.id, now_is.stage) END;
    INSERT INTO flagscope.decision (key, at, rollout_id, flag, environment, action, shadow, from_status, to_status,
        from_percent, to_percent, from_stage, to_stage, guardrail_id, guardrail_version, rule, evidence,
        evidence_id, last_stratum, watermark, actor, reason)
    VALUES (concat_ws('/', was.id, was.version, done, g.id || '.' || g.version, CASE WHEN shadow THEN 'shadow' END,
            CASE WHEN shadow OR action = 'warn' THEN evidence ->> 'state' END,
            CASE WHEN shadow OR action = 'warn' THEN
                extract(epoch FROM coalesce(status.breached_at, status.state_since)) END),
        at, was.id, was.flag, was.environment, done, shadow, was.status, now_is.status, from_percent, to_percent,
        was.stage, now_is.stage, g.id, g.version, CASE WHEN g.id IS NOT NULL THEN to_jsonb(g) END, evidence,
        status.evidence_id, status.last_stratum, status.watermark, decide.actor, decide.reason)
    ON CONFLICT (key) DO NOTHING RETURNING id INTO new_id;
    IF new_id IS NULL THEN
        RETURN NULL;  -- already decided: the same warning or shadow verdict on this version of the rollout
    END IF;
    IF NOT shadow AND action NOT IN ('warn', 'approve') THEN
        PERFORM _flagscope.serve(now_is, to_percent, action, at, decide.actor, decide.reason, new_id);
    END IF;
    PERFORM _flagscope.tell(new_id);
    IF was.status IN ('running', 'paused', 'held') AND now_is.status IN ('rolled_back', 'completed') THEN
        PERFORM _flagscope.end_health(now_is, at);
    END IF;
    RETURN new_id;
END $$;
COMMENT ON FUNCTION _flagscope.decide(bigint, flagscope.action, text, text, timestamptz, bigint, boolean, jsonb) IS
    'makes a decision on a rollout: changes rollout and flag state, stores the decision with its evidence and a '
    'notification; returns the decision''s id, or NULL if this was decided already';

CREATE FUNCTION _flagscope.wake_deliverers() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A full notification queue (a session listens and never reads) would make the commit fail. The row of outbox is
    -- delivered all the same, because deliverers also poll.
    IF pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('flagscope_outbox', '');
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.wake_deliverers() IS
    'NOTIFY flagscope_outbox, unless the notification queue is filling up';

CREATE FUNCTION _flagscope.tell(decision_id bigint) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO flagscope.outbox (kind, payload, created_at, next_try_at)
    SELECT 'decision', to_jsonb(d) - 'transaction' - 'key' || _flagscope.decision_message(d), d.at, d.at
    FROM flagscope.decision d WHERE d.id = decision_id;
    -- PostgreSQL delivers equal payloads of a transaction once: one wake-up for any number of decisions.
    SELECT _flagscope.wake_deliverers();
$$;
COMMENT ON FUNCTION _flagscope.tell(bigint) IS 'queues a decision for delivery and wakes the deliverers';
