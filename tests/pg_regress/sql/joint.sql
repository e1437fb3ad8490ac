-- Guardrails together: each is short of its own line, the weighted mean of their e-values is not. One is to blame, its
-- action follows in the same tick, and every number is computed anew here.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}'),
    flagscope.create_metric('declined', 'proportion', 'span', '{"name": "charge"}', '{"is_error": true}'),
    flagscope.create_metric('duration', 'quantile', 'span', '{"name": "quote"}', unit => 's'),
    flagscope.create_metric('silent', 'proportion', 'span', '{"name": "silent"}', '{"is_error": true}');
-- The same rows for every flag named: 1,000 of each span and arm;
-- the treatment's have so many errors, declines, slow ones.
CREATE FUNCTION pg_temp.feed(names text[], at timestamptz, errors integer DEFAULT 20, declined integer DEFAULT 30,
    slow integer DEFAULT 0, arms text[] DEFAULT '{on,off}', span text DEFAULT NULL)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, value, flags, is_error)
    SELECT at - i * interval '1 ms', 'span', x.name,
        CASE WHEN v = 'on' AND i <= x.slow THEN 2 ELSE (i * 37 % 100 + 1) / 100.0 END,
        (SELECT jsonb_object_agg(n, v) FROM unnest(names) n), i <= CASE v WHEN 'on' THEN x.bad ELSE x.usual END
    FROM generate_series(1, 1000) i, unnest(arms) v,
        (VALUES ('pay', errors, 20, 0), ('charge', declined, 30, 0), ('quote', 0, 0, slow)) x(name, bad, usual, slow)
    WHERE x.name = coalesce(span, x.name);
$$;
CREATE VIEW pg_temp.standing AS
SELECT r.flag, g.name AS guardrail, s.state, round(s.log_e::numeric, 3) AS log_e,
    round(ln(1 / s.alpha)::numeric, 3) AS own_line, round((s.alpha * exp(s.log_e))::numeric, 4) AS part,
    s.joint IS NOT NULL AS joint, g.id, r.id AS rollout_id, s.reason, s.evidence_id, s.alpha
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
    JOIN flagscope.rollout r ON r.id = s.rollout_id;
CREATE FUNCTION pg_temp.start(name text, at timestamptz DEFAULT '2040-01-02 12:00') RETURNS bigint LANGUAGE sql AS $$
    SELECT flagscope.start_rollout(flagscope.create_rollout(name, stages => ARRAY[50, 100],
            min_duration => '1 day'), at => at)
$$;

-- Three guardrails; one of three; two that only warn; two shadows beside three;
-- three margins of one metric, one of them absolute.
SELECT count(flagscope.create_flag(f)) FROM unnest('{pay,one,told,shade,margins,hold}'::text[]) f;
SELECT count(flagscope.create_guardrail(f, m, quantile => CASE m WHEN 'duration' THEN 0.9 END,
    shadow => f = 'shade' AND m <> 'errors',
    action => CASE WHEN f = 'told' AND m <> 'errors' THEN 'warn' WHEN f = 'hold' AND m = 'errors' THEN 'hold'
        ELSE 'rollback' END::flagscope.action))
FROM unnest('{pay,told,shade,hold}'::text[]) f, unnest('{errors,declined,duration}'::text[]) m;
SELECT flagscope.create_guardrail('one', 'errors'),
    count(flagscope.create_guardrail(f, 'silent', name => 'silent ' || i))
FROM unnest('{one,shade}'::text[]) f, generate_series(1, 2) i;
SELECT count(flagscope.create_guardrail('margins', 'errors', name => 'margin ' || m, margin => m))
FROM unnest('{0.1,0.12}'::float8[]) m;
SELECT flagscope.create_guardrail('margins', 'errors', name => 'points', margin_absolute => 0.008) IS NOT NULL AS made;
SELECT count(pg_temp.start(f)) FROM unnest('{pay,one,told,shade,margins,hold}'::text[]) f;
SELECT pg_temp.feed('{pay,one,told,shade,margins,hold}', '2040-01-02 12:01');
SELECT guardrails, decisions FROM flagscope.tick('2040-01-02 12:01');
SELECT pg_temp.feed('{pay,one,told,shade,margins,hold}', '2040-01-02 12:02', 65, 81, 108);
SELECT guardrails, decisions FROM flagscope.tick('2040-01-02 12:02');
SELECT flag, guardrail, state, log_e, own_line, part, joint FROM pg_temp.standing ORDER BY rollout_id, id;
SELECT r.flag, r.status, d.action, d.reason
FROM flagscope.rollout r LEFT JOIN flagscope.decision d ON d.rollout_id = r.id AND d.action <> 'start' ORDER BY r.id;
-- What was weighed in that tick says so, too.
SELECT e.state, count(*) FROM flagscope.evaluation e WHERE e.at = '2040-01-02 12:02' GROUP BY e.state ORDER BY e.state;

-- The decision has its parts; the mean by combine_e(), and all of it anew from the counts, also when a rule is gone.
SELECT d.id AS decision FROM flagscope.decision d WHERE d.flag = 'pay' AND d.action = 'rollback' \gset
SELECT flagscope.explain_decision(:decision);
SELECT p ->> 'guardrail' AS guardrail, round((p ->> 'log_e')::numeric, 3) AS log_e, p ->> 'alpha' AS alpha
FROM flagscope.decision d, jsonb_array_elements(d.evidence #> '{joint,parts}') p WHERE d.id = :decision;
SELECT round(c.log_e::numeric, 6) AS mean_by_combine_e, c.verdict,
    abs(c.log_e - ln((j ->> 'sum')::float8 / 0.009)) < 1e-12 AS same_sum,
    abs((j ->> 'log_mean')::float8 - ln((j ->> 'sum')::float8 / 0.01)) < 1e-12 AS same_mean,
    abs((j ->> 'line')::float8 - ln(100)) < 1e-12 AS line
FROM (SELECT d.evidence -> 'joint' AS j FROM flagscope.decision d WHERE d.id = :decision) d,
    LATERAL (SELECT array_agg((p ->> 'log_e')::float8) AS log_e, array_agg((p ->> 'alpha')::float8) AS alpha
        FROM jsonb_array_elements(j -> 'parts') p) p,
    LATERAL flagscope.combine_e(p.log_e, p.alpha, 0.009) c;
DELETE FROM flagscope.guardrail WHERE flag = 'pay' AND name = 'declined';
SELECT guardrail, alpha, strata, abs(log_e_stored - log_e_recomputed) < 1e-12 AS same, round(part::numeric, 6) AS part,
    round(sum_recomputed::numeric, 6) AS sum, abs(sum_stored - sum_recomputed) < 1e-12 AS same_sum
FROM _flagscope.replay_joint(:decision);
SELECT count(*) AS strata, bool_and(abs(log_e_stored - log_e_recomputed) < 1e-12) AS same
FROM _flagscope.replay_evidence(:decision);
SELECT j.guardrail, j.strata, abs(j.log_e_stored - j.log_e_recomputed) < 1e-12 AS same,
    abs(j.sum_stored - j.sum_recomputed) < 1e-12 AS same_sum
FROM flagscope.decision d, _flagscope.replay_joint(d.id) j WHERE d.flag = 'margins' AND d.action = 'rollback';
SELECT count(*) AS of_a_start FROM _flagscope.replay_joint(1);
SELECT * FROM _flagscope.replay_joint(99);

-- Decided once, and still breached when the e-values fall again: here the rows that come are better than the control's.
SELECT pg_temp.feed('{hold,one,told,shade}', '2040-01-02 12:03', 5, 10, 0);
SELECT guardrails, decisions FROM flagscope.tick('2040-01-02 12:03');
SELECT guardrail, state, log_e, joint, reason FROM pg_temp.standing WHERE flag = 'hold' ORDER BY id;
SELECT flagscope.ramp_gate(rollout_id, '2040-01-02 12:03') FROM pg_temp.standing WHERE flag = 'hold' LIMIT 1;
SELECT guardrails, decisions FROM flagscope.tick('2040-01-02 12:03:10');
-- A resume begins the blamed one anew, with half of what is left of the budget;
-- the others go on, and may be blamed together again.
SELECT DISTINCT rollout_id AS hold FROM pg_temp.standing WHERE flag = 'hold' \gset
CREATE TEMP TABLE before AS SELECT * FROM pg_temp.standing WHERE flag = 'hold';
SELECT flagscope.resume_rollout(:hold, at => '2040-01-02 12:04') IS NOT NULL AS resumed;
SELECT s.guardrail, s.state, s.log_e, s.part, s.joint, s.evidence_id <> b.evidence_id AS anew, s.alpha,
    s.log_e = b.log_e AS as_before
FROM pg_temp.standing s JOIN before b USING (id) ORDER BY id;
SELECT guardrails, decisions FROM flagscope.tick('2040-01-02 12:04');
SELECT pg_temp.feed('{hold}', '2040-01-02 12:05', 20, 76, 131);
SELECT guardrails, decisions FROM flagscope.tick('2040-01-02 12:05');
SELECT guardrail, state, log_e, own_line, part, joint FROM pg_temp.standing WHERE flag = 'hold' ORDER BY id;
SELECT d.action, d.from_status, d.to_status, d.reason,
    (SELECT bool_and(abs(j.log_e_stored - j.log_e_recomputed) < 1e-12) FROM _flagscope.replay_joint(d.id) j) AS same
FROM flagscope.decision d WHERE d.rollout_id = :hold AND d.action <> 'start' ORDER BY d.id;

-- Evidence of which rows wait for the other arm is late: it counts when they have been weighed, not before.
SELECT flagscope.create_flag('late');
SELECT count(flagscope.create_guardrail('late', m, quantile => CASE m WHEN 'duration' THEN 0.9 END))
FROM unnest('{errors,declined,duration}'::text[]) m;
SELECT pg_temp.start('late', '2040-01-02 13:00') IS NOT NULL AS started;
SELECT pg_temp.feed('{late}', '2040-01-02 13:01');
SELECT decisions FROM flagscope.tick('2040-01-02 13:01');
SELECT pg_temp.feed('{late}', '2040-01-02 13:02', declined => 81, span => 'charge'),
    pg_temp.feed('{late}', '2040-01-02 13:02', slow => 108, span => 'quote');
SELECT decisions FROM flagscope.tick('2040-01-02 13:02');
SELECT pg_temp.feed('{late}', '2040-01-02 13:02:01', errors => 65, span => 'pay'),
    pg_temp.feed('{late}', '2040-01-02 13:02:01', declined => 45, span => 'charge', arms => '{on}');
SELECT decisions FROM flagscope.tick('2040-01-02 13:02:01');
SELECT guardrail, state, log_e, part, joint FROM pg_temp.standing WHERE flag = 'late' ORDER BY id;
SELECT sum(part) >= 1 AS would_reach FROM pg_temp.standing WHERE flag = 'late';
SELECT pg_temp.feed('{late}', '2040-01-02 13:02:02', span => 'charge', arms => '{off}');
SELECT decisions FROM flagscope.tick('2040-01-02 13:02:02');
-- They are compared when both are known to be there, here after a minute.
SELECT decisions FROM flagscope.tick('2040-01-02 13:03:11');
SELECT guardrail, state, log_e, part, joint FROM pg_temp.standing WHERE flag = 'late' ORDER BY id;

-- E-values beyond what a float holds, and far below 1: an outage breaches by itself, and adds nothing to others.
SELECT flagscope.create_flag('outage');
SELECT count(flagscope.create_guardrail('outage', m, margin => 0)) FROM unnest('{errors,declined}'::text[]) m;
SELECT pg_temp.start('outage', '2040-01-02 14:00') IS NOT NULL AS started;
SELECT pg_temp.feed('{outage}', '2040-01-02 14:01', 1000, 0);
SELECT decisions FROM flagscope.tick('2040-01-02 14:01');
SELECT guardrail, state, log_e > 710 AS beyond, joint FROM pg_temp.standing WHERE flag = 'outage' ORDER BY id;
-- As stored numbers may be, after billions of rows: no overflow, no underflow, and what is damaged never acts.
SELECT flagscope.create_flag('far');
SELECT count(flagscope.create_guardrail('far', 'errors', name => 'far ' || i)) FROM generate_series(1, 3) i;
SELECT pg_temp.start('far', '2040-01-02 14:00') IS NOT NULL AS started;
SELECT r.id AS far FROM flagscope.rollout r WHERE r.flag = 'far' \gset
UPDATE flagscope.guardrail_status s SET log_e = x.log_e
FROM (SELECT g.id, (ARRAY[-1e5, 'NaN', -300])[row_number() OVER (ORDER BY g.id)] AS log_e
    FROM flagscope.guardrail g WHERE g.flag = 'far') x
WHERE s.guardrail_id = x.id AND s.rollout_id = :far;
SELECT _flagscope.judge_together(ARRAY[:far], '2040-01-02 14:01');
UPDATE flagscope.guardrail_status s
SET log_e = CASE WHEN s.log_e = 'NaN' THEN -300 ELSE 1e5 END WHERE s.rollout_id = :far;
SELECT count(*) AS blamed, round(min((joint ->> 'sum')::numeric), 6) AS least,
    bool_and((joint ->> 'sum')::float8 < 4) AS bounded
FROM _flagscope.joint_breaches((SELECT r FROM flagscope.rollout r WHERE r.id = :far), '2040-01-02 14:01');
