-- Evaluations a second in one process, against the same query without the call.
\pset footer off
SELECT flagscope.start_rollout(flagscope.create_rollout('new-checkout', stages => '{25, 100}')) \g /dev/null
CREATE TABLE users AS SELECT 'user-' || i AS key FROM generate_series(1, 300000) i;
VACUUM ANALYZE users;
SET max_parallel_workers_per_gather = 0;
CREATE FUNCTION seconds_of(query text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE started timestamptz := clock_timestamp();
BEGIN
    EXECUTE query;
    RETURN extract(epoch FROM clock_timestamp() - started);
END $$;
CREATE TEMP TABLE took AS
SELECT seconds_of('SELECT count(u.key) FROM users u') AS bare,
    seconds_of('SELECT count(e.variant) FROM users u, flagscope.evaluate(''new-checkout'', u.key) e') AS split
FROM generate_series(1, 3);
\echo 'Evaluation of a running rollout for 300,000 users, one process'
SELECT round((300000 / min(split))::numeric, -3) AS evaluations_per_second, round((min(split) / min(bare))::numeric, 1) AS ratio_to_bare_scan FROM took;
