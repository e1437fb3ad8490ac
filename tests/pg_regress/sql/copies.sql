-- Effects that appear late: with each stage, and every quarter of an hour within one, a copy of the evidence begins
-- that has seen nothing of what was before. Every number is computed anew here by plain SQL from the increments.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SELECT flagscope.create_flag('pay');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_guardrail('pay', 'errors', margin => 0, min_sample => 0);
SELECT flagscope.create_rollout('pay', stages => ARRAY[10, 50, 100], min_duration => '20 min') AS id \gset
SELECT flagscope.start_rollout(:id, at => '2040-01-02 12:00') IS NOT NULL AS started;
CREATE FUNCTION pg_temp.minute(minute integer, bad integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, flags, is_error)
    SELECT timestamptz '2040-01-02 12:00' + minute * interval '1 minute' - interval '30 s', 'span', 'pay',
        jsonb_build_object('pay', v), i <= CASE v WHEN 'on' THEN bad ELSE 10 END
    FROM generate_series(1, 1000) i, unnest('{on,off}'::text[]) v;
    SELECT FROM flagscope.tick(timestamptz '2040-01-02 12:00' + minute * interval '1 minute');
$$;
-- Healthy for 35 minutes, of which 20 at 10 %; then three times as many errors. Just before a copy is due the control
-- comes alone, and waits: a tick that compares nothing begins no copy, since no stratum would say so.
SELECT FROM (SELECT pg_temp.minute(m, 10) FROM generate_series(1, 15) m) x;
INSERT INTO flagscope.telemetry (ts, signal, name, flags, is_error)
SELECT '2040-01-02 12:15:40', 'span', 'pay', '{"pay": "off"}', false FROM generate_series(1, 100);
SELECT FROM flagscope.tick('2040-01-02 12:16:00.5');
SELECT FROM (SELECT pg_temp.minute(m, 10) FROM generate_series(17, 35) m) x;
SELECT FROM (SELECT pg_temp.minute(36, 30), pg_temp.minute(37, 30), pg_temp.minute(38, 30)) x;
SELECT extract(minute FROM e.at) AS minute, e.percent, round(e.log_e::numeric, 6) AS log_e
FROM flagscope.evaluation e WHERE e.begins_copy ORDER BY e.at;
SELECT s.state, s.reason, extract(minute FROM s.copied_at) AS copied_at, s.evidence[1] AS copies
FROM flagscope.guardrail_status s;

-- The whole evidence and each copy apart: stakes of 0.95 and of 0.05 / (s (s + 1)) for copy s, the rest held back.
CREATE TEMP TABLE point AS
SELECT * FROM unnest('{0.08,0.03,0.35,0.30,0.10,0.08,0.04,0.02}'::float8[]) WITH ORDINALITY p(weight, j);
WITH stratum AS (
    SELECT e.stratum, e.increment, sum(e.begins_copy::integer) OVER (ORDER BY e.stratum) AS copies, e.log_e
    FROM flagscope.evaluation e WHERE e.increment <> '{}'
), part AS (
    SELECT 0 AS s, 0.95::float8 AS stake, 0 AS first UNION ALL
    SELECT c.copies, 0.05 / (c.copies * (c.copies + 1)), min(c.stratum)
    FROM stratum c WHERE c.copies > 0 GROUP BY 2, c.copies
), e AS (
    SELECT now.stratum, part.s, part.stake, p.weight, sum(x.increment[p.j]) AS ell FROM stratum now
        JOIN part ON part.first <= now.stratum JOIN stratum x ON x.stratum BETWEEN part.first AND now.stratum, point p
    GROUP BY 1, 2, 3, 4, p.j
), value AS (
    SELECT e.stratum, ln(sum(e.stake * e.weight * exp(e.ell)) + 0.05 / (max(e.s) + 1)) AS log_e,
        ln(sum(e.weight * exp(e.ell)) FILTER (WHERE e.s = 0)) AS without
    FROM e GROUP BY 1
)
SELECT count(*) AS strata, bool_and(abs(s.log_e - v.log_e) < 1e-9) AS as_by_formula,
    round((max(s.log_e) - max(v.without) FILTER (WHERE v.stratum = last.stratum))::numeric, 2) AS nats_ahead
FROM stratum s JOIN value v USING (stratum), (SELECT max(stratum) AS stratum FROM stratum) last;
-- Replayed and backtested, live and as if it had never been.
SELECT bool_and(abs(r.log_e_stored - r.log_e_recomputed) < 1e-12) AS as_replayed, count(*) AS strata
FROM flagscope.decision d, _flagscope.replay_evidence(d.id) r WHERE d.action = 'rollback';
SELECT bool_and(b.log_e = e.log_e) AS as_live, max(extract(minute FROM b.at)) FILTER (WHERE b.fires) AS fires
FROM flagscope.backtest_guardrail((SELECT id FROM flagscope.guardrail), '2040-01-02', '2040-01-03') b
    JOIN flagscope.evaluation e USING (at);
DELETE FROM flagscope.guardrail;
SELECT max(b.log_e) > 4.7 AS found, to_char(min(b.at) FILTER (WHERE b.fires) AT TIME ZONE 'UTC', 'HH24:MI:SS') AS fires
FROM flagscope.backtest('pay', '{"metric": "errors", "margin": 0}', since => '2040-01-02', until => '2040-01-03') b;
