-- Evaluations from SQL, over many users in one process. tests/bench/evaluate runs it.
CREATE EXTENSION flagscope;
SELECT flagscope.create_flag('plain'), flagscope.create_flag('targeted'),
    flagscope.create_flag('new-checkout') \g /dev/null
SELECT flagscope.start_rollout(flagscope.create_rollout('new-checkout', stages => '{25, 100}'),
    override => true, reason => 'nothing is judged here') \g /dev/null
SELECT '{"if": [{"and": [{"ends_with": [{"var": "email"}, "@example.com"]}, {">=": [{"var": "age"}, 18]}]},
    "on", "off"]}' AS rule \gset
SELECT flagscope.set_targeting('targeted', :'rule') \g /dev/null
SELECT flagscope.create_flag('many-' || i) FROM generate_series(0, 99) i \g /dev/null
SELECT flagscope.set_targeting('many-' || i, :'rule') FROM generate_series(0, 99) i \g /dev/null
\pset footer off
CREATE TABLE users AS SELECT 'user-' || i AS key,
    jsonb_build_object('email', 'user-' || i || '@example.com', 'age', i % 90, 'country', 'de') AS context
FROM generate_series(1, :users) i;
VACUUM ANALYZE users;
SET max_parallel_workers_per_gather = 0;
CREATE FUNCTION seconds_of(query text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE started timestamptz := clock_timestamp();
BEGIN
    EXECUTE query;
    RETURN extract(epoch FROM clock_timestamp() - started);
END $$;
CREATE TABLE took AS
SELECT c.name, c.flag, c.users,
    seconds_of(format('SELECT count(*) FILTER (WHERE %s) FROM (SELECT * FROM users LIMIT %s) u', c.call,
        c.users)) AS seconds
FROM generate_series(1, 3) round, (VALUES (1, '', 'no evaluation', :users, 'u.key <> '''''),
    (2, 'plain', 'plain flag, evaluate_boolean', :users, 'flagscope.evaluate_boolean(''plain'', u.key, false)'),
    (3, 'new-checkout', 'running rollout, evaluate_boolean', :users,
        'flagscope.evaluate_boolean(''new-checkout'', u.key, false)'),
    (4, 'targeted', 'rule over a jsonb context, evaluate_boolean', :users,
        'flagscope.evaluate_boolean(''targeted'', u.key, false, u.context)'),
    (5, '', 'running rollout, all columns of evaluate', :users * 3 / 10,
        '(SELECT e.variant = ''on'' FROM flagscope.evaluate(''new-checkout'', u.key) e)'),
    (6, 'hundred', '100 flags with rules at once, evaluate_all', greatest(:users / 500, 1),
        '(SELECT count(e.variant) > 0 FROM flagscope.evaluate_all(u.key, u.context) e)'))
    c(place, flag, name, users, call)
ORDER BY round, place;
CREATE TABLE elsewhere (place text DEFAULT current_setting('bench.place'), flag text, ns float8, treated bigint);
