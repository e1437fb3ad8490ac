-- Gates of a stage besides verdicts: would harm have been seen (power), is it refuted (safe). The arithmetic is
-- src/core/stats/power.rs and src/core/guardrail/safety.rs.

COMMENT ON FUNCTION _flagscope.sees(text, text, float8, float8, float8, float8, float8, float8, float8[], float8) IS
    'what a guardrail has been able to see: kind of metric, harm, quantile, alpha, margin, margin_absolute, '
    'limit_value, centre and information (guardrail_status), an effect; found: the chance that this effect would have '
    'been found; smallest: the smallest that is found with 80 %, NULL: none below 100 times; data_wanted: how many '
    'times as much data finds the asked one so, NULL: none does';

CREATE TYPE _flagscope.gate AS (
    guardrail text, gate text, is_clear boolean, detectable float8, found float8, smallest_effect float8,
    seconds_left float8, safe_margin float8, safe_log_e float8, safe_line float8, is_limit boolean
);
COMMENT ON TYPE _flagscope.gate IS
    'what a guardrail still asks of a stage: its gate (clear, power, safe); is_clear: nothing more; seconds_left: '
    'until it is expected to be clear at the present rate of data, NULL: not known';

CREATE FUNCTION _flagscope.seconds_left(s flagscope.guardrail_status, wanted float8, at timestamptz,
    began_at timestamptz) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    -- What a row of the treatment tells grows with the control's share beside it.
    SELECT (wanted - 1) * s.n_treatment * x.beside / nullif(x.stage_beside * x.rate, 0)
    FROM (SELECT CASE WHEN s.n_control = 0 THEN 1
            ELSE s.n_control::float8 / (s.n_treatment + s.n_control) END AS beside,
        CASE WHEN s.stage_control = 0 THEN 1
            ELSE s.stage_control::float8 / (s.stage_treatment + s.stage_control) END AS stage_beside,
        s.stage_treatment / nullif(extract(epoch FROM at - began_at), 0)::float8 AS rate) x
    WHERE wanted > 1;
$$;
COMMENT ON FUNCTION _flagscope.seconds_left(flagscope.guardrail_status, float8, timestamptz, timestamptz) IS
    'how long it takes until a guardrail has so many times the data that it has, at the rate of the present stage';

CREATE FUNCTION _flagscope.gates(r flagscope.rollout, at timestamptz) RETURNS SETOF _flagscope.gate
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT g.name, x.gate, CASE x.gate WHEN 'safe' THEN st.safe_log_e >= -ln(r.alpha)
            WHEN 'power' THEN x.detectable = 0 OR coalesce(p.found >= 0.8, false) ELSE true END,
        nullif(x.detectable, 0), p.found, p.smallest,
        _flagscope.seconds_left(st, p.data_wanted, at, r.stage_started_at),
        coalesce(g.safe_margin, _flagscope.setting_number('guardrail.safe_margin')), st.safe_log_e, -ln(r.alpha),
        g.comparison <> 'control'
    FROM flagscope.rollout_stage s
        JOIN flagscope.guardrail g ON g.flag = r.flag AND g.environment = r.environment AND g.enabled AND NOT g.shadow
            AND g.test = 'sequential'
        JOIN flagscope.guardrail_status st ON st.guardrail_id = g.id AND st.rollout_id = r.id AND NOT st.carries_on
        JOIN flagscope.metric_definition m ON m.name = g.metric,
        -- A stage without a time waits for no power.
        LATERAL (SELECT CASE WHEN coalesce(g.advance_when, s.advance_when) = 'power'
                AND coalesce(s.max_duration, s.min_duration) = interval '0' THEN 'clear'
                ELSE coalesce(g.advance_when, s.advance_when) END AS gate,
            coalesce(g.detectable, _flagscope.setting_number('guardrail.detectable')) AS detectable) x
        LEFT JOIN LATERAL _flagscope.sees(m.kind::text, m.harm::text, g.quantile, st.alpha, st.margin,
            st.margin_absolute, st.limit_value, st.centre, st.information,
            greatest(x.detectable, 1)) p ON x.gate <> 'clear'
    -- At 100 % there is nobody left to protect by waiting.
    WHERE s.rollout_id = r.id AND s.ordinal = r.stage AND s.percent < 100
    ORDER BY g.priority DESC, g.id;
$$;
COMMENT ON FUNCTION _flagscope.gates(flagscope.rollout, timestamptz) IS
    'what the sequential guardrails of a rollout still ask of its stage; none at 100 %';

CREATE FUNCTION _flagscope.stage_ends(r flagscope.rollout) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.stage_started_at
        + coalesce(s.max_duration, s.min_duration * greatest(_flagscope.setting_number('rollout.patience'), 1))
    FROM flagscope.rollout_stage s WHERE s.rollout_id = r.id AND s.ordinal = r.stage;
$$;
COMMENT ON FUNCTION _flagscope.stage_ends(flagscope.rollout) IS
    'when a rollout''s stage no longer waits for power (max_duration)';

CREATE FUNCTION _flagscope.gate_words(g _flagscope.gate) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE (g).gate
        WHEN 'safe' THEN format('"%s" is %s', CASE WHEN (g).is_limit THEN 'within its limit'
            ELSE format('no worse than %s %%', trim_scale(round((100 * (g).safe_margin)::numeric, 2))) END,
            CASE WHEN (g).is_clear THEN 'shown' ELSE format('not shown yet: the evidence is at %s %% of the line',
                floor(100 * greatest((g).safe_log_e, 0) / (g).safe_line)) END)
        WHEN 'power' THEN CASE WHEN (g).detectable IS NOT NULL THEN
            format('an effect of %s times would have been found with %s chance', (g).detectable,
                CASE WHEN (g).found >= 0.995 THEN '100 %'
                    ELSE floor(100 * coalesce((g).found, 0)) || ' %' END) END END;
$$;
COMMENT ON FUNCTION _flagscope.gate_words(_flagscope.gate) IS 'how far a gate is, in words; NULL: it asks for nothing';

CREATE FUNCTION _flagscope.unsure(r flagscope.rollout, at timestamptz) RETURNS TABLE (gate text, words text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (x.g).gate, CASE (x.g).gate WHEN 'safe' THEN format('%s: waits until it is safe: %s', (x.g).guardrail,
            _flagscope.gate_words(x.g))
        ELSE format('%s: waits for power: %s so far; %s', (x.g).guardrail, _flagscope.gate_words(x.g),
            CASE WHEN at + make_interval(secs => least((x.g).seconds_left, 1e9)) < x.ends
                THEN format('needs about %s more', _flagscope.seconds_words((x.g).seconds_left))
                ELSE 'goes on at ' || _flagscope.utc(x.ends) || ' at the latest' END) END
    FROM (SELECT g, _flagscope.stage_ends(r) AS ends FROM _flagscope.gates(r, at) g) x
    WHERE NOT (x.g).is_clear AND ((x.g).gate = 'safe' OR at < x.ends)
    ORDER BY (x.g).gate = 'safe' DESC, (x.g).found NULLS FIRST, (x.g).guardrail LIMIT 1;
$$;
COMMENT ON FUNCTION _flagscope.unsure(flagscope.rollout, timestamptz) IS
    'the gate (power or safe) that a guardrail still keeps shut, and in words how far it is and when it will open; no '
    'row: none';

CREATE FUNCTION _flagscope.sure(r flagscope.rollout, at timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(format('%s: %s%s', (g).guardrail, _flagscope.gate_words(g),
            CASE WHEN NOT (g).is_clear THEN ' only: max_duration is over' END), '; ')
    FROM _flagscope.gates(r, at) g WHERE _flagscope.gate_words(g) IS NOT NULL;
$$;
COMMENT ON FUNCTION _flagscope.sure(flagscope.rollout, timestamptz) IS
    'how sure the guardrails of a stage are that is left: what would have been found, and what was shown';
