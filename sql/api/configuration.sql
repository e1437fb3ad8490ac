-- Functions that fill the caches of the backends, and triggers that invalidate them. The functions run with the owner's
-- rights, so that a role that may only write telemetry or evaluate flags needs no right on the underlying tables.

CREATE FUNCTION _flagscope.cuts(rollout_id bigint, started_at timestamptz, stage_started_at timestamptz)
RETURNS SETOF timestamptz
LANGUAGE sql STABLE
BEGIN ATOMIC
    -- The last ones will do: what comes later than that by some stages is compared by whole buckets.
    SELECT x.at FROM (
        SELECT started_at AS at UNION SELECT stage_started_at
        UNION (SELECT d.at FROM flagscope.decision d WHERE d.rollout_id = cuts.rollout_id AND NOT d.shadow
            AND d.action IN ('start', 'advance', 'step_back', 'resume') ORDER BY d.id DESC LIMIT 16)) x
    WHERE isfinite(x.at);
END;
COMMENT ON FUNCTION _flagscope.cuts(bigint, timestamptz, timestamptz) IS
    'when the allocation of a rollout changed, given its id, its start and that of its stage: start, stages, '
    'step back, resume; no stratum has rows from both sides of such a moment';

CREATE FUNCTION _flagscope.signal_labels() RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_object_agg(e.enumlabel, e.oid::bigint) FROM pg_enum e WHERE e.enumtypid = 'flagscope.signal'::regtype;
$$;
COMMENT ON FUNCTION _flagscope.signal_labels() IS 'OIDs of the labels of type signal, by which rows are read';

CREATE FUNCTION _flagscope.configuration() RETURNS jsonb
-- Pinned digits: with fewer, set in some writer's session, the cap would differ from the one in the table.
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
    SELECT jsonb_build_object(
        'signals', _flagscope.signal_labels(),
        'environments', (SELECT jsonb_object_agg(n, e.key)
            FROM flagscope.environment_definition e, LATERAL unnest(e.aliases || e.key) n),
        'watches', (SELECT coalesce(jsonb_agg(DISTINCT jsonb_build_object('flag', g.flag, 'environment', g.environment,
                'variants', (SELECT jsonb_agg(k) FROM jsonb_object_keys(_flagscope.variants(g.flag, g.environment)) k),
                'of_environment', g.scope = 'environment',
                'metric', m.name, 'kind', m.kind, 'signal', m.signal, 'filter', m.filter, 'event', m.event,
                'per', m.per, 'cap', m.cap, 'sum_values', m.sum_values)), '[]')
            FROM flagscope.guardrail g JOIN flagscope.metric_definition m ON m.name = g.metric
            WHERE g.enabled AND NOT _flagscope.is_polled(m)),
        -- Live rollouts and completed ones still followed up; the end of that needs no invalidation,
        -- as exposures have times.
        'rollouts', (SELECT coalesce(jsonb_agg(jsonb_build_object('flag', r.flag, 'environment', r.environment,
                'treatment', r.treatment, 'control', r.control,
                'since', round(1000000 * extract(epoch FROM r.stage_started_at - '2000-01-01 00:00:00+00'))::bigint,
                'cuts', (SELECT coalesce(jsonb_agg(round(1000000
                    * extract(epoch FROM c - '2000-01-01 00:00:00+00'))::bigint), '[]')
                    FROM _flagscope.cuts(r.id, r.started_at, r.stage_started_at) c),
                'until', CASE WHEN isfinite(r.follow_up_until)
                    THEN round(1000000
                        * extract(epoch FROM r.follow_up_until - '2000-01-01 00:00:00+00'))::bigint END)), '[]')
            FROM flagscope.rollout r WHERE r.status IN ('running', 'paused', 'held') OR r.follow_up_until IS NOT NULL),
        'trace_window', extract(epoch FROM _flagscope.setting_interval('attribution.trace_window'))::float8,
        'subject_window', extract(epoch FROM _flagscope.setting_interval('attribution.subject_window'))::float8);
$$;
COMMENT ON FUNCTION _flagscope.configuration() IS
    'the configuration compiled by the ingest trigger: OIDs of the signals; environments by key and alias; by flag the '
    'metrics that an enabled guardrail reads (except those counted by ticks); the flags whose exposures count, '
    'being rolled out or watched (start of the stage, end, and when the allocation changed, microseconds since 2000); '
    'and the windows of attribution (s)';

CREATE FUNCTION _flagscope.load_environment(name text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT e.key FROM flagscope.environment_definition e
        WHERE load_environment.name = e.key OR load_environment.name = ANY (e.aliases));
END $$;
COMMENT ON FUNCTION _flagscope.load_environment(text) IS
    'key of an environment by key or alias, NULL for an unknown one';

-- A generic plan by index is kept even while the tables are small: planning took longer than answering.
CREATE FUNCTION _flagscope.load_changes(since bigint, most integer)
RETURNS TABLE (cursor bigint, environment text, flag text, version bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $$
BEGIN
    -- What is not visible now belongs to a transaction that is still running, or to a later one.
    RETURN QUERY SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, NULL::text, NULL::text, NULL::bigint;
    RETURN QUERY SELECT NULL::bigint, c.environment, c.flag, c.version
        FROM _flagscope.flag_change c WHERE c.transaction >= since::text::xid8 AND c.flag <> '' LIMIT most;
END $$;
COMMENT ON FUNCTION _flagscope.load_changes(bigint, integer) IS
    'the cursor for the next call, and the flags that may have changed since the given one';

-- All that an evaluation reads, column by column: building one JSON document took twice as long.
CREATE VIEW _flagscope.served_flag AS
SELECT s.flag, s.environment, s.version, f.archived_at IS NOT NULL AS archived, s.xmin AS state_by, f.xmin AS flag_by,
    f.value_type::text AS value_type, s.enabled AND f.archived_at IS NULL AS enabled,
    coalesce(s.variants, f.variants)::text AS variants, s.default_variant, s.targeting::text AS targeting,
    f.bucketing::text AS bucketing,
    CASE WHEN s.rollout_id IS NOT NULL THEN s.treatment END AS treatment, s.control, s.percent::float8 AS percent,
    s.prerequisites::text AS prerequisites, coalesce(s.metadata, f.metadata)::text AS metadata,
    e.metadata::text AS set_metadata,
    CASE WHEN s.targeting @? 'strict $.**."$ref"' THEN _flagscope.segments_of(s.targeting, s.environment)::text
        ELSE '{}' END AS segments
FROM flagscope.flag_state s JOIN flagscope.flag_definition f ON f.key = s.flag
    JOIN flagscope.environment_definition e ON e.key = s.environment;
COMMENT ON VIEW _flagscope.served_flag IS 'flags as cached by the backends, with the transactions that wrote them';

CREATE FUNCTION _flagscope.load_flags(environment text, flags text[]) RETURNS SETOF _flagscope.served_flag
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $$
BEGIN
    RETURN QUERY SELECT s.* FROM _flagscope.served_flag s
        WHERE s.flag = ANY (flags) AND s.environment = load_flags.environment;
END $$;
COMMENT ON FUNCTION _flagscope.load_flags(text, text[]) IS 'some flags as cached by evaluate()';

CREATE FUNCTION _flagscope.load_flags_after(environment text, after text, most integer)
RETURNS SETOF _flagscope.served_flag
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT s.* FROM _flagscope.served_flag s
        WHERE s.flag > after AND s.environment = load_flags_after.environment ORDER BY s.flag LIMIT most;
END $$;
COMMENT ON FUNCTION _flagscope.load_flags_after(text, text, integer) IS
    'like load_flags, for the next flags in the order of keys: fills the cache of a session that uses many';

CREATE FUNCTION _flagscope.load_flag_keys(environment text) RETURNS SETOF text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT s.flag FROM flagscope.flag_state s JOIN flagscope.flag_definition f ON f.key = s.flag
        WHERE s.environment = _flagscope.environment(nullif(load_flag_keys.environment, '')) AND f.archived_at IS NULL
        ORDER BY s.flag;
END $$;
COMMENT ON FUNCTION _flagscope.load_flag_keys(text) IS
    'the flags of an environment as cached by evaluate_all(), without archived ones';

COMMENT ON FUNCTION _flagscope.announce_change() IS
    'trigger: invalidates on commit what every backend has cached of a topic (flags, environments or metrics)';
CREATE TRIGGER announce_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.environment_definition
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.announce_change('environments');
CREATE TRIGGER announce_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.segment
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.announce_change('environments');
-- By its name it fires after the trigger that writes flag_change, so that backends find what has changed. Rows of table
-- flag need none: what is served of them is part of their states, which are updated with them.
CREATE TRIGGER tell_flags_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.flag_state
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.announce_change('flags');
ALTER TABLE flagscope.environment_definition ENABLE ALWAYS TRIGGER announce_change;
ALTER TABLE flagscope.segment ENABLE ALWAYS TRIGGER announce_change;
ALTER TABLE flagscope.flag_state ENABLE ALWAYS TRIGGER tell_flags_changed;
CREATE TRIGGER announce_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.metric_definition
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.announce_change('metrics');
CREATE TRIGGER announce_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.guardrail
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.announce_change('metrics');
CREATE TRIGGER announce_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON flagscope.setting
    FOR EACH STATEMENT EXECUTE FUNCTION _flagscope.announce_change('metrics');
ALTER TABLE flagscope.metric_definition ENABLE ALWAYS TRIGGER announce_change;
ALTER TABLE flagscope.guardrail ENABLE ALWAYS TRIGGER announce_change;
ALTER TABLE flagscope.setting ENABLE ALWAYS TRIGGER announce_change;
