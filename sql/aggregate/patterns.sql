-- Log lines by template. A template is a line with its values masked; where only some words differ they are one
-- template.

CREATE AGGREGATE flagscope.log_patterns(text) (
    SFUNC = _flagscope.patterns_accum, STYPE = internal, FINALFUNC = _flagscope.patterns_final,
    COMBINEFUNC = _flagscope.patterns_combine, SERIALFUNC = _flagscope.patterns_serialize,
    DESERIALFUNC = _flagscope.patterns_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE flagscope.log_patterns(text) IS
    'log_patterns(body): log lines by template, in at most 2 MB however many there are; patterns(state) reads it';

CREATE AGGREGATE flagscope.log_patterns(text, timestamptz) (
    SFUNC = _flagscope.patterns_accum_ts, STYPE = internal, FINALFUNC = _flagscope.patterns_final,
    COMBINEFUNC = _flagscope.patterns_combine, SERIALFUNC = _flagscope.patterns_serialize,
    DESERIALFUNC = _flagscope.patterns_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE flagscope.log_patterns(text, timestamptz) IS
    'log_patterns(body, ts): the same, with the first and last time of each template';

CREATE AGGREGATE flagscope.rollup(flagscope.patterns) (
    SFUNC = _flagscope.patterns_absorb, STYPE = internal, FINALFUNC = _flagscope.patterns_final,
    COMBINEFUNC = _flagscope.patterns_combine, SERIALFUNC = _flagscope.patterns_serialize,
    DESERIALFUNC = _flagscope.patterns_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE flagscope.rollup(flagscope.patterns) IS
    'merges states of log lines; exact while none of them has forgotten lines';

COMMENT ON FUNCTION flagscope.merge(flagscope.patterns, flagscope.patterns) IS
    'merges two states of log lines; NULL counts as empty';
COMMENT ON FUNCTION flagscope.count(flagscope.patterns) IS 'number of lines, forgotten ones included';
COMMENT ON FUNCTION flagscope.lost(flagscope.patterns) IS
    'number of lines of rare templates that were forgotten for want of room';
COMMENT ON FUNCTION flagscope.patterns(flagscope.patterns) IS
    'the templates of a state, the most frequent first: text with <masks> and <*> where words vary, number of lines, '
    'first and last time, one line as it was';
COMMENT ON FUNCTION flagscope.log_template(text) IS
    'a log line with its values masked: <str> <uuid> <email> <time> <ip> <hex> <id> <n>; of its first line, 1,024 '
    'bytes and 48 words at most';
