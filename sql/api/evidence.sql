-- Where evidence begins: the share of the error budget, and the margin. And where it begins anew.

COMMENT ON FUNCTION _flagscope.alpha_share(float8, float8, float8, float8) IS
    'a sequential guardrail''s share of the error budget at the start: budget, reserve, its weight among all weights '
    '(src/core/guardrail/budget.rs)';
COMMENT ON FUNCTION _flagscope.alpha_left_at_start(float8, float8, boolean) IS
    'what is left of the budget then: budget, reserve, are there guardrails';
COMMENT ON FUNCTION _flagscope.alpha_half(float8) IS
    'what evidence takes that begins later, and what is left then: half of what was left';

CREATE FUNCTION _flagscope.first_share(g flagscope.guardrail, r flagscope.rollout) RETURNS float8
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT _flagscope.alpha_share(r.alpha, _flagscope.setting_number('rollout.alpha_reserve'), g.weight, sum(o.weight))
    FROM flagscope.guardrail o
    WHERE o.flag = g.flag AND o.environment = g.environment AND o.enabled AND o.test = 'sequential'
        AND (NOT o.shadow OR o.id = g.id);
END;
COMMENT ON FUNCTION _flagscope.first_share(flagscope.guardrail, flagscope.rollout) IS
    'a sequential guardrail''s share of the error budget at the start: weighted Bonferroni over e-values, which names '
    'the culprit (src/core/stats/README.md, section 6); judge_together adds what they say together';

CREATE FUNCTION _flagscope.take_alpha(rollout_id bigint) RETURNS float8
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE flagscope.rollout r
    SET alpha_left = _flagscope.alpha_half(r.alpha_left) WHERE r.id = take_alpha.rollout_id RETURNING r.alpha_left;
$$;
COMMENT ON FUNCTION _flagscope.take_alpha(bigint) IS
    'half of what is left of a rollout''s error budget: however often it is asked, the halves never add up to more';

CREATE FUNCTION _flagscope.margin(g flagscope.guardrail) RETURNS float8
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(g.margin,
        _flagscope.setting_number('guardrail.margin.'
            || CASE g.comparison WHEN 'baseline' THEN 'baseline' ELSE _flagscope.margin_setting(m.kind::text) END))
    FROM flagscope.metric_definition m
    WHERE m.name = g.metric AND g.comparison <> 'absolute' AND g.margin_absolute IS NULL;
END;
COMMENT ON FUNCTION _flagscope.margin(flagscope.guardrail) IS
    'a guardrail''s relative margin, else its default; NULL against a limit, and where it is absolute';

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
        UPDATE flagscope.rollout x
        SET alpha_left = _flagscope.alpha_left_at_start(x.alpha, _flagscope.setting_number('rollout.alpha_reserve'),
            EXISTS (SELECT FROM flagscope.guardrail g
                WHERE g.flag = r.flag AND g.environment = r.environment AND g.enabled AND g.test = 'sequential'
                    AND NOT g.shadow))
        WHERE x.id = r.id;
    END IF;
    INSERT INTO flagscope.guardrail_status (guardrail_id, rollout_id, guardrail_version, alpha, margin, margin_absolute,
        limit_value, alarm_score, since, state_since)
    SELECT g.id, r.id, g.version, CASE
            WHEN g.test <> 'sequential' THEN r.alpha
            WHEN is_start THEN _flagscope.first_share(g, r)
            -- what it would have, spending nothing
            WHEN g.shadow THEN least(_flagscope.first_share(g, r), _flagscope.alpha_half(r.alpha_left))
            ELSE _flagscope.take_alpha(r.id) END,
        CASE WHEN g.test <> 'anomaly' THEN _flagscope.margin(g) END, g.margin_absolute, g.limit_value,
        CASE g.test WHEN 'anomaly' THEN
            _flagscope.anomaly_line(g.time_window, _flagscope.setting_interval('guardrail.anomaly_every')) END, at, at
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
        evidence_id = nextval('_flagscope.evidence_seq'), last_stratum = 0, evidence = '{}', copied_at = NULL,
        alpha = renew.alpha, log_e = 0, max_log_e = 0, n_treatment = 0, n_control = 0, events_treatment = '{}',
        events_control = '{}', looks = '{}', looked_at = NULL, point = NULL, since = at, breached_at = NULL,
        joint = NULL, waiting_treatment = NULL, waiting_control = NULL, waiting_since = NULL
    WHERE x.guardrail_id = s.guardrail_id AND x.rollout_id = s.rollout_id;
$$;
COMMENT ON FUNCTION _flagscope.renew(flagscope.guardrail_status, timestamptz, float8, text) IS
    'a guardrail''s evidence begins anew, under a number of its own';

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
        WHERE x.state = 'breached' AND g.action = 'warn' AND g.test = 'sequential' AND NOT g.shadow
            AND _flagscope.is_watched(r, at)
            AND x.breached_at <= at - _flagscope.setting_interval('guardrail.rewarn_after')
        FOR NO KEY UPDATE OF x SKIP LOCKED
    LOOP
        PERFORM _flagscope.renew(s, at, s.alpha, 'warned: evidence starts anew');
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.rearm_warnings(timestamptz) IS
    'a sequential warning is armed again after setting guardrail.rewarn_after: each such time has its own error '
    'budget, since a warning stops nothing';

CREATE FUNCTION _flagscope.begin_missing_evidence(at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms'
AS $$
DECLARE
    missing bigint;
BEGIN
    FOR missing IN
        SELECT r.id FROM flagscope.rollout r WHERE _flagscope.is_watched(r, at)
            AND EXISTS (SELECT FROM flagscope.guardrail g
                WHERE g.flag = r.flag AND g.environment = r.environment AND g.enabled
                    AND NOT EXISTS (SELECT FROM flagscope.guardrail_status s
                        WHERE s.guardrail_id = g.id AND s.rollout_id = r.id))
    LOOP
        BEGIN
            PERFORM _flagscope.begin_evidence(missing, at);
        EXCEPTION WHEN lock_not_available THEN
            NULL;  -- somebody is changing the rollout or its guardrails: the next tick tries again
        END;
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.begin_missing_evidence(timestamptz) IS
    'evidence for guardrails that were added or changed while their rollout runs';
