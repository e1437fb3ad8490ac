-- What the worker (or another caller of tick()) last did, and open alerts about the judging itself.

CREATE TABLE _flagscope.tick_state (
    only_row          boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    ticks             bigint NOT NULL DEFAULT 0,
    last_tick_at      timestamptz,
    last_tick_ms      float8,
    last_tick_by      text,
    last_ok_at        timestamptz,
    failing_since     timestamptz,
    failures          bigint NOT NULL DEFAULT 0,
    last_error        text,
    last_error_code   text,
    last_error_at     timestamptz,
    last_maintain_at  timestamptz,
    last_maintain_ms  float8,
    maintain_error    text,
    waiting           text[] NOT NULL DEFAULT '{}',
    maintain_waiting  text[] NOT NULL DEFAULT '{}',
    retained_at       timestamptz,
    retention_problem text,
    waits_told_at     timestamptz
) WITH (fillfactor = 10);
COMMENT ON TABLE _flagscope.tick_state IS
    'one row: what the last tick did; an idle tick writes it at most every 10 seconds';
COMMENT ON COLUMN _flagscope.tick_state.last_tick_at IS
    'time that the last tick judged at: the clock''s, or what its caller gave';
COMMENT ON COLUMN _flagscope.tick_state.last_ok_at IS 'when a tick last succeeded, by the server''s clock';
COMMENT ON COLUMN _flagscope.tick_state.failing_since IS
    'first failed tick of the worker since the last successful one; NULL: none';
COMMENT ON COLUMN _flagscope.tick_state.failures IS 'number of consecutive failed ticks';
COMMENT ON COLUMN _flagscope.tick_state.last_error IS 'why the last failed tick failed; kept after later ticks succeed';
COMMENT ON COLUMN _flagscope.tick_state.last_error_code IS 'its SQLSTATE';
COMMENT ON COLUMN _flagscope.tick_state.maintain_error IS 'why the last maintenance failed; NULL: it did not';
COMMENT ON COLUMN _flagscope.tick_state.waiting IS
    'work that the last tick left to the next ones because its time (setting tick.budget) was used up';
COMMENT ON COLUMN _flagscope.tick_state.maintain_waiting IS 'work that the last maintenance left to the next ticks';
COMMENT ON COLUMN _flagscope.tick_state.retained_at IS
    'time of the last retention run; a run at a time more than a day away from it is refused';
COMMENT ON COLUMN _flagscope.tick_state.retention_problem IS 'why retention deletes nothing at present; NULL: it works';
COMMENT ON COLUMN _flagscope.tick_state.waits_told_at IS
    'time of the tick that last looked for what keeps ramps waiting (told_wait)';
INSERT INTO _flagscope.tick_state DEFAULT VALUES;

CREATE TABLE _flagscope.told_wait (
    rollout_id  bigint NOT NULL,
    what        text NOT NULL,
    flag        text NOT NULL,
    environment text NOT NULL,
    since       timestamptz NOT NULL,
    told_at     timestamptz NOT NULL,
    PRIMARY KEY (rollout_id, what)
);
COMMENT ON TABLE _flagscope.told_wait IS
    'what was told of a rollout by an outbox row of kind health or approval: what keeps its ramp waiting, a guardrail '
    'without data or in error, also of a held, paused or completed one, or that nothing watches it; deleted, and told '
    'again, when it is over';
COMMENT ON COLUMN _flagscope.told_wait.what IS
    'name of the guardrail; approval, stage, no guardrail or decision for other causes';
COMMENT ON COLUMN _flagscope.told_wait.since IS 'since when it has been so';
COMMENT ON COLUMN _flagscope.told_wait.told_at IS 'time of the tick that told it';

CREATE TABLE _flagscope.alert (
    name   text PRIMARY KEY,
    since  timestamptz NOT NULL,
    detail text NOT NULL
);
COMMENT ON TABLE _flagscope.alert IS
    'open alerts, each reported by an outbox row of kind health: once when it begins and once when it ends';
COMMENT ON COLUMN _flagscope.alert.name IS 'as in the view health';
