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
    OUT strata _flagscope.stratum[], OUT taken bigint, OUT left_to bigint[])
LANGUAGE sql SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_custom_plan
AS $$
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
        SELECT w.id FROM watched w WHERE (SELECT count(*) FROM mine m WHERE m.rollout_id = w.id)
            = (SELECT count(*) FROM flagscope.guardrail_status g WHERE g.rollout_id = w.id)
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
        RETURNING d.*
    ), merged AS (
        INSERT INTO flagscope.variant_rollup AS r
        SELECT flag, environment, variant, metric, bucket, _flagscope.bounded(sum(n)), _flagscope.bounded(sum(events)),
            flagscope.rollup(moments), flagscope.rollup(histogram), max(last_ts)
        FROM taken WHERE NOT rolled_up GROUP BY flag, environment, variant, metric, bucket
        -- One order for all writers of rollups: no deadlock.
        ORDER BY flag, environment, variant, metric, bucket
        ON CONFLICT (flag, environment, metric, variant, bucket, settled) DO UPDATE SET
            n = _flagscope.bounded(r.n::numeric + excluded.n),
            events = _flagscope.bounded(r.events::numeric + excluded.events),
            moments = flagscope.merge(r.moments, excluded.moments),
            histogram = flagscope.merge(r.histogram, excluded.histogram),
            last_ts = greatest(r.last_ts, excluded.last_ts)
    ), folded AS (
        -- Rows from before the rollout began are not its own: a late exporter's, or an earlier rollout's of the flag.
        SELECT t.flag, t.environment, t.variant, t.metric, _flagscope.bounded(sum(t.n)),
            _flagscope.bounded(sum(t.events)), flagscope.rollup(t.moments),
            flagscope.rollup(t.histogram), max(t.last_ts),
            _flagscope.bounded(coalesce(sum(t.n)
                FILTER (WHERE t.bucket >= _flagscope.bucket_of(r.stage_started_at)), 0))
        FROM taken t JOIN flagscope.rollout r ON r.flag = t.flag AND r.environment = t.environment
            AND _flagscope.is_watched(r, at)
        WHERE t.bucket >= _flagscope.bucket_of(r.started_at)
        GROUP BY t.flag, t.environment, t.variant, t.metric
    )
    SELECT (SELECT coalesce(array_agg(folded::_flagscope.stratum), '{}') FROM folded),
        (SELECT count(*) FROM chosen), ARRAY(SELECT l.id FROM left_over l);
$$;
COMMENT ON FUNCTION _flagscope.consume_deltas(timestamptz, integer, integer, bigint[]) IS
    'merges some committed deltas of a lane into variant_rollup, but for those of busy rollouts; what one call '
    'consumes of a live rollout is one stratum per metric and variant; returns how many deltas it looked at, '
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
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
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
    SELECT _flagscope.end_alerts(ARRAY(SELECT a.name FROM _flagscope.alert a WHERE a.name = 'judging'
        OR NOT EXISTS (SELECT FROM _flagscope.rollout_lockers(substring(a.name from '[0-9]+$')::bigint))),
        'over: judged again, nothing is locked any more');
$$;
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
    PERFORM _flagscope.note_unjudged(at);
    result.at := at;
    result.strata := cardinality(consumed.strata);
    result.guardrails := _flagscope.evaluate_guardrails(consumed.strata, at);
    result.decisions := _flagscope.ramp(at);
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
