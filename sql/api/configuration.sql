-- What the backends' caches are filled from, and what tells them to fill anew. The readers run with the owner's
-- rights, so that a role that may only write telemetry or evaluate flags needs no right on the tables behind.

CREATE FUNCTION flagscope._signal_labels() RETURNS TABLE (oid oid, label text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT e.oid, e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = 'flagscope.signal'::regtype $$;
COMMENT ON FUNCTION flagscope._signal_labels() IS 'how this database stores the four signals';

CREATE FUNCTION flagscope._environment_names() RETURNS TABLE (name text, key text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT n, e.key FROM flagscope.environment e, LATERAL unnest(e.aliases || e.key) n $$;
COMMENT ON FUNCTION flagscope._environment_names() IS 'environments by key and alias';

CREATE FUNCTION flagscope._watches()
RETURNS TABLE (flag text, environment text, metric text, kind text, signal text, filter jsonb, event jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT g.flag, g.environment, m.name, m.kind::text, m.signal::text, m.filter, m.event
    FROM flagscope.guardrail g JOIN flagscope.metric m ON m.name = g.metric WHERE g.enabled
$$;
COMMENT ON FUNCTION flagscope._watches() IS 'metrics on watch: those that an enabled guardrail reads, by flag and environment';

CREATE FUNCTION flagscope._load_flag(flag text, environment text) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT flagscope._definition(s) FROM flagscope.flag_state s JOIN flagscope.environment e ON e.key = s.environment
    WHERE s.flag = _load_flag.flag AND (_load_flag.environment = e.key OR _load_flag.environment = ANY (e.aliases))
$$;
COMMENT ON FUNCTION flagscope._load_flag(text, text) IS 'a flag as evaluate() caches it';

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
