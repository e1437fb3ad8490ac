-- A rollout starts with a guardrail that sees something, and whoever starts it is told what; a holdback.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_metric('misspelt', 'proportion', 'span', '{"name": "pya"}', '{"is_error": true}');
SELECT flagscope.create_metric('basket', 'mean', 'span', '{"name": "pay"}', cap => 10);
CREATE FUNCTION pg_temp.spans(flag text, variant text, at timestamptz, n integer) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, flags, is_error, value)
    SELECT at, 'span', 'pay', jsonb_build_object(flag, variant), i % 10 = 0, i % 10 FROM generate_series(1, n) i;
$$;
CREATE FUNCTION pg_temp.begin(flag text, at timestamptz, holdback numeric DEFAULT NULL,
    follow_up interval DEFAULT '2 hours') RETURNS bigint
LANGUAGE sql AS $$
    SELECT flagscope.start_rollout(flagscope.create_rollout(flag, stages => '{10, 50, 100}', min_duration => '1 hour',
        holdback => holdback, follow_up => follow_up), at => at);
$$;

-- None, a disabled one, a shadow: refused. A person may insist, with a reason.
SELECT flagscope.create_flag(f) FROM unnest('{bare,shop,held,misspelt,new}'::text[]) f;
SELECT flagscope.create_rollout('bare') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-02 12:00');
SELECT flagscope.create_guardrail('bare', 'errors') AS guardrail \gset
UPDATE flagscope.guardrail SET enabled = false WHERE id = :guardrail;
SELECT flagscope.start_rollout(:id, at => '2040-01-02 12:00');
UPDATE flagscope.guardrail SET enabled = true, shadow = true WHERE id = :guardrail;
SELECT flagscope.start_rollout(:id, at => '2040-01-02 12:00');
SELECT flagscope.start_rollout(:id, at => '2040-01-02 12:00', override => true);
SELECT flagscope.start_rollout(:id, at => '2040-01-02 12:00', override => true,
    reason => 'a text only') AS decision \gset
SELECT reason, evidence FROM flagscope.decision WHERE id = :decision;
SELECT flagscope.rollback_rollout(:id) > 0 AS over;
-- One that warns tells a person: it counts. So does one of a policy.
UPDATE flagscope.guardrail SET shadow = false, action = 'warn' WHERE id = :guardrail;
SELECT pg_temp.begin('bare', '2040-01-02 12:00') > 0 AS started;
SELECT flagscope.rollback_rollout(r.id) > 0 AS over FROM flagscope.rollout r WHERE r.status = 'running';
DELETE FROM flagscope.guardrail;
SELECT flagscope.create_policy('errors', '{"metric": "errors"}', tag => 'web') > 0 AS made;
UPDATE flagscope.flag_definition SET tags = '{web}' WHERE key = 'bare';
SELECT pg_temp.begin('bare', '2040-01-02 12:00') > 0 AS started;
SELECT flagscope.rollback_rollout(r.id) > 0 AS over FROM flagscope.rollout r WHERE r.status = 'running';

-- A metric that matches none of the rows that there are is no guardrail; in a database without rows nothing is known.
SELECT flagscope.create_guardrail('misspelt', 'misspelt'), flagscope.create_guardrail('new', 'misspelt');
SELECT problems FROM flagscope.maintain('2040-01-02 12:00');
SELECT problems FROM flagscope.maintain('2040-01-02 12:00');
SELECT count(*) FILTER (WHERE since IS NOT NULL) AS complete FROM _flagscope.watch WHERE metric = 'misspelt';
SELECT pg_temp.begin('misspelt', '2040-01-02 12:00') > 0 AS started;
SELECT flagscope.rollback_rollout(r.id) > 0 AS over FROM flagscope.rollout r WHERE r.status = 'running';
SELECT pg_temp.spans('misspelt', 'off', '2040-01-02 11:55', 20);
SELECT pg_temp.begin('misspelt', '2040-01-02 12:00');
SELECT pg_temp.begin('new', '2040-01-02 12:00') > 0 AS started;
-- Rows of a day before are none; beside another guardrail that sees something it is only told.
SELECT pg_temp.begin('misspelt', '2040-01-03 12:00') > 0 AS started;
SELECT flagscope.rollback_rollout(r.id) > 0 AS over FROM flagscope.rollout r WHERE r.status = 'running';
SELECT flagscope.create_guardrail('misspelt', 'errors') > 0 AS made;
SELECT problems FROM flagscope.maintain('2040-01-02 12:00');
SELECT problems FROM flagscope.maintain('2040-01-02 12:00');
SET client_min_messages = notice;
SELECT pg_temp.begin('misspelt', '2040-01-02 12:00') > 0 AS started;
SET client_min_messages = warning;
-- An event that no row ever is: told from min_sample rows on; from 10,000 on it is no guardrail, except if another
-- one sees something.
SELECT flagscope.create_flag('typo');
SELECT flagscope.create_metric('never', 'proportion', 'span', '{"name": "pay"}', '{"name": "pya"}');
SELECT flagscope.create_guardrail('typo', 'never') > 0 AS made;
SELECT problems FROM flagscope.maintain('2040-01-02 12:00');
SELECT problems FROM flagscope.maintain('2040-01-02 12:00');
SELECT pg_temp.spans('typo', 'off', '2040-01-02 11:54', 9999);
SET client_min_messages = notice;
SELECT pg_temp.begin('typo', '2040-01-02 12:00') > 0 AS started;
SET client_min_messages = warning;
SELECT flagscope.rollback_rollout(r.id) > 0 AS over FROM flagscope.rollout r WHERE r.flag = 'typo';
SELECT pg_temp.spans('typo', 'off', '2040-01-02 11:56', 1);
SELECT pg_temp.begin('typo', '2040-01-02 12:00');
SELECT flagscope.create_guardrail('typo', 'errors') > 0 AS made;
SELECT pg_temp.begin('typo', '2040-01-02 12:00') > 0 AS started;
SET client_min_messages = notice;

-- What each can see: against the control, a limit, the past; a mean has no test at 100 %.
SELECT flagscope.create_guardrail('shop', 'errors'), flagscope.create_guardrail('shop', 'basket'),
    flagscope.create_guardrail('shop', 'errors', name => 'at most', limit_value => 0.5, action => 'warn'),
    flagscope.create_guardrail('shop', 'errors', name => 'before', comparison => 'baseline', shadow => true),
    flagscope.create_guardrail('shop', 'errors', name => 'unusual', test => 'anomaly');
SELECT pg_temp.begin('shop', '2040-01-02 12:00') > 0 AS started;
SET client_min_messages = warning;

-- A holdback: 5 % keep the control in the last stage and through the follow-up, and are compared with.
SELECT flagscope.create_guardrail('held', 'errors') > 0 AS made;
SELECT pg_temp.begin('held', '2040-01-02 12:00', 60);
SELECT pg_temp.begin('held', '2040-01-02 12:00', 0);
SELECT pg_temp.begin('held', '2040-01-02 12:00', 5, '0');
SELECT _flagscope.with_holdback(s, 5)
FROM (VALUES ('{10,50,100}'::numeric[]), ('{10,95}'), ('{10,50}'), ('{100}')) x(s);
SET client_min_messages = notice;
SELECT pg_temp.begin('held', '2040-01-02 12:00', 5) > 0 AS started;
SET client_min_messages = warning;
SELECT r.id FROM flagscope.rollout r WHERE r.flag = 'held' \gset
SELECT ordinal, percent, min_duration FROM flagscope.rollout_stage WHERE rollout_id = :id ORDER BY 1;
CREATE FUNCTION pg_temp.traffic(began timestamptz, ended timestamptz)
RETURNS TABLE (decided timestamptz, served numeric)
LANGUAGE plpgsql AS $$
DECLARE
    at timestamptz;
BEGIN
    FOR at IN SELECT generate_series(began, ended, interval '5 minutes') LOOP
        PERFORM pg_temp.spans('held', 'on', at, 200), pg_temp.spans('held', 'off', at, 200), flagscope.tick(at);
    END LOOP;
    RETURN QUERY SELECT d.at, d.to_percent FROM flagscope.decision d WHERE d.flag = 'held' AND d.at >= began
    ORDER BY d.id;
END $$;
SELECT * FROM pg_temp.traffic('2040-01-02 12:05', '2040-01-02 14:30');
SELECT x FROM flagscope.rollout_report(:id, '2040-01-02 14:30') x WHERE x ~ 'holdback|compared|against the control at';
SELECT jsonb_path_query(flagscope.export_flagd(), '$.flags.held.targeting.**.fractional') AS exported;
-- Paused and resumed, its time begins again.
SELECT flagscope.pause_rollout(:id, at => '2040-01-02 14:31') > 0 AS paused;
SELECT flagscope.resume_rollout(:id, at => '2040-01-02 14:40') > 0 AS resumed;
SELECT * FROM pg_temp.traffic('2040-01-02 14:45', '2040-01-02 18:35');
SELECT state, carries_on FROM flagscope.guardrail_status WHERE rollout_id = :id;
SELECT * FROM pg_temp.traffic('2040-01-02 18:40', '2040-01-02 18:50');
SELECT r.status, r.follow_up_until, s.default_variant, s.percent FROM flagscope.rollout r
    JOIN flagscope.flag_state s USING (flag, environment) WHERE r.id = :id;
-- Completed by a person before its time it is followed up like any other; a restart has the same holdback.
SELECT flagscope.rollback_rollout(:id, at => '2040-01-02 19:00') > 0 AS over;
SELECT flagscope.restart_rollout(:id, at => '2040-01-02 19:00') AS id \gset
SELECT holdback FROM flagscope.rollout WHERE id = :id;
SELECT flagscope.complete_rollout(:id, at => '2040-01-02 19:10') > 0 AS completed;
SELECT follow_up_until FROM flagscope.rollout WHERE id = :id;
SELECT flagscope.rollback_rollout(:id, at => '2040-01-02 19:20') > 0 AS over;
-- A plan by rows leaves the holdback, too.
SELECT flagscope.create_rollout('held', holdback => 5, stages => '{50, 100}') AS id \gset
UPDATE flagscope.rollout_stage SET percent = 100 WHERE rollout_id = :id AND ordinal = 2;
SELECT flagscope.start_rollout(:id, at => '2040-01-02 19:30');
