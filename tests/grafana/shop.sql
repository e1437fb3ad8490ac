-- What the dashboards show in the test: a rollout that is rolled back, one that waits for an approval, errors of three
-- sorts, findings; all of the last half hour.
CREATE EXTENSION flagscope;
SELECT flagscope.set_setting('tick.budget', '"1 hour"');
SELECT flagscope.create_flag('new-checkout'), flagscope.create_flag('it''s "theme"');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}', unit => 's');
SELECT flagscope.create_metric('basket', 'mean', 'event', '{"name": "order"}', unit => 'EUR', cap => 1000);
SELECT flagscope.create_guardrail('new-checkout', m, min_sample => 1) FROM unnest('{errors,duration,basket}'::text[]) m;
SELECT flagscope.create_rollout('new-checkout', stages => '{25,100}', min_duration => '1 hour') AS shop \gset
SELECT flagscope.create_rollout('it''s "theme"', stages => '{10,100}', min_duration => '0', approval => true)
    AS theme \gset
SELECT flagscope.start_rollout(:shop, at => now() - interval '30 minutes');
SELECT flagscope.start_rollout(:theme, at => now() - interval '20 minutes', override => true, reason => 'colours');
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
SELECT now() - i * interval '4 s', 'event', 'feature_flag.evaluation', 'subject ' || i,
    CASE WHEN i % 4 = 0 THEN '{"new-checkout": "on"}' ELSE '{"new-checkout": "off"}' END::jsonb
FROM generate_series(1, 400) i;
INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, flags, service, subject, attributes)
SELECT now() - i * interval '400 ms', 'span', 'pay', 0.1 + i % 10 * 0.01, i % 50 = 0 OR bad,
    CASE WHEN i % 4 = 0 THEN '{"new-checkout": "on"}' ELSE '{"new-checkout": "off"}' END::jsonb, 'web',
    'subject ' || i % 400, jsonb_build_object('country', (ARRAY['DE', 'FR', 'US'])[1 + i % 3])
        || CASE WHEN bad THEN '{"otlp": {"events": [{"name": "exception", "attributes":
        {"exception.type": "CardError", "exception.message": "card 17 refused"}}]}}'::jsonb ELSE '{}' END
FROM generate_series(1, 4000) i, LATERAL (SELECT i % 16 = 0 AND i < 1000) b(bad);
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags, severity, body)
SELECT now() - i * interval '1 s', CASE WHEN i % 10 = 0 THEN 'log' ELSE 'event' END::flagscope.signal, 'order',
    20 + i % 7,
    CASE WHEN i % 4 = 0 THEN '{"new-checkout": "on"}' ELSE '{"new-checkout": "off"}' END::jsonb,
    CASE WHEN i % 10 = 0 THEN 17 END, 'order ' || i || ' was lost'
FROM generate_series(1, 1000) i;
SELECT flagscope.tick();
SELECT flagscope.tick(clock_timestamp() + interval '1 second');
INSERT INTO flagscope.correlation (decision_id, rank, kind, finding)
SELECT d.id, 1, 'note', 'nothing was found' FROM flagscope.decision d WHERE d.action = 'rollback';
SELECT flagscope.maintain();
