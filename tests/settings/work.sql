-- What a client does: configure, send, evaluate, tick, maintain, read. Results are kept with their types, in public.
\set at '''2030-01-02 12:00:00+00'''
SELECT flagscope.maintain(:at);
SELECT flagscope.start_rollout(1, reason => 'the matrix', actor => 'ann', at => :at);
SELECT flagscope.set_retention('40 days 12 hours'), flagscope.set_chunk_interval('12 hours'),
    flagscope.set_setting('guardrail.margin.mean', '0.1234567890123456');
CREATE TABLE public.evaluated AS SELECT i, e.value, e.variant, e.reason FROM generate_series(1, 50) i,
    flagscope.evaluate('price', 'user-' || i,
        jsonb_build_object('email', CASE WHEN i % 2 = 0 THEN i || '@x.example' END)) e;
CREATE TABLE public.typed AS
SELECT flagscope.evaluate_number('price', 'u', 0.1::float8, '{"email": "a@x.example"}') AS number,
    flagscope.ofrep_evaluate('price', '{"targetingKey": "u", "email": "a@x.example"}') AS ofrep,
    flagscope.export_flagd() AS exported;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
    SELECT timestamptz :at + i * interval '1 ms', 'event', 'feature_flag.evaluation', 'u' || i,
        jsonb_build_object('shop', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END)
    FROM generate_series(1, 200) i;
INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, subject)
    SELECT timestamptz :at + interval '1 second' + i * interval '1 ms', 'span', 'pay', 0.1 + i / 3.0,
        i % 7 = 0, 'u' || i
    FROM generate_series(1, 200) i;
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags, attributes)
    SELECT timestamptz :at + interval '2 seconds', 'event', 'sale', 1e3 + i * 7.123456789012345,
        jsonb_build_object('shop', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END),
        jsonb_build_object(E'back\\slash', 'a''b')
    FROM generate_series(1, 100) i;
SELECT flagscope.record_event('sale', 'u1', 0.1234567890123456, at => timestamptz :at + interval '3 seconds');
SELECT flagscope.ingest_otlp($json${"resourceMetrics": [{"scopeMetrics": [{"metrics": [
    {"name": "n", "sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [
        {"startTimeUnixNano": "1893585600000000000", "timeUnixNano": "1893585601000000123",
            "asDouble": 0.1234567890123456},
        {"startTimeUnixNano": "1893585600000000000", "timeUnixNano": "1893585602000000456", "asDouble": 7.3}]}}]}]}],
    "resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "1893585601000000000", "severityNumber": 17,
        "traceId": "0102030405060708090a0b0c0d0e0f10",
        "spanId": "01020304050607ff", "body": {"stringValue": "caf\u00e9 \\ done"}}]}]}]}$json$::text);
CREATE TABLE public.ticked AS
SELECT n, t.at, t.strata, t.guardrails, t.decisions
FROM generate_series(1, 4) n, flagscope.tick(timestamptz :at + n * interval '20 seconds') t;
CREATE TABLE public.maintained AS SELECT * FROM flagscope.maintain(timestamptz :at + interval '1 hour');
SELECT flagscope.tick(timestamptz :at + interval '2 hours') IS NOT NULL AS ticked;
SELECT flagscope.pause_rollout(1, 'enough', 'ann', timestamptz :at + interval '2 hours 1 minute');
CREATE TABLE public.verified AS
SELECT * FROM flagscope.verify_rollup(timestamptz :at, timestamptz :at + interval '10 minutes');
CREATE TABLE public.backtested AS
SELECT * FROM flagscope.backtest_guardrail(1, timestamptz :at, timestamptz :at + interval '1 hour');
CREATE TABLE public.replayed AS
SELECT d.id, r.* FROM flagscope.decision d, _flagscope.replay_evidence(d.id) r
WHERE d.evidence_id IS NOT NULL AND d.rule ->> 'test' = 'sequential';
CREATE TABLE public.summed AS
SELECT * FROM flagscope.variant_summary('shop', since => timestamptz :at - interval '1 hour',
    until => timestamptz :at + interval '1 hour');
CREATE TABLE public.explained AS SELECT flagscope.explain_decision(d.id) AS words FROM flagscope.decision d;
CREATE TABLE public.reported AS SELECT flagscope.rollout_report(1, timestamptz :at + interval '3 hours') AS words;
