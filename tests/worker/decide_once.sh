#!/usr/bin/env bash
# Killed at any moment, the worker decides everything once and loses nothing: 40 rollouts go bad while the worker (and with
# it every session) and the postmaster are killed again and again.
. "$(dirname "$0")/../../tools/testlib.sh"
settings=(--set flagscope.interval=10ms)
fresh_cluster test-once "${settings[@]}"
rollouts=40

psql -XAtq -v ON_ERROR_STOP=1 >/dev/null <<SQL
CREATE EXTENSION flagscope;
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}');
SELECT flagscope.create_flag('flag-' || i), flagscope.create_guardrail('flag-' || i, 'errors'),
    flagscope.create_guardrail('flag-' || i, 'duration'),
    flagscope.start_rollout(flagscope.create_rollout('flag-' || i, stages => '{50, 100}', min_duration => '1 hour'))
FROM generate_series(1, $rollouts) i;
SQL

# Each batch is one transaction of one flag: from the tenth on, its treatment fails.
feed() {
  for _ in $(seq 40); do
    ! sql "INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, flags)
      SELECT clock_timestamp(), 'span', 'pay', 0.1 + i % 9 * 0.01, $2 AND i % 4 = 0, jsonb_build_object('flag-$1', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END)
      FROM generate_series(1, 200) i" 2>/dev/null || return 0
    sleep 0.05
  done
}

kills=0 crashes=0
for round in $(seq 12); do
  for flag in $(seq 1 $rollouts); do feed "$flag" "$([ $round -ge 9 ] && echo true || echo false)"; done &
  feeder=$!
  # SIGKILL at a moment that nobody chose: the fraction of a second that the clock happens to show.
  for _ in 1 2; do
    sleep "0.$((RANDOM % 6 + 2))"
    pid=$(sql "SELECT pid FROM pg_stat_activity WHERE backend_type = 'flagscope worker'" 2>/dev/null || true)
    if [ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null; then kills=$((kills + 1)); fi
  done
  sleep "0.$((RANDOM % 6 + 2))"
  "$TOOLS/cluster" crash test-once
  "$TOOLS/cluster" start test-once "${settings[@]}" >/dev/null && crashes=$((crashes + 1))
  wait $feeder
done
if [ "$kills" -ge 6 ]; then ok "the worker was killed at random moments"; else not_ok "only $kills kills"; fi
is "and the postmaster" $crashes 12

poll "the worker is back" 20 "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'flagscope worker'" 1
for flag in $(seq 1 $rollouts); do feed "$flag" true; feed "$flag" true; done
poll "every rollout is rolled back" 60 "SELECT count(*) FROM flagscope.rollout WHERE status = 'rolled_back'" $rollouts
is "by exactly one decision each" "$(sql "SELECT count(*), count(DISTINCT rollout_id) FROM flagscope.decision
  WHERE action = 'rollback'")" "$rollouts|$rollouts"
is "each told once" "$(sql "SELECT count(*) FROM flagscope.outbox WHERE payload ->> 'action' = 'rollback'")" $rollouts
is "the flags serve what the decisions say" "$(sql "SELECT count(*) FROM flagscope.flag_state s JOIN flagscope.decision d
  ON d.id = s.decision_id AND d.action = 'rollback' WHERE s.percent IS NULL AND s.default_variant = 'off'")" $rollouts
ticks=$(sql 'SELECT ticks FROM flagscope.tick_state')
if [ "$ticks" -ge 200 ]; then ok "among $ticks ticks"; else not_ok "only $ticks ticks"; fi
poll "no delta is left" 10 'SELECT count(*) FROM flagscope.variant_delta' 0
is "rollups have every committed row once" "$(sql "SELECT sum(n), sum(events) FROM flagscope.variant_rollup WHERE metric = 'errors'")" \
  "$(sql "SELECT count(*), count(*) FILTER (WHERE is_error) FROM flagscope.telemetry")"
is "and are what the rows say, folded anew" "$(sql "SELECT count(*) FROM flagscope.verify_rollup(now() - interval '1 hour', now() + interval '1 minute')")" 0
is "evidence is the sum of its strata" "$(sql "SELECT count(*) FROM flagscope.guardrail_status s WHERE s.events_treatment[1] IS DISTINCT FROM
  (SELECT sum(e.events_treatment[1]) FROM flagscope.evaluation e WHERE (e.guardrail_id, e.rollout_id) = (s.guardrail_id, s.rollout_id))")" 0
is "every decision's evidence can be computed anew" "$(sql "SELECT count(*) FROM flagscope.decision d, LATERAL
  (SELECT * FROM flagscope.replay_evidence(d.id) r ORDER BY r.at DESC LIMIT 1) r
  WHERE d.action = 'rollback' AND abs(r.log_e_recomputed - (d.evidence ->> 'log_e')::float8) > 1e-9")" 0
