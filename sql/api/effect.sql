-- What a guardrail estimates, with its interval: for decisions and reports. Verdicts come from the evidence alone.

CREATE FUNCTION _flagscope.odds_ratio(evidence_id bigint, alpha float8) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT jsonb_build_object('estimate', x.estimate, 'lower', x.lower, 'upper', x.upper)
    FROM (
        SELECT array_agg(e.n_treatment ORDER BY e.stratum) AS nt, array_agg(e.events_treatment[1] ORDER BY e.stratum) AS yt,
            array_agg(e.n_control ORDER BY e.stratum) AS nc, array_agg(e.events_control[1] ORDER BY e.stratum) AS yc
        FROM flagscope.evaluation e
        WHERE e.evidence_id = odds_ratio.evidence_id AND e.events_treatment <> '{}'
    ) a, LATERAL flagscope.odds_ratio(a.nt, a.yt, a.nc, a.yc, alpha) x;
END;
COMMENT ON FUNCTION _flagscope.odds_ratio(bigint, float8) IS
    'odds ratio of a proportion against control over all strata, with its anytime-valid interval';

CREATE FUNCTION _flagscope.mean_difference(m flagscope.metric_definition, evidence_id bigint, alpha float8) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT jsonb_build_object('estimate', x.estimate, 'lower', x.lower, 'upper', x.upper)
    FROM (
        SELECT coalesce(array_agg(e.moments_treatment ORDER BY e.stratum), '{}') AS t, coalesce(array_agg(e.moments_control ORDER BY e.stratum), '{}') AS c
        FROM flagscope.evaluation e WHERE e.evidence_id = mean_difference.evidence_id AND e.increment <> '{}'
    ) a, LATERAL flagscope.sequential_mean_test(a.t, a.c, m.cap, 0, safe_margin => NULL, harm => 'increase', alpha => alpha) x;
END;
COMMENT ON FUNCTION _flagscope.mean_difference(flagscope.metric_definition, bigint, float8) IS
    'difference of the means of treatment and control over all strata, in the metric''s unit, with the asymptotic interval of test Mt';

CREATE FUNCTION _flagscope.rate_ratio(evidence_id bigint, alpha float8) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT jsonb_build_object('estimate', x.estimate, 'lower', x.lower, 'upper', x.upper)
    FROM (
        SELECT coalesce(array_agg(s.et ORDER BY s.stratum), '{}') AS et, coalesce(array_agg(s.yt ORDER BY s.stratum), '{}') AS yt,
            coalesce(array_agg(s.ec ORDER BY s.stratum), '{}') AS ec, coalesce(array_agg(s.yc ORDER BY s.stratum), '{}') AS yc
        FROM (SELECT e.stratum, coalesce(flagscope.sum(e.moments_treatment), e.n_treatment::float8) AS et, e.events_treatment[1] AS yt,
                coalesce(flagscope.sum(e.moments_control), e.n_control::float8) AS ec, e.events_control[1] AS yc
            FROM flagscope.evaluation e WHERE e.evidence_id = rate_ratio.evidence_id AND e.events_treatment <> '{}') s
        WHERE s.et > 0 AND s.ec > 0
    ) a, LATERAL flagscope.sequential_rate_test(a.et, a.yt, a.ec, a.yc, 0, safe_margin => NULL, harm => 'increase', design_effect => 1, alpha => alpha) x;
END;
COMMENT ON FUNCTION _flagscope.rate_ratio(bigint, float8) IS
    'ratio of the rates of treatment and control over all strata, with its anytime-valid interval';

CREATE FUNCTION _flagscope.limited_share(s flagscope.guardrail_status, limit_share float8) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF s.n_treatment > 0 AND s.events_treatment <> '{}' THEN
        -- An interval of all that was counted: over strata it is the same as over their sum.
        RETURN (SELECT jsonb_build_object('estimate', x.estimate, 'lower', x.lower, 'upper', x.upper)
            FROM flagscope.sequential_limit_test(ARRAY[s.n_treatment], ARRAY[s.events_treatment[1]], limit_share, alpha => s.alpha) x);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.limited_share(flagscope.guardrail_status, float8) IS
    'share of events of the treatment over all strata, with the beta-binomial interval of sequential_limit_test()';

CREATE FUNCTION _flagscope.limited_rate(s flagscope.guardrail_status) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    counted record;
BEGIN
    SELECT sum(coalesce(flagscope.sum(e.moments_treatment), e.n_treatment::float8)) AS exposure, sum(e.events_treatment[1])::bigint AS y INTO counted
    FROM flagscope.evaluation e WHERE e.evidence_id = s.evidence_id AND e.events_treatment <> '{}';
    IF counted.exposure > 0 THEN
        RETURN (SELECT jsonb_build_object('estimate', counted.y / counted.exposure, 'lower', x.lower, 'upper', x.upper)
            FROM _flagscope.rate_interval(counted.exposure, counted.y, s.alpha) x);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.limited_rate(flagscope.guardrail_status) IS
    'rate of the treatment over all strata, with the interval of the rates that test R against a limit leaves possible';

CREATE FUNCTION _flagscope.stage_histogram(g flagscope.guardrail, r flagscope.rollout, variant text) RETURNS flagscope.histogram
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT flagscope.rollup(v.histogram) FROM flagscope.variant_rollup v
    WHERE v.flag = g.flag AND v.environment = g.environment AND v.metric = g.metric AND v.variant = stage_histogram.variant
        AND v.bucket >= _flagscope.bucket_of(r.stage_started_at)
        -- After the end the arms are not served side by side; only a limit goes on, in the follow-up.
        AND v.bucket <= CASE WHEN r.status = 'completed' AND g.comparison <> 'control' THEN 'infinity' ELSE coalesce(r.ended_at, 'infinity') END;
END;
COMMENT ON FUNCTION _flagscope.stage_histogram(flagscope.guardrail, flagscope.rollout, text) IS
    'values of a variant since the present stage, the last one of a rollout that is over, began';

CREATE FUNCTION _flagscope.stage_quantile(sketch flagscope.histogram, quantile float8, alpha float8, OUT estimate float8, OUT lower float8, OUT upper float8)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF sketch IS NOT NULL THEN
        SELECT x.estimate, x.lower, x.upper INTO estimate, lower, upper
        FROM flagscope.sequential_quantile_test(ARRAY[sketch], ARRAY[NULL::flagscope.histogram], quantile, alpha => stage_quantile.alpha) x;
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.stage_quantile(flagscope.histogram, float8, float8) IS
    'quantile of an arm with the interval of test_quantile(), which is valid at every look while the arm''s law stays the same';

CREATE FUNCTION _flagscope.quantile_ratios(g flagscope.guardrail, r flagscope.rollout, m flagscope.metric_definition, alpha float8) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
    -- The arms' intervals, each at half of a level's part of alpha, hold together; so does what their ends give.
    WITH ratio AS (
        SELECT p.level, t.estimate / c.estimate AS estimate, CASE WHEN t.lower >= 0 AND c.upper > 0 THEN t.lower / c.upper END AS lower,
            CASE WHEN c.lower > 0 THEN t.upper / c.lower END AS upper,
            jsonb_build_object('estimate', t.estimate, 'lower', t.lower, 'upper', t.upper) AS treatment,
            jsonb_build_object('estimate', c.estimate, 'lower', c.lower, 'upper', c.upper) AS control
        FROM (SELECT _flagscope.stage_histogram(g, r, r.treatment) AS t, _flagscope.stage_histogram(g, r, r.control) AS c,
                CASE WHEN g.quantile IS NULL THEN '{0.5,0.9,0.95,0.99}'::float8[] ELSE ARRAY[g.quantile] END AS levels) h,
            LATERAL unnest(h.levels) p(level),
            LATERAL _flagscope.stage_quantile(h.t, p.level, alpha / (2 * cardinality(h.levels))) t,
            LATERAL _flagscope.stage_quantile(h.c, p.level, alpha / (2 * cardinality(h.levels))) c
        WHERE t.estimate > 0 AND c.estimate > 0
    )
    SELECT jsonb_agg(jsonb_build_object('quantile', x.level, 'estimate', x.estimate, 'lower', x.lower, 'upper', x.upper, 'treatment', x.treatment, 'control', x.control)
        ORDER BY CASE m.harm WHEN 'increase' THEN -x.lower ELSE x.upper END NULLS LAST, x.level)
    FROM ratio x;
END;
COMMENT ON FUNCTION _flagscope.quantile_ratios(flagscope.guardrail, flagscope.rollout, flagscope.metric_definition, float8) IS
    'quantiles of the treatment by those of the control in the present stage with intervals that all hold together, the one most surely worse first; NULL where no quantile is positive';

CREATE FUNCTION _flagscope.window_effect(g flagscope.guardrail, s flagscope.guardrail_status, m flagscope.metric_definition, r flagscope.rollout) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT jsonb_build_object('estimate', _flagscope.metric_value(m, g.quantile, x.n::bigint, x.y::bigint, x.moments, x.histogram),
        'lower', CASE WHEN m.kind = 'quantile' THEN q.lower WHEN b.is_enough THEN _flagscope.value_end(m, x.n, x.y, x.moments, -1.96) END,
        'upper', CASE WHEN m.kind = 'quantile' THEN q.upper WHEN b.is_enough THEN _flagscope.value_end(m, x.n, x.y, x.moments, 1.96) END)
    FROM (
        SELECT sum(v.n)::float8 AS n, sum(v.events)::float8 AS y, flagscope.rollup(v.moments) AS moments, flagscope.rollup(v.histogram) AS histogram
        FROM flagscope.variant_rollup v
        WHERE v.flag = g.flag AND v.environment = g.environment AND v.metric = g.metric AND v.variant = r.treatment
            AND v.bucket > s.evaluated_at - coalesce(g.time_window, _flagscope.setting_interval('guardrail.window')) - interval '10 seconds'
            AND v.bucket <= s.evaluated_at
    ) x CROSS JOIN LATERAL (SELECT m.kind IN ('proportion', 'rate') OR x.n >= 10 AS is_enough) b
        LEFT JOIN LATERAL flagscope.quantile_interval(x.histogram, g.quantile, 0.95) q ON true
    WHERE x.n > 0;
END;
COMMENT ON FUNCTION _flagscope.window_effect(flagscope.guardrail, flagscope.guardrail_status, flagscope.metric_definition, flagscope.rollout) IS
    'value of a threshold over its last window with an interval of 95 %, valid for one look: order statistics of a quantile, else as for a baseline; without ends below ten values of a mean or ratio';

CREATE FUNCTION _flagscope.effect(g flagscope.guardrail, s flagscope.guardrail_status, m flagscope.metric_definition, r flagscope.rollout) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(CASE
        WHEN g.test = 'threshold' THEN jsonb_build_object('window', _flagscope.window_effect(g, s, m, r))
        WHEN g.test <> 'sequential' THEN NULL
        WHEN g.comparison = 'control' THEN CASE m.kind
            WHEN 'proportion' THEN jsonb_build_object('odds_ratio', _flagscope.odds_ratio(s.evidence_id, s.alpha))
            WHEN 'mean' THEN jsonb_build_object('difference', _flagscope.mean_difference(m, s.evidence_id, s.alpha))
            WHEN 'rate' THEN jsonb_build_object('rate_ratio', _flagscope.rate_ratio(s.evidence_id, s.alpha))
            WHEN 'quantile' THEN jsonb_build_object('quantile_ratio', _flagscope.quantile_ratios(g, r, m, s.alpha)) END
        WHEN s.limit_value IS NOT NULL THEN CASE m.kind
            WHEN 'proportion' THEN jsonb_build_object('share', _flagscope.limited_share(s, s.limit_value))
            WHEN 'rate' THEN jsonb_build_object('rate', _flagscope.limited_rate(s))
            WHEN 'quantile' THEN jsonb_build_object('share_above', _flagscope.limited_share(s, 1 - g.quantile), 'stage_quantile',
                (SELECT to_jsonb(q) FROM _flagscope.stage_quantile(_flagscope.stage_histogram(g, r, r.treatment), g.quantile, s.alpha) q)) END
        END, '{}');
END;
COMMENT ON FUNCTION _flagscope.effect(flagscope.guardrail, flagscope.guardrail_status, flagscope.metric_definition, flagscope.rollout) IS
    'what a guardrail estimates, as {what: {estimate, lower, upper}}: odds_ratio, difference or rate_ratio against the control, share, rate or share_above a limit, over all strata; quantile_ratio (a list) or stage_quantile in the present stage; these intervals are valid at every look, at the guardrail''s alpha, for independent data points (a design effect widens none); window of a threshold: 95 %, one look';

CREATE FUNCTION _flagscope.interval_words(x jsonb, factor float8, digits integer) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT round((factor * (x ->> 'estimate')::float8)::numeric, digits) || CASE
        WHEN x ->> 'lower' IS NULL AND x ->> 'upper' IS NULL THEN ' (too few for an interval)'
        ELSE format(' (%s to %s)', coalesce(round((factor * (x ->> 'lower')::float8)::numeric, digits)::text, '?'),
            coalesce(round((factor * (x ->> 'upper')::float8)::numeric, digits)::text, '?')) END;
$$;
COMMENT ON FUNCTION _flagscope.interval_words(jsonb, float8, integer) IS 'an estimate with its interval, for people; "?": an end that the data do not tell; NULL without estimate';

CREATE FUNCTION _flagscope.effect_words(effect jsonb, kind text, unit text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(w.words, '; ' ORDER BY o.i)
    FROM unnest('{odds_ratio,difference,rate_ratio,quantile_ratio,share,rate,share_above,stage_quantile,window}'::text[]) WITH ORDINALITY o(key, i),
        LATERAL (SELECT CASE o.key WHEN 'quantile_ratio' THEN effect -> o.key -> 0 ELSE effect -> o.key END AS x) e,
        LATERAL (SELECT greatest(2, 2 - floor(log(nullif(abs((e.x ->> 'estimate')::float8), 0))))::integer AS digits) d,
        LATERAL (SELECT CASE
            WHEN o.key IN ('odds_ratio', 'rate_ratio') AND e.x ->> 'lower' IS NULL THEN NULL
            WHEN o.key IN ('odds_ratio', 'rate_ratio') THEN format('%s %s', replace(o.key, '_', ' '), _flagscope.interval_words(e.x, 1::float8, 2))
            WHEN o.key = 'difference' AND e.x ->> 'lower' IS NULL THEN NULL
            WHEN o.key = 'difference' THEN concat_ws(' ', 'difference', _flagscope.interval_words(e.x, 1::float8, 4), nullif(unit, ''))
            WHEN o.key = 'quantile_ratio' THEN format('p%s ratio %s', 100 * (e.x ->> 'quantile')::float8, _flagscope.interval_words(e.x, 1::float8, 2))
            WHEN o.key = 'share' THEN format('share %s %%', _flagscope.interval_words(e.x, 100::float8, 2))
            WHEN o.key = 'share_above' THEN format('above the limit %s %%', _flagscope.interval_words(e.x, 100::float8, 2))
            WHEN o.key = 'rate' THEN concat_ws(' ', 'rate', _flagscope.interval_words(e.x, 1::float8, coalesce(d.digits, 4)), nullif(unit, ''))
            WHEN o.key = 'stage_quantile' THEN concat_ws(' ', 'quantile', _flagscope.interval_words(e.x, 1::float8, coalesce(d.digits, 4)), nullif(unit, ''))
            WHEN kind = 'proportion' THEN format('%s %%, one look', _flagscope.interval_words(e.x, 100::float8, 2))
            ELSE concat_ws(' ', _flagscope.interval_words(e.x, 1::float8, coalesce(d.digits, 4)), nullif(unit, '')) || ', one look' END AS words) w
    WHERE e.x ->> 'estimate' IS NOT NULL;
$$;
COMMENT ON FUNCTION _flagscope.effect_words(jsonb, text, text) IS
    'what a guardrail of a kind of metric estimates, with its interval, for people: valid at every look unless it says "one look"; NULL where the data do not tell';
