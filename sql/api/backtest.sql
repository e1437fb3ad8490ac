-- Backtests: a rule, stored or proposed, judged on stored history by the code that judges live.

CREATE TYPE _flagscope.history AS (
    era bigint, ordinal bigint, at timestamptz, is_weighed boolean, t _flagscope.stratum, c _flagscope.stratum,
    events_treatment bigint[], events_control bigint[], centre float8, bound float8, begins_copy boolean,
    safe_increment float8[], value float8,
    reference _flagscope.stratum, window_state _flagscope.stratum, alpha float8, margin float8, limit_value float8,
    alarm_score float8, point timestamptz, seen _flagscope.anomaly_point, was_alone boolean,
    carries_on boolean, design_effect float8
);
COMMENT ON TYPE _flagscope.history IS
    'one stratum of the past; evidence adds up within an era. is_weighed: it was live, and is paired and counted; '
    'begins_copy NULL: it was not, so time says when a copy begins';

CREATE FUNCTION _flagscope.live_history(g flagscope.guardrail, live flagscope.guardrail, m flagscope.metric_definition,
    since timestamptz, until timestamptz)
RETURNS SETOF _flagscope.history
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- The budget, margin and limit that each evidence had: as decided on, else as it stands now.
    SELECT e.evidence_id, e.stratum, e.at, true,
        _flagscope.counted_stratum(e.n_treatment, e.moments_treatment, e.watermark),
        _flagscope.counted_stratum(e.n_control, e.moments_control, e.watermark), e.events_treatment, e.events_control,
        e.centre,
        -- Its own history is compared as it was; another rule at what it proposes.
        CASE WHEN g.id = live.id AND coalesce(g.margin = k.margin, true)
            AND coalesce(g.limit_value = k.limit_value, true) THEN e.bound END,
        e.begins_copy, CASE WHEN g.id = live.id THEN e.safe_increment END, e.value, NULL::_flagscope.stratum,
        NULL::_flagscope.stratum, k.alpha,
        CASE WHEN g.comparison <> 'absolute' THEN coalesce(g.margin, k.margin, _flagscope.margin(g)) END,
        CASE WHEN g.test <> 'anomaly' THEN coalesce(g.limit_value, k.limit_value) END, k.alarm_score, e.at,
        ROW(g.id, '', e.at, e.n_treatment, 0, NULL, NULL, NULL, e.value)::_flagscope.anomaly_point, e.percent = 100,
        e.percent = 100 AND _flagscope.may_carry_on(live), e.design_effect
    FROM flagscope.evaluation e CROSS JOIN LATERAL (
        SELECT x.alpha, x.margin, x.limit_value, x.alarm_score FROM (
            SELECT 1 AS nr, (d.evidence ->> 'alpha')::float8 AS alpha, (d.evidence ->> 'margin')::float8 AS margin,
                (d.evidence ->> 'limit_value')::float8 AS limit_value,
                (d.evidence ->> 'limit_value')::float8 AS alarm_score
            FROM flagscope.decision d WHERE d.rollout_id = e.rollout_id AND d.evidence_id = e.evidence_id
            UNION ALL
            SELECT 2, (s.control_verdict ->> 'alpha')::float8, (s.control_verdict ->> 'margin')::float8, NULL, NULL
            FROM flagscope.guardrail_status s WHERE s.guardrail_id = e.guardrail_id AND s.rollout_id = e.rollout_id
                AND (s.control_verdict ->> 'evidence_id')::bigint = e.evidence_id
            UNION ALL
            SELECT CASE s.evidence_id WHEN e.evidence_id THEN 2 ELSE 3 END, s.alpha, s.margin,
                s.limit_value, s.alarm_score
            FROM flagscope.guardrail_status s WHERE s.guardrail_id = e.guardrail_id AND s.rollout_id = e.rollout_id) x
        ORDER BY x.nr LIMIT 1) k
    -- Another margin may weigh what this one took for a past only;
    -- an absolute one takes its own from counts that were weighed.
    WHERE e.guardrail_id = live.id AND e.at >= since AND e.at < until
        AND (g.test <> 'sequential' OR e.increment <> '{}' OR e.events_control <> '{}');
$$;
COMMENT ON FUNCTION _flagscope.live_history(flagscope.guardrail, flagscope.guardrail, flagscope.metric_definition,
    timestamptz, timestamptz) IS
    'the strata that a live guardrail weighed, to be weighed by another rule on the same counts: exact';

CREATE FUNCTION _flagscope.rollup_history(g flagscope.guardrail, r flagscope.rollout, m flagscope.metric_definition,
    since timestamptz, until timestamptz)
RETURNS SETOF _flagscope.history
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH bucket AS (
        SELECT v.bucket, a.treated, sum(v.n)::bigint AS n,
            ROW(g.flag, g.environment, min(v.variant), g.metric, sum(v.n)::bigint, sum(v.events)::bigint,
                flagscope.rollup(v.moments), flagscope.rollup(v.histogram),
                max(v.last_ts), sum(v.n)::bigint)::_flagscope.stratum AS state
        FROM (VALUES (true, _flagscope.watched(g, r.treatment)),
                (false, CASE WHEN g.scope = 'flag' AND g.variants IS NULL THEN ARRAY[r.control] END)
            ) a(treated, variants) JOIN flagscope.variant_rollup v ON v.variant = ANY (a.variants)
        WHERE v.flag = g.flag AND v.environment = g.environment AND v.metric = g.metric
            AND v.bucket >= since AND v.bucket < until
        GROUP BY v.bucket, a.treated
    ), stratum AS (
        SELECT b.bucket, b.bucket + interval '10 seconds' AS at, t.state AS t, c.state AS c, c.n AS n_control
        FROM (SELECT DISTINCT x.bucket FROM bucket x) b
            LEFT JOIN bucket t ON t.bucket = b.bucket AND t.treated
            LEFT JOIN bucket c ON c.bucket = b.bucket AND NOT c.treated
    )
    -- Each stratum is one of a tick at the end of its bucket, which sees the rollups up to there.
    SELECT 0, extract(epoch FROM s.bucket)::bigint, s.at, false, s.t, s.c, NULL::bigint[], NULL::bigint[],
        NULL::float8, NULL::float8, NULL::boolean, NULL::float8[], NULL::float8,
        CASE WHEN g.comparison = 'control' AND s.n_control > 0 AND _flagscope.looks_back(m.kind::text) THEN
            _flagscope.state_of(g.flag, g.environment, g.metric, r.control,
                s.bucket - _flagscope.setting_interval('guardrail.reference_window'), s.bucket) END,
        CASE g.test WHEN 'threshold' THEN _flagscope.state_over(g.flag, g.environment, g.metric,
            _flagscope.watched(g, r.treatment), s.bucket
                - coalesce(g.time_window, _flagscope.setting_interval('guardrail.window'))
                - interval '1 microsecond', s.bucket) END,
        NULL::float8, _flagscope.margin(g), g.limit_value, NULL::float8, NULL::timestamptz,
        NULL::_flagscope.anomaly_point, false, false, _flagscope.measured_effect(g, r.id)
    FROM stratum s;
$$;
COMMENT ON FUNCTION _flagscope.rollup_history(flagscope.guardrail, flagscope.rollout, flagscope.metric_definition,
    timestamptz, timestamptz) IS
    'strata of 10 seconds from rollups, for a rule that was not live: as if a tick had judged at the end of each';

CREATE FUNCTION _flagscope.anomaly_history(g flagscope.guardrail, r flagscope.rollout, m flagscope.metric_definition,
    since timestamptz, until timestamptz)
RETURNS SETOF _flagscope.history
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH setting AS MATERIALIZED (
        SELECT w.width,
            _flagscope.anomaly_line(w.width, _flagscope.setting_interval('guardrail.anomaly_every')) AS line,
            greatest(since, r.started_at) AS since
        FROM (SELECT coalesce(g.time_window, _flagscope.setting_interval('guardrail.anomaly_window'))) w(width)
    ), point AS (
        SELECT p.* FROM setting s, LATERAL _flagscope.anomaly_series(g, m, CASE g.scope WHEN 'flag'
                THEN ARRAY[r.treatment, r.control] ELSE '{}' END,
            greatest(_flagscope.floor(s.width, s.since) - interval '22 days', _flagscope.anomaly_kept_since(s.width)),
            _flagscope.floor(s.width, until), s.width) p
    ), scored AS (
        SELECT '' AS variant, x.at, x.usual, x.score
        FROM setting s, LATERAL (SELECT array_agg(p.at ORDER BY p.at) AS at, array_agg(p.x ORDER BY p.at) AS x
                FROM point p WHERE p.variant = '') y,
            LATERAL _flagscope.anomaly_scores(y.at, y.x, CASE g.scope WHEN 'environment' THEN s.since
                ELSE greatest(s.since, least(r.ended_at, (SELECT min(lower(a.valid))
                    FROM flagscope.allocation a WHERE a.rollout_id = r.id AND a.percent = 100))) END) x
        UNION ALL
        SELECT r.treatment, x.at, x.usual, x.score
        FROM setting s, LATERAL _flagscope.scored_pairs(ARRAY(SELECT ROW(0, p.variant, p.at, p.n, p.events, p.value,
            p.x, NULL, NULL)::_flagscope.anomaly_point FROM point p), m, r, s.since, until, s.width) x
    )
    SELECT 0, row_number() OVER (ORDER BY p.at), p.at + s.width, false,
        _flagscope.counted_stratum(p.n, NULL::flagscope.moments, p.at), NULL::_flagscope.stratum, NULL::bigint[],
        NULL::bigint[], NULL::float8, NULL::float8, NULL::boolean, NULL::float8[],
        NULL::float8, NULL::_flagscope.stratum,
        NULL::_flagscope.stratum, NULL::float8, NULL::float8, NULL::float8,
        s.line, p.at,
        ROW(g.id, i.variant, p.at, p.n, p.events, p.value, p.x, w.usual, w.score)::_flagscope.anomaly_point,
            i.variant = '', false, NULL::float8
    -- Where all were served the treatment there was no control beside it.
    FROM setting s, point p CROSS JOIN LATERAL (SELECT CASE WHEN g.scope = 'environment'
            OR coalesce((SELECT a.percent FROM flagscope.allocation a
            WHERE a.rollout_id = r.id AND a.valid @> p.at), 100) = 100 THEN '' ELSE r.treatment END AS variant) i
        LEFT JOIN scored w ON w.variant = i.variant AND w.at = p.at
    WHERE p.variant = '' AND p.at >= s.since;
$$;
COMMENT ON FUNCTION _flagscope.anomaly_history(flagscope.guardrail, flagscope.rollout, flagscope.metric_definition,
    timestamptz, timestamptz) IS
    'points of an anomaly guardrail that was not live, from rollups; its sample is that of all variants';

CREATE FUNCTION _flagscope.past(g flagscope.guardrail, live flagscope.guardrail, r flagscope.rollout,
    m flagscope.metric_definition, since timestamptz, until timestamptz)
RETURNS SETOF _flagscope.history
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    operation text := CASE WHEN g.id = live.id THEN 'backtest_guardrail' ELSE 'backtest' END;
    span record;
    slice record;
    told timestamptz := clock_timestamp();
    total bigint := 0;
BEGIN
    -- An anomaly is one series with weeks before it, which is read as a whole.
    IF live.id IS NULL AND g.test = 'anomaly' THEN
        told := _flagscope.show_progress(operation, 0, 1, told);
        RETURN QUERY SELECT * FROM _flagscope.anomaly_history(g, r, m, since, until);
        RETURN;
    END IF;
    -- Where there is something to read, in slices of an hour, or of a hundredth of a long period.
    SELECT min(x.at) AS lower, max(x.at) + interval '1 microsecond' AS upper,
        greatest(interval '1 hour', (max(x.at) - min(x.at)) / 100) AS width INTO span
    FROM (SELECT e.at FROM flagscope.evaluation e
            WHERE e.guardrail_id = live.id AND e.at >= since AND e.at < until
        UNION ALL SELECT v.bucket FROM flagscope.variant_rollup v WHERE live.id IS NULL AND v.flag = g.flag
            AND v.environment = g.environment AND v.metric = g.metric AND v.bucket >= since AND v.bucket < until) x;
    FOR slice IN SELECT x.lower, least(x.lower + span.width, span.upper) AS upper,
            row_number() OVER (ORDER BY x.lower) - 1 AS done, count(*) OVER () AS total
        FROM generate_series(span.lower, span.upper - interval '1 microsecond', span.width) x(lower) ORDER BY x.lower
    LOOP
        told := _flagscope.show_progress(operation, slice.done, slice.total, told);
        total := slice.total;
        IF live.id IS NOT NULL THEN
            RETURN QUERY SELECT * FROM _flagscope.live_history(g, live, m, slice.lower, slice.upper);
        ELSE
            RETURN QUERY SELECT * FROM _flagscope.rollup_history(g, r, m, slice.lower, slice.upper);
        END IF;
    END LOOP;
    -- What is left is to judge what was read.
    PERFORM _flagscope.show_progress(operation, total, total, told);
END $$;
COMMENT ON FUNCTION _flagscope.past(flagscope.guardrail, flagscope.guardrail, flagscope.rollout,
    flagscope.metric_definition, timestamptz, timestamptz) IS
    'the strata of the past that a rule is backtested on: those of a live guardrail, else from rollups; tells how far '
    'it is, and leaves it to its caller to set application_name back';

CREATE FUNCTION _flagscope.check_backtest(g flagscope.guardrail, live flagscope.guardrail, r flagscope.rollout,
    since timestamptz, until timestamptz)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept_since timestamptz := CASE WHEN live.id IS NOT NULL THEN _flagscope.kept_since('evaluation')
        WHEN g.test = 'anomaly' THEN '-infinity' ELSE _flagscope.kept_since('rollup fine') END;
BEGIN
    IF r.id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('flag "%s" had no rollout before %s', g.flag, until),
            HINT = 'A backtest takes treatment and control from the flag''s rollout of that time.';
    ELSIF g.comparison = 'baseline' AND g.test <> 'anomaly' AND live.id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
            MESSAGE = 'a baseline can be backtested only where it was live', HINT = 'Propose it as an absolute limit.';
    END IF;
    IF since < kept_since AND isfinite(kept_since) THEN
        RAISE NOTICE USING MESSAGE = _flagscope.message('%s go back to %s only',
                CASE WHEN live.id IS NOT NULL THEN 'evaluations' ELSE 'rollups by 10 seconds' END, kept_since),
            HINT = _flagscope.message('Setting %s says for how long they are kept.',
                CASE WHEN live.id IS NOT NULL THEN 'evaluation.retention' ELSE 'rollup.fine.retention' END);
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.check_backtest(flagscope.guardrail, flagscope.guardrail, flagscope.rollout,
    timestamptz, timestamptz) IS
    'raises unless a rule can be backtested; tells when less is kept than was asked for';

CREATE FUNCTION _flagscope.backtest(g flagscope.guardrail, live flagscope.guardrail, since timestamptz,
    until timestamptz, alpha float8)
RETURNS TABLE (at timestamptz, n_treatment bigint, events_treatment bigint[], n_control bigint, events_control bigint[],
    value float8, log_e float8, line float8, fires boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    m flagscope.metric_definition := (SELECT x FROM flagscope.metric_definition x WHERE x.name = g.metric);
    r flagscope.rollout := (SELECT x
        FROM flagscope.rollout x WHERE x.flag = g.flag AND x.environment = g.environment AND x.started_at < until
        ORDER BY x.started_at DESC LIMIT 1);
    share float8 := r.alpha * (1 - _flagscope.setting_number('rollout.alpha_reserve'));
    setting _flagscope.tick_setting := _flagscope.tick_setting();
    first timestamptz := _flagscope.computable(since);
    last timestamptz := _flagscope.computable(until);
    strata CURSOR FOR
        SELECT h.era, h.ordinal, h.at, CASE WHEN h.carries_on THEN _flagscope.as_judged(g, m) ELSE g END AS g, m,
            setting, coalesce(backtest.alpha, h.alpha, share) AS alpha, h.margin,
            (g).margin_absolute, coalesce((g).design_effect, h.design_effect) AS design_effect, h.limit_value,
            h.alarm_score, (r).control, false AS is_polled, NULL::text AS problem,
            NULL::text AS unloaded, s.id AS stage_id, s.at AS stage_started_at, s.min_sample AS stage_sample,
            false AS is_alone, (coalesce(s.percent, 50) / 100)::float8 AS share, false AS treatment_came,
            false AS control_came, h.t, h.c,
            h.is_weighed, h.events_treatment, h.events_control, h.centre, h.bound, h.begins_copy, h.safe_increment,
            (r).alpha AS safe_alpha,
            h.value, NULL::float8 AS log_e_stored, h.reference, h.window_state, NULL::_flagscope.stratum AS baseline,
            NULL::float8 AS baseline_spread, h.point, NULL::timestamptz AS counted_since,
            CASE WHEN h.was_alone THEN h.point END AS alone_since, NULL::timestamptz AS first_point, h.seen
        FROM _flagscope.past(g, live, r, m, first, last) h LEFT JOIN LATERAL (
            SELECT d.id, d.at, x.min_sample, x.percent
            FROM flagscope.rollout o JOIN flagscope.decision d ON d.rollout_id = o.id
                LEFT JOIN flagscope.rollout_stage x ON x.rollout_id = d.rollout_id AND x.ordinal = d.to_stage
            WHERE o.flag = (g).flag AND o.environment = (g).environment AND NOT d.shadow AND d.at < h.at
                AND (d.to_stage <> d.from_stage OR d.action IN ('start', 'advance', 'step_back', 'resume', 'complete'))
            ORDER BY d.id DESC LIMIT 1) s ON true
        ORDER BY h.era, h.ordinal;
    application text := current_setting('application_name');
BEGIN
    PERFORM _flagscope.check_backtest(g, live, r, first, last);
    OPEN strata;
    RETURN QUERY
        SELECT x.at, x.n_treatment, x.events_treatment, x.n_control, x.events_control, x.value, x.log_e, x.line, x.fires
        FROM _flagscope.replay_strata(strata) x;
    CLOSE strata;
    PERFORM set_config('application_name', application, true);
END $$;
COMMENT ON FUNCTION _flagscope.backtest(flagscope.guardrail, flagscope.guardrail, timestamptz, timestamptz, float8) IS
    'a rule over a past period, stratum by stratum';

CREATE FUNCTION flagscope.backtest_guardrail(guardrail_id bigint,
    since timestamptz DEFAULT clock_timestamp() - interval '1 day', until timestamptz DEFAULT clock_timestamp(),
    alpha float8 DEFAULT NULL)
RETURNS TABLE (at timestamptz, n_treatment bigint, events_treatment bigint[], n_control bigint, events_control bigint[],
    value float8, log_e float8, line float8, fires boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    g flagscope.guardrail := _flagscope.require_guardrail(guardrail_id);
BEGIN
    RETURN QUERY SELECT * FROM _flagscope.backtest(g, g, since, until, alpha);
END $$;
COMMENT ON FUNCTION flagscope.backtest_guardrail(bigint, timestamptz, timestamptz, float8) IS
    'a guardrail over a past period: when it fired, with which numbers, from the strata it weighed; alpha NULL: each '
    'evidence''s own, so that live decisions come out exactly, but for those on several guardrails together, '
    'which replay_joint() computes';

CREATE FUNCTION flagscope.backtest(flag text, rule jsonb, environment text DEFAULT NULL,
    since timestamptz DEFAULT clock_timestamp() - interval '1 day', until timestamptz DEFAULT clock_timestamp(),
    alpha float8 DEFAULT NULL)
RETURNS TABLE (at timestamptz, n_treatment bigint, events_treatment bigint[], n_control bigint, events_control bigint[],
    value float8, log_e float8, line float8, fires boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    g flagscope.guardrail := _flagscope.proposed(rule, flag, _flagscope.environment(environment));
    live flagscope.guardrail;
BEGIN
    PERFORM _flagscope.require_flag(flag), _flagscope.require_metric(g.metric);
    -- Counts of a proportion do not depend on the margin: another rule's strata serve. Those of a quantile are taken at
    -- its margin, so they are counted anew from rollups.
    SELECT * INTO live FROM flagscope.guardrail x
    WHERE x.flag = g.flag AND x.environment = g.environment AND x.metric = g.metric AND x.comparison = g.comparison
        AND x.test = g.test AND g.test = 'sequential' AND x.scope = g.scope
        AND x.variants IS NOT DISTINCT FROM g.variants
        AND (SELECT m.kind FROM flagscope.metric_definition m WHERE m.name = g.metric) = 'proportion'
    ORDER BY x.id LIMIT 1;
    RETURN QUERY SELECT * FROM _flagscope.backtest(g, live, since, until, alpha);
END $$;
COMMENT ON FUNCTION flagscope.backtest(text, jsonb, text, timestamptz, timestamptz, float8) IS
    'a proposed rule over a past period, for example backtest(''f'', ''{"metric": "errors", "margin": 0.3}'', '
    'since => ..., until => ...): when it would have fired, with which numbers; from the strata of a live guardrail of '
    'the metric where their counts fit, else from rollups';
