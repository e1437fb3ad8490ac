-- Levels of rollups: 10 seconds (variant_rollup), 10 minutes and 1 day (variant_history). Every level contains every
-- settled row, so a reader uses the widest buckets that fit and is fast over any range. Settling moves a bucket: one
-- statement removes it from the open rows and adds it to all levels. Late rows open a bucket again and are added when
-- they are settled in turn. Nothing is recomputed, so nothing is lost or counted twice.

CREATE FUNCTION _flagscope.lock_rollups() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    LOCK TABLE _flagscope.tick_state IN SHARE UPDATE EXCLUSIVE MODE;
END $$;
COMMENT ON FUNCTION _flagscope.lock_rollups() IS
    'exclusive lock for writers of rollups, also taken by ticks, until the end of the transaction';

CREATE FUNCTION _flagscope.kept_since(what text) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce((SELECT h.at FROM _flagscope.removal h WHERE h.what = kept_since.what), '-infinity');
END;
COMMENT ON FUNCTION _flagscope.kept_since(text) IS 'time before which retention has removed everything of that kind';

CREATE FUNCTION _flagscope.note_removal(what text, at timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO _flagscope.removal AS h VALUES (what, at)
    ON CONFLICT (what) DO UPDATE SET at = greatest(h.at, excluded.at);
$$;
COMMENT ON FUNCTION _flagscope.note_removal(text, timestamptz) IS
    'notes that everything of that kind before this time was removed';

CREATE FUNCTION _flagscope.floor(width interval, at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN isfinite(at) THEN date_bin(width, at, timestamptz '2000-01-01 00:00:00+00') ELSE at END;
COMMENT ON FUNCTION _flagscope.floor(interval, timestamptz) IS 'start of the bucket of this width that contains a time';

-- PostgreSQL's times range from 4714-11-24 BC to 294276-12-31; results beyond are infinite.
CREATE FUNCTION _flagscope.later(at timestamptz, width interval) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN at > timestamptz '294276-12-31 23:59:59.999999+00' - width THEN 'infinity' ELSE at + width END;
COMMENT ON FUNCTION _flagscope.later(timestamptz, interval) IS
    'a time plus an interval; infinity beyond the last timestamp';

CREATE FUNCTION _flagscope.earlier(at timestamptz, width interval) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN at < timestamptz '4714-11-24 00:00:00+00 BC' + width THEN '-infinity' ELSE at - width END;
COMMENT ON FUNCTION _flagscope.earlier(timestamptz, interval) IS
    'a time minus an interval; -infinity before the first timestamp';

CREATE FUNCTION _flagscope.computable(at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN at < timestamptz '4700-01-01 00:00:00+00 BC' THEN timestamptz '4700-01-01 00:00:00+00 BC'
    WHEN at > timestamptz '294000-01-01 00:00:00+00' THEN timestamptz '294000-01-01 00:00:00+00' ELSE at END;
COMMENT ON FUNCTION _flagscope.computable(timestamptz) IS
    'a time, limited to the range in which windows, buckets and intervals can be computed';

CREATE FUNCTION _flagscope.ceiling(width interval, at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN _flagscope.floor(width, at) < at THEN _flagscope.later(_flagscope.floor(width, at), width) ELSE at END;
COMMENT ON FUNCTION _flagscope.ceiling(interval, timestamptz) IS
    'first start of a bucket of this width at or after a time';

CREATE FUNCTION _flagscope.settle(before timestamptz, most integer) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH taken AS (
        -- In order, so that neighbours are settled together: they share their wider buckets.
        DELETE FROM flagscope.variant_rollup o WHERE o.ctid = ANY (ARRAY(SELECT x.ctid FROM flagscope.variant_rollup x
            WHERE NOT x.settled AND x.bucket < before ORDER BY x.flag, x.environment, x.bucket LIMIT most)) RETURNING *
    ), kept AS (
        INSERT INTO flagscope.variant_rollup AS r (flag, environment, variant, metric, bucket, n, events, moments,
            histogram, last_ts, settled)
        SELECT flag, environment, variant, metric, bucket, n, events, moments, histogram, last_ts, true FROM taken
        ORDER BY flag, environment, variant, metric, bucket
        ON CONFLICT (flag, environment, metric, variant, bucket, settled) DO UPDATE SET
            n = _flagscope.bounded(r.n::numeric + excluded.n),
            events = _flagscope.bounded(r.events::numeric + excluded.events),
            moments = flagscope.merge(r.moments, excluded.moments),
            histogram = flagscope.merge(r.histogram, excluded.histogram),
            last_ts = greatest(r.last_ts, excluded.last_ts)
    ), wider AS (
        INSERT INTO flagscope.variant_history AS h (flag, environment, variant, metric, bucket_width, bucket, n, events,
            moments, histogram, last_ts)
        SELECT t.flag, t.environment, t.variant, t.metric, l.width, _flagscope.floor(l.width, t.bucket),
            _flagscope.bounded(sum(t.n)), _flagscope.bounded(sum(t.events)), flagscope.rollup(t.moments),
            flagscope.rollup(t.histogram), max(t.last_ts)
        FROM taken t CROSS JOIN (VALUES (interval '10 minutes'), (interval '1 day')) l(width)
        GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
        ON CONFLICT (flag, environment, metric, variant, bucket_width, bucket) DO UPDATE SET
            n = _flagscope.bounded(h.n::numeric + excluded.n),
            events = _flagscope.bounded(h.events::numeric + excluded.events),
            moments = flagscope.merge(h.moments, excluded.moments),
            histogram = flagscope.merge(h.histogram, excluded.histogram),
            last_ts = greatest(h.last_ts, excluded.last_ts)
    )
    SELECT count(*) FROM taken;
$$;
COMMENT ON FUNCTION _flagscope.settle(timestamptz, integer) IS
    'settles open 10-second buckets before a time into every level, up to a limit; returns their number; '
    'the caller holds lock_rollups()';

CREATE FUNCTION _flagscope.settle_until(before timestamptz, until timestamptz) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most constant integer := 2500;
BEGIN
    WHILE _flagscope.settle(before, most) = most LOOP
        IF clock_timestamp() > until THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END $$;
COMMENT ON FUNCTION _flagscope.settle_until(timestamptz, timestamptz) IS
    'settles buckets before a time in slices until another time, at least one slice; returns whether some are left';

CREATE FUNCTION _flagscope.forget_level(level text, expired timestamptz, most integer) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    WITH fine AS (
        DELETE FROM flagscope.variant_rollup r
        WHERE level = 'fine' AND r.ctid = ANY (ARRAY(SELECT x.ctid FROM flagscope.variant_rollup x
            WHERE level = 'fine' AND x.settled AND x.bucket < expired
                -- The ten minutes that a backfill is working on are yet to be computed from these.
                AND NOT EXISTS (SELECT FROM _flagscope.watch w
                    WHERE (w.flag, w.environment, w.metric) = (x.flag, x.environment, x.metric)
                    AND x.bucket >= w.reached AND x.bucket < coalesce(w.since, 'infinity')) LIMIT most)) RETURNING 1
    ), wider AS (
        DELETE FROM flagscope.variant_history h
        WHERE level <> 'fine' AND h.ctid = ANY (ARRAY(SELECT x.ctid FROM flagscope.variant_history x
            WHERE level <> 'fine' AND x.bucket < expired
                AND x.bucket_width = CASE level WHEN 'medium' THEN interval '10 minutes' ELSE interval '1 day' END
            LIMIT most))
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM fine) + (SELECT count(*) FROM wider);
$$;
COMMENT ON FUNCTION _flagscope.forget_level(text, timestamptz, integer) IS
    'deletes rollups of a level before a time, up to a limit; returns their number';

CREATE FUNCTION _flagscope.forget_rollups(at timestamptz, until timestamptz) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most constant integer := 10000;
    level record;
    expired timestamptz;
BEGIN
    FOR level IN SELECT *
        FROM (VALUES ('fine', interval '10 minutes'), ('medium', interval '1 day'),
            ('coarse', interval '1 day')) l(name, step)
    LOOP
        -- In whole buckets of the next level, so that readers switch to it without a gap;
        -- noted before the rows are deleted.
        expired := _flagscope.floor(level.step,
            at - _flagscope.setting_interval(format('rollup.%s.retention', level.name)));
        PERFORM _flagscope.note_removal('rollup ' || level.name, expired)
        WHERE expired > _flagscope.kept_since('rollup ' || level.name);
        CONTINUE WHEN expired <= _flagscope.kept_since('deleted rollup ' || level.name);
        WHILE _flagscope.forget_level(level.name, expired, most) = most LOOP
            IF clock_timestamp() > until THEN
                RETURN true;
            END IF;
        END LOOP;
        PERFORM _flagscope.note_removal('deleted rollup ' || level.name, expired);
    END LOOP;
    RETURN false;
END $$;
COMMENT ON FUNCTION _flagscope.forget_rollups(timestamptz, timestamptz) IS
    'deletes rollups past the retention of their level, in slices until a time; returns whether some are left';

CREATE FUNCTION _flagscope.lock_slot(slot regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE NOWAIT', slot);
END $$;
COMMENT ON FUNCTION _flagscope.lock_slot(regclass) IS
    'locks a slot of deltas, from which on no transaction that has written to it is open; raises if one is';

CREATE FUNCTION _flagscope.truncate_slot(slot regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('TRUNCATE ONLY %s', slot);
    DELETE FROM _flagscope.delta_place p WHERE p.part = slot;
END $$;
COMMENT ON FUNCTION _flagscope.truncate_slot(regclass) IS 'empties a slot of deltas; the caller holds lock_slot()';

CREATE FUNCTION _flagscope.recycle_deltas() RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    turn bigint := floor(extract(epoch FROM clock_timestamp()) / 60);
    slot regclass;
    used boolean;
    recycled integer := 0;
BEGIN
    -- The slots of this minute are being written, those of the last minute perhaps as well; the other two should be
    -- empty. The parent contains only what ticks write for queries.
    FOR slot IN
        SELECT ('_flagscope.variant_delta' || lane || CASE WHEN k > 0 THEN '_' || (turn + k) % 4 ELSE '' END)::regclass
        FROM generate_series(0, 2) k, unnest('{"",_late,_past}'::text[]) lane WHERE k > 0 OR lane = ''
    LOOP
        CONTINUE WHEN pg_relation_size(slot) = 0;
        BEGIN
            PERFORM _flagscope.lock_slot(slot);
            EXECUTE format('SELECT EXISTS (SELECT FROM ONLY %s)', slot) INTO used;
            IF NOT used THEN
                PERFORM _flagscope.truncate_slot(slot);
                recycled := recycled + 1;
            END IF;
        EXCEPTION WHEN lock_not_available THEN
            NULL;  -- a long transaction has written to it or is reading: retried at its next turn
        END;
    END LOOP;
    RETURN recycled;
END $$;
COMMENT ON FUNCTION _flagscope.recycle_deltas() IS
    'truncates the slots of variant_delta that are no longer written and whose rows are all consumed; '
    'returns their number';

CREATE FUNCTION _flagscope.edges(since timestamptz, until timestamptz, widest interval,
    OUT lo timestamptz, OUT hi timestamptz, OUT medium_lo timestamptz, OUT medium_hi timestamptz,
    OUT day_lo timestamptz, OUT day_hi timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ten constant interval := '10 minutes';
    fine timestamptz := _flagscope.kept_since('rollup fine');
    medium timestamptz := _flagscope.kept_since('rollup medium');
BEGIN
    lo := _flagscope.floor(interval '10 seconds', since);
    hi := _flagscope.later(_flagscope.floor(interval '10 seconds', until), interval '10 seconds');
    -- Where the finer level was deleted, the whole wider bucket that the range touches is used.
    medium_lo := CASE WHEN lo < fine THEN _flagscope.floor(ten, lo)
        WHEN widest >= ten THEN _flagscope.ceiling(ten, lo) ELSE hi END;
    medium_hi := CASE WHEN hi <= fine THEN _flagscope.ceiling(ten, hi) WHEN widest >= ten THEN _flagscope.floor(ten, hi)
        WHEN lo < fine THEN fine ELSE hi END;
    IF medium_lo >= medium_hi THEN
        medium_lo := hi;
        medium_hi := hi;
    END IF;
    day_lo := CASE WHEN medium_lo < medium THEN _flagscope.floor(interval '1 day', medium_lo)
        WHEN widest >= interval '1 day' THEN _flagscope.ceiling(interval '1 day', medium_lo) ELSE medium_hi END;
    day_hi := CASE WHEN medium_hi <= medium THEN _flagscope.ceiling(interval '1 day', medium_hi)
        WHEN widest >= interval '1 day' THEN _flagscope.floor(interval '1 day', medium_hi)
        WHEN medium_lo < medium THEN medium ELSE medium_hi END;
    IF day_lo >= day_hi THEN
        day_lo := medium_hi;
        day_hi := medium_hi;
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.edges(timestamptz, timestamptz, interval) IS
    'which level is used for which part of a range: days in the middle, '
    '10 minutes on both sides of them, 10 seconds at both ends';

CREATE FUNCTION _flagscope.variant_states(flag text, since timestamptz, until timestamptz, widest interval,
    metric text, environment text)
RETURNS TABLE (metric text, variant text, bucket timestamptz, n bigint, events bigint, moments flagscope.moments,
    histogram flagscope.histogram, last_ts timestamptz)
-- The planner cannot know how narrow the ranges are and would scan whole levels (measured: 400 ms instead of 5 ms).
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
    WITH RECURSIVE edge AS MATERIALIZED (
        SELECT e.*, variant_states.environment AS environment FROM _flagscope.edges(since, until, widest) e
    ), series AS (
        -- The flag's series, with one index lookup for each: everything settled is in variant_history.
        (SELECT h.metric, h.variant FROM edge e, flagscope.variant_history h
         WHERE h.flag = variant_states.flag AND h.environment = e.environment
             AND h.metric >= coalesce(variant_states.metric, '')
         ORDER BY h.metric, h.variant LIMIT 1)
        UNION ALL
        SELECT n.* FROM edge e, series s, LATERAL (
            SELECT h.metric, h.variant FROM flagscope.variant_history h
            WHERE h.flag = variant_states.flag AND h.environment = e.environment
                AND (h.metric, h.variant) > (s.metric, s.variant)
            ORDER BY h.metric, h.variant LIMIT 1) n
        WHERE variant_states.metric IS NULL OR s.metric = variant_states.metric
    )
    SELECT s.metric, s.variant, x.bucket, x.n, x.events, x.moments, x.histogram, x.last_ts
    FROM edge e CROSS JOIN series s CROSS JOIN LATERAL (
        SELECT h.bucket, h.n, h.events, h.moments, h.histogram, h.last_ts FROM flagscope.variant_history h
        WHERE h.flag = variant_states.flag AND h.environment = e.environment AND h.metric = s.metric
            AND h.variant = s.variant AND h.bucket_width = interval '1 day' AND h.bucket >= e.day_lo
            AND h.bucket < e.day_hi
        UNION ALL
        SELECT h.bucket, h.n, h.events, h.moments, h.histogram, h.last_ts FROM flagscope.variant_history h
        WHERE h.flag = variant_states.flag AND h.environment = e.environment AND h.metric = s.metric
            AND h.variant = s.variant AND h.bucket_width = interval '10 minutes' AND h.bucket >= e.medium_lo
            AND h.bucket < least(e.day_lo, e.medium_hi)
        UNION ALL
        SELECT h.bucket, h.n, h.events, h.moments, h.histogram, h.last_ts FROM flagscope.variant_history h
        WHERE h.flag = variant_states.flag AND h.environment = e.environment AND h.metric = s.metric
            AND h.variant = s.variant AND h.bucket_width = interval '10 minutes' AND h.bucket >= e.day_hi
            AND h.bucket < e.medium_hi
        UNION ALL
        SELECT r.bucket, r.n, r.events, r.moments, r.histogram, r.last_ts FROM flagscope.variant_rollup r
        WHERE r.flag = variant_states.flag AND r.environment = e.environment AND r.metric = s.metric
            AND r.variant = s.variant AND r.settled AND r.bucket >= e.lo AND r.bucket < least(e.medium_lo, e.hi)
        UNION ALL
        SELECT r.bucket, r.n, r.events, r.moments, r.histogram, r.last_ts FROM flagscope.variant_rollup r
        WHERE r.flag = variant_states.flag AND r.environment = e.environment AND r.metric = s.metric
            AND r.variant = s.variant AND r.settled AND r.bucket >= e.medium_hi AND r.bucket < e.hi
    ) x
    WHERE variant_states.metric IS NULL OR s.metric = variant_states.metric
    UNION ALL
    SELECT r.metric, r.variant, r.bucket, r.n, r.events, r.moments, r.histogram, r.last_ts
    FROM edge e, flagscope.variant_rollup r
    WHERE NOT r.settled AND r.flag = variant_states.flag AND r.environment = e.environment AND r.bucket >= e.lo
        AND r.bucket < e.hi AND (variant_states.metric IS NULL OR r.metric = variant_states.metric)
    UNION ALL
    SELECT d.metric, d.variant, d.bucket, d.n, d.events, d.moments, d.histogram, d.last_ts
    FROM edge e, _flagscope.variant_delta d
    WHERE NOT d.rolled_up AND d.flag = variant_states.flag AND d.environment = e.environment AND d.bucket >= e.lo
        AND d.bucket < e.hi AND (variant_states.metric IS NULL OR d.metric = variant_states.metric);
$$;
COMMENT ON FUNCTION _flagscope.variant_states(text, timestamptz, timestamptz, interval, text, text) IS
    'variant_states() without checks: of an existing flag and metric (NULL: all), in an environment by key';

CREATE FUNCTION _flagscope.known_series(flag text, metric text, environment text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM _flagscope.require_flag(flag);
    IF metric IS NOT NULL THEN
        PERFORM _flagscope.require_metric(metric);
    END IF;
    RETURN _flagscope.environment(environment);
END $$;
COMMENT ON FUNCTION _flagscope.known_series(text, text, text) IS
    'key of the environment; raises unless environment, flag and metric (NULL: any) exist';

CREATE FUNCTION flagscope.variant_states(flag text, metric text DEFAULT NULL, environment text DEFAULT NULL,
    since timestamptz DEFAULT clock_timestamp() - interval '1 hour', until timestamptz DEFAULT clock_timestamp(),
    bucket_width interval DEFAULT '1 day')
RETURNS TABLE (metric text, variant text, ts timestamptz, n bigint, events bigint, moments flagscope.moments,
    histogram flagscope.histogram, last_ts timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT v.*
    FROM _flagscope.known_series(variant_states.flag, variant_states.metric, variant_states.environment) k(environment),
        LATERAL _flagscope.variant_states(variant_states.flag, since, until, variant_states.bucket_width,
            variant_states.metric, k.environment) v
$$;
COMMENT ON FUNCTION flagscope.variant_states(text, text, text, timestamptz, timestamptz, interval) IS
    'mergeable states of a flag''s metrics (NULL: all) over a range, containing every row of telemetry exactly once: '
    'from the widest buckets that fit (at most bucket_width: 10 seconds, 10 minutes or 1 day), or wider ones where '
    'finer ones were deleted; ts: start of the bucket';
