-- Health rules: a split other than asked for, units that go back, exposures that stop. Each is told once and holds the ramp.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
-- n units, numbered from a first one on, served a variant.
CREATE FUNCTION pg_temp.expose(flag text, variant text, at timestamptz, first integer, n integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
    SELECT at, 'event', 'feature_flag.evaluation', 'user-' || i, jsonb_build_object(flag, variant) FROM generate_series(first, first + n - 1) i;
$$;
CREATE FUNCTION pg_temp.health(at timestamptz) RETURNS TABLE (rollout bigint, rule flagscope.health_rule, state flagscope.data_state, reason text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM flagscope.tick(at);
    RETURN QUERY SELECT h.rollout_id, h.rule, h.state, h.reason FROM flagscope.rollout_health h ORDER BY 1, 2;
END $$;
SELECT flagscope.create_flag('f');
SELECT flagscope.create_rollout('f', stages => ARRAY[10, 50, 100], min_duration => '10 min') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-02 12:00') > 0 AS started;
-- Without exposures nothing is judged: a plain timed ramp.
SELECT * FROM pg_temp.health('2040-01-02 12:01');
SELECT flagscope.ramp_gate(:id, '2040-01-02 12:01');
-- As asked for: 100 of 1000 units. A unit counts once, however often it is exposed; other flags, other variants, rows before the
-- start and rows without a subject do not count.
SELECT pg_temp.expose('f', 'on', '2040-01-02 12:01', 1, 100), pg_temp.expose('f', 'off', '2040-01-02 12:01', 101, 900);
SELECT pg_temp.expose('f', 'on', '2040-01-02 12:01', 1, 100), pg_temp.expose('f', 'none', '2040-01-02 12:01', 5000, 9), pg_temp.expose('g', 'on', '2040-01-02 12:01', 6000, 9),
    pg_temp.expose('f', 'on', '2040-01-02 11:59', 7000, 9);
INSERT INTO flagscope.telemetry (ts, signal, name, flags) SELECT '2040-01-02 12:01', 'event', 'feature_flag.evaluation', '{"f": "on"}' FROM generate_series(1, 50);
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags) SELECT '2040-01-02 12:01', 'event', 'purchase', 'u' || i, '{"f": "on"}' FROM generate_series(1, 50) i;
SELECT * FROM pg_temp.health('2040-01-02 12:02');
SELECT variant, count(*), count(treated_at) AS treated, count(*) FILTER (WHERE crossed) AS crossed FROM flagscope.unit GROUP BY 1 ORDER BY 1;
-- Widening moves units to the treatment: neither a crossing nor, since only new units count, a mismatch.
SELECT decisions FROM flagscope.tick('2040-01-02 12:10');
SELECT pg_temp.expose('f', 'on', '2040-01-02 12:11', 1, 500), pg_temp.expose('f', 'off', '2040-01-02 12:11', 501, 500), pg_temp.expose('f', 'on', '2040-01-02 12:11', 2001, 100), pg_temp.expose('f', 'off', '2040-01-02 12:11', 2101, 100);
SELECT * FROM pg_temp.health('2040-01-02 12:12');
-- A late exposure counts with the share of its time: 10 %, not 50 %.
SELECT pg_temp.expose('f', 'on', '2040-01-02 12:05', 3001, 10), pg_temp.expose('f', 'off', '2040-01-02 12:05', 3011, 90);
SELECT * FROM pg_temp.health('2040-01-02 12:13') WHERE rule = 'split';
SELECT n_treatment, n_control, expected FROM flagscope.rollout_health WHERE rule = 'split';
-- Evidence by hand: strata of (share, treatment, control) on the grid +-ln(1.02, 1.05, 1.1, 1.2, 1.5, 2, 5), uniform weights.
SELECT abs(flagscope._share_log_e(h.evidence) - ln(avg(exp(d * 210 - 1100 * ln(1 + 0.1 * (exp(d) - 1)) - 200 * ln(1 + 0.5 * (exp(d) - 1)))))) < 1e-9 AS as_by_hand
FROM flagscope.rollout_health h, (SELECT s * ln(r) AS d FROM unnest('{1.02,1.05,1.1,1.2,1.5,2,5}'::float8[]) r, unnest('{1,-1}'::float8[]) s) g WHERE h.rule = 'split' GROUP BY h.evidence;
-- Half of the treatment's units are lost: held, told once, and nobody is rolled back.
SELECT pg_temp.expose('f', 'on', '2040-01-02 12:14', 10001, 200), pg_temp.expose('f', 'off', '2040-01-02 12:14', 11001, 400);
SELECT * FROM pg_temp.health('2040-01-02 12:15');
SELECT decisions FROM flagscope.tick('2040-01-02 12:20:01');
SELECT flagscope.ramp_gate(:id, '2040-01-02 12:20:01');
SELECT action, reason, to_status, to_percent FROM flagscope.decision WHERE actor = 'flagscope' ORDER BY id;
SELECT flagscope.explain_decision(max(id)) FROM flagscope.decision;
-- Where targeting decides, too, shares are not judged.
BEGIN;
UPDATE flagscope.flag_state SET targeting = '{"if": [{"in": ["@example.com", {"var": "email"}]}, "on", null]}' WHERE flag = 'f';
SELECT * FROM pg_temp.health('2040-01-02 12:16') WHERE rule = 'split';
ROLLBACK;

-- Crossing: ten units and a percent.
SELECT flagscope.create_flag('sticky');
SELECT flagscope.create_rollout('sticky', stages => ARRAY[50, 100], min_duration => '1 day') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-02 13:00') > 0 AS started;
SELECT pg_temp.expose('sticky', 'on', '2040-01-02 13:00:10', 1, 100), pg_temp.expose('sticky', 'off', '2040-01-02 13:00:10', 101, 100);
SELECT pg_temp.expose('sticky', 'off', '2040-01-02 13:00:20', 1, 9), pg_temp.expose('sticky', 'on', '2040-01-02 13:00:20', 150, 20);
SELECT rule, state, reason FROM pg_temp.health('2040-01-02 13:01') WHERE rollout = :id;
SELECT pg_temp.expose('sticky', 'off', '2040-01-02 13:01:20', 1, 10);
SELECT rule, state, reason FROM pg_temp.health('2040-01-02 13:02') WHERE rollout = :id;
-- Once it was stepped back, going back is what was asked for.
SELECT flagscope.step_back_rollout(:id, at => '2040-01-02 13:03') > 0 AS back;
-- Traffic: exposures of the treatment stop; they come again.
SELECT rule, state, reason FROM pg_temp.health('2040-01-02 13:11') WHERE rollout = :id AND rule = 'traffic';
SELECT rule, state, reason FROM pg_temp.health('2040-01-02 13:11:01') WHERE rollout = :id AND rule = 'traffic';
SELECT pg_temp.expose('sticky', 'on', '2040-01-02 13:13', 1, 1);
SELECT rule, state, reason FROM pg_temp.health('2040-01-02 13:13:01') WHERE rollout = :id AND rule = 'traffic';
SELECT action, reason FROM flagscope.decision WHERE rollout_id = :id AND actor = 'flagscope' ORDER BY id;
-- Units are forgotten when the flag's next rollout starts; none waits.
SELECT flagscope.rollback_rollout(:id) > 0 AS over;
SELECT flagscope.start_rollout(flagscope.create_rollout('sticky')) > 0 AS started;
SELECT count(*) FROM flagscope.unit WHERE rollout_id = :id;
SELECT count(*) FROM flagscope.unit_delta;
-- A subject too long for an index row is kept by its md5.
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags) SELECT clock_timestamp(), 'event', 'feature_flag.evaluation', string_agg(md5(i::text), ''), '{"sticky": "on"}' FROM generate_series(1, 1000) i;
SELECT flagscope.tick() IS NOT NULL AS ticked;
SELECT subject = md5((SELECT string_agg(md5(i::text), '') FROM generate_series(1, 1000) i)) AS by_md5 FROM flagscope.unit JOIN flagscope.rollout r ON r.id = rollout_id WHERE r.flag = 'sticky';
