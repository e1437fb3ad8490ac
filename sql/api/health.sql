-- Health of rollouts, judged at every tick from the exposures that it consumes.

COMMENT ON FUNCTION _flagscope.share_increment(float8, bigint, bigint) IS
    'increment of the evidence of a sample ratio mismatch: nominal share of the treatment, its new units, '
    'the other new units (test S of src/core/stats/README.md)';
COMMENT ON FUNCTION _flagscope.share_log_e(float8[]) IS 'natural log of the e-value of such evidence';

CREATE TYPE _flagscope.exposed AS (rollout_id bigint, percent numeric, n_treatment bigint, n_control bigint,
    crossed bigint, treated boolean);
COMMENT ON TYPE _flagscope.exposed IS
    'summary of a slice of exposures for a live rollout: new units by the percentage served when they came, '
    'units that went back from treatment to control although the rollout never stepped back, '
    'and whether anybody was served the treatment';

CREATE FUNCTION _flagscope.consume_exposures(at timestamptz, most integer, busy bigint[],
    OUT exposed _flagscope.exposed[], OUT taken bigint, OUT left_to bigint[])
-- The planner assumes ten rows for an array and for reading by ctid, and would sort everything for grouping. The
-- settings force one plan for all slices that never reads all units.
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan
    SET enable_sort = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    WITH chosen AS MATERIALIZED (
        SELECT d.ctid AS place, d.flag, d.environment FROM _flagscope.subject_delta d WHERE NOT EXISTS (
            SELECT FROM flagscope.rollout r
            WHERE r.id = ANY (busy) AND r.flag = d.flag AND r.environment = d.environment)
        LIMIT most
    ), watched AS MATERIALIZED (
        -- Exposures that still waited when their rollout ended count as its units all the same.
        SELECT r.id, r.flag, r.environment FROM flagscope.rollout r
        WHERE (_flagscope.is_watched(r, at) OR greatest(r.ended_at, r.follow_up_until) > at - interval '1 hour')
            AND (r.flag, r.environment) IN (SELECT c.flag, c.environment FROM chosen c)
    ), mine AS MATERIALIZED (
        -- A tick never waits for a lock: exposures of rollouts whose health rows are locked are left for later.
        SELECT h.rollout_id FROM flagscope.rollout_health h WHERE h.rollout_id IN (SELECT w.id FROM watched w)
        FOR NO KEY UPDATE SKIP LOCKED
    ), free AS MATERIALIZED (
        SELECT w.id FROM watched w WHERE (SELECT count(*) FROM mine m WHERE m.rollout_id = w.id)
            = (SELECT count(*) FROM flagscope.rollout_health h WHERE h.rollout_id = w.id)
    ), left_over AS MATERIALIZED (
        SELECT w.id, w.flag, w.environment FROM watched w WHERE w.id NOT IN (SELECT f.id FROM free f)
    ), taken AS (
        DELETE FROM _flagscope.subject_delta d WHERE d.ctid = ANY (ARRAY(SELECT c.place FROM chosen c
            WHERE NOT EXISTS (SELECT FROM left_over l WHERE l.flag = c.flag AND l.environment = c.environment)))
        RETURNING *
    ), own AS MATERIALIZED (
        SELECT r.*, r.status IN ('running', 'paused', 'held') AS live,
            CASE r.status WHEN 'completed' THEN greatest(r.ended_at, r.follow_up_until)
                ELSE coalesce(r.ended_at, 'infinity') END AS until,
            -- After a step back, returning to the control is intended.
            r.status IN ('running', 'paused', 'held')
                AND NOT EXISTS (SELECT FROM flagscope.decision d
                    WHERE d.rollout_id = r.id AND d.to_percent < d.from_percent) AS stays
        FROM flagscope.rollout r WHERE r.id IN (SELECT f.id FROM free f)
    ), served AS MATERIALIZED (
        SELECT r.id AS rollout_id,
            CASE WHEN octet_length(t.subject) > 255 THEN md5(t.subject) ELSE t.subject END AS subject, r.stays,
            min(t.ts) FILTER (WHERE t.variant = r.treatment) AS treated_at,
            min(t.ts) FILTER (WHERE t.variant = r.control) AS control_at,
            max(t.ts) FILTER (WHERE t.variant = r.control) AS control_last
        FROM taken t JOIN own r ON r.flag = t.flag AND r.environment = t.environment
            AND t.ts >= r.started_at AND t.ts < r.until AND t.variant IN (r.treatment, r.control)
        GROUP BY 1, 2, 3
    ), added AS (
        -- Ticks do not run concurrently, so units found here existed before.
        INSERT INTO flagscope.rollout_subject (rollout_id, subject, variant, first_seen, treated_at, crossed)
        SELECT s.rollout_id, s.subject,
            CASE WHEN s.control_at IS NULL OR s.treated_at < s.control_at THEN r.treatment
                WHEN s.treated_at IS NULL OR s.control_at < s.treated_at THEN r.control
                ELSE least(r.treatment, r.control) END,
            least(s.treated_at, s.control_at), s.treated_at, s.stays AND coalesce(s.control_last > s.treated_at, false)
        FROM served s JOIN own r ON r.id = s.rollout_id ORDER BY s.rollout_id, s.subject  -- as the index has them
        ON CONFLICT (rollout_id, subject) DO NOTHING RETURNING rollout_id, subject, variant, first_seen, crossed
    ), old AS MATERIALIZED (
        SELECT s.* FROM served s WHERE (s.rollout_id, s.subject) NOT IN (SELECT a.rollout_id, a.subject FROM added a)
    ), known AS MATERIALIZED (
        -- One index lookup for each; without LIMIT the planner scanned all served units for every unit (12 s a tick at
        -- 7,500 exposures a second).
        SELECT s.rollout_id, u.place, s.treated_at,
            s.stays AND NOT u.crossed AND s.control_last > coalesce(u.treated_at, s.treated_at) AS crosses
        FROM old s, LATERAL (SELECT u.ctid AS place, u.treated_at, u.crossed FROM flagscope.rollout_subject u
            WHERE u.rollout_id = s.rollout_id AND u.subject = s.subject LIMIT 1) u
        WHERE u.treated_at IS NULL AND s.treated_at IS NOT NULL
            OR s.stays AND NOT u.crossed AND s.control_last > coalesce(u.treated_at, s.treated_at)
    ), changed AS (
        UPDATE flagscope.rollout_subject u
        SET treated_at = coalesce(u.treated_at, k.treated_at), crossed = u.crossed OR coalesce(k.crosses, false)
        FROM known k WHERE u.ctid = k.place
    ), share AS MATERIALIZED (
        SELECT h.rollout_id, h.percent, h.valid
        FROM flagscope.allocation h WHERE h.rollout_id IN (SELECT o.id FROM own o)
    ), live AS (
        SELECT o.id FROM own o WHERE o.live AND o.id IN (SELECT s.rollout_id FROM served s)
    ), news AS (
        SELECT a.rollout_id, h.percent, count(*) FILTER (WHERE a.variant = r.treatment) AS n_treatment,
            count(*) FILTER (WHERE a.variant <> r.treatment) AS n_control
        FROM added a JOIN own r ON r.id = a.rollout_id
            -- A unit counts with the percentage that was served when it came, from the flag's history.
            -- Not in its first second: a change is dated within the tick and seen by others once that has committed.
            JOIN share h ON h.rollout_id = a.rollout_id AND h.valid @> a.first_seen
                AND h.valid @> a.first_seen - interval '1 second'
        WHERE a.rollout_id IN (SELECT l.id FROM live l) GROUP BY a.rollout_id, h.percent
    )
    SELECT ARRAY(
            SELECT ROW(n.rollout_id, n.percent, n.n_treatment, n.n_control, 0, false)::_flagscope.exposed FROM news n
            UNION ALL
            SELECT ROW(l.id, NULL, 0, 0, (SELECT count(*) FROM known k WHERE k.rollout_id = l.id AND k.crosses)
                    + (SELECT count(*) FROM added a WHERE a.rollout_id = l.id AND a.crossed),
                EXISTS (SELECT FROM served s
                    WHERE s.rollout_id = l.id AND s.treated_at IS NOT NULL))::_flagscope.exposed
            FROM live l),
        (SELECT count(*) FROM chosen), ARRAY(SELECT l.id FROM left_over l) INTO exposed, taken, left_to;
END $$;
COMMENT ON FUNCTION _flagscope.consume_exposures(timestamptz, integer, bigint[]) IS
    'consumes some committed exposures of rollouts that are live, watched or ended within the last hour, except those '
    'of busy rollouts, and stores their units; returns summaries for live rollouts, the number of exposures examined, '
    'and the rollouts skipped because of a lock';

CREATE FUNCTION _flagscope.decided_otherwise(rollout_id bigint) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT _flagscope.not_by_chance(s, r.treatment, r.control) FROM flagscope.rollout r
        JOIN flagscope.flag_state s ON s.flag = r.flag AND s.environment = r.environment
    WHERE r.id = decided_otherwise.rollout_id;
$$;
COMMENT ON FUNCTION _flagscope.decided_otherwise(bigint) IS
    'why users of a rollout are not assigned by its split alone; NULL: they are';

CREATE FUNCTION _flagscope.gather_health(exposed _flagscope.exposed[], at timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO flagscope.rollout_health (rollout_id, rule)
    SELECT DISTINCT e.rollout_id, rule
    FROM unnest(exposed) e, unnest(enum_range(NULL::flagscope.health_rule)) rule ON CONFLICT DO NOTHING;
    UPDATE flagscope.rollout_health h
    SET n_treatment = h.n_treatment + x.n_t, n_control = h.n_control + x.n_c, expected = h.expected + x.expected,
        evidence = x.evidence, max_log_e = greatest(h.max_log_e, _flagscope.share_log_e(x.evidence))
    FROM (
        SELECT n.rollout_id, sum(n.n_treatment)::bigint AS n_t, sum(n.n_control)::bigint AS n_c,
            sum((n.n_treatment + n.n_control) * n.percent / 100)::float8 AS expected,
            (SELECT array_agg(coalesce(o.evidence[j], 0) + i.increment ORDER BY j)
                FROM flagscope.rollout_health o, LATERAL (
                    SELECT x.j, sum(x.increment) AS increment
                    FROM unnest(array_agg(n.percent), array_agg(n.n_treatment),
                            array_agg(n.n_control)) s(percent, n_t, n_c),
                        LATERAL unnest(_flagscope.share_increment((s.percent / 100)::float8, s.n_t,
                            s.n_c)) WITH ORDINALITY x(increment, j)
                    GROUP BY x.j) i
             WHERE o.rollout_id = n.rollout_id AND o.rule = 'split') AS evidence
        FROM unnest(exposed) n WHERE n.percent > 0 AND n.percent < 100 GROUP BY n.rollout_id
        -- Units assigned by targeting say nothing about the split, now or later.
        HAVING _flagscope.decided_otherwise(n.rollout_id) IS NULL
    ) x
    WHERE h.rollout_id = x.rollout_id AND h.rule = 'split';
    UPDATE flagscope.rollout_health h SET n_treatment = h.n_treatment + c.crossed FROM unnest(exposed) c
    WHERE h.rollout_id = c.rollout_id AND h.rule = 'crossing' AND c.crossed > 0;
    UPDATE flagscope.rollout_health h SET last_at = at FROM unnest(exposed) t
    WHERE h.rollout_id = t.rollout_id AND h.rule = 'traffic' AND t.treated;
$$;
COMMENT ON FUNCTION _flagscope.gather_health(_flagscope.exposed[], timestamptz) IS
    'counts and evidence of health rules after a slice of exposures';

CREATE FUNCTION _flagscope.health_state(h flagscope.rollout_health, split flagscope.rollout_health, otherwise text,
    since timestamptz, at timestamptz,
    OUT state flagscope.data_state, OUT reason text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN h.rule = 'split' AND otherwise IS NULL
            AND h.max_log_e >= -ln(_flagscope.setting_number('health.alpha')) THEN 'breached'
        WHEN h.rule = 'crossing' AND otherwise IS NULL AND h.n_treatment >= greatest(10,
            _flagscope.setting_number('health.crossing') * (split.n_treatment + split.n_control)) THEN 'breached'
        WHEN h.rule = 'traffic' AND h.last_at < at - _flagscope.setting_interval('health.quiet_after') THEN 'stale'
        -- Health rows exist only for rollouts with exposures; those whose exposures are not sent have none.
        WHEN h.rule = 'traffic' AND h.last_at IS NULL
            AND since < at - _flagscope.setting_interval('health.quiet_after') THEN 'no_data'
        ELSE 'ok' END::flagscope.data_state,
    CASE h.rule
        WHEN 'split' THEN CASE WHEN otherwise IS NOT NULL THEN 'not judged: ' || otherwise ELSE
            format('%s of %s new subjects got the treatment, %s were expected (anytime p %s)%s',
                h.n_treatment, h.n_treatment + h.n_control, round(h.expected::numeric, 1),
                CASE WHEN h.max_log_e > 9.2 THEN 'below 0.0001' ELSE round(exp(-h.max_log_e)::numeric, 4)::text END,
                CASE WHEN h.max_log_e >= -ln(_flagscope.setting_number('health.alpha'))
                    THEN '. The split is not the one that was set: no comparison of the arms is fair' ELSE '' END) END
        WHEN 'crossing' THEN CASE WHEN otherwise IS NOT NULL THEN 'not judged: ' || otherwise ELSE
            format('%s of %s subjects went back from treatment to control%s', h.n_treatment,
                split.n_treatment + split.n_control,
                CASE WHEN h.n_treatment > 0 THEN ', and count for both' ELSE '' END) END
        ELSE CASE
            WHEN h.last_at IS NULL THEN
                format('no exposure to the treatment yet although the control has some; the stage began at %s UTC',
                    to_char(since AT TIME ZONE 'UTC', 'HH24:MI:SS'))
            ELSE format('last exposure to the treatment at %s UTC',
                to_char(h.last_at AT TIME ZONE 'UTC', 'HH24:MI:SS')) END END;
$$;
COMMENT ON FUNCTION _flagscope.health_state(flagscope.rollout_health, flagscope.rollout_health, text,
    timestamptz, timestamptz) IS
    'state and reason of a health rule; a mismatch cannot be judged if targeting assigns users to the variants, too';

CREATE FUNCTION _flagscope.judge_health(at timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    WITH news AS MATERIALIZED (
        SELECT o.rollout_id, o.rule, x.state, x.reason
        FROM flagscope.rollout_health o
            JOIN flagscope.rollout r ON r.id = o.rollout_id AND r.status IN ('running', 'paused', 'held')
            JOIN flagscope.flag_state s ON s.flag = r.flag AND s.environment = r.environment
            JOIN flagscope.rollout_health split ON split.rollout_id = o.rollout_id AND split.rule = 'split',
            LATERAL _flagscope.health_state(o, split, CASE WHEN s.targeting IS NOT NULL OR s.prerequisites <> '[]' THEN
                _flagscope.not_by_chance(s, r.treatment, r.control) END, r.stage_started_at, at) x
        WHERE (x.state, x.reason) IS DISTINCT FROM (o.state, o.reason)
    ), free AS MATERIALIZED (
        -- Rows locked by another transaction are judged when it has ended.
        SELECT h.rollout_id, h.rule
        FROM flagscope.rollout_health h JOIN news n ON n.rollout_id = h.rollout_id AND n.rule = h.rule
        FOR NO KEY UPDATE OF h SKIP LOCKED
    )
    UPDATE flagscope.rollout_health h
    SET state = n.state, reason = n.reason, told_at = CASE WHEN n.state = h.state THEN h.told_at END
    FROM free f JOIN news n ON n.rollout_id = f.rollout_id AND n.rule = f.rule
    WHERE h.rollout_id = f.rollout_id AND h.rule = f.rule;
$$;
COMMENT ON FUNCTION _flagscope.judge_health(timestamptz) IS 'state and reason of the health rules of live rollouts';

CREATE FUNCTION _flagscope.gather_exposures(at timestamptz, until timestamptz) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most constant integer := 5000;
    slice record;
    busy bigint[] := '{}';
BEGIN
    LOOP
        EXIT WHEN NOT EXISTS (SELECT FROM _flagscope.subject_delta);
        SELECT * INTO slice FROM _flagscope.consume_exposures(at, most, busy);
        busy := busy || slice.left_to;
        -- An ended rollout has no split or ramp to judge, but metrics that are queries still count its units.
        IF slice.exposed <> '{}' THEN
            PERFORM _flagscope.gather_health(slice.exposed, at);
        END IF;
        EXIT WHEN slice.taken < most;
        IF clock_timestamp() > until THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END $$;
COMMENT ON FUNCTION _flagscope.gather_exposures(timestamptz, timestamptz) IS
    'consumes exposures in slices until a time, at least one slice; returns whether consumable exposures are left';

CREATE FUNCTION _flagscope.watch_health(at timestamptz, until timestamptz) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    waiting boolean;
BEGIN
    -- In a subtransaction: a failure here must not stop the judging; the exposures are then consumed by a later tick.
    waiting := _flagscope.gather_exposures(at, until);
    PERFORM _flagscope.judge_health(at);
    RETURN CASE WHEN waiting THEN 'exposures' END;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING USING ERRCODE = SQLSTATE,
        MESSAGE = _flagscope.message('health of rollouts could not be judged: %s', SQLERRM);
    -- Unknown health is not ok: the ramps wait until it is judged again.
    UPDATE flagscope.rollout_health h SET state = 'error', reason = SQLERRM, told_at = NULL
    FROM (SELECT x.rollout_id, x.rule FROM flagscope.rollout_health x WHERE x.state <> 'error'
        AND x.rollout_id IN (SELECT r.id FROM flagscope.rollout r WHERE r.status IN ('running', 'paused', 'held'))
        FOR NO KEY UPDATE SKIP LOCKED) free
    WHERE h.rollout_id = free.rollout_id AND h.rule = free.rule;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.watch_health(timestamptz, timestamptz) IS
    'judges the health rules in a tick; stops consuming exposures at a time and returns what is left';

CREATE FUNCTION _flagscope.renew_health(rollout_id bigint) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE flagscope.rollout_health h
    SET state = 'ok', reason = 'resumed: counted anew', evidence = '{}', max_log_e = 0, n_treatment = 0, n_control = 0,
        expected = 0, told_at = NULL
    WHERE h.rollout_id = renew_health.rollout_id AND (h.rule <> 'traffic' AND h.state = 'breached'
        -- Crossings are counted relative to the units of the split, so both restart together.
        OR h.rule = 'crossing'
        AND EXISTS (SELECT FROM flagscope.rollout_health s
            WHERE s.rollout_id = h.rollout_id AND s.rule = 'split' AND s.state = 'breached'));
$$;
COMMENT ON FUNCTION _flagscope.renew_health(bigint) IS
    'restarts the breached health rules after a person resumed the rollout';

CREATE FUNCTION _flagscope.tell_health(r flagscope.rollout, at timestamptz) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    h flagscope.rollout_health;
    told integer := 0;
BEGIN
    FOR h IN SELECT * FROM flagscope.rollout_health x
        WHERE x.rollout_id = r.id AND x.state <> 'ok' AND x.told_at IS NULL ORDER BY x.rule
    LOOP
        told := told + (_flagscope.decide(r.id, 'warn'::flagscope.action, 'flagscope',
            format('%s: %s', h.rule, h.reason), at, NULL::bigint, false,
            jsonb_build_object('state', h.state || ' ' || h.rule || ' ' || extract(epoch FROM at),
                'n_treatment', h.n_treatment, 'n_control', h.n_control, 'expected', h.expected, 'log_e', h.max_log_e))
            IS NOT NULL)::integer;
        UPDATE flagscope.rollout_health x SET told_at = at WHERE x.rollout_id = r.id AND x.rule = h.rule;
    END LOOP;
    RETURN told;
END $$;
COMMENT ON FUNCTION _flagscope.tell_health(flagscope.rollout, timestamptz) IS
    'warns once of each health rule that is not ok; returns the number of decisions';
