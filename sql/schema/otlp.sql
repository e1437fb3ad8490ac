-- What ingest_otlp() remembers between two payloads.

CREATE TABLE _flagscope.otlp_series (
    series   uuid PRIMARY KEY,
    origin   uuid NOT NULL,
    first_ts timestamptz NOT NULL,
    ts       timestamptz NOT NULL,
    ts_nanos smallint NOT NULL,
    point    jsonb,
    seen_at  timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1);  -- updated by every export: leaves room for HOT updates
COMMENT ON TABLE _flagscope.otlp_series IS
    'the last point of every cumulative series, needed to compute the increase up to the next one; forgotten after '
    'setting otlp.series_retention without a point';
COMMENT ON COLUMN _flagscope.otlp_series.series IS
    'digest of resource, scope, metric, attributes, and the start that the series counts from';
COMMENT ON COLUMN _flagscope.otlp_series.origin IS 'digest of resource and scope: the process that counts';
COMMENT ON COLUMN _flagscope.otlp_series.first_ts IS 'time of the first point seen';
COMMENT ON COLUMN _flagscope.otlp_series.ts IS
    'time of the last point seen; -infinity while the payload with the first one is being stored';
COMMENT ON COLUMN _flagscope.otlp_series.point IS 'the last point, as attributes.otlp of its row';
COMMENT ON COLUMN _flagscope.otlp_series.seen_at IS 'when the last point came in';
CREATE INDEX otlp_series_by_origin ON _flagscope.otlp_series (origin);

-- Unlogged: it only coordinates concurrent transactions, none of which survives a crash.
CREATE UNLOGGED TABLE _flagscope.otlp_evaluation (
    evaluation uuid PRIMARY KEY,
    claimed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE _flagscope.otlp_evaluation IS
    'locks: one row for each flag evaluation of the last minutes; when two exporters send the same one at the same '
    'time, the second waits and finds it stored';
COMMENT ON COLUMN _flagscope.otlp_evaluation.evaluation IS 'digest of trace, span, flag, variant and outcome';
CREATE INDEX otlp_evaluation_by_time ON _flagscope.otlp_evaluation USING brin (claimed_at);
