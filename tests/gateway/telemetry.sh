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
head -c 140000 /dev/zero | tr '\0' ' ' >"$work/long"
# A queue that is full because the table is locked: two requests wait in it, for a third there is no room.
serve small --ingest.queue 128KiB --ingest.timeout 60s --database.statement_timeout 60s
until_is "senders are connected to it, too" 20 200 status -H 'Content-Type: application/json' --data '{}' "$otlp/v1/logs"
is "what the queue never holds is 413" "$(status -H 'Content-Type: application/json' --data-binary "@$work/long" "$otlp/v1/logs")" 413
large() { request "{\"startTimeUnixNano\":\"1700000000000000001\",\"name\":\"large\",\"attributes\":[{\"key\":\"x\",\"value\":{\"stringValue\":\"$(head -c 40000 /dev/zero | tr '\0' x)\"}}]}"; }
large >"$work/large"
post_large() { curl -sS -o /dev/null -w '%{http_code} %header{retry-after}' -H 'Content-Type: application/json' --data-binary "@$work/large" "$otlp/v1/traces"; }
hold "LOCK TABLE flagscope.telemetry"
waiting=()
for n in 1 2; do
  post_large >"$work/waited.$n" &
  waiting+=("$!")
done
until_is "two requests wait for the table" 20 2 counted 'records_total\{signal="spans",outcome="decoded"\}'
is "for a third there is no room: 429, and when to come again" "$(post_large | sed -E 's/ ([1-9]|[12][0-9]|30)$/ later/')" "429 later"
release
wait "${waiting[@]}" || true
is "the two are stored" "$(cat "$work"/waited.*)" "200 200 "
is "and then there is room again" "$(post_large)" "200 "

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

# Clients send all the time while the server is killed, then one of its backends, then the gateway: what was acknowledged is
# there. Each request is sent once: what was not answered with 200 may be there or not.
client() {
  local i=0 id
  until [ -e "$work/enough" ] || [ "$i" = 5000 ]; do
    i=$((i + 1)) id=$(($1 * 10000 + i))
    if [ "$(small kill "$id" 2>/dev/null)" = 200 ]; then printf '%032x\n' "$id" >>"$work/acknowledged.$1"; else say "$id" >>"$work/refused.$1"; fi
  done
}
acknowledged() { cat "$work"/acknowledged.* 2>/dev/null | wc -l; }
refused() { cat "$work"/refused.* 2>/dev/null | wc -l; }
more() { [ "$("$1")" -lt "$2" ] || say enough; } # more acknowledged 20
fixed=${otlp#http://}
touch "$work/refused.0"
clients=()
for n in 11 12 13 14; do
  client "$n" &
  clients+=("$!")
done
until_is "some are stored" 30 enough more acknowledged 20
"$TOOLS/cluster" crash test-gateway
until_is "some are refused while the server is away" 30 enough more refused 20
told() { curl -sS -w ' %{http_code} %header{retry-after}' -H 'Content-Type: application/json' --data '{}' "$otlp/v1/traces"; }
until_is "without a database it says so, and when to come again" 20 '{"code":14,"message":"the database is away"} 503 2' told
"$TOOLS/cluster" start test-gateway --set flagscope.enabled=off
n=$(acknowledged)
until_is "when it is back, more are stored" 30 enough more acknowledged $((n + 20))
kill -9 "$(sql "SELECT pid FROM pg_stat_activity WHERE application_name = 'flagscope-gateway' AND query LIKE '%ingest_rows%' LIMIT 1")"
n=$(refused)
until_is "a backend that is killed costs requests" 30 enough more refused $((n + 1))
n=$(acknowledged)
until_is "and then more are stored" 30 enough more acknowledged $((n + 20))
kill -9 "$pid"
n=$(refused)
until_is "so does a gateway that is killed" 30 enough more refused $((n + 1))
serve again --listen.otlp_http "$fixed"
n=$(acknowledged)
until_is "another one in its place stores more" 30 enough more acknowledged $((n + 20))
touch "$work/enough"
wait "${clients[@]}"
until_is "the server answers" 20 1 sql "SELECT 1"
sql "CREATE TABLE acknowledged (id uuid)"
cat "$work"/acknowledged.* | psql -XAtq -c "COPY acknowledged FROM STDIN"
is "nothing that was acknowledged is lost" "$(sql "SELECT count(*) FROM acknowledged a WHERE NOT EXISTS (SELECT FROM flagscope.telemetry t WHERE t.trace_id = a.id)")" 0
is "and nothing came twice" "$(sql "SELECT count(*) - count(DISTINCT trace_id) FROM flagscope.telemetry WHERE name = 'kill'")" 0

# SIGTERM while requests wait for the table: each that began is answered, and then it ends.
hold "LOCK TABLE flagscope.telemetry"
before=$(counted 'records_total\{signal="spans",outcome="decoded"\}')
enders=()
for n in 21 22 23 24; do
  small end "$n" >"$work/end.$n" 2>&1 &
  enders+=("$!")
done
until_is "four requests wait" 20 "$((before + 4))" counted 'records_total\{signal="spans",outcome="decoded"\}'
kill -TERM "$pid"
until_is "it is told to end" 10 1 grep -c ' ending' "$work/again.log"
release
code=0
wait "$pid" || code=$?
is "SIGTERM ends it with 0" "$code" 0
wait "${enders[@]}" || true
is "every request that began was stored" "$(sort "$work"/end.* | uniq -c | tr -s ' ')" " 4 200"
