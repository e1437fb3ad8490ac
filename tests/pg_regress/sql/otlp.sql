-- OTLP/JSON as OpenTelemetry SDKs wrote it (tests/data/otlp): what is stored,
-- what is counted twice, what a row is tied to.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
\set traces `cat "$PG_ABS_SRCDIR/../data/otlp/traces.jsonl"`
\set logs `cat "$PG_ABS_SRCDIR/../data/otlp/logs.jsonl"`
\set metrics `cat "$PG_ABS_SRCDIR/../data/otlp/metrics.jsonl"`
\set edge_cases `cat "$PG_ABS_SRCDIR/../data/otlp/edge_cases.jsonl"`

-- 80 spans and their 112 evaluations; the logs bring 40 records of the application and the same 112 evaluations again.
SELECT * FROM flagscope.ingest_otlp(:'traces');
SELECT * FROM flagscope.ingest_otlp(:'logs');
SELECT * FROM flagscope.ingest_otlp(:'metrics');
SELECT signal, name = 'feature_flag.evaluation' AS evaluation, attribution, count(*), count(flags) AS tied
FROM flagscope.telemetry GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- The same counted from the JSON itself.
CREATE TEMP TABLE request AS
SELECT line::jsonb AS r
FROM string_to_table(:'traces' || E'\n' || :'logs' || E'\n' || :'metrics', E'\n') line WHERE line <> '';
CREATE TEMP TABLE raw_span AS SELECT s FROM request, jsonb_path_query(r, '$.resourceSpans[*].scopeSpans[*].spans[*]') s;
SELECT count(*) AS spans,
    sum(jsonb_array_length(jsonb_path_query_array(s,
        '$.events[*] ? (@.name == "feature_flag.evaluation")'))) AS evaluations
FROM raw_span;
SELECT count(*) AS spans,
    count(*) FILTER (WHERE t.name = s ->> 'name'
        AND t.is_error = coalesce((s #>> '{status,code}') IN ('2', 'STATUS_CODE_ERROR'), false)
        AND abs(t.value - ((s ->> 'endTimeUnixNano')::numeric - (s ->> 'startTimeUnixNano')::numeric) / 1e9) < 1e-9
        AND extract(epoch FROM t.ts) = trunc((s ->> 'startTimeUnixNano')::numeric / 1000) / 1e6
        AND t.ts_nanos = (s ->> 'startTimeUnixNano')::numeric % 1000) AS same
FROM raw_span LEFT JOIN flagscope.telemetry t
    ON t.signal = 'span' AND t.span_id = decode(s ->> 'spanId', 'hex') AND t.trace_id = (s ->> 'traceId')::uuid;
CREATE TEMP TABLE raw_evaluation AS
SELECT s ->> 'traceId' AS trace, x ->> 'timeUnixNano' AS at, a ->> 'feature_flag.key' AS flag,
    a ->> 'feature_flag.result.variant' AS variant, a ->> 'feature_flag.result.reason' AS reason,
    a ->> 'error.type' AS error
FROM raw_span, jsonb_path_query(s, '$.events[*] ? (@.name == "feature_flag.evaluation")') x,
    LATERAL (SELECT jsonb_object_agg(y ->> 'key', y #>> '{value,stringValue}') AS a
        FROM jsonb_array_elements(x -> 'attributes') y) b;
SELECT r.*, count(*) AS stored, count(t.flags) AS tied, max(t.flags ->> r.flag) AS to
FROM (SELECT flag, variant, reason, error, count(*) AS evaluations FROM raw_evaluation GROUP BY 1, 2, 3, 4) r
    JOIN flagscope.telemetry t
        ON t.signal = 'event'
            AND (t.attributes ->> 'feature_flag.key', t.attributes ->> 'feature_flag.result.variant',
                t.attributes ->> 'feature_flag.result.reason', t.attributes ->> 'error.type')
        IS NOT DISTINCT FROM (r.flag, r.variant, r.reason, r.error)
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2;
SELECT flag, variant, count(DISTINCT subject) AS subjects, count(*) AS exposures
FROM flagscope.exposure GROUP BY 1, 2 ORDER BY 1, 2;
-- A span is tied to the evaluations of its own trace.
SELECT count(*) AS spans,
    bool_and(t.flags = (SELECT jsonb_object_agg(e.flag, e.variant)
        FROM raw_evaluation e WHERE e.trace = replace(t.trace_id::text, '-', '') AND e.variant IS NOT NULL)
        || CASE WHEN t.flags ? 'retired' THEN '{"retired": "true"}' ELSE '{}' END::jsonb) AS as_in_trace
FROM flagscope.telemetry t WHERE t.signal = 'span' AND t.attribution = 'trace';
-- By variant: count, errors and quantiles between the ranks beside them.
SELECT s.flag, s.variant, s.service, s.name, s.spans, s.errors, s.p50 BETWEEN x.p45 AND x.p55 AS p50,
    s.p95 BETWEEN x.p90 AND x.max AS p95, (s.spans, s.errors) = (x.spans, x.errors) AS same
FROM flagscope.span_summary s JOIN (
    SELECT f.key AS flag, f.value AS variant, t.name, count(*) AS spans, count(*) FILTER (WHERE is_error) AS errors,
        percentile_disc(0.45) WITHIN GROUP (ORDER BY duration) AS p45,
        percentile_disc(0.55) WITHIN GROUP (ORDER BY duration) AS p55,
        percentile_disc(0.9) WITHIN GROUP (ORDER BY duration) AS p90, max(duration)
    FROM flagscope.span t, jsonb_each_text(flags) f GROUP BY 1, 2, 3) x USING (flag, variant, name)
ORDER BY 1, 2, 4;
SELECT name, unit, count(*), min(value), max(value), bool_or(attributes ? 'otlp') AS whole_point
FROM flagscope.metric_point GROUP BY 1, 2 ORDER BY 1;
SELECT severity, count(*), bool_and(is_error = (severity >= 17)) AS error_from_17
FROM flagscope.log GROUP BY 1 ORDER BY 1;

-- Once more: evaluations are known by their span; everything else has no name of its own and is stored again.
BEGIN;
SELECT * FROM flagscope.ingest_otlp(:'traces');
ROLLBACK;
-- In the other order, and all in one payload: the same exposures.
CREATE TEMP TABLE exposed AS SELECT flag, variant, subject, trace_id, span_id FROM flagscope.exposure;
TRUNCATE flagscope.telemetry;
SELECT * FROM flagscope.ingest_otlp(:'logs');
SELECT * FROM flagscope.ingest_otlp(:'traces');
SELECT count(*)
FROM (TABLE exposed EXCEPT ALL SELECT flag, variant, subject, trace_id, span_id FROM flagscope.exposure) x;
TRUNCATE flagscope.telemetry;
SELECT * FROM flagscope.ingest_otlp(:'traces' || E'\n' || :'logs');
SELECT count(*)
FROM (TABLE exposed EXCEPT ALL SELECT flag, variant, subject, trace_id, span_id FROM flagscope.exposure) x;

-- The hand-written edge cases: bad records are counted, with the first error; the good ones stay.
TRUNCATE flagscope.telemetry;
SET client_min_messages = notice;
SELECT * FROM flagscope.ingest_otlp(:'edge_cases');
SELECT ts, ts_nanos, signal, left(name, 20) AS name, value, unit, severity, is_error, trace_id,
    encode(span_id, 'hex') AS span, left(body, 60) AS body, flags
FROM flagscope.telemetry ORDER BY ts, signal, name;
SELECT * FROM flagscope.ingest_otlp('');
SELECT * FROM flagscope.ingest_otlp(NULL);
SELECT * FROM flagscope.ingest_otlp('{}');
SELECT * FROM flagscope.ingest_otlp('garbage');
SELECT * FROM flagscope.ingest_otlp('[1, 2]');
SELECT * FROM flagscope.ingest_otlp(
    E'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1544712660300000000",'
    '"body":{"stringValue":"good"}}]}]}]}\nnot json\n\n{"resourceSpans": '
    '7}\n{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1544712660300000001",'
    '"body":{"stringValue":"good too"}},{"timeUnixNano":"soon","body":{"stringValue":"bad"}}]}]}]}');
SELECT body, ts_nanos FROM flagscope.telemetry WHERE body LIKE '%good%' OR body LIKE '%bad%' ORDER BY 2;

-- Attribution beyond the trace: the subject's latest evaluation before the row, of the day before it at most.
TRUNCATE flagscope.telemetry;
SELECT flagscope.create_flag('f'), flagscope.create_flag('g');
SELECT flagscope.create_metric('logs', 'proportion', 'log', '{}', '{"severity_at_least": 17}');
SELECT flagscope.create_guardrail('f', 'logs');
CREATE FUNCTION pg_temp.log(subject text, at timestamptz, trace text DEFAULT '') RETURNS text LANGUAGE sql AS $$
    SELECT json_build_object('resourceLogs', json_build_array(
        json_build_object(
            'scopeLogs', json_build_array(json_build_object('logRecords', json_build_array(json_build_object(
                'timeUnixNano', (extract(epoch FROM at) * 1000000000)::bigint::text, 'traceId', trace,
                'severityNumber', 17, 'body', json_build_object('stringValue', 'failed'),
                'attributes', json_build_array(json_build_object('key', 'user.id',
                    'value', json_build_object('stringValue', subject))))))))))::text
$$;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags, trace_id) VALUES
    ('2040-01-01 10:00', 'event', 'feature_flag.evaluation', 'ann', '{"f": "off"}', NULL),
    ('2040-01-01 11:00', 'event', 'feature_flag.evaluation', 'ann', '{"f": "on"}', NULL),
    ('2040-01-01 11:30', 'event', 'feature_flag.evaluation', 'ann', '{"g": "on"}', NULL),
    ('2040-01-01 13:00', 'event', 'feature_flag.evaluation', 'ann', '{"f": "off"}', NULL),
    ('2040-01-01 12:00', 'event', 'feature_flag.evaluation', 'bob', '{"g": "off"}',
        '00000000-0000-0000-0000-0000000000b0');
SELECT accepted FROM (VALUES ('ann', '2040-01-01 10:30', ''), ('ann', '2040-01-01 12:00', ''),
    ('ann', '2040-01-02 13:00:00', ''), ('ann', '2040-01-02 13:00:01', ''), ('ann', '2040-01-01 09:00', ''),
    ('bob', '2040-01-01 12:00:01', ''), ('eve', '2040-01-01 12:00', ''),
    ('ann', '2040-01-01 12:00:02', '000000000000000000000000000000b0')) v(s, at, trace),
    flagscope.ingest_otlp(pg_temp.log(s, at::timestamptz, trace));
SELECT ts, subject, flags, attribution FROM flagscope.telemetry WHERE signal = 'log' ORDER BY ts, subject;
-- What a row was tied to counts in the rollups.
SELECT variant, sum(n) AS n, sum(events) AS events
FROM _flagscope.variant_delta WHERE flag = 'f' AND metric = 'logs' GROUP BY 1 ORDER BY 1;

-- Which process sent a row: service.instance.id, else the pod, else the host.
SELECT sum(i.accepted) AS accepted FROM unnest(ARRAY[
    '{"key": "k8s.pod.name", "value": {"stringValue": "shop-7"}},
        {"key": "service.instance.id", "value": {"stringValue": "627cc493"}}',
    '{"key": "host.name", "value": {"stringValue": "web-1"}},
        {"key": "k8s.pod.name", "value": {"stringValue": "shop-8"}}',
    '{"key": "host.name", "value": {"stringValue": "web-2"}}', '']) WITH ORDINALITY r(attributes, nr),
    LATERAL flagscope.ingest_otlp(format('{"resourceSpans": [{"resource": {"attributes": [%s]},
        "scopeSpans": [{"spans": [{"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b17%s",
        "name": "who sent it", "startTimeUnixNano": "2209032000000000000",
        "endTimeUnixNano": "2209032000000000000"}]}]}]}', attributes, nr)) i;
SELECT span_id, instance FROM flagscope.span WHERE name = 'who sent it' ORDER BY span_id;
