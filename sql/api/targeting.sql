-- Targeting: the definition of a flag as it is evaluated, the checks of rules, segments and prerequisites.

CREATE FUNCTION flagscope._segments(environment text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce((SELECT jsonb_object_agg(s.name, s.rule) FROM flagscope.segment s), '{}')
        || coalesce((SELECT e.segments FROM flagscope.environment e WHERE e.key = _segments.environment), '{}');
$$;
COMMENT ON FUNCTION flagscope._segments(text) IS 'the segments that rules may refer to in an environment, by name; NULL: everywhere';

CREATE FUNCTION flagscope._segment(name text, environment text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce((SELECT e.segments -> name FROM flagscope.environment e WHERE e.key = environment),
        (SELECT s.rule FROM flagscope.segment s WHERE s.name = _segment.name));
$$;
COMMENT ON FUNCTION flagscope._segment(text, text) IS 'the rule of a segment in an environment; NULL: there is none';

-- The planner takes a recursive query for a huge one, and compiling it took 200 ms of 201: without JIT.
CREATE FUNCTION flagscope._segments_of(targeting jsonb, environment text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH RECURSIVE used(name, rule) AS (
        SELECT r #>> '{}', flagscope._segment(r #>> '{}', environment)
        FROM jsonb_path_query(targeting, 'strict $.**."$ref"', silent => true) r
        UNION
        SELECT r #>> '{}', flagscope._segment(r #>> '{}', environment)
        FROM used u, LATERAL jsonb_path_query(u.rule, 'strict $.**."$ref"', silent => true) r
    )
    SELECT coalesce(jsonb_object_agg(u.name, u.rule), '{}') FROM used u WHERE u.name IS NOT NULL AND u.rule IS NOT NULL;
$$;
COMMENT ON FUNCTION flagscope._segments_of(jsonb, text) IS
    'the segments that a rule in an environment refers to, directly or through others, by name';

-- Expressions, so that a query over many flags takes them in as parts of its own. JSON as text costs half of jsonb, and
-- whoever caches a flag wants the text.
CREATE FUNCTION flagscope._served(s flagscope.flag_state, f flagscope.flag, e flagscope.environment) RETURNS json
LANGUAGE sql STABLE
RETURN json_build_object('key', (f).key, 'value_type', (f).value_type, 'enabled', (s).enabled AND (f).archived_at IS NULL,
        'variants', coalesce((s).variants, (f).variants), 'default_variant', (s).default_variant, 'targeting', (s).targeting, 'bucketing', (f).bucketing,
        'split', CASE WHEN (s).rollout_id IS NOT NULL THEN
            json_build_object('treatment', (s).treatment, 'control', (s).control, 'percent', (s).percent) END,
        'prerequisites', (s).prerequisites, 'metadata', coalesce((s).metadata, (f).metadata), 'set_metadata', (e).metadata,
        'segments', CASE WHEN (s).targeting @? 'strict $.**."$ref"' THEN flagscope._segments_of((s).targeting, (s).environment) ELSE '{}' END);
COMMENT ON FUNCTION flagscope._served(flagscope.flag_state, flagscope.flag, flagscope.environment) IS
    'all of a flag that its evaluation reads';

CREATE FUNCTION flagscope._definition_of(s flagscope.flag_state, f flagscope.flag, e flagscope.environment) RETURNS jsonb
LANGUAGE sql STABLE
RETURN flagscope._served(s, f, e)::jsonb
    || CASE WHEN (f).value_schema IS NULL THEN '{}' ELSE jsonb_build_object('value_schema', (f).value_schema) END;
COMMENT ON FUNCTION flagscope._definition_of(flagscope.flag_state, flagscope.flag, flagscope.environment) IS
    'a flag, whole';

-- In plpgsql, which keeps its plan: in SQL it was planned at every call, in 0.3 ms.
CREATE FUNCTION flagscope._definition(s flagscope.flag_state) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT flagscope._definition_of(s, f, e) FROM flagscope.flag f, flagscope.environment e
            WHERE f.key = s.flag AND e.key = s.environment);
END $$;
COMMENT ON FUNCTION flagscope._definition(flagscope.flag_state) IS 'a flag, whole, by its state alone';

COMMENT ON FUNCTION flagscope._check_targeting(jsonb, jsonb) IS 'problems of a JsonLogic rule, with the segments it may refer to';

COMMENT ON FUNCTION flagscope._unknown_variants(jsonb, jsonb, jsonb) IS
    'results of a JsonLogic rule, with the segments it may refer to, that are none of a flag''s variants';

CREATE FUNCTION flagscope._variants(flag text, environment text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(s.variants, f.variants) FROM flagscope.flag f
        LEFT JOIN flagscope.flag_state s ON s.flag = f.key AND s.environment = _variants.environment
    WHERE f.key = _variants.flag;
$$;
COMMENT ON FUNCTION flagscope._variants(text, text) IS 'the variants of a flag in an environment; NULL: no such flag';

-- In plpgsql, which keeps its plan: every change of a flag calls it.
CREATE FUNCTION flagscope.check_targeting(targeting jsonb, flag text DEFAULT NULL, environment text DEFAULT NULL)
RETURNS TABLE (path text, problem text, is_error boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    env text := flagscope._environment(environment);
    segments jsonb := flagscope._segments(env);
    variants jsonb := flagscope._variants(flag, env);
BEGIN
    IF flag IS NOT NULL AND variants IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = flagscope._message('flag "%s" does not exist', flag), HINT = 'Create it with flagscope.create_flag(key).';
    END IF;
    RETURN QUERY SELECT p.path, p.problem, p.is_error FROM flagscope._check_targeting(targeting, segments) p
        UNION ALL
        SELECT u.path, u.problem, true FROM flagscope._unknown_variants(targeting, segments, variants) u;
END $$;
COMMENT ON FUNCTION flagscope.check_targeting(jsonb, text, text) IS
    'what is wrong with a targeting rule, and where (a JSON pointer), in an environment (NULL: flagscope.environment), and for '
    'a flag, where one is named: whether it has the variants that the rule gives; no rows: every client of flagd takes it; '
    'a problem that is no error works, but hardly as it was meant';

COMMENT ON FUNCTION flagscope._targeting_outcomes(jsonb) IS
    'the variants that a rule names as its results, and whether it may compute others';

CREATE FUNCTION flagscope._not_by_chance(s flagscope.flag_state, treatment text, control text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN arm.name IS NOT NULL THEN format('targeting serves variant "%s"', arm.name)
        WHEN o.any THEN 'targeting computes the variant that it serves'
        WHEN s.prerequisites <> '[]' AND s.default_variant IN (treatment, control)
            THEN format('who lacks a prerequisite is served variant "%s"', s.default_variant) END
    FROM (SELECT 1) one LEFT JOIN flagscope._targeting_outcomes(s.targeting) o ON true
        LEFT JOIN LATERAL (SELECT min(v) FROM unnest(o.variants) v WHERE v IN (treatment, control)) arm(name) ON true;
$$;
COMMENT ON FUNCTION flagscope._not_by_chance(flagscope.flag_state, text, text) IS
    'why users come into the arms of a rollout otherwise than by its split, so that the arms differ in more than the variant; NULL: they do not';

CREATE FUNCTION flagscope._require_targeting(targeting jsonb, owner text, environment text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wrong record;
BEGIN
    SELECT * INTO wrong FROM flagscope._check_targeting(targeting, flagscope._segments(environment)) p
    WHERE p.is_error LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = flagscope._message('%s: %s%s', owner, wrong.problem, ' at ' || nullif(wrong.path, '')),
            HINT = 'SELECT * FROM flagscope.check_targeting(rule) lists every problem.';
    END IF;
END $$;
COMMENT ON FUNCTION flagscope._require_targeting(jsonb, text, text) IS
    'raises unless a rule can be evaluated in an environment; NULL: with the segments that every environment has';

CREATE FUNCTION flagscope._require_known_variants(targeting jsonb, flag text, environment text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    variants jsonb := flagscope._variants(flag, environment);
    wrong record;
BEGIN
    SELECT * INTO wrong FROM flagscope._unknown_variants(targeting, flagscope._segments(environment), variants) u LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = flagscope._message('targeting of flag "%s"%s: %s', flag, ' at ' || nullif(wrong.path, ''), wrong.problem),
            HINT = 'Whom the rule gave it would get an error. Add the variant to the flag first, or serve another.';
    END IF;
END $$;
COMMENT ON FUNCTION flagscope._require_known_variants(jsonb, text, text) IS
    'raises when a rule gives variants that the flag does not have in the environment';

CREATE FUNCTION flagscope._require_prerequisites(prerequisites jsonb, flag text, environment text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p jsonb;
BEGIN
    IF jsonb_typeof(prerequisites) <> 'array' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = flagscope._message('prerequisites of flag "%s" must be a JSON array, got %s', flag, prerequisites),
            HINT = 'Write them like [{"flag": "new-cart", "variant": "on"}].';
    END IF;
    FOR p IN SELECT x FROM jsonb_array_elements(prerequisites) x LOOP
        IF jsonb_typeof(p -> 'flag') IS DISTINCT FROM 'string' OR jsonb_typeof(p -> 'variant') IS DISTINCT FROM 'string' THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = flagscope._message('a prerequisite of flag "%s" names no flag and variant: %s', flag, p),
                HINT = 'Write it like {"flag": "new-cart", "variant": "on"}.';
        END IF;
        IF NOT EXISTS (SELECT FROM flagscope.flag f JOIN flagscope.flag_state s ON s.flag = f.key
            WHERE f.key = p ->> 'flag' AND s.environment = _require_prerequisites.environment AND coalesce(s.variants, f.variants) ? (p ->> 'variant')) THEN
            RAISE EXCEPTION USING ERRCODE = 'undefined_object',
                MESSAGE = flagscope._message('prerequisite of flag "%s" does not exist: flag "%s" with variant "%s"', flag, p ->> 'flag', p ->> 'variant');
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION flagscope._require_prerequisites(jsonb, text, text) IS 'raises unless every prerequisite is a flag with that variant';

CREATE FUNCTION flagscope._check_prerequisite_cycle() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
    found_path text[];
BEGIN
    WITH RECURSIVE way(flag, path) AS (
        SELECT NEW.flag, ARRAY[NEW.flag]
        UNION ALL
        SELECT p ->> 'flag', w.path || (p ->> 'flag') FROM way w
            JOIN flagscope.flag_state s ON s.flag = w.flag AND s.environment = NEW.environment,
            LATERAL jsonb_array_elements(s.prerequisites) p
        WHERE cardinality(w.path) = 1 OR w.flag <> ALL (w.path[:cardinality(w.path) - 1])
    )
    SELECT w.path INTO found_path FROM way w WHERE w.flag = NEW.flag AND cardinality(w.path) > 1 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = flagscope._message('prerequisites of flag "%s" go round in a circle: %s', NEW.flag, array_to_string(found_path, ' needs '));
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION flagscope._check_prerequisite_cycle() IS 'trigger, at commit: no flag needs itself';
CREATE CONSTRAINT TRIGGER check_prerequisite_cycle AFTER INSERT OR UPDATE ON flagscope.flag_state
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.prerequisites <> '[]')
    EXECUTE FUNCTION flagscope._check_prerequisite_cycle();

-- The plan for any flag, by the index even while the table is small: it is kept for a session, however the table grows.
CREATE FUNCTION flagscope._check_flag_needed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $$
DECLARE
    kept jsonb := CASE WHEN TG_OP = 'UPDATE' AND NEW.archived_at IS NULL THEN NEW.variants ELSE '{}' END;
    other record;
BEGIN
    IF kept ?& ARRAY(SELECT jsonb_object_keys(OLD.variants)) THEN
        RETURN NULL;  -- nothing is taken away
    END IF;
    SELECT s.flag, s.environment, p ->> 'variant' AS variant INTO other
    FROM flagscope.flag_state s JOIN flagscope.flag f ON f.key = s.flag, LATERAL jsonb_array_elements(s.prerequisites) p
    WHERE s.prerequisites @> jsonb_build_array(jsonb_build_object('flag', OLD.key)) AND s.prerequisites <> '[]'
        AND p ->> 'flag' = OLD.key AND NOT kept ? (p ->> 'variant') AND (kept = '{}' OR NOT EXISTS (SELECT FROM flagscope.flag_state own
        WHERE own.flag = OLD.key AND own.environment = s.environment AND own.variants ? (p ->> 'variant'))) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = flagscope._message('flag "%s" in environment "%s" needs variant "%s" of flag "%s"',
                other.flag, other.environment, other.variant, OLD.key),
            HINT = 'Change its prerequisites first.';
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.archived_at IS NOT NULL AND EXISTS (SELECT FROM flagscope.flag_state s
        WHERE s.flag = NEW.key AND s.rollout_id IS NOT NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = flagscope._message('flag "%s" has a live rollout', NEW.key), HINT = 'Complete it or roll it back first.';
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION flagscope._check_flag_needed() IS
    'trigger: what another flag needs is not removed or archived; a flag with a live rollout is not archived';
CREATE CONSTRAINT TRIGGER check_flag_needed AFTER DELETE OR UPDATE OF variants, archived_at ON flagscope.flag
    DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW EXECUTE FUNCTION flagscope._check_flag_needed();

CREATE FUNCTION flagscope._renew_flag_states() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    changed text[];
BEGIN
    -- Setting nothing: the triggers of flag_state give every state concerned a new version with the new definition.
    IF TG_TABLE_NAME = 'flag' THEN
        UPDATE flagscope.flag_state s SET enabled = s.enabled WHERE s.flag = NEW.key;
    ELSIF TG_TABLE_NAME = 'segment' THEN
        UPDATE flagscope.flag_state s SET enabled = s.enabled
        WHERE flagscope._segments_of(s.targeting, s.environment) ? NEW.name
            AND NOT EXISTS (SELECT FROM flagscope.environment e WHERE e.key = s.environment AND e.segments ? NEW.name);
    ELSIF NEW.metadata <> OLD.metadata THEN
        UPDATE flagscope.flag_state s SET enabled = s.enabled WHERE s.environment = NEW.key;
    ELSE
        changed := ARRAY(SELECT n FROM jsonb_object_keys(OLD.segments || NEW.segments) n
                         WHERE OLD.segments -> n IS DISTINCT FROM NEW.segments -> n);
        UPDATE flagscope.flag_state s SET enabled = s.enabled
        WHERE s.environment = NEW.key AND (flagscope._segments_of(s.targeting, s.environment) ?| changed);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION flagscope._renew_flag_states() IS 'trigger: what a flag, environment or segment says goes into the history of every state it concerns';
CREATE TRIGGER renew_flag_states AFTER UPDATE OF variants, metadata, bucketing, archived_at, value_schema ON flagscope.flag
    FOR EACH ROW EXECUTE FUNCTION flagscope._renew_flag_states();
CREATE TRIGGER renew_flag_states AFTER UPDATE OF metadata, segments ON flagscope.environment
    FOR EACH ROW EXECUTE FUNCTION flagscope._renew_flag_states();
CREATE TRIGGER renew_flag_states AFTER UPDATE OF rule ON flagscope.segment
    FOR EACH ROW EXECUTE FUNCTION flagscope._renew_flag_states();

CREATE FUNCTION flagscope._check_segment() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'DELETE' OR NEW.name <> OLD.name THEN
        IF EXISTS (SELECT FROM flagscope.flag_state s JOIN flagscope.environment e ON e.key = s.environment
                   WHERE flagscope._segments_of(s.targeting, s.environment) ? OLD.name AND NOT e.segments ? OLD.name) THEN
            RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
                MESSAGE = flagscope._message('segment "%s" is in use', OLD.name), HINT = 'Take it out of the flags'' targeting first.';
        END IF;
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION flagscope._check_segment() IS 'trigger: a segment in use stays';
CREATE TRIGGER check_segment BEFORE DELETE OR UPDATE OF name ON flagscope.segment
    FOR EACH ROW EXECUTE FUNCTION flagscope._check_segment();

CREATE FUNCTION flagscope._require_segment() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM flagscope._require_targeting(NEW.rule, format('segment "%s"', NEW.name), NULL);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION flagscope._require_segment() IS 'trigger: a segment''s rule can be evaluated, with the segments it names itself';
CREATE CONSTRAINT TRIGGER require_segment AFTER INSERT OR UPDATE OF rule ON flagscope.segment
    DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW EXECUTE FUNCTION flagscope._require_segment();

CREATE FUNCTION flagscope._require_own_segments() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM flagscope._require_targeting(n.value, format('segment "%s" of environment "%s"', n.key, NEW.key), NEW.key)
    FROM jsonb_each(NEW.segments) n WHERE n.value IS DISTINCT FROM OLD.segments -> n.key;
    -- Whoever used what has gone or refers to something else now.
    PERFORM flagscope._require_targeting(s.targeting, format('targeting of flag "%s" in environment "%s"', s.flag, NEW.key), NEW.key)
    FROM flagscope.flag_state s WHERE s.environment = NEW.key AND s.targeting @? 'strict $.**."$ref"';
    RETURN NULL;
END $$;
COMMENT ON FUNCTION flagscope._require_own_segments() IS
    'trigger: an environment''s own segments can be evaluated, and so can the flags that refer to them';
-- Not for new rows: a restored dump brings table segment after them.
CREATE TRIGGER require_own_segments AFTER UPDATE OF segments ON flagscope.environment
    FOR EACH ROW WHEN (NEW.segments <> OLD.segments) EXECUTE FUNCTION flagscope._require_own_segments();

CREATE FUNCTION flagscope.set_targeting(flag text, targeting jsonb, environment text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    new_version bigint;
BEGIN
    UPDATE flagscope.flag_state s SET targeting = nullif(set_targeting.targeting, 'null')
    WHERE s.flag = set_targeting.flag AND s.environment = flagscope._environment(set_targeting.environment)
    RETURNING s.version INTO new_version;
    PERFORM flagscope._require_known_variants(targeting, flag, flagscope._environment(environment));
    -- Which raises the error for a flag that is not there.
    RETURN coalesce(new_version, flagscope._change_flag_state(flag, environment, NULL::boolean, NULL::text));
END $$;
COMMENT ON FUNCTION flagscope.set_targeting(text, jsonb, text) IS
    'sets a flag''s targeting rule, NULL for none; refused where it gives a variant that the flag does not have; '
    'returns the new version';

CREATE FUNCTION flagscope.set_prerequisites(flag text, prerequisites jsonb, environment text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    new_version bigint;
BEGIN
    UPDATE flagscope.flag_state s SET prerequisites = coalesce(set_prerequisites.prerequisites, '[]')
    WHERE s.flag = set_prerequisites.flag AND s.environment = flagscope._environment(set_prerequisites.environment)
    RETURNING s.version INTO new_version;
    -- Which raises the error for a flag that is not there.
    RETURN coalesce(new_version, flagscope._change_flag_state(flag, environment, NULL::boolean, NULL::text));
END $$;
COMMENT ON FUNCTION flagscope.set_prerequisites(text, jsonb, text) IS
    'sets the other flags that must serve a variant first, as [{"flag", "variant"}]; returns the new version';

CREATE FUNCTION flagscope.create_segment(
    name text, rule jsonb, description text DEFAULT '', environment text DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    IF environment IS NULL THEN
        INSERT INTO flagscope.segment (name, rule, description)
        VALUES (create_segment.name, create_segment.rule, create_segment.description);
        RETURN;
    END IF;
    UPDATE flagscope.environment e SET segments = e.segments || jsonb_build_object(create_segment.name, create_segment.rule)
    WHERE e.key = flagscope._environment(create_segment.environment) AND NOT e.segments ? create_segment.name;
    IF NOT FOUND THEN
        RAISE unique_violation;
    END IF;
EXCEPTION WHEN unique_violation THEN
    PERFORM flagscope._raise_for_caller('42710', flagscope._message('segment "%s" exists already', create_segment.name)
        || coalesce(' in environment ' || quote_ident(environment), ''), NULL,
        CASE WHEN environment IS NULL THEN 'UPDATE flagscope.segment changes its rule.'
            ELSE 'UPDATE flagscope.environment SET segments = segments || ... changes its rule.' END);
WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    PERFORM flagscope._raise_for_caller(SQLSTATE, SQLERRM, detail, hint);
    RAISE;
END $$;
COMMENT ON FUNCTION flagscope.create_segment(text, jsonb, text, text) IS
    'names a JsonLogic rule for {"$ref": name} in targeting: in every environment, or in one alone, where it takes the '
    'place of the other';
