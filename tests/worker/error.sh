#!/usr/bin/env bash
# A tick that fails is reported and survived; the master switch and the interval take effect on reload.
. "$(dirname "$0")/../../tools/testlib.sh"
. "$(dirname "$0")/worker.bash"
fresh_cluster test-error --set flagscope.interval=50ms

database_with_tick one
ticks_again "it ticks" 10 one
pid=$(worker_of one)
in_database one sql 'UPDATE public.tick_control SET broken = true'
in_database one poll "a tick fails" 10 \
  "SELECT clock_timestamp() - max(at) > interval '1 s' FROM public.tick_log" t
is "the error is in the log, once for many ticks" \
  "$(logged test-error 'WARNING:  flagscope.tick() failed: broken on purpose')" 1
in_database one sql 'UPDATE public.tick_control SET broken = false'
ticks_again "the next good tick runs" 5 one
is "in the same process" "$(worker_of one)" "$pid"

in_database one sql 'UPDATE public.tick_control SET nap = 60'
poll "a tick hangs" 10 "SELECT wait_event FROM pg_stat_activity WHERE pid = $pid" PgSleep
in_database one sql 'UPDATE public.tick_control SET nap = 0'
sql "SELECT pg_cancel_backend($pid)" >/dev/null
ticks_again "pg_cancel_backend ends a tick and not the worker" 5 one
is "which is the same still" "$(worker_of one)" "$pid"

sql 'ALTER SYSTEM SET flagscope.enabled = off'
sql 'SELECT pg_reload_conf()' >/dev/null
in_database one poll "enabled = off stops the ticks" 10 \
  "SELECT clock_timestamp() - max(at) > interval '1 s' FROM public.tick_log" t
is "a tick by hand still works" \
  "$(in_database one sql 'SELECT (flagscope.tick()).decisions; SELECT pid = pg_backend_pid() FROM public.tick_log ORDER BY at DESC LIMIT 1')" \
  $'0\nt'
sql 'ALTER SYSTEM RESET flagscope.enabled'
sql 'SELECT pg_reload_conf()' >/dev/null
ticks_again "enabled = on resumes them" 5 one

sql "ALTER SYSTEM SET flagscope.interval = '1h'"
sql 'SELECT pg_reload_conf()' >/dev/null
in_database one poll "an interval of an hour" 10 \
  "SELECT clock_timestamp() - max(at) > interval '1 s' FROM public.tick_log" t
sql 'ALTER SYSTEM RESET flagscope.interval'
sql 'SELECT pg_reload_conf()' >/dev/null
ticks_again "is cut short by a reload" 5 one

sql "ALTER SYSTEM SET flagscope.interval = '1h'"
sql 'SELECT pg_reload_conf()' >/dev/null
database_with_tick rare
poll "a worker comes" 10 \
  "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'flagscope worker' AND datname = 'rare'" 1
in_database rare sql 'DROP EXTENSION flagscope'
poll "with an interval of an hour DROP EXTENSION ends the worker within seconds" 10 \
  "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'flagscope worker' AND datname = 'rare'" 0
sql 'ALTER SYSTEM RESET flagscope.interval'
sql 'SELECT pg_reload_conf()' >/dev/null

fails_with "unknown settings are refused" 'SET flagscope.intervall = 1' 42602

in_database one sql 'ALTER DATABASE one SET default_transaction_read_only = on'
sql "SELECT pg_terminate_backend($pid)" >/dev/null
ticks_again "a database that is read-only by default has ticks" 10 one
