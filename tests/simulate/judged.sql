-- How many rollouts of each scenario ended as they must, and how many must have: included by the files that make table
-- outcome (name, must, alpha, as_it_must ...). A healthy rollout is rolled back with a chance of alpha at most: more of
-- them than would happen once in a thousand runs are too many. What must be rolled back or held must always be.
CREATE VIEW judged AS
SELECT x.*,
    CASE x.must WHEN 'stay' THEN (
        WITH RECURSIVE law (k, p, upto) AS (
            SELECT 0, (1 - x.alpha) ^ x.rollouts, (1 - x.alpha) ^ x.rollouts
            UNION ALL
            SELECT k + 1, p * (x.rollouts - k) / (k + 1) * x.alpha / (1 - x.alpha),
                upto + p * (x.rollouts - k) / (k + 1) * x.alpha / (1 - x.alpha)
            FROM law WHERE upto < 0.999
        )
        SELECT x.rollouts - max(k) FROM law) ELSE x.rollouts END AS at_least
FROM (SELECT must, name, alpha::float8 AS alpha, count(*) AS rollouts, count(*) FILTER (WHERE as_it_must) AS as_it_must
    FROM outcome GROUP BY must, name, alpha) x;
