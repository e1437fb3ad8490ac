-- A rollout that has just begun, and data that must have it rolled back by the worker's next ticks.
SELECT flagscope.confirm_time();  -- the client's times were of its own
SELECT flagscope.create_flag('live'),
    flagscope.create_metric('live errors', 'proportion', 'span', '{"name": "live"}', '{"is_error": true}');
SELECT flagscope.create_guardrail('live', 'live errors', name => 'live', grace => '1 hour', stale_after => '1 hour');
SELECT flagscope.start_rollout(flagscope.create_rollout('live', stages => '{50, 100}', min_duration => '1 hour'),
    reason => 'live', actor => 'ann');
INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags)
    SELECT now(), 'span', 'live', i % 4 = 0, jsonb_build_object('live', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END)
    FROM generate_series(1, 800) i;
