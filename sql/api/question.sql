-- What a correlation asks: which flag, arms, metric and time, checked and completed.

CREATE FUNCTION _flagscope.question_arms(flag text, environment text, until timestamptz, treatment text, control text,
    OUT treated text, OUT compared text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    names text[] := ARRAY(SELECT jsonb_object_keys(_flagscope.variants(question_arms.flag, environment)));
    r flagscope.rollout;
BEGIN
    -- The rollout of that time, else the latest one; without any, a flag of two variants says itself which is new.
    SELECT * INTO r FROM flagscope.rollout x WHERE x.flag = question_arms.flag
        AND x.environment = question_arms.environment
    ORDER BY coalesce(x.started_at <= until, false) DESC, x.started_at DESC NULLS LAST, x.id DESC LIMIT 1;
    compared := coalesce(control, r.control, (SELECT s.default_variant FROM flagscope.flag_state s
        WHERE s.flag = question_arms.flag AND s.environment = question_arms.environment));
    treated := coalesce(treatment, r.treatment, CASE WHEN cardinality(names) = 2 THEN
        (SELECT n FROM unnest(names) n WHERE n <> compared) END);
    IF treated IS NULL OR compared IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message(
                'flag "%s" has no rollout and %s variants: which two are compared is not clear',
                flag, cardinality(names)),
            HINT = 'Name them: treatment => ''...'', control => ''...''.';
    ELSIF treated = compared THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('treatment and control are both variant "%s"', treated),
            HINT = 'Name two variants of the flag.';
    END IF;
    -- Rows of a flag that was deleted can still be asked.
    IF cardinality(names) > 0 AND NOT ARRAY[treated, compared] <@ names AND num_nonnulls(treatment, control) > 0 THEN
        PERFORM _flagscope.unknown('variant', CASE WHEN treated = ANY (names) THEN compared ELSE treated END, names,
            '');
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.question_arms(text, text, timestamptz, text, text) IS
    'the two variants that a question compares: those given, else those of the flag''s rollout at that time; raises '
    'where they are not clear';

CREATE FUNCTION _flagscope.question_metric(flag text, environment text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found text := (SELECT g.metric
        FROM flagscope.guardrail g JOIN flagscope.metric_definition m ON m.name = g.metric AND m.query
        IS NULL
        LEFT JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id
        WHERE g.flag = question_metric.flag AND g.environment = question_metric.environment AND g.enabled
            AND g.scope = 'flag'
        ORDER BY s.breached_at IS NOT NULL DESC, s.log_e + ln(s.alpha) DESC NULLS LAST, s.max_log_e DESC NULLS LAST,
            g.id LIMIT 1);
BEGIN
    IF found IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message(
                'flag "%s" has no guardrail on telemetry in %s: which metric is asked about is not clear',
                flag, environment),
            HINT = _flagscope.names_hint('', _flagscope.metric_names(),
                'Define one with flagscope.create_metric(name, kind, signal).')
                || ' Name it: metric => ''...''.';
    END IF;
    RETURN found;
END $$;
COMMENT ON FUNCTION _flagscope.question_metric(text, text) IS
    'the metric of a flag that harm is looked for in when none is named: that of the guardrail with the most evidence';

CREATE FUNCTION _flagscope.newest_rows(flag text, metric text, environment text, since timestamptz, until timestamptz,
    most float8)
RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- From rollups, which do not grow with the rows. A metric that is not on watch has none: then reading ends by
    -- itself.
    SELECT coalesce((SELECT max(x.bucket) FROM (
        SELECT v.bucket, sum(sum(v.n)) OVER (ORDER BY v.bucket DESC) AS n
        FROM _flagscope.variant_states(newest_rows.flag, newest_rows.since, newest_rows.until, '10 minutes',
            newest_rows.metric,
            newest_rows.environment) v WHERE v.variant <> ''
        GROUP BY v.bucket) x WHERE x.n > most AND x.bucket > newest_rows.since),
                newest_rows.since);
$$;
COMMENT ON FUNCTION _flagscope.newest_rows(text, text, text, timestamptz, timestamptz, float8) IS
    'since when a metric of a flag has at most so many rows, by its rollups; since itself where all of them are fewer';

CREATE FUNCTION _flagscope.question_stages(flag text, environment text, since timestamptz, until timestamptz)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- All that decides who gets which variant, whoever changed it: where it is the same again, so is the stage. Rows
    -- from before the flag was known are a stage of their own.
    SELECT coalesce(jsonb_agg(jsonb_build_array((extract(epoch FROM x.begun - timestamptz '2000-01-01 00:00:00+00')
        * 1000000)::bigint, x.served) ORDER BY x.begun), '[]')
    FROM (SELECT greatest(lower(h.valid), question_stages.since) AS begun,
            md5((h.definition - '{metadata,value_schema}'::text[])::text) AS served
        FROM flagscope.flag_state_history h WHERE h.flag = question_stages.flag
            AND h.environment = question_stages.environment
            AND h.valid && tstzrange(question_stages.since, question_stages.until)
        UNION ALL SELECT question_stages.since, '' WHERE NOT EXISTS (SELECT FROM flagscope.flag_state_history h
            WHERE h.flag = question_stages.flag AND h.environment = question_stages.environment
                AND h.valid @> question_stages.since)) x;
$$;
COMMENT ON FUNCTION _flagscope.question_stages(text, text, timestamptz, timestamptz) IS
    'what a flag served since when in a range, as JSON: a list of microseconds since 2000 and a hash of its state';

CREATE FUNCTION _flagscope.question_of(flag text, m flagscope.metric_definition, environment text, since timestamptz,
    until timestamptz, treatment text, control text, attributes text[], max_order integer) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, MDY'
SET intervalstyle = 'postgres' SET extra_float_digits = 1
AS $$
#variable_conflict use_variable
DECLARE
    last timestamptz := _flagscope.finite('until', coalesce(until, clock_timestamp()));
    first timestamptz := _flagscope.finite('since', coalesce(since, last - interval '1 hour'));
    arms record;
    newest timestamptz;
BEGIN
    IF first >= last THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('the range from %s to %s is empty', first, last),
            HINT = 'since lies before until.';
    ELSIF max_order IS NULL OR max_order NOT IN (1, 2) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('max_order is 1 or 2, got %s', coalesce(max_order::text, 'NULL')),
            HINT = '1: segments of one attribute; 2: of two as well.';
    ELSIF array_position(attributes, NULL) IS NOT NULL OR cardinality(attributes) = 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'attributes is a list of names without NULL',
            HINT = 'For example ''{country,app_version}''; leave it out for all.';
    END IF;
    arms := _flagscope.question_arms(flag, environment, last, treatment, control);
    newest := _flagscope.newest_rows(flag, m.name, environment, first, last,
        _flagscope.setting_number('correlate.rows'));
    RETURN jsonb_build_object('flag', flag, 'treatment', arms.treated, 'control', arms.compared,
        'metric', _flagscope.metric_definition(m), 'metric_name', m.name, 'environment', environment,
        'environments', (SELECT to_jsonb(e.key || e.aliases)
            FROM flagscope.environment_definition e WHERE e.key = environment),
        'takes_unnamed', environment = (SELECT e.key FROM flagscope.environment_definition e
            WHERE coalesce(nullif(current_setting('flagscope.environment', true), ''), 'production') IN
                (SELECT unnest(e.key || e.aliases))),
        'harm_is_less', m.harm = 'decrease', 'attributes', to_jsonb(attributes), 'max_order', max_order,
        'stages', _flagscope.question_stages(flag, environment, newest, last),
        'since', newest, 'until', last, 'asked_since', first, 'alpha', _flagscope.setting_number('correlate.alpha'),
        'rows', _flagscope.setting_number('correlate.rows'), 'memory', _flagscope.setting_number('correlate.memory'),
        'milliseconds', 1000 * extract(epoch FROM _flagscope.setting_interval('correlate.timeout')));
END $$;
COMMENT ON FUNCTION _flagscope.question_of(text, flagscope.metric_definition, text, timestamptz, timestamptz, text,
    text, text[], integer) IS
    'a question about a metric in an environment by its key, with all that is needed to answer it; raises for what is '
    'unclear';

CREATE FUNCTION _flagscope.question(flag text, metric text, environment text, since timestamptz, until timestamptz,
    treatment text, control text, attributes text[], max_order integer) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    env text := _flagscope.environment(environment);
    m flagscope.metric_definition;
BEGIN
    PERFORM _flagscope.require_flag(flag);
    m := _flagscope.require_metric(coalesce(metric, _flagscope.question_metric(flag, env)));
    IF m.query IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
            MESSAGE = _flagscope.message('metric "%s" is a query: its rows have no attributes to look into', m.name),
            HINT = 'Ask about a metric of telemetry.';
    END IF;
    RETURN _flagscope.question_of(flag, m, env, since, until, treatment, control, attributes, max_order);
END $$;
COMMENT ON FUNCTION _flagscope.question(text, text, text, timestamptz, timestamptz, text, text, text[], integer) IS
    'the same by names: a metric (NULL: the one with the most evidence) and an environment; raises for what is unknown';
