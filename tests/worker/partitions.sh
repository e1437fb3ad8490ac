#!/usr/bin/env bash
# Partitions come and go under writers: no INSERT fails, no row is lost, and nobody waits longer than lock_timeout for
# maintenance, whatever transactions are open.
. "$(dirname "$0")/../../tools/testlib.sh"
fresh_cluster test-partitions --set flagscope.enabled=off
errors=$(mktemp)
sql 'CREATE EXTENSION flagscope'

# Single rows in transactions of their own, from a prepared statement, and COPY, until told to stop: what fails is written
# down, what succeeds is counted by the server's answers.
work=$(mktemp -d)
touch "$work/go"
writer() {
  { echo "PREPARE one AS INSERT INTO flagscope.telemetry (ts, signal, name) VALUES (now(), 'log', 'written');"
    while [ -e "$work/go" ]; do echo "EXECUTE one;"; done; } | psql -XAt 2>>"$errors" | grep -c '^INSERT 0 1$' >"$work/written.$1"
}
copier() {
  while [ -e "$work/go" ]; do
    psql -XAt -c "COPY flagscope.telemetry (ts, signal, name) FROM stdin (DELIMITER '|')" 2>>"$errors" <<<"$(date -u +'%F %T.%N')|log|written"
  done | grep -c '^COPY 1$' >"$work/written.copy"
}
# Every round begins without any partition, as after CREATE EXTENSION.
pids=()
for n in 1 2 3; do writer "$n" & pids+=($!); done
copier & pids+=($!)
made=0
for _ in 1 2 3 4 5 6; do
  poll "the stray partition is written" 20 'SELECT count(*) > 20 FROM _flagscope.telemetry_stray' t
  # A lock not to be had in time is tried again, as tick() does.
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    if sql "SELECT flagscope.maintain()" >/dev/null 2>&1; then made=$((made + 1)) && break; fi
  done
  sql "BEGIN; LOCK TABLE flagscope.telemetry; INSERT INTO _flagscope.telemetry_stray SELECT * FROM _flagscope.telemetry_stray WHERE false;
    CREATE TABLE kept AS SELECT * FROM flagscope.telemetry; SELECT flagscope.drop_chunks('infinity'); DELETE FROM flagscope.telemetry;
    INSERT INTO flagscope.telemetry SELECT * FROM kept; DROP TABLE kept; COMMIT" >/dev/null
done
rm "$work/go"
wait "${pids[@]}"
is "partitions were made under writers" "$((made >= 2))" 1
is "no INSERT and no COPY failed" "$(cat "$errors")" ''
is "no row is lost" "$(sql "SELECT count(*) FROM flagscope.telemetry WHERE name = 'written'")" \
  "$(cat "$work"/written.* | awk '{ n += $1 } END { print n }')"
sql "SELECT flagscope.maintain()" >/dev/null
is "every row is in its partition" "$(sql 'SELECT count(*) FROM _flagscope.telemetry_stray')" 0

# An open transaction that has written: maintenance gives up after its lock_timeout, the others write on.
hold() { # hold SECONDS 'statements': a transaction that stays open until the file is gone
  psql -XAtq -c 'BEGIN' -c "$1" -c 'SELECT pg_sleep(5)' -c 'COMMIT' >/dev/null 2>&1 &
  holder=$!
  poll "the transaction is open" 10 "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(5)'" 1
}
sql "SELECT flagscope.set_chunk_interval('1 hour'), flagscope.set_setting('telemetry.premake', '100')" >/dev/null
hold "INSERT INTO flagscope.telemetry (ts, signal, name) VALUES (now(), 'log', 'open')"
is "a partition is not made while a writer is open" "$(sql 'SELECT made, problems FROM flagscope.maintain()')" \
  '0|{"partitions of telemetry: canceling statement due to lock timeout"}'
is "others write on meanwhile" "$(sql "INSERT INTO flagscope.telemetry (ts, signal, name) VALUES (now(), 'log', 'another') RETURNING name")" another
is "a tick goes on without it" "$(sql 'SELECT flagscope.tick() IS NOT NULL')" t
is "and says so" "$(sql "SELECT says LIKE '%failed: partitions of telemetry: canceling statement due to lock timeout' FROM flagscope.status() WHERE item = 'last maintenance'")" t
wait $holder
is "afterwards it is made" "$(sql 'SELECT made > 0 FROM flagscope.maintain()')" t

sql "SELECT flagscope.set_retention('1 hour')" >/dev/null
hold "SELECT count(*) FROM flagscope.telemetry"
fails_with "a partition is not dropped under a reader" "SELECT flagscope.drop_chunks('infinity')" 55P03
wait $holder
is "afterwards it is" "$(sql "SELECT count(*) > 0 FROM flagscope.drop_chunks(now() - interval '1 day')" )" f
is "drop_chunks takes what is over" "$(sql "SELECT count(*) > 5 FROM flagscope.drop_chunks('infinity')")" t

# Kept beyond the extension.
sql "SELECT flagscope.set_chunk_interval('1 day'), flagscope.set_setting('telemetry.premake', '2')" >/dev/null
sql "SELECT flagscope.maintain()" >/dev/null
sql "INSERT INTO flagscope.telemetry (ts, signal, name, value, flags) SELECT now() + i % 2 * interval '1 day', 'span', 'kept', i, '{\"f\": \"on\"}' FROM generate_series(1, 1000) i"
sql "INSERT INTO flagscope.telemetry (ts, signal, name) VALUES ('1970-01-01', 'log', 'stray')"
before=$(sql "SELECT count(*), sum(value) FROM flagscope.telemetry")
psql -XAtq -v ON_ERROR_STOP=1 -c 'BEGIN' -c 'SELECT flagscope.detach_all()' -c 'DROP EXTENSION flagscope' -c 'COMMIT' >/dev/null 2>&1
is "what detach_all kept survives DROP EXTENSION" "$(sql "SELECT string_agg(format('SELECT signal, value FROM flagscope_kept.%I', relname), ' UNION ALL ')
  FROM pg_class WHERE relnamespace = 'flagscope_kept'::regnamespace AND relkind = 'r' AND relname LIKE 'detached_telemetry%'" |
  { read -r all; sql "SELECT count(*), sum(value) FROM ($all) t"; })" "$before"
is "and is plain: the extension can come again" "$(sql "CREATE EXTENSION flagscope; SELECT flagscope.maintain() IS NOT NULL")" t
rm -rf "$errors" "$work"
