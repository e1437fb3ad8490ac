-- Anomaly guardrails: is the treatment unlike the control at the same time, or where there is no control a flag's
-- metric unusual for this time of day (src/core/stats/README.md, section 8).
--
-- What both arms show comes from elsewhere, and is not looked for. Without a control the series is that of all variants
-- together, which has a past of weeks. Evidence counts from the start of the rollout: what was wrong before is not its
-- doing.

COMMENT ON FUNCTION _flagscope.alarm_score(float8, float8) IS
    'the score that is an alarm: log10 of how many points there are between two false ones, at most 4; seconds between '
    'false ones, width of a point in seconds';
COMMENT ON FUNCTION _flagscope.anomaly_x(text, text, float8, bigint, bigint, flagscope.moments) IS
    'a metric''s value on the scale that it is judged on, larger is worse (src/core/kind/): kind, harm, value and the '
    'state; a quantile of 0 or below counts as 1e-9; NULL without data';
COMMENT ON FUNCTION _flagscope.anomaly_value(text, text, float8) IS
    'back from the scale of anomaly_x() to the metric''s unit';
COMMENT ON FUNCTION _flagscope.difference_scores(text, text, timestamptz[], bigint[], bigint[], float8[], timestamptz[],
    bigint[], bigint[], float8[], bigint[], bigint[], float8[]) IS
    'scores of the difference of treatment and control (src/core/anomaly/difference.rs): kind, harm, points of the '
    'whole flag before (at, n, events, x), points of both arms (at, then n, events, x of the treatment and of the '
    'control)';

CREATE FUNCTION _flagscope.anomaly_line(width interval, every interval) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN _flagscope.alarm_score(extract(epoch FROM every)::float8, extract(epoch FROM width)::float8);
COMMENT ON FUNCTION _flagscope.anomaly_line(interval, interval) IS
    'the score that is an alarm for points of this width, when one false alarm in so much time is tolerated';

CREATE FUNCTION _flagscope.anomaly_kept_since(width interval) RETURNS timestamptz
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT _flagscope.ceiling(width,
        _flagscope.kept_since(CASE WHEN extract(epoch FROM width)::integer % 600 = 0 THEN 'rollup medium'
            ELSE 'rollup fine' END));
END;
COMMENT ON FUNCTION _flagscope.anomaly_kept_since(interval) IS
    'since when there are rollups fine enough for points of this width';

CREATE FUNCTION _flagscope.anomaly_states(g flagscope.guardrail, since timestamptz, until timestamptz, width interval)
RETURNS TABLE (variant text, bucket timestamptz, n bigint, events bigint, moments flagscope.moments,
    histogram flagscope.histogram)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF since >= until - 6 * width AND since >= _flagscope.kept_since('rollup fine') THEN
        -- The plan of this is kept; that of variant_states() is made at each call (15 ms).
        RETURN QUERY SELECT v.variant, v.bucket, v.n, v.events, v.moments, v.histogram FROM _flagscope.variant_state v
        WHERE v.flag = g.flag AND v.environment = g.environment AND v.metric = g.metric AND v.bucket >= since
            AND v.bucket < until AND (v.variant = '') = (g.scope = 'environment');
    ELSE
        RETURN QUERY SELECT v.variant, v.bucket, v.n, v.events, v.moments, v.histogram
        FROM _flagscope.variant_states(g.flag, since, until - interval '1 microsecond',
            CASE WHEN extract(epoch FROM width)::integer % 600 = 0 THEN interval '10 minutes'
                ELSE interval '10 seconds' END,
            g.metric, g.environment) v
        WHERE v.bucket >= since AND v.bucket < until AND (v.variant = '') = (g.scope = 'environment');
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.anomaly_states(flagscope.guardrail, timestamptz, timestamptz, interval) IS
    'states of a guardrail''s metric, of variants or of all rows by its scope, in buckets that make whole points';

CREATE FUNCTION _flagscope.anomaly_series(g flagscope.guardrail, m flagscope.metric_definition, arms text[],
    since timestamptz, until timestamptz, width interval)
RETURNS TABLE (variant text, at timestamptz, n bigint, events bigint, value float8, x float8)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
BEGIN
    RETURN QUERY
    SELECT p.variant, p.at, p.n, p.events, p.value,
        _flagscope.anomaly_x(m.kind::text, m.harm::text, p.value, p.n, p.events, p.moments)
    FROM (
        SELECT s.*, _flagscope.metric_value(m, g.quantile, s.n, s.events, s.moments, s.histogram) AS value FROM (
            SELECT k.variant, _flagscope.floor(width, v.bucket) AS at, sum(v.n)::bigint AS n,
                sum(v.events)::bigint AS events, flagscope.rollup(v.moments) AS moments,
                flagscope.rollup(v.histogram) AS histogram
            FROM _flagscope.anomaly_states(g, since, until, width) v
                CROSS JOIN LATERAL (SELECT '' UNION SELECT v.variant) k(variant)
            WHERE k.variant = '' OR k.variant = ANY (arms) GROUP BY 1, 2) s) p
    WHERE p.value IS NOT NULL;
END $$;
COMMENT ON FUNCTION _flagscope.anomaly_series(flagscope.guardrail, flagscope.metric_definition, text[], timestamptz,
    timestamptz, interval) IS
    'points of a guardrail''s metric from rollups: of all variants together, or of all rows of the environment '
    '(variant empty), and of some variants; those without data are left out';

CREATE FUNCTION _flagscope.extend_points(g flagscope.guardrail, m flagscope.metric_definition, arms text[],
    newest timestamptz, width interval)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    since timestamptz :=
        (SELECT greatest(
            min(coalesce((SELECT max(p.at) + width
                    FROM _flagscope.anomaly_point p WHERE p.guardrail_id = g.id AND p.variant = v),
                newest - CASE v WHEN '' THEN interval '22 days' ELSE interval '2 days' END)),
            _flagscope.anomaly_kept_since(width))
            FROM unnest('{""}' || arms) v);
BEGIN
    IF since > newest THEN
        RETURN;
    END IF;
    INSERT INTO _flagscope.anomaly_point (guardrail_id, variant, at, n, events, value, x)
    SELECT g.id, s.* FROM _flagscope.anomaly_series(g, m, arms, since, newest + width, width) s
    ON CONFLICT DO NOTHING;  -- what was judged stays as it was
    DELETE FROM _flagscope.anomaly_point p WHERE p.guardrail_id = g.id AND p.at < newest - interval '36 days';
END $$;
COMMENT ON FUNCTION _flagscope.extend_points(flagscope.guardrail, flagscope.metric_definition, text[],
    timestamptz, interval) IS
    'adds the points up to the newest one; the first time those of the last 22 days, of the arms 2, as far as rollups '
    'go back';

CREATE FUNCTION _flagscope.judged_points(guardrail_id bigint, variant text, since timestamptz, newest timestamptz)
RETURNS TABLE (at timestamptz, usual float8, score float8)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT s.at, s.usual, s.score FROM (
        SELECT array_agg(p.at ORDER BY p.at) AS at, array_agg(p.x ORDER BY p.at) AS x FROM _flagscope.anomaly_point p
        WHERE p.guardrail_id = judged_points.guardrail_id AND p.variant = judged_points.variant
            AND p.at > newest - interval '22 days' AND p.at <= newest
    ) series, _flagscope.anomaly_scores(series.at, series.x, greatest(since, newest - interval '2 days')) s;
END $$;
COMMENT ON FUNCTION _flagscope.judged_points(bigint, text, timestamptz, timestamptz) IS
    'points of a series up to the newest one, judged on the 22 days before that (usual as x): evidence counts from a '
    'time on, two days at most, so that a look does not take longer from week to week';

CREATE FUNCTION _flagscope.scored_pairs(points _flagscope.anomaly_point[], m flagscope.metric_definition,
    r flagscope.rollout, since timestamptz, newest timestamptz, width interval)
RETURNS TABLE (at timestamptz, usual float8, score float8)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH pair AS (
        SELECT t.at, t.n, t.events, t.x, c.n AS n_c, c.events AS events_c, c.x AS x_c, c.value AS usual
        FROM unnest(points) t JOIN unnest(points) c ON c.at = t.at AND c.variant = r.control
        WHERE t.variant = r.treatment AND t.at <= newest AND t.at >= greatest(since, newest - interval '2 days')
            -- One point never mixes two shares.
            AND NOT EXISTS (SELECT FROM flagscope.allocation a WHERE a.rollout_id = r.id
                AND lower(a.valid) > t.at AND lower(a.valid) < t.at + width
                AND NOT EXISTS (SELECT FROM flagscope.allocation b WHERE b.rollout_id = r.id
                    AND upper(b.valid) = lower(a.valid) AND b.percent = a.percent))
    ), past AS (
        SELECT array_agg(p.at ORDER BY p.at) AS at, array_agg(p.n ORDER BY p.at) AS n,
            array_agg(p.events ORDER BY p.at) AS events, array_agg(p.x ORDER BY p.at) AS x
        FROM unnest(points) p WHERE p.variant = '' AND p.at < r.started_at AND p.at > newest - interval '22 days'
    ), arms AS (
        SELECT array_agg(p.at ORDER BY p.at) AS at, array_agg(p.n ORDER BY p.at) AS n_t,
            array_agg(p.events ORDER BY p.at) AS events_t, array_agg(p.x ORDER BY p.at) AS x_t,
            array_agg(p.n_c ORDER BY p.at) AS n_c, array_agg(p.events_c ORDER BY p.at) AS events_c,
            array_agg(p.x_c ORDER BY p.at) AS x_c
        FROM pair p
    )
    SELECT s.at, p.usual, s.score
    FROM past b, arms a, LATERAL _flagscope.difference_scores(m.kind::text, m.harm::text, b.at, b.n, b.events, b.x,
            a.at, a.n_t, a.events_t, a.x_t, a.n_c, a.events_c, a.x_c) s
        JOIN pair p ON p.at = s.at;
$$;
COMMENT ON FUNCTION _flagscope.scored_pairs(_flagscope.anomaly_point[], flagscope.metric_definition, flagscope.rollout,
    timestamptz, timestamptz, interval) IS
    'the treatment''s points of a rollout up to the newest one, judged beside the control''s: usual is the control''s '
    'value; evidence counts as in judged_points(); points in which the share was changed are left out';

CREATE FUNCTION _flagscope.judged_pairs(g flagscope.guardrail, m flagscope.metric_definition, r flagscope.rollout,
    since timestamptz, newest timestamptz)
RETURNS TABLE (at timestamptz, usual float8, score float8)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT s.at, s.usual, s.score FROM _flagscope.scored_pairs(ARRAY(
        SELECT p FROM _flagscope.anomaly_point p WHERE p.guardrail_id = g.id
            AND p.variant IN ('', r.treatment, r.control)
            AND p.at > newest - interval '22 days' AND p.at <= newest), m, r, judged_pairs.since, newest,
        g.time_window) s;
END $$;
COMMENT ON FUNCTION _flagscope.judged_pairs(flagscope.guardrail, flagscope.metric_definition, flagscope.rollout,
    timestamptz, timestamptz) IS 'scored_pairs() of the points that are kept';

CREATE FUNCTION _flagscope.score_points(g flagscope.guardrail, m flagscope.metric_definition, r flagscope.rollout,
    has_control boolean, since timestamptz, newest timestamptz)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF has_control THEN
        UPDATE _flagscope.anomaly_point p SET usual = s.usual, score = s.score
        FROM _flagscope.judged_pairs(g, m, r, since, newest) s
        WHERE p.guardrail_id = g.id AND p.variant = r.treatment AND p.at = s.at
            AND p.at > newest - interval '1 day' AND p.score IS NULL;
    ELSE
        UPDATE _flagscope.anomaly_point p
        SET usual = _flagscope.anomaly_value(m.kind::text, m.harm::text, s.usual), score = s.score
        FROM _flagscope.judged_points(g.id, ''::text, since, newest) s
        WHERE p.guardrail_id = g.id AND p.variant = '' AND p.at = s.at
            AND p.at > newest - interval '1 day' AND p.score IS NULL;
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.score_points(flagscope.guardrail, flagscope.metric_definition, flagscope.rollout,
    boolean, timestamptz, timestamptz) IS
    'keeps the score of the points since the evidence began that were not judged yet: of the treatment, or where there '
    'is no control of the flag';

CREATE FUNCTION _flagscope.is_free(st flagscope.guardrail_status) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM flagscope.guardrail_status s
    WHERE s.guardrail_id = st.guardrail_id AND s.rollout_id = st.rollout_id FOR NO KEY UPDATE SKIP LOCKED;
    RETURN FOUND;
END $$;
COMMENT ON FUNCTION _flagscope.is_free(flagscope.guardrail_status) IS
    'takes the lock of a guardrail''s status, unless somebody has it';

CREATE FUNCTION _flagscope.alone_since(r flagscope.rollout) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN r.status = 'completed' AND x.percent IS DISTINCT FROM 100 THEN r.ended_at
        WHEN r.status = 'completed' OR x.percent = 100 THEN r.stage_started_at END
    FROM (SELECT (SELECT s.percent FROM flagscope.rollout_stage s WHERE s.rollout_id = r.id AND s.ordinal = r.stage)
        AS percent) x;
$$;
COMMENT ON FUNCTION _flagscope.alone_since(flagscope.rollout) IS
    'since when nobody is served the control of a watched rollout; NULL: somebody is';

CREATE FUNCTION _flagscope.counts_since(r flagscope.rollout, since timestamptz, point timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT greatest(r.started_at, since, CASE WHEN x.alone <= point THEN x.alone END)
    FROM (SELECT _flagscope.alone_since(r) AS alone) x;
$$;
COMMENT ON FUNCTION _flagscope.counts_since(flagscope.rollout, timestamptz, timestamptz) IS
    'since when the evidence of an anomaly counts at a point: since its guardrail''s does, and where no control is '
    'left since then, for what both arms had before was no difference';

CREATE FUNCTION _flagscope.look_at_series(setting _flagscope.tick_setting, at timestamptz) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    work record;
    looked jsonb := '{}';
BEGIN
    FOR work IN
        SELECT st, g, m, r, n.newest, CASE g.scope WHEN 'flag' THEN _flagscope.counts_since(r, st.since, n.newest)
                ELSE greatest(r.started_at, st.since) END AS since,
            -- In the point that is judged, not now: where no control was left there is none to look at.
            g.scope = 'flag' AND coalesce(n.newest < _flagscope.alone_since(r), true) AS has_control
        FROM flagscope.guardrail g JOIN flagscope.rollout r ON r.flag = g.flag AND r.environment = g.environment
            JOIN flagscope.metric_definition m ON m.name = g.metric
            JOIN flagscope.guardrail_status st ON st.guardrail_id = g.id AND st.rollout_id = r.id
            CROSS JOIN LATERAL (SELECT _flagscope.newest_point(g.id, g.time_window, setting.pairing, at) AS newest) n
        WHERE g.test = 'anomaly' AND g.enabled AND _flagscope.is_watched(r, at)
            AND n.newest >= greatest(r.started_at, st.since) AND st.point IS DISTINCT FROM n.newest
        ORDER BY r.id, g.id
    LOOP
        -- Whoever changes the guardrail has its status, too: then the look waits for the next tick, and nobody for him.
        CONTINUE WHEN NOT _flagscope.is_free(work.st);
        looked := looked || jsonb_build_object((work.g).id::text,
            _flagscope.look_at_points(work.g, work.m, work.r, work.has_control, work.since, work.newest));
    END LOOP;
    RETURN looked;
END $$;
COMMENT ON FUNCTION _flagscope.look_at_series(_flagscope.tick_setting, timestamptz) IS
    'keeps and scores the newest points of anomaly guardrails, and of both arms while there is a control; '
    'returns whose by id, with what went wrong';

CREATE FUNCTION _flagscope.look_at_points(g flagscope.guardrail, m flagscope.metric_definition, r flagscope.rollout,
    has_control boolean, since timestamptz, newest timestamptz)
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM _flagscope.extend_points(g, m, CASE WHEN has_control THEN ARRAY[r.treatment, r.control] ELSE '{}' END,
        newest, g.time_window);
    PERFORM _flagscope.score_points(g, m, r, has_control, since, newest);
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLERRM;
END $$;
COMMENT ON FUNCTION _flagscope.look_at_points(flagscope.guardrail, flagscope.metric_definition, flagscope.rollout,
    boolean, timestamptz, timestamptz) IS
    'keeps and scores the points of one anomaly guardrail up to the newest one, of the flag and while there is a '
    'control of both arms; returns what went wrong, NULL: nothing';

CREATE FUNCTION _flagscope.forget_points() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM _flagscope.anomaly_point p WHERE p.guardrail_id = OLD.id;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.forget_points() IS
    'trigger: a guardrail that is gone or reads another series has no points';
CREATE TRIGGER forget_points AFTER DELETE ON flagscope.guardrail
    FOR EACH ROW WHEN (OLD.test = 'anomaly') EXECUTE FUNCTION _flagscope.forget_points();
CREATE TRIGGER forget_old_points AFTER UPDATE ON flagscope.guardrail
    FOR EACH ROW WHEN (OLD.test = 'anomaly'
        AND (OLD.flag, OLD.environment, OLD.metric, OLD.test, OLD.quantile, OLD.time_window, OLD.scope)
        IS DISTINCT FROM (NEW.flag, NEW.environment, NEW.metric, NEW.test, NEW.quantile, NEW.time_window, NEW.scope))
    EXECUTE FUNCTION _flagscope.forget_points();

CREATE FUNCTION _flagscope.replay_anomaly(decision_id bigint)
RETURNS TABLE (at timestamptz, variant text, n bigint, value float8, usual float8, score_stored float8,
    score_recomputed float8)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    d flagscope.decision := _flagscope.require_decision(decision_id);
    newest timestamptz := (d.evidence ->> 'point')::timestamptz;
BEGIN
    RETURN QUERY
    SELECT p.at, p.variant, p.n, p.value, p.usual, p.score, s.score
    FROM flagscope.guardrail g JOIN flagscope.metric_definition m ON m.name = g.metric
        JOIN flagscope.rollout r ON r.id = d.rollout_id
        CROSS JOIN LATERAL (SELECT '' AS variant, y.*
            FROM _flagscope.judged_points(g.id, ''::text, (d.evidence ->> 'counted_since')::timestamptz, newest) y
            UNION ALL SELECT r.treatment, z.*
            FROM _flagscope.judged_pairs(g, m, r, (d.evidence ->> 'counted_since')::timestamptz, newest) z) s
        JOIN _flagscope.anomaly_point p ON p.guardrail_id = g.id AND p.variant = s.variant AND p.at = s.at
    WHERE g.id = d.guardrail_id ORDER BY p.at, p.variant;
END $$;
COMMENT ON FUNCTION _flagscope.replay_anomaly(bigint) IS
    'an anomaly''s decision computed anew: the points since the evidence began, of the flag (variant empty) and the '
    'treatment beside the control, what they were compared with, and both scores, which agree at the point decided on '
    '(earlier ones were judged on the 22 days before them); for 14 days after it';
