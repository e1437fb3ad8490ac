-- plan_rollout(): what a ramp will see, from numbers and from a flag's past; beside the same rollouts played in SQL.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SET intervalstyle = 'postgres';
-- The ramp itself: how long it waits for power is in test gate.
UPDATE flagscope.setting SET value = '0' WHERE name = 'guardrail.detectable';

-- The default ramp at 20 requests a second and 1 % errors. Simulated with another program before there was a planner,
-- 100 rollouts each: 1.5 % slip through in 36, 1.25 % in 95; at 5 a second 2 % in 24; at 200 a second 1.25 % in 33.
SELECT stage, percent, lasts, rows_treatment, rows_control, round(smallest_effect::numeric, 1) AS smallest_effect,
    round(found::numeric, 1) AS found
FROM flagscope.plan_rollout(stages => NULL, requests_per_second => 20, baseline => 0.01);
SELECT x.rate, x.effect, x.simulated, abs(1 - p.found - x.simulated) < 0.12 AS as_simulated
FROM (VALUES (20, 1.5, 0.36), (20, 1.25, 0.95), (5, 2, 0.24), (200, 1.25, 0.33)) x(rate, effect, simulated),
    LATERAL (SELECT p.found
        FROM flagscope.plan_rollout(stages => NULL, requests_per_second => x.rate, baseline => 0.01,
            effect => x.effect) p
        WHERE p.stage IS NULL) p;
-- The same question has the same answer.
SELECT count(DISTINCT p::text)
FROM generate_series(1, 3) i, flagscope.plan_rollout('{10, 100}'::numeric[], 50, 0.02) p WHERE p.stage IS NULL;
-- More traffic, or a longer ramp, finds smaller effects;
-- what hurts by a decrease is planned as well, and rates and means.
SELECT bool_and(a.smallest_effect > b.smallest_effect AND a.smallest_effect > c.smallest_effect) AS as_expected
FROM flagscope.plan_rollout('{10, 50}'::numeric[], 20, 0.05) a
    JOIN flagscope.plan_rollout('{10, 50}'::numeric[], 100, 0.05) b USING (stage)
    JOIN flagscope.plan_rollout('{10, 50}'::numeric[], 20, 0.05, min_duration => '1 hour') c USING (stage);
SELECT kind, harm, p.stage, p.rows_treatment, p.smallest_effect BETWEEN 1 AND 3 AS plausible,
    p.found BETWEEN 0 AND 1 AS chance, p.safe_after > '0' AS safe
FROM (VALUES ('proportion'::flagscope.metric_kind, 'decrease'::flagscope.harm, 0.3, NULL::float8, NULL::float8),
    ('rate', 'increase', 0.05, NULL, NULL), ('mean', 'increase', 0.2, 0.3, 5),
    ('mean', 'decrease', 40, 30, 500)) k(kind, harm, baseline, deviation, cap),
    LATERAL flagscope.plan_rollout('{50, 100}'::numeric[], 100, k.baseline, kind => k.kind, harm => k.harm,
        deviation => k.deviation, cap => k.cap) p
ORDER BY 1, 2, 3 NULLS LAST;

-- A flag: from its metrics' past.
SELECT flagscope.create_flag('checkout');
SELECT flagscope.plan_rollout('checkout');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}', unit => 's');
SELECT flagscope.create_metric('never', 'proportion', 'span', '{"name": "pay"}', '{"name": "else"}');
SELECT flagscope.create_guardrail('checkout', 'errors'), flagscope.create_guardrail('checkout', 'duration'),
    flagscope.create_guardrail('checkout', 'never'),
    flagscope.create_guardrail('checkout', 'errors', name => 'too many', limit_value => 0.03),
    flagscope.create_guardrail('checkout', 'errors', name => 'in shadow', shadow => true);
SELECT guardrail, stage, words FROM flagscope.plan_rollout('checkout', at => '2040-01-02 13:00');
SELECT guardrail, stage, percent, rows_treatment, rows_control
FROM flagscope.plan_rollout('checkout', requests_per_second => 10, baseline => 0.01, stages => '{10, 100}',
    at => '2040-01-02 13:00')
WHERE guardrail IN ('errors', 'too many');
-- An hour at 10 a second.
INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, flags)
SELECT timestamptz '2040-01-02 12:00:00' + i * interval '100 ms', 'span', 'pay', exp(sin(i)) / 10, i % 50 = 0,
    '{"checkout": "off"}'
FROM generate_series(0, 35999) i;
SELECT guardrail, stage, percent, lasts, rows_treatment, rows_control, smallest_effect BETWEEN 1.02 AND 5 AS plausible,
    words LIKE 'not planned%' AS unplanned
FROM flagscope.plan_rollout('checkout', at => '2040-01-02 13:00');
-- Stages of a draft, and its minimal samples.
SELECT flagscope.create_rollout('checkout', stages => '{1, 50}', min_duration => '5 minutes',
    min_sample => 600) AS id \gset
SELECT stage, percent, lasts, rows_treatment
FROM flagscope.plan_rollout('checkout', at => '2040-01-02 13:00') WHERE guardrail = 'errors' AND stage IS NOT NULL;
-- What is left, in the report.
SELECT flagscope.start_rollout(:id, at => '2040-01-02 13:00') IS NOT NULL AS started;
SELECT regexp_replace(r, '[0-9.]+ (times|min|%|s\M)', 'N \1', 'g')
FROM flagscope.rollout_report(:id, '2040-01-02 13:01') r WHERE r ~ 'can still|slip';

-- Data of which nothing can be planned takes neither the report nor the other guardrails with it: values that do not
-- differ, traffic so thin that a stage would last for ages.
SELECT flagscope.create_flag('constant'),
    flagscope.create_metric('amount', 'mean', 'event', '{"name": "sale"}', cap => 10);
SELECT flagscope.create_guardrail('constant', 'amount');
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags)
SELECT timestamptz '2040-01-02 12:00:00' + i * interval '10 s', 'event', 'sale', 5, '{"constant": "off"}'
FROM generate_series(0, 99) i;
SELECT guardrail, stage, words FROM flagscope.plan_rollout('constant', at => '2040-01-02 13:00');
SELECT flagscope.start_rollout(flagscope.create_rollout('constant'), at => '2040-01-02 13:00') IS NOT NULL AS started;
SELECT count(*) > 5 AS reported
FROM flagscope.rollout_report((SELECT id FROM flagscope.rollout WHERE flag = 'constant'), '2040-01-02 13:01');
SELECT flagscope.create_guardrail('constant', 'amount', name => 'patient', min_sample => 9000000000000000);
SELECT guardrail, stage, words FROM flagscope.plan_rollout('constant', at => '2040-01-02 13:00');

-- What cannot be planned is said.
SELECT flagscope.plan_rollout('nothing');
SELECT flagscope.plan_rollout('checkout', effect => 0.5, at => '2040-01-02 13:00');
SELECT flagscope.plan_rollout('checkout', effect => 'NaN', at => '2040-01-02 13:00');
SELECT flagscope.plan_rollout('checkout', safe_margin => 0, at => '2040-01-02 13:00');
SELECT flagscope.plan_rollout('checkout', requests_per_second => -1, at => '2040-01-02 13:00');
SELECT flagscope.plan_rollout('checkout', at => 'infinity');
SELECT flagscope.plan_rollout('{10, 5}'::numeric[], 1, 0.1);
SELECT flagscope.plan_rollout('{10}'::numeric[], 'Infinity', 0.1);
SELECT flagscope.plan_rollout('{10}'::numeric[], 1, 1.5);
SELECT flagscope.plan_rollout('{10}'::numeric[], 1, NULL);
SELECT flagscope.plan_rollout('{10}'::numeric[], 1, 0.1, kind => 'quantile');
SELECT flagscope.plan_rollout('{10}'::numeric[], 1, 0.1, kind => 'mean');

-- Gates: a stage lasts as long as its own asks or the guardrail's that names one; min_sample is of both arms.
SELECT flagscope.set_setting('guardrail.detectable', '1.5');
SELECT flagscope.create_flag('gates'), flagscope.create_guardrail('gates', 'errors') AS id \gset
SELECT flagscope.create_rollout('gates', stages => '{50, 90, 100}', min_duration => '1 minute', max_duration => '1 day',
    advance_when => 'clear') AS rollout \gset
CREATE FUNCTION pg_temp.lasts(gate text, stage_gate text, safe float8 DEFAULT 0.2, sample bigint DEFAULT 0)
RETURNS interval[] LANGUAGE sql AS $$
    UPDATE flagscope.guardrail SET advance_when = gate, safe_margin = CASE gate WHEN 'safe' THEN safe END,
        min_sample = sample WHERE flag = 'gates';
    UPDATE flagscope.rollout_stage s SET advance_when = stage_gate FROM flagscope.rollout r
    WHERE r.id = s.rollout_id AND r.flag = 'gates';
    SELECT array_agg(p.lasts ORDER BY p.stage) FROM flagscope.plan_rollout('gates', requests_per_second => 10,
        baseline => 0.02, at => '2040-01-02 13:00') p WHERE p.stage < 3
$$;
SELECT pg_temp.lasts(NULL, 'clear') AS clear, pg_temp.lasts(NULL, 'clear', sample => 900) AS of_the_thinner_arm;
SELECT pg_temp.lasts(NULL, 'power') = pg_temp.lasts('power', 'clear') AS named_by_either,
    pg_temp.lasts('power', 'clear') > pg_temp.lasts('clear', 'power') AS the_guardrail_goes_first,
    pg_temp.lasts('clear', 'power') = pg_temp.lasts('clear', 'clear') AS clear_waits_for_nothing;
-- Safe: in tests/simulate, which plays the test itself, 1.5 times the odds are refuted at 50 %, 200 requests a second
-- and 1 % errors within 65 s at alpha 0.05: 130 events. Alpha 0.01 takes half as many again, here 0.2 come a second.
SELECT (pg_temp.lasts('safe', 'clear', 0.5))[1] BETWEEN '11 min' AND '22 min' AS as_simulated,
    (pg_temp.lasts('safe', 'clear', 0.2))[1] > '30 min' AS a_smaller_margin_takes_longer,
    (pg_temp.lasts('safe', 'clear', 0.5))[2] = '1 min' AS shown_once_is_enough,
    pg_temp.lasts(NULL, 'safe') = pg_temp.lasts('safe', 'clear', 0.2) AS by_the_setting;
SELECT stage, regexp_replace(words, '^finds [0-9.]+', 'finds N') AS words
FROM flagscope.plan_rollout('gates', requests_per_second => 10, baseline => 0.02, at => '2040-01-02 13:00')
WHERE stage IS NOT NULL;
