-- The services that telemetry names: gathered, and listed. DISTINCT over telemetry took 2 s of ten million rows.

CREATE FUNCTION _flagscope.gather_services() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most constant integer := 1000;
BEGIN
    WITH taken AS (DELETE FROM _flagscope.service_delta RETURNING *)
    INSERT INTO _flagscope.service_total AS s (service, first_at, last_at)
    SELECT t.service, min(t.at), max(t.at) FROM taken t GROUP BY t.service ORDER BY t.service
    ON CONFLICT (service) DO UPDATE SET last_at = greatest(s.last_at, excluded.last_at);
    -- By the clock, because these are times of arrival; an hour more, since they are noted every ten minutes only.
    DELETE FROM _flagscope.service_total s
    WHERE s.last_at < clock_timestamp() - _flagscope.setting_interval('telemetry.retention'::text) - interval '1 hour'
        OR s.service IN (SELECT o.service FROM _flagscope.service_total o
            ORDER BY o.last_at DESC, o.service OFFSET most);
END $$;
COMMENT ON FUNCTION _flagscope.gather_services() IS
    'part of maintain(): adds the services that sessions told of, forgets the old ones, keeps the latest 1,000';

CREATE VIEW flagscope.bi_service WITH (security_invoker = true) AS
SELECT max(x.last_at) AS ts, x.service, min(x.first_at) AS first_at FROM (
    SELECT t.service, t.first_at, t.last_at FROM _flagscope.service_total t
    UNION ALL SELECT d.service, d.at, d.at FROM _flagscope.service_delta d) x
GROUP BY x.service;
COMMENT ON VIEW flagscope.bi_service IS
    'for BI tools: the services that telemetry names, for filter boxes; the latest 1,000';
COMMENT ON COLUMN flagscope.bi_service.ts IS 'when its last rows arrived, to ten minutes';
COMMENT ON COLUMN flagscope.bi_service.service IS 'name of the service';
COMMENT ON COLUMN flagscope.bi_service.first_at IS 'when its first row arrived';
