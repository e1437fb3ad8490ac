-- Growth with the subjects of a running rollout: so many are known already;
-- a tick consumes exposures of others, and of them.
SET client_min_messages = warning;
SELECT flagscope.create_flag('f'),
    flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}') \g /dev/null
SELECT flagscope.create_guardrail('f', 'errors'),
    flagscope.start_rollout(flagscope.create_rollout('f', stages => '{50, 100}', min_duration => '2 days')) \g /dev/null
INSERT INTO flagscope.rollout_subject (rollout_id, subject, variant, first_seen, treated_at)
SELECT 1, 'user-' || i, CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END, clock_timestamp(),
    CASE WHEN i % 2 = 0 THEN clock_timestamp() END
FROM generate_series(1, :size) i;
VACUUM ANALYZE flagscope.rollout_subject;
INSERT INTO took (work, unit, us)
SELECT 'size of unit with its index', 'subject, bytes',
    pg_total_relation_size('flagscope.rollout_subject') / :size::float8;
SELECT format($q$INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
    SELECT clock_timestamp(), 'event', 'feature_flag.evaluation', 'user-' || i,
        jsonb_build_object('f', CASE WHEN i %% 2 = 0 THEN 'on' ELSE 'off' END)
    FROM generate_series(%s, %s) i$q$,
    1, least(:size, :rows)) AS known,
    format($q$INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
    SELECT clock_timestamp(), 'event', 'feature_flag.evaluation', clock_timestamp() || ' ' || i,
        jsonb_build_object('f', CASE WHEN i %% 2 = 0 THEN 'on' ELSE 'off' END)
    FROM generate_series(1, %s) i$q$,
    least(:size, :rows)) AS fresh \gset
CALL measure('INSERT of exposures', 'row', least(:size, :rows), :'known', :rounds);
SELECT flagscope.tick() \g /dev/null
CALL measure('tick, exposures of known subjects', 'subject', least(:size, :rows), 'SELECT flagscope.tick()',
    :rounds, :'known');
CALL measure('tick, exposures of new subjects', 'subject', least(:size, :rows), 'SELECT flagscope.tick()',
    :rounds, :'fresh');
CALL measure('tick, nothing new', 'tick', 1, 'SELECT flagscope.tick()', :rounds);
