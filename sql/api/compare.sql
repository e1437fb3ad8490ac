-- The parts of correlate() as functions of their own: operations, log lines, metrics.

COMMENT ON FUNCTION _flagscope.compare_spans(jsonb, timestamptz, timestamptz) IS
    'compare_spans() of a question, as a JSON list of its rows';
COMMENT ON FUNCTION _flagscope.compare_patterns(jsonb, timestamptz, timestamptz) IS
    'compare_patterns() of a question, as a JSON list of its rows';

CREATE FUNCTION _flagscope.requests(flag text, metric text, root text, environment text, since timestamptz,
    until timestamptz, treatment text, control text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    env text := _flagscope.environment(environment);
    -- Without a metric: spans of a name, else those that begin a trace; whether they fail is not asked.
    spans flagscope.metric_definition;
    question jsonb;
BEGIN
    PERFORM _flagscope.require_flag(flag);
    IF metric IS NOT NULL THEN
        RETURN _flagscope.question(flag, metric, env, since, until, treatment, control, NULL::text[], 2);
    END IF;
    spans := jsonb_populate_record(NULL::flagscope.metric_definition,
        jsonb_build_object('name', '', 'kind', 'proportion', 'signal', 'span',
        'filter', CASE WHEN root IS NULL THEN '{}' ELSE jsonb_build_object('name', root) END, 'event',
        '{"is_error": true}'::jsonb, 'sum_values', false, 'harm', 'increase'));
    question := _flagscope.question_of(flag, spans, env, since, until, treatment, control, NULL::text[], 2);
    RETURN question || jsonb_build_object('tops', root IS NULL);
END $$;
COMMENT ON FUNCTION _flagscope.requests(text, text, text, text, timestamptz, timestamptz, text, text) IS
    'the question about requests: rows of a metric, else spans of a name, else spans that begin a trace';

CREATE FUNCTION flagscope.compare_spans(flag text, metric text DEFAULT NULL, environment text DEFAULT NULL,
    since timestamptz DEFAULT NULL, until timestamptz DEFAULT clock_timestamp(), root text DEFAULT NULL,
    treatment text DEFAULT NULL, control text DEFAULT NULL)
RETURNS TABLE (service text, operation text, calls_treatment float8, calls_control float8, seconds_treatment float8,
    seconds_control float8, delta float8, share float8, why text, p_value float8, failures_treatment float8,
    failures_control float8, failures_p_value float8)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT x.* FROM _flagscope.requests(flag, metric, root, environment, since, until, treatment, control) q,
        jsonb_to_recordset(_flagscope.compare_spans(q, (q ->> 'since')::timestamptz, (q ->> 'until')::timestamptz)) AS
            x(service text, operation text, calls_treatment float8, calls_control float8, seconds_treatment float8,
            seconds_control float8, delta float8, share float8, why text, p_value float8, failures_treatment float8,
            failures_control float8, failures_p_value float8);
$$;
COMMENT ON FUNCTION flagscope.compare_spans(text, text, text, timestamptz, timestamptz, text, text, text) IS
    'where the time of a request goes in both arms, by operation on the critical path: calls and seconds a request, '
    'what the treatment adds (delta, its share of all), why (slower, more calls, repeated, new) and p_value (Welch '
    'between subjects, Holm); and requests with a failure that begins there. Requests are spans named root, else those '
    'that begin a trace, or a metric''s rows; at most 5,000 traces an arm';

CREATE FUNCTION flagscope.compare_patterns(flag text, metric text DEFAULT NULL, environment text DEFAULT NULL,
    since timestamptz DEFAULT NULL, until timestamptz DEFAULT clock_timestamp(), min_severity integer DEFAULT 1,
    treatment text DEFAULT NULL, control text DEFAULT NULL)
RETURNS TABLE (template text, excess float8, lines_treatment bigint, lines_control bigint, requests_treatment float8,
    requests_control float8, is_new boolean, severity integer, subjects bigint, p_value float8, example text,
    trace_id uuid)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT x.* FROM _flagscope.requests(flag, metric, NULL::text, environment, since, until, treatment, control) r,
        LATERAL (SELECT r || jsonb_build_object('severity', CASE WHEN min_severity > 1 THEN least(min_severity, 32767)
            END)) q(q),
        jsonb_to_recordset(_flagscope.compare_patterns(q.q, (q.q ->> 'since')::timestamptz,
            (q.q ->> 'until')::timestamptz)) AS
            x(template text, excess float8, lines_treatment bigint, lines_control bigint, requests_treatment float8,
            requests_control float8, is_new boolean, severity integer, subjects bigint, p_value float8, example text,
            trace_id uuid);
$$;
COMMENT ON FUNCTION flagscope.compare_patterns(text, text, text, timestamptz, timestamptz, integer, text, text) IS
    'log lines by template in both arms against the arms'' requests (as compare_spans()): excess of the treatment, '
    'is_new where no line of the control has it, p_value (binomial, divided by how far lines come in series of one '
    'subject, Holm over templates)';

CREATE FUNCTION _flagscope.margin_of(m flagscope.metric_definition, g flagscope.guardrail, control float8)
RETURNS float8
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- Relative to the control's value, of a proportion from the odds.
    SELECT CASE
        WHEN g.margin_absolute IS NOT NULL THEN g.margin_absolute / nullif(abs(control), 0)
        WHEN m.kind = 'proportion' THEN (1 + x.margin) / (1 + x.margin * control) - 1
        ELSE x.margin END
    FROM (SELECT coalesce(g.margin, _flagscope.setting_number('guardrail.margin.'
        || CASE m.kind WHEN 'ratio' THEN 'mean' ELSE _flagscope.margin_setting(m.kind::text) END)) AS margin) x;
$$;
COMMENT ON FUNCTION _flagscope.margin_of(flagscope.metric_definition, flagscope.guardrail, float8) IS
    'what a metric may differ by, relative to the control''s value: its guardrail''s margin, else the default of its '
    'kind';

CREATE FUNCTION _flagscope.relative_effect(m flagscope.metric_definition, n_t bigint, e_t bigint, m_t flagscope.moments,
    h_t flagscope.histogram, n_c bigint, e_c bigint, m_c flagscope.moments, h_c flagscope.histogram,
    OUT effect float8, OUT lower float8, OUT upper float8, OUT p float8)
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rate float8 := e_c / nullif(n_c, 0)::float8;
BEGIN
    IF m.kind = 'proportion' THEN
        SELECT x.difference / nullif(rate, 0), x.lower / nullif(rate, 0), x.upper / nullif(rate, 0), x.p_value
            INTO effect, lower, upper, p
        FROM flagscope.proportion_test(n_t, e_t, n_c, e_c, 0.9::float8) x;
    ELSIF m.kind = 'mean' THEN
        SELECT x.relative, x.relative_lower, x.relative_upper, x.p_value INTO effect, lower, upper, p
            FROM flagscope.mean_test(m_t, m_c, 0.9::float8, 0::float8) x;
    ELSIF m.kind = 'rate' THEN
        SELECT x.estimate - 1, x.lower - 1, x.upper - 1, x.p_value INTO effect, lower, upper, p
        FROM flagscope.rate_test(coalesce(flagscope.sum(m_t), n_t::float8), e_t,
            coalesce(flagscope.sum(m_c), n_c::float8), e_c, 0.9::float8, 1::float8) x;
    ELSIF m.kind = 'quantile' THEN
        -- The test is of all values. What is told is p95, from intervals of 95 % of both arms: together they hold 90 %.
        SELECT flagscope.quantile(h_t, 0.95::float8) / nullif(flagscope.quantile(h_c, 0.95::float8), 0) - 1,
            t.lower / nullif(c.upper, 0) - 1, t.upper / nullif(c.lower, 0) - 1, x.p_value INTO effect, lower, upper, p
        FROM flagscope.rank_test(h_t, h_c) x, flagscope.quantile_interval(h_t, 0.95::float8, 0.95::float8) t,
            flagscope.quantile_interval(h_c, 0.95::float8, 0.95::float8) c;
    ELSE
        effect := (flagscope.sum(m_t) / nullif(n_t, 0)) / nullif(flagscope.sum(m_c) / nullif(n_c, 0), 0) - 1;
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.relative_effect(flagscope.metric_definition, bigint, bigint, flagscope.moments,
    flagscope.histogram, bigint, bigint, flagscope.moments, flagscope.histogram) IS
    'the treatment''s value by the control''s, less 1, with an interval of 90 % and a two-sided p-value; of quantiles '
    'p95; of ratios the effect alone';

COMMENT ON FUNCTION _flagscope.metric_verdict(float8, float8, float8, float8, float8) IS
    'moved, still or unclear, from a relative effect, its interval of 90 %, its corrected p-value and the margin';
COMMENT ON FUNCTION _flagscope.onset_place(float8[], float8[], float8[], float8[], boolean) IS
    'the place of the bucket in which the treatment''s excess (falls: shortfall) began to grow, from rows (or '
    'exposure) and events (or sums) of both arms by bucket; NULL: it never grows';

CREATE FUNCTION _flagscope.onset(flag text, m flagscope.metric_definition, environment text, since timestamptz,
    until timestamptz, treatment text, control text, falls boolean)
RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH b AS (
        SELECT v.bucket,
            sum(x.n) FILTER (WHERE v.variant = onset.treatment) AS n_t,
            sum(x.y) FILTER (WHERE v.variant = onset.treatment) AS y_t,
            sum(x.n) FILTER (WHERE v.variant = onset.control) AS n_c,
            sum(x.y) FILTER (WHERE v.variant = onset.control) AS y_c
        FROM _flagscope.variant_states(onset.flag, onset.since, onset.until, '10 seconds', m.name, onset.environment) v,
            LATERAL (SELECT
                CASE WHEN m.kind IN ('mean', 'ratio') THEN v.n::float8
                    WHEN m.kind = 'quantile' THEN flagscope.count(v.histogram)::float8
                    ELSE coalesce(flagscope.sum(v.moments), v.n::float8) END AS n,
                CASE WHEN m.kind IN ('mean', 'ratio') THEN flagscope.sum(v.moments)
                    WHEN m.kind = 'quantile' THEN flagscope.mean(v.histogram) * flagscope.count(v.histogram)
                    ELSE v.events::float8 END AS y) x
        WHERE v.variant IN (onset.treatment, onset.control)
        GROUP BY v.bucket
    )
    SELECT (array_agg(b.bucket ORDER BY b.bucket))[_flagscope.onset_place(array_agg(b.n_t ORDER BY b.bucket),
        array_agg(b.y_t ORDER BY b.bucket), array_agg(b.n_c ORDER BY b.bucket), array_agg(b.y_c ORDER BY b.bucket),
        onset.falls)]
    FROM b;
$$;
COMMENT ON FUNCTION _flagscope.onset(text, flagscope.metric_definition, text, timestamptz, timestamptz, text, text,
    boolean) IS
    'when the treatment''s excess of a metric (falls: shortfall) began to grow, to 10 seconds, by the cumulative sum '
    'over rollups';

CREATE FUNCTION flagscope.compare_metrics(flag text, environment text DEFAULT NULL, since timestamptz DEFAULT NULL,
    until timestamptz DEFAULT clock_timestamp(), treatment text DEFAULT NULL, control text DEFAULT NULL)
RETURNS TABLE (metric text, verdict text, effect float8, lower float8, upper float8, p_value float8, margin float8,
    n_treatment bigint, n_control bigint, onset timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    env text := _flagscope.environment(compare_metrics.environment);
    last timestamptz := _flagscope.finite('until', coalesce(compare_metrics.until, clock_timestamp()));
    first timestamptz := _flagscope.finite('since', coalesce(compare_metrics.since, last - interval '1 hour'));
    arms record;
BEGIN
    PERFORM _flagscope.require_flag(compare_metrics.flag);
    IF first >= last THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('the range from %s to %s is empty', first, last),
            HINT = 'since lies before until.';
    END IF;
    arms := _flagscope.question_arms(compare_metrics.flag, env, last, compare_metrics.treatment,
        compare_metrics.control);
    RETURN QUERY
    WITH state AS (
        SELECT v.metric, v.variant = arms.treated AS is_treated, _flagscope.bounded(sum(v.n)) AS n,
            _flagscope.bounded(sum(v.events)) AS events, flagscope.rollup(v.moments) AS moments,
            flagscope.rollup(v.histogram) AS histogram
        FROM _flagscope.variant_states(compare_metrics.flag, first, last, interval '10 minutes', NULL::text, env) v
        WHERE v.variant IN (arms.treated, arms.compared)
        GROUP BY 1, 2
    ), tested AS (
        SELECT m, t.n AS n_t, c.n AS n_c, e.*, _flagscope.margin_of(m, g,
            _flagscope.metric_value(m, 0.95::float8, c.n, c.events, c.moments, c.histogram)) AS margin
        FROM state t
            JOIN state c ON c.metric = t.metric AND NOT c.is_treated
            JOIN flagscope.metric_definition m ON m.name = t.metric
            LEFT JOIN LATERAL (SELECT x.* FROM flagscope.guardrail x
                WHERE x.flag = compare_metrics.flag AND x.environment = env AND x.metric = m.name
                    AND x.comparison = 'control' AND x.enabled
                ORDER BY x.id LIMIT 1) g ON true,
            LATERAL _flagscope.relative_effect(m, t.n, t.events, t.moments, t.histogram, c.n, c.events, c.moments,
                c.histogram) e
        WHERE t.is_treated
    ), numbered AS (
        SELECT t.*, row_number() OVER (PARTITION BY t.p IS NULL ORDER BY t.m) AS place FROM tested t
    ), adjusted AS (
        SELECT n.*, CASE WHEN n.p IS NOT NULL THEN (flagscope.adjust_p_values(ARRAY(
            SELECT x.p FROM numbered x WHERE x.p IS NOT NULL ORDER BY x.place), 'bh'))[n.place] END AS q
        FROM numbered n
    ), judged AS (
        SELECT a.*, _flagscope.metric_verdict(a.effect, a.lower, a.upper, a.q, a.margin) AS verdict FROM adjusted a
    )
    SELECT (j.m).name, j.verdict, j.effect, j.lower, j.upper, j.q, j.margin, j.n_t, j.n_c,
        CASE j.verdict WHEN 'moved' THEN _flagscope.onset(compare_metrics.flag, j.m, env, first, last, arms.treated,
            arms.compared, j.effect < 0) END AS onset
    FROM judged j ORDER BY j.verdict = 'moved' DESC, onset, j.verdict DESC, (j.m).name;
    IF NOT FOUND THEN
        -- An answer without rows says nothing by itself.
        RAISE NOTICE USING MESSAGE = _flagscope.message('there is nothing to compare: no metric on watch has numbers '
            'of both "%s" and "%s" of flag "%s" from %s to %s', arms.treated, arms.compared, compare_metrics.flag,
            first, last),
            HINT = 'A guardrail puts a metric on watch; its numbers reach back to an hour before that.';
    END IF;
END $$;
COMMENT ON FUNCTION flagscope.compare_metrics(text, text, timestamptz, timestamptz, text, text) IS
    'every metric on watch of both arms over a range, from rollups: moved (significant by Benjamini and Hochberg, and '
    'beyond its guardrail''s margin), still (the whole interval of 90 % within the margin) or unclear; effect, lower, '
    'upper: relative to the control, of quantiles p95, of ratios the effect alone; onset: when it began to move';
