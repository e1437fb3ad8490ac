-- The design effect as measured from rows by subject: its value beside an independent one in SQL, when it is used, what
-- is stored with each stratum, its words, and what is refused. Times are pinned.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_flag(f) FROM unnest('{users, fixed, nameless}'::text[]) f;
SELECT flagscope.create_guardrail('users', 'errors', min_sample => 1, stale_after => '1 day'),
    flagscope.create_guardrail('fixed', 'errors', min_sample => 1, stale_after => '1 day', design_effect => 4),
    flagscope.create_guardrail('nameless', 'errors', min_sample => 1, stale_after => '1 day');
SELECT flag, design_effect FROM flagscope.guardrail ORDER BY id;

-- 40 users of 10 spans each minute; every fifth user's fail all, the others' none: 20 % fail, each user's ten alike.
-- Rows come evenly: 400 a minute, so each user has one in about every six seconds.
CREATE FUNCTION pg_temp.rows_of(only_flag text, since timestamptz, minutes integer, has_subject boolean) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags, is_error)
    SELECT since + k * interval '150 ms', 'span', 'pay', CASE WHEN has_subject THEN 'user-' || (k * 7) % 40 END,
        jsonb_build_object(only_flag, CASE WHEN (k * 7) % 40 % 2 = 0 THEN 'on' ELSE 'off' END), (k * 7) % 40 % 5 = 0
    FROM generate_series(0, 400 * minutes - 1) k
$$;
-- The hour before: read at the first tick, and in force at once.
SELECT pg_temp.rows_of('users', '2040-01-02 11:50', 10, true);
SELECT flagscope.start_rollout(flagscope.create_rollout(f, stages => '{50, 100}', min_duration => '1 day'),
    at => '2040-01-02 12:00') FROM unnest('{users, fixed, nameless}'::text[]) f;
SELECT pg_temp.rows_of('users', '2040-01-02 12:00', 1, true), pg_temp.rows_of('fixed', '2040-01-02 12:00', 1, true),
    pg_temp.rows_of('nameless', '2040-01-02 12:00', 1, false);
SELECT (flagscope.tick('2040-01-02 12:01:10')).strata > 0 AS has_strata;
-- Independently: of each user the sum of is_error less what the other users of its ten seconds have, squared, over the
-- sum of the rows' own squares. The first tick has read what was before the start only, so that is in force; it is of
-- 600 s, 100 rows a user: 4,000 rows.
CREATE TEMP VIEW by_hand AS
WITH row AS (
    SELECT t.subject, date_bin('10 s', t.ts, '2000-01-01') AS cell, t.is_error::integer AS y FROM flagscope.telemetry t
    WHERE t.ts < '2040-01-02 12:00' AND t.flags ? 'users'
), cell AS (SELECT r.cell, count(*) AS n, sum(r.y) AS y FROM row r GROUP BY 1),
piece AS (SELECT r.cell, r.subject, count(*) AS n, sum(r.y) AS y FROM row r GROUP BY 1, 2),
beside AS (
    SELECT p.*, (c.y - p.y)::float8 / (c.n - p.n) AS usual, c.n AS all_n FROM piece p JOIN cell c ON c.cell = p.cell
), unit AS (
    SELECT b.subject, sum(b.n) AS n, sum(b.y - b.n * b.usual) AS e,
        sum((b.y * (1 - 2 * b.usual) + b.n * b.usual ^ 2) * b.all_n / (b.all_n - b.n + 1)) AS w FROM beside b GROUP BY 1
), total AS (SELECT sum(u.n) AS n, sum(u.e) AS e FROM unit u),
freed AS (
    -- the arm's mean without the user: before the rollout all are one arm
    SELECT (u.e - u.n * (t.e - u.e) / (t.n - u.n)) ^ 2 AS square, u.w * (1 + u.n::float8 / (t.n - u.n)) AS w
    FROM unit u, total t
)
SELECT 1 + sum(f.square - f.w) / sum(f.w) AS estimate,
    1 + (sum(f.square - f.w) + sqrt(sum((f.square - f.w) ^ 2))) / sum(f.w) AS effect FROM freed f;
SELECT abs(s.design_effect / h.effect - 1) < 1e-9 AS is_as_by_hand, round(h.estimate::numeric, 2) AS estimate,
    round(s.design_effect::numeric, 2) AS in_force, s.dependence ->> 'by' AS by, s.dependence ->> 'units' AS units,
    s.dependence ->> 'rows' AS rows
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id, by_hand h WHERE g.flag = 'users';
-- What each stratum was divided by, beside the same rows under a fixed number.
SELECT e.n_treatment, e.n_control, o.design_effect AS fixed, e.design_effect = s.design_effect AS is_in_force,
    bool_and(abs(i * o.design_effect - p * e.design_effect) < 1e-9) AS is_divided
FROM flagscope.evaluation e JOIN flagscope.guardrail g ON g.id = e.guardrail_id AND g.flag = 'users'
    JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id JOIN flagscope.guardrail f ON f.flag = 'fixed'
    JOIN flagscope.evaluation o ON o.guardrail_id = f.id AND o.stratum = e.stratum,
    LATERAL unnest(o.increment, e.increment) x(i, p)
GROUP BY e.stratum, 1, 2, 3, 4 ORDER BY e.stratum;

-- Later measurements take the rollout's own rows in. What is measured at one tick is in force at the next measurement.
SELECT pg_temp.rows_of('users', '2040-01-02 12:01', 4, true), pg_temp.rows_of('nameless', '2040-01-02 12:01', 4, false);
SELECT (flagscope.tick('2040-01-02 12:03')).strata >= 0 AS ticked;
SELECT (flagscope.tick('2040-01-02 12:04')).strata >= 0 AS again;
SELECT g.flag, s.design_effect < (s.dependence ->> 'effect')::float8 AS is_used_later, s.dependence ->> 'by' AS by,
    s.dependence ->> 'rows' AS rows
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
WHERE g.flag <> 'fixed' ORDER BY g.id;
CREATE TEMP TABLE kept AS SELECT g.flag, (s.dependence ->> 'effect')::float8 AS effect
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id WHERE g.flag <> 'fixed';
SELECT (flagscope.tick('2040-01-02 12:05')).strata >= 0 AS ticked;
SELECT g.flag, s.design_effect = k.effect AS is_in_force
FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id JOIN kept k ON k.flag = g.flag
ORDER BY g.id;

-- A backtest divides each stratum as it was divided.
SELECT g.flag, max(b.nr) > 1 AS has_strata,
    abs((array_agg(b.log_e ORDER BY b.nr DESC))[1] - min(s.log_e)) < 1e-9 AS is_the_same
FROM flagscope.guardrail g JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id,
    LATERAL (SELECT x.log_e, x.nr FROM flagscope.backtest_guardrail(g.id, '2040-01-02 12:00', '2040-01-02 13:00')
        WITH ORDINALITY x(at, n_t, y_t, n_c, y_c, value, log_e, line, fires, nr)) b
GROUP BY 1 ORDER BY 1;

-- In words.
SELECT l FROM flagscope.rollout r, LATERAL flagscope.rollout_report(r.id, '2040-01-02 12:05') l
WHERE l ~ 'independent|independence|divided' ORDER BY r.id;
SELECT g.flag, e ->> 'design_effect' IS NOT NULL AS has_effect, left(e ->> 'independence', 40) AS independence
FROM flagscope.guardrail g JOIN flagscope.rollout r ON r.flag = g.flag, LATERAL _flagscope.evidence(g, r) e
ORDER BY g.id;

-- A number stays possible; what is none is refused. Sums that cannot be read begin anew.
SELECT flagscope.create_guardrail('users', 'errors', name => 'x', design_effect => 0.5);
SELECT flagscope.create_guardrail('users', 'errors', name => 'x', design_effect => 'NaN');
SELECT flagscope.create_guardrail('users', 'errors', name => 'x', design_effect => 'Infinity');
SELECT flagscope.backtest('users', '{"metric": "errors", "design_effect": 0}');
UPDATE _flagscope.dependence SET units = '\x00ff';
SELECT pg_temp.rows_of('users', '2040-01-02 12:05', 2, true);
SELECT (flagscope.tick('2040-01-02 12:07')).strata >= 0 AS ticked;
SELECT d.effect >= 1 AS is_measured, octet_length(d.units) > 2 AS has_begun
FROM _flagscope.dependence d JOIN flagscope.guardrail g ON g.id = d.guardrail_id WHERE g.flag = 'users';
-- Nothing is kept of rollouts that are over.
SELECT flagscope.rollback_rollout(r.id, reason => 'over', at => '2040-01-02 12:08') IS NOT NULL
FROM flagscope.rollout r;
SELECT _flagscope.forget_dependence('2040-01-02 12:09');
SELECT count(*) FROM _flagscope.dependence;

-- Without any past it is measured from the first tick on, with what has come until then: 134 rows of 40 users, whose
-- 3.35 rows each are all alike (Kish: 1 + (3.35 - 1) x 1). In force with the first stratum, and until what was measured
-- later has been judged.
SELECT flagscope.create_flag('new');
SELECT flagscope.create_guardrail('new', 'errors', min_sample => 1, stale_after => '1 day') > 0 AS made;
SELECT flagscope.start_rollout(flagscope.create_rollout('new', stages => '{50, 100}', min_duration => '1 day'),
    at => '2040-01-04 12:00') > 0 AS started;
SELECT pg_temp.rows_of('new', '2040-01-04 12:00', 1, true);
CREATE FUNCTION pg_temp.new_at(at timestamptz)
RETURNS TABLE (in_force numeric, measured numeric, row_count text, is_judged boolean) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM flagscope.tick(at);
    RETURN QUERY SELECT round(s.design_effect::numeric, 1), round((s.dependence ->> 'effect')::numeric, 1),
        s.dependence ->> 'rows', d.in_force IS NOT NULL
    FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id AND g.flag = 'new'
        JOIN _flagscope.dependence d ON d.guardrail_id = g.id;
END $$;
SELECT n.in_force BETWEEN 3.35 AND 6.7 AS is_as_by_hand, n.in_force = n.measured AS at_once, n.row_count, n.is_judged
FROM pg_temp.new_at('2040-01-04 12:00:20') n;
SELECT count(*) > 0 AS has_strata, bool_and(e.design_effect = s.design_effect) AS is_divided
FROM flagscope.evaluation e JOIN flagscope.guardrail g ON g.id = e.guardrail_id AND g.flag = 'new'
    JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id;
SELECT n.row_count, n.is_judged FROM pg_temp.new_at('2040-01-04 12:00:40') n;
SELECT n.in_force < n.measured AS is_used_later, n.row_count, n.is_judged FROM pg_temp.new_at('2040-01-04 12:01:05') n;

-- The past of rollouts that began together is read once in each of its four parts, however many guardrails there are; a
-- fifth time rows are read for those from before, which are due again.
SELECT flagscope.create_flag('many-' || i) FROM generate_series(1, 4) i;
SELECT flagscope.create_guardrail('many-' || i, 'errors') FROM generate_series(1, 4) i;
SELECT flagscope.start_rollout(flagscope.create_rollout('many-' || i, stages => '{50, 100}', min_duration => '1 day'),
    at => '2040-01-05 12:00') FROM generate_series(1, 4) i;
SET track_functions = 'all';
BEGIN;
SELECT (flagscope.tick('2040-01-05 12:00:10')).guardrails >= 4 AS judged;
SELECT calls FROM pg_stat_xact_user_functions WHERE schemaname = '_flagscope' AND funcname = 'read_units';
SELECT count(*) FROM _flagscope.dependence d JOIN flagscope.rollout r ON r.id = d.rollout_id WHERE r.flag LIKE 'many%';
COMMIT;
