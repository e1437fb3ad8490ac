-- One tick over many rollouts: 200 with five guardrails each, every one with fresh data in both arms.
\pset footer off
SET client_min_messages = warning;
SELECT count(flagscope.create_metric('m' || i, 'proportion', 'span', format('{"name": "s%s"}', i)::jsonb, '{"is_error": true}')) AS metrics FROM generate_series(1, 5) i \gset
SELECT count(flagscope.create_flag('flag-' || i)) AS flags FROM generate_series(1, 200) i \gset
SELECT count(flagscope.create_guardrail('flag-' || i, 'm' || j)) AS guardrails FROM generate_series(1, 200) i, generate_series(1, 5) j \gset
SELECT count(flagscope.start_rollout(flagscope.create_rollout('flag-' || i, stages => '{50, 100}', min_duration => '1 day'))) AS rollouts FROM generate_series(1, 200) i \gset
DELETE FROM flagscope.variant_delta;
CREATE FUNCTION feed() RETURNS void LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags)
    SELECT now(), 'span', 's' || 1 + k % 5, k % 50 = 0, jsonb_build_object('flag-' || i, CASE WHEN k % 2 = 0 THEN 'on' ELSE 'off' END)
    FROM generate_series(1, 200) i, generate_series(1, 100) k
$$;
SELECT feed() \g /dev/null
SELECT flagscope.tick() \g /dev/null
CREATE TEMP TABLE ticks (kind text, ms float8);
CREATE PROCEDURE measure() LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..7 LOOP
        PERFORM feed(); COMMIT;
        INSERT INTO ticks SELECT 'with data for every guardrail', (flagscope.tick()).milliseconds; COMMIT;
        INSERT INTO ticks SELECT 'idle', (flagscope.tick()).milliseconds; COMMIT;
    END LOOP;
END $$;
CALL measure();
\echo 'One tick over 1,000 guardrails of 200 running rollouts, one process'
SELECT kind, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric) AS median_ms FROM ticks GROUP BY kind ORDER BY kind;
