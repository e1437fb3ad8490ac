# shellcheck shell=bash
# A cluster for the tests in this folder: a deciding node, hq, and two ingest nodes, eu and us, each a server of its own.
. "$(dirname "${BASH_SOURCE[0]}")/../../tools/testlib.sh"
declare -A node

start_nodes() { # start_nodes [--set guc=value ...]
  local name
  for name in hq eu us; do
    fresh_cluster "test-$name" --set wal_level=logical --set max_replication_slots=40 --set max_wal_senders=40 \
      --set max_logical_replication_workers=20 --set max_worker_processes=40 --set max_sync_workers_per_subscription=8 \
      --set wal_retrieve_retry_interval=100ms "$@"
    node[$name]=$("$TOOLS/cluster" env "test-$name")
    on "$name" 'CREATE EXTENSION flagscope; CREATE EXTENSION postgres_fdw'
  done
}
# on NODE 'sql': its result, as sql()
on() { (eval "${node[$1]}" && sql "$2" 2>/dev/null); }
# connection NODE: to it, by its socket, which needs no password
connection() { (eval "${node[$1]}" && printf 'host=%s port=%s dbname=%s user=%s' "$PGHOST" "$PGPORT" "$PGDATABASE" "$PGUSER"); }
# poll_on NODE ...: as poll()
poll_on() {
  eval "${node[$1]}"
  poll "${@:2}"
}
fails_on() { # NODE ...: as fails_with()
  eval "${node[$1]}"
  fails_with "${@:2}"
}
join_nodes() {
  local name
  on hq "SELECT flagscope.create_cluster('hq')" >/dev/null
  for name in eu us; do
    on "$name" "SELECT flagscope.join_cluster('$name', '$(connection hq)')" >/dev/null
    on hq "SELECT flagscope.add_node('$name', '$(connection "$name")')" >/dev/null
  done
  poll_on hq "both ingest nodes are heard, and what they count arrives without a gap" 60 \
    "SELECT count(*) FROM flagscope.health WHERE name LIKE 'node %' AND state = 'ok'" 2
}
# A rollout with a metric of each form of state: a histogram, moments, counts.
start_rollout() {
  on hq "SELECT flagscope.create_flag('checkout'),
    flagscope.create_metric('errors', 'proportion', 'span', '{\"name\": \"pay\"}', '{\"is_error\": true}'),
    flagscope.create_metric('duration', 'quantile', 'span', '{\"name\": \"pay\"}'),
    flagscope.create_metric('size', 'mean', 'span', '{\"name\": \"pay\"}', cap => 1000),
    flagscope.create_guardrail('checkout', 'errors'), flagscope.create_guardrail('checkout', 'duration', action => 'warn'),
    flagscope.create_guardrail('checkout', 'size', action => 'warn')" >/dev/null
  on hq "SELECT flagscope.start_rollout(flagscope.create_rollout('checkout', stages => '{50, 100}', min_duration => '1 hour'))" >/dev/null
  for name in eu us; do poll_on "$name" "the rollout is known on $name" 30 "SELECT count(*) FROM _flagscope.watch" 3; done
}
# rows N SHARE: N rows of telemetry as a COPY; SHARE of the treatment's in a thousand are errors, 2 of the control's
rows() {
  awk -v n="$1" -v share="$2" -v now="$(date -u '+%F %T.%6N+00')" 'BEGIN {
    for (i = 0; i < n; i++) printf "%s\tspan\tpay\t0.%d\t%s\t{\"checkout\": \"%s\"}\n", now,
      100 + i % 97, (i % 1000 < (i % 2 ? share : 4) ? "t" : "f"), (i % 2 ? "on" : "off") }'
}
copy_on() { # NODE N SHARE
  (eval "${node[$1]}" && rows "$2" "$3" | psql -XAtq -v ON_ERROR_STOP=1 -c "COPY flagscope.telemetry (ts, signal, name, value, is_error, flags) FROM stdin")
}
counted='SELECT metric, variant, sum(n), sum(events), round(sum(flagscope.sum(moments))::numeric, 3)
  FROM (SELECT metric, variant, n, events, moments FROM flagscope.variant_rollup UNION ALL SELECT metric, variant, n, events, moments FROM _flagscope.variant_delta) x
  GROUP BY 1, 2 ORDER BY 1, 2'
