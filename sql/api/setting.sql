-- Settings: read with a type, changed with a check.

CREATE FUNCTION flagscope._setting_number(name text) RETURNS float8
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT (s.value #>> '{}')::float8 FROM flagscope.setting s WHERE s.name = _setting_number.name;
END;
COMMENT ON FUNCTION flagscope._setting_number(text) IS 'a setting as a number';

CREATE FUNCTION flagscope._setting_interval(name text) RETURNS interval
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT (s.value #>> '{}')::interval FROM flagscope.setting s WHERE s.name = _setting_interval.name;
END;
COMMENT ON FUNCTION flagscope._setting_interval(text) IS 'a setting as an interval';

CREATE FUNCTION flagscope._setting_text(name text) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT s.value #>> '{}' FROM flagscope.setting s WHERE s.name = _setting_text.name;
END;
COMMENT ON FUNCTION flagscope._setting_text(text) IS 'a setting as a text';

CREATE FUNCTION flagscope._check_setting() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kind text := jsonb_typeof(NEW.value);
BEGIN
    IF TG_OP = 'INSERT' THEN
        -- A restored dump brings the user's value: the row as shipped gives way.
        DELETE FROM flagscope.setting s WHERE s.name = NEW.name AND s.builtin;
        RETURN NEW;
    END IF;
    IF kind <> jsonb_typeof(OLD.value) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('setting "%s" must be a JSON %s, got a %s: %s', NEW.name, jsonb_typeof(OLD.value), kind, NEW.value),
            HINT = format('The value now is %s.', OLD.value);
    END IF;
    IF NEW.name LIKE '%.expired' THEN
        IF NEW.value NOT IN ('"drop"', '"detach"') THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = format('setting "%s" must be "drop" or "detach", got %s', NEW.name, NEW.value);
        END IF;
    ELSIF NEW.name = 'telemetry.chunk_interval' AND NEW.value = '"auto"' THEN
        NULL;
    ELSIF kind = 'string' THEN
        PERFORM flagscope._check_positive_interval(NEW.name, NEW.value #>> '{}');
    ELSIF kind = 'number' THEN
        PERFORM flagscope._check_number(NEW.name, (NEW.value #>> '{}')::numeric);
    ELSIF NEW.name = 'rollout.stages' THEN
        PERFORM flagscope._check_stages(ARRAY(SELECT x::numeric FROM jsonb_array_elements_text(NEW.value) x));
    END IF;
    NEW.builtin := false;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION flagscope._check_setting() IS 'trigger: a setting keeps its JSON type; a changed one is the user''s own';

CREATE FUNCTION flagscope._check_positive_interval(name text, value text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF value::interval <= interval '0' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('setting "%s" must be longer than nothing, got "%s"', name, value);
    END IF;
    IF extract(year FROM value::interval) <> 0 OR extract(month FROM value::interval) <> 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('setting "%s" must not count in months or years, got "%s"', name, value),
            HINT = 'Their length varies; write days.';
    END IF;
    IF name LIKE '%.chunk_interval' AND value::interval < interval '1 minute' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('setting "%s" must be at least a minute, got "%s"', name, value);
    END IF;
    IF name = 'rollup.fine.retention' AND value::interval < interval '1 hour' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('setting "%s" must be at least an hour, got "%s"', name, value), HINT = 'Guardrails read these rollups.';
    END IF;
EXCEPTION WHEN invalid_datetime_format OR datetime_field_overflow OR interval_field_overflow THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
        MESSAGE = format('setting "%s" must be an interval, got "%s"', name, value),
        HINT = 'Write it like "10 minutes".';
END $$;
COMMENT ON FUNCTION flagscope._check_positive_interval(text, text) IS 'raises unless the text is an interval above 0 and within the setting''s bounds';

CREATE FUNCTION flagscope._check_number(name text, value numeric) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bounds text := CASE
        WHEN name IN ('rollout.alpha', 'health.alpha') AND (value <= 0 OR value > 0.5) THEN 'above 0 and at most 0.5'
        WHEN name = 'rollout.alpha_reserve' AND value NOT BETWEEN 0 AND 0.9 THEN 'between 0 and 0.9'
        -- Each is a table: a thousand more would be days of maintenance.
        WHEN name LIKE '%.premake' AND (value NOT BETWEEN 1 AND 100 OR value % 1 <> 0) THEN 'a whole number from 1 to 100'
        WHEN name LIKE '%.margin.%' AND value NOT BETWEEN 0 AND 10 THEN 'between 0 and 10'
        WHEN value NOT BETWEEN 0 AND 1e15 THEN 'between 0 and 1e15' END;
BEGIN
    IF bounds IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('setting "%s" must be %s, got "%s"', name, bounds, value);
    END IF;
END $$;
COMMENT ON FUNCTION flagscope._check_number(text, numeric) IS 'raises unless the number is within the setting''s bounds';

CREATE TRIGGER check_setting BEFORE INSERT OR UPDATE ON flagscope.setting
    FOR EACH ROW EXECUTE FUNCTION flagscope._check_setting();

CREATE FUNCTION flagscope.set_setting(name text, value jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE flagscope.setting s SET value = set_setting.value WHERE s.name = set_setting.name;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('setting "%s" does not exist', set_setting.name),
            HINT = 'See SELECT name, value, description FROM flagscope.setting.';
    END IF;
END $$;
COMMENT ON FUNCTION flagscope.set_setting(text, jsonb) IS
    'changes a default, for example set_setting(''rollout.alpha'', ''0.005''); live rollouts keep what they started with';
