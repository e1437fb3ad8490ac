-- tick(): the judgement. Deltas become strata, strata become evidence, evidence becomes decisions, in one transaction.

CREATE FUNCTION _flagscope.bucket_of(at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN date_bin('10 seconds', at, timestamptz '2000-01-01 00:00:00+00');
COMMENT ON FUNCTION _flagscope.bucket_of(timestamptz) IS 'start of the rollup bucket that a time lies in';

CREATE FUNCTION _flagscope.is_watched(r flagscope.rollout, at timestamptz) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT r.status IN ('running', 'paused', 'held')
        OR (r.status = 'completed' AND coalesce(r.follow_up_until > at, false));
END;
COMMENT ON FUNCTION _flagscope.is_watched(flagscope.rollout, timestamptz) IS
    'do guardrails look at a rollout: while it is live, and for its follow_up after completion';

CREATE FUNCTION _flagscope.consume_deltas(at timestamptz, lane integer, most integer, busy bigint[],
    OUT strata _flagscope.stratum[], OUT pieces _flagscope.piece[], OUT taken bigint, OUT left_to bigint[])
-- One plan is kept for all slices, by the indexes whatever there was when it was made: to plan was a fifth of a small
-- tick.
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    WITH chosen AS MATERIALIZED (
        SELECT d.part, d.place, d.flag, d.environment FROM _flagscope.deltas_in(lane) d WHERE NOT EXISTS (
            SELECT FROM flagscope.rollout r
            WHERE r.id = ANY (busy) AND r.flag = d.flag AND r.environment = d.environment)
        LIMIT most
    ), watched AS MATERIALIZED (
        SELECT r.id, r.flag, r.environment FROM flagscope.rollout r WHERE _flagscope.is_watched(r, at)
            AND (r.flag, r.environment) IN (SELECT c.flag, c.environment FROM chosen c)
    ), mine AS MATERIALIZED (
        -- The tick waits for nobody. To judge it writes the statuses alone, so whoever has locked the rollout or its
        -- flag is in the way of acting only (ramp); data is left for later where somebody's open
        -- transaction has changed the statuses.
        SELECT g.rollout_id FROM flagscope.guardrail_status g WHERE g.rollout_id IN (SELECT w.id FROM watched w)
        FOR NO KEY UPDATE SKIP LOCKED
    ), ready AS MATERIALIZED (
        -- Whose statuses are all mine. Counted in one pass: by a count for each rollout it was their square.
        SELECT x.id FROM (
            SELECT w.id, 0 AS n FROM watched w
            UNION ALL SELECT m.rollout_id, 1 FROM mine m
            UNION ALL SELECT g.rollout_id, -1 FROM flagscope.guardrail_status g
            WHERE g.rollout_id IN (SELECT w.id FROM watched w)) x
        GROUP BY x.id HAVING sum(x.n) = 0
    ), reached AS (
        INSERT INTO _flagscope.delta_place AS p (part, lane, place)
        SELECT c.part, lane, max(c.place) FROM chosen c WHERE (SELECT count(*) FROM chosen) = most GROUP BY c.part
        ON CONFLICT (part) DO UPDATE SET place = excluded.place
    ), left_over AS MATERIALIZED (
        SELECT w.id, w.flag, w.environment FROM watched w WHERE w.id NOT IN (SELECT x.id FROM ready x)
    ), taken AS (
        -- By their places: a join would read all that wait, for every slice.
        DELETE FROM _flagscope.variant_delta d WHERE d.ctid = ANY (ARRAY(SELECT c.place FROM chosen c))
            AND (d.tableoid, d.ctid) IN (SELECT c.part, c.place FROM chosen c
                WHERE NOT EXISTS (SELECT FROM left_over l WHERE l.flag = c.flag AND l.environment = c.environment))
        RETURNING d.*, d.xmin::text::bigint AS written
    ), ongoing AS MATERIALIZED (
        SELECT DISTINCT ON (r.flag, r.environment) r.id, r.flag, r.environment, r.started_at, r.stage_started_at
        FROM ready y JOIN flagscope.rollout r ON r.id = y.id ORDER BY r.flag, r.environment, r.id DESC
    ), compared AS MATERIALIZED (
        SELECT r.id, r.treatment, r.control, m.name AS metric, _flagscope.comes_in_parts(m.kind::text) AS in_parts,
            _flagscope.is_polled(m) AS is_polled, (coalesce(step.percent, 0) / 100)::float8 AS share
        FROM ongoing y JOIN flagscope.rollout r ON r.id = y.id AND r.status <> 'completed'
            -- Stage 0 serves nobody: there is no step, but late rows.
            LEFT JOIN flagscope.rollout_stage step ON step.rollout_id = r.id AND step.ordinal = r.stage
            JOIN (SELECT DISTINCT g.flag, g.environment, g.metric FROM flagscope.guardrail g
                WHERE g.enabled AND g.comparison = 'control') k ON k.flag = r.flag AND k.environment = r.environment
            JOIN flagscope.metric_definition m ON m.name = k.metric
        WHERE step.percent IS NULL OR step.percent < 100
    ), by_unit AS MATERIALIZED (
        SELECT m.name AS metric, _flagscope.unit_window(m) AS width FROM flagscope.metric_definition m WHERE m.per_unit
    ), part AS MATERIALIZED (
        -- Rows from before the rollout began are not its own: a late exporter's, or an earlier rollout's of the flag.
        -- A unit is dated at the end of its window, and of the stage and share in which it was first exposed.
        SELECT t.*, coalesce(b.at >= o.started_at, false) AS of_rollout,
            coalesce(b.at >= o.stage_started_at, false) AS of_stage, c.id, c.share, c.in_parts, c.is_polled,
            t.variant = c.treatment AS treated, CASE WHEN b.at >= o.stage_started_at THEN o.stage_started_at
                WHEN c.id IS NOT NULL THEN (SELECT max(x) FROM _flagscope.cuts(o.id, o.started_at, o.stage_started_at) x
                    WHERE x <= b.at) END AS epoch
        FROM taken t LEFT JOIN ongoing o ON o.flag = t.flag AND o.environment = t.environment
            LEFT JOIN by_unit u ON u.metric = t.metric
            CROSS JOIN LATERAL (SELECT t.first_ts - coalesce(u.width, '0') AS at) b
            LEFT JOIN compared c ON c.id = o.id AND c.metric = t.metric AND t.variant IN (c.treatment, c.control)
                AND b.at >= o.started_at
    ), full_of AS MATERIALIZED (
        -- Who names each row another process must not fill the disk: it is compared by when things happened.
        SELECT k.rollout_id FROM _flagscope.source k WHERE k.rollout_id IN (SELECT o.id FROM ongoing o)
        GROUP BY k.rollout_id HAVING count(*) >= 10000
    ), seen AS (
        -- Of what is well known nothing more has to be known: a thousand processes are not written at each tick.
        INSERT INTO _flagscope.source AS s (rollout_id, instance, n_treatment, n_control, expected)
        SELECT p.id, p.instance, _flagscope.bounded(coalesce(sum(p.n) FILTER (WHERE p.treated), 0)),
            _flagscope.bounded(coalesce(sum(p.n) FILTER (WHERE NOT p.treated), 0)), sum(p.n)::float8 * max(p.share)
        FROM part p LEFT JOIN _flagscope.source k ON (k.rollout_id, k.instance) = (p.id, p.instance)
        WHERE p.id IS NOT NULL AND p.instance IS NOT NULL AND p.n > 0 AND CASE WHEN k.expected IS NOT NULL
            THEN least(k.expected, k.n_treatment + k.n_control - k.expected) < 1000
            ELSE p.id NOT IN (SELECT f.rollout_id FROM full_of f) END
        GROUP BY p.id, p.instance ORDER BY p.id, p.instance
        ON CONFLICT (rollout_id, instance) DO UPDATE SET
            n_treatment = _flagscope.bounded(s.n_treatment::numeric + excluded.n_treatment),
            n_control = _flagscope.bounded(s.n_control::numeric + excluded.n_control),
            expected = s.expected + excluded.expected
    ), shared AS MATERIALIZED (
        SELECT k.rollout_id, k.instance FROM _flagscope.source k
        WHERE k.rollout_id IN (SELECT o.id FROM ongoing o)
            AND _flagscope.is_shared(k.n_treatment, k.n_control, k.expected)
    ), client AS MATERIALIZED (
        -- A transaction is one client: rows of both arms in it, if they do not say who sent them, came together.
        SELECT p.id, p.metric, p.written FROM part p WHERE p.id IS NOT NULL AND p.instance IS NULL AND p.n > 0
        GROUP BY p.id, p.metric, p.written HAVING bool_or(p.treated) AND bool_or(NOT p.treated)
    ), grouped AS MATERIALIZED (
        -- Once for all that follows: merging sketches is most of the work, and a thousand processes send a thousand.
        SELECT p.flag, p.environment, p.variant, p.metric, p.bucket, p.rolled_up, p.of_rollout, p.of_stage, p.id,
            p.treated, p.epoch, x.at_once, sum(p.n) AS n, sum(p.events) AS events,
            flagscope.rollup(p.moments) AS moments, flagscope.rollup(p.histogram) AS histogram,
            min(p.first_ts) AS first_ts, max(p.last_ts) AS last_ts
        FROM part p LEFT JOIN shared k ON k.rollout_id = p.id AND k.instance = p.instance
            LEFT JOIN client i ON i.id = p.id AND i.metric = p.metric AND i.written = p.written
            -- Of a metric that ticks count both arms were read alike, when their rows had had time to come.
            CROSS JOIN LATERAL (SELECT CASE WHEN p.is_polled THEN true WHEN p.in_parts THEN false
                WHEN p.instance IS NOT NULL THEN k.instance IS NOT NULL ELSE i.id IS NOT NULL END AS at_once) x
        GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
    ), merged AS (
        INSERT INTO flagscope.variant_rollup AS r
        SELECT flag, environment, variant, metric, bucket, _flagscope.bounded(sum(n)), _flagscope.bounded(sum(events)),
            flagscope.rollup(moments), flagscope.rollup(histogram), max(last_ts)
        FROM grouped WHERE NOT rolled_up GROUP BY flag, environment, variant, metric, bucket
        -- One order for all writers of rollups: no deadlock.
        ORDER BY flag, environment, variant, metric, bucket
        ON CONFLICT (flag, environment, metric, variant, bucket, settled) DO UPDATE SET
            n = _flagscope.bounded(r.n::numeric + excluded.n),
            events = _flagscope.bounded(r.events::numeric + excluded.events),
            moments = flagscope.merge(r.moments, excluded.moments),
            histogram = flagscope.merge(r.histogram, excluded.histogram),
            last_ts = greatest(r.last_ts, excluded.last_ts)
    ), folded AS (
        SELECT t.flag, t.environment, t.variant, t.metric, _flagscope.bounded(sum(t.n)),
            _flagscope.bounded(sum(t.events)), flagscope.rollup(t.moments),
            flagscope.rollup(t.histogram), max(t.last_ts),
            _flagscope.bounded(coalesce(sum(t.n) FILTER (WHERE t.of_stage), 0))
        FROM grouped t WHERE t.of_rollout
        GROUP BY t.flag, t.environment, t.variant, t.metric
    ), piece AS (
        SELECT s.id, s.metric, s.bucket, s.epoch, s.treated, s.at_once, _flagscope.bounded(sum(s.n)),
            _flagscope.bounded(sum(s.events)), flagscope.rollup(s.moments), flagscope.rollup(s.histogram),
            min(s.first_ts), max(s.last_ts)
        FROM grouped s WHERE s.id IS NOT NULL GROUP BY s.id, s.metric, s.bucket, s.epoch, s.treated, s.at_once
    )
    SELECT (SELECT coalesce(array_agg(folded::_flagscope.stratum), '{}') FROM folded),
        (SELECT coalesce(array_agg(piece::_flagscope.piece), '{}') FROM piece),
        (SELECT count(*) FROM chosen), ARRAY(SELECT l.id FROM left_over l)
    INTO strata, pieces, taken, left_to;
END $$;
COMMENT ON FUNCTION _flagscope.consume_deltas(timestamptz, integer, integer, bigint[]) IS
    'merges some committed deltas of a lane into variant_rollup, but for those of busy rollouts; what one call '
    'consumes of a live rollout is summed up by metric and variant (strata), and what is compared with the control '
    'also by bucket and share (pieces); returns how many deltas it looked at, '
    'and the rollouts whose deltas it left since somebody has them locked';

CREATE TYPE flagscope.tick_result AS (at timestamptz, strata integer, guardrails integer, decisions integer,
    milliseconds float8, waiting text[]);
COMMENT ON TYPE flagscope.tick_result IS
    'what a tick did: strata consumed, guardrails evaluated, decisions made; waiting: '
    'what it had no time for (setting tick.budget)';
COMMENT ON COLUMN flagscope.tick_result.at IS 'time that it judged at';
COMMENT ON COLUMN flagscope.tick_result.strata IS 'strata consumed';
COMMENT ON COLUMN flagscope.tick_result.guardrails IS 'guardrails evaluated';
COMMENT ON COLUMN flagscope.tick_result.decisions IS 'decisions made';
COMMENT ON COLUMN flagscope.tick_result.milliseconds IS 'how long it took';
COMMENT ON COLUMN flagscope.tick_result.waiting IS 'what it had no time for (setting tick.budget)';

CREATE FUNCTION _flagscope.note_tick(result flagscope.tick_result) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- To keep the books is no reason to fail: a row that somebody has locked is written the next time.
    UPDATE _flagscope.tick_state s
    SET ticks = s.ticks + 1, last_tick_at = result.at, last_tick_ms = result.milliseconds,
        last_tick_by = coalesce(nullif(current_setting('application_name'), ''), session_user),
        last_ok_at = clock_timestamp(), failing_since = NULL, failures = 0, waiting = result.waiting
    FROM (SELECT x.only_row FROM _flagscope.tick_state x
        WHERE result.strata > 0 OR result.decisions > 0 OR x.last_tick_at IS NULL
            OR x.last_tick_at NOT BETWEEN result.at - interval '10 seconds' AND result.at OR x.failures > 0
            OR x.waiting <> result.waiting OR x.last_ok_at < clock_timestamp() - interval '10 seconds'
        FOR NO KEY UPDATE SKIP LOCKED) free
    WHERE s.only_row = free.only_row;
    PERFORM _flagscope.end_alerts(ARRAY(SELECT a.name FROM _flagscope.alert a WHERE a.name = 'judging'
        OR NOT EXISTS (SELECT FROM _flagscope.rollout_lockers(ARRAY[substring(a.name from '[0-9]+$')::bigint]))),
        'it judges, and nothing is locked any more');
END $$;
COMMENT ON FUNCTION _flagscope.note_tick(flagscope.tick_result) IS
    'keeps the books of a tick that went through, an idle one at most every 10 seconds, and tells what is over';

-- Pinned is whatever the caller's session, its database or its role could have set and the result depends on: numbers
-- and intervals go through JSON and text on their way to verdict and evidence,
-- days are UTC's, triggers keep the history.
CREATE FUNCTION flagscope.tick(at timestamptz DEFAULT clock_timestamp()) RETURNS flagscope.tick_result
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1 SET lock_timeout = '1s'
    SET timezone = 'UTC'
SET datestyle = 'ISO, MDY' SET intervalstyle = 'postgres' SET bytea_output = 'hex' SET standard_conforming_strings = on
SET transform_null_equals = off SET session_replication_role = 'origin'
AS $$
DECLARE
    started timestamptz := clock_timestamp();
    -- Who asks for now means the moment at which the data is taken:
    -- a decision must not be dated before what it rests on.
    means_now boolean := at BETWEEN statement_timestamp() AND started;
    consumed record;
    unspent interval;
    result flagscope.tick_result;
BEGIN
    IF at IS NULL OR NOT isfinite(at) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('a tick needs a finite time, got "%s"', coalesce(at::text, 'NULL'));
    END IF;
    PERFORM _flagscope.require_deciding('nothing is judged');
    -- Exactly one tick at a time in this database. Another caller waits its turn, for lock_timeout at most: the
    -- worker's tick takes milliseconds. A table lock, since an advisory lock could be taken, and the judgement thereby
    -- stopped, by any role that may connect.
    BEGIN
        LOCK TABLE _flagscope.tick_state IN SHARE UPDATE EXCLUSIVE MODE;
    EXCEPTION WHEN lock_not_available THEN
        RETURN NULL;
    END;
    started := clock_timestamp();  -- waiting is no part of the budget
    IF NOT _flagscope.may_judge() THEN
        RETURN NULL;
    END IF;
    PERFORM _flagscope.hear_nodes();
    -- Units before what is counted by them.
    result.waiting := array_remove(ARRAY[_flagscope.tie_late_traces(_flagscope.tick_until(started, 0.25::float8)),
        _flagscope.watch_health(at, _flagscope.tick_until(started, 0.5::float8))], NULL);
    PERFORM _flagscope.poll_metrics(at);
    consumed := _flagscope.consume_lanes(at, _flagscope.tick_until(started, 0.75::float8));
    -- the time that judging takes does not count
    unspent := _flagscope.tick_until(started, 1::float8) - clock_timestamp();
    IF means_now THEN
        at := clock_timestamp();
    END IF;
    PERFORM _flagscope.note_unjudged(at), _flagscope.measure_past_dependence(at),
        _flagscope.measure_early_dependence(consumed.strata, at), _flagscope.watch_rows(consumed.pieces, at);
    result.at := at;
    result.strata := cardinality(consumed.strata);
    result.guardrails := _flagscope.evaluate_guardrails(consumed.strata,
        _flagscope.pair_pieces(consumed.pieces, at, NOT consumed.waiting), at);
    result.decisions := _flagscope.ramp(at);
    PERFORM _flagscope.measure_dependence(at, clock_timestamp() + unspent);
    result.waiting := result.waiting || CASE WHEN consumed.waiting THEN '{deltas}'::text[] END
        || _flagscope.maintain_when_due(at, clock_timestamp() + unspent);
    result.milliseconds := 1000 * extract(epoch FROM clock_timestamp() - started);
    PERFORM _flagscope.note_tick(result);
    PERFORM _flagscope.require_no_restore();
    RETURN result;
END $$;
COMMENT ON FUNCTION flagscope.tick(timestamptz) IS
    'one round of judgement: compaction, guardrails, ramp, decisions, maintenance; the worker calls it, any client or '
    'pg_cron may; NULL when another tick runs for more than a second, or the database is being restored';
