-- How many times less rows tell than independent ones: guardrails without a design effect of their own are measured,
-- by the rows of each subject (src/core/stats/dependence.rs). What is measured is used from the next measurement on:
-- the rows that it is from have been judged then, so what scores a stratum comes from before it. Until there is such a
-- measurement, of a rollout without any past, ticks measure what has come until now and judge by that at once (why that
-- is sound: src/core/stats/README.md, section 7).

COMMENT ON FUNCTION _flagscope.read_units(jsonb, bytea, bigint[], timestamptz, timestamptz, bigint) IS
    'adds the rows of a range of time to the sums by unit of guardrails (an array of dependence_target(), the sums '
    'that each has, one after the other, and their sizes) and measures: target counts from 1; is_full: '
    'no more rows than most were read, not all; effect NULL: there is too little to tell';

CREATE FUNCTION _flagscope.measured_effect(g flagscope.guardrail, rollout_id bigint) RETURNS float8
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT s.design_effect FROM flagscope.guardrail_status s JOIN flagscope.guardrail x ON x.id = s.guardrail_id
    WHERE s.rollout_id = measured_effect.rollout_id AND x.metric = g.metric AND x.test = 'sequential'
    ORDER BY x.id = g.id DESC, x.comparison = g.comparison DESC, x.id LIMIT 1;
END;
COMMENT ON FUNCTION _flagscope.measured_effect(flagscope.guardrail, bigint) IS
    'the design effect as measured of a guardrail in a rollout, or of another one of the metric; NULL: none';

CREATE FUNCTION _flagscope.dependence_words(g flagscope.guardrail, s flagscope.guardrail_status) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE
        WHEN g.test <> 'sequential' THEN NULL
        WHEN (SELECT m.per_unit FROM flagscope.metric_definition m WHERE m.name = g.metric) THEN
            'each user counts once, so that no user weighs more than another'
        WHEN g.design_effect = 1 THEN 'rows are taken for independent, as its design effect says'
        WHEN g.design_effect IS NOT NULL THEN format('evidence is divided by %s, its design effect', g.design_effect)
        WHEN d.problem IS NOT NULL THEN format('independence is assumed: rows could not be measured: %s', d.problem)
        WHEN (SELECT _flagscope.is_polled(m) FROM flagscope.metric_definition m WHERE m.name = g.metric) THEN
            'independence is assumed: what ticks count is not measured; design_effect can be given by hand'
        WHEN d.known_by IS NULL THEN
            'independence is assumed: there are too few rows to measure, or none that can be told apart'
        ELSE concat_ws('; ', format(CASE
                WHEN d.effect < 1.05 THEN 'rows are as good as independent, from %2$s rows of %3$s %4$s'
                ELSE 'evidence is divided by %1$s, since rows of one %5$s resemble each other, from %2$s rows of '
                    '%3$s %4$s' END,
                trim_scale(round(d.effect::numeric, 1 - floor(log(d.effect))::integer)),
                to_char(d.n, 'FM999,999,999,990'), to_char(d.units, 'FM999,999,990'), CASE d.known_by
                    WHEN 'subject' THEN 'users' WHEN 'trace' THEN 'traces' ELSE 'seconds' END, CASE d.known_by
                    WHEN 'subject' THEN 'user' WHEN 'trace' THEN 'trace' ELSE 'second' END),
            CASE WHEN d.known_by <> 'subject' THEN
                'independence of users is assumed: rows carry no subject' END,
            CASE WHEN d.known_by = 'subject' AND d.heaviest >= 0.1 THEN
                format('one user has %s %% of the rows', round((100 * d.heaviest)::numeric)) END) END
    FROM (SELECT (s.dependence ->> 'effect')::float8, s.dependence ->> 'by', (s.dependence ->> 'rows')::float8,
        (s.dependence ->> 'units')::bigint, (s.dependence ->> 'heaviest')::float8, s.dependence ->> 'problem')
        d(effect, known_by, n, units, heaviest, problem);
END;
COMMENT ON FUNCTION _flagscope.dependence_words(flagscope.guardrail, flagscope.guardrail_status) IS
    'how far the rows of a sequential guardrail are independent, in words, with the sample that it is known from';

CREATE FUNCTION _flagscope.dependence_target(g flagscope.guardrail, m flagscope.metric_definition,
    r flagscope.rollout, since timestamptz) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT _flagscope.metric_definition(m) || jsonb_build_object('flag', g.flag, 'environment', g.environment,
        'treatment', r.treatment, 'control', r.control, 'quantile', g.quantile,
        -- Where nobody is served the treatment, or everybody: the share of the stages before and after.
        'share', coalesce((SELECT s.percent FROM flagscope.rollout_stage s
            WHERE s.rollout_id = r.id AND s.percent > 0 AND s.percent < 100
            ORDER BY s.ordinal < r.stage, abs(s.ordinal - r.stage) LIMIT 1), 50) / 100,
        'began', (extract(epoch FROM r.started_at - timestamptz '2000-01-01 00:00:00+00') * 1000000)::bigint,
        'since', (extract(epoch FROM since - timestamptz '2000-01-01 00:00:00+00') * 1000000)::bigint);
$$;
COMMENT ON FUNCTION _flagscope.dependence_target(flagscope.guardrail, flagscope.metric_definition, flagscope.rollout,
    timestamptz) IS 'a guardrail as passed to read_units(): its metric, flag, arms and share, from when rows are new';

CREATE FUNCTION _flagscope.measurable(at timestamptz, is_first boolean)
RETURNS TABLE (rollout_id bigint, guardrail_id bigint, target jsonb, began timestamptz, until timestamptz, units bytea,
    effect float8)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    -- In plpgsql, which keeps the plan, and what is due before what it is (measured over 1,000 guardrails: as a join of
    -- all it was two thirds of an idle tick).
    RETURN QUERY
        WITH live AS MATERIALIZED (
            SELECT r.id, r.started_at FROM flagscope.rollout r
            WHERE r.started_at IS NOT NULL AND _flagscope.is_watched(r, measurable.at)
        ), due AS MATERIALIZED (
            SELECT s.rollout_id, s.guardrail_id, greatest(l.started_at, s.since) AS began, NULL::timestamptz AS until,
                NULL::bytea AS units, NULL::float8 AS effect
            FROM live l JOIN flagscope.guardrail_status s ON s.rollout_id = l.id
            WHERE is_first AND s.state <> 'breached' AND NOT EXISTS (SELECT FROM _flagscope.dependence d
                WHERE d.rollout_id = s.rollout_id AND d.guardrail_id = s.guardrail_id)
            UNION ALL
            SELECT d.rollout_id, d.guardrail_id, greatest(l.started_at, s.since), d.until, d.units, d.effect
            FROM _flagscope.dependence d JOIN live l ON l.id = d.rollout_id
                JOIN flagscope.guardrail_status s
                    ON s.rollout_id = d.rollout_id AND s.guardrail_id = d.guardrail_id
            WHERE NOT is_first AND s.state <> 'breached' AND measurable.at - d.measured_at >= interval '20 seconds'
                -- Often at first, when little is known; later each minute.
                AND measurable.at - d.measured_at >= least(interval '1 minute',
                    (measurable.at - greatest(l.started_at, s.since)) / 10)
        )
        SELECT x.rollout_id, x.guardrail_id, _flagscope.dependence_target(g, m, r,
            coalesce(x.until, x.began - interval '1 hour')), x.began, x.until, x.units, x.effect
        FROM due x JOIN flagscope.guardrail g ON g.id = x.guardrail_id JOIN flagscope.rollout r ON r.id = x.rollout_id
            JOIN flagscope.metric_definition m ON m.name = g.metric
        WHERE g.enabled AND g.test = 'sequential' AND g.design_effect IS NULL AND NOT _flagscope.is_polled(m);
END $$;
COMMENT ON FUNCTION _flagscope.measurable(timestamptz, boolean) IS
    'guardrails whose design effect is to be measured now: for the first time, or again';

CREATE FUNCTION _flagscope.note_dependence(rollout_id bigint, guardrail_id bigint, at timestamptz, until timestamptz,
    in_force float8, effect float8, units bytea, told jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    -- In plpgsql, which keeps its plans: it is called for each guardrail.
    INSERT INTO _flagscope.dependence AS d (rollout_id, guardrail_id, measured_at, until, effect, in_force, units)
    VALUES (rollout_id, guardrail_id, at, until, effect, in_force, units)
    ON CONFLICT ON CONSTRAINT dependence_pkey DO UPDATE SET measured_at = excluded.measured_at,
        until = excluded.until, effect = excluded.effect, in_force = excluded.in_force, units = excluded.units;
    -- Never waiting for who has the status locked: the next measurement is a minute away.
    UPDATE flagscope.guardrail_status s SET design_effect = coalesce(in_force, s.design_effect),
        dependence = coalesce(told, s.dependence)
    FROM (SELECT x.rollout_id, x.guardrail_id FROM flagscope.guardrail_status x
        WHERE x.rollout_id = note_dependence.rollout_id AND x.guardrail_id = note_dependence.guardrail_id
        FOR NO KEY UPDATE SKIP LOCKED) free
    WHERE s.rollout_id = free.rollout_id AND s.guardrail_id = free.guardrail_id;
END $$;
COMMENT ON FUNCTION _flagscope.note_dependence(bigint, bigint, timestamptz, timestamptz, float8, float8, bytea, jsonb)
    IS 'keeps what was measured of a guardrail, and what is in force from now on';

CREATE FUNCTION _flagscope.told_dependence(at timestamptz, effect float8, estimate float8, n float8, unit_count bigint,
    known_by text, heaviest float8, equal_units float8) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN CASE WHEN effect IS NOT NULL THEN jsonb_build_object('at', at, 'effect', effect, 'estimate', estimate,
    'rows', n, 'units', unit_count, 'by', known_by, 'heaviest', heaviest, 'equal_units', equal_units) END;
COMMENT ON FUNCTION _flagscope.told_dependence(timestamptz, float8, float8, float8, bigint, text, float8, float8) IS
    'a measurement for guardrail_status.dependence; NULL: there is too little to tell';

CREATE FUNCTION _flagscope.measure_past(at timestamptz, rollouts bigint[], guardrails bigint[], targets jsonb,
    began timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    span integer[];
    units bytea[] := '{}';
    is_full boolean;
    effects float8[];
    told jsonb[];
BEGIN
    -- Back from the start, as far as 20,000 rows reach: minutes of a busy service, an hour of a quiet one.
    FOREACH span SLICE 1 IN ARRAY '{{1,0},{5,1},{15,5},{60,15}}'::integer[] LOOP
        SELECT array_agg(f.units ORDER BY f.target), bool_or(f.is_full), array_agg(f.effect ORDER BY f.target),
            array_agg(_flagscope.told_dependence(at, f.effect, f.estimate, f.n, f.unit_count, f.known_by, f.heaviest,
                f.equal_units) ORDER BY f.target)
        INTO units, is_full, effects, told
        FROM (SELECT coalesce(string_agg(u.units, ''::bytea ORDER BY u.nr), '') AS states,
                coalesce(array_agg(octet_length(u.units)::bigint ORDER BY u.nr), '{}') AS sizes
            FROM unnest(units) WITH ORDINALITY u(units, nr)) known,
            _flagscope.read_units(targets, known.states, known.sizes, began - make_interval(mins => span[1]),
                began - make_interval(mins => span[2]), 20000) f;
        EXIT WHEN is_full;
    END LOOP;
    PERFORM _flagscope.note_dependence(m.rollout_id, m.guardrail_id, at, began, m.effect, m.effect, m.units, m.told)
    FROM unnest(rollouts, guardrails, effects, units, told)
        m(rollout_id, guardrail_id, effect, units, told);
EXCEPTION WHEN OTHERS THEN
    IF cardinality(guardrails) > 1 THEN
        -- One of them, and nothing says which.
        PERFORM _flagscope.measure_past(at, rollouts[i:i], guardrails[i:i], jsonb_build_array(targets -> (i - 1)),
            began) FROM generate_series(1, cardinality(guardrails)) i;
    ELSE
        PERFORM _flagscope.note_dependence(rollouts[1], guardrails[1], at, began, NULL::float8, NULL::float8,
            NULL::bytea, jsonb_build_object('problem', SQLERRM));
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.measure_past(timestamptz, bigint[], bigint[], jsonb, timestamptz) IS
    'measures guardrails, an array of dependence_target(), from the hour before a time when none of them had evidence';

CREATE FUNCTION _flagscope.measure_past_dependence(at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- One scan for all that began within ten seconds (80 guardrails over 200,000 rows: 321 scans in 5 s before).
    PERFORM _flagscope.measure_past(at, x.rollouts, x.guardrails, x.targets, x.began)
    FROM (SELECT array_agg(m.rollout_id ORDER BY m.rollout_id, m.guardrail_id) AS rollouts,
            array_agg(m.guardrail_id ORDER BY m.rollout_id, m.guardrail_id) AS guardrails,
            jsonb_agg(m.target ORDER BY m.rollout_id, m.guardrail_id) AS targets, min(m.began) AS began
        FROM _flagscope.measurable(at, true) m GROUP BY _flagscope.bucket_of(m.began)) x;
END $$;
COMMENT ON FUNCTION _flagscope.measure_past_dependence(timestamptz) IS
    'measures guardrails for the first time, before they are judged, from the hour before their evidence began: its '
    'rows are no part of the evidence, so that it is in force at once';

CREATE FUNCTION _flagscope.measure_early_dependence(strata _flagscope.stratum[], at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    young record;
BEGIN
    IF cardinality(strata) = 0 OR NOT EXISTS (SELECT FROM _flagscope.dependence d WHERE d.in_force IS NULL) THEN
        RETURN;
    END IF;
    SELECT array_agg(x.rollout_id ORDER BY x.rollout_id, x.guardrail_id) AS rollouts,
        array_agg(x.guardrail_id ORDER BY x.rollout_id, x.guardrail_id) AS guardrails,
        jsonb_agg(x.target ORDER BY x.rollout_id, x.guardrail_id) AS targets,
        coalesce(string_agg(x.units, ''::bytea ORDER BY x.rollout_id, x.guardrail_id), '') AS states,
        array_agg(octet_length(x.units)::bigint ORDER BY x.rollout_id, x.guardrail_id) AS sizes, min(x.until) AS since
    INTO young
    FROM (SELECT d.rollout_id, d.guardrail_id, d.units, d.until,
            _flagscope.dependence_target(g, m, r, d.until) AS target
        FROM _flagscope.dependence d JOIN flagscope.guardrail g ON g.id = d.guardrail_id
            JOIN flagscope.rollout r ON r.id = d.rollout_id JOIN flagscope.metric_definition m ON m.name = g.metric
        WHERE d.in_force IS NULL AND d.until < at AND g.enabled AND g.test = 'sequential' AND g.design_effect IS NULL
            AND _flagscope.is_watched(r, at) AND at < r.started_at + interval '2 minutes'
            -- A tick that reads what has come takes several times as long (75 ms, not 15, at 1,000 rows a second).
            AND coalesce(d.early_at + interval '5 seconds' <= at, true)
            -- Nothing is evidence without events: a healthy service is not read at each tick.
            AND EXISTS (SELECT FROM _flagscope.strata(strata) t
                WHERE (t.flag, t.environment, t.metric) = (g.flag, g.environment, g.metric)
                    AND (t.events > 0 OR NOT _flagscope.counts_events(m.kind::text)))) x;
    -- Of what comes until the next measurement only the last is kept, and no sums: rows may still be on their way.
    WITH found AS MATERIALIZED (
        SELECT k.rollout_id, k.guardrail_id, f.effect, f.known_by IN ('subject', 'trace') AS is_known,
            _flagscope.told_dependence(at, f.effect, f.estimate, f.n, f.unit_count, f.known_by, f.heaviest,
                f.equal_units) AS told
        FROM _flagscope.read_units(young.targets, young.states, young.sizes,
                greatest(young.since, at - interval '5 minutes'), at, 20000) f
            JOIN unnest(young.rollouts, young.guardrails) WITH ORDINALITY k(rollout_id, guardrail_id, nr)
                ON k.nr = f.target
    ), kept AS (
        UPDATE _flagscope.dependence d SET early = coalesce(f.effect, d.early), early_at = at FROM found f
        WHERE d.rollout_id = f.rollout_id AND d.guardrail_id = f.guardrail_id
    )
    -- Rows that name nobody are divided by what held before them: the second in which harm begins looks like a clump.
    UPDATE flagscope.guardrail_status s
    SET design_effect = CASE WHEN x.is_known THEN x.effect ELSE coalesce(x.early, s.design_effect) END,
        dependence = x.told
    FROM (SELECT f.*, d.early FROM found f
            JOIN _flagscope.dependence d ON d.rollout_id = f.rollout_id AND d.guardrail_id = f.guardrail_id
            JOIN flagscope.guardrail_status free
                ON free.rollout_id = f.rollout_id AND free.guardrail_id = f.guardrail_id
        WHERE f.effect IS NOT NULL FOR NO KEY UPDATE OF free SKIP LOCKED) x
    WHERE young.targets IS NOT NULL AND s.rollout_id = x.rollout_id AND s.guardrail_id = x.guardrail_id;
EXCEPTION WHEN OTHERS THEN
    -- An estimate is no reason for a tick to fail.
    RAISE WARNING USING ERRCODE = SQLSTATE,
        MESSAGE = _flagscope.message('design effects could not be measured: %s', SQLERRM);
END $$;
COMMENT ON FUNCTION _flagscope.measure_early_dependence(_flagscope.stratum[], timestamptz) IS
    'measures guardrails of which nothing was known before, with the rows until now: before they are judged, at ticks '
    'of the first two minutes that bring events, every five seconds, until a measurement is in force whose rows have '
    'been judged. '
    'Not later: harm that begins suddenly looks like a clump in its first second';

CREATE FUNCTION _flagscope.measure_dependence(at timestamptz, until timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Rows take some seconds to come.
    upto constant timestamptz := at - interval '5 seconds';
    work record;
    targets jsonb;
    states bytea;
    sizes bigint[];
    since timestamptz;
BEGIN
    IF clock_timestamp() >= until THEN
        RETURN;
    END IF;
    SELECT jsonb_agg(x.target ORDER BY x.rollout_id, x.guardrail_id),
        coalesce(string_agg(x.units, ''::bytea ORDER BY x.rollout_id, x.guardrail_id), ''),
        array_agg(octet_length(x.units)::bigint ORDER BY x.rollout_id, x.guardrail_id), min(x.until)
    INTO targets, states, sizes, since
    FROM _flagscope.measurable(at, false) x WHERE x.until < upto;
    IF targets IS NULL THEN
        RETURN;
    END IF;
    FOR work IN
        SELECT y.*, f.units AS new_units, f.effect AS new_effect, f.estimate, f.n, f.unit_count, f.known_by, f.heaviest,
            f.equal_units
        FROM (SELECT x.*, row_number() OVER (ORDER BY x.rollout_id, x.guardrail_id) AS nr
                FROM _flagscope.measurable(at, false) x WHERE x.until < upto) y
            -- One scan for all; after a stop of the ticks only what was lately.
            JOIN _flagscope.read_units(targets, states, sizes, greatest(since, upto - interval '5 minutes'), upto,
                50000) f
                ON f.target = y.nr
        ORDER BY y.nr
    LOOP
        PERFORM _flagscope.note_dependence(work.rollout_id, work.guardrail_id, at, upto, work.effect,
            coalesce(work.new_effect, work.effect), work.new_units, _flagscope.told_dependence(at, work.new_effect,
                work.estimate, work.n, work.unit_count, work.known_by, work.heaviest, work.equal_units));
    END LOOP;
EXCEPTION WHEN OTHERS THEN
    -- An estimate is no reason for a tick to fail: what was measured stays in force.
    RAISE WARNING USING ERRCODE = SQLSTATE,
        MESSAGE = _flagscope.message('design effects could not be measured: %s', SQLERRM);
END $$;
COMMENT ON FUNCTION _flagscope.measure_dependence(timestamptz, timestamptz) IS
    'measures guardrails that are due again, with the rows since the last time; none after until';

CREATE FUNCTION _flagscope.forget_dependence(at timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM _flagscope.dependence d WHERE NOT EXISTS (SELECT FROM flagscope.rollout r
            WHERE r.id = d.rollout_id AND _flagscope.is_watched(r, at))
        OR NOT EXISTS (SELECT FROM flagscope.guardrail_status s
            WHERE s.rollout_id = d.rollout_id AND s.guardrail_id = d.guardrail_id);
$$;
COMMENT ON FUNCTION _flagscope.forget_dependence(timestamptz) IS
    'part of maintain(): sums by unit of rollouts that are no longer watched';
