-- The time budget of a tick: work that can grow is done in slices until the time is used up (setting tick.budget); the
-- rest waits for the next ticks. Judging, the purpose of a tick, is never cut short.
-- tick_state and status() tell what waits.
--
-- Each kind of work does at least one slice, so that none starves behind another; its share of the budget tells when it
-- stops. A slice takes some hundredths of a second.

CREATE FUNCTION _flagscope.deltas_in(lane integer) RETURNS TABLE (part oid, place tid, flag text, environment text)
-- Without a pinned search_path, so that the planner can inline it and stop reading at a LIMIT. It begins where earlier
-- ticks stopped; otherwise each slice of a million deltas would read the consumed ones again (43 us a delta, not 16).
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
    'places of the deltas of a lane in the order of arrival: 0 current (and what ticks write), 1 late, 2 past';

CREATE FUNCTION _flagscope.summed_strata(strata _flagscope.stratum[]) RETURNS _flagscope.stratum[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(x::_flagscope.stratum), '{}') FROM (
        SELECT s.flag, s.environment, s.variant, s.metric, _flagscope.bounded(sum(s.n)),
            _flagscope.bounded(sum(s.events)), flagscope.rollup(s.moments), flagscope.rollup(s.histogram),
            max(s.last_ts), _flagscope.bounded(sum(s.stage_n))
        FROM unnest(strata) s GROUP BY s.flag, s.environment, s.variant, s.metric) x;
$$;
COMMENT ON FUNCTION _flagscope.summed_strata(_flagscope.stratum[]) IS
    'the strata of several slices summed up to those of one tick: one for each metric and variant';

CREATE FUNCTION _flagscope.consume_lanes(at timestamptz, until timestamptz,
    OUT strata _flagscope.stratum[], OUT pieces _flagscope.piece[], OUT waiting boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most constant integer := 2500;
    slice record;
    busy bigint[] := '{}';
    slices integer := 0;
BEGIN
    strata := '{}';
    pieces := '{}';
    waiting := false;
    FOR lane_now IN 0..2 LOOP
        -- There is rarely anything late, and checking is cheaper than planning the query.
        CONTINUE WHEN NOT EXISTS (SELECT FROM _flagscope.deltas_in(lane_now))
            AND NOT EXISTS (SELECT FROM _flagscope.delta_place p WHERE p.lane = lane_now);
        LOOP
            SELECT * INTO slice FROM _flagscope.consume_deltas(at, lane_now, most, busy);
            strata := strata || slice.strata;
            pieces := pieces || slice.pieces;
            busy := busy || slice.left_to;
            slices := slices + 1;
            IF slice.taken < most THEN
                -- Deltas that were skipped because of a lock, or committed late, lie before the noted place.
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
        pieces := _flagscope.merged_pieces(pieces);
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.consume_lanes(timestamptz, timestamptz) IS
    'consumes deltas lane by lane until a time, at least one slice of each lane; '
    'returns the strata and pieces, and whether consumable deltas are left';

CREATE FUNCTION _flagscope.tick_until(started timestamptz, share float8) RETURNS timestamptz
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT started + share * _flagscope.setting_interval('tick.budget');
END;
COMMENT ON FUNCTION _flagscope.tick_until(timestamptz, float8) IS
    'when a tick that began at this time has used this share of its budget';

CREATE FUNCTION _flagscope.waiting_words() RETURNS TABLE (item text, says text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'waiting', format('the last tick ran out of time (setting tick.budget, %s); left for the next ones: %s',
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
    'for status(): what the last tick left to the next ones, and why retention deletes nothing, if so';
