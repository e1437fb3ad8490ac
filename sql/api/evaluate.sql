-- Evaluation: comments of the functions implemented in Rust (src/flag/),
-- and the function that also records an exposure.

COMMENT ON FUNCTION flagscope.evaluate(text, text, jsonb, text) IS
    'evaluates a flag for a targeting key (default: context.targetingKey); returns value, variant, reason and error '
    'code as in OpenFeature; no value means that the caller uses its own default; writes nothing';

CREATE FUNCTION flagscope.expose(
    flag text, targeting_key text, context jsonb DEFAULT NULL, environment text DEFAULT NULL, service text DEFAULT NULL,
    trace_id uuid DEFAULT NULL, at timestamptz DEFAULT clock_timestamp(),
    OUT value jsonb, OUT variant text, OUT reason text, OUT error_code text, OUT metadata jsonb
)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
    WITH answer AS (
        SELECT * FROM flagscope.evaluate(flag, targeting_key, context, environment)
    ), recorded AS (
        INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags, environment, service, trace_id, is_error,
            attributes, attribution)
        SELECT at, 'event', 'feature_flag.evaluation', coalesce(targeting_key, context ->> 'targetingKey'),
            CASE WHEN a.variant IS NOT NULL THEN jsonb_build_object(flag, a.variant) END,
            coalesce(environment, nullif(current_setting('flagscope.environment', true), '')), service, trace_id,
            a.error_code IS NOT NULL,
            jsonb_strip_nulls(jsonb_build_object('feature_flag.key', flag, 'feature_flag.result.variant', a.variant,
                'feature_flag.result.reason', lower(a.reason), 'error.type', lower(a.error_code),
                'feature_flag.provider.name', 'flagscope')),
            CASE WHEN a.variant IS NOT NULL THEN 'tag'::flagscope.attribution END
        FROM answer a
    )
    SELECT a.* FROM answer a;
$$;
COMMENT ON FUNCTION flagscope.expose(text, text, jsonb, text, text, uuid, timestamptz) IS
    'evaluates like evaluate() and records the exposure in the caller''s transaction';

COMMENT ON FUNCTION flagscope.evaluate_boolean(text, text, boolean, jsonb, text) IS
    'the value of a boolean flag, or the given default on any error, for a disabled flag, and for another type';
COMMENT ON FUNCTION flagscope.evaluate_string(text, text, text, jsonb, text) IS
    'the value of a string flag, or the given default on any error, for a disabled flag, and for another type';
COMMENT ON FUNCTION flagscope.evaluate_integer(text, text, bigint, jsonb, text) IS
    'the value of a numeric flag if it is whole, or the given default on any error, '
    'for a disabled flag, and for another type';
COMMENT ON FUNCTION flagscope.evaluate_number(text, text, float8, jsonb, text) IS
    'the value of a numeric flag, or the given default on any error, for a disabled flag, and for another type';
COMMENT ON FUNCTION flagscope.evaluate_object(text, text, jsonb, jsonb, text) IS
    'the value of an object flag, or the given default on any error, for a disabled flag, and for another type';
COMMENT ON FUNCTION flagscope.explain_evaluation(text, text, jsonb, text) IS
    'explains the answer of evaluate(): the deciding step, the rule''s result, the bucket, and a sentence';
COMMENT ON FUNCTION flagscope.ofrep_evaluate(text, jsonb, text) IS
    'evaluates a flag and answers in the JSON of OFREP 0.3.0; context: the context (its targetingKey is the targeting '
    'key), or the body that clients post, {"context": {...}}';
COMMENT ON FUNCTION _flagscope.evaluate_among(jsonb, text, text, jsonb, float8) IS
    'evaluates a flag from given definitions at a given Unix time';

COMMENT ON FUNCTION flagscope.evaluate_all(text, jsonb, text) IS
    'evaluates every flag of an environment except archived ones';
COMMENT ON FUNCTION flagscope.ofrep_evaluate_all(jsonb, text) IS
    'OFREP''s bulk answer for every flag of an environment; context as for ofrep_evaluate()';

CREATE FUNCTION _flagscope.definitions_as_of(flag text, environment text, at timestamptz) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH RECURSIVE env(key) AS (
        SELECT _flagscope.environment(environment)
    ), needed(flag, definition) AS (
        SELECT h.flag, h.definition FROM env, flagscope.flag_state_history h
        WHERE h.flag = definitions_as_of.flag AND h.environment = env.key AND h.valid @> at
        UNION
        SELECT h.flag, h.definition FROM needed n, LATERAL jsonb_array_elements(n.definition -> 'prerequisites') p,
            env, flagscope.flag_state_history h
        WHERE h.flag = p ->> 'flag' AND h.environment = env.key AND h.valid @> at
    )
    SELECT coalesce(jsonb_agg(n.definition || jsonb_build_object('set_metadata', coalesce((
        SELECT h.metadata FROM env, flagscope.environment_history h
        WHERE h.environment = env.key AND h.valid @> at), '{}'))), '[]') FROM needed n;
$$;
COMMENT ON FUNCTION _flagscope.definitions_as_of(text, text, timestamptz) IS
    'a flag and the flags that it needs, as they were at a time';

CREATE FUNCTION flagscope.evaluate_as_of(flag text, targeting_key text, context jsonb DEFAULT NULL,
    environment text DEFAULT NULL, at timestamptz DEFAULT clock_timestamp())
RETURNS TABLE (value jsonb, variant text, reason text, error_code text, metadata jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT e.* FROM _flagscope.evaluate_among(_flagscope.definitions_as_of(flag, environment, at),
        flag, targeting_key, context, extract(epoch FROM _flagscope.finite('evaluate_as_of()', at))::float8) e
$$;
COMMENT ON FUNCTION flagscope.evaluate_as_of(text, text, jsonb, text, timestamptz) IS
    'what evaluate() answered at a time in the past, from flag_state_history: '
    '"which variant did this user get at 14:03"';
