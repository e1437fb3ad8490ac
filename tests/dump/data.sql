-- Something in every table: what a dump must keep.
CREATE EXTENSION flagscope;
SELECT flagscope.tick();
SELECT flagscope.set_setting('rollout.alpha', '0.02');
UPDATE flagscope.environment SET aliases = '{prod, live}' WHERE key = 'production';
SELECT flagscope.create_environment('staging', '{stage}', 'before production');
SELECT flagscope.create_flag('dumped', tags => '{checkout}', metadata => '{"owner": "shop"}');
SELECT flagscope.create_flag('theme', '{"blue": "#00f", "red": "#f00"}', 'blue', 'string');
SELECT flagscope.set_default_variant('theme', 'red', 'staging');
SELECT flagscope.create_metric('pay errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_metric('pay duration', 'quantile', 'span', '{"name": "pay"}', unit => 's');
SELECT flagscope.create_metric('queue depth', 'mean', 'metric', '{"name": "queue"}');
SELECT flagscope.create_metric('early errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}', conversion_window => '1 day');
SELECT flagscope.create_guardrail('dumped', 'pay errors', min_sample => 10);
SELECT flagscope.create_guardrail('dumped', 'pay duration', min_sample => 10);
SELECT flagscope.create_guardrail('dumped', 'early errors', min_sample => 10);
SELECT flagscope.create_guardrail('dumped', 'queue depth', limit_value => 100, min_sample => 10);
SELECT flagscope.create_policy('queue everywhere', '{"metric": "queue depth", "limit_value": 1000}', tag => 'checkout');
SELECT flagscope.create_freeze('nobody is there', weekdays => '{6, 7}', time_zone => 'Europe/Berlin', environment => 'staging');
SELECT flagscope.create_rollout('dumped', stages => '{10, 50, 100}', min_duration => '1 hour');
SELECT flagscope.start_rollout(1, 'a reason', 'ann');
INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, flags)
SELECT now(), s.signal::flagscope.signal, s.name, 0.1 + i % 7 * 0.01, i % 7 = 0,
    CASE WHEN i % 10 = 0 THEN '{"dumped": "on"}' ELSE '{"dumped": "off"}' END::jsonb
FROM generate_series(1, 500) i, (VALUES ('span', 'pay'), ('metric', 'queue')) s(signal, name);
SELECT flagscope.tick();
INSERT INTO flagscope.telemetry (ts, signal, name) VALUES ('1970-01-01', 'log', 'a wrong clock'), ('2100-01-01', 'log', 'another');
-- After the last tick: deltas that no tick has merged.
INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, flags) VALUES (now(), 'span', 'pay', 0.2, true, '{"dumped": "on"}');
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags) VALUES (now(), 'span', 'pay', 'NaN', '{"dumped": "on"}');
-- An anomaly guardrail, and a point of its series.
SELECT flagscope.create_guardrail('dumped', 'pay errors', name => 'unusual', test => 'anomaly', shadow => true, time_window => '1 minute');
INSERT INTO flagscope.anomaly_point SELECT g.id, '', '2026-01-02 12:00+00', 100, 0.05, asin(sqrt(5.375 / 100.75)), 0.04, -0.25 FROM flagscope.guardrail g WHERE g.name = 'unusual';
