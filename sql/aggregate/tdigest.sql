-- Aggregates whose state is a t-digest.

CREATE AGGREGATE flagscope.tdigest(float8) (
    SFUNC = _flagscope.tdigest_accum, STYPE = internal, FINALFUNC = _flagscope.tdigest_final,
    COMBINEFUNC = _flagscope.tdigest_combine, SERIALFUNC = _flagscope.tdigest_serialize,
    DESERIALFUNC = _flagscope.tdigest_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE flagscope.tdigest(float8) IS 't-digest of compression 100';

CREATE AGGREGATE flagscope.tdigest(float8, integer) (
    SFUNC = _flagscope.tdigest_accum, STYPE = internal, FINALFUNC = _flagscope.tdigest_final,
    COMBINEFUNC = _flagscope.tdigest_combine, SERIALFUNC = _flagscope.tdigest_serialize,
    DESERIALFUNC = _flagscope.tdigest_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE flagscope.tdigest(float8, integer) IS
    't-digest of a given compression, 10 to 10,000: more is finer and larger';

CREATE AGGREGATE flagscope.rollup(flagscope.tdigest) (
    SFUNC = _flagscope.tdigest_absorb, STYPE = internal, FINALFUNC = _flagscope.tdigest_final,
    COMBINEFUNC = _flagscope.tdigest_combine, SERIALFUNC = _flagscope.tdigest_serialize,
    DESERIALFUNC = _flagscope.tdigest_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE flagscope.rollup(flagscope.tdigest) IS 'merges t-digests';

COMMENT ON FUNCTION flagscope.merge(flagscope.tdigest, flagscope.tdigest) IS 'merges two; NULL counts as empty';
COMMENT ON FUNCTION flagscope.quantile(flagscope.tdigest, float8) IS 'estimated quantile; NULL without values';
COMMENT ON FUNCTION flagscope.quantile(flagscope.tdigest, float8[]) IS 'several quantiles at once';
COMMENT ON FUNCTION flagscope.quantile_rank(flagscope.tdigest, float8) IS
    'estimated share of values below x; NULL without values';
COMMENT ON FUNCTION flagscope.trimmed_mean(flagscope.tdigest, float8, float8) IS
    'mean of the values between two quantiles';
COMMENT ON FUNCTION flagscope.count(flagscope.tdigest) IS 'number of finite values';
COMMENT ON FUNCTION flagscope.invalid(flagscope.tdigest) IS
    'number of NaN and infinite values, which count nowhere else';
COMMENT ON FUNCTION flagscope.min(flagscope.tdigest) IS 'least value, exact; NULL without values';
COMMENT ON FUNCTION flagscope.max(flagscope.tdigest) IS 'greatest value, exact; NULL without values';
COMMENT ON FUNCTION flagscope.quantile_interval(flagscope.tdigest, float8, float8) IS
    'interval that covers the population''s quantile with about this confidence, once, at a sample size fixed '
    'beforehand (order statistics); an end is NULL when there are too few values to give one';
