#!/usr/bin/env bash
# No tick waits for an explanation: while one is open (its locks and its snapshot held, here by a trigger that waits until the
# test lets it go), every tick judges what came in, and another rollout is rolled back; both are explained afterwards, once.
. "$(dirname "$0")/../../tools/testlib.sh"
fresh_cluster test-explainer --set flagscope.interval=50ms
psql -XAtq -v ON_ERROR_STOP=1 >/dev/null <<'SQL'
CREATE EXTENSION flagscope;
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_flag(f), flagscope.create_guardrail(f, 'errors'),
    flagscope.start_rollout(flagscope.create_rollout(f, stages => '{50, 100}', min_duration => '1 day'))
FROM unnest('{f,g,h}'::text[]) f;
CREATE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(16);
    RETURN new;
END $$;
CREATE TRIGGER wait BEFORE INSERT ON flagscope.correlation FOR EACH ROW EXECUTE FUNCTION wait_for_the_test();
SQL
# bad FLAG: 400 requests, of which the treatment's fail in one country.
bad() {
  sql "INSERT INTO flagscope.telemetry (ts, signal, name, subject, is_error, attributes, flags)
    SELECT clock_timestamp(), 'span', 'pay', 'u' || i, i % 2 = 0 AND c.name = 'DE', jsonb_build_object('country', c.name),
      jsonb_build_object('$1', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END)
    FROM generate_series(1, 400) i, LATERAL (SELECT ('{DE,FR,AT}'::text[])[1 + i % 3]) c(name)"
}
rolled_back="SELECT count(*) FROM flagscope.decision WHERE action = 'rollback'"
open="SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'flagscope explainer' AND wait_event_type = 'Lock'"

PGAPPNAME=holder psql -XAtq -c 'SELECT pg_advisory_lock(16)' -c 'SELECT pg_sleep(600)' >/dev/null 2>&1 &
poll "the test holds the lock" 10 "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holder' AND query = 'SELECT pg_sleep(600)'" 1
bad f
poll "a rollout is rolled back" 20 "$rolled_back" 1
poll "its explanation is open" 20 "$open" 1
for round in 1 2 3 4 5; do
  sql "INSERT INTO flagscope.telemetry (ts, signal, name, is_error, flags) SELECT clock_timestamp(), 'span', 'pay', false,
    jsonb_build_object('h', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END) FROM generate_series(1, 20) i"
  poll "tick after tick judges what comes in meanwhile ($round)" 20 "SELECT n_treatment FROM flagscope.guardrail_status WHERE rollout_id = 3" $((10 * round))
done
is "the explanation is the same, and still open" "$(sql "$open")" 1
bad g
poll "another rollout is rolled back meanwhile" 20 "$rolled_back" 2
is "by evidence of its own rows" "$(sql "SELECT string_agg(rollout_id || ' ' || n_treatment, ', ' ORDER BY rollout_id) FROM flagscope.guardrail_status")" '1 200, 2 200, 3 50'
is "nothing is explained yet" "$(sql 'SELECT count(*) FROM flagscope.correlation')" 0
is "and still it is open" "$(sql "$open")" 1
sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holder'" >/dev/null
wait
poll "then both are" 30 'SELECT count(DISTINCT decision_id) FROM flagscope.correlation' 2
is "rightly" "$(sql "SELECT string_agg(finding, ', ' ORDER BY decision_id) FROM flagscope.correlation WHERE rank = 1")" 'country = DE, country = DE'
is "and told once each, after both decisions" "$(sql "SELECT string_agg(kind, ', ' ORDER BY id) FROM flagscope.outbox
  WHERE kind = 'correlation' OR kind = 'decision' AND payload ->> 'action' = 'rollback'")" 'decision, decision, correlation, correlation'
poll "the explainer ends" 20 "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'flagscope explainer'" 0
