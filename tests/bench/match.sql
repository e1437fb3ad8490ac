-- What a row costs with :match_flags (1,000) flags and 50 metrics on watch: rows that match none, one and ten metrics.
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION flagscope;
SELECT flagscope.maintain() \g /dev/null
CREATE TABLE plain (LIKE flagscope.telemetry INCLUDING ALL);
CREATE INDEX ON plain USING brin (ts);
CREATE INDEX ON plain (trace_id) WHERE trace_id IS NOT NULL;
CREATE INDEX ON plain (left(subject, 255), ts) WHERE subject IS NOT NULL AND name = 'feature_flag.evaluation';
CREATE TABLE sizes AS SELECT :match_flags AS flags, :match_rounds AS rounds;
SELECT count(flagscope.create_flag('many-' || i)) AS flags FROM generate_series(1, :match_flags) i \gset
SELECT count(flagscope.create_metric('k' || i,
    (ARRAY['proportion', 'quantile'])[1 + i % 2]::flagscope.metric_kind, 'span',
    CASE
        WHEN i <= 10 THEN
            '{"name_matches": "^(ten|one)$"}'::jsonb || CASE WHEN i > 1 THEN '{"name": "ten"}' ELSE '{}' END::jsonb
        ELSE format('{"name": "s%s"}', i)::jsonb END,
    CASE WHEN i % 2 = 0 THEN '{"is_error": true}'::jsonb END)) AS metrics
FROM generate_series(1, 50) i \gset
SELECT count(flagscope.create_guardrail('many-' || i, 'k' || j)) AS guardrails
FROM generate_series(1, :match_flags) i, generate_series(1, 50) j \gset
DELETE FROM _flagscope.variant_delta;
CREATE TABLE match_took (kind text, ns float8);
CREATE PROCEDURE match_rows() LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz;
    kind record;
BEGIN
    FOR round IN 1..(SELECT rounds FROM sizes) LOOP
        FOR kind IN SELECT *
            FROM (VALUES (1, 'no trigger', 'plain', 'none', 'many-'),
                (2, 'a flag nobody watches', 'flagscope.telemetry', 'ten', 'unknown-'),
                (3, 'no metric matches', 'flagscope.telemetry', 'none', 'many-'),
                (4, 'one metric matches', 'flagscope.telemetry', 'one', 'many-'),
                (5, 'ten metrics match', 'flagscope.telemetry', 'ten', 'many-')
            ) k(place, name, target, row_name, prefix)
            ORDER BY place
        LOOP
            started := clock_timestamp();
            FOR batch IN 1..5 LOOP
                EXECUTE format($q$INSERT INTO %s (ts, signal, name, value, is_error, flags, environment)
                    SELECT now() + i * interval '1 ms', 'span', %L, i %% 100, i %% 50 = 0,
                        jsonb_build_object(%L || (i %% 20 + %s), 'on'), 'production'
                    FROM generate_series(1, 10000) i$q$, kind.target, kind.row_name, kind.prefix,
                    batch * (SELECT flags FROM sizes) / 10);
                COMMIT;
            END LOOP;
            INSERT INTO match_took VALUES (kind.name, extract(epoch FROM clock_timestamp() - started) / 50000 * 1e9);
            COMMIT;
        END LOOP;
    END LOOP;
END $$;
CALL match_rows();
CALL match_rows();
\echo -n :match_flags 'flags, each with 50 metrics on watch: INSERTs of 10,000 rows; '
\echo 'the best of all rounds, and what the row costs beside no trigger'
SELECT kind, round(min(ns)) AS ns_a_row,
    round(min(ns) - (SELECT min(ns) FROM match_took WHERE kind = 'no trigger')) AS more,
    round((min(ns) / (SELECT min(ns) FROM match_took WHERE kind = 'no trigger'))::numeric, 2) AS ratio
FROM match_took GROUP BY kind ORDER BY min(ns);
