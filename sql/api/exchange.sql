-- Exchange with flagd: import and export of documents, and changes for polling clients.

COMMENT ON FUNCTION _flagscope.write_flagd(jsonb, jsonb, jsonb) IS
    'definitions as a flagd document, and problems with those that could not be expressed';
COMMENT ON FUNCTION _flagscope.read_flagd(jsonb) IS 'a flagd document as definitions, and its problems';

CREATE FUNCTION _flagscope.export(environment text, OUT document jsonb, OUT problems jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.document, w.problems
    FROM flagscope.environment_definition e,
        LATERAL (SELECT coalesce(jsonb_agg(_flagscope.definition(s) ORDER BY s.flag), '[]') AS definitions
                 FROM flagscope.flag_state s JOIN flagscope.flag_definition f ON f.key = s.flag
                 WHERE s.environment = e.key AND f.archived_at IS NULL) d,
        LATERAL _flagscope.write_flagd(d.definitions, nullif(_flagscope.segments(e.key), '{}'), e.metadata) w
    WHERE e.key = _flagscope.environment(export.environment);
$$;
COMMENT ON FUNCTION _flagscope.export(text) IS 'an environment''s flags as a flagd document, and problems';

CREATE FUNCTION flagscope.export_flagd(environment text DEFAULT NULL) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT x.document FROM _flagscope.export(environment) x $$;
COMMENT ON FUNCTION flagscope.export_flagd(text) IS
    'the flags of an environment as flagd''s JSON; running rollouts and prerequisites are compiled into targeting, '
    'so that every flagd client serves the same variants';

CREATE FUNCTION flagscope.check_export(environment text DEFAULT NULL)
RETURNS TABLE (path text, problem text, hint text, is_error boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.path, p.problem, p.hint, p.is_error FROM _flagscope.export(environment) x,
        LATERAL jsonb_to_recordset(x.problems) p(path text, problem text, hint text, is_error boolean);
$$;
COMMENT ON FUNCTION flagscope.check_export(text) IS
    'flags that export_flagd() omits (errors), and notes about the others';

CREATE FUNCTION _flagscope.is_used_elsewhere(flag text, environment text)
RETURNS TABLE (variants boolean, metadata boolean, at_all boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- A state unchanged since the flag was created serves nothing, and may change with the flag.
    SELECT coalesce(bool_or(s.variants IS NULL), false), coalesce(bool_or(s.metadata IS NULL), false), count(*) > 0
    FROM flagscope.flag_state s
    WHERE s.flag = is_used_elsewhere.flag AND s.environment <> is_used_elsewhere.environment
        AND (s.enabled OR s.default_variant IS NOT NULL OR s.targeting IS NOT NULL OR s.prerequisites <> '[]'
             OR EXISTS (SELECT FROM flagscope.rollout r WHERE r.flag = s.flag AND r.environment = s.environment));
$$;
COMMENT ON FUNCTION _flagscope.is_used_elsewhere(text, text) IS
    'does any other environment use a flag as table flag defines it; an import must not change that';

CREATE FUNCTION _flagscope.require_same_everywhere(
    f flagscope.flag_definition, environment text, bucketing flagscope.bucketing, value_schema jsonb
) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    users text := (SELECT string_agg(format('"%s"', s.environment), ', ' ORDER BY s.environment)
                   FROM flagscope.flag_state s
                   WHERE s.flag = f.key AND s.environment <> require_same_everywhere.environment);
    differing text := CASE
        WHEN f.archived_at IS NOT NULL THEN 'the flag is archived, in every environment'
        WHEN bucketing <> f.bucketing
            THEN format('bucketing is %s in the document but %s in every environment', bucketing, f.bucketing)
        WHEN value_schema <> coalesce(f.value_schema, 'null')
            THEN 'the JSON Schema in the document differs from the flag''s, which applies to every environment' END;
BEGIN
    IF differing IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('flag "%s": %s; importing it would also change it in %s', f.key,
                differing, users),
            HINT = _flagscope.message('If this is intended for all of them: %s; then import again.', CASE
                WHEN f.archived_at IS NOT NULL THEN format('SELECT flagscope.unarchive_flag(%L)', f.key)
                WHEN bucketing <> f.bucketing
                    THEN format('UPDATE flagscope.flag_definition SET bucketing = %L WHERE key = %L', bucketing, f.key)
                ELSE format('UPDATE flagscope.flag_definition SET value_schema = %L WHERE key = %L',
                    left(value_schema::text, 500), f.key) END);
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.require_same_everywhere(flagscope.flag_definition, text, flagscope.bucketing, jsonb) IS
    'raises if a document differs from table flag in something that is the same for all environments';

CREATE FUNCTION _flagscope.require_no_rollout(flag text, environment text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM flagscope.rollout r WHERE r.flag = require_no_rollout.flag
               AND r.environment = require_no_rollout.environment
        AND r.status IN ('draft', 'running', 'paused', 'held')) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('flag "%s" has a live rollout', flag),
            HINT = 'Complete it or roll it back first.';
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.require_no_rollout(text, text) IS
    'raises while a rollout of the flag is live in the environment';

CREATE FUNCTION _flagscope.import_flag(definition jsonb, environment text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    d record;
    f flagscope.flag_definition;
    used record;
BEGIN
    SELECT * INTO d
    FROM jsonb_to_record(definition) AS d(key text, value_type flagscope.value_type, enabled boolean, variants jsonb,
        default_variant text, targeting jsonb, bucketing flagscope.bucketing, prerequisites jsonb, metadata jsonb,
        value_schema jsonb);
    PERFORM _flagscope.require_no_rollout(d.key, environment);
    INSERT INTO flagscope.flag_definition (key, value_type, variants, bucketing, metadata, value_schema)
    VALUES (d.key, d.value_type, d.variants, coalesce(d.bucketing, _flagscope.default_bucketing()), d.metadata,
        d.value_schema)
    ON CONFLICT (key) DO NOTHING;
    SELECT * INTO f FROM flagscope.flag_definition x WHERE x.key = d.key;
    SELECT * INTO used FROM _flagscope.is_used_elsewhere(d.key, environment);
    IF used.at_all THEN
        PERFORM _flagscope.require_same_everywhere(f, environment, d.bucketing, d.value_schema);
    END IF;
    used.variants := used.variants AND f.variants <> d.variants;
    used.metadata := used.metadata AND f.metadata <> d.metadata;
    IF NOT used.variants THEN
        -- Add variants before the state changes, remove them after it: what is served must always exist.
        UPDATE flagscope.flag_definition x SET variants = x.variants || d.variants, value_schema = NULL
        WHERE x.key = d.key AND x.variants <> d.variants;
    END IF;
    INSERT INTO flagscope.flag_state (flag, environment, enabled)
    SELECT d.key, e.key, false FROM flagscope.environment_definition e ON CONFLICT DO NOTHING;
    UPDATE flagscope.flag_state s SET enabled = d.enabled, default_variant = d.default_variant,
        targeting = nullif(d.targeting, 'null'), prerequisites = coalesce(d.prerequisites, '[]'),
        variants = CASE WHEN used.variants THEN d.variants END, metadata = CASE WHEN used.metadata THEN d.metadata END
    WHERE s.flag = d.key AND s.environment = import_flag.environment
        AND (s.enabled, s.default_variant, s.targeting, s.prerequisites, s.variants, s.metadata) IS DISTINCT FROM
            (d.enabled, d.default_variant, nullif(d.targeting, 'null'), coalesce(d.prerequisites, '[]'),
            CASE WHEN used.variants THEN d.variants END, CASE WHEN used.metadata THEN d.metadata END);
    f.variants := CASE WHEN used.variants THEN f.variants ELSE d.variants END;
    f.metadata := CASE WHEN used.metadata THEN f.metadata ELSE d.metadata END;
    f.bucketing := coalesce(d.bucketing, f.bucketing);
    f.value_schema := coalesce(d.value_schema, f.value_schema);
    UPDATE flagscope.flag_definition x SET variants = f.variants, metadata = f.metadata, bucketing = f.bucketing,
        value_schema = f.value_schema, archived_at = NULL
    WHERE x.key = f.key AND (x.variants, x.metadata, x.bucketing, x.value_schema, x.archived_at)
        IS DISTINCT FROM (f.variants, f.metadata, f.bucketing, f.value_schema, NULL);
END $$;
COMMENT ON FUNCTION _flagscope.import_flag(jsonb, text) IS
    'creates or changes one flag in an environment from a definition, without changing what other environments serve';

CREATE FUNCTION _flagscope.import_alike(definitions jsonb, environment text) RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    news text[];
    same text[];
BEGIN
    SELECT array_agg(d.key) FILTER (WHERE f.key IS NULL), array_agg(d.key) FILTER (WHERE f.key IS NOT NULL)
    INTO news, same
    FROM jsonb_to_recordset(definitions) AS d(key text, variants jsonb, bucketing flagscope.bucketing, metadata jsonb,
        value_schema jsonb)
        LEFT JOIN flagscope.flag_definition f ON f.key = d.key
    WHERE f.key IS NULL OR (f.variants = d.variants AND f.metadata = d.metadata AND f.archived_at IS NULL
        AND f.bucketing = coalesce(d.bucketing, f.bucketing)
        AND f.value_schema IS NOT DISTINCT FROM coalesce(d.value_schema, f.value_schema)
        AND NOT EXISTS (SELECT FROM flagscope.rollout r
            WHERE r.flag = f.key AND r.environment = import_alike.environment
                AND r.status IN ('draft', 'running', 'paused', 'held')));
    INSERT INTO flagscope.flag_definition (key, value_type, variants, bucketing, metadata, value_schema)
    SELECT d.key, d.value_type, d.variants, coalesce(d.bucketing, _flagscope.default_bucketing()),
        d.metadata, d.value_schema
    FROM jsonb_to_recordset(definitions) AS d(key text, value_type flagscope.value_type, variants jsonb,
        bucketing flagscope.bucketing, metadata jsonb, value_schema jsonb)
        JOIN unnest(news) k(key) ON k.key = d.key;
    INSERT INTO flagscope.flag_state (flag, environment, enabled, default_variant, targeting)
    SELECT d.key, e.key, is_meant AND d.enabled, CASE WHEN is_meant THEN d.default_variant END,
        CASE WHEN is_meant THEN nullif(d.targeting, 'null') END
    FROM jsonb_to_recordset(definitions) AS d(key text, enabled boolean, default_variant text, targeting jsonb)
        JOIN unnest(news || same) k(key) ON k.key = d.key, flagscope.environment_definition e,
        LATERAL (SELECT e.key = import_alike.environment) m(is_meant)
    WHERE NOT EXISTS (SELECT FROM flagscope.flag_state s WHERE s.flag = d.key AND s.environment = e.key);
    UPDATE flagscope.flag_state s
    SET enabled = d.enabled, default_variant = d.default_variant, targeting = nullif(d.targeting, 'null'),
        prerequisites = '[]', variants = NULL, metadata = NULL
    FROM jsonb_to_recordset(definitions) AS d(key text, enabled boolean, default_variant text, targeting jsonb)
        JOIN unnest(same) k(key) ON k.key = d.key
    WHERE s.flag = d.key AND s.environment = import_alike.environment
        AND (s.enabled, s.default_variant, s.targeting, s.prerequisites, s.variants, s.metadata) IS DISTINCT FROM
            (d.enabled, d.default_variant, nullif(d.targeting, 'null'), jsonb '[]', NULL, NULL);
    RETURN news || same;
END $$;
COMMENT ON FUNCTION _flagscope.import_alike(jsonb, text) IS
    'imports all flags without prerequisites that are new or differ in their state only, '
    'in one statement; returns which';

CREATE FUNCTION _flagscope.import_in_bulk(flags jsonb, environment text) RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    done text[] := '{}';
    definitions jsonb;
BEGIN
    FOR definitions IN
        SELECT jsonb_agg(x.definition) FROM (
            SELECT e.definition, row_number() OVER (ORDER BY e.key) AS place
            FROM jsonb_to_recordset(flags) e(key text, definition jsonb, problems jsonb)
            WHERE jsonb_typeof(e.definition) = 'object' AND coalesce(e.definition -> 'prerequisites', '[]') = '[]'
                AND NOT e.problems @> '[{"is_error": true}]') x
        GROUP BY x.place / 500 ORDER BY x.place / 500
    LOOP
        BEGIN
            done := done || _flagscope.import_alike(definitions, environment);
        EXCEPTION WHEN OTHERS THEN
            NULL;  -- imported one by one, so that each reports its own problem
        END;
    END LOOP;
    RETURN done;
END $$;
COMMENT ON FUNCTION _flagscope.import_in_bulk(jsonb, text) IS
    'imports flags that need no individual handling, hundreds at a time; returns which are done';

CREATE FUNCTION _flagscope.import_segments(segments jsonb, environment text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    names text[] := ARRAY(SELECT k FROM jsonb_object_keys(segments) k);
    own jsonb := '{}';
BEGIN
    IF EXISTS (SELECT FROM flagscope.environment_definition e WHERE e.key <> environment) THEN
        own := (SELECT coalesce(jsonb_object_agg(n.key, n.value), '{}') FROM jsonb_each(segments) n
            LEFT JOIN flagscope.segment s ON s.name = n.key WHERE s.rule IS DISTINCT FROM n.value);
    ELSE
        INSERT INTO flagscope.segment AS s (name, rule) SELECT n.key, n.value FROM jsonb_each(segments) n
        ON CONFLICT (name) DO UPDATE SET rule = excluded.rule WHERE s.rule <> excluded.rule;
    END IF;
    UPDATE flagscope.environment_definition e SET segments = (e.segments - names) || own
    WHERE e.key = import_segments.environment AND e.segments <> (e.segments - names) || own;
END $$;
COMMENT ON FUNCTION _flagscope.import_segments(jsonb, text) IS
    'sets the rules of segments in an environment; as the environment''s own if other environments have different ones';

CREATE FUNCTION _flagscope.import_set(document jsonb, environment text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE flagscope.environment_definition e SET metadata = document -> 'metadata'
    WHERE e.key = environment AND e.metadata <> document -> 'metadata';
    PERFORM _flagscope.import_segments(document -> 'segments', environment);
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN format('neither metadata nor $evaluators are imported: %s', SQLERRM);
END $$;
COMMENT ON FUNCTION _flagscope.import_set(jsonb, text) IS
    'imports metadata and segments of a document, completely or not at all; returns the problem, if any';

CREATE FUNCTION flagscope.import_flagd(document jsonb, environment text DEFAULT NULL)
RETURNS TABLE (flag text, imported boolean, problem text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET flagscope.importing = on
AS $$
DECLARE
    env text := _flagscope.environment(environment);
    read jsonb := _flagscope.read_flagd(document);
    done text[];
    entry record;
    hint text;
    told timestamptz := clock_timestamp();
    application text := current_setting('application_name');
BEGIN
    IF document IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'not a flagd document: it is NULL',
            HINT = 'Write it like {"flags": {"new-cart": {"state": "ENABLED", "variants": '
                '{"on": true}, "defaultVariant": "on"}}}.';
    END IF;
    RETURN QUERY SELECT NULL::text, false, concat_ws(': ', nullif(p.path, ''), p.problem)
        FROM jsonb_to_recordset(read -> 'problems') p(path text, problem text);
    RETURN QUERY SELECT NULL::text, false, s.problem FROM (SELECT _flagscope.import_set(read, env)) s(problem)
        WHERE s.problem IS NOT NULL;
    done := _flagscope.import_in_bulk(read -> 'flags', env);
    FOR entry IN
        SELECT e.key, e.definition, (SELECT string_agg(concat_ws(': ', nullif(p.path, ''), p.problem), '; ')
            FROM jsonb_to_recordset(e.problems) p(path text, problem text)) AS problem,
            e.problems @> '[{"is_error": true}]' AS is_bad, k.key IS NOT NULL AS is_done,
            row_number() OVER (ORDER BY jsonb_array_length(coalesce(e.definition -> 'prerequisites', '[]')), e.key)
                AS place, count(*) OVER () AS total
        FROM jsonb_to_recordset(read -> 'flags') e(key text, definition jsonb, problems jsonb)
            LEFT JOIN unnest(done) k(key) ON k.key = e.key
        -- A flag that another one needs comes first.
        ORDER BY jsonb_array_length(coalesce(e.definition -> 'prerequisites', '[]')), e.key
    LOOP
        flag := entry.key;
        problem := entry.problem;
        imported := NOT entry.is_bad AND jsonb_typeof(entry.definition) = 'object';
        IF imported AND NOT entry.is_done THEN
            told := _flagscope.show_progress('import_flagd'::text, entry.place - 1, entry.total, told);
            BEGIN
                PERFORM _flagscope.import_flag(entry.definition, env);
            EXCEPTION WHEN OTHERS THEN
                GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
                imported := false;
                problem := concat_ws('; ', problem, concat_ws(' ', rtrim(SQLERRM, '.') || '.', nullif(hint, '')));
            END;
        END IF;
        RETURN NEXT;
    END LOOP;
    PERFORM set_config('application_name', application, true);
END $$;
COMMENT ON FUNCTION flagscope.import_flagd(jsonb, text) IS
    'creates or changes the flags of a flagd document in an environment, each completely or not at all; returns the '
    'result for each. What other environments serve does not change: variants, metadata and $evaluators that differ '
    'from theirs become this environment''s own (flag_state.variants, flag_state.metadata, environment.segments)';

CREATE FUNCTION flagscope.flag_changes(after_cursor bigint DEFAULT 0)
RETURNS TABLE (cursor bigint, flag text, environment text, version bigint, definition jsonb, state text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    -- Versions are assigned before commit, so a later one may become visible first. The cursor is therefore the oldest
    -- transaction that was still running: the next call with it misses nothing and repeats little. Above its 40 bits is
    -- a number of this database: a restored one counts transactions from elsewhere and lacks what came after the dump,
    -- so a foreign cursor gets everything.
    SELECT x.base + x.oldest, c.flag, c.environment, coalesce(s.version, c.version),
        CASE WHEN s.flag IS NOT NULL THEN _flagscope.definition_of(s, f, e) END,
        CASE WHEN s.flag IS NULL THEN 'deleted' WHEN f.archived_at IS NOT NULL THEN 'archived' ELSE 'active' END
    FROM (SELECT i.number << 40 AS base, pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest
          FROM _flagscope.incarnation i) x, _flagscope.flag_change c
        -- The environment's metadata, which is part of every answer.
        LEFT JOIN _flagscope.flag_change a ON a.environment = c.environment AND a.flag = ''
        LEFT JOIN (flagscope.flag_state s JOIN flagscope.flag_definition f ON f.key = s.flag
            JOIN flagscope.environment_definition e ON e.key = s.environment)
            ON s.flag = c.flag AND s.environment = c.environment
    WHERE (after_cursor < x.base OR after_cursor > x.base + x.oldest
        OR x.base + greatest(c.transaction, a.transaction)::text::bigint >= after_cursor)
        AND c.flag <> ''
        -- A client that begins has no deleted flags to remove.
        AND (s.flag IS NOT NULL OR after_cursor > 0)
    ORDER BY 4;
$$;
COMMENT ON FUNCTION flagscope.flag_changes(bigint) IS
    'flags that changed since a cursor, in their present state: active, archived (evaluates as if disabled) or deleted '
    '(without a definition); pass the greatest cursor of the answer to the next call, or the same one after an empty '
    'answer; begin with 0; after a restore, cursors from before return everything';

CREATE FUNCTION flagscope.flag_set(environment text DEFAULT NULL,
    OUT key text, OUT version bigint, OUT cursor bigint, OUT metadata jsonb, OUT segments jsonb, OUT flags jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    -- One statement, and so one snapshot: read flag by flag, a set could be of two moments.
    SELECT e.key,
        coalesce((SELECT max(abs(c.version)) FROM _flagscope.flag_change c WHERE c.environment = e.key), 0),
        (SELECT (i.number << 40) + pg_snapshot_xmin(pg_current_snapshot())::text::bigint FROM _flagscope.incarnation i),
        e.metadata, _flagscope.segments(e.key),
        coalesce((
            SELECT jsonb_agg(_flagscope.definition_of(s, f, e)
                || jsonb_build_object('version', s.version, 'tags', f.tags) ORDER BY s.flag)
            FROM flagscope.flag_state s JOIN flagscope.flag_definition f ON f.key = s.flag
            WHERE s.environment = e.key AND f.archived_at IS NULL), '[]')
    FROM flagscope.environment_definition e WHERE e.key = _flagscope.environment(flag_set.environment);
$$;
COMMENT ON FUNCTION flagscope.flag_set(text) IS
    'all that a follower needs to evaluate an environment''s flags itself: its key, the greatest version of its flags, '
    'a cursor for flag_changes(), metadata and segments, and a JSON array of the definitions of all flags that are not '
    'archived; NOTIFY flagscope_flag tells when to ask again';
