-- What the backends' caches are filled from, and what tells them to fill anew. The readers run with the owner's
-- rights, so that a role that may only write telemetry or evaluate flags needs no right on the tables behind.

CREATE FUNCTION flagscope._configuration() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object(
        'signals', (SELECT jsonb_object_agg(e.enumlabel, e.oid::bigint) FROM pg_enum e WHERE e.enumtypid = 'flagscope.signal'::regtype),
        'environments', (SELECT jsonb_object_agg(n, e.key) FROM flagscope.environment e, LATERAL unnest(e.aliases || e.key) n),
        'watches', (SELECT coalesce(jsonb_agg(DISTINCT jsonb_build_object('flag', g.flag, 'environment', g.environment,
                'variants', f.variants_only, 'metric', m.name, 'kind', m.kind, 'signal', m.signal, 'filter', m.filter, 'event', m.event,
                'per', m.per, 'cap', m.cap, 'sum_values', m.sum_values)), '[]')
            FROM flagscope.guardrail g JOIN flagscope.metric m ON m.name = g.metric
            JOIN (SELECT f.key, (SELECT jsonb_agg(k) FROM jsonb_object_keys(f.variants) k) AS variants_only FROM flagscope.flag f) f
                ON f.key = g.flag
            WHERE g.enabled AND NOT flagscope._is_polled(m)),
        -- Live ones, and after completion those on watch: the end of a watch needs no news, since exposures have times.
        'rollouts', (SELECT coalesce(jsonb_agg(jsonb_build_object('flag', r.flag, 'environment', r.environment,
                'treatment', r.treatment, 'control', r.control, 'until', CASE WHEN isfinite(r.watch_until)
                    THEN round(1000000 * extract(epoch FROM r.watch_until - '2000-01-01 00:00:00+00'))::bigint END)), '[]')
            FROM flagscope.rollout r WHERE r.status IN ('running', 'paused', 'held') OR r.watch_until IS NOT NULL),
        'trace_window', extract(epoch FROM flagscope._setting_interval('attribution.trace_window'))::float8,
        'subject_window', extract(epoch FROM flagscope._setting_interval('attribution.subject_window'))::float8);
$$;
COMMENT ON FUNCTION flagscope._configuration() IS
    'what the ingest trigger compiles: how this database stores the signals, environments by key and alias, and the metrics on watch (those that an enabled guardrail reads and that no tick counts) by flag, the flags being rolled out or on watch after that, whose exposures count (until when, microseconds since 2000), and how far evaluations reach (s)';

CREATE FUNCTION flagscope._load_flag(flag text, environment text) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT flagscope._definition(s) FROM flagscope.flag_state s JOIN flagscope.environment e ON e.key = s.environment
    WHERE s.flag = _load_flag.flag AND (_load_flag.environment = e.key OR _load_flag.environment = ANY (e.aliases))
$$;
COMMENT ON FUNCTION flagscope._load_flag(text, text) IS 'a flag as evaluate() caches it';

CREATE FUNCTION flagscope._load_flag_keys(environment text) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_agg(s.flag ORDER BY s.flag), '[]') FROM flagscope.flag_state s JOIN flagscope.flag f ON f.key = s.flag
    WHERE s.environment = flagscope._environment(nullif(_load_flag_keys.environment, '')) AND f.archived_at IS NULL
$$;
COMMENT ON FUNCTION flagscope._load_flag_keys(text) IS 'the flags of an environment as evaluate_all() caches them, without archived ones';

COMMENT ON FUNCTION flagscope._announce_change() IS 'trigger: on commit, every backend''s cached configuration is out of date';
CREATE TRIGGER announce_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.environment
    FOR EACH STATEMENT EXECUTE FUNCTION flagscope._announce_change();
CREATE TRIGGER announce_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.segment
    FOR EACH STATEMENT EXECUTE FUNCTION flagscope._announce_change();
CREATE TRIGGER announce_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.flag
    FOR EACH STATEMENT EXECUTE FUNCTION flagscope._announce_change();
CREATE TRIGGER announce_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.flag_state
    FOR EACH STATEMENT EXECUTE FUNCTION flagscope._announce_change();
CREATE TRIGGER announce_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.metric
    FOR EACH STATEMENT EXECUTE FUNCTION flagscope._announce_change();
CREATE TRIGGER announce_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.guardrail
    FOR EACH STATEMENT EXECUTE FUNCTION flagscope._announce_change();
CREATE TRIGGER announce_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.setting
    FOR EACH STATEMENT EXECUTE FUNCTION flagscope._announce_change();
