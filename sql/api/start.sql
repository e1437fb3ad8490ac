-- The start of a rollout: what watches over it, and what each guardrail can see in each stage, in words.

CREATE FUNCTION _flagscope.unguarded(flag text, environment text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- One that only warns counts: a person chose to be told, and the ramp waits for its data as for any other's.
    SELECT CASE WHEN bool_or(g.enabled AND NOT g.shadow) THEN NULL
        WHEN count(*) = 0 THEN 'there is no guardrail'
        ELSE 'all guardrails are disabled or shadows' END
    FROM flagscope.guardrail g WHERE g.flag = unguarded.flag AND g.environment = unguarded.environment;
$$;
COMMENT ON FUNCTION _flagscope.unguarded(text, text) IS
    'why nothing watches over rollouts of a flag; NULL: a guardrail does that is enabled and no shadow';

CREATE FUNCTION _flagscope.has_rollups(flag text, environment text, metric text, since timestamptz, until timestamptz)
RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM flagscope.variant_rollup v WHERE v.flag = has_rollups.flag
            AND v.environment = has_rollups.environment AND v.metric = coalesce(has_rollups.metric, v.metric)
            AND v.bucket >= since AND v.bucket < until)
        OR EXISTS (SELECT FROM flagscope.variant_history v WHERE v.flag = has_rollups.flag
            AND v.environment = has_rollups.environment AND v.metric = coalesce(has_rollups.metric, v.metric)
            AND v.bucket_width = '10 minutes' AND v.bucket >= since AND v.bucket < until)
        OR EXISTS (SELECT FROM _flagscope.variant_delta d WHERE d.flag = has_rollups.flag
            AND d.environment = has_rollups.environment AND d.metric = coalesce(has_rollups.metric, d.metric));
$$;
COMMENT ON FUNCTION _flagscope.has_rollups(text, text, text, timestamptz, timestamptz) IS
    'did rows count for a metric (NULL: for any) of a flag in a range of time, or have they just come';

CREATE FUNCTION _flagscope.has_telemetry(flag text, environment text, since timestamptz, until timestamptz)
RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- No index knows flags: the latest minutes, then the day, and never more than so many rows.
    SELECT _flagscope.has_rollups(flag, environment, NULL::text, since, until)
        OR EXISTS (SELECT FROM (VALUES (greatest(since, until - interval '10 minutes')), (since)) s(began),
                LATERAL (SELECT t.flags, t.environment FROM flagscope.telemetry t
                    WHERE t.ts >= s.began AND t.ts < until LIMIT 50000) x
                    JOIN flagscope.environment_definition e ON e.key = has_telemetry.environment
                        AND coalesce(nullif(x.environment, ''), 'production') = ANY (e.aliases || e.key)
            WHERE x.flags ? has_telemetry.flag);
$$;
COMMENT ON FUNCTION _flagscope.has_telemetry(text, text, timestamptz, timestamptz) IS
    'does telemetry of a range of time name a flag in an environment, as far as a look at some of it tells';

CREATE FUNCTION _flagscope.eventless(g flagscope.guardrail, since timestamptz, until timestamptz) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT sum(v.n)::bigint
    FROM flagscope.metric_definition m, LATERAL _flagscope.variant_states(g.flag, since, until, interval '10 minutes',
        g.metric, g.environment) v
    WHERE m.name = g.metric AND m.kind = 'proportion' AND NOT m.per_unit AND g.scope = 'flag'
    HAVING sum(v.events) = 0;
$$;
COMMENT ON FUNCTION _flagscope.eventless(flagscope.guardrail, timestamptz, timestamptz) IS
    'how many rows of a flag a proportion counted in a range of time without one event among them; NULL: there were '
    'events, or no rows';

CREATE FUNCTION _flagscope.blind(g flagscope.guardrail, at timestamptz)
RETURNS TABLE (reason text, is_certain boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- A metric that ticks count has no past, and of one that is not rolled up yet nothing is known; what is of the
    -- whole environment need not name the flag.
    SELECT x.reason, x.is_certain
    FROM _flagscope.watch w, LATERAL (SELECT greatest(w.since, at - interval '24 hours') AS since) y,
        LATERAL (
            SELECT 'matches no row of the flag''s telemetry of the last day', true
            WHERE NOT _flagscope.has_rollups(g.flag, g.environment, g.metric, y.since, at)
                AND _flagscope.has_telemetry(g.flag, g.environment, y.since, at)
            UNION ALL
            -- A service that fails once in 3,300 requests is without an error in 10,000 in 5 of 100 days: with more
            -- rows than that the event is more likely misspelt.
            SELECT format('found no event in %s rows of the last day', n), n >= 10000
            FROM _flagscope.eventless(g, y.since, at) n WHERE n >= _flagscope.setting_number('guardrail.min_sample')
        ) x(reason, is_certain)
    WHERE g.scope = 'flag' AND (w.flag, w.environment, w.metric) = (g.flag, g.environment, g.metric) AND w.since < at;
$$;
COMMENT ON FUNCTION _flagscope.blind(flagscope.guardrail, timestamptz) IS
    'why a guardrail''s metric seems to see nothing in the last day''s telemetry of its flag, although there is some; '
    'is_certain: enough to refuse a start that relies on it alone; no row: it sees something, or nothing is known';

CREATE FUNCTION _flagscope.unwatched(flag text, environment text, at timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(_flagscope.unguarded(flag, environment), (
        SELECT string_agg(format('metric "%s" of guardrail "%s" %s', g.metric, g.name, b.reason), ', ' ORDER BY g.id)
        FROM flagscope.guardrail g LEFT JOIN LATERAL _flagscope.blind(g, at) b ON b.is_certain
        WHERE g.flag = unwatched.flag AND g.environment = unwatched.environment
            AND g.enabled AND NOT g.shadow HAVING bool_and(b.is_certain IS NOT NULL)));
$$;
COMMENT ON FUNCTION _flagscope.unwatched(text, text, timestamptz) IS
    'why a rollout of a flag would have no guardrail that sees anything (unguarded, or all are blind); NULL: one does';

CREATE FUNCTION _flagscope.percents_words(percents numeric[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN nullif(array_to_string(ARRAY(SELECT trim_scale(p) FROM unnest(percents) WITH ORDINALITY x(p, i) ORDER BY i),
    ', '), '') || ' %';
COMMENT ON FUNCTION _flagscope.percents_words(numeric[]) IS 'shares as text';

CREATE FUNCTION _flagscope.sees_words(g flagscope.guardrail, m flagscope.metric_definition, percents numeric[],
    follows boolean) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN g.scope = 'environment' THEN 'all of the environment '
            || CASE WHEN g.comparison = 'absolute' THEN 'against a limit' ELSE 'against its own past' END
            || ', in every stage'
        WHEN g.test = 'anomaly' THEN concat_ws('; ', 'beside the control at ' || _flagscope.percents_words(x.beside),
            x.alone || ' against what is usual at this time')
        WHEN g.comparison = 'baseline' THEN 'against what the control was before, in every stage'
        WHEN g.comparison = 'absolute' THEN 'against its limit in every stage'
        ELSE concat_ws('; ', 'against the control at ' || _flagscope.percents_words(x.beside),
            x.alone || CASE
                WHEN NOT _flagscope.may_carry_on(g) THEN
                    format(' nothing: a %s has no test against what the control was', m.kind)
                WHEN cardinality(x.beside) = 0 THEN
                    ' against what the control was before; where that is not known, nothing'
                ELSE ' against what the control was until then' END) END
        || CASE WHEN g.shadow THEN '; a shadow: it never acts' WHEN g.action = 'warn' THEN '; it only warns' ELSE '' END
    FROM (SELECT ARRAY(SELECT p FROM unnest(percents) WITH ORDINALITY y(p, i) WHERE p < 100 ORDER BY i) AS beside,
        nullif(concat_ws(' and ', CASE WHEN 100 = ANY (percents) THEN 'at 100 %' END,
            CASE WHEN follows THEN 'in the follow-up' END), '') AS alone) x;
$$;
COMMENT ON FUNCTION _flagscope.sees_words(flagscope.guardrail, flagscope.metric_definition, numeric[], boolean) IS
    'what a guardrail is compared with in stages of these shares, and in a follow-up after them if there is one';

CREATE FUNCTION _flagscope.watches(r flagscope.rollout, first_stage integer, at timestamptz)
RETURNS TABLE (guardrail text, words text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT g.name, _flagscope.sees_words(g, m, s.percents, r.follow_up > interval '0' AND r.holdback IS NULL)
        || coalesce(format('; metric "%s" ', g.metric) || b.reason
            || format(': see flagscope.preview_metric(%s)', quote_literal(g.metric)), '')
    FROM flagscope.guardrail g JOIN flagscope.metric_definition m ON m.name = g.metric
        LEFT JOIN LATERAL _flagscope.blind(g, at) b ON true,
        (SELECT array_agg(x.percent ORDER BY x.ordinal) AS percents FROM flagscope.rollout_stage x
            WHERE x.rollout_id = r.id AND x.ordinal >= first_stage) s
    WHERE g.flag = r.flag AND g.environment = r.environment AND g.enabled ORDER BY g.id;
$$;
COMMENT ON FUNCTION _flagscope.watches(flagscope.rollout, integer, timestamptz) IS
    'what each guardrail of a rollout is compared with from a stage on, in words, and whether its metric matches '
    'nothing';

CREATE FUNCTION _flagscope.start_words(r flagscope.rollout, at timestamptz) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH stages AS (
        SELECT array_agg(s.percent ORDER BY s.ordinal) AS percents,
            array_agg(s.min_sample::float8 ORDER BY s.ordinal) AS samples,
            array_agg(greatest(extract(epoch FROM s.min_duration), 1)::float8 ORDER BY s.ordinal) AS seconds,
            array_agg(extract(epoch FROM coalesce(s.max_duration,
                _flagscope.setting_number('rollout.patience') * s.min_duration))::float8 ORDER BY s.ordinal) AS longest,
            array_agg(s.advance_when ORDER BY s.ordinal) AS gates
        FROM flagscope.rollout_stage s WHERE s.rollout_id = r.id
    ), plan AS (
        -- The smallest effects are most of the work; plan_rollout() has them.
        SELECT p.* FROM stages s, LATERAL _flagscope.plan(r, s.percents, s.seconds, s.samples, s.longest, s.gates, at,
            1.5::float8, 0.2::float8, NULL::float8, NULL::float8, false) p
        WHERE p.stage IS NULL
    )
    SELECT concat_ws('; ', w.guardrail || ': ' || w.words, p.words)
    FROM _flagscope.watches(r, 1, at) WITH ORDINALITY w(guardrail, words, nr)
        LEFT JOIN plan p ON p.guardrail = w.guardrail
    ORDER BY w.nr;
$$;
COMMENT ON FUNCTION _flagscope.start_words(flagscope.rollout, timestamptz) IS
    'what each guardrail can see in the stages of a rollout, and how much a ramp of its metric''s past would find';

CREATE FUNCTION _flagscope.tell_start(rollout_id bigint, at timestamptz) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r flagscope.rollout := _flagscope.require_rollout(rollout_id);
    lines text;
BEGIN
    SELECT string_agg(l.line, E'\n' ORDER BY l.nr) INTO lines
    FROM _flagscope.start_words(r, at) WITH ORDINALITY l(line, nr);
    IF lines IS NOT NULL THEN
        RAISE NOTICE USING MESSAGE = _flagscope.message('rollout %s of flag "%s": what its guardrails can see', r.id,
                r.flag), DETAIL = lines,
            HINT = _flagscope.message('By stage: SELECT * FROM flagscope.plan_rollout(%s, %s).', quote_literal(r.flag),
                quote_literal(r.environment));
    END IF;
EXCEPTION WHEN OTHERS THEN
    -- To tell is no reason for a start to fail.
    RAISE WARNING USING ERRCODE = SQLSTATE,
        MESSAGE = _flagscope.message('what the guardrails of rollout %s can see was not told: %s', rollout_id, SQLERRM);
END $$;
COMMENT ON FUNCTION _flagscope.tell_start(bigint, timestamptz) IS
    'tells whoever starts a rollout what its guardrails can see, as a notice';
