-- Metrics by OTLP: cumulative points become differences by series, histograms keep their quantiles; and one evaluation
-- in four shapes is one exposure.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SET client_min_messages = notice;
\set SHOW_CONTEXT never
\set metrics `cat "$PG_ABS_SRCDIR/../data/otlp/metrics.jsonl"`
\set edge_cases `cat "$PG_ABS_SRCDIR/../data/otlp/edge_cases.jsonl"`
SELECT flagscope.maintain('2040-01-01') IS NOT NULL AS ready;

-- Real exports of the Python SDK, all cumulative: the differences of a series add up to its last total.
SELECT * FROM flagscope.ingest_otlp(:'metrics');
CREATE TEMP TABLE raw AS
SELECT m ->> 'name' AS name, k AS kind, (p ->> 'timeUnixNano')::numeric AS at, p ->> 'startTimeUnixNano' AS start,
    p -> 'attributes' AS attributes, p
FROM string_to_table(:'metrics', E'\n') line,
    jsonb_path_query(line::jsonb, '$.resourceMetrics[*].scopeMetrics[*].metrics[*]') m, jsonb_object_keys(m) k,
    jsonb_path_query(m -> k, '$.dataPoints[*]') p
WHERE line <> '' AND k IN ('sum', 'histogram', 'exponentialHistogram');
CREATE TEMP TABLE last_total AS
SELECT DISTINCT ON (name, kind, start, attributes) name,
    (coalesce(p ->> 'asInt', p ->> 'asDouble', p ->> 'count'))::numeric AS total, (p ->> 'sum')::numeric AS sum
FROM raw WHERE name <> 'app.inflight' ORDER BY name, kind, start, attributes, at DESC;
SELECT s.name, s.points, s.first, s.total = r.total AS total, abs(s.sum - r.sum) < 1e-9 AS sum FROM (
    SELECT t.name, count(*) AS points, count(*) FILTER (WHERE t.attributes #>> '{otlp,change}' = 'first') AS first,
        coalesce(sum(flagscope.count(t.distribution)), sum(t.value)) AS total,
        sum(t.value * flagscope.count(t.distribution))::numeric AS sum
    FROM flagscope.metric_point t WHERE t.attributes #>> '{otlp,change}' IS NOT NULL GROUP BY 1) s
    JOIN (SELECT name, sum(total) AS total, sum(sum) AS sum FROM last_total GROUP BY 1) r USING (name) ORDER BY 1;
-- The level of an up-down sum stays one; the whole point as it was sent is beside it.
SELECT count(*), min(value), max(value), bool_and(attributes #> '{otlp,change}' IS NULL) AS level
FROM flagscope.metric_point WHERE name = 'app.inflight';
SELECT count(*) AS points,
    bool_and(t.attributes #>> '{otlp,count}' = r.p ->> 'count' AND t.attributes #>> '{otlp,start}' = r.start
        AND ARRAY(SELECT x::bigint FROM jsonb_array_elements_text(t.attributes #> '{otlp,bucket_counts}') x)
            = ARRAY(SELECT x::bigint FROM jsonb_array_elements_text(r.p -> 'bucketCounts') x)) AS as_sent
FROM flagscope.metric_point t
    JOIN raw r ON r.name = t.name AND r.at = extract(epoch FROM t.ts) * 1000000000 + t.ts_nanos
        AND t.attributes
            @> (SELECT jsonb_object_agg(a ->> 'key',
                    coalesce(a #> '{value,stringValue}', to_jsonb((a #>> '{value,intValue}')::bigint),
                            a #> '{value,boolValue}'))
                FROM jsonb_array_elements(r.attributes) a)
WHERE t.name = 'http.server.request.duration';
-- Both kinds of histograms of the same values: the exact extremes, and quantiles as near as their buckets are narrow.
SELECT name, flagscope.count(h) AS n, round(flagscope.quantile(h, 0.5)::numeric, 2) AS p50,
    round(flagscope.quantile(h, 0.95)::numeric, 2) AS p95
FROM (SELECT name, flagscope.rollup(distribution) AS h FROM flagscope.metric_point WHERE name LIKE 'http%' GROUP BY 1) x
ORDER BY 1;
-- Sent again, nothing is new but what is no cumulative point.
SELECT * FROM flagscope.ingest_otlp(:'metrics');

-- Step by step, one series: first, delta, the same again, late,
-- a restart with and without a new start, nothing recorded.
CREATE FUNCTION pg_temp.point(at float8, total float8, start float8 DEFAULT 100, host text DEFAULT 'a',
    flags integer DEFAULT 0, color text DEFAULT 'red')
RETURNS text LANGUAGE sql AS $$
    SELECT format('{"resourceMetrics":[{"resource":{"attributes":[{"key":"host.name","value":{"stringValue":"%s"}}]},'
        '"scopeMetrics":[{"metrics":[{"name":"c","sum":{"isMonotonic":true,"aggregationTemporality":2,'
        '"dataPoints":[{"timeUnixNano":"%s","startTimeUnixNano":"%s","asDouble":%s,"flags":%s,'
        '"attributes":[{"key":"color","value":{"stringValue":"%s"}}]}]}}]}]}]}',
        host, ((2208988800 + at) * 1000000000)::bigint, ((2208988800 + start) * 1000000000)::bigint,
        total, flags, color)
$$;
CREATE FUNCTION pg_temp.sent(OUT at text, OUT total text, OUT change text, OUT value float8, OUT more text)
RETURNS SETOF record LANGUAGE sql AS $$
    SELECT extract(epoch FROM ts - timestamptz '2040-01-01')::integer::text, attributes #>> '{otlp,total}',
        attributes #>> '{otlp,change}', value,
        concat_ws(' ', attributes #>> '{resource,host.name}', attributes ->> 'color')
    FROM flagscope.metric_point WHERE name = 'c' ORDER BY ts, 5
$$;
SELECT i.accepted, i.duplicate
FROM (VALUES (1, 110.0, 5.0, 100.0), (2, 120, 8, 100), (3, 120, 8, 100), (4, 115, 6, 100), (5, 130, 8, 100),
    (6, 140, 2, 100), (7, 150, 3, 145), (8, 160, 4, 145)) v(n, at, total, start),
    pg_temp.point(v.at, v.total, v.start) p, flagscope.ingest_otlp(p) i
ORDER BY v.n;
SELECT accepted, duplicate FROM flagscope.ingest_otlp(pg_temp.point(165, 0, 145, flags => 1));
SELECT accepted, duplicate FROM flagscope.ingest_otlp(pg_temp.point(170, 10, 145));
SELECT * FROM pg_temp.sent();
-- An old process never heard of before: nobody knows when its total came to be. A new series of it is new.
SELECT accepted FROM flagscope.ingest_otlp(pg_temp.point(9000, 1000000, 0, 'old'));
SELECT accepted FROM flagscope.ingest_otlp(pg_temp.point(9010, 1000007, 0, 'old') || E'\n'
    || pg_temp.point(9010, 3, 0, 'old', color => 'blue'));
SELECT accepted FROM flagscope.ingest_otlp(pg_temp.point(9020, 5, 9015, 'young'));
SELECT * FROM pg_temp.sent() WHERE at::integer >= 9000;
-- A payload in any order is the same as in order.
SELECT accepted, duplicate
FROM flagscope.ingest_otlp(pg_temp.point(9120, 9, 9100, 'mixed') || pg_temp.point(9130, 10, 9100, 'mixed')
    || pg_temp.point(9110, 4, 9100, 'mixed') || pg_temp.point(9110, 4, 9100, 'mixed'));
SELECT * FROM pg_temp.sent() WHERE at::integer >= 9100;
-- After a day without a point a series is forgotten.
SELECT count(*) > 0 AS remembered FROM _flagscope.otlp_series;
SELECT _flagscope.forget_ingest(now() + interval '23 hours');
SELECT count(*) > 0 AS remembered FROM _flagscope.otlp_series;
SELECT _flagscope.forget_ingest(now() + interval '25 hours');
SELECT count(*) > 0 AS remembered FROM _flagscope.otlp_series;

-- The edge cases, line by line, with what is expected of each (tests/data/otlp/README.md; `accepted`, `rejected`).
SELECT e.n, i.accepted, i.rejected, (i.accepted, i.rejected) = (x.accepted, x.rejected) AS as_expected,
    i.first_error, x.what
FROM string_to_table(:'edge_cases', E'\n') WITH ORDINALITY e(line, n) JOIN (VALUES
    (1, 1, 0, 'ids in upper case, times as numbers, an unknown field'), (2, 0, 0, 'no resources'),
    (3, 1, 0, 'an unknown time: when it was seen'), (4, 1, 0, 'every kind of value, NUL, an attribute twice'),
    (5, 1, 0, 'an exponential histogram of negative scale with negative values'),
    (6, 3, 0, 'the last time, no recorded value, a summary, a metric without data'),
    (7, 0, 0, 'snake_case is an unknown field'), (8, 0, 1, 'no JSON')
) x(n, accepted, rejected, what) ON x.n = e.n, LATERAL flagscope.ingest_otlp(e.line) i ORDER BY e.n;
SELECT name, ts, ts_nanos, value, attributes #>> '{otlp,change}' AS change, attributes #>> '{otlp,int}' AS int,
    flagscope.count(distribution) AS n, flagscope.min(distribution) AS min, flagscope.max(distribution) AS max
FROM flagscope.metric_point WHERE name IN ('big', 'exp', 'quantiles') ORDER BY 1, 2;
-- jsonb, an array of requests, and half a surrogate pair as JavaScript writes it: nothing of the request is lost.
SELECT * FROM flagscope.ingest_otlp(
    '[{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":2208988800000000000}]}]}]}, {}]'::jsonb);
SELECT accepted, rejected
FROM flagscope.ingest_otlp('{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":2208988800000000001,
     "body":{"stringValue":"cut \ud83d"}},{"timeUnixNano":2208988800000000002,
     "body":{"stringValue":"whole \ud83d\ude00"}}]}]}]}');
SELECT body FROM flagscope.log WHERE body IS NOT NULL AND ts = '2040-01-01' ORDER BY ts_nanos;

-- One evaluation as log event, span event, whole span and counter, in every order: one exposure, and a metric row.
CREATE TEMP TABLE shape AS SELECT * FROM (VALUES
    ('log', '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"traceId":"0000000000000000000000000000000c",
         "spanId":"000000000000000c","timeUnixNano":"2208988800000000002","eventName":"feature_flag.evaluation",
         "attributes":[{"key":"feature_flag.key","value":{"stringValue":"f"}},{"key":"feature_flag.variant",
         "value":{"stringValue":"on"}},{"key":"feature_flag.context.id","value":{"stringValue":"ann"}}]}]}]}]}'),
    ('span event', '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0000000000000000000000000000000c",
         "spanId":"000000000000000c","name":"app","startTimeUnixNano":"2208988800000000000",
         "events":[{"timeUnixNano":"2208988800000000001","name":"feature_flag",
         "attributes":[{"key":"feature_flag.key","value":{"stringValue":"f"}},{"key":"feature_flag.result.variant",
         "value":{"stringValue":"on"}}]}]}]}]}]}'),
    ('span', '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0000000000000000000000000000000c",
         "spanId":"00000000000000cc","parentSpanId":"000000000000000c","name":"feature_flag.evaluation",
         "startTimeUnixNano":"2208988800000000000","endTimeUnixNano":"2208988800000001000",
         "attributes":[{"key":"feature_flag.key","value":{"stringValue":"f"}},{"key":"feature_flag.result.variant",
         "value":{"stringValue":"on"}}]}]}]}]}'),
    ('counter', '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"feature_flag.evaluation_success_total",
         "sum":{"isMonotonic":true,"aggregationTemporality":1,"dataPoints":[{"timeUnixNano":"2208988800000000003",
         "asInt":1,"attributes":[{"key":"feature_flag.key","value":{"stringValue":"f"}},
         {"key":"feature_flag.result.variant","value":{"stringValue":"on"}}]}]}}]}]}]}')
) v(shape, payload);
CREATE FUNCTION pg_temp.send(given text[])
RETURNS TABLE (shapes text[], rows bigint, exposures bigint, duplicates bigint, tied bigint) LANGUAGE plpgsql AS $$
DECLARE
    d bigint := 0;
    one record;
BEGIN
    TRUNCATE flagscope.telemetry;
    FOR one IN SELECT i.*
        FROM unnest(given) WITH ORDINALITY s(shape, n) JOIN shape p ON p.shape = s.shape,
            flagscope.ingest_otlp(p.payload) i
        ORDER BY s.n
    LOOP d := d + one.duplicate; END LOOP;
    RETURN QUERY
        SELECT given, count(*), (SELECT count(*) FROM flagscope.exposure), d,
            count(*) FILTER (WHERE t.flags = '{"f": "on"}')
        FROM flagscope.telemetry t;
END $$;
SELECT r.* FROM (VALUES (1, '{log,span event,span,counter}'::text[]), (2, '{span,log,counter,span event}'),
    (3, '{counter,span event,span,log}'), (4, '{span event,span event,log,log,span,span}')) v(n, shapes),
    pg_temp.send(v.shapes) r
ORDER BY v.n;
TRUNCATE flagscope.telemetry;
SELECT i.* FROM (SELECT string_agg(payload, E'\n') AS payload FROM shape) p, flagscope.ingest_otlp(p.payload) i;
