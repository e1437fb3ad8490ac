#!/usr/bin/env bash
# Who may ask: keys with scopes and environments, TLS, pages of other origins.
. "$(dirname "$0")/gateway.bash"
command -v curl >/dev/null || { say "skipped: there is no curl" && exit 0; }
fresh_cluster test-gateway --set flagscope.enabled=off
sql "CREATE EXTENSION flagscope; CREATE ROLE gate LOGIN"
sql "SELECT flagscope.grant_writer('gate'); SELECT flagscope.create_environment('staging', '{stage}'); SELECT flagscope.create_flag('checkout');
  SELECT flagscope.enable_flag('checkout', 'staging'), flagscope.set_default_variant('checkout', 'on', 'staging')" >/dev/null
is "on an address for others it wants keys" \
  "$("$gateway" --check --database.url "$(url gate)" --listen.ofrep 0.0.0.0:0 2>&1 | grep -oE 'there are no auth.keys')" "there are no auth.keys"

# A key is shown once; its digest is configured.
new_key() { "$gateway" key new | sed -nE "1p; s/.*sha256 = \"([0-9a-f]{64})\".*/\1/p" | paste -sd' '; }
read -r shop shop_digest < <(new_key)
read -r sender sender_digest < <(new_key)
cat >"$work/gateway.toml" <<TOML
[auth]
keys = [
  { id = "shop", sha256 = "$shop_digest", scopes = ["flags"], environments = ["staging", "production"] },
  { id = "sender", sha256 = "$sender_digest", scopes = ["otlp"], environments = ["staging"], rate = 5 },
]
[cors]
origins = ["https://shop.example"]
TOML
serve keys --config "$work/gateway.toml"
flags=$ofrep/ofrep/v1/evaluate/flags
is "without a key it is 401" "$(status -X POST "$flags")" 401
is "with a wrong one, too, and nothing is told" "$(curl -sS -X POST -H 'X-API-Key: guess' "$flags")" '{"errorDetails":"a key is needed"}'
is "a key for something else is 403" "$(status -X POST -H "X-API-Key: $sender" "$flags")" 403
bearer="Authorization: Bearer $shop"
variant() { post /ofrep/v1/evaluate/flags/checkout '' "$@" | grep -oE '"variant":"[a-z]*"'; }
is "a key sees its first environment" "$(variant -H "$bearer")" '"variant":"on"'
is "and another of its own by a selector" "$(variant -H "$bearer" -H 'flagd-selector: flagSetId=production')" '"variant":"off"'
is "but no other" "$(status -X POST -H "$bearer" -H 'flagd-selector: flagSetId=dev' "$flags")" 403
is "health needs no key" "$(status "$admin/readyz")" 200
stream=$(post /ofrep/v1/evaluate/flags '' -H "$bearer" | grep -oE '/ofrep/v1/events\?token=[^"]*')
is "a stream needs a key or a token" "$(status "$ofrep/ofrep/v1/events")" 401
curl -sSN "$ofrep$stream" >"$work/events" &
pids+=("$!")
until_is "which the bulk answer gives" 5 1 grep -c '^data: ' "$work/events"
is "and which nobody else can make" "$(status "$ofrep${stream%??}00")" 401

until_is "telemetry is taken by a key" 10 200 status -H "X-API-Key: $sender" -H 'Content-Type: application/json' --data '{}' "$otlp/v1/logs"
log() { printf '{"resourceLogs":[{"resource":{"attributes":[%s]},"scopeLogs":[{"logRecords":[{"timeUnixNano":"1795341117071163136"}]}]}]}' "$1"; }
environment() { printf '{"key":"deployment.environment.name","value":{"stringValue":"%s"}}' "$1"; }
logs() { curl -sS -H "X-API-Key: $sender" -H 'Content-Type: application/json' --data "$1" "$otlp/v1/logs"; }
is "what names no environment is of the key's" "$(logs "$(log '')") $(sql "SELECT environment FROM flagscope.telemetry")" '{} staging'
is "another environment is rejected" "$(logs "$(log "$(environment production)")")" \
  '{"partialSuccess":{"errorMessage":"environment \"production\" is not one of this key","rejectedLogRecords":"1"}}'
over() { curl -sS -o /dev/null -w '%{http_code} %header{retry-after}\n' -H "X-API-Key: $sender" -H 'Content-Type: application/json' --data '{}' "$otlp/v1/logs"; }
export -f over
export sender otlp
is "over its rate it is 429, and when to come again" "$(seq 40 | xargs -P 10 -I{} bash -c over | sort -u | grep ^429)" "429 1"

headers() { curl -sS -o /dev/null -D - "$@" | tr -d '\r' | grep -iE '^(HTTP|access-control|vary)' | sort; }
is "a page of its origin may ask" "$(headers -X OPTIONS -H 'Origin: https://shop.example' "$flags" | cut -c1-60)" "HTTP/1.1 204 No Content
access-control-allow-headers: authorization, x-api-key, cont
access-control-allow-methods: GET, POST, OPTIONS
access-control-allow-origin: https://shop.example
access-control-expose-headers: etag, retry-after
access-control-max-age: 7200
vary: Origin"
is "no other" "$(headers -X OPTIONS -H 'Origin: https://evil.example' "$flags")" "HTTP/1.1 204 No Content
vary: Origin"
# Another key for the shop, and a mistake in the file, while it runs.
read -r next next_digest < <(new_key)
sed -i "s/$shop_digest/$next_digest/" "$work/gateway.toml"
kill -HUP "$pid"
until_is "SIGHUP takes a new key" 5 '"variant":"on"' variant -H "X-API-Key: $next"
is "and the old one is none any more" "$(status -X POST -H "$bearer" "$flags")" 401
told() { grep -c "$1" "$work/keys.log" || true; }
sed -i 's/"production"/"moon"/' "$work/gateway.toml"
kill -HUP "$pid"
until_is "an environment that is not served needs a restart" 5 1 told 'keys stay as they are.*moon.*restart'
say 'x' >>"$work/gateway.toml"
kill -HUP "$pid"
until_is "a file with a mistake changes nothing" 5 2 told 'keys stay as they are'
is "the new key is still good" "$(variant -H "X-API-Key: $next")" '"variant":"on"'
is "no key is in the log" "$(grep -cE "$shop|$sender|$next" "$work/keys.log" || true)" 0

if ! command -v openssl >/dev/null; then
  say "skipped: TLS (there is no openssl to make certificates)"
  exit 0
fi
certificate() { openssl req -x509 "${@:2}" -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj "/CN=$1" -addext subjectAltName=IP:127.0.0.1 -keyout "$work/$1.key" -out "$work/$1.pem" 2>/dev/null; }
certificate server
certificate authority
certificate client -CA "$work/authority.pem" -CAkey "$work/authority.key" -addext basicConstraints=critical,CA:FALSE
serve tls --tls.cert "$work/server.pem" --tls.key "$work/server.key"
flags=https://${ofrep#http://}/ofrep/v1/evaluate/flags
is "TLS is served, HTTP/2 by choice" "$(curl -sS --cacert "$work/server.pem" -o /dev/null -w '%{http_code} %{http_version}' -X POST "$flags")" "200 2"
is "and nothing else" "$(status -X POST "http://${ofrep#http://}/ofrep/v1/evaluate/flags" 2>/dev/null || true)" 000
is "health stays plain" "$(status "$admin/healthz")" 200
serial() { openssl s_client -connect "${ofrep#http://}" </dev/null 2>/dev/null | openssl x509 -noout -serial; }
before=$(serial)
certificate server
kill -HUP "$pid"
renewed() { if [ "$(serial)" != "$before" ]; then say renewed; fi; }
until_is "SIGHUP takes a new certificate" 5 renewed renewed
serve mutual --tls.cert "$work/server.pem" --tls.key "$work/server.key" --tls.client_ca "$work/authority.pem"
flags=https://${ofrep#http://}/ofrep/v1/evaluate/flags
is "with an authority of clients, who has no certificate is not served" "$(status --cacert "$work/server.pem" -X POST "$flags" 2>/dev/null || true)" 000
is "who has one is" "$(status --cacert "$work/server.pem" --cert "$work/client.pem" --key "$work/client.key" -X POST "$flags")" 200
