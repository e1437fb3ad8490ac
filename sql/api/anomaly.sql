-- Anomaly guardrails: is a flag's metric unusual for this time of day, and is the treatment to blame
-- (src/core/stats/README.md, section 8).
--
-- The series is that of all variants together: its noise is the same at every stage, while the treatment's own at 1 %
-- would be ten times that of the past it is compared with. The control's series beside it tells whose doing an anomaly
-- is: what both show comes from elsewhere. Evidence counts from the start of the rollout:
-- what was wrong before is not its doing.

COMMENT ON FUNCTION _flagscope.alarm_score(float8, float8) IS
    'the score that is an alarm: log10 of how many points there are between two false ones, at most 4; seconds between '
    'false ones, width of a point in seconds';
COMMENT ON FUNCTION _flagscope.anomaly_x(text, text, float8, bigint, bigint, flagscope.moments) IS
    'a metric''s value on the scale that it is judged on, larger is worse (src/core/kind/): kind, harm, value and the '
    'state; a quantile of 0 or below counts as 1e-9; NULL without data';
COMMENT ON FUNCTION _flagscope.anomaly_value(text, text, float8) IS
    'back from the scale of anomaly_x() to the metric''s unit';

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
            AND v.bucket < until;
    ELSE
        RETURN QUERY SELECT v.variant, v.bucket, v.n, v.events, v.moments, v.histogram
        FROM _flagscope.variant_states(g.flag, since, until - interval '1 microsecond',
            CASE WHEN extract(epoch FROM width)::integer % 600 = 0 THEN interval '10 minutes'
                ELSE interval '10 seconds' END,
            g.metric, g.environment) v
        WHERE v.bucket >= since AND v.bucket < until;
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.anomaly_states(flagscope.guardrail, timestamptz, timestamptz, interval) IS
    'states of a guardrail''s metric in buckets that make whole points';

CREATE FUNCTION _flagscope.anomaly_series(g flagscope.guardrail, m flagscope.metric_definition, control text,
    since timestamptz, until timestamptz, width interval)
RETURNS TABLE (variant text, at timestamptz, n bigint, value float8, x float8)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
BEGIN
    RETURN QUERY
    SELECT p.variant, p.at, p.n, p.value,
        _flagscope.anomaly_x(m.kind::text, m.harm::text, p.value, p.n, p.events, p.moments)
    FROM (
        SELECT s.*, _flagscope.metric_value(m, g.quantile, s.n, s.events, s.moments, s.histogram) AS value FROM (
            SELECT k.variant, _flagscope.floor(width, v.bucket) AS at, sum(v.n)::bigint AS n,
                sum(v.events)::bigint AS events, flagscope.rollup(v.moments) AS moments,
                flagscope.rollup(v.histogram) AS histogram
            FROM _flagscope.anomaly_states(g, since, until, width) v
                CROSS JOIN LATERAL (VALUES (''), (v.variant)) k(variant)
            WHERE k.variant IN ('', control) GROUP BY 1, 2) s) p
    WHERE p.value IS NOT NULL;
END $$;
COMMENT ON FUNCTION _flagscope.anomaly_series(flagscope.guardrail, flagscope.metric_definition, text, timestamptz,
    timestamptz, interval) IS
    'points of a guardrail''s metric from rollups: of all variants together (variant empty), and of the control unless '
    'it is NULL; those without data are left out';

CREATE FUNCTION _flagscope.extend_points(g flagscope.guardrail, m flagscope.metric_definition, control text,
    newest timestamptz, width interval)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    since timestamptz :=
        (SELECT greatest(
            min(coalesce((SELECT max(p.at) + width
                    FROM _flagscope.anomaly_point p WHERE p.guardrail_id = g.id AND p.variant = v),
                newest - interval '22 days')), _flagscope.anomaly_kept_since(width))
            FROM unnest(ARRAY['', control]) v WHERE v IS NOT NULL);
BEGIN
    IF since > newest THEN
        RETURN;
    END IF;
    INSERT INTO _flagscope.anomaly_point (guardrail_id, variant, at, n, value, x)
    SELECT g.id, s.* FROM _flagscope.anomaly_series(g, m, control, since, newest + width, width) s
    ON CONFLICT DO NOTHING;  -- what was judged stays as it was
    DELETE FROM _flagscope.anomaly_point p WHERE p.guardrail_id = g.id AND p.at < newest - interval '36 days';
END $$;
COMMENT ON FUNCTION _flagscope.extend_points(flagscope.guardrail, flagscope.metric_definition, text,
    timestamptz, interval) IS
    'adds the points up to the newest one; the first time those of the last 22 days, as far as rollups go back';

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

CREATE FUNCTION _flagscope.score_points(g flagscope.guardrail, m flagscope.metric_definition, variant text,
    since timestamptz, newest timestamptz)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE _flagscope.anomaly_point p
    SET usual = _flagscope.anomaly_value(m.kind::text, m.harm::text, s.usual), score = s.score
    FROM _flagscope.judged_points(g.id, score_points.variant, since, newest) s
    WHERE p.guardrail_id = g.id AND p.variant = score_points.variant AND p.at = s.at
        AND p.at > newest - interval '1 day' AND p.score IS NULL;
END $$;
COMMENT ON FUNCTION _flagscope.score_points(flagscope.guardrail, flagscope.metric_definition, text,
    timestamptz, timestamptz) IS
    'keeps the score of the points since the evidence began that were not judged yet';

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

CREATE FUNCTION _flagscope.look_at_series(setting _flagscope.tick_setting, at timestamptz) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    work record;
    looked jsonb := '{}';
BEGIN
    FOR work IN
        SELECT st, g, m, n.newest, greatest(r.started_at, st.since) AS since,
            -- In the point that is judged, not now: where no control was left there is none to look at.
            CASE WHEN NOT ((r.status = 'completed' OR coalesce(step.percent = 100, false)) AND n.newest >= CASE
                WHEN r.status = 'completed' AND step.percent IS DISTINCT FROM 100 THEN r.ended_at
                ELSE r.stage_started_at END) THEN
                r.control END AS control
        FROM flagscope.guardrail g JOIN flagscope.rollout r ON r.flag = g.flag AND r.environment = g.environment
            JOIN flagscope.metric_definition m ON m.name = g.metric
            LEFT JOIN flagscope.rollout_stage step ON step.rollout_id = r.id AND step.ordinal = r.stage
            JOIN flagscope.guardrail_status st ON st.guardrail_id = g.id AND st.rollout_id = r.id
            CROSS JOIN LATERAL (SELECT _flagscope.newest_point(g.id, g.time_window, setting.pairing, at) AS newest) n
        WHERE g.test = 'anomaly' AND g.enabled AND _flagscope.is_watched(r, at)
            AND n.newest >= greatest(r.started_at, st.since) AND st.point IS DISTINCT FROM n.newest
        ORDER BY r.id, g.id
    LOOP
        -- Whoever changes the guardrail has its status, too: then the look waits for the next tick, and nobody for him.
        CONTINUE WHEN NOT _flagscope.is_free(work.st);
        looked := looked || jsonb_build_object((work.g).id::text,
            _flagscope.look_at_points(work.g, work.m, work.control, work.since, work.newest));
    END LOOP;
    RETURN looked;
END $$;
COMMENT ON FUNCTION _flagscope.look_at_series(_flagscope.tick_setting, timestamptz) IS
    'keeps and scores the newest points of anomaly guardrails, and of the control beside them while there is one; '
    'returns whose by id, with what went wrong';

CREATE FUNCTION _flagscope.look_at_points(g flagscope.guardrail, m flagscope.metric_definition, control text,
    since timestamptz, newest timestamptz)
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM _flagscope.extend_points(g, m, control, newest, g.time_window);
    PERFORM _flagscope.score_points(g, m, v, since, newest) FROM unnest(ARRAY['', control]) v WHERE v IS NOT NULL;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLERRM;
END $$;
COMMENT ON FUNCTION _flagscope.look_at_points(flagscope.guardrail, flagscope.metric_definition, text,
    timestamptz, timestamptz) IS
    'keeps and scores the points of one anomaly guardrail up to the newest one, of the flag and of the control unless '
    'it is NULL; returns what went wrong, NULL: nothing';

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
        AND (OLD.flag, OLD.environment, OLD.metric, OLD.test, OLD.quantile, OLD.time_window)
        IS DISTINCT FROM (NEW.flag, NEW.environment, NEW.metric, NEW.test, NEW.quantile, NEW.time_window))
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
    FROM (SELECT DISTINCT o.variant FROM _flagscope.anomaly_point o WHERE o.guardrail_id = d.guardrail_id) v,
        _flagscope.judged_points(d.guardrail_id, v.variant, (d.evidence ->> 'counted_since')::timestamptz, newest) s,
        _flagscope.anomaly_point p WHERE p.guardrail_id = d.guardrail_id AND p.variant = v.variant AND p.at = s.at
    ORDER BY p.at, p.variant;
END $$;
COMMENT ON FUNCTION _flagscope.replay_anomaly(bigint) IS
    'an anomaly''s decision computed anew: the points since the evidence began, of the flag (variant empty) and the '
    'control, their usual value, and both scores, which agree at the point decided on (earlier ones were judged on the '
    '22 days before them); for 14 days after it';
