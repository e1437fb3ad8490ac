#!/usr/bin/env bash
# The console in a real browser, Debian's Chromium: every page in light and dark, wide and on a phone, without an error or a violation
# that axe-core finds; hostile names are text; an approval by keyboard; a rollback of the worker that appears by itself; a database that
# goes away and comes back; all of it without a script, too; a link that is followed on another site.
. "$(dirname "$0")/gateway.bash"
here=$ROOT/tests/gateway/console
node_packages "$here" || { say "skipped: the packages of tests/gateway/console cannot be installed by npm (no Node from version 20 on, or no network)" && exit 0; }
find_chromium || { say "skipped: there is no Chromium (apt-get install chromium)" && exit 0; }
cp "$here/drive.mjs" "$modules" # beside what it imports

fresh_cluster test-gateway
psql -XAtq -v ON_ERROR_STOP=1 -f "$here/data.sql" >/dev/null
read -r key digest < <("$gateway" key new | sed -nE "1p; s/.*sha256 = \"([0-9a-f]{64})\".*/\1/p" | paste -sd' ')
printf '[auth]\nkeys = [{ id = "ops", sha256 = "%s", scopes = ["operate"] }]\n' "$digest" >"$work/keys.toml"
serve console --config "$work/keys.toml" --listen.console 127.0.0.1:0 --console.database_url "$(url desk)"
cat >"$work/happen" <<SH
#!/usr/bin/env bash
set -e
sql() { psql -XAtq -v ON_ERROR_STOP=1 -c "\$1"; }
case \$1 in
# Whose page is open hears of it, though it is of the same rollout and nothing moves.
other) sql "SELECT flagscope.pause_rollout(1, 'seen from elsewhere', 'bob') IS NOT NULL" ;;
approved) sql "SELECT actor || ': ' || reason FROM flagscope.decision WHERE action = 'approve'" ;;
bad)
  sql "SELECT traffic(key, 0.9) FROM flagscope.flag_definition WHERE key LIKE '<script>%'" >/dev/null
  until at=\$(sql "SELECT round(1000 * extract(epoch FROM at)) FROM flagscope.decision WHERE rollout_id = 2 AND action = 'rollback' AND actor = 'flagscope'") && [ -n "\$at" ]; do sleep 0.02; done
  printf '%s\n' "\$at" ;;
away) "$TOOLS/cluster" stop test-gateway ;;
back) "$TOOLS/cluster" start test-gateway ;;
esac
SH
chmod +x "$work/happen"
CONSOLE=$console KEY=$key CHROMIUM=$chromium HAPPEN=$work/happen PICTURE=$work/page.png timeout 240 node "$modules/drive.mjs" >"$work/told" 2>"$work/node.log" || true
say "# $(grep -F 'ms after' "$work/node.log" || true)"
is "the console in Chromium" "$(cat "$work/told" <(grep -vF 'ms after' "$work/node.log" || true))" "pages: 24 looked at, problems: 0
a decision elsewhere: t
what is being typed stays: looks \"good\" to <me> true
approved: Ann (ops): looks \"good\" to <me>
a rollback appears by itself: true
the database was away, and the page is back: true
without a script: true
logged out: /login
a link in a chat: /rollout/1"
