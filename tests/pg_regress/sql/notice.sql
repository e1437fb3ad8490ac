-- Notifications in words: each row of outbox has an event, a severity, a sentence and a link beside its fields.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
UPDATE flagscope.setting SET value = '0' WHERE name = 'guardrail.detectable';  -- stages end by their times
\set SHOW_CONTEXT never
SELECT flagscope.set_setting('tick.budget', '"1 hour"');
-- An address or nothing; {rollout} stands for the number.
SELECT flagscope.set_setting('message.link', '"flags.example.org"');
SELECT flagscope.set_setting('message.link', '5');
SELECT flagscope.set_setting('message.link', '"https://flags.example.org/rollouts/{rollout}"');
SELECT flagscope.create_flag('shop'), flagscope.create_flag('a "flag"');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_guardrail('shop', 'errors', min_sample => 1),
    flagscope.create_guardrail('shop', 'errors', name => 'tried out', min_sample => 1, action => 'disable',
        shadow => true);
CREATE VIEW pg_temp.told AS
SELECT id, kind, payload ->> 'event' AS event, payload ->> 'severity' AS severity, payload ->> 'sentence' AS sentence,
    payload ->> 'link' AS link FROM flagscope.outbox;

-- A whole rollout: started, an approval awaited once, approved, advanced, paused, resumed, rolled back with a shadow
-- rule beside it.
SELECT flagscope.create_rollout('shop', stages => '{10,50,100}', min_duration => '10 s', approval_stages => '{1}')
    AS shop \gset
SELECT flagscope.start_rollout(:shop, at => '2040-01-02 12:00', actor => 'ann', reason => 'new payment',
    override => true) > 0 AS done;
CREATE PROCEDURE pg_temp.pay(at timestamptz, bad integer) LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, flags, is_error, subject)
    SELECT at - i * interval '10 ms', 'span', 'pay',
        CASE WHEN i % 2 = 0 THEN '{"shop": "on"}' ELSE '{"shop": "off"}' END::jsonb, i % 2 = 0 AND i <= bad, 'u' || i
    FROM generate_series(1, 400) i;
$$;
CALL pg_temp.pay('2040-01-02 12:00:05', 0);
SELECT (flagscope.tick('2040-01-02 12:00:05')).decisions;
CALL pg_temp.pay('2040-01-02 12:00:10', 0);
SELECT (flagscope.tick('2040-01-02 12:00:12')).decisions;
SELECT (flagscope.tick('2040-01-02 12:00:16')).decisions;
SELECT kind, payload ->> 'state' AS state, payload ->> 'reason' AS reason
FROM flagscope.outbox WHERE kind = 'approval';
SELECT flagscope.approve_stage(:shop, at => '2040-01-02 12:00:17', actor => 'bob', reason => 'seen') > 0 AS done;
SELECT (flagscope.tick('2040-01-02 12:00:18')).decisions;
SELECT flagscope.pause_rollout(:shop, at => '2040-01-02 12:00:19', actor => 'bob', reason => 'lunch') > 0 AS done;
SELECT flagscope.resume_rollout(:shop, at => '2040-01-02 12:00:20', actor => 'bob') > 0 AS done;
CALL pg_temp.pay('2040-01-02 12:00:25', 200);
SELECT (flagscope.tick('2040-01-02 12:00:25')).decisions;
SELECT event, severity, regexp_replace(sentence, '(with the treatment).*', '\1 ...') AS sentence, link
FROM told ORDER BY id;
-- Stepped back to a stage, it waits for an approval again, and that is told again.
SELECT flagscope.create_rollout('a "flag"', stages => '{10,100}', min_duration => '0', approval => true) AS other \gset
SELECT flagscope.start_rollout(:other, at => '2040-01-02 13:00', actor => 'ann',
    override => true, reason => 'unguarded') > 0 AS done;
SELECT (flagscope.tick('2040-01-02 13:00:01')).decisions, (flagscope.tick('2040-01-02 13:00:02')).decisions;
SELECT flagscope.approve_stage(:other, at => '2040-01-02 13:00:13', actor => 'bob') > 0 AS done;
SELECT (flagscope.tick('2040-01-02 13:00:14')).decisions, (flagscope.tick('2040-01-02 13:00:25')).decisions;
SELECT flagscope.step_back_rollout(:other, at => '2040-01-02 13:00:26', actor => 'bob') > 0 AS done;
SELECT flagscope.resume_rollout(:other, at => '2040-01-02 13:00:27', actor => 'bob') > 0 AS done;
SELECT (flagscope.tick('2040-01-02 13:00:38')).decisions;
SELECT flagscope.complete_rollout(:other, at => '2040-01-02 13:00:39', actor => 'bob', reason => 'done') > 0 AS done;
SELECT event, severity, sentence FROM told WHERE link LIKE format('%%/%s', :other) ORDER BY id;
-- What is not to be told: a freeze or a guardrail stands before the approval.
SELECT flagscope.create_rollout('a "flag"', treatment => 'off', control => 'on', stages => '{10,100}',
    min_duration => '0', approval => true) AS third \gset
SELECT flagscope.create_guardrail('a "flag"', 'errors') > 0 AS watched;
SELECT flagscope.start_rollout(:third, at => '2040-01-02 14:00', actor => 'ann',
    override => true, reason => 'unguarded') > 0 AS done;
SELECT (flagscope.tick('2040-01-02 14:00:01')).decisions;
SELECT count(*) FROM told WHERE event = 'approval_awaited' AND link LIKE format('%%/%s', :third);
-- Silence, the judging itself, and why; without a setting there is no link.
SELECT flagscope.set_setting('message.link', '""');
SELECT _flagscope.decide(:third, 'warn', 'flagscope', 'traffic: last exposure to the treatment at 14:00:00 UTC',
    '2040-01-02 14:20', NULL, false, '{"state": "stale traffic 2209039200"}') > 0 AS told;
SELECT _flagscope.tell_alert('judging', 'critical', '2040-01-02 15:00', 'NOT judging since 15:00'),
    _flagscope.tell_alert('judging', 'ok', '2040-01-02 15:00', 'it judges'),
    _flagscope.tell_alert('rollout 3', 'critical', '2040-01-02 15:00', 'breached, but it is locked');
SELECT kind, event, severity, sentence, link FROM told WHERE event IN ('silent', 'health', 'health_ok') ORDER BY id;
SELECT _flagscope.why_message(d, x) - 'link' AS message
FROM flagscope.decision d, unnest('{"80 % of the harm is where country = de",NULL}'::text[]) x
WHERE d.action = 'rollback';
-- A guardrail of which an arm fell silent says so, and beside it what was done; that the treatment was taken away is
-- told first.
SELECT max(id) AS last FROM flagscope.outbox \gset
SELECT action, _flagscope.decide(:third, action, 'flagscope', 'errors: no data of the treatment since 14:00:00 UTC',
    '2040-01-02 14:21', NULL, shadow, '{"state": "silent"}') > 0 AS told
FROM (VALUES (1, 'hold'::flagscope.action, true), (2, 'warn', false), (3, 'hold', false), (4, 'rollback', false)
    ) x(nr, action, shadow) ORDER BY nr;
SELECT payload ->> 'action' AS action, payload ->> 'shadow' AS shadow, event, severity, sentence
FROM told JOIN flagscope.outbox USING (id) WHERE id > :last ORDER BY id;
-- Every row has its words.
SELECT count(*) FILTER (WHERE event IS NULL OR severity IS NULL OR sentence IS NULL) AS without FROM told;
