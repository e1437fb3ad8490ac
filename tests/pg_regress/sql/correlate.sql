-- correlate(): a planted cause is the one finding, every row can be computed anew, nothing depends on what must not
-- matter, and bad input gets an answer. Numbers are held against queries of the raw rows.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SET client_min_messages = notice;
SET timezone = 'UTC';
\getenv tests PG_ABS_SRCDIR
\set file :tests '/requests.sql'
\set ECHO none
\i :file
\set ECHO all
SELECT flagscope.create_flag('new-checkout'), flagscope.create_flag('dark-mode');
SELECT flagscope.create_metric('checkout errors', 'proportion', 'span', '{"name": "POST /checkout"}',
    '{"is_error": true}');
SELECT flagscope.create_metric('checkout duration', 'quantile', 'span', '{"name": "POST /checkout"}', unit => 's');
SELECT flagscope.create_metric('price calls', 'quantile', 'span', '{"name": "SELECT price"}', unit => 's');
SELECT flagscope.create_guardrail('new-checkout', 'checkout errors') > 0 AS guardrail;
INSERT INTO flagscope.telemetry SELECT * FROM pg_temp.telemetry(12000, 1200, 0.3);
SELECT count(*) AS rows FROM flagscope.telemetry;
\set range 'since => \'2040-01-02 12:00\', until => \'2040-01-02 13:00\''

-- The whole answer.
SELECT rank, kind, finding, round(100 * share::numeric) AS "%", treatment, control, n_treatment,
    events_treatment AS e_t, n_control, events_control AS e_c, subjects
FROM flagscope.correlate('new-checkout', 'checkout errors', :range);
CREATE TEMP TABLE found AS SELECT * FROM flagscope.correlate('new-checkout', 'checkout errors', :range);
-- The counts are those of the rows.
SELECT f.n_treatment = x.n_t AND f.events_treatment = x.e_t AND f.n_control = x.n_c
    AND f.events_control = x.e_c AS same_counts, f.subjects = x.subjects AS same_subjects
FROM found f, (SELECT count(*) FILTER (WHERE treated) AS n_t, count(*) FILTER (WHERE treated AND failed) AS e_t,
    count(*) FILTER (WHERE NOT treated) AS n_c,
    count(*) FILTER (WHERE NOT treated AND failed) AS e_c, count(DISTINCT subject)
        FILTER (WHERE treated AND failed) AS subjects
    FROM pg_temp.request(12000, 1200, 0.3) WHERE country = 'DE' AND app_version = '2.4') x WHERE f.rank = 1;
-- Its predicate is a metric's filter; its examples are traces of it.
SELECT predicate, cardinality(traces) AS traces FROM found WHERE rank = 1;
SELECT flagscope.create_metric('errors there', 'proportion', 'span', (SELECT predicate || '{"name": "POST /checkout"}'
    FROM found WHERE rank = 1), '{"is_error": true}');
SELECT count(*) AS examples, bool_and(t.is_error AND t.flags ->> 'new-checkout' = 'on'
    AND t.attributes @> '{"country": "DE", "app_version": "2.4"}') AS are_of_it, count(DISTINCT t.subject) AS subjects
FROM found f, unnest(f.traces) x JOIN flagscope.telemetry t ON t.trace_id = x AND t.name = 'POST /checkout'
    WHERE f.rank = 1;
-- Each finding is computed anew by the query that it names.
CREATE FUNCTION pg_temp.anew(query text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    j jsonb;
BEGIN
    EXECUTE format('SELECT to_jsonb(x) FROM (%s) x LIMIT 1', query) INTO j;
    RETURN j;
END $$;
SELECT f.rank, f.kind, (x.j ->> 'n_treatment')::float8 = f.n_treatment AND (x.j ->> 'events_treatment')::float8
    = f.events_treatment
    AND (x.j ->> 'events_control')::float8 = f.events_control AS counts,
    CASE f.kind WHEN 'segment' THEN abs((x.j ->> 'p_value')::float8 / nullif(f.p_value, 0) - 1) < 1e-6
        AND abs((x.j ->> 'share')::float8 - f.share) < 1e-9
        -- Of the first symptom Holm's p is Bonferroni's, which weigh_symptom() gives; of a later one it is less.
        ELSE abs((x.j ->> 'p_value')::float8 / nullif(f.p_value, 0) - 1) < 1e-6 END AS p_value
FROM found f, LATERAL (SELECT pg_temp.anew(f.recompute) AS j) x WHERE f.kind IN ('segment', 'symptom') ORDER BY f.rank;
-- Operations and log lines by the row of the comparison that is theirs: p-values, shares and counts are the same.
SELECT f.rank, f.finding, s.p_value = f.p_value AND s.share = f.share AS same_p_and_share,
    f.treatment = round(s.seconds_treatment::numeric, 3) || ' s a request'
        AND f.control = round(s.seconds_control::numeric, 3) || ' s a request' AS same_seconds
FROM found f, flagscope.compare_spans('new-checkout', metric => 'checkout errors', :range) s
WHERE f.kind = 'span' AND f.finding = format('%s: %s, takes longer', s.service, s.operation) ORDER BY f.rank;
SELECT f.rank, f.finding, s.failures_p_value = f.p_value AS same_p, s.failures_treatment = f.events_treatment
    AND s.failures_control = f.events_control AS same_counts
FROM found f, flagscope.compare_spans('new-checkout', metric => 'checkout errors', :range) s
WHERE f.kind = 'span' AND f.finding = format('failures begin in %s: %s', s.service, s.operation) ORDER BY f.rank;
SELECT f.rank, f.finding, p.p_value = f.p_value AS same_p, p.lines_treatment = f.events_treatment
    AND p.lines_control = f.events_control AND p.requests_treatment = f.n_treatment
    AND p.requests_control = f.n_control AND p.subjects = f.subjects AS same_counts,
    abs(f.share - p.excess / (a.e_t - a.n_t * a.e_c / a.n_c)) < 1e-9 AS same_share
FROM found f, flagscope.compare_patterns('new-checkout', metric => 'checkout errors', :range) p,
    (SELECT count(*) FILTER (WHERE treated)::float8 AS n_t, count(*) FILTER (WHERE treated AND failed) AS e_t,
        count(*) FILTER (WHERE NOT treated)::float8 AS n_c, count(*) FILTER (WHERE NOT treated AND failed) AS e_c
        FROM pg_temp.request(12000, 1200, 0.3)) a
WHERE f.kind = 'log' AND f.finding = format('%s (%s)', p.template, CASE WHEN p.is_new THEN 'new' ELSE 'more' END)
ORDER BY f.rank;
SELECT f.rank, f.kind, pg_temp.anew(f.recompute) IS NOT NULL AS answers FROM found f
    WHERE f.kind NOT IN ('segment', 'symptom', 'note') ORDER BY f.rank;
-- The test by itself; core holds it against tests/data/correlate/formulas.json.
SELECT round(t.gain::numeric, 6) AS gain, t.p_value = greatest(t.p_relative, t.p_absolute) AS is_the_greater,
    abs(w.gain - t.gain) < 1e-9 AS same
FROM flagscope.weigh_segment('new-checkout', '{"attributes": {"country": "DE", "app_version": "2.4"}}',
    'checkout errors', :range) w,
    flagscope.segment_test(w.n_treatment, w.events_treatment, w.n_control, w.events_control, w.all_n_treatment,
        w.all_events_treatment, w.all_n_control, w.all_events_control, w.dispersion_inside, w.dispersion_outside) t;

-- The parts. Seconds add up to the request: 0.1 longer, of which four calls instead of one.
SELECT operation, service, round(calls_treatment::numeric, 3) AS calls_t, round(calls_control::numeric, 3) AS calls_c,
    round(seconds_treatment::numeric, 4) AS s_t,
    round(seconds_control::numeric, 4) AS s_c, why, p_value < 0.05 AS stands_out
        FROM flagscope.compare_spans('new-checkout', :range) ORDER BY operation;
SELECT template, lines_treatment, lines_control, is_new, severity, p_value < 0.05 AS stands_out
    FROM flagscope.compare_patterns('new-checkout', :range);
SELECT template FROM flagscope.compare_patterns('new-checkout', min_severity => 18, :range);
-- Latency: a value beyond the control's quantile is the event.
SELECT rank, kind, finding, round(100 * share::numeric) AS "%"
    FROM flagscope.correlate('new-checkout', 'checkout duration', :range) WHERE kind IN ('segment', 'note');
-- One attribute alone; attributes that are asked for.
SELECT kind, finding FROM flagscope.correlate('new-checkout', 'checkout errors', :range, max_order => 1)
    WHERE kind = 'segment';
SELECT kind, finding FROM flagscope.correlate('new-checkout', 'checkout errors', :range,
    attributes => '{country,planet}') WHERE kind IN ('segment', 'note', 'symptom');

-- Nothing depends on the order of rows, on workers, or on names; an attribute of noise changes nothing.
CREATE TEMP TABLE said AS SELECT kind, finding, share, p_value, n_treatment, events_treatment, n_control,
    events_control, subjects, same_as, goes_with FROM found WHERE kind <> 'note';
CREATE FUNCTION pg_temp.differences() RETURNS bigint LANGUAGE sql AS $$
    WITH again AS (SELECT kind, finding, share, p_value, n_treatment, events_treatment, n_control, events_control,
        subjects, same_as, goes_with
        FROM flagscope.correlate('new-checkout', 'checkout errors', since => '2040-01-02 12:00',
            until => '2040-01-02 13:00') WHERE kind <> 'note')
    SELECT count(*) FROM ((TABLE again EXCEPT TABLE said) UNION ALL (TABLE said EXCEPT TABLE again)) x;
$$;
BEGIN;
CREATE TEMP TABLE rows AS TABLE flagscope.telemetry;
DELETE FROM flagscope.telemetry;
INSERT INTO flagscope.telemetry SELECT * FROM rows ORDER BY md5(trace_id::text || name || ts);
SELECT pg_temp.differences() AS by_order;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL max_parallel_workers_per_gather = 2;
SELECT pg_temp.differences() AS by_workers;
UPDATE flagscope.telemetry SET attributes = attributes
    || jsonb_build_object('noise', 'n' || (hashtext(trace_id::text) & 7));
SELECT finding, n_treatment, events_treatment FROM flagscope.correlate('new-checkout', 'checkout errors', :range)
    WHERE kind = 'segment';
UPDATE flagscope.telemetry SET attributes = attributes - 'noise' - 'country' || jsonb_build_object('country',
    'x' || md5(attributes ->> 'country')) WHERE attributes ? 'country';
SELECT replace(finding, 'x' || md5('DE'), 'DE') AS finding, n_treatment, events_treatment
    FROM flagscope.correlate('new-checkout', 'checkout errors', :range) WHERE kind = 'segment';
ROLLBACK;

-- Nothing to explain, in three ways; and harm that nothing concentrates: twice as many errors everywhere.
SELECT kind, finding FROM flagscope.correlate('new-checkout', 'checkout errors', since => '2040-01-02 14:00',
    until => '2040-01-02 15:00') WHERE kind <> 'metric';
SELECT kind, finding FROM flagscope.correlate('new-checkout', 'checkout errors', :range, treatment => 'off',
    control => 'on') WHERE kind IN ('segment', 'symptom', 'note');
BEGIN;
DELETE FROM flagscope.telemetry WHERE flags ->> 'new-checkout' = 'off';
SELECT kind, finding FROM flagscope.correlate('new-checkout', 'checkout errors', :range) WHERE kind <> 'metric';
ROLLBACK;
BEGIN;
DELETE FROM flagscope.telemetry;
INSERT INTO flagscope.telemetry SELECT * FROM pg_temp.telemetry(12000, 1200, 0.01);
UPDATE flagscope.telemetry SET is_error = true WHERE name = 'POST /checkout' AND flags ->> 'new-checkout' = 'on'
    AND pg_temp.u(hashtext(trace_id::text), 77) < 0.03;
SELECT kind, regexp_replace(finding, ': country.*|: app.*|: items.*|: flag.*', ': ...') AS finding
    FROM flagscope.correlate('new-checkout', 'checkout errors', :range)
WHERE kind IN ('segment', 'symptom', 'span', 'log', 'flag', 'note');
ROLLBACK;
-- A flag with the same split cannot be told apart.
BEGIN;
UPDATE flagscope.telemetry SET flags = flags || jsonb_build_object('dark-mode', flags ->> 'new-checkout');
SELECT kind, finding FROM flagscope.correlate('new-checkout', 'checkout errors', :range) WHERE kind = 'flag';
ROLLBACK;
-- Rows without a subject: it is said, and traces are not told as subjects.
BEGIN;
UPDATE flagscope.telemetry SET subject = NULL WHERE hashtext(subject) % 10 = 0;
SELECT finding LIKE format('%s of 12000 rows carry no subject: %%', (SELECT count(*) FROM flagscope.telemetry
    WHERE subject IS NULL AND name = 'POST /checkout')) AS says_how_many FROM flagscope.correlate('new-checkout',
    'checkout errors', :range) WHERE finding LIKE '%carry no subject%';
UPDATE flagscope.telemetry SET subject = NULL;
SELECT kind, finding, subjects, cardinality(traces) AS traces, _flagscope.finding_words(f) LIKE '%of 243 rows)' AS words
    FROM flagscope.correlate('new-checkout', 'checkout errors', :range) f
    WHERE kind IN ('segment', 'symptom', 'log') OR finding LIKE '%subject%';
SELECT template, subjects FROM flagscope.compare_patterns('new-checkout', 'checkout errors', :range);
ROLLBACK;
-- Versions that appear meanwhile are changes: in both arms, in the treatment alone; not one that was there before.
BEGIN;
UPDATE flagscope.telemetry SET attributes = attributes || jsonb_build_object(
    'service.version', CASE WHEN ts < '2040-01-02 12:08' THEN '7.0' ELSE '7.1' END,
    'deployment.id', CASE WHEN ts >= '2040-01-02 12:05' AND flags ->> 'new-checkout' = 'on' THEN 'canary'
        ELSE 'stable' END)
WHERE name = 'POST /checkout';
SELECT kind, finding, n_treatment, n_control FROM flagscope.correlate('new-checkout', 'checkout errors', :range)
    WHERE kind = 'change';
-- Counts and times are those of the rows.
SELECT attributes ->> 'service.version' AS version, attributes ->> 'deployment.id' AS deployment,
    to_char(min(ts), 'HH24:MI:SS') AS first, count(*) FILTER (WHERE flags ->> 'new-checkout' = 'on') AS n_treatment,
    count(*) FILTER (WHERE flags ->> 'new-checkout' = 'off') AS n_control
FROM flagscope.telemetry WHERE name = 'POST /checkout' GROUP BY GROUPING SETS (1, 2) ORDER BY 1, 2;
SELECT f.finding, (x.j ->> 'n_treatment')::float8 = f.n_treatment
    AND (x.j ->> 'n_control')::float8 = f.n_control AS anew
FROM flagscope.correlate('new-checkout', 'checkout errors', :range) f,
        LATERAL (SELECT pg_temp.anew(f.recompute) AS j) x WHERE f.kind = 'change';
ROLLBACK;
-- The time is up: what is there is told.
BEGIN;
SELECT flagscope.set_setting('correlate.timeout', '"10 milliseconds"'), flagscope.set_setting('correlate.rows', '2000');
SELECT count(*) > 0 AS told FROM flagscope.correlate('new-checkout', 'checkout errors', :range) WHERE kind = 'note';
SELECT flagscope.set_setting('correlate.timeout', '"1 minute"');
SELECT finding FROM flagscope.correlate('new-checkout', 'checkout errors', :range) WHERE kind = 'note'
    AND finding LIKE '%rows%';
ROLLBACK;

-- Bad input.
\set VERBOSITY terse
SELECT * FROM flagscope.correlate('new-chekout');
SELECT * FROM flagscope.correlate('dark-mode');
SELECT * FROM flagscope.correlate('new-checkout', 'errors');
SELECT * FROM flagscope.correlate('new-checkout', environment => 'moon');
SELECT * FROM flagscope.correlate('new-checkout', since => '2040-01-02', until => '2040-01-01');
SELECT * FROM flagscope.correlate('new-checkout', since => '-infinity');
SELECT * FROM flagscope.correlate('new-checkout', treatment => 'blue');
SELECT * FROM flagscope.correlate('new-checkout', treatment => 'off', control => 'off');
SELECT * FROM flagscope.correlate('new-checkout', max_order => 3);
SELECT * FROM flagscope.correlate('new-checkout', attributes => '{}');
SELECT * FROM flagscope.correlate_decision(77);
SELECT * FROM flagscope.correlate_rollout(77);
SELECT flagscope.explain_rollout(77);
SELECT * FROM flagscope.weigh_segment('new-checkout', '{"planet": "DE"}');
SELECT * FROM flagscope.weigh_segment('new-checkout', '{"attributes": {"country": ["DE"]}}');
SELECT * FROM flagscope.segment_test(10, 11, 10, 1, 100, 20, 100, 20);
SELECT * FROM flagscope.segment_test(10, 1, 10, 1, 100, 20, 100, 20, 0);
SELECT * FROM flagscope.coincident_changes('new-checkout', since => '2040-01-02', until => '2040-01-01');
SELECT * FROM flagscope.correlate_rollout('dark-mode');
SELECT metric FROM flagscope.compare_metrics('new-checkout', since => '2040-01-02', until => '2040-01-01');
-- A part that has nothing to say says why.
SELECT operation FROM flagscope.compare_spans('new-checkout', since => '2040-01-05', until => '2040-01-06');
SELECT operation FROM flagscope.compare_spans('new-checkout', root => 'GET /nothing', :range);
SELECT template FROM flagscope.compare_patterns('new-checkout', since => '2040-01-05', until => '2040-01-06');
SELECT template FROM flagscope.compare_patterns('new-checkout', min_severity => 24, :range);
SELECT metric FROM flagscope.compare_metrics('new-checkout', since => '2040-01-05', until => '2040-01-06');
BEGIN;
DELETE FROM flagscope.telemetry WHERE flags ->> 'new-checkout' = 'off';
SELECT operation FROM flagscope.compare_spans('new-checkout', :range);
SELECT template FROM flagscope.compare_patterns('new-checkout', :range);
ROLLBACK;
SELECT flagscope.create_query_metric('orders', 'mean', 'SELECT ''u'' AS subject, 1 AS value WHERE $1 < $2');
SELECT * FROM flagscope.correlate('new-checkout', 'orders');
SELECT flagscope.create_rollout('new-checkout') AS rollout;
SELECT finding FROM flagscope.correlate_rollout(1);

-- A reader's right is enough, and row security holds.
DROP ROLE IF EXISTS regress_flagscope_why;
CREATE ROLE regress_flagscope_why;
SELECT flagscope.grant_reader('regress_flagscope_why');
SET ROLE regress_flagscope_why;
SELECT count(*) FROM flagscope.correlate('new-checkout', 'checkout errors', :range) WHERE kind = 'segment';
RESET ROLE;
ALTER TABLE flagscope.telemetry ENABLE ROW LEVEL SECURITY;
CREATE POLICY french ON flagscope.telemetry FOR SELECT USING (attributes ->> 'country' = 'FR');
SET ROLE regress_flagscope_why;
SELECT all_n_treatment = (SELECT count(*) FROM pg_temp.request(12000, 1200, 0.3) WHERE country = 'FR'
    AND treated) AS sees_its_rows_alone
FROM flagscope.weigh_segment('new-checkout', '{}', 'checkout errors', :range);
RESET ROLE;
DROP POLICY french ON flagscope.telemetry;
ALTER TABLE flagscope.telemetry DISABLE ROW LEVEL SECURITY;
DROP OWNED BY regress_flagscope_why;
DROP ROLE regress_flagscope_why;
-- Cancelled at once.
SET statement_timeout = '1ms';
SELECT * FROM flagscope.correlate('new-checkout', 'checkout errors', :range);
RESET statement_timeout;
