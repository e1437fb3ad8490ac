-- The telemetry store: metrics, logs, spans and events in one table by time.
-- Partitions are made at run time by maintain() and are not members of the extension, so pg_dump keeps them.

CREATE TYPE flagscope.signal AS ENUM ('metric', 'log', 'span', 'event');
COMMENT ON TYPE flagscope.signal IS 'the four signals of telemetry';

CREATE TYPE flagscope.attribution AS ENUM ('tag', 'trace', 'subject', 'none');
COMMENT ON TYPE flagscope.attribution IS
    'where a row''s flags come from: tag: the row itself; trace: a flag evaluation in its trace; subject: its '
    'subject''s latest evaluation; none: unknown';

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
    instance       text,
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
    'one data point of any signal with the flags that were active for it; ts, signal and name are enough; '
    'any client may INSERT or COPY';
COMMENT ON COLUMN flagscope.telemetry.signal IS 'metric, log, span or event';
COMMENT ON COLUMN flagscope.telemetry.service IS 'name of the service that sent it';
COMMENT ON COLUMN flagscope.telemetry.instance IS
    'which process of the service sent it, such as OpenTelemetry''s service.instance.id or a pod''s name; '
    'arms that come from processes of their own are compared by when things happened';
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
COMMENT ON COLUMN flagscope.telemetry.environment IS
    'environment key or alias; default, also for an explicit NULL: flagscope.environment of the writing session';
COMMENT ON COLUMN flagscope.telemetry.severity IS
    'OpenTelemetry severity number of a log, 1 to 24; 17 and above is an error';
COMMENT ON COLUMN flagscope.telemetry.span_id IS '8 bytes';
COMMENT ON COLUMN flagscope.telemetry.attribution IS
    'where the row''s flags come from; NULL: not looked up, that is tag if it has '
    'flags and none otherwise (as the views show)';
COMMENT ON COLUMN flagscope.telemetry.distribution IS
    'the values summarised by a histogram''s data point; value is their mean';
COMMENT ON COLUMN flagscope.telemetry.ts_nanos IS
    'nanoseconds beyond the microsecond of ts, 0 to 999: order inside a trace';

CREATE TABLE _flagscope.telemetry_stray PARTITION OF flagscope.telemetry DEFAULT;
-- As for variant_delta: attribution updates rows and maintain() moves them. Every partition has its own identity.
ALTER TABLE flagscope.telemetry REPLICA IDENTITY FULL;
ALTER TABLE _flagscope.telemetry_stray REPLICA IDENTITY FULL;
-- Indexes are defined here and copied to every partition, not defined on the parent: ATTACH would create a parent's
-- index on each partition while a dump is restored, and the dump's own CREATE INDEX would then fail.
-- BRIN on ts: a thousandth of a btree's size, and rows arrive in time order; without autosummarize the newest rows
-- would be scanned until the next vacuum.
CREATE INDEX ON _flagscope.telemetry_stray USING brin (ts) WITH (autosummarize = on);
CREATE INDEX ON _flagscope.telemetry_stray (trace_id) WHERE trace_id IS NOT NULL;
-- Only the beginning of a long subject is indexed: a whole one might not fit into an index row,
-- and its batch would fail.
CREATE INDEX ON _flagscope.telemetry_stray (left(subject, 255), ts) WHERE subject IS NOT NULL
    AND name = 'feature_flag.evaluation';
-- Errors are few, and looked for over long ranges (view bi_error): a row that is none costs only this condition.
CREATE INDEX ON _flagscope.telemetry_stray (ts) WHERE is_error OR severity >= 17;
-- Deployments are very few: without this index to ask for them took half of the time of correlate().
CREATE INDEX ON _flagscope.telemetry_stray (ts) WHERE name = 'deployment';
-- Not every row with a subject is indexed: that nearly doubles the CPU time of storing one (4.5 to 9 us, measured over
-- 100,000 rows). To make telemetry_of() fast over long ranges, create such an index here;
-- later partitions get it as well.
COMMENT ON TABLE _flagscope.telemetry_stray IS
    'rows whose time has no partition (a wrong clock, or the partition does not exist yet); maintain() moves rows into '
    'their partition, and deletes those with an impossible time telemetry.retention after their arrival';

-- Tells by a row's transaction when it arrived. Not dumped: a restored row arrived with the restore.
CREATE TABLE _flagscope.arrival (
    at     timestamptz PRIMARY KEY,
    before xid8 NOT NULL
);
COMMENT ON TABLE _flagscope.arrival IS
    'maps transactions to times of arrival: rows of transactions before this one had been written by then; '
    'used to expire rows with an impossible time';

CREATE TABLE _flagscope.late_trace (
    trace_id    uuid NOT NULL,
    from_ts     timestamptz NOT NULL,
    to_ts       timestamptz NOT NULL,
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
ALTER TABLE _flagscope.late_trace REPLICA IDENTITY FULL;  -- as for variant_delta
-- Newest first: current data is needed for judging before a backfilled past.
CREATE INDEX late_trace_newest ON _flagscope.late_trace (to_ts);
COMMENT ON TABLE _flagscope.late_trace IS
    'traces with new flag evaluations; tick() looks at their rows once more when all '
    'transactions that ran concurrently have ended';
COMMENT ON COLUMN _flagscope.late_trace.from_ts IS 'with to_ts: range of time of the statement''s evaluations';
CREATE TABLE _flagscope.late_trace_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    seen     pg_snapshot,
    coming   pg_snapshot
);
COMMENT ON TABLE _flagscope.late_trace_state IS
    'one row: snapshots of earlier ticks, which tell the late traces that are ready';
COMMENT ON COLUMN _flagscope.late_trace_state.seen IS
    'every transaction concurrent with the evaluations it sees has ended: their traces can be processed';
COMMENT ON COLUMN _flagscope.late_trace_state.coming IS
    'the snapshot that follows, once every transaction concurrent with it has ended';
INSERT INTO _flagscope.late_trace_state DEFAULT VALUES;
