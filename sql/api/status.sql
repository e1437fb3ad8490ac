-- status(): in words, is anybody watching.

COMMENT ON FUNCTION flagscope._preloaded() IS 'is the library in shared_preload_libraries, so that there is a worker';
COMMENT ON FUNCTION flagscope._wake_launcher() IS 'tells the launcher to look for databases with the extension now';

CREATE FUNCTION flagscope._worker_words() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN NOT flagscope._preloaded() THEN
            'not running: flagscope is not in shared_preload_libraries; call SELECT flagscope.tick() from a client or pg_cron'
        WHEN pg_is_in_recovery() THEN 'waiting: this server is a standby; it starts after promotion'
        WHEN NOT current_setting('flagscope.enabled')::boolean THEN 'switched off: flagscope.enabled is off'
        ELSE coalesce((
            SELECT format('running as process %s, every %s', a.pid, current_setting('flagscope.interval'))
            FROM pg_stat_activity a WHERE a.datname = current_database() AND a.backend_type = 'flagscope worker' LIMIT 1),
            'not running yet: it starts within seconds; if not, see the server log and max_worker_processes') END;
$$;
COMMENT ON FUNCTION flagscope._worker_words() IS 'does the worker of this database run, and if not, why';

CREATE FUNCTION flagscope._tick_words() RETURNS TABLE (item text, says text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'last tick', to_char(s.last_tick_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
        || format(' UTC by %s, %s ms', s.last_tick_by, round(s.last_tick_ms::numeric, 1))
    FROM flagscope.tick_state s
    UNION ALL
    SELECT 'last maintenance', to_char(s.last_maintain_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
        || ' UTC, ' || coalesce('failed: ' || s.maintain_error, round(s.last_maintain_ms::numeric, 1) || ' ms')
    FROM flagscope.tick_state s;
$$;
COMMENT ON FUNCTION flagscope._tick_words() IS 'what tick() last did';

CREATE FUNCTION flagscope.status() RETURNS TABLE (item text, says text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'worker', flagscope._worker_words()
    UNION ALL SELECT t.item, coalesce(t.says, 'never') FROM flagscope._tick_words() t
    UNION ALL SELECT 'last decision', coalesce((SELECT format('%s UTC: %s of rollout %s (%s): %s',
        to_char(d.at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), d.action, d.rollout_id, d.flag, d.reason)
        FROM flagscope.decision d ORDER BY d.id DESC LIMIT 1), 'none yet')
    UNION ALL (SELECT format('rollout %s', r.id), format('%s in %s: %s at %s %%; %s', r.flag, r.environment, r.status,
        trim_scale(flagscope._percent(r.id, r.stage)), coalesce('could not be decided: ' || r.problem, flagscope.ramp_gate(r.id), 'every gate is clear'))
        FROM flagscope.rollout r WHERE r.status IN ('running', 'paused', 'held') ORDER BY r.id)
    UNION ALL (SELECT format('guardrail %s', g.name), format('rollout %s: %s', s.rollout_id, s.reason)
        FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
            JOIN flagscope.rollout r ON r.id = s.rollout_id
        WHERE s.state = 'error' AND r.status IN ('running', 'paused', 'held') ORDER BY g.id)
    UNION ALL (SELECT format('guardrail %s', g.name), format('rollout %s: %s', s.rollout_id, s.reason)
        FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id JOIN flagscope.metric m ON m.name = g.metric
            JOIN flagscope.rollout r ON r.id = s.rollout_id
        WHERE s.state = 'ok' AND flagscope._is_eventless(s, g, m) AND r.status IN ('running', 'paused', 'held') ORDER BY r.id, g.id)
    UNION ALL SELECT 'backfill', format('%s metrics on watch have no complete rollups yet for %s', count(*), flagscope._setting_text('rollup.backfill'))
        FROM flagscope.watch w WHERE w.barrier IS NOT NULL AND (w.since IS NULL OR w.since > w.target) HAVING count(*) > 0
    UNION ALL SELECT 'stray rows', format('%s rows of telemetry without a partition: from %s to %s UTC', count(*),
        to_char(min(t.ts) AT TIME ZONE 'UTC', 'YYYY-MM-DD'), to_char(max(t.ts) AT TIME ZONE 'UTC', 'YYYY-MM-DD'))
        FROM flagscope.telemetry_stray t HAVING count(*) > 0;
$$;
COMMENT ON FUNCTION flagscope.status() IS
    'in words: does the worker run, what did it last do, where does every live rollout stand, what is wrong, which guardrails have seen no event at all';
