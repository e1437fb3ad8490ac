-- The budget of a tick: what can grow is done by slices; what is left waits, is told, and is lost nowhere. Nothing here
-- depends on how fast the machine is: with a budget of a microsecond each kind of work does one slice a tick.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
-- Crossings count from the start, not only once clients know the share.
UPDATE flagscope.setting SET value = '"1 millisecond"' WHERE name = 'health.settle';
\set SHOW_CONTEXT never
SELECT flagscope.set_setting('tick.budget', '"1 microsecond"');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_flag('old'), flagscope.create_flag('new'), flagscope.create_flag('quiet');
SELECT flagscope.create_guardrail(f, 'errors') FROM unnest('{old,new,quiet}'::text[]) f;
SELECT flagscope.start_rollout(flagscope.create_rollout(f, stages => '{50, 100}', min_duration => '9 days'),
    at => '2040-01-05 12:00', override => true, reason => 'unguarded') > 0 AS started
FROM unnest('{old,new}'::text[]) f;
SELECT made > 0 AS made, problems FROM flagscope.maintain('2040-01-05 12:00');
SELECT decisions, waiting FROM flagscope.tick('2040-01-05 12:00');
CREATE FUNCTION pg_temp.pay(flag text, since timestamptz, buckets integer, bad boolean DEFAULT false) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags)
    SELECT since + b * interval '10 s', 'span', 'pay', (k = 1 AND bad) OR b % 20 = 0,
        jsonb_build_object(flag, CASE k WHEN 1 THEN 'on' ELSE 'off' END)
    FROM generate_series(0, buckets - 1) b, generate_series(0, 1) k;
$$;
CREATE VIEW pg_temp.lanes AS
SELECT CASE WHEN t.part LIKE '%past%' THEN 'past' WHEN t.part LIKE '%late%' THEN 'late' ELSE 'now' END AS lane,
    t.flag, sum(t.n) AS rows
FROM (SELECT d.tableoid::regclass::text AS part, d.flag, d.n FROM _flagscope.variant_delta d) t
GROUP BY 1, 2 ORDER BY 1, 2;

-- Days of the past in one statement, more than it keeps in memory:
-- every row is in a delta, those of two flags in one lane.
SELECT pg_temp.pay('old', '2040-01-02 00:00', 11000), pg_temp.pay('quiet', '2040-01-02 00:00', 1);
SELECT * FROM pg_temp.lanes;
SELECT count(*) AS deltas, sum(n) AS rows, sum(events) AS errors FROM _flagscope.variant_delta WHERE flag = 'old';
-- One statement that comes back to buckets that it has written:
-- they are in more deltas than one, and every row is in one.
INSERT INTO flagscope.telemetry (ts, signal, name, flags)
SELECT '2040-01-02 00:00'::timestamptz + b * interval '10 s', 'span', 'pay', '{"quiet": "on"}'
FROM generate_series(1, 2) copy, generate_series(1, 20001) b ORDER BY copy, b;
SELECT count(*) > count(DISTINCT (variant, bucket)) AS written_early, count(DISTINCT bucket) AS buckets,
    sum(n) AS rows FROM _flagscope.variant_delta
WHERE flag = 'quiet';
-- What is judged now comes first, though it came last.
SELECT pg_temp.pay('new', '2040-01-05 12:00', 200, true);
SELECT * FROM pg_temp.lanes;
SELECT strata, decisions, waiting FROM flagscope.tick('2040-01-05 12:34');
SELECT flag, action FROM flagscope.decision WHERE actor = 'flagscope';
SELECT lane, sum(rows) < 62004 AS some_are_done, sum(rows) > 50000 AS most_wait FROM pg_temp.lanes GROUP BY 1;
SELECT says ~ '^the last tick ran out of time \(setting tick.budget, 1 microsecond\); left for the next ones: [0-9]+ '
    'deltas of metrics, open buckets to be settled$' AS told FROM flagscope.status() WHERE item = 'waiting';
SELECT waiting FROM _flagscope.tick_state;
-- Of a running stage before the rest of the past; and both arms of a bucket together.
SELECT pg_temp.pay('old', '2040-01-05 11:00', 420);
SELECT strata FROM flagscope.tick('2040-01-05 12:34:01');
SELECT n_treatment = n_control AS both_arms, n_treatment
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id WHERE g.flag = 'old';
-- With time enough nothing waits, and the rollups are what the rows say.
SELECT flagscope.set_setting('tick.budget', '"1 hour"');
SELECT waiting FROM flagscope.tick('2040-01-05 12:35');
SELECT count(*) FROM flagscope.status() WHERE item = 'waiting';
SELECT count(*) FROM _flagscope.variant_delta;
SET client_min_messages = warning;  -- on a slow machine it tells how far it is
SELECT count(*) FROM flagscope.verify_rollup('-infinity');
SELECT flag,
    sum(n) AS rows FROM (SELECT 'old' AS flag, n
        FROM flagscope.variant_states('old', since => '2040-01-01', until => '2040-01-06')
        UNION ALL SELECT 'new', n FROM flagscope.variant_states('new', since => '2040-01-01', until => '2040-01-06')) s
GROUP BY 1 ORDER BY 1;

-- Settling: a slice a tick, between two maintenances, too.
SELECT flagscope.set_setting('tick.budget', '"1 microsecond"');
SELECT pg_temp.pay('old', '2040-01-05 13:00', 2600);
SELECT count(*) > 0 AS waits FROM _flagscope.variant_delta;
UPDATE flagscope.setting SET value = '"1 hour"' WHERE name = 'tick.budget';
SELECT waiting FROM flagscope.tick('2040-01-05 12:35:01');
UPDATE flagscope.setting SET value = '"1 microsecond"' WHERE name = 'tick.budget';
SELECT count(*) AS open FROM flagscope.variant_rollup WHERE NOT settled;
SELECT waiting FROM flagscope.tick('2040-01-05 23:00');
SELECT count(*) AS open FROM flagscope.variant_rollup WHERE NOT settled;
SELECT waiting FROM flagscope.tick('2040-01-05 23:00:01');
SELECT count(*) AS open FROM flagscope.variant_rollup WHERE NOT settled;
SELECT waiting FROM flagscope.tick('2040-01-05 23:00:02');
SELECT count(*) AS open FROM flagscope.variant_rollup WHERE NOT settled;
SELECT count(*) FROM flagscope.verify_rollup('2040-01-01');

-- Exposures: each unit is counted once, whichever slice it is in; who is served both variants crosses, also within one.
SELECT flagscope.create_flag('users');
SELECT flagscope.start_rollout(flagscope.create_rollout('users', stages => '{50, 100}', min_duration => '9 days'),
    at => '2040-01-05 23:00', override => true, reason => 'unguarded') AS id \gset
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
SELECT '2040-01-05 23:00:03', 'event', 'feature_flag.evaluation', 'user-' || i,
    jsonb_build_object('users', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END)
FROM generate_series(1, 12000) i;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
SELECT '2040-01-05 23:00:04', 'event', 'feature_flag.evaluation', 'user-' || i, '{"users": "off"}'
FROM generate_series(1, 40) i;
SELECT 'exposures' = ANY (waiting) AS waits FROM flagscope.tick('2040-01-05 23:00:05');
SELECT count(*) AS units FROM flagscope.rollout_subject;
SELECT 'exposures' = ANY (waiting) AS waits FROM flagscope.tick('2040-01-05 23:00:06');
SELECT count(*) AS units FROM flagscope.rollout_subject;
SELECT 'exposures' = ANY (waiting) AS waits FROM flagscope.tick('2040-01-05 23:00:07');
SELECT count(*) AS units FROM flagscope.rollout_subject;
SELECT count(*) AS units, count(treated_at) AS treated, count(*) FILTER (WHERE crossed) AS crossed
FROM flagscope.rollout_subject;
SELECT rule, n_treatment, n_control, expected
FROM flagscope.rollout_health h JOIN flagscope.rollout r ON r.id = h.rollout_id WHERE r.flag = 'users' ORDER BY rule;
SELECT count(*) FROM _flagscope.subject_delta;
-- The same user in both variants by one statement, and again.
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
SELECT t, 'event', 'feature_flag.evaluation', s, jsonb_build_object('users', v)
FROM (VALUES ('2040-01-05 23:01:00'::timestamptz, 'both', 'on'), ('2040-01-05 23:01:01', 'both', 'off'),
    ('2040-01-05 23:01:00', 'widened', 'off'), ('2040-01-05 23:01:01', 'widened', 'on')) x(t, s, v);
SELECT flagscope.tick('2040-01-05 23:02') IS NOT NULL AS ticked;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
VALUES ('2040-01-05 23:02:01', 'event', 'feature_flag.evaluation', 'both', '{"users": "off"}');
SELECT flagscope.tick('2040-01-05 23:03') IS NOT NULL AS ticked;
SELECT subject, variant, first_seen, treated_at, crossed
FROM flagscope.rollout_subject WHERE subject IN ('both', 'widened') ORDER BY 1;
SELECT n_treatment AS crossed FROM flagscope.rollout_health
WHERE rule = 'crossing' AND rollout_id IN (SELECT id FROM flagscope.rollout WHERE flag = 'users');

-- Late traces: rows that came before their evaluations, over a day; the newest are looked at first, none is lost.
INSERT INTO flagscope.telemetry (ts, signal, name, flags, trace_id)
SELECT '2040-01-04 12:00'::timestamptz + i * interval '1 minute', 'event', 'feature_flag.evaluation', '{"quiet": "on"}',
    md5(i::text)::uuid
FROM generate_series(1, 1200) i;
-- As if each had been written by somebody who did not see the evaluation.
SET flagscope.attribution = off;
INSERT INTO flagscope.telemetry (ts, signal, name, trace_id)
SELECT '2040-01-04 12:00:30'::timestamptz + i * interval '1 minute', 'span', 'pay', md5(i::text)::uuid
FROM generate_series(1, 1200) i;
RESET flagscope.attribution;
SELECT 'late traces' = ANY (waiting) AS waits FROM flagscope.tick('2040-01-05 23:04');
SELECT count(*) AS traces FROM _flagscope.late_trace;
SELECT 'late traces' = ANY (waiting) AS waits FROM flagscope.tick('2040-01-05 23:04:01');
SELECT count(*) AS traces FROM _flagscope.late_trace;
SELECT count(*) AS tied, min(ts) AS since FROM flagscope.telemetry WHERE attribution = 'trace';
SELECT 'late traces' = ANY (waiting) AS waits FROM flagscope.tick('2040-01-05 23:04:02');
SELECT count(*) AS traces FROM _flagscope.late_trace;
SELECT 'late traces' = ANY (waiting) AS waits FROM flagscope.tick('2040-01-05 23:04:03');
SELECT count(*) AS traces FROM _flagscope.late_trace;
SELECT count(*) AS tied, count(*) FILTER (WHERE flags = '{"quiet": "on"}') AS to_quiet
FROM flagscope.telemetry WHERE attribution = 'trace';
-- More stray rows than a tick may move stay where they are, are read from there, and are told; by hand they are moved.
INSERT INTO flagscope.telemetry (ts, signal, name)
SELECT '2040-01-12 12:00', 'log', 'early' FROM generate_series(1, 50001);
SELECT flagscope.confirm_time('2040-01-12 12:00');
SELECT flagscope.tick('2040-01-12 12:00') IS NOT NULL AS ticked;
SELECT substring(says FROM 'failed.*') AS told FROM flagscope.status() WHERE item = 'last maintenance';
SELECT tableoid::regclass, count(*) FROM flagscope.telemetry WHERE name = 'early' GROUP BY 1;
SELECT count(*) AS ahead FROM flagscope.chunk WHERE parent = 'telemetry' AND lower > '2040-01-12';
SELECT problems FROM flagscope.maintain('2040-01-12 12:00');
SELECT tableoid::regclass, count(*) FROM flagscope.telemetry WHERE name = 'early' GROUP BY 1;
SELECT flagscope.set_setting('tick.budget', '"0 s"');
