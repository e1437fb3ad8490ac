-- Targeting: the complete definition of a flag as it is evaluated, and checks of rules and prerequisites.

CREATE FUNCTION _flagscope.segments(environment text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce((SELECT jsonb_object_agg(s.name, s.rule) FROM flagscope.segment s), '{}')
        || coalesce((SELECT e.segments
                FROM flagscope.environment_definition e WHERE e.key = segments.environment), '{}');
$$;
COMMENT ON FUNCTION _flagscope.segments(text) IS
    'the segments that rules may refer to in an environment, by name; NULL: everywhere';

-- Most rules refer to none: collecting all segments took longer than checking the rule.
CREATE FUNCTION _flagscope.segments_for(rule jsonb, environment text) RETURNS jsonb
LANGUAGE sql STABLE
RETURN CASE WHEN rule @? 'strict $.**."$ref"' THEN _flagscope.segments(environment) ELSE '{}' END;
COMMENT ON FUNCTION _flagscope.segments_for(jsonb, text) IS
    'the segments that a rule may refer to; none if it refers to none';

CREATE FUNCTION _flagscope.segment(name text, environment text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce((SELECT e.segments -> name FROM flagscope.environment_definition e WHERE e.key = environment),
        (SELECT s.rule FROM flagscope.segment s WHERE s.name = segment.name));
$$;
COMMENT ON FUNCTION _flagscope.segment(text, text) IS 'the rule of a segment in an environment; NULL: there is none';

-- Without JIT: the planner overestimates recursive queries, and compiling took 200 of 201 ms.
CREATE FUNCTION _flagscope.segments_of(targeting jsonb, environment text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH RECURSIVE used(name, rule) AS (
        SELECT r #>> '{}', _flagscope.segment(r #>> '{}', environment)
        FROM jsonb_path_query(targeting, 'strict $.**."$ref"', silent => true) r
        UNION
        SELECT r #>> '{}', _flagscope.segment(r #>> '{}', environment)
        FROM used u, LATERAL jsonb_path_query(u.rule, 'strict $.**."$ref"', silent => true) r
    )
    SELECT coalesce(jsonb_object_agg(u.name, u.rule), '{}') FROM used u WHERE u.name IS NOT NULL AND u.rule IS NOT NULL;
$$;
COMMENT ON FUNCTION _flagscope.segments_of(jsonb, text) IS
    'the segments that a rule in an environment refers to, directly or through others, by name';

-- A single expression, so that the planner can inline it into queries over many flags.
CREATE FUNCTION _flagscope.definition_of(s flagscope.flag_state, f flagscope.flag_definition,
    e flagscope.environment_definition)
RETURNS jsonb
LANGUAGE sql STABLE
RETURN json_build_object('key', (f).key, 'value_type', (f).value_type,
    'enabled', (s).enabled AND (f).archived_at IS NULL, 'variants', coalesce((s).variants, (f).variants),
    'default_variant', (s).default_variant, 'targeting', (s).targeting, 'bucketing', (f).bucketing,
    'split', CASE WHEN (s).rollout_id IS NOT NULL THEN
            json_build_object('treatment', (s).treatment, 'control', (s).control, 'percent', (s).percent) END,
        'prerequisites', (s).prerequisites, 'metadata', coalesce((s).metadata,
            (f).metadata), 'set_metadata', (e).metadata, 'segments', CASE
                WHEN (s).targeting @? 'strict $.**."$ref"' THEN _flagscope.segments_of((s).targeting, (s).environment)
                ELSE '{}' END)::jsonb
    || CASE WHEN (f).value_schema IS NULL THEN '{}' ELSE jsonb_build_object('value_schema', (f).value_schema) END;
COMMENT ON FUNCTION _flagscope.definition_of(flagscope.flag_state, flagscope.flag_definition,
    flagscope.environment_definition) IS
    'the complete definition of a flag: all that its evaluation reads, and its JSON Schema';

-- In plpgsql, which caches the plan: as an SQL function it was planned at every call, in 0.3 ms.
CREATE FUNCTION _flagscope.definition(s flagscope.flag_state) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT _flagscope.definition_of(s, f, e)
        FROM flagscope.flag_definition f, flagscope.environment_definition e
            WHERE f.key = s.flag AND e.key = s.environment);
END $$;
COMMENT ON FUNCTION _flagscope.definition(flagscope.flag_state) IS 'the complete definition of a flag, by its state';

COMMENT ON FUNCTION _flagscope.check_targeting(jsonb, jsonb) IS
    'problems of a JsonLogic rule, given the segments that it may refer to';

COMMENT ON FUNCTION _flagscope.unknown_variants(jsonb, jsonb, jsonb) IS
    'results of a JsonLogic rule that are not variants of the flag, given the segments that it may refer to';

CREATE FUNCTION _flagscope.variants(flag text, environment text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(s.variants, f.variants) FROM flagscope.flag_definition f
        LEFT JOIN flagscope.flag_state s ON s.flag = f.key AND s.environment = variants.environment
    WHERE f.key = variants.flag;
$$;
COMMENT ON FUNCTION _flagscope.variants(text, text) IS 'the variants of a flag in an environment; NULL: no such flag';

-- In plpgsql, which caches the plan: every change of a flag calls it.
CREATE FUNCTION flagscope.check_targeting(targeting jsonb, flag text DEFAULT NULL, environment text DEFAULT NULL)
RETURNS TABLE (path text, problem text, hint text, is_error boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    env text := _flagscope.environment(environment);
    segments jsonb := _flagscope.segments(env);
    variants jsonb := _flagscope.variants(flag, env);
BEGIN
    IF flag IS NOT NULL AND variants IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = _flagscope.message('flag "%s" does not exist', flag),
            HINT = 'Create it with flagscope.create_flag(key).';
    END IF;
    RETURN QUERY SELECT p.path, p.problem, p.hint, p.is_error FROM _flagscope.check_targeting(targeting, segments) p
        UNION ALL
        SELECT u.path, u.problem, u.hint, true
        FROM _flagscope.unknown_variants(targeting, segments, variants) u;
END $$;
COMMENT ON FUNCTION flagscope.check_targeting(jsonb, text, text) IS
    'problems of a targeting rule with their place (a JSON pointer), in an environment (NULL: flagscope.environment); '
    'if a flag is given, also results that are not among its variants; no rows: every flagd client accepts the rule; '
    'a problem that is not an error works, but probably not as intended';

COMMENT ON FUNCTION _flagscope.targeting_outcomes(jsonb) IS
    'the variants that a rule names as results, and whether it may compute others';

CREATE FUNCTION _flagscope.not_by_chance(s flagscope.flag_state, treatment text, control text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN arm.name IS NOT NULL THEN format('targeting serves variant "%s"', arm.name)
        WHEN o.any THEN 'targeting computes the variant that it serves'
        WHEN s.prerequisites <> '[]' AND s.default_variant IN (treatment, control)
            THEN format('users who do not meet a prerequisite are served variant "%s"', s.default_variant) END
    FROM (SELECT 1) one LEFT JOIN _flagscope.targeting_outcomes(s.targeting) o ON true
        LEFT JOIN LATERAL (SELECT min(v) FROM unnest(o.variants) v WHERE v IN (treatment, control)) arm(name) ON true;
$$;
COMMENT ON FUNCTION _flagscope.not_by_chance(flagscope.flag_state, text, text) IS
    'how users are assigned to the arms of a rollout other than by its split, '
    'so that the arms differ in more than the variant; NULL: they are not';

CREATE FUNCTION _flagscope.require_targeting(targeting jsonb, owner text, environment text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wrong record;
BEGIN
    SELECT * INTO wrong FROM _flagscope.check_targeting(targeting, _flagscope.segments_for(targeting, environment)) p
    WHERE p.is_error LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('%s: %s%s', owner, wrong.problem, ' at ' || nullif(wrong.path, '')),
            HINT = 'SELECT * FROM flagscope.check_targeting(rule) lists every problem.';
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.require_targeting(jsonb, text, text) IS
    'raises unless a rule can be evaluated in an environment; NULL: with the general segments';

CREATE FUNCTION _flagscope.require_rule(s flagscope.flag_state, was flagscope.flag_state, variants jsonb) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_new boolean := was.targeting IS DISTINCT FROM s.targeting;
    other_variants boolean := was.variants IS DISTINCT FROM s.variants;
    segments jsonb;
    wrong record;
BEGIN
    IF NOT (is_new OR other_variants OR s.targeting @? 'strict $.**."$ref"') THEN
        RETURN;
    END IF;
    PERFORM _flagscope.require_targeting(s.targeting, format('targeting of flag "%s"', s.flag), s.environment);
    -- An import accepts what flagd accepts, and reports it.
    IF (is_new OR other_variants) AND coalesce(current_setting('flagscope.importing', true), '') <> 'on' THEN
        segments := _flagscope.segments_for(s.targeting, s.environment);
        SELECT * INTO wrong FROM _flagscope.unknown_variants(s.targeting, segments, variants) u
        -- Results that were unknown before (from an import) do not prevent a change of the variants.
        WHERE is_new OR NOT EXISTS (SELECT FROM _flagscope.unknown_variants(s.targeting, segments,
            coalesce(was.variants, _flagscope.variants(s.flag, NULL::text))) o WHERE o.path = u.path) LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'undefined_object',
                MESSAGE = _flagscope.message('targeting of flag "%s"%s: %s', s.flag,
                    ' at ' || nullif(wrong.path, ''), wrong.problem),
                HINT = 'Users for whom the rule yields it would get an error. '
                    'Add the variant to the flag first, or serve another one.';
        END IF;
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.require_rule(flagscope.flag_state, flagscope.flag_state, jsonb) IS
    'raises unless a flag''s rule can be evaluated and yields variants of the flag, '
    'except for problems that existed before the change';

CREATE FUNCTION _flagscope.require_prerequisites(prerequisites jsonb, flag text, environment text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p jsonb;
BEGIN
    IF jsonb_typeof(prerequisites) <> 'array' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('prerequisites of flag "%s" must be a JSON array, got %s',
                flag, prerequisites),
            HINT = 'Write them like [{"flag": "new-cart", "variant": "on"}].';
    END IF;
    FOR p IN SELECT x FROM jsonb_array_elements(prerequisites) x LOOP
        IF jsonb_typeof(p -> 'flag') IS DISTINCT FROM 'string'
            OR jsonb_typeof(p -> 'variant') IS DISTINCT FROM 'string' THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = _flagscope.message('a prerequisite of flag "%s" does not name a flag and a variant: %s',
                    flag, p),
                HINT = 'Write it like {"flag": "new-cart", "variant": "on"}.';
        END IF;
        IF NOT EXISTS (SELECT FROM flagscope.flag_definition f JOIN flagscope.flag_state s ON s.flag = f.key
            WHERE f.key = p ->> 'flag' AND s.environment = require_prerequisites.environment
                AND coalesce(s.variants, f.variants) ? (p ->> 'variant')) THEN
            RAISE EXCEPTION USING ERRCODE = 'undefined_object',
                MESSAGE = _flagscope.message('prerequisite of flag "%s" does not exist: flag "%s" with variant "%s"',
                    flag, p ->> 'flag', p ->> 'variant');
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.require_prerequisites(jsonb, text, text) IS
    'raises unless every prerequisite is a flag with that variant';

CREATE FUNCTION _flagscope.check_prerequisite_cycle() RETURNS trigger
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
            MESSAGE = _flagscope.message('prerequisites of flag "%s" form a circle: %s', NEW.flag,
                array_to_string(found_path, ' needs '));
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.check_prerequisite_cycle() IS
    'trigger, at commit: no flag needs itself, directly or indirectly';
CREATE CONSTRAINT TRIGGER check_prerequisite_cycle AFTER INSERT OR UPDATE ON flagscope.flag_state
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.prerequisites <> '[]')
    EXECUTE FUNCTION _flagscope.check_prerequisite_cycle();

-- A generic plan by index even while the table is small: it is kept for the session while the table grows.
CREATE FUNCTION _flagscope.check_flag_needed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $$
DECLARE
    kept jsonb := CASE WHEN TG_OP = 'UPDATE' AND NEW.archived_at IS NULL THEN NEW.variants ELSE '{}' END;
    other record;
BEGIN
    IF kept ?& ARRAY(SELECT jsonb_object_keys(OLD.variants)) THEN
        RETURN NULL;  -- no variant is removed
    END IF;
    SELECT s.flag, s.environment, p ->> 'variant' AS variant INTO other
    FROM flagscope.flag_state s JOIN flagscope.flag_definition f ON f.key = s.flag,
        LATERAL jsonb_array_elements(s.prerequisites) p
    WHERE s.prerequisites @> jsonb_build_array(jsonb_build_object('flag', OLD.key)) AND s.prerequisites <> '[]'
        AND p ->> 'flag' = OLD.key AND NOT kept ? (p ->> 'variant')
        AND (kept = '{}' OR NOT EXISTS (SELECT FROM flagscope.flag_state own
            WHERE own.flag = OLD.key AND own.environment = s.environment AND own.variants ? (p ->> 'variant'))) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('flag "%s" in environment "%s" needs variant "%s" of flag "%s"',
                other.flag, other.environment, other.variant, OLD.key),
            HINT = 'Change its prerequisites first.';
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.archived_at IS NOT NULL AND EXISTS (SELECT FROM flagscope.flag_state s
        WHERE s.flag = NEW.key AND s.rollout_id IS NOT NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('flag "%s" has a live rollout', NEW.key),
            HINT = 'Complete it or roll it back first.';
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.check_flag_needed() IS
    'trigger: a flag or variant that another flag needs cannot be removed or archived; '
    'a flag with a live rollout cannot be archived';
CREATE CONSTRAINT TRIGGER check_flag_needed AFTER DELETE OR UPDATE OF variants, archived_at ON flagscope.flag_definition
    DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW EXECUTE FUNCTION _flagscope.check_flag_needed();

-- If the whole flag is deleted, the flag's own trigger checks this.
CREATE FUNCTION _flagscope.check_state_needed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $$
DECLARE
    other text := (SELECT min(s.flag) FROM flagscope.flag_state s WHERE s.environment = OLD.environment
        AND s.prerequisites @> jsonb_build_array(jsonb_build_object('flag', OLD.flag)) AND s.prerequisites <> '[]');
BEGIN
    IF other IS NOT NULL AND EXISTS (SELECT FROM flagscope.flag_definition f WHERE f.key = OLD.flag) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('flag "%s" in environment "%s" needs flag "%s"', other,
                OLD.environment, OLD.flag),
            HINT = 'Change its prerequisites first.';
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.check_state_needed() IS
    'trigger: the state of a flag that another flag needs cannot be deleted';
CREATE CONSTRAINT TRIGGER check_state_needed AFTER DELETE ON flagscope.flag_state
    DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW EXECUTE FUNCTION _flagscope.check_state_needed();

CREATE FUNCTION _flagscope.renew_flag_states() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- An update that sets nothing: the triggers of flag_state give every affected state
    -- a new version with the new definition.
    UPDATE flagscope.flag_state s SET enabled = s.enabled WHERE s.flag = NEW.key;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.renew_flag_states() IS
    'trigger: adds a flag''s new definition to the history of each of its states';
CREATE TRIGGER renew_flag_states AFTER UPDATE OF variants, metadata, bucketing, archived_at, value_schema
    ON flagscope.flag_definition
    FOR EACH ROW WHEN ((NEW.variants, NEW.metadata, NEW.bucketing, NEW.archived_at, NEW.value_schema)
        IS DISTINCT FROM (OLD.variants, OLD.metadata, OLD.bucketing, OLD.archived_at, OLD.value_schema))
    EXECUTE FUNCTION _flagscope.renew_flag_states();

CREATE FUNCTION flagscope.set_targeting(flag text, targeting jsonb, environment text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    new_version bigint;
BEGIN
    UPDATE flagscope.flag_state s SET targeting = nullif(set_targeting.targeting, 'null')
    WHERE s.flag = set_targeting.flag AND s.environment = _flagscope.environment(set_targeting.environment)
    RETURNING s.version INTO new_version;
    -- Raises the error for a flag that does not exist.
    RETURN coalesce(new_version, _flagscope.change_flag_state(flag, environment, NULL::boolean, NULL::text));
END $$;
COMMENT ON FUNCTION flagscope.set_targeting(text, jsonb, text) IS
    'sets a flag''s targeting rule, NULL for none; refused if it yields a variant that the flag does not have; '
    'returns the new version';

CREATE FUNCTION flagscope.set_prerequisites(flag text, prerequisites jsonb, environment text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    new_version bigint;
BEGIN
    UPDATE flagscope.flag_state s SET prerequisites = coalesce(set_prerequisites.prerequisites, '[]')
    WHERE s.flag = set_prerequisites.flag AND s.environment = _flagscope.environment(set_prerequisites.environment)
    RETURNING s.version INTO new_version;
    -- Raises the error for a flag that does not exist.
    RETURN coalesce(new_version, _flagscope.change_flag_state(flag, environment, NULL::boolean, NULL::text));
END $$;
COMMENT ON FUNCTION flagscope.set_prerequisites(text, jsonb, text) IS
    'sets the other flags that must serve given variants, as [{"flag", "variant"}]; returns the new version';
