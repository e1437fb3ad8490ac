-- Log lines by template: masks, a state that merges, and what it forgets. Masks are those of
-- tests/data/correlate/mask.json, an independent reference.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SET timezone = 'UTC';
\set masks `cat "$PG_ABS_SRCDIR/../data/correlate/mask.json"`
SELECT count(*) AS lines, count(*) FILTER (WHERE flagscope.log_template(x ->> 'line') <> x ->> 'masked') AS wrong
    FROM jsonb_array_elements(:'masks'::jsonb) x;
SELECT flagscope.log_template(NULL) IS NULL AS null_is_null, flagscope.log_template('') = '' AS empty;

CREATE TABLE line AS SELECT i, timestamptz '2040-01-02' + i * interval '1 second' AS ts, CASE i % 4
    WHEN 0 THEN format('cache miss for key cart:%s', i)
        WHEN 1 THEN format('user %s logged in', ('{ann,bob,eve}'::text[])[1 + i % 3])
    WHEN 2 THEN format('request %s took %sms', md5(i::text)::uuid, i) ELSE 'gc pause' END AS body
        FROM generate_series(1, 4000) i;
SELECT * FROM flagscope.patterns((SELECT flagscope.log_patterns(body, ts) FROM line));
SELECT template, n, first_ts, last_ts FROM flagscope.patterns((SELECT flagscope.log_patterns(body) FROM line)) LIMIT 2;
-- Parts are the whole, in any order; NULL is no line.
WITH whole AS (SELECT flagscope.log_patterns(body, ts) AS state FROM line),
    parts AS (SELECT i % 7 AS part, flagscope.log_patterns(body, ts) AS state FROM line GROUP BY 1)
SELECT (SELECT state::text FROM whole) = (SELECT flagscope.rollup(state ORDER BY part DESC)::text
    FROM parts) AS rolled_up, (SELECT flagscope.count(state) FROM whole) AS n;
SELECT flagscope.merge(flagscope.log_patterns(body) FILTER (WHERE i <= 100), flagscope.log_patterns(body)
    FILTER (WHERE i > 100))::text = flagscope.log_patterns(body)::text AS merged FROM line;
SELECT flagscope.log_patterns(NULL) IS NULL AS none, flagscope.count(flagscope.log_patterns(x)) AS n
    FROM (VALUES ('a'), (NULL)) v(x);
-- By parallel workers, too.
BEGIN;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
ALTER TABLE line SET (parallel_workers = 2);
SELECT (SELECT flagscope.log_patterns(body, ts)::text FROM line) = (SELECT string_agg(s, '')
    FROM (SELECT flagscope.log_patterns(body, ts)::text AS s FROM (SELECT * FROM line ORDER BY i OFFSET 0) x) y) AS
    same;
ROLLBACK;
-- Text and binary form.
SELECT flagscope.log_patterns(body, ts)::text::flagscope.patterns::text = flagscope.log_patterns(body,
    ts)::text AS text_form FROM line;
SELECT '{"lost":0,"entries":[{"template":"a","lines":[1,0],"first":0,"last":0,"example":"a"}]}'::flagscope.patterns;
\set VERBOSITY terse
SELECT '{}'::flagscope.patterns;
SELECT '{"lost":0,"entries":[],"more":1}'::flagscope.patterns;
SELECT
    '{"lost":0,"entries":[{"template":"a\u0000","lines":[1,0],"first":0,"last":0,"example":"a"}]}'::flagscope.patterns;
SELECT '{"lost":-1,"entries":[]}'::flagscope.patterns;
-- However many different lines: what is kept is bounded, and no line is lost without a word.
CREATE FUNCTION pg_temp.letters(i bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT translate(md5(i::text), '0123456789', 'ghijklmnop') $$;
SELECT flagscope.count(s) AS lines, flagscope.count(s) - flagscope.lost(s) BETWEEN 1 AND 2500 AS bounded,
    pg_column_size(s) < 2000000 AS small
FROM (SELECT flagscope.log_patterns(pg_temp.letters(i) || ' of ' || repeat(pg_temp.letters(-i), 10)) AS s
    FROM generate_series(1, 20000) i) x;
DROP TABLE line;
