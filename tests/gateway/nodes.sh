#!/usr/bin/env bash
# Telemetry to several databases: a trace is whole on one of them; one that takes no connections is gone round and comes back,
# each row is stored once, and metrics tell. The nodes are two databases of one cluster: flags come from a third.
. "$(dirname "$0")/gateway.bash"
command -v curl >/dev/null || { say "skipped: there is no curl" && exit 0; }
fresh_cluster test-gateway --set flagscope.enabled=off
sql "CREATE EXTENSION flagscope; CREATE ROLE gate LOGIN"
sql "SELECT flagscope.grant_writer('gate')" >/dev/null
on() { PGDATABASE=$1 sql "$2"; }
for node in one two; do
  sql "CREATE DATABASE $node"
  on "$node" "CREATE EXTENSION flagscope"
  on "$node" "SELECT flagscope.grant_writer('gate')" >/dev/null
done
sql "CREATE DATABASE bare"
nodes=$(PGDATABASE=one url gate),$(PGDATABASE=two url gate)

# What is wrong with the list is said before anything is served.
refused() { "$gateway" --listen.ofrep 127.0.0.1:0 --listen.admin 127.0.0.1:0 --database.url "$(url gate)" --database.nodes "$1" 2>&1 | sed -E 's/.*flagscope-gateway: //' || true; }
is "a node is listed once" "$(refused "$nodes,$(PGDATABASE=one url other)")" "database.nodes: $PGHOST:$PGPORT/one is there twice; a node is listed once"
is "no URL is empty" "$(refused ",$nodes")" "--database.nodes: one of the URLs is empty"
is "each is a URL, and no password is shown" "$(refused "$nodes,postgresql://gate:secret@h:port/x" | sed -E 's/(PostgreSQL: ).*/\1.../')" \
  "database.nodes: postgresql://gate@h:port/x: not a URL of PostgreSQL: ..."
is "a database without flagscope is no node" "$(refused "$nodes,$(PGDATABASE=bare url gate)" | grep -oE 'database.nodes: .*has no extension flagscope')" \
  "database.nodes: $PGHOST:$PGPORT/bare: database \"bare\" has no extension flagscope"

serve one --database.nodes "$nodes"
metric() { counted "node_$1\\{node=\"${PGHOST//\//\\/}:$PGPORT\\/$2\"\\}"; }
until_is "node one is up" 20 1 metric up one
until_is "node two is up" 20 1 metric up two

# send KIND NAME TRACE...: for each trace a request with two rows of it, in one request with all others; the status.
span() { printf '{"traceId":"%032x","name":"%s","startTimeUnixNano":"%s","endTimeUnixNano":"%s"}' "$2" "$1" "$now" "$now"; }
spans() { local name=$1 trace all=; shift; for trace; do all+=,$(span "$name" "$trace"); done; say "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[${all#,}]}]}]}"; }
logs() { local trace all=; for trace; do all+=$(printf ',{"traceId":"%032x","timeUnixNano":"%s","body":{"stringValue":"x"}}' "$trace" "$now"); done; say "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[${all#,}]}]}]}"; }
total() { printf '{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"%s"}}]},"scopeMetrics":[{"metrics":[{"name":"total","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{"startTimeUnixNano":"%s","timeUnixNano":"%s","asInt":"%s"}]}}]}]}]}' "$1" "$now" "$((now + $2))" "$2"; }
send() { status -H 'Content-Type: application/json' --data-binary @- "$otlp/v1/$1"; }
now=$(date +%s)000000000
stored() { say "$(($(on one "SELECT count(*) FROM flagscope.telemetry WHERE $1") + $(on two "SELECT count(*) FROM flagscope.telemetry WHERE $1")))"; }
traces() { on "$1" "SELECT DISTINCT trace_id FROM flagscope.telemetry WHERE trace_id IS NOT NULL ORDER BY 1"; }
both() { comm -12 <(traces one) <(traces two) | wc -l; }

is "spans of 200 traces in one request are stored" "$(spans up $(seq 1001 1200) | send traces)" 200
is "and so are their logs, in another one" "$(logs $(seq 1001 1200) | send logs)" 200
is "every row once" "$(stored "name = 'up'") $(stored "signal = 'log'")" "200 200"
is "each trace is whole, on one node" "$(both)" 0
# Of 200 fair coins 60 to 140 fall on one side but in 1 of 10^8 runs; these ids are always the same.
is "both nodes have their share" "$(on one "SELECT count(DISTINCT trace_id) BETWEEN 60 AND 140 FROM flagscope.telemetry")" t
is "database.url has none of them" "$(sql "SELECT count(*) FROM flagscope.telemetry")" 0
is "metrics tell how many rows each has" "$(metric rows_total one) $(metric rows_total two)" \
  "$(on one "SELECT count(*) FROM flagscope.telemetry") $(on two "SELECT count(*) FROM flagscope.telemetry")"
for service in a b c d e f; do total "$service" 5 | send metrics >/dev/null; done
home=$(on two "SELECT min(service) FROM flagscope.telemetry WHERE name = 'total'")
is "some process is at home on node two" "$([ -n "$home" ] && say yes)" yes

# Node two takes no connections while requests come.
sender() {
  local i=0
  until [ -e "$work/enough" ] || [ "$i" = 3000 ]; do
    i=$((i + 1))
    if [ "$(spans round $((100000 + i)) $((200000 + i)) $((300000 + i)) | send traces)" = 200 ]; then printf '%032x\n' $((100000 + i)) $((200000 + i)) $((300000 + i)) >>"$work/acknowledged"; else say "$i" >>"$work/refused"; fi
  done
}
touch "$work/acknowledged" "$work/refused"
more() { [ "$(wc -l <"$work/acknowledged")" -lt "$1" ] || say enough; }
sender &
sender=$!
until_is "requests are stored" 30 enough more 30
sql "ALTER DATABASE two ALLOW_CONNECTIONS false"
sql "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = 'two'" >/dev/null
until_is "a node that is away is told" 20 0 metric up two
n=$(wc -l <"$work/acknowledged")
until_is "requests are stored without it" 30 enough more $((n + 60))
is "what is counted from a start is not gone round with: 503" "$(total "$home" 7 | send metrics)" 503
sql "ALTER DATABASE two ALLOW_CONNECTIONS true"
until_is "it comes back" 30 1 metric up two
n=$(wc -l <"$work/acknowledged")
until_is "and requests are stored" 30 enough more $((n + 30))
touch "$work/enough"
wait "$sender"
is "no request was refused" "$(wc -l <"$work/refused")" 0
is "every acknowledged row is stored once" "$(stored "name = 'round'")" "$(wc -l <"$work/acknowledged")"
is "on one node" "$({ traces one && traces two; } | sort | uniq -d | wc -l)" 0
is "and no other one" "$({ traces one && traces two; } | tr -d - | grep -cxFf "$work/acknowledged")" "$(wc -l <"$work/acknowledged")"
is "rows gone round are those that node one has instead" "$([ "$(metric round_total two)" -ge 10 ] && say "$(metric round_total one)")" 0
is "metrics count every row" "$(($(metric rows_total one) + $(metric rows_total two)))" "$(stored true)"
is "the point goes to where the one before it is" "$(total "$home" 9 | send metrics) $(on two "SELECT sum(value) FROM flagscope.telemetry WHERE name = 'total' AND service = '$home'") \
$(on one "SELECT count(*) FROM flagscope.telemetry WHERE service = '$home'")" "200 9 0"

# By subject: all rows of one, in whatever traces.
serve subject --database.nodes "$nodes" --database.nodes_by subject
until_is "the nodes of another gateway are up" 20 "1 1" eval 'say "$(metric up one) $(metric up two)"'
log_of() { printf '{"traceId":"%032x","timeUnixNano":"%s","severityNumber":9,"attributes":[{"key":"user.id","value":{"stringValue":"%s"}}]},{"traceId":"%032x","timeUnixNano":"%s","severityNumber":9}' "$2" "$now" "$1" "$2" "$now"; }
for subject in ann bob cy; do
  all=
  for trace in $(seq 1 20); do all+=,$(log_of "$subject" $((trace * 1000000 + $(printf %d "'$subject")))); done
  is "20 traces of $subject are stored" "$(say "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[${all#,}]}]}]}" | send logs)" 200
done
is "a subject is on one node, with the rest of its traces" "$(both) $(for node in one two; do on "$node" "SELECT DISTINCT subject FROM flagscope.telemetry WHERE subject IS NOT NULL"; done | sort | paste -sd,)" "0 ann,bob,cy"
is "every row once" "$(stored "severity = 9")" 120
