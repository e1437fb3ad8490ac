-- Targeting, segments, prerequisites; typed answers, OFREP, explanations, the past;
-- flagd's documents out and in; pollers.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    SET CONSTRAINTS ALL IMMEDIATE;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN format('%s %s', SQLSTATE, SQLERRM);
END $$;

-- A rule decides by context; null is the default variant; what names no variant is an error.
SELECT flagscope.create_environment('staging', '{stage}');
SELECT flagscope.create_flag('cart', '{"old": "v1", "new": "v2", "beta": "v3"}', 'old', 'string',
    metadata => '{"team": "shop", "tier": 1}');
SELECT flagscope.set_targeting('cart',
    '{"if": [{"==": [{"var": "plan"}, "pro"]}, "new", {"==": [{"var": "plan"}, "odd"]}, {"cat": ["non", "sense"]},
     {"in": ["@example.com", {"var": ["email", ""]}]}, "beta", null]}') > 0 AS set;
SELECT c, e.* FROM unnest('{NULL,"{\"plan\": \"pro\"}","{\"plan\": \"odd\"}","{\"email\": \"ann@example.com\"}",'
    '"{\"email\": 7}","{\"plan\": [\"pro\"]}",[]}'::text[]) WITH ORDINALITY c(c, i),
    flagscope.evaluate('cart', 'ann', c::jsonb) e ORDER BY i;
-- Elsewhere it has none; NULL and JSON's null take it away.
SELECT variant, reason FROM flagscope.evaluate('cart', 'ann', '{"plan": "pro"}', 'stage');
BEGIN;
SELECT flagscope.set_targeting('cart', NULL) > 0 AS set;
SELECT variant, reason FROM flagscope.evaluate('cart', 'ann', '{"plan": "pro"}');
ROLLBACK;
BEGIN;
SELECT flagscope.set_targeting('cart', 'null', 'prod') > 0 AS set;
SELECT variant, reason FROM flagscope.evaluate('cart', 'ann', '{"plan": "pro"}');
ROLLBACK;
SELECT variant, reason FROM flagscope.evaluate('cart', 'ann', '{"plan": "pro"}');
PREPARE asked AS SELECT variant FROM flagscope.evaluate('cart', 'ann', '{"plan": "pro"}');
EXECUTE asked;
UPDATE flagscope.flag_state
SET targeting = '{"if": [{"==": [{"var": "plan"}, "pro"]}, "beta"]}' WHERE (flag, environment) = ('cart', 'production');
EXECUTE asked;

-- check_targeting says what is wrong and where; the same problems keep a rule out.
SELECT r, c.*
FROM unnest(ARRAY['{"if": [true, "new"]}', '7', '"new"', '{"nonsense": [1]}', '{"if": [{"==": [1]}, "a"]}',
    '{"if": [true, {"fractional": []}]}', '{"if": [{"$ref": "nobody"}, "a"]}',
    '{"==": [1, 1], "!=": [1, 2]}', '{}', '{"sem_ver": [{"var": "v"}, "<>", "1.0.0"]}',
    '{"fractional": [["a", 1.5], ["b", -1]]}', '{"starts_with": ["a"]}',
    '{"fractional": [["a", 2147483647], ["b", 1]]}']) WITH ORDINALITY r(r, i)
    LEFT JOIN LATERAL flagscope.check_targeting(r::jsonb) c ON true ORDER BY i, path;
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    $$SELECT flagscope.set_targeting('cart', '{"nonsense": [1]}')$$,
    $$UPDATE flagscope.flag_state SET targeting = '{"if": [{"$ref": "nobody"}, "new"]}' WHERE flag = 'cart'$$,
    $$SELECT flagscope.set_targeting('nobody', '{"if": [true, "new"]}')$$,
    $$SELECT flagscope.set_targeting('cart', '{"if": [true, "new"]}', 'mars')$$,
    $$SELECT flagscope.set_targeting('cart', (repeat('{"!": [', 200) || 'true' || repeat(']}', 200))::jsonb)$$,
    $$SELECT flagscope.set_targeting('cart',
        jsonb_build_object('in', jsonb_build_array('x', repeat('y', 1048577))))$$]) s;

-- A segment stands for its rule in every flag; a changed one counts at once and gives new versions; one in use stays.
SELECT flagscope.create_segment('staff', '{"ends_with": [{"var": "email"}, "@example.com"]}', description => 'us');
SELECT flagscope.create_segment('testers', '{"or": [{"$ref": "staff"}, {"var": "tester"}]}');
SELECT flagscope.create_flag('search');
SELECT flagscope.set_targeting('search', '{"if": [{"$ref": "testers"}, "on"]}') > 0 AS set;
CREATE TEMP TABLE version AS SELECT flag, version FROM flagscope.flag_state WHERE environment = 'production';
SELECT c, variant, reason FROM unnest('{"{\"email\": \"ann@example.com\"}","{\"email\": \"ann@example.org\"}",'
    '"{\"tester\": true}"}'::text[]) WITH ORDINALITY c(c, i), flagscope.evaluate('search', 'ann', c::jsonb) ORDER BY i;
UPDATE flagscope.segment SET rule = '{"ends_with": [{"var": "email"}, "@example.org"]}' WHERE name = 'staff';
SELECT c, variant, reason FROM unnest('{"{\"email\": \"ann@example.com\"}","{\"email\": \"ann@example.org\"}",'
    '"{\"tester\": true}"}'::text[]) WITH ORDINALITY c(c, i), flagscope.evaluate('search', 'ann', c::jsonb) ORDER BY i;
SELECT s.flag, s.version > v.version AS renewed
FROM flagscope.flag_state s JOIN version v USING (flag) WHERE environment = 'production' ORDER BY 1;
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    $$DELETE FROM flagscope.segment WHERE name = 'staff'$$,
    $$UPDATE flagscope.segment SET name = 'crew' WHERE name = 'testers'$$,
    $$UPDATE flagscope.segment SET rule = '{"$ref": "testers"}' WHERE name = 'staff'$$,
    $$SELECT flagscope.create_segment('broken', '{"nonsense": []}')$$,
    $$SELECT flagscope.create_segment('lost', '{"$ref": "nobody"}')$$,
    $$SELECT flagscope.create_segment('staff', '{"var": "x"}')$$]) s;
SELECT flagscope.create_segment('idle', '{"var": "x"}');
DELETE FROM flagscope.segment WHERE name = 'idle';

-- Prerequisites: another flag must serve a variant, else the default; a cycle is refused when the transaction ends.
SELECT flagscope.create_flag('checkout', default_variant => 'off');
SELECT flagscope.set_targeting('checkout', '{"if": [true, "on"]}') > 0 AS set;
SELECT flagscope.set_prerequisites('checkout',
    '[{"flag": "search", "variant": "on"}, {"flag": "cart", "variant": "beta"}]') > 0 AS set;
SELECT c, e.variant, e.reason, flagscope.explain_evaluation('checkout', 'ann', c::jsonb) -> 'words' AS words
FROM unnest('{NULL,"{\"tester\": true}","{\"plan\": \"pro\"}",'
    '"{\"tester\": true, \"plan\": \"pro\"}"}'::text[]) WITH ORDINALITY c(c, i),
    flagscope.evaluate('checkout', 'ann', c::jsonb) e ORDER BY i;
BEGIN;
SELECT flagscope.disable_flag('search') > 0 AS disabled;
SELECT variant, reason FROM flagscope.evaluate('checkout', 'ann', '{"tester": true, "plan": "pro"}');
ROLLBACK;
BEGIN;
SELECT flagscope.set_prerequisites('search', '[{"flag": "checkout", "variant": "on"}]') > 0 AS set;
COMMIT;
BEGIN;
SELECT flagscope.set_prerequisites('search', '[{"flag": "checkout", "variant": "on"}]') > 0 AS set;
SELECT flagscope.set_prerequisites('checkout', NULL) > 0 AS set;
SET CONSTRAINTS ALL IMMEDIATE;
ROLLBACK;
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    $$SELECT flagscope.set_prerequisites('cart', '[{"flag": "cart", "variant": "new"}]')$$,
    $$SELECT flagscope.set_prerequisites('cart', '[{"flag": "nobody", "variant": "on"}]')$$,
    $$SELECT flagscope.set_prerequisites('cart', '[{"flag": "search", "variant": "sideways"}]')$$,
    $$SELECT flagscope.set_prerequisites('cart', '{"search": "on"}')$$,
    $$SELECT flagscope.set_prerequisites('cart', '[{"flag": "search"}]')$$,
    $$SELECT flagscope.set_prerequisites('nobody', '[]')$$]) s;

-- Typed answers: the value, else the caller's default; NULL is a default too.
SELECT flagscope.create_flag('limit', '{"low": 10, "high": 100}', 'low', 'integer'),
    flagscope.create_flag('ratio', '{"half": 0.5, "one": 1}', 'half', 'number'),
    flagscope.create_flag('theme', '{"dark": {"bg": "#000"}, "light": {"bg": "#fff"}}', 'dark', 'object'),
    flagscope.create_flag('gone', enabled => false), flagscope.create_flag('open', default_variant => NULL);
SELECT f AS flag, flagscope.evaluate_boolean(f, 'u', true) AS b, flagscope.evaluate_string(f, 'u', 'mine') AS s,
    flagscope.evaluate_integer(f, 'u', -1) AS i, flagscope.evaluate_number(f, 'u', -0.5) AS n,
    flagscope.evaluate_object(f, 'u', '{"my": "own"}') AS o, flagscope.evaluate_boolean(f, 'u', NULL) AS none
FROM unnest('{search,cart,limit,ratio,theme,gone,open,nobody}'::text[]) WITH ORDINALITY f(f, i) ORDER BY f.i;
SELECT flagscope.evaluate_boolean('search', NULL, false, '{"tester": true}'),
    flagscope.evaluate_boolean('search', NULL, true, environment => 'stage'),
    flagscope.evaluate_string('cart', 'u', 'mine', '[]');
SELECT * FROM flagscope.evaluate_all('ann', '{"plan": "pro", "tester": true}');

-- OFREP 0.3.0, exactly.
SELECT flagscope.ofrep_evaluate(f, c::jsonb)
FROM (VALUES ('cart', '{"targetingKey": "ann", "plan": "pro"}'), ('search', NULL), ('gone', '{}'), ('open', '{}'),
    ('nobody', '{}'), ('cart', '[]'), ('theme', '{}')) v(f, c);
SELECT jsonb_pretty(flagscope.ofrep_evaluate_all('{"targetingKey": "ann", "plan": "pro"}'));

-- Why: the step, the rule's result, the bucket.
SELECT flagscope.create_flag('ramp');
SELECT flagscope.start_rollout(flagscope.create_rollout('ramp', stages => '{25,100}'),
    override => true, reason => 'unguarded');
SELECT flagscope.create_flag('split');
SELECT flagscope.set_targeting('split',
    '{"if": [{"var": "beta"}, {"fractional": [["on", 1], ["off", 3]]}]}') > 0 AS set;
SELECT f AS flag, k, c, flagscope.explain_evaluation(f, k, c::jsonb)
FROM (VALUES ('ramp', 'ann', NULL), ('ramp', NULL, NULL), ('split', 'ann', '{"beta": true}'), ('split', 'ann', '{}'),
    ('cart', 'ann', '{"plan": "pro"}'), ('cart', 'ann', NULL),
    ('limit', 'ann', NULL), ('gone', 'ann', NULL), ('open', 'ann', NULL), ('nobody', 'ann', NULL)) v(f, k, c);

-- Who got what at a time in the past: after rule, variants, segment, percent and prerequisites have changed.
CREATE TEMP TABLE past (moment text PRIMARY KEY, at timestamptz, answers jsonb);
CREATE FUNCTION pg_temp.answers() RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_object_agg(f || ' ' || k || ' ' || c, to_jsonb(e) - 'metadata')
    FROM unnest('{cart,search,checkout,ramp,split,limit}'::text[]) f, generate_series(1, 40) k,
        unnest(ARRAY['{}', '{"plan": "pro", "tester": true, "beta": true}']) c,
        LATERAL flagscope.evaluate(f, 'user-' || k, c::jsonb) e
$$;
CREATE FUNCTION pg_temp.note(moment text) RETURNS text LANGUAGE sql AS $$
    INSERT INTO past SELECT moment, clock_timestamp(), pg_temp.answers(); SELECT pg_sleep(0.002); SELECT moment $$;
SELECT pg_temp.note('start');
UPDATE flagscope.flag_definition SET variants = variants || '{"beta": "v3 improved", "gamma": "v4"}' WHERE key = 'cart';
SELECT pg_temp.note('other variants');
SELECT flagscope.set_targeting('cart', '{"if": [{"var": "beta"}, "gamma", "new"]}') > 0 AS set;
SELECT pg_temp.note('other rule');
UPDATE flagscope.segment SET rule = '{"!": [{"var": "tester"}]}' WHERE name = 'testers';
SELECT pg_temp.note('other segment');
SELECT flagscope.advance_rollout(1);
SELECT pg_temp.note('ramp at 100');
SELECT flagscope.set_prerequisites('checkout', '[{"flag": "limit", "variant": "high"}]') > 0 AS set;
SELECT pg_temp.note('another prerequisite');
SELECT flagscope.set_default_variant('limit', 'high') > 0 AS set;
SELECT pg_temp.note('prerequisite met');
UPDATE flagscope.flag_definition SET bucketing = 'v3' WHERE key = 'split';
SELECT pg_temp.note('other bucketing');
DELETE FROM flagscope.flag_definition WHERE key = 'split';
SELECT pg_temp.note('split deleted');
SELECT p.moment, count(*) AS answers, count(*) FILTER (WHERE to_jsonb(e) - 'metadata' = a.value) AS same,
    (SELECT count(*) FROM jsonb_each(p.answers) x, jsonb_each(before.answers) y
        WHERE x.key = y.key AND x.value <> y.value) AS changed
FROM past p, LATERAL jsonb_each(p.answers) a, LATERAL regexp_split_to_array(a.key, ' ') WITH ORDINALITY w(w, o),
    LATERAL flagscope.evaluate_as_of(w[1], 'user-' || w[2], array_to_string(w[3:], ' ')::jsonb, at => p.at) e
    LEFT JOIN LATERAL (SELECT b.answers FROM past b WHERE b.at < p.at ORDER BY b.at DESC LIMIT 1) before ON true
GROUP BY p.moment, p.at, p.answers, before.answers ORDER BY p.at;
SELECT value, variant, reason, error_code FROM flagscope.evaluate_as_of('cart', 'ann', at => '2000-01-01');
SELECT error_code FROM flagscope.evaluate_as_of('cart', 'ann', NULL, 'stage', now());

-- Out and in again: the same definitions, in another environment and after all was dropped;
-- exported again: the same document.
SELECT flagscope.create_flag('split', '{"on": 1, "off": 0}', 'off', 'number',
    metadata => '{"owner": "ann", "list": [1]}');
UPDATE flagscope.flag_definition SET bucketing = 'v3' WHERE key = 'split';
UPDATE flagscope.environment_definition SET metadata = '{"set": "shop"}' WHERE key = 'production';
SELECT flagscope.set_targeting('split', '{"if": [{"$ref": "testers"}, "on"]}') > 0 AS set;
SELECT flagscope.disable_flag('theme') > 0 AS disabled;
SELECT jsonb_pretty(flagscope.export_flagd());
SELECT * FROM flagscope.check_export();
-- Its type, bucketing, prerequisites and metadata come back, too; a live rollout as a part of the rule:
-- everyone keeps the variant.
CREATE TEMP TABLE exported AS SELECT flagscope.export_flagd() AS document;
CREATE TEMP TABLE answered AS SELECT pg_temp.answers() AS answers;
SELECT i.* FROM exported, flagscope.import_flagd(document, 'stage') i;
SELECT again - 'flagscope' = document - 'flagscope' AS same_for_flagd,
    again #- '{flagscope,flags,ramp}' = document #- '{flagscope,flags,ramp}' AS same_but_the_rollout
FROM exported, LATERAL (SELECT flagscope.export_flagd('stage') AS again) x;
-- Into the environment itself: a live rollout is not touched, nothing else changes.
CREATE TEMP TABLE before AS
SELECT flagscope.export_flagd() AS document, max(version) AS version FROM flagscope.flag_state;
SELECT i.* FROM exported, flagscope.import_flagd(document) i WHERE NOT imported OR problem IS NOT NULL;
SELECT flagscope.export_flagd() = document AS same FROM before;
-- Into an empty database.
SELECT pg_temp.refused('DELETE FROM flagscope.rollout');
SELECT flagscope.rollback_rollout(1) > 0 AS rolled_back;
DELETE FROM flagscope.rollout;
DELETE FROM flagscope.flag_definition;
DELETE FROM flagscope.segment;
DELETE FROM flagscope.environment_definition WHERE key = 'staging';
UPDATE flagscope.environment_definition SET metadata = '{}';
SELECT flagscope.export_flagd();
SELECT count(*) FILTER (WHERE imported) AS imported, count(*) FROM exported, flagscope.import_flagd(document);
SELECT flagscope.export_flagd() #- '{flagscope,flags,ramp}' = document #- '{flagscope,flags,ramp}' AS same,
    pg_temp.answers() = answers AS same_answers
FROM exported, answered;
SELECT key, value_type, bucketing, metadata FROM flagscope.flag_definition WHERE key IN ('split', 'limit') ORDER BY key;
SELECT prerequisites FROM flagscope.flag_state WHERE flag = 'checkout';

-- Bad flags among good ones: each for itself, wholly or not at all.
SELECT * FROM flagscope.import_flagd('{"flags": {
    "good": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on", "metadata": {"a": 1}},
    "odd state": {"state": "MAYBE", "variants": {"on": true}, "defaultVariant": "on"},
    "no variants": {"state": "ENABLED", "variants": {}, "defaultVariant": "on"},
    "mixed": {"state": "ENABLED", "variants": {"on": true, "off": "no"}, "defaultVariant": "on"},
    "lost default": {"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "off"},
    "bad rule": {"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on", "targeting": {"nonsense": [1]}},
    "odd rule": {"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on",
        "targeting": {"if": [{"sem_ver": [{"var": "v"}, "<>", "1"]}, "on"]}},
    "lost segment": {"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on",
        "targeting": {"if": [{"$ref": "nobody"}, "on"]}},
    "limit": {"state": "ENABLED", "variants": {"low": "ten"}, "defaultVariant": "low"},
    "cart": {"state": "DISABLED", "variants": {"only": "v9"}, "defaultVariant": "only"},
    "by segment": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
        "targeting": {"if": [{"$ref": "fresh"}, "on"]}},
    "nothing": 7, "": {"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on"}},
    "$evaluators": {"fresh": {"var": "x"}}, "metadata": {"set": "other"}}') ORDER BY flag;
SELECT key, value_type, variants, metadata
FROM flagscope.flag_definition WHERE key IN ('limit', 'cart', 'good', 'by segment', 'odd rule') ORDER BY key;
SELECT variant, reason, metadata FROM flagscope.evaluate('by segment', 'u', '{"x": 1}');
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    $$SELECT * FROM flagscope.import_flagd('[]')$$,
    $$SELECT * FROM flagscope.import_flagd('{"flag": {}}')$$,
    $$SELECT * FROM flagscope.import_flagd('{"flags": 7}')$$,
    $$SELECT * FROM flagscope.import_flagd('{"flags": {}}', 'mars')$$,
    $$SELECT * FROM flagscope.import_flagd((repeat('{"flags": ', 300) || '1' || repeat('}', 300))::jsonb)$$,
    $$SELECT flagscope.evaluate_object('theme', 'u', (repeat('[', 300) || repeat(']', 300))::jsonb)$$]) s;

-- Values held to a JSON Schema: with the flag, with every change, out and in again.
SELECT flagscope.create_flag('banner',
    '{"calm": {"color": "#08f"}, "loud": {"color": "#f00", "size": 3}}', 'calm', 'object',
    value_schema => '{"required": ["color"], "properties": {"color": {"type": "string"}, "size": {"type": "integer",
         "maximum": 5}}}');
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    $$UPDATE flagscope.flag_definition SET variants = variants || '{"loud": {"size": 9}}' WHERE key = 'banner'$$,
    $$UPDATE flagscope.flag_definition SET value_schema = '{"required": ["text"]}' WHERE key = 'banner'$$,
    $$UPDATE flagscope.flag_definition SET value_schema = '{"type": "colour"}' WHERE key = 'banner'$$,
    $$UPDATE flagscope.flag_definition
        SET value_schema = '{"$ref": "https://example.com/schema.json"}' WHERE key = 'banner'$$,
    $$SELECT flagscope.create_flag('size', '{"s": 1, "xl": 9}', 's', 'integer', value_schema => '{"maximum": 5}')$$]) s;
UPDATE flagscope.flag_definition
SET variants = variants || '{"loud": {"color": "#f00", "size": 5}}' WHERE key = 'banner';
CREATE TEMP TABLE with_schema AS SELECT flagscope.export_flagd() AS document;
SELECT document #> '{flagscope,flags,banner}' AS kept FROM with_schema;
DELETE FROM flagscope.flag_definition WHERE key = 'banner';
SELECT i.* FROM with_schema, flagscope.import_flagd(document) i WHERE flag = 'banner';
SELECT f.value_schema, flagscope.export_flagd() = w.document AS same
FROM flagscope.flag_definition f, with_schema w WHERE key = 'banner';
SELECT i.*
FROM with_schema, flagscope.import_flagd(jsonb_set(document, '{flags,banner,variants,calm}', '{"size": 9}')) i
WHERE flag = 'banner';

-- Put away: callers get their own default; not while another flag needs it or a rollout is live.
SELECT flagscope.archive_flag('banner');
SELECT archived_at IS NOT NULL AS archived FROM flagscope.flag_definition WHERE key = 'banner';
SELECT reason, flagscope.evaluate_object('banner', 'u', '{"my": "own"}') AS object
FROM flagscope.evaluate('banner', 'u');
SELECT flagscope.export_flagd() #> '{flags,banner}' AS exported;
SELECT flagscope.unarchive_flag('banner');
SELECT variant, reason FROM flagscope.evaluate('banner', 'u');
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    $$SELECT flagscope.archive_flag('limit')$$,
    $$DELETE FROM flagscope.flag_definition WHERE key = 'limit'$$,
    $$UPDATE flagscope.flag_state SET default_variant = 'low' WHERE flag = 'limit';
        UPDATE flagscope.flag_definition SET variants = variants - 'high' WHERE key = 'limit'$$,
    $$SELECT flagscope.start_rollout(flagscope.create_rollout('search'), reason => 'a test', override => true);
        SELECT flagscope.archive_flag('search')$$,
    $$SELECT flagscope.archive_flag('nobody')$$]) s;

-- Numbers that PostgreSQL stores and no double holds.
SELECT * FROM flagscope.check_targeting('{"==": [{"var": "x"}, 1e400]}');
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    $$SELECT * FROM flagscope.import_flagd('{"flags": {"big": {"state": "ENABLED", "variants": {"on": 1e400},
         "defaultVariant": "on"}}}')$$,
    $$SELECT flagscope.evaluate_object('nobody', 'u', '{"x": 1e400}')$$,
    $$SELECT flagscope.create_flag('big', '{"on": 1e400}', 'on', 'number')$$]) s;
SELECT error_code FROM flagscope.evaluate('good', 'u', '{"x": 1e400}');

-- For those who cannot LISTEN: a cursor, and what changed since.
CREATE TEMP TABLE poll AS SELECT max(cursor) AS cursor FROM flagscope.flag_changes();
SELECT count(*) AS none FROM flagscope.flag_changes((SELECT cursor FROM poll));
SELECT flagscope.disable_flag('good') > 0 AS done;
SELECT flagscope.enable_flag('good') > 0 AS done;
SELECT flagscope.set_default_variant('limit', 'low') > 0 AS done;
SELECT flag, environment, definition -> 'enabled' AS enabled, definition ->> 'default_variant' AS default_variant
FROM flagscope.flag_changes((SELECT cursor FROM poll));
UPDATE poll SET cursor = (SELECT max(c.cursor) FROM flagscope.flag_changes(poll.cursor) c);
SELECT count(*) AS none FROM flagscope.flag_changes((SELECT cursor FROM poll));

-- An application's role: it asks, and cannot change anything.
CREATE ROLE targeting_writer;
SELECT flagscope.grant_writer('targeting_writer');
SET ROLE targeting_writer;
SELECT variant FROM flagscope.evaluate('by segment', 'u', '{"x": 1}');
SELECT flagscope.evaluate_boolean('good', 'u', false), flagscope.evaluate_string('cart', 'u', 'mine'),
    flagscope.evaluate_integer('limit', 'u', 0), flagscope.evaluate_number('split', 'u', 0),
    flagscope.evaluate_object('theme', 'u', '{}');
SELECT count(*) FROM flagscope.evaluate_all('u');
SELECT flagscope.ofrep_evaluate('good'), jsonb_array_length(flagscope.ofrep_evaluate_all() -> 'flags') AS flags,
    flagscope.explain_evaluation('good', 'u') ->> 'step' AS step;
SELECT variant FROM flagscope.evaluate_as_of('good', 'u', at => clock_timestamp());
SELECT (SELECT count(*) FROM jsonb_object_keys(flagscope.export_flagd() -> 'flags')) AS exported,
    (SELECT count(*) FROM flagscope.check_export()) AS problems,
    (SELECT count(*) FROM flagscope.flag_changes()) AS changes;
SELECT variant FROM flagscope.expose('good', 'u');
SELECT pg_temp.refused(s) FROM unnest(ARRAY[
    $$SELECT * FROM flagscope.flag_definition$$,
    $$SELECT * FROM flagscope.segment$$,
    $$SELECT flagscope.set_targeting('good', NULL)$$,
    $$SELECT flagscope.set_prerequisites('good', '[]')$$,
    $$SELECT flagscope.create_segment('mine', '{}')$$,
    $$SELECT * FROM flagscope.import_flagd('{"flags": {}}')$$]) s;
RESET ROLE;
DROP OWNED BY targeting_writer;
DROP ROLE targeting_writer;
