-- Somebody may create objects in the schema after all (a superuser granted it): his functions fit the extension's
-- names, and any call of one without every argument and its very type would rather be theirs (plant.sql). None is ever
-- called from inside, in a life with rollouts, guardrails of each kind, metrics that are queries,
-- attribution, upkeep and reports.
DROP EXTENSION IF EXISTS flagscope CASCADE;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SET client_min_messages = warning;
\getenv tests PG_ABS_SRCDIR
\set file :tests '/plant.sql'
\set ECHO none
\i :file
\set ECHO all
CREATE SEQUENCE public.hijacked;
-- Names in code are bound for good: by a fixed search path, or when the code was made.
-- What is in C names schemas itself.
SELECT p.oid::regprocedure AS unbound FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
    JOIN pg_depend d
        ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_extension'::regclass
            AND d.deptype = 'e'
WHERE p.pronamespace IN ('flagscope'::regnamespace, '_flagscope'::regnamespace) AND p.prokind IN ('f', 'p')
    AND l.lanname NOT IN ('c', 'internal') AND p.prosqlbody IS NULL
    AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false) ORDER BY 1;
SELECT pg_temp.plant_all() > 1000 AS planted;
-- One that is called is noticed.
CREATE FUNCTION public.victim() RETURNS timestamptz LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$ SELECT _flagscope.floor('10 minutes', '2040-01-02 12:34:56+00'::timestamptz) $$;
SELECT public.victim();
SELECT last_value AS noticed FROM public.hijacked;
DROP FUNCTION public.victim();
SELECT setval('public.hijacked', 1, false) \g /dev/null
SET regress.hijacked = '';

-- Configuration.
SELECT made > 0 AS made FROM flagscope.maintain(timestamptz '2040-01-02 00:00:00+00');
SELECT flagscope.create_environment('staging'), flagscope.create_segment('adults', '{">=": [{"var": "age"}, 18]}');
SELECT flagscope.create_flag('f'), flagscope.create_flag('g'), flagscope.create_flag('h');
SELECT flagscope.set_targeting('g', '{"if": [{"$ref": "adults"}, "on", null]}') > 0 AS changed,
    flagscope.set_prerequisites('g', '[{"flag": "f", "variant": "on"}]') > 0 AS changed;
UPDATE flagscope.segment SET rule = '{">=": [{"var": "age"}, 21]}';
UPDATE flagscope.environment_definition SET metadata = '{"team": "shop"}' WHERE key = 'staging';
SELECT flagscope.archive_flag('h'), flagscope.unarchive_flag('h');
SELECT count(*) FROM flagscope.import_flagd(flagscope.export_flagd('production'), 'staging');
SELECT flagscope.set_setting('rollout.alpha_reserve', '0.5');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}'),
    flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}'),
    flagscope.create_metric('spent', 'mean', 'span', '{"name": "pay"}', cap => 10),
    flagscope.create_metric('bought', 'proportion', 'event', '{}', '{"name": "buy"}', conversion_window => '1 day');
CREATE TABLE public.purchase (visitor text, at timestamptz, amount float8);
SELECT flagscope.create_query_metric('orders', 'mean',
    'SELECT visitor AS subject, amount AS value, at AS ts FROM public.purchase WHERE at >= $1 AND at < $2', cap => 100);
SELECT flagscope.create_policy('all', '{"metric": "duration", "quantile": 0.95, "margin": 0.2}');
SELECT flagscope.create_guardrail('f', 'errors', min_sample => 20),
    flagscope.create_guardrail('f', 'duration', quantile => 0.9), flagscope.create_guardrail('f', 'spent'),
    flagscope.create_guardrail('f', 'orders'),
    flagscope.create_guardrail('f', 'bought'),
    flagscope.create_guardrail('f', 'errors', name => 'limit', comparison => 'absolute', test => 'threshold',
        limit_value => 0.9),
    flagscope.create_guardrail('f', 'duration', name => 'odd', test => 'anomaly', quantile => 0.9);
SELECT flagscope.create_change_freeze('quiet', since => '2040-02-01 00:00+00',
    until => '2040-02-02 00:00+00') > 0 AS made;
SELECT flagscope.create_rollout('f', stages => '{10,50,100}', min_duration => '2 minutes', cooldown => '1 minute'),
    flagscope.create_rollout('h', stages => '{50}');
SELECT flagscope.start_rollout(1, reason => 'begin', actor => 'ann',
        at => timestamptz '2040-01-02 12:00:00+00') > 0 AS started,
    flagscope.start_rollout(2, reason => 'begin', actor => 'ann',
        at => timestamptz '2040-01-02 12:00:00+00') > 0 AS started;
-- Half an hour of traffic: exposures, rows that are tied by trace and by subject, orders;
-- then the treatment of f breaks.
CREATE PROCEDURE public.play() LANGUAGE plpgsql AS $$
DECLARE
    at timestamptz;
BEGIN
    FOR k IN 0 .. 89 LOOP
        at := timestamptz '2040-01-02 12:00:00+00' + k * interval '20 seconds';
        INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags, trace_id)
        SELECT at, 'event', 'feature_flag.evaluation', 'u' || k * 60 + i,
            jsonb_build_object('f', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END,
                'h', CASE WHEN i % 3 = 0 THEN 'on' ELSE 'off' END),
            md5(k || '-' || i)::uuid
        FROM generate_series(1, 60) i;
        INSERT INTO flagscope.telemetry (ts, signal, name, subject, trace_id, value, is_error)
        SELECT at + interval '1 second', CASE WHEN i % 4 = 0 THEN 'event' ELSE 'span' END::flagscope.signal,
            CASE WHEN i % 4 = 0 THEN 'buy' ELSE 'pay' END, CASE WHEN i % 5 = 0 THEN 'u' || k * 60 + i END,
            CASE WHEN i % 5 > 0 THEN md5(k || '-' || i)::uuid END, 0.1 + i % 7 * 0.01,
            i % 10 = 1 OR k > 60 AND i % 2 = 0 AND i % 3 > 0
        FROM generate_series(1, 60) i;
        INSERT INTO public.purchase
        SELECT 'u' || k * 60 + i, at + interval '2 seconds', i FROM generate_series(1, 60, 7) i;
        PERFORM flagscope.tick(at + interval '10 seconds');
        COMMIT;
    END LOOP;
END $$;
CALL public.play();
SELECT string_agg(DISTINCT action::text, ' ') AS decided FROM flagscope.decision;
SELECT string_agg(DISTINCT state::text, ' ') AS states FROM flagscope.guardrail_status;
-- By hand, and all that reads.
SELECT flagscope.pause_rollout(2, 'wait', 'ann', timestamptz '2040-01-02 13:00:00+00') > 0 AS paused,
    flagscope.resume_rollout(2, reason => 'on', actor => 'ann',
        at => timestamptz '2040-01-02 13:01:00+00') > 0 AS resumed,
    flagscope.complete_rollout(2, reason => 'good', actor => 'ann',
        at => timestamptz '2040-01-02 13:02:00+00') > 0 AS completed;
SELECT flagscope.restart_rollout(1, reason => 'again', actor => 'ann',
    at => timestamptz '2040-01-02 14:00:00+00') > 0 AS restarted;
SELECT count(*) > 0 AS read FROM flagscope.status();
SELECT count(*) > 0 AS read
FROM flagscope.variant_summary('f', since => '2040-01-02 12:00+00', until => '2040-01-02 12:30+00');
SELECT count(*) > 0 AS read
FROM flagscope.metric_series('f', 'errors', since => '2040-01-02 12:00+00', until => '2040-01-02 12:30+00',
    bucket_width => '1 minute');
SELECT length(flagscope.explain_decision(d.id)::text) > 0 AS read
FROM flagscope.decision d WHERE d.action = 'start' LIMIT 1;
SELECT length(flagscope.rollout_report(1)::text) > 0 AS read;
SELECT count(*) >= 0 AS read FROM flagscope.rollout_chart(1, 'errors');
SELECT count(*) >= 0 AS read
FROM flagscope.backtest_guardrail(1::bigint, timestamptz '2040-01-02 12:00:00+00',
    timestamptz '2040-01-02 12:30:00+00');
SELECT count(*) >= 0 AS read
FROM flagscope.preview_metric('errors'::text, timestamptz '2040-01-02 12:00:00+00',
    timestamptz '2040-01-02 12:30:00+00');
SELECT count(*) >= 0 AS read FROM flagscope.telemetry_of('u1');
SELECT count(*) >= 0 AS read FROM flagscope.flag_changes(0::bigint);
SELECT count(*) FROM flagscope.evaluate_all('u1', '{"age": 30}');
SELECT variant
FROM flagscope.evaluate_as_of('f'::text, 'u1'::text, NULL::jsonb, NULL::text, timestamptz '2040-01-02 12:00:00+00');
SELECT variant IS NOT NULL AS served FROM flagscope.expose('g', 'u1', '{"age": 30}');
SELECT flagscope.record_log('hello'), flagscope.record_metric('m', 1.5::float8),
    flagscope.record_span('s', 0.1::float8);
SELECT accepted FROM flagscope.ingest_otlp(
    '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"2209032000000000000"}]}]}]}'::jsonb);
-- Upkeep, a day and a month later.
SELECT count(*)
FROM flagscope.verify_rollup(timestamptz '2040-01-02 12:00:00+00', timestamptz '2040-01-02 12:30:00+00');
SELECT flagscope.rebuild_rollup(timestamptz '2040-01-02 12:00:00+00',
    timestamptz '2040-01-02 12:30:00+00') >= 0 AS rebuilt;
SELECT flagscope.set_chunk_interval('6 hours', 'telemetry'), flagscope.set_retention('20 days', 'telemetry');
SELECT made > 0 AS made FROM flagscope.maintain(timestamptz '2040-01-03 12:00:00+00');
SELECT flagscope.tick(timestamptz '2040-01-03 12:00:00+00') IS NOT NULL AS ticked;
DELETE FROM flagscope.flag_definition WHERE key = 'g';
-- A session whose search path puts somebody else's operators and functions before PostgreSQL's own.
CREATE SCHEMA evil;
CREATE FUNCTION evil.same(text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT nextval('public.hijacked') IS NULL $$;
CREATE FUNCTION evil.later(timestamptz, timestamptz) RETURNS boolean
LANGUAGE sql AS $$ SELECT nextval('public.hijacked') IS NULL $$;
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.same);
CREATE OPERATOR evil.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.same);
CREATE OPERATOR evil.>= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.later);
CREATE OPERATOR evil.< (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.later);
CREATE OPERATOR evil.- (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.later);
CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT to_timestamp(nextval('public.hijacked')) $$;
CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz
LANGUAGE sql AS $$ SELECT to_timestamp(nextval('public.hijacked')) $$;
SET search_path = evil, pg_catalog;
SELECT variant FROM flagscope.evaluate('f', 'u1', '{"age": 30}');
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
VALUES ('2040-01-03 12:00:01+00', 'event', 'feature_flag.evaluation', 'u1', '{"f": "on"}');
INSERT INTO flagscope.telemetry (ts, signal, name, subject) VALUES ('2040-01-03 12:00:02+00', 'span', 'pay', 'u1');
UPDATE flagscope.flag_state SET enabled = true;
SELECT count(*)
FROM _flagscope.fold_stored('2040-01-03 12:00:00+00'::timestamptz, '2040-01-03 12:10:00+00'::timestamptz, '[]'::jsonb);
SELECT flagscope.tick('2040-01-03 12:00:10+00'::timestamptz) IS NOT NULL AS ticked;
SELECT count(*)
FROM flagscope.verify_rollup('2040-01-03 11:00:00+00'::timestamptz, '2040-01-03 12:10:00+00'::timestamptz);
RESET search_path;
DROP SCHEMA evil CASCADE;
-- What was called of them, and how often, rolled back or not.
SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS hijacked, current_setting('regress.hijacked') AS which
FROM public.hijacked;
DROP EXTENSION flagscope CASCADE;
DROP TABLE public.purchase;
DROP PROCEDURE public.play();
DROP SEQUENCE public.hijacked;
CREATE EXTENSION flagscope;
