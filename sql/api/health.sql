-- Health of rollouts, judged at every tick from the exposures that it consumes.

COMMENT ON FUNCTION flagscope._share_increment(float8, bigint, bigint) IS
    'what newly assigned units add to the evidence of a mismatch: nominal share of the treatment, its units, the other units (statistics.md S)';
COMMENT ON FUNCTION flagscope._share_log_e(float8[]) IS 'natural log of the e-value of such evidence';

CREATE TYPE flagscope.exposed AS (rollout_id bigint, subject text, variant text, first_ts timestamptz, last_ts timestamptz, live boolean);
COMMENT ON TYPE flagscope.exposed IS
    'a unit and a variant that it was served, among what one tick consumed; live: its rollout is, else it is on watch after completion';

CREATE FUNCTION flagscope._consume_exposures(at timestamptz) RETURNS flagscope.exposed[]
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    WITH watched AS MATERIALIZED (
        SELECT r.id, r.flag, r.environment FROM flagscope.rollout r WHERE flagscope._is_watched(r, at)
            AND EXISTS (SELECT FROM flagscope.unit_delta d WHERE d.flag = r.flag AND d.environment = r.environment)
    ), free AS MATERIALIZED (
        -- The tick waits for nobody: exposures of a rollout that somebody's open transaction is changing are left for later.
        SELECT r.id FROM flagscope.rollout r WHERE r.id IN (SELECT w.id FROM watched w) ORDER BY r.id FOR NO KEY UPDATE OF r SKIP LOCKED
    ), taken AS (
        DELETE FROM flagscope.unit_delta d WHERE NOT EXISTS (SELECT FROM watched w
            WHERE w.flag = d.flag AND w.environment = d.environment AND w.id NOT IN (SELECT f.id FROM free f)) RETURNING *)
    SELECT coalesce(array_agg(ROW(x.*)::flagscope.exposed), '{}') FROM (
        SELECT r.id, CASE WHEN octet_length(t.subject) > 255 THEN md5(t.subject) ELSE t.subject END, t.variant, min(t.ts), max(t.ts), r.status <> 'completed'
        FROM taken t JOIN flagscope.rollout r ON r.flag = t.flag AND r.environment = t.environment
            AND flagscope._is_watched(r, at) AND t.ts >= r.started_at AND t.variant IN (r.treatment, r.control)
        GROUP BY 1, 2, 3
    ) x;
$$;
COMMENT ON FUNCTION flagscope._consume_exposures(timestamptz) IS 'takes every committed exposure of a rollout that is live or on watch, once';

CREATE FUNCTION flagscope._note_units(exposed flagscope.exposed[])
RETURNS TABLE (rollout_id bigint, percent numeric, n_treatment bigint, n_control bigint)
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    WITH added AS (
        INSERT INTO flagscope.unit AS u (rollout_id, subject, variant, first_seen, treated_at)
        SELECT DISTINCT ON (e.rollout_id, e.subject) e.rollout_id, e.subject, e.variant, e.first_ts,
            min(e.first_ts) FILTER (WHERE e.variant = r.treatment) OVER (PARTITION BY e.rollout_id, e.subject)
        FROM unnest(exposed) e JOIN flagscope.rollout r ON r.id = e.rollout_id
        ORDER BY e.rollout_id, e.subject, e.first_ts, e.variant
        ON CONFLICT (rollout_id, subject) DO UPDATE SET treated_at = excluded.treated_at
            WHERE u.treated_at IS NULL AND excluded.treated_at IS NOT NULL
        RETURNING u.rollout_id, u.variant, u.first_seen, u.xmax = 0 AS is_new
    )
    -- A unit counts with the share that was served when it came: the history of the flag says so.
    SELECT a.rollout_id, h.percent, count(*) FILTER (WHERE a.variant = r.treatment), count(*) FILTER (WHERE a.variant <> r.treatment)
    FROM added a JOIN flagscope.rollout r ON r.id = a.rollout_id
        JOIN flagscope.allocation h ON h.rollout_id = a.rollout_id AND h.valid @> a.first_seen
    WHERE a.is_new GROUP BY a.rollout_id, h.percent;
$$;
COMMENT ON FUNCTION flagscope._note_units(flagscope.exposed[]) IS
    'remembers units, and returns the new ones by the share that was served when they came';

CREATE FUNCTION flagscope._note_crossings(exposed flagscope.exposed[]) RETURNS TABLE (rollout_id bigint, n bigint)
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    WITH back AS MATERIALIZED (
        SELECT e.rollout_id, e.subject, e.last_ts FROM unnest(exposed) e JOIN flagscope.rollout r ON r.id = e.rollout_id
        WHERE e.variant = r.control
            AND NOT EXISTS (SELECT FROM flagscope.decision d WHERE d.rollout_id = r.id AND d.to_percent < d.from_percent)
    ), found AS MATERIALIZED (
        -- One look into the index for each: LIMIT keeps the planner, who takes an array for ten rows, from scanning all of
        -- the array for every unit (12 s a tick at 7,500 exposures a second).
        SELECT x.place FROM back b, LATERAL (SELECT u.ctid AS place FROM flagscope.unit u
            WHERE u.rollout_id = b.rollout_id AND u.subject = b.subject AND NOT u.crossed AND b.last_ts > u.treated_at LIMIT 1) x
    ), crossed AS (
        UPDATE flagscope.unit u SET crossed = true FROM found f WHERE u.ctid = f.place RETURNING u.rollout_id
    )
    SELECT c.rollout_id, count(*) FROM crossed c GROUP BY 1;
$$;
COMMENT ON FUNCTION flagscope._note_crossings(flagscope.exposed[]) IS
    'marks units that went back from treatment to control though the rollout never narrowed; returns how many';

CREATE FUNCTION flagscope._decided_otherwise(rollout_id bigint) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT flagscope._not_by_chance(s, r.treatment, r.control) FROM flagscope.rollout r
        JOIN flagscope.flag_state s ON s.flag = r.flag AND s.environment = r.environment WHERE r.id = _decided_otherwise.rollout_id;
$$;
COMMENT ON FUNCTION flagscope._decided_otherwise(bigint) IS 'why a rollout''s users are not assigned by its split alone; NULL: they are';

CREATE FUNCTION flagscope._gather_health(exposed flagscope.exposed[], at timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO flagscope.rollout_health (rollout_id, rule)
    SELECT DISTINCT e.rollout_id, rule FROM unnest(exposed) e, unnest(enum_range(NULL::flagscope.health_rule)) rule ON CONFLICT DO NOTHING;
    UPDATE flagscope.rollout_health h SET n_treatment = h.n_treatment + x.n_t, n_control = h.n_control + x.n_c, expected = h.expected + x.expected,
        evidence = x.evidence, max_log_e = greatest(h.max_log_e, flagscope._share_log_e(x.evidence))
    FROM (
        SELECT n.rollout_id, sum(n.n_treatment)::bigint AS n_t, sum(n.n_control)::bigint AS n_c, sum((n.n_treatment + n.n_control) * n.percent / 100)::float8 AS expected,
            (SELECT array_agg(coalesce(o.evidence[j], 0) + i.increment ORDER BY j) FROM flagscope.rollout_health o, LATERAL (
                SELECT x.j, sum(x.increment) AS increment FROM unnest(array_agg(n.percent), array_agg(n.n_treatment), array_agg(n.n_control)) s(percent, n_t, n_c),
                    LATERAL unnest(flagscope._share_increment((s.percent / 100)::float8, s.n_t, s.n_c)) WITH ORDINALITY x(increment, j) GROUP BY x.j) i
             WHERE o.rollout_id = n.rollout_id AND o.rule = 'split') AS evidence
        FROM flagscope._note_units(exposed) n WHERE n.percent > 0 AND n.percent < 100 GROUP BY n.rollout_id
        -- Units that targeting has put into an arm say nothing of the split, then or later.
        HAVING flagscope._decided_otherwise(n.rollout_id) IS NULL
    ) x
    WHERE h.rollout_id = x.rollout_id AND h.rule = 'split';
    UPDATE flagscope.rollout_health h SET n_treatment = h.n_treatment + c.n FROM flagscope._note_crossings(exposed) c
    WHERE h.rollout_id = c.rollout_id AND h.rule = 'crossing';
    UPDATE flagscope.rollout_health h SET last_at = at WHERE h.rule = 'traffic'
        AND EXISTS (SELECT FROM unnest(exposed) e JOIN flagscope.rollout r ON r.id = e.rollout_id WHERE r.id = h.rollout_id AND e.variant = r.treatment);
$$;
COMMENT ON FUNCTION flagscope._gather_health(flagscope.exposed[], timestamptz) IS 'counts and evidence of health rules after the exposures of one tick';

CREATE FUNCTION flagscope._health_state(h flagscope.rollout_health, split flagscope.rollout_health, otherwise text, since timestamptz, at timestamptz,
    OUT state flagscope.data_state, OUT reason text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN h.rule = 'split' AND otherwise IS NULL AND h.max_log_e >= -ln(flagscope._setting_number('health.alpha')) THEN 'breached'
        WHEN h.rule = 'crossing' AND otherwise IS NULL AND h.n_treatment >= greatest(10, flagscope._setting_number('health.crossing') * (split.n_treatment + split.n_control)) THEN 'breached'
        WHEN h.rule = 'traffic' AND h.last_at < at - flagscope._setting_interval('health.quiet_after') THEN 'stale'
        -- There are rules only where somebody was exposed, so the control was; rollouts whose exposures nobody sends have none.
        WHEN h.rule = 'traffic' AND h.last_at IS NULL AND since < at - flagscope._setting_interval('health.quiet_after') THEN 'no_data'
        ELSE 'ok' END::flagscope.data_state,
    CASE h.rule
        WHEN 'split' THEN CASE WHEN otherwise IS NOT NULL THEN 'not judged: ' || otherwise ELSE
            format('%s of %s new units got the treatment, %s were to (ln e %s, the line is %s)', h.n_treatment, h.n_treatment + h.n_control,
                round(h.expected::numeric, 1), round(h.max_log_e::numeric, 2), round(-ln(flagscope._setting_number('health.alpha'))::numeric, 2)) END
        WHEN 'crossing' THEN CASE WHEN otherwise IS NOT NULL THEN 'not judged: ' || otherwise ELSE
            format('%s of %s units went back from treatment to control', h.n_treatment, split.n_treatment + split.n_control) END
        ELSE CASE WHEN h.last_at IS NULL THEN format('no exposure to the treatment yet, though the control has some; the stage began at %s UTC', to_char(since AT TIME ZONE 'UTC', 'HH24:MI:SS'))
            ELSE format('last exposure to the treatment at %s UTC', to_char(h.last_at AT TIME ZONE 'UTC', 'HH24:MI:SS')) END END;
$$;
COMMENT ON FUNCTION flagscope._health_state(flagscope.rollout_health, flagscope.rollout_health, text, timestamptz, timestamptz) IS
    'state and reason of a health rule, since when the stage lasts; a mismatch cannot be judged where targeting puts users into variants, too';

CREATE FUNCTION flagscope._judge_health(at timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    WITH news AS MATERIALIZED (
        SELECT o.rollout_id, o.rule, x.state, x.reason
        FROM flagscope.rollout_health o
            JOIN flagscope.rollout r ON r.id = o.rollout_id AND r.status IN ('running', 'paused', 'held')
            JOIN flagscope.flag_state s ON s.flag = r.flag AND s.environment = r.environment
            JOIN flagscope.rollout_health split ON split.rollout_id = o.rollout_id AND split.rule = 'split',
            LATERAL flagscope._health_state(o, split, CASE WHEN s.targeting IS NOT NULL OR s.prerequisites <> '[]' THEN flagscope._not_by_chance(s, r.treatment, r.control) END, r.stage_started_at, at) x
        WHERE (x.state, x.reason) IS DISTINCT FROM (o.state, o.reason)
    ), free AS MATERIALIZED (
        -- What somebody's open transaction has changed is judged when he is done.
        SELECT h.rollout_id, h.rule FROM flagscope.rollout_health h JOIN news n ON n.rollout_id = h.rollout_id AND n.rule = h.rule
        FOR NO KEY UPDATE OF h SKIP LOCKED
    )
    UPDATE flagscope.rollout_health h SET state = n.state, reason = n.reason, told_at = CASE WHEN n.state = h.state THEN h.told_at END
    FROM free f JOIN news n ON n.rollout_id = f.rollout_id AND n.rule = f.rule WHERE h.rollout_id = f.rollout_id AND h.rule = f.rule;
$$;
COMMENT ON FUNCTION flagscope._judge_health(timestamptz) IS 'state and reason of the health rules of live rollouts';

CREATE FUNCTION flagscope._watch_health(at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    exposed flagscope.exposed[];
BEGIN
    -- In a subtransaction: what fails here must not stop the judgement; the exposures are then looked at again.
    exposed := flagscope._consume_exposures(at);
    IF exposed <> '{}' THEN
        PERFORM flagscope._gather_health(ARRAY(SELECT e FROM unnest(exposed) e WHERE e.live), at);
        -- A completed rollout has no split, no way back and no ramp any more; but metrics that are queries count its units.
        PERFORM flagscope._note_units(ARRAY(SELECT e FROM unnest(exposed) e WHERE NOT e.live));
    END IF;
    PERFORM flagscope._judge_health(at);
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING USING ERRCODE = SQLSTATE, MESSAGE = format('health of rollouts could not be judged: %s', SQLERRM);
    -- Not known is not ok: the ramps wait until it is judged again.
    UPDATE flagscope.rollout_health h SET state = 'error', reason = SQLERRM, told_at = NULL
    FROM (SELECT x.rollout_id, x.rule FROM flagscope.rollout_health x WHERE x.state <> 'error'
        AND x.rollout_id IN (SELECT r.id FROM flagscope.rollout r WHERE r.status IN ('running', 'paused', 'held')) FOR NO KEY UPDATE SKIP LOCKED) free
    WHERE h.rollout_id = free.rollout_id AND h.rule = free.rule;
END $$;
COMMENT ON FUNCTION flagscope._watch_health(timestamptz) IS 'health rules in one tick';

CREATE FUNCTION flagscope._renew_health(rollout_id bigint) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE flagscope.rollout_health h SET state = 'ok', reason = 'resumed: counted anew', evidence = '{}', max_log_e = 0, n_treatment = 0, n_control = 0,
        expected = 0, told_at = NULL WHERE h.rollout_id = _renew_health.rollout_id AND (h.rule <> 'traffic' AND h.state = 'breached'
        -- Crossings are counted beside the units of the split: they begin anew together.
        OR h.rule = 'crossing' AND EXISTS (SELECT FROM flagscope.rollout_health s WHERE s.rollout_id = h.rollout_id AND s.rule = 'split' AND s.state = 'breached'));
$$;
COMMENT ON FUNCTION flagscope._renew_health(bigint) IS 'after a resume by a person what was breached is counted anew';

CREATE FUNCTION flagscope._tell_health(r flagscope.rollout, at timestamptz) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    h flagscope.rollout_health;
    told integer := 0;
BEGIN
    FOR h IN SELECT * FROM flagscope.rollout_health x WHERE x.rollout_id = r.id AND x.state <> 'ok' AND x.told_at IS NULL ORDER BY x.rule LOOP
        told := told + (flagscope._decide(r.id, 'warn', 'flagscope', format('%s: %s', h.rule, h.reason), at,
            evidence => jsonb_build_object('state', h.state || ' ' || h.rule || ' ' || extract(epoch FROM at), 'n_treatment', h.n_treatment, 'n_control', h.n_control,
                'expected', h.expected, 'log_e', h.max_log_e)) IS NOT NULL)::integer;
        UPDATE flagscope.rollout_health x SET told_at = at WHERE x.rollout_id = r.id AND x.rule = h.rule;
    END LOOP;
    RETURN told;
END $$;
COMMENT ON FUNCTION flagscope._tell_health(flagscope.rollout, timestamptz) IS 'warns once of each health rule that is not ok; returns the number of decisions';
