-- Health of rollouts, judged at every tick from the exposures that it consumes.

CREATE FUNCTION _flagscope.is_untold(h flagscope.rollout_health) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (h.state <> 'ok') = (h.told_at IS NULL);
COMMENT ON FUNCTION _flagscope.is_untold(flagscope.rollout_health) IS
    'is a health rule to be told: it is not ok, or what was told of it is over';

COMMENT ON FUNCTION _flagscope.judge_split(bigint[], float8[], float8[], float8[], boolean[], bigint[], bigint[],
    float8[], float8) IS
    'the split of a rollout (test S of src/core/stats/README.md), from slices of units in order of time: epoch, share '
    'of the treatment, least and greatest share that clients may still serve, is it a moment of the settling, units of '
    'treatment and control; then the mismatch that was found before, and alpha. finding: mismatch, over, or nothing';

CREATE TYPE _flagscope.exposed AS (rollout_id bigint, epoch timestamptz, part smallint, n_treatment bigint,
    n_control bigint, crossed bigint, treated boolean);
COMMENT ON TYPE _flagscope.exposed IS
    'summary of a slice of exposures for a live rollout: new units by the time since the share was changed, '
    'units that went back from treatment to control although the rollout never stepped back, '
    'and whether anybody was served the treatment';

CREATE FUNCTION _flagscope.part_of_settling(passed interval, settle interval) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN passed < settle THEN least(59, trunc(60 * extract(epoch FROM passed) / extract(epoch FROM settle)))
    ELSE 60 END::smallint;
COMMENT ON FUNCTION _flagscope.part_of_settling(interval, interval) IS
    'which sixtieth of a settling it is, from 0, so long after a change; 60: it is over';

CREATE FUNCTION _flagscope.consume_exposures(at timestamptz, most integer, busy bigint[],
    OUT exposed _flagscope.exposed[], OUT taken bigint, OUT left_to bigint[])
-- The planner assumes ten rows for an array and for reading by ctid, and would sort everything for grouping. The
-- settings force one plan for all slices that never reads all units.
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan
    SET enable_sort = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    settle interval := _flagscope.setting_interval('health.settle');
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
                    WHERE d.rollout_id = r.id AND d.to_percent < d.from_percent) AS stays,
            -- When a client may serve the control though another already serves the treatment.
            (SELECT range_agg(tstzrange(lower(a.valid), lower(a.valid) + settle)) FROM flagscope.allocation a
                WHERE a.rollout_id = r.id) AS settling
        FROM flagscope.rollout r WHERE r.id IN (SELECT f.id FROM free f)
    ), served AS MATERIALIZED (
        SELECT r.id AS rollout_id,
            _flagscope.unit_key(t.subject) AS subject, r.stays,
            min(t.ts) FILTER (WHERE t.variant = r.treatment) AS treated_at,
            min(t.ts) FILTER (WHERE t.variant = r.control) AS control_at,
            max(t.ts) FILTER (WHERE t.variant = r.control AND NOT coalesce(r.settling @> t.ts, false)) AS control_last
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
        SELECT a.rollout_id, a.valid, h.counted_since
        FROM flagscope.allocation a LEFT JOIN flagscope.rollout_health h ON h.rollout_id = a.rollout_id
            AND h.rule = 'split'
        WHERE a.rollout_id IN (SELECT o.id FROM own o) AND a.percent > 0 AND a.percent < 100
    ), live AS (
        SELECT o.id FROM own o WHERE o.live AND o.id IN (SELECT s.rollout_id FROM served s)
    ), news AS (
        -- A unit counts with the share that was served when it came, from the flag's history.
        SELECT a.rollout_id, lower(h.valid) AS epoch, p.part, count(*) FILTER (WHERE a.variant = r.treatment)
            AS n_treatment, count(*) FILTER (WHERE a.variant <> r.treatment) AS n_control
        FROM added a JOIN own r ON r.id = a.rollout_id
            JOIN share h ON h.rollout_id = a.rollout_id AND h.valid @> a.first_seen
                AND (h.counted_since IS NULL OR a.first_seen >= h.counted_since),
            LATERAL (SELECT _flagscope.part_of_settling(a.first_seen - lower(h.valid), settle) AS part) p
        WHERE a.rollout_id IN (SELECT l.id FROM live l) GROUP BY a.rollout_id, h.valid, p.part
    )
    SELECT ARRAY(
            SELECT ROW(n.rollout_id, n.epoch, n.part, n.n_treatment, n.n_control, 0, false)::_flagscope.exposed
            FROM news n
            UNION ALL
            SELECT ROW(l.id, NULL, NULL, 0, 0, (SELECT count(*) FROM known k WHERE k.rollout_id = l.id AND k.crosses)
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

CREATE FUNCTION _flagscope.older_shares(a flagscope.allocation, settle interval, OUT lowest numeric,
    OUT highest numeric)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- Before the start, and while the flag was disabled, nobody was served the treatment.
    SELECT CASE WHEN range_agg(x.valid) @> tstzrange(lower(a.valid) - settle, lower(a.valid))
            THEN min(x.percent) ELSE 0 END, max(x.percent)
    FROM flagscope.allocation x WHERE x.rollout_id = a.rollout_id
        AND (x.valid && tstzrange(lower(a.valid) - settle, lower(a.valid)) OR x.valid = a.valid);
$$;
COMMENT ON FUNCTION _flagscope.older_shares(flagscope.allocation, interval) IS
    'the least and the greatest percentage that clients may still serve for so long after an allocation began';

CREATE FUNCTION _flagscope.judged_split(rollout_id bigint, alpha float8, settle interval)
RETURNS TABLE (n_treatment bigint, n_control bigint, expected float8, evidence float8[], log_e float8, finding text,
    mismatch float8[])
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH share AS MATERIALIZED (
        SELECT lower(a.valid) AS epoch, (a.percent / 100)::float8 AS nominal, o.lowest / 100 AS least,
            o.highest / 100 AS greatest
        FROM flagscope.allocation a, LATERAL (SELECT * FROM _flagscope.older_shares(a, settle)) o
        WHERE a.rollout_id = judged_split.rollout_id AND a.percent > 0 AND a.percent < 100
    ), slices AS (
        -- For people: those of a settling only as long as there are no others.
        SELECT coalesce(sum(c.n_treatment) FILTER (WHERE c.part = 60), sum(c.n_treatment))::bigint AS n_treatment,
            coalesce(sum(c.n_control) FILTER (WHERE c.part = 60), sum(c.n_control))::bigint AS n_control,
            coalesce(sum((c.n_treatment + c.n_control) * s.nominal) FILTER (WHERE c.part = 60),
                sum((c.n_treatment + c.n_control) * s.nominal)) AS expected,
            array_agg((1e6 * extract(epoch FROM c.epoch))::bigint ORDER BY c.epoch, c.part) AS epoch,
            array_agg(s.nominal ORDER BY c.epoch, c.part) AS nominal,
            array_agg(s.least::float8 ORDER BY c.epoch, c.part) AS least,
            array_agg(s.greatest::float8 ORDER BY c.epoch, c.part) AS greatest,
            array_agg(c.part < 60 ORDER BY c.epoch, c.part) AS settling,
            array_agg(c.n_treatment ORDER BY c.epoch, c.part) AS treatment,
            array_agg(c.n_control ORDER BY c.epoch, c.part) AS control
        FROM _flagscope.split_count c JOIN share s ON s.epoch = c.epoch
        WHERE c.rollout_id = judged_split.rollout_id
    )
    SELECT s.n_treatment, s.n_control, s.expected, j.*
    FROM slices s JOIN flagscope.rollout_health h ON h.rollout_id = judged_split.rollout_id AND h.rule = 'split',
        LATERAL _flagscope.judge_split(s.epoch, s.nominal, s.least, s.greatest, s.settling, s.treatment, s.control,
            h.mismatch, alpha) j
    WHERE s.epoch IS NOT NULL;
$$;
COMMENT ON FUNCTION _flagscope.judged_split(bigint, float8, interval) IS
    'the split of a rollout judged on the units that count (split_count)';

CREATE FUNCTION _flagscope.gather_split(exposed _flagscope.exposed[], at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    asked bigint;
    news record;
    alpha float8 := _flagscope.setting_number('health.alpha');
    settle interval := _flagscope.setting_interval('health.settle');
BEGIN
    -- Units assigned by targeting say nothing about the split, now or later.
    FOR asked IN SELECT DISTINCT e.rollout_id FROM unnest(exposed) e
        WHERE e.part IS NOT NULL AND _flagscope.decided_otherwise(e.rollout_id) IS NULL ORDER BY 1
    LOOP
        INSERT INTO _flagscope.split_count AS c (rollout_id, epoch, part, n_treatment, n_control)
        SELECT e.rollout_id, e.epoch, e.part, e.n_treatment, e.n_control FROM unnest(exposed) e
        WHERE e.rollout_id = asked AND e.part IS NOT NULL
        ON CONFLICT (rollout_id, epoch, part) DO UPDATE SET n_treatment = c.n_treatment + excluded.n_treatment,
            n_control = c.n_control + excluded.n_control;
        SELECT * INTO news FROM _flagscope.judged_split(asked, alpha, settle);
        CONTINUE WHEN NOT FOUND;
        UPDATE flagscope.rollout_health h SET evidence = news.evidence, mismatch = news.mismatch,
            -- While it is breached, the numbers that it was found by stay.
            n_treatment = CASE WHEN x.shows THEN news.n_treatment ELSE h.n_treatment END,
            n_control = CASE WHEN x.shows THEN news.n_control ELSE h.n_control END,
            expected = CASE WHEN x.shows THEN news.expected ELSE h.expected END,
            max_log_e = CASE WHEN news.finding = 'over' THEN 0
                WHEN x.shows THEN greatest(h.max_log_e, news.log_e) ELSE h.max_log_e END,
            counted_since = CASE WHEN news.finding = 'nothing' THEN h.counted_since ELSE gather_split.at END
        FROM (SELECT news.finding <> 'nothing' OR news.mismatch = '{}' AS shows) x
        WHERE h.rollout_id = asked AND h.rule = 'split';
        IF news.finding <> 'nothing' THEN
            DELETE FROM _flagscope.split_count c WHERE c.rollout_id = asked;
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.gather_split(_flagscope.exposed[], timestamptz) IS
    'counts and judges the split after a slice of exposures; after a mismatch, and after its end, it counts anew';

CREATE FUNCTION _flagscope.gather_health(exposed _flagscope.exposed[], at timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO flagscope.rollout_health (rollout_id, rule)
    SELECT DISTINCT e.rollout_id, rule
    FROM unnest(exposed) e, unnest('{split,crossing,traffic}'::flagscope.health_rule[]) rule ON CONFLICT DO NOTHING;
    SELECT _flagscope.gather_split(exposed, at);
    UPDATE flagscope.rollout_health h
    SET n_treatment = h.n_treatment + CASE WHEN h.clears_at IS NULL THEN c.crossed ELSE 0 END,
        recrossed = h.recrossed + CASE WHEN h.clears_at IS NULL THEN 0 ELSE c.crossed END,
        n_control = h.n_control + c.seen
    FROM (SELECT e.rollout_id, sum(e.crossed)::bigint AS crossed, sum(e.n_treatment + e.n_control)::bigint AS seen
        FROM unnest(exposed) e GROUP BY e.rollout_id) c
    WHERE h.rollout_id = c.rollout_id AND h.rule = 'crossing' AND c.crossed + c.seen > 0;
    UPDATE flagscope.rollout_health h SET last_at = at FROM unnest(exposed) t
    WHERE h.rollout_id = t.rollout_id AND h.rule = 'traffic' AND t.treated;
$$;
COMMENT ON FUNCTION _flagscope.gather_health(_flagscope.exposed[], timestamptz) IS
    'counts and evidence of health rules after a slice of exposures';

CREATE FUNCTION _flagscope.serves_apart(rollout_id bigint) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- A process that would have at least five rows of the control by chance, and has none, serves the treatment alone.
    SELECT coalesce(2 * sum(s.n_treatment) FILTER (WHERE s.n_control = 0 AND s.n_treatment - s.expected >= 5)
        > sum(s.n_treatment), false)
    FROM _flagscope.source s WHERE s.rollout_id = serves_apart.rollout_id;
$$;
COMMENT ON FUNCTION _flagscope.serves_apart(bigint) IS
    'do most rows of the treatment come from processes that serve it alone (canary pods): which requests they get '
    'is not decided by the share';

CREATE FUNCTION _flagscope.health_state(h flagscope.rollout_health, otherwise text, since timestamptz, at timestamptz,
    OUT state flagscope.data_state, OUT reason text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN h.rule IN ('split', 'rows') AND otherwise IS NULL AND h.mismatch <> '{}' THEN 'breached'
        WHEN h.rule = 'crossing' AND otherwise IS NULL AND h.clears_at IS NOT NULL THEN 'breached'
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
                CASE WHEN h.mismatch <> '{}'
                    THEN '. The split is not the one that was set: no comparison of the arms is fair' ELSE '' END) END
        WHEN 'crossing' THEN CASE WHEN otherwise IS NOT NULL THEN 'not judged: ' || otherwise ELSE
            format('%s of %s subjects went back from treatment to control%s', h.n_treatment, h.n_control,
                CASE WHEN h.n_treatment > 0 THEN ', and count for both' ELSE '' END) END
        WHEN 'rows' THEN CASE WHEN otherwise IS NOT NULL THEN 'not judged: ' || otherwise
            WHEN h.n_treatment + h.n_control = 0 THEN CASE WHEN _flagscope.serves_apart(h.rollout_id)
                THEN 'not judged: processes serve the treatment alone, so that rows do not come by the share'
                ELSE 'no rows since it is counted' END
            ELSE format('%s of %s rows came with the treatment, %s were expected%s', h.n_treatment,
                h.n_treatment + h.n_control, round(h.expected::numeric, 1), CASE WHEN h.mismatch = '{}' THEN ''
                    WHEN h.n_treatment < h.expected THEN '. The treatment sends too few: are its processes alive, and '
                        'is what fails recorded? No comparison of the arms is fair'
                    ELSE '. The control sends too few, or the treatment too many: are the control''s processes alive, '
                        'and are requests repeated? No comparison of the arms is fair' END) END
        ELSE CASE
            WHEN h.last_at IS NULL THEN
                format('no exposure to the treatment yet although the control has some; the stage began at %s UTC',
                    to_char(since AT TIME ZONE 'UTC', 'HH24:MI:SS'))
            ELSE format('last exposure to the treatment at %s UTC',
                to_char(h.last_at AT TIME ZONE 'UTC', 'HH24:MI:SS')) END END;
$$;
COMMENT ON FUNCTION _flagscope.health_state(flagscope.rollout_health, text, timestamptz, timestamptz) IS
    'state and reason of a health rule; a mismatch cannot be judged if targeting assigns users to the variants, too';

CREATE FUNCTION _flagscope.judge_crossing(at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    tolerated float8 := _flagscope.setting_number('health.crossing');
    quiet_after interval := _flagscope.setting_interval('health.quiet_after');
BEGIN
    WITH free AS MATERIALIZED (
        SELECT h.rollout_id, h.rule, c.goes_on
        FROM flagscope.rollout_health h JOIN flagscope.rollout r ON r.id = h.rollout_id
                AND r.status IN ('running', 'paused', 'held'),
            LATERAL (SELECT CASE WHEN h.clears_at IS NULL THEN h.n_treatment ELSE h.recrossed END
                >= greatest(10, tolerated * h.n_control) AS goes_on) c
        WHERE h.rule = 'crossing' AND (c.goes_on OR h.clears_at <= judge_crossing.at)
        FOR NO KEY UPDATE OF h SKIP LOCKED
    )
    -- Over after as long a time as it took to find it: what goes on as it was is found anew by then.
    UPDATE flagscope.rollout_health h SET recrossed = 0, counted_since = judge_crossing.at,
        n_treatment = CASE WHEN f.goes_on THEN greatest(h.n_treatment, h.recrossed) ELSE h.recrossed END,
        clears_at = CASE WHEN f.goes_on THEN judge_crossing.at + greatest(quiet_after,
            judge_crossing.at - coalesce(h.counted_since, (SELECT r.started_at FROM flagscope.rollout r
                WHERE r.id = h.rollout_id))) END
    FROM free f WHERE h.rollout_id = f.rollout_id AND h.rule = f.rule;
END $$;
COMMENT ON FUNCTION _flagscope.judge_crossing(timestamptz) IS
    'when units that go back from the treatment to the control are too many, and when that is over: fewer than are '
    'tolerated in as long a time as it took, and at least setting health.quiet_after';

CREATE FUNCTION _flagscope.judge_health(at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM _flagscope.judge_crossing(at);
    WITH news AS MATERIALIZED (
        SELECT o.rollout_id, o.rule, x.state, x.reason
        FROM flagscope.rollout_health o
            JOIN flagscope.rollout r ON r.id = o.rollout_id AND r.status IN ('running', 'paused', 'held')
            JOIN flagscope.flag_state s ON s.flag = r.flag AND s.environment = r.environment,
            LATERAL _flagscope.health_state(o, CASE WHEN s.targeting IS NOT NULL OR s.prerequisites <> '[]' THEN
                _flagscope.not_by_chance(s, r.treatment, r.control) END, r.stage_started_at, at) x
        WHERE (x.state, x.reason) IS DISTINCT FROM (o.state, o.reason)
    ), free AS MATERIALIZED (
        -- Rows locked by another transaction are judged when it has ended.
        SELECT h.rollout_id, h.rule
        FROM flagscope.rollout_health h JOIN news n ON n.rollout_id = h.rollout_id AND n.rule = h.rule
        FOR NO KEY UPDATE OF h SKIP LOCKED
    )
    UPDATE flagscope.rollout_health h
    SET state = n.state, reason = n.reason,
        -- What was told and is over is told, too.
        told_at = CASE WHEN n.state IN (h.state, 'ok') THEN h.told_at END
    FROM free f JOIN news n ON n.rollout_id = f.rollout_id AND n.rule = f.rule
    WHERE h.rollout_id = f.rollout_id AND h.rule = f.rule;
END $$;
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

CREATE FUNCTION _flagscope.renew_health(rollout_id bigint, at timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM _flagscope.split_count c USING flagscope.rollout_health h
    WHERE c.rollout_id = renew_health.rollout_id AND h.rollout_id = c.rollout_id AND h.rule = 'split'
        AND h.state = 'breached';
    DELETE FROM _flagscope.row_count c USING flagscope.rollout_health h
    WHERE c.rollout_id = renew_health.rollout_id AND h.rollout_id = c.rollout_id AND h.rule = 'rows'
        AND h.state = 'breached';
    DELETE FROM _flagscope.row_share s USING flagscope.rollout_health h
    WHERE s.rollout_id = renew_health.rollout_id AND h.rollout_id = s.rollout_id AND h.rule = 'rows'
        AND h.state = 'breached';
    UPDATE flagscope.rollout_health h
    SET state = 'ok', reason = 'resumed: counted anew', evidence = '{}', max_log_e = 0, n_treatment = 0, n_control = 0,
        expected = 0, mismatch = '{}', recrossed = 0, clears_at = NULL, counted_since = renew_health.at
    WHERE h.rollout_id = renew_health.rollout_id AND h.rule <> 'traffic' AND h.state = 'breached';
$$;
COMMENT ON FUNCTION _flagscope.renew_health(bigint, timestamptz) IS
    'restarts the breached health rules after a person resumed the rollout; the next tick tells that they are over';

CREATE FUNCTION _flagscope.tell_health_over(r flagscope.rollout, h flagscope.rollout_health, reason text,
    at timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO flagscope.outbox (kind, payload, created_at, next_try_at)
    VALUES ('health', jsonb_build_object('name', _flagscope.health_name(h.rule::text, r.flag, r.environment),
        'state', 'ok', 'since', h.told_at, 'reason', 'over: ' || tell_health_over.reason,
        'database', current_database(), 'rollout_id', r.id, 'flag', r.flag, 'environment', r.environment)
        || _flagscope.message_fields('over'::text, 'info'::text, format(
            'Rollout %s of flag "%s" in %s no longer has a warning (%s): %s', r.id, r.flag, r.environment, h.rule,
            tell_health_over.reason), r.id), at, at);
    SELECT _flagscope.wake_deliverers();
$$;
COMMENT ON FUNCTION _flagscope.tell_health_over(flagscope.rollout, flagscope.rollout_health, text, timestamptz) IS
    'queues a notification that what a health rule warned of is over, and why';

CREATE FUNCTION _flagscope.end_health(r flagscope.rollout, at timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    -- Nothing judges them any more. In a follow-up the next tick tells of what is ok by now.
    SELECT _flagscope.tell_health_over(r, h, 'the rollout is ' || replace(r.status::text, '_', ' '), at)
    FROM flagscope.rollout_health h
    WHERE h.rollout_id = r.id AND h.told_at IS NOT NULL AND (h.state <> 'ok' OR r.follow_up_until IS NULL)
    ORDER BY h.rule;
$$;
COMMENT ON FUNCTION _flagscope.end_health(flagscope.rollout, timestamptz) IS
    'tells of each warning of a rollout that ends that it is over, so that nothing stays open at a receiver';

CREATE FUNCTION _flagscope.tell_health(r flagscope.rollout, at timestamptz) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    h flagscope.rollout_health;
    told integer := 0;
BEGIN
    FOR h IN SELECT * FROM flagscope.rollout_health x
        WHERE x.rollout_id = r.id AND _flagscope.is_untold(x) ORDER BY x.rule
    LOOP
        IF h.state = 'ok' THEN
            PERFORM _flagscope.tell_health_over(r, h, h.reason, at);
        ELSE
            told := told + (_flagscope.decide(r.id, 'warn'::flagscope.action, 'flagscope',
                format('%s: %s', h.rule, h.reason), at, NULL::bigint, false,
                jsonb_build_object('state', h.state || ' ' || h.rule || ' ' || extract(epoch FROM at),
                    'n_treatment', h.n_treatment, 'n_control', h.n_control, 'expected', h.expected,
                    'log_e', h.max_log_e))
                IS NOT NULL)::integer;
        END IF;
        UPDATE flagscope.rollout_health x SET told_at = CASE WHEN h.state <> 'ok' THEN at END
        WHERE x.rollout_id = r.id AND x.rule = h.rule;
    END LOOP;
    RETURN told;
END $$;
COMMENT ON FUNCTION _flagscope.tell_health(flagscope.rollout, timestamptz) IS
    'warns once of each health rule that is not ok, and tells once when that is over; returns the number of decisions';
