-- The ramp: which actions follow from verdicts, and when a rollout may leave its stage.

CREATE FUNCTION _flagscope.stage_values(g flagscope.guardrail, r flagscope.rollout,
    m flagscope.metric_definition, variants text[])
RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN _flagscope.looks_back(m.kind::text)
        THEN to_jsonb(flagscope.quantile(flagscope.rollup(v.histogram), _flagscope.tested_levels(g.quantile)))
        ELSE to_jsonb(_flagscope.metric_value(m, NULL, sum(v.n)::bigint, sum(v.events)::bigint,
            flagscope.rollup(v.moments), NULL)) END
    FROM flagscope.variant_rollup v
    WHERE v.flag = g.flag AND v.environment = g.environment AND v.metric = g.metric AND v.variant = ANY (variants)
        AND v.bucket >= _flagscope.bucket_of(r.stage_started_at);
END;
COMMENT ON FUNCTION _flagscope.stage_values(flagscope.guardrail, flagscope.rollout,
    flagscope.metric_definition, text[]) IS
    'value of variants since the present stage began, from its first bucket on: '
    'share, mean, rate, ratio, or the tested quantiles';

CREATE FUNCTION _flagscope.evidence(g flagscope.guardrail, r flagscope.rollout) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'state', s.state, 'verdict', s.reason, 'test', g.test,
        'comparison', CASE WHEN s.carries_on THEN 'baseline' ELSE g.comparison END, 'metric', g.metric,
        'kind', m.kind, 'unit', nullif(m.unit, ''), 'limit_value', coalesce(s.limit_value, s.alarm_score),
        'value', s.value, 'margin', s.margin, 'margin_absolute', s.margin_absolute,
        'since', _flagscope.bucket_of(r.stage_started_at),
        'stage_treatment', _flagscope.stage_values(g, r, m, _flagscope.watched(g, r.treatment)),
        'stage_control', CASE g.scope WHEN 'flag' THEN _flagscope.stage_values(g, r, m, ARRAY[r.control]) END,
        'n_treatment', s.n_treatment,
        'n_control', s.n_control))
    || CASE g.test WHEN 'sequential' THEN jsonb_build_object('log_e', s.log_e, 'max_log_e', s.max_log_e,
            'line', ln(1 / s.alpha), 'alpha', s.alpha, 'alpha_left', r.alpha_left,
            'design_effect', coalesce(g.design_effect, s.design_effect),
            'independence', _flagscope.dependence_words(g, s),
            'events_treatment', s.events_treatment, 'events_control', s.events_control) ELSE '{}' END
    || CASE WHEN g.test = 'sequential' AND s.information <> '{}' THEN coalesce((
            SELECT jsonb_strip_nulls(jsonb_build_object('smallest_effect', p.smallest, 'safe_margin', s.safe_margin,
                'safe_log_e', s.safe_log_e, 'safe_line', -ln(r.alpha),
                'refuted_margin', CASE WHEN s.safe_log_e >= -ln(r.alpha) AND g.comparison = 'control'
                    AND NOT s.carries_on THEN s.safe_margin END))
            FROM _flagscope.sees(m.kind::text, m.harm::text, g.quantile, s.alpha, s.margin, s.margin_absolute,
                s.limit_value, s.centre, s.information, 1.5::float8) p), '{}') ELSE '{}' END
    || CASE WHEN s.joint IS NOT NULL THEN jsonb_build_object('joint', s.joint) ELSE '{}' END
    || CASE g.test
        WHEN 'anomaly' THEN
            coalesce((SELECT jsonb_strip_nulls(jsonb_build_object('point', p.at, 'score', p.score, 'value', p.value,
                    'usual', p.usual, 'beside', CASE p.variant WHEN '' THEN 'past' ELSE 'control' END,
                    'counted_since', CASE g.scope WHEN 'flag'
                        THEN _flagscope.counts_since(r, s.since, p.at) ELSE greatest(r.started_at, s.since) END))
                    FROM _flagscope.anomaly_point p
                    WHERE p.guardrail_id = g.id AND p.at = s.point AND p.variant IN ('', r.treatment)
                    -- Of the two series the one that was judged.
                    ORDER BY p.score IS NOT DISTINCT FROM s.value DESC, p.variant DESC LIMIT 1), '{}')
        ELSE '{}' END
    || _flagscope.effect(g, s, m, r)
    FROM flagscope.guardrail_status s JOIN flagscope.metric_definition m ON m.name = g.metric
    WHERE s.guardrail_id = g.id AND s.rollout_id = r.id;
END;
COMMENT ON FUNCTION _flagscope.evidence(flagscope.guardrail, flagscope.rollout) IS
    'a guardrail''s numbers as stored with a decision';

CREATE FUNCTION _flagscope.evidence_if_possible(g flagscope.guardrail, r flagscope.rollout) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN _flagscope.evidence(g, r);
EXCEPTION WHEN OTHERS THEN
    RETURN jsonb_build_object('error', SQLERRM);
END $$;
COMMENT ON FUNCTION _flagscope.evidence_if_possible(flagscope.guardrail, flagscope.rollout) IS
    'the evidence, or the error that prevented computing it, which must not delay the action';

CREATE FUNCTION _flagscope.is_due(action flagscope.action, status flagscope.rollout_status) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN action IN ('hold', 'step_back') THEN status = 'running'
                WHEN action = 'pause' THEN status IN ('running', 'held')
                ELSE status IN ('running', 'paused', 'held', 'completed') END;
END;
COMMENT ON FUNCTION _flagscope.is_due(flagscope.action, flagscope.rollout_status) IS
    'would a guardrail''s action still change a rollout of that status';

CREATE FUNCTION _flagscope.wanted(g flagscope.guardrail, state flagscope.data_state, status flagscope.rollout_status)
RETURNS flagscope.action
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    -- A completed rollout has no ramp to hold, pause or step back: only warn.
    SELECT CASE WHEN status = 'completed' AND x.action IN ('hold', 'pause', 'step_back') THEN 'warn' ELSE x.action END
    FROM (SELECT CASE WHEN state = 'breached' THEN g.action
        ELSE nullif(nullif(coalesce(g.on_state ->> state::text,
            -- A treatment that died reports no harm, and beside a control that did there is none to see.
            CASE WHEN state = 'silent' THEN CASE g.action WHEN 'warn' THEN 'warn' ELSE 'hold' END END),
            'wait'), 'ignore')::flagscope.action END) x(action);
END;
COMMENT ON FUNCTION _flagscope.wanted(flagscope.guardrail, flagscope.data_state, flagscope.rollout_status) IS
    'the action demanded by a guardrail in a state; NULL: none';

CREATE FUNCTION _flagscope.holds_ramp(g flagscope.guardrail, state flagscope.data_state) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE state WHEN 'ok' THEN false WHEN 'breached' THEN g.action <> 'warn'
        ELSE coalesce(g.on_state ->> state::text, 'wait') <> 'ignore' END;
END;
COMMENT ON FUNCTION _flagscope.holds_ramp(flagscope.guardrail, flagscope.data_state) IS
    'does the ramp wait for a guardrail in a state; a breach that only warns does not hold it';

CREATE FUNCTION _flagscope.was_done(s flagscope.guardrail_status, g flagscope.guardrail,
    action flagscope.action, at timestamptz)
RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM flagscope.decision d WHERE d.rollout_id = s.rollout_id AND d.guardrail_id = g.id
        AND d.guardrail_version = g.version AND d.action = was_done.action AND d.shadow = g.shadow
        AND ((d.evidence ->> 'state' = s.state::text AND CASE WHEN g.test = 'sequential' AND s.state = 'breached'
                THEN d.evidence_id = s.evidence_id ELSE d.at >= coalesce(s.breached_at, s.state_since) END)
            -- A state that flaps warns only once in a while.
            OR (action = 'warn' AND d.evidence ->> 'state' = s.state::text
                AND d.at > at - _flagscope.setting_interval('guardrail.rewarn_after') AND d.at <= at)));
$$;
COMMENT ON FUNCTION _flagscope.was_done(flagscope.guardrail_status, flagscope.guardrail,
    flagscope.action, timestamptz) IS
    'was a guardrail''s action for its present state decided already';

CREATE FUNCTION _flagscope.due_actions(r flagscope.rollout, at timestamptz)
RETURNS TABLE (g flagscope.guardrail, action flagscope.action, reason text, only_told boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF r.status = 'completed' AND (SELECT s.default_variant IS DISTINCT FROM r.treatment FROM flagscope.flag_state s
        WHERE s.flag = r.flag AND s.environment = r.environment) THEN
        RETURN;  -- somebody has chosen another default variant since: keep it
    END IF;
    RETURN QUERY
        SELECT g, w.action, s.reason, g.shadow OR w.action = 'warn' AS only_told
        FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id,
            LATERAL _flagscope.wanted(g, s.state, r.status) w(action)
        WHERE s.rollout_id = r.id AND s.state <> 'ok' AND g.enabled AND w.action IS NOT NULL
            AND _flagscope.is_due(w.action, r.status)
            AND (r.status <> 'completed' OR g.comparison <> 'control' OR s.carries_on)
            AND NOT _flagscope.was_done(s, g, w.action, at)
            AND NOT EXISTS (SELECT FROM flagscope.guardrail_status os
                JOIN flagscope.guardrail og ON og.id = os.guardrail_id,
                    LATERAL _flagscope.wanted(og, os.state, r.status) ow(action)
                WHERE os.rollout_id = r.id AND og.priority > g.priority AND og.enabled AND NOT og.shadow
                    AND ow.action <> 'warn'
                    AND (r.status <> 'completed' OR og.comparison <> 'control' OR os.carries_on)
                    -- It is about to act or has acted on the data of that time; later findings are new.
                    AND ((_flagscope.is_due(ow.action, r.status) AND NOT _flagscope.was_done(os, og, ow.action, at))
                        OR EXISTS (SELECT FROM flagscope.decision d
                            WHERE d.rollout_id = r.id AND d.guardrail_id = og.id AND NOT d.shadow AND d.action <> 'warn'
                                AND d.at >= greatest(coalesce(os.breached_at, os.state_since),
                                    coalesce(s.breached_at, s.state_since)))))
        -- Warnings and shadow verdicts first, because they describe the rollout before the action;
        -- then a single action.
        ORDER BY only_told DESC, g.priority DESC, w.action DESC, s.max_log_e DESC, g.id;
END $$;
COMMENT ON FUNCTION _flagscope.due_actions(flagscope.rollout, timestamptz) IS
    'the actions demanded by guardrails of a rollout and not taken yet: first warnings and shadow verdicts, '
    'then the most severe action among the guardrails of the highest priority';

CREATE FUNCTION _flagscope.act(r flagscope.rollout, at timestamptz) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    work record;
    decision_id bigint;
    acted boolean := false;
    decided integer := 0;
BEGIN
    FOR work IN SELECT * FROM _flagscope.due_actions(r, at) LOOP
        EXIT WHEN acted;
        acted := NOT work.only_told;
        decision_id := _flagscope.decide(r.id, work.action, 'flagscope',
            concat_ws(': ', nullif((work.g).name, (work.g).metric), work.reason), at, (work.g).id, (work.g).shadow,
            _flagscope.evidence_if_possible(work.g, r));
        decided := decided + (decision_id IS NOT NULL)::integer;
    END LOOP;
    RETURN decided;
END $$;
COMMENT ON FUNCTION _flagscope.act(flagscope.rollout, timestamptz) IS
    'takes the actions demanded by guardrails, each once: all warnings and shadow verdicts, and one action, '
    'the most severe among the guardrails of the highest priority that demand one; returns the number of decisions';

CREATE FUNCTION _flagscope.proven(r flagscope.rollout) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(g.name, ', ' ORDER BY g.priority DESC, g.id)
    FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
    WHERE s.rollout_id = r.id AND s.state = 'breached' AND g.enabled AND NOT g.shadow AND g.test = 'sequential'
        AND g.action <> 'warn';
$$;
COMMENT ON FUNCTION _flagscope.proven(flagscope.rollout) IS
    'the guardrails whose sequential evidence has proven harm and which do more than warn; NULL: none';

CREATE FUNCTION _flagscope.ramp_obstacle(rollout_id bigint, at timestamptz)
RETURNS TABLE (kind text, reason text)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT said[1], said[2] FROM (SELECT CASE
        WHEN r.id IS NULL THEN
            ARRAY['status', (_flagscope.require_rollout(ramp_obstacle.rollout_id)).status::text]  -- raises
        WHEN r.status IN ('held', 'paused') THEN
            ARRAY['status', format('the rollout is %s: %s', r.status, (SELECT d.reason FROM flagscope.decision d
                WHERE d.rollout_id = r.id AND NOT d.shadow AND d.to_status = r.status
                    AND d.action IN ('hold', 'step_back', 'pause')
                ORDER BY d.id DESC LIMIT 1))
            || CASE WHEN r.status = 'held' AND r.cooldown IS NOT NULL AND _flagscope.proven(r) IS NOT NULL THEN
                format('. The cooldown does not heal proven harm: resume_rollout(%s) or rollback_rollout(%s)',
                    r.id, r.id) ELSE '' END]
        WHEN r.status <> 'running' THEN ARRAY['status', 'the rollout is ' || r.status]
        WHEN NOT served.enabled THEN ARRAY['status', 'the flag is disabled: nobody is served the treatment']
        -- Before the guardrails that lack its data: it is why they do.
        WHEN waiting.state IS DISTINCT FROM 'breached' AND _flagscope.silent_nodes() IS NOT NULL THEN
            ARRAY['node', _flagscope.silent_nodes()]
        WHEN waiting.name IS NOT NULL THEN
            ARRAY['guardrail', format('%s: %s: %s', waiting.name, waiting.state, waiting.reason)]
        WHEN unwell.rule IS NOT NULL THEN ARRAY['health', format('health: %s: %s', unwell.rule, unwell.reason)]
        WHEN at < r.stage_started_at + s.min_duration THEN
            ARRAY['time', format('stage %s lasts until %s', r.stage,
                _flagscope.utc(r.stage_started_at + s.min_duration))]
        WHEN old.words IS NOT NULL THEN ARRAY['fresh', format('%s: waits for fresh data: %s', old.name, old.words)]
        WHEN unsure.words IS NOT NULL THEN ARRAY[unsure.gate, unsure.words]
        WHEN s.approval_needed AND s.approved_at IS NULL THEN
            ARRAY['approval', format('stage %s waits for approve_stage(%s)', r.stage, r.id)]
        WHEN s.min_sample > 0 AND NOT watched.yes THEN
            ARRAY['sample', 'no guardrail counts the sample that the stage demands']
        -- Once each, and only of what nothing else keeps.
        ELSE coalesce(
            (SELECT ARRAY['freeze', f.words]
                FROM (SELECT _flagscope.frozen(r.flag, r.environment, at) OFFSET 0) f(words) WHERE f.words IS NOT NULL),
            (SELECT ARRAY['limit', e.words] FROM (SELECT _flagscope.exhausted(r, at) OFFSET 0) e(words)
                WHERE e.words IS NOT NULL)) END
    FROM (SELECT ramp_obstacle.rollout_id AS id) asked LEFT JOIN flagscope.rollout r ON r.id = asked.id
    LEFT JOIN flagscope.rollout_stage s ON s.rollout_id = r.id AND s.ordinal = r.stage
    LEFT JOIN flagscope.flag_state served ON served.flag = r.flag AND served.environment = r.environment
    CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM flagscope.guardrail g
        WHERE g.flag = r.flag AND g.environment = r.environment AND g.enabled AND NOT g.shadow) AS yes) watched
    LEFT JOIN LATERAL (SELECT h.rule, h.reason
        FROM flagscope.rollout_health h WHERE h.rollout_id = r.id AND h.state <> 'ok'
        ORDER BY h.rule LIMIT 1) unwell ON true
    LEFT JOIN LATERAL (
        SELECT g.name, coalesce(st.state, 'not_enough') AS state,
            coalesce(nullif(st.reason, ''), 'not evaluated yet') AS reason
        FROM flagscope.guardrail g
        LEFT JOIN flagscope.guardrail_status st ON st.guardrail_id = g.id AND st.rollout_id = r.id
        WHERE g.flag = r.flag AND g.environment = r.environment AND g.enabled AND NOT g.shadow
            AND _flagscope.holds_ramp(g, coalesce(st.state, 'not_enough'))
        ORDER BY st.state = 'breached' DESC, g.priority DESC, g.id LIMIT 1
    ) waiting ON true
    LEFT JOIN LATERAL (
        SELECT g.name, f.words
        FROM flagscope.guardrail g
            JOIN flagscope.guardrail_status st ON st.guardrail_id = g.id AND st.rollout_id = r.id,
            LATERAL _flagscope.not_fresh(st.rhythm_treatment,
                CASE WHEN g.comparison = 'control' AND NOT st.carries_on THEN st.rhythm_control END,
                coalesce(g.stale_after, _flagscope.setting_interval('guardrail.stale_after')), at,
                _flagscope.of_whom(g.scope::text, g.variants)) f(words)
        WHERE r.status = 'running' AND g.flag = r.flag AND g.environment = r.environment AND g.enabled AND NOT g.shadow
            AND st.state = 'ok' AND coalesce(g.on_state ->> 'stale', 'wait') <> 'ignore' AND f.words IS NOT NULL
        ORDER BY g.priority DESC, g.id LIMIT 1
    ) old ON true
    LEFT JOIN LATERAL (
        -- Asked last, and only of what could go on.
        SELECT u.gate, u.words FROM _flagscope.unsure(r, at) u
        WHERE r.status = 'running' AND waiting.name IS NULL AND at >= r.stage_started_at + s.min_duration
        OFFSET 0
    ) unsure ON true OFFSET 0) x(said)
    WHERE said IS NOT NULL;
END;
COMMENT ON FUNCTION _flagscope.ramp_obstacle(bigint, timestamptz) IS
    'why a rollout does not advance now: kind: status, node, guardrail, health, time, fresh, power, safe, approval, '
    'sample, freeze or limit; reason: in words; no row: every gate is clear';

CREATE FUNCTION flagscope.ramp_gate(rollout_id bigint, at timestamptz DEFAULT clock_timestamp()) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT o.reason FROM _flagscope.ramp_obstacle(rollout_id, at) o;
END;
COMMENT ON FUNCTION flagscope.ramp_gate(bigint, timestamptz) IS
    'why a rollout does not advance now, as text; NULL: every gate is clear, and the next tick advances it';

CREATE FUNCTION _flagscope.wants_action(r flagscope.rollout) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- In plpgsql, because that caches the plan; an SQL function was planned again for each rollout.
    RETURN EXISTS (SELECT FROM flagscope.guardrail_status s WHERE s.rollout_id = r.id AND s.state = 'breached')
        OR EXISTS (SELECT FROM flagscope.rollout_health h
            WHERE h.rollout_id = r.id AND _flagscope.is_untold(h))
        -- OFFSET 0 makes the planner go from the rollout to its rules. A plain join scanned all rules for every rollout
        -- (200 rollouts with 1,000 rules: 200 ms a tick).
        OR EXISTS (SELECT FROM flagscope.guardrail_status s,
                LATERAL (SELECT g FROM flagscope.guardrail g
                        WHERE g.id = s.guardrail_id AND g.enabled AND (g.on_state <> '{}' OR s.state = 'silent')
                        OFFSET 0) x
            WHERE s.rollout_id = r.id AND s.state NOT IN ('ok', 'breached')
                AND _flagscope.wanted(x.g, s.state, r.status) IS NOT NULL);
END $$;
COMMENT ON FUNCTION _flagscope.wants_action(flagscope.rollout) IS 'can some guardrail of a rollout demand an action';

CREATE FUNCTION _flagscope.rests_until(r flagscope.rollout) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.at + r.cooldown FROM (
        SELECT d.* FROM flagscope.decision d
        WHERE d.rollout_id = r.id AND d.to_status = 'held' AND d.from_status <> 'held' AND NOT d.shadow
        ORDER BY d.id DESC LIMIT 1) d
    WHERE d.guardrail_id IS NOT NULL AND r.status = 'held'
        -- Time does not disprove harm: what a sequential test has proven waits for a person.
        AND NOT (d.rule ->> 'test' = 'sequential' AND d.evidence ->> 'state' = 'breached');
$$;
COMMENT ON FUNCTION _flagscope.rests_until(flagscope.rollout) IS
    'when a ramp held by a guardrail resumes by itself; NULL: a person or proven harm stopped it, '
    'or it has no cooldown';

CREATE FUNCTION _flagscope.may_resume(r flagscope.rollout, at timestamptz) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT at >= _flagscope.rests_until(r)
        AND (SELECT f.enabled FROM flagscope.flag_state f WHERE f.flag = r.flag AND f.environment = r.environment)
        AND _flagscope.frozen(r.flag, r.environment, at) IS NULL AND _flagscope.exhausted(r, at) IS NULL
        AND NOT EXISTS (SELECT FROM flagscope.rollout_health h WHERE h.rollout_id = r.id AND h.state <> 'ok')
        -- A threshold or an anomaly may have recovered; one that has not would hold the ramp again. Sequential evidence
        -- stays breached until a person resumes.
        AND NOT EXISTS (SELECT FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
            WHERE s.rollout_id = r.id AND s.state = 'breached' AND g.enabled AND NOT g.shadow AND g.action <> 'warn');
$$;
COMMENT ON FUNCTION _flagscope.may_resume(flagscope.rollout, timestamptz) IS
    'is the cooldown of a ramp that a guardrail held over, and is nothing breached any more';

CREATE FUNCTION _flagscope.may_move(at timestamptz) RETURNS SETOF flagscope.rollout
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- All at once: what tells is read once, and not for each rollout.
    RETURN QUERY SELECT r.* FROM flagscope.rollout r
    WHERE _flagscope.is_watched(r, may_move.at)
        AND (r.problem IS NOT NULL OR (r.status = 'held' AND r.cooldown IS NOT NULL)
            OR (r.status = 'running'
                AND may_move.at >= r.stage_started_at + (SELECT x.min_duration FROM flagscope.rollout_stage x
                    WHERE x.rollout_id = r.id AND x.ordinal = r.stage))
            OR EXISTS (SELECT FROM flagscope.rollout_health h
                WHERE h.rollout_id = r.id AND _flagscope.is_untold(h))
            OR EXISTS (SELECT FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
            WHERE s.rollout_id = r.id AND s.state <> 'ok'
                AND (s.state = 'breached' OR (g.enabled AND (g.on_state <> '{}' OR s.state = 'silent')))))
    ORDER BY r.id;
END $$;
COMMENT ON FUNCTION _flagscope.may_move(timestamptz) IS
    'the rollouts that this tick can move at all: a cheap check before ramp_gate()';

CREATE FUNCTION _flagscope.move(r flagscope.rollout, at timestamptz) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    decided integer := _flagscope.tell_health(r, at) + _flagscope.act(r, at);
BEGIN
    IF decided = 0 AND r.status = 'running' AND flagscope.ramp_gate(r.id, at) IS NULL THEN
        PERFORM _flagscope.decide(r.id, 'advance'::flagscope.action, 'flagscope',
            format('every gate of stage %s (%s %%) is clear', r.stage, trim_scale(_flagscope.percent(r.id, r.stage)))
                || coalesce('; ' || _flagscope.sure(r, at), ''),
            at, NULL::bigint, false, '{}'::jsonb);
        RETURN 1;
    ELSIF decided = 0 AND r.status = 'held' AND _flagscope.may_resume(r, at) THEN
        PERFORM _flagscope.decide(r.id, 'resume'::flagscope.action, 'flagscope',
            format('resumed after the cooldown of %s', r.cooldown), at, NULL::bigint,
            false, '{}'::jsonb);
        RETURN 1;
    END IF;
    RETURN decided;
END $$;
COMMENT ON FUNCTION _flagscope.move(flagscope.rollout, timestamptz) IS
    'makes this tick''s decisions on a rollout: actions of guardrails, else the next stage, else the end of the '
    'cooldown; returns the number of decisions';

CREATE FUNCTION _flagscope.ramp(at timestamptz) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    seen flagscope.rollout;
    r flagscope.rollout;
    total integer := 0;
BEGIN
    FOR seen IN SELECT * FROM _flagscope.may_move(at)
    LOOP
        CONTINUE WHEN NOT (seen.problem IS NOT NULL OR (seen.status = 'held' AND seen.cooldown IS NOT NULL)
            OR _flagscope.wants_action(seen) OR (seen.status = 'running' AND flagscope.ramp_gate(seen.id, at) IS NULL));
        -- Decide on the present row, not on the one that the loop began with;
        -- if it is locked, the next tick tries again.
        SELECT x.* INTO r
        FROM flagscope.rollout x JOIN flagscope.flag_state s ON s.flag = x.flag AND s.environment = x.environment
        WHERE x.id = seen.id AND _flagscope.is_watched(x, at) FOR NO KEY UPDATE OF x, s SKIP LOCKED;
        IF NOT FOUND THEN
            PERFORM _flagscope.note_locked(seen, at);
            CONTINUE;
        END IF;
        BEGIN
            total := total + _flagscope.move(r, at);
            UPDATE flagscope.rollout x SET problem = NULL WHERE x.id = r.id AND x.problem IS NOT NULL;
        EXCEPTION WHEN OTHERS THEN
            UPDATE flagscope.rollout x SET problem = SQLERRM WHERE x.id = r.id AND x.problem IS DISTINCT FROM SQLERRM;
            IF FOUND THEN  -- once, not at every tick
                RAISE WARNING USING ERRCODE = SQLSTATE,
                    MESSAGE = _flagscope.message('deciding on rollout %s failed: %s', r.id, SQLERRM);
            END IF;
        END;
    END LOOP;
    PERFORM _flagscope.tell_waits(at);
    RETURN total;
END $$;
COMMENT ON FUNCTION _flagscope.ramp(timestamptz) IS
    'acts on the guardrails'' states and advances rollouts whose gates are clear, each in a subtransaction of its own; '
    'then tells what keeps ramps waiting and which guardrails are without data (tell_waits); returns the number of '
    'decisions';
