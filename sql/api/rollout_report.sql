-- rollout_report(): a rollout as a page of text for psql.

CREATE FUNCTION _flagscope.report_stages(r flagscope.rollout) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('  %s %s %s %s%s',
        CASE WHEN s.ordinal = r.stage AND r.status IN ('running', 'paused', 'held') THEN '>' ELSE ' ' END,
        lpad(trim_scale(s.percent) || ' %', 8),
        flagscope.bar(s.percent::float8, 100::float8, 20)
            || repeat(' ', 20 - length(flagscope.bar(s.percent::float8, 100::float8, 20))),
        coalesce('from ' || _flagscope.utc(e.at),
            concat_ws(', ', 'at least ' || s.min_duration,
                CASE WHEN s.min_sample > 0 THEN s.min_sample || ' data points' END,
                CASE WHEN s.approval_needed THEN 'approval' END)),
        coalesce(', approved by ' || s.approved_by, '')
            || CASE WHEN r.holdback IS NOT NULL AND s.ordinal = (SELECT max(x.ordinal) FROM flagscope.rollout_stage x
                WHERE x.rollout_id = r.id) THEN format(', a holdback of %s %% keeps the control%s',
                    trim_scale(r.holdback), coalesce(' until ' || _flagscope.utc(e.at + s.min_duration), ''))
                ELSE '' END)
    FROM flagscope.rollout_stage s LEFT JOIN LATERAL (SELECT min(d.at) AS at FROM flagscope.decision d
        WHERE d.rollout_id = r.id AND d.to_stage = s.ordinal AND d.from_stage <> s.ordinal AND NOT d.shadow) e ON true
    WHERE s.rollout_id = r.id ORDER BY s.ordinal;
$$;
COMMENT ON FUNCTION _flagscope.report_stages(flagscope.rollout) IS
    'a rollout''s stages as text: percent, when it was entered, or its conditions';

CREATE FUNCTION _flagscope.report_effect(s flagscope.guardrail_status, g flagscope.guardrail,
    m flagscope.metric_definition, r flagscope.rollout)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN g.test = 'anomaly' THEN 'score ' || round(s.value::numeric, 2) ELSE
        coalesce(_flagscope.effect_words(_flagscope.effect(g, s, m, r), m.kind::text, m.unit),
            -- The rollups are gone; the stored value is left.
            CASE WHEN g.test = 'threshold' THEN concat_ws(' ', round(s.value::numeric, 4), nullif(m.unit, '')) END) END;
$$;
COMMENT ON FUNCTION _flagscope.report_effect(flagscope.guardrail_status, flagscope.guardrail,
    flagscope.metric_definition, flagscope.rollout) IS
    'a guardrail''s estimate with its interval; for an anomaly its score';

CREATE FUNCTION _flagscope.report_guardrails(r flagscope.rollout) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH line AS (
        SELECT g.id, g.name || CASE WHEN g.shadow THEN ' (shadow)' ELSE '' END AS name, s.state::text AS state,
            s.n_treatment::text AS n_t, s.n_control::text AS n_c,
            coalesce(_flagscope.report_effect(s, g, m, r), '') AS effect,
            coalesce(nullif(s.reason, ''), 'not evaluated yet') AS reason
        FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
            JOIN flagscope.metric_definition m ON m.name = g.metric
        WHERE s.rollout_id = r.id
        UNION ALL SELECT 0, 'guardrail', 'state', 'n treated', 'n control',
            'effect (interval at every look)', 'in words'
    ), width AS (SELECT max(length(name)) AS name, max(length(state)) AS state, max(length(n_t)) AS n_t,
        max(length(n_c)) AS n_c, max(length(effect)) AS effect FROM line)
    SELECT format('  %s  %s  %s  %s  %s  %s', rpad(l.name, w.name), rpad(l.state, w.state), lpad(l.n_t, w.n_t),
        lpad(l.n_c, w.n_c), rpad(l.effect, w.effect), l.reason)
    FROM line l, width w WHERE (SELECT count(*) FROM line) > 1 ORDER BY l.id;
$$;
COMMENT ON FUNCTION _flagscope.report_guardrails(flagscope.rollout) IS 'a rollout''s guardrails as a table of text';

CREATE FUNCTION _flagscope.report_dependence(r flagscope.rollout) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('  %s: %s', g.name, _flagscope.dependence_words(g, s))
    FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
    WHERE s.rollout_id = r.id AND g.test = 'sequential' AND r.started_at IS NOT NULL ORDER BY g.id;
$$;
COMMENT ON FUNCTION _flagscope.report_dependence(flagscope.rollout) IS
    'for each sequential guardrail how far its rows are independent, and how that is known';

CREATE FUNCTION _flagscope.report_units(r flagscope.rollout, at timestamptz) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('  %s: counts users: %s of the treatment and %s of the control so far, each %s after its first '
        'exposure; %s and %s %s', g.name, s.n_treatment, s.n_control,
        _flagscope.seconds_words(extract(epoch FROM x.width)::float8), u.treated, u.control,
        CASE WHEN _flagscope.is_watched(r, at) THEN 'are waiting for that' ELSE 'were waiting when it ended' END)
    FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
        JOIN flagscope.metric_definition m ON m.name = g.metric AND m.per_unit
        LEFT JOIN flagscope.metric_run q ON q.metric = m.name,
        LATERAL (SELECT _flagscope.unit_window(m) AS width) x,
        LATERAL (SELECT count(*) FILTER (WHERE y.variant = r.treatment) AS treated,
                count(*) FILTER (WHERE y.variant = r.control) AS control
            FROM flagscope.rollout_subject y WHERE y.rollout_id = r.id
                AND y.first_seen >= greatest(s.since, coalesce(q.until - x.width, '-infinity'))) u
    WHERE s.rollout_id = r.id AND r.started_at IS NOT NULL ORDER BY g.id;
$$;
COMMENT ON FUNCTION _flagscope.report_units(flagscope.rollout, timestamptz) IS
    'for each guardrail by unit how many units of each arm have been counted, when one is, and how many still wait';

CREATE FUNCTION _flagscope.report_proofs(r flagscope.rollout) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE chain AS (
        SELECT r.id, r.restart_of
        UNION
        SELECT x.id, x.restart_of FROM chain c JOIN flagscope.rollout x ON x.id = c.restart_of
    )
    SELECT format('  %s%s  %s; ln e %s, the line was %s',
        CASE WHEN d.rollout_id <> r.id THEN format('rollout %s: ', d.rollout_id) END, _flagscope.utc(d.at),
        d.reason, round((d.evidence ->> 'max_log_e')::numeric, 1), round((d.evidence ->> 'line')::numeric, 1))
    FROM flagscope.decision d JOIN chain c ON c.id = d.rollout_id
    WHERE d.rule ->> 'test' = 'sequential' AND d.evidence ->> 'state' = 'breached' AND NOT d.shadow
        AND (d.rollout_id <> r.id OR NOT EXISTS (SELECT FROM flagscope.guardrail_status s
            WHERE s.rollout_id = d.rollout_id AND s.evidence_id = d.evidence_id))
    ORDER BY d.id;
$$;
COMMENT ON FUNCTION _flagscope.report_proofs(flagscope.rollout) IS
    'harm that was proven by evidence which has begun anew since, in the rollout and in those that it restarts';

CREATE FUNCTION _flagscope.report_control_verdicts(r flagscope.rollout) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('  %s, against the control until %s: %s%s: %s', g.name,
        _flagscope.utc((s.control_verdict ->> 'until')::timestamptz), s.control_verdict ->> 'state',
        ' (' || nullif(s.control_verdict ->> 'effect', '') || ')', s.control_verdict ->> 'reason')
    FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
    WHERE s.rollout_id = r.id AND s.control_verdict IS NOT NULL ORDER BY g.id;
$$;
COMMENT ON FUNCTION _flagscope.report_control_verdicts(flagscope.rollout) IS
    'what guardrails said against the control, before everybody was served the treatment';

CREATE FUNCTION _flagscope.report_budget(r flagscope.rollout) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('  error budget %s, of which %s is left: evidence that begins anew takes half of it',
        r.alpha, round(r.alpha_left::numeric, 6))
    WHERE r.alpha_left IS NOT NULL AND r.status IN ('running', 'paused', 'held');
$$;
COMMENT ON FUNCTION _flagscope.report_budget(flagscope.rollout) IS 'what is left of a live rollout''s error budget';

CREATE FUNCTION _flagscope.report_charts(r flagscope.rollout, until timestamptz) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- 60 characters for the duration of the rollout, in steps of whole buckets.
    WITH span AS (
        SELECT _flagscope.series_bucket(greatest(interval '10 seconds',
                date_bin('10 seconds',
                    'epoch'::timestamptz + (until - r.started_at) / 60 + interval '9.999999 s', 'epoch')
                    - 'epoch'::timestamptz),
            r.started_at) AS step
    )
    SELECT format('  %s %s %s',
        rpad(CASE WHEN x.is_first THEN m.metric ELSE '' END, max(length(m.metric)) OVER ()),
        rpad(x.variant, max(length(x.variant)) OVER ()), x.line)
    FROM span, (SELECT g.metric, array_agg(v) || ARRAY[r.treatment, r.control] AS variants
            FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id,
                LATERAL unnest(_flagscope.watched(g, r.treatment)) v
            WHERE s.rollout_id = r.id GROUP BY g.metric) m,
        LATERAL (SELECT CASE p.variant WHEN '' THEN '(all rows)' ELSE p.variant END AS variant,
                row_number() OVER w = 1 AS is_first, row_number() OVER w AS place,
                flagscope.sparkline(p.value ORDER BY p.ts)
                    || format('  %s to %s', round(min(p.value)::numeric, 4), round(max(p.value)::numeric, 4)) AS line
            FROM flagscope.metric_series(r.flag, m.metric, r.environment, r.started_at,
                greatest(until, r.started_at) + interval '1 microsecond', span.step, 0.95::float8) p
            WHERE p.variant = ANY (m.variants) GROUP BY p.variant
            WINDOW w AS (ORDER BY p.variant <> r.treatment, p.variant <> r.control, p.variant)) x
    ORDER BY m.metric, x.place;
$$;
COMMENT ON FUNCTION _flagscope.report_charts(flagscope.rollout, timestamptz) IS
    'each metric of treatment and control, and of what else its guardrails watch, over a rollout''s time: rate, mean '
    'or p95';

CREATE FUNCTION _flagscope.report_plan(r flagscope.rollout, at timestamptz) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- The present stage lasts at least as long as is left of it; what its guardrails know already is not counted.
    WITH left_over AS (
        SELECT array_agg(s.percent ORDER BY s.ordinal) AS percents,
            array_agg(s.min_sample::float8 ORDER BY s.ordinal) AS samples,
            array_agg(greatest(extract(epoch FROM s.min_duration
                - CASE WHEN s.ordinal = r.stage THEN at - r.stage_started_at ELSE interval '0' END), 1)::float8
                ORDER BY s.ordinal) AS seconds,
            array_agg(greatest(extract(epoch FROM coalesce(s.max_duration,
                    _flagscope.setting_number('rollout.patience') * s.min_duration)
                - CASE WHEN s.ordinal = r.stage THEN at - r.stage_started_at ELSE interval '0' END), 0)::float8
                ORDER BY s.ordinal) AS longest,
            array_agg(s.advance_when ORDER BY s.ordinal) AS gates
        FROM flagscope.rollout_stage s WHERE s.rollout_id = r.id AND s.ordinal >= r.stage
    ), plan AS (
        SELECT p.* FROM left_over l,
            LATERAL _flagscope.plan(r, l.percents, l.seconds, l.samples, l.longest, l.gates, at, 1.5::float8,
                0.2::float8, NULL::float8, NULL::float8, true) p
        WHERE l.percents IS NOT NULL
    )
    SELECT format('  %s: %s; %s', w.guardrail, 'finds '
        || coalesce(_flagscope.times_words(w.smallest_effect) || ' and worse', 'no effect below 100 times'), w.words)
    FROM plan w WHERE w.stage IS NULL AND w.rows_treatment IS NOT NULL;
$$;
COMMENT ON FUNCTION _flagscope.report_plan(flagscope.rollout, timestamptz) IS
    'what the stages that are left can find, by guardrail whose metric has a past: as plan_rollout() says, from now on';

CREATE FUNCTION flagscope.rollout_report(rollout_id bigint, at timestamptz DEFAULT clock_timestamp()) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres' SET extra_float_digits = 1
AS $$
DECLARE
    r flagscope.rollout := _flagscope.require_rollout(rollout_id);
BEGIN
    PERFORM _flagscope.finite('a report', at);
    RETURN NEXT format('rollout %s: flag "%s" in %s, treatment "%s" against control "%s"', r.id, r.flag, r.environment,
        r.treatment, r.control);
    RETURN NEXT concat_ws('; ',
        format('%s%s', r.status,
            ' since ' || _flagscope.utc(coalesce(r.ended_at, r.stage_started_at))),
        CASE WHEN r.status IN ('running', 'paused', 'held') THEN
            coalesce(flagscope.ramp_gate(r.id, at), 'every gate is clear') END,
        'follow-up until ' || _flagscope.utc(r.follow_up_until), 'could not be decided: ' || r.problem);
    RETURN NEXT 'stages';
    RETURN QUERY SELECT _flagscope.report_stages(r);
    RETURN NEXT 'timeline';
    RETURN QUERY
        SELECT format('  %s  %s%s%s by %s: %s', _flagscope.utc(d.at), CASE WHEN d.shadow THEN 'shadow ' END,
            replace(d.action::text, '_', ' '),
            CASE WHEN d.from_percent <> d.to_percent THEN
                format(' %s %% -> %s %%', trim_scale(d.from_percent), trim_scale(d.to_percent)) END,
            d.actor, d.reason)
        FROM flagscope.decision d WHERE d.rollout_id = r.id ORDER BY d.id;
    RETURN NEXT 'guardrails';
    RETURN QUERY SELECT _flagscope.report_guardrails(r);
    RETURN QUERY SELECT _flagscope.report_units(r, at);
    RETURN QUERY SELECT _flagscope.report_dependence(r);
    RETURN QUERY SELECT _flagscope.report_control_verdicts(r);
    RETURN QUERY SELECT _flagscope.report_budget(r);
    IF EXISTS (SELECT FROM _flagscope.report_proofs(r)) THEN
        RETURN NEXT 'harm proven before (that evidence has begun anew since; the rollout was resumed or restarted)';
        RETURN QUERY SELECT _flagscope.report_proofs(r);
    END IF;
    IF r.status IN ('draft', 'running', 'paused', 'held') THEN
        RETURN NEXT 'what each guardrail is compared with';
        RETURN QUERY SELECT format('  %s: %s', w.guardrail, w.words) FROM _flagscope.watches(r, r.stage, at) w;
    END IF;
    IF r.status IN ('running', 'paused', 'held') THEN
        RETURN NEXT 'what the ramp can still find';
        RETURN QUERY SELECT _flagscope.report_plan(r, at);
    END IF;
    RETURN NEXT 'health';
    RETURN QUERY SELECT format('  %s: %s: %s', h.rule, h.state, h.reason)
        FROM flagscope.rollout_health h WHERE h.rollout_id = r.id ORDER BY h.rule;
    RETURN NEXT 'charts';
    RETURN QUERY SELECT _flagscope.report_charts(r, coalesce(r.ended_at, at)) WHERE r.started_at IS NOT NULL;
END $$;
COMMENT ON FUNCTION flagscope.rollout_report(bigint, timestamptz) IS
    'a rollout as a page of text: status, stages, timeline, guardrails with estimates and intervals, what they are '
    'compared with and can find in the stages that are left, health, charts';
