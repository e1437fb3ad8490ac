#!/usr/bin/env bash
# COPY on two ingest nodes while the deciding node is stopped without warning, three times, and then fails over to its
# standby in the middle of a breach: everything is counted once, and decided once.
. "$(dirname "$0")/nodes.bash"
. "$TOOLS/lib.sh"
use_postgres
trap end_of_test EXIT
start_nodes
join_nodes
start_rollout
on hq "SELECT flagscope.set_setting('maintenance.interval', '\"5 seconds\"')" >/dev/null
size=5000
work=$(mktemp -d)

# feed NODE SHARE: batches of COPY, one after the other; as long as the file is there
feed() {
  local n=0
  until [ ! -e "$work/go" ]; do
    copy_on "$1" "$size" "$2" && n=$((n + 1))
  done
  printf '%s\n' "$n" >"$work/fed-$1"
}
start_feed() {
  touch "$work/go"
  feeders=()
  for name in eu us; do
    feed "$name" "$1" &
    feeders+=("$!")
  done
}
end_feed() {
  rm "$work/go"
  wait "${feeders[@]}"
}
start_feed 4
for round in 1 2 3; do
  before=$(on hq "SELECT coalesce(sum(n), 0) FROM flagscope.variant_rollup WHERE metric = 'errors'")
  poll_on hq "rows come before stop $round" 60 "SELECT sum(n) > $before FROM flagscope.variant_rollup WHERE metric = 'errors'" t
  "$TOOLS/cluster" stop test-hq --immediate
  stored=$(on eu "SELECT count(*) FROM flagscope.telemetry")
  poll_on eu "eu goes on taking rows meanwhile" 60 "SELECT count(*) > $stored FROM flagscope.telemetry" t
  is "and evaluating" "$(on us "SELECT flagscope.evaluate_boolean('checkout', 'u', false) IS NOT NULL")" t
  "$TOOLS/cluster" restart test-hq
done
end_feed
# What the nodes have stored, by PostgreSQL's own aggregates
stored() {
  { for name in eu us; do on "$name" "SELECT flags ->> 'checkout', count(*), count(*) FILTER (WHERE is_error), sum(value) FROM flagscope.telemetry GROUP BY 1"; done; } |
    awk -F'|' '{ n[$1] += $2; e[$1] += $3; s[$1] += $4 } END {
      printf "duration|off|%d\nduration|on|%d\nerrors|off|%d|%d\nerrors|on|%d|%d\nsize|off|%d|%.3f\nsize|on|%d|%.3f\n",
        n["off"], n["on"], n["off"], e["off"], n["on"], e["on"], n["off"], s["off"], n["on"], s["on"] }'
}
received="SELECT string_agg(concat_ws('|', metric, variant, n, CASE metric WHEN 'errors' THEN e::text WHEN 'size' THEN to_char(s, 'FM999999999990.000') END), E'\n' ORDER BY metric, variant)
  FROM (SELECT metric, variant, sum(n) AS n, sum(events) AS e, sum(flagscope.count(moments) * flagscope.mean(moments)) AS s
    FROM (SELECT metric, variant, n, events, moments FROM flagscope.variant_rollup UNION ALL SELECT metric, variant, n, events, moments FROM _flagscope.variant_delta) x GROUP BY 1, 2) y"
poll_on hq "what was stored during three stops is counted once" 90 "$received" "$(stored)"
for name in eu us; do
  is "the rollups of $name are what its rows say" "$(on "$name" "SELECT count(*) FROM flagscope.verify_rollup('-infinity')")" 0
done

# A synchronous standby of the deciding node, which has no address but its socket.
eval "${node[hq]}"
standby=$PGHOST/standby other=$((PGPORT + 1))
as_server "$SERVER_BIN/pg_basebackup" -D "$standby" -R -X stream -c fast -h "$PGHOST" -p "$PGPORT" -U postgres
server() { as_server "$SERVER_BIN/pg_ctl" "$1" -D "$standby" -l "$standby.log" -w -s "${@:2}" >/dev/null; }
leave() {
  rm -f "$work/go"
  server stop -m immediate 2>/dev/null || true
  end_of_test
}
trap leave EXIT
server start -o "-p $other -c listen_addresses= -c cluster_name=standby" </dev/null
on hq "ALTER SYSTEM SET synchronous_standby_names = 'standby'" && on hq "SELECT pg_reload_conf()" >/dev/null
poll_on hq "there is a synchronous standby" 30 "SELECT sync_state FROM pg_stat_replication WHERE application_name = 'standby'" sync
for name in eu us; do on hq "SELECT flagscope.add_node('$name', '$(connection "$name")')" >/dev/null; done
is "subscriptions wait for it from now on" "$(on hq "SELECT bool_and(subsynccommit = 'on') FROM pg_subscription")" t

start_feed 400
poll_on hq "the harm begins to be seen" 90 "SELECT max(log_e) > 1 FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id WHERE g.metric = 'errors'" t
"$TOOLS/cluster" stop test-hq --immediate
server promote
node[primary]="${node[hq]}
export PGPORT=$other"
poll_on primary "the promoted standby rolls back" 90 "SELECT string_agg(action::text, ' ') FROM flagscope.decision WHERE action <> 'warn'" "start rollback"
end_feed
poll_on primary "what was stored during the failover is counted once" 90 "$received" "$(stored)"
is "and decided once" "$(on primary "SELECT count(*) FILTER (WHERE action = 'rollback'), count(DISTINCT key) = count(*) FROM flagscope.decision")" "1|t"
# Before PostgreSQL 17 the slots of the configuration are not on the standby: one call on each side.
for name in eu us; do
  on primary "SELECT flagscope.add_node('$name', '$(connection "$name")')" >"$work/said"
  on "$name" "SELECT * FROM flagscope.join_cluster('$name', '$(connection primary)'$(sed -nE "s/.*\.\.\.(, configuration_slot[^)]*)\)$/\1/p" "$work/said"))" >/dev/null
  poll_on "$name" "$name follows the new deciding node" 60 "SELECT flagscope.evaluate_boolean('checkout', 'u', true)" f
  poll_on "$name" "and has its decisions" 30 "SELECT count(*) FROM flagscope.decision WHERE action = 'rollback'" 1
done
on primary "SELECT flagscope.create_flag('after')" >/dev/null
for name in eu us; do poll_on "$name" "what changes there comes to $name" 30 "SELECT flagscope.evaluate_boolean('after', 'u', true)" f; done
for name in eu us; do
  is "the rollups of $name are still what its rows say" "$(on "$name" "SELECT count(*) FROM flagscope.verify_rollup('-infinity')")" 0
done
# Slots of deltas are emptied two or three minutes after they were written.
for name in eu us; do
  poll_on "$name" "what $name has sent becomes part of its own rollups, and is forgotten" 300 "SELECT (SELECT count(*) FROM _flagscope.variant_delta) + (SELECT count(*) FROM _flagscope.kept_delta)" 0
  is "these have every row once" "$(on "$name" "SELECT (SELECT sum(n) FROM flagscope.variant_rollup WHERE metric = 'errors') = (SELECT count(*) FROM flagscope.telemetry), (SELECT count(*) FROM flagscope.verify_rollup('-infinity'))")" "t|0"
done
