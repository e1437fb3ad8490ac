-- The margin that a service's own noise needs: how much more than by sampling two arms differ that are served alike.

CREATE FUNCTION _flagscope.log_half_width(histogram flagscope.histogram, p float8, se float8) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (ln(nullif(greatest(flagscope.quantile(histogram, p + se), 0), 0)) - ln(nullif(greatest(flagscope.quantile(histogram, p - se), 0), 0))) / 2;
COMMENT ON FUNCTION _flagscope.log_half_width(flagscope.histogram, float8, float8) IS
    'half of Woodruff''s interval of a quantile (JASA 1952): from the order statistics one standard error of the rank below and above, of logs; NULL unless both are positive';

CREATE FUNCTION _flagscope.arm_minutes(g flagscope.guardrail, m flagscope.metric_definition, since timestamptz, until timestamptz)
RETURNS TABLE (p float8, at timestamptz, treated boolean, x float8, v float8)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH minute AS (
        SELECT date_bin('1 minute', b.bucket, 'epoch') AS at, b.variant = r.treatment AS treated, sum(b.n)::float8 AS n, sum(b.events)::float8 AS y,
            flagscope.rollup(b.moments) AS moments, flagscope.rollup(b.histogram) AS histogram
        FROM flagscope.rollout r JOIN flagscope.variant_rollup b ON b.flag = g.flag AND b.environment = g.environment AND b.metric = g.metric
            AND b.variant IN (r.treatment, r.control) AND b.bucket >= since AND b.bucket < until
        WHERE r.id = (SELECT max(o.id) FROM flagscope.rollout o WHERE o.flag = g.flag AND o.environment = g.environment AND o.started_at < until)
        GROUP BY 1, 2
    ), quantiles AS (
        -- Not of minutes with fewer than ten values beyond the quantile. One minute's half width rests on few order statistics,
        -- and would be small where the quantile is off by chance: each arm's is the mean of all its minutes (simulated, 100
        -- and 900 values a minute: noise 0.016 instead of 0.039 at p90 where there is none).
        SELECT l.p, k.at, k.treated, ln(nullif(greatest(flagscope.quantile(k.histogram, l.p), 0), 0)) AS x,
            avg(sqrt(k.n) * _flagscope.log_half_width(k.histogram, l.p, sqrt(l.p * (1 - l.p) / k.n))) OVER (PARTITION BY l.p, k.treated) ^ 2 / k.n
                + (ln(2) / 32) ^ 2 / 12 AS v  -- a quantile is known to its bin
        FROM minute k, unnest(CASE WHEN g.quantile IS NULL THEN '{0.5,0.9,0.95,0.99}' ELSE ARRAY[g.quantile] END::float8[]) l(p)
        WHERE m.kind = 'quantile' AND k.n * least(l.p, 1 - l.p) >= 10
    )
    SELECT * FROM quantiles
    UNION ALL
    -- With half an event added (Haldane).
    SELECT NULL, k.at, k.treated, CASE m.kind
            WHEN 'proportion' THEN ln((k.y + 0.5) / (k.n - k.y + 0.5))
            WHEN 'rate' THEN ln((k.y + 0.5) / nullif(coalesce(flagscope.sum(k.moments), k.n), 0))
            WHEN 'mean' THEN ln(nullif(greatest(flagscope.mean(k.moments), 0), 0))
            WHEN 'ratio' THEN ln(nullif(greatest(flagscope.sum(k.moments), 0), 0) / nullif(k.n, 0)) END,
        CASE m.kind
            WHEN 'proportion' THEN 1 / (k.y + 0.5) + 1 / (k.n - k.y + 0.5)
            WHEN 'rate' THEN 1 / (k.y + 0.5)
            WHEN 'mean' THEN flagscope.variance(k.moments) / (k.n * nullif(flagscope.mean(k.moments), 0) ^ 2)
            WHEN 'ratio' THEN ((_flagscope.ratio_end(k.moments, 1::float8, 1::float8) - _flagscope.ratio_end(k.moments, 1::float8, 0::float8)) / nullif(flagscope.sum(k.moments), 0)) ^ 2 END
    FROM minute k WHERE m.kind <> 'quantile';
$$;
COMMENT ON FUNCTION _flagscope.arm_minutes(flagscope.guardrail, flagscope.metric_definition, timestamptz, timestamptz) IS
    'log of a metric''s value (of the odds for a proportion) by arm and minute, with its sampling variance; quantile metrics at each quantile that the guardrail tests';

CREATE FUNCTION _flagscope.default_margin(g flagscope.guardrail, m flagscope.metric_definition) RETURNS float8
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT _flagscope.setting_number('guardrail.margin.' || CASE WHEN g.comparison = 'baseline' OR m.kind = 'ratio' THEN 'baseline' ELSE m.kind::text END);
END;
COMMENT ON FUNCTION _flagscope.default_margin(flagscope.guardrail, flagscope.metric_definition) IS 'setting guardrail.margin.* of a guardrail';

CREATE FUNCTION _flagscope.margin_of_noise(g flagscope.guardrail, m flagscope.metric_definition, noise float8) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- A mean that must not fall is tested against (1 - margin) times the control's, everything else by a factor of 1 + margin.
RETURN CASE WHEN m.kind = 'mean' AND m.harm = 'decrease' AND g.comparison = 'control' THEN 1 - exp(-2 * noise) ELSE exp(2 * noise) - 1 END;
COMMENT ON FUNCTION _flagscope.margin_of_noise(flagscope.guardrail, flagscope.metric_definition, float8) IS
    'twice the noise, a standard deviation of logs, as the margin that the guardrail''s test means (statistics.md 9)';

CREATE FUNCTION flagscope.suggest_margin(guardrail_id bigint, since timestamptz, until timestamptz DEFAULT clock_timestamp(),
    OUT minutes integer, OUT noise float8, OUT design_effect float8, OUT margin float8)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    g flagscope.guardrail := _flagscope.require_guardrail(guardrail_id);
    m flagscope.metric_definition;
BEGIN
    SELECT * INTO m FROM flagscope.metric_definition x WHERE x.name = g.metric;
    since := _flagscope.computable(since);
    until := _flagscope.computable(until);
    -- DerSimonian and Laird's moment estimate (1986) of the variance between minutes beyond sampling.
    WITH pair AS (
        SELECT a.p, max(a.x) FILTER (WHERE a.treated) - max(a.x) FILTER (WHERE NOT a.treated) AS d, 1 / sum(a.v) AS w
        FROM _flagscope.arm_minutes(g, m, since, until) a WHERE a.x IS NOT NULL AND a.v > 0 GROUP BY a.p, a.at HAVING count(*) = 2
    ), total AS (
        SELECT p, count(*)::integer AS k, sum(w) AS w, sum(w * w) AS ww, sum(w * d) / sum(w) AS mean, sum(w * d * d) AS wdd FROM pair GROUP BY p
    ), moment AS (
        SELECT p, k, wdd - w * mean ^ 2 AS q, sqrt(greatest((wdd - w * mean ^ 2 - (k - 1)) / nullif(w - ww / w, 0), 0)) AS tau FROM total WHERE k >= 2
    )
    SELECT k, tau, greatest(q / (k - 1), 1), greatest(_flagscope.margin_of_noise(g, m, tau), _flagscope.default_margin(g, m))
    INTO minutes, noise, design_effect, margin FROM moment ORDER BY tau DESC, q / (k - 1) DESC, p LIMIT 1;
END $$;
COMMENT ON FUNCTION flagscope.suggest_margin(bigint, timestamptz, timestamptz) IS
    'the margin that a service''s own noise needs, from a period in which both variants were alike (an A/A rollout, a shadow guardrail): noise is the sd of the log ratio of the arms between minutes beyond sampling, design_effect how many times the variance of sampling alone theirs is, margin twice the noise, at least the default; of a quantile guardrail without a quantile the largest of the four that it tests, minutes without ten values beyond a quantile not counted; above 1, which no guardrail takes, the metric is too noisy to guard a rollout; NULL before there are two minutes';
