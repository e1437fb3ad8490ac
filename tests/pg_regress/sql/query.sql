-- Metrics that are queries over any tables: from rows of orders to a rollback, what happens when one fails, and that a
-- query can do nothing that its owner cannot. Clock pinned.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS shop CASCADE;
DROP ROLE IF EXISTS regress_analyst, regress_other, regress_reader;
RESET client_min_messages;
CREATE ROLE regress_analyst;
CREATE ROLE regress_other;
CREATE ROLE regress_reader;
SELECT flagscope.grant_admin('regress_analyst'), flagscope.grant_admin('regress_other'),
    flagscope.grant_reader('regress_reader');
CREATE SCHEMA shop;
CREATE TABLE shop.orders (at timestamptz NOT NULL, customer text NOT NULL, amount numeric,
    refunded boolean NOT NULL DEFAULT false);
CREATE TABLE shop.visit (at timestamptz NOT NULL, variant text NOT NULL, seconds float8, clicks integer);
CREATE TABLE shop.secret (at timestamptz, customer text, amount numeric);
GRANT USAGE ON SCHEMA shop TO regress_analyst, regress_other;
GRANT SELECT, INSERT ON shop.orders, shop.visit TO regress_analyst;

CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT query, pg_temp.refused(format('SELECT flagscope.create_query_metric(%L, %L, %L)', 'x', 'mean', query))
FROM unnest(ARRAY[
    'SELECT customer AS subject, amount AS value FROM orders WHERE at >= $1 AND at < $2',
    'SELECT customer, amount AS value FROM shop.orders WHERE at >= $1 AND at < $2',
    'SELECT customer AS subject FROM shop.orders WHERE at >= $1 AND at < $2',
    'SELECT customer AS subject, amount AS value FROM shop.orders WHERE at >= $1 AND at < $3',
    'SELECT customer AS subject amount',
    'DELETE FROM shop.orders WHERE at >= $1 AND at < $2',
    'SELECT 1 AS subject, 2 AS value; DROP TABLE shop.orders']) query;
SELECT pg_temp.refused($$SELECT flagscope.create_query_metric('x', 'ratio', 'SELECT 1 AS subject, 2 AS value')$$),
    pg_temp.refused($$SELECT flagscope.create_query_metric('x', 'mean', NULL)$$),
    pg_temp.refused($$INSERT INTO flagscope.metric_definition (name, kind) VALUES ('x', 'mean')$$),
    pg_temp.refused($$INSERT INTO flagscope.metric_definition (name, kind, signal, query)
        VALUES ('x', 'mean', 'span', 'SELECT 1 AS subject, 1 AS value')$$);
SELECT pg_temp.refused($$INSERT INTO flagscope.metric_definition (name, kind, query, created_at)
    VALUES ('x', 'mean', 'SELECT 1', '2020-01-01')$$);

-- The owner is who writes the metric; a role of somebody else's cannot be lent.
SET ROLE regress_analyst;
SELECT flagscope.create_query_metric('order value', 'mean',
    'SELECT customer AS subject, amount AS value, at AS ts FROM shop.orders WHERE at >= $1 AND at < $2',
    harm => 'decrease', unit => 'EUR', cap => 100);
SELECT flagscope.create_query_metric('refunds', 'proportion',
    'SELECT customer AS subject, refunded AS value FROM shop.orders WHERE at >= $1 AND at < $2');
SELECT flagscope.create_query_metric('clicks', 'rate',
    'SELECT variant, sum(clicks) AS value, sum(seconds) AS exposure FROM shop.visit '
    'WHERE at >= $1 AND at < $2 GROUP BY variant');
SELECT flagscope.create_query_metric('visit time', 'quantile',
    'SELECT variant, seconds AS value FROM shop.visit WHERE at >= $1 AND at < $2', unit => 's');
SELECT name, kind, owner, signal FROM flagscope.metric_definition ORDER BY name;
RESET ROLE;
SET ROLE regress_other;
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    $s$INSERT INTO flagscope.metric_definition (name, kind, query, owner)
        VALUES ('x', 'mean', 'SELECT customer AS subject, amount AS value FROM shop.secret', 'regress_analyst')$s$,
    $s$UPDATE flagscope.metric_definition SET query = 'SELECT 1 AS subject, 2 AS value' WHERE name = 'refunds'$s$,
    $s$UPDATE flagscope.metric_definition SET owner = 'postgres' WHERE name = 'refunds'$s$,
    $s$SELECT * FROM _flagscope.query_rows('postgres', 'SELECT 1 AS subject, 2 AS value', now(), now(), 1000, 1)$s$,
    $s$SELECT _flagscope.poll_metrics(now())$s$,
    $s$UPDATE flagscope.metric_definition SET description = 'share of orders given back' WHERE name = 'refunds'$s$]) s;
RESET ROLE;

SELECT flagscope.create_flag('cart');
SELECT count(flagscope.create_guardrail('cart', m)) FROM unnest('{order value,refunds,clicks,visit time}'::text[]) m;
SELECT pg_temp.refused($$SELECT flagscope.create_guardrail('cart', 'refunds', name => 'x', comparison => 'baseline')$$);
SELECT count(*) AS on_watch FROM _flagscope.watch;
SELECT flagscope.create_rollout('cart', stages => '{50,100}', min_duration => '1 hour') AS id \gset
SELECT _flagscope.decide(:id, 'start', 'tester', 'by hand', '2040-01-02 12:00') > 0 AS started;
-- 400 customers are exposed, half to each variant; then they order.
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
SELECT '2040-01-02 12:00:01', 'event', 'feature_flag.evaluation', 'c' || i,
    jsonb_build_object('cart', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END)
FROM generate_series(1, 400) i;
SELECT (flagscope.tick('2040-01-02 12:00:02')).at;
SELECT variant, count(*) FROM flagscope.rollout_subject GROUP BY 1 ORDER BY 1;
CREATE FUNCTION pg_temp.orders(since timestamptz, worse float8) RETURNS void LANGUAGE sql AS $$
    INSERT INTO shop.orders
    SELECT since + i * interval '10 ms', 'c' || i, CASE WHEN i % 2 = 0 THEN 40 / worse ELSE 40 END + i % 20,
        i % 20 < CASE WHEN i % 2 = 0 THEN worse * 2 - 1 ELSE 2 END
    FROM generate_series(1, 420) i;
    INSERT INTO shop.visit
    SELECT since + i * interval '10 ms', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END, 5 + i % 10, 3
    FROM generate_series(1, 200) i;
$$;
SELECT pg_temp.orders('2040-01-02 12:00:02', 1);
SELECT (flagscope.tick('2040-01-02 12:00:06')).strata;
SELECT metric, until::time, given, counted, failures, problem FROM flagscope.metric_run ORDER BY 1;
SELECT (flagscope.tick('2040-01-02 12:00:08')).strata AS too_early;
SELECT (flagscope.tick('2040-01-02 12:00:12')).strata;
-- c401 to c420 were never exposed; a row counts once, whatever the ticks.
SELECT metric, until::time, given, counted, failures, problem FROM flagscope.metric_run ORDER BY 1;
SELECT metric, variant, n, events, round(rate::numeric, 4) AS rate, round(mean::numeric, 4) AS mean,
    round(p50::numeric, 1) AS p50
FROM flagscope.variant_summary('cart', since => '2040-01-02', until => '2040-01-03') ORDER BY 1, 2;
SELECT v.variant, count(*) AS n, avg(o.amount) AS mean, count(*) FILTER (WHERE o.refunded) AS refunded
FROM shop.orders o
    JOIN LATERAL (SELECT CASE WHEN substr(o.customer, 2)::integer % 2 = 0 THEN 'on' ELSE 'off' END) v(variant)
        ON substr(o.customer, 2)::integer <= 400
GROUP BY 1 ORDER BY 1;
SELECT g.name, s.state, s.reason
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id ORDER BY g.id;
SELECT * FROM flagscope.verify_rollup('2040-01-02', '2040-01-03');
SELECT flagscope.rebuild_rollup('2040-01-02', '2040-01-03') AS rebuilt;

-- Failures: the guardrail is in state error and waits, the others are judged, and nothing is lost.
ALTER TABLE shop.orders RENAME TO orders_gone;
SELECT (flagscope.tick('2040-01-02 12:00:20')).at;
SELECT g.name, s.state, s.reason
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id ORDER BY g.id;
SELECT flagscope.ramp_gate(:id, '2040-01-02 12:00:20');
SELECT metric, until::time, failures, retry_at::time FROM flagscope.metric_run WHERE problem IS NOT NULL ORDER BY 1;
ALTER TABLE shop.orders_gone RENAME TO orders;
SELECT pg_temp.orders('2040-01-02 12:00:13', 1);
SELECT (flagscope.tick('2040-01-02 12:00:25')).at;
SELECT metric, until::time, failures FROM flagscope.metric_run ORDER BY 1;
SELECT (flagscope.tick('2040-01-02 12:00:31')).at;
SELECT metric, until::time, given, counted, failures, problem FROM flagscope.metric_run ORDER BY 1;
SELECT g.name, s.state, s.reason
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id ORDER BY g.id;
-- A lost privilege, too.
REVOKE SELECT ON shop.visit FROM regress_analyst;
SELECT (flagscope.tick('2040-01-02 12:00:40')).at;
SELECT g.name, s.state, s.reason
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id ORDER BY g.id;
GRANT SELECT ON shop.visit TO regress_analyst;
-- Orders of the treatment get smaller, and are given back.
SELECT pg_temp.orders('2040-01-02 12:00:41', 4);
SELECT pg_temp.orders('2040-01-02 12:00:47', 4);
SELECT (flagscope.tick('2040-01-02 12:00:55')).decisions;
SELECT action, rule ->> 'name' AS guardrail, reason FROM flagscope.decision WHERE guardrail_id IS NOT NULL ORDER BY id;
SELECT count(*) AS strata, bool_and(abs(r.log_e_stored - r.log_e_recomputed) < 1e-12) AS equal
FROM flagscope.decision d, _flagscope.replay_evidence(d.id) r WHERE d.guardrail_id IS NOT NULL;

-- Whatever a query of a plain role tries: it fails, says why, and changes nothing; the tick goes on.
CREATE TABLE shop.victim (x integer);
GRANT ALL ON shop.victim TO regress_other;
CREATE SEQUENCE shop.numbers;
GRANT ALL ON SEQUENCE shop.numbers TO regress_other;
GRANT CREATE ON SCHEMA shop TO regress_other;
SET ROLE regress_other;
CREATE FUNCTION shop.writes() RETURNS float8
LANGUAGE plpgsql AS $$ BEGIN INSERT INTO shop.victim VALUES (1); RETURN 1; END $$;
CREATE FUNCTION shop.becomes(who text) RETURNS float8
LANGUAGE plpgsql AS $$ BEGIN EXECUTE format('SET ROLE %I', who); RETURN 1; END $$;
CREATE FUNCTION shop.resets() RETURNS float8 LANGUAGE plpgsql AS $$ BEGIN RESET SESSION AUTHORIZATION; RETURN 1; END $$;
CREATE FUNCTION shop.unlocks() RETURNS float8
LANGUAGE plpgsql AS $$ BEGIN SET TRANSACTION READ WRITE; INSERT INTO shop.victim VALUES (1); RETURN 1; END $$;
CREATE FUNCTION shop.moves() RETURNS float8 LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM set_config('search_path', 'shop', false), set_config('statement_timeout', '1', false);
    RETURN length(current_setting('search_path'));
END $$;
CREATE FUNCTION shop.asserts() RETURNS float8 LANGUAGE plpgsql AS $$ BEGIN ASSERT false, 'never'; RETURN 1; END $$;
CREATE FUNCTION shop.cancels() RETURNS float8
LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'stop' USING ERRCODE = 'query_canceled'; END $$;
CREATE FUNCTION shop.whoami() RETURNS float8 LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION 'user %, path %, read only %', current_user, current_setting('search_path'),
        current_setting('transaction_read_only');
END $$;
SELECT count(flagscope.create_query_metric(name, 'mean', 'SELECT ''on''::text AS variant, ' || value || ' AS value'))
FROM (VALUES
    ('a divides', '1 / (extract(year FROM $1) - extract(year FROM $2))'), ('b writes', 'shop.writes()'),
    ('c reads', '(SELECT count(*) FROM shop.secret)'), ('d becomes', 'shop.becomes(''postgres'')'),
    ('e becomes', 'shop.becomes(''regress_other'')'), ('f resets', 'shop.resets()'), ('g unlocks', 'shop.unlocks()'),
    ('h numbers', 'nextval(''shop.numbers'')'), ('i asserts', 'shop.asserts()'), ('j cancels', 'shop.cancels()'),
    ('k sleeps', '(SELECT 1 FROM pg_sleep(60))'), ('l floods', 'generate_series(1, 3)'), ('m words', '''many'''),
    ('n whoami', 'shop.whoami()'),    ('p files', 'length(pg_read_file(''PG_VERSION''))'),
    ('q moves', 'shop.moves()'), ('r fine', '1'),
    ('s nests', '(SELECT 1 FROM _flagscope.own_query_rows(''SELECT ''''on''''::text AS variant, '
        '1 AS value'', $1, $2, 2147483647, 1))'),
    ('t locks', 'length(set_config(''transaction_read_only'', ''on'', true))')) v(name, value);
RESET ROLE;
SELECT flagscope.set_setting('query.timeout', '"500 ms"'), flagscope.set_setting('query.rows', '2');
SELECT flagscope.create_flag('other');
SELECT count(flagscope.create_guardrail('other', name, limit_value => 5))
FROM flagscope.metric_definition WHERE owner = 'regress_other';
SELECT flagscope.create_rollout('other', stages => '{50,100}', min_duration => '1 hour') AS id \gset
SELECT _flagscope.decide(:id, 'start', 'tester', 'by hand', '2040-01-02 13:00') > 0 AS started;
DO $$
BEGIN
    FOR i IN 1..20 LOOP PERFORM flagscope.tick(timestamptz '2040-01-02 13:00:10' + i * interval '1 ms'); END LOOP;
END $$;
SELECT metric, given, problem FROM flagscope.metric_run WHERE metric ~ '^. ' ORDER BY 1;
SELECT g.name, s.state FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
WHERE g.flag = 'other' AND s.state <> 'error' ORDER BY 1;
SELECT (SELECT count(*) FROM shop.victim) AS written, (SELECT last_value FROM shop.numbers) AS number,
    current_user = session_user AS same_user, current_setting('statement_timeout') AS timeout,
    current_setting('transaction_read_only') AS read_only, current_setting('search_path') AS search_path;
-- Somebody else's query is not run with one's own rights, not even to look at it.
SELECT pg_temp.refused($$SELECT * FROM flagscope.preview_metric('refunds')$$);
-- Nor is anything left behind where the query is the caller's own.
SET ROLE regress_reader;
SELECT subject, variant, value, exposure, ts
FROM _flagscope.own_query_rows($$SELECT 'x' AS subject, true AS value, 2.5 AS exposure, $1 AS ts$$, '2040-01-02',
    '2040-01-03', 1000, 1);
SELECT pg_temp.refused($$SELECT *
    FROM _flagscope.own_query_rows('SELECT customer AS subject, amount AS value FROM shop.orders', '2040-01-02',
        '2040-01-03', 1000, 1)$$);
CREATE TEMP TABLE own (x integer);
INSERT INTO own VALUES (1);
RESET ROLE;

-- A conversion window, over telemetry itself: what customers buy within a minute of their first exposure.
UPDATE flagscope.guardrail SET enabled = false WHERE flag = 'other';
SELECT flagscope.set_setting('query.rows', '100000');
SELECT pg_temp.refused($$SELECT flagscope.create_query_metric('x', 'mean', 'SELECT 1 AS subject, 2 AS value',
    conversion_window => '-1 s')$$);
SELECT flagscope.create_query_metric('early orders', 'mean',
    $$SELECT subject, value, ts FROM flagscope.event WHERE name = 'order' AND ts >= $1 AND ts < $2$$,
    harm => 'decrease', cap => 100, conversion_window => '1 minute');
SELECT flagscope.create_flag('window'), flagscope.create_guardrail('window', 'early orders') IS NOT NULL AS made;
SELECT _flagscope.decide(flagscope.create_rollout('window', stages => '{50,100}', min_duration => '1 hour'), 'start',
    'tester', 'by hand', '2040-01-02 13:00') > 0 AS started;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
SELECT t, 'event', 'feature_flag.evaluation', 'w' || i,
    jsonb_build_object('window', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END)
FROM generate_series(1, 100) i, unnest('{2040-01-02 13:00:05,2040-01-02 13:00:50}'::timestamptz[]) t;
SELECT (flagscope.tick('2040-01-02 13:00:09')).at;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, value)
SELECT t, 'event', 'order', 'w' || i, n FROM generate_series(1, 100) i, unnest('{2040-01-02 13:00:04,2040-01-02 '
    '13:00:30,2040-01-02 13:01:04.999,2040-01-02 13:01:05,2040-01-02 13:01:30}'::timestamptz[]) WITH ORDINALITY x(t, n);
SELECT (flagscope.tick('2040-01-02 13:02')).strata;
-- A range of over a minute is read in parts.
SELECT count(flagscope.tick('2040-01-02 13:02:06'));
SELECT until::time, given, counted, problem FROM flagscope.metric_run WHERE metric = 'early orders';
-- The second and the third of five.
SELECT variant, n, mean
FROM flagscope.variant_summary('window', since => '2040-01-02', until => '2040-01-03') ORDER BY 1;
SELECT pg_temp.refused($$UPDATE flagscope.metric_definition
    SET conversion_window = '1 day' WHERE name = 'early orders'$$);
DROP OWNED BY regress_analyst, regress_other, regress_reader;
