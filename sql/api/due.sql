-- When the worker has to tick: when a commit leaves something to judge, and when something is due by the clock.
--
-- Telemetry that counts wakes it by itself (src/pg/delta.rs). What people change does so by triggers; by these tables a
-- tick decides. What is due by the clock is asked after each tick; a thing forgotten here is done
-- flagscope.interval later. Functions in plpgsql, whose plans are kept: each is called after every tick.

COMMENT ON FUNCTION _flagscope.wake_worker() IS 'trigger: the worker ticks when this transaction has committed';
CREATE TRIGGER wake_worker AFTER INSERT OR UPDATE OR DELETE ON flagscope.rollout
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.wake_worker();
CREATE TRIGGER wake_worker AFTER INSERT OR UPDATE OR DELETE ON flagscope.rollout_stage
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.wake_worker();
CREATE TRIGGER wake_worker AFTER INSERT OR UPDATE OR DELETE ON flagscope.guardrail
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.wake_worker();
CREATE TRIGGER wake_worker AFTER INSERT OR UPDATE OR DELETE ON flagscope.metric_definition
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.wake_worker();
CREATE TRIGGER wake_worker AFTER INSERT OR UPDATE OR DELETE ON flagscope.change_freeze
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.wake_worker();
CREATE TRIGGER wake_worker AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.setting
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.wake_worker();
CREATE TRIGGER wake_worker AFTER INSERT OR UPDATE OR DELETE ON flagscope.flag_state
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.wake_worker();
CREATE TRIGGER wake_worker AFTER UPDATE OF tags ON flagscope.flag_definition  -- a freeze may be for flags with a tag
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.wake_worker();

CREATE FUNCTION _flagscope.stage_due(began timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Of a stage whose time was over at the last tick something else keeps it: data, a person, a freeze.
    RETURN (SELECT min(x.at) FROM flagscope.rollout r
            LEFT JOIN flagscope.rollout_stage s ON s.rollout_id = r.id AND s.ordinal = r.stage,
            LATERAL (VALUES (CASE r.status WHEN 'running' THEN r.stage_started_at + s.min_duration
                WHEN 'held' THEN CASE WHEN r.cooldown IS NOT NULL THEN _flagscope.rests_until(r) END END)) x(at)
        WHERE r.status IN ('running', 'held') AND (x.at > began OR r.stage_started_at >= began));
END $$;
COMMENT ON FUNCTION _flagscope.stage_due(timestamptz) IS
    'when the time of a running stage is over, or the rest of a held one, after a tick that began then; NULL: none';

CREATE FUNCTION _flagscope.freeze_due(began timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT min(_flagscope.freeze_ends(z, began)) FROM flagscope.change_freeze z);
END $$;
COMMENT ON FUNCTION _flagscope.freeze_due(timestamptz) IS
    'when a freeze ends that holds at a time; NULL: none holds, or for ever';

CREATE FUNCTION _flagscope.verdict_due(st flagscope.guardrail_status, g flagscope.guardrail,
    stage_started_at timestamptz, setting _flagscope.tick_setting, began timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
-- The times at which is_due() becomes true without data, or a reason changes. LEAST takes NULL for absent.
RETURN least(
    st.retry_at,
    -- A bucket leaves the window: each lies at ten seconds.
    CASE WHEN g.test = 'threshold' AND st.value IS NOT NULL THEN
        _flagscope.bucket_of(began - coalesce(g.time_window, setting.time_window))
            + interval '10 seconds' + coalesce(g.time_window, setting.time_window) END,
    CASE WHEN g.of_looks > 1 AND st.state IN ('ok', 'inconclusive', 'breached') THEN
        st.looked_at + coalesce(g.time_window, setting.time_window) END,
    CASE WHEN g.test = 'anomaly' THEN
        _flagscope.newest_point(g.id, g.time_window, setting.pairing, began) + 2 * g.time_window
        + setting.pairing + g.id % 60 * interval '1 second' END,
    CASE WHEN st.last_data_at IS NULL AND st.state NOT IN ('no_data', 'breached') THEN
        stage_started_at + coalesce(g.grace, setting.grace) END,
    CASE WHEN st.last_data_at IS NOT NULL AND st.state NOT IN ('stale', 'silent', 'no_control', 'breached') THEN
        -- "Longer than": a moment later.
        greatest(st.last_data_at + coalesce(g.stale_after, setting.stale_after),
                stage_started_at + coalesce(g.grace, setting.grace))
            + interval '1 millisecond' END);
COMMENT ON FUNCTION _flagscope.verdict_due(flagscope.guardrail_status, flagscope.guardrail, timestamptz,
    _flagscope.tick_setting, timestamptz) IS
    'when a guardrail has to be looked at though no data comes: a window moves on, data is missing for too '
    'long, a point of a series is over, a failure is tried again';

CREATE FUNCTION _flagscope.guardrail_due(began timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    setting _flagscope.tick_setting;
    rewarn_after interval;
BEGIN
    IF NOT EXISTS (SELECT FROM flagscope.guardrail_status st JOIN flagscope.rollout r ON r.id = st.rollout_id
        WHERE _flagscope.is_watched(r, began)) THEN
        RETURN NULL;
    END IF;
    setting := _flagscope.tick_setting();
    rewarn_after := _flagscope.setting_interval('guardrail.rewarn_after');
    RETURN (SELECT min(x.at) FROM flagscope.rollout r
            JOIN flagscope.guardrail_status st ON st.rollout_id = r.id
            JOIN flagscope.guardrail g ON g.id = st.guardrail_id,
            LATERAL (VALUES (_flagscope.verdict_due(st, g, r.stage_started_at, setting, began)),
                (CASE WHEN st.state = 'breached' AND g.action = 'warn' AND g.test = 'sequential' AND NOT g.shadow
                    THEN st.breached_at + rewarn_after END)) x(at)
        WHERE _flagscope.is_watched(r, began) AND g.enabled
            AND (r.status <> 'completed' OR g.comparison <> 'control' OR st.carries_on)
            AND x.at > began);
END $$;
COMMENT ON FUNCTION _flagscope.guardrail_due(timestamptz) IS
    'when a guardrail of a watched rollout has to be looked at though no data comes, after a tick that began then; '
    'NULL: none';

CREATE FUNCTION _flagscope.health_due(began timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT min(x.at) FROM flagscope.rollout_health h
            JOIN flagscope.rollout r ON r.id = h.rollout_id AND r.status IN ('running', 'paused', 'held'),
            LATERAL (VALUES (CASE WHEN h.rule = 'crossing' THEN h.clears_at
                WHEN h.rule = 'traffic' AND h.state = 'ok' THEN coalesce(h.last_at, r.stage_started_at)
                    + _flagscope.setting_interval('health.quiet_after') + interval '1 millisecond' END)) x(at)
        WHERE x.at > began);
END $$;
COMMENT ON FUNCTION _flagscope.health_due(timestamptz) IS
    'when exposures to a treatment will have been missing for too long, or no unit will have crossed for long enough, '
    'after a tick that began then; NULL: never';

CREATE FUNCTION _flagscope.poll_due(began timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM flagscope.metric_definition m WHERE _flagscope.is_polled(m)) THEN
        RETURN NULL;
    END IF;
    -- As due_metrics() asks; what a tick had no time for is due since then.
    RETURN (SELECT greatest(began, min(coalesce(q.retry_at, q.run_at + _flagscope.setting_interval('query.interval'),
            s.since + _flagscope.setting_interval('query.delay') + interval '1 millisecond')))
        FROM flagscope.metric_definition m LEFT JOIN flagscope.metric_run q ON q.metric = m.name
            JOIN flagscope.guardrail g ON g.metric = m.name AND g.enabled
            JOIN flagscope.rollout r ON r.flag = g.flag AND r.environment = g.environment
                AND _flagscope.is_watched(r, began)
            JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id AND s.rollout_id = r.id
        WHERE _flagscope.is_polled(m));
END $$;
COMMENT ON FUNCTION _flagscope.poll_due(timestamptz) IS
    'when a metric that the tick counts has to be counted again, after a tick that began then; NULL: none is read';

CREATE FUNCTION _flagscope.pairing_due(began timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM _flagscope.waiting_stratum) THEN
        RETURN NULL;
    END IF;
    RETURN (SELECT min(x.at) FROM _flagscope.pairing q, LATERAL (VALUES (q.since + make_interval(secs => q.width)
            + _flagscope.setting_interval('guardrail.pairing'))) x(at)
        WHERE x.at > began AND EXISTS (SELECT FROM _flagscope.waiting_stratum w
            WHERE w.rollout_id = q.rollout_id AND w.metric = q.metric));
END $$;
COMMENT ON FUNCTION _flagscope.pairing_due(timestamptz) IS
    'when data that waits for the other arm is compared with what is there, after a tick that began then; NULL: none '
    'waits';

CREATE FUNCTION _flagscope.work_due(began timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- What the budget had no time for; whom somebody's lock keeps from being judged or decided; what waits for the end
    -- of other transactions; and what the next tick does after what this one did.
    IF EXISTS (SELECT FROM _flagscope.tick_state s WHERE s.waiting <> '{}' OR s.maintain_waiting <> '{}')
        OR EXISTS (SELECT FROM _flagscope.alert) OR EXISTS (SELECT FROM flagscope.rollout r WHERE r.problem IS NOT NULL)
        OR EXISTS (SELECT FROM _flagscope.variant_delta) OR EXISTS (SELECT FROM _flagscope.subject_delta)
        OR EXISTS (SELECT FROM _flagscope.late_trace)
        OR (SELECT d.at FROM flagscope.decision d ORDER BY d.id DESC LIMIT 1) >= began THEN
        RETURN began;
    END IF;
    RETURN (SELECT greatest(began, coalesce(s.last_maintain_at, began)
            + _flagscope.setting_interval('maintenance.interval')) FROM _flagscope.tick_state s);
END $$;
COMMENT ON FUNCTION _flagscope.work_due(timestamptz) IS
    'when there is work for a tick beside judging, after one that began then: then, if it has left some; else '
    'maintenance';

CREATE FUNCTION _flagscope.next_due(began timestamptz) RETURNS float8
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
    due timestamptz := least(_flagscope.work_due(began), _flagscope.stage_due(began), _flagscope.freeze_due(began),
        _flagscope.guardrail_due(began), _flagscope.health_due(began), _flagscope.poll_due(began),
        _flagscope.pairing_due(began));
BEGIN
    IF _flagscope.is_ingest_node() THEN
        -- Others watch over what it takes in. While it counts, commits wake it.
        RETURN 2000;
    END IF;
    RETURN CASE WHEN isfinite(due) THEN 1000 * extract(epoch FROM due - began) END;
END $$;
COMMENT ON FUNCTION _flagscope.next_due(timestamptz) IS
    'for the worker, after a tick: how many milliseconds after its start something is due by the clock; 0: it '
    'has left something to be tried again';
