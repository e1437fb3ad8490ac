-- Guardrails together: harm that several of them show though none has shown enough of it by itself.
--
-- A guardrail alone acts when its share of the error budget times its e-value, alpha_i E_i, reaches 1 (weighted Bonferroni).
-- Here the sum over a rollout's guardrails does, which is to say that the weighted mean of their e-values reaches 1 / alpha:
-- never later, and earlier where they agree. Why both together keep to the budget:
--
-- * W = the sum of alpha_j E_j over all evidence that ever began in the rollout + what is left of its alpha. It begins at
--   alpha. Evidence that begins, at first or anew, takes alpha_j from what is left and stands at E_j = 1 (take_alpha,
--   renew); evidence that ends stays in W at its last value. Both leave W as it is: only strata move it. Copies are inside
--   of E_j (src/core/stats/process.rs). E_j is its value now: a mean of maxima would be no e-process.
-- * A sum of nonnegative supermartingales in one filtration is one, whatever they have to do with each other (Vovk and Wang
--   2021, E-values: calibration, combination and applications, Annals of Statistics 49, arXiv 1912.06116; Wang and Ramdas
--   2022, False discovery rate control with e-values, arXiv 2009.02824). So by Ville's inequality W ever reaches 1 in a
--   healthy rollout with a chance of alpha at most. A line of one guardrail and the sum of some of them are both at most W.
-- * One filtration: what all guardrails have weighed at the ends of ticks. Evidence of which rows wait (for the other arm, or
--   after an error) while others have weighed theirs is late: in that filtration it is no supermartingale (Choe and Ramdas
--   2024, arXiv 2402.09698), but its conditional mean, waiting rows included, is, and is equal to it when nothing waits. So it
--   counts when nothing of it waits, and as 0 otherwise, which is less. A line of its own is only ever reached when it has
--   just been weighed, when nothing waits. Metrics that are counted later than others (is_polled: queries, conversion
--   windows) are never known to be level: they have their own line alone, which adds their alpha to the bound of the rest.
--   That rows come, and wait, must not depend on what is in them, as everywhere (pair). After a long stop of the ticks
--   (consume_deltas takes 100,000 deltas at a time, in the order written) the metrics of one statement may be split by a tick.
-- * Shadow guardrails have no share, and warnings spend theirs more than once (rearm_warnings): neither counts.

CREATE FUNCTION _flagscope.joint_parts(r flagscope.rollout)
RETURNS TABLE (g flagscope.guardrail, s flagscope.guardrail_status, part float8, together float8, place bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- A part below 1 cannot overflow: one at 1 has reached its own line. exp() raises where it would underflow.
    WITH counted AS (
        SELECT g, s, exp(least(greatest(s.log_e + ln(s.alpha), -700), 0)) AS part
        FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id JOIN flagscope.metric_definition m ON m.name = g.metric
        WHERE s.rollout_id = r.id AND g.enabled AND g.test = 'sequential' AND NOT g.shadow AND g.action <> 'warn'
            AND s.state NOT IN ('breached', 'error') AND s.failures = 0 AND s.waiting_treatment IS NULL AND s.waiting_control IS NULL
            AND NOT _flagscope.is_polled(m) AND (r.status <> 'completed' OR g.comparison <> 'control')
            AND s.log_e < 'Infinity' AND s.alpha > 0
    )
    SELECT c.g, c.s, c.part, sum(c.part) OVER least_first, row_number() OVER least_first
    FROM counted c WINDOW least_first AS (ORDER BY c.part, (c.g).id DESC ROWS UNBOUNDED PRECEDING);
$$;
COMMENT ON FUNCTION _flagscope.joint_parts(flagscope.rollout) IS
    'the guardrails of a rollout whose e-values count together now, least first: part is alpha e, together the sum of it and of all that say less';

CREATE FUNCTION _flagscope.joint_reason(names text[], compared flagscope.comparison[], log_mean float8, line float8, log_e float8) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('%s together are worse than %s: the weighted mean of their e-values reached the line (ln %s of %s); %s the most (ln e %s)',
        concat_ws(' and ', nullif(array_to_string(names[:cardinality(names) - 1], ', '), ''), names[cardinality(names)]),
        concat_ws(' and ', CASE WHEN 'control' = ANY (compared) THEN 'control' END, CASE WHEN 'control' <> ANY (compared) THEN 'their limits' END),
        trim_scale(round(log_mean::numeric, 2)), trim_scale(round(line::numeric, 2)), names[1], trim_scale(round(log_e::numeric, 2)));
$$;
COMMENT ON FUNCTION _flagscope.joint_reason(text[], flagscope.comparison[], float8, float8, float8) IS
    'a joint breach in words: the guardrails that it took, the greatest part first, and the ln e of that one';

CREATE FUNCTION _flagscope.joint_breaches(r flagscope.rollout, at timestamptz) RETURNS TABLE (guardrail_id bigint, evidence_id bigint, joint jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- The greatest part is to blame; and of what is left without it the next one, as long as that reaches 1, too: it would
    -- act at once after a resume.
    WITH p AS MATERIALIZED (SELECT * FROM _flagscope.joint_parts(r))
    SELECT (b.g).id, (b.s).evidence_id, jsonb_build_object('at', at, 'sum', b.together, 'log_mean', ln(b.together / r.alpha), 'line', -ln(r.alpha),
        'alpha', r.alpha, 'reason', _flagscope.joint_reason(x.names, x.compared, ln(b.together / r.alpha), -ln(r.alpha), (b.s).log_e), 'parts', x.parts)
    FROM p b, LATERAL (
        -- Named are those that it took: the greatest, up to the one with which they reach 1.
        SELECT array_agg(n.name ORDER BY o.place DESC) FILTER (WHERE b.together - o.together < 1) AS names,
            array_agg((o.g).comparison ORDER BY o.place DESC) FILTER (WHERE b.together - o.together < 1) AS compared,
            jsonb_agg(jsonb_strip_nulls(jsonb_build_object('guardrail', n.name, 'guardrail_id', (o.g).id, 'version', (o.g).version,
                'log_e', (o.s).log_e, 'alpha', (o.s).alpha, 'part', o.part, 'evidence_id', (o.s).evidence_id, 'last_stratum', (o.s).last_stratum,
                'metric', (o.g).metric, 'test', (o.g).test, 'comparison', (o.g).comparison, 'quantile', (o.g).quantile, 'design_effect', (o.g).design_effect,
                'margin', (o.s).margin, 'margin_absolute', (o.s).margin_absolute, 'limit_value', (o.s).limit_value)) ORDER BY o.place DESC) AS parts
        FROM p o, LATERAL (SELECT coalesce(nullif((o.g).name, ''), (o.g).metric)) n(name) WHERE o.place <= b.place) x
    WHERE b.together >= 1;
$$;
COMMENT ON FUNCTION _flagscope.joint_breaches(flagscope.rollout, timestamptz) IS
    'the guardrails to blame when those of a rollout together reach the line: as a rule one; with what goes into guardrail_status.joint';

CREATE FUNCTION _flagscope.judge_together(rollouts bigint[], at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r flagscope.rollout;
BEGIN
    -- First a bound from one table: hardly any rollout passes.
    FOR r IN
        SELECT x.* FROM flagscope.rollout x WHERE _flagscope.is_watched(x, at) AND x.id IN (
            SELECT s.rollout_id FROM flagscope.guardrail_status s
            WHERE s.rollout_id = ANY (rollouts) AND s.state <> 'breached' AND s.log_e < 'Infinity' AND s.alpha > 0
            GROUP BY s.rollout_id HAVING sum(exp(least(greatest(s.log_e + ln(s.alpha), -700), 0))) >= 1)
        ORDER BY x.id
    LOOP
        BEGIN
            WITH free AS (
                -- Never over what somebody is changing, and never waiting for him: the next tick with data looks again.
                SELECT f.guardrail_id, b.joint FROM _flagscope.joint_breaches(r, at) b JOIN flagscope.guardrail_status f
                    ON f.rollout_id = r.id AND f.guardrail_id = b.guardrail_id AND f.evidence_id = b.evidence_id
                FOR NO KEY UPDATE OF f SKIP LOCKED
            ), breached AS (
                UPDATE flagscope.guardrail_status s SET state = 'breached', state_since = at, breached_at = at, joint = f.joint, reason = f.joint ->> 'reason'
                FROM free f WHERE s.rollout_id = r.id AND s.guardrail_id = f.guardrail_id AND s.state NOT IN ('breached', 'error')
                RETURNING s.evidence_id, s.last_stratum
            )
            UPDATE flagscope.evaluation e SET state = 'breached' FROM breached b
            WHERE e.evidence_id = b.evidence_id AND e.stratum = b.last_stratum AND e.at = judge_together.at;
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING USING ERRCODE = SQLSTATE, MESSAGE = _flagscope.message('the guardrails of rollout %s could not be judged together: %s', r.id, SQLERRM);
        END;
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.judge_together(bigint[], timestamptz) IS
    'breaches of several guardrails together: where the sum of alpha e over those of a rollout reaches 1 while none does, the one with the greatest part is breached';
