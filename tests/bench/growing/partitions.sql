-- Growth with the partitions of telemetry: hours, back from the ones that are there, a row in each.
SET client_min_messages = warning;
SELECT flagscope.create_flag('f'),
    flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}') \g /dev/null
SELECT flagscope.create_guardrail('f', 'errors') \g /dev/null
SELECT flagscope.set_setting('telemetry.retention', '"3650 days"') \g /dev/null
SELECT min(lower) AS first FROM flagscope.chunk WHERE parent = 'telemetry' \gset
CREATE PROCEDURE make(first timestamptz, n bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..n - (SELECT count(*) FROM flagscope.chunk c WHERE c.parent = 'telemetry') LOOP
        PERFORM _flagscope.lock_rollups(),
            _flagscope.create_chunk('telemetry', 'ts', first - i * interval '1 hour',
                first - (i - 1) * interval '1 hour');
        INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
        VALUES (first - i * interval '1 hour', 'event', 'order', 'ann', '{"f": "on"}');
        COMMIT;
    END LOOP;
END $$;
CALL make(:'first', :size);
CALL measure('INSERT of many rows, a metric matches', 'row', :rows,
    format('INSERT INTO flagscope.telemetry SELECT * FROM requests(''f'', ''{off,on}'', ''pay'', %s)', :rows), :rounds);
CALL measure('INSERT of one row', 'row', 1,
    'INSERT INTO flagscope.telemetry SELECT * FROM requests(''f'', ''{off,on}'', ''pay'', 1)', :rounds);
CALL measure('count(*) over the last minute', 'query', 1,
    'SELECT count(*) FROM flagscope.telemetry WHERE ts > now() - interval ''1 minute''', :rounds);
CALL measure('telemetry_of, the last day', 'call', 1, 'SELECT count(*) FROM flagscope.telemetry_of(''ann'')', :rounds);
CALL measure('trace', 'call', 1, 'SELECT count(*) FROM flagscope.trace(gen_random_uuid())', :rounds);
CALL measure('variant_summary', 'call', 1, 'SELECT count(*) FROM flagscope.variant_summary(''f'')', :rounds);
CALL measure('tick, nothing new', 'tick', 1, 'SELECT flagscope.tick()', :rounds);
CALL measure('maintain', 'call', 1, 'SELECT flagscope.maintain()', :rounds);
