-- Whose rows a guardrail reads: all of an environment, with or without flags (scope), or those of variants by name.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SET timezone = 'UTC';
UPDATE flagscope.setting SET value = '0' WHERE name = 'guardrail.detectable';  -- test gate has it
SELECT count(flagscope.create_flag(f, variants => '{"on": true, "off": false, "beta": true, "inner": true}'::jsonb,
    default_variant => 'off')) FROM unnest('{checkout,theme,cart,feed}'::text[]) f;
SELECT flagscope.create_metric('pool', 'mean', 'metric', '{"name": "pool"}', unit => '1'),
    flagscope.create_metric('queries', 'proportion', 'span', '{"name": "query"}', '{"is_error": true}'),
    flagscope.create_metric('wait', 'quantile', 'span', '{"name": "query"}', unit => 's'),
    flagscope.create_metric('orders', 'proportion', 'span', '{"name": "query"}', '{"is_error": true}',
        conversion_window => '1 day');
SELECT flagscope.set_setting('rollup.fine.retention', '"30000 days"'),
    flagscope.set_setting('rollup.backfill', '"1 hour"');
CREATE FUNCTION pg_temp.at(s integer) RETURNS timestamptz
LANGUAGE sql IMMUTABLE RETURN '2040-01-02 12:00:00+00'::timestamptz + s * interval '1 second';

-- What has no control to compare with says so, and which rules it can have.
SELECT flagscope.create_guardrail('checkout', 'pool', scope => 'environment');
SELECT flagscope.create_guardrail('checkout', 'queries', variants => '{beta}');
SELECT flagscope.create_guardrail('checkout', 'queries', limit_value => 0.02, variants => '{}');
SELECT flagscope.create_guardrail('checkout', 'queries', limit_value => 0.02, variants => '{beta,NULL}');
SELECT flagscope.create_guardrail('checkout', 'queries', limit_value => 0.02, variants => '{bta}');
SELECT flagscope.create_guardrail('checkout', 'queries', limit_value => 0.02, variants => '{beta}',
    scope => 'environment');
SELECT flagscope.create_guardrail('checkout', 'queries', test => 'anomaly', variants => '{beta}');
SELECT flagscope.create_guardrail('checkout', 'orders', limit_value => 0.02, scope => 'environment');
SELECT flagscope.create_policy('p', '{"metric": "pool", "scope": "environment"}');
SELECT flagscope.create_policy('p', '{"metric": "queries", "limit_value": 0.02, "variants": []}');
-- Rows without any variant are told of when the guardrail is made; with the scope that fits there is nothing to tell.
INSERT INTO flagscope.telemetry (ts, signal, name, value) VALUES (clock_timestamp(), 'metric', 'pool', 0.5);
SET client_min_messages = notice;
SELECT flagscope.create_guardrail('theme', 'pool', limit_value => 0.9) > 0 AS made;
SELECT flagscope.create_guardrail('theme', 'pool', name => 'all', limit_value => 0.9,
    scope => 'environment') > 0 AS made;
SET client_min_messages = warning;
DELETE FROM flagscope.guardrail;
DELETE FROM flagscope.telemetry;

-- A pool and its queries: a row of the pool every 10 s, 20 queries every 2 s, of which few name a flag.
CREATE FUNCTION pg_temp.traffic(began integer, ended integer, used float8 DEFAULT 0.5, errors integer DEFAULT 0,
    beta_errors integer DEFAULT 0) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    FOR s IN began..ended BY 2 LOOP
        INSERT INTO flagscope.telemetry (ts, signal, name, value)
        SELECT pg_temp.at(s), 'metric', 'pool', used WHERE s % 10 = 0;
        INSERT INTO flagscope.telemetry (ts, signal, name, is_error, value, flags)
        SELECT pg_temp.at(s), 'span'::flagscope.signal, 'query', i <= errors,
            0.1 + (i % 10) / 100.0,
            CASE i % 5 WHEN 1 THEN '{"checkout": "on"}' WHEN 2 THEN '{"checkout": "off"}'
                WHEN 3 THEN '{"checkout": "inner"}' END::jsonb
                || CASE WHEN i = 13 THEN '{"theme": "on"}' ELSE '{}' END::jsonb
        FROM generate_series(1, 15) i
        UNION ALL
        SELECT pg_temp.at(s), 'span', 'query', i <= beta_errors, 0.1, '{"checkout": "beta"}'
        FROM generate_series(1, 5) i WHERE s >= 0;
        PERFORM flagscope.tick(pg_temp.at(s)) WHERE s >= -2;
    END LOOP;
END $$;
CREATE VIEW pg_temp.stand AS
SELECT r.flag, r.status, r.stage, g.name AS guardrail, st.state, st.n_treatment AS n,
    round(st.limit_value::numeric, 4) AS limit_value, st.reason
FROM flagscope.rollout r JOIN flagscope.guardrail_status st ON st.rollout_id = r.id
    JOIN flagscope.guardrail g ON g.id = st.guardrail_id ORDER BY r.id, g.id;
-- The past before the guardrails is rolled up when they are made.
SELECT pg_temp.traffic(-300, -2);
SELECT flagscope.create_guardrail('checkout', 'pool', limit_value => 0.9, min_sample => 1, time_window => '30 s',
        stale_after => '1 minute', scope => 'environment') > 0 AS pool,
    flagscope.create_guardrail('checkout', 'queries', limit_value => 0.02, scope => 'environment') > 0 AS queries,
    flagscope.create_guardrail('checkout', 'wait', comparison => 'baseline', quantile => 0.9,
        scope => 'environment') > 0 AS wait,
    flagscope.create_guardrail('checkout', 'queries', name => 'beta', limit_value => 0.05, variants => '{beta,inner}',
        min_sample => 50) > 0 AS beta;
DO $$ BEGIN FOR i IN 1..5 LOOP PERFORM flagscope.maintain(pg_temp.at(0)); END LOOP; END $$;
SELECT metric, since <= pg_temp.at(-300) AS rolled_up FROM _flagscope.watch WHERE flag = 'checkout' ORDER BY metric;
SELECT metric, variant, n FROM flagscope.variant_summary('checkout', since => pg_temp.at(-600), until => pg_temp.at(0));
SELECT flagscope.create_rollout('checkout', stages => '{10, 50, 100}', min_duration => '1 minute') AS id \gset
SELECT DISTINCT guardrail, words FROM flagscope.plan_rollout('checkout', at => pg_temp.at(0)) ORDER BY 1;
SELECT flagscope.start_rollout(:id, at => pg_temp.at(0)) > 0 AS started;
SELECT pg_temp.traffic(0, 58);
SELECT * FROM pg_temp.stand;
-- Sums of what was counted, beside the raw rows: each once, whatever flags it names.
SELECT v.metric, v.variant, sum(v.n) AS n FROM flagscope.variant_states('checkout', since => pg_temp.at(-600),
    until => pg_temp.at(60)) v WHERE v.metric IN ('pool', 'queries') GROUP BY 1, 2 ORDER BY 1, 2;
SELECT name, count(*), count(*) FILTER (WHERE flags ? 'checkout') AS with_flag
FROM flagscope.telemetry GROUP BY 1 ORDER BY 1;
SELECT * FROM flagscope.verify_rollup(pg_temp.at(-600), pg_temp.at(600));
-- The ramp goes on, though no row of the pool names a variant; it is no less watched at 100 %.
SELECT pg_temp.traffic(60, 190);
SELECT * FROM pg_temp.stand;
SELECT action, to_stage, at FROM flagscope.decision WHERE rollout_id = :id ORDER BY id;
-- Rows that get their flags later were counted when they came.
UPDATE flagscope.telemetry SET flags = '{"checkout": "on"}'
WHERE ts = pg_temp.at(190) AND flags IS NULL AND name = 'query';
SELECT (flagscope.tick(pg_temp.at(191))).strata;
SELECT v.variant, sum(v.n) AS n FROM flagscope.variant_states('checkout', 'queries', since => pg_temp.at(190),
    until => pg_temp.at(200)) v GROUP BY 1 ORDER BY 1;
SELECT * FROM flagscope.verify_rollup(pg_temp.at(-600), pg_temp.at(600));
-- The pool's exporter stops: that holds the ramp, in words of its own.
SELECT (flagscope.tick(pg_temp.at(262))).decisions;
SELECT guardrail, state, reason FROM pg_temp.stand;
-- The pool is used up, at 100 %: with every row against the limit, and nothing of the flag in any.
SELECT pg_temp.traffic(264, 310, used => 0.97);
SELECT flag, status, guardrail, state, reason FROM pg_temp.stand;
SELECT flagscope.explain_decision(d.id) AS explain FROM flagscope.decision d
WHERE d.rollout_id = :id AND d.action = 'rollback' \gset
\echo :explain
SELECT * FROM flagscope.rollout_report(:id) r WHERE r ~ 'pool|beta|queries|all rows';
SELECT guardrail, state, round(estimate::numeric, 4) AS estimate, round(tolerated::numeric, 4) AS tolerated,
    watches FROM flagscope.bi_guardrail ORDER BY 1;
SELECT metric, variant, sum(n) FROM flagscope.bi_metric WHERE flag = 'checkout' AND metric = 'pool' GROUP BY 1, 2;
SELECT kind, finding FROM flagscope.correlate_decision((SELECT max(d.id) FROM flagscope.decision d
    WHERE d.rollout_id = :id AND d.action = 'rollback')) WHERE finding LIKE 'the decision%';

-- A backtest of what was live weighs the same counts; a rule that was not, the rollups of the same rows.
SELECT g.name, b.fires, b.at, b.n_treatment, round(b.value::numeric, 2) AS value,
    abs(b.log_e - e.log_e) < 1e-9 AS same
FROM flagscope.guardrail g CROSS JOIN LATERAL (
    SELECT * FROM flagscope.backtest_guardrail(g.id, pg_temp.at(0), pg_temp.at(400))
    ORDER BY fires DESC, at DESC LIMIT 1) b
    JOIN flagscope.evaluation e ON e.guardrail_id = g.id AND e.at = b.at
WHERE g.flag = 'checkout' ORDER BY g.id;
SELECT max(n_treatment) AS most, count(*) FILTER (WHERE fires) AS fires, max(round(value::numeric, 2)) AS value
FROM flagscope.backtest('checkout',
    '{"metric": "pool", "limit_value": 0.9, "min_sample": 1, "scope": "environment"}',
    since => pg_temp.at(0), until => pg_temp.at(400));
SELECT sum(n_treatment) AS n FROM flagscope.backtest('checkout',
    '{"metric": "queries", "limit_value": 0.05, "variants": ["beta", "inner"]}',
    since => pg_temp.at(0), until => pg_temp.at(190));

-- Users who have a variant by targeting: its errors are a breach, while the treatment has none.
SELECT flagscope.create_guardrail('cart', 'queries', name => 'beta', limit_value => 0.05,
        variants => '{beta}') > 0 AS limit,
    flagscope.create_guardrail('cart', 'queries', name => 'as before', comparison => 'baseline', variants => '{beta}',
        action => 'warn') > 0 AS baseline,
    flagscope.create_guardrail('cart', 'queries', name => 'treatment', limit_value => 0.05) > 0 AS treatment;
CREATE FUNCTION pg_temp.cart(s integer, beta_errors integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags)
    SELECT pg_temp.at(s), 'span', 'query', v.variant = 'beta' AND i <= beta_errors,
        jsonb_build_object('cart', v.variant)
    FROM (VALUES ('on'), ('off'), ('beta')) v(variant), generate_series(1, 20) i;
$$;
DO $$ BEGIN FOR s IN 1000..1290 BY 10 LOOP
    PERFORM pg_temp.cart(s, CASE WHEN s % 100 = 0 THEN 1 ELSE 0 END);
END LOOP; END $$;
SELECT (flagscope.tick(pg_temp.at(1299))).decisions;
SELECT flagscope.create_rollout('cart', stages => '{10, 100}', min_duration => '10 minutes') AS id \gset
SELECT flagscope.start_rollout(:id, at => pg_temp.at(1300)) > 0 AS started;
DO $$ BEGIN FOR s IN 1302..1340 BY 2 LOOP
    PERFORM pg_temp.cart(s, CASE WHEN s > 1320 THEN 6 ELSE 0 END), flagscope.tick(pg_temp.at(s));
END LOOP; END $$;
SELECT status, guardrail, state, n, limit_value, reason
FROM pg_temp.stand WHERE flag = 'cart';
SELECT action, at, reason FROM flagscope.decision WHERE rollout_id = :id AND actor = 'flagscope' ORDER BY id;

-- An anomaly of an environment: eight days of a gauge without flags, then a step. There is no control beside it.
SELECT flagscope.create_guardrail('feed', 'pool', test => 'anomaly', time_window => '10 minutes',
    scope => 'environment', min_sample => 1, stale_after => '1 hour') > 0 AS anomaly;
INSERT INTO flagscope.telemetry (ts, signal, name, value)
SELECT t, 'metric', 'pool', 0.5 + 0.1 * sin(extract(epoch FROM t) / 86400 * 2 * pi())
    + ((extract(epoch FROM t) / 600)::bigint * 7919 % 100) / 5000.0
FROM generate_series(pg_temp.at(0) + interval '10 days', pg_temp.at(0) + interval '18 days', '10 minutes') t;
SELECT flagscope.tick(pg_temp.at(0) + interval '18 days') IS NOT NULL AS read;
SELECT flagscope.create_rollout('feed', stages => '{10, 100}', min_duration => '10 days') AS id \gset
SELECT flagscope.start_rollout(:id, at => pg_temp.at(0) + interval '18 days') > 0 AS started;
DO $$
DECLARE
    at timestamptz;
BEGIN
    FOR i IN 1..14 LOOP
        at := pg_temp.at(0) + interval '18 days' + i * interval '10 minutes';
        INSERT INTO flagscope.telemetry (ts, signal, name, value)
        VALUES (at - interval '1 minute', 'metric', 'pool', CASE WHEN i > 6 THEN 0.9 ELSE 0.51 END);
        PERFORM flagscope.tick(at), flagscope.tick(at + interval '3 minutes');
    END LOOP;
END $$;
SELECT status, state, reason FROM pg_temp.stand WHERE flag = 'feed';
SELECT DISTINCT variant FROM _flagscope.anomaly_point;

-- A scope that nobody reads any more is not verified, and comes back whole.
UPDATE flagscope.guardrail SET enabled = false WHERE flag = 'checkout' AND scope = 'environment';
INSERT INTO flagscope.telemetry (ts, signal, name, is_error) VALUES (pg_temp.at(500), 'span', 'query', true);
SELECT count(*) AS differ FROM flagscope.verify_rollup(pg_temp.at(-600), pg_temp.at(600)) WHERE flag = 'checkout';
UPDATE flagscope.guardrail SET enabled = true WHERE flag = 'checkout' AND name = 'queries';
SELECT since IS NULL AS to_be_rolled_up FROM _flagscope.watch WHERE flag = 'checkout' AND metric = 'queries';
DO $$ BEGIN FOR i IN 1..5 LOOP PERFORM flagscope.maintain(pg_temp.at(600)); END LOOP; END $$;
SELECT count(*) AS differ FROM flagscope.verify_rollup(pg_temp.at(-600), pg_temp.at(600)) WHERE flag = 'checkout';
SELECT sum(v.n) FILTER (WHERE v.variant = '') = (SELECT count(*) FROM flagscope.telemetry t WHERE t.name = 'query')
    AS all_rows
FROM flagscope.variant_states('checkout', 'queries', since => '-infinity', until => 'infinity') v;

-- A new guardrail looks at rows without compiling the configuration: each compiles all of it, a thousand do so a
-- thousand times.
SET track_functions = 'all';
SELECT flagscope.create_flag('busy-' || i) FROM generate_series(1, 3) i;
BEGIN;
SELECT flagscope.create_guardrail('busy-' || i, 'queries') FROM generate_series(1, 3) i;
SELECT funcname, calls FROM pg_stat_xact_user_functions
WHERE schemaname = '_flagscope' AND funcname IN ('survey', 'configuration') ORDER BY 1;
ROLLBACK;
