-- Everything that the extension puts into a database, on one page: a change of the surface shows in review. Nothing of
-- it is without a COMMENT.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SELECT extname, nspname AS schema, extrelocatable AS relocatable
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'flagscope';
CREATE TEMP TABLE member AS
SELECT d.classid, d.objid, i.type, i.identity, obj_description(d.objid, c.relname) AS comment
FROM pg_depend d JOIN pg_class c ON c.oid = d.classid, LATERAL pg_identify_object(d.classid, d.objid, 0) i
WHERE d.refclassid = 'pg_extension'::regclass
    AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'flagscope') AND d.deptype = 'e';

-- Without a comment: must be empty. Exempt are functions that a type or an aggregate is made of (their type or
-- aggregate has one), array and row types, casts, and what PostgreSQL names and keeps itself (identity sequences).
SELECT m.type, m.identity FROM member m
WHERE m.comment IS NULL AND m.type NOT IN ('cast', 'default acl')
    AND NOT (m.type = 'type'
        AND EXISTS (SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
            WHERE t.oid = m.objid AND (t.typcategory = 'A' OR c.relkind IN ('r', 'v', 'p'))))
    AND NOT (m.type = 'function'
        AND EXISTS (SELECT FROM pg_type t WHERE m.objid IN (t.typinput, t.typoutput, t.typreceive, t.typsend)))
    AND NOT (m.type = 'function'
        AND EXISTS (SELECT FROM pg_aggregate a
            WHERE m.objid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn,
                a.aggminvtransfn, a.aggmfinalfn)))
    AND NOT (m.type = 'sequence'
        AND EXISTS (SELECT FROM pg_depend d
            WHERE d.objid = m.objid AND d.classid = 'pg_class'::regclass AND d.deptype = 'i'))
ORDER BY 1, 2;
-- Array and row types are members from 18 on, as before by their element or table only.
SELECT m.type, count(*), count(m.comment) AS with_comment FROM member m
WHERE NOT (m.type = 'type'
    AND EXISTS (SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
        WHERE t.oid = m.objid AND (t.typcategory = 'A' OR c.relkind IN ('r', 'v', 'p'))))
GROUP BY m.type ORDER BY m.type;

-- Tables and views with their columns.
SELECT m.identity AS relation,
    CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence'
        WHEN 'c' THEN 'row type' END AS kind,
    m.comment
FROM member m JOIN pg_class c ON c.oid = m.objid
WHERE m.classid = 'pg_class'::regclass AND c.relkind IN ('r', 'p', 'v') ORDER BY 1;
SELECT c.oid::regclass AS relation, a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type,
    CASE WHEN a.attnotnull THEN 'not null' END AS null,
    CASE WHEN a.attidentity <> '' THEN 'identity' ELSE pg_get_expr(d.adbin, d.adrelid) END AS default
FROM member m JOIN pg_class c ON c.oid = m.objid
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
WHERE m.classid = 'pg_class'::regclass AND c.relkind IN ('r', 'p') ORDER BY c.relname, a.attnum;
SELECT c.oid::regclass AS view,
    string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum) AS columns
FROM member m JOIN pg_class c ON c.oid = m.objid JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE m.classid = 'pg_class'::regclass AND c.relkind = 'v' GROUP BY c.oid, c.relname ORDER BY c.relname;
-- Constraints are named by what they demand; triggers by what they do. NOT NULL, a constraint from 18 on, stands above.
-- A check without the words it refuses with: those are in test constraint.
SELECT k.conrelid::regclass AS table, k.conname,
    regexp_replace(regexp_replace(pg_get_constraintdef(k.oid), '\s+', ' ', 'g'),
        '^CHECK \( CASE WHEN \((.*) IS NOT FALSE\) THEN true ELSE _flagscope\.refuse\(.*$', 'CHECK (\1)') AS definition
FROM pg_constraint k JOIN member m ON m.objid = k.conrelid
WHERE k.contype <> 'n' ORDER BY k.conrelid::regclass::text, k.contype, k.conname;
SELECT t.tgrelid::regclass AS table, t.tgname, t.tgfoid::regproc AS calls
FROM pg_trigger t JOIN member m ON m.objid = t.tgrelid
WHERE NOT t.tgisinternal ORDER BY t.tgrelid::regclass::text, t.tgname;
SELECT i.indrelid::regclass AS table, regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ', '') AS index
FROM pg_index i JOIN member m ON m.objid = i.indrelid
WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid) ORDER BY i.indrelid::regclass::text, 2;
-- Types.
SELECT m.identity AS type, m.comment,
    (SELECT string_agg(enumlabel, ', ' ORDER BY enumsortorder) FROM pg_enum e WHERE e.enumtypid = m.objid) AS labels
FROM member m JOIN pg_type t ON t.oid = m.objid
WHERE m.classid = 'pg_type'::regclass AND t.typtype IN ('e', 'b', 'c') AND t.typcategory <> 'A'
    AND m.comment IS NOT NULL
ORDER BY 1;
-- Functions and aggregates: volatility (i, s, v), parallel safety (s, r, u), strict, security definer, language.
SELECT p.proname || '(' || pg_get_function_arguments(p.oid) || ')' AS function,
    pg_get_function_result(p.oid) AS returns, p.provolatile AS v, p.proparallel AS p, p.proisstrict AS strict,
    p.prosecdef AS definer, l.lanname AS language
FROM member m JOIN pg_proc p ON p.oid = m.objid JOIN pg_language l ON l.oid = p.prolang
WHERE m.type = 'function' AND p.pronamespace = 'flagscope'::regnamespace ORDER BY p.proname, 1;
SELECT p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' AS private_function,
    pg_get_function_result(p.oid) AS returns, p.provolatile AS v, p.proparallel AS p, p.prosecdef AS definer,
    l.lanname AS language
FROM member m JOIN pg_proc p ON p.oid = m.objid JOIN pg_language l ON l.oid = p.prolang
WHERE m.type = 'function' AND p.pronamespace = '_flagscope'::regnamespace ORDER BY p.proname, 1;
SELECT m.identity AS aggregate, p.proparallel AS p, a.aggcombinefn <> 0 AS combines, m.comment
FROM member m JOIN pg_proc p ON p.oid = m.objid JOIN pg_aggregate a ON a.aggfnoid = p.oid ORDER BY 1;
-- Code in SQL names its objects for good: by a fixed search path, or by a body that was bound when it was made.
SELECT p.oid::regprocedure AS unbound
FROM member m JOIN pg_proc p ON p.oid = m.objid JOIN pg_language l ON l.oid = p.prolang
WHERE m.type = 'function' AND l.lanname IN ('sql', 'plpgsql') AND p.prosqlbody IS NULL
    AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)
ORDER BY 1;
-- What pg_dump keeps, and the settings as shipped.
SELECT c.oid::regclass AS dumped, x.condition
FROM pg_extension e, unnest(e.extconfig, e.extcondition) x(oid, condition) JOIN pg_class c ON c.oid = x.oid
WHERE e.extname = 'flagscope' ORDER BY c.oid::regclass::text;
SELECT name, value, description FROM flagscope.setting ORDER BY name;
SELECT key, aliases, description FROM flagscope.environment_definition;
-- Dropped, nothing is left, and it can be made again.
SELECT made > 0 AS made FROM flagscope.maintain('2040-01-02');
DROP EXTENSION flagscope;
SELECT nspname FROM pg_namespace WHERE nspname ~ 'flagscope';
CREATE EXTENSION flagscope;
