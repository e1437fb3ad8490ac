-- rollout_report(): a rollout as a page of text.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
\pset format unaligned
\pset footer off
CREATE FUNCTION pg_temp.traffic(at timestamptz, n integer, errors integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, value, flags, is_error)
    SELECT at + i * interval '1 ms', 'span', 'pay', CASE v WHEN 'on' THEN 0.2 ELSE 0.1 END + i % 10 * 0.01,
        jsonb_build_object('shop', v), i <= CASE v WHEN 'on' THEN errors ELSE 2 END
    FROM generate_series(1, n) i, unnest('{on,off}'::text[]) v;
    INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
    SELECT at, 'event', 'feature_flag.evaluation', extract(minute FROM at) || '-' || v || i,
        jsonb_build_object('shop', v)
    FROM generate_series(1, 50) i, unnest('{on,off}'::text[]) v;
$$;
SELECT flagscope.create_flag('shop');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}'),
    flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}', unit => 's');
SELECT flagscope.create_guardrail('shop', 'errors'), flagscope.create_guardrail('shop', 'duration', margin => 1),
    flagscope.create_guardrail('shop', 'duration', name => 'slow at all', quantile => 0.9, limit_value => 0.4,
        test => 'threshold', shadow => true);
SELECT flagscope.create_rollout('shop', stages => ARRAY[50, 75, 100], min_duration => '5 min', min_sample => 200,
    approval => true);
SELECT flagscope.rollout_report(1, '2040-01-02 12:00');
SELECT flagscope.start_rollout(1, reason => 'release 7', actor => 'ann', at => '2040-01-02 12:00');
SELECT pg_temp.traffic('2040-01-02 12:00:20', 60, 2), pg_temp.traffic('2040-01-02 12:01:20', 60, 3);
SELECT strata FROM flagscope.tick('2040-01-02 12:01:30');
SELECT pg_temp.traffic('2040-01-02 12:02:20', 120, 3);
SELECT strata FROM flagscope.tick('2040-01-02 12:02:30');
SELECT flagscope.rollout_report(1, '2040-01-02 12:03');
SELECT flagscope.approve_stage(1, reason => 'looks well', actor => 'bob', at => '2040-01-02 12:04');
SELECT pg_temp.traffic('2040-01-02 12:04:20', 120, 60);
SELECT decisions FROM flagscope.tick('2040-01-02 12:05');
SELECT flagscope.rollout_report(1, '2040-01-02 12:06');
SELECT flagscope.rollout_report(2);
