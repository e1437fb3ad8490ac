-- evaluate() answers from a cache of the backend: it is never stale, in one session, in a transaction, after a rollback,
-- in a parallel worker.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never

SELECT flagscope.create_flag('f');
PREPARE answer AS SELECT value, variant, reason, error_code FROM flagscope.evaluate('f', 'user');
PREPARE later AS SELECT variant, error_code FROM flagscope.evaluate('g', 'user');
EXECUTE answer;
EXECUTE later;
SELECT flagscope.set_default_variant('f', 'on') > 0 AS changed;
EXECUTE answer;
SELECT flagscope.disable_flag('f') > 0 AS changed;
EXECUTE answer;
SELECT flagscope.enable_flag('f') > 0 AS changed;
EXECUTE answer;
UPDATE flagscope.flag SET variants = '{"on": true, "off": false, "new": true}' WHERE key = 'f';
UPDATE flagscope.flag_state SET default_variant = 'new' WHERE flag = 'f';
EXECUTE answer;
-- Six times, so that PostgreSQL takes a plan for all parameters.
PREPARE any_flag(text) AS SELECT variant FROM flagscope.evaluate($1, 'user');
EXECUTE any_flag('f'); EXECUTE any_flag('f'); EXECUTE any_flag('f'); EXECUTE any_flag('f'); EXECUTE any_flag('f'); EXECUTE any_flag('f');
UPDATE flagscope.flag_state SET default_variant = 'off' WHERE flag = 'f';
EXECUTE any_flag('f');
-- What was not there is seen when it is made, and gone when it is deleted.
SELECT flagscope.create_flag('g');
EXECUTE later;
DELETE FROM flagscope.flag WHERE key = 'g';
EXECUTE later;
-- A new alias of an environment.
SELECT variant, error_code FROM flagscope.evaluate('f', 'user', NULL, 'live');
UPDATE flagscope.environment SET aliases = '{prod,live}';
SELECT variant, error_code FROM flagscope.evaluate('f', 'user', NULL, 'live');
-- A transaction sees its own change at once; rolled back, it never was.
BEGIN;
SELECT flagscope.set_default_variant('f', 'on') > 0 AS changed;
EXECUTE answer;
SAVEPOINT s;
SELECT flagscope.disable_flag('f') > 0 AS changed;
EXECUTE answer;
ROLLBACK TO s;
EXECUTE answer;
ROLLBACK;
EXECUTE answer;
-- Inside one function: after a change the next evaluation knows it.
DO $$
DECLARE
    before text;
    after text;
BEGIN
    FOR i IN 1 .. 4 LOOP
        SELECT variant INTO before FROM flagscope.evaluate('f', 'user');
        UPDATE flagscope.flag_state SET default_variant = CASE default_variant WHEN 'on' THEN 'off' ELSE 'on' END WHERE flag = 'f';
        SELECT variant INTO after FROM flagscope.evaluate('f', 'user');
        RAISE NOTICE '% -> %', before, after;
    END LOOP;
END $$;

-- A stage of a rollout is served from the next statement on.
SELECT flagscope.create_rollout('f', stages => ARRAY[50, 100]);
SELECT flagscope.start_rollout(1);
SELECT count(*) FILTER (WHERE variant = 'on') BETWEEN 400 AND 600 AS about_half, count(DISTINCT reason) FROM generate_series(1, 1000) i, flagscope.evaluate('f', 'u' || i);
SELECT flagscope.advance_rollout(1);
SELECT count(*) FILTER (WHERE variant = 'on') AS all FROM generate_series(1, 1000) i, flagscope.evaluate('f', 'u' || i);
SELECT flagscope.rollback_rollout(1);
SELECT count(*) FILTER (WHERE variant = 'on') AS nobody FROM generate_series(1, 1000) i, flagscope.evaluate('f', 'u' || i);

-- Parallel workers give the same answers.
SELECT flagscope.create_rollout('f', stages => ARRAY[30, 100]);
SELECT flagscope.start_rollout(2);
CREATE TABLE public.visitor AS SELECT 'u' || i AS key FROM generate_series(1, 20000) i;
ANALYZE public.visitor;
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT count(*) FROM public.visitor v, flagscope.evaluate('f', v.key) e WHERE e.variant = 'on';
SELECT count(*) AS parallel, sum(hashtext(v.key)) AS sum FROM public.visitor v, flagscope.evaluate('f', v.key) e WHERE e.variant = 'on' \gset
SET max_parallel_workers_per_gather = 0;
SELECT count(*) = :parallel AND sum(hashtext(v.key)) = :sum AS same, count(*) BETWEEN 5700 AND 6300 AS about_30_percent FROM public.visitor v, flagscope.evaluate('f', v.key) e WHERE e.variant = 'on';
DROP TABLE public.visitor;

-- expose() evaluates and records who got what, in the caller's transaction.
SELECT value, variant, reason FROM flagscope.expose('f', 'u1', service => 'web', trace_id => '00000000-0000-0000-0000-000000000001', at => '2040-01-02 12:00');
SELECT variant, reason FROM flagscope.expose('f', NULL, context => '{"targetingKey": "u2"}', environment => 'prod', at => '2040-01-02 12:00:01');
SELECT variant, error_code FROM flagscope.expose('unknown', 'u3', at => '2040-01-02 12:00:02');
BEGIN;
SELECT variant FROM flagscope.expose('f', 'u4');
ROLLBACK;
SELECT ts, flag, subject, environment, service, reason, trace_id, variant = (flagscope.evaluate(flag, subject)).variant AS as_evaluated FROM flagscope.exposure ORDER BY ts;
SELECT ts, name, subject, flags IS NULL AS no_flags, is_error, jsonb_pretty(attributes) AS attributes, attribution FROM flagscope.telemetry ORDER BY ts;
