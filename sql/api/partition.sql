-- Time partitions ("chunks") of telemetry and evaluation: creating them ahead of time, moving stray rows into them,
-- dropping them. Bounds are UTC and come from the catalog, never from names. Partitions are not members of the
-- extension. Partition DDL is the only SQL built from strings. Locks (measured on PostgreSQL 16 and 18): CREATE TABLE
-- ... PARTITION OF and DETACH take ACCESS EXCLUSIVE on the parent; ATTACH of a table with a matching CHECK takes SHARE
-- UPDATE EXCLUSIVE there, and ACCESS EXCLUSIVE on the partition of stray rows.

CREATE FUNCTION _flagscope.chunks(parent regclass)
RETURNS TABLE (chunk regclass, lower timestamptz, upper timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO'
AS $$
    SELECT c.oid::regclass, b.bounds[1]::timestamptz, b.bounds[2]::timestamptz
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid,
        LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid),
            'FROM [(]''([^'']+)''[)] TO [(]''([^'']+)''[)]') b(bounds)
    WHERE i.inhparent = parent AND b.bounds IS NOT NULL;
$$;
COMMENT ON FUNCTION _flagscope.chunks(regclass) IS 'partitions with their bounds, except the one for stray rows';

CREATE FUNCTION _flagscope.frozen_chunks()
RETURNS TABLE (chunk regclass, lower timestamptz, upper timestamptz, segments regclass, rows bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.chunk, c.lower, c.upper, to_regclass(format('_flagscope.%I', o.segments)), o.rows
    FROM _flagscope.chunks('flagscope.telemetry'::regclass) c JOIN pg_foreign_table f ON f.ftrelid = c.chunk,
        LATERAL (SELECT max(x.option_value) FILTER (WHERE x.option_name = 'segments') AS segments,
            max(x.option_value) FILTER (WHERE x.option_name = 'rows')::bigint AS rows
            FROM pg_options_to_table(f.ftoptions) x) o;
$$;
COMMENT ON FUNCTION _flagscope.frozen_chunks() IS 'frozen chunks with the tables of their segments';

CREATE VIEW flagscope.chunk AS
SELECT p.parent, c.chunk, c.lower, c.upper,
    CASE WHEN f.chunk IS NOT NULL THEN f.rows WHEN k.reltuples >= 0 THEN k.reltuples::bigint
        ELSE coalesce(pg_stat_get_live_tuples(c.chunk), 0) END AS rows_estimated,
    pg_total_relation_size(coalesce(f.segments, c.chunk)) AS bytes,
    CASE WHEN c.upper <= now() THEN now() - c.upper END AS age, f.chunk IS NOT NULL AS is_frozen
FROM (VALUES ('telemetry', 'flagscope.telemetry'::regclass),
    ('evaluation', 'flagscope.evaluation'::regclass)) p(parent, id),
    LATERAL _flagscope.chunks(p.id) c JOIN pg_class k ON k.oid = c.chunk
    LEFT JOIN _flagscope.frozen_chunks() f ON f.chunk = c.chunk
ORDER BY p.parent, c.lower;
COMMENT ON VIEW flagscope.chunk IS
    'time partitions with range (UTC), estimated number of rows (from the last ANALYZE or the statistics), '
    'size with indexes, and time since their end';
COMMENT ON COLUMN flagscope.chunk.parent IS 'telemetry or evaluation';
COMMENT ON COLUMN flagscope.chunk.chunk IS 'the partition';
COMMENT ON COLUMN flagscope.chunk.lower IS 'first time that it takes';
COMMENT ON COLUMN flagscope.chunk.upper IS 'end of its times: the first one that it does not take';
COMMENT ON COLUMN flagscope.chunk.rows_estimated IS
    'rows, of the last ANALYZE or of the statistics; of a frozen chunk those that were frozen';
COMMENT ON COLUMN flagscope.chunk.bytes IS 'size with indexes; of a frozen chunk that of its segments';
COMMENT ON COLUMN flagscope.chunk.age IS 'how long it has been over; NULL: it is not';
COMMENT ON COLUMN flagscope.chunk.is_frozen IS 'is it kept as Parquet files (freeze_chunk)';

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
    'range of the partition to create for a time, not overlapping existing ones of any width; '
    'NULL: there is one already';

CREATE FUNCTION _flagscope.free_name(wanted text, target_schema name) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT wanted || CASE WHEN n > 1 THEN '_' || n ELSE '' END FROM generate_series(1, 10000) n
    WHERE to_regclass(format('%I.%I', target_schema, wanted || CASE WHEN n > 1 THEN '_' || n ELSE '' END)) IS NULL
    ORDER BY n LIMIT 1;
$$;
COMMENT ON FUNCTION _flagscope.free_name(text, name) IS
    'an unused table name: the wanted one, or that with a number';

CREATE FUNCTION _flagscope.make_chunk(parent text, ts_column text, name name, lower timestamptz, upper timestamptz)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO'
AS $$
BEGIN
    EXECUTE format('CREATE TABLE _flagscope.%I (LIKE _flagscope.%I INCLUDING ALL, CONSTRAINT chunk_range CHECK (%s))',
        name, parent || '_stray', format('%I >= %L AND %I < %L', ts_column, lower, ts_column, upper));
    -- LIKE does not copy the replica identity, which updates and moves of rows need if the table is published.
    EXECUTE format('ALTER TABLE _flagscope.%I REPLICA IDENTITY FULL', name);
END $$;
COMMENT ON FUNCTION _flagscope.make_chunk(text, text, name, timestamptz, timestamptz) IS
    'creates the table of a partition, to be filled and attached';

CREATE FUNCTION _flagscope.attach_chunk(parent text, name name, lower timestamptz, upper timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO'
AS $$
BEGIN
    EXECUTE format('ALTER TABLE flagscope.%I ATTACH PARTITION _flagscope.%I FOR VALUES FROM (%L) TO (%L)', parent,
        name, lower, upper);
    -- The partition bound checks the same; the constraint would cost time on every row.
    EXECUTE format('ALTER TABLE _flagscope.%I DROP CONSTRAINT chunk_range', name);
    IF parent = 'telemetry' THEN
        EXECUTE format('CREATE TRIGGER fold_telemetry AFTER INSERT ON _flagscope.%I REFERENCING NEW TABLE AS inserted
            FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.fold_telemetry()', name);
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.attach_chunk(text, name, timestamptz, timestamptz) IS
    'makes a table that make_chunk() created a partition';

CREATE FUNCTION _flagscope.create_chunk(parent text, ts_column text, lower timestamptz, upper timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO'
    SET lock_timeout = '250ms'
AS $$
DECLARE
    name text := _flagscope.free_name(parent || '_p'
        || to_char(lower, CASE WHEN lower = date_trunc('day', lower) THEN 'YYYYMMDD'
            WHEN lower = date_trunc('minute', lower) THEN 'YYYYMMDD_HH24MI' ELSE 'YYYYMMDD_HH24MISSUS' END),
        name '_flagscope');
    move text := format('WITH moved AS (DELETE FROM _flagscope.%I WHERE %I >= %L AND %I < %L RETURNING *) '
        'INSERT INTO _flagscope.%I SELECT * FROM moved', parent || '_stray', ts_column, lower, ts_column, upper, name);
BEGIN
    -- Parents are always locked before children, the order in which readers lock: no deadlocks. At first with the lock
    -- of an INSERT, so that writers continue while the stray rows of the range, possibly many, are moved.
    EXECUTE format('LOCK TABLE ONLY flagscope.%I IN ROW EXCLUSIVE MODE', parent);
    PERFORM _flagscope.make_chunk(parent, ts_column, name::name, lower, upper);
    EXECUTE move;
    -- ATTACH itself needs a weaker lock, but a concurrent INSERT that has already chosen the stray partition would then
    -- fail on its new bounds. With this lock there is no concurrent writer, and later ones see the new partition.
    EXECUTE format('LOCK TABLE ONLY flagscope.%I IN SHARE ROW EXCLUSIVE MODE', parent);
    EXECUTE format('LOCK TABLE _flagscope.%I IN ACCESS EXCLUSIVE MODE', parent || '_stray');
    EXECUTE move;
    PERFORM _flagscope.attach_chunk(parent, name::name, lower, upper);
END $$;
COMMENT ON FUNCTION _flagscope.create_chunk(text, text, timestamptz, timestamptz) IS
    'creates and attaches one partition with the stray rows that belong to it; the caller holds lock_rollups()';

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
    'width of the next partition: the setting, or for "auto" a day, '
    '6 hours or an hour depending on the volume of the last two days';

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
    -- Stray rows within the retention get a partition; those of a wrong clock (1970, 2100) do not.
    RETURN QUERY EXECUTE format('SELECT min(%1$I) FROM _flagscope.%2$I WHERE %1$I >= $1 AND %1$I < $2
            GROUP BY date_bin($3, %1$I, ''2000-01-03 00:00:00+00'') ORDER BY 1 LIMIT 50', ts_column, parent || '_stray')
        USING at - _flagscope.setting_interval(parent || '.retention') + width, at + ahead * width, width;
END $$;
COMMENT ON FUNCTION _flagscope.wanted_times(text, text, timestamptz) IS
    'times that need a partition: ahead of now, and those of stray rows';

CREATE FUNCTION _flagscope.check_stray(parent text, ts_column text, lower timestamptz, upper timestamptz, most bigint)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO'
AS $$
DECLARE
    rows bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM (SELECT FROM _flagscope.%1$I WHERE %2$I >= $1 AND %2$I < $2 LIMIT $3) x',
            left(parent, 50) || '_stray', left(ts_column, 63))
        INTO rows USING lower, upper, most + 1;
    IF rows > most THEN
        RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
            MESSAGE = _flagscope.message('more than %s rows in %s_stray would have to move, too many for a tick; '
                'SELECT flagscope.maintain() moves them',
                most, parent);
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.check_stray(text, text, timestamptz, timestamptz, bigint) IS
    'raises if a range has more stray rows than may be moved at once; until they are moved, '
    'they are read and counted like all others';

CREATE FUNCTION _flagscope.premake(parent text, ts_column text, at timestamptz, most_rows bigint,
    OUT made integer, OUT problem text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Each partition takes about ten locks (server setting max_locks_per_transaction) until the end of the transaction.
    most constant integer := 10;
    wanted timestamptz;
    free record;
BEGIN
    made := 0;
    -- Nearly always all are there:
    -- one look at the catalog (one for each made maintenance of an idle database cost 20 ms).
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
                problem := SQLERRM;  -- the next partition would wait for the same lock
                EXIT;
            WHEN OTHERS THEN
                problem := format('from %s: %s', free.lower, SQLERRM);
        END;
        EXIT WHEN made >= most;
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.premake(text, text, timestamptz, bigint) IS
    'creates missing partitions, at most ten, each in a subtransaction of its own, and none for which more than the '
    'given number of stray rows would move (NULL: no limit); returns their number, and why one could not be created';

CREATE FUNCTION _flagscope.release_chunk(parent text, chunk regclass, upper timestamptz, how text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept text := _flagscope.free_name('detached_' || (SELECT c.relname FROM pg_class c WHERE c.oid = chunk),
        name 'flagscope');
    frozen record;
BEGIN
    EXECUTE format('LOCK TABLE ONLY flagscope.%I IN ACCESS EXCLUSIVE MODE', parent);
    SELECT * INTO frozen FROM _flagscope.frozen_chunks() f WHERE f.chunk = release_chunk.chunk;
    IF frozen.chunk IS NOT NULL THEN
        PERFORM _flagscope.release_frozen(frozen, kept, how);
    ELSIF how = 'drop' THEN
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
    PERFORM _flagscope.note_removal(parent, upper);
    RETURN kept;
END $$;
COMMENT ON FUNCTION _flagscope.release_chunk(text, regclass, timestamptz, text) IS
    'drops a partition, or detaches it, renames it to detached_... and returns that name; the lock on the parent lasts '
    'until the end of the transaction';

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
    PERFORM _flagscope.release_chunk(parent, expired.chunk, expired.upper,
        _flagscope.setting_text(parent || '.expired'));
    RETURN 1;
END $$;
COMMENT ON FUNCTION _flagscope.drop_expired(text, timestamptz) IS
    'drops or detaches the oldest expired partition; one a call, because the lock on the '
    'parent lasts until the end of the transaction';
