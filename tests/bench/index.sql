-- BRIN or btree on ts: the queries that people ask of telemetry, the sizes, and what writing costs. One table of a day,
-- rows that arrive nearly in time order (a minute of jitter), without an index, with each of them.
\pset footer off
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
CREATE TABLE day_rows AS
SELECT '2040-01-01'::timestamptz + i * interval '1 day' / :index_rows + random() * interval '1 minute' AS ts,
    'span'::text AS signal, 'POST /checkout' AS name, random() AS value, 'user-' || i % 5000 AS subject,
    jsonb_build_object('new-checkout', 'on') AS flags, md5(i::text)::uuid AS trace_id
FROM generate_series(1, :index_rows) i;
CREATE TABLE index_took (kind text, query text, ms float8);
CREATE PROCEDURE measure_index(kind text, definition text) LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz := clock_timestamp();
    q record;
BEGIN
    EXECUTE format('CREATE TABLE day_%s (LIKE day_rows)', kind);
    IF definition <> '' THEN EXECUTE format('CREATE INDEX ON day_%s %s', kind, definition); END IF;
    started := clock_timestamp();
    EXECUTE format('INSERT INTO day_%s SELECT * FROM day_rows', kind);
    INSERT INTO index_took VALUES (kind, '1 writing the rows', extract(epoch FROM clock_timestamp() - started) * 1000);
    COMMIT;
    IF kind = 'brin' THEN PERFORM brin_summarize_new_values(format('day_%s_ts_idx', kind)::regclass); END IF;
    EXECUTE format('ANALYZE day_%s', kind);
    FOR i IN 1..3 LOOP
        FOR q IN SELECT *
            FROM (VALUES ('2 one minute', '2040-01-01 12:00', '1 minute'),
                ('3 ten minutes', '2040-01-01 12:00', '10 minutes'),
                ('4 an hour', '2040-01-01 12:00', '1 hour'), ('5 the day', '2040-01-01', '1 day')) q(name, since, width)
        LOOP
            started := clock_timestamp();
            EXECUTE format('SELECT count(*), avg(value) FROM day_%s WHERE ts >= %L::timestamptz AND ts < '
                '%L::timestamptz + %L::interval',
                kind, q.since, q.since, q.width);
            INSERT INTO index_took VALUES (kind, q.name, extract(epoch FROM clock_timestamp() - started) * 1000);
        END LOOP;
        started := clock_timestamp();
        EXECUTE format('SELECT * FROM day_%s ORDER BY ts DESC LIMIT 100', kind);
        INSERT INTO index_took
        VALUES (kind, '6 the latest 100 rows', extract(epoch FROM clock_timestamp() - started) * 1000);
    END LOOP;
    INSERT INTO index_took
    SELECT kind, '7 size of the index, kB', coalesce(sum(pg_relation_size(i.indexrelid)), 0) / 1024
    FROM pg_index i WHERE i.indrelid = format('day_%s', kind)::regclass;
END $$;
CALL measure_index('none', '');
CALL measure_index('brin', 'USING brin (ts) WITH (autosummarize = on)');
CALL measure_index('btree', '(ts)');
\echo An index on ts of :index_rows 'rows: ms (best of three)'
SELECT substr(query, 3) AS query, round(min(ms) FILTER (WHERE kind = 'none')::numeric, 1) AS none,
    round(min(ms) FILTER (WHERE kind = 'brin')::numeric, 1) AS brin,
    round(min(ms) FILTER (WHERE kind = 'btree')::numeric, 1) AS btree
FROM index_took GROUP BY query ORDER BY index_took.query;
DROP TABLE day_rows, day_none, day_brin, day_btree;
