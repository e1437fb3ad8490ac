-- Growth with the variants of a flag; a rollout has two of them, metrics are kept of all.
SET client_min_messages = warning;
SELECT jsonb_object_agg('v' || i, 'value ' || i) AS variants,
    format('{%s}', string_agg('v' || i, ',' ORDER BY i)) AS names,
    jsonb_build_object('fractional', jsonb_agg(jsonb_build_array('v' || i, 1) ORDER BY i)) AS split
FROM generate_series(1, :size) i \gset
SELECT flagscope.create_flag('f', :'variants', 'v1', 'string'),
    flagscope.create_flag('split', :'variants', 'v1', 'string') \g /dev/null
SELECT flagscope.set_targeting('split', :'split') \g /dev/null
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}'),
    flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}') \g /dev/null
SELECT flagscope.create_guardrail('f', 'errors'), flagscope.create_guardrail('f', 'duration') \g /dev/null
SELECT flagscope.start_rollout(flagscope.create_rollout('f', 'v2', 'v1', stages => '{50, 100}',
    min_duration => '2 days')) \g /dev/null
SELECT format('INSERT INTO flagscope.telemetry SELECT * FROM requests(''f'', %L, ''pay'', %s)', :'names', :rows) AS feed
\gset
CALL measure('evaluate, split among all variants', 'call', :rows,
    format('SELECT count(flagscope.evaluate_string(''split'', ''user-'' || i, '''')) FROM generate_series(1, %s) i',
        :rows), :rounds);
CALL measure('INSERT, two metrics match', 'row', :rows, :'feed', :rounds);
SELECT flagscope.tick() \g /dev/null
CALL measure('tick, data for all variants', 'variant', :size, 'SELECT flagscope.tick()', :rounds, :'feed');
CALL measure('tick, nothing new', 'tick', 1, 'SELECT flagscope.tick()', :rounds);
CALL measure('variant_summary', 'variant', :size, 'SELECT count(*) FROM flagscope.variant_summary(''f'')', :rounds);
CALL measure('metric_series, an hour', 'variant', :size, 'SELECT count(*) FROM flagscope.metric_series(''f'', '
    '''errors'', since => now() - interval ''1 hour'', until => now())', :rounds);
