-- The short form of the whole-system simulation (make simulate-sql): a few rollouts of each scenario through real SQL.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
\getenv tests PG_ABS_SRCDIR
\set file :tests '/../simulate/rollouts.sql'
\set runs 4
\set ticks 60
\set share 200
\set ECHO none
\i :file
\set ECHO all
\set QUIET off
-- Healthy ones stay, what hurts is rolled back, what cannot be trusted is held where it was.
SELECT must, name, count(*) AS rollouts, count(*) FILTER (WHERE CASE must WHEN 'stay' THEN NOT rolled_back
    WHEN 'roll back' THEN rolled_back ELSE NOT rolled_back AND percent = 50 END) AS as_it_must
FROM outcome WHERE name NOT LIKE '+10 \% latency%' AND name NOT LIKE '+2 points%' GROUP BY must, name ORDER BY must, name;
-- A total outage of 1 % is seen within half a minute.
SELECT bool_and(delay <= 30) AS at_once FROM outcome WHERE name LIKE 'total outage%';
-- Flags serve what the last decision says.
SELECT count(*) FROM outcome o JOIN flagscope.flag_state f ON f.flag = o.flag WHERE o.rolled_back AND (f.percent IS NOT NULL OR f.default_variant <> 'off');
DROP VIEW pg_temp.look;
DROP TABLE sim, scenario, waiting, outcome;
DROP PROCEDURE play;
