-- Flags: checks of their definitions, the history of their states, and the functions that change them.

-- Enum labels are compared as text: enum constants are only stable in PostgreSQL, which would prevent inlining.
CREATE FUNCTION _flagscope.value_fits(value jsonb, value_type flagscope.value_type) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE value_type
        WHEN 'boolean' THEN jsonb_typeof(value) = 'boolean'
        WHEN 'string' THEN jsonb_typeof(value) = 'string'
        WHEN 'object' THEN jsonb_typeof(value) = 'object'
        WHEN 'integer' THEN CASE jsonb_typeof(value) WHEN 'number' THEN (value #>> '{}')::numeric % 1 = 0
                AND abs((value #>> '{}')::numeric) < 9007199254740992 ELSE false END
        WHEN 'number' THEN
            CASE jsonb_typeof(value) WHEN 'number' THEN abs((value #>> '{}')::numeric) < 1.8e308 ELSE false END
    END;
COMMENT ON FUNCTION _flagscope.value_fits(jsonb, flagscope.value_type) IS
    'is the value of the type; integers are exact in every JSON reader (below 2^53), numbers fit a double';

CREATE FUNCTION _flagscope.require_variants(f flagscope.flag_definition, variants jsonb) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wrong record;
BEGIN
    IF jsonb_typeof(variants) <> 'object' OR variants = '{}' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message(
                'variants of flag "%s" must be a JSON object with at least one variant, got %s',
                f.key, variants),
            HINT = 'Write them like {"off": false, "on": true}.';
    END IF;
    PERFORM _flagscope.check_document(variants);
    SELECT v.key, v.value INTO wrong FROM jsonb_each(variants) v
    WHERE NOT _flagscope.value_fits(v.value, f.value_type) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('variant "%s" of %s flag "%s" has the value %s', wrong.key, f.value_type,
                f.key, wrong.value),
            HINT = 'All variants of a flag have values of its type.';
    END IF;
    SELECT s.path, s.problem INTO wrong FROM _flagscope.check_schema(f.value_schema, variants) s LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('variants of flag "%s" do not satisfy its schema: %s at %s', f.key,
                wrong.problem, wrong.path),
            HINT = 'Change the values and value_schema together, in one statement.';
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.require_variants(flagscope.flag_definition, jsonb) IS
    'raises unless variants are of the flag''s type and satisfy its schema';

CREATE FUNCTION _flagscope.check_flag() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    other record;
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.key, NEW.value_type) IS DISTINCT FROM (OLD.key, OLD.value_type) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('key and type of flag "%s" never change', OLD.key),
            HINT = 'Create another flag, move its callers, and archive this one.';
    END IF;
    PERFORM _flagscope.check_document(NEW.metadata);
    PERFORM _flagscope.require_variants(NEW, NEW.variants);
    IF TG_OP = 'UPDATE' AND NEW.value_schema IS DISTINCT FROM OLD.value_schema THEN
        PERFORM _flagscope.require_variants(NEW, s.variants) FROM flagscope.flag_state s
        WHERE s.flag = NEW.key AND s.variants IS NOT NULL;
    END IF;
    IF NEW.value_type = 'number' AND (TG_OP = 'INSERT' OR NEW.variants <> OLD.variants) THEN
        SELECT v.key, v.value INTO other FROM jsonb_each(NEW.variants) v
        WHERE (v.value #>> '{}')::numeric % 1 = 0 AND abs((v.value #>> '{}')::numeric) > 9007199254740991 LIMIT 1;
        IF FOUND THEN
            RAISE WARNING USING HINT = 'Serve it as text, in a flag of type string.',
                MESSAGE = _flagscope.message('variant "%s" of flag "%s" is %s: for whole numbers beyond 2^53 - 1 '
                    'evaluate_number() and typed clients give their default',
                    other.key, NEW.key, left(other.value::text, 40));
        END IF;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION _flagscope.check_document(jsonb) IS 'raises unless evaluate() can read the JSON';
COMMENT ON FUNCTION _flagscope.check_schema(jsonb, jsonb) IS
    'the values that a JSON Schema does not allow, and why; no rows: all are allowed';
COMMENT ON FUNCTION _flagscope.check_flag() IS
    'trigger: a flag''s variants are of its type and satisfy its schema; key and type never change';
CREATE TRIGGER check_flag BEFORE INSERT OR UPDATE ON flagscope.flag_definition
    FOR EACH ROW EXECUTE FUNCTION _flagscope.check_flag();

CREATE FUNCTION _flagscope.variants_in_use(s flagscope.flag_state) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_agg(v.name) FROM (
        SELECT unnest(ARRAY[s.default_variant, s.treatment, s.control])
        UNION
        -- Also what a rollout would roll back to.
        SELECT unnest(ARRAY[r.treatment, r.control, r.previous_variant]) FROM flagscope.rollout r
        WHERE r.flag = s.flag AND r.environment = s.environment AND r.status <> 'rolled_back'
        UNION
        SELECT unnest(o.variants) FROM _flagscope.targeting_outcomes(s.targeting) o) v(name)
    WHERE v.name IS NOT NULL;
$$;
COMMENT ON FUNCTION _flagscope.variants_in_use(flagscope.flag_state) IS
    'the variants that a flag serves in an environment or may return to: by default, rollout or targeting';

CREATE FUNCTION _flagscope.check_variants_in_use() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    used record;
BEGIN
    -- Environments with variants of their own do not count.
    SELECT s.environment, v.name INTO used
    FROM flagscope.flag_state s, LATERAL unnest(_flagscope.variants_in_use(s)) v(name)
    WHERE s.flag = NEW.key AND s.variants IS NULL AND OLD.variants ? v.name AND NOT NEW.variants ? v.name LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('variant "%s" of flag "%s" is served in environment "%s"', used.name, NEW.key,
                used.environment),
            HINT = 'Serve another variant first.';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION _flagscope.check_variants_in_use() IS 'trigger: a variant that is served cannot be removed';
CREATE TRIGGER check_variants_in_use BEFORE UPDATE OF variants ON flagscope.flag_definition
    FOR EACH ROW EXECUTE FUNCTION _flagscope.check_variants_in_use();

CREATE FUNCTION _flagscope.require_variants_needed(s flagscope.flag_state, variants jsonb) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    used record;
BEGIN
    SELECT r.id, v.name INTO used
    FROM flagscope.rollout r, LATERAL unnest(ARRAY[r.treatment, r.control, r.previous_variant]) v(name)
    WHERE r.flag = s.flag AND r.environment = s.environment AND r.status <> 'rolled_back'
        AND NOT require_variants_needed.variants ? v.name LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('rollout %s serves variant "%s" of flag "%s" in environment "%s"',
                used.id, used.name, s.flag, s.environment),
            HINT = 'Keep the variant, or roll the rollout back first.';
    END IF;
    SELECT o.flag, p ->> 'variant' AS name INTO used
    FROM flagscope.flag_state o, LATERAL jsonb_array_elements(o.prerequisites) p
    WHERE o.environment = s.environment AND p ->> 'flag' = s.flag
        AND NOT require_variants_needed.variants ? (p ->> 'variant') LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('flag "%s" in environment "%s" needs variant "%s" of flag "%s"',
                used.flag, s.environment, used.name, s.flag),
            HINT = 'Change its prerequisites first.';
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.require_variants_needed(flagscope.flag_state, jsonb) IS
    'raises unless a flag''s variants in an environment include those needed by rollouts and other flags there';

CREATE FUNCTION _flagscope.check_flag_state() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    variants jsonb;
    wrong text;
BEGIN
    IF TG_OP = 'UPDATE'
        AND (NEW.flag, NEW.environment, NEW.id) IS DISTINCT FROM (OLD.flag, OLD.environment, OLD.id) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('flag and environment of the state of flag "%s" never change', OLD.flag);
    END IF;
    SELECT coalesce(NEW.variants, f.variants) INTO variants FROM flagscope.flag_definition f WHERE f.key = NEW.flag;
    IF NEW.variants IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.variants IS DISTINCT FROM OLD.variants) THEN
        PERFORM _flagscope.require_variants(f, NEW.variants) FROM flagscope.flag_definition f WHERE f.key = NEW.flag;
    END IF;
    IF NEW.metadata IS NOT NULL THEN
        PERFORM _flagscope.check_document(NEW.metadata);
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.variants IS DISTINCT FROM OLD.variants THEN
        PERFORM _flagscope.require_variants_needed(NEW, variants);
    END IF;
    SELECT v.name INTO wrong FROM unnest(ARRAY[NEW.default_variant, NEW.treatment, NEW.control]) v(name)
    WHERE v.name IS NOT NULL AND NOT variants ? v.name LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = _flagscope.message('flag "%s" has no variant "%s"', NEW.flag, wrong),
            HINT = _flagscope.message('Its variants are: %s.',
                (SELECT string_agg(k, ', ' ORDER BY k) FROM jsonb_object_keys(variants) k));
    END IF;
    IF NEW.targeting IS NOT NULL THEN
        PERFORM _flagscope.require_rule(NEW, CASE TG_OP WHEN 'UPDATE' THEN OLD END, variants);
    END IF;
    IF NEW.prerequisites <> '[]' THEN
        PERFORM _flagscope.require_prerequisites(NEW.prerequisites, NEW.flag, NEW.environment);
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.rollout_id = OLD.rollout_id
        AND (NEW.targeting, NEW.prerequisites, NEW.default_variant) IS DISTINCT FROM (OLD.targeting, OLD.prerequisites,
            OLD.default_variant) THEN
        wrong := _flagscope.not_by_chance(NEW, NEW.treatment, NEW.control);
        IF wrong <> coalesce(_flagscope.not_by_chance(OLD, OLD.treatment, OLD.control), '') THEN
            RAISE WARNING USING MESSAGE = _flagscope.message(
                'treatment and control of flag "%s" are not comparable from now on: %s',
                NEW.flag, wrong),
                HINT = 'Give these users a variant of their own with the same value, or pause the rollout.';
        END IF;
    END IF;
    NEW.version := nextval('_flagscope.flag_version_seq');
    -- except by a decision, which sets time and actor itself
    IF TG_OP = 'INSERT' OR NEW.changed_at = OLD.changed_at THEN
        NEW.changed_at := clock_timestamp();
        NEW.actor := _flagscope.actor();
        NEW.reason := coalesce(current_setting('flagscope.reason', true), '');
        NEW.decision_id := NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        -- History must not go backwards even if the clock does.
        NEW.changed_at := greatest(NEW.changed_at, OLD.changed_at + interval '1 microsecond');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION _flagscope.check_flag_state() IS
    'trigger: variants exist; every change gets a version, a time, an actor and a reason';
CREATE TRIGGER check_flag_state BEFORE INSERT OR UPDATE ON flagscope.flag_state
    FOR EACH ROW EXECUTE FUNCTION _flagscope.check_flag_state();

-- A statement trigger, so that a thousand flags cost little more than one. Settings force a generic plan by index,
-- which is kept for the session regardless of how many flags the next statement changes and how the history grows.
CREATE FUNCTION _flagscope.keep_flag_state_history() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        -- Not joined with the old rows: finding each among 10,000 without an index took 48 s.
        UPDATE flagscope.flag_state_history h SET valid = tstzrange(lower(h.valid), n.changed_at)
        FROM new_state n, LATERAL (SELECT x.version FROM flagscope.flag_state_history x
            WHERE x.state_id = n.id AND x.version < n.version ORDER BY x.version DESC LIMIT 1) last
        WHERE h.state_id = n.id AND h.version = last.version AND upper_inf(h.valid);
    ELSIF TG_OP = 'DELETE' THEN
        UPDATE flagscope.flag_state_history h
        SET valid = tstzrange(lower(h.valid), greatest(clock_timestamp(), lower(h.valid) + interval '1 microsecond'))
        FROM old_state o WHERE h.state_id = o.id AND h.version = o.version;
        RETURN NULL;
    END IF;
    -- Metadata of the environment has a history of its own.
    INSERT INTO flagscope.flag_state_history (state_id, flag, environment, version, valid, enabled, default_variant,
        targeting, prerequisites, rollout_id, treatment, control, percent, definition, actor, reason, decision_id)
    SELECT n.id, n.flag, n.environment, n.version, tstzrange(n.changed_at, NULL), n.enabled, n.default_variant,
        n.targeting, n.prerequisites, n.rollout_id, n.treatment, n.control, n.percent,
        _flagscope.definition_of(s, f, e) - 'set_metadata', n.actor, n.reason, n.decision_id
    FROM new_state n JOIN flagscope.flag_state s ON s.flag = n.flag AND s.environment = n.environment
        JOIN flagscope.flag_definition f ON f.key = n.flag
        JOIN flagscope.environment_definition e ON e.key = n.environment;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.keep_flag_state_history() IS 'trigger: ends the old versions and adds the new ones';
CREATE TRIGGER keep_history_of_inserted AFTER INSERT ON flagscope.flag_state
    REFERENCING NEW TABLE AS new_state FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.keep_flag_state_history();
CREATE TRIGGER keep_history_of_updated AFTER UPDATE ON flagscope.flag_state
    REFERENCING NEW TABLE AS new_state FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.keep_flag_state_history();
CREATE TRIGGER keep_history_of_deleted AFTER DELETE ON flagscope.flag_state
    REFERENCING OLD TABLE AS old_state FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.keep_flag_state_history();

CREATE FUNCTION _flagscope.note_flag_changes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF _flagscope.is_ingest_node() THEN
        RETURN NULL;  -- they come from the deciding node, with its versions
    END IF;
    IF TG_OP = 'TRUNCATE' THEN
        UPDATE _flagscope.flag_change
        SET version = nextval('_flagscope.flag_version_seq'::regclass), transaction = pg_current_xact_id();
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO _flagscope.flag_change AS c (environment, flag, version)
        SELECT s.environment, s.flag, nextval('_flagscope.flag_version_seq'::regclass) FROM changed s
        ON CONFLICT (environment, flag) DO UPDATE SET version = excluded.version, transaction = excluded.transaction;
    ELSE
        INSERT INTO _flagscope.flag_change AS c (environment, flag, version)
        SELECT s.environment, s.flag,
            CASE WHEN TG_OP = 'INSERT' AND s.changed_at < now() THEN -s.version ELSE s.version END
        FROM changed s
        ON CONFLICT (environment, flag) DO UPDATE SET transaction = excluded.transaction,
            version = CASE WHEN c.version = excluded.version THEN -excluded.version ELSE excluded.version END;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.note_flag_changes() IS 'trigger: maintains flag_change';
CREATE TRIGGER note_inserted_flags AFTER INSERT ON flagscope.flag_state
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.note_flag_changes();
CREATE TRIGGER note_updated_flags AFTER UPDATE ON flagscope.flag_state
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.note_flag_changes();
CREATE TRIGGER note_deleted_flags AFTER DELETE ON flagscope.flag_state
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.note_flag_changes();
CREATE TRIGGER note_truncated_flags AFTER TRUNCATE ON flagscope.flag_state
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.note_flag_changes();
-- For all writes, including replication and restore, which run no other triggers.
ALTER TABLE flagscope.flag_state ENABLE ALWAYS TRIGGER note_inserted_flags;
ALTER TABLE flagscope.flag_state ENABLE ALWAYS TRIGGER note_updated_flags;
ALTER TABLE flagscope.flag_state ENABLE ALWAYS TRIGGER note_deleted_flags;
ALTER TABLE flagscope.flag_state ENABLE ALWAYS TRIGGER note_truncated_flags;

-- A generic plan by index even while the table is small: it is kept for the session while the table grows.
CREATE FUNCTION _flagscope.notify_flag_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $$
BEGIN
    -- One notification per transaction and environment, for the last change.
    IF EXISTS (SELECT FROM _flagscope.flag_change c
               WHERE c.transaction = NEW.transaction AND c.environment = NEW.environment
                   AND c.version > NEW.version) THEN
        RETURN NULL;
    END IF;
    -- A full notification queue would make the commit fail; followers also poll flag_changes().
    IF pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('flagscope_flag',
            json_build_object('environment', NEW.environment, 'version', abs(NEW.version))::text);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.notify_flag_change() IS
    'trigger, at commit: NOTIFY flagscope_flag with environment and latest version, once per transaction';
CREATE CONSTRAINT TRIGGER notify_flag_change AFTER INSERT OR UPDATE ON _flagscope.flag_change
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION _flagscope.notify_flag_change();

CREATE FUNCTION flagscope.create_flag(
    key text, variants jsonb DEFAULT '{"off": false, "on": true}', default_variant text DEFAULT 'off',
    value_type flagscope.value_type DEFAULT 'boolean', description text DEFAULT '', tags text[] DEFAULT '{}',
    metadata jsonb DEFAULT '{}', enabled boolean DEFAULT true, value_schema jsonb DEFAULT NULL,
    bucketing flagscope.bucketing DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    INSERT INTO flagscope.flag_definition (key, value_type, variants, description, tags, metadata,
        value_schema, bucketing)
    VALUES (create_flag.key, create_flag.value_type, create_flag.variants, create_flag.description,
            create_flag.tags, create_flag.metadata, create_flag.value_schema,
            coalesce(create_flag.bucketing, _flagscope.default_bucketing()));
    INSERT INTO flagscope.flag_state (flag, environment, enabled, default_variant)
    SELECT create_flag.key, e.key, create_flag.enabled, create_flag.default_variant
    FROM flagscope.environment_definition e;
    RETURN create_flag.key;
EXCEPTION WHEN unique_violation THEN
    PERFORM _flagscope.raise_for_caller('42710', _flagscope.message('flag "%s" exists already', create_flag.key), NULL,
        'UPDATE flagscope.flag_definition changes it.');
WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    PERFORM _flagscope.raise_for_caller(SQLSTATE, SQLERRM, detail, hint);
    RAISE;
END $$;
COMMENT ON FUNCTION flagscope.create_flag(text, jsonb, text, flagscope.value_type, text, text[], jsonb, boolean, jsonb,
    flagscope.bucketing) IS
    'creates a flag and its state in every environment; value_schema is a JSON Schema that every variant''s value must '
    'satisfy; bucketing: how users are split, NULL for the setting flagscope.bucketing; returns its key';

CREATE FUNCTION _flagscope.set_archived(flag text, archived_at timestamptz) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE flagscope.flag_definition f SET archived_at = set_archived.archived_at WHERE f.key = set_archived.flag;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = _flagscope.message('flag "%s" does not exist', flag),
            HINT = _flagscope.names_hint(flag, _flagscope.flag_keys(), 'Create it with flagscope.create_flag(key).');
    END IF;
    RETURN (SELECT max(s.version) FROM flagscope.flag_state s WHERE s.flag = set_archived.flag);
END $$;
COMMENT ON FUNCTION _flagscope.set_archived(text, timestamptz) IS
    'archives a flag; NULL unarchives it; returns its latest version';

CREATE FUNCTION flagscope.archive_flag(flag text) RETURNS bigint
LANGUAGE sql RETURN _flagscope.set_archived(flag, clock_timestamp());
COMMENT ON FUNCTION flagscope.archive_flag(text) IS
    'retires a flag in every environment: callers get their own default, exports omit it, history is kept; '
    'refused while a rollout is live or another flag needs it; returns the new version';

CREATE FUNCTION flagscope.unarchive_flag(flag text) RETURNS bigint
LANGUAGE sql RETURN _flagscope.set_archived(flag, NULL);
COMMENT ON FUNCTION flagscope.unarchive_flag(text) IS 'restores an archived flag as it was; returns the new version';

CREATE FUNCTION _flagscope.change_flag_state(flag text, environment text, enabled boolean, default_variant text)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    env text := _flagscope.environment(environment);
    new_version bigint;
BEGIN
    UPDATE flagscope.flag_state s
    SET enabled = coalesce(change_flag_state.enabled, s.enabled),
        default_variant = coalesce(change_flag_state.default_variant, s.default_variant)
    WHERE s.flag = change_flag_state.flag AND s.environment = env
    RETURNING s.version INTO new_version;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = _flagscope.message('flag "%s" does not exist in environment "%s"', flag, env),
            HINT = _flagscope.names_hint(flag,
                ARRAY(SELECT s.flag FROM flagscope.flag_state s WHERE s.environment = env),
                'Create it with flagscope.create_flag(key).');
    END IF;
    RETURN new_version;
END $$;
COMMENT ON FUNCTION _flagscope.change_flag_state(text, text, boolean, text) IS
    'changes what is not NULL; returns the new version';

CREATE FUNCTION flagscope.enable_flag(flag text, environment text DEFAULT NULL) RETURNS bigint
LANGUAGE sql RETURN _flagscope.change_flag_state(flag, environment, true, NULL);
COMMENT ON FUNCTION flagscope.enable_flag(text, text) IS 'enables a flag in an environment; returns the new version';

CREATE FUNCTION flagscope.disable_flag(flag text, environment text DEFAULT NULL) RETURNS bigint
LANGUAGE sql RETURN _flagscope.change_flag_state(flag, environment, false, NULL);
COMMENT ON FUNCTION flagscope.disable_flag(text, text) IS
    'kill switch: callers get their own default; a live rollout keeps its stage but serves nothing meanwhile; '
    'returns the new version';

CREATE FUNCTION flagscope.set_default_variant(flag text, variant text, environment text DEFAULT NULL) RETURNS bigint
LANGUAGE sql RETURN _flagscope.change_flag_state(flag, environment, NULL, variant);
COMMENT ON FUNCTION flagscope.set_default_variant(text, text, text) IS
    'sets the variant served by default; returns the new version';
