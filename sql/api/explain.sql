-- Findings in words, and those that the worker keeps.

CREATE FUNCTION _flagscope.finding_words(f flagscope.finding) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE f.kind
        WHEN 'segment' THEN concat(round((100 * f.share)::numeric) || ' % of the harm is where ', f.finding, x.arms,
            format(' (%s of %s rows', f.events_treatment, f.n_treatment), ', ' || f.subjects || ' subjects', ')')
        WHEN 'symptom' THEN concat('it looks like ', f.finding, x.arms, ', ' || round((100 * f.share)::numeric)
            || ' % of the harm')
        WHEN 'span' THEN concat(CASE WHEN f.events_treatment IS NULL THEN 'in ' END, f.finding, x.arms)
        WHEN 'log' THEN concat('in the logs: ', f.finding, x.arms)
        ELSE f.finding END
    FROM (SELECT format(': %s with the treatment, %s with the control', f.treatment, f.control) AS arms) x;
$$;
COMMENT ON FUNCTION _flagscope.finding_words(flagscope.finding) IS 'a finding as a sentence';

CREATE FUNCTION _flagscope.kept_words(decision_id bigint, most integer) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- Notes only when there is nothing else.
    SELECT _flagscope.finding_words(ROW(c.rank, c.kind, c.finding, c.share, c.p_value, c.treatment, c.control,
        c.n_treatment, c.events_treatment,
        c.n_control, c.events_control, c.subjects, c.same_as, c.goes_with, c.predicate, c.traces, c.examples,
            c.recompute)::flagscope.finding)
    FROM flagscope.correlation c WHERE c.decision_id = kept_words.decision_id
    ORDER BY c.kind = 'note', c.rank LIMIT most;
$$;
COMMENT ON FUNCTION _flagscope.kept_words(bigint, integer) IS
    'the first findings that are kept of a decision, as sentences';

CREATE FUNCTION _flagscope.explained(d flagscope.decision) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'why         ' || string_agg(w.words, E'\n            ' ORDER BY w.place)
        || format(E'\n            SELECT * FROM flagscope.correlate_decision(%s);', d.id)
    FROM _flagscope.kept_words(d.id, 3) WITH ORDINALITY w(words, place);
$$;
COMMENT ON FUNCTION _flagscope.explained(flagscope.decision) IS
    'the last lines of explain_decision(): where the harm is, once the worker has looked; NULL before';

CREATE FUNCTION flagscope.explain_rollout(rollout_id bigint) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r flagscope.rollout := _flagscope.require_rollout(rollout_id);
BEGIN
    RETURN concat_ws(E'\n', format('rollout %s of flag "%s" in %s: %s against %s, %s', r.id, r.flag, r.environment,
        r.treatment, r.control, r.status),
        (SELECT string_agg(format('%s. %s', f.rank, _flagscope.finding_words(f)), E'\n' ORDER BY f.rank)
            FROM flagscope.correlate_rollout(r.id) f));
END $$;
COMMENT ON FUNCTION flagscope.explain_rollout(bigint) IS
    'why a rollout does harm, as a page of sentences: correlate_rollout() in words';

CREATE FUNCTION flagscope.explain_rollout(flag text, environment text DEFAULT NULL) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT flagscope.explain_rollout(_flagscope.latest_rollout(flag, environment)) $$;
COMMENT ON FUNCTION flagscope.explain_rollout(text, text) IS 'the same for the last rollout of a flag';

CREATE FUNCTION _flagscope.due_correlation() RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- Ticks decide one after the other, so a decision with a lower number is not still to come.
    SELECT d.id FROM flagscope.decision d
    WHERE d.id > coalesce((SELECT max(c.decision_id) FROM flagscope.correlation c), 0)
        AND d.recorded_at > clock_timestamp() - interval '1 day'
        AND d.actor = 'flagscope' AND d.guardrail_id IS NOT NULL AND NOT d.shadow
        AND d.action IN ('hold', 'pause', 'step_back', 'rollback', 'disable')
        -- In a cluster decisions are on one node and raw rows on others.
        AND _flagscope.node_role() = 'alone'
    ORDER BY d.id LIMIT 1;
$$;
COMMENT ON FUNCTION _flagscope.due_correlation() IS
    'the next decision of a guardrail on a rollout that nobody has looked into yet; NULL: none';

CREATE FUNCTION _flagscope.correlate_pending() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, MDY'
    SET intervalstyle = 'postgres'
SET extra_float_digits = 1
AS $$
DECLARE
    d flagscope.decision;
BEGIN
    SELECT * INTO d FROM flagscope.decision x WHERE x.id = _flagscope.due_correlation() FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    BEGIN
        INSERT INTO flagscope.correlation SELECT d.id, f.* FROM _flagscope.explore(_flagscope.decision_question(d)) f;
    EXCEPTION WHEN OTHERS THEN
        -- It is not tried again and again; who asks correlate_decision() of a decision without rows computes it anew.
        INSERT INTO flagscope.correlation (decision_id, rank, kind, finding)
        VALUES (d.id, 1, 'note', _flagscope.message('why could not be found out: %s', SQLERRM));
    END;
    INSERT INTO flagscope.correlation (decision_id, rank, kind, finding)
    SELECT d.id, 1, 'note', 'nothing was found' WHERE NOT EXISTS (SELECT FROM flagscope.correlation c
        WHERE c.decision_id = d.id);
    INSERT INTO flagscope.outbox (kind, payload)
    SELECT 'correlation', jsonb_build_object('decision_id', d.id, 'rollout_id', d.rollout_id, 'flag', d.flag,
        'environment', d.environment,
        'action', d.action, 'finding', (array_agg(w.words ORDER BY w.place))[1], 'findings',
        array_agg(w.words ORDER BY w.place)) || _flagscope.why_message(d, (array_agg(w.words ORDER BY w.place))[1])
    FROM _flagscope.kept_words(d.id, 3) WITH ORDINALITY w(words, place);
    PERFORM _flagscope.wake_deliverers();
    RETURN d.id;
END $$;
COMMENT ON FUNCTION _flagscope.correlate_pending() IS
    'looks into the next decision that is due: its findings go to table correlation, the first in words to outbox; '
    'returns the decision, NULL when none is due';
