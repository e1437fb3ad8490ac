-- Environments: who has which key or alias, the history of their metadata, and how one is created.

CREATE FUNCTION _flagscope.check_environment() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.builtin := false;  -- rows written by a user are dumped
    PERFORM _flagscope.check_document(NEW.metadata);
    IF EXISTS (SELECT FROM flagscope.environment_definition e
               WHERE e.key <> NEW.key AND (e.aliases || e.key) && (NEW.aliases || NEW.key)) THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
            MESSAGE = _flagscope.message('environment "%s" has a key or alias that another environment already has',
                NEW.key),
            HINT = 'See SELECT key, aliases FROM flagscope.environment_definition.';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION _flagscope.check_environment() IS 'trigger: a key or alias belongs to one environment only';
CREATE TRIGGER check_environment BEFORE INSERT OR UPDATE ON flagscope.environment_definition
    FOR EACH ROW EXECUTE FUNCTION _flagscope.check_environment();

-- A separate history: as part of each flag's history, one change made 10,000 new versions in 42 s.
CREATE FUNCTION _flagscope.keep_environment_history() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    new_version bigint := nextval('_flagscope.flag_version_seq'::regclass);
    changed_at timestamptz := clock_timestamp();
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE flagscope.environment_history h
        SET valid = tstzrange(lower(h.valid), greatest(changed_at, lower(h.valid) + interval '1 microsecond'))
        WHERE h.environment = OLD.key AND upper_inf(h.valid) RETURNING upper(h.valid) INTO changed_at;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN NULL;
    END IF;
    INSERT INTO flagscope.environment_history (environment, version, valid, metadata, actor, reason)
    VALUES (NEW.key, new_version, tstzrange(coalesce(changed_at, clock_timestamp()), NULL), NEW.metadata,
        _flagscope.actor(), coalesce(current_setting('flagscope.reason', true), ''));
    INSERT INTO _flagscope.flag_change (environment, flag, version) VALUES (NEW.key, '', new_version)
    ON CONFLICT (environment, flag) DO UPDATE SET version = excluded.version, transaction = excluded.transaction;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.keep_environment_history() IS
    'trigger: stores versions of an environment''s metadata, and marks every answer there as changed for followers';
CREATE TRIGGER keep_first_metadata AFTER INSERT ON flagscope.environment_definition
    FOR EACH ROW WHEN (NEW.metadata <> '{}') EXECUTE FUNCTION _flagscope.keep_environment_history();
CREATE TRIGGER keep_metadata AFTER UPDATE OF metadata ON flagscope.environment_definition
    FOR EACH ROW WHEN (NEW.metadata <> OLD.metadata) EXECUTE FUNCTION _flagscope.keep_environment_history();
CREATE TRIGGER keep_last_metadata AFTER DELETE ON flagscope.environment_definition
    FOR EACH ROW EXECUTE FUNCTION _flagscope.keep_environment_history();

CREATE FUNCTION _flagscope.environment(name text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Without preloading, the setting is unknown until the library is loaded; its default is production.
    asked text := coalesce(name, nullif(current_setting('flagscope.environment', true), ''), 'production');
    found_key text;
BEGIN
    SELECT e.key INTO found_key FROM flagscope.environment_definition e WHERE asked = e.key OR asked = ANY (e.aliases);
    IF found_key IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = _flagscope.message('environment "%s" does not exist', asked),
            HINT = _flagscope.names_hint(asked, ARRAY(SELECT e.key FROM flagscope.environment_definition e),
                'There is none.');
    END IF;
    RETURN found_key;
END $$;
COMMENT ON FUNCTION _flagscope.environment(text) IS
    'key of an environment by key or alias; NULL: flagscope.environment';

CREATE FUNCTION flagscope.create_environment(key text, aliases text[] DEFAULT '{}', description text DEFAULT '')
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    INSERT INTO flagscope.environment_definition (key, aliases, description)
    VALUES (create_environment.key, create_environment.aliases, create_environment.description);
    INSERT INTO flagscope.flag_state (flag, environment, enabled)
    SELECT f.key, create_environment.key, false FROM flagscope.flag_definition f;
    RETURN create_environment.key;
EXCEPTION WHEN unique_violation THEN
    PERFORM _flagscope.raise_for_caller('42710',
        _flagscope.message('environment "%s" exists already', create_environment.key), NULL,
        'UPDATE flagscope.environment_definition changes it.');
WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    PERFORM _flagscope.raise_for_caller(SQLSTATE, SQLERRM, detail, hint);
    RAISE;
END $$;
COMMENT ON FUNCTION flagscope.create_environment(text, text[], text) IS
    'creates an environment in which every existing flag is disabled and has no default variant; returns its key';
