-- Which metrics are rolled up, and since when completely. Earlier rows of a new metric are rolled up from raw rows.
--
-- The difficulty is a writer that does not know of the new metric yet: its rows are not rolled up when they are
-- written. Its transaction began before the metric's commit reached it, so once all transactions of that time have
-- ended (the barrier), a snapshot has for every row either its delta or the row alone,
-- and rebuilding under one snapshot counts each exactly once.

CREATE FUNCTION _flagscope.keep_watch() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_known boolean;
BEGIN
    IF TG_OP <> 'INSERT' AND NOT EXISTS (SELECT FROM flagscope.guardrail g
        WHERE g.flag = OLD.flag AND g.environment = OLD.environment AND g.metric = OLD.metric AND g.enabled) THEN
        DELETE FROM _flagscope.watch w
        WHERE w.flag = OLD.flag AND w.environment = OLD.environment AND w.metric = OLD.metric;
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.enabled
        AND (SELECT NOT _flagscope.is_polled(m) FROM flagscope.metric_definition m WHERE m.name = NEW.metric) THEN
        -- The update locks the row, so that no other session removes it meanwhile. Rows that nobody has counted yet,
        -- since they name no variant or all others do, are rolled up like those of a new metric.
        is_known := EXISTS (SELECT FROM flagscope.guardrail g WHERE g.flag = NEW.flag
            AND g.environment = NEW.environment AND g.metric = NEW.metric AND g.enabled AND g.scope = NEW.scope
            AND g.id <> NEW.id) OR (TG_OP = 'UPDATE' AND OLD.enabled AND (OLD.flag, OLD.environment, OLD.metric,
            OLD.scope) = (NEW.flag, NEW.environment, NEW.metric, NEW.scope));
        INSERT INTO _flagscope.watch AS w (flag, environment, metric) VALUES (NEW.flag, NEW.environment, NEW.metric)
        ON CONFLICT (flag, environment, metric) DO UPDATE SET flag = w.flag,
            requested_by = CASE WHEN is_known THEN w.requested_by ELSE pg_current_xact_id() END,
            barrier = CASE WHEN is_known THEN w.barrier END, target = CASE WHEN is_known THEN w.target END,
            since = CASE WHEN is_known THEN w.since END, reached = CASE WHEN is_known THEN w.reached END;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.keep_watch() IS
    'trigger: keeps in watch the metrics of telemetry that enabled guardrails read, except those counted by ticks, '
    'whose rollups cannot be rebuilt from raw rows';
CREATE TRIGGER keep_watch AFTER INSERT OR UPDATE OR DELETE ON flagscope.guardrail
    FOR EACH ROW EXECUTE FUNCTION _flagscope.keep_watch();

CREATE FUNCTION _flagscope.renew_watch() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE _flagscope.watch w
    SET requested_by = pg_current_xact_id(), barrier = NULL, target = NULL, since = NULL, reached = NULL
    WHERE CASE TG_TABLE_NAME WHEN 'flag_definition' THEN w.flag = to_jsonb(NEW) ->> 'key'
        WHEN 'environment_definition' THEN w.environment = to_jsonb(NEW) ->> 'key'
        ELSE w.flag = to_jsonb(NEW) ->> 'flag' AND w.environment = to_jsonb(NEW) ->> 'environment' END;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.renew_watch() IS
    'trigger: stored rows that count from now on, of a new variant or under a new alias, '
    'are rolled up like those of a new metric';
CREATE TRIGGER renew_watch AFTER UPDATE ON flagscope.flag_definition
    FOR EACH ROW WHEN (NEW.variants IS DISTINCT FROM OLD.variants) EXECUTE FUNCTION _flagscope.renew_watch();
CREATE TRIGGER renew_watch AFTER UPDATE ON flagscope.flag_state
    FOR EACH ROW WHEN (NEW.variants IS DISTINCT FROM OLD.variants) EXECUTE FUNCTION _flagscope.renew_watch();
CREATE TRIGGER renew_watch AFTER UPDATE ON flagscope.environment_definition
    FOR EACH ROW WHEN (NEW.aliases IS DISTINCT FROM OLD.aliases) EXECUTE FUNCTION _flagscope.renew_watch();

CREATE FUNCTION _flagscope.raise_barrier(at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A transaction that is visible as committed sends its invalidations a moment later, but before it releases its
    -- locks: once this lock is granted, all writers that begin from now on know the metric.
    LOCK TABLE _flagscope.watch IN SHARE ROW EXCLUSIVE MODE NOWAIT;
    UPDATE _flagscope.watch w SET barrier = pg_snapshot_xmax(pg_current_snapshot()),
        target = _flagscope.floor(interval '10 minutes',
            greatest(at - _flagscope.setting_interval('rollup.backfill'), _flagscope.kept_since('telemetry')))
    WHERE w.barrier IS NULL AND w.requested_by <> pg_current_xact_id();
EXCEPTION WHEN lock_not_available THEN
    NULL;  -- guardrails are being changed: the next run tries again
END $$;
COMMENT ON FUNCTION _flagscope.raise_barrier(timestamptz) IS
    'fixes which transactions the backfill of new watches waits for';

CREATE FUNCTION _flagscope.next_step(step interval, took interval, watches integer) RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- Aims at slices of about 50 ms, changing by a factor of at most four at once; in whole buckets. And half a millisecond
-- for each watch, which it takes whatever it reads: 1,000 of them over empty tables were done in slices of ten
-- seconds, in 97 s.
RETURN least(interval '10 minutes', greatest(interval '10 seconds',
    interval '10 seconds'
        * round(extract(epoch FROM step) / 10
            * least(4, greatest(0.25, (0.05 + 0.0005 * watches) / greatest(extract(epoch FROM took), 1e-6))))));
COMMENT ON FUNCTION _flagscope.next_step(interval, interval, integer) IS
    'how much time the next slice of a backfill of so many watches covers, given how long the last one took: the '
    'number of rows in a minute differs by installation';

CREATE FUNCTION _flagscope.backfill_slice(watches jsonb, since timestamptz, reached timestamptz,
    step interval, at timestamptz)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    started timestamptz := clock_timestamp();
    -- Newest first, because that is what people look at.
    lowest timestamptz := _flagscope.floor(interval '10 minutes', coalesce(reached, since - interval '10 minutes', at));
    upper timestamptz := coalesce(reached, since, 'infinity');
    lower timestamptz := greatest(lowest, least(upper, _flagscope.ceiling(interval '10 seconds', at)) - step);
BEGIN
    PERFORM _flagscope.rebuild_fine(lower, upper, watches);
    IF lower = lowest THEN
        PERFORM _flagscope.rebuild_medium(lowest, coalesce(since, 'infinity'), watches);
        PERFORM _flagscope.rebuild_days(lowest, coalesce(since, 'infinity'), watches);
    END IF;
    UPDATE _flagscope.watch w SET since = CASE WHEN lower = lowest THEN lowest ELSE w.since END,
        reached = CASE WHEN lower > lowest THEN lower END,
        step = _flagscope.next_step(w.step, clock_timestamp() - started, jsonb_array_length(watches))
    FROM _flagscope.keys(watches) k WHERE (w.flag, w.environment, w.metric) = (k.flag, k.environment, k.metric);
END $$;
COMMENT ON FUNCTION _flagscope.backfill_slice(jsonb, timestamptz, timestamptz, interval, timestamptz) IS
    'rolls up one slice of the ten minutes before since, and after their last slice the 10-minute bucket';

CREATE FUNCTION _flagscope.backfill(at timestamptz, until timestamptz) RETURNS boolean
LANGUAGE plpgsql STRICT SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    work record;
BEGIN
    IF EXISTS (SELECT FROM _flagscope.watch w WHERE w.barrier IS NULL) THEN
        PERFORM _flagscope.raise_barrier(at);
    END IF;
    LOOP
        SELECT w.since, w.reached, min(w.step) AS step,
        jsonb_agg(jsonb_build_object('flag', w.flag, 'environment', w.environment, 'metric', w.metric)) AS watches
        INTO work FROM _flagscope.watch w
        WHERE w.barrier <= pg_snapshot_xmin(pg_current_snapshot()) AND (w.since IS NULL OR w.since > w.target)
        GROUP BY w.since, w.reached, w.target ORDER BY w.since NULLS FIRST, w.reached LIMIT 1;
        EXIT WHEN NOT FOUND;
        PERFORM _flagscope.backfill_slice(work.watches, work.since, work.reached, work.step, at);
        IF clock_timestamp() > until THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END $$;
COMMENT ON FUNCTION _flagscope.backfill(timestamptz, timestamptz) IS
    'rolls up earlier raw rows of new metrics in slices until a time, at least one slice; '
    'returns whether more may be left';
