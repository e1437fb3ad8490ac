-- Decisions: what was done, why and by whom; and the outbox of notifications.

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
COMMENT ON TABLE flagscope.decision IS
    'append-only: every decision on a rollout with its evidence; never updated, never deleted';
COMMENT ON COLUMN flagscope.decision.id IS 'number of the decision';
COMMENT ON COLUMN flagscope.decision.rollout_id IS 'the rollout';
COMMENT ON COLUMN flagscope.decision.flag IS 'key of the flag that is rolled out';
COMMENT ON COLUMN flagscope.decision.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.decision.action IS 'what was done, or of shadow rules would have been';
COMMENT ON COLUMN flagscope.decision.from_status IS 'status of the rollout before';
COMMENT ON COLUMN flagscope.decision.to_status IS 'status of the rollout after';
COMMENT ON COLUMN flagscope.decision.from_percent IS 'share of users served before';
COMMENT ON COLUMN flagscope.decision.to_percent IS 'share of users served after';
COMMENT ON COLUMN flagscope.decision.from_stage IS 'stage before; 0: none yet';
COMMENT ON COLUMN flagscope.decision.to_stage IS 'stage after';
COMMENT ON COLUMN flagscope.decision.guardrail_id IS 'the guardrail that wanted it; NULL: a person or the ramp';
COMMENT ON COLUMN flagscope.decision.guardrail_version IS 'version of its rule';
COMMENT ON COLUMN flagscope.decision.last_stratum IS
    'the last stratum of the evidence: rows of evaluation of evidence_id up to it were in the sum';
COMMENT ON COLUMN flagscope.decision.reason IS 'why, in words';
COMMENT ON COLUMN flagscope.decision.transaction IS 'transaction that decided';
COMMENT ON COLUMN flagscope.decision.key IS
    'makes a decision happen at most once: rollout and its version, action, guardrail; '
    'for warnings and shadow rules also the breach';
COMMENT ON COLUMN flagscope.decision.shadow IS 'true: a shadow rule would have acted; nothing was changed';
COMMENT ON COLUMN flagscope.decision.rule IS 'the guardrail''s row at the time';
COMMENT ON COLUMN flagscope.decision.evidence IS
    'verdict and numbers: the metric of both arms in this stage, sample sizes and events, the estimate with an '
    'interval valid at every look, ln e and the line it crossed; for a joint breach also joint, as in guardrail_status';
COMMENT ON COLUMN flagscope.decision.actor IS
    'who decided, as stated by the caller; "flagscope": a guardrail or the ramp';
COMMENT ON COLUMN flagscope.decision.session_role IS
    'the role that was logged in, whatever actor says; for flagscope''s own decisions, the one that called tick()';
COMMENT ON COLUMN flagscope.decision.at IS 'effective time, as given by the tick or the caller';
COMMENT ON COLUMN flagscope.decision.recorded_at IS 'when it was written, by the server''s clock';
COMMENT ON COLUMN flagscope.decision.evidence_id IS
    'with last_stratum: the rows of evaluation that the evidence is the sum of (this number, strata up to that one)';
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
    'notifications to deliver; flagscope-gateway sends them to its sinks, woken by NOTIFY flagscope_outbox';
COMMENT ON COLUMN flagscope.outbox.id IS 'number of the notification';
COMMENT ON COLUMN flagscope.outbox.kind IS 'decision, approval (one is awaited), health or correlation';
COMMENT ON COLUMN flagscope.outbox.payload IS
    'what is told, as JSON: event, severity (info, warning or critical), sentence, link (setting message.link), and '
    'what it is about';
COMMENT ON COLUMN flagscope.outbox.created_at IS 'when it happened';
COMMENT ON COLUMN flagscope.outbox.attempts IS 'deliveries that were tried';
COMMENT ON COLUMN flagscope.outbox.next_try_at IS 'when it is tried next';
COMMENT ON COLUMN flagscope.outbox.delivered_at IS 'when the last of its sinks was done with it; NULL: not yet';
CREATE INDEX outbox_to_deliver ON flagscope.outbox (next_try_at) WHERE delivered_at IS NULL;

CREATE TABLE flagscope.outbox_delivery (
    outbox_id   bigint NOT NULL REFERENCES flagscope.outbox ON DELETE CASCADE,
    sink        text NOT NULL,
    attempts    integer NOT NULL DEFAULT 0,
    next_try_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at    timestamptz,
    problem     text,
    PRIMARY KEY (outbox_id, sink)
);
COMMENT ON TABLE flagscope.outbox_delivery IS
    'what became of a notification at each sink, so that a sink that fails repeats only its own';
COMMENT ON COLUMN flagscope.outbox_delivery.outbox_id IS 'the notification';
COMMENT ON COLUMN flagscope.outbox_delivery.sink IS 'name of the sink, as flagscope-gateway is configured';
COMMENT ON COLUMN flagscope.outbox_delivery.attempts IS 'deliveries that were tried';
COMMENT ON COLUMN flagscope.outbox_delivery.next_try_at IS
    'when it is tried next; a gateway that delivers it now has set it ahead';
COMMENT ON COLUMN flagscope.outbox_delivery.ended_at IS
    'when this sink was done with it; NULL: it is still to be delivered';
COMMENT ON COLUMN flagscope.outbox_delivery.problem IS
    'why the last try failed; of one that has ended: why it was not delivered; NULL: it was';
CREATE INDEX outbox_delivery_due ON flagscope.outbox_delivery (sink, next_try_at) WHERE ended_at IS NULL;
