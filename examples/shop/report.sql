-- Every number that the demo prints and that is not a function or view of flagscope itself. Look at them with psql.

CREATE SCHEMA shop;

-- The shop's requests, with the commit that brought each in, the share served at its time, and whether it met the
-- overloaded path: from the first time-out on, whoever takes that path with this app from this country. No guardrail
-- reads this.
CREATE VIEW shop.request AS
SELECT t.ts, pg_xact_commit_timestamp(t.xmin) AS committed_at, t.subject, t.flags ->> 'new-checkout' AS variant,
    t.value AS duration, t.is_error,
    coalesce((SELECT trim_scale(a.percent) FROM flagscope.allocation a
        WHERE a.flag = 'new-checkout' AND a.valid @> t.ts), 0) AS percent,
    t.flags ->> 'new-checkout' = 'on' AND t.attributes @> '{"country": "DE", "app_version": "2.4"}'
        AND t.ts >= (SELECT min(e.ts) FROM flagscope.telemetry e WHERE e.signal = 'span' AND e.service = 'shop'
            AND e.is_error AND e.attributes ->> 'error.type' = 'GatewayTimeout') AS overloaded
FROM flagscope.telemetry t
WHERE t.signal = 'span' AND t.service = 'shop';

-- The real OTLP data, by variant.
CREATE VIEW shop.sample AS
SELECT t.flag, t.variant,
    count(*) FILTER (WHERE t.signal = 'event' AND t.name = 'feature_flag.evaluation') AS evaluations,
    count(*) FILTER (WHERE t.signal = 'span') AS spans,
    count(*) FILTER (WHERE t.signal = 'span' AND t.is_error) AS failed_spans,
    count(*) FILTER (WHERE t.signal = 'log') AS logs,
    count(*) FILTER (WHERE t.signal = 'metric') AS metric_points
FROM flagscope.tagged t WHERE t.service = 'checkout'
GROUP BY t.flag, t.variant ORDER BY t.flag, t.variant;

-- The rules, in words.
CREATE VIEW shop.rule AS
SELECT g.name AS guardrail, format('%s (%s)', m.name, m.kind) AS metric, CASE g.comparison
        WHEN 'control' THEN format('at most %s %% worse than "off" at the same time', 100 * g.margin)
        ELSE format('at most %s with "on"', g.limit_value) END AS rule, g.test, g.action
FROM flagscope.guardrail g JOIN flagscope.metric_definition m ON m.name = g.metric
ORDER BY g.id;

-- Where the rollout stands: one line a second while the demo runs. Both variants since the stage began; once the
-- rollout is over, since then, when some requests with "on" are still under way.
CREATE VIEW shop.progress AS
WITH rollout AS (
    SELECT r.id, r.started_at, greatest(r.stage_started_at, r.ended_at) AS since FROM flagscope.rollout r
), seen AS (
    SELECT count(*) AS requests,
        avg(q.is_error::integer) FILTER (WHERE q.variant = 'off' AND q.ts >= r.since) AS errors_off,
        avg(q.is_error::integer) FILTER (WHERE q.variant = 'on' AND q.ts >= r.since) AS errors_on,
        flagscope.tdigest(q.duration) FILTER (WHERE q.variant = 'off' AND q.ts >= r.since) AS durations_off,
        flagscope.tdigest(q.duration) FILTER (WHERE q.variant = 'on' AND q.ts >= r.since) AS durations_on
    FROM shop.request q, rollout r
), verdict AS (
    SELECT string_agg(rpad(s.state::text, 13), '' ORDER BY s.guardrail_id) AS words FROM flagscope.guardrail_status s
)
SELECT extract(epoch FROM statement_timestamp() - r.started_at) AS seconds,
    trim_scale(coalesce(f.percent, 0)) AS percent, s.requests, s.errors_off, s.errors_on,
    flagscope.quantile(s.durations_off, 0.95) AS p95_off,
    flagscope.quantile(s.durations_on, 0.95) AS p95_on, v.words AS guardrails
FROM rollout r, seen s, verdict v, flagscope.flag_state f
WHERE f.flag = 'new-checkout' AND f.environment = 'production';

-- From the commit of the first bad batch to the commit of the rollback.
CREATE VIEW shop.delay AS
SELECT bad.committed_at AS first_bad_commit, back.committed_at AS rollback_commit,
    back.committed_at - bad.committed_at AS delay
FROM (SELECT min(q.committed_at) AS committed_at FROM shop.request q WHERE q.overloaded) bad,
    (SELECT pg_xact_commit_timestamp(d.xmin) AS committed_at
        FROM flagscope.decision d WHERE d.action = 'rollback') back;

-- Who was served the new variant while it was bad, with the requests that were under way at the rollback.
CREATE VIEW shop.damage AS
SELECT count(DISTINCT q.subject) AS users_affected,
    count(DISTINCT q.subject) FILTER (WHERE q.is_error) AS users_with_an_error,
    count(*) AS requests_affected, count(*) FILTER (WHERE q.is_error) AS requests_failed,
    (SELECT count(*) FROM shop.request) AS all_requests,
    (SELECT count(DISTINCT x.subject) FROM shop.request x) AS all_users
FROM shop.request q WHERE q.overloaded;

-- The same in one sentence.
CREATE VIEW shop.headline AS
SELECT format('The worker rolled back %s s after the commit of the first bad batch. In all, %s of %s users were served'
    ' the overloaded path (%s requests), and %s of them met an error.', round(extract(epoch FROM d.delay), 2),
    trim(to_char(x.users_affected, '999,999')), trim(to_char(x.all_users, '999,999')),
    trim(to_char(x.requests_affected, '999,999')), trim(to_char(x.users_with_an_error, '999,999'))) AS headline
FROM shop.delay d, shop.damage x;

-- Both variants by share served: alike as long as the new path can carry its load.
CREATE VIEW shop.stage AS
SELECT q.percent, q.variant, count(DISTINCT q.subject) AS users, count(*) AS requests,
    round(100 * avg(q.is_error::integer), 2) AS "errors %",
    round(1000 * flagscope.quantile(flagscope.tdigest(q.duration), 0.50)) AS "p50 ms",
    round(1000 * flagscope.quantile(flagscope.tdigest(q.duration), 0.95)) AS "p95 ms",
    round(1000 * flagscope.quantile(flagscope.tdigest(q.duration), 0.99)) AS "p99 ms"
FROM shop.request q, flagscope.rollout r WHERE q.ts >= r.started_at
GROUP BY q.percent, q.variant ORDER BY min(q.ts), q.variant;

-- Second by second: the share served, and the error rate of those who got "on".
CREATE VIEW shop.chart AS
SELECT s.second, s.percent AS "served %", flagscope.bar(s.percent::float8, 100, 16) AS ramp,
    s.requests_on AS "requests on", round(100 * s.errors_off, 1) AS "errors off %",
    round(100 * s.errors_on, 1) AS "errors on %",
    flagscope.bar(s.errors_on::float8, max(s.errors_on) OVER ()::float8, 24) AS "errors on"
FROM (
    SELECT floor(extract(epoch FROM q.ts - r.started_at))::integer AS second, max(q.percent) AS percent,
        count(*) FILTER (WHERE q.variant = 'on') AS requests_on,
        avg(q.is_error::integer) FILTER (WHERE q.variant = 'off') AS errors_off,
        avg(q.is_error::integer) FILTER (WHERE q.variant = 'on') AS errors_on
    FROM shop.request q, flagscope.rollout r WHERE q.ts >= r.started_at GROUP BY 1
) s ORDER BY s.second;

-- What every user of the shop would get now.
CREATE VIEW shop.served_now AS
SELECT e.variant, e.value, e.reason, count(*) AS users
FROM generate_series(0, 19999) i, LATERAL flagscope.evaluate('new-checkout', 'user-' || i) e
GROUP BY e.variant, e.value, e.reason;
