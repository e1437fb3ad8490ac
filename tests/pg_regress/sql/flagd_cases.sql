-- The cases of flagd and OpenFeature (tests/data/flagd-cases), from SQL: definitions imported, evaluated, compared.
-- Counts by file, and every miss by its id.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
\set cases `cat "$PG_ABS_SRCDIR/../data/flagd-cases/cases.json"`
\set flagsets `cat "$PG_ABS_SRCDIR/../data/flagd-cases/flagsets.json"`
\set vectors `cat "$PG_ABS_SRCDIR/../data/flagd-cases/fractional_vectors.jsonl"`
\set rules `cat "$PG_ABS_SRCDIR/../data/flagd-cases/jsonlogic.json"`

-- What a client that asks for a type gets.
CREATE FUNCTION pg_temp.typed(type text, flag text, preset jsonb, context jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT CASE type
        WHEN 'boolean' THEN to_jsonb(flagscope.evaluate_boolean(flag, NULL, preset::boolean, context))
        WHEN 'string' THEN to_jsonb(flagscope.evaluate_string(flag, NULL, preset #>> '{}', context))
        WHEN 'integer' THEN to_jsonb(flagscope.evaluate_integer(flag, NULL, preset::bigint, context))
        WHEN 'float' THEN to_jsonb(flagscope.evaluate_number(flag, NULL, preset::float8, context))
        WHEN 'object' THEN flagscope.evaluate_object(flag, NULL, preset, context) END $$;

-- cases.json: a flag set after the other, each with both bucketings; a case that names none must hold with both.
CREATE TEMP TABLE flag_case AS
SELECT c ->> 'id' AS id, c ->> 'feature' AS feature, c ->> 'flagset' AS flagset, c ->> 'flag_key' AS flag,
    c ->> 'type' AS type, c -> 'default' AS preset, c -> 'context' AS context, c -> 'expected' AS expected,
    c ->> 'expected_variant_derived' AS variant, c ->> 'expected_reason_derived' AS reason, v.bucketing
FROM jsonb_array_elements(:'cases') c,
    LATERAL (SELECT CASE jsonb_typeof(c -> 'bucketing') WHEN 'array' THEN c -> 'bucketing'
        ELSE jsonb_build_array(c -> 'bucketing') END) n(names),
    unnest(enum_range(NULL::flagscope.bucketing)) v(bucketing)
WHERE n.names ?| ARRAY['n/a', 'any', v.bucketing::text] OR c -> 'also_holds_for' ? v.bucketing::text;
CREATE TEMP TABLE flag_set AS SELECT key AS name, value AS document FROM jsonb_each(:'flagsets');
CREATE TEMP TABLE not_imported (flagset text, flag text, problem text);
CREATE TEMP TABLE answer (LIKE flag_case, got jsonb, a_value jsonb, a_variant text, a_reason text, a_error text,
    a_metadata jsonb);
DO $$
DECLARE
    s record;
BEGIN
    FOR s IN SELECT name, document, b AS bucketing
        FROM flag_set, unnest(enum_range(NULL::flagscope.bucketing)) b ORDER BY name, b
    LOOP
        DELETE FROM flagscope.flag_definition;
        DELETE FROM flagscope.segment;
        INSERT INTO not_imported
        SELECT s.name, i.flag, i.problem FROM flagscope.import_flagd(s.document) i WHERE NOT i.imported;
        -- A rule that cannot be evaluated is not taken; what it answers is seen once its segment is lost.
        PERFORM flagscope.import_flagd(jsonb_set(s.document, '{$evaluators,nonexistent_evaluator}', '{"==": [1, 1]}'))
        WHERE s.document @? '$.flags."ref-to-nonexistent-evaluator-flag"';
        UPDATE flagscope.flag_definition SET bucketing = s.bucketing WHERE bucketing <> s.bucketing;
        ALTER TABLE flagscope.segment DISABLE TRIGGER check_segment;
        DELETE FROM flagscope.segment WHERE name = 'nonexistent_evaluator';
        ALTER TABLE flagscope.segment ENABLE TRIGGER check_segment;
        INSERT INTO answer
        SELECT c.*, pg_temp.typed(c.type, c.flag, c.preset, c.context), e.value, e.variant, e.reason, e.error_code,
            coalesce(e.metadata, '{}')
        FROM flag_case c, flagscope.evaluate(c.flag, NULL, c.context) e
        WHERE (c.flagset, c.bucketing) = (s.name, s.bucketing);
    END LOOP;
END $$;
-- Flags that are not imported, and why.
SELECT DISTINCT * FROM not_imported ORDER BY flagset, flag;
-- A wrong type is seen where a type was asked for only: the default comes back. evaluate() says what the flag has.
CREATE TEMP VIEW judged AS
SELECT *, got IS NOT DISTINCT FROM coalesce(expected -> 'value', got)
    AND CASE WHEN expected ->> 'error_code' = 'TYPE_MISMATCH' OR expected ->> 'reason' = 'ERROR' AND a_error IS NULL
        THEN got = preset AND jsonb_typeof(a_value) <> replace(replace(type, 'integer', 'number'), 'float', 'number')
        ELSE a_reason = coalesce(expected ->> 'reason', reason, a_reason)
            AND a_error IS NOT DISTINCT FROM CASE WHEN expected ? 'error_code' THEN expected ->> 'error_code'
                ELSE a_error END END
    AND a_variant IS NOT DISTINCT FROM coalesce(expected ->> 'variant', variant, a_variant)
    AND a_metadata @> coalesce(expected -> 'metadata_contains', '{}')
    AND (expected ->> 'metadata_empty' IS DISTINCT FROM 'true' OR a_metadata = '{}') AS passed
FROM answer;
SELECT feature, count(DISTINCT id) AS cases, count(*) AS evaluations, count(*) FILTER (WHERE passed) AS passed
FROM judged GROUP BY ROLLUP (feature) ORDER BY feature;
SELECT id, bucketing, flag, context, expected, variant, reason, got, a_variant, a_reason, a_error, a_metadata
FROM judged WHERE passed IS DISTINCT FROM true ORDER BY id, bucketing;

-- fractional_vectors.jsonl: documents of as many rows as have different keys.
CREATE TEMP TABLE vector AS
SELECT v ->> 'id' AS id, v ->> 'kind' AS kind, v ->> 'flag_key' AS flag, v -> 'flag' AS definition,
    v -> 'context' AS context, v, dense_rank() OVER (PARTITION BY v ->> 'flag_key' ORDER BY v -> 'flag') AS document
FROM string_to_table(:'vectors', E'\n') line, LATERAL (SELECT line::jsonb WHERE line <> '') j(v)
WHERE NOT v ? 'contested';
CREATE TEMP TABLE bucketed (id text, kind text, bucketing flagscope.bucketing, expected jsonb, variant text,
    reason text, error_code text);
TRUNCATE not_imported;
DO $$
DECLARE
    d record;
    b flagscope.bucketing;
BEGIN
    DELETE FROM flagscope.flag_definition;
    FOR d IN SELECT document, jsonb_build_object('flags', jsonb_object_agg(flag, definition)) AS json
        FROM vector GROUP BY document ORDER BY document
    LOOP
        DELETE FROM flagscope.flag_definition WHERE d.json -> 'flags' ? key;
        INSERT INTO not_imported
        SELECT d.document::text, i.flag, i.problem FROM flagscope.import_flagd(d.json) i WHERE NOT i.imported;
        FOREACH b IN ARRAY enum_range(NULL::flagscope.bucketing) LOOP
            UPDATE flagscope.flag_definition f SET bucketing = b WHERE d.json -> 'flags' ? key AND bucketing <> b;
            INSERT INTO bucketed SELECT v.id, v.kind, b, v.v -> b::text, e.variant, e.reason, e.error_code
            FROM vector v, flagscope.evaluate(v.flag, NULL, v.context) e WHERE v.document = d.document;
        END LOOP;
    END LOOP;
END $$;
SELECT * FROM not_imported ORDER BY flag;
SELECT bucketing, kind, count(*) AS rows,
    count(*) FILTER (WHERE (variant, reason, error_code)
        IS NOT DISTINCT FROM (expected ->> 'variant', expected ->> 'reason', expected ->> 'error_code')) AS passed
FROM bucketed GROUP BY GROUPING SETS ((bucketing, kind), (bucketing)) ORDER BY bucketing, kind;
SELECT * FROM bucketed
WHERE (variant, reason, error_code)
    IS DISTINCT FROM (expected ->> 'variant', expected ->> 'reason', expected ->> 'error_code')
ORDER BY id, bucketing;

-- jsonlogic.json: the rule's own result, and the variant that it names where it names one. Targeting is an object, so
-- another rule stands in an `if`. A context is one, too: the rows with other data are named.
CREATE TEMP TABLE logic AS
SELECT r ->> 'id' AS id,
    CASE jsonb_typeof(r -> 'rule') WHEN 'object' THEN r -> 'rule'
        ELSE jsonb_build_object('if', jsonb_build_array(true, r -> 'rule')) END AS rule,
    r -> 'data' AS data, r -> 'result' AS result, r ? 'error' AS is_error,
    jsonb_typeof(r -> 'result') IN ('string', 'number', 'boolean') AS names_variant
FROM jsonb_array_elements(:'rules') r WHERE r ->> 'tier' = 'must';
SELECT count(flagscope.create_flag(id, jsonb_build_object(coalesce(result #>> '{}', 'none'), 'x'), NULL,
    'string')::text) AS made
FROM logic;
CREATE TEMP TABLE refused (id text, state text, message text);
DO $$
DECLARE
    l record;
BEGIN
    FOR l IN SELECT * FROM logic LOOP
        BEGIN
            -- As an import takes it: otherwise a result that is no variant is refused.
            SET LOCAL flagscope.importing = on;
            UPDATE flagscope.flag_state SET targeting = l.rule WHERE flag = l.id AND environment = 'production';
        EXCEPTION WHEN OTHERS THEN
            INSERT INTO refused VALUES (l.id, SQLSTATE, SQLERRM);
        END;
    END LOOP;
END $$;
CREATE TEMP TABLE concluded AS
SELECT l.*, coalesce(jsonb_typeof(l.data), 'null') AS context, r.message AS refused, x.x -> 'rule_result' AS got,
    x.x ->> 'rule_error' AS problem, e.variant, e.reason, e.error_code
FROM logic l LEFT JOIN refused r USING (id),
    LATERAL (SELECT CASE jsonb_typeof(l.data) WHEN 'object' THEN l.data END) c(context),
    flagscope.evaluate(l.id, NULL, c.context) e, flagscope.explain_evaluation(l.id, NULL, c.context) x(x)
WHERE coalesce(jsonb_typeof(l.data), 'null') IN ('object', 'null');
CREATE TEMP VIEW logic_judged AS
SELECT *, CASE WHEN is_error THEN refused IS NOT NULL OR error_code IS NOT NULL
    ELSE refused IS NULL AND got = result
        AND CASE WHEN names_variant THEN (variant, reason) = (result #>> '{}', 'TARGETING_MATCH')
            ELSE true END END AS passed
FROM concluded;
SELECT id, rule, data, result FROM logic WHERE jsonb_typeof(data) NOT IN ('object', 'null') ORDER BY id;
SELECT jsonb_typeof(result) AS result, context, count(*) AS rows, count(*) FILTER (WHERE passed) AS passed
FROM logic_judged GROUP BY ROLLUP ((jsonb_typeof(result), context)) ORDER BY 1, 2;
SELECT id, rule, data, result, got, variant, reason, error_code, refused, problem
FROM logic_judged WHERE passed IS DISTINCT FROM true ORDER BY id;
