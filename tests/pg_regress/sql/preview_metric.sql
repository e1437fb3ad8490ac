-- preview_metric(): what a definition matches, before anybody relies on it.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SELECT flagscope.create_flag('f');
INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, flags)
SELECT timestamptz '2040-01-02 12:00' + i * interval '1 s', 'span', CASE WHEN i % 4 = 0 THEN 'browse' ELSE 'pay' END,
    CASE WHEN i % 50 = 0 THEN NULL WHEN i % 61 = 0 THEN -1 WHEN i % 59 = 0 THEN 60 ELSE i % 10 / 10.0 END, i % 10 = 1,
    CASE i % 3 WHEN 0 THEN '{"f": "on", "g": "x"}' WHEN 1 THEN '{"f": "off"}' END::jsonb
FROM generate_series(1, 1000) i;
INSERT INTO flagscope.telemetry (ts, signal, name)
SELECT timestamptz '2040-01-02 12:00' + i * interval '1 s', 'log', 'pay' FROM generate_series(1, 30) i;
CREATE FUNCTION pg_temp.checked(definition jsonb) RETURNS SETOF flagscope.metric_preview
LANGUAGE sql AS $$ SELECT * FROM flagscope.preview_metric(definition, '2040-01-02 12:00', '2040-01-02 13:00') $$;
SELECT * FROM pg_temp.checked(
    '{"kind": "proportion", "signal": "span", "filter": {"name": "pay"}, "event": {"is_error": true}}');
-- Beside a query by hand.
SELECT f.key AS flag, f.value AS variant, count(*) AS n, count(*) FILTER (WHERE is_error) AS events
FROM flagscope.telemetry t, jsonb_each_text(t.flags) f
WHERE signal = 'span' AND name = 'pay' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT topic, n, value, detail
FROM pg_temp.checked('{"kind": "mean", "signal": "span", "filter": {"name": "pay"}}') WHERE topic <> 'example';
SELECT topic, n, round(value::numeric, 4) AS value, detail
FROM pg_temp.checked('{"kind": "mean", "signal": "span", "filter": {"name": "pay"}, "cap": 0.8}')
WHERE topic IN ('rows', 'warning');
SELECT count(*) FILTER (WHERE value IS NOT NULL) AS n, round(avg(least(greatest(value, 0), 0.8))::numeric, 4) AS value,
    count(*) FILTER (WHERE value > 0.8) AS above, count(*) FILTER (WHERE value < 0) AS below
FROM flagscope.telemetry WHERE name = 'pay' AND signal = 'span' AND value IS NOT NULL;
SELECT d ->> 'kind' AS kind, w.detail
FROM (VALUES ('{"kind": "quantile", "signal": "span", "filter": {"name": "payment"}}'::jsonb),
    ('{"kind": "mean", "signal": "event"}'), ('{"kind": "mean", "signal": "log", "cap": 1}'),
    ('{"kind": "proportion", "signal": "log", "event": {"is_error": true}}'),
    ('{"kind": "rate", "signal": "log", "per": {"signal": "span", "name": "nothing"}}'),
    ('{"kind": "rate", "signal": "log", "filter": {"severity_at_least": 17}, "per": {"signal": "span"}}'),
    ('{"kind": "ratio", "signal": "span", "per": {"signal": "log"}}')) x(d),
    pg_temp.checked(d) w
WHERE w.topic = 'warning';
SELECT topic, n, events, round(value::numeric, 4) AS value, detail
FROM pg_temp.checked('{"kind": "rate", "signal": "log", "per": {"signal": "span", "name": "pay"}}')
WHERE topic <> 'example';
-- By name, and queries.
SELECT flagscope.create_metric('pays', 'quantile', 'span', '{"name": "pay"}');
SELECT topic, flag, variant, n, round(value::numeric, 2) AS p95
FROM flagscope.preview_metric('pays', '2040-01-02 12:00', '2040-01-02 13:00') WHERE topic = 'variant';
SELECT topic, n, value, detail
FROM pg_temp.checked(
    '{"kind": "mean", "query": "SELECT ''u'' || i AS subject, i AS value FROM generate_series(1, 10) i"}');
SELECT flagscope.create_rollout('f', stages => '{50}', min_duration => '1 hour') AS id \gset
SELECT _flagscope.decide(:id, 'start', 'tester', 'by hand', '2040-01-02 12:00') > 0 AS started;
SELECT topic, flag, variant, n, value, detail
FROM pg_temp.checked(
    '{"kind": "proportion", "query": "SELECT ''on''::text AS variant, i < 4 AS value FROM generate_series(1, 10) i"}')
WHERE topic IN ('rows', 'variant', 'warning');
-- What is no definition.
SELECT * FROM flagscope.preview_metric('nothing');
SELECT * FROM flagscope.preview_metric('{"kind": "mean"}'::jsonb);
SELECT * FROM flagscope.preview_metric('{"kind": "mean", "signal": "span", "colour": 1}'::jsonb);
SELECT * FROM flagscope.preview_metric('{"kind": "median", "signal": "span"}'::jsonb);
SELECT * FROM flagscope.preview_metric('{"kind": "mean", "signal": "span", "filter": {"nme": "x"}}'::jsonb);
SELECT * FROM flagscope.preview_metric('[]'::jsonb);
SELECT * FROM flagscope.preview_metric('{"kind": "rate", "signal": "span"}'::jsonb);
SELECT * FROM flagscope.preview_metric('{"kind": "proportion", "signal": "span"}'::jsonb);
