-- Rows that the gateway has decoded: stored as ingest_otlp() stores them,
-- and never an internal error, whatever the bytes.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set VERBOSITY terse
\set SHOW_CONTEXT never
-- An event of ann with a value and an attribute, and her span;
-- written by hand from the description in src/core/otlp/packed.rs.
SELECT '\x0209050000033b9f886dda60060088000400000070616964000000000000044003000000616e6e070000007b2261223a317d000d18'
    '0000023b9f886dda600600880008000000636865636b6f7574000000000000d03f010000007303000000616e6e000102030405060708090a'
    '0b0c0d0e0f0001020304050607' AS rows \gset
SELECT * FROM flagscope.ingest_rows(:'rows');
SELECT ts, ts_nanos, signal, name, value, unit, subject, is_error, trace_id, span_id, attributes, flags
FROM flagscope.telemetry ORDER BY name;
-- None, and none at all.
SELECT * FROM flagscope.ingest_rows('');
SELECT * FROM flagscope.ingest_rows('\x02');
SELECT * FROM flagscope.ingest_rows(NULL);

-- One damaged row costs them all: each byte cut off, and each bit turned.
CREATE FUNCTION pg_temp.taken(packed bytea) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM flagscope.ingest_rows(packed);
    RETURN 'taken';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
SELECT flagscope.ingest_rows('\x03');
SELECT flagscope.ingest_rows(substr(:'rows'::bytea, 1, 60));
TRUNCATE flagscope.telemetry;
SELECT t, count(*)
FROM generate_series(1, length(:'rows'::bytea)) n, LATERAL pg_temp.taken(substr(:'rows'::bytea, 1, n)) t
GROUP BY 1 ORDER BY 1;
-- Whole are the version alone, the first row, and both.
SELECT name, count(*) FROM flagscope.telemetry GROUP BY 1 ORDER BY 1;
-- No internal error (XX), no out of memory (53).
SELECT count(*) AS turned, count(*) FILTER (WHERE t ~ '^(XX|53)') AS internal
FROM generate_series(0, 8 * length(:'rows'::bytea) - 1) n,
    LATERAL pg_temp.taken(set_bit(:'rows'::bytea, n, 1 - get_bit(:'rows'::bytea, n))) t;
-- The same rows by OTLP/JSON.
TRUNCATE flagscope.telemetry;
SELECT accepted FROM flagscope.ingest_rows(:'rows');
CREATE TEMP TABLE packed AS SELECT * FROM flagscope.telemetry WHERE signal = 'span';
TRUNCATE flagscope.telemetry;
SELECT accepted, rejected, first_error FROM flagscope.ingest_otlp('{
    "resourceSpans": [{"scopeSpans": [{"spans": [{"name": "checkout", "startTimeUnixNano": "1795341117071163136",
    "endTimeUnixNano": "1795341117321163136", "traceId": "000102030405060708090a0b0c0d0e0f",
        "spanId": "0001020304050607",
        "attributes": [{"key": "enduser.id", "value": {"stringValue": "ann"}}]}]}]}]}'::text);
SELECT to_jsonb(t) - '{attributes,is_error}'::text[] = to_jsonb(p) - '{attributes,is_error}'::text[] AS same
FROM flagscope.telemetry t, packed p;
