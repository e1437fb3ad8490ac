-- Names and refusals: errors for something that does not exist or is not allowed.

COMMENT ON FUNCTION _flagscope.refuse(text, text) IS
    'called by a CHECK constraint that is violated: raises check_violation with a message and a hint';
COMMENT ON FUNCTION _flagscope.raise_for_caller(text, text, text, text) IS
    'raises an error caught by a PL/pgSQL function again for its caller: SQLSTATE, message, '
    'detail and hint, without the inner CONTEXT';
COMMENT ON FUNCTION _flagscope.unknown(text, text, text[], text) IS
    'raises an error for a name that does not exist; the hint has similar names, '
    'else some existing ones, else the given text';
COMMENT ON FUNCTION _flagscope.names_hint(text, text[], text) IS 'the hint of unknown()';

CREATE FUNCTION _flagscope.finite(what text, at timestamptz) RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT isfinite(at) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('the time of %s must be finite, got "%s"', what, at),
            HINT = 'For example now().';
    END IF;
    RETURN at;
END $$;
COMMENT ON FUNCTION _flagscope.finite(text, timestamptz) IS 'returns the time; raises if it is infinite';

CREATE FUNCTION _flagscope.flag_keys() RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE
RETURN ARRAY(SELECT f.key FROM flagscope.flag_definition f);
COMMENT ON FUNCTION _flagscope.flag_keys() IS 'the keys of all flags, for a hint';

CREATE FUNCTION _flagscope.metric_names() RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE
RETURN ARRAY(SELECT m.name FROM flagscope.metric_definition m);
COMMENT ON FUNCTION _flagscope.metric_names() IS 'the names of all metrics, for a hint';

CREATE FUNCTION _flagscope.require_flag(flag text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Measurements of a flag can still be read after the flag was deleted.
    IF EXISTS (SELECT FROM flagscope.flag_definition f WHERE f.key = flag)
        OR EXISTS (SELECT FROM flagscope.variant_history h WHERE h.flag = require_flag.flag)
        OR EXISTS (SELECT FROM flagscope.variant_rollup r WHERE r.flag = require_flag.flag) THEN
        RETURN;
    END IF;
    PERFORM _flagscope.unknown('flag', flag, _flagscope.flag_keys(), 'Create it with flagscope.create_flag(key).');
END $$;
COMMENT ON FUNCTION _flagscope.require_flag(text) IS
    'raises unless the flag exists, or rollups of it after it was deleted';

CREATE FUNCTION _flagscope.require_metric(metric text) RETURNS flagscope.metric_definition
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m flagscope.metric_definition;
BEGIN
    SELECT x.* INTO m FROM flagscope.metric_definition x WHERE x.name = metric;
    IF NOT FOUND THEN
        PERFORM _flagscope.unknown('metric', metric, _flagscope.metric_names(),
            'Define it with flagscope.create_metric(name, kind, signal).');
    END IF;
    RETURN m;
END $$;
COMMENT ON FUNCTION _flagscope.require_metric(text) IS 'returns a metric; raises if it does not exist';

CREATE FUNCTION _flagscope.unknown_number(what text, number bigint, hint text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'undefined_object', HINT = _flagscope.message('%s', hint),
        MESSAGE = _flagscope.message('%s %s does not exist', what, coalesce(number::text, 'NULL'));
END $$;
COMMENT ON FUNCTION _flagscope.unknown_number(text, bigint, text) IS 'raises an error for an id that does not exist';

CREATE FUNCTION _flagscope.require_rollout(rollout_id bigint) RETURNS flagscope.rollout
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r flagscope.rollout;
BEGIN
    SELECT x.* INTO r FROM flagscope.rollout x WHERE x.id = rollout_id;
    IF NOT FOUND THEN
        PERFORM _flagscope.unknown_number('rollout', rollout_id,
            'See SELECT id, flag, environment, status FROM flagscope.rollout.');
    END IF;
    RETURN r;
END $$;
COMMENT ON FUNCTION _flagscope.require_rollout(bigint) IS 'returns a rollout; raises if it does not exist';

CREATE FUNCTION _flagscope.require_guardrail(guardrail_id bigint) RETURNS flagscope.guardrail
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    g flagscope.guardrail;
BEGIN
    SELECT x.* INTO g FROM flagscope.guardrail x WHERE x.id = guardrail_id;
    IF NOT FOUND THEN
        PERFORM _flagscope.unknown_number('guardrail', guardrail_id,
            'See SELECT id, flag, name FROM flagscope.guardrail.');
    END IF;
    RETURN g;
END $$;
COMMENT ON FUNCTION _flagscope.require_guardrail(bigint) IS 'returns a guardrail; raises if it does not exist';

CREATE FUNCTION _flagscope.require_decision(decision_id bigint) RETURNS flagscope.decision
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    d flagscope.decision;
BEGIN
    SELECT x.* INTO d FROM flagscope.decision x WHERE x.id = decision_id;
    IF NOT FOUND THEN
        PERFORM _flagscope.unknown_number('decision', decision_id,
            'See SELECT id, at, flag, action, reason FROM flagscope.decision.');
    END IF;
    RETURN d;
END $$;
COMMENT ON FUNCTION _flagscope.require_decision(bigint) IS 'returns a decision; raises if it does not exist';

CREATE FUNCTION _flagscope.unit_key(subject text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN octet_length(subject) > 255 THEN md5(subject) ELSE subject END;
COMMENT ON FUNCTION _flagscope.unit_key(text) IS
    'a subject as rollout_subject has it: a long one by its hash, since it might not fit into an index row';
