-- What the worker (or whoever calls tick) last did.

CREATE TABLE flagscope.tick_state (
    only_row          boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    ticks             bigint NOT NULL DEFAULT 0,
    last_tick_at      timestamptz,
    last_tick_ms      float8,
    last_tick_by      text,
    last_maintain_at  timestamptz,
    last_maintain_ms  float8,
    maintain_error    text
) WITH (fillfactor = 10);
COMMENT ON TABLE flagscope.tick_state IS 'one row: what the last tick did; an idle tick writes it at most every 10 seconds';
INSERT INTO flagscope.tick_state DEFAULT VALUES;
