-- What keeps a ramp waiting for too long is told once, by a row of outbox (kind health, or approval), and once when it
-- is over: silence would look like a rollout that goes on.

CREATE FUNCTION _flagscope.waits(at timestamptz, tell_after interval)
RETURNS TABLE (rollout_id bigint, what text, since timestamptz, is_due boolean, reason text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH live AS MATERIALIZED (
        SELECT r.id, r.flag, r.environment, r.started_at AS began, r.stage_started_at + s.min_duration AS over_at
        FROM flagscope.rollout r JOIN flagscope.rollout_stage s ON s.rollout_id = r.id AND s.ordinal = r.stage
        WHERE r.status = 'running'
    ), judged AS MATERIALIZED (
        SELECT r.id, g.name AS what, x.since, st.state, st.reason
        FROM flagscope.rollout r JOIN flagscope.guardrail_status st ON st.rollout_id = r.id AND st.state <> 'ok'
            JOIN flagscope.guardrail g ON g.id = st.guardrail_id AND g.enabled AND NOT g.shadow
            LEFT JOIN live l ON l.id = r.id,
            -- Whose data is missing or cannot be judged watches over nobody, wherever the rollout stands. What is only
            -- not ok yet waits from the time on at which the stage could have ended.
            LATERAL (SELECT CASE WHEN st.state IN ('no_data', 'stale', 'silent', 'error') THEN st.state_since
                WHEN st.state = 'no_control' AND l.id IS NOT NULL THEN st.state_since
                ELSE greatest(st.state_since, l.over_at) END AS since) x
        WHERE _flagscope.is_watched(r, at) AND (r.stage > 0 OR r.status = 'completed')
            AND (r.status <> 'completed' OR g.comparison <> 'control' OR st.carries_on)
            AND _flagscope.holds_ramp(g, st.state) AND x.since IS NOT NULL
            AND (l.id IS NOT NULL OR st.state IN ('no_data', 'stale', 'silent', 'error'))
    )
    SELECT j.id, j.what, j.since, j.since <= at - tell_after, format('%s: %s', j.state, j.reason) FROM judged j
    UNION ALL
    SELECT l.id, CASE gate.kind WHEN 'approval' THEN 'approval' ELSE 'stage' END, l.over_at,
        l.over_at <= at - CASE gate.kind WHEN 'approval' THEN interval '0' ELSE tell_after END, gate.reason
    FROM live l, LATERAL (SELECT o.kind, o.reason FROM _flagscope.ramp_obstacle(l.id, at) o WHERE l.over_at <= at) gate
    -- What waits for power ends at a time that is known.
    WHERE l.over_at <= at AND gate.kind <> 'power' AND l.id NOT IN (SELECT j.id FROM judged j)
        -- Health rules are told by their own decisions.
        AND NOT EXISTS (SELECT FROM flagscope.rollout_health h WHERE h.rollout_id = l.id AND h.state <> 'ok')
    UNION ALL
    SELECT l.id, 'no guardrail', l.began, true, u.words || ': the ramp goes on by time alone, whatever happens'
    FROM live l, LATERAL _flagscope.unguarded(l.flag, l.environment) u(words) WHERE u.words IS NOT NULL
    UNION ALL
    SELECT r.id, 'decision', at, true, 'it could not be decided: ' || r.problem FROM flagscope.rollout r
    WHERE _flagscope.is_watched(r, at) AND r.problem IS NOT NULL;
END $$;
COMMENT ON FUNCTION _flagscope.waits(timestamptz, interval) IS
    'what ramps wait for, guardrails without data or that cannot be judged, and ramps without any guardrail; is_due: '
    'for so long that it is told. An awaited approval is told at once';

CREATE FUNCTION _flagscope.tell_wait(w _flagscope.told_wait, state text, at timestamptz, reason text) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO flagscope.outbox (kind, payload, created_at, next_try_at)
    VALUES (CASE w.what WHEN 'approval' THEN 'approval' ELSE 'health' END, jsonb_build_object(
        'name', format('ramp of %s in %s (%s)', w.flag, w.environment, w.what), 'state', state,
        'since', w.since, 'reason', tell_wait.reason, 'database', current_database(), 'rollout_id', w.rollout_id,
        'flag', w.flag, 'environment', w.environment)
        || _flagscope.wait_message(w, state, tell_wait.reason), at, at);
    SELECT _flagscope.wake_deliverers();
$$;
COMMENT ON FUNCTION _flagscope.tell_wait(_flagscope.told_wait, text, timestamptz, text) IS
    'queues a notification that a ramp waits, or no longer does';

CREATE FUNCTION _flagscope.tell_waits(at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    tell_after interval;
    w record;
    told _flagscope.told_wait;
BEGIN
    -- An idle tick writes nothing.
    IF NOT EXISTS (SELECT FROM flagscope.rollout r WHERE _flagscope.is_watched(r, tell_waits.at))
        AND NOT EXISTS (SELECT FROM _flagscope.told_wait) THEN
        RETURN;
    END IF;
    UPDATE _flagscope.tick_state t SET waits_told_at = tell_waits.at
    FROM (SELECT x.only_row FROM _flagscope.tick_state x
        WHERE x.waits_told_at IS NULL
            OR x.waits_told_at NOT BETWEEN tell_waits.at - interval '10 seconds' AND tell_waits.at
        FOR NO KEY UPDATE SKIP LOCKED) free
    WHERE t.only_row = free.only_row;
    IF NOT FOUND THEN
        RETURN;  -- looked a moment ago
    END IF;
    tell_after := _flagscope.setting_interval('rollout.tell_after');
    FOR told IN
        DELETE FROM _flagscope.told_wait x WHERE NOT EXISTS (SELECT FROM _flagscope.waits(tell_waits.at, tell_after) n
            WHERE n.rollout_id = x.rollout_id AND n.what = x.what
                -- Each visit of a stage asks anew.
                AND (n.what NOT IN ('approval', 'stage') OR n.since = x.since)) RETURNING x.*
    LOOP
        PERFORM _flagscope.tell_wait(told, 'ok', tell_waits.at, coalesce((SELECT 'the rollout is '
            || CASE WHEN r.stage > 0 AND r.status IN ('running', 'paused', 'held') THEN format('%s at stage %s (%s %%)',
                r.status, r.stage, trim_scale(_flagscope.percent(r.id, r.stage)))
            ELSE replace(r.status::text, '_', ' ') END
            FROM flagscope.rollout r WHERE r.id = told.rollout_id), 'the rollout is gone'));
    END LOOP;
    FOR w IN SELECT n.*, r.flag, r.environment FROM _flagscope.waits(tell_waits.at, tell_after) n
            JOIN flagscope.rollout r ON r.id = n.rollout_id
        WHERE n.is_due ORDER BY n.rollout_id, n.what
    LOOP
        INSERT INTO _flagscope.told_wait (rollout_id, what, flag, environment, since, told_at)
        VALUES (w.rollout_id, w.what, w.flag, w.environment, w.since, tell_waits.at)
        ON CONFLICT DO NOTHING RETURNING * INTO told;
        IF FOUND THEN
            PERFORM _flagscope.tell_wait(told, CASE w.what WHEN 'no guardrail' THEN 'unguarded' ELSE 'waiting' END,
                tell_waits.at, w.reason);
        END IF;
    END LOOP;
EXCEPTION WHEN OTHERS THEN
    -- To tell is no reason for a tick to fail.
    RAISE WARNING USING ERRCODE = SQLSTATE,
        MESSAGE = _flagscope.message('what ramps wait for was not told: %s', SQLERRM);
END $$;
COMMENT ON FUNCTION _flagscope.tell_waits(timestamptz) IS
    'tells what has kept a ramp waiting for setting rollout.tell_after, each once, and each once when it is over; '
    'looks at most every 10 seconds';
