-- Guardrails as rows: what is refused, what a changed rule does to its evidence, and how rules share the error budget.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never

SELECT flagscope.create_flag('f');
SELECT flagscope.create_metric('share', 'proportion', 'span', event => '{"is_error": true}');
SELECT flagscope.create_metric('amount', 'mean', 'event');
SELECT flagscope.create_metric('duration', 'quantile', 'span', unit => 's');

-- Defaults by kind of metric and by limit.
SELECT flagscope.create_guardrail('f', 'share'), flagscope.create_guardrail('f', 'duration'),
    flagscope.create_guardrail('f', 'amount', limit_value => 10),
    flagscope.create_guardrail('f', 'share', name => 'at most', limit_value => 0.05, action => 'pause', weight => 3),
    flagscope.create_guardrail('f', 'duration', name => 'p99', quantile => 0.99, limit_value => 2, test => 'threshold',
        time_window => '30 s', min_sample => 5, shadow => true);
SELECT id, name, metric, comparison, test, quantile, margin, limit_value, action, weight, min_sample, time_window,
    shadow, enabled, version
FROM flagscope.guardrail ORDER BY id;

-- What makes no sense is refused, by the function and by a plain INSERT alike.
CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT args, pg_temp.refused(format('SELECT flagscope.create_guardrail(%s)', args)) FROM unnest(ARRAY[
    $a$'f', 'unknown'$a$,
    $a$'unknown', 'share'$a$,
    $a$'f', 'share', environment => 'mars'$a$,
    $a$'f', 'share'$a$,
    $a$'f', 'amount', name => 'x'$a$,
    $a$'f', 'amount', name => 'x', test => 'sequential', limit_value => 1$a$,
    $a$'f', 'amount', name => 'x', comparison => 'absolute'$a$,
    $a$'f', 'share', name => 'x', comparison => 'control', limit_value => 0.1$a$,
    $a$'f', 'share', name => 'x', test => 'threshold'$a$,
    $a$'f', 'share', name => 'x', quantile => 0.5$a$,
    $a$'f', 'duration', name => 'x', limit_value => 1$a$,
    $a$'f', 'duration', name => 'x', limit_value => 1, quantile => 1$a$,
    $a$'f', 'duration', name => 'x', limit_value => 1, quantile => 'NaN'$a$,
    $a$'f', 'share', name => 'x', limit_value => 0$a$,
    $a$'f', 'share', name => 'x', limit_value => 1$a$,
    $a$'f', 'share', name => 'x', limit_value => 'NaN'$a$,
    $a$'f', 'amount', name => 'x', limit_value => 'NaN'$a$,
    $a$'f', 'amount', name => 'x', limit_value => 'Infinity'$a$,
    $a$'f', 'share', name => 'x', margin => -0.1$a$,
    $a$'f', 'share', name => 'x', margin => 'NaN'$a$,
    $a$'f', 'share', name => 'x', limit_value => 0.1, margin => 0.1$a$,
    $a$'f', 'share', name => 'x', action => 'advance'$a$,
    $a$'f', 'share', name => 'x', weight => 0$a$,
    $a$'f', 'share', name => 'x', weight => 'NaN'$a$,
    $a$'f', 'share', name => 'x', min_sample => -1$a$,
    $a$'f', 'share', name => 'x', time_window => '0'$a$]) args;
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    $s$INSERT INTO flagscope.guardrail (name, flag, environment, metric) VALUES ('x', 'f', 'production', 'amount')$s$,
    $s$INSERT INTO flagscope.guardrail (name, flag, environment, metric, comparison, limit_value)
        VALUES ('x', 'f', 'production', 'share', 'absolute', 2)$s$,
    $s$INSERT INTO flagscope.guardrail (name, flag, environment, metric) VALUES ('x', 'f', 'mars', 'share')$s$,
    $s$UPDATE flagscope.guardrail SET limit_value = 7 WHERE name = 'at most'$s$]) s;
SELECT count(*) AS guardrails FROM flagscope.guardrail;

-- The error budget: weighted shares among the enabled sequential rules; a shadow rule takes nothing from the others.
SELECT flagscope.create_guardrail('f', 'share', name => 'shadow', shadow => true) > 0 AS made,
    flagscope.create_guardrail('f', 'share', name => 'asleep') > 0 AS made;
UPDATE flagscope.guardrail SET enabled = false WHERE name = 'asleep';
SELECT flagscope.create_rollout('f', alpha => 0.02, min_duration => '1 hour') AS id \gset
SELECT _flagscope.decide(:id, 'start', 'tester', 'by hand', '2040-01-02 12:00') > 0 AS started;
SELECT _flagscope.begin_evidence(:id, '2040-01-02 12:00');
-- Of 0.02 a tenth is kept back: share, duration and the shadow rule have weight 1, "at most" 3;
-- threshold rules need none.
SELECT g.name, g.test, g.shadow, s.alpha,
    CASE g.test WHEN 'threshold' THEN s.alpha = 0.02
        ELSE abs(s.alpha - 0.02 * 0.9 * g.weight / (1 + 1 + 3 + CASE WHEN g.shadow THEN 1 ELSE 0 END))
            < 1e-15 END AS as_expected
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id ORDER BY g.id;
SELECT round(sum(s.alpha)::numeric, 12) AS spent
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
WHERE g.test = 'sequential' AND NOT g.shadow;

-- What does not change the question leaves version and evidence alone; a changed rule starts its evidence anew.
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags, is_error)
SELECT '2040-01-02 12:01', 'span', 'x', 1,
    jsonb_build_object('f', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END), i / 2 % 50 = 0
FROM generate_series(1, 400) i;
SELECT guardrails FROM flagscope.tick('2040-01-02 12:01');
SELECT g.id, g.version, s.n_treatment, s.since, s.state
FROM flagscope.guardrail g LEFT JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id
WHERE g.name IN ('share', 'at most') ORDER BY 1;
UPDATE flagscope.guardrail
SET action = 'warn', min_sample = 1, description = 'told only', name = 'renamed', shadow = true WHERE name = 'share';
SET client_min_messages = notice;
UPDATE flagscope.guardrail SET limit_value = 0.1 WHERE name = 'at most';
SELECT g.id, g.name, g.version, s.n_treatment, s.since
FROM flagscope.guardrail g LEFT JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id
WHERE g.name IN ('renamed', 'at most') ORDER BY 1;
SELECT guardrails FROM flagscope.tick('2040-01-02 12:02');
SELECT g.id, g.version, s.guardrail_version, s.n_treatment, s.since, s.alpha, s.state
FROM flagscope.guardrail g JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id WHERE g.name = 'at most';
-- It took half of the 0.002 that was left; so does each that comes later, and the sum stays within 0.02.
SELECT alpha_left FROM flagscope.rollout WHERE id = :id;
BEGIN;
SELECT count(flagscope.create_guardrail('f', 'share', name => 'later ' || i)) FROM generate_series(1, 20) i;
SELECT guardrails FROM flagscope.tick('2040-01-02 12:02:01');
SELECT sum(s.alpha) > 0.0199 AND sum(s.alpha) <= 0.02 AS within
FROM (SELECT s.alpha FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
    WHERE g.test = 'sequential' AND NOT g.shadow UNION ALL SELECT 0.0036 + 0.0108) s;
ROLLBACK;
SELECT guardrail_version, count(*), sum(n_treatment) AS n
FROM flagscope.evaluation e JOIN flagscope.guardrail g ON g.id = e.guardrail_id
WHERE g.name = 'at most' GROUP BY 1 ORDER BY 1;

-- A metric that guardrails read stays what it is; its words may change.
UPDATE flagscope.metric_definition SET filter = '{"name": "y"}' WHERE name = 'share';
UPDATE flagscope.metric_definition SET harm = 'decrease' WHERE name = 'share';
UPDATE flagscope.metric_definition SET kind = 'mean' WHERE name = 'share';
UPDATE flagscope.metric_definition SET description = 'share of errors', unit = '1' WHERE name = 'share';
DELETE FROM flagscope.metric_definition WHERE name = 'share';
-- Quantiles against control: thresholds come from the control's past;
-- a flat control, zeros and invalid values do no harm.
SELECT guardrail_id, n_treatment, events_treatment, events_control
FROM flagscope.evaluation WHERE guardrail_id = 2 AND n_treatment > 0;
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags)
SELECT '2040-01-02 12:02:10', 'span', 'x', CASE i % 4 WHEN 0 THEN 0 WHEN 1 THEN 'NaN' WHEN 2 THEN 1.05 ELSE 1.2 END,
    jsonb_build_object('f', CASE WHEN i <= 200 THEN 'on' ELSE 'off' END)
FROM generate_series(1, 400) i;
SELECT guardrails FROM flagscope.tick('2040-01-02 12:02:20');
-- 150 valid values each. 1.05 and 1.2 are above the control's threshold (the bin of 1);
-- with the margin of 6 % only 1.2 is.
SELECT n_treatment, events_treatment, n_control, events_control
FROM flagscope.evaluation WHERE guardrail_id = 2 AND at = '2040-01-02 12:02:20';
