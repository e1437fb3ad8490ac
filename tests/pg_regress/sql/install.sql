-- CREATE EXTENSION takes no schema that somebody else could have put code into: what runs as superuser would call it.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS flagscope;
DROP SCHEMA IF EXISTS flagscope CASCADE;
DROP ROLE IF EXISTS regress_flagscope_stranger, regress_flagscope_superuser;
CREATE ROLE regress_flagscope_stranger;
CREATE ROLE regress_flagscope_superuser SUPERUSER;

-- Made by somebody who is no superuser: by the owner of the database, before the extension.
CREATE SCHEMA flagscope AUTHORIZATION regress_flagscope_stranger;
CREATE EXTENSION flagscope;
\set VERBOSITY terse
DROP SCHEMA flagscope;

-- The superuser's own, but somebody else may create objects in it.
CREATE SCHEMA flagscope;
GRANT CREATE ON SCHEMA flagscope TO PUBLIC;
CREATE EXTENSION flagscope;
REVOKE CREATE ON SCHEMA flagscope FROM PUBLIC;
GRANT CREATE ON SCHEMA flagscope TO regress_flagscope_stranger WITH GRANT OPTION;
CREATE EXTENSION flagscope;

-- He may no more, but has done so: one kind of object after the other.
REVOKE CREATE ON SCHEMA flagscope FROM regress_flagscope_stranger;
CREATE FUNCTION flagscope._floor(width text, at timestamptz) RETURNS timestamptz LANGUAGE sql RETURN at;
CREATE EXTENSION flagscope;
DROP FUNCTION flagscope._floor;
CREATE OPERATOR flagscope.= (LEFTARG = text, RIGHTARG = name, FUNCTION = texteqname);
CREATE EXTENSION flagscope;
DROP OPERATOR flagscope.= (text, name);
CREATE TABLE flagscope.flag (key text);
CREATE EXTENSION flagscope;
DROP TABLE flagscope.flag;
CREATE TYPE flagscope.value_type AS ENUM ('boolean');
CREATE EXTENSION flagscope;
DROP TYPE flagscope.value_type;
CREATE COLLATION flagscope."C" (locale = 'C');
CREATE EXTENSION flagscope;
DROP COLLATION flagscope."C";
CREATE SEQUENCE flagscope.a; CREATE SEQUENCE flagscope.b; CREATE SEQUENCE flagscope.c; CREATE SEQUENCE flagscope.d;
CREATE EXTENSION flagscope;
DROP SCHEMA flagscope CASCADE;

-- The check itself calls nothing of the schema: these fit its calls better than PostgreSQL's own.
CREATE SCHEMA flagscope;
CREATE FUNCTION flagscope.hijack(name, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'called by the install script'; END $$;
CREATE OPERATOR flagscope.= (LEFTARG = name, RIGHTARG = text, FUNCTION = flagscope.hijack);
CREATE FUNCTION flagscope.coalesce(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'called by the install script'; END $$;
CREATE FUNCTION flagscope.format(text, name) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'called by the install script'; END $$;
CREATE EXTENSION flagscope;
DROP SCHEMA flagscope CASCADE;

-- An empty one is taken that is the superuser's, as a dump makes it; another superuser's becomes the installer's.
CREATE SCHEMA flagscope AUTHORIZATION regress_flagscope_superuser;
CREATE EXTENSION flagscope;
SELECT nspowner::regrole = current_user::regrole AS is_installers FROM pg_namespace WHERE nspname = 'flagscope';
-- The search path of the session is as it was; the one that DROP EXTENSION leaves is taken again.
SELECT current_setting('search_path') = (SELECT reset_val FROM pg_settings WHERE name = 'search_path') AS is_as_before;
DROP EXTENSION flagscope;
CREATE EXTENSION flagscope;
DROP EXTENSION flagscope;
DROP SCHEMA flagscope;
CREATE EXTENSION flagscope;
SELECT count(*) AS flags FROM flagscope.flag;

-- Nor does what the extension leaves behind go into a schema that somebody else has made for it.
SELECT made > 0 AS made FROM flagscope.maintain('2040-01-02');
CREATE SCHEMA regress_flagscope_kept AUTHORIZATION regress_flagscope_stranger;
SELECT count(*) FROM flagscope.detach_all('regress_flagscope_kept');
ALTER SCHEMA regress_flagscope_kept OWNER TO CURRENT_USER;
SELECT count(*) > 0 AS kept FROM flagscope.detach_all('regress_flagscope_kept');
DROP SCHEMA regress_flagscope_kept CASCADE;
DROP ROLE regress_flagscope_stranger, regress_flagscope_superuser;
