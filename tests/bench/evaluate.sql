-- Evaluations a second in one process, against the same query without the call.
\pset footer off
SELECT flagscope.start_rollout(flagscope.create_rollout('new-checkout', stages => '{25, 100}')) \g /dev/null
CREATE TABLE users AS SELECT 'user-' || i AS key,
    jsonb_build_object('email', 'user-' || i || '@example.com', 'age', i % 90, 'country', 'de') AS context FROM generate_series(1, 300000) i;
VACUUM ANALYZE users;
SET max_parallel_workers_per_gather = 0;
CREATE FUNCTION seconds_of(query text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE started timestamptz := clock_timestamp();
BEGIN
    EXECUTE query;
    RETURN extract(epoch FROM clock_timestamp() - started);
END $$;
SELECT flagscope.create_flag('plain') \g /dev/null
SELECT flagscope.create_flag('targeted') \g /dev/null
SELECT flagscope.set_targeting('targeted', '{"if": [{"and": [{"ends_with": [{"var": "email"}, "@example.com"]}, {">=": [{"var": "age"}, 18]}]}, "on", "off"]}') \g /dev/null
CREATE TEMP TABLE took AS
SELECT round, c.name, seconds_of('SELECT count(*) FILTER (WHERE ' || c.call || ') FROM users u') AS seconds
FROM generate_series(1, 3) round, (VALUES (1, 'no evaluation', 'u.key <> '''''),
    (2, 'plain flag, evaluate_boolean', 'flagscope.evaluate_boolean(''plain'', u.key, false)'),
    (3, 'running rollout, evaluate_boolean', 'flagscope.evaluate_boolean(''new-checkout'', u.key, false)'),
    (4, 'rule over a jsonb context, evaluate_boolean', 'flagscope.evaluate_boolean(''targeted'', u.key, false, u.context)'),
    (5, 'running rollout, all columns of evaluate', '(SELECT e.variant = ''on'' FROM flagscope.evaluate(''new-checkout'', u.key) e)')) c(place, name, call)
ORDER BY round, place;
\echo 'Evaluations for 300,000 users, one process'
SELECT t.name, round((300000 / min(t.seconds))::numeric, -3) AS per_second,
    round(((min(t.seconds) - (SELECT min(b.seconds) FROM took b WHERE b.name = 'no evaluation')) / 300000 * 1e9)::numeric) AS ns_each
FROM took t GROUP BY t.name ORDER BY min(t.seconds);
