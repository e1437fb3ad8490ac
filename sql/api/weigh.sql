-- Single findings computed anew: each row of correlate() names one of these calls.

COMMENT ON FUNCTION _flagscope.weigh(jsonb, jsonb, jsonb, timestamptz, timestamptz) IS
    'counts and dispersions of the rows of a predicate among those of a question, without those of earlier predicates';
COMMENT ON FUNCTION flagscope.segment_test(float8, float8, float8, float8, float8, float8, float8, float8, float8,
    float8) IS
    'is the treatment''s harm in a segment more than elsewhere? From rows and events of treatment and control inside, '
    'and of all rows. theta: ratio of the arms'' rates if it is the same everywhere; gain: how much better "it is in '
    'this segment" explains the events, in nats; p_relative, p_absolute: chance of such events if the treatment '
    'multiplied them, or added to them, everywhere alike; p_value: the greater, where the control has no event at all '
    'p_absolute. Dispersions, by which counts are divided, are how far events come in series of one subject';
COMMENT ON FUNCTION _flagscope.symptom_p_value(float8, float8, float8, float8, float8) IS
    'chance of so many events of the treatment if each came to an arm by its share of rows; NULL for what are no '
    'counts';

CREATE FUNCTION _flagscope.weighed(question jsonb, predicate jsonb, without jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT _flagscope.weigh(question, coalesce(predicate, '{}'), without, (question ->> 'since')::timestamptz,
        (question ->> 'until')::timestamptz);
$$;
COMMENT ON FUNCTION _flagscope.weighed(jsonb, jsonb, jsonb) IS 'the same over the range of the question';

CREATE FUNCTION _flagscope.numbers(list jsonb) RETURNS float8[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_agg(x.n::float8 ORDER BY x.place) FROM jsonb_array_elements_text(list) WITH ORDINALITY x(n, place)
$$;
COMMENT ON FUNCTION _flagscope.numbers(jsonb) IS 'a JSON list of numbers as an array';

CREATE FUNCTION flagscope.weigh_segment(flag text, predicate jsonb, metric text DEFAULT NULL,
    environment text DEFAULT NULL,
    since timestamptz DEFAULT NULL, until timestamptz DEFAULT clock_timestamp(), treatment text DEFAULT NULL,
    control text DEFAULT NULL, without jsonb DEFAULT NULL, tests integer DEFAULT 1)
RETURNS TABLE (n_treatment float8, events_treatment float8, n_control float8, events_control float8, share float8,
    all_n_treatment float8, all_events_treatment float8, all_n_control float8, all_events_control float8,
    dispersion_inside float8, dispersion_outside float8, gain float8, p_relative float8, p_absolute float8,
        p_value float8, tested float8[])
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH w AS MATERIALIZED (
        SELECT _flagscope.weighed(_flagscope.question(flag, metric, environment, since, until, treatment, control,
            NULL::text[], 2), predicate, without) AS j
    ), list AS (
        SELECT _flagscope.numbers(j -> 'inside') AS r, _flagscope.numbers(j -> 'all') AS a,
            _flagscope.numbers(j -> 'tested_inside') || _flagscope.numbers(j -> 'tested_all')
                || ARRAY[(j ->> 'dispersion_inside')::float8, (j ->> 'dispersion_outside')::float8] AS t FROM w
    )
    SELECT r[1], r[2], r[3], r[4],
        (t[2] - t[1] * t[4] / nullif(t[3], 0)) / nullif(t[6] - t[5] * t[8] / nullif(t[7], 0), 0),
        a[1], a[2], a[3], a[4], t[9], t[10], x.gain, x.p_relative, x.p_absolute,
        least(1, greatest(tests, 1) * x.p_value), t
    FROM list, flagscope.segment_test(t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8], t[9], t[10]) x;
$$;
COMMENT ON FUNCTION flagscope.weigh_segment(text, jsonb, text, text, timestamptz, timestamptz, text, text, jsonb,
    integer) IS
    'one segment of correlate() computed anew from raw rows: its counts, all rows'' without those of the predicates in '
    'without, dispersions, and segment_test() of them; p_value: times tests, at most 1; tested: the arguments of '
    'segment_test(), which are the counts, weighted by stage where the range has several stages of a ramp';

CREATE FUNCTION flagscope.weigh_symptom(flag text, predicate jsonb, metric text DEFAULT NULL,
    environment text DEFAULT NULL,
    since timestamptz DEFAULT NULL, until timestamptz DEFAULT clock_timestamp(), treatment text DEFAULT NULL,
    control text DEFAULT NULL, tests integer DEFAULT 1)
RETURNS TABLE (events_treatment float8, events_control float8, n_treatment float8, n_control float8, excess float8,
    dispersion float8, p_value float8)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH w AS MATERIALIZED (
        SELECT _flagscope.weighed(_flagscope.question(flag, metric, environment, since, until, treatment, control,
            NULL::text[], 2), predicate, NULL::jsonb) AS j
    ), list AS (
        SELECT _flagscope.numbers(j -> 'inside') AS r, _flagscope.numbers(j -> 'all') AS a,
            _flagscope.numbers(j -> 'tested_inside') AS t, _flagscope.numbers(j -> 'tested_all') AS all_tested,
            (j ->> 'dispersion_symptom')::float8 AS d FROM w
    )
    SELECT r[2], r[4], a[1], a[3], t[2] - t[4] * all_tested[1] / nullif(all_tested[3], 0), d,
        least(1, greatest(tests, 1)
            * _flagscope.symptom_p_value(t[2], t[4], all_tested[1], all_tested[3], d)) FROM list;
$$;
COMMENT ON FUNCTION flagscope.weigh_symptom(text, jsonb, text, text, timestamptz, timestamptz, text, text, integer) IS
    'one symptom of correlate() computed anew from raw rows: its events in both arms against all rows of an arm '
    '(excess and p_value: weighted by stage where the range has several stages of a ramp); '
    'p_value: times tests, at most 1 (correlate() corrects by Holm, which is never more)';
