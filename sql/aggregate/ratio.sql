-- Aggregates whose state is a ratio of sums over units. One row is one unit, with its totals.

CREATE AGGREGATE flagscope.ratio(float8, float8) (
    SFUNC = _flagscope.ratio_accum, STYPE = internal, FINALFUNC = _flagscope.ratio_final,
    COMBINEFUNC = _flagscope.ratio_combine, SERIALFUNC = _flagscope.ratio_serialize,
    DESERIALFUNC = _flagscope.ratio_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE flagscope.ratio(float8, float8) IS
    'ratio(numerator, denominator) of the sums over rows, each row the totals of one unit (user); '
    'its variance is that between units (delta method)';

CREATE AGGREGATE flagscope.design_effect(float8, float8) (
    SFUNC = _flagscope.ratio_accum, STYPE = internal, FINALFUNC = _flagscope.design_effect_final,
    COMBINEFUNC = _flagscope.ratio_combine, SERIALFUNC = _flagscope.ratio_serialize,
    DESERIALFUNC = _flagscope.ratio_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE flagscope.design_effect(float8, float8) IS
    'design_effect(events, trials) by unit: how many times the variance of the event rate is what independent trials '
    'would have, at least 1; estimate it from the control before a rollout';

CREATE AGGREGATE flagscope.rollup(flagscope.ratio) (
    SFUNC = _flagscope.ratio_absorb, STYPE = internal, FINALFUNC = _flagscope.ratio_final,
    COMBINEFUNC = _flagscope.ratio_combine, SERIALFUNC = _flagscope.ratio_serialize,
    DESERIALFUNC = _flagscope.ratio_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE flagscope.rollup(flagscope.ratio) IS 'merges ratios of disjoint units (Chan''s formula)';

COMMENT ON FUNCTION flagscope.merge(flagscope.ratio, flagscope.ratio) IS
    'merges two of disjoint units; NULL counts as empty';
COMMENT ON FUNCTION flagscope.count(flagscope.ratio) IS 'number of units';
COMMENT ON FUNCTION flagscope.invalid(flagscope.ratio) IS
    'number of units with a NaN or an infinity, which count nowhere else';
COMMENT ON FUNCTION flagscope.value(flagscope.ratio) IS
    'sum of numerators over sum of denominators; NULL without units and when the denominators sum to 0';
COMMENT ON FUNCTION flagscope.variance(flagscope.ratio) IS
    'variance of the ratio between units (delta method); NULL below two units';
COMMENT ON FUNCTION flagscope.standard_error(flagscope.ratio) IS
    'standard error of the ratio between units (delta method); NULL below two units';
COMMENT ON FUNCTION flagscope.design_effect(flagscope.ratio) IS
    'for events among trials: variance of the rate over that of independent trials, at least 1; '
    'NULL below two units and for rates of 0 and 1';
