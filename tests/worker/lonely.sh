#!/usr/bin/env bash
# The statements that need a database without sessions do not fail, nor wait, because a worker ticks there.
. "$(dirname "$0")/../../tools/testlib.sh"
. "$(dirname "$0")/worker.bash"
fresh_cluster test-lonely --set flagscope.interval=10ms
rounds=10

database_with_tick model
sql "CREATE ROLE owner LOGIN CREATEDB; CREATE ROLE stranger LOGIN; ALTER DATABASE model OWNER TO owner"
tablespace=$PGHOST/space
if [ "$(id -u)" = 0 ]; then install -d -o postgres "$tablespace"; else mkdir "$tablespace"; fi
sql "CREATE TABLESPACE space LOCATION '$tablespace'"
sql 'GRANT CREATE ON TABLESPACE space TO owner'

# quickly "text" user 'sql': without an error, and faster than the five seconds PostgreSQL waits for sessions.
slowest=0
quickly() {
  local begun ms said
  begun=$(date +%s%N)
  if ! said=$(psql -XAtq -U "$2" -v ON_ERROR_STOP=1 -c "$3" 2>&1); then
    not_ok "$1" "$said"
    return
  fi
  ms=$((($(date +%s%N) - begun) / 1000000))
  [ "$ms" -le "$slowest" ] || slowest=$ms
  [ "$ms" -lt 4000 ] || not_ok "$1" "it took $ms ms"
}

# The worker is at its ticks: wait for one without a line of output.
ticking() {
  local since
  since=$(now)
  in_database "$1" poll "$1 ticks" 10 "$(ticked_since "$since")" t | grep -v '^ok' || true
}

for ((i = 1; i <= rounds; i++)); do
  ticking model
  quickly "CREATE DATABASE .. TEMPLATE, round $i" postgres "CREATE DATABASE copy TEMPLATE model"
  ticking copy
  ticking model
  quickly "ALTER DATABASE .. RENAME, round $i" owner "ALTER DATABASE model RENAME TO model2"
  ticking model2
  quickly "ALTER DATABASE .. RENAME back, round $i" owner "ALTER DATABASE model2 RENAME TO model"
  force=$([ $((i % 2)) = 0 ] && echo '' || echo 'WITH (FORCE)')
  quickly "DROP DATABASE $force, round $i" postgres "DROP DATABASE copy $force"
done
[ "$not_ok" != 0 ] || ok "$rounds times CREATE DATABASE .. TEMPLATE, RENAME and DROP DATABASE while it ticks"
printf '# the slowest of them took %s ms\n' "$slowest"

ticking model
quickly "SET TABLESPACE" owner 'ALTER DATABASE model SET TABLESPACE space'
ticks_again "after SET TABLESPACE it ticks" 10 model

in_database model sql 'UPDATE public.tick_control SET nap = 60'
poll "a long tick runs" 10 "SELECT count(*) FROM pg_stat_activity
  WHERE backend_type = 'flagscope worker' AND wait_event = 'PgSleep'" 1
PGUSER=stranger fails_with "a stranger cannot drop the database" 'DROP DATABASE model' 42501
is "nor does it stop the worker" "$(sql "SELECT wait_event FROM pg_stat_activity
  WHERE backend_type = 'flagscope worker' AND datname = 'model'")" PgSleep
quickly "an owner who is no superuser drops it in the middle of a tick" owner 'DROP DATABASE model WITH (FORCE)'
is "the owner's DROP DATABASE WITH (FORCE) in the middle of a tick worked" \
  "$(sql "SELECT count(*) FROM pg_database WHERE datname = 'model'")" 0

sql 'CREATE DATABASE other'
is "other errors keep their position" "$(psql -XAtq -c 'CREATE TABLE t (a int DEFAULT b)' 2>&1 | grep -c 'LINE 1:')" 1
is "the launcher did not try a database that is gone" "$(logged test-lonely 'FATAL: .* does not exist')" 0
