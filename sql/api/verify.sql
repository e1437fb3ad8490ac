-- verify_rollup(): do the rollups agree with the raw rows?

CREATE FUNCTION _flagscope.is_near(a float8, b float8, scale float8) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN a IS NOT DISTINCT FROM b OR abs(a - b) <= 1e-9 * greatest(abs(a), abs(b), abs(scale));
COMMENT ON FUNCTION _flagscope.is_near(float8, float8, float8) IS
    'equal up to rounding, since floating-point sums depend on their order; scale: size of what was summed';

CREATE FUNCTION _flagscope.state_difference(raw flagscope.variant_rollup, rollup flagscope.variant_rollup) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN raw.n IS NULL THEN 'no raw rows' WHEN rollup.n IS NULL THEN 'no rollup' ELSE concat_ws(', ',
    CASE WHEN raw.n <> rollup.n THEN 'n' END,
    CASE WHEN raw.events <> rollup.events THEN format('events %s and %s', raw.events, rollup.events) END,
    CASE WHEN raw.last_ts <> rollup.last_ts THEN 'last_ts' END,
    CASE WHEN (flagscope.count(raw.moments), flagscope.invalid(raw.moments), flagscope.min(raw.moments),
        flagscope.max(raw.moments))
            IS DISTINCT FROM (flagscope.count(rollup.moments), flagscope.invalid(rollup.moments),
                flagscope.min(rollup.moments), flagscope.max(rollup.moments))
        THEN 'moments' END,
    CASE WHEN NOT _flagscope.is_near(flagscope.mean(raw.moments), flagscope.mean(rollup.moments),
        flagscope.stddev(raw.moments)) THEN 'mean' END,
    CASE WHEN NOT _flagscope.is_near(flagscope.stddev(raw.moments), flagscope.stddev(rollup.moments), 0) THEN
        'stddev' END,
    CASE WHEN raw.histogram::text::jsonb - 'sum' IS DISTINCT FROM rollup.histogram::text::jsonb - 'sum' THEN
        'histogram' END,
    CASE WHEN NOT _flagscope.is_near((raw.histogram::text::jsonb ->> 'sum')::float8,
        (rollup.histogram::text::jsonb ->> 'sum')::float8,
        raw.n * greatest(abs(flagscope.min(raw.histogram)), abs(flagscope.max(raw.histogram)))) THEN 'sum' END) END;
COMMENT ON FUNCTION _flagscope.state_difference(flagscope.variant_rollup, flagscope.variant_rollup) IS
    'difference between two states, as text; empty: counts, histograms and extremes are equal, '
    'mean and deviation equal up to rounding';

CREATE FUNCTION _flagscope.summed(states flagscope.variant_rollup[], width interval)
RETURNS SETOF flagscope.variant_rollup
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.flag, s.environment, s.variant, s.metric, _flagscope.floor(width, s.bucket), sum(s.n)::bigint,
        sum(s.events)::bigint, flagscope.rollup(s.moments), flagscope.rollup(s.histogram), max(s.last_ts), true
    FROM unnest(states) s GROUP BY 1, 2, 3, 4, 5;
$$;
COMMENT ON FUNCTION _flagscope.summed(flagscope.variant_rollup[], interval) IS
    'states summed up by series and bucket of a width';

CREATE FUNCTION _flagscope.differences(raw flagscope.variant_rollup[],
    rollup flagscope.variant_rollup[], width interval)
RETURNS TABLE (bucket_width interval, flag text, environment text, metric text, variant text, bucket timestamptz,
    n_raw bigint, n_rollup bigint, difference text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT * FROM (
        SELECT differences.width, coalesce(a.flag, b.flag), coalesce(a.environment, b.environment),
            coalesce(a.metric, b.metric), coalesce(a.variant, b.variant), coalesce(a.bucket, b.bucket), a.n, b.n,
            _flagscope.state_difference(a, b) AS difference
        FROM _flagscope.summed(raw, width) a FULL JOIN _flagscope.summed(rollup, width) b
            ON (a.flag, a.environment, a.metric, a.variant, a.bucket)
                = (b.flag, b.environment, b.metric, b.variant, b.bucket)
    ) d WHERE d.difference <> '';
$$;
COMMENT ON FUNCTION _flagscope.differences(flagscope.variant_rollup[], flagscope.variant_rollup[], interval) IS
    'series and buckets of a width whose two states differ';

CREATE FUNCTION _flagscope.open_states(lower timestamptz, upper timestamptz, watches jsonb)
RETURNS SETOF flagscope.variant_rollup
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.* FROM flagscope.variant_rollup r
        JOIN _flagscope.keys(watches) k ON (r.flag, r.environment, r.metric) = (k.flag, k.environment, k.metric)
    WHERE NOT r.settled AND r.bucket >= lower AND r.bucket < upper
        AND _flagscope.is_on_watch(r.flag, r.environment, r.metric, r.variant)
    UNION ALL
    SELECT d.flag, d.environment, d.variant, d.metric, d.bucket, d.n, d.events, d.moments, d.histogram, d.last_ts, false
    FROM _flagscope.variant_delta d
        JOIN _flagscope.keys(watches) k ON (d.flag, d.environment, d.metric) = (k.flag, k.environment, k.metric)
    WHERE NOT d.rolled_up AND d.bucket >= lower AND d.bucket < upper
        AND _flagscope.is_on_watch(d.flag, d.environment, d.metric, d.variant);
$$;
COMMENT ON FUNCTION _flagscope.open_states(timestamptz, timestamptz, jsonb) IS
    'states that are not settled yet, and so belong to every level';

CREATE FUNCTION _flagscope.verify_slice(lower timestamptz, upper timestamptz, watches jsonb)
RETURNS TABLE (bucket_width interval, flag text, environment text, metric text, variant text, bucket timestamptz,
    n_raw bigint, n_rollup bigint, difference text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    raw flagscope.variant_rollup[] := ARRAY(SELECT ROW(f.flag, f.environment, f.variant, f.metric, f.bucket, f.n,
            f.events, f.moments, f.histogram, f.last_ts, true)::flagscope.variant_rollup
        FROM _flagscope.fold_stored(lower, upper, watches) f);
    open flagscope.variant_rollup[] := ARRAY(SELECT o FROM _flagscope.open_states(lower, upper, watches) o);
BEGIN
    IF lower >= _flagscope.kept_since('rollup fine') THEN
        RETURN QUERY SELECT * FROM _flagscope.differences(raw, open || ARRAY(SELECT r FROM flagscope.variant_rollup r
            JOIN _flagscope.keys(watches) k ON (r.flag, r.environment, r.metric) = (k.flag, k.environment, k.metric)
            WHERE r.settled AND r.bucket >= lower AND r.bucket < upper
                AND _flagscope.is_on_watch(r.flag, r.environment, r.metric, r.variant)), interval '10 seconds');
    END IF;
    RETURN QUERY SELECT *
        FROM _flagscope.differences(raw, open || _flagscope.history(interval '10 minutes', lower, upper, watches),
            interval '10 minutes');
END $$;
COMMENT ON FUNCTION _flagscope.verify_slice(timestamptz, timestamptz, jsonb) IS
    'differences in a range of whole 10 minutes, at both finer levels';

CREATE FUNCTION _flagscope.history(width interval, lower timestamptz, upper timestamptz, watches jsonb)
RETURNS flagscope.variant_rollup[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_agg(ROW(h.flag, h.environment, h.variant, h.metric, h.bucket, h.n, h.events, h.moments, h.histogram,
        h.last_ts, true)::flagscope.variant_rollup)
    FROM flagscope.variant_history h
        JOIN _flagscope.keys(watches) k ON (h.flag, h.environment, h.metric) = (k.flag, k.environment, k.metric)
    WHERE h.bucket_width = history.width AND h.bucket >= lower AND h.bucket < upper
        AND _flagscope.is_on_watch(h.flag, h.environment, h.metric, h.variant);
$$;
COMMENT ON FUNCTION _flagscope.history(interval, timestamptz, timestamptz, jsonb) IS
    'the states of a wider level in a range';

CREATE FUNCTION flagscope.verify_rollup(since timestamptz, until timestamptz DEFAULT 'infinity')
RETURNS TABLE (bucket_width interval, flag text, environment text, metric text, variant text, bucket timestamptz,
    n_raw bigint, n_rollup bigint, difference text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    span record := _flagscope.check_range(since, until);
    slice record;
    watches jsonb;
    lower timestamptz;
    upper timestamptz;
    told timestamptz := clock_timestamp();
    application text := current_setting('application_name');
BEGIN
    PERFORM _flagscope.require_raw_rows('rollups cannot be verified');
    FOR slice IN SELECT s.*, row_number() OVER (ORDER BY s.lower) - 1 AS done, count(*) OVER () AS total
        FROM _flagscope.slices(span.since, span.until) s ORDER BY s.lower
    LOOP
        told := _flagscope.show_progress('verify_rollup'::text, slice.done, slice.total, told);
        SELECT jsonb_agg(jsonb_build_object('flag', w.flag, 'environment', w.environment,
            'metric', w.metric)) INTO watches
        FROM _flagscope.watch w WHERE w.since <= slice.lower;
        CONTINUE WHEN watches IS NULL;
        RETURN QUERY SELECT * FROM _flagscope.verify_slice(slice.lower, slice.upper, watches);
    END LOOP;
    -- A day is the sum of its 10-minute buckets.
    SELECT jsonb_agg(jsonb_build_object('flag', w.flag, 'environment', w.environment, 'metric', w.metric)) INTO watches
    FROM _flagscope.watch w;
    lower := greatest(_flagscope.floor(interval '1 day', span.since), _flagscope.kept_since('rollup medium'));
    upper := _flagscope.ceiling(interval '1 day', span.until);
    RETURN QUERY SELECT * FROM _flagscope.differences(_flagscope.history(interval '10 minutes', lower, upper, watches),
        _flagscope.history(interval '1 day', lower, upper, watches), interval '1 day');
    PERFORM set_config('application_name', application, true);
END $$;
COMMENT ON FUNCTION flagscope.verify_rollup(timestamptz, timestamptz) IS
    'compares the rollups of every level with recomputed ones, over the range in whole 10 minutes, for rolled-up '
    'metrics as far back as they are complete (watch.since); no rows: all agree';
