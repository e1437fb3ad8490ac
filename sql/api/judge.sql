-- Judging: what a tick consumed becomes evidence, evidence a verdict. Here what each guardrail is judged by is loaded,
-- and what was found is stored; the judge itself is src/core/guardrail/step.rs. What acts on verdicts is in ramp.sql.

CREATE TYPE _flagscope.tick_setting AS (
    min_sample bigint, time_window interval, reference_window interval, pairing interval, copy_after interval,
    grace interval, stale_after interval, retry_after interval, baseline_window interval, safe_margin float8
);
COMMENT ON TYPE _flagscope.tick_setting IS 'the settings guardrail.* that a tick reads';

CREATE FUNCTION _flagscope.tick_setting() RETURNS _flagscope.tick_setting
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ROW(_flagscope.setting_number('guardrail.min_sample')::bigint,
        _flagscope.setting_interval('guardrail.window'), _flagscope.setting_interval('guardrail.reference_window'),
        _flagscope.setting_interval('guardrail.pairing'),
        _flagscope.setting_interval('guardrail.copy_after'), _flagscope.setting_interval('guardrail.grace'),
        _flagscope.setting_interval('guardrail.stale_after'), _flagscope.setting_interval('guardrail.retry_after'),
        _flagscope.setting_interval('guardrail.baseline_window'),
        _flagscope.setting_number('guardrail.safe_margin'))::_flagscope.tick_setting;
END $$;
COMMENT ON FUNCTION _flagscope.tick_setting() IS
    'the settings, read once a tick and not once a guardrail (measured over 1,000 guardrails: 150 ms of a tick)';

CREATE FUNCTION _flagscope.strata(strata _flagscope.stratum[]) RETURNS SETOF _flagscope.stratum
LANGUAGE sql STABLE ROWS 10000 SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM unnest(strata) $$;
COMMENT ON FUNCTION _flagscope.strata(_flagscope.stratum[]) IS
    'unnest that the planner takes for large, so that it joins by hashing '
    '(measured over 1,000 guardrails: 450 ms of a tick)';

COMMENT ON FUNCTION _flagscope.is_due(text, text, boolean, boolean, timestamptz, timestamptz, interval, timestamptz,
    timestamptz, timestamptz) IS
    'can a guardrail''s verdict differ from the last one: test, state, has data come, could its metric not be counted, '
    'retry_at, last_data_at, stale_after, of an anomaly the last point and the newest, now (src/core/guardrail/due.rs)';
COMMENT ON FUNCTION _flagscope.newest_point(bigint, interval, interval, timestamptz) IS
    'of an anomaly''s series, start of the newest point that is over and whose rows have had the time of setting '
    'guardrail.pairing to come: guardrail, width, pairing, now';
COMMENT ON FUNCTION _flagscope.is_eventless(text, text, float8, bigint[], bigint[]) IS
    'has a guardrail that counts events seen none (all is well, or its metric''s event is not what was meant): kind of '
    'metric, test, last value, events of treatment and control';
COMMENT ON FUNCTION _flagscope.not_fresh(float8[], float8[], interval, timestamptz, text) IS
    'why a guardrail''s data is too old to advance on, measured by its own rhythm: that of the treatment (or of what '
    'it reads instead), of the control (NULL: it is not compared with), stale_after, now, whose data it is '
    '(of_whom()); NULL: it is fresh (src/core/guardrail/rhythm.rs)';
COMMENT ON FUNCTION _flagscope.looks_back(text) IS
    'is a kind of metric judged at quantiles of the control''s recent past';

COMMENT ON FUNCTION _flagscope.spread(text, text, float8) IS
    'how much parts of one arm''s time differ beyond sampling, a standard deviation of logarithms: a cursor of their '
    'states, kind, quantile (src/core/guardrail/noise.rs)';

CREATE FUNCTION _flagscope.control_spread(g flagscope.guardrail, m flagscope.metric_definition, r flagscope.rollout,
    since timestamptz, until timestamptz) RETURNS float8
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    parts CURSOR FOR
        SELECT ROW(NULL, NULL, NULL, NULL, _flagscope.bounded(sum(v.n)), _flagscope.bounded(sum(v.events)),
            flagscope.rollup(v.moments), flagscope.rollup(v.histogram), max(v.last_ts), NULL)::_flagscope.stratum
            AS state
        FROM flagscope.variant_rollup v
        WHERE v.flag = r.flag AND v.environment = r.environment AND v.metric = m.name AND v.variant = r.control
            AND v.bucket >= control_spread.since AND v.bucket < control_spread.until
        GROUP BY date_bin(greatest(interval '10 seconds', (control_spread.until - control_spread.since) / 8), v.bucket,
            control_spread.since);
    found float8;
BEGIN
    OPEN parts;
    found := _flagscope.spread(parts::text, m.kind::text, (_flagscope.as_judged(g, m)).quantile);
    CLOSE parts;
    RETURN found;
END $$;
COMMENT ON FUNCTION _flagscope.control_spread(flagscope.guardrail, flagscope.metric_definition, flagscope.rollout,
    timestamptz, timestamptz) IS
    'how much the control''s metric has varied between eighths of a time beyond sampling: as much is no harm of the '
    'treatment when there is no control any more';

CREATE FUNCTION _flagscope.open_guardrails(strata _flagscope.stratum[], pairs _flagscope.pair[], only_round integer,
    setting _flagscope.tick_setting, at timestamptz, only_rollout bigint, only_guardrail bigint, due_only boolean,
    looked jsonb, unloaded text) RETURNS refcursor
-- All rows are fetched, and one plan serves all ticks: planned for the first rows alone it compared each guardrail with
-- each stratum (1,000 with data: 3 s and not 0.15).
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET cursor_tuple_fraction = 1
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    guardrails CURSOR FOR
        SELECT r.id AS rollout_id, g.id AS guardrail_id, g.version, st,
            CASE WHEN st.carries_on THEN _flagscope.as_judged(g, m) ELSE g END AS g, m, setting, d.t, d.c, g.flag,
            coalesce(g.design_effect, st.design_effect) AS design_effect,
            g.environment, g.metric, r.treatment, r.control, r.alpha AS safe_alpha, r.stage_started_at, s.is_alone,
            (s.percent / 100)::float8 AS share, s.percent, s.min_sample AS stage_sample,
            -- What came tells that an arm is alive, also while it waits for its other half.
            coalesce((own.t).n > 0, false) AS treatment_came, coalesce(c.n > 0, false) AS control_came,
            _flagscope.is_polled(m) AS is_polled, q.problem, coalesce(unloaded, looked ->> g.id::text) AS unloaded,
            -- For judging together: is evidence on its way that others may have had already.
            CASE WHEN unloaded IS NOT NULL AND g.comparison = 'control' THEN EXISTS (
                SELECT FROM _flagscope.waiting_stratum w
                WHERE w.rollout_id = r.id AND w.metric = g.metric AND w.treated) END AS is_waiting,
            -- Thresholds of the NEXT stratum; a window that moves on; a limit that is taken once.
            CASE WHEN unloaded IS NULL AND g.comparison = 'control' AND coalesce((d.c).n, (st.waiting_control).n) > 0
                    AND _flagscope.looks_back(m.kind::text) THEN _flagscope.state_of(g.flag, g.environment, g.metric,
                r.control, least(d.until, at) - setting.reference_window, least(d.until, at)) END AS reference,
            CASE WHEN unloaded IS NULL AND g.test = 'threshold' THEN
                _flagscope.state_over(g.flag, g.environment, g.metric, _flagscope.watched(g, r.treatment),
                    at - coalesce(g.time_window, setting.time_window) - interval '10 seconds', at) END AS window_state,
            CASE WHEN unloaded IS NULL AND g.test <> 'anomaly' AND st.limit_value IS NULL THEN
                CASE WHEN st.carries_on THEN _flagscope.state_of(g.flag, g.environment, g.metric, r.control,
                        greatest(_flagscope.bucket_of(r.started_at), s.since - setting.baseline_window)
                            - interval '1 microsecond', s.since)
                    WHEN g.comparison = 'baseline' THEN _flagscope.state_over(g.flag, g.environment, g.metric,
                        _flagscope.baseline_of(g, r.control),
                        coalesce(r.started_at, at) - setting.baseline_window - interval '1 microsecond',
                        at - interval '1 microsecond') END END AS baseline,
            CASE WHEN unloaded IS NULL AND g.test <> 'anomaly' AND st.limit_value IS NULL AND st.carries_on THEN
                _flagscope.control_spread(g, m, r, greatest(_flagscope.bucket_of(r.started_at),
                    s.since - setting.baseline_window), s.since) END AS baseline_spread,
            p.point, a.since AS counted_since,
            CASE WHEN g.scope = 'environment' THEN '-infinity' WHEN s.is_alone THEN s.since END AS alone_since,
            CASE WHEN p.point IS NOT NULL THEN (SELECT seen_point FROM _flagscope.anomaly_point seen_point
                -- While there is a control the treatment is judged beside it.
                WHERE seen_point.guardrail_id = g.id AND seen_point.variant = CASE
                    WHEN g.scope = 'environment' OR (s.is_alone AND p.point >= s.since) THEN ''
                        ELSE r.treatment END AND seen_point.at = p.point) END AS seen,
            CASE WHEN p.point IS NOT NULL THEN (SELECT min(x.at) FROM _flagscope.anomaly_point x
                WHERE x.guardrail_id = g.id AND x.variant = '') END AS first_point
        FROM flagscope.rollout r
        JOIN flagscope.guardrail g ON g.flag = r.flag AND g.environment = r.environment AND g.enabled
        JOIN flagscope.metric_definition m ON m.name = g.metric
        LEFT JOIN flagscope.metric_run q ON q.metric = m.name AND _flagscope.is_polled(m)
        LEFT JOIN flagscope.rollout_stage step ON step.rollout_id = r.id AND step.ordinal = r.stage
        JOIN flagscope.guardrail_status st ON st.guardrail_id = g.id AND st.rollout_id = r.id
        LEFT JOIN _flagscope.strata(strata) t
            ON (t.flag, t.environment, t.metric, t.variant)
                = (r.flag, r.environment, g.metric, CASE g.scope WHEN 'environment' THEN '' ELSE r.treatment END)
        LEFT JOIN _flagscope.strata(strata) c
            ON (c.flag, c.environment, c.metric, c.variant) = (r.flag, r.environment, g.metric, r.control)
                AND g.scope = 'flag' AND g.variants IS NULL
        LEFT JOIN _flagscope.halves(pairs, only_round) pt
            ON (pt.flag, pt.environment, pt.metric, pt.variant) = (r.flag, r.environment, g.metric, r.treatment)
        LEFT JOIN _flagscope.halves(pairs, only_round) pc
            ON (pc.flag, pc.environment, pc.metric, pc.variant) = (r.flag, r.environment, g.metric, r.control)
        -- Stage 0 serves nobody: there is no step.
        CROSS JOIN LATERAL (SELECT r.status = 'completed' OR coalesce(step.percent = 100, false) AS is_alone,
            CASE r.status WHEN 'completed' THEN 100 ELSE coalesce(step.percent, 0) END::numeric(6,3) AS percent,
            step.min_sample,
            CASE WHEN r.status = 'completed' AND step.percent IS DISTINCT FROM 100 THEN r.ended_at
                ELSE r.stage_started_at END AS since) s
        CROSS JOIN LATERAL (SELECT CASE WHEN g.variants IS NULL THEN t
            ELSE _flagscope.strata_over(strata, g) END AS t) own
        -- Against the control what happened together; else, and where none is left, all that came.
        CROSS JOIN LATERAL (SELECT pt.until,
            CASE WHEN g.comparison = 'control' AND NOT s.is_alone THEN pt.stratum ELSE own.t END AS t,
            CASE WHEN g.comparison = 'control' AND NOT s.is_alone THEN pc.stratum ELSE c END AS c) d
        CROSS JOIN LATERAL (SELECT greatest(r.started_at, st.since) AS since, CASE g.test WHEN 'anomaly' THEN
            _flagscope.newest_point(g.id, g.time_window, setting.pairing, at) END AS newest) a
        -- A point that could not be looked at, since somebody has the guardrail locked, waits for the next tick.
        CROSS JOIN LATERAL (SELECT CASE WHEN a.newest < a.since OR looked ? g.id::text THEN a.newest
            ELSE st.point END AS point) p
        WHERE _flagscope.is_watched(r, at) AND (r.status <> 'completed' OR g.comparison <> 'control' OR st.carries_on)
            AND (only_rollout IS NULL OR r.id = only_rollout) AND (only_guardrail IS NULL OR g.id = only_guardrail)
            -- Of later rounds of a tick only what they bring something for.
            AND (only_round = 1 OR (d.t).n IS NOT NULL OR (d.c).n IS NOT NULL)
            AND (NOT due_only OR _flagscope.is_due(g.test::text, st.state::text,
                coalesce((d.t).n, (d.c).n, (own.t).n, c.n) IS NOT NULL,
                q.problem IS NOT NULL, st.retry_at, st.last_data_at, coalesce(g.stale_after, setting.stale_after),
                st.point, a.newest, at));
BEGIN
    OPEN guardrails;
    RETURN guardrails;
END $$;
COMMENT ON FUNCTION _flagscope.open_guardrails(_flagscope.stratum[], _flagscope.pair[], integer,
    _flagscope.tick_setting, timestamptz, bigint, bigint, boolean, jsonb, text) IS
    'a cursor of guardrails of watched rollouts, with all that they are judged by: the strata just consumed, or of '
    'comparisons with the control a round of pairs, status, '
    'rule, metric, stage; of all, of a rollout or one, perhaps of those alone that are due; looked: by id the '
    'anomalies whose newest point was looked at, with what went wrong; unloaded: why nothing more can be loaded';

COMMENT ON FUNCTION _flagscope.step(refcursor, timestamptz) IS
    'steps the guardrails of a cursor of open_guardrails(): what each is after what the tick brings '
    '(src/core/guardrail/step.rs); writes nothing';

CREATE FUNCTION _flagscope.state_of(flag text, environment text, metric text, variant text, since timestamptz,
    until timestamptz)
RETURNS _flagscope.stratum
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT ROW(state_of.flag, state_of.environment, state_of.variant, state_of.metric, _flagscope.bounded(sum(v.n)),
        _flagscope.bounded(sum(v.events)), flagscope.rollup(v.moments), flagscope.rollup(v.histogram), max(v.last_ts),
        NULL)::_flagscope.stratum
    FROM flagscope.variant_rollup v WHERE v.flag = state_of.flag AND v.environment = state_of.environment
        AND v.metric = state_of.metric AND v.variant = state_of.variant AND v.bucket > since AND v.bucket <= until;
END;
COMMENT ON FUNCTION _flagscope.state_of(text, text, text, text, timestamptz, timestamptz) IS
    'the rollups of a metric and variant whose buckets begin after a time and until another, as one state; '
    'n is NULL without any';

CREATE FUNCTION _flagscope.counted_stratum(n bigint, moments flagscope.moments, last_ts timestamptz)
RETURNS _flagscope.stratum
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ROW(NULL::text, NULL::text, NULL::text, NULL::text, n, 0, moments, NULL::flagscope.histogram, last_ts,
    n)::_flagscope.stratum;
COMMENT ON FUNCTION _flagscope.counted_stratum(bigint, flagscope.moments, timestamptz) IS
    'a stratum that was counted before: its data points and its moments';

CREATE FUNCTION _flagscope.judge_loaded(guardrails refcursor, at timestamptz, OUT done integer, OUT rollouts bigint[])
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    WITH stepped AS MATERIALIZED (
        SELECT * FROM _flagscope.step(guardrails, at)
    ), free AS MATERIALIZED (
        -- Never over what somebody changed meanwhile (a resume, a stage, the rule itself), and never waiting for him.
        SELECT s.guardrail_id, s.rollout_id FROM stepped x JOIN flagscope.guardrail_status s
            ON s.guardrail_id = x.guardrail_id AND s.rollout_id = x.rollout_id
        WHERE x.is_changed AND s.evidence_id = x.evidence_id AND s.guardrail_version = x.version
            AND s.last_stratum = x.was_last_stratum
            AND s.stage_treatment = x.was_stage_treatment AND s.state = x.was_state
            AND s.evaluated_at IS NOT DISTINCT FROM x.was_evaluated_at
        FOR NO KEY UPDATE OF s SKIP LOCKED
    ), noted AS (
        INSERT INTO flagscope.evaluation (at, evidence_id, stratum, guardrail_id, rollout_id, guardrail_version,
            percent, state, n_treatment, n_control, events_treatment, events_control, thresholds, centre, bound,
            design_effect, moments_treatment, moments_control, increment, safe_increment, begins_copy, log_e, value,
            watermark)
        SELECT x.evaluated_at, x.evidence_id, x.last_stratum, x.guardrail_id, x.rollout_id, x.version, x.percent,
            x.state::flagscope.data_state, x.weighed_treatment, x.weighed_control, x.weighed_events_treatment,
            x.weighed_events_control, x.judged_thresholds, x.judged_centre, x.bound,
            x.judged_design_effect, x.moments_treatment, x.moments_control, x.increment, x.safe_increment,
            x.begins_copy, x.log_e, x.value,
            x.weighed_watermark
        FROM stepped x JOIN free f ON f.guardrail_id = x.guardrail_id AND f.rollout_id = x.rollout_id
        WHERE x.is_judged ORDER BY x.rollout_id, x.guardrail_id
    ), kept AS (
        UPDATE flagscope.guardrail_status s SET state = x.state::flagscope.data_state, state_since = x.state_since,
            reason = x.reason, last_stratum = x.last_stratum, limit_value = x.limit_value, looks = x.looks,
            looked_at = x.looked_at, point = x.point, evidence = x.evidence,
            copied_at = x.copied_at, log_e = x.log_e, max_log_e = x.max_log_e,
            safe_margin = x.safe_margin, safe_evidence = x.safe_evidence, safe_log_e = x.safe_log_e,
            information = x.information, thresholds = x.thresholds,
            centre = x.centre, past = x.past, waiting_treatment = x.waiting_treatment,
            waiting_control = x.waiting_control,
            waiting_since = x.waiting_since, n_treatment = x.n_treatment, n_control = x.n_control,
            events_treatment = x.events_treatment, events_control = x.events_control,
            stage_treatment = x.stage_treatment, stage_control = x.stage_control,
            rhythm_treatment = x.rhythm_treatment, rhythm_control = x.rhythm_control, value = x.value,
            evaluated_at = x.evaluated_at,
            last_data_at = x.last_data_at, watermark = x.watermark,
            breached_at = x.breached_at, failures = x.failures, retry_at = x.retry_at
        FROM stepped x JOIN free f ON f.guardrail_id = x.guardrail_id AND f.rollout_id = x.rollout_id
        WHERE s.guardrail_id = x.guardrail_id AND s.rollout_id = x.rollout_id
    )
    SELECT count(*), coalesce(array_agg(DISTINCT x.rollout_id), '{}') INTO done, rollouts FROM stepped x;
    CLOSE guardrails;
END $$;
COMMENT ON FUNCTION _flagscope.judge_loaded(refcursor, timestamptz) IS
    'steps the guardrails of a cursor and stores what was found: strata to evaluation, evidence and verdicts to '
    'guardrail_status, each only over what nobody changed meanwhile; returns how many, and of which rollouts';

CREATE FUNCTION _flagscope.judge_apart(strata _flagscope.stratum[], pairs _flagscope.pair[], only_round integer,
    setting _flagscope.tick_setting, at timestamptz, looked jsonb,
    OUT done integer, OUT rollouts bigint[])
LANGUAGE plpgsql STRICT SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    work record;
    one record;
    problem text;
BEGIN
    done := 0;
    rollouts := '{}';
    FOR work IN
        SELECT r.id AS rollout_id, g.id AS guardrail_id,
            coalesce(array_agg(s) FILTER (WHERE s.n IS NOT NULL), '{}') AS own,
            ARRAY(SELECT p FROM unnest(pairs) p WHERE p.round = only_round AND (p.stratum).flag = g.flag
                AND (p.stratum).environment = g.environment AND (p.stratum).metric = g.metric) AS own_pairs
        FROM flagscope.rollout r
            JOIN flagscope.guardrail g ON g.flag = r.flag AND g.environment = r.environment AND g.enabled
            LEFT JOIN _flagscope.strata(strata) s
                ON (s.flag, s.environment, s.metric) = (g.flag, g.environment, g.metric)
        WHERE _flagscope.is_watched(r, at) AND (only_round = 1 OR EXISTS (SELECT FROM unnest(pairs) p
            WHERE p.round = only_round AND (p.stratum).flag = g.flag AND (p.stratum).environment = g.environment
                AND (p.stratum).metric = g.metric))
        GROUP BY r.id, g.id ORDER BY r.id, g.id
    LOOP
        BEGIN
            SELECT * INTO one
            FROM _flagscope.judge_loaded(_flagscope.open_guardrails(work.own, work.own_pairs, only_round, setting, at,
                    work.rollout_id, work.guardrail_id, true, looked, NULL::text), at);
        EXCEPTION WHEN OTHERS THEN
            problem := SQLERRM;
            SELECT * INTO one
            FROM _flagscope.judge_unloaded(work.own, work.own_pairs, only_round, setting, at, work.rollout_id,
                work.guardrail_id, problem);
        END;
        done := done + one.done;
        rollouts := rollouts || one.rollouts;
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.judge_apart(_flagscope.stratum[], _flagscope.pair[], integer, _flagscope.tick_setting,
    timestamptz, jsonb) IS
    'judges each guardrail in a subtransaction of its own, when all at once failed: one that cannot be loaded or '
    'stored is in state error, and the others are not';

CREATE FUNCTION _flagscope.judge_unloaded(own _flagscope.stratum[], own_pairs _flagscope.pair[], only_round integer,
    setting _flagscope.tick_setting, at timestamptz, rollout_id bigint, guardrail_id bigint, problem text,
    OUT done integer, OUT rollouts bigint[])
LANGUAGE plpgsql STRICT SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT * INTO done, rollouts FROM _flagscope.judge_loaded(_flagscope.open_guardrails(own, own_pairs, only_round,
        setting, at, rollout_id, guardrail_id, false, '{}'::jsonb, problem), at);
EXCEPTION WHEN OTHERS THEN
    done := 0;
    rollouts := '{}';
    RAISE WARNING USING ERRCODE = SQLSTATE,
        MESSAGE = _flagscope.message('guardrail %s could neither be judged (%s) nor be put into state error: %s',
            guardrail_id, problem, SQLERRM);
END $$;
COMMENT ON FUNCTION _flagscope.judge_unloaded(_flagscope.stratum[], _flagscope.pair[], integer,
    _flagscope.tick_setting, timestamptz, bigint, bigint, text) IS
    'a guardrail that could not be loaded or stored: in state error it keeps its data, '
    'also the new, and is tried again';

CREATE FUNCTION _flagscope.judge_round(strata _flagscope.stratum[], pairs _flagscope.pair[], only_round integer,
    setting _flagscope.tick_setting, at timestamptz, looked jsonb, OUT done integer, OUT rollouts bigint[])
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT * INTO done, rollouts FROM _flagscope.judge_loaded(_flagscope.open_guardrails(strata, pairs, only_round,
        setting, at, NULL::bigint, NULL::bigint, true, looked, NULL::text), at);
EXCEPTION WHEN OTHERS THEN
    SELECT * INTO done, rollouts FROM _flagscope.judge_apart(strata, pairs, only_round, setting, at, looked);
END $$;
COMMENT ON FUNCTION _flagscope.judge_round(_flagscope.stratum[], _flagscope.pair[], integer, _flagscope.tick_setting,
    timestamptz, jsonb) IS
    'judges all guardrails on one round of pairs, each by itself if that fails; the first round also on what is '
    'compared with a limit';

CREATE FUNCTION _flagscope.some_is_due(setting _flagscope.tick_setting, at timestamptz) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM flagscope.rollout r
            JOIN flagscope.guardrail g ON g.flag = r.flag AND g.environment = r.environment AND g.enabled
            JOIN flagscope.guardrail_status st ON st.guardrail_id = g.id AND st.rollout_id = r.id
            LEFT JOIN flagscope.metric_run q ON q.metric = g.metric
        WHERE _flagscope.is_watched(r, some_is_due.at) AND _flagscope.is_due(g.test::text, st.state::text, false,
            q.problem IS NOT NULL, st.retry_at, st.last_data_at, coalesce(g.stale_after, setting.stale_after),
            st.point, CASE g.test WHEN 'anomaly' THEN
                _flagscope.newest_point(g.id, g.time_window, setting.pairing, some_is_due.at) END, some_is_due.at));
END $$;
COMMENT ON FUNCTION _flagscope.some_is_due(_flagscope.tick_setting, timestamptz) IS
    'can some guardrail''s verdict differ though no data has come: as open_guardrails() asks, without loading what '
    'they are judged by (half of the rest of an idle tick over 1,000)';

CREATE FUNCTION _flagscope.evaluate_guardrails(strata _flagscope.stratum[], pairs _flagscope.pair[], at timestamptz)
RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    setting _flagscope.tick_setting := _flagscope.tick_setting();
    looked jsonb;
    work record;
    judged record;
    done integer := 0;
    rollouts bigint[] := '{}';
BEGIN
    PERFORM _flagscope.begin_missing_evidence(at), _flagscope.rearm_warnings(at);
    looked := _flagscope.look_at_series(setting, at);
    -- Mostly one round; two where a bucket ends, and one for each bucket after a stop of the ticks.
    -- Each round gets its own pairs alone: an hour has 360, and looking through all for each is their square.
    FOR work IN
        SELECT n AS round, coalesce(array_agg(p) FILTER (WHERE p.round IS NOT NULL), '{}') AS own
        FROM generate_series(1, coalesce((SELECT max(x.round) FROM unnest(pairs) x), 1)) n
            LEFT JOIN unnest(pairs) p ON p.round = n
        GROUP BY n ORDER BY n
    LOOP
        CONTINUE WHEN cardinality(strata) = 0 AND cardinality(work.own) = 0
            AND NOT _flagscope.some_is_due(setting, at);
        SELECT * INTO judged FROM _flagscope.judge_round(CASE work.round WHEN 1 THEN strata ELSE '{}' END, work.own,
            work.round, setting, at, looked);
        done := done + judged.done;
        rollouts := rollouts || judged.rollouts;
    END LOOP;
    IF done > 0 THEN
        PERFORM _flagscope.judge_together(rollouts, at);
    END IF;
    RETURN done;
END $$;
COMMENT ON FUNCTION _flagscope.evaluate_guardrails(_flagscope.stratum[], _flagscope.pair[], timestamptz) IS
    'evaluates the guardrails of every live rollout whose verdict can differ, all at once, round by round, '
    'then those of a rollout together; returns how many';
