-- preview_metric(): what a definition matches, before anybody relies on it.

CREATE TYPE flagscope.metric_preview AS (topic text, flag text, variant text, n bigint, events bigint,
    value float8, detail text);
COMMENT ON TYPE flagscope.metric_preview IS
    'one line of preview_metric(): rows, variant, values, example, warning, or error (a filter that cannot be read: '
    'nothing else is told then); value: what the metric says of them, of quantiles p95';
COMMENT ON COLUMN flagscope.metric_preview.topic IS 'rows, variant, values, example, warning or error';
COMMENT ON COLUMN flagscope.metric_preview.flag IS 'key of the flag; of a line about a variant';
COMMENT ON COLUMN flagscope.metric_preview.variant IS 'the variant';
COMMENT ON COLUMN flagscope.metric_preview.n IS 'how many rows or values';
COMMENT ON COLUMN flagscope.metric_preview.events IS 'those of them that are events';
COMMENT ON COLUMN flagscope.metric_preview.value IS 'what the metric says of them';
COMMENT ON COLUMN flagscope.metric_preview.detail IS 'in words; of an example the row';

CREATE FUNCTION _flagscope.survey_query(m flagscope.metric_definition, since timestamptz, until timestamptz)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH given AS MATERIALIZED (
        SELECT *
        FROM _flagscope.own_query_rows(m.query, since, until, 60000, _flagscope.setting_number('query.rows')::bigint)
    ), tied AS (
        SELECT r.flag, CASE
                WHEN g.variant IS NULL THEN
                    CASE WHEN u.treated_at <= coalesce(g.ts::timestamptz, until) THEN r.treatment ELSE u.variant END
                ELSE g.variant END AS variant, g.value, g.exposure, coalesce(g.ts::timestamptz, until) AS at
        FROM given g JOIN flagscope.rollout r ON _flagscope.is_watched(r, until)
            LEFT JOIN flagscope.rollout_subject u
                ON u.rollout_id = r.id
                    AND u.subject = _flagscope.unit_key(g.subject)
                    AND _flagscope.in_window(coalesce(g.ts::timestamptz, until), u.first_seen, m.conversion_window)
        WHERE CASE WHEN g.variant IS NULL THEN u.subject IS NOT NULL ELSE g.variant IN (r.treatment, r.control) END
    ), said AS (
        SELECT k.flag, k.variant, k.n, coalesce(sum(f.events), 0)::bigint AS events,
            _flagscope.kind_value(m.kind::text, 0.95::float8, sum(f.n)::bigint, sum(f.events)::bigint,
                flagscope.rollup(f.moments), flagscope.rollup(f.histogram)) AS value
        FROM (SELECT t.flag, t.variant, count(*) AS n, array_agg(0::bigint) AS keys, array_agg(t.at) AS at,
                array_agg(t.value) AS values, array_agg(t.exposure) AS exposures
                FROM tied t GROUP BY GROUPING SETS ((t.flag, t.variant), ())) k
            LEFT JOIN LATERAL _flagscope.fold_query(m.kind::text, m.cap, k.keys, k.at, k.values, k.exposures) f ON true
        GROUP BY k.flag, k.variant, k.n
    ), total AS (
        SELECT count(*) AS n, count(g.value) AS values, count(*) - count(g.value) AS invalid, min(g.value) AS min,
            max(g.value) AS max, flagscope.histogram(g.value) AS h, count(*) FILTER (WHERE g.value < 0) AS below,
            count(*) FILTER (WHERE g.value > m.cap) AS above
        FROM given g
    )
    SELECT jsonb_build_object('matched', t.n, 'tied', (SELECT s.n FROM said s WHERE s.flag IS NULL), 'n', t.n,
        'events', (SELECT s.events FROM said s WHERE s.flag IS NULL),
        'value', (SELECT s.value FROM said s WHERE s.flag IS NULL),
        'variants', (SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.flag, s.variant), '[]')
            FROM said s WHERE s.flag IS NOT NULL),
        'values', t.values, 'invalid', t.invalid, 'min', t.min, 'max', t.max,
        'p50', flagscope.quantile(t.h, 0.5::float8), 'p95', flagscope.quantile(t.h, 0.95::float8),
        'p999', flagscope.quantile(t.h, 0.999::float8),
        'below', t.below, 'above', t.above,
        'examples', (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(to_jsonb(x))), '[]')
            FROM (SELECT * FROM given LIMIT 3) x))
    FROM total t;
$$;
COMMENT ON FUNCTION _flagscope.survey_query(flagscope.metric_definition, timestamptz, timestamptz) IS
    'what a metric''s query returns for a range of time, with the caller''s own rights, '
    'and which units of live rollouts it concerns';

CREATE FUNCTION _flagscope.filter_problems(m flagscope.metric_definition)
RETURNS TABLE (part text, path text, problem text, hint text, is_error boolean)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'filter', f.* FROM flagscope.check_filter(m.filter) f
    UNION ALL SELECT 'event', e.* FROM flagscope.check_filter(m.event) e
    UNION ALL SELECT 'per', p.* FROM flagscope.check_per(m.per) p;
$$;
COMMENT ON FUNCTION _flagscope.filter_problems(flagscope.metric_definition) IS
    'what is wrong with a metric''s filters, and with which';

CREATE FUNCTION _flagscope.survey_warnings(m flagscope.metric_definition, s jsonb) RETURNS SETOF text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.words FROM (VALUES
        (1, CASE WHEN (s ->> 'matched')::bigint = 0 THEN CASE
            WHEN m.query IS NOT NULL THEN 'the query gives no row'
            WHEN (s ->> 'of_signal')::bigint = 0 THEN format('there is no row of signal %s', m.signal)
            ELSE format('no row matches; the names of signal %s are %s', m.signal,
                (SELECT string_agg(format('"%s" (%s)', n ->> 'name', n ->> 'n'), ', ')
                    FROM jsonb_array_elements(s -> 'names') n)) END END),
        (2, CASE WHEN (s ->> 'matched')::bigint > 0 AND (s ->> 'tied')::bigint = 0 THEN CASE
            WHEN NOT _flagscope.is_polled(m) THEN
                'no matching row is attributed to a variant: write it with flags, '
                'or with a trace or subject that has flag evaluations'
            WHEN m.query IS NULL THEN
                'no matching row belongs to a unit of a live rollout within its window: '
                'its subject must have been exposed before'
            ELSE 'no row belongs to a unit of a live rollout: its subject must have been exposed, '
                'or its variant must be one of the rollout''s' END END),
        (3, CASE WHEN (s ->> 'matched')::bigint > 0 AND NOT _flagscope.counts_events(m.kind::text)
            AND (s ->> 'values')::bigint = 0 THEN 'no row has a value' END),
        (4, CASE WHEN NOT _flagscope.counts_events(m.kind::text) AND (s ->> 'invalid')::bigint > 0
            AND (s ->> 'values')::bigint > 0 THEN
            format('%s rows have no finite value and do not count', s ->> 'invalid') END),
        (5, CASE WHEN _flagscope.kind_takes(m.kind::text, 'event') AND (s ->> 'n')::bigint > 0
            AND (s ->> 'events')::bigint IN (0, (s ->> 'n')::bigint)
            THEN format('%s row is an event', CASE (s ->> 'events')::bigint WHEN 0 THEN 'no' ELSE 'every' END) END),
        (11, CASE WHEN m.kind = 'proportion' AND NOT m.per_unit AND (s ->> 'n')::bigint > 0
            AND CASE WHEN m.query IS NOT NULL THEN coalesce((s ->> 'min')::float8 > 0, false)
                ELSE (s ->> 'events')::bigint = (s ->> 'n')::bigint END THEN
            'every row is an event, so the share is 100 % whatever happens: if only who converted has a row, '
            'per_unit => true counts all who were exposed, and who has no row as not converted' END),
        (6, CASE WHEN _flagscope.kind_takes(m.kind::text, 'per') AND m.query IS NULL
            AND (s ->> 'matched')::bigint > 0
            AND (s ->> 'n')::bigint = 0 THEN 'the denominator matches nothing' END),
        (7, CASE WHEN _flagscope.kind_takes(m.kind::text, 'sum_values') AND (s ->> 'matched')::bigint > 0
            AND (s ->> 'events')::bigint = 0 THEN
            'nothing was counted in the numerator' END),
        (8, CASE WHEN _flagscope.kind_takes(m.kind::text, 'cap') AND m.cap IS NULL AND s ->> 'p999' IS NOT NULL
            THEN format(
                'without a cap the mean cannot be compared with the control; 99.9 %% of the values are at most %s',
                round((s ->> 'p999')::numeric, 4)) END),
        (9, CASE WHEN m.cap IS NOT NULL AND (s ->> 'above')::bigint * 100 > (s ->> 'values')::bigint THEN
            format('%s of %s values are above the cap and count as %s', s ->> 'above', s ->> 'values', m.cap) END),
        (10, CASE WHEN m.cap IS NOT NULL AND (s ->> 'below')::bigint > 0 THEN
            format('%s values are below 0 and count as 0', s ->> 'below') END)
    ) w(nr, words) WHERE w.words IS NOT NULL ORDER BY w.nr;
$$;
COMMENT ON FUNCTION _flagscope.survey_warnings(flagscope.metric_definition, jsonb) IS
    'warnings about what a definition matched';

CREATE FUNCTION flagscope.preview_metric(definition jsonb,
    since timestamptz DEFAULT clock_timestamp() - interval '1 hour', until timestamptz DEFAULT clock_timestamp())
RETURNS SETOF flagscope.metric_preview
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unknown text := (SELECT min(k)
        FROM jsonb_object_keys(CASE jsonb_typeof(definition) WHEN 'object' THEN definition ELSE '{}' END) k
        WHERE k NOT IN ('name', 'kind', 'signal', 'filter', 'event', 'per', 'sum_values', 'cap', 'query',
            'conversion_window', 'per_unit', 'harm', 'unit', 'description', 'owner', 'created_at'));
    m flagscope.metric_definition;
    s jsonb;
BEGIN
    IF jsonb_typeof(definition) IS DISTINCT FROM 'object' OR unknown IS NOT NULL OR NOT definition ? 'kind'
        OR (definition ->> 'signal' IS NULL) = (definition ->> 'query' IS NULL)
        OR (definition ->> 'signal' IS NOT NULL
            AND ((definition ->> 'kind' = 'proportion') <> (definition ->> 'event' IS NOT NULL)
                OR (definition ->> 'kind' IN ('rate', 'ratio')) <> (definition ->> 'per' IS NOT NULL))) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = CASE WHEN unknown IS NOT NULL THEN _flagscope.message('a metric has no "%s"', unknown)
                    ELSE 'a definition must be a JSON object with kind and either signal or query; of telemetry, '
                        'a proportion also needs event, a rate or ratio per' END,
            HINT = 'For example {"kind": "proportion", "signal": "span", "filter": {"name": '
                '"POST /checkout"}, "event": {"is_error": true}}.';
    END IF;
    m := jsonb_populate_record(NULL::flagscope.metric_definition,
        '{"name": "", "filter": {}, "sum_values": false, "per_unit": false}' || jsonb_strip_nulls(definition));
    PERFORM _flagscope.check_window(m.name, m.conversion_window);
    RETURN QUERY
        SELECT CASE WHEN f.is_error THEN 'error' ELSE 'warning' END, NULL::text, NULL::text, NULL::bigint, NULL::bigint,
            NULL::float8, format('%s%s: %s. %s', f.part, f.path, f.problem, f.hint)
        FROM _flagscope.filter_problems(m) f;
    IF EXISTS (SELECT FROM _flagscope.filter_problems(m) f WHERE f.is_error) THEN
        RETURN;
    END IF;
    s := CASE WHEN m.query IS NOT NULL THEN _flagscope.survey_query(m, since, until)
        ELSE _flagscope.survey(_flagscope.metric_definition(m), _flagscope.arms(ARRAY(SELECT r.id
                FROM flagscope.rollout r WHERE r.status IN ('running', 'paused', 'held'))), since, until) END;
    RETURN NEXT ROW('rows', NULL, NULL, (s ->> 'n')::bigint,
        CASE WHEN _flagscope.counts_events(m.kind::text) THEN (s ->> 'events')::bigint END, (s ->> 'value')::float8,
        format('%s rows match, %s of them attributed to a variant', s ->> 'matched',
            s ->> 'tied'))::flagscope.metric_preview;
    RETURN QUERY
        SELECT 'variant', v ->> 'flag', v ->> 'variant', (v ->> 'n')::bigint,
            CASE WHEN _flagscope.counts_events(m.kind::text) THEN (v ->> 'events')::bigint END,
            (v ->> 'value')::float8, NULL
        FROM jsonb_array_elements(s -> 'variants') v;
    RETURN QUERY
        SELECT 'values', NULL, NULL, (s ->> 'values')::bigint, NULL::bigint, NULL::float8,
            format('from %s to %s; p50 %s, p95 %s, p99.9 %s', round((s ->> 'min')::numeric, 4),
                round((s ->> 'max')::numeric, 4),
                round((s ->> 'p50')::numeric, 4), round((s ->> 'p95')::numeric, 4), round((s ->> 'p999')::numeric, 4))
        WHERE (s ->> 'values')::bigint > 0;
    RETURN QUERY SELECT 'example', NULL, NULL, NULL::bigint, NULL::bigint, NULL::float8, e::text
        FROM jsonb_array_elements(s -> 'examples') e;
    RETURN QUERY SELECT 'warning', NULL, NULL, NULL::bigint, NULL::bigint, NULL::float8, w
        FROM _flagscope.survey_warnings(m, s) w;
END $$;
COMMENT ON FUNCTION flagscope.preview_metric(jsonb, timestamptz, timestamptz) IS
    'shows what a metric''s definition (its columns as JSON) matches in the last hour: rows, by variant, values, '
    'examples, and warnings; reads all rows of that time; a query runs with the caller''s rights';

CREATE FUNCTION flagscope.preview_metric(metric text, since timestamptz DEFAULT clock_timestamp() - interval '1 hour',
    until timestamptz DEFAULT clock_timestamp())
RETURNS SETOF flagscope.metric_preview
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    definition jsonb := (SELECT to_jsonb(m) FROM flagscope.metric_definition m WHERE m.name = preview_metric.metric);
BEGIN
    IF definition IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = _flagscope.message('metric "%s" does not exist', metric),
            HINT = _flagscope.names_hint(metric, _flagscope.metric_names(),
                'Define it with flagscope.create_metric(name, kind, signal).')
                || ' To check a definition that is not stored yet, pass it as jsonb: '
                    'preview_metric(jsonb ''{"kind": ...}'').';
    END IF;
    IF definition ->> 'query' IS NOT NULL AND definition ->> 'owner' <> current_user THEN
        -- It could run another role's functions with the caller's rights.
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
            MESSAGE = _flagscope.message('metric "%s" is a query of role "%s"', metric, definition ->> 'owner'),
            HINT = 'SET ROLE to its owner; or review its query and pass the definition as jsonb, '
                'which runs it with your own rights.';
    END IF;
    RETURN QUERY SELECT * FROM flagscope.preview_metric(definition, since, until);
END $$;
COMMENT ON FUNCTION flagscope.preview_metric(text, timestamptz, timestamptz) IS 'the same for a defined metric';
