-- What a notification says in words: a sentence, how loud it is, where to look. Its row of outbox has these beside the
-- fields.

CREATE FUNCTION _flagscope.decision_severity(action text, shadow boolean, automatic boolean) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN shadow THEN 'info'
    WHEN action IN ('rollback', 'disable') THEN CASE WHEN automatic THEN 'critical' ELSE 'warning' END
    WHEN action IN ('warn', 'hold', 'pause', 'step_back') THEN 'warning' ELSE 'info' END;
COMMENT ON FUNCTION _flagscope.decision_severity(text, boolean, boolean) IS
    'how loud a decision is: critical (a guardrail rolled back or disabled), warning (anything else that reduces or '
    'stops a ramp, or warns) or info; action, of a shadow rule, not by a person';

CREATE FUNCTION _flagscope.decision_title(action text, shadow boolean, from_percent numeric, to_percent numeric)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN concat(CASE WHEN shadow THEN 'would have been ' END,
    CASE action WHEN 'start' THEN 'started' WHEN 'advance' THEN 'advanced' WHEN 'approve' THEN 'approved'
        WHEN 'pause' THEN 'paused' WHEN 'resume' THEN 'resumed' WHEN 'complete' THEN 'completed'
        WHEN 'warn' THEN 'warned' WHEN 'hold' THEN 'held' WHEN 'step_back' THEN 'stepped back'
        WHEN 'rollback' THEN 'rolled back' WHEN 'disable' THEN 'disabled' ELSE replace(action, '_', ' ') END,
    CASE WHEN from_percent <> to_percent
        THEN format(', from %s %% to %s %%', trim_scale(from_percent), trim_scale(to_percent)) END);
COMMENT ON FUNCTION _flagscope.decision_title(text, boolean, numeric, numeric) IS
    'a decision in a few words: rolled back, from 25 % to 0 %; action, of a shadow rule, share before and after';

CREATE FUNCTION _flagscope.health_rule(d flagscope.decision) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- It tells itself by its name in the state: "stale traffic 1795341117".
    SELECT CASE WHEN d.action = 'warn' AND d.guardrail_id IS NULL
        THEN nullif(split_part(d.evidence ->> 'state', ' ', 2), '') END;
$$;
COMMENT ON FUNCTION _flagscope.health_rule(flagscope.decision) IS
    'the health rule that a decision warns of; NULL: it is no such warning';

CREATE FUNCTION _flagscope.health_name(rule text, flag text, environment text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN format('%s of %s in %s', rule, flag, environment);
COMMENT ON FUNCTION _flagscope.health_name(text, text, text) IS
    'what a warning of a health rule and its end have in common, so that a receiver closes what it opened';

CREATE FUNCTION _flagscope.decision_event(d flagscope.decision) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN _flagscope.health_rule(d) = 'traffic' THEN 'silent'
        -- A guardrail of which an arm fell silent, unless it took the treatment from users: that is told first.
        WHEN d.action IN ('warn', 'hold', 'pause') AND d.evidence ->> 'state' = 'silent' THEN 'silent'
        WHEN d.action = 'warn' THEN 'warning'
        ELSE replace(_flagscope.decision_title(d.action::text, false, 0::numeric, 0::numeric), ' ', '_') END;
$$;
COMMENT ON FUNCTION _flagscope.decision_event(flagscope.decision) IS
    'what a decision is for those who are told: started, advanced, approved, paused, resumed, completed, warning, '
    'silent (no exposures, or a guardrail of which an arm stopped, whether that warned, held or paused), held, '
    'stepped_back, rolled_back or disabled';

CREATE FUNCTION _flagscope.rollout_link(rollout_id bigint) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT replace(nullif(_flagscope.setting_text('message.link'), ''), '{rollout}', rollout_id::text) $$;
COMMENT ON FUNCTION _flagscope.rollout_link(bigint) IS
    'where to look at a rollout (setting message.link); NULL: nowhere';

CREATE FUNCTION _flagscope.message_fields(event text, severity text, sentence text, rollout_id bigint) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object('event', event, 'severity', severity, 'sentence', sentence,
        'link', _flagscope.rollout_link(rollout_id)));
$$;
COMMENT ON FUNCTION _flagscope.message_fields(text, text, text, bigint) IS
    'the fields that every notification has; without a link there is none';

CREATE FUNCTION _flagscope.decision_message(d flagscope.decision) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT _flagscope.message_fields(e.event,
        _flagscope.decision_severity(d.action::text, d.shadow, d.actor = 'flagscope'),
        concat(format('Rollout %s of flag "%s" in %s ', d.rollout_id, d.flag, d.environment), CASE
            WHEN d.action = 'warn' AND e.event = 'silent' AND NOT d.shadow THEN 'is silent'
            WHEN d.action = 'warn' AND NOT d.shadow THEN 'has a warning'
            WHEN d.action = 'approve' THEN format('was approved by %s', d.actor)
            ELSE concat(CASE WHEN d.shadow THEN '' ELSE 'was ' END,
                _flagscope.decision_title(d.action::text, d.shadow, 0::numeric, 0::numeric),
                CASE WHEN d.shadow THEN ' by a shadow rule' ELSE ' by ' || d.actor END,
                CASE WHEN d.from_percent <> d.to_percent AND NOT d.shadow THEN
                    format(', from %s %% to %s %% of users', trim_scale(d.from_percent), trim_scale(d.to_percent)) END)
            END, ': ' || nullif(d.reason, '')),
        d.rollout_id)
        || jsonb_strip_nulls(jsonb_build_object('name',
            _flagscope.health_name(_flagscope.health_rule(d), d.flag, d.environment)))
    FROM (SELECT _flagscope.decision_event(d) AS event) e;
$$;
COMMENT ON FUNCTION _flagscope.decision_message(flagscope.decision) IS
    'a decision for those who are told: event, severity, sentence, link; of a health rule''s warning also the name '
    'that its end has';

CREATE FUNCTION _flagscope.why_message(d flagscope.decision, finding text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT _flagscope.message_fields('why'::text, 'info'::text,
        format('Why rollout %s of flag "%s" in %s was %s: %s', d.rollout_id, d.flag, d.environment,
            _flagscope.decision_title(d.action::text, false, 0::numeric, 0::numeric),
            coalesce(finding, 'nothing was found')),
        d.rollout_id);
$$;
COMMENT ON FUNCTION _flagscope.why_message(flagscope.decision, text) IS
    'what was found out about a decision for those who are told; its first finding in words';

CREATE FUNCTION _flagscope.health_message(name text, state text, detail text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT _flagscope.message_fields(CASE state WHEN 'ok' THEN 'health_ok' ELSE 'health' END,
        CASE state WHEN 'ok' THEN 'info' ELSE 'critical' END,
        format('flagscope: %s is %s: %s', name, CASE state WHEN 'ok' THEN 'ok again' ELSE state END, detail),
        substring(name FROM '^rollout (\d+)$')::bigint);
$$;
COMMENT ON FUNCTION _flagscope.health_message(text, text, text) IS
    'a problem of the judging itself, or its end, for those who are told';

CREATE FUNCTION _flagscope.wait_message(w _flagscope.told_wait, state text, reason text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT _flagscope.message_fields(CASE WHEN state = 'ok' THEN 'over' WHEN w.what = 'approval' THEN 'approval_awaited'
            ELSE state END,
        CASE WHEN state = 'ok' OR w.what = 'approval' THEN 'info' ELSE 'warning' END,
        format('Rollout %s of flag "%s" in %s %s: %s', w.rollout_id, w.flag, w.environment, CASE
            WHEN state = 'ok' AND w.what = 'approval' THEN 'no longer waits for an approval'
            WHEN state = 'ok' AND w.what = 'no guardrail' THEN 'is no longer unguarded'
            WHEN state = 'ok' THEN format('no longer waits (%s)', w.what)
            WHEN w.what = 'approval' THEN 'waits for an approval'
            WHEN state = 'waiting' THEN format('waits (%s)', w.what)
            ELSE 'is unguarded' END, reason),
        w.rollout_id);
$$;
COMMENT ON FUNCTION _flagscope.wait_message(_flagscope.told_wait, text, text) IS
    'what keeps a ramp waiting, or no longer does, for those who are told: event approval_awaited, waiting, '
    'unguarded or over; severity, sentence, link';
