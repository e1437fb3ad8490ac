-- What is compared with the control, and when. The rules are src/core/guardrail/source.rs and strata.rs; here pieces
-- are merged, and those kept that wait.

COMMENT ON FUNCTION _flagscope.is_shared(bigint, bigint, float8) IS
    'does an exporter instance serve both arms in about the allocated shares: data points of treatment and control so '
    'far, and those expected of the treatment';
COMMENT ON FUNCTION _flagscope.comes_in_parts(text) IS
    'is a kind of metric counted from two kinds of rows, which may come one after the other';
COMMENT ON FUNCTION _flagscope.stratum_of(timestamptz, bigint) IS
    'start of the stratum that a bucket is compared in, and how many buckets of its metric a tick has at once: of more '
    'than ten minutes (a past that was sent late, ticks that had stopped) strata of ten minutes';
COMMENT ON FUNCTION _flagscope.advance_pairing(timestamptz, integer, float8, timestamptz[], float8[], float8[],
    timestamptz[], timestamptz[], integer[], timestamptz, boolean, interval) IS
    'the columns of pairing after a tick, and which spans are over: since, width, elapsed, latest, lag, occupied as '
    'they were; of each arm first and last ts and the number of buckets that came; now; is nothing left unread; '
    'setting guardrail.pairing';

CREATE FUNCTION _flagscope.merged_pieces(pieces _flagscope.piece[]) RETURNS _flagscope.piece[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(x::_flagscope.piece), '{}') FROM (
        SELECT p.rollout_id, p.metric, p.bucket, p.epoch, p.treated, p.at_once, _flagscope.bounded(sum(p.n)),
            _flagscope.bounded(sum(p.events)), flagscope.rollup(p.moments), flagscope.rollup(p.histogram),
            min(p.first_ts), max(p.last_ts)
        FROM unnest(pieces) p GROUP BY p.rollout_id, p.metric, p.bucket, p.epoch, p.treated, p.at_once) x;
$$;
COMMENT ON FUNCTION _flagscope.merged_pieces(_flagscope.piece[]) IS
    'the pieces of several slices merged to those of one tick';

CREATE FUNCTION _flagscope.keep_waiting(pieces _flagscope.piece[]) RETURNS _flagscope.piece[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    ready _flagscope.piece[];
BEGIN
    WITH piece AS MATERIALIZED (
        SELECT p.*, p.at_once AND coalesce(bool_or(p.treated AND p.n > 0) OVER arms, false)
            AND coalesce(bool_or(NOT p.treated AND p.n > 0) OVER arms, false) AS is_paired
        FROM unnest(pieces) p WINDOW arms AS (PARTITION BY p.rollout_id, p.metric, p.bucket, p.epoch, p.at_once)
    ), kept AS (
        INSERT INTO _flagscope.waiting_stratum AS w (rollout_id, metric, bucket, epoch, treated, n, events, moments,
            histogram, first_ts, last_ts)
        SELECT p.rollout_id, p.metric, p.bucket, p.epoch, p.treated, _flagscope.bounded(sum(p.n)),
            _flagscope.bounded(sum(p.events)), flagscope.rollup(p.moments), flagscope.rollup(p.histogram),
            min(p.first_ts), max(p.last_ts)
        FROM piece p WHERE NOT p.is_paired GROUP BY p.rollout_id, p.metric, p.bucket, p.epoch, p.treated
        ON CONFLICT (rollout_id, metric, bucket, epoch, treated) DO UPDATE SET
            n = _flagscope.bounded(w.n::numeric + excluded.n),
            events = _flagscope.bounded(w.events::numeric + excluded.events),
            moments = flagscope.merge(w.moments, excluded.moments),
            histogram = flagscope.merge(w.histogram, excluded.histogram),
            first_ts = least(w.first_ts, excluded.first_ts), last_ts = greatest(w.last_ts, excluded.last_ts)
        RETURNING w.rollout_id, w.metric
    ), begun AS (
        INSERT INTO _flagscope.pairing (rollout_id, metric) SELECT DISTINCT k.rollout_id, k.metric FROM kept k
        ON CONFLICT DO NOTHING
    )
    SELECT coalesce(array_agg(ROW(p.rollout_id, p.metric, p.bucket, p.epoch, p.treated, true, p.n, p.events,
        p.moments, p.histogram, p.first_ts, p.last_ts)::_flagscope.piece), '{}')
    INTO ready FROM piece p WHERE p.is_paired;
    RETURN ready;
END $$;
COMMENT ON FUNCTION _flagscope.keep_waiting(_flagscope.piece[]) IS
    'keeps the pieces that have to wait for the other arm, and returns those that need not';

CREATE FUNCTION _flagscope.take_paired(pieces _flagscope.piece[], at timestamptz, is_complete boolean)
RETURNS _flagscope.piece[]
LANGUAGE sql SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH came AS (
        SELECT p.rollout_id, p.metric,
            ARRAY[min(p.first_ts) FILTER (WHERE p.treated), min(p.first_ts) FILTER (WHERE NOT p.treated)] AS first,
            ARRAY[max(p.last_ts) FILTER (WHERE p.treated), max(p.last_ts) FILTER (WHERE NOT p.treated)] AS last,
            ARRAY[count(DISTINCT p.bucket) FILTER (WHERE p.treated),
                count(DISTINCT p.bucket) FILTER (WHERE NOT p.treated)]::integer[] AS buckets
        FROM unnest(pieces) p GROUP BY p.rollout_id, p.metric
    ), stepped AS MATERIALIZED (
        SELECT q.rollout_id, q.metric, a.*
        FROM _flagscope.pairing q LEFT JOIN came c ON (c.rollout_id, c.metric) = (q.rollout_id, q.metric),
            LATERAL _flagscope.advance_pairing(q.since, q.width, q.elapsed, q.latest, q.lag, q.occupied, c.first,
                c.last, c.buckets, at, is_complete, _flagscope.setting_interval('guardrail.pairing')) a
        WHERE c.rollout_id IS NOT NULL OR EXISTS (SELECT FROM _flagscope.waiting_stratum w
            WHERE w.rollout_id = q.rollout_id AND w.metric = q.metric)
    ), ripe AS (
        -- What came after its span was compared is a further stratum of its bucket, once the other arm is there.
        SELECT w.*, x.span, w.bucket >= coalesce(s.closed_since, s.since) AS is_timely,
            bool_or(w.treated AND w.n > 0) OVER arms AND bool_or(NOT w.treated AND w.n > 0) OVER arms AS is_paired
        FROM stepped s JOIN _flagscope.waiting_stratum w ON (w.rollout_id, w.metric) = (s.rollout_id, s.metric)
                AND w.bucket < s.since,
            LATERAL (SELECT CASE WHEN w.bucket >= s.closed_since
                THEN date_bin(make_interval(secs => s.closed_width), w.bucket, s.closed_since)
                ELSE w.bucket END AS span) x
        WINDOW arms AS (PARTITION BY w.rollout_id, w.metric, x.span, w.epoch)
    ), taken AS MATERIALIZED (
        SELECT o.* FROM ripe o WHERE o.is_timely OR o.is_paired
            OR (is_complete AND o.bucket < at - interval '10 minutes')
    ), gone AS (
        DELETE FROM _flagscope.waiting_stratum w USING taken t
        WHERE (w.rollout_id, w.metric, w.bucket, w.epoch, w.treated)
            = (t.rollout_id, t.metric, t.bucket, t.epoch, t.treated)
    ), alone AS (
        SELECT t.rollout_id, t.metric, sum(greatest(t.n, t.events)) FILTER (WHERE t.treated) AS treatment,
            sum(greatest(t.n, t.events)) FILTER (WHERE NOT t.treated) AS control
        FROM taken t WHERE NOT t.is_paired GROUP BY t.rollout_id, t.metric
    ), advanced AS (
        UPDATE _flagscope.pairing q SET since = s.since, width = s.width, elapsed = s.elapsed, latest = s.latest,
            lag = s.lag, occupied = s.occupied,
            alone_treatment = _flagscope.bounded(q.alone_treatment::numeric + coalesce(l.treatment, 0)),
            alone_control = _flagscope.bounded(q.alone_control::numeric + coalesce(l.control, 0))
        FROM stepped s LEFT JOIN alone l ON (l.rollout_id, l.metric) = (s.rollout_id, s.metric)
        WHERE (q.rollout_id, q.metric) = (s.rollout_id, s.metric)
    )
    SELECT coalesce(array_agg(x::_flagscope.piece), '{}') FROM (
        SELECT t.rollout_id, t.metric, t.span, t.epoch, t.treated, false, _flagscope.bounded(sum(t.n)),
            _flagscope.bounded(sum(t.events)), flagscope.rollup(t.moments), flagscope.rollup(t.histogram),
            min(t.first_ts), max(t.last_ts)
        FROM taken t WHERE t.is_paired GROUP BY t.rollout_id, t.metric, t.span, t.epoch, t.treated) x;
$$;
COMMENT ON FUNCTION _flagscope.take_paired(_flagscope.piece[], timestamptz, boolean) IS
    'notes how the arms come, and takes what is to be compared of that which waits: spans of which both arms are known '
    'to be there, by their start; what never found its other half is counted in pairing';

CREATE FUNCTION _flagscope.widened(paired _flagscope.piece[]) RETURNS _flagscope.piece[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT _flagscope.merged_pieces(ARRAY(SELECT ROW(p.rollout_id, p.metric, _flagscope.stratum_of(p.bucket, o.at_once),
            p.epoch, p.treated, p.at_once, p.n, p.events, p.moments, p.histogram, p.first_ts,
            p.last_ts)::_flagscope.piece
        FROM unnest(paired) p JOIN (
            SELECT x.rollout_id, x.metric, count(DISTINCT x.bucket) AS at_once FROM unnest(paired) x
            GROUP BY x.rollout_id, x.metric
        ) o ON (o.rollout_id, o.metric) = (p.rollout_id, p.metric)));
$$;
COMMENT ON FUNCTION _flagscope.widened(_flagscope.piece[]) IS
    'the pieces in strata of ten minutes where there are too many of a metric at once (stratum_of())';

CREATE FUNCTION _flagscope.pair_pieces(pieces _flagscope.piece[], at timestamptz, is_complete boolean)
RETURNS _flagscope.pair[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    paired _flagscope.piece[] := '{}';
BEGIN
    IF cardinality(pieces) > 0 THEN
        paired := _flagscope.keep_waiting(pieces);
    END IF;
    IF EXISTS (SELECT FROM _flagscope.pairing) THEN
        paired := paired || _flagscope.take_paired(pieces, at, is_complete);
    END IF;
    IF cardinality(paired) = 0 THEN
        RETURN '{}';
    END IF;
    IF cardinality(paired) > 60 THEN
        paired := _flagscope.widened(paired);
    END IF;
    RETURN (
        WITH span AS (
            -- Treatment and control of a stratum have one number, since they agree in all that it is ordered by.
            SELECT p.*, dense_rank() OVER (PARTITION BY p.rollout_id, p.metric
                ORDER BY p.bucket, p.epoch, p.at_once) AS round
            FROM unnest(paired) p
        ), next AS (
            SELECT s.rollout_id, s.metric, s.round, min(s.bucket) AS bucket
            FROM span s GROUP BY s.rollout_id, s.metric, s.round
        ), waiting AS (
            SELECT w.rollout_id, w.metric, min(w.bucket) AS bucket FROM _flagscope.waiting_stratum w
            WHERE NOT w.treated GROUP BY w.rollout_id, w.metric
        )
        SELECT coalesce(array_agg(ROW(s.round,
            least(n.bucket - interval '1 microsecond', w.bucket - interval '1 microsecond', 'infinity'),
            ROW(r.flag, r.environment, CASE WHEN s.treated THEN r.treatment ELSE r.control END, s.metric, s.n, s.events,
                s.moments, s.histogram, s.last_ts, CASE WHEN s.epoch >= r.stage_started_at THEN s.n ELSE 0 END
            )::_flagscope.stratum)::_flagscope.pair), '{}')
        FROM span s JOIN flagscope.rollout r ON r.id = s.rollout_id
            LEFT JOIN next n ON (n.rollout_id, n.metric, n.round) = (s.rollout_id, s.metric, s.round + 1)
            LEFT JOIN waiting w ON (w.rollout_id, w.metric) = (s.rollout_id, s.metric));
END $$;
COMMENT ON FUNCTION _flagscope.pair_pieces(_flagscope.piece[], timestamptz, boolean) IS
    'the strata that a tick compares with the control, in rounds by when they happened: those whose arms came together '
    'at once, others when both arms of their span of time are there';

CREATE FUNCTION _flagscope.halves(pairs _flagscope.pair[], only_round integer)
RETURNS TABLE (until timestamptz, stratum _flagscope.stratum, flag text, environment text, metric text, variant text)
LANGUAGE sql STABLE ROWS 10000 SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.until, p.stratum, (p.stratum).flag, (p.stratum).environment, (p.stratum).metric, (p.stratum).variant
    FROM unnest(pairs) p WHERE p.round = only_round
$$;
COMMENT ON FUNCTION _flagscope.halves(_flagscope.pair[], integer) IS
    'the strata of a round; the planner takes them for many, as with strata()';

CREATE FUNCTION _flagscope.alone_words() RETURNS TABLE (item text, says text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    -- Of the control some rows have no other half wherever traffic is thin. Of the treatment each one counts.
    SELECT format('guardrail %s', g.name),
        format('rollout %s: %s data points of %s have never been compared, because %s had none at the same time; '
            '%s were compared. Is the telemetry of %s complete, and are its times right?',
            r.id, q.alone_treatment, r.treatment, r.control, s.n_treatment, r.control)
    FROM _flagscope.pairing q JOIN flagscope.rollout r ON r.id = q.rollout_id
        JOIN flagscope.guardrail g ON g.flag = r.flag AND g.environment = r.environment AND g.metric = q.metric
            AND g.enabled AND g.comparison = 'control'
        JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id AND s.rollout_id = r.id
    WHERE r.status IN ('running', 'paused', 'held') AND q.alone_treatment > greatest(s.n_treatment / 10, 10)
    ORDER BY r.id, g.id;
$$;
COMMENT ON FUNCTION _flagscope.alone_words() IS
    'for status(): guardrails of which more than a tenth of the treatment''s data never found its other half';

CREATE FUNCTION _flagscope.forget_pairings(at timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM _flagscope.waiting_stratum w WHERE NOT EXISTS (SELECT FROM flagscope.rollout r
        WHERE r.id = w.rollout_id AND _flagscope.is_watched(r, at));
    DELETE FROM _flagscope.pairing q WHERE NOT EXISTS (SELECT FROM flagscope.rollout r
        WHERE r.id = q.rollout_id AND _flagscope.is_watched(r, at));
    DELETE FROM _flagscope.source s WHERE NOT EXISTS (SELECT FROM flagscope.rollout r
        WHERE r.id = s.rollout_id AND _flagscope.is_watched(r, at));
$$;
COMMENT ON FUNCTION _flagscope.forget_pairings(timestamptz) IS
    'part of maintain(): what was kept for pairing the arms of rollouts that are no longer watched';
