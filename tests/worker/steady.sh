#!/usr/bin/env bash
# Rollups do not bloat: under load with a tick every 20 ms, and with an old snapshot held open all the time, the tables
# of deltas stay as small as what is written between two truncations, and every row is counted.
. "$(dirname "$0")/../../tools/testlib.sh"
fresh_cluster test-steady --set flagscope.interval=20ms --set autovacuum=off
psql -XAtq -v ON_ERROR_STOP=1 >/dev/null <<'SQL'
CREATE EXTENSION flagscope;
SELECT flagscope.set_setting('maintenance.interval', '"1 second"');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}');
SELECT flagscope.create_flag('f'), flagscope.create_guardrail('f', 'errors'), flagscope.create_guardrail('f', 'duration');
CREATE PROCEDURE load(statements integer) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..statements LOOP
        INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, flags)
        SELECT clock_timestamp(), 'span', 'pay', exp(sin(i * 50 + j)), j % 10 = 0, CASE WHEN j % 2 = 0 THEN '{"f": "on"}' ELSE '{"f": "off"}' END::jsonb
        FROM generate_series(1, 50) j;
        COMMIT;
    END LOOP;
END $$;
SQL
deltas() {
  sql "SELECT sum(pg_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = '_flagscope.variant_delta'::regclass"
}
# An old snapshot: nothing that is deleted from now on can be vacuumed.
psql -XAtq -c 'BEGIN ISOLATION LEVEL REPEATABLE READ' -c 'SELECT count(*) FROM pg_class' -c 'SELECT pg_sleep(600)' >/dev/null 2>&1 &
poll "an old snapshot is open" 10 "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'" 1

turn() { sql "SELECT floor(extract(epoch FROM clock_timestamp()) / 60)::bigint"; }
most=0
begun=$(turn)
while [ $(($(turn) - begun)) -lt "${MINUTES:-4}" ]; do
  sql 'CALL load(200)'
  size=$(deltas)
  [ "$size" -le $most ] || most=$size
done
written=$(sql "SELECT count(*) / 50 * 4 FROM flagscope.telemetry")
printf '# %s deltas written, at most %s bytes of them stored, %s at the end\n' "$written" "$most" "$(deltas)"
poll "every delta is consumed" 20 'SELECT count(*) FROM _flagscope.variant_delta' 0
poll "and every slot but those of the last minutes is empty" 200 "SELECT count(*) FROM pg_inherits
  WHERE inhparent = '_flagscope.variant_delta'::regclass AND pg_relation_size(inhrelid) > 0" 0
is "though no vacuum could remove a row" "$(sql "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND backend_xmin IS NOT NULL")" 1
is "every row is counted" "$(sql "SELECT sum(n) FROM flagscope.variant_states('f', since => now() - interval '1 hour', metric => 'errors')")" \
  "$(sql 'SELECT count(*) FROM flagscope.telemetry')"
is "rollups are as many as there are buckets" "$(sql "SELECT count(*) <= 2 * (SELECT count(DISTINCT _flagscope.bucket_of(ts)) FROM flagscope.telemetry)
  FROM flagscope.variant_rollup WHERE metric = 'errors'")" t
is "clean" "$(sql "SELECT count(*) FROM flagscope.verify_rollup('-infinity')")" 0
sql "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'" >/dev/null
