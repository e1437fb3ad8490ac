#!/usr/bin/env bash
# Flags out: what the gateway answers, what reaches it, and what it does while the database is away.
. "$(dirname "$0")/gateway.bash"
command -v curl >/dev/null || { say "skipped: there is no curl" && exit 0; }
fresh_cluster test-gateway --set flagscope.enabled=off

sql "CREATE EXTENSION flagscope; CREATE ROLE gate LOGIN"
sql "SELECT flagscope.grant_writer('gate')" >/dev/null
sql "SELECT flagscope.create_flag('checkout', '{\"old\": \"/cart\", \"new\": \"/pay\"}', 'old', 'string', metadata => '{\"team\": \"shop\"}');
  SELECT flagscope.create_flag('a/b ü'); SELECT flagscope.create_flag('off', enabled => false);
  SELECT flagscope.set_targeting('checkout', '{\"if\": [{\"==\": [{\"var\": \"plan\"}, \"pro\"]}, \"new\", null]}')" >/dev/null
serve one --flags.snapshot "$work/flags.json"
is "it is alive" "$(status "$admin/healthz")" 200
is "it is ready" "$(curl -sS "$admin/readyz" | tr -d ' ')" '{"database":true,"draining":false,"flags":true}'

# One flag.
pro='{"context":{"targetingKey":"u","plan":"pro"}}'
is "a rule decides" "$(post /ofrep/v1/evaluate/flags/checkout "$pro")" \
  '{"key":"checkout","value":"/pay","reason":"TARGETING_MATCH","variant":"new","metadata":{"team":"shop"}}'
is "the default variant without a context" "$(post /ofrep/v1/evaluate/flags/checkout)" \
  '{"key":"checkout","value":"/cart","reason":"DEFAULT","variant":"old","metadata":{"team":"shop"}}'
is "a disabled flag has no value" "$(post /ofrep/v1/evaluate/flags/off)" '{"key":"off","reason":"DISABLED","metadata":{}}'
is "a key may hold anything" "$(post /ofrep/v1/evaluate/flags/a%2Fb%20%C3%BC)" \
  '{"key":"a/b ü","value":false,"reason":"STATIC","variant":"off","metadata":{}}'
is "no such flag" "$(post /ofrep/v1/evaluate/flags/none)" \
  '{"key":"none","errorCode":"FLAG_NOT_FOUND","errorDetails":"flag \"none\" does not exist"}'
while IFS='|' read -r text want arguments; do
  eval "is \"\$text\" \"\$(status $arguments)\" $want"
done <<'CASES'
no such flag is 404|404|-X POST "$ofrep/ofrep/v1/evaluate/flags/none"
a body that is not JSON is 400|400|--data "{" "$ofrep/ofrep/v1/evaluate/flags/checkout"
a context that is a list is 400|400|--data "[]" "$ofrep/ofrep/v1/evaluate/flags"
a body that is not UTF-8 is 400|400|--data-binary $'\xff' "$ofrep/ofrep/v1/evaluate/flags"
a key that is not UTF-8 is 400|400|-X POST "$ofrep/ofrep/v1/evaluate/flags/%ff"
GET is no way to evaluate|405|"$ofrep/ofrep/v1/evaluate/flags"
POST is no way to listen|405|-X POST "$ofrep/ofrep/v1/events"
another path is 404|404|"$ofrep/ofrep/v2/x"
health is not on the socket of flags|404|"$ofrep/healthz"
CASES
head -c 1100000 /dev/zero | tr '\0' ' ' >"$work/long"
is "a body of more than 1 MiB is refused" "$(status --data-binary "@$work/long" "$ofrep/ofrep/v1/evaluate/flags")" 413
head -c 100000 /dev/zero | tr '\0' '[' >"$work/deep"
is "a body of 100,000 levels is refused" "$(status --data-binary "@$work/deep" "$ofrep/ofrep/v1/evaluate/flags")" 400

# All flags, as SQL answers.
post /ofrep/v1/evaluate/flags "$pro" >"$work/all"
is "all flags are as in SQL" "$(psql -XAtq -v ON_ERROR_STOP=1 -v all="$(cat "$work/all")" -v body="$pro" <<<"SELECT :'all'::jsonb -> 'flags' = flagscope.ofrep_evaluate_all(:'body'::jsonb) -> 'flags'")" t
is "and say where to hear of changes" "$(grep -o '"eventStreams":.*' "$work/all")" \
  '"eventStreams":[{"endpoint":{"requestUri":"/ofrep/v1/events"},"type":"sse"}],"metadata":{"version":"'"$(grep -oE '"version":"[^"]+' "$work/all" | cut -d'"' -f4)"'"}}'
etag() { curl -sS -o /dev/null -D - --data "$1" "$ofrep/ofrep/v1/evaluate/flags" | tr -d '\r' | sed -nE 's/^etag: //pi'; }
tag=$(etag "$pro")
bulk=$ofrep/ofrep/v1/evaluate/flags
is "what a client has already is 304" "$(status --data "$pro" -H "If-None-Match: $tag" "$bulk")" 304
is "also among others, and weak" "$(status --data "$pro" -H "If-None-Match: \"x\", W/$tag" "$bulk")" 304
is "but not for another context" "$(status --data '{"context":{"targetingKey":"v"}}' -H "If-None-Match: $tag" "$bulk")" 200
is "nor for one who knows of another set" "$(status --data "$pro" -H "If-None-Match: $tag" "$bulk?flagConfigEtag=0-x")" 200

# A change reaches streams, answers and tags.
curl -sSN "$ofrep/ofrep/v1/events" >"$work/events" &
pids+=("$!")
events() { grep -c '^data: {"etag":"[0-9]*-[0-9a-f]*","lastModified":[0-9]*,"type":"refetchEvaluation"}$' "$work/events"; }
until_is "a stream begins with an event" 5 1 events
sql "SELECT flagscope.set_default_variant('checkout', 'new')" >/dev/null
until_is "a change is an event" 5 2 events
value() { post /ofrep/v1/evaluate/flags/checkout | grep -oE '"value":"[^"]*"'; }
until_is "and an answer" 5 '"value":"/pay"' value
is "and another tag" "$(status --data "$pro" -H "If-None-Match: $tag" "$bulk")" 200
keys() { post /ofrep/v1/evaluate/flags | grep -oE '"key":"[^"]*"' | paste -sd' '; }
sql "DELETE FROM flagscope.flag_definition WHERE key = 'a/b ü'; SELECT flagscope.archive_flag('off')" >/dev/null
until_is "a deleted flag and an archived one are gone" 5 '"key":"checkout"' keys
sql "SELECT flagscope.set_targeting('checkout', '{\"if\": [{\">\": [{\"var\": \"\$flagd.timestamp\"}, 0]}, \"new\", \"old\"]}')" >/dev/null
until_is "a rule may read the time" 5 '"reason":"TARGETING_MATCH"' eval 'post /ofrep/v1/evaluate/flags/checkout | grep -oE "\"reason\":\"[^\"]*\""'
tag=$(etag "$pro")
is "and the tag is then of the answer" "$(status --data "$pro" -H "If-None-Match: $tag" "$bulk")" 304

# The database goes away and comes back.
"$TOOLS/cluster" crash test-gateway
until_is "the database's end is seen" 10 'flagscope_gateway_database_up 0' eval 'curl -sS "$admin/metrics" | grep ^flagscope_gateway_database_up'
is "flags go on from memory" "$(value)" '"value":"/pay"'
is "and it stays ready" "$(status "$admin/readyz")" 200
first=$ofrep
serve two --flags.snapshot "$work/flags.json"
is "a gateway that starts then has the snapshot's flags" "$(value)" '"value":"/pay"'
is "which is for its owner alone" "$(stat -c %a "$work/flags.json")" 600
serve three
is "without a snapshot it is not ready" "$(status "$admin/readyz")" 503
is "and says so to clients" "$(post /ofrep/v1/evaluate/flags '' -w ' %{http_code} %header{retry-after}')" '{"errorDetails":"the flags are not loaded yet"} 503 1'
"$TOOLS/cluster" start test-gateway --set flagscope.enabled=off
sql "SELECT flagscope.set_targeting('checkout', NULL), flagscope.set_default_variant('checkout', 'old')" >/dev/null
until_is "it is ready when the database is there" 20 200 status "$admin/readyz"
until_is "with the flags of now" 20 '"value":"/cart"' value
ofrep=$first
until_is "the first follows again, too" 20 '"value":"/cart"' value
sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'flagscope-gateway'" >/dev/null
sql "SELECT flagscope.set_default_variant('checkout', 'new')" >/dev/null
until_is "a change while its connection was killed is found" 20 '"value":"/pay"' value

# Two replicas: notified by one, a client asks the other, which has not heard yet.
serve deaf --database.listen_url off --flags.poll 1h
is "a gateway without notifications has what it began with" "$(value)" '"value":"/pay"'
sql "SELECT flagscope.set_default_variant('checkout', 'old')" >/dev/null
sleep 0.3 # nothing tells it
is "and does not hear of a change" "$(value)" '"value":"/pay"'
version=$(sql "SELECT version FROM flagscope.flag_set()")
is "but gets it for a client that knows of it" "$(post "/ofrep/v1/evaluate/flags?flagConfigEtag=$version-0" | grep -oE '"value":"[^"]*"')" '"value":"/cart"'
serve poller --database.listen_url off --flags.poll 200ms
sql "DELETE FROM flagscope.flag_definition" >/dev/null
until_is "polling alone finds a deleted flag" 5 '' keys

# Exposures: of a flag that is rolled out, to whom is asked for by name, once.
sql "SELECT flagscope.create_flag('ramp'), flagscope.create_flag('plain')" >/dev/null
sql "SELECT flagscope.start_rollout(flagscope.create_rollout('ramp', stages => '{50, 100}'), override => true, reason => 'release', actor => 'ann')" >/dev/null
serve exposing --exposures rollouts
ask() { post "/ofrep/v1/evaluate/flags/$1" "{\"context\":{\"targetingKey\":\"$2\"}}" >/dev/null; }
until_is "senders are connected" 10 200 status -H 'Content-Type: application/json' --data '{}' "$otlp/v1/logs"
for user in u1 u2 u3 u1; do ask ramp "$user"; done
ask plain u4
post /ofrep/v1/evaluate/flags/ramp '' >/dev/null
post /ofrep/v1/evaluate/flags '{"context":{"targetingKey":"u5"}}' >/dev/null
until_is "who was given a variant of it is recorded" 10 "u1 u2 u3" sql "SELECT string_agg(subject, ' ' ORDER BY subject) FROM flagscope.exposure"
is "as SQL would have given it" "$(sql "SELECT bool_and(x.variant = e.variant), min(x.service), min(x.reason) FROM flagscope.exposure x,
  LATERAL flagscope.evaluate(x.flag, x.subject) e")" "t|flagscope-gateway|targeting_match"
hold "LOCK TABLE flagscope.telemetry"
ask ramp u6
release
until_is "no evaluation waits for the database" 10 1 sql "SELECT count(*) FROM flagscope.exposure WHERE subject = 'u6'"
until_is "they are counted" 10 4 counted 'exposures_total\{outcome="stored"\}'

# The end.
curl -sSN "$ofrep/ofrep/v1/events" >"$work/last" &
stream=$!
until_is "a stream is open" 5 1 grep -c '^data: ' "$work/last"
kill -TERM "$pid"
code=0
wait "$pid" || code=$?
is "SIGTERM ends it with 0, with a stream open" "$code" 0
code=0
wait "$stream" || code=$?
is "whose end is a proper one" "$code" 0
