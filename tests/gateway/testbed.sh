#!/usr/bin/env bash
# flagd's own test bed (flagd-testbed 3.10.3): its scenarios for providers, played by OpenFeature's provider for Python against
# the gateway, by RPC and in-process, each with a gateway and a database of its own, side by side. The scenarios come from the
# crate open-feature-flagd 0.3.0, which carries them (Apache-2.0).
#
# Left out: what is no matter of a server (@file, @unixsocket, @customCert, @targetURI), other bucketings than the provider's
# third (@fractional-v1, @fractional-v2), @deprecated, @forbidden (the gateway has no place where everybody is refused), and two features for values
# that a flagd is started with and that enrich contexts (contextEnrichment, sync-payload): the gateway offers none.
. "$(dirname "$0")/gateway.bash"
here=$ROOT/tests/gateway
python_clients || { say "skipped: the packages of tests/gateway cannot be installed by pip (no python3, or no network)" && exit 0; }
cargo info --quiet open-feature-flagd@0.3.0 >/dev/null 2>&1 || true # which downloads and unpacks it
testbed=$(find "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/open-feature-flagd-0.3.0/flagd-testbed -maxdepth 0 2>/dev/null | head -1)
[ -n "$testbed" ] || { say "skipped: flagd's test bed cannot be had (no network for cargo)" && exit 0; }
fresh_cluster test-gateway --set flagscope.enabled=off
sql "CREATE ROLE gate LOGIN"
# As the test bed does it: all files are one, since rules of one name evaluators of another; but for those chosen by a selector.
"$venv/bin/python" - "$work/all.json" "$testbed"/flags/[!s]*.json <<'PY'
import json, sys
whole = {"flags": {}, "$evaluators": {}}
for name in sys.argv[2:]:
    document = json.load(open(name))
    for part in whole:
        whole[part].update(document.get(part, {}))
json.dump(whole, open(sys.argv[1], "w"))
PY
import() { # import FILE ENVIRONMENT
  psql -XAtq -v ON_ERROR_STOP=1 -v file="$1" -v environment="$2" <<'SQL' >/dev/null
\setenv FILE :file
\set document `cat "$FILE"`
SET flagscope.bucketing = 'v3';
SELECT count(*) FROM flagscope.import_flagd(:'document'::jsonb, :'environment');
SQL
}
fill() { # the test bed's flags, in the database PGDATABASE
  sql "CREATE EXTENSION flagscope"
  sql "SELECT flagscope.grant_writer('gate'), flagscope.create_environment('rawflags/selector-flags.json'),
    flagscope.create_environment('rawflags/selector-flag-combined-metadata.json')" >/dev/null
  import "$work/all.json" production
  for name in selector-flags.json selector-flag-combined-metadata.json; do import "$testbed/flags/$name" "rawflags/$name"; done
  sql "UPDATE flagscope.environment_definition SET aliases = aliases || '{flags/allFlags.json}' WHERE key = 'production'"
}
# What the test bed's own launchpad does, for the gateway of one resolver, at addresses that it keeps.
launchpad() { # launchpad RESOLVER
  cat <<END
#!/usr/bin/env bash
start() {
  DATABASE_URL='$(url gate)' '$gateway' --listen.otlp_http '' --listen.otlp_grpc '' --listen.ofrep '' --listen.admin '' \\
    --listen.flagd_rpc $rpc --listen.flagd_sync $sync \\
    --environment 'production,flags/allFlags.json,rawflags/selector-flags.json,rawflags/selector-flag-combined-metadata.json' \\
    >/dev/null 2>>'$work/$1.log' &
  echo \$! >'$work/$1.pid'
}
case \$1 in
start) start ;;
stop) kill -KILL \$(cat '$work/$1.pid') ;;
restart) "\$0" stop && sleep "\$2" && start ;;
modify) psql -XAtq -d '$1' -c "SELECT flagscope.set_default_variant('changing-flag', CASE default_variant WHEN 'foo' THEN 'bar' ELSE 'foo' END)
  FROM flagscope.flag_state WHERE flag = 'changing-flag' AND environment = 'production'" >/dev/null ;;
esac
END
}
for resolver in rpc in-process; do
  sql "CREATE DATABASE \"$resolver\""
  export PGDATABASE=$resolver
  fill
  serve "free-$resolver" # which finds ports that are free
  kill "${pids[@]}" && wait "${pids[@]}" 2>/dev/null || true
  pids=()
  launchpad "$resolver" >"$work/$resolver-launchpad"
  chmod +x "$work/$resolver-launchpad"
  printf -v "address_${resolver//-/_}" 'FLAGD_RPC=%s FLAGD_SYNC=%s' "$rpc" "$sync"
done
trap 'for resolver in rpc in-process; do "$work/$resolver-launchpad" stop || true; done; clean_up' EXIT
mkdir -p "$work/features/steps"
cp "$testbed"/gherkin/{evaluation,targeting,disabled,events,metadata,rpc-caching,selector,connection}.feature "$here/testbed/environment.py" "$work/features"
cp "$here/testbed/steps.py" "$work/features/steps"
out='not @deprecated and not @unixsocket and not @customCert and not @targetURI and not @forbidden and not @fractional-v1 and not @fractional-v2'
play() { # play RESOLVER
  local address=address_${1//-/_}
  "$work/$1-launchpad" start
  # shellcheck disable=SC2086 # two variables
  env PYTHONDONTWRITEBYTECODE=1 RESOLVER="$1" ${!address} LAUNCHPAD="$work/$1-launchpad" "$venv/bin/python" -m behave \
    --no-color --no-snippets --no-capture --format progress --tags "@$1 and $out" "$work/features" >"$work/$1.out" 2>&1
}
play rpc &
play in-process || true
wait $! || true
# A rule that cannot be read is refused when it is written: there is no such flag, where flagd has one that answers PARSE_ERROR.
# A flag of one environment is in all others, disabled: there a flag of another file is unknown.
refused=$'Errors and edge cases -- @1.2\nRef to nonexistent evaluator yields parse error'
disabled=$(printf 'Flags not found -- @1.%s\n' 1 2 3 4)
for resolver in rpc in-process; do
  summary=$(grep -E '^[0-9]+ scenarios? passed' "$work/$resolver.out" || tail -1 "$work/$resolver.out")
  is "flagd's test bed by $resolver ($summary): all but flags that are refused, and flags of another environment" \
    "$(sed -nE 's/^ +\S+\.feature:[0-9]+ +(.*[^ ]) *$/\1/p' "$work/$resolver.out" | LC_ALL=C sort -u)" \
    "$(if [ "$resolver" = rpc ]; then say "$refused"; else printf '%s\n' "$refused" "$disabled" | LC_ALL=C sort; fi)"
  is "and that is most of it" "$([ "$(grep -oE '^[0-9]+' <<<"$summary")" -gt 80 ] && say yes)" yes
  [ "$not_ok" = 0 ] || grep -B2 -A12 -E 'Failing scenarios|ASSERT FAILED|Traceback' "$work/$resolver.out" | head -60 | sed 's/^/#   /'
done
