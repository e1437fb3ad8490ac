#!/usr/bin/env bash
# A real browser: a page with OpenFeature's web SDK and its provider for OFREP, in Chromium, which asks the gateway from another
# origin (after a preflight, since it posts JSON): answers beside SQL, a change by the event stream, and an origin that the gateway
# does not know.
. "$(dirname "$0")/gateway.bash"
here=$ROOT/tests/gateway/browser
node_packages "$here" || { say "skipped: the packages of tests/gateway/browser cannot be installed by npm (no Node from version 20 on, or no network)" && exit 0; }
find_chromium || { say "skipped: there is no Chromium (apt-get install chromium)" && exit 0; }
cp "$here"/*.mjs "$modules" # beside what they import
(cd "$modules" && node_modules/.bin/esbuild page.mjs --bundle --format=iife --log-level=error --outfile="$work/bundle.js")
cp "$modules/drive.mjs" "$work" && ln -s "$modules/node_modules" "$work/node_modules"

fresh_cluster test-gateway --set flagscope.enabled=off
sql "CREATE EXTENSION flagscope; CREATE ROLE gate LOGIN"
sql "SELECT flagscope.grant_writer('gate'), flagscope.create_flag('changing-flag', '{\"old\": \"old\", \"new\": \"new\"}', 'old', 'string')" >/dev/null
port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
serve browser --cors.origins "http://127.0.0.1:$port"
cases_of_flagd v2 >"$work/cases"
count=$(wc -l <"$work/cases")
is "there are cases" "$([ "$count" -gt 60 ] && say many)" many
until_is "the flags are there" 10 200 status --data '{}' "$ofrep/ofrep/v1/evaluate/flags/boolean-flag"
printf '#!/usr/bin/env bash\npsql -XAtq -c "SELECT flagscope.set_default_variant('"'changing-flag', 'new'"')"\n' >"$work/change"
chmod +x "$work/change"
OFREP=${ofrep#http://} CHROMIUM=$chromium KNOWN_PORT=$port CHANGE=$work/change timeout 120 node "$work/drive.mjs" <"$work/cases" >"$work/told" 2>&1 || true
is "the web provider in Chromium answers as SQL, hears of a change, and a strange origin gets nothing" "$(cat "$work/told")" "known origin: ready
cases compared: $count
after a change: old became new
event stream: true
asked with the new version: true
unknown origin: refused without events"
