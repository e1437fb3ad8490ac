-- What tests/dump/midway plays, from round :since to round :until of ten seconds each; round 0 makes the rollout.
-- Nothing is random: a row is what its number says.
SET client_min_messages = warning;
SELECT :since = 0 AS begins \gset
\if :begins
CREATE EXTENSION flagscope;
SELECT flagscope.set_setting('tick.budget', '"1 hour"');
SELECT flagscope.set_setting('unit.window', '"1 minute"');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}'),
    flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}'),
    flagscope.create_metric('retries', 'rate', 'event', '{"name": "retry"}',
        per => '{"signal": "span", "name": "pay"}');
SELECT flagscope.create_flag('midway'), flagscope.create_guardrail('midway', 'errors'),
    flagscope.create_guardrail('midway', 'duration'), flagscope.create_guardrail('midway', 'retries'),
    flagscope.create_guardrail('midway', 'errors', per_unit => true);
SELECT flagscope.create_rollout('midway', stages => '{50, 100}', min_duration => '1 hour') AS rollout \gset
\endif
CREATE FUNCTION pg_temp.send(round integer) RETURNS void LANGUAGE sql AS $$
    -- Users send some 20 rows each; errors of a user resemble each other. What the treatment's process sends comes a
    -- round later than the control's.
    WITH request AS (
        SELECT x.k, i, timestamptz '2040-01-02 12:00' + x.k * interval '10 s' + i * interval '40 ms' AS ts,
            (i * 7 + x.k * 3) % 97 AS person, x.on
        FROM (VALUES (round, false), (round - 1, true)) x(k, "on"), generate_series(0, 239) i
    )
    INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, subject, instance, flags)
    SELECT r.ts, (CASE n WHEN 0 THEN 'span' ELSE 'event' END)::flagscope.signal,
        CASE n WHEN 0 THEN 'pay' ELSE 'retry' END,
        CASE n WHEN 0 THEN (1 + (r.i * 37 + r.k) % 101) / 500.0 END,
        n = 0 AND (r.person % 11 = 0 AND (r.i + r.k) % 4 = 0 OR r.on AND r.k > 40 AND r.person % 3 = 0),
        'user-' || r.person + 97 * (r.k / 6), CASE WHEN r.on THEN 'pod-1' ELSE 'pod-2' END,
        jsonb_build_object('midway', CASE WHEN r.on THEN 'on' ELSE 'off' END)
    FROM request r, generate_series(0, CASE WHEN r.i % 60 = 7 THEN 2 ELSE 0 END) n
    WHERE (r.person % 2 = 0) = r.on
$$;
-- A quarter of an hour of the control's past, of which design effects are measured first.
\if :begins
INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, subject, instance, flags)
SELECT timestamptz '2040-01-02 11:45' + i * interval '80 ms', 'span', 'pay', (1 + i * 37 % 101) / 500.0,
    i * 7 % 97 % 11 = 0 AND i % 4 = 0, 'user-' || i * 7 % 97 - 1000, 'pod-2', '{"midway": "off"}'
FROM generate_series(0, 11249) i;
SELECT flagscope.tick('2040-01-02 11:59:59');
SELECT flagscope.start_rollout(:rollout, at => '2040-01-02 12:00');
\endif
SELECT format('SELECT pg_temp.send(%s)', k), format('SELECT flagscope.tick(%L)',
    timestamptz '2040-01-02 12:00' + (k + 1) * interval '10 s') FROM generate_series(:since, :until) k
\gexec
