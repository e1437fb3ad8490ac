-- What flags share, an environment's metadata and segments: a change costs what it concerns,
-- and is known to whom it concerns.
\set SHOW_CONTEXT never
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SET client_min_messages = warning;
SELECT count(flagscope.create_flag('f' || i)) FROM generate_series(1, 50) i;
SELECT flagscope.create_segment('beta', '{"==": [{"var": "plan"}, "beta"]}'),
    flagscope.create_segment('adults', '{">=": [{"var": "age"}, 18]}'),
    flagscope.create_segment('testers', '{"and": [{"$ref": "beta"}, {"$ref": "adults"}]}'),
    flagscope.create_segment('unused', '{"==": [1, 1]}');
SELECT flagscope.set_targeting('f1', '{"if": [{"$ref": "beta"}, "on"]}') > 0,
    flagscope.set_targeting('f2', '{"if": [{"$ref": "testers"}, "on"]}') > 0,
    flagscope.set_targeting('f3', '{"if": [{"$ref": "adults"}, "on"]}') > 0;
CREATE FUNCTION pg_temp.renewed(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    last bigint := (SELECT max(version) FROM flagscope.flag_state);
BEGIN
    EXECUTE statement;
    RETURN (SELECT coalesce(string_agg(h.flag || ' in ' || h.environment, ', ' ORDER BY h.flag, h.environment), 'none')
        FROM flagscope.flag_state_history h WHERE h.version > last);
END $$;

CREATE FUNCTION pg_temp.plan(query text) RETURNS SETOF text
LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN ' || query; END $$;

-- Segments: the states whose rules mean them, directly or through others, get a new version; no other one does.
SELECT statement, pg_temp.renewed(statement) FROM unnest(ARRAY[
    $$UPDATE flagscope.segment SET rule = '{"==": [{"var": "plan"}, "gold"]}' WHERE name = 'beta'$$,
    $$UPDATE flagscope.segment SET rule = '{">=": [{"var": "age"}, 21]}' WHERE name = 'adults'$$,
    $$UPDATE flagscope.segment SET rule = '{"==": [1, 2]}' WHERE name = 'unused'$$,
    $$UPDATE flagscope.segment SET rule = rule$$,
    $$UPDATE flagscope.environment_definition
        SET segments = '{"adults": {">=": [{"var": "age"}, 16]}}' WHERE key = 'production'$$,
    $$UPDATE flagscope.segment SET rule = '{">=": [{"var": "age"}, 30]}' WHERE name = 'adults'$$,
    $$UPDATE flagscope.environment_definition
        SET segments = '{}' WHERE key = 'production'$$]) WITH ORDINALITY s(statement, place)
ORDER BY place;
SELECT variant FROM flagscope.evaluate('f2', 'u', '{"plan": "gold", "age": 29}');
SELECT variant FROM flagscope.evaluate('f2', 'u', '{"plan": "gold", "age": 31}');
-- They are found by an index.
SET enable_seqscan = off;
SELECT bool_or(line ~ 'flag_state_by_segment') AS by_index FROM (
    SELECT line FROM pg_temp.plan($$SELECT FROM flagscope.flag_state s WHERE s.targeting @? 'strict $.**."$ref"'
        AND _flagscope.segment_names(s.targeting) ?| '{beta}'$$) line) x;
RESET enable_seqscan;

-- Metadata: one version of the environment's, none of the flags; every answer, export and follower has it.
SELECT max(cursor) AS cursor FROM flagscope.flag_changes() \gset
SELECT clock_timestamp() AS before \gset
SELECT pg_temp.renewed($$UPDATE flagscope.environment_definition
    SET metadata = '{"team": "shop"}' WHERE key = 'production'$$);
SELECT clock_timestamp() AS between \gset
SET flagscope.actor = 'ann';
SET flagscope.reason = 'moved';
UPDATE flagscope.environment_definition SET metadata = '{"team": "till"}' WHERE key = 'production';
UPDATE flagscope.environment_definition SET metadata = metadata, description = 'same' WHERE key = 'production';
RESET flagscope.actor;
RESET flagscope.reason;
SELECT metadata FROM flagscope.evaluate('f1', 'u');
SELECT metadata, actor = 'ann' AS by_ann, reason, upper_inf(valid) AS current
FROM flagscope.environment_history ORDER BY version;
SELECT what, (SELECT metadata FROM flagscope.evaluate_as_of('f1', 'u', at => at)) AS metadata
FROM (VALUES (1, 'before', :'before'::timestamptz), (2, 'between', :'between'),
    (3, 'now', clock_timestamp())) t(place, what, at)
ORDER BY place;
SELECT count(*), count(DISTINCT definition -> 'set_metadata') AS kinds,
    min(definition ->> 'set_metadata') AS set_metadata
FROM flagscope.flag_changes(:cursor);
SELECT count(*) FROM flagscope.flag_changes() WHERE flag = '';
SELECT flagscope.export_flagd() -> 'metadata' AS exported;
-- Another environment's is none of theirs.
SELECT flagscope.create_environment('staging');
SELECT max(cursor) AS cursor FROM flagscope.flag_changes() \gset
SELECT pg_current_xact_id() IS NOT NULL AS later;
SELECT max(cursor) AS cursor FROM flagscope.flag_changes() \gset
UPDATE flagscope.environment_definition SET metadata = '{"team": "lab"}' WHERE key = 'staging';
SELECT environment, count(*) FROM flagscope.flag_changes(:cursor) GROUP BY environment;
-- A deleted environment's history ends.
DELETE FROM flagscope.flag_state WHERE environment = 'staging';
DELETE FROM flagscope.environment_definition WHERE key = 'staging';
SELECT environment, metadata, upper_inf(valid) AS current
FROM flagscope.environment_history WHERE environment = 'staging';
