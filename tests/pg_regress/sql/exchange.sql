-- flagd's documents, one file an environment: what an import changes and what it leaves; bad evaluators, variants that
-- a flag does not have, numbers that clients round; how users are split; OFREP's request bodies.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
\set VERBOSITY terse
CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
BEGIN
    EXECUTE statement;
    SET CONSTRAINTS ALL IMMEDIATE;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN format('%s %s (%s)', SQLSTATE, SQLERRM, hint);
END $$;
CREATE TEMP TABLE document (environment text, j jsonb);
INSERT INTO document VALUES
('production', '{"flags": {
    "url": {"state": "ENABLED", "variants": {"a": "https://shop.example", "b": "https://new.shop.example"},
        "defaultVariant": "a", "metadata": {"owner": "shop"}},
    "search": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
        "targeting": {"if": [{"$ref": "beta"}, "on", null]}}},
    "$evaluators": {"beta": {"==": [{"var": "plan"}, "beta"]}, "inner": {"!": [{"$ref": "beta"}]}},
        "metadata": {"flagSetId": "prod"}}'),
('staging', '{"flags": {
    "url": {"state": "ENABLED", "variants": {"a": "https://staging.example", "c": "https://c.staging.example"},
        "defaultVariant": "c", "metadata": {"owner": "qa"}},
    "search": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
        "targeting": {"if": [{"$ref": "inner"}, "off", {"$ref": "beta"}, "on", null]}},
    "fresh": {"state": "ENABLED", "variants": {"on": 1}, "defaultVariant": "on"}},
    "$evaluators": {"beta": {"==": [1, 1]}, "inner": {"!": [{"$ref": "beta"}]}, "only here": {"==": [1, 2]}},
        "metadata": {"flagSetId": "stage"}}');

-- The first file, while production is alone: what it says is everybody's.
SELECT i.* FROM document, flagscope.import_flagd(j, environment) i WHERE environment = 'production' ORDER BY 1;
SELECT name, rule FROM flagscope.segment ORDER BY 1;
SELECT flagscope.create_environment('staging');
CREATE TEMP TABLE before AS
SELECT flagscope.export_flagd('production') AS exported, max(version) AS version
FROM flagscope.flag_state WHERE environment = 'production';
SELECT exported -> 'flags' = j -> 'flags' AND exported -> 'metadata' = j -> 'metadata' AS as_it_came,
    exported #> '{flagscope,$evaluators}' = j -> '$evaluators' AS evaluators
FROM before, document WHERE environment = 'production';

-- The second file: staging has its own values, metadata and evaluators; production serves and exports what it did.
SELECT i.* FROM document, flagscope.import_flagd(j, environment) i WHERE environment = 'staging' ORDER BY 1;
SELECT e AS environment, f AS flag, c ->> 'plan' AS plan, value, variant, metadata
FROM unnest('{production,staging}'::text[]) e, unnest('{url,search}'::text[]) f,
    (VALUES ('{"plan": "beta"}'::jsonb), ('{"plan": "free"}')) x(c),
    flagscope.evaluate(f, 'u', c, e) WHERE f = 'search' OR c ->> 'plan' = 'beta' ORDER BY 1, 2, 3;
SELECT x -> 'flags' = j -> 'flags' AND x -> 'metadata' = j -> 'metadata' AS as_it_came,
    x #> '{flagscope,$evaluators}' = j -> '$evaluators' AS evaluators
FROM document, flagscope.export_flagd('staging') x WHERE environment = 'staging';
SELECT jsonb_set(exported, '{flags,fresh}', flagscope.export_flagd('production') #> '{flags,fresh}')
    = flagscope.export_flagd('production') AS untouched,
    flagscope.export_flagd('production') #>> '{flags,fresh,state}' AS new_flag FROM before;
SELECT flag, s.version <= before.version AS unchanged
FROM flagscope.flag_state s, before WHERE environment = 'production' AND flag <> 'fresh' ORDER BY 1;
SELECT s.flag, s.environment, s.variants, s.metadata
FROM flagscope.flag_state s WHERE s.variants IS NOT NULL OR s.metadata IS NOT NULL ORDER BY 1, 2;
SELECT key, segments FROM flagscope.environment_definition ORDER BY 1;
-- History knows what each environment served.
SELECT environment, definition #>> '{variants,a}' AS a, definition #> '{segments,beta}' AS beta
FROM flagscope.flag_state_history WHERE flag = 'url' AND upper_inf(valid) ORDER BY 1;
SELECT e AS environment, value, variant
FROM unnest('{production,staging}'::text[]) e, flagscope.evaluate_as_of('url', 'u', NULL, e, clock_timestamp())
ORDER BY 1;
-- Importing again changes nothing; what is the same in both is everybody's again.
SELECT count(*) FILTER (WHERE NOT imported) AS refused FROM document, flagscope.import_flagd(j, environment) i;
SELECT exported #- '{flags,fresh}' = flagscope.export_flagd('production') #- '{flags,fresh}' AS untouched FROM before;
SELECT i.* FROM document, flagscope.import_flagd(j, 'staging') i WHERE environment = 'production' ORDER BY 1;
SELECT count(*) FILTER (WHERE variants IS NOT NULL OR metadata IS NOT NULL) AS own FROM flagscope.flag_state;
SELECT segments FROM flagscope.environment_definition WHERE key = 'staging';
SELECT i.imported FROM document, flagscope.import_flagd(j, 'staging') i WHERE environment = 'staging' ORDER BY flag;
-- A flag that nobody else uses yet is changed for everybody, so that it is not stale where it is switched on later.
SELECT i.* FROM flagscope.import_flagd(
    '{"flags": {"fresh": {"state": "ENABLED", "variants": {"on": 2}, "defaultVariant": "on"}}}', 'staging') i;
SELECT variants FROM flagscope.flag_definition WHERE key = 'fresh';

-- Types, bucketing, schema and the archive are everybody's: a document that wants others is refused for that flag,
-- says why, and changes nothing.
UPDATE flagscope.flag_definition SET value_schema = '{"type": "string"}' WHERE key = 'url';
CREATE TEMP TABLE state AS
SELECT to_jsonb(s) AS state, to_jsonb(f) AS flag
FROM flagscope.flag_state s JOIN flagscope.flag_definition f ON f.key = s.flag;
SELECT i.* FROM flagscope.import_flagd('{"flags": {
    "url": {"state": "ENABLED", "variants": {"a": 1}, "defaultVariant": "a"},
    "search": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on",
        "targeting": {"fractional": [["on", 1], ["off", 1]]}}},
    "flagscope": {"flags": {"search": {"bucketing": "v3"}}}}', 'staging') i ORDER BY 1;
SELECT i.* FROM flagscope.import_flagd('{"flags": {"url": {"state": "ENABLED", "variants": {"a": "x"},
     "defaultVariant": "a"}}, "flagscope": {"flags": {"url": {"schema": {"maxLength": 3}}}}}',
    'staging') i;
SELECT count(*) AS changed
FROM (SELECT to_jsonb(s), to_jsonb(f) FROM flagscope.flag_state s JOIN flagscope.flag_definition f ON f.key = s.flag
    EXCEPT SELECT * FROM state) x;
SELECT flagscope.archive_flag('url');
SELECT i.* FROM document,
    flagscope.import_flagd(jsonb_build_object('flags', jsonb_build_object('url', j #> '{flags,url}')), 'staging') i
WHERE environment = 'staging';
SELECT flagscope.unarchive_flag('url');

-- By hand: the same columns, with the same checks.
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    $$UPDATE flagscope.flag_state SET variants = '{"a": 7}' WHERE flag = 'url' AND environment = 'staging'$$,
    $$UPDATE flagscope.flag_state SET variants = '{}' WHERE flag = 'url' AND environment = 'staging'$$,
    $$UPDATE flagscope.flag_state SET variants = '{"b": "x"}' WHERE flag = 'url' AND environment = 'staging'$$,
    $$UPDATE flagscope.flag_state SET metadata = '[]' WHERE flag = 'url' AND environment = 'staging'$$,
    $$SELECT flagscope.start_rollout(flagscope.create_rollout('url', 'b', 'a', environment => 'staging'),
        reason => 'x')$$,
    $$SELECT flagscope.set_prerequisites('fresh', '[{"flag": "url", "variant": "b"}]', 'staging')$$,
    $$UPDATE flagscope.environment_definition SET segments = '{"beta": {"no_such_op": 1}}' WHERE key = 'staging'$$,
    $$DELETE FROM flagscope.segment WHERE name = 'beta'$$,
    $$SELECT flagscope.create_segment('only here', 'true', environment => 'staging')$$]) s;
SELECT flagscope.create_segment('mine', '{"==": [{"var": "plan"}, "mine"]}', environment => 'staging');
SELECT e AS environment, c.problem
FROM unnest('{production,staging}'::text[]) e
    LEFT JOIN LATERAL flagscope.check_targeting('{"if": [{"$ref": "mine"}, "a"]}', environment => e) c ON true
ORDER BY 1;
-- A rollout there serves staging's variants, and telemetry counts them.
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "request"}', '{"is_error": true}');
SELECT flagscope.create_guardrail('url', 'errors', environment => 'staging');
SELECT jsonb_path_query_array(_flagscope.configuration(), '$.watches[*] ? (@.flag == "url").variants') AS counted;

-- An admin who is no superuser imports, too.
CREATE ROLE exchange_admin;
SELECT flagscope.grant_admin('exchange_admin');
GRANT SELECT ON document TO exchange_admin;
SET ROLE exchange_admin;
SELECT i.* FROM document, flagscope.import_flagd(j, environment) i WHERE environment = 'staging' AND flag = 'search';
UPDATE flagscope.flag_state SET metadata = '{"owner": "ops"}' WHERE flag = 'url' AND environment = 'staging';
RESET ROLE;
DROP OWNED BY exchange_admin;
DROP ROLE exchange_admin;

-- One bad evaluator fails alone, with the flags that need it; a variant that the flag does not have is told;
-- so are numbers that clients round.
SELECT * FROM flagscope.import_flagd('{"flags": {"good": {"state": "ENABLED", "variants": {"on": true},
    "defaultVariant": "on"},
    "needs it": {"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on",
        "targeting": {"if": [{"$ref": "bad"}, "on"]}},
    "gone": {"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on",
        "targeting": {"if": [{"var": "x"}, "old", {"fractional": [["on", 1], ["older", 1], ["oldest", 0]]}]}},
    "big": {"state": "ENABLED", "variants": {"a": 9007199254740993}, "defaultVariant": "a"}},
    "$evaluators": {"unused": {"no_such_op": [1]}, "bad": {"!": [{"$ref": "unused"}]},
        "fine": {"==": [1, 1]}}}') ORDER BY flag NULLS FIRST;
SELECT segments ? 'fine' AS fine, segments ? 'unused' AS unused
FROM flagscope.environment_definition WHERE key = 'production';
SELECT flagscope.create_flag('big', '{"a": 9007199254740993, "b": 0.5}', 'a', 'number');
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    $$SELECT flagscope.set_targeting('good', '{"if": [{"var": "x"}, "off"]}')$$,
    $$SELECT flagscope.set_targeting('good', '{"==": [{"var": "x"}, 1]}')$$,
    $$SELECT flagscope.set_targeting('good',
        '{"if": [{"var": "x"}, {"var": "variant"}, {"or": [{"var": "y"}, "on"]}]}')$$,
    $$UPDATE flagscope.flag_definition SET variants = '{"a": 1}' WHERE key = 'big';
        SELECT flagscope.set_targeting('big', '"a"')$$]) s;
SELECT * FROM flagscope.check_targeting(
    '{"if": [{"var": "x"}, "off", {"$ref": "fine"}, {"and": [{"var": "y"}, "on"]}]}', 'good');
-- Nor can a variant go that targeting serves.
SELECT flagscope.create_flag('kept', '{"off": 0, "on": 1, "spare": 2}', 'off', 'integer');
SELECT flagscope.set_targeting('kept', '{"if": [{"var": "x"}, "on"]}') > 0 AS set;
SELECT pg_temp.refused(s)
FROM unnest(ARRAY[$$UPDATE flagscope.flag_definition SET variants = variants - 'on' WHERE key = 'kept'$$,
    $$UPDATE flagscope.flag_definition SET variants = variants - 'spare' WHERE key = 'kept'$$]) s;

-- Bucketing: by argument, by setting, kept by flags that exist; a document that says none takes the setting.
SELECT flagscope.create_flag('split v2'), flagscope.create_flag('split v3', bucketing => 'v3');
SET flagscope.bucketing = 'v3';
SELECT flagscope.create_flag('by setting'), flagscope.create_flag('against it', bucketing => 'v2');
SELECT imported FROM flagscope.import_flagd('{"flags": {"imported": {"state": "ENABLED", "variants": {"on": true},
    "defaultVariant": "on"}, "split v2": {"state": "ENABLED", "variants": {"on": true, "off": false},
    "defaultVariant": "off",
    "targeting": {"fractional": [["on", 1], ["off", 1]]}}}}');
SELECT key, bucketing FROM flagscope.flag_definition
WHERE key IN ('split v2', 'split v3', 'by setting', 'against it', 'imported') ORDER BY key;
SELECT * FROM flagscope.check_export();
SELECT flagscope.set_targeting('split v3', '{"fractional": [["on", 1], ["off", 1]]}') > 0 AS set;
SELECT * FROM flagscope.check_export();
-- What an export splits by goes with it, whatever the setting is there.
SELECT flagscope.export_flagd() #> '{flagscope,flags}' AS said;
SET flagscope.bucketing = 'v4';
RESET flagscope.bucketing;
SELECT count(*) FILTER (WHERE e.variant <> f.variant) > 0 AS they_differ
FROM generate_series(1, 100) n, flagscope.evaluate('split v2', 'u' || n) e, flagscope.evaluate('split v3', 'u' || n) f;

-- OFREP: the body that clients post, or its context.
SELECT flagscope.create_flag('asked', '{"pro": 1, "none": 0}', 'none', 'integer');
SELECT flagscope.set_targeting('asked',
    '{"if": [{"==": [{"var": "plan"}, "pro"]}, "pro", {"==": [{"var": "context.plan"}, "pro"]}, "pro"]}') > 0 AS set;
SELECT b, flagscope.ofrep_evaluate('asked', b::jsonb) ->> 'variant' AS variant,
    (SELECT f ->> 'variant' FROM jsonb_array_elements(flagscope.ofrep_evaluate_all(b::jsonb) -> 'flags') f
        WHERE f ->> 'key' = 'asked') AS in_bulk
FROM unnest(ARRAY['{"context": {"targetingKey": "u", "plan": "pro"}}', '{"context": {"plan": "pro"}}',
    '{"targetingKey": "u", "plan": "pro"}', '{"context": {"targetingKey": "u", "plan": "free"}, "plan": "pro"}',
    '{"targetingKey": "u", "context": {"plan": "pro"}}', '{"context": null}', '{}']) b;
SELECT flagscope.ofrep_evaluate('split v2', '{"context": {"targetingKey": "u3"}}')
    = flagscope.ofrep_evaluate('split v2', '{"targetingKey": "u3"}') AS same_bucket,
    flagscope.ofrep_evaluate('split v2', '{"context": {"targetingKey": "u3"}}') ->> 'reason' AS reason;
