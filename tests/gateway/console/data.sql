-- What the console shows in its tests: a rollout that waits for an approval, one in another environment, and names that
-- are no friends of HTML. Traffic is even until somebody sends it with errors.
SET client_min_messages = warning;
CREATE EXTENSION flagscope;
CREATE ROLE gate LOGIN;
CREATE ROLE desk LOGIN;
SELECT flagscope.grant_writer('gate'), flagscope.grant_operator('desk'),
    flagscope.set_setting('health.settle', '"1 millisecond"'), flagscope.set_setting('guardrail.detectable', '0');
SELECT flagscope.create_environment('staging', '{stage}');
SELECT flagscope.create_flag('checkout', description => 'the new checkout'),
    flagscope.create_flag('<script>alert("flag")</script>''&quot; ' || repeat('long ', 40),
        description => '<img src=x onerror=alert(1)>');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}'),
    flagscope.create_metric('<script>alert("metric")</script>', 'quantile', 'span', '{"name": "pay"}', unit => 's');
SELECT flagscope.create_guardrail(f.key, 'errors', name => 'errors of ' || left(f.key, 30), margin => 0.1,
        action => 'rollback'),
    flagscope.create_guardrail(f.key, '<script>alert("metric")</script>', margin => 0.1,
        name => '"><script>alert("rule")</script>' || left(f.key, 5))
FROM flagscope.flag_definition f;
SELECT flagscope.create_rollout('checkout', stages => '{50, 100}', min_duration => '1 millisecond', approval => true,
        advance_when => 'clear') AS first,
    flagscope.create_rollout(f.key, stages => '{50, 100}', min_duration => '1 day') AS second,
    flagscope.create_rollout('checkout', environment => 'staging', stages => '{50, 100}', min_duration => '1 day')
FROM flagscope.flag_definition f WHERE f.key LIKE '<script>%';
SELECT flagscope.start_rollout(r.id, override => true, reason => 'test <b>bold</b>', actor => '<i>somebody</i>')
FROM flagscope.rollout r ORDER BY r.id;

-- 2,000 requests of both variants, of which the treatment's fail in this share.
CREATE FUNCTION traffic(flag text, errors float8) RETURNS void LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, value, unit, is_error, flags, environment, service, subject)
    SELECT clock_timestamp() - make_interval(secs => 2.0 - i / 1000.0), 'span', 'pay', 0.1 + (i % 10) / 100.0, 's',
        CASE WHEN i % 2 = 0 THEN i % 10 < 10 * errors ELSE i % 100 < 2 END,
        jsonb_build_object(flag, CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END), 'production', 'shop', 'user ' || i
    FROM generate_series(1, 2000) i;
$$;
SELECT traffic(f.key, 0) FROM flagscope.flag_definition f;

-- A trace as an attacker would send it: a name of 10 kB, a body and attributes with markup.
\set trace 0af7651916cd43dd8448eb211c80319c
INSERT INTO flagscope.telemetry (ts, signal, name, value, unit, is_error, flags, environment, service, trace_id,
    span_id, attributes)
VALUES (clock_timestamp(), 'span', left('"><script>alert("span")</script>' || repeat('x', 10240), 10240), 0.2, 's',
    true, '{"checkout": "on"}', 'production', '<script>alert("service")</script>', :'trace', '\x00f067aa0ba902b7',
    jsonb_build_object('<script>alert("key")</script>', '"><script>alert("value")</script>', 'otlp', jsonb_build_object(
        'events', jsonb_build_array(jsonb_build_object('name', 'exception', 'attributes', jsonb_build_object(
            'exception.type', '<script>', 'exception.message', '</script><script>alert("exception")</script>'))))));
INSERT INTO flagscope.telemetry (ts, signal, name, flags, environment, service, trace_id, parent_span_id, body)
VALUES (clock_timestamp(), 'log', 'log', '{"checkout": "on"}', 'production', 'shop', :'trace', '\x00f067aa0ba902b7',
    '<img src=x onerror="alert(''body'')"> & ' || repeat('<b>long</b> ', 1000));
SELECT tick FROM flagscope.tick();
