-- Who acts: a person or program, named by setting flagscope.actor or by the session's role. The name "flagscope" is
-- reserved for flagscope's own decisions.

CREATE FUNCTION _flagscope.check_actor(name text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Lookalikes are refused too: full-width letters and invisible characters.
    IF lower(btrim(regexp_replace(normalize(name, NFKC), E'[\\u00ad\\u200b-\\u200f\\u2060-\\u2064\\ufeff]', '', 'g'),
        E' \t\r\n'))
        = 'flagscope' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('actor "%s" is reserved for the decisions of guardrails and the ramp', name),
            HINT = 'Name the person or program that acts: actor => ''ann'', or SET flagscope.actor.';
    END IF;
    RETURN name;
END $$;
COMMENT ON FUNCTION _flagscope.check_actor(text) IS
    'returns the name of a person or program; raises if it is the reserved name "flagscope"';

CREATE FUNCTION _flagscope.actor() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
-- A database role may have the reserved name; its actions must not look like flagscope's own decisions.
RETURN coalesce(_flagscope.check_actor(nullif(current_setting('flagscope.actor', true), '')),
    CASE WHEN lower(session_user) = 'flagscope' THEN 'role ' || session_user ELSE session_user::text END);
COMMENT ON FUNCTION _flagscope.actor() IS
    'the acting person or program: setting flagscope.actor, else the session''s role';
