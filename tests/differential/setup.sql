-- Creates what peer.py thought up, in :'document': segments, flags, running rollouts.
CREATE EXTENSION flagscope;
CREATE TABLE thought AS SELECT :'document'::jsonb AS x;
SELECT flagscope.create_segment(s.key, s.value)
FROM thought, jsonb_each(x -> 'segments') s WHERE NOT s.value::text LIKE '%$ref%';
SELECT flagscope.create_segment(s.key, s.value)
FROM thought, jsonb_each(x -> 'segments') s WHERE s.value::text LIKE '%$ref%';
CREATE TABLE plan AS
SELECT f.* FROM thought,
    jsonb_to_recordset(x -> 'flags') f(key text, value_type flagscope.value_type, variants jsonb, default_variant text,
        enabled boolean, targeting jsonb, prerequisites jsonb, percent numeric, bucketing flagscope.bucketing);
SELECT count(flagscope.create_flag(key, variants, default_variant, value_type)::text) FROM plan;
UPDATE flagscope.flag_definition f SET bucketing = p.bucketing FROM plan p WHERE f.key = p.key;
SELECT count(flagscope.set_targeting(key, targeting)) FROM plan;
SELECT count(flagscope.start_rollout(flagscope.create_rollout(key, stages => ARRAY[percent, 100]),
    reason => 'targeting and splits together', override => true)::text)
FROM plan WHERE percent IS NOT NULL;
UPDATE flagscope.flag_state s SET enabled = p.enabled FROM plan p WHERE s.flag = p.key;
-- A flag may need a variant only that the other one has.
SELECT count(flagscope.set_prerequisites(key, prerequisites)) FROM plan;
CREATE TABLE context (number integer, targeting_key text, attributes jsonb);
CREATE TABLE answer (flag text, number integer, variant text, reason text);
