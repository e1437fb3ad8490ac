-- What a row costs that comes without flags: COPY in batches of 10,000 into telemetry with live rollups of two metrics,
-- by what is known of the row. Every batch has 1,000 traces of 10 rows and 1,000 users of its own. After ingest.sql,
-- for its tables.
\pset footer off
SET client_min_messages = warning;
CREATE TABLE tie_took (place integer, kind text, seconds float8);
CREATE PROCEDURE tie_batch(place integer, kind text, target text, signal text, tags text, trace text, subject text)
LANGUAGE plpgsql AS $$
DECLARE
    file text := current_setting('data_directory') || '/tie.copy';
    batch text := format('%s %s', place, clock_timestamp());
    started timestamptz;
BEGIN
    INSERT INTO flagscope.telemetry (ts, signal, name, flags, trace_id, subject)
    SELECT now() - interval '1 s', 'event', 'feature_flag.evaluation', '{"new-checkout": "on"}',
        md5(batch || ' known ' || i)::uuid, batch || ' known ' || i
    FROM generate_series(0, 999) i WHERE signal = 'span';
    COMMIT;
    EXECUTE format($q$COPY (SELECT now() + i * interval '1 us', %L,
            CASE %L WHEN 'span' THEN 'POST /checkout' ELSE 'feature_flag.evaluation' END, 0.1, i %% 100 = 0, %s::text,
            md5(%L || %s)::uuid, %L || %s
        FROM generate_series(0, 9999) i) TO %L$q$,
        signal, signal, tags, batch, trace, batch, subject, file);
    started := clock_timestamp();
    EXECUTE format('COPY %s (ts, signal, name, value, is_error, flags, trace_id, subject) FROM %L', target, file);
    COMMIT;
    INSERT INTO tie_took VALUES (place, kind, extract(epoch FROM clock_timestamp() - started));
    COMMIT;
END $$;
UPDATE flagscope.guardrail SET enabled = true;
SELECT format('CALL tie_batch(%s, %L, %L, %L, %L, %L, %L)', place, kind, target, signal, tags, trace, subject)
FROM generate_series(1, :tie_rounds) AS round, (VALUES
    (1, 'same table without triggers', 'plain', 'span', '''{"new-checkout": "on"}''', ''' known '' || i / 10',
        ''' known '' || i / 10'),
    (2, 'tagged', 'flagscope.telemetry', 'span', '''{"new-checkout": "on"}''', ''' known '' || i / 10',
        ''' known '' || i / 10'),
    (3, 'without flags, trace and user', 'flagscope.telemetry', 'span', 'NULL', 'NULL', 'NULL'),
    (4, 'without flags: trace and user were never evaluated', 'flagscope.telemetry', 'span', 'NULL',
        ''' other '' || i / 10', ''' other '' || i / 10'),
    (5, 'without flags: the user''s latest evaluation says', 'flagscope.telemetry', 'span', 'NULL',
        ''' other '' || i / 10', ''' known '' || i / 10'),
    (6, 'without flags: the trace says', 'flagscope.telemetry', 'span', 'NULL', ''' known '' || i / 10',
        ''' known '' || i / 10'),
    (7, 'evaluations: same table without triggers', 'plain', 'event', '''{"new-checkout": "on"}''', ''' known '' || i',
        ''' known '' || i'),
    (8, 'evaluations, each in its trace', 'flagscope.telemetry', 'event', '''{"new-checkout": "on"}''',
        ''' known '' || i', ''' known '' || i')) k(place, kind, target, signal, tags, trace, subject)
ORDER BY round, place
\gexec
\echo Rows without flags: COPY in batches of 10,000, the best of :tie_rounds rounds; with live rollups of two metrics
SELECT kind, round((min(seconds) / 10000 * 1e9)::numeric) AS ns_a_row,
    round((min(seconds) / (SELECT min(b.seconds)
            FROM tie_took b WHERE b.place = CASE WHEN t.place < 7 THEN 1 ELSE 7 END))::numeric, 2) AS ratio
FROM tie_took t GROUP BY t.place, kind ORDER BY t.place;
