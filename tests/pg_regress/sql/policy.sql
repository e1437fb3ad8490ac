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
