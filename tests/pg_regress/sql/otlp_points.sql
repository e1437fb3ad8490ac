-- Metric points that real SDKs and Collectors write: totals without a sum, that are no number, that are empty or of
-- unknown beginning; histograms of count and sum alone, with infinite bounds, with a wider zero bucket;
-- names that are not OTLP's.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SELECT flagscope.maintain('2040-01-01') IS NOT NULL AS ready;

-- Points of one metric; time and start in seconds of 2040.
CREATE FUNCTION pg_temp.points(name text, kind text, data jsonb, VARIADIC points text[]) RETURNS text LANGUAGE sql AS $$
    SELECT jsonb_build_object(
        'resourceMetrics', jsonb_build_array(jsonb_build_object('scopeMetrics', jsonb_build_array(jsonb_build_object(
            'scope', jsonb_build_object('name', name),
            'metrics', jsonb_build_array(jsonb_build_object('name', name,
                kind, data || jsonb_build_object('dataPoints', (
                    SELECT jsonb_agg(p.point::jsonb - '{at,start}'::text[] || jsonb_strip_nulls(jsonb_build_object(
                'timeUnixNano', ((2208988800 + (p.point::jsonb ->> 'at')::numeric) * 1000000000)::bigint::text,
                'startTimeUnixNano', ((2208988800 + (p.point::jsonb ->> 'start')::numeric)
                    * 1000000000)::bigint::text)) ORDER BY p.n)
                    FROM unnest(points) WITH ORDINALITY p(point, n))))))))))::text $$;
CREATE FUNCTION pg_temp.sent(wanted text) RETURNS TABLE (at integer, change text, value float8, n bigint, sum float8)
LANGUAGE sql AS $$
    SELECT extract(epoch FROM ts - timestamptz '2040-01-01Z')::integer, attributes #>> '{otlp,change}', value,
        flagscope.count(distribution), round(flagscope.sum(distribution)::numeric, 6)::float8
    FROM flagscope.metric_point WHERE name = wanted ORDER BY ts $$;
\set total '{"aggregationTemporality": 2, "isMonotonic": true}'
\set delta '{"aggregationTemporality": 1}'

-- A histogram without sum is a total all the same: 20 observations in all, of both kinds.
SELECT accepted, duplicate FROM flagscope.ingest_otlp(pg_temp.points('no sum', 'histogram', :'total',
    '{"at": 60, "start": 0, "count": "10", "bucketCounts": ["10", "0"], "explicitBounds": [1]}',
    '{"at": 120, "start": 0, "count": "20", "bucketCounts": ["20", "0"], "explicitBounds": [1]}'));
SELECT at, change, value, n FROM pg_temp.sent('no sum');
SELECT accepted FROM flagscope.ingest_otlp(pg_temp.points('no sum exp', 'exponentialHistogram', :'total',
    '{"at": 60, "start": 0, "count": 10, "zeroCount": 1, "positive": {"offset": 3, "bucketCounts": [4, 5]}}',
    '{"at": 120, "start": 0, "count": 20, "zeroCount": 2, "positive": {"offset": 3, "bucketCounts": [8, 10]}}'));
SELECT at, change, value, n FROM pg_temp.sent('no sum exp');
-- Sent again, nothing of it is new.
SELECT accepted, duplicate
FROM flagscope.ingest_otlp(pg_temp.points('no sum', 'histogram', :'total',
    '{"at": 120, "start": 0, "count": "20", "bucketCounts": ["20", "0"], "explicitBounds": [1]}'));

-- A total that is no number is stored as it was sent, and the next increase is that since the last number.
SELECT accepted FROM flagscope.ingest_otlp(pg_temp.points('no number', 'sum', :'total',
    '{"at": 60, "start": 0, "asDouble": 100}', '{"at": 120, "start": 0, "asDouble": "NaN"}',
    '{"at": 180, "start": 0, "asDouble": 101}', '{"at": 240, "start": 0, "asDouble": "Infinity"}'));
SELECT accepted FROM flagscope.ingest_otlp(pg_temp.points('no number', 'sum', :'total',
    '{"at": 300, "start": 0, "asDouble": "-Infinity"}', '{"at": 360, "start": 0, "asDouble": 105}'));
SELECT s.at, s.change, s.value, m.attributes #>> '{otlp,total}' AS total
FROM pg_temp.sent('no number') s
    JOIN flagscope.metric_point m
        ON m.name = 'no number' AND m.ts = timestamptz '2040-01-01Z' + s.at * interval '1 second'
ORDER BY 1;
-- A histogram's sum that is no number costs the means beside it, and no observation.
SELECT accepted FROM flagscope.ingest_otlp(pg_temp.points('no number in a sum', 'histogram', :'total',
    '{"at": 60, "start": 0, "count": 2, "sum": 1, "bucketCounts": [2, 0], "explicitBounds": [1]}',
    '{"at": 120, "start": 0, "count": 4, "sum": "NaN", "bucketCounts": [4, 0], "explicitBounds": [1]}',
    '{"at": 180, "start": 0, "count": 6, "sum": 3, "bucketCounts": [6, 0], "explicitBounds": [1]}',
    '{"at": 240, "start": 0, "count": 7, "sum": 3.5, "bucketCounts": [7, 0], "explicitBounds": [1]}'));
SELECT at, change, value, n FROM pg_temp.sent('no number in a sum');

-- A point without observations is the beginning of its series, also of one that began long ago;
-- its buckets may be left out.
SELECT accepted FROM flagscope.ingest_otlp(pg_temp.points('empty', 'histogram', :'total',
    '{"at": 98060, "start": 0, "count": "0", "sum": 0, "bucketCounts": ["0", "0"], "explicitBounds": [1]}',
    '{"at": 98120, "start": 0, "count": "5", "sum": 2.5, "bucketCounts": ["5", "0"], "explicitBounds": [1]}'));
SELECT * FROM pg_temp.sent('empty');
SELECT accepted
FROM flagscope.ingest_otlp(pg_temp.points('empty exp', 'exponentialHistogram', :'total', '{"at": 98060, "start": 0}'));
SELECT accepted FROM flagscope.ingest_otlp(pg_temp.points('empty exp', 'exponentialHistogram', :'total',
    '{"at": 98120, "start": 0, "count": "5", "sum": 2.5, "positive": {"offset": -2, "bucketCounts": ["5"]}}'));
SELECT * FROM pg_temp.sent('empty exp');
-- A point at its own start says that nobody knows when its total came to be; without any start it is the same.
SELECT accepted FROM flagscope.ingest_otlp(pg_temp.points('unknown start', 'sum', :'total',
    '{"at": 60, "start": 60, "asInt": "1000000"}', '{"at": 120, "start": 60, "asInt": "1000007"}'));
SELECT at, change, value FROM pg_temp.sent('unknown start');
SELECT accepted FROM flagscope.ingest_otlp(pg_temp.points('no start', 'sum', :'total', '{"at": 60, "asInt": "1000000"}',
    '{"at": 120, "asInt": "1000007"}', '{"at": 180, "asInt": "2"}'));
SELECT at, change, value FROM pg_temp.sent('no start');
-- Nothing recorded: the series goes on afterwards.
SELECT accepted FROM flagscope.ingest_otlp(pg_temp.points('gap', 'exponentialHistogram', :'total',
    '{"at": 60, "start": 0, "count": 3, "sum": 3, "zeroCount": 3}', '{"at": 120, "start": 0, "flags": 1}',
    '{"at": 180, "start": 0, "count": 4, "sum": 3, "zeroCount": 4}'));
SELECT at, change, value, n FROM pg_temp.sent('gap');

-- The zero bucket grows, the scale is halved: no restart. Half of a bucket that went is one.
SELECT accepted FROM flagscope.ingest_otlp(pg_temp.points('wider', 'exponentialHistogram', :'total',
    '{"at": 60, "start": 0, "count": 15, "sum": 10, "zeroCount": 1, "positive": {"offset": -3, "bucketCounts": [2, 3,
     4, 5]}}',
    '{"at": 120, "start": 0, "count": 17, "sum": 11, "zeroCount": 4, "zeroThreshold": 0.25, "positive": {"offset": -2,
     "bucketCounts": [3, 5, 5]}}',
    '{"at": 180, "start": 0, "count": 20, "sum": 14, "scale": -1, "zeroCount": 4, "zeroThreshold": 0.25,
     "positive": {"offset": -1, "bucketCounts": [10, 6]}}',
    '{"at": 240, "start": 0, "count": 16, "sum": 5, "scale": -1, "zeroCount": 4, "zeroThreshold": 0.25,
     "positive": {"offset": -1, "bucketCounts": [9, 3]}}'));
SELECT * FROM pg_temp.sent('wider');
-- Bounds as numbers: what jsonb writes without a point is the same.
SELECT accepted FROM flagscope.ingest_otlp(pg_temp.points('far', 'histogram', :'total',
    '{"at": 60, "start": 0, "count": 1, "sum": 1, "bucketCounts": [1, 0, 0], "explicitBounds": [1e16, "Infinity"]}'));
SELECT accepted FROM flagscope.ingest_otlp(pg_temp.points('far', 'histogram', :'total',
    '{"at": 120, "start": 0, "count": 3, "sum": 5, "bucketCounts": [3, 0, 0], "explicitBounds": [1e16, "Infinity"]}'));
SELECT * FROM pg_temp.sent('far');

-- Infinite bounds are open ends. Bounds that fall, and counts that do not fit, are refused with the reason.
SELECT i.accepted, i.rejected, s.n, s.sum, right(i.first_error, -77) AS first_error
FROM (VALUES (1, '[1, 2, 0]', '[1, "Infinity"]'), (2, '[1, 2]', '[1, "Infinity"]'),
    (3, '[0, 1, 2]', '["-Infinity", 1]'), (4, '[1, 2]', '[1]'),
    (5, '[1, 1, 1]', '[2, 1]'), (6, '[1, 1, 1]', '[1, "NaN"]'), (7, '[1, 1, 1]', '[1]'),
    (8, '["18446744073709551615", 1]', '[1]')) v(k, counts, bounds),
    LATERAL flagscope.ingest_otlp(pg_temp.points('bounds ' || k, 'histogram', :'delta',
        format('{"at": 60, "count": 3, "sum": 4, "bucketCounts": %s, "explicitBounds": %s}', counts, bounds))) i
    LEFT JOIN LATERAL pg_temp.sent('bounds ' || k) s ON i.accepted > 0 ORDER BY k;

-- Count and sum alone: so many values of that mean, also in rollups. One of 101 and 99 of 1: a mean of 2. The spread
-- among the 99 is not known and taken for the largest between 0 and the cap, 99 * (1 - 0) * (1000 - 1);
-- between the two points it is 9,900.
SELECT flagscope.create_flag('f'), flagscope.create_metric('m', 'mean', 'metric', '{"name": "g"}', cap => 1000);
SELECT flagscope.create_guardrail('f', 'm');
SELECT '"attributes": [{"key": "feature_flag.key", "value": {"stringValue": "f"}}, '
    '{"key": "feature_flag.result.variant", "value": {"stringValue": "on"}}]' AS tags \gset
SELECT accepted FROM flagscope.ingest_otlp(pg_temp.points('g', 'histogram', :'delta',
    '{"at": 60, "count": "99", "sum": 99, "bucketCounts": ["99"], ' || :'tags' || '}',
    '{"at": 60, "count": "1", "sum": 101, "bucketCounts": ["1"], ' || :'tags' || '}'));
SELECT sum(n) AS n, flagscope.mean(flagscope.rollup(moments)) AS mean,
    round((flagscope.variance(flagscope.rollup(moments)) * 99)::numeric, 6) AS m2, 99 * 1 * 999 + 9900 AS expected
FROM _flagscope.variant_delta WHERE metric = 'm';

-- The coarsest scales, without extremes, in the same bins as SQL has them:
-- every scale gives a value that can be stored and read.
SELECT flagscope.count(
    flagscope.histogram_from_otlp('{"count": 2, "scale": -10, "positive": {"offset": -1, "bucketCounts": [2]}}')) AS n;
SELECT count(*) AS points, sum(flagscope.count(h)) AS n,
    bool_and(h::text::flagscope.histogram::text = h::text) AS read_again,
    count(*) FILTER (WHERE flagscope.min(h) <= 1 AND flagscope.max(h) <= 1) AS up_to_1
FROM generate_series(-10, 20) scale,
    LATERAL (SELECT flagscope.histogram_from_otlp(format('{"count": 2, "scale": %s, "positive": {"offset": '
        '-1, "bucketCounts": [2]}}', scale)::jsonb) AS h) x;
SELECT flagscope.histogram_from_otlp('{"scale": 0, "positive": {"bucketCounts": [2]}, "min": 1.9, "max": 1.1}');
-- A stored point is read as it stands, in snake_case.
SELECT flagscope.count(flagscope.histogram_from_otlp(attributes -> 'otlp')) AS n
FROM flagscope.metric_point WHERE name = 'wider' ORDER BY ts LIMIT 1;

-- Where nothing is understood, it is said what; an empty request is a good one.
SELECT i.* FROM (VALUES (1, '{"resource_metrics": [{"scope_metrics": []}]}'),
    (2, '{"resourceSpans": [{"scope_spans": [{"spans": [{}]}]}]}'),
    (3, '{"resourceSpans": [{"instrumentationLibrarySpans": []}]}'),
    (4, '{"hello": "world"}'), (5, '{}'), (6, '{"resourceLogs": []}')) v(k, request), flagscope.ingest_otlp(request) i
ORDER BY k;
