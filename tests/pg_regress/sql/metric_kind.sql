-- Kinds of metrics from definition to verdict: means of capped values and rates against the control, limits of rates,
-- ratios; evidence beside the test_* functions over the same strata, replay, backtest, rebuilding, design effects.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never

CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT args, pg_temp.refused(format('SELECT flagscope.create_metric(%s)', args)) FROM unnest(ARRAY[
    $a$'x', 'rate', 'log'$a$,
    $a$'x', 'ratio', 'event'$a$,
    $a$'x', 'mean', 'event', per => '{}'$a$,
    $a$'x', 'rate', 'log', per => '{"signal": "trace"}'$a$,
    $a$'x', 'rate', 'log', per => '{"nme": "x"}'$a$,
    $a$'x', 'rate', 'log', per => '{"sum_values": "yes"}'$a$,
    $a$'x', 'mean', 'event', sum_values => true$a$,
    $a$'x', 'quantile', 'span', cap => 1$a$,
    $a$'x', 'mean', 'span', cap => 0$a$,
    $a$'x', 'mean', 'span', cap => 'Infinity'$a$,
    $a$'x', 'mean', 'span', cap => 'NaN'$a$]) args;

SELECT count(flagscope.create_flag(f)) FROM unnest('{slow,poor,logs,jobs,shop,alike,users}'::text[]) f;
SELECT flagscope.create_metric('duration', 'mean', 'span', '{"name": "pay"}', unit => 's', cap => 2);
SELECT flagscope.create_metric('basket', 'mean', 'event', '{"name": "order"}', unit => 'EUR', cap => 200,
    harm => 'decrease');
SELECT flagscope.create_metric('free mean', 'mean', 'span', '{"name": "pay"}');
SELECT flagscope.create_metric('error logs', 'rate', 'log', '{"severity_at_least": 17}',
    per => '{"signal": "span", "name": "pay"}');
SELECT flagscope.create_metric('retries', 'rate', 'metric', '{"name": "retries"}',
    per => '{"name": "seconds", "sum_values": true}', sum_values => true);
SELECT flagscope.create_metric('revenue', 'ratio', 'event', '{"name": "order"}', per => '{"name": "session"}',
    unit => 'EUR', harm => 'decrease');
SELECT flagscope.create_guardrail('slow', 'duration'), flagscope.create_guardrail('poor', 'basket'),
    flagscope.create_guardrail('logs', 'error logs'), flagscope.create_guardrail('jobs', 'retries', limit_value => 0.5),
    flagscope.create_guardrail('shop', 'revenue', limit_value => 4, min_sample => 10),
    flagscope.create_guardrail('alike', 'duration'), flagscope.create_guardrail('alike', 'error logs'),
    flagscope.create_guardrail('users', 'error logs', design_effect => 2.5);
-- These rows are independent: what is measured of so few is another test's matter (dependence).
UPDATE flagscope.guardrail SET design_effect = 1 WHERE design_effect IS NULL;
SELECT name, comparison, test, margin, limit_value, design_effect FROM flagscope.guardrail ORDER BY id;
SELECT args, pg_temp.refused(format('SELECT flagscope.create_guardrail(%s)', args)) FROM unnest(ARRAY[
    $a$'slow', 'free mean'$a$,
    $a$'slow', 'revenue'$a$,
    $a$'slow', 'revenue', name => 'x', limit_value => 1, test => 'sequential'$a$,
    $a$'slow', 'error logs', name => 'x', limit_value => 0$a$,
    $a$'slow', 'basket', name => 'x', margin => 1$a$,
    $a$'slow', 'duration', name => 'x', design_effect => 0.5$a$,
    $a$'slow', 'duration', name => 'x', design_effect => 'NaN'$a$]) args;
SELECT pg_temp.refused($$UPDATE flagscope.metric_definition SET cap = 3 WHERE name = 'duration'$$),
    pg_temp.refused($$UPDATE flagscope.metric_definition SET per = '{}' WHERE name = 'error logs'$$);

CREATE TEMP TABLE running AS
SELECT f AS flag, flagscope.create_rollout(f, stages => '{50,100}', min_duration => '1 hour') AS id
FROM unnest('{slow,poor,logs,jobs,shop,alike,users}'::text[]) f;
SELECT count(_flagscope.decide(id, 'start', 'tester', 'by hand', '2040-01-02 12:00')) FROM running;
SELECT count(*) FROM (SELECT _flagscope.begin_evidence(id, '2040-01-02 12:00') FROM running) x;

-- One stratum: spans of both arms with error logs, orders, sessions and counters; the treatment's are times worse.
CREATE FUNCTION pg_temp.stratum(flag text, at timestamptz, n integer, worse float8) RETURNS void LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, value, severity, flags)
    SELECT at - i * interval '1 ms', s.signal::flagscope.signal, s.name, s.value, s.severity,
        jsonb_build_object(flag, a.variant)
    FROM generate_series(1, n) i, (VALUES ('on', worse), ('off', 1)) a(variant, factor), LATERAL (VALUES
        ('span', 'pay', CASE WHEN i % 50 = 0 THEN 30 ELSE a.factor * (0.2 + i % 10 / 50.0) END, NULL::smallint),
        ('log', 'pay', NULL, CASE WHEN i % 50 < 5 * a.factor THEN 17 ELSE 9 END),
        ('event', 'order', CASE WHEN i % 4 = 0 THEN 20 / a.factor + i % 7 END, NULL),
        ('event', 'session', NULL, NULL),
        ('metric', 'retries', CASE WHEN i % 5 = 0 THEN round(3 * a.factor) END, NULL),
        ('metric', 'seconds', 1.5, NULL)) s(signal, name, value, severity)
    WHERE s.signal <> 'metric' OR s.value IS NOT NULL;
$$;
CREATE FUNCTION pg_temp.tick(at timestamptz)
RETURNS TABLE (flag text, guardrail text, state text, reason text, rollout text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM flagscope.tick(at);
    RETURN QUERY SELECT g.flag, g.name, s.state::text, s.reason, r.status::text FROM flagscope.guardrail_status s
        JOIN flagscope.guardrail g ON g.id = s.guardrail_id JOIN flagscope.rollout r ON r.id = s.rollout_id
        WHERE s.evaluated_at = at ORDER BY g.id;
END $$;
SELECT count(*) FROM (SELECT pg_temp.stratum(flag, '2040-01-02 12:01', 200, 1) FROM running) x;
-- What is gathered of a rate against a limit is weighed as one after this long.
SELECT flagscope.set_setting('guardrail.pairing', '"30 seconds"');
SELECT * FROM pg_temp.tick('2040-01-02 12:01');
DO $$
DECLARE
    at timestamptz;
BEGIN
    FOR k IN 1..5 LOOP
        at := timestamptz '2040-01-02 12:01' + k * interval '10 s';
        PERFORM pg_temp.stratum(flag, at, 200 + k, CASE flag WHEN 'alike' THEN 1 ELSE 2.5 END) FROM running;
        PERFORM flagscope.tick(at);
    END LOOP;
END $$;
SELECT * FROM pg_temp.tick('2040-01-02 12:02');
SELECT g.flag, g.name, s.state, s.n_treatment, s.n_control, s.reason, r.status, d.reason AS decided
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
    JOIN flagscope.rollout r ON r.id = s.rollout_id LEFT JOIN flagscope.decision d ON d.guardrail_id = g.id
ORDER BY g.id;

-- The evidence is that of test_mean and test_rate over the same strata,
-- but for the twentieth that is held back for copies.
CREATE TEMP VIEW arms AS
SELECT g.flag, g.name, m.cap, m.harm::text AS harm, s.margin, s.alpha, g.design_effect, s.log_e, s.max_log_e,
    array_agg(e.moments_treatment ORDER BY e.stratum) AS mt, array_agg(e.moments_control ORDER BY e.stratum) AS mc,
    array_agg(coalesce(flagscope.sum(e.moments_treatment), e.n_treatment::float8) ORDER BY e.stratum) AS et,
    array_agg(e.events_treatment[1] ORDER BY e.stratum) AS yt, array_agg(e.n_control::float8 ORDER BY e.stratum) AS ec,
    array_agg(e.events_control[1] ORDER BY e.stratum) AS yc
    FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
        JOIN flagscope.metric_definition m ON m.name = g.metric
        JOIN flagscope.evaluation e ON e.evidence_id = s.evidence_id AND e.n_treatment > 0
    GROUP BY g.id, m.name, s.margin, s.alpha, s.log_e, s.max_log_e;
SELECT a.flag, a.name, round(a.log_e::numeric, 6) AS ln_e,
    abs(ln(0.95 * exp(t.log_e) + 0.05) - a.log_e) < 1e-9 AS as_test_mean, round(t.estimate::numeric, 4) AS difference
FROM arms a, LATERAL flagscope.sequential_mean_test(a.mt, a.mc, a.cap, a.margin, safe_margin => NULL, harm => a.harm,
    alpha => a.alpha) t
WHERE a.name IN ('duration', 'basket') ORDER BY 1, 2;
SELECT a.flag, a.name, round(a.log_e::numeric, 6) AS ln_e,
    abs(ln(0.95 * exp(t.log_e) + 0.05) - a.log_e) < 1e-9 AS as_test_rate, round(t.estimate::numeric, 4) AS rate_ratio
FROM arms a, LATERAL flagscope.sequential_rate_test(a.et, a.yt, a.ec, a.yc, a.margin, safe_margin => NULL,
    harm => a.harm, design_effect => a.design_effect, alpha => a.alpha) t
WHERE a.name = 'error logs' ORDER BY 1, 2;
-- A design effect of 2.5 divides every ratio; against a limit: d K - e limit (e^d - 1), mixed over the grid.
SELECT a.flag, a.yt, a.et, round(a.log_e::numeric, 6) AS ln_e,
    abs(a.log_e - ln(0.05
        + 0.95 * sum(w * exp((SELECT greatest(-600, sum(ln(odds) * y - e * 0.5 * (odds - 1)))
            FROM unnest(a.yt, a.et) s(y, e)))))) < 1e-9 AS by_formula
FROM arms a,
    (VALUES (1.1, 0.08), (1.2, 0.03), (1.3, 0.35), (1.5, 0.30), (2, 0.10), (3, 0.08), (5, 0.04), (10, 0.02)) g(odds, w)
WHERE a.name = 'retries' GROUP BY a.flag, a.yt, a.et, a.log_e;
-- A value of 30 counts as 2, the cap; the share of capped ones is the same in both arms.
SELECT DISTINCT flagscope.max(m) FROM arms, unnest(mt || mc) m WHERE name = 'duration';

-- Decisions say what was found, and can be computed anew from what is stored.
SELECT d.id, flagscope.explain_decision(d.id)
FROM flagscope.decision d JOIN flagscope.guardrail g ON g.id = d.guardrail_id
WHERE g.flag IN ('slow', 'logs') ORDER BY d.id;
SELECT d.flag, count(*) AS strata, bool_and(abs(r.log_e_stored - r.log_e_recomputed) < 1e-12) AS equal
FROM flagscope.decision d, _flagscope.replay_evidence(d.id) r
WHERE d.guardrail_id IS NOT NULL GROUP BY d.id ORDER BY d.id;
SELECT g.flag, g.name, count(*) AS strata, min(b.at) FILTER (WHERE b.fires) = d.at AS as_live
FROM flagscope.guardrail g JOIN flagscope.decision d ON d.guardrail_id = g.id,
    flagscope.backtest_guardrail(g.id, '2040-01-02', '2040-01-03') b
WHERE g.test = 'sequential' GROUP BY g.id, d.at ORDER BY g.id;
-- A proposed rule on rollups of 10 seconds: here each tick was one, so the strata are those of the live rule.
SELECT x.rule ->> 'metric' AS metric, count(*) AS strata, count(*) FILTER (WHERE b.fires) AS fires,
    round(max(b.log_e)::numeric, 6) AS max_ln_e
FROM (VALUES ('slow', '{"metric": "duration"}'::jsonb), ('logs', '{"metric": "error logs"}'),
    ('logs', '{"metric": "error logs", "design_effect": 4}')) x(flag, rule),
    flagscope.backtest(x.flag, x.rule, since => '2040-01-02', until => '2040-01-03') b GROUP BY x.rule ORDER BY x.rule;

-- Readers, and rollups against raw rows.
SELECT metric, variant, n, events, round(rate::numeric, 4) AS rate, round(mean::numeric, 4) AS mean
FROM unnest('{alike,shop,jobs,poor}'::text[]) f,
    flagscope.variant_summary(f, since => '2040-01-02', until => '2040-01-03')
ORDER BY f, 1, 2;
-- By hand, of the last stratum: 51 orders of 20 / 2.5 + i % 7 in 204 sessions,
-- 40 times 8 (3 * 2.5 rounded) retries in 306 seconds.
SELECT s.ts::time, s.variant, s.n, round(s.value::numeric, 4) AS value
FROM flagscope.metric_series('shop', 'revenue', since => '2040-01-02 12:01:30', until => '2040-01-02 12:01:40',
    bucket_width => '10 seconds') s
WHERE s.variant = 'on';
SELECT round((51 * 20 / 2.5 + sum(i % 7)) / 204, 4) AS by_hand FROM generate_series(4, 204, 4) i;
SELECT s.n, round(s.value::numeric, 4) AS value, round(320.0 / 306, 4) AS by_hand
FROM flagscope.metric_series('jobs', 'retries', since => '2040-01-02 12:01:30', until => '2040-01-02 12:01:40',
    bucket_width => '10 seconds') s
WHERE s.variant = 'on';
SELECT * FROM flagscope.verify_rollup('2040-01-02', '2040-01-03');
SELECT count(flagscope.maintain('2040-01-02 12:30')) AS maintained FROM generate_series(1, 3);
SELECT flagscope.rebuild_rollup('2040-01-02', '2040-01-03') > 0 AS rebuilt;
SELECT * FROM flagscope.verify_rollup('2040-01-02', '2040-01-03');
SELECT metric, variant, n, events, round(rate::numeric, 4) AS rate, round(mean::numeric, 4) AS mean
FROM flagscope.variant_summary('alike', since => '2040-01-02', until => '2040-01-03') ORDER BY 1, 2;
SELECT line FROM running r, flagscope.rollout_report(r.id, '2040-01-02 12:02') line
WHERE r.flag IN ('alike', 'poor', 'logs') AND line ~ '(duration|error logs|basket) .*(ratio|difference)';

-- What is no count adds nothing, and what adds up to more than a bigint stays the largest: no tick fails of it.
SELECT flagscope.create_flag('huge');
SELECT flagscope.create_metric('microseconds', 'rate', 'metric', '{"name": "now"}',
    per => '{"signal": "span", "name": "none"}', sum_values => true);
SELECT flagscope.create_guardrail('huge', 'microseconds') > 0 AS made;
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags)
SELECT '2040-01-02 12:00', 'metric', 'now', v, '{"huge": "on"}' FROM unnest('{1e12, 1.8e15}'::float8[]) v;
SELECT events, flagscope.invalid(moments) AS invalid FROM _flagscope.variant_delta WHERE metric = 'microseconds';
SELECT count(flagscope.maintain('2040-01-02 12:00:30')) AS backfilled FROM generate_series(1, 3);
INSERT INTO _flagscope.variant_delta (flag, environment, variant, metric, bucket, n, events, last_ts, first_ts)
SELECT 'huge', 'production', 'on', 'microseconds', '2040-01-02 12:00', 9e18, 9e18, '2040-01-02 12:00',
    '2040-01-02 12:00'
FROM generate_series(1, 3);
SELECT count(flagscope.tick('2040-01-02 12:01')) AS ticks FROM generate_series(1, 2);
SELECT count(flagscope.maintain('2040-01-02 12:30')) AS maintained;
SELECT n = 9223372036854775807 AS n, events = 9223372036854775807 AS events
FROM flagscope.variant_rollup WHERE metric = 'microseconds';
SELECT DISTINCT n = 9223372036854775807 AS n, events = 9223372036854775807 AS events
FROM flagscope.variant_history WHERE metric = 'microseconds';
-- A histogram of more values than anybody counts is invalid.
SELECT flagscope.create_metric('sizes', 'quantile', 'metric', '{"name": "sizes"}'),
    flagscope.create_guardrail('huge', 'sizes') > 0 AS made;
INSERT INTO flagscope.telemetry (ts, signal, name, distribution, flags)
SELECT '2040-01-02 12:40', 'metric', 'sizes', flagscope.histogram_from_otlp(format('{"scale": 0,
     "positive": {"bucketCounts": ["%s"]}, "zeroCount": 1}', n)::jsonb), '{"huge": "on"}'
FROM unnest('{9007199254740990,9007199254740990,7}'::bigint[]) n;
SELECT n, flagscope.invalid(histogram) AS invalid FROM _flagscope.variant_delta WHERE metric = 'sizes';
SELECT count(flagscope.tick('2040-01-02 12:41')) AS ticks FROM generate_series(1, 2);
