-- Metrics: how a number is computed from telemetry; and its state by variant and time.

CREATE TYPE flagscope.metric_kind AS ENUM ('proportion', 'mean', 'quantile', 'rate', 'ratio');
COMMENT ON TYPE flagscope.metric_kind IS
    'proportion: share of the matching rows that are events; mean, quantile (p50, p95 ...): of their values; '
    'rate: number of matching rows per row, or per unit of the values, of a denominator; ratio: '
    'sum of their values per row of a denominator';

CREATE TYPE flagscope.harm AS ENUM ('increase', 'decrease');
COMMENT ON TYPE flagscope.harm IS 'the harmful direction of a metric';

CREATE TABLE flagscope.metric_definition (
    name        text PRIMARY KEY,
    kind        flagscope.metric_kind NOT NULL,
    signal      flagscope.signal,
    filter      jsonb NOT NULL DEFAULT '{}',
    event       jsonb,
    per         jsonb,
    sum_values  boolean NOT NULL DEFAULT false,
    cap         float8,
    query       text,
    conversion_window interval,
    per_unit    boolean NOT NULL DEFAULT false,
    owner       name NOT NULL DEFAULT current_user,
    harm        flagscope.harm NOT NULL DEFAULT 'increase',
    unit        text NOT NULL DEFAULT '',
    description text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT metric_name_is_short_text CHECK (CASE
        WHEN (name ~ '^[^[:cntrl:]]+$' AND octet_length(name) <= 255) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('the name of a metric must have 1 to 255 bytes and no control characters, got "%s"',
                left(name, 100)),
            'Letters, digits, spaces, hyphens and dots are allowed.') END),
    CONSTRAINT metric_reads_telemetry_or_a_query CHECK (CASE
        WHEN ((signal IS NULL) = (query IS NOT NULL)) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            CASE WHEN query IS NULL THEN format('metric "%s" reads nothing: it needs a signal or a query', name)
            ELSE format('metric "%s" has both a signal and a query', name) END,
            'create_metric(name, kind, signal) reads telemetry, '
            'create_query_metric(name, kind, query) any table.') END),
    CONSTRAINT metric_of_a_query_has_nothing_of_telemetry CHECK (CASE
        WHEN (query IS NULL OR (filter = '{}' AND num_nonnulls(event, per) = 0 AND (per_unit OR NOT sum_values)
            AND _flagscope.kind_takes(kind::text, 'query'))) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('metric "%s" is a query (%s): it cannot be a ratio or have filter, event, per or sum_values',
                name, kind),
            'The query itself selects and computes what counts; see create_query_metric().') END),
    CONSTRAINT metric_conversion_window_is_positive CHECK (CASE
        WHEN (conversion_window > '0') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('the conversion window of metric "%s" must be positive, got %s', name, conversion_window),
            'For example ''1 day''; NULL for no limit.') END),
    CONSTRAINT metric_event_exactly_for_proportions CHECK (CASE
        WHEN (query IS NOT NULL OR _flagscope.kind_takes(kind::text, 'event') = (event IS NOT NULL)) IS NOT FALSE
            THEN true
        ELSE _flagscope.refuse(
            CASE WHEN event IS NULL THEN format('metric "%s" is a %s and needs an event', name, kind)
            ELSE format('metric "%s" is a %s and cannot have an event, got %s', name, kind, left(event::text, 100)) END,
            'The event selects which of the matching rows are events, for example ''{"is_error": true}''.') END),
    CONSTRAINT metric_per_exactly_for_rates_and_ratios CHECK (CASE
        WHEN (query IS NOT NULL OR _flagscope.kind_takes(kind::text, 'per') = (per IS NOT NULL)) IS NOT FALSE
            THEN true
        ELSE _flagscope.refuse(
            CASE WHEN per IS NULL THEN format('metric "%s" is a %s and needs a denominator', name, kind)
            ELSE format('metric "%s" is a %s and cannot have a denominator, got %s', name, kind,
                left(per::text, 100)) END,
            'It selects the rows to divide by, for example ''{"signal": "span", "name": "POST /checkout"}''.') END),
    CONSTRAINT metric_sums_values_only_for_rates CHECK (CASE
        WHEN (NOT sum_values OR _flagscope.kind_takes(kind::text, 'sum_values') OR (per_unit AND kind = 'mean'))
            IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('metric "%s" is a %s and cannot have sum_values', name, kind),
            'Leave sum_values out; means and ratios use the values anyway. With per_unit a mean may have it: the sum '
            'of each user''s values.') END),
    CONSTRAINT metric_per_unit_of_proportions_and_means CHECK (CASE
        WHEN (NOT per_unit OR _flagscope.kind_takes(kind::text, 'per_unit')) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('metric "%s" is a %s and cannot be counted per_unit', name, kind),
            'Of a user there is one value: whether it met an event (a proportion), or a mean; with sum_values => true '
            'that is the sum of its values, such as revenue per user.') END),
    CONSTRAINT metric_per_unit_has_a_window CHECK (CASE
        WHEN (NOT per_unit OR (conversion_window IS NOT NULL
            AND extract(epoch FROM conversion_window) BETWEEN 60 AND 3153600000)) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('metric "%s" is counted per_unit and needs a conversion_window from 1 minute to 100 years, got "%s"',
                name, coalesce(conversion_window::text, 'NULL')),
            'A user counts when this time after its first exposure is over, for example ''10 minutes''.') END),
    CONSTRAINT metric_cap_only_for_means CHECK (CASE
        WHEN (cap IS NULL OR _flagscope.kind_takes(kind::text, 'cap')) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('metric "%s" is a %s and cannot have a cap, got "%s"', name, kind, cap),
            'Leave the cap out, or make it a mean.') END),
    CONSTRAINT metric_cap_is_positive CHECK (CASE
        WHEN (cap > 0 AND cap <= float8 '1e150') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('the cap of metric "%s" must be above 0 and at most 1e150, got "%s"', name, cap),
            'Take about the 99.9 % quantile of its values (preview_metric() shows it), or a timeout.') END)
);
COMMENT ON TABLE flagscope.metric_definition IS 'how a number is computed from telemetry or by a query';
COMMENT ON COLUMN flagscope.metric_definition.name IS 'its name';
COMMENT ON COLUMN flagscope.metric_definition.kind IS 'how rows become a number';
COMMENT ON COLUMN flagscope.metric_definition.signal IS 'signal whose rows are read; NULL: a query';
COMMENT ON COLUMN flagscope.metric_definition.unit IS 'UCUM unit of its values, for people';
COMMENT ON COLUMN flagscope.metric_definition.description IS 'for people';
COMMENT ON COLUMN flagscope.metric_definition.created_at IS 'when it was made, by the server''s clock';
COMMENT ON COLUMN flagscope.metric_definition.filter IS
    'which rows count, as JSON of which all must hold: name, service, body, value, severity, '
    'attributes {key: condition}, is_error, and, or, not ...; check_filter() says the form and what is wrong with one';
COMMENT ON COLUMN flagscope.metric_definition.event IS
    'of a proportion: which of the matching rows are events, as JSON like filter';
COMMENT ON COLUMN flagscope.metric_definition.per IS
    'of a rate or ratio: the denominator, JSON like filter with signal (default: the metric''s) and, for rates, '
    'sum_values: true to add up values (seconds, a counter''s increments) instead of counting rows';
COMMENT ON COLUMN flagscope.metric_definition.sum_values IS
    'of a rate, or a mean per_unit: true to add up the values of matching rows (a counter''s increments, '
    'whole numbers) instead of counting rows';
COMMENT ON COLUMN flagscope.metric_definition.cap IS
    'of a mean: values are limited to 0 .. cap when they are written (winsorising), and the mean is of these. '
    'A test against the control needs it: about the 99.9 % quantile, or a timeout';
COMMENT ON COLUMN flagscope.metric_definition.query IS
    'instead of telemetry: a SELECT over any tables, run every few seconds while a rollout is live or in its '
    'follow-up; see create_query_metric()';
COMMENT ON COLUMN flagscope.metric_definition.conversion_window IS
    'a subject''s rows count, for the variant that it was exposed to, during this time after its first exposure (a day '
    'is 24 hours, a month 30 days). Rows of telemetry are then counted by the tick like those of a query, '
    'regardless of the flags they carry. NULL: rows of a query count from the first exposure on, rows of telemetry by '
    'their own flags when they are written';
COMMENT ON COLUMN flagscope.metric_definition.per_unit IS
    'true: each subject counts once, with one value, when conversion_window after its first exposure is over: of a '
    'proportion whether it met an event, of a mean the mean of its rows, or with sum_values their sum. Who was '
    'exposed and has no row counts as zero, but for the mean of its rows. Without exposures a subject''s first row '
    'that names the flag is taken for one. conversion_window is setting unit.window where it is NULL';
COMMENT ON COLUMN flagscope.metric_definition.owner IS
    'role with whose rights the query runs; whoever changes the metric must be a member of it';
COMMENT ON COLUMN flagscope.metric_definition.harm IS 'the harmful direction of the metric';

CREATE TABLE flagscope.metric_run (
    metric   text PRIMARY KEY REFERENCES flagscope.metric_definition ON DELETE CASCADE,
    until    timestamptz,
    run_at   timestamptz NOT NULL,
    given    bigint NOT NULL DEFAULT 0,
    counted  bigint NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    retry_at timestamptz,
    problem  text
);
COMMENT ON TABLE flagscope.metric_run IS
    'state of a metric that is counted by the tick (a query, or a metric with a conversion window): how far its rows '
    'are counted, and what went wrong';
COMMENT ON COLUMN flagscope.metric_run.metric IS 'name of the metric';
COMMENT ON COLUMN flagscope.metric_run.run_at IS 'when it last ran';
COMMENT ON COLUMN flagscope.metric_run.until IS
    'end of the last range that was counted; the next one begins here, even after failures';
COMMENT ON COLUMN flagscope.metric_run.given IS
    'rows of the last successful run; of telemetry, those that match and have a subject';
COMMENT ON COLUMN flagscope.metric_run.counted IS 'how many of them counted, once for each rollout';
COMMENT ON COLUMN flagscope.metric_run.failures IS
    'failed runs since the last one that reached the present; each halves the range of the next run';
COMMENT ON COLUMN flagscope.metric_run.retry_at IS
    'when it runs next, if not query.interval after the last run: later after a failure, at once when it lags behind';
COMMENT ON COLUMN flagscope.metric_run.problem IS
    'why the last run failed, or of a metric per_unit that its rows carry no subject; NULL: it succeeded, '
    'or it was a batch of several metrics, which are retried one by one';

CREATE FUNCTION _flagscope.bounded(n numeric) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN n IS NOT NULL THEN least(n, 9223372036854775807)::bigint END;  -- LEAST ignores NULL
COMMENT ON FUNCTION _flagscope.bounded(numeric) IS
    'a sum of counts, limited to the largest bigint: a metric that adds up huge values must not make ticks fail';

-- Written by the ingest trigger in the transaction of the raw rows; rows are only inserted and consumed, so no index.
CREATE TABLE _flagscope.variant_delta (
    flag        text NOT NULL,
    environment text NOT NULL,
    variant     text NOT NULL,
    metric      text NOT NULL,
    bucket      timestamptz NOT NULL,
    n           bigint NOT NULL,
    events      bigint NOT NULL,
    moments     flagscope.moments,
    histogram   flagscope.histogram,
    last_ts     timestamptz NOT NULL,
    rolled_up   boolean NOT NULL DEFAULT false,
    first_ts    timestamptz NOT NULL,
    instance    text
);
COMMENT ON TABLE _flagscope.variant_delta IS
    'state of a metric by variant and bucket, one row a writing statement, until the next tick consumes it; '
    'columns as in variant_rollup; rows are stored in the slots that inherit from it';
COMMENT ON COLUMN _flagscope.variant_delta.first_ts IS
    'earliest ts among the rows; a bucket in which the allocation changes comes in several deltas, one for each share';
COMMENT ON COLUMN _flagscope.variant_delta.instance IS
    'which process sent the rows (telemetry.instance); NULL: they do not say';
COMMENT ON COLUMN _flagscope.variant_delta.rolled_up IS
    'variant_rollup contains it already, because it was rebuilt from raw rows: it counts as evidence only';

CREATE TABLE flagscope.variant_rollup (
    flag        text NOT NULL,
    environment text NOT NULL,
    variant     text NOT NULL,
    metric      text NOT NULL,
    bucket      timestamptz NOT NULL,
    n           bigint NOT NULL,
    events      bigint NOT NULL,
    moments     flagscope.moments,
    histogram   flagscope.histogram,
    last_ts     timestamptz NOT NULL,
    settled     boolean NOT NULL DEFAULT false,
    PRIMARY KEY (flag, environment, metric, variant, bucket, settled)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX variant_rollup_by_bucket ON flagscope.variant_rollup USING brin (bucket);  -- for retention
CREATE INDEX variant_rollup_open ON flagscope.variant_rollup (flag, environment, bucket) WHERE NOT settled;
COMMENT ON TABLE flagscope.variant_rollup IS
    'mergeable state by flag, environment, variant, metric and 10-second bucket: the finest level; a bucket that '
    'received late rows is the sum of two rows, one settled and one not';
COMMENT ON COLUMN flagscope.variant_rollup.flag IS 'key of the flag';
COMMENT ON COLUMN flagscope.variant_rollup.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.variant_rollup.variant IS
    'name of the variant; empty: all rows of the environment, for guardrails of scope environment';
COMMENT ON COLUMN flagscope.variant_rollup.metric IS 'name of the metric';
COMMENT ON COLUMN flagscope.variant_rollup.settled IS
    'true: also contained in variant_history, to which maintain() adds buckets that are over';
COMMENT ON COLUMN flagscope.variant_rollup.bucket IS 'start of the 10 seconds (UTC)';
COMMENT ON COLUMN flagscope.variant_rollup.n IS
    'number of matching rows (of rates and ratios: of the denominator; of a histogram''s point: every value that it '
    'summarises); rows with an invalid value (NaN, infinite, missing) do not count';
COMMENT ON COLUMN flagscope.variant_rollup.events IS
    'number of events; of a rate, the count of its numerator; 0 for other kinds';
COMMENT ON COLUMN flagscope.variant_rollup.moments IS
    'moments of the values of means and ratios, and of the denominator''s values of rates that add them up';
COMMENT ON COLUMN flagscope.variant_rollup.histogram IS 'histogram of the values; for quantiles only';
COMMENT ON COLUMN flagscope.variant_rollup.last_ts IS 'latest ts among the rows';

CREATE TYPE _flagscope.stratum AS (
    flag        text,
    environment text,
    variant     text,
    metric      text,
    n           bigint,
    events      bigint,
    moments     flagscope.moments,
    histogram   flagscope.histogram,
    last_ts     timestamptz,
    stage_n     bigint
);
COMMENT ON TYPE _flagscope.stratum IS
    'the deltas of one metric and variant consumed by one tick: one arm of a stratum of the sequential tests; '
    'stage_n of its rows belong to the rollout''s present stage';
