-- What guardrails of this database weighed, a line of JSON each: strata as they were stored, what they were judged by,
-- and where each stood at the end. psql -XAtq -f tests/simulate/record.sql, after tests/simulate/rollouts.sql or a
-- regress test: so tests/data/strata/ was made, which suite core steps through again
-- (src/core/tests/guardrail_recorded.rs).
SET search_path = pg_catalog;
SET extra_float_digits = 1;
SELECT jsonb_strip_nulls(jsonb_build_object('guardrail', g.flag || '/' || g.name, 'metric', m.name, 'kind', m.kind,
    'harm', m.harm, 'cap', m.cap, 'unit', nullif(m.unit, ''), 'comparison', g.comparison, 'quantile', g.quantile,
    'design_effect', g.design_effect, 'alpha', s.alpha, 'margin', s.margin, 'margin_absolute', s.margin_absolute,
    'limit', s.limit_value, 'state', s.state, 'reason', s.reason, 'joint', s.joint ->> 'reason',
    'max_log_e', s.max_log_e))
    || jsonb_build_object('strata', (
        SELECT jsonb_agg(jsonb_build_array((extract(epoch FROM e.at - timestamptz '2000-01-01 00:00:00+00')
            * 1000000)::bigint,
            e.n_treatment, e.events_treatment, e.moments_treatment::text, e.n_control, e.events_control,
            e.moments_control::text, e.centre, e.begins_copy, e.log_e, e.state)
            ORDER BY e.stratum)
        FROM flagscope.evaluation e WHERE e.evidence_id = s.evidence_id))
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
    JOIN flagscope.metric_definition m ON m.name = g.metric
WHERE g.test = 'sequential' AND s.last_stratum > 0 AND s.last_stratum = (SELECT count(*) FROM flagscope.evaluation e
    WHERE e.evidence_id = s.evidence_id) AND s.failures = 0
ORDER BY g.id, s.rollout_id;
