#!/usr/bin/env bash
# The worker does not grow: private memory after thousands of good and failing ticks.
. "$(dirname "$0")/../../tools/testlib.sh"
. "$(dirname "$0")/worker.bash"
fresh_cluster test-memory --set flagscope.interval=10ms
warm=${WARM:-500} ticks=${TICKS:-3000} limit_kb=1024

# Its private memory in kB; nothing where /proc does not tell (then the test is meaningless and says so).
private_memory() { awk '/^RssAnon/ { print $2 }' "/proc/$1/status"; }

database_with_tick one
sql 'CREATE DATABASE plain'
in_database one poll "warm: $warm ticks" 120 "SELECT count(*) >= $warm FROM public.tick_log" t
pid=$(worker_of one)
before=$(private_memory "$pid")
in_database one poll "$ticks ticks more" 300 "SELECT count(*) >= $((warm + ticks)) FROM public.tick_log" t
after=$(private_memory "$pid")
is "the same worker did them" "$(worker_of one)" "$pid"
printf '# %s kB before, %s kB after\n' "$before" "$after"
is "it grew by less than $limit_kb kB" "$((after - before < limit_kb))" 1

in_database one sql 'UPDATE public.tick_control SET broken = true'
in_database one poll "the ticks fail" 10 "SELECT clock_timestamp() - max(at) > interval '5 s' FROM public.tick_log" t
in_database one sql 'UPDATE public.tick_control SET broken = false'
ticks_again "and work again" 10 one
failed=$(private_memory "$pid")
printf '# %s kB after 5 s of failing ticks\n' "$failed"
is "failing ticks leave nothing behind" "$((failed - after < limit_kb))" 1
is "the same worker still" "$(worker_of one)" "$pid"

# The real tick, with data in every one: 20 guardrails, exposures, rows without flags.
sql 'CREATE DATABASE real'
in_database real psql -XAtq -v ON_ERROR_STOP=1 >/dev/null <<'SQL'
CREATE EXTENSION flagscope;
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}');
SELECT flagscope.create_flag('f' || i), flagscope.create_guardrail('f' || i, 'errors'), flagscope.create_guardrail('f' || i, 'duration'),
    flagscope.start_rollout(flagscope.create_rollout('f' || i, stages => '{50, 100}', min_duration => '1 day')) FROM generate_series(1, 10) i;
CREATE PROCEDURE load(until bigint) LANGUAGE plpgsql AS $$
DECLARE
    begun timestamptz := clock_timestamp();
BEGIN
    FOR n IN 1..100000 LOOP
        EXIT WHEN (SELECT ticks >= until AND last_maintain_at > begun FROM _flagscope.tick_state);
        INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, trace_id, flags)
        SELECT clock_timestamp(), 'span', 'pay', 0.1 + i % 7 * 0.01, i % 50 = 0, md5(i::text)::uuid, CASE WHEN i % 5 > 0 THEN jsonb_build_object('f' || i % 10, CASE WHEN i % 3 = 0 THEN 'on' ELSE 'off' END) END
        FROM generate_series(n, n + 60) i;
        INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags)
        SELECT clock_timestamp(), 'event', 'feature_flag.evaluation', 'user-' || i % 1000, jsonb_build_object('f' || i % 10, CASE WHEN i % 1000 < 500 THEN 'on' ELSE 'off' END)
        FROM generate_series(n, n + 20) i;
        COMMIT;
    END LOOP;
END $$;
SQL
in_database real poll "its worker ticks" 20 'SELECT ticks > 0 FROM _flagscope.tick_state' t
# Warm is who has also maintained: its plans, once made, are kept.
in_database real sql "CALL load(${WARM_REAL:-300})"
pid=$(worker_of real)
before=$(private_memory "$pid")
in_database real sql "CALL load(${TICKS_REAL:-1200})"
after=$(private_memory "$pid")
is "the same worker did them" "$(worker_of real)" "$pid"
printf '# %s kB before, %s kB after %s real ticks, all with data\n' "$before" "$after" "$(in_database real sql 'SELECT ticks FROM _flagscope.tick_state')"
# A large tick (the backfill of a metric's first minutes) leaves its heap behind, 4 to 14 MB; each minute the worker gives back
# what is free. So not at any moment, but within little more than a minute.
deadline=$((SECONDS + 90))
until [ "$((after - before))" -lt 3072 ] || [ "$SECONDS" -ge "$deadline" ]; do
  sleep 1
  after=$(private_memory "$pid")
done
printf '# %s kB within %s s\n' "$after" "$((SECONDS - deadline + 90))"
is "and it did not grow by 3 MB: 2.5 kB a tick would be more" "$((after - before < 3072))" 1
