-- OTLP/JSON in: traces, logs and metrics as OpenTelemetry SDKs and Collectors write them.

COMMENT ON FUNCTION flagscope._decode_otlp(text) IS
    'decodes an OTLP/JSON payload into rows; a last row without ts carries the number of rejected records, the first error and the NULs replaced';

CREATE FUNCTION flagscope._is_evaluation(signal text, name text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN signal = 'event' AND name = 'feature_flag.evaluation';
COMMENT ON FUNCTION flagscope._is_evaluation(text, text) IS 'is the row a flag evaluation';

CREATE FUNCTION flagscope._flags_of_trace(wanted uuid, from_ts timestamptz, to_ts timestamptz) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_object_agg(f.key, f.value ORDER BY t.ts)
    FROM flagscope.telemetry t, LATERAL jsonb_each(t.flags) f
    WHERE t.trace_id = wanted AND t.ts BETWEEN from_ts AND to_ts
        AND t.signal = 'event' AND t.name = 'feature_flag.evaluation';
$$;
COMMENT ON FUNCTION flagscope._flags_of_trace(uuid, timestamptz, timestamptz) IS 'flags by the stored evaluations of a trace; the latest wins';

CREATE FUNCTION flagscope._flags_of_subject(wanted text, at timestamptz) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_object_agg(f.key, f.value ORDER BY t.ts)
    FROM flagscope.telemetry t, LATERAL jsonb_each(t.flags) f
    WHERE left(t.subject, 255) = left(wanted, 255) AND t.subject = wanted AND t.ts BETWEEN at - interval '1 day' AND at
        AND t.signal = 'event' AND t.name = 'feature_flag.evaluation';
$$;
COMMENT ON FUNCTION flagscope._flags_of_subject(text, timestamptz) IS 'flags by a subject''s stored evaluations of the day before; the latest wins';

CREATE FUNCTION flagscope.ingest_otlp(payload text,
    OUT accepted bigint, OUT rejected bigint, OUT duplicate bigint, OUT first_error text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    WITH decoded AS MATERIALIZED (
        SELECT d.*, flagscope._is_evaluation(d.signal, d.name) AS is_evaluation,
            d.attributes ->> 'feature_flag.key' AS flag_key, d.ordinality AS place
        FROM flagscope._decode_otlp(payload) WITH ORDINALITY d
    ), counted AS (
        SELECT d.rejected, d.first_error FROM decoded d WHERE d.ts IS NULL
    ), fresh AS MATERIALIZED (
        -- One evaluation arrives in up to four shapes, in this payload or another: the first one stays. Another answer
        -- (for another user, or an error) of the same flag in the same span is another evaluation.
        SELECT d.* FROM (
            SELECT d.*, row_number() OVER (PARTITION BY d.is_evaluation, d.trace_id, d.span_id, d.flag_key, d.flags, d.is_error
                ORDER BY d.place) AS nth
            FROM decoded d WHERE d.ts IS NOT NULL
        ) d
        WHERE NOT coalesce(d.is_evaluation AND d.trace_id IS NOT NULL AND (d.nth > 1 OR EXISTS (
            SELECT FROM flagscope.telemetry t
            WHERE t.trace_id = d.trace_id AND t.ts BETWEEN d.ts - interval '1 minute' AND d.ts + interval '1 minute'
                AND t.signal = 'event' AND t.name = d.name AND t.span_id IS NOT DISTINCT FROM d.span_id
                AND t.attributes ->> 'feature_flag.key' IS NOT DISTINCT FROM d.flag_key
                AND (t.flags, t.is_error) IS NOT DISTINCT FROM (d.flags, d.is_error))), false)
    ), evaluated AS (
        SELECT e.trace_id, jsonb_object_agg(x.key, x.value ORDER BY e.ts) AS flags
        FROM fresh e, LATERAL jsonb_each(e.flags) x WHERE e.is_evaluation AND e.trace_id IS NOT NULL GROUP BY e.trace_id
    ), by_trace AS MATERIALIZED (
        SELECT t.trace_id, coalesce(flagscope._flags_of_trace(t.trace_id, t.first_ts - interval '1 hour', t.last_ts + interval '1 hour'), '{}')
            || coalesce(e.flags, '{}') AS flags
        FROM (SELECT f.trace_id, min(f.ts) AS first_ts, max(f.ts) AS last_ts FROM fresh f
              WHERE f.trace_id IS NOT NULL GROUP BY f.trace_id) t
            LEFT JOIN evaluated e ON e.trace_id = t.trace_id
    ), tagged AS (
        SELECT f.*, nullif(b.flags, '{}') AS trace_flags,
            CASE WHEN f.flags IS NULL AND nullif(b.flags, '{}') IS NULL AND f.subject IS NOT NULL
                THEN flagscope._flags_of_subject(f.subject, f.ts) END AS subject_flags
        FROM fresh f LEFT JOIN by_trace b ON b.trace_id = f.trace_id AND f.flags IS NULL AND NOT f.is_evaluation
    ), stored AS (
        INSERT INTO flagscope.telemetry (ts, ts_nanos, signal, name, value, unit, subject, flags, environment, service, severity,
            is_error, trace_id, span_id, parent_span_id, body, attributes, attribution)
        SELECT g.ts, g.ts_nanos, g.signal::flagscope.signal, g.name, g.value, g.unit, g.subject,
            coalesce(g.flags, g.trace_flags, g.subject_flags), g.environment, g.service, g.severity, g.is_error,
            g.trace_id, g.span_id, g.parent_span_id, g.body, g.attributes,
            CASE WHEN g.flags IS NOT NULL THEN 'tag' WHEN g.trace_flags IS NOT NULL THEN 'trace'
                 WHEN g.subject_flags IS NOT NULL THEN 'subject' END::flagscope.attribution
        FROM tagged g ORDER BY g.place
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM stored), c.rejected,
        (SELECT count(*) FROM decoded d WHERE d.ts IS NOT NULL) - (SELECT count(*) FROM fresh), c.first_error
    INTO accepted, rejected, duplicate, first_error FROM counted c;
END $$;
COMMENT ON FUNCTION flagscope.ingest_otlp(text) IS
    'stores an OTLP/JSON payload (one request, or JSON lines): traces, logs, metrics; a bad record is counted and never costs its batch; rows without flags get those of their trace, else of their subject''s latest evaluation';
