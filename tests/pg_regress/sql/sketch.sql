-- The three sketches as types and aggregates: readers against exact answers,
-- what is not a number, text and binary forms, merging.
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

-- 20,000 values with a long tail, negative ones and zeros, in 50 groups; exact answers beside every reader.
SELECT setseed(0.5);
CREATE TEMP TABLE x AS
SELECT i % 50 AS g, CASE WHEN i % 40 = 0 THEN 0 WHEN i % 20 = 1 THEN -random() ELSE exp(3 * random()) END AS v
FROM generate_series(1, 20000) i;
SELECT count(m) = n AS count, abs(mean(m) - a) < 1e-12 AS mean, abs(variance(m) / s2 - 1) < 1e-12 AS variance,
    abs(stddev(m) / s - 1) < 1e-12 AS stddev, min(m) = least AS min, max(m) = most AS max, invalid(m)
FROM (SELECT moments(v) AS m, count(*) AS n, avg(v) AS a, var_samp(v) AS s2, stddev_samp(v) AS s,
        min(v) AS least, max(v) AS most
    FROM x) s;
-- A histogram's quantile is in the bin of the value at rank p (n - 1): within 1.1 %.
SELECT p, bool_and(abs(q - e) <= 0.011 * abs(e)) AS within
FROM (SELECT histogram(v) AS h FROM x) s, unnest('{0,0.01,0.03,0.05,0.25,0.5,0.9,0.95,0.99,0.999,1}'::float8[]) p,
    LATERAL (SELECT quantile(h, p) AS q,
        (SELECT (array_agg(v ORDER BY v))[1 + floor(p * (count(*) - 1))] FROM x) AS e) a
GROUP BY p ORDER BY p;
SELECT count(h) = n AS count, min(h) = least AS min, max(h) = most AS max, count_above(h, 2) = n2 AS above_2,
    count_above(h, 0) = n0 AS above_0, count_above(h, 1e9) AS above_all
FROM (SELECT histogram(v) AS h, count(*) AS n, count(*) FILTER (WHERE v > 2) AS n2, count(*) FILTER (WHERE v > 0) AS n0,
        min(v) AS least, max(v) AS most
    FROM x) s;
SELECT count_above(h, '-Infinity') AS above_least, count_above(h, 'Infinity') AS above_most,
    count_above(h, 'NaN') AS above_nan
FROM (SELECT histogram(v) AS h FROM x) s;
SELECT sum(b.count) = 20000 AS all_counted, bool_and(b.count = n) AS same,
    bool_and(lower < upper OR (lower = 0 AND upper = 0) OR lower <= 0) AS ordered
FROM (SELECT histogram(v) AS h FROM x) s, buckets(h) b, LATERAL (SELECT count(*) AS n FROM x
    WHERE CASE WHEN b.upper > 0 AND b.lower >= 0.0001 THEN v > b.lower AND v <= b.upper
        WHEN b.upper < -0.0001 THEN v >= b.lower AND v < b.upper ELSE v = 0 END) n;
-- A t-digest's rank error is small, smallest in the tails.
SELECT p, abs(r - p) < greatest(0.01 * 4 * p * (1 - p), 0.0005) AS within
FROM (SELECT tdigest(v) AS t FROM x) s, unnest('{0.001,0.01,0.1,0.25,0.5,0.9,0.99,0.999}'::float8[]) p,
    LATERAL (SELECT count(*) / 20000.0 AS r FROM x WHERE v <= quantile(t, p)) a
ORDER BY p;
SELECT count(t) = n AS count, min(t) = least AS min, max(t) = most AS max, quantile(t, 0) = least AS p0,
    quantile(t, 1) = most AS p100, abs(quantile_rank(t, 5) - n5 / 20000.0) < 0.01 AS rank,
    abs(trimmed_mean(t, 0, 1) / a - 1) < 0.001 AS whole_mean,
    abs(trimmed_mean(t, 0.1, 0.9)
        / (SELECT avg(v) FROM (SELECT v, ntile(10) OVER (ORDER BY v) AS n FROM x) d WHERE n BETWEEN 2 AND 9)
        - 1) < 0.01 AS trimmed
FROM (SELECT tdigest(v) AS t, count(*) AS n, min(v) AS least, max(v) AS most,
        count(*) FILTER (WHERE v <= 5) AS n5, avg(v) AS a
    FROM x) s;
SELECT quantile(h, ARRAY[0.5, NULL, 0.99]) = ARRAY[quantile(h, 0.5), NULL, quantile(h, 0.99)] AS h,
    quantile(t, ARRAY[0.5, NULL, 0.99]) = ARRAY[quantile(t, 0.5), NULL, quantile(t, 0.99)] AS t,
    quantile(t, '{}'::float8[])
FROM (SELECT histogram(v) AS h, tdigest(v, 200) AS t FROM x) s;

-- NULLs are skipped; NaN and infinities are counted apart and touch nothing; nothing at all is NULL.
SELECT count(m), invalid(m), mean(m), variance(m), min(m), max(m), count(h), invalid(h), quantile(h, 0.5) AS h50,
    count(t), invalid(t), quantile(t, 0.5) AS t50
FROM (SELECT moments(v) AS m, histogram(v) AS h, tdigest(v) AS t
    FROM (VALUES (1::float8), (NULL), (3), ('NaN'), ('Infinity'), ('-Infinity')) a(v)) s;
SELECT moments(v) IS NULL AS m, histogram(v) IS NULL AS h, tdigest(v) IS NULL AS t
FROM (VALUES (NULL::float8), (NULL)) a(v);
SELECT moments(v) IS NULL AS m, histogram(v) IS NULL AS h, tdigest(v, 50) IS NULL AS t, rollup(moments) IS NULL AS r
FROM x, (SELECT NULL::moments) n WHERE false;
SELECT mean(m), variance(m), min(m), count(m), invalid(m), quantile(h, 0.5), max(h), count_above(h, 1),
    quantile(t, 0.5), quantile_rank(t, 1), trimmed_mean(t, 0, 1), (SELECT count(*) FROM buckets(h)) AS buckets
FROM (SELECT moments(v) AS m, histogram(v) AS h, tdigest(v) AS t FROM (VALUES ('NaN'::float8)) a(v)) s;
SELECT mean(m), variance(m), stddev(m), min(m), max(m), quantile(h, 0.5), quantile(t, 0.99)
FROM (SELECT moments(v) AS m, histogram(v) AS h, tdigest(v) AS t FROM (VALUES (7::float8)) a(v)) s;
-- The ends of what a double can hold.
SELECT mean(m), variance(m) > 1e307 AS saturated, count(h), quantile(h, 0) AS least,
    quantile(h, 1) AS most, quantile(t, 0.5)
FROM (SELECT moments(v) AS m, histogram(v) AS h, tdigest(v) AS t
    FROM (VALUES (1.7e308::float8), (-1.7e308), (5e-324), (0), (-0.0)) a(v)) s;

-- Text form: one line of JSON, read back as the same state; binary form too.
SELECT moments(v) AS moments, histogram(v) AS histogram, tdigest(v) AS tdigest
FROM (VALUES (1::float8), (2), (2), (-0.5), (0), ('NaN')) a(v) \gx
SELECT _flagscope.moments_send(m) = _flagscope.moments_send(m::text::moments) AS m,
    _flagscope.histogram_send(h) = _flagscope.histogram_send(h::text::histogram) AS h,
    _flagscope.tdigest_send(t) = _flagscope.tdigest_send(t::text::tdigest) AS t,
    length(_flagscope.moments_send(m)) AS bytes_m, length(_flagscope.histogram_send(h)) < 2500 AS bytes_h,
    length(_flagscope.tdigest_send(t)) < 1500 AS bytes_t
FROM (SELECT moments(v) AS m, histogram(v) AS h, tdigest(v) AS t FROM x) s;
SELECT m, h, t
FROM (SELECT moments(v) AS m, histogram(v) AS h, tdigest(v) AS t FROM (VALUES ('NaN'::float8)) a(v)) s \gx
-- Stored and read again, also compressed and out of line.
CREATE TEMP TABLE stored AS SELECT g, moments(v) AS m, histogram(v) AS h, tdigest(v, 1000) AS t FROM x GROUP BY g;
SELECT count(*), bool_and(quantile(s.h, 0.9) = e.h AND quantile(s.t, 0.9) = e.t AND mean(s.m) = e.m) AS same
FROM stored s
    JOIN (SELECT g, quantile(histogram(v), 0.9) AS h, quantile(tdigest(v, 1000), 0.9) AS t, mean(moments(v)) AS m
        FROM x GROUP BY g) e USING (g);
-- Binary COPY, through the types' receive functions.
CREATE TEMP TABLE copied (LIKE stored);
SELECT current_setting('data_directory') || '/sketch.copy' AS file \gset
COPY (SELECT * FROM stored ORDER BY g) TO :'file' (FORMAT binary);
COPY copied FROM :'file' (FORMAT binary);
SELECT count(*), bool_and((s.m::text, s.h::text, s.t::text) = (c.m::text, c.h::text, c.t::text)) AS same
FROM stored s FULL JOIN copied c USING (g);

-- What is no sketch is refused with a reason.
SELECT s, pg_temp.refused(s) FROM unnest(ARRAY[
    $$SELECT 'garbage'::moments$$, $$SELECT ''::histogram$$, $$SELECT '{}'::tdigest$$, $$SELECT '[]'::moments$$,
    $$SELECT 'null'::moments$$,
    $$SELECT '{"n":2,"mean":1.5,"m2":0.5,"min":1.0,"max":2.0,"invalid":0,"more":1}'::moments$$,
    $$SELECT '{"n":2,"mean":5,"m2":0.5,"min":1.0,"max":2.0,"invalid":0}'::moments$$,
    $$SELECT '{"n":2,"mean":1.5,"m2":-1,"min":1.0,"max":2.0,"invalid":0}'::moments$$,
    $$SELECT '{"n":-2,"mean":1.5,"m2":0.5,"min":1.0,"max":2.0,"invalid":0}'::moments$$,
    $$SELECT '{"n":0,"mean":1.5,"m2":0,"min":1.0,"max":2.0,"invalid":0}'::moments$$,
    $$SELECT '{"scale":5,"zero":0,"positive":[[31,0]],"negative":[],"min":2.0,"max":2.0,"sum":4.0,
         "invalid":0}'::histogram$$,
    $$SELECT '{"scale":99,"zero":0,"positive":[[31,2]],"negative":[],"min":2.0,"max":2.0,"sum":4.0,
         "invalid":0}'::histogram$$,
    $$SELECT '{"scale":5,"zero":0,"positive":[[31,2]],"negative":[],"min":3.0,"max":3.0,"sum":4.0,
         "invalid":0}'::histogram$$,
    $$SELECT '{"scale":5,"zero":0,"positive":[[99999999,2]],"negative":[],"min":2.0,"max":2.0,"sum":4.0,
         "invalid":0}'::histogram$$,
    $$SELECT '{"compression":100,"count":2,"min":1.0,"max":2.0,"centroids":[[2.0,1],[1.0,1]],"invalid":0}'::tdigest$$,
    $$SELECT '{"compression":100,"count":3,"min":1.0,"max":2.0,"centroids":[[1.0,1],[2.0,1]],"invalid":0}'::tdigest$$,
    $$SELECT '{"compression":5,"count":2,"min":1.0,"max":2.0,"centroids":[[1.0,1],[2.0,1]],"invalid":0}'::tdigest$$,
    $$SELECT quantile(histogram(1), 1.5)$$, $$SELECT quantile(histogram(1), float8 'NaN')$$,
    $$SELECT quantile(tdigest(1), -0.1)$$, $$SELECT quantile(tdigest(1), ARRAY[0.5, 7])$$,
    $$SELECT trimmed_mean(tdigest(1), 0.9, 0.1)$$, $$SELECT quantile_rank(tdigest(1), 'NaN')$$,
    $$SELECT tdigest(1, 5)$$, $$SELECT tdigest(1, 20000)$$, $$SELECT tdigest(1, NULL)$$, $$SELECT tdigest(1, 10)$$]) s;
SELECT pg_temp.refused(format('COPY copied (g, m) FROM PROGRAM %L (FORMAT binary)',
    format($p$printf 'PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\002\0\0\0\004\0\0\0\001%s\377\377'$p$, b))) AS binary
FROM (VALUES ('\0\0\0\0'), ('\0\0\0\001\001'), ('\0\0\0\001\011'), ('\0\0\0\002\001\377')) v(b);

-- Merging: groups rolled up are the whole, exactly for histograms (in any order) and moments' counts and extremes.
SELECT regexp_replace(rollup(h)::text, '"sum":[^,]*', '')
    = (SELECT regexp_replace(histogram(v)::text, '"sum":[^,]*', '') FROM x) AS exact,
    regexp_replace(rollup(h ORDER BY g DESC)::text, '"sum":[^,]*', '')
        = regexp_replace(rollup(h ORDER BY g)::text, '"sum":[^,]*', '') AS any_order
FROM stored;
SELECT count(r) = count(d) AND min(r) = min(d) AND max(r) = max(d) AS exact, abs(mean(r) - mean(d)) < 1e-12 AS mean,
    abs(variance(r) / variance(d) - 1) < 1e-12 AS variance
FROM (SELECT rollup(m) AS r FROM stored) a, (SELECT moments(v) AS d FROM x) b;
SELECT abs(mean(rollup(r)) - (SELECT avg(v) FROM x)) < 1e-12 AS of_rollups
FROM (SELECT rollup(m) AS r FROM stored GROUP BY g % 7) a;
SELECT bool_and(count(r) = count(d) AND min(r) = min(d) AND max(r) = max(d)) AS exact,
    bool_and(abs(quantile(r, p) / quantile(d, p) - 1) < 0.02) AS near
FROM (SELECT rollup(t) AS r FROM stored) a, (SELECT tdigest(v) AS d FROM x) b, unnest('{0.1,0.5,0.9,0.99}'::float8[]) p;
SELECT merge(a.m, b.m)::text = (SELECT rollup(m ORDER BY g)::text FROM stored WHERE g IN (1, 2)) AS m,
    merge(a.h, b.h)::text = (SELECT rollup(h ORDER BY g)::text FROM stored WHERE g IN (1, 2)) AS h,
    count(merge(a.t, b.t)) = count(a.t) + count(b.t) AS t FROM stored a, stored b WHERE a.g = 1 AND b.g = 2;
SELECT merge(NULL::moments, NULL) IS NULL AS nothing,
    merge(NULL, m)::text = m::text AND merge(m, NULL)::text = m::text AS m,
    merge(NULL, h)::text = h::text AND merge(h, NULL)::text = h::text AS h, merge(NULL, t)::text = t::text AS t
FROM stored WHERE g = 1;
SELECT count(rollup(s)) AS skips_null FROM (SELECT m AS s FROM stored WHERE g < 2 UNION ALL SELECT NULL) a;
SELECT count(m) FROM (SELECT moments(v) AS m FROM (SELECT v FROM x ORDER BY v LIMIT 10) a) b;
-- As a window function, and beside one another.
SELECT i, count(moments(i) OVER (ORDER BY i ROWS 2 PRECEDING)) AS n,
    mean(moments(i) OVER (ORDER BY i ROWS 2 PRECEDING)), max(histogram(i) OVER (ORDER BY i)),
    quantile(tdigest(i) OVER (ORDER BY i), 0.5) AS median
FROM generate_series(1, 5) i ORDER BY i;
