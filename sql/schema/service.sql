-- The services that telemetry names, so that a list of them need not read it all.

-- Written by the ingest trigger in the transaction of the raw rows, as uncounted_delta: no index, no key.
CREATE TABLE _flagscope.service_delta (
    service text NOT NULL,
    at      timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE _flagscope.service_delta REPLICA IDENTITY FULL;
COMMENT ON TABLE _flagscope.service_delta IS
    'services that sessions wrote rows of, each told once a session and again every ten minutes, until maintain() '
    'consumes them; 8 MB at most';
COMMENT ON COLUMN _flagscope.service_delta.service IS 'name of the service, its first 255 bytes';
COMMENT ON COLUMN _flagscope.service_delta.at IS 'time of arrival';

CREATE TABLE _flagscope.service_total (
    service  text PRIMARY KEY,
    first_at timestamptz NOT NULL,
    last_at  timestamptz NOT NULL
);
COMMENT ON TABLE _flagscope.service_total IS
    'the services behind view bi_service: at most 1,000, each forgotten when its last row is older than setting '
    'telemetry.retention';
COMMENT ON COLUMN _flagscope.service_total.service IS 'name of the service, its first 255 bytes';
COMMENT ON COLUMN _flagscope.service_total.first_at IS 'when its first row arrived';
COMMENT ON COLUMN _flagscope.service_total.last_at IS 'when it was last told of: within ten minutes of its last row';
