-- Reports for people: by variant, over time, and decisions explained; all from stored rows.

CREATE VIEW _flagscope.variant_state AS
SELECT flag, environment, variant, metric, bucket, n, events, moments, histogram, last_ts FROM flagscope.variant_rollup
UNION ALL
SELECT flag, environment, variant, metric, bucket, n, events, moments, histogram, last_ts FROM _flagscope.variant_delta
WHERE NOT rolled_up;
COMMENT ON VIEW _flagscope.variant_state IS
    'state of every metric by variant and 10-second bucket, including deltas that no tick has merged yet; '
    'older buckets are in variant_history';

CREATE FUNCTION flagscope.rollout_chart(rollout_id bigint, metric text, bucket_width interval DEFAULT '10 seconds',
    quantile float8 DEFAULT 0.95)
RETURNS TABLE (ts timestamptz, percent numeric, ramp text, n_treatment bigint, treatment float8, n_control bigint,
    control float8, chart text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH points AS (
        SELECT s.ts, coalesce(max(s.n) FILTER (WHERE s.variant = r.treatment), 0) AS nt,
            max(s.value) FILTER (WHERE s.variant = r.treatment) AS t,
            coalesce(max(s.n) FILTER (WHERE s.variant = r.control), 0) AS nc,
            max(s.value) FILTER (WHERE s.variant = r.control) AS c,
            r.status = 'completed' AND r.ended_at < s.ts + w.width AS completed, w.width
        FROM _flagscope.require_rollout(rollout_chart.rollout_id) r,
            LATERAL _flagscope.series_bucket(rollout_chart.bucket_width, r.started_at) w(width),
            LATERAL flagscope.metric_series(r.flag, rollout_chart.metric, r.environment, r.started_at,
                coalesce(r.ended_at, greatest(clock_timestamp(), r.started_at)) + interval '1 microsecond', w.width,
                rollout_chart.quantile) s
        GROUP BY r.id, r.treatment, r.control, r.status, r.ended_at, s.ts, w.width
    ), served AS (
        -- The share served at the end of each step.
        SELECT p.*, coalesce((SELECT a.percent FROM flagscope.allocation a
            WHERE a.rollout_id = rollout_chart.rollout_id AND a.valid @> p.ts + p.width - interval '1 microsecond'),
            CASE WHEN p.completed THEN 100 ELSE 0 END) AS percent
        FROM points p
    )
    SELECT s.ts, trim_scale(s.percent), flagscope.bar(s.percent::float8, 100::float8, 10), s.nt, s.t, s.nc, s.c,
        flagscope.bar(s.t, max(greatest(s.t, s.c)) OVER (), 20)
    FROM served s ORDER BY s.ts;
$$;
COMMENT ON FUNCTION flagscope.rollout_chart(bigint, text, interval, float8) IS
    'a rollout over time: percentage served, and a metric of treatment and control '
    'with a bar for the treatment''s value';

COMMENT ON FUNCTION _flagscope.replay_strata(refcursor) IS
    'steps one rule through the strata of the past that a cursor loads, in order (src/core/guardrail/step.rs)';

CREATE FUNCTION _flagscope.replay(g flagscope.guardrail, alpha float8, margin float8, limit_value float8,
    evidence_id bigint, last_stratum integer, decision_id bigint)
RETURNS SETOF _flagscope.replayed
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    strata CURSOR FOR
        SELECT 0::bigint AS era, e.stratum::bigint AS ordinal, e.at, g, m, _flagscope.tick_setting() AS setting,
            replay.alpha, replay.margin, (g).margin_absolute,
            coalesce(e.design_effect, (g).design_effect, 1) AS design_effect, replay.limit_value,
            NULL::float8 AS alarm_score,
            NULL::text AS control, false AS is_polled, NULL::text AS problem, NULL::text AS unloaded,
            NULL::bigint AS stage_id, NULL::timestamptz AS stage_started_at, NULL::bigint AS stage_sample,
            false AS is_alone, 0.5::float8 AS share, false AS treatment_came, false AS control_came,
            _flagscope.counted_stratum(e.n_treatment, e.moments_treatment, e.watermark) AS t,
            _flagscope.counted_stratum(e.n_control, e.moments_control, e.watermark) AS c, true AS is_weighed,
            e.events_treatment, e.events_control, e.centre, e.bound, e.begins_copy, e.safe_increment,
            (SELECT r.alpha FROM flagscope.rollout r WHERE r.id = e.rollout_id) AS safe_alpha, e.value,
            e.log_e AS log_e_stored,
            NULL::_flagscope.stratum AS reference, NULL::_flagscope.stratum AS window_state,
            NULL::_flagscope.stratum AS baseline, NULL::float8 AS baseline_spread, NULL::timestamptz AS point,
            NULL::timestamptz AS counted_since, NULL::timestamptz AS alone_since, NULL::timestamptz AS first_point,
            NULL::_flagscope.anomaly_point AS seen
        FROM flagscope.evaluation e JOIN flagscope.metric_definition m ON m.name = (g).metric
        WHERE e.evidence_id = replay.evidence_id AND e.stratum <= replay.last_stratum AND (g).test = 'sequential'
        ORDER BY e.stratum;
BEGIN
    IF (g).test = 'sequential' AND last_stratum <> (SELECT count(*) FROM flagscope.evaluation e
        WHERE e.evidence_id = replay.evidence_id AND e.stratum BETWEEN 1 AND replay.last_stratum) THEN
        -- The remaining rows would not add up to the same evidence.
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message(
                'evidence of decision %s cannot be recomputed: evaluations before %s were deleted',
                decision_id, _flagscope.kept_since('evaluation')),
            HINT = 'Setting evaluation.retention determines how long they are kept; '
                'evaluation.expired "detach" keeps them outside of flagscope.';
    END IF;
    OPEN strata;
    RETURN QUERY SELECT * FROM _flagscope.replay_strata(strata);
    CLOSE strata;
END $$;
COMMENT ON FUNCTION _flagscope.replay(flagscope.guardrail, float8, float8, float8, bigint, integer, bigint) IS
    'a decision''s evidence recomputed from the counts in evaluation, up to its last stratum';

CREATE FUNCTION _flagscope.replay_evidence(decision_id bigint)
RETURNS TABLE (at timestamptz, n_treatment bigint, events_treatment bigint[], n_control bigint, events_control bigint[],
    log_e_stored float8, log_e_recomputed float8)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT x.at, x.n_treatment, x.events_treatment, x.n_control, x.events_control, x.log_e_stored, x.log_e
    FROM _flagscope.require_decision(replay_evidence.decision_id) d,
        LATERAL (SELECT jsonb_populate_record(NULL::flagscope.guardrail, d.rule)) g(was),
        _flagscope.replay(CASE WHEN d.evidence ->> 'comparison' = 'baseline' AND (g.was).comparison = 'control'
            THEN (SELECT _flagscope.as_judged(g.was, m) FROM flagscope.metric_definition m
                WHERE m.name = (g.was).metric)
            ELSE g.was END, (d.evidence ->> 'alpha')::float8,
            (d.evidence ->> 'margin')::float8, (d.evidence ->> 'limit_value')::float8, d.evidence_id,
            d.last_stratum, d.id) x
    ORDER BY x.ordinal;
$$;
COMMENT ON FUNCTION _flagscope.replay_evidence(bigint) IS
    'a decision''s evidence recomputed stratum by stratum from the counts in evaluation; '
    'both columns of log_e must agree';

CREATE FUNCTION _flagscope.replay_joint(decision_id bigint)
RETURNS TABLE (guardrail text, alpha float8, strata bigint, log_e_stored float8, log_e_recomputed float8, part float8,
    sum_stored float8, sum_recomputed float8)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- Rows of replay are strata: the last one is the evidence decided on.
    SELECT x.name, x.alpha, x.strata, x.stored, x.recomputed, x.part, x.sum_stored, sum(x.part) OVER ()
    FROM (
        SELECT p.value ->> 'guardrail' AS name, a.alpha, l.strata, e.stored, l.recomputed,
            (d.evidence #>> '{joint,sum}')::float8 AS sum_stored, p.place,
            exp(least(greatest(l.recomputed + ln(a.alpha), -700), 700)) AS part
        FROM _flagscope.require_decision(replay_joint.decision_id) d,
            jsonb_array_elements(d.evidence #> '{joint,parts}') WITH ORDINALITY p(value, place),
            LATERAL (SELECT (p.value ->> 'alpha')::float8) a(alpha),
            LATERAL (SELECT (p.value ->> 'log_e')::float8) e(stored),
            LATERAL (SELECT count(*) AS strata,
                    coalesce((array_agg(r.log_e ORDER BY r.ordinal DESC))[1], 0) AS recomputed
                FROM _flagscope.replay(jsonb_populate_record(NULL::flagscope.guardrail, p.value),
                    (p.value ->> 'alpha')::float8,
                    (p.value ->> 'margin')::float8, (p.value ->> 'limit_value')::float8,
                    (p.value ->> 'evidence_id')::bigint, (p.value ->> 'last_stratum')::integer, d.id) r) l
    ) x ORDER BY x.place;
$$;
COMMENT ON FUNCTION _flagscope.replay_joint(bigint) IS
    'a decision on a joint breach recomputed: ln e of each guardrail from its counts in evaluation, part = alpha e, '
    'and the sum of parts, which is a breach from 1 on; stored and recomputed must agree; no rows for other decisions';

COMMENT ON FUNCTION _flagscope.value_words(jsonb, text, text) IS
    'the value of an arm, or the list of its quantiles, as text: value, kind of metric, unit (src/core/kind/report.rs)';
COMMENT ON FUNCTION _flagscope.level_words(text, float8) IS
    'the quantiles that a rule on a kind of metric tests, as text with a space after it; '
    'empty for kinds that have none';
COMMENT ON FUNCTION _flagscope.counts_words(text) IS
    'what is counted of a kind of metric, as text; NULL: nothing';

CREATE FUNCTION _flagscope.count_words(counts jsonb, n text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (SELECT string_agg(x, ' / ' ORDER BY i) FROM jsonb_array_elements_text(counts) WITH ORDINALITY q(x, i))
        || ' of ' || n;
$$;
COMMENT ON FUNCTION _flagscope.count_words(jsonb, text) IS 'counts out of a number of data points, as text';

COMMENT ON FUNCTION _flagscope.margin_words(jsonb) IS
    'the margin of a decision''s evidence as text: 10 %, 0.5 percentage points, 0.02 s';

CREATE FUNCTION _flagscope.joint_words(joint jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('alpha e adds up to %s, the line is 1: ', round((joint ->> 'sum')::numeric, 3))
        || string_agg(format('%s of %s (ln e %s, alpha 1/%s)', round((p.value ->> 'part')::numeric, 3),
                p.value ->> 'guardrail', round((p.value ->> 'log_e')::numeric, 2),
                round(1 / (p.value ->> 'alpha')::numeric)),
            ', ' ORDER BY p.place)
    FROM jsonb_array_elements(joint -> 'parts') WITH ORDINALITY p(value, place);
$$;
COMMENT ON FUNCTION _flagscope.joint_words(jsonb) IS
    'what each guardrail contributed to a joint breach, greatest part first; NULL for a single guardrail';

CREATE FUNCTION _flagscope.explain_evidence(d flagscope.decision) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat_ws(E'\n',
        format('guardrail   %s (version %s): %s test of %s against %s', d.rule ->> 'name', d.guardrail_version,
            d.rule ->> 'test', d.rule ->> 'metric', CASE coalesce(e ->> 'comparison', d.rule ->> 'comparison')
                WHEN 'control' THEN
                'control, margin ' || _flagscope.margin_words(e)
                WHEN 'baseline' THEN
                    CASE WHEN e ->> 'beside' = 'control' THEN 'the control at the same time'
                        WHEN d.rule ->> 'test' = 'anomaly' THEN 'what is usual at this time of day'
                        ELSE format('its baseline, margin %s: the limit of %s', _flagscope.margin_words(e),
                            concat_ws(' ', round((e ->> 'limit_value')::numeric, 4), e ->> 'unit')) END
                ELSE concat_ws(' ', 'the limit of', d.rule ->> 'limit_value', e ->> 'unit') END),
        format('values      %s%s %s%s, since %s UTC',
            _flagscope.level_words(e ->> 'kind', (d.rule ->> 'quantile')::float8),
            _flagscope.value_words(e -> 'stage_treatment', e ->> 'kind', e ->> 'unit'), _flagscope.rule_whose(d.rule),
            CASE WHEN d.rule ->> 'scope' = 'environment' THEN '' ELSE format(', %s with the control',
                _flagscope.value_words(e -> 'stage_control', e ->> 'kind', e ->> 'unit')) END,
            to_char((e ->> 'since')::timestamptz AT TIME ZONE 'UTC', 'HH24:MI:SS')),
        CASE WHEN e ? 'log_e' AND _flagscope.counts_words(e ->> 'kind') IS NOT NULL THEN
            concat(rpad(_flagscope.counts_words(e ->> 'kind'), 12),
                regexp_replace(_flagscope.rule_whose(d.rule), '^(with the|with|in the) ', ''), ' ',
                _flagscope.count_words(e -> 'events_treatment', e ->> 'n_treatment'),
                ', control ' || _flagscope.count_words(e -> 'events_control', e ->> 'n_control')) END,
        'rows        up to ' || to_char(d.watermark AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS') || ' UTC',
        'effect      ' || _flagscope.effect_words(e, e ->> 'kind', e ->> 'unit')
            || CASE WHEN e ? 'window' THEN '' ELSE ' at every look' END,
        CASE WHEN e ? 'log_e' THEN format('evidence    ln e %s, the line is %s (ln of 1/%s)',
            round((e ->> 'log_e')::numeric, 2), round((e ->> 'line')::numeric, 2), (e ->> 'alpha')::float8::real) END,
        CASE WHEN e ? 'score' THEN
            format('evidence    score %s, the line is %s', round((e ->> 'score')::numeric, 2),
                round((e ->> 'limit_value')::numeric, 2)) END,
        'together    ' || _flagscope.joint_words(e -> 'joint'),
        CASE WHEN e ?| '{log_e,score}' THEN format('recompute   SELECT * FROM flagscope.replay(%s);', d.id) END)
    FROM (SELECT d.evidence) x(e) WHERE NOT e ? 'error'
    UNION ALL SELECT 'evidence    ' || (d.evidence ->> 'error') WHERE d.evidence ? 'error';
$$;
COMMENT ON FUNCTION _flagscope.explain_evidence(flagscope.decision) IS
    'the evidence of a guardrail''s decision as text';

CREATE FUNCTION flagscope.explain_decision(decision_id bigint) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    d flagscope.decision := _flagscope.require_decision(decision_id);
BEGIN
    RETURN concat_ws(E'\n',
        format('decision %s  %s%s of rollout %s (flag "%s" in %s) by %s at %s UTC', d.id,
            CASE WHEN d.shadow THEN 'shadow ' END, replace(d.action::text, '_', ' '), d.rollout_id, d.flag,
            d.environment, d.actor,
            to_char(d.at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS')),
        format('change      %s %% (stage %s, %s) -> %s %% (stage %s, %s)', trim_scale(d.from_percent), d.from_stage,
            d.from_status, trim_scale(d.to_percent), d.to_stage, d.to_status),
        'because     ' || d.reason,
        CASE WHEN d.guardrail_id IS NOT NULL THEN _flagscope.explain_evidence(d) END,
        _flagscope.explained(d));
END $$;
COMMENT ON FUNCTION flagscope.explain_decision(bigint) IS
    'a decision as text: what changed, why, based on which numbers, the query that recomputes them, '
    'and where the harm is once the worker has looked';
