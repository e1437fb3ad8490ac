-- Every default number in one place. A row changed by a user is dumped by pg_dump; an untouched one is not.

CREATE TABLE flagscope.setting (
    name        text PRIMARY KEY,
    value       jsonb NOT NULL,
    description text NOT NULL DEFAULT '',
    builtin     boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE flagscope.setting IS
    'every default of flagscope; change one with set_setting(name, value); '
    'DELETE its row to return to the value as shipped';
COMMENT ON COLUMN flagscope.setting.name IS 'its name; set_setting() changes it';
COMMENT ON COLUMN flagscope.setting.description IS 'what it says, and in which unit';
COMMENT ON COLUMN flagscope.setting.value IS
    'a JSON number, a JSON array, an interval as JSON text such as "10 minutes", or a word';
COMMENT ON COLUMN flagscope.setting.builtin IS
    'as shipped: not dumped by pg_dump, replaced by the value of a restored dump';

INSERT INTO flagscope.setting (name, value, description, builtin)
SELECT v.name, v.value::jsonb, v.description, true FROM (VALUES
    ('rollout.alpha', '0.01',
     'error budget shared by the guardrails of a rollout: the chance that a healthy rollout is ever rolled back'),
    ('rollout.alpha_reserve', '0.1',
     'share of alpha reserved at the start for guardrails that are added, changed or restarted later'),
    ('rollout.follow_up', '"1 hour"',
     'time after completion in which guardrails may still roll back'),
    ('rollout.retry_after', '"10 minutes"',
     'time after an automatic rollback before restart_rollout() is allowed'),
    ('rollout.max_automatic', '20',
     'number of automatic changes of one flag within 24 hours after which its ramps no longer advance automatically'),
    ('rollout.tell_after', '"10 minutes"',
     'how long something may keep a ramp waiting, or a guardrail be without data, before it is told '
     '(outbox, kind health); an awaited approval is told at once'),
    ('rollout.stages', '[1, 5, 10, 25, 50, 100]',
     'percent of traffic served the treatment at each stage'),
    ('rollout.min_duration', '"10 minutes"',
     'minimum duration of a stage before the ramp advances'),
    ('rollout.patience', '2',
     'how many times its min_duration a stage lasts at most while it waits until guardrail.detectable would have been '
     'found; rollout_stage.max_duration goes first'),
    ('guardrail.detectable', '1.5',
     'a stage lasts until an effect of this many times the baseline (odds of a proportion, number of values beyond a '
     'quantile) would have been found with a chance of 80 % (gate "power"); 0: no stage waits for it'),
    ('guardrail.safe_margin', '0.2',
     'worsening against the control that is to be refuted as "safe", of guardrails that name none (0.2: 20 %)'),
    ('guardrail.margin.proportion', '0.10',
     'tolerated relative increase of the odds of an event (0.10: odds ratio 1.10)'),
    ('guardrail.margin.quantile', '0.06',
     'tolerated relative increase of a quantile, rounded up to whole histogram bins of 2.2 %'),
    ('guardrail.margin.mean', '0.05',
     'tolerated relative worsening of a mean'),
    ('guardrail.margin.rate', '0.10',
     'tolerated relative worsening of a rate'),
    ('guardrail.margin.baseline', '0.25',
     'tolerated relative worsening against a baseline, which drifts by itself'),
    ('guardrail.baseline_window', '"1 day"',
     'how much of the control''s past, before the evidence begins, a baseline is taken from'),
    ('guardrail.rewarn_after', '"1 hour"',
     'time after a sequential warning before its guardrail restarts and may warn again'),
    ('guardrail.min_sample', '100',
     'data points of each arm that a guardrail needs in each stage before the ramp may advance'),
    ('guardrail.window', '"1 minute"',
     'window over which a threshold guardrail computes its metric'),
    ('guardrail.anomaly_window', '"10 minutes"',
     'width of a point of an anomaly guardrail''s series, for guardrails created from now on'),
    ('guardrail.anomaly_every', '"7 days"',
     'mean time between false alarms of an anomaly guardrail; '
     'its line is the decimal logarithm of the number of points in it, at most 4'),
    ('guardrail.reference_window', '"10 minutes"',
     'how much of the control''s past quantile guardrails take their thresholds from'),
    ('guardrail.pairing', '"1 minute"',
     'how long data of one arm waits at most until the other arm of its span of time is taken for complete'),
    ('guardrail.copy_after', '"15 minutes"',
     'time within a stage after which a fresh copy of the evidence begins, for effects that appear late'),
    ('guardrail.grace', '"1 minute"',
     'time from the start of a stage during which missing data is "not_enough" instead of "no_data"'),
    ('guardrail.stale_after', '"2 minutes"',
     'time without data of the treatment after which a guardrail is stale and holds the ramp'),
    ('guardrail.retry_after', '"10 seconds"',
     'time before a failed guardrail is retried; doubles with each failure, up to 32 times this'),
    ('message.link', '""',
     'address of a page about a rollout, told with each notification; {rollout} stands for its number; empty: no link'),
    ('query.interval', '"5 seconds"',
     'time between two runs of a metric''s query'),
    ('query.delay', '"5 seconds"',
     'how long after its end a range of time is read by queries, so that rows are committed and exposures are known'),
    ('unit.window', '"10 minutes"',
     'time after its first exposure in which a user''s rows count, of a metric per_unit without conversion_window'),
    ('query.timeout', '"1 second"',
     'time a metric''s query may run; also the time after which a tick starts no more queries'),
    ('query.rows', '100000',
     'maximum number of rows of a metric''s query in one run'),
    ('correlate.alpha', '0.05',
     'chance that correlate() names a segment where the harm is everywhere alike'),
    ('correlate.rows', '5000000',
     'rows of its metric that correlate() reads at most, the newest of a range'),
    ('correlate.memory', '64e6',
     'bytes that correlate() keeps rows, spans and log lines in'),
    ('correlate.timeout', '"20 seconds"',
     'time after which correlate() tells what it has found by then'),
    ('correlate.retention', '"400 days"',
     'time that the findings about a decision are kept (correlation)'),
    ('health.alpha', '0.01',
     'chance that a healthy rollout is ever held because of a sample ratio mismatch, and the same because of the '
     'share of its rows'),
    ('health.row_share', '"hold"',
     'rows of a metric by arm against the share served: "hold" the ramp and tell of a mismatch, or "off"'),
    ('health.row_share_margin', '0.3',
     'by how much the odds of a row to be the treatment''s may differ from those served, besides chance: a '
     'treatment may need more requests, or fewer. 0.3: up to 1.3 times'),
    ('health.settle', '"60 seconds"',
     'how long after a change of the share clients may go on serving an older one: what that could explain is no '
     'sample ratio mismatch, and no crossing'),
    ('health.crossing', '0.01',
     'share of units seen in two variants (but at least ten units) that holds a rollout'),
    ('health.quiet_after', '"10 minutes"',
     'time without exposures to the treatment that holds a rollout: since the last one or, '
     'if only the control has some, since the stage began'),
    ('telemetry.chunk_interval', '"auto"',
     'width of a time partition of telemetry, in UTC; "auto": a day, 6 hours or an hour, depending on volume'),
    ('telemetry.chunk_bytes', '4e9',
     'size, with indexes, above which automatic partitions of telemetry become narrower'),
    ('telemetry.premake', '3',
     'number of partitions created ahead of time'),
    ('telemetry.retention', '"30 days"',
     'age at which a partition of telemetry is dropped'),
    ('telemetry.expired', '"drop"',
     'what happens to an expired partition of telemetry: "drop" or "detach"'),
    ('telemetry.freeze_after', '"never"',
     'age at which a partition of telemetry is frozen (freeze_chunk); "never": none is'),
    ('attribution.trace_window', '"1 hour"',
     'how far apart a row without flags and a flag evaluation of its trace may be'),
    ('attribution.subject_window', '"1 day"',
     'how long before a row without flags an evaluation of its subject may be'),
    ('otlp.new_series_within', '"1 hour"',
     'a cumulative OTLP series seen for the first time counts from its beginning if that is at most this long ago'),
    ('otlp.series_retention', '"1 day"',
     'time without points after which a cumulative OTLP series is forgotten'),
    ('evaluation.chunk_interval', '"7 days"',
     'width of a time partition of evaluation, in UTC'),
    ('evaluation.premake', '2',
     'number of partitions created ahead of time'),
    ('evaluation.retention', '"30 days"',
     'age at which a partition of evaluation is dropped'),
    ('evaluation.expired', '"drop"',
     'what happens to an expired partition of evaluation: "drop" or "detach"'),
    ('rollup.fine.retention', '"2 days"',
     'age at which rollups by 10 seconds are deleted (variant_rollup)'),
    ('rollup.medium.retention', '"30 days"',
     'age at which rollups by 10 minutes are deleted (variant_history)'),
    ('rollup.coarse.retention', '"400 days"',
     'age at which rollups by day are deleted (variant_history)'),
    ('rollup.backfill', '"1 hour"',
     'how far back maintain() rolls up a metric from raw rows when a guardrail begins to read it; '
     'rebuild_rollup() goes further back'),
    ('uncounted.retention', '"7 days"',
     'time after which telemetry that counted for no variant is no longer reported (view uncounted)'),
    ('outbox.retention', '"7 days"',
     'age at which delivered rows of outbox are deleted'),
    ('maintenance.interval', '"1 minute"',
     'time between two runs of maintenance inside tick()'),
    ('tick.budget', '"200 milliseconds"',
     'time a tick spends on work that can grow; the rest waits for the next ticks. Judging is never cut short'),
    ('node.silent_after', '"30 seconds"',
     'how long nothing may come from an ingest node, or how old the last that came may be, before it holds all ramps'),
    ('subject.retention', '"30 days"',
     'time after the end of a rollout, and of its follow-up, after which the subjects '
     'exposed to it are forgotten (rollout_subject)')
) v(name, value, description);

CREATE TABLE _flagscope.setting_default (
    name        text PRIMARY KEY,
    value       jsonb NOT NULL,
    description text NOT NULL
);
COMMENT ON TABLE _flagscope.setting_default IS 'every setting as shipped: restored when its row in setting is deleted';
INSERT INTO _flagscope.setting_default SELECT s.name, s.value, s.description FROM flagscope.setting s;
