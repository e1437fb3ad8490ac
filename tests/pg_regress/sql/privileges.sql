-- What the three sets of rights allow, and nobody else anything.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
-- What a run that broke off has left.
DO $$
DECLARE
    role name;
BEGIN
    FOR role IN SELECT rolname FROM pg_roles WHERE rolname LIKE 'regress\_flagscope\_%' LOOP
        EXECUTE format('DROP OWNED BY %1$I; DROP ROLE %1$I', role);
    END LOOP;
END $$;
CREATE ROLE regress_flagscope_reader;
CREATE ROLE regress_flagscope_writer;
CREATE ROLE regress_flagscope_admin;
CREATE ROLE regress_flagscope_nobody;
SELECT flagscope.create_flag('f');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{}', '{"is_error": true}');
SELECT flagscope.create_guardrail('f', 'errors', min_sample => 1);
SELECT flagscope.create_rollout('f', stages => ARRAY[50, 100]);
SELECT flagscope.start_rollout(1);
SELECT made > 0 AS made FROM flagscope.maintain('2040-01-02');
SELECT flagscope.grant_reader('regress_flagscope_reader'), flagscope.grant_writer('regress_flagscope_writer'),
    flagscope.grant_admin('regress_flagscope_admin');

-- A statement as a role, rolled back: "yes", or the SQLSTATE.
CREATE FUNCTION pg_temp.may(who text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text := 'yes';
BEGIN
    BEGIN
        EXECUTE format('SET LOCAL ROLE %I', who);
        EXECUTE statement;
        RAISE data_exception;
    EXCEPTION WHEN data_exception THEN NULL;
        WHEN insufficient_privilege THEN answer := '-';
        WHEN OTHERS THEN answer := SQLSTATE;
    END;
    RETURN answer;
END $$;
CREATE TEMP TABLE action (id serial, statement text);
INSERT INTO action (statement) VALUES
    -- reading
    ('SELECT * FROM flagscope.flag_definition'), ('SELECT * FROM flagscope.telemetry'),
    ('SELECT * FROM _flagscope.telemetry_p20400102'), ('SELECT * FROM flagscope.decision'),
    ('SELECT * FROM _flagscope.variant_state'), ('SELECT * FROM flagscope.span_summary'),
    ('SELECT * FROM flagscope.chunk'), ('SELECT * FROM flagscope.setting'), ('SELECT * FROM flagscope.outbox'),
    ('SELECT * FROM flagscope.status()'), ('SELECT * FROM flagscope.variant_summary(''f'')'),
    ('SELECT flagscope.ramp_gate(1)'), ('SELECT flagscope.explain_decision(1)'),
    ('SELECT * FROM flagscope.rollout_chart(1, ''errors'')'), ('SELECT flagscope.quantile(flagscope.tdigest(1), 0.5)'),
    ('SELECT flagscope.sparkline(1.0 ORDER BY 1)'),
    -- evaluating and sending
    ('SELECT * FROM flagscope.evaluate(''f'', ''u'')'), ('SELECT * FROM flagscope.expose(''f'', ''u'')'),
    ('SELECT flagscope.ingest_otlp(''{}'')'),
    ('INSERT INTO flagscope.telemetry (ts, signal, name, flags) VALUES '
        '(''2040-01-02'', ''span'', ''x'', ''{"f": "on"}'')'),
    ('INSERT INTO _flagscope.telemetry_p20400102 (ts, signal, name) VALUES (''2040-01-02'', ''span'', ''x'')'),
    ('UPDATE flagscope.telemetry SET value = 0'), ('DELETE FROM flagscope.telemetry'), ('TRUNCATE flagscope.telemetry'),
    ('DELETE FROM _flagscope.telemetry_stray'),
    ('SELECT flagscope.record_log(''x'')'), ('SELECT flagscope.record(''[]'')'),
    ('SELECT * FROM flagscope.trace(''00000000-0000-0000-0000-000000000001'')'),
    ('SELECT * FROM flagscope.telemetry_of(''u'')'),
    ('SELECT _flagscope.tie_rows(''{}'', ''{}'', ''{}'', ''{}'', now(), now())'),
    ('SELECT * FROM _flagscope.otlp_series'),
    -- configuring
    ('SELECT flagscope.create_flag(''g'')'),
    ('INSERT INTO flagscope.flag_definition (key, value_type, variants) VALUES (''g'', ''boolean'', ''{"on": true}'')'),
    ('UPDATE flagscope.flag_definition SET description = ''x'''),
    ('DELETE FROM flagscope.flag_definition WHERE key = ''x'''), ('SELECT flagscope.create_environment(''x'')'),
    ('SELECT flagscope.set_default_variant(''f'', ''on'')'), ('SELECT flagscope.disable_flag(''f'')'),
    ('SELECT flagscope.create_metric(''m'', ''mean'', ''log'')'),
    ('SELECT flagscope.create_guardrail(''f'', ''errors'', name => ''x'')'),
    ('UPDATE flagscope.guardrail SET margin = 0.2'),
    ('UPDATE flagscope.flag_state SET default_variant = ''on'''),
    ('DELETE FROM flagscope.flag_state WHERE flag = ''x'''),
    ('SELECT flagscope.set_setting(''rollout.alpha'', ''0.02'')'),
    -- driving rollouts
    ('SELECT flagscope.create_flag(''g''), flagscope.create_rollout(''g'')'), ('SELECT flagscope.advance_rollout(1)'),
    ('SELECT flagscope.pause_rollout(1)'), ('SELECT flagscope.rollback_rollout(1)'),
    ('SELECT flagscope.approve_stage(1)'), ('SELECT flagscope.complete_rollout(1)'),
    ('SELECT flagscope.tick(''2040-01-02'')'), ('SELECT flagscope.maintain(''2040-01-02'')'),
    ('UPDATE flagscope.outbox SET delivered_at = now()'),
    ('SELECT count(*) FROM flagscope.verify_rollup(''2040-01-01'')'),
    ('SELECT flagscope.rebuild_rollup(''2040-01-01'')'), ('SELECT flagscope.drop_chunks(''2030-01-01'')'),
    ('SELECT flagscope.set_retention(''20 days'')'), ('SELECT flagscope.detach_all()'),
    ('UPDATE _flagscope.watch SET since = now()'),
    -- what nobody may: past the functions that keep the books
    ('UPDATE flagscope.flag_state SET percent = 100'), ('UPDATE flagscope.flag_state SET actor = ''x'''),
    ('INSERT INTO flagscope.rollout (flag, environment, treatment, control, alpha, status, stage, created_at) '
        'VALUES (''f'', ''production'', ''on'', ''off'', 0.01, ''completed'', 1, ''2020-01-01'')'),
    ('UPDATE flagscope.rollout SET stage = 2'), ('UPDATE flagscope.rollout SET status = ''completed'''),
    ('SELECT _flagscope.decide(1, ''rollback'', ''somebody else'', ''no reason'')'),
    ('SELECT _flagscope.serve(r, 100, ''advance'', now(), ''x'', ''x'', 1) FROM flagscope.rollout r'),
    ('INSERT INTO flagscope.decision (key, at, rollout_id, flag, environment, action, from_status, to_status, '
        'from_percent, to_percent, from_stage, to_stage, actor, reason) VALUES (''x'', now(), 1, ''f'', '
        '''production'', ''start'', ''draft'', ''running'', 0, 1, 0, 1, ''x'', ''x'')'),
    ('UPDATE flagscope.decision SET reason = ''x'''), ('DELETE FROM flagscope.decision'),
    ('TRUNCATE flagscope.decision'), ('DELETE FROM flagscope.flag_state_history'),
    ('UPDATE flagscope.flag_state_history SET actor = ''x'''),
    ('UPDATE flagscope.guardrail_status SET evidence = ''{}'''), ('DELETE FROM flagscope.evaluation'),
    ('INSERT INTO _flagscope.variant_delta SELECT * FROM _flagscope.variant_delta'),
    ('DELETE FROM _flagscope.variant_delta'), ('UPDATE flagscope.variant_rollup SET n = 0'),
    ('UPDATE _flagscope.tick_state SET ticks = 0'), ('SELECT _flagscope.consume_deltas(now(), 0, 1, ''{}'')'),
    ('SELECT flagscope.confirm_time()'),
    ('SELECT _flagscope.create_chunk(''telemetry'', ''ts'', ''2050-01-01'', ''2050-01-02'')'),
    ('SELECT _flagscope.drop_expired(''telemetry'', ''2100-01-01'')'),
    ('SELECT flagscope.grant_admin(''regress_flagscope_nobody'')'), ('SELECT _flagscope.tell(1)'),
    ('ALTER TABLE flagscope.decision DISABLE TRIGGER USER'), ('CREATE TABLE flagscope.mine ()');
SET client_min_messages = notice;
SELECT pg_temp.may('regress_flagscope_nobody', statement) AS nobody,
    pg_temp.may('regress_flagscope_reader', statement) AS reader,
    pg_temp.may('regress_flagscope_writer', statement) AS writer,
    pg_temp.may('regress_flagscope_admin', statement) AS admin, left(statement, 90) AS statement
FROM action ORDER BY id;

-- A writer's rows count in the rollups, though it may not see them; so do those of a COPY.
SET ROLE regress_flagscope_writer;
INSERT INTO flagscope.telemetry (ts, signal, name, flags, is_error)
VALUES ('2040-01-02 12:00', 'span', 'x', '{"f": "on"}', true);
COPY flagscope.telemetry (ts, signal, name, flags) FROM stdin (DELIMITER '|');
2040-01-02 12:00:01|span|x|{"f": "on"}
2040-01-02 12:00:02|span|x|{"f": "off"}
\.
SELECT variant IN ('on', 'off') AS served, reason FROM flagscope.evaluate('f', 'user');
SELECT variant IN ('on', 'off') AS served FROM flagscope.expose('f', 'user', at => '2040-01-02 12:00:03');
SELECT accepted FROM flagscope.ingest_otlp(
    '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"2209032000000000000"}]}]}]}');
SELECT * FROM _flagscope.variant_delta;
INSERT INTO flagscope.telemetry (ts, signal, name) VALUES ('2040-01-02', 'span', 'x') RETURNING *;
RESET ROLE;
SELECT variant, n, events FROM _flagscope.variant_delta ORDER BY last_ts;

-- An admin drives the rollout through the functions; the decision names the session's user, or the actor that was set.
SET ROLE regress_flagscope_admin;
SELECT flagscope.pause_rollout(1, 'look first') > 0 AS paused;
SET flagscope.actor = 'ann';
SELECT flagscope.resume_rollout(1) > 0 AS resumed;
RESET flagscope.actor;
UPDATE flagscope.guardrail SET limit_value = 0.5, comparison = 'absolute', test = 'threshold';
SELECT strata FROM flagscope.tick('2040-01-02 12:00:10');
RESET ROLE;
SELECT action, CASE actor WHEN session_user THEN 'session user' ELSE actor END AS actor, reason,
    session_role = session_user AS logged_in
FROM flagscope.decision ORDER BY id;
-- Partitions made later, too, can be read by who may read telemetry, through it.
SELECT made > 0 AS made FROM flagscope.maintain('2040-02-02');
SELECT pg_temp.may('regress_flagscope_reader', 'SELECT count(*) FROM flagscope.telemetry WHERE ts > ''2040-02-01''');

-- Nothing is granted to everybody but what fills the caches.
SELECT p.oid::regprocedure FROM pg_proc p
WHERE pronamespace IN ('flagscope'::regnamespace, '_flagscope'::regnamespace)
    AND has_function_privilege('regress_flagscope_nobody', p.oid, 'EXECUTE')
ORDER BY p.proname;
SELECT c.relname FROM pg_class c
WHERE relnamespace IN ('flagscope'::regnamespace, '_flagscope'::regnamespace) AND relkind IN ('r', 'v', 'p', 'S')
    AND has_table_privilege('regress_flagscope_nobody', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE');
SELECT n AS schema, has_schema_privilege('regress_flagscope_nobody', n, 'USAGE') AS usage,
    has_schema_privilege('regress_flagscope_admin', n, 'CREATE') AS admin_creates
FROM unnest('{flagscope,_flagscope}'::text[]) n;
-- What runs with the owner's rights has a fixed search path that ends in pg_temp.
SELECT p.oid::regprocedure, p.proconfig FROM pg_proc p
WHERE pronamespace IN ('flagscope'::regnamespace, '_flagscope'::regnamespace) AND prosecdef
    AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false);
DROP OWNED BY regress_flagscope_reader, regress_flagscope_writer, regress_flagscope_admin;
DROP ROLE regress_flagscope_reader, regress_flagscope_writer, regress_flagscope_admin, regress_flagscope_nobody;
