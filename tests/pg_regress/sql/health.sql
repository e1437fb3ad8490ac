-- Health rules: a split other than asked for, units that go back, exposures that stop.
-- Each is told once and holds the ramp.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
-- n units, numbered from a first one on, served a variant.
CREATE FUNCTION pg_temp.expose(flag text, variant text, at timestamptz, first integer, n integer) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
    SELECT at, 'event', 'feature_flag.evaluation', 'user-' || i, jsonb_build_object(flag, variant)
    FROM generate_series(first, first + n - 1) i;
$$;
CREATE FUNCTION pg_temp.health(at timestamptz)
RETURNS TABLE (rollout bigint, rule flagscope.health_rule, state flagscope.data_state, reason text)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM flagscope.tick(at);
    RETURN QUERY SELECT h.rollout_id, h.rule, h.state, h.reason FROM flagscope.rollout_health h ORDER BY 1, 2;
END $$;
SELECT flagscope.create_flag('f');
SELECT flagscope.create_rollout('f', stages => ARRAY[10, 50, 100], min_duration => '10 min') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-02 12:00', override => true, reason => 'unguarded') > 0 AS started;
-- Without exposures nothing is judged: a plain timed ramp.
SELECT * FROM pg_temp.health('2040-01-02 12:01');
SELECT flagscope.ramp_gate(:id, '2040-01-02 12:01');
-- As asked for: 100 of 1000 units. A unit counts once, however often it is exposed; other flags, other variants, rows
-- before the start and rows without a subject do not count.
SELECT pg_temp.expose('f', 'on', '2040-01-02 12:01', 1, 100), pg_temp.expose('f', 'off', '2040-01-02 12:01', 101, 900);
SELECT pg_temp.expose('f', 'on', '2040-01-02 12:01', 1, 100), pg_temp.expose('f', 'none', '2040-01-02 12:01', 5000, 9),
    pg_temp.expose('g', 'on', '2040-01-02 12:01', 6000, 9), pg_temp.expose('f', 'on', '2040-01-02 11:59', 7000, 9);
INSERT INTO flagscope.telemetry (ts, signal, name, flags)
SELECT '2040-01-02 12:01', 'event', 'feature_flag.evaluation', '{"f": "on"}' FROM generate_series(1, 50);
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
SELECT '2040-01-02 12:01', 'event', 'purchase', 'u' || i, '{"f": "on"}' FROM generate_series(1, 50) i;
SELECT * FROM pg_temp.health('2040-01-02 12:02');
SELECT variant, count(*), count(treated_at) AS treated, count(*) FILTER (WHERE crossed) AS crossed
FROM flagscope.rollout_subject GROUP BY 1 ORDER BY 1;
-- Widening moves units to the treatment: neither a crossing nor, since only new units count, a mismatch.
SELECT decisions FROM flagscope.tick('2040-01-02 12:10');
SELECT pg_temp.expose('f', 'on', '2040-01-02 12:11', 1, 500), pg_temp.expose('f', 'off', '2040-01-02 12:11', 501, 500),
    pg_temp.expose('f', 'on', '2040-01-02 12:11', 2001, 100), pg_temp.expose('f', 'off', '2040-01-02 12:11', 2101, 100);
SELECT * FROM pg_temp.health('2040-01-02 12:12');
-- A late exposure counts with the share of its time: 10 %, not 50 %.
SELECT pg_temp.expose('f', 'on', '2040-01-02 12:05', 3001, 10),
    pg_temp.expose('f', 'off', '2040-01-02 12:05', 3011, 90);
SELECT * FROM pg_temp.health('2040-01-02 12:13') WHERE rule = 'split';
SELECT n_treatment, n_control, expected FROM flagscope.rollout_health WHERE rule = 'split';
-- Evidence by hand: strata of (share, treatment, control) on the grid +-ln(1.02, 1.05, 1.1, 1.2, 1.5, 2, 5). All came a
-- minute after the share was changed: nothing is left out.
SELECT bool_and(abs(e - (d * 210 - 1100 * ln(1 + 0.1 * (exp(d) - 1)) - 200 * ln(1 + 0.5 * (exp(d) - 1)))) < 1e-9)
    AS as_by_hand, count(*) AS points
FROM flagscope.rollout_health h, unnest(h.evidence) WITH ORDINALITY e(e, j), LATERAL (SELECT sign(7.5 - e.j)
    * ln(('{1.02,1.05,1.1,1.2,1.5,2,5}'::float8[])[1 + (e.j - 1) % 7]) AS d) g WHERE h.rule = 'split';
-- Half of the treatment's units are lost: held, told once, and nobody is rolled back.
SELECT pg_temp.expose('f', 'on', '2040-01-02 12:14', 10001, 200),
    pg_temp.expose('f', 'off', '2040-01-02 12:14', 11001, 400);
SELECT * FROM pg_temp.health('2040-01-02 12:15');
SELECT decisions FROM flagscope.tick('2040-01-02 12:20:01');
SELECT flagscope.ramp_gate(:id, '2040-01-02 12:20:01');
SELECT action, reason, to_status, to_percent FROM flagscope.decision WHERE actor = 'flagscope' ORDER BY id;
SELECT flagscope.explain_decision(max(id)) FROM flagscope.decision;
-- Where targeting decides, too, shares are not judged.
BEGIN;
UPDATE flagscope.flag_state
SET targeting = '{"if": [{"in": ["@example.com", {"var": "email"}]}, "on", null]}' WHERE flag = 'f';
SELECT * FROM pg_temp.health('2040-01-02 12:16') WHERE rule = 'split';
ROLLBACK;
-- A person resumes: what was not well is counted anew.
BEGIN;
SELECT flagscope.pause_rollout(:id, at => '2040-01-02 12:21') > 0 AS paused,
    flagscope.resume_rollout(:id, at => '2040-01-02 12:22') > 0 AS resumed;
SELECT pg_temp.expose('f', 'on', '2040-01-02 12:22:10', 20001, 100),
    pg_temp.expose('f', 'off', '2040-01-02 12:22:10', 21001, 100);
SELECT rule, state, reason FROM pg_temp.health('2040-01-02 12:22:20') WHERE rule <> 'traffic';
ROLLBACK;

-- Arms that users come into otherwise than by chance: refused at the start, and told when it comes about later. Units
-- that come meanwhile say nothing of the split, also when it is over.
SELECT flagscope.create_flag('staff', '{"off": false, "on": true, "staff": true}');
SELECT flagscope.create_rollout('staff', stages => '{50, 100}', min_duration => '1 day') AS id \gset
SELECT flagscope.set_targeting('staff', '{"if": [{"==": [{"var": "plan"}, "off"]}, "on", null]}') > 0 AS set;
SELECT flagscope.start_rollout(:id, at => '2040-01-02 12:00');
SELECT flagscope.start_rollout(:id, at => '2040-01-02 12:00', override => true);
SELECT flagscope.set_targeting('staff', '{"var": "variant"}') > 0 AS set;
SELECT flagscope.start_rollout(:id, at => '2040-01-02 12:00');
SELECT flagscope.set_targeting('staff', NULL) > 0 AS set,
    flagscope.set_prerequisites('staff', '[{"flag": "f", "variant": "on"}]') > 0 AS set;
SELECT flagscope.start_rollout(:id, at => '2040-01-02 12:00');
SELECT flagscope.set_prerequisites('staff', NULL) > 0 AS set,
    flagscope.set_targeting('staff', '{"if": [{"in": ["@example.com", {"var": "email"}]}, "staff", null]}') > 0 AS set;
SELECT flagscope.start_rollout(:id, at => '2040-01-02 12:00',
    override => true, reason => 'unguarded') > 0 AS a_variant_of_their_own;
SELECT pg_temp.expose('staff', 'on', '2040-01-02 12:00:10', 1, 100),
    pg_temp.expose('staff', 'off', '2040-01-02 12:00:10', 101, 100),
    pg_temp.expose('staff', 'staff', '2040-01-02 12:00:10', 201, 5000);
SELECT rule, state, reason FROM pg_temp.health('2040-01-02 12:01') WHERE rollout = :id AND rule = 'split';
SELECT flagscope.set_targeting('staff', '{"if": [{"in": ["@example.com", {"var": "email"}]}, "on", null]}') > 0 AS set;
SELECT pg_temp.expose('staff', 'on', '2040-01-02 12:01:10', 5001, 5000);
SELECT rule, state, reason FROM pg_temp.health('2040-01-02 12:02') WHERE rollout = :id AND rule = 'split';
SELECT flagscope.set_targeting('staff', NULL) > 0 AS set;
SELECT pg_temp.expose('staff', 'on', '2040-01-02 12:02:10', 20001, 10);
SELECT rule, state, reason FROM pg_temp.health('2040-01-02 12:03') WHERE rollout = :id AND rule = 'split';
SELECT id FROM flagscope.rollout WHERE flag = 'f' \gset
-- What cannot be judged is not ok: the ramp waits until it can.
BEGIN;
ALTER TABLE flagscope.rollout_subject ADD CONSTRAINT broken CHECK (subject <> 'user-30001') NOT VALID;
SELECT pg_temp.expose('staff', 'on', '2040-01-02 12:03:10', 30001, 1);
SELECT rollout, rule, state, reason LIKE '%violates check constraint "broken"%' AS why
FROM pg_temp.health('2040-01-02 12:04') ORDER BY 1, 2;
ALTER TABLE flagscope.rollout_subject DROP CONSTRAINT broken;
SELECT rollout, rule, state FROM pg_temp.health('2040-01-02 12:05') ORDER BY 1, 2;
ROLLBACK;

-- Crossing: ten units and a percent.
SELECT flagscope.create_flag('sticky');
SELECT flagscope.create_rollout('sticky', stages => ARRAY[50, 100], min_duration => '1 day') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-02 13:00', override => true, reason => 'unguarded') > 0 AS started;
SELECT pg_temp.expose('sticky', 'on', '2040-01-02 13:00:10', 1, 100),
    pg_temp.expose('sticky', 'off', '2040-01-02 13:00:10', 101, 100);
SELECT pg_temp.expose('sticky', 'off', '2040-01-02 13:00:20', 1, 9),
    pg_temp.expose('sticky', 'on', '2040-01-02 13:00:20', 150, 20);
SELECT rule, state, reason FROM pg_temp.health('2040-01-02 13:01') WHERE rollout = :id;
-- Not in the first minute, when not all clients know the share yet.
SELECT pg_temp.expose('sticky', 'off', '2040-01-02 13:01:20', 1, 9);
SELECT rule, state, reason FROM pg_temp.health('2040-01-02 13:01:30') WHERE rollout = :id AND rule = 'crossing';
SELECT pg_temp.expose('sticky', 'off', '2040-01-02 13:01:40', 10, 1);
SELECT rule, state, reason FROM pg_temp.health('2040-01-02 13:02') WHERE rollout = :id;
-- Once it was stepped back, going back is what was asked for.
SELECT flagscope.step_back_rollout(:id, at => '2040-01-02 13:03') > 0 AS back;
-- Traffic: exposures of the treatment stop; they come again.
SELECT rule, state, reason FROM pg_temp.health('2040-01-02 13:11') WHERE rollout = :id AND rule = 'traffic';
SELECT rule, state, reason FROM pg_temp.health('2040-01-02 13:11:01') WHERE rollout = :id AND rule = 'traffic';
SELECT pg_temp.expose('sticky', 'on', '2040-01-02 13:13', 1, 1);
SELECT rule, state, reason FROM pg_temp.health('2040-01-02 13:13:01') WHERE rollout = :id AND rule = 'traffic';
SELECT action, reason FROM flagscope.decision WHERE rollout_id = :id AND actor = 'flagscope' ORDER BY id;
-- Units are forgotten when the flag's next rollout starts; none waits.
SELECT flagscope.rollback_rollout(:id) > 0 AS over;
SELECT flagscope.start_rollout(flagscope.create_rollout('sticky'),
    override => true, reason => 'unguarded') > 0 AS started;
SELECT count(*) FROM flagscope.rollout_subject WHERE rollout_id = :id;
SELECT count(*) FROM _flagscope.subject_delta;
-- A subject too long for an index row is kept by its md5.
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
SELECT clock_timestamp(), 'event', 'feature_flag.evaluation', string_agg(md5(i::text), ''), '{"sticky": "on"}'
FROM generate_series(1, 1000) i;
SELECT flagscope.tick() IS NOT NULL AS ticked;
SELECT subject = md5((SELECT string_agg(md5(i::text), '') FROM generate_series(1, 1000) i)) AS by_md5
FROM flagscope.rollout_subject JOIN flagscope.rollout r ON r.id = rollout_id WHERE r.flag = 'sticky';

-- Nobody is served the treatment, though the control has users: not well once the stage is as old as a silence may be;
-- told once, until somebody is. A rollout whose exposures nobody sends goes on.
SELECT flagscope.create_flag('unseen'), flagscope.create_flag('silent');
SELECT flagscope.create_rollout('unseen', stages => '{10, 50, 100}', min_duration => '11 min') AS id,
    flagscope.create_rollout('silent', stages => '{10, 50, 100}', min_duration => '11 min') AS silent \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-02 14:00', override => true, reason => 'unguarded') > 0 AS started,
    flagscope.start_rollout(:silent, at => '2040-01-02 14:00', override => true, reason => 'unguarded') > 0 AS started;
SELECT pg_temp.expose('unseen', 'off', '2040-01-02 14:00:10', 1, 50);
SELECT rule, state, reason FROM pg_temp.health('2040-01-02 14:10') WHERE rollout = :id;
SELECT rule, state, reason FROM pg_temp.health('2040-01-02 14:10:01') WHERE rollout = :id;
SELECT count(*) AS ticks
FROM generate_series(0, 2) i, flagscope.tick('2040-01-02 14:11'::timestamptz + i * interval '1 s') t;
SELECT id = :silent AS silent, stage, flagscope.ramp_gate(id, '2040-01-02 14:11:03')
FROM flagscope.rollout WHERE id IN (:id, :silent) ORDER BY id;
SELECT action, reason FROM flagscope.decision WHERE rollout_id = :id AND actor = 'flagscope' ORDER BY id;
-- A person resumes: the stage begins anew, and so does its patience.
SELECT flagscope.pause_rollout(:id, at => '2040-01-02 14:12') > 0 AS paused,
    flagscope.resume_rollout(:id, at => '2040-01-02 14:13') > 0 AS resumed;
SELECT rule, state, reason FROM pg_temp.health('2040-01-02 14:23') WHERE rollout = :id AND rule = 'traffic';
SELECT rule, state FROM pg_temp.health('2040-01-02 14:23:01') WHERE rollout = :id AND rule = 'traffic';
SELECT pg_temp.expose('unseen', 'on', '2040-01-02 14:23:30', 51, 5);
SELECT rule, state, reason FROM pg_temp.health('2040-01-02 14:24') WHERE rollout = :id AND rule = 'traffic';
SELECT stage FROM flagscope.rollout WHERE id = :id;

-- After completion, on watch: exposures make units (a metric that is a query counts them), and health stays as it was.
CREATE SCHEMA after;
CREATE TABLE after.orders (at timestamptz, customer text, refunded boolean);
SELECT flagscope.create_query_metric('refunds', 'proportion',
    'SELECT customer AS subject, refunded AS value, at AS ts FROM after.orders WHERE at >= $1 AND at < $2');
SELECT flagscope.create_flag('late'),
    flagscope.create_guardrail('late', 'refunds', limit_value => 0.1) IS NOT NULL AS made;
SELECT flagscope.create_rollout('late', stages => ARRAY[50, 100], min_duration => '1 minute',
    follow_up => '1 hour') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-02 15:00', override => true, reason => 'unguarded') > 0 AS started;
SELECT pg_temp.expose('late', 'on', '2040-01-02 15:00:10', 1, 100),
    pg_temp.expose('late', 'off', '2040-01-02 15:00:10', 101, 100);
SELECT rule, state, reason FROM pg_temp.health('2040-01-02 15:00:20') WHERE rollout = :id;
SELECT flagscope.complete_rollout(:id, at => '2040-01-02 15:10') > 0 AS completed;
SELECT status, follow_up_until FROM flagscope.rollout WHERE id = :id;
CREATE TEMP TABLE healthy AS SELECT * FROM flagscope.rollout_health WHERE rollout_id = :id;
-- 300 new units; ten of the control that now have the treatment; one that was there before and comes late; one that
-- goes back; and two that do not count: of another variant, and of a time when the watch is over.
SELECT pg_temp.expose('late', 'on', '2040-01-02 15:10:10', 1001, 300), pg_temp.expose('late', 'on',
        '2040-01-02 15:10:10', 101, 10), pg_temp.expose('late', 'on', '2040-01-02 15:05', 2001,
            1), pg_temp.expose('late', 'off', '2040-01-02 15:10:10', 1, 1), pg_temp.expose('late', 'none',
                '2040-01-02 15:10:10', 3001, 1), pg_temp.expose('late', 'on', '2040-01-02 16:10', 4001, 1);
SELECT count(*) AS noted FROM _flagscope.subject_delta;
SELECT flagscope.tick('2040-01-02 15:10:20') IS NOT NULL AS ticked;
SELECT variant, date_trunc('minute', first_seen)::time AS first_seen, count(*) AS units, count(treated_at) AS treated,
    min(treated_at)::time AS treated_at, count(*) FILTER (WHERE crossed) AS crossed
FROM flagscope.rollout_subject WHERE rollout_id = :id GROUP BY 1, 2 ORDER BY 1, 2;
-- The new ones give back a third of what they order; nobody else orders.
INSERT INTO after.orders SELECT '2040-01-02 15:10:30', 'user-' || 1000 + i, i % 3 = 0 FROM generate_series(1, 300) i;
-- A minute of the query's range for each tick, after the ten minutes without one.
SELECT sum(t.decisions) AS decisions
FROM generate_series(0, 11) i, flagscope.tick('2040-01-02 15:10:40'::timestamptz + i * interval '6 seconds') t;
SELECT sum(n) AS orders, sum(events) AS refunded, string_agg(DISTINCT variant, ' ') AS variants
FROM flagscope.variant_rollup WHERE flag = 'late';
SELECT problem FROM flagscope.metric_run;
SELECT d.action, d.from_status, d.to_status, d.reason
FROM flagscope.decision d WHERE d.rollout_id = :id AND d.guardrail_id IS NOT NULL;
SELECT count(*) FILTER (WHERE h IS DISTINCT FROM o) AS changed, count(*) AS rules
FROM flagscope.rollout_health h JOIN healthy o USING (rollout_id, rule);
-- Once it is rolled back nothing is noted any more.
SELECT pg_temp.expose('late', 'on', '2040-01-02 15:11', 5001, 9);
SELECT count(*) AS noted FROM _flagscope.subject_delta;
-- An exposure that comes in while the watch is on and is looked at when it is over makes its unit all the same;
-- one of later does not.
SELECT flagscope.create_flag('short');
SELECT flagscope.create_rollout('short', follow_up => '1 minute') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-02 17:00', override => true, reason => 'unguarded') > 0 AS started,
    flagscope.complete_rollout(:id, at => '2040-01-02 17:01') > 0 AS completed;
SELECT pg_temp.expose('short', 'on', '2040-01-02 17:01:30', 1, 5),
    pg_temp.expose('short', 'on', '2040-01-02 17:02:00', 11, 5);
SELECT count(*) AS noted FROM _flagscope.subject_delta;
SELECT flagscope.tick('2040-01-02 17:02') IS NOT NULL AS ticked;
SELECT (SELECT count(*) FROM _flagscope.subject_delta) AS noted,
    (SELECT count(*) FROM flagscope.rollout_subject WHERE rollout_id = :id) AS units,
    (SELECT count(*) FROM flagscope.rollout_health WHERE rollout_id = :id) AS rules;
-- So for a rollback: what waited when it was decided belongs to the rollout, and its health stays as it was.
SELECT flagscope.create_flag('back');
SELECT flagscope.create_rollout('back') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-02 18:00', override => true, reason => 'unguarded') > 0 AS started;
SELECT pg_temp.expose('back', 'on', '2040-01-02 18:00:10', 1, 5),
    pg_temp.expose('back', 'off', '2040-01-02 18:00:30', 11, 5);
SELECT flagscope.rollback_rollout(:id, at => '2040-01-02 18:00:20') > 0 AS rolled_back;
SELECT flagscope.tick('2040-01-02 18:00:40') IS NOT NULL AS ticked;
SELECT (SELECT count(*) FROM _flagscope.subject_delta) AS noted,
    (SELECT string_agg(DISTINCT variant, ' ') || count(*)
        FROM flagscope.rollout_subject WHERE rollout_id = :id) AS units,
    (SELECT count(*) FROM flagscope.rollout_health WHERE rollout_id = :id) AS rules;
DROP SCHEMA after CASCADE;
