-- Backtests: a live period comes out exactly, a proposed rule is judged by the same code; margins from an A/A period.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
-- A minute of traffic in six batches of 10 s, a tick after each: errors in percent by arm, and slower by a factor.
CREATE FUNCTION pg_temp.minute(at timestamptz, errors_on integer, errors_off integer, slower float8 DEFAULT 1)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR k IN 0 .. 5 LOOP
        INSERT INTO flagscope.telemetry (ts, signal, name, value, flags, is_error)
        SELECT at + k * interval '10 s' + i * interval '1 ms', 'span', 'pay',
            (0.1 + (i * 37 % 100) / 1000.0) * CASE v WHEN 'on' THEN slower ELSE 1 END, jsonb_build_object('shop', v),
            (i * 17 + k * 5) % 100 < CASE v WHEN 'on' THEN errors_on ELSE errors_off END
        FROM generate_series(1, 100) i, unnest('{on,off}'::text[]) v;
        PERFORM flagscope.tick(at + k * interval '10 s' + interval '9 s');
    END LOOP;
END $$;
SELECT flagscope.create_flag('shop');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}'),
    flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}', unit => 's');
SELECT flagscope.create_guardrail('shop', 'errors', action => 'hold') AS errors,
    flagscope.create_guardrail('shop', 'duration') AS duration,
    flagscope.create_guardrail('shop', 'errors', name => 'shadow', shadow => true) AS shadow \gset
SELECT flagscope.create_rollout('shop', stages => ARRAY[50, 100], min_duration => '1 day') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-02 12:00') > 0 AS started;
SELECT pg_temp.minute('2040-01-02 12:00', 2, 2), pg_temp.minute('2040-01-02 12:01', 3, 2),
    pg_temp.minute('2040-01-02 12:02', 9, 2);
SELECT flagscope.resume_rollout(:id, reason => 'once more', actor => 'ann', at => '2040-01-02 12:03') > 0 AS resumed;
SELECT pg_temp.minute('2040-01-02 12:03', 2, 2), pg_temp.minute('2040-01-02 12:04', 30, 2, 1.5);

-- What was decided live, and what the backtest says: the same times, the same numbers.
SELECT d.rule ->> 'name' AS guardrail, d.action, d.shadow, d.at, round((d.evidence ->> 'log_e')::numeric, 9) AS log_e
FROM flagscope.decision d WHERE d.guardrail_id IS NOT NULL ORDER BY d.id;
SELECT g.name, b.at, round(b.log_e::numeric, 9) AS log_e, round(b.line::numeric, 3) AS line
FROM flagscope.guardrail g, flagscope.backtest_guardrail(g.id, '2040-01-02 12:00', '2040-01-02 13:00') b
WHERE b.fires ORDER BY b.at, g.id;
SELECT count(*) AS strata, bool_and(b.log_e = e.log_e) AS same
FROM flagscope.backtest_guardrail(:errors, '2040-01-02 12:00', '2040-01-02 13:00') b
    JOIN flagscope.evaluation e ON e.guardrail_id = :errors AND e.at = b.at;
-- The shadow rule gave the verdict that the live one gave.
SELECT s.at = l.at AS same_time, (s.evidence ->> 'log_e') = (l.evidence ->> 'log_e') AS same_evidence
FROM flagscope.decision s, flagscope.decision l
WHERE s.shadow AND NOT l.shadow AND l.action = 'hold'
    AND l.id = (SELECT min(id) FROM flagscope.decision WHERE action = 'hold');
-- Proposed rules: a larger margin fires later or not at all; a healthy period gives no alarm;
-- a quantile and a threshold, from rollups.
SELECT margin,
    (SELECT min(b.at) FROM flagscope.backtest('shop', jsonb_build_object('metric', 'errors', 'margin', margin),
        since => '2040-01-02 12:00', until => '2040-01-02 13:00') b
        WHERE b.fires) AS fires_at
FROM unnest('{0,0.1,0.5,1}'::float8[]) margin;
SELECT count(*) AS strata, count(*) FILTER (WHERE b.fires) AS alarms
FROM flagscope.backtest('shop', '{"metric": "errors"}', since => '2040-01-02 12:00', until => '2040-01-02 12:01') b;
SELECT rule ->> 'quantile' AS quantile, min(b.at) FILTER (WHERE b.fires) AS fires_at, count(*) AS strata
FROM unnest(ARRAY['{"metric": "duration", "quantile": 0.9}', '{"metric": "duration"}',
        '{"metric": "duration", "quantile": 0.9, "limit_value": 0.22}',
        '{"metric": "duration", "quantile": 0.9, "limit_value": 0.22, "test": "threshold",
         "time_window": "10 seconds"}']::jsonb[]) rule,
    flagscope.backtest('shop', rule, since => '2040-01-02 12:00', until => '2040-01-02 13:00') b
GROUP BY rule ORDER BY rule;
SELECT * FROM flagscope.backtest('shop', '{"metric": "errors", "comparison": "baseline", "test": "threshold"}',
    since => '2040-01-02 12:00', until => '2040-01-02 13:00');
SELECT *
FROM flagscope.backtest('shop', '{"metric": "errors"}', since => '2039-01-02 12:00', until => '2039-01-02 13:00');
SELECT * FROM flagscope.backtest_guardrail(99, '2040-01-02 12:00', '2040-01-02 13:00');

-- Margins: arms alike up to sampling need the default; an arm that wobbles from minute to minute needs more.
SELECT minutes, noise < 0.2 AS quiet, margin
FROM flagscope.suggest_margin(:errors, '2040-01-02 12:00', '2040-01-02 12:02');
SELECT minutes, round(noise::numeric, 3) AS noise, round(margin::numeric, 3) AS margin,
    abs(margin - (exp(2 * noise) - 1)) < 1e-9 AS twice_the_noise
FROM flagscope.suggest_margin(:errors, '2040-01-02 12:00', '2040-01-02 12:05');
SELECT * FROM flagscope.suggest_margin(:errors, '2040-01-02 12:00', '2040-01-02 12:01');
