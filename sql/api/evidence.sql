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

CREATE FUNCTION _flagscope.is_alone(r flagscope.rollout) RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT r.status = 'completed' OR EXISTS (SELECT FROM flagscope.rollout_stage s
        WHERE s.rollout_id = r.id AND s.ordinal = r.stage AND s.percent = 100);
END;
COMMENT ON FUNCTION _flagscope.is_alone(flagscope.rollout) IS
    'is everybody served the treatment, so that no control is left';

CREATE FUNCTION _flagscope.may_carry_on(g flagscope.guardrail) RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT g.test = 'sequential' AND g.comparison = 'control'
        AND (SELECT _flagscope.is_tested(m.kind::text, false) FROM flagscope.metric_definition m
            WHERE m.name = g.metric);
END;
COMMENT ON FUNCTION _flagscope.may_carry_on(flagscope.guardrail) IS
    'can a guardrail against the control go on against what the control was: not means, which have no test against a '
    'limit';

CREATE FUNCTION _flagscope.as_judged(g flagscope.guardrail, m flagscope.metric_definition) RETURNS flagscope.guardrail
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    g.comparison := 'baseline';
    IF m.kind = 'quantile' THEN  -- a limit is one of one quantile
        g.quantile := coalesce(g.quantile, 0.95);
    END IF;
    RETURN g;
END $$;
COMMENT ON FUNCTION _flagscope.as_judged(flagscope.guardrail, flagscope.metric_definition) IS
    'a guardrail against the control as it is judged when there is none any more (guardrail_status.carries_on)';

CREATE FUNCTION _flagscope.carried_margin(g flagscope.guardrail) RETURNS float8
LANGUAGE sql STABLE
BEGIN ATOMIC
    -- A baseline drifts by itself, as a concurrent control does not.
    SELECT greatest(_flagscope.margin(g), _flagscope.setting_number('guardrail.margin.baseline'))
    WHERE g.margin_absolute IS NULL;
END;
COMMENT ON FUNCTION _flagscope.carried_margin(flagscope.guardrail) IS
    'the relative margin of a guardrail that goes on against what the control was: its own, or the greater default for '
    'baselines; NULL where its margin is absolute';

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
        limit_value, alarm_score, carries_on, since, state_since)
    SELECT g.id, r.id, g.version, CASE
            WHEN g.test <> 'sequential' THEN r.alpha
            WHEN is_start THEN _flagscope.first_share(g, r)
            -- what it would have, spending nothing
            WHEN g.shadow THEN least(_flagscope.first_share(g, r), _flagscope.alpha_half(r.alpha_left))
            ELSE _flagscope.take_alpha(r.id) END,
        CASE WHEN g.test <> 'anomaly' THEN CASE WHEN x.carries_on THEN _flagscope.carried_margin(g)
            ELSE _flagscope.margin(g) END END, g.margin_absolute, g.limit_value,
        CASE g.test WHEN 'anomaly' THEN
            _flagscope.anomaly_line(g.time_window, _flagscope.setting_interval('guardrail.anomaly_every')) END,
        x.carries_on, at, at
    FROM flagscope.guardrail g, LATERAL (SELECT _flagscope.is_alone(r) AND _flagscope.may_carry_on(g) AS carries_on) x
    WHERE g.flag = r.flag AND g.environment = r.environment AND g.enabled
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
        alpha = renew.alpha, log_e = 0, max_log_e = 0,
        safe_margin = NULL, safe_evidence = '{}', safe_log_e = 0, information = '{}',
        n_treatment = 0, n_control = 0, events_treatment = '{}',
        events_control = '{}', looks = '{}', looked_at = NULL, point = NULL, since = at, breached_at = NULL,
        rearmed = false, joint = NULL, waiting_treatment = NULL, waiting_control = NULL, waiting_since = NULL
    WHERE x.guardrail_id = s.guardrail_id AND x.rollout_id = s.rollout_id;
$$;
COMMENT ON FUNCTION _flagscope.renew(flagscope.guardrail_status, timestamptz, float8, text) IS
    'a guardrail''s evidence begins anew, under a number of its own';

CREATE FUNCTION _flagscope.note_control_verdict(s flagscope.guardrail_status, g flagscope.guardrail,
    r flagscope.rollout, at timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE flagscope.guardrail_status x SET control_verdict = jsonb_strip_nulls(jsonb_build_object('until', at,
        'state', s.state, 'reason', s.reason, 'n_treatment', s.n_treatment, 'n_control', s.n_control,
        'evidence_id', s.evidence_id, 'log_e', s.log_e, 'max_log_e', s.max_log_e, 'alpha', s.alpha, 'margin', s.margin,
        'effect', (SELECT _flagscope.report_effect(s, g, m, r) FROM flagscope.metric_definition m
            WHERE m.name = g.metric)))
    WHERE x.guardrail_id = s.guardrail_id AND x.rollout_id = s.rollout_id;
$$;
COMMENT ON FUNCTION _flagscope.note_control_verdict(flagscope.guardrail_status, flagscope.guardrail,
    flagscope.rollout, timestamptz) IS
    'keeps what a guardrail said against the control, when nobody is served it any more';

CREATE FUNCTION _flagscope.compares_otherwise(s flagscope.guardrail_status, g flagscope.guardrail, alone boolean)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN g.comparison = 'control' AND alone <> (s.control_verdict IS NOT NULL OR s.carries_on);
COMMENT ON FUNCTION _flagscope.compares_otherwise(flagscope.guardrail_status, flagscope.guardrail, boolean) IS
    'is a guardrail against the control to be compared with something else than until now, since there is none any '
    'more (alone), or is one again';

CREATE FUNCTION _flagscope.compare_otherwise(s flagscope.guardrail_status, g flagscope.guardrail, was flagscope.rollout,
    alone boolean, alpha float8, at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    carries boolean := _flagscope.may_carry_on(g);
BEGIN
    IF alone THEN
        PERFORM _flagscope.note_control_verdict(s, g, was, at);
    END IF;
    IF carries OR s.state = 'breached' THEN
        PERFORM _flagscope.renew(s, at, compare_otherwise.alpha,
            CASE WHEN alone THEN 'everybody is served the treatment: it is compared with what the control was'
                ELSE 'it is compared with the control again: evidence starts anew' END);
    END IF;
    UPDATE flagscope.guardrail_status x SET carries_on = alone AND carries, limit_value = NULL,
        margin = CASE WHEN alone AND carries THEN _flagscope.carried_margin(g) ELSE _flagscope.margin(g) END,
        rearmed = x.rearmed OR g.shadow OR g.action = 'warn',
        control_verdict = CASE WHEN alone THEN x.control_verdict END,
        state = CASE WHEN carries THEN x.state WHEN alone THEN 'no_control' ELSE 'not_enough' END,
        state_since = at,
        reason = CASE WHEN carries THEN x.reason
            WHEN alone THEN 'nothing is compared: everybody is served the treatment'
            ELSE 'it is compared with the control again' END
    WHERE x.guardrail_id = g.id AND x.rollout_id = s.rollout_id;
END $$;
COMMENT ON FUNCTION _flagscope.compare_otherwise(flagscope.guardrail_status, flagscope.guardrail, flagscope.rollout,
    boolean, float8, timestamptz) IS
    'compares a guardrail with what the control was (alone), or with the control again; what it said until now is kept';

CREATE FUNCTION _flagscope.begin_anew(s flagscope.guardrail_status, g flagscope.guardrail, at timestamptz, alpha float8,
    why text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r flagscope.rollout := (SELECT x FROM flagscope.rollout x WHERE x.id = s.rollout_id);
    alone boolean := _flagscope.is_alone(r);
BEGIN
    -- What was breached when everybody was served the treatment has stayed so until now.
    IF _flagscope.compares_otherwise(s, g, alone) THEN
        PERFORM _flagscope.compare_otherwise(s, g, r, alone, alpha, at);
    ELSE
        PERFORM _flagscope.renew(s, at, alpha, why);
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.begin_anew(flagscope.guardrail_status, flagscope.guardrail, timestamptz, float8, text) IS
    'begins the evidence of a guardrail that was breached anew, against the control, or where there is none any more '
    'against what it was';

CREATE FUNCTION _flagscope.change_comparison(r flagscope.rollout, was flagscope.rollout, at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    alone boolean := _flagscope.is_alone(r);
    work record;
    share float8;
BEGIN
    -- Against the control and against what it was are two kinds of evidence. The second begins with its part of half of
    -- what is left of the error budget, so that both together never exceed it.
    FOR work IN
        SELECT s, g, x.acts AND _flagscope.may_carry_on(g) AS takes, g.weight / nullif(sum(g.weight)
                FILTER (WHERE x.acts AND _flagscope.may_carry_on(g)) OVER (), 0) AS part
        FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id,
            LATERAL (SELECT NOT g.shadow AND g.action <> 'warn' AS acts) x
        WHERE s.rollout_id = r.id AND g.enabled AND s.state <> 'breached'
            AND _flagscope.compares_otherwise(s, g, alone) ORDER BY g.id
    LOOP
        IF work.takes THEN
            share := coalesce(share, _flagscope.take_alpha(r.id));
        END IF;
        PERFORM _flagscope.compare_otherwise(work.s, work.g, was, alone,
            CASE WHEN work.takes THEN share * work.part ELSE (work.s).alpha END, at);
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.change_comparison(flagscope.rollout, flagscope.rollout, timestamptz) IS
    'when everybody is served the treatment, guardrails against the control go on against what it was, and come back '
    'to it when some are served it again; the rollout now, and as it was';

CREATE FUNCTION _flagscope.renew_evidence(rollout_id bigint, at timestamptz, by_person boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    work record;
    alpha float8;
BEGIN
    FOR work IN
        SELECT s, g FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
        WHERE s.rollout_id = renew_evidence.rollout_id AND s.breached_at IS NOT NULL
            AND (by_person OR g.test <> 'sequential') ORDER BY g.id
    LOOP
        alpha := CASE WHEN (work.g).test = 'sequential' AND NOT (work.g).shadow
            THEN _flagscope.take_alpha(rollout_id) ELSE (work.s).alpha END;
        PERFORM _flagscope.begin_anew(work.s, work.g, at, alpha, CASE WHEN (work.g).test = 'sequential' THEN
                format('resumed: evidence starts anew. Harm was proven before, at %s (ln e %s)',
                    _flagscope.utc((work.s).breached_at), round((work.s).max_log_e::numeric, 1))
            ELSE 'resumed: looked at anew' END);
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.renew_evidence(bigint, timestamptz, boolean) IS
    'after a resume breached guardrails start anew, sequential ones each with half of what is left of the error '
    'budget, and only if a person resumed';

CREATE FUNCTION _flagscope.rearm_warnings(at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    work record;
BEGIN
    FOR work IN
        SELECT x AS s, g FROM flagscope.guardrail_status x JOIN flagscope.guardrail g ON g.id = x.guardrail_id
            JOIN flagscope.rollout r ON r.id = x.rollout_id
        WHERE x.state = 'breached' AND g.action = 'warn' AND g.test = 'sequential' AND NOT g.shadow
            AND _flagscope.is_watched(r, at)
            AND x.breached_at <= at - _flagscope.setting_interval('guardrail.rewarn_after')
        FOR NO KEY UPDATE OF x SKIP LOCKED
    LOOP
        PERFORM _flagscope.begin_anew(work.s, work.g, at, (work.s).alpha, 'warned: evidence starts anew');
        UPDATE flagscope.guardrail_status x SET rearmed = true
        WHERE x.guardrail_id = (work.s).guardrail_id AND x.rollout_id = (work.s).rollout_id;
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
