-- Guardrails together: harm that several of them show though none has shown enough of it by itself. Why that keeps to
-- the error budget stands in src/core/guardrail/together.rs, which names the ones to blame;
-- here they are loaded and stored.

COMMENT ON FUNCTION _flagscope.may_reach_together(float8[], float8[]) IS
    'can evidence reach the line together: does the sum of alpha e reach 1; log_e and alpha of each';
COMMENT ON FUNCTION _flagscope.blamed_together(text, float8, boolean) IS
    'the guardrails to blame when those of a cursor of open_guardrails() together reach the line, as a rule one: the '
    'sum of alpha e, the reason in words, and who makes up the sum with which part, the greatest first; '
    'alpha of the rollout, is it completed';

CREATE FUNCTION _flagscope.joint_breaches(r flagscope.rollout, at timestamptz)
RETURNS TABLE (guardrail_id bigint, evidence_id bigint, joint jsonb)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    guardrails refcursor := _flagscope.open_guardrails('{}'::_flagscope.stratum[], '{}'::_flagscope.pair[], 1,
        _flagscope.tick_setting(), at, r.id, NULL::bigint, false, '{}'::jsonb, 'not to be judged');
BEGIN
    RETURN QUERY
    SELECT b.guardrail_id, st.evidence_id,
        jsonb_build_object('at', at, 'sum', b.sum, 'log_mean', ln(b.sum / r.alpha), 'line', -ln(r.alpha),
            'alpha', r.alpha, 'reason', b.reason, 'parts', (
            SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('guardrail', coalesce(nullif(g.name, ''), g.metric),
                'guardrail_id', g.id, 'version', g.version, 'log_e', s.log_e, 'alpha', s.alpha,
                'part', b.parts[p.place], 'evidence_id', s.evidence_id, 'last_stratum', s.last_stratum,
                'metric', g.metric, 'test', g.test, 'comparison', j.comparison, 'quantile', j.quantile,
                'design_effect', coalesce(g.design_effect, s.design_effect), 'margin', s.margin,
                'margin_absolute', s.margin_absolute,
                'limit_value', s.limit_value))
                ORDER BY p.place)
            FROM unnest(b.members) WITH ORDINALITY p(id, place) JOIN flagscope.guardrail g ON g.id = p.id
                JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id AND s.rollout_id = r.id
                JOIN flagscope.metric_definition m ON m.name = g.metric,
                LATERAL (SELECT (x.g).comparison, (x.g).quantile
                    FROM (SELECT CASE WHEN s.carries_on THEN _flagscope.as_judged(g, m) ELSE g END) x(g)) j))
    FROM _flagscope.blamed_together(guardrails::text, r.alpha, r.status = 'completed') b
        JOIN flagscope.guardrail_status st ON st.guardrail_id = b.guardrail_id AND st.rollout_id = r.id;
    CLOSE guardrails;
END $$;
COMMENT ON FUNCTION _flagscope.joint_breaches(flagscope.rollout, timestamptz) IS
    'the guardrails to blame when those of a rollout together reach the line: as a rule one; '
    'with what goes into guardrail_status.joint';

CREATE FUNCTION _flagscope.judge_together(rollouts bigint[], at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r flagscope.rollout;
BEGIN
    -- First a bound from one table: hardly any rollout passes.
    FOR r IN
        SELECT x.* FROM flagscope.rollout x WHERE _flagscope.is_watched(x, at) AND x.id IN (
            SELECT s.rollout_id
            FROM flagscope.guardrail_status s WHERE s.rollout_id = ANY (rollouts) AND s.state <> 'breached'
            GROUP BY s.rollout_id HAVING _flagscope.may_reach_together(array_agg(s.log_e), array_agg(s.alpha)))
        ORDER BY x.id
    LOOP
        BEGIN
            WITH free AS (
                -- Never over what somebody is changing, and never waiting for him: the next tick with data looks again.
                SELECT f.guardrail_id, b.joint FROM _flagscope.joint_breaches(r, at) b JOIN flagscope.guardrail_status f
                    ON f.rollout_id = r.id AND f.guardrail_id = b.guardrail_id AND f.evidence_id = b.evidence_id
                FOR NO KEY UPDATE OF f SKIP LOCKED
            ), breached AS (
                UPDATE flagscope.guardrail_status s
                SET state = 'breached', state_since = at, breached_at = at, joint = f.joint,
                    reason = f.joint ->> 'reason'
                FROM free f
                WHERE s.rollout_id = r.id AND s.guardrail_id = f.guardrail_id AND s.state NOT IN ('breached', 'error')
                RETURNING s.evidence_id, s.last_stratum
            )
            UPDATE flagscope.evaluation e SET state = 'breached' FROM breached b
            WHERE e.evidence_id = b.evidence_id AND e.stratum = b.last_stratum AND e.at = judge_together.at;
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING USING ERRCODE = SQLSTATE,
                MESSAGE = _flagscope.message('the guardrails of rollout %s could not be judged together: %s',
                    r.id, SQLERRM);
        END;
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.judge_together(bigint[], timestamptz) IS
    'breaches of several guardrails together: where the sum of alpha e over those of a rollout reaches 1 while none '
    'does, the one with the greatest part is breached';
