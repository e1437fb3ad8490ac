-- Ratios of sums over units and the design effect, against the same formulas in SQL.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SET search_path = flagscope, public;
SELECT setseed(0.3);
-- Users with 1 to 20 requests each; the errors of one user resemble each other: variance of p over p (1 - p) is 0.39,
-- so the design effect is 1 + (E m^2 / E m - 1) 0.39 = 5.9 (Kish).
CREATE TEMP TABLE unit AS SELECT i, i % 2 AS arm, trials, (count(*) FILTER (WHERE random() < p))::float8 AS events
FROM (SELECT i, (1 + floor(random() * 20))::float8 AS trials, CASE WHEN random() < 0.1 THEN 0.5 ELSE 0.01 END AS p
        FROM generate_series(1, 4000) i) u,
    generate_series(1, trials::integer)
GROUP BY i, trials, p;
SELECT arm, count(r) = n AS count, abs(value(r) / (sx / sy) - 1) < 1e-12 AS value,
    abs(variance(r) / ((sxx - 2 * sx / sy * sxy + (sx / sy) ^ 2 * syy) / (n * my ^ 2)) - 1) < 1e-9 AS variance,
    abs(standard_error(r) ^ 2 / variance(r) - 1) < 1e-12 AS error,
    abs(design_effect(r) / (variance(r) / (sx / sy * (1 - sx / sy) / sy)) - 1) < 1e-9 AS effect,
    design_effect(r) BETWEEN 5 AND 7 AS clustered, d = design_effect(r) AS direct, invalid(r)
FROM (SELECT arm, ratio(events, trials) AS r, design_effect(events, trials) AS d, count(*) AS n, sum(events) AS sx,
        sum(trials) AS sy, avg(trials) AS my, var_samp(events) AS sxx, var_samp(trials) AS syy,
        covar_samp(events, trials) AS sxy
    FROM unit GROUP BY arm) s
ORDER BY arm;
-- Independent trials have an effect of 1, and it never falls below.
SELECT design_effect(events, trials) FROM (VALUES (1, 2), (1, 2), (1, 2)) u(events, trials);
-- Nothing to say: no unit, one unit, no trials, a rate of 0 or 1.
SELECT ratio(events, trials) IS NULL AS none FROM unit WHERE false;
SELECT value(r), variance(r), design_effect(r) FROM (SELECT ratio(1, 2) AS r) s;
SELECT value(r), variance(r) FROM (SELECT ratio(x, 0) AS r FROM generate_series(1, 3) x) s;
SELECT design_effect(0, y) AS never, design_effect(y, y) AS always FROM generate_series(1, 3) y;
SELECT count(r), invalid(r), value(r)
FROM (SELECT ratio(x, y) AS r
    FROM (VALUES (1::float8, 2::float8), (NULL, 1), (1, NULL), ('NaN', 1), (1, '-Infinity'), (3, 2)) v(x, y)) s;
-- Parts of disjoint units add up; text and binary forms.
SELECT count(a) = count(b) AS count, abs(value(a) - value(b)) < 1e-14 AS value,
    abs(variance(a) / variance(b) - 1) < 1e-9 AS variance
FROM (SELECT rollup(r) AS a FROM (SELECT ratio(events, trials) AS r FROM unit GROUP BY i % 7) p) s,
    (SELECT ratio(events, trials) AS b FROM unit) t;
SELECT merge(r, NULL)::text = r::text AS alone, count(merge(r, r)) FROM (SELECT ratio(events, trials) AS r FROM unit) s;
SELECT ratio(x, y) FROM (VALUES (1, 2), (2, 4)) v(x, y);
SELECT _flagscope.ratio_send(r) = _flagscope.ratio_send(r::text::ratio) AS same,
    length(_flagscope.ratio_send(r)) AS bytes
FROM (SELECT ratio(events, trials) AS r FROM unit) s;
CREATE TEMP TABLE stored AS SELECT arm, ratio(events, trials) AS r FROM unit GROUP BY arm;
CREATE TEMP TABLE copied (LIKE stored);
SELECT current_setting('data_directory') || '/ratio.copy' AS file \gset
COPY stored TO :'file' (FORMAT binary);
COPY copied FROM :'file' (FORMAT binary);
SELECT bool_and(s.r::text = c.r::text) AS same FROM stored s JOIN copied c USING (arm);
SELECT '{"n":2,"mean_x":1,"mean_y":1,"xx":1,"yy":1,"xy":5,"invalid":0}'::ratio;
SELECT '{"n":0,"mean_x":1,"mean_y":0,"xx":0,"yy":0,"xy":0,"invalid":0}'::ratio;
