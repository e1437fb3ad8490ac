-- Many flags with rules: how long they take to make, to evaluate in a session that knows none of them, in one that
-- knows all, and after a change of one; and what a backend keeps of them. psql variable many (10,000).
\if :{?many}
\else
\set many 10000
\endif
\set ON_ERROR_STOP on
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION flagscope;
SELECT '{"if": [{"and": [{"ends_with": [{"var": "email"}, "@example.com"]}, {">=": [{"var": "age"}, 18]}]},
    "on", "off"]}' AS rule \gset
\set context '{"email": "ann@example.com", "age": 20}'
CREATE TABLE took (place integer GENERATED ALWAYS AS IDENTITY, what text, aim_ms float8, ms float8);
CREATE FUNCTION time_of(what text, aim_ms float8, query text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz := clock_timestamp();
BEGIN
    EXECUTE query;
    INSERT INTO took (what, aim_ms, ms) VALUES (what, aim_ms, 1000 * extract(epoch FROM clock_timestamp() - started));
END $$;
SELECT format('SELECT count(flagscope.create_flag(''flag-'' || i)) FROM generate_series(1, %s) i', :many) AS create_all,
    format('SELECT count(flagscope.set_targeting(''flag-'' || i, %L)) FROM generate_series(1, %s) i', :'rule',
        :many) AS target_all,
    format('SELECT count(flagscope.evaluate_boolean(f.key, ''u'', false, %L)) FROM flagscope.flag_definition f',
        :'context') AS pass,
    format('SELECT count(*) FROM flagscope.evaluate_all(''u'', %L)', :'context') AS pass_all \gset
SELECT time_of('create_flag, each of a loop', 0.5 * :many, :'create_all') \g /dev/null
SELECT time_of('set_targeting, each of a loop', 0.5 * :many, :'target_all') \g /dev/null
UPDATE took SET (aim_ms, ms) = (aim_ms / :many, ms / :many);
SELECT flagscope.export_flagd() AS document \gset
DELETE FROM flagscope.flag_definition;
SELECT time_of('import_flagd of all', 0.5 * :many,
    format('SELECT flagscope.import_flagd(%L)', :'document')) \g /dev/null
SELECT time_of('import_flagd of all, again', 0.5 * :many,
    format('SELECT flagscope.import_flagd(%L)', :'document')) \g /dev/null
-- One statement over all of them, and what they share.
SELECT time_of('UPDATE of all states', NULL, $$UPDATE flagscope.flag_state SET default_variant = 'on'$$) \g /dev/null
SELECT flagscope.create_segment('adults', '{">=": [{"var": "age"}, 18]}'),
    flagscope.set_targeting('flag-1', '{"if": [{"$ref": "adults"}, "on", "off"]}') \g /dev/null
SELECT time_of('a change of a segment that one flag uses', NULL,
    $$UPDATE flagscope.segment SET rule = '{">=": [{"var": "age"}, 21]}'$$) \g /dev/null
SELECT time_of('a change of the environment''s metadata', NULL,
    $$UPDATE flagscope.environment_definition SET metadata = '{"team": "shop"}'$$) \g /dev/null
UPDATE flagscope.environment_definition SET metadata = '{}';
VACUUM ANALYZE flagscope.flag_definition, flagscope.flag_state, _flagscope.flag_change;
-- A new session.
\connect
SET client_min_messages = warning;
SELECT flagscope.evaluate_boolean('flag-1', 'u', false), pg_backend_pid() AS pid \gset
\setenv PID :pid
\set memory `awk '/^RssAnon/ { print $2 }' /proc/$PID/status`
SELECT time_of('first pass over all', 0.02 * :many, :'pass') \g /dev/null
\set memory_after `awk '/^RssAnon/ { print $2 }' /proc/$PID/status`
SELECT time_of('the same again', 0.002 * :many, :'pass') FROM generate_series(1, 5) \g /dev/null
SELECT time_of('evaluate_all, first', NULL, :'pass_all') \g /dev/null
SELECT time_of('evaluate_all, again', 0.002 * :many, :'pass_all') FROM generate_series(1, 5) \g /dev/null
-- A change is made by another session, and comes with the next look: beside it, looks without a change.
CREATE TABLE look (changed boolean, ms float8);
SELECT format('psql -Xq -d %s -c "SELECT flagscope.set_default_variant(''flag-7'', ''on'')" >/dev/null',
    current_database()) AS change \gset
\setenv CHANGE :change
SELECT flagscope.evaluate_boolean('flag-7', 'u', false) \g /dev/null
SELECT time_of('a look', NULL, 'SELECT flagscope.evaluate_boolean(''flag-7'', ''u'', false)')
FROM generate_series(1, 5) \g /dev/null
\! sh -c "$CHANGE"
SELECT time_of('a look after a change of one flag', 1,
    'SELECT flagscope.evaluate_boolean(''flag-7'', ''u'', false)') \g /dev/null
\! sh -c "$CHANGE"
SELECT time_of('a look after a change of one flag', 1,
    'SELECT flagscope.evaluate_boolean(''flag-7'', ''u'', false)') \g /dev/null
\! sh -c "$CHANGE"
SELECT time_of('a look after a change of one flag', 1,
    'SELECT flagscope.evaluate_boolean(''flag-7'', ''u'', false)') \g /dev/null
\echo 'Flags with rules:' :many
SELECT what, round(min(ms)::numeric, 3) AS ms, aim_ms FROM took GROUP BY what, aim_ms ORDER BY min(place);
SELECT round((:memory_after - :memory) / 1024.0, 1) AS mb_of_flags,
    round(:memory_after / 1024.0, 1) AS mb_of_the_backend, 30 AS aim_mb;
