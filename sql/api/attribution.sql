-- Attribution: rows of telemetry that came without flags get those of their trace, else of their subject.
--
-- When: at the end of the statement that inserts them (a BEFORE trigger could write them at once, but takes from every
-- COPY its batches of 1,000 rows), in its transaction, with the rollups. So such a row is written twice; rows that
-- carry flags are not touched. An evaluation that comes later than rows of its trace ties them when it comes. Two
-- transactions at the same time do not see each other's rows: tick() looks at the traces of new evaluations once more
-- when every transaction that ran beside them is over.
--
-- The statements forbid sequential scans: of a partition made today there are no statistics yet.
--
-- What a row is tied to it stays tied to, since guardrails have judged it: a later evaluation adds flags and changes none.

CREATE FUNCTION flagscope._flags_of(places bigint[], times timestamptz[], traces uuid[], subjects text[], environments text[],
    own jsonb DEFAULT NULL)
RETURNS TABLE (place bigint, flags jsonb, attribution flagscope.attribution)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    trace_window interval := flagscope._setting_interval('attribution.trace_window');
    subject_window interval := flagscope._setting_interval('attribution.subject_window');
    wanted_traces uuid[] := ARRAY(SELECT DISTINCT t FROM unnest(traces) t WHERE t IS NOT NULL);
    from_ts timestamptz := (SELECT min(t) FROM unnest(times) t);
    to_ts timestamptz := (SELECT max(t) FROM unnest(times) t);
    session text := coalesce(nullif(current_setting('flagscope.environment', true), ''), 'production');
    names jsonb := (SELECT jsonb_object_agg(n, e.key) FROM flagscope.environment e, LATERAL unnest(e.aliases || e.key) n);
BEGIN
    RETURN QUERY
    WITH wanted AS MATERIALIZED (
        SELECT w.place, w.ts, w.trace_id, w.subject, coalesce(names ->> coalesce(w.environment, session), w.environment, session) AS environment
        FROM unnest(places, times, traces, subjects, environments) w(place, ts, trace_id, subject, environment)
    ), coming AS MATERIALIZED (
        SELECT o.trace_id, o.subject, coalesce(names ->> coalesce(o.environment, session), o.environment, session) AS environment, o.ts,
            o.ts_nanos, o.flags
        FROM jsonb_to_recordset(own) o(trace_id uuid, subject text, environment text, ts timestamptz, ts_nanos smallint, flags jsonb)
    ), evaluated AS MATERIALIZED (
        SELECT t.trace_id, t.ts, t.ts_nanos, t.flags FROM flagscope.telemetry t
        WHERE t.trace_id = ANY (wanted_traces) AND t.ts BETWEEN from_ts - trace_window AND to_ts + trace_window
            AND t.signal = 'event' AND t.name = 'feature_flag.evaluation' AND t.flags IS NOT NULL
        UNION ALL
        SELECT o.trace_id, o.ts, o.ts_nanos, o.flags FROM coming o
    ), by_trace AS MATERIALIZED (
        SELECT w.place, jsonb_object_agg(f.key, f.value ORDER BY e.ts, e.ts_nanos) AS flags
        FROM wanted w JOIN evaluated e ON e.trace_id = w.trace_id
            AND e.ts BETWEEN w.ts - trace_window AND w.ts + trace_window, LATERAL jsonb_each(e.flags) f
        GROUP BY w.place
    )
    SELECT b.place, b.flags, 'trace'::flagscope.attribution FROM by_trace b
    UNION ALL
    SELECT w.place, x.flags, 'subject' FROM wanted w, LATERAL (
        SELECT jsonb_object_agg(f.key, f.value ORDER BY e.ts, e.ts_nanos) AS flags FROM (
            -- Bounded, since a busy subject is evaluated thousands of times a day.
            (SELECT t.ts, t.ts_nanos, t.flags FROM flagscope.telemetry t
            WHERE left(t.subject, 255) = left(w.subject, 255) AND t.subject = w.subject
                AND t.ts BETWEEN w.ts - subject_window AND w.ts
                AND t.signal = 'event' AND t.name = 'feature_flag.evaluation' AND t.flags IS NOT NULL
                AND coalesce(names ->> coalesce(t.environment, session), t.environment, session)
                  = w.environment
            ORDER BY t.ts DESC LIMIT 100)
            UNION ALL
            SELECT o.ts, o.ts_nanos, o.flags FROM coming o
            WHERE o.subject = w.subject AND o.environment = w.environment AND o.ts BETWEEN w.ts - subject_window AND w.ts) e, LATERAL jsonb_each(e.flags) f) x
    WHERE w.subject IS NOT NULL AND x.flags IS NOT NULL
        AND NOT EXISTS (SELECT FROM by_trace b WHERE b.place = w.place);
END $$;
COMMENT ON FUNCTION flagscope._flags_of(bigint[], timestamptz[], uuid[], text[], text[], jsonb) IS
    'flags for rows without: of the evaluations in their trace within setting attribution.trace_window (the latest of a flag wins), else of their subject''s last 100 within attribution.subject_window before them, in the same environment; own: evaluations that are not stored yet, as an array of objects';

CREATE FUNCTION flagscope._attribute_rows(partitions oid[], places tid[], from_ts timestamptz, to_ts timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    WITH fresh AS MATERIALIZED (
        SELECT row_number() OVER () AS n, t.tableoid AS part, t.ctid AS place, t.ts, t.trace_id, t.subject, t.environment
        FROM unnest(partitions, places) w(part, place) JOIN flagscope.telemetry t ON t.ctid = w.place AND t.tableoid = w.part
        WHERE t.ts BETWEEN from_ts AND to_ts AND t.flags IS NULL
    ), found AS MATERIALIZED (
        SELECT f.part, f.place, a.flags, a.attribution
        FROM (SELECT array_agg(f.n) AS n, array_agg(f.ts) AS ts, array_agg(f.trace_id) AS traces,
                array_agg(f.subject) AS subjects, array_agg(f.environment) AS environments FROM fresh f) u,
            LATERAL flagscope._flags_of(u.n, u.ts, u.traces, u.subjects, u.environments) a JOIN fresh f ON f.n = a.place
    )
    UPDATE flagscope.telemetry t SET flags = f.flags, attribution = f.attribution FROM found f
    WHERE t.ctid = f.place AND t.tableoid = f.part AND t.ts BETWEEN from_ts AND to_ts AND t.flags IS NULL;
END $$;
COMMENT ON FUNCTION flagscope._attribute_rows(oid[], tid[], timestamptz, timestamptz) IS
    'ties the rows at these places, all within a range of time, to the flags found for them; the update trigger counts them';

CREATE FUNCTION flagscope._tie_traces(traces uuid[], from_ts timestamptz, to_ts timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    trace_window interval := flagscope._setting_interval('attribution.trace_window');
    first_ts timestamptz := from_ts - trace_window;
    last_ts timestamptz := to_ts + trace_window;
BEGIN
    WITH loose AS MATERIALIZED (
        SELECT row_number() OVER () AS n, t.tableoid AS part, t.ctid AS place, t.ts, t.trace_id, t.flags FROM flagscope.telemetry t
        WHERE t.trace_id = ANY (traces) AND t.ts BETWEEN first_ts AND last_ts
            AND (t.flags IS NULL OR t.attribution IN ('trace', 'subject'))
            AND NOT (t.signal = 'event' AND t.name = 'feature_flag.evaluation')
    ), found AS MATERIALIZED (
        SELECT f.part, f.place, a.flags || coalesce(f.flags, '{}') AS flags
        FROM (SELECT array_agg(f.n) AS n, array_agg(f.ts) AS ts, array_agg(f.trace_id) AS traces FROM loose f) u,
            LATERAL flagscope._flags_of(u.n, u.ts, u.traces, NULL, NULL) a JOIN loose f ON f.n = a.place
        WHERE a.flags || coalesce(f.flags, '{}') IS DISTINCT FROM f.flags
    ), locked AS MATERIALIZED (
        -- Whoever has a row locked is tying it now: neither waits for the other, and _tie_late_traces() looks again.
        SELECT f.* FROM found f JOIN flagscope.telemetry t ON t.ctid = f.place AND t.tableoid = f.part
        WHERE t.ts BETWEEN first_ts AND last_ts FOR NO KEY UPDATE OF t SKIP LOCKED
    )
    UPDATE flagscope.telemetry t SET flags = f.flags, attribution = 'trace' FROM locked f
    WHERE t.ctid = f.place AND t.tableoid = f.part AND t.ts BETWEEN first_ts AND last_ts;
END $$;
COMMENT ON FUNCTION flagscope._tie_traces(uuid[], timestamptz, timestamptz) IS
    'ties stored rows of some traces to the evaluations in them that they lack; the update trigger counts what is new';

CREATE FUNCTION flagscope._attribute_traces(traces uuid[], from_ts timestamptz, to_ts timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    SELECT flagscope._tie_traces(traces, from_ts, to_ts);
    INSERT INTO flagscope.late_trace (trace_id, from_ts, to_ts) SELECT t, from_ts, to_ts FROM unnest(traces) t;
$$;
COMMENT ON FUNCTION flagscope._attribute_traces(uuid[], timestamptz, timestamptz) IS
    'ties stored rows of the traces of new evaluations, and leaves the traces to be looked at once more';

CREATE FUNCTION flagscope._tie_late_traces() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before pg_snapshot := (SELECT s.seen FROM flagscope.late_trace_state s);
    now_seen pg_snapshot := pg_current_snapshot();
    -- A decision does not wait for a backlog: what is left is the next tick's.
    most constant integer := 50000;
    due record;
BEGIN
    IF before IS NOT NULL AND pg_snapshot_xmin(now_seen) >= pg_snapshot_xmax(before) THEN
        -- All that ran beside these evaluations is over: what it wrote can be seen.
        WITH taken AS (
            DELETE FROM flagscope.late_trace l WHERE l.ctid = ANY (ARRAY(
                SELECT x.ctid FROM flagscope.late_trace x WHERE pg_visible_in_snapshot(x.transaction, before) LIMIT most))
            RETURNING l.*
        )
        SELECT count(*) AS n, array_agg(DISTINCT t.trace_id) AS traces, min(t.from_ts) AS from_ts, max(t.to_ts) AS to_ts INTO due FROM taken t;
        IF due.traces IS NOT NULL THEN
            PERFORM flagscope._tie_traces(due.traces, due.from_ts, due.to_ts);
        END IF;
        IF due.n < most THEN
            before := NULL;
        END IF;
    END IF;
    IF before IS NULL AND EXISTS (SELECT FROM flagscope.late_trace) THEN
        UPDATE flagscope.late_trace_state s SET seen = now_seen;
    END IF;
EXCEPTION WHEN OTHERS THEN
    -- The judgement goes on without it; the traces are still there for the next tick.
    RAISE WARNING USING ERRCODE = SQLSTATE, MESSAGE = format('rows without flags could not be tied to their trace: %s', SQLERRM);
END $$;
COMMENT ON FUNCTION flagscope._tie_late_traces() IS
    'part of tick(): looks once more at the traces of evaluations whose transaction ran beside others, when these are over';

COMMENT ON FUNCTION flagscope._note_row() IS
    'trigger: notes a new row without flags, and the trace of a new flag evaluation, for the end of the statement, when the fold has them attributed';

CREATE TRIGGER note_row AFTER INSERT ON flagscope.telemetry FOR EACH ROW WHEN (
    CASE WHEN NEW.flags IS NULL
        THEN NEW.attribution IS NULL AND (NEW.trace_id IS NOT NULL OR NEW.subject IS NOT NULL) AND NEW.name <> 'feature_flag.evaluation'
        ELSE NEW.trace_id IS NOT NULL AND NEW.name = 'feature_flag.evaluation' AND NEW.signal = 'event' END)
    EXECUTE FUNCTION flagscope._note_row();
CREATE TRIGGER fold_tied AFTER UPDATE ON flagscope.telemetry REFERENCING OLD TABLE AS before NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION flagscope._fold_telemetry();
