#!/usr/bin/env bash
# Rows from before a guardrail: the ingest nodes roll them up, and the deciding node has what they say, once, and not as evidence.
. "$(dirname "$0")/nodes.bash"
start_nodes
join_nodes
on hq "SELECT flagscope.create_flag('checkout'),
  flagscope.create_metric('errors', 'proportion', 'span', '{\"name\": \"pay\"}', '{\"is_error\": true}'),
  flagscope.create_metric('duration', 'quantile', 'span', '{\"name\": \"pay\"}')" >/dev/null
for name in eu us; do poll_on "$name" "the flag is known on $name" 30 "SELECT count(*) FROM flagscope.flag_state" 1; done
past() { # NODE: 40 minutes, a row a second and variant
  on "$1" "INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, flags)
    SELECT date_trunc('minute', clock_timestamp()) - interval '1 minute' - i * interval '1 second', 'span', 'pay', 0.1 + i % 97 * 0.01, i % 50 = 0, jsonb_build_object('checkout', v)
    FROM generate_series(1, 2400) i, unnest('{on,off}'::text[]) v"
}
past eu
past us
on hq "SELECT flagscope.create_guardrail('checkout', 'errors'), flagscope.create_guardrail('checkout', 'duration', action => 'warn')" >/dev/null
for name in eu us; do poll_on "$name" "$name rolls its past up" 120 "SELECT count(*) FROM _flagscope.watch WHERE since <= target" 2; done
# By PostgreSQL's own aggregates
want=$( (for name in eu us; do on "$name" "SELECT flags ->> 'checkout', count(*), count(*) FILTER (WHERE is_error) FROM flagscope.telemetry GROUP BY 1"; done) |
  awk -F'|' '{ n[$1] += $2; e[$1] += $3 } END { printf "duration off %d 0 errors off %d %d duration on %d 0 errors on %d %d", n["off"], n["off"], e["off"], n["on"], n["on"], e["on"] }')
poll_on hq "the deciding node has it once" 60 "SELECT string_agg(concat_ws(' ', metric, variant, n, e), ' ' ORDER BY variant, metric)
  FROM (SELECT metric, variant, sum(n) AS n, sum(events) AS e FROM flagscope.variant_rollup GROUP BY 1, 2) x" "$want"
for name in eu us; do is "the rollups of $name are what its rows say" "$(on "$name" "SELECT count(*) FROM flagscope.verify_rollup('-infinity')")" 0; done
on hq "SELECT flagscope.start_rollout(flagscope.create_rollout('checkout', stages => '{50, 100}', min_duration => '1 hour'))" >/dev/null
for name in eu us; do poll_on "$name" "the rollout is known on $name" 30 "SELECT count(*) FROM flagscope.rollout WHERE status = 'running'" 1; done
copy_on eu 1000 4
poll_on hq "what comes from now on is evidence, what was before is none" 60 "SELECT n_treatment, n_control FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id WHERE g.metric = 'errors'" "500|500"
is "rolled up anew, nothing is sent twice" "$(on eu "SELECT flagscope.rebuild_rollup('-infinity') > 0"
  poll_on hq "a report that came later" 30 "SELECT min(reported_at) > clock_timestamp() - interval '1 s' FROM _flagscope.node_state" t >/dev/null
  on hq "SELECT sum(n) FROM flagscope.variant_rollup WHERE metric = 'errors'")" "t
10600"
