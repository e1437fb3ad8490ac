-- Backtests: a rule, stored or proposed, judged on stored history by the code that judges live.

CREATE TYPE flagscope.history AS (
    era bigint, ordinal bigint, at timestamptz, n_treatment bigint, events_treatment bigint[], n_control bigint, events_control bigint[],
    increment float8[], begins_copy boolean, value float8, alpha float8
);
COMMENT ON TYPE flagscope.history IS
    'one stratum of the past, weighed; evidence adds up within an era. begins_copy NULL: it was not live, so time says when a copy begins';

CREATE FUNCTION flagscope._live_history(g flagscope.guardrail, live flagscope.guardrail, m flagscope.metric, since timestamptz, until timestamptz)
RETURNS SETOF flagscope.history
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- The budget, margin and limit that each evidence had: as decided on, else as it stands now.
    SELECT e.evidence_id, e.stratum, e.at, e.n_treatment, e.events_treatment, e.n_control, e.events_control,
        CASE WHEN g.test = 'sequential' THEN flagscope._weigh_counts(m.kind::text, flagscope._tested_as(g.comparison), m.harm::text, g.quantile,
            CASE WHEN g.comparison <> 'absolute' THEN coalesce(g.margin, k.margin, flagscope._margin(g)) END, CASE g.comparison WHEN 'absolute' THEN g.limit_value ELSE k.limit_value END,
            m.cap, e.centre, g.design_effect, e.n_treatment, e.events_treatment, e.moments_treatment, e.n_control, e.events_control, e.moments_control) END, e.begins_copy, e.value, k.alpha
    FROM flagscope.evaluation e CROSS JOIN LATERAL (
        SELECT x.alpha, x.margin, x.limit_value FROM (
            SELECT 1 AS nr, (d.evidence ->> 'alpha')::float8 AS alpha, (d.evidence ->> 'margin')::float8 AS margin, (d.evidence ->> 'limit')::float8 AS limit_value
            FROM flagscope.decision d WHERE d.rollout_id = e.rollout_id AND d.evidence_id = e.evidence_id
            UNION ALL
            SELECT CASE s.evidence_id WHEN e.evidence_id THEN 2 ELSE 3 END, s.alpha, s.margin, s.limit_value
            FROM flagscope.guardrail_status s WHERE s.guardrail_id = e.guardrail_id AND s.rollout_id = e.rollout_id) x
        ORDER BY x.nr LIMIT 1) k
    WHERE e.guardrail_id = live.id AND e.at >= since AND e.at < until AND (g.test = 'threshold' OR e.increment <> '{}');
$$;
COMMENT ON FUNCTION flagscope._live_history(flagscope.guardrail, flagscope.guardrail, flagscope.metric, timestamptz, timestamptz) IS
    'the strata that a live guardrail weighed, weighed by another rule on the same counts: exact';

CREATE AGGREGATE flagscope._fading_centre(flagscope.moments) (SFUNC = flagscope._next_centre, STYPE = float8);
COMMENT ON AGGREGATE flagscope._fading_centre(flagscope.moments) IS 'the control''s fading mean over strata; used over a window in order of time';

CREATE FUNCTION flagscope._rollup_history(g flagscope.guardrail, r flagscope.rollout, m flagscope.metric, since timestamptz, until timestamptz)
RETURNS SETOF flagscope.history
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH bucket AS (
        SELECT v.bucket, sum(v.n) FILTER (WHERE v.variant = r.treatment)::bigint AS n_t, sum(v.events) FILTER (WHERE v.variant = r.treatment)::bigint AS y_t,
            flagscope.rollup(v.moments) FILTER (WHERE v.variant = r.treatment) AS m_t, flagscope.rollup(v.moments) FILTER (WHERE v.variant = r.control) AS m_c,
            flagscope.rollup(v.histogram) FILTER (WHERE v.variant = r.treatment) AS h_t, sum(v.n) FILTER (WHERE v.variant = r.control)::bigint AS n_c,
            sum(v.events) FILTER (WHERE v.variant = r.control)::bigint AS y_c, flagscope.rollup(v.histogram) FILTER (WHERE v.variant = r.control) AS h_c
        FROM flagscope.variant_rollup v WHERE v.flag = g.flag AND v.environment = g.environment AND v.metric = g.metric
            AND v.variant IN (r.treatment, r.control) AND v.bucket >= since AND v.bucket < until GROUP BY v.bucket
    ), judged AS (
        SELECT b.*, b.bucket + interval '10 seconds' AS at,
            CASE WHEN m.kind = 'quantile' AND g.comparison = 'control' THEN
                flagscope._next_thresholds(g, r, flagscope._setting_interval('guardrail.reference_window'), b.bucket - interval '10 seconds') END AS thresholds,
            -- As live, from strata before this one.
            CASE WHEN m.kind = 'mean' THEN flagscope._fading_centre(b.m_c) OVER (ORDER BY b.bucket ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) END AS centre
        FROM bucket b
    )
    SELECT 0, row_number() OVER (ORDER BY j.bucket), j.at, coalesce(j.n_t, 0), w.events_treatment, coalesce(j.n_c, 0), w.events_control, w.increment, NULL::boolean,
        CASE g.test WHEN 'threshold' THEN (flagscope._window_value(g, m, r.treatment, coalesce(g.time_window, flagscope._setting_interval('guardrail.window')), j.at - interval '1 microsecond')).value END, NULL::float8
    FROM judged j LEFT JOIN LATERAL flagscope._weigh_stratum(m.kind::text, flagscope._tested_as(g.comparison), m.harm::text, g.quantile, flagscope._margin(g), g.limit_value,
        m.cap, j.centre, g.design_effect, j.thresholds, coalesce(j.n_t, 0), coalesce(j.y_t, 0), j.m_t, j.h_t, coalesce(j.n_c, 0), coalesce(j.y_c, 0), j.m_c, j.h_c) w ON g.test = 'sequential';
$$;
COMMENT ON FUNCTION flagscope._rollup_history(flagscope.guardrail, flagscope.rollout, flagscope.metric, timestamptz, timestamptz) IS
    'strata of 10 seconds from rollups, for a rule that was not live: thresholds of a quantile come from the control''s past, as they do live';

CREATE FUNCTION flagscope._backtest(g flagscope.guardrail, live flagscope.guardrail, since timestamptz, until timestamptz, alpha float8)
RETURNS TABLE (at timestamptz, n_treatment bigint, events_treatment bigint[], n_control bigint, events_control bigint[], value float8,
    log_e float8, line float8, fires boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    m flagscope.metric := (SELECT x FROM flagscope.metric x WHERE x.name = g.metric);
    r flagscope.rollout := (SELECT x FROM flagscope.rollout x WHERE x.flag = g.flag AND x.environment = g.environment AND x.started_at < until ORDER BY x.started_at DESC LIMIT 1);
    copy_after interval := flagscope._setting_interval('guardrail.copy_after');
    h flagscope.history;
    era bigint;
    evidence float8[];
    copied_at timestamptz;
    begins boolean;
    fired boolean;
BEGIN
    IF r.id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('flag "%s" had no rollout before %s', g.flag, until),
            HINT = 'A backtest takes treatment and control from the flag''s rollout of that time.';
    ELSIF g.comparison = 'baseline' AND live.id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = 'a baseline can be backtested only where it was live',
            HINT = 'Propose it as an absolute limit.';
    END IF;
    FOR h IN SELECT * FROM flagscope._live_history(g, live, m, since, until) x WHERE live.id IS NOT NULL
        UNION ALL SELECT * FROM flagscope._rollup_history(g, r, m, since, until) x WHERE live.id IS NULL ORDER BY 1, 2
    LOOP
        IF h.era IS DISTINCT FROM era THEN
            era := h.era;
            evidence := '{}';
            copied_at := NULL;
            fired := false;
        END IF;
        IF h.increment <> '{}' THEN
            begins := coalesce(h.begins_copy, flagscope._begins_copy(copied_at, (SELECT max(d.at) FROM flagscope.decision d
                WHERE d.rollout_id = r.id AND NOT d.shadow AND d.at < h.at AND d.to_stage > d.from_stage), h.at, copy_after));
            copied_at := CASE WHEN begins OR copied_at IS NULL THEN h.at ELSE copied_at END;
            evidence := flagscope._gather_evidence(evidence, h.increment, begins);
        END IF;
        at := h.at;
        n_treatment := h.n_treatment;
        events_treatment := h.events_treatment;
        n_control := h.n_control;
        events_control := h.events_control;
        value := h.value;
        log_e := CASE g.test WHEN 'sequential' THEN flagscope._log_e(m.kind::text, evidence) END;
        line := CASE g.test WHEN 'sequential' THEN -ln(coalesce(alpha, h.alpha, r.alpha * (1 - flagscope._setting_number('rollout.alpha_reserve')))) END;
        -- Once in an era: sequential evidence is latched, a threshold fires each time it goes beyond.
        fires := CASE g.test WHEN 'sequential' THEN NOT fired AND log_e >= line
            ELSE NOT fired AND coalesce(CASE m.harm WHEN 'increase' THEN value > g.limit_value ELSE value < g.limit_value END, false) END;
        fired := CASE g.test WHEN 'sequential' THEN fired OR fires
            ELSE coalesce(CASE m.harm WHEN 'increase' THEN value > g.limit_value ELSE value < g.limit_value END, fired) END;
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION flagscope._backtest(flagscope.guardrail, flagscope.guardrail, timestamptz, timestamptz, float8) IS 'a rule over a past period, stratum by stratum';

CREATE FUNCTION flagscope.backtest_guardrail(guardrail_id bigint, since timestamptz, until timestamptz, alpha float8 DEFAULT NULL)
RETURNS TABLE (at timestamptz, n_treatment bigint, events_treatment bigint[], n_control bigint, events_control bigint[], value float8,
    log_e float8, line float8, fires boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    g flagscope.guardrail;
BEGIN
    SELECT * INTO g FROM flagscope.guardrail x WHERE x.id = backtest_guardrail.guardrail_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('guardrail %s does not exist', coalesce(guardrail_id::text, 'NULL'));
    END IF;
    RETURN QUERY SELECT * FROM flagscope._backtest(g, g, since, until, alpha);
END $$;
COMMENT ON FUNCTION flagscope.backtest_guardrail(bigint, timestamptz, timestamptz, float8) IS
    'a guardrail over a past period: when it fired, with which numbers, from the strata it weighed; alpha NULL: each evidence''s own, so that live decisions come out exactly';

CREATE FUNCTION flagscope.backtest(rule jsonb, flag text, since timestamptz, until timestamptz, alpha float8 DEFAULT NULL, environment text DEFAULT NULL)
RETURNS TABLE (at timestamptz, n_treatment bigint, events_treatment bigint[], n_control bigint, events_control bigint[], value float8,
    log_e float8, line float8, fires boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    g flagscope.guardrail := flagscope._proposed(rule, flag, flagscope._environment(environment));
    live flagscope.guardrail;
BEGIN
    -- Counts of a proportion do not depend on the margin: another rule's strata serve. Those of a quantile are taken at its
    -- margin, so they are counted anew from rollups.
    SELECT * INTO live FROM flagscope.guardrail x WHERE x.flag = g.flag AND x.environment = g.environment AND x.metric = g.metric
        AND x.comparison = g.comparison AND x.test = g.test AND g.test = 'sequential'
        AND (SELECT m.kind FROM flagscope.metric m WHERE m.name = g.metric) = 'proportion' ORDER BY x.id LIMIT 1;
    RETURN QUERY SELECT * FROM flagscope._backtest(g, live, since, until, alpha);
END $$;
COMMENT ON FUNCTION flagscope.backtest(jsonb, text, timestamptz, timestamptz, float8, text) IS
    'a proposed rule over a past period, for example backtest(''{"metric": "errors", "margin": 0.3}'', ''f'', from, to): when it would have fired, with which numbers; from the strata of a live guardrail of the metric where their counts fit, else from rollups';
