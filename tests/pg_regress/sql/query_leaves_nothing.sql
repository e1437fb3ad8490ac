-- What a metric's query may be, seen when it is written; and that nothing stays of what the functions in it do.
\set VERBOSITY terse
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
CREATE TABLE shop.orders (customer text, amount float8);
INSERT INTO shop.orders VALUES ('ann', 1), ('bob', 2);
PREPARE prepared AS SELECT 'ann' AS subject, 1 AS value;
CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'taken';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
-- One SELECT without data-modifying statements in it.
SELECT query, pg_temp.refused(format('SELECT _flagscope.require_query(%L)', query)) AS check_query,
    pg_temp.refused(format('SELECT flagscope.create_query_metric(%L, %L, %L)', 'm' || n, 'mean',
        query)) = 'taken' AS written
FROM unnest(ARRAY[
    'SELECT customer AS subject, amount AS value FROM shop.orders',
    'VALUES (1)',
    'WITH o AS (SELECT * FROM shop.orders) SELECT customer AS subject, '
    'amount AS value FROM o UNION ALL SELECT ''x'', 1',
    'DELETE FROM shop.orders RETURNING customer AS subject, amount AS value',
    'INSERT INTO shop.orders SELECT ''x'', 1 RETURNING customer AS subject, amount AS value',
    'UPDATE shop.orders SET amount = 0 RETURNING customer AS subject, amount AS value',
    'WITH d AS (DELETE FROM shop.orders RETURNING *) SELECT customer AS subject, amount AS value FROM d',
    'WITH d AS (UPDATE shop.orders SET amount = 0) SELECT customer AS subject, amount AS value FROM shop.orders',
    'SELECT customer AS subject, amount AS value FROM shop.orders FOR UPDATE',
    'SELECT customer AS subject, amount AS value FROM (SELECT * FROM shop.orders FOR SHARE) o',
    'SELECT customer AS subject, amount AS value INTO shop.copy FROM shop.orders',
    'CREATE TABLE shop.copy AS SELECT customer AS subject, amount AS value FROM shop.orders',
    'EXPLAIN SELECT customer AS subject, amount AS value FROM shop.orders',
    'EXECUTE prepared',
    'SHOW search_path',
    'SELECT 1 AS subject, 2 AS value; SELECT 1 AS subject, 2 AS value',
    '']) WITH ORDINALITY q(query, n);
SELECT * FROM shop.orders;

-- What each function does stays in the query, or the query is refused.
CREATE FUNCTION shop.does(deed text) RETURNS float8 LANGUAGE plpgsql AS $$ BEGIN EXECUTE deed; RETURN 1; END $$;
CREATE FUNCTION pg_temp.left_behind() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(what, ', ' ORDER BY what) FROM (
        SELECT 'large object' AS what FROM pg_largeobject_metadata
        UNION ALL SELECT 'lock ' || objid
        FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objid <> 1
        UNION ALL SELECT 'lost lock'
        WHERE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objid = 1)
        UNION ALL SELECT 'temporary ' || relname FROM pg_class WHERE relname ~ '^left_behind'
        UNION ALL SELECT 'cursor ' || name FROM pg_cursors WHERE name = 'left_behind'
        UNION ALL SELECT 'statement ' || name FROM pg_prepared_statements WHERE name <> 'prepared'
        UNION ALL SELECT 'lost statement' WHERE NOT EXISTS (SELECT FROM pg_prepared_statements WHERE name = 'prepared')
        UNION ALL SELECT 'time zone' WHERE current_setting('timezone') = 'Asia/Tokyo'
        UNION ALL SELECT 'channel ' || c FROM pg_listening_channels() c WHERE c <> 'left_behind'
        UNION ALL SELECT 'read only' WHERE current_setting('transaction_read_only') = 'on') x
$$;
SELECT pg_advisory_lock(1);
LISTEN left_behind;
CREATE TEMP TABLE deed AS SELECT * FROM unnest(ARRAY[
    'SELECT lo_create(0)', 'SELECT lo_from_bytea(0, ''x'')', 'SELECT pg_advisory_lock(2)',
    'SELECT pg_try_advisory_lock_shared(2, 2)', 'SELECT pg_advisory_xact_lock(2)', 'SELECT pg_advisory_unlock(1)',
    'SELECT pg_advisory_unlock_all()', 'SELECT pg_notify(''left_behind'', ''x'')', 'NOTIFY left_behind', 'LISTEN other',
    'CREATE TEMP TABLE left_behind (x integer)', 'CREATE TEMP SEQUENCE left_behind', 'PREPARE left_behind AS SELECT 1',
    'DEALLOCATE prepared', 'DECLARE left_behind CURSOR WITH HOLD FOR SELECT 1', 'SET timezone = ''Asia/Tokyo''',
    'SELECT set_config(''timezone'', ''Asia/Tokyo'', false)', 'SET TRANSACTION READ WRITE', 'SELECT setseed(0.5)',
    'SELECT pg_logical_emit_message(false, ''left'', ''behind'')', 'DISCARD ALL', 'LOCK TABLE shop.orders',
    'DELETE FROM shop.orders', 'SELECT pg_export_snapshot()']) WITH ORDINALITY d(deed, n);
-- A large object is refused from 16 on.
SELECT deed,
    regexp_replace(pg_temp.refused(format('SELECT count(*) FROM _flagscope.own_query_rows(%L, now(), now(), 5000, 10)',
        format('SELECT ''u'' AS subject, shop.does(%L) AS value', deed))), '^25006 .* lo_.*', 'taken') AS answer,
    pg_temp.left_behind() AS left_behind
FROM deed ORDER BY n;
-- The same as an owner, as a tick does it; and in the query itself.
CREATE TEMP TABLE answered AS
SELECT n,
    pg_temp.refused(format('SELECT count(*) FROM _flagscope.query_rows(current_user::text, %L, now(), now(), 5000, 10)',
        format('SELECT ''u'' AS subject, shop.does(%L) AS value', deed))) AS answer FROM deed;
SELECT count(*) FILTER (WHERE answer ~ '^0A000') AS refused, pg_temp.left_behind() AS left_behind FROM answered;
SELECT pg_temp.refused($$SELECT count(*)
    FROM _flagscope.own_query_rows(
        'SELECT ''u'' AS subject, 1 AS value FROM (SELECT pg_advisory_lock(2), lo_create(0)) x(a, b)',
        now(), now(), 5000, 10)$$);
SELECT regexp_replace(pg_temp.refused($$SELECT count(*)
    FROM _flagscope.own_query_rows('SELECT ''u'' AS subject, lo_create(0) AS value', now(), now(), 5000, 10)$$),
        '^25006 .* lo_.*', 'taken') AS answer,
    pg_temp.left_behind() AS left_behind;
-- Every function of such a name that this version has, with whatever arguments it takes: those that are not refused.
CREATE TEMP TABLE lasting AS
SELECT p.oid::regprocedure AS function,
    pg_temp.refused(format('SELECT count(*) FROM _flagscope.own_query_rows(%L, now(), now(), 5000, 10)',
        format('SELECT ''u'' AS subject, 1 AS value FROM (SELECT pg_catalog.%I(%s)) x', p.proname,
        (SELECT string_agg(CASE t WHEN 'bool'::regtype THEN 'false' WHEN 'text'::regtype THEN '''x'''
                WHEN 'bytea'::regtype THEN '''x''::bytea'
            ELSE format('0::%s', t::regtype) END, ', ' ORDER BY place)
            FROM unnest(p.proargtypes) WITH ORDINALITY a(t, place))))) AS answer
FROM pg_proc p
WHERE p.pronamespace = 'pg_catalog'::regnamespace
    AND p.proname ~ '^(pg_(try_)?advisory_(un)?lock|setseed$|pg_logical_emit_message$)' AND p.proname !~ 'xact';
SELECT count(*) >= 16 AS all_there FROM lasting;
SELECT * FROM lasting WHERE answer !~ '^0A000 .* leaves something behind' ORDER BY function::text;
SELECT count(*) FROM shop.orders;
-- The session goes on as it was: its lock is its own, and no notification has come.
SELECT pg_advisory_unlock(1);
UNLISTEN *;
DROP SCHEMA shop CASCADE;
