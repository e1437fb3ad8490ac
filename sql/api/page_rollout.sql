-- What the page of a rollout shows, as one jsonb (its fields are in src/core/page/data/). Times are seconds since
-- 1970.

CREATE FUNCTION _flagscope.state_place(state flagscope.data_state) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN array_position('{breached,error,silent,no_data,stale,no_control,inconclusive,not_enough,ok}'::text[],
    coalesce(state::text, 'not_enough'));
COMMENT ON FUNCTION _flagscope.state_place(flagscope.data_state) IS
    'the order of states for people, the one to look at first is 1; NULL: not judged yet';

CREATE FUNCTION _flagscope.page_rollout(r flagscope.rollout, at timestamptz) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object('id', r.id, 'flag', r.flag, 'description', f.description, 'environment', r.environment,
        'treatment', r.treatment, 'control', r.control, 'status', r.status, 'stage', r.stage, 'percent', b.percent,
        'enabled', s.enabled,
        'waiting_for', CASE WHEN b.is_live THEN coalesce(flagscope.ramp_gate(r.id, at),
            'nothing: the next tick advances it') ELSE b.waiting_for END,
        'needs_approval', b.needs_approval, 'since', _flagscope.unix_seconds(b.since),
        'created_at', _flagscope.unix_seconds(r.created_at), 'started_at', _flagscope.unix_seconds(r.started_at),
        'stage_started_at', _flagscope.unix_seconds(r.stage_started_at),
        'ended_at', _flagscope.unix_seconds(r.ended_at),
        'follow_up_until', _flagscope.unix_seconds(r.follow_up_until), 'problem', r.problem, 'alpha', r.alpha,
        'restart_of', r.restart_of)
    FROM flagscope.bi_rollout b
        JOIN flagscope.flag_definition f ON f.key = r.flag
        JOIN flagscope.flag_state s ON s.flag = r.flag AND s.environment = r.environment
    WHERE b.rollout_id = r.id;
$$;
COMMENT ON FUNCTION _flagscope.page_rollout(flagscope.rollout, timestamptz) IS
    'of the page of a rollout: where it stands and what it waits for';

CREATE FUNCTION _flagscope.page_stages(r flagscope.rollout) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres'
AS $$
    SELECT jsonb_agg(jsonb_build_object('ordinal', s.ordinal, 'percent', s.percent,
        'entered_at', _flagscope.unix_seconds(e.at),
        'conditions', concat_ws(', ', 'at least ' || s.min_duration,
            CASE WHEN s.min_sample > 0 THEN s.min_sample || ' data points of each arm' END,
            CASE s.advance_when WHEN 'power' THEN 'until harm would have been seen'
                WHEN 'safe' THEN 'until harm is refuted' END,
            CASE WHEN s.approval_needed THEN 'an approval' END),
        'approval_needed', s.approval_needed, 'approved_by', s.approved_by,
        'approved_at', _flagscope.unix_seconds(s.approved_at)) ORDER BY s.ordinal)
    FROM flagscope.rollout_stage s LEFT JOIN LATERAL (SELECT min(d.at) AS at FROM flagscope.decision d
        WHERE d.rollout_id = r.id AND d.to_stage = s.ordinal AND d.from_stage <> s.ordinal AND NOT d.shadow) e ON true
    WHERE s.rollout_id = r.id;
$$;
COMMENT ON FUNCTION _flagscope.page_stages(flagscope.rollout) IS
    'of the page of a rollout: its stages, when each was entered, and its conditions in words';

CREATE FUNCTION _flagscope.page_ramp(r flagscope.rollout) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- Only where the share changes: the page draws steps.
    SELECT jsonb_agg(jsonb_build_object('at', _flagscope.unix_seconds(p.ts), 'percent', p.percent) ORDER BY p.ts)
    FROM (SELECT b.ts, b.percent, lag(b.percent) OVER (ORDER BY b.ts) AS before
        FROM flagscope.bi_ramp b WHERE b.rollout_id = r.id) p
    WHERE p.percent IS DISTINCT FROM p.before;
$$;
COMMENT ON FUNCTION _flagscope.page_ramp(flagscope.rollout) IS
    'of the page of a rollout: when the share that it serves changed';

CREATE FUNCTION _flagscope.page_decisions(r flagscope.rollout) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_agg(jsonb_build_object('id', d.decision_id, 'at', _flagscope.unix_seconds(d.ts), 'action', d.action,
        'shadow', d.shadow, 'severity', d.severity, 'title', d.title, 'reason', left(d.reason, 2000),
        'actor', left(d.actor, 300), 'automatic', d.automatic, 'from_percent', d.from_percent,
        'to_percent', d.to_percent, 'guardrail', left(d.guardrail, 300),
        -- The last one that a guardrail wanted is the one that is asked about.
        'explanation', CASE WHEN d.decision_id = d.asked THEN flagscope.explain_decision(d.decision_id) END)
        ORDER BY d.decision_id)
    FROM (SELECT b.*, max(b.decision_id) FILTER (WHERE b.guardrail_id IS NOT NULL AND NOT b.shadow
            AND b.action <> 'warn') OVER () AS asked
        FROM flagscope.bi_decision b WHERE b.rollout_id = r.id ORDER BY b.decision_id DESC LIMIT 200) d;
$$;
COMMENT ON FUNCTION _flagscope.page_decisions(flagscope.rollout) IS
    'of the page of a rollout: its last 200 decisions, the last one of a guardrail with explain_decision()';

CREATE FUNCTION _flagscope.page_guardrail(g flagscope.guardrail, s flagscope.guardrail_status, r flagscope.rollout,
    has_series boolean) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object('id', g.id, 'name', g.name, 'metric', g.metric, 'kind', m.kind,
        'unit', m.unit, 'comparison', CASE WHEN s.carries_on THEN 'baseline' ELSE g.comparison::text END,
        'test', g.test, 'action', g.action, 'shadow', g.shadow, 'state', coalesce(s.state::text, 'not_enough'),
        'reason', coalesce(nullif(s.reason, ''), 'not evaluated yet'),
        'since', _flagscope.unix_seconds(s.state_since),
        'measure', CASE WHEN g.test = 'anomaly' THEN 'score' ELSE (e.shown).measure END,
        'estimate', CASE WHEN g.test = 'anomaly' THEN s.value ELSE (e.shown).estimate END,
        'lower', (e.shown).lower, 'upper', (e.shown).upper,
        'tolerated', _flagscope.tolerated(g, s, m, (e.shown).measure),
        'effect', _flagscope.effect_words(e.effect, m.kind::text, m.unit),
        'margin', CASE WHEN g.comparison = 'absolute' THEN 'the limit ' || g.limit_value
            ELSE 'a margin of ' || _flagscope.margin_words(jsonb_strip_nulls(jsonb_build_object('kind', m.kind,
                'unit', nullif(m.unit, ''), 'margin', s.margin, 'margin_absolute', s.margin_absolute))) END,
        'watches', _flagscope.whose_words(g.scope::text, g.variants), 'n_treatment', s.n_treatment,
        'n_control', s.n_control, 'log_e', s.log_e, 'max_log_e', s.max_log_e,
        'line', CASE g.test WHEN 'sequential' THEN ln(1 / s.alpha) END,
        'series', CASE WHEN has_series AND s.guardrail_id IS NOT NULL THEN _flagscope.page_series(g, s, m, r,
            (e.effect #>> '{quantile_ratio,0,quantile}')::float8) END)
    FROM flagscope.metric_definition m
        CROSS JOIN LATERAL (SELECT y.effect, _flagscope.shown_effect(y.effect) AS shown
            FROM (SELECT CASE WHEN s.guardrail_id IS NOT NULL THEN _flagscope.effect(g, s, m, r) END AS effect
                OFFSET 0) y OFFSET 0) e
    WHERE m.name = g.metric;
$$;
COMMENT ON FUNCTION _flagscope.page_guardrail(flagscope.guardrail, flagscope.guardrail_status, flagscope.rollout,
    boolean) IS
    'of the page of a rollout: a guardrail with verdict, estimate and margin, and its estimate over time if asked for';

CREATE FUNCTION _flagscope.page_guardrails(r flagscope.rollout) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- The page has room for 12 charts.
    SELECT jsonb_agg(_flagscope.page_guardrail(x.g, x.s, r, x.nth <= 12) ORDER BY x.nth)
    FROM (SELECT g, s, row_number() OVER (ORDER BY _flagscope.state_place(s.state), g.shadow, g.priority DESC, g.id)
            AS nth
        FROM flagscope.guardrail g
            LEFT JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id AND s.rollout_id = r.id
        WHERE g.flag = r.flag AND g.environment = r.environment
            -- Of a rollout that is over only those that were in it.
            AND (s.guardrail_id IS NOT NULL OR r.status IN ('draft', 'running', 'paused', 'held') AND g.enabled)) x;
$$;
COMMENT ON FUNCTION _flagscope.page_guardrails(flagscope.rollout) IS
    'of the page of a rollout: its guardrails, the worst first';

CREATE FUNCTION _flagscope.page_metrics(r flagscope.rollout, since timestamptz, until timestamptz) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH watched AS (
        SELECT g.metric, min(_flagscope.state_place(s.state)) AS place, min(g.id) AS id,
            array_agg(v) || ARRAY[r.treatment, r.control] AS variants
        FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id,
            LATERAL unnest(_flagscope.watched(g, r.treatment)) v
        WHERE s.rollout_id = r.id GROUP BY g.metric
    ), span AS (
        -- 60 points for the time of the rollout, in steps of whole buckets.
        SELECT _flagscope.series_bucket(greatest(interval '10 seconds', date_bin('10 seconds',
            'epoch'::timestamptz + (until - since) / 60 + interval '9.999999 s', 'epoch') - 'epoch'::timestamptz),
            since) AS width
    ), point AS (
        SELECT w.metric, p.variant, jsonb_agg(jsonb_build_object('at', _flagscope.unix_seconds(p.ts), 'n', p.n,
            'value', p.value) ORDER BY p.ts) AS points
        FROM (SELECT * FROM watched ORDER BY place, id LIMIT 24) w, span,
            LATERAL flagscope.metric_series(r.flag, w.metric, r.environment, since,
                until + interval '1 microsecond', span.width, 0.95::float8) p
        WHERE p.variant = ANY (w.variants) GROUP BY w.metric, p.variant
    )
    SELECT jsonb_agg(jsonb_build_object('name', m.name, 'kind', m.kind, 'unit', m.unit,
        'bucket_width', extract(epoch FROM (SELECT span.width FROM span)),
        'summary', (SELECT jsonb_agg(to_jsonb(v) - 'metric' ORDER BY v.variant <> r.treatment, v.variant <> r.control,
                v.variant)
            FROM flagscope.variant_summary(r.flag, r.environment, since, until + interval '1 microsecond') v
            WHERE v.metric = m.name AND v.variant = ANY (w.variants)),
        'series', (SELECT jsonb_agg(jsonb_build_object('variant', p.variant, 'points', p.points)
                ORDER BY p.variant <> r.treatment, p.variant <> r.control, p.variant)
            FROM point p WHERE p.metric = m.name)) ORDER BY w.place, w.id)
    FROM watched w JOIN flagscope.metric_definition m ON m.name = w.metric;
$$;
COMMENT ON FUNCTION _flagscope.page_metrics(flagscope.rollout, timestamptz, timestamptz) IS
    'of the page of a rollout: each metric of its guardrails by variant, as variant_summary() and metric_series() say';

CREATE FUNCTION _flagscope.page_findings(r flagscope.rollout) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_agg(jsonb_build_object('decision_id', c.decision_id, 'rank', c.rank, 'kind', c.kind,
        'sentence', left(c.sentence, 2000), 'share', c.share, 'p_value', c.p_value,
        'traces', (SELECT x.traces[:3] FROM flagscope.correlation x WHERE x.decision_id = c.decision_id
            AND x.rank = c.rank)) ORDER BY c.decision_id DESC, c.rank)
    FROM (SELECT * FROM flagscope.bi_correlation b WHERE b.rollout_id = r.id
        ORDER BY b.decision_id DESC, b.rank LIMIT 30) c;
$$;
COMMENT ON FUNCTION _flagscope.page_findings(flagscope.rollout) IS
    'of the page of a rollout: why, what the worker found out about its decisions';

CREATE FUNCTION _flagscope.page_health(r flagscope.rollout) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_agg(jsonb_build_object('name', h.rule, 'state', CASE h.state WHEN 'ok' THEN 'ok' ELSE 'warning' END,
        'reason', h.reason) ORDER BY h.state = 'ok', h.rule)
    FROM flagscope.rollout_health h WHERE h.rollout_id = r.id;
$$;
COMMENT ON FUNCTION _flagscope.page_health(flagscope.rollout) IS
    'of the page of a rollout: its health rules (split, crossing, traffic, rows), what is not ok first';

CREATE FUNCTION _flagscope.page_messages(r flagscope.rollout) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_agg(jsonb_build_object('id', o.id, 'event', o.payload ->> 'event',
        'severity', o.payload ->> 'severity', 'sentence', left(o.payload ->> 'sentence', 2000),
        'at', _flagscope.unix_seconds(o.created_at), 'delivered_at', _flagscope.unix_seconds(o.delivered_at),
        'deliveries', (SELECT jsonb_agg(jsonb_build_object('sink', d.sink,
                'ended_at', _flagscope.unix_seconds(d.ended_at), 'problem', left(d.problem, 300)) ORDER BY d.sink)
            FROM flagscope.outbox_delivery d WHERE d.outbox_id = o.id)) ORDER BY o.id DESC)
    FROM (SELECT * FROM flagscope.outbox x WHERE x.payload ->> 'rollout_id' = r.id::text
        ORDER BY x.id DESC LIMIT 30) o;
$$;
COMMENT ON FUNCTION _flagscope.page_messages(flagscope.rollout) IS
    'of the page of a rollout: the last 30 notifications about it, and what became of them';

CREATE FUNCTION _flagscope.page_traces(r flagscope.rollout, until timestamptz) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- Those that findings name, then the last ones that failed.
    WITH named AS (
        SELECT t.id AS trace_id, min(t.place) AS place
        FROM (
            (SELECT x.id, 0 AS place FROM flagscope.correlation c JOIN flagscope.decision d ON d.id = c.decision_id,
                    LATERAL unnest(c.traces) x(id)
                WHERE d.rollout_id = r.id ORDER BY c.decision_id DESC, c.rank LIMIT 6)
            UNION ALL
            (SELECT x.trace_id, 1 FROM flagscope.telemetry x
                WHERE _flagscope.is_failure(x) AND x.flags ? r.flag AND x.environment = r.environment
                    AND x.trace_id IS NOT NULL
                    AND x.ts >= until - interval '15 minutes' AND x.ts < until + interval '1 second'
                ORDER BY x.ts DESC LIMIT 6)) t
        GROUP BY t.id ORDER BY min(t.place), t.id LIMIT 8
    )
    SELECT jsonb_agg(jsonb_build_object('trace_id', n.trace_id, 'at', _flagscope.unix_seconds(t.ts),
        'name', left(t.name, 300), 'service', left(t.service, 300), 'variant', t.flags ->> r.flag,
        'duration', CASE t.signal WHEN 'span' THEN t.value END, 'is_error', coalesce(t.is_error, false),
        'message', (SELECT left(e.message, 300) FROM flagscope.telemetry x,
                LATERAL _flagscope.errors_in(x.signal, x.name, x.body, x.attributes) e
            WHERE x.trace_id = n.trace_id AND _flagscope.is_failure(x) AND x.flags ? r.flag ORDER BY x.ts LIMIT 1))
        ORDER BY n.place, t.ts DESC)
    FROM named n CROSS JOIN LATERAL (SELECT x.* FROM flagscope.telemetry x WHERE x.trace_id = n.trace_id
        ORDER BY x.signal <> 'span', x.parent_span_id IS NOT NULL, x.ts LIMIT 1) t;
$$;
COMMENT ON FUNCTION _flagscope.page_traces(flagscope.rollout, timestamptz) IS
    'of the page of a rollout: traces worth a look: those that findings name, and the last ones that failed';

CREATE FUNCTION _flagscope.page_notes(r flagscope.rollout) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_agg(btrim(x.words)) FROM (
        SELECT _flagscope.report_control_verdicts(r) AS words UNION ALL SELECT _flagscope.report_proofs(r)
        UNION ALL SELECT _flagscope.report_dependence(r) UNION ALL SELECT _flagscope.report_budget(r)) x;
$$;
COMMENT ON FUNCTION _flagscope.page_notes(flagscope.rollout) IS
    'of the page of a rollout: what else rollout_report() says of its guardrails';

CREATE FUNCTION _flagscope.rollout_page_data(rollout_id bigint, at timestamptz DEFAULT clock_timestamp())
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r flagscope.rollout := _flagscope.require_rollout(rollout_id);
    until timestamptz;
BEGIN
    PERFORM _flagscope.finite('a page', at);
    until := greatest(coalesce(r.ended_at, at), r.started_at);
    RETURN jsonb_build_object('at', _flagscope.unix_seconds(at), 'rollout', _flagscope.page_rollout(r, at),
        'stages', _flagscope.page_stages(r), 'ramp', _flagscope.page_ramp(r),
        'decisions', _flagscope.page_decisions(r), 'guardrails', _flagscope.page_guardrails(r),
        'metrics', CASE WHEN r.started_at IS NOT NULL THEN _flagscope.page_metrics(r, r.started_at, until) END,
        'findings', _flagscope.page_findings(r), 'health', _flagscope.page_health(r),
        'messages', _flagscope.page_messages(r), 'traces', _flagscope.page_traces(r, until),
        'notes', _flagscope.page_notes(r));
END $$;
COMMENT ON FUNCTION _flagscope.rollout_page_data(bigint, timestamptz) IS
    'everything that the page of a rollout shows (src/core/page/data/: RolloutPage)';
