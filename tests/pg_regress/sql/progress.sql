-- How far a long operation is: in application_name, which the view progress reads, and by NOTICE every ten seconds.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never

-- In words: once more than ten seconds have passed, or nothing is known of the past.
SELECT _flagscope.left_words(0, 10, '1 minute') IS NULL AS unknown, _flagscope.left_words(1, 4, '20 s') AS seconds,
    _flagscope.left_words(1, 4, '20 min') AS minutes, _flagscope.left_words(1, 100, '1 hour') AS hours,
    _flagscope.left_words(10, 10, '1 hour') AS done, _flagscope.left_words(NULL, 10, '1 s') IS NULL AS null;
SET client_min_messages = notice;
SELECT _flagscope.show_progress('verify_rollup', 0, 12, '-infinity') > now() - interval '1 minute' AS told;
SELECT _flagscope.show_progress('verify_rollup', 6, 12, now()) = now() AS not_told;

-- The view shows sessions that show progress, whatever else they are called.
SET application_name = 'flagscope: verify_rollup 3/12';
SELECT pid = pg_backend_pid() AS mine, role = current_user AS by_me, operation, done, total, percent,
    since <= clock_timestamp() AS since, time_left ~ '^\d+ (second|minute)s?$' AS time_left
FROM flagscope.progress;
SET application_name = 'flagscope: verify_rollup 0/0';
SELECT operation, done, total, percent, time_left FROM flagscope.progress;
SET application_name = 'flagscope: verify_rollup of my own';
SELECT count(*) FROM flagscope.progress;
SET application_name = 'flagscope: verify_rollup 99999999999999999999/1';
SELECT count(*) FROM flagscope.progress;
SET application_name = 'shop';

-- The operations show themselves while they run, as a trigger sees, and set the name back; also after an error.
SELECT flagscope.create_flag('f');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_guardrail('f', 'errors') > 0 AS watched;
SELECT made > 0 AS made FROM flagscope.maintain('2040-01-01');
INSERT INTO flagscope.telemetry (ts, signal, name, flags)
SELECT timestamptz '2040-01-01' + i * interval '10 minutes', 'span', 'pay', '{"f": "on"}' FROM generate_series(0, 3) i;
SELECT flagscope.tick('2040-01-01 01:00') IS NOT NULL AS ticked;
CREATE TABLE public.shown (application_name text);
CREATE FUNCTION pg_temp.show() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.shown SELECT current_setting('application_name');
    IF TG_ARGV[0] = 'fail' THEN
        RAISE EXCEPTION 'it fails';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER show AFTER INSERT ON flagscope.variant_rollup FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.show();
SELECT flagscope.rebuild_rollup('2040-01-01 00:00', '2040-01-01 01:00') AS states,
    current_setting('application_name') AS afterwards;
SELECT DISTINCT application_name FROM shown ORDER BY 1;
SHOW application_name;
DROP TRIGGER show ON flagscope.variant_rollup;
CREATE TRIGGER show AFTER INSERT ON flagscope.variant_rollup FOR EACH STATEMENT
    EXECUTE FUNCTION pg_temp.show('fail');
SELECT flagscope.rebuild_rollup('2040-01-01 00:00', '2040-01-01 01:00');
SHOW application_name;
DROP TRIGGER show ON flagscope.variant_rollup;
TRUNCATE shown;
SELECT count(*) AS differences FROM flagscope.verify_rollup('2040-01-01 00:00', '2040-01-01 01:00');
SHOW application_name;
-- Flags that are imported one by one; those in bulk are done at once.
CREATE TRIGGER show AFTER INSERT OR UPDATE ON flagscope.flag_definition FOR EACH STATEMENT
    EXECUTE FUNCTION pg_temp.show();
SELECT flag, imported FROM flagscope.import_flagd('{"flags": {"a": {"state": "ENABLED", "variants": {"on": true},
    "defaultVariant": "on"}, "f": {"state": "ENABLED", "variants": {"on": true, "off": false, "new": true},
    "defaultVariant": "new"}}}') ORDER BY flag;
SELECT DISTINCT application_name FROM shown ORDER BY 1;
SHOW application_name;
DROP TRIGGER show ON flagscope.flag_definition;
-- Backtests go by hours, a longer period by hundredths; what comes out is the same.
SELECT flagscope.create_rollout('f', stages => '{50,100}') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-01 00:00') > 0 AS started;
CREATE PROCEDURE pg_temp.pay(at timestamptz) LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, flags)
    SELECT at, 'span', 'pay', jsonb_build_object('f', v) FROM unnest('{on,off}'::text[]) v, generate_series(1, 100);
$$;
CALL pg_temp.pay('2040-01-01 01:30');
SELECT flagscope.tick('2040-01-01 01:30:20') IS NOT NULL AS ticked;
CALL pg_temp.pay('2040-01-01 02:30');
SELECT flagscope.tick('2040-01-01 02:30:20') IS NOT NULL AS ticked;
SELECT since, count(b.at) AS strata, round((array_agg(b.log_e ORDER BY b.at DESC))[1]::numeric, 9) AS log_e
FROM unnest('{2040-01-01,2039-12-31 22:00,2039-01-01,-infinity,infinity,NULL}'::timestamptz[]) since
    LEFT JOIN LATERAL flagscope.backtest('f', '{"metric": "errors", "comparison": "absolute", "limit_value": 0.5}',
        since => since, until => '2040-01-01 03:00') b ON true
GROUP BY since ORDER BY since;
SHOW application_name;
-- Readers may verify and backtest, and see the view. What a backtest shows while it reads is seen by a policy.
CREATE ROLE regress_progress_reader;
SELECT flagscope.grant_reader('regress_progress_reader');
CREATE FUNCTION public.regress_progress_shows() RETURNS boolean LANGUAGE sql VOLATILE SECURITY DEFINER AS $$
    INSERT INTO public.shown SELECT current_setting('application_name') RETURNING true;
$$;
ALTER TABLE flagscope.variant_rollup ENABLE ROW LEVEL SECURITY;
ALTER TABLE flagscope.evaluation ENABLE ROW LEVEL SECURITY;
CREATE POLICY shows ON flagscope.variant_rollup USING (regress_progress_shows());
CREATE POLICY shows ON flagscope.evaluation USING (regress_progress_shows());
TRUNCATE shown;
SET ROLE regress_progress_reader;
SELECT count(*) AS differences FROM flagscope.verify_rollup('2040-01-01 00:00', '2040-01-01 01:00');
SELECT count(*) AS strata FROM flagscope.backtest('f', '{"metric": "errors", "comparison": "absolute",
    "limit_value": 0.5}', since => '2040-01-01 00:00', until => '2040-01-01 03:00');
SELECT count(*) AS strata FROM flagscope.guardrail g, flagscope.backtest_guardrail(g.id, '2040-01-01 00:00',
    '2040-01-01 03:00');
SELECT count(*) FROM flagscope.progress;
RESET ROLE;
SELECT DISTINCT application_name FROM shown ORDER BY 1;
SHOW application_name;
DROP POLICY shows ON flagscope.variant_rollup;
DROP POLICY shows ON flagscope.evaluation;
DROP FUNCTION public.regress_progress_shows();
DROP OWNED BY regress_progress_reader;
DROP ROLE regress_progress_reader;
DROP TABLE shown;
