-- The truth table: every data state, what is wanted then, shadow or not, at the first, a middle and the last stage, and
-- in the watch after completion. A cell says what the flag serves afterwards and which decision was made.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SELECT flagscope.create_flag('f');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{}', '{"is_error": true}');
CREATE TEMP TABLE truth (state flagscope.data_state, wanted text, shadow boolean, stage integer, cell text);
CREATE FUNCTION pg_temp.cell(state flagscope.data_state, wanted text, is_shadow boolean, stage integer) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    rollout bigint;
    at timestamptz := '2040-01-02 12:00';
    answer text;
BEGIN
    rollout := flagscope.create_rollout('f', stages => ARRAY[10, 50, 100], min_duration => '0', follow_up => '1 h');
    PERFORM flagscope.create_guardrail('f', 'errors', limit_value => 0.1, shadow => is_shadow,
        action => CASE WHEN state = 'breached' AND wanted NOT IN ('wait', 'ignore') THEN wanted
            ELSE 'rollback' END::flagscope.action,
        on_state => CASE WHEN state IN ('ok', 'breached') THEN '{}' ELSE jsonb_build_object(state, wanted) END);
    PERFORM flagscope.start_rollout(rollout, at => at, override => true, reason => 'unguarded');
    FOR i IN 2 .. stage LOOP
        PERFORM flagscope.advance_rollout(rollout, at => at);
    END LOOP;
    UPDATE flagscope.guardrail_status s SET state = cell.state, state_since = at, evaluated_at = at,
        breached_at = CASE WHEN cell.state = 'breached' THEN at END,
        -- fresh data: came at that time
        rhythm_treatment = ARRAY[t.t, t.t, 0, 0, 0]
    FROM (SELECT 1e6 * extract(epoch FROM at - '2000-01-01 00:00+00')::float8) t(t) WHERE s.rollout_id = rollout;
    PERFORM _flagscope.ramp(at + interval '1 s');
    -- Twice: what was decided is not decided again, unless the ramp goes on.
    IF (SELECT r.stage = cell.stage AND r.status <> 'completed' OR cell.stage = 4
        FROM flagscope.rollout r WHERE r.id = rollout) THEN
        PERFORM _flagscope.ramp(at + interval '2 s');
    END IF;
    SELECT concat_ws(' ', r.status,
        CASE WHEN NOT s.enabled THEN 'disabled' WHEN s.percent IS NULL THEN s.default_variant
            ELSE round(s.percent) || ' %' END,
        (SELECT string_agg(CASE WHEN d.shadow THEN '(' || d.action || ')' ELSE d.action::text END, ', ' ORDER BY d.id)
            FROM flagscope.decision d WHERE d.rollout_id = rollout AND d.actor = 'flagscope'))
    INTO answer FROM flagscope.rollout r JOIN flagscope.flag_state s USING (flag, environment) WHERE r.id = rollout;
    RAISE EXCEPTION USING ERRCODE = 'TRUTH', MESSAGE = answer;
EXCEPTION WHEN SQLSTATE 'TRUTH' THEN
    RETURN SQLERRM;
END $$;
INSERT INTO truth SELECT s, w, h, n, pg_temp.cell(s, w, h, n)
FROM unnest(enum_range(NULL::flagscope.data_state)) s,
    unnest('{wait,ignore,warn,hold,pause,step_back,rollback,disable}'::text[]) w, unnest('{f,t}'::boolean[]) h,
    generate_series(1, 4) n
WHERE NOT (s = 'breached' AND w IN ('wait', 'ignore')) AND (s <> 'ok' OR w = 'wait');
SELECT state, wanted, shadow, max(cell) FILTER (WHERE stage = 1) AS "first (10 %)",
    max(cell) FILTER (WHERE stage = 2) AS "middle (50 %)", max(cell) FILTER (WHERE stage = 3) AS "last (100 %)",
    max(cell) FILTER (WHERE stage = 4) AS watch
FROM truth GROUP BY state, wanted, shadow
ORDER BY state, array_position('{wait,ignore,warn,hold,pause,step_back,rollback,disable}', wanted), shadow;
SELECT count(*) FROM truth;
-- The rules behind it, said once: what waits is as it was; a shadow rule changes nothing and holds nothing;
-- absence of data never advances.
SELECT count(*) FILTER (WHERE wanted = 'wait' AND NOT shadow AND state NOT IN ('ok', 'breached') AND stage < 4
    AND cell !~ '^running (10|50|100) %$') AS waiting_moves,
    count(*) FILTER (WHERE shadow AND stage < 4 AND cell !~ 'advance') AS shadow_holds,
    count(*) FILTER (WHERE NOT shadow AND wanted NOT IN ('ignore', 'warn') AND state <> 'ok'
        AND cell ~ 'advance') AS uncertain_advances
FROM truth;
