-- What the worker (or whoever calls tick) last did, and what is wrong with the judgement.

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
    retention_problem text
) WITH (fillfactor = 10);
COMMENT ON TABLE _flagscope.tick_state IS 'one row: what the last tick did; an idle tick writes it at most every 10 seconds';
COMMENT ON COLUMN _flagscope.tick_state.last_tick_at IS
    'time that the last tick judged at: the clock''s, or what its caller gave';
COMMENT ON COLUMN _flagscope.tick_state.last_ok_at IS 'when it went through, by the server''s clock';
COMMENT ON COLUMN _flagscope.tick_state.failing_since IS
    'first of the worker''s ticks that failed since the last one that went through; NULL: none';
COMMENT ON COLUMN _flagscope.tick_state.failures IS 'how many in a row have failed';
COMMENT ON COLUMN _flagscope.tick_state.last_error IS 'why the last one failed; kept after later ticks go through';
COMMENT ON COLUMN _flagscope.tick_state.last_error_code IS 'its SQLSTATE';
COMMENT ON COLUMN _flagscope.tick_state.maintain_error IS 'why the last maintenance failed; NULL: it did not';
COMMENT ON COLUMN _flagscope.tick_state.waiting IS
    'what the last tick left to the next ones, when the time of setting tick.budget was up';
COMMENT ON COLUMN _flagscope.tick_state.maintain_waiting IS 'what the last maintenance left to the next ticks';
COMMENT ON COLUMN _flagscope.tick_state.retained_at IS
    'time that retention last counted from: from one more than a day away it refuses to';
COMMENT ON COLUMN _flagscope.tick_state.retention_problem IS 'why retention deletes nothing; NULL: it does';
INSERT INTO _flagscope.tick_state DEFAULT VALUES;

CREATE TABLE _flagscope.alert (
    name   text PRIMARY KEY,
    since  timestamptz NOT NULL,
    detail text NOT NULL
);
COMMENT ON TABLE _flagscope.alert IS
    'what an outbox row of kind health has told, and is not over yet: it is told once, and once more when it is over';
COMMENT ON COLUMN _flagscope.alert.name IS 'as in the view health';
