-- COPY and INSERT into telemetry with live rollups, against the same table without triggers. Batches of 10,000 rows;
-- two metrics on watch match every row (the worst case) or none. Baseline and candidates alternate in every round.
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION flagscope;
SELECT flagscope.maintain() IS NOT NULL AS made \gset

-- The same columns, checks, partitions and indexes; only the triggers are missing.
CREATE TABLE plain (LIKE flagscope.telemetry INCLUDING ALL) PARTITION BY RANGE (ts);
CREATE TABLE plain_today PARTITION OF plain FOR VALUES FROM (date_trunc('day', now())
    - interval '1 day') TO (date_trunc('day', now()) + interval '2 days');
CREATE INDEX ON plain_today USING brin (ts);
CREATE INDEX ON plain_today (trace_id) WHERE trace_id IS NOT NULL;
CREATE INDEX ON plain_today (left(subject, 255), ts) WHERE subject IS NOT NULL AND name = 'feature_flag.evaluation';

CREATE TABLE batch AS
SELECT now() + i * interval '1 millisecond' AS ts, 'span'::flagscope.signal AS signal, 'POST /checkout' AS name,
    exp(sin(i) * 2) / 10 AS value, 'user-' || i % 5000 AS subject, 'shop' AS service, i % 100 = 0 AS is_error,
    jsonb_build_object('new-checkout', CASE WHEN i % 4 = 0 THEN 'on' ELSE 'off' END, 'theme', 'blue') AS flags,
    md5(i::text)::uuid AS trace_id, '{"http.request.method": "POST", "http.route": "/checkout"}'::jsonb AS attributes
FROM generate_series(1, 10000) i;
SELECT current_setting('data_directory') || '/batch.copy' AS file \gset
COPY batch TO :'file';

SELECT flagscope.create_flag('new-checkout') \g /dev/null
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "POST /checkout"}',
    '{"is_error": true}') \g /dev/null
SELECT flagscope.create_metric('duration', 'quantile', 'span', '{"name": "POST /checkout"}') \g /dev/null
SELECT flagscope.create_guardrail('new-checkout', 'errors'),
    flagscope.create_guardrail('new-checkout', 'duration') \g /dev/null

CREATE TABLE result (name text, seconds float8, rows bigint, wal numeric);
CREATE PROCEDURE copy_batches(target text, file text, batches integer, label text, watched boolean)
LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz;
    wal pg_lsn;
BEGIN
    UPDATE flagscope.guardrail SET enabled = watched;
    COMMIT;
    started := clock_timestamp();
    wal := pg_current_wal_insert_lsn();
    FOR i IN 1..batches LOOP
        EXECUTE format(
            'COPY %s (ts, signal, name, value, subject, service, is_error, flags, trace_id, attributes) FROM %L',
            target, file);
        COMMIT;
    END LOOP;
    INSERT INTO result
    VALUES (label, extract(epoch FROM clock_timestamp() - started), 10000 * batches, pg_current_wal_insert_lsn() - wal);
    COMMIT;
END $$;
CREATE PROCEDURE insert_batches(target text, batches integer, label text) LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz := clock_timestamp();
    wal pg_lsn := pg_current_wal_insert_lsn();
BEGIN
    FOR i IN 1..batches LOOP
        EXECUTE format(
            'INSERT INTO %s (ts, signal, name, value, subject, service, is_error, flags, trace_id, attributes)
            SELECT ts, signal, name, value, subject, service, is_error, flags, trace_id, attributes
            FROM batch LIMIT 1000 OFFSET %s',
            target, i % 10 * 1000);
        COMMIT;
    END LOOP;
    INSERT INTO result
    VALUES (label, extract(epoch FROM clock_timestamp() - started), 1000 * batches, pg_current_wal_insert_lsn() - wal);
    COMMIT;
END $$;
CREATE PROCEDURE insert_rows(target text, n integer, label text) LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz := clock_timestamp();
    wal pg_lsn := pg_current_wal_insert_lsn();
BEGIN
    FOR i IN 1..n LOOP
        EXECUTE format('INSERT INTO %s (ts, signal, name, value, is_error, flags) VALUES (now(), ''span'', '
            '''POST /checkout'', 0.1, false, ''{"new-checkout": "on"}'')', target);
        COMMIT;
    END LOOP;
    INSERT INTO result
    VALUES (label, extract(epoch FROM clock_timestamp() - started), n, pg_current_wal_insert_lsn() - wal);
    COMMIT;
END $$;

-- Each cell is a statement, and so each CALL a transaction of its own.
SELECT format('CALL copy_batches(''plain'', %L, %s, ''copy plain'', false)', :'file', :rows / :rounds / 10000),
    format('CALL copy_batches(''flagscope.telemetry'', %L, %s, ''copy, nothing on watch'', false)', :'file',
        :rows / :rounds / 10000),
    format('CALL copy_batches(''flagscope.telemetry'', %L, %s, ''copy, two metrics match every row'', true)', :'file',
        :rows / :rounds / 10000)
FROM generate_series(1, :rounds) AS round
\gexec
SELECT format('CALL insert_batches(''plain'', %s, ''batch plain'')', :rows / 10000),
    format('CALL insert_batches(''flagscope.telemetry'', %s, ''batch, two metrics match every row'')', :rows / 10000)
FROM generate_series(1, :rounds) AS round
\gexec
SELECT format('CALL insert_rows(''plain'', %s, ''insert plain'')', :singles),
    format('CALL insert_rows(''flagscope.telemetry'', %s, ''insert, two metrics match every row'')', :singles)
FROM generate_series(1, :rounds) AS round
\gexec

\echo -n Ingest: :rows 'rows by COPY in batches of 10,000; 1,000-row INSERT ... SELECT; '
\echo 'single-row INSERTs, each a transaction'
-- The best round of each: what others do on the machine only ever adds.
SELECT r.name, round((max(r.rows / r.seconds))::numeric, -2) AS rows_per_second,
    round((min(r.seconds) / (SELECT min(b.seconds) FROM result b
            WHERE b.name = split_part(replace(r.name, ',', ''), ' ', 1) || ' plain'))::numeric, 2) AS ratio,
    round(sum(r.wal) / sum(r.rows)) AS wal_bytes_a_row
FROM result r GROUP BY r.name ORDER BY r.name;
SELECT 'bytes a row with indexes' AS size,
    round(sum(c.bytes) / (SELECT count(*) FROM flagscope.telemetry)) AS telemetry,
    round(pg_total_relation_size('plain_today')::numeric / (SELECT count(*) FROM plain)) AS plain,
    round((pg_total_relation_size('flagscope.variant_rollup')
        + (SELECT sum(pg_total_relation_size(inhrelid))
            FROM pg_inherits WHERE inhparent = '_flagscope.variant_delta'::regclass))
        / (SELECT count(*) FROM flagscope.telemetry), 1) AS rollups_and_deltas
FROM flagscope.chunk c WHERE c.parent = 'telemetry';
SELECT 'every row is in the rollups' AS checked,
    sum(n) = (SELECT count(*) FROM flagscope.telemetry)
        - (SELECT sum(rows) FROM result WHERE name = 'copy, nothing on watch') AS ok
FROM _flagscope.variant_state WHERE metric = 'errors';
