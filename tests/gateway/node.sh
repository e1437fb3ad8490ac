#!/usr/bin/env bash
# Real clients in Node: OpenFeature's providers by OFREP, flagd's RPC and in-process beside SQL, for the cases of flagd's own test
# bed; OpenTelemetry's exporters, which send JSON where Python's send protobuf.
. "$(dirname "$0")/gateway.bash"
here=$ROOT/tests/gateway/node
node_packages "$here" || { say "skipped: the packages of tests/gateway/node cannot be installed by npm (no Node from version 20 on, or no network)" && exit 0; }
cp "$here/clients.mjs" "$modules" # beside what it imports
fresh_cluster test-gateway --set flagscope.enabled=off
sql "CREATE EXTENSION flagscope; CREATE ROLE gate LOGIN"
sql "SELECT flagscope.grant_writer('gate')" >/dev/null
serve one
run() { OTLP_HTTP=${otlp#http://} OTLP_GRPC=$grpc OFREP=${ofrep#http://} FLAGD_RPC=$rpc FLAGD_SYNC=$sync node "$modules/clients.mjs" "$@"; }

cases_of_flagd v2 >"$work/cases" # the bucketing of npm's flagd-core 4.0.1
is "there are cases" "$([ "$(wc -l <"$work/cases")" -gt 60 ] && say many)" many
until_is "the flags are there" 10 200 status --data '{}' "$ofrep/ofrep/v1/evaluate/flags/boolean-flag"
run answers <"$work/cases" >"$work/answers" 2>&1 || true
is "SQL, OFREP, flagd's RPC and in-process answer the same in Node" "$(cat "$work/answers")" "$(($(wc -l <"$work/cases") * 3)) compared"
run send >"$work/sent" 2>&1 || true
is "Node's exporters send without a word" "$(cat "$work/sent")" ""
is "spans, logs and metrics came by JSON and protobuf, plain and packed, and by gRPC" \
  "$(sql "SELECT service, string_agg(signal || ' ' || name || coalesce(' ' || value, ''), ', ' ORDER BY signal::text) FROM
    (SELECT service, signal, name, CASE WHEN signal = 'metric' THEN value END AS value FROM flagscope.telemetry) t GROUP BY 1 ORDER BY 1")" \
  "grpc|span checkout
$(for way in 'json gzip' 'json none' 'protobuf gzip' 'protobuf none'; do say "$way|log shop, metric orders 3, span checkout"; done)"
is "the span knows its flag" "$(sql "SELECT DISTINCT flags FROM flagscope.telemetry WHERE signal = 'span' AND service <> 'grpc'")" '{"checkout": "new"}'
