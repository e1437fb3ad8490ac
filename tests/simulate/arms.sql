-- Rollouts whose arms do not come alike, with a pinned clock: what processes send is written as the ingest trigger
-- would write it (one delta for each process, bucket and share), then ticks judge. psql variables: runs (rollouts of
-- each scenario) and, if set, only (a pattern of scenarios' names).
--
-- 120 requests a second, 4 % of them errors, unless said otherwise, alpha 0.01. Processes flush every 5 s,
-- OpenTelemetry's default, each at a phase of its own. A common outage of 30 s makes half of the requests
-- of both arms fail.
\set QUIET on
\if :{?only}
\else
\set only .
\endif
SET client_min_messages = warning;
SELECT setseed(0.7) \g /dev/null
SELECT flagscope.set_setting('rollout.max_automatic', '100000') \g /dev/null
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}') \g /dev/null
SELECT flagscope.create_metric('retries', 'rate', 'event', '{"name": "retry"}',
    per => '{"signal": "span", "name": "pay"}') \g /dev/null
-- play: what is played together; period: requests come every so many seconds; sent: how the arms come.
CREATE TABLE scenario (name text PRIMARY KEY, play integer, percent numeric, period float8, sent text, harm text,
    must text);
INSERT INTO scenario VALUES
    ('common outage, a process for each arm', 1, 50, 1 / 120.0, 'apart', 'both', 'stay'),
    ('common outage, the same without names', 1, 50, 1 / 120.0, 'nameless', 'both', 'stay'),
    ('common outage, a Collector sends both in one statement', 1, 50, 1 / 120.0, 'collector', 'both', 'stay'),
    ('common outage, the control is stored 10 s later', 1, 50, 1 / 120.0, 'late', 'both', 'stay'),
    ('common outage, a canary of 5 %', 1, 5, 1 / 120.0, 'apart', 'both', 'stay'),
    ('common outage, both arms in one process', 1, 50, 1 / 120.0, 'shared', 'both', 'stay'),
    ('retries are stored 5 s after their requests, share moved', 2, 5, 1 / 120.0, 'rate', 'moved', 'stay'),
    ('ticks stop while the share is moved and both get worse', 3, 5, 1 / 120.0, 'shared', 'moved', 'stay'),
    ('total outage of the treatment, a process for each arm', 1, 10, 1 / 120.0, 'apart', 'treatment', 'roll back'),
    ('total outage of the treatment, both in one process', 1, 10, 1 / 120.0, 'shared', 'treatment', 'roll back'),
    ('2 requests a minute at 10 %, 60 % fail of the treatment', 4, 10, 30, 'single', 'thin', 'roll back');
DELETE FROM scenario WHERE name !~ :'only';
CREATE TABLE sim AS
SELECT 'a' || dense_rank() OVER (ORDER BY s.name) || '-' || i AS flag, s.*, 0::bigint AS rollout,
    timestamptz '2040-01-02 12:00' + s.play * interval '6 hours' AS began,
    ARRAY[floor(5 * random()), floor(5 * random())]::integer[] AS phase
FROM scenario s, generate_series(1, :runs) i;
SELECT flagscope.create_flag(flag),
    flagscope.create_guardrail(flag, CASE sent WHEN 'rate' THEN 'retries' ELSE 'errors' END,
        margin => 0.1, min_sample => 0, stale_after => '1 hour') FROM sim \g /dev/null
UPDATE sim SET rollout = flagscope.create_rollout(flag, follow_up => '1 s',
    stages => CASE percent WHEN 50 THEN '{50, 100}' ELSE ARRAY[percent, 50, 100] END,
    min_duration => '10 days');

CREATE FUNCTION share(s sim, second integer) RETURNS float8 LANGUAGE sql AS $$
    SELECT CASE WHEN s.harm = 'moved' AND second >= 183 THEN 0.5 ELSE s.percent / 100 END::float8
$$;
-- The share of requests that fail.
CREATE FUNCTION failing(s sim, second integer, treated boolean) RETURNS float8 LANGUAGE sql AS $$
    SELECT CASE s.harm WHEN 'both' THEN CASE WHEN second >= 123 AND second < 153 THEN 0.5 ELSE 0.04 END
        WHEN 'moved' THEN CASE WHEN second >= 183 THEN 0.12 ELSE 0.04 END
        WHEN 'treatment' THEN CASE WHEN treated AND second >= 123 THEN 1 ELSE 0.04 END
        WHEN 'thin' THEN CASE WHEN treated AND second >= 3600 THEN 0.6 ELSE 0.01 END END::float8
$$;
-- What each arm's process, or both arms' one process, has sent: by when it is stored.
CREATE FUNCTION stored_at(s sim, second integer, treated boolean) RETURNS integer LANGUAGE sql AS $$
    SELECT CASE WHEN s.sent = 'single' THEN second ELSE second + 1 + (s.phase[x.arm] - second - 1) % 5
        + CASE WHEN (s.phase[x.arm] - second - 1) % 5 < 0 THEN 5 ELSE 0 END
        + CASE WHEN s.sent = 'late' AND NOT treated THEN 10 ELSE 0 END END
    FROM (SELECT CASE WHEN s.sent IN ('shared', 'rate') OR treated THEN 1 ELSE 2 END AS arm) x
$$;

CREATE TABLE sent (flag text, sent text, second integer, treated boolean, began timestamptz, at integer, instance text,
    n bigint, events bigint);
CREATE INDEX ON sent (at);
-- What each look brings of an arm: data points, their sum and that of their squares.
CREATE TABLE IF NOT EXISTS looked (flag text, second integer, treated boolean, n bigint, total float8, squares float8);
CREATE PROCEDURE send(only_play integer, seconds integer) LANGUAGE plpgsql AS $$
BEGIN
    -- Each second's requests, as they fall to the arms and fail.
    TRUNCATE sent;
    INSERT INTO sent
    SELECT x.flag, x.sent, x.second, x.treated, x.began, stored_at(x.s, x.second, x.treated) AS at,
        CASE x.sent WHEN 'nameless' THEN NULL WHEN 'single' THEN NULL WHEN 'shared' THEN x.flag || '-pod'
            WHEN 'rate' THEN x.flag || '-pod' ELSE x.flag || '-' || x.treated END AS instance,
        count(*) AS n, count(*) FILTER (WHERE random() < failing(x.s, x.second, x.treated)) AS events
    FROM (SELECT s, s.flag, s.sent, s.began, floor(u * s.period)::integer AS second,
            random() < share(s, floor(u * s.period)::integer) AS treated
        FROM sim s, generate_series(1, floor(seconds / s.period)::integer) u WHERE s.play = only_play) x
    GROUP BY 1, 2, 3, 4, 5, 6, 7;
    ANALYZE sent;
    -- Of retries, which come 5 s later, the requests count when they come and the retries when these do.
    INSERT INTO looked
    SELECT x.flag, x.at, x.treated, sum(x.n), sum(x.events), sum(x.events) FROM (
        SELECT s.flag, s.at, s.treated, s.n, CASE s.sent WHEN 'rate' THEN 0 ELSE s.events END AS events FROM sent s
        UNION ALL SELECT s.flag, s.at + 5, s.treated, 0, s.events FROM sent s WHERE s.sent = 'rate') x
    GROUP BY 1, 2, 3;
END $$;

CREATE FUNCTION store(only_at integer, only_treated boolean, in_one boolean) RETURNS void LANGUAGE sql AS $$
    -- Of a rate the requests, and 5 s later their retries.
    WITH part AS (
        SELECT s.*, s.began + s.second * interval '1 s' AS ts, s.n AS requests,
            CASE s.sent WHEN 'rate' THEN 0 ELSE s.events END AS failed FROM sent s WHERE s.at = only_at
        UNION ALL
        SELECT s.*, s.began + s.second * interval '1 s', 0, s.events FROM sent s
        WHERE s.at = only_at - 5 AND s.sent = 'rate'
    )
    INSERT INTO _flagscope.variant_delta (flag, environment, variant, metric, bucket, n, events, last_ts, first_ts,
        instance)
    SELECT p.flag, 'production', CASE WHEN p.treated THEN 'on' ELSE 'off' END,
        CASE p.sent WHEN 'rate' THEN 'retries' ELSE 'errors' END, _flagscope.bucket_of(p.ts), sum(p.requests),
        sum(p.failed), max(p.ts) + interval '0.99 s', min(p.ts), p.instance
    FROM part p WHERE (p.sent IN ('collector', 'shared', 'rate')) = in_one AND (in_one OR p.treated = only_treated)
    GROUP BY p.flag, p.treated, p.sent, _flagscope.bucket_of(p.ts), p.instance, p.second >= 183;
$$;

CREATE PROCEDURE play(only_play integer, seconds integer, step integer) LANGUAGE plpgsql AS $$
DECLARE
    base timestamptz := timestamptz '2040-01-02 12:00' + only_play * interval '6 hours';
BEGIN
    IF NOT EXISTS (SELECT FROM sim WHERE play = only_play) THEN
        RETURN;
    END IF;
    PERFORM flagscope.start_rollout(s.rollout, at => base) FROM sim s WHERE s.play = only_play;
    COMMIT;
    CALL send(only_play, seconds);
    COMMIT;
    FOR t IN 0 .. seconds + 20 LOOP
        IF t = 183 THEN
            PERFORM flagscope.advance_rollout(s.rollout, reason => 'by hand', actor => 'ann',
                at => base + interval '183 s')
            FROM sim s JOIN flagscope.rollout r ON r.id = s.rollout AND r.status = 'running'
            WHERE s.play = only_play AND s.harm = 'moved';
            COMMIT;
        END IF;
        -- A transaction for each client, but for the Collector's, of which both arms are in one.
        IF EXISTS (SELECT FROM sent s WHERE s.at IN (t, t - 5)) THEN
            PERFORM store(t, true, false);
            COMMIT;
            PERFORM store(t, false, false);
            COMMIT;
            PERFORM store(t, NULL, true);
            COMMIT;
        END IF;
        IF t % step = 0 AND NOT (only_play = 3 AND t BETWEEN 100 AND 240) THEN
            PERFORM flagscope.tick(base + t * interval '1 s');
            COMMIT;
        END IF;
    END LOOP;
END $$;
CALL play(1, 300, 1);
CALL play(2, 420, 1);
CALL play(3, 420, 1);
CALL play(4, 14000, 30);
CREATE TABLE outcome AS
SELECT s.name, s.must, s.flag, r.alpha, d.at IS NOT NULL AS rolled_back, g.max_log_e,
    CASE s.must WHEN 'stay' THEN d.at IS NULL ELSE d.at > s.began + began.second * interval '1 s' END AS as_it_must,
    CASE s.must WHEN 'roll back' THEN began.second END AS harm_second,
    extract(epoch FROM d.at - s.began) - began.second AS delay
FROM sim s CROSS JOIN LATERAL (SELECT CASE s.harm WHEN 'thin' THEN 3600 ELSE 123 END AS second) began
    JOIN flagscope.rollout r ON r.id = s.rollout JOIN flagscope.guardrail_status g ON g.rollout_id = s.rollout
    LEFT JOIN flagscope.decision d ON d.rollout_id = s.rollout AND d.action = 'rollback' AND d.actor = 'flagscope';
\ir judged.sql
