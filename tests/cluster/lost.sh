#!/usr/bin/env bash
# The deciding node is away for longer than an ingest node keeps WAL for it: that is told, and joining anew loses nothing.
. "$(dirname "$0")/nodes.bash"
start_nodes
join_nodes
start_rollout
copy_on eu 2000 4
copy_on us 2000 4
poll_on hq "it begins well" 30 "SELECT sum(n) FROM flagscope.variant_rollup WHERE metric = 'errors'" 4000
poll_on eu "what was sent is marked" 30 "SELECT max(m.at) > (SELECT max(ts) FROM flagscope.telemetry) + interval '2 s' FROM _flagscope.delta_mark m" t
"$TOOLS/cluster" stop test-hq --immediate
on eu "ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'" && on eu "SELECT pg_reload_conf()" >/dev/null
copy_on eu 3000 4
for i in 1 2 3; do on eu "SELECT pg_switch_wal()" >/dev/null && copy_on eu 1000 4 && on eu "CHECKPOINT"; done
poll_on eu "the WAL is lost" 30 "SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'flagscope_eu_delta_1'" lost
poll_on eu "which the node tells" 30 "SELECT state, detail LIKE 'WAL that the deciding node \"hq\" has not received is lost%' FROM flagscope.health WHERE name = 'node eu'" "critical|t"
"$TOOLS/cluster" restart test-hq
on hq "SELECT flagscope.set_setting('node.silent_after', '\"5 seconds\"')" >/dev/null
copy_on us 1000 4
poll_on hq "the deciding node holds what depends on it" 60 "SELECT flagscope.ramp_gate(1) LIKE 'nothing has come from the ingest node \"eu\" since %'" t
fails_on eu "joining needs a new slot" "SELECT flagscope.join_cluster('eu', '$(connection hq)')" 55000
said=$(on hq "SELECT flagscope.add_node('eu', '$(connection eu)', anew => true)" | tail -1)
is "which the deciding node names" "$(grep -oE 'delta_slot => [0-9]+' <<<"$said")" "delta_slot => 2"
copy_on eu 500 4
on eu "SELECT flagscope.join_cluster('eu', '$(connection hq)'$(sed -E 's/.*\.\.\.(, configuration_slot[^)]*)\)$/\1/' <<<"$said"))" >/dev/null
copy_on eu 500 4
total=$(($(on eu 'SELECT count(*) FROM flagscope.telemetry') + $(on us 'SELECT count(*) FROM flagscope.telemetry')))
poll_on hq "nothing is lost, and nothing counted twice" 90 "SELECT sum(n) FROM flagscope.variant_rollup WHERE metric = 'errors'" $total
poll_on hq "the node is heard again" 60 "SELECT state FROM flagscope.health WHERE name = 'node eu'" ok
is "its own rollups are what its rows say" "$(on eu "SELECT count(*) FROM flagscope.verify_rollup('-infinity')")" 0
copy_on eu 1000 4
poll_on hq "and it goes on" 30 "SELECT sum(n) FROM flagscope.variant_rollup WHERE metric = 'errors'" $((total + 1000))
