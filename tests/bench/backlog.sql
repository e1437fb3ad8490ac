-- Backlogs: what one writer can bring at once, and what the ticks after it do. In a database of its own; the worker is
-- off, so that each tick is one call. Times of the processor are those of this session's backend, so that a loaded
-- machine matters little. Sizes: backlog_subjects, backlog_traces, backlog_buckets.
\pset footer off
SET client_min_messages = warning;
\if :{?backlog_subjects} \else \set backlog_subjects 300000 \endif
\if :{?backlog_traces} \else \set backlog_traces 100000 \endif
\if :{?backlog_buckets} \else \set backlog_buckets 30000 \endif
CREATE EXTENSION flagscope;
SELECT flagscope.maintain() IS NOT NULL \g /dev/null
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}') \g /dev/null
SELECT flagscope.create_flag('flag-' || i), flagscope.create_guardrail('flag-' || i, 'errors'),
    flagscope.start_rollout(flagscope.create_rollout('flag-' || i, stages => '{50, 100}', min_duration => '9 days'),
        at => now() - interval '4 days')
FROM generate_series(1, 21) i \g /dev/null
SELECT flagscope.tick() \g /dev/null

CREATE FUNCTION pg_temp.cpu() RETURNS float8 LANGUAGE sql VOLATILE AS $$
    SELECT 10 * (s[14]::float8 + s[15]::float8) FROM string_to_array(pg_read_file('/proc/self/stat'), ' ') s
$$;
CREATE TEMP TABLE run (what text, place integer, ms float8, cpu float8);
CREATE PROCEDURE drain(what text, place integer, waits text) LANGUAGE plpgsql AS $$
DECLARE
    before float8;
    t flagscope.tick_result;
BEGIN
    LOOP
        before := pg_temp.cpu();
        t := flagscope.tick();
        INSERT INTO run VALUES (what, place, t.milliseconds, pg_temp.cpu() - before);
        COMMIT;
        EXIT WHEN NOT waits = ANY (t.waiting) AND NOT EXISTS (SELECT FROM _flagscope.late_trace);
    END LOOP;
END $$;
CREATE TEMP TABLE written (what text, n bigint, ms float8, peak bigint);
CREATE PROCEDURE write(what text, n bigint, statement text) LANGUAGE plpgsql AS $$
DECLARE
    before timestamptz := clock_timestamp();
BEGIN
    EXECUTE statement;
    INSERT INTO written SELECT what, n, 1000 * extract(epoch FROM clock_timestamp() - before),
        substring(pg_read_file('/proc/self/status') FROM 'VmHWM:\s+(\d+)')::bigint / 1024;
    COMMIT;
END $$;

SELECT format($$INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
    SELECT now(), 'event', 'feature_flag.evaluation', 'user-' || i,
        CASE WHEN i %% 2 = 0 THEN '{"flag-1": "on"}' ELSE '{"flag-1": "off"}' END::jsonb
    FROM generate_series(1, %s) i$$, :backlog_subjects) AS exposures \gset
CALL write('new subjects', :backlog_subjects, :'exposures');
CALL drain('new subjects', 1, 'exposures');
CALL write('the same subjects again', :backlog_subjects, :'exposures');
CALL drain('the same subjects again', 2, 'exposures');

-- Rows first and evaluations after them, over a day.
INSERT INTO flagscope.telemetry (ts, signal, name, is_error, trace_id)
SELECT now() - i::float8 / :backlog_traces * interval '1 day', 'span', 'pay', false, md5(i::text)::uuid
FROM generate_series(1, :backlog_traces) i;
SELECT format($$INSERT INTO flagscope.telemetry (ts, signal, name, flags, trace_id)
    SELECT now() - i::float8 / %1$s * interval '1 day', 'event', 'feature_flag.evaluation',
        CASE WHEN i %% 2 = 0 THEN '{"flag-2": "on"}' ELSE '{"flag-2": "off"}' END::jsonb, md5(i::text)::uuid
    FROM generate_series(1, %1$s) i$$, :backlog_traces) AS evaluations \gset
CALL write('traces over a day', :backlog_traces, :'evaluations');
CALL drain('traces over a day', 3, 'late traces');
CALL drain('their buckets', 4, 'deltas');

SELECT format($$INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags)
    SELECT now() - interval '1 hour' - b * interval '10 s', 'span', 'pay', b %% 49 = 0, f.flags
    FROM generate_series(1, %s) b,
        (SELECT k, jsonb_object_agg('flag-' || i, CASE k WHEN 1 THEN 'on' ELSE 'off' END) AS flags
            FROM generate_series(1, 20) i, generate_series(0, 1) k GROUP BY k) f
    ORDER BY b, f.k$$, :backlog_buckets) AS past \gset
CALL write('buckets of 20 flags', :backlog_buckets, :'past');
-- Another flag goes bad meanwhile.
SELECT flagscope.tick() \g /dev/null
INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags)
SELECT now(), 'span', 'pay', i % 2 = 0 AND i % 3 = 0,
    jsonb_build_object('flag-21', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END)
FROM generate_series(1, 2000) i;
SELECT decisions AS decided_in_the_next_tick, round(milliseconds) AS ms, waiting FROM flagscope.tick();
CALL drain('buckets of 20 flags', 5, 'deltas');

\echo 'One statement, and the ticks after it (setting tick.budget: 200 ms)'
SELECT w.what, w.n, round(w.ms) AS written_ms, w.peak AS backend_mb FROM written w;
SELECT what, count(*) AS ticks, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric) AS median_ms,
    round(max(ms)::numeric) AS longest_ms, round(sum(cpu)::numeric) AS cpu_ms
FROM run GROUP BY what, place ORDER BY place;
SELECT round(1000 * sum(r.cpu) FILTER (WHERE r.what = 'new subjects') / :backlog_subjects) AS us_a_new_subject,
    round(1000 * sum(r.cpu) FILTER (WHERE r.what = 'the same subjects again')
        / :backlog_subjects) AS us_a_known_subject,
    round(1000 * sum(r.cpu) FILTER (WHERE r.what = 'traces over a day') / :backlog_traces) AS us_a_trace,
    round(1000 * sum(r.cpu) FILTER (WHERE r.what = 'buckets of 20 flags') / (40 * :backlog_buckets)) AS us_a_delta
FROM run r;
