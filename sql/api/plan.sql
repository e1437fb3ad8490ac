-- plan_rollout(): what a ramp will be able to see, from its metrics' past or from given numbers. The arithmetic is
-- core::planner; here is where its numbers come from, and what they are called.

CREATE TYPE flagscope.rollout_plan AS (
    guardrail       text,
    stage           integer,
    percent         numeric,
    lasts           interval,
    rows_treatment  bigint,
    rows_control    bigint,
    smallest_effect float8,
    found           float8,
    found_after     interval,
    safe_after      interval,
    words           text
);
COMMENT ON TYPE flagscope.rollout_plan IS 'what a stage of a ramp can see, or the whole ramp (stage NULL)';
COMMENT ON COLUMN flagscope.rollout_plan.guardrail IS 'name of the guardrail; NULL: planned from numbers';
COMMENT ON COLUMN flagscope.rollout_plan.stage IS 'ordinal of the stage; NULL: the whole ramp';
COMMENT ON COLUMN flagscope.rollout_plan.percent IS 'share that the stage serves';
COMMENT ON COLUMN flagscope.rollout_plan.lasts IS
    'how long it lasts: its minimum, until both arms have their samples (the treatment, where there is no control), '
    'until guardrail.detectable would have been found (at most its max_duration), and of a gate "safe" until worse '
    'than its safe_margin is refuted, in the median (at most a year)';
COMMENT ON COLUMN flagscope.rollout_plan.rows_treatment IS 'rows of the treatment that will come';
COMMENT ON COLUMN flagscope.rollout_plan.rows_control IS 'rows of the control that will come';
COMMENT ON COLUMN flagscope.rollout_plan.smallest_effect IS
    'how many times worse a treatment must be to be found with a chance of 80 % by the end of the stage; '
    'NULL: more than 100';
COMMENT ON COLUMN flagscope.rollout_plan.found IS
    'the chance that the asked effect is found by then; of the whole ramp: before everybody has the treatment';
COMMENT ON COLUMN flagscope.rollout_plan.found_after IS
    'the median time until it is found; NULL: fewer than half find it';
COMMENT ON COLUMN flagscope.rollout_plan.safe_after IS
    'the median time until "no worse than safe_margin" is shown of a treatment that is as good as the control';
COMMENT ON COLUMN flagscope.rollout_plan.words IS 'the same in words, or why there is no plan';

COMMENT ON FUNCTION _flagscope.forecast_ramp(jsonb, flagscope.histogram, boolean, boolean) IS
    'plays a guardrail over a ramp with a fixed seed; request: {kind, harm, margin, margin_absolute, limit_value, '
    'quantile, alpha, design_effect, rows_per_second, baseline, deviation, cap, effect, safe_margin, safe_alpha, '
    'copy_after, stages: [{percent, seconds}]}, NULL: no rows; values: those of a quantile''s past; searches: also for '
    'the smallest effects and the time until it is safe, which is most of the work; stage 0 is the whole ramp; raises: '
    'what cannot be planned is an error, false: it is the problem of stage 0';

COMMENT ON FUNCTION _flagscope.gated_seconds(jsonb, flagscope.histogram, float8[], float8) IS
    'how many seconds each stage of a request of forecast_ramp() lasts that waits until an effect would have been '
    'found with 80 %, at most so many each; effect 0: as asked; NULL: it cannot be planned';

COMMENT ON FUNCTION _flagscope.safe_seconds(jsonb, flagscope.histogram, boolean[], float8) IS
    'how many seconds each stage of a request of forecast_ramp() lasts if these wait until "no worse than margin" is '
    'shown, in the median of a treatment that is as good as the control: the first of them, a year at most; NULL: it '
    'cannot be planned';

COMMENT ON FUNCTION _flagscope.worse(float8, text, text, float8, float8) IS
    'a value of a kind of metric worsened by a margin: value, kind, harm, margin, margin_absolute (which goes first)';

CREATE FUNCTION _flagscope.times_words(effect float8) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN round(effect::numeric, CASE WHEN effect < 10 THEN 2 ELSE 0 END) || ' times';
COMMENT ON FUNCTION _flagscope.times_words(float8) IS 'an effect, rounded for people';

CREATE FUNCTION _flagscope.plan_words(rule jsonb, found float8, found_after float8, safe_after float8, searches boolean)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT concat_ws('; ',
        format('%s worse: %s %% slip through to 100 %%', _flagscope.times_words((rule ->> 'effect')::float8),
            round((100 * (1 - found))::numeric)),
        coalesce('half are found within ' || _flagscope.seconds_words(found_after), 'fewer than half are found'),
        CASE WHEN searches THEN format('"no worse than %s %%" is %s',
            trim_scale(round((100 * (rule ->> 'safe_margin')::float8)::numeric, 2)),
            coalesce('shown within ' || _flagscope.seconds_words(safe_after), 'not shown')) END);
END;
COMMENT ON FUNCTION _flagscope.plan_words(jsonb, float8, float8, float8, boolean) IS
    'what a whole ramp will find, in words';

CREATE FUNCTION _flagscope.stage_words(rule jsonb, percent numeric, smallest float8) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN rule ->> 'limit_value' IS NULL AND percent = 100 THEN 'no control is left to compare with'
    ELSE 'finds ' || coalesce(_flagscope.times_words(smallest) || ' and worse', 'no effect below 100 times') END;
COMMENT ON FUNCTION _flagscope.stage_words(jsonb, numeric, float8) IS 'what a stage will find, in words';

CREATE FUNCTION _flagscope.with_stages(rule jsonb, percents numeric[], seconds float8[]) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT rule || jsonb_build_object('stages', (
        SELECT jsonb_agg(jsonb_build_object('percent', p, 'seconds', s) ORDER BY i)
        FROM unnest(percents, seconds) WITH ORDINALITY x(p, s, i)));
$$;
COMMENT ON FUNCTION _flagscope.with_stages(jsonb, numeric[], float8[]) IS 'a rule as forecast_ramp() wants it';

CREATE FUNCTION _flagscope.plan_of_numbers(rule jsonb, percents numeric[], seconds float8[], past flagscope.histogram,
    searches boolean, raises boolean)
RETURNS SETOF flagscope.rollout_plan
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT NULL, nullif(f.stage, 0), percents[f.stage],
        CASE WHEN f.problem IS NULL THEN make_interval(secs => CASE f.stage
            WHEN 0 THEN (SELECT sum(s) FROM unnest(seconds) s) ELSE seconds[f.stage] END) END,
        round(f.rows_treatment)::bigint, round(f.rows_control)::bigint, f.smallest_effect, f.found,
        make_interval(secs => f.found_after), make_interval(secs => f.safe_after),
        CASE WHEN f.problem IS NOT NULL THEN 'not planned: ' || f.problem
            WHEN f.stage = 0 THEN _flagscope.plan_words(rule, f.found, f.found_after, f.safe_after, searches)
            ELSE _flagscope.stage_words(rule, percents[f.stage], f.smallest_effect) END
    FROM _flagscope.forecast_ramp(
        _flagscope.with_stages(rule, percents, seconds), past, searches, raises) f
    ORDER BY f.stage = 0, f.stage;
$$;
COMMENT ON FUNCTION _flagscope.plan_of_numbers(jsonb, numeric[], float8[], flagscope.histogram, boolean, boolean) IS
    'the plan of one guardrail, given by what forecast_ramp() wants, in words; raises: what cannot be planned is an '
    'error, false: one row says why';

CREATE FUNCTION _flagscope.thinner_share(percent numeric, beside_control boolean) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (CASE WHEN beside_control AND percent < 100 THEN least(percent, 100 - percent) ELSE percent END / 100)::float8;
COMMENT ON FUNCTION _flagscope.thinner_share(numeric, boolean) IS
    'the share of all rows that the arm has for whose sample a stage waits: min_sample is of both arms';

CREATE FUNCTION _flagscope.usual_stages() RETURNS numeric[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_agg(x::numeric) FROM jsonb_array_elements_text(_flagscope.setting_text('rollout.stages')::jsonb) x;
$$;
COMMENT ON FUNCTION _flagscope.usual_stages() IS 'setting rollout.stages';

CREATE FUNCTION flagscope.plan_rollout(stages numeric[], requests_per_second float8, baseline float8,
    effect float8 DEFAULT 1.5, safe_margin float8 DEFAULT 0.2, kind flagscope.metric_kind DEFAULT 'proportion',
    harm flagscope.harm DEFAULT 'increase', margin float8 DEFAULT NULL, min_duration interval DEFAULT NULL,
    min_sample bigint DEFAULT NULL, alpha float8 DEFAULT NULL, deviation float8 DEFAULT NULL, cap float8 DEFAULT NULL)
RETURNS SETOF flagscope.rollout_plan
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    percents numeric[] := coalesce(stages, _flagscope.usual_stages());
    lasts float8 := extract(epoch FROM coalesce(min_duration, _flagscope.setting_interval('rollout.min_duration')));
    wanted float8 := coalesce(min_sample, _flagscope.setting_number('guardrail.min_sample'));
    seconds float8[];
    rule jsonb;
BEGIN
    PERFORM _flagscope.check_stages(percents);
    IF kind NOT IN ('proportion', 'rate', 'mean') OR (kind = 'mean') <> (cap IS NOT NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = CASE
                WHEN kind NOT IN ('proportion', 'rate', 'mean')
                    THEN format('a %s cannot be planned from one number', kind)
                ELSE format('a %s is planned %s a cap', kind, CASE kind WHEN 'mean' THEN 'with' ELSE 'without' END) END,
            HINT = 'A mean takes cap and deviation. plan_rollout(flag) plans quantiles, from their past; '
                'a ratio has no sequential test.';
    ELSIF num_nulls(requests_per_second, baseline, effect, safe_margin) > 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'a plan needs requests_per_second, baseline, effect and safe_margin',
            HINT = 'For example plan_rollout(stages => ''{1, 10, 50, 100}'', requests_per_second => 20, '
                'baseline => 0.01).';
    END IF;
    -- What is no positive number is refused by the planner, in words.
    seconds := ARRAY(SELECT CASE WHEN requests_per_second > 0
        THEN greatest(lasts, 1, wanted / (requests_per_second * _flagscope.thinner_share(p, true))) ELSE 1 END
        FROM unnest(percents) WITH ORDINALITY x(p, i) ORDER BY i);
    rule := jsonb_build_object('kind', kind, 'harm', harm,
            'margin', coalesce(margin, _flagscope.setting_number('guardrail.margin.' || kind)), 'design_effect', 1,
            'alpha', coalesce(alpha, _flagscope.setting_number('rollout.alpha'))
                * (1 - _flagscope.setting_number('rollout.alpha_reserve')),
            'rows_per_second', requests_per_second, 'baseline', baseline, 'deviation', deviation, 'cap', cap,
            'effect', effect, 'safe_margin', safe_margin,
            'safe_alpha', coalesce(alpha, _flagscope.setting_number('rollout.alpha')),
            'copy_after', extract(epoch FROM _flagscope.setting_interval('guardrail.copy_after')));
    seconds := coalesce(_flagscope.gated_seconds(_flagscope.with_stages(rule, percents, seconds),
        NULL::flagscope.histogram, array_fill(lasts * _flagscope.setting_number('rollout.patience'),
            ARRAY[cardinality(percents)]), _flagscope.setting_number('guardrail.detectable')), seconds);
    RETURN QUERY SELECT * FROM _flagscope.plan_of_numbers(rule,
        percents, seconds, NULL::flagscope.histogram, true, true);
END $$;
COMMENT ON FUNCTION flagscope.plan_rollout(numeric[], float8, float8, float8, float8, flagscope.metric_kind,
    flagscope.harm, float8, interval, bigint, float8, float8, float8) IS
    'what a ramp will see, from numbers alone: requests of both arms a second, the metric''s baseline (of a mean with '
    'deviation and cap), how many times worse (effect) and what is to be excluded (safe_margin, a share); one '
    'guardrail against the control; NULLs take the settings; played with a fixed seed by the tests that decide';

CREATE FUNCTION _flagscope.metric_past(m flagscope.metric_definition, flag text, environment text,
    variant text, at timestamptz)
RETURNS TABLE (rows_per_second float8, baseline float8, deviation float8, histogram flagscope.histogram)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH past AS (
        SELECT s.* FROM _flagscope.variant_state s
        WHERE s.flag = metric_past.flag AND s.environment = metric_past.environment AND s.metric = m.name
            AND s.variant <> ''
            AND s.bucket >= at - _flagscope.setting_interval('guardrail.baseline_window') AND s.bucket < at
    ), every AS (
        -- Of a rate its exposure, where that is a sum.
        SELECT coalesce(CASE m.kind WHEN 'rate' THEN flagscope.sum(flagscope.rollup(p.moments)) END, sum(p.n)::float8)
            / greatest(extract(epoch FROM at - min(p.bucket)), 10)::float8 AS rows_per_second
        FROM past p HAVING sum(p.n) > 0
    ), control AS (
        SELECT sum(p.n)::bigint AS n, sum(p.events)::bigint AS events, flagscope.rollup(p.moments) AS moments,
            flagscope.rollup(p.histogram) AS histogram
        FROM past p WHERE p.variant = metric_past.variant
    )
    SELECT e.rows_per_second,
        _flagscope.metric_value(m, NULL::float8, c.n, c.events, c.moments, NULL::flagscope.histogram),
        flagscope.stddev(c.moments), c.histogram
    FROM every e, control c;
$$;
COMMENT ON FUNCTION _flagscope.metric_past(flagscope.metric_definition, text, text, text, timestamptz) IS
    'rows a second of all variants in the time guardrail.baseline_window, since the first of them, and what the metric '
    'says of one variant; no row: there are none';

CREATE FUNCTION _flagscope.not_planned(g flagscope.guardrail, m flagscope.metric_definition, rows_per_second float8,
    baseline float8, histogram flagscope.histogram) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT 'not planned: ' || CASE
        WHEN g.test <> 'sequential' THEN format('test "%s" promises no error rate', g.test)
        WHEN NOT _flagscope.is_tested(m.kind::text, true) THEN format('a %s has no sequential test', m.kind)
        WHEN m.cap IS NULL AND _flagscope.kind_takes(m.kind::text, 'cap')
            THEN 'a mean without a cap cannot be compared with the control'
        WHEN g.scope = 'environment' OR g.variants IS NOT NULL
            THEN format('it watches values %s, which do not depend on the stage',
                _flagscope.whose_words(g.scope::text, g.variants))
        WHEN rows_per_second IS NULL OR CASE m.kind WHEN 'quantile' THEN histogram IS NULL ELSE baseline IS NULL END
            THEN 'its metric has no data of this flag yet; give requests_per_second and baseline'
        WHEN m.kind <> 'quantile' AND NOT (baseline > 0 AND (m.kind <> 'proportion' OR baseline < 1))
            THEN format('its metric was %s all the time', baseline) END;
END;
COMMENT ON FUNCTION _flagscope.not_planned(flagscope.guardrail, flagscope.metric_definition, float8, float8,
    flagscope.histogram) IS
    'why a guardrail cannot be planned; NULL: it can';

CREATE FUNCTION _flagscope.planned(r flagscope.rollout, at timestamptz, effect float8, safe_margin float8,
    requests_per_second float8, baseline float8)
RETURNS TABLE (guardrail text, rule jsonb, histogram flagscope.histogram, sample float8, note text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT g.name, jsonb_build_object('kind', m.kind, 'harm', m.harm, 'margin', _flagscope.margin(g),
            'margin_absolute', g.margin_absolute, 'limit_value', CASE g.comparison WHEN 'baseline'
                THEN _flagscope.worse(x.baseline, m.kind::text, m.harm::text, _flagscope.margin(g), g.margin_absolute)
                ELSE g.limit_value END,
            'quantile', g.quantile, 'alpha', _flagscope.first_share(g, r), 'design_effect',
            coalesce(g.design_effect, _flagscope.measured_effect(g, r.id), 1),
            'rows_per_second', x.rows_per_second, 'baseline', x.baseline, 'deviation', p.deviation, 'cap', m.cap,
            'effect', planned.effect, 'safe_margin', planned.safe_margin, 'safe_alpha', r.alpha,
            'gate', g.advance_when,
            'detectable', coalesce(g.detectable, _flagscope.setting_number('guardrail.detectable')),
            'gate_margin', coalesce(g.safe_margin, _flagscope.setting_number('guardrail.safe_margin')),
            'copy_after', extract(epoch FROM _flagscope.setting_interval('guardrail.copy_after'))),
        p.histogram, coalesce(g.min_sample, _flagscope.setting_number('guardrail.min_sample')),
        _flagscope.not_planned(g, m, x.rows_per_second, x.baseline, p.histogram)
    FROM flagscope.guardrail g JOIN flagscope.metric_definition m ON m.name = g.metric
        LEFT JOIN LATERAL _flagscope.metric_past(m, g.flag, g.environment, r.control, at) p ON true
        CROSS JOIN LATERAL (SELECT coalesce(planned.requests_per_second, p.rows_per_second),
            coalesce(p.baseline, planned.baseline)) x(rows_per_second, baseline)
    WHERE g.flag = r.flag AND g.environment = r.environment AND g.enabled AND NOT g.shadow
    ORDER BY g.id;
$$;
COMMENT ON FUNCTION _flagscope.planned(flagscope.rollout, timestamptz, float8, float8, float8, float8) IS
    'the guardrails of a rollout (one that is not stored, too) as a plan needs them, from their metrics'' past, else '
    'from given numbers; a note where one cannot be planned';

CREATE FUNCTION _flagscope.gate_of(rule jsonb, stage_gate text, percent numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN percent < 100 THEN coalesce(rule ->> 'gate', stage_gate) ELSE 'clear' END;
COMMENT ON FUNCTION _flagscope.gate_of(jsonb, text, numeric) IS
    'what a planned guardrail asks of a stage: as it says itself, else as the stage does; nothing at 100 %';

CREATE FUNCTION _flagscope.plan(r flagscope.rollout, percents numeric[], seconds float8[], samples float8[],
    longest float8[], stage_gates text[], at timestamptz, effect float8, safe_margin float8,
    requests_per_second float8, baseline float8,
    searches boolean)
RETURNS SETOF flagscope.rollout_plan
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH planned AS MATERIALIZED (
        SELECT x.*, row_number() OVER () AS nr
        FROM _flagscope.planned(r, at, effect, safe_margin, requests_per_second, baseline) x
    ), sampled AS MATERIALIZED (
        -- A stage waits for the guardrail with the fewest rows, against the control for those of the thinner arm.
        SELECT array_agg(greatest(s.seconds, w.seconds, 1) ORDER BY s.i) AS seconds
        FROM unnest(percents, seconds, samples) WITH ORDINALITY s(percent, seconds, sample, i),
            LATERAL (SELECT max(greatest(p.sample, s.sample) / (p.rps * p.share)) AS seconds
                FROM (SELECT x.sample, nullif((x.rule ->> 'rows_per_second')::float8, 0) AS rps,
                        _flagscope.thinner_share(s.percent, x.rule ->> 'limit_value' IS NULL) AS share FROM planned x
                    WHERE x.note IS NULL) p) w
    ), asked AS MATERIALIZED (
        -- Each guardrail has the gate that it names, else the stage's.
        SELECT p.rule, p.histogram, _flagscope.with_stages(p.rule, percents, t.seconds) AS request, x.longest, x.waits
        FROM planned p, sampled t, LATERAL (
            SELECT array_agg(CASE g.gate WHEN 'power' THEN l.longest ELSE 0 END ORDER BY l.i) AS longest,
                array_agg(g.gate = 'safe' ORDER BY l.i) AS waits
            FROM unnest(percents, longest, stage_gates) WITH ORDINALITY l(percent, longest, gate, i),
                LATERAL (SELECT _flagscope.gate_of(p.rule, l.gate, l.percent) AS gate) g) x
        WHERE p.note IS NULL
    ), gated AS MATERIALIZED (
        SELECT _flagscope.gated_seconds(a.request, a.histogram, a.longest, (a.rule ->> 'detectable')::float8) AS seconds
        FROM asked a
        UNION ALL
        SELECT _flagscope.safe_seconds(a.request, a.histogram, a.waits, (a.rule ->> 'gate_margin')::float8)
        FROM asked a WHERE true = ANY (a.waits)
    ), lasts AS MATERIALIZED (
        -- And for the one that sees the least.
        SELECT array_agg(greatest(b.seconds, (SELECT max(x.seconds[b.i]) FROM gated x)) ORDER BY b.i) AS seconds
        FROM sampled t, unnest(t.seconds) WITH ORDINALITY b(seconds, i)
    )
    SELECT p.guardrail, f.stage, f.percent, f.lasts, f.rows_treatment, f.rows_control, f.smallest_effect, f.found,
        f.found_after, f.safe_after, coalesce(p.note, f.words)
            || CASE WHEN _flagscope.gate_of(p.rule, stage_gates[f.stage], f.percent) = 'safe' THEN
                format('; waits until "%s" is shown', CASE WHEN p.rule ->> 'limit_value' IS NOT NULL
                    THEN 'within its limit' ELSE format('no worse than %s %%',
                        trim_scale(round((100 * (p.rule ->> 'gate_margin')::float8)::numeric, 2))) END)
                ELSE '' END
    FROM planned p LEFT JOIN LATERAL (SELECT x.* FROM _flagscope.plan_of_numbers(
        CASE WHEN p.note IS NULL THEN p.rule END, percents, (SELECT lasts.seconds FROM lasts), p.histogram,
        searches, false) x
        WHERE p.note IS NULL) f ON true
    ORDER BY p.nr, f.stage NULLS LAST;
$$;
COMMENT ON FUNCTION _flagscope.plan(flagscope.rollout, numeric[], float8[], float8[], float8[], text[], timestamptz,
    float8, float8, float8, float8, boolean) IS
    'the plan of a rollout (one that is not stored, too) for stages with these percents, seconds, samples, longest '
    'waits for power and gates (rollout_stage.advance_when)';

CREATE FUNCTION flagscope.plan_rollout(flag text, environment text DEFAULT NULL, effect float8 DEFAULT 1.5,
    safe_margin float8 DEFAULT 0.2, requests_per_second float8 DEFAULT NULL, baseline float8 DEFAULT NULL,
    stages numeric[] DEFAULT NULL, min_duration interval DEFAULT NULL, at timestamptz DEFAULT clock_timestamp())
RETURNS SETOF flagscope.rollout_plan
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    env text := _flagscope.environment(environment);
    r flagscope.rollout;
    percents numeric[];
    seconds float8[];
    samples float8[];
    longest float8[];
    gates text[];
BEGIN
    PERFORM _flagscope.require_flag(flag), _flagscope.finite('a plan', at);
    IF NOT (requests_per_second > 0 AND requests_per_second < 'Infinity') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('requests_per_second must be a positive number, got "%s"',
                requests_per_second::text),
            HINT = 'It counts those of both arms together; NULL takes what was measured.';
    END IF;
    SELECT x.* INTO r FROM flagscope.rollout x
    WHERE x.flag = plan_rollout.flag AND x.environment = env AND x.status IN ('draft', 'running', 'paused', 'held');
    IF r.id IS NULL THEN
        r.flag := flag;
        r.environment := env;
        r.alpha := _flagscope.setting_number('rollout.alpha');
        r.control := (SELECT s.default_variant FROM flagscope.flag_state s
            WHERE s.flag = plan_rollout.flag AND s.environment = env);
    END IF;
    percents := coalesce(stages, (SELECT array_agg(s.percent ORDER BY s.ordinal) FROM flagscope.rollout_stage s
        WHERE s.rollout_id = r.id), _flagscope.usual_stages());
    PERFORM _flagscope.check_stages(percents);
    SELECT array_agg(extract(epoch FROM coalesce(plan_rollout.min_duration, s.min_duration,
            _flagscope.setting_interval('rollout.min_duration'))) ORDER BY x.i),
        array_agg(coalesce(s.min_sample, 0) ORDER BY x.i),
        array_agg(extract(epoch FROM coalesce(s.max_duration,
            _flagscope.setting_number('rollout.patience') * coalesce(plan_rollout.min_duration, s.min_duration,
                _flagscope.setting_interval('rollout.min_duration')))) ORDER BY x.i),
        array_agg(coalesce(s.advance_when, 'power') ORDER BY x.i)
    INTO seconds, samples, longest, gates
    FROM unnest(percents) WITH ORDINALITY x(percent, i)
        LEFT JOIN flagscope.rollout_stage s ON s.rollout_id = r.id AND s.ordinal = x.i AND stages IS NULL;
    IF NOT EXISTS (SELECT FROM flagscope.guardrail g
        WHERE g.flag = plan_rollout.flag AND g.environment = env AND g.enabled AND NOT g.shadow) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = _flagscope.message(
                'flag "%s" has no guardrail in %s that acts: a rollout of it would see nothing', flag, env),
            HINT = 'Create one with flagscope.create_guardrail(flag, metric); or plan with numbers: '
                'plan_rollout(stages => ''{1, 10, 50, 100}'', requests_per_second => 20, baseline => 0.01).';
    END IF;
    RETURN QUERY SELECT * FROM _flagscope.plan(r, percents, seconds, samples, longest, gates, at, effect, safe_margin,
        requests_per_second, baseline, true);
END $$;
COMMENT ON FUNCTION flagscope.plan_rollout(text, text, float8, float8, float8, float8, numeric[], interval,
    timestamptz) IS
    'what a rollout of a flag will see, by guardrail and stage, from the last day of its metrics (requests_per_second '
    'stands for the measured traffic, baseline for what was not measured); effect: how many times worse; safe_margin: '
    'what is to be excluded, a share; stages and durations of the live or drafted rollout, else of the settings; '
    'played with a fixed seed by the tests that decide';
