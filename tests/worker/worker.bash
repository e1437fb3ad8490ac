# shellcheck shell=bash
# What the tests of the worker share. Sourced after tools/testlib.sh.
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)

# in_database NAME command ...: runs the command (sql, poll ...) in that database.
in_database() {
  local PGDATABASE=$1
  export PGDATABASE
  shift
  "$@"
}

# A database with the extension and a tick that leaves a trace in public.tick_log.
database_with_tick() {
  sql "CREATE DATABASE $1"
  in_database "$1" sql 'CREATE EXTENSION flagscope'
  in_database "$1" psql -XAtq -v ON_ERROR_STOP=1 -f "$HERE/tick.sql"
}

# The pid of a database's worker; empty if there is none.
worker_of() {
  sql "SELECT pid FROM pg_stat_activity WHERE backend_type = 'flagscope worker' AND datname = '$1'"
}

# A condition for poll: has a worker ticked in this database since the given time?
ticked_since() { printf "SELECT count(*) > 0 FROM public.tick_log WHERE at > '%s'" "$1"; }

now() { sql 'SELECT clock_timestamp()'; }

# ticks_again "text" seconds DATABASE: a tick later than now
ticks_again() { in_database "$3" poll "$1" "$2" "$(ticked_since "$(now)")" t; }

# How many lines of the server's log have this text.
logged() { grep -c -- "$2" "$("$TOOLS/cluster" log "$1")" || true; }
