-- The judge: what cannot be loaded of one guardrail is its own failure and loses no data; what was judged live comes
-- out the same from what was stored.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
CREATE FUNCTION pg_temp.spans(at timestamptz, n integer, errors integer, slow float8 DEFAULT 0.1) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, flags)
    SELECT at - i * interval '1 ms', 'span', 'pay', CASE v WHEN 'on' THEN slow ELSE 0.1 END * (1 + i % 7 / 10.0),
        v = 'on' AND i <= errors, jsonb_build_object('shop', v)
    FROM generate_series(1, n) i, unnest('{on,off}'::text[]) v
$$;
CREATE VIEW pg_temp.standing AS
SELECT g.name, s.state, s.failures, left(s.reason, 60) AS reason, (s.waiting_treatment).n AS waits, s.n_treatment AS n
FROM flagscope.guardrail_status s
JOIN flagscope.guardrail g ON g.id = s.guardrail_id ORDER BY g.id;
SELECT flagscope.create_flag('shop');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}'),
    flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}', unit => 's');
SELECT flagscope.create_guardrail('shop', 'errors', min_sample => 1) AS errors,
    flagscope.create_guardrail('shop', 'duration', quantile => 0.9, limit_value => 1, test => 'threshold',
        min_sample => 1) AS duration,
    flagscope.create_guardrail('shop', 'duration', name => 'slower', min_sample => 1) AS slower \gset
SELECT flagscope.create_rollout('shop', stages => ARRAY[50, 100], min_duration => '1 day') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-02 12:00') > 0 AS started;
SELECT pg_temp.spans('2040-01-02 12:00:05', 50, 0);
SELECT guardrails FROM flagscope.tick('2040-01-02 12:00:06');
SELECT * FROM pg_temp.standing;

-- What is found of one guardrail cannot be stored: each is judged apart, and this one is in state error.
CREATE FUNCTION public.refuse() RETURNS trigger
LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'a trigger of somebody else'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON flagscope.guardrail_status
    FOR EACH ROW WHEN (NEW.guardrail_id = 2 AND NEW.failures = 0) EXECUTE FUNCTION public.refuse();
SELECT pg_temp.spans('2040-01-02 12:00:25', 50, 0);
SELECT guardrails FROM flagscope.tick('2040-01-02 12:00:26');
SELECT * FROM pg_temp.standing;
-- It fails again with more data: what waits is all of it.
SELECT pg_temp.spans('2040-01-02 12:00:35', 30, 0);
SELECT guardrails FROM flagscope.tick('2040-01-02 12:00:36');
SELECT * FROM pg_temp.standing;
DROP TRIGGER refuse ON flagscope.guardrail_status;
DROP FUNCTION public.refuse();
SELECT guardrails FROM flagscope.tick('2040-01-02 12:01:30');
SELECT * FROM pg_temp.standing;
-- A stored array with a NULL in it cannot be read: told, and kept as it is.
UPDATE flagscope.guardrail_status SET evidence = '{0,NULL}' WHERE guardrail_id = :errors;
SELECT pg_temp.spans('2040-01-02 12:01:35', 20, 0);
SELECT guardrails FROM flagscope.tick('2040-01-02 12:01:36');
SELECT * FROM pg_temp.standing;
SELECT evidence, (waiting_control).n AS control FROM flagscope.guardrail_status WHERE guardrail_id = :errors;
DELETE FROM flagscope.guardrail_status WHERE guardrail_id = :errors;

-- Live and looked back at: the same states at the same times, the same evidence, the same words of the breach.
SELECT count(flagscope.tick('2040-01-02 12:02'::timestamptz + k * interval '10 s'))
FROM generate_series(0, 11) k,
    LATERAL pg_temp.spans('2040-01-02 12:02'::timestamptz + k * interval '10 s' - interval '1 s', 60,
        k / 3, 0.1 + k / 200.0);
SELECT g.name, count(*) AS strata,
    bool_and(b.log_e IS NOT DISTINCT FROM CASE g.test WHEN 'sequential' THEN e.log_e END) AS same_evidence,
    bool_and(b.value IS NOT DISTINCT FROM e.value) AS same_value, count(*) FILTER (WHERE b.fires) AS fires,
    bool_and(NOT b.fires OR e.state = 'breached') AS as_decided
FROM flagscope.guardrail g
    CROSS JOIN LATERAL flagscope.backtest_guardrail(g.id, '2040-01-02 12:00', '2040-01-02 13:00') b
    JOIN flagscope.evaluation e ON e.guardrail_id = g.id AND e.at = b.at
GROUP BY g.id, g.name ORDER BY g.id;
SELECT action, rule ->> 'name' AS guardrail, at, left(reason, 40) AS reason
FROM flagscope.decision WHERE guardrail_id IS NOT NULL;
SELECT bool_and(log_e_stored = log_e_recomputed) AS same, count(*) > 5 AS strata
FROM _flagscope.replay_evidence((SELECT max(id) FROM flagscope.decision));
