-- One vocabulary for what people read and call, the schema flagscope: read from the catalog. Every query must be empty.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
CREATE TEMP TABLE member AS
SELECT d.classid, d.objid FROM pg_depend d WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
    AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'flagscope');
-- Arguments and results of functions; columns of tables, views and row types.
CREATE TEMP TABLE argument AS
SELECT p.oid::regprocedure AS function, p.proname, a.name, a.type::regtype, a.mode, a.place,
    a.place > p.pronargs - p.pronargdefaults AS has_default
FROM pg_proc p JOIN member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid,
    LATERAL (SELECT n AS name, t AS type, coalesce(d, 'i') AS mode, o AS place
             FROM unnest(p.proargnames, coalesce(p.proallargtypes, p.proargtypes::oid[]),
                 p.proargmodes) WITH ORDINALITY u(n, t, d, o)) a
WHERE p.pronamespace = 'flagscope'::regnamespace AND p.prokind = 'f';
CREATE TEMP TABLE attribute AS
SELECT c.oid::regclass AS relation, c.relkind, a.attname AS name, a.atttypid::regtype AS type, a.attnum
FROM pg_class c JOIN member m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'flagscope'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'c');
SELECT (SELECT count(*) > 500 FROM argument) AS arguments, (SELECT count(*) > 400 FROM attribute) AS columns;

-- Words that stand for something which has another word.
CREATE TEMP TABLE word (forbidden text, type regtype, instead text);
INSERT INTO word VALUES
    ('low', NULL, 'lower'), ('high', NULL, 'upper'), ('p', NULL, 'p_value, or quantile'),
    ('limit', NULL, 'limit_value'),
    ('range', NULL, 'since, until'), ('during', NULL, 'since, until'), ('span', 'tstzrange', 'since, until'),
    ('from', NULL, 'since'), ('to', NULL, 'until'),
    ('bucket', 'interval', 'bucket_width'), ('step', 'interval', 'bucket_width'), ('widest', NULL, 'bucket_width'),
    ('cursor_since', NULL, 'after_cursor'),
    ('watch', NULL, 'follow_up'), ('freeze', NULL, 'change_freeze'), ('randomisation_unit', NULL, 'subject');
SELECT a.function::text AS place, a.name, w.instead
FROM argument a JOIN word w ON w.forbidden = a.name AND (w.type IS NULL OR w.type = a.type)
UNION ALL SELECT b.relation::text, b.name, w.instead
FROM attribute b JOIN word w ON w.forbidden = b.name AND (w.type IS NULL OR w.type = b.type) ORDER BY 1, 2;
-- `width` is that of a partition or of a drawing, `since` a time, and `unit` UCUM, which is text.
SELECT function, name, type FROM argument
WHERE name = 'width' AND proname NOT IN ('bar', 'set_chunk_interval')
    OR name IN ('since', 'until') AND type <> 'timestamptz'::regtype OR name = 'unit' AND type <> 'text'::regtype;
-- Where a view or a function returns telemetry, its time is ts.
SELECT relation, name FROM attribute
WHERE relkind = 'v' AND relation::text ~ '\.(span|log|event|exposure|metric_point|tagged)$'
    AND type = 'timestamptz'::regtype AND name <> 'ts';
SELECT function, name FROM argument
WHERE proname IN ('metric_series', 'rollout_chart', 'variant_states', 'telemetry_of', 'trace', 'anomalies')
    AND mode IN ('t', 'o') AND type = 'timestamptz'::regtype AND name NOT IN ('ts', 'last_ts');
-- Tests for every look say so, and are not told apart from those for one look by the order of words.
SELECT DISTINCT proname FROM argument WHERE proname ~ '^test_';

-- The order of arguments. What is acted on, the environment, the time, options, and last who decides and from when.
CREATE TEMP TABLE place (name text, rank integer);
INSERT INTO place
VALUES ('flag', 1), ('rollout_id', 1), ('metric', 2), ('subject', 2), ('targeting_key', 2), ('variant', 2),
    ('context', 3), ('environment', 4), ('since', 5),
    ('until', 6), ('bucket_width', 7), ('stage', 8), ('override', 9), ('reason', 20), ('actor', 21), ('at', 22);
SELECT a.function, a.name AS stands_before, b.name
FROM argument a JOIN argument b ON b.function = a.function AND b.place > a.place
    JOIN place x ON x.name = a.name JOIN place y ON y.name = b.name
WHERE a.mode IN ('i', 'b', 'v') AND b.mode IN ('i', 'b', 'v') AND x.rank > y.rank;
SELECT a.function, a.name AS stands_before, b.name
FROM argument a JOIN argument b ON b.function = a.function AND b.place = a.place + 1
WHERE b.mode = 'i'
    AND (a.name = 'at' OR a.name = 'actor' AND b.name <> 'at' OR a.name = 'reason' AND b.name NOT IN ('actor', 'at')
        OR a.name = 'margin' AND b.name <> 'margin_absolute'
            AND EXISTS (SELECT FROM argument c
                WHERE c.function = a.function AND c.name = 'margin_absolute' AND c.mode = 'i'));
-- An option does not stand before the environment: only what is acted on does.
SELECT a.function, a.name AS stands_before_environment
FROM argument a JOIN argument e ON e.function = a.function AND e.name = 'environment' AND e.mode = 'i'
WHERE a.mode = 'i' AND a.place < e.place AND a.has_default
    AND a.name NOT IN ('flag', 'metric', 'treatment', 'control', 'targeting_key', 'context', 'subject', 'value', 'unit',
        'flags', 'severity', 'logger', 'is_error');
-- Until is now unless somebody says otherwise; of what is computed anew it has no end.
SELECT p.oid::regprocedure, pg_get_function_arg_default(p.oid, a.place::integer)
FROM argument a JOIN pg_proc p ON p.oid = a.function
WHERE a.name = 'until' AND a.mode = 'i'
    AND pg_get_function_arg_default(p.oid, a.place::integer) IS DISTINCT FROM 'clock_timestamp()'
    AND p.proname NOT IN ('rebuild_rollup', 'verify_rollup', 'create_change_freeze', 'frozen_segments');

-- What functions return: a creation its key or id, a change of a flag the version,
-- a verb on a rollout a number; a check rows.
SELECT p.oid::regprocedure, p.prorettype::regtype
FROM pg_proc p JOIN member m ON m.objid = p.oid WHERE p.pronamespace = 'flagscope'::regnamespace
    AND (p.proname ~ '^create_' AND p.prorettype NOT IN ('text'::regtype, 'bigint'::regtype)
        OR p.proname ~ '_rollout$' AND p.proname !~ '^(create|correlate|explain|plan)_'
        AND p.prorettype <> 'bigint'::regtype
        OR p.proname ~ '^(enable_flag|disable_flag|archive_flag|unarchive_flag|add_variant|set_default_variant|'
            'set_targeting|set_prerequisites)$'
        AND p.prorettype <> 'bigint'::regtype);
SELECT p.oid::regprocedure FROM pg_proc p JOIN member m ON m.objid = p.oid
WHERE p.pronamespace = 'flagscope'::regnamespace AND p.proname ~ '^check_'
    AND (SELECT string_agg(a.name, ' ' ORDER BY a.place) FROM argument a WHERE a.function = p.oid AND a.mode = 't')
        IS DISTINCT FROM 'path problem hint is_error';
-- A rollout is meant by its id or by its flag's key.
SELECT x.proname, x.by
FROM (SELECT DISTINCT p.proname, w.by
    FROM pg_proc p JOIN member m ON m.objid = p.oid, unnest('{rollout_id,flag}'::text[]) w(by)
        WHERE p.pronamespace = 'flagscope'::regnamespace
            AND (p.proname ~ '_rollout$' AND p.proname !~ '^(create|plan)_' OR p.proname = 'approve_stage')) x
WHERE NOT EXISTS (SELECT FROM argument a WHERE a.proname = x.proname AND a.name = x.by AND a.place = 1);

-- Nothing that people see is without a COMMENT: every column, those of views, too.
SELECT relation, name FROM attribute
WHERE col_description(relation, attnum) IS NULL
    AND NOT (relkind = 'c' AND EXISTS (SELECT FROM pg_class c WHERE c.oid = relation AND c.relname ~ '^_'));
SELECT m.classid::regclass, pg_describe_object(m.classid, m.objid, 0) FROM member m
WHERE m.classid IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_namespace'::regclass)
    AND obj_description(m.objid, m.classid::regclass::name) IS NULL
    AND (SELECT i.schema FROM pg_identify_object(m.classid, m.objid, 0) i) IS NOT DISTINCT FROM 'flagscope'
    AND NOT EXISTS (SELECT FROM pg_depend d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = m.objid AND d.deptype = 'i');
-- A column named like the table that another column of its row points to: tools that make classes of tables name the
-- relationship like that table (suite reflection).
SELECT k.conrelid::regclass AS table, k.conname, a.attname AS column
FROM pg_constraint k JOIN member m ON m.objid = k.conrelid
    JOIN pg_class r ON r.oid = k.confrelid JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attname = r.relname
WHERE k.contype = 'f';
-- Names that are words of SQL need no quotes.
SELECT c.oid::regclass FROM pg_class c JOIN member m ON m.objid = c.oid
WHERE m.classid = 'pg_class'::regclass AND quote_ident(c.relname) <> c.relname;
