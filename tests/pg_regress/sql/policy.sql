-- Guardrails for many flags: policies are attached when a rollout starts,
-- follow the policy at the next start, and go with it.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{}', '{"is_error": true}'),
    flagscope.create_metric('depth', 'mean', 'metric');
SELECT flagscope.create_environment('staging');
SELECT flagscope.create_flag('cart', tags => '{checkout,web}'), flagscope.create_flag('pay', tags => '{checkout}'),
    flagscope.create_flag('ads');
CREATE FUNCTION pg_temp.rollout(flag text, environment text DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
    SELECT flagscope.start_rollout(id) * 0 + id FROM flagscope.create_rollout(flag, environment => environment) id;
$$;
CREATE VIEW pg_temp.rules AS
SELECT g.flag, g.environment, g.name, g.comparison, g.test, g.limit_value AS "limit", g.margin, g.action, g.on_state,
    g.breaches, g.of_looks, g.enabled, g.version, g.policy_id
FROM flagscope.guardrail g;

SELECT flagscope.create_policy('errors everywhere',
    '{"metric": "errors", "margin": 0.2, "on_state": {"no_data": "rollback"}}') AS everywhere;
SELECT flagscope.create_policy('queue',
    '{"metric": "depth", "limit_value": 100, "action": "hold", "breaches": 2, "time_window": "30 seconds"}',
    tag => 'checkout', environment => 'production') AS queue;
-- What cannot be a rule.
SELECT flagscope.create_policy('queue', '{"metric": "depth", "limit_value": 1}');
SELECT flagscope.create_policy('x', '{"metric": "nothing"}');
SELECT flagscope.create_policy('x', '{"limit_value": 1}');
INSERT INTO flagscope.guardrail_policy (name, rule, created_at) VALUES ('x', '{"metric": "nothing"}', '2020-01-01');
SELECT flagscope.create_policy('x', '[]');
SELECT flagscope.create_policy('x', '{"metric": "errors", "colour": "red"}');
SELECT flagscope.create_policy('x', '{"metric": "depth"}');
SELECT flagscope.create_policy('x', '{"metric": "errors", "action": "advance"}');
SELECT flagscope.create_policy('x', '{"metric": "errors", "action": "explode"}');
SELECT flagscope.create_policy('x', '{"metric": "errors", "on_state": {"breached": "hold"}}');
SELECT flagscope.create_policy('x', '{"metric": "errors", "on_state": {"stale": "start"}}');
SELECT flagscope.create_policy('x', '{"metric": "errors", "comparison": "absolute"}');
SELECT flagscope.create_policy('x', '{"metric": "errors", "margin": -1}');
SELECT flagscope.create_policy('x', '{"metric": "errors"}', environment => 'mars');

SELECT pg_temp.rollout('cart'), pg_temp.rollout('ads'), pg_temp.rollout('cart', 'staging');
SELECT * FROM pg_temp.rules ORDER BY flag, environment, name;
SELECT g.flag, g.environment, g.name, s.alpha
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id ORDER BY 1, 2, 3;
-- A changed policy is for the next start; the flag's own guardrail of the same name stays.
UPDATE flagscope.guardrail_policy SET rule = rule || '{"margin": 0.3}' WHERE name = 'errors everywhere';
SELECT flagscope.create_guardrail('pay', 'errors', name => 'errors everywhere', margin => 0.5,
    action => 'warn') > 0 AS own;
SELECT pg_temp.rollout('pay');
SELECT flagscope.rollback_rollout(1) > 0 AS over;
SELECT pg_temp.rollout('cart');
SELECT * FROM pg_temp.rules WHERE environment = 'production' ORDER BY flag, name;
-- A disabled policy's guardrails are disabled at the next start, and come back with it;
-- unchanged ones keep their version.
UPDATE flagscope.guardrail_policy SET enabled = false WHERE name = 'queue';
SELECT flagscope.rollback_rollout((SELECT max(id) FROM flagscope.rollout WHERE flag = 'cart')) > 0 AS over;
SELECT pg_temp.rollout('cart') > 0 AS started;
SELECT name, enabled, version FROM pg_temp.rules WHERE flag = 'cart' AND environment = 'production' ORDER BY name;
UPDATE flagscope.guardrail_policy SET enabled = true WHERE name = 'queue';
SELECT flagscope.rollback_rollout((SELECT max(id) FROM flagscope.rollout WHERE flag = 'cart')) > 0 AS over;
SELECT pg_temp.rollout('cart') > 0 AS started;
SELECT name, enabled, version FROM pg_temp.rules WHERE flag = 'cart' AND environment = 'production' ORDER BY name;
-- A deleted one leaves its guardrails to the flags.
DELETE FROM flagscope.guardrail_policy WHERE name = 'queue';
SELECT flag, name, enabled, policy_id FROM pg_temp.rules WHERE name = 'queue' ORDER BY 1;

-- A rule may have all that create_guardrail() takes, but for whose it is; and all of it arrives, also in a change.
SELECT string_agg(a, ' ' ORDER BY a) AS not_in_a_rule
FROM pg_proc p, unnest(p.proargnames[1:p.pronargs]) a
WHERE p.oid = 'flagscope.create_guardrail'::regproc AND a <> ALL (_flagscope.rule_keys());
CREATE TEMP TABLE rule (name text, rule jsonb, changed jsonb);
INSERT INTO rule VALUES
    ('all', '{"metric": "errors", "comparison": "control", "test": "sequential", "margin": 0.3, "action": "hold",
        "on_state": {"stale": "hold"}, "priority": 3, "weight": 2, "min_sample": 7, "grace": "00:03:00",
        "stale_after": "00:04:00", "time_window": "00:05:00", "description": "x", "design_effect": 2,
        "scope": "flag", "advance_when": "safe", "safe_margin": 0.4, "detectable": 3}',
        '{"margin": 0.2, "action": "warn", "on_state": {}, "priority": 4, "weight": 3, "min_sample": 8,
        "grace": "00:05:00", "stale_after": "00:06:00", "time_window": "00:07:00", "description": "y",
        "design_effect": 3, "safe_margin": 0.1, "detectable": 4}'),
    ('absolutely', '{"metric": "errors", "margin_absolute": 0.01, "shadow": true}', '{"margin_absolute": 0.02,
        "shadow": false}'),
    ('limit', '{"metric": "depth", "limit_value": 5, "test": "threshold", "breaches": 2, "of_looks": 3}',
        '{"limit_value": 6, "breaches": 3, "of_looks": 4}'),
    ('beta', '{"metric": "errors", "limit_value": 0.1, "variants": ["on"]}', '{"variants": ["off"]}'),
    ('pool', '{"metric": "depth", "limit_value": 5, "scope": "environment"}', '{"scope": "flag"}'),
    ('slow', '{"metric": "time", "quantile": 0.9}', '{"quantile": 0.5}');
SELECT flagscope.create_metric('time', 'quantile', 'span') AS made;
SELECT count(flagscope.create_policy(name, rule, tag => 'everything')) AS policies FROM rule;
SELECT flagscope.create_flag('rich', tags => '{everything}') AS made;
SELECT pg_temp.rollout('rich') > 0 AS started;
CREATE VIEW pg_temp.differs AS
SELECT r.name, k.key, to_jsonb(g) -> k.key AS has
FROM rule r JOIN flagscope.guardrail g ON g.name = r.name AND g.flag = 'rich', jsonb_each(r.rule) k
WHERE k.value <> to_jsonb(g) -> k.key;
SELECT count(*) AS guardrails, (SELECT count(*) FROM pg_temp.differs) AS differences
FROM flagscope.guardrail g WHERE g.flag = 'rich' AND g.name IN (SELECT name FROM rule);
UPDATE rule SET rule = rule || changed;
UPDATE flagscope.guardrail_policy p SET rule = r.rule FROM rule r WHERE r.name = p.name;
SELECT count(*) AS differ FROM pg_temp.differs;
SELECT flagscope.rollback_rollout((SELECT max(id) FROM flagscope.rollout)) > 0 AS over;
SELECT pg_temp.rollout('rich') > 0 AS started;
SELECT * FROM pg_temp.differs;

-- By user: the policy makes the metric, as create_guardrail() does; backtests take it, too.
SELECT flagscope.create_policy('by user', '{"metric": "errors", "per_unit": "yes"}');
SELECT flagscope.create_policy('by user', '{"metric": "time", "per_unit": true}');
SELECT flagscope.create_policy('by user', '{"metric": "errors", "per_unit": true}', tag => 'people') > 0 AS made;
SELECT name, per_unit, conversion_window FROM flagscope.metric_definition WHERE per_unit;
SELECT flagscope.create_flag('users', tags => '{people}') AS made;
SELECT pg_temp.rollout('users') > 0 AS started;
SELECT name, metric, test, policy_id IS NOT NULL AS by_policy FROM flagscope.guardrail
WHERE flag = 'users' AND name = 'by user';
SELECT count(*) AS strata FROM flagscope.backtest('users', '{"metric": "errors", "per_unit": true}');
SELECT flagscope.backtest('users', '{"metric": "depth", "per_unit": true}');
UPDATE flagscope.guardrail_policy SET rule = rule || '{"per_unit": false}' WHERE name = 'by user';
SELECT flagscope.rollback_rollout((SELECT max(id) FROM flagscope.rollout)) > 0 AS over;
SELECT pg_temp.rollout('users') > 0 AS started;
SELECT name, metric FROM flagscope.guardrail WHERE flag = 'users' AND name = 'by user';
