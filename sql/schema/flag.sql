-- Flag state: environments, flags, what is served now, and every version of it.

CREATE TABLE flagscope.environment_definition (
    key         text PRIMARY KEY,
    aliases     text[] NOT NULL DEFAULT '{}',
    description text NOT NULL DEFAULT '',
    metadata    jsonb NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    builtin     boolean NOT NULL DEFAULT false,
    segments    jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT environment_metadata_is_an_object CHECK (CASE
        WHEN (jsonb_typeof(metadata) = 'object') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('metadata of environment "%s" must be a JSON object, got %s', key, left(metadata::text, 100)),
            'Write it like {"team": "shop"}.') END),
    CONSTRAINT environment_segments_are_an_object CHECK (CASE
        WHEN (jsonb_typeof(segments) = 'object') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('segments of environment "%s" must be a JSON object, got %s', key, left(segments::text, 100)),
            'Write it like {"beta": {"==": [{"var": "plan"}, "beta"]}}, or call create_segment().') END),
    CONSTRAINT environment_key_is_short_text CHECK (CASE
        WHEN (key ~ '^[^[:cntrl:]]+$' AND octet_length(key) <= 255) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('the key of an environment must have 1 to 255 bytes and no control characters, got "%s"',
                left(key, 100)),
            'Letters, digits, spaces, hyphens and dots are allowed.') END)
);
COMMENT ON TABLE flagscope.environment_definition IS 'where flags are served: production, staging ...';
COMMENT ON COLUMN flagscope.environment_definition.key IS 'what it is called everywhere: production';
COMMENT ON COLUMN flagscope.environment_definition.description IS 'for people';
COMMENT ON COLUMN flagscope.environment_definition.created_at IS 'when it was made, by the server''s clock';
COMMENT ON COLUMN flagscope.environment_definition.aliases IS
    'other names of this environment in telemetry (OpenTelemetry''s deployment.environment.name)';
COMMENT ON COLUMN flagscope.environment_definition.metadata IS
    'metadata of the flag set, returned with every evaluation; a flag''s own metadata takes precedence';
COMMENT ON COLUMN flagscope.environment_definition.segments IS
    'segments of this environment only, as {name: rule}; they replace those of the same name in table segment';
COMMENT ON COLUMN flagscope.environment_definition.builtin IS
    'as shipped: not dumped by pg_dump, replaced by the row of a restored dump';
INSERT INTO flagscope.environment_definition (key, aliases, description, builtin)
VALUES ('production', '{prod}', 'what customers see', true);

CREATE TYPE flagscope.value_type AS ENUM ('boolean', 'string', 'integer', 'number', 'object');
COMMENT ON TYPE flagscope.value_type IS 'type of a flag''s values, as in OpenFeature';

CREATE TYPE flagscope.bucketing AS ENUM ('v2', 'v3');
COMMENT ON TYPE flagscope.bucketing IS
    'flagd''s algorithm for assigning a targeting key to a bucket: v2 is murmur3 over text, v3 murmur3 over CBOR';

CREATE FUNCTION _flagscope.default_bucketing() RETURNS flagscope.bucketing
LANGUAGE sql STABLE
RETURN coalesce(nullif(current_setting('flagscope.bucketing', true), ''), 'v2')::flagscope.bucketing;
COMMENT ON FUNCTION _flagscope.default_bucketing() IS
    'the bucketing of flags created without one: setting flagscope.bucketing';

CREATE TABLE flagscope.flag_definition (
    key         text PRIMARY KEY,
    value_type  flagscope.value_type NOT NULL,
    variants    jsonb NOT NULL,
    description text NOT NULL DEFAULT '',
    metadata    jsonb NOT NULL DEFAULT '{}',
    tags        text[] NOT NULL DEFAULT '{}',
    bucketing   flagscope.bucketing NOT NULL DEFAULT _flagscope.default_bucketing(),
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    archived_at timestamptz,
    value_schema jsonb,
    CONSTRAINT flag_key_is_short_text CHECK (CASE
        WHEN (key ~ '^[^[:cntrl:]]+$' AND octet_length(key) <= 255) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('the key of a flag must have 1 to 255 bytes and no control characters, got "%s"', left(key, 100)),
            'Letters, digits, spaces, hyphens and dots are allowed.') END),
    CONSTRAINT flag_metadata_is_an_object CHECK (CASE
        WHEN (jsonb_typeof(metadata) = 'object') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('metadata of flag "%s" must be a JSON object, got %s', key, left(metadata::text, 100)),
            'Write it like {"team": "shop"}.') END)
);
COMMENT ON TABLE flagscope.flag_definition IS
    'a feature flag: its type and the variants it can serve; key and type never change';
COMMENT ON COLUMN flagscope.flag_definition.key IS 'what it is called in code';
COMMENT ON COLUMN flagscope.flag_definition.value_type IS 'type of its values';
COMMENT ON COLUMN flagscope.flag_definition.description IS 'for people';
COMMENT ON COLUMN flagscope.flag_definition.metadata IS 'JSON object that goes with every answer';
COMMENT ON COLUMN flagscope.flag_definition.tags IS 'words that policies and freezes are meant for';
COMMENT ON COLUMN flagscope.flag_definition.created_at IS 'when it was made, by the server''s clock';
COMMENT ON COLUMN flagscope.flag_definition.variants IS
    'JSON object {variant name: value}; every value is of the flag''s type; '
    'an environment may have its own (flag_state.variants)';
COMMENT ON COLUMN flagscope.flag_definition.archived_at IS
    'when it was archived (archive_flag()): it evaluates as if disabled, is not exported, and takes part in nothing';
COMMENT ON COLUMN flagscope.flag_definition.value_schema IS
    'JSON Schema (2020-12, unless its $schema says otherwise) that every variant''s value must satisfy; NULL: none';
COMMENT ON COLUMN flagscope.flag_definition.bucketing IS
    'algorithm that splits users; never changed by an upgrade, since that would move users';

CREATE TABLE flagscope.segment (
    name        text PRIMARY KEY,
    rule        jsonb NOT NULL,
    description text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT segment_name_is_short_text CHECK (CASE
        WHEN (name ~ '^[^[:cntrl:]]+$' AND octet_length(name) <= 255) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('the name of a segment must have 1 to 255 bytes and no control characters, got "%s"',
                left(name, 100)),
            'Letters, digits, spaces, hyphens and dots are allowed.') END)
);
COMMENT ON TABLE flagscope.segment IS
    'a named JsonLogic rule shared by flags, referenced from targeting by {"$ref": name} (flagd''s $evaluators); '
    'an environment may override it (environment.segments)';
COMMENT ON COLUMN flagscope.segment.name IS 'what {"$ref": name} in targeting calls it';
COMMENT ON COLUMN flagscope.segment.rule IS 'its JsonLogic rule';
COMMENT ON COLUMN flagscope.segment.description IS 'for people';
COMMENT ON COLUMN flagscope.segment.created_at IS 'when it was made, by the server''s clock';

CREATE SEQUENCE _flagscope.flag_version_seq;
COMMENT ON SEQUENCE _flagscope.flag_version_seq IS 'versions of flag states; one sequence for all flags';

CREATE TABLE flagscope.flag_state (
    id              bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    flag            text NOT NULL REFERENCES flagscope.flag_definition ON DELETE CASCADE,
    environment     text NOT NULL REFERENCES flagscope.environment_definition,
    enabled         boolean NOT NULL DEFAULT true,
    default_variant text,
    targeting       jsonb,
    prerequisites   jsonb NOT NULL DEFAULT '[]',
    rollout_id      bigint,
    treatment       text,
    control         text,
    percent         numeric(6,3),
    version         bigint NOT NULL DEFAULT 0,
    changed_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor           text NOT NULL DEFAULT '',
    reason          text NOT NULL DEFAULT '',
    decision_id     bigint,
    variants        jsonb,
    metadata        jsonb,
    PRIMARY KEY (flag, environment),
    CONSTRAINT flag_state_split_is_whole_or_absent CHECK (CASE
        WHEN (num_nonnulls(rollout_id, treatment, control, percent) IN (0, 4)) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('the split of flag "%s" is incomplete: rollout %s, treatment %s, control %s, percent %s',
            flag,
            coalesce(rollout_id::text, 'NULL'), coalesce(treatment, 'NULL'), coalesce(control, 'NULL'),
            coalesce(percent::text, 'NULL')),
            'A rollout sets all four: call flagscope.create_rollout(flag), then start_rollout(id).') END),
    CONSTRAINT flag_state_percent_within_0_and_100 CHECK (CASE
        WHEN (percent BETWEEN 0 AND 100) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('percent must be between 0 and 100, got "%s"', percent),
            '5 % is 5.') END),
    CONSTRAINT flag_state_metadata_is_an_object CHECK (CASE
        WHEN (jsonb_typeof(metadata) = 'object') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('metadata of flag "%s" in an environment must be a JSON object, got %s', flag,
                left(metadata::text, 100)),
            'Write it like {"team": "shop"}; NULL takes the metadata of the flag.') END)
);
CREATE INDEX flag_state_by_prerequisite ON flagscope.flag_state USING gin (prerequisites jsonb_path_ops)
    WHERE prerequisites <> '[]';
CREATE FUNCTION _flagscope.segment_names(rule jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN jsonb_path_query_array(rule, 'strict $.**."$ref"', '{}', true);
COMMENT ON FUNCTION _flagscope.segment_names(jsonb) IS 'the segments that a rule references directly, as a JSON array';
CREATE INDEX flag_state_by_segment ON flagscope.flag_state USING gin (_flagscope.segment_names(targeting))
    WHERE targeting @? 'strict $.**."$ref"';
COMMENT ON TABLE flagscope.flag_state IS
    'what a flag serves in an environment now; decisions of the worker change it, '
    'flag_state_history keeps every version';
COMMENT ON COLUMN flagscope.flag_state.id IS 'number of the state, the same over all its versions';
COMMENT ON COLUMN flagscope.flag_state.flag IS 'key of the flag';
COMMENT ON COLUMN flagscope.flag_state.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.flag_state.enabled IS 'is it served; else callers get their own default';
COMMENT ON COLUMN flagscope.flag_state.rollout_id IS 'the rollout that splits its users; NULL: none';
COMMENT ON COLUMN flagscope.flag_state.treatment IS 'variant that the rollout serves';
COMMENT ON COLUMN flagscope.flag_state.control IS 'variant that the others get during a rollout';
COMMENT ON COLUMN flagscope.flag_state.changed_at IS 'when this version began';
COMMENT ON COLUMN flagscope.flag_state.reason IS 'why it was changed';
COMMENT ON COLUMN flagscope.flag_state.default_variant IS
    'served when nothing else decides; NULL: the caller''s own default';
COMMENT ON COLUMN flagscope.flag_state.targeting IS
    'JsonLogic rule with flagd''s operators that yields a variant''s name, '
    'or null for the rollout''s split or the default variant';
COMMENT ON COLUMN flagscope.flag_state.prerequisites IS
    'JSON array of {"flag", "variant"}: other flags that must serve a variant, else the default variant is served';
COMMENT ON COLUMN flagscope.flag_state.percent IS
    'percentage of targeting keys to which a live rollout serves the treatment, exact to three decimals';
COMMENT ON COLUMN flagscope.flag_state.variants IS
    'overrides flag.variants in this environment (another URL in staging, say); NULL: no override';
COMMENT ON COLUMN flagscope.flag_state.metadata IS
    'overrides flag.metadata in this environment; NULL: no override';
COMMENT ON COLUMN flagscope.flag_state.version IS 'version of the last change; one sequence for all flags';
COMMENT ON COLUMN flagscope.flag_state.actor IS 'who made the last change: flagscope.actor, else the session''s role';
COMMENT ON COLUMN flagscope.flag_state.decision_id IS 'the decision that made the last change, if one did';

CREATE TABLE flagscope.flag_state_history (
    state_id        bigint NOT NULL,
    flag            text NOT NULL,
    environment     text NOT NULL,
    version         bigint NOT NULL,
    valid           tstzrange NOT NULL,
    enabled         boolean NOT NULL,
    default_variant text,
    targeting       jsonb,
    prerequisites   jsonb NOT NULL,
    rollout_id      bigint,
    treatment       text,
    control         text,
    percent         numeric(6,3),
    definition      jsonb NOT NULL,
    actor           text NOT NULL,
    reason          text NOT NULL,
    decision_id     bigint,
    transaction     xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (state_id, version),
    -- A range of a single value stands for equality, which would otherwise need the extension btree_gist.
    CONSTRAINT flag_state_history_never_overlaps
        EXCLUDE USING gist ((int8range(state_id, state_id, '[]')) WITH &&, valid WITH &&)
);
COMMENT ON TABLE flagscope.flag_state_history IS
    'every version of every flag state with its period of validity: "what was on at 14:03"; '
    'written by flag_state''s triggers';
COMMENT ON COLUMN flagscope.flag_state_history.state_id IS 'flag_state.id';
COMMENT ON COLUMN flagscope.flag_state_history.flag IS 'key of the flag';
COMMENT ON COLUMN flagscope.flag_state_history.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.flag_state_history.version IS 'version of the state';
COMMENT ON COLUMN flagscope.flag_state_history.enabled IS 'as in flag_state';
COMMENT ON COLUMN flagscope.flag_state_history.default_variant IS 'as in flag_state';
COMMENT ON COLUMN flagscope.flag_state_history.targeting IS 'as in flag_state';
COMMENT ON COLUMN flagscope.flag_state_history.prerequisites IS 'as in flag_state';
COMMENT ON COLUMN flagscope.flag_state_history.rollout_id IS 'as in flag_state';
COMMENT ON COLUMN flagscope.flag_state_history.treatment IS 'as in flag_state';
COMMENT ON COLUMN flagscope.flag_state_history.control IS 'as in flag_state';
COMMENT ON COLUMN flagscope.flag_state_history.percent IS 'as in flag_state';
COMMENT ON COLUMN flagscope.flag_state_history.actor IS 'who changed it';
COMMENT ON COLUMN flagscope.flag_state_history.reason IS 'why';
COMMENT ON COLUMN flagscope.flag_state_history.decision_id IS 'decision that changed it; NULL: a person, without one';
COMMENT ON COLUMN flagscope.flag_state_history.transaction IS 'transaction that wrote it';
COMMENT ON COLUMN flagscope.flag_state_history.definition IS
    'the complete flag as it was evaluated: variants, targeting, split, segments ...; evaluate_as_of() reads it, and '
    'environment_history for the metadata that all flags share';
COMMENT ON COLUMN flagscope.flag_state_history.valid IS
    'from the change to the next one; the current version has no upper bound';
CREATE INDEX flag_state_history_by_flag ON flagscope.flag_state_history (flag, environment, version);

CREATE TABLE flagscope.environment_history (
    environment text NOT NULL,
    version     bigint NOT NULL,
    valid       tstzrange NOT NULL,
    metadata    jsonb NOT NULL,
    actor       text NOT NULL,
    reason      text NOT NULL,
    PRIMARY KEY (environment, version)
);
COMMENT ON TABLE flagscope.environment_history IS
    'every version of an environment''s metadata with its period of validity; no metadata before the first one; '
    'written by environment''s triggers';
COMMENT ON COLUMN flagscope.environment_history.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.environment_history.valid IS 'when it was so';
COMMENT ON COLUMN flagscope.environment_history.metadata IS 'metadata of the environment then';
COMMENT ON COLUMN flagscope.environment_history.actor IS 'who changed it';
COMMENT ON COLUMN flagscope.environment_history.reason IS 'why';
COMMENT ON COLUMN flagscope.environment_history.version IS 'from the same sequence as versions of flag states';

-- Maintained by flag_state's triggers. Not dumped: transaction ids are meaningless in another cluster, and restoring
-- flag_state fills it again.
CREATE TABLE _flagscope.flag_change (
    environment text NOT NULL,
    flag        text NOT NULL,
    version     bigint NOT NULL,
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (environment, flag)
);
COMMENT ON TABLE _flagscope.flag_change IS
    'the last change of every flag in every environment, including deleted flags; '
    'read by flag_changes() and by the backends'' caches';
COMMENT ON COLUMN _flagscope.flag_change.flag IS
    'key of the flag; empty (no flag has that key): the environment''s metadata, which is part of every answer';
COMMENT ON COLUMN _flagscope.flag_change.version IS
    'version of the last change, which may be a deletion; negative: the row came from a restored dump';
COMMENT ON COLUMN _flagscope.flag_change.transaction IS
    'the transaction that made the change: lets readers who looked before its commit find it later';
CREATE INDEX flag_change_by_transaction ON _flagscope.flag_change (transaction, environment, version);

-- Relations without contents. An invalidation that names one of them tells every backend, on commit, which of its
-- caches are out of date (src/pg/cache.rs). Naming a real table would make all plans that use it be replanned as well.
CREATE TYPE _flagscope.flags_changed AS ();
COMMENT ON TYPE _flagscope.flags_changed IS
    'names an invalidation message: flags have changed, flag_change tells which';
CREATE TYPE _flagscope.environments_changed AS ();
COMMENT ON TYPE _flagscope.environments_changed IS
    'names an invalidation message: environments or segments have changed, so no cached flag is valid';
CREATE TYPE _flagscope.metrics_changed AS ();
COMMENT ON TYPE _flagscope.metrics_changed IS
    'names an invalidation message: what is counted when telemetry is written has changed';

CREATE VIEW flagscope.allocation AS
SELECT h.rollout_id, h.flag, h.environment, h.treatment, h.control, h.percent, h.valid, h.version
FROM flagscope.flag_state_history h
WHERE h.rollout_id IS NOT NULL AND h.enabled;
COMMENT ON VIEW flagscope.allocation IS
    'what percentage of users was to be served by each rollout, and when; derived from flag_state_history';
COMMENT ON COLUMN flagscope.allocation.rollout_id IS 'the rollout';
COMMENT ON COLUMN flagscope.allocation.flag IS 'key of the flag';
COMMENT ON COLUMN flagscope.allocation.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.allocation.treatment IS 'variant that is rolled out';
COMMENT ON COLUMN flagscope.allocation.control IS 'variant that it is compared with';
COMMENT ON COLUMN flagscope.allocation.percent IS 'share of users that it serves to';
COMMENT ON COLUMN flagscope.allocation.valid IS 'when that was so';
COMMENT ON COLUMN flagscope.allocation.version IS 'version of the flag''s state';
