-- correlate() over several stages of a ramp: each stage is compared within itself. While the treatment goes from 1 to
-- 10 to 50 %, errors of both arms grow in one country; pooled, that looks like the treatment's (Simpson's paradox).
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SET timezone = 'UTC';
\getenv tests PG_ABS_SRCDIR
\set file :tests '/requests.sql'
\set ECHO none
\i :file
\set ECHO all
SELECT flagscope.create_flag('ramped');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "GET /"}', '{"is_error": true}');
SELECT flagscope.create_rollout('ramped', stages => ARRAY[1, 10, 50, 100]) AS rollout;
SELECT flagscope.start_rollout(1, at => '2040-01-02 12:00', override => true, reason => 'unguarded') > 0 AS at_1,
    flagscope.advance_rollout(1, override => true, at => '2040-01-02 12:10') > 0 AS at_10,
    flagscope.advance_rollout(1, override => true, at => '2040-01-02 12:20') > 0 AS at_50;
CREATE TEMP TABLE request AS
SELECT r.i, r.stage, r.ts, r.who, pg_temp.u(r.who, 2) < r.share AS treated, c.country, pg_temp.u(r.i, 5)
    < CASE WHEN c.country = 'DE' THEN 0.002 + 0.1 * r.stage ^ 2 / 9 ELSE 0.04 END AS failed,
    pg_temp.u(r.i, 6) < 0.2 AS beta
FROM (SELECT i, 1 + i / 10000 AS stage, timestamptz '2040-01-02 12:00' + i * interval '0.06 second' AS ts,
        floor(3000 * pg_temp.u(i, 1))::bigint AS who, (ARRAY[0.01, 0.1, 0.5])[1 + i / 10000] AS share
        FROM generate_series(1, 29999) i) r,
    LATERAL (SELECT CASE WHEN pg_temp.u(r.who, 3) < 0.3 THEN 'DE' ELSE 'FR' END AS country) c;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags, is_error, attributes, environment)
SELECT r.ts, 'span', 'GET /', 'user-' || r.who,
    jsonb_build_object('ramped', CASE WHEN r.treated THEN 'on' ELSE 'off' END), r.failed,
    jsonb_build_object('country', r.country, 'beta', r.beta), 'production' FROM request r;
\set range 'since => \'2040-01-02 12:00\', until => \'2040-01-02 13:00\''

-- Pooled, Germany is guilty beyond doubt; stage by stage nothing is.
SELECT w.n_treatment, w.events_treatment AS e_t, w.n_control, w.events_control AS e_c,
    pooled.p_value < 1e-3 AS pooled_is_guilty, w.p_value > 0.05 AS within_stages_is_not
FROM flagscope.weigh_segment('ramped', '{"attributes": {"country": "DE"}}', 'errors', :range) w,
    flagscope.segment_test(w.n_treatment, w.events_treatment, w.n_control, w.events_control, w.all_n_treatment,
        w.all_events_treatment, w.all_n_control, w.all_events_control, w.dispersion_inside,
        w.dispersion_outside) pooled;
SELECT kind, regexp_replace(finding, ';.*| of the treatment.*', ' ...') AS finding
    FROM flagscope.correlate('ramped', 'errors', :range) WHERE kind IN ('segment', 'symptom', 'note');
-- What is tested are the counts weighted by Mantel and Haenszel, scaled to the rows that they are worth.
WITH stage AS (
    SELECT stage, count(*) FILTER (WHERE treated)::float8 AS n_t, count(*) FILTER (WHERE NOT treated)::float8 AS n_c
    FROM request GROUP BY stage
), weight AS (
    SELECT s.stage, s.n_c / (s.n_t + s.n_c) * x.sum / x.squares_t AS w_t,
        s.n_t / (s.n_t + s.n_c) * x.sum / x.squares_c AS w_c
    FROM stage s, (SELECT sum(n_t * n_c / (n_t + n_c)), sum(n_t * (n_c / (n_t + n_c)) ^ 2) AS squares_t,
        sum(n_c * (n_t / (n_t + n_c)) ^ 2) AS squares_c FROM stage) x
), row AS (
    SELECT r.*, CASE WHEN r.treated THEN w.w_t ELSE w.w_c END AS w FROM request r JOIN weight w USING (stage)
), by_hand AS (
    SELECT ARRAY[sum(w) FILTER (WHERE treated AND country = 'DE'),
        sum(w) FILTER (WHERE treated AND country = 'DE' AND failed),
        sum(w) FILTER (WHERE NOT treated AND country = 'DE'),
        sum(w) FILTER (WHERE NOT treated AND country = 'DE' AND failed),
        sum(w) FILTER (WHERE treated), sum(w) FILTER (WHERE treated AND failed),
        sum(w) FILTER (WHERE NOT treated), sum(w) FILTER (WHERE NOT treated AND failed)] AS n FROM row
)
SELECT bool_and(abs(h.n[i] - w.tested[i]) < 1e-6) AS same_weighted_counts, bool_and(w.gain = t.gain
    AND w.p_value = t.p_value) AS tested_as_told
FROM by_hand h, generate_series(1, 8) i,
    flagscope.weigh_segment('ramped', '{"attributes": {"country": "DE"}}', 'errors', :range) w,
    flagscope.segment_test(w.tested[1], w.tested[2], w.tested[3], w.tested[4], w.tested[5], w.tested[6], w.tested[7],
        w.tested[8], w.tested[9], w.tested[10]) t;

-- Harm of the treatment is still found, in the segment where it is; rows are told as they are, and it can be computed
-- anew.
UPDATE flagscope.telemetry SET is_error = true WHERE flags ->> 'ramped' = 'on' AND attributes ->> 'country' = 'FR'
    AND attributes -> 'beta' = 'true' AND pg_temp.u(extract(epoch FROM ts)::bigint, 7) < 0.4;
CREATE TEMP TABLE found AS SELECT * FROM flagscope.correlate('ramped', 'errors', :range);
SELECT kind, finding, round(100 * share::numeric) AS "%", treatment, control FROM found WHERE kind = 'segment';
SELECT f.n_treatment = x.n_t AND f.events_treatment = x.e_t AND f.n_control = x.n_c
        AND f.events_control = x.e_c AS same_rows,
    abs(w.p_value / nullif(f.p_value, 0) - 1) < 1e-6 AND abs(w.share - f.share) < 1e-9 AS computed_anew
FROM found f, (SELECT count(*) FILTER (WHERE v = 'on') AS n_t, count(*) FILTER (WHERE v = 'on' AND is_error) AS e_t,
        count(*) FILTER (WHERE v = 'off') AS n_c, count(*) FILTER (WHERE v = 'off' AND is_error) AS e_c
    FROM (SELECT flags ->> 'ramped' AS v, is_error FROM flagscope.telemetry
        WHERE attributes @> '{"country": "FR", "beta": true}') y) x,
    flagscope.weigh_segment('ramped', f.predicate, 'errors', :range,
        tests => substring(f.recompute from 'tests => (\d+)')::integer) w
WHERE f.kind = 'segment';

-- A stage at which one arm alone has rows does not count: what happens at 100 % is not compared with what was
-- before.
SELECT flagscope.advance_rollout(1, override => true, at => '2040-01-02 12:30:30') > 0 AS at_100;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags, is_error, attributes, environment)
SELECT timestamptz '2040-01-02 12:31' + i * interval '1 second', 'span', 'GET /', 'user-' || i,
    '{"ramped": "on"}', true, '{"country": "DE", "beta": false}', 'production' FROM generate_series(1, 500) i;
SELECT kind, finding, round(100 * share::numeric) AS "%" FROM flagscope.correlate('ramped', 'errors', :range)
    WHERE kind IN ('segment', 'note');
SELECT kind, finding FROM flagscope.correlate('ramped', 'errors', since => '2040-01-02 12:30:30',
    until => '2040-01-02 13:00')
    WHERE kind IN ('segment', 'note');
