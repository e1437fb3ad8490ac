-- What a ramp does beside its statistics, through real SQL with a pinned clock: clients that learn of a stage late, a
-- split that is off, holds, data that stops, step_back at the first stage, harm when no control is left. psql
-- variables: runs (rollouts of each scenario) and, if set, only (a pattern of scenarios' names) and open (true: what a
-- rollout would have gone on to see is kept for its rivals in table looked).
--
-- Twelve minutes, a tick every five seconds, 1 % errors, alpha 0.01 (of the split health.alpha, the same).
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
SELECT setseed(0.8) \g /dev/null
SELECT flagscope.set_setting('rollout.max_automatic', '100000') \g /dev/null
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}') \g /dev/null
-- units: first exposures a second; spans: requests a second; lag: seconds until clients know of a share; served: how
-- much of the share asked for; fails: the share of the treatment's requests that fail from the second `since` on (of
-- 'alone': once everybody is served); what stops when.
CREATE TABLE scenario (name text PRIMARY KEY, stages numeric[], stage interval, action text, units integer,
    spans integer, lag integer, served float8, fails float8, since integer, harm text, must text);
INSERT INTO scenario VALUES
    ('clients learn of each stage 5 s late', '{10,50,100}', '2 min', 'rollback', 20, 4, 5, 1, 0, 0, '', 'stay'),
    ('clients learn of each stage 30 s late', '{10,50,100}', '2 min', 'rollback', 20, 4, 30, 1, 0, 0, '', 'stay'),
    ('48 % are served where 50 % are asked for', '{50,100}', '1 day', 'rollback', 40, 4, 0, 0.96, 0, 0, '', 'hold'),
    ('held, errors 1 to 2.5 %, a cooldown of a minute', '{25,50,100}', '1 day', 'hold', 0, 40, 0, 1, 0.025, 60, '',
        'hold'),
    ('data stops before its stage of ten minutes is over', '{25,50,100}', '10 min', 'rollback', 0, 20, 0, 1, 0, 490,
        'all stops', 'hold'),
    ('the treatment falls silent', '{50,100}', '5 min', 'rollback', 0, 20, 0, 1, 0, 120, 'treatment stops', 'hold'),
    ('total outage at the first stage, step_back', '{10,50,100}', '1 day', 'step_back', 0, 20, 0, 1, 1, 60, '',
        'roll back'),
    ('60 % fail, only when everybody is served', '{50,100}', '2 min', 'rollback', 0, 20, 0, 1, 0.6, 0, 'alone',
        'roll back');
DELETE FROM scenario WHERE name !~ :'only';
CREATE TABLE sim AS
SELECT 'r' || dense_rank() OVER (ORDER BY s.name) || '-' || i AS flag, s.*, 0::bigint AS rollout, true AS is_live,
    0::numeric AS percent
FROM scenario s, generate_series(1, :runs) i;
SELECT flagscope.create_flag(flag), flagscope.create_guardrail(flag, 'errors', margin => 0.1, min_sample => 0,
    action => action::flagscope.action) FROM sim \g /dev/null
UPDATE sim SET rollout = flagscope.create_rollout(flag, stages => stages, min_duration => stage,
    follow_up => '1 hour', cooldown => CASE action WHEN 'hold' THEN interval '1 minute' END, alpha => 0.01);
SELECT flagscope.start_rollout(rollout, at => '2040-01-02 12:00') FROM sim \g /dev/null
-- What was asked for since when.
CREATE TABLE asked (flag text, since integer, percent numeric, PRIMARY KEY (flag, since));
-- What each look brings of an arm: data points, their sum and that of their squares.
CREATE TABLE IF NOT EXISTS looked (flag text, second integer, treated boolean, n bigint, total float8, squares float8);

CREATE PROCEDURE note_shares(second integer) LANGUAGE sql AS $$
    UPDATE sim s SET is_live = f.percent > 0 OR r.status = 'completed',
        -- After a rollback the rivals see on what was served before.
        percent = CASE WHEN r.status = 'completed' THEN 100 WHEN f.percent > 0 THEN f.percent ELSE s.percent END
    FROM flagscope.rollout r, flagscope.flag_state f WHERE r.id = s.rollout AND f.flag = s.flag;
    INSERT INTO asked SELECT s.flag, second, s.percent FROM sim s
    WHERE s.percent IS DISTINCT FROM (SELECT a.percent FROM asked a WHERE a.flag = s.flag
        ORDER BY a.since DESC LIMIT 1);
$$;
CREATE PROCEDURE send(second integer, goes_on boolean) LANGUAGE sql AS $$
    -- The five seconds from this one on: units of which all are new, some with an exposure, some with a request.
    WITH share AS MATERIALIZED (
        SELECT s.*, coalesce((SELECT a.percent FROM asked a WHERE a.flag = s.flag AND a.since <= second - s.lag
                ORDER BY a.since DESC LIMIT 1), 0) / 100 * CASE WHEN s.percent < 100 THEN s.served ELSE 1 END AS treated
        FROM sim s WHERE s.is_live OR goes_on
    ), unit AS MATERIALIZED (
        SELECT s.*, i, random() < s.treated AS on_treatment, random() AS luck,
            timestamptz '2040-01-02 12:00' + (second + 5 * random()) * interval '1 s' AS ts
        FROM share s, generate_series(1, 5 * greatest(s.units, s.spans)) i
    ), request AS MATERIALIZED (
        SELECT u.*, luck < CASE WHEN NOT on_treatment OR fails = 0 THEN 0.01
            WHEN harm = 'alone' THEN CASE WHEN percent = 100 THEN fails ELSE 0.01 END
            WHEN second >= since THEN fails ELSE 0.01 END AS failed
        FROM unit u WHERE i <= 5 * spans AND NOT (second >= since AND (harm = 'all stops'
            OR harm = 'treatment stops' AND on_treatment))
    ), stored AS (
        INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags, is_error)
        SELECT ts, 'event'::flagscope.signal, 'feature_flag.evaluation', format('%s-%s', second, i),
            jsonb_build_object(flag, CASE WHEN on_treatment THEN 'on' ELSE 'off' END), false
        FROM unit WHERE i <= 5 * units AND is_live
        UNION ALL
        SELECT ts, 'span', 'pay', format('%s-%s', second, i),
            jsonb_build_object(flag, CASE WHEN on_treatment THEN 'on' ELSE 'off' END), failed
        FROM request WHERE is_live
    )
    INSERT INTO looked SELECT flag, second + 5, on_treatment, count(*), sum(failed::integer), sum(failed::integer)
    FROM request GROUP BY flag, on_treatment;
$$;
CREATE PROCEDURE play(goes_on boolean) LANGUAGE plpgsql AS $$
BEGIN
    FOR second IN 0 .. 715 BY 5 LOOP
        CALL note_shares(second);
        CALL send(second, goes_on);
        COMMIT;
        PERFORM flagscope.tick('2040-01-02 12:00'::timestamptz + (second + 5) * interval '1 s');
        COMMIT;
    END LOOP;
END $$;
CALL play(:open);
-- told: when the split was told to be off, which holds the ramp.
CREATE TABLE outcome AS
SELECT s.name, s.must, s.flag, 0.01::float8 AS alpha, d.at IS NOT NULL AS rolled_back,
    CASE s.must
        WHEN 'stay' THEN d.at IS NULL AND h.told IS NULL
        WHEN 'roll back' THEN d.at IS NOT NULL AND f.percent IS NOT DISTINCT FROM CASE s.action
            WHEN 'step_back' THEN 0 END
        ELSE d.at IS NULL AND f.percent = s.stages[1] AND CASE WHEN s.served < 1 THEN h.told IS NOT NULL
            WHEN s.action = 'hold' THEN r.status = 'held' ELSE true END END AS as_it_must, f.percent, r.status,
    CASE WHEN s.must = 'roll back' THEN began.second END AS harm_second,
    extract(epoch FROM coalesce(d.at, CASE WHEN s.served < 1 THEN h.told END, held.at) - '2040-01-02 12:00')
        - began.second AS delay
FROM sim s JOIN flagscope.rollout r ON r.id = s.rollout JOIN flagscope.flag_state f ON f.flag = s.flag
    CROSS JOIN LATERAL (SELECT CASE s.harm WHEN 'alone' THEN (SELECT a.since FROM asked a
        WHERE a.flag = s.flag AND a.percent = 100) ELSE s.since END AS second) began
    LEFT JOIN flagscope.decision d ON d.rollout_id = r.id AND d.action IN ('rollback', 'step_back')
        AND d.actor = 'flagscope'
    LEFT JOIN flagscope.decision held ON held.rollout_id = r.id AND held.action = 'hold' AND held.actor = 'flagscope'
    CROSS JOIN LATERAL (SELECT min(x.at) AS told FROM flagscope.decision x
        WHERE x.rollout_id = r.id AND x.action = 'warn' AND x.reason LIKE 'split:%') h;
\ir judged.sql
