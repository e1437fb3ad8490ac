-- What a guardrail estimates, with its interval: for decisions and reports. Verdicts come from the evidence alone.

COMMENT ON FUNCTION _flagscope.compared(text, float8, float8, bigint[], bigint[], flagscope.moments[], bigint[],
    bigint[], flagscope.moments[], integer[]) IS
    'what is estimated of treatment against control over the first strata, for several numbers of strata (more than '
    'there are: all): a list of {what: {estimate, lower, upper}} (src/core/kind/), null where a kind has no such '
    'estimate; kind, cap, alpha, and of each arm data points, events, moments; numbers of strata';
COMMENT ON FUNCTION _flagscope.limited(text, float8, bigint, bigint, flagscope.moments) IS
    'what is estimated of the treatment beside a limit, likewise: '
    'kind, alpha, and the sums of data points, events, moments';
COMMENT ON FUNCTION _flagscope.stage_quantile(flagscope.histogram, float8, float8) IS
    'quantile of an arm as {estimate, lower, upper}, with the interval of sequential_quantile_test(), which is valid '
    'at every look while the arm''s law stays the same: values, quantile, alpha; NULL without values';
COMMENT ON FUNCTION _flagscope.quantile_ratios(flagscope.histogram, flagscope.histogram, float8, text, float8) IS
    'quantiles of the treatment by those of the control with intervals that all hold together, the one most surely '
    'worse first: values of both, quantile (NULL: four), harm, alpha; NULL where no quantile is positive';

CREATE FUNCTION _flagscope.has_counts(e flagscope.evaluation) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- What gave a past only is an estimate of counts all the same, and none of means.
RETURN e.events_treatment <> '{}' OR e.increment <> '{}';
COMMENT ON FUNCTION _flagscope.has_counts(flagscope.evaluation) IS
    'does an evaluation have counts of a stratum, which effects are estimated from';

CREATE FUNCTION _flagscope.strata_effects(evidence_id bigint, kind text, cap float8, alpha float8, counts integer[])
RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT _flagscope.compared(strata_effects.kind, strata_effects.cap, strata_effects.alpha,
        array_agg(e.n_treatment ORDER BY e.stratum), array_agg(e.events_treatment[1] ORDER BY e.stratum),
        array_agg(e.moments_treatment ORDER BY e.stratum), array_agg(e.n_control ORDER BY e.stratum),
        array_agg(e.events_control[1] ORDER BY e.stratum), array_agg(e.moments_control ORDER BY e.stratum),
        strata_effects.counts)
    FROM flagscope.evaluation e
    WHERE e.evidence_id = strata_effects.evidence_id AND _flagscope.has_counts(e);
END;
COMMENT ON FUNCTION _flagscope.strata_effects(bigint, text, float8, float8, integer[]) IS
    'what is estimated of treatment against control over the first strata of some evidence, as a list for several '
    'numbers of strata';

CREATE FUNCTION _flagscope.strata_effect(evidence_id bigint, kind text, cap float8, alpha float8) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
    -- All of them. JSON's null is none.
    SELECT nullif(_flagscope.strata_effects(evidence_id, kind, cap, alpha, '{2147483647}'::integer[]) -> 0, 'null');
END;
COMMENT ON FUNCTION _flagscope.strata_effect(bigint, text, float8, float8) IS
    'what is estimated of treatment against control over the strata of some evidence';

CREATE FUNCTION _flagscope.stage_histogram(g flagscope.guardrail, r flagscope.rollout, variants text[])
RETURNS flagscope.histogram
LANGUAGE sql STABLE
BEGIN ATOMIC
    -- By the widest buckets: of a stage of days there are tens of thousands of the finest.
    SELECT flagscope.rollup(v.histogram)
    -- After the end the arms are not served side by side; only a limit goes on, in the follow-up.
    FROM _flagscope.variant_states(g.flag, r.stage_started_at, CASE WHEN r.status = 'completed'
            AND g.comparison <> 'control' THEN 'infinity' ELSE coalesce(r.ended_at, 'infinity') END,
        interval '1 day', g.metric, g.environment) v
    WHERE v.variant = ANY (variants);
END;
COMMENT ON FUNCTION _flagscope.stage_histogram(flagscope.guardrail, flagscope.rollout, text[]) IS
    'values of variants since the present stage, the last one of a rollout that is over, began';

CREATE FUNCTION _flagscope.window_effect(g flagscope.guardrail, s flagscope.guardrail_status,
    m flagscope.metric_definition, r flagscope.rollout)
RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT jsonb_build_object('estimate', _flagscope.metric_value(m, g.quantile, x.n, x.events, x.moments, x.histogram),
        'lower', i.ends[1], 'upper', i.ends[2])
    FROM _flagscope.state_over(g.flag, g.environment, g.metric, _flagscope.watched(g, r.treatment), s.evaluated_at
        - coalesce(g.time_window, _flagscope.setting_interval('guardrail.window')) - interval '10 seconds',
        s.evaluated_at) x
        CROSS JOIN LATERAL (SELECT _flagscope.kind_interval(m.kind::text, g.quantile, x.n, x.events, x.moments,
            x.histogram) AS ends) i
    WHERE x.n > 0;
END;
COMMENT ON FUNCTION _flagscope.window_effect(flagscope.guardrail, flagscope.guardrail_status,
    flagscope.metric_definition, flagscope.rollout) IS
    'value of a threshold over its last window with an interval of 95 %, valid for one look';

CREATE FUNCTION _flagscope.effect(g flagscope.guardrail, s flagscope.guardrail_status, m flagscope.metric_definition,
    r flagscope.rollout)
RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(CASE
        WHEN g.test = 'threshold' THEN jsonb_build_object('window', _flagscope.window_effect(g, s, m, r))
        WHEN g.test <> 'sequential' THEN NULL
        WHEN g.comparison = 'control' AND NOT s.carries_on THEN CASE WHEN _flagscope.looks_back(m.kind::text)
            THEN jsonb_build_object('quantile_ratio', _flagscope.quantile_ratios(_flagscope.stage_histogram(g,
                    r, ARRAY[r.treatment]),
                _flagscope.stage_histogram(g, r, ARRAY[r.control]), g.quantile, m.harm::text, s.alpha))
            ELSE _flagscope.strata_effect(s.evidence_id, m.kind::text, m.cap, s.alpha) END
        WHEN s.limit_value IS NOT NULL THEN
            _flagscope.limited(m.kind::text, s.alpha, s.n_treatment, s.events_treatment[1],
                (SELECT flagscope.rollup(e.moments_treatment)
                        FROM flagscope.evaluation e WHERE e.evidence_id = s.evidence_id AND e.events_treatment <> '{}'))
            || CASE WHEN _flagscope.looks_back(m.kind::text) THEN jsonb_build_object('stage_quantile',
                _flagscope.stage_quantile(_flagscope.stage_histogram(g, r, _flagscope.watched(g, r.treatment)),
                    coalesce(g.quantile, 0.95), s.alpha))
                ELSE '{}' END
        END, '{}');
END;
COMMENT ON FUNCTION _flagscope.effect(flagscope.guardrail, flagscope.guardrail_status, flagscope.metric_definition,
    flagscope.rollout) IS
    'what a guardrail estimates, as {what: {estimate, lower, upper}}: odds_ratio, difference or rate_ratio against the '
    'control, share, rate or share_above a limit, over all strata; quantile_ratio (a list) or stage_quantile in the '
    'present stage; these intervals are valid at every look, at the guardrail''s alpha, for independent data points '
    '(a design effect widens none); window of a threshold: 95 %, one look';

COMMENT ON FUNCTION _flagscope.effect_words(jsonb, text, text) IS
    'what a guardrail of a kind of metric estimates, with its interval, for people (src/core/kind/report.rs): '
    'valid at every look unless it says "one look"; "?": an end that the data do not tell; '
    'NULL where they tell nothing';
