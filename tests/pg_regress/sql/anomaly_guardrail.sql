-- Anomaly guardrails: the treatment beside the control at the same time; without one a metric beside its own past.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SELECT setseed(0.5);
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}'),
    flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}', unit => 's');
SELECT flagscope.create_flag(f) FROM unnest('{pay,search,speed,young}'::text[]) f;
SELECT flagscope.create_guardrail('pay', 'errors', test => 'anomaly', action => 'hold') AS pay,
    flagscope.create_guardrail('search', 'errors', test => 'anomaly', action => 'hold') AS search,
    flagscope.create_guardrail('speed', 'duration', test => 'anomaly', quantile => 0.9) AS speed,
    flagscope.create_guardrail('young', 'errors', test => 'anomaly') AS young \gset
SELECT name, flag, comparison, test, margin, time_window FROM flagscope.guardrail ORDER BY id;

-- What does not fit is refused.
\set VERBOSITY terse
SELECT flagscope.create_guardrail('pay', 'errors', name => 'x', test => 'anomaly', comparison => 'control');
SELECT flagscope.create_guardrail('pay', 'errors', name => 'x', test => 'anomaly', margin => 0.1);
SELECT flagscope.create_guardrail('pay', 'errors', name => 'x', test => 'anomaly', limit_value => 0.1);
SELECT flagscope.create_guardrail('pay', 'duration', name => 'x', test => 'anomaly');
SELECT flagscope.create_guardrail('pay', 'errors', name => 'x', test => 'anomaly', time_window => '90 s');
SELECT flagscope.create_guardrail('pay', 'errors', name => 'x', test => 'anomaly', time_window => '2 hours');
SELECT flagscope.create_guardrail('pay', 'errors', name => 'x', test => 'anomaly', breaches => 2);
\set VERBOSITY default

-- Sixteen days in which all flags serve the control: 100 requests in ten minutes, 5 % errors, by day and by night not
-- the same, as are durations. The young flag has three days.
CREATE FUNCTION pg_temp.traffic(since timestamptz, until timestamptz, flags jsonb, rate float8 DEFAULT 0.05,
    slow float8 DEFAULT 1, per_point integer DEFAULT 100)
RETURNS bigint LANGUAGE sql AS $$
    WITH done AS (
        INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, flags)
        SELECT at + i * interval '1 second', 'span', 'pay',
            slow * (0.2 + 0.1 * sin(2 * pi() * extract(epoch FROM at) / 86400))
                * exp(0.5 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())),
            random() < rate * (1 + 0.5 * sin(2 * pi() * extract(epoch FROM at) / 86400)), flags
        -- In one order, whatever the plan: the random numbers are drawn in it.
        FROM (SELECT at, i
            FROM generate_series(since, until - interval '1 second', '10 minutes') at, generate_series(1, per_point) i
            ORDER BY at, i) x
        RETURNING 1
    )
    SELECT count(*) FROM done;
$$;
SELECT pg_temp.traffic('2040-01-01', '2040-01-14', '{"pay": "off", "search": "off", "speed": "off"}')
    + pg_temp.traffic('2040-01-14', '2040-01-17 12:00',
        '{"pay": "off", "search": "off", "speed": "off", "young": "off"}') AS rows;
-- However loaded the machine is, a tick does all of its work.
SELECT flagscope.set_setting('tick.budget', '"1 hour"');
DO $$
BEGIN
    FOR i IN 0..3
    LOOP PERFORM flagscope.tick('2040-01-17 11:00'); PERFORM flagscope.maintain('2040-01-17 11:59'); END LOOP;
END $$;
SELECT count(*) AS waiting FROM _flagscope.variant_delta;

SELECT flagscope.create_rollout(f, stages => '{50, 100}', min_duration => '2 hours') AS id
FROM unnest('{pay,search,young}'::text[]) f;
SELECT flagscope.create_rollout('speed', stages => '{100}', min_duration => '10 minutes', follow_up => '6 hours');
SELECT count(flagscope.start_rollout(id, at => '2040-01-17 12:00')) FROM flagscope.rollout;
CREATE FUNCTION pg_temp.step(until timestamptz, pay float8, search float8, slow float8) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_temp.traffic(until - interval '10 minutes', until, '{"pay": "on"}', pay, 1, 50),
        pg_temp.traffic(until - interval '10 minutes', until, '{"pay": "off"}', 0.05, 1, 50),
        pg_temp.traffic(until - interval '10 minutes', until, '{"search": "on", "young": "on"}', search, 1, 50),
        pg_temp.traffic(until - interval '10 minutes', until, '{"search": "off", "young": "off"}', search, 1, 50),
        pg_temp.traffic(until - interval '10 minutes', until, '{"speed": "on"}', 0.05, slow, 100);
    PERFORM flagscope.tick(until + interval '2 minutes');
END $$;
CREATE VIEW pg_temp.where_it_stands AS
SELECT r.flag, r.status, s.state, s.reason
FROM flagscope.guardrail_status s JOIN flagscope.rollout r ON r.id = s.rollout_id ORDER BY r.id;

-- Before the first ten minutes are over nothing is known. Beside a control three days of a past are enough.
SELECT pg_temp.traffic('2040-01-17 12:00', '2040-01-17 12:01',
    '{"pay": "on", "search": "on", "young": "on", "speed": "on"}', per_point => 20) AS rows;
SELECT strata FROM flagscope.tick('2040-01-17 12:01');
SELECT * FROM pg_temp.where_it_stands;
SELECT pg_temp.step(at, 0.05, 0.05, 1)
FROM generate_series(timestamptz '2040-01-17 12:10', '2040-01-17 13:00', '10 minutes') at;
SELECT * FROM pg_temp.where_it_stands;
SELECT guardrail_id = :pay AS pay, variant, count(*) AS points, min(at), max(at), count(score) AS judged,
    count(score) FILTER (WHERE score >= 1.5) AS unusual
FROM _flagscope.anomaly_point GROUP BY 1, 2, guardrail_id ORDER BY guardrail_id, 2;
-- A point is what raw rows say, on the scale of Anscombe's transform.
SELECT p.at, p.n = r.n AS same_n, abs(p.value - r.y / r.n::float8) < 1e-12 AS same_value,
    abs(p.x - asin(sqrt((r.y + 0.375) / (r.n + 0.75)))) < 1e-12 AS same_x
FROM _flagscope.anomaly_point p,
    LATERAL (SELECT count(*) AS n, count(*) FILTER (WHERE is_error) AS y
        FROM flagscope.telemetry t WHERE t.flags ? 'pay' AND t.ts >= p.at AND t.ts < p.at + interval '10 minutes') r
WHERE p.guardrail_id = :pay AND p.variant = '' AND p.at >= '2040-01-17 12:30';

-- Then the treatment of one flag fails, the service below another one for both variants alike (no
-- difference), and the third, of which no control is left, becomes slower by half.
SELECT pg_temp.step(at, 0.4, 0.25, 1.5)
FROM generate_series(timestamptz '2040-01-17 13:10', '2040-01-17 14:00', '10 minutes') at;
SELECT flag, status, state, regexp_replace(reason, '[0-9.]+', '#', 'g') AS reason FROM pg_temp.where_it_stands;
SELECT d.at BETWEEN '2040-01-17 13:12' AND '2040-01-17 13:32' AS soon, d.flag, d.action, d.from_percent, d.to_percent,
    d.evidence ->> 'state' AS state,
    (d.evidence ->> 'score')::float8 >= (d.evidence ->> 'limit_value')::float8 AS beyond,
    (d.evidence ->> 'limit_value')::numeric(6, 4) AS line,
    (d.evidence ->> 'usual')::float8 < 0.2 AS beside_control
FROM flagscope.decision d WHERE d.guardrail_id IS NOT NULL ORDER BY d.id;
SELECT regexp_replace(flagscope.explain_decision(id), '[0-9]+(\.[0-9]+)?', '#', 'g')
FROM flagscope.decision WHERE flag = 'pay' AND guardrail_id IS NOT NULL;
-- Computed anew: both series, the scores that were decided on.
SELECT variant, count(*) > 5 AS points,
    bool_and(score_stored IS NULL OR abs(score_stored - score_recomputed) < 1e-9) AS same
FROM flagscope.decision d, LATERAL _flagscope.replay_anomaly(d.id)
WHERE d.flag = 'pay' AND d.guardrail_id IS NOT NULL GROUP BY 1 ORDER BY 1;
-- A backtest fires when the guardrail did, also one of the same rule that was never live, from rollups.
SELECT b.at = d.at AS as_live, b.value >= 3 AS beyond
FROM flagscope.decision d, LATERAL flagscope.backtest_guardrail(d.guardrail_id, '2040-01-17', '2040-01-18') b
WHERE d.guardrail_id IS NOT NULL AND b.fires ORDER BY d.id, b.at;
SELECT f AS flag, count(*) AS points,
    min(b.at) FILTER (WHERE b.fires) = (SELECT (d.evidence ->> 'point')::timestamptz + interval '10 minutes'
        FROM flagscope.decision d WHERE d.flag = f AND d.guardrail_id IS NOT NULL) AS same_point
FROM unnest('{pay,search}'::text[]) f,
    LATERAL flagscope.backtest(f, '{"metric": "errors", "test": "anomaly", "name": "x"}', since => '2040-01-17',
        until => '2040-01-17 14:00') b
GROUP BY 1 ORDER BY 1;

-- A person resumes after a hold: evidence begins anew, and the point that held is not judged once more. A flag without
-- data is looked at once for each point.
SELECT r.id AS pay_rollout FROM flagscope.rollout r WHERE r.flag = 'pay' \gset
SELECT r.id AS search_rollout FROM flagscope.rollout r WHERE r.flag = 'search' \gset
SELECT pg_temp.step('2040-01-17 14:10', 0.4, 0.25, 1.5) \g /dev/null
BEGIN;
SELECT flagscope.resume_rollout(:pay_rollout, at => '2040-01-17 14:13') > 0 AS resumed;
SELECT pg_temp.traffic('2040-01-17 14:13', '2040-01-17 14:14', '{"pay": "on"}', per_point => 150) AS rows;
SELECT flagscope.tick('2040-01-17 14:14') IS NOT NULL AS ticked;
SELECT status, state, reason FROM pg_temp.where_it_stands WHERE flag = 'pay';
SELECT flagscope.tick('2040-01-17 16:00') IS NOT NULL AS ticked;
SELECT flagscope.tick('2040-01-17 16:12') IS NOT NULL AS ticked;
SELECT count(*) FILTER (WHERE point = '2040-01-17 16:00') AS looked, count(*) AS live
FROM flagscope.guardrail_status s JOIN flagscope.rollout r ON r.id = s.rollout_id
WHERE r.status = 'running' OR r.flag = 'young';
ROLLBACK;
-- When no control is left it is not the point before that is charged to the treatment.
BEGIN;
SELECT flagscope.complete_rollout(:search_rollout, at => '2040-01-17 14:13') > 0 AS completed;
SELECT flagscope.tick('2040-01-17 14:13:01') IS NOT NULL AS ticked;
SELECT status, state <> 'breached' AS not_breached FROM pg_temp.where_it_stands WHERE flag = 'search';
-- And the first point after it is no health: too few for an alarm, and the words say when that changes.
UPDATE flagscope.guardrail SET min_sample = 1 WHERE id = :search;
SELECT pg_temp.step('2040-01-17 14:20', 0.4, 0.05, 1.5) \g /dev/null
SELECT state, regexp_replace(reason, '[0-9.]+ %', 'N %', 'g') AS reason
FROM pg_temp.where_it_stands WHERE flag = 'search';
SELECT pg_temp.step('2040-01-17 14:30', 0.4, 0.05, 1.5) \g /dev/null
SELECT state, regexp_replace(reason, '[0-9.]+ %', 'N %', 'g') AS reason
FROM pg_temp.where_it_stands WHERE flag = 'search';
ROLLBACK;

-- A policy gives it to every rollout; another series forgets the points of the old one,
-- and so does the end of the guardrail.
SELECT flagscope.create_policy('unusual', '{"metric": "errors", "test": "anomaly", "action": "warn"}') > 0 AS made;
UPDATE flagscope.guardrail SET description = 'x' WHERE id = :search;
SELECT count(*) > 2000 AS kept FROM _flagscope.anomaly_point WHERE guardrail_id = :search;
UPDATE flagscope.guardrail SET time_window = '20 minutes' WHERE id = :search;
SELECT count(*) AS forgotten FROM _flagscope.anomaly_point WHERE guardrail_id = :search;
DELETE FROM flagscope.guardrail WHERE id = :speed;
SELECT count(*) AS gone FROM _flagscope.anomaly_point WHERE guardrail_id = :speed;
-- One per week of ten minutes, of minutes at most 4, where the detector begins anew.
SELECT round(_flagscope.anomaly_line('10 minutes', '7 days')::numeric, 4) AS ten,
    _flagscope.anomaly_line('1 minute', '7 days') AS one,
    round(_flagscope.anomaly_line('1 hour', '7 days')::numeric, 4) AS hour;
