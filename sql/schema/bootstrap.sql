-- Both schemas are made here and belong to the extension; neither may be there before: who can create objects in one can
-- add a function that fits a call of flagscope's better than the one that is meant, and what runs with the installer's
-- rights, the worker among it, would call it. Until they are made, names are looked up in pg_catalog alone (flagscope.control).
DO $$
DECLARE
    found text := (SELECT string_agg(format('"%s"', n.nspname), ' and ' ORDER BY n.nspname) FROM pg_namespace n
                   WHERE n.nspname IN ('flagscope', '_flagscope'));
BEGIN
    IF found IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_schema',
            MESSAGE = pg_catalog.format('flagscope cannot be installed where a schema %s exists already', found),
            DETAIL = 'Objects put there by somebody else could run with a superuser''s rights.',
            HINT = 'Look at what it holds and move away what is to be kept (ALTER ... SET SCHEMA); '
                'then DROP SCHEMA ... CASCADE, and CREATE EXTENSION makes the schemas flagscope and _flagscope.';
    END IF;
END $$;
CREATE SCHEMA flagscope;
COMMENT ON SCHEMA flagscope IS 'flags, telemetry, guardrails and rollouts: what people and programs read and call';
CREATE SCHEMA _flagscope;
COMMENT ON SCHEMA _flagscope IS
    'what flagscope works with inside: functions, queues, bookkeeping and partitions; it may change with any version';
SET LOCAL search_path = flagscope, pg_temp;

-- Shell types: the sketches' input and output functions name them before they exist (completed in sql/schema/sketch.sql).
CREATE TYPE flagscope.moments;
CREATE TYPE flagscope.histogram;
CREATE TYPE flagscope.tdigest;
CREATE TYPE flagscope.ratio;
