-- Rollups recomputed from raw rows by the same code that wrote them: verify_rollup() compares, rebuild_rollup()
-- replaces. Both work in slices of 10 minutes, the backfill of a new metric in shorter ones where there are many rows.
-- Each slice is one statement with one snapshot, in which a row and its delta are either both visible or both not:
-- writers continue concurrently and are counted exactly once.

COMMENT ON FUNCTION _flagscope.fold_stored(timestamptz, timestamptz, jsonb) IS
    'the states that the ingest trigger would write for the rows stored from since to before until, '
    'for the watches [{flag, environment, metric}]';

CREATE FUNCTION _flagscope.keys(watches jsonb) RETURNS TABLE (flag text, environment text, metric text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM jsonb_to_recordset(watches) k(flag text, environment text, metric text) $$;
COMMENT ON FUNCTION _flagscope.keys(jsonb) IS 'watches as rows';

CREATE FUNCTION _flagscope.rebuild_fine(lower timestamptz, upper timestamptz, watches jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fresh flagscope.variant_rollup[];
    is_ingest_node boolean := _flagscope.is_ingest_node();
BEGIN
    WITH counted AS (
        -- Deltas of these rows must not be added to the rollup again; they still count as evidence.
        UPDATE _flagscope.variant_delta d SET rolled_up = true FROM _flagscope.keys(watches) k
        WHERE (d.flag, d.environment, d.metric) = (k.flag, k.environment, k.metric) AND d.bucket >= lower
            AND d.bucket < upper AND NOT d.rolled_up AND NOT is_ingest_node
            AND _flagscope.is_on_watch(d.flag, d.environment, d.metric, d.variant)
    ), moved AS (
        -- Where they are sent elsewhere, the transaction that wrote them is not to be forgotten.
        DELETE FROM _flagscope.variant_delta d USING _flagscope.keys(watches) k
        WHERE (d.flag, d.environment, d.metric) = (k.flag, k.environment, k.metric) AND d.bucket >= lower
            AND d.bucket < upper AND is_ingest_node
            AND _flagscope.is_on_watch(d.flag, d.environment, d.metric, d.variant)
        RETURNING d AS delta, _flagscope.full_xid(d.xmin) AS written, d.tableoid AS part
    ), kept AS (
        INSERT INTO _flagscope.kept_delta SELECT (m.delta).*, m.written FROM moved m
        WHERE m.part <> '_flagscope.variant_delta'::regclass  -- those have arrived
    )
    SELECT array_agg(ROW(f.flag, f.environment, f.variant, f.metric, f.bucket, f.n, f.events, f.moments, f.histogram,
            f.last_ts, true)::flagscope.variant_rollup
        ORDER BY f.flag, f.environment, f.variant, f.metric, f.bucket)
    INTO fresh FROM _flagscope.fold_stored(lower, upper, watches) f;
    IF is_ingest_node THEN
        PERFORM _flagscope.send_history(fresh);
    END IF;
    DELETE FROM flagscope.variant_rollup r USING _flagscope.keys(watches) k
    WHERE (r.flag, r.environment, r.metric) = (k.flag, k.environment, k.metric) AND r.bucket >= lower
        AND r.bucket < upper AND _flagscope.is_on_watch(r.flag, r.environment, r.metric, r.variant);
    INSERT INTO flagscope.variant_rollup SELECT f.* FROM unnest(fresh) f;
    RETURN coalesce(cardinality(fresh), 0);
END $$;
COMMENT ON FUNCTION _flagscope.rebuild_fine(timestamptz, timestamptz, jsonb) IS
    'replaces the 10-second rollups of a range; returns the number of states; the caller holds lock_rollups()';

CREATE FUNCTION _flagscope.rebuild_medium(lower timestamptz, upper timestamptz, watches jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM flagscope.variant_history h USING _flagscope.keys(watches) k
    WHERE (h.flag, h.environment, h.metric) = (k.flag, k.environment, k.metric) AND h.bucket >= lower
        AND h.bucket < upper AND h.bucket_width = interval '10 minutes'
        AND _flagscope.is_on_watch(h.flag, h.environment, h.metric, h.variant);
    -- Buckets that are not settled yet are added when they are settled.
    INSERT INTO flagscope.variant_history
    SELECT r.flag, r.environment, r.variant, r.metric, interval '10 minutes',
        _flagscope.floor(interval '10 minutes', r.bucket), _flagscope.bounded(sum(r.n)),
        _flagscope.bounded(sum(r.events)), flagscope.rollup(r.moments), flagscope.rollup(r.histogram), max(r.last_ts)
    FROM flagscope.variant_rollup r
        JOIN _flagscope.keys(watches) k ON (r.flag, r.environment, r.metric) = (k.flag, k.environment, k.metric)
    WHERE r.settled AND r.bucket >= lower AND r.bucket < upper
        AND _flagscope.is_on_watch(r.flag, r.environment, r.metric, r.variant) GROUP BY 1, 2, 3, 4, 6;
    DELETE FROM flagscope.variant_rollup r USING _flagscope.keys(watches) k
    WHERE (r.flag, r.environment, r.metric) = (k.flag, k.environment, k.metric) AND r.settled
        AND r.bucket >= lower AND r.bucket < least(upper, _flagscope.kept_since('rollup fine'))
        AND _flagscope.is_on_watch(r.flag, r.environment, r.metric, r.variant);
END $$;
COMMENT ON FUNCTION _flagscope.rebuild_medium(timestamptz, timestamptz, jsonb) IS
    'recomputes 10-minute rollups from those of 10 seconds, and deletes of the latter what is past their retention';

CREATE FUNCTION _flagscope.rebuild_days(lower timestamptz, upper timestamptz, watches jsonb) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    WITH day AS MATERIALIZED (
        SELECT k.*, _flagscope.floor(interval '1 day', lower) AS lower,
            _flagscope.ceiling(interval '1 day', upper) AS upper
        FROM _flagscope.keys(watches) k
    ), fresh AS (
        SELECT h.flag, h.environment, h.variant, h.metric, _flagscope.floor(interval '1 day', h.bucket) AS bucket,
            sum(h.n) AS n, sum(h.events) AS events, flagscope.rollup(h.moments) AS moments,
            flagscope.rollup(h.histogram) AS histogram, max(h.last_ts) AS last_ts
        FROM flagscope.variant_history h
            JOIN day d ON (h.flag, h.environment, h.metric) = (d.flag, d.environment, d.metric)
            AND h.bucket >= d.lower AND h.bucket < d.upper
        WHERE h.bucket_width = interval '10 minutes' GROUP BY 1, 2, 3, 4, 5
    ), gone AS (
        DELETE FROM flagscope.variant_history h USING day d
        WHERE (h.flag, h.environment, h.metric) = (d.flag, d.environment, d.metric) AND h.bucket >= d.lower
            AND h.bucket < d.upper AND h.bucket_width = interval '1 day'
            AND NOT EXISTS (SELECT FROM fresh f WHERE (f.flag, f.environment, f.variant, f.metric, f.bucket)
                = (h.flag, h.environment, h.variant, h.metric, h.bucket))
    )
    INSERT INTO flagscope.variant_history AS h
    SELECT f.flag, f.environment, f.variant, f.metric, interval '1 day', f.bucket, f.n, f.events, f.moments,
        f.histogram, f.last_ts
    FROM fresh f
    ON CONFLICT (flag, environment, metric, variant, bucket_width, bucket)
        DO UPDATE SET n = excluded.n, events = excluded.events, moments = excluded.moments,
        histogram = excluded.histogram, last_ts = excluded.last_ts;
$$;
COMMENT ON FUNCTION _flagscope.rebuild_days(timestamptz, timestamptz, jsonb) IS
    'recomputes the daily rollups that a range touches from those of 10 minutes';

CREATE FUNCTION _flagscope.slices(since timestamptz, until timestamptz)
RETURNS TABLE (lower timestamptz, upper timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.lower, _flagscope.later(s.lower, interval '10 minutes') FROM (
        SELECT generate_series(_flagscope.floor(interval '10 minutes', greatest(c.lower, since)),
            least(c.upper, until) - interval '1 microsecond', interval '10 minutes')
        FROM _flagscope.chunks('flagscope.telemetry'::regclass) c
            LEFT JOIN _flagscope.frozen_chunks() f ON f.chunk = c.chunk
        WHERE f.rows > 0 OR pg_relation_size(c.chunk) > 0
        UNION SELECT _flagscope.floor(interval '10 minutes', t.ts) FROM _flagscope.telemetry_stray t
        UNION SELECT h.bucket FROM flagscope.variant_history h
        WHERE h.bucket_width = interval '10 minutes' AND h.bucket >= since AND h.bucket < until
        UNION SELECT _flagscope.floor(interval '10 minutes', v.bucket)
        FROM flagscope.variant_rollup v WHERE NOT v.settled AND v.bucket >= since AND v.bucket < until
    ) s(lower) WHERE s.lower >= since AND s.lower < until ORDER BY 1;
$$;
COMMENT ON FUNCTION _flagscope.slices(timestamptz, timestamptz) IS
    'the 10-minute slices of a range that may have raw rows or rollups';

CREATE FUNCTION _flagscope.check_range(INOUT since timestamptz, INOUT until timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept timestamptz := greatest(_flagscope.kept_since('telemetry'), _flagscope.kept_since('rollup medium'));
BEGIN
    IF since IS NULL OR until IS NULL OR since >= until THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('a range must begin before it ends, got "%s" to "%s"', since, until);
    END IF;
    since := _flagscope.floor(interval '10 minutes', since);
    until := _flagscope.ceiling(interval '10 minutes', until);
    IF since < kept AND isfinite(since) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('data before %s is no longer stored', kept),
            DETAIL = _flagscope.message('The range begins at %s. Rollups are computed from raw rows and by whole days.',
                since),
            HINT = 'Begin at that time, or at -infinity for everything that is stored.';
    END IF;
    since := greatest(since, kept);
    until := least(until, (SELECT h.at FROM _flagscope.removal h WHERE h.what = 'telemetry of the future'));
END $$;
COMMENT ON FUNCTION _flagscope.check_range(timestamptz, timestamptz) IS
    'a range as whole 10 minutes within what is stored; raises if it begins earlier';

CREATE FUNCTION flagscope.rebuild_rollup(since timestamptz, until timestamptz DEFAULT 'infinity') RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    span record := _flagscope.check_range(since, until);
    watches jsonb;
    slice record;
    states bigint := 0;
    told timestamptz := clock_timestamp();
    application text := current_setting('application_name');
BEGIN
    PERFORM _flagscope.require_raw_rows('rollups cannot be rebuilt'), _flagscope.lock_rollups();
    SELECT jsonb_agg(jsonb_build_object('flag', w.flag, 'environment', w.environment, 'metric', w.metric)) INTO watches
    FROM _flagscope.watch w WHERE w.barrier <= pg_snapshot_xmin(pg_current_snapshot());
    IF watches IS NULL THEN
        RETURN 0;
    END IF;
    FOR slice IN SELECT s.*, row_number() OVER (ORDER BY s.lower) - 1 AS done, count(*) OVER () AS total
        FROM _flagscope.slices(span.since, span.until) s ORDER BY s.lower
    LOOP
        told := _flagscope.show_progress('rebuild_rollup'::text, slice.done, slice.total, told);
        states := states + _flagscope.rebuild_fine(slice.lower, slice.upper, watches);
        PERFORM _flagscope.rebuild_medium(slice.lower, slice.upper, watches);
    END LOOP;
    PERFORM _flagscope.rebuild_days(span.since, span.until, watches);
    -- A backfill that was in the middle of ten minutes restarts them.
    UPDATE _flagscope.watch w
    SET reached = NULL, since = CASE WHEN w.since <= span.until THEN least(w.since, span.since) ELSE w.since END
    FROM _flagscope.keys(watches) k WHERE (w.flag, w.environment, w.metric) = (k.flag, k.environment, k.metric);
    -- An anomaly's series whose past was too short may have enough now: read it again.
    DELETE FROM _flagscope.anomaly_point p
    WHERE p.guardrail_id IN (SELECT g.id FROM flagscope.guardrail g JOIN _flagscope.keys(watches) k
            ON (g.flag, g.environment, g.metric) = (k.flag, k.environment, k.metric) WHERE g.test = 'anomaly')
        AND NOT EXISTS (SELECT FROM _flagscope.anomaly_point o
            WHERE o.guardrail_id = p.guardrail_id AND o.score IS NOT NULL);
    PERFORM set_config('application_name', application, true);
    RETURN states;
END $$;
COMMENT ON FUNCTION flagscope.rebuild_rollup(timestamptz, timestamptz) IS
    'recomputes rollups from raw rows, for all rolled-up metrics, over the range in whole 10 minutes; evidence of '
    'running tests is not changed; no tick runs meanwhile; returns the number of 10-second states';
