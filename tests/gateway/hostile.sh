#!/usr/bin/env bash
# Clients that mean harm, or know no better: memory stays bounded, the others are served, nothing ends the gateway.
. "$(dirname "$0")/gateway.bash"
command -v python3 >/dev/null || { say "skipped: there is no python3" && exit 0; }
ulimit -n 20000 2>/dev/null || ulimit -n "$(ulimit -Hn)"
streams=2000
[ "$(ulimit -n)" -gt 5000 ] || streams=300
fresh_cluster test-gateway --set flagscope.enabled=off
sql "CREATE EXTENSION flagscope; CREATE ROLE gate LOGIN; SELECT flagscope.grant_writer('gate'), flagscope.create_flag('shop')" >/dev/null
serve one --http.idle_timeout 2s --flags.streams "$streams"
until_is "senders are connected" 20 200 status -H 'Content-Type: application/json' --data '{}' "$otlp/v1/traces"
attack() { OTLP=${otlp#http://} OFREP=${ofrep#http://} STREAMS=$streams python3 "$ROOT/tests/gateway/hostile.py" "$@"; }

is "100,000 levels of AnyValue, as protobuf and as JSON, cost their request" "$(attack deep)" "protobuf answered, json 400"
is "a text that is not UTF-8 is stored with U+FFFD" "$(attack text) $(sql "SELECT name FROM flagscope.telemetry WHERE name ~ '^bad'")" "200 bad $(printf '\xef\xbf\xbd') end"
is "random bytes are answered, each" "$(attack noise)" "300 answered"
is "500 clients that send a byte a second are closed, and others are served meanwhile" "$(attack slow)" "500 closed, served"
attack streams >"$work/streams" &
pids+=("$!")
until_is "$streams event streams are open" 60 open tail -n 1 "$work/streams"
is "one more is told to come later" "$(status "$ofrep/ofrep/v1/events")" 429
sql "SELECT flagscope.enable_flag('shop'), flagscope.set_default_variant('shop', 'on')" >/dev/null
until_is "a change reaches all of them" 60 told tail -n 1 "$work/streams"
is "in less than 100 MB" "$(awk '/VmHWM/ { print ($2 < 100000) ? "less" : $2 }' "/proc/$pid/status")" less
is "it is alive" "$(status "$admin/readyz")" 200
is "and has not panicked" "$(grep -c panicked "$work/one.log" || true)" 0
