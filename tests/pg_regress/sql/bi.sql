-- Views for BI tools: their columns are a promise, their values those of independent queries, filters on ts reach
-- rollups and partitions, and they show no more than the reader may see.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never

-- The promise. Types that every tool can group and plot, one time first, a comment on each column, the reader's rights.
CREATE TEMP TABLE bi AS SELECT c.oid, c.relname, c.reloptions FROM pg_class c
WHERE c.relnamespace = 'flagscope'::regnamespace AND c.relname ~ '^bi_' AND c.relkind = 'v';
SELECT b.relname AS view, string_agg(a.attname, ' ' ORDER BY a.attnum) AS columns
FROM bi b JOIN pg_attribute a ON a.attrelid = b.oid AND a.attnum > 0 GROUP BY b.relname ORDER BY b.relname COLLATE "C";
SELECT format_type(a.atttypid, a.atttypmod) AS type, count(*)
FROM bi b JOIN pg_attribute a ON a.attrelid = b.oid AND a.attnum > 0 GROUP BY 1 ORDER BY 1;
SELECT b.relname, a.attname FROM bi b JOIN pg_attribute a ON a.attrelid = b.oid AND a.attnum > 0
WHERE col_description(b.oid, a.attnum) IS NULL OR (a.attname = 'ts') <> (a.attnum = 1);
SELECT b.relname FROM bi b WHERE b.reloptions IS DISTINCT FROM '{security_invoker=true}';

-- A shop: one rollout that is rolled back, one that waits for approval, one flag that is switched off.
SELECT flagscope.set_setting('tick.budget', '"1 hour"');
SELECT flagscope.create_flag('shop', tags => '{checkout,web}'), flagscope.create_flag('theme'),
    flagscope.create_flag('quiet');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}', unit => 's');
SELECT flagscope.create_metric('basket', 'mean', 'event', '{"name": "order"}', unit => 'EUR', cap => 1000);
SELECT flagscope.create_guardrail('shop', 'errors', min_sample => 1),
    flagscope.create_guardrail('shop', 'duration', quantile => 0.95, min_sample => 1, shadow => true),
    flagscope.create_guardrail('shop', 'basket', limit_value => 1000, min_sample => 1, action => 'warn');
SELECT flagscope.create_rollout('shop', stages => ARRAY[25, 50, 100], min_duration => '30 s') AS shop \gset
SELECT flagscope.create_rollout('theme', stages => ARRAY[10, 100], min_duration => '1 min', approval_stages => '{1}')
    AS theme \gset
SELECT flagscope.create_rollout('quiet', stages => ARRAY[50, 100]) AS quiet \gset
SELECT flagscope.start_rollout(:shop, at => '2040-01-02 12:00', actor => 'ann', reason => 'a try',
    override => true) > 0 AS started,
    flagscope.start_rollout(:theme, at => '2040-01-02 12:00', actor => 'ann',
    override => true, reason => 'unguarded') > 0 AS started;
INSERT INTO flagscope.telemetry (ts, signal, name, flags, subject)
SELECT timestamptz '2040-01-02 12:00' + i * interval '20 ms', 'event', 'feature_flag.evaluation',
    jsonb_build_object('shop', CASE WHEN i % 4 = 0 THEN 'on' ELSE 'off' END), 'subject ' || i
FROM generate_series(0, 399) i;
-- A minute without harm, a stage more, then a quarter of the treatment's payments fails.
CREATE VIEW pg_temp.payment AS
SELECT timestamptz '2040-01-02 12:00' + i * interval '100 ms' AS ts, 'span'::flagscope.signal AS signal, 'pay' AS name,
    (1 + i % 20) * CASE WHEN i % 4 = 0 THEN 0.011 ELSE 0.01 END AS value,
    jsonb_build_object('shop', CASE WHEN i % 4 = 0 THEN 'on' ELSE 'off' END) AS flags,
    i % 50 = 0 OR bad AS is_error, 'web' AS service, 'subject ' || i % 400 AS subject, md5(i::text)::uuid AS trace_id,
    CASE WHEN bad AND i % 32 = 0 THEN
            jsonb_build_object('otlp', jsonb_build_object('events', jsonb_build_array('{"name": "retry"}'::jsonb,
                jsonb_build_object('name', 'exception', 'attributes', jsonb_build_object('exception.type', 'CardError',
                    'exception.message', format('card %s refused after %s ms', i, i % 7))))))
        WHEN bad THEN '{"otlp": {"status": {"code": 2, "message": "no answer of 10.0.0.7"}}}' END AS attributes
FROM generate_series(0, 1199) i, LATERAL (SELECT i % 16 = 0 AND i > 600) b(bad);
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags, is_error, service, subject, trace_id, attributes)
SELECT * FROM payment WHERE ts < '2040-01-02 12:01';
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags)
SELECT timestamptz '2040-01-02 12:00' + i * interval '100 ms', 'event', 'order', 10 + i % 50,
    jsonb_build_object('shop', CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END) FROM generate_series(0, 599) i;
SELECT flagscope.tick('2040-01-02 12:01') IS NOT NULL AS ticked;
INSERT INTO flagscope.telemetry (ts, signal, name, value, flags, is_error, service, subject, trace_id, attributes)
SELECT * FROM payment WHERE ts >= '2040-01-02 12:01';
INSERT INTO flagscope.telemetry (ts, signal, name, flags, severity, body, service) VALUES
    ('2040-01-02 12:01:10', 'log', 'pay.log', '{"shop": "on", "theme": "off"}', 17, 'payment 17 failed', 'web'),
    ('2040-01-02 12:01:11', 'log', 'pay.log', '{"shop": "on"}', 18, 'payment 4 failed', 'web'),
    ('2040-01-02 12:01:12', 'log', 'pay.log', '{"shop": "on"}', 9, 'payment 5 done', 'web'),
    ('2040-01-02 12:01:13', 'log', 'pay.log', NULL, 17, 'of no flag', 'web');
SELECT flagscope.tick('2040-01-02 12:02') IS NOT NULL AS ticked;
-- What a person does to the others.
SELECT flagscope.start_rollout(:quiet, at => '2040-01-02 12:00', actor => 'ann',
    override => true, reason => 'unguarded') > 0 AS started;
SET flagscope.actor = 'bob';
SELECT flagscope.disable_flag('quiet') > 0 AS disabled;
RESET flagscope.actor;
INSERT INTO flagscope.correlation (decision_id, rank, kind, finding, share, p_value, treatment, control, n_treatment,
    events_treatment, n_control, events_control, subjects, traces, examples, recompute)
SELECT d.id, 1, 'segment', 'country = "de"', 0.8, 0.001, '16 %', '1.3 %', 300, 48, 900, 12, 40,
    ARRAY['00000000-0000-0000-0000-0000000000f1'::uuid], '{ann}', 'SELECT 1'
FROM flagscope.decision d WHERE d.action = 'rollback';

-- Flags, rollouts, decisions: as they were made above.
SELECT flag, environment, value_type, tags, variants, enabled, archived, default_variant, has_targeting, rollout_id,
    treatment, control, percent, actor
FROM flagscope.bi_flag ORDER BY flag;
SELECT ts, rollout_id, flag, treatment, status, is_live, stage, stages, percent, needs_approval, waiting_for
FROM flagscope.bi_rollout ORDER BY rollout_id;
SELECT rollout_id, since, ended_at, last_action, last_actor, left(last_reason, 50) AS last_reason
FROM flagscope.bi_rollout ORDER BY rollout_id;
SELECT ts, decision_id, flag, action, severity, title, left(reason, 40) AS reason, from_percent, to_percent, actor,
    automatic
FROM flagscope.bi_decision ORDER BY decision_id;
-- The numbers of the rollback are those of its report; the estimate by hand: odds of 48 of 300 to those of 12 of 900.
SELECT guardrail, metric, measure, round(estimate::numeric, 4) AS estimate,
    round((48 / 252.0) / (12 / 888.0), 4) AS by_hand, lower < estimate AND estimate < upper AS inside, n_treatment,
    n_control
FROM flagscope.bi_decision WHERE action = 'rollback';
SELECT flagscope.explain_decision(decision_id) ~ format('odds ratio %s \(%s to %s\)', round(estimate::numeric, 2),
    round(lower::numeric, 2), round(upper::numeric, 2)) AS as_explained
FROM flagscope.bi_decision WHERE action = 'rollback';
SELECT ts, decision_id, flag, action, guardrail, rank, kind, sentence, subjects, trace_id, example
FROM flagscope.bi_correlation;

-- Guardrails of the last rollout. Tolerated: 1 + margin of a ratio, the limit itself.
SELECT rollout_id, guardrail, kind, comparison, action, shadow, state, measure, round(estimate::numeric, 4) AS estimate,
    tolerated, margin, n_treatment, n_control, round(log_e::numeric, 2) AS log_e, round(line::numeric, 2) AS line
FROM flagscope.bi_guardrail ORDER BY guardrail_id;
-- A new one of a live rollout has nothing to say yet; one that came after the end was not in it.
BEGIN;
SELECT flagscope.create_guardrail('theme', metric, name => metric || ' of theme')
FROM unnest('{errors,duration,basket}'::text[]) metric;
SELECT flagscope.create_guardrail('theme', 'errors', name => 'limit', limit_value => 0.1),
    flagscope.create_guardrail('theme', 'duration', name => 'threshold', limit_value => 1, test => 'threshold',
        quantile => 0.9), flagscope.create_guardrail('theme', 'errors', name => 'usual', test => 'anomaly'),
    flagscope.create_guardrail('theme', 'errors', name => 'past', comparison => 'baseline'),
    flagscope.create_guardrail('shop', 'errors', name => 'too late');
SELECT guardrail, state, measure, estimate, lower, upper, tolerated, margin, n_treatment
FROM flagscope.bi_guardrail WHERE flag = 'theme' OR guardrail = 'too late' ORDER BY guardrail;
SELECT flagscope.tick('2040-01-02 12:02:30') IS NOT NULL AS ticked;
SELECT guardrail, state, measure, estimate, lower, upper, tolerated, margin, n_treatment
FROM flagscope.bi_guardrail WHERE flag = 'theme' ORDER BY guardrail;
ROLLBACK;
SELECT b.guardrail, b.reason = s.reason AS same_reason, b.max_log_e = s.max_log_e AS same_evidence, b.ts, b.since
FROM flagscope.bi_guardrail b JOIN flagscope.guardrail_status s USING (rollout_id, guardrail_id) ORDER BY 1;
SELECT scope, name, state, detail, rollout_id, flag, n_treatment, n_control, expected
FROM flagscope.bi_health WHERE scope = 'rollout' OR name = 'maintenance' ORDER BY scope, name, rollout_id;

-- The ramp: each change as a step, zero before, after the rollback, and while the flag is disabled.
SELECT ts, rollout_id, flag, percent FROM flagscope.bi_ramp ORDER BY rollout_id, ts;
-- Beside the table of allocations: wherever there is one, it is that share.
SELECT count(*) AS points, count(*) FILTER (WHERE p.percent IS DISTINCT FROM coalesce(a.percent, 0)) AS otherwise
FROM flagscope.bi_ramp p LEFT JOIN flagscope.allocation a ON a.rollout_id = p.rollout_id AND a.valid @> p.ts;

-- Metrics beside the raw rows, by bucket: all counts are equal, means to rounding, quantiles within a bin.
CREATE VIEW pg_temp.raw AS
SELECT date_bin('10 s', t.ts, '2000-01-01 00:00+00') AS ts, t.flags ->> 'shop' AS variant, m.metric, count(*) AS n,
    CASE m.metric WHEN 'errors' THEN count(*) FILTER (WHERE t.is_error) END AS events,
    CASE m.metric WHEN 'errors' THEN count(*) FILTER (WHERE t.is_error) / count(*)::float8
        WHEN 'basket' THEN avg(t.value) ELSE percentile_disc(0.95) WITHIN GROUP (ORDER BY t.value) END AS value,
    CASE m.metric WHEN 'duration' THEN
        percentile_disc('{0.5,0.9,0.95,0.99}'::float8[]) WITHIN GROUP (ORDER BY t.value) END AS levels
FROM flagscope.telemetry t JOIN (VALUES ('errors', 'pay'), ('duration', 'pay'), ('basket', 'order')) m(metric, name)
    ON t.name = m.name
WHERE t.flags ? 'shop' GROUP BY 1, 2, 3;
SELECT coalesce(b.metric, r.metric) AS metric, b.kind, b.unit, b.seconds, count(*) AS buckets, sum(b.n) AS n,
    sum(b.events) AS events, count(*) FILTER (WHERE (b.n, b.events) IS DISTINCT FROM (r.n, r.events)) AS other_counts,
    count(*) FILTER (WHERE (abs(b.value / r.value - 1) > CASE b.kind WHEN 'quantile' THEN 0.011 ELSE 1e-9 END)
        IS NOT FALSE) AS other_values,
    count(*) FILTER (WHERE abs(b.p50 / r.levels[1] - 1) < 0.011 AND abs(b.p90 / r.levels[2] - 1) < 0.011
        AND abs(b.p95 / r.levels[3] - 1) < 0.011 AND abs(b.p99 / r.levels[4] - 1) < 0.011) AS levels_agree
FROM (SELECT * FROM flagscope.bi_metric WHERE flag = 'shop') b FULL JOIN raw r USING (ts, variant, metric)
GROUP BY 1, 2, 3, 4 ORDER BY 1;

-- Errors: failed spans, exceptions in them instead where there are some, logs from severity 17 on; once for each flag.
SELECT flag, variant, source, operation, error_type, fingerprint, sum(count) AS count,
    count(DISTINCT subject) AS subjects
FROM flagscope.bi_error GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 6;
SELECT (SELECT sum(count) FROM flagscope.bi_error WHERE source IN ('span', 'exception')) AS spans,
    (SELECT count(*) FROM payment WHERE is_error) AS failed;
SELECT ts, service, source, error_type, message, subject, trace_id
FROM flagscope.bi_error WHERE source = 'exception' ORDER BY ts LIMIT 1;
SELECT ts, variant, treated, crossed, count FROM flagscope.bi_exposure ORDER BY ts LIMIT 2;
SELECT variant, treated, sum(count) AS subjects, (SELECT count(DISTINCT x.subject) FROM flagscope.exposure x
    WHERE x.flag = 'shop' AND x.variant = b.variant) AS exposed
FROM flagscope.bi_exposure b GROUP BY variant, treated ORDER BY variant;

-- Filters on ts reach partitions and the index on errors, rollups and their index.
CREATE FUNCTION pg_temp.reads(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS off) ' || query LOOP
        IF line ~ ' on (telemetry|variant_history|variant_rollup)|(Index|Recheck) Cond: .*\m(ts|bucket)\M' THEN
            -- As every version of PostgreSQL writes it.
            RETURN NEXT regexp_replace(regexp_replace(regexp_replace(line, '^[ >-]+', ''),
                '::timestamp with time zone| [a-z]$', '', 'g'), '\$\d+|\(InitPlan \d+\)\.col\d+', '?', 'g');
        END IF;
    END LOOP;
END $$;
SELECT flagscope.maintain('2040-01-02 12:03') IS NOT NULL AS maintained;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT * FROM pg_temp.reads($$SELECT sum(count) FROM flagscope.bi_error
    WHERE flag = 'shop' AND ts >= '2040-01-02 12:00' AND ts < '2040-01-02 13:00'$$);
SELECT * FROM pg_temp.reads($$SELECT avg(value) FROM flagscope.bi_metric
    WHERE flag = 'shop' AND environment = 'production' AND ts >= '2040-01-02 12:00' AND ts < '2040-01-02 13:00'$$);
RESET enable_seqscan;
RESET enable_bitmapscan;

-- Nobody sees more by them: the right to a view is not the right to what it reads.
CREATE ROLE regress_bi_viewer;
CREATE ROLE regress_bi_reader;
GRANT USAGE ON SCHEMA flagscope, _flagscope TO regress_bi_viewer;
GRANT SELECT ON flagscope.bi_flag, flagscope.bi_rollout, flagscope.bi_ramp, flagscope.bi_metric, flagscope.bi_guardrail,
    flagscope.bi_decision, flagscope.bi_error, flagscope.bi_exposure, flagscope.bi_health, flagscope.bi_correlation
    TO regress_bi_viewer;
SELECT flagscope.grant_reader('regress_bi_reader');
CREATE FUNCTION pg_temp.rows(view text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    EXECUTE format('SELECT count(x::text) FROM flagscope.%I x', view) INTO n;
    RETURN n > 0;
EXCEPTION WHEN insufficient_privilege THEN
    RETURN SQLERRM;
END $$;
GRANT SELECT ON bi TO PUBLIC;
SET ROLE regress_bi_viewer;
SELECT relname AS view, pg_temp.rows(relname) AS sees FROM bi ORDER BY relname COLLATE "C";
SET ROLE regress_bi_reader;
SELECT relname AS view, pg_temp.rows(relname) AS sees FROM bi ORDER BY relname COLLATE "C";
RESET ROLE;
DROP OWNED BY regress_bi_viewer, regress_bi_reader;
DROP ROLE regress_bi_viewer, regress_bi_reader;

-- Levels, by the real clock: five days, of which days are kept of the first, 10 minutes of the next, 10 seconds of the
-- last two hours. One row a bucket, each data point in one of them, late ones and unsettled ones as well.
DROP EXTENSION flagscope CASCADE;
CREATE EXTENSION flagscope;
SELECT flagscope.set_setting('tick.budget', '"1 hour"'), flagscope.set_setting('rollup.medium.retention', '"2 days"');
SELECT flagscope.create_flag('shop');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}');
SELECT flagscope.create_metric('duration', 'quantile', 'span', '{"name": "pay"}', unit => 's');
SELECT flagscope.create_guardrail('shop', 'errors') > 0 AND flagscope.create_guardrail('shop', 'duration') > 0 AS made;
SELECT flagscope.create_rollout('shop', stages => '{50, 100}', min_duration => '10 days') AS shop \gset
SELECT flagscope.start_rollout(:shop, at => now() - interval '3 hours',
    override => true, reason => 'unguarded') > 0 AS started;
CREATE PROCEDURE pg_temp.pay(n integer) LANGUAGE sql AS $$
    INSERT INTO flagscope.telemetry (ts, signal, name, value, is_error, flags)
    SELECT now() - i * interval '5 days' / n, 'span', 'pay', 0.1 + i % 100 * 0.01, i % 10 = 0,
        CASE WHEN i % 3 = 0 THEN '{"shop": "on"}' ELSE '{"shop": "off"}' END::jsonb
    FROM generate_series(0, n - 1) i;
$$;
CALL pg_temp.pay(6000);
SELECT flagscope.tick() IS NOT NULL AS ticked;
SELECT flagscope.maintain() IS NOT NULL AS maintained, flagscope.maintain() IS NOT NULL AS again;
SELECT bool_and(settled) AS settled FROM flagscope.variant_rollup WHERE bucket < now() - interval '1 hour';
CALL pg_temp.pay(1000);
CREATE VIEW pg_temp.compared AS
SELECT b.*, (SELECT count(*) FROM flagscope.telemetry t WHERE t.ts >= b.ts AND t.ts < b.ts + b.seconds * interval '1 s'
        AND t.flags ->> 'shop' = b.variant) AS raw,
    (SELECT count(*) FROM flagscope.telemetry t WHERE t.ts >= b.ts AND t.ts < b.ts + b.seconds * interval '1 s'
        AND t.flags ->> 'shop' = b.variant AND t.is_error) AS raw_events
FROM flagscope.bi_metric b;
SELECT metric, seconds, count(*) > 0 AS has_rows, count(*) - count(DISTINCT (ts, variant)) AS doubled,
    count(*) FILTER (WHERE n <> raw OR events <> raw_events) AS wrong
FROM compared GROUP BY metric, seconds ORDER BY metric, seconds;
SELECT metric, sum(n) AS n, (SELECT count(*) FROM flagscope.telemetry) AS raw FROM compared GROUP BY metric ORDER BY 1;
SELECT metric, min(ts) FILTER (WHERE seconds = 10) >= now() - interval '2 hours 10 minutes' AS fine_for_two_hours,
    max(ts + seconds * interval '1 s') FILTER (WHERE seconds = 600) <= min(ts) FILTER (WHERE seconds = 10) AS before,
    max(ts + seconds * interval '1 s') FILTER (WHERE seconds = 86400) <= min(ts) FILTER (WHERE seconds = 600) AS first
FROM flagscope.bi_metric GROUP BY metric ORDER BY 1;
-- After a tick and settling it is the same.
SELECT flagscope.tick() IS NOT NULL AS ticked, flagscope.maintain() IS NOT NULL AS maintained;
SELECT count(*) FILTER (WHERE n <> raw OR events <> raw_events) AS wrong, sum(n) AS n FROM compared;
-- A whole day is what variant_summary says of it.
SELECT s.metric, s.variant, s.n = x.n AS same_n, s.events IS NOT DISTINCT FROM x.events AS same_events
FROM flagscope.variant_summary('shop', since => date_trunc('day', now() - interval '4 days'),
        until => date_trunc('day', now() - interval '3 days') - interval '1 s') s
    JOIN (SELECT metric, variant, sum(n) AS n, sum(events) AS events FROM flagscope.bi_metric
        WHERE ts >= date_trunc('day', now() - interval '4 days') AND ts < date_trunc('day', now() - interval '3 days')
        GROUP BY 1, 2) x USING (metric, variant) ORDER BY 1, 2;
-- The ramp of three hours: no gap is longer than 10 minutes, the last hour has its minutes, the last point is now.
SELECT max(gap) <= interval '10 minutes' AS without_gaps, max(gap) FILTER (WHERE ts > now() - interval '59 minutes')
        <= interval '1 minute' AS by_minutes, max(ts) BETWEEN now() - interval '1 s' AND now() AS up_to_now,
    array_agg(DISTINCT percent) AS percents
FROM (SELECT ts, percent, ts - lag(ts) OVER (ORDER BY ts) AS gap FROM flagscope.bi_ramp WHERE rollout_id = :shop) g;
SELECT flagscope.rollback_rollout(:shop, reason => 'enough') > 0 AS rolled_back;
SELECT percent FROM flagscope.bi_ramp WHERE rollout_id = :shop ORDER BY ts DESC LIMIT 1;
-- Completed, everybody has it; until somebody chooses another default.
SELECT flagscope.create_rollout('shop', stages => '{100}', min_duration => '0') AS shop \gset
SELECT flagscope.start_rollout(:shop,
    override => true, reason => 'unguarded') > 0 AND flagscope.complete_rollout(:shop) > 0 AS completed;
SELECT percent FROM flagscope.bi_ramp WHERE rollout_id = :shop ORDER BY ts DESC LIMIT 1;
SELECT percent FROM flagscope.bi_rollout WHERE rollout_id = :shop;
SELECT flagscope.set_default_variant('shop', 'off') > 0 AS changed;
SELECT percent FROM flagscope.bi_ramp WHERE rollout_id = :shop ORDER BY ts DESC LIMIT 1;
