#!/usr/bin/env bash
# Freezing under the worst: servers that are killed while it runs leave either the chunk or its segments, long readers make it
# give way and say so, a full disk loses nothing, and ingest goes on; the worker freezes by age, beside its ticks.
. "$(dirname "$0")/../../tools/testlib.sh"
fresh_cluster test-frozen --set flagscope.enabled=off --set timezone=UTC --set log_lock_waits=on
work=$(mktemp -d)
mounted=
trap '[ -z "$mounted" ] || umount "$mounted"; rm -rf "$work"; end_of_test' EXIT
sql "CREATE EXTENSION flagscope"
sql "SELECT flagscope.set_chunk_interval('1 day'), flagscope.set_retention('1000 days'), flagscope.maintain('2026-03-01 12:00')" >/dev/null
sql "INSERT INTO flagscope.telemetry (ts, signal, name, value, subject, trace_id, span_id, attributes)
  SELECT '2026-03-01'::timestamptz + i * interval '1 s', 'span', 'GET /' || i % 7, random(), 'user-' || i / 90, md5((i / 5)::text)::uuid,
    decode(left(md5(i::text), 16), 'hex'), jsonb_build_object('route', '/' || i % 7, 'n', md5(i::text)) FROM generate_series(1, 80000) i"
chunk=_flagscope.telemetry_p20260301
all="SELECT count(*), sum(hashtextextended(t::text, 0)) FROM flagscope.telemetry t WHERE ts < '2026-03-02'"
frozen="SELECT count(*) FROM flagscope.chunk WHERE is_frozen"
# What there is of the chunk: the relations that a frozen one has, or a partition and nothing else.
parts="SELECT string_agg(relkind::text, '' ORDER BY relkind) FROM pg_class WHERE relname ~ '^telemetry_p20260301(_segments|_thawed)?(_[0-9]+)?\$'"
before=$(sql "$all")

# By SIGKILL, at moments all over its time, of freezing and of thawing by turns: the whole server falls, and comes again.
started=$(date +%s%N)
sql "SELECT flagscope.freeze_chunk('$chunk')" >/dev/null
took=$((($(date +%s%N) - started) / 1000000))
is "frozen, every row is as before" "$(sql "$all")" "$before"
sql "SELECT flagscope.thaw_chunk('$chunk')" >/dev/null
is "thawed, too" "$(sql "$all")" "$before"
whole=0 same=0 finished=0
for round in $(seq 1 "${KILLS:-12}"); do
  if [ "$(sql "$frozen")" = 0 ]; then verb=freeze; else verb=thaw; fi
  PGAPPNAME=freezer psql -XAtqc "SELECT flagscope.${verb}_chunk('$chunk')" >/dev/null 2>&1 &
  client=$!
  sleep "$(awk -v ms="$took" -v part="$round" -v all="${KILLS:-12}" 'BEGIN { printf "%.3f", ms * 1.1 * part / all / 1000 }')"
  pid=$(sql "SELECT pid FROM pg_stat_activity WHERE application_name = 'freezer'" 2>/dev/null || true)
  if [ -n "$pid" ]; then kill -9 "$pid"; else finished=$((finished + 1)); fi
  wait $client || true
  until sql 'SELECT 1' >/dev/null 2>&1; do :; done
  if [ "$(sql "$all")" = "$before" ]; then same=$((same + 1)); fi
  case $(sql "$frozen")$(sql "$parts") in 0r | 1fr) whole=$((whole + 1)) ;; esac
done
is "after every kill each row is there once" "$same" "${KILLS:-12}"
is "and the chunk is either a partition or segments" "$whole" "${KILLS:-12}"
is "most were killed in the middle" "$((finished * 2 < ${KILLS:-12}))" 1
[ "$(sql "$frozen")" = 0 ] || sql "SELECT flagscope.thaw_chunk('$chunk')" >/dev/null

# A long reader: freezing gives way within seconds, and nobody who comes meanwhile waits for long.
PGAPPNAME=reader psql -XAtqc "BEGIN; SELECT count(*) FROM flagscope.telemetry; SELECT pg_sleep(300)" >/dev/null 2>&1 &
poll "somebody reads" 10 "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.application_name = 'reader'
  AND l.relation = 'flagscope.telemetry'::regclass" 1
said=$(psql -XAtqc "SELECT flagscope.freeze_chunk('$chunk')" 2>&1 || true)
is "freezing gives way to a long reader and says so" "$(head -1 <<<"$said")" \
  "ERROR:  chunk $chunk stays as it is: other sessions have been using telemetry for longer than lock_timeout"
is "with what to look for" "$(grep -c '^HINT:  Nothing was changed. Try again when long queries' <<<"$said")" 1
sql "SELECT flagscope.set_freeze_after('7 days')" >/dev/null
is "maintenance says so" "$(sql "SELECT problems FROM flagscope.maintain()" | grep -o 'chunks to be frozen: chunk [^:]*: other sessions')" \
  "chunks to be frozen: chunk $chunk stays as it is: other sessions"
is "and status()" "$(sql "SELECT says FROM flagscope.status() WHERE item = 'freezing'" | cut -d: -f1)" "chunk $chunk stays as it is"
is "a chunk that could not be frozen is not due at once" "$(sql "SELECT _flagscope.is_freezing_due(now()), _flagscope.is_freezing_due(now() + interval '11 minutes')")" 'f|t'
sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'reader'" >/dev/null

# A writer of the chunk waits, readers do not: while a freezing transaction is open.
sql "SELECT flagscope.set_freeze_after(NULL)" >/dev/null
PGAPPNAME=freezer psql -XAtqc "BEGIN; LOCK TABLE $chunk IN EXCLUSIVE MODE; SELECT pg_sleep(300)" >/dev/null 2>&1 &
poll "the chunk is being frozen" 10 "SELECT count(*) FROM pg_locks WHERE relation = '$chunk'::regclass AND mode = 'ExclusiveLock' AND granted" 1
is "readers go on" "$(sql "SET lock_timeout = '1s'; $all")" "$before"
fails_with "a writer of it waits" "SET lock_timeout = '100ms'; INSERT INTO flagscope.telemetry (ts, signal, name) VALUES ('2026-03-01 10:00', 'log', 'late')" 55P03
is "other writers do not" "$(sql "SET lock_timeout = '1s'; INSERT INTO flagscope.telemetry (ts, signal, name) VALUES (now(), 'log', 'new') RETURNING name")" new
sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'freezer'" >/dev/null

# A full disk: segments go to a tablespace of a megabyte.
mkdir -p "$work/disk"
chmod 755 "$work"
if mount -t tmpfs -o size=1m tmpfs "$work/disk" 2>/dev/null; then
  mounted=$work/disk
  chown "$(stat -c %U "$(sql 'SHOW data_directory')")" "$work/disk"
  chmod 700 "$work/disk"
  sql "CREATE TABLESPACE small LOCATION '$work/disk'"
  fails_with "a full disk ends freezing" "SET default_tablespace = small; SELECT flagscope.freeze_chunk('$chunk')" 53100
  is "and loses nothing" "$(sql "$all") $(sql "$parts")" "$before r"
  sql "DROP TABLESPACE small"
else
  echo "skipped: a disk of its own cannot be mounted"
fi

# Ingest while it runs: rows are stored all the time, none waits for longer than a swap may take.
touch "$work/go"
{ echo "PREPARE one AS INSERT INTO flagscope.telemetry (ts, signal, name) VALUES (now(), 'log', 'written');"
  echo '\timing on'
  while [ -e "$work/go" ]; do echo "EXECUTE one;"; done; } | psql -XAt >"$work/times" 2>&1 &
writer=$!
poll "somebody writes" 10 "SELECT count(*) > 10 FROM flagscope.telemetry WHERE name = 'written' AND ts > now() - interval '1 minute'" t
sql "SELECT flagscope.freeze_chunk('$chunk')" >/dev/null
rm "$work/go"
wait $writer
is "ingest went on while a chunk was frozen" "$(grep -c '^INSERT 0 1$' "$work/times" | awk '{ print ($1 > 50) }') $(grep -c ERROR "$work/times" || true)" '1 0'
is "no row waited for more than two seconds" "$(awk '/^Time:/ && $2 > 2000 { n++ } END { print n + 0 }' "$work/times")" 0
sql "SELECT flagscope.thaw_chunk('$chunk')" >/dev/null

# The worker, by age.
sql "SELECT flagscope.set_freeze_after('7 days')" >/dev/null
sql "ALTER SYSTEM SET flagscope.enabled = on" && sql "SELECT pg_reload_conf()" >/dev/null
poll "the worker freezes what is older" 90 "$frozen" 1
is "with every row" "$(sql "$all")" "$before"
sql "INSERT INTO flagscope.telemetry (ts, signal, name) VALUES ('2026-03-01 10:00', 'log', 'late')"
is "a row that comes later is stored" "$(sql "SELECT count(*) FROM flagscope.telemetry WHERE name = 'late'")" 1
