-- What pg_dump keeps of the extension's own tables. Time partitions are ordinary tables and dumped as such.

SELECT pg_extension_config_dump('flagscope.setting', 'WHERE NOT builtin');
SELECT pg_extension_config_dump('flagscope.environment', 'WHERE NOT builtin');
SELECT pg_extension_config_dump('flagscope.flag', '');
SELECT pg_extension_config_dump('flagscope.segment', '');
SELECT pg_extension_config_dump('flagscope.flag_version_seq', '');
SELECT pg_extension_config_dump('flagscope.flag_state', '');
SELECT pg_extension_config_dump('flagscope.flag_state_id_seq', '');
SELECT pg_extension_config_dump('flagscope.flag_state_history', '');
SELECT pg_extension_config_dump('flagscope.rollout', '');
SELECT pg_extension_config_dump('flagscope.rollout_id_seq', '');
SELECT pg_extension_config_dump('flagscope.rollout_stage', '');
SELECT pg_extension_config_dump('flagscope.telemetry_stray', '');
SELECT pg_extension_config_dump('flagscope.otlp_series', '');
SELECT pg_extension_config_dump('flagscope.metric', '');
SELECT pg_extension_config_dump('flagscope.variant_delta', '');
SELECT pg_extension_config_dump('flagscope.variant_rollup', '');
SELECT pg_extension_config_dump('flagscope.guardrail', '');
SELECT pg_extension_config_dump('flagscope.guardrail_id_seq', '');
SELECT pg_extension_config_dump('flagscope.guardrail_status', '');
SELECT pg_extension_config_dump('flagscope.evaluation_stray', '');
SELECT pg_extension_config_dump('flagscope.decision', '');
SELECT pg_extension_config_dump('flagscope.decision_id_seq', '');
SELECT pg_extension_config_dump('flagscope.outbox', '');
SELECT pg_extension_config_dump('flagscope.outbox_id_seq', '');

SELECT flagscope._wake_launcher();
