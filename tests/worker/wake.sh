#!/usr/bin/env bash
# Awake when data comes, asleep when none does: with a longest sleep of an hour every tick here has a reason, a commit or
# something that is due by the clock.
. "$(dirname "$0")/../../tools/testlib.sh"
. "$(dirname "$0")/worker.bash"
fresh_cluster test-wake --set flagscope.interval=1h --set flagscope.min_interval=10ms --set max_prepared_transactions=5

# First the commits, with a tick that only leaves its trace, and nothing due.
database_with_tick one
in_database one psql -XAtq -v ON_ERROR_STOP=1 >/dev/null <<'SQL'
BEGIN;
ALTER FUNCTION _flagscope.next_due(timestamptz) RENAME TO replaced_next_due;
CREATE FUNCTION _flagscope.next_due(began timestamptz) RETURNS float8 LANGUAGE sql RETURN NULL::float8;
ALTER EXTENSION flagscope ADD FUNCTION _flagscope.next_due(timestamptz);
COMMIT;
SELECT flagscope.create_flag('f'), flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}'),
  flagscope.create_guardrail('f', 'errors'), flagscope.start_rollout(flagscope.create_rollout('f', stages => '{50, 100}', min_duration => '1 day'));
SQL
rows="INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags) VALUES (now(), 'span', 'pay', false, '{\"f\": \"on\"}')"
copy=$(mktemp)
printf '%s\n' 'COPY flagscope.telemetry (ts, signal, name, is_error, flags) FROM stdin;' "$(date -u -Is)"$'\tspan\tpay\tf\t{"f": "on"}' '\.' >"$copy"
ticks() { in_database one sql 'SELECT count(*) FROM public.tick_log'; }

# The worker is asleep: nobody has made it tick for half a second.
asleep() {
  local before=-1 deadline=$((SECONDS + 30))
  until [ "$(ticks)" = "$before" ]; do
    [ "$SECONDS" -lt "$deadline" ] || { not_ok "the worker never sleeps" && return; }
    before=$(ticks)
    sleep 0.5
  done
}
# wakes "text" psql arguments ...
wakes() {
  local text=$1 before deadline=$((SECONDS + 10))
  shift
  asleep
  before=$(ticks)
  in_database one psql -XAtq -v ON_ERROR_STOP=1 "$@" >/dev/null
  until [ "$(ticks)" -gt "$before" ]; do
    [ "$SECONDS" -lt "$deadline" ] || { not_ok "awake: $text" "no tick after 10 s" && return; }
  done
  ok "awake: $text"
}
# That something does not happen cannot be polled: a tick would be there after a tenth of the time that is waited.
sleeps_on() {
  local text=$1 before
  shift
  asleep
  before=$(ticks)
  in_database one psql -XAtq "$@" >/dev/null 2>&1 || true
  sleep 0.3
  is "asleep: $text" "$(ticks)" "$before"
}

wakes "a row that counts" -c "$rows"
wakes "the second one of the same session, too" -c "$rows" -c 'SELECT pg_sleep(0.3)' -c "$rows"
wakes "a COPY" -f "$copy"
wakes "an exposure" -c "INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags) VALUES (now(), 'event', 'feature_flag.evaluation', 'ann', '{\"f\": \"on\"}')"
wakes "a function that records" -c "SELECT flagscope.record_span('pay', 0.1, flags => '{\"f\": \"on\"}')"
sleeps_on "a reader" -c 'SELECT count(*) FROM flagscope.telemetry' -c 'SELECT count(*) FROM flagscope.status()'
sleeps_on "a row that counts for nobody" -c "INSERT INTO flagscope.telemetry (ts, signal, name) VALUES (now(), 'log', 'hello')"
sleeps_on "work that is rolled back" -c BEGIN -c "$rows" -c ROLLBACK
sleeps_on "a transaction that fails" -c "BEGIN; $rows; SELECT 1 / 0"
sleeps_on "a subtransaction that is rolled back" -c BEGIN -c 'SAVEPOINT a' -c "$rows" -c 'ROLLBACK TO a' -c COMMIT
sleeps_on "one inside it that was released" -c BEGIN -c 'SAVEPOINT a' -c 'SAVEPOINT b' -c "$rows" -c 'RELEASE b' -c 'ROLLBACK TO a' -c COMMIT
sleeps_on "a block that catches an error" -c "DO \$\$ BEGIN BEGIN $rows; RAISE 'undone'; EXCEPTION WHEN raise_exception THEN NULL; END; END \$\$"
wakes "what was there before a subtransaction that is rolled back" -c BEGIN -c "$rows" -c 'SAVEPOINT a' -c "$rows" -c 'ROLLBACK TO a' -c COMMIT
wakes "a subtransaction beside one that is rolled back" -c BEGIN -c 'SAVEPOINT a' -c "$rows" -c 'RELEASE a' -c 'SAVEPOINT b' -c "$rows" -c 'ROLLBACK TO b' -c COMMIT
wakes "what comes after a subtransaction that is rolled back" -c BEGIN -c 'SAVEPOINT a' -c "$rows" -c 'ROLLBACK TO a' -c "$rows" -c COMMIT
sleeps_on "a transaction that is prepared" -c BEGIN -c "$rows" -c "PREPARE TRANSACTION 'left'"
wakes "COMMIT PREPARED, in another session" -c "COMMIT PREPARED 'left'"
sleeps_on "and ROLLBACK PREPARED" -c BEGIN -c "$rows" -c "PREPARE TRANSACTION 'left'" -c "ROLLBACK PREPARED 'left'"

wakes "a flag" -c "SELECT flagscope.set_default_variant('f', 'off')"
wakes "a rollout" -c 'SELECT flagscope.pause_rollout(1)'
wakes "its resumption" -c "SELECT flagscope.resume_rollout(1)"
wakes "an approval" -c 'SELECT flagscope.approve_stage(1)'
wakes "a guardrail" -c "UPDATE flagscope.guardrail SET min_sample = 5"
wakes "a metric" -c "UPDATE flagscope.metric_definition SET description = 'known by now'"
wakes "a freeze" -c "SELECT flagscope.create_change_freeze('holidays', since => '2020-12-24', until => '2020-12-27')"
wakes "a setting" -c "SELECT flagscope.set_setting('guardrail.min_sample', '50')"
wakes "a flag's tags" -c "UPDATE flagscope.flag_definition SET tags = '{shop}'"

# However fast commits come.
sql "ALTER SYSTEM SET flagscope.min_interval = '1s'"
sql 'SELECT pg_reload_conf()' >/dev/null
wakes "with a shortest interval of a second" -c "$rows"
before=$(ticks) begun=$(date +%s%N)
in_database one sql "DO \$\$ BEGIN FOR i IN 1..500 LOOP $rows; COMMIT; PERFORM pg_sleep(0.005); END LOOP; END \$\$"
asleep
most=$((($(date +%s%N) - begun) / 1000000000 + 2)) made=$(($(ticks) - before))
if [ "$made" -ge 2 ] && [ "$made" -le "$most" ]; then ok "500 commits make no more ticks than it allows"; else not_ok "500 commits made $made ticks" "at most: $most"; fi
sql 'ALTER SYSTEM RESET flagscope.min_interval'
sql 'SELECT pg_reload_conf()' >/dev/null

sql 'ALTER SYSTEM SET flagscope.enabled = off'
sql 'SELECT pg_reload_conf()' >/dev/null
sleeps_on "a row while flagscope.enabled is off" -c "$rows"
before=$(now)
sql 'ALTER SYSTEM RESET flagscope.enabled'
sql 'SELECT pg_reload_conf()' >/dev/null
in_database one poll "switched on it ticks at once" 10 "$(ticked_since "$before")" t

# A worker that comes after a row was committed finds it.
sql 'ALTER SYSTEM SET flagscope.enabled = off'
sql 'SELECT pg_reload_conf()' >/dev/null
pid=$(worker_of one)
in_database one sql "$rows"
sql 'ALTER SYSTEM RESET flagscope.enabled'
sql "SELECT pg_terminate_backend($pid), pg_reload_conf()" >/dev/null
in_database one poll "a new worker begins with a tick" 10 "SELECT count(*) > 0 FROM public.tick_log WHERE pid <> $pid" t
wakes "and can be woken" -c "$rows"

# Then the clock, with the real tick.
sql 'CREATE DATABASE two'
in_database two psql -XAtq -v ON_ERROR_STOP=1 >/dev/null <<'SQL'
CREATE EXTENSION flagscope;
SELECT flagscope.create_flag(f) FROM unnest('{stage,frozen,stale,silent,window,held}'::text[]) f;
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_metric('duration', 'mean', 'span', '{"name": "pay"}');
SELECT flagscope.create_guardrail('stale', 'errors', stale_after => '2 seconds', grace => '1 second'),
  flagscope.create_guardrail('silent', 'errors', grace => '2 seconds'),
  flagscope.create_guardrail('window', 'duration', test => 'threshold', limit_value => 1e9, time_window => '3 seconds', min_sample => 1),
  flagscope.create_guardrail('held', 'errors', test => 'threshold', limit_value => 0.2, time_window => '3 seconds', min_sample => 1, action => 'hold');
SELECT flagscope.create_change_freeze('until soon', since => now() - interval '1 minute', until => now() + interval '6 seconds', tag => 'frozen');
UPDATE flagscope.flag_definition SET tags = '{frozen}' WHERE key = 'frozen';
SELECT flagscope.start_rollout(flagscope.create_rollout(f, stages => '{50, 100}', min_duration => CASE f WHEN 'window' THEN '1 hour' ELSE '2 seconds' END::interval,
  cooldown => '3 seconds'), override => true, reason => 'a test')
FROM unnest('{stage,frozen,stale,silent,window,held}'::text[]) f;
INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, flags)
SELECT now(), 'span', 'pay', 1, f = 'held' AND i % 2 = 0, jsonb_build_object(f, CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END)
FROM generate_series(1, 400) i, unnest('{stale,window,held}'::text[]) f;
SQL
state() { printf "SELECT s.state FROM flagscope.guardrail_status s JOIN flagscope.rollout r ON r.id = s.rollout_id WHERE r.flag = '%s'" "$1"; }
in_database two poll "by the clock: a stage is over" 10 "SELECT stage FROM flagscope.rollout WHERE flag = 'stage'" 2
in_database two poll "data is missing" 10 "$(state silent)" no_data
in_database two poll "data has stopped" 10 "$(state stale)" stale
in_database two poll "a freeze is over" 20 "SELECT stage FROM flagscope.rollout WHERE flag = 'frozen'" 2
in_database two poll "a held rollout has rested" 20 "SELECT count(*) FROM flagscope.decision WHERE flag = 'held' AND action = 'resume'" 1
in_database two poll "a window has moved on" 40 "$(state window)" no_data
in_database two sql "SELECT flagscope.set_setting('maintenance.interval', '\"1 second\"')" >/dev/null
before=$(in_database two now)
in_database two poll "maintenance" 20 "SELECT last_maintain_at > '$before' FROM _flagscope.tick_state" t
in_database two sql "SELECT flagscope.set_setting('query.interval', '\"1 second\"'), flagscope.set_setting('query.delay', '\"1 ms\"'),
  flagscope.create_query_metric('asked', 'mean', \$\$SELECT 'on'::text AS variant, 7 AS value\$\$), flagscope.create_guardrail('silent', 'asked', limit_value => 9)" >/dev/null
in_database two poll "a query runs" 20 "SELECT count(*) FROM flagscope.metric_run WHERE metric = 'asked'" 1
before=$(in_database two now)
in_database two poll "and again" 20 "SELECT run_at > '$before' FROM flagscope.metric_run WHERE metric = 'asked'" t
rm "$copy"
is "no tick has failed" "$(logged test-wake 'tick() failed')" 0
