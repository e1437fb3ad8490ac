-- What pg_dump keeps of the extension's own tables, and how they are restored (sql/api/restore.sql). Time partitions
-- are ordinary tables and dumped as such.

-- Binary digits of the number of rows of each table of configuration. Of tables only: pg_dump refuses views here.
SELECT pg_extension_config_dump('_flagscope.manifest', $$WHERE part = 'end' OR 1 = 1 & (CASE part
    WHEN 'setting' THEN (SELECT count(*) FROM flagscope.setting WHERE NOT builtin)
    WHEN 'environment_definition' THEN (SELECT count(*) FROM flagscope.environment_definition WHERE NOT builtin)
    WHEN 'flag_definition' THEN (SELECT count(*) FROM flagscope.flag_definition)
    WHEN 'segment' THEN (SELECT count(*) FROM flagscope.segment)
    WHEN 'flag_state' THEN (SELECT count(*) FROM flagscope.flag_state)
    WHEN 'rollout' THEN (SELECT count(*) FROM flagscope.rollout)
    WHEN 'rollout_stage' THEN (SELECT count(*) FROM flagscope.rollout_stage)
    WHEN 'change_freeze' THEN (SELECT count(*) FROM flagscope.change_freeze)
    WHEN 'metric_definition' THEN (SELECT count(*) FROM flagscope.metric_definition)
    WHEN 'guardrail_policy' THEN (SELECT count(*) FROM flagscope.guardrail_policy)
    WHEN 'guardrail' THEN (SELECT count(*) FROM flagscope.guardrail)
    WHEN 'guardrail_status' THEN (SELECT count(*) FROM flagscope.guardrail_status)
    END >> digit)$$);

SELECT pg_extension_config_dump('flagscope.setting', 'WHERE NOT builtin');
SELECT pg_extension_config_dump('flagscope.environment_definition', 'WHERE NOT builtin');
SELECT pg_extension_config_dump('flagscope.flag_definition', '');
SELECT pg_extension_config_dump('flagscope.segment', '');
SELECT pg_extension_config_dump('_flagscope.flag_version_seq', '');
SELECT pg_extension_config_dump('flagscope.flag_state', '');
SELECT pg_extension_config_dump('flagscope.flag_state_id_seq', '');
SELECT pg_extension_config_dump('flagscope.flag_state_history', '');
SELECT pg_extension_config_dump('flagscope.environment_history', '');
SELECT pg_extension_config_dump('flagscope.rollout', '');
SELECT pg_extension_config_dump('flagscope.rollout_id_seq', '');
SELECT pg_extension_config_dump('flagscope.rollout_stage', '');
SELECT pg_extension_config_dump('flagscope.change_freeze', '');
SELECT pg_extension_config_dump('flagscope.change_freeze_id_seq', '');
SELECT pg_extension_config_dump('_flagscope.telemetry_stray', '');
SELECT pg_extension_config_dump('_flagscope.telemetry_late', '');
SELECT pg_extension_config_dump('_flagscope.told_wait', '');
SELECT pg_extension_config_dump('_flagscope.otlp_series', '');
SELECT pg_extension_config_dump('flagscope.metric_definition', '');
SELECT pg_extension_config_dump('flagscope.metric_run', '');
SELECT pg_extension_config_dump('_flagscope.variant_delta', '');
SELECT pg_extension_config_dump('_flagscope.variant_delta_0', '');
SELECT pg_extension_config_dump('_flagscope.variant_delta_1', '');
SELECT pg_extension_config_dump('_flagscope.variant_delta_2', '');
SELECT pg_extension_config_dump('_flagscope.variant_delta_3', '');
SELECT pg_extension_config_dump('_flagscope.variant_delta_late_0', '');
SELECT pg_extension_config_dump('_flagscope.variant_delta_late_1', '');
SELECT pg_extension_config_dump('_flagscope.variant_delta_late_2', '');
SELECT pg_extension_config_dump('_flagscope.variant_delta_late_3', '');
SELECT pg_extension_config_dump('_flagscope.variant_delta_past_0', '');
SELECT pg_extension_config_dump('_flagscope.variant_delta_past_1', '');
SELECT pg_extension_config_dump('_flagscope.variant_delta_past_2', '');
SELECT pg_extension_config_dump('_flagscope.variant_delta_past_3', '');
SELECT pg_extension_config_dump('flagscope.variant_rollup', '');
SELECT pg_extension_config_dump('flagscope.guardrail_policy', '');
SELECT pg_extension_config_dump('flagscope.guardrail_policy_id_seq', '');
SELECT pg_extension_config_dump('flagscope.variant_history', '');
SELECT pg_extension_config_dump('_flagscope.removal', '');
SELECT pg_extension_config_dump('flagscope.guardrail', '');
SELECT pg_extension_config_dump('flagscope.guardrail_id_seq', '');
SELECT pg_extension_config_dump('_flagscope.evidence_seq', '');
SELECT pg_extension_config_dump('flagscope.guardrail_status', '');
SELECT pg_extension_config_dump('_flagscope.source', '');
SELECT pg_extension_config_dump('_flagscope.pairing', '');
SELECT pg_extension_config_dump('_flagscope.waiting_stratum', '');
SELECT pg_extension_config_dump('_flagscope.dependence', '');
SELECT pg_extension_config_dump('_flagscope.anomaly_point', '');
SELECT pg_extension_config_dump('_flagscope.evaluation_stray', '');
SELECT pg_extension_config_dump('flagscope.decision', '');
SELECT pg_extension_config_dump('flagscope.decision_id_seq', '');
SELECT pg_extension_config_dump('flagscope.correlation', '');
SELECT pg_extension_config_dump('_flagscope.subject_delta', '');
SELECT pg_extension_config_dump('flagscope.rollout_subject', '');
SELECT pg_extension_config_dump('_flagscope.unit_tally', '');
SELECT pg_extension_config_dump('_flagscope.uncounted_delta', '');
SELECT pg_extension_config_dump('_flagscope.uncounted_total', '');
SELECT pg_extension_config_dump('_flagscope.service_delta', '');
SELECT pg_extension_config_dump('_flagscope.service_total', '');
SELECT pg_extension_config_dump('flagscope.rollout_health', '');
SELECT pg_extension_config_dump('_flagscope.split_count', '');
SELECT pg_extension_config_dump('_flagscope.row_count', '');
SELECT pg_extension_config_dump('_flagscope.row_share', '');
SELECT pg_extension_config_dump('flagscope.outbox', '');
SELECT pg_extension_config_dump('flagscope.outbox_id_seq', '');
SELECT pg_extension_config_dump('flagscope.outbox_delivery', '');

CREATE TRIGGER expect_rows BEFORE INSERT ON _flagscope.manifest FOR EACH ROW EXECUTE FUNCTION _flagscope.expect_rows();
CREATE TRIGGER give_way BEFORE INSERT ON flagscope.setting FOR EACH ROW EXECUTE FUNCTION _flagscope.give_way();
CREATE TRIGGER give_way BEFORE INSERT ON flagscope.environment_definition FOR EACH ROW
    EXECUTE FUNCTION _flagscope.give_way();
CREATE TRIGGER give_way BEFORE INSERT ON _flagscope.removal FOR EACH ROW EXECUTE FUNCTION _flagscope.give_way();
ALTER TABLE flagscope.setting ENABLE REPLICA TRIGGER give_way;
ALTER TABLE flagscope.environment_definition ENABLE REPLICA TRIGGER give_way;
ALTER TABLE _flagscope.removal ENABLE REPLICA TRIGGER give_way;

-- Every table with a foreign key, with a trigger that checks rows or reads other tables,
-- or with shipped rows to be replaced.
CREATE TRIGGER begin_restore BEFORE INSERT ON flagscope.setting FOR EACH STATEMENT
    WHEN (current_setting('search_path') = '') EXECUTE FUNCTION _flagscope.begin_restore();
CREATE TRIGGER begin_restore BEFORE INSERT ON flagscope.environment_definition FOR EACH STATEMENT
    WHEN (current_setting('search_path') = '') EXECUTE FUNCTION _flagscope.begin_restore();
CREATE TRIGGER begin_restore BEFORE INSERT ON flagscope.flag_definition FOR EACH STATEMENT
    WHEN (current_setting('search_path') = '') EXECUTE FUNCTION _flagscope.begin_restore();
CREATE TRIGGER begin_restore BEFORE INSERT ON flagscope.segment FOR EACH STATEMENT
    WHEN (current_setting('search_path') = '') EXECUTE FUNCTION _flagscope.begin_restore();
CREATE TRIGGER begin_restore BEFORE INSERT ON flagscope.flag_state FOR EACH STATEMENT
    WHEN (current_setting('search_path') = '') EXECUTE FUNCTION _flagscope.begin_restore();
CREATE TRIGGER begin_restore BEFORE INSERT ON _flagscope.removal FOR EACH STATEMENT
    WHEN (current_setting('search_path') = '') EXECUTE FUNCTION _flagscope.begin_restore();
CREATE TRIGGER begin_restore BEFORE INSERT ON flagscope.rollout FOR EACH STATEMENT
    WHEN (current_setting('search_path') = '') EXECUTE FUNCTION _flagscope.begin_restore();
CREATE TRIGGER begin_restore BEFORE INSERT ON flagscope.rollout_stage FOR EACH STATEMENT
    WHEN (current_setting('search_path') = '') EXECUTE FUNCTION _flagscope.begin_restore();
CREATE TRIGGER begin_restore BEFORE INSERT ON flagscope.change_freeze FOR EACH STATEMENT
    WHEN (current_setting('search_path') = '') EXECUTE FUNCTION _flagscope.begin_restore();
CREATE TRIGGER begin_restore BEFORE INSERT ON flagscope.metric_definition FOR EACH STATEMENT
    WHEN (current_setting('search_path') = '') EXECUTE FUNCTION _flagscope.begin_restore();
CREATE TRIGGER begin_restore BEFORE INSERT ON flagscope.metric_run FOR EACH STATEMENT
    WHEN (current_setting('search_path') = '') EXECUTE FUNCTION _flagscope.begin_restore();
CREATE TRIGGER begin_restore BEFORE INSERT ON flagscope.guardrail_policy FOR EACH STATEMENT
    WHEN (current_setting('search_path') = '') EXECUTE FUNCTION _flagscope.begin_restore();
CREATE TRIGGER begin_restore BEFORE INSERT ON flagscope.guardrail FOR EACH STATEMENT
    WHEN (current_setting('search_path') = '') EXECUTE FUNCTION _flagscope.begin_restore();
CREATE TRIGGER begin_restore BEFORE INSERT ON flagscope.guardrail_status FOR EACH STATEMENT
    WHEN (current_setting('search_path') = '') EXECUTE FUNCTION _flagscope.begin_restore();
CREATE TRIGGER begin_restore BEFORE INSERT ON flagscope.outbox_delivery FOR EACH STATEMENT
    WHEN (current_setting('search_path') = '') EXECUTE FUNCTION _flagscope.begin_restore();

CREATE TRIGGER end_restore AFTER INSERT ON flagscope.setting FOR EACH STATEMENT
    EXECUTE FUNCTION _flagscope.end_restore();
CREATE TRIGGER end_restore AFTER INSERT ON flagscope.environment_definition FOR EACH STATEMENT
    EXECUTE FUNCTION _flagscope.end_restore();
CREATE TRIGGER end_restore AFTER INSERT ON flagscope.flag_definition FOR EACH STATEMENT
    EXECUTE FUNCTION _flagscope.end_restore();
CREATE TRIGGER end_restore AFTER INSERT ON flagscope.segment FOR EACH STATEMENT
    EXECUTE FUNCTION _flagscope.end_restore();
CREATE TRIGGER end_restore AFTER INSERT ON flagscope.flag_state FOR EACH STATEMENT
    EXECUTE FUNCTION _flagscope.end_restore();
CREATE TRIGGER end_restore AFTER INSERT ON _flagscope.removal FOR EACH STATEMENT
    EXECUTE FUNCTION _flagscope.end_restore();
CREATE TRIGGER end_restore AFTER INSERT ON flagscope.rollout FOR EACH STATEMENT
    EXECUTE FUNCTION _flagscope.end_restore();
CREATE TRIGGER end_restore AFTER INSERT ON flagscope.rollout_stage FOR EACH STATEMENT
    EXECUTE FUNCTION _flagscope.end_restore();
CREATE TRIGGER end_restore AFTER INSERT ON flagscope.change_freeze FOR EACH STATEMENT
    EXECUTE FUNCTION _flagscope.end_restore();
CREATE TRIGGER end_restore AFTER INSERT ON flagscope.metric_definition FOR EACH STATEMENT
    EXECUTE FUNCTION _flagscope.end_restore();
CREATE TRIGGER end_restore AFTER INSERT ON flagscope.metric_run FOR EACH STATEMENT
    EXECUTE FUNCTION _flagscope.end_restore();
CREATE TRIGGER end_restore AFTER INSERT ON flagscope.guardrail_policy FOR EACH STATEMENT
    EXECUTE FUNCTION _flagscope.end_restore();
CREATE TRIGGER end_restore AFTER INSERT ON flagscope.guardrail FOR EACH STATEMENT
    EXECUTE FUNCTION _flagscope.end_restore();
CREATE TRIGGER end_restore AFTER INSERT ON flagscope.guardrail_status FOR EACH STATEMENT
    EXECUTE FUNCTION _flagscope.end_restore();
CREATE TRIGGER end_restore AFTER INSERT ON flagscope.outbox_delivery FOR EACH STATEMENT
    EXECUTE FUNCTION _flagscope.end_restore();

ALTER TABLE flagscope.setting ENABLE REPLICA TRIGGER end_restore;
ALTER TABLE flagscope.environment_definition ENABLE REPLICA TRIGGER end_restore;
ALTER TABLE flagscope.flag_definition ENABLE REPLICA TRIGGER end_restore;
ALTER TABLE flagscope.segment ENABLE REPLICA TRIGGER end_restore;
ALTER TABLE flagscope.flag_state ENABLE REPLICA TRIGGER end_restore;
ALTER TABLE _flagscope.removal ENABLE REPLICA TRIGGER end_restore;
ALTER TABLE flagscope.rollout ENABLE REPLICA TRIGGER end_restore;
ALTER TABLE flagscope.rollout_stage ENABLE REPLICA TRIGGER end_restore;
ALTER TABLE flagscope.change_freeze ENABLE REPLICA TRIGGER end_restore;
ALTER TABLE flagscope.metric_definition ENABLE REPLICA TRIGGER end_restore;
ALTER TABLE flagscope.metric_run ENABLE REPLICA TRIGGER end_restore;
ALTER TABLE flagscope.guardrail_policy ENABLE REPLICA TRIGGER end_restore;
ALTER TABLE flagscope.guardrail ENABLE REPLICA TRIGGER end_restore;
ALTER TABLE flagscope.guardrail_status ENABLE REPLICA TRIGGER end_restore;
ALTER TABLE flagscope.outbox_delivery ENABLE REPLICA TRIGGER end_restore;

-- Is this CREATE EXTENSION part of a dump? The script sees its own search_path, but only dumps set xmloption. Without
-- this check the worker, which starts at once, would create partitions that the dump is about to create.
INSERT INTO _flagscope.restore (part, pid, backend_start)
SELECT 'extension', a.pid, a.backend_start FROM pg_stat_activity a
WHERE a.pid = pg_backend_pid()
    AND EXISTS (SELECT FROM pg_settings s WHERE s.name = 'xmloption' AND s.source = 'session');

SELECT _flagscope.wake_launcher();
