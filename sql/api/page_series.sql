-- A guardrail's estimate over time for its page: as effect() would have said at some of its strata. Few points, since
-- each is computed from all that came before it.

CREATE FUNCTION _flagscope.unix_seconds(at timestamptz) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN isfinite(at) THEN extract(epoch FROM at) END;
COMMENT ON FUNCTION _flagscope.unix_seconds(timestamptz) IS 'a time as seconds since 1970, UTC; NULL: it has no end';

CREATE FUNCTION _flagscope.page_estimate(effect jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce((SELECT to_jsonb(e) - 'measure' FROM _flagscope.shown_effect(effect) e), '{}');
$$;
COMMENT ON FUNCTION _flagscope.page_estimate(jsonb) IS 'the estimate of an effect and the ends of its interval';

CREATE FUNCTION _flagscope.page_strata(evidence_id bigint)
RETURNS TABLE (nth bigint, stratum integer, at timestamptz, log_e float8, value float8)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- At most 24, fewer of very many; always with the last one.
    SELECT e.nth, e.stratum, e.at, e.log_e, e.value
    FROM (SELECT x.stratum, x.at, x.log_e, x.value, count(*) FILTER (WHERE _flagscope.has_counts(x)) OVER w AS nth,
            row_number() OVER w AS place, count(*) OVER () AS n
        FROM flagscope.evaluation x WHERE x.evidence_id = page_strata.evidence_id
            AND (_flagscope.has_counts(x) OR x.value IS NOT NULL) WINDOW w AS (ORDER BY x.stratum)) e,
        LATERAL (SELECT greatest(ceil(e.n / 24.0), ceil(e.n * e.n / 80000.0))::bigint AS every) k
    WHERE e.place % k.every = e.n % k.every ORDER BY e.place;
$$;
COMMENT ON FUNCTION _flagscope.page_strata(bigint) IS
    'strata of some evidence that a chart shows; nth: how many of those with counts there are up to each';

CREATE FUNCTION _flagscope.page_compared(s flagscope.guardrail_status, m flagscope.metric_definition)
RETURNS TABLE (at timestamptz, log_e float8, effect jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH cut AS (
        SELECT array_agg(c.nth::integer ORDER BY c.nth) AS counts, array_agg(c.at ORDER BY c.nth) AS times,
            array_agg(c.log_e ORDER BY c.nth) AS logs FROM _flagscope.page_strata(s.evidence_id) c
    )
    SELECT cut.times[x.place], cut.logs[x.place], x.effect
    FROM cut, LATERAL jsonb_array_elements(_flagscope.strata_effects(s.evidence_id, m.kind::text, m.cap, s.alpha,
        cut.counts)) WITH ORDINALITY x(effect, place);
$$;
COMMENT ON FUNCTION _flagscope.page_compared(flagscope.guardrail_status, flagscope.metric_definition) IS
    'what a guardrail had estimated against the control over time, but of quantiles';

CREATE FUNCTION _flagscope.page_limited(s flagscope.guardrail_status, m flagscope.metric_definition)
RETURNS TABLE (at timestamptz, log_e float8, effect jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.at, c.log_e, _flagscope.limited(m.kind::text, s.alpha, x.n, x.events, x.moments)
    FROM _flagscope.page_strata(s.evidence_id) c CROSS JOIN LATERAL (
        SELECT sum(e.n_treatment)::bigint AS n, sum(e.events_treatment[1])::bigint AS events,
            flagscope.rollup(e.moments_treatment) AS moments
        FROM flagscope.evaluation e WHERE e.evidence_id = s.evidence_id AND e.stratum <= c.stratum
            AND e.events_treatment <> '{}') x
    WHERE x.n IS NOT NULL;
$$;
COMMENT ON FUNCTION _flagscope.page_limited(flagscope.guardrail_status, flagscope.metric_definition) IS
    'what a guardrail had estimated beside its limit over time, but of quantiles';

CREATE FUNCTION _flagscope.page_histograms(g flagscope.guardrail, r flagscope.rollout, watched text[])
RETURNS TABLE (at timestamptz, treatment flagscope.histogram, control flagscope.histogram)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- 16 spans of the present stage, each with all that came before it: as stage_histogram() at its end.
    WITH bucket AS (
        SELECT v.bucket, v.variant = ANY (watched) AS is_watched, v.histogram
        FROM _flagscope.variant_states(g.flag, r.stage_started_at, CASE WHEN r.status = 'completed'
                AND g.comparison <> 'control' THEN 'infinity' ELSE coalesce(r.ended_at, 'infinity') END,
            -- A span of a long stage is wider than ten minutes.
            CASE WHEN coalesce(r.ended_at, clock_timestamp()) - r.stage_started_at > interval '160 minutes'
                THEN interval '10 minutes' ELSE interval '10 seconds' END, g.metric, g.environment) v
        WHERE v.variant = ANY (watched || r.control)
    ), span AS (
        SELECT min(b.bucket) AS since, greatest(max(b.bucket) - min(b.bucket), interval '10 seconds') AS length
        FROM bucket b
    ), part AS (
        SELECT least(16, 1 + floor(16 * extract(epoch FROM b.bucket - s.since) / extract(epoch FROM s.length)))
                AS place, flagscope.rollup(b.histogram) FILTER (WHERE b.is_watched) AS treatment,
            flagscope.rollup(b.histogram) FILTER (WHERE NOT b.is_watched) AS control
        FROM bucket b, span s GROUP BY 1
    )
    SELECT s.since + x.place * s.length / 16 + interval '10 seconds', flagscope.rollup(p.treatment),
        flagscope.rollup(p.control)
    FROM span s, generate_series(1, 16) x(place) JOIN part p ON p.place <= x.place
    GROUP BY x.place, s.since, s.length ORDER BY x.place;
$$;
COMMENT ON FUNCTION _flagscope.page_histograms(flagscope.guardrail, flagscope.rollout, text[]) IS
    'values of what a guardrail watches and of the control since the present stage began, up to 16 times';

CREATE FUNCTION _flagscope.page_quantiles(g flagscope.guardrail, s flagscope.guardrail_status,
    m flagscope.metric_definition, r flagscope.rollout, level float8)
RETURNS TABLE (at timestamptz, log_e float8, effect jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT h.at, (SELECT e.log_e FROM flagscope.evaluation e
        WHERE e.evidence_id = s.evidence_id AND e.at <= h.at ORDER BY e.stratum DESC LIMIT 1),
        CASE WHEN g.comparison = 'control' AND NOT s.carries_on THEN jsonb_build_object('quantile_ratio', (
            -- The same quantile all the time: the one that is shown now.
            SELECT x.e FROM jsonb_array_elements(_flagscope.quantile_ratios(h.treatment, h.control, g.quantile,
                m.harm::text, s.alpha)) x(e) WHERE (x.e ->> 'quantile')::float8 = level))
        ELSE jsonb_build_object('stage_quantile', _flagscope.stage_quantile(h.treatment, coalesce(g.quantile, 0.95),
            s.alpha)) END
    FROM (
        -- The last spans end with their buckets, which may be later than the last look: one point stands for these.
        SELECT DISTINCT ON (least(x.at, s.evaluated_at)) least(x.at, s.evaluated_at) AS at, x.treatment, x.control
        FROM _flagscope.page_histograms(g, r, _flagscope.watched(g, r.treatment)) x
        ORDER BY least(x.at, s.evaluated_at), x.at DESC
    ) h;
$$;
COMMENT ON FUNCTION _flagscope.page_quantiles(flagscope.guardrail, flagscope.guardrail_status,
    flagscope.metric_definition, flagscope.rollout, float8) IS
    'what a guardrail on quantiles had estimated in the present stage over time';

CREATE FUNCTION _flagscope.page_series(g flagscope.guardrail, s flagscope.guardrail_status,
    m flagscope.metric_definition, r flagscope.rollout, level float8)
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    series jsonb;
BEGIN
    IF g.test <> 'sequential' THEN
        RETURN (SELECT jsonb_agg(jsonb_build_object('at', _flagscope.unix_seconds(e.at), 'estimate', e.value)
            ORDER BY e.nth) FROM _flagscope.page_strata(s.evidence_id) e);
    ELSIF _flagscope.looks_back(m.kind::text) THEN
        SELECT jsonb_agg(jsonb_build_object('at', _flagscope.unix_seconds(q.at), 'log_e', q.log_e) || e.shown
            ORDER BY q.at) INTO series
        FROM _flagscope.page_quantiles(g, s, m, r, level) q, LATERAL _flagscope.page_estimate(q.effect) e(shown);
    ELSIF g.comparison = 'control' AND NOT s.carries_on THEN
        SELECT jsonb_agg(jsonb_build_object('at', _flagscope.unix_seconds(q.at), 'log_e', q.log_e) || e.shown
            ORDER BY q.at) INTO series
        FROM _flagscope.page_compared(s, m) q, LATERAL _flagscope.page_estimate(q.effect) e(shown);
    ELSIF s.limit_value IS NOT NULL THEN
        SELECT jsonb_agg(jsonb_build_object('at', _flagscope.unix_seconds(q.at), 'log_e', q.log_e) || e.shown
            ORDER BY q.at) INTO series
        FROM _flagscope.page_limited(s, m) q, LATERAL _flagscope.page_estimate(q.effect) e(shown);
    END IF;
    RETURN series;
END $$;
COMMENT ON FUNCTION _flagscope.page_series(flagscope.guardrail, flagscope.guardrail_status,
    flagscope.metric_definition, flagscope.rollout, float8) IS
    'a guardrail''s estimate with its interval over time; level: the quantile that is shown';
