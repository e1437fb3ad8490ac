-- A rollout by hand: every transition, legal or not; what each call does to rollout, flag, history and decision.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SET flagscope.actor = 'ann';

-- All 36 pairs of status, tried by UPDATE; a cell says what the trigger did, where that is not what the table says.
SELECT flagscope.create_flag('pairs');
SELECT flagscope.create_rollout('pairs');
CREATE FUNCTION pg_temp.try(from_status flagscope.rollout_status, to_status flagscope.rollout_status) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL session_replication_role = replica;
    UPDATE flagscope.rollout SET status = from_status, stage = (from_status <> 'draft')::int;
    SET LOCAL session_replication_role = origin;
    BEGIN
        UPDATE flagscope.rollout SET status = to_status, stage = (to_status <> 'draft')::int;
        RETURN 'yes';
    EXCEPTION WHEN object_not_in_prerequisite_state THEN
        RETURN 'no';
    END;
END $$;
SELECT f AS "from", max(x) FILTER (WHERE t = 'draft') AS draft, max(x) FILTER (WHERE t = 'running') AS running,
    max(x) FILTER (WHERE t = 'paused') AS paused, max(x) FILTER (WHERE t = 'held') AS held,
    max(x) FILTER (WHERE t = 'rolled_back') AS rolled_back, max(x) FILTER (WHERE t = 'completed') AS completed
FROM (
    SELECT f, t,
        CASE WHEN f = t THEN '=' WHEN (done = 'yes') = _flagscope.legal_transition(f, t) THEN done
            ELSE 'WRONG ' || done END AS x
    FROM unnest(enum_range(NULL::flagscope.rollout_status)) f, unnest(enum_range(NULL::flagscope.rollout_status)) t,
        LATERAL pg_temp.try(f, t) done
    OFFSET 0
) p GROUP BY f ORDER BY f;

-- A rollout through every call.
SELECT flagscope.create_flag('f', variants => '{"new": 1, "old": 2, "other": 3}', default_variant => 'other',
    value_type => 'integer');
SELECT flagscope.create_rollout('f', treatment => 'new', control => 'old', stages => ARRAY[0.001, 12.5, 100],
    min_duration => '1 min', min_sample => 7, approval => true, alpha => 0.05) AS id \gset
CREATE VIEW pg_temp.stand AS
SELECT r.status, r.stage, r.version, r.previous_variant AS previous, r.started_at IS NOT NULL AS started,
    r.ended_at IS NOT NULL AS ended, s.enabled, s.default_variant AS "default", s.treatment, s.control, s.percent,
    s.actor, s.reason,
    (SELECT string_agg(variant || ' ' || n, ', ' ORDER BY variant)
        FROM (SELECT coalesce(e.variant, '-') AS variant, CASE count(*) WHEN 1000 THEN 'all' ELSE 'some' END AS n
            FROM generate_series(1, 1000) i, flagscope.evaluate('f', 'user' || i) e GROUP BY 1) x) AS serves
FROM flagscope.rollout r JOIN flagscope.flag_state s USING (flag, environment)
WHERE r.flag = 'f' ORDER BY r.id DESC LIMIT 1;
SELECT ordinal, percent, min_duration, min_sample, approval_needed
FROM flagscope.rollout_stage WHERE rollout_id = :id ORDER BY 1;
SELECT * FROM pg_temp.stand;
-- A draft serves nothing and can do nothing but start.
SELECT flagscope.pause_rollout(:id);
SELECT flagscope.resume_rollout(:id);
SELECT flagscope.advance_rollout(:id);
SELECT flagscope.step_back_rollout(:id);
SELECT flagscope.rollback_rollout(:id);
SELECT flagscope.complete_rollout(:id);
SELECT flagscope.approve_stage(:id);
SELECT flagscope.start_rollout(:id, reason => 'let us go', override => true) > 0 AS done;
SELECT * FROM pg_temp.stand;
SELECT flagscope.start_rollout(:id, override => true, reason => 'unguarded');
SELECT flagscope.resume_rollout(:id);
SELECT flagscope.advance_rollout(:id, actor => 'bob') > 0 AS done;
SELECT * FROM pg_temp.stand;
SELECT flagscope.pause_rollout(:id, 'lunch') > 0 AS done;
SELECT * FROM pg_temp.stand;
SELECT flagscope.pause_rollout(:id);
SELECT flagscope.advance_rollout(:id);
SELECT flagscope.step_back_rollout(:id);
SELECT flagscope.approve_stage(:id, reason => 'in the meantime') > 0 AS done;
SELECT flagscope.resume_rollout(:id) > 0 AS done;
-- The stage starts anew, and with it the approval.
SELECT * FROM pg_temp.stand;
SELECT approved_by, approved_at FROM flagscope.rollout_stage WHERE rollout_id = :id AND ordinal = 2;
BEGIN;
SET LOCAL flagscope.actor = 'carol';
SET LOCAL flagscope.reason = 'too early';
SELECT flagscope.step_back_rollout(:id) > 0 AS done;
COMMIT;
SELECT * FROM pg_temp.stand;
SELECT flagscope.step_back_rollout(:id) > 0 AS done;  -- there is no stage before the first
SELECT flagscope.pause_rollout(:id) > 0 AS done;
SELECT flagscope.resume_rollout(:id) > 0 AS done;
SELECT flagscope.approve_stage(:id) > 0 AS done;
SELECT approved_by FROM flagscope.rollout_stage WHERE rollout_id = :id ORDER BY ordinal;
SELECT count(flagscope.advance_rollout(:id)) FROM generate_series(1, 2);
SELECT * FROM pg_temp.stand;
-- Advancing from the last stage completes; everyone has the treatment.
SELECT flagscope.advance_rollout(:id) > 0 AS done;
SELECT * FROM pg_temp.stand;
SELECT flagscope.complete_rollout(:id);
SELECT flagscope.pause_rollout(:id);
SELECT flagscope.resume_rollout(:id);
SELECT flagscope.advance_rollout(:id);
-- A completed one can still be rolled back: what was served before it comes back. Then it is over.
SELECT flagscope.rollback_rollout(:id, 'after all') > 0 AS done;
SELECT * FROM pg_temp.stand;
SELECT flagscope.rollback_rollout(:id);
SELECT flagscope.complete_rollout(:id);
SELECT flagscope.start_rollout(:id, override => true, reason => 'unguarded');

-- Every call left one decision, one version of the flag state (approvals none), one row to deliver.
SELECT row_number() OVER (ORDER BY id) AS nr, action, actor, reason, from_status || ' -> ' || to_status AS status,
    from_stage || ' -> ' || to_stage AS stage, trim_scale(from_percent) || ' -> ' || trim_scale(to_percent) AS percent,
    guardrail_id, evidence
FROM flagscope.decision WHERE rollout_id = :id ORDER BY id;
SELECT row_number() OVER (ORDER BY h.version) AS nr, h.enabled, h.default_variant, h.treatment, h.percent, h.actor,
    h.reason, d.action, upper(h.valid) IS NULL AS current,
    lower(h.valid) = lag(upper(h.valid)) OVER (ORDER BY h.version) AS no_gap
FROM flagscope.flag_state_history h LEFT JOIN flagscope.decision d ON d.id = h.decision_id
WHERE h.flag = 'f' ORDER BY h.version;
SELECT count(*) = (SELECT count(*) FROM flagscope.decision) AS told FROM flagscope.outbox;

-- A disabled flag with a live rollout serves nothing, keeps its stage, and goes on when it is enabled again.
SELECT flagscope.create_rollout('f', treatment => 'new', control => 'old', stages => ARRAY[50, 100]) AS id \gset
SELECT flagscope.start_rollout(:id, override => true, reason => 'unguarded') > 0 AS done;
SELECT flagscope.disable_flag('f') > 0 AS done;
SELECT status, stage, enabled, percent, serves FROM pg_temp.stand;
SELECT flagscope.advance_rollout(:id) > 0 AS done;
SELECT status, stage, enabled, percent, serves FROM pg_temp.stand;
SELECT flagscope.enable_flag('f') > 0 AS done;
SELECT status, stage, enabled, percent, serves FROM pg_temp.stand;
SELECT flagscope.complete_rollout(:id) > 0 AS done;
-- A completed rollout that another one has followed can no longer be rolled back: that would undo the other one too.
-- Once the other one is rolled back, it can.
SELECT flagscope.create_rollout('f', treatment => 'old', control => 'new', stages => ARRAY[50, 100]) AS next \gset
SELECT flagscope.start_rollout(:next, override => true, reason => 'unguarded') > 0 AS done;
SELECT flagscope.rollback_rollout(:id);
SELECT status, stage, enabled, percent, serves FROM pg_temp.stand;
SELECT flagscope.rollback_rollout(:next) > 0 AS done;
SELECT status, "default", serves FROM pg_temp.stand;
SELECT flagscope.rollback_rollout(:id) > 0 AS done;
SELECT "default", serves FROM pg_temp.stand;

-- Evidence begins with the rollout; a deleted draft leaves nothing.
SELECT flagscope.create_metric('errors', 'proportion', 'span', event => '{"is_error": true}');
SELECT flagscope.create_guardrail('f', 'errors') > 0 AS made;
SELECT flagscope.create_rollout('f', treatment => 'new', control => 'old') AS id \gset
SELECT count(*) FROM flagscope.guardrail_status;
DELETE FROM flagscope.rollout WHERE id = :id;
SELECT count(*) FROM flagscope.rollout_stage WHERE rollout_id = :id;
SELECT flagscope.create_rollout('f', treatment => 'new', control => 'old') AS id \gset
SELECT flagscope.start_rollout(:id, override => true, reason => 'unguarded') > 0 AS done;
SELECT state, alpha, n_treatment, evidence FROM flagscope.guardrail_status;
SELECT percent FROM flagscope.rollout_stage WHERE rollout_id = :id ORDER BY ordinal;  -- the setting rollout.stages
-- What is rolled out is fixed once it has started, and so is the flag's variant that it serves.
UPDATE flagscope.rollout SET treatment = 'other' WHERE id = :id;
UPDATE flagscope.rollout SET alpha = 0.5 WHERE id = :id;
UPDATE flagscope.flag_definition SET variants = '{"old": 2, "other": 3}' WHERE key = 'f';
DELETE FROM flagscope.flag_definition WHERE key = 'f';
INSERT INTO flagscope.rollout (flag, environment, treatment, control, alpha, status, stage)
VALUES ('pairs', 'production', 'on', 'off', 0.01, 'running', 1);
