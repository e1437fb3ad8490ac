#!/usr/bin/env bash
# What the operator has: the sample configuration and the systemd unit of examples/gateway, the words of --check and --help,
# and what is said of a database that is not one for this gateway.
. "$(dirname "$0")/gateway.bash"
sample=$ROOT/examples/gateway
is "the sample configuration is right" "$("$gateway" --check --config "$sample/gateway.toml" | grep -E '^(environment|listen.ofrep|flags.snapshot|log.format|deliver.sinks) ')" \
  'listen.ofrep = "127.0.0.1:8016"
environment = "production"
flags.snapshot = "/var/lib/flagscope-gateway/flags.json"
log.format = "json"
deliver.sinks = []'
# What stands there as a comment is right, too.
sed -E 's/^# (\[auth\]|\[console\]|console = |database_url = |nodes = |nodes_by = |session = |keys = \[|  \{ id|\]|\[tls\]|cert = |key = |\[\[deliver|kind = |name = |url = |secret = |actions = |environments = )/\1/' "$sample/gateway.toml" |
  sed "s/sha256 = \"\.\.\.\"/sha256 = \"$(printf '%064d' 0)\"/" >"$work/whole.toml"
is "so is what it has as comments" "$(SLACK_URL=https://hooks.slack.com/x PAGERDUTY_ROUTING_KEY=r WEBHOOK_SECRET=s "$gateway" --check --config "$work/whole.toml" 2>&1 |
  grep -vE '^[a-z0-9_.]+ = ' ; SLACK_URL=https://hooks.slack.com/x PAGERDUTY_ROUTING_KEY=r WEBHOOK_SECRET=s "$gateway" --check --config "$work/whole.toml" | grep -E "^(database.nodes|auth.keys|deliver.sinks) ")" \
  'database.nodes = "postgresql://gateway@eu-1.example/shop,postgresql://gateway@eu-2.example/shop"
auth.keys = ["shop", "oncall"]
deliver.sinks = ["slack", "pager", "webhook"]'
help=$("$gateway" --help)
is "--help names each key that --check shows" "$("$gateway" --check --database.url postgresql://h/d | grep -vE '^(auth.keys|deliver.sinks) ' |
  sed 's/ = .*//' | while read -r key; do grep -qE -- "--$key " <<<"$help" || say "$key"; done)" ""
is "the version is the extension's" "$("$gateway" --version)" "flagscope-gateway $(sed -nE 's/^version = "(.*)"/\1/p' "$ROOT/Cargo.toml" | head -n 1)"

if command -v systemd-analyze >/dev/null; then
  # With the program where it is now: it need not be installed.
  sed "s|^ExecStart=[^ ]*|ExecStart=$gateway|" "$sample/flagscope-gateway.service" >"$work/flagscope-gateway.service"
  is "systemd has nothing to say of the unit" "$(SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no "$work/flagscope-gateway.service" 2>&1 |
    grep -F flagscope-gateway || true)" ""
else
  say "skipped: the systemd unit (there is no systemd-analyze)"
fi

# fails "text" 'part of what it says' arguments: the gateway ends with 2.
fails() {
  local text=$1 part=$2 said status=0
  shift 2
  said=$(timeout 20 "$gateway" --listen.ofrep 127.0.0.1:0 --listen.admin 127.0.0.1:0 "$@" 2>&1) || status=$?
  [[ $said = *"$part"* ]] && said=right
  is "$text" "$status $said" "2 right"
}
fresh_cluster test-gateway --set flagscope.enabled=off
fails "without a database's URL it says so" "database.url is missing"
fails "a key that does not exist is an error" "flags.pol is no key" --flags.pol 5s --database.url "$(url postgres)"
fails "without the extension it says what to do" "As a superuser, in it: CREATE EXTENSION flagscope;" --database.url "$(url postgres)"
sql "CREATE EXTENSION flagscope; CREATE ROLE gate LOGIN"
fails "a role without rights is told which it needs" "SELECT flagscope.grant_writer('gate');" --database.url "$(url gate)"
sql "SELECT flagscope.grant_writer('gate'); UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'flagscope'" >/dev/null
fails "another version is told, too" "has flagscope 0.0.9" --database.url "$(url gate)"
sql "UPDATE pg_extension SET extversion = x.default_version FROM pg_available_extensions x WHERE extname = 'flagscope' AND x.name = extname"
fails "an environment that does not exist" 'environment "prodaction" does not exist' --database.url "$(url gate)" --environment prodaction
is "--check shows the configuration without secrets" \
  "$("$gateway" --check --database.url 'postgresql://gate:hunter2@db.example/shop' --flags.poll 5s | grep -cE '^database.url = "postgresql://gate@db.example/shop"$|^flags.poll = "5s"$|hunter2')" 2

# As tools/install does it: into a folder of ours.
install -D -m 755 "$gateway" "$work/bin/flagscope-gateway"
is "what is installed runs" "$("$work/bin/flagscope-gateway" --version)" "$("$gateway" --version)"
