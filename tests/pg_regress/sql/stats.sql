-- The decision tests from SQL: estimate, interval, evidence, verdict. Reference values: odds ratios by hand, log
-- e-values of tests/data/stat-vectors (mpmath).

\set ON_ERROR_STOP 0
CREATE FUNCTION pg_temp.many(x bigint, times integer) RETURNS bigint[] LANGUAGE sql
    RETURN array_fill(x, ARRAY[times]);

-- P: 2 % against 1 %, 40 ticks. Odds ratio (10/490) / (5/495) = 2.0204.
SELECT round(estimate::numeric, 4) AS estimate, lower > 1.1 AS is_more, upper < 4 AS is_bounded,
    log_e > 4.6 AS is_shown, p_value < 0.01 AS p_agrees, log_e_safe, verdict
FROM flagscope.sequential_proportion_test(pg_temp.many(500, 40), pg_temp.many(10, 40), pg_temp.many(500, 40),
    pg_temp.many(5, 40));
-- The same rate: safe against half more, open after two ticks.
SELECT estimate, verdict
FROM flagscope.sequential_proportion_test(pg_temp.many(500, 40), pg_temp.many(5, 40), pg_temp.many(500, 40),
    pg_temp.many(5, 40), safe_margin => 0.5);
SELECT estimate, verdict
FROM flagscope.sequential_proportion_test(pg_temp.many(500, 2), pg_temp.many(5, 2), pg_temp.many(500, 2),
    pg_temp.many(5, 2), safe_margin => 0.5);
-- Harm is a decrease: 20 % against 30 %.
SELECT verdict FROM flagscope.sequential_proportion_test(pg_temp.many(500, 40), pg_temp.many(100, 40),
    pg_temp.many(500, 40), pg_temp.many(150, 40), harm => 'decrease');
-- A margin of one percentage point: 2 % against 1 % is not beyond it.
SELECT verdict FROM flagscope.sequential_proportion_test(pg_temp.many(500, 40), pg_temp.many(10, 40),
    pg_temp.many(500, 40), pg_temp.many(5, 40), margin_absolute => 0.01);
-- Evidence of clustered trials is divided by their design effect.
SELECT round((a.log_e / b.log_e)::numeric) > 3 AS is_less FROM
    flagscope.sequential_proportion_test('{2000}', '{60}', '{2000}', '{20}', margin => 0) a,
    flagscope.sequential_proportion_test('{2000}', '{60}', '{2000}', '{20}', margin => 0, design_effect => 4) b;

-- P1 and R and S.
SELECT estimate, lower > 0.01 AS is_more, verdict
FROM flagscope.sequential_limit_test('{1000, 1000, 1000}', '{25, 25, 25}', 0.01);
SELECT round(estimate::numeric, 6) AS estimate, verdict
FROM flagscope.sequential_rate_test('{10, 10, 10}', '{120, 120, 120}', '{90, 90, 90}', '{540, 540, 540}');
-- By the formula over the grid (that of tests/data/stat-vectors is another).
WITH ell AS (
    SELECT g.weight, sum(ln(g.ratio) * kt - (kt + kc) * ln(1 + et / (et + ec) * (g.ratio - 1))) AS ell
    FROM (VALUES (86.067, 6, 358.352, 7), (111.637, 17, 699.379, 135), (51.969, 0, 737.909, 10)) s(et, kt, ec, kc),
        unnest('{1.1,1.2,1.3,1.5,2,3,5,10}'::float8[],
            '{0.08,0.03,0.35,0.30,0.10,0.08,0.04,0.02}'::float8[]) g(ratio, weight)
    GROUP BY g.ratio, g.weight
)
SELECT round(t.log_e::numeric, 12) AS log_e,
    abs(t.log_e - (SELECT ln(sum(weight * exp(ell))) FROM ell)) < 1e-12 AS as_by_formula
FROM flagscope.sequential_rate_test('{86.067, 111.637, 51.969}', '{6, 17, 0}', '{358.352, 699.379, 737.909}',
    '{7, 135, 10}', margin => 0) t;
-- ref_srm_ramp.json, case 000: -1.2159464767967023
SELECT round(log_e::numeric, 12) AS log_e, verdict
FROM flagscope.sequential_share_test('{0.25, 0.05, 0.01, 0.01}', '{154, 153, 8, 6}', '{453, 3056, 1022, 521}');
SELECT round(estimate::numeric, 3) AS estimate, verdict
FROM flagscope.sequential_share_test('{0.5, 0.5}', '{9000, 9000}', '{10000, 10000}');

-- M, Mt, Q, Qs, H over states: values from 0.5 to 1.5, in the treatment 30 % more.
CREATE TEMP TABLE arm AS
SELECT tick, flagscope.moments(x * 1.3) AS slow_m, flagscope.moments(x) AS m,
    flagscope.histogram(x * 1.3) AS slow_h, flagscope.histogram(x) AS h
FROM generate_series(1, 20) tick,
    LATERAL (SELECT 0.5 + (i * 7919 % 211) / 211.0::float8 AS x FROM generate_series(1, 211) i) v
GROUP BY tick;
SELECT round(estimate::numeric, 2) AS estimate, lower > 0.2 AND upper < 0.4 AS is_near, verdict
FROM (SELECT array_agg(slow_m ORDER BY tick) AS t, array_agg(m ORDER BY tick) AS c FROM arm) a,
    flagscope.sequential_mean_test(t, c, 2);
SELECT estimate, verdict
FROM (SELECT array_agg(m) AS t, array_agg(m) AS c FROM arm) a,
    flagscope.sequential_mean_test(t, c, 2, safe_margin => 0.3);
SELECT verdict FROM (SELECT array_agg(m) AS t, array_agg(slow_m) AS c FROM arm) a,
    flagscope.sequential_mean_test(t, c, 2, harm => 'decrease');
SELECT round(estimate::numeric, 2) AS estimate, verdict
FROM (SELECT array_agg(slow_m) AS t, array_agg(m) AS c FROM arm) a, flagscope.sequential_mean_t_test(t, c);
SELECT q, round(estimate::numeric, 2) AS estimate, lower < estimate AND upper > estimate AS is_inside, verdict
FROM (SELECT array_agg(slow_h) AS t, array_agg(h) AS c FROM arm) a, unnest('{NULL, 0.5, 0.95}'::float8[]) q,
    flagscope.sequential_quantile_test(t, c, q) ORDER BY q;
SELECT verdict FROM (SELECT array_agg(h) AS t, array_agg(h) AS c FROM arm) a,
    flagscope.sequential_quantile_test(t, c, safe_margin => 0.5);
SELECT lower < 1 AND upper > 1 AS has_median, verdict
FROM (SELECT array_agg(slow_h) AS t, array_agg(h) AS c FROM arm) a,
    flagscope.sequential_quantile_strict_test(t, c, 0.5);
SELECT verdict
FROM (SELECT array_agg(slow_h) AS t, array_agg(h) AS c FROM arm) a, flagscope.sequential_distribution_test(t, c);
-- An arm without data is NULL and tells nothing.
SELECT estimate, log_e, verdict
FROM (SELECT array_agg(NULL::flagscope.moments) AS t, array_agg(m) AS c FROM arm) a,
    flagscope.sequential_mean_test(t, c, 2);

-- T: 1.3 times the errors of a request, 300 users an arm.
SELECT round(estimate::numeric, 6) AS estimate, lower > 1 AS is_more, verdict FROM (
    SELECT array_agg(1.3::float8 * (i % 4)) AS x_t, array_agg((i % 4)::float8) AS x_c,
        array_agg((4 + i % 3)::float8) AS y
    FROM generate_series(1, 300) i
) u, flagscope.sequential_ratio_test(x_t, y, x_c, y, margin => 0);
-- Ten requests a user that fail together: a design effect of 10.
SELECT round(flagscope.design_effect(array_agg(CASE WHEN i % 10 = 0 THEN 10.0::float8 ELSE 0 END),
        array_agg(10.0::float8))::numeric, 1) AS deff
FROM generate_series(1, 1000) i;

-- Several at once. ref_combine.json, cases 001 and 004: -0.3488430455958407, 1.7194120499285703
SELECT round(log_e::numeric, 12) AS log_e, culprits, verdict
FROM flagscope.combine_e('{-0.7206, 0.5338}', '{0.8203, 0.1797}', 0.05);
SELECT round(log_e::numeric, 12) AS log_e, culprits, verdict FROM flagscope.combine_e(
    '{-0.0929, 0.9313, 3.1708, 0.7099, -3.6294, 2.5724, -7.6002}',
    '{0.0605, 0.1761, 0.1609, 0.2375, 0.2546, 0.0577, 0.0527}', 0.05);
SELECT culprits, verdict FROM flagscope.combine_e('{1, 6, -2}', '{5, 3, 2}', 0.05);
SELECT flagscope.e_bh('{5, 0, 4.5, 4}'), flagscope.e_bh('{}');

-- What cannot be is refused.
\set VERBOSITY terse
SELECT flagscope.sequential_proportion_test('{5}', '{6}', '{5}', '{1}');
SELECT flagscope.sequential_proportion_test('{5, 5}', '{1}', '{5}', '{1}');
SELECT flagscope.sequential_proportion_test('{5}', '{NULL}', '{5}', '{1}');
SELECT flagscope.sequential_proportion_test('{5}', '{-1}', '{5}', '{1}');
SELECT flagscope.sequential_proportion_test('{5}', '{1}', '{5}', '{1}', harm => 'up');
SELECT flagscope.sequential_proportion_test('{5}', '{1}', '{5}', '{1}', margin => 'NaN');
SELECT flagscope.sequential_proportion_test('{5}', '{1}', '{5}', '{1}', safe_margin => 0);
SELECT flagscope.sequential_proportion_test('{5}', '{1}', '{5}', '{1}', alpha => 1);
SELECT flagscope.sequential_proportion_test('{5}', '{1}', '{5}', '{1}', design_effect => 0.5);
SELECT flagscope.sequential_limit_test('{5}', '{1}', 0);
SELECT flagscope.sequential_rate_test('{0}', '{1}', '{5}', '{1}');
SELECT flagscope.sequential_rate_test('{Infinity}', '{1}', '{5}', '{1}');
SELECT flagscope.sequential_mean_test(array_agg(slow_m), array_agg(m), 1.5) FROM arm;
SELECT flagscope.sequential_quantile_test(array_agg(slow_h), array_agg(h), 1.5) FROM arm;
SELECT flagscope.sequential_ratio_test('{NaN}', '{1}', '{1}', '{1}');
SELECT flagscope.sequential_share_test('{1}', '{1}', '{1}');
SELECT flagscope.combine_e('{1}', '{-1}');
SELECT flagscope.combine_e('{NaN}', '{1}');
SELECT flagscope.e_bh('{1}', 0);
