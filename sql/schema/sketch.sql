-- The sketches as base types: mergeable states that can be stored, sent and rolled up.
-- Text form: one line of JSON. Binary form: a version byte, then bounded content that is validated completely.

CREATE TYPE flagscope.moments (
    INPUT = flagscope.moments_in, OUTPUT = flagscope.moments_out,
    RECEIVE = flagscope.moments_recv, SEND = flagscope.moments_send,
    INTERNALLENGTH = VARIABLE, STORAGE = main
);
COMMENT ON TYPE flagscope.moments IS
    'count, mean, M2 (sum of squared deviations), minimum and maximum of finite values; NaN and infinities are counted apart';

CREATE TYPE flagscope.histogram (
    INPUT = flagscope.histogram_in, OUTPUT = flagscope.histogram_out,
    RECEIVE = flagscope.histogram_recv, SEND = flagscope.histogram_send,
    INTERNALLENGTH = VARIABLE, STORAGE = main
);
COMMENT ON TYPE flagscope.histogram IS
    'log-binned counts with fixed bins: an OpenTelemetry exponential histogram of scale 5 (bins 2.2 % wide); merges exactly in any order';

CREATE TYPE flagscope.tdigest (
    INPUT = flagscope.tdigest_in, OUTPUT = flagscope.tdigest_out,
    RECEIVE = flagscope.tdigest_recv, SEND = flagscope.tdigest_send,
    INTERNALLENGTH = VARIABLE, STORAGE = main
);
COMMENT ON TYPE flagscope.tdigest IS
    't-digest: quantiles for people''s queries, sharp in the tails; depends on merge order, so no guardrail test runs on it';

CREATE TYPE flagscope.ratio (
    INPUT = flagscope.ratio_in, OUTPUT = flagscope.ratio_out,
    RECEIVE = flagscope.ratio_recv, SEND = flagscope.ratio_send,
    INTERNALLENGTH = VARIABLE, STORAGE = main
);
COMMENT ON TYPE flagscope.ratio IS
    'a ratio of two sums over units (users), with what its variance needs: count of units, means and centred products of numerator and denominator';
