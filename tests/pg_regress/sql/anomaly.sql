-- Scores of a series against its own past, as aggregates and as window functions.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SET search_path = flagscope, public;
-- Hampel's z beside the same in SQL, over a moving frame and whole.
SELECT setseed(0.7);
CREATE TEMP TABLE s AS
SELECT i, CASE WHEN i = 150 THEN 40 WHEN i % 50 = 0 THEN NULL ELSE 10 + random() END AS x
FROM generate_series(1, 200) i;
CREATE TEMP TABLE scored AS SELECT i, x, robust_z(x) OVER (ORDER BY i ROWS 29 PRECEDING) AS z FROM s;
SELECT count(*) AS points, count(z) AS scored, count(*) FILTER (WHERE z > 3 AND i = 150) AS found,
    count(*) FILTER (WHERE abs(z) > 6 AND i <> 150) AS others
FROM scored;
SELECT bool_and(z IS NULL) AS first_two FROM scored WHERE i <= 2;
WITH frame AS (SELECT a.i, a.x, b.x AS y FROM s a JOIN s b ON b.i BETWEEN a.i - 29 AND a.i WHERE a.i > 10),
    m AS (SELECT i, x, percentile_cont(0.5) WITHIN GROUP (ORDER BY y) AS median FROM frame GROUP BY i, x),
    d AS (
        SELECT i, m.x, m.median, percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(f.y - m.median)) AS mad
        FROM m JOIN frame f USING (i) GROUP BY 1, 2, 3
    )
SELECT bool_and(CASE WHEN d.x IS NULL THEN z IS NULL
        ELSE abs(z - (d.x - median) / (1.4826 * mad)) < 1e-9 END) AS as_in_sql, count(*)
FROM d JOIN scored USING (i);
SELECT robust_z(x ORDER BY i) = (SELECT z
    FROM (SELECT i, robust_z(x) OVER (ORDER BY i) AS z FROM s) a WHERE i = 199) AS whole_is_last
FROM s WHERE i < 200;
SELECT robust_z(5) AS flat FROM generate_series(1, 4);
SELECT robust_z(x) AS away_from_flat FROM (VALUES (5), (5), (5), (5), (7)) v(x);
SELECT robust_z(x) AS none FROM s WHERE false;

-- EWMA: a spike scores, and moves the average by no more than three deviations' worth; what is missing changes nothing.
SELECT round(ewma(x ORDER BY i)::numeric, 6) AS halves, round(ewma(x, 1 ORDER BY i)::numeric, 6) AS last
FROM (VALUES (1, 10.0::float8), (2, 20), (3, NULL), (4, 5), (5, 'NaN')) v(i, x);
SELECT i, z > 20 AS found, abs(after - before) < 0.2 AS kept
FROM (SELECT i, x, ewma_z(x) OVER w AS z, ewma(x) OVER w AS after,
        ewma(x) OVER (ORDER BY i ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM s WINDOW w AS (ORDER BY i)) a
WHERE abs(z) > 8;
SELECT count(*) FILTER (WHERE z IS NULL AND i <= 10) AS warming_up, count(z)
FROM (SELECT i, ewma_z(x, 0.2) OVER (ORDER BY i) AS z FROM s WHERE x IS NOT NULL) a;
SELECT ewma(1, 0);
SELECT ewma_z(1, 2);
SELECT ewma(1, NULL);

-- Ten-minute points of 24 days with a daily and a weekly rhythm, and a step of the last six hours.
CREATE TEMP TABLE traffic AS
SELECT at,
    100 + 20 * sin(2 * pi() * extract(epoch FROM at) / 86400)
        * CASE WHEN extract(isodow FROM at AT TIME ZONE 'UTC') > 5 THEN 0.5 ELSE 1 END
    + random() + random() + random() - 1.5 + CASE WHEN at >= '2040-01-25 18:00' THEN 4 ELSE 0 END AS x
FROM generate_series(timestamptz '2040-01-02', '2040-01-25 23:50', '10 minutes') at;
CREATE TEMP TABLE judged AS
SELECT at, x, anomaly_score(at, x) OVER w AS score, anomaly_z(at, x) OVER w AS z FROM traffic WINDOW w AS (ORDER BY at);
SELECT count(*) AS points, min(at) FILTER (WHERE score IS NOT NULL) AS first_scored,
    count(*) FILTER (WHERE score >= 4 AND at < '2040-01-25 18:00') AS false_alarms,
    min(at) FILTER (WHERE score >= 4) AS found,
    (count(*) FILTER (WHERE z > 3 AND at >= '2040-01-25 18:00')) AS above_band FROM judged;
-- The aggregate is the last row of the window function, and the table function is all of them.
SELECT anomaly_score(at, x ORDER BY at) = (SELECT score FROM judged ORDER BY at DESC LIMIT 1) AS same_score,
    anomaly_z(at, x ORDER BY at) = (SELECT z FROM judged ORDER BY at DESC LIMIT 1) AS same_z
FROM traffic;
SELECT count(*),
    bool_and(a.score IS NOT DISTINCT FROM j.score AND a.z IS NOT DISTINCT FROM j.z AND a.value = j.x) AS same,
    bool_and(a.lower < a.upper) AS bands, round(avg(a.upper - a.lower)::numeric) AS width
FROM anomalies((SELECT array_agg(at ORDER BY at) FROM traffic), (SELECT array_agg(x ORDER BY at) FROM traffic)) a
    JOIN judged j ON j.at = a.ts;
-- Falls are found in the negated series.
SELECT count(*) FILTER (WHERE score >= 4) > 0 AS found
FROM (SELECT anomaly_score(at, -x) OVER (ORDER BY at) AS score
    FROM (SELECT at, CASE WHEN at >= '2040-01-25 18:00' THEN x - 8 ELSE x END AS x FROM traffic) a) b;
-- A point without a value has no score and changes nothing.
SELECT count(*) FILTER (WHERE x IS NULL) AS missing, count(score) FILTER (WHERE x IS NULL) AS scored
FROM (SELECT at, x, anomaly_score(at, x) OVER (ORDER BY at) AS score
    FROM (SELECT at, CASE WHEN extract(minute FROM at) = 20 THEN NULL ELSE x END AS x FROM traffic) a) b;
SELECT anomaly_score(at, x ORDER BY at DESC) FROM traffic;
SELECT anomaly_score(NULL, 1);
SELECT anomaly_score('infinity', 1);
SELECT * FROM anomalies(ARRAY[now()], '{1,2}');
SELECT count(*) FROM anomalies('{}', '{}');
