-- Delivery of the outbox by flagscope-gateway: each sink takes and ends its own rows.

CREATE FUNCTION _flagscope.topic(o flagscope.outbox) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
RETURN CASE o.kind WHEN 'health' THEN 'health ' || (o.payload ->> 'name')
    ELSE 'rollout ' || coalesce(o.payload ->> 'rollout_id', '') END;
COMMENT ON FUNCTION _flagscope.topic(flagscope.outbox) IS
    'what a notification is about: those of one topic reach a sink in their order';

CREATE FUNCTION flagscope.take_deliveries(sink text, most integer DEFAULT 10, lease interval DEFAULT '30 seconds',
    OUT outbox_id bigint, OUT kind text, OUT payload jsonb, OUT created_at timestamptz, OUT tags text[],
    OUT attempts integer)
RETURNS SETOF record
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO flagscope.outbox_delivery (outbox_id, sink, next_try_at)
    SELECT o.id, take_deliveries.sink, o.next_try_at FROM flagscope.outbox o
    WHERE o.delivered_at IS NULL AND take_deliveries.sink IS NOT NULL
    ON CONFLICT DO NOTHING;
    -- No lock is held while the row is sent: until the lease is over, nobody else takes it. A row waits for the
    -- earlier ones of its topic, so that a problem is not told after its end.
    RETURN QUERY
    WITH due AS (
        SELECT d.outbox_id, d.sink FROM flagscope.outbox_delivery d JOIN flagscope.outbox o ON o.id = d.outbox_id
        WHERE d.sink = take_deliveries.sink AND d.ended_at IS NULL AND d.next_try_at <= clock_timestamp()
            AND NOT EXISTS (SELECT FROM flagscope.outbox_delivery e JOIN flagscope.outbox b ON b.id = e.outbox_id
                WHERE e.sink = d.sink AND e.ended_at IS NULL AND e.outbox_id < d.outbox_id
                    AND _flagscope.topic(b) = _flagscope.topic(o))
        ORDER BY d.outbox_id LIMIT coalesce(most, 10) FOR UPDATE OF d SKIP LOCKED
    ), taken AS (
        UPDATE flagscope.outbox_delivery d
        SET attempts = d.attempts + 1, next_try_at = clock_timestamp() + coalesce(lease, '30 seconds')
        FROM due WHERE d.outbox_id = due.outbox_id AND d.sink = due.sink
        RETURNING d.outbox_id, d.attempts
    )
    SELECT o.id, o.kind, o.payload, o.created_at, coalesce(f.tags, '{}'), t.attempts
    FROM taken t JOIN flagscope.outbox o ON o.id = t.outbox_id
        LEFT JOIN flagscope.flag_definition f ON f.key = o.payload ->> 'flag'
    ORDER BY o.id;
END $$;
COMMENT ON FUNCTION flagscope.take_deliveries(text, integer, interval) IS
    'notifications that are due at a sink, the earliest of each topic; nobody else gets them until the lease is over. '
    'For each, end_delivery() then says what became of it';

CREATE FUNCTION flagscope.end_delivery(outbox_id bigint, sink text, sinks text[], problem text DEFAULT NULL,
    again_after interval DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    now_is timestamptz := clock_timestamp();
BEGIN
    -- One after the other for a row of outbox: the last sink must see that the others have ended.
    PERFORM FROM flagscope.outbox o WHERE o.id = end_delivery.outbox_id FOR NO KEY UPDATE;
    UPDATE flagscope.outbox_delivery d SET problem = left(end_delivery.problem, 1000),
        next_try_at = now_is + coalesce(again_after, '0'),
        ended_at = CASE WHEN end_delivery.problem IS NULL OR again_after IS NULL THEN now_is END
    WHERE d.outbox_id = end_delivery.outbox_id AND d.sink = end_delivery.sink;
    UPDATE flagscope.outbox o SET attempts = o.attempts + 1, delivered_at = coalesce(o.delivered_at,
        CASE WHEN sinks IS NOT NULL AND NOT EXISTS (
            SELECT FROM unnest(sinks) s(name) LEFT JOIN flagscope.outbox_delivery d
            ON d.outbox_id = o.id AND d.sink = s.name WHERE d.ended_at IS NULL) THEN now_is END)
    WHERE o.id = end_delivery.outbox_id;
END $$;
COMMENT ON FUNCTION flagscope.end_delivery(bigint, text, text[], text, interval) IS
    'what became of a notification at a sink: without a problem it is delivered, else tried again after that time, or '
    'without one given up. Once all sinks that are named have ended, the notification is delivered';
