#!/usr/bin/env bash
# Real clients: OpenFeature's providers for Python by OFREP, flagd's RPC and in-process, OpenTelemetry's exporters by HTTP and
# gRPC. Five ways, one answer: SQL beside all of them, for the cases of flagd's own test bed.
. "$(dirname "$0")/gateway.bash"
here=$ROOT/tests/gateway
venv=$TOOLS_HOME/gateway-$(cksum <"$here/requirements.txt" | cut -d' ' -f1)
if [ ! -e "$venv/.complete" ]; then
  if ! { python3 -m venv --clear "$venv" && timeout 300 "$venv/bin/pip" install --quiet --disable-pip-version-check \
    --retries 1 -r "$here/requirements.txt" && touch "$venv/.complete"; } >/dev/null 2>&1; then
    say "skipped: the packages of tests/gateway cannot be installed by pip (no python3, or no network)"
    exit 0
  fi
fi
fresh_cluster test-gateway --set flagscope.enabled=off
sql "CREATE EXTENSION flagscope; CREATE ROLE gate LOGIN"
sql "SELECT flagscope.grant_writer('gate')" >/dev/null
cases=$ROOT/tests/data/flagd-cases
# In flagd's third bucketing, which is the one that the provider for Python has.
psql -XAtq -v ON_ERROR_STOP=1 -v folder="$cases" <<'SQL' >/dev/null
\setenv FOLDER :folder
\set set `cat "$FOLDER/flagsets.json"`
SET flagscope.bucketing = 'v3';
SELECT count(*) FROM flagscope.import_flagd(:'set'::jsonb -> 'testkit');
SQL
serve one
run() { PYTHONDONTWRITEBYTECODE=1 OTLP_HTTP=${otlp#http://} OTLP_GRPC=$grpc OFREP=${ofrep#http://} FLAGD_RPC=$rpc FLAGD_SYNC=$sync "$venv/bin/python" "$here/clients.py" "$@"; }

psql -XAtq -v ON_ERROR_STOP=1 -v folder="$cases" >"$work/cases" <<'SQL'
\setenv FOLDER :folder
\set cases `cat "$FOLDER/cases.json"`
SELECT jsonb_build_object('flag', c.flag, 'type', c.type, 'default', c.preset, 'context', c.context, 'value', CASE c.type
        WHEN 'boolean' THEN to_jsonb(flagscope.evaluate_boolean(c.flag, NULL, c.preset::boolean, c.context))
        WHEN 'string' THEN to_jsonb(flagscope.evaluate_string(c.flag, NULL, c.preset #>> '{}', c.context))
        WHEN 'integer' THEN to_jsonb(flagscope.evaluate_integer(c.flag, NULL, c.preset::bigint, c.context))
        WHEN 'float' THEN to_jsonb(flagscope.evaluate_number(c.flag, NULL, c.preset::float8, c.context))
        ELSE flagscope.evaluate_object(c.flag, NULL, c.preset, c.context) END,
    'variant', e.variant, 'reason', e.reason, 'error', e.error_code)
FROM (SELECT DISTINCT c ->> 'flag_key' AS flag, c ->> 'type' AS type, c -> 'default' AS preset, c -> 'context' AS context
      FROM jsonb_array_elements(:'cases') c WHERE c ->> 'flagset' = 'testkit') c
    JOIN flagscope.flag_definition f ON f.key = c.flag
    -- A client that asks for another type gets TYPE_MISMATCH, which evaluate() without a type does not say.
        AND f.value_type = CASE c.type WHEN 'float' THEN 'number' ELSE c.type END::flagscope.value_type,
    LATERAL flagscope.evaluate(c.flag, NULL, c.context) e
ORDER BY 1;
SQL
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
