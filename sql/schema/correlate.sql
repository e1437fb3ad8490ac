-- Why: findings, and those of decisions as the worker keeps them.

CREATE TYPE flagscope.finding AS (
    rank             integer,
    kind             text,
    finding          text,
    share            float8,
    p_value          float8,
    treatment        text,
    control          text,
    n_treatment      float8,
    events_treatment float8,
    n_control        float8,
    events_control   float8,
    subjects         bigint,
    same_as          text[],
    goes_with        text[],
    predicate        jsonb,
    traces           uuid[],
    examples         text[],
    recompute        text
);
COMMENT ON TYPE flagscope.finding IS 'one row of what correlate() answers';
COMMENT ON COLUMN flagscope.finding.rank IS 'its place in the answer';
COMMENT ON COLUMN flagscope.finding.kind IS 'segment, symptom, span, log, metric, flag, change or note';
COMMENT ON COLUMN flagscope.finding.finding IS 'what was found, in words';
COMMENT ON COLUMN flagscope.finding.share IS
    'its part of the whole harm; may be above 1 where the rest fares better than the control';
COMMENT ON COLUMN flagscope.finding.p_value IS 'chance of such a finding without it, corrected for all that was tried';
COMMENT ON COLUMN flagscope.finding.treatment IS 'what it is with the treatment, in words';
COMMENT ON COLUMN flagscope.finding.control IS 'what it is with the control';
COMMENT ON COLUMN flagscope.finding.n_treatment IS 'rows of the treatment in it; of a symptom all of them';
COMMENT ON COLUMN flagscope.finding.events_treatment IS 'events among them';
COMMENT ON COLUMN flagscope.finding.n_control IS 'rows of the control';
COMMENT ON COLUMN flagscope.finding.events_control IS 'events among them';
COMMENT ON COLUMN flagscope.finding.subjects IS
    'subjects of the treatment with an event; NULL: none of the rows names one';
COMMENT ON COLUMN flagscope.finding.same_as IS 'other names of the same rows';
COMMENT ON COLUMN flagscope.finding.goes_with IS 'what looked guilty until the rows of this one left';
COMMENT ON COLUMN flagscope.finding.predicate IS 'which rows: as a metric''s filter where it can be one';
COMMENT ON COLUMN flagscope.finding.traces IS 'requests that show it, of different subjects';
COMMENT ON COLUMN flagscope.finding.examples IS 'subjects with most events, or a log line as it was';
COMMENT ON COLUMN flagscope.finding.recompute IS 'the query that computes the row anew';

CREATE TABLE flagscope.correlation (
    decision_id      bigint NOT NULL,
    rank             integer NOT NULL,
    kind             text NOT NULL,
    finding          text NOT NULL,
    share            float8,
    p_value          float8,
    treatment        text,
    control          text,
    n_treatment      float8,
    events_treatment float8,
    n_control        float8,
    events_control   float8,
    subjects         bigint,
    same_as          text[],
    goes_with        text[],
    predicate        jsonb,
    traces           uuid[],
    examples         text[],
    recompute        text,
    computed_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (decision_id, rank)
);
COMMENT ON TABLE flagscope.correlation IS
    'why: what correlate_decision() found of an automatic rollback or hold, kept by the worker soon after it; columns '
    'as the type finding';
COMMENT ON COLUMN flagscope.correlation.computed_at IS 'when it was computed; rows go correlate.retention after it';
COMMENT ON COLUMN flagscope.correlation.decision_id IS 'the decision that was looked into';
COMMENT ON COLUMN flagscope.correlation.rank IS 'as in the type finding: its place in the answer';
COMMENT ON COLUMN flagscope.correlation.kind IS
    'as in the type finding: segment, symptom, span, log, metric, flag, change or note';
COMMENT ON COLUMN flagscope.correlation.finding IS 'as in the type finding: what was found, in words';
COMMENT ON COLUMN flagscope.correlation.share IS
    'as in the type finding: its part of the whole harm; may be above 1 where the rest fares better than the control';
COMMENT ON COLUMN flagscope.correlation.p_value IS
    'as in the type finding: chance of such a finding without it, corrected for all that was tried';
COMMENT ON COLUMN flagscope.correlation.treatment IS 'as in the type finding: what it is with the treatment, in words';
COMMENT ON COLUMN flagscope.correlation.control IS 'as in the type finding: what it is with the control';
COMMENT ON COLUMN flagscope.correlation.n_treatment IS
    'as in the type finding: rows of the treatment in it; of a symptom all of them';
COMMENT ON COLUMN flagscope.correlation.events_treatment IS 'as in the type finding: events among them';
COMMENT ON COLUMN flagscope.correlation.n_control IS 'as in the type finding: rows of the control';
COMMENT ON COLUMN flagscope.correlation.events_control IS 'as in the type finding: events among them';
COMMENT ON COLUMN flagscope.correlation.subjects IS
    'as in the type finding: subjects of the treatment with an event; NULL: none of the rows names one';
COMMENT ON COLUMN flagscope.correlation.same_as IS 'as in the type finding: other names of the same rows';
COMMENT ON COLUMN flagscope.correlation.goes_with IS
    'as in the type finding: what looked guilty until the rows of this one left';
COMMENT ON COLUMN flagscope.correlation.predicate IS
    'as in the type finding: which rows: as a metric''s filter where it can be one';
COMMENT ON COLUMN flagscope.correlation.traces IS
    'as in the type finding: requests that show it, of different subjects';
COMMENT ON COLUMN flagscope.correlation.examples IS
    'as in the type finding: subjects with most events, or a log line as it was';
COMMENT ON COLUMN flagscope.correlation.recompute IS 'as in the type finding: the query that computes the row anew';
