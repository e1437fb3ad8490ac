-- One tick over many rollouts: :flags (200) with five guardrails each (four proportions, a quantile), every one with
-- fresh data in both arms; without a past, and with a day of it:
-- rollups of every 10 s, evaluations of every half minute.
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION flagscope;
CREATE TABLE sizes AS SELECT :flags AS flags, :ticks AS ticks;
SELECT count(flagscope.create_metric('m' || i,
    CASE WHEN i < 5 THEN 'proportion' ELSE 'quantile' END::flagscope.metric_kind, 'span',
    format('{"name": "s%s"}', i)::jsonb, CASE WHEN i < 5 THEN '{"is_error": true}'::jsonb END)) AS metrics
FROM generate_series(1, 5) i \gset
SELECT count(flagscope.create_flag('flag-' || i)) AS flags FROM generate_series(1, (SELECT flags FROM sizes)) i \gset
SELECT count(flagscope.create_guardrail('flag-' || i, 'm' || j)) AS guardrails
FROM generate_series(1, (SELECT flags FROM sizes)) i, generate_series(1, 5) j \gset
SELECT count(flagscope.start_rollout(flagscope.create_rollout('flag-' || i, stages => '{50, 100}',
        min_duration => '2 days'),
    at => now() - interval '1 day')) AS rollouts
FROM generate_series(1, (SELECT flags FROM sizes)) i \gset
SELECT flagscope.maintain(now() - interval '1 day') IS NOT NULL AND flagscope.maintain() IS NOT NULL AS maintained \gset
DELETE FROM _flagscope.variant_delta;
CREATE FUNCTION feed() RETURNS void LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, flags)
    SELECT now(), 'span', 's' || 1 + k % 5, exp(sin(k)) / 10, k % 49 = 0,
        jsonb_build_object('flag-' || i, CASE WHEN k % 2 = 0 THEN 'on' ELSE 'off' END)
    FROM generate_series(1, (SELECT flags FROM sizes)) i, generate_series(1, 100) k
$$;
CREATE TEMP TABLE ticks (kind text, place integer, ms float8);
CREATE PROCEDURE measure(past text, place integer) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..(SELECT ticks FROM sizes) LOOP
        PERFORM feed(); COMMIT;
        INSERT INTO ticks
        SELECT format('with data for every guardrail, %s', past), place, (flagscope.tick()).milliseconds;
        COMMIT;
        INSERT INTO ticks SELECT format('idle, %s', past), place + 1, (flagscope.tick()).milliseconds; COMMIT;
    END LOOP;
END $$;
SELECT feed() \g /dev/null
SELECT flagscope.tick() \g /dev/null
CALL measure('no past', 1);
INSERT INTO flagscope.variant_rollup
SELECT 'flag-' || i, 'production', v, 'm' || j, b, 100, 2 * (j < 5)::integer, NULL,
    CASE WHEN j = 5 THEN h.states END, b, true
FROM (SELECT flagscope.histogram(exp(sin(k)) / 10) AS states FROM generate_series(1, 100) k) h,
    generate_series(1, (SELECT flags FROM sizes)) i, generate_series(1, 5) j, unnest('{on,off}'::text[]) v,
    generate_series(date_bin('10 s', now(), '2000-01-01Z') - interval :'past', now() - interval '1 minute', '10 s') b;
INSERT INTO flagscope.evaluation (at, evidence_id, stratum, guardrail_id, rollout_id, guardrail_version, percent, state,
    n_treatment, n_control, events_treatment, events_control, increment, log_e, watermark)
SELECT b, s.evidence_id, -n, s.guardrail_id, s.rollout_id, 1, 50, 'ok', 10, 10, '{0}', '{0}',
    array_fill(0::float8, '{8}'), 0, b
FROM flagscope.guardrail_status s, generate_series(1, (extract(epoch FROM interval :'past') / 30)::integer) n,
    LATERAL (SELECT now() - n * interval '30 s') x(b);
VACUUM ANALYZE flagscope.variant_rollup;
SELECT flagscope.tick() \g /dev/null
CALL measure('a past of ' || :'past', 3);
\echo 'One tick, five guardrails for each of' :flags 'running rollouts, one process'
SELECT kind, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric) AS median_ms
FROM ticks GROUP BY kind, place ORDER BY place;
SELECT count(*) AS rollups, (SELECT count(*) FROM flagscope.evaluation) AS evaluations FROM flagscope.variant_rollup;
