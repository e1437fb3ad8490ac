-- A problem with the judging itself is reported once when it begins and once when it ends, by a row of outbox (kind
-- health) and a line in the server's log.

COMMENT ON FUNCTION _flagscope.utc(timestamptz) IS 'a time as text, to the second: 2026-11-29 10:00:00 UTC';

CREATE FUNCTION _flagscope.tell_alert(name text, state text, since timestamptz, detail text) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO flagscope.outbox (kind, payload) VALUES ('health', jsonb_build_object('name', name, 'state', state,
        'since', since, 'reason', detail, 'database', current_database())
        || _flagscope.health_message(name, state, detail));
    SELECT _flagscope.wake_deliverers();
$$;
COMMENT ON FUNCTION _flagscope.tell_alert(text, text, timestamptz, text) IS
    'queues a notification about the judging itself';

CREATE FUNCTION _flagscope.raise_alert(name text, since timestamptz, detail text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO _flagscope.alert AS a (name, since, detail)
    VALUES (raise_alert.name, raise_alert.since, raise_alert.detail)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        PERFORM _flagscope.tell_alert(name, 'critical', since, detail);
        RAISE WARNING USING MESSAGE = _flagscope.message('flagscope: %s: %s', name, detail);
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.raise_alert(text, timestamptz, text) IS
    'reports a problem, unless it is reported already';

CREATE FUNCTION _flagscope.end_alerts(names text[], detail text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    a _flagscope.alert;
BEGIN
    FOR a IN DELETE FROM _flagscope.alert x WHERE x.name = ANY (names) RETURNING * LOOP
        PERFORM _flagscope.tell_alert(a.name, 'ok', a.since, detail);
        RAISE LOG USING MESSAGE = _flagscope.message('flagscope: %s: %s', a.name, detail);
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.end_alerts(text[], text) IS 'reports that the problems of these names are over';

CREATE FUNCTION _flagscope.note_failed_tick(problem text, code text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '200ms'
AS $$
DECLARE
    s _flagscope.tick_state;
    since timestamptz;
BEGIN
    UPDATE _flagscope.tick_state t SET failing_since = coalesce(t.failing_since, clock_timestamp()),
        failures = t.failures + 1, last_error = problem, last_error_code = code, last_error_at = clock_timestamp()
    FROM (SELECT x.only_row FROM _flagscope.tick_state x FOR NO KEY UPDATE SKIP LOCKED) free
    WHERE t.only_row = free.only_row RETURNING t.* INTO s;
    IF NOT FOUND THEN  -- somebody has the row locked: what was there before must do
        SELECT * INTO s FROM _flagscope.tick_state;
        s.failures := 3;
    END IF;
    -- A single cancelled tick, or one that met a lock, raises no alert: the next one follows in less than a second.
    IF s.failures >= 3 OR s.failing_since <= clock_timestamp() - interval '10 seconds' THEN
        since := coalesce(s.failing_since, s.last_ok_at, clock_timestamp());
        PERFORM _flagscope.raise_alert('judging', since,
            format('NOT judging since %s: every tick fails: %s', _flagscope.utc(since), problem));
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.note_failed_tick(text, text) IS
    'called by the worker when its tick failed; the third failure in a row, '
    'or one after 10 seconds of failures, raises an alert';

CREATE FUNCTION _flagscope.note_skipped_tick() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '200ms'
AS $$
DECLARE
    since timestamptz := (SELECT s.last_ok_at FROM _flagscope.tick_state s);
BEGIN
    IF since < clock_timestamp() - interval '30 seconds' THEN
        PERFORM _flagscope.note_failed_tick(
            format('another session runs tick() or maintain() and has not ended its transaction%s',
                (SELECT ': ' || string_agg(h.words, ', ' ORDER BY h.since)
                 FROM _flagscope.table_holders() h WHERE h.relation = 'tick_state')), '55006');
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.note_skipped_tick() IS
    'called by the worker when another session is ticking; '
    'counts as a failure when no tick has succeeded for 30 seconds';
