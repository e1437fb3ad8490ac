-- Aggregates whose state is moments.

CREATE AGGREGATE flagscope.moments(float8) (
    SFUNC = _flagscope.moments_accum, STYPE = internal, FINALFUNC = _flagscope.moments_final,
    COMBINEFUNC = _flagscope.moments_combine, SERIALFUNC = _flagscope.moments_serialize,
    DESERIALFUNC = _flagscope.moments_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE flagscope.moments(float8) IS 'count, mean, variance, minimum and maximum in one mergeable state';

CREATE AGGREGATE flagscope.moments(float8, float8) (
    SFUNC = _flagscope.moments_accum, STYPE = internal, FINALFUNC = _flagscope.moments_final,
    COMBINEFUNC = _flagscope.moments_combine, SERIALFUNC = _flagscope.moments_serialize,
    DESERIALFUNC = _flagscope.moments_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE flagscope.moments(float8, float8) IS
    'the same, winsorised: moments(x, cap) counts a value above the cap as the cap';

CREATE AGGREGATE flagscope.rollup(flagscope.moments) (
    SFUNC = _flagscope.moments_absorb, STYPE = internal, FINALFUNC = _flagscope.moments_final,
    COMBINEFUNC = _flagscope.moments_combine, SERIALFUNC = _flagscope.moments_serialize,
    DESERIALFUNC = _flagscope.moments_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE flagscope.rollup(flagscope.moments) IS 'merges moments (Chan''s formula)';

COMMENT ON FUNCTION flagscope.merge(flagscope.moments, flagscope.moments) IS 'merges two; NULL counts as empty';
COMMENT ON FUNCTION flagscope.count(flagscope.moments) IS 'number of finite values';
COMMENT ON FUNCTION flagscope.invalid(flagscope.moments) IS
    'number of NaN and infinite values, which count nowhere else';
COMMENT ON FUNCTION flagscope.mean(flagscope.moments) IS 'mean; NULL without values';
COMMENT ON FUNCTION flagscope.variance(flagscope.moments) IS 'sample variance (n - 1); NULL below two values';
COMMENT ON FUNCTION flagscope.stddev(flagscope.moments) IS 'sample standard deviation; NULL below two values';
COMMENT ON FUNCTION flagscope.min(flagscope.moments) IS 'least value; NULL without values';
COMMENT ON FUNCTION flagscope.max(flagscope.moments) IS 'greatest value; NULL without values';
COMMENT ON FUNCTION flagscope.sum(flagscope.moments) IS 'sum, n times the mean; NULL without values';
