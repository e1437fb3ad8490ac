#!/usr/bin/env bash
# Setting a cluster up and taking it down, who may do what where, and a change of a flag in an open session of an ingest node.
. "$(dirname "$0")/nodes.bash"
start_nodes
on hq "SELECT flagscope.create_flag('old'); CREATE TABLE public.before AS SELECT * FROM flagscope.flag_state" >/dev/null

statements=$(on hq "SELECT count(*) FROM flagscope.create_cluster('hq', dry_run => true)")
is "a dry run tells the statements and does nothing" "$statements $(on hq 'SELECT count(*) FROM pg_publication')" "3 0"
fails_on hq "the name of a node is a short word" "SELECT flagscope.create_cluster('Head Quarters')" 22023
fails_on eu "a connection string that cannot be taken apart is refused" "SELECT flagscope.join_cluster('eu', 'postgresql://x/y')" 22023
fails_on eu "only a deciding node adds nodes" "SELECT flagscope.add_node('eu', 'dbname=x')" 55000
join_nodes
for name in eu us; do poll_on "$name" "what was there before is on $name" 30 "SELECT string_agg(flag, ',') FROM flagscope.flag_state" old; done
is "called again they do nothing" "$(on hq "SELECT flagscope.create_cluster('hq')")$(on eu "SELECT flagscope.join_cluster('eu', '$(connection hq)')"
)$(on hq "SELECT flagscope.add_node('eu', '$(connection eu)')")" ""
start_rollout

for statement in "SELECT flagscope.tick()" "SELECT flagscope.create_flag('x')" "SELECT flagscope.disable_flag('checkout')" \
  "INSERT INTO flagscope.segment VALUES ('s', 'true')" "UPDATE flagscope.flag_state SET enabled = false" "DELETE FROM flagscope.guardrail" \
  "TRUNCATE flagscope.setting" "SELECT flagscope.set_retention('1 day')" "SELECT flagscope.pause_rollout('checkout')" \
  "SELECT flagscope.approve_stage(1)" "UPDATE flagscope.metric_definition SET unit = 's'" "SELECT flagscope.create_cluster('x')"; do
  fails_on eu "refused on an ingest node: $statement" "$statement" 55000
done
is "and the message names the deciding node" "$( (eval "${node[eu]}" && psql -XAtq -c 'SELECT flagscope.tick()' 2>&1) | grep -o 'HINT.*')" 'HINT:  Connect to the deciding node "hq".'
for statement in "SELECT flagscope.rebuild_rollup('-infinity')" "SELECT * FROM flagscope.verify_rollup('-infinity')" "SELECT flagscope.join_cluster('hq', 'dbname=x')"; do
  fails_on hq "refused on the deciding node: $statement" "$statement" 55000
done
fails_on hq "a metric that a tick counts from raw rows" "SELECT flagscope.create_metric('late', 'proportion', 'span', '{\"name\": \"pay\"}', '{\"is_error\": true}', per_unit => true)" 0A000

# A session stays open while the flag changes elsewhere; LISTEN and a follower's cursor see it, too.
coproc SESSION { eval "${node[eu]}" && exec psql -XAtq 2>&1; }
exec 7>&"${SESSION[1]}" 8<&"${SESSION[0]}" # for subshells, too
say_to() { printf '%s;\n\\echo done\n' "$1" >&7; }
answer() {
  local line all=
  while read -r -t 20 line <&8 && [ "$line" != "done" ]; do all+=${all:+ }$line; done
  printf '%s' "$all"
}
ask() { say_to "$1" && answer; }
is "an open session has its answer" "$(ask "LISTEN flagscope_flag; SELECT flagscope.evaluate_boolean('old', 'u', true)")" f
cursor=$(ask "SELECT cursor FROM flagscope.flag_set()")
on hq "SELECT flagscope.disable_flag('old')" >/dev/null
is_true() { [ "$(ask "SELECT flagscope.evaluate_boolean('old', 'u', true)" | grep -oE '\b[tf]$|^[tf]\b' | head -1)" = t ]; }
deadline=$((SECONDS + 20))
until is_true || [ "$SECONDS" -ge "$deadline" ]; do :; done
is "and another one when the flag is disabled on the deciding node" "$(is_true && echo t)" t
is "a follower of its changes is told" "$(ask "SELECT flag FROM flagscope.flag_changes($cursor)" | grep -o old | head -1)" old
is "what was served when is known there" "$(ask "SELECT count(*) FROM flagscope.flag_state_history WHERE flag = 'old'" | tail -c 1)" 2
mark=$(on hq "SELECT flagscope.enable_flag('old')")
heard() { ask 'SELECT 1' | grep -q "Asynchronous notification \"flagscope_flag\" with payload.*\"version\" *: *$mark"; }
deadline=$((SECONDS + 20))
until heard || [ "$SECONDS" -ge "$deadline" ]; do heard=no; done
[ "$SECONDS" -lt "$deadline" ] && ok "LISTEN there is told" || not_ok "LISTEN there is told"
printf '\\q\n' >&7

copy_on eu 1000 2 && copy_on us 3000 2
is "telemetry of all nodes is one table" "$(on hq "SELECT node, count(*) FROM flagscope_cluster.telemetry GROUP BY 1 ORDER BY 1" | xargs)" "eu|1000 us|3000"
is "aggregates by node are computed there" "$(on hq "SET enable_partitionwise_aggregate = on; EXPLAIN (COSTS off, VERBOSE)
  SELECT node, flagscope.tdigest(value) FROM flagscope_cluster.telemetry GROUP BY node" | grep -c 'Remote SQL: SELECT node, flagscope.tdigest(value)')" 2
poll_on hq "what both count is there once" 30 "SELECT sum(n) FROM flagscope.variant_rollup WHERE metric = 'errors'" 4000

is "a node that leaves works alone again, without the configuration" "$(on eu "SELECT flagscope.leave_cluster()" >/dev/null
  on eu "SELECT (SELECT count(*) FROM flagscope.flag_state), (SELECT count(*) FROM flagscope.telemetry), (SELECT count(*) FROM pg_subscription),
    (SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'flagscope%'), (SELECT count(*) FROM flagscope.setting WHERE builtin) > 50, flagscope.create_flag('own')")" "0|1000|0|0|t|own"
on hq "SELECT flagscope.set_setting('node.silent_after', '\"5 seconds\"')" >/dev/null
poll_on hq "the deciding node tells that it is silent, and holds the ramp" 60 "SELECT state, (SELECT flagscope.ramp_gate(1) LIKE '%\"eu\"%') FROM flagscope.health WHERE name = 'node eu'" "critical|t"
on hq "SELECT flagscope.leave_cluster('eu')" >/dev/null
poll_on hq "until it is removed there" 30 "SELECT flagscope.ramp_gate(1) LIKE '%node%'" f
on us "SELECT flagscope.leave_cluster()" >/dev/null
on hq "SELECT flagscope.leave_cluster()" >/dev/null
is "a cluster can be ended" "$(on hq "SELECT (SELECT count(*) FROM flagscope.node), (SELECT count(*) FROM pg_subscription), (SELECT count(*) FROM pg_publication),
  (SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM pg_foreign_server WHERE srvname <> 'flagscope_frozen'), (SELECT count(*) FROM flagscope.flag_state)")" "0|0|0|0|0|2"
