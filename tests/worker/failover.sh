#!/usr/bin/env bash
# Failover in the middle of a breach: 12 rollouts go bad, the primary is killed while its worker rolls them back, and the
# standby is promoted. Each is rolled back exactly once, by the one or the other.
. "$(dirname "$0")/../../tools/testlib.sh"
. "$TOOLS/lib.sh"
use_postgres
own_run
rollouts=12
fresh_cluster test-primary --set flagscope.interval=20ms
psql -XAtq -v ON_ERROR_STOP=1 >/dev/null <<SQL
CREATE EXTENSION flagscope;
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_flag('flag-' || i), flagscope.create_guardrail('flag-' || i, 'errors'),
    flagscope.start_rollout(flagscope.create_rollout('flag-' || i, stages => '{50, 100}', min_duration => '1 hour'))
FROM generate_series(1, $rollouts) i;
SQL

"$TOOLS/cluster" destroy test-standby
standby=$RUN/test-standby
if [ "$(id -u)" = 0 ]; then install -d -m 700 -o "$SERVER_USER" "$standby"; else install -d -m 700 "$standby"; fi
as_server cp "$RUN/test-primary/password" "$standby/password"
as_server "$SERVER_BIN/pg_basebackup" -h "$PGHOST" -p "$PGPORT" -U postgres -D "$standby/data" -R -X stream -c fast
"$TOOLS/cluster" start test-standby --set flagscope.interval=20ms >/dev/null
fresh_clusters+=(test-standby)
on_standby() { (eval "$("$TOOLS/cluster" env test-standby)" && "$@"); }
on_standby poll "the standby follows" 20 "SELECT count(*) FROM flagscope.rollout WHERE status = 'running'" $rollouts
is "and ticks nothing" "$(on_standby sql "SELECT says FROM flagscope.status() WHERE item = 'worker'")" \
  'waiting: this server is a standby; it starts after promotion'

# Bad rows, flag by flag; the primary dies at a moment that nobody chose.
feed() {
  sql "INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags)
    SELECT clock_timestamp(), 'span', 'pay', i % 4 = 0, jsonb_build_object('flag-$1', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END)
    FROM generate_series(1, 200) i" >/dev/null 2>&1
}
for flag in $(seq $rollouts); do feed "$flag" || true; done &
feeder=$!
sleep "0.$((RANDOM % 7 + 2))"
"$TOOLS/cluster" crash test-primary
wait $feeder || true
on_standby sql 'SELECT pg_promote()' >/dev/null
on_standby poll "the promoted server has a worker" 30 "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'flagscope worker'" 1
for flag in $(seq $rollouts); do on_standby feed "$flag"; done
on_standby poll "every rollout is rolled back" 30 "SELECT count(*) FROM flagscope.rollout WHERE status = 'rolled_back'" $rollouts
is "by exactly one decision each" "$(on_standby sql "SELECT count(*), count(DISTINCT rollout_id) FROM flagscope.decision
  WHERE action = 'rollback'")" "$rollouts|$rollouts"
is "each told once" "$(on_standby sql "SELECT count(*) FROM flagscope.outbox WHERE kind = 'decision' AND payload ->> 'action' = 'rollback'")" $rollouts
is "the flags serve what the decisions say" "$(on_standby sql "SELECT count(*) FROM flagscope.flag_state s JOIN flagscope.decision d
  ON d.id = s.decision_id AND d.action = 'rollback' WHERE s.percent IS NULL AND s.default_variant = 'off'")" $rollouts
is "every decision's evidence can be computed anew" "$(on_standby sql "SELECT count(*) FROM flagscope.decision d, LATERAL
  (SELECT r.log_e_recomputed FROM _flagscope.replay_evidence(d.id) WITH ORDINALITY r(at, nt, yt, nc, yc, log_e_stored, log_e_recomputed, nr) ORDER BY nr DESC LIMIT 1) r
  WHERE d.action = 'rollback' AND abs(r.log_e_recomputed - (d.evidence ->> 'log_e')::float8) > 1e-9")" 0
