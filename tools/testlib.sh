# shellcheck shell=bash
# What the bash tests say things with. A test is a script like this; its lines are counted by tools/check:
#
#   . "$(dirname "$0")/../../tools/testlib.sh"
#   fresh_cluster test-tick --set flagscope.tick=1s
#   sql "CREATE EXTENSION flagscope"
#   is "starts empty" "$(sql 'SELECT count(*) FROM flagscope.flag_definition')" 0
#   poll "the worker ticks" 10 'SELECT count(*) > 0 FROM flagscope.evaluation' t
#   fails_with "an unknown flag is an error" "SELECT flagscope.variant('x', 'u')" 42704
set -euo pipefail

TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
not_ok=0
fresh_clusters=()

ok() { printf 'ok - %s\n' "$1"; }
not_ok() {
  not_ok=$((not_ok + 1))
  printf 'not ok - %s\n' "$1"
  shift
  [ $# = 0 ] || printf '#   %s\n' "$@"
}

# A new cluster, its environment (PGHOST ...) for every command after, and its end with the script's.
fresh_cluster() {
  "$TOOLS/cluster" destroy "$1"
  "$TOOLS/cluster" start "$@"
  fresh_clusters+=("$1")
  eval "$("$TOOLS/cluster" env "$1")"
}

# Its result unaligned, without headings. Its errors stop the test, unless they are asked for.
sql() { psql -XAtq -v ON_ERROR_STOP=1 -c "$1"; }

# is "text" got want
is() {
  if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "got:  $2" "want: $3"; fi
}

# poll "text" seconds 'sql' want: asks until the answer is right. An error is an answer, too: a server may be starting.
poll() {
  local deadline=$((SECONDS + $2)) got
  while :; do
    got=$(sql "$3" 2>&1 || true)
    [ "$got" != "$4" ] || break
    if [ "$SECONDS" -ge "$deadline" ]; then
      not_ok "$1" "after $2 s" "got:  $got" "want: $4"
      return
    fi
    sleep 0.1
  done
  ok "$1"
}

# fails_with "text" 'sql' sqlstate
fails_with() {
  local got
  if got=$(psql -XAtq -v ON_ERROR_STOP=1 -v VERBOSITY=sqlstate -c "$2" 2>&1); then
    not_ok "$1" "it did not fail" "want: $3"
    return
  fi
  got=$(sed -nE 's/^(ERROR|FATAL|PANIC): +([0-9A-Z]{5})$/\2/p' <<<"$got")
  is "$1" "$got" "$3"
}

end_of_test() {
  local status=$? name
  trap - EXIT
  [ "$status" = 0 ] || not_ok "${0##*/} broke off${broke_at:+ at line $broke_at}, exit status $status"
  for name in "${fresh_clusters[@]}"; do
    if [ "$not_ok" != 0 ]; then
      printf '# the last lines of the log of cluster %s:\n' "$name"
      { tail -15 "$("$TOOLS/cluster" log "$name")" || true; } | sed 's/^/#   /'
    fi
    "$TOOLS/cluster" destroy "$name"
  done
  [ "$not_ok" = 0 ] || exit 1
}
trap 'broke_at=$LINENO' ERR
trap end_of_test EXIT
