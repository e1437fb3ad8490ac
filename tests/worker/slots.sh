#!/usr/bin/env bash
# Too few worker slots: it is told once, and the other databases are served as soon as there is room.
. "$(dirname "$0")/../../tools/testlib.sh"
. "$(dirname "$0")/worker.bash"
# One for the launcher of logical replication, one for ours, one for a single worker.
fresh_cluster test-slots --set flagscope.interval=50ms --set max_worker_processes=3

database_with_tick one
database_with_tick two
ticks_again "the first database has its worker" 10 one
poll "the second is waited for" 20 "SELECT pg_read_file('$("$TOOLS/cluster" log test-slots)')
  LIKE '%flagscope has no background worker slot left%'" t
in_database one sql 'DROP EXTENSION flagscope'
ticks_again "the second has its worker once there is room" 20 two
is "the lack of slots was told once" "$(logged test-slots 'WARNING:  flagscope has no background worker slot left')" 1
