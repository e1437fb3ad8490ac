-- Every constraint of a table that users write says what is wrong in a sentence, with a hint: taken from the catalog,
-- so that a new constraint without a message, or without a reason for having none, fails here.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
CREATE ROLE constraint_admin;
SELECT flagscope.grant_admin('constraint_admin');
SELECT flagscope.create_environment('staging');
SELECT flagscope.create_flag('f'), flagscope.create_flag('used');
SELECT flagscope.create_metric('errors', 'proportion', 'span', event => '{"is_error": true}'),
    flagscope.create_metric('duration', 'quantile', 'span'), flagscope.create_metric('size', 'mean', 'span', cap => 10);
SELECT flagscope.create_guardrail('f', 'errors');
SELECT flagscope.create_rollout('f', stages => '{50, 100}') AS rollout;

CREATE TEMP TABLE probe (place serial, name text, statement text);
INSERT INTO probe (name, statement) VALUES
    ('environment_key_is_short_text', $q$SELECT flagscope.create_environment(E'a\tb')$q$),
    ('environment_metadata_is_an_object', $q$UPDATE flagscope.environment_definition SET metadata = '[1]'$q$),
    ('environment_segments_are_an_object', $q$UPDATE flagscope.environment_definition SET segments = '[1]'$q$),
    ('flag_key_is_short_text', $q$SELECT flagscope.create_flag(repeat('x', 300))$q$),
    ('flag_metadata_is_an_object', $q$SELECT flagscope.create_flag('g', metadata => '"x"')$q$),
    ('segment_name_is_short_text', $q$SELECT flagscope.create_segment('', 'true')$q$),
    ('flag_state_split_is_whole_or_absent', $q$UPDATE flagscope.flag_state SET percent = 5$q$),
    ('flag_state_percent_within_0_and_100',
        $q$UPDATE flagscope.flag_state SET percent = 500, rollout_id = 1, treatment = 'on', control = 'off'$q$),
    ('flag_state_metadata_is_an_object', $q$UPDATE flagscope.flag_state SET metadata = '[1]'$q$),
    ('flag_state_flag_fkey', $q$INSERT INTO flagscope.flag_state (flag, environment) VALUES ('usde', 'staging')$q$),
    ('flag_state_environment_fkey',
        $q$INSERT INTO flagscope.flag_state (flag, environment) VALUES ('used', 'stagging')$q$),
    ('flag_state_environment_fkey', $q$DELETE FROM flagscope.environment_definition WHERE key = 'staging'$q$),
    ('flag_state_environment_fkey',
        $q$UPDATE flagscope.environment_definition SET key = 'test' WHERE key = 'staging'$q$),
    ('rollout_flag_environment_fkey',
        $q$INSERT INTO flagscope.rollout (flag, environment, treatment, control, alpha)
            VALUES ('ff', 'staging', 'on', 'off', 0.01)$q$),
    ('rollout_flag_environment_fkey', $q$DELETE FROM flagscope.flag_definition WHERE key = 'f'$q$),
    ('rollout_flag_environment_fkey', $q$DELETE FROM flagscope.flag_state WHERE flag = 'f'$q$),
    ('rollout_times_within_100_years',
        $q$INSERT INTO flagscope.rollout (flag, environment, treatment, control, alpha, follow_up)
            VALUES ('used', 'staging', 'on', 'off', 0.01, '40000 days')$q$),
    ('rollout_stage_duration_within_100_years',
        $q$SELECT flagscope.create_rollout('used', environment => 'staging', min_duration => '40000 days')$q$),
    ('guardrail_times_within_100_years',
        $q$SELECT flagscope.create_guardrail('used', 'errors', grace => '40000 days')$q$),
    ('rollout_treatment_differs_from_control', $q$SELECT flagscope.create_rollout('used', 'on', 'on')$q$),
    ('rollout_alpha_between_0_and_half', $q$SELECT flagscope.create_rollout('used', alpha => 5)$q$),
    ('rollout_cooldown_is_positive', $q$SELECT flagscope.create_rollout('used', cooldown => '-1 s')$q$),
    ('rollout_follow_up_is_not_negative', $q$SELECT flagscope.create_rollout('used', follow_up => '-1 s')$q$),
    ('rollout_is_staged_once_started',
        $q$INSERT INTO flagscope.rollout (flag, environment, treatment, control, alpha, stage)
            VALUES ('used', 'staging', 'on', 'off', 0.01, 1)$q$),
    ('rollout_stage_ordinal_from_1',
        $q$INSERT INTO flagscope.rollout_stage (rollout_id, ordinal, percent, min_duration) VALUES (1, 0, 5, '1 s')$q$),
    ('rollout_stage_percent_within_0_and_100', $q$UPDATE flagscope.rollout_stage SET percent = 101$q$),
    ('rollout_stage_duration_is_not_negative', $q$SELECT flagscope.create_rollout('used', min_duration => '-1 s')$q$),
    ('rollout_stage_max_duration_is_longer',
        $q$SELECT flagscope.create_rollout('used', min_duration => '2 min', max_duration => '1 min')$q$),
    ('rollout_stage_advance_when_is_a_gate', $q$SELECT flagscope.create_rollout('used', advance_when => 'sure')$q$),
    ('guardrail_advance_when_is_a_gate',
        $q$SELECT flagscope.create_guardrail('used', 'errors', advance_when => 'sure')$q$),
    ('guardrail_safe_margin_is_of_safe', $q$SELECT flagscope.create_guardrail('used', 'errors', safe_margin => 0.1)$q$),
    ('guardrail_safe_margin_above_0_to_1',
        $q$SELECT flagscope.create_guardrail('used', 'errors', advance_when => 'safe', safe_margin => 'NaN')$q$),
    ('guardrail_safe_is_of_a_sequential_test',
        $q$SELECT flagscope.create_guardrail('used', 'errors', test => 'threshold', limit_value => 0.1,
            advance_when => 'safe')$q$),
    ('guardrail_detectable_above_1', $q$SELECT flagscope.create_guardrail('used', 'errors', detectable => 1)$q$),
    ('rollout_stage_sample_is_not_negative', $q$SELECT flagscope.create_rollout('used', min_sample => -1)$q$),
    ('change_freeze_is_one_time_or_weekly', $q$SELECT flagscope.create_change_freeze('holidays')$q$),
    ('change_freeze_is_one_time_or_weekly',
        $q$SELECT flagscope.create_change_freeze('holidays', since => '2026-12-24', until => '2026-12-27',
            weekdays => '{1}')$q$),
    ('change_freeze_since_is_before_until',
        $q$SELECT flagscope.create_change_freeze('holidays', since => '2026-12-24', until => '2026-12-24')$q$),
    ('change_freeze_weekdays_from_1_to_7', $q$SELECT flagscope.create_change_freeze('weekend', weekdays => '{0}')$q$),
    ('change_freeze_weekdays_from_1_to_7', $q$SELECT flagscope.create_change_freeze('weekend', weekdays => '{}')$q$),
    ('change_freeze_times_in_order',
        $q$SELECT flagscope.create_change_freeze('night', weekdays => '{1}', from_time => '22:00',
            to_time => '06:00')$q$),
    ('change_freeze_environment_fkey',
        $q$SELECT flagscope.create_change_freeze('night', weekdays => '{1}', environment => 'stagign')$q$),
    ('change_freeze_environment_fkey',
        $q$INSERT INTO flagscope.change_freeze (name, weekdays, environment) VALUES ('night', '{1}', 'stagign')$q$),
    ('metric_name_is_short_text', $q$SELECT flagscope.create_metric('', 'mean', 'span')$q$),
    ('metric_reads_telemetry_or_a_query',
        $q$INSERT INTO flagscope.metric_definition (name, kind) VALUES ('m', 'mean')$q$),
    ('metric_reads_telemetry_or_a_query',
        $q$INSERT INTO flagscope.metric_definition (name, kind, signal, query)
            VALUES ('m', 'mean', 'span', 'SELECT ''x'' AS subject, 1 AS value WHERE now() >= $1 AND now() < $2')$q$),
    ('metric_of_a_query_has_nothing_of_telemetry',
        $q$INSERT INTO flagscope.metric_definition (name, kind, filter, query)
            VALUES ('m', 'mean', '{"name": "x"}',
                'SELECT ''x'' AS subject, 1 AS value WHERE now() >= $1 AND now() < $2')$q$),
    ('metric_conversion_window_is_positive',
        $q$INSERT INTO flagscope.metric_definition (name, kind, signal, conversion_window)
            VALUES ('m', 'mean', 'span', '0')$q$),
    ('metric_per_unit_of_proportions_and_means',
        $q$INSERT INTO flagscope.metric_definition (name, kind, signal, per_unit, conversion_window)
            VALUES ('m', 'quantile', 'span', true, '1 hour')$q$),
    ('metric_per_unit_has_a_window',
        $q$INSERT INTO flagscope.metric_definition (name, kind, signal, per_unit, conversion_window)
            VALUES ('m', 'mean', 'span', true, '1 second')$q$),
    ('metric_event_exactly_for_proportions',
        $q$INSERT INTO flagscope.metric_definition (name, kind, signal) VALUES ('m', 'proportion', 'span')$q$),
    ('metric_event_exactly_for_proportions',
        $q$INSERT INTO flagscope.metric_definition (name, kind, signal, event) VALUES ('m', 'mean', 'span', '{}')$q$),
    ('metric_per_exactly_for_rates_and_ratios',
        $q$INSERT INTO flagscope.metric_definition (name, kind, signal) VALUES ('m', 'rate', 'span')$q$),
    ('metric_per_exactly_for_rates_and_ratios',
        $q$INSERT INTO flagscope.metric_definition (name, kind, signal, per) VALUES ('m', 'mean', 'span', '{}')$q$),
    ('metric_sums_values_only_for_rates',
        $q$SELECT flagscope.create_metric('m', 'mean', 'span', sum_values => true)$q$),
    ('metric_cap_only_for_means', $q$SELECT flagscope.create_metric('m', 'quantile', 'span', cap => 5)$q$),
    ('metric_cap_is_positive', $q$SELECT flagscope.create_metric('m', 'mean', 'span', cap => -5)$q$),
    ('guardrail_policy_name_is_short_text', $q$SELECT flagscope.create_policy('', '{"metric": "errors"}')$q$),
    ('guardrail_policy_environment_fkey',
        $q$SELECT flagscope.create_policy('p', '{"metric": "errors"}', environment => 'stagign')$q$),
    ('guardrail_policy_environment_fkey',
        $q$INSERT INTO flagscope.guardrail_policy (name, rule, environment)
            VALUES ('p', '{"metric": "errors"}', 'stagign')$q$),
    ('guardrail_policy_id_fkey', $q$UPDATE flagscope.guardrail SET policy_id = 99$q$),
    ('guardrail_metric_fkey', $q$UPDATE flagscope.guardrail SET metric = 'erors'$q$),
    ('guardrail_metric_fkey', $q$DELETE FROM flagscope.metric_definition WHERE name = 'errors'$q$),
    ('guardrail_flag_environment_fkey', $q$UPDATE flagscope.guardrail SET flag = 'ff'$q$),
    ('guardrail_flag_environment_fkey', $q$UPDATE flagscope.guardrail SET environment = 'stagign'$q$),
    ('guardrail_acts_like_a_guardrail', $q$SELECT flagscope.create_guardrail('used', 'errors', action => 'approve')$q$),
    ('guardrail_limit_exactly_when_absolute',
        $q$SELECT flagscope.create_guardrail('used', 'errors', limit_value => 0.1, comparison => 'control')$q$),
    ('guardrail_limit_exactly_when_absolute',
        $q$SELECT flagscope.create_guardrail('used', 'errors', comparison => 'absolute')$q$),
    ('guardrail_scope_has_no_control',
        $q$SELECT flagscope.create_guardrail('used', 'errors', scope => 'environment')$q$),
    ('guardrail_variants_have_no_control',
        $q$SELECT flagscope.create_guardrail('used', 'errors', variants => ARRAY['on'])$q$),
    ('guardrail_variants_name_some',
        $q$SELECT flagscope.create_guardrail('used', 'errors', limit_value => 0.1, variants => '{}')$q$),
    ('guardrail_variants_of_rows_that_name_some',
        $q$SELECT flagscope.create_guardrail('used', 'errors', limit_value => 0.1, variants => ARRAY['on'],
            scope => 'environment')$q$),
    ('rollout_holdback_is_for_a_follow_up',
        $q$SELECT flagscope.create_rollout('used', holdback => 5, follow_up => '0 seconds')$q$),
    ('rollout_holdback_within_0_and_50',
        $q$SELECT flagscope.create_rollout('used', holdback => 60, follow_up => '1 hour')$q$),
    ('guardrail_limit_is_finite', $q$SELECT flagscope.create_guardrail('used', 'size', limit_value => 'Infinity')$q$),
    ('guardrail_margin_not_of_a_limit',
        $q$SELECT flagscope.create_guardrail('used', 'errors', limit_value => 0.1, margin => 0.1)$q$),
    ('guardrail_margin_within_0_and_1', $q$SELECT flagscope.create_guardrail('used', 'errors', margin => 2)$q$),
    ('guardrail_margin_within_0_and_1', $q$SELECT flagscope.create_guardrail('used', 'duration', margin => 20)$q$),
    ('guardrail_margin_within_0_and_1', $q$UPDATE flagscope.guardrail SET margin = -0.1$q$),
    ('guardrail_margin_is_one_of_two',
        $q$SELECT flagscope.create_guardrail('used', 'errors', margin => 0.1, margin_absolute => 0.1)$q$),
    ('guardrail_margin_absolute_not_of_a_limit',
        $q$SELECT flagscope.create_guardrail('used', 'errors', limit_value => 0.1, margin_absolute => 0.1)$q$),
    ('guardrail_margin_absolute_is_positive',
        $q$SELECT flagscope.create_guardrail('used', 'errors', margin_absolute => 0)$q$),
    ('guardrail_quantile_between_0_and_1', $q$SELECT flagscope.create_guardrail('used', 'duration', quantile => 95)$q$),
    ('guardrail_control_is_tested_sequentially',
        $q$SELECT flagscope.create_guardrail('used', 'errors', test => 'threshold')$q$),
    ('guardrail_breaches_of_looks',
        $q$SELECT flagscope.create_guardrail('used', 'errors', limit_value => 0.1, test => 'threshold', breaches => 3,
            of_looks => 2)$q$),
    ('guardrail_looks_only_of_a_threshold', $q$SELECT flagscope.create_guardrail('used', 'errors', breaches => 3)$q$),
    ('guardrail_anomaly_is_of_a_baseline',
        $q$SELECT flagscope.create_guardrail('used', 'errors', test => 'anomaly', margin => 0.1)$q$),
    ('guardrail_times_are_positive', $q$SELECT flagscope.create_guardrail('used', 'errors', grace => '-1 s')$q$),
    ('guardrail_times_are_positive', $q$SELECT flagscope.create_guardrail('used', 'errors', stale_after => '0')$q$),
    ('guardrail_weight_is_positive', $q$SELECT flagscope.create_guardrail('used', 'errors', weight => 0)$q$),
    ('guardrail_design_effect_from_1', $q$SELECT flagscope.create_guardrail('used', 'errors', design_effect => 0.5)$q$),
    ('guardrail_sample_is_not_negative', $q$SELECT flagscope.create_guardrail('used', 'errors', min_sample => -1)$q$),
    ('guardrail_window_is_positive',
        $q$SELECT flagscope.create_guardrail('used', 'errors', limit_value => 0.1, test => 'threshold',
            time_window => '0')$q$),
    ('telemetry_ts_is_finite',
        $q$INSERT INTO flagscope.telemetry (ts, signal, name) VALUES ('infinity', 'event', 'x')$q$),
    ('telemetry_flags_is_an_object',
        $q$INSERT INTO flagscope.telemetry (ts, signal, name, flags) VALUES (now(), 'event', 'x', '["f"]')$q$),
    -- NULL where a value is wanted.
    ('not null', $q$SELECT flagscope.create_flag(NULL)$q$),
    ('not null', $q$SELECT flagscope.create_flag('g', value_type => NULL)$q$),
    ('not null', $q$SELECT flagscope.create_environment(NULL)$q$),
    ('not null', $q$SELECT flagscope.create_segment('s', NULL)$q$),
    ('not null', $q$SELECT flagscope.create_metric(NULL, 'mean', 'span')$q$),
    ('not null', $q$SELECT flagscope.create_guardrail('used', 'errors', weight => NULL)$q$),
    ('not null', $q$SELECT flagscope.create_policy(NULL, '{"metric": "errors"}')$q$),
    ('not null', $q$SELECT flagscope.create_rollout('used', min_sample => NULL)$q$),
    ('not null', $q$SELECT flagscope.create_change_freeze(NULL, weekdays => '{1}')$q$),
    -- Keys, by the functions that make such rows.
    ('environment_pkey', $q$SELECT flagscope.create_environment('staging')$q$),
    ('flag_pkey', $q$SELECT flagscope.create_flag('f')$q$),
    ('metric_pkey', $q$SELECT flagscope.create_metric('errors', 'mean', 'span')$q$),
    ('guardrail_flag_environment_name_key', $q$SELECT flagscope.create_guardrail('f', 'errors')$q$),
    ('rollout_is_the_only_live_one', $q$SELECT flagscope.create_rollout('f')$q$);
CREATE TEMP TABLE reason (name text, words text);
INSERT INTO reason VALUES
    ('segment_pkey',
        'create_segment() says it; of an INSERT PostgreSQL''s own words name the key, and ON CONFLICT goes by it'),
    ('guardrail_policy_name_key', 'the same, create_policy()'),
    ('setting_pkey', 'a row of that name gives way when it is as shipped; else PostgreSQL''s own words name it'),
    ('flag_state_pkey', 'PostgreSQL''s own words name flag and environment'),
    ('rollout_stage_pkey', 'PostgreSQL''s own words name rollout and ordinal'),
    ('rollout_stage_rollout_id_fkey',
        'PostgreSQL''s own words name the rollout; a stage cannot tell whether it comes from a restored dump'),
    ('flag_state_id_key', 'an identity that nobody sets'), ('rollout_pkey', 'an identity that nobody sets'),
    ('guardrail_pkey', 'an identity that nobody sets'), ('guardrail_policy_pkey', 'an identity that nobody sets'),
    ('change_freeze_pkey', 'an identity that nobody sets'), ('outbox_pkey', 'an identity that nobody sets'),
    ('outbox_delivery_pkey', 'rows of take_deliveries() alone'),
    ('outbox_delivery_outbox_id_fkey', 'rows of take_deliveries() alone'),
    ('rollout_excludes_others_of_its_group', 'said by start_rollout(): test ramp, and isolation test exclusion');

-- What a statement is refused with, in a subtransaction: nothing of it stays.
CREATE FUNCTION pg_temp.refused(statement text, OUT code text, OUT problem text, OUT hint text, OUT lines integer)
LANGUAGE plpgsql AS $$
DECLARE
    context text;
BEGIN
    BEGIN
        EXECUTE statement;
        RAISE EXCEPTION 'it was taken';
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
        code := SQLSTATE;
        problem := SQLERRM;
        -- Two lines are those of this function, which repeat the statement.
        lines := cardinality(string_to_array(replace(context, statement, ''), E'\n')) - 2;
    END;
END $$;
CREATE TEMP TABLE answer AS SELECT p.*, r.* FROM probe p, LATERAL pg_temp.refused(p.statement) r;
\pset format unaligned
\pset fieldsep ' | '
\pset footer off
SELECT name, code, problem, hint FROM answer ORDER BY place;
-- No raw words, a hint each, and no statements of ours between the call and its refusal: all three must be empty.
SELECT name, problem FROM answer WHERE problem ~ 'violates|it was taken' ORDER BY place;
SELECT name, problem FROM answer WHERE hint = '' OR hint IS NULL ORDER BY place;
SELECT name, lines FROM answer WHERE lines > 0 AND statement ~ '^SELECT' ORDER BY place;
-- Constraints, and unique indexes, of the tables that an admin writes, without a probe or a reason: must be empty. Not
-- the keys of what is written by flagscope alone, and not NOT NULL, whose own words name the column.
SELECT k.name FROM (
    SELECT conname AS name, conrelid AS relation FROM pg_constraint WHERE contype IN ('c', 'f', 'u', 'p', 'x')
    UNION SELECT c.relname, i.indrelid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indisunique) k
    JOIN pg_depend d
        ON d.classid = 'pg_class'::regclass AND d.objid = k.relation AND d.refclassid = 'pg_extension'::regclass
            AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'flagscope')
WHERE (has_any_column_privilege('constraint_admin', k.relation, 'INSERT')
    OR has_any_column_privilege('constraint_admin', k.relation, 'UPDATE'))
    AND k.name NOT IN (SELECT name FROM probe UNION SELECT name FROM reason)
ORDER BY 1;
-- As an admin, and as a role that may insert rows of telemetry and nothing else: the words are the same.
SET ROLE constraint_admin;
SELECT problem, hint FROM pg_temp.refused($q$SELECT flagscope.create_guardrail('used', 'duration', quantile => 95)$q$);
SELECT problem, hint FROM pg_temp.refused($q$DELETE FROM flagscope.flag_definition WHERE key = 'f'$q$);
RESET ROLE;
CREATE ROLE constraint_writer;
GRANT USAGE ON SCHEMA flagscope, _flagscope TO constraint_writer;
GRANT INSERT ON flagscope.telemetry TO constraint_writer;
SET ROLE constraint_writer;
INSERT INTO flagscope.telemetry (ts, signal, name, flags) VALUES (now(), 'event', 'x', '["f"]');
INSERT INTO flagscope.telemetry (ts, signal, name, flags) VALUES (now(), 'event', 'x', '{"f": "on"}');
RESET ROLE;
-- What is the user's own is told as it was: the lines of his function, the code of his trigger.
DO $$ BEGIN PERFORM flagscope.create_flag('f'); END $$;
CREATE FUNCTION pg_temp.frown() RETURNS trigger
LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'SHOP1', MESSAGE = 'not on a Friday'; END $$;
CREATE TRIGGER frown BEFORE INSERT ON flagscope.flag_definition FOR EACH ROW EXECUTE FUNCTION pg_temp.frown();
SELECT code, problem FROM pg_temp.refused($q$SELECT flagscope.create_flag('friday')$q$);
DROP TRIGGER frown ON flagscope.flag_definition;
DROP OWNED BY constraint_admin, constraint_writer;
DROP ROLE constraint_admin, constraint_writer;
