-- Telemetry: the ingest trigger, and one view per signal with the signal's own words.

CREATE TRIGGER fold_telemetry AFTER INSERT ON flagscope.telemetry REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.fold_telemetry();
COMMENT ON FUNCTION _flagscope.fold_telemetry() IS
    'trigger: matches the rows of one statement against the metrics on watch and writes their states to variant_delta';

CREATE FUNCTION _flagscope.attribution(flags jsonb, attribution flagscope.attribution) RETURNS flagscope.attribution
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(attribution, CASE WHEN flags IS NULL THEN 'none' ELSE 'tag' END::flagscope.attribution);
COMMENT ON FUNCTION _flagscope.attribution(jsonb, flagscope.attribution) IS 'how a row came to its flags, also when its writer did not say';

CREATE VIEW flagscope.span AS
SELECT ts AS started_at, value AS duration, name, is_error, subject, flags, environment, service, trace_id,
    encode(span_id, 'hex') AS span_id, encode(parent_span_id, 'hex') AS parent_span_id, attributes, _flagscope.attribution(flags, attribution) AS attribution,
    ts_nanos
FROM flagscope.telemetry WHERE signal = 'span';
COMMENT ON VIEW flagscope.span IS 'spans; duration in seconds';

CREATE VIEW flagscope.log AS
SELECT ts, name AS logger, severity, body, is_error, subject, flags, environment, service, trace_id,
    encode(span_id, 'hex') AS span_id, attributes, _flagscope.attribution(flags, attribution) AS attribution,
    ts_nanos
FROM flagscope.telemetry WHERE signal = 'log';
COMMENT ON VIEW flagscope.log IS 'log records; severity is OpenTelemetry''s number, 17 and above an error';

CREATE VIEW flagscope.metric_point AS
SELECT ts, name, value, unit, distribution, subject, flags, environment, service, attributes, _flagscope.attribution(flags, attribution) AS attribution,
    ts_nanos
FROM flagscope.telemetry WHERE signal = 'metric';
COMMENT ON VIEW flagscope.metric_point IS 'metric data points; of OTLP histograms the mean, their values as a histogram for quantile(distribution, p) and rollup(distribution), and the whole point in attributes->''otlp''';

CREATE VIEW flagscope.event AS
SELECT ts, name, value, unit, subject, flags, environment, service, is_error, trace_id, body, attributes, _flagscope.attribution(flags, attribution) AS attribution,
    ts_nanos
FROM flagscope.telemetry WHERE signal = 'event';
COMMENT ON VIEW flagscope.event IS 'product and system events';

CREATE VIEW flagscope.exposure AS
SELECT t.ts, f.key AS flag, f.value AS variant, t.subject, t.environment, t.service,
    t.attributes ->> 'feature_flag.result.reason' AS reason, t.trace_id, encode(t.span_id, 'hex') AS span_id, t.ts_nanos
FROM flagscope.telemetry t, LATERAL jsonb_each_text(t.flags) f
WHERE t.signal = 'event' AND t.name = 'feature_flag.evaluation';
COMMENT ON VIEW flagscope.exposure IS 'who got which variant of which flag, and when (OpenTelemetry''s feature_flag.evaluation)';

CREATE VIEW flagscope.tagged AS
SELECT t.ts, f.key AS flag, f.value AS variant, t.signal, t.name, t.value, t.unit, t.subject, t.environment, t.service,
    t.severity, t.is_error, t.trace_id, t.body, t.attributes,
    _flagscope.attribution(t.flags, t.attribution) AS attribution
FROM flagscope.telemetry t, LATERAL jsonb_each_text(t.flags) f;
COMMENT ON VIEW flagscope.tagged IS 'telemetry once for every flag it is tied to, with flag and variant as columns';

CREATE VIEW flagscope.span_summary AS
SELECT d.flag, d.variant, d.environment, d.service, d.name, d.spans, d.errors, d.errors::float8 / d.spans AS error_rate,
    flagscope.quantile(d.durations, 0.5) AS p50, flagscope.quantile(d.durations, 0.95) AS p95,
    flagscope.quantile(d.durations, 0.99) AS p99, d.first_at, d.last_at
FROM (
    SELECT t.flag, t.variant, t.environment, t.service, t.name, count(*) AS spans, count(*) FILTER (WHERE t.is_error) AS errors,
        flagscope.tdigest(t.value) AS durations, min(t.ts) AS first_at, max(t.ts) AS last_at
    FROM flagscope.tagged t WHERE t.signal = 'span'
    GROUP BY t.flag, t.variant, t.environment, t.service, t.name
) d;
COMMENT ON VIEW flagscope.span_summary IS
    'spans by variant: count, error rate and duration quantiles (s) by t-digest over the raw rows';
