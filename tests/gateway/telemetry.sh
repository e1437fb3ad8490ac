#!/usr/bin/env bash
# Telemetry in: what the gateway stores is what ingest_otlp() stores, what it answers is true, and nothing that it has
# acknowledged is lost.
. "$(dirname "$0")/gateway.bash"
command -v curl >/dev/null || { say "skipped: there is no curl" && exit 0; }
fresh_cluster test-gateway --set flagscope.enabled=off
samples=$ROOT/tests/data/otlp
sql "CREATE EXTENSION flagscope; CREATE ROLE gate LOGIN"
sql "SELECT flagscope.grant_writer('gate')" >/dev/null
psql -XAtq -c "CREATE DATABASE direct" -c '\c direct' -c "CREATE EXTENSION flagscope"
serve one
until_is "senders are connected" 10 200 status -H 'Content-Type: application/json' --data '{}' "$otlp/v1/traces"

# send KIND FORM FILE [curl's arguments]: the status.
send() { status -H "Content-Type: application/$2" --data-binary "@$3" "${@:4}" "$otlp/v1/$1"; }
# The requests in a file of samples, each behind its length, as files of their own.
cut_up() {
  perl -e 'binmode STDIN; local $/; my $i = 0; $_ = <STDIN>; while (length) { my $n = unpack "V", substr($_, 0, 4, "");
    open my $f, ">:raw", sprintf("%s.%03d", $ARGV[0], $i++) or die; print $f substr($_, 0, $n, "") }' "$work/$1" <"$2"
}
sum() { psql -XAtq -d "$1" -c "SELECT count(*), md5(string_agg(x, '' ORDER BY x)) FROM (SELECT to_jsonb(t)::text AS x FROM flagscope.telemetry t) t"; }

# The same by ingest_otlp(), in a database of its own.
direct() {
  psql -XAtq -d direct >/dev/null 2>&1 <<SQL
\set lines \`cat '$1'\`
SELECT FROM flagscope.ingest_otlp(:'lines'::text);
SQL
}

# Table beside table: protobuf, plain and packed, and JSON here; ingest_otlp() there.
for kind in traces logs metrics; do
  cut_up "$kind" "$samples/$kind.pb"
  answers=
  n=0
  for file in "$work/$kind".0*; do
    case $((n++ % 2)) in
    0) answers+=$(send "$kind" x-protobuf "$file")\  ;;
    1) answers+=$(gzip -c "$file" | send "$kind" x-protobuf - -H 'Content-Encoding: gzip')\  ;;
    esac
  done
  is "$kind by protobuf are taken" "$(tr ' ' '\n' <<<"$answers" | sort -u | paste -sd,)" ,200
  while IFS= read -r line; do
    printf '%s\n' "$line" >"$work/line"
    direct "$work/line"
  done <"$samples/$kind.jsonl"
done
is "and are stored as ingest_otlp() stores the same by JSON" "$(sum postgres)" "$(sum direct)"
# Again, as JSON lines: evaluations and cumulative points are known, spans and logs come twice there and here.
for kind in traces logs metrics; do
  send "$kind" json "$samples/$kind.jsonl" >/dev/null
  direct "$samples/$kind.jsonl"
done
is "JSON is stored as by ingest_otlp()" "$(sum postgres)" "$(sum direct)"
send traces json "$samples/edge_cases.jsonl" >/dev/null
direct "$samples/edge_cases.jsonl"
is "so are the edge cases" "$(sum postgres)" "$(sum direct)"

# What is answered.
span() { printf '{"startTimeUnixNano":"17000000000000000%02d","name":"%s","traceId":"%032x"}' "$1" "$2" "$3"; }
request() { printf '{"resourceSpans":[{"scopeSpans":[{"spans":[%s]}]}]}' "$1"; }
json() { curl -sS -H 'Content-Type: application/json' --data-binary "$1" -w ' %{http_code}' "$otlp/v1/traces"; }
is "all stored: an empty answer" "$(json "$(request "$(span 1 good 1)")")" '{} 200'
is "one of two: partial success with its place" "$(json "$(request "$(span 1 good 2),{\"name\":\"no time\"}")")" \
  '{"partialSuccess":{"errorMessage":"resourceSpans[0].scopeSpans[0].spans[1].startTimeUnixNano: missing time","rejectedSpans":"1"}} 200'
is "a NUL is told" "$(json "$(request "$(span 1 'a\u0000b' 3)")")" \
  '{"partialSuccess":{"errorMessage":"1 characters that text cannot hold became U+FFFD"}} 200'
is "names in snake_case are told" "$(json '{"resource_spans":[]}' | grep -oE 'not understood|200' | paste -sd,)" 'not understood,200'
is "in protobuf, too" "$(printf '\x0a\x04\x12\x02\x12\x00' | curl -sS -H 'Content-Type: application/x-protobuf' --data-binary @- "$otlp/v1/traces" |
  grep -aoE 'resourceSpans.*')" 'resourceSpans[0].scopeSpans[0].spans[0].startTimeUnixNano: missing time'
head -c 67200000 /dev/zero | gzip -1 >"$work/bomb.gz"
printf '{"a' >"$work/cut"
while IFS='|' read -r text want arguments; do
  eval "is \"\$text\" \"\$(status $arguments)\" $want"
done <<'CASES'
an empty request is stored|200|-H 'Content-Type: application/json' --data '{}' "$otlp/v1/metrics"
JSON that is cut off is 400|400|-H 'Content-Type: application/json' --data-binary "@$work/cut" "$otlp/v1/logs"
JSON that is not UTF-8 is 400|400|-H 'Content-Type: application/json' --data-binary $'"\xff"' "$otlp/v1/logs"
protobuf that is none is 400|400|-H 'Content-Type: application/x-protobuf' --data 'not a message' "$otlp/v1/traces"
gzip that is none is 400|400|-H 'Content-Type: application/json' -H 'Content-Encoding: gzip' --data 'plain' "$otlp/v1/traces"
another path is 404|404|-H 'Content-Type: application/json' --data '{}' "$otlp/v1/profiles"
GET is 405|405|-H 'Content-Type: application/json' "$otlp/v1/traces"
65 MiB in 64 kB are 413|413|-H 'Content-Type: application/json' -H 'Content-Encoding: gzip' --data-binary "@$work/bomb.gz" "$otlp/v1/traces"
text/plain is 415|415|-H 'Content-Type: text/plain' --data '{}' "$otlp/v1/traces"
deflate is 415|415|-H 'Content-Type: application/json' -H 'Content-Encoding: deflate' --data '{}' "$otlp/v1/traces"
flags are not on this socket|404|-H 'Content-Type: application/json' --data '{}' "$otlp/ofrep/v1/evaluate/flags"
CASES
is "the bomb stays within the queue" "$(awk '/VmHWM/ { print $2 < 220000 }' "/proc/$pid/status")" 1
serve small --ingest.queue 64KiB
until_is "senders are connected to it, too" 10 200 status -H 'Content-Type: application/json' --data '{}' "$otlp/v1/logs"
head -c 100000 /dev/zero | tr '\0' ' ' >"$work/long"
is "what the queue never holds is 413" "$(status -H 'Content-Type: application/json' --data-binary "@$work/long" "$otlp/v1/logs")" 413
head -c 40000 "$work/long" >"$work/half"
# A request that does not end: its first part is in the queue.
{ cat "$work/half" && sleep 20; } | curl -sS -o /dev/null -X POST -T - -H 'Content-Type: application/json' "$otlp/v1/logs" &
slow=$!
until_is "what it does not hold now is 429, and when to come again" 5 "429 1" eval 'curl -sS -o /dev/null -w "%{http_code} %header{retry-after}" -H "Content-Type: application/json" --data-binary "@$work/half" "$otlp/v1/logs" | sed -E "s/ [0-9]+$/ 1/"'
kill "$slow" || true
wait "$slow" || true
until_is "and later it is taken" 5 200 status -H 'Content-Type: application/json' --data-binary "@$work/half" "$otlp/v1/logs"

# Many small requests share transactions.
serve many
until_is "senders are connected again" 10 200 status -H 'Content-Type: application/json' --data '{}' "$otlp/v1/traces"
small() { curl -sS -o /dev/null -w '%{http_code}\n' -H 'Content-Type: application/json' --data-binary "$(request "$(span 2 "$1" "$2")")" "$otlp/v1/traces"; }
export -f small span request
export otlp
is "200 requests at once are all stored" "$(seq 1001 1200 | xargs -P 20 -I{} bash -c 'small many {}' | sort | uniq -c | tr -s ' ')" " 200 200"
is "each once" "$(sql "SELECT count(*), count(DISTINCT trace_id) FROM flagscope.telemetry WHERE name = 'many'")" "200|200"
groups=$(curl -sS "$admin/metrics" | sed -nE 's/^flagscope_gateway_commit_seconds_count\{\} //p')
is "in fewer transactions" "$([ "$groups" -lt 200 ] && say fewer || say "$groups")" fewer

# The server is killed while eight clients send: what was acknowledged is there.
client() {
  local i
  for i in $(seq 1 60); do
    # Sent once: what was not answered with 200 may be there or not.
    [ "$(small kill $(($1 * 1000 + i)) 2>/dev/null)" != 200 ] || printf '%032x\n' $(($1 * 1000 + i))
  done
}
clients=()
for n in 11 12 13 14 15 16 17 18; do
  client "$n" >"$work/acknowledged.$n" &
  clients+=("$!")
done
until_is "some are stored" 20 t sql "SELECT count(*) >= 20 FROM flagscope.telemetry WHERE name = 'kill'"
"$TOOLS/cluster" crash test-gateway
is "without a database it says so, and when to come again" \
  "$(curl -sS -w ' %{http_code} %header{retry-after}' -H 'Content-Type: application/json' --data '{}' "$otlp/v1/traces")" \
  '{"code":14,"message":"the database is away"} 503 2'
"$TOOLS/cluster" start test-gateway --set flagscope.enabled=off
wait "${clients[@]}"
sql "CREATE TABLE acknowledged (id uuid)"
cat "$work"/acknowledged.* | psql -XAtq -c "COPY acknowledged FROM STDIN"
is "some were acknowledged, some were not" "$(sql "SELECT count(*) BETWEEN 20 AND 479 FROM acknowledged")" t
is "none of them is lost" "$(sql "SELECT count(*) FROM acknowledged a WHERE NOT EXISTS (SELECT FROM flagscope.telemetry t WHERE t.trace_id = a.id)")" 0
is "and none came twice" "$(sql "SELECT count(*) - count(DISTINCT trace_id) FROM flagscope.telemetry WHERE name = 'kill'")" 0
until_is "it takes telemetry again" 20 200 small again 1

# SIGTERM while requests are under way: each that began is answered.
enders=()
for n in 21 22 23 24; do
  small end "$n" >"$work/end.$n" 2>&1 &
  enders+=("$!")
done
sleep 0.02
kill -TERM "$pid"
code=0
wait "$pid" || code=$?
is "SIGTERM ends it with 0" "$code" 0
wait "${enders[@]}" || true
is "no request was answered with an error" "$(cat "$work"/end.* | grep -cE '^5' || true)" 0
