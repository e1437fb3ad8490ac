-- Guardrails: checks of a rule, and the function that creates one.

CREATE FUNCTION _flagscope.on_state_problem(on_state jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN jsonb_typeof(on_state) <> 'object' THEN 'on_state must be a JSON object like {"no_data": "rollback"}'
        ELSE (SELECT format('on_state must map inconclusive, not_enough, no_data, stale, silent, no_control or error '
            'to "wait", "ignore" or an action, got "%s": %s', k.key, k.value)
              FROM jsonb_each(on_state) k
              WHERE k.key NOT IN ('inconclusive', 'not_enough', 'no_data', 'stale', 'silent', 'no_control', 'error')
                  OR k.value NOT IN ('"wait"', '"ignore"', '"warn"', '"hold"', '"pause"', '"step_back"',
                      '"rollback"', '"disable"')
              LIMIT 1) END;
$$;
COMMENT ON FUNCTION _flagscope.on_state_problem(jsonb) IS 'what is wrong with a guardrail''s on_state; NULL: nothing';

CREATE FUNCTION _flagscope.default_test(kind flagscope.metric_kind, comparison flagscope.comparison)
RETURNS flagscope.guardrail_test
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN _flagscope.is_tested(kind::text, comparison = 'control') THEN 'sequential'
    ELSE 'threshold' END::flagscope.guardrail_test;
COMMENT ON FUNCTION _flagscope.default_test(flagscope.metric_kind, flagscope.comparison) IS
    'sequential, except where there is no sequential test: ratios, and means against a limit or a baseline';

CREATE FUNCTION _flagscope.margin_absolute_problem(g flagscope.guardrail, m flagscope.metric_definition) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN g.margin_absolute IS NULL THEN NULL
        WHEN g.margin IS NOT NULL THEN
            'a margin is either relative (margin) or in the metric''s unit (margin_absolute), not both'
        WHEN g.comparison = 'absolute' THEN 'a limit has no margin: set limit_value to the worst tolerated value'
        WHEN NOT (g.margin_absolute > 0 AND g.margin_absolute < 'Infinity')
            THEN format('margin_absolute must be a positive number, got "%s"', g.margin_absolute) END;
$$;
COMMENT ON FUNCTION _flagscope.margin_absolute_problem(flagscope.guardrail, flagscope.metric_definition) IS
    'why an absolute margin does not fit a rule; NULL: it does';

CREATE FUNCTION _flagscope.guardrail_problem(g flagscope.guardrail, m flagscope.metric_definition) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN m.kind IS NULL THEN NULL  -- the foreign key says so
        WHEN g.scope = 'environment' AND g.comparison = 'control' THEN NULL  -- so does a constraint, with a hint
        WHEN g.test = 'anomaly'
            AND (g.comparison <> 'baseline' OR g.margin IS NOT NULL OR g.margin_absolute IS NOT NULL)
            THEN 'an anomaly is judged against the flag''s own past: '
                'comparison must be "baseline", and there is no margin'
        WHEN g.test = 'anomaly'
            AND NOT (g.time_window BETWEEN '1 minute' AND '1 hour'
                AND extract(epoch FROM g.time_window)::numeric % 60 = 0)
            THEN format('time_window of an anomaly must be whole minutes, from 1 to 60, got "%s"', g.time_window)
        WHEN _flagscope.is_polled(m) AND g.scope = 'environment'
            THEN format('metric "%s" %s: its rows belong to variants, and scope "environment" reads all rows of '
                'telemetry', g.metric, CASE WHEN m.query IS NULL THEN 'has a conversion window' ELSE 'is a query' END)
        WHEN _flagscope.is_polled(m) AND g.comparison = 'baseline'
            THEN format('metric "%s" %s only during rollouts: it has no past to take a baseline from', g.metric,
                CASE WHEN m.query IS NULL THEN 'has a conversion window and is counted'
                    ELSE 'is a query, which runs' END)
        ELSE coalesce(_flagscope.margin_absolute_problem(g, m),
            _flagscope.kind_problem(m.kind::text, g.metric, m.cap, m.harm::text, g.comparison::text, g.test::text,
                g.quantile, g.limit_value, g.margin, g.margin_absolute),
            _flagscope.on_state_problem(g.on_state)) END;
$$;
COMMENT ON FUNCTION _flagscope.guardrail_problem(flagscope.guardrail, flagscope.metric_definition) IS
    'why a rule does not fit a metric; NULL: it does';

CREATE FUNCTION _flagscope.measures_anew(was flagscope.guardrail, now_is flagscope.guardrail) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (to_jsonb(now_is) - x.only_acts) <> (to_jsonb(was) - x.only_acts)
        -- Shadow rules own no alpha and warnings reuse theirs: restart the evidence when they begin to act.
        OR ((was.shadow OR was.action = 'warn') AND NOT (now_is.shadow OR now_is.action = 'warn'))
    FROM (SELECT '{enabled,shadow,action,on_state,priority,grace,stale_after,breaches,of_looks,policy_id,description,'
        'name,version,min_sample,advance_when,safe_margin,detectable}'::text[]) x(only_acts);
$$;
COMMENT ON FUNCTION _flagscope.measures_anew(flagscope.guardrail, flagscope.guardrail) IS
    'does a changed rule measure something else, so that earlier evidence does not apply';

CREATE FUNCTION _flagscope.keep_evidence(was flagscope.guardrail, now_is flagscope.guardrail) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    -- What is healthy by a tighter rule is so by the old one. So the evidence up to now is valid for the new rule, too,
    -- and what comes is weighed by that (src/core/stats/README.md, section 6).
    UPDATE flagscope.guardrail_status s SET guardrail_version = now_is.version, margin = x.margin,
        margin_absolute = now_is.margin_absolute, limit_value = now_is.limit_value
    FROM flagscope.rollout r, flagscope.metric_definition m, LATERAL (SELECT _flagscope.margin(now_is) AS margin,
        '{enabled,action,on_state,priority,grace,stale_after,breaches,of_looks,policy_id,description,name,version,'
        'min_sample,margin,margin_absolute,limit_value,advance_when,safe_margin,detectable}'::text[] AS kept) x
    WHERE s.guardrail_id = was.id AND r.id = s.rollout_id AND m.name = was.metric
        AND (r.status IN ('draft', 'running', 'paused', 'held') OR r.follow_up_until IS NOT NULL)
        AND was.test = 'sequential' AND was.comparison <> 'baseline' AND NOT s.carries_on
        AND to_jsonb(was) - x.kept = to_jsonb(now_is) - x.kept
        -- A warning that was armed again has used its share of the budget more than once.
        AND (was.action <> 'warn' OR now_is.action = 'warn' OR NOT s.rearmed)
        AND CASE
            WHEN was.comparison = 'absolute' THEN
                CASE m.harm WHEN 'increase' THEN now_is.limit_value <= s.limit_value
                    ELSE now_is.limit_value >= s.limit_value END
            WHEN s.margin_absolute IS NOT NULL THEN now_is.margin_absolute <= s.margin_absolute
            ELSE now_is.margin_absolute IS NULL AND x.margin <= s.margin END;
$$;
COMMENT ON FUNCTION _flagscope.keep_evidence(flagscope.guardrail, flagscope.guardrail) IS
    'a change that only tightens a sequential rule (a smaller margin, a stricter limit, more than a warning) keeps the '
    'evidence and its share of the error budget';

CREATE FUNCTION _flagscope.drop_evidence(was flagscope.guardrail, now_is flagscope.guardrail) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gone record;
BEGIN
    FOR gone IN
        DELETE FROM flagscope.guardrail_status s USING flagscope.rollout r
        WHERE s.guardrail_id = was.id AND s.guardrail_version <> now_is.version AND r.id = s.rollout_id
            AND (r.status IN ('draft', 'running', 'paused', 'held') OR r.follow_up_until IS NOT NULL)
        RETURNING r.id, s.alpha, r.alpha_left, _flagscope.alpha_half(r.alpha_left) AS share, s.max_log_e
    LOOP
        CONTINUE WHEN now_is.test <> 'sequential' OR now_is.shadow;
        RAISE NOTICE USING MESSAGE = _flagscope.message('the evidence of guardrail "%s" begins anew in rollout %s with '
                'half of the error budget that is left: harm is proven at ln e %s, before at %s; %s of %s is left then',
                now_is.name, gone.id, round(-ln(gone.share)::numeric, 1), round(-ln(gone.alpha)::numeric, 1),
                gone.share, (SELECT r.alpha FROM flagscope.rollout r WHERE r.id = gone.id)),
            HINT = 'A smaller margin, a stricter limit or another action keeps the evidence; a larger margin does not.';
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.drop_evidence(flagscope.guardrail, flagscope.guardrail) IS
    'a rule that measures something else begins anew in live rollouts, and whoever changes it is told what that costs';

CREATE FUNCTION _flagscope.check_guardrail() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem text;
BEGIN
    IF NEW.test = 'anomaly' AND NEW.time_window IS NULL THEN
        -- all points of a series have the same width
        NEW.time_window := _flagscope.setting_interval('guardrail.anomaly_window');
    END IF;
    IF TG_OP = 'INSERT' THEN
        PERFORM _flagscope.check_rollout_variants(NEW.flag, NEW.environment, '{}'::text[]);
    END IF;
    problem := _flagscope.guardrail_problem(NEW,
        (SELECT m FROM flagscope.metric_definition m WHERE m.name = NEW.metric));
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('guardrail "%s": %s', NEW.name, problem),
            HINT = 'See the column comments of flagscope.guardrail.';
    END IF;
    -- What is empty or has a NULL is refused by the row's own constraints, which say more.
    IF cardinality(NEW.variants) > 0 AND array_position(NEW.variants, NULL) IS NULL
        AND (TG_OP = 'INSERT' OR NEW.variants IS DISTINCT FROM OLD.variants) THEN
        PERFORM _flagscope.check_rollout_variants(NEW.flag, NEW.environment, NEW.variants);
    END IF;
    IF TG_OP = 'UPDATE' AND _flagscope.measures_anew(OLD, NEW) THEN
        NEW.version := OLD.version + 1;
        PERFORM _flagscope.keep_evidence(OLD, NEW), _flagscope.drop_evidence(OLD, NEW);
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION _flagscope.check_guardrail() IS
    'trigger: test and comparison fit the metric; a changed rule gets a new version, and its evidence restarts unless '
    'the rule was only tightened';
CREATE TRIGGER check_guardrail BEFORE INSERT OR UPDATE ON flagscope.guardrail
    FOR EACH ROW EXECUTE FUNCTION _flagscope.check_guardrail();

CREATE FUNCTION flagscope.create_guardrail(
    flag text, metric text, environment text DEFAULT NULL, name text DEFAULT NULL,
    comparison flagscope.comparison DEFAULT NULL, limit_value float8 DEFAULT NULL, margin float8 DEFAULT NULL,
    margin_absolute float8 DEFAULT NULL, quantile float8 DEFAULT NULL, action flagscope.action DEFAULT 'rollback',
    test flagscope.guardrail_test DEFAULT NULL, min_sample bigint DEFAULT NULL, time_window interval DEFAULT NULL,
    weight float8 DEFAULT 1, shadow boolean DEFAULT false, description text DEFAULT '', on_state jsonb DEFAULT '{}',
    priority integer DEFAULT 0, breaches integer DEFAULT 1, of_looks integer DEFAULT NULL, grace interval DEFAULT NULL,
    stale_after interval DEFAULT NULL, design_effect float8 DEFAULT NULL,
    scope flagscope.guardrail_scope DEFAULT 'flag', variants text[] DEFAULT NULL, advance_when text DEFAULT NULL,
    safe_margin float8 DEFAULT NULL, detectable float8 DEFAULT NULL,
    per_unit boolean DEFAULT false
) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    detail text;
    hint text;
    env text;
    kind flagscope.metric_kind := (SELECT m.kind
        FROM flagscope.metric_definition m WHERE m.name = create_guardrail.metric);
    compared flagscope.comparison := coalesce(comparison, CASE WHEN test = 'anomaly' THEN 'baseline'
        WHEN limit_value IS NULL THEN 'control' ELSE 'absolute' END::flagscope.comparison);
    counted text := create_guardrail.metric;
    new_id bigint;
BEGIN
    IF per_unit IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = _flagscope.message('per_unit of a guardrail on metric "%s" must be true or false, got NULL',
                metric),
            HINT = 'true counts each user once; the default is false.';
    END IF;
    env := _flagscope.environment(environment);
    -- The row's triggers check this, too; here it is checked before the sequence is advanced.
    PERFORM _flagscope.check_rollout_variants(flag, env, '{}'::text[]), _flagscope.require_metric(metric);
    IF per_unit THEN
        counted := _flagscope.metric_by_unit(metric);
    END IF;
    INSERT INTO flagscope.guardrail (name, flag, environment, metric, comparison, test, quantile, margin, limit_value,
        action, weight, min_sample, time_window, shadow, description, on_state, priority, breaches, of_looks, grace,
        stale_after, design_effect, margin_absolute, scope, variants, advance_when, safe_margin, detectable)
    VALUES (coalesce(create_guardrail.name, counted), create_guardrail.flag, env,
        counted, compared, coalesce(create_guardrail.test, _flagscope.default_test(kind, compared)),
        create_guardrail.quantile, create_guardrail.margin, create_guardrail.limit_value, create_guardrail.action,
        create_guardrail.weight, create_guardrail.min_sample, create_guardrail.time_window, create_guardrail.shadow,
        create_guardrail.description, create_guardrail.on_state, create_guardrail.priority, create_guardrail.breaches,
        coalesce(create_guardrail.of_looks, create_guardrail.breaches), create_guardrail.grace,
        create_guardrail.stale_after, create_guardrail.design_effect, create_guardrail.margin_absolute,
        create_guardrail.scope, create_guardrail.variants, create_guardrail.advance_when, create_guardrail.safe_margin,
        create_guardrail.detectable)
    RETURNING id INTO new_id;
    PERFORM _flagscope.tell_scope(g) FROM flagscope.guardrail g WHERE g.id = new_id;
    RETURN new_id;
EXCEPTION WHEN unique_violation THEN
    PERFORM _flagscope.raise_for_caller('42710',
        _flagscope.message('flag "%s" has a guardrail "%s" already', flag, coalesce(name, counted)), NULL,
        'Give this one another name.');
WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    PERFORM _flagscope.raise_for_caller(SQLSTATE, SQLERRM, detail, hint);
    RAISE;
END $$;
COMMENT ON FUNCTION flagscope.create_guardrail(text, text, text, text, flagscope.comparison, float8, float8, float8,
    float8, flagscope.action, flagscope.guardrail_test, bigint, interval, float8, boolean, text, jsonb, integer,
    integer, integer, interval, interval, float8, flagscope.guardrail_scope, text[], text, float8, float8,
    boolean) IS
    'adds a rule on a metric of a flag: against the control, or with limit_value against a limit; with per_unit each '
    'user counts once, by the metric "... by user", which is made from that of rows; returns its id';
