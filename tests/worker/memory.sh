#!/usr/bin/env bash
# The worker does not grow: private memory after thousands of good and failing ticks.
. "$(dirname "$0")/../../tools/testlib.sh"
. "$(dirname "$0")/worker.bash"
fresh_cluster test-memory --set flagscope.interval=10ms
warm=${WARM:-500} ticks=${TICKS:-3000} limit_kb=1024

# Its private memory in kB; nothing where /proc does not tell (then the test is meaningless and says so).
private_memory() { awk '/^RssAnon/ { print $2 }' "/proc/$1/status"; }

database_with_tick one
sql 'CREATE DATABASE plain'
in_database one poll "warm: $warm ticks" 120 "SELECT count(*) >= $warm FROM public.tick_log" t
pid=$(worker_of one)
before=$(private_memory "$pid")
in_database one poll "$ticks ticks more" 300 "SELECT count(*) >= $((warm + ticks)) FROM public.tick_log" t
after=$(private_memory "$pid")
is "the same worker did them" "$(worker_of one)" "$pid"
printf '# %s kB before, %s kB after\n' "$before" "$after"
is "it grew by less than $limit_kb kB" "$((after - before < limit_kb))" 1

in_database one sql 'UPDATE public.tick_control SET broken = true'
in_database one poll "the ticks fail" 10 "SELECT clock_timestamp() - max(at) > interval '5 s' FROM public.tick_log" t
in_database one sql 'UPDATE public.tick_control SET broken = false'
ticks_again "and work again" 10 one
failed=$(private_memory "$pid")
printf '# %s kB after 5 s of failing ticks\n' "$failed"
is "failing ticks leave nothing behind" "$((failed - after < limit_kb))" 1
is "the same worker still" "$(worker_of one)" "$pid"
