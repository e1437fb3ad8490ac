-- Absolute limits: a proportion and a quantile tested sequentially, a mean and others by threshold; harm by decrease.
-- What the tests say is computed anew by the formula of the one-sample test.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never

CREATE FUNCTION pg_temp.ramp(flag text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    rollout bigint := flagscope.create_rollout(flag, stages => ARRAY[50, 100], min_duration => '1 hour');
BEGIN
    PERFORM _flagscope.decide(rollout, 'start', 'tester', 'by hand', '2040-01-02 12:00');
    PERFORM _flagscope.begin_evidence(rollout, '2040-01-02 12:00');
    RETURN rollout;
END $$;
-- n spans of the treatment just before a time: the first are errors; durations go from 0.01 to 1 s times slow.
CREATE FUNCTION pg_temp.spans(flag text, at timestamptz, n integer, errors integer, slow float8 DEFAULT 1,
    variant text DEFAULT 'on')
RETURNS void LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, value, flags, is_error)
    SELECT at - i * interval '1 ms', 'span', 'pay', slow * (i % 100 + 1) / 100.0,
        jsonb_build_object(flag, variant), i <= errors
    FROM generate_series(1, n) i;
$$;
CREATE FUNCTION pg_temp.tick(at timestamptz)
RETURNS TABLE (flag text, guardrail text, state text, reason text, rollout text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM flagscope.tick(at);
    RETURN QUERY SELECT g.flag, g.name, s.state::text, s.reason, r.status::text FROM flagscope.guardrail_status s
        JOIN flagscope.guardrail g ON g.id = s.guardrail_id JOIN flagscope.rollout r ON r.id = s.rollout_id
    WHERE s.evaluated_at = at ORDER BY g.id;
END $$;
SELECT count(flagscope.create_flag(f)) FROM unnest('{few-errors,fast,conversion,depth,level,rate}'::text[]) f;
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}', unit => 's');
SELECT flagscope.create_metric('bought', 'proportion', 'event', '{"name": "visit"}', '{"attributes": {"bought": true}}',
    harm => 'decrease');
SELECT flagscope.create_metric('queue depth', 'mean', 'metric', '{"name": "queue"}', unit => '{job}');
SELECT flagscope.create_metric('stock', 'mean', 'metric', '{"name": "stock"}', harm => 'decrease');

-- At most 2 % errors, at most 0.95 s for 90 % of the spans: sequential by default.
SELECT flagscope.create_guardrail('few-errors', 'errors', limit_value => 0.02);
SELECT flagscope.create_guardrail('fast', 'duration', quantile => 0.9, limit_value => 0.95);
SELECT pg_temp.ramp('few-errors'), pg_temp.ramp('fast');
SELECT pg_temp.spans('few-errors', '2040-01-02 12:01', 500, 8), pg_temp.spans('fast', '2040-01-02 12:01', 500, 0);
SELECT * FROM pg_temp.tick('2040-01-02 12:01');
SELECT pg_temp.spans('few-errors', '2040-01-02 12:02', 300, 24),
    pg_temp.spans('fast', '2040-01-02 12:02', 300, 0, slow => 1.2);
SELECT * FROM pg_temp.tick('2040-01-02 12:02');
-- The control does not matter for a limit.
SELECT n_control, events_control FROM flagscope.guardrail_status ORDER BY guardrail_id;

CREATE TEMP TABLE grid (odds float8, weight float8);
INSERT INTO grid VALUES (1.1, 0.08), (1.2, 0.03), (1.3, 0.35), (1.5, 0.30), (2, 0.10), (3, 0.08), (5, 0.04), (10, 0.02);
-- Test P1 of src/core/stats/README.md: d y - n ln(1 - p0 + p0 e^d), summed over strata and mixed over the grid.
CREATE FUNCTION pg_temp.ln_e(guardrail bigint, p0 float8, decrease boolean DEFAULT false) RETURNS float8
LANGUAGE sql AS $$
    WITH arm AS (
        SELECT n_treatment AS n,
            CASE WHEN decrease THEN n_treatment - events_treatment[1] ELSE events_treatment[1] END AS y,
            CASE WHEN decrease THEN 1 - p0 ELSE p0 END AS p
        FROM flagscope.evaluation WHERE guardrail_id = guardrail
    ), point AS (
        SELECT g.weight, sum(ln(g.odds) * y - n * ln(1 - p + p * g.odds)) AS ell
        FROM arm, grid g GROUP BY g.odds, g.weight
    )
    SELECT ln(0.95 * sum(weight * exp(ell)) + 0.05) FROM point $$;  -- a twentieth is held back for copies
SELECT g.name, round(s.log_e::numeric, 6) AS ln_e,
    abs(s.log_e - pg_temp.ln_e(g.id, CASE g.name WHEN 'errors' THEN 0.02 ELSE 0.1 END)) < 1e-9 AS as_by_formula,
    s.log_e >= ln(1 / s.alpha) AS over_the_line, s.events_treatment, s.n_treatment
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id ORDER BY g.id;
-- Values above the limit: those in the limit's own bin (2.2 % wide) count as within.
SELECT count(*) FILTER (WHERE value > 0.95) AS above,
    count(*) FILTER (WHERE ceil(ln(value) / ln(2) * 32) > ceil(ln(0.95) / ln(2) * 32)) AS above_its_bin
FROM flagscope.tagged WHERE flag = 'fast';
SELECT d.rule ->> 'name' AS guardrail, d.action,
    bool_and(abs(r.log_e_stored - r.log_e_recomputed) < 1e-12) AS as_replayed, count(*) AS strata
FROM flagscope.decision d, _flagscope.replay_evidence(d.id) r
WHERE d.guardrail_id IS NOT NULL GROUP BY d.id ORDER BY d.id;
SELECT flagscope.explain_decision(id) FROM flagscope.decision WHERE guardrail_id IS NOT NULL ORDER BY id;

-- Fewer is harm: at least 10 % buy; and against control.
SELECT flagscope.create_guardrail('conversion', 'bought', name => 'floor', limit_value => 0.1);
SELECT flagscope.create_guardrail('conversion', 'bought', name => 'as before', action => 'warn');
SELECT pg_temp.ramp('conversion');
CREATE FUNCTION pg_temp.visits(at timestamptz, variant text, n integer, bought integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, flags, attributes)
    SELECT at, 'event', 'visit', jsonb_build_object('conversion', variant), jsonb_build_object('bought', i <= bought)
    FROM generate_series(1, n) i;
$$;
SELECT pg_temp.visits('2040-01-02 12:03', 'on', 400, 44), pg_temp.visits('2040-01-02 12:03', 'off', 400, 40);
SELECT * FROM pg_temp.tick('2040-01-02 12:03');
SELECT pg_temp.visits('2040-01-02 12:04', 'on', 400, 4), pg_temp.visits('2040-01-02 12:04', 'off', 400, 40);
SELECT * FROM pg_temp.tick('2040-01-02 12:04');
SELECT round(s.log_e::numeric, 6) AS ln_e, abs(s.log_e - pg_temp.ln_e(g.id, 0.1, true)) < 1e-9 AS as_by_formula
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id WHERE g.name = 'floor';
-- Against control, fewer events are more non-events.
SELECT round(s.log_e::numeric, 6) AS ln_e,
    (SELECT abs(s.log_e - ln(0.95 * exp(t.log_e) + 0.05)) < 1e-9
        FROM flagscope.sequential_proportion_test('{400,400}', '{356,396}', '{400,400}', '{360,360}',
            0.1) t) AS as_non_events
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id WHERE g.name = 'as before';
SELECT action, rule ->> 'name' AS guardrail, from_status, to_status, key
FROM flagscope.decision WHERE flag = 'conversion' AND guardrail_id IS NOT NULL ORDER BY id;

-- A mean against a limit: the mean over the last minute, once the sample is there; it can recover.
SELECT flagscope.create_guardrail('depth', 'queue depth', limit_value => 100, action => 'warn', min_sample => 3);
SELECT flagscope.create_guardrail('level', 'stock', limit_value => 10, action => 'hold', min_sample => 1);
SELECT pg_temp.ramp('depth'), pg_temp.ramp('level');
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags) VALUES
    ('2040-01-02 12:05:01', 'metric', 'queue', 250, '{"depth": "on"}'),
    ('2040-01-02 12:05:02', 'metric', 'queue', 260, '{"depth": "on"}'),
    ('2040-01-02 12:05:01', 'metric', 'stock', 11, '{"level": "on"}'),
    ('2040-01-02 12:05:02', 'metric', 'stock', 1, '{"level": "off"}');
SELECT * FROM pg_temp.tick('2040-01-02 12:05:10');
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags) VALUES
    ('2040-01-02 12:05:20', 'metric', 'queue', 90, '{"depth": "on"}'),
    ('2040-01-02 12:05:21', 'metric', 'queue', 'NaN', '{"depth": "on"}'),
    ('2040-01-02 12:05:22', 'metric', 'queue', NULL, '{"depth": "on"}'),
    ('2040-01-02 12:05:20', 'metric', 'stock', 8, '{"level": "on"}');
SELECT * FROM pg_temp.tick('2040-01-02 12:05:30');
SELECT value = (250 + 260 + 90) / 3.0 AS mean
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id WHERE g.flag = 'depth';
-- The window of a minute (in whole buckets of 10 s) moves on: no value is no data, never 0;
-- then a low mean is well again.
SELECT * FROM pg_temp.tick('2040-01-02 12:06:40');
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags)
VALUES ('2040-01-02 12:06:50', 'metric', 'queue', 50, '{"depth": "on"}');
SELECT * FROM pg_temp.tick('2040-01-02 12:07');
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags)
VALUES ('2040-01-02 12:08:10', 'metric', 'queue', 500, '{"depth": "on"}');
SELECT * FROM pg_temp.tick('2040-01-02 12:08:20');
-- A warning is told at most once an hour.
SELECT flag, action, to_status, reason
FROM flagscope.decision WHERE guardrail_id IS NOT NULL AND flag IN ('depth', 'level') ORDER BY id;
SELECT flagscope.explain_decision(max(id)) FROM flagscope.decision WHERE flag = 'level';

-- Threshold tests of the other kinds, over a window of their own.
SELECT flagscope.create_guardrail('rate', 'errors', name => 'error share', limit_value => 0.5, test => 'threshold',
    min_sample => 4, time_window => '20 seconds', action => 'warn');
SELECT flagscope.create_guardrail('rate', 'duration', name => 'p99', quantile => 0.99, limit_value => 3,
    test => 'threshold', min_sample => 4, action => 'warn');
SELECT pg_temp.ramp('rate');
SELECT pg_temp.spans('rate', '2040-01-02 12:10', 100, 100),
    pg_temp.spans('rate', '2040-01-02 12:10:30', 100, 0, slow => 5);
SELECT * FROM pg_temp.tick('2040-01-02 12:10:30');
SELECT round(value::numeric, 3) AS p99,
    abs(value / (SELECT percentile_disc(0.99) WITHIN GROUP (ORDER BY value) FROM flagscope.tagged WHERE flag = 'rate')
        - 1) < 0.011 AS within_a_bin
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id WHERE g.name = 'p99';
