#!/usr/bin/env bash
# Without shared_preload_libraries there is no worker, and everything else works.
. "$(dirname "$0")/../../tools/testlib.sh"
. "$(dirname "$0")/worker.bash"
fresh_cluster test-no-preload --no-preload

database_with_tick one
ok "CREATE EXTENSION works"
in_database one sql 'SELECT flagscope.tick()' >/dev/null
is "tick() by hand works" "$(in_database one sql 'SELECT count(*) FROM public.tick_log')" 1
is "there is no worker" "$(sql "SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'flagscope'")" 0
is "the settings can be seen" "$(in_database one sql \
  "LOAD 'flagscope'; SELECT string_agg(name || '=' || current_setting(name), ' ' ORDER BY name) FROM pg_settings
   WHERE name IN ('flagscope.enabled', 'flagscope.environment', 'flagscope.interval', 'flagscope.min_interval')")" \
  'flagscope.enabled=on flagscope.environment=production flagscope.interval=20s flagscope.min_interval=50ms'
sql 'DROP DATABASE one'
ok "DROP DATABASE works"
