-- Settings: typed readers, and checks of changes.

-- The readers fall back to the value as shipped, so that no setting is ever missing.
CREATE FUNCTION _flagscope.setting_number(name text) RETURNS float8
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT (coalesce((SELECT s.value FROM flagscope.setting s WHERE s.name = setting_number.name),
        (SELECT d.value FROM _flagscope.setting_default d WHERE d.name = setting_number.name)) #>> '{}')::float8;
END;
COMMENT ON FUNCTION _flagscope.setting_number(text) IS 'a setting as a number';

CREATE FUNCTION _flagscope.setting_interval(name text) RETURNS interval
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT (coalesce((SELECT s.value FROM flagscope.setting s WHERE s.name = setting_interval.name),
        (SELECT d.value FROM _flagscope.setting_default d WHERE d.name = setting_interval.name)) #>> '{}')::interval;
END;
COMMENT ON FUNCTION _flagscope.setting_interval(text) IS 'a setting as an interval';

CREATE FUNCTION _flagscope.setting_text(name text) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce((SELECT s.value FROM flagscope.setting s WHERE s.name = setting_text.name),
        (SELECT d.value FROM _flagscope.setting_default d WHERE d.name = setting_text.name)) #>> '{}';
END;
COMMENT ON FUNCTION _flagscope.setting_text(text) IS 'a setting as a text, an array as its JSON';

CREATE FUNCTION _flagscope.setting_bounds(name text,
    OUT lowest text, OUT highest text, OUT is_whole boolean, OUT words text[])
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    -- The first matching line counts. Upper bounds keep times within timestamptz, and loops short.
    SELECT b.lowest, b.highest, b.is_whole, b.words FROM (VALUES
        (1, '%.expired', NULL, NULL, false, '{drop,detach}'::text[]),
        (2, 'telemetry.chunk_interval', '1 minute', '3650 days', false, '{auto}'),
        (2, 'telemetry.freeze_after', '1 minute', '36500 days', false, '{never}'),
        (3, '%.chunk_interval', '1 minute', '3650 days', false, '{}'),
        (4, 'rollup.%.retention', '1 hour', '36500 days', false, '{}'),  -- guardrails read these rollups
        (5, '%.retention', '1 second', '36500 days', false, '{}'),
        (6, 'guardrail.anomaly_window', '1 minute', '1 hour', false, '{}'),
        (7, 'query.timeout', '1 millisecond', '1 hour', false, '{}'),
        (8, 'query.delay', '1 millisecond', '1 day', false, '{}'),
        (9, 'query.interval', '1 millisecond', '1 day', false, '{}'),
        (10, 'maintenance.interval', '1 second', '1 day', false, '{}'),
        (11, '%.alpha', '1e-12', '0.5', false, '{}'),
        (12, '%.alpha_reserve', '0', '0.9', false, '{}'),
        (13, '%.crossing', '0', '1', false, '{}'),
        (13, 'health.row_share', NULL, NULL, false, '{hold,off}'),
        (13, 'health.row_share_margin', '0', '100', false, '{}'),
        -- Each partition is a table: a thousand more would take days of maintenance.
        (14, '%.premake', '1', '100', true, '{}'),
        (15, '%.margin.%', '0', '1', false, '{}'),  -- shares: 2 % is 0.02
        (15, 'guardrail.safe_margin', '0.001', '100', false, '{}'),
        (15, 'guardrail.detectable', '0', '100', false, '{}'),
        (15, 'rollout.patience', '1', '1000', false, '{}'),
        (16, 'query.rows', '1', '1e8', true, '{}'),
        (17, '%.min_sample', '0', '1e15', true, '{}'),
        (18, '%.max_automatic', '0', '1e6', true, '{}'),
        (19, 'telemetry.chunk_bytes', '1', '1e15', false, '{}'),
        (20, 'tick.budget', '1 microsecond', '1 hour', false, '{}'),
        (21, 'correlate.rows', '1000', '1e9', true, '{}'),
        (22, 'correlate.memory', '8e6', '4e9', false, '{}'),
        (23, 'correlate.timeout', '10 milliseconds', '1 hour', false, '{}'),
        (24, '%', NULL, NULL, false, '{}')
    ) b(place, pattern, lowest, highest, is_whole, words)
    WHERE setting_bounds.name LIKE b.pattern ORDER BY b.place LIMIT 1;
$$;
COMMENT ON FUNCTION _flagscope.setting_bounds(text) IS
    'what a setting may be: lowest and highest value, whole numbers only, or a list of words; '
    'NULL: any value of its JSON type';

CREATE FUNCTION _flagscope.check_setting_interval(name text, value text, lowest text, highest text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres'
AS $$
DECLARE
    lower text := left(coalesce(lowest, '1 millisecond'), 100);
    upper text := left(coalesce(highest, '3650 days'), 100);
    given interval;
BEGIN
    BEGIN
        given := value::interval;
    EXCEPTION WHEN invalid_datetime_format OR datetime_field_overflow OR interval_field_overflow THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('setting "%s" must be an interval, got "%s"', name, left(value, 100)),
            HINT = 'Write it like "10 minutes".';
    END;
    IF extract(year FROM given) <> 0 OR extract(month FROM given) <> 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('setting "%s" must not be given in months or years, got "%s"', name,
                left(value, 100)),
            HINT = 'Their length varies; use days.';
    ELSIF given NOT BETWEEN lower::interval AND upper::interval THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('setting "%s" must be between %s and %s, got "%s"', name, lower, upper,
                left(value, 100));
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.check_setting_interval(text, text, text, text) IS
    'raises unless the text is an interval, without months, within the bounds';

CREATE FUNCTION _flagscope.check_setting_number(name text, value numeric, lowest text, highest text, is_whole boolean)
RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    lower text := left(coalesce(lowest, '0'), 100);
    upper text := left(coalesce(highest, '1e15'), 100);
BEGIN
    IF value NOT BETWEEN lower::numeric AND upper::numeric OR (is_whole AND value % 1 <> 0) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('setting "%s" must be %s %s and %s, got "%s"', name,
                CASE WHEN is_whole THEN 'a whole number between' ELSE 'between' END, lower, upper,
                left(value::text, 100));
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.check_setting_number(text, numeric, text, text, boolean) IS
    'raises unless the number is within the bounds';

CREATE FUNCTION _flagscope.check_setting_value(name text, value jsonb) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kind text := jsonb_typeof(value);
    b record := _flagscope.setting_bounds(name);
BEGIN
    IF kind = 'string' AND value #>> '{}' = ANY (b.words) THEN
        RETURN;
    ELSIF name = 'message.link' AND kind = 'string' THEN
        IF value #>> '{}' !~ '^(https?://[^[:space:]<>"]+)?$' OR length(value #>> '{}') > 500 THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = _flagscope.message('setting "%s" must be an address or empty, got %s', name,
                    left(value::text, 100)),
                HINT = 'Write it like "https://flags.example.org/rollouts/{rollout}".';
        END IF;
    ELSIF b.lowest IS NULL AND b.words <> '{}' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('setting "%s" must be %s, got %s', name,
                (SELECT string_agg(format('"%s"', w), ' or ') FROM unnest(b.words) w), left(value::text, 100));
    ELSIF kind = 'string' THEN
        PERFORM _flagscope.check_setting_interval(name, value #>> '{}', b.lowest, b.highest);
    ELSIF kind = 'number' THEN
        IF name = 'guardrail.detectable' AND (value #>> '{}')::numeric > 0 AND (value #>> '{}')::numeric <= 1 THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = _flagscope.message('setting "%s" must be above 1, or 0, got "%s"', name,
                    left(value::text, 100)),
                HINT = '1.5 is a metric half as bad again as its baseline; 0: no stage waits for power.';
        END IF;
        PERFORM _flagscope.check_setting_number(name, (value #>> '{}')::numeric, b.lowest, b.highest, b.is_whole);
    ELSIF kind = 'array' THEN
        IF EXISTS (SELECT FROM jsonb_array_elements(value) x WHERE jsonb_typeof(x) <> 'number') THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = _flagscope.message('setting "%s" must be an array of numbers, got %s', name,
                    left(value::text, 100));
        END IF;
        PERFORM _flagscope.check_stages(ARRAY(SELECT x::numeric FROM jsonb_array_elements_text(value) x));
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.check_setting_value(text, jsonb) IS 'raises unless a setting may have this value';

CREATE FUNCTION _flagscope.check_freezing(name text, value text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres'
AS $$
DECLARE
    age text := CASE name WHEN 'telemetry.freeze_after' THEN value
        ELSE _flagscope.setting_text('telemetry.freeze_after') END;
    reach text := CASE name WHEN 'attribution.trace_window' THEN value
        ELSE _flagscope.setting_text('attribution.trace_window') END;
BEGIN
    IF name NOT IN ('telemetry.freeze_after', 'attribution.trace_window') OR age = 'never' THEN
        RETURN;
    END IF;
    IF age::interval < reach::interval THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('telemetry.freeze_after (%s) must not be less than attribution.trace_window '
                '(%s)',
                age, reach),
            HINT = 'A flag evaluation gives its flags to rows of its trace within that window, and frozen rows '
                'cannot be '
                'changed.';
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.check_freezing(text, text) IS
    'raises if rows would be frozen that late attribution may still have to change';

CREATE FUNCTION _flagscope.check_setting() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    shipped _flagscope.setting_default;
BEGIN
    SELECT * INTO shipped FROM _flagscope.setting_default d WHERE d.name = NEW.name;
    IF NOT FOUND OR (TG_OP = 'UPDATE' AND NEW.name <> OLD.name) THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = CASE WHEN shipped.name IS NULL THEN _flagscope.message('setting "%s" does not exist', NEW.name)
                ELSE _flagscope.message('setting "%s" cannot be renamed', OLD.name) END,
            HINT = CASE WHEN shipped.name IS NULL THEN _flagscope.names_hint(NEW.name,
                    ARRAY(SELECT d.name FROM _flagscope.setting_default d), '') || ' ' ELSE '' END
                || 'See SELECT name, value, description FROM flagscope.setting.';
    END IF;
    IF jsonb_typeof(NEW.value) IS DISTINCT FROM jsonb_typeof(shipped.value) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('setting "%s" must be a JSON %s, got %s', NEW.name,
                jsonb_typeof(shipped.value), CASE WHEN NEW.value IS NULL THEN 'NULL'
                    ELSE format('a %s: %s', jsonb_typeof(NEW.value), left(NEW.value::text, 100)) END),
            HINT = _flagscope.message('The value as shipped is %s.', shipped.value);
    END IF;
    PERFORM _flagscope.check_setting_value(NEW.name, NEW.value),
        _flagscope.check_freezing(NEW.name, NEW.value #>> '{}');
    NEW.builtin := TG_OP = 'INSERT' AND NEW.builtin AND NEW.value = shipped.value;
    IF TG_OP = 'INSERT' THEN
        NEW.description := coalesce(nullif(NEW.description, ''), shipped.description);
        -- Every setting has a row: an unchanged one is replaced by the inserted row.
        DELETE FROM flagscope.setting s WHERE s.name = NEW.name AND s.builtin;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION _flagscope.check_setting() IS
    'trigger: the setting exists, and its value has the right JSON type and is within bounds; '
    'marks changed settings as the user''s own';
CREATE TRIGGER check_setting BEFORE INSERT OR UPDATE ON flagscope.setting
    FOR EACH ROW EXECUTE FUNCTION _flagscope.check_setting();

CREATE FUNCTION _flagscope.restore_setting() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO flagscope.setting (name, value, description, builtin)
    SELECT d.name, d.value, d.description, true FROM _flagscope.setting_default d
    WHERE NOT EXISTS (SELECT FROM flagscope.setting s WHERE s.name = d.name);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.restore_setting() IS
    'trigger: inserts a deleted setting again with the value as shipped';
-- Except for the row that check_setting deletes in favour of an inserted one.
CREATE TRIGGER restore_setting AFTER DELETE ON flagscope.setting
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION _flagscope.restore_setting();
CREATE TRIGGER restore_all_settings AFTER TRUNCATE ON flagscope.setting
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.restore_setting();

CREATE FUNCTION flagscope.set_setting(name text, value jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE flagscope.setting s SET value = set_setting.value WHERE s.name = set_setting.name;
    IF NOT FOUND THEN
        INSERT INTO flagscope.setting (name, value) VALUES (set_setting.name, set_setting.value);
    END IF;
END $$;
COMMENT ON FUNCTION flagscope.set_setting(text, jsonb) IS
    'changes a setting, for example set_setting(''rollout.alpha'', ''0.005''); '
    'live rollouts keep the values they started with';
