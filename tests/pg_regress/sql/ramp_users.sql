-- A ramp over a million users: nobody leaves the treatment while it widens, stepping back moves the last joiners only,
-- a pause moves nobody; each share is as likely as it should be (chi-square, one degree of freedom:
-- 10.83 is one in 1,000).
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SET client_min_messages = warning;
SELECT flagscope.create_flag(f) FROM unnest('{two,three,other}'::text[]) f;
UPDATE flagscope.flag_definition SET bucketing = 'v3' WHERE key = 'three';
SELECT flagscope.create_rollout(f, stages => '{0.1,1,5,25,50,100}') AS rollout FROM unnest('{two,three}'::text[]) f;
SELECT flagscope.start_rollout(i, override => true, reason => 'unguarded') AS stage FROM generate_series(1, 2) i;
CREATE TEMP TABLE served (step serial, what text, percent numeric, two bit varying, three bit varying);
CREATE FUNCTION pg_temp.serve(what text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO served (what, percent, two, three)
    SELECT what, (SELECT percent FROM flagscope.flag_state WHERE (flag, environment) = ('two', 'production')),
        string_agg(flagscope.evaluate_boolean('two', 'user-' || i, NULL)::int::text, '' ORDER BY i)::bit varying,
        string_agg(flagscope.evaluate_boolean('three', 'user-' || i, NULL)::int::text, '' ORDER BY i)::bit varying
    FROM generate_series(1, 1000000) i $$;
SELECT pg_temp.serve('start');
SELECT flagscope.advance_rollout(i) > 0 AS done FROM generate_series(1, 2) i;
SELECT pg_temp.serve('wider');
SELECT flagscope.advance_rollout(i) > 0 AS done FROM generate_series(1, 2) i;
SELECT pg_temp.serve('wider');
SELECT flagscope.pause_rollout(i) > 0 AS done FROM generate_series(1, 2) i;
SELECT pg_temp.serve('paused');
SELECT flagscope.resume_rollout(i) > 0 AS done FROM generate_series(1, 2) i;
SELECT pg_temp.serve('resumed');
SELECT flagscope.advance_rollout(i) > 0 AS done FROM generate_series(1, 2) i;
SELECT pg_temp.serve('wider');
SELECT flagscope.step_back_rollout(i) > 0 AS done FROM generate_series(1, 2) i;
SELECT pg_temp.serve('back');
SELECT flagscope.resume_rollout(i) > 0 AS done FROM generate_series(1, 2) i;
SELECT flagscope.advance_rollout(i) > 0 AS done FROM generate_series(1, 2) i;
SELECT flagscope.advance_rollout(i) > 0 AS done FROM generate_series(1, 2) i;
SELECT pg_temp.serve('wider');
SELECT flagscope.advance_rollout(i) > 0 AS done FROM generate_series(1, 2) i;
SELECT pg_temp.serve('wider');
SELECT flagscope.rollback_rollout(i) > 0 AS done FROM generate_series(1, 2) i;
SELECT pg_temp.serve('rolled back');

-- joined and left against the step before; "same as" is the last step before it with the same share.
WITH flat AS (
    SELECT s.step, s.what, coalesce(s.percent, 0) AS percent, b.bucketing, b.bits, bit_count(b.bits) AS n
    FROM served s, LATERAL (VALUES ('v2', s.two), ('v3', s.three)) b(bucketing, bits)
)
SELECT f.bucketing, f.step, f.what, f.percent, f.n AS treated, bit_count(f.bits & ~before.bits) AS joined,
    bit_count(before.bits & ~f.bits) AS "left",
    (SELECT e.bits = f.bits FROM flat e WHERE e.bucketing = f.bucketing AND e.step < f.step AND e.percent = f.percent
        ORDER BY e.step DESC LIMIT 1) AS same_as_before,
    CASE WHEN f.percent NOT IN (0, 100) THEN
        (f.n - 10000 * f.percent) ^ 2 / (10000 * f.percent * (1 - f.percent / 100)) < 10.83 END AS share_is_fair
FROM flat f LEFT JOIN flat before ON before.bucketing = f.bucketing AND before.step = f.step - 1
ORDER BY f.bucketing, f.step;

-- Two flags at 25 % each treat users independently of one another: the four-field chi-square.
SELECT flagscope.create_rollout('other', stages => '{25,100}') AS rollout;
SELECT flagscope.start_rollout(3, override => true, reason => 'unguarded') AS stage;
WITH other AS (
    SELECT string_agg(flagscope.evaluate_boolean('other', 'user-' || i, NULL)::int::text,
        '' ORDER BY i)::bit varying AS bits
    FROM generate_series(1, 1000000) i
), field AS (
    SELECT f.bucketing, bit_count(f.bits & o.bits)::float8 AS a, bit_count(f.bits & ~o.bits)::float8 AS b,
        bit_count(~f.bits & o.bits)::float8 AS c, bit_count(~f.bits & ~o.bits)::float8 AS d
    FROM (SELECT 'v2' AS bucketing, two AS bits FROM served WHERE percent = 25
            UNION ALL SELECT 'v3', three FROM served WHERE percent = 25) f, other o
)
SELECT DISTINCT bucketing, 1e6 * (a * d - b * c) ^ 2 / ((a + b) * (c + d) * (a + c) * (b + d)) < 10.83 AS independent
FROM field ORDER BY 1;
