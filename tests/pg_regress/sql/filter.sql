-- Every key of a metric's filter: which rows count, compared with the same condition in SQL.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SET client_min_messages = notice;
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
    ('number, also as text', '{"attributes": {"code": 500}}', 'attributes -> ''code'' IN (''500'', ''"500"'')'),
    ('fraction', '{"attributes": {"code": 0.1}}', 'attributes @> ''{"code": 0.1}'''),
    ('boolean', '{"attributes": {"new": true}}', 'attributes @> ''{"new": true}'''),
    ('two attributes', '{"attributes": {"new": false, "code": 200}}', 'attributes @> ''{"new": false, "code": 200}'''),
    ('all at once', '{"name": "pay", "service": "cart", "is_error": false, "attributes": {"new": true}}',
        'name = ''pay'' AND service = ''cart'' AND is_error IS NOT TRUE AND attributes @> ''{"new": true}'''),
    ('names', '{"name": ["pay", "Ré", "none"]}', 'name IN (''pay'', ''Ré'')'),
    ('begins', '{"name": {"prefix": "p", "not": "pay"}}', 'name LIKE ''p%'' AND name <> ''pay'''),
    ('body', '{"body": {"contains": "time", "matches": "after [0-9]+ s$"}}',
        'body ~ ''time'' AND body ~ ''after [0-9]+ s$'''),
    ('no body', '{"body": null}', 'body IS NULL'),
    ('ends', '{"body": {"suffix": " Köln"}}', 'body LIKE ''% Köln'''),
    ('severity and value', '{"severity": {">=": 12, "<": 24}, "value": {"not": {"<": 1000}}}',
        'severity >= 12 AND severity < 24 AND (value <> ''NaN'' AND value < 1000) IS NOT TRUE'),
    ('comparison', '{"attributes": {"code": {">=": 200, "<=": 500}}}',
        '(attributes ->> ''code'')::numeric BETWEEN 200 AND 500'),
    ('list', '{"attributes": {"code": [0.1, 500, null]}}',
        'coalesce((attributes ->> ''code'')::numeric, 500) IN (0.1, 500)'),
    ('there', '{"attributes": {"city": {"not": null}}}',
        'attributes ->> ''city'' IS NOT NULL AND jsonb_typeof(attributes) = ''object'''),
    ('beyond a double', '{"attributes": {"code": {">": 1e300}}}', 'attributes @> ''{"code": 1e400}'''),
    ('either', '{"or": [{"name": "pay", "service": "cart"}, {"service": null, "not": {"is_error": true}}]}',
        'name = ''pay'' AND service = ''cart'' OR service IS NULL AND is_error IS NOT TRUE'),
    ('and of ors',
        '{"and": [{"or": [{"name": "pay"}, {"value": {">": 0}}]}, {"or": [{"service": "cart"}, {"severity": 24}]}]}',
        '(name = ''pay'' OR value > 0) AND (service = ''cart'' OR severity = 24)'),
    ('5xx without health checks', '{"attributes": {"code": {">=": 500, "<": 600}, "city": {"not": ["Köln", "none"]}}}',
        '(attributes ->> ''code'')::numeric >= 500 AND (attributes ->> ''code'')::numeric < 600 AND attributes -> '
        '''city'' IS DISTINCT FROM ''"Köln"''');
SELECT count(flagscope.create_metric(name, 'proportion', 'log', '{}', filter)) FROM filter;
SELECT count(flagscope.create_metric('only ' || name, 'proportion', 'log', filter, '{}')) FROM filter;
SELECT count(flagscope.create_guardrail('f', name)) FROM flagscope.metric_definition;
CREATE TEMP TABLE sent AS
SELECT timestamptz '2040-01-02 12:00:00' AS ts, 'log'::flagscope.signal AS signal,
    (ARRAY['pay', 'play', 'Ré', 'pa'])[1 + i % 4] AS name,
    (ARRAY[0.25, 0.250000001, -1, -7, 1000, 'NaN', 'Infinity', '-Infinity', NULL, 0]::float8[])[1 + i % 10] AS value,
    (ARRAY['cart', 'Cart', '', NULL])[1 + i / 2 % 4] AS service, (ARRAY[true, false, NULL])[1 + i % 3] AS is_error,
    (ARRAY[1, 12, 13, 24, NULL]::smallint[])[1 + i % 5] AS severity,
    (ARRAY['{"city": "Köln", "code": 500, "new": true}', '{"city": "", "code": "500", "new": "true"}',
        '{"code": 500.0, "new": false}', '{"code": 0.1, "new": true, "city": null}',
        '{"code": 200, "new": false, "x": {"city": "Köln"}}', '[]', '["city"]', 'null', '{}', NULL,
        '{"city": ["Köln"], "code": 1e400}']::jsonb[])[1 + i % 11] AS attributes,
    (ARRAY['timeout after 30 s', 'time for 5 s', NULL, 'Delivered to Köln', ''])[1 + i % 5] AS body,
    '{"f": "on"}'::jsonb AS flags
FROM generate_series(1, 1320) i;
INSERT INTO flagscope.telemetry (ts, signal, name, value, service, is_error, severity, attributes, body, flags)
SELECT * FROM sent;
-- Other signals never count.
INSERT INTO flagscope.telemetry (ts, signal, name, flags)
VALUES ('2040-01-02 12:00', 'span', 'pay', '{"f": "on"}'), ('2040-01-02 12:00', 'metric', 'pay', '{"f": "on"}');
DO $$
DECLARE
    f record;
    wanted bigint;
    found record;
BEGIN
    FOR f IN SELECT * FROM filter LOOP
        -- In SQL NaN is above every number; as a measured value it is none.
        EXECUTE format('SELECT count(*) FROM sent WHERE %s',
            regexp_replace(f.condition, 'value >', 'value <> ''NaN'' AND value >', 'g')) INTO wanted;
        SELECT sum(d.n) FILTER (WHERE d.metric = f.name) AS rows,
            sum(d.events) FILTER (WHERE d.metric = f.name) AS as_event,
            sum(d.n) FILTER (WHERE d.metric = 'only ' || f.name) AS as_filter INTO found
        FROM _flagscope.variant_delta d;
        RAISE NOTICE '%: % of % rows%', f.name, found.as_event, found.rows,
            CASE WHEN (found.as_event, found.as_filter) = (wanted, wanted) THEN ''
                ELSE format(', WRONG: wanted %s, as filter %s', wanted, found.as_filter) END;
    END LOOP;
END $$;

-- Whole numbers of every size are read as they are, from numerics of every form.
CREATE TEMP TABLE number AS
SELECT x, row_number() OVER () AS i
FROM (SELECT unnest('{0,-0,1,9999,10000,-10001,99990000,100000000,123456789012,9007199254740993,9999999999999999,'
    '10000000000000000,-1e20,1e130,5.0,500.00,1.5,-0.0001,1e-300}'::numeric[]) x) x;
SELECT count(flagscope.create_metric('is ' || i, 'proportion', 'event', '{}',
    jsonb_build_object('attributes', jsonb_build_object('x', jsonb_build_object('>=', x, '<=', x)))))
FROM number;
SELECT count(flagscope.create_guardrail('f', 'is ' || i)) FROM number;
INSERT INTO flagscope.telemetry (ts, signal, name, attributes, flags)
SELECT '2040-01-02 12:00', 'event', 'n', jsonb_build_object('x', x), '{"f": "on"}' FROM number;
SELECT n.x, d.n, d.events FROM number n JOIN _flagscope.variant_delta d ON d.metric = 'is ' || n.i
WHERE d.events <> (SELECT count(*) FROM number o WHERE o.x::float8 = n.x::float8) OR d.n <> 19;

-- Every way from rows to numbers reads the same filter: rollups computed anew, backfill, and the check of a metric.
SELECT metric, count(*) FROM flagscope.verify_rollup('2040-01-02 11:00', '2040-01-02 13:00') GROUP BY metric;
SELECT d.topic, d.n, d.events, d.detail
FROM flagscope.preview_metric('5xx without health checks', '2040-01-02 11:00', '2040-01-02 13:00') d
WHERE d.topic IN ('rows', 'variant');

-- check_filter says what is wrong and where, and never raises; the same keeps a metric out.
SELECT * FROM flagscope.check_filter('{"name": "pay", "attributes": {}}');
SELECT * FROM flagscope.check_filter(NULL);
SELECT left(f::text, 60) AS filter, c.path, left(c.problem, 90) AS problem, left(c.hint, 50) AS hint, c.is_error
FROM unnest(ARRAY['[]', '"pay"', 'null', '{"nmae": "pay"}', '{"name": 7}', '{"name_matches": "("}',
    '{"name_matches": "(?=x)"}', '{"name": {"matches": "(a{1000}){1000}"}}', '{"is_error": "yes"}',
        '{"severity_at_least": 0}', '{"severity_at_least": 25}', '{"severity_at_least": 1.5}', '{"value_above": "1"}',
    '{"value_below": 1e999}', '{"attributes": []}', '{"attributes": {"a": {}}}', '{"attributes": {"a": 1e999}}',
        '{"attributes": {"http": {"route": "/"}}}', '{"attributes": {"code": "503"}}',
        '{"attributes": {"code": {">=": "500"}}}', '{"attributes": {"code": {">=": 600, "<": 500}}}',
        '{"or": [{}, {"not": {"service": [[1]]}}]}', '{"and": {}}', '{"body": {"prefix": ""}}']::jsonb[])
    WITH ORDINALITY f(f, i), flagscope.check_filter(f) c ORDER BY i;
-- Deep ones: of PostgreSQL's depth, of JSON's, and beyond what a filter may have.
SELECT n, left(c.problem, 80) AS problem, c.is_error
FROM unnest('{10,20,120,1000}'::int[]) n,
    flagscope.check_filter((repeat('{"not": ', n) || '{}' || repeat('}', n))::jsonb) c;
SELECT count(*), max(c.problem)
FROM flagscope.check_filter(
    jsonb_build_object('attributes', jsonb_build_object('a', (SELECT jsonb_agg(i) FROM generate_series(1, 5000) i)))) c;
SELECT * FROM flagscope.check_per('{"signal": "trace", "sum_values": 1, "nme": 2}');

SELECT flagscope.create_metric('m', 'mean', 'metric', '{"value_over": 1}');
SELECT flagscope.create_metric('m', 'proportion', 'metric', '{}', '{"or": [{"attributes": {"code": {">=": "500"}}}]}');
SELECT flagscope.create_metric('m', 'rate', 'metric', '{}', per => '{"signal": "trace"}');
UPDATE flagscope.metric_definition SET filter = '7' WHERE name = 'all';
CREATE FUNCTION pg_temp.state(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'taken';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
SELECT pg_temp.state(format($$SELECT flagscope.create_metric('m', 'mean', 'metric', %L)$$, f)) AS state,
    left(f, 40) AS filter
FROM unnest(ARRAY['{"name": 7}', repeat('{"not": ', 20) || '{}' || repeat('}', 20), '{"attributes": {"a": 1e999}}',
    '{"attributes": {"code": "503"}}']) f;
