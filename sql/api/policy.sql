-- Policies: guardrails for many flags, attached when a rollout starts; and rules given as JSON.

CREATE FUNCTION _flagscope.rule_keys() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '{name,metric,comparison,test,quantile,margin,margin_absolute,limit_value,action,on_state,priority,weight,'
    'min_sample,time_window,breaches,of_looks,grace,stale_after,shadow,description,design_effect,scope,'
    'variants,advance_when,safe_margin,detectable,per_unit}'::text[];
COMMENT ON FUNCTION _flagscope.rule_keys() IS
    'what a rule as JSON may have: columns of guardrail, and per_unit as of create_guardrail()';

CREATE FUNCTION _flagscope.proposed(rule jsonb, flag text, environment text) RETURNS flagscope.guardrail
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m flagscope.metric_definition := (SELECT x FROM flagscope.metric_definition x WHERE x.name = rule ->> 'metric');
    unknown text := (SELECT min(k)
        FROM jsonb_object_keys(CASE jsonb_typeof(rule) WHEN 'object' THEN rule ELSE '{}' END) k
        WHERE k <> ALL (_flagscope.rule_keys()));
    problem text;
    g flagscope.guardrail;
BEGIN
    IF jsonb_typeof(rule) IS DISTINCT FROM 'object' OR unknown IS NOT NULL OR m.kind IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = CASE WHEN unknown IS NULL AND rule ? 'metric' THEN 'undefined_object'
                ELSE 'invalid_parameter_value' END,
            MESSAGE = CASE WHEN unknown IS NOT NULL THEN _flagscope.message('a rule has no "%s"', unknown)
                WHEN rule ? 'metric' THEN _flagscope.message('metric "%s" does not exist', rule ->> 'metric')
                ELSE 'a rule must be a JSON object with at least a metric' END,
            HINT = CASE
                WHEN unknown IS NULL AND rule ? 'metric' THEN
                    _flagscope.names_hint(rule ->> 'metric', _flagscope.metric_names(),
                        'Define it with flagscope.create_metric(name, kind, signal).')
                ELSE format('A rule may have: %s.', array_to_string(_flagscope.rule_keys(), ', ')) END;
    ELSIF jsonb_typeof(rule -> 'per_unit') <> 'boolean' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('per_unit of a rule must be true or false, got %s',
                (rule -> 'per_unit')::text),
            HINT = 'true counts each user once; the default is false.';
    END IF;
    IF (rule ->> 'per_unit')::boolean THEN
        m := _flagscope.by_unit(m);
    END IF;
    g := jsonb_populate_record(NULL::flagscope.guardrail, jsonb_build_object('name', m.name,
        'comparison', CASE WHEN rule ->> 'test' = 'anomaly' THEN 'baseline' WHEN rule ? 'limit_value' THEN 'absolute'
            ELSE 'control' END,
        'test', _flagscope.default_test(m.kind,
            CASE WHEN rule ? 'comparison' THEN (rule ->> 'comparison')::flagscope.comparison
                WHEN rule ? 'limit_value' THEN 'absolute' ELSE 'control' END), 'action', 'rollback',
        'on_state', '{}'::jsonb, 'priority', 0, 'weight', 1, 'breaches', 1,
        'of_looks', coalesce(rule -> 'breaches', '1'), 'shadow', false, 'description', '', 'scope', 'flag')
        || rule || jsonb_build_object('metric', m.name, 'flag', flag, 'environment', environment, 'enabled', true,
            'version', 1));
    problem := coalesce(_flagscope.guardrail_problem(g, m), CASE
        WHEN g.action NOT IN ('warn', 'hold', 'pause', 'step_back', 'rollback', 'disable') THEN
            format('"%s" is not an action of a guardrail', g.action)
        WHEN (g.comparison = 'absolute') <> (g.limit_value IS NOT NULL) THEN
            'limit_value and comparison "absolute" must be used together'
        WHEN g.comparison = 'control' AND g.test <> 'sequential' THEN
            'against the control, the test must be "sequential"'
        WHEN g.margin NOT BETWEEN 0 AND 1 THEN
            format('margin must be a share between 0 and 1 (2 %% is 0.02), got "%s"', g.margin)
        WHEN g.margin IS NOT NULL AND g.comparison = 'absolute' THEN format('a limit has no margin, got "%s"', g.margin)
        WHEN NOT (g.design_effect >= 1 AND g.design_effect < 'Infinity') THEN
            format('design_effect must be at least 1, got "%s"', g.design_effect)
        WHEN NOT (g.advance_when IN ('clear', 'power', 'safe')) THEN
            format('advance_when must be "clear", "power" or "safe", got "%s"', left(g.advance_when, 100))
        WHEN g.safe_margin IS NOT NULL AND g.advance_when IS DISTINCT FROM 'safe' THEN
            format('safe_margin "%s" needs advance_when "safe"', g.safe_margin)
        WHEN NOT (g.safe_margin > 0 AND g.safe_margin <= 1) THEN
            format('safe_margin must be a share above 0 and at most 1 (5 %% is 0.05), got "%s"', g.safe_margin)
        WHEN NOT (g.detectable = 0 OR (g.detectable > 1 AND g.detectable <= 100)) THEN
            format('detectable must be above 1 and at most 100, or 0, got "%s"', g.detectable)
        WHEN NOT (g.quantile > 0 AND g.quantile < 1) THEN
            format('quantile must be between 0 and 1 (the 95th percentile is 0.95), got "%s"', g.quantile)
        ELSE _flagscope.scope_problem(g) END);
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('rule "%s": %s', g.name, problem),
            HINT = 'See the column comments of flagscope.guardrail.';
    END IF;
    RETURN g;
END $$;
COMMENT ON FUNCTION _flagscope.proposed(jsonb, text, text) IS
    'a guardrail of a flag from a rule as JSON; omitted columns have their defaults';

CREATE FUNCTION _flagscope.check_policy() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM _flagscope.proposed(NEW.rule || jsonb_build_object('name', NEW.name), '', '');
    -- As create_guardrail() does, so that whoever makes the policy sees the metric that it counts.
    IF (NEW.rule ->> 'per_unit')::boolean THEN
        PERFORM _flagscope.metric_by_unit(NEW.rule ->> 'metric');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION _flagscope.check_policy() IS 'trigger: a guardrail can be created from the rule';
CREATE TRIGGER check_policy BEFORE INSERT OR UPDATE ON flagscope.guardrail_policy
    FOR EACH ROW EXECUTE FUNCTION _flagscope.check_policy();

CREATE FUNCTION flagscope.create_policy(name text, rule jsonb, environment text DEFAULT NULL, tag text DEFAULT NULL,
    description text DEFAULT '')
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    detail text;
    hint text;
    new_id bigint;
BEGIN
    INSERT INTO flagscope.guardrail_policy (name, environment, tag, rule, description)
    VALUES (create_policy.name,
        CASE WHEN create_policy.environment IS NOT NULL THEN _flagscope.environment(create_policy.environment) END,
        create_policy.tag, create_policy.rule, create_policy.description)
    RETURNING id INTO new_id;
    RETURN new_id;
EXCEPTION WHEN unique_violation THEN
    PERFORM _flagscope.raise_for_caller('42710', _flagscope.message('policy "%s" exists already', create_policy.name),
        NULL, 'UPDATE flagscope.guardrail_policy changes it.');
WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    PERFORM _flagscope.raise_for_caller(SQLSTATE, SQLERRM, detail, hint);
    RAISE;
END $$;
COMMENT ON FUNCTION flagscope.create_policy(text, jsonb, text, text, text) IS
    'defines a guardrail for every flag with a tag (NULL: all flags) in an environment (NULL: all), for example '
    'create_policy(''errors'', ''{"metric": "http errors"}''); attached when a rollout starts; returns its id';

CREATE FUNCTION _flagscope.attach(p flagscope.guardrail_policy, r flagscope.rollout) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    g flagscope.guardrail := _flagscope.proposed(p.rule || jsonb_build_object('name', p.name), r.flag, r.environment);
BEGIN
    IF (p.rule ->> 'per_unit')::boolean THEN
        -- Somebody may have removed it since.
        PERFORM _flagscope.metric_by_unit(p.rule ->> 'metric');
    END IF;
    -- A guardrail of that name that was created for the flag itself takes precedence.
    INSERT INTO flagscope.guardrail AS x (name, flag, environment, metric, comparison, test, quantile, margin,
        limit_value, action, on_state, priority, weight, min_sample, time_window, breaches, of_looks, grace,
        stale_after, shadow, description, design_effect, margin_absolute, scope, variants, advance_when, safe_margin,
        detectable, policy_id)
    VALUES (g.name, g.flag, g.environment, g.metric, g.comparison, g.test, g.quantile, g.margin, g.limit_value,
        g.action, g.on_state, g.priority, g.weight, g.min_sample, g.time_window, g.breaches, g.of_looks, g.grace,
        g.stale_after, g.shadow, g.description, g.design_effect, g.margin_absolute, g.scope, g.variants,
        g.advance_when, g.safe_margin, g.detectable, p.id)
    ON CONFLICT (flag, environment, name)
        DO UPDATE SET metric = g.metric, comparison = g.comparison, test = g.test, quantile = g.quantile,
        margin = g.margin, limit_value = g.limit_value, action = g.action, on_state = g.on_state, priority = g.priority,
        weight = g.weight, min_sample = g.min_sample, time_window = g.time_window, breaches = g.breaches,
        of_looks = g.of_looks, grace = g.grace, stale_after = g.stale_after, shadow = g.shadow,
        advance_when = g.advance_when, safe_margin = g.safe_margin, detectable = g.detectable,
        description = g.description, design_effect = g.design_effect,
        margin_absolute = g.margin_absolute, scope = g.scope, variants = g.variants, enabled = true
    WHERE x.policy_id = p.id;
EXCEPTION WHEN check_violation OR invalid_parameter_value OR undefined_object OR object_not_in_prerequisite_state
THEN
    RAISE EXCEPTION USING ERRCODE = SQLSTATE,
        MESSAGE = _flagscope.message('policy "%s" cannot be attached to flag "%s": %s', p.name, r.flag, SQLERRM),
        HINT = 'Correct its rule, or set enabled = false in flagscope.guardrail_policy.';
END $$;
COMMENT ON FUNCTION _flagscope.attach(flagscope.guardrail_policy, flagscope.rollout) IS
    'creates or updates the guardrail that a policy gives a flag';

CREATE FUNCTION _flagscope.attach_policies(r flagscope.rollout) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p flagscope.guardrail_policy;
    attached bigint[] := '{}';
BEGIN
    FOR p IN SELECT x.* FROM flagscope.guardrail_policy x JOIN flagscope.flag_definition f ON f.key = r.flag
        WHERE x.enabled AND coalesce(x.environment = r.environment, true) AND (x.tag IS NULL OR x.tag = ANY (f.tags))
        ORDER BY x.id
    LOOP
        PERFORM _flagscope.attach(p, r);
        attached := attached || p.id;
    END LOOP;
    UPDATE flagscope.guardrail g SET enabled = false
    WHERE g.flag = r.flag AND g.environment = r.environment AND g.enabled AND g.policy_id IS NOT NULL
        AND g.policy_id <> ALL (attached);
END $$;
COMMENT ON FUNCTION _flagscope.attach_policies(flagscope.rollout) IS
    'gives a rollout''s flag the guardrails of the policies that apply to it, '
    'and disables those of policies that no longer apply';

CREATE FUNCTION _flagscope.prepare_start(r flagscope.rollout) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM _flagscope.check_stage_plan(r.id), _flagscope.check_excluded(r), _flagscope.attach_policies(r);
    -- The result of an earlier rollout is no longer what is served: end its follow-up.
    UPDATE flagscope.rollout x SET follow_up_until = NULL
    WHERE x.flag = r.flag AND x.environment = r.environment AND x.id <> r.id AND x.follow_up_until IS NOT NULL;
    -- There may be millions; maintain() deletes the rest.
    DELETE FROM flagscope.rollout_subject u
    WHERE u.ctid = ANY (ARRAY(SELECT o.ctid
        FROM flagscope.rollout x JOIN flagscope.rollout_subject o ON o.rollout_id = x.id
        WHERE x.flag = r.flag AND x.environment = r.environment AND x.id <> r.id LIMIT 10000));
END $$;
COMMENT ON FUNCTION _flagscope.prepare_start(flagscope.rollout) IS
    'at the start of a rollout: checks plan and exclusion group, attaches policies, ends an earlier follow-up';
