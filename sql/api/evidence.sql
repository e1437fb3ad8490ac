-- Where evidence begins: the share of the error budget, the margin, the baseline. And where it begins anew.

CREATE FUNCTION _flagscope.first_share(g flagscope.guardrail, r flagscope.rollout) RETURNS float8
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT r.alpha * (1 - _flagscope.setting_number('rollout.alpha_reserve')) * g.weight / sum(o.weight) FROM flagscope.guardrail o
    WHERE o.flag = g.flag AND o.environment = g.environment AND o.enabled AND o.test = 'sequential'
        AND (NOT o.shadow OR o.id = g.id);
END;
COMMENT ON FUNCTION _flagscope.first_share(flagscope.guardrail, flagscope.rollout) IS
    'a sequential guardrail''s share of the error budget at the start: weighted Bonferroni over e-values, which names the culprit (statistics.md 10); judge_together adds what they say together';

CREATE FUNCTION _flagscope.take_alpha(rollout_id bigint) RETURNS float8
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE flagscope.rollout r SET alpha_left = r.alpha_left / 2 WHERE r.id = take_alpha.rollout_id RETURNING r.alpha_left;
$$;
COMMENT ON FUNCTION _flagscope.take_alpha(bigint) IS
    'half of what is left of a rollout''s error budget: however often it is asked, the halves never add up to more';

CREATE FUNCTION _flagscope.margin(g flagscope.guardrail) RETURNS float8
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(g.margin, _flagscope.setting_number('guardrail.margin.' || CASE g.comparison WHEN 'baseline' THEN 'baseline' ELSE m.kind::text END))
    FROM flagscope.metric_definition m WHERE m.name = g.metric AND g.comparison <> 'absolute' AND g.margin_absolute IS NULL;
END;
COMMENT ON FUNCTION _flagscope.margin(flagscope.guardrail) IS 'a guardrail''s relative margin, else its default; NULL against a limit, and where it is absolute';

CREATE FUNCTION _flagscope.worse(value float8, kind flagscope.metric_kind, harm flagscope.harm, margin float8, margin_absolute float8) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        -- A share beyond 0 or 1, or a rate below 0, is the limit that nothing is worse than; the tests want it inside.
        WHEN margin_absolute IS NOT NULL AND value IS NULL THEN NULL  -- GREATEST takes NULL for absent
        WHEN margin_absolute IS NOT NULL THEN CASE kind WHEN 'proportion' THEN least(greatest(y.moved, 1e-9), 1 - 1e-9)
            WHEN 'rate' THEN greatest(y.moved, 1e-300) ELSE y.moved END
        WHEN kind <> 'proportion' THEN CASE harm WHEN 'increase' THEN value * (1 + margin) ELSE value / (1 + margin) END
        ELSE x.odds / (1 + x.odds) END
    FROM (SELECT value / nullif(1 - value, 0) * CASE harm WHEN 'increase' THEN 1 + margin ELSE 1 / (1 + margin) END) x(odds),
        (SELECT value + CASE harm WHEN 'increase' THEN margin_absolute ELSE -margin_absolute END) y(moved);
END;
COMMENT ON FUNCTION _flagscope.worse(float8, flagscope.metric_kind, flagscope.harm, float8, float8) IS
    'a value worsened by a margin: relative, of the odds for a proportion and of the value otherwise; or absolute, in the value''s unit';

CREATE FUNCTION _flagscope.ratio_end(moments flagscope.moments, n float8, z float8) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (coalesce(flagscope.sum(moments), 0) + z * sqrt(coalesce(flagscope.count(moments) * flagscope.mean(moments) ^ 2
    + (flagscope.count(moments) - 1) * coalesce(flagscope.variance(moments), 0), 0))) / nullif(n, 0);
COMMENT ON FUNCTION _flagscope.ratio_end(flagscope.moments, float8, float8) IS
    'sum by number of rows, moved by z standard errors of a compound Poisson sum';

CREATE FUNCTION _flagscope.value_end(m flagscope.metric_definition, n float8, y float8, moments flagscope.moments, z float8) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE m.kind
        WHEN 'proportion' THEN (y / n + z ^ 2 / (2 * n) + z * sqrt(y / n * (1 - y / n) / n + z ^ 2 / (4 * n ^ 2))) / (1 + z ^ 2 / n)
        WHEN 'mean' THEN flagscope.mean(moments) + z * coalesce(flagscope.stddev(moments), 0) / sqrt(n)
        WHEN 'rate' THEN (y + z ^ 2 / 2 + z * sqrt(y + z ^ 2 / 4)) / nullif(coalesce(flagscope.sum(moments), n), 0)
        WHEN 'ratio' THEN _flagscope.ratio_end(moments, n, z) END;
END;
COMMENT ON FUNCTION _flagscope.value_end(flagscope.metric_definition, float8, float8, flagscope.moments, float8) IS
    'share, mean, rate or ratio moved by z standard errors: Wilson''s score interval, the mean''s standard error, the score interval of a Poisson count, of a ratio that of a compound Poisson sum, root of the sum of squares; NULL for a quantile';

CREATE FUNCTION _flagscope.baseline(g flagscope.guardrail, r flagscope.rollout, m flagscope.metric_definition, min_sample bigint, at timestamptz)
RETURNS float8
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- The far end of an interval of 3.09 standard errors (one-sided 0.1 %), so that a small sample makes a lenient limit
    -- and not a random one; of a quantile by normal order statistics.
    SELECT _flagscope.worse(CASE m.kind WHEN 'quantile' THEN flagscope.quantile(x.histogram, least(1, greatest(0, g.quantile + z * sqrt(g.quantile * (1 - g.quantile) / x.n))))
        ELSE _flagscope.value_end(m, x.n, x.y, x.moments, z) END,
        m.kind, m.harm, _flagscope.margin(g), g.margin_absolute)
    FROM (
        SELECT nullif(sum(v.n), 0)::float8 AS n, sum(v.events)::float8 AS y, flagscope.rollup(v.moments) AS moments, flagscope.rollup(v.histogram) AS histogram
        FROM flagscope.variant_rollup v
        WHERE v.flag = g.flag AND v.environment = g.environment AND v.metric = g.metric AND v.variant = r.control
            AND v.bucket >= coalesce(r.started_at, at) - _flagscope.setting_interval('guardrail.baseline_window') AND v.bucket < at
    ) x, (SELECT CASE m.harm WHEN 'increase' THEN 3.09 ELSE -3.09 END) b(z)
    WHERE x.n >= greatest(min_sample, 1);
$$;
COMMENT ON FUNCTION _flagscope.baseline(flagscope.guardrail, flagscope.rollout, flagscope.metric_definition, bigint, timestamptz) IS
    'the limit that a baseline gives: what the control variant was before, at the lenient end of its uncertainty, worsened by the margin; NULL while there is too little of it';

CREATE FUNCTION _flagscope.begin_evidence(rollout_id bigint, at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r flagscope.rollout;
    is_start boolean;
BEGIN
    SELECT * INTO r FROM flagscope.rollout x WHERE x.id = begin_evidence.rollout_id FOR NO KEY UPDATE;
    is_start := r.alpha_left IS NULL;
    IF is_start THEN
        UPDATE flagscope.rollout x SET alpha_left = x.alpha * CASE WHEN EXISTS (SELECT FROM flagscope.guardrail g
            WHERE g.flag = r.flag AND g.environment = r.environment AND g.enabled AND g.test = 'sequential' AND NOT g.shadow)
            THEN _flagscope.setting_number('rollout.alpha_reserve') ELSE 1 END
        WHERE x.id = r.id;
    END IF;
    INSERT INTO flagscope.guardrail_status (guardrail_id, rollout_id, guardrail_version, alpha, margin, margin_absolute, limit_value, since, state_since)
    SELECT g.id, r.id, g.version, CASE
            WHEN g.test <> 'sequential' THEN r.alpha
            WHEN is_start THEN _flagscope.first_share(g, r)
            WHEN g.shadow THEN least(_flagscope.first_share(g, r), r.alpha_left / 2)  -- what it would have, spending nothing
            ELSE _flagscope.take_alpha(r.id) END,
        CASE WHEN g.test <> 'anomaly' THEN _flagscope.margin(g) END, g.margin_absolute, CASE g.test WHEN 'anomaly' THEN _flagscope.anomaly_line(
            g.time_window, _flagscope.setting_interval('guardrail.anomaly_every')) ELSE g.limit_value END, at, at
    FROM flagscope.guardrail g WHERE g.flag = r.flag AND g.environment = r.environment AND g.enabled
        AND NOT EXISTS (SELECT FROM flagscope.guardrail_status s WHERE s.guardrail_id = g.id AND s.rollout_id = r.id)
    ORDER BY g.id ON CONFLICT DO NOTHING;
END $$;
COMMENT ON FUNCTION _flagscope.begin_evidence(bigint, timestamptz) IS
    'gives every guardrail of a rollout that has none yet its empty evidence, its share of alpha and its margin';

CREATE FUNCTION _flagscope.renew(s flagscope.guardrail_status, at timestamptz, alpha float8, why text) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE flagscope.guardrail_status x SET state = 'not_enough', state_since = at, reason = why,
        evidence_id = nextval('_flagscope.evidence_seq'), last_stratum = 0, evidence = '{}', copied_at = NULL, alpha = renew.alpha,
        log_e = 0, max_log_e = 0, n_treatment = 0, n_control = 0, events_treatment = '{}', events_control = '{}',
        looks = '{}', looked_at = NULL, since = at, breached_at = NULL, joint = NULL, waiting_treatment = NULL, waiting_control = NULL, waiting_since = NULL
    WHERE x.guardrail_id = s.guardrail_id AND x.rollout_id = s.rollout_id;
$$;
COMMENT ON FUNCTION _flagscope.renew(flagscope.guardrail_status, timestamptz, float8, text) IS 'a guardrail''s evidence begins anew, under a number of its own';

CREATE FUNCTION _flagscope.renew_evidence(rollout_id bigint, at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    work record;
BEGIN
    FOR work IN
        SELECT s, g FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
        WHERE s.rollout_id = renew_evidence.rollout_id AND s.breached_at IS NOT NULL ORDER BY g.id
    LOOP
        PERFORM _flagscope.renew(work.s, at, CASE WHEN (work.g).test = 'sequential' AND NOT (work.g).shadow
            THEN _flagscope.take_alpha(rollout_id) ELSE (work.s).alpha END, 'resumed: evidence starts anew');
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.renew_evidence(bigint, timestamptz) IS
    'after a resume breached guardrails start anew, each with half of what is left of the error budget';

CREATE FUNCTION _flagscope.rearm_warnings(at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s flagscope.guardrail_status;
BEGIN
    FOR s IN
        SELECT x.* FROM flagscope.guardrail_status x JOIN flagscope.guardrail g ON g.id = x.guardrail_id
            JOIN flagscope.rollout r ON r.id = x.rollout_id
        WHERE x.state = 'breached' AND g.action = 'warn' AND g.test = 'sequential' AND NOT g.shadow AND _flagscope.is_watched(r, at)
            AND x.breached_at <= at - _flagscope.setting_interval('guardrail.rewarn_after')
        FOR NO KEY UPDATE OF x SKIP LOCKED
    LOOP
        PERFORM _flagscope.renew(s, at, s.alpha, 'warned: evidence starts anew');
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.rearm_warnings(timestamptz) IS
    'a sequential warning is armed again after setting guardrail.rewarn_after: each such time has its own error budget, since a warning stops nothing';

CREATE FUNCTION _flagscope.begin_missing_evidence(at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms'
AS $$
DECLARE
    missing bigint;
BEGIN
    FOR missing IN
        SELECT r.id FROM flagscope.rollout r WHERE _flagscope.is_watched(r, at)
            AND EXISTS (SELECT FROM flagscope.guardrail g WHERE g.flag = r.flag AND g.environment = r.environment AND g.enabled
                AND NOT EXISTS (SELECT FROM flagscope.guardrail_status s WHERE s.guardrail_id = g.id AND s.rollout_id = r.id))
    LOOP
        BEGIN
            PERFORM _flagscope.begin_evidence(missing, at);
        EXCEPTION WHEN lock_not_available THEN
            NULL;  -- somebody is changing the rollout or its guardrails: the next tick tries again
        END;
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.begin_missing_evidence(timestamptz) IS 'evidence for guardrails that were added or changed while their rollout runs';
