-- Telemetry as OpenTelemetry SDKs wrote it (tests/data/otlp), asked why: spans, logs and evaluations of a real run.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SET timezone = 'UTC';
\set traces `cat "$PG_ABS_SRCDIR/../data/otlp/traces.jsonl"`
\set logs `cat "$PG_ABS_SRCDIR/../data/otlp/logs.jsonl"`
\set metrics `cat "$PG_ABS_SRCDIR/../data/otlp/metrics.jsonl"`
SELECT flagscope.create_flag('new-checkout');
SELECT accepted > 0 AS traces FROM flagscope.ingest_otlp(:'traces');
SELECT accepted > 0 AS logs FROM flagscope.ingest_otlp(:'logs');
SELECT accepted > 0 AS metrics FROM flagscope.ingest_otlp(:'metrics');
SELECT name, service, flags ->> 'new-checkout' AS variant, count(*) AS spans, count(*) FILTER (WHERE is_error) AS errors
    FROM flagscope.telemetry WHERE signal = 'span' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT flagscope.create_metric('failed spans', 'proportion', 'span', '{}', '{"is_error": true}'),
    flagscope.create_metric('span seconds', 'quantile', 'span', unit => 's');
SELECT min(ts) AS since, max(ts) + interval '1 second' AS until FROM flagscope.telemetry \gset
SELECT rank, kind, finding, treatment, control, n_treatment, events_treatment AS e_t, n_control, events_control AS e_c
    FROM flagscope.correlate('new-checkout', 'failed spans', since => :'since', until => :'until');
SELECT kind, finding FROM flagscope.correlate('new-checkout', 'span seconds', since => :'since', until => :'until');
SELECT service, operation, round(calls_treatment::numeric, 2) AS calls_t, round(calls_control::numeric, 2) AS calls_c,
    why, failures_treatment AS f_t, failures_control AS f_c
FROM flagscope.compare_spans('new-checkout', since => :'since', until => :'until') ORDER BY 1, 2;
SELECT template, lines_treatment, lines_control, is_new, severity, example
    FROM flagscope.compare_patterns('new-checkout', since => :'since', until => :'until', metric => 'failed spans')
    ORDER BY 1;
-- The counts are those of the rows.
SELECT w.all_n_treatment = x.n_t AND w.all_events_treatment = x.e_t AND w.all_n_control = x.n_c
    AND w.all_events_control = x.e_c AS same
FROM flagscope.weigh_segment('new-checkout', '{}', 'failed spans', since => :'since', until => :'until') w,
    (SELECT count(*) FILTER (WHERE v = 'on') AS n_t, count(*) FILTER (WHERE v = 'on' AND is_error) AS e_t,
    count(*) FILTER (WHERE v = 'off') AS n_c, count(*) FILTER (WHERE v = 'off' AND is_error) AS e_c
        FROM (SELECT flags ->> 'new-checkout' AS v, is_error FROM flagscope.telemetry WHERE signal = 'span') y) x;
