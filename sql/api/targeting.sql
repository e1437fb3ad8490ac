-- Targeting: the definition of a flag as it is evaluated, the checks of rules, segments and prerequisites.

-- The planner takes a recursive query for a huge one, and compiling it took 200 ms of 201: without JIT.
CREATE FUNCTION flagscope._segments_of(targeting jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH RECURSIVE used(name) AS (
        SELECT r #>> '{}' FROM jsonb_path_query(targeting, 'strict $.**."$ref"', silent => true) r
        UNION
        SELECT r #>> '{}' FROM used u JOIN flagscope.segment s ON s.name = u.name,
            LATERAL jsonb_path_query(s.rule, 'strict $.**."$ref"', silent => true) r
    )
    SELECT coalesce(jsonb_object_agg(s.name, s.rule), '{}') FROM used u JOIN flagscope.segment s ON s.name = u.name;
$$;
COMMENT ON FUNCTION flagscope._segments_of(jsonb) IS 'the segments that a rule refers to, directly or through others, by name';

CREATE FUNCTION flagscope._definition(s flagscope.flag_state) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object('key', f.key, 'value_type', f.value_type, 'enabled', s.enabled AND f.archived_at IS NULL,
        'variants', f.variants, 'default_variant', s.default_variant, 'targeting', s.targeting, 'bucketing', f.bucketing,
        'split', CASE WHEN s.rollout_id IS NOT NULL THEN
            jsonb_build_object('treatment', s.treatment, 'control', s.control, 'percent', s.percent) END,
        'prerequisites', s.prerequisites, 'metadata', f.metadata, 'set_metadata', e.metadata,
        'segments', CASE WHEN s.targeting @? 'strict $.**."$ref"' THEN flagscope._segments_of(s.targeting) ELSE '{}' END)
        || CASE WHEN f.value_schema IS NULL THEN '{}' ELSE jsonb_build_object('value_schema', f.value_schema) END
    FROM flagscope.flag f, flagscope.environment e WHERE f.key = s.flag AND e.key = s.environment;
$$;
COMMENT ON FUNCTION flagscope._definition(flagscope.flag_state) IS 'a flag as it is evaluated, whole';

COMMENT ON FUNCTION flagscope._check_targeting(jsonb, jsonb) IS 'problems of a JsonLogic rule, with the segments it may refer to';

CREATE FUNCTION flagscope.check_targeting(targeting jsonb) RETURNS TABLE (path text, problem text, is_error boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.path, p.problem, p.is_error
    FROM flagscope._check_targeting(targeting, (SELECT jsonb_object_agg(s.name, s.rule) FROM flagscope.segment s)) p;
$$;
COMMENT ON FUNCTION flagscope.check_targeting(jsonb) IS
    'what is wrong with a targeting rule, and where (a JSON pointer); no rows: every client of flagd takes it; a problem that is no error works, but hardly as it was meant';

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

CREATE FUNCTION flagscope._require_targeting(targeting jsonb, owner text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wrong record;
BEGIN
    SELECT * INTO wrong FROM flagscope.check_targeting(targeting) p WHERE p.is_error LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('%s: %s%s', owner, wrong.problem, ' at ' || nullif(wrong.path, '')),
            HINT = 'SELECT * FROM flagscope.check_targeting(rule) lists every problem.';
    END IF;
END $$;
COMMENT ON FUNCTION flagscope._require_targeting(jsonb, text) IS 'raises unless a rule can be evaluated';

CREATE FUNCTION flagscope._require_prerequisites(prerequisites jsonb, flag text, environment text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p jsonb;
BEGIN
    IF jsonb_typeof(prerequisites) <> 'array' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('prerequisites of flag "%s" must be a JSON array, got %s', flag, prerequisites),
            HINT = 'Write them like [{"flag": "new-cart", "variant": "on"}].';
    END IF;
    FOR p IN SELECT x FROM jsonb_array_elements(prerequisites) x LOOP
        IF jsonb_typeof(p -> 'flag') IS DISTINCT FROM 'string' OR jsonb_typeof(p -> 'variant') IS DISTINCT FROM 'string' THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = format('a prerequisite of flag "%s" names no flag and variant: %s', flag, p),
                HINT = 'Write it like {"flag": "new-cart", "variant": "on"}.';
        END IF;
        IF NOT EXISTS (SELECT FROM flagscope.flag f JOIN flagscope.flag_state s ON s.flag = f.key
            WHERE f.key = p ->> 'flag' AND s.environment = _require_prerequisites.environment AND f.variants ? (p ->> 'variant')) THEN
            RAISE EXCEPTION USING ERRCODE = 'undefined_object',
                MESSAGE = format('prerequisite of flag "%s" does not exist: flag "%s" with variant "%s"', flag, p ->> 'flag', p ->> 'variant');
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
            MESSAGE = format('prerequisites of flag "%s" go round in a circle: %s', NEW.flag, array_to_string(found_path, ' needs '));
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION flagscope._check_prerequisite_cycle() IS 'trigger, at commit: no flag needs itself';
CREATE CONSTRAINT TRIGGER check_prerequisite_cycle AFTER INSERT OR UPDATE ON flagscope.flag_state
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.prerequisites <> '[]')
    EXECUTE FUNCTION flagscope._check_prerequisite_cycle();

CREATE FUNCTION flagscope._check_flag_needed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept jsonb := CASE WHEN TG_OP = 'UPDATE' AND NEW.archived_at IS NULL THEN NEW.variants ELSE '{}' END;
    other record;
BEGIN
    SELECT s.flag, s.environment, p ->> 'variant' AS variant INTO other
    FROM flagscope.flag_state s JOIN flagscope.flag f ON f.key = s.flag, LATERAL jsonb_array_elements(s.prerequisites) p
    WHERE p ->> 'flag' = OLD.key AND NOT kept ? (p ->> 'variant') LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('flag "%s" in environment "%s" needs variant "%s" of flag "%s"',
                other.flag, other.environment, other.variant, OLD.key),
            HINT = 'Change its prerequisites first.';
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.archived_at IS NOT NULL AND EXISTS (SELECT FROM flagscope.flag_state s
        WHERE s.flag = NEW.key AND s.rollout_id IS NOT NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('flag "%s" has a live rollout', NEW.key), HINT = 'Complete it or roll it back first.';
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
BEGIN
    -- Setting nothing: the triggers of flag_state give every state concerned a new version with the new definition.
    IF TG_TABLE_NAME = 'flag' THEN
        UPDATE flagscope.flag_state s SET enabled = s.enabled WHERE s.flag = NEW.key;
    ELSIF TG_TABLE_NAME = 'environment' THEN
        UPDATE flagscope.flag_state s SET enabled = s.enabled WHERE s.environment = NEW.key;
    ELSE
        UPDATE flagscope.flag_state s SET enabled = s.enabled WHERE flagscope._segments_of(s.targeting) ? NEW.name;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION flagscope._renew_flag_states() IS 'trigger: what a flag, environment or segment says goes into the history of every state it concerns';
CREATE TRIGGER renew_flag_states AFTER UPDATE OF variants, metadata, bucketing, archived_at, value_schema ON flagscope.flag
    FOR EACH ROW EXECUTE FUNCTION flagscope._renew_flag_states();
CREATE TRIGGER renew_flag_states AFTER UPDATE OF metadata ON flagscope.environment
    FOR EACH ROW EXECUTE FUNCTION flagscope._renew_flag_states();
CREATE TRIGGER renew_flag_states AFTER UPDATE OF rule ON flagscope.segment
    FOR EACH ROW EXECUTE FUNCTION flagscope._renew_flag_states();

CREATE FUNCTION flagscope._check_segment() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'DELETE' OR NEW.name <> OLD.name THEN
        IF EXISTS (SELECT FROM flagscope.flag_state s WHERE flagscope._segments_of(s.targeting) ? OLD.name) THEN
            RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
                MESSAGE = format('segment "%s" is in use', OLD.name), HINT = 'Take it out of the flags'' targeting first.';
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
    PERFORM flagscope._require_targeting(NEW.rule, format('segment "%s"', NEW.name));
    RETURN NULL;
END $$;
COMMENT ON FUNCTION flagscope._require_segment() IS 'trigger: a segment''s rule can be evaluated, with the segments it names itself';
CREATE CONSTRAINT TRIGGER require_segment AFTER INSERT OR UPDATE OF rule ON flagscope.segment
    DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW EXECUTE FUNCTION flagscope._require_segment();

CREATE FUNCTION flagscope.set_targeting(flag text, targeting jsonb, environment text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    new_version bigint;
BEGIN
    UPDATE flagscope.flag_state s SET targeting = nullif(set_targeting.targeting, 'null')
    WHERE s.flag = set_targeting.flag AND s.environment = flagscope._environment(set_targeting.environment)
    RETURNING s.version INTO new_version;
    -- Which raises the error for a flag that is not there.
    RETURN coalesce(new_version, flagscope._change_flag_state(flag, environment, NULL, NULL));
END $$;
COMMENT ON FUNCTION flagscope.set_targeting(text, jsonb, text) IS
    'sets a flag''s targeting rule, NULL for none; returns the new version';

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
    RETURN coalesce(new_version, flagscope._change_flag_state(flag, environment, NULL, NULL));
END $$;
COMMENT ON FUNCTION flagscope.set_prerequisites(text, jsonb, text) IS
    'sets the other flags that must serve a variant first, as [{"flag", "variant"}]; returns the new version';

CREATE FUNCTION flagscope.create_segment(name text, rule jsonb, description text DEFAULT '') RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO flagscope.segment (name, rule, description) VALUES (create_segment.name, create_segment.rule, create_segment.description);
EXCEPTION WHEN unique_violation THEN
    RAISE EXCEPTION USING ERRCODE = 'duplicate_object', MESSAGE = format('segment "%s" exists already', create_segment.name);
END $$;
COMMENT ON FUNCTION flagscope.create_segment(text, jsonb, text) IS 'names a JsonLogic rule for {"$ref": name} in targeting';
