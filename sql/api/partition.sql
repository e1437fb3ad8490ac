-- Time partitions ("chunks") of telemetry and evaluation: made ahead, drained, dropped. Bounds are UTC and come from
-- the catalog, never from names. Partitions are not members of the extension. Partition DDL is the only SQL built
-- from strings; measured lock levels are in the design (ecosystem.md 5.3).

CREATE FUNCTION _flagscope.chunks(parent regclass)
RETURNS TABLE (chunk regclass, lower timestamptz, upper timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO'
AS $$
    SELECT c.oid::regclass, b.bounds[1]::timestamptz, b.bounds[2]::timestamptz
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid,
        LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM [(]''([^'']+)''[)] TO [(]''([^'']+)''[)]') b(bounds)
    WHERE i.inhparent = parent AND b.bounds IS NOT NULL;
$$;
COMMENT ON FUNCTION _flagscope.chunks(regclass) IS 'partitions with their bounds, without the one for stray rows';

CREATE VIEW flagscope.chunk AS
SELECT p.parent, c.chunk, c.lower, c.upper,
    CASE WHEN k.reltuples >= 0 THEN k.reltuples::bigint ELSE coalesce(pg_stat_get_live_tuples(c.chunk), 0) END AS rows_estimated,
    pg_total_relation_size(c.chunk) AS bytes, CASE WHEN c.upper <= now() THEN now() - c.upper END AS age
FROM (VALUES ('telemetry', 'flagscope.telemetry'::regclass), ('evaluation', 'flagscope.evaluation'::regclass)) p(parent, id),
    LATERAL _flagscope.chunks(p.id) c JOIN pg_class k ON k.oid = c.chunk
ORDER BY p.parent, c.lower;
COMMENT ON VIEW flagscope.chunk IS 'time partitions with range (UTC), estimated rows (of the last ANALYZE; before it, of the statistics), size with indexes, and how long they have been over';
COMMENT ON COLUMN flagscope.chunk.parent IS 'telemetry or evaluation';
COMMENT ON COLUMN flagscope.chunk.chunk IS 'the partition';
COMMENT ON COLUMN flagscope.chunk.lower IS 'first time that it takes';
COMMENT ON COLUMN flagscope.chunk.upper IS 'end of its times: the first one that it does not take';
COMMENT ON COLUMN flagscope.chunk.rows_estimated IS 'rows, of the last ANALYZE or of the statistics';
COMMENT ON COLUMN flagscope.chunk.bytes IS 'size with indexes';
COMMENT ON COLUMN flagscope.chunk.age IS 'how long it has been over; NULL: it is not';

CREATE FUNCTION _flagscope.free_range(parent regclass, wanted timestamptz, width interval,
    OUT lower timestamptz, OUT upper timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
    -- 2000-01-03 was a Monday: weeks begin on Mondays.
    WITH bin AS (SELECT date_bin(width, wanted, timestamptz '2000-01-03 00:00:00+00') AS lower)
    SELECT greatest(bin.lower, (SELECT max(c.upper) FROM _flagscope.chunks(parent) c WHERE c.upper <= wanted)),
           least(bin.lower + width, (SELECT min(c.lower) FROM _flagscope.chunks(parent) c WHERE c.lower > wanted))
    FROM bin WHERE NOT EXISTS (SELECT FROM _flagscope.chunks(parent) c WHERE wanted >= c.lower AND wanted < c.upper);
$$;
COMMENT ON FUNCTION _flagscope.free_range(regclass, timestamptz, interval) IS
    'range of the partition to make for a time, beside those that exist (whatever width they were made with); NULL: there is one';

CREATE FUNCTION _flagscope.free_name(wanted text, target_schema name) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT wanted || CASE WHEN n > 1 THEN '_' || n ELSE '' END FROM generate_series(1, 10000) n
    WHERE to_regclass(format('%I.%I', target_schema, wanted || CASE WHEN n > 1 THEN '_' || n ELSE '' END)) IS NULL ORDER BY n LIMIT 1;
$$;
COMMENT ON FUNCTION _flagscope.free_name(text, name) IS
    'a name that no table has: the wanted one, or with a number; a partition that somebody detached keeps its own';

CREATE FUNCTION _flagscope.create_chunk(parent text, ts_column text, lower timestamptz, upper timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' SET lock_timeout = '250ms'
AS $$
DECLARE
    name text := _flagscope.free_name(parent || '_p' || to_char(lower, CASE WHEN lower = date_trunc('day', lower) THEN 'YYYYMMDD'
        WHEN lower = date_trunc('minute', lower) THEN 'YYYYMMDD_HH24MI' ELSE 'YYYYMMDD_HH24MISSUS' END), name '_flagscope');
    within text := format('%I >= %L AND %I < %L', ts_column, lower, ts_column, upper);
    move text := format('WITH moved AS (DELETE FROM _flagscope.%I WHERE %s RETURNING *) INSERT INTO _flagscope.%I SELECT * FROM moved',
        parent || '_stray', within, name);
BEGIN
    -- Parent before children, everywhere: no deadlock with readers, who lock in that order. First as an INSERT does:
    -- writers go on while the stray rows of the range, of which there may be many, move.
    EXECUTE format('LOCK TABLE ONLY flagscope.%I IN ROW EXCLUSIVE MODE', parent);
    EXECUTE format('CREATE TABLE _flagscope.%I (LIKE _flagscope.%I INCLUDING ALL, CONSTRAINT chunk_range CHECK (%s))', name, parent || '_stray', within);
    -- LIKE does not copy it, and rows are updated and moved under any publication.
    EXECUTE format('ALTER TABLE _flagscope.%I REPLICA IDENTITY FULL', name);
    EXECUTE move;
    -- ATTACH alone would be content with less, but an INSERT that has chosen the stray partition meanwhile would then
    -- fail on its new bounds. With this lock no writer is under way, and the next ones see the new partition.
    EXECUTE format('LOCK TABLE ONLY flagscope.%I IN SHARE ROW EXCLUSIVE MODE', parent);
    EXECUTE format('LOCK TABLE _flagscope.%I IN ACCESS EXCLUSIVE MODE', parent || '_stray');
    EXECUTE move;
    EXECUTE format('ALTER TABLE flagscope.%I ATTACH PARTITION _flagscope.%I FOR VALUES FROM (%L) TO (%L)', parent, name, lower, upper);
    -- The partition bound says the same; checked twice, it would cost on every row.
    EXECUTE format('ALTER TABLE _flagscope.%I DROP CONSTRAINT chunk_range', name);
    IF parent = 'telemetry' THEN
        EXECUTE format('CREATE TRIGGER fold_telemetry AFTER INSERT ON _flagscope.%I REFERENCING NEW TABLE AS inserted
            FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.fold_telemetry()', name);
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.create_chunk(text, text, timestamptz, timestamptz) IS
    'makes and attaches one partition, with the stray rows that belong into it; the caller holds lock_rollups()';

CREATE FUNCTION _flagscope.chunk_interval(parent text, at timestamptz) RETURNS interval
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN s.value <> 'auto' THEN s.value::interval
        WHEN v.day_bytes <= limits.bytes THEN interval '1 day'
        WHEN v.day_bytes <= 4 * limits.bytes THEN interval '6 hours'
        ELSE interval '1 hour' END
    FROM (SELECT _flagscope.setting_text(parent || '.chunk_interval') AS value) s,
        (SELECT _flagscope.setting_number('telemetry.chunk_bytes') AS bytes) limits,
        LATERAL (SELECT coalesce(sum(pg_total_relation_size(c.chunk)) * 86400
                / nullif(sum(extract(epoch FROM least(c.upper, at) - c.lower)), 0), 0) AS day_bytes
            FROM _flagscope.chunks(('flagscope.' || parent)::regclass) c
            WHERE s.value = 'auto' AND c.lower < at - interval '10 minutes' AND c.upper > at - interval '2 days') v;
$$;
COMMENT ON FUNCTION _flagscope.chunk_interval(text, timestamptz) IS
    'width of the next partition: the setting, or for "auto" a day, 6 hours or an hour by the volume of the last two days';

CREATE FUNCTION _flagscope.wanted_times(parent text, ts_column text, at timestamptz) RETURNS SETOF timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    width interval := _flagscope.chunk_interval(parent, at);
    ahead integer := _flagscope.setting_number(parent || '.premake')::integer;
BEGIN
    IF parent NOT IN ('telemetry', 'evaluation') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('only telemetry and evaluation have partitions, got "%s"', parent);
    END IF;
    RETURN QUERY SELECT at + n * width FROM generate_series(0, ahead) n;
    -- Stray rows inside the kept range get their partition; a wrong clock (1970, 2100) gets none.
    RETURN QUERY EXECUTE format('SELECT min(%1$I) FROM _flagscope.%2$I WHERE %1$I >= $1 AND %1$I < $2
            GROUP BY date_bin($3, %1$I, ''2000-01-03 00:00:00+00'') ORDER BY 1 LIMIT 50', ts_column, parent || '_stray')
        USING at - _flagscope.setting_interval(parent || '.retention') + width, at + ahead * width, width;
END $$;
COMMENT ON FUNCTION _flagscope.wanted_times(text, text, timestamptz) IS 'times that want a partition: from now ahead, and of stray rows';

CREATE FUNCTION _flagscope.check_stray(parent text, ts_column text, lower timestamptz, upper timestamptz, most bigint) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO'
AS $$
DECLARE
    rows bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM (SELECT FROM _flagscope.%1$I WHERE %2$I >= $1 AND %2$I < $2 LIMIT $3) x', left(parent, 50) || '_stray', left(ts_column, 63))
        INTO rows USING lower, upper, most + 1;
    IF rows > most THEN
        RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
            MESSAGE = _flagscope.message('more than %s rows lie in %s_stray, and no tick is to wait until they have moved; SELECT flagscope.maintain() moves them', most, parent);
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.check_stray(text, text, timestamptz, timestamptz, bigint) IS
    'raises when a range has more stray rows than may be moved at once; unmoved they are read, counted and kept like all others';

CREATE FUNCTION _flagscope.premake(parent text, ts_column text, at timestamptz, most_rows bigint, OUT made integer, OUT problem text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Each takes about ten locks of the server's max_locks_per_transaction, to the end of the transaction.
    most constant integer := 10;
    wanted timestamptz;
    free record;
BEGIN
    made := 0;
    -- Nearly always all are there: one look at the catalog (one for each made maintenance of an idle database cost 20 ms).
    FOR wanted IN SELECT w FROM _flagscope.wanted_times(parent, ts_column, at) w WHERE NOT EXISTS (
        SELECT FROM _flagscope.chunks(('flagscope.' || parent)::regclass) c WHERE w >= c.lower AND w < c.upper)
    LOOP
        SELECT * INTO free FROM _flagscope.free_range(('flagscope.' || parent)::regclass, wanted,
            _flagscope.chunk_interval(parent, at));
        CONTINUE WHEN free.lower IS NULL OR free.lower >= free.upper;
        BEGIN
            IF most_rows IS NOT NULL THEN
                PERFORM _flagscope.check_stray(parent, ts_column, free.lower, free.upper, most_rows);
            END IF;
            PERFORM _flagscope.create_chunk(parent, ts_column, free.lower, free.upper);
            made := made + 1;
        EXCEPTION
            WHEN lock_not_available THEN
                problem := SQLERRM;  -- whoever has the lock would be waited for again
                EXIT;
            WHEN OTHERS THEN
                problem := format('from %s: %s', free.lower, SQLERRM);
        END;
        EXIT WHEN made >= most;
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.premake(text, text, timestamptz, bigint) IS
    'makes partitions that are wanted and missing, ten at most, each in a subtransaction of its own, and none for which more than so many stray rows would move (NULL: however many); returns how many, and why one could not be made';

CREATE FUNCTION _flagscope.release_chunk(parent text, chunk regclass, upper timestamptz, how text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept text := _flagscope.free_name('detached_' || (SELECT c.relname FROM pg_class c WHERE c.oid = chunk), name 'flagscope');
BEGIN
    EXECUTE format('LOCK TABLE ONLY flagscope.%I IN ACCESS EXCLUSIVE MODE', parent);
    IF how = 'drop' THEN
        EXECUTE format('DROP TABLE %s', chunk);
    ELSE
        EXECUTE format('ALTER TABLE flagscope.%I DETACH PARTITION %s', parent, chunk);
        IF parent = 'telemetry' THEN
            EXECUTE format('DROP TRIGGER fold_telemetry ON %s', chunk);
        END IF;
        -- It is a table of the user's from now on: first the name that is free there, then the place.
        EXECUTE format('ALTER TABLE %s RENAME TO %I', chunk, kept);
        EXECUTE format('ALTER TABLE _flagscope.%I SET SCHEMA flagscope', kept);
    END IF;
    PERFORM _flagscope.raise_horizon(parent, upper);
    RETURN kept;
END $$;
COMMENT ON FUNCTION _flagscope.release_chunk(text, regclass, timestamptz, text) IS
    'drops a partition, or detaches it and names it detached_..., which it returns; the lock on the parent lasts to the end of the transaction';

CREATE FUNCTION _flagscope.drop_expired(parent text, at timestamptz) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '250ms'
AS $$
DECLARE
    expired record;
BEGIN
    SELECT c.* INTO expired FROM _flagscope.chunks(('flagscope.' || parent)::regclass) c
    WHERE c.upper <= at - _flagscope.setting_interval(parent || '.retention') ORDER BY c.upper LIMIT 1;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    PERFORM _flagscope.release_chunk(parent, expired.chunk, expired.upper, _flagscope.setting_text(parent || '.expired'));
    RETURN 1;
END $$;
COMMENT ON FUNCTION _flagscope.drop_expired(text, timestamptz) IS
    'drops (or detaches) the oldest expired partition: one a call, since the lock on the parent lasts to the end of the transaction';
