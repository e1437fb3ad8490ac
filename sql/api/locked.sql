-- Locks of other sessions. A tick does not wait for them: a rollout locked by an open transaction is judged all the
-- same, and the lock is reported; acting on the rollout waits until the lock is released.

COMMENT ON FUNCTION _flagscope.lockers(oid, tid) IS
    'processes that have locked a row of a table against changes; 0: a prepared transaction';

CREATE FUNCTION _flagscope.session_words(pid integer) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN coalesce(session_words.pid, 0) = 0 THEN 'a prepared transaction (see pg_prepared_xacts)'
        ELSE coalesce((
            SELECT format('process %s (%s) since %s', a.pid,
                concat_ws(', ', a.usename, nullif(a.application_name, ''), a.state), _flagscope.utc(a.xact_start))
            FROM pg_stat_activity a WHERE a.pid = session_words.pid), format('process %s', session_words.pid)) END;
$$;
COMMENT ON FUNCTION _flagscope.session_words(integer) IS
    'a session as text: process, user, application, state, begin of its transaction';

CREATE FUNCTION _flagscope.table_holders()
RETURNS TABLE (relation name, pid integer, mode text, since timestamptz, words text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    -- Reads none of flagscope's tables, any of which could be locked.
    SELECT c.relname, l.pid, l.mode, a.xact_start, _flagscope.session_words(l.pid)
    FROM pg_locks l JOIN pg_class c
        ON c.oid = l.relation AND c.relnamespace IN ('flagscope'::regnamespace, '_flagscope'::regnamespace)
        LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'relation' AND l.granted
        AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
        AND l.pid IS DISTINCT FROM pg_backend_pid()
        AND coalesce(a.backend_type, '') NOT IN ('flagscope worker', 'autovacuum worker')
        AND (l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
            OR (l.mode = 'ShareUpdateExclusiveLock' AND c.relname = 'tick_state'));
$$;
COMMENT ON FUNCTION _flagscope.table_holders() IS
    'sessions that hold a lock on one of flagscope''s tables for which a tick or a writer of telemetry would wait';

-- For many rollouts at once: each call is planned anew, which takes 2 ms, and the view health asks for all of them.
CREATE FUNCTION _flagscope.rollout_lockers(rollouts bigint[])
RETURNS TABLE (rollout_id bigint, what text, pid integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT x.id, x.what, p.pid FROM (
        SELECT r.id, 'rollout' AS what, r.tableoid, r.ctid FROM flagscope.rollout r WHERE r.id = ANY (rollouts)
        UNION ALL
        SELECT r.id, 'flag_state', s.tableoid, s.ctid FROM flagscope.rollout r
            JOIN flagscope.flag_state s ON s.flag = r.flag AND s.environment = r.environment
        WHERE r.id = ANY (rollouts)
        UNION ALL
        SELECT g.rollout_id, 'guardrail_status', g.tableoid, g.ctid FROM flagscope.guardrail_status g
        WHERE g.rollout_id = ANY (rollouts)
    ) x, LATERAL unnest(_flagscope.lockers(x.tableoid, x.ctid)) p(pid)
    -- Except the worker, which changes these rows in each tick.
    WHERE p.pid <> pg_backend_pid()
        AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = p.pid AND a.backend_type = 'flagscope worker');
$$;
COMMENT ON FUNCTION _flagscope.rollout_lockers(bigint[]) IS
    'other sessions that have locked rollouts'' own rows: '
    'the rollout, its flag''s state, the status of its guardrails';

CREATE FUNCTION _flagscope.locked_words(rollout_id bigint) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'locked by ' || string_agg(_flagscope.session_words(p.pid), ', ' ORDER BY p.pid)
    FROM (SELECT DISTINCT l.pid FROM _flagscope.rollout_lockers(ARRAY[rollout_id]) l) p HAVING count(*) > 0;
$$;
COMMENT ON FUNCTION _flagscope.locked_words(bigint) IS 'sessions that have locked a rollout, as text; NULL: none';

CREATE FUNCTION _flagscope.note_locked(r flagscope.rollout, at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    holders text := _flagscope.locked_words(r.id);
    due record;
BEGIN
    SELECT d.action, coalesce(nullif((d.g).name, ''), (d.g).metric) AS rule, d.reason INTO due
    FROM _flagscope.due_actions(r, at) d WHERE NOT d.only_told LIMIT 1;
    IF FOUND AND holders IS NOT NULL THEN
        PERFORM _flagscope.raise_alert(format('rollout %s', r.id), clock_timestamp(),
            format('breached, cannot act (%s of flag "%s" in %s): %s; %s: %s', replace(due.action::text, '_', ' '),
                r.flag, r.environment, holders, due.rule, due.reason));
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.note_locked(flagscope.rollout, timestamptz) IS
    'reports that a guardrail demands an action on a rollout that is locked by another session';

CREATE FUNCTION _flagscope.waiting_strata(r flagscope.rollout) RETURNS SETOF _flagscope.stratum
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.flag, r.environment, d.variant, d.metric, _flagscope.bounded(sum(d.n)), _flagscope.bounded(sum(d.events)),
        flagscope.rollup(d.moments), flagscope.rollup(d.histogram), max(d.last_ts),
        _flagscope.bounded(coalesce(sum(d.n) FILTER (WHERE d.first_ts >= r.stage_started_at), 0))
    FROM _flagscope.variant_delta d
    WHERE d.flag = r.flag AND d.environment = r.environment AND d.first_ts >= r.started_at
    GROUP BY d.variant, d.metric;
$$;
COMMENT ON FUNCTION _flagscope.waiting_strata(flagscope.rollout) IS
    'the deltas that no tick has consumed yet, summed up as strata of a rollout';

CREATE FUNCTION _flagscope.breach_in_waiting(r flagscope.rollout, at timestamptz) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    guardrails refcursor;
    breach text;
BEGIN
    guardrails := _flagscope.open_guardrails(ARRAY(SELECT s FROM _flagscope.waiting_strata(r) s),
        ARRAY(SELECT ROW(1, 'infinity', s)::_flagscope.pair FROM _flagscope.waiting_strata(r) s
            WHERE (SELECT count(*) FROM _flagscope.waiting_strata(r) o
                WHERE o.metric = s.metric AND o.n > 0 AND o.variant IN (r.treatment, r.control)) = 2),
        1, _flagscope.tick_setting(), at, r.id, NULL::bigint, false, '{}'::jsonb, NULL::text);
    -- The judge itself, on what is committed; nothing is written. A threshold and an anomaly read rollups, which do not
    -- have these rows yet.
    SELECT format('%s: %s', coalesce(nullif(g.name, ''), g.metric), x.reason) INTO breach
    FROM _flagscope.step(guardrails, at) x JOIN flagscope.guardrail g ON g.id = x.guardrail_id
    WHERE x.state = 'breached' AND g.test = 'sequential' AND NOT g.shadow AND g.action <> 'warn'
    ORDER BY g.priority DESC, g.id LIMIT 1;
    CLOSE guardrails;
    RETURN breach;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;  -- it will be judged, and its error reported, when the lock is released
END $$;
COMMENT ON FUNCTION _flagscope.breach_in_waiting(flagscope.rollout, timestamptz) IS
    'which guardrail would be breached, and why, if the waiting data were judged now';

CREATE FUNCTION _flagscope.note_unjudged(at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r flagscope.rollout;
    held record;
    breach text;
BEGIN
    FOR r IN
        SELECT x.* FROM flagscope.rollout x WHERE _flagscope.is_watched(x, at)
            AND EXISTS (SELECT FROM _flagscope.variant_delta d WHERE d.flag = x.flag AND d.environment = x.environment)
        ORDER BY x.id
    LOOP
        SELECT min(a.xact_start) AS since, count(*) AS n INTO held
        FROM _flagscope.rollout_lockers(ARRAY[r.id]) l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.what = 'guardrail_status';
        CONTINUE WHEN held.n = 0;
        breach := _flagscope.breach_in_waiting(r, at);
        IF breach IS NOT NULL OR coalesce(held.since < clock_timestamp() - interval '10 seconds', true) THEN
            PERFORM _flagscope.raise_alert(format('rollout %s', r.id), clock_timestamp(),
                format('%s (flag "%s" in %s): %s%s',
                    CASE WHEN breach IS NULL THEN 'new data is not judged' ELSE 'breached, cannot act' END,
                    r.flag, r.environment,
                    coalesce(_flagscope.locked_words(r.id), 'locked a moment ago'), '; ' || breach));
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.note_unjudged(timestamptz) IS
    'reports rollouts whose data waits because another session has locked their statuses: '
    'after 10 s, or at once if it is a breach';
