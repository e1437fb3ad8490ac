#!/usr/bin/env bash
# Delivery by TLS: the receiver's certificate is checked, with the authority that is configured besides the system's.
. "$(dirname "$0")/gateway.bash"
command -v python3 >/dev/null && command -v openssl >/dev/null || { say "skipped: there is no python3 or no openssl" && exit 0; }
fresh_cluster test-gateway --set flagscope.enabled=off
sql "CREATE EXTENSION flagscope; CREATE ROLE gate LOGIN; SELECT flagscope.grant_writer('gate'), flagscope.grant_deliverer('gate')" >/dev/null
certificate() { openssl req -x509 "${@:2}" -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj "/CN=$1" -addext subjectAltName=IP:127.0.0.1 -keyout "$work/$1.key" -out "$work/$1.pem" 2>/dev/null; }
certificate authority
certificate receiver -CA "$work/authority.pem" -CAkey "$work/authority.key" -addext basicConstraints=critical,CA:FALSE
cat >"$work/receiver.py" <<'PYTHON'
import http.server, ssl, sys
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        with open(f"{sys.argv[1]}/got", "a") as out:
            out.write(f"{self.path} {self.headers['Authorization']} {self.headers['Host']}\n")
        self.send_response(204)
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{sys.argv[1]}/receiver.pem", f"{sys.argv[1]}/receiver.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
PYTHON
python3 "$work/receiver.py" "$work" >"$work/port" 2>/dev/null &
pids+=("$!")
until_is "the receiver is there" 20 1 grep -c . "$work/port"
port=$(cat "$work/port")
printf '[[deliver.sinks]]\nkind = "webhook"\nurl = "https://ann:pass@127.0.0.1:%s/hook?x=1"\n' "$port" >"$work/gateway.toml"
sql "INSERT INTO flagscope.outbox (kind, payload) VALUES ('health', '{\"name\": \"judging\", \"state\": \"ok\"}')"
serve wary --config "$work/gateway.toml"
problem() { sql "SELECT problem FROM flagscope.outbox_delivery"; }
until_is "a certificate of an unknown authority is refused" 20 1 eval 'problem | grep -c "invalid peer certificate"'
is "without the address, which may be a secret" "$(grep -cE 'pass|hook\?' "$work/wary.log" || true)" 0
kill "$pid" && wait "$pid" || true
serve trusting --config "$work/gateway.toml" --deliver.ca "$work/authority.pem"
sql "UPDATE flagscope.outbox_delivery SET next_try_at = now(); NOTIFY flagscope_outbox"
until_is "with its authority it is delivered" 20 t sql "SELECT ended_at IS NOT NULL AND problem IS NULL FROM flagscope.outbox_delivery"
is "to the right path, with the user of the address" "$(cat "$work/got")" "/hook?x=1 Basic $(printf 'ann:pass' | base64) 127.0.0.1:$port"
