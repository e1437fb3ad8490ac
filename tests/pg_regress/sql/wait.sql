-- What keeps a ramp waiting for too long is told once, and once when it is over.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
UPDATE flagscope.setting SET value = '0' WHERE name = 'guardrail.detectable';  -- stages end by their times
\set SHOW_CONTEXT never
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{}', '{"is_error": true}');
CREATE FUNCTION pg_temp.spans(flag text, at timestamptz, n integer DEFAULT 200) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, flags, is_error)
    SELECT at, 'span', 'x', jsonb_build_object(flag, v), false
    FROM generate_series(1, n) i, unnest('{on,off}'::text[]) v;
$$;
CREATE FUNCTION pg_temp.begin(flag text, OUT id bigint, stages numeric[] DEFAULT '{10, 50, 90}',
    approval boolean DEFAULT false)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM flagscope.create_flag(flag), flagscope.create_guardrail(flag, 'errors');
    id := flagscope.create_rollout(flag, stages => stages, min_duration => '20 minutes', approval => approval);
    PERFORM flagscope.start_rollout(id, at => '2040-01-02 12:00+00');
END $$;
-- Ticks each minute of the hour from one to another; what was told by them.
CREATE FUNCTION pg_temp.told(began integer, ended integer, flag text)
RETURNS TABLE (told timestamptz, state text, name text, reason text)
LANGUAGE plpgsql AS $$
DECLARE
    last bigint := (SELECT coalesce(max(id), 0) FROM flagscope.outbox);
BEGIN
    PERFORM flagscope.tick('2040-01-02 12:00+00'::timestamptz + m * interval '1 minute')
    FROM generate_series(began, ended) m;
    RETURN QUERY SELECT o.created_at, o.payload ->> 'state', o.payload ->> 'name', o.payload ->> 'reason'
    FROM flagscope.outbox o
    WHERE o.id > last AND o.kind IN ('health', 'approval') AND o.payload ->> 'flag' = told.flag ORDER BY o.id;
END $$;

-- No data: known after a minute, told ten minutes later, once, while the stage lasts; over with the first data.
SELECT pg_temp.begin('empty') AS id \gset
SELECT * FROM pg_temp.told(1, 15, 'empty');
SELECT o.payload FROM flagscope.outbox o WHERE o.kind = 'health';
SELECT pg_temp.spans('empty', '2040-01-02 12:16');
SELECT * FROM pg_temp.told(16, 17, 'empty');
-- Data that stops.
SELECT * FROM pg_temp.told(18, 35, 'empty');
SELECT flagscope.rollback_rollout(:id, at => '2040-01-02 12:36') > 0 AS over;
SELECT * FROM pg_temp.told(36, 37, 'empty');

-- An approval is told when the stage's time is over and nothing else is in the way, and when it is given.
SELECT pg_temp.begin('asked', approval => true) AS id \gset
SELECT pg_temp.spans('asked', '2040-01-02 12:38');
SELECT * FROM pg_temp.told(38, 39, 'asked');
SELECT flagscope.approve_stage(:id, at => '2040-01-02 12:39') > 0 AS approved;
SELECT * FROM pg_temp.told(40, 40, 'asked');
SELECT stage FROM flagscope.rollout WHERE id = :id;
SELECT flagscope.rollback_rollout(:id, at => '2040-01-02 12:41') > 0 AS over;

-- A freeze, and a sample that is not complete, count from the end of the stage's time.
SELECT flagscope.set_setting('rollout.tell_after', '"5 minutes"');
SELECT pg_temp.begin('frozen') AS id \gset
SELECT flagscope.create_change_freeze('Christmas', since => '2040-01-02 12:15',
    until => '2040-01-02 14:00') > 0 AS frozen;
DO $$
BEGIN
    FOR m IN 1..30 LOOP
        PERFORM pg_temp.spans('frozen', '2040-01-02 12:00'::timestamptz + m * interval '1 minute'),
            flagscope.tick('2040-01-02 12:00'::timestamptz + m * interval '1 minute');
    END LOOP;
END $$;
SELECT created_at, payload ->> 'state' AS state, payload ->> 'reason' AS reason FROM flagscope.outbox
WHERE kind = 'health' AND payload ->> 'flag' = 'frozen';
DELETE FROM flagscope.change_freeze;
SELECT pg_temp.spans('frozen', '2040-01-02 12:31');
SELECT state, name, reason FROM pg_temp.told(31, 31, 'frozen');
-- Who ignores a state is not told of it; nor are shadow rules.
SELECT pg_temp.begin('ignored') AS id \gset
UPDATE flagscope.guardrail SET on_state = '{"no_data": "ignore"}' WHERE flag = 'ignored';
SELECT flagscope.create_guardrail('ignored', 'errors', name => 'shadow', shadow => true) > 0 AS made;
SELECT * FROM pg_temp.told(32, 32, 'ignored');
SELECT count(*) AS left FROM _flagscope.told_wait;
-- Without a guardrail that could act nobody watches: told at once.
UPDATE flagscope.guardrail SET enabled = false WHERE flag = 'ignored';
SELECT state, name, reason FROM pg_temp.told(33, 34, 'ignored');
UPDATE flagscope.guardrail SET enabled = true WHERE flag = 'ignored';
SELECT state, name, reason FROM pg_temp.told(35, 35, 'ignored');
SELECT flagscope.rollback_rollout(r.id, at => '2040-01-02 12:36') > 0 AS over FROM flagscope.rollout r
WHERE r.status = 'running';

-- As told(), with data of both arms in each minute.
CREATE FUNCTION pg_temp.busy(began integer, ended integer, flag text)
RETURNS TABLE (told timestamptz, state text, name text, reason text)
LANGUAGE sql AS $$
    SELECT t.* FROM generate_series(began, ended) m,
        LATERAL pg_temp.spans(flag, '2040-01-02 12:00'::timestamptz + m * interval '1 minute' - interval '2 seconds'),
        LATERAL pg_temp.told(m, m, flag) t;
$$;
-- A guardrail that cannot be judged, as its stored evidence is damaged.
SELECT pg_temp.begin('broken') AS id \gset
SELECT * FROM pg_temp.busy(37, 38, 'broken');
UPDATE flagscope.guardrail_status SET evidence = '{0,NULL}' WHERE rollout_id = :id;
SELECT * FROM pg_temp.busy(39, 48, 'broken');
DELETE FROM flagscope.guardrail_status WHERE rollout_id = :id;
SELECT told, state, name FROM pg_temp.busy(49, 51, 'broken');
SELECT flagscope.rollback_rollout(:id, at => '2040-01-02 12:51') > 0 AS over;
-- Everybody has the treatment at once, and nothing was before: nothing is compared.
SELECT pg_temp.begin('alone', stages => '{100}') AS id \gset
SELECT * FROM pg_temp.busy(52, 60, 'alone');
SELECT flagscope.complete_rollout(:id, at => '2040-01-02 13:00') > 0 AS completed;
SELECT * FROM pg_temp.busy(61, 61, 'alone');
-- The gate safe: the ramp waits until harm is refuted, and nobody knows when that will be.
SELECT pg_temp.begin('careful') AS id \gset
UPDATE flagscope.guardrail SET advance_when = 'safe' WHERE flag = 'careful';
SELECT * FROM pg_temp.busy(62, 95, 'careful');
UPDATE flagscope.guardrail SET advance_when = 'clear' WHERE flag = 'careful';
SELECT * FROM pg_temp.busy(96, 97, 'careful');
