-- Every key of a metric's filter: which rows count, compared with the same condition in SQL.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never

SELECT flagscope.create_flag('f');
-- The filter, and what it means in SQL, where NULL does not match.
CREATE TEMP TABLE filter (name text, filter jsonb, condition text);
INSERT INTO filter VALUES
    ('all', '{}', 'true'),
    ('name', '{"name": "pay"}', 'name = ''pay'''),
    ('name_matches', '{"name_matches": "^p.y$|é"}', 'name ~ ''^p.y$|é'''),
    ('part of a name', '{"name_matches": "a"}', 'name ~ ''a'''),
    ('service', '{"service": "cart"}', 'service = ''cart'''),
    ('is an error', '{"is_error": true}', 'is_error'),
    ('is no error', '{"is_error": false}', 'is_error IS NOT TRUE'),
    ('severity', '{"severity_at_least": 13}', 'severity >= 13'),
    ('above', '{"value_above": 0.25}', 'value > 0.25'),
    ('below', '{"value_below": 0.25}', 'value < 0.25'),
    ('between', '{"value_above": -1, "value_below": 1e3}', 'value > -1 AND value < 1000'),
    ('text', '{"attributes": {"city": "Köln"}}', 'attributes @> ''{"city": "Köln"}'''),
    ('empty text', '{"attributes": {"city": ""}}', 'attributes @> ''{"city": ""}'''),
    ('number', '{"attributes": {"code": 500}}', 'attributes @> ''{"code": 500}'''),
    ('fraction', '{"attributes": {"code": 0.1}}', 'attributes @> ''{"code": 0.1}'''),
    ('boolean', '{"attributes": {"new": true}}', 'attributes @> ''{"new": true}'''),
    ('two attributes', '{"attributes": {"new": false, "code": 200}}', 'attributes @> ''{"new": false, "code": 200}'''),
    ('all at once', '{"name": "pay", "service": "cart", "is_error": false, "attributes": {"new": true}}',
        'name = ''pay'' AND service = ''cart'' AND is_error IS NOT TRUE AND attributes @> ''{"new": true}''');
SELECT count(flagscope.create_metric(name, 'proportion', 'log', '{}', filter)) FROM filter;
SELECT count(flagscope.create_metric('only ' || name, 'proportion', 'log', filter, '{}')) FROM filter;
SELECT count(flagscope.create_guardrail('f', name)) FROM flagscope.metric_definition;
CREATE TEMP TABLE sent AS
SELECT timestamptz '2040-01-02 12:00:00' AS ts, 'log'::flagscope.signal AS signal, (ARRAY['pay', 'play', 'Ré', 'pa'])[1 + i % 4] AS name,
    (ARRAY[0.25, 0.250000001, -1, -7, 1000, 'NaN', 'Infinity', '-Infinity', NULL, 0]::float8[])[1 + i % 10] AS value,
    (ARRAY['cart', 'Cart', '', NULL])[1 + i / 2 % 4] AS service, (ARRAY[true, false, NULL])[1 + i % 3] AS is_error,
    (ARRAY[1, 12, 13, 24, NULL]::smallint[])[1 + i % 5] AS severity,
    (ARRAY['{"city": "Köln", "code": 500, "new": true}', '{"city": "", "code": "500", "new": "true"}', '{"code": 500.0, "new": false}',
        '{"code": 0.1, "new": true, "city": null}', '{"code": 200, "new": false, "x": {"city": "Köln"}}', '[]', '["city"]', 'null', '{}', NULL,
        '{"city": ["Köln"], "code": 1e30}']::jsonb[])[1 + i % 11] AS attributes, '{"f": "on"}'::jsonb AS flags
FROM generate_series(1, 1320) i;
INSERT INTO flagscope.telemetry (ts, signal, name, value, service, is_error, severity, attributes, flags) SELECT * FROM sent;
-- Other signals never count.
INSERT INTO flagscope.telemetry (ts, signal, name, flags) VALUES ('2040-01-02 12:00', 'span', 'pay', '{"f": "on"}'), ('2040-01-02 12:00', 'metric', 'pay', '{"f": "on"}');
DO $$
DECLARE
    f record;
    wanted bigint;
    found record;
BEGIN
    FOR f IN SELECT * FROM filter LOOP
        -- In SQL NaN is above every number; as a measured value it is none.
        EXECUTE format('SELECT count(*) FROM sent WHERE %s', replace(f.condition, 'value >', 'value <> ''NaN'' AND value >')) INTO wanted;
        SELECT sum(d.n) FILTER (WHERE d.metric = f.name) AS rows, sum(d.events) FILTER (WHERE d.metric = f.name) AS as_event,
            sum(d.n) FILTER (WHERE d.metric = 'only ' || f.name) AS as_filter INTO found FROM _flagscope.variant_delta d;
        RAISE NOTICE '%: % of % rows%', f.name, found.as_event, found.rows,
            CASE WHEN (found.as_event, found.as_filter) = (wanted, wanted) THEN '' ELSE format(', WRONG: wanted %s, as filter %s', wanted, found.as_filter) END;
    END LOOP;
END $$;

-- What is no filter is refused when the metric is made.
SELECT _flagscope.require_filter('{"name": "pay", "attributes": {}}');
CREATE FUNCTION pg_temp.refused(filter jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
BEGIN
    PERFORM _flagscope.require_filter(filter);
    RETURN 'taken';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN format('%s %s -- %s', SQLSTATE, SQLERRM, left(hint, 60));
END $$;
SELECT left(f::text, 40) AS filter, pg_temp.refused(f) FROM unnest(ARRAY['[]', '"pay"', '{"nmae": "pay"}', '{"name": 7}', '{"name_matches": "("}', '{"name_matches": "(?=x)"}',
    '{"is_error": "yes"}', '{"severity_at_least": 0}', '{"severity_at_least": 25}', '{"severity_at_least": 1.5}', '{"value_above": "1"}', '{"value_below": 1e999}',
    '{"attributes": []}', '{"attributes": {"a": null}}', '{"attributes": {"a": {}}}', '{"attributes": {"a": 1e999}}']::jsonb[]) f;
SELECT flagscope.create_metric('m', 'mean', 'metric', '{"value_over": 1}');
SELECT flagscope.create_metric('m', 'proportion', 'metric', '{}', '{"value_over": 1}');
UPDATE flagscope.metric_definition SET filter = '7' WHERE name = 'all';
