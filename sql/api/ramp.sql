-- The ramp: what a verdict does to a rollout, and when a stage may be left.

CREATE FUNCTION flagscope._stage_values(g flagscope.guardrail, r flagscope.rollout, m flagscope.metric, variant text) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE m.kind
        WHEN 'proportion' THEN to_jsonb(sum(v.events)::float8 / nullif(sum(v.n), 0)::float8)
        WHEN 'mean' THEN to_jsonb(flagscope.mean(flagscope.rollup(v.moments)))
        ELSE to_jsonb(flagscope.quantile(flagscope.rollup(v.histogram),
            CASE WHEN g.quantile IS NULL THEN '{0.5,0.9,0.95,0.99}' ELSE ARRAY[g.quantile] END)) END
    FROM flagscope.variant_rollup v
    WHERE v.flag = g.flag AND v.environment = g.environment AND v.metric = g.metric AND v.variant = _stage_values.variant
        AND v.bucket >= flagscope._bucket_of(r.stage_started_at);
END;
COMMENT ON FUNCTION flagscope._stage_values(flagscope.guardrail, flagscope.rollout, flagscope.metric, text) IS
    'what a variant looked like since the present stage began, from its first bucket on: rate, mean, or the tested quantiles';

CREATE FUNCTION flagscope._odds_ratio(g flagscope.guardrail, r flagscope.rollout, since timestamptz, alpha float8) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT jsonb_build_object('estimate', x.estimate, 'low', x.low, 'high', x.high)
    FROM (
        SELECT array_agg(e.n_treatment ORDER BY e.at) AS nt, array_agg(e.events_treatment[1] ORDER BY e.at) AS yt,
            array_agg(e.n_control ORDER BY e.at) AS nc, array_agg(e.events_control[1] ORDER BY e.at) AS yc
        FROM flagscope.evaluation e
        WHERE e.guardrail_id = g.id AND e.rollout_id = r.id AND e.guardrail_version = g.version AND e.at >= since
    ) a, LATERAL flagscope.odds_ratio(a.nt, a.yt, a.nc, a.yc, alpha) x;
END;
COMMENT ON FUNCTION flagscope._odds_ratio(flagscope.guardrail, flagscope.rollout, timestamptz, float8) IS
    'odds ratio of a proportion against control over all strata, with its anytime-valid interval';

CREATE FUNCTION flagscope._evidence(g flagscope.guardrail, r flagscope.rollout) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'state', s.state, 'verdict', s.reason, 'test', g.test, 'comparison', g.comparison, 'metric', g.metric,
        'kind', m.kind, 'unit', nullif(m.unit, ''), 'limit', g.limit_value, 'value', s.value,
        'margin', s.margin,
        'since', flagscope._bucket_of(r.stage_started_at),
        'stage_treatment', flagscope._stage_values(g, r, m, r.treatment),
        'stage_control', flagscope._stage_values(g, r, m, r.control),
        'n_treatment', s.n_treatment, 'n_control', s.n_control))
    || CASE g.test WHEN 'sequential' THEN jsonb_build_object('log_e', s.log_e, 'line', ln(1 / s.alpha), 'alpha', s.alpha,
            'events_treatment', s.events_treatment, 'events_control', s.events_control) ELSE '{}' END
    || CASE WHEN m.kind = 'proportion' AND g.comparison = 'control'
            THEN jsonb_build_object('odds_ratio', flagscope._odds_ratio(g, r, s.since, s.alpha)) ELSE '{}' END
    FROM flagscope.guardrail_status s JOIN flagscope.metric m ON m.name = g.metric
    WHERE s.guardrail_id = g.id AND s.rollout_id = r.id;
END;
COMMENT ON FUNCTION flagscope._evidence(flagscope.guardrail, flagscope.rollout) IS 'a guardrail''s numbers as they go into a decision';

CREATE FUNCTION flagscope._evidence_if_possible(g flagscope.guardrail, r flagscope.rollout) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN flagscope._evidence(g, r);
EXCEPTION WHEN OTHERS THEN
    RETURN jsonb_build_object('error', SQLERRM);
END $$;
COMMENT ON FUNCTION flagscope._evidence_if_possible(flagscope.guardrail, flagscope.rollout) IS
    'the evidence, or why it could not be put together: this must not delay the action';

CREATE FUNCTION flagscope._is_due(action flagscope.action, status flagscope.rollout_status) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN action IN ('hold', 'step_back') THEN status = 'running'
                WHEN action = 'pause' THEN status IN ('running', 'held')
                ELSE status IN ('running', 'paused', 'held') END;
END;
COMMENT ON FUNCTION flagscope._is_due(flagscope.action, flagscope.rollout_status) IS
    'would a guardrail''s action still change a rollout of that status';

CREATE FUNCTION flagscope._act_on_breaches(r flagscope.rollout, at timestamptz) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    work record;
    decision_id bigint;
    acted boolean := false;
    decided integer := 0;
BEGIN
    FOR work IN
        SELECT g, s.reason, g.shadow OR (g.action = 'warn') AS only_told
        FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
        WHERE s.rollout_id = r.id AND s.state = 'breached' AND g.enabled AND flagscope._is_due(g.action, r.status)
            AND NOT EXISTS (SELECT FROM flagscope.decision d WHERE d.rollout_id = r.id AND d.guardrail_id = g.id
                AND d.guardrail_version = g.version AND d.action = g.action AND d.shadow = g.shadow AND d.at >= s.breached_at)
        -- Warnings and shadow verdicts first, since they speak of the rollout as it is; then the most severe action alone.
        ORDER BY only_told DESC, g.action DESC, s.max_log_e DESC, g.id
    LOOP
        EXIT WHEN acted;
        acted := NOT work.only_told;
        decision_id := flagscope._decide(r.id, (work.g).action, 'flagscope', concat_ws(': ', nullif((work.g).name, (work.g).metric), work.reason), at,
            (work.g).id, (work.g).shadow, flagscope._evidence_if_possible(work.g, r));
        decided := decided + (decision_id IS NOT NULL)::integer;
    END LOOP;
    RETURN decided;
END $$;
COMMENT ON FUNCTION flagscope._act_on_breaches(flagscope.rollout, timestamptz) IS
    'the most severe action among breached guardrails, once; returns the number of decisions';

CREATE FUNCTION flagscope.ramp_gate(rollout_id bigint, at timestamptz DEFAULT clock_timestamp()) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE
        WHEN r.status <> 'running' THEN 'the rollout is ' || r.status
        WHEN waiting.name IS NOT NULL THEN format('%s: %s: %s', waiting.name, waiting.state, waiting.reason)
        WHEN at < r.stage_started_at + s.min_duration THEN
            format('stage %s lasts until %s UTC', r.stage, to_char((r.stage_started_at + s.min_duration) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'))
        WHEN s.approval_needed AND s.approved_at IS NULL THEN format('stage %s waits for approve_stage(%s)', r.stage, r.id)
        WHEN s.min_sample > 0 AND NOT watched.yes THEN 'no guardrail counts the sample that the stage asks for'
        END
    FROM flagscope.rollout r
    JOIN flagscope.rollout_stage s ON s.rollout_id = r.id AND s.ordinal = r.stage
    CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM flagscope.guardrail g
        WHERE g.flag = r.flag AND g.environment = r.environment AND g.enabled AND NOT g.shadow) AS yes) watched
    LEFT JOIN LATERAL (
        SELECT g.name, coalesce(st.state, 'not_enough') AS state, coalesce(st.reason, 'not evaluated yet') AS reason
        FROM flagscope.guardrail g
        LEFT JOIN flagscope.guardrail_status st ON st.guardrail_id = g.id AND st.rollout_id = r.id
        WHERE g.flag = r.flag AND g.environment = r.environment AND g.enabled AND NOT g.shadow
            AND st.state IS DISTINCT FROM 'ok'
        ORDER BY st.state = 'breached' DESC, g.id LIMIT 1
    ) waiting ON true
    WHERE r.id = ramp_gate.rollout_id;
END;
COMMENT ON FUNCTION flagscope.ramp_gate(bigint, timestamptz) IS
    'why a rollout does not advance now, in words; NULL when every gate is clear (the next tick advances it)';

CREATE FUNCTION flagscope._may_move(r flagscope.rollout, at timestamptz) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM flagscope.guardrail_status s WHERE s.rollout_id = r.id AND s.state = 'breached')
        OR (r.status = 'running' AND at >= r.stage_started_at + (SELECT s.min_duration FROM flagscope.rollout_stage s
            WHERE s.rollout_id = r.id AND s.ordinal = r.stage));
END $$;
COMMENT ON FUNCTION flagscope._may_move(flagscope.rollout, timestamptz) IS
    'can this tick move the rollout at all: a cheap look before ramp_gate()';

CREATE FUNCTION flagscope._ramp(at timestamptz) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r flagscope.rollout;
    decided integer;
    total integer := 0;
BEGIN
    FOR r IN SELECT * FROM flagscope.rollout x WHERE x.status IN ('running', 'paused', 'held')
        AND flagscope._may_move(x, at) ORDER BY x.id
    LOOP
        CONTINUE WHEN r.problem IS NULL AND flagscope.ramp_gate(r.id, at) IS NOT NULL AND NOT EXISTS (
            SELECT FROM flagscope.guardrail_status s WHERE s.rollout_id = r.id AND s.state = 'breached');
        -- Decides on what is, not on what was when the loop began; and waits for nobody: the next tick looks again.
        SELECT x.* INTO r FROM flagscope.rollout x JOIN flagscope.flag_state s ON s.flag = x.flag AND s.environment = x.environment
        WHERE x.id = r.id AND x.status IN ('running', 'paused', 'held') FOR NO KEY UPDATE OF x, s SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        BEGIN
            decided := flagscope._act_on_breaches(r, at);
            IF decided = 0 AND r.status = 'running' AND flagscope.ramp_gate(r.id, at) IS NULL THEN
                PERFORM flagscope._decide(r.id, 'advance', 'flagscope',
                    format('every gate of stage %s (%s %%) is clear', r.stage, trim_scale(flagscope._percent(r.id, r.stage))), at);
                decided := 1;
            END IF;
            total := total + decided;
            UPDATE flagscope.rollout x SET problem = NULL WHERE x.id = r.id AND x.problem IS NOT NULL;
        EXCEPTION WHEN OTHERS THEN
            UPDATE flagscope.rollout x SET problem = SQLERRM WHERE x.id = r.id AND x.problem IS DISTINCT FROM SQLERRM;
            IF FOUND THEN  -- once, not at every tick
                RAISE WARNING USING ERRCODE = SQLSTATE, MESSAGE = format('rollout %s could not be decided: %s', r.id, SQLERRM);
            END IF;
        END;
    END LOOP;
    RETURN total;
END $$;
COMMENT ON FUNCTION flagscope._ramp(timestamptz) IS
    'acts on breaches and advances what is clear, each rollout in a subtransaction of its own; returns the number of decisions';

CREATE TYPE flagscope.tick_result AS (at timestamptz, strata integer, guardrails integer, decisions integer, milliseconds float8);
COMMENT ON TYPE flagscope.tick_result IS 'what a tick did: strata consumed, guardrails evaluated, decisions made';

-- Numbers go through JSON on their way to verdict and evidence: with the digits of the caller's session they might be
-- others than those in the tables.
CREATE FUNCTION flagscope.tick(at timestamptz DEFAULT clock_timestamp()) RETURNS flagscope.tick_result
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1 SET lock_timeout = '1s'
AS $$
DECLARE
    started timestamptz := clock_timestamp();
    strata flagscope.stratum[];
    result flagscope.tick_result;
BEGIN
    IF at IS NULL OR NOT isfinite(at) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('a tick needs a finite time, got "%s"', coalesce(at::text, 'NULL'));
    END IF;
    -- Exactly one tick at a time in this database; another caller returns at once with NULL. A table lock, since an
    -- advisory lock could be taken, and the judgement thereby stopped, by any role that may connect.
    BEGIN
        LOCK TABLE flagscope.tick_state IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;
    EXCEPTION WHEN lock_not_available THEN
        RETURN NULL;
    END;
    PERFORM flagscope._tie_late_traces();
    strata := flagscope._consume_deltas();
    result.at := at;
    result.strata := cardinality(strata);
    result.guardrails := flagscope._evaluate_guardrails(strata, at);
    result.decisions := flagscope._ramp(at);
    PERFORM flagscope._maintain_when_due(at);
    result.milliseconds := 1000 * extract(epoch FROM clock_timestamp() - started);
    UPDATE flagscope.tick_state s SET ticks = s.ticks + 1, last_tick_at = at, last_tick_ms = result.milliseconds,
        last_tick_by = coalesce(nullif(current_setting('application_name'), ''), session_user)
    WHERE result.strata > 0 OR result.decisions > 0 OR s.last_tick_at IS NULL OR s.last_tick_at NOT BETWEEN at - interval '10 seconds' AND at;
    RETURN result;
END $$;
COMMENT ON FUNCTION flagscope.tick(timestamptz) IS
    'one round of judgement: compaction, guardrails, ramp, decisions, maintenance; the worker calls it, any client or pg_cron may; NULL while another tick runs';
