-- Pages for people (src/core/page/): a rollout as a file, and what the gateway's console shows. SQL loads, Rust draws.

COMMENT ON FUNCTION _flagscope.render_rollout(jsonb) IS
    'the page of a rollout as HTML, made from rollout_page_data() (src/core/page/rollout/)';

CREATE FUNCTION flagscope.rollout_page(rollout_id bigint, at timestamptz DEFAULT clock_timestamp()) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT _flagscope.render_rollout(_flagscope.rollout_page_data(rollout_page.rollout_id, rollout_page.at)) $$;
COMMENT ON FUNCTION flagscope.rollout_page(bigint, timestamptz) IS
    'a rollout as one HTML file with everything in it: psql -At -c "SELECT flagscope.rollout_page(5)" -o report.html';

CREATE FUNCTION _flagscope.page_flags() RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- Only the rollouts that are shown, the last one of each flag, are asked what they wait for.
    WITH last AS (
        SELECT DISTINCT ON (r.flag, r.environment) r.flag, r.environment, r.id, r.status, r.treatment, r.stage,
            r.problem
        FROM flagscope.rollout r ORDER BY r.flag, r.environment, r.id DESC
    )
    SELECT jsonb_agg(jsonb_build_object('flag', s.flag, 'environment', s.environment, 'enabled', s.enabled,
        'archived', f.archived_at IS NOT NULL, 'variant', s.default_variant,
        'since', _flagscope.unix_seconds(s.changed_at),
        'rollout', CASE WHEN r.id IS NOT NULL THEN jsonb_build_object('id', r.id, 'status', r.status,
            'treatment', r.treatment, 'stage', r.stage, 'stages', b.stages, 'percent', b.percent,
            'waiting_for', left(b.waiting_for, 300), 'needs_approval', b.needs_approval,
            'since', _flagscope.unix_seconds(b.since), 'guardrail', g.name, 'guardrail_state', g.state,
            'problem', left(r.problem, 300), 'last_title', replace(b.last_action, '_', ' '),
            'last_reason', left(b.last_reason, 300)) END) ORDER BY s.flag, s.environment)
    FROM flagscope.flag_state s JOIN flagscope.flag_definition f ON f.key = s.flag
        LEFT JOIN last r ON r.flag = s.flag AND r.environment = s.environment
        -- From these to the view, and not a join with the whole of it: OFFSET 0.
        LEFT JOIN LATERAL (SELECT x.* FROM flagscope.bi_rollout x WHERE x.rollout_id = r.id OFFSET 0) b ON true
        LEFT JOIN LATERAL (SELECT g.name, t.state::text AS state
            FROM flagscope.guardrail_status t JOIN flagscope.guardrail g ON g.id = t.guardrail_id
            WHERE t.rollout_id = r.id AND NOT g.shadow
            ORDER BY _flagscope.state_place(t.state), g.priority DESC, g.id LIMIT 1) g ON true;
$$;
COMMENT ON FUNCTION _flagscope.page_flags() IS
    'of the page of all flags and rollouts: each flag in each environment with its last rollout';

CREATE FUNCTION _flagscope.overview_data() RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- Not flagscope.health: that asks each live rollout, two milliseconds apiece. What it found is an alert.
    SELECT jsonb_build_object('at', _flagscope.unix_seconds(clock_timestamp()), 'flags', _flagscope.page_flags(),
        'health', (SELECT jsonb_agg(jsonb_build_object('name', h.name, 'state', h.state, 'reason', left(h.detail, 1000))
                ORDER BY h.state <> 'critical', h.name)
            FROM (SELECT 'judging' AS name, j.state, j.detail FROM _flagscope.judging() j
                UNION ALL SELECT t.name, t.state, t.detail FROM _flagscope.store_states() t
                UNION ALL SELECT a.name, 'critical', a.detail FROM _flagscope.alert a
                    WHERE a.name LIKE 'rollout %') h
            WHERE h.state <> 'ok'));
$$;
COMMENT ON FUNCTION _flagscope.overview_data() IS
    'what the page of all flags and rollouts shows (src/core/page/data/: Overview)';

CREATE FUNCTION _flagscope.trace_page_data(trace_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    found jsonb;
BEGIN
    WITH item AS MATERIALIZED (
        SELECT t.*, row_number() OVER () AS place FROM flagscope.trace(trace_page_data.trace_id) t
    )
    SELECT jsonb_build_object('trace_id', trace_page_data.trace_id, 'at', _flagscope.unix_seconds(clock_timestamp()),
        'rows', count(*), 'spans', jsonb_agg(jsonb_build_object('depth', i.depth, 'signal', i.signal,
            'name', left(i.name, 500), 'at', _flagscope.unix_seconds(i.ts), 'after', i.after, 'duration', i.duration,
            'self_duration', i.self_duration, 'is_error', i.is_error, 'service', left(i.service, 300),
            'subject', left(i.subject, 300), 'flags', i.flags, 'body', left(i.body, 2000),
            'problems', (SELECT jsonb_agg(left(concat_ws(': ', x.event #>> '{attributes,exception.type}',
                    x.event #>> '{attributes,exception.message}'), 1000))
                FROM jsonb_array_elements(CASE jsonb_typeof(i.attributes #> '{otlp,events}')
                    WHEN 'array' THEN i.attributes #> '{otlp,events}' END) x(event)
                WHERE x.event ->> 'name' = 'exception'),
            'attributes', CASE jsonb_typeof(i.attributes) WHEN 'object' THEN i.attributes - 'otlp' END)
            ORDER BY i.place) FILTER (WHERE i.place <= 500),
        'rollouts', (SELECT jsonb_agg(r.id ORDER BY r.id) FROM flagscope.rollout r
            WHERE r.flag IN (SELECT k.key FROM item y, LATERAL jsonb_object_keys(y.flags) k(key))
                AND (SELECT min(y.ts) FROM item y) BETWEEN r.started_at AND coalesce(r.ended_at, 'infinity')))
    INTO found FROM item i;
    IF (found ->> 'rows')::bigint = 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = _flagscope.message('there is no trace %s', coalesce(trace_page_data.trace_id::text, 'NULL')),
            HINT = 'Telemetry is kept for setting telemetry.retention; the trace may be older, or was never sent.';
    END IF;
    RETURN found;
END $$;
COMMENT ON FUNCTION _flagscope.trace_page_data(uuid) IS
    'what the page of a trace shows, of its first 500 rows (src/core/page/data/: TracePage)';
