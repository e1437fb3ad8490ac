-- Freezing and thawing chunks of telemetry. A chunk is swapped for its segments in one transaction: a crash at any
-- point leaves either. Writers to the chunk wait meanwhile, readers only for the swap, which takes milliseconds; if
-- they do not leave in time, freezing gives way. DDL of partitions is built from strings, as in partition.sql.

COMMENT ON FUNCTION _flagscope.make_segments(oid, timestamptz, timestamptz) IS
    'the rows of a table in a range of time as segments: number of rows, first and last time, filters of traces and '
    'subjects, checksums of all that and of the file, and the file itself, in Parquet; each is read back and compared '
    'with its rows, bit by bit, before it is given';

CREATE FUNCTION _flagscope.frozen_overlap(since timestamptz, until timestamptz) RETURNS oid[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Asked for every batch of rows without flags: where nothing is frozen, one look at an index is all.
    IF NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = '_flagscope.frozen_segment'::regclass) THEN
        RETURN NULL;
    END IF;
    RETURN (SELECT array_agg(c.chunk::oid) FROM _flagscope.frozen_chunks() c
        WHERE c.lower <= until AND c.upper > since);
END $$;
COMMENT ON FUNCTION _flagscope.frozen_overlap(timestamptz, timestamptz) IS
    'frozen chunks with times of a range; NULL: there are none';

CREATE FUNCTION _flagscope.known_chunk(wanted regclass, OUT lower timestamptz, OUT upper timestamptz,
    OUT segments regclass, OUT name name)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT c.lower, c.upper, f.segments, k.relname INTO known_chunk.lower, known_chunk.upper, known_chunk.segments,
        known_chunk.name
    FROM _flagscope.chunks('flagscope.telemetry'::regclass) c JOIN pg_class k ON k.oid = c.chunk
        LEFT JOIN _flagscope.frozen_chunks() f ON f.chunk = c.chunk
    WHERE c.chunk = wanted;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = _flagscope.message('"%s" is not a chunk of telemetry', coalesce(wanted::text, 'NULL')),
            HINT = 'SELECT chunk, lower, upper FROM flagscope.chunk WHERE parent = ''telemetry'' lists them.';
    END IF;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION USING ERRCODE = 'active_sql_transaction',
            MESSAGE = 'chunks cannot be frozen or thawed in a transaction that sees the database as it was at its '
                'start',
            HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED, or call it outside of a transaction.';
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.known_chunk(regclass) IS
    'range, table of segments (NULL: it is not frozen) and name of a chunk that is to be frozen or thawed; raises if '
    'it is none, or if the transaction''s snapshot may be older than a row of it';

CREATE FUNCTION _flagscope.create_segments(name name, lower timestamptz, upper timestamptz) RETURNS regclass
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO'
AS $$
DECLARE
    segments name := _flagscope.free_name(left(name, 50) || '_segments', name '_flagscope');
BEGIN
    EXECUTE format('CREATE TABLE _flagscope.%I PARTITION OF _flagscope.frozen_segment
        FOR VALUES FROM (%L) TO (%L)', segments, lower, upper);
    -- Compressed already.
    EXECUTE format('ALTER TABLE _flagscope.%I ALTER COLUMN parquet SET STORAGE EXTERNAL,
        ALTER COLUMN traces SET STORAGE EXTERNAL, ALTER COLUMN subjects SET STORAGE EXTERNAL', segments);
    EXECUTE format('ALTER TABLE _flagscope.%I REPLICA IDENTITY FULL', segments);
    EXECUTE format('COMMENT ON TABLE _flagscope.%I IS %L', segments, 'segments of a frozen chunk');
    RETURN format('_flagscope.%I', segments)::regclass;
END $$;
COMMENT ON FUNCTION _flagscope.create_segments(name, timestamptz, timestamptz) IS
    'creates the table of a chunk''s segments';

CREATE FUNCTION _flagscope.add_segments(segments regclass, rows_of regclass, since timestamptz, until timestamptz,
    OUT rows bigint, OUT made integer)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('WITH added AS (INSERT INTO %1$s SELECT s.number + (SELECT coalesce(max(x.number), 0) FROM %1$s x),
            s.rows, s.first_ts, s.last_ts, s.traces, s.subjects, s.seal, s.parquet
        FROM _flagscope.make_segments($1, $2, $3) s RETURNING rows) SELECT coalesce(sum(a.rows), 0), count(*)
            FROM added a',
        segments) INTO rows, made USING rows_of::oid, since, until;
END $$;
COMMENT ON FUNCTION _flagscope.add_segments(regclass, regclass, timestamptz, timestamptz) IS
    'writes the rows of a table in a range of time as further segments; returns the number of rows and of segments';

CREATE FUNCTION _flagscope.take_telemetry(chunk regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '250ms'
AS $$
DECLARE
    tries constant integer := 12;
BEGIN
    -- Whoever waits for this lock holds up all who come later: better often and briefly than once for long.
    FOR i IN 1..tries LOOP
        BEGIN
            LOCK TABLE ONLY flagscope.telemetry IN ACCESS EXCLUSIVE MODE;
            -- LOCK TABLE takes no foreign table; to give it to its owner changes nothing and locks it as strongly.
            EXECUTE format(CASE WHEN EXISTS (SELECT FROM pg_foreign_table f WHERE f.ftrelid = chunk)
                THEN 'ALTER FOREIGN TABLE %s OWNER TO CURRENT_USER' ELSE 'LOCK TABLE %s IN ACCESS EXCLUSIVE MODE' END,
                chunk);
            LOCK TABLE _flagscope.telemetry_stray IN ACCESS EXCLUSIVE MODE;
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            IF i = tries THEN
                RAISE EXCEPTION USING ERRCODE = 'lock_not_available',
                    MESSAGE = _flagscope.message('chunk %s stays as it is: other sessions have been using telemetry '
                        'for longer than lock_timeout', chunk),
                    HINT = 'Nothing was changed. Try again when long queries and transactions have ended: SELECT pid, '
                        'query FROM pg_stat_activity WHERE pid IN (SELECT pid FROM pg_locks '
                        'WHERE relation = ''flagscope.telemetry''::regclass).';
            END IF;
            PERFORM pg_sleep(0.25);
        END;
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.take_telemetry(regclass) IS
    'locks telemetry and a chunk for a swap, trying for six seconds, 250 ms at a time; else raises lock_not_available';

CREATE FUNCTION _flagscope.probe_telemetry(chunk regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM _flagscope.take_telemetry(chunk);
    RAISE EXCEPTION USING ERRCODE = 'raise_exception', MESSAGE = 'the locks are given back';
EXCEPTION WHEN raise_exception THEN
    RETURN;
END $$;
COMMENT ON FUNCTION _flagscope.probe_telemetry(regclass) IS
    'raises at once what the swap of a chunk would raise after all the work: that somebody reads for long';

CREATE FUNCTION flagscope.freeze_chunk(chunk regclass, OUT rows bigint, OUT segments integer, OUT bytes_before bigint,
    OUT bytes bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO'
    SET lock_timeout = '2s'
AS $$
DECLARE
    it record := _flagscope.known_chunk(chunk);
    stored bigint;
    kept regclass;
BEGIN
    IF it.segments IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('chunk %s is frozen already', chunk),
            HINT = 'SELECT * FROM flagscope.frozen_segments() lists its files; thaw_chunk() makes it a table again.';
    ELSIF it.upper > clock_timestamp() THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('chunk %s is not over: it takes rows until %s', chunk, it.upper),
            HINT = 'Freeze chunks to which hardly a row is added any more.';
    END IF;
    -- One at a time: two would wait for each other's lock on telemetry.
    LOCK TABLE _flagscope.telemetry_late IN SHARE UPDATE EXCLUSIVE MODE;
    PERFORM _flagscope.probe_telemetry(chunk);
    LOCK TABLE ONLY flagscope.telemetry IN ACCESS SHARE MODE;  -- the parent first, as readers do
    EXECUTE format('LOCK TABLE %s IN EXCLUSIVE MODE', chunk);
    bytes_before := pg_total_relation_size(chunk);
    kept := _flagscope.create_segments(it.name, it.lower, it.upper);
    SELECT a.rows, a.made INTO rows, segments FROM _flagscope.add_segments(kept, chunk, timestamptz '-infinity',
        timestamptz 'infinity') a;
    EXECUTE format('SELECT count(*) FROM ONLY %s', chunk) INTO stored;
    IF stored <> rows THEN
        RAISE EXCEPTION USING ERRCODE = 'data_corrupted',
            MESSAGE = _flagscope.message('%s of %s rows of chunk %s are in its segments', rows, stored, chunk);
    END IF;
    PERFORM _flagscope.take_telemetry(chunk);
    EXECUTE format('DROP TABLE %s', chunk);
    EXECUTE format('CREATE FOREIGN TABLE _flagscope.%I PARTITION OF flagscope.telemetry FOR VALUES FROM (%L) TO (%L)
        SERVER flagscope_frozen OPTIONS (segments %L, rows %L, lower %L, upper %L)', it.name, it.lower, it.upper,
        (SELECT k.relname FROM pg_class k WHERE k.oid = kept), rows, (extract(epoch FROM it.lower) * 1000000)::bigint,
        (extract(epoch FROM it.upper) * 1000000)::bigint);
    bytes := pg_total_relation_size(kept);
    -- What kept one of them from being frozen may be over.
    UPDATE _flagscope.freezing f SET problem = NULL WHERE f.problem IS NOT NULL;
END $$;
COMMENT ON FUNCTION flagscope.freeze_chunk(regclass) IS
    'replaces a partition of telemetry that is over by its rows as Parquet files in a table of its own, a '
    'fraction of the size; queries read them as before. Its rows cannot be changed any more, new ones are kept beside '
    'them. Fails after a few seconds if readers block it; returns rows, segments, and bytes with indexes before and '
    'after';

CREATE FUNCTION flagscope.thaw_chunk(chunk regclass) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO'
    SET lock_timeout = '2s'
AS $$
DECLARE
    it record := _flagscope.known_chunk(chunk);
    columns text := (SELECT string_agg(format('%I', a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = 'flagscope.telemetry'::regclass AND a.attnum > 0 AND NOT a.attisdropped);
    thawed name := _flagscope.free_name(left(it.name, 50) || '_thawed', name '_flagscope');
    frozen bigint;
    late bigint;
    stored bigint;
BEGIN
    IF it.segments IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('chunk %s is not frozen', chunk),
            HINT = 'SELECT chunk FROM flagscope.chunk WHERE is_frozen lists those that are.';
    END IF;
    -- Late rows wait meanwhile; the parent comes first, as writers lock.
    LOCK TABLE ONLY flagscope.telemetry IN ACCESS SHARE MODE;
    LOCK TABLE _flagscope.telemetry_late IN EXCLUSIVE MODE;
    PERFORM _flagscope.probe_telemetry(chunk);
    PERFORM _flagscope.make_chunk('telemetry'::text, 'ts'::text, thawed, it.lower, it.upper);
    EXECUTE format('INSERT INTO _flagscope.%1$I (%2$s) SELECT %2$s FROM %3$s', thawed, columns, chunk);
    GET DIAGNOSTICS stored = ROW_COUNT;
    EXECUTE format('SELECT coalesce(sum(s.rows), 0) FROM %s s', it.segments) INTO frozen;
    DELETE FROM _flagscope.telemetry_late t WHERE t.ts >= it.lower AND t.ts < it.upper;
    GET DIAGNOSTICS late = ROW_COUNT;
    IF stored <> frozen + late THEN
        RAISE EXCEPTION USING ERRCODE = 'data_corrupted',
            MESSAGE = _flagscope.message('%s rows were read of chunk %s, which has %s', stored, chunk, frozen + late);
    END IF;
    PERFORM _flagscope.take_telemetry(chunk);
    EXECUTE format('DROP FOREIGN TABLE %s', chunk);
    EXECUTE format('DROP TABLE %s', it.segments);
    EXECUTE format('ALTER TABLE _flagscope.%I RENAME TO %I', thawed, it.name);
    PERFORM _flagscope.attach_chunk('telemetry'::text, it.name, it.lower, it.upper);
    RETURN stored;
END $$;
COMMENT ON FUNCTION flagscope.thaw_chunk(regclass) IS
    'makes a frozen chunk an ordinary partition again, with every row as it was; returns the number of rows';

CREATE FUNCTION _flagscope.freeze_late(most integer) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c record;
    done integer := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM _flagscope.telemetry_late) THEN
        RETURN 0;
    END IF;
    LOCK TABLE _flagscope.telemetry_late IN EXCLUSIVE MODE;
    FOR c IN SELECT f.* FROM _flagscope.frozen_chunks() f
        WHERE EXISTS (SELECT FROM _flagscope.telemetry_late t WHERE t.ts >= f.lower AND t.ts < f.upper)
        ORDER BY f.lower LIMIT most
    LOOP
        PERFORM _flagscope.add_segments(c.segments, '_flagscope.telemetry_late'::regclass, c.lower, c.upper);
        DELETE FROM _flagscope.telemetry_late t WHERE t.ts >= c.lower AND t.ts < c.upper;
        done := done + 1;
    END LOOP;
    RETURN done;
END $$;
COMMENT ON FUNCTION _flagscope.freeze_late(integer) IS
    'makes segments of rows that came after their chunks were frozen, of so many chunks at most; returns their number';

CREATE FUNCTION _flagscope.release_frozen(it record, kept text, how text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF how = 'detach' THEN
        LOCK TABLE _flagscope.telemetry_late IN EXCLUSIVE MODE;
        PERFORM _flagscope.add_segments(it.segments, '_flagscope.telemetry_late'::regclass, it.lower, it.upper);
    END IF;
    DELETE FROM _flagscope.telemetry_late t WHERE t.ts >= it.lower AND t.ts < it.upper;
    EXECUTE format('DROP FOREIGN TABLE %s', it.chunk);
    IF how = 'detach' THEN
        EXECUTE format('ALTER TABLE _flagscope.frozen_segment DETACH PARTITION %s', it.segments);
        EXECUTE format('ALTER TABLE %s RENAME TO %I', it.segments, kept);
        EXECUTE format('ALTER TABLE _flagscope.%I SET SCHEMA flagscope', kept);
    ELSE
        EXECUTE format('DROP TABLE %s', it.segments);
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.release_frozen(record, text, text) IS
    'drops a frozen chunk, or leaves its segments as a table of the user''s with this name, whose Parquet files need '
    'no flagscope';

CREATE FUNCTION _flagscope.due_chunk(at timestamptz) RETURNS regclass
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.chunk FROM _flagscope.chunks('flagscope.telemetry'::regclass) c
        JOIN pg_class k ON k.oid = c.chunk AND k.relkind = 'r'
    WHERE _flagscope.setting_text('telemetry.freeze_after') <> 'never'
        AND c.upper <= at - nullif(_flagscope.setting_text('telemetry.freeze_after'), 'never')::interval
        -- Those that are about to be dropped are not worth it.
        AND c.upper > at - _flagscope.setting_interval('telemetry.retention') AND pg_relation_size(c.chunk) > 0
    ORDER BY c.lower LIMIT 1;
$$;
COMMENT ON FUNCTION _flagscope.due_chunk(timestamptz) IS 'the oldest chunk that is to be frozen by then; NULL: none';

CREATE FUNCTION _flagscope.is_freezing_due(at timestamptz) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- What could not be frozen is tried again ten minutes later.
    SELECT (f.problem IS NULL OR f.tried_at <= at - interval '10 minutes' OR f.tried_at > at)
            AND _flagscope.due_chunk(at) IS NOT NULL
        OR (f.late_at IS NULL OR f.late_at <= at - interval '1 hour' OR f.late_at > at)
            AND EXISTS (SELECT FROM _flagscope.telemetry_late)
    FROM _flagscope.freezing f;
$$;
COMMENT ON FUNCTION _flagscope.is_freezing_due(timestamptz) IS
    'is a chunk to be frozen, or are late rows to be made segments';

CREATE FUNCTION _flagscope.freeze_next(at timestamptz) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    due regclass := _flagscope.due_chunk(at);
    trouble text;
BEGIN
    IF EXISTS (SELECT FROM _flagscope.freezing f WHERE f.late_at IS NULL OR f.late_at <= at - interval '1 hour'
        OR f.late_at > at) THEN
        UPDATE _flagscope.freezing f SET late_at = at;
        BEGIN
            PERFORM _flagscope.freeze_late(1);
        EXCEPTION WHEN OTHERS THEN
            trouble := SQLERRM;
        END;
    END IF;
    BEGIN
        IF due IS NOT NULL THEN
            PERFORM flagscope.freeze_chunk(due);
        END IF;
    EXCEPTION WHEN OTHERS THEN
        trouble := SQLERRM;
    END;
    UPDATE _flagscope.freezing f SET tried_at = at, problem = trouble WHERE due IS NOT NULL OR trouble IS NOT NULL;
    RETURN trouble;
END $$;
COMMENT ON FUNCTION _flagscope.freeze_next(timestamptz) IS
    'freezes the oldest chunk that is due, and late rows once an hour; returns why it could not, and notes that';

CREATE FUNCTION _flagscope.frozen_words() RETURNS TABLE (item text, says text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
    SELECT 'frozen chunks', format('%s with %s rows in %s, from %s to %s UTC', count(*), sum(c.rows),
        pg_size_pretty(sum(pg_total_relation_size(c.segments))), to_char(min(c.lower), 'YYYY-MM-DD'),
        to_char(max(c.upper), 'YYYY-MM-DD'))
    FROM _flagscope.frozen_chunks() c HAVING count(*) > 0
    UNION ALL SELECT 'freezing', f.problem FROM _flagscope.freezing f
    WHERE f.problem IS NOT NULL AND _flagscope.setting_text('telemetry.freeze_after') <> 'never';
$$;
COMMENT ON FUNCTION _flagscope.frozen_words() IS 'the lines of status() about frozen chunks';

CREATE FUNCTION flagscope.frozen_segments(since timestamptz DEFAULT '-infinity', until timestamptz DEFAULT 'infinity')
RETURNS TABLE (chunk regclass, number integer, rows integer, first_ts timestamptz, last_ts timestamptz, bytes bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT f.* FROM _flagscope.frozen_chunks() f
        WHERE f.lower < coalesce(frozen_segments.until, 'infinity') AND f.upper > coalesce(since, '-infinity')
        ORDER BY f.lower
    LOOP
        RETURN QUERY EXECUTE format('SELECT $1, s.number, s.rows, s.first_ts, s.last_ts, length(s.parquet)::bigint
            FROM %s s WHERE s.first_ts < coalesce($3, ''infinity'') AND s.last_ts >= coalesce($2, ''-infinity'')
            ORDER BY s.number', c.segments) USING c.chunk, since, frozen_segments.until;
    END LOOP;
END $$;
COMMENT ON FUNCTION flagscope.frozen_segments(timestamptz, timestamptz) IS
    'the Parquet files of frozen chunks with rows in a range of time, for segment_file()';

CREATE FUNCTION flagscope.segment_file(chunk regclass, number integer) RETURNS bytea
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    segments regclass := (SELECT f.segments FROM _flagscope.frozen_chunks() f WHERE f.chunk = segment_file.chunk);
    file bytea;
BEGIN
    IF segments IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = _flagscope.message('"%s" is not a frozen chunk', coalesce(chunk::text, 'NULL')),
            HINT = 'SELECT chunk, number FROM flagscope.frozen_segments() lists all files.';
    END IF;
    EXECUTE format('SELECT _flagscope.whole_file($2, s.number, s.rows, s.first_ts, s.last_ts, s.traces, s.subjects,
        s.seal, s.parquet) FROM %s s WHERE s.number = $1', segments) INTO file
        USING segment_file.number, (SELECT k.relname FROM pg_class k WHERE k.oid = segments);
    IF file IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = _flagscope.message('chunk %s has no segment "%s"', chunk, coalesce(number::text, 'NULL')),
            HINT = 'SELECT chunk, number FROM flagscope.frozen_segments() lists all files.';
    END IF;
    RETURN file;
END $$;
COMMENT ON FUNCTION flagscope.segment_file(regclass, integer) IS
    'one Parquet file of a frozen chunk, as DuckDB and others read it; examples/archive writes all of them out';
COMMENT ON FUNCTION _flagscope.whole_file(text, integer, integer, timestamptz, timestamptz, bytea, bytea, bytea,
    bytea) IS
    'the file of a segment, given the table''s name and the whole row; raises if a bit of it has flipped';
