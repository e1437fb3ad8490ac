-- Whose rows a guardrail reads: the treatment's, those of variants that it names, or all of its metric in the
-- environment, which are rolled up as a variant without a name.

COMMENT ON FUNCTION _flagscope.whose_words(text, text[]) IS
    'whose values a guardrail reads, of its scope and variants (NULL: the treatment): "with the treatment", '
    '"in the environment" (src/core/guardrail/whose.rs)';
COMMENT ON FUNCTION _flagscope.of_whom(text, text[]) IS
    'the same of data that came or did not: "of the treatment", "in the environment"';

CREATE FUNCTION _flagscope.watched(g flagscope.guardrail, treatment text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN g.scope = 'environment' THEN ARRAY[''] ELSE coalesce(g.variants, ARRAY[treatment]) END;
COMMENT ON FUNCTION _flagscope.watched(flagscope.guardrail, text) IS
    'the variants, as rollups name them, that a guardrail reads in a rollout of a treatment; the empty one: all rows';

CREATE FUNCTION _flagscope.scope_problem(g flagscope.guardrail) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN g.scope = 'environment' AND g.comparison = 'control' THEN 'scope "environment" has no control to compare with'
    WHEN g.variants IS NULL THEN NULL
    WHEN g.comparison = 'control' THEN 'variants are watched against a limit or a baseline, not against the control'
    WHEN cardinality(g.variants) = 0 OR array_position(g.variants, NULL) IS NOT NULL THEN
        'variants must name at least one variant and no NULL'
    WHEN g.scope = 'environment' OR g.test = 'anomaly' THEN
        'variants cannot be told apart by scope "environment" or an anomaly' END;
COMMENT ON FUNCTION _flagscope.scope_problem(flagscope.guardrail) IS
    'why a proposed rule cannot have its scope or variants; NULL: it can. Of a row the constraints of the table say it';

CREATE FUNCTION _flagscope.rule_whose(rule jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN _flagscope.whose_words(rule ->> 'scope', CASE jsonb_typeof(rule -> 'variants') WHEN 'array' THEN
    ARRAY(SELECT v FROM jsonb_array_elements_text(rule -> 'variants') v) END);
COMMENT ON FUNCTION _flagscope.rule_whose(jsonb) IS 'whose_words() of a rule as a decision keeps it';

CREATE FUNCTION _flagscope.baseline_of(g flagscope.guardrail, control text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN _flagscope.watched(g, control);
COMMENT ON FUNCTION _flagscope.baseline_of(flagscope.guardrail, text) IS
    'the variants whose past is a guardrail''s baseline: the control''s; of what is not about the treatment its own';

CREATE FUNCTION _flagscope.state_over(flag text, environment text, metric text, variants text[], since timestamptz,
    until timestamptz)
RETURNS _flagscope.stratum
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT ROW(state_over.flag, state_over.environment, variants[1], state_over.metric, _flagscope.bounded(sum(v.n)),
        _flagscope.bounded(sum(v.events)), flagscope.rollup(v.moments), flagscope.rollup(v.histogram), max(v.last_ts),
        NULL)::_flagscope.stratum
    FROM flagscope.variant_rollup v WHERE v.flag = state_over.flag AND v.environment = state_over.environment
        AND v.metric = state_over.metric AND v.variant = ANY (variants) AND v.bucket > since AND v.bucket <= until;
END;
COMMENT ON FUNCTION _flagscope.state_over(text, text, text, text[], timestamptz, timestamptz) IS
    'like state_of(), of several variants together';

CREATE FUNCTION _flagscope.strata_over(strata _flagscope.stratum[], g flagscope.guardrail)
RETURNS _flagscope.stratum
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ROW(g.flag, g.environment, min(s.variant), g.metric, _flagscope.bounded(sum(s.n)),
        _flagscope.bounded(sum(s.events)), flagscope.rollup(s.moments), flagscope.rollup(s.histogram), max(s.last_ts),
        _flagscope.bounded(sum(s.stage_n)))::_flagscope.stratum
    FROM unnest(strata) s WHERE s.flag = g.flag AND s.environment = g.environment AND s.metric = g.metric
        AND s.variant = ANY (g.variants) HAVING count(*) > 0;
$$;
COMMENT ON FUNCTION _flagscope.strata_over(_flagscope.stratum[], flagscope.guardrail) IS
    'the strata of the variants that a guardrail names, as one; NULL without any';

CREATE FUNCTION _flagscope.is_on_watch(flag text, environment text, metric text, variant text) RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT EXISTS (SELECT FROM flagscope.guardrail g WHERE g.flag = is_on_watch.flag
        AND g.environment = is_on_watch.environment AND g.metric = is_on_watch.metric AND g.enabled
        AND (g.scope = 'environment') = (variant = ''));
END;
COMMENT ON FUNCTION _flagscope.is_on_watch(text, text, text, text) IS
    'does an enabled guardrail read such rollups: those of variants, or of all rows (variant empty)';

CREATE FUNCTION _flagscope.names_no_variant(metric text) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s jsonb := (SELECT _flagscope.survey(_flagscope.metric_definition(m), '[]'::jsonb,
            clock_timestamp() - interval '2 minutes', clock_timestamp())
        FROM flagscope.metric_definition m WHERE m.name = names_no_variant.metric AND NOT _flagscope.is_polled(m));
BEGIN
    RETURN coalesce((s ->> 'matched')::bigint > 0 AND (s ->> 'tied')::bigint = 0, false);
END $$;
COMMENT ON FUNCTION _flagscope.names_no_variant(text) IS
    'has a metric rows in the last two minutes (exporters send at least once a minute), and none of them names a '
    'variant';

CREATE FUNCTION _flagscope.tell_scope(g flagscope.guardrail) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Who may not read telemetry is told nothing of it.
    IF g.scope = 'flag' AND has_table_privilege('flagscope.telemetry', 'SELECT')
        AND _flagscope.names_no_variant(g.metric) THEN
        RAISE NOTICE USING MESSAGE = _flagscope.message(
                'no row of metric "%s" in the last two minutes names a variant: guardrail "%s" waits until some do',
                g.metric, g.name),
            HINT = 'What has no variants (connection pools, CPU, queues) is watched with scope => ''environment'' and '
                'limit_value, comparison => ''baseline'' or test => ''anomaly''.';
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.tell_scope(flagscope.guardrail) IS
    'tells which scope fits when the rows of a new guardrail''s metric name no variant';
