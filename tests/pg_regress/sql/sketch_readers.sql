-- What the sketches answer beyond the first readers: ranks, trimmed means,
-- intervals of quantiles, caps, scales, OTLP's form.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SET search_path = flagscope, public;
CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
-- A permutation of 1 to 10,000: every exact answer is known without looking.
CREATE TEMP TABLE x AS
SELECT (i * 7919) % 10007 AS v FROM generate_series(1, 10006) i WHERE (i * 7919) % 10007 <= 10000;
SELECT count(*), min(v), max(v), count(DISTINCT v) FROM x;

SELECT r.x, round(quantile_rank(h, r.x)::numeric, 3) AS histogram, round(quantile_rank(t, r.x)::numeric, 3) AS tdigest
FROM (SELECT histogram(v) AS h, tdigest(v) AS t FROM x) s,
    unnest('{-Infinity,0,1,100,5000,9900,10000,Infinity}'::float8[]) r(x);
SELECT sum(h), mean(h), sum(m), abs(trimmed_mean(h, 0.1, 0.9) / 5000.5 - 1) < 0.011 AS trimmed,
    trimmed_mean(h, 0, 1) AS untrimmed, abs(trimmed_mean(h, 0.98, 1) / 9900.5 - 1) < 0.011 AS top
FROM (SELECT histogram(v) AS h, moments(v) AS m FROM x) s;
-- The interval of a quantile: the exact binomial ranks, by mpmath, are 4902 and 5099 for the median, and so on.
SELECT q.p, q.c, l.lower <= q.low AND l.lower > q.low / 1.0219 AS lower,
    l.upper >= q.high AND l.upper < q.high * 1.0219 AS upper,
    abs(d.lower / q.low - 1) < 0.01 AND abs(d.upper / q.high - 1) < 0.01 AS digest
FROM (SELECT histogram(v) AS h, tdigest(v, 1000) AS t FROM x) s,
    (VALUES (0.5, 0.95, 4902, 5099), (0.95, 0.95, 9457, 9543), (0.99, 0.99, 9873, 9926)) q(p, c, low, high),
    LATERAL quantile_interval(h, q.p, q.c) l, LATERAL quantile_interval(t, q.p, q.c) d;
-- Too few values bound nothing: the extreme of ten says little of p95; and 95 % is the default.
SELECT p, l.*
FROM (SELECT histogram(v) AS h FROM generate_series(1, 10) v) s, unnest('{0.05,0.5,0.95}'::float8[]) p,
    LATERAL quantile_interval(h, p) l;
SELECT l.* FROM (SELECT tdigest(v) AS t FROM generate_series(1, 10) v) s, LATERAL quantile_interval(t, 0.5) l;
SELECT l.*, quantile_rank(h, 1), trimmed_mean(h, 0.1, 0.2), mean(h), sum(h)
FROM histogram('{"scale":5,"zero":0,"positive":[],"negative":[],"min":null,"max":null,"sum":null,"invalid":0}') h,
    LATERAL quantile_interval(h, 0.5) l;

-- Winsorised moments; what is no number stays apart.
SELECT count(m), mean(m), max(m), sum(m), invalid(m)
FROM (SELECT moments(v, 10) AS m FROM unnest('{1,5,10,11,1000,NULL,Infinity,NaN}'::float8[]) v) s;
SELECT moments(v, 2)::text = (SELECT moments(least(v, 2))::text FROM generate_series(1, 5) v) AS same
FROM generate_series(1, 5) v;
-- Scales: finer bins, and a merge that takes the coarser.
SELECT scale, (SELECT count(*) FROM buckets(h)) AS buckets, abs(quantile(h, 0.9) / 9000 - 1) < w AS near
FROM (VALUES (0, 0.34), (3, 0.05), (5, 0.011), (8, 0.0014)) s(scale, w),
    LATERAL (SELECT histogram(v, scale) AS h FROM x) a
ORDER BY scale;
SELECT merge(histogram(v, 8), histogram(v, 3))::text = merge(histogram(v, 3), histogram(v, 3))::text AS coarser FROM x;
SELECT s, pg_temp.refused(s)
FROM unnest(ARRAY['SELECT histogram(1, 9)', 'SELECT histogram(1, -11)', 'SELECT histogram(1, NULL)',
    'SELECT histogram(1, -10)', 'SELECT moments(1, NULL)', $$SELECT moments(1, 'NaN')$$,
    'SELECT quantile_interval(histogram(1), 2)', 'SELECT quantile_interval(tdigest(1), 0.5, 1)',
    $$SELECT quantile_rank(histogram(1), 'NaN')$$, 'SELECT trimmed_mean(histogram(1), 0.5, 0.5)']) s;

-- OTLP's exponential histogram, out and in. The example is of the data model: base 2 at scale 0, (1, 2] is bucket 0.
SELECT to_otlp(histogram(v, 0)) FROM unnest('{0,1,1.5,2,3,-4,NaN}'::float8[]) v;
SELECT to_otlp(
    '{"scale":5,"zero":0,"positive":[],"negative":[],"min":null,"max":null,"sum":null,"invalid":3}'::histogram);
SELECT histogram_from_otlp(to_otlp(h))::text = h::text AS same
FROM (SELECT histogram(v) AS h FROM x UNION ALL SELECT histogram(-v * v) FROM x
    UNION ALL SELECT histogram(v - 5000, 8) FROM x) s;
SELECT histogram_from_otlp('{"count": "6", "scale": 1, "zeroCount": 1, "positive": {"offset": -1, "bucketCounts": ["2",
     0, "3"]}, "sum": 4.5, "min": 0, "max": 1.9, "attributes": [], "timeUnixNano": "1"}');
-- A finer scale than ours is coarsened; without extremes and sum the buckets stand in;
-- an edge that a logarithm missed is taken.
SELECT scale, quantile(h, 0.5) BETWEEN 1.4 AND 1.42 AS median, count(h) FROM (VALUES (8), (10), (20)) s(scale),
    LATERAL (SELECT histogram_from_otlp(format('{"scale": %s, "positive": {"offset": %s, "bucketCounts": [1, 1, 1]}}',
        scale, 1 << (scale - 1))::jsonb) AS h) a
ORDER BY scale;
SELECT h, sum(h)
FROM histogram_from_otlp(
    '{"scale": 0, "positive": {"offset": 0, "bucketCounts": [0, 4]}, "negative": {"bucketCounts": ["1"]}}') h;
SELECT max(histogram_from_otlp('{"scale": 0, "max": 2, "positive": {"offset": 1, "bucketCounts": [1]}}')) AS edge,
    min(histogram_from_otlp('{"scale": 0, "zeroCount": 1, "zeroThreshold": 0.1, "min": -0.05}')) AS within_threshold;
SELECT s, pg_temp.refused(format('SELECT histogram_from_otlp(%L)', s))
FROM unnest(ARRAY['[]', '{}', '{"scale": 21}', '{"scale": 1.5}', '{"scale": 0, "zeroCount": -1}',
    '{"scale": 0, "zeroCount": "many"}', '{"scale": 0, "count": 3, "zeroCount": 2}',
    '{"scale": 0, "positive": {"offset": 2000, "bucketCounts": [1]}}',
    '{"scale": 0, "positive": {"offset": 9223372036854775807, "bucketCounts": [0, 1]}}',
    '{"scale": 0, "negative": {"offset": -5000, "bucketCounts": [1]}}', '{"scale": 0, "positive": {"bucketCounts": 1}}',
    '{"scale": 0, "max": 9, "positive": {"bucketCounts": [1]}}',
    '{"scale": 0, "sum": "x", "positive": {"bucketCounts": [1]}}',
    '{"scale": 0, "positive": {"bucketCounts": ["9007199254740992"]}, "zeroCount": 1}']) s;
