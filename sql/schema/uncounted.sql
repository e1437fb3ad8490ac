-- Telemetry that is stored but counts for no variant, although its sender named a flag.

-- Written by the ingest trigger in the transaction of the raw rows; rows are only inserted and consumed, so no index.
-- Without a key, DELETE would fail in a published table, so the whole row is the replica identity.
CREATE TABLE _flagscope.uncounted_delta (
    cause       text NOT NULL,
    environment text NOT NULL,
    flag        text NOT NULL,
    example     text NOT NULL,
    n           bigint NOT NULL,
    at          timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE _flagscope.uncounted_delta REPLICA IDENTITY FULL;
COMMENT ON TABLE _flagscope.uncounted_delta IS
    'rows of one writing statement that count for no variant, summed up, until maintain() consumes them; '
    'at most 65 entries a statement, 8 MB in all';
COMMENT ON COLUMN _flagscope.uncounted_delta.at IS 'time of arrival';

CREATE TABLE _flagscope.uncounted_total (
    cause       text NOT NULL,
    environment text NOT NULL,
    flag        text NOT NULL,
    n           bigint NOT NULL,
    example     text NOT NULL,
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    PRIMARY KEY (cause, environment, flag)
);
COMMENT ON TABLE _flagscope.uncounted_total IS
    'sums behind view uncounted: at most 1,000 flags, each forgotten after setting '
    'uncounted.retention without another such row';
COMMENT ON COLUMN _flagscope.uncounted_total.flag IS
    'empty: rows without flags; with environment, too: flags beyond the maximum, together';
