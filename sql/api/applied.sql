-- What happens on a node when rows come from another one. The process that applies them fires triggers of rows only,
-- and of these only those enabled for replicas: what statements do elsewhere (invalidate caches, notify, keep watch) is
-- done here by rows. A restore writes as on a replica, too; there these do nothing, or what they do does no harm.

CREATE FUNCTION _flagscope.replace_applied() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A copy of a whole table finds rows as shipped, or of an earlier copy: its own take their place, so that
    -- evaluations go on meanwhile. Where a further key could stand in the way, what has that goes as well.
    CASE TG_TABLE_NAME
        WHEN 'setting' THEN DELETE FROM flagscope.setting s WHERE s.name = NEW.name;
        WHEN 'environment_definition' THEN DELETE FROM flagscope.environment_definition e WHERE e.key = NEW.key;
        WHEN 'environment_history' THEN DELETE FROM flagscope.environment_history h
            WHERE (h.environment, h.version) = (NEW.environment, NEW.version);
        WHEN 'flag_definition' THEN DELETE FROM flagscope.flag_definition f WHERE f.key = NEW.key;
        WHEN 'segment' THEN DELETE FROM flagscope.segment s WHERE s.name = NEW.name;
        WHEN 'flag_state' THEN DELETE FROM flagscope.flag_state s
            WHERE (s.flag, s.environment) = (NEW.flag, NEW.environment) OR s.id = NEW.id;
        WHEN 'flag_state_history' THEN DELETE FROM flagscope.flag_state_history h
            WHERE h.state_id = NEW.state_id AND (h.version = NEW.version OR h.valid && NEW.valid);
        WHEN 'flag_change' THEN DELETE FROM _flagscope.flag_change c
            WHERE (c.environment, c.flag) = (NEW.environment, NEW.flag);
        WHEN 'metric_definition' THEN DELETE FROM flagscope.metric_definition m WHERE m.name = NEW.name;
        WHEN 'guardrail' THEN DELETE FROM flagscope.guardrail g WHERE g.id = NEW.id
            OR (g.flag, g.environment, g.name) = (NEW.flag, NEW.environment, NEW.name);
        WHEN 'guardrail_policy' THEN DELETE FROM flagscope.guardrail_policy p WHERE p.id = NEW.id;
        WHEN 'change_freeze' THEN DELETE FROM flagscope.change_freeze f WHERE f.id = NEW.id;
        WHEN 'rollout' THEN DELETE FROM flagscope.rollout r WHERE r.id = NEW.id
            OR r.environment = NEW.environment AND r.status IN ('running', 'paused', 'held')
                AND NEW.status IN ('running', 'paused', 'held')
                AND (r.flag = NEW.flag OR r.exclusion_group = NEW.exclusion_group);
        WHEN 'rollout_stage' THEN DELETE FROM flagscope.rollout_stage s
            WHERE (s.rollout_id, s.ordinal) = (NEW.rollout_id, NEW.ordinal);
        WHEN 'decision' THEN DELETE FROM flagscope.decision d WHERE d.id = NEW.id OR d.key = NEW.key;
        WHEN 'node' THEN DELETE FROM flagscope.node n WHERE n.name = NEW.name;
    END CASE;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION _flagscope.replace_applied() IS
    'trigger, on an ingest node: a row of the configuration that comes takes the place of the one that is there';
CREATE TRIGGER replace_applied BEFORE INSERT ON flagscope.setting FOR EACH ROW
    WHEN (_flagscope.is_ingest_node()) EXECUTE FUNCTION _flagscope.replace_applied();
CREATE TRIGGER replace_applied BEFORE INSERT ON flagscope.environment_definition FOR EACH ROW
    WHEN (_flagscope.is_ingest_node()) EXECUTE FUNCTION _flagscope.replace_applied();
CREATE TRIGGER replace_applied BEFORE INSERT ON flagscope.environment_history FOR EACH ROW
    WHEN (_flagscope.is_ingest_node()) EXECUTE FUNCTION _flagscope.replace_applied();
CREATE TRIGGER replace_applied BEFORE INSERT ON flagscope.flag_definition FOR EACH ROW
    WHEN (_flagscope.is_ingest_node()) EXECUTE FUNCTION _flagscope.replace_applied();
CREATE TRIGGER replace_applied BEFORE INSERT ON flagscope.segment FOR EACH ROW
    WHEN (_flagscope.is_ingest_node()) EXECUTE FUNCTION _flagscope.replace_applied();
CREATE TRIGGER replace_applied BEFORE INSERT ON flagscope.flag_state FOR EACH ROW
    WHEN (_flagscope.is_ingest_node()) EXECUTE FUNCTION _flagscope.replace_applied();
CREATE TRIGGER replace_applied BEFORE INSERT ON flagscope.flag_state_history FOR EACH ROW
    WHEN (_flagscope.is_ingest_node()) EXECUTE FUNCTION _flagscope.replace_applied();
CREATE TRIGGER replace_applied BEFORE INSERT ON _flagscope.flag_change FOR EACH ROW
    WHEN (_flagscope.is_ingest_node()) EXECUTE FUNCTION _flagscope.replace_applied();
CREATE TRIGGER replace_applied BEFORE INSERT ON flagscope.metric_definition FOR EACH ROW
    WHEN (_flagscope.is_ingest_node()) EXECUTE FUNCTION _flagscope.replace_applied();
CREATE TRIGGER replace_applied BEFORE INSERT ON flagscope.guardrail FOR EACH ROW
    WHEN (_flagscope.is_ingest_node()) EXECUTE FUNCTION _flagscope.replace_applied();
CREATE TRIGGER replace_applied BEFORE INSERT ON flagscope.guardrail_policy FOR EACH ROW
    WHEN (_flagscope.is_ingest_node()) EXECUTE FUNCTION _flagscope.replace_applied();
CREATE TRIGGER replace_applied BEFORE INSERT ON flagscope.change_freeze FOR EACH ROW
    WHEN (_flagscope.is_ingest_node()) EXECUTE FUNCTION _flagscope.replace_applied();
CREATE TRIGGER replace_applied BEFORE INSERT ON flagscope.rollout FOR EACH ROW
    WHEN (_flagscope.is_ingest_node()) EXECUTE FUNCTION _flagscope.replace_applied();
CREATE TRIGGER replace_applied BEFORE INSERT ON flagscope.rollout_stage FOR EACH ROW
    WHEN (_flagscope.is_ingest_node()) EXECUTE FUNCTION _flagscope.replace_applied();
CREATE TRIGGER replace_applied BEFORE INSERT ON flagscope.decision FOR EACH ROW
    WHEN (_flagscope.is_ingest_node()) EXECUTE FUNCTION _flagscope.replace_applied();
CREATE TRIGGER replace_applied BEFORE INSERT ON flagscope.node FOR EACH ROW
    WHEN (_flagscope.is_ingest_node()) EXECUTE FUNCTION _flagscope.replace_applied();
ALTER TABLE flagscope.setting ENABLE REPLICA TRIGGER replace_applied;
ALTER TABLE flagscope.environment_definition ENABLE REPLICA TRIGGER replace_applied;
ALTER TABLE flagscope.environment_history ENABLE REPLICA TRIGGER replace_applied;
ALTER TABLE flagscope.flag_definition ENABLE REPLICA TRIGGER replace_applied;
ALTER TABLE flagscope.segment ENABLE REPLICA TRIGGER replace_applied;
ALTER TABLE flagscope.flag_state ENABLE REPLICA TRIGGER replace_applied;
ALTER TABLE flagscope.flag_state_history ENABLE REPLICA TRIGGER replace_applied;
ALTER TABLE _flagscope.flag_change ENABLE REPLICA TRIGGER replace_applied;
ALTER TABLE flagscope.metric_definition ENABLE REPLICA TRIGGER replace_applied;
ALTER TABLE flagscope.guardrail ENABLE REPLICA TRIGGER replace_applied;
ALTER TABLE flagscope.guardrail_policy ENABLE REPLICA TRIGGER replace_applied;
ALTER TABLE flagscope.change_freeze ENABLE REPLICA TRIGGER replace_applied;
ALTER TABLE flagscope.rollout ENABLE REPLICA TRIGGER replace_applied;
ALTER TABLE flagscope.rollout_stage ENABLE REPLICA TRIGGER replace_applied;
ALTER TABLE flagscope.decision ENABLE REPLICA TRIGGER replace_applied;
ALTER TABLE flagscope.node ENABLE REPLICA TRIGGER replace_applied;

-- By its name it fires after announce_change, which tells the same of statements.
CREATE TRIGGER announce_row AFTER INSERT OR UPDATE OR DELETE ON flagscope.environment_definition
    FOR EACH ROW EXECUTE FUNCTION _flagscope.announce_change('environments');
CREATE TRIGGER announce_row AFTER INSERT OR UPDATE OR DELETE ON flagscope.segment
    FOR EACH ROW EXECUTE FUNCTION _flagscope.announce_change('environments');
CREATE TRIGGER announce_row AFTER INSERT OR UPDATE OR DELETE ON _flagscope.flag_change
    FOR EACH ROW EXECUTE FUNCTION _flagscope.announce_change('flags');
CREATE TRIGGER announce_row AFTER INSERT OR UPDATE OR DELETE ON flagscope.flag_state
    FOR EACH ROW EXECUTE FUNCTION _flagscope.announce_change('flags');
CREATE TRIGGER announce_row AFTER INSERT OR UPDATE OR DELETE ON flagscope.metric_definition
    FOR EACH ROW EXECUTE FUNCTION _flagscope.announce_change('metrics');
CREATE TRIGGER announce_row AFTER INSERT OR UPDATE OR DELETE ON flagscope.guardrail
    FOR EACH ROW EXECUTE FUNCTION _flagscope.announce_change('metrics');
CREATE TRIGGER announce_row AFTER INSERT OR UPDATE OR DELETE ON flagscope.setting
    FOR EACH ROW EXECUTE FUNCTION _flagscope.announce_change('metrics');
CREATE TRIGGER announce_row AFTER INSERT OR UPDATE OR DELETE ON flagscope.rollout
    FOR EACH ROW EXECUTE FUNCTION _flagscope.announce_change('metrics');
ALTER TABLE flagscope.environment_definition ENABLE REPLICA TRIGGER announce_row;
ALTER TABLE flagscope.segment ENABLE REPLICA TRIGGER announce_row;
ALTER TABLE _flagscope.flag_change ENABLE REPLICA TRIGGER announce_row;
ALTER TABLE flagscope.flag_state ENABLE REPLICA TRIGGER announce_row;
ALTER TABLE flagscope.metric_definition ENABLE REPLICA TRIGGER announce_row;
ALTER TABLE flagscope.guardrail ENABLE REPLICA TRIGGER announce_row;
ALTER TABLE flagscope.setting ENABLE REPLICA TRIGGER announce_row;
ALTER TABLE flagscope.rollout ENABLE REPLICA TRIGGER announce_row;

CREATE FUNCTION _flagscope.date_applied() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.transaction := pg_current_xact_id();
    RETURN NEW;
END $$;
COMMENT ON FUNCTION _flagscope.date_applied() IS
    'trigger, on an ingest node: a change of a flag that comes is one of this server''s transactions, by which readers '
    'find it';
CREATE TRIGGER date_applied BEFORE INSERT OR UPDATE ON _flagscope.flag_change FOR EACH ROW
    WHEN (_flagscope.is_ingest_node()) EXECUTE FUNCTION _flagscope.date_applied();
CREATE CONSTRAINT TRIGGER notify_applied AFTER INSERT OR UPDATE ON _flagscope.flag_change
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (_flagscope.is_ingest_node()) EXECUTE FUNCTION _flagscope.notify_flag_change();
ALTER TABLE _flagscope.flag_change ENABLE REPLICA TRIGGER date_applied;
ALTER TABLE _flagscope.flag_change ENABLE REPLICA TRIGGER notify_applied;

-- What is counted is watched on each node by itself: its rollups are complete since a time of its own.
CREATE TRIGGER watch_applied AFTER INSERT OR UPDATE OR DELETE ON flagscope.guardrail FOR EACH ROW
    WHEN (_flagscope.is_ingest_node()) EXECUTE FUNCTION _flagscope.keep_watch();
CREATE TRIGGER renew_applied AFTER UPDATE ON flagscope.flag_definition FOR EACH ROW
    WHEN (NEW.variants IS DISTINCT FROM OLD.variants AND _flagscope.is_ingest_node())
    EXECUTE FUNCTION _flagscope.renew_watch();
CREATE TRIGGER renew_applied AFTER UPDATE ON flagscope.flag_state FOR EACH ROW
    WHEN (NEW.variants IS DISTINCT FROM OLD.variants AND _flagscope.is_ingest_node())
    EXECUTE FUNCTION _flagscope.renew_watch();
CREATE TRIGGER renew_applied AFTER UPDATE ON flagscope.environment_definition FOR EACH ROW
    WHEN (NEW.aliases IS DISTINCT FROM OLD.aliases AND _flagscope.is_ingest_node())
    EXECUTE FUNCTION _flagscope.renew_watch();
ALTER TABLE flagscope.guardrail ENABLE REPLICA TRIGGER watch_applied;
ALTER TABLE flagscope.flag_definition ENABLE REPLICA TRIGGER renew_applied;
ALTER TABLE flagscope.flag_state ENABLE REPLICA TRIGGER renew_applied;
ALTER TABLE flagscope.environment_definition ENABLE REPLICA TRIGGER renew_applied;

-- What ingest nodes have counted wakes the worker of the deciding node.
CREATE TRIGGER wake_worker AFTER INSERT ON _flagscope.variant_delta_0 FOR EACH ROW
    EXECUTE FUNCTION _flagscope.wake_worker();
CREATE TRIGGER wake_worker AFTER INSERT ON _flagscope.variant_delta_1 FOR EACH ROW
    EXECUTE FUNCTION _flagscope.wake_worker();
CREATE TRIGGER wake_worker AFTER INSERT ON _flagscope.variant_delta_2 FOR EACH ROW
    EXECUTE FUNCTION _flagscope.wake_worker();
CREATE TRIGGER wake_worker AFTER INSERT ON _flagscope.variant_delta_3 FOR EACH ROW
    EXECUTE FUNCTION _flagscope.wake_worker();
CREATE TRIGGER wake_worker AFTER INSERT ON _flagscope.variant_delta_late_0 FOR EACH ROW
    EXECUTE FUNCTION _flagscope.wake_worker();
CREATE TRIGGER wake_worker AFTER INSERT ON _flagscope.variant_delta_late_1 FOR EACH ROW
    EXECUTE FUNCTION _flagscope.wake_worker();
CREATE TRIGGER wake_worker AFTER INSERT ON _flagscope.variant_delta_late_2 FOR EACH ROW
    EXECUTE FUNCTION _flagscope.wake_worker();
CREATE TRIGGER wake_worker AFTER INSERT ON _flagscope.variant_delta_late_3 FOR EACH ROW
    EXECUTE FUNCTION _flagscope.wake_worker();
CREATE TRIGGER wake_worker AFTER INSERT ON _flagscope.variant_delta_past_0 FOR EACH ROW
    EXECUTE FUNCTION _flagscope.wake_worker();
CREATE TRIGGER wake_worker AFTER INSERT ON _flagscope.variant_delta_past_1 FOR EACH ROW
    EXECUTE FUNCTION _flagscope.wake_worker();
CREATE TRIGGER wake_worker AFTER INSERT ON _flagscope.variant_delta_past_2 FOR EACH ROW
    EXECUTE FUNCTION _flagscope.wake_worker();
CREATE TRIGGER wake_worker AFTER INSERT ON _flagscope.variant_delta_past_3 FOR EACH ROW
    EXECUTE FUNCTION _flagscope.wake_worker();
CREATE TRIGGER wake_worker AFTER INSERT ON _flagscope.subject_delta FOR EACH ROW
    EXECUTE FUNCTION _flagscope.wake_worker();
CREATE TRIGGER wake_worker AFTER INSERT ON _flagscope.history_delta FOR EACH ROW
    EXECUTE FUNCTION _flagscope.wake_worker();
CREATE TRIGGER wake_worker AFTER INSERT ON _flagscope.node_report FOR EACH ROW
    EXECUTE FUNCTION _flagscope.wake_worker();
ALTER TABLE _flagscope.variant_delta_0 ENABLE REPLICA TRIGGER wake_worker;
ALTER TABLE _flagscope.variant_delta_1 ENABLE REPLICA TRIGGER wake_worker;
ALTER TABLE _flagscope.variant_delta_2 ENABLE REPLICA TRIGGER wake_worker;
ALTER TABLE _flagscope.variant_delta_3 ENABLE REPLICA TRIGGER wake_worker;
ALTER TABLE _flagscope.variant_delta_late_0 ENABLE REPLICA TRIGGER wake_worker;
ALTER TABLE _flagscope.variant_delta_late_1 ENABLE REPLICA TRIGGER wake_worker;
ALTER TABLE _flagscope.variant_delta_late_2 ENABLE REPLICA TRIGGER wake_worker;
ALTER TABLE _flagscope.variant_delta_late_3 ENABLE REPLICA TRIGGER wake_worker;
ALTER TABLE _flagscope.variant_delta_past_0 ENABLE REPLICA TRIGGER wake_worker;
ALTER TABLE _flagscope.variant_delta_past_1 ENABLE REPLICA TRIGGER wake_worker;
ALTER TABLE _flagscope.variant_delta_past_2 ENABLE REPLICA TRIGGER wake_worker;
ALTER TABLE _flagscope.variant_delta_past_3 ENABLE REPLICA TRIGGER wake_worker;
ALTER TABLE _flagscope.subject_delta ENABLE REPLICA TRIGGER wake_worker;
ALTER TABLE _flagscope.history_delta ENABLE REPLICA TRIGGER wake_worker;
ALTER TABLE _flagscope.node_report ENABLE REPLICA TRIGGER wake_worker;
-- Who has a new part begins at once.
CREATE TRIGGER wake_worker AFTER UPDATE ON _flagscope.this_node FOR EACH STATEMENT
    EXECUTE FUNCTION _flagscope.wake_worker();
