-- The aggregates in partition-wise plans and in window frames: the same answers as in a plain one.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SELECT setseed(0.25);
CREATE TABLE public.part (g integer, i integer, v float8, w float8) PARTITION BY RANGE (i);
SELECT format('CREATE TABLE public.part_%s PARTITION OF public.part FOR VALUES FROM (%s) TO (%s)', n,
    n * 10000, (n + 1) * 10000)
FROM generate_series(0, 3) n \gexec
INSERT INTO public.part SELECT i % 3, i, exp(random() * 5), 1 + i % 9 FROM generate_series(0, 39999) i;
ANALYZE public.part;
SET max_parallel_workers_per_gather = 0;
CREATE TEMP TABLE plain AS
SELECT g, flagscope.moments(v) AS m, flagscope.histogram(v) AS h, flagscope.tdigest(v) AS t, flagscope.ratio(v, w) AS r,
    flagscope.histogram(v, 8) AS f, flagscope.moments(v, 10) AS c
FROM public.part GROUP BY g;
SET enable_partitionwise_aggregate = on;
EXPLAIN (COSTS OFF) SELECT g, flagscope.tdigest(v), flagscope.histogram(v), flagscope.moments(v), flagscope.ratio(v, w)
FROM public.part GROUP BY g;
CREATE TEMP TABLE wise AS
SELECT g, flagscope.moments(v) AS m, flagscope.histogram(v) AS h, flagscope.tdigest(v) AS t, flagscope.ratio(v, w) AS r,
    flagscope.histogram(v, 8) AS f, flagscope.moments(v, 10) AS c
FROM public.part GROUP BY g;
SET enable_partitionwise_aggregate = off;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF)
SELECT flagscope.ratio(v, w), flagscope.design_effect(v, w), flagscope.histogram(v, 8), flagscope.moments(v, 10)
FROM public.part;
CREATE TEMP TABLE parallel AS
SELECT g, flagscope.moments(v) AS m, flagscope.histogram(v) AS h, flagscope.tdigest(v) AS t, flagscope.ratio(v, w) AS r,
    flagscope.histogram(v, 8) AS f, flagscope.moments(v, 10) AS c
FROM public.part GROUP BY g;
SELECT way, g,
    flagscope.count(a.m) = flagscope.count(p.m)
        AND abs(flagscope.variance(a.m) / flagscope.variance(p.m) - 1) < 1e-10 AS moments,
    abs(flagscope.mean(a.c) - flagscope.mean(p.c)) < 1e-10 AS capped,
    regexp_replace(a.h::text, '"sum":[^,]*', '') = regexp_replace(p.h::text, '"sum":[^,]*', '')
        AND regexp_replace(a.f::text, '"sum":[^,]*', '') = regexp_replace(p.f::text, '"sum":[^,]*', '') AS histogram,
    flagscope.count(a.t) = flagscope.count(p.t)
        AND abs(flagscope.quantile(a.t, 0.95) / flagscope.quantile(p.t, 0.95) - 1) < 0.02 AS tdigest,
    flagscope.count(a.r) = flagscope.count(p.r) AND abs(flagscope.value(a.r) - flagscope.value(p.r)) < 1e-10
        AND abs(flagscope.variance(a.r) / flagscope.variance(p.r) - 1) < 1e-8 AS ratio
FROM plain p JOIN (SELECT 'partition-wise' AS way, * FROM wise UNION ALL SELECT 'parallel', * FROM parallel) a USING (g)
ORDER BY 1, 2;
SET max_parallel_workers_per_gather = 0;
-- A moving frame takes values out again; beside it a frame that starts anew at every row,
-- by an aggregate without inverse.
CREATE AGGREGATE pg_temp.histogram_anew(float8) (SFUNC = _flagscope.histogram_accum, STYPE = internal,
    FINALFUNC = _flagscope.histogram_final);
CREATE TEMP TABLE s AS
SELECT i,
    CASE WHEN i % 37 = 0 THEN NULL WHEN i % 41 = 0 THEN 'NaN' WHEN i % 11 = 0 THEN 0
        WHEN i % 13 = 0 THEN -v ELSE v END AS v
FROM public.part WHERE i < 3000;
SELECT count(*),
    bool_and(regexp_replace(a::text, '"sum":[^,]*', '')
        IS NOT DISTINCT FROM regexp_replace(b::text, '"sum":[^,]*', '')) AS same,
    bool_and(abs(flagscope.sum(a) - flagscope.sum(b)) < 1e-6) AS sums
FROM (SELECT flagscope.histogram(v) OVER w AS a, pg_temp.histogram_anew(v) OVER w AS b
    FROM s WINDOW w AS (ORDER BY i ROWS BETWEEN 99 PRECEDING AND 3 FOLLOWING)) f;
SELECT bool_and(flagscope.count(h) = n AND flagscope.count(m) = n AND flagscope.count(t) = n AND flagscope.max(h) = most
    AND flagscope.max(t) = most) AS all_frames
FROM (SELECT flagscope.histogram(v, 3) OVER w AS h, flagscope.moments(v) OVER w AS m, flagscope.tdigest(v) OVER w AS t,
        count(v) OVER w AS n, max(v) OVER w AS most
    FROM public.part WHERE i < 500
    WINDOW w AS (ORDER BY i ROWS BETWEEN 20 PRECEDING AND CURRENT ROW)) f;
SELECT bool_and(flagscope.quantile(t, 1) = most AND flagscope.count(r) = n) AS growing
FROM (SELECT flagscope.tdigest(v) OVER w AS t, flagscope.ratio(v, w) OVER w AS r, max(v) OVER w AS most,
        count(*) OVER w AS n
    FROM public.part WHERE i < 500 WINDOW w AS (PARTITION BY g ORDER BY i)) f;
-- GROUPS, RANGE and EXCLUDE frames.
SELECT bool_and(flagscope.count(a) = n) AS excluded
FROM (SELECT flagscope.histogram(v) OVER w AS a, count(v) OVER w AS n FROM public.part
    WHERE i < 300 WINDOW w AS (ORDER BY i RANGE BETWEEN 10 PRECEDING AND 10 FOLLOWING EXCLUDE CURRENT ROW)) f;
DROP TABLE public.part;
