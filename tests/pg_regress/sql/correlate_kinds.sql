-- correlate() of each kind of metric, each with a planted country; and of less of what is good. Users are of 5
-- countries, half of them treated; in Germany the treatment is harmed.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SET timezone = 'UTC';
\getenv tests PG_ABS_SRCDIR
\set file :tests '/requests.sql'
\set ECHO none
\i :file
\set ECHO all
SELECT flagscope.create_flag('shop');
SELECT flagscope.create_metric('bought', 'proportion', 'span', '{"name": "visit"}', '{"attributes": {"bought": true}}',
        harm => 'decrease'),
    flagscope.create_metric('error lines', 'rate', 'log', '{"severity_at_least": 17}',
        per => '{"signal": "span", "name": "visit"}'),
    flagscope.create_metric('refunds', 'ratio', 'event', '{"name": "refund"}',
        per => '{"signal": "span", "name": "visit"}'),
    flagscope.create_metric('seconds', 'mean', 'span', '{"name": "visit"}', cap => 10),
    flagscope.create_metric('score', 'mean', 'event', '{"name": "rated"}', harm => 'decrease', cap => 10);
-- Visits: 80 % buy, of those that are hurt 50 %; 2 % have an error line and 2 % a refund, of those that are hurt 20 %;
-- seconds are exponential, times 1.8 where hurt; scores are from 4 to 8, lower by 1 where hurt.
CREATE TEMP TABLE visit AS
SELECT r.i, r.ts, r.subject, r.treated, r.country, r.treated AND r.country = 'DE' AS is_hurt,
    jsonb_build_object('shop', CASE WHEN r.treated THEN 'on' ELSE 'off' END) AS flags
FROM pg_temp.request(12000, 3000, 0.01) r;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags, value, severity, body, attributes, environment)
SELECT v.ts, x.signal::flagscope.signal, x.name, v.subject, v.flags, x.value, x.severity, x.body,
    jsonb_build_object('country', v.country) || x.attributes, 'production'
FROM visit v, LATERAL (
    SELECT 'span' AS signal, 'visit' AS name,
        -ln(1 - pg_temp.u(v.i, 21)) * CASE WHEN v.is_hurt THEN 1.8 ELSE 1 END AS value,
        NULL::integer AS severity, NULL AS body, jsonb_build_object('bought', pg_temp.u(v.i, 22)
            < CASE WHEN v.is_hurt THEN 0.5 ELSE 0.8 END) AS attributes
    UNION ALL SELECT 'log', 'shop', NULL, 17, 'no stock', '{}'
        WHERE pg_temp.u(v.i, 23) < CASE WHEN v.is_hurt THEN 0.2 ELSE 0.02 END
    UNION ALL SELECT 'event', 'refund', 10, NULL, NULL, '{}'
        WHERE pg_temp.u(v.i, 24) < CASE WHEN v.is_hurt THEN 0.2 ELSE 0.02 END
    UNION ALL SELECT 'event', 'rated', 4 + 4 * pg_temp.u(v.i, 25) - CASE WHEN v.is_hurt THEN 1 ELSE 0 END, NULL, NULL,
        '{}') x;
\set range 'since => \'2040-01-02 12:00\', until => \'2040-01-02 13:00\''
-- The planted country comes first, and alone, whatever the kind; shares of values are those of exceedances.
SELECT m AS metric, f.kind, f.finding, round(100 * f.share::numeric) AS "%", f.treatment, f.control
FROM unnest('{bought,error lines,refunds,seconds,score}'::text[]) WITH ORDINALITY m(m, place),
    flagscope.correlate('shop', m, :range, attributes => '{country}') f
WHERE f.kind = 'segment' ORDER BY m.place, f.rank;
-- Counts are those of the rows. An event of harm => decrease is that it is lacking; the rows of a rate and a ratio are
-- those of the denominator with each row of the numerator beside them, and the latter are the events.
SELECT m AS metric, w.n_treatment, w.events_treatment, w.n_control, w.events_control, w.n_treatment = x.n_t
    AND w.events_treatment = x.e_t AND w.n_control = x.n_c AND w.events_control = x.e_c AS as_counted
FROM unnest('{bought,error lines,refunds}'::text[]) WITH ORDINALITY m(m, place),
    flagscope.weigh_segment('shop', '{"attributes": {"country": "DE"}}', m, :range) w,
    LATERAL (SELECT count(*) FILTER (WHERE y.t) AS n_t, count(*) FILTER (WHERE y.t AND y.event) AS e_t,
            count(*) FILTER (WHERE NOT y.t) AS n_c, count(*) FILTER (WHERE NOT y.t AND y.event) AS e_c
        FROM (SELECT t.flags ->> 'shop' = 'on' AS t, CASE m WHEN 'bought' THEN NOT (t.attributes ->> 'bought')::boolean
                ELSE t.name <> 'visit' END AS event
            FROM flagscope.telemetry t WHERE t.attributes ->> 'country' = 'DE' AND t.name
                = ANY (CASE m WHEN 'bought' THEN '{visit}' WHEN 'refunds' THEN '{visit,refund}' ELSE '{visit,shop}'
                    END::text[])) y) x
ORDER BY m.place;
-- Without a cause nothing is found, in each kind: the treatment without Germany.
DELETE FROM flagscope.telemetry WHERE attributes ->> 'country' = 'DE';
SELECT m AS metric, count(*) FILTER (WHERE f.kind = 'segment') AS segments,
    count(*) FILTER (WHERE f.finding LIKE 'nothing concentrates%' OR f.finding LIKE 'there is no harm%') AS says_so
FROM unnest('{bought,error lines,refunds,seconds,score}'::text[]) WITH ORDINALITY m(m, place),
    flagscope.correlate('shop', m, :range, attributes => '{country}') f GROUP BY m, m.place ORDER BY m.place;
