#!/usr/bin/env bash
# Real clients: OpenFeature's providers for Python by OFREP, flagd's RPC and in-process, OpenTelemetry's exporters by HTTP and
# gRPC. Five ways, one answer: SQL beside all of them, for the cases of flagd's own test bed.
. "$(dirname "$0")/gateway.bash"
here=$ROOT/tests/gateway
python_clients || { say "skipped: the packages of tests/gateway cannot be installed by pip (no python3, or no network)" && exit 0; }
fresh_cluster test-gateway --set flagscope.enabled=off
sql "CREATE EXTENSION flagscope; CREATE ROLE gate LOGIN"
sql "SELECT flagscope.grant_writer('gate')" >/dev/null
serve one
run() { PYTHONDONTWRITEBYTECODE=1 OTLP_HTTP=${otlp#http://} OTLP_GRPC=$grpc OFREP=${ofrep#http://} FLAGD_RPC=$rpc FLAGD_SYNC=$sync "$venv/bin/python" "$here/clients.py" "$@"; }

cases_of_flagd v3 >"$work/cases" # the bucketing of the provider for Python
is "there are cases" "$([ "$(wc -l <"$work/cases")" -gt 60 ] && say many)" many
run answers <"$work/cases" >"$work/answers" 2>&1 || true
is "SQL, OFREP, flagd's RPC v1 and v2, and in-process answer the same" "$(cat "$work/answers")" "$(($(wc -l <"$work/cases") * 4)) compared"

mkfifo "$work/input"
run follow <"$work/input" >"$work/changes" 2>&1 &
pids+=("$!")
exec 3>"$work/input"
until_is "the providers are ready" 40 ready grep -x ready "$work/changes"
# A provider that has just become ready may miss a change: it is changed to and fro until both have told of one.
told() {
  sql "SELECT CASE WHEN enabled THEN flagscope.disable_flag(flag) ELSE flagscope.enable_flag(flag) END
    FROM flagscope.flag_state WHERE flag = 'boolean-flag' AND environment = 'production'" >/dev/null
  sleep 0.2
  grep -E '^[a-z-]+ (.* )?boolean-flag( |$)' "$work/changes" | cut -d' ' -f1 | sort -u | paste -sd' '
}
until_is "a change reaches RPC and in-process" 30 "in-process rpc" told
exec 3>&-

run send >"$work/sent" 2>&1 || true
is "the exporters send without a word" "$(cat "$work/sent")" ""
is "spans, logs and metrics came by HTTP and gRPC, plain and packed" \
  "$(sql "SELECT service, string_agg(signal || ' ' || name || coalesce(' ' || value, ''), ', ' ORDER BY signal::text) FROM
    (SELECT service, signal, name, CASE WHEN signal = 'metric' THEN value END AS value FROM flagscope.telemetry) t GROUP BY 1 ORDER BY 1")" \
  "$(for way in grpc 'grpc gzip' http 'http gzip'; do say "$way|log shop, metric orders 3, span checkout"; done)"
is "the span knows its flag" "$(sql "SELECT DISTINCT flags FROM flagscope.telemetry WHERE signal = 'span'")" '{"checkout": "new"}'
