-- What an ingest node does instead of judging: attribute, report, keep its own rollups, and forget what it has sent.
-- Its deltas are published when they are inserted, and only that: deleting and truncating them here is nobody else's
-- matter.
--
-- The WAL has them until the deciding node has confirmed that it has them, and so have the slots of this node: were the
-- WAL given up (max_slot_wal_keep_size), they are sent from there. Which ones are confirmed tell marks: a position of
-- the WAL, and a snapshot taken before it. What that sees was committed before that position.

CREATE FUNCTION _flagscope.delta_slot() RETURNS name
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT _flagscope.slot_name(n.name, 'delta', n.delta_slot) FROM _flagscope.this_node n $$;
COMMENT ON FUNCTION _flagscope.delta_slot() IS 'name of the replication slot by which an ingest node sends its deltas';

CREATE FUNCTION _flagscope.full_xid(xid xid) RETURNS xid8
LANGUAGE sql STABLE
BEGIN ATOMIC
    -- The latest transaction that has these 32 bits.
    SELECT (x.next - (((x.next - xid::text::bigint) % 4294967296) + 4294967296) % 4294967296)::text::xid8
    FROM (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next) x;
END;
COMMENT ON FUNCTION _flagscope.full_xid(xid) IS 'the whole number of a transaction that wrote a row not long ago';

CREATE FUNCTION _flagscope.confirmed() RETURNS pg_snapshot
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- While tables are being copied to the deciding node its confirmations say nothing about them.
    RETURN (SELECT m.snapshot FROM _flagscope.this_node t
            JOIN flagscope.node n ON n.name = t.name AND n.synced = t.delta_slot
            JOIN pg_replication_slots s ON s.slot_name = _flagscope.delta_slot() AND s.wal_status <> 'lost'
            JOIN _flagscope.delta_mark m ON m.lsn <= s.confirmed_flush_lsn
        ORDER BY m.lsn DESC LIMIT 1);
END $$;
COMMENT ON FUNCTION _flagscope.confirmed() IS
    'what this snapshot sees of deltas has reached the deciding node for good; NULL: nothing is known';

CREATE FUNCTION _flagscope.counted_ever() RETURNS bigint
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(sum(pg_stat_get_tuples_inserted(x.oid)), 0)::bigint
    FROM (SELECT i.inhrelid AS oid FROM pg_inherits i WHERE i.inhparent = '_flagscope.variant_delta'::regclass
        UNION ALL SELECT '_flagscope.subject_delta'::regclass) x;
END;
COMMENT ON FUNCTION _flagscope.counted_ever() IS
    'how many deltas and exposures this server has written, by its statistics';

CREATE FUNCTION _flagscope.report_node(counted bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM _flagscope.node_report;
    INSERT INTO _flagscope.node_report (node, delta_slot, at, last_delta_at, wal_kept, wal_left)
    SELECT t.name, t.delta_slot, clock_timestamp(),
        (SELECT min(m.at) FROM _flagscope.delta_mark m WHERE m.written = counted),
        pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn), s.safe_wal_size
    FROM _flagscope.this_node t LEFT JOIN pg_replication_slots s ON s.slot_name = _flagscope.delta_slot();
END $$;
COMMENT ON FUNCTION _flagscope.report_node(bigint) IS
    'gives a sign of life in the stream of deltas, given what counted_ever() says';

CREATE FUNCTION _flagscope.mark_deltas(counted bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    seen pg_snapshot := pg_current_snapshot();
    -- After the snapshot: whatever it sees lies before.
    reached pg_lsn := pg_current_wal_insert_lsn();
    kept_from pg_lsn;
BEGIN
    INSERT INTO _flagscope.delta_mark (lsn, snapshot, at, written) VALUES (reached, seen, clock_timestamp(), counted)
    ON CONFLICT DO NOTHING;
    -- Of those that are confirmed the last one is enough; that of the last row is told.
    SELECT max(m.lsn) INTO kept_from FROM _flagscope.delta_mark m, pg_replication_slots s
    WHERE s.slot_name = _flagscope.delta_slot() AND s.wal_status <> 'lost' AND m.lsn <= s.confirmed_flush_lsn;
    DELETE FROM _flagscope.delta_mark m WHERE m.lsn < kept_from AND m.lsn <> coalesce((
        SELECT min(x.lsn) FROM _flagscope.delta_mark x WHERE x.written = counted), reached);
END $$;
COMMENT ON FUNCTION _flagscope.mark_deltas(bigint) IS
    'notes what is committed before a position of the WAL, and forgets marks that are no longer needed';

CREATE FUNCTION _flagscope.roll_up_slots(slots regclass[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    INSERT INTO flagscope.variant_rollup AS r
    SELECT d.flag, d.environment, d.variant, d.metric, d.bucket, _flagscope.bounded(sum(d.n)),
        _flagscope.bounded(sum(d.events)), flagscope.rollup(d.moments), flagscope.rollup(d.histogram), max(d.last_ts)
    FROM _flagscope.variant_delta d WHERE d.tableoid = ANY (slots::oid[]) AND NOT d.rolled_up
    GROUP BY d.flag, d.environment, d.variant, d.metric, d.bucket
    ORDER BY d.flag, d.environment, d.variant, d.metric, d.bucket
    ON CONFLICT (flag, environment, metric, variant, bucket, settled) DO UPDATE SET
        n = _flagscope.bounded(r.n::numeric + excluded.n),
        events = _flagscope.bounded(r.events::numeric + excluded.events),
        moments = flagscope.merge(r.moments, excluded.moments),
        histogram = flagscope.merge(r.histogram, excluded.histogram),
        last_ts = greatest(r.last_ts, excluded.last_ts);
$$;
COMMENT ON FUNCTION _flagscope.roll_up_slots(regclass[]) IS 'adds the deltas of some slots to the rollups of this node';

CREATE FUNCTION _flagscope.keep_unconfirmed(slots regclass[], confirmed pg_snapshot) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    INSERT INTO _flagscope.kept_delta
    SELECT d.*, _flagscope.full_xid(d.xmin) FROM _flagscope.variant_delta d
    WHERE d.tableoid = ANY (slots::oid[]) AND d.tableoid <> '_flagscope.variant_delta'::regclass
        AND NOT coalesce(pg_visible_in_snapshot(_flagscope.full_xid(d.xmin), confirmed), false);
    DELETE FROM _flagscope.kept_delta k WHERE pg_visible_in_snapshot(k.written, confirmed);
    DELETE FROM _flagscope.subject_delta d WHERE pg_visible_in_snapshot(_flagscope.full_xid(d.xmin), confirmed);
    DELETE FROM _flagscope.history_delta d WHERE pg_visible_in_snapshot(_flagscope.full_xid(d.xmin), confirmed);
$$;
COMMENT ON FUNCTION _flagscope.keep_unconfirmed(regclass[], pg_snapshot) IS
    'keeps the deltas of some slots that the deciding node has not confirmed, and forgets what it has';

CREATE FUNCTION _flagscope.send_history(states flagscope.variant_rollup[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    -- Of a bucket of which deltas were sent, the deciding node has those. Older than the finest level nobody knows.
    INSERT INTO _flagscope.history_delta
    SELECT s.flag, s.environment, s.variant, s.metric, s.bucket, s.n, s.events, s.moments, s.histogram, s.last_ts
    FROM unnest(states) s
    WHERE s.bucket >= _flagscope.kept_since('rollup fine')
        AND NOT EXISTS (SELECT FROM flagscope.variant_rollup r
            WHERE (r.flag, r.environment, r.metric, r.variant, r.bucket)
                = (s.flag, s.environment, s.metric, s.variant, s.bucket))
        AND NOT EXISTS (SELECT FROM _flagscope.kept_delta k
            WHERE (k.flag, k.environment, k.metric, k.variant, k.bucket)
                = (s.flag, s.environment, s.metric, s.variant, s.bucket));
$$;
COMMENT ON FUNCTION _flagscope.send_history(flagscope.variant_rollup[]) IS
    'of an ingest node: sends what it has computed from stored rows, of buckets that nothing was sent of';

CREATE FUNCTION _flagscope.recycle_sent() RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    turn bigint := floor(extract(epoch FROM clock_timestamp()) / 60);
    free regclass[] := '{}';
    slot regclass;
BEGIN
    -- As recycle_deltas(): slots that nobody has written for a minute.
    FOR slot IN
        SELECT ('_flagscope.variant_delta' || lane || '_' || (turn + k) % 4)::regclass
        FROM generate_series(1, 2) k, unnest('{"",_late,_past}'::text[]) lane
        UNION ALL SELECT '_flagscope.variant_delta'::regclass  -- what send_again() knows to have arrived
    LOOP
        CONTINUE WHEN pg_relation_size(slot) = 0;
        BEGIN
            PERFORM _flagscope.lock_slot(slot);
            free := free || slot;
        EXCEPTION WHEN lock_not_available THEN
            NULL;  -- a long transaction has written to it, or it is being copied: retried at its next turn
        END;
    END LOOP;
    PERFORM _flagscope.roll_up_slots(free), _flagscope.keep_unconfirmed(free, _flagscope.confirmed());
    FOREACH slot IN ARRAY free LOOP
        PERFORM _flagscope.truncate_slot(slot);
    END LOOP;
    RETURN cardinality(free);
END $$;
COMMENT ON FUNCTION _flagscope.recycle_sent() IS
    'of an ingest node: slots of deltas that are no longer written become part of its rollups and are truncated; '
    'what is not confirmed is kept; returns their number';

CREATE FUNCTION _flagscope.send_again(received pg_lsn, slot name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- The position of the last transaction that arrived may be long before what is confirmed.
    reached pg_lsn := greatest(received, (SELECT s.confirmed_flush_lsn FROM pg_replication_slots s
        WHERE s.slot_name = slot));
    -- Marks are a second apart: what was committed in that second is taken for not received.
    seen pg_snapshot := (SELECT m.snapshot FROM _flagscope.delta_mark m WHERE m.lsn <= reached
        ORDER BY m.lsn DESC LIMIT 1);
BEGIN
    PERFORM _flagscope.lock_rollups();
    DELETE FROM _flagscope.kept_delta k WHERE pg_visible_in_snapshot(k.written, seen);
    DELETE FROM _flagscope.subject_delta d WHERE pg_visible_in_snapshot(_flagscope.full_xid(d.xmin), seen);
    DELETE FROM _flagscope.history_delta d WHERE pg_visible_in_snapshot(_flagscope.full_xid(d.xmin), seen);
    -- The parent is not published, and what is there becomes part of this node's rollups like any other.
    WITH arrived AS (
        DELETE FROM _flagscope.variant_delta d WHERE d.tableoid <> '_flagscope.variant_delta'::regclass
            AND pg_visible_in_snapshot(_flagscope.full_xid(d.xmin), seen) RETURNING d.*
    )
    INSERT INTO _flagscope.variant_delta SELECT * FROM arrived;
    WITH kept AS (
        DELETE FROM _flagscope.kept_delta RETURNING *
    )
    INSERT INTO _flagscope.variant_delta_past_0 (flag, environment, variant, metric, bucket, n, events, moments,
        histogram, last_ts, rolled_up, first_ts, instance)
    SELECT k.flag, k.environment, k.variant, k.metric, k.bucket, k.n, k.events, k.moments, k.histogram, k.last_ts, true,
        k.first_ts, k.instance
    FROM kept k;
END $$;
COMMENT ON FUNCTION _flagscope.send_again(pg_lsn, name) IS
    'before an ingest node sends by another slot than this one: what the deciding node has not received, up to this '
    'position or to what the slot knows, is put where it is copied from';

CREATE FUNCTION _flagscope.begin_sending() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A slot must be made before its transaction writes, the publication in it or later: what lies between cannot be
    -- read, and need not be, since what the tables have is copied first.
    IF EXISTS (SELECT FROM _flagscope.this_node t WHERE NOT t.is_sending) THEN
        PERFORM pg_replication_slot_advance(s.slot_name, pg_current_wal_flush_lsn()) FROM pg_replication_slots s
        WHERE s.slot_name = _flagscope.delta_slot();
        UPDATE _flagscope.this_node SET is_sending = true;
    END IF;
EXCEPTION WHEN object_in_use THEN
    NULL;  -- the deciding node tries to read it: the next run tries again
END $$;
COMMENT ON FUNCTION _flagscope.begin_sending() IS
    'of an ingest node that has joined: lets the deciding node read its slot';

CREATE FUNCTION _flagscope.keep_contact() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    counted bigint := _flagscope.counted_ever();
BEGIN
    IF _flagscope.is_ingest_node() AND NOT pg_is_in_recovery() THEN
        PERFORM _flagscope.begin_sending(), _flagscope.mark_deltas(counted), _flagscope.report_node(counted),
            _flagscope.end_first_copy();
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.keep_contact() IS
    'of an ingest node: what the deciding node learns of it, and it of what has arrived there';

CREATE FUNCTION _flagscope.serve_node(at timestamptz) RETURNS flagscope.tick_result
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1 SET lock_timeout = '1s'
    SET timezone = 'UTC' SET datestyle = 'ISO, MDY' SET intervalstyle = 'postgres' SET bytea_output = 'hex'
    SET standard_conforming_strings = on SET transform_null_equals = off SET session_replication_role = 'origin'
AS $$
DECLARE
    started timestamptz := clock_timestamp();
    result flagscope.tick_result;
BEGIN
    BEGIN
        LOCK TABLE _flagscope.tick_state IN SHARE UPDATE EXCLUSIVE MODE;
    EXCEPTION WHEN lock_not_available THEN
        RETURN NULL;
    END;
    IF NOT _flagscope.may_judge() THEN
        RETURN NULL;
    END IF;
    PERFORM _flagscope.keep_contact();
    result.at := at;
    result.strata := 0;
    result.guardrails := 0;
    result.decisions := 0;
    result.waiting := array_remove(ARRAY[_flagscope.tie_late_traces(_flagscope.tick_until(started, 0.5::float8))], NULL)
        || _flagscope.maintain_when_due(at, _flagscope.tick_until(started, 1::float8));
    result.milliseconds := 1000 * extract(epoch FROM clock_timestamp() - started);
    PERFORM _flagscope.note_tick(result);
    RETURN result;
END $$;
COMMENT ON FUNCTION _flagscope.serve_node(timestamptz) IS
    'what an ingest node does instead of a tick: attribute what came late, report, maintain';

CREATE FUNCTION _flagscope.take_turn(at timestamptz) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT _flagscope.is_ingest_node() THEN
        RETURN (flagscope.tick(at)).decisions;
    END IF;
    -- Each commit wakes the worker; nothing here is as urgent.
    IF EXISTS (SELECT FROM _flagscope.node_report r WHERE r.at > clock_timestamp() - interval '1 second') THEN
        RETURN 0;
    END IF;
    RETURN (_flagscope.serve_node(at)).decisions;
END $$;
COMMENT ON FUNCTION _flagscope.take_turn(timestamptz) IS
    'what the worker does when it is time: a tick, or on an ingest node what there is to be done instead, at most '
    'once a second; returns the number of decisions';

CREATE FUNCTION _flagscope.forget_older_configuration(before xid8) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp SET session_replication_role = 'replica'
AS $$
    DELETE FROM flagscope.setting x WHERE _flagscope.full_xid(x.xmin) < before;
    DELETE FROM flagscope.environment_definition x WHERE _flagscope.full_xid(x.xmin) < before;
    DELETE FROM flagscope.environment_history x WHERE _flagscope.full_xid(x.xmin) < before;
    DELETE FROM flagscope.segment x WHERE _flagscope.full_xid(x.xmin) < before;
    DELETE FROM flagscope.flag_state x WHERE _flagscope.full_xid(x.xmin) < before;
    DELETE FROM flagscope.flag_state_history x WHERE _flagscope.full_xid(x.xmin) < before;
    DELETE FROM flagscope.flag_definition x WHERE _flagscope.full_xid(x.xmin) < before;
    DELETE FROM flagscope.guardrail x WHERE _flagscope.full_xid(x.xmin) < before;
    DELETE FROM flagscope.guardrail_policy x WHERE _flagscope.full_xid(x.xmin) < before;
    DELETE FROM flagscope.metric_definition x WHERE _flagscope.full_xid(x.xmin) < before;
    DELETE FROM flagscope.change_freeze x WHERE _flagscope.full_xid(x.xmin) < before;
    DELETE FROM flagscope.rollout_stage x WHERE _flagscope.full_xid(x.xmin) < before;
    DELETE FROM flagscope.guardrail_status x WHERE _flagscope.full_xid(x.xmin) < before;
    DELETE FROM flagscope.rollout x WHERE _flagscope.full_xid(x.xmin) < before;
    DELETE FROM flagscope.decision x WHERE _flagscope.full_xid(x.xmin) < before;
    DELETE FROM _flagscope.watch w WHERE NOT EXISTS (SELECT FROM flagscope.guardrail g
        WHERE (g.flag, g.environment, g.metric) = (w.flag, w.environment, w.metric) AND g.enabled);
$$;
COMMENT ON FUNCTION _flagscope.forget_older_configuration(xid8) IS
    'deletes what transactions before this one wrote of the configuration';

CREATE FUNCTION _flagscope.end_first_copy() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET session_replication_role = 'replica'
AS $$
DECLARE
    since xid8 := (SELECT t.join_xid FROM _flagscope.this_node t);
BEGIN
    IF since IS NULL OR NOT EXISTS (SELECT FROM pg_subscription s WHERE s.subname = 'flagscope_configuration')
        OR EXISTS (SELECT FROM pg_subscription_rel r JOIN pg_subscription s ON s.oid = r.srsubid
            WHERE s.subname = 'flagscope_configuration' AND r.srsubstate <> 'r') THEN
        RETURN;
    END IF;
    PERFORM _flagscope.forget_older_configuration(since);
    -- Guardrails may have come before their metrics.
    INSERT INTO _flagscope.watch (flag, environment, metric)
    SELECT DISTINCT g.flag, g.environment, g.metric
    FROM flagscope.guardrail g JOIN flagscope.metric_definition m ON m.name = g.metric
    WHERE g.enabled AND NOT _flagscope.is_polled(m)
    ON CONFLICT DO NOTHING;
    UPDATE _flagscope.this_node SET join_xid = NULL;
END $$;
COMMENT ON FUNCTION _flagscope.end_first_copy() IS
    'of an ingest node, once the configuration is copied: deletes what was here before and is no longer part of it';
