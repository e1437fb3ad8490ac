#!/usr/bin/env bash
# A metric's query that hangs in the worker is cut off; its guardrail says so, and the worker ticks on.
. "$(dirname "$0")/../../tools/testlib.sh"
. "$(dirname "$0")/worker.bash"
fresh_cluster test-query --set flagscope.interval=50ms

sql 'CREATE DATABASE one'
in_database one sql 'CREATE EXTENSION flagscope' >/dev/null
in_database one sql "SELECT flagscope.set_setting('query.timeout', '\"200 ms\"'), flagscope.set_setting('query.delay', '\"1 ms\"'),
    flagscope.create_flag('f'), flagscope.create_query_metric('hangs', 'mean', \$\$SELECT 'on'::text AS variant, 1 AS value FROM pg_sleep(600)\$\$),
    flagscope.create_query_metric('fine', 'mean', \$\$SELECT 'on'::text AS variant, 7 AS value\$\$)" >/dev/null
in_database one sql "SELECT flagscope.create_guardrail('f', 'hangs', limit_value => 5), flagscope.create_guardrail('f', 'fine', limit_value => 9, min_sample => 1),
    flagscope.start_rollout(flagscope.create_rollout('f', stages => '{50}', min_duration => '1 hour'))" >/dev/null
in_database one poll "a query that hangs is cut off" 20 "SELECT problem FROM flagscope.metric_run WHERE metric = 'hangs'" \
  'the query of metric "hangs" failed: the query took longer than 200 ms'
in_database one poll "its guardrail says so" 10 \
  "SELECT s.state FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id WHERE g.name = 'hangs'" error
in_database one poll "the other one is judged" 10 \
  "SELECT s.reason FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id WHERE g.name = 'fine'" \
  'fine: 7 with the treatment, within the limit of 9'
pid=$(worker_of one)
ticks=$(in_database one sql 'SELECT ticks FROM _flagscope.tick_state')
in_database one poll "ticks go on" 30 "SELECT ticks > $ticks FROM _flagscope.tick_state" t
is "in the same process" "$(worker_of one)" "$pid"
is "and nothing was canceled" "$(logged test-query 'canceling statement')" 0
