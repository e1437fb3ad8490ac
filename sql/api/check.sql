-- Definitions checked before anything is made of them: what is wrong, as rows, where the triggers of the tables raise.

CREATE FUNCTION flagscope.check_filter(filter jsonb) RETURNS TABLE (path text, problem text, hint text, is_error boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM _flagscope.require_filter(filter);
EXCEPTION WHEN OTHERS THEN
    path := '';
    is_error := true;
    GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION flagscope.check_filter(jsonb) IS
    'what is wrong with a filter of a metric (metric_definition.filter or event), with a hint; no row: nothing';

CREATE FUNCTION flagscope.check_per(per jsonb) RETURNS TABLE (path text, problem text, hint text, is_error boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM _flagscope.require_per(per);
EXCEPTION WHEN OTHERS THEN
    path := '';
    is_error := true;
    GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION flagscope.check_per(jsonb) IS
    'what is wrong with a denominator of a rate or ratio (metric_definition.per), with a hint; no row: nothing';

CREATE FUNCTION flagscope.check_query(query text) RETURNS TABLE (path text, problem text, hint text, is_error boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM _flagscope.require_query(query);
EXCEPTION WHEN OTHERS THEN
    path := '';
    is_error := true;
    GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION flagscope.check_query(text) IS
    'what is wrong with the query of a metric (metric_definition.query), with a hint: whether it can be read and gives the wanted columns; no row: nothing';
