-- Flags: the checks of their definitions, the history of their state, and the functions that change them.

CREATE FUNCTION flagscope._value_fits(value jsonb, value_type flagscope.value_type) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE value_type
        WHEN 'integer' THEN jsonb_typeof(value) = 'number'
            AND CASE jsonb_typeof(value) WHEN 'number' THEN (value #>> '{}')::numeric % 1 = 0
                AND abs((value #>> '{}')::numeric) < 9007199254740992 END
        WHEN 'number' THEN jsonb_typeof(value) = 'number'
            AND CASE jsonb_typeof(value) WHEN 'number' THEN abs((value #>> '{}')::numeric) < 1.8e308 END
        ELSE jsonb_typeof(value) = value_type::text END;
END;
COMMENT ON FUNCTION flagscope._value_fits(jsonb, flagscope.value_type) IS
    'is the value of the type; integers are exact in every JSON reader (below 2^53), numbers fit a double';

CREATE FUNCTION flagscope._check_flag() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wrong record;
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.key, NEW.value_type) IS DISTINCT FROM (OLD.key, OLD.value_type) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('key and type of flag "%s" never change', OLD.key),
            HINT = 'Create another flag, move its callers, and archive this one.';
    END IF;
    IF jsonb_typeof(NEW.variants) <> 'object' OR NEW.variants = '{}' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('variants of flag "%s" must be a JSON object with at least one variant, got %s', NEW.key, NEW.variants),
            HINT = 'Write them like {"off": false, "on": true}.';
    END IF;
    PERFORM flagscope._check_document(NEW.variants), flagscope._check_document(NEW.metadata);
    SELECT v.key, v.value INTO wrong FROM jsonb_each(NEW.variants) v
    WHERE NOT flagscope._value_fits(v.value, NEW.value_type) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('variant "%s" of %s flag "%s" has the value %s', wrong.key, NEW.value_type, NEW.key, wrong.value),
            HINT = 'All variants of a flag have values of its type.';
    END IF;
    SELECT s.path, s.problem INTO wrong FROM flagscope._check_schema(NEW.value_schema, NEW.variants) s LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('variants of flag "%s" do not satisfy its schema: %s at %s', NEW.key, wrong.problem, wrong.path),
            HINT = 'Change the values and value_schema together, in one statement.';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION flagscope._check_document(jsonb) IS 'raises unless evaluate() can read the JSON';
COMMENT ON FUNCTION flagscope._check_schema(jsonb, jsonb) IS 'the values that a JSON Schema does not allow, and why; no rows: all are allowed';
COMMENT ON FUNCTION flagscope._check_flag() IS 'trigger: a flag''s variants are of its type and satisfy its schema; key and type never change';
CREATE TRIGGER check_flag BEFORE INSERT OR UPDATE ON flagscope.flag
    FOR EACH ROW EXECUTE FUNCTION flagscope._check_flag();

CREATE FUNCTION flagscope._check_variants_in_use() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    used record;
BEGIN
    SELECT s.environment, v.name INTO used
    FROM flagscope.flag_state s
        LEFT JOIN flagscope.rollout r ON r.flag = s.flag AND r.environment = s.environment AND r.status <> 'rolled_back',
        -- What a rollout would roll back to must stay, too.
        LATERAL unnest(ARRAY[s.default_variant, s.treatment, s.control, r.treatment, r.control, r.previous_variant]) v(name)
    WHERE s.flag = NEW.key AND NOT NEW.variants ? v.name LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('variant "%s" of flag "%s" is served in environment "%s"', used.name, NEW.key, used.environment),
            HINT = 'Serve another variant first.';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION flagscope._check_variants_in_use() IS 'trigger: a variant that is served cannot be removed';
CREATE TRIGGER check_variants_in_use BEFORE UPDATE OF variants ON flagscope.flag
    FOR EACH ROW EXECUTE FUNCTION flagscope._check_variants_in_use();

CREATE FUNCTION flagscope._actor() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(nullif(current_setting('flagscope.actor', true), ''), session_user::text);
COMMENT ON FUNCTION flagscope._actor() IS 'who acts: flagscope.actor, else the session''s role';

CREATE FUNCTION flagscope._check_flag_state() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    variants jsonb;
    wrong text;
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.flag, NEW.environment, NEW.id) IS DISTINCT FROM (OLD.flag, OLD.environment, OLD.id) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('flag and environment of the state of flag "%s" never change', OLD.flag);
    END IF;
    SELECT f.variants INTO variants FROM flagscope.flag f WHERE f.key = NEW.flag;
    SELECT v.name INTO wrong FROM unnest(ARRAY[NEW.default_variant, NEW.treatment, NEW.control]) v(name)
    WHERE v.name IS NOT NULL AND NOT variants ? v.name LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('flag "%s" has no variant "%s"', NEW.flag, wrong),
            HINT = format('Its variants are: %s.', (SELECT string_agg(k, ', ' ORDER BY k) FROM jsonb_object_keys(variants) k));
    END IF;
    IF NEW.targeting IS NOT NULL THEN
        PERFORM flagscope._require_targeting(NEW.targeting, format('targeting of flag "%s"', NEW.flag));
    END IF;
    IF NEW.prerequisites <> '[]' THEN
        PERFORM flagscope._require_prerequisites(NEW.prerequisites, NEW.flag, NEW.environment);
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.rollout_id = OLD.rollout_id
        AND (NEW.targeting, NEW.prerequisites, NEW.default_variant) IS DISTINCT FROM (OLD.targeting, OLD.prerequisites, OLD.default_variant) THEN
        wrong := flagscope._not_by_chance(NEW, NEW.treatment, NEW.control);
        IF wrong <> coalesce(flagscope._not_by_chance(OLD, OLD.treatment, OLD.control), '') THEN
            RAISE WARNING USING MESSAGE = format('treatment and control of flag "%s" are not comparable from now on: %s', NEW.flag, wrong),
                HINT = 'Give these users a variant of their own, with the same value; or pause the rollout.';
        END IF;
    END IF;
    IF TG_OP = 'INSERT' AND NEW.version <> 0 THEN
        RETURN NEW;  -- a row of a restored dump: it brings its version and its history along
    END IF;
    NEW.version := nextval('flagscope.flag_version_seq');
    IF TG_OP = 'INSERT' OR NEW.changed_at = OLD.changed_at THEN  -- not by a decision, which says when and who
        NEW.changed_at := clock_timestamp();
        NEW.actor := flagscope._actor();
        NEW.reason := coalesce(current_setting('flagscope.reason', true), '');
        NEW.decision_id := NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        -- History must not run backwards, even when the clock does.
        NEW.changed_at := greatest(NEW.changed_at, OLD.changed_at + interval '1 microsecond');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION flagscope._check_flag_state() IS 'trigger: variants exist; every change gets a version, a time, an actor and a reason';
CREATE TRIGGER check_flag_state BEFORE INSERT OR UPDATE ON flagscope.flag_state
    FOR EACH ROW EXECUTE FUNCTION flagscope._check_flag_state();

CREATE FUNCTION flagscope._keep_flag_state_history() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.changed_at < now() THEN
        RETURN NULL;  -- a row of a restored dump: a new one is never older than its transaction
    END IF;
    IF TG_OP <> 'INSERT' THEN
        UPDATE flagscope.flag_state_history h
        SET valid = tstzrange(lower(h.valid),
            CASE TG_OP WHEN 'UPDATE' THEN NEW.changed_at
                       ELSE greatest(clock_timestamp(), lower(h.valid) + interval '1 microsecond') END)
        WHERE h.state_id = OLD.id AND h.version = OLD.version;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO flagscope.flag_state_history (state_id, flag, environment, version, valid, enabled, default_variant,
            targeting, prerequisites, rollout_id, treatment, control, percent, definition, actor, reason, decision_id)
        VALUES (NEW.id, NEW.flag, NEW.environment, NEW.version, tstzrange(NEW.changed_at, NULL), NEW.enabled,
            NEW.default_variant, NEW.targeting, NEW.prerequisites, NEW.rollout_id, NEW.treatment, NEW.control, NEW.percent,
            flagscope._definition(NEW), NEW.actor, NEW.reason, NEW.decision_id);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION flagscope._keep_flag_state_history() IS 'trigger: closes the old version and opens the new one';
CREATE TRIGGER keep_flag_state_history AFTER INSERT OR UPDATE OR DELETE ON flagscope.flag_state
    FOR EACH ROW EXECUTE FUNCTION flagscope._keep_flag_state_history();

CREATE FUNCTION flagscope._notify_flag_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    changed record;
BEGIN
    FOR changed IN
        SELECT h.environment, max(h.version) AS version FROM opened h GROUP BY h.environment ORDER BY 1
    LOOP
        -- A full queue of notifications would fail the change at its commit; followers also poll flag_changes().
        CONTINUE WHEN pg_notification_queue_usage() >= 0.5;
        PERFORM pg_notify('flagscope_flag', json_build_object('environment', changed.environment, 'version', changed.version)::text);
    END LOOP;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION flagscope._notify_flag_change() IS 'trigger: NOTIFY flagscope_flag with environment and latest version';
CREATE TRIGGER notify_flag_change AFTER INSERT ON flagscope.flag_state_history
    REFERENCING NEW TABLE AS opened FOR EACH STATEMENT EXECUTE FUNCTION flagscope._notify_flag_change();

CREATE FUNCTION flagscope._check_environment() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        -- A restored dump brings the user's row: the one as shipped gives way.
        DELETE FROM flagscope.environment e WHERE e.key = NEW.key AND e.builtin;
    ELSE
        NEW.builtin := false;
    END IF;
    IF EXISTS (SELECT FROM flagscope.environment e
               WHERE e.key <> NEW.key AND (e.aliases || e.key) && (NEW.aliases || NEW.key)) THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
            MESSAGE = format('environment "%s" has a name that another environment has already', NEW.key),
            HINT = 'See SELECT key, aliases FROM flagscope.environment.';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION flagscope._check_environment() IS 'trigger: a key or alias names one environment only';
CREATE TRIGGER check_environment BEFORE INSERT OR UPDATE ON flagscope.environment
    FOR EACH ROW EXECUTE FUNCTION flagscope._check_environment();

CREATE FUNCTION flagscope._environment(name text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Without preload the setting is unknown until the library is loaded: production is its default.
    asked text := coalesce(name, nullif(current_setting('flagscope.environment', true), ''), 'production');
    found_key text;
BEGIN
    SELECT e.key INTO found_key FROM flagscope.environment e WHERE asked = e.key OR asked = ANY (e.aliases);
    IF found_key IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('environment "%s" does not exist', asked),
            HINT = format('Known are: %s.', (SELECT string_agg(e.key, ', ' ORDER BY e.key) FROM flagscope.environment e));
    END IF;
    RETURN found_key;
END $$;
COMMENT ON FUNCTION flagscope._environment(text) IS 'key of an environment by key or alias; NULL: flagscope.environment';

CREATE FUNCTION flagscope.create_flag(
    key text, variants jsonb DEFAULT '{"off": false, "on": true}', default_variant text DEFAULT 'off',
    value_type flagscope.value_type DEFAULT 'boolean', description text DEFAULT '', tags text[] DEFAULT '{}',
    metadata jsonb DEFAULT '{}', enabled boolean DEFAULT true, value_schema jsonb DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO flagscope.flag (key, value_type, variants, description, tags, metadata, value_schema)
    VALUES (create_flag.key, create_flag.value_type, create_flag.variants, create_flag.description,
            create_flag.tags, create_flag.metadata, create_flag.value_schema);
    INSERT INTO flagscope.flag_state (flag, environment, enabled, default_variant)
    SELECT create_flag.key, e.key, create_flag.enabled, create_flag.default_variant FROM flagscope.environment e;
EXCEPTION WHEN unique_violation THEN
    RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
        MESSAGE = format('flag "%s" exists already', create_flag.key);
END $$;
COMMENT ON FUNCTION flagscope.create_flag(text, jsonb, text, flagscope.value_type, text, text[], jsonb, boolean, jsonb) IS
    'creates a flag and its state in every environment; value_schema is a JSON Schema that every variant''s value must satisfy';

CREATE FUNCTION flagscope._set_archived(flag text, archived_at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE flagscope.flag f SET archived_at = _set_archived.archived_at WHERE f.key = _set_archived.flag;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('flag "%s" does not exist', flag), HINT = 'Create it with flagscope.create_flag(key).';
    END IF;
END $$;
COMMENT ON FUNCTION flagscope._set_archived(text, timestamptz) IS 'archives a flag, or with NULL takes it back';

CREATE FUNCTION flagscope.archive_flag(flag text) RETURNS void
LANGUAGE sql RETURN flagscope._set_archived(flag, clock_timestamp());
COMMENT ON FUNCTION flagscope.archive_flag(text) IS
    'puts a flag away in every environment: callers get their own default, exports leave it out, history stays; refused while a rollout is live or another flag needs it';

CREATE FUNCTION flagscope.unarchive_flag(flag text) RETURNS void
LANGUAGE sql RETURN flagscope._set_archived(flag, NULL);
COMMENT ON FUNCTION flagscope.unarchive_flag(text) IS 'takes an archived flag back, as it was';

CREATE FUNCTION flagscope.create_environment(key text, aliases text[] DEFAULT '{}', description text DEFAULT '') RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- The trigger would let the one as shipped give way to any other, as for a restored dump.
    IF EXISTS (SELECT FROM flagscope.environment e WHERE e.key = create_environment.key) THEN
        RAISE unique_violation;
    END IF;
    INSERT INTO flagscope.environment (key, aliases, description)
    VALUES (create_environment.key, create_environment.aliases, create_environment.description);
    INSERT INTO flagscope.flag_state (flag, environment, enabled) SELECT f.key, create_environment.key, false FROM flagscope.flag f;
EXCEPTION WHEN unique_violation THEN
    RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
        MESSAGE = format('environment "%s" exists already', create_environment.key);
END $$;
COMMENT ON FUNCTION flagscope.create_environment(text, text[], text) IS
    'creates an environment in which every existing flag is disabled and has no default variant';

CREATE FUNCTION flagscope._change_flag_state(flag text, environment text, enabled boolean, default_variant text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    env text := flagscope._environment(environment);
    new_version bigint;
BEGIN
    UPDATE flagscope.flag_state s
    SET enabled = coalesce(_change_flag_state.enabled, s.enabled),
        default_variant = coalesce(_change_flag_state.default_variant, s.default_variant)
    WHERE s.flag = _change_flag_state.flag AND s.environment = env
    RETURNING s.version INTO new_version;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('flag "%s" does not exist in environment "%s"', flag, env),
            HINT = 'Create it with flagscope.create_flag(key).';
    END IF;
    RETURN new_version;
END $$;
COMMENT ON FUNCTION flagscope._change_flag_state(text, text, boolean, text) IS 'changes what is not NULL; returns the new version';

CREATE FUNCTION flagscope.enable_flag(flag text, environment text DEFAULT NULL) RETURNS bigint
LANGUAGE sql RETURN flagscope._change_flag_state(flag, environment, true, NULL);
COMMENT ON FUNCTION flagscope.enable_flag(text, text) IS 'switches a flag on in an environment; returns the new version';

CREATE FUNCTION flagscope.disable_flag(flag text, environment text DEFAULT NULL) RETURNS bigint
LANGUAGE sql RETURN flagscope._change_flag_state(flag, environment, false, NULL);
COMMENT ON FUNCTION flagscope.disable_flag(text, text) IS
    'kill switch: callers get their own default; a live rollout keeps its stage and serves nothing meanwhile; returns the new version';

CREATE FUNCTION flagscope.set_default_variant(flag text, variant text, environment text DEFAULT NULL) RETURNS bigint
LANGUAGE sql RETURN flagscope._change_flag_state(flag, environment, NULL, variant);
COMMENT ON FUNCTION flagscope.set_default_variant(text, text, text) IS 'serves another variant by default; returns the new version';
