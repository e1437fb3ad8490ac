-- Rows are the interface: what the functions create_*() and set_*() refuse is refused of a row that somebody writes
-- himself, with the same words, and what they take by default is taken.
\set SHOW_CONTEXT never
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SET client_min_messages = warning;
SELECT flagscope.create_flag('f'), flagscope.create_flag('old'), flagscope.archive_flag('old'),
    flagscope.create_environment('staging'),
    flagscope.create_metric('errors', 'proportion', 'span', event => '{"is_error": true}'),
    flagscope.create_segment('beta', '{"==": [{"var": "plan"}, "beta"]}');
CREATE FUNCTION pg_temp.answer(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'taken';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;

-- A statement of each kind beside the function's: same words.
CREATE TEMP TABLE pair (n integer GENERATED ALWAYS AS IDENTITY, by_function text, by_row text);
INSERT INTO pair (by_function, by_row) VALUES
    ($$SELECT flagscope.set_targeting('f', '{"if": [true, "none"]}')$$,
        $$UPDATE flagscope.flag_state
            SET targeting = '{"if": [true, "none"]}' WHERE flag = 'f' AND environment = 'production'$$),
    ($$SELECT flagscope.set_targeting('f', '{"if": [{"$ref": "beta"}, "none"]}')$$,
        $$UPDATE flagscope.flag_state
            SET targeting = '{"if": [{"$ref": "beta"}, "none"]}' WHERE flag = 'f' AND environment = 'production'$$),
    ($$SELECT flagscope.set_targeting('f', '{"no_such": 1}')$$,
        $$UPDATE flagscope.flag_state
            SET targeting = '{"no_such": 1}' WHERE flag = 'f' AND environment = 'production'$$),
    ($$SELECT flagscope.set_default_variant('f', 'none')$$,
        $$UPDATE flagscope.flag_state SET default_variant = 'none' WHERE flag = 'f'$$),
    ($$SELECT flagscope.set_prerequisites('f', '[{"flag": "none", "variant": "on"}]')$$,
        $$UPDATE flagscope.flag_state SET prerequisites = '[{"flag": "none", "variant": "on"}]'
            WHERE flag = 'f' AND environment = 'production'$$),
    ($$SELECT flagscope.create_flag('g', '{"a": "x"}', 'a')$$,
        $$INSERT INTO flagscope.flag_definition (key, value_type, variants) VALUES ('g', 'boolean', '{"a": "x"}')$$),
    ($$SELECT flagscope.create_rollout('f', treatment => 'none')$$,
        $$INSERT INTO flagscope.rollout (flag, environment, treatment, control)
            VALUES ('f', 'production', 'none', 'off')$$),
    ($$SELECT flagscope.create_rollout('old')$$,
        $$INSERT INTO flagscope.rollout (flag, environment, treatment, control)
            VALUES ('old', 'production', 'on', 'off')$$),
    ($$SELECT flagscope.create_rollout('f', control => 'on')$$,
        $$INSERT INTO flagscope.rollout (flag, environment, treatment, control)
            VALUES ('f', 'production', 'on', 'on')$$),
    ($$SELECT flagscope.create_rollout('f', alpha => 0.7)$$,
        $$INSERT INTO flagscope.rollout (flag, environment, treatment, control, alpha)
            VALUES ('f', 'production', 'on', 'off', 0.7)$$),
    ($$SELECT flagscope.restart_rollout(77)$$,
        $$INSERT INTO flagscope.rollout (flag, environment, treatment, control, restart_of)
            VALUES ('f', 'production', 'on', 'off', 77)$$),
    ($$SELECT flagscope.create_guardrail('old', 'errors')$$,
        $$INSERT INTO flagscope.guardrail (name, flag, environment, metric)
            VALUES ('errors', 'old', 'production', 'errors')$$),
    ($$SELECT flagscope.create_guardrail('f', 'none')$$,
        $$INSERT INTO flagscope.guardrail (name, flag, environment, metric)
            VALUES ('errors', 'f', 'production', 'none')$$),
    ($$SELECT flagscope.create_guardrail('f', 'errors', margin => 2)$$,
        $$INSERT INTO flagscope.guardrail (name, flag, environment, metric, margin)
            VALUES ('errors', 'f', 'production', 'errors', 2)$$),
    ($$SELECT flagscope.create_guardrail('f', 'errors', limit_value => 2)$$,
        $$INSERT INTO flagscope.guardrail (name, flag, environment, metric, comparison, limit_value)
            VALUES ('errors', 'f', 'production', 'errors', 'absolute', 2)$$),
    ($$SELECT flagscope.create_metric('m', 'proportion', 'span')$$,
        $$INSERT INTO flagscope.metric_definition (name, kind, signal) VALUES ('m', 'proportion', 'span')$$),
    ($$SELECT flagscope.create_metric('m', 'mean', 'span', '{"naem": "x"}')$$,
        $$INSERT INTO flagscope.metric_definition (name, kind, signal, filter)
            VALUES ('m', 'mean', 'span', '{"naem": "x"}')$$),
    ($$SELECT flagscope.create_query_metric('m', 'mean', 'DELETE FROM x RETURNING 1')$$,
        $$INSERT INTO flagscope.metric_definition (name, kind, query)
            VALUES ('m', 'mean', 'DELETE FROM x RETURNING 1')$$),
    ($$SELECT flagscope.create_metric('m', 'mean', 'span', conversion_window => '0')$$,
        $$INSERT INTO flagscope.metric_definition (name, kind, signal, conversion_window)
            VALUES ('m', 'mean', 'span', '0')$$),
    ($$SELECT flagscope.create_policy('p', '{"metric": "none"}')$$,
        $$INSERT INTO flagscope.guardrail_policy (name, rule) VALUES ('p', '{"metric": "none"}')$$),
    ($$SELECT flagscope.create_policy('p', '{"metric": "errors"}', environment => 'none')$$,
        $$INSERT INTO flagscope.guardrail_policy (name, rule, environment)
            VALUES ('p', '{"metric": "errors"}', 'none')$$),
    ($$SELECT flagscope.create_change_freeze('x')$$, $$INSERT INTO flagscope.change_freeze (name) VALUES ('x')$$),
    ($$SELECT flagscope.create_change_freeze('x', weekdays => '{5}', time_zone => 'Mars')$$,
        $$INSERT INTO flagscope.change_freeze (name, weekdays, time_zone) VALUES ('x', '{5}', 'Mars')$$),
    ($$SELECT flagscope.create_segment('s', '{"$ref": "none"}')$$,
        $$INSERT INTO flagscope.segment (name, rule) VALUES ('s', '{"$ref": "none"}')$$),
    ($$SELECT flagscope.create_segment('s', '{"no_such": 1}', environment => 'staging')$$,
        $$UPDATE flagscope.environment_definition SET segments = '{"s": {"no_such": 1}}' WHERE key = 'staging'$$),
    ($$SELECT flagscope.create_environment('x', '{prod}')$$,
        $$INSERT INTO flagscope.environment_definition (key, aliases) VALUES ('x', '{prod}')$$),
    ($$SELECT flagscope.set_setting('rollout.alpha', '0.7')$$,
        $$UPDATE flagscope.setting SET value = '0.7' WHERE name = 'rollout.alpha'$$);
SELECT n, pg_temp.answer(by_row) AS row,
    substr(pg_temp.answer(by_function), 7) = substr(pg_temp.answer(by_row), 7) AS same
FROM pair ORDER BY n;

-- Rows that no function writes.
SELECT statement, pg_temp.answer(statement) AS answer FROM unnest(ARRAY[
    -- An environment that is there already, and one whose segments cannot be evaluated.
    $$INSERT INTO flagscope.environment_definition (key) VALUES ('production')$$,
    $$INSERT INTO flagscope.environment_definition (key, segments) VALUES ('x', '{"s": {"$ref": "none"}}')$$,
    $$INSERT INTO flagscope.environment_definition (key, metadata) VALUES ('x', '[]')$$,
    -- A past time of its own gets no row past a check.
    $$INSERT INTO flagscope.rollout (flag, environment, treatment, control, status, stage, created_at)
        VALUES ('f', 'production', 'on', 'off', 'running', 1, '2020-01-01')$$,
    $$INSERT INTO flagscope.guardrail (name, flag, environment, metric, created_at)
        VALUES ('errors', 'none', 'production', 'errors', '2020-01-01')$$,
    -- What a restored dump may do is its own.
    $$INSERT INTO flagscope.metric_definition (name, kind, query, owner)
        VALUES ('m', 'mean', 'SELECT 1', 'nobody_at_all')$$]) WITH ORDINALITY s(statement, place)
ORDER BY place;
SELECT count(*) FILTER (WHERE builtin) AS shipped FROM flagscope.environment_definition;

-- A rule's variants stay when the flag's own in an environment change, and what uses a state or a segment keeps it.
SELECT flagscope.create_flag('base'), flagscope.create_flag('user'),
    flagscope.set_prerequisites('user', '[{"flag": "base", "variant": "on"}]') > 0,
    flagscope.create_segment('testers', '{"$ref": "beta"}'),
    flagscope.set_targeting('f', '{"if": [{"$ref": "testers"}, "on", "off"]}') > 0;
SELECT statement, pg_temp.answer(statement) AS answer FROM unnest(ARRAY[
    $$UPDATE flagscope.flag_state SET variants = '{"off": false}' WHERE flag = 'f' AND environment = 'production'$$,
    $$DELETE FROM flagscope.flag_state WHERE flag = 'base' AND environment = 'production'$$,
    $$DELETE FROM flagscope.flag_state WHERE flag = 'base' AND environment = 'staging'$$,
    $$DELETE FROM flagscope.segment WHERE name = 'beta'$$,
    $$UPDATE flagscope.segment SET name = 'gamma' WHERE name = 'beta'$$,
    $$UPDATE flagscope.flag_state SET targeting = NULL WHERE flag = 'f'$$,
    $$DELETE FROM flagscope.segment WHERE name = 'beta'$$,
    $$DELETE FROM flagscope.segment$$,
    $$DELETE FROM flagscope.flag_definition WHERE key IN ('base', 'user')$$]) WITH ORDINALITY s(statement, place)
ORDER BY place;

-- What a row does not say comes from the settings, as in the functions.
SET flagscope.bucketing = v3;
INSERT INTO flagscope.flag_definition (key, value_type, variants)
VALUES ('third', 'boolean', '{"on": true, "off": false}');
RESET flagscope.bucketing;
INSERT INTO flagscope.flag_definition (key, value_type, variants)
VALUES ('second', 'boolean', '{"on": true, "off": false}');
SELECT key, bucketing FROM flagscope.flag_definition WHERE key IN ('second', 'third') ORDER BY key;
SELECT flagscope.set_setting('rollout.alpha', '0.03'), flagscope.set_setting('rollout.follow_up', '"2 hours"'),
    flagscope.set_setting('rollout.min_duration', '"7 minutes"');
INSERT INTO flagscope.rollout (flag, environment, treatment, control)
VALUES ('f', 'production', 'on', 'off') RETURNING alpha, follow_up, status, id AS rollout \gset
INSERT INTO flagscope.rollout_stage (rollout_id, ordinal, percent) VALUES (:rollout, 1, 50) RETURNING min_duration \gset
SELECT :'alpha' AS alpha, :'follow_up' AS follow_up, :'min_duration' AS min_duration;
SELECT flagscope.start_rollout(:rollout, reason => 'test', override => true) > 0 AS started;
-- A rollout that runs gets no further stages, whoever adds them.
SELECT regexp_replace(pg_temp.answer(format('INSERT INTO flagscope.rollout_stage (rollout_id, ordinal, percent) '
    'VALUES (%s, 2, 100)', :rollout)),
    'rollout \d+', 'rollout N') AS further_stage;
