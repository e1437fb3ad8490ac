-- Aggregates whose state is a histogram.

CREATE AGGREGATE flagscope.histogram(float8) (
    SFUNC = flagscope.histogram_accum, STYPE = internal, FINALFUNC = flagscope.histogram_final,
    COMBINEFUNC = flagscope.histogram_combine, SERIALFUNC = flagscope.histogram_serialize,
    DESERIALFUNC = flagscope.histogram_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE flagscope.histogram(float8) IS 'log-binned histogram with bins 2.2 % wide: mergeable, exact counts at bin edges';

CREATE AGGREGATE flagscope.rollup(flagscope.histogram) (
    SFUNC = flagscope.histogram_absorb, STYPE = internal, FINALFUNC = flagscope.histogram_final,
    COMBINEFUNC = flagscope.histogram_combine, SERIALFUNC = flagscope.histogram_serialize,
    DESERIALFUNC = flagscope.histogram_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE flagscope.rollup(flagscope.histogram) IS 'merges histograms, exactly';

COMMENT ON FUNCTION flagscope.merge(flagscope.histogram, flagscope.histogram) IS 'merges two; NULL counts as empty';
COMMENT ON FUNCTION flagscope.quantile(flagscope.histogram, float8) IS 'quantile, within 1.1 % of the value; NULL without values';
COMMENT ON FUNCTION flagscope.quantile(flagscope.histogram, float8[]) IS 'several quantiles at once';
COMMENT ON FUNCTION flagscope.count(flagscope.histogram) IS 'number of finite values';
COMMENT ON FUNCTION flagscope.invalid(flagscope.histogram) IS 'number of NaN and infinite values, which count nowhere else';
COMMENT ON FUNCTION flagscope.min(flagscope.histogram) IS 'least value, exact; NULL without values';
COMMENT ON FUNCTION flagscope.max(flagscope.histogram) IS 'greatest value, exact; NULL without values';
COMMENT ON FUNCTION flagscope.count_above(flagscope.histogram, float8) IS 'number of values in bins above the one that holds x';
COMMENT ON FUNCTION flagscope.buckets(flagscope.histogram) IS 'non-empty bins in order: bounds (lower exclusive, upper inclusive) and count';
