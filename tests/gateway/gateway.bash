# shellcheck shell=bash
# Sourced by the tests of the gateway: a cluster with the extension and a role, and gateways on ports of their own.
. "$(dirname "${BASH_SOURCE[0]}")/../../tools/testlib.sh"
. "$TOOLS/lib.sh"
. "$TOOLS/node.sh"
gateway=$TARGET/release/flagscope-gateway
[ -x "$gateway" ] || die "$gateway is missing: tools/build gateway"
work=$(mktemp -d)
pids=()
clean_up() {
  [ "${#pids[@]}" = 0 ] || { kill -CONT "${pids[@]}" && kill "${pids[@]}" && wait "${pids[@]}"; } 2>/dev/null || true
  if [ "$not_ok" != 0 ]; then tail -n 30 "$work"/*.log 2>/dev/null | sed 's/^/#   /' || true; fi
  rm -rf "$work"
  end_of_test
}
trap clean_up EXIT

url() { printf 'postgresql://%s@/%s?host=%s&port=%s' "$1" "${PGDATABASE:-postgres}" "${PGHOST//\//%2F}" "$PGPORT"; }

# serve NAME [--key value ...]: starts a gateway on free ports and waits until it listens; otlp=, ofrep=, admin=, console= (if it has one) are its URLs, grpc=, rpc=, sync= its addresses.
serve() {
  local name=$1 deadline=$((SECONDS + 10))
  shift
  DATABASE_URL=$(url gate) "$gateway" --listen.otlp_http 127.0.0.1:0 --listen.otlp_grpc 127.0.0.1:0 \
    --listen.ofrep 127.0.0.1:0 --listen.flagd_rpc 127.0.0.1:0 --listen.flagd_sync 127.0.0.1:0 \
    --listen.admin 127.0.0.1:0 "$@" >/dev/null 2>"$work/$name.log" &
  pid=$!
  pids+=("$pid")
  until grep -q ' listening ' "$work/$name.log" 2>/dev/null; do
    [ "$SECONDS" -lt "$deadline" ] && kill -0 "$pid" 2>/dev/null || { not_ok "gateway $name listens" "$(cat "$work/$name.log")" && exit 1; }
    sleep 0.05
  done
  # shellcheck disable=SC2034 # for the tests
  IFS=, read -r otlp grpc ofrep rpc sync admin console < <(sed -nE 's/.* listening addresses=(.*)/\1/p' "$work/$name.log")
  otlp=http://$otlp ofrep=http://$ofrep admin=http://$admin console=http://$console
}

# until "text" seconds want command...: runs it until it says what is wanted.
until_is() {
  local text=$1 deadline=$((SECONDS + $2)) want=$3 got
  shift 3
  while :; do
    got=$("$@" 2>&1 || true)
    [ "$got" != "$want" ] || break
    [ "$SECONDS" -lt "$deadline" ] || { is "$text" "$got" "$want" && return; }
    sleep 0.05
  done
  ok "$text"
}

# post PATH [BODY] [curl's arguments]: the body of the answer.
post() { curl -sS -X POST --data "${2:-}" "${@:3}" "$ofrep$1"; }
status() { curl -sS -o /dev/null -w '%{http_code}' "$@"; }
# counted 'name\{labels\}': a number of /metrics; 0 when nothing was counted yet.
counted() { curl -sS "$admin/metrics" | sed -nE "s/^flagscope_gateway_$1 //p" | grep . || say 0; }

# hold SQL: a transaction that has run it and stays open, until it is released.
hold() {
  rm -f "$work/hold" && mkfifo "$work/hold"
  psql -XAtq -v ON_ERROR_STOP=1 <"$work/hold" >"$work/held" 2>&1 &
  holder=$!
  pids+=("$holder")
  exec 4>"$work/hold"
  say "BEGIN; $1; SELECT 'held';" >&4
  until_is "a session holds: $1" 20 held cat "$work/held"
}
release() { # by a word, since those who were started meanwhile have the pipe open, too
  printf 'COMMIT;\n\\q\n' >&4
  exec 4>&-
  wait "$holder"
}

# Installs the packages of requirements.txt once; venv= is where.
python_clients() {
  venv=$TOOLS_HOME/gateway-$(cksum <"$ROOT/tests/gateway/requirements.txt" | cut -d' ' -f1)
  [ -e "$venv/.complete" ] || { python3 -m venv --clear "$venv" && timeout 300 "$venv/bin/pip" install --quiet --disable-pip-version-check \
    --retries 1 -r "$ROOT/tests/gateway/requirements.txt" && touch "$venv/.complete"; } >/dev/null 2>&1
}

# cases_of_flagd v2|v3: imports the flags of flagd's cases with a bucketing; prints each case as JSON with what SQL answers.
cases_of_flagd() {
  psql -XAtq -v ON_ERROR_STOP=1 -v folder="$ROOT/tests/data/flagd-cases" -v bucketing="$1" <<'SQL'
\setenv FOLDER :folder
\set set `cat "$FOLDER/flagsets.json"`
\set cases `cat "$FOLDER/cases.json"`
SET flagscope.bucketing = :'bucketing';
SELECT count(*) AS imported FROM flagscope.import_flagd(:'set'::jsonb -> 'testkit') \gset
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
}
