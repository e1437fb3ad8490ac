-- Why an automatic rollback was made: kept once after it (the worker's explainer calls correlate_pending(), here the
-- test does), told in explain_decision() and in the outbox, and the same when computed anew.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SET timezone = 'UTC';
\getenv tests PG_ABS_SRCDIR
\set file :tests '/requests.sql'
\set ECHO none
\i :file
\set ECHO all
SELECT flagscope.create_flag('new-checkout'), flagscope.create_flag('dark-mode');
SELECT flagscope.create_metric('checkout errors', 'proportion', 'span', '{"name": "POST /checkout"}',
    '{"is_error": true}');
SELECT flagscope.create_guardrail('new-checkout', 'checkout errors') > 0 AS guardrail,
    flagscope.create_rollout('new-checkout', stages => ARRAY[50, 100]) AS rollout;
-- Nobody is in it yet.
SELECT rank, kind, finding FROM flagscope.correlate_rollout(1);
SELECT flagscope.start_rollout(1, at => '2040-01-02 11:59:59') > 0 AS started;
SELECT _flagscope.due_correlation() IS NULL AS nothing_due, _flagscope.correlate_pending() IS NULL AS nothing_done;
INSERT INTO flagscope.telemetry SELECT * FROM pg_temp.telemetry(12000, 1200, 0.3);
-- Another flag is changed meanwhile, and somebody deploys.
INSERT INTO flagscope.telemetry (ts, signal, name, service, attributes, environment)
    VALUES ('2040-01-02 11:55', 'event', 'deployment', 'prices', '{"service.version": "7.1"}', 'production');
SELECT decisions FROM flagscope.tick('2040-01-02 12:20:01');
SELECT id, action, actor, reason FROM flagscope.decision WHERE action = 'rollback';
SELECT flagscope.explain_decision(id) LIKE '%why  %' AS told_before FROM flagscope.decision WHERE action = 'rollback';
SELECT d.id = _flagscope.due_correlation() AS due, d.id = _flagscope.correlate_pending() AS done,
    _flagscope.correlate_pending() IS NULL AS once FROM flagscope.decision d WHERE action = 'rollback';
SELECT rank, kind, finding, round(100 * share::numeric) AS "%", treatment, control FROM flagscope.correlation
    ORDER BY rank;
SELECT kind, payload - 'rollout_id' AS payload FROM flagscope.outbox WHERE kind = 'correlation';
-- The end of the explanation of the decision; and the whole of the rollout's.
SELECT substring(flagscope.explain_decision(id) from 'why  .*') AS why FROM flagscope.decision
    WHERE action = 'rollback';
SELECT flagscope.explain_rollout(1);
SELECT flagscope.explain_rollout('new-checkout') = flagscope.explain_rollout(1) AS by_flag;
-- Kept, computed anew, and of the rollout: the same.
SELECT count(*) AS differences FROM (
    (SELECT * FROM flagscope.correlate_decision((SELECT id FROM flagscope.decision WHERE action = 'rollback')) EXCEPT
        SELECT * FROM flagscope.correlate_rollout(1))
    UNION ALL (SELECT x.* FROM flagscope.decision d, _flagscope.explore(_flagscope.decision_question(d)) x
        WHERE d.action = 'rollback'
        EXCEPT SELECT * FROM flagscope.correlate_rollout(1))) y;
-- What cannot be found out is told once, too.
BEGIN;
DELETE FROM flagscope.correlation;
DELETE FROM flagscope.guardrail;
DELETE FROM flagscope.metric_definition;
SELECT _flagscope.correlate_pending() > 0 AS done;
SELECT rank, kind, finding FROM flagscope.correlation;
SELECT _flagscope.correlate_pending() IS NULL AS once;
ROLLBACK;
-- A decision of a person is not looked into by itself, but on demand.
SELECT kind, finding FROM flagscope.correlate_decision((SELECT id FROM flagscope.decision WHERE action = 'start'))
    WHERE kind <> 'metric';
-- What is past its retention goes, but for the newest one.
INSERT INTO flagscope.correlation (decision_id, rank, kind, finding, computed_at)
    VALUES (0, 1, 'note', 'old', '2000-01-01');
SELECT _flagscope.forget_correlations('2040-01-03', 10) AS forgotten, count(*) > 0 AS others_stay
    FROM flagscope.correlation WHERE decision_id > 0;
