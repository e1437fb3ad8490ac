#!/usr/bin/env bash
# Rollups have every committed row exactly once: 20 writers with statements of every size, aborted at random, one of
# them and then the whole server killed, while the worker ticks, settles and a metric is put on watch under load.
. "$(dirname "$0")/../../tools/testlib.sh"
fresh_cluster test-writers --set flagscope.interval=50ms
writers=20 rounds=${ROUNDS:-25}

psql -XAtq -v ON_ERROR_STOP=1 >/dev/null <<'SQL'
CREATE EXTENSION flagscope;
SELECT flagscope.set_setting('maintenance.interval', '"1 second"');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_metric('amount', 'mean', 'span', '{"name": "pay"}');
SELECT flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}');
SELECT flagscope.create_flag('flag-' || i), flagscope.create_guardrail('flag-' || i, 'errors'), flagscope.create_guardrail('flag-' || i, 'amount', limit_value => 1e9)
FROM generate_series(1, 3) i;
-- Many statements of 1 to 200 rows, some in subtransactions, some undone; times from two hours ago to now, in any order.
CREATE PROCEDURE write(seed float8, rounds integer) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM setseed(seed);
    FOR i IN 1..rounds LOOP
        FOR j IN 1..(random() * 5)::integer LOOP
            BEGIN
                INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, flags)
                SELECT clock_timestamp() - random() ^ 4 * interval '2 hours', 'span', 'pay', exp(random() * 9 - 4), random() < 0.1,
                    jsonb_build_object('flag-' || 1 + floor(random() * 3), CASE WHEN random() < 0.5 THEN 'on' ELSE 'off' END)
                FROM generate_series(1, (1 + random() * random() * 200)::integer);
                IF random() < 0.2 THEN RAISE EXCEPTION 'undone'; END IF;
            EXCEPTION WHEN raise_exception THEN NULL;
            END;
        END LOOP;
        IF random() < 0.2 THEN ROLLBACK; ELSE COMMIT; END IF;
    END LOOP;
END $$;
SQL

# All writers at once; a background writer per seed. Errors of a killed server are what the test is about.
write_all() {
  local w pids=()
  for w in $(seq 1 $writers); do
    psql -XAtq -c "CALL write(0.$1$w, $rounds)" >/dev/null 2>&1 &
    pids+=($!)
  done
  "${@:2}"
  wait "${pids[@]}" || true
}
differences() { sql "SELECT count(*) FROM flagscope.verify_rollup('-infinity')"; }
rows="SELECT count(*) FROM flagscope.telemetry"
nothing() { :; }

# A metric put on watch while transactions that do not know it are open: its first rows are not folded live.
watch_duration() {
  sql "SELECT count(flagscope.create_guardrail('flag-' || i, 'duration')) FROM generate_series(1, 3) i" >/dev/null
}
write_all 1 watch_duration
is "clean after $writers writers with random aborts" "$(differences)" 0
poll "the new metric is complete from two hours ago" 60 \
  "SELECT count(*) FROM _flagscope.watch WHERE since IS NULL OR since > target" 0
sql "SELECT flagscope.rebuild_rollup('-infinity') > 0" >/dev/null
is "clean with the new metric" "$(differences)" 0
is "it has every row" "$(sql "SELECT sum(n) FROM flagscope.variant_states('flag-1', since => now() - interval '1 day', until => now() + interval '1 day', metric => 'duration')")" \
  "$(sql "SELECT count(*) FROM flagscope.telemetry WHERE flags ? 'flag-1'")"

kill_one() {
  local pid
  for _ in 1 2 3; do
    pid=$(sql "SELECT pid FROM pg_stat_activity WHERE query LIKE 'CALL write%' AND pid <> pg_backend_pid() LIMIT 1")
    [ -z "$pid" ] || sql "SELECT pg_terminate_backend($pid)" >/dev/null
  done
}
before=$(sql "$rows")
write_all 2 kill_one
is "clean after three writers were ended" "$(differences)" 0

crash() {
  poll "rows are coming" 20 "SELECT count(*) > $before FROM flagscope.telemetry" t
  kill -KILL "$(sql "SELECT pid FROM pg_stat_activity WHERE query LIKE 'CALL write%' AND pid <> pg_backend_pid() LIMIT 1")"
}
before=$(sql "$rows")
write_all 3 crash
poll "the server is back after a backend was killed" 30 'SELECT 1' 1
is "clean after the crash" "$(differences)" 0
rebuild() { sql "SELECT flagscope.rebuild_rollup('-infinity') > 0" >/dev/null; }
write_all 4 rebuild
is "clean after a rebuild under load" "$(differences)" 0
poll "the worker ticks on" 20 'SELECT count(*) FROM _flagscope.variant_delta' 0
is "clean once every delta is merged" "$(differences)" 0
is "every committed row once" "$(sql "SELECT sum(s.n) FROM generate_series(1, 3) i,
  flagscope.variant_states('flag-' || i, since => now() - interval '1 day', until => now() + interval '1 day', metric => 'errors') s")" "$(sql "$rows")"
