-- Views for BI tools (Superset, Metabase, Grafana ...): no arguments, no jsonb, no ranges, text instead of enums, the
-- time column is ts, a COMMENT on each column. They read with the rights of whoever asks (security_invoker), and their
-- columns are a promise: test bi compares. Here are flags, rollouts and decisions, in bi_telemetry.sql measurements.

CREATE FUNCTION _flagscope.shown_effect(effect jsonb, OUT measure text, OUT estimate float8, OUT lower float8,
    OUT upper float8)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- The comparison with the control comes first, then the value beside a limit. Of several quantiles the first is the
    -- one most surely worse.
    SELECT w.what || coalesce(' p' || trim_scale(round(100 * (x.e ->> 'quantile')::numeric, 6)), ''),
        (x.e ->> 'estimate')::float8, (x.e ->> 'lower')::float8, (x.e ->> 'upper')::float8
    FROM unnest('{odds_ratio,difference,rate_ratio,quantile_ratio,share,rate,stage_quantile,share_above,
            window}'::text[]) WITH ORDINALITY w(what, place),
        LATERAL (SELECT CASE jsonb_typeof(effect -> w.what) WHEN 'array' THEN effect -> w.what -> 0
            ELSE effect -> w.what END) x(e)
    WHERE jsonb_typeof(x.e) = 'object' ORDER BY w.place LIMIT 1;
$$;
COMMENT ON FUNCTION _flagscope.shown_effect(jsonb) IS
    'the estimate of effect() that a chart shows: its name, and the ends of its interval';

CREATE FUNCTION _flagscope.tolerated(g flagscope.guardrail, s flagscope.guardrail_status,
    m flagscope.metric_definition, measure text) RETURNS float8
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN g.test = 'anomaly' THEN s.alarm_score
        WHEN g.comparison <> 'control' THEN coalesce(s.limit_value, g.limit_value)
        WHEN measure IN ('odds_ratio', 'rate_ratio') OR measure ~ '^quantile_ratio' THEN
            CASE m.harm WHEN 'increase' THEN 1 + s.margin ELSE 1 / (1 + s.margin) END
        WHEN measure = 'difference' THEN CASE m.harm WHEN 'increase' THEN 1 ELSE -1 END * s.margin_absolute END;
$$;
COMMENT ON FUNCTION _flagscope.tolerated(flagscope.guardrail, flagscope.guardrail_status, flagscope.metric_definition,
    text) IS
    'the worst value of a measure that a guardrail tolerates; NULL where it follows what the control is now';

CREATE VIEW flagscope.bi_flag WITH (security_invoker = true) AS
SELECT s.changed_at AS ts, f.key AS flag, s.environment, f.value_type::text AS value_type, f.description,
    array_to_string(f.tags, ', ') AS tags, v.variants, s.enabled, f.archived_at IS NOT NULL AS archived,
    s.default_variant, s.targeting IS NOT NULL AS has_targeting, s.rollout_id, s.treatment, s.control,
    s.percent::float8 AS percent, s.version, s.actor, s.reason, f.created_at
FROM flagscope.flag_state s JOIN flagscope.flag_definition f ON f.key = s.flag
    CROSS JOIN LATERAL (SELECT string_agg(x.name, ', ' ORDER BY x.name) AS variants
        FROM jsonb_object_keys(coalesce(s.variants, f.variants)) x(name)) v;
COMMENT ON VIEW flagscope.bi_flag IS 'for BI tools: each flag in each environment, as it is served now';
COMMENT ON COLUMN flagscope.bi_flag.ts IS 'when it was last changed';
COMMENT ON COLUMN flagscope.bi_flag.flag IS 'key of the flag';
COMMENT ON COLUMN flagscope.bi_flag.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.bi_flag.value_type IS 'boolean, string, integer, float or object';
COMMENT ON COLUMN flagscope.bi_flag.description IS 'for people';
COMMENT ON COLUMN flagscope.bi_flag.tags IS 'its tags, with commas';
COMMENT ON COLUMN flagscope.bi_flag.variants IS 'names of its variants, with commas';
COMMENT ON COLUMN flagscope.bi_flag.enabled IS 'false: callers get their own default';
COMMENT ON COLUMN flagscope.bi_flag.archived IS 'true: retired everywhere';
COMMENT ON COLUMN flagscope.bi_flag.default_variant IS 'variant that is served where nothing else is said';
COMMENT ON COLUMN flagscope.bi_flag.has_targeting IS 'does a rule decide who gets which variant';
COMMENT ON COLUMN flagscope.bi_flag.rollout_id IS 'the live rollout; NULL: there is none';
COMMENT ON COLUMN flagscope.bi_flag.treatment IS 'variant that is rolled out; NULL: none is';
COMMENT ON COLUMN flagscope.bi_flag.control IS 'variant that it is compared with; NULL: nothing is rolled out';
COMMENT ON COLUMN flagscope.bi_flag.percent IS
    'share of users that the rollout serves, 0 to 100, while the flag is enabled; NULL: nothing is rolled out';
COMMENT ON COLUMN flagscope.bi_flag.version IS 'version of its last change; one sequence for all flags';
COMMENT ON COLUMN flagscope.bi_flag.actor IS 'who made the last change';
COMMENT ON COLUMN flagscope.bi_flag.reason IS 'why, in words';
COMMENT ON COLUMN flagscope.bi_flag.created_at IS 'when the flag was made';

CREATE VIEW flagscope.bi_rollout WITH (security_invoker = true) AS
SELECT coalesce(r.started_at, r.created_at) AS ts, r.id AS rollout_id, r.flag, r.environment, r.treatment, r.control,
    r.status::text AS status, x.is_live, r.stage, p.stages,
    CASE r.status WHEN 'completed' THEN 100 WHEN 'rolled_back' THEN 0
        ELSE CASE WHEN x.is_live THEN p.percent ELSE 0 END END::float8 AS percent,
    CASE WHEN x.is_live THEN coalesce(flagscope.ramp_gate(r.id, now()), 'nothing: the next tick advances it')
        WHEN r.status = 'draft' THEN format('start_rollout(%s)', r.id) END AS waiting_for,
    coalesce(x.is_live AND p.needs_approval, false) AS needs_approval,
    coalesce(d.at, r.stage_started_at, r.created_at) AS since, r.started_at, r.ended_at, r.follow_up_until,
    d.action AS last_action, d.reason AS last_reason, d.actor AS last_actor, r.alpha, r.problem
FROM flagscope.rollout r
    CROSS JOIN LATERAL (SELECT r.status IN ('running', 'paused', 'held') AS is_live) x
    LEFT JOIN LATERAL (SELECT count(*)::integer AS stages,
            max(s.percent) FILTER (WHERE s.ordinal = r.stage) AS percent,
            bool_or(s.approval_needed AND s.approved_at IS NULL) FILTER (WHERE s.ordinal = r.stage) AS needs_approval
        FROM flagscope.rollout_stage s WHERE s.rollout_id = r.id) p ON true
    LEFT JOIN LATERAL (SELECT c.at, c.action::text AS action, c.reason, c.actor FROM flagscope.decision c
        WHERE c.rollout_id = r.id AND NOT c.shadow AND c.action <> 'warn' ORDER BY c.id DESC LIMIT 1) d ON true;
COMMENT ON VIEW flagscope.bi_rollout IS
    'for BI tools: each rollout, where it stands and what it waits for';
COMMENT ON COLUMN flagscope.bi_rollout.ts IS 'when it was started; of a draft, when it was made';
COMMENT ON COLUMN flagscope.bi_rollout.rollout_id IS 'number of the rollout';
COMMENT ON COLUMN flagscope.bi_rollout.flag IS 'key of the flag';
COMMENT ON COLUMN flagscope.bi_rollout.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.bi_rollout.treatment IS 'variant that is rolled out';
COMMENT ON COLUMN flagscope.bi_rollout.control IS 'variant that it is compared with';
COMMENT ON COLUMN flagscope.bi_rollout.status IS 'draft, running, paused, held, rolled_back or completed';
COMMENT ON COLUMN flagscope.bi_rollout.is_live IS 'running, paused or held';
COMMENT ON COLUMN flagscope.bi_rollout.stage IS 'number of the stage that it is in, from 1; 0: not started';
COMMENT ON COLUMN flagscope.bi_rollout.stages IS 'how many stages its plan has';
COMMENT ON COLUMN flagscope.bi_rollout.percent IS
    'share of users that it serves, 0 to 100: that of its stage, 100 once completed, 0 after a rollback';
COMMENT ON COLUMN flagscope.bi_rollout.waiting_for IS
    'why it does not advance now, as ramp_gate() says; NULL: it is over';
COMMENT ON COLUMN flagscope.bi_rollout.needs_approval IS
    'its stage needs an approval that nobody has given yet: approve_stage()';
COMMENT ON COLUMN flagscope.bi_rollout.since IS 'when it was last changed by a decision: since then it is as it is';
COMMENT ON COLUMN flagscope.bi_rollout.started_at IS 'when it was started';
COMMENT ON COLUMN flagscope.bi_rollout.ended_at IS 'when it was completed or rolled back; NULL: it is not over';
COMMENT ON COLUMN flagscope.bi_rollout.follow_up_until IS
    'until when guardrails may still roll it back after completion; NULL: they may not';
COMMENT ON COLUMN flagscope.bi_rollout.last_action IS 'last decision that changed it';
COMMENT ON COLUMN flagscope.bi_rollout.last_reason IS 'why, in words';
COMMENT ON COLUMN flagscope.bi_rollout.last_actor IS 'who decided; "flagscope": a guardrail or the ramp';
COMMENT ON COLUMN flagscope.bi_rollout.alpha IS 'chance that a healthy rollout is ever stopped by its guardrails';
COMMENT ON COLUMN flagscope.bi_rollout.problem IS 'why it could not be decided on; NULL: nothing is wrong';

-- What was decided, while the flag was enabled: a kill switch, and a default chosen after the end, count as well.
CREATE VIEW flagscope.bi_ramp WITH (security_invoker = true) AS
WITH version AS (
    SELECT h.version, lower(h.valid) AS ts, h.enabled, h.default_variant, h.rollout_id AS live_id,
        -- Rollouts of a flag come one after the other: between two of them it is the last one's end.
        max(h.rollout_id) OVER (PARTITION BY h.flag, h.environment ORDER BY h.version) AS rollout_id
    FROM flagscope.flag_state_history h
), change AS (
    SELECT c.rollout_id, c.ts,
        (array_agg(c.percent ORDER BY c.nth DESC) FILTER (WHERE c.percent IS NOT NULL))[1] AS percent,
        (array_agg(c.served ORDER BY c.nth DESC) FILTER (WHERE c.served IS NOT NULL))[1] AS served
    FROM (
        SELECT d.rollout_id, d.at AS ts, d.id AS nth, d.to_percent AS percent, NULL::boolean AS served
        FROM flagscope.decision d WHERE NOT d.shadow AND d.action NOT IN ('warn', 'approve')
        UNION ALL
        SELECT v.rollout_id, v.ts, v.version, NULL,
            v.enabled AND (v.live_id IS NOT NULL OR v.default_variant = r.treatment)
        FROM version v JOIN flagscope.rollout r ON r.id = v.rollout_id) c
    GROUP BY c.rollout_id, c.ts
), numbered AS (
    SELECT c.*, count(c.percent) OVER before AS decided, count(c.served) OVER before AS switched,
        lead(c.ts) OVER before AS until
    FROM change c WINDOW before AS (PARTITION BY c.rollout_id ORDER BY c.ts)
), step AS (
    SELECT n.rollout_id, n.ts AS since, coalesce(n.until, now()) AS until,
        n.decided = 1 AND n.percent IS NOT NULL AS is_first,
        CASE WHEN coalesce(max(n.served::integer) OVER (PARTITION BY n.rollout_id, n.switched), 1) = 1
            THEN max(n.percent) OVER (PARTITION BY n.rollout_id, n.decided) ELSE 0 END::float8 AS percent
    FROM numbered n
)
SELECT p.ts, s.rollout_id, r.flag, r.environment, r.treatment, r.control, p.percent
FROM step s JOIN flagscope.rollout r ON r.id = s.rollout_id
    CROSS JOIN LATERAL (SELECT least(s.until, r.ended_at + interval '1 day') AS until) e
    CROSS JOIN LATERAL (
        SELECT s.since - interval '1 microsecond' AS ts, 0::float8 AS percent WHERE s.is_first
        UNION ALL SELECT s.since, s.percent
        UNION ALL SELECT i.ts, s.percent FROM (
            SELECT generate_series(date_bin('10 minutes', s.since, '2000-01-01 00:00+00') + interval '10 minutes',
                e.until - interval '2 microseconds', '10 minutes') AS ts
            UNION SELECT generate_series(
                date_bin('1 minute', greatest(s.since, now() - interval '1 hour'), '2000-01-01 00:00+00')
                    + interval '1 minute',
                e.until - interval '2 microseconds', '1 minute')) i
        UNION ALL SELECT e.until - interval '1 microsecond', s.percent
        WHERE e.until - interval '1 microsecond' > s.since) p
WHERE s.percent IS NOT NULL AND s.since < coalesce(r.ended_at + interval '1 day', 'infinity');
COMMENT ON VIEW flagscope.bi_ramp IS
    'for BI tools: the share that each rollout serves over time, as points of a line with steps: at each change and '
    'just before it, every 10 minutes between, every minute of the last hour, and now; until a day after its end';
COMMENT ON COLUMN flagscope.bi_ramp.ts IS 'time of the point';
COMMENT ON COLUMN flagscope.bi_ramp.rollout_id IS 'the rollout';
COMMENT ON COLUMN flagscope.bi_ramp.flag IS 'key of the flag';
COMMENT ON COLUMN flagscope.bi_ramp.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.bi_ramp.treatment IS 'variant that is rolled out';
COMMENT ON COLUMN flagscope.bi_ramp.control IS 'variant that it is compared with';
COMMENT ON COLUMN flagscope.bi_ramp.percent IS
    'share of users that was to be served the treatment, 0 to 100; 0 before the start, after a rollback and while the '
    'flag is disabled';

CREATE VIEW flagscope.bi_decision WITH (security_invoker = true) AS
SELECT d.at AS ts, d.id AS decision_id, d.rollout_id, d.flag, d.environment, d.action::text AS action, d.shadow,
    _flagscope.decision_severity(d.action::text, d.shadow, d.actor = 'flagscope') AS severity,
    _flagscope.decision_title(d.action::text, d.shadow, d.from_percent, d.to_percent) AS title, d.reason,
    d.from_status::text AS from_status, d.to_status::text AS to_status, d.from_percent::float8 AS from_percent,
    d.to_percent::float8 AS to_percent, d.from_stage, d.to_stage, d.guardrail_id, d.rule ->> 'name' AS guardrail,
    d.rule ->> 'metric' AS metric, e.measure, e.estimate, e.lower, e.upper,
    (d.evidence ->> 'n_treatment')::bigint AS n_treatment, (d.evidence ->> 'n_control')::bigint AS n_control,
    d.actor, d.actor = 'flagscope' AS automatic, d.session_role
FROM flagscope.decision d CROSS JOIN LATERAL _flagscope.shown_effect(d.evidence) e;
COMMENT ON VIEW flagscope.bi_decision IS
    'for BI tools: each decision with its reason and the numbers that it was based on; annotations of a chart';
COMMENT ON COLUMN flagscope.bi_decision.ts IS 'when it took effect';
COMMENT ON COLUMN flagscope.bi_decision.decision_id IS 'number of the decision: explain_decision() tells all of it';
COMMENT ON COLUMN flagscope.bi_decision.rollout_id IS 'the rollout';
COMMENT ON COLUMN flagscope.bi_decision.flag IS 'key of the flag';
COMMENT ON COLUMN flagscope.bi_decision.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.bi_decision.action IS
    'start, advance, approve, pause, resume, complete, warn, hold, step_back, rollback or disable';
COMMENT ON COLUMN flagscope.bi_decision.shadow IS 'true: a shadow rule would have acted; nothing was changed';
COMMENT ON COLUMN flagscope.bi_decision.severity IS 'info, warning or critical (a guardrail rolled back or disabled)';
COMMENT ON COLUMN flagscope.bi_decision.title IS 'what was done, in a few words';
COMMENT ON COLUMN flagscope.bi_decision.reason IS 'why, in words';
COMMENT ON COLUMN flagscope.bi_decision.from_status IS 'status of the rollout before';
COMMENT ON COLUMN flagscope.bi_decision.to_status IS 'status of the rollout after';
COMMENT ON COLUMN flagscope.bi_decision.from_percent IS 'share of users served before, 0 to 100';
COMMENT ON COLUMN flagscope.bi_decision.to_percent IS 'share of users served after, 0 to 100';
COMMENT ON COLUMN flagscope.bi_decision.from_stage IS 'stage before; 0: none yet';
COMMENT ON COLUMN flagscope.bi_decision.to_stage IS 'stage after';
COMMENT ON COLUMN flagscope.bi_decision.guardrail_id IS 'the guardrail that wanted it; NULL: a person or the ramp';
COMMENT ON COLUMN flagscope.bi_decision.guardrail IS 'its name';
COMMENT ON COLUMN flagscope.bi_decision.metric IS 'name of its metric';
COMMENT ON COLUMN flagscope.bi_decision.measure IS 'what was estimated, as in bi_guardrail; NULL: nothing';
COMMENT ON COLUMN flagscope.bi_decision.estimate IS 'the estimate when it was decided';
COMMENT ON COLUMN flagscope.bi_decision.lower IS 'lower end of its interval';
COMMENT ON COLUMN flagscope.bi_decision.upper IS 'upper end of its interval';
COMMENT ON COLUMN flagscope.bi_decision.n_treatment IS 'data points of the treatment that it was based on';
COMMENT ON COLUMN flagscope.bi_decision.n_control IS 'data points of the control';
COMMENT ON COLUMN flagscope.bi_decision.actor IS 'who decided, as stated by the caller';
COMMENT ON COLUMN flagscope.bi_decision.automatic IS 'true: a guardrail or the ramp decided, no person';
COMMENT ON COLUMN flagscope.bi_decision.session_role IS 'the role that was logged in';

CREATE VIEW flagscope.bi_guardrail WITH (security_invoker = true) AS
SELECT coalesce(s.evaluated_at, r.started_at) AS ts, r.id AS rollout_id, g.flag, g.environment, g.id AS guardrail_id,
    g.name AS guardrail, g.metric, m.kind::text AS kind, m.unit, g.comparison::text AS comparison, g.test::text AS test,
    g.action::text AS action, g.shadow, coalesce(s.state::text, 'not_enough') AS state,
    coalesce(nullif(s.reason, ''), 'not evaluated yet') AS reason,
    CASE WHEN g.test = 'anomaly' THEN 'score' ELSE (e.shown).measure END AS measure,
    CASE WHEN g.test = 'anomaly' THEN s.value ELSE (e.shown).estimate END AS estimate, (e.shown).lower, (e.shown).upper,
    _flagscope.tolerated(g, s, m, (e.shown).measure) AS tolerated, coalesce(s.margin, s.margin_absolute) AS margin,
    s.n_treatment, s.n_control, s.log_e, s.max_log_e, CASE g.test WHEN 'sequential' THEN ln(1 / s.alpha) END AS line,
    s.state_since AS since, s.last_data_at, _flagscope.whose_words(g.scope::text, g.variants) AS watches
FROM (
    SELECT DISTINCT ON (x.flag, x.environment) x.* FROM flagscope.rollout x WHERE x.status <> 'draft'
    ORDER BY x.flag, x.environment, x.id DESC) r
    JOIN flagscope.guardrail g ON g.flag = r.flag AND g.environment = r.environment AND g.enabled
    JOIN flagscope.metric_definition m ON m.name = g.metric
    LEFT JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id AND s.rollout_id = r.id
    -- Once for each guardrail, and only if an estimate is asked for.
    CROSS JOIN LATERAL (SELECT _flagscope.shown_effect(CASE WHEN s.guardrail_id IS NOT NULL THEN
        _flagscope.effect(g, s, m, (SELECT o FROM flagscope.rollout o WHERE o.id = r.id)) END) AS shown OFFSET 0) e
-- Of a rollout that is over only those that were in it.
WHERE s.guardrail_id IS NOT NULL OR r.status IN ('running', 'paused', 'held');
COMMENT ON VIEW flagscope.bi_guardrail IS
    'for BI tools: each guardrail in the last rollout of its flag: verdict, and the estimate beside what is tolerated';
COMMENT ON COLUMN flagscope.bi_guardrail.ts IS 'when it was last judged';
COMMENT ON COLUMN flagscope.bi_guardrail.rollout_id IS 'the last rollout of the flag that was started';
COMMENT ON COLUMN flagscope.bi_guardrail.flag IS 'key of the flag';
COMMENT ON COLUMN flagscope.bi_guardrail.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.bi_guardrail.guardrail_id IS 'number of the guardrail';
COMMENT ON COLUMN flagscope.bi_guardrail.guardrail IS 'its name';
COMMENT ON COLUMN flagscope.bi_guardrail.metric IS 'name of its metric';
COMMENT ON COLUMN flagscope.bi_guardrail.kind IS 'proportion, mean, quantile, rate or ratio';
COMMENT ON COLUMN flagscope.bi_guardrail.unit IS 'UCUM unit of the metric''s values';
COMMENT ON COLUMN flagscope.bi_guardrail.comparison IS
    'control: against the control at the same time; baseline: against the control''s past; absolute: against a limit';
COMMENT ON COLUMN flagscope.bi_guardrail.test IS 'sequential, threshold or anomaly';
COMMENT ON COLUMN flagscope.bi_guardrail.action IS 'what happens when it is breached';
COMMENT ON COLUMN flagscope.bi_guardrail.shadow IS 'true: it never acts and never holds the ramp';
COMMENT ON COLUMN flagscope.bi_guardrail.state IS 'verdict, as the type data_state: ok, breached, ...';
COMMENT ON COLUMN flagscope.bi_guardrail.reason IS 'why, in words';
COMMENT ON COLUMN flagscope.bi_guardrail.measure IS
    'what estimate is: odds_ratio, rate_ratio or quantile_ratio p95 (treatment by control), difference (of means), '
    'share, rate or stage_quantile beside a limit, share_above (a limit), window (the value of a threshold), score (of '
    'an anomaly); NULL: there is no estimate';
COMMENT ON COLUMN flagscope.bi_guardrail.estimate IS 'the estimate; NULL: the data do not tell';
COMMENT ON COLUMN flagscope.bi_guardrail.lower IS
    'lower end of its interval, valid at every look (of a window: one look, 95 %)';
COMMENT ON COLUMN flagscope.bi_guardrail.upper IS 'upper end of its interval';
COMMENT ON COLUMN flagscope.bi_guardrail.tolerated IS
    'the worst value of estimate that is tolerated, a line in a chart; NULL where it follows what the control is now '
    '(a relative margin of a mean, an absolute margin of a share)';
COMMENT ON COLUMN flagscope.bi_guardrail.margin IS
    'margin that is tested, a share of the control''s value or in the metric''s unit; NULL beside a limit';
COMMENT ON COLUMN flagscope.bi_guardrail.n_treatment IS 'data points of the treatment so far';
COMMENT ON COLUMN flagscope.bi_guardrail.n_control IS 'data points of the control so far';
COMMENT ON COLUMN flagscope.bi_guardrail.log_e IS 'evidence now: natural log of the e-value';
COMMENT ON COLUMN flagscope.bi_guardrail.max_log_e IS 'the most evidence that there ever was';
COMMENT ON COLUMN flagscope.bi_guardrail.line IS
    'max_log_e at which it is breached (alone; several may be breached together before); NULL: no sequential test';
COMMENT ON COLUMN flagscope.bi_guardrail.since IS 'since when it is in this state';
COMMENT ON COLUMN flagscope.bi_guardrail.last_data_at IS 'when it last saw data of what it watches';
COMMENT ON COLUMN flagscope.bi_guardrail.watches IS
    'whose values it reads: "with the treatment", "with variant "beta"", or "in the environment" (all rows); the '
    'columns of the treatment are of these';

CREATE VIEW flagscope.bi_health WITH (security_invoker = true) AS
SELECT coalesce(h.since, now()) AS ts, CASE WHEN x.id IS NULL THEN 'system' ELSE 'rollout' END AS scope,
    CASE WHEN x.id IS NULL THEN h.name ELSE 'acting' END AS name, h.state, h.detail, x.id AS rollout_id, r.flag,
    r.environment, NULL::bigint AS n_treatment, NULL::bigint AS n_control, NULL::float8 AS expected
FROM flagscope.health h CROSS JOIN LATERAL (SELECT substring(h.name FROM '^rollout (\d+)$')::bigint AS id) x
    LEFT JOIN flagscope.rollout r ON r.id = x.id
UNION ALL
SELECT coalesce(h.last_at, r.stage_started_at, r.created_at), 'rollout', h.rule::text,
    CASE h.state WHEN 'ok' THEN 'ok' ELSE 'warning' END, h.reason, r.id, r.flag, r.environment,
    CASE WHEN h.rule <> 'traffic' THEN h.n_treatment END, CASE WHEN h.rule IN ('split', 'rows') THEN h.n_control END,
    CASE WHEN h.rule IN ('split', 'rows') THEN h.expected END
FROM flagscope.rollout_health h JOIN flagscope.rollout r ON r.id = h.rollout_id;
COMMENT ON VIEW flagscope.bi_health IS
    'for BI tools: is judging working, and are users of each rollout split as configured';
COMMENT ON COLUMN flagscope.bi_health.ts IS
    'since when, or of ok when it was last seen; of the rules of a rollout: last exposure, else begin of its stage';
COMMENT ON COLUMN flagscope.bi_health.scope IS 'system or rollout';
COMMENT ON COLUMN flagscope.bi_health.name IS
    'judging, locks, maintenance, outbox; of a rollout: acting (can it be decided on), split, crossing, '
    'traffic, rows';
COMMENT ON COLUMN flagscope.bi_health.state IS 'ok, warning or critical: somebody must act now';
COMMENT ON COLUMN flagscope.bi_health.detail IS 'what is wrong, or what was seen, in words';
COMMENT ON COLUMN flagscope.bi_health.rollout_id IS 'the rollout; NULL: the system';
COMMENT ON COLUMN flagscope.bi_health.flag IS 'key of its flag';
COMMENT ON COLUMN flagscope.bi_health.environment IS 'key of its environment';
COMMENT ON COLUMN flagscope.bi_health.n_treatment IS
    'of split: subjects first seen in the treatment; of crossing: subjects that went back to the control; of rows: '
    'rows of the treatment';
COMMENT ON COLUMN flagscope.bi_health.n_control IS
    'of split: subjects first seen in the control; of rows: rows of the control';
COMMENT ON COLUMN flagscope.bi_health.expected IS
    'of split and rows: how many subjects or rows the configured shares would have given the treatment';
