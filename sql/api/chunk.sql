-- Managing partitions manually: width, retention, dropping old ones, and keeping them when the extension is dropped.

CREATE FUNCTION _flagscope.check_parent(parent text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF parent IS NULL OR parent NOT IN ('telemetry', 'evaluation') THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = _flagscope.message('"%s" is not partitioned by time', parent),
            HINT = 'Partitioned tables are telemetry and evaluation.';
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.check_parent(text) IS 'raises unless this table has time partitions';

CREATE FUNCTION flagscope.set_chunk_interval(width interval, parent text DEFAULT 'telemetry') RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres'
AS $$
BEGIN
    PERFORM _flagscope.check_parent(parent);
    IF width IS NULL AND parent <> 'telemetry' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'the width of evaluation''s partitions cannot be automatic',
            HINT = 'Give an interval, such as 7 days.';
    END IF;
    PERFORM flagscope.set_setting(parent || '.chunk_interval', coalesce(to_jsonb(width::text), '"auto"'));
END $$;
COMMENT ON FUNCTION flagscope.set_chunk_interval(interval, text) IS
    'sets the width (UTC) of partitions created from now on; existing ones stay; NULL: '
    'a day, 6 hours or an hour depending on volume';

CREATE FUNCTION flagscope.set_retention(keep interval, parent text DEFAULT 'telemetry', expired text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres'
AS $$
BEGIN
    PERFORM _flagscope.check_parent(parent), flagscope.set_setting(parent || '.retention', to_jsonb(keep::text));
    IF expired IS NOT NULL THEN
        PERFORM flagscope.set_setting(parent || '.expired', to_jsonb(expired));
    END IF;
END $$;
COMMENT ON FUNCTION flagscope.set_retention(interval, text, text) IS
    'sets how long partitions are kept, and what happens then: drop, or detach (they become tables detached_..., '
    'to be moved or dropped by you)';

CREATE FUNCTION flagscope.set_freeze_after(age interval) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres'
AS $$
BEGIN
    PERFORM flagscope.set_setting('telemetry.freeze_after', coalesce(to_jsonb(age::text), '"never"'));
    IF age >= _flagscope.setting_interval('telemetry.retention') THEN
        RAISE WARNING USING MESSAGE = _flagscope.message('nothing will be frozen: chunks are dropped when they are %s '
                'old', _flagscope.setting_text('telemetry.retention')),
            HINT = 'Frozen chunks take a fraction of the room: SELECT flagscope.set_retention(''400 days'').';
    END IF;
END $$;
COMMENT ON FUNCTION flagscope.set_freeze_after(interval) IS
    'sets at which age chunks of telemetry are frozen (freeze_chunk) by the worker, one after the other; NULL: '
    'never, as '
    'shipped';

CREATE FUNCTION flagscope.drop_chunks(older_than timestamptz, parent text DEFAULT 'telemetry') RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '1s'
AS $$
DECLARE
    -- Each drop holds about ten locks (server setting max_locks_per_transaction) until the end of the transaction.
    most constant integer := 100;
    c record;
BEGIN
    PERFORM _flagscope.check_parent(parent);
    FOR c IN SELECT x.*, row_number() OVER (ORDER BY x.upper) AS place
        FROM _flagscope.chunks(('flagscope.' || parent)::regclass) x
        WHERE x.upper <= older_than ORDER BY x.upper
    LOOP
        IF c.place > most THEN
            RAISE NOTICE USING MESSAGE = _flagscope.message('%s partitions were dropped; more partitions end by then',
                    most),
                HINT = 'Call drop_chunks() again in a new transaction: '
                    'the number of locks in a transaction is limited.';
            EXIT;
        END IF;
        RETURN NEXT c.chunk::text;
        PERFORM _flagscope.release_chunk(parent, c.chunk, c.upper, 'drop');
    END LOOP;
END $$;
COMMENT ON FUNCTION flagscope.drop_chunks(timestamptz, text) IS
    'drops the partitions that end at or before a time, at most the oldest hundred, and returns their names; '
    'fails after a second if readers block it; rollups stay';

CREATE FUNCTION _flagscope.keep_table(kept text, target_schema name) RETURNS regclass
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text := _flagscope.free_name(kept, target_schema);
    changes text := (SELECT string_agg(format('ALTER COLUMN %I TYPE text USING %1$I::text', a.attname), ', ')
        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = format('flagscope.%I', kept)::regclass AND a.attnum > 0 AND NOT a.attisdropped
            AND t.typnamespace IN ('flagscope'::regnamespace, '_flagscope'::regnamespace));
    checks text := (SELECT string_agg(DISTINCT format('DROP CONSTRAINT %I', k.conname), ', ') FROM pg_constraint k
        JOIN pg_depend d
            ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass
        JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace = '_flagscope'::regnamespace
        WHERE k.conrelid = format('flagscope.%I', kept)::regclass);
BEGIN
    IF coalesce(changes, checks) IS NOT NULL THEN
        EXECUTE format('ALTER TABLE flagscope.%I %s', kept, concat_ws(', ', changes, checks));
    END IF;
    IF to_regclass(format('%I.%I', target_schema, kept)) IS NOT NULL THEN  -- of an earlier time
        EXECUTE format('ALTER TABLE flagscope.%I RENAME TO %I', kept, name);
        kept := name;
    END IF;
    EXECUTE format('ALTER TABLE flagscope.%I SET SCHEMA %I', kept, target_schema);
    RETURN format('%I.%I', target_schema, kept)::regclass;
END $$;
COMMENT ON FUNCTION _flagscope.keep_table(text, name) IS
    'makes a table independent of the extension: enums become text (which rewrites the table), checks that call its '
    'functions are dropped, and the table moves to another schema';

CREATE FUNCTION flagscope.detach_all(target_schema name DEFAULT 'flagscope_kept') RETURNS SETOF regclass
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    parent text;
    c record;
    stray bigint;
BEGIN
    -- The owner of a schema can drop what is in it.
    IF EXISTS (SELECT FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
               WHERE n.nspname = target_schema AND NOT r.rolsuper AND r.rolname <> current_user) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('schema "%s" belongs to role "%s", which could drop the tables moved into it',
                target_schema, (SELECT pg_get_userbyid(n.nspowner)
                    FROM pg_namespace n WHERE n.nspname = target_schema)),
            HINT = 'Choose another schema, or one that does not exist yet.';
    END IF;
    PERFORM _flagscope.lock_rollups();
    EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I', target_schema);
    FOREACH parent IN ARRAY '{telemetry,evaluation}'::text[] LOOP
        FOR c IN SELECT x.chunk, x.upper, k.relname FROM _flagscope.chunks(('flagscope.' || parent)::regclass) x
            JOIN pg_class k ON k.oid = x.chunk ORDER BY x.lower
        LOOP
            RETURN NEXT _flagscope.keep_table(_flagscope.release_chunk(parent, c.chunk, c.upper, 'detach'),
                target_schema);
        END LOOP;
        EXECUTE format('SELECT count(*) FROM _flagscope.%I', parent || '_stray') INTO stray;
        CONTINUE WHEN stray = 0;
        EXECUTE format('CREATE TABLE flagscope.%I (LIKE _flagscope.%I INCLUDING ALL)',
            'detached_' || parent || '_stray', parent || '_stray');
        EXECUTE format(
            'WITH moved AS (DELETE FROM _flagscope.%I RETURNING *) INSERT INTO flagscope.%I SELECT * FROM moved',
            parent || '_stray', 'detached_' || parent || '_stray');
        RETURN NEXT _flagscope.keep_table('detached_' || parent || '_stray', target_schema);
    END LOOP;
    -- Tables that retention detached earlier still use the extension's enums, or are segments of a frozen chunk.
    FOR c IN SELECT DISTINCT k.relname
        FROM pg_class k JOIN pg_attribute a ON a.attrelid = k.oid JOIN pg_type t ON t.oid = a.atttypid
        WHERE k.relnamespace = 'flagscope'::regnamespace AND k.relkind = 'r' AND k.relname LIKE 'detached%'
            AND (t.typnamespace IN ('flagscope'::regnamespace, '_flagscope'::regnamespace) OR a.attname = 'parquet')
            AND NOT a.attisdropped AND a.attnum > 0
    LOOP
        RETURN NEXT _flagscope.keep_table(c.relname, target_schema);
    END LOOP;
END $$;
COMMENT ON FUNCTION flagscope.detach_all(name) IS
    'to be called before DROP EXTENSION, in the same transaction: turns all partitions of telemetry and evaluation '
    'into plain tables of another schema, which survive the extension; for the owner only; rewrites every table';
