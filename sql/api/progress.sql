-- How far a long operation has come: by NOTICE to whoever runs it, and to others in the view progress.
--
-- What a transaction writes nobody sees before it commits; and the numbers behind pg_stat_progress_* are kept for the
-- server's own commands only, so that an extension would have to pretend to be one of them. What every session shows
-- at once, and anybody may read, is its application_name: an operation puts its name and numbers there and sets it back
-- when it is done (an error sets it back as well, since the change is local to the transaction).

COMMENT ON FUNCTION _flagscope.seconds_words(float8) IS 'a length of time, rounded for people: 90 seconds, 2 days';

CREATE FUNCTION _flagscope.left_words(done bigint, total bigint, elapsed interval) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN _flagscope.seconds_words(extract(epoch FROM elapsed)::float8 * (total - done) / nullif(done, 0));
COMMENT ON FUNCTION _flagscope.left_words(bigint, bigint, interval) IS
    'time that is left when so much is done after a time, as text; NULL: nothing is done yet';

CREATE FUNCTION _flagscope.show_progress(operation text, done bigint, total bigint, told timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    words text;
BEGIN
    PERFORM set_config('application_name', format('flagscope: %s %s/%s', operation, done, total), true);
    -- Whoever waits for less than ten seconds does not want to be told.
    IF clock_timestamp() < told + interval '10 seconds' THEN
        RETURN told;
    END IF;
    words := _flagscope.left_words(done, total, clock_timestamp() - statement_timestamp());
    RAISE NOTICE USING MESSAGE = _flagscope.message('%s: %s of %s%s', operation, done, total,
        coalesce(', about ' || words || ' left', ''));
    RETURN clock_timestamp();
END $$;
COMMENT ON FUNCTION _flagscope.show_progress(text, bigint, bigint, timestamptz) IS
    'shows how far an operation is, in the view progress and every ten seconds by NOTICE; returns when it last told. '
    'When the operation is done, its caller sets application_name back';

CREATE VIEW flagscope.progress AS
SELECT a.pid, a.usename::text AS role, x.parts[1] AS operation, x.parts[2]::bigint AS done, x.parts[3]::bigint AS total,
    round(100 * x.parts[2]::numeric / nullif(x.parts[3]::numeric, 0), 1)::float8 AS percent, a.query_start AS since,
    _flagscope.left_words(x.parts[2]::bigint, x.parts[3]::bigint, clock_timestamp() - a.query_start) AS time_left
FROM pg_stat_activity a CROSS JOIN LATERAL (
    SELECT regexp_match(a.application_name, '^flagscope: (\w{1,40}) (\d{1,15})/(\d{1,15})$') AS parts) x
WHERE a.datname = current_database() AND x.parts IS NOT NULL;
COMMENT ON VIEW flagscope.progress IS
    'long operations that run in this database and how far they are: verify_rollup, rebuild_rollup, backtest, '
    'backtest_guardrail, import_flagd';
COMMENT ON COLUMN flagscope.progress.pid IS 'process that runs it; pg_cancel_backend(pid) ends it';
COMMENT ON COLUMN flagscope.progress.role IS 'who runs it';
COMMENT ON COLUMN flagscope.progress.operation IS 'name of the function';
COMMENT ON COLUMN flagscope.progress.done IS 'slices of time, or flags, that are done';
COMMENT ON COLUMN flagscope.progress.total IS 'how many there are';
COMMENT ON COLUMN flagscope.progress.percent IS 'done of total, 0 to 100';
COMMENT ON COLUMN flagscope.progress.since IS
    'when it began; NULL: it is somebody else''s, and the reader is no member of pg_read_all_stats';
COMMENT ON COLUMN flagscope.progress.time_left IS 'about how long it goes on; NULL: that is not known yet';
