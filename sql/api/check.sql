-- The check of a query before anything is made of it: what is wrong, as rows, where the trigger of the table raises.

CREATE FUNCTION flagscope.check_query(query text) RETURNS TABLE (path text, problem text, hint text, is_error boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM _flagscope.require_query(query);
EXCEPTION WHEN OTHERS THEN
    path := '';
    is_error := true;
    GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    hint := coalesce(nullif(hint, ''), 'Run the query by itself, with times for $1 and $2.');
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION flagscope.check_query(text) IS
    'what is wrong with the query of a metric (metric_definition.query), with a hint: whether it can be read and gives '
    'the wanted columns; no row: nothing';
