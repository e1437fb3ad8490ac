-- suggest_margin(): noise between arms that are served alike, for every kind of metric, beside independent sources.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SELECT count(*) FROM (SELECT flagscope.create_metric('cases', 'rate', 'metric', '{"name": "cases"}', sum_values => true,
        per => '{"name": "persons", "sum_values": true}'),
    flagscope.create_metric('visits', 'rate', 'span', '{"name": "visit"}', per => '{"name": "pay"}'),
    flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}', unit => 's'),
    flagscope.create_metric('time', 'mean', 'span', '{"name": "pay"}', cap => 100),
    flagscope.create_metric('less time', 'mean', 'span', '{"name": "pay"}', harm => 'decrease', cap => 100),
    flagscope.create_metric('time visited', 'ratio', 'span', '{"name": "visit"}', per => '{"name": "pay"}')) x;
SELECT flagscope.create_flag('aa');
-- Shadows: what is planted here would roll back.
SELECT g.name,
    flagscope.create_guardrail('aa', g.metric, name => g.name, quantile => g.quantile,
        test => coalesce(g.test, 'sequential')::flagscope.guardrail_test,
        comparison => CASE WHEN g.test IS NULL THEN 'control' ELSE 'baseline' END::flagscope.comparison, shadow => true)
FROM (VALUES ('cases', 'cases', NULL::float8, NULL), ('visits', 'visits', NULL, NULL), ('mix4', 'duration', NULL, NULL),
    ('p50', 'duration', 0.5, NULL), ('p90', 'duration', 0.9, NULL), ('p95', 'duration', 0.95, NULL),
    ('p99', 'duration', 0.99, NULL),
    ('time', 'time', NULL, NULL), ('less time', 'less time', NULL, NULL),
    ('time visited', 'time visited', NULL, 'threshold')) g(name, metric, quantile, test);
SELECT flagscope.start_rollout(flagscope.create_rollout('aa', stages => '{50,100}', min_duration => '1 day'),
    at => '2040-01-02 12:00', override => true, reason => 'unguarded') > 0 AS started;
CREATE FUNCTION pg_temp.suggested(name text, since timestamptz, until timestamptz, OUT minutes integer,
    OUT noise float8, OUT design_effect float8, OUT margin float8)
LANGUAGE sql AS $$
    SELECT s.* FROM flagscope.guardrail g, flagscope.suggest_margin(g.id, since, until) s WHERE g.name = suggested.name;
$$;

-- Rates: 13 trials of the BCG vaccine (Colditz et al., JAMA 1994, as in metafor's dat.bcg), a minute each: cases and
-- persons. tau and Q / 12 by statsmodels 0.15.0: combine_effects(log((a + 0.5) / n) - log((c + 0.5) / m), 1 / (a + 0.5)
-- + 1 / (c + 0.5), method_re="dl"); on its log odds ratios without the halves the same call gives
-- metafor's published tau^2 = 0.3663 and Q = 163.1649.
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags)
SELECT '2040-01-02 12:00:05'::timestamptz + i * interval '1 minute', 'metric', x.name, x.value,
    jsonb_build_object('aa', x.variant)
FROM ROWS FROM (unnest('{4,6,3,62,33,180,8,505,29,17,186,5,27}'::float8[]),
        unnest('{123,306,231,13598,5069,1541,2545,88391,7499,1716,50634,2498,16913}'::float8[]),
        unnest('{11,29,11,248,47,372,10,499,45,65,141,3,29}'::float8[]),
        unnest('{139,303,220,12867,5808,1451,629,88391,7277,1665,27338,2341,17854}'::float8[])) WITH ORDINALITY t(a,
            n, c, m, i),
    LATERAL (VALUES ('on', 'cases', a), ('on', 'persons', n), ('off', 'cases', c),
        ('off', 'persons', m)) x(variant, name, value);
SELECT flagscope.tick('2040-01-02 12:20') IS NOT NULL AS ticked;
SELECT minutes, abs(noise - 0.5558954014079638) < 1e-12 AS noise,
    abs(design_effect - 12.250053013089442) < 1e-10 AS design_effect,
    abs(margin - (exp(2 * noise) - 1)) < 1e-12 AS twice
FROM pg_temp.suggested('cases', '2040-01-02 12:00', '2040-01-02 12:20');

-- Durations, lognormal (sd of logs 0.5), 1,500 a minute and arm, over a baseline that drifts. From 13:00 both arms are
-- alike; from 14:00 the treatment's minutes are multiplied by lognormal noise of sd 0.1, and visits by noise of sd 0.2.
-- All from md5, so that it is the same everywhere.
CREATE FUNCTION pg_temp.z(seed text) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$
    SELECT sqrt(-2 * ln((('x' || substr(md5(seed), 1, 8))::bit(32)::bigint + 1.0) / 4294967297))
        * cos(2 * pi() * (('x' || substr(md5(seed), 9, 8))::bit(32)::bigint) / 4294967296.0);
$$;
CREATE TEMP TABLE planted AS
    SELECT '2040-01-02 13:00'::timestamptz + noisy * interval '1 hour' + k * interval '1 minute' AS at,
        noisy, k, v.variant,
        CASE WHEN noisy = 1 AND v.variant = 'on' THEN (d.z - avg(d.z) OVER w) / stddev_samp(d.z) OVER w ELSE 0 END AS z
    FROM generate_series(0, 1) noisy, generate_series(0, 23) k, unnest('{on,off}'::text[]) v(variant),
        LATERAL (SELECT pg_temp.z('minute' || k)) d(z)
    WINDOW w AS (PARTITION BY noisy, v.variant);
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags)
SELECT p.at + i * interval '30 ms', 'span'::flagscope.signal, 'pay',
    exp(0.3 * sin(p.k / 8.0) + 0.1 * p.z + 0.5 * pg_temp.z(p.at || p.variant || i)), jsonb_build_object('aa', p.variant)
FROM planted p, generate_series(1, 1500) i
UNION ALL
SELECT p.at + i * interval '30 ms', 'span', 'visit', 1 + i % 3, jsonb_build_object('aa', p.variant)
FROM planted p, generate_series(1,
    round(exp(6 + 0.2 * p.z) + sqrt(exp(6 + 0.2 * p.z)) * pg_temp.z('visits' || p.at || p.variant))::integer) i;
SELECT flagscope.tick('2040-01-02 14:24') IS NOT NULL AS ticked;

-- The same from raw rows: quantiles by percentile_cont, and the moment estimate written with sums of squares.
CREATE FUNCTION pg_temp.tau(d float8[], w float8[]) RETURNS float8 LANGUAGE sql AS $$
    SELECT sqrt(greatest((sum(x.w * (x.d - c.mean) ^ 2) - (count(*) - 1)) / (sum(x.w) - sum(x.w ^ 2) / sum(x.w)), 0))
    FROM unnest(d, w) x(d, w), (SELECT sum(y.d * y.w) / sum(y.w) FROM unnest(d, w) y(d, w)) c(mean);
$$;
CREATE TEMP TABLE raw AS
    SELECT date_trunc('minute', t.ts) AS at, t.flags ->> 'aa' AS variant, t.ts >= '2040-01-02 14:00' AS noisy, q.p,
        count(*) AS n, ln(percentile_cont(q.p) WITHIN GROUP (ORDER BY t.value)) AS x,
        (ln(percentile_cont(q.p + sqrt(q.p * (1 - q.p) / 1500)) WITHIN GROUP (ORDER BY t.value))
            - ln(percentile_cont(q.p - sqrt(q.p * (1 - q.p) / 1500)) WITHIN GROUP (ORDER BY t.value))) / 2 AS half
    FROM flagscope.telemetry t, unnest('{0.5,0.9,0.95,0.99}'::float8[]) q(p) WHERE t.name = 'pay' GROUP BY 1, 2, 3, 4;
SELECT r.noisy, r.p, s.minutes,
    CASE WHEN r.noisy THEN abs(s.noise / r.tau - 1) < 0.1 ELSE r.tau < 0.03 END AS as_from_raw_rows,
    CASE WHEN r.noisy THEN s.noise BETWEEN 0.07 AND 0.14 ELSE s.noise < 0.03 END AS as_planted,
    abs(s.margin - greatest(exp(2 * s.noise) - 1, 0.06)) < 1e-12 AS margin_follows,
    NOT r.noisy AND s.margin = 0.06 AS is_default
FROM (SELECT o.noisy, o.p, pg_temp.tau(array_agg(o.x - c.x), array_agg(1 / (o.v + c.v))) AS tau
      FROM (SELECT *, avg(half) OVER w ^ 2 AS v FROM raw WHERE variant = 'on' WINDOW w AS (PARTITION BY noisy, p)) o
      JOIN (SELECT *, avg(half) OVER w ^ 2 AS v
          FROM raw WHERE variant = 'off' WINDOW w AS (PARTITION BY noisy, p)) c USING (at, p)
        GROUP BY 1, 2) r,
    LATERAL pg_temp.suggested('p' || r.p * 100,
        CASE WHEN r.noisy THEN '2040-01-02 14:00' ELSE '2040-01-02 13:00' END::timestamptz,
        CASE WHEN r.noisy THEN '2040-01-02 14:24' ELSE '2040-01-02 13:24' END::timestamptz) s
ORDER BY 1, 2;
-- A rule without a quantile: the noisiest of the four.
SELECT abs(m.noise - x.noise) < 1e-12 AS largest, abs(m.margin - x.margin) < 1e-12 AS its_margin
FROM pg_temp.suggested('mix4', '2040-01-02 14:00', '2040-01-02 14:24') m,
    (SELECT max(s.noise) AS noise, max(s.margin) AS margin
        FROM unnest('{p50,p90,p95,p99}'::text[]) p, pg_temp.suggested(p, '2040-01-02 14:00', '2040-01-02 14:24') s) x;
-- Rates, means and ratios of the same minutes. A mean that must not fall is tested
-- against (1 - margin) times the control's.
SELECT name, hour, s.minutes,
    CASE WHEN hour = 13 THEN s.noise < 0.03 WHEN name IN ('visits', 'time visited') THEN s.noise BETWEEN 0.14 AND 0.28
        ELSE s.noise BETWEEN 0.07 AND 0.14 END AS as_planted,
    CASE WHEN hour = 13 THEN round(s.margin::numeric, 2) END AS margin,
    CASE WHEN hour = 14 THEN abs(s.margin
        - CASE name WHEN 'less time' THEN 1 - exp(-2 * s.noise) ELSE exp(2 * s.noise) - 1 END) < 1e-12 END AS twice
FROM unnest('{visits,time,less time,time visited}'::text[]) name, unnest('{13,14}'::integer[]) hour,
    pg_temp.suggested(name, make_timestamptz(2040, 1, 2, hour, 0, 0), make_timestamptz(2040, 1, 2, hour, 24, 0)) s
ORDER BY 2, 1;
-- The rate from raw rows.
SELECT abs(s.noise - r.tau) < 1e-9 AS as_from_raw_rows
FROM pg_temp.suggested('visits', '2040-01-02 14:00', '2040-01-02 14:24') s,
    (SELECT pg_temp.tau(array_agg(ln((o.y + 0.5) / (c.y + 0.5))),
            array_agg(1 / (1 / (o.y + 0.5) + 1 / (c.y + 0.5)))) AS tau
        FROM
        (SELECT date_trunc('minute', ts) AS at, count(*)::float8 AS y FROM flagscope.telemetry
            WHERE name = 'visit' AND flags ->> 'aa' = 'on' AND ts >= '2040-01-02 14:00' GROUP BY 1) o
        JOIN (SELECT date_trunc('minute', ts) AS at, count(*)::float8 AS y FROM flagscope.telemetry
            WHERE name = 'visit' AND flags ->> 'aa' = 'off' AND ts >= '2040-01-02 14:00' GROUP BY 1) c USING (at)) r;

-- Few values: 200 a minute are 20 beyond p90 and 10 beyond p95, but 2 beyond p99, of which nothing is said;
-- mix4 goes on without it.
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags)
SELECT '2040-01-02 15:00'::timestamptz + k * interval '1 minute' + i * interval '200 ms', 'span', 'pay',
    exp(0.5 * pg_temp.z('few' || k || v || i)), jsonb_build_object('aa', v)
FROM generate_series(0, 9) k, generate_series(1, 200) i, unnest('{on,off}'::text[]) v;
-- Nothing but zeros has no logarithm, nor has one minute a spread.
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags)
SELECT '2040-01-02 16:00'::timestamptz + k * interval '1 minute' + i * interval '100 ms', 'span', 'pay', 0,
    jsonb_build_object('aa', v)
FROM generate_series(0, 2) k, generate_series(1, 100) i, unnest('{on,off}'::text[]) v;
SELECT flagscope.tick('2040-01-02 16:04') IS NOT NULL AS ticked;
SELECT name, s.minutes
FROM unnest('{mix4,p50,p90,p95,p99}'::text[]) name, pg_temp.suggested(name, '2040-01-02 15:00', '2040-01-02 15:10') s;
SELECT name, s.*
FROM unnest('{mix4,p50,time,visits,time visited}'::text[]) name,
    pg_temp.suggested(name, '2040-01-02 16:00', '2040-01-02 16:03') s;
SELECT s.* FROM pg_temp.suggested('p50', '2040-01-02 13:00', '2040-01-02 13:01') s;
SELECT * FROM flagscope.suggest_margin(99, '2040-01-02 12:00');
SELECT * FROM flagscope.suggest_margin(NULL, '2040-01-02 12:00');
