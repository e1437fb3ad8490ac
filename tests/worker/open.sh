#!/usr/bin/env bash
# Users' long transactions neither stop nor delay decisions: one with an old snapshot that has written telemetry, one that
# has locked another rollout and its flag, and one that has read everything.
. "$(dirname "$0")/../../tools/testlib.sh"
fresh_cluster test-open --set flagscope.interval=50ms
psql -XAtq -v ON_ERROR_STOP=1 >/dev/null <<'SQL'
CREATE EXTENSION flagscope;
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_flag(f), flagscope.create_guardrail(f, 'errors'),
    flagscope.start_rollout(flagscope.create_rollout(f, stages => '{50, 100}', min_duration => '1 day'))
FROM unnest('{locked,free}'::text[]) f;
CREATE FUNCTION feed(bad boolean) RETURNS void LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags)
    SELECT now(), 'span', 'pay', bad AND i % 2 = 0, jsonb_build_object(f, CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END)
    FROM generate_series(1, 400) i, unnest('{locked,free}'::text[]) f
$$;
SQL
poll "the worker ticks" 20 "SELECT ticks > 0 AND EXISTS (SELECT FROM flagscope.chunk WHERE parent = 'telemetry') FROM _flagscope.tick_state" t

# open NAME SQL...: a transaction with these statements that stays open until the test ends
open() {
  local name=$1
  shift
  PGAPPNAME=$name psql -XAtq -v ON_ERROR_STOP=1 -c "$1" -c "$2" -c "$3" -c 'SELECT pg_sleep(600)' >/dev/null 2>&1 &
  poll "open: $name" 10 "SELECT query FROM pg_stat_activity WHERE application_name = '$name'" 'SELECT pg_sleep(600)'
}
open writer 'BEGIN ISOLATION LEVEL REPEATABLE READ' 'SELECT count(*) FROM flagscope.decision' 'SELECT feed(false)'
open locker 'BEGIN' "SELECT flagscope.set_default_variant('locked', 'on')" \
  "SELECT count(*) FROM flagscope.rollout WHERE flag = 'locked'"
open reader 'BEGIN ISOLATION LEVEL SERIALIZABLE' 'SELECT count(*) FROM _flagscope.variant_state' 'SELECT count(*) FROM flagscope.guardrail_status'

sql 'SELECT feed(true)' >/dev/null
poll "the rollout that goes bad is rolled back all the same" 10 "SELECT status FROM flagscope.rollout WHERE flag = 'free'" rolled_back
is "within ten ticks of the commit" "$(sql "SELECT (e.watermark > d.at - interval '500 ms')::text FROM flagscope.decision d
  JOIN flagscope.evaluation e ON e.rollout_id = d.rollout_id WHERE d.action = 'rollback' ORDER BY e.at DESC LIMIT 1")" true
is "the locked one is not waited for" "$(sql "SELECT status FROM flagscope.rollout WHERE flag = 'locked'")" running
sql "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'locker'" >/dev/null
poll "and is judged by the same data once the lock is gone" 10 "SELECT status FROM flagscope.rollout WHERE flag = 'locked'" rolled_back
sql "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name IN ('writer', 'reader')" >/dev/null
wait
poll "nothing of the transaction that failed counts" 10 "SELECT sum(n) FROM flagscope.variant_rollup" 800
