-- Pages: what they load has the numbers of the reports, hostile text stays text, and readers may look. How a page
-- looks is tested in src/core/tests/page.rs.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never

-- A shop whose treatment fails, and beside it a flag whose names are an attack.
SELECT flagscope.set_setting('tick.budget', '"1 hour"');
SELECT flagscope.create_flag('shop'),
    flagscope.create_flag('<script>alert(1)</script>', description => '"><img src=x>');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}', unit => 's');
SELECT flagscope.create_metric('basket', 'mean', 'event', '{"name": "order"}', unit => 'EUR', cap => 1000);
SELECT flagscope.create_guardrail('shop', 'errors', min_sample => 1),
    flagscope.create_guardrail('shop', 'duration', quantile => 0.95, min_sample => 1, shadow => true),
    flagscope.create_guardrail('shop', 'errors', name => 'limit', limit_value => 0.5, min_sample => 1, shadow => true),
    flagscope.create_guardrail('shop', 'basket', limit_value => 1000, min_sample => 1, action => 'warn',
        test => 'threshold'),
    flagscope.create_guardrail('<script>alert(1)</script>', 'errors', name => '''"</h3><b>');
SELECT flagscope.create_rollout('shop', stages => ARRAY[25, 50, 100], min_duration => '30 s') AS shop \gset
SELECT flagscope.create_rollout('<script>alert(1)</script>') AS hostile \gset
SELECT flagscope.start_rollout(:shop, at => '2040-01-02 12:00', actor => 'ann', reason => 'a try', override => true) > 0
    AS started;
CREATE TEMP VIEW payment AS
SELECT timestamptz '2040-01-02 12:00' + i * interval '100 ms' AS ts, 'span'::flagscope.signal AS signal, 'pay' AS name,
    (1 + i % 20) * CASE WHEN i % 4 = 0 THEN 0.011 ELSE 0.01 END AS value,
    jsonb_build_object('shop', CASE WHEN i % 4 = 0 THEN 'on' ELSE 'off' END) AS flags,
    i % 50 = 0 OR i % 16 = 0 AND i > 600 AS is_error, '<b>web' AS service, 'subject ' || i % 400 AS subject,
    md5(i::text)::uuid AS trace_id, int8send(i) AS span_id, '{"otlp": {"events": [{"name": "exception",
    "attributes": {"exception.type": "CardError", "exception.message": "<i>refused</i>"}}]}}'::jsonb AS attributes
FROM generate_series(0, 1199) i;
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags, is_error, service, subject, trace_id, span_id,
    attributes)
SELECT * FROM payment WHERE ts < '2040-01-02 12:00:30';
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags)
SELECT timestamptz '2040-01-02 12:00' + i * interval '100 ms', 'event', 'order', 10 + i % 50,
    jsonb_build_object('shop', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END) FROM generate_series(0, 299) i;
SELECT flagscope.tick('2040-01-02 12:00:30') IS NOT NULL AS ticked;
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags, is_error, service, subject, trace_id, span_id,
    attributes)
SELECT * FROM payment WHERE ts >= '2040-01-02 12:00:30' AND ts < '2040-01-02 12:01';
SELECT flagscope.tick('2040-01-02 12:01') IS NOT NULL AS ticked;
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags, is_error, service, subject, trace_id, span_id,
    attributes)
SELECT * FROM payment WHERE ts >= '2040-01-02 12:01';
SELECT flagscope.tick('2040-01-02 12:02') IS NOT NULL AS ticked;
INSERT INTO flagscope.correlation (decision_id, rank, kind, finding, share, p_value, treatment, control, n_treatment,
    events_treatment, n_control, events_control, subjects, traces, recompute)
SELECT d.id, 1, 'segment', 'country = "<b>de"', 0.8, 0.001, '16 %', '1.3 %', 300, 48, 900, 12, 40,
    ARRAY[md5('1184')::uuid], 'SELECT 1'
FROM flagscope.decision d WHERE d.action = 'rollback';

-- What the page is made of. The numbers of both variants are those of variant_summary(), the counts those of the rows.
CREATE TEMP TABLE page AS SELECT _flagscope.rollout_page_data(:shop, '2040-01-02 12:03') AS data;
SELECT data #>> '{rollout,status}' AS status, data #> '{rollout,percent}' AS percent,
    (SELECT string_agg(format('%s:%s', to_char(to_timestamp((p ->> 'at')::float8) AT TIME ZONE 'UTC', 'HH24:MI:SS'),
        p ->> 'percent'), ' ' ORDER BY n) FROM jsonb_array_elements(data -> 'ramp') WITH ORDINALITY x(p, n)) AS ramp,
    (SELECT string_agg(p ->> 'title', '; ' ORDER BY n) FROM jsonb_array_elements(data -> 'decisions')
        WITH ORDINALITY x(p, n)) AS decisions
FROM page;
SELECT count(*) AS rows, count(*) FILTER (WHERE m.value - 'metric' IS DISTINCT FROM to_jsonb(v) - 'metric') AS differ
FROM page, LATERAL (SELECT y ->> 'name' AS metric, s AS value FROM jsonb_array_elements(data -> 'metrics') y,
        jsonb_array_elements(y -> 'summary') s) m
    FULL JOIN flagscope.variant_summary('shop', NULL, '2040-01-02 12:00', '2040-01-02 12:02:00.000001') v
        ON v.metric = m.metric AND v.variant = m.value ->> 'variant';
SELECT s ->> 'variant' AS variant, s ->> 'n' AS n, s ->> 'events' AS events, (s ->> 'rate')::float8 = r.rate AS same
FROM page, jsonb_array_elements(data -> 'metrics') y, jsonb_array_elements(y -> 'summary') s
    JOIN LATERAL (SELECT avg(p.is_error::integer)::float8 AS rate FROM payment p
        WHERE p.flags ->> 'shop' = s ->> 'variant') r ON true
WHERE y ->> 'name' = 'errors';
-- Guardrails: as bi_guardrail says, and the last point of each series is the estimate now.
SELECT b.guardrail, p.g ->> 'state' = b.state AS state, p.g ->> 'measure' AS measure,
    (p.g ->> 'estimate')::float8 = b.estimate AS estimate, (p.g ->> 'tolerated')::float8 = b.tolerated AS tolerated,
    jsonb_array_length(p.g -> 'series') > 1 AS has_series,
    (p.g #>> '{series,-1,estimate}')::float8 = b.estimate
        AND (p.g #>> '{series,-1,lower}')::float8 IS NOT DISTINCT FROM CASE WHEN b.measure <> 'window' THEN b.lower END
        AND (p.g #>> '{series,-1,upper}')::float8 IS NOT DISTINCT FROM CASE WHEN b.measure <> 'window' THEN b.upper END
        AS ends_there
FROM page, jsonb_array_elements(data -> 'guardrails') p(g)
    JOIN flagscope.bi_guardrail b ON b.guardrail_id = (p.g ->> 'id')::bigint ORDER BY 1;
-- And what it was after the first minute: odds of 6 of 150 to those of 6 of 450, by hand from the rows.
SELECT round((SELECT x ->> 'estimate' FROM jsonb_array_elements(p.g -> 'series') x
        WHERE (x ->> 'at')::float8 = extract(epoch FROM timestamptz '2040-01-02 12:01') LIMIT 1)
        ::numeric, 6) AS estimate,
    round(x.t / (x.nt - x.t) / (x.c / (x.nc - x.c)), 6) AS by_hand
FROM page, jsonb_array_elements(data -> 'guardrails') p(g), LATERAL (
    SELECT count(*) FILTER (WHERE on_ AND is_error)::numeric AS t, count(*) FILTER (WHERE on_)::numeric AS nt,
        count(*) FILTER (WHERE NOT on_ AND is_error)::numeric AS c, count(*) FILTER (WHERE NOT on_)::numeric AS nc
    FROM (SELECT p.is_error, p.flags ->> 'shop' = 'on' AS on_ FROM payment p WHERE p.ts < '2040-01-02 12:01') y) x
WHERE p.g ->> 'name' = 'errors';
SELECT f ->> 'sentence' AS finding, f #>> '{traces,0}' AS trace
FROM page, jsonb_array_elements(data -> 'findings') f;
SELECT count(*) AS traces, bool_and((t ->> 'is_error')::boolean) AS failed, min(t ->> 'message') AS message
FROM page, jsonb_array_elements(data -> 'traces') t;
SELECT m ->> 'event' AS event, m ->> 'severity' AS severity FROM page, jsonb_array_elements(data -> 'messages') m;

-- The page: one file, nothing of another host, nothing of an application that is not text.
CREATE TEMP TABLE html AS SELECT id, flagscope.rollout_page(id, '2040-01-02 12:03') AS text
FROM unnest(ARRAY[:shop, :hostile]::bigint[]) id;
SELECT id, text LIKE '<!DOCTYPE html>%</html>' AS whole, text ~ '(<script|<img|<b>|<i>refused|https?:|NaN)' AS leaks,
    length(text) < 200000 AS fits, text ~ 'svg class="chart"' AS has_chart FROM html ORDER BY id;
SELECT (regexp_matches(text, '<h2[^>]*>([^<]*)', 'g'))[1] AS heading FROM html WHERE id = :shop;
SELECT text ~ '16 %</td>' AS treatment, text ~ '1.33 %</td>' AS control,
    text ~ 'rolled back, from 50 % to 0 %' AS decided,
    text ~ 'country = &quot;&lt;b&gt;de&quot;' AS why FROM html WHERE id = :shop;
SELECT text ~ '&lt;script&gt;alert\(1\)&lt;/script&gt;' AS key, text ~ 'never started' AS draft,
    text ~ 'start_rollout\(\d+\);' AS what_now FROM html WHERE id = :hostile;

-- All flags, and a trace.
SELECT f ->> 'flag' AS flag, f #>> '{rollout,status}' AS status, f #>> '{rollout,guardrail}' AS guardrail,
    f #>> '{rollout,guardrail_state}' AS state, left(f #>> '{rollout,last_reason}', 20) AS last_reason,
    left(f #>> '{rollout,waiting_for}', 13) AS waiting_for
FROM jsonb_array_elements(_flagscope.overview_data() -> 'flags') f ORDER BY f ->> 'flag' COLLATE "C";
SELECT data ->> 'rows' AS rows, data #>> '{spans,0,name}' AS name, data #> '{spans,0,problems}' AS problems,
    data #>> '{spans,0,flags}' AS flags, data -> 'rollouts' = to_jsonb(ARRAY[:shop]) AS of_the_rollout
FROM _flagscope.trace_page_data(md5('1184')::uuid) data;

-- What is not there, and what is no page.
SELECT flagscope.rollout_page(99);
SELECT flagscope.rollout_page(NULL);
SELECT flagscope.rollout_page(:shop, 'infinity');
SELECT _flagscope.trace_page_data('00000000-0000-0000-0000-0000000000ff');
SELECT _flagscope.render_rollout('[1]');
SELECT _flagscope.render_rollout('{"rollout": {"id": "x"}}');
SELECT _flagscope.render_rollout('{"at": 1e400}');
SELECT length(_flagscope.render_rollout('{"at": "Infinity", "guardrails": null, "unknown": 1}')) > 1000 AS still_a_page,
    _flagscope.render_rollout(NULL) IS NULL AS nothing;

-- Readers may look, others may not.
CREATE ROLE page_reader;
CREATE ROLE page_nobody;
SELECT flagscope.grant_reader('page_reader');
SET ROLE page_reader;
SELECT length(flagscope.rollout_page(:shop)) > 1000 AS page,
    jsonb_array_length(_flagscope.overview_data() -> 'flags') AS flags,
    _flagscope.trace_page_data(md5('1184')::uuid) ->> 'rows' AS rows;
RESET ROLE;
GRANT USAGE ON SCHEMA flagscope, _flagscope TO page_nobody;
SET ROLE page_nobody;
SELECT flagscope.rollout_page(:shop);
RESET ROLE;
DROP EXTENSION flagscope CASCADE;
DROP OWNED BY page_reader, page_nobody;
DROP ROLE page_reader, page_nobody;
