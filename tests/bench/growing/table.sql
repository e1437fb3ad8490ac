-- The table of growth: a unit of work at every size, beside the same at the smallest, and why it is more where it is.
CREATE TEMP TABLE reason (what text, work text, words text);
INSERT INTO reason VALUES
    ('flags', 'evaluate_all after a change of one flag',
        'what changed is loaded anew; see the numbers of the flag cache'),
    ('flags', 'evaluate_all, the first in a session', 'every flag is loaded once'),
    ('flags', 'status', 'it counts the metrics on watch, one for each flag'),
    ('guardrails', 'status', 'a line for each running rollout'),
    ('guardrails', 'tick, data for one rollout', 'a tick looks at every running rollout'),
    ('subjects', 'tick, exposures of known subjects', 'the index of unit outgrows the cache'),
    ('subjects', 'tick, exposures of new subjects', 'the index of unit outgrows the cache'),
    ('partitions', 'INSERT of one row', 'the first of a session opens every partition'),
    ('partitions', 'telemetry_of, the last day', 'planned over all partitions'),
    ('partitions', 'trace', 'a trace has no time: every partition is asked'),
    ('partitions', 'count(*) over the last minute', 'now() is known at run time: planned over all partitions'),
    ('partitions', 'maintain', 'reads the bounds of every partition');
\pset footer off
\echo 'Growth: microseconds for a unit of work (bytes where it says so), and how many times the smallest size''s'
WITH ratio AS (
    SELECT t.*, t.us / first_value(t.us) OVER (PARTITION BY t.what, t.place ORDER BY t.size) AS times FROM took t
)
SELECT r.what, r.work, r.unit,
    string_agg(format('%s: %s', r.size, round(r.us::numeric, 2 - least(2, floor(log(greatest(r.us, 1)))::integer))),
        ', ' ORDER BY r.size) AS by_size,
    round(max(r.times)::numeric, 1) AS times,
    CASE
        WHEN max(r.times) > 2 THEN
            coalesce((SELECT w.words FROM reason w WHERE w.what = r.what AND w.work = r.work),
                'NOT EXPECTED: more than twice')
        ELSE 'within 2' END AS why
FROM ratio r GROUP BY r.what, r.place, r.work, r.unit
ORDER BY array_position('{flags,guardrails,subjects,partitions,variants}', r.what), r.place;
