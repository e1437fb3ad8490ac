-- Tests for reports. The numbers are checked against scipy, statsmodels, gbstats and spotify-confidence in the core
-- (src/core/tests/report_vectors.rs); here are the columns, and what says nothing.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SET search_path = flagscope, public;
-- By hand: the standard error is sqrt(2.5 / 5 + 5.3 / 5), so t = -2.4 / 1.249 = -1.9215,
-- df = 1.56^2 / (0.5^2 / 4 + 1.06^2 / 4) = 7.087; p by mpmath.
SELECT round(difference::numeric, 4) AS difference, round(lower::numeric, 3) AS lower,
    round(upper::numeric, 3) AS upper, round(t::numeric, 4) AS t, round(df::numeric, 3) AS df,
    round(p_value::numeric, 4) AS p, round(p_greater::numeric, 4) AS greater, round(relative::numeric, 4) AS relative,
    relative_lower < relative AND relative < relative_upper AS within
FROM (SELECT moments(a) AS a FROM unnest('{1,2,3,4,5}'::float8[]) a) x,
    (SELECT moments(b) AS b FROM unnest('{3,4,5,6,9}'::float8[]) b) y, mean_test(a, b);
SELECT round(p_greater::numeric, 4) AS not_worse_by_1, round(upper::numeric, 3) AS upper_99
FROM (SELECT moments(a) AS a FROM unnest('{1,2,3,4,5}'::float8[]) a) x,
    (SELECT moments(b) AS b FROM unnest('{3,4,5,6,9}'::float8[]) b) y, mean_test(a, b, confidence => 0.99, margin => 1);
SELECT m.difference, m.p_value, m.df
FROM mean_test((SELECT moments(1) FROM generate_series(1, 5)), (SELECT moments(2) FROM generate_series(1, 5))) m;
SELECT m.difference, m.p_value FROM mean_test((SELECT moments(1)), (SELECT moments(i) FROM generate_series(1, 5) i)) m;
SELECT count(*) FROM mean_test(NULL, (SELECT moments(1)));
SELECT round(difference::numeric, 6) AS difference, round(p_value::numeric, 6) AS p
FROM (SELECT ratio(i % 3, 1 + i % 5) AS a FROM generate_series(1, 100) i) x,
    (SELECT ratio(i % 4, 1 + i % 5) AS b FROM generate_series(1, 100) i) y, ratio_test(a, b);
-- 56 of 70 against 48 of 80: Newcombe's own example has 0.0524 to 0.3339 (method 10).
SELECT round(difference::numeric, 4) AS difference, round(lower::numeric, 4) AS lower,
    round(upper::numeric, 4) AS upper, round(z::numeric, 4) AS z, round(p_value::numeric, 4) AS p,
    round(p_greater::numeric, 4) AS greater
FROM proportion_test(70, 56, 80, 48);
SELECT * FROM proportion_test(70, 0, 80, 0);
SELECT * FROM proportion_test(0, 0, 80, 8);
-- Three heads of three is 1/8; (4 - 2 * 2)^2 = z^2 (4 + 2) 2 at the ends of the
-- interval of 4 against 2 in half the exposure.
SELECT estimate, round(lower::numeric, 4) AS lower, round(upper::numeric, 4) AS upper,
    round(p_greater::numeric, 4) AS greater, round(p_greater_exact::numeric, 4) AS exact
FROM rate_test(1, 3, 1, 0);
SELECT estimate, abs(power(4 - 2 * lower * 2, 2) - power(1.959963984540054, 2) * 6 * lower * 2) < 1e-9 AS lower,
    abs(power(4 - 2 * upper * 2, 2) - power(1.959963984540054, 2) * 6 * upper * 2) < 1e-9 AS upper, p_value
FROM rate_test(20, 4, 10, 2);
SELECT * FROM rate_test(10, 0, 10, 0);
SELECT rate_test(0, 1, 10, 0);
SELECT rate_test(10, -1, 10, 0);
SELECT rate_test(10, 1, 10, 0, ratio => 0);
SELECT c,
    (SELECT array_agg(round(x::numeric, 4)) FROM unnest(adjust_p_values('{0.01,0.04,0.03,0.005}', c)) x) AS adjusted
FROM unnest('{bonferroni,holm,bh,by}'::text[]) c;
SELECT adjust_p_values('{0.01,NULL}');
SELECT adjust_p_values('{0.01,1.5}');
SELECT adjust_p_values('{0.01}', 'tukey');
-- Of two shifted samples; of one against itself; of all in one bin.
SELECT round(superiority::numeric, 3) AS superiority, p_value < 1e-6 AS found, p_greater < 1e-6 AS greater,
    distance > 0.1 AS apart
FROM (SELECT histogram(i * 1.2) AS a, histogram(i) AS b FROM generate_series(1, 2000) i) s, rank_test(a, b);
SELECT superiority, p_value, distance, u
FROM (SELECT histogram(i) AS a FROM generate_series(1, 100) i) s, rank_test(a, a);
SELECT * FROM (SELECT histogram(7) AS a FROM generate_series(1, 9)) s, LATERAL rank_test(a, a) r;
SELECT r.superiority IS NOT NULL AS scales_differ
FROM (SELECT histogram(i, 8) AS a, histogram(i, 2) AS b FROM generate_series(1, 100) i) s, rank_test(a, b) r;
-- scipy.stats.chisquare([16, 18, 16, 14, 12, 12]): 2.0, 0.8491.
SELECT round(chi2::numeric, 6) AS chi2, df, round(p_value::numeric, 4) AS p
FROM chi_square_test('{16,18,16,14,12,12}', '{1,1,1,1,1,1}');
SELECT * FROM chi_square_test('{0,0}', '{1,1}');
SELECT chi_square_test('{1,2}', '{1}');
SELECT chi_square_test('{1,2}', '{1,0}');
SELECT chi_square_test('{1,NULL}', '{1,1}');
SELECT chi_square_test('{1,-1}', '{1,1}');
SELECT proportion_test(5, 6, 5, 1);
SELECT proportion_test(5, 1, 5, 1, 1.5);
SELECT mean_test(moments(i), moments(i), margin => 'Infinity') FROM generate_series(1, 3) i;
