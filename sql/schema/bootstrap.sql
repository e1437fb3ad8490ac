-- Who can create objects in the schema can add a function that fits a call of flagscope's better than the one that is
-- meant, and what runs with the installer's rights, the worker among it, would call it. So the schema is made here, or it
-- is what CREATE SCHEMA of a superuser leaves (DROP EXTENSION keeps the schema, a dump makes it before the extension):
-- empty, and closed to everybody else. Until that is known nothing in it may be called: all names are looked up in
-- pg_catalog alone.
DO $$
DECLARE
    installing text := pg_catalog.current_setting('search_path');
    made record;
    reason text;
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    SELECT n.oid, n.nspowner, r.rolname, r.rolsuper, n.nspacl INTO STRICT made
    FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner WHERE n.nspname = 'flagscope';
    IF NOT made.rolsuper THEN
        reason := format('it belongs to role "%s", which is no superuser', made.rolname);
    END IF;
    reason := coalesce(reason, (
        SELECT format('%s may create objects in it', string_agg(
            CASE a.grantee WHEN 0::oid THEN 'everybody (PUBLIC)' ELSE format('role "%s"', pg_get_userbyid(a.grantee)) END, ', '
            ORDER BY a.grantee))
        FROM aclexplode(made.nspacl) a
        WHERE a.privilege_type = 'CREATE' AND a.grantee <> made.nspowner
            AND a.grantee <> (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user)
        HAVING count(*) > 0));
    reason := coalesce(reason, (
        SELECT format('there are objects in it: %s', string_agg(o.name, ', ' ORDER BY o.name) FILTER (WHERE o.number <= 3)
            || CASE WHEN count(*) > 3 THEN format(' and %s more', count(*) - 3) ELSE '' END)
        FROM (SELECT i.name, row_number() OVER (ORDER BY i.name) AS number
              FROM (SELECT DISTINCT pg_describe_object(d.classid, d.objid, 0) AS name FROM pg_depend d
                    WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = made.oid
                        -- Not in the schema, but about it: this extension, default privileges, publications.
                        AND d.classid NOT IN ('pg_default_acl'::regclass, 'pg_publication_namespace'::regclass)
                        AND NOT (d.classid = 'pg_extension'::regclass
                            AND d.objid = (SELECT e.oid FROM pg_extension e WHERE e.extname = 'flagscope'))) i) o
        HAVING count(*) > 0));
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = pg_catalog.format('flagscope cannot be installed into the schema "flagscope" that exists already: %s', reason),
            DETAIL = 'Objects put there by somebody else could run with a superuser''s rights.',
            HINT = 'Look at what it holds and move away what is to be kept (ALTER ... SET SCHEMA); '
                'then DROP SCHEMA flagscope CASCADE, and CREATE EXTENSION makes the schema.';
    END IF;
    IF made.rolname <> current_user THEN
        ALTER SCHEMA flagscope OWNER TO CURRENT_USER;  -- another superuser's, who may be none tomorrow
    END IF;
    PERFORM set_config('search_path', installing, true);
END $$;

-- Shell types: the sketches' input and output functions name them before they exist (completed in sql/schema/sketch.sql).
CREATE TYPE flagscope.moments;
CREATE TYPE flagscope.histogram;
CREATE TYPE flagscope.tdigest;
CREATE TYPE flagscope.ratio;
