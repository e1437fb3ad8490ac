-- status() and the view health: is judging working, and what is wrong; as text, and for monitoring systems. Both answer
-- within seconds even when the tables that they read are locked.

COMMENT ON FUNCTION _flagscope.preloaded() IS
    'is the library in shared_preload_libraries, so that there is a background worker';
COMMENT ON FUNCTION _flagscope.wake_launcher() IS 'tells the launcher to look for databases with the extension now';

CREATE FUNCTION _flagscope.worker_words() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN NOT _flagscope.preloaded() THEN
            'not running: flagscope is not in shared_preload_libraries; '
            'call SELECT flagscope.tick() from a client or pg_cron'
        WHEN pg_is_in_recovery() THEN 'waiting: this server is a standby; it starts after promotion'
        WHEN NOT current_setting('flagscope.enabled')::boolean THEN 'switched off: flagscope.enabled is off'
        ELSE coalesce((
            SELECT format(
                'running as process %s: ticks %s after a commit that leaves something to judge, and at least every %s',
                a.pid, current_setting('flagscope.min_interval'), current_setting('flagscope.interval'))
            FROM pg_stat_activity a
            WHERE a.datname = current_database() AND a.backend_type = 'flagscope worker' LIMIT 1),
            'not running yet: it starts within seconds; if not, see the server log and max_worker_processes') END;
$$;
COMMENT ON FUNCTION _flagscope.worker_words() IS 'is the worker of this database running, and if not, why';

CREATE FUNCTION _flagscope.not_judging(failures bigint, last_error text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH worker AS (
        SELECT a.pid, a.state, a.xact_start FROM pg_stat_activity a
        WHERE a.datname = current_database() AND a.backend_type = 'flagscope worker' LIMIT 1)
    SELECT CASE
        WHEN failures > 0 THEN
            format('every tick fails, %s so far: %s. Run SELECT flagscope.tick() to see the error',
                failures, last_error)
        WHEN held.words IS NOT NULL THEN
            format('the table tick_state is locked by %s; end that transaction', held.words)
        WHEN NOT _flagscope.preloaded() THEN
            'flagscope is not in shared_preload_libraries and nobody calls SELECT flagscope.tick(): do either'
        WHEN NOT coalesce(current_setting('flagscope.enabled', true)::boolean, false) THEN
            'flagscope.enabled is off: switch it on, or call SELECT flagscope.tick()'
        WHEN NOT EXISTS (SELECT FROM worker) THEN
            'the worker of this database does not run: see the server log and max_worker_processes'
        WHEN (SELECT w.state = 'active' FROM worker w) THEN (
            SELECT format('a tick of process %s has been running since %s%s', w.pid, _flagscope.utc(w.xact_start), (
                SELECT '; it waits for ' || string_agg(_flagscope.session_words(b.pid), ', ')
                FROM unnest(pg_blocking_pids(w.pid)) b(pid))) FROM worker w)
        ELSE (SELECT format('process %s has not ticked; see the server log', w.pid) FROM worker w) END
    FROM (SELECT string_agg(h.words, ', ' ORDER BY h.since) AS words
        FROM _flagscope.table_holders() h WHERE h.relation = 'tick_state') held;
$$;
COMMENT ON FUNCTION _flagscope.not_judging(bigint, text) IS 'why no tick succeeds, and what to do';

CREATE FUNCTION _flagscope.judging(OUT state text, OUT since timestamptz, OUT detail text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms'
AS $$
DECLARE
    s record;  -- not the table's row type, which cannot be looked up while the table is locked
    -- An idle worker ticks every flagscope.interval and notes it;
    -- manual ticks or pg_cron are expected at least once a minute.
    patience interval := CASE
        WHEN _flagscope.preloaded() AND coalesce(current_setting('flagscope.enabled', true)::boolean, false)
        THEN greatest('30 seconds', 2 * current_setting('flagscope.interval', true)::interval + interval '10 seconds')
        ELSE interval '2 minutes' END;
BEGIN
    IF pg_is_in_recovery() THEN
        state := 'ok';
        detail := 'this server is a standby: it judges after its promotion';
        RETURN;
    END IF;
    SELECT 'critical', 'NOT judging: ' || p INTO state, detail FROM _flagscope.restore_problem() p WHERE p IS NOT NULL;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO s FROM _flagscope.tick_state;
    IF s.last_ok_at > clock_timestamp() - patience AND s.failures < 3
        AND coalesce(s.failing_since > clock_timestamp() - interval '10 seconds', true) THEN
        state := 'ok';
        since := s.last_ok_at;
        detail := CASE WHEN _flagscope.is_ingest_node()
            THEN format('this is an ingest node: %s judges', _flagscope.deciding_node()) ELSE 'judging' END;
    ELSE
        state := 'critical';
        since := coalesce(s.failing_since, s.last_ok_at);
        detail := format('NOT judging %s: %s', coalesce('since ' || _flagscope.utc(since), 'yet'),
            _flagscope.not_judging(s.failures, s.last_error));
    END IF;
EXCEPTION WHEN lock_not_available THEN
    state := 'critical';
    SELECT min(h.since), format('NOT judging since %s: the table tick_state is locked by %s; end that transaction',
        coalesce(_flagscope.utc(min(h.since)), 'a moment ago'),
        coalesce(string_agg(h.words, ', ' ORDER BY h.since), 'another session'))
    INTO since, detail FROM _flagscope.table_holders() h WHERE h.relation = 'tick_state';
END $$;
COMMENT ON FUNCTION _flagscope.judging() IS
    'is judging working: ok or critical, since when (ok: time of the last noted tick), and as text';

CREATE FUNCTION _flagscope.rollout_states() RETURNS TABLE (name text, state text, since timestamptz, detail text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('rollout %s', r.id), CASE WHEN a.name IS NOT NULL THEN 'critical'
            WHEN r.problem IS NOT NULL OR failed.words IS NOT NULL OR l.words IS NOT NULL THEN 'warning' ELSE 'ok' END,
        coalesce(a.since, r.stage_started_at),
        coalesce(a.detail, concat_ws('; ',
            format('flag "%s" in %s is %s at %s %%', r.flag, r.environment, r.status,
                trim_scale(_flagscope.percent(r.id, r.stage))),
            'could not be decided: ' || r.problem, failed.words, l.words))
    FROM flagscope.rollout r LEFT JOIN _flagscope.alert a ON a.name = format('rollout %s', r.id)
        CROSS JOIN LATERAL (
            SELECT string_agg(format('guardrail %s: %s', g.name, s.reason), '; ' ORDER BY g.id) AS words
            FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
            WHERE s.rollout_id = r.id AND s.state = 'error') failed
        LEFT JOIN (
            SELECT k.rollout_id,
                'locked by ' || string_agg(_flagscope.session_words(k.pid), ', ' ORDER BY k.pid) AS words
            FROM (SELECT DISTINCT x.rollout_id, x.pid FROM _flagscope.rollout_lockers(ARRAY(
                SELECT y.id FROM flagscope.rollout y
                WHERE y.status IN ('running', 'paused', 'held')
                    OR EXISTS (SELECT FROM _flagscope.alert b WHERE b.name = format('rollout %s', y.id)))) x) k
            GROUP BY k.rollout_id) l ON l.rollout_id = r.id
    WHERE r.status IN ('running', 'paused', 'held') OR a.name IS NOT NULL
    ORDER BY r.id;
$$;
COMMENT ON FUNCTION _flagscope.rollout_states() IS
    'live rollouts for the view health: critical: breached but cannot be acted on; '
    'warning: not decided, not judged, or locked';

CREATE FUNCTION _flagscope.store_states() RETURNS TABLE (name text, state text, since timestamptz, detail text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'maintenance', CASE WHEN s.maintain_error IS NULL THEN 'ok' ELSE 'warning' END, s.last_maintain_at,
        coalesce('failed: ' || s.maintain_error, CASE WHEN s.last_maintain_at IS NULL THEN 'never run' ELSE 'done' END)
    FROM _flagscope.tick_state s
    UNION ALL
    -- Without any deliverer, nothing is overdue.
    SELECT 'outbox', CASE WHEN min(o.created_at) < clock_timestamp() - interval '10 minutes' AND bool_or(delivers.yes)
            OR min(failing.words) IS NOT NULL THEN 'warning' ELSE 'ok' END,
        min(o.created_at),
        concat_ws('; ', CASE WHEN bool_or(delivers.yes) THEN format('%s rows to deliver', count(o.id))
            ELSE 'no notification has ever been delivered' END, min(failing.words))
    FROM (SELECT EXISTS (SELECT FROM flagscope.outbox x WHERE x.attempts > 0) AS yes) delivers
        CROSS JOIN (
            -- Rows that a sink did not want have ended at the first attempt.
            SELECT string_agg(format('sink %s: %s', d.sink, d.problem), '; ' ORDER BY d.sink) AS words
            FROM (SELECT DISTINCT ON (x.sink) x.sink, x.problem FROM flagscope.outbox_delivery x
                WHERE x.problem IS NOT NULL AND (x.ended_at IS NULL AND x.attempts > 2
                    OR x.attempts > 1 AND x.ended_at > clock_timestamp() - interval '1 hour')
                ORDER BY x.sink, x.outbox_id DESC) d) failing
        LEFT JOIN flagscope.outbox o ON o.delivered_at IS NULL;
$$;
COMMENT ON FUNCTION _flagscope.store_states() IS 'maintenance and deliveries for the view health';

CREATE FUNCTION _flagscope.health() RETURNS TABLE (name text, state text, since timestamptz, detail text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms'
AS $$
BEGIN
    RETURN QUERY SELECT 'judging', j.* FROM _flagscope.judging() j;
    RETURN QUERY SELECT 'locks',
        CASE WHEN min(h.since) < clock_timestamp() - interval '1 minute' THEN 'warning' ELSE 'ok' END, min(h.since),
        coalesce(string_agg(format('%s: %s on %s', h.words, h.mode, h.relation), '; ' ORDER BY h.since),
            'no session holds a table')
        FROM _flagscope.table_holders() h;
    BEGIN
        RETURN QUERY SELECT * FROM _flagscope.store_states();
        RETURN QUERY SELECT * FROM _flagscope.rollout_states();
        RETURN QUERY SELECT * FROM _flagscope.node_states();
    EXCEPTION WHEN lock_not_available THEN
        RETURN QUERY SELECT 'tables', 'critical', clock_timestamp(), 'the rest cannot be read: see locks';
    END;
END $$;
COMMENT ON FUNCTION _flagscope.health() IS 'the rows of the view health';

CREATE VIEW flagscope.health AS SELECT h.name, h.state, h.since, h.detail FROM _flagscope.health() h;
COMMENT ON VIEW flagscope.health IS
    'for monitoring systems: judging, locks, maintenance, outbox and each live rollout; '
    'state is ok, warning or critical';
COMMENT ON COLUMN flagscope.health.name IS 'what it is about';
COMMENT ON COLUMN flagscope.health.detail IS 'what is wrong, in words';
COMMENT ON COLUMN flagscope.health.state IS
    'critical: somebody must act now, because users are not protected meanwhile';
COMMENT ON COLUMN flagscope.health.since IS
    'since when the state lasts; if ok, when it was last checked';

CREATE FUNCTION _flagscope.tick_words() RETURNS TABLE (item text, says text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'last tick', _flagscope.utc(s.last_tick_at)
        || format(' by %s, %s ms', s.last_tick_by, round(s.last_tick_ms::numeric, 1))
    FROM _flagscope.tick_state s
    UNION ALL
    SELECT 'last maintenance', _flagscope.utc(s.last_maintain_at)
        || ', ' || coalesce('failed: ' || s.maintain_error, round(s.last_maintain_ms::numeric, 1) || ' ms')
    FROM _flagscope.tick_state s;
$$;
COMMENT ON FUNCTION _flagscope.tick_words() IS 'what tick() last did';

CREATE FUNCTION _flagscope.status_lines() RETURNS TABLE (item text, says text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'restore', p FROM _flagscope.restore_problem() p WHERE p IS NOT NULL
    UNION ALL SELECT t.item, coalesce(t.says, 'never') FROM _flagscope.tick_words() t
    UNION ALL SELECT w.item, w.says FROM _flagscope.waiting_words() w
    UNION ALL SELECT 'last decision', coalesce((SELECT format('%s: %s of rollout %s (%s): %s',
        _flagscope.utc(d.at), d.action, d.rollout_id, d.flag, d.reason)
        FROM flagscope.decision d ORDER BY d.id DESC LIMIT 1), 'none yet')
    UNION ALL (SELECT format('rollout %s', r.id), format('%s in %s: %s at %s %%; %s', r.flag, r.environment, r.status,
        trim_scale(_flagscope.percent(r.id, r.stage)), concat_ws('; ',
            coalesce((SELECT a.detail FROM _flagscope.alert a WHERE a.name = format('rollout %s', r.id)),
                _flagscope.locked_words(r.id)),
            coalesce('could not be decided: ' || r.problem, flagscope.ramp_gate(r.id, clock_timestamp()),
                    'every gate is clear')))
        FROM flagscope.rollout r WHERE r.status IN ('running', 'paused', 'held') ORDER BY r.id)
    UNION ALL (SELECT format('guardrail %s', g.name), format('rollout %s: %s', s.rollout_id, s.reason)
        FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
            JOIN flagscope.rollout r ON r.id = s.rollout_id
        WHERE s.state = 'error' AND r.status IN ('running', 'paused', 'held') ORDER BY g.id)
    UNION ALL (SELECT format('guardrail %s', g.name), format('rollout %s: %s', s.rollout_id, s.reason)
        FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
            JOIN flagscope.metric_definition m ON m.name = g.metric
            JOIN flagscope.rollout r ON r.id = s.rollout_id
        WHERE s.state = 'ok'
            AND _flagscope.is_eventless(m.kind::text, g.test::text, s.value, s.events_treatment, s.events_control)
            AND r.status IN ('running', 'paused', 'held')
        ORDER BY r.id, g.id)
    UNION ALL SELECT n.name, n.detail FROM _flagscope.node_states() n
    UNION ALL SELECT u.item, u.says FROM _flagscope.uncounted_words() u
    UNION ALL SELECT a.item, a.says FROM _flagscope.alone_words() a
    UNION ALL SELECT 'backfill',
        format('%s metrics on watch have no complete rollups yet for %s', count(*),
            _flagscope.setting_text('rollup.backfill'))
        FROM _flagscope.watch w
    WHERE w.barrier IS NOT NULL AND (w.since IS NULL OR w.since > w.target) AND _flagscope.node_role() <> 'decide'
    HAVING count(*) > 0
    UNION ALL SELECT 'stray rows', format('%s rows of telemetry without a partition: from %s to %s UTC', count(*),
        to_char(min(t.ts) AT TIME ZONE 'UTC', 'YYYY-MM-DD'), to_char(max(t.ts) AT TIME ZONE 'UTC', 'YYYY-MM-DD'))
        FROM _flagscope.telemetry_stray t HAVING count(*) > 0
    UNION ALL SELECT z.item, z.says FROM _flagscope.frozen_words() z;
$$;
COMMENT ON FUNCTION _flagscope.status_lines() IS 'the lines of status() that read flagscope''s tables';

CREATE FUNCTION flagscope.status() RETURNS TABLE (item text, says text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms'
AS $$
BEGIN
    RETURN QUERY SELECT 'verdict', concat_ws('; but see ', max(h.detail) FILTER (WHERE h.name = 'judging'),
        string_agg(format('%s (%s)', h.name, h.state), ', ') FILTER (WHERE h.name <> 'judging' AND h.state <> 'ok'))
        FROM _flagscope.health() h;
    RETURN QUERY SELECT 'worker', _flagscope.worker_words();
    RETURN QUERY SELECT 'lock', format('%s holds %s on %s', h.words, h.mode, h.relation)
        FROM _flagscope.table_holders() h ORDER BY h.since;
    BEGIN
        RETURN QUERY SELECT * FROM _flagscope.status_lines();
    EXCEPTION WHEN lock_not_available THEN
        RETURN QUERY SELECT 'tables', 'the rest cannot be read: see the locks above';
    END;
END $$;
COMMENT ON FUNCTION flagscope.status() IS
    'status as text: first whether judging works, and if not, why and what to do; then the worker, locks of other '
    'sessions, the last actions, every live rollout, problems, guardrails that have never seen an event, '
    'telemetry that counts for no variant, and data of the treatment that was never compared';
