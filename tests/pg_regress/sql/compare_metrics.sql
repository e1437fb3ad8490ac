-- compare_metrics(): verdicts, p-values and margins against the report tests on counts by hand, the onset against the
-- second that was planted; coincident_changes(): did the control move there, too. Counts are the same in every ten
-- seconds, so that all of them can be written down.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SET timezone = 'UTC';
SELECT flagscope.create_flag('shop');
SELECT flagscope.create_metric(m, 'proportion', 'span', jsonb_build_object('name', m), '{"is_error": true}')
    FROM unnest('{pay,visit,search,pool}'::text[]) m;
SELECT flagscope.create_metric('log rate', 'rate', 'log', '{"severity_at_least": 17}',
        per => '{"signal": "span", "name": "pay"}'),
    flagscope.create_metric('basket', 'ratio', 'event', '{"name": "order"}',
        per => '{"signal": "span", "name": "pay"}');
SELECT count(flagscope.create_guardrail('shop', m, margin => margin, action => 'warn')) AS guardrails
    FROM (VALUES ('pay', 0.3), ('visit', 0.25), ('search', NULL), ('pool', NULL), ('log rate', NULL)) g(m, margin);
SELECT flagscope.create_guardrail('shop', 'basket', test => 'threshold', limit_value => 100, action => 'warn') > 0
    AS guardrail;
-- Twenty minutes. pay: 20 requests an arm, 2 errors (treatment 3 and 1 in turn), from 12:08:20 on 8 in the treatment.
-- visit: 10, of which 5 fail in both. search: one, which fails in every tenth and twelfth. pool: 20, of which 2 fail,
-- from 12:10 on 8 of both arms. log rate: 2 error lines of the control, 3 of the treatment. basket: an order of 10, of
-- 12 in the treatment.
CREATE TEMP TABLE row AS
SELECT b, arm, x.name, i, i <= CASE x.name
    WHEN 'pay' THEN CASE WHEN arm = 'off' THEN 2 WHEN b >= 50 THEN 8 ELSE 3 - 2 * (b % 2) END
    WHEN 'visit' THEN 5
    WHEN 'search' THEN (b % CASE arm WHEN 'on' THEN 10 ELSE 12 END = 0)::integer
    ELSE CASE WHEN b >= 60 THEN 8 ELSE 2 END END AS failed
FROM generate_series(0, 119) b, unnest('{on,off}'::text[]) arm,
    (VALUES ('pay', 20), ('visit', 10), ('search', 1), ('pool', 20)) x(name, n), generate_series(1, x.n) i;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags, is_error, environment)
SELECT timestamptz '2040-01-02 12:00' + b * interval '10 s' + interval '1 s', 'span', r.name,
    format('%s %s %s', arm, b, i), jsonb_build_object('shop', arm), r.failed, 'production' FROM row r;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags, severity, value, body, environment)
SELECT timestamptz '2040-01-02 12:00' + b * interval '10 s' + interval '2 s', x.signal::flagscope.signal, 'order',
    format('%s %s %s', arm, b, i), jsonb_build_object('shop', arm), x.severity, x.value, x.body, 'production'
FROM generate_series(0, 119) b, unnest('{on,off}'::text[]) arm, LATERAL (
    SELECT 'log' AS signal, i, 17 AS severity, NULL::float8 AS value, 'failed' AS body
        FROM generate_series(1, CASE arm WHEN 'on' THEN 3 ELSE 2 END) i
    UNION ALL SELECT 'event', 0, NULL, CASE arm WHEN 'on' THEN 12 ELSE 10 END, NULL) x;
INSERT INTO flagscope.telemetry (ts, signal, name, service, environment) VALUES
    ('2040-01-02 12:10', 'event', 'deployment', 'prices', 'production');
SELECT decisions FROM flagscope.tick('2040-01-02 12:20:30');
\set range 'since => \'2040-01-02 12:00\', until => \'2040-01-02 12:20\''
CREATE TEMP TABLE compared AS SELECT * FROM flagscope.compare_metrics('shop', :range);
SELECT metric, verdict, round(effect::numeric, 4) AS effect, round(lower::numeric, 4) AS lower,
    round(upper::numeric, 4) AS upper, round(margin::numeric, 4) AS margin, n_treatment, n_control, onset FROM compared;
-- By hand: counts of the rows, the test of each kind, Benjamini and Hochberg over all five that have one.
WITH counted AS (
    SELECT name AS metric, count(*) FILTER (WHERE arm = 'on') AS n_t,
        count(*) FILTER (WHERE arm = 'on' AND failed) AS e_t, count(*) FILTER (WHERE arm = 'off') AS n_c,
        count(*) FILTER (WHERE arm = 'off' AND failed) AS e_c
    FROM row GROUP BY name
), tested AS (
    SELECT c.metric, t.p_value, t.difference / (c.e_c::float8 / c.n_c) AS effect,
        t.lower / (c.e_c::float8 / c.n_c) AS lower, t.upper / (c.e_c::float8 / c.n_c) AS upper
    FROM counted c, flagscope.proportion_test(n_t, e_t, n_c, e_c, 0.9) t
    UNION ALL
    SELECT 'log rate', t.p_value, t.estimate - 1, t.lower - 1, t.upper - 1
    FROM flagscope.rate_test(2400, 360, 2400, 240, 0.9, 1) t
), listed AS (
    SELECT array_agg(t.metric ORDER BY t.metric) AS metrics, flagscope.adjust_p_values(array_agg(t.p_value
        ORDER BY t.metric), 'bh') AS ps FROM tested t
)
SELECT t.metric, abs(c.p_value - l.ps[array_position(l.metrics, t.metric)]) < 1e-12 AS p_value,
    abs(c.effect - t.effect) < 1e-12 AS effect, abs(c.lower - t.lower) < 1e-12 AS lower,
    abs(c.upper - t.upper) < 1e-12 AS upper
FROM tested t JOIN compared c USING (metric), listed l ORDER BY 1;
-- A margin of odds as one of the rate of the control: 1.3 times the odds of 1/10, 1.25 times those of 1/2. A ratio has
-- its effect alone: an order of 12 against one of 10.
SELECT abs(p.margin - ((1.3 / 9) / (1 + 1.3 / 9) / 0.1 - 1)) < 1e-12 AS pay,
    abs(v.margin - ((1.25 / 2.25) / 0.5 - 1)) < 1e-12 AS visit,
    abs(b.effect - 0.2) < 1e-12 AND b.p_value IS NULL AND b.verdict = 'unclear' AS ratio
FROM compared p, compared v, compared b WHERE p.metric = 'pay' AND v.metric = 'visit' AND b.metric = 'basket';
-- A treatment that fares better moves as well, and from the same second on.
SELECT metric, verdict, effect < 0 AS better, onset FROM flagscope.compare_metrics('shop', :range, treatment => 'off',
    control => 'on') WHERE metric = 'pay';
-- The deployment came when the control moved in pool, and not in pay; by hand from the ten minutes before and after.
SELECT m AS metric, c.what, c.control_moved, c.closeness, (SELECT t.p_value < 0.01 FROM
    flagscope.proportion_test(1200, CASE m WHEN 'pool' THEN 480 ELSE 120 END, 1200, 120) t) AS by_hand
FROM unnest('{pay,pool}'::text[]) m, flagscope.coincident_changes('shop', m, at => '2040-01-02 12:08:20',
    until => '2040-01-02 12:20') c WHERE c.kind = 'deployment';
-- And in words: who asks about pay is told what else moved, and when.
SELECT kind, finding, round(p_value::numeric, 9) AS p_value, n_treatment, n_control
    FROM flagscope.correlate('shop', 'pay', :range) WHERE kind IN ('metric', 'change');
