-- What steers a ramp besides verdicts: edit lock, freezes, exclusion groups, rests, a day's limit, the watch, restarts.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
UPDATE flagscope.setting SET value = '0' WHERE name = 'guardrail.detectable';  -- stages end by their times
\set SHOW_CONTEXT never
SET flagscope.actor = 'ann';
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{}', '{"is_error": true}');
-- n spans of a variant, some of them errors.
CREATE FUNCTION pg_temp.spans(flag text, variant text, at timestamptz, n integer, errors integer) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, flags, is_error)
    SELECT at, 'span', 'x', jsonb_build_object(flag, variant), i <= errors FROM generate_series(1, n) i;
$$;
CREATE VIEW pg_temp.stand AS
SELECT r.flag, r.id, r.status, r.stage, s.percent, s.default_variant AS "default", r.follow_up_until,
    coalesce(r.problem, '') AS problem
FROM flagscope.rollout r JOIN flagscope.flag_state s USING (flag, environment);

-- The edit lock. A draft is free; of a running rollout nothing can be edited,
-- of one that was stopped the stages to come.
SELECT flagscope.create_flag('lock');
SELECT flagscope.create_rollout('lock', stages => ARRAY[10, 50, 100], approval => true) AS id \gset
UPDATE flagscope.rollout_stage SET percent = 20 WHERE rollout_id = :id AND ordinal = 1;
INSERT INTO flagscope.rollout_stage (rollout_id, ordinal, percent, min_duration) VALUES (:id, 5, 99, '1 h');
SELECT flagscope.start_rollout(:id, override => true, reason => 'unguarded');
UPDATE flagscope.rollout_stage SET ordinal = 4, percent = 99 WHERE rollout_id = :id AND ordinal = 5;
SELECT flagscope.start_rollout(:id, override => true, reason => 'unguarded');
UPDATE flagscope.rollout_stage SET ordinal = ordinal + 10 WHERE rollout_id = :id AND ordinal >= 3;
UPDATE flagscope.rollout_stage SET ordinal = 17 - ordinal WHERE rollout_id = :id AND ordinal > 10;
SELECT ordinal, percent FROM flagscope.rollout_stage WHERE rollout_id = :id ORDER BY 1;
SELECT flagscope.start_rollout(:id, at => '2040-01-02 12:00', override => true, reason => 'unguarded') > 0 AS started;
UPDATE flagscope.rollout_stage SET percent = 30 WHERE rollout_id = :id AND ordinal = 1;
UPDATE flagscope.rollout_stage SET min_duration = '0' WHERE rollout_id = :id AND ordinal = 3;
DELETE FROM flagscope.rollout_stage WHERE rollout_id = :id AND ordinal = 4;
INSERT INTO flagscope.rollout_stage (rollout_id, ordinal, percent, min_duration) VALUES (:id, 5, 99, '1 h');
SELECT flagscope.approve_stage(:id, at => '2040-01-02 12:01') > 0 AS approved;
SELECT flagscope.pause_rollout(:id, at => '2040-01-02 12:02') > 0 AS paused;
UPDATE flagscope.rollout_stage SET percent = 30 WHERE rollout_id = :id AND ordinal = 1;
UPDATE flagscope.rollout_stage SET percent = 15 WHERE rollout_id = :id AND ordinal = 2;
SELECT flagscope.resume_rollout(:id);
UPDATE flagscope.rollout_stage SET percent = 40 WHERE rollout_id = :id AND ordinal = 2;
SELECT flagscope.resume_rollout(:id, at => '2040-01-02 12:03') > 0 AS resumed;
SELECT flagscope.rollback_rollout(:id, at => '2040-01-02 12:04') > 0 AS rolled_back;
UPDATE flagscope.rollout_stage SET percent = 40 WHERE rollout_id = :id AND ordinal = 3;
SELECT action, at, actor, recorded_at > at - interval '100 years' AS recorded FROM flagscope.decision ORDER BY id;
SELECT flagscope.start_rollout(:id, at => 'infinity');

-- Freezes: on Friday afternoons in Berlin nothing is widened, and at the end of the year nothing with a tag.
-- 2040-01-06 is a Friday.
SELECT flagscope.create_change_freeze('nobody is there on Friday afternoons', weekdays => '{5}', from_time => '14:00',
    time_zone => 'Europe/Berlin') AS id;
\set VERBOSITY terse
SELECT flagscope.create_change_freeze('x', weekdays => '{8}');
SELECT flagscope.create_change_freeze('x', weekdays => '{1}', since => '2040-01-01', until => '2040-01-02');
SELECT flagscope.create_change_freeze('x', weekdays => '{1}', time_zone => 'Europe/Atlantis');
SELECT flagscope.create_change_freeze('x', since => '2026-12-24', until => '2026-12-24');
\set VERBOSITY default
SELECT flagscope.create_change_freeze('the books are closed', since => '2039-12-24', until => '2040-01-02',
    tag => 'money') AS id;
SELECT flagscope.create_flag('cold', tags => '{money}');
SELECT flagscope.create_rollout('cold', stages => ARRAY[10, 20, 50, 100], min_duration => '1 min',
    follow_up => '1 h') AS id \gset
SELECT at, _flagscope.frozen('cold', 'production', at) AS cold, _flagscope.frozen('lock', 'production', at) AS lock
FROM unnest('{2039-12-31 12:00+00,2040-01-02 00:00+00,2040-01-06 12:59:59+00,2040-01-06 13:00+00,2040-01-06 '
    '22:59:59+00,2040-01-06 23:00+00,2040-07-06 12:00+00}'::timestamptz[]) at;
SELECT flagscope.start_rollout(:id, at => '2039-12-31 12:00');
SELECT flagscope.start_rollout(:id, at => '2039-12-31 12:00', override => true);
SELECT flagscope.start_rollout(:id, reason => 'the board wants it', at => '2040-01-06 12:30+00',
    override => true) > 0 AS not_frozen_then;
SELECT decisions FROM flagscope.tick('2040-01-06 12:32+00');
-- The ramp waits while it is frozen; a person may override it with a reason; narrowing is always possible.
SELECT decisions FROM flagscope.tick('2040-01-06 13:00+00');
SELECT flagscope.ramp_gate(:id, '2040-01-06 13:00+00');
SELECT flagscope.advance_rollout(:id, at => '2040-01-06 13:01+00');
SELECT flagscope.advance_rollout(:id, reason => 'it mends the shop', at => '2040-01-06 13:01+00',
    override => true) > 0 AS overridden;
SELECT flagscope.complete_rollout(:id, at => '2040-01-06 13:02+00');
SELECT flagscope.step_back_rollout(:id, at => '2040-01-06 13:02+00') > 0 AS back;
SELECT flagscope.resume_rollout(:id, at => '2040-01-06 13:03+00');
SELECT action, to_percent, reason, evidence FROM flagscope.decision WHERE rollout_id = :id ORDER BY id;
DELETE FROM flagscope.change_freeze;

-- Exclusion groups: one at a time in an environment; a paused one still excludes, a rolled back one no longer.
SELECT flagscope.create_environment('staging');
SELECT flagscope.create_flag('cart'), flagscope.create_flag('pay');
SELECT flagscope.create_rollout('cart', exclusion_group => 'checkout') AS cart,
    flagscope.create_rollout('pay', exclusion_group => 'checkout') AS pay,
    flagscope.create_rollout('pay', exclusion_group => 'checkout', environment => 'staging') AS elsewhere \gset
SELECT flagscope.start_rollout(:cart, override => true, reason => 'unguarded') > 0 AS cart,
    flagscope.start_rollout(:elsewhere, override => true, reason => 'unguarded') > 0 AS elsewhere;
SELECT flagscope.start_rollout(:pay, override => true, reason => 'unguarded');
SELECT flagscope.pause_rollout(:cart) > 0 AS paused;
SELECT flagscope.start_rollout(:pay, override => true, reason => 'unguarded');
SELECT flagscope.rollback_rollout(:cart) > 0 AS over;
SELECT flagscope.start_rollout(:pay, override => true, reason => 'unguarded') > 0 AS pay;
UPDATE flagscope.rollout SET exclusion_group = NULL WHERE id = :pay;
UPDATE flagscope.rollout SET status = 'rolled_back' WHERE flag IN ('cart', 'pay') AND status = 'running';

-- A ramp held by a threshold rests for its cooldown, then goes on by itself.
SELECT flagscope.create_flag('rest');
SELECT flagscope.create_guardrail('rest', 'errors', limit_value => 0.1, test => 'threshold', action => 'hold',
    min_sample => 10) AS rule \gset
SELECT flagscope.create_rollout('rest', stages => ARRAY[50, 100], min_duration => '1 h',
    cooldown => '30 min') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-02-01 12:00', override => true, reason => 'unguarded') > 0 AS started;
SELECT pg_temp.spans('rest', 'on', '2040-02-01 12:01', 50, 25), pg_temp.spans('rest', 'off', '2040-02-01 12:01', 50, 0);
SELECT decisions FROM flagscope.tick('2040-02-01 12:01');
SELECT decisions FROM flagscope.tick('2040-02-01 12:30:59');
SELECT status FROM pg_temp.stand WHERE id = :id;
SELECT decisions FROM flagscope.tick('2040-02-01 12:31');
SELECT action, actor, from_status, to_status, reason
FROM flagscope.decision WHERE rollout_id = :id AND actor = 'flagscope' ORDER BY id;
SELECT s.state, s.reason, s.evidence, s.alpha, r.alpha_left
FROM flagscope.guardrail_status s JOIN flagscope.rollout r ON r.id = s.rollout_id WHERE r.id = :id;
-- Held by a person it waits for one.
SELECT flagscope.step_back_rollout(:id, at => '2040-02-01 12:32') > 0 AS held;
SELECT decisions FROM flagscope.tick('2040-02-01 18:00');
SELECT status FROM pg_temp.stand WHERE id = :id;

-- A day's limit: after so many automatic changes nothing is widened; what narrows is still done.
SELECT flagscope.set_setting('rollout.max_automatic', '2');
SELECT flagscope.create_flag('limit');
SELECT flagscope.create_guardrail('limit', 'errors', min_sample => 0,
    on_state => '{"no_data": "ignore", "not_enough": "ignore", "stale": "ignore"}') > 0 AS made;
SELECT flagscope.create_rollout('limit', stages => ARRAY[10, 20, 30, 40, 100], min_duration => '1 min') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-02-01 12:00', override => true, reason => 'unguarded') > 0 AS started;
SELECT m, (flagscope.tick('2040-02-01 12:00'::timestamptz + m * interval '1 min')).decisions
FROM generate_series(1, 4) m;
SELECT flagscope.ramp_gate(:id, '2040-02-01 12:04');
SELECT pg_temp.spans('limit', 'on', '2040-02-01 12:05', 50, 25),
    pg_temp.spans('limit', 'off', '2040-02-01 12:05', 50, 0);
SELECT decisions FROM flagscope.tick('2040-02-01 12:05');
SELECT action, to_percent FROM flagscope.decision WHERE rollout_id = :id ORDER BY id;
SELECT flagscope.set_setting('rollout.max_automatic', '20');

-- A restart is another rollout like the one that was rolled back; after an automatic rollback it waits a while.
SELECT flagscope.restart_rollout(:id, at => '2040-02-01 12:14:59');
SELECT flagscope.restart_rollout(:id, at => '2040-02-01 12:15') AS again \gset
SELECT flagscope.restart_rollout(:id, at => '2040-02-01 12:16');
SELECT flagscope.restart_rollout(:again, at => '2040-02-01 12:16');
SELECT flagscope.restart_rollout(99);
SELECT r.restart_of = :id AS restart, r.status, r.stage, s.percent, s.reason,
    (SELECT array_agg(percent ORDER BY ordinal) FROM flagscope.rollout_stage WHERE rollout_id = r.id) AS stages,
    (SELECT alpha FROM flagscope.guardrail_status WHERE rollout_id = r.id) AS alpha
FROM flagscope.rollout r JOIN flagscope.flag_state s USING (flag, environment) WHERE r.id = :again;

-- The watch: after completion limits and baselines stay on watch, and may still roll back;
-- against control there is nobody.
SELECT flagscope.create_flag('after');
SELECT flagscope.create_guardrail('after', 'errors', name => 'against control'),
    flagscope.create_guardrail('after', 'errors', name => 'limit', limit_value => 0.05, min_sample => 10),
    flagscope.create_guardrail('after', 'errors', name => 'told', limit_value => 0.05, action => 'hold', weight => 3);
SELECT flagscope.create_rollout('after', stages => ARRAY[50, 100], follow_up => '10 min') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-03-01 12:00', override => true, reason => 'unguarded') > 0 AS started;
SELECT flagscope.complete_rollout(:id, at => '2040-03-01 12:10') > 0 AS completed;
SELECT status, "default", follow_up_until FROM pg_temp.stand WHERE id = :id;
SELECT pg_temp.spans('after', 'on', '2040-03-01 12:15', 100, 3);
SELECT decisions FROM flagscope.tick('2040-03-01 12:15');
SELECT g.name, s.state, s.reason, e.percent
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
    LEFT JOIN flagscope.evaluation e USING (evidence_id)
WHERE s.rollout_id = :id ORDER BY g.id;
SELECT pg_temp.spans('after', 'on', '2040-03-01 12:16', 100, 50);
SELECT decisions FROM flagscope.tick('2040-03-01 12:16');
SELECT action, rule ->> 'name' AS guardrail, from_status, to_status, from_percent, to_percent
FROM flagscope.decision WHERE rollout_id = :id AND guardrail_id IS NOT NULL ORDER BY id;
SELECT status, "default", follow_up_until FROM pg_temp.stand WHERE id = :id;
-- Over after its time, and when another rollout starts.
SELECT flagscope.create_rollout('after', stages => ARRAY[50, 100], follow_up => '10 min') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-03-01 13:00', override => true, reason => 'unguarded') > 0 AS started,
    flagscope.complete_rollout(:id, at => '2040-03-01 13:01') > 0 AS completed;
SELECT pg_temp.spans('after', 'on', '2040-03-01 13:11', 100, 90);
SELECT decisions FROM flagscope.tick('2040-03-01 13:11');
SELECT flagscope.create_rollout('after', treatment => 'off', control => 'on') AS next \gset
SELECT flagscope.start_rollout(:next, at => '2040-03-01 13:05', override => true, reason => 'unguarded') > 0 AS started;
SELECT id = :id AS former, status, follow_up_until FROM pg_temp.stand WHERE flag = 'after' ORDER BY stand.id;

-- Whoever says which stage he means is not taken for somebody who means the next one; nobody acts in flagscope's name.
SELECT flagscope.create_flag('twice');
SELECT flagscope.create_rollout('twice', stages => '{10, 50, 100}', min_duration => '1 min',
    approval => true) AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-04-01 12:00', override => true, reason => 'unguarded') > 0 AS started;
SELECT flagscope.advance_rollout(:id, at => '2040-04-01 12:01', stage => 1) > 0 AS advanced;
SELECT flagscope.advance_rollout(:id, at => '2040-04-01 12:01', stage => 1);
SELECT flagscope.approve_stage(:id, at => '2040-04-01 12:01', stage => 1);
SELECT flagscope.step_back_rollout(:id, at => '2040-04-01 12:01', stage => 3);
SELECT flagscope.approve_stage(:id, at => '2040-04-01 12:01', stage => 2) > 0 AS approved;
SELECT flagscope.pause_rollout(:id, actor => 'flagscope');
SELECT stage, percent FROM pg_temp.stand WHERE id = :id;
-- A flag that is disabled goes no further by itself, though every other gate is clear.
SELECT flagscope.disable_flag('twice') > 0 AS disabled;
SELECT flagscope.tick('2040-04-01 12:03') IS NOT NULL AS ticked;
SELECT flagscope.ramp_gate(:id, '2040-04-01 12:03');
SELECT stage, percent FROM pg_temp.stand WHERE id = :id;
SELECT flagscope.enable_flag('twice') > 0 AS enabled;
SELECT flagscope.tick('2040-04-01 12:03:01') IS NOT NULL AS ticked;
SELECT stage, percent FROM pg_temp.stand WHERE id = :id;

-- What somebody chose after completion is not taken back by the watch.
SELECT flagscope.create_flag('chosen', '{"off": false, "on": true, "safe": false}');
SELECT flagscope.create_guardrail('chosen', 'errors', name => 'limit', limit_value => 0.05,
    min_sample => 10) > 0 AS made;
SELECT flagscope.create_rollout('chosen', stages => '{100}', follow_up => '1 hour') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-04-01 12:00', override => true, reason => 'unguarded') > 0 AS started,
    flagscope.complete_rollout(:id, at => '2040-04-01 12:01') > 0 AS completed;
SELECT flagscope.set_default_variant('chosen', 'safe') > 0 AS set;
SELECT pg_temp.spans('chosen', 'on', '2040-04-01 12:01:30', 200, 190);
SELECT decisions FROM flagscope.tick('2040-04-01 12:02');
SELECT g.state FROM flagscope.guardrail_status g WHERE g.rollout_id = :id;
SELECT status, "default" FROM pg_temp.stand WHERE id = :id;

-- The watch against a baseline: worse after completion than the flag was before the rollout.
SELECT flagscope.create_flag('before');
SELECT flagscope.create_guardrail('before', 'errors', name => 'as before', comparison => 'baseline',
    min_sample => 50) > 0 AS made;
SELECT pg_temp.spans('before', 'off', '2040-05-01 11:50', 1000, 20);
SELECT flagscope.tick('2040-05-01 11:50:01') IS NOT NULL AS ticked;
SELECT flagscope.create_rollout('before', stages => '{50, 100}', follow_up => '1 hour') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-05-01 12:00', override => true, reason => 'unguarded') > 0 AS started,
    flagscope.complete_rollout(:id, at => '2040-05-01 12:10') > 0 AS completed;
SELECT pg_temp.spans('before', 'on', '2040-05-01 12:15', 200, 4);
SELECT decisions FROM flagscope.tick('2040-05-01 12:15:01');
SELECT pg_temp.spans('before', 'on', '2040-05-01 12:16', 200, 40);
SELECT decisions FROM flagscope.tick('2040-05-01 12:16:01');
SELECT d.action, d.from_status, d.to_status, d.from_percent, d.to_percent,
    (d.evidence ->> 'limit_value')::float8 BETWEEN 0.025 AND 0.06 AS limit_near_the_past
FROM flagscope.decision d WHERE d.rollout_id = :id AND d.guardrail_id IS NOT NULL;
SELECT status, "default" FROM pg_temp.stand WHERE id = :id;

-- A stage that waits for approval, a freeze, a spent day's limit: none of them delays a rollback.
SELECT flagscope.set_setting('rollout.max_automatic', '1');
SELECT flagscope.create_flag('waits');
SELECT flagscope.create_guardrail('waits', 'errors', min_sample => 10) > 0 AS made;
SELECT flagscope.create_rollout('waits', stages => '{10, 50, 100}', min_duration => '1 min',
    approval => true) AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-05-02 12:00', override => true, reason => 'unguarded') > 0 AS started,
    flagscope.approve_stage(:id, at => '2040-05-02 12:00') > 0 AS approved;
SELECT pg_temp.spans('waits', 'on', '2040-05-02 12:00:30', 50, 1),
    pg_temp.spans('waits', 'off', '2040-05-02 12:00:30', 50, 1);
SELECT decisions FROM flagscope.tick('2040-05-02 12:01');
SELECT pg_temp.spans('waits', 'on', '2040-05-02 12:01:30', 50, 1),
    pg_temp.spans('waits', 'off', '2040-05-02 12:01:30', 50, 1);
SELECT decisions FROM flagscope.tick('2040-05-02 12:02:30');
SELECT flagscope.ramp_gate(:id, '2040-05-02 12:02:30');
SELECT flagscope.create_change_freeze('nothing moves in May', since => '2040-05-01',
    until => '2040-06-01') > 0 AS frozen;
SELECT pg_temp.spans('waits', 'on', '2040-05-02 12:02:40', 50, 40),
    pg_temp.spans('waits', 'off', '2040-05-02 12:02:40', 50, 1);
SELECT decisions FROM flagscope.tick('2040-05-02 12:02:41');
SELECT at, action, from_percent, to_percent
FROM flagscope.decision WHERE rollout_id = :id AND actor = 'flagscope' ORDER BY id;
SELECT status, percent, "default" FROM pg_temp.stand WHERE id = :id;
DELETE FROM flagscope.change_freeze;
SELECT flagscope.set_setting('rollout.max_automatic', '20');
