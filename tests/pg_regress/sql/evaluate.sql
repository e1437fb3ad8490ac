-- evaluate(): value, variant, reason and error code as flagd's; whom a split serves; caches that are never stale.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never

SELECT flagscope.create_environment('staging', aliases => '{stage}');
SELECT flagscope.create_flag('bool', metadata => '{"team": "shop"}');
SELECT flagscope.create_flag('text', variants => '{"a": "A", "b": "", "long": "ä\\"}', default_variant => 'b',
    value_type => 'string');
SELECT flagscope.create_flag('int', variants => '{"small": -1, "big": 9007199254740991}', default_variant => 'big',
    value_type => 'integer');
SELECT flagscope.create_flag('num', variants => '{"x": 0.1, "y": 1e300}', default_variant => 'x',
    value_type => 'number');
SELECT flagscope.create_flag('obj', variants => '{"x": {"a": [1, null, {"b": true}]}, "empty": {}}',
    default_variant => 'x', value_type => 'object');
SELECT flagscope.create_flag('off', enabled => false);
SELECT flagscope.create_flag('no default', default_variant => NULL);
SELECT flagscope.create_flag('old');
UPDATE flagscope.flag_definition SET archived_at = now() WHERE key = 'old';
SELECT flagscope.create_flag('half');
SELECT flagscope.create_rollout('half', stages => ARRAY[50, 100]);
SELECT flagscope.start_rollout(1, override => true, reason => 'unguarded');
UPDATE flagscope.flag_state SET enabled = true, default_variant = 'on' WHERE (flag, environment) = ('bool', 'staging');

SELECT f AS flag, e.*
FROM unnest('{bool,text,int,num,obj,off,no default,old,unknown,BOOL,""}'::text[]) WITH ORDINALITY f(f, i),
    flagscope.evaluate(f, 'user') e
ORDER BY i;
-- Every value is what PostgreSQL itself makes of its text, whichever way it is written.
SELECT count(j) AS answers, count(*) FILTER (WHERE jsonb_send(j) <> jsonb_send(j::text::jsonb)
    OR j <> j::text::jsonb OR jsonb_hash(j) <> jsonb_hash(j::text::jsonb)) AS different
FROM flagscope.flag_definition f, LATERAL (SELECT v.key FROM jsonb_object_keys(f.variants) v(key)) v,
    LATERAL _flagscope.evaluate_among(jsonb_build_array(to_jsonb(f)
        || jsonb_build_object('enabled', true, 'default_variant', v.key)),
        f.key, 'u', '{}', 0) e,
    unnest(ARRAY[e.value, e.metadata]) j;
-- Environments: the session's by default, by key, by alias; a flag does not exist in an unknown one.
SELECT x AS environment, variant, reason, error_code
FROM unnest('{production,prod,staging,stage,mars}'::text[]) x, flagscope.evaluate('bool', 'user', NULL, x);
SET flagscope.environment = 'stage';
SELECT variant FROM flagscope.evaluate('bool', 'user');
RESET flagscope.environment;
-- The targeting key: the argument, else the context's; without one the default variant, as flagd does.
SELECT k AS targeting_key, c AS context, variant, reason
FROM (VALUES ('u1', NULL), ('u5', NULL), (NULL, '{"targetingKey": "u1"}'), ('u5', '{"targetingKey": "u1"}'),
    (NULL, NULL), ('', NULL), (NULL, '{"targetingKey": ""}'), (NULL, '{"targetingKey": 7}'), (NULL, '[]'),
    (NULL, '"u1"'), ('u1', '{"deep": {"targetingKey": "u5"}}')) v(k, c),
    flagscope.evaluate('half', k, c::jsonb);
SELECT value, variant, reason, error_code FROM flagscope.evaluate('half', 'u1', '{"huge": 1e999}');
SELECT value, variant, reason, error_code FROM flagscope.evaluate(NULL, 'u1');

-- A split serves its share: 100,000 keys, within 4 standard deviations; two flags split independently of each other.
SELECT flagscope.create_flag('quarter', tags => '{split}'), flagscope.create_flag('third', tags => '{split}');
UPDATE flagscope.flag_definition SET bucketing = 'v3' WHERE key = 'third';
UPDATE flagscope.flag_state
SET rollout_id = 99, treatment = 'on', control = 'off', percent = CASE flag WHEN 'quarter' THEN 25 ELSE 33.333 END
WHERE flag IN ('quarter', 'third');
CREATE TEMP TABLE served AS
SELECT i, q.variant AS quarter, t.variant AS third, h.variant AS half
FROM generate_series(1, 100000) i, flagscope.evaluate('quarter', 'user-' || i) q,
    flagscope.evaluate('third', 'user-' || i) t, flagscope.evaluate('half', 'user-' || i) h;
SELECT abs(count(*) FILTER (WHERE quarter = 'on') - n * p) < 4 * sqrt(n * p * (1 - p)) AS quarter
FROM served, (VALUES (100000, 0.25)) v(n, p) GROUP BY n, p;
SELECT abs(count(*) FILTER (WHERE third = 'on') - n * p) < 4 * sqrt(n * p * (1 - p)) AS third
FROM served, (VALUES (100000, 0.33333)) v(n, p) GROUP BY n, p;
SELECT abs(count(*) FILTER (WHERE quarter = 'on' AND third = 'on') - n * p) < 4 * sqrt(n * p * (1 - p)) AS both,
    abs(count(*) FILTER (WHERE quarter = 'on' AND half = 'on') - n * q) < 4 * sqrt(n * q * (1 - q)) AS with_half
FROM served, (VALUES (100000, 0.25 * 0.33333, 0.125)) v(n, p, q) GROUP BY n, p, q;
-- Chi-square over 100 groups of keys: no run of keys is served otherwise than another (148.2:
-- 0.999 quantile, 99 degrees of freedom).
SELECT sum((on_served - 250) ^ 2 / 250 + (on_served - 250) ^ 2 / 750) < 148.2 AS even
FROM (SELECT count(*) FILTER (WHERE quarter = 'on') AS on_served
    FROM served GROUP BY i / 1000 HAVING count(*) = 1000) x;

-- Widening never moves a key out of the treatment, down to a thousandth of a percent; 0 serves nobody, 100 everybody.
CREATE TEMP TABLE ramp (percent numeric, key text, variant text);
DO $$
DECLARE
    step numeric;
BEGIN
    FOREACH step IN ARRAY '{0,0.001,0.01,0.5,1,5,12.345,25,50,75,99.999,100}'::numeric[] LOOP
        UPDATE flagscope.flag_state SET percent = step WHERE flag = 'quarter';
        INSERT INTO ramp SELECT step, 'key ' || i, e.variant
        FROM generate_series(1, 10000) i, flagscope.evaluate('quarter', 'key ' || i) e;
    END LOOP;
END $$;
SELECT count(*) AS moved_out
FROM ramp a JOIN ramp b USING (key) WHERE a.percent < b.percent AND a.variant = 'on' AND b.variant = 'off';
SELECT bool_and(abs(n - 100 * percent) <= 4 * sqrt(percent * (100 - percent)) + 1) AS shares, min(n), max(n)
FROM (SELECT percent, count(*) FILTER (WHERE variant = 'on') AS n FROM ramp GROUP BY percent) x;

-- The same place as in flagd: 398 of its cases (tests/data/flagd-cases), for both of its algorithms. A case of more
-- variants than two is several splits: the first k variants against the others.
CREATE TEMP TABLE file (content text);
\set content `cat "$PG_ABS_SRCDIR/../data/flagd-cases/fractional_split.jsonl"`
INSERT INTO file VALUES (:'content');
CREATE TEMP TABLE split AS
SELECT c ->> 'id' AS id, c ->> 'flag_key' AS flag, c #>> '{context,targetingKey}' AS key, k, w.percent,
    c #>> '{v2,variant}' = ANY (w.names) AS v2, c #>> '{v3,variant}' = ANY (w.names) AS v3
FROM file, LATERAL string_to_table(content, E'\n') line, LATERAL (SELECT line::jsonb) j(c),
    LATERAL generate_series(1, jsonb_array_length(c #> '{flag,targeting,fractional}')) k,
    LATERAL (SELECT sum((f ->> 1)::numeric) AS percent, array_agg(f ->> 0) AS names
             FROM jsonb_path_query_array(c, '$.flag.targeting.fractional[*]') a,
                 jsonb_array_elements(a) WITH ORDINALITY f(f, i)
        WHERE i <= k) w;
INSERT INTO flagscope.flag_definition (key, value_type, variants)
SELECT DISTINCT flag, 'boolean'::flagscope.value_type, '{"on": true, "off": false}'::jsonb
FROM split ON CONFLICT DO NOTHING;
INSERT INTO flagscope.flag_state (flag, environment)
SELECT DISTINCT flag, 'production' FROM split ON CONFLICT DO NOTHING;
CREATE TEMP TABLE answer (id text, k integer, bucketing flagscope.bucketing, treated boolean);
DO $$
DECLARE
    s record;
BEGIN
    -- One percent after the other, each for all flags that have a case with it.
    FOR s IN SELECT b.b, p.percent, array_agg(DISTINCT p.flag) AS flags
        FROM unnest(enum_range(NULL::flagscope.bucketing)) b(b), split p GROUP BY 1, 2 ORDER BY 1, 2
    LOOP
        UPDATE flagscope.flag_definition SET bucketing = s.b WHERE bucketing <> s.b;
        UPDATE flagscope.flag_state
        SET rollout_id = 99, treatment = 'on', control = 'off', percent = s.percent WHERE flag = ANY (s.flags);
        INSERT INTO answer SELECT p.id, p.k, s.b, e.variant = 'on'
        FROM split p, flagscope.evaluate(p.flag, p.key) e WHERE p.percent = s.percent;
    END LOOP;
END $$;
SELECT a.bucketing, count(DISTINCT s.id) AS cases, count(*) AS splits, count(*) FILTER (WHERE a.treated) AS treated,
    count(*) FILTER (WHERE a.treated IS DISTINCT FROM CASE a.bucketing WHEN 'v2' THEN s.v2 ELSE s.v3 END) AS wrong
FROM split s JOIN answer a USING (id, k) GROUP BY 1 ORDER BY 1;
