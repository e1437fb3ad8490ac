-- Growth with the number of guardrails: five for each running rollout, four proportions and a quantile.
SET client_min_messages = warning;
SELECT count(flagscope.create_metric('m' || i,
    CASE WHEN i < 5 THEN 'proportion' ELSE 'quantile' END::flagscope.metric_kind, 'span',
    format('{"name": "s%s"}', i)::jsonb, CASE WHEN i < 5 THEN '{"is_error": true}'::jsonb END))
FROM generate_series(1, 5) i \g /dev/null
SELECT count(flagscope.create_flag('flag-' || i)) FROM generate_series(1, :size / 5) i \g /dev/null
SELECT count(flagscope.create_guardrail('flag-' || i, 'm' || j))
FROM generate_series(1, :size / 5) i, generate_series(1, 5) j \g /dev/null
CALL measure('start_rollout', 'guardrail', :size,
    format('SELECT flagscope.start_rollout(flagscope.create_rollout(''flag-'' || i, stages => ''{50, 100}'',
    min_duration => ''2 days'')) FROM generate_series(1, %s) i', :size / 5), 1);
-- Twenty rows for each guardrail, in both arms.
SELECT format($q$INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, flags)
    SELECT now(), 'span', 's' || 1 + k %% 5, exp(sin(k)) / 10, k %% 49 = 0,
        jsonb_build_object('flag-' || i, CASE WHEN k %% 2 = 0 THEN 'on' ELSE 'off' END)
    FROM generate_series(1, %s) i, generate_series(1, 100) k$q$, :size / 5) AS feed \gset
CALL measure('INSERT, one metric matches', 'row', :size * 20, :'feed', 1);
SELECT flagscope.tick() \g /dev/null
CALL measure('tick, data for every guardrail', 'guardrail', :size, 'SELECT flagscope.tick()', :rounds, :'feed');
CALL measure('tick, nothing new', 'guardrail', :size, 'SELECT flagscope.tick()', :rounds);
CALL measure('tick, data for one rollout', 'tick', 1, 'SELECT flagscope.tick()', :rounds,
    $q$INSERT INTO flagscope.telemetry
        SELECT r.* FROM generate_series(1, 5) j, requests('flag-1', '{off,on}', 's' || j, 20) r$q$);
CALL measure('rollout_report', 'call', 1, 'SELECT count(*) FROM flagscope.rollout_report(1)', :rounds);
CALL measure('status', 'call', 1, 'SELECT count(*) FROM flagscope.status()', :rounds);
