#!/usr/bin/env bash
# Delivery of the outbox: to a receiver of webhooks that fails at first, to chats, to PagerDuty's form, and to Debian's real
# Alertmanager; a sink that fails repeats only its own.
. "$(dirname "$0")/gateway.bash"
command -v python3 >/dev/null || { say "skipped: there is no python3 for the receivers" && exit 0; }
fresh_cluster test-gateway --set flagscope.enabled=off
sql "CREATE EXTENSION flagscope; CREATE ROLE gate LOGIN; SELECT flagscope.grant_writer('gate')" >/dev/null
export HOOK_SECRET=s3cret

# A receiver: /rubbish answers the first request with what is no HTTP, the second with 500, the third with 429; /down always
# 500; /moved redirects; /wrong 404; /slow never. It keeps what it answers with 200.
cat >"$work/receiver.py" <<'PYTHON'
import http.server, json, sys, threading
class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = {}
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        name = self.path.strip("/").split("?")[0]
        n = Receiver.seen[name] = Receiver.seen.get(name, 0) + 1
        if name == "rubbish" and n == 1:
            self.wfile.write(b"rubbish\n")
            self.close_connection = True
            return
        status = {"down": 500, "moved": 302, "wrong": 404}.get(name, 200)
        if name == "rubbish" and n in (2, 3):
            status = 500 if n == 2 else 429
        with open(f"{sys.argv[1]}/got.{name}", "a") as out:
            out.write(json.dumps({"status": status, "headers": {k.lower(): v for k, v in self.headers.items()}, "body": body}) + "\n")
        self.send_response(status)
        self.send_header("Content-Length", "4")
        self.send_header("Location", f"http://127.0.0.1:{server.server_port}/caught")
        if status == 429:
            self.send_header("Retry-After", "2")
        self.end_headers()
        self.wfile.write(b"told")
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
server.serve_forever()
PYTHON
python3 "$work/receiver.py" "$work" >"$work/port" &
pids+=("$!")
until_is "the receivers are there" 20 1 grep -c . "$work/port"
receiver=http://127.0.0.1:$(cat "$work/port")
got() { python3 - "$work/got.$1" "$2" <<'PYTHON'
import hashlib, hmac, json, sys
try:
    for line in open(sys.argv[1]):
        r = json.loads(line)
        h, b, body = r["headers"], json.loads(r["body"]), r["body"]
        if r["status"] == 200:
            print(eval(sys.argv[2]))
except FileNotFoundError:
    pass
PYTHON
}

# Debian's package of Alertmanager: installed, or else unpacked beside our tools. It reads its templates from /usr/share, so
# an unpacked one runs with its own /usr/share mounted there, in a mount namespace that nobody else sees.
manager=$TOOLS_HOME/alertmanager
run_alertmanager=(prometheus-alertmanager)
if ! command -v prometheus-alertmanager >/dev/null; then
  if [ ! -x "$manager/usr/bin/prometheus-alertmanager" ]; then
    mkdir -p "$manager" && (cd "$manager" && timeout 120 apt-get download -qq prometheus-alertmanager &&
      dpkg -x prometheus-alertmanager_*.deb .) >/dev/null 2>&1 || true
  fi
  # shellcheck disable=SC2016 # expanded by that shell
  run_alertmanager=(unshare --mount sh -c 'mount --bind "$0/usr/share" /usr/share && exec "$0/usr/bin/prometheus-alertmanager" "$@"' "$manager")
fi
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'route:\n  receiver: nobody\nreceivers:\n- name: nobody\n' >"$work/alertmanager.yml"
mkdir "$work/alertmanager"
"${run_alertmanager[@]}" --config.file="$work/alertmanager.yml" --storage.path="$work/alertmanager" \
  --web.listen-address="127.0.0.1:$port" --cluster.listen-address= >"$work/alertmanager.out" 2>&1 &
manager_pid=$!
pids+=("$manager_pid")
alertmanager=
deadline=$((SECONDS + 30))
while [ "$SECONDS" -lt "$deadline" ] && kill -0 "$manager_pid" 2>/dev/null; do
  if curl -fs "http://127.0.0.1:$port/-/ready" >/dev/null; then alertmanager=http://127.0.0.1:$port && break; fi
  sleep 0.1
done
[ -n "$alertmanager" ] || say "skipped: Alertmanager, since Debian's package is not there or cannot run: $(tail -1 "$work/alertmanager.out")"

cat >"$work/gateway.toml" <<TOML
[[deliver.sinks]]
kind = "webhook"
url = "$receiver/rubbish"
secret = "\$HOOK_SECRET"
[[deliver.sinks]]
kind = "slack"
url = "$receiver/slack"
actions = ["rollback", "hold"]
tags = ["payments"]
[[deliver.sinks]]
kind = "teams"
url = "$receiver/teams?sig=hidden"
environments = ["staging"]
[[deliver.sinks]]
kind = "pagerduty"
url = "$receiver/pagerduty"
secret = "R0UT1NG"
[[deliver.sinks]]
name = "down"
kind = "webhook"
url = "$receiver/down"
[[deliver.sinks]]
name = "moved"
kind = "webhook"
url = "$receiver/moved"
[[deliver.sinks]]
kind = "alertmanager"
url = "${alertmanager:-$receiver/alertmanager}"
TOML
is "--check names the sinks, without their secrets" "$("$gateway" --check --config "$work/gateway.toml" --database.url "$(url gate)" |
  grep -E 'deliver.sinks|s3cret|R0UT1NG|hidden')" 'deliver.sinks = ["webhook", "slack", "teams", "pagerduty", "down", "moved", "alertmanager"]'
is "a role that may not deliver is told which right it needs" "$(timeout 20 "$gateway" --config "$work/gateway.toml" --database.url "$(url gate)" \
  --listen.ofrep 127.0.0.1:0 --listen.admin 127.0.0.1:0 2>&1 | grep -oE "SELECT flagscope.grant_deliverer\('gate'\);")" "SELECT flagscope.grant_deliverer('gate');"
sql "SELECT flagscope.grant_deliverer('gate')" >/dev/null

# One decision a day old, which nobody gets; then what happens now.
sql "SELECT flagscope.create_flag('shop'), flagscope.create_metric('errors', 'proportion', 'span', '{}', '{\"is_error\": true}');
  UPDATE flagscope.flag_definition SET tags = '{payments}'" >/dev/null
sql "SELECT flagscope.create_guardrail('shop', 'errors', min_sample => 1)" >/dev/null
sql "SELECT flagscope.start_rollout(flagscope.create_rollout('shop', stages => '{50, 100}'), reason => 'release 3', actor => 'ann')" >/dev/null
sql "INSERT INTO flagscope.outbox (kind, payload, created_at) VALUES ('decision', '{\"rollout_id\": 0, \"action\": \"hold\", \"flag\": \"old\"}', now() - interval '25 hours')"
serve one --config "$work/gateway.toml"
first=$pid
serve two --config "$work/gateway.toml"
ended() { sql "SELECT string_agg(sink, ' ' ORDER BY sink) FROM flagscope.outbox_delivery WHERE outbox_id = $1 AND problem IS NULL AND ended_at IS NOT NULL"; }
until_is "what fails is tried again: rubbish, 500 and 429" 30 "webhook" ended 1
is "each at its time" "$(sql "SELECT attempts FROM flagscope.outbox_delivery WHERE outbox_id = 1 AND sink = 'webhook'")" 4
sql "INSERT INTO flagscope.telemetry (ts, signal, name, flags, is_error)
  SELECT clock_timestamp(), 'span', 'x', jsonb_build_object('shop', v), v = 'on' AND i % 2 = 0 FROM generate_series(1, 100) i, unnest('{on,off}'::text[]) v"
is "flagscope rolls back" "$(sql "SELECT (flagscope.tick()).decisions")" 1
until_is "a decision wakes the deliverers, and each sink that wants it gets it" 8 "alertmanager pagerduty slack webhook" ended 3
is "once, though two gateways deliver" "$(got rubbish 'h["idempotency-key"]' | sort | paste -sd' '; got slack 'h["idempotency-key"]'; got pagerduty 'h["idempotency-key"]')" "flagscope-1 flagscope-3
flagscope-3
flagscope-3"
is "the webhook gets the decision itself, signed" "$(got rubbish '(b["action"], h["flagscope-kind"], h["flagscope-signature"].split("v1=")[1] ==
  hmac.new(b"s3cret", (h["flagscope-signature"].split(",")[0][2:] + "." + body).encode(), hashlib.sha256).hexdigest())')" "('start', 'decision', True)
('rollback', 'decision', True)"
is "Slack gets words" "$(got slack 'b["blocks"][0]["text"]["text"]')" "*Rolled back: shop in production, 50 % to 0 % of users*"
is "PagerDuty gets an event" "$(got pagerduty '(b["routing_key"], b["event_action"], b["dedup_key"], b["payload"]["severity"])')" \
  "('R0UT1NG', 'trigger', 'flagscope/postgres/rollout/1', 'critical')"
alerts() { curl -fs "$alertmanager/api/v2/alerts" | python3 -c '
import json, sys
for a in json.load(sys.stdin):
    l = a["labels"]
    print(l["alertname"], l["severity"], l.get("flag", l.get("name")), a["status"]["state"], a["annotations"]["explain"])'; }
if [ -n "$alertmanager" ]; then
  is "Alertmanager has one alert: the rollback" "$(alerts)" "FlagscopeDecision critical shop active SELECT flagscope.explain_decision(2)"
fi
is "Teams is told of staging alone, and old news is nobody's" "$(got teams 'b'; sql "SELECT DISTINCT sink, problem FROM flagscope.outbox_delivery
  WHERE sink = 'teams' AND outbox_id = 3 OR sink = 'slack' AND outbox_id = 2 ORDER BY 1")" "slack|older than deliver.max_age
teams|the sink is not configured for it"
is "a sink that is down has told why, and is tried again" "$(sql "SELECT problem, attempts > 0, ended_at IS NULL FROM flagscope.outbox_delivery WHERE sink = 'down' AND outbox_id = 1")" "HTTP 500: told|t|t"
is "a redirect is not followed" "$(sql "SELECT problem FROM flagscope.outbox_delivery WHERE sink = 'moved' AND outbox_id = 1"; got caught body)" \
  "HTTP 302: redirects are not followed, so that no other host gets it"
is "the rows are not delivered before all sinks are done" "$(sql "SELECT count(delivered_at) FROM flagscope.outbox WHERE id IN (1, 3)")" 0

# News about the judging itself goes everywhere, and an end never overtakes its beginning.
sql "SET client_min_messages = error; SELECT _flagscope.raise_alert('judging', now(), 'NOT judging since noon')" >/dev/null
until_is "what is wrong with the judging is told everywhere" 20 "alertmanager pagerduty slack teams webhook" ended 4
if [ -n "$alertmanager" ]; then is "as an alert" "$(alerts | grep Health)" "FlagscopeHealth critical judging active SELECT * FROM flagscope.status()"; fi
sql "SELECT _flagscope.end_alerts('{judging}', 'judged again')" >/dev/null
until_is "and that it is over" 20 "alertmanager pagerduty slack teams webhook" ended 5
if [ -n "$alertmanager" ]; then is "which ends the alert" "$(alerts | grep Health || true)" ""; fi
is "PagerDuty's incident is resolved" "$(got pagerduty '(b["event_action"], b["dedup_key"])' | tail -n 2)" "('trigger', 'flagscope/postgres/health/judging')
('resolve', 'flagscope/postgres/health/judging')"
is "a sink that is down has not got the second of a topic" "$(sql "SELECT count(*) FROM flagscope.outbox_delivery WHERE sink = 'down' AND outbox_id = 5 AND attempts > 0")" 0
# What the receiver calls wrong is given up after ten tries, and told.
sql "UPDATE flagscope.outbox_delivery SET attempts = 9, next_try_at = now() WHERE sink = 'moved' AND outbox_id = 1; NOTIFY flagscope_outbox"
until_is "what is wrong for good is given up" 20 1 sql "SELECT count(*) FROM flagscope.outbox_delivery WHERE sink = 'moved' AND outbox_id = 1 AND ended_at IS NOT NULL"
is "status() tells it" "$(sql "SELECT state, detail ~ 'sink moved: HTTP 302' FROM flagscope.health WHERE name = 'outbox'")" "warning|t"
is "so do the metrics" "$(for who in one two; do
  admin=http://$(sed -nE 's/.* listening addresses=.*,//p' "$work/$who.log")
  counted 'deliveries_total\{sink="slack",outcome="delivered"\}'
done | awk '{ n += $1 } END { print n }')" 3
is "no secret is in the logs" "$(grep -cE 's3cret|R0UT1NG|hidden' "$work"/one.log "$work"/two.log | cut -d: -f2 | paste -sd' ')" "0 0"

# A gateway that is killed while it sends: after the lease another one does.
kill -9 "$first"
sql "UPDATE flagscope.outbox_delivery SET next_try_at = now() WHERE sink = 'down' AND outbox_id = 1"
tried=$(sql "SELECT attempts FROM flagscope.outbox_delivery WHERE sink = 'down' AND outbox_id = 1")
sql "NOTIFY flagscope_outbox"
until_is "the other gateway goes on" 20 t sql "SELECT attempts > $tried FROM flagscope.outbox_delivery WHERE sink = 'down' AND outbox_id = 1"
is "a deliverer can do no more" "$(sql "CREATE ROLE teller LOGIN; SELECT flagscope.grant_deliverer('teller')" >/dev/null
  PGUSER=teller psql -XAtqc 'SELECT count(*) FROM flagscope.decision' 2>&1 | grep -c 'permission denied')" 1
# A queue of notifications that nobody empties must not fail a decision: then it is only not announced.
is "no decision depends on NOTIFY" "$(sql "SELECT prosrc ~ 'pg_notification_queue_usage' FROM pg_proc WHERE proname = 'wake_deliverers'")" t
