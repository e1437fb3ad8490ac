#!/usr/bin/env bash
# A standby takes over while clients send: the gateway knows both servers, finds the one that takes writes, and nothing that it
# has acknowledged is lost. The standby is synchronous: otherwise PostgreSQL itself may lose what it has acknowledged.
. "$(dirname "$0")/gateway.bash"
use_postgres
command -v curl >/dev/null || { say "skipped: there is no curl" && exit 0; }
fresh_cluster test-gateway --set flagscope.enabled=off
sql "CREATE EXTENSION flagscope; CREATE ROLE gate LOGIN"
sql "SELECT flagscope.grant_writer('gate'), flagscope.create_flag('checkout', '{\"new\": \"/pay\", \"old\": \"/cart\"}', 'old', 'string')" >/dev/null

# The standby lives in the cluster's folder and has no address but its socket there.
standby=$PGHOST/standby other=$((PGPORT + 1))
as_server "$SERVER_BIN/pg_basebackup" -D "$standby" -R -X stream -c fast -h "$PGHOST" -p "$PGPORT" -U postgres
server() { as_server "$SERVER_BIN/pg_ctl" "$1" -D "$standby" -l "$standby.log" -w -s "${@:2}" >/dev/null; }
leave() {
  server stop -m immediate 2>/dev/null || true
  clean_up
}
trap leave EXIT
server start -o "-p $other -c listen_addresses= -c cluster_name=standby" </dev/null
sql "ALTER SYSTEM SET synchronous_standby_names = 'standby'" && sql "SELECT pg_reload_conf()" >/dev/null
poll "there is a synchronous standby" 20 "SELECT sync_state FROM pg_stat_replication" sync
there() { PGPORT=$other sql "$1"; }

host=${PGHOST//\//%2F}
serve one --database.url "postgresql://gate@$host:$other,$host:$PGPORT/postgres?target_session_attrs=read-write"
send() { # send TRACE: the status
  curl -sS -o /dev/null -w '%{http_code}' -H 'Content-Type: application/json' "$otlp/v1/traces" --data-binary \
    '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"'"$1"'","name":"over","startTimeUnixNano":"'"$(date +%s)"'000000000"}]}]}]}'
}
client() {
  local i=0 id
  until [ -e "$work/enough" ] || [ "$i" = 5000 ]; do
    i=$((i + 1)) id=$(printf %032x $(($1 * 10000 + i)))
    if [ "$(send "$id" 2>/dev/null)" = 200 ]; then say "$id" >>"$work/acknowledged.$1"; else sleep 0.05; fi
  done
}
acknowledged() { cat "$work"/acknowledged.* 2>/dev/null | wc -l; }
more() { [ "$(acknowledged)" -lt "$1" ] || say enough; }
value() { curl -sS -X POST "$ofrep/ofrep/v1/evaluate/flags/checkout" | grep -oE '"value":"[^"]*"'; }
clients=()
for n in 1 2 3; do
  client "$n" &
  clients+=("$!")
done
until_is "the one that takes writes is found, and stores" 30 enough more 20
is "flags are its flags" "$(value)" '"value":"/cart"'
"$TOOLS/cluster" crash test-gateway
is "the standby has nothing to write yet" "$(there 'SELECT pg_is_in_recovery()')" t
told() { send 00000000000000000000000000000bad 2>/dev/null || true; }
until_is "which is no place for telemetry: 503" 20 503 told
is "flags go on from memory" "$(value)" '"value":"/cart"'
server promote
n=$(acknowledged)
until_is "promoted, it is found and stores" 60 enough more $((n + 20))
there "SELECT flagscope.set_default_variant('checkout', 'new')" >/dev/null
until_is "and its flags are followed" 30 '"value":"/pay"' value
touch "$work/enough"
wait "${clients[@]}"
there "CREATE TABLE acknowledged (id uuid)"
cat "$work"/acknowledged.* | PGPORT=$other psql -XAtq -c "COPY acknowledged FROM STDIN"
is "nothing that was acknowledged is lost" "$(there "SELECT count(*) FROM acknowledged a WHERE NOT EXISTS (SELECT FROM flagscope.telemetry t WHERE t.trace_id = a.id)")" 0
