-- Time partitions ("chunks") of telemetry and evaluation: made ahead, drained, dropped. Bounds are UTC and come from
-- the catalog, never from names. Partitions are not members of the extension. Partition DDL is the only SQL built
-- from strings; measured lock levels are in the design (ecosystem.md 5.3).

CREATE FUNCTION flagscope._chunks(parent regclass)
RETURNS TABLE (chunk regclass, lower timestamptz, upper timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO'
AS $$
    SELECT c.oid::regclass, b.bounds[1]::timestamptz, b.bounds[2]::timestamptz
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid,
        LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\) TO \(''([^'']+)''\)') b(bounds)
    WHERE i.inhparent = parent AND b.bounds IS NOT NULL;
$$;
COMMENT ON FUNCTION flagscope._chunks(regclass) IS 'partitions with their bounds, without the one for stray rows';

CREATE VIEW flagscope.chunk AS
SELECT p.parent, c.chunk, c.lower, c.upper, greatest(k.reltuples, 0)::bigint AS rows_estimated,
    pg_total_relation_size(c.chunk) AS bytes
FROM (VALUES ('telemetry', 'flagscope.telemetry'::regclass), ('evaluation', 'flagscope.evaluation'::regclass)) p(parent, id),
    LATERAL flagscope._chunks(p.id) c JOIN pg_class k ON k.oid = c.chunk
ORDER BY p.parent, c.lower;
COMMENT ON VIEW flagscope.chunk IS 'time partitions with range (UTC), estimated rows (as of the last ANALYZE) and size with indexes';

CREATE FUNCTION flagscope._free_range(parent regclass, wanted timestamptz, width interval,
    OUT lower timestamptz, OUT upper timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
    -- 2000-01-03 was a Monday: weeks begin on Mondays.
    WITH bin AS (SELECT date_bin(width, wanted, timestamptz '2000-01-03 00:00:00+00') AS lower)
    SELECT greatest(bin.lower, (SELECT max(c.upper) FROM flagscope._chunks(parent) c WHERE c.upper <= wanted)),
           least(bin.lower + width, (SELECT min(c.lower) FROM flagscope._chunks(parent) c WHERE c.lower > wanted))
    FROM bin WHERE NOT EXISTS (SELECT FROM flagscope._chunks(parent) c WHERE wanted >= c.lower AND wanted < c.upper);
$$;
COMMENT ON FUNCTION flagscope._free_range(regclass, timestamptz, interval) IS
    'range of the partition to make for a time, beside those that exist (whatever width they were made with); NULL: there is one';

CREATE FUNCTION flagscope._create_chunk(parent text, ts_column text, lower timestamptz, upper timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' SET lock_timeout = '250ms'
AS $$
DECLARE
    name text := parent || '_p' || to_char(lower, CASE WHEN lower = date_trunc('day', lower) THEN 'YYYYMMDD'
        WHEN lower = date_trunc('minute', lower) THEN 'YYYYMMDD_HH24MI' ELSE 'YYYYMMDD_HH24MISSUS' END);
    within text := format('%I >= %L AND %I < %L', ts_column, lower, ts_column, upper);
BEGIN
    -- Parent before children, everywhere: no deadlock with readers, who lock in that order.
    EXECUTE format('LOCK TABLE ONLY flagscope.%I IN SHARE UPDATE EXCLUSIVE MODE', parent);
    IF EXISTS (SELECT FROM flagscope._chunks(format('flagscope.%I', parent)::regclass) c
               WHERE c.lower < _create_chunk.upper AND c.upper > _create_chunk.lower) THEN
        RETURN;  -- another session made it while this one waited for the lock
    END IF;
    EXECUTE format('LOCK TABLE flagscope.%I IN ACCESS EXCLUSIVE MODE', parent || '_stray');
    EXECUTE format('CREATE TABLE flagscope.%I (LIKE flagscope.%I INCLUDING ALL, CONSTRAINT chunk_range CHECK (%s))', name, parent || '_stray', within);
    EXECUTE format('WITH moved AS (DELETE FROM flagscope.%I WHERE %s RETURNING *) INSERT INTO flagscope.%I SELECT * FROM moved',
        parent || '_stray', within, name);
    EXECUTE format('ALTER TABLE flagscope.%I ATTACH PARTITION flagscope.%I FOR VALUES FROM (%L) TO (%L)', parent, name, lower, upper);
    -- The partition bound says the same; checked twice, it would cost on every row.
    EXECUTE format('ALTER TABLE flagscope.%I DROP CONSTRAINT chunk_range', name);
    IF parent = 'telemetry' THEN
        EXECUTE format('CREATE TRIGGER fold_telemetry AFTER INSERT ON flagscope.%I REFERENCING NEW TABLE AS inserted
            FOR EACH STATEMENT EXECUTE FUNCTION flagscope._fold_telemetry()', name);
    END IF;
END $$;
COMMENT ON FUNCTION flagscope._create_chunk(text, text, timestamptz, timestamptz) IS
    'makes and attaches one partition, with the stray rows that belong into it';

CREATE FUNCTION flagscope._wanted_times(parent text, ts_column text, at timestamptz) RETURNS SETOF timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    width interval := flagscope._setting_interval(parent || '.chunk_interval');
    ahead integer := flagscope._setting_number(parent || '.premake')::integer;
BEGIN
    RETURN QUERY SELECT at + n * width FROM generate_series(0, ahead) n;
    -- Stray rows inside the kept range get their partition; a wrong clock (1970, 2100) gets none.
    RETURN QUERY EXECUTE format('SELECT min(%1$I) FROM flagscope.%2$I WHERE %1$I >= $1 AND %1$I < $2
            GROUP BY date_bin($3, %1$I, ''2000-01-03 00:00:00+00'') ORDER BY 1 LIMIT 50', ts_column, parent || '_stray')
        USING at - flagscope._setting_interval(parent || '.retention') + width, at + ahead * width, width;
END $$;
COMMENT ON FUNCTION flagscope._wanted_times(text, text, timestamptz) IS 'times that want a partition: from now ahead, and of stray rows';

CREATE FUNCTION flagscope._premake(parent text, ts_column text, at timestamptz) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wanted timestamptz;
    free record;
    made integer := 0;
BEGIN
    FOR wanted IN SELECT w FROM flagscope._wanted_times(parent, ts_column, at) w LOOP
        SELECT * INTO free FROM flagscope._free_range(('flagscope.' || parent)::regclass, wanted,
            flagscope._setting_interval(parent || '.chunk_interval'));
        IF free.lower < free.upper THEN
            PERFORM flagscope._create_chunk(parent, ts_column, free.lower, free.upper);
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION flagscope._premake(text, text, timestamptz) IS 'makes the partitions that are wanted and missing; returns how many';

CREATE FUNCTION flagscope._drop_expired(parent text, at timestamptz) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '250ms'
AS $$
DECLARE
    expired regclass := (SELECT c.chunk FROM flagscope._chunks(('flagscope.' || parent)::regclass) c
        WHERE c.upper <= at - flagscope._setting_interval(parent || '.retention') ORDER BY c.upper LIMIT 1);
BEGIN
    IF expired IS NULL THEN
        RETURN 0;
    END IF;
    EXECUTE format('LOCK TABLE ONLY flagscope.%I IN ACCESS EXCLUSIVE MODE', parent);
    EXECUTE format('DROP TABLE %s', expired);
    RETURN 1;
END $$;
COMMENT ON FUNCTION flagscope._drop_expired(text, timestamptz) IS
    'drops the oldest expired partition: one a call, since the lock on the parent lasts to the end of the transaction';

CREATE FUNCTION flagscope.maintain(at timestamptz DEFAULT clock_timestamp(), OUT made integer, OUT dropped integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
BEGIN
    made := flagscope._premake('telemetry', 'ts', at) + flagscope._premake('evaluation', 'at', at);
    DELETE FROM flagscope.variant_rollup v WHERE v.bucket < at - flagscope._setting_interval('rollup.retention');
    PERFORM flagscope._forget_ingest(at);
    DELETE FROM flagscope.outbox o WHERE o.delivered_at < at - flagscope._setting_interval('outbox.retention');
    dropped := flagscope._drop_expired('telemetry', at) + flagscope._drop_expired('evaluation', at);
END $$;
COMMENT ON FUNCTION flagscope.maintain(timestamptz) IS
    'partition maintenance: makes partitions ahead, moves stray rows, deletes what is past its retention, counted from at; tick() calls it once a minute';

CREATE FUNCTION flagscope._maintain_when_due(at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last timestamptz := (SELECT s.last_maintain_at FROM flagscope.tick_state s);
    problem text;
    started timestamptz := clock_timestamp();
BEGIN
    IF last <= at AND at < last + flagscope._setting_interval('maintenance.interval') THEN
        RETURN;
    END IF;
    BEGIN
        PERFORM flagscope.maintain(at);
    EXCEPTION WHEN OTHERS THEN
        problem := SQLERRM;  -- a lock not to be had in time, mostly: the next run tries again
    END;
    UPDATE flagscope.tick_state s SET last_maintain_at = at, maintain_error = problem,
        last_maintain_ms = 1000 * extract(epoch FROM clock_timestamp() - started);
END $$;
COMMENT ON FUNCTION flagscope._maintain_when_due(timestamptz) IS 'maintenance inside tick(), last, so that its locks are held shortly';
