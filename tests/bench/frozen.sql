-- Frozen chunks beside a heap with its indexes: a month of a shop by OpenTelemetry's conventions, seven rows a
-- request (spans with attributes 63 %, logs with bodies, some with a stack trace, metrics, events), random ids.
-- Sizes, what freezing costs, and the questions that people ask of old telemetry, of the same rows before and after.
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION flagscope;
SELECT flagscope.set_chunk_interval('1 day'), flagscope.set_retention('400 days'),
    flagscope.set_setting('telemetry.premake', '40') \g /dev/null
SELECT flagscope.maintain(t) FROM generate_series(timestamptz '2026-03-01 12:00', '2026-04-05', '6 days') t \g /dev/null
SET session_replication_role = replica;  -- rows that flagscope has counted already
INSERT INTO flagscope.telemetry (ts, ts_nanos, signal, name, value, unit, subject, flags, environment, service,
    severity, is_error,
    trace_id, span_id, parent_span_id, body, attributes, attribution, instance)
SELECT r.ts + k.k * interval '3 ms' + random() * interval '2 ms', floor(random() * 1000), w.signal::flagscope.signal,
    CASE w.signal WHEN 'span' THEN (ARRAY[r.method || ' ' || r.route, 'checkout.' || k.k, 'SELECT shop.orders',
        'POST', 'render'])[1 + k.k % 5]
        WHEN 'log' THEN 'com.shop.' || s.service WHEN 'metric' THEN (ARRAY['process.memory.usage', 'queue.length',
            'db.pool.used'])[1 + r.n % 3]
        ELSE (ARRAY['feature_flag.evaluation', 'purchase', 'page_view'])[1 + r.n % 3] END,
    CASE w.signal WHEN 'span' THEN -ln(1 - random()) / 20 / k.k WHEN 'metric' THEN floor(random() * 1e6)
        WHEN 'event' THEN round((random() * 100)::numeric, 2) END,
    CASE w.signal WHEN 'span' THEN 's' WHEN 'metric' THEN 'By' END, CASE WHEN k.k IN (1, 5, 7) THEN r.subject END,
    jsonb_build_object('new-checkout', r.variant), 'production', s.service,
    CASE w.signal WHEN 'log' THEN CASE WHEN w.is_long THEN 17 ELSE 9 END END, w.signal = 'span' AND random() < 0.01,
    CASE WHEN w.signal <> 'metric' THEN r.trace_id END,
    CASE WHEN w.signal IN ('span', 'log') THEN decode(left(md5(random()::text), 16), 'hex') END,
    CASE WHEN w.signal = 'span' AND k.k > 1 THEN decode(left(md5(r.n::text), 16), 'hex') END,
    CASE WHEN w.signal <> 'log' THEN NULL WHEN w.is_long THEN 'java.lang.IllegalStateException: order ' || r.n ||
        ' was not found'
        || repeat(E'\n\tat com.shop.checkout.OrderService.load(OrderService.java:' || (r.n % 400) || ')', 12)
        ELSE format('request %s of %s took %s ms, cart %s', r.n, r.subject, floor(random() * 400),
            md5(random()::text)) END,
    CASE WHEN w.signal = 'span' AND k.k IN (1, 4) THEN jsonb_build_object('http.request.method', r.method,
        'http.route', r.route,
            'http.response.status_code', CASE WHEN random() < 0.01 THEN 500 ELSE 200 END, 'url.path', '/shop' ||
                r.route || '/' || r.n % 5000,
            'server.address', 'shop-' || r.n % 4 || '.internal', 'client.address', format('10.%s.%s.%s', r.n % 7,
                r.n % 251, r.n % 241),
            'user_agent.original', 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/' || 100 + r.n % 30,
                'network.protocol.version', '1.1')
        WHEN w.signal = 'span' THEN jsonb_build_object('db.system.name', 'postgresql', 'db.namespace', 'shop',
            'db.operation.name', 'SELECT',
            'db.query.text', 'SELECT * FROM orders WHERE id = $1', 'server.address', 'db-' || r.n % 3, 'thread.id',
                floor(random() * 64))
        WHEN w.signal = 'log' THEN jsonb_build_object('code.function.name', 'com.shop.' || s.service || '.handle',
            'thread.name', 'http-' || r.n % 32)
        ELSE jsonb_build_object('plan', (ARRAY['free', 'pro'])[1 + r.n % 2]) END,
    'tag', s.service || '-' || r.n % 4
FROM (SELECT n, timestamptz '2026-03-01' + n * (interval '30 days' / (:frozen_rows / 7 + 1)) AS ts,
    gen_random_uuid() AS trace_id,
        'user-' || floor(random() ^ 3 * 50000) AS subject, (ARRAY['on', 'off'])[1 + n % 2] AS variant,
        (ARRAY['GET', 'POST'])[1 + (n % 3) / 2] AS method, (ARRAY['/cart', '/checkout', '/product', '/search',
            '/'])[1 + n % 5] AS route
    FROM generate_series(1, :frozen_rows / 7) n OFFSET 0) r CROSS JOIN generate_series(1, 7) k(k)
    CROSS JOIN LATERAL (SELECT CASE WHEN k.k <= 4 THEN 'span' WHEN k.k = 5 THEN 'log'
            WHEN k.k = 6 THEN (ARRAY['span', 'span', 'log', 'log', 'event'])[1 + r.n % 5]
            ELSE CASE WHEN r.n % 10 < 7 THEN 'metric' ELSE 'event' END END AS signal, k.k = 6
                AND r.n % 50 = 2 AS is_long) w
    CROSS JOIN LATERAL (SELECT (ARRAY['web', 'cart', 'payment', 'db',
        'stock'])[1 + (k.k * 3 + r.n % 2) % 5] AS service) s;
RESET session_replication_role;
ANALYZE flagscope.telemetry;
SET max_parallel_workers_per_gather = 0;

CREATE TABLE frozen_took (form text, question text, ms float8);
CREATE TABLE asked AS SELECT t.trace_id, (SELECT mode() WITHIN GROUP (ORDER BY x.subject)
    FROM flagscope.telemetry x) AS subject
FROM flagscope.telemetry t WHERE t.trace_id IS NOT NULL AND t.ts >= '2026-03-15' LIMIT 1;
CREATE PROCEDURE ask_old(form text) LANGUAGE plpgsql AS $$
DECLARE
    q record;
    started timestamptz;
BEGIN
    FOR q IN SELECT * FROM (VALUES
        ('1 month by day and service: count, mean, errors',
            'SELECT date_trunc(''day'', ts), service, count(*), avg(value), count(*) FILTER (WHERE is_error) AS errors '
            'FROM flagscope.telemetry GROUP BY 1, 2'),
        ('2 one trace, its time not known', 'SELECT * FROM flagscope.trace((SELECT trace_id FROM asked))'),
        ('3 one subject''s month, its rows',
            'SELECT * FROM flagscope.telemetry WHERE subject = (SELECT subject FROM asked)'),
        ('4 five minutes, all columns',
            'SELECT * FROM flagscope.telemetry WHERE ts >= ''2026-03-15 12:00'' AND ts < ''2026-03-15 12:05'''),
        ('5 a day, one route by variant',
            'SELECT flags ->> ''new-checkout'', count(*), avg(value) FROM flagscope.telemetry '
            'WHERE ts >= ''2026-03-15'' AND ts < ''2026-03-16'' AND signal = ''span'' '
            'AND attributes ->> ''http.route'' = ''/cart'' GROUP BY 1'))
        q(question, query)
    LOOP
        FOR i IN 1..3 LOOP
            started := clock_timestamp();
            EXECUTE 'CREATE TEMP TABLE answer AS ' || q.query;
            INSERT INTO frozen_took VALUES (form, q.question, extract(epoch FROM clock_timestamp() - started) * 1000);
            DROP TABLE answer;
        END LOOP;
    END LOOP;
END $$;
CALL ask_old('heap');
SELECT count(*) AS rows, sum(hashtextextended(t::text, 0)) AS hash FROM flagscope.telemetry t \gset
CREATE TABLE frozen_part (LIKE flagscope.chunk, rows bigint, segments integer, before bigint, after bigint, us float8);
CREATE PROCEDURE freeze_all() LANGUAGE plpgsql AS $$
DECLARE
    c record;
    f record;
    started timestamptz;
BEGIN
    FOR c IN SELECT * FROM flagscope.chunk WHERE parent = 'telemetry' AND bytes > 200000 AND upper < '2026-04-02' LOOP
        started := clock_timestamp();
        SELECT * INTO f FROM flagscope.freeze_chunk(c.chunk);
        INSERT INTO frozen_part (rows, segments, before, after, us)
        VALUES (f.rows, f.segments, f.bytes_before, f.bytes, extract(epoch FROM clock_timestamp() - started) * 1e6);
        COMMIT;
    END LOOP;
END $$;
CALL freeze_all();
\echo 'A month of' :frozen_rows 'rows: heap with its indexes, and frozen'
SELECT sum(rows) AS rows, sum(segments) AS segments, round(sum(before) / sum(rows), 1) AS heap_bytes_a_row,
    round(sum(after) / sum(rows), 1) AS frozen_bytes_a_row, round(sum(before) / sum(after), 1) AS times_smaller,
    round((sum(us) / sum(rows))::numeric, 1) AS us_a_row FROM frozen_part;
CALL ask_old('frozen');
SELECT (count(*), sum(hashtextextended(t::text, 0))) = (:rows, :hash) AS every_row_is_the_same
    FROM flagscope.telemetry t;
\echo 'Questions, ms (best of three, one process)'
SELECT substr(question, 3) AS question, round(min(ms) FILTER (WHERE form = 'heap')::numeric, 1) AS heap,
    round(min(ms) FILTER (WHERE form = 'frozen')::numeric, 1) AS frozen
FROM frozen_took GROUP BY question ORDER BY frozen_took.question;
