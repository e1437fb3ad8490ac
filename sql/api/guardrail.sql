-- Guardrails: the checks of a rule, the function that makes one, and where its evidence begins.

CREATE FUNCTION flagscope._check_guardrail() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kind flagscope.metric_kind := (SELECT m.kind FROM flagscope.metric m WHERE m.name = NEW.metric);
    problem text := CASE
        WHEN kind IS NULL THEN NULL  -- the foreign key says so
        WHEN kind = 'mean' AND (NEW.test <> 'threshold' OR NEW.comparison <> 'absolute')
            THEN 'a mean is compared with an absolute limit by test "threshold" only'
        WHEN kind <> 'quantile' AND NEW.quantile IS NOT NULL
            THEN format('a quantile needs a quantile metric, "%s" is a %s', NEW.metric, kind)
        WHEN kind = 'quantile' AND NEW.comparison = 'absolute' AND NEW.quantile IS NULL
            THEN 'an absolute limit of a quantile metric needs a quantile'
        WHEN kind = 'proportion' AND NEW.comparison = 'absolute' AND (NEW.limit_value <= 0 OR NEW.limit_value >= 1)
            THEN format('the limit of a proportion lies between 0 and 1, got "%s"', NEW.limit_value) END;
BEGIN
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('guardrail "%s": %s', NEW.name, problem),
            HINT = 'See the comments on the columns of flagscope.guardrail.';
    END IF;
    IF TG_OP = 'UPDATE' AND (to_jsonb(NEW) - '{enabled,shadow,action,description,name,version,min_sample}'::text[])
        <> (to_jsonb(OLD) - '{enabled,shadow,action,description,name,version,min_sample}'::text[]) THEN
        NEW.version := OLD.version + 1;
        -- Evidence gathered under another rule says nothing about this one.
        DELETE FROM flagscope.guardrail_status s USING flagscope.rollout r
        WHERE s.guardrail_id = OLD.id AND r.id = s.rollout_id AND r.status IN ('draft', 'running', 'paused', 'held');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION flagscope._check_guardrail() IS
    'trigger: test and comparison fit the metric; a changed rule gets a version and starts its evidence anew';
CREATE TRIGGER check_guardrail BEFORE INSERT OR UPDATE ON flagscope.guardrail
    FOR EACH ROW EXECUTE FUNCTION flagscope._check_guardrail();

CREATE FUNCTION flagscope.create_guardrail(
    flag text, metric text, name text DEFAULT NULL, comparison flagscope.comparison DEFAULT NULL,
    limit_value float8 DEFAULT NULL, margin float8 DEFAULT NULL, quantile float8 DEFAULT NULL,
    action flagscope.action DEFAULT 'rollback', test flagscope.guardrail_test DEFAULT NULL, min_sample bigint DEFAULT NULL,
    time_window interval DEFAULT NULL, weight float8 DEFAULT 1, shadow boolean DEFAULT false, environment text DEFAULT NULL,
    description text DEFAULT ''
) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    env text := flagscope._environment(environment);
    kind flagscope.metric_kind := (SELECT m.kind FROM flagscope.metric m WHERE m.name = create_guardrail.metric);
    new_id bigint;
BEGIN
    PERFORM flagscope._check_rollout_variants(flag, env, '{}');
    IF kind IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('metric "%s" does not exist', metric),
            HINT = 'Define it with flagscope.create_metric(name, kind, signal).';
    END IF;
    INSERT INTO flagscope.guardrail (name, flag, environment, metric, comparison, test, quantile, margin, limit_value,
        action, weight, min_sample, time_window, shadow, description)
    VALUES (coalesce(create_guardrail.name, create_guardrail.metric), create_guardrail.flag, env, create_guardrail.metric,
        coalesce(create_guardrail.comparison, CASE WHEN create_guardrail.limit_value IS NULL THEN 'control' ELSE 'absolute' END::flagscope.comparison),
        coalesce(create_guardrail.test, CASE kind WHEN 'mean' THEN 'threshold' ELSE 'sequential' END::flagscope.guardrail_test),
        create_guardrail.quantile, create_guardrail.margin, create_guardrail.limit_value, create_guardrail.action,
        create_guardrail.weight, create_guardrail.min_sample, create_guardrail.time_window, create_guardrail.shadow,
        create_guardrail.description)
    RETURNING id INTO new_id;
    RETURN new_id;
EXCEPTION WHEN unique_violation THEN
    RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
        MESSAGE = format('flag "%s" has a guardrail "%s" already', flag, coalesce(name, metric)),
        HINT = 'Give this one another name.';
END $$;
COMMENT ON FUNCTION flagscope.create_guardrail(text, text, text, flagscope.comparison, float8, float8, float8, flagscope.action,
    flagscope.guardrail_test, bigint, interval, float8, boolean, text, text) IS
    'puts a metric of a flag on watch: against the control, or with limit_value against an absolute limit; returns its id';

CREATE FUNCTION flagscope._alpha_share(g flagscope.guardrail, r flagscope.rollout) RETURNS float8
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT r.alpha * g.weight / sum(o.weight) FROM flagscope.guardrail o
    WHERE o.flag = g.flag AND o.environment = g.environment AND o.enabled AND o.test = 'sequential'
        AND (NOT o.shadow OR o.id = g.id);
END;
COMMENT ON FUNCTION flagscope._alpha_share(flagscope.guardrail, flagscope.rollout) IS
    'a sequential guardrail''s share of the rollout''s error budget: weighted Bonferroni over e-values, which names the culprit (statistics.md 10)';

CREATE FUNCTION flagscope._margin(g flagscope.guardrail) RETURNS float8
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(g.margin, flagscope._setting_number('guardrail.margin.' || m.kind)) FROM flagscope.metric m
    WHERE m.name = g.metric AND g.comparison = 'control';
END;
COMMENT ON FUNCTION flagscope._margin(flagscope.guardrail) IS 'a guardrail''s margin, else its kind''s default; NULL against a limit';

CREATE FUNCTION flagscope._begin_evidence(rollout_id bigint, at timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO flagscope.guardrail_status (guardrail_id, rollout_id, guardrail_version, alpha, margin, since)
    SELECT g.id, r.id, g.version, coalesce(flagscope._alpha_share(g, r), r.alpha), flagscope._margin(g), at
    FROM flagscope.rollout r JOIN flagscope.guardrail g ON g.flag = r.flag AND g.environment = r.environment AND g.enabled
    WHERE r.id = rollout_id
    ON CONFLICT DO NOTHING;
$$;
COMMENT ON FUNCTION flagscope._begin_evidence(bigint, timestamptz) IS
    'gives every guardrail of a rollout that has none yet its empty evidence, its share of alpha and its margin';

CREATE FUNCTION flagscope._renew_evidence(rollout_id bigint, at timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE flagscope.guardrail_status s SET state = 'not_enough', reason = 'resumed: evidence starts anew', evidence = '{}',
        log_e = 0, max_log_e = 0, n_treatment = 0, n_control = 0, events_treatment = '{}', events_control = '{}',
        since = at, breached_at = NULL, waiting_treatment = NULL, waiting_control = NULL, waiting_since = NULL
    WHERE s.rollout_id = _renew_evidence.rollout_id AND s.breached_at IS NOT NULL;
$$;
COMMENT ON FUNCTION flagscope._renew_evidence(bigint, timestamptz) IS
    'after a person resumed: breached guardrails start anew, which spends their share of alpha once more';
