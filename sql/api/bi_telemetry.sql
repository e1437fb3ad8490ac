-- Views for BI tools over measurements: metrics, errors, exposures, findings. A filter on ts reaches rollups and
-- partitions (test bi looks at the plans); see bi.sql for what all views promise.

CREATE FUNCTION _flagscope.bi_fine_since() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN greatest(_flagscope.floor('10 minutes', now() - interval '2 hours'), _flagscope.kept_since('rollup fine'));
COMMENT ON FUNCTION _flagscope.bi_fine_since() IS
    'from when on bi_metric has buckets of 10 seconds: for the last two hours, in whole 10 minutes';

-- Every level of rollups in one series, each data point once: 10 seconds for the last two hours, 10 minutes before,
-- days where 10 minutes are no longer kept. What is not settled yet is added to the bucket of its time. The borders are
-- subqueries so that they are computed once a query.
CREATE VIEW _flagscope.bi_state WITH (security_invoker = true) AS
SELECT s.flag, s.environment, s.variant, s.metric, s.bucket, 10 AS seconds, s.n, s.events, s.moments, s.histogram
FROM _flagscope.variant_state s WHERE s.bucket >= (SELECT _flagscope.bi_fine_since())
UNION ALL
SELECT h.flag, h.environment, h.variant, h.metric, h.bucket, 600, h.n, h.events, h.moments, h.histogram
FROM flagscope.variant_history h
WHERE h.bucket_width = interval '10 minutes' AND h.bucket < (SELECT _flagscope.bi_fine_since())
    AND h.bucket >= (SELECT _flagscope.kept_since('rollup medium'))
UNION ALL
SELECT h.flag, h.environment, h.variant, h.metric, h.bucket, 86400, h.n, h.events, h.moments, h.histogram
FROM flagscope.variant_history h
WHERE h.bucket_width = interval '1 day' AND h.bucket < (SELECT _flagscope.kept_since('rollup medium'))
UNION ALL
SELECT r.flag, r.environment, r.variant, r.metric, b.bucket, b.seconds, r.n, r.events, r.moments, r.histogram
FROM (
    SELECT o.flag, o.environment, o.variant, o.metric, o.bucket, o.n, o.events, o.moments, o.histogram
    FROM flagscope.variant_rollup o WHERE NOT o.settled
    UNION ALL
    SELECT d.flag, d.environment, d.variant, d.metric, d.bucket, d.n, d.events, d.moments, d.histogram
    FROM _flagscope.variant_delta d WHERE NOT d.rolled_up
) r CROSS JOIN LATERAL (
    SELECT CASE WHEN r.bucket < (SELECT _flagscope.kept_since('rollup medium')) THEN 86400 ELSE 600 END AS seconds) w
    CROSS JOIN LATERAL (
    SELECT w.seconds, _flagscope.floor(w.seconds * interval '1 second', r.bucket) AS bucket) b
WHERE r.bucket < (SELECT _flagscope.bi_fine_since());
COMMENT ON VIEW _flagscope.bi_state IS
    'the states of bi_metric: each data point in one row of one level, several rows a bucket until it is settled';

CREATE VIEW flagscope.bi_metric WITH (security_invoker = true) AS
SELECT s.bucket AS ts, s.seconds, s.flag, s.environment, s.variant, s.metric, m.kind::text AS kind, m.unit, s.n,
    CASE WHEN _flagscope.counts_events(m.kind::text) THEN s.events END AS events,
    _flagscope.kind_value(m.kind::text, 0.95, s.n, s.events, s.moments, s.histogram) AS value,
    s.levels[1] AS p50, s.levels[2] AS p90, s.levels[3] AS p95, s.levels[4] AS p99
FROM (
    -- The quantiles are computed in here, once for each group; a filter goes through the grouping.
    SELECT b.bucket, b.seconds, b.flag, b.environment, b.variant, b.metric, _flagscope.bounded(sum(b.n)) AS n,
        _flagscope.bounded(sum(b.events)) AS events, flagscope.rollup(b.moments) AS moments,
        flagscope.rollup(b.histogram) AS histogram,
        flagscope.quantile(flagscope.rollup(b.histogram), '{0.5,0.9,0.95,0.99}'::float8[]) AS levels
    FROM _flagscope.bi_state b
    GROUP BY b.bucket, b.seconds, b.flag, b.environment, b.variant, b.metric
) s JOIN flagscope.metric_definition m ON m.name = s.metric;
COMMENT ON VIEW flagscope.bi_metric IS
    'for BI tools: each metric on watch by variant over time, one row a bucket that has data, from rollups: buckets of '
    '10 seconds for the last two hours, 10 minutes before, a day where nothing finer is kept';
COMMENT ON COLUMN flagscope.bi_metric.ts IS 'start of the bucket';
COMMENT ON COLUMN flagscope.bi_metric.seconds IS
    'its width: 10, 600 or 86400; sum(n) / sum(seconds) are data points a second';
COMMENT ON COLUMN flagscope.bi_metric.flag IS 'key of the flag';
COMMENT ON COLUMN flagscope.bi_metric.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.bi_metric.variant IS
    'name of the variant; empty: all rows of the environment, with or without flags, which a guardrail of scope '
    'environment reads: leave it out of sums over variants';
COMMENT ON COLUMN flagscope.bi_metric.metric IS 'name of the metric';
COMMENT ON COLUMN flagscope.bi_metric.kind IS 'proportion, mean, quantile, rate or ratio';
COMMENT ON COLUMN flagscope.bi_metric.unit IS 'UCUM unit of its values';
COMMENT ON COLUMN flagscope.bi_metric.n IS 'data points';
COMMENT ON COLUMN flagscope.bi_metric.events IS
    'those of them that are events (of a rate: the count); sum(events) / sum(n) is a share over several buckets; NULL: '
    'the kind has none';
COMMENT ON COLUMN flagscope.bi_metric.value IS
    'the metric: share, mean, rate or ratio, of a quantile its p95; an average over buckets must be weighted by n';
COMMENT ON COLUMN flagscope.bi_metric.p50 IS 'median of the values; NULL: not a quantile metric';
COMMENT ON COLUMN flagscope.bi_metric.p90 IS '90th percentile';
COMMENT ON COLUMN flagscope.bi_metric.p95 IS '95th percentile';
COMMENT ON COLUMN flagscope.bi_metric.p99 IS '99th percentile';

-- Functions that are inlined, so that what a query does not ask for is not computed.
CREATE FUNCTION _flagscope.is_failure(t flagscope.telemetry) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- The condition of the index on errors of each partition (schema/telemetry.sql), so that it is used.
RETURN t.is_error OR t.severity >= 17;
COMMENT ON FUNCTION _flagscope.is_failure(flagscope.telemetry) IS
    'is a row of telemetry an error: marked, or from severity 17 on';

-- Of columns, not of a row: a row would be formed anew for each of them.
CREATE FUNCTION _flagscope.errors_in(signal flagscope.signal, name text, body text, attributes jsonb)
RETURNS TABLE (source text, error_type text, message text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT 'exception', x.event #>> '{attributes,exception.type}',
        coalesce(x.event #>> '{attributes,exception.message}', x.event #>> '{attributes,exception.type}', name)
    FROM jsonb_array_elements(CASE WHEN signal = 'span' AND jsonb_typeof(attributes #> '{otlp,events}') = 'array'
        THEN attributes #> '{otlp,events}' END) x(event)
    WHERE x.event ->> 'name' = 'exception'
        -- Without it the function would be called, to no end, for every row.
        AND attributes ? 'otlp'
    UNION ALL
    SELECT signal::text, coalesce(attributes ->> 'exception.type', attributes ->> 'error.type'),
        coalesce(body, attributes ->> 'exception.message', attributes #>> '{otlp,status,message}',
            attributes ->> 'error.type', name)
    WHERE signal IN ('log', 'event')
        OR signal = 'span' AND NOT coalesce(attributes @? '$.otlp.events[*] ? (@.name == "exception")', false);
END;
COMMENT ON FUNCTION _flagscope.errors_in(flagscope.signal, text, text, jsonb) IS
    'the errors that a failed row tells of: each exception inside a span, else the row itself';

CREATE VIEW flagscope.bi_error WITH (security_invoker = true) AS
SELECT t.ts, f.key AS flag, f.value AS variant, t.environment, t.service, e.source, t.name AS operation, e.error_type,
    flagscope.log_template(e.message) AS fingerprint, left(e.message, 1000) AS message, t.subject,
    coalesce(t.attributes ->> 'geo.country.iso_code', t.attributes ->> 'country') AS country,
    t.trace_id::text AS trace_id, 1::bigint AS count
FROM flagscope.telemetry t CROSS JOIN LATERAL jsonb_each_text(t.flags) f
    CROSS JOIN LATERAL _flagscope.errors_in(t.signal, t.name, t.body, t.attributes) e
WHERE _flagscope.is_failure(t);
COMMENT ON VIEW flagscope.bi_error IS
    'for BI tools: each error that is tied to a flag, once for each flag: log records and events from severity 17 on '
    'or marked as errors, failed spans, and each exception inside a failed span in its place';
COMMENT ON COLUMN flagscope.bi_error.ts IS 'when it happened; of an exception, begin of its span';
COMMENT ON COLUMN flagscope.bi_error.flag IS 'key of the flag';
COMMENT ON COLUMN flagscope.bi_error.variant IS 'variant that was served';
COMMENT ON COLUMN flagscope.bi_error.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.bi_error.service IS 'name of the service that sent it';
COMMENT ON COLUMN flagscope.bi_error.source IS 'log, event, span or exception (inside a span)';
COMMENT ON COLUMN flagscope.bi_error.operation IS 'name of the span or event; of a log its logger';
COMMENT ON COLUMN flagscope.bi_error.error_type IS 'type of the exception or of the error; NULL: it was not sent';
COMMENT ON COLUMN flagscope.bi_error.fingerprint IS
    'the message with its values masked, as log_template() says: group by it to count equal errors';
COMMENT ON COLUMN flagscope.bi_error.message IS
    'body of the log, message of the exception or of the failed span''s status, else its name; 1,000 characters';
COMMENT ON COLUMN flagscope.bi_error.subject IS 'targeting key: the user, device or account that it hit';
COMMENT ON COLUMN flagscope.bi_error.country IS
    'where its user is: attribute geo.country.iso_code, as OpenTelemetry names it, or country; NULL: neither was sent';
COMMENT ON COLUMN flagscope.bi_error.trace_id IS 'trace that it belongs to: trace() shows it';
COMMENT ON COLUMN flagscope.bi_error.count IS '1: for sum(count)';

CREATE VIEW flagscope.bi_exposure WITH (security_invoker = true) AS
SELECT s.first_seen AS ts, s.rollout_id, r.flag, r.environment, s.variant, s.subject, s.treated_at,
    s.treated_at IS NOT NULL AS treated, s.crossed, 1::bigint AS count
FROM flagscope.rollout_subject s JOIN flagscope.rollout r ON r.id = s.rollout_id;
COMMENT ON VIEW flagscope.bi_exposure IS
    'for BI tools: each subject of a rollout once, with the variant that it was first exposed to; kept until setting '
    'subject.retention after the rollout''s end. Every single evaluation is in exposure';
COMMENT ON COLUMN flagscope.bi_exposure.ts IS 'time of the subject''s first exposure';
COMMENT ON COLUMN flagscope.bi_exposure.rollout_id IS 'the rollout';
COMMENT ON COLUMN flagscope.bi_exposure.flag IS 'key of its flag';
COMMENT ON COLUMN flagscope.bi_exposure.environment IS 'key of its environment';
COMMENT ON COLUMN flagscope.bi_exposure.variant IS 'variant at the first exposure';
COMMENT ON COLUMN flagscope.bi_exposure.subject IS 'targeting key; if longer than 255 bytes, its md5';
COMMENT ON COLUMN flagscope.bi_exposure.treated_at IS 'first exposure to the treatment; NULL: none';
COMMENT ON COLUMN flagscope.bi_exposure.treated IS 'was it ever served the treatment';
COMMENT ON COLUMN flagscope.bi_exposure.crossed IS
    'seen with the control after the treatment, though the rollout was never stepped back';
COMMENT ON COLUMN flagscope.bi_exposure.count IS '1: for sum(count)';

CREATE VIEW flagscope.bi_correlation WITH (security_invoker = true) AS
SELECT d.at AS ts, c.decision_id, d.rollout_id, d.flag, d.environment, d.action::text AS action,
    d.rule ->> 'name' AS guardrail, d.rule ->> 'metric' AS metric, c.rank, c.kind, c.finding,
    _flagscope.finding_words(ROW(c.rank, c.kind, c.finding, c.share, c.p_value, c.treatment, c.control, c.n_treatment,
        c.events_treatment, c.n_control, c.events_control, c.subjects, c.same_as, c.goes_with, c.predicate, c.traces,
        c.examples, c.recompute)::flagscope.finding) AS sentence,
    c.share, c.p_value, c.treatment, c.control, c.n_treatment, c.events_treatment, c.n_control, c.events_control,
    c.subjects, c.traces[1]::text AS trace_id, c.examples[1] AS example, c.recompute
FROM flagscope.correlation c JOIN flagscope.decision d ON d.id = c.decision_id;
COMMENT ON VIEW flagscope.bi_correlation IS
    'for BI tools: why, what the worker found out about each automatic rollback or hold; empty until it has looked';
COMMENT ON COLUMN flagscope.bi_correlation.ts IS 'when it was decided';
COMMENT ON COLUMN flagscope.bi_correlation.decision_id IS 'the decision that was looked into';
COMMENT ON COLUMN flagscope.bi_correlation.rollout_id IS 'the rollout';
COMMENT ON COLUMN flagscope.bi_correlation.flag IS 'key of the flag';
COMMENT ON COLUMN flagscope.bi_correlation.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.bi_correlation.action IS 'what was decided';
COMMENT ON COLUMN flagscope.bi_correlation.guardrail IS 'name of the guardrail that wanted it';
COMMENT ON COLUMN flagscope.bi_correlation.metric IS 'name of its metric';
COMMENT ON COLUMN flagscope.bi_correlation.rank IS 'place of the finding, 1 is the first';
COMMENT ON COLUMN flagscope.bi_correlation.kind IS 'segment, symptom, span, log, metric, flag, change or note';
COMMENT ON COLUMN flagscope.bi_correlation.finding IS 'what was found, in words';
COMMENT ON COLUMN flagscope.bi_correlation.sentence IS 'the same as a sentence, with its numbers';
COMMENT ON COLUMN flagscope.bi_correlation.share IS 'its part of the whole harm; may be above 1';
COMMENT ON COLUMN flagscope.bi_correlation.p_value IS
    'chance of such a finding without it, corrected for all that was tried';
COMMENT ON COLUMN flagscope.bi_correlation.treatment IS 'what it is with the treatment, in words';
COMMENT ON COLUMN flagscope.bi_correlation.control IS 'what it is with the control';
COMMENT ON COLUMN flagscope.bi_correlation.n_treatment IS 'rows of the treatment in it';
COMMENT ON COLUMN flagscope.bi_correlation.events_treatment IS 'events among them';
COMMENT ON COLUMN flagscope.bi_correlation.n_control IS 'rows of the control in it';
COMMENT ON COLUMN flagscope.bi_correlation.events_control IS 'events among them';
COMMENT ON COLUMN flagscope.bi_correlation.subjects IS 'subjects of the treatment with an event';
COMMENT ON COLUMN flagscope.bi_correlation.trace_id IS 'a request that shows it';
COMMENT ON COLUMN flagscope.bi_correlation.example IS 'a subject with many events, or a log line as it was';
COMMENT ON COLUMN flagscope.bi_correlation.recompute IS 'the query that computes the row anew';
