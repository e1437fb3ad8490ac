-- Reading telemetry: variants side by side, a metric over time, one trace, one user.

CREATE FUNCTION flagscope.variant_summary(flag text, environment text DEFAULT NULL,
    since timestamptz DEFAULT clock_timestamp() - interval '1 hour', until timestamptz DEFAULT clock_timestamp())
RETURNS TABLE (metric text, variant text, n bigint, events bigint, rate float8, mean float8, p50 float8,
    p95 float8, p99 float8)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    env text := _flagscope.environment(variant_summary.environment);
BEGIN
    PERFORM _flagscope.require_flag(variant_summary.flag);
    RETURN QUERY
    SELECT s.metric, s.variant, s.n, CASE WHEN _flagscope.counts_events(m.kind::text) THEN s.events END,
        CASE WHEN m.kind <> 'mean' THEN
            _flagscope.metric_value(m, NULL::float8, s.n, s.events, s.moments, NULL::flagscope.histogram) END,
        CASE m.kind WHEN 'mean' THEN flagscope.mean(s.moments) END,
        flagscope.quantile(s.histogram, 0.5::float8), flagscope.quantile(s.histogram, 0.95::float8),
        flagscope.quantile(s.histogram, 0.99::float8)
    FROM (
        SELECT v.metric, v.variant, sum(v.n)::bigint AS n, sum(v.events)::bigint AS events,
            flagscope.rollup(v.moments) AS moments, flagscope.rollup(v.histogram) AS histogram
        FROM _flagscope.variant_states(variant_summary.flag, coalesce(since, '-infinity'), coalesce(until, 'infinity'),
            interval '1 day', NULL::text, env) v
        WHERE coalesce(since < until, true)
        GROUP BY v.metric, v.variant
    ) s JOIN flagscope.metric_definition m ON m.name = s.metric
    ORDER BY s.metric, s.variant;
END $$;
COMMENT ON FUNCTION flagscope.variant_summary(text, text, timestamptz, timestamptz) IS
    'every rolled-up metric by variant over a range of time (default: the last hour) in whole buckets: count, '
    'rate (share of events, rate or ratio), mean, quantiles; read from rollups, so fast for any range';

CREATE FUNCTION _flagscope.series_bucket(asked interval, since timestamptz) RETURNS interval
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept interval := CASE WHEN since < _flagscope.kept_since('rollup medium') THEN '1 day'
        WHEN since < _flagscope.kept_since('rollup fine') THEN '10 minutes' ELSE '10 seconds' END;
BEGIN
    IF asked IS NULL OR NOT asked > interval '0' OR asked > interval '10000 days'
        OR extract(year FROM asked) <> 0 OR extract(month FROM asked) <> 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message(
                'bucket_width must be longer than zero, at most 10,000 days, and not in months; got "%s"',
                coalesce(asked::text, 'NULL')),
            HINT = 'For example ''1 minute'' or ''1 day''; the length of a month varies.';
    END IF;
    RETURN ceil(extract(epoch FROM asked) / extract(epoch FROM kept))::float8 * kept;
END $$;
COMMENT ON FUNCTION _flagscope.series_bucket(interval, timestamptz) IS
    'the width of a series'' buckets: the given one, rounded up to whole buckets of the '
    'finest level that is available from a time on';

CREATE FUNCTION _flagscope.series_since(flag text, metric text, environment text, since timestamptz, until timestamptz)
RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN isfinite(since) THEN since ELSE (SELECT min(v.bucket)
        FROM _flagscope.variant_states(flag, '-infinity', until, '1 day', metric, environment) v) END;
$$;
COMMENT ON FUNCTION _flagscope.series_since(text, text, text, timestamptz, timestamptz) IS
    'start of a series: start of the range, else of its first rollup';

CREATE FUNCTION flagscope.metric_series(flag text, metric text, environment text DEFAULT NULL,
    since timestamptz DEFAULT clock_timestamp() - interval '1 hour', until timestamptz DEFAULT clock_timestamp(),
    bucket_width interval DEFAULT '1 minute', quantile float8 DEFAULT 0.95)
RETURNS TABLE (ts timestamptz, variant text, n bigint, value float8)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    env text := _flagscope.environment(metric_series.environment);
    m flagscope.metric_definition := _flagscope.require_metric(metric_series.metric);
    hi timestamptz := coalesce(nullif(metric_series.until, 'infinity'), clock_timestamp());
    lo timestamptz;
    width interval;
BEGIN
    PERFORM _flagscope.require_flag(metric_series.flag);
    IF since >= hi OR since = 'infinity' OR hi = '-infinity' THEN
        RETURN;
    END IF;
    hi := _flagscope.computable(hi);
    lo := _flagscope.series_since(metric_series.flag, metric_series.metric, env, since, hi);
    width := _flagscope.series_bucket(metric_series.bucket_width, lo);
    IF lo < timestamptz '4714-11-24 00:00:00+00 BC' + width THEN
        lo := timestamptz '4714-11-24 00:00:00+00 BC' + width;  -- leaves room for the start of the first bucket
    END IF;
    IF width <> metric_series.bucket_width THEN
        RAISE NOTICE USING MESSAGE = _flagscope.message('bucket_width "%s" is rounded up to "%s"',
                metric_series.bucket_width, width),
            HINT = 'Rollups of that time are no longer kept in finer buckets; raw rows are in telemetry.';
    END IF;
    IF extract(epoch FROM hi) - extract(epoch FROM lo) > 100000 * extract(epoch FROM width) THEN
        RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
            MESSAGE = _flagscope.message('a series from %s to %s has more than 100,000 buckets of %s', lo, hi, width),
            HINT = 'Ask for a shorter range or wider buckets.';
    END IF;
    RETURN QUERY
    WITH steps AS (
        SELECT generate_series(date_bin(width, lo, 'epoch'), hi, width) AS ts
    ), state AS (
        SELECT date_bin(width, v.bucket, 'epoch') AS ts, v.variant, sum(v.n)::bigint AS n,
            _flagscope.metric_value(m, metric_series.quantile, sum(v.n)::bigint, sum(v.events)::bigint,
                flagscope.rollup(v.moments), flagscope.rollup(v.histogram)) AS value
        FROM _flagscope.variant_states(metric_series.flag, date_bin(width, lo, 'epoch'), hi, CASE
                WHEN extract(epoch FROM width) % 86400 = 0 THEN interval '1 day'
                WHEN extract(epoch FROM width) % 600 = 0 THEN interval '10 minutes' ELSE interval '10 seconds' END,
            metric_series.metric, env) v
        WHERE v.bucket < hi
        GROUP BY 1, v.variant
    )
    SELECT s.ts, v.variant, coalesce(x.n, 0), x.value
    FROM steps s CROSS JOIN (SELECT DISTINCT state.variant FROM state) v
        LEFT JOIN state x ON x.ts = s.ts AND x.variant = v.variant
    WHERE s.ts < hi
    ORDER BY s.ts, v.variant;
END $$;
COMMENT ON FUNCTION flagscope.metric_series(text, text, text, timestamptz, timestamptz, interval, float8) IS
    'a metric of a flag by variant over time (since NULL: from its first rollup), without gaps: share, rate, ratio, '
    'mean, or the given quantile; NULL where there is no data, never 0; buckets are rounded up to whole 10 seconds, '
    'or to whole buckets of the finest level kept for that time';

CREATE FUNCTION flagscope.trace(trace_id uuid)
RETURNS TABLE (depth integer, signal flagscope.signal, name text, after float8, duration float8, self_duration float8,
    is_error boolean, service text, subject text, flags jsonb, body text, span_id text, parent_span_id text,
    ts timestamptz, ts_nanos smallint, attributes jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH RECURSIVE item AS MATERIALIZED (
        SELECT t.*, row_number() OVER (ORDER BY t.ts, t.ts_nanos, t.signal, t.span_id) AS n,
            -- A log or event is placed below the span in which it was recorded.
            CASE WHEN t.signal = 'span' THEN t.parent_span_id ELSE coalesce(t.parent_span_id, t.span_id) END AS above
        FROM flagscope.telemetry t WHERE t.trace_id = trace.trace_id
    ), span AS MATERIALIZED (
        -- A span that was sent twice gets its children only once.
        SELECT DISTINCT ON (r.span_id) r.span_id, r.n FROM item r
        WHERE r.span_id IS NOT NULL AND (r.signal = 'span' OR r.parent_span_id IS NOT NULL) ORDER BY r.span_id, r.n
    ), link AS MATERIALIZED (
        SELECT r.n, s.n AS parent FROM item r LEFT JOIN span s ON s.span_id = r.above AND s.n <> r.n
    ), tree AS (
        SELECT l.n, 0 AS depth, ARRAY[l.n] AS path FROM link l WHERE l.parent IS NULL
        UNION ALL
        SELECT l.n, t.depth + 1, t.path || l.n FROM tree t JOIN link l ON l.parent = t.n
    ), placed AS (
        SELECT t.n, t.depth, t.path FROM tree t
        UNION ALL
        -- Spans in a circle of parents (from broken senders) have no root, but must not be lost.
        SELECT l.n, 0, ARRAY[l.n] FROM link l WHERE NOT EXISTS (SELECT FROM tree t WHERE t.n = l.n)
    ), child AS (
        SELECT l.parent, sum(r.value) AS duration
        FROM link l JOIN item r ON r.n = l.n WHERE r.signal = 'span' GROUP BY l.parent
    )
    SELECT p.depth, r.signal, r.name,
        (extract(epoch FROM r.ts - min(r.ts) OVER ())
            + (coalesce(r.ts_nanos, 0) - coalesce(first_value(r.ts_nanos) OVER (ORDER BY r.n), 0)) / 1e9)::float8,
        CASE r.signal WHEN 'span' THEN r.value END,
        CASE r.signal WHEN 'span' THEN greatest(r.value - coalesce(c.duration, 0), 0) END,
        r.is_error, r.service, r.subject, r.flags, r.body, encode(r.span_id, 'hex'), encode(r.parent_span_id, 'hex'),
        r.ts, r.ts_nanos, r.attributes
    FROM placed p JOIN item r ON r.n = p.n LEFT JOIN child c ON c.parent = r.n
    ORDER BY p.path;
$$;
COMMENT ON FUNCTION flagscope.trace(uuid) IS
    'one trace as a tree in the order of time: spans, and below each its logs and events; after: seconds since the '
    'trace began; self_duration: duration minus that of the children (0 if these ran concurrently); '
    'a span whose parent is missing is a root';

CREATE FUNCTION _flagscope.join_flags(known jsonb, more jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN known || coalesce(more, '{}');
COMMENT ON FUNCTION _flagscope.join_flags(jsonb, jsonb) IS
    'transition of flags_so_far: later flags replace earlier ones';
CREATE AGGREGATE _flagscope.flags_so_far(jsonb) (SFUNC = _flagscope.join_flags, STYPE = jsonb, INITCOND = '{}');
COMMENT ON AGGREGATE _flagscope.flags_so_far(jsonb) IS
    'all flags up to a row, the latest variant of each; used as a window function in the order of time';

CREATE FUNCTION flagscope.telemetry_of(subject text, since timestamptz DEFAULT clock_timestamp() - interval '1 day',
    until timestamptz DEFAULT clock_timestamp())
RETURNS TABLE (ts timestamptz, signal flagscope.signal, name text, value float8, unit text, is_error boolean,
    severity smallint, body text, variants jsonb, flags jsonb, attribution flagscope.attribution, service text,
    environment text, trace_id uuid, span_id text, ts_nanos smallint, attributes jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    lo timestamptz := coalesce(telemetry_of.since, '-infinity');
    hi timestamptz := coalesce(telemetry_of.until, 'infinity');
    -- Evaluations before the range are read, too, because they are active in it.
    known timestamptz := _flagscope.earlier(lo, _flagscope.setting_interval('attribution.subject_window'));
    wanted text := telemetry_of.subject;
BEGIN
    RETURN QUERY
    WITH own AS MATERIALIZED (
        SELECT t.tableoid AS part, t.ctid AS place, t.* FROM flagscope.telemetry t
        WHERE left(t.subject, 255) = left(wanted, 255) AND t.subject = wanted AND lo < hi AND t.ts >= known
            AND t.ts < hi AND (t.ts >= lo OR t.signal = 'event' AND t.name = 'feature_flag.evaluation')
    ), around AS (
        -- Rows of the same traces without a subject, from services that do not know the user.
        SELECT t.tableoid AS part, t.ctid AS place, t.* FROM flagscope.telemetry t
        WHERE t.subject IS NULL AND t.ts >= lo AND t.ts < hi
            AND t.trace_id = ANY (ARRAY(SELECT DISTINCT o.trace_id
                FROM own o WHERE o.trace_id IS NOT NULL AND o.ts >= lo))
    ), seen AS (
        SELECT x.*,
            _flagscope.flags_so_far(CASE WHEN x.signal = 'event' AND x.name = 'feature_flag.evaluation' THEN
                x.flags END) OVER (
                        PARTITION BY x.environment ORDER BY x.ts, x.ts_nanos) || coalesce(x.flags, '{}') AS variants
        FROM (TABLE own UNION ALL TABLE around) x
    )
    SELECT s.ts, s.signal, s.name, s.value, s.unit, s.is_error, s.severity, s.body, s.variants, s.flags,
        _flagscope.attribution(s.flags, s.attribution), s.service, s.environment, s.trace_id, encode(s.span_id, 'hex'),
        s.ts_nanos, s.attributes
    FROM seen s WHERE s.ts >= lo
    ORDER BY s.ts, s.ts_nanos, s.trace_id, s.span_id;
END $$;
COMMENT ON FUNCTION flagscope.telemetry_of(text, timestamptz, timestamptz) IS
    'everything that happened to one subject in a range of time (default: the last day), in order: its rows and, '
    'in its traces, rows without a subject; scans the range unless there is an index on (left(subject, 255), ts); '
    'variants: what the subject was served at that moment, by its evaluations so far and the row''s own flags';
