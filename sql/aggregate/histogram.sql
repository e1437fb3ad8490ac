-- Aggregates whose state is a histogram.

-- As a window function over a moving frame, a value that leaves is taken out of its bin: exact but for the rounding of
-- the sum. An extreme that leaves makes PostgreSQL begin the frame anew.
CREATE AGGREGATE flagscope.histogram(float8) (
    SFUNC = _flagscope.histogram_accum, STYPE = internal, FINALFUNC = _flagscope.histogram_final,
    COMBINEFUNC = _flagscope.histogram_combine, SERIALFUNC = _flagscope.histogram_serialize,
    DESERIALFUNC = _flagscope.histogram_deserialize, PARALLEL = SAFE,
    MSFUNC = _flagscope.histogram_moving_accum, MINVFUNC = _flagscope.histogram_inverse, MSTYPE = internal,
    MFINALFUNC = _flagscope.histogram_moving_final
);
COMMENT ON AGGREGATE flagscope.histogram(float8) IS
    'log-binned histogram with bins 2.2 % wide: mergeable, exact counts at bin edges';

CREATE AGGREGATE flagscope.histogram(float8, integer) (
    SFUNC = _flagscope.histogram_accum, STYPE = internal, FINALFUNC = _flagscope.histogram_final,
    COMBINEFUNC = _flagscope.histogram_combine, SERIALFUNC = _flagscope.histogram_serialize,
    DESERIALFUNC = _flagscope.histogram_deserialize, PARALLEL = SAFE,
    MSFUNC = _flagscope.histogram_moving_accum, MINVFUNC = _flagscope.histogram_inverse, MSTYPE = internal,
    MFINALFUNC = _flagscope.histogram_moving_final
);
COMMENT ON AGGREGATE flagscope.histogram(float8, integer) IS
    'histogram(x, scale): bins 2^(2^-scale) - 1 wide; -10 (two bins) to 8 (0.27 %), 5 is the default; '
    'merges of two scales take the coarser';

CREATE AGGREGATE flagscope.rollup(flagscope.histogram) (
    SFUNC = _flagscope.histogram_absorb, STYPE = internal, FINALFUNC = _flagscope.histogram_final,
    COMBINEFUNC = _flagscope.histogram_combine, SERIALFUNC = _flagscope.histogram_serialize,
    DESERIALFUNC = _flagscope.histogram_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE flagscope.rollup(flagscope.histogram) IS 'merges histograms, exactly';

COMMENT ON FUNCTION flagscope.merge(flagscope.histogram, flagscope.histogram) IS 'merges two; NULL counts as empty';
COMMENT ON FUNCTION flagscope.quantile(flagscope.histogram, float8) IS
    'quantile, within 1.1 % of the value; NULL without values';
COMMENT ON FUNCTION flagscope.quantile(flagscope.histogram, float8[]) IS 'several quantiles at once';
COMMENT ON FUNCTION flagscope.count(flagscope.histogram) IS 'number of finite values';
COMMENT ON FUNCTION flagscope.invalid(flagscope.histogram) IS
    'number of NaN and infinite values, which count nowhere else';
COMMENT ON FUNCTION flagscope.min(flagscope.histogram) IS 'least value, exact; NULL without values';
COMMENT ON FUNCTION flagscope.max(flagscope.histogram) IS 'greatest value, exact; NULL without values';
COMMENT ON FUNCTION flagscope.count_above(flagscope.histogram, float8) IS
    'number of values in bins above the one that holds x';
COMMENT ON FUNCTION flagscope.buckets(flagscope.histogram) IS
    'non-empty bins in order: bounds (lower exclusive, upper inclusive) and count';
COMMENT ON FUNCTION flagscope.sum(flagscope.histogram) IS 'sum of the values; NULL without values';
COMMENT ON FUNCTION flagscope.mean(flagscope.histogram) IS 'mean of the values, exact; NULL without values';
COMMENT ON FUNCTION flagscope.quantile_rank(flagscope.histogram, float8) IS
    'share of values at or below x, interpolated inside a bin; NULL without values';
COMMENT ON FUNCTION flagscope.trimmed_mean(flagscope.histogram, float8, float8) IS
    'mean of the values between two quantiles, within 1.1 %';
COMMENT ON FUNCTION flagscope.quantile_interval(flagscope.histogram, float8, float8) IS
    'interval that covers the population''s quantile with this confidence, once, at a sample size fixed beforehand '
    '(order statistics, outer edges of bins); an end is NULL when there are too few values to give one';
COMMENT ON FUNCTION flagscope.to_otlp(flagscope.histogram) IS
    'as an OTLP/JSON exponential histogram data point; values that are no numbers are not in it';
COMMENT ON FUNCTION flagscope.histogram_from_otlp(jsonb) IS
    'from an OTLP/JSON exponential histogram data point: scales above 8 are coarsened exactly; sum, min and max that '
    'are left out are taken from the buckets';
