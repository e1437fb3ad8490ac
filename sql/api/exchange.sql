-- Exchange with flagd: documents in and out, and changes for those who poll.

COMMENT ON FUNCTION flagscope._write_flagd(jsonb, jsonb, jsonb) IS 'definitions as a document of flagd, and what could not be put into it';
COMMENT ON FUNCTION flagscope._read_flagd(jsonb) IS 'a document of flagd as definitions, and what is wrong with it';

CREATE FUNCTION flagscope._export(environment text, OUT document jsonb, OUT problems jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.document, w.problems
    FROM flagscope.environment e,
        LATERAL (SELECT coalesce(jsonb_agg(flagscope._definition(s) ORDER BY s.flag), '[]') AS definitions
                 FROM flagscope.flag_state s JOIN flagscope.flag f ON f.key = s.flag
                 WHERE s.environment = e.key AND f.archived_at IS NULL) d,
        LATERAL flagscope._write_flagd(d.definitions, (SELECT jsonb_object_agg(g.name, g.rule) FROM flagscope.segment g), e.metadata) w
    WHERE e.key = flagscope._environment(_export.environment);
$$;
COMMENT ON FUNCTION flagscope._export(text) IS 'an environment''s flags as a document of flagd, and what to know about it';

CREATE FUNCTION flagscope.export_flagd(environment text DEFAULT NULL) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT x.document FROM flagscope._export(environment) x $$;
COMMENT ON FUNCTION flagscope.export_flagd(text) IS
    'the flags of an environment as flagd''s JSON; a running rollout and prerequisites are compiled into targeting, so that every client of flagd serves the same variants';

CREATE FUNCTION flagscope.export_problems(environment text DEFAULT NULL) RETURNS TABLE (path text, problem text, is_error boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.path, p.problem, p.is_error FROM flagscope._export(environment) x,
        LATERAL jsonb_to_recordset(x.problems) p(path text, problem text, is_error boolean);
$$;
COMMENT ON FUNCTION flagscope.export_problems(text) IS
    'what export_flagd() left out (an error), and what to know about the rest';

CREATE FUNCTION flagscope._import_flag(definition jsonb, environment text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    d record;
BEGIN
    SELECT * INTO d FROM jsonb_to_record(definition) AS d(key text, value_type flagscope.value_type, enabled boolean, variants jsonb,
        default_variant text, targeting jsonb, bucketing flagscope.bucketing, prerequisites jsonb, metadata jsonb, value_schema jsonb);
    IF EXISTS (SELECT FROM flagscope.rollout r WHERE r.flag = d.key AND r.environment = _import_flag.environment
               AND r.status IN ('draft', 'running', 'paused', 'held')) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('flag "%s" has a live rollout', d.key), HINT = 'Complete it or roll it back first.';
    END IF;
    INSERT INTO flagscope.flag AS f (key, value_type, variants, bucketing, metadata, value_schema)
    VALUES (d.key, d.value_type, d.variants, d.bucketing, d.metadata, d.value_schema) ON CONFLICT (key) DO NOTHING;
    IF NOT FOUND THEN
        -- Add before the state is changed, take away after it: what is served must exist at every moment.
        UPDATE flagscope.flag f SET value_type = d.value_type, variants = f.variants || d.variants, value_schema = NULL
        WHERE f.key = d.key;
    END IF;
    INSERT INTO flagscope.flag_state (flag, environment, enabled)
    SELECT d.key, e.key, false FROM flagscope.environment e ON CONFLICT DO NOTHING;
    UPDATE flagscope.flag_state s SET enabled = d.enabled, default_variant = d.default_variant,
        targeting = nullif(d.targeting, 'null'), prerequisites = coalesce(d.prerequisites, '[]')
    WHERE s.flag = d.key AND s.environment = _import_flag.environment;
    UPDATE flagscope.flag f SET variants = d.variants, bucketing = d.bucketing, metadata = d.metadata, archived_at = NULL,
        value_schema = d.value_schema
    WHERE f.key = d.key AND (f.variants, f.bucketing, f.metadata, f.archived_at, f.value_schema)
        IS DISTINCT FROM (d.variants, d.bucketing, d.metadata, NULL, d.value_schema);
END $$;
COMMENT ON FUNCTION flagscope._import_flag(jsonb, text) IS 'creates or changes one flag as a definition says';

CREATE FUNCTION flagscope.import_flagd(document jsonb, environment text DEFAULT NULL)
RETURNS TABLE (flag text, imported boolean, problem text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    env text := flagscope._environment(environment);
    read jsonb := flagscope._read_flagd(document);
    entry record;
BEGIN
    RETURN QUERY SELECT NULL::text, false, concat_ws(': ', nullif(p.path, ''), p.problem)
        FROM jsonb_to_recordset(read -> 'problems') p(path text, problem text);
    INSERT INTO flagscope.segment AS s (name, rule) SELECT x.key, x.value FROM jsonb_each(read -> 'segments') x
        ON CONFLICT (name) DO UPDATE SET rule = excluded.rule WHERE s.rule <> excluded.rule;
    UPDATE flagscope.environment e SET metadata = read -> 'metadata' WHERE e.key = env AND e.metadata <> read -> 'metadata';
    FOR entry IN
        SELECT e.key, e.definition, (SELECT string_agg(concat_ws(': ', nullif(p.path, ''), p.problem), '; ')
            FROM jsonb_to_recordset(e.problems) p(path text, problem text)) AS problem,
            EXISTS (SELECT FROM jsonb_to_recordset(e.problems) p(is_error boolean) WHERE p.is_error) AS is_bad
        FROM jsonb_to_recordset(read -> 'flags') e(key text, definition jsonb, problems jsonb)
        -- A flag that another one needs comes first.
        ORDER BY jsonb_array_length(coalesce(e.definition -> 'prerequisites', '[]')), e.key
    LOOP
        flag := entry.key;
        problem := entry.problem;
        imported := NOT entry.is_bad AND jsonb_typeof(entry.definition) = 'object';
        IF imported THEN
            BEGIN
                PERFORM flagscope._import_flag(entry.definition, env);
            EXCEPTION WHEN OTHERS THEN
                imported := false;
                problem := concat_ws('; ', problem, SQLERRM);
            END;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION flagscope.import_flagd(jsonb, text) IS
    'creates or changes the flags of a flagd document in an environment, each wholly or not at all; says what became of each';

CREATE FUNCTION flagscope.flag_changes(since bigint DEFAULT 0)
RETURNS TABLE (cursor bigint, flag text, environment text, version bigint, definition jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    -- Versions are drawn before they are committed, so a later one may be seen first. The cursor is therefore the
    -- oldest transaction that was still running: asked again with it, nothing is missed, and little comes twice.
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, h.flag, h.environment, h.version, h.definition
    FROM flagscope.flag_state_history h
    WHERE upper_inf(h.valid) AND h.transaction::text::bigint >= since
    ORDER BY h.version;
$$;
COMMENT ON FUNCTION flagscope.flag_changes(bigint) IS
    'flags that changed since a cursor, as they are now; pass the greatest cursor of the answer to the next call (an empty answer keeps the old one); for pollers that cannot LISTEN';
