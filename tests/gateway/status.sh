#!/usr/bin/env bash
# The table of status codes, from one list: each situation by HTTP and by gRPC, with whether to come again. The manual's table
# has the same codes.
. "$(dirname "$0")/gateway.bash"
curl --version 2>/dev/null | grep -q HTTP2 || { say "skipped: there is no curl with HTTP/2" && exit 0; }
fresh_cluster test-gateway --set flagscope.enabled=off
sql "CREATE EXTENSION flagscope; CREATE ROLE gate LOGIN; SELECT flagscope.grant_writer('gate')" >/dev/null
# A rule of the database's own: rows of this name are refused as bad data.
sql "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN IF NEW.name = 'bad' THEN
    RAISE check_violation USING MESSAGE = 'a bad row'; END IF; RETURN NEW; END \$\$;
  CREATE TRIGGER refuse BEFORE INSERT ON flagscope.telemetry FOR EACH ROW EXECUTE FUNCTION refuse()"

new_key() { "$gateway" key new | sed -nE "1p; s/.*sha256 = \"([0-9a-f]{64})\".*/\1/p" | paste -sd' '; }
read -r sender sender_digest < <(new_key)
read -r reader reader_digest < <(new_key)
read -r slow slow_digest < <(new_key)
printf '[auth]\nkeys = [\n' >"$work/keys.toml"
for key in "sender $sender_digest otlp" "reader $reader_digest flags"; do
  read -r id digest scope <<<"$key"
  printf '{ id = "%s", sha256 = "%s", scopes = ["%s"] },\n' "$id" "$digest" "$scope" >>"$work/keys.toml"
done
printf '{ id = "slow", sha256 = "%s", scopes = ["otlp"], rate = 0.01 },\n]\n' "$slow_digest" >>"$work/keys.toml"

# A span in protobuf: traces {1: {2: {2: span {5: name, 7: fixed64 time}}}}; every length fits a byte.
perl -e '
  sub field { chr($_[0] << 3 | 2) . chr(length $_[1]) . $_[1] }
  sub span { field(2, field(5, $_[0]) . ($_[1] ? chr(7 << 3 | 1) . pack("Q<", 1700000000000000000) : "")) }
  my %bodies = (good => span("good", 1), two => span("good", 1) . span("no time", 0), bad => span("bad", 1));
  for my $name (keys %bodies) { open my $f, ">:raw", "$ARGV[0]/$name"; print $f field(1, field(2, $bodies{$name})) }
  open my $f, ">:raw", "$ARGV[0]/empty"; open $f, ">:raw", "$ARGV[0]/junk"; print $f "not a message";
  open $f, ">:raw", "$ARGV[0]/long"; print $f "\0" x 70000' "$work"
for name in good two bad empty junk long; do
  perl -0777 -ne 'print pack("CN", 0, length) . $_' "$work/$name" >"$work/$name.framed"
  perl -0777 -ne 'print pack("CN", 1, length) . $_' "$work/$name" >"$work/$name.packed"
done

# by_http BODY ARGUMENTS..., by_grpc BODY ARGUMENTS...: the status, and "later" where it says when to come again.
by_http() {
  curl -sS -o /dev/null -D "$work/head" -H 'Content-Type: application/x-protobuf' --data-binary "@$work/$1" "${@:2}" "$otlp${path:-/v1/traces}" || true
  tr -d '\r' <"$work/head" | awk 'tolower($1) ~ /^http/ { code = $2 } tolower($1) == "retry-after:" { later = " later" } END { print code later }'
}
by_grpc() {
  local service=${service:-opentelemetry.proto.collector.trace.v1.TraceService/Export}
  curl -sS -o /dev/null -D "$work/head" --http2-prior-knowledge -H 'TE: trailers' -H 'Content-Type: application/grpc' \
    --data-binary "@$work/$1" "${@:2}" "http://$grpc/$service" || true
  tr -d '\r' <"$work/head" | awk 'tolower($1) == "grpc-status:" { code = $2 } tolower($1) == "grpc-status-details-bin:" { later = " later" } END { print code later }'
}
key() { printf '%s' "X-API-Key: $1"; }
connected() { until_is "$1: senders are connected" 20 200 by_http empty -H "$(key "$sender")"; }
# case_is "situation" HTTP GRPC BODY...: one line of the table.
tested=()
case_is() {
  local text=$1 http=$2 code=$3 body=$4 framed=${5:-$4.framed}
  tested+=("${http%% *} ${code%% *}")
  is "$text" "$(by_http "$body" -H "$(key "${who:-$sender}")" "${http_with[@]}") | $(by_grpc "$framed" -H "$(key "${who:-$sender}")" "${grpc_with[@]}")" "$http | $code"
}
http_with=() grpc_with=()

serve one --config "$work/keys.toml" --limits.request 64KiB
connected one
case_is "all stored" 200 0 good
case_is "an empty request" 200 0 empty
case_is "some records rejected" 200 0 two
case_is "no request of this kind" 400 3 junk
http_with=(-H 'Content-Encoding: gzip') grpc_with=(-H 'grpc-encoding: gzip')
case_is "bad gzip" 400 3 junk junk.packed
http_with=(-H 'Content-Encoding: br') grpc_with=(-H 'grpc-encoding: br')
case_is "another content-encoding" 415 12 good good.packed
http_with=() grpc_with=()
case_is "rows that the database calls bad" 400 3 bad
case_is "longer than limits.request" 413 8 long
who=nobody case_is "an unknown key" 401 16 good
who=$reader case_is "a key for something else" 403 7 good
who=$slow by_http empty -H "$(key "$slow")" >/dev/null
who=$slow case_is "a key over its rate" "429 later" "8 later" good
path=/v1/profiles service=opentelemetry.proto.collector.profiles.v1.ProfilesService/Export case_is "another path" 404 12 good
is "one bad request of a group does not cost the others" "$(for n in 1 2 3 4 5 6; do
  by=good && [ "$n" != 3 ] || by=bad
  curl -sS -o /dev/null -w '%{http_code}\n' -H "$(key "$sender")" -H 'Content-Type: application/x-protobuf' --data-binary "@$work/$by" "$otlp/v1/traces" &
done | sort | uniq -c | tr -s ' ' | paste -sd,)" " 5 200, 1 400"

sql "REVOKE EXECUTE ON FUNCTION flagscope.ingest_rows(bytea) FROM gate" >/dev/null
case_is "the database refuses for now: rights" "503 later" "14 later" good
sql "SELECT flagscope.grant_writer('gate')" >/dev/null
read_only() { psql -XAtq -c "ALTER SYSTEM SET default_transaction_read_only = $1" -c "SELECT pg_reload_conf()" >/dev/null; }
read_only on
until_is "the database is read only" 10 on sql "SHOW default_transaction_read_only"
connected "read only"
until_is "the database is read only" 10 "503 later | 14 later" eval 'printf "%s | %s" "$(by_http good -H "$(key "$sender")")" "$(by_grpc good.framed -H "$(key "$sender")")"'
read_only off

serve hasty --config "$work/keys.toml" --ingest.timeout 300ms --http.body_timeout 300ms
connected hasty
hold "LOCK TABLE flagscope.telemetry"
case_is "not stored within ingest.timeout" "503 later" "14 later" good
release
# A body that announces more than it sends.
http_with=(--max-time 10 -H 'Content-Length: 100') grpc_with=(--max-time 10 -H 'Content-Length: 100')
is "a body that does not come in time" "$(by_http good -H "$(key "$sender")" "${http_with[@]}")" 408
http_with=() grpc_with=()
"$TOOLS/cluster" stop test-gateway
until_is "the database is away" 20 "503 later | 14 later" eval 'printf "%s | %s" "$(by_http good -H "$(key "$sender")")" "$(by_grpc good.framed -H "$(key "$sender")")"'
tested+=("503 14")

# The manual names no code that is not tested here, but a defect of ours.
is "the manual's table has these codes" "$(sed -n '/^| situation | HTTP | gRPC/,/^$/p' "$ROOT/src/gateway/README.md" | cut -d'|' -f3 | grep -oE '\b[2-5][0-9][0-9]\b' | grep -vxE '500|405|408' | sort -u | paste -sd' ')" \
  "$(printf '%s\n' "${tested[@]}" | cut -d' ' -f1 | sort -u | paste -sd' ')"
