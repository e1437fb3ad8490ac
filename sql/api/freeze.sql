-- What prevents a rollout from reaching more users: freezes, exclusion groups, a daily limit of automatic changes.

CREATE FUNCTION _flagscope.check_freeze() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    BEGIN
        PERFORM now() AT TIME ZONE NEW.time_zone;
    EXCEPTION WHEN invalid_parameter_value THEN
        PERFORM _flagscope.unknown('time zone', NEW.time_zone, ARRAY(SELECT z.name FROM pg_timezone_names z), '');
    END;
    NEW.created_by := CASE NEW.created_by WHEN session_user::text THEN _flagscope.actor()
        ELSE _flagscope.check_actor(NEW.created_by) END;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION _flagscope.check_freeze() IS 'trigger: the time zone exists, and a person created the freeze';
CREATE TRIGGER check_freeze BEFORE INSERT OR UPDATE ON flagscope.change_freeze
    FOR EACH ROW EXECUTE FUNCTION _flagscope.check_freeze();

CREATE FUNCTION flagscope.create_change_freeze(
    name text, environment text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
    weekdays integer[] DEFAULT NULL, from_time time DEFAULT '00:00', to_time time DEFAULT '24:00',
    time_zone text DEFAULT 'UTC', tag text DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    env text;
    detail text;
    hint text;
    new_id bigint;
BEGIN
    env := CASE WHEN environment IS NOT NULL THEN _flagscope.environment(environment) END;
    INSERT INTO flagscope.change_freeze (name, environment, tag, since, until, weekdays, from_time, to_time,
        time_zone, created_by)
    VALUES (create_change_freeze.name, env, create_change_freeze.tag, create_change_freeze.since,
        create_change_freeze.until, create_change_freeze.weekdays, create_change_freeze.from_time,
        create_change_freeze.to_time, create_change_freeze.time_zone, _flagscope.actor())
    RETURNING id INTO new_id;
    RETURN new_id;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    PERFORM _flagscope.raise_for_caller(SQLSTATE, SQLERRM, detail, hint);
    RAISE;
END $$;
COMMENT ON FUNCTION flagscope.create_change_freeze(text, text, timestamptz, timestamptz, integer[], time,
    time, text, text) IS
    'prevents rollouts from widening during a period, or every week on some days ({5} with from_time 14:00: Friday '
    'afternoons); DELETE its row to lift it; returns its id';

COMMENT ON FUNCTION _flagscope.week_ends(timestamp, integer[], bigint, bigint) IS
    'when the weekly span of time ends that a local time lies in: days from 1 (Monday) to 7, from and to a time of day '
    'in microseconds; NULL: it lies in none';

CREATE FUNCTION _flagscope.freeze_ends(z flagscope.change_freeze, at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- Time zones are the server's, which its administrators keep up to date.
    SELECT CASE WHEN z.weekdays IS NULL THEN
            CASE WHEN coalesce(at >= z.since, true) AND coalesce(at < z.until, true) THEN
                coalesce(z.until, 'infinity') END
        ELSE _flagscope.week_ends(at AT TIME ZONE z.time_zone, z.weekdays,
            (1000000 * extract(epoch FROM z.from_time))::bigint,
            (1000000 * extract(epoch FROM z.to_time))::bigint) AT TIME ZONE z.time_zone END;
$$;
COMMENT ON FUNCTION _flagscope.freeze_ends(flagscope.change_freeze, timestamptz) IS
    'when a freeze ends that holds at a time; NULL: it does not hold then';

CREATE FUNCTION _flagscope.frozen(flag text, environment text, at timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('frozen (%s)', string_agg(z.name, '; ' ORDER BY z.id)) FROM flagscope.change_freeze z
    WHERE coalesce(z.environment = frozen.environment, true)
        AND (z.tag IS NULL
            OR EXISTS (SELECT FROM flagscope.flag_definition f WHERE f.key = frozen.flag AND z.tag = ANY (f.tags)))
        AND _flagscope.freeze_ends(z, at) IS NOT NULL
    HAVING count(*) > 0;
$$;
COMMENT ON FUNCTION _flagscope.frozen(text, text, timestamptz) IS
    'why rollouts of a flag may not widen at a time; NULL: they may';

CREATE FUNCTION _flagscope.automatic_changes(flag text, environment text, at timestamptz) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*) FROM flagscope.rollout r JOIN flagscope.decision d ON d.rollout_id = r.id
    WHERE r.flag = automatic_changes.flag AND r.environment = automatic_changes.environment AND d.actor = 'flagscope'
        AND d.at > at - interval '24 hours' AND d.at <= at AND NOT d.shadow AND d.action <> 'warn';
$$;
COMMENT ON FUNCTION _flagscope.automatic_changes(text, text, timestamptz) IS
    'number of automatic changes of a flag within the 24 hours before a time';

CREATE FUNCTION _flagscope.exhausted(r flagscope.rollout, at timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('the limit of %s automatic changes within 24 hours is reached (setting rollout.max_automatic): '
        'a person must advance it', x.n)
    FROM _flagscope.automatic_changes(r.flag, r.environment, at) x(n)
    WHERE x.n >= _flagscope.setting_number('rollout.max_automatic');
$$;
COMMENT ON FUNCTION _flagscope.exhausted(flagscope.rollout, timestamptz) IS
    'why a rollout no longer widens automatically today; rollbacks are not limited';

CREATE FUNCTION _flagscope.check_widening(r flagscope.rollout, at timestamptz, override boolean, reason text)
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Refused at the start; a later change of targeting may be urgent, so it only warns.
    biased text := CASE r.status
        WHEN 'draft' THEN (SELECT _flagscope.not_by_chance(s, r.treatment, r.control) FROM flagscope.flag_state s
            WHERE s.flag = r.flag AND s.environment = r.environment) END;
    unwatched text := CASE r.status WHEN 'draft' THEN _flagscope.unwatched(r.flag, r.environment, at) END;
    frozen text := _flagscope.frozen(r.flag, r.environment, at);
    obstacle text := concat_ws('; ', frozen, biased, unwatched);
BEGIN
    IF obstacle = '' THEN
        RETURN '{}';
    ELSIF NOT coalesce(override, false) AND frozen IS NULL AND biased IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('treatment and control of flag "%s" would not be comparable: %s',
                r.flag, biased),
            HINT = 'Give these users a variant of their own with the same value, '
                'or pass override => true and a reason.';
    ELSIF NOT coalesce(override, false) AND frozen IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('a rollout of flag "%s" in environment "%s" would go on by time alone, '
                'whatever happens: %s', r.flag, r.environment, unwatched),
            HINT = _flagscope.message('%s, or pass override => true and a reason.', CASE
                WHEN _flagscope.unguarded(r.flag, r.environment) IS NULL
                    THEN 'See what a metric matches with flagscope.preview_metric(metric)'
                ELSE format('Create one with flagscope.create_guardrail(%L, metric)', r.flag) END);
    ELSIF NOT coalesce(override, false) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('flag "%s" in environment "%s" is %s', r.flag, r.environment, obstacle),
            HINT = 'Wait, or pass override => true and a reason.';
    ELSIF coalesce(reason, '') = '' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('an override needs a reason: %s', obstacle);
    END IF;
    RETURN jsonb_build_object('override', obstacle);
END $$;
COMMENT ON FUNCTION _flagscope.check_widening(flagscope.rollout, timestamptz, boolean, text) IS
    'raises during a freeze, and at a start if targeting or prerequisites serve an arm of the rollout or no guardrail '
    'would see anything, unless overridden with a reason; returns what was overridden, for the decision''s evidence';

CREATE FUNCTION _flagscope.check_excluded(r flagscope.rollout) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    other flagscope.rollout;
BEGIN
    SELECT * INTO other FROM flagscope.rollout x
    WHERE x.environment = r.environment AND x.exclusion_group = r.exclusion_group AND x.id <> r.id
        AND x.status IN ('running', 'paused', 'held');
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('rollout %s of flag "%s" is %s and excludes rollout %s (exclusion group "%s")',
                other.id, other.flag, other.status, r.id, r.exclusion_group),
            HINT = _flagscope.message(
                'Complete it or roll it back first: flagscope.complete_rollout(%s), flagscope.rollback_rollout(%s).',
                other.id, other.id);
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.check_excluded(flagscope.rollout) IS
    'raises if another rollout of the exclusion group is live; '
    'of two that start concurrently, a unique index refuses one';
