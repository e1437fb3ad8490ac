-- What a follower gets: one call with all that evaluation reads, and what tells it that flags came and went.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set VERBOSITY terse
SELECT flagscope.create_environment('staging', '{stage}');
UPDATE flagscope.environment_definition SET metadata = '{"flagSetId": "shop"}' WHERE key = 'production';
SELECT flagscope.create_segment('beta', '{"==": [{"var": "plan"}, "beta"]}');
SELECT flagscope.create_flag('b', tags => '{client,shop}'),
    flagscope.create_flag('a', '{"x": 1, "y": 2}', 'x', 'integer'), flagscope.create_flag('gone'),
    flagscope.create_flag('put away');
UPDATE flagscope.flag_state
SET targeting = '{"if": [{"$ref": "beta"}, "on", null]}' WHERE flag = 'b' AND environment = 'production';
CREATE TEMP TABLE first AS SELECT * FROM flagscope.flag_set();

-- Flags in the order of their keys, each with version and tags; the greatest version; segments and metadata of all.
SELECT key, metadata, segments, jsonb_path_query_array(flags, '$[*].key') AS keys FROM first;
SELECT f ->> 'key' AS key, f -> 'tags' AS tags, f -> 'targeting' AS targeting, f -> 'segments' AS segments,
    f -> 'set_metadata' AS set_metadata, (f ->> 'version')::bigint = s.version AS is_version_of_state
FROM first, jsonb_array_elements(flags) f
    JOIN flagscope.flag_state s ON s.flag = f ->> 'key' AND s.environment = 'production'
ORDER BY 1;
SELECT version = (SELECT max(s.version) FROM flagscope.flag_state s WHERE s.environment = 'production') AS greatest
FROM first;
-- By key or alias; one that does not exist is an error.
SELECT a.key, a.version = b.version AND a.flags = b.flags AS same
FROM flagscope.flag_set('stage') a, flagscope.flag_set('staging') b;
SELECT * FROM flagscope.flag_set('stagin');
SELECT key, version, flags FROM flagscope.flag_set('production') WHERE flags = '[]';

-- A flag that is deleted or archived is no longer in the set, which has a greater version; flag_changes() names both.
SELECT flagscope.archive_flag('put away');
DELETE FROM flagscope.flag_definition WHERE key = 'gone';
SELECT jsonb_path_query_array(s.flags, '$[*].key') AS keys, s.version > first.version AS newer,
    s.cursor > first.cursor AS later
FROM flagscope.flag_set() s, first;
SELECT c.flag, c.environment, c.state, c.definition IS NULL AS is_gone
FROM first, flagscope.flag_changes(first.cursor) c WHERE c.flag IN ('gone', 'put away') ORDER BY 1, 2;
-- Deleting the newest flag does not make the version fall, nor does taking one back.
SELECT flagscope.create_flag('z');
CREATE TEMP TABLE second AS SELECT * FROM flagscope.flag_set();
DELETE FROM flagscope.flag_definition WHERE key = 'z';
SELECT s.version > second.version AS newer, s.flags = (SELECT x.flags FROM flagscope.flag_set() x) AS same
FROM flagscope.flag_set() s, second;
-- The metadata of an environment goes with every answer: a change is one of the set.
CREATE TEMP TABLE third AS SELECT * FROM flagscope.flag_set();
UPDATE flagscope.environment_definition SET metadata = '{"flagSetId": "store"}' WHERE key = 'production';
SELECT s.version > third.version AS newer, s.metadata, s.flags -> 0 -> 'set_metadata' AS set_metadata
FROM flagscope.flag_set() s, third;
-- An environment without flags.
DELETE FROM flagscope.flag_definition;
SELECT key, version > 0 AS has_version, metadata, flags FROM flagscope.flag_set();

-- Who may evaluate flags may follow them, and needs no right on a table.
CREATE ROLE follower;
SELECT flagscope.grant_writer('follower');
SET ROLE follower;
SELECT key, flags FROM flagscope.flag_set();
SELECT count(*) FROM flagscope.flag_definition;
RESET ROLE;
REVOKE ALL ON ALL ROUTINES IN SCHEMA flagscope FROM follower;
SET ROLE follower;
SELECT key FROM flagscope.flag_set();
RESET ROLE;
DROP OWNED BY follower;
DROP ROLE follower;
