-- Aggregates in parallel plans: partial states come from the workers, and the answers are the serial ones.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SELECT setseed(0.25);
CREATE TABLE public.big AS SELECT i, i % 3 AS g, exp(random() * 5) AS v FROM generate_series(1, 100000) i;
INSERT INTO public.big VALUES (0, 0, 'NaN'), (0, 1, NULL), (0, 2, 'Infinity');
CREATE TABLE public.part AS
SELECT g, i / 100 AS p, flagscope.moments(v) AS m, flagscope.histogram(v) AS h, flagscope.tdigest(v) AS t
FROM public.big GROUP BY 1, 2;
ANALYZE public.big, public.part;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;

EXPLAIN (COSTS OFF) SELECT flagscope.moments(v) FROM public.big;
EXPLAIN (COSTS OFF) SELECT g, flagscope.histogram(v) FROM public.big GROUP BY g ORDER BY g;
EXPLAIN (COSTS OFF) SELECT flagscope.tdigest(v), flagscope.tdigest(v, 500) FROM public.big;
EXPLAIN (COSTS OFF) SELECT flagscope.rollup(m), flagscope.rollup(h), flagscope.rollup(t) FROM public.part;

CREATE VIEW pg_temp.answer AS
SELECT 'direct' AS way, g, flagscope.moments(v) AS m, flagscope.histogram(v) AS h, flagscope.tdigest(v) AS t
FROM public.big GROUP BY g
UNION ALL SELECT 'rolled up', g, flagscope.rollup(m), flagscope.rollup(h), flagscope.rollup(t)
FROM public.part GROUP BY g;
CREATE TEMP TABLE in_parallel AS SELECT * FROM pg_temp.answer;
SET max_parallel_workers_per_gather = 0;
CREATE TEMP TABLE serial AS SELECT * FROM pg_temp.answer;
SELECT s.way, s.g,
    flagscope.count(p.m) = flagscope.count(s.m) AND flagscope.invalid(p.m) = flagscope.invalid(s.m)
        AND abs(flagscope.mean(p.m) - flagscope.mean(s.m)) < 1e-10
        AND abs(flagscope.variance(p.m) / flagscope.variance(s.m) - 1) < 1e-10 AS moments,
    regexp_replace(p.h::text, '"sum":[^,]*', '') = regexp_replace(s.h::text, '"sum":[^,]*', '') AS histogram,
    flagscope.count(p.t) = flagscope.count(s.t) AND flagscope.invalid(p.t) = flagscope.invalid(s.t)
        AND flagscope.max(p.t) = flagscope.max(s.t)
        AND abs(flagscope.quantile(p.t, 0.95) / flagscope.quantile(s.t, 0.95) - 1) < 0.05 AS tdigest
FROM serial s FULL JOIN in_parallel p USING (way, g) ORDER BY 1, 2;
SELECT g, flagscope.count(m), flagscope.invalid(m),
    abs(flagscope.mean(m) / (SELECT avg(v) FROM public.big b WHERE b.g = p.g AND v < 'Infinity') - 1) < 1e-12 AS mean
FROM in_parallel p WHERE way = 'direct' ORDER BY g;
-- A worker that sees no row, or only NULLs, adds nothing.
SET max_parallel_workers_per_gather = 2;
SELECT flagscope.count(flagscope.moments(v)), flagscope.count(flagscope.tdigest(v)) FROM public.big WHERE i = 7;
SELECT flagscope.moments(v) IS NULL AS m, flagscope.histogram(v) IS NULL AS h, flagscope.tdigest(v) IS NULL AS t
FROM public.big WHERE i = -1 OR v IS NULL;
-- The view by variant, over partitions.
SELECT made FROM flagscope.maintain('2040-01-01');
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags)
SELECT timestamptz '2040-01-01' + i * interval '3 s', 'span', 'pay', v,
    jsonb_build_object('f', CASE g WHEN 0 THEN 'on' ELSE 'off' END)
FROM public.big WHERE i BETWEEN 1 AND 50000;
ANALYZE flagscope.telemetry;
SELECT variant, spans, errors,
    abs(p95 / (SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY v)
        FROM public.big b WHERE i BETWEEN 1 AND 50000 AND (g = 0) = (s.variant = 'on')) - 1) < 0.05 AS p95
FROM flagscope.span_summary s ORDER BY 1;
DROP VIEW pg_temp.answer;
DROP TABLE public.big, public.part;
