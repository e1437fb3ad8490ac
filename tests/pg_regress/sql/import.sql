-- A whole document at once: what does not differ stays as it is, one flag that cannot be taken costs no other, and it
-- makes no difference whether flags come by the hundreds or one by one.
\set SHOW_CONTEXT never
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
SET client_min_messages = warning;
SELECT flagscope.create_environment('staging');
-- 1,203 flags: some with metadata, targeting, a JSON Schema, another bucketing,
-- one that needs another, and two that cannot be.
CREATE FUNCTION pg_temp.document(served text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('flags', jsonb_object_agg('flag-' || i,
        jsonb_build_object('state', CASE WHEN i % 7 = 0 THEN 'DISABLED' ELSE 'ENABLED' END,
                'variants', CASE WHEN i = 600 THEN '{"on": true, "off": "no"}'
                    ELSE '{"on": true, "off": false}'::jsonb END,
                'defaultVariant', CASE WHEN i = 700 THEN 'none' ELSE served END)
        || CASE WHEN i % 3 = 0 THEN '{"targeting": {"if": [{"==": [{"var": "plan"}, "pro"]}, "on"]}}'
            ELSE '{}'::jsonb END
        || CASE WHEN i % 5 = 0 THEN '{"metadata": {"team": "shop"}}' ELSE '{}'::jsonb END
        || CASE WHEN i = 800 THEN '{"targeting": {"if": [{"var": "x"}, "other"]}}' ELSE '{}'::jsonb END))
    FROM generate_series(1, 1203) i;
$$;
SELECT imported, problem, count(*) FROM flagscope.import_flagd(pg_temp.document('off')) GROUP BY 1, 2 ORDER BY 1, 2;
SELECT environment, count(*), count(*) FILTER (WHERE enabled) AS enabled, count(default_variant) AS with_default,
    count(targeting) AS with_rule, count(variants) AS own_variants
FROM flagscope.flag_state GROUP BY environment ORDER BY environment;
-- As the document says, seen from outside; and one version each.
SELECT count(*) AS differences
FROM jsonb_each(flagscope.export_flagd() -> 'flags') x
    FULL JOIN (SELECT *
        FROM jsonb_each(pg_temp.document('off') -> 'flags') d WHERE key NOT IN ('flag-600', 'flag-700')) d USING (key)
WHERE (x.value ->> 'state', x.value ->> 'defaultVariant', x.value -> 'targeting', coalesce(x.value -> 'metadata', '{}'))
    IS DISTINCT FROM (d.value ->> 'state', d.value ->> 'defaultVariant', d.value -> 'targeting',
        coalesce(d.value -> 'metadata', '{}'));
SELECT count(*) = count(DISTINCT state_id) AS one_version_each, bool_and(upper_inf(valid)) AS all_current,
    count(*) FILTER (WHERE definition ? 'set_metadata') AS with_shared
FROM flagscope.flag_state_history;

-- The same once more: nothing has changed.
SELECT max(version) AS version FROM flagscope.flag_state_history \gset
SELECT imported, problem, count(*) FROM flagscope.import_flagd(pg_temp.document('off')) GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*) AS new_versions FROM flagscope.flag_state_history WHERE version > :version;
-- Other states, in bulk: a new version of each state that differs, none elsewhere.
SELECT flagscope.set_default_variant('flag-1', 'on') > 0 AS set;
SELECT max(version) AS version FROM flagscope.flag_state_history \gset
SELECT imported, count(*) FROM flagscope.import_flagd(pg_temp.document('on')) GROUP BY 1 ORDER BY 1;
SELECT environment, count(*) AS new_versions, count(DISTINCT flag) AS flags
FROM flagscope.flag_state_history WHERE version > :version GROUP BY environment;
SELECT count(*) FILTER (WHERE default_variant IS DISTINCT FROM 'on') AS not_served
FROM flagscope.flag_state WHERE environment = 'production';
SELECT count(*) FILTER (WHERE upper_inf(valid)) AS current, count(DISTINCT state_id) AS states
FROM flagscope.flag_state_history;

-- A flag with a live rollout, an archived one, one without a state there, and one that another environment uses
-- otherwise, among those that need no care.
SELECT flagscope.create_rollout('flag-2', stages => '{100}') > 0 AS drafted;
SELECT flagscope.archive_flag('flag-4');
DELETE FROM flagscope.flag_state WHERE flag = 'flag-5' AND environment = 'production';
SELECT flagscope.enable_flag('flag-8', 'staging') > 0 AS used;
SELECT flag, imported, problem
FROM flagscope.import_flagd(jsonb_set(pg_temp.document('off'), '{flags,flag-8,variants}',
    '{"on": true, "off": false, "more": true}'))
WHERE flag IN ('flag-1', 'flag-2', 'flag-4', 'flag-5', 'flag-8') ORDER BY flag;
SELECT s.flag, s.enabled, s.default_variant, s.variants, f.archived_at IS NULL AS active
FROM flagscope.flag_state s JOIN flagscope.flag_definition f ON f.key = s.flag
WHERE s.flag IN ('flag-1', 'flag-2', 'flag-4', 'flag-5', 'flag-8') AND s.environment = 'production' ORDER BY s.flag;
SHOW flagscope.importing;

-- One that only the database refuses takes none of its hundred with it.
SELECT left(flag, 10) AS flag, imported, left(problem, 75) AS problem
FROM flagscope.import_flagd(jsonb_build_object('flags', jsonb_build_object(
    'new-1', '{"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on"}'::jsonb,
    repeat('k', 300), '{"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on"}'::jsonb,
    'new-2', '{"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on"}'::jsonb)))
ORDER BY flag;
