#!/usr/bin/env bash
# The kill campaign: SIGKILL to a writer's backend, to the worker and to the postmaster in turn, at moments that nobody
# chose, while 40 rollouts go bad. Everything that was acknowledged is there once, everything is decided once, and what is
# derived (rollups, units, evidence, rows tied by their traces) is what the rows say. KILLS=300 is the long form.
. "$(dirname "$0")/../../tools/testlib.sh"
settings=(--set flagscope.interval=10ms)
fresh_cluster test-once "${settings[@]}"
rollouts=40 kills=${KILLS:-30} feeders=2
work=$(mktemp -d)
touch "$work/go" "$work/acknowledged"

psql -XAtq -v ON_ERROR_STOP=1 >/dev/null <<SQL
CREATE EXTENSION flagscope;
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}');
SELECT flagscope.create_flag('flag-' || i), flagscope.create_guardrail('flag-' || i, 'errors'),
    flagscope.create_guardrail('flag-' || i, 'duration'),
    flagscope.start_rollout(flagscope.create_rollout('flag-' || i, stages => '{50, 100}', min_duration => '1 hour'))
FROM generate_series(1, $rollouts) i;
SQL

# batch ID FLAG BAD: one transaction of 200 rows: evaluations of 20 users in a trace each, a row of each trace without
# flags, and 160 rows that carry theirs; then its acknowledgement.
batch() {
  cat <<SQL
INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, flags, trace_id, subject, body)
SELECT clock_timestamp(), CASE k WHEN 0 THEN 'event' ELSE 'span' END::flagscope.signal, CASE k WHEN 0 THEN 'feature_flag.evaluation' ELSE 'pay' END,
  CASE WHEN k > 0 THEN 0.1 + i % 9 * 0.01 END, CASE WHEN k > 0 THEN $3 AND i % 4 = 0 END,
  CASE WHEN k <> 1 THEN jsonb_build_object('flag-$2', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END) END,
  CASE WHEN k < 2 THEN md5('$1 ' || i)::uuid END, CASE k WHEN 0 THEN '$1 ' || i END, '$1'
FROM generate_series(1, 20) i, generate_series(0, 9) k;
\echo $1
SQL
}
# A session after another, of 20 batches each, as long as it lives.
feeder() {
  local n=0 session=0 bad
  while [ -e "$work/go" ]; do
    bad=false session=$((session + 1))
    [ ! -e "$work/bad" ] || bad=true
    for n in $(seq 20); do batch "$1-$session-$n" $(((session * 20 + n + $1 * 17) % rollouts + 1)) $bad; done |
      PGAPPNAME=feeder psql -XAtq -v ON_ERROR_STOP=1 >>"$work/acknowledged.$1" 2>/dev/null || sleep 0.1
  done
}
is_back() {
  local deadline=$((SECONDS + 60))
  until sql 'SELECT 1' >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || { not_ok "the server is not back after 60 s" && return; }
    sleep 0.05
  done
}
# one_of 'condition': the pid of such a process, waited for.
one_of() {
  local pid deadline=$((SECONDS + 30))
  while :; do
    pid=$(sql "SELECT pid FROM pg_stat_activity WHERE $1 ORDER BY random() LIMIT 1" 2>/dev/null || true)
    if [ -n "$pid" ] || [ "$SECONDS" -ge "$deadline" ]; then printf '%s\n' "$pid" && return; fi
    sleep 0.05
  done
}

# The worker ticks again after what has happened until now.
ticks() { sql 'SELECT ticks FROM _flagscope.tick_state' 2>/dev/null || echo 0; }
tick_on() {
  local before deadline=$((SECONDS + 60))
  before=$(ticks)
  until [ "$(ticks)" -gt "$before" ]; do
    [ "$SECONDS" -lt "$deadline" ] || { not_ok "no tick in 60 s" && return; }
    sleep 0.05
  done
}

for n in $(seq $feeders); do feeder "$n" & done
declare -A killed=([backend]=0 [worker]=0 [postmaster]=0)
kinds=(backend worker postmaster)
for n in $(seq "$kills"); do
  [ "$n" -le $((kills * 2 / 3)) ] || touch "$work/bad"
  kind=${kinds[n % 3]}
  # Two of three kills meet a worker that ticks, however busy the machine is; the others also what has just come back.
  [ $((RANDOM % 3)) = 0 ] || tick_on
  sleep "0.$((RANDOM % 6 + 2))"
  case $kind in
  backend) pid=$(one_of "application_name = 'feeder'") ;;
  worker) pid=$(one_of "backend_type = 'flagscope worker'") ;;
  postmaster) "$TOOLS/cluster" crash test-once && "$TOOLS/cluster" start test-once "${settings[@]}" >/dev/null ;;
  esac
  if [ "$kind" = postmaster ] || { [ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null; }; then killed[$kind]=$((killed[$kind] + 1)); fi
  is_back
done
rm "$work/go"
wait
# Of those that came too late (a session may end between the look and the kill) there are few.
is "the postmaster was killed every time" "${killed[postmaster]}" $((kills / 3))
if [ $((killed[backend] + killed[worker])) -ge $((kills / 2)) ]; then ok "so were writers and the worker"; else not_ok "only ${killed[backend]} writers and ${killed[worker]} workers were killed"; fi

poll "the worker is back" 20 "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'flagscope worker'" 1
for flag in $(seq $rollouts); do for n in 1 2; do batch "last-$flag-$n" "$flag" true; done; done |
  psql -XAtq -v ON_ERROR_STOP=1 >>"$work/acknowledged.last"
poll "every rollout is rolled back" 60 "SELECT count(*) FROM flagscope.rollout WHERE status = 'rolled_back'" $rollouts
# The more kills, the more has come than ticks could take meanwhile.
poll "no delta, no exposure and no late trace is left" $((30 + kills)) 'SELECT (SELECT count(*) FROM _flagscope.variant_delta)
  + (SELECT count(*) FROM _flagscope.subject_delta) + (SELECT count(*) FROM _flagscope.late_trace)' 0

# Nothing lost, nothing twice.
{ echo 'CREATE TABLE acknowledged (batch text); COPY acknowledged FROM stdin;' && cat "$work"/acknowledged.* && echo '\.'; } | psql -XAtq -v ON_ERROR_STOP=1
is "no batch was acknowledged twice" "$(sql 'SELECT count(*) - count(DISTINCT batch) FROM acknowledged')" 0
is "every acknowledged batch is stored" "$(sql 'SELECT count(*) FROM acknowledged a WHERE NOT EXISTS (SELECT FROM flagscope.telemetry t WHERE t.body = a.batch)')" 0
is "every stored batch is whole, and there once" "$(sql 'SELECT count(*) FROM (SELECT FROM flagscope.telemetry GROUP BY body HAVING count(*) <> 200) x')" 0
is "at most one batch of a feeder and a kill is stored without its acknowledgement" "$(sql "SELECT count(DISTINCT body) <= $feeders * $kills
  FROM flagscope.telemetry t WHERE NOT EXISTS (SELECT FROM acknowledged a WHERE a.batch = t.body)")" t
is "every row is tied to its flag, once" "$(sql "SELECT count(*) FROM flagscope.telemetry WHERE flags IS NULL")" 0
is "rollups have every committed row once" "$(sql "SELECT sum(n), sum(events) FROM flagscope.variant_rollup WHERE metric = 'errors'")" \
  "$(sql "SELECT count(*), count(*) FILTER (WHERE is_error) FROM flagscope.telemetry WHERE name = 'pay'")"
is "and are what the rows say, folded anew" "$(sql "SELECT count(*) FROM flagscope.verify_rollup(now() - interval '1 day', now() + interval '1 minute')")" 0
is "everybody who was exposed to a rollout is one of its units, once" "$(sql "SELECT count(*) FROM
  (SELECT DISTINCT r.id, t.subject, t.flags ->> r.flag AS variant FROM flagscope.telemetry t JOIN flagscope.rollout r ON t.flags ? r.flag
   WHERE t.subject IS NOT NULL AND t.ts < r.ended_at - interval '5 seconds') e
  FULL JOIN (SELECT u.* FROM flagscope.rollout_subject u JOIN flagscope.rollout r ON r.id = u.rollout_id WHERE u.first_seen < r.ended_at - interval '5 seconds') u
    ON (u.rollout_id, u.subject, u.variant) = (e.id, e.subject, e.variant) WHERE u.rollout_id IS NULL OR e.id IS NULL")" 0
is "each rollout was rolled back by exactly one decision" "$(sql "SELECT count(*), count(DISTINCT rollout_id) FROM flagscope.decision
  WHERE action = 'rollback'")" "$rollouts|$rollouts"
is "each decision is told once" "$(sql "SELECT count(*), count(DISTINCT payload ->> 'id') FROM flagscope.outbox WHERE kind = 'decision'")" "$(sql "SELECT count(*), count(*) FROM flagscope.decision")"
is "the flags serve what the decisions say" "$(sql "SELECT count(*) FROM flagscope.flag_state s JOIN flagscope.decision d
  ON d.id = s.decision_id AND d.action = 'rollback' WHERE s.percent IS NULL AND s.default_variant = 'off'")" $rollouts
is "evidence is the sum of its strata" "$(sql "SELECT count(*) FROM flagscope.guardrail_status s WHERE s.events_treatment[1] IS DISTINCT FROM
  (SELECT sum(e.events_treatment[1]) FROM flagscope.evaluation e WHERE (e.guardrail_id, e.rollout_id) = (s.guardrail_id, s.rollout_id))")" 0
is "every decision's evidence can be computed anew" "$(sql "SELECT count(*) FROM flagscope.decision d, LATERAL
  (SELECT * FROM _flagscope.replay_evidence(d.id) WITH ORDINALITY r ORDER BY r.ordinality DESC LIMIT 1) r
  WHERE d.action = 'rollback' AND abs(r.log_e_recomputed - (d.evidence ->> 'log_e')::float8) > 1e-9")" 0
ok "among $(ticks) ticks and $kills kills"
rm -rf "$work"
