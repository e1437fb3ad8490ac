-- A rollback from the first bad rows to the explained decision; every number of the evidence is computed anew here,
-- by plain SQL from the raw rows.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SET extra_float_digits = 0;  -- as old clients do: what is judged and stored must keep every digit

-- Spans that end just before a time, the first of them errors; durations are spread over slow * (0.01 .. 1) s.
CREATE FUNCTION pg_temp.spans(variant text, at timestamptz, n integer, errors integer, slow float8 DEFAULT 1)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, value, flags, is_error)
    SELECT at - i * interval '1 ms', 'span', 'pay', slow * (i * 37 % 100 + 1) / 100.0,
        jsonb_build_object('pay', variant), i <= errors
    FROM generate_series(1, n) i;
$$;
SELECT flagscope.create_flag('pay');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}', unit => 's');
SELECT flagscope.create_guardrail('pay', 'errors', name => 'fewer than before');
SELECT flagscope.create_guardrail('pay', 'duration', margin => 0.1);
SELECT flagscope.create_rollout('pay', stages => ARRAY[25, 100]);
SELECT _flagscope.decide(1, 'start', 'tester', 'by hand', '2040-01-02 12:00');
SELECT _flagscope.begin_evidence(1, '2040-01-02 12:00');

-- Two healthy strata, then a bad one.
SELECT pg_temp.spans('on', '2040-01-02 12:01', 400, 4), pg_temp.spans('off', '2040-01-02 12:01', 1200, 12);
SELECT strata, guardrails, decisions FROM flagscope.tick('2040-01-02 12:01');
SELECT pg_temp.spans('on', '2040-01-02 12:02', 400, 5), pg_temp.spans('off', '2040-01-02 12:02', 1200, 11);
SELECT strata, guardrails, decisions FROM flagscope.tick('2040-01-02 12:02');
SELECT metric, state, s.reason
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id ORDER BY g.id;
SELECT pg_temp.spans('on', '2040-01-02 12:03', 200, 22), pg_temp.spans('off', '2040-01-02 12:03', 600, 6);
SELECT strata, guardrails, decisions FROM flagscope.tick('2040-01-02 12:03');
SELECT strata, guardrails, decisions FROM flagscope.tick('2040-01-02 12:03');
SELECT strata, guardrails, decisions FROM flagscope.tick('2040-01-02 12:04');

-- One decision; rollout, flag, history and outbox say the same, of one transaction.
SELECT id, at, action, shadow, from_percent, to_percent, from_status, to_status, guardrail_id, guardrail_version,
    rule ->> 'metric' AS metric, evidence_id, last_stratum, watermark, actor, key
FROM flagscope.decision WHERE action <> 'start';
SELECT status, stage, ended_at FROM flagscope.rollout;
SELECT enabled, default_variant, rollout_id, treatment, control, percent, changed_at, actor, decision_id
FROM flagscope.flag_state;
SELECT h.version - min(h.version) OVER () AS version, h.percent, h.decision_id,
    h.transaction = d.transaction AS same_transaction, lower(h.valid) = d.at AS same_time
FROM flagscope.flag_state_history h LEFT JOIN flagscope.decision d ON d.id = h.decision_id ORDER BY h.version;
SELECT o.kind, o.payload ->> 'id' AS decision, o.payload ->> 'action' AS action,
    o.payload -> 'evidence' = d.evidence AS evidence, o.attempts, o.delivered_at, o.xmin = d.xmin AS same_transaction
FROM flagscope.outbox o JOIN flagscope.decision d ON d.id = (o.payload ->> 'id')::bigint ORDER BY o.id;
SELECT variant, reason, count(*) FROM generate_series(1, 1000) i, flagscope.evaluate('pay', 'user' || i) GROUP BY 1, 2;
SELECT flagscope.explain_decision(2);

RESET extra_float_digits;

-- The strata as stored, and as counted from the raw rows.
CREATE TEMP TABLE stratum AS
SELECT extract(minute FROM ts - interval '1 us') AS minute, flags ->> 'pay' AS variant, value, is_error
FROM flagscope.telemetry;
SELECT e.at, e.n_treatment, e.events_treatment, e.n_control, e.events_control,
    (e.n_treatment, e.events_treatment, e.n_control, e.events_control) = (
        SELECT count(*) FILTER (WHERE variant = 'on'), ARRAY[count(*) FILTER (WHERE variant = 'on' AND is_error)],
                count(*) FILTER (WHERE variant = 'off'), ARRAY[count(*) FILTER (WHERE variant = 'off' AND is_error)]
        FROM stratum s WHERE s.minute = extract(minute FROM e.at) - 1) AS as_in_raw_rows
FROM flagscope.evaluation e WHERE guardrail_id = 1 ORDER BY at;

-- ln e of test P by its formula (src/core/stats/README.md):
-- the noncentral hypergeometric likelihood ratio over a grid of odds ratios.
CREATE TEMP TABLE lnf AS
SELECT n, sum(ln(greatest(n, 1)::float8)) OVER (ORDER BY n) AS f FROM generate_series(0, 5000) n;
ALTER TABLE lnf ADD PRIMARY KEY (n);
CREATE FUNCTION pg_temp.increment(nt bigint, yt bigint, nc bigint, yc bigint, margin float8, odds float8) RETURNS float8
LANGUAGE sql STABLE AS $$
    WITH law AS (
        SELECT y, a.f - b.f - c.f + d.f - e.f - g.f AS w
        FROM generate_series(greatest(0, yt + yc - nc), least(nt, yt + yc)) y
            JOIN lnf a ON a.n = nt JOIN lnf b ON b.n = y JOIN lnf c ON c.n = nt - y
            JOIN lnf d ON d.n = nc JOIN lnf e ON e.n = yt + yc - y JOIN lnf g ON g.n = nc - (yt + yc - y)
    ), top AS (SELECT max(w) AS w FROM law)
    SELECT ln(odds) * yt - ln(sum(exp(law.w - top.w + (ln(odds) + ln(1 + margin)) * y)))
        + ln(sum(exp(law.w - top.w + ln(1 + margin) * y)))
    FROM law, top $$;
CREATE TEMP TABLE grid (odds float8, weight float8);
INSERT INTO grid VALUES (1.1, 0.08), (1.2, 0.03), (1.3, 0.35), (1.5, 0.30), (2, 0.10), (3, 0.08), (5, 0.04), (10, 0.02);
WITH point AS (
    SELECT e.at, g.weight,
        sum(pg_temp.increment(n_treatment, events_treatment[1], n_control, events_control[1], 0.1, g.odds))
        OVER (PARTITION BY g.odds ORDER BY e.at) AS ell
    FROM flagscope.evaluation e, grid g WHERE e.guardrail_id = 1
), formula AS (
    -- A twentieth is held back for copies; in the first stage there is none yet.
    SELECT at, ln(0.95 * sum(weight * exp(ell)) + 0.05) AS log_e FROM point GROUP BY at
)
SELECT r.at, round(r.log_e_stored::numeric, 6) AS log_e,
    abs(r.log_e_stored - r.log_e_recomputed) < 1e-12 AS as_replayed,
    abs(r.log_e_stored - f.log_e) < 1e-9 AS as_by_formula
FROM _flagscope.replay_evidence(2) r LEFT JOIN formula f USING (at) ORDER BY r.at;
-- The line is ln(1/alpha), alpha half of the rollout's, since two guardrails share it; the odds ratio by
-- Mantel-Haenszel is close to the score estimate.
SELECT round((evidence ->> 'line')::numeric, 6) AS line, round(ln(2 / (0.9 * 0.01))::numeric, 6) AS line_by_hand,
    (evidence ->> 'log_e')::float8 = (SELECT log_e FROM flagscope.guardrail_status WHERE guardrail_id = 1) AS log_e,
    evidence ->> 'stage_treatment' = (31 / 1000.0)::float8::text AS stage_treatment,
    (evidence ->> 'stage_control')::float8 = 29 / 3000.0::float8 AS stage_control,
    abs(ln((evidence #>> '{odds_ratio,estimate}')::float8) - ln(mh.estimate)) < 0.3 AS near_mantel_haenszel,
    (evidence #>> '{odds_ratio,lower}')::float8 < mh.estimate
        AND mh.estimate < (evidence #>> '{odds_ratio,upper}')::float8 AS within
FROM flagscope.decision, (
    SELECT sum(events_treatment[1] * (n_control - events_control[1]) / (n_treatment + n_control)::float8)
        / sum(events_control[1] * (n_treatment - events_treatment[1]) / (n_treatment + n_control)::float8) AS estimate
    FROM flagscope.evaluation WHERE guardrail_id = 1 AND n_treatment > 0
) mh WHERE action = 'rollback';

-- The quantile guardrail: the first stratum only gives thresholds; the treatment's are the margin's bins higher.
CREATE FUNCTION pg_temp.bin(v float8) RETURNS integer
LANGUAGE sql IMMUTABLE AS $$ SELECT ceil(ln(v) / ln(2::float8) * 32)::integer - 1 $$;
WITH past AS (  -- of the control, up to the stratum before
    SELECT e.at, q.p, q.i, (SELECT pg_temp.bin((array_agg(s.value ORDER BY s.value))[floor(q.p * (count(*) - 1)) + 1])
        FROM stratum s WHERE s.variant = 'off' AND s.minute < extract(minute FROM e.at) - 1) AS key
    FROM flagscope.evaluation e, (VALUES (0.5, 1), (0.9, 2), (0.95, 3), (0.99, 4)) q(p, i)
    WHERE e.guardrail_id = 2 AND e.n_treatment > 0
), counted AS (
    SELECT p.at,
        array_agg((SELECT count(*) FROM stratum s
            WHERE s.variant = 'on' AND s.minute = extract(minute FROM p.at) - 1
                AND pg_temp.bin(s.value) > p.key + ceil(ln(1.1) / ln(2) * 32))
            ORDER BY p.i) AS treatment,
        array_agg((SELECT count(*) FROM stratum s WHERE s.variant = 'off' AND s.minute = extract(minute FROM p.at) - 1
            AND pg_temp.bin(s.value) > p.key) ORDER BY p.i) AS control
    FROM past p WHERE p.key IS NOT NULL GROUP BY p.at
)
SELECT e.at, e.n_treatment, e.events_treatment, e.events_control, cardinality(e.increment) AS grid_points,
    e.events_treatment = c.treatment AND e.events_control = c.control AS as_in_raw_rows
FROM flagscope.evaluation e LEFT JOIN counted c ON c.at = e.at WHERE e.guardrail_id = 2 ORDER BY e.at;
WITH point AS (
    SELECT e.at, t.i, g.weight,
        sum(pg_temp.increment(e.n_treatment, t.yt, e.n_control, t.yc, 0, g.odds)) OVER (PARTITION BY t.i,
            g.odds ORDER BY e.at) AS ell
    FROM flagscope.evaluation e, unnest(e.events_treatment, e.events_control) WITH ORDINALITY t(yt, yc, i), grid g
    WHERE e.guardrail_id = 2
), each AS (SELECT at, i, sum(weight * exp(ell)) AS e FROM point GROUP BY at, i)
SELECT e.at, round(e.log_e::numeric, 6) AS log_e, abs(e.log_e - f.log_e) < 1e-9 AS as_by_formula
FROM flagscope.evaluation e JOIN (SELECT at, ln(0.95 * avg(each.e) + 0.05) AS log_e FROM each GROUP BY at) f USING (at)
WHERE e.guardrail_id = 2 ORDER BY e.at;

-- A decision stays as it was made.
UPDATE flagscope.decision SET reason = 'better';
DELETE FROM flagscope.decision;
TRUNCATE flagscope.decision;
-- A new try is a new rollout; it starts with empty evidence.
SELECT flagscope.start_rollout(1);
SELECT flagscope.create_rollout('pay', stages => ARRAY[25, 100]);
SELECT _flagscope.decide(2, 'start', 'tester', 'by hand', '2040-01-02 13:00');
SELECT _flagscope.begin_evidence(2, '2040-01-02 13:00');
SELECT strata, guardrails, decisions FROM flagscope.tick('2040-01-02 13:00:10');
SELECT s.rollout_id, g.metric, s.state, s.n_treatment, s.log_e
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
WHERE rollout_id = 2 ORDER BY g.id;
