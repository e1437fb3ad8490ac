-- Absolute margins: what a drop or a rise in the metric's own unit may be, for every kind of metric, against the
-- control and against a baseline; evidence beside the test_* functions over the same strata, replay, backtest.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never

SELECT count(flagscope.create_flag(f)) FROM unnest('{within,beyond,taken}'::text[]) f;
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}'),
    flagscope.create_metric('conversion', 'proportion', 'event', '{"name": "visit"}', '{"value_above": 0.5}',
        harm => 'decrease'),
    flagscope.create_metric('duration', 'mean', 'span', '{"name": "pay"}', unit => 's', cap => 1),
    flagscope.create_metric('latency', 'quantile', 'span', '{"name": "pay"}', unit => 's'),
    flagscope.create_metric('error logs', 'rate', 'log', '{"severity_at_least": 17}',
        per => '{"signal": "span", "name": "pay"}'),
    flagscope.create_metric('basket', 'ratio', 'event', '{"name": "visit"}', per => '{"signal": "span", "name": "pay"}',
        harm => 'decrease');
-- At most a point more errors, three points less conversion, 20 ms more, a twentieth of a log more for each request.
SELECT count(*) FROM unnest('{within,beyond}'::text[]) f, LATERAL (SELECT
    flagscope.create_guardrail(f, 'errors', name => 'odds of errors', action => 'warn'),
    flagscope.create_guardrail(f, 'errors', action => 'warn', margin_absolute => 0.01),
    flagscope.create_guardrail(f, 'conversion', action => 'warn', margin_absolute => 0.03),
    flagscope.create_guardrail(f, 'duration', action => 'warn', margin_absolute => 0.02),
    flagscope.create_guardrail(f, 'latency', action => 'warn', margin_absolute => 0.02),
    flagscope.create_guardrail(f, 'latency', name => 'p90', quantile => 0.9, action => 'warn', margin_absolute => 0.02),
    flagscope.create_guardrail(f, 'error logs', action => 'warn', margin_absolute => 0.05, design_effect => 1.5),
    flagscope.create_guardrail(f, 'errors', name => 'errors before', comparison => 'baseline', action => 'warn',
        margin_absolute => 0.01),
    flagscope.create_guardrail(f, 'basket', name => 'basket before', comparison => 'baseline', action => 'warn',
        margin_absolute => 0.1)) x;
UPDATE flagscope.guardrail SET design_effect = 1 WHERE design_effect IS NULL;
SELECT name, comparison, test, margin, margin_absolute FROM flagscope.guardrail WHERE flag = 'within' ORDER BY id;

CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT args, pg_temp.refused(format('SELECT flagscope.create_guardrail(%s)', args)) FROM unnest(ARRAY[
    $a$'taken', 'errors', margin => 0.1, margin_absolute => 0.01$a$,
    $a$'taken', 'errors', limit_value => 0.1, margin_absolute => 0.01$a$,
    $a$'taken', 'errors', test => 'anomaly', margin_absolute => 0.01$a$,
    $a$'taken', 'errors', margin_absolute => 0$a$,
    $a$'taken', 'errors', margin_absolute => -0.01$a$,
    $a$'taken', 'errors', margin_absolute => 'NaN'$a$,
    $a$'taken', 'latency', margin_absolute => 'Infinity'$a$,
    $a$'taken', 'errors', margin_absolute => 1$a$,
    $a$'taken', 'duration', margin_absolute => 1$a$,
    $a$'taken', 'basket', margin_absolute => 1$a$]) args;
SELECT pg_temp.refused($$SELECT flagscope.create_policy('p', '{"metric": "errors", "margin_absolute": 2}')$$),
    pg_temp.refused($$SELECT flagscope.sequential_rate_test('{1}', '{1}', '{1}', '{1}', margin_absolute => -1)$$),
    pg_temp.refused($$SELECT flagscope.sequential_proportion_test('{1}', '{1}', '{1}', '{1}', margin_absolute => 1)$$),
    pg_temp.refused($$SELECT flagscope.sequential_quantile_test('{}', '{}', margin_absolute => 'NaN')$$);

-- 400 rows an arm. The control: 2 % errors, 30 % conversion, 0.29 s, 0.1 logs a request, a basket of 0.6. The treatment
-- is worse by a part of the margin, or by some times the margin.
CREATE FUNCTION pg_temp.stratum(f text, at timestamptz, arms text[], worse float8) RETURNS void LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, severity, flags)
    SELECT at - i * interval '1 ms', s.signal::flagscope.signal, s.name, s.value, s.is_error, s.severity,
        jsonb_build_object(f, v)
    FROM generate_series(1, 400) i, unnest(arms) v,
        LATERAL (SELECT CASE v WHEN 'on' THEN worse ELSE 0 END) a(w), LATERAL (VALUES
            ('span', 'pay', 0.2 + i % 10 / 50.0 + 0.02 * a.w, i * 7 % 400 < 8 + 4 * a.w, NULL::smallint),
            ('log', 'pay', NULL, NULL, CASE WHEN i * 11 % 400 < 40 + 20 * a.w THEN 17 ELSE 9 END),
            ('event', 'visit', CASE WHEN i * 13 % 400 < 120 - 12 * a.w THEN 2 ELSE 0 END, NULL, NULL)
        ) s(signal, name, value, is_error, severity);
$$;
CREATE TEMP TABLE running AS
SELECT f AS flag, flagscope.create_rollout(f, stages => '{50,100}', min_duration => '1 hour') AS id
FROM unnest('{within,beyond}'::text[]) f;
-- A past for the baselines: 4,000 rows of the control.
SELECT count(*) FROM (SELECT pg_temp.stratum(flag, timestamptz '2040-01-02 11:00' + k * interval '10 s', '{off}', 0)
    FROM running, generate_series(1, 10) k) x;
SELECT flagscope.tick('2040-01-02 11:30') IS NOT NULL AS ticked;
SELECT count(_flagscope.decide(id, 'start', 'tester', 'by hand', '2040-01-02 12:00')) FROM running;
SELECT count(*) FROM (SELECT _flagscope.begin_evidence(id, '2040-01-02 12:00') FROM running) x;
SELECT count(*) FROM (SELECT pg_temp.stratum(flag, '2040-01-02 12:00:05', '{on,off}', 0.5) FROM running) x;
SELECT flagscope.tick('2040-01-02 12:00:06') IS NOT NULL AS ticked;
-- The first data of the control is the past of the next: it is not weighed, and stored.
SELECT g.name, s.state, s.n_treatment, s.reason, s.past, s.centre, e.n_control, e.events_control, e.increment
FROM flagscope.guardrail g JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id
    JOIN flagscope.evaluation e ON e.evidence_id = s.evidence_id
WHERE g.flag = 'within' AND g.comparison = 'control' AND g.margin_absolute IS NOT NULL ORDER BY g.id;
DO $$
DECLARE
    at timestamptz;
BEGIN
    FOR k IN 1..9 LOOP
        at := timestamptz '2040-01-02 12:00:05' + k * interval '10 s';
        PERFORM pg_temp.stratum(flag, at, '{on,off}', CASE flag WHEN 'within' THEN 0.5 ELSE 4 END) FROM running;
        PERFORM flagscope.tick(at + interval '1 s');
    END LOOP;
    -- A rate is compared when both of its parts have had a minute to come.
    PERFORM flagscope.tick('2040-01-02 12:02:40');
END $$;
-- Half a margin is no breach, four margins are.
SELECT g.flag, g.name, s.state, s.breached_at::time, round(s.log_e::numeric, 6) AS ln_e, s.margin, s.margin_absolute,
    round(s.limit_value::numeric, 6) AS limit_value
FROM flagscope.guardrail g JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id ORDER BY g.id;
-- The past of the errors: it holds at most 50 of them, in any number of strata. The baseline: Wilson's far end over
-- 4,000 rows and the first 400, a point added.
SELECT s.past[2] AS events, round((s.past[2] / s.past[1])::numeric, 6) AS share,
    abs(s.centre - (s.past[2] + 0.5) / (s.past[1] + 1)) < 1e-15 AS centre
FROM flagscope.guardrail g JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id
WHERE g.flag = 'within' AND g.name = 'errors';
SELECT round((0.01
    + (0.02 + z ^ 2 / (2 * n) + z * sqrt(0.02 * 0.98 / n + z ^ 2 / (4 * n ^ 2))) / (1 + z ^ 2 / n))::numeric,
    6) AS errors_before
FROM (VALUES (3.09, 4400.0)) x(z, n);

-- The evidence is that of the tests over the same strata, but for the twentieth that is held back for copies.
CREATE TEMP VIEW arms AS
SELECT g.id, g.flag, g.name, m.kind, m.cap, m.harm::text AS harm, s.margin_absolute AS d, s.alpha, g.design_effect,
    s.log_e, g.quantile, array_agg(e.n_treatment ORDER BY e.stratum) AS nt,
    array_agg(e.events_treatment[1] ORDER BY e.stratum) AS yt, array_agg(e.n_control ORDER BY e.stratum) AS nc,
    array_agg(e.events_control[1] ORDER BY e.stratum) AS yc, array_agg(e.moments_treatment ORDER BY e.stratum) AS mt,
    array_agg(e.moments_control ORDER BY e.stratum) AS mc
    FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
        JOIN flagscope.metric_definition m ON m.name = g.metric
        JOIN flagscope.evaluation e ON e.evidence_id = s.evidence_id
    WHERE s.margin_absolute IS NOT NULL AND g.comparison = 'control'
GROUP BY g.id, m.name, s.margin_absolute, s.alpha, s.log_e;
CREATE TEMP VIEW histograms AS SELECT flag, array_agg(t ORDER BY bucket) AS t, array_agg(c ORDER BY bucket) AS c FROM (
    SELECT flag, bucket, flagscope.rollup(histogram) FILTER (WHERE variant = 'on') AS t,
        flagscope.rollup(histogram) FILTER (WHERE variant = 'off') AS c
    FROM flagscope.variant_rollup WHERE metric = 'latency' AND bucket >= '2040-01-02 12:00' GROUP BY flag, bucket) x
GROUP BY flag;
SELECT a.flag, a.name, cardinality(a.nt) AS strata, round(t.log_e::numeric, 6) AS ln_e,
    abs(ln(0.95 * exp(t.log_e) + 0.05) - a.log_e) < 1e-12 * greatest(1, abs(a.log_e)) AS as_test, t.verdict
FROM arms a CROSS JOIN LATERAL (
    SELECT x.log_e, x.verdict
    FROM flagscope.sequential_proportion_test(a.nt, a.yt, a.nc, a.yc, harm => a.harm, margin_absolute => a.d,
        alpha => a.alpha) x
    WHERE a.kind = 'proportion'
    UNION ALL SELECT x.log_e, x.verdict
    FROM flagscope.sequential_mean_test(a.mt, a.mc, a.cap, harm => a.harm, margin_absolute => a.d, alpha => a.alpha) x
    WHERE a.kind = 'mean'
    UNION ALL SELECT x.log_e, x.verdict
    FROM flagscope.sequential_rate_test(a.nt::float8[], a.yt, a.nc::float8[], a.yc, harm => a.harm,
        margin_absolute => a.d, design_effect => a.design_effect, alpha => a.alpha) x
    WHERE a.kind = 'rate'
    UNION ALL SELECT x.log_e, x.verdict
    FROM histograms h,
        LATERAL flagscope.sequential_quantile_test(h.t, h.c, a.quantile, harm => a.harm, margin_absolute => a.d,
            alpha => a.alpha) x
    WHERE a.kind = 'quantile' AND h.flag = a.flag) t
ORDER BY a.id;

-- Decisions say the margin in the metric's unit, and can be computed anew.
SELECT w.line FROM flagscope.decision d JOIN flagscope.guardrail g ON g.id = d.guardrail_id,
    regexp_split_to_table(flagscope.explain_decision(d.id), E'\n') WITH ORDINALITY w(line, nr)
WHERE g.flag = 'beyond' AND w.line ~ '^(guardrail|evidence)' ORDER BY g.id, d.id, w.nr;
SELECT d.rule ->> 'name' AS guardrail, d.evidence ->> 'margin_absolute' AS margin_absolute, count(*) AS strata,
    bool_and(r.log_e_stored = r.log_e_recomputed) AS equal
FROM flagscope.decision d, _flagscope.replay_evidence(d.id) r
WHERE d.rule ->> 'test' = 'sequential' AND d.flag = 'beyond' GROUP BY d.id ORDER BY d.id;
SELECT g.flag, g.name, count(*) AS strata, bool_and(b.log_e = e.log_e) AS equal
FROM flagscope.guardrail g, LATERAL (
        SELECT x.at, x.log_e, row_number() OVER (PARTITION BY x.at ORDER BY x.ordinality) AS nr
        FROM flagscope.backtest_guardrail(g.id, '2040-01-02 12:00', '2040-01-03') WITH ORDINALITY x) b
    JOIN (SELECT y.*, row_number() OVER (PARTITION BY y.guardrail_id, y.at ORDER BY y.stratum) AS nr
        FROM flagscope.evaluation y WHERE y.n_control > 0) e ON e.at = b.at AND e.nr = b.nr
WHERE e.guardrail_id = g.id AND g.margin_absolute IS NOT NULL AND g.test = 'sequential' GROUP BY g.id ORDER BY g.id;
-- Proposed: errors on the counts of the rule with the relative margin, the others on rollups;
-- each has the strata of the live one.
SELECT g.flag, g.name, (array_agg(round(b.log_e::numeric, 6) ORDER BY b.at DESC))[1] AS ln_e,
    abs((array_agg(b.log_e ORDER BY b.at DESC))[1] - s.log_e) < 1e-9 AS as_live
FROM flagscope.guardrail g JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id,
    flagscope.backtest(g.flag,
        jsonb_strip_nulls(jsonb_build_object('metric', g.metric, 'margin_absolute', g.margin_absolute,
            'quantile', g.quantile, 'design_effect', g.design_effect)), since => '2040-01-02 12:00',
        until => '2040-01-03') b
WHERE g.margin_absolute IS NOT NULL AND g.comparison = 'control' GROUP BY g.id, s.log_e ORDER BY g.id;

-- Another margin measures something else; a policy gives it to others.
SET client_min_messages = notice;
UPDATE flagscope.guardrail SET margin_absolute = 0.02 WHERE flag = 'within' AND name = 'errors'
RETURNING version, (SELECT count(*) FROM flagscope.guardrail_status s WHERE s.guardrail_id = id) AS evidence_before;
SELECT flagscope.create_policy('a point of errors', '{"metric": "errors", "margin_absolute": 0.01}') > 0 AS created;
SELECT flagscope.start_rollout(flagscope.create_rollout('taken')) > 0 AS started;
SELECT g.name, g.margin, g.margin_absolute, s.margin, s.margin_absolute
FROM flagscope.guardrail g JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id WHERE g.flag = 'taken';
