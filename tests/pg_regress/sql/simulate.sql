-- The short form of the whole-system simulation (make simulate-sql): a few rollouts of each scenario through real SQL.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
\getenv tests PG_ABS_SRCDIR
\set file :tests '/../simulate/rollouts.sql'
\set runs 3
\set ticks 60
\set share 200
-- What needs more data to be seen comes below.
\set only '^([^+]|.5)'
\set ECHO none
\i :file
\set ECHO all
\set QUIET off
-- Healthy ones stay, what hurts is rolled back, what cannot be trusted is held where it was.
SELECT must, name, rollouts, as_it_must FROM judged ORDER BY must, name;
-- A total outage of 1 % is seen within 35 seconds.
SELECT bool_and(delay <= 35) AS at_once FROM outcome WHERE name LIKE 'total outage%';
-- Flags serve what the last decision says.
SELECT count(*) FROM outcome o JOIN flagscope.flag_state f ON f.flag = o.flag
WHERE o.rolled_back AND (f.percent IS NOT NULL OR f.default_variant <> 'off');
-- Each user that was hurt is counted once; before the outage was seen it had at most the users of its 1 %.
SELECT bool_and(users BETWEEN 1 AND least(100, affected)) AS users_are_counted
FROM outcome WHERE name LIKE 'total outage%';
DROP VIEW pg_temp.look, judged;
DROP TABLE sim, scenario, waiting, hurt, outcome, pg_temp.rival;
DROP PROCEDURE play;

-- Two points of errors at 10 %, a tenth of latency at 5 %: seen within half an hour of 400 rows a tick.
DROP EXTENSION flagscope;
CREATE EXTENSION flagscope;
\set only '^.(2|10)'
\set ticks 180
\set share 400
\set ECHO none
\i :file
\set ECHO all
\set QUIET off
SELECT must, name, rollouts, as_it_must FROM judged ORDER BY must, name;
SELECT bool_and(users BETWEEN 1 AND least(1000, affected)) AS users_are_counted FROM outcome;
DROP VIEW pg_temp.look, judged;
DROP TABLE sim, scenario, waiting, hurt, outcome, pg_temp.rival;
DROP PROCEDURE play;

-- Arms that do not come alike (tests/simulate/arms.sql): an outage that both have is none of the treatment's.
DROP TABLE looked;
DROP EXTENSION flagscope;
CREATE EXTENSION flagscope;
\set file :tests '/../simulate/arms.sql'
\set only .
\set runs 2
\set ECHO none
\i :file
\set ECHO all
\set QUIET off
SELECT must, name, rollouts, as_it_must FROM judged ORDER BY must, name;
-- Seen within a flush of 5 s and 12 s; at once where one process serves both.
SELECT name, max(delay) <= CASE WHEN name LIKE '%both in one%' THEN 12 ELSE 22 END AS in_time
FROM outcome WHERE name LIKE 'total outage%' GROUP BY name ORDER BY name;
DROP VIEW judged;
DROP TABLE sim, scenario, sent, outcome, looked CASCADE;
DROP PROCEDURE play, send;
DROP FUNCTION store;

-- Rows that are not independent (tests/simulate/units.sql), with a past and without, for the first five minutes.
DROP EXTENSION flagscope;
CREATE EXTENSION flagscope;
\set file :tests '/../simulate/units.sql'
\set runs 1
\set length 30
\set ECHO none
\i :file
\set ECHO all
\set QUIET off
SELECT must, name, rollouts, as_it_must FROM judged ORDER BY must, name;
DROP VIEW judged;
DROP TABLE sim, scenario, person, outcome, looked CASCADE;
DROP PROCEDURE play, people;
DROP FUNCTION normal;

-- What a ramp does beside its statistics (tests/simulate/ramps.sql): late clients, a split that is off, holds, silence.
DROP EXTENSION flagscope;
CREATE EXTENSION flagscope;
\set file :tests '/../simulate/ramps.sql'
\set runs 2
\set ECHO none
\i :file
\set ECHO all
\set QUIET off
SELECT must, name, rollouts, as_it_must FROM judged ORDER BY must, name;
DROP VIEW judged;
DROP TABLE sim, scenario, asked, outcome, looked CASCADE;
DROP PROCEDURE play, send, note_shares;
