-- What every measurement of growth begins with: measure() runs something several times, each in a transaction of its
-- own, after something that is not measured, and keeps the time of the fastest by unit of work.
SET client_min_messages = warning;
CREATE EXTENSION flagscope;
SELECT flagscope.maintain() IS NOT NULL AS made \gset
SELECT flagscope.set_setting('maintenance.interval', '"1 day"') \g /dev/null
CREATE TABLE took (place serial, work text, unit text, us float8);
CREATE PROCEDURE measure(work text, unit text, units bigint, statement text, rounds integer,
    before text DEFAULT 'SELECT')
LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz;
    best float8;
BEGIN
    FOR i IN 1..rounds LOOP
        EXECUTE before;
        COMMIT;
        started := clock_timestamp();
        EXECUTE statement;
        COMMIT;
        best := least(best, 1e6 * extract(epoch FROM clock_timestamp() - started));
    END LOOP;
    INSERT INTO took (work, unit, us) VALUES (work, unit, best / units);
    COMMIT;
END $$;
-- Requests of a flag, shared out among its variants: n rows from row number k on.
CREATE FUNCTION requests(flag text, variants text[], name text, n bigint) RETURNS SETOF flagscope.telemetry
LANGUAGE sql VOLATILE AS $$
    SELECT r.* FROM generate_series(1, n) i,
        jsonb_populate_record(NULL::flagscope.telemetry,
            jsonb_build_object('ts', clock_timestamp(), 'signal', 'span', 'name', name, 'value', exp(sin(i)) / 10,
                'is_error', i % 49 = 0, 'environment', 'production',
                'flags', jsonb_build_object(flag, variants[1 + i % cardinality(variants)]))) r
$$;
