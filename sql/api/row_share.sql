-- Rows by arm against the share served: the rule rows of health (src/core/stats/row_share.rs). What a tick consumed of
-- a rollout's busiest metric is counted by ten seconds, and judged when both arms have shown later rows.

COMMENT ON FUNCTION _flagscope.judge_row_share(float8[], timestamptz[], float8[], float8[], float8[], boolean[],
    bigint[], bigint[], float8, float8, float8) IS
    'adds strata in order of time to the evidence of a rollout''s rows (row_share.state, empty: none yet): time, share '
    'of the treatment, least and greatest share that clients may still serve, is it in the settling, rows of treatment '
    'and control; then alpha, margin, and as how many equally active users the rows come from, 0: unknown. finding: '
    'mismatch, over, or NULL; found_by: rows of treatment and control and those expected of the treatment';

CREATE FUNCTION _flagscope.row_metric(r flagscope.rollout) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- By what was seen in earlier ticks: what a stratum has must not choose whether it is looked at.
    RETURN (SELECT m.name
    FROM flagscope.guardrail g JOIN flagscope.metric_definition m ON m.name = g.metric
        LEFT JOIN flagscope.guardrail_status s ON s.guardrail_id = g.id AND s.rollout_id = r.id
    WHERE g.flag = r.flag AND g.environment = r.environment AND g.enabled AND g.comparison = 'control'
        -- What ticks count are no rows, and of a rate two kinds of rows come.
        AND NOT _flagscope.is_polled(m) AND NOT _flagscope.comes_in_parts(m.kind::text)
    ORDER BY s.n_treatment + s.n_control DESC NULLS LAST, m.name LIMIT 1);
END $$;
COMMENT ON FUNCTION _flagscope.row_metric(flagscope.rollout) IS
    'the metric whose rows are judged against the share: of those compared with the control the one with the most '
    'data points so far; NULL: none';

CREATE FUNCTION _flagscope.count_rows(pieces _flagscope.piece[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    WITH asked AS MATERIALIZED (
        SELECT r.id, _flagscope.row_metric(r) AS metric FROM flagscope.rollout r
        WHERE r.id IN (SELECT p.rollout_id FROM unnest(pieces) p) AND r.status IN ('running', 'paused', 'held')
    )
    INSERT INTO _flagscope.row_count AS c (rollout_id, epoch, bucket, n_treatment, n_control)
    SELECT p.rollout_id, p.epoch, p.bucket, coalesce(sum(p.n) FILTER (WHERE p.treated), 0),
        coalesce(sum(p.n) FILTER (WHERE NOT p.treated), 0)
    FROM unnest(pieces) p JOIN asked a ON (a.id, a.metric) = (p.rollout_id, p.metric)
    WHERE p.n > 0 GROUP BY p.rollout_id, p.epoch, p.bucket ORDER BY p.rollout_id, p.bucket, p.epoch
    ON CONFLICT (rollout_id, bucket, epoch) DO UPDATE SET n_treatment = c.n_treatment + excluded.n_treatment,
        n_control = c.n_control + excluded.n_control;
END $$;
COMMENT ON FUNCTION _flagscope.count_rows(_flagscope.piece[]) IS
    'counts by arm the rows that a tick consumed of the metrics that are judged against the share';

CREATE FUNCTION _flagscope.ripe_rows(at timestamptz, patience interval)
RETURNS TABLE (rollout_id bigint, line timestamptz, users float8)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY WITH waits AS (
        -- Half a minute later rows of both arms are there, or one has sent none for twice as long as anything waits.
        SELECT c.rollout_id, min(c.bucket) AS first, greatest(at - 2 * patience - interval '10 seconds',
            CASE WHEN bool_or(c.n_treatment > 0) AND bool_or(c.n_control > 0) THEN
                least(max(c.bucket) FILTER (WHERE c.n_treatment > 0), max(c.bucket) FILTER (WHERE c.n_control > 0))
                    - interval '30 seconds' END) AS line
        FROM _flagscope.row_count c GROUP BY c.rollout_id
    )
    SELECT w.rollout_id, w.line, d.users
    FROM waits w JOIN flagscope.rollout r ON r.id = w.rollout_id
        CROSS JOIN LATERAL (SELECT _flagscope.row_metric(r) AS metric OFFSET 0) m,
        LATERAL (SELECT max((s.dependence ->> 'equal_units')::float8) AS users
            FROM flagscope.guardrail_status s JOIN flagscope.guardrail g ON g.id = s.guardrail_id
            WHERE s.rollout_id = w.rollout_id AND g.metric = m.metric AND g.enabled
                AND s.dependence ->> 'by' = 'subject') d
    WHERE w.first <= w.line
    ORDER BY w.rollout_id;
END $$;
COMMENT ON FUNCTION _flagscope.ripe_rows(timestamptz, interval) IS
    'rollouts with rows to be judged, up to which bucket, and as how many equally active users they come from (NULL: '
    'not known); at, and setting guardrail.pairing';

CREATE FUNCTION _flagscope.take_rows(rollout_id bigint, line timestamptz, settle interval)
RETURNS TABLE (at timestamptz, nominal float8, lowest float8, highest float8, settling boolean, n_treatment bigint,
    n_control bigint)
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    WITH taken AS (
        DELETE FROM _flagscope.row_count c WHERE c.rollout_id = take_rows.rollout_id AND c.bucket <= line
        RETURNING c.epoch, c.bucket, greatest(c.epoch, c.bucket) AS at, c.n_treatment, c.n_control
    )
    SELECT t.at, (a.percent / 100)::float8, (o.lowest / 100)::float8, (o.highest / 100)::float8,
        t.at < lower(a.valid) + settle, t.n_treatment, t.n_control
    FROM taken t JOIN flagscope.allocation a ON a.rollout_id = take_rows.rollout_id AND a.valid @> t.at
            AND a.percent > 0 AND a.percent < 100,
        LATERAL (SELECT * FROM _flagscope.older_shares(a, settle)) o
    ORDER BY t.bucket, t.epoch;
$$;
COMMENT ON FUNCTION _flagscope.take_rows(bigint, timestamptz, interval) IS
    'takes the rows by arm of a rollout up to a bucket, with the share that was served then';

CREATE FUNCTION _flagscope.judge_rows_of(asked bigint, line timestamptz, users float8, at timestamptz)
RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    news record;
BEGIN
    IF _flagscope.serves_apart(asked) THEN
        DELETE FROM _flagscope.row_count c WHERE c.rollout_id = asked;
        DELETE FROM _flagscope.row_share s WHERE s.rollout_id = asked;
        UPDATE flagscope.rollout_health h SET n_treatment = 0, n_control = 0, expected = 0, mismatch = '{}'
        WHERE h.rollout_id = asked AND h.rule = 'rows' AND h.n_treatment + h.n_control > 0;
        RETURN false;
    END IF;
    SELECT j.*, x.n_treatment, x.n_control, x.expected INTO news
    FROM (SELECT array_agg(t.at) AS at, array_agg(t.nominal) AS nominal, array_agg(t.lowest) AS least,
            array_agg(t.highest) AS greatest, array_agg(t.settling) AS settling,
            array_agg(t.n_treatment) AS treatment, array_agg(t.n_control) AS control,
            sum(t.n_treatment)::bigint AS n_treatment, sum(t.n_control)::bigint AS n_control,
            sum((t.n_treatment + t.n_control) * t.nominal) AS expected
        FROM _flagscope.take_rows(asked, line, _flagscope.setting_interval('health.settle')) t) x
        LEFT JOIN _flagscope.row_share s ON s.rollout_id = asked,
        LATERAL _flagscope.judge_row_share(coalesce(s.state, '{}'), x.at, x.nominal, x.least, x.greatest, x.settling,
            x.treatment, x.control, _flagscope.setting_number('health.alpha'),
            _flagscope.setting_number('health.row_share_margin'), coalesce(users, 0)) j;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO _flagscope.row_share AS s (rollout_id, state) VALUES (asked, news.state)
    ON CONFLICT ON CONSTRAINT row_share_pkey DO UPDATE SET state = excluded.state;
    UPDATE flagscope.rollout_health h SET mismatch = news.mismatch,
        -- While it is breached, the numbers that it was found by stay; after it all is counted anew.
        n_treatment = CASE WHEN news.finding = 'mismatch' THEN news.found_by[1]::bigint
            WHEN news.finding = 'over' THEN news.n_treatment WHEN h.mismatch <> '{}' THEN h.n_treatment
            ELSE h.n_treatment + news.n_treatment END,
        n_control = CASE WHEN news.finding = 'mismatch' THEN news.found_by[2]::bigint
            WHEN news.finding = 'over' THEN news.n_control WHEN h.mismatch <> '{}' THEN h.n_control
            ELSE h.n_control + news.n_control END,
        expected = CASE WHEN news.finding = 'mismatch' THEN news.found_by[3]
            WHEN news.finding = 'over' THEN news.expected WHEN h.mismatch <> '{}' THEN h.expected
            ELSE h.expected + news.expected END,
        max_log_e = CASE WHEN news.finding = 'over' THEN 0 ELSE greatest(h.max_log_e, news.log_e) END,
        counted_since = CASE WHEN news.finding IS NULL THEN h.counted_since ELSE judge_rows_of.at END
    WHERE h.rollout_id = asked AND h.rule = 'rows';
    RETURN news.finding IS NOT NULL;
END $$;
COMMENT ON FUNCTION _flagscope.judge_rows_of(bigint, timestamptz, float8, timestamptz) IS
    'judges the rows of a rollout up to a bucket: rollout, bucket, users as of ripe_rows(), time of the tick; returns '
    'whether a mismatch was found or is over';

CREATE FUNCTION _flagscope.judge_rows(at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    asked record;
    is_news boolean := false;
BEGIN
    FOR asked IN SELECT * FROM _flagscope.ripe_rows(at, _flagscope.setting_interval('guardrail.pairing')) LOOP
        INSERT INTO flagscope.rollout_health (rollout_id, rule) VALUES (asked.rollout_id, 'rows')
        ON CONFLICT DO NOTHING;
        -- A tick waits for nobody; who is assigned by targeting says nothing of the share.
        PERFORM FROM flagscope.rollout_health h WHERE h.rollout_id = asked.rollout_id AND h.rule = 'rows'
        FOR NO KEY UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        IF _flagscope.decided_otherwise(asked.rollout_id) IS NOT NULL THEN
            DELETE FROM _flagscope.row_count c WHERE c.rollout_id = asked.rollout_id;
        ELSIF _flagscope.judge_rows_of(asked.rollout_id, asked.line, asked.users, at) THEN
            is_news := true;
        END IF;
    END LOOP;
    IF is_news THEN
        PERFORM _flagscope.judge_health(at);
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.judge_rows(timestamptz) IS 'judges the rows by arm that are complete of all rollouts';

CREATE FUNCTION _flagscope.watch_rows(pieces _flagscope.piece[], at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF _flagscope.setting_text('health.row_share') = 'off' THEN
        RETURN;
    END IF;
    IF cardinality(pieces) > 0 THEN
        PERFORM _flagscope.count_rows(pieces);
    END IF;
    IF EXISTS (SELECT FROM _flagscope.row_count) THEN
        PERFORM _flagscope.judge_rows(at);
    END IF;
EXCEPTION WHEN OTHERS THEN
    -- In a subtransaction: a failure here must not stop the judging.
    RAISE WARNING USING ERRCODE = SQLSTATE,
        MESSAGE = _flagscope.message('rows by arm could not be judged: %s', SQLERRM);
END $$;
COMMENT ON FUNCTION _flagscope.watch_rows(_flagscope.piece[], timestamptz) IS
    'counts and judges rows by arm in a tick, unless setting health.row_share is off';

CREATE FUNCTION _flagscope.forget_rows(at timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM _flagscope.row_count c WHERE NOT EXISTS (SELECT FROM flagscope.rollout r
        WHERE r.id = c.rollout_id AND r.status IN ('running', 'paused', 'held'));
    DELETE FROM _flagscope.row_share s WHERE NOT EXISTS (SELECT FROM flagscope.rollout r
        WHERE r.id = s.rollout_id AND _flagscope.is_watched(r, at));
$$;
COMMENT ON FUNCTION _flagscope.forget_rows(timestamptz) IS
    'part of maintain(): rows by arm of rollouts that are over';
