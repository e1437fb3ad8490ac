-- What the pages must tell of: every public function, table and view of the catalog, and every setting, as cells of a
-- table in Markdown. Public is what stands in schema flagscope and is not the inner part of a type, an aggregate or an
-- operator.
CREATE SCHEMA manual;
SET search_path = manual, flagscope, pg_catalog;

-- Names of types as people write them.
CREATE FUNCTION manual.type_words(type oid) RETURNS text LANGUAGE sql SET search_path = flagscope, pg_catalog
RETURN regexp_replace(replace(replace(replace(format_type(type, NULL), 'timestamp with time zone', 'timestamptz'),
    'double precision', 'float8'), ' without time zone', ''), '\mflagscope\.', '');

CREATE FUNCTION manual.cell(words text) RETURNS text LANGUAGE sql
RETURN replace(replace(words, '|', '\|'), E'\n', ' ');

CREATE VIEW manual.argument AS
SELECT p.oid, a.nth, a.mode, a.name, concat_ws(' ', CASE a.mode WHEN 'v' THEN 'VARIADIC' END, nullif(a.name, ''),
    manual.type_words(a.type), '= ' || regexp_replace(pg_get_function_arg_default(p.oid, a.nth::integer),
        '::[a-z_."]+( [a-z ]+)?(\[\])?', '', 'g')) AS words
FROM pg_proc p, unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargmodes, p.proargnames)
    WITH ORDINALITY a(type, mode, name, nth)
WHERE p.pronamespace = 'flagscope'::regnamespace;

CREATE VIEW manual.function AS
WITH inner_part AS (
    SELECT unnest(ARRAY[typinput, typoutput, typreceive, typsend]::oid[]) AS oid FROM pg_type
    UNION SELECT unnest(ARRAY[aggtransfn, aggfinalfn, aggcombinefn, aggserialfn, aggdeserialfn, aggmtransfn,
        aggminvtransfn, aggmfinalfn]::oid[]) FROM pg_aggregate
    UNION SELECT oprcode::oid FROM pg_operator
), result AS (
    SELECT p.oid, CASE WHEN p.proretset THEN 'rows ' ELSE '' END || coalesce(
        (SELECT '(' || string_agg(a.name, ', ' ORDER BY a.nth) || ')' FROM manual.argument a
            WHERE a.oid = p.oid AND a.mode IN ('o', 'b', 't') HAVING count(*) > 1),
        (SELECT '(' || string_agg(c.attname, ', ' ORDER BY c.attnum) || ')'
            FROM pg_type t JOIN pg_class r ON r.oid = t.typrelid AND r.relkind = 'c'
                JOIN pg_attribute c ON c.attrelid = r.oid AND c.attnum > 0 AND NOT c.attisdropped
            WHERE t.oid = p.prorettype HAVING count(*) > 0),
        manual.type_words(p.prorettype)) AS words
    FROM pg_proc p
), overload AS (
    SELECT p.oid, p.proname AS name, format('`%s(%s)` → `%s`%s',
        p.proname, (SELECT string_agg(a.words, ', ' ORDER BY a.nth)
            FROM manual.argument a WHERE a.oid = p.oid AND coalesce(a.mode, 'i') IN ('i', 'b', 'v')),
        r.words, CASE p.prokind WHEN 'a' THEN ' (aggregate)' ELSE '' END) AS signature,
        obj_description(p.oid, 'pg_proc') AS comment
    FROM pg_proc p JOIN result r USING (oid)
    WHERE p.pronamespace = 'flagscope'::regnamespace AND p.prorettype <> 'trigger'::regtype
        AND p.oid NOT IN (SELECT i.oid FROM inner_part i WHERE i.oid <> 0)
)
SELECT name, format('| %s | %s |', manual.cell(string_agg(signature, '<br>' ORDER BY signature COLLATE "C")),
    manual.cell(comment)) AS line, min(signature) AS first
FROM overload GROUP BY name, comment;

CREATE VIEW manual.relation AS
SELECT c.relname AS name, format('| `%s`%s | %s | %s |', c.relname, CASE c.relkind WHEN 'v' THEN ' (view)' ELSE '' END,
    manual.cell(obj_description(c.oid, 'pg_class')),
    (SELECT string_agg(format('`%s`', a.attname), ', ' ORDER BY a.attnum)
        FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)) AS line, '' AS first
FROM pg_class c
WHERE c.relnamespace = 'flagscope'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition;

CREATE VIEW manual.setting AS
SELECT s.name, format('| `%s` | `%s` | %s |', s.name, s.value #>> '{}', manual.cell(s.description)) AS line,
    '' AS first
FROM flagscope.setting s;

CREATE VIEW manual.parameter AS
SELECT s.name, format('| `%s` | `%s` | %s |', s.name, s.boot_val || coalesce(s.unit, ''),
    manual.cell(concat_ws(' ', s.short_desc, nullif(s.extra_desc, '')))) AS line, '' AS first
FROM pg_settings s WHERE s.name LIKE 'flagscope.%';

-- Every word that may stand in the pages as a name: of the schema, PostgreSQL, columns, arguments and values.
CREATE VIEW manual.word AS
SELECT proname::text AS word FROM pg_proc UNION SELECT relname FROM pg_class UNION SELECT typname FROM pg_type
UNION SELECT unnest(proargnames) FROM pg_proc WHERE pronamespace = 'flagscope'::regnamespace
UNION SELECT attname FROM pg_attribute UNION SELECT enumlabel FROM pg_enum
UNION SELECT replace(name, 'flagscope.', '') FROM pg_settings
UNION SELECT name FROM flagscope.setting UNION SELECT extname FROM pg_extension UNION SELECT nspname FROM pg_namespace;
