-- Around variant_rollup: slots of deltas, wider buckets, which metrics are complete since when, what was dropped.

-- Writers use the slot of the current minute (src/pg/delta.rs); maintain() truncates slots that are no longer written.
-- Truncation needs no vacuum and is not held back by old snapshots, so consumed deltas never pile up.
CREATE TABLE _flagscope.variant_delta_0 () INHERITS (_flagscope.variant_delta);
CREATE TABLE _flagscope.variant_delta_1 () INHERITS (_flagscope.variant_delta);
CREATE TABLE _flagscope.variant_delta_2 () INHERITS (_flagscope.variant_delta);
CREATE TABLE _flagscope.variant_delta_3 () INHERITS (_flagscope.variant_delta);
COMMENT ON TABLE _flagscope.variant_delta_0 IS 'slot of variant_delta, written in minutes 0, 4, 8 ... of Unix time';
COMMENT ON TABLE _flagscope.variant_delta_1 IS 'slot of variant_delta, written in minutes 1, 5, 9 ... of Unix time';
COMMENT ON TABLE _flagscope.variant_delta_2 IS 'slot of variant_delta, written in minutes 2, 6, 10 ... of Unix time';
COMMENT ON TABLE _flagscope.variant_delta_3 IS 'slot of variant_delta, written in minutes 3, 7, 11 ... of Unix time';
-- Two more lanes of such slots (src/core/telemetry/lane.rs): a tick reads current data first, then late data, then the
-- past, of which a single INSERT may bring days.
CREATE TABLE _flagscope.variant_delta_late_0 () INHERITS (_flagscope.variant_delta);
CREATE TABLE _flagscope.variant_delta_late_1 () INHERITS (_flagscope.variant_delta);
CREATE TABLE _flagscope.variant_delta_late_2 () INHERITS (_flagscope.variant_delta);
CREATE TABLE _flagscope.variant_delta_late_3 () INHERITS (_flagscope.variant_delta);
CREATE TABLE _flagscope.variant_delta_past_0 () INHERITS (_flagscope.variant_delta);
CREATE TABLE _flagscope.variant_delta_past_1 () INHERITS (_flagscope.variant_delta);
CREATE TABLE _flagscope.variant_delta_past_2 () INHERITS (_flagscope.variant_delta);
CREATE TABLE _flagscope.variant_delta_past_3 () INHERITS (_flagscope.variant_delta);
-- They have no key, and a tick must be able to delete from them even if they are published.
ALTER TABLE _flagscope.variant_delta_late_0 REPLICA IDENTITY FULL;
ALTER TABLE _flagscope.variant_delta_late_1 REPLICA IDENTITY FULL;
ALTER TABLE _flagscope.variant_delta_late_2 REPLICA IDENTITY FULL;
ALTER TABLE _flagscope.variant_delta_late_3 REPLICA IDENTITY FULL;
ALTER TABLE _flagscope.variant_delta_past_0 REPLICA IDENTITY FULL;
ALTER TABLE _flagscope.variant_delta_past_1 REPLICA IDENTITY FULL;
ALTER TABLE _flagscope.variant_delta_past_2 REPLICA IDENTITY FULL;
ALTER TABLE _flagscope.variant_delta_past_3 REPLICA IDENTITY FULL;
COMMENT ON TABLE _flagscope.variant_delta_late_0 IS
    'slot of variant_delta for deltas that are late, of a running stage';
COMMENT ON TABLE _flagscope.variant_delta_late_1 IS
    'slot of variant_delta for deltas that are late, of a running stage';
COMMENT ON TABLE _flagscope.variant_delta_late_2 IS
    'slot of variant_delta for deltas that are late, of a running stage';
COMMENT ON TABLE _flagscope.variant_delta_late_3 IS
    'slot of variant_delta for deltas that are late, of a running stage';
COMMENT ON TABLE _flagscope.variant_delta_past_0 IS
    'slot of variant_delta for deltas that are from before a running stage, or of a flag that nothing is rolled out of';
COMMENT ON TABLE _flagscope.variant_delta_past_1 IS
    'slot of variant_delta for deltas that are from before a running stage, or of a flag that nothing is rolled out of';
COMMENT ON TABLE _flagscope.variant_delta_past_2 IS
    'slot of variant_delta for deltas that are from before a running stage, or of a flag that nothing is rolled out of';
COMMENT ON TABLE _flagscope.variant_delta_past_3 IS
    'slot of variant_delta for deltas that are from before a running stage, or of a flag that nothing is rolled out of';

CREATE TABLE _flagscope.delta_place (
    part  oid PRIMARY KEY,
    lane  integer NOT NULL,
    place tid NOT NULL
);
COMMENT ON TABLE _flagscope.delta_place IS
    'position up to which ticks have read a slot while deltas wait, so that consumed rows are not read again; '
    'not dumped: a restored slot is read from its beginning';

-- They have no key: without a replica identity, a publication FOR ALL TABLES would make every DELETE of a tick fail.
-- FULL costs nothing unless wal_level is logical.
ALTER TABLE _flagscope.variant_delta REPLICA IDENTITY FULL;
ALTER TABLE _flagscope.variant_delta_0 REPLICA IDENTITY FULL;
ALTER TABLE _flagscope.variant_delta_1 REPLICA IDENTITY FULL;
ALTER TABLE _flagscope.variant_delta_2 REPLICA IDENTITY FULL;
ALTER TABLE _flagscope.variant_delta_3 REPLICA IDENTITY FULL;

CREATE TABLE flagscope.variant_history (
    flag        text NOT NULL,
    environment text NOT NULL,
    variant     text NOT NULL,
    metric      text NOT NULL,
    bucket_width interval NOT NULL,
    bucket      timestamptz NOT NULL,
    n           bigint NOT NULL,
    events      bigint NOT NULL,
    moments     flagscope.moments,
    histogram   flagscope.histogram,
    last_ts     timestamptz NOT NULL,
    PRIMARY KEY (flag, environment, metric, variant, bucket_width, bucket),
    CONSTRAINT variant_history_has_two_widths CHECK (bucket_width IN ('10 minutes', '1 day'))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE flagscope.variant_history IS
    'the wider levels of variant_rollup, 10 minutes and 1 day (UTC), sums of its settled rows; same columns';
COMMENT ON COLUMN flagscope.variant_history.flag IS 'key of the flag';
COMMENT ON COLUMN flagscope.variant_history.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.variant_history.variant IS
    'name of the variant; empty: all rows of the environment, for guardrails of scope environment';
COMMENT ON COLUMN flagscope.variant_history.metric IS 'name of the metric';
COMMENT ON COLUMN flagscope.variant_history.n IS 'data points';
COMMENT ON COLUMN flagscope.variant_history.events IS 'those of them that are events (of a rate: the count)';
COMMENT ON COLUMN flagscope.variant_history.moments IS 'mergeable count, mean and spread of the values';
COMMENT ON COLUMN flagscope.variant_history.histogram IS 'mergeable distribution of the values';
COMMENT ON COLUMN flagscope.variant_history.last_ts IS 'latest ts among them';
COMMENT ON COLUMN flagscope.variant_history.bucket_width IS 'width of the bucket: 10 minutes or 1 day';
COMMENT ON COLUMN flagscope.variant_history.bucket IS 'start of the bucket (UTC)';

CREATE TABLE _flagscope.watch (
    flag         text NOT NULL,
    environment  text NOT NULL,
    metric       text NOT NULL,
    requested_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
    barrier      xid8,
    target       timestamptz,
    since        timestamptz,
    reached      timestamptz,
    step         interval NOT NULL DEFAULT '10 seconds',
    PRIMARY KEY (flag, environment, metric)
);
COMMENT ON TABLE _flagscope.watch IS
    'metrics of flags that an enabled guardrail reads; their rollups contain every raw row from since on; '
    'maintained by triggers and maintain()';
COMMENT ON COLUMN _flagscope.watch.requested_by IS 'transaction that added it';
COMMENT ON COLUMN _flagscope.watch.barrier IS
    'transactions before this one may have written rows without rolling them up: '
    'the backfill waits until they have ended';
COMMENT ON COLUMN _flagscope.watch.target IS 'how far back the backfill goes (setting rollup.backfill)';
COMMENT ON COLUMN _flagscope.watch.since IS 'rollups are complete from here on; NULL: the backfill has not begun';
COMMENT ON COLUMN _flagscope.watch.reached IS
    'how far back the ten minutes before since are rolled up by ten seconds; NULL: not at all';
COMMENT ON COLUMN _flagscope.watch.step IS
    'how much time the next slice of the backfill covers, 10 seconds to 10 minutes, '
    'depending on how long the last ones took';

CREATE TABLE _flagscope.removal (
    what text PRIMARY KEY,
    at   timestamptz NOT NULL
);
COMMENT ON TABLE _flagscope.removal IS
    'what retention has removed: of telemetry, evaluation and each level of rollups everything before at (rows '
    '"deleted ...": up to where rows are deleted); of telemetry with a time in the future everything from at on';
