-- Attribution: rows of telemetry written without flags get the flags of their trace, else those of their subject.
--
-- When: at the end of the statement that inserts them, in its transaction, together with the rollups. (A BEFORE trigger
-- could set the flags before the row is written, but would prevent COPY from writing batches of 1,000 rows.) So such a
-- row is written twice; rows that carry flags are not touched. An evaluation that arrives after rows of its trace is
-- applied to them when it arrives. Concurrent transactions do not see each other's rows: tick() looks at the traces of
-- new evaluations once more when every transaction that ran concurrently has ended.
--
-- The statements forbid sequential and bitmap scans, which leaves the indexes on trace and subject: a partition created
-- today has no statistics yet, and for 1,000 traces the planner once read two hours of rows by their time.
--
-- The flags of a row are never changed, because guardrails have judged it by them: a later evaluation only adds flags.

CREATE FUNCTION _flagscope.evaluated_in(traces uuid[], from_ts timestamptz, to_ts timestamptz)
RETURNS TABLE (trace_id uuid, ts timestamptz, ts_nanos smallint, flags text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off
    SET enable_bitmapscan = off SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    RETURN QUERY SELECT t.trace_id, t.ts, t.ts_nanos, t.flags::text FROM flagscope.telemetry t
    WHERE t.trace_id = ANY (traces) AND t.ts BETWEEN from_ts AND to_ts
        AND t.signal = 'event' AND t.name = 'feature_flag.evaluation' AND t.flags IS NOT NULL;
END $$;
COMMENT ON FUNCTION _flagscope.evaluated_in(uuid[], timestamptz, timestamptz) IS
    'the stored flag evaluations in some traces';

CREATE FUNCTION _flagscope.evaluated_for(subjects text[], environments text[], since timestamptz[],
    first_ts timestamptz[], last_ts timestamptz[], most integer)
RETURNS TABLE (n bigint, ts timestamptz, ts_nanos smallint, flags text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off
    SET enable_bitmapscan = off SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    from_ts timestamptz := (SELECT min(t) FROM unnest(since) t);
    to_ts timestamptz := (SELECT max(t) FROM unnest(last_ts) t);
    session text := coalesce(nullif(current_setting('flagscope.environment', true), ''), 'production');
    names jsonb := (SELECT jsonb_object_agg(n, e.key)
        FROM flagscope.environment_definition e, LATERAL unnest(e.aliases || e.key) n);
BEGIN
    RETURN QUERY SELECT s.n, e.ts, e.ts_nanos, e.flags::text
    FROM unnest(subjects, environments, since, first_ts, last_ts) WITH ORDINALITY s(subject, environment, since,
        first_ts, last_ts, n), LATERAL (
            -- Limited: a busy subject is evaluated thousands of times a day.
            (SELECT t.ts, t.ts_nanos, t.flags FROM flagscope.telemetry t
        WHERE left(t.subject, 255) = left(s.subject, 255) AND t.subject = s.subject
            AND t.ts BETWEEN from_ts AND to_ts AND t.ts BETWEEN s.since AND s.first_ts
            AND t.signal = 'event' AND t.name = 'feature_flag.evaluation' AND t.flags IS NOT NULL
            AND coalesce(names ->> coalesce(t.environment, session), t.environment, session) = s.environment
        ORDER BY t.ts DESC LIMIT most)
            UNION ALL
            (SELECT t.ts, t.ts_nanos, t.flags FROM flagscope.telemetry t
        WHERE s.last_ts > s.first_ts AND left(t.subject, 255) = left(s.subject, 255) AND t.subject = s.subject
            AND t.ts BETWEEN from_ts AND to_ts AND t.ts > s.first_ts AND t.ts <= s.last_ts
            AND t.signal = 'event' AND t.name = 'feature_flag.evaluation' AND t.flags IS NOT NULL
            AND coalesce(names ->> coalesce(t.environment, session), t.environment, session) = s.environment
        )) e;
END $$;
COMMENT ON FUNCTION _flagscope.evaluated_for(text[], text[], timestamptz[], timestamptz[], timestamptz[], integer) IS
    'the stored flag evaluations of some subjects, each in an environment (its key): the latest ones between since and '
    'first_ts, and all between first_ts and last_ts; n is the subject''s position in the array';

COMMENT ON FUNCTION _flagscope.find_flags(bigint[], timestamptz[], smallint[], uuid[], text[], text[], text[]) IS
    'like flags_of(), with flags and attribution as text';
CREATE FUNCTION _flagscope.flags_of(places bigint[], times timestamptz[], traces uuid[], subjects text[] DEFAULT NULL,
    environments text[] DEFAULT NULL, nanos smallint[] DEFAULT NULL, flags jsonb[] DEFAULT NULL)
RETURNS TABLE (place bigint, flags jsonb, attribution flagscope.attribution)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT f.place, f.flags::jsonb, f.attribution::flagscope.attribution
    FROM _flagscope.find_flags(places, times, nanos, traces, subjects, environments, flags_of.flags::text[]) f
$$;
COMMENT ON FUNCTION _flagscope.flags_of(bigint[], timestamptz[], uuid[], text[], text[], smallint[], jsonb[]) IS
    'flags for rows that have none: from the evaluations in their trace within setting attribution.trace_window (the '
    'latest of a flag wins), else from the last 100 of their subject within attribution.subject_window before them, '
    'in the same environment; rows given with flags are evaluations that are not stored yet';

CREATE FUNCTION _flagscope.tie_rows(partitions oid[], places tid[], flags text[], attributions text[],
    from_ts timestamptz, to_ts timestamptz)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off
    SET enable_bitmapscan = off SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
BEGIN
    UPDATE flagscope.telemetry t SET flags = w.flags::jsonb, attribution = w.attribution::flagscope.attribution
    FROM unnest(partitions, places, tie_rows.flags, attributions) w(part, place, flags, attribution)
    WHERE t.ctid = w.place AND t.tableoid = w.part AND t.ts BETWEEN from_ts AND to_ts AND t.flags IS NULL;
END $$;
COMMENT ON FUNCTION _flagscope.tie_rows(oid[], tid[], text[], text[], timestamptz, timestamptz) IS
    'writes the flags of the rows at these places, all within a range of time; the update trigger then counts them';

CREATE FUNCTION _flagscope.tie_traces(traces uuid[], from_ts timestamptz, to_ts timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off
    SET enable_bitmapscan = off SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    trace_window interval := _flagscope.setting_interval('attribution.trace_window');
    -- Limited to the times that PostgreSQL can represent: a wrong clock must not make its whole batch fail.
    first_ts timestamptz := greatest(from_ts, '4713-11-24 00:00+00 BC'::timestamptz + trace_window) - trace_window;
    last_ts timestamptz := least(to_ts, '294276-12-31 23:59:59.999999+00'::timestamptz - trace_window) + trace_window;
    frozen oid[] := _flagscope.frozen_overlap(first_ts, last_ts);
BEGIN
    WITH loose AS MATERIALIZED (
        SELECT row_number() OVER () AS n, t.tableoid AS part, t.ctid AS place, t.ts, t.trace_id, t.flags
        FROM flagscope.telemetry t
        WHERE t.trace_id = ANY (traces) AND t.ts BETWEEN first_ts AND last_ts
            AND (t.flags IS NULL OR t.attribution IN ('trace', 'subject'))
            AND NOT (t.signal = 'event' AND t.name = 'feature_flag.evaluation')
            -- What is frozen stays as it is: chunks are frozen when they are older than the trace window.
            AND (frozen IS NULL OR t.tableoid <> ALL (frozen))
    ), found AS MATERIALIZED (
        SELECT f.part, f.place, a.flags || coalesce(f.flags, '{}') AS flags
        FROM (SELECT array_agg(f.n) AS n, array_agg(f.ts) AS ts, array_agg(f.trace_id) AS traces FROM loose f) u,
            LATERAL _flagscope.flags_of(u.n, u.ts, u.traces, NULL::text[], NULL::text[],
                NULL::smallint[], NULL::jsonb[]) a
            JOIN loose f ON f.n = a.place
        WHERE a.flags || coalesce(f.flags, '{}') IS DISTINCT FROM f.flags
    ), locked AS MATERIALIZED (
        -- A locked row is being attributed by another session: skip it; tie_late_traces() looks again.
        SELECT f.* FROM found f JOIN flagscope.telemetry t ON t.ctid = f.place AND t.tableoid = f.part
        WHERE t.ts BETWEEN first_ts AND last_ts FOR NO KEY UPDATE OF t SKIP LOCKED
    )
    UPDATE flagscope.telemetry t SET flags = f.flags, attribution = 'trace' FROM locked f
    WHERE t.ctid = f.place AND t.tableoid = f.part AND t.ts BETWEEN first_ts AND last_ts;
END $$;
COMMENT ON FUNCTION _flagscope.tie_traces(uuid[], timestamptz, timestamptz) IS
    'adds to stored rows of some traces the flags of evaluations that they lack; the update trigger counts what is new';

CREATE FUNCTION _flagscope.attribute_traces(traces uuid[], from_ts timestamptz, to_ts timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    SELECT _flagscope.tie_traces(traces, from_ts, to_ts);
    INSERT INTO _flagscope.late_trace (trace_id, from_ts, to_ts) SELECT t, from_ts, to_ts FROM unnest(traces) t;
$$;
COMMENT ON FUNCTION _flagscope.attribute_traces(uuid[], timestamptz, timestamptz) IS
    'attributes stored rows in the traces of new evaluations, and notes the traces to be looked at once more';

CREATE FUNCTION _flagscope.tie_late_slice(seen pg_snapshot, most integer) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off
    SET enable_bitmapscan = off
AS $$
DECLARE
    due record;
    part record;
BEGIN
    -- Newest first, in the order of time, so that few partitions are touched.
    WITH taken AS (
        DELETE FROM _flagscope.late_trace l WHERE l.ctid = ANY (ARRAY(SELECT x.ctid FROM _flagscope.late_trace x
            WHERE pg_visible_in_snapshot(x.transaction, seen) ORDER BY x.to_ts DESC LIMIT most))
        RETURNING l.*
    )
    SELECT count(*)::integer AS n, array_agg(t::_flagscope.late_trace) AS traces INTO due FROM taken t;
    FOR part IN SELECT array_agg(DISTINCT t.trace_id) AS traces, min(t.from_ts) AS from_ts, max(t.to_ts) AS to_ts
        FROM unnest(due.traces) t GROUP BY _flagscope.floor(interval '10 minutes', t.to_ts)
    LOOP
        PERFORM _flagscope.tie_traces(part.traces, part.from_ts, part.to_ts);
    END LOOP;
    RETURN due.n;
END $$;
COMMENT ON FUNCTION _flagscope.tie_late_slice(pg_snapshot, integer) IS
    'processes the newest late traces visible to a snapshot, up to a limit; returns their number';

CREATE FUNCTION _flagscope.next_late_traces() RETURNS pg_snapshot
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s _flagscope.late_trace_state;
    now_seen pg_snapshot := pg_current_snapshot();
BEGIN
    IF NOT EXISTS (SELECT FROM _flagscope.late_trace) THEN
        RETURN NULL;
    END IF;
    SELECT * INTO s FROM _flagscope.late_trace_state;
    IF s.coming IS NOT NULL AND pg_snapshot_xmin(now_seen) < pg_snapshot_xmax(s.coming) THEN
        RETURN s.seen;  -- somebody runs who ran beside them
    END IF;
    -- Every transaction concurrent with these evaluations has ended: what it wrote is visible.
    UPDATE _flagscope.late_trace_state x SET seen = s.coming, coming = now_seen;
    RETURN s.coming;
END $$;
COMMENT ON FUNCTION _flagscope.next_late_traces() IS
    'the latest noted snapshot all of whose concurrent transactions have ended; NULL: none';

CREATE FUNCTION _flagscope.tie_late_traces(until timestamptz) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most constant integer := 500;
    seen pg_snapshot := _flagscope.next_late_traces();
BEGIN
    IF seen IS NULL THEN
        RETURN NULL;
    END IF;
    WHILE _flagscope.tie_late_slice(seen, most) = most LOOP
        IF clock_timestamp() > until THEN
            RETURN 'late traces';
        END IF;
    END LOOP;
    -- Everything that it sees is done; later traces are not read again until they are due.
    UPDATE _flagscope.late_trace_state s SET seen = NULL;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Judging continues; the traces remain for the next tick.
    RAISE WARNING USING ERRCODE = SQLSTATE,
        MESSAGE = _flagscope.message('rows without flags could not be attributed by their trace: %s', SQLERRM);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.tie_late_traces(timestamptz) IS
    'part of tick(): looks once more at the traces of evaluations written concurrently with other transactions, '
    'once these have ended; stops at a time and returns what is left';

COMMENT ON FUNCTION _flagscope.note_row() IS
    'trigger: notes new rows without flags and the traces of new flag evaluations, '
    'which are attributed at the end of the statement';

CREATE TRIGGER note_row AFTER INSERT ON flagscope.telemetry FOR EACH ROW WHEN (
    CASE WHEN NEW.flags IS NULL
        THEN NEW.attribution IS NULL AND (NEW.trace_id IS NOT NULL OR NEW.subject IS NOT NULL)
        AND NEW.name <> 'feature_flag.evaluation'
        ELSE NEW.trace_id IS NOT NULL AND NEW.name = 'feature_flag.evaluation' AND NEW.signal = 'event' END)
    EXECUTE FUNCTION _flagscope.note_row();
CREATE TRIGGER fold_tied AFTER UPDATE ON flagscope.telemetry REFERENCING OLD TABLE AS before NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.fold_telemetry();
