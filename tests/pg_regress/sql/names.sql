-- A name that nothing has: every reader and verb raises, and says what there is. No row, and no zero.
\set SHOW_CONTEXT never
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SELECT made > 0 AS made FROM flagscope.maintain('2040-01-02 12:00');
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
    hint text;
BEGIN
    EXECUTE format('SELECT count(x) FROM (%s) x', statement) INTO n;
    RETURN format('%s rows', n);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN format('%s %s | %s', SQLSTATE, SQLERRM, hint);
END $$;
-- Nothing is there yet: the hint says how it is made.
SELECT pg_temp.try($q$SELECT * FROM flagscope.variant_summary('new-checkout')$q$);
SELECT pg_temp.try($q$SELECT * FROM flagscope.metric_series('new-checkout', 'errors')$q$);
SELECT flagscope.create_flag('new-checkout'), flagscope.create_flag('old-checkout'), flagscope.create_flag('theme');
SELECT flagscope.create_metric('checkout errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}'),
    flagscope.create_metric('basket', 'mean', 'event', cap => 10);
SELECT flagscope.create_guardrail('new-checkout', 'checkout errors') AS guardrail;
SELECT flagscope.create_rollout('new-checkout', stages => '{50, 100}') AS rollout;
SELECT flagscope.start_rollout(1, at => '2040-01-02 12:00') AS decision;
INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags)
SELECT timestamptz '2040-01-02 12:00' + i * interval '1 s', 'span', 'pay', i % 3 = 0, '{"new-checkout": "on"}'
FROM generate_series(0, 59) i;

CREATE TEMP TABLE wrong (place serial, statement text);
INSERT INTO wrong (statement) VALUES
    ($q$SELECT * FROM flagscope.variant_summary('new-chekout')$q$),
    ($q$SELECT * FROM flagscope.variant_summary('New_Checkout')$q$),
    ($q$SELECT * FROM flagscope.variant_summary('zzz')$q$), ($q$SELECT * FROM flagscope.variant_summary(NULL)$q$),
    ($q$SELECT * FROM flagscope.variant_summary('new-checkout', environment => 'prodution')$q$),
    ($q$SELECT * FROM flagscope.metric_series('new-checkout', 'chekout errors')$q$),
    ($q$SELECT * FROM flagscope.metric_series('new-chekout', 'checkout errors')$q$),
    ($q$SELECT * FROM flagscope.metric_series('new-checkout', 'checkout errors', environment => 'mars')$q$),
    ($q$SELECT * FROM flagscope.variant_states('chekout', since => '2040-01-02')$q$),
    ($q$SELECT * FROM flagscope.variant_states('new-checkout', since => '2040-01-02', metric => 'baskett')$q$),
    ($q$SELECT * FROM flagscope.rollout_chart(99, 'checkout errors')$q$),
    ($q$SELECT * FROM flagscope.rollout_chart(1, 'checkout error')$q$),
    ($q$SELECT flagscope.rollout_report(99)$q$), ($q$SELECT flagscope.ramp_gate(99)$q$),
    ($q$SELECT flagscope.ramp_gate(NULL)$q$),
    ($q$SELECT flagscope.explain_decision(99)$q$), ($q$SELECT * FROM _flagscope.replay_evidence(99)$q$),
    ($q$SELECT * FROM _flagscope.replay_joint(99)$q$), ($q$SELECT * FROM _flagscope.replay_anomaly(99)$q$),
    ($q$SELECT * FROM flagscope.backtest('new-chekout', '{"metric": "checkout errors"}', since => '2040-01-01',
        until => '2040-01-03')$q$),
    ($q$SELECT * FROM flagscope.backtest('new-checkout', '{"metric": "checkout eror"}', since => '2040-01-01',
        until => '2040-01-03')$q$),
    ($q$SELECT * FROM flagscope.backtest_guardrail(99, '2040-01-01', '2040-01-03')$q$),
    ($q$SELECT * FROM flagscope.suggest_margin(99, '2040-01-01')$q$),
    ($q$SELECT * FROM flagscope.preview_metric('baskte')$q$),
    ($q$SELECT flagscope.create_guardrail('new-checkout', 'baskte')$q$),
    ($q$SELECT flagscope.create_guardrail('new-chekout', 'basket')$q$), ($q$SELECT flagscope.create_rollout('them')$q$),
    ($q$SELECT flagscope.create_policy('p', '{"metric": "baskte"}')$q$),
    ($q$SELECT flagscope.create_policy('p', '{"metric": "basket"}', environment => 'prodution')$q$),
    ($q$SELECT flagscope.create_change_freeze('night', weekdays => '{1}', time_zone => 'Europe/Berln')$q$),
    ($q$SELECT flagscope.start_rollout(99)$q$), ($q$SELECT flagscope.restart_rollout(99)$q$),
    ($q$SELECT flagscope.approve_stage(99)$q$),
    ($q$SELECT flagscope.enable_flag('thme')$q$), ($q$SELECT flagscope.archive_flag('thme')$q$),
    ($q$SELECT flagscope.set_targeting('thme', NULL)$q$),
    ($q$SELECT flagscope.set_default_variant('theme', 'onn')$q$),
    ($q$SELECT flagscope.set_setting('rollout.alfa', '1')$q$),
    ($q$SELECT * FROM flagscope.variant_summary(repeat('x', 1000000))$q$);
\pset format unaligned
\pset tuples_only on
SELECT pg_temp.try(statement) FROM wrong ORDER BY place;
\pset tuples_only off
\pset format aligned
-- Right names answer, an alias of the environment too; without data there is no row.
SELECT metric, variant, n, events FROM flagscope.variant_summary('new-checkout', 'prod', '2040-01-02', '2040-01-03');
SELECT count(*) FROM flagscope.variant_summary('theme');
SELECT count(*)
FROM flagscope.metric_series('new-checkout', 'basket', since => '2040-01-02 12:00', until => '2040-01-02 12:01');
-- A draft is not clear to advance.
SELECT flagscope.create_rollout('theme') AS rollout;
SELECT flagscope.ramp_gate(2) AS draft;
-- What was measured of a flag that is gone can still be read.
SELECT flagscope.rollback_rollout(1, at => '2040-01-02 12:02') > 0 AS over;
SELECT flagscope.tick('2040-01-02 12:03') IS NOT NULL AS ticked;
DELETE FROM flagscope.rollout WHERE flag = 'new-checkout';
DELETE FROM flagscope.flag_definition WHERE key = 'new-checkout';
SELECT metric, variant, n, events
FROM flagscope.variant_summary('new-checkout', since => '2040-01-02', until => '2040-01-03');

-- A series is rounded up to what is kept: to 10 seconds, and where only wider levels are left to those.
SET client_min_messages = notice;
SELECT ts::time, variant, n, events_of FROM (SELECT ts, variant, n, round(n * value) AS events_of
    FROM flagscope.metric_series('new-checkout', 'checkout errors', since => '2040-01-02 12:00',
        until => '2040-01-02 12:01', bucket_width => '15 seconds')) s;
SELECT count(*), sum(n)
FROM flagscope.metric_series('new-checkout', 'checkout errors', since => '2040-01-02 12:00',
    until => '2040-01-02 12:01', bucket_width => '1 millisecond');
SELECT made >= 0 AS maintained FROM flagscope.maintain('2040-01-02 12:05');
UPDATE _flagscope.removal SET at = '2040-01-03' WHERE what = 'rollup fine';
SELECT ts::time, variant, n
FROM flagscope.metric_series('new-checkout', 'checkout errors', since => '2040-01-02 12:00',
    until => '2040-01-02 12:20', bucket_width => '1 minute');
SELECT * FROM flagscope.metric_series('new-checkout', 'checkout errors', since => '2040-01-02 12:00',
    until => '2040-01-02 12:20', bucket_width => '1 month');
SELECT * FROM flagscope.metric_series('new-checkout', 'checkout errors', since => '2040-01-02 12:00',
    until => '2040-01-02 12:20', bucket_width => '0');
SELECT * FROM flagscope.metric_series('new-checkout', 'checkout errors', since => '2040-01-02 12:00',
    until => '2040-01-02 12:20', bucket_width => NULL);
