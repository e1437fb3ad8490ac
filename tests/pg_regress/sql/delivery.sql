-- Delivery of the outbox: each sink has its own row, its own tries and its own end; the earliest of a topic goes first.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SELECT FROM flagscope.create_flag('shop');
UPDATE flagscope.flag_definition SET tags = '{payments}';
INSERT INTO flagscope.outbox (kind, payload, created_at, next_try_at)
SELECT kind, payload::jsonb, '2026-01-01', '2026-01-01'
FROM (VALUES (1, 'decision', '{"rollout_id": 1, "flag": "shop"}'), (2, 'decision', '{"rollout_id": 1, "flag": "shop"}'),
    (3, 'health', '{"name": "judging"}'),
    (4, 'correlation', '{"rollout_id": 2, "flag": "gone"}')) x(place, kind, payload)
ORDER BY place;
INSERT INTO flagscope.outbox (kind, payload, next_try_at) VALUES ('decision', '{"rollout_id": 3}', 'infinity');
-- The second of rollout 1 waits for the first, and what is due later waits for its time.
SELECT outbox_id, kind, payload, tags, attempts FROM flagscope.take_deliveries('chat');
-- Nobody else gets them while the lease lasts; another sink gets its own.
SELECT count(*) FROM flagscope.take_deliveries('chat');
SELECT outbox_id, attempts FROM flagscope.take_deliveries('pager', most => 1, lease => '0 s');
-- A lease that is over: the gateway that had it died. It is taken anew.
SELECT outbox_id, attempts FROM flagscope.take_deliveries('pager', most => 1, lease => '0 s');
-- One sink delivers, the other fails: the row is not delivered yet, and the second of the topic goes to the first sink
-- alone.
SELECT flagscope.end_delivery(1, 'chat', '{chat,pager}'),
    flagscope.end_delivery(1, 'pager', '{chat,pager}', 'HTTP 500', '1 hour');
SELECT outbox_id FROM flagscope.take_deliveries('chat');
SELECT outbox_id FROM flagscope.take_deliveries('pager', lease => '0 s') WHERE outbox_id < 3;
SELECT outbox_id, sink, attempts, next_try_at > clock_timestamp() + interval '50 minutes' AS later,
    ended_at IS NOT NULL AS ended, problem
FROM flagscope.outbox_delivery WHERE outbox_id = 1 ORDER BY sink;
SELECT id, attempts, delivered_at IS NOT NULL AS delivered FROM flagscope.outbox WHERE id = 1;
-- It is tried again, and given up; then it is done with, and status() tells it.
UPDATE flagscope.outbox_delivery SET next_try_at = '2026-01-01' WHERE outbox_id = 1 AND sink = 'pager';
SELECT outbox_id, attempts FROM flagscope.take_deliveries('pager', most => 1);
SELECT flagscope.end_delivery(1, 'pager', '{chat,pager}', 'HTTP 400: no such key');
SELECT id, attempts, delivered_at IS NOT NULL AS delivered FROM flagscope.outbox WHERE id = 1;
SELECT state, detail FROM flagscope.health WHERE name = 'outbox';
-- A row that no sink is left to deliver is delivered, and what is unknown is nothing.
SELECT flagscope.end_delivery(2, 'chat', '{chat}');
SELECT id, delivered_at IS NOT NULL AS delivered FROM flagscope.outbox WHERE id = 2;
SELECT flagscope.end_delivery(99, 'chat', '{chat}'), flagscope.end_delivery(NULL, NULL, NULL);
SELECT count(*) FROM flagscope.take_deliveries(NULL);
-- A notification that is forgotten takes its deliveries with it.
UPDATE flagscope.outbox SET delivered_at = '2026-01-02' WHERE id = 1;
SELECT _flagscope.forget_deliveries('2100-01-01', 10);
SELECT count(*) FROM flagscope.outbox_delivery WHERE outbox_id = 1;
-- A deliverer may do that, and no more.
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_flagscope_teller;
CREATE ROLE regress_flagscope_teller;
SELECT flagscope.grant_deliverer('regress_flagscope_teller');
SET ROLE regress_flagscope_teller;
SELECT count(*) FROM flagscope.take_deliveries('third');
SELECT count(*) FROM flagscope.decision;
RESET ROLE;
DROP OWNED BY regress_flagscope_teller;
DROP ROLE regress_flagscope_teller;
