-- Telemetry by function: for clients that prefer named arguments to columns, and for batches as JSON.

CREATE FUNCTION _flagscope.severity(given text) RETURNS smallint
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- The first number of each of OpenTelemetry's ranges.
    number smallint := CASE lower(given) WHEN 'trace' THEN 1 WHEN 'debug' THEN 5 WHEN 'info' THEN 9 WHEN 'warn' THEN 13
        WHEN 'warning' THEN 13
        WHEN 'error' THEN 17 WHEN 'fatal' THEN 21 WHEN 'critical' THEN 21
        ELSE CASE WHEN given ~ '^[0-9]{1,2}$' THEN given::smallint END END;
BEGIN
    IF given IS NOT NULL AND (number IS NULL OR number NOT BETWEEN 1 AND 24) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('there is no severity "%s"', given),
            HINT = 'OpenTelemetry''s numbers are 1 to 24; trace, debug, info, warn, '
                'error and fatal are 1, 5, 9, 13, 17 and 21.';
    END IF;
    RETURN number;
END $$;
COMMENT ON FUNCTION _flagscope.severity(text) IS
    'OpenTelemetry''s severity number for a name or number; raises for any other text';

CREATE FUNCTION _flagscope.span_id(given text, what text) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF given !~* '^[0-9a-f]{16}$' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('%s must be 16 hexadecimal digits, got "%s"', what, given);
    END IF;
    RETURN decode(given, 'hex');
END $$;
COMMENT ON FUNCTION _flagscope.span_id(text, text) IS 'a span id from 16 hexadecimal digits';

CREATE FUNCTION _flagscope.record(signal flagscope.signal, name text, value float8, unit text, subject text,
    flags jsonb, environment text, service text, severity smallint, is_error boolean, trace_id uuid, span_id text,
    parent_span_id text, body text, attributes jsonb, at timestamptz)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem text := CASE
        WHEN coalesce(record.name, '') = '' THEN
            _flagscope.message('%s %s needs a name', CASE signal WHEN 'event' THEN 'an' ELSE 'a' END, signal)
        WHEN record.at IS NULL OR NOT isfinite(record.at) THEN _flagscope.message('%s %s needs a finite time, got "%s"',
            CASE signal WHEN 'event' THEN 'an' ELSE 'a' END, signal, coalesce(record.at::text, 'NULL'))
        WHEN jsonb_typeof(record.flags) <> 'object' THEN
            _flagscope.message('flags must be a JSON object {flag: variant}, got %s', record.flags)
        WHEN jsonb_typeof(record.attributes) <> 'object' THEN
            _flagscope.message('attributes must be a JSON object, got %s', record.attributes) END;
BEGIN
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = problem;
    END IF;
    INSERT INTO flagscope.telemetry (ts, signal, name, value, unit, subject, flags, environment, service, severity,
        is_error, trace_id, span_id, parent_span_id, body, attributes)
    VALUES (record.at, record.signal, record.name, record.value, record.unit, record.subject, record.flags,
        coalesce(record.environment, nullif(current_setting('flagscope.environment', true), '')), record.service,
        record.severity, record.is_error, record.trace_id, _flagscope.span_id(record.span_id, 'span_id'),
        _flagscope.span_id(record.parent_span_id, 'parent_span_id'), record.body, record.attributes);
END $$;
COMMENT ON FUNCTION _flagscope.record(flagscope.signal, text, float8, text, text, jsonb, text, text, smallint, boolean,
    uuid, text, text, text, jsonb, timestamptz) IS
    'checks and stores one row of telemetry';

CREATE FUNCTION flagscope.record_metric(name text, value float8, unit text DEFAULT NULL, flags jsonb DEFAULT NULL,
    subject text DEFAULT NULL, environment text DEFAULT NULL, service text DEFAULT NULL, attributes jsonb DEFAULT NULL,
    trace_id uuid DEFAULT NULL, span_id text DEFAULT NULL, at timestamptz DEFAULT clock_timestamp())
RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    SELECT _flagscope.record('metric'::flagscope.signal, name, value, unit, subject, flags, environment, service,
        NULL::smallint, NULL::boolean, trace_id, span_id, NULL::text, NULL::text, attributes, at)
$$;
COMMENT ON FUNCTION flagscope.record_metric(text, float8, text, jsonb, text, text, text, jsonb, uuid,
    text, timestamptz) IS
    'stores one metric data point; unit in UCUM (s, By, {request} ...), span_id in hexadecimal digits';

CREATE FUNCTION flagscope.record_log(body text, severity text DEFAULT 'info', logger text DEFAULT 'log',
    flags jsonb DEFAULT NULL, subject text DEFAULT NULL, environment text DEFAULT NULL, service text DEFAULT NULL,
    attributes jsonb DEFAULT NULL, trace_id uuid DEFAULT NULL, span_id text DEFAULT NULL,
    at timestamptz DEFAULT clock_timestamp())
RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    SELECT _flagscope.record('log'::flagscope.signal, logger, NULL::float8, NULL::text, subject, flags, environment,
        service, _flagscope.severity(severity), _flagscope.severity(severity) >= 17, trace_id, span_id, NULL::text,
        body, attributes, at)
$$;
COMMENT ON FUNCTION flagscope.record_log(text, text, text, jsonb, text, text, text, jsonb, uuid, text, timestamptz) IS
    'stores one log record; severity: a name (trace, debug, info, warn, error, fatal) or OpenTelemetry''s number; '
    '17 and above is an error';

CREATE FUNCTION flagscope.record_span(name text, duration float8, is_error boolean DEFAULT false,
    flags jsonb DEFAULT NULL, subject text DEFAULT NULL, environment text DEFAULT NULL, service text DEFAULT NULL,
    attributes jsonb DEFAULT NULL, trace_id uuid DEFAULT NULL, span_id text DEFAULT NULL,
    parent_span_id text DEFAULT NULL, at timestamptz DEFAULT NULL)
RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    SELECT _flagscope.record('span'::flagscope.signal, name, duration, 's', subject, flags, environment, service,
        NULL::smallint, is_error, trace_id, span_id, parent_span_id, NULL::text, attributes,
        coalesce(at, clock_timestamp() - duration * interval '1 second'))
$$;
COMMENT ON FUNCTION flagscope.record_span(text, float8, boolean, jsonb, text, text, text, jsonb, uuid, text,
    text, timestamptz) IS
    'stores one span; duration in seconds; without started_at, the span ends now';

CREATE FUNCTION flagscope.record_event(name text, subject text DEFAULT NULL, value float8 DEFAULT NULL,
    unit text DEFAULT NULL, flags jsonb DEFAULT NULL, environment text DEFAULT NULL, service text DEFAULT NULL,
    attributes jsonb DEFAULT NULL, trace_id uuid DEFAULT NULL, span_id text DEFAULT NULL,
    at timestamptz DEFAULT clock_timestamp())
RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    SELECT _flagscope.record('event'::flagscope.signal, name, value, unit, subject, flags, environment, service,
        NULL::smallint, NULL::boolean, trace_id, span_id, NULL::text, NULL::text, attributes, at)
$$;
COMMENT ON FUNCTION flagscope.record_event(text, text, float8, text, jsonb, text, text, jsonb, uuid,
    text, timestamptz) IS
    'stores one product event, such as an order with its value';

CREATE FUNCTION _flagscope.check_batch(batch jsonb) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known text[] := '{ts,signal,name,value,unit,subject,flags,environment,service,severity,is_error,trace_id,span_id,'
        'parent_span_id,body,attributes}';
    problem record;
BEGIN
    IF jsonb_typeof(batch) <> 'array' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('a batch must be a JSON array of records, got a JSON %s', jsonb_typeof(batch)),
            HINT = 'A record is an object such as {"signal": "event", "name": '
                '"order", "subject": "user-7", "value": 12.5}.';
    END IF;
    SELECT e.n, CASE
        WHEN jsonb_typeof(e.item) <> 'object' THEN format('it must be a JSON object, got %s', e.item)
        WHEN NOT coalesce(e.item ->> 'signal' IN ('metric', 'log', 'span', 'event'), false) THEN
            format('signal must be metric, log, span or event, got %s', coalesce(e.item -> 'signal', 'null'))
        WHEN coalesce(jsonb_typeof(e.item -> 'name') <> 'string' OR e.item ->> 'name' = '', true) THEN
            format('name must be a text, got %s', coalesce(e.item -> 'name', 'null'))
        WHEN jsonb_typeof(e.item -> 'flags') NOT IN ('object', 'null') THEN
            _flagscope.message('flags must be a JSON object {flag: variant}, got %s', e.item -> 'flags')
        WHEN jsonb_typeof(e.item -> 'attributes') NOT IN ('object', 'null') THEN
            _flagscope.message('attributes must be a JSON object, got %s', e.item -> 'attributes')
        ELSE (SELECT format('it has an unknown key "%s"', min(k))
            FROM jsonb_object_keys(e.item) k WHERE k <> ALL (known) HAVING count(*) > 0) END AS what
    INTO problem FROM jsonb_array_elements(batch) WITH ORDINALITY e(item, n)
    WHERE CASE WHEN jsonb_typeof(e.item) <> 'object' THEN true ELSE
        NOT coalesce(e.item ->> 'signal' IN ('metric', 'log', 'span', 'event'), false)
        OR coalesce(jsonb_typeof(e.item -> 'name') <> 'string' OR e.item ->> 'name' = '', true)
        OR jsonb_typeof(e.item -> 'flags') NOT IN ('object', 'null')
        OR jsonb_typeof(e.item -> 'attributes') NOT IN ('object', 'null')
        OR EXISTS (SELECT FROM jsonb_object_keys(e.item) k WHERE k <> ALL (known)) END
    ORDER BY e.n LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('record %s of the batch: %s', problem.n, problem.what),
            HINT = _flagscope.message('The keys of a record are %s.', array_to_string(known, ', '));
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.check_batch(jsonb) IS
    'raises, naming the first wrong record, unless the JSON is an array of records';

CREATE FUNCTION _flagscope.batch_rows(batch jsonb)
RETURNS TABLE (place bigint, ts timestamptz, signal flagscope.signal, name text, value float8, unit text, subject text,
    flags jsonb, environment text, service text, severity smallint, is_error boolean, trace_id uuid, span_id bytea,
    parent_span_id bytea, body text, attributes jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT e.n, coalesce((e.item ->> 'ts')::timestamptz, clock_timestamp()), (e.item ->> 'signal')::flagscope.signal,
        e.item ->> 'name', (e.item ->> 'value')::float8,
        coalesce(e.item ->> 'unit', CASE WHEN e.item ->> 'signal' = 'span' THEN 's' END), e.item ->> 'subject',
        nullif(e.item -> 'flags', 'null'),
        coalesce(e.item ->> 'environment', nullif(current_setting('flagscope.environment', true), '')),
        e.item ->> 'service', _flagscope.severity(e.item ->> 'severity'),
        coalesce((e.item ->> 'is_error')::boolean, _flagscope.severity(e.item ->> 'severity') >= 17),
        (e.item ->> 'trace_id')::uuid, _flagscope.span_id(e.item ->> 'span_id', 'span_id'),
        _flagscope.span_id(e.item ->> 'parent_span_id', 'parent_span_id'), e.item ->> 'body',
        nullif(e.item -> 'attributes', 'null')
    FROM jsonb_array_elements(batch) WITH ORDINALITY e(item, n)
$$;
COMMENT ON FUNCTION _flagscope.batch_rows(jsonb) IS 'the records of a batch as columns of telemetry';

CREATE FUNCTION _flagscope.blame_record(batch jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    item jsonb;
    nth bigint;
BEGIN
    FOR item, nth IN SELECT e.item, e.n FROM jsonb_array_elements(batch) WITH ORDINALITY e(item, n) LOOP
        IF EXISTS (SELECT FROM _flagscope.batch_rows(jsonb_build_array(item)) r WHERE NOT isfinite(r.ts)) THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = _flagscope.message('ts must be finite, got %s', item -> 'ts');
        END IF;
    END LOOP;
EXCEPTION WHEN data_exception THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
        MESSAGE = _flagscope.message('record %s of the batch: %s', nth, SQLERRM),
        HINT = 'Nothing of the batch was stored.';
END $$;
COMMENT ON FUNCTION _flagscope.blame_record(jsonb) IS
    'raises for the first record with a value of a wrong type, with its place, '
    'which the error of the whole batch does not have';

CREATE FUNCTION flagscope.record(batch jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
    stored bigint;
    tries boolean := coalesce(current_setting('flagscope.attribution', true)::boolean, true);
BEGIN
    PERFORM _flagscope.check_batch(batch);
    BEGIN
    WITH given AS MATERIALIZED (
        SELECT * FROM _flagscope.batch_rows(batch)
    ), tied AS (
        -- Before the rows are stored; afterwards, attribution would have to write them a second time.
        SELECT a.* FROM (SELECT array_agg(g.place) AS places, array_agg(g.ts) AS times, array_agg(g.trace_id) AS traces,
                array_agg(g.subject) AS subjects, array_agg(g.environment) AS environments, array_agg(g.flags) AS flags
                FROM given g
                WHERE tries AND (g.flags IS NOT NULL) = _flagscope.is_evaluation(g.signal::text, g.name)
                    AND (g.trace_id IS NOT NULL OR g.subject IS NOT NULL)) u,
            LATERAL _flagscope.flags_of(u.places, u.times, u.traces, u.subjects, u.environments,
                NULL::smallint[], u.flags) a
    ), written AS (
        INSERT INTO flagscope.telemetry (ts, signal, name, value, unit, subject, flags, environment, service, severity,
            is_error, trace_id, span_id, parent_span_id, body, attributes, attribution)
        SELECT g.ts, g.signal, g.name, g.value, g.unit, g.subject, coalesce(g.flags, t.flags), g.environment, g.service,
            g.severity, g.is_error, g.trace_id, g.span_id, g.parent_span_id, g.body, g.attributes,
            CASE WHEN g.flags IS NOT NULL THEN 'tag' ELSE coalesce(t.attribution, 'none') END
        FROM given g LEFT JOIN tied t ON t.place = g.place ORDER BY g.place
    )
    -- All were written; frozen chunks return no rows.
    SELECT count(*) INTO stored FROM given;
    EXCEPTION WHEN data_exception OR check_violation THEN
        PERFORM _flagscope.blame_record(batch);
        RAISE;
    END;
    RETURN stored;
END $$;
COMMENT ON FUNCTION flagscope.record(jsonb) IS
    'stores a JSON array of records, each an object with columns of telemetry as keys (signal and name are enough; '
    'ts defaults to now); all or none (the error names the first wrong record); returns their number';
