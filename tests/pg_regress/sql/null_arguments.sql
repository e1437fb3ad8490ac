-- NULL for every argument of every function, one at a time and all at once, and in every column of every table: no
-- internal error comes back, and the session lives. The calls are made from the catalog,
-- so a new function is among them.
\set VERBOSITY terse
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SET client_min_messages = warning;
-- A call that never ends is a failure, too.
SET statement_timeout = '60s';
SELECT flagscope.create_flag('f', '{"on": true, "off": false}');
SELECT flagscope.create_segment('beta', '{"==": [{"var": "plan"}, "beta"]}');
SELECT flagscope.create_metric('errors', 'proportion', 'span', event => '{"is_error": true}');
SELECT flagscope.create_query_metric('orders', 'mean', 'SELECT ''u'' AS subject, 1 AS value WHERE $1 < $2');
SELECT flagscope.create_guardrail('f', 'errors') > 0 AS guardrail;
SELECT flagscope.create_rollout('f', stages => ARRAY[10, 100]) > 0 AS rollout;
INSERT INTO flagscope.telemetry (ts, signal, name, flags)
VALUES (now(), 'span', 'pay', '{"f": "on"}'), (now(), 'event', 'x', NULL);

-- A value of any type that a function may get past its first look at: as SQL text.
CREATE FUNCTION pg_temp.example(type oid) RETURNS text LANGUAGE sql AS $$
    SELECT CASE
        WHEN t.typname IN ('moments', 'histogram', 'tdigest') THEN format('(SELECT flagscope.%I(1.0))', t.typname)
        WHEN t.typname = 'ratio' THEN '(SELECT flagscope.ratio(1.0, 2.0))'
        WHEN t.typname IN ('json', 'jsonb') THEN format('%L::%s', '{"a": 1}', t.typname)
        WHEN t.typcategory = 'A' THEN format('ARRAY[%s]', pg_temp.example(t.typelem))
        WHEN t.typcategory = 'E' THEN
            format('%L::%s', (SELECT e.enumlabel FROM pg_enum e WHERE e.enumtypid = t.oid LIMIT 1), t.oid::regtype)
        WHEN t.typcategory = 'N' THEN format('1::%s', t.oid::regtype)
        WHEN t.typcategory = 'B' THEN 'true'
        WHEN t.typcategory = 'D' THEN format('%L::%s', '2026-01-01', t.oid::regtype)
        WHEN t.typcategory = 'T' THEN format('%L::%s', '1 day', t.oid::regtype)
        WHEN t.typname = 'uuid' THEN format('%L::uuid', '00000000-0000-0000-0000-000000000001')
        WHEN t.typname LIKE 'reg%' THEN format('0::%s', t.oid::regtype)
        WHEN t.typtype = 'c' AND t.typrelid <> 0
            AND EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'r')
            THEN format('(SELECT whole FROM %s whole LIMIT 1)', t.oid::regtype)
        WHEN t.typcategory IN ('S', 'X') THEN format('%L::%s', 'f', t.oid::regtype)
        ELSE format('NULL::%s', t.oid::regtype) END
    FROM pg_type t WHERE t.oid = type
$$;
CREATE TEMP TABLE failed (call text, sqlstate text, message text);
CREATE TEMP TABLE tried (call text, sqlstate text);
-- Nothing stays: what a call did is undone.
CREATE FUNCTION pg_temp.try(statement text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    message text;
BEGIN
    EXECUTE statement;
    RAISE EXCEPTION SQLSTATE 'FS000';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
    INSERT INTO tried VALUES (statement, SQLSTATE);
    INSERT INTO failed SELECT statement, SQLSTATE, message WHERE SQLSTATE ~ '^(XX|58)';
END $$;

-- Each function as often as it has arguments, with one of them NULL; and once with all of them. Only what takes
-- `internal` is left out, since nobody can write such a value in SQL.
CREATE TEMP TABLE call AS
SELECT p.oid, p.prokind, n.null_at, format('%s.%I', p.pronamespace::regnamespace, p.proname) AS name,
    (SELECT coalesce(string_agg(CASE WHEN n.null_at IN (0, a.ordinal) THEN format('NULL::%s', a.type::oid::regtype)
            ELSE pg_temp.example(a.type::oid) END,
        ', ' ORDER BY a.ordinal), '')
        FROM unnest(string_to_array(p.proargtypes::text, ' ')) WITH ORDINALITY a(type, ordinal)) AS arguments
FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e',
    LATERAL generate_series(0, p.pronargs) n(null_at)
WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'flagscope')
    AND 'internal'::regtype <> ALL (p.proargtypes);
DO $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT * FROM call ORDER BY name, oid, null_at LOOP
        PERFORM pg_temp.try(CASE c.prokind WHEN 'w' THEN format('SELECT %s(%s) OVER ()', c.name, c.arguments)
            WHEN 'p' THEN format('CALL %s(%s)', c.name, c.arguments)
            ELSE format('SELECT %s(%s)', c.name, c.arguments) END);
    END LOOP;
END $$;
SELECT count(*) > 1000 AS calls, count(DISTINCT sqlstate) > 5 AS "of all kinds" FROM tried;
SELECT * FROM failed;
SELECT call AS "was not even called" FROM tried WHERE sqlstate IN ('42725', '42846', '42883');

-- Each column of each table, by update and by insert.
DO $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT a.attrelid::regclass AS relation, a.attname AS name
        FROM pg_attribute a JOIN pg_class r ON r.oid = a.attrelid
        WHERE r.relnamespace IN ('flagscope'::regnamespace, '_flagscope'::regnamespace) AND r.relkind IN ('r', 'p')
            AND NOT r.relispartition AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY r.relname, a.attnum
    LOOP
        PERFORM pg_temp.try(format('UPDATE %s SET %I = NULL', c.relation, c.name)),
            pg_temp.try(format('INSERT INTO %s (%I) VALUES (NULL)', c.relation, c.name));
    END LOOP;
END $$;
SELECT * FROM failed;

-- What NULL means: the caller's default, no flag of that name, no rule; and of a statistic without its numbers, no row.
SELECT flagscope.evaluate_boolean(NULL, 'u', true) AS b, flagscope.evaluate_string(NULL, 'u', 'x') AS s,
    flagscope.evaluate_integer(NULL, 'u', 7) AS i, flagscope.evaluate_number(NULL, 'u', 0.5) AS n,
    flagscope.evaluate_object(NULL, 'u', '{"a": 1}') AS o;
SELECT flagscope.evaluate_boolean(NULL, NULL, NULL, NULL, NULL) IS NULL AS "no default either";
SELECT flagscope.ofrep_evaluate(NULL) ->> 'errorCode' AS code;
SELECT * FROM flagscope.check_targeting(NULL);
SELECT * FROM flagscope.sequential_rate_test(NULL, '{1}', '{1}', '{1}');
SELECT * FROM flagscope.sequential_proportion_test('{1}', '{1}', '{1}', '{1}', alpha => NULL);
SELECT * FROM flagscope.evaluate_as_of('f', 'u', at => NULL);
SELECT flagscope.create_flag('x', NULL);
UPDATE flagscope.flag_definition SET variants = NULL;
SELECT _flagscope.note_row();
SELECT flagscope.grant_reader(NULL);
