-- What the deciding node knows of the ingest nodes, and what each node says of itself. A report comes in the same
-- stream as the deltas: the age of the last one is how far behind they are, and a node without one is not taken for
-- idle.

CREATE FUNCTION _flagscope.take_history(most integer) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH taken AS (
        DELETE FROM _flagscope.history_delta d
        WHERE d.ctid = ANY (ARRAY(SELECT x.ctid FROM _flagscope.history_delta x LIMIT most)) RETURNING *
    )
    INSERT INTO flagscope.variant_rollup AS r
    SELECT t.flag, t.environment, t.variant, t.metric, t.bucket, _flagscope.bounded(sum(t.n)),
        _flagscope.bounded(sum(t.events)), flagscope.rollup(t.moments), flagscope.rollup(t.histogram), max(t.last_ts)
    FROM taken t GROUP BY t.flag, t.environment, t.variant, t.metric, t.bucket
    ORDER BY t.flag, t.environment, t.variant, t.metric, t.bucket
    ON CONFLICT (flag, environment, metric, variant, bucket, settled) DO UPDATE SET
        n = _flagscope.bounded(r.n::numeric + excluded.n),
        events = _flagscope.bounded(r.events::numeric + excluded.events),
        moments = flagscope.merge(r.moments, excluded.moments),
        histogram = flagscope.merge(r.histogram, excluded.histogram),
        last_ts = greatest(r.last_ts, excluded.last_ts);
$$;
COMMENT ON FUNCTION _flagscope.take_history(integer) IS
    'adds to the rollups of the deciding node what ingest nodes have rolled up of their past, up to a number of states';

CREATE FUNCTION _flagscope.hear_nodes() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF _flagscope.node_role() <> 'decide' THEN
        RETURN;
    END IF;
    WITH taken AS (
        DELETE FROM _flagscope.node_report RETURNING *
    )
    INSERT INTO _flagscope.node_state AS s (node, delta_slot, reported_at, arrived_at, last_delta_at, wal_kept,
        wal_left)
    SELECT DISTINCT ON (t.node) t.node, t.delta_slot, t.at, t.arrived_at, t.last_delta_at, t.wal_kept, t.wal_left
    FROM taken t JOIN flagscope.node n ON n.name = t.node AND n.role = 'ingest' ORDER BY t.node, t.at DESC
    ON CONFLICT (node) DO UPDATE SET delta_slot = excluded.delta_slot, reported_at = excluded.reported_at,
        arrived_at = excluded.arrived_at, last_delta_at = coalesce(excluded.last_delta_at, s.last_delta_at),
        wal_kept = excluded.wal_kept, wal_left = excluded.wal_left;
    PERFORM _flagscope.take_history(10000);
    UPDATE flagscope.node n SET synced = s.delta_slot
    FROM _flagscope.node_state s JOIN pg_subscription p ON p.subname = 'flagscope_' || s.node
        AND p.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    WHERE n.name = s.node AND n.delta_slot = s.delta_slot AND n.synced IS DISTINCT FROM s.delta_slot
        AND p.subslotname = _flagscope.slot_name(n.name, 'delta', n.delta_slot)
        AND NOT EXISTS (SELECT FROM pg_subscription_rel r WHERE r.srsubid = p.oid AND r.srsubstate <> 'r');
END $$;
COMMENT ON FUNCTION _flagscope.hear_nodes() IS
    'part of tick() on a deciding node: reads the reports of ingest nodes, and notes whose deltas arrive without a gap';

CREATE FUNCTION _flagscope.bytes_words(bytes bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN bytes < 1048576 THEN format('%s kB', greatest(bytes, 0) / 1024) ELSE pg_size_pretty(bytes) END;
COMMENT ON FUNCTION _flagscope.bytes_words(bigint) IS 'a number of bytes in words';

CREATE FUNCTION _flagscope.wal_words(kept bigint, rest bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN concat_ws(', ', CASE WHEN kept IS NOT NULL THEN format('%s of WAL kept', _flagscope.bytes_words(kept)) END,
    CASE WHEN rest < 0 THEN 'which is more than max_slot_wal_keep_size: it will be lost at the next checkpoint'
        WHEN rest >= 0 THEN format('%s more until it is lost (max_slot_wal_keep_size)', _flagscope.bytes_words(rest))
        END);
COMMENT ON FUNCTION _flagscope.wal_words(bigint, bigint) IS
    'how much WAL is kept for another node, and how much more may be until it is given up, in words';

CREATE FUNCTION _flagscope.heard_states() RETURNS TABLE (name text, state text, since timestamptz, detail text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'node ' || n.name,
        CASE WHEN x.is_silent THEN 'critical' WHEN s.wal_left < s.wal_kept THEN 'warning' ELSE 'ok' END, s.reported_at,
        CASE WHEN s.node IS NULL THEN 'nothing has come from it yet; has join_cluster() been called there?'
            WHEN n.synced IS DISTINCT FROM n.delta_slot THEN 'its deltas are being copied; ramps wait'
            ELSE concat_ws('; ',
                CASE WHEN x.is_silent THEN format('silent since %s: ramps wait', _flagscope.utc(s.reported_at))
                    ELSE format('%s ms behind', greatest(0, round(1000
                        * extract(epoch FROM s.arrived_at - s.reported_at))::bigint)) END,
                'last delta ' || coalesce(_flagscope.utc(s.last_delta_at), 'not yet'),
                _flagscope.wal_words(s.wal_kept, s.wal_left)) END
    FROM flagscope.node n LEFT JOIN _flagscope.node_state s ON s.node = n.name AND s.delta_slot = n.delta_slot,
        LATERAL (SELECT coalesce(n.synced <> n.delta_slot OR s.reported_at
            < clock_timestamp() - _flagscope.setting_interval('node.silent_after'), true) AS is_silent) x
    WHERE n.role = 'ingest' ORDER BY n.name;
$$;
COMMENT ON FUNCTION _flagscope.heard_states() IS 'the ingest nodes as the deciding node sees them';

CREATE FUNCTION _flagscope.own_states() RETURNS TABLE (name text, state text, since timestamptz, detail text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'node ' || t.name, CASE WHEN s.slot_name IS NULL OR s.wal_status = 'lost' THEN 'critical'
            WHEN c.pid IS NULL OR NOT s.active THEN 'warning' ELSE 'ok' END,
        c.last_msg_receipt_time,
        concat_ws('; ', CASE WHEN s.wal_status = 'lost' THEN format('WAL that %s has not received is lost '
                '(max_slot_wal_keep_size). Nothing of the deltas is, they are kept here: call add_node(..., anew => '
                'true) '
                'there and join_cluster() here', _flagscope.deciding_node())
            WHEN s.slot_name IS NULL THEN format('%s cannot get the deltas: its replication slot is gone. Call '
                'add_node(..., anew => true) there and join_cluster() here', _flagscope.deciding_node())
            WHEN NOT s.active THEN format('%s is not connected: nothing that is counted here is judged',
                _flagscope.deciding_node())
            ELSE format('what it counts goes to %s', _flagscope.deciding_node()) END,
            CASE WHEN c.pid IS NULL THEN 'no configuration comes: see the server log' END,
            nullif(_flagscope.wal_words(pg_wal_lsn_diff(CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_lsn() END,
                s.restart_lsn)::bigint, s.safe_wal_size), ''),
            (SELECT format('%s deltas kept for it', count(*)) FROM _flagscope.kept_delta HAVING count(*) > 0))
    FROM _flagscope.this_node t LEFT JOIN pg_replication_slots s ON s.slot_name = _flagscope.delta_slot()
        LEFT JOIN (SELECT y.pid, y.last_msg_receipt_time FROM pg_stat_subscription y
            WHERE y.subname = 'flagscope_configuration' AND y.relid IS NULL) c ON true;
$$;
COMMENT ON FUNCTION _flagscope.own_states() IS 'an ingest node as it sees itself';

CREATE FUNCTION _flagscope.node_states() RETURNS TABLE (name text, state text, since timestamptz, detail text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    CASE _flagscope.node_role()
        WHEN 'decide' THEN RETURN QUERY SELECT * FROM _flagscope.heard_states();
        WHEN 'ingest' THEN RETURN QUERY SELECT * FROM _flagscope.own_states();
        ELSE RETURN;
    END CASE;
END $$;
COMMENT ON FUNCTION _flagscope.node_states() IS 'the nodes of a cluster for the view health and for status()';
