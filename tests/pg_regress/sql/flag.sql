-- Flags and their state: checks of definitions, environments, and a history that answers what was on at a time.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;

-- A flag of each type; its state in every environment.
SELECT flagscope.create_environment('staging', '{stage,test}', 'before production');
SELECT key, aliases, description FROM flagscope.environment_definition ORDER BY key;
SELECT flagscope.create_flag('checkout', description => 'new checkout', tags => '{shop,pay}',
    metadata => '{"owner": "ann"}');
SELECT flagscope.create_flag('theme', '{"a": "A", "b": "ü"}', 'a', 'string'),
    flagscope.create_flag('limit', '{"low": 1, "high": 100}', 'low', 'integer'),
    flagscope.create_flag('ratio', '{"x": 0.5, "y": -1e-3}', 'x', 'number'),
    flagscope.create_flag('config', '{"x": {"n": [1]}}', 'x', 'object', enabled => false);
SELECT key, value_type, variants, description, tags, metadata, bucketing, archived_at
FROM flagscope.flag_definition ORDER BY key;
SELECT flag, environment, enabled, default_variant FROM flagscope.flag_state ORDER BY 1, 2;
-- A new environment begins with every flag switched off.
SELECT flagscope.create_environment('canary');
SELECT flag, enabled, default_variant FROM flagscope.flag_state WHERE environment = 'canary' ORDER BY 1;

-- Refused, by the functions and by plain statements alike.
SELECT s, pg_temp.refused(s) FROM unnest(ARRAY[
    $$SELECT flagscope.create_flag('checkout')$$,
    $$SELECT flagscope.create_flag('')$$,
    $$SELECT flagscope.create_flag(NULL)$$,
    $$SELECT flagscope.create_flag(E'line\nbreak')$$,
    $$SELECT flagscope.create_flag('x', default_variant => 'maybe')$$,
    $$SELECT flagscope.create_flag('x', '{}')$$,
    $$SELECT flagscope.create_flag('x', '[true]')$$,
    $$SELECT flagscope.create_flag('x', '{"on": 1, "off": 0}')$$,
    $$SELECT flagscope.create_flag('x', '{"on": null}', 'on')$$,
    $$SELECT flagscope.create_flag('x', '{"a": "1"}', 'a', 'integer')$$,
    $$SELECT flagscope.create_flag('x', '{"a": 1.5}', 'a', 'integer')$$,
    $$SELECT flagscope.create_flag('x', '{"a": 9007199254740992}', 'a', 'integer')$$,
    $$SELECT flagscope.create_flag('x', '{"a": 1e400}', 'a', 'number')$$,
    $$SELECT flagscope.create_flag('x', '{"a": {"deep": [1e400]}}', 'a', 'object')$$,
    $$SELECT flagscope.create_flag('x', '{"a": [1]}', 'a', 'object')$$,
    $$SELECT flagscope.create_flag('x', '{"a": 1}', 'a', 'string')$$,
    $$SELECT flagscope.create_flag('x', metadata => '[]')$$,
    $$SELECT flagscope.create_flag('x', metadata => '{"n": 1e400}')$$,
    $$INSERT INTO flagscope.flag_definition (key, value_type, variants) VALUES ('x', 'boolean', '{"on": "yes"}')$$,
    $$INSERT INTO flagscope.flag_definition (key, value_type, variants)
        VALUES ('checkout', 'boolean', '{"on": true}')$$,
    $$INSERT INTO flagscope.flag_state (flag, environment) VALUES ('x', 'production')$$,
    $$INSERT INTO flagscope.flag_state (flag, environment) VALUES ('checkout', 'production')$$,
    $$UPDATE flagscope.flag_definition SET key = 'x' WHERE key = 'checkout'$$,
    $$UPDATE flagscope.flag_definition SET value_type = 'string' WHERE key = 'checkout'$$,
    $$UPDATE flagscope.flag_definition SET variants = '{"on": true}' WHERE key = 'checkout'$$,
    $$UPDATE flagscope.flag_state SET default_variant = 'maybe' WHERE flag = 'checkout'$$,
    $$UPDATE flagscope.flag_state SET environment = 'mars' WHERE flag = 'checkout'$$,
    $$UPDATE flagscope.flag_state SET percent = 50 WHERE flag = 'checkout'$$,
    $$UPDATE flagscope.flag_state
        SET rollout_id = 1, treatment = 'on', control = 'off', percent = 100.001 WHERE flag = 'checkout'$$,
    $$SELECT flagscope.set_default_variant('checkout', 'maybe')$$,
    $$SELECT flagscope.set_default_variant('unknown', 'on')$$,
    $$SELECT flagscope.enable_flag('unknown')$$,
    $$SELECT flagscope.disable_flag('checkout', 'mars')$$,
    $$SELECT flagscope.create_environment('staging')$$,
    $$SELECT flagscope.create_environment('prod')$$,
    $$SELECT flagscope.create_environment('new', '{stage}')$$,
    $$SELECT flagscope.create_environment('')$$,
    $$UPDATE flagscope.environment_definition SET aliases = '{staging}' WHERE key = 'canary'$$,
    $$DELETE FROM flagscope.environment_definition WHERE key = 'staging'$$]) s;
SELECT count(*) FROM flagscope.flag_definition;

-- Who changed what, and why: SET LOCAL, else the session's role; an alias names the environment too.
SELECT actor = session_user AS mine, reason
FROM flagscope.flag_state WHERE (flag, environment) = ('checkout', 'production');
BEGIN;
SET LOCAL flagscope.actor = 'ann';
SET LOCAL flagscope.reason = 'ticket 7';
SELECT flagscope.set_default_variant('checkout', 'on', 'test') AS v1 \gset
SELECT flagscope.disable_flag('checkout', 'staging') AS v2 \gset
COMMIT;
SELECT flagscope.enable_flag('checkout', 'staging') AS v3 \gset
SELECT :v1 < :v2 AND :v2 < :v3 AS versions_grow;
UPDATE flagscope.flag_state SET default_variant = 'off' WHERE (flag, environment) = ('checkout', 'staging');
SELECT row_number() OVER (ORDER BY version) AS nr, enabled, default_variant,
    CASE actor WHEN session_user THEN 'me' ELSE actor END AS actor, reason, upper(valid) IS NULL AS current, decision_id
FROM flagscope.flag_state_history WHERE (flag, environment) = ('checkout', 'staging') ORDER BY version;
-- Author and time of a change by hand cannot be made up.
UPDATE flagscope.flag_state SET actor = 'somebody else', reason = 'x', decision_id = 7, version = -1, enabled = false
WHERE (flag, environment) = ('theme', 'production');
SELECT actor = session_user AS mine, reason, decision_id, version > 0 AS version
FROM flagscope.flag_state WHERE (flag, environment) = ('theme', 'production');

-- What was on at a time: at every time exactly one version, none before the flag was made, none overlaps another.
DO $$
BEGIN
    FOR i IN 1 .. 100 LOOP
        UPDATE flagscope.flag_state
        SET default_variant = CASE i % 2 WHEN 0 THEN 'low' ELSE 'high' END WHERE flag = 'limit';
    END LOOP;
END $$;
SELECT environment, count(*) AS versions, count(DISTINCT version) AS different,
    bool_and(valid && tstzrange(now(), NULL)) FILTER (WHERE upper(valid) IS NULL) AS current,
    bool_and(lower(valid) < coalesce(upper(valid), 'infinity')) AS none_empty
FROM flagscope.flag_state_history WHERE flag = 'limit' GROUP BY 1 ORDER BY 1;
SELECT count(*) AS overlaps
FROM flagscope.flag_state_history a JOIN flagscope.flag_state_history b USING (flag, environment)
WHERE a.version < b.version AND a.valid && b.valid;
SELECT count(*) AS gaps
FROM (SELECT lower(valid) <> lag(upper(valid)) OVER (PARTITION BY flag, environment ORDER BY version) AS gap
    FROM flagscope.flag_state_history) x
WHERE gap;
SELECT count(*) AS seen, count(*) FILTER (WHERE n = 1) AS by_one_version FROM (
    SELECT t.at,
        (SELECT count(*) FROM flagscope.flag_state_history h
            WHERE (h.flag, h.environment) = ('limit', 'production') AND h.valid @> t.at) AS n
    FROM (SELECT lower(valid) AS at
        FROM flagscope.flag_state_history WHERE (flag, environment) = ('limit', 'production')) t) x;
SELECT pg_temp.refused($$INSERT INTO flagscope.flag_state_history
    SELECT state_id, flag, environment, version + 1000000, valid, enabled, default_variant, targeting, prerequisites,
        rollout_id, treatment, control, percent,
    definition, actor, reason, decision_id, transaction
    FROM flagscope.flag_state_history WHERE (flag, environment) = ('theme', 'canary')$$);
-- A change that is rolled back was never on.
BEGIN;
SELECT flagscope.set_default_variant('theme', 'b') > 0 AS changed;
ROLLBACK;
SELECT default_variant, count(*)
FROM flagscope.flag_state_history WHERE (flag, environment) = ('theme', 'production') GROUP BY 1;

-- Archived: nobody gets it any more. Deleted: its history stays and ends.
UPDATE flagscope.flag_definition SET archived_at = now() WHERE key = 'theme';
SELECT value, reason FROM flagscope.evaluate('theme', 'user', NULL, 'staging');
DELETE FROM flagscope.flag_definition WHERE key = 'theme';
SELECT reason, error_code FROM flagscope.evaluate('theme', 'user');
SELECT environment, count(*) AS versions, count(*) FILTER (WHERE upper(valid) IS NULL) AS open
FROM flagscope.flag_state_history WHERE flag = 'theme' GROUP BY 1 ORDER BY 1;
-- A flag of the same name later has a history of its own.
SELECT flagscope.create_flag('theme');
SELECT count(*) FILTER (WHERE upper(valid) IS NULL) AS open, count(DISTINCT state_id) AS states
FROM flagscope.flag_state_history WHERE (flag, environment) = ('theme', 'production');

-- Settings keep their type and their bounds; a changed one is the user's own.
SELECT s, pg_temp.refused(s) FROM unnest(ARRAY[
    $$SELECT flagscope.set_setting('rollout.alpha', '0.05')$$,
    $$SELECT flagscope.set_setting('rollout.alpha', '"0.05"')$$,
    $$SELECT flagscope.set_setting('rollout.alpha', '-1')$$,
    $$SELECT flagscope.set_setting('unknown', '1')$$,
    $$SELECT flagscope.set_setting('rollout.stages', '[10, 100]')$$,
    $$SELECT flagscope.set_setting('rollout.stages', '[10, 5]')$$,
    $$SELECT flagscope.set_setting('rollout.stages', '["x"]')$$,
    $$SELECT flagscope.set_setting('rollout.alpha', '7')$$,
    $$SELECT flagscope.set_setting('rollout.stages', '[]')$$,
    $$SELECT flagscope.set_setting('telemetry.premake', '0')$$,
    $$SELECT flagscope.set_setting('telemetry.premake', '1e9')$$,
    $$SELECT flagscope.set_setting('telemetry.premake', '1.5')$$,
    $$SELECT flagscope.set_setting('telemetry.chunk_interval', '"59 s"')$$,
    $$SELECT flagscope.set_setting('guardrail.min_sample', '1e16')$$,
    $$SELECT flagscope.set_setting('guardrail.margin.quantile', '11')$$,
    $$SELECT flagscope.set_setting('guardrail.window', '"30 s"')$$,
    $$SELECT flagscope.set_setting('guardrail.window', '"0"')$$,
    $$SELECT flagscope.set_setting('guardrail.window', '"-1 hour"')$$,
    $$SELECT flagscope.set_setting('guardrail.window', '"1 month"')$$,
    $$SELECT flagscope.set_setting('guardrail.window', '"soon"')$$,
    $$SELECT flagscope.set_setting('guardrail.window', 'null')$$,
    $$SELECT flagscope.set_setting('guardrail.window', NULL)$$]) s;
SELECT name, value, builtin FROM flagscope.setting WHERE NOT builtin ORDER BY name;
