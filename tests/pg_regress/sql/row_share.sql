-- Rows by arm against the share served: a treatment that sends too few is held, without any exposure.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
UPDATE flagscope.setting SET value = '0' WHERE name = 'guardrail.detectable';
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{}', '{"is_error": true}');
-- For some seconds n rows of the treatment and m of the control each second, with a tick every ten; what is said then.
CREATE FUNCTION pg_temp.traffic(key text, since timestamptz, seconds integer, n integer, m integer,
    pods text[] DEFAULT NULL, users integer DEFAULT 0) RETURNS TABLE (state flagscope.data_state, reason text)
LANGUAGE plpgsql AS $$
BEGIN
    FOR part IN 0..seconds / 10 - 1 LOOP
        INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags, instance, subject)
        SELECT since + (10 * part + s) * interval '1 second', 'span', 'GET /', i % 5 = 0,
            jsonb_build_object(key, CASE WHEN i <= n THEN 'on' ELSE 'off' END), pods[1 + (i > n)::integer],
            CASE WHEN users > 0 THEN format('%s %s', i <= n, (7 * s + 11 * i + 70 * part) % users) END
        FROM generate_series(0, 9) s, generate_series(1, n + m) i;
        PERFORM flagscope.tick(since + (10 * part + 10) * interval '1 second');
    END LOOP;
    RETURN QUERY SELECT h.state, h.reason
    FROM flagscope.rollout_health h JOIN flagscope.rollout r ON r.id = h.rollout_id
    WHERE h.rule = 'rows' AND r.flag = key;
END $$;
CREATE FUNCTION pg_temp.begin_rollout(key text, starts timestamptz, stages numeric[]) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    id bigint;
BEGIN
    PERFORM flagscope.create_flag(key);
    PERFORM flagscope.create_guardrail(key, 'errors', name => key || ' errors', action => 'warn');
    id := flagscope.create_rollout(key, stages => stages, min_duration => '20 min');
    PERFORM flagscope.start_rollout(id, at => starts, override => true, reason => 'no past');
    RETURN id;
END $$;

SELECT pg_temp.begin_rollout('f', '2040-01-02 12:00', '{20, 50}') AS id \gset
-- Clients learn of the start 30 s late: that is no mismatch. Then a fifth of the rows is the treatment's.
SELECT * FROM pg_temp.traffic('f', '2040-01-02 12:00', 30, 0, 10);
SELECT * FROM pg_temp.traffic('f', '2040-01-02 12:00:30', 450, 2, 8);
-- The report says it, and what is counted is a few rows.
SELECT line FROM flagscope.rollout_report(:id, '2040-01-02 12:08') line WHERE line LIKE '  rows:%';
SELECT count(*) <= 6 AS few FROM _flagscope.row_count;
-- Of the treatment's rows three in four are lost eight minutes later: found by what was before, without users. The ramp
-- is held, and told once; it is over when they are back.
SELECT * FROM pg_temp.traffic('f', '2040-01-02 12:08', 240, 1, 18);
SELECT * FROM pg_temp.traffic('f', '2040-01-02 12:12', 480, 2, 8);
SELECT d.at, d.action, d.reason FROM flagscope.decision d WHERE d.rollout_id = :id AND d.reason LIKE 'rows%'
ORDER BY d.id;

-- Separate processes for each arm: nothing says that requests come by the share.
SELECT pg_temp.begin_rollout('canary', '2040-01-02 13:00', '{10, 50}') AS id \gset
SELECT * FROM pg_temp.traffic('canary', '2040-01-02 13:00', 300, 8, 8, '{pod-new,pod-old}');
-- Of a process that serves both arms the treatment's requests are lost from the start: found by 400 users.
SELECT pg_temp.begin_rollout('lost', '2040-01-02 14:00', '{50}') AS id \gset
SELECT * FROM pg_temp.traffic('lost', '2040-01-02 14:00', 300, 2, 18, '{pod-1,pod-1}', 200);
-- It is told once, and the ramp waits.
SELECT count(*) FROM flagscope.decision WHERE rollout_id = :id AND reason LIKE 'rows: 20 of 200 rows%';
SELECT flagscope.ramp_gate(:id, '2040-01-02 14:05') LIKE 'health: rows: 20 of 200 rows came with%' AS waits;
-- A person resumes: it is counted anew.
SELECT flagscope.pause_rollout(:id, 'look', at => '2040-01-02 14:05') > 0,
    flagscope.resume_rollout(:id, reason => 'gone', at => '2040-01-02 14:05:01') > 0;
SELECT state, reason FROM flagscope.rollout_health WHERE rollout_id = :id AND rule = 'rows';
SELECT count(*) FROM _flagscope.row_share WHERE rollout_id = :id;
-- Switched off, nothing is counted; a word that is none is refused.
UPDATE flagscope.setting SET value = '"off"' WHERE name = 'health.row_share';
SELECT pg_temp.begin_rollout('off', '2040-01-02 15:00', '{50}') AS id \gset
SELECT * FROM pg_temp.traffic('off', '2040-01-02 15:00', 300, 2, 10);
UPDATE flagscope.setting SET value = '"maybe"' WHERE name = 'health.row_share';
-- Damaged evidence fails alone.
SELECT * FROM _flagscope.judge_row_share('{1}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', 0.01, 0.3, 0);
SELECT * FROM _flagscope.judge_row_share('{}', '{2040-01-02}', '{}', '{}', '{}', '{}', '{}', '{}', 0.01, 0.3, 0);
