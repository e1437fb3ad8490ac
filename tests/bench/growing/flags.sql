-- Growth with the number of flags, all with a rule and a metric on watch.
SET client_min_messages = warning;
SELECT '{"if": [{"and": [{"ends_with": [{"var": "email"}, "@example.com"]}, {">=": [{"var": "age"}, 18]}]},
    "on", "off"]}' AS rule \gset
\set context '{"email": "ann@example.com", "age": 30}'
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}') \g /dev/null
SELECT set_config('growth.size', :'size', false), set_config('growth.rule', :'rule', false) \g /dev/null
CALL measure('create_flag', 'flag', :size,
    format('SELECT flagscope.create_flag(''flag-'' || i) FROM generate_series(1, %s) i', :size), 1);
CALL measure('set_targeting', 'flag', :size,
    format('SELECT flagscope.set_targeting(''flag-'' || i, %L) FROM generate_series(1, %s) i', :'rule', :size), 1);
SELECT flagscope.export_flagd() AS document \gset
SELECT set_config('growth.document', :'document', false) \g /dev/null
CALL measure('import_flagd of what is there', 'flag', :size,
    'SELECT flagscope.import_flagd(current_setting(''growth.document'')::jsonb)', 1);
CALL measure('evaluate_all, the first in a session', 'flag', :size,
    format('SELECT count(*) FROM flagscope.evaluate_all(''ann'', %L)', :'context'), 1);
CALL measure('evaluate_all, later', 'flag', :size,
    format('SELECT count(*) FROM flagscope.evaluate_all(''ann'', %L)', :'context'), :rounds);
CALL measure('evaluate_all after a change of one flag', 'flag', :size,
    format('SELECT count(*) FROM flagscope.evaluate_all(''ann'', %L)', :'context'), :rounds,
    format('SELECT flagscope.set_targeting(''flag-1'', %L)', :'rule'));
CALL measure('evaluate, one flag', 'call', :rows, format('SELECT count(flagscope.evaluate_boolean(''flag-1'', '
    '''user-'' || i, false, %L)) FROM generate_series(1, %s) i', :'context', :rows), :rounds);
CALL measure('create_guardrail', 'guardrail', :size,
    format('SELECT flagscope.create_guardrail(''flag-'' || i, ''errors'') FROM generate_series(1, %s) i', :size), 1);
CALL measure('INSERT, a metric of one flag matches', 'row', :rows,
    format('INSERT INTO flagscope.telemetry SELECT * FROM requests(''flag-1'', ''{off,on}'', ''pay'', %s)', :rows),
    :rounds);
CALL measure('INSERT, nothing matches', 'row', :rows,
    format('INSERT INTO flagscope.telemetry SELECT * FROM requests(''unknown'', ''{off,on}'', ''pay'', %s)', :rows),
    :rounds);
CALL measure('variant_summary of one flag', 'call', 1,
    'SELECT count(*) FROM flagscope.variant_summary(''flag-1'')', :rounds);
CALL measure('status', 'call', 1, 'SELECT count(*) FROM flagscope.status()', :rounds);
