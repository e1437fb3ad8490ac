#!/usr/bin/env bash
# The console as a client without a browser sees it: who gets which status, where forms may come from, cookies and headers, keys of
# one environment, a database that is away.
. "$(dirname "$0")/gateway.bash"
command -v curl >/dev/null || { say "skipped: there is no curl" && exit 0; }
fresh_cluster test-gateway --set flagscope.enabled=off
psql -XAtq -v ON_ERROR_STOP=1 -f "$ROOT/tests/gateway/console/data.sql" >/dev/null

new_key() { "$gateway" key new | sed -nE "1p; s/.*sha256 = \"([0-9a-f]{64})\".*/\1/p" | paste -sd' '; }
declare -A key
printf '[auth]\nkeys = [\n' >"$work/keys.toml"
while read -r id rest; do
  read -r secret digest < <(new_key)
  key[$id]=$secret
  printf '{ id = "%s", sha256 = "%s", %s },\n' "$id" "$digest" "$rest" >>"$work/keys.toml"
done <<'KEYS'
ops scopes = ["operate"]
glance scopes = ["read"]
stage scopes = ["operate"], environments = ["staging"]
app scopes = ["flags"]
KEYS
printf ']\n' >>"$work/keys.toml"

# What it needs to start.
refused() { "$gateway" --check --database.url "$(url gate)" --listen.console 127.0.0.1:8017 "$@" 2>&1 | grep -oE "$want" || true; }
want='needs a key to log in with' && is "without a key for people there is no console" "$(refused)" "$want"
want='listen.console and listen.admin have an address in common' && is "it has sockets of its own" \
  "$(refused --config "$work/keys.toml" --listen.admin 127.0.0.1:8017)" "$want"
serve console --config "$work/keys.toml" --auth.required false --listen.console 127.0.0.1:0 --console.database_url "$(url desk)"

# by WHO curl's arguments: a request with somebody's cookie. form WHO PATH fields...: a form as a browser sends it.
by() { curl -sS -b "$work/$1.jar" "${@:2}"; }
code() { by "$1" -o /dev/null -w '%{http_code}' "${@:2}"; }
form() { by "$1" -c "$work/$1.jar" -o "$work/answer" -w '%{http_code}' -H "Origin: ${origin-$console}" "${@:3}" "$console$2"; }
log_in() { form "$1" /login --data-urlencode "key=${3-${key[$1]}}" --data-urlencode "name=$2" --data 'next=/rollout/1'; }
proof() { by "$1" "$console/rollout/${2:-1}" | grep -oE 'name="proof" value="[0-9a-f]*"' | head -1 | grep -oE '[0-9a-f]{64}'; }
decisions() { sql 'SELECT count(*) FROM flagscope.decision'; }

is "nobody reads without a key" "$(for path in / /rollout/1 /trace/x /nothing; do
  curl -sS -o /dev/null -w '%{http_code} %header{location} ' "$console$path"
done)" "303 /login?next=/ 303 /login?next=/rollout/1 303 /login?next=/trace/x 303 /login?next=/nothing "
is "nor hears or does anything" "$(curl -sS -o /dev/null -w '%{http_code} ' "$console/events")$(origin=$console form nobody /rollout/1/pause --data reason=x)" "401 401"
is "a link on another site is asked again by our own page, with the cookie" \
  "$(curl -sS -o /dev/null -w '%{http_code} %header{refresh}' -H 'Sec-Fetch-Site: cross-site' "$console/rollout/1")" "200 0"
is "an unknown key" "$(log_in ops Ann guess)" 401
is "a key of an application" "$(log_in app Ann)" 403
is "who decides needs a name" "$(log_in ops '') $(log_in ops 'Flagscope')" "400 400"
is "a form of another site" "$(origin=https://evil.example log_in ops Ann)" 403
is "one from nowhere" "$(origin='' log_in ops Ann)" 403
is "a key and a name" "$(log_in ops Ann) $(log_in glance '') $(log_in stage Sam)" "303 303 303"
curl -sS -D "$work/head" -o /dev/null -H "Origin: $console" --data-urlencode "key=${key[ops]}" --data 'name=Ann&next=//evil.example' "$console/login"
is "the cookie is for this host alone, and no script reads it; nobody is led astray" \
  "$(tr -d '\r' <"$work/head" | sed -nE 's/^(set-cookie: [a-z_]+)=[^;]+/\1/p; s/^location: //p' | sort)" "/
set-cookie: flagscope_console; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"

is "what there is and what not" "$(for path in / /rollout/1 /rollout/2 /trace/0af7651916cd43dd8448eb211c80319c /live.js /login /rollout/99 /rollout/x /trace/0 \
  /trace/00000000000000000000000000000001 /nothing; do code ops "$console$path" && printf ' '; done)" "200 200 200 200 200 200 404 404 404 404 404 "
allows() { by ops -o /dev/null -w '%{http_code} %header{allow}' "$@"; }
is "other methods" "$(allows -X DELETE "$console/"), $(allows "$console/rollout/1/pause")" "405 GET, HEAD, 405 POST"
by ops -D "$work/head" -o "$work/page" "$console/rollout/1"
nonce=$(grep -oE "nonce-[0-9a-f]{32}" "$work/head" | head -1)
is "no page reaches another host, runs what is in it, or is kept" \
  "$(tr -d '\r' <"$work/head" | sed -nE "s/${nonce:-none}/nonce-X/; /^(content-security|cache-control|x-|referrer|cross)/p" | sort)" \
  "cache-control: no-store
content-security-policy: default-src 'none'; style-src 'nonce-X'; script-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'
cross-origin-opener-policy: same-origin
cross-origin-resource-policy: same-origin
referrer-policy: same-origin
x-content-type-options: nosniff
x-frame-options: DENY"
is "the nonce is another one each time" "$(by ops -D - -o /dev/null "$console/" | grep -c "${nonce:-none}" || true)" 0
is "what applications send is text" "$(for path in / /rollout/1 /rollout/2 /trace/0af7651916cd43dd8448eb211c80319c; do
  by ops "$console$path" | grep -oE '<script>alert|<img src=x|<b>(bold|long)|<i>somebody' || true
done)" ""

before=$(decisions)
proof=$(proof ops)
is "a page of the operator has forms, one of a reader none" "$(by ops "$console/rollout/1" | grep -oE '/rollout/1/[a-z_]+' | sort -u | paste -sd' ') $(by glance "$console/rollout/1" | grep -c 'name="reason"' || true)" \
  "/rollout/1/advance /rollout/1/approve /rollout/1/pause /rollout/1/rollback /rollout/1/step_back 0"
fields=(--data stage=1 --data reason=x)
is "a form without its token" "$(form ops /rollout/1/rollback "${fields[@]}")" 403
is "with that of another session" "$(form stage /rollout/3/rollback "${fields[@]}" --data "proof=$proof")" 403
is "from another site" "$(origin=https://evil.example form ops /rollout/1/rollback "${fields[@]}" --data "proof=$proof")" 403
is "from a page that hides where it is" "$(origin=null form ops /rollout/1/rollback "${fields[@]}" --data "proof=$proof")" 403
glance=$(by glance "$console/" | grep -oE 'name="proof" value="[0-9a-f]*"' | head -1 | grep -oE '[0-9a-f]{64}')
is "of somebody who may only read" "$(form glance /rollout/1/rollback "${fields[@]}" --data "proof=$glance")" 403
is "without a reason" "$(form ops /rollout/1/rollback --data stage=1 --data "proof=$proof")" 400
is "of a stage that is over" "$(form ops /rollout/1/approve --data stage=7 --data reason=x --data "proof=$proof")" 409
is "longer than a form" "$(form ops /rollout/1/rollback "${fields[@]}" --data "proof=$proof" --data-binary "a=$(printf '%070000d' 0)")" 413
is "an action that does not exist" "$(form ops /rollout/1/drop "${fields[@]}" --data "proof=$proof")" 404
is "none of these decided anything" "$(decisions)" "$before"
is "what is refused is said" "$(form ops /rollout/1/resume "${fields[@]}" --data "proof=$proof") $(grep -oE 'rollout 1 is running: it cannot resume' "$work/answer")" \
  "409 rollout 1 is running: it cannot resume"
is "a good form is a decision with name and reason" "$(form ops /rollout/1/pause --data stage=1 --data-urlencode 'reason=too many & "odd" errors' --data "proof=$proof") $(sql \
  "SELECT action, actor, reason FROM flagscope.decision ORDER BY id DESC LIMIT 1")" '303 pause|Ann (ops)|too many & "odd" errors'

is "a key of an environment sees that alone" "$(by stage "$console/" | grep -oE 'rollout/[0-9]+' | sort -u) $(code stage "$console/rollout/1") $(code stage "$console/rollout/3") $(code stage "$console/trace/0af7651916cd43dd8448eb211c80319c")" \
  "rollout/3 404 200 404"
staged=$(proof stage 3)
is "and acts there alone" "$(form stage /rollout/1/rollback "${fields[@]}" --data "proof=$staged") $(form stage /rollout/3/rollback "${fields[@]}" --data "proof=$staged")" "404 303"

cp "$work/glance.jar" "$work/old.jar"
is "who logs out is out, whoever has kept the cookie" "$(form glance /logout --data "proof=$glance") $(code old "$console/")" "303 303"
is "no key and no cookie is in the log" "$(grep -cE "$(IFS='|' && printf '%s' "${key[*]}")|$(awk '/flagscope_console/ { print $7 }' "$work/ops.jar")" "$work/console.log" || true)" 0
is "applications need no key because people do" "$(status --data '{}' "$ofrep/ofrep/v1/evaluate/flags")" 200

serve weak --config "$work/keys.toml" --auth.required false --listen.console 127.0.0.1:0
log_in ops Ann >/dev/null
is "a role without rights is told" "$(code ops "$console/") $(by ops "$console/" | grep -oE 'flagscope.grant_operator' | head -1)" "503 flagscope.grant_operator"

serve again --config "$work/keys.toml" --auth.required false --listen.console 127.0.0.1:0 --console.database_url "$(url desk)" --auth.token_secret common
log_in ops Ann >/dev/null
"$TOOLS/cluster" stop test-gateway
is "without a database it says so, and comes again" "$(by ops -o "$work/page" -w '%{http_code} %header{retry-after} %header{refresh}' "$console/") $(grep -oE 'The database does not answer' "$work/page" | head -1)" \
  "503 3 3 The database does not answer"
"$TOOLS/cluster" start test-gateway --set flagscope.enabled=off
until_is "and is back with it" 20 200 code ops "$console/"
