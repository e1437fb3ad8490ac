-- OTLP in: traces, logs and metrics as OpenTelemetry SDKs and Collectors write them,
-- as JSON, or decoded by the gateway.

COMMENT ON FUNCTION _flagscope.decode_otlp(text, bytea) IS
    'decodes an OTLP/JSON payload, or else unpacks rows that the gateway has decoded; a last row without ts carries '
    'the number of rejected records, the first error and the characters replaced';
COMMENT ON FUNCTION _flagscope.otlp_since(jsonb, jsonb, boolean) IS
    'compares a cumulative point with the previous one (both as in attributes.otlp): kind of change (first, baseline, '
    'delta, reset), the increase or the mean of the new observations, and their histogram';

CREATE FUNCTION _flagscope.is_evaluation(signal text, name text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN signal = 'event' AND name = 'feature_flag.evaluation';
COMMENT ON FUNCTION _flagscope.is_evaluation(text, text) IS 'is the row a flag evaluation';

CREATE FUNCTION _flagscope.digest(parts text[]) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN substr(encode(sha256(convert_to(parts::text, 'UTF8')), 'hex'), 1, 32)::uuid;
COMMENT ON FUNCTION _flagscope.digest(text[]) IS '128-bit digest of a list of texts';

CREATE FUNCTION _flagscope.stored_evaluations(wanted uuid[], times timestamptz[], traces uuid[], spans bytea[],
    keys text[], flags jsonb[], errors boolean[])
RETURNS SETOF uuid
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off
    SET enable_bitmapscan = off SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    from_ts timestamptz := (SELECT min(t) FROM unnest(times) t) - interval '1 minute';
    to_ts timestamptz := (SELECT max(t) FROM unnest(times) t) + interval '1 minute';
BEGIN
    -- In a fixed order, so that two payloads with the same evaluations cannot deadlock.
    INSERT INTO _flagscope.otlp_evaluation AS e (evaluation) SELECT w FROM unnest(wanted) w ORDER BY w
    ON CONFLICT (evaluation) DO UPDATE SET claimed_at = clock_timestamp();
    -- In a statement of its own, which sees what the other payload has stored in the meantime. OFFSET 0 keeps it one
    -- look-up by the trace for each: as a join, without statistics, all rows of two minutes were compared with each of
    -- 512 evaluations, which took 3 to 12 s.
    RETURN QUERY
    SELECT w.evaluation
    FROM unnest(wanted, times, traces, spans, keys, flags, errors) w(evaluation, ts, trace_id, span_id,
        key, flags, is_error)
    WHERE EXISTS (
        SELECT FROM flagscope.telemetry t
        WHERE t.trace_id = w.trace_id AND t.ts BETWEEN from_ts AND to_ts
            AND t.ts BETWEEN w.ts - interval '1 minute' AND w.ts + interval '1 minute' AND t.signal = 'event'
            AND t.name = 'feature_flag.evaluation' AND coalesce(t.parent_span_id, t.span_id, '') = w.span_id
            AND t.attributes ->> 'feature_flag.key' IS NOT DISTINCT FROM w.key
            AND (t.flags, t.is_error) IS NOT DISTINCT FROM (w.flags, w.is_error)
        OFFSET 0);
END $$;
COMMENT ON FUNCTION _flagscope.stored_evaluations(uuid[], timestamptz[], uuid[], bytea[], text[], jsonb[], boolean[]) IS
    'which of some evaluations are already stored, in any of their forms; '
    'waits for a concurrent payload that is storing one of them';

CREATE FUNCTION _flagscope.take_series(wanted uuid[], origins uuid[])
RETURNS TABLE (series uuid, ts timestamptz, ts_nanos smallint, point jsonb, origin_since timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO _flagscope.otlp_series (series, origin, first_ts, ts, ts_nanos, seen_at)
    SELECT w.series, w.origin, 'infinity', '-infinity', 0, clock_timestamp()
    FROM unnest(wanted, origins) w(series, origin) ORDER BY w.series
    ON CONFLICT (series) DO NOTHING;
    RETURN QUERY
    WITH mine AS MATERIALIZED (
        SELECT s.* FROM _flagscope.otlp_series s WHERE s.series = ANY (wanted) ORDER BY s.series FOR UPDATE
    ), since AS (
        SELECT o.origin, min(o.first_ts) AS first_ts FROM _flagscope.otlp_series o
        WHERE o.origin = ANY (origins) GROUP BY o.origin
    )
    SELECT m.series, m.ts, m.ts_nanos, m.point, s.first_ts FROM mine m JOIN since s ON s.origin = m.origin;
END $$;
COMMENT ON FUNCTION _flagscope.take_series(uuid[], uuid[]) IS
    'the last points of some cumulative series, locked until the end of the transaction (none for new series); '
    'origin_since: since when their process is known';

CREATE FUNCTION _flagscope.keep_series(kept uuid[], times timestamptz[], nanos smallint[], points jsonb[],
    first_times timestamptz[])
RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE _flagscope.otlp_series s SET ts = n.ts, ts_nanos = n.ts_nanos, point = n.point - 'exemplars' - 'description',
        first_ts = least(s.first_ts, n.first_ts), seen_at = clock_timestamp()
    FROM unnest(kept, times, nanos, points, first_times) n(series, ts, ts_nanos, point, first_ts)
    WHERE s.series = n.series
$$;
COMMENT ON FUNCTION _flagscope.keep_series(uuid[], timestamptz[], smallint[], jsonb[], timestamptz[]) IS
    'stores the last points of some cumulative series';

CREATE FUNCTION _flagscope.forget_ingest(at timestamptz, most integer DEFAULT 10000) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    WITH claims AS (
        -- By the clock, not by at: claims matter for transactions that are running now. Locked ones are left for later.
        DELETE FROM _flagscope.otlp_evaluation e
        WHERE e.ctid = ANY (ARRAY(SELECT x.ctid FROM _flagscope.otlp_evaluation x
            WHERE x.claimed_at < clock_timestamp() - interval '10 minutes' LIMIT most FOR UPDATE SKIP LOCKED))
        RETURNING 1
    ), series AS (
        DELETE FROM _flagscope.otlp_series s WHERE s.ctid = ANY (ARRAY(SELECT x.ctid FROM _flagscope.otlp_series x
            WHERE x.seen_at < at - _flagscope.setting_interval('otlp.series_retention') LIMIT most
            FOR UPDATE SKIP LOCKED))
        RETURNING 1
    )
    SELECT greatest((SELECT count(*) FROM claims), (SELECT count(*) FROM series));
$$;
COMMENT ON FUNCTION _flagscope.forget_ingest(timestamptz, integer) IS
    'part of maintain(): deletes old claims of evaluations and series that have had no point for long, each up to a '
    'limit; returns the larger number';

CREATE FUNCTION _flagscope.ingest(payload text, packed bytea,
    OUT accepted bigint, OUT rejected bigint, OUT duplicate bigint, OUT first_error text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    replaced bigint;
    new_within interval := _flagscope.setting_interval('otlp.new_series_within');
BEGIN
    WITH decoded AS MATERIALIZED (
        SELECT d.*, d.ordinality AS place, d.attributes -> 'otlp' AS otlp,
            -- The span that evaluated the flag: the parent, if the evaluation is a span of its own.
            CASE WHEN d.trace_id IS NOT NULL AND _flagscope.is_evaluation(d.signal, d.name) THEN
                coalesce(d.parent_span_id, d.span_id, '') END AS evaluated_in,
            d.attributes ->> 'feature_flag.key' AS flag_key,
            CASE WHEN d.cumulative THEN _flagscope.digest(ARRAY[d.service, d.environment, d.attributes ->> 'resource',
                d.attributes ->> 'scope']) END AS origin
        FROM _flagscope.decode_otlp(payload, packed) WITH ORDINALITY d
    ), known AS MATERIALIZED (
        SELECT d.place, d.origin, d.ts, d.ts_nanos, d.otlp,
            CASE WHEN d.evaluated_in IS NOT NULL THEN _flagscope.digest(ARRAY[d.trace_id::text, d.evaluated_in::text,
                d.flag_key, d.flags::text, d.is_error::text]) END AS evaluation,
            CASE WHEN d.cumulative THEN _flagscope.digest(ARRAY[d.origin::text, d.name, d.unit, d.otlp ->> 'type',
                d.otlp ->> 'start', (d.attributes - '{otlp,resource,scope}'::text[])::text,
                d.otlp ->> 'attributes']) END AS series
        FROM decoded d WHERE d.evaluated_in IS NOT NULL OR d.cumulative
    ), claimed AS MATERIALIZED (
        -- One evaluation may arrive in up to four forms, in the same payload or others: the first one is stored. A
        -- different answer (for another user, or an error) for the same flag in the same span is another evaluation.
        SELECT min(k.place) AS place FROM known k
        WHERE k.evaluation IS NOT NULL AND k.evaluation NOT IN (
            SELECT s
            FROM (SELECT array_agg(e.evaluation) AS evaluations, array_agg(e.ts) AS times,
                    array_agg(e.trace_id) AS traces, array_agg(e.evaluated_in) AS spans, array_agg(e.flag_key) AS keys,
                    array_agg(e.flags) AS flags, array_agg(e.is_error) AS errors
                FROM (SELECT DISTINCT ON (k.evaluation) k.evaluation, d.*
                    FROM known k JOIN decoded d ON d.place = k.place
                      WHERE k.evaluation IS NOT NULL ORDER BY k.evaluation, d.place) e) e,
                LATERAL _flagscope.stored_evaluations(e.evaluations, e.times, e.traces, e.spans, e.keys,
                    e.flags, e.errors) s
            WHERE e.evaluations IS NOT NULL)
        GROUP BY k.evaluation
    ), taken AS MATERIALIZED (
        SELECT t.* FROM (SELECT array_agg(s.series) AS series, array_agg(s.origin) AS origins
                FROM (SELECT DISTINCT k.series, k.origin FROM known k WHERE k.series IS NOT NULL) s) s,
            LATERAL _flagscope.take_series(s.series, s.origins) t WHERE s.series IS NOT NULL
    ), newer AS MATERIALIZED (
        -- A point that is not newer than the last one of its series is a duplicate.
        SELECT DISTINCT ON (k.series, k.ts, k.ts_nanos) k.place, k.series, k.ts, k.ts_nanos, k.otlp, t.point,
            least(t.origin_since, min(k.ts) OVER (PARTITION BY k.origin)) AS origin_since
        FROM known k JOIN taken t ON t.series = k.series AND (k.ts, k.ts_nanos) > (t.ts, t.ts_nanos)
        ORDER BY k.series, k.ts, k.ts_nanos, k.place
    ), changed AS MATERIALIZED (
        SELECT n.place, c.change, c.value, c.distribution
        FROM (SELECT n.*,
                coalesce(lag(n.otlp) OVER (PARTITION BY n.series ORDER BY n.ts, n.ts_nanos), n.point) AS previous
              FROM newer n) n,
            -- A series is new if its process was known before, or if it began recently; but not if its first point is
            -- at its own start time: that is how OpenTelemetry's data model marks a total of unknown origin.
            LATERAL _flagscope.otlp_since(n.previous, n.otlp,
                extract(epoch FROM n.ts) * 1000000000 + n.ts_nanos IS DISTINCT FROM (n.otlp ->> 'start')::numeric
                AND (n.ts > n.origin_since OR coalesce(
                    (extract(epoch FROM n.ts) - (n.otlp ->> 'start')::numeric / 1e9)
                        <= extract(epoch FROM new_within), false))) c
    ), kept AS MATERIALIZED (
        SELECT _flagscope.keep_series(array_agg(n.series), array_agg(n.ts), array_agg(n.ts_nanos), array_agg(n.otlp),
            array_agg(n.first_ts))
        FROM (SELECT DISTINCT ON (n.series) n.*, min(n.ts) OVER (PARTITION BY n.series) AS first_ts
              FROM newer n ORDER BY n.series, n.ts DESC, n.ts_nanos DESC) n
    ), fresh AS MATERIALIZED (
        SELECT d.*, c.change, CASE WHEN d.cumulative THEN c.value ELSE d.value END AS news,
            CASE WHEN d.cumulative THEN c.distribution ELSE d.distribution END AS shape
        FROM decoded d LEFT JOIN changed c ON c.place = d.place
        WHERE d.ts IS NOT NULL AND (NOT d.cumulative OR c.place IS NOT NULL)
            AND (d.evaluated_in IS NULL OR d.place IN (SELECT x.place FROM claimed x))
    ), tied AS (
        SELECT a.place, a.flags, a.attribution FROM (
            SELECT array_agg(f.place) AS places, array_agg(f.ts) AS times, array_agg(f.trace_id) AS traces,
                array_agg(f.subject) AS subjects, array_agg(f.environment) AS environments,
                array_agg(f.ts_nanos) AS nanos, array_agg(f.flags) AS flags
            FROM fresh f
            WHERE (f.flags IS NOT NULL) = _flagscope.is_evaluation(f.signal, f.name)
                AND (f.trace_id IS NOT NULL OR f.subject IS NOT NULL)) u,
            LATERAL _flagscope.flags_of(u.places, u.times, u.traces, u.subjects, u.environments, u.nanos, u.flags) a
    ), stored AS (
        INSERT INTO flagscope.telemetry (ts, ts_nanos, signal, name, value, distribution, unit, subject, flags,
            environment, service, instance, severity, is_error, trace_id, span_id, parent_span_id, body, attributes,
            attribution)
        SELECT f.ts, f.ts_nanos, f.signal::flagscope.signal, f.name, f.news, f.shape, f.unit, f.subject,
            coalesce(f.flags, a.flags),
            coalesce(f.environment, nullif(current_setting('flagscope.environment', true), '')), f.service, f.instance,
            f.severity,
            f.is_error, f.trace_id, f.span_id, f.parent_span_id, f.body, CASE WHEN f.change IS NULL THEN f.attributes
                ELSE jsonb_set(f.attributes, '{otlp,change}', to_jsonb(f.change)) END,
            CASE WHEN f.flags IS NOT NULL THEN 'tag' ELSE coalesce(a.attribution, 'none') END
        FROM fresh f LEFT JOIN tied a ON a.place = f.place ORDER BY f.place
    )
    -- All of them are stored; frozen chunks return no rows.
    SELECT (SELECT count(*) FROM fresh), c.rejected, (SELECT count(*) FROM decoded d WHERE d.ts IS NOT NULL)
        - (SELECT count(*) FROM fresh), c.first_error, c.replaced + 0 * (SELECT count(*) FROM kept)
    INTO accepted, rejected, duplicate, first_error, replaced FROM decoded c WHERE c.ts IS NULL;
    IF replaced > 0 THEN
        RAISE NOTICE '% that text cannot hold became U+FFFD',
            replaced || CASE replaced WHEN 1 THEN ' character' ELSE ' characters' END;
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.ingest(text, bytea) IS
    'stores an OTLP/JSON payload, or rows that the gateway has decoded: the one way in';

CREATE FUNCTION flagscope.ingest_otlp(payload text,
    OUT accepted bigint, OUT rejected bigint, OUT duplicate bigint, OUT first_error text)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM _flagscope.ingest(payload, NULL::bytea) $$;
COMMENT ON FUNCTION flagscope.ingest_otlp(text) IS
    'stores an OTLP/JSON payload (one request, or JSON lines): traces, logs, metrics; a bad record is counted and does '
    'not affect the others; duplicate: evaluations already stored in another form, and cumulative points that are not '
    'new; first_error without rejected records: what was not understood (names in snake_case, for example); '
    'cumulative sums and histograms are stored as differences; rows without flags get those of their trace, '
    'else of their subject''s latest evaluation';

CREATE FUNCTION flagscope.ingest_otlp(payload jsonb,
    OUT accepted bigint, OUT rejected bigint, OUT duplicate bigint, OUT first_error text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM flagscope.ingest_otlp(payload::text) $$;
COMMENT ON FUNCTION flagscope.ingest_otlp(jsonb) IS
    'stores an OTLP/JSON request, or an array of requests; see ingest_otlp(text)';

CREATE FUNCTION flagscope.ingest_rows(packed bytea, OUT accepted bigint, OUT duplicate bigint)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT i.accepted, i.duplicate FROM _flagscope.ingest(NULL::text, packed) i $$;
COMMENT ON FUNCTION flagscope.ingest_rows(bytea) IS
    'stores rows that the gateway has decoded, as ingest_otlp() would: '
    'all of them, or with a damaged one none (22P03); duplicate as there';
