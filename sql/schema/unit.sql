-- Metrics by unit: what the rows of each subject add up to while its window lasts (sql/api/unit.sql). No foreign
-- keys, as of rollout_subject.

CREATE TABLE _flagscope.unit_tally (
    rollout_id bigint NOT NULL,
    metric     text NOT NULL,
    subject    text NOT NULL,
    n          bigint NOT NULL,
    events     bigint NOT NULL,
    total      float8 NOT NULL,
    PRIMARY KEY (rollout_id, metric, subject)
) WITH (fillfactor = 70);
COMMENT ON TABLE _flagscope.unit_tally IS
    'what the rows of a subject add up to, of metrics by unit (metric_definition.per_unit), from its first exposure '
    'until its window is over: then it becomes one value and goes; who has no row has none here';
COMMENT ON COLUMN _flagscope.unit_tally.subject IS 'as in rollout_subject';
COMMENT ON COLUMN _flagscope.unit_tally.n IS 'rows that match; of a mean those with a finite value';
COMMENT ON COLUMN _flagscope.unit_tally.events IS 'those of them that are events';
COMMENT ON COLUMN _flagscope.unit_tally.total IS 'sum of their values';

-- Whose windows are over is asked every few seconds.
CREATE INDEX rollout_subject_by_first_seen ON flagscope.rollout_subject (rollout_id, first_seen);
