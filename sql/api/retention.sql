-- Retention: deletes old rows in slices. A single wrong clock must not delete data: if the time of a run is more than a
-- day away from that of the run before, nothing is deleted until a person confirms the time.

CREATE FUNCTION _flagscope.may_forget(at timestamptz) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    last timestamptz := (SELECT s.retained_at FROM _flagscope.tick_state s);
    allowed boolean := coalesce(at BETWEEN last - interval '1 day' AND last + interval '1 day', true);
BEGIN
    UPDATE _flagscope.tick_state s SET retained_at = CASE WHEN allowed THEN at ELSE s.retained_at END,
        retention_problem = CASE WHEN NOT allowed THEN
            format('deletes nothing: time jumped from %s to %s UTC, by more than a day. If that is right, say so: '
                'SELECT flagscope.confirm_time()',
                to_char(last, 'YYYY-MM-DD HH24:MI'), to_char(at, 'YYYY-MM-DD HH24:MI')) END
    FROM (SELECT x.only_row FROM _flagscope.tick_state x FOR NO KEY UPDATE SKIP LOCKED) free
    WHERE s.only_row = free.only_row;
    RETURN allowed;
END $$;
COMMENT ON FUNCTION _flagscope.may_forget(timestamptz) IS
    'may retention use this time: not if it is more than a day away from the last one; stores the time, or the problem';

CREATE FUNCTION flagscope.confirm_time(at timestamptz DEFAULT clock_timestamp()) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF at IS NULL OR NOT isfinite(at) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('the time to be confirmed must be finite, got "%s"',
                coalesce(at::text, 'NULL'));
    END IF;
    UPDATE _flagscope.tick_state s SET retained_at = at, retention_problem = NULL;
END $$;
COMMENT ON FUNCTION flagscope.confirm_time(timestamptz) IS
    'confirms a time that jumped by more than a day (the server was stopped, a clock was corrected): '
    'retention resumes from there';

CREATE FUNCTION _flagscope.forget_deliveries(at timestamptz, most integer) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    WITH gone AS (
        -- Rows locked by a deliverer wait for the next run.
        DELETE FROM flagscope.outbox o WHERE o.id IN (SELECT x.id FROM flagscope.outbox x
            WHERE x.delivered_at < at - _flagscope.setting_interval('outbox.retention')
            ORDER BY x.id LIMIT most FOR UPDATE SKIP LOCKED)
        RETURNING 1
    )
    SELECT count(*) FROM gone;
$$;
COMMENT ON FUNCTION _flagscope.forget_deliveries(timestamptz, integer) IS
    'deletes delivered notifications past their retention, up to a limit; returns their number';

CREATE FUNCTION _flagscope.forget_correlations(at timestamptz, most integer) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    WITH gone AS (
        DELETE FROM flagscope.correlation c
        WHERE (c.decision_id, c.rank) IN (SELECT x.decision_id, x.rank FROM flagscope.correlation x
            -- The newest one says up to where decisions were looked into.
            WHERE x.computed_at < at - _flagscope.setting_interval('correlate.retention')
                AND x.decision_id < (SELECT max(y.decision_id) FROM flagscope.correlation y)
            ORDER BY x.decision_id LIMIT most)
        RETURNING 1
    )
    SELECT count(*) FROM gone;
$$;
COMMENT ON FUNCTION _flagscope.forget_correlations(timestamptz, integer) IS
    'deletes findings that are past their retention, so many at most; returns how many';

CREATE FUNCTION _flagscope.forget_subjects(at timestamptz, most integer) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH RECURSIVE ids AS (
        -- The rollouts that have units, with one index lookup for each.
        (SELECT u.rollout_id AS id FROM flagscope.rollout_subject u ORDER BY u.rollout_id LIMIT 1)
        UNION ALL
        SELECT (SELECT u.rollout_id FROM flagscope.rollout_subject u
            WHERE u.rollout_id > i.id ORDER BY u.rollout_id LIMIT 1) FROM ids i WHERE i.id IS NOT NULL
    ), over AS MATERIALIZED (
        SELECT i.id FROM ids i LEFT JOIN flagscope.rollout r ON r.id = i.id
        WHERE i.id IS NOT NULL AND (r.id IS NULL OR (r.status IN ('rolled_back', 'completed')
            AND (greatest(r.ended_at, r.follow_up_until) < at - _flagscope.setting_interval('subject.retention')
                OR EXISTS (SELECT FROM flagscope.rollout n
                    WHERE n.flag = r.flag AND n.environment = r.environment AND n.started_at > r.started_at))))
    ), gone AS (
        DELETE FROM flagscope.rollout_subject u WHERE u.ctid = ANY (ARRAY(
            SELECT x.place FROM over o,
                LATERAL (SELECT u.ctid AS place FROM flagscope.rollout_subject u WHERE u.rollout_id = o.id LIMIT most) x
            LIMIT most))
        RETURNING 1
    )
    SELECT count(*) FROM gone;
$$;
COMMENT ON FUNCTION _flagscope.forget_subjects(timestamptz, integer) IS
    'deletes units of rollouts that are past their retention, followed by another rollout of the flag, or deleted, '
    'up to a limit; returns their number';

-- Rows with an impossible time (1970, 2100) are in no partition that could be dropped, so they expire by their time of
-- arrival, known from their transaction: every hour it is noted which transactions have ended.

CREATE FUNCTION _flagscope.transaction_of(xmin xid) RETURNS xid8
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    -- The latest transaction with these 32 bits. For one more than 2^32 transactions ago that is too late,
    -- which keeps its row.
    SELECT (n.next - (((n.next - xmin::text::bigint) % 4294967296) + 4294967296) % 4294967296)::text::xid8
    FROM (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next) n;
$$;
COMMENT ON FUNCTION _flagscope.transaction_of(xid) IS
    'the full number of the transaction that wrote a row, from its xmin';

CREATE FUNCTION _flagscope.came_before(at timestamptz, keep interval) RETURNS xid8
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT a.before FROM _flagscope.arrival a WHERE a.at <= came_before.at - keep ORDER BY a.at DESC LIMIT 1 $$;
COMMENT ON FUNCTION _flagscope.came_before(timestamptz, interval) IS
    'rows of transactions before this one arrived longer ago than they are kept; NULL: none are known';

CREATE FUNCTION _flagscope.note_arrivals(at timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO _flagscope.arrival (at, before)
    SELECT note_arrivals.at, pg_snapshot_xmin(pg_current_snapshot())
    WHERE (EXISTS (SELECT FROM _flagscope.telemetry_stray) OR EXISTS (SELECT FROM _flagscope.evaluation_stray))
        AND NOT EXISTS (SELECT FROM _flagscope.arrival a
            WHERE a.at BETWEEN note_arrivals.at - interval '1 hour' AND note_arrivals.at)
    ON CONFLICT DO NOTHING;
    -- Only the last note before each retention is needed.
    DELETE FROM _flagscope.arrival a
    WHERE a.at < (SELECT max(l.at) FROM _flagscope.arrival l WHERE l.at <= note_arrivals.at
        - greatest(_flagscope.setting_interval('telemetry.retention'),
            _flagscope.setting_interval('evaluation.retention')));
$$;
COMMENT ON FUNCTION _flagscope.note_arrivals(timestamptz) IS
    'notes once an hour which transactions have ended, if there are stray rows';

CREATE FUNCTION _flagscope.forget_strays(at timestamptz, most integer) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keep interval := _flagscope.setting_interval('telemetry.retention');
    seen xid8 := _flagscope.came_before(at, keep);
    evaluated xid8 := _flagscope.came_before(at, _flagscope.setting_interval('evaluation.retention'));
    gone bigint;
    evaluations bigint;
    first_future timestamptz;
BEGIN
    -- For times within the retention, a partition is yet to be created.
    WITH deleted AS (
        DELETE FROM _flagscope.telemetry_stray t
        WHERE t.ctid = ANY (ARRAY(SELECT x.ctid FROM _flagscope.telemetry_stray x
            WHERE _flagscope.transaction_of(x.xmin) < seen AND x.ts NOT BETWEEN at - keep AND at LIMIT most))
        RETURNING t.ts
    )
    SELECT count(*), min(d.ts) FILTER (WHERE d.ts > at) INTO gone, first_future FROM deleted d;
    WITH deleted AS (
        DELETE FROM _flagscope.evaluation_stray e
        WHERE e.ctid = ANY (ARRAY(SELECT x.ctid FROM _flagscope.evaluation_stray x
            WHERE _flagscope.transaction_of(x.xmin) < evaluated
                AND x.at NOT BETWEEN forget_strays.at
                - _flagscope.setting_interval('evaluation.retention') AND forget_strays.at
            LIMIT most))
        RETURNING 1
    )
    SELECT count(*) INTO evaluations FROM deleted;
    IF first_future IS NOT NULL THEN
        PERFORM _flagscope.forget_future(_flagscope.floor(interval '1 day', first_future));
    END IF;
    RETURN greatest(gone, evaluations);
END $$;
COMMENT ON FUNCTION _flagscope.forget_strays(timestamptz, integer) IS
    'deletes stray rows that arrived longer ago than they are kept, up to a limit, '
    'and rollups of future times without rows; returns their number';

CREATE FUNCTION _flagscope.forget_future(since timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    WITH days AS MATERIALIZED (
        SELECT d.day FROM (
            SELECT _flagscope.floor(interval '1 day', r.bucket) FROM flagscope.variant_rollup r WHERE r.bucket >= since
            UNION SELECT _flagscope.floor(interval '1 day', h.bucket)
            FROM flagscope.variant_history h WHERE h.bucket >= since) d(day)
        WHERE NOT EXISTS (SELECT FROM flagscope.telemetry t WHERE t.ts >= d.day AND t.ts < d.day + interval '1 day')
    ), fine AS (
        DELETE FROM flagscope.variant_rollup r
        WHERE r.bucket >= since AND _flagscope.floor(interval '1 day', r.bucket) IN (SELECT d.day FROM days d)
    )
    DELETE FROM flagscope.variant_history h
    WHERE h.bucket >= since AND _flagscope.floor(interval '1 day', h.bucket) IN (SELECT d.day FROM days d);
    INSERT INTO _flagscope.removal AS h VALUES ('telemetry of the future', since)
    ON CONFLICT (what) DO UPDATE SET at = least(h.at, excluded.at);
$$;
COMMENT ON FUNCTION _flagscope.forget_future(timestamptz) IS
    'deletes rollups from a future time on of which no row of telemetry is left';

CREATE FUNCTION _flagscope.reach_future(at timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$ DELETE FROM _flagscope.removal h WHERE h.what = 'telemetry of the future' AND h.at <= reach_future.at $$;
COMMENT ON FUNCTION _flagscope.reach_future(timestamptz) IS 'forgets the noted future time once it has come';
