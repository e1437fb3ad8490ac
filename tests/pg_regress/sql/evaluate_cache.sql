-- evaluate() answers from a cache of the backend: it is never stale, in one session, in a transaction, after a
-- rollback, in a parallel worker.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SET client_min_messages = notice;
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
UPDATE flagscope.flag_definition SET variants = '{"on": true, "off": false, "new": true}' WHERE key = 'f';
UPDATE flagscope.flag_state SET default_variant = 'new' WHERE flag = 'f';
EXECUTE answer;
-- Six times, so that PostgreSQL takes a plan for all parameters.
PREPARE any_flag(text) AS SELECT variant FROM flagscope.evaluate($1, 'user');
EXECUTE any_flag('f');
EXECUTE any_flag('f');
EXECUTE any_flag('f');
EXECUTE any_flag('f');
EXECUTE any_flag('f');
EXECUTE any_flag('f');
UPDATE flagscope.flag_state SET default_variant = 'off' WHERE flag = 'f';
EXECUTE any_flag('f');
-- What was not there is seen when it is made, and gone when it is deleted.
SELECT flagscope.create_flag('g');
EXECUTE later;
DELETE FROM flagscope.flag_definition WHERE key = 'g';
EXECUTE later;
-- A new alias of an environment.
SELECT variant, error_code FROM flagscope.evaluate('f', 'user', NULL, 'live');
UPDATE flagscope.environment_definition SET aliases = '{prod,live}';
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
        UPDATE flagscope.flag_state
        SET default_variant = CASE default_variant WHEN 'on' THEN 'off' ELSE 'on' END WHERE flag = 'f';
        SELECT variant INTO after FROM flagscope.evaluate('f', 'user');
        RAISE NOTICE '% -> %', before, after;
    END LOOP;
END $$;

-- A session that uses many flags loads all of them at once, and after a change only those that changed: by an UPDATE of
-- one, of all, of none; made, deleted, put away; by a segment, a name of an environment.
CREATE FUNCTION pg_temp.served() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('%s x %s', n, v), ', ' ORDER BY v) FROM (
        SELECT coalesce(e.variant, e.error_code, e.reason) AS v, count(*) AS n
        FROM generate_series(1, 100) i, flagscope.evaluate('c' || i, 'u', '{"age": 20}') e GROUP BY 1) x
$$;
SELECT count(flagscope.create_flag('c' || i)) FROM generate_series(1, 99) i;
SELECT pg_temp.served();
UPDATE flagscope.flag_state SET default_variant = 'on' WHERE flag = 'c7';
SELECT pg_temp.served();
UPDATE flagscope.flag_state SET default_variant = 'on' WHERE flag LIKE 'c_';
SELECT pg_temp.served();
UPDATE flagscope.flag_state SET default_variant = 'on' WHERE false;
SELECT pg_temp.served();
SELECT flagscope.create_flag('c100');
SELECT pg_temp.served();
DELETE FROM flagscope.flag_definition WHERE key = 'c100';
SELECT pg_temp.served();
SELECT flagscope.archive_flag('c99');
SELECT pg_temp.served(), (SELECT count(*) FROM flagscope.evaluate_all('u') WHERE flag ~ '^c') AS all;
SELECT flagscope.unarchive_flag('c99');
SELECT pg_temp.served(), (SELECT count(*) FROM flagscope.evaluate_all('u') WHERE flag ~ '^c') AS all;
SELECT flagscope.create_segment('adults', '{">=": [{"var": "age"}, 18]}');
UPDATE flagscope.flag_state SET targeting = '{"if": [{"$ref": "adults"}, "on", "off"]}' WHERE flag LIKE 'c1_';
SELECT pg_temp.served();
UPDATE flagscope.segment SET rule = '{">=": [{"var": "age"}, 21]}';
SELECT pg_temp.served();
TRUNCATE flagscope.flag_state CASCADE;
SELECT pg_temp.served();
INSERT INTO flagscope.flag_state (flag, environment, default_variant)
SELECT key, 'production', 'on' FROM flagscope.flag_definition WHERE key ~ '^(c|f)';
UPDATE flagscope.flag_state SET default_variant = 'off' WHERE flag = 'f';
SELECT pg_temp.served();
-- A transaction that is taken back, in parts and whole, while all are in the cache.
BEGIN;
UPDATE flagscope.flag_state SET default_variant = 'off' WHERE flag IN ('c1', 'c2');
SELECT pg_temp.served();
SAVEPOINT s;
UPDATE flagscope.flag_state SET default_variant = 'off' WHERE flag LIKE 'c_';
DELETE FROM flagscope.flag_definition WHERE key = 'c50';
SELECT flagscope.create_flag('c100');
SELECT pg_temp.served();
ROLLBACK TO s;
SELECT pg_temp.served();
ROLLBACK;
SELECT pg_temp.served();
-- A trigger that evaluates in the middle of the change: what it saw is gone with the change.
CREATE FUNCTION public.look() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE NOTICE 'sees %', (SELECT variant FROM flagscope.evaluate(NEW.flag, 'u')); RETURN NULL; END $$;
CREATE TRIGGER look AFTER UPDATE ON flagscope.flag_state FOR EACH ROW EXECUTE FUNCTION public.look();
BEGIN;
UPDATE flagscope.flag_state SET default_variant = 'off' WHERE flag = 'c3';
ROLLBACK;
SELECT variant FROM flagscope.evaluate('c3', 'u');
DROP TRIGGER look ON flagscope.flag_state;
DROP FUNCTION public.look();
-- More changes at once than are taken in one by one.
SELECT count(flagscope.create_flag('m' || i)) FROM generate_series(1, 1100) i;
UPDATE flagscope.flag_state SET default_variant = 'off' WHERE flag LIKE 'c%';
SELECT pg_temp.served(), (SELECT count(*) FROM flagscope.evaluate_all('u')) AS all;
DELETE FROM flagscope.flag_definition WHERE key LIKE 'm%';
SELECT pg_temp.served(), (SELECT count(*) FROM flagscope.evaluate_all('u')) AS all;
-- Rows that come with versions of their own, as by a restored dump or by replication.
CREATE TEMP TABLE kept AS
SELECT flag, environment, enabled, default_variant, version, changed_at FROM flagscope.flag_state WHERE flag = 'c9';
SELECT variant FROM flagscope.evaluate('c9', 'u');
SET session_replication_role = replica;
UPDATE flagscope.flag_state SET default_variant = 'on' WHERE flag = 'c9';
SELECT variant FROM flagscope.evaluate('c9', 'u');
RESET session_replication_role;
DELETE FROM flagscope.flag_state WHERE flag = 'c9';
SET session_replication_role = replica;
INSERT INTO flagscope.flag_state (flag, environment, enabled, default_variant, version, changed_at)
SELECT flag, environment, enabled, 'off', version, changed_at FROM kept;
RESET session_replication_role;
SELECT variant FROM flagscope.evaluate('c9', 'u');
SELECT c.flag, c.version = k.version AS version_kept, c.state
FROM flagscope.flag_changes() c JOIN kept k USING (flag, environment);
-- More than a session keeps: answers stay right.
SELECT count(flagscope.create_flag('l' || i, jsonb_build_object('a', repeat('x', 300000), 'b', 'small'), 'b', 'string'))
FROM generate_series(1, 60) i;
SELECT count(*), min(e.value::text), max(e.value::text)
FROM generate_series(1, 60) i, flagscope.evaluate('l' || i, 'u') e;
UPDATE flagscope.flag_state SET default_variant = 'a' WHERE flag = 'l60';
SELECT octet_length(e.value::text), count(*)
FROM generate_series(1, 60) i, flagscope.evaluate('l' || i, 'u') e GROUP BY 1 ORDER BY 1;
SELECT count(*), count(DISTINCT e.variant) FROM flagscope.evaluate_all('u') e WHERE e.flag LIKE 'l%';
DELETE FROM flagscope.flag_definition WHERE key ~ '^[cl]';

-- A stage of a rollout is served from the next statement on.
SELECT flagscope.create_rollout('f', stages => ARRAY[50, 100]);
SELECT flagscope.start_rollout(1, override => true, reason => 'unguarded');
SELECT count(*) FILTER (WHERE variant = 'on') BETWEEN 400 AND 600 AS about_half, count(DISTINCT reason)
FROM generate_series(1, 1000) i, flagscope.evaluate('f', 'u' || i);
SELECT flagscope.advance_rollout(1);
SELECT count(*) FILTER (WHERE variant = 'on') AS all FROM generate_series(1, 1000) i, flagscope.evaluate('f', 'u' || i);
SELECT flagscope.rollback_rollout(1);
SELECT count(*) FILTER (WHERE variant = 'on') AS nobody
FROM generate_series(1, 1000) i, flagscope.evaluate('f', 'u' || i);

-- Parallel workers give the same answers.
SELECT flagscope.create_rollout('f', stages => ARRAY[30, 100]);
SELECT flagscope.start_rollout(2, override => true, reason => 'unguarded');
CREATE TABLE public.visitor AS SELECT 'u' || i AS key FROM generate_series(1, 20000) i;
ANALYZE public.visitor;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT count(*) FROM public.visitor v, flagscope.evaluate('f', v.key) e WHERE e.variant = 'on';
SELECT count(*) AS parallel, sum(hashtext(v.key)) AS sum
FROM public.visitor v, flagscope.evaluate('f', v.key) e WHERE e.variant = 'on' \gset
SET max_parallel_workers_per_gather = 0;
SELECT count(*) = :parallel AND sum(hashtext(v.key)) = :sum AS same, count(*) BETWEEN 5700 AND 6300 AS about_30_percent
FROM public.visitor v, flagscope.evaluate('f', v.key) e WHERE e.variant = 'on';
DROP TABLE public.visitor;

-- expose() evaluates and records who got what, in the caller's transaction.
SELECT value, variant, reason
FROM flagscope.expose('f', 'u1', service => 'web', trace_id => '00000000-0000-0000-0000-000000000001',
    at => '2040-01-02 12:00');
SELECT variant, reason
FROM flagscope.expose('f', NULL, context => '{"targetingKey": "u2"}', environment => 'prod',
    at => '2040-01-02 12:00:01');
SELECT variant, error_code FROM flagscope.expose('unknown', 'u3', at => '2040-01-02 12:00:02');
BEGIN;
SELECT variant FROM flagscope.expose('f', 'u4');
ROLLBACK;
SELECT ts, flag, subject, environment, service, reason, trace_id,
    variant = (flagscope.evaluate(flag, subject)).variant AS as_evaluated
FROM flagscope.exposure ORDER BY ts;
SELECT ts, name, subject, flags IS NULL AS no_flags, is_error, jsonb_pretty(attributes) AS attributes, attribution
FROM flagscope.telemetry ORDER BY ts;
