-- Telemetry that is stored and counts for nobody, though its sender named a flag.

-- Written by the ingest trigger with the raw rows' own transaction; only ever inserted and consumed, so no index.
-- Without a key DELETE would fail wherever a publication has the table, so the whole row is its identity.
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
    'what a statement brought that counts for nobody, until maintain() consumes it; 65 rows each and 8 MB at most';
COMMENT ON COLUMN _flagscope.uncounted_delta.at IS 'when it came in';

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
    'behind view uncounted: 1,000 flags at most, forgotten after setting uncounted.retention without another such row';
COMMENT ON COLUMN _flagscope.uncounted_total.flag IS
    'empty: of rows without flags; with environment: of flags that were too many to be kept apart';
