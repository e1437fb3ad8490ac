-- The split of a rollout whose clients learn of a stage late, and health rules that are over.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
-- New units a second over some seconds from a time on: n of the treatment, m of the control.
CREATE FUNCTION pg_temp.expose(flag text, since timestamptz, seconds integer, n integer, m integer) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
    SELECT since + s * interval '1 second', 'event', 'feature_flag.evaluation', format('%s %s %s', since, s, i),
        jsonb_build_object(flag, CASE WHEN i <= n THEN 'on' ELSE 'off' END)
    FROM generate_series(0, seconds - 1) s, generate_series(1, n + m) i;
$$;
CREATE FUNCTION pg_temp.health(at timestamptz)
RETURNS TABLE (rule flagscope.health_rule, state flagscope.data_state, reason text)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM flagscope.tick(at);
    RETURN QUERY SELECT h.rule, h.state, h.reason FROM flagscope.rollout_health h ORDER BY 1;
END $$;
SELECT flagscope.create_flag('f');
SELECT flagscope.create_rollout('f', stages => '{10, 50, 100}', min_duration => '2 min') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-02 12:00', override => true, reason => 'unguarded') > 0 AS started;
-- Clients that learn of it 30 s late: nobody is treated, then 10 %.
SELECT pg_temp.expose('f', '2040-01-02 12:00:00', 30, 0, 20);
SELECT * FROM pg_temp.health('2040-01-02 12:00:30') WHERE rule = 'split';
SELECT pg_temp.expose('f', '2040-01-02 12:00:30', 90, 2, 18);
SELECT * FROM pg_temp.health('2040-01-02 12:02:00') WHERE rule = 'split';
SELECT stage, stage_started_at FROM flagscope.rollout;
-- And of the next: 10 %, then 50 %.
SELECT pg_temp.expose('f', '2040-01-02 12:02:00', 30, 2, 18), pg_temp.expose('f', '2040-01-02 12:02:30', 60, 10, 10);
SELECT * FROM pg_temp.health('2040-01-02 12:03:30') WHERE rule = 'split';
-- After a step back too many of the treatment may be those of the old share. (Not kept.)
BEGIN;
SELECT flagscope.step_back_rollout(:id, at => '2040-01-02 12:03:30') > 0 AS back;
SELECT pg_temp.expose('f', '2040-01-02 12:03:31', 20, 10, 10);
SELECT * FROM pg_temp.health('2040-01-02 12:03:51') WHERE rule = 'split';
ROLLBACK;
-- What no lag explains is a mismatch: told once; the ramp waits.
SELECT pg_temp.expose('f', '2040-01-02 12:03:30', 20, 6, 14);
SELECT * FROM pg_temp.health('2040-01-02 12:03:50') WHERE rule = 'split';
SELECT flagscope.ramp_gate(:id, '2040-01-02 12:04:10');
-- It goes on: nothing is told anew. It is mended: over by a test of the units since, told once, and the ramp goes on.
SELECT pg_temp.expose('f', '2040-01-02 12:03:50', 20, 6, 14);
SELECT * FROM pg_temp.health('2040-01-02 12:04:10') WHERE rule = 'split';
SELECT pg_temp.expose('f', '2040-01-02 12:04:10', 5, 10, 10);
SELECT * FROM pg_temp.health('2040-01-02 12:04:15') WHERE rule = 'split';
SELECT pg_temp.expose('f', '2040-01-02 12:04:15', 60, 10, 10);
SELECT * FROM pg_temp.health('2040-01-02 12:05:15') WHERE rule = 'split';
SELECT sum(decisions) AS decisions FROM generate_series(0, 2) i,
    flagscope.tick('2040-01-02 12:05:16'::timestamptz + i * interval '1 second');
SELECT action, reason FROM flagscope.decision WHERE actor = 'flagscope' ORDER BY id;
SELECT payload ->> 'name' AS name, payload ->> 'state' AS state, payload ->> 'sentence' AS sentence
FROM flagscope.outbox WHERE kind = 'health' AND payload ->> 'name' LIKE 'split%' ORDER BY id;
SELECT told_at, mismatch FROM flagscope.rollout_health WHERE rule = 'split';

-- Crossing: over when for as long as it took fewer cross than are tolerated.
SELECT flagscope.create_flag('sticky');
SELECT flagscope.create_rollout('sticky', stages => '{50, 100}', min_duration => '1 day') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-02 13:00', override => true, reason => 'unguarded') > 0 AS started;
CREATE FUNCTION pg_temp.back(at timestamptz, first integer, n integer) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
    SELECT at + v.late, 'event', 'feature_flag.evaluation', 's' || i, jsonb_build_object('sticky', v.variant)
    FROM generate_series(first, first + n - 1) i, (VALUES ('on', interval '0'), ('off', '1 second')) v(variant, late);
$$;
CREATE FUNCTION pg_temp.crossing(at timestamptz) RETURNS TABLE (state flagscope.data_state, reason text)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM flagscope.tick(at);
    RETURN QUERY SELECT h.state, h.reason
    FROM flagscope.rollout_health h JOIN flagscope.rollout r ON r.id = h.rollout_id
        WHERE h.rule = 'crossing' AND r.flag = 'sticky';
END $$;
SELECT pg_temp.back('2040-01-02 13:00:30', 1, 50);
SELECT pg_temp.back('2040-01-02 13:02:00', 101, 12);
SELECT state, reason FROM pg_temp.crossing('2040-01-02 13:02:10');
SELECT pg_temp.back('2040-01-02 13:05:00', 201, 9);
SELECT state, reason FROM pg_temp.crossing('2040-01-02 13:05:10');
SELECT state, reason FROM pg_temp.crossing('2040-01-02 13:12:09');
SELECT _flagscope.health_due('2040-01-02 13:12:09') AS due;
SELECT state, reason FROM pg_temp.crossing('2040-01-02 13:12:10');
SELECT payload ->> 'sentence' AS sentence FROM flagscope.outbox
WHERE kind = 'health' AND payload ->> 'name' LIKE 'crossing%' ORDER BY id;
-- A warning and its end have one name, so that a receiver closes what it opened: also when a person has resumed the
-- rollout, and when it ends before the rule is ok.
SELECT pg_temp.back('2040-01-02 13:13:00', 301, 50);
SELECT state FROM pg_temp.crossing('2040-01-02 13:13:10');
SELECT flagscope.pause_rollout(:id, at => '2040-01-02 13:13:20', reason => 'look') > 0 AS paused,
    flagscope.resume_rollout(:id, at => '2040-01-02 13:13:30', reason => 'a test client') > 0 AS resumed;
SELECT state, reason FROM pg_temp.crossing('2040-01-02 13:13:40');
SELECT pg_temp.back('2040-01-02 13:16:00', 401, 50);
SELECT state FROM pg_temp.crossing('2040-01-02 13:16:10');
SELECT flagscope.rollback_rollout(:id, at => '2040-01-02 13:16:20', reason => 'enough') > 0 AS rolled_back;
SELECT state FROM pg_temp.crossing('2040-01-02 13:16:30');
SELECT kind, payload ->> 'name' AS name, payload ->> 'event' AS event, left(payload ->> 'reason', 60) AS reason
FROM flagscope.outbox WHERE payload ->> 'name' LIKE 'crossing%' ORDER BY id;
