#!/usr/bin/env bash
# The worker comes with CREATE EXTENSION, comes back after every death, and goes with DROP EXTENSION.
. "$(dirname "$0")/../../tools/testlib.sh"
. "$(dirname "$0")/worker.bash"
fresh_cluster test-life --set flagscope.interval=100ms

poll "the launcher runs" 10 "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'flagscope launcher'" 1
sql 'CREATE DATABASE plain'
database_with_tick one
ticks_again "a worker ticks after CREATE EXTENSION" 10 one
database_with_tick two
ticks_again "a second database has a worker, too" 10 two
is "one worker for each database" "$(sql "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_stat_activity
  WHERE backend_type = 'flagscope worker'")" 'one two'
is "and it shows as idle between ticks, with its name" "$(sql "SELECT DISTINCT state, application_name
  FROM pg_stat_activity WHERE backend_type = 'flagscope worker'")" 'idle|flagscope worker'

in_database one sql 'BEGIN; DROP EXTENSION flagscope; ROLLBACK'
ticks_again "a DROP EXTENSION that is rolled back leaves it ticking" 10 one

old=$(worker_of one)
sql "SELECT pg_terminate_backend($old)" >/dev/null
in_database one poll "a terminated worker is replaced" 5 \
  "SELECT count(*) > 0 FROM public.tick_log WHERE pid <> $old AND at > clock_timestamp() - interval '1 s'" t

sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'flagscope launcher'" >/dev/null
poll "a terminated launcher is replaced" 10 \
  "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'flagscope launcher'" 1
ticks_again "and its workers tick" 10 one
poll "still one worker for each database" 10 \
  "SELECT count(*), count(DISTINCT datname) FROM pg_stat_activity WHERE backend_type = 'flagscope worker'" '2|2'

kill -KILL "$(worker_of one)"
poll "the server recovers from a killed worker" 30 'SELECT 1' 1
ticks_again "and the worker is back" 10 one
"$TOOLS/cluster" crash test-life
"$TOOLS/cluster" start test-life --set flagscope.interval=100ms
eval "$("$TOOLS/cluster" env test-life)"
ticks_again "a killed server starts with a ticking worker" 10 one

begun=$(date +%s%N)
in_database one sql 'DROP EXTENSION flagscope'
is "DROP EXTENSION does not wait for the worker" "$(((($(date +%s%N) - begun) / 1000000) < 1000))" 1
poll "DROP EXTENSION ends the worker" 5 \
  "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'flagscope worker' AND datname = 'one'" 0
in_database one sql 'DROP TABLE public.tick_log, public.tick_control; CREATE EXTENSION flagscope'
in_database one psql -XAtq -v ON_ERROR_STOP=1 -f "$HERE/tick.sql"
ticks_again "a new CREATE EXTENSION starts it again" 10 one

poll "a database without the extension is not held open" 5 \
  "SELECT count(*) FROM pg_stat_activity WHERE datname = 'plain'" 0
is "nothing of this is an error of the worker" "$(logged test-life 'tick() failed')" 0
