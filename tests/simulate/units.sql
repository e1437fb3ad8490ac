-- Rollouts whose rows are not independent, through real SQL with a pinned clock: telemetry with subjects goes in, ticks
-- judge with the default design effect, which is measured. psql variables: runs (rollouts of each scenario) and, if
-- set, only (a pattern of scenarios' names), open (true: what a rollout would have gone on to see after its rollback
-- is kept for its rivals in table looked) and length (ticks of a rollout, else 120).
--
-- 20 requests a second at 50 % (without any past 60), alpha 0.05 with one guardrail, ten minutes of past or none,
-- twenty minutes of rollout, a tick every ten seconds. Healthy rollouts must stay; those of independent users whose
-- errors rise three times must not.
\set QUIET on
\if :{?only}
\else
\set only .
\endif
\if :{?open}
\else
\set open false
\endif
\if :{?length}
\else
\set length 120
\endif
SET client_min_messages = warning;
SELECT setseed(0.6) \g /dev/null
SELECT flagscope.set_setting('rollout.max_automatic', '100000') \g /dev/null
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}') \g /dev/null
SELECT flagscope.create_metric('retries', 'rate', 'event', '{"name": "retry"}',
    per => '{"signal": "span", "name": "pay"}') \g /dev/null
CREATE TABLE scenario (name text PRIMARY KEY, users text, rate integer, past integer, harm float8, must text);
INSERT INTO scenario VALUES
    ('600 heavy users', 'heavy', 20, 600, 1, 'stay'),
    ('600 heavy users, without any past', 'heavy', 60, 0, 1, 'stay'),
    ('a bot with 30 % of the traffic, three times the errors', 'bot', 20, 600, 1, 'stay'),
    ('a bot, without any past', 'bot', 60, 0, 1, 'stay'),
    ('retries in clumps of three, without subjects', 'clumps', 20, 600, 1, 'stay'),
    ('retries in clumps, without any past', 'clumps', 60, 0, 1, 'stay'),
    ('2,000 users alike', 'alike', 20, 600, 1, 'stay'),
    ('2,000 users alike, three times the errors', 'alike', 20, 600, 3, 'roll back'),
    ('three times the errors, without any past', 'alike', 60, 0, 3, 'roll back');
DELETE FROM scenario WHERE name !~ :'only';
-- One rollout after the other, each in days of its own, so that a measurement reads its rows alone.
CREATE TABLE sim AS
SELECT 'u' || row_number() OVER (ORDER BY s.name, i) AS flag, s.*, 0::bigint AS rollout,
    timestamptz '2040-01-02 12:00' + row_number() OVER (ORDER BY s.name, i) * interval '2 hours' AS began
FROM scenario s, generate_series(1, :runs) i;
SELECT flagscope.create_flag(flag), flagscope.create_guardrail(flag, CASE users WHEN 'clumps' THEN 'retries'
    ELSE 'errors' END, min_sample => 0, stale_after => '1 hour') FROM sim \g /dev/null
UPDATE sim SET rollout = flagscope.create_rollout(flag, follow_up => '1 s', stages => '{50, 100}',
    min_duration => '10 days', alpha => 0.05);
CREATE TABLE person (nr integer PRIMARY KEY, upto float8, chance float8, treated boolean);
CREATE INDEX ON person (upto);
CREATE FUNCTION normal() RETURNS float8 LANGUAGE sql AS $$
    SELECT sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())
$$;
CREATE PROCEDURE people(kind text) LANGUAGE sql AS $$
    TRUNCATE person;
    INSERT INTO person
    SELECT p.nr, sum(p.activity) OVER (ORDER BY p.nr) / sum(p.activity) OVER (), p.chance, random() < 0.5
    FROM (SELECT i AS nr, CASE kind WHEN 'heavy' THEN exp(1.5 * normal()) WHEN 'bot' THEN
                CASE i WHEN 1 THEN 0.3 ELSE 0.7 / 2000 END ELSE 1 END AS activity,
            CASE kind WHEN 'heavy' THEN least(0.5, 0.01 * exp(normal() - 0.5)) WHEN 'bot' THEN
                CASE i WHEN 1 THEN 0.03 ELSE 0.01 END ELSE 0.01 END AS chance
        FROM generate_series(1, CASE kind WHEN 'heavy' THEN 600 ELSE 2001 END) i) p;
$$;
-- What each look brings of an arm: data points, their sum and that of their squares. Rivals see rows, as the metric
-- does: each of three retries is one.
CREATE TABLE IF NOT EXISTS looked (flag text, second integer, treated boolean, n bigint, total float8, squares float8);
CREATE PROCEDURE send(s sim, since integer, until integer, is_live boolean) LANGUAGE sql AS $$
    WITH request AS MATERIALIZED (
        SELECT k, s.began + k * interval '1 s' / s.rate AS ts, random() AS who, random() AS luck
        FROM generate_series(since * s.rate, until * s.rate - 1) k
    ), made AS MATERIALIZED (
        SELECT r.ts, 'user-' || p.nr AS subject, k >= 0 AND p.treated AS treated,
            r.luck < p.chance * CASE WHEN p.treated AND k >= 0 THEN s.harm ELSE 1 END AS failed
        FROM request r, LATERAL (SELECT x.* FROM person x WHERE x.upto >= r.who ORDER BY x.upto LIMIT 1) p
    ), stored AS (
        INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags, is_error)
        SELECT m.ts, (CASE WHEN x.nr = 0 THEN 'span' ELSE 'event' END)::flagscope.signal,
            CASE WHEN x.nr = 0 THEN 'pay' ELSE 'retry' END, CASE WHEN s.users <> 'clumps' THEN m.subject END,
            jsonb_build_object(s.flag, CASE WHEN m.treated THEN 'on' ELSE 'off' END), x.nr = 0 AND m.failed
        FROM made m, generate_series(0, CASE WHEN s.users = 'clumps' AND m.failed THEN 3 ELSE 0 END) x(nr)
        WHERE is_live
    )
    INSERT INTO looked
    SELECT s.flag, until, m.treated, count(*), sum(x.events), sum(x.events)
    FROM made m, LATERAL (SELECT CASE WHEN s.users = 'clumps' THEN 3 ELSE 1 END * m.failed::integer AS events) x
    WHERE since >= 0 GROUP BY m.treated;
$$;
CREATE PROCEDURE play(goes_on boolean, ticks integer) LANGUAGE plpgsql AS $$
DECLARE
    s sim;
    is_live boolean;
BEGIN
    FOR s IN SELECT * FROM sim ORDER BY began LOOP
        CALL people(s.users);
        CALL send(s, -s.past, 0, true);
        PERFORM flagscope.start_rollout(s.rollout, at => s.began);
        COMMIT;
        is_live := true;
        FOR t IN 1 .. ticks LOOP
            CALL send(s, 10 * t - 10, 10 * t, is_live);
            COMMIT;
            CONTINUE WHEN NOT is_live;
            PERFORM flagscope.tick(s.began + t * interval '10 s');
            COMMIT;
            is_live := (SELECT r.status = 'running' FROM flagscope.rollout r WHERE r.id = s.rollout);
            EXIT WHEN NOT is_live AND NOT goes_on;
        END LOOP;
        -- It is over: its guardrail is not looked at while the others are played.
        PERFORM flagscope.rollback_rollout(r.id, reason => 'played', actor => 'ann',
            at => s.began + interval '1201 s')
        FROM flagscope.rollout r WHERE r.id = s.rollout AND r.status IN ('running', 'paused', 'held');
        COMMIT;
    END LOOP;
END $$;
CALL play(:open, :length);
CREATE TABLE outcome AS
SELECT s.name, s.must, s.flag, r.alpha, d.at IS NOT NULL AS rolled_back,
    (s.must = 'stay') = (d.at IS NULL) AS as_it_must, g.max_log_e, g.design_effect,
    CASE s.must WHEN 'roll back' THEN 0 END AS harm_second, extract(epoch FROM d.at - s.began) AS delay
FROM sim s JOIN flagscope.rollout r ON r.id = s.rollout JOIN flagscope.guardrail_status g ON g.rollout_id = s.rollout
    LEFT JOIN flagscope.decision d ON d.rollout_id = s.rollout AND d.action = 'rollback' AND d.actor = 'flagscope';
\ir judged.sql
