-- Metrics: their checks, and the function that defines one.

CREATE FUNCTION flagscope._check_metric_row() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM flagscope.check_filter(NEW.filter);
    IF NEW.event IS NOT NULL THEN
        PERFORM flagscope.check_filter(NEW.event);
    END IF;
    IF NEW.per IS NOT NULL THEN
        PERFORM flagscope.check_per(NEW.per);
    END IF;
    IF TG_OP = 'UPDATE' AND (NEW.name, NEW.kind) IS DISTINCT FROM (OLD.name, OLD.kind) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('name and kind of metric "%s" never change', OLD.name), HINT = 'Create another metric.';
    END IF;
    IF TG_OP = 'UPDATE' AND (NEW.signal, NEW.filter, NEW.event, NEW.per, NEW.sum_values, NEW.cap, NEW.harm)
            IS DISTINCT FROM (OLD.signal, OLD.filter, OLD.event, OLD.per, OLD.sum_values, OLD.cap, OLD.harm)
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
    harm flagscope.harm DEFAULT 'increase', unit text DEFAULT '', description text DEFAULT '', per jsonb DEFAULT NULL,
    sum_values boolean DEFAULT false, cap float8 DEFAULT NULL
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
    IF (kind IN ('rate', 'ratio')) <> (per IS NOT NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = CASE WHEN per IS NULL THEN format('metric "%s" is a %s and needs a denominator', name, kind)
                ELSE format('metric "%s" is a %s and has no denominator, got %s', name, kind, per) END,
            HINT = 'It says what the rows are counted per, for example per => ''{"signal": "span", "name": "POST /checkout"}''.';
    END IF;
    INSERT INTO flagscope.metric (name, kind, signal, filter, event, harm, unit, description, per, sum_values, cap)
    VALUES (create_metric.name, create_metric.kind, create_metric.signal, create_metric.filter, create_metric.event,
            create_metric.harm, create_metric.unit, create_metric.description, create_metric.per, create_metric.sum_values, create_metric.cap);
EXCEPTION WHEN unique_violation THEN
    RAISE EXCEPTION USING ERRCODE = 'duplicate_object', MESSAGE = format('metric "%s" exists already', create_metric.name);
END $$;
COMMENT ON FUNCTION flagscope.create_metric(text, flagscope.metric_kind, flagscope.signal, jsonb, jsonb, flagscope.harm, text, text, jsonb, boolean, float8) IS
    'defines how to read a number from telemetry; filter and event as in check_filter(), per as in check_per(); cap bounds the values of a mean';

CREATE FUNCTION flagscope._metric_value(m flagscope.metric, quantile float8, n bigint, events bigint, moments flagscope.moments,
    histogram flagscope.histogram) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE m.kind
        WHEN 'proportion' THEN events::float8 / nullif(n, 0)::float8
        WHEN 'mean' THEN flagscope.mean(moments)
        WHEN 'rate' THEN events::float8 / nullif(coalesce(flagscope.sum(moments), n::float8), 0)
        WHEN 'ratio' THEN coalesce(flagscope.sum(moments), 0) / nullif(n, 0)::float8
        ELSE flagscope.quantile(histogram, quantile) END;
END;
COMMENT ON FUNCTION flagscope._metric_value(flagscope.metric, float8, bigint, bigint, flagscope.moments, flagscope.histogram) IS
    'what a metric''s state says: share, mean, rate, ratio or quantile; NULL without data, never 0';
