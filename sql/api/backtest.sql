-- Backtests: a rule, stored or proposed, judged on stored history by the code that judges live.

CREATE TYPE _flagscope.history AS (
    era bigint, ordinal bigint, at timestamptz, n_treatment bigint, events_treatment bigint[], n_control bigint, events_control bigint[],
    increment float8[], begins_copy boolean, value float8, alpha float8, limit_value float8, excused boolean
);
COMMENT ON TYPE _flagscope.history IS
    'one stratum of the past, weighed; evidence adds up within an era. begins_copy NULL: it was not live, so time says when a copy begins. excused: an anomaly that the control shares';

CREATE AGGREGATE _flagscope.fading_centre(flagscope.moments) (SFUNC = _flagscope.next_centre, STYPE = float8);
COMMENT ON AGGREGATE _flagscope.fading_centre(flagscope.moments) IS 'the control''s fading mean over strata; used over a window in order of time';
CREATE AGGREGATE _flagscope.fading_past(text, bigint, bigint, flagscope.moments) (SFUNC = _flagscope.next_past, STYPE = float8[]);
COMMENT ON AGGREGATE _flagscope.fading_past(text, bigint, bigint, flagscope.moments) IS 'the control''s fading trials and events over strata (guardrail_status.past); used over a window in order of time';

CREATE FUNCTION _flagscope.live_history(g flagscope.guardrail, live flagscope.guardrail, m flagscope.metric_definition, since timestamptz, until timestamptz)
RETURNS SETOF _flagscope.history
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- The budget, margin and limit that each evidence had: as decided on, else as it stands now.
    SELECT e.evidence_id, e.stratum, e.at, e.n_treatment, e.events_treatment, e.n_control, e.events_control,
        CASE WHEN g.test = 'sequential' THEN _flagscope.weigh_counts(m.kind::text, _flagscope.tested_as(g.comparison), m.harm::text, g.quantile,
            CASE WHEN g.comparison <> 'absolute' THEN coalesce(g.margin, k.margin, _flagscope.margin(g)) END, g.margin_absolute, CASE g.comparison WHEN 'absolute' THEN g.limit_value ELSE k.limit_value END,
            m.cap, e.before, g.design_effect, e.n_treatment, e.events_treatment, e.moments_treatment, e.n_control, e.events_control, e.moments_control) END, e.begins_copy, e.value, k.alpha, coalesce(g.limit_value, k.limit_value),
        g.test = 'anomaly' AND coalesce(e.centre >= k.limit_value / 2, false)
    FROM (
        SELECT x.*, coalesce(x.centre, _flagscope.centre_of_past(m.kind::text, _flagscope.fading_past(m.kind::text, x.n_control, x.events_control[1], x.moments_control)
            FILTER (WHERE _flagscope.adds_margin(g, m)) OVER (PARTITION BY x.evidence_id ORDER BY x.stratum ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING))) AS before
        FROM flagscope.evaluation x WHERE x.guardrail_id = live.id AND x.at >= since AND x.at < until
    ) e CROSS JOIN LATERAL (
        SELECT x.alpha, x.margin, x.limit_value FROM (
            SELECT 1 AS nr, (d.evidence ->> 'alpha')::float8 AS alpha, (d.evidence ->> 'margin')::float8 AS margin, (d.evidence ->> 'limit_value')::float8 AS limit_value
            FROM flagscope.decision d WHERE d.rollout_id = e.rollout_id AND d.evidence_id = e.evidence_id
            UNION ALL
            SELECT CASE s.evidence_id WHEN e.evidence_id THEN 2 ELSE 3 END, s.alpha, s.margin, s.limit_value
            FROM flagscope.guardrail_status s WHERE s.guardrail_id = e.guardrail_id AND s.rollout_id = e.rollout_id) x
        ORDER BY x.nr LIMIT 1) k
    -- Another margin may weigh what this one took for a past only; an absolute one takes its own from counts that were weighed.
    WHERE g.test <> 'sequential' OR e.increment <> '{}' OR (e.events_control <> '{}' AND m.kind IN ('proportion', 'rate'));
$$;
COMMENT ON FUNCTION _flagscope.live_history(flagscope.guardrail, flagscope.guardrail, flagscope.metric_definition, timestamptz, timestamptz) IS
    'the strata that a live guardrail weighed, weighed by another rule on the same counts: exact';

CREATE FUNCTION _flagscope.weigh_past(g flagscope.guardrail, m flagscope.metric_definition, centre float8, thresholds integer[],
    n_t bigint, y_t bigint, m_t flagscope.moments, h_t flagscope.histogram,
    n_c bigint, y_c bigint, m_c flagscope.moments, h_c flagscope.histogram)
RETURNS TABLE (events_treatment bigint[], events_control bigint[], increment float8[])
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A threshold may be of what has no sequential test, and a condition beside the call would not keep it from being made.
    IF g.test = 'sequential' THEN
        RETURN QUERY SELECT * FROM _flagscope.weigh_stratum(m.kind::text, _flagscope.tested_as(g.comparison), m.harm::text, g.quantile,
            _flagscope.margin(g), g.margin_absolute, g.limit_value, m.cap, centre, g.design_effect, thresholds,
            n_t, y_t, m_t, h_t, n_c, y_c, m_c, h_c);
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.weigh_past(flagscope.guardrail, flagscope.metric_definition, float8, integer[], bigint, bigint, flagscope.moments,
    flagscope.histogram, bigint, bigint, flagscope.moments, flagscope.histogram) IS
    'what a stratum of the past adds to the evidence of a sequential rule; no row for another test';

CREATE FUNCTION _flagscope.rollup_history(g flagscope.guardrail, r flagscope.rollout, m flagscope.metric_definition, since timestamptz, until timestamptz)
RETURNS SETOF _flagscope.history
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
                _flagscope.next_thresholds(g, r, _flagscope.setting_interval('guardrail.reference_window'), b.bucket - interval '10 seconds') END AS thresholds,
            -- As live, from strata before this one.
            CASE WHEN m.kind = 'mean' THEN _flagscope.fading_centre(b.m_c) OVER past
                WHEN _flagscope.adds_margin(g, m) THEN _flagscope.centre_of_past(m.kind::text, _flagscope.fading_past(m.kind::text, b.n_c, b.y_c, b.m_c) OVER past) END AS centre
        FROM bucket b WINDOW past AS (ORDER BY b.bucket ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    )
    SELECT 0, row_number() OVER (ORDER BY j.bucket), j.at, coalesce(j.n_t, 0), w.events_treatment, coalesce(j.n_c, 0), w.events_control, w.increment, NULL::boolean,
        CASE g.test WHEN 'threshold' THEN (_flagscope.window_value(g, m, r.treatment, coalesce(g.time_window, _flagscope.setting_interval('guardrail.window')), j.at - interval '1 microsecond')).value END, NULL::float8,
        g.limit_value, false
    FROM judged j LEFT JOIN LATERAL _flagscope.weigh_past(g, m, j.centre, j.thresholds, coalesce(j.n_t, 0), coalesce(j.y_t, 0), j.m_t, j.h_t,
        coalesce(j.n_c, 0), coalesce(j.y_c, 0), j.m_c, j.h_c) w ON true;
$$;
COMMENT ON FUNCTION _flagscope.rollup_history(flagscope.guardrail, flagscope.rollout, flagscope.metric_definition, timestamptz, timestamptz) IS
    'strata of 10 seconds from rollups, for a rule that was not live: thresholds of a quantile come from the control''s past, as they do live';

CREATE FUNCTION _flagscope.anomaly_history(g flagscope.guardrail, r flagscope.rollout, m flagscope.metric_definition, since timestamptz, until timestamptz)
RETURNS SETOF _flagscope.history
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH setting AS MATERIALIZED (
        SELECT w.width, _flagscope.anomaly_line(w.width, _flagscope.setting_interval('guardrail.anomaly_every')) AS line, greatest(since, r.started_at) AS since
        FROM (SELECT coalesce(g.time_window, _flagscope.setting_interval('guardrail.anomaly_window'))) w(width)
    ), point AS (
        SELECT p.* FROM setting s, LATERAL _flagscope.anomaly_series(g, m, r.control, greatest(_flagscope.floor(s.width, s.since) - interval '22 days', _flagscope.anomaly_kept_since(s.width)), _flagscope.floor(s.width, until), s.width) p
    ), scored AS (
        SELECT y.variant, x.at, x.score FROM setting s, LATERAL (SELECT p.variant, array_agg(p.at ORDER BY p.at) AS at, array_agg(p.x ORDER BY p.at) AS x FROM point p GROUP BY 1) y,
            LATERAL _flagscope.anomaly_scores(y.at, y.x, s.since) x
    )
    SELECT 0, row_number() OVER (ORDER BY p.at), p.at + s.width, p.n, '{}'::bigint[], 0::bigint, '{}'::bigint[], NULL::float8[], NULL::boolean, w.score, NULL::float8, s.line,
        -- Where all were served the treatment there was no control to share it.
        coalesce((SELECT a.percent FROM flagscope.allocation a WHERE a.rollout_id = r.id AND a.valid @> p.at), 100) < 100 AND coalesce(
            (SELECT max(c.score) FROM scored c WHERE c.variant = r.control AND c.at > p.at - 6 * s.width AND c.at <= p.at) >= s.line / 2, true)
    FROM setting s, point p LEFT JOIN scored w ON w.variant = '' AND w.at = p.at WHERE p.variant = '' AND p.at >= s.since;
$$;
COMMENT ON FUNCTION _flagscope.anomaly_history(flagscope.guardrail, flagscope.rollout, flagscope.metric_definition, timestamptz, timestamptz) IS
    'points of an anomaly guardrail that was not live, from rollups; its sample is that of all variants';

CREATE FUNCTION _flagscope.past(g flagscope.guardrail, live flagscope.guardrail, r flagscope.rollout, m flagscope.metric_definition,
    since timestamptz, until timestamptz) RETURNS SETOF _flagscope.history
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF live.id IS NOT NULL THEN
        RETURN QUERY SELECT * FROM _flagscope.live_history(g, live, m, since, until);
    ELSIF g.test = 'anomaly' THEN
        RETURN QUERY SELECT * FROM _flagscope.anomaly_history(g, r, m, since, until);
    ELSE
        RETURN QUERY SELECT * FROM _flagscope.rollup_history(g, r, m, since, until);
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.past(flagscope.guardrail, flagscope.guardrail, flagscope.rollout, flagscope.metric_definition, timestamptz, timestamptz) IS
    'the strata of the past that a rule is backtested on: those of a live guardrail, else from rollups';

CREATE FUNCTION _flagscope.recheck(st flagscope.guardrail_status, g flagscope.guardrail, m flagscope.metric_definition, h _flagscope.history,
    min_sample bigint, stage_sample bigint, time_window interval) RETURNS flagscope.guardrail_status
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    st.n_treatment := st.n_treatment + h.n_treatment;
    st.stage_treatment := st.stage_treatment + h.n_treatment;
    st.state := CASE
        WHEN h.value IS NULL THEN 'no_data'
        WHEN st.n_treatment >= min_sample AND CASE
            WHEN g.test = 'anomaly' THEN h.value >= h.limit_value AND NOT h.excused
            WHEN m.harm = 'increase' THEN h.value > h.limit_value
            ELSE h.value < h.limit_value END THEN 'breached'
        WHEN st.stage_treatment < greatest(min_sample, stage_sample, 1) THEN 'not_enough'
        ELSE 'ok' END::flagscope.data_state;
    RETURN CASE WHEN g.of_looks > 1 THEN _flagscope.look(st, g, time_window, h.at) ELSE st END;
END $$;
COMMENT ON FUNCTION _flagscope.recheck(flagscope.guardrail_status, flagscope.guardrail, flagscope.metric_definition, _flagscope.history, bigint, bigint, interval) IS
    'the state of a threshold or anomaly at one more moment of the past, as judge() gave or would have given it';

CREATE FUNCTION _flagscope.backtest(g flagscope.guardrail, live flagscope.guardrail, since timestamptz, until timestamptz, alpha float8)
RETURNS TABLE (at timestamptz, n_treatment bigint, events_treatment bigint[], n_control bigint, events_control bigint[], value float8,
    log_e float8, line float8, fires boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    m flagscope.metric_definition := (SELECT x FROM flagscope.metric_definition x WHERE x.name = g.metric);
    r flagscope.rollout := (SELECT x FROM flagscope.rollout x WHERE x.flag = g.flag AND x.environment = g.environment AND x.started_at < until ORDER BY x.started_at DESC LIMIT 1);
    copy_after interval := _flagscope.setting_interval('guardrail.copy_after');
    h _flagscope.history;
    stage record;
    was_in bigint;
    st flagscope.guardrail_status;
    kept_since timestamptz;
    era bigint;
    evidence float8[];
    copied_at timestamptz;
    begins boolean;
    fired boolean;
BEGIN
    IF r.id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = _flagscope.message('flag "%s" had no rollout before %s', g.flag, until),
            HINT = 'A backtest takes treatment and control from the flag''s rollout of that time.';
    ELSIF g.comparison = 'baseline' AND g.test <> 'anomaly' AND live.id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = 'a baseline can be backtested only where it was live',
            HINT = 'Propose it as an absolute limit.';
    END IF;
    since := _flagscope.computable(since);
    until := _flagscope.computable(until);
    kept_since := CASE WHEN live.id IS NOT NULL THEN _flagscope.kept_since('evaluation') WHEN g.test = 'anomaly' THEN '-infinity' ELSE _flagscope.kept_since('rollup fine') END;
    IF since < kept_since AND isfinite(kept_since) THEN
        RAISE NOTICE USING MESSAGE = _flagscope.message('%s go back to %s only', CASE WHEN live.id IS NOT NULL THEN 'evaluations' ELSE 'rollups by 10 seconds' END, kept_since),
            HINT = _flagscope.message('Setting %s says for how long they are kept.', CASE WHEN live.id IS NOT NULL THEN 'evaluation.retention' ELSE 'rollup.fine.retention' END);
    END IF;
    FOR h IN SELECT * FROM _flagscope.past(g, live, r, m, since, until) x ORDER BY x.era, x.ordinal
    LOOP
        IF h.era IS DISTINCT FROM era THEN
            era := h.era;
            evidence := '{}';
            copied_at := NULL;
            fired := false;
            was_in := NULL;
            st.n_treatment := NULL;
        END IF;
        IF g.test <> 'sequential' THEN
            -- Every stage counts its sample and its looks from 0.
            SELECT d.id, s.min_sample INTO stage FROM flagscope.rollout x JOIN flagscope.decision d ON d.rollout_id = x.id
                LEFT JOIN flagscope.rollout_stage s ON s.rollout_id = d.rollout_id AND s.ordinal = d.to_stage
            WHERE x.flag = g.flag AND x.environment = g.environment AND NOT d.shadow AND d.at < h.at AND (d.to_stage <> d.from_stage OR d.action IN ('start', 'advance', 'step_back', 'resume', 'complete'))
            ORDER BY d.id DESC LIMIT 1;
            IF st.n_treatment IS NULL OR stage.id IS DISTINCT FROM was_in THEN
                st.n_treatment := coalesce(st.n_treatment, 0);
                st.stage_treatment := 0;
                st.looks := '{}';
                st.looked_at := NULL;
                was_in := stage.id;
            END IF;
            st := _flagscope.recheck(st, g, m, h, coalesce(g.min_sample, _flagscope.setting_number('guardrail.min_sample')::bigint), stage.min_sample,
                coalesce(g.time_window, _flagscope.setting_interval('guardrail.window')));
        END IF;
        IF h.increment <> '{}' THEN
            begins := coalesce(h.begins_copy, _flagscope.begins_copy(copied_at, (SELECT max(d.at) FROM flagscope.decision d
                WHERE d.rollout_id = r.id AND NOT d.shadow AND d.at < h.at AND d.to_stage > d.from_stage), h.at, copy_after));
            copied_at := CASE WHEN begins OR copied_at IS NULL THEN h.at ELSE copied_at END;
            evidence := _flagscope.gather_evidence(evidence, h.increment, begins);
        END IF;
        at := h.at;
        n_treatment := h.n_treatment;
        events_treatment := h.events_treatment;
        n_control := h.n_control;
        events_control := h.events_control;
        value := h.value;
        log_e := CASE g.test WHEN 'sequential' THEN _flagscope.log_e(m.kind::text, evidence) END;
        line := CASE g.test WHEN 'sequential' THEN -ln(coalesce(alpha, h.alpha, r.alpha * (1 - _flagscope.setting_number('rollout.alpha_reserve')))) END;
        -- Once in an era: sequential evidence is latched, the others fire each time they go beyond.
        fires := NOT fired AND CASE g.test WHEN 'sequential' THEN log_e >= line ELSE st.state = 'breached' END;
        fired := CASE g.test WHEN 'sequential' THEN fired OR fires ELSE st.state = 'breached' END;
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.backtest(flagscope.guardrail, flagscope.guardrail, timestamptz, timestamptz, float8) IS 'a rule over a past period, stratum by stratum';

CREATE FUNCTION flagscope.backtest_guardrail(guardrail_id bigint, since timestamptz DEFAULT clock_timestamp() - interval '1 day',
    until timestamptz DEFAULT clock_timestamp(), alpha float8 DEFAULT NULL)
RETURNS TABLE (at timestamptz, n_treatment bigint, events_treatment bigint[], n_control bigint, events_control bigint[], value float8,
    log_e float8, line float8, fires boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    g flagscope.guardrail := _flagscope.require_guardrail(guardrail_id);
BEGIN
    RETURN QUERY SELECT * FROM _flagscope.backtest(g, g, since, until, alpha);
END $$;
COMMENT ON FUNCTION flagscope.backtest_guardrail(bigint, timestamptz, timestamptz, float8) IS
    'a guardrail over a past period: when it fired, with which numbers, from the strata it weighed; alpha NULL: each evidence''s own, so that live decisions come out exactly, but for those on several guardrails together, which replay_joint() computes';

CREATE FUNCTION flagscope.backtest(flag text, rule jsonb, environment text DEFAULT NULL,
    since timestamptz DEFAULT clock_timestamp() - interval '1 day', until timestamptz DEFAULT clock_timestamp(), alpha float8 DEFAULT NULL)
RETURNS TABLE (at timestamptz, n_treatment bigint, events_treatment bigint[], n_control bigint, events_control bigint[], value float8,
    log_e float8, line float8, fires boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    g flagscope.guardrail := _flagscope.proposed(rule, flag, _flagscope.environment(environment));
    live flagscope.guardrail;
BEGIN
    PERFORM _flagscope.require_flag(flag);
    -- Counts of a proportion do not depend on the margin: another rule's strata serve. Those of a quantile are taken at its
    -- margin, so they are counted anew from rollups.
    SELECT * INTO live FROM flagscope.guardrail x WHERE x.flag = g.flag AND x.environment = g.environment AND x.metric = g.metric
        AND x.comparison = g.comparison AND x.test = g.test AND g.test = 'sequential'
        AND (SELECT m.kind FROM flagscope.metric_definition m WHERE m.name = g.metric) = 'proportion' ORDER BY x.id LIMIT 1;
    RETURN QUERY SELECT * FROM _flagscope.backtest(g, live, since, until, alpha);
END $$;
COMMENT ON FUNCTION flagscope.backtest(text, jsonb, text, timestamptz, timestamptz, float8) IS
    'a proposed rule over a past period, for example backtest(''f'', ''{"metric": "errors", "margin": 0.3}'', since => ..., until => ...): when it would have fired, with which numbers; from the strata of a live guardrail of the metric where their counts fit, else from rollups';
