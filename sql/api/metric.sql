-- Metrics: their checks, and the function that defines one.

CREATE FUNCTION flagscope._check_metric_row() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM flagscope.check_filter(NEW.filter);
    IF NEW.event IS NOT NULL THEN
        PERFORM flagscope.check_filter(NEW.event);
    END IF;
    IF TG_OP = 'UPDATE' AND (NEW.name, NEW.kind) IS DISTINCT FROM (OLD.name, OLD.kind) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('name and kind of metric "%s" never change', OLD.name), HINT = 'Create another metric.';
    END IF;
    IF TG_OP = 'UPDATE' AND (NEW.signal, NEW.filter, NEW.event, NEW.harm) IS DISTINCT FROM (OLD.signal, OLD.filter, OLD.event, OLD.harm)
       AND EXISTS (SELECT FROM flagscope.guardrail g WHERE g.metric = NEW.name) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('metric "%s" is read by guardrails: what it measures cannot change', NEW.name),
            HINT = 'Create another metric and move the guardrails to it.';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION flagscope._check_metric_row() IS 'trigger: filters can be read; what guardrails read stays what it is';
CREATE TRIGGER check_metric BEFORE INSERT OR UPDATE ON flagscope.metric
    FOR EACH ROW EXECUTE FUNCTION flagscope._check_metric_row();

CREATE FUNCTION flagscope.create_metric(
    name text, kind flagscope.metric_kind, signal flagscope.signal, filter jsonb DEFAULT '{}', event jsonb DEFAULT NULL,
    harm flagscope.harm DEFAULT 'increase', unit text DEFAULT '', description text DEFAULT ''
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (kind = 'proportion') <> (event IS NOT NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = CASE kind WHEN 'proportion' THEN format('metric "%s" is a proportion and needs an event', name)
                ELSE format('metric "%s" is a %s and has no event, got %s', name, kind, event) END,
            HINT = 'The event says which of the matching rows count, for example event => ''{"is_error": true}''.';
    END IF;
    INSERT INTO flagscope.metric (name, kind, signal, filter, event, harm, unit, description)
    VALUES (create_metric.name, create_metric.kind, create_metric.signal, create_metric.filter, create_metric.event,
            create_metric.harm, create_metric.unit, create_metric.description);
EXCEPTION WHEN unique_violation THEN
    RAISE EXCEPTION USING ERRCODE = 'duplicate_object', MESSAGE = format('metric "%s" exists already', create_metric.name);
END $$;
COMMENT ON FUNCTION flagscope.create_metric(text, flagscope.metric_kind, flagscope.signal, jsonb, jsonb, flagscope.harm, text, text) IS
    'defines how to read a number from telemetry; filter and event as in check_filter()';
