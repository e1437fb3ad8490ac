-- Decisions: what was done, why, by whom; and what has to be told to the world.

CREATE TABLE flagscope.decision (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key               text NOT NULL UNIQUE,
    at                timestamptz NOT NULL,
    rollout_id        bigint NOT NULL,
    flag              text NOT NULL,
    environment       text NOT NULL,
    action            flagscope.action NOT NULL,
    shadow            boolean NOT NULL DEFAULT false,
    from_status       flagscope.rollout_status NOT NULL,
    to_status         flagscope.rollout_status NOT NULL,
    from_percent      numeric(6,3) NOT NULL,
    to_percent        numeric(6,3) NOT NULL,
    from_stage        integer NOT NULL,
    to_stage          integer NOT NULL,
    guardrail_id      bigint,
    guardrail_version integer,
    rule              jsonb,
    evidence          jsonb NOT NULL DEFAULT '{}',
    evidence_id       bigint,
    last_stratum      integer,
    watermark         timestamptz,
    actor             text NOT NULL,
    reason            text NOT NULL,
    session_role      text NOT NULL DEFAULT session_user,
    recorded_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    transaction       xid8 NOT NULL DEFAULT pg_current_xact_id()
);
COMMENT ON TABLE flagscope.decision IS 'append-only: every decision on a rollout with its evidence; never updated, never deleted';
COMMENT ON COLUMN flagscope.decision.key IS 'what is decided at most once: rollout, its version, action, guardrail; and for what only tells, the breach';
COMMENT ON COLUMN flagscope.decision.shadow IS 'a shadow rule would have acted; nothing was changed';
COMMENT ON COLUMN flagscope.decision.rule IS 'the guardrail as it stood';
COMMENT ON COLUMN flagscope.decision.evidence IS
    'verdict and numbers: what both arms looked like in the stage, n and events weighed, odds ratio with its anytime-valid interval, ln e and the line it crossed; of several guardrails together also joint, as in guardrail_status';
COMMENT ON COLUMN flagscope.decision.actor IS 'who decided, as the caller said; "flagscope": a guardrail or the ramp';
COMMENT ON COLUMN flagscope.decision.session_role IS 'the role that was logged in, whatever it said: of flagscope''s own decisions whoever called tick()';
COMMENT ON COLUMN flagscope.decision.at IS 'when it holds from: the time that the tick or the caller gave';
COMMENT ON COLUMN flagscope.decision.recorded_at IS 'when it was written, by the server''s clock';
COMMENT ON COLUMN flagscope.decision.evidence_id IS
    'with last_stratum: the evidence is what the rows of evaluation with this number add up to, up to that ordinal';
COMMENT ON COLUMN flagscope.decision.watermark IS 'latest ts among the rows judged';
CREATE INDEX decision_by_rollout ON flagscope.decision (rollout_id, id);

CREATE TABLE flagscope.outbox (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         text NOT NULL,
    payload      jsonb NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts     integer NOT NULL DEFAULT 0,
    next_try_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    delivered_at timestamptz
);
COMMENT ON TABLE flagscope.outbox IS
    'notifications to deliver; a deliverer takes rows FOR UPDATE SKIP LOCKED, NOTIFY flagscope_outbox wakes it';
CREATE INDEX outbox_to_deliver ON flagscope.outbox (next_try_at) WHERE delivered_at IS NULL;
