-- Metrics: checks, and the functions that define one.

CREATE FUNCTION _flagscope.check_query_owner(m flagscope.metric_definition) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = m.owner) THEN
        PERFORM _flagscope.unknown('role', m.owner,
            ARRAY(SELECT r.rolname::text FROM pg_roles r WHERE r.rolname !~ '^pg_'), '');
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = m.owner AND pg_has_role(current_user, r.oid,
            -- From PostgreSQL 16 on, membership alone may not allow to act as the role.
            CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END)) THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
            MESSAGE = _flagscope.message('"%s" is not a member of role "%s", which owns metric "%s"',
                current_user, m.owner, m.name),
            HINT = 'A query runs with its owner''s rights: set owner to a role that you are a member of.';
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.check_query_owner(flagscope.metric_definition) IS
    'raises unless the current user may act as a metric''s owner';

CREATE FUNCTION _flagscope.is_polled(m flagscope.metric_definition) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN m.query IS NOT NULL OR m.conversion_window IS NOT NULL;
COMMENT ON FUNCTION _flagscope.is_polled(flagscope.metric_definition) IS
    'is a metric counted by the tick during rollouts instead of by the ingest trigger, '
    'so that its rollups cannot be rebuilt from raw rows';

CREATE FUNCTION _flagscope.in_window(at timestamptz, first_seen timestamptz, conversion_window interval) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- In seconds, because the length of an interval in days depends on the session's time zone. Same rule as Units::tags()
-- in src/core/telemetry/window.rs.
RETURN at >= first_seen AND coalesce(extract(epoch FROM at - first_seen) < extract(epoch FROM conversion_window), true);
COMMENT ON FUNCTION _flagscope.in_window(timestamptz, timestamptz, interval) IS
    'does a subject''s row count by its time: from the first exposure to the end of the conversion window; '
    'NULL: no end';

CREATE FUNCTION _flagscope.unit_window(m flagscope.metric_definition) RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- In seconds, as in_window().
RETURN CASE WHEN m.per_unit THEN make_interval(secs => extract(epoch FROM m.conversion_window)::float8) END;
COMMENT ON FUNCTION _flagscope.unit_window(flagscope.metric_definition) IS
    'how long after its first exposure a unit counts, of a metric by unit; NULL: of another';

CREATE FUNCTION _flagscope.check_window(name text, conversion_window interval) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF conversion_window <= '0' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('the conversion window of metric "%s" must be positive, got %s', name,
                conversion_window),
            HINT = 'For example ''1 day''; NULL for no limit.';
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.check_window(text, interval) IS 'raises unless a conversion window is positive';

CREATE FUNCTION _flagscope.check_query_of(name text, query text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hint text;
BEGIN
    PERFORM _flagscope.require_query(query);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = _flagscope.message('query of metric "%s": %s', name, SQLERRM),
        HINT = CASE
            WHEN SQLSTATE IN ('42P01', '42883', '42704') THEN 'Write names in a metric''s query with their schema.'
            ELSE coalesce(nullif(hint, ''), 'Its parameters $1 and $2 are the range of time, of type timestamptz.') END;
END $$;
COMMENT ON FUNCTION _flagscope.check_query_of(text, text) IS
    'raises unless a metric''s query is valid, naming the metric';

CREATE FUNCTION _flagscope.check_metric_row() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM _flagscope.require_filter(NEW.filter, _flagscope.message('filter of metric "%s"', NEW.name)),
        _flagscope.require_filter(NEW.event, _flagscope.message('event of metric "%s"', NEW.name)),
        _flagscope.require_per(NEW.per, _flagscope.message('per of metric "%s"', NEW.name));
    IF NEW.per_unit IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = _flagscope.message('per_unit of metric "%s" must be true or false, got NULL', NEW.name),
            HINT = 'true counts each user once; the default is false.';
    END IF;
    IF NEW.per_unit AND NEW.conversion_window IS NULL THEN
        NEW.conversion_window := _flagscope.setting_interval('unit.window');
    END IF;
    IF TG_OP = 'INSERT' OR (NEW.query, NEW.owner) IS DISTINCT FROM (OLD.query, OLD.owner) THEN
        PERFORM _flagscope.check_query_owner(NEW);
    END IF;
    IF NEW.query IS NOT NULL THEN
        PERFORM _flagscope.check_query_of(NEW.name, NEW.query);
    END IF;
    IF TG_OP = 'UPDATE' AND (NEW.name, NEW.kind) IS DISTINCT FROM (OLD.name, OLD.kind) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('name and kind of metric "%s" never change', OLD.name),
            HINT = 'Create another metric.';
    END IF;
    IF TG_OP = 'UPDATE'
        AND (NEW.signal, NEW.filter, NEW.event, NEW.per, NEW.sum_values, NEW.cap, NEW.query,
            NEW.conversion_window, NEW.per_unit, NEW.harm)
            IS DISTINCT FROM (OLD.signal, OLD.filter, OLD.event, OLD.per, OLD.sum_values, OLD.cap, OLD.query,
                OLD.conversion_window, OLD.per_unit, OLD.harm)
       AND EXISTS (SELECT FROM flagscope.guardrail g WHERE g.metric = NEW.name) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('metric "%s" is used by guardrails: what it measures cannot be changed',
                NEW.name),
            HINT = 'Create another metric and move the guardrails to it.';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION _flagscope.check_metric_row() IS
    'trigger: filters and queries are valid for the owner; what is used by guardrails cannot be changed';
CREATE TRIGGER check_metric BEFORE INSERT OR UPDATE ON flagscope.metric_definition
    FOR EACH ROW EXECUTE FUNCTION _flagscope.check_metric_row();

CREATE FUNCTION flagscope.create_metric(
    name text, kind flagscope.metric_kind, signal flagscope.signal, filter jsonb DEFAULT '{}', event jsonb DEFAULT NULL,
    harm flagscope.harm DEFAULT 'increase', unit text DEFAULT '', description text DEFAULT '', per jsonb DEFAULT NULL,
    sum_values boolean DEFAULT false, cap float8 DEFAULT NULL, conversion_window interval DEFAULT NULL,
    per_unit boolean DEFAULT false
) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    IF _flagscope.kind_takes(kind::text, 'event') <> (event IS NOT NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = CASE
                WHEN event IS NULL THEN _flagscope.message('metric "%s" is a %s and needs an event', name, kind)
                ELSE _flagscope.message('metric "%s" is a %s and has no event, got %s', name, kind, event) END,
            HINT = 'The event selects which of the matching rows are events, '
                'for example event => ''{"is_error": true}''.';
    END IF;
    IF _flagscope.kind_takes(kind::text, 'per') <> (per IS NOT NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = CASE
                WHEN per IS NULL THEN _flagscope.message('metric "%s" is a %s and needs a denominator', name, kind)
                ELSE _flagscope.message('metric "%s" is a %s and has no denominator, got %s', name, kind, per) END,
            HINT = 'It selects the rows to divide by, for example per => ''{"signal": '
                '"span", "name": "POST /checkout"}''.';
    END IF;
    PERFORM _flagscope.check_window(name, conversion_window);
    INSERT INTO flagscope.metric_definition (name, kind, signal, filter, event, harm, unit, description, per,
        sum_values, cap, conversion_window, per_unit)
    VALUES (create_metric.name, create_metric.kind, create_metric.signal, create_metric.filter, create_metric.event,
            create_metric.harm, create_metric.unit, create_metric.description, create_metric.per,
        create_metric.sum_values, create_metric.cap, create_metric.conversion_window, create_metric.per_unit);
    RETURN create_metric.name;
EXCEPTION WHEN unique_violation THEN
    PERFORM _flagscope.raise_for_caller('42710', _flagscope.message('metric "%s" exists already', create_metric.name),
        NULL, 'Give this one another name.');
WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    PERFORM _flagscope.raise_for_caller(SQLSTATE, SQLERRM, detail, hint);
    RAISE;
END $$;
COMMENT ON FUNCTION _flagscope.kind_takes(text, text) IS
    'does a definition of a kind of metric take event, per, sum_values, cap or query (src/core/kind/part.rs); asked by '
    'CHECK constraints';
COMMENT ON FUNCTION flagscope.create_metric(text, flagscope.metric_kind, flagscope.signal, jsonb, jsonb, flagscope.harm,
    text, text, jsonb, boolean, float8, interval, boolean) IS
    'defines a metric of telemetry; filter and event as in check_filter(), per as in check_per(); cap limits the '
    'values of a mean; with conversion_window a row counts by its subject instead of its flags: for the variant that '
    'the subject was exposed to, during conversion_window after its first exposure, counted every query.interval '
    'during rollouts, some seconds after the row (query.delay); with per_unit each subject counts once, when its '
    'window is over (see metric_definition.per_unit); returns its name';

CREATE FUNCTION flagscope.create_query_metric(name text, kind flagscope.metric_kind, query text,
    harm flagscope.harm DEFAULT 'increase', unit text DEFAULT '', description text DEFAULT '', cap float8 DEFAULT NULL,
    conversion_window interval DEFAULT NULL, per_unit boolean DEFAULT false, sum_values boolean DEFAULT false)
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    IF NOT _flagscope.kind_takes(kind::text, 'query') OR query IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = CASE WHEN query IS NULL THEN _flagscope.message('metric "%s" has no query', name)
                ELSE _flagscope.message('metric "%s" is a %s, and a query gives none', name, kind) END,
            HINT = 'A query returns values for a mean, a quantile or a proportion (true or false), '
                'or counts with their exposure for a rate.';
    END IF;
    PERFORM _flagscope.check_window(name, conversion_window);
    INSERT INTO flagscope.metric_definition (name, kind, query, harm, unit, description, cap, conversion_window,
        per_unit, sum_values)
    VALUES (create_query_metric.name, create_query_metric.kind, create_query_metric.query, create_query_metric.harm,
        create_query_metric.unit, create_query_metric.description, create_query_metric.cap,
        create_query_metric.conversion_window, create_query_metric.per_unit, create_query_metric.sum_values);
    RETURN create_query_metric.name;
EXCEPTION WHEN unique_violation THEN
    PERFORM _flagscope.raise_for_caller('42710',
        _flagscope.message('metric "%s" exists already', create_query_metric.name), NULL,
        'Give this one another name.');
WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    PERFORM _flagscope.raise_for_caller(SQLSTATE, SQLERRM, detail, hint);
    RAISE;
END $$;
COMMENT ON FUNCTION flagscope.create_query_metric(text, flagscope.metric_kind, text, flagscope.harm, text, text,
    float8, interval, boolean, boolean) IS
    'defines a metric over any tables: a SELECT that returns subject (or variant) and value of what happened from $1 '
    'to before $2, for rates also exposure, optionally ts; it runs read only with the caller''s rights every '
    'query.interval during rollouts; names must be written with their schema; a subject counts for the variant it was '
    'exposed to, during conversion_window after its first exposure; with per_unit each exposed subject counts once, '
    'with zero if it has no row, and with sum_values with the sum of its values (see metric_definition.per_unit)';

CREATE FUNCTION _flagscope.by_unit(m flagscope.metric_definition) RETURNS flagscope.metric_definition
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made flagscope.metric_definition := m;
BEGIN
    IF m.per_unit THEN
        RETURN m;
    END IF;
    made.name := m.name || ' by user';
    made.per_unit := true;
    made.conversion_window := coalesce(m.conversion_window, _flagscope.setting_interval('unit.window'));
    made.created_at := clock_timestamp();
    IF EXISTS (SELECT FROM flagscope.metric_definition d WHERE d.name = made.name AND to_jsonb(d)
            - '{created_at,description,owner,conversion_window}'::text[] <> to_jsonb(made)
            - '{created_at,description,owner,conversion_window}'::text[]) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('metric "%s" is not what metric "%s" is by user', made.name, m.name),
            HINT = 'One of them was changed: define a metric of another name with per_unit => true.';
    END IF;
    RETURN made;
END $$;
COMMENT ON FUNCTION _flagscope.by_unit(flagscope.metric_definition) IS
    'the metric that counts each user of another one once, as it is or would be made: itself, or "... by user"';

CREATE FUNCTION _flagscope.metric_by_unit(metric text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made flagscope.metric_definition := _flagscope.by_unit(d)
        FROM flagscope.metric_definition d WHERE d.name = metric_by_unit.metric;
BEGIN
    INSERT INTO flagscope.metric_definition SELECT made.*
    WHERE NOT EXISTS (SELECT FROM flagscope.metric_definition d WHERE d.name = made.name);
    RETURN made.name;
END $$;
COMMENT ON FUNCTION _flagscope.metric_by_unit(text) IS
    'the metric that counts each user of another one once: itself, or "... by user", which is made where it is missing';

COMMENT ON FUNCTION _flagscope.kind_value(text, float8, bigint, bigint, flagscope.moments, flagscope.histogram) IS
    'what a state of a kind of metric says (src/core/kind/): kind, quantile, and the state';
COMMENT ON FUNCTION _flagscope.kind_interval(text, float8, bigint, bigint, flagscope.moments, flagscope.histogram) IS
    'the ends of an interval of 95 % around it, valid for one look: order statistics of a quantile, Wilson''s score '
    'interval of a share, the score interval of a Poisson count, else standard errors; '
    'NULL below ten values of a mean or ratio';
COMMENT ON FUNCTION _flagscope.is_tested(text, boolean) IS
    'has a kind of metric a sequential test: against the control, or against a limit or baseline';
COMMENT ON FUNCTION _flagscope.counts_events(text) IS 'does a kind of metric count events';
COMMENT ON FUNCTION _flagscope.margin_setting(text) IS
    'the last part of the name of the setting guardrail.margin.* that a kind of metric takes';
COMMENT ON FUNCTION _flagscope.tested_levels(float8) IS
    'the quantiles that a rule tests: its own, else p50, p90, p95 and p99';
COMMENT ON FUNCTION _flagscope.kind_problem(text, text, float8, text, text, text, float8, float8, float8, float8) IS
    'why a rule does not fit a kind of metric, NULL: it does; kind, metric, cap, harm, comparison, test, quantile, '
    'limit_value, margin, margin_absolute';

CREATE FUNCTION _flagscope.metric_value(m flagscope.metric_definition, quantile float8, n bigint, events bigint,
    moments flagscope.moments, histogram flagscope.histogram)
RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT _flagscope.kind_value(m.kind::text, quantile, n, events, moments, histogram);
END;
COMMENT ON FUNCTION _flagscope.metric_value(flagscope.metric_definition, float8, bigint, bigint, flagscope.moments,
    flagscope.histogram) IS
    'a metric''s value from its state: share, mean, rate, ratio or quantile; NULL without data, never 0';

CREATE FUNCTION _flagscope.poll_milliseconds() RETURNS integer
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT least(ceil(1000 * extract(epoch FROM _flagscope.setting_interval('query.timeout'))), 1e9)::integer $$;
COMMENT ON FUNCTION _flagscope.poll_milliseconds() IS 'setting query.timeout';
