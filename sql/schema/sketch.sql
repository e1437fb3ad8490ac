-- The sketches as base types: mergeable states that can be stored, sent and rolled up.
-- Text form: one line of JSON. Binary form: a version byte, then bounded content that is validated completely.

CREATE TYPE flagscope.moments (
    INPUT = _flagscope.moments_in, OUTPUT = _flagscope.moments_out,
    RECEIVE = _flagscope.moments_recv, SEND = _flagscope.moments_send,
    INTERNALLENGTH = VARIABLE, STORAGE = main
);
COMMENT ON TYPE flagscope.moments IS
    'count, mean, M2 (sum of squared deviations), minimum and maximum of finite values; '
    'NaN and infinities are counted apart';

CREATE TYPE flagscope.histogram (
    INPUT = _flagscope.histogram_in, OUTPUT = _flagscope.histogram_out,
    RECEIVE = _flagscope.histogram_recv, SEND = _flagscope.histogram_send,
    INTERNALLENGTH = VARIABLE, STORAGE = main
);
COMMENT ON TYPE flagscope.histogram IS
    'log-binned counts with fixed bins: an OpenTelemetry exponential histogram of scale 5 (bins 2.2 % wide); '
    'merges exactly in any order';

CREATE TYPE flagscope.tdigest (
    INPUT = _flagscope.tdigest_in, OUTPUT = _flagscope.tdigest_out,
    RECEIVE = _flagscope.tdigest_recv, SEND = _flagscope.tdigest_send,
    INTERNALLENGTH = VARIABLE, STORAGE = main
);
COMMENT ON TYPE flagscope.tdigest IS
    't-digest: quantiles for interactive queries, accurate in the tails; '
    'depends on the order of merges, so no guardrail uses it';

CREATE TYPE flagscope.ratio (
    INPUT = _flagscope.ratio_in, OUTPUT = _flagscope.ratio_out,
    RECEIVE = _flagscope.ratio_recv, SEND = _flagscope.ratio_send,
    INTERNALLENGTH = VARIABLE, STORAGE = main
);
COMMENT ON TYPE flagscope.ratio IS
    'a ratio of two sums over units (users) and its variance: number of units, '
    'means and centred products of numerator and denominator';
