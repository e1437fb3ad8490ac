-- When something is due by the clock: asked after a tick, with its time pinned. Each expected time follows from the
-- setting or argument that stands beside it.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SELECT flagscope.set_setting('tick.budget', '"1 hour"'), flagscope.set_setting('maintenance.interval', '"1 day"');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}'),
    flagscope.create_metric('depth', 'mean', 'metric', '{"name": "depth"}');
CREATE FUNCTION pg_temp.send(flag text, at timestamptz, n integer, signal flagscope.signal DEFAULT 'span',
    name text DEFAULT 'pay')
RETURNS void
LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, flags)
    SELECT at, signal, name, 1, false, jsonb_build_object(flag, CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END)
    FROM generate_series(1, n) i;
$$;
-- What is due when, after a tick at that time.
CREATE FUNCTION pg_temp.after(at timestamptz, OUT work interval, OUT stage interval, OUT frozen interval,
    OUT guardrail interval,
    OUT health interval, OUT poll interval, OUT seconds numeric) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM flagscope.tick(at);
    work := _flagscope.work_due(at) - at;
    stage := _flagscope.stage_due(at) - at;
    frozen := _flagscope.freeze_due(at) - at;
    guardrail := _flagscope.guardrail_due(at) - at;
    health := _flagscope.health_due(at) - at;
    poll := _flagscope.poll_due(at) - at;
    seconds := round(_flagscope.next_due(at)::numeric / 1000, 3);
END $$;

-- Nothing is rolled out: maintenance alone, which the first tick has done.
SELECT * FROM pg_temp.after('2040-01-02 11:00');
SELECT * FROM pg_temp.after('2040-01-02 12:00');

-- A stage. When its time is over and something else keeps it, that is not due again and again.
SELECT flagscope.create_flag('a'),
    flagscope.create_rollout('a', stages => '{50, 100}', min_duration => '10 minutes', approval => true,
        cooldown => '7 minutes');
SELECT flagscope.start_rollout(1, at => '2040-01-02 12:00', override => true, reason => 'unguarded') > 0 AS started;
SELECT * FROM pg_temp.after('2040-01-02 12:02');
SELECT * FROM pg_temp.after('2040-01-02 12:10');
-- A decision by hand while it ticked: one look more.
SELECT flagscope.approve_stage(1, at => '2040-01-02 12:11') > 0 AS approved;
SELECT _flagscope.work_due('2040-01-02 12:11') = '2040-01-02 12:11' AS now;

-- Frozen: once, and by the week (2040-01-02 is a Monday; Berlin is an hour before UTC then).
SELECT flagscope.create_change_freeze('once', since => '2040-01-02 12:30', until => '2040-01-02 12:40') > 0 AS once,
    flagscope.create_change_freeze('Mondays', weekdays => '{1}', from_time => '13:00', to_time => '14:00',
        time_zone => 'Europe/Berlin') > 0 AS weekly,
    flagscope.create_change_freeze('for ever', since => '2040-01-03') > 0 AS unbounded;
SELECT at, _flagscope.freeze_due(at) AS ends
FROM unnest('{2040-01-02 11:59,2040-01-02 12:00,2040-01-02 12:30,2040-01-02 '
    '12:45,2040-01-02 13:00,2040-01-04 12:00}'::timestamptz[]) at;
DELETE FROM flagscope.change_freeze;

-- Guardrails: grace of a minute, stale after two, as shipped; the second stage has begun.
SELECT flagscope.create_guardrail('a', 'errors', action => 'hold') > 0 AS made;
SELECT * FROM pg_temp.after('2040-01-02 12:20');
SELECT stage, stage_started_at FROM flagscope.rollout;
SELECT * FROM pg_temp.after('2040-01-02 12:20:30');
SELECT pg_temp.send('a', '2040-01-02 12:20:40', 400);
SELECT * FROM pg_temp.after('2040-01-02 12:20:45');
SELECT * FROM pg_temp.after('2040-01-02 12:22:45.001');
SELECT state FROM flagscope.guardrail_status;

-- A threshold's window of 25 s moves on as buckets of 10 s leave it.
SELECT flagscope.create_guardrail('a', 'depth', limit_value => 5, min_sample => 1, time_window => '25 s',
    stale_after => '1 hour') > 0 AS made;
SELECT pg_temp.send('a', '2040-01-02 12:23:02', 4, 'metric', 'depth');
SELECT * FROM pg_temp.after('2040-01-02 12:23:03');
SELECT * FROM pg_temp.after('2040-01-02 12:23:35');
SELECT state, reason FROM flagscope.guardrail_status ORDER BY guardrail_id DESC LIMIT 1;
DELETE FROM flagscope.guardrail WHERE metric = 'depth';

-- An anomaly's point of ten minutes is over, its rows have had a minute to come,
-- and guardrails are spread over a minute by id.
SELECT flagscope.create_guardrail('a', 'errors', name => 'usual', test => 'anomaly') AS id \gset
SELECT guardrail, seconds FROM pg_temp.after('2040-01-02 12:29');
SELECT g.id, _flagscope.newest_point(g.id, g.time_window, '1 minute', '2040-01-02 12:29') AS judged,
    _flagscope.guardrail_due('2040-01-02 12:29') AS due,
    _flagscope.newest_point(g.id, g.time_window, '1 minute',
        _flagscope.verdict_due(s, g, r.stage_started_at, _flagscope.tick_setting(), '2040-01-02 12:29')) AS judged_then
FROM flagscope.guardrail g, flagscope.guardrail_status s, flagscope.rollout r
WHERE g.id = :id AND s.guardrail_id = g.id;
DELETE FROM flagscope.guardrail WHERE name = 'usual';

-- A metric that the tick counts: every query.interval, 5 s.
SELECT flagscope.create_query_metric('asked', 'mean', $$SELECT 'on'::text AS variant, 7 AS value$$),
    flagscope.create_guardrail('a', 'asked', limit_value => 9) > 0 AS made;
SELECT poll, seconds FROM pg_temp.after('2040-01-02 12:31');
SELECT poll, seconds FROM pg_temp.after('2040-01-02 12:31:10');
SELECT poll, seconds FROM pg_temp.after('2040-01-02 12:32:30');
DELETE FROM flagscope.guardrail WHERE metric = 'asked';

-- Exposures to the treatment may pause for health.quiet_after, 10 minutes.
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
VALUES ('2040-01-02 12:33', 'event', 'feature_flag.evaluation', 'ann', '{"a": "on"}');
SELECT health FROM pg_temp.after('2040-01-02 12:33:01');

-- A hold by a threshold rests for the cooldown of 7 minutes; one by a sequential test waits for a person (test proven).
UPDATE flagscope.guardrail SET action = 'warn';
SELECT flagscope.create_guardrail('a', 'errors', name => 'limit', limit_value => 0.5, test => 'threshold',
    action => 'hold') > 0 AS made;
SELECT count(*) FROM flagscope.telemetry WHERE is_error;
INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags)
SELECT '2040-01-02 12:34', 'span', 'pay', i % 2 = 0,
    jsonb_build_object('a', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END)
FROM generate_series(1, 400) i;
SELECT stage, work FROM pg_temp.after('2040-01-02 12:34:01');
SELECT status FROM flagscope.rollout;
SELECT stage, work FROM pg_temp.after('2040-01-02 12:35');

-- What a tick could not do is due at once, that is: before long (src/core/pace.rs).
INSERT INTO _flagscope.variant_delta
SELECT 'a', 'production', 'on', 'errors', '2040-01-02 12:35', 1, 0, NULL, NULL, '2040-01-02 12:35', false,
    '2040-01-02 12:35';
SELECT _flagscope.work_due('2040-01-02 12:36') AS work, _flagscope.next_due('2040-01-02 12:36') AS milliseconds;
SELECT work FROM pg_temp.after('2040-01-02 12:37');
UPDATE _flagscope.tick_state SET maintain_waiting = '{backfill}';
SELECT _flagscope.work_due('2040-01-02 12:38');
