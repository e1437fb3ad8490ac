-- Segments: named rules, of every environment or of one, and the flags that refer to them.

-- Uses the index on the segments that rules name directly: a change of one segment must not read 10,000 flags. The
-- generic plan by index is kept for the session even if the table grows.
CREATE FUNCTION _flagscope.states_through(names text[], environment text) RETURNS SETOF flagscope.flag_state
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $$
DECLARE
    through text[];
BEGIN
    WITH RECURSIVE segment(name, names) AS MATERIALIZED (
        SELECT x.name, _flagscope.segment_names(x.rule) FROM flagscope.segment x
        UNION ALL
        SELECT n.key, _flagscope.segment_names(n.value)
        FROM flagscope.environment_definition e, jsonb_each(e.segments) n
    ), reached(name) AS (
        SELECT unnest(states_through.names)
        UNION
        SELECT x.name FROM reached r JOIN segment x ON x.names ? r.name
    )
    SELECT array_agg(r.name) INTO through FROM reached r;
    RETURN QUERY SELECT s.* FROM flagscope.flag_state s
        WHERE s.targeting @? 'strict $.**."$ref"' AND _flagscope.segment_names(s.targeting) ?| through
            AND s.environment = coalesce(states_through.environment, s.environment);
END $$;
COMMENT ON FUNCTION _flagscope.states_through(text[], text) IS
    'flag states whose rules may refer to one of the segments, directly or through others, '
    'in an environment (NULL: in all)';

CREATE FUNCTION _flagscope.means_segment(s flagscope.flag_state, names text[]) RETURNS boolean
LANGUAGE sql STABLE
RETURN _flagscope.segment_names((s).targeting) ?| names
    OR _flagscope.segments_of((s).targeting, (s).environment) ?| names;
COMMENT ON FUNCTION _flagscope.means_segment(flagscope.flag_state, text[]) IS
    'does a flag''s rule refer to one of the segments, directly or through others of its environment';

CREATE FUNCTION _flagscope.renew_users_of_segment() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    changed text[];
BEGIN
    -- An update that sets nothing: the triggers of flag_state give every affected state
    -- a new version with the new definition.
    IF TG_TABLE_NAME = 'segment' THEN
        UPDATE flagscope.flag_state s SET enabled = s.enabled
        FROM _flagscope.states_through(ARRAY[NEW.name], NULL::text) u
        WHERE s.flag = u.flag AND s.environment = u.environment AND _flagscope.means_segment(s, ARRAY[NEW.name])
            AND NOT EXISTS (SELECT FROM flagscope.environment_definition e
                WHERE e.key = s.environment AND e.segments ? NEW.name);
    ELSE
        changed := ARRAY(SELECT n FROM jsonb_object_keys(OLD.segments || NEW.segments) n
                         WHERE OLD.segments -> n IS DISTINCT FROM NEW.segments -> n);
        UPDATE flagscope.flag_state s SET enabled = s.enabled
        FROM _flagscope.states_through(changed, NEW.key) u
        WHERE s.flag = u.flag AND s.environment = u.environment AND _flagscope.means_segment(s, changed);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.renew_users_of_segment() IS
    'trigger: adds a segment''s new rule to the history of every flag state whose rule refers to it';
CREATE TRIGGER renew_flag_states AFTER UPDATE OF segments ON flagscope.environment_definition
    FOR EACH ROW WHEN (NEW.segments <> OLD.segments) EXECUTE FUNCTION _flagscope.renew_users_of_segment();
CREATE TRIGGER renew_flag_states AFTER UPDATE OF rule ON flagscope.segment
    FOR EACH ROW WHEN (NEW.rule <> OLD.rule) EXECUTE FUNCTION _flagscope.renew_users_of_segment();

CREATE FUNCTION _flagscope.check_segment() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'DELETE' OR NEW.name <> OLD.name THEN
        IF EXISTS (SELECT FROM _flagscope.states_through(ARRAY[OLD.name], NULL::text) s
                   JOIN flagscope.environment_definition e ON e.key = s.environment
                   WHERE NOT e.segments ? OLD.name AND _flagscope.means_segment(s, ARRAY[OLD.name])) THEN
            RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
                MESSAGE = _flagscope.message('segment "%s" is in use', OLD.name),
                HINT = 'Remove it from the flags'' targeting first.';
        END IF;
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION _flagscope.check_segment() IS 'trigger: a segment used by flags cannot be deleted';
CREATE TRIGGER check_segment BEFORE DELETE OR UPDATE OF name ON flagscope.segment
    FOR EACH ROW EXECUTE FUNCTION _flagscope.check_segment();

CREATE FUNCTION _flagscope.check_segment_needed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    other text := (SELECT min(x.who) FROM (
        SELECT format('segment "%s"', s.name) FROM flagscope.segment s WHERE _flagscope.segment_names(s.rule) ? OLD.name
        UNION ALL
        SELECT format('segment "%s" of environment "%s"', n.key, e.key)
        FROM flagscope.environment_definition e, jsonb_each(e.segments) n
        WHERE _flagscope.segment_names(n.value) ? OLD.name AND NOT e.segments ? OLD.name) x(who));
BEGIN
    IF other IS NOT NULL AND NOT EXISTS (SELECT FROM flagscope.segment s WHERE s.name = OLD.name) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('segment "%s" is in use by %s', OLD.name, other),
            HINT = 'Remove it from that rule first.';
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.check_segment_needed() IS
    'trigger: a segment that another segment refers to cannot be deleted; '
    'runs after the statement, which may delete both';
CREATE CONSTRAINT TRIGGER check_segment_needed AFTER DELETE OR UPDATE OF name ON flagscope.segment
    DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW EXECUTE FUNCTION _flagscope.check_segment_needed();

CREATE FUNCTION _flagscope.require_segment() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM _flagscope.require_targeting(NEW.rule, format('segment "%s"', NEW.name), NULL);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.require_segment() IS
    'trigger: a segment''s rule can be evaluated together with the segments it refers to';
CREATE CONSTRAINT TRIGGER require_segment AFTER INSERT OR UPDATE OF rule ON flagscope.segment
    DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW EXECUTE FUNCTION _flagscope.require_segment();

CREATE FUNCTION _flagscope.require_own_segments() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    was jsonb := CASE TG_OP WHEN 'UPDATE' THEN OLD.segments ELSE '{}' END;
    changed text[] := ARRAY(SELECT n FROM jsonb_object_keys(was || NEW.segments) n
                            WHERE was -> n IS DISTINCT FROM NEW.segments -> n);
BEGIN
    PERFORM _flagscope.require_targeting(n.value, format('segment "%s" of environment "%s"', n.key, NEW.key), NEW.key)
    FROM jsonb_each(NEW.segments) n WHERE n.key = ANY (changed) OR _flagscope.segment_names(n.value) ?| changed;
    -- Check the flags that use a removed or changed segment.
    PERFORM _flagscope.require_targeting(s.targeting,
        format('targeting of flag "%s" in environment "%s"', s.flag, NEW.key), NEW.key)
    FROM _flagscope.states_through(changed, NEW.key) s;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.require_own_segments() IS
    'trigger: an environment''s own segments, and the flags that refer to them, can be evaluated';
CREATE TRIGGER require_first_segments AFTER INSERT ON flagscope.environment_definition
    FOR EACH ROW WHEN (NEW.segments <> '{}') EXECUTE FUNCTION _flagscope.require_own_segments();
CREATE TRIGGER require_own_segments AFTER UPDATE OF segments ON flagscope.environment_definition
    FOR EACH ROW WHEN (NEW.segments <> OLD.segments) EXECUTE FUNCTION _flagscope.require_own_segments();

CREATE FUNCTION flagscope.create_segment(
    name text, rule jsonb, environment text DEFAULT NULL, description text DEFAULT ''
) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    IF environment IS NULL THEN
        INSERT INTO flagscope.segment (name, rule, description)
        VALUES (create_segment.name, create_segment.rule, create_segment.description);
        RETURN create_segment.name;
    END IF;
    UPDATE flagscope.environment_definition e
    SET segments = e.segments || jsonb_build_object(create_segment.name, create_segment.rule)
    WHERE e.key = _flagscope.environment(create_segment.environment) AND NOT e.segments ? create_segment.name;
    IF NOT FOUND THEN
        RAISE unique_violation;
    END IF;
    RETURN create_segment.name;
EXCEPTION WHEN unique_violation THEN
    PERFORM _flagscope.raise_for_caller('42710', _flagscope.message('segment "%s" exists already', create_segment.name)
        || coalesce(' in environment ' || quote_ident(environment), ''), NULL,
        CASE WHEN environment IS NULL THEN 'UPDATE flagscope.segment changes its rule.'
            ELSE 'UPDATE flagscope.environment_definition SET segments = segments || ... changes its rule.' END);
WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    PERFORM _flagscope.raise_for_caller(SQLSTATE, SQLERRM, detail, hint);
    RAISE;
END $$;
COMMENT ON FUNCTION flagscope.create_segment(text, jsonb, text, text) IS
    'creates a named JsonLogic rule for {"$ref": name} in targeting: for every environment, or for one, where it '
    'replaces the general one; returns its name';
