-- CREATE EXTENSION makes its two schemas itself and takes none that is there: somebody else could have put code into
-- it, and what runs as superuser would call that.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS flagscope;
DROP ROLE IF EXISTS regress_flagscope_stranger;
CREATE ROLE regress_flagscope_stranger;

-- Made by the owner of the database before the extension, or by a superuser: either, or both.
CREATE SCHEMA flagscope AUTHORIZATION regress_flagscope_stranger;
CREATE EXTENSION flagscope;
\set VERBOSITY terse
DROP SCHEMA flagscope;
CREATE SCHEMA _flagscope;
CREATE EXTENSION flagscope;
CREATE SCHEMA flagscope;
CREATE EXTENSION flagscope;
DROP SCHEMA flagscope;
-- Nor into another one.
DROP SCHEMA _flagscope;
CREATE EXTENSION flagscope SCHEMA public;

-- The check itself calls nothing that somebody else made: these fit its calls better than PostgreSQL's own.
CREATE SCHEMA flagscope;
CREATE FUNCTION flagscope.hijack(name, text) RETURNS boolean
LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'called by the install script'; END $$;
CREATE OPERATOR flagscope.= (LEFTARG = name, RIGHTARG = text, FUNCTION = flagscope.hijack);
CREATE FUNCTION flagscope.format(text, name) RETURNS text
LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'called by the install script'; END $$;
SET search_path = flagscope, public;
CREATE EXTENSION flagscope;
RESET search_path;
DROP SCHEMA flagscope CASCADE;

-- Both schemas are the installer's and the extension's, closed to everybody else, and go with it.
CREATE EXTENSION flagscope;
SELECT n.nspname, n.nspowner::regrole = current_user::regrole AS is_installers, n.nspacl, d.deptype FROM pg_namespace n
    JOIN pg_depend d
        ON d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.refclassid = 'pg_extension'::regclass
WHERE n.nspname ~ 'flagscope' ORDER BY 1;
-- The search path of the session is as it was.
SELECT current_setting('search_path') = (SELECT reset_val FROM pg_settings WHERE name = 'search_path') AS is_as_before;
DROP EXTENSION flagscope;
SELECT nspname FROM pg_namespace WHERE nspname ~ 'flagscope';
CREATE EXTENSION flagscope;
SELECT count(*) AS flags FROM flagscope.flag_definition;

-- Nor does what the extension leaves behind go into a schema that somebody else has made for it.
SELECT made > 0 AS made FROM flagscope.maintain('2040-01-02');
CREATE SCHEMA regress_flagscope_kept AUTHORIZATION regress_flagscope_stranger;
SELECT count(*) FROM flagscope.detach_all('regress_flagscope_kept');
ALTER SCHEMA regress_flagscope_kept OWNER TO CURRENT_USER;
SELECT count(*) > 0 AS kept FROM flagscope.detach_all('regress_flagscope_kept');
DROP SCHEMA regress_flagscope_kept CASCADE;
DROP ROLE regress_flagscope_stranger;
