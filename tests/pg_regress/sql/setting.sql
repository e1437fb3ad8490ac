-- The table setting: a deleted row is the value as shipped, an inserted one is checked like an updated one, and every
-- value has bounds.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SET client_min_messages = notice;
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN concat_ws(' ', SQLSTATE, SQLERRM);
END $$;
CREATE TEMP TABLE shipped AS SELECT name, value, description, builtin FROM flagscope.setting;
SELECT count(*) > 40 AS many, bool_and(builtin) AS as_shipped FROM shipped;

-- DELETE means the default, however it is done; nothing that reads a setting fails or sees NULL.
SELECT flagscope.set_setting('attribution.trace_window', '"2 hours"'), flagscope.set_setting('rollout.alpha', '0.05');
DELETE FROM flagscope.setting WHERE name IN ('attribution.trace_window', 'rollout.alpha');
SELECT name, value, builtin
FROM flagscope.setting WHERE name IN ('attribution.trace_window', 'rollout.alpha') ORDER BY name;
DELETE FROM flagscope.setting;
SELECT count(*) AS differences
FROM ((TABLE shipped EXCEPT SELECT name, value, description, builtin FROM flagscope.setting)
    UNION ALL (SELECT name, value, description, builtin FROM flagscope.setting EXCEPT TABLE shipped)) x;
TRUNCATE flagscope.setting;
SELECT count(*) AS differences
FROM (TABLE shipped EXCEPT SELECT name, value, description, builtin FROM flagscope.setting) x;
-- Even where the triggers do not fire.
BEGIN;
SET LOCAL session_replication_role = replica;
DELETE FROM flagscope.setting;
SET LOCAL session_replication_role = origin;
SELECT flagscope.create_flag('f'),
    flagscope.create_metric('errors', 'proportion', 'span', event => '{"is_error": true}'),
    flagscope.create_guardrail('f', 'errors');
SELECT flagscope.start_rollout(flagscope.create_rollout('f'), at => '2040-01-02',
    override => true, reason => 'unguarded') > 0 AS started;
INSERT INTO flagscope.telemetry (ts, signal, name, trace_id)
VALUES ('2040-01-02', 'span', 'x', '00000000-0000-0000-0000-000000000001');
SELECT decisions FROM flagscope.tick('2040-01-02 00:00:01');
SELECT state, reason FROM flagscope.guardrail_status;
SELECT flagscope.set_setting('rollout.alpha', '0.02');
SELECT name, value, builtin FROM flagscope.setting WHERE name = 'rollout.alpha';
ROLLBACK;

-- INSERT is checked like UPDATE: what exists, its JSON type, its bounds.
SELECT s AS refused, pg_temp.try(s) FROM unnest(ARRAY[
    $$INSERT INTO flagscope.setting (name, value) VALUES ('rollout.alfa', '0.1')$$,
    $$INSERT INTO flagscope.setting (name, value) VALUES ('rollout.alpha', '"0.1"')$$,
    $$INSERT INTO flagscope.setting (name, value) VALUES ('rollout.alpha', '0.7')$$,
    $$INSERT INTO flagscope.setting (name, value) VALUES ('rollout.alpha', 'null')$$,
    $$INSERT INTO flagscope.setting (name, value) VALUES ('rollout.alpha', NULL)$$,
    $$INSERT INTO flagscope.setting (name, value) VALUES ('telemetry.retention', '"100000000 days"')$$,
    $$INSERT INTO flagscope.setting (name, value) VALUES ('telemetry.expired', '"archive"')$$,
    $$INSERT INTO flagscope.setting (name, value) VALUES ('rollout.stages', '[50, "x"]')$$,
    $$UPDATE flagscope.setting SET name = 'rollout.follow_up' WHERE name = 'rollout.alpha'$$,
    $$UPDATE flagscope.setting SET name = 'x' WHERE name = 'rollout.alpha'$$,
    $$UPDATE flagscope.setting SET value = '1e-400' WHERE name = 'rollout.alpha'$$]) s;
SELECT s AS taken, pg_temp.try(s) FROM unnest(ARRAY[
    $$INSERT INTO flagscope.setting (name, value) VALUES ('rollout.alpha', '0.02')$$,
    $$INSERT INTO flagscope.setting (name, value) VALUES ('rollout.alpha', '0.03')
        ON CONFLICT (name) DO UPDATE SET value = excluded.value$$,
    $$INSERT INTO flagscope.setting (name, value) VALUES ('telemetry.chunk_interval', '"auto"')$$,
    $$UPDATE flagscope.setting SET value = '"90 minutes"' WHERE name = 'telemetry.chunk_interval'$$]) s;
SELECT name, value, builtin, description = (SELECT s.description FROM shipped s WHERE s.name = x.name) AS described
FROM flagscope.setting x WHERE NOT builtin ORDER BY name;

-- Every value has bounds: none takes a number, an interval or a word without end, and every one takes what is shipped.
SELECT s.name AS unbounded
FROM shipped s, LATERAL (VALUES (CASE jsonb_typeof(s.value) WHEN 'number' THEN '1e16'
        WHEN 'string' THEN '"100000000 days"' ELSE '[1, 1e9]' END),
    (CASE jsonb_typeof(s.value) WHEN 'number' THEN '-1' WHEN 'string' THEN '"-1 second"' ELSE '[]' END)) v(value)
WHERE pg_temp.try(format('SELECT flagscope.set_setting(%L, %L)', s.name, v.value)) NOT LIKE '22023 %';
SELECT s.name AS refused
FROM shipped s WHERE pg_temp.try(format('SELECT flagscope.set_setting(%L, %L)', s.name, s.value)) <> 'done';
-- At its bounds a tick and maintenance work.
SELECT flagscope.create_flag('f'),
    flagscope.create_metric('errors', 'proportion', 'span', event => '{"is_error": true}'),
    flagscope.create_guardrail('f', 'errors');
SELECT flagscope.start_rollout(flagscope.create_rollout('f'), at => '2040-01-02',
    override => true, reason => 'unguarded') > 0 AS started;
CREATE FUNCTION pg_temp.bound(name text, upper boolean) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN jsonb_typeof(d.value) = 'array' OR b.words IN ('{drop,detach}', '{hold,off}')
            OR d.name = 'message.link' THEN
            d.value::text
        WHEN jsonb_typeof(d.value) = 'number' THEN
            CASE WHEN upper THEN coalesce(b.highest, '1e15') ELSE coalesce(b.lowest, '0') END
        ELSE to_jsonb(CASE WHEN upper THEN coalesce(b.highest, '3650 days')
            ELSE coalesce(b.lowest, '1 millisecond') END)::text END
    FROM _flagscope.setting_default d, _flagscope.setting_bounds(d.name) b WHERE d.name = bound.name
$$;
SELECT count(flagscope.set_setting(s.name, pg_temp.bound(s.name, true)::jsonb)) > 40 AS set
FROM (SELECT * FROM shipped ORDER BY name) s WHERE s.name NOT LIKE '%premake' AND s.name <> 'tick.budget';
INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags)
VALUES ('2040-01-02', 'span', 'x', false, '{"f": "on"}'), ('2040-01-02', 'span', 'x', false, '{"f": "off"}');
SELECT strata, guardrails, decisions FROM flagscope.tick('2040-01-02 00:01');
SELECT maintain_error FROM _flagscope.tick_state;
SELECT count(flagscope.set_setting(s.name, pg_temp.bound(s.name, false)::jsonb)) > 40 AS set
FROM (SELECT * FROM shipped ORDER BY name) s WHERE s.name NOT LIKE '%premake' AND s.name NOT LIKE '%chunk%';
INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags)
VALUES ('2040-01-02 00:02', 'span', 'x', false, '{"f": "on"}'),
    ('2040-01-02 00:02', 'span', 'x', false, '{"f": "off"}');
SELECT strata, guardrails FROM flagscope.tick('2040-01-02 00:02');
SELECT maintain_error FROM _flagscope.tick_state;
SELECT g.state FROM flagscope.guardrail_status g WHERE g.state = 'error';

-- The times of rollouts and guardrails have bounds, too: one beyond the end of time would make every tick fail.
SELECT flagscope.create_flag('g');
SELECT s, pg_temp.try(s) FROM unnest(ARRAY[
    $$SELECT flagscope.create_rollout('g', follow_up => '100000000 days')$$,
    $$SELECT flagscope.create_rollout('g', cooldown => '100000000 days')$$,
    $$SELECT flagscope.create_rollout('g', min_duration => '100000000 days')$$,
    $$UPDATE flagscope.guardrail SET stale_after = '100000000 days'$$,
    $$UPDATE flagscope.guardrail SET grace = '100000000 days'$$,
    $$UPDATE flagscope.guardrail SET time_window = '100000000 days'$$,
    $$SELECT flagscope.create_rollout('g', follow_up => '36500 days', cooldown => '36500 days',
        min_duration => '36500 days')$$,
    $$UPDATE flagscope.guardrail SET stale_after = '36500 days', grace = '36500 days'$$]) s;
SELECT flagscope.start_rollout(r.id, at => '2040-01-02 00:03', override => true, reason => 'unguarded') > 0 AS started
FROM flagscope.rollout r WHERE r.flag = 'g';
SELECT guardrails IS NOT NULL AS ticked FROM flagscope.tick('2040-01-02 00:04');
