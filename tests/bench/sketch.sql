-- The aggregates over :values (5,000,000) lognormal values in 4 groups, one process, beside avg, percentile_cont and,
-- where it can be had, the C extension tdigest. Processor time of the backend counts, so that others on the machine do
-- not; candidates alternate, and the best of five rounds is taken.
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flagscope;
SELECT count(*) > 0 AS has_tdigest FROM pg_available_extensions WHERE name = 'tdigest' \gset
\if :has_tdigest
CREATE SCHEMA peer;
CREATE EXTENSION tdigest SCHEMA peer;
\endif
SELECT setseed(0.5) \g /dev/null
CREATE UNLOGGED TABLE sample AS
SELECT i % 4 AS g, exp(sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())) AS v FROM generate_series(1, :values) i;
VACUUM ANALYZE sample;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
-- Enough that percentile_cont sorts in memory.
SET work_mem = '1GB';
-- Fields 14 and 15 of proc(5): user and system time in hundredths of a second.
CREATE FUNCTION pg_temp.processor() RETURNS float8 LANGUAGE sql AS $$
    SELECT (f[12]::float8 + f[13]::float8) / 100
    FROM string_to_array(split_part(pg_read_file('/proc/self/stat', 0, 1000), ') ', 2), ' ') f
$$;
CREATE FUNCTION pg_temp.seconds_of(query text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE started float8 := pg_temp.processor();
BEGIN
    EXECUTE query;
    RETURN pg_temp.processor() - started;
END $$;
CREATE TEMP TABLE candidate (place serial, name text, call text);
INSERT INTO candidate (name, call)
VALUES ('count', 'count(v)'), ('avg', 'avg(v)'), ('tdigest, p95', 'flagscope.quantile(flagscope.tdigest(v), 0.95)'),
    ('histogram, p95', 'flagscope.quantile(flagscope.histogram(v), 0.95)'),
    ('moments, mean', 'flagscope.mean(flagscope.moments(v))'),
    ('percentile_cont, p95', 'percentile_cont(0.95) WITHIN GROUP (ORDER BY v)');
\if :has_tdigest
INSERT INTO candidate (name, call)
VALUES ('C extension tdigest, compression 100, p95', 'peer.tdigest_percentile(v, 100, 0.95)');
\endif
CREATE TEMP TABLE took AS
SELECT round, name, pg_temp.seconds_of(format('SELECT g, %s FROM sample GROUP BY g', call)) AS seconds
FROM generate_series(1, 5) round, candidate ORDER BY round, place;
\echo Aggregates over :values values in 4 groups, one process
SELECT name, round(min(seconds)::numeric, 2) AS seconds,
    round((min(seconds) / nullif((SELECT min(seconds) FROM took WHERE name = 'avg'), 0))::numeric, 2) AS ratio_to_avg
FROM took GROUP BY name ORDER BY min(seconds);
