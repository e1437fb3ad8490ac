-- Whole rollouts through SQL, with a pinned clock: telemetry in, tick, decision. psql variables: runs (rollouts of each
-- scenario), ticks (of 10 s), share (telemetry rows of a rollout and tick);
-- and, if set, only (a pattern of scenarios' names) and open (true: what a rollout would have gone on to see after its
-- rollback is kept for its rivals in table looked, and shown to nobody else).
--
-- In each scenario the ramp is 1 % to 100 % or stays where it is; the rate of errors of both arms is a function of
-- time, and harm begins at a tick. Requests come from 10,000 users, of whom the first percent have the treatment.
-- Beside flagscope's verdict the same counts are judged by a static threshold (three windows of a minute beyond 1.25
-- times the rate at the start) and by a z-test repeated at every tick (one-sided p < 0.05).
\set QUIET on
\if :{?only}
\else
\set only .
\endif
\if :{?open}
\else
\set open false
\endif
SET client_min_messages = warning;
SELECT setseed(0.7) \g /dev/null
SELECT flagscope.set_setting('rollout.max_automatic', '1000') \g /dev/null
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}') \g /dev/null
SELECT flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}', unit => 's') \g /dev/null
CREATE TABLE scenario (name text PRIMARY KEY, stages numeric[], drift boolean, harm_at integer, harm text, must text);
INSERT INTO scenario VALUES
    ('healthy, ramp, drifting baseline', '{1,5,10,25,50,100}', true, 1000000, '', 'stay'),
    ('+2 points of errors at 10 %', '{10,100}', false, 6, 'errors', 'roll back'),
    ('+10 % latency at 5 %', '{5,100}', false, 6, 'latency', 'roll back'),
    ('total outage of the treatment at 1 %', '{1,100}', false, 6, 'outage', 'roll back'),
    ('a third of the treatment''s users lost at 50 %', '{50,100}', false, 6, 'split', 'hold'),
    ('the treatment sends no data', '{50,100}', false, 0, 'silence', 'hold'),
    ('healthy, every batch 20 s late', '{5,25,50,100}', true, 1000000, 'late', 'stay'),
    ('+5 points of errors, only from 50 % on', '{10,50,100}', false, 0, 'load', 'roll back');
DELETE FROM scenario WHERE name !~ :'only';
CREATE TABLE sim AS
SELECT 's' || dense_rank() OVER (ORDER BY s.name) || '-' || i AS flag, s.*, 0::bigint AS rollout, 0::numeric AS percent,
    true AS is_live
FROM scenario s, generate_series(1, :runs) i;
SELECT flagscope.create_flag(flag),
    flagscope.create_guardrail(flag, 'errors', margin => 0.1, min_sample => 0, stale_after => '10 min'),
    flagscope.create_guardrail(flag, 'duration', margin => 0.02, min_sample => 0, stale_after => '10 min')
FROM sim \g /dev/null
-- What is flat stays at its stage; a ramp spends a sixth of the time in each.
UPDATE sim
SET rollout = flagscope.create_rollout(flag, stages => stages, follow_up => '1 s',
    min_duration => CASE WHEN harm IN ('', 'late', 'load') THEN :ticks / 6 * interval '10 s'
        ELSE interval '10 days' END);
SELECT flagscope.start_rollout(rollout, at => '2040-01-02 12:00') FROM sim \g /dev/null
CREATE TABLE waiting (LIKE flagscope.telemetry);
-- What each look brings of an arm: data points, their sum and that of their squares.
CREATE TABLE IF NOT EXISTS looked (flag text, second integer, treated boolean, n bigint, total float8, squares float8);
CREATE TABLE hurt (flag text, visitor integer, PRIMARY KEY (flag, visitor));
CREATE PROCEDURE play(ticks integer, share integer, goes_on boolean) LANGUAGE plpgsql AS $$
DECLARE
    at timestamptz;
BEGIN
    FOR k IN 0 .. ticks - 1 LOOP
        at := '2040-01-02 12:00'::timestamptz + k * interval '10 s';
        INSERT INTO flagscope.telemetry SELECT * FROM waiting w WHERE w.ts <= at - interval '20 s';
        DELETE FROM waiting w WHERE w.ts <= at - interval '20 s';
        UPDATE sim s SET is_live = false WHERE s.is_live AND NOT EXISTS (SELECT FROM flagscope.flag_state f
            WHERE f.flag = s.flag AND f.rollout_id = s.rollout);
        UPDATE sim s SET percent = f.percent FROM flagscope.flag_state f
        WHERE f.flag = s.flag AND f.rollout_id = s.rollout AND f.percent IS DISTINCT FROM s.percent;
        CREATE TEMP TABLE batch AS
        SELECT x.flag, x.harm, x.is_live, x.u, x.visitor, x.treated,
            x.hurts AND (x.harm <> 'load' OR x.percent >= 50) AS hurts,
            random() < CASE
                WHEN x.treated AND x.hurts AND x.harm = 'errors' THEN x.p + 0.02
                WHEN x.treated AND x.hurts AND x.harm = 'outage' THEN 1
                WHEN x.treated AND x.harm = 'load' AND x.percent >= 50 THEN x.p + 0.05
                ELSE x.p END AS is_error,
            exp(0.5 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())) * 0.1
                * CASE WHEN x.drift THEN 1 + 0.5 * sin(k / 40.0) ELSE 1 END
                * CASE WHEN x.treated AND x.hurts AND x.harm = 'latency' THEN 1.1 ELSE 1 END AS value
        FROM (SELECT y.*, y.visitor < 100 * y.percent AS treated FROM (
            SELECT s.*, i AS u, floor(10000 * random())::integer AS visitor, k >= s.harm_at AS hurts,
                CASE WHEN s.drift THEN 0.01 + 0.02 * k / ticks ELSE 0.01 END AS p
            FROM sim s, generate_series(1, share) i WHERE s.is_live OR (goes_on AND s.percent < 100)
        ) y) x
        WHERE NOT (x.harm = 'silence' AND x.treated)
            AND NOT (x.harm = 'split' AND x.treated AND x.hurts AND random() < 1 / 3.0);
        INSERT INTO waiting (ts, signal, name, value, subject, flags, is_error)
        SELECT at, 'span', 'pay', b.value, 'visitor ' || b.visitor,
            jsonb_build_object(b.flag, CASE WHEN b.treated THEN 'on' ELSE 'off' END), b.is_error
        FROM batch b WHERE b.harm = 'late' AND b.is_live;
        INSERT INTO flagscope.telemetry (ts, signal, name, value, subject, flags, is_error)
        SELECT at, 'span', 'pay', b.value, 'visitor ' || b.visitor,
            jsonb_build_object(b.flag, CASE WHEN b.treated THEN 'on' ELSE 'off' END), b.is_error
        FROM batch b WHERE b.harm <> 'late' AND b.is_live;
        INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
        SELECT at, 'event', 'feature_flag.evaluation', k || '-' || b.u,
            jsonb_build_object(b.flag, CASE WHEN b.treated THEN 'on' ELSE 'off' END)
        FROM batch b WHERE b.harm IN ('split', '') AND b.u <= 20 AND b.is_live;
        INSERT INTO hurt
        SELECT DISTINCT b.flag, b.visitor FROM batch b WHERE b.treated AND b.hurts AND b.is_live ON CONFLICT DO NOTHING;
        INSERT INTO looked
        SELECT b.flag, 10 * k, b.treated, count(*), sum(x.value), sum(x.value * x.value) FROM batch b,
            LATERAL (SELECT CASE b.harm WHEN 'latency' THEN b.value ELSE b.is_error::integer END AS value) x
        GROUP BY b.flag, b.treated;
        DROP TABLE batch;
        PERFORM flagscope.tick(at + interval '5 s');
        COMMIT;
    END LOOP;
END $$;
CALL play(:ticks, :share, :open);

CREATE TEMP VIEW look AS
SELECT s.name, s.flag, s.rollout, s.harm_at, e.at, e.stratum, sum(e.n_treatment) OVER w AS nt,
    sum(e.events_treatment[1]) OVER w AS yt, sum(e.n_control) OVER w AS nc, sum(e.events_control[1]) OVER w AS yc,
    sum(e.n_treatment) OVER v AS n6, sum(e.events_treatment[1]) OVER v AS y6
FROM sim s JOIN flagscope.guardrail g ON g.flag = s.flag AND g.metric = 'errors'
    JOIN flagscope.evaluation e ON e.guardrail_id = g.id AND e.increment <> '{}'
WINDOW w AS (PARTITION BY s.rollout ORDER BY e.stratum),
    v AS (PARTITION BY s.rollout ORDER BY e.stratum ROWS 5 PRECEDING);
CREATE TEMP TABLE rival AS
SELECT l.flag, bool_or(z > 1.645) AS naive, bool_or(static) AS static FROM (
    SELECT l.flag,
        (yt::float8 / nt - yc::float8 / nc)
            / nullif(sqrt((yt + yc)::float8 / (nt + nc) * (1 - (yt + yc)::float8 / (nt + nc))
                * (1.0 / nt + 1.0 / nc)), 0) AS z,
        y6 > 0.0125 * n6 AND lag(y6, 6) OVER p > 0.0125 * lag(n6, 6) OVER p
            AND lag(y6, 12) OVER p > 0.0125 * lag(n6, 12) OVER p AS static
    FROM look l WHERE nt > 0 AND nc > 0 WINDOW p AS (PARTITION BY l.rollout ORDER BY l.stratum)) l GROUP BY l.flag;
CREATE TABLE outcome AS
SELECT s.name, s.must, s.flag, r.alpha, r.status, d.at IS NOT NULL AS rolled_back, h.told_at IS NOT NULL AS warned,
    CASE s.must WHEN 'stay' THEN d.at IS NULL WHEN 'roll back' THEN d.at IS NOT NULL
        ELSE d.at IS NULL AND f.percent = 50 END AS as_it_must, f.percent,
    coalesce(v.naive, false) AS naive, coalesce(v.static, false) AS static, began.second AS harm_second,
    extract(epoch FROM d.at - '2040-01-02 12:00'::timestamptz) - coalesce(began.second, 10000000) AS delay,
    (SELECT sum(e.n_treatment)
        FROM flagscope.evaluation e JOIN flagscope.guardrail g ON g.id = e.guardrail_id AND g.metric = 'errors'
        WHERE e.rollout_id = s.rollout
            AND e.at >= '2040-01-02 12:00'::timestamptz + s.harm_at * interval '10 s') AS affected,
    (SELECT count(*) FROM hurt x WHERE x.flag = s.flag) AS users
FROM sim s JOIN flagscope.rollout r ON r.id = s.rollout CROSS JOIN LATERAL (SELECT CASE WHEN s.harm_at < 1000000
        THEN greatest(10 * s.harm_at, CASE s.harm WHEN 'load' THEN (SELECT extract(epoch FROM min(x.at)
                - '2040-01-02 12:00') FROM flagscope.decision x
            WHERE x.rollout_id = s.rollout AND x.to_percent >= 50) END)::integer END AS second) began
    LEFT JOIN flagscope.decision d ON d.rollout_id = r.id AND d.action = 'rollback' AND d.actor = 'flagscope'
    LEFT JOIN flagscope.rollout_health h ON h.rollout_id = r.id AND h.rule = 'split' AND h.state <> 'ok'
    JOIN flagscope.flag_state f ON f.flag = s.flag LEFT JOIN rival v ON v.flag = s.flag;
\ir judged.sql
