-- replay(): what a decision was made on, computed anew.

CREATE FUNCTION flagscope.replay(decision_id bigint)
RETURNS TABLE (part text, guardrail text, at timestamptz, variant text, n_treatment bigint, events_treatment bigint[],
    n_control bigint, events_control bigint[], value float8, stored float8, recomputed float8)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'stratum', d.rule ->> 'name', x.at, NULL, x.n_treatment, x.events_treatment, x.n_control, x.events_control,
        NULL::float8, x.log_e_stored, x.log_e_recomputed
    FROM _flagscope.require_decision(replay.decision_id) d, _flagscope.replay_evidence(d.id) x
    UNION ALL
    SELECT 'point', d.rule ->> 'name', x.at, x.variant, x.n, NULL, NULL, NULL, x.value, x.score_stored,
        x.score_recomputed
    FROM _flagscope.require_decision(replay.decision_id) d, _flagscope.replay_anomaly(d.id) x
    UNION ALL
    SELECT 'together', x.guardrail, NULL, NULL, NULL, NULL, NULL, NULL, x.alpha, x.log_e_stored, x.log_e_recomputed
    FROM _flagscope.replay_joint(replay.decision_id) x
    UNION ALL
    (SELECT 'sum', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, x.sum_stored, x.sum_recomputed
     FROM _flagscope.replay_joint(replay.decision_id) x LIMIT 1);
$$;
COMMENT ON FUNCTION flagscope.replay(bigint) IS
    'what a decision was made on, computed anew: stored and recomputed must agree. part says what a row is. '
    'stratum: log e of the guardrail''s evidence up to a stratum, from the counts in evaluation; point: of an anomaly, '
    'value and score of a point, of the flag (variant empty) or the treatment; together: of several guardrails that '
    'were decided on together, log e of each, with value its alpha; sum: alpha e of all of these, which is acted on '
    'from 1';
