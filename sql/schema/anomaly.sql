-- The series of anomaly guardrails: a flag's metric over weeks, point by point, as it was judged.

-- No foreign key to guardrail: its check would wait for whoever is deleting one, and the tick waits for nobody.
CREATE TABLE _flagscope.anomaly_point (
    guardrail_id bigint NOT NULL,
    variant      text NOT NULL,
    at           timestamptz NOT NULL,
    n            bigint NOT NULL,
    events       bigint NOT NULL,
    value        float8 NOT NULL,
    x            float8 NOT NULL,
    usual        float8,
    score        float8,
    PRIMARY KEY (guardrail_id, variant, at)
);
COMMENT ON TABLE _flagscope.anomaly_point IS
    'the series that anomaly guardrails judge: a metric of a flag over time, and of both arms of its rollout, from '
    'rollups, kept for 36 days; '
    'a point keeps the value it had when it was judged, even if more rows arrive later';
COMMENT ON COLUMN _flagscope.anomaly_point.variant IS
    'variant whose rows were counted; empty: all variants of the flag together';
COMMENT ON COLUMN _flagscope.anomaly_point.at IS 'start of the point; its width is guardrail.time_window';
COMMENT ON COLUMN _flagscope.anomaly_point.n IS 'number of data points';
COMMENT ON COLUMN _flagscope.anomaly_point.events IS 'those of them that are events (of a rate: the count)';
COMMENT ON COLUMN _flagscope.anomaly_point.value IS 'the metric, in its unit';
COMMENT ON COLUMN _flagscope.anomaly_point.x IS
    'the value on the scale that is judged, where larger is worse: the logarithm of a quantile, Anscombe''s transform '
    'of a proportion or rate (which makes their noise uniform)';
COMMENT ON COLUMN _flagscope.anomaly_point.usual IS
    'what the point was compared with, in the metric''s unit: the usual value at this time of day, of the treatment '
    'the control''s; NULL: not judged, or the past is too short';
COMMENT ON COLUMN _flagscope.anomaly_point.score IS
    'log10 of the evidence since the rollout began that the series has changed for the worse (see anomaly_score()), of '
    'the treatment that it is worse than the control; NULL like usual';
