-- What a metric's filter costs a row, by its form: the plain old one (a name, an attribute equal to a number) beside
-- the others, in turns, over the same stored rows with the attributes of an HTTP span, 1 of 50 an event. Twenty metrics
-- of the same form are folded at once and their time is divided by 20: tens of nanoseconds are looked for beside the
-- microseconds of reading a row. What a row's attributes cost to be unpacked, once for all filters,
-- is in none of these numbers but the last column's.
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION flagscope;
SELECT flagscope.maintain() \g /dev/null
CREATE TABLE form (nr integer, name text, event jsonb);
INSERT INTO form VALUES
    (0, 'the name of other rows', NULL),
    (1, 'equal to a number (old form)', '{"attributes": {"http.response.status_code": 503}}'),
    (2, 'a comparison', '{"attributes": {"http.response.status_code": {">=": 500}}}'),
    (3, 'one of a list', '{"attributes": {"http.response.status_code": [500, 502, 503, 504]}}'),
    (4, '5xx without health checks',
        '{"attributes": {"http.response.status_code": {">=": 500}, "http.route": {"not": ["/health", "/ready"]}}}'),
    (5, 'the same with a part of the route',
        '{"attributes": {"http.route": {"not": {"prefix": "/health"}}, "http.response.status_code": {">=": 500}}}'),
    (6, 'a pattern of the route', '{"attributes": {"http.route": {"matches": "^/(cart|basket|health)/?[a-z]*$"}}}'),
    (7, 'a part of the body', '{"body": {"contains": "timeout"}}'),
    (8, 'a pattern of the body', '{"body": {"matches": "timeout after [0-9]+ s"}}');
SELECT flagscope.create_flag('f') \g /dev/null
INSERT INTO flagscope.telemetry (ts, signal, name, flags, environment, body, attributes)
SELECT now() + i * interval '1 millisecond', 'span', 'GET', '{"f": "on"}', 'production',
    CASE WHEN i % 50 = 0 THEN 'upstream: timeout after 30 s' ELSE 'delivered in ' || i % 100 || ' ms' END,
    jsonb_build_object('http.request.method', 'GET',
        'http.route', CASE WHEN i % 5 = 1 THEN '/health' ELSE '/checkout/items' END, 'url.path', '/checkout/items',
        'server.address', 'shop.example', 'server.port', 8080, 'client.address', '10.0.0.' || i % 255,
        'user_agent.original', 'Mozilla/5.0 (X11; Linux x86_64)',
        'network.protocol.version', '1.1', 'http.response.status_code', CASE WHEN i % 50 = 0 THEN 503 ELSE 200 END)
FROM generate_series(1, :filter_rows) i;
SELECT count(flagscope.create_metric(name || ' ' || k, 'proportion', 'span',
        CASE nr WHEN 0 THEN '{"name": "POST"}' ELSE '{"name": "GET"}' END::jsonb, coalesce(event, '{}'))),
    count(flagscope.create_guardrail('f', name || ' ' || k)) FROM form, generate_series(1, 20) k \g /dev/null
CREATE TABLE filter_took (nr integer, ns float8, events bigint);
-- The processor's time and not the clock's.
CREATE FUNCTION cpu_ns() RETURNS float8
LANGUAGE sql RETURN split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::float8;
CREATE PROCEDURE fold_rows(batch integer) LANGUAGE plpgsql AS $$
DECLARE
    f record;
    started float8;
    found bigint;
BEGIN
    FOR f IN
        SELECT form.nr,
            jsonb_agg(jsonb_build_object('flag', 'f', 'environment', 'production',
                'metric', name || ' ' || k)) AS watches
        FROM form, generate_series(1, 20) k GROUP BY form.nr ORDER BY form.nr
    LOOP
        started := cpu_ns();
        SELECT sum(x.events) INTO found
        FROM _flagscope.fold_stored(now() - interval '1 hour', now() + interval '1 day', f.watches) x;
        INSERT INTO filter_took VALUES (f.nr, (cpu_ns() - started) / batch, found);
        COMMIT;
    END LOOP;
END $$;
-- Each cell is a statement, and so each CALL a transaction of its own.
SELECT format('CALL fold_rows(%s)', :filter_rows) FROM generate_series(1, :filter_rounds) AS round
\gexec
\echo Filters: :filter_rows rows with nine attributes, processor time of one filter a row; the best of all rounds
SELECT f.name AS filter, round(((min(t.ns) - min(n.ns)) / 20)::numeric, 1) AS ns_a_row,
    round(((min(t.ns) - min(o.ns)) / 20)::numeric, 1) AS more_than_old,
    round((min(t.ns) / min(o.ns))::numeric, 2) AS ratio, round(min(t.ns)) AS twenty_with_the_row
FROM form f JOIN filter_took t USING (nr), filter_took o, filter_took n
WHERE o.nr = 1 AND n.nr = 0 GROUP BY f.nr, f.name ORDER BY f.nr;
SELECT 'every form found its events' AS checked, bool_and(events > 0) AND count(DISTINCT nr) = 8 AS ok
FROM filter_took WHERE nr > 0;
