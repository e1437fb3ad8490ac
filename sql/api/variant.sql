-- Variants of a flag, one by one.

CREATE FUNCTION flagscope.add_variant(flag text, variant text, value jsonb, environment text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    env text := CASE WHEN environment IS NOT NULL THEN _flagscope.environment(environment) END;
    known jsonb;
BEGIN
    PERFORM _flagscope.require_flag(flag);
    IF variant IS NULL OR value IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a variant has a name and a value',
            HINT = 'For example add_variant(''theme'', ''green'', ''"#0f0"'').';
    END IF;
    IF env IS NULL THEN
        SELECT f.variants INTO known FROM flagscope.flag_definition f WHERE f.key = add_variant.flag FOR NO KEY UPDATE;
    ELSE
        SELECT coalesce(s.variants, f.variants) INTO known
        FROM flagscope.flag_state s JOIN flagscope.flag_definition f ON f.key = s.flag
        WHERE s.flag = add_variant.flag AND s.environment = env FOR NO KEY UPDATE OF s;
    END IF;
    IF known ? variant THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
            MESSAGE = _flagscope.message('flag "%s" has a variant "%s" already', flag, variant),
            HINT = 'UPDATE of the column variants changes its value.';
    END IF;
    known := known || jsonb_build_object(variant, value);
    IF env IS NULL THEN
        UPDATE flagscope.flag_definition f SET variants = known WHERE f.key = add_variant.flag;
    ELSE
        UPDATE flagscope.flag_state s SET variants = known WHERE s.flag = add_variant.flag AND s.environment = env;
    END IF;
    RETURN (SELECT max(s.version) FROM flagscope.flag_state s
        WHERE s.flag = add_variant.flag AND s.environment = coalesce(env, s.environment));
END $$;
COMMENT ON FUNCTION flagscope.add_variant(text, text, jsonb, text) IS
    'gives a flag one more variant, which nobody is served yet: everywhere but where an environment has variants of '
    'its own, or with an environment there alone; returns the new version';
