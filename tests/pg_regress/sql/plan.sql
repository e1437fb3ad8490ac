-- No answer depends on a plan: which of two conditions is looked at first, kept plans or new ones, which joins.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SELECT flagscope.create_metric('depth', 'mean', 'metric', '{"name": "depth"}'),
    flagscope.create_metric('duration', 'quantile', 'metric', '{"name": "depth"}'),
    flagscope.create_metric('high', 'proportion', 'metric', '{"name": "depth"}', '{"value_above": 150}'),
    flagscope.create_metric('load', 'ratio', 'metric', '{"name": "depth"}', per => '{"name": "depth"}'),
    flagscope.create_metric('tries', 'rate', 'metric', '{"name": "depth"}', per => '{"name": "depth"}'),
    flagscope.create_metric('capped', 'mean', 'metric', '{"name": "depth"}', cap => 1000);
SELECT flagscope.create_flag('queue');
-- On watch, so that there are rollups; the rules are proposed later.
SELECT count(flagscope.create_guardrail('queue', m.name, name => 'watch ' || m.name, limit_value => 0.9,
    test => 'threshold', shadow => true, quantile => CASE m.kind WHEN 'quantile' THEN 0.5 END)) AS watched
FROM flagscope.metric_definition m;
SELECT flagscope.create_rollout('queue', stages => ARRAY[50, 100], min_duration => '1 day') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-02 12:00', override => true, reason => 'unguarded') > 0 AS started;
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags)
SELECT '2040-01-02 12:00+00'::timestamptz + i * interval '1 s', 'metric', 'depth',
    100 + i % 3 + CASE WHEN i > 60 AND i % 2 = 0 THEN 200 ELSE 0 END,
    CASE i % 2 WHEN 0 THEN '{"queue": "on"}' ELSE '{"queue": "off"}' END::jsonb
FROM generate_series(1, 120) i;
SELECT (flagscope.tick('2040-01-02 12:02')).strata;

CREATE FUNCTION pg_temp.backtests()
RETURNS TABLE (metric text, rule text, strata bigint, fires_at timestamptz, fires bigint, max_ln_e numeric)
LANGUAGE sql AS $$
    SELECT x.rule ->> 'metric', (x.rule - 'metric')::text, count(*), min(b.at) FILTER (WHERE b.fires),
        count(*) FILTER (WHERE b.fires), round(max(b.log_e)::numeric, 6)
    FROM unnest(ARRAY['{"metric": "depth", "limit_value": 200}', '{"metric": "load", "limit_value": 200}',
            '{"metric": "duration", "limit_value": 200, "quantile": 0.5, "test": "threshold"}',
            '{"metric": "high", "limit_value": 0.5, "test": "threshold"}',
            '{"metric": "tries", "limit_value": 0.5, "test": "threshold"}', '{"metric": "high", "margin": 0.5}',
            '{"metric": "high", "limit_value": 0.5}', '{"metric": "duration"}', '{"metric": "capped"}',
            '{"metric": "tries"}', '{"metric": "capped", "margin_absolute": 20}']::jsonb[]) x(rule),
        flagscope.backtest('queue', x.rule || '{"min_sample": 5, "time_window": "10 s"}', since => '2040-01-02',
            until => '2040-01-03') b
    GROUP BY x.rule ORDER BY x.rule;
$$;
CREATE FUNCTION pg_temp.reports() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT flagscope.rollout_report(1, '2040-01-02 12:02')
    UNION ALL SELECT to_jsonb(s)::text
    FROM flagscope.variant_summary('queue', since => '2040-01-02', until => '2040-01-03') s
    UNION ALL SELECT _flagscope.effect(g, s, m, r)::text
    FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
        JOIN flagscope.metric_definition m ON m.name = g.metric JOIN flagscope.rollout r ON r.id = s.rollout_id;
$$;
SELECT metric, rule, strata, fires_at, fires, max_ln_e FROM pg_temp.backtests();
-- The same under every setting.
CREATE FUNCTION pg_temp.answers() RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('backtests', (SELECT jsonb_agg(b) FROM pg_temp.backtests() b),
        'reports', (SELECT jsonb_agg(r ORDER BY r) FROM pg_temp.reports() r))
$$;
CREATE TEMP TABLE answer AS SELECT 'default' AS setting, pg_temp.answers() AS answers;
SET plan_cache_mode = force_generic_plan;
INSERT INTO answer SELECT 'generic', pg_temp.answers();
SET jit = off;  -- a forbidden join counts as a huge query: a minute of compiling
SET plan_cache_mode = force_custom_plan; SET enable_nestloop = off;
INSERT INTO answer SELECT 'custom, no nested loops', pg_temp.answers();
SET plan_cache_mode = force_generic_plan;
SET enable_hashjoin = off;
SET enable_hashagg = off;
SET from_collapse_limit = 1;
SET join_collapse_limit = 1;
INSERT INTO answer SELECT 'generic, merge joins as written', pg_temp.answers();
RESET ALL;
SELECT a.setting, a.answers = d.answers AS same FROM answer a, answer d WHERE d.setting = 'default' ORDER BY a.setting;

-- Evidence of nothing: the functions behind are not called for a status without counts, nor for a stage without values.
SET plan_cache_mode = force_generic_plan;
SELECT _flagscope.limited('proportion', 0.01, 0, NULL, NULL) AS share,
    _flagscope.limited('rate', 0.01, 0, NULL, NULL) AS rate;
SELECT _flagscope.stage_quantile(NULL, 0.5, 0.01) AS quantile;
-- A sum that overflows is that of a rate alone, though all kinds are asked for in one statement.
CREATE TABLE public.huge (at timestamptz, value float8);
INSERT INTO public.huge SELECT now() - interval '1 minute', 1e308 FROM generate_series(1, 30);
SELECT kind, finding.n, finding.value
FROM unnest('{quantile,proportion}'::text[]) kind, LATERAL flagscope.preview_metric(
    jsonb_build_object('kind', kind, 'query', 'SELECT NULL::text AS subject, ''on'' AS variant, value, at AS ts '
        'FROM public.huge WHERE at >= $1 AND at < $2')) finding WHERE topic = 'rows';
RESET plan_cache_mode;
DROP TABLE public.huge;
