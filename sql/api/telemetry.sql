-- Telemetry: the ingest trigger, and one view per signal with that signal's own column names.

CREATE TRIGGER fold_telemetry AFTER INSERT ON flagscope.telemetry REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.fold_telemetry();
CREATE TRIGGER fold_telemetry AFTER INSERT ON _flagscope.telemetry_late REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.fold_telemetry();
COMMENT ON FUNCTION _flagscope.fold_telemetry() IS
    'trigger: matches the rows of one statement with the metrics that guardrails read '
    'and writes their states to variant_delta';

CREATE FUNCTION _flagscope.attribution(flags jsonb, attribution flagscope.attribution) RETURNS flagscope.attribution
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(attribution, CASE WHEN flags IS NULL THEN 'none' ELSE 'tag' END::flagscope.attribution);
COMMENT ON FUNCTION _flagscope.attribution(jsonb, flagscope.attribution) IS
    'where a row''s flags come from, also if its writer did not say';

CREATE VIEW flagscope.span AS
SELECT ts, value AS duration, name, is_error, subject, flags, environment, service, trace_id,
    encode(span_id, 'hex') AS span_id, encode(parent_span_id, 'hex') AS parent_span_id, attributes,
    _flagscope.attribution(flags, attribution) AS attribution, ts_nanos, instance
FROM flagscope.telemetry WHERE signal = 'span';
COMMENT ON VIEW flagscope.span IS 'spans; duration in seconds';
COMMENT ON COLUMN flagscope.span.ts IS 'when it began';
COMMENT ON COLUMN flagscope.span.duration IS 'how long it took, in seconds';
COMMENT ON COLUMN flagscope.span.name IS 'what was done';
COMMENT ON COLUMN flagscope.span.is_error IS 'did it fail';
COMMENT ON COLUMN flagscope.span.subject IS 'targeting key: the user, device or account it is about';
COMMENT ON COLUMN flagscope.span.flags IS 'JSON object {flag key: variant} that was active';
COMMENT ON COLUMN flagscope.span.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.span.service IS 'name of the service that sent it';
COMMENT ON COLUMN flagscope.span.trace_id IS 'trace that it belongs to';
COMMENT ON COLUMN flagscope.span.span_id IS 'id of the span, in hexadecimal digits';
COMMENT ON COLUMN flagscope.span.parent_span_id IS 'id of the span above it, in hexadecimal digits';
COMMENT ON COLUMN flagscope.span.attributes IS 'further attributes, as a JSON object';
COMMENT ON COLUMN flagscope.span.attribution IS 'how it came to its flags (type attribution)';
COMMENT ON COLUMN flagscope.span.ts_nanos IS 'nanoseconds beyond the microsecond of ts';
COMMENT ON COLUMN flagscope.span.instance IS 'which process of the service sent it';

CREATE VIEW flagscope.log AS
SELECT ts, name AS logger, severity, body, is_error, subject, flags, environment, service, trace_id,
    encode(span_id, 'hex') AS span_id, attributes, _flagscope.attribution(flags, attribution) AS attribution,
    ts_nanos, instance
FROM flagscope.telemetry WHERE signal = 'log';
COMMENT ON VIEW flagscope.log IS 'log records; severity is OpenTelemetry''s number, 17 and above an error';
COMMENT ON COLUMN flagscope.log.ts IS 'when it was logged';
COMMENT ON COLUMN flagscope.log.logger IS 'name of the logger';
COMMENT ON COLUMN flagscope.log.severity IS 'OpenTelemetry severity number, 1 to 24; 17 and above is an error';
COMMENT ON COLUMN flagscope.log.body IS 'its text';
COMMENT ON COLUMN flagscope.log.is_error IS 'did it fail';
COMMENT ON COLUMN flagscope.log.subject IS 'targeting key: the user, device or account it is about';
COMMENT ON COLUMN flagscope.log.flags IS 'JSON object {flag key: variant} that was active';
COMMENT ON COLUMN flagscope.log.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.log.service IS 'name of the service that sent it';
COMMENT ON COLUMN flagscope.log.trace_id IS 'trace that it belongs to';
COMMENT ON COLUMN flagscope.log.span_id IS 'id of the span, in hexadecimal digits';
COMMENT ON COLUMN flagscope.log.attributes IS 'further attributes, as a JSON object';
COMMENT ON COLUMN flagscope.log.attribution IS 'how it came to its flags (type attribution)';
COMMENT ON COLUMN flagscope.log.ts_nanos IS 'nanoseconds beyond the microsecond of ts';
COMMENT ON COLUMN flagscope.log.instance IS 'which process of the service sent it';

CREATE VIEW flagscope.metric_point AS
SELECT ts, name, value, unit, distribution, subject, flags, environment, service, attributes,
    _flagscope.attribution(flags, attribution) AS attribution, ts_nanos, instance
FROM flagscope.telemetry WHERE signal = 'metric';
COMMENT ON VIEW flagscope.metric_point IS
    'metric data points; of OTLP histograms the mean, their values as a histogram for quantile(distribution, '
    'p) and rollup(distribution), and the whole point in attributes->''otlp''';
COMMENT ON COLUMN flagscope.metric_point.ts IS 'when it was measured';
COMMENT ON COLUMN flagscope.metric_point.name IS 'name of the instrument';
COMMENT ON COLUMN flagscope.metric_point.value IS 'its value; of a histogram the mean';
COMMENT ON COLUMN flagscope.metric_point.unit IS 'UCUM unit of value';
COMMENT ON COLUMN flagscope.metric_point.distribution IS 'the values that one point of a histogram stands for';
COMMENT ON COLUMN flagscope.metric_point.subject IS 'targeting key: the user, device or account it is about';
COMMENT ON COLUMN flagscope.metric_point.flags IS 'JSON object {flag key: variant} that was active';
COMMENT ON COLUMN flagscope.metric_point.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.metric_point.service IS 'name of the service that sent it';
COMMENT ON COLUMN flagscope.metric_point.attributes IS 'further attributes, as a JSON object';
COMMENT ON COLUMN flagscope.metric_point.attribution IS 'how it came to its flags (type attribution)';
COMMENT ON COLUMN flagscope.metric_point.ts_nanos IS 'nanoseconds beyond the microsecond of ts';
COMMENT ON COLUMN flagscope.metric_point.instance IS 'which process of the service sent it';

CREATE VIEW flagscope.event AS
SELECT ts, name, value, unit, subject, flags, environment, service, is_error, trace_id, body, attributes,
    _flagscope.attribution(flags, attribution) AS attribution, ts_nanos, instance
FROM flagscope.telemetry WHERE signal = 'event';
COMMENT ON VIEW flagscope.event IS 'product and system events';
COMMENT ON COLUMN flagscope.event.ts IS 'when it happened';
COMMENT ON COLUMN flagscope.event.name IS 'what happened';
COMMENT ON COLUMN flagscope.event.value IS 'its value, such as an amount';
COMMENT ON COLUMN flagscope.event.unit IS 'UCUM unit of value';
COMMENT ON COLUMN flagscope.event.subject IS 'targeting key: the user, device or account it is about';
COMMENT ON COLUMN flagscope.event.flags IS 'JSON object {flag key: variant} that was active';
COMMENT ON COLUMN flagscope.event.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.event.service IS 'name of the service that sent it';
COMMENT ON COLUMN flagscope.event.is_error IS 'did it fail';
COMMENT ON COLUMN flagscope.event.trace_id IS 'trace that it belongs to';
COMMENT ON COLUMN flagscope.event.body IS 'text of a log, or of an event';
COMMENT ON COLUMN flagscope.event.attributes IS 'further attributes, as a JSON object';
COMMENT ON COLUMN flagscope.event.attribution IS 'how it came to its flags (type attribution)';
COMMENT ON COLUMN flagscope.event.ts_nanos IS 'nanoseconds beyond the microsecond of ts';
COMMENT ON COLUMN flagscope.event.instance IS 'which process of the service sent it';

CREATE VIEW flagscope.exposure AS
SELECT t.ts, f.key AS flag, f.value AS variant, t.subject, t.environment, t.service,
    t.attributes ->> 'feature_flag.result.reason' AS reason, t.trace_id, encode(t.span_id, 'hex') AS span_id, t.ts_nanos
FROM flagscope.telemetry t, LATERAL jsonb_each_text(t.flags) f
WHERE t.signal = 'event' AND t.name = 'feature_flag.evaluation';
COMMENT ON VIEW flagscope.exposure IS
    'who got which variant of which flag, and when (OpenTelemetry''s feature_flag.evaluation)';
COMMENT ON COLUMN flagscope.exposure.ts IS 'when the flag was evaluated';
COMMENT ON COLUMN flagscope.exposure.flag IS 'key of the flag';
COMMENT ON COLUMN flagscope.exposure.variant IS 'variant that was served';
COMMENT ON COLUMN flagscope.exposure.subject IS 'targeting key: the user, device or account it is about';
COMMENT ON COLUMN flagscope.exposure.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.exposure.service IS 'name of the service that sent it';
COMMENT ON COLUMN flagscope.exposure.reason IS 'why the flag served it, as OpenFeature says it';
COMMENT ON COLUMN flagscope.exposure.trace_id IS 'trace that it belongs to';
COMMENT ON COLUMN flagscope.exposure.span_id IS 'id of the span, in hexadecimal digits';
COMMENT ON COLUMN flagscope.exposure.ts_nanos IS 'nanoseconds beyond the microsecond of ts';

CREATE VIEW flagscope.tagged AS
SELECT t.ts, f.key AS flag, f.value AS variant, t.signal, t.name, t.value, t.unit, t.subject, t.environment, t.service,
    t.severity, t.is_error, t.trace_id, t.body, t.attributes,
    _flagscope.attribution(t.flags, t.attribution) AS attribution, t.instance
FROM flagscope.telemetry t, LATERAL jsonb_each_text(t.flags) f;
COMMENT ON VIEW flagscope.tagged IS 'telemetry once for every flag it is tied to, with flag and variant as columns';
COMMENT ON COLUMN flagscope.tagged.ts IS 'when it happened';
COMMENT ON COLUMN flagscope.tagged.flag IS 'key of the flag';
COMMENT ON COLUMN flagscope.tagged.variant IS 'name of the variant';
COMMENT ON COLUMN flagscope.tagged.signal IS 'metric, log, span or event';
COMMENT ON COLUMN flagscope.tagged.name IS 'as in telemetry';
COMMENT ON COLUMN flagscope.tagged.value IS 'its value';
COMMENT ON COLUMN flagscope.tagged.unit IS 'UCUM unit of value';
COMMENT ON COLUMN flagscope.tagged.subject IS 'targeting key: the user, device or account it is about';
COMMENT ON COLUMN flagscope.tagged.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.tagged.service IS 'name of the service that sent it';
COMMENT ON COLUMN flagscope.tagged.severity IS 'OpenTelemetry severity number of a log';
COMMENT ON COLUMN flagscope.tagged.is_error IS 'did it fail';
COMMENT ON COLUMN flagscope.tagged.trace_id IS 'trace that it belongs to';
COMMENT ON COLUMN flagscope.tagged.body IS 'text of a log, or of an event';
COMMENT ON COLUMN flagscope.tagged.attributes IS 'further attributes, as a JSON object';
COMMENT ON COLUMN flagscope.tagged.attribution IS 'how it came to its flags (type attribution)';
COMMENT ON COLUMN flagscope.tagged.instance IS 'which process of the service sent it';

CREATE VIEW flagscope.span_summary AS
SELECT d.flag, d.variant, d.environment, d.service, d.name, d.spans, d.errors, d.errors::float8 / d.spans AS error_rate,
    flagscope.quantile(d.durations, 0.5) AS p50, flagscope.quantile(d.durations, 0.95) AS p95,
    flagscope.quantile(d.durations, 0.99) AS p99, d.first_ts, d.last_ts
FROM (
    SELECT t.flag, t.variant, t.environment, t.service, t.name, count(*) AS spans,
        count(*) FILTER (WHERE t.is_error) AS errors, flagscope.tdigest(t.value) AS durations, min(t.ts) AS first_ts,
        max(t.ts) AS last_ts
    FROM flagscope.tagged t WHERE t.signal = 'span'
    GROUP BY t.flag, t.variant, t.environment, t.service, t.name
) d;
COMMENT ON VIEW flagscope.span_summary IS
    'spans by variant: count, error rate and duration quantiles (s) by t-digest over the raw rows';
COMMENT ON COLUMN flagscope.span_summary.flag IS 'key of the flag';
COMMENT ON COLUMN flagscope.span_summary.variant IS 'name of the variant';
COMMENT ON COLUMN flagscope.span_summary.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.span_summary.service IS 'name of the service that sent it';
COMMENT ON COLUMN flagscope.span_summary.name IS 'name of the spans';
COMMENT ON COLUMN flagscope.span_summary.spans IS 'how many';
COMMENT ON COLUMN flagscope.span_summary.errors IS 'how many failed';
COMMENT ON COLUMN flagscope.span_summary.error_rate IS 'share that failed';
COMMENT ON COLUMN flagscope.span_summary.p50 IS 'median duration in seconds';
COMMENT ON COLUMN flagscope.span_summary.p95 IS '95th percentile of the duration in seconds';
COMMENT ON COLUMN flagscope.span_summary.p99 IS '99th percentile of the duration in seconds';
COMMENT ON COLUMN flagscope.span_summary.first_ts IS 'start of the first one';
COMMENT ON COLUMN flagscope.span_summary.last_ts IS 'start of the last one';
