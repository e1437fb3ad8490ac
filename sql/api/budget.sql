-- The budget of a tick: what can grow is done by slices until its time is up (setting tick.budget), and waits for the next
-- ticks after that. Judging, which is what a tick is for, is never cut short. What waits is told by tick() and status().
--
-- Each kind of work does one slice at least, so that none waits for ever behind another; the shares of the budget say
-- when it gives way. Slices are of a size that takes some hundredths of a second.

CREATE FUNCTION _flagscope.deltas_in(lane integer) RETURNS TABLE (part oid, place tid, flag text, environment text)
-- No pinned search_path, so that the planner sees through it and stops reading at a LIMIT. It begins where ticks have come
-- to: of a million deltas the consumed ones were read again by each slice (16 us a delta became 43).
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT d.tableoid, d.ctid, d.flag, d.environment FROM ONLY _flagscope.variant_delta d
        WHERE lane = 0 AND d.ctid > (SELECT coalesce(max(p.place), '(0,0)') FROM _flagscope.delta_place p
            WHERE p.part = '_flagscope.variant_delta'::regclass)
    UNION ALL SELECT d.tableoid, d.ctid, d.flag, d.environment FROM _flagscope.variant_delta_0 d
        WHERE lane = 0 AND d.ctid > (SELECT coalesce(max(p.place), '(0,0)') FROM _flagscope.delta_place p
            WHERE p.part = '_flagscope.variant_delta_0'::regclass)
    UNION ALL SELECT d.tableoid, d.ctid, d.flag, d.environment FROM _flagscope.variant_delta_1 d
        WHERE lane = 0 AND d.ctid > (SELECT coalesce(max(p.place), '(0,0)') FROM _flagscope.delta_place p
            WHERE p.part = '_flagscope.variant_delta_1'::regclass)
    UNION ALL SELECT d.tableoid, d.ctid, d.flag, d.environment FROM _flagscope.variant_delta_2 d
        WHERE lane = 0 AND d.ctid > (SELECT coalesce(max(p.place), '(0,0)') FROM _flagscope.delta_place p
            WHERE p.part = '_flagscope.variant_delta_2'::regclass)
    UNION ALL SELECT d.tableoid, d.ctid, d.flag, d.environment FROM _flagscope.variant_delta_3 d
        WHERE lane = 0 AND d.ctid > (SELECT coalesce(max(p.place), '(0,0)') FROM _flagscope.delta_place p
            WHERE p.part = '_flagscope.variant_delta_3'::regclass)
    UNION ALL SELECT d.tableoid, d.ctid, d.flag, d.environment FROM _flagscope.variant_delta_late_0 d
        WHERE lane = 1 AND d.ctid > (SELECT coalesce(max(p.place), '(0,0)') FROM _flagscope.delta_place p
            WHERE p.part = '_flagscope.variant_delta_late_0'::regclass)
    UNION ALL SELECT d.tableoid, d.ctid, d.flag, d.environment FROM _flagscope.variant_delta_late_1 d
        WHERE lane = 1 AND d.ctid > (SELECT coalesce(max(p.place), '(0,0)') FROM _flagscope.delta_place p
            WHERE p.part = '_flagscope.variant_delta_late_1'::regclass)
    UNION ALL SELECT d.tableoid, d.ctid, d.flag, d.environment FROM _flagscope.variant_delta_late_2 d
        WHERE lane = 1 AND d.ctid > (SELECT coalesce(max(p.place), '(0,0)') FROM _flagscope.delta_place p
            WHERE p.part = '_flagscope.variant_delta_late_2'::regclass)
    UNION ALL SELECT d.tableoid, d.ctid, d.flag, d.environment FROM _flagscope.variant_delta_late_3 d
        WHERE lane = 1 AND d.ctid > (SELECT coalesce(max(p.place), '(0,0)') FROM _flagscope.delta_place p
            WHERE p.part = '_flagscope.variant_delta_late_3'::regclass)
    UNION ALL SELECT d.tableoid, d.ctid, d.flag, d.environment FROM _flagscope.variant_delta_past_0 d
        WHERE lane = 2 AND d.ctid > (SELECT coalesce(max(p.place), '(0,0)') FROM _flagscope.delta_place p
            WHERE p.part = '_flagscope.variant_delta_past_0'::regclass)
    UNION ALL SELECT d.tableoid, d.ctid, d.flag, d.environment FROM _flagscope.variant_delta_past_1 d
        WHERE lane = 2 AND d.ctid > (SELECT coalesce(max(p.place), '(0,0)') FROM _flagscope.delta_place p
            WHERE p.part = '_flagscope.variant_delta_past_1'::regclass)
    UNION ALL SELECT d.tableoid, d.ctid, d.flag, d.environment FROM _flagscope.variant_delta_past_2 d
        WHERE lane = 2 AND d.ctid > (SELECT coalesce(max(p.place), '(0,0)') FROM _flagscope.delta_place p
            WHERE p.part = '_flagscope.variant_delta_past_2'::regclass)
    UNION ALL SELECT d.tableoid, d.ctid, d.flag, d.environment FROM _flagscope.variant_delta_past_3 d
        WHERE lane = 2 AND d.ctid > (SELECT coalesce(max(p.place), '(0,0)') FROM _flagscope.delta_place p
            WHERE p.part = '_flagscope.variant_delta_past_3'::regclass);
END;
COMMENT ON FUNCTION _flagscope.deltas_in(integer) IS
    'where the deltas of a lane lie, in the order in which they came: 0 of now (and what ticks write), 1 late, 2 past';

CREATE FUNCTION _flagscope.summed_strata(strata _flagscope.stratum[]) RETURNS _flagscope.stratum[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(x::_flagscope.stratum), '{}') FROM (
        SELECT s.flag, s.environment, s.variant, s.metric, _flagscope.bounded(sum(s.n)), _flagscope.bounded(sum(s.events)),
            flagscope.rollup(s.moments), flagscope.rollup(s.histogram), max(s.last_ts), _flagscope.bounded(sum(s.stage_n))
        FROM unnest(strata) s GROUP BY s.flag, s.environment, s.variant, s.metric) x;
$$;
COMMENT ON FUNCTION _flagscope.summed_strata(_flagscope.stratum[]) IS
    'the strata of several slices as those of one tick: one for each metric and variant';

CREATE FUNCTION _flagscope.consume_lanes(at timestamptz, until timestamptz,
    OUT strata _flagscope.stratum[], OUT waiting boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most constant integer := 2500;
    slice record;
    busy bigint[] := '{}';
    slices integer := 0;
BEGIN
    strata := '{}';
    waiting := false;
    FOR lane_now IN 0..2 LOOP
        -- Nearly always there is nothing late, and to see that is cheaper than to plan for it.
        CONTINUE WHEN NOT EXISTS (SELECT FROM _flagscope.deltas_in(lane_now))
            AND NOT EXISTS (SELECT FROM _flagscope.delta_place p WHERE p.lane = lane_now);
        LOOP
            SELECT * INTO slice FROM _flagscope.consume_deltas(at, lane_now, most, busy);
            strata := strata || slice.strata;
            busy := busy || slice.left_to;
            slices := slices + 1;
            IF slice.taken < most THEN
                -- What was left to somebody, or was committed late, lies before the place that was reached.
                DELETE FROM _flagscope.delta_place p WHERE p.lane = lane_now;
                EXIT WHEN NOT FOUND;
            END IF;
            IF clock_timestamp() > until THEN
                waiting := true;
                EXIT;
            END IF;
        END LOOP;
    END LOOP;
    IF slices > 1 THEN
        strata := _flagscope.summed_strata(strata);
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.consume_lanes(timestamptz, timestamptz) IS
    'consumes deltas lane by lane until a time, of each lane one slice at least; returns the strata, and whether deltas wait that could have been consumed';

CREATE FUNCTION _flagscope.tick_until(started timestamptz, share float8) RETURNS timestamptz
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT started + share * _flagscope.setting_interval('tick.budget');
END;
COMMENT ON FUNCTION _flagscope.tick_until(timestamptz, float8) IS
    'when a tick that began then has spent this share of its budget';

CREATE FUNCTION _flagscope.waiting_words() RETURNS TABLE (item text, says text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'waiting', format('the last tick was out of time (setting tick.budget, %s) and left to the next ones: %s',
        _flagscope.setting_text('tick.budget'), array_to_string(w.names, ', '))
    FROM (SELECT ARRAY(SELECT CASE n
            WHEN 'deltas' THEN format('%s deltas of metrics', (SELECT count(*) FROM _flagscope.variant_delta))
            WHEN 'exposures' THEN format('%s exposures', (SELECT count(*) FROM _flagscope.subject_delta))
            WHEN 'late traces' THEN format('%s late traces', (SELECT count(*) FROM _flagscope.late_trace))
            ELSE n END FROM unnest(s.waiting) n) AS names
        FROM _flagscope.tick_state s) w
    WHERE w.names <> '{}'
    UNION ALL
    SELECT 'retention', s.retention_problem FROM _flagscope.tick_state s WHERE s.retention_problem IS NOT NULL;
$$;
COMMENT ON FUNCTION _flagscope.waiting_words() IS
    'for status(): what the last tick left to the next ones, and why retention deletes nothing';
