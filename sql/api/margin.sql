-- The margin that a service's own noise needs: how much more than by sampling two arms differ that are served alike.

COMMENT ON FUNCTION _flagscope.noise(text, text, float8, text, boolean) IS
    'the noise between minutes of two arms that were alike, and the margin that it needs '
    '(src/core/guardrail/noise.rs): a cursor of minutes, kind, quantile, harm, is the rule against the control; '
    'of several quantiles the largest; no row before there are two minutes';

CREATE FUNCTION flagscope.suggest_margin(guardrail_id bigint, since timestamptz,
    until timestamptz DEFAULT clock_timestamp(),
    OUT minutes integer, OUT noise float8, OUT design_effect float8, OUT margin float8)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    g flagscope.guardrail := _flagscope.require_guardrail(guardrail_id);
    m flagscope.metric_definition;
    minutes_of_arms CURSOR FOR
        SELECT date_bin('1 minute', b.bucket, 'epoch') AS at, b.variant = r.treatment AS treated,
            ROW(NULL, NULL, NULL, NULL, _flagscope.bounded(sum(b.n)), _flagscope.bounded(sum(b.events)),
                flagscope.rollup(b.moments), flagscope.rollup(b.histogram), max(b.last_ts),
                NULL)::_flagscope.stratum AS state
        FROM flagscope.rollout r
            JOIN flagscope.variant_rollup b
                ON b.flag = g.flag AND b.environment = g.environment AND b.metric = g.metric
                    AND b.variant IN (r.treatment, r.control) AND b.bucket >= since AND b.bucket < until
        WHERE r.id = (SELECT max(o.id)
            FROM flagscope.rollout o WHERE o.flag = g.flag AND o.environment = g.environment AND o.started_at < until)
        GROUP BY 1, 2;
BEGIN
    SELECT * INTO m FROM flagscope.metric_definition x WHERE x.name = g.metric;
    since := _flagscope.computable(since);
    until := _flagscope.computable(until);
    OPEN minutes_of_arms;
    SELECT x.minutes, x.noise, x.design_effect, greatest(x.margin, _flagscope.setting_number('guardrail.margin.'
        || CASE g.comparison WHEN 'baseline' THEN 'baseline' ELSE _flagscope.margin_setting(m.kind::text) END))
    INTO minutes, noise, design_effect, margin
    FROM _flagscope.noise(minutes_of_arms::text, m.kind::text, g.quantile, m.harm::text, g.comparison = 'control') x;
    CLOSE minutes_of_arms;
END $$;
COMMENT ON FUNCTION flagscope.suggest_margin(bigint, timestamptz, timestamptz) IS
    'the margin that a service''s own noise needs, from a period in which both variants were alike (an A/A rollout, '
    'a shadow guardrail): noise is the sd of the log ratio of the arms between minutes beyond sampling, design_effect '
    'how many times the variance of sampling alone theirs is, margin twice the noise, at least the default; '
    'of a quantile guardrail without a quantile the largest of the four that it tests, minutes without ten values '
    'beyond a quantile not counted; above 1, which no guardrail takes, the metric is too noisy to guard a rollout; '
    'NULL before there are two minutes';
