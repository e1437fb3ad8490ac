-- maintain(): settles rollups, applies retention, creates and drops partitions. Each part runs in a subtransaction of
-- its own, so that one that cannot get a lock (an open report, a deliverer, an INSERT) does not affect the others.
-- Parts that can grow work in slices until their time is used up.

CREATE FUNCTION _flagscope.forget_until(part text, at timestamptz, until timestamptz) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most constant integer := 10000;
BEGIN
    WHILE most <= CASE part
        WHEN 'expired series of OTLP' THEN _flagscope.forget_ingest(at, most)
        WHEN 'delivered notifications' THEN _flagscope.forget_deliveries(at, most)
        WHEN 'findings about decisions' THEN _flagscope.forget_correlations(at, most)
        WHEN 'subjects of ended rollouts' THEN _flagscope.forget_subjects(at, most)
        WHEN 'rows with an impossible time' THEN _flagscope.forget_strays(at, most) END
    LOOP
        IF clock_timestamp() > until THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END $$;
COMMENT ON FUNCTION _flagscope.forget_until(text, timestamptz, timestamptz) IS
    'deletes what is past its retention in slices until a time, at least one slice; returns whether some is left';

CREATE FUNCTION _flagscope.maintain_part(part text, at timestamptz, until timestamptz,
    OUT done integer, OUT waiting boolean, OUT problem text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '250ms'
AS $$
DECLARE
    -- A partition is created with all its stray rows or not at all: at most about half a second of a tick.
    most_rows constant bigint := CASE WHEN isfinite(until) THEN 50000 END;
BEGIN
    done := 0;
    waiting := false;
    CASE part
        WHEN 'open buckets to be settled' THEN
            waiting := _flagscope.settle_until(_flagscope.bucket_of(at) - interval '20 seconds', until);
        WHEN 'expired rollups' THEN waiting := _flagscope.forget_rollups(at, until);
        -- A deciding node has no raw rows; ingest nodes send what they roll up (history_delta).
        WHEN 'backfill' THEN waiting := _flagscope.node_role() <> 'decide' AND _flagscope.backfill(at, until);
        WHEN 'slots of deltas' THEN
        PERFORM _flagscope.forget_pairings(at), _flagscope.forget_dependence(at), _flagscope.forget_tallies(at),
            _flagscope.forget_rows(at);
        PERFORM CASE WHEN _flagscope.is_ingest_node() THEN _flagscope.recycle_sent()
                ELSE _flagscope.recycle_deltas() END,
            _flagscope.reach_future(at), _flagscope.note_arrivals(at);
        WHEN 'uncounted telemetry' THEN PERFORM _flagscope.gather_uncounted(), _flagscope.gather_services();
        WHEN 'partitions of telemetry' THEN
        SELECT * INTO done, problem FROM _flagscope.premake('telemetry', 'ts', at, most_rows);
        WHEN 'partitions of evaluation' THEN
        SELECT * INTO done, problem FROM _flagscope.premake('evaluation', 'at', at, most_rows);
        WHEN 'expired telemetry' THEN done := _flagscope.drop_expired('telemetry', at);
        WHEN 'expired evaluations' THEN done := _flagscope.drop_expired('evaluation', at);
        ELSE waiting := _flagscope.forget_until(part, at, until);
    END CASE;
EXCEPTION WHEN OTHERS THEN
    problem := SQLERRM;  -- mostly a lock that was not available in time: the next run tries again
END $$;
COMMENT ON FUNCTION _flagscope.maintain_part(text, timestamptz, timestamptz) IS
    'one part of maintain() in a subtransaction: how many partitions it created or dropped, '
    'whether work is left, and why it failed';

CREATE FUNCTION _flagscope.maintain_parts(parts text[], at timestamptz, until timestamptz,
    OUT made integer, OUT dropped integer, OUT problems text[], OUT waiting text[])
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    retention constant text[] := '{expired rollups,delivered notifications,findings about decisions,
        subjects of ended rollouts,rows with an impossible time,
        expired telemetry,expired evaluations}';
    may_forget boolean := _flagscope.may_forget(at);
    part text;
    result record;
BEGIN
    made := 0;
    dropped := 0;
    problems := '{}';
    waiting := '{}';
    IF NOT may_forget THEN
        problems := ARRAY[(SELECT 'retention ' || coalesce(s.retention_problem, 'deletes nothing: time jumped')
            FROM _flagscope.tick_state s)];
    END IF;
    FOREACH part IN ARRAY parts LOOP
        CONTINUE WHEN part = ANY (retention) AND NOT may_forget;
        -- Claims of evaluations expire by the server's clock, whatever the given time of the run.
        SELECT * INTO result FROM _flagscope.maintain_part(part,
            CASE WHEN part = 'expired series of OTLP' AND NOT may_forget THEN timestamptz '-infinity'
                ELSE at END, until);
        made := made + CASE WHEN part LIKE 'partitions %' THEN result.done ELSE 0 END;
        dropped := dropped + CASE WHEN part LIKE 'expired %' THEN result.done ELSE 0 END;
        waiting := waiting || CASE WHEN result.waiting THEN ARRAY[part] END;
        problems := problems
            || CASE WHEN result.problem IS NOT NULL THEN ARRAY[format('%s: %s', part, result.problem)] END;
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.maintain_parts(text[], timestamptz, timestamptz) IS
    'runs parts of maintain() one after the other, growing ones in slices until a time; '
    'the caller holds lock_rollups()';

CREATE FUNCTION _flagscope.maintenance() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- Parts that block writers or readers come last.
RETURN '{open buckets to be settled,expired rollups,backfill,slots of deltas,uncounted telemetry,expired series of OTLP,
      delivered notifications,subjects of ended rollouts,rows with an impossible time,
      partitions of telemetry,partitions of evaluation,expired telemetry,expired evaluations}'::text[];
COMMENT ON FUNCTION _flagscope.maintenance() IS 'the parts of maintain() in their order';

CREATE FUNCTION flagscope.maintain(at timestamptz DEFAULT clock_timestamp(), OUT made integer, OUT dropped integer,
    OUT problems text[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem text;
BEGIN
    IF at IS NULL OR NOT isfinite(at) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', HINT = 'For example now().',
            MESSAGE = _flagscope.message('the time of maintain() must be finite, got "%s"', coalesce(at::text, 'NULL'));
    END IF;
    PERFORM _flagscope.lock_rollups(), _flagscope.keep_contact();
    SELECT p.made, p.dropped, p.problems INTO made, dropped, problems
    FROM _flagscope.maintain_parts(_flagscope.maintenance(), at, timestamptz 'infinity') p;
    -- Last, since it locks telemetry to the end of the transaction. The worker has a process of its own for it.
    problem := CASE WHEN _flagscope.is_freezing_due(at) THEN _flagscope.freeze_next(at) END;
    problems := problems || CASE WHEN problem IS NOT NULL THEN ARRAY['chunks to be frozen: ' || problem] END;
END $$;
COMMENT ON FUNCTION flagscope.maintain(timestamptz) IS
    'maintenance: settles and backfills rollups, creates partitions ahead of time (ten a run), moves stray rows, '
    'deletes what is past its retention at the given time, freezes one chunk if set_freeze_after() says so; '
    'problems: parts that failed and why (the others are done); '
    'tick() calls it once a minute';

CREATE FUNCTION _flagscope.maintain_when_due(at timestamptz, until timestamptz) RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last _flagscope.tick_state;
    started timestamptz := clock_timestamp();
    is_due boolean;
    result record;
BEGIN
    SELECT * INTO last FROM _flagscope.tick_state;
    is_due := NOT coalesce(last.last_maintain_at <= at
        AND at < last.last_maintain_at + _flagscope.setting_interval('maintenance.interval'), false);
    IF NOT is_due AND last.maintain_waiting = '{}' THEN
        RETURN '{}';
    END IF;
    -- Between two runs, each tick continues with the work that was left.
    SELECT * INTO result
    FROM _flagscope.maintain_parts(CASE WHEN is_due THEN _flagscope.maintenance() ELSE last.maintain_waiting END,
        at, until);
    UPDATE _flagscope.tick_state s
    SET maintain_waiting = result.waiting, last_maintain_at = CASE WHEN is_due THEN at ELSE s.last_maintain_at END,
        maintain_error = CASE
            WHEN is_due OR result.problems <> '{}' THEN nullif(array_to_string(result.problems, '; '), '')
            ELSE s.maintain_error END,
        last_maintain_ms = CASE WHEN is_due THEN 1000 * extract(epoch FROM clock_timestamp() - started)
            ELSE s.last_maintain_ms END
    FROM (SELECT x.only_row FROM _flagscope.tick_state x FOR NO KEY UPDATE SKIP LOCKED) free
    WHERE s.only_row = free.only_row;
    RETURN result.waiting;
END $$;
COMMENT ON FUNCTION _flagscope.maintain_when_due(timestamptz, timestamptz) IS
    'maintenance inside tick(), at its end so that locks are held briefly; returns the parts with work left';
