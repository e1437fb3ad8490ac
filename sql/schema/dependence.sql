-- How much rows of one unit resemble each other (src/core/stats/dependence.rs, sql/api/dependence.sql). No foreign
-- keys, as of pairing: a parallel restore fills tables in any order.

CREATE TABLE _flagscope.dependence (
    rollout_id   bigint NOT NULL,
    guardrail_id bigint NOT NULL,
    measured_at  timestamptz NOT NULL,
    until        timestamptz NOT NULL,
    effect       float8,
    in_force     float8,
    early        float8,
    early_at     timestamptz,
    units        bytea,
    PRIMARY KEY (rollout_id, guardrail_id)
) WITH (fillfactor = 50);
COMMENT ON TABLE _flagscope.dependence IS
    'sums by unit (subject, trace or moment) of a watched rollout''s guardrails, which their design effect is from';
COMMENT ON COLUMN _flagscope.dependence.measured_at IS 'time of the tick that measured last';
COMMENT ON COLUMN _flagscope.dependence.until IS 'up to which ts rows were read';
COMMENT ON COLUMN _flagscope.dependence.effect IS
    'as measured then; used from the next measurement on, when the rows that it is from have been judged; NULL: there '
    'was too little to tell';
COMMENT ON COLUMN _flagscope.dependence.in_force IS
    'the measurement before, whose rows have been judged; NULL: there is none, so that ticks take in what has just '
    'come';
COMMENT ON COLUMN _flagscope.dependence.early IS
    'until there is one: what was measured last of all that had come, by which later ticks divide rows that name '
    'neither a user nor a trace';
COMMENT ON COLUMN _flagscope.dependence.early_at IS 'time of the tick that did so';
COMMENT ON COLUMN _flagscope.dependence.units IS 'the sums, of a sample of whole units; NULL: they cannot be read';
