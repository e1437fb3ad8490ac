-- Scores of the newest point of a series against its own past: as aggregates over an ordered series, robust_z(x ORDER
-- BY t), and as window functions over a running frame, robust_z(x) OVER (ORDER BY t). Scales have no unit, so that one
-- threshold means the same for every metric. A point that is NULL, NaN or infinite has no score and changes nothing.

CREATE AGGREGATE flagscope.robust_z(float8) (
    SFUNC = _flagscope.robust_z_accum, STYPE = internal, FINALFUNC = _flagscope.robust_z_final, PARALLEL = SAFE,
    MSFUNC = _flagscope.robust_z_accum, MINVFUNC = _flagscope.robust_z_inverse, MSTYPE = internal,
    MFINALFUNC = _flagscope.robust_z_final
);
COMMENT ON AGGREGATE flagscope.robust_z(float8) IS
    'Hampel''s z of the last value: distance from the median of the frame in robust standard deviations (1.4826 MAD); '
    '3 is unusual. Give it a moving frame: OVER (ORDER BY t ROWS 59 PRECEDING)';

CREATE AGGREGATE flagscope.ewma(float8) (
    SFUNC = _flagscope.ewma_accum, STYPE = internal, FINALFUNC = _flagscope.ewma_final, PARALLEL = SAFE
);
COMMENT ON AGGREGATE flagscope.ewma(float8) IS
    'exponentially weighted moving average with weight 0.1 for the newest value; '
    'an outlier moves it by at most 3 standard deviations'' worth';
CREATE AGGREGATE flagscope.ewma(float8, float8) (
    SFUNC = _flagscope.ewma_accum, STYPE = internal, FINALFUNC = _flagscope.ewma_final, PARALLEL = SAFE
);
COMMENT ON AGGREGATE flagscope.ewma(float8, float8) IS
    'ewma(x, weight): the same with this weight for the newest value, above 0 and at most 1';

CREATE AGGREGATE flagscope.ewma_z(float8) (
    SFUNC = _flagscope.ewma_accum, STYPE = internal, FINALFUNC = _flagscope.ewma_z_final, PARALLEL = SAFE
);
COMMENT ON AGGREGATE flagscope.ewma_z(float8) IS
    'distance of the last value from the weighted average of those before, in weighted standard deviations; '
    '3 is unusual; NULL for the first ten values';
CREATE AGGREGATE flagscope.ewma_z(float8, float8) (
    SFUNC = _flagscope.ewma_accum, STYPE = internal, FINALFUNC = _flagscope.ewma_z_final, PARALLEL = SAFE
);
COMMENT ON AGGREGATE flagscope.ewma_z(float8, float8) IS
    'ewma_z(x, weight): the same with this weight for the newest value';

CREATE AGGREGATE flagscope.anomaly_score(timestamptz, float8) (
    SFUNC = _flagscope.series_accum, STYPE = internal, FINALFUNC = _flagscope.anomaly_score_final, PARALLEL = SAFE
);
COMMENT ON AGGREGATE flagscope.anomaly_score(timestamptz, float8) IS
    'anomaly_score(at, x ORDER BY at): evidence that the series has risen above the usual value of this time of day, '
    'as log10 of the points until a false alarm: 4 is an alarm, one in 10,000 points of a healthy series (a week of '
    'minutes). For falls negate x, for durations and counts give their logarithm. NULL for the first 7 days. '
    'Over a running frame it takes microseconds a point';

CREATE AGGREGATE flagscope.anomaly_z(timestamptz, float8) (
    SFUNC = _flagscope.series_accum, STYPE = internal, FINALFUNC = _flagscope.anomaly_z_final, PARALLEL = SAFE
);
COMMENT ON AGGREGATE flagscope.anomaly_z(timestamptz, float8) IS
    'distance of the last point from the usual value of this time of day (median of earlier days) in robust standard '
    'deviations; 3 is unusual; NULL for the first 7 days';

COMMENT ON FUNCTION _flagscope.anomaly_scores(timestamptz[], float8[], timestamptz) IS
    'the points of a series from a time on that can be judged: the usual value, '
    'and anomaly_score() of the evidence since that time';
COMMENT ON FUNCTION flagscope.anomalies(timestamptz[], float8[]) IS
    'every point of a series in order of time with its baseline, band (3 robust standard deviations), '
    'anomaly_z and anomaly_score: for charts';
