-- The state of log lines by template as a base type, like the sketches.

CREATE TYPE flagscope.patterns (
    INPUT = _flagscope.patterns_in, OUTPUT = _flagscope.patterns_out,
    RECEIVE = _flagscope.patterns_recv, SEND = _flagscope.patterns_send,
    INTERNALLENGTH = VARIABLE, STORAGE = extended
);
COMMENT ON TYPE flagscope.patterns IS
    'log lines by template: counts, times and an example of at most 2,500 masked lines; merges exactly in any order '
    'until it forgets the rarest, which lost() tells';
