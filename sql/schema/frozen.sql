-- Frozen chunks: partitions of telemetry whose rows are Parquet files in an ordinary table (a "segment" each), read by
-- a foreign data wrapper of our own (src/pg/frozen/). Every query of telemetry reads them as any other partition.

CREATE FUNCTION _flagscope.frozen_handler() RETURNS fdw_handler
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'frozen_handler';
COMMENT ON FUNCTION _flagscope.frozen_handler() IS 'how PostgreSQL reads a frozen chunk';

CREATE FOREIGN DATA WRAPPER flagscope_frozen HANDLER _flagscope.frozen_handler;
COMMENT ON FOREIGN DATA WRAPPER flagscope_frozen IS 'reads frozen chunks of telemetry';
CREATE SERVER flagscope_frozen FOREIGN DATA WRAPPER flagscope_frozen;
COMMENT ON SERVER flagscope_frozen IS 'this database: what frozen chunks of telemetry are tables of';

-- Each chunk's segments are a partition of their own, by its range, which goes with the extension.
CREATE TABLE _flagscope.frozen_segment (
    number   integer NOT NULL,
    rows     integer NOT NULL,
    first_ts timestamptz NOT NULL,
    last_ts  timestamptz NOT NULL,
    traces   bytea NOT NULL,
    subjects bytea NOT NULL,
    seal     bytea NOT NULL,
    parquet  bytea NOT NULL
) PARTITION BY RANGE (first_ts);
ALTER TABLE _flagscope.frozen_segment REPLICA IDENTITY FULL;  -- as for variant_delta
COMMENT ON TABLE _flagscope.frozen_segment IS
    'segments of frozen chunks: each row has a Parquet file of up to 20,000 rows of telemetry, the times of its first '
    'and last row, filters of its traces and subjects, and checksums; a partition for each chunk';

-- Checks apply here, since PostgreSQL enforces none of a foreign table.
CREATE TABLE _flagscope.telemetry_late (LIKE flagscope.telemetry INCLUDING CONSTRAINTS INCLUDING DEFAULTS);
ALTER TABLE _flagscope.telemetry_late REPLICA IDENTITY FULL;  -- as for variant_delta
COMMENT ON TABLE _flagscope.telemetry_late IS
    'rows that arrived after their chunk was frozen, read as part of it; maintenance makes segments of them';

CREATE TABLE _flagscope.freezing (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    tried_at timestamptz,
    problem  text,
    late_at  timestamptz
);
COMMENT ON TABLE _flagscope.freezing IS 'one row: how freezing of old chunks goes';
COMMENT ON COLUMN _flagscope.freezing.tried_at IS 'when a chunk was last frozen or could not be';
COMMENT ON COLUMN _flagscope.freezing.problem IS 'why the last one could not be frozen; NULL: it was';
COMMENT ON COLUMN _flagscope.freezing.late_at IS 'when late rows were last made segments';
INSERT INTO _flagscope.freezing DEFAULT VALUES;
