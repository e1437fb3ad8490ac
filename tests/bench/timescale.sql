-- TimescaleDB's hypertable against a partitioned table of the same columns and indexes as flagscope.telemetry, both
-- without triggers: the same 10,000 rows by COPY. For a server that has TimescaleDB and not flagscope.
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION timescaledb;
CREATE TABLE plain (ts timestamptz NOT NULL, signal text NOT NULL, name text NOT NULL, value float8, unit text,
    subject text, flags jsonb, environment text, service text, severity smallint, is_error boolean, trace_id uuid,
    span_id bytea, parent_span_id bytea, body text, attributes jsonb, attribution text, ts_nanos smallint,
    distribution bytea) PARTITION BY RANGE (ts);
CREATE TABLE hyper (LIKE plain);
CREATE TABLE plain_today PARTITION OF plain FOR VALUES FROM (date_trunc('day', now())
    - interval '1 day') TO (date_trunc('day', now()) + interval '2 days');
SELECT create_hypertable('hyper', 'ts', chunk_time_interval => interval '3 days',
    create_default_indexes => false) \g /dev/null
SELECT format('CREATE INDEX ON %I USING brin (ts)', t),
    format('CREATE INDEX ON %I (trace_id) WHERE trace_id IS NOT NULL', t),
    format('CREATE INDEX ON %I (left(subject, 255), ts) WHERE subject IS NOT NULL '
        'AND name = ''feature_flag.evaluation''', t)
FROM unnest('{plain,hyper}'::text[]) t
\gexec
COPY (SELECT now() + i * interval '1 ms', 'span', 'POST /checkout', exp(sin(i) * 2) / 10, 'user-' || i % 5000, 'shop',
        i % 100 = 0, jsonb_build_object('new-checkout', CASE WHEN i % 4 = 0 THEN 'on' ELSE 'off' END, 'theme', 'blue'),
        md5(i::text)::uuid, '{"http.request.method": "POST", "http.route": "/checkout"}'::jsonb
    FROM generate_series(1, 10000) i) TO '/tmp/timescale.copy';
CREATE TABLE took (target text, seconds float8);
CREATE PROCEDURE copy_batches(target text) LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz := clock_timestamp();
BEGIN
    FOR i IN 1..10 LOOP
        EXECUTE format('COPY %s (ts, signal, name, value, subject, service, is_error, flags, trace_id, '
            'attributes) FROM ''/tmp/timescale.copy''', target);
        COMMIT;
    END LOOP;
    INSERT INTO took VALUES (target, extract(epoch FROM clock_timestamp() - started) / 100000);
    COMMIT;
END $$;
SELECT 'CALL copy_batches(''plain'')', 'CALL copy_batches(''hyper'')' FROM generate_series(1, 8)
\gexec
SELECT target, round((1 / min(seconds))::numeric, -2) AS rows_per_second,
    round((min(seconds) / (SELECT min(p.seconds) FROM took p WHERE p.target = 'plain'))::numeric, 2) AS ratio
FROM took GROUP BY target ORDER BY target DESC;
SELECT version() ~ 'PostgreSQL 17' AS pg_17, extversion AS timescaledb FROM pg_extension WHERE extname = 'timescaledb';
