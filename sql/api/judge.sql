-- Judging: a guardrail's stratum becomes evidence, evidence a verdict. What acts on verdicts is in ramp.sql.

CREATE TYPE _flagscope.tick_setting AS (
    min_sample bigint, time_window interval, reference_window interval, pairing interval, copy_after interval, grace interval, stale_after interval
);
COMMENT ON TYPE _flagscope.tick_setting IS 'the settings guardrail.* that a tick reads';

CREATE FUNCTION _flagscope.tick_setting() RETURNS _flagscope.tick_setting
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ROW(_flagscope.setting_number('guardrail.min_sample')::bigint, _flagscope.setting_interval('guardrail.window'),
        _flagscope.setting_interval('guardrail.reference_window'), _flagscope.setting_interval('guardrail.pairing'),
        _flagscope.setting_interval('guardrail.copy_after'), _flagscope.setting_interval('guardrail.grace'),
        _flagscope.setting_interval('guardrail.stale_after'))::_flagscope.tick_setting;
$$;
COMMENT ON FUNCTION _flagscope.tick_setting() IS
    'the settings, read once a tick and not once a guardrail (measured over 1,000 guardrails: 150 ms of a tick)';

CREATE FUNCTION _flagscope.strata(strata _flagscope.stratum[]) RETURNS SETOF _flagscope.stratum
LANGUAGE sql STABLE ROWS 10000 SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM unnest(strata) $$;
COMMENT ON FUNCTION _flagscope.strata(_flagscope.stratum[]) IS
    'unnest that the planner takes for large, so that it joins by hashing (measured over 1,000 guardrails: 450 ms of a tick)';

CREATE FUNCTION _flagscope.window_value(g flagscope.guardrail, m flagscope.metric_definition, variant text, time_window interval, at timestamptz,
    OUT n bigint, OUT value float8)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT _flagscope.bounded(coalesce(sum(v.n), 0)), _flagscope.metric_value(m, g.quantile, _flagscope.bounded(sum(v.n)), _flagscope.bounded(sum(v.events)),
        flagscope.rollup(v.moments), flagscope.rollup(v.histogram))
    FROM flagscope.variant_rollup v
    WHERE v.flag = g.flag AND v.environment = g.environment AND v.metric = m.name AND v.variant = window_value.variant
        AND v.bucket > at - time_window - interval '10 seconds'
        AND v.bucket <= at;
END;
COMMENT ON FUNCTION _flagscope.window_value(flagscope.guardrail, flagscope.metric_definition, text, interval, timestamptz) IS
    'value of a metric over a window; NULL without data, never 0';

CREATE FUNCTION _flagscope.next_thresholds(g flagscope.guardrail, r flagscope.rollout, past interval, at timestamptz) RETURNS integer[]
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT _flagscope.quantile_bins(flagscope.rollup(v.histogram), g.quantile) FROM flagscope.variant_rollup v
    WHERE v.flag = g.flag AND v.environment = g.environment AND v.metric = g.metric AND v.variant = r.control
        AND v.bucket > at - past AND v.bucket <= at;
END;
COMMENT ON FUNCTION _flagscope.next_thresholds(flagscope.guardrail, flagscope.rollout, interval, timestamptz) IS
    'bins of the control''s quantiles over its recent past: what the NEXT stratum is judged at, so that the test stays valid';

CREATE FUNCTION _flagscope.tested_as(comparison flagscope.comparison) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE comparison WHEN 'control' THEN 'control' ELSE 'absolute' END;
END;
COMMENT ON FUNCTION _flagscope.tested_as(flagscope.comparison) IS 'a baseline, once taken, is a limit like any other';

CREATE FUNCTION _flagscope.adds_margin(g flagscope.guardrail, m flagscope.metric_definition) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN g.margin_absolute IS NOT NULL AND g.comparison = 'control' AND m.kind IN ('proportion', 'rate');
COMMENT ON FUNCTION _flagscope.adds_margin(flagscope.guardrail, flagscope.metric_definition) IS
    'is a guardrail''s margin added to the control''s share or rate just before, to be a ratio: means need no such past, quantiles have their thresholds';

CREATE FUNCTION _flagscope.begins_copy(copied_at timestamptz, stage_started_at timestamptz, at timestamptz, copy_after interval)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(stage_started_at > copied_at, false) OR coalesce(at - copied_at >= copy_after, false);
END;
COMMENT ON FUNCTION _flagscope.begins_copy(timestamptz, timestamptz, timestamptz, interval) IS
    'does a copy of the evidence begin with this stratum: the first of a stage, or setting guardrail.copy_after since the last copy; never with the first of all';

CREATE FUNCTION _flagscope.gather(st flagscope.guardrail_status, g flagscope.guardrail, r flagscope.rollout, m flagscope.metric_definition,
    t _flagscope.stratum, c _flagscope.stratum, alone boolean, setting _flagscope.tick_setting, at timestamptz,
    OUT status flagscope.guardrail_status, OUT events_treatment bigint[], OUT events_control bigint[], OUT increment float8[], OUT begins_copy boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    status := st;
    events_treatment := '{}';
    events_control := '{}';
    increment := '{}';
    begins_copy := false;
    IF g.test = 'sequential' AND (g.comparison = 'control' OR st.limit_value IS NOT NULL) THEN
        SELECT w.* INTO events_treatment, events_control, increment
        FROM _flagscope.weigh_stratum(m.kind::text, _flagscope.tested_as(g.comparison), m.harm::text, g.quantile, st.margin, st.margin_absolute, st.limit_value,
            m.cap, st.centre, g.design_effect, st.thresholds, coalesce(t.n, 0), coalesce(t.events, 0), t.moments, t.histogram,
            coalesce(c.n, 0), coalesce(c.events, 0), c.moments, c.histogram) w;
        -- A tick that compares nothing leaves no stratum, which would say that a copy began with it.
        begins_copy := increment <> '{}' AND (t.n IS NOT NULL OR c.n IS NOT NULL)
            AND _flagscope.begins_copy(st.copied_at, r.stage_started_at, at, setting.copy_after);
        status.copied_at := CASE WHEN begins_copy OR (st.copied_at IS NULL AND increment <> '{}' AND (t.n IS NOT NULL OR c.n IS NOT NULL)) THEN at ELSE st.copied_at END;
        status.evidence := _flagscope.gather_evidence(st.evidence, increment, begins_copy);
        IF increment <> '{}' THEN
            status.events_treatment := _flagscope.add(st.events_treatment, events_treatment);
            status.events_control := _flagscope.add(st.events_control, events_control);
        END IF;
        status.log_e := _flagscope.log_e(m.kind::text, status.evidence);
        status.max_log_e := greatest(st.max_log_e, status.log_e);
    END IF;
    IF g.test <> 'sequential' OR increment <> '{}' THEN  -- the first stratum of a quantile, a mean or an absolute margin has nothing to be judged at: it was not weighed
        status.n_treatment := st.n_treatment + coalesce(t.n, 0);
        status.n_control := st.n_control + coalesce(c.n, 0);
    END IF;
    IF g.comparison <> 'control' OR c.n > 0 OR alone THEN  -- what was compared with nothing is no sample
        status.stage_treatment := st.stage_treatment + coalesce(t.stage_n, 0);
    END IF;
    status.watermark := greatest(st.watermark, t.last_ts, c.last_ts);
    IF m.kind = 'quantile' AND g.comparison = 'control' AND c.n > 0 THEN
        -- Data that is all older than the window gives none: the ones before are still from the past.
        status.thresholds := coalesce(_flagscope.next_thresholds(g, r, setting.reference_window, at), st.thresholds);
    ELSIF m.kind = 'mean' AND g.comparison = 'control' THEN
        status.centre := _flagscope.next_centre(st.centre, c.moments);
    ELSIF _flagscope.adds_margin(g, m) AND c.n IS NOT NULL THEN
        status.past := _flagscope.next_past(st.past, m.kind::text, c.n, c.events, c.moments);
        status.centre := _flagscope.centre_of_past(m.kind::text, status.past);
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.gather(flagscope.guardrail_status, flagscope.guardrail, flagscope.rollout, flagscope.metric_definition,
    _flagscope.stratum, _flagscope.stratum, boolean, _flagscope.tick_setting, timestamptz) IS 'a guardrail''s status after one stratum, before the verdict';

CREATE FUNCTION _flagscope.look(st flagscope.guardrail_status, g flagscope.guardrail, time_window interval, at timestamptz)
RETURNS flagscope.guardrail_status
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    beyond integer;
    is_new boolean := coalesce(at < st.looked_at OR at >= st.looked_at + time_window, true);
BEGIN
    IF st.state NOT IN ('ok', 'breached') THEN
        RETURN st;  -- a look that saw too little is none
    END IF;
    -- Looks closer than a window would see the same rows again; the one that counts is still open until the next begins.
    st.looks := (st.looks[CASE WHEN is_new THEN greatest(1, cardinality(st.looks) - g.of_looks + 2) ELSE 1 END
        :cardinality(st.looks) - (NOT is_new)::integer]) || (st.state = 'breached');
    st.looked_at := CASE WHEN is_new THEN at ELSE st.looked_at END;
    beyond := (SELECT count(*) FROM unnest(st.looks) l WHERE l);
    IF beyond > 0 AND beyond < g.breaches THEN
        st.state := 'inconclusive';
        st.reason := format('%s of %s looks beyond the limit, %s make a breach; now %s', beyond, cardinality(st.looks), g.breaches, st.reason);
    ELSIF beyond >= g.breaches AND st.state = 'ok' THEN
        st.state := 'breached';
        st.reason := format('%s of the last %s looks beyond the limit; now %s', beyond, cardinality(st.looks), st.reason);
    END IF;
    RETURN st;
END $$;
COMMENT ON FUNCTION _flagscope.look(flagscope.guardrail_status, flagscope.guardrail, interval, timestamptz) IS
    'm of n: a threshold is breached when enough of its last looks, one window apart, were beyond the limit';

CREATE FUNCTION _flagscope.is_eventless(st flagscope.guardrail_status, g flagscope.guardrail, m flagscope.metric_definition) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN m.kind IN ('proportion', 'rate') AND CASE g.test WHEN 'sequential' THEN 0 = ALL (st.events_treatment || st.events_control)
    WHEN 'threshold' THEN coalesce(st.value = 0, false) ELSE false END;
COMMENT ON FUNCTION _flagscope.is_eventless(flagscope.guardrail_status, flagscope.guardrail, flagscope.metric_definition) IS
    'has a guardrail that counts events seen none: all is well, or its metric''s event is not what was meant';

CREATE FUNCTION _flagscope.judge(st flagscope.guardrail_status, g flagscope.guardrail, r flagscope.rollout, m flagscope.metric_definition,
    step_sample bigint, alone boolean, setting _flagscope.tick_setting, at timestamptz) RETURNS flagscope.guardrail_status
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    was flagscope.data_state := st.state;
    look record;
    facts jsonb;
BEGIN
    IF g.test = 'threshold' THEN
        st.value := (_flagscope.window_value(g, m, r.treatment, coalesce(g.time_window, setting.time_window), at)).value;
    ELSIF g.test = 'anomaly' THEN
        SELECT * INTO look FROM _flagscope.look_for_anomaly(st, g, r, m, alone, setting, at);
        st := look.status;
        facts := look.facts;
    END IF;
    SELECT v.state::flagscope.data_state, v.reason INTO st.state, st.reason
    FROM _flagscope.verdict(jsonb_build_object(
        'metric', m.name, 'kind', m.kind, 'unit', m.unit, 'harm', m.harm, 'test', g.test, 'comparison', g.comparison,
        'limit', st.limit_value, 'quantile', g.quantile, 'value', st.value, 'anomaly', facts, 'is_eventless', _flagscope.is_eventless(st, g, m),
        'log_e', st.log_e, 'max_log_e', st.max_log_e, 'alpha', st.alpha, 'joint', st.joint ->> 'reason',
        'stage_sample', st.stage_treatment, 'control_sample', st.n_control,
        'needs_past', g.comparison = 'control' AND (m.kind IN ('quantile', 'mean') OR g.margin_absolute IS NOT NULL),
        'sample', st.n_treatment, 'breach_sample', coalesce(g.min_sample, setting.min_sample),
        'min_sample', greatest(coalesce(g.min_sample, setting.min_sample), step_sample),
        'stage_age', extract(epoch FROM at - r.stage_started_at),
        'idle', extract(epoch FROM at - st.last_data_at), 'last_data', to_char(st.last_data_at AT TIME ZONE 'UTC', 'HH24:MI:SS'),
        'grace', extract(epoch FROM coalesce(g.grace, setting.grace)),
        'stale_after', extract(epoch FROM coalesce(g.stale_after, setting.stale_after)))) v;
    IF g.comparison = 'baseline' AND st.limit_value IS NULL AND st.state = 'ok' THEN
        st.state := 'not_enough';
        st.reason := format('variant "%s" has too short a past to be a baseline', r.control);
    ELSIF g.of_looks > 1 THEN
        st := _flagscope.look(st, g, coalesce(g.time_window, setting.time_window), at);
    END IF;
    IF st.state = 'breached' AND st.breached_at IS NULL THEN
        st.breached_at := at;
    END IF;
    IF g.test <> 'sequential' AND st.state <> 'breached' THEN
        st.breached_at := NULL;  -- a threshold or an anomaly can recover; sequential evidence is latched by its maximum
    END IF;
    st.state_since := CASE WHEN st.state = was AND st.state_since IS NOT NULL THEN st.state_since ELSE at END;
    RETURN st;
END $$;
COMMENT ON FUNCTION _flagscope.judge(flagscope.guardrail_status, flagscope.guardrail, flagscope.rollout, flagscope.metric_definition, bigint,
    boolean, _flagscope.tick_setting, timestamptz) IS
    'the verdict on a guardrail''s status: data state and reason in words';

CREATE FUNCTION _flagscope.merge_strata(a _flagscope.stratum, b _flagscope.stratum) RETURNS _flagscope.stratum
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF a.n IS NULL OR b.n IS NULL THEN
        RETURN CASE WHEN a.n IS NULL THEN b ELSE a END;
    END IF;
    RETURN ROW(a.flag, a.environment, a.variant, a.metric, _flagscope.bounded(a.n::numeric + b.n), _flagscope.bounded(a.events::numeric + b.events), flagscope.merge(a.moments, b.moments),
        flagscope.merge(a.histogram, b.histogram), greatest(a.last_ts, b.last_ts), _flagscope.bounded(a.stage_n::numeric + b.stage_n))::_flagscope.stratum;
END $$;
COMMENT ON FUNCTION _flagscope.merge_strata(_flagscope.stratum, _flagscope.stratum) IS 'two strata of one variant as one; NULL counts as empty';

CREATE FUNCTION _flagscope.pair(st flagscope.guardrail_status, g flagscope.guardrail, m flagscope.metric_definition, t _flagscope.stratum,
    c _flagscope.stratum, alone boolean, pairing interval, at timestamptz,
    OUT status flagscope.guardrail_status, OUT treatment _flagscope.stratum, OUT control _flagscope.stratum)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    status := st;
    treatment := t;
    control := c;
    IF st.failures > 0 THEN  -- what could not be judged then is judged now
        treatment := _flagscope.merge_strata(st.waiting_treatment, t);
        control := _flagscope.merge_strata(st.waiting_control, c);
        status.waiting_treatment := NULL;
        status.waiting_control := NULL;
        status.waiting_since := NULL;
        st := status;
    END IF;
    IF m.kind = 'rate' AND g.test = 'sequential' AND g.comparison <> 'control' THEN
        -- What is counted and what it is counted per come by different requests, seconds apart (logs at once, spans in
        -- batches), and evidence is latched at its maximum: they are gathered for a while and weighed as one.
        treatment := _flagscope.merge_strata(st.waiting_treatment, treatment);
        IF treatment.n IS NOT NULL AND (st.waiting_since IS NULL OR at - st.waiting_since BETWEEN '0' AND pairing - interval '1 microsecond') THEN
            status.waiting_treatment := treatment;
            status.waiting_since := coalesce(st.waiting_since, at);
            treatment := NULL;
            control := NULL;
        ELSE
            status.waiting_treatment := NULL;
            status.waiting_since := NULL;
        END IF;
        RETURN;
    END IF;
    IF g.comparison <> 'control' OR alone OR (treatment IS NULL AND control IS NULL) THEN
        RETURN;
    END IF;
    IF at - st.waiting_since <= pairing THEN  -- else what waited found nobody to be compared with
        treatment := _flagscope.merge_strata(st.waiting_treatment, treatment);
        control := _flagscope.merge_strata(st.waiting_control, control);
    END IF;
    status.waiting_treatment := NULL;
    status.waiting_control := NULL;
    status.waiting_since := NULL;
    -- The first control data of a quantile gives its thresholds, of a mean its centre, of an absolute margin what it is added to; there is nothing to compare yet.
    IF (treatment.n > 0 AND control.n > 0) OR (m.kind = 'quantile' AND st.thresholds IS NULL) OR (m.kind = 'mean' AND st.centre IS NULL)
        OR (_flagscope.adds_margin(g, m) AND st.centre IS NULL AND control.n > 0) THEN
        RETURN;
    END IF;
    -- An arm that comes alone tells a stratified test nothing; together with the other arm's next data it does. When
    -- arms arrive does not depend on what is in them, so the test stays valid; thresholds stay as they are meanwhile.
    status.waiting_treatment := treatment;
    status.waiting_control := control;
    status.waiting_since := CASE WHEN at - st.waiting_since <= pairing THEN st.waiting_since ELSE at END;
    treatment := NULL;
    control := NULL;
END $$;
COMMENT ON FUNCTION _flagscope.pair(flagscope.guardrail_status, flagscope.guardrail, flagscope.metric_definition, _flagscope.stratum,
    _flagscope.stratum, boolean, interval, timestamptz) IS 'the arms to compare now: data of one arm alone waits for the other''s';

CREATE FUNCTION _flagscope.evaluate_guardrail(was flagscope.guardrail_status, g flagscope.guardrail, r flagscope.rollout,
    m flagscope.metric_definition, step flagscope.rollout_stage, t _flagscope.stratum, c _flagscope.stratum, setting _flagscope.tick_setting,
    at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    st flagscope.guardrail_status;
    alone boolean := step.percent = 100 OR r.status = 'completed';  -- no control is left: nothing to wait for
    arms record;
    stratum record;
    is_news boolean;
BEGIN
    SELECT * INTO arms FROM _flagscope.pair(was, g, m, t, c, alone, setting.pairing, at);
    IF g.comparison = 'baseline' AND was.limit_value IS NULL THEN
        st := arms.status;
        st.limit_value := _flagscope.baseline(g, r, m, coalesce(g.min_sample, setting.min_sample), at);
        arms.status := st;
    END IF;
    SELECT * INTO stratum FROM _flagscope.gather(arms.status, g, r, m, arms.treatment, arms.control, alone,
        setting, at);
    st := stratum.status;
    -- What waits for the other arm is not compared yet: the guardrail goes stale. A rate that is being gathered is not.
    IF (arms.treatment).n > 0 OR (m.kind = 'rate' AND g.comparison <> 'control' AND t.n > 0) THEN
        st.last_data_at := at;
    END IF;
    st := _flagscope.judge(st, g, r, m, step.min_sample, alone, setting, at);
    is_news := (st.state, st.reason) IS DISTINCT FROM (was.state, was.reason);
    IF NOT is_news AND t IS NULL AND c IS NULL AND st.looked_at IS NOT DISTINCT FROM was.looked_at THEN
        RETURN;  -- an idle tick writes nothing, but that a point of an anomaly was looked at: else the next one looks again
    END IF;
    -- Never write over what somebody changed meanwhile (a resume, a stage, the rule itself), and never wait for him.
    PERFORM FROM flagscope.guardrail_status s WHERE s.guardrail_id = g.id AND s.rollout_id = r.id
        AND (s.evidence_id, s.last_stratum, s.stage_treatment, s.evaluated_at, s.state)
            IS NOT DISTINCT FROM (was.evidence_id, was.last_stratum, was.stage_treatment, was.evaluated_at, was.state)
        FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF is_news OR (arms.treatment).n IS NOT NULL OR (arms.control).n IS NOT NULL THEN
        st.last_stratum := st.last_stratum + 1;
        INSERT INTO flagscope.evaluation (at, evidence_id, stratum, guardrail_id, rollout_id, guardrail_version, percent, state,
            n_treatment, n_control, events_treatment, events_control, thresholds, centre, moments_treatment, moments_control, increment,
            begins_copy, log_e, value, watermark)
        VALUES (at, st.evidence_id, st.last_stratum, g.id, r.id, g.version, CASE r.status WHEN 'completed' THEN 100 ELSE step.percent END, st.state, coalesce((arms.treatment).n, 0), coalesce((arms.control).n, 0),
            stratum.events_treatment, stratum.events_control, was.thresholds, CASE g.test WHEN 'anomaly' THEN st.centre ELSE was.centre END, (arms.treatment).moments, (arms.control).moments,
            stratum.increment, stratum.begins_copy, st.log_e, st.value,
            greatest((arms.treatment).last_ts, (arms.control).last_ts));
    END IF;
    UPDATE flagscope.guardrail_status s SET state = st.state, state_since = st.state_since, reason = st.reason, last_stratum = st.last_stratum,
        limit_value = st.limit_value, looks = st.looks, looked_at = st.looked_at, evidence = st.evidence, copied_at = st.copied_at, log_e = st.log_e,
        max_log_e = st.max_log_e, thresholds = st.thresholds, centre = st.centre, past = st.past, waiting_treatment = st.waiting_treatment,
        waiting_control = st.waiting_control, waiting_since = st.waiting_since, n_treatment = st.n_treatment,
        n_control = st.n_control, events_treatment = st.events_treatment, events_control = st.events_control,
        stage_treatment = st.stage_treatment, value = st.value, evaluated_at = at, last_data_at = st.last_data_at,
        watermark = st.watermark, breached_at = st.breached_at, failures = 0, retry_at = NULL
    WHERE s.guardrail_id = g.id AND s.rollout_id = r.id;
END $$;
COMMENT ON FUNCTION _flagscope.evaluate_guardrail(flagscope.guardrail_status, flagscope.guardrail, flagscope.rollout, flagscope.metric_definition,
    flagscope.rollout_stage, _flagscope.stratum, _flagscope.stratum, _flagscope.tick_setting, timestamptz) IS
    'one guardrail in one tick: stratum to evaluation, evidence and verdict to guardrail_status';

CREATE FUNCTION _flagscope.note_failure(st flagscope.guardrail_status, t _flagscope.stratum, c _flagscope.stratum, at timestamptz, problem text)
RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE flagscope.guardrail_status s SET state = 'error', state_since = CASE s.state WHEN 'error' THEN s.state_since ELSE at END,
        reason = problem, failures = s.failures + 1, evaluated_at = at,
        retry_at = at + _flagscope.setting_interval('guardrail.retry_after') * (2 ^ least(s.failures, 5)),
        -- Its data is not lost: it waits for the try that succeeds.
        waiting_treatment = _flagscope.merge_strata(s.waiting_treatment, t), waiting_control = _flagscope.merge_strata(s.waiting_control, c),
        waiting_since = coalesce(s.waiting_since, at)
    FROM (SELECT x.guardrail_id, x.rollout_id FROM flagscope.guardrail_status x
          WHERE x.guardrail_id = st.guardrail_id AND x.rollout_id = st.rollout_id
          FOR NO KEY UPDATE SKIP LOCKED) free
    WHERE s.guardrail_id = free.guardrail_id AND s.rollout_id = free.rollout_id;
$$;
COMMENT ON FUNCTION _flagscope.note_failure(flagscope.guardrail_status, _flagscope.stratum, _flagscope.stratum, timestamptz, text) IS
    'a guardrail that failed is in state error, holds the ramp, keeps its data, and is tried again later and later';

CREATE FUNCTION _flagscope.newest_point(g flagscope.guardrail, pairing interval, at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- Not all guardrails at the same moment: they are spread over a minute.
RETURN date_bin(g.time_window, at - pairing - g.id % 60 * interval '1 second', timestamptz '2000-01-01 00:00:00+00') - g.time_window;
COMMENT ON FUNCTION _flagscope.newest_point(flagscope.guardrail, interval, timestamptz) IS
    'of an anomaly''s series, start of the newest point that is over and whose rows have had the time of setting guardrail.pairing to come';

CREATE FUNCTION _flagscope.needs_verdict(st flagscope.guardrail_status, g flagscope.guardrail, has_data boolean,
    setting _flagscope.tick_setting, at timestamptz) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN has_data OR (coalesce(st.retry_at <= at, true) AND (g.test = 'threshold' OR st.state = 'error'
    OR (g.test = 'anomaly' AND st.looked_at IS DISTINCT FROM _flagscope.newest_point(g, setting.pairing, at))
    OR (st.last_data_at IS NULL AND st.state <> 'no_data')
    OR (st.last_data_at < at - coalesce(g.stale_after, setting.stale_after) AND st.state NOT IN ('stale', 'breached'))));
COMMENT ON FUNCTION _flagscope.needs_verdict(flagscope.guardrail_status, flagscope.guardrail, boolean, _flagscope.tick_setting, timestamptz) IS
    'can the verdict differ from the last one: there is data, a window moves on, a point of a series is over, data is missing for too long, or a failure may be over';

CREATE FUNCTION _flagscope.evaluate_guardrails(strata _flagscope.stratum[], at timestamptz) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    setting _flagscope.tick_setting := _flagscope.tick_setting();
    work record;
    judged bigint[] := '{}';
    done integer := 0;
BEGIN
    PERFORM _flagscope.begin_missing_evidence(at), _flagscope.rearm_warnings(at);
    FOR work IN
        SELECT st, g, r, m, step, t, c, q.problem FROM flagscope.rollout r
        JOIN flagscope.guardrail g ON g.flag = r.flag AND g.environment = r.environment AND g.enabled
        JOIN flagscope.metric_definition m ON m.name = g.metric
        LEFT JOIN flagscope.metric_run q ON q.metric = m.name AND _flagscope.is_polled(m)
        JOIN flagscope.rollout_stage step ON step.rollout_id = r.id AND step.ordinal = r.stage
        JOIN flagscope.guardrail_status st ON st.guardrail_id = g.id AND st.rollout_id = r.id
        LEFT JOIN _flagscope.strata(strata) t
            ON (t.flag, t.environment, t.metric, t.variant) = (r.flag, r.environment, g.metric, r.treatment)
        LEFT JOIN _flagscope.strata(strata) c
            ON (c.flag, c.environment, c.metric, c.variant) = (r.flag, r.environment, g.metric, r.control)
        WHERE _flagscope.is_watched(r, at) AND (r.status <> 'completed' OR g.comparison <> 'control')
            AND (_flagscope.needs_verdict(st, g, t.n IS NOT NULL OR c.n IS NOT NULL, setting, at)
                OR (q.problem IS NOT NULL AND st.state NOT IN ('error', 'breached')))
        ORDER BY r.id, g.id
    LOOP
        BEGIN
            IF work.problem IS NOT NULL AND (work.st).state <> 'breached' THEN
                RAISE EXCEPTION USING MESSAGE = work.problem;
            END IF;
            PERFORM _flagscope.evaluate_guardrail(work.st, work.g, work.r, work.m, work.step, work.t, work.c, setting, at);
        EXCEPTION WHEN OTHERS THEN
            PERFORM _flagscope.note_failure(work.st, work.t, work.c, at, SQLERRM);
        END;
        done := done + 1;
        IF (work.r).id IS DISTINCT FROM judged[cardinality(judged)] THEN
            judged := judged || (work.r).id;
        END IF;
    END LOOP;
    IF done > 0 THEN
        PERFORM _flagscope.judge_together(judged, at);
    END IF;
    RETURN done;
END $$;
COMMENT ON FUNCTION _flagscope.evaluate_guardrails(_flagscope.stratum[], timestamptz) IS
    'evaluates the guardrails of every live rollout whose verdict can differ, each in a subtransaction of its own, then those of a rollout together; returns how many';
