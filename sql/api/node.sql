-- What a node may do. Configuration and decisions belong to the deciding node, raw rows to the ingest nodes: elsewhere
-- they would diverge without a word, or be taken for missing. So each refuses what is the others', and names them.

CREATE FUNCTION _flagscope.node_role() RETURNS flagscope.node_role
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT n.role FROM _flagscope.this_node n);
END $$;
COMMENT ON FUNCTION _flagscope.node_role() IS 'the part of this database in a cluster';

CREATE FUNCTION _flagscope.is_ingest_node() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN _flagscope.node_role() = 'ingest';
END $$;
COMMENT ON FUNCTION _flagscope.is_ingest_node() IS 'does this database take in telemetry for another one that decides';

CREATE FUNCTION _flagscope.slot_name(node text, what text, number integer) RETURNS name
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN format('flagscope_%s_%s_%s', node, what, number)::name;
COMMENT ON FUNCTION _flagscope.slot_name(text, text, integer) IS
    'name of a replication slot of a node: what is configuration, on the deciding node, or delta, on the ingest node';

CREATE FUNCTION _flagscope.deciding_node() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce((SELECT format('the deciding node "%s"', n.name) FROM flagscope.node n WHERE n.role = 'decide'),
        'the deciding node');
$$;
COMMENT ON FUNCTION _flagscope.deciding_node() IS 'the deciding node in words';

CREATE FUNCTION _flagscope.ingest_nodes() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(format('"%s"', n.name), ', ' ORDER BY n.name) FROM flagscope.node n WHERE n.role = 'ingest';
$$;
COMMENT ON FUNCTION _flagscope.ingest_nodes() IS 'the ingest nodes in words; NULL: there are none yet';

CREATE FUNCTION _flagscope.silent_nodes() RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF _flagscope.node_role() <> 'decide' THEN
        RETURN NULL;
    END IF;
    RETURN (SELECT string_agg(CASE WHEN s.node IS NULL THEN
            format('nothing has come from the ingest node "%s" yet', n.name)
            ELSE format('nothing has come from the ingest node "%s" since %s', n.name,
                _flagscope.utc(s.reported_at)) END,
        '; ' ORDER BY n.name)
        FROM flagscope.node n LEFT JOIN _flagscope.node_state s ON s.node = n.name AND s.delta_slot = n.delta_slot
        WHERE n.role = 'ingest' AND coalesce(n.synced <> n.delta_slot OR s.reported_at
            < clock_timestamp() - _flagscope.setting_interval('node.silent_after'), true));
END $$;
COMMENT ON FUNCTION _flagscope.silent_nodes() IS
    'on a deciding node, the ingest nodes that something may have happened on which has not come, in words; NULL: '
    'none. What is missing holds every ramp';

CREATE FUNCTION _flagscope.require_deciding(what text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF _flagscope.is_ingest_node() THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('%s on the ingest node "%s"', what,
                (SELECT n.name FROM _flagscope.this_node n)),
            DETAIL = 'An ingest node takes in telemetry and evaluates flags; its configuration is a copy.',
            HINT = _flagscope.message('Connect to %s.', _flagscope.deciding_node());
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.require_deciding(text) IS 'raises on an ingest node; what: that cannot be done there';

CREATE FUNCTION _flagscope.require_raw_rows(what text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF _flagscope.node_role() = 'decide' THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('%s on the deciding node "%s": it has no raw rows to compute them from', what,
                (SELECT n.name FROM _flagscope.this_node n)),
            HINT = _flagscope.message('Call it on each ingest node: %s.',
                coalesce(_flagscope.ingest_nodes(), 'there is none yet, see add_node()'));
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.require_raw_rows(text) IS
    'raises on a deciding node, whose rollups are sums of what other nodes counted; what: that cannot be done there';

CREATE FUNCTION _flagscope.refuse_on_ingest() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF _flagscope.is_ingest_node() THEN
        PERFORM _flagscope.require_deciding(format('table %s cannot be changed', TG_TABLE_NAME));
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.refuse_on_ingest() IS
    'trigger: refuses changes of the configuration on an ingest node; what comes from the deciding node fires none';
CREATE TRIGGER refuse_on_ingest BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.setting
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.refuse_on_ingest();
CREATE TRIGGER refuse_on_ingest BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.environment_definition
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.refuse_on_ingest();
CREATE TRIGGER refuse_on_ingest BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.flag_definition
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.refuse_on_ingest();
CREATE TRIGGER refuse_on_ingest BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.segment
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.refuse_on_ingest();
CREATE TRIGGER refuse_on_ingest BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.flag_state
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.refuse_on_ingest();
CREATE TRIGGER refuse_on_ingest BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.metric_definition
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.refuse_on_ingest();
CREATE TRIGGER refuse_on_ingest BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.guardrail
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.refuse_on_ingest();
CREATE TRIGGER refuse_on_ingest BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.guardrail_policy
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.refuse_on_ingest();
CREATE TRIGGER refuse_on_ingest BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.change_freeze
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.refuse_on_ingest();
CREATE TRIGGER refuse_on_ingest BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.rollout
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.refuse_on_ingest();
CREATE TRIGGER refuse_on_ingest BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.rollout_stage
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.refuse_on_ingest();

CREATE FUNCTION _flagscope.refuse_raw_metric() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (NEW.conversion_window IS NOT NULL OR NEW.per_unit) AND _flagscope.node_role() = 'decide' THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
            MESSAGE = _flagscope.message('metric "%s" would be counted from raw rows where decisions are made, and '
                'those of a cluster are on its ingest nodes', NEW.name),
            HINT = 'Leave out conversion_window and per_unit: a row then counts when it comes.';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION _flagscope.refuse_raw_metric() IS
    'trigger: on a deciding node there are no metrics that a tick counts from raw rows; they would see nothing';
CREATE TRIGGER refuse_raw_metric BEFORE INSERT OR UPDATE ON flagscope.metric_definition
    FOR EACH ROW EXECUTE FUNCTION _flagscope.refuse_raw_metric();

CREATE VIEW _flagscope.node_telemetry AS
SELECT (SELECT nullif(n.name, '') FROM _flagscope.this_node n) AS node, t.* FROM flagscope.telemetry t;
COMMENT ON VIEW _flagscope.node_telemetry IS
    'telemetry with the name of this node: what the deciding node reads as flagscope_cluster.telemetry of all nodes';
COMMENT ON COLUMN _flagscope.node_telemetry.node IS 'name of this node; NULL: it works alone';
