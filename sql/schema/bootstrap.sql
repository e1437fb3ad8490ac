-- Both schemas are created here and belong to the extension; neither may exist before. Anybody who can create objects
-- in one could add an overloaded function that matches one of flagscope's own calls better than the intended one; code
-- that runs with the installer's rights, such as the worker, would then call it. Until they are created, names are
-- looked up in pg_catalog alone (flagscope.control).
DO $$
DECLARE
    found text := (SELECT string_agg(format('"%s"', n.nspname), ' and ' ORDER BY n.nspname) FROM pg_namespace n
                   WHERE n.nspname IN ('flagscope', '_flagscope'));
BEGIN
    IF found IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_schema',
            MESSAGE = pg_catalog.format('flagscope cannot be installed where a schema %s exists already', found),
            DETAIL = 'Objects put there by somebody else could run with a superuser''s rights.',
            HINT = 'Look at what it contains and move what you want to keep elsewhere (ALTER ... SET SCHEMA); '
                'then DROP SCHEMA ... CASCADE. CREATE EXTENSION creates the schemas flagscope and _flagscope itself.';
    END IF;
END $$;
CREATE SCHEMA flagscope;
COMMENT ON SCHEMA flagscope IS 'flags, telemetry, guardrails and rollouts: what people and programs read and call';
CREATE SCHEMA _flagscope;
COMMENT ON SCHEMA _flagscope IS
    'internals of flagscope: functions, queues, bookkeeping and partitions; may change with any version';
SET LOCAL search_path = flagscope, pg_temp;

-- Shell types: the sketches' input and output functions name them before they exist
-- (completed in sql/schema/sketch.sql).
CREATE TYPE flagscope.moments;
CREATE TYPE flagscope.histogram;
CREATE TYPE flagscope.tdigest;
CREATE TYPE flagscope.ratio;
CREATE TYPE flagscope.patterns;
