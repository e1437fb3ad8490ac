-- What else changed about the time at which harm began.

CREATE FUNCTION _flagscope.control_moved(flag text, m flagscope.metric_definition, environment text, control text,
    at timestamptz)
RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- Ten minutes of the control itself before and after: a shared cause would move it, too.
    WITH side AS (
        SELECT v.bucket >= control_moved.at AS is_after, _flagscope.bounded(sum(v.n)) AS n,
            _flagscope.bounded(sum(v.events)) AS events, flagscope.rollup(v.moments) AS moments,
            flagscope.rollup(v.histogram) AS histogram
        FROM _flagscope.variant_states(control_moved.flag, control_moved.at - interval '10 minutes',
            control_moved.at + interval '10 minutes', '10 seconds', m.name, control_moved.environment) v
        WHERE v.variant = control_moved.control GROUP BY 1
    )
    SELECT x.p < 0.01 FROM side a JOIN side b ON a.is_after AND NOT b.is_after,
        LATERAL _flagscope.relative_effect(m, a.n, a.events, a.moments, a.histogram, b.n, b.events, b.moments,
            b.histogram) x;
$$;
COMMENT ON FUNCTION _flagscope.control_moved(text, flagscope.metric_definition, text, text, timestamptz) IS
    'did the control''s own metric differ in the ten minutes before and after a time (p < 0.01); NULL where it has no '
    'data on either side';

CREATE FUNCTION _flagscope.changes(flag text, environment text, since timestamptz, until timestamptz)
RETURNS TABLE (ts timestamptz, kind text, what text, who text, reason text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.at, CASE WHEN d.flag = changes.flag THEN 'stage' ELSE 'decision' END,
        format('%s of rollout %s%s: %s %% to %s %%', replace(d.action::text, '_', ' '), d.rollout_id,
            CASE WHEN d.flag = changes.flag THEN '' ELSE format(' (flag "%s")', d.flag) END,
            trim_scale(d.from_percent), trim_scale(d.to_percent)),
        d.actor, d.reason
    FROM flagscope.decision d WHERE d.environment = changes.environment AND d.at BETWEEN changes.since AND changes.until
        AND NOT d.shadow AND d.action NOT IN ('warn', 'approve')
    UNION ALL
    SELECT lower(h.valid), 'flag', format('flag "%s" was changed', h.flag), h.actor, h.reason
    FROM flagscope.flag_state_history h WHERE h.environment = changes.environment
        AND lower(h.valid) BETWEEN changes.since AND changes.until AND h.decision_id IS NULL
    UNION ALL
    SELECT min(e.ts), 'deployment', concat_ws(' ', 'deployment', e.service, e.attributes ->> 'service.version'),
        e.subject, e.body
    FROM flagscope.telemetry e WHERE e.signal = 'event' AND e.name = 'deployment' AND e.ts >= changes.since
        AND e.ts <= changes.until
        AND (e.environment IS NULL OR e.environment IN (SELECT unnest(x.key || x.aliases)
            FROM flagscope.environment_definition x WHERE x.key = changes.environment))
    GROUP BY e.service, e.attributes ->> 'service.version', e.subject, e.body;
$$;
COMMENT ON FUNCTION _flagscope.changes(text, text, timestamptz, timestamptz) IS
    'what people and flagscope changed in an environment: stages of the flag''s own rollouts, decisions on others, '
    'flags, and events named "deployment"';

CREATE FUNCTION flagscope.coincident_changes(flag text, metric text DEFAULT NULL, environment text DEFAULT NULL,
    since timestamptz DEFAULT NULL, until timestamptz DEFAULT clock_timestamp(), at timestamptz DEFAULT NULL)
RETURNS TABLE (ts timestamptz, kind text, what text, who text, reason text, control_moved boolean, closeness interval)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    env text := _flagscope.environment(coincident_changes.environment);
    last timestamptz := _flagscope.finite('until', coalesce(coincident_changes.until, clock_timestamp()));
    began timestamptz := _flagscope.finite('at', coalesce(coincident_changes.at, last));
    first timestamptz := _flagscope.finite('since', coalesce(coincident_changes.since, began - interval '15 minutes'));
    m flagscope.metric_definition;
    arms record;
BEGIN
    PERFORM _flagscope.require_flag(coincident_changes.flag);
    IF first > last THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('the range from %s to %s is empty', first, last),
            HINT = 'since lies before until.';
    END IF;
    IF coincident_changes.metric IS NOT NULL THEN
        m := _flagscope.require_metric(coincident_changes.metric);
        arms := _flagscope.question_arms(coincident_changes.flag, env, began, NULL::text, NULL::text);
    END IF;
    RETURN QUERY
    SELECT c.ts, c.kind, c.what, c.who, c.reason, CASE WHEN m.name IS NOT NULL THEN
        _flagscope.control_moved(coincident_changes.flag, m, env, arms.compared, c.ts) END, c.ts - began
    FROM _flagscope.changes(coincident_changes.flag, env, first, last) c
    ORDER BY abs(extract(epoch FROM c.ts - began)), c.ts, c.what LIMIT 100;
END $$;
COMMENT ON FUNCTION flagscope.coincident_changes(text, text, text, timestamptz, timestamptz, timestamptz) IS
    'what changed from since (15 minutes before at) to until, the nearest to at, when the harm began (until), first: '
    'stages of the flag''s own rollout, decisions on others, flags changed, events named "deployment"; '
    'control_moved: did the control''s own metric move there too (a shared cause); closeness: its distance to at. '
    'Nearness is no proof';
