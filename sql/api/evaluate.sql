-- Evaluation: comments of what Rust implements (src/flag.rs), and the call that also records an exposure.

COMMENT ON FUNCTION flagscope.evaluate(text, text, jsonb, text) IS
    'evaluates a flag for a targeting key (else context.targetingKey): value, variant, reason and error code as OpenFeature''s; no value means the caller''s own default; reads only';

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
        INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags, environment, service, trace_id, is_error, attributes, attribution)
        SELECT at, 'event', 'feature_flag.evaluation', coalesce(targeting_key, context ->> 'targetingKey'),
            CASE WHEN a.variant IS NOT NULL THEN jsonb_build_object(flag, a.variant) END, environment, service, trace_id,
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
