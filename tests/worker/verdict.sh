#!/usr/bin/env bash
# status() and the view health tell the truth: whatever keeps the ticks from going through is named, and told once.
. "$(dirname "$0")/../../tools/testlib.sh"
. "$(dirname "$0")/worker.bash"
fresh_cluster test-verdict --set flagscope.interval=100ms --set max_prepared_transactions=2

sql 'CREATE EXTENSION flagscope'
verdict="SELECT says FROM flagscope.status() LIMIT 1"
poll "the worker ticks" 20 "$verdict" judging
is "it is the first line" "$(sql 'SELECT item FROM flagscope.status() LIMIT 1')" verdict
is "for monitoring, too" "$(sql "SELECT string_agg(name || ' ' || state, ', ') FROM flagscope.health")" \
  'judging ok, locks ok, maintenance ok, outbox ok'

# The query that examples/monitoring.md gives to Prometheus, as a role that may only read.
sql "CREATE ROLE monitor LOGIN; SELECT flagscope.grant_reader('monitor')" >/dev/null
query=$(sed -nE 's/^ +(SELECT name, array_position.*)/\1/p' "$TOOLS/../examples/monitoring.md")
is "the query for Prometheus of examples/monitoring.md" "$(PGUSER=monitor sql "$query")" $'judging|0\nlocks|0\nmaintenance|0\noutbox|0'

# A tick that fails each time.
sql "ALTER FUNCTION _flagscope.consume_lanes(timestamptz, timestamptz) RENAME TO hidden"
poll "a tick that fails is told, with its reason" 20 \
  "SELECT says ~ '^NOT judging since 20[-0-9]+ [0-9:]+ UTC: every tick fails, [0-9]+ so far: function _flagscope.consume_lanes.* does not exist' FROM flagscope.status() LIMIT 1" t
is "so it is for monitoring" "$(sql "SELECT state, since > now() - interval '1 hour', detail LIKE 'NOT judging since%' FROM flagscope.health WHERE name = 'judging'")" 'critical|t|t'
poll "tick_state counts on" 20 "SELECT failures > 20 AND failing_since < last_error_at AND last_error_code = '42883' FROM _flagscope.tick_state" t
told="SELECT string_agg(payload ->> 'name' || ' ' || (payload ->> 'state'), ', ' ORDER BY id) FROM flagscope.outbox WHERE kind = 'health'"
is "one row of outbox for many ticks" "$(sql "$told")" 'judging critical'
is "and one line of the log" "$(logged test-verdict 'WARNING:  flagscope: judging: NOT judging since')" 1
sql "ALTER FUNCTION _flagscope.hidden(timestamptz, timestamptz) RENAME TO consume_lanes"
poll "it recovers" 20 "$verdict" judging
is "which is told once, too" "$(sql "$told")" 'judging critical, judging ok'
is "what it was is still known" "$(sql "SELECT failures, failing_since, last_error LIKE 'function %' FROM _flagscope.tick_state")" '0||t'

# Somebody's session in the way. hold SQL: a transaction that stays open, its process in $!.
hold() {
  PGAPPNAME=lunch psql -XAtq -v ON_ERROR_STOP=1 -c "BEGIN" -c "$1" -c 'SELECT pg_sleep(600)' >/dev/null 2>&1 &
  poll "held: $1" 10 "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lunch' AND query = 'SELECT pg_sleep(600)'" 1
}
let_go() {
  sql "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'lunch'" >/dev/null
  wait
}
hold 'SELECT flagscope.tick()'
poll "a tick whose transaction stays open is named as the reason" 90 \
  "SELECT says ~ '^NOT judging since .* (process [0-9]+ [(]postgres, lunch, active[)] since|locked by process [0-9]+ [(]postgres, lunch)' FROM flagscope.status() LIMIT 1" t
poll "and told" 30 "$told" 'judging critical, judging ok, judging critical'
let_go
poll "and over" 20 "$verdict" judging

hold 'LOCK TABLE _flagscope.tick_state'
poll "status() answers though its table is locked" 90 "SELECT says ~ '^NOT judging since .*locked by process [0-9]+ [(]postgres, lunch' FROM flagscope.status() LIMIT 1" t
is "so does health" "$(sql "SELECT state FROM flagscope.health WHERE name IN ('judging', 'tables') ORDER BY name")" $'critical\ncritical'
let_go
poll "over again" 30 "$verdict" judging

# A row of tick_state locked is no reason to stop: only the books are not kept.
sql "SELECT flagscope.create_flag('f'), flagscope.create_metric('errors', 'proportion', 'span', '{\"name\": \"pay\"}', '{\"is_error\": true}'),
  flagscope.create_guardrail('f', 'errors'), flagscope.start_rollout(flagscope.create_rollout('f', stages => '{50, 100}', min_duration => '1 day'))" >/dev/null
hold 'UPDATE _flagscope.tick_state SET ticks = ticks'
sql "INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags) SELECT now(), 'span', 'pay', i % 4 = 0,
  jsonb_build_object('f', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END) FROM generate_series(1, 400) i"
poll "a rollout is rolled back while tick_state's row is locked" 20 "SELECT status FROM flagscope.rollout" rolled_back
let_go

# A lock that only a prepared transaction holds.
sql "SELECT flagscope.create_flag('g'), flagscope.create_guardrail('g', 'errors'),
  flagscope.start_rollout(flagscope.create_rollout('g', stages => '{50, 100}', min_duration => '1 day'))" >/dev/null
psql -XAtq -v ON_ERROR_STOP=1 -c BEGIN -c "SELECT FROM flagscope.flag_state WHERE flag = 'g' FOR NO KEY UPDATE" -c "PREPARE TRANSACTION 'left'"
sql "INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags) SELECT now(), 'span', 'pay', i % 4 = 0,
  jsonb_build_object('g', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END) FROM generate_series(1, 400) i"
poll "a prepared transaction is named" 20 "SELECT count(*) FROM flagscope.health WHERE name = 'rollout 2' AND state = 'critical'
  AND detail LIKE 'breached, cannot act (rollback of flag \"g\" in production): locked by a prepared transaction (see pg_prepared_xacts);%'" 1
is "the evidence is there meanwhile" "$(sql "SELECT state, n_treatment FROM flagscope.guardrail_status WHERE rollout_id = 2")" 'breached|200'
sql "ROLLBACK PREPARED 'left'"
poll "and acted on when it is gone" 20 "SELECT status FROM flagscope.rollout WHERE id = 2" rolled_back
poll "that is told" 20 "SELECT payload ->> 'state' FROM flagscope.outbox WHERE kind = 'health' AND payload ->> 'name' = 'rollout 2' ORDER BY id DESC LIMIT 1" ok

sql 'ALTER SYSTEM SET flagscope.enabled = off'
sql 'SELECT pg_reload_conf()' >/dev/null
sql "UPDATE _flagscope.tick_state SET last_ok_at = now() - interval '3 minutes'"
poll "switched off" 20 "SELECT says LIKE 'NOT judging since %: flagscope.enabled is off: switch it on, or call SELECT flagscope.tick()' FROM flagscope.status() LIMIT 1" t
sql 'SELECT flagscope.tick()' >/dev/null
is "unless somebody else ticks" "$(sql "$verdict")" judging
