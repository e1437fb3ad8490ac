-- Something in every table: what a dump must keep.
CREATE EXTENSION flagscope;
SELECT flagscope.tick();
SELECT flagscope.set_setting('rollout.alpha', '0.02');
UPDATE flagscope.environment_definition SET aliases = '{prod, live}' WHERE key = 'production';
SELECT flagscope.create_environment('staging', '{stage}', 'before production');
SELECT flagscope.create_flag('dumped', tags => '{checkout}', metadata => '{"owner": "shop"}');
SELECT flagscope.create_flag('theme', '{"blue": "#00f", "red": "#f00"}', 'blue', 'string');
SELECT flagscope.set_default_variant('theme', 'red', 'staging');
SELECT flagscope.create_metric('pay errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_metric('pay duration', 'quantile', 'span', '{"name": "pay"}', unit => 's');
SELECT flagscope.create_metric('queue depth', 'mean', 'metric', '{"name": "queue"}');
SELECT flagscope.create_metric('early errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}',
    conversion_window => '1 day');
SELECT flagscope.create_guardrail('dumped', 'pay errors', min_sample => 10);
SELECT flagscope.create_guardrail('dumped', 'pay duration', min_sample => 10);
SELECT flagscope.create_guardrail('dumped', 'early errors', min_sample => 10);
SELECT flagscope.create_guardrail('dumped', 'queue depth', limit_value => 100, min_sample => 10);
SELECT flagscope.create_policy('queue everywhere', '{"metric": "queue depth", "limit_value": 1000}', tag => 'checkout');
SELECT flagscope.create_change_freeze('nobody is there', weekdays => '{6, 7}', time_zone => 'Europe/Berlin',
    environment => 'staging');
SELECT flagscope.create_rollout('dumped', stages => '{10, 50, 100}', min_duration => '1 hour');
SELECT flagscope.start_rollout(1, reason => 'a reason', actor => 'ann');
INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, flags)
SELECT now(), s.signal::flagscope.signal, s.name, 0.1 + i % 7 * 0.01, i % 7 = 0,
    CASE WHEN i % 10 = 0 THEN '{"dumped": "on"}' ELSE '{"dumped": "off"}' END::jsonb
FROM generate_series(1, 500) i, (VALUES ('span', 'pay'), ('metric', 'queue')) s(signal, name);
SELECT flagscope.tick();
INSERT INTO flagscope.telemetry (ts, signal, name)
VALUES ('1970-01-01', 'log', 'a wrong clock'), ('2100-01-01', 'log', 'another');
-- After the last tick: deltas that no tick has merged.
INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, flags)
VALUES (now(), 'span', 'pay', 0.2, true, '{"dumped": "on"}');
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags)
VALUES (now(), 'span', 'pay', 'NaN', '{"dumped": "on"}');
-- An anomaly guardrail, and a point of its series.
SELECT flagscope.create_guardrail('dumped', 'pay errors', name => 'unusual', test => 'anomaly', shadow => true,
    time_window => '1 minute');
INSERT INTO _flagscope.anomaly_point
SELECT g.id, '', '2026-01-02 12:00+00', 100, 5, 0.05, asin(sqrt(5.375 / 100.75)), 0.04, -0.25
FROM flagscope.guardrail g WHERE g.name = 'unusual';
-- What waits for the other arm, and what is known of who sends.
INSERT INTO _flagscope.source VALUES (1, 'pod-1', 10, 90, 10.0);
INSERT INTO _flagscope.pairing (rollout_id, metric, since, latest) VALUES (1, 'pay errors', '2026-01-02 12:00+00',
    '{2026-01-02 12:00:03+00,2026-01-02 12:00:04+00}') ON CONFLICT DO NOTHING;
INSERT INTO _flagscope.unit_tally VALUES (1, 'early errors', 'ann', 3, 1, 0);
INSERT INTO _flagscope.waiting_stratum (rollout_id, metric, bucket, epoch, treated, n, events, first_ts, last_ts)
VALUES (1, 'pay errors', '2026-01-02 12:00+00', '2026-01-02 11:00+00', true, 10, 1, '2026-01-02 12:00:01+00',
    '2026-01-02 12:00:03+00');
-- Units of a split that settles.
INSERT INTO _flagscope.split_count VALUES (1, '2026-01-02 11:00+00', 7, 3, 27) ON CONFLICT DO NOTHING;
-- Rows by arm that wait to be judged, and what was found of earlier ones.
INSERT INTO _flagscope.row_count VALUES (1, '2026-01-02 11:00+00', '2026-01-02 11:00:10+00', 3, 27)
ON CONFLICT DO NOTHING;
INSERT INTO _flagscope.row_share VALUES (1, '{}') ON CONFLICT DO NOTHING;
INSERT INTO _flagscope.dependence VALUES (1, 1, '2026-01-02 12:00+00', '2026-01-02 11:59:55+00', 1.5, NULL)
ON CONFLICT DO NOTHING;
-- Segments and prerequisites: the flag that needs another one lies before it, and both before the segments' rows.
SELECT flagscope.create_flag('aaa');
SELECT flagscope.create_segment('staff', '{"ends_with": [{"var": "email"}, "@example.org"]}');
SELECT flagscope.create_segment('insiders', '{"or": [{"$ref": "staff"}, {"==": [{"var": "beta"}, true]}]}');
SELECT flagscope.set_targeting('aaa', '{"if": [{"$ref": "insiders"}, "on", null]}');
SELECT flagscope.set_prerequisites('aaa', '[{"flag": "theme", "variant": "blue"}]');
SELECT flagscope.create_flag('sized', '{"s": 1, "l": 100}', 's', 'integer', value_schema => '{"maximum": 100}');
SELECT flagscope.archive_flag('sized');
-- One environment took over another's alias, and its row may lie first.
SELECT flagscope.create_environment('eu');
UPDATE flagscope.environment_definition SET aliases = '{live}' WHERE key = 'production';
UPDATE flagscope.environment_definition SET aliases = '{prod}' WHERE key = 'eu';
UPDATE flagscope.environment_definition SET metadata = '{"owner": "web"}' WHERE key = 'production';
-- A query metric over a table of the shop's own, and a policy for one environment.
CREATE TABLE orders (at timestamptz, user_id text, amount float8);
SELECT flagscope.create_query_metric('basket', 'mean',
    'SELECT user_id AS subject, amount AS value, at AS ts FROM public.orders WHERE at >= $1 AND at < $2', cap => 1000);
SELECT flagscope.create_policy('baskets', '{"metric": "basket"}', environment => 'eu');
-- A rollout that a guardrail holds; one that is over and watched; one that has not begun.
SELECT flagscope.create_flag(f) FROM unnest('{stuck,done,later,ripe}'::text[]) f;
SELECT flagscope.create_guardrail('stuck', 'pay errors', limit_value => 0.5, min_sample => 10, action => 'hold');
SELECT flagscope.create_rollout(f, stages => '{50, 100}', min_duration => '1 hour')
FROM unnest('{stuck,done,later}'::text[]) f;
SELECT flagscope.start_rollout(r.id, override => true, reason => 'done has no guardrail')
FROM flagscope.rollout r WHERE r.flag IN ('stuck', 'done');
INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags)
SELECT now(), 'span', 'pay', true, '{"stuck": "on"}' FROM generate_series(1, 200);
SELECT flagscope.create_guardrail('stuck', 'basket', limit_value => 500, test => 'threshold', min_sample => 10);
INSERT INTO orders VALUES (now(), 'user-1', 10);
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
SELECT now(), 'event', 'feature_flag.evaluation', 'user-' || i, '{"stuck": "on"}' FROM generate_series(1, 3) i;
SELECT flagscope.tick(clock_timestamp() + interval '10 seconds');  -- queries are run a little later
-- Telemetry that counts for nobody, and services, before maintenance gathers them and after.
INSERT INTO flagscope.telemetry (ts, signal, name, flags, service)
VALUES (now(), 'span', 'pay', '{"dumpled": "on"}', 'web');
SELECT flagscope.maintain(clock_timestamp() + interval '15 minutes');
INSERT INTO flagscope.telemetry (ts, signal, name, flags, service)
VALUES (now(), 'span', 'pay', '{"dumpled": "on"}', 'cart');
INSERT INTO flagscope.evaluation
SELECT (jsonb_populate_record(e, '{"at": "2100-01-01 00:00+00"}')).* FROM flagscope.evaluation e LIMIT 1;
SELECT flagscope.complete_rollout(r.id) FROM flagscope.rollout r WHERE r.flag = 'done';
-- One that is due: without its guardrail it would advance at once, with it it is rolled back.
SELECT flagscope.create_guardrail('ripe', 'pay errors', limit_value => 0.2, min_sample => 10);
SELECT flagscope.create_rollout('ripe', stages => '{50, 100}', min_duration => '0');
SELECT flagscope.start_rollout(r.id) FROM flagscope.rollout r WHERE r.flag = 'ripe';
INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags)
SELECT now(), 'span', 'pay', true, '{"ripe": "on"}' FROM generate_series(1, 200);
-- Users, whose exposures no tick has counted; an OTLP series; rows without flags beside an evaluation of their trace.
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
SELECT now(), 'event', 'feature_flag.evaluation', 'user-' || i, '{"dumped": "on"}' FROM generate_series(1, 3) i;
SELECT flagscope.ingest_otlp('{"resourceMetrics": [{"resource": {}, "scopeMetrics": [{"metrics": [
    {"name": "requests", "sum": {"isMonotonic": true, "aggregationTemporality": 2, "dataPoints": [
        {"asInt": "7", "startTimeUnixNano": "1700000000000000000", "timeUnixNano": "1700000010000000000"}]}}]}]}]}');
SET flagscope.attribution = off;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, trace_id, flags)
VALUES (now(), 'span', 'loose', 'user-1', '00000000-0000-0000-0000-000000000001', NULL),
    (now(), 'event', 'feature_flag.evaluation', 'user-1', '00000000-0000-0000-0000-000000000001', '{"dumped": "on"}');
-- A frozen chunk, and a row that came later.
SELECT _flagscope.create_chunk('telemetry'::text, 'ts'::text, d.day, d.day + interval '1 day')
FROM date_bin('1 day', now() - interval '9 days', '2000-01-03 00:00+00') d(day);
INSERT INTO flagscope.telemetry (ts, signal, name, value, trace_id, attributes)
SELECT date_bin('1 day', now() - interval '9 days', '2000-01-03 00:00+00') + i * interval '1 s', 'span', 'old', i,
    md5((i / 5)::text)::uuid,
    jsonb_build_object('n', i)
FROM generate_series(1, 2000) i;
SELECT flagscope.freeze_chunk(c.chunk)
FROM flagscope.chunk c WHERE c.parent = 'telemetry' AND c.lower = date_bin('1 day', now() - interval '9 days',
    '2000-01-03 00:00+00');
INSERT INTO flagscope.telemetry (ts, signal, name)
VALUES (date_bin('1 day', now() - interval '9 days', '2000-01-03 00:00+00') + interval '1 hour', 'span',
    'old and late');
-- A sink that was given a notification, and one that has not answered yet.
SELECT flagscope.end_delivery(outbox_id, 'chat', '{chat,pager}') FROM flagscope.take_deliveries('chat', 1);
SELECT outbox_id FROM flagscope.take_deliveries('pager', 1);
-- Rows of a server whose clock was wrong.
SET session_replication_role = replica;
UPDATE flagscope.flag_definition SET created_at = '2100-01-01' WHERE key = 'theme';
UPDATE flagscope.flag_state SET changed_at = '2100-01-01' WHERE flag = 'theme' AND environment = 'staging';
UPDATE flagscope.rollout SET created_at = '2100-01-01' WHERE flag = 'dumped';
UPDATE flagscope.metric_definition SET created_at = '2100-01-01' WHERE name = 'basket';
UPDATE flagscope.guardrail_policy SET created_at = '2100-01-01' WHERE name = 'baskets';
UPDATE flagscope.guardrail SET created_at = '2100-01-01' WHERE name = 'unusual';
