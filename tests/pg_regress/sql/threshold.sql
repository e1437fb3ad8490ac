-- Thresholds that count looks (m of n), baselines, states that act, priorities, and data that waits for a failing rule.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SELECT flagscope.create_metric('depth', 'mean', 'metric', '{"name": "depth"}'),
    flagscope.create_metric('errors', 'proportion', 'span', '{}', '{"is_error": true}'),
    flagscope.create_metric('duration', 'quantile', 'span', unit => 's');
CREATE FUNCTION pg_temp.depth(flag text, at timestamptz, value float8) RETURNS void LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, value, flags)
    SELECT at, 'metric', 'depth', value, jsonb_build_object(flag, 'on') FROM generate_series(1, 5);
$$;
CREATE FUNCTION pg_temp.tick(which text, at timestamptz)
RETURNS TABLE (guardrail text, state flagscope.data_state, reason text, looks boolean[],
    rollout flagscope.rollout_status)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM flagscope.tick(at);
    RETURN QUERY SELECT g.name, s.state, s.reason, s.looks, r.status
        FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
        JOIN flagscope.rollout r ON r.id = s.rollout_id WHERE r.flag = which ORDER BY g.id;
END $$;

-- Two of the last three looks, a minute apart.
SELECT flagscope.create_flag('looks');
SELECT flagscope.create_guardrail('looks', 'depth', limit_value => 100, min_sample => 1, time_window => '50 s',
    breaches => 2, of_looks => 3) > 0 AS made;
SELECT flagscope.create_rollout('looks', stages => ARRAY[50, 100], min_duration => '1 day') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-02 12:00') > 0 AS started;
SELECT pg_temp.depth('looks', '2040-01-02 12:00:30', 200);
SELECT * FROM pg_temp.tick('looks', '2040-01-02 12:00:31');
-- The same minute looked at again is the same look.
SELECT * FROM pg_temp.tick('looks', '2040-01-02 12:00:41');
SELECT pg_temp.depth('looks', '2040-01-02 12:02', 50);
SELECT * FROM pg_temp.tick('looks', '2040-01-02 12:02:01');
SELECT pg_temp.depth('looks', '2040-01-02 12:04', 50);
SELECT * FROM pg_temp.tick('looks', '2040-01-02 12:04:01');
SELECT pg_temp.depth('looks', '2040-01-02 12:06', 300);
SELECT * FROM pg_temp.tick('looks', '2040-01-02 12:06:01');
-- A minute without data is no look.
SELECT * FROM pg_temp.tick('looks', '2040-01-02 12:07:30');
SELECT pg_temp.depth('looks', '2040-01-02 12:08', 300);
SELECT * FROM pg_temp.tick('looks', '2040-01-02 12:08:01');
-- A rule that never was, over the same time: it fires at the second of its looks beyond the limit, too.
SELECT b.at, b.value
FROM flagscope.backtest('looks',
    '{"metric": "depth", "limit_value": 100, "min_sample": 1, "time_window": "50 s", "breaches": 2, "of_looks": 3}',
    since => '2040-01-02', until => '2040-01-03') b
WHERE b.fires;
\set VERBOSITY terse
SELECT flagscope.create_guardrail('looks', 'depth', name => 'x', limit_value => 1, breaches => 3, of_looks => 2);
SELECT flagscope.create_guardrail('looks', 'errors', name => 'x', breaches => 2);

-- Baselines: what the control was in the day before, at the lenient end of its uncertainty, with a margin.
SELECT flagscope.create_flag('base'), flagscope.create_flag('young');
SELECT flagscope.create_guardrail('base', 'errors', comparison => 'baseline', min_sample => 50),
    flagscope.create_guardrail('base', 'duration', comparison => 'baseline', quantile => 0.9, margin => 0.5,
        min_sample => 50),
    flagscope.create_guardrail('base', 'depth', comparison => 'baseline', min_sample => 5, action => 'warn'),
    flagscope.create_guardrail('young', 'errors', comparison => 'baseline', min_sample => 50);
SELECT flagscope.create_guardrail('base', 'duration', name => 'x', comparison => 'baseline');
SELECT flagscope.create_guardrail('base', 'errors', name => 'x', comparison => 'baseline', limit_value => 1);
\set VERBOSITY default
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags, is_error)
SELECT '2040-01-02 10:00', 'span', 'x', i / 1000.0, '{"base": "off"}', i % 50 = 0 FROM generate_series(1, 1000) i;
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags)
SELECT '2040-01-02 10:00', 'metric', 'depth', 10 + i % 3, '{"base": "off"}' FROM generate_series(1, 30) i;
SELECT strata FROM flagscope.tick('2040-01-02 10:01');
SELECT flagscope.create_rollout('base', stages => ARRAY[50, 100], min_duration => '1 day') AS base,
    flagscope.create_rollout('young', stages => ARRAY[50, 100], min_duration => '1 day') AS young \gset
SELECT flagscope.start_rollout(:base, at => '2040-01-02 12:00') > 0 AS started,
    flagscope.start_rollout(:young, at => '2040-01-02 12:00') > 0 AS started;
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags, is_error)
SELECT '2040-01-02 12:00:10', 'span', 'x', i / 200.0, jsonb_build_object(f, 'on'), i % 40 = 0
FROM generate_series(1, 200) i, unnest('{base,young}'::text[]) f;
SELECT pg_temp.depth('base', '2040-01-02 12:00:10', 11);
SELECT * FROM pg_temp.tick('base', '2040-01-02 12:00:11');
SELECT * FROM pg_temp.tick('young', '2040-01-02 12:00:11');
-- Checked by hand: Wilson's upper end of 20 of 1000 at 3.09, its odds times 1.25;
-- p90 at rank 0.9 + 3.09 sqrt(0.09 / 1000), times
-- 1.5, within a bin; the mean of 30 values 10, 11, 12, its end, times 1.25.
SELECT round(o / (1 + o), 9) AS errors
FROM (SELECT 1.25 * u / (1 - u) AS o
    FROM (SELECT (0.02 + 3.09 ^ 2 / 2000 + 3.09 * sqrt(0.02 * 0.98 / 1000 + 3.09 ^ 2 / 4000000))
        / (1 + 3.09 ^ 2 / 1000) AS u) u) o;
SELECT g.name, round(s.limit_value::numeric, 9) AS "limit", CASE g.name
    WHEN 'duration' THEN abs(s.limit_value / (1.5 * (0.9 + 3.09 * sqrt(0.09 / 1000))) - 1) < 0.011
    WHEN 'depth' THEN
        abs(s.limit_value / (1.25 * (11 + 3.09 * sqrt(20 / 29.0) / sqrt(30))) - 1) < 1e-9 END AS as_by_hand
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
WHERE s.rollout_id = :base ORDER BY g.id;
-- The young one takes its baseline from the control beside it, once there is enough.
INSERT INTO flagscope.telemetry (ts, signal, name, flags, is_error)
SELECT '2040-01-02 12:00:20', 'span', 'x', '{"young": "off"}', i = 1 FROM generate_series(1, 60) i;
SELECT * FROM pg_temp.tick('young', '2040-01-02 12:00:30');
-- Worse than the baseline: rolled back, and the evidence can be computed anew.
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags, is_error)
SELECT '2040-01-02 12:01', 'span', 'x', 0.5, '{"base": "on"}', i % 5 = 0 FROM generate_series(1, 200) i;
SELECT pg_temp.depth('base', '2040-01-02 12:01', 30);
SELECT * FROM pg_temp.tick('base', '2040-01-02 12:01:01');
SELECT flagscope.explain_decision(id)
FROM flagscope.decision WHERE rollout_id = :base AND guardrail_id IS NOT NULL ORDER BY id;
SELECT n_treatment, events_treatment, abs(log_e_stored - log_e_recomputed) < 1e-12 AS same
FROM _flagscope.replay_evidence((SELECT max(id) FROM flagscope.decision WHERE action = 'rollback'));

-- States that act by themselves: no data after a grace of its own rolls back. The higher priority acts alone;
-- among equals the more severe.
SELECT flagscope.create_flag('states');
SELECT flagscope.create_guardrail('states', 'errors', name => 'pauses', grace => '5 min', priority => 1,
        on_state => '{"no_data": "pause"}'),
    flagscope.create_guardrail('states', 'errors', name => 'rolls back', grace => '5 min',
        on_state => '{"no_data": "rollback"}');
SELECT flagscope.create_rollout('states', stages => ARRAY[50, 100], min_duration => '1 day') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-03 12:00') > 0 AS started;
SELECT * FROM pg_temp.tick('states', '2040-01-03 12:04:59');
SELECT * FROM pg_temp.tick('states', '2040-01-03 12:05');
SELECT flagscope.explain_decision(max(id)) FROM flagscope.decision WHERE rollout_id = :id;
SELECT * FROM pg_temp.tick('states', '2040-01-03 12:05:01');
UPDATE flagscope.guardrail SET priority = 0 WHERE name = 'pauses';
SELECT * FROM pg_temp.tick('states', '2040-01-03 12:05:02');

-- Data that comes while a rule fails waits for it: the try that succeeds weighs all of it.
SELECT flagscope.create_flag('mended');
SELECT flagscope.create_guardrail('mended', 'errors', min_sample => 1) AS rule \gset
SELECT flagscope.create_rollout('mended', stages => ARRAY[50, 100], min_duration => '1 day') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-04 12:00') > 0 AS started;
UPDATE flagscope.guardrail_status SET evidence = '{1}' WHERE guardrail_id = :rule;
INSERT INTO flagscope.telemetry (ts, signal, name, flags, is_error)
SELECT '2040-01-04 12:00:10', 'span', 'x', jsonb_build_object('mended', v), i = 1
FROM generate_series(1, 60) i, unnest('{on,off}'::text[]) v;
SELECT * FROM pg_temp.tick('mended', '2040-01-04 12:00:11');
INSERT INTO flagscope.telemetry (ts, signal, name, flags, is_error)
SELECT '2040-01-04 12:10:10', 'span', 'x', jsonb_build_object('mended', v), i = 1
FROM generate_series(1, 40) i, unnest('{on,off}'::text[]) v;
SELECT * FROM pg_temp.tick('mended', '2040-01-04 12:10:11');
UPDATE flagscope.guardrail_status SET evidence = '{}' WHERE guardrail_id = :rule;
SELECT * FROM pg_temp.tick('mended', '2040-01-04 12:20:11');
SELECT n_treatment, n_control, events_treatment, events_control, failures, waiting_treatment IS NULL AS nothing_waits
FROM flagscope.guardrail_status WHERE guardrail_id = :rule;
-- Evidence keeps its order when the clock steps back.
INSERT INTO flagscope.telemetry (ts, signal, name, flags, is_error)
SELECT '2040-01-04 12:20:10', 'span', 'x', jsonb_build_object('mended', v), v = 'on' AND i % 2 = 0
FROM generate_series(1, 40) i, unnest('{on,off}'::text[]) v;
SELECT * FROM pg_temp.tick('mended', '2040-01-04 12:15');
SELECT at, n_treatment, abs(log_e_stored - log_e_recomputed) < 1e-12 AS same
FROM _flagscope.replay_evidence((SELECT max(id) FROM flagscope.decision WHERE rollout_id = :id));

-- A backtest of what was live: looks, baselines and samples as they were.
SELECT g.flag, g.name, b.at, b.value,
    (SELECT array_agg(d.action) FROM flagscope.decision d
        WHERE d.guardrail_id = g.id AND d.at = b.at AND d.evidence ->> 'state' = 'breached') AS decided
FROM flagscope.guardrail g, LATERAL flagscope.backtest_guardrail(g.id, '2040-01-01', '2040-02-01') b
WHERE g.test = 'threshold' AND b.fires ORDER BY 1, 2, 3;
SELECT g.flag, g.name, d.at, d.action FROM flagscope.decision d JOIN flagscope.guardrail g ON g.id = d.guardrail_id
WHERE g.test = 'threshold' AND d.evidence ->> 'state' = 'breached' ORDER BY 1, 2, 3;
SELECT flagscope.confirm_time('2040-01-04 12:20');
SELECT problems FROM flagscope.maintain('2040-01-04 12:20');
-- Of what rollups by 10 seconds are gone there is nothing to tell, and it is said.
SET client_min_messages = notice;
SELECT count(*) FROM flagscope.backtest('looks', '{"metric": "depth", "limit_value": 100}', since => '2040-01-02',
    until => '2040-01-03') b;

-- A hold of a higher priority does not stand before what is found after it; and a stage does not begin blind.
SELECT flagscope.create_flag('second');
SELECT flagscope.create_guardrail('second', 'depth', name => 'deep', limit_value => 100, min_sample => 5,
        action => 'hold', priority => 1),
    flagscope.create_guardrail('second', 'errors', name => 'broken', min_sample => 100) \g /dev/null
SELECT flagscope.create_rollout('second', stages => ARRAY[25, 50, 100], min_duration => '1 day',
    min_sample => 10000) AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-05 12:00') > 0 AS started;
SELECT pg_temp.depth('second', '2040-01-05 12:00:10', 50);
SELECT * FROM pg_temp.tick('second', '2040-01-05 12:00:11');
SELECT flagscope.advance_rollout(:id, at => '2040-01-05 12:01') > 0 AS advanced;
SELECT pg_temp.depth('second', '2040-01-05 12:01:10', 500);
SELECT * FROM pg_temp.tick('second', '2040-01-05 12:01:11');
INSERT INTO flagscope.telemetry (ts, signal, name, flags, is_error)
SELECT '2040-01-05 13:00', 'span', 'x', jsonb_build_object('second', v), v = 'on'
FROM generate_series(1, 60) i, unnest('{on,off}'::text[]) v;
SELECT pg_temp.depth('second', '2040-01-05 13:00', 500);
SELECT * FROM pg_temp.tick('second', '2040-01-05 13:00:01');
SELECT at, action, reason FROM flagscope.decision WHERE rollout_id = :id AND guardrail_id IS NOT NULL ORDER BY id;

-- Two holds do not hide a failure that comes after them: neither the one that held, nor the one that found it held.
SELECT flagscope.create_flag('third');
SELECT flagscope.create_guardrail('third', 'depth', name => 'deep', limit_value => 100, min_sample => 5,
        action => 'hold', priority => 1),
    flagscope.create_guardrail('third', 'depth', name => 'deeper', limit_value => 400, min_sample => 5,
        action => 'hold', priority => 1),
    flagscope.create_guardrail('third', 'errors', name => 'broken', min_sample => 100) \g /dev/null
SELECT flagscope.create_rollout('third', stages => ARRAY[25, 50, 100], min_duration => '1 day') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-05 14:00') > 0 AS started;
SELECT pg_temp.depth('third', '2040-01-05 14:00:10', 200);
SELECT guardrail, state, rollout FROM pg_temp.tick('third', '2040-01-05 14:00:11');
SELECT pg_temp.depth('third', '2040-01-05 14:05', 500);
SELECT guardrail, state, rollout FROM pg_temp.tick('third', '2040-01-05 14:05:01');
INSERT INTO flagscope.telemetry (ts, signal, name, flags, is_error)
SELECT '2040-01-05 15:00', 'span', 'x', jsonb_build_object('third', v), v = 'on'
FROM generate_series(1, 60) i, unnest('{on,off}'::text[]) v;
SELECT pg_temp.depth('third', '2040-01-05 15:00', 500);
SELECT guardrail, state, rollout FROM pg_temp.tick('third', '2040-01-05 15:00:01');

-- A window without data is no value, of every kind.
SELECT _flagscope.bounded(NULL) IS NULL AS nothing, _flagscope.bounded(1e30) AS most;
SELECT flagscope.create_flag('silent');
SELECT flagscope.create_metric('retries', 'rate', 'metric', '{"name": "retries"}', per => '{"signal": "span"}'),
    flagscope.create_metric('sums', 'ratio', 'metric', '{"name": "sum"}', per => '{"signal": "span"}',
        harm => 'decrease');
SELECT flagscope.create_guardrail('silent', 'errors', test => 'threshold', limit_value => 0.05, min_sample => 5),
    flagscope.create_guardrail('silent', 'retries', test => 'threshold', limit_value => 0.05, min_sample => 5),
    flagscope.create_guardrail('silent', 'sums', limit_value => 0.5, min_sample => 5) \g /dev/null
SELECT flagscope.create_rollout('silent', stages => ARRAY[25, 100], min_duration => '1 day') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-05 12:00') > 0 AS started;
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags)
SELECT timestamptz '2040-01-05 12:00:10', s.signal::flagscope.signal, s.name, 10, '{"silent": "on"}'
FROM (VALUES ('span', 'x', 10), ('metric', 'sum', 1)) s(signal, name, n), generate_series(1, s.n);
SELECT guardrail, state, rollout FROM pg_temp.tick('silent', '2040-01-05 12:00:11');
SELECT guardrail, state, reason, rollout FROM pg_temp.tick('silent', '2040-01-05 12:01:40');
