-- Every default number in one place. A row changed by a user is dumped by pg_dump; an untouched one is not.

CREATE TABLE flagscope.setting (
    name        text PRIMARY KEY,
    value       jsonb NOT NULL,
    description text NOT NULL DEFAULT '',
    builtin     boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE flagscope.setting IS 'every default number of flagscope; change one with set_setting(name, value)';
COMMENT ON COLUMN flagscope.setting.value IS 'a JSON number, a JSON array, or an interval as JSON text such as "10 minutes"';
COMMENT ON COLUMN flagscope.setting.builtin IS 'as shipped: not dumped by pg_dump, replaced by the value of a restored dump';

INSERT INTO flagscope.setting (name, value, description, builtin)
SELECT v.name, v.value::jsonb, v.description, true FROM (VALUES
    ('rollout.alpha', '0.01',
     'chance that a healthy rollout is ever rolled back: the error budget shared by its guardrails'),
    ('rollout.stages', '[1, 5, 10, 25, 50, 100]',
     'percent of traffic served the treatment at each stage'),
    ('rollout.min_duration', '"10 minutes"',
     'time a stage lasts at least before the ramp advances'),
    ('guardrail.margin.proportion', '0.10',
     'tolerated relative increase of the odds of an event (0.10: odds ratio 1.10)'),
    ('guardrail.margin.quantile', '0.06',
     'tolerated relative increase of a quantile, rounded up to whole histogram bins of 2.2 %'),
    ('guardrail.min_sample', '100',
     'data points of the treatment that a guardrail wants in each stage before the ramp may advance'),
    ('guardrail.window', '"1 minute"',
     'time over which a threshold guardrail reads its metric'),
    ('guardrail.reference_window', '"10 minutes"',
     'past of the control from which quantile guardrails take their thresholds'),
    ('guardrail.pairing', '"1 minute"',
     'how long data of one arm waits for data of the other, to be compared in one stratum'),
    ('guardrail.grace', '"1 minute"',
     'time from the start of a stage during which missing data is "not_enough", not "no_data"'),
    ('guardrail.stale_after', '"2 minutes"',
     'time without treatment data after which a guardrail is stale and holds the ramp'),
    ('guardrail.retry_after', '"10 seconds"',
     'wait before a failed guardrail is tried again; doubles up to 32 times this'),
    ('telemetry.chunk_interval', '"1 day"',
     'width of a time partition of telemetry, in UTC'),
    ('telemetry.premake', '3',
     'partitions made ahead of time'),
    ('telemetry.retention', '"30 days"',
     'age at which a partition of telemetry is dropped'),
    ('attribution.trace_window', '"1 hour"',
     'how far a row without flags and a flag evaluation of its trace may be apart'),
    ('attribution.subject_window', '"1 day"',
     'how long before a row without flags its subject''s flag evaluations may be'),
    ('otlp.new_series_within', '"1 hour"',
     'a cumulative OTLP series never seen before that began this long before its first point counts from its beginning'),
    ('otlp.series_retention', '"1 day"',
     'time without a point after which the last one of a cumulative OTLP series is forgotten'),
    ('evaluation.chunk_interval', '"7 days"',
     'width of a time partition of evaluation, in UTC'),
    ('evaluation.premake', '2',
     'partitions made ahead of time'),
    ('evaluation.retention', '"30 days"',
     'age at which a partition of evaluation is dropped'),
    ('rollup.retention', '"90 days"',
     'age at which rows of variant_rollup are deleted'),
    ('outbox.retention', '"7 days"',
     'age at which delivered rows of outbox are deleted'),
    ('maintenance.interval', '"1 minute"',
     'time between two runs of partition maintenance inside tick()')
) v(name, value, description);
