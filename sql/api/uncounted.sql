-- What counts for nobody: gathered, and told.

CREATE FUNCTION _flagscope.variants_of(flags text) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_object_agg(f.key, ARRAY(SELECT jsonb_object_keys(f.variants))), '{}')
    FROM flagscope.flag_definition f
    WHERE f.key IN (SELECT k FROM jsonb_array_elements_text(variants_of.flags::jsonb) k)
$$;
COMMENT ON FUNCTION _flagscope.variants_of(text) IS
    'the variants of the existing flags in a JSON array; used by the ingest trigger for flags without watched metrics';

CREATE VIEW flagscope.uncounted AS
SELECT x.cause, nullif(x.environment, '') AS environment, nullif(x.flag, '') AS flag,
    _flagscope.bounded(sum(x.n)) AS rows, (array_agg(x.example ORDER BY x.last_at DESC))[1] AS example,
    min(x.first_at) AS first_at, max(x.last_at) AS last_at
FROM (
    SELECT t.cause, t.environment, t.flag, t.n, t.example, t.first_at, t.last_at FROM _flagscope.uncounted_total t
    UNION ALL
    SELECT d.cause, d.environment, d.flag, d.n, d.example, d.at, d.at FROM _flagscope.uncounted_delta d
) x GROUP BY x.cause, x.environment, x.flag;
COMMENT ON VIEW flagscope.uncounted IS
    'rows of telemetry that count for no variant: environment, flag or variant does not exist, '
    'or the variant is not text';
COMMENT ON COLUMN flagscope.uncounted.cause IS
    'why the rows do not count: what of theirs does not exist or is not text';
COMMENT ON COLUMN flagscope.uncounted.environment IS 'environment as it was sent; NULL: it exists';
COMMENT ON COLUMN flagscope.uncounted.last_at IS 'when the last of them came';
COMMENT ON COLUMN flagscope.uncounted.flag IS
    'NULL: rows without flags in an environment that does not exist; '
    'NULL together with environment: flags beyond the maximum';
COMMENT ON COLUMN flagscope.uncounted.rows IS 'number of rows; a row counts once for each of its flags concerned';
COMMENT ON COLUMN flagscope.uncounted.example IS 'what the latest row says about the flag';
COMMENT ON COLUMN flagscope.uncounted.first_at IS 'when the first of them came';

CREATE FUNCTION _flagscope.gather_uncounted() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most constant integer := 1000;
BEGIN
    WITH taken AS (DELETE FROM _flagscope.uncounted_delta RETURNING *)
    INSERT INTO _flagscope.uncounted_total AS t (cause, environment, flag, n, example, first_at, last_at)
    SELECT d.cause, d.environment, d.flag, _flagscope.bounded(sum(d.n)), (array_agg(d.example ORDER BY d.at DESC))[1],
        min(d.at), max(d.at)
    FROM taken d GROUP BY d.cause, d.environment, d.flag
    ON CONFLICT (cause, environment, flag) DO UPDATE SET n = _flagscope.bounded(t.n::numeric + excluded.n),
        example = excluded.example, last_at = greatest(t.last_at, excluded.last_at);
    -- By the clock, because these are times of arrival.
    DELETE FROM _flagscope.uncounted_total t
    WHERE t.last_at < clock_timestamp() - _flagscope.setting_interval('uncounted.retention'::text);
    WITH gone AS (
        DELETE FROM _flagscope.uncounted_total t WHERE (t.cause, t.environment, t.flag) IN (
            SELECT o.cause, o.environment, o.flag FROM _flagscope.uncounted_total o
            WHERE (o.environment, o.flag) <> ('', '')
            ORDER BY o.last_at DESC, o.cause, o.environment, o.flag OFFSET most) RETURNING *)
    INSERT INTO _flagscope.uncounted_total AS t (cause, environment, flag, n, example, first_at, last_at)
    SELECT g.cause, '', '', _flagscope.bounded(sum(g.n)), (array_agg(g.example ORDER BY g.last_at DESC))[1],
        min(g.first_at), max(g.last_at)
    FROM gone g GROUP BY g.cause
    ON CONFLICT (cause, environment, flag) DO UPDATE SET n = _flagscope.bounded(t.n::numeric + excluded.n),
        last_at = greatest(t.last_at, excluded.last_at);
END $$;
COMMENT ON FUNCTION _flagscope.gather_uncounted() IS
    'part of maintain(): adds arrivals to uncounted_total, deletes what is old, keeps the latest 1,000 flags separate';

CREATE FUNCTION _flagscope.uncounted_words() RETURNS TABLE (item text, says text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'not counted', format('%s %s of telemetry, the last at %s UTC: %s, e.g. %s. %s%s', u.rows,
        CASE u.rows WHEN 1 THEN 'row' ELSE 'rows' END, to_char(u.last_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'),
        CASE u.cause
            WHEN 'unknown environment' THEN format('there is no environment "%s"', coalesce(u.environment, ''))
            WHEN 'unknown flag' THEN format('there is no flag "%s"', coalesce(u.flag, ''))
            WHEN 'unknown variant' THEN format('flag "%s" has no such variant', coalesce(u.flag, ''))
            ELSE format('the variant of flag "%s" is not text', coalesce(u.flag, '')) END,
        u.example, CASE u.cause
            WHEN 'unknown environment' THEN 'Give an environment this alias, or correct the name where it is sent.'
            WHEN 'unknown flag' THEN 'Create the flag, or correct the name where it is sent.'
            WHEN 'unknown variant' THEN 'Send one of its variants' || coalesce(': ' || (
                SELECT string_agg(k, ', ' ORDER BY k)
                FROM flagscope.flag_definition f, LATERAL jsonb_object_keys(f.variants) k
                WHERE f.key = u.flag), '') || '.'
            ELSE 'Send the variant''s name: {"flag": "variant"}.' END,
        CASE WHEN u.others > 0 THEN format(' View uncounted has %s more like it.', u.others) ELSE '' END)
    FROM (
        SELECT v.*, count(*) OVER (PARTITION BY v.cause) - 1 AS others,
            row_number() OVER (PARTITION BY v.cause
                ORDER BY v.flag IS NULL, v.rows DESC, v.environment, v.flag) AS place
        FROM flagscope.uncounted v WHERE v.last_at > clock_timestamp() - interval '1 day'
    ) u WHERE u.place = 1 ORDER BY u.rows DESC, u.cause;
$$;
COMMENT ON FUNCTION _flagscope.uncounted_words() IS
    'for status(): by cause, how many rows of the last day count for no variant, '
    'the most frequent case, and what to do';
