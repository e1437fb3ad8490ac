-- One tick that counts ten metrics with a conversion window over a minute of :window_rows (200,000) rows, beside the
-- same ten as queries: each matches a tenth of the rows by name, or all of them by a pattern.
-- An hour of other rows lies in the same partition.
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION flagscope;
SELECT flagscope.set_setting('query.rows', '1e6'), flagscope.set_setting('query.timeout', '"10 minutes"'),
    flagscope.create_flag('f'), flagscope.maintain() \g /dev/null
SELECT count(flagscope.create_metric(format('window, %s %s', w.kind, i), 'mean', 'event', w.filter::jsonb, cap => 10,
        conversion_window => '1 hour')),
    count(flagscope.create_query_metric(format('query, %s %s', w.kind, i), 'mean',
        'SELECT subject, value, ts FROM flagscope.telemetry WHERE ts >= $1 AND ts < $2 AND ' || w.condition, cap => 10,
        conversion_window => '1 hour'))
FROM generate_series(0, 9) i,
    LATERAL (VALUES ('a tenth', format('{"name": "e%s"}', i), format('name = ''e%s''', i)),
        ('all', '{"name_matches": "^e"}', 'name ~ ''^e''')) w(kind, filter, condition) \g /dev/null
SELECT count(flagscope.create_guardrail('f', name)) FROM flagscope.metric_definition \g /dev/null
SELECT now() - interval '2 minutes' AS t0 \gset
SELECT flagscope.start_rollout(flagscope.create_rollout('f', stages => '{50, 100}', min_duration => '1 day'),
    at => :'t0') \g /dev/null
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
SELECT :'t0', 'event', 'feature_flag.evaluation', 's' || i,
    jsonb_build_object('f', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END)
FROM generate_series(1, 20000) i;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, value, flags)
SELECT timestamptz :'t0' - i * (interval '1 hour' / (:window_rows * 5)), 'event', 'e' || i % 10,
    's' || i % 20000, 1, '{}'
FROM generate_series(1, :window_rows * 5) i;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, value, flags)
SELECT timestamptz :'t0' + i * (interval '58 s' / :window_rows), 'event', 'e' || i % 10,
    's' || 1 + i::bigint * 7919 % 20000, 1 + i % 5, '{}'
FROM generate_series(1, :window_rows) i;
VACUUM ANALYZE flagscope.telemetry;
UPDATE flagscope.guardrail SET enabled = false;
SELECT flagscope.tick() \g /dev/null
VACUUM ANALYZE flagscope.rollout_subject;
CREATE TABLE window_took (kind text, ms float8, counted bigint);
CREATE PROCEDURE measure(wanted text) LANGUAGE plpgsql AS $$
DECLARE
    ms float8;
    counted bigint;
BEGIN
    UPDATE flagscope.guardrail SET enabled = metric ~ ('^' || wanted);
    COMMIT;
    FOR n IN 1..3 LOOP
        ms := (flagscope.tick()).milliseconds;
        counted := (SELECT sum(q.counted) FROM flagscope.metric_run q);
        ROLLBACK;
        INSERT INTO window_took VALUES (wanted, ms, counted);
        COMMIT;
    END LOOP;
END $$;
CALL measure('nothing');
CALL measure('window, a tenth');
CALL measure('query, a tenth');
CALL measure('window, all');
CALL measure('query, all');
\echo 'One tick that counts ten metrics over' :window_rows 'rows of 20,000 subjects; the best of three'
SELECT kind, round(min(ms)) AS ms, max(counted) AS rows_counted FROM window_took GROUP BY kind ORDER BY min(ms);
