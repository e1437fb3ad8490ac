-- The telemetry store: metrics, logs, spans and events in one table by time.
-- Partitions are made at run time by maintain() and are not members of the extension, so pg_dump keeps them.

CREATE TYPE flagscope.signal AS ENUM ('metric', 'log', 'span', 'event');
COMMENT ON TYPE flagscope.signal IS 'the four signals of telemetry';

CREATE TYPE flagscope.attribution AS ENUM ('tag', 'trace', 'subject', 'none');
COMMENT ON TYPE flagscope.attribution IS
    'how a row came to its flags: it carried them, by an evaluation in its trace, by its subject''s latest evaluation, or nothing is known';

CREATE TABLE flagscope.telemetry (
    ts             timestamptz NOT NULL,
    signal         flagscope.signal NOT NULL,
    name           text NOT NULL,
    value          float8,
    unit           text,
    subject        text,
    flags          jsonb,
    environment    text DEFAULT current_setting('flagscope.environment', true),
    service        text,
    severity       smallint,
    is_error       boolean,
    trace_id       uuid,
    span_id        bytea,
    parent_span_id bytea,
    body           text,
    attributes     jsonb,
    attribution    flagscope.attribution,
    ts_nanos       smallint,
    distribution   flagscope.histogram,
    CONSTRAINT telemetry_ts_is_finite CHECK (CASE
        WHEN (isfinite(ts)) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('the time of a row must be finite, got "%s"', ts),
            'ts is when it happened, for example clock_timestamp().') END),
    CONSTRAINT telemetry_flags_is_an_object CHECK (CASE
        WHEN (jsonb_typeof(flags) = 'object') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('flags must be a JSON object {flag key: variant}, got %s', left(flags::text, 100)),
            'Write it like {"new-checkout": "on"}.') END)
) PARTITION BY RANGE (ts);
COMMENT ON TABLE flagscope.telemetry IS
    'one data point of any signal, tied to the flags active for it; ts, signal and name are enough; any client may INSERT or COPY';
COMMENT ON COLUMN flagscope.telemetry.signal IS 'metric, log, span or event';
COMMENT ON COLUMN flagscope.telemetry.service IS 'name of the service that sent it';
COMMENT ON COLUMN flagscope.telemetry.is_error IS 'did it fail';
COMMENT ON COLUMN flagscope.telemetry.trace_id IS 'trace that it belongs to';
COMMENT ON COLUMN flagscope.telemetry.parent_span_id IS 'id of the span above it, 8 bytes';
COMMENT ON COLUMN flagscope.telemetry.body IS 'text of a log';
COMMENT ON COLUMN flagscope.telemetry.attributes IS 'further attributes, as a JSON object';
COMMENT ON COLUMN flagscope.telemetry.ts IS 'when it happened (start of a span)';
COMMENT ON COLUMN flagscope.telemetry.name IS 'metric name, span name, event name; a log''s logger';
COMMENT ON COLUMN flagscope.telemetry.value IS 'metric value; a span''s duration in seconds';
COMMENT ON COLUMN flagscope.telemetry.unit IS 'UCUM unit of value; durations are in s';
COMMENT ON COLUMN flagscope.telemetry.subject IS 'targeting key: the user, device or account this row is about';
COMMENT ON COLUMN flagscope.telemetry.flags IS 'JSON object {flag key: variant} that was active for this row';
COMMENT ON COLUMN flagscope.telemetry.environment IS 'environment key or alias; by default flagscope.environment_definition of the writing session, which an explicit NULL means too';
COMMENT ON COLUMN flagscope.telemetry.severity IS 'OpenTelemetry severity number of a log, 1 to 24; 17 and above is an error';
COMMENT ON COLUMN flagscope.telemetry.span_id IS '8 bytes';
COMMENT ON COLUMN flagscope.telemetry.attribution IS
    'how the row came to its flags; NULL: nobody looked, so tag if it has flags, else none (the views say which)';
COMMENT ON COLUMN flagscope.telemetry.distribution IS 'the values that one point of a histogram stands for; value is their mean';
COMMENT ON COLUMN flagscope.telemetry.ts_nanos IS 'nanoseconds beyond the microsecond of ts, 0 to 999: order inside a trace';

CREATE TABLE _flagscope.telemetry_stray PARTITION OF flagscope.telemetry DEFAULT;
-- As of variant_delta; attribution updates rows, maintain() moves them. Every partition has one of its own.
ALTER TABLE flagscope.telemetry REPLICA IDENTITY FULL;
ALTER TABLE _flagscope.telemetry_stray REPLICA IDENTITY FULL;
-- Indexes stand here and are copied to every partition, not on the parent: an index of the parent would be made on
-- each partition by ATTACH while a dump is restored, and the dump's own CREATE INDEX would fail.
-- BRIN on ts: a thousandth of a btree's size, and rows arrive in time order; without autosummarize the newest rows
-- would be scanned until the next vacuum.
CREATE INDEX ON _flagscope.telemetry_stray USING brin (ts) WITH (autosummarize = on);
CREATE INDEX ON _flagscope.telemetry_stray (trace_id) WHERE trace_id IS NOT NULL;
-- The beginning of a long subject: a whole one might not fit into an index row, and its batch would be lost.
CREATE INDEX ON _flagscope.telemetry_stray (left(subject, 255), ts) WHERE subject IS NOT NULL AND name = 'feature_flag.evaluation';
-- Not of every row with a subject: that nearly doubles the CPU time of storing one (4.5 to 9 us, measured over 100,000).
-- Who wants telemetry_of() fast over long ranges makes that index here, and every later partition has it.
COMMENT ON TABLE _flagscope.telemetry_stray IS
    'rows whose time has no partition (a wrong clock, or none made yet); maintain() moves those that belong elsewhere, and deletes the others telemetry.retention after they came';

-- A row's transaction says when it came. Not dumped: a restored row has come with the restore.
CREATE TABLE _flagscope.arrival (
    at     timestamptz PRIMARY KEY,
    before xid8 NOT NULL
);
COMMENT ON TABLE _flagscope.arrival IS
    'what had come by then: rows of transactions before this one had been written at this time; by this, rows with an impossible time expire';

CREATE TABLE _flagscope.late_trace (
    trace_id    uuid NOT NULL,
    from_ts     timestamptz NOT NULL,
    to_ts       timestamptz NOT NULL,
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
ALTER TABLE _flagscope.late_trace REPLICA IDENTITY FULL;  -- as of variant_delta
-- The newest first: what is judged now comes before a past that is filled in.
CREATE INDEX late_trace_newest ON _flagscope.late_trace (to_ts);
COMMENT ON TABLE _flagscope.late_trace IS
    'traces with new flag evaluations, whose rows tick() looks at once more when all transactions that ran beside are over';
COMMENT ON COLUMN _flagscope.late_trace.from_ts IS 'with to_ts: when the evaluations of its statement were';
CREATE TABLE _flagscope.late_trace_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    seen     pg_snapshot,
    coming   pg_snapshot
);
COMMENT ON TABLE _flagscope.late_trace_state IS 'one row: which late traces were there at earlier ticks, as their snapshots';
COMMENT ON COLUMN _flagscope.late_trace_state.seen IS
    'all that ran beside the evaluations that it sees is over: their traces are looked at';
COMMENT ON COLUMN _flagscope.late_trace_state.coming IS 'the next one, once all that ran beside is over';
INSERT INTO _flagscope.late_trace_state DEFAULT VALUES;
