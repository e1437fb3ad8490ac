-- Guardrails: rules as rows, the evidence so far, and every stratum that went into it.

CREATE TYPE flagscope.comparison AS ENUM ('control', 'absolute');
COMMENT ON TYPE flagscope.comparison IS 'control: treatment against the concurrent control; absolute: treatment against a limit';

CREATE TYPE flagscope.guardrail_test AS ENUM ('sequential', 'threshold');
COMMENT ON TYPE flagscope.guardrail_test IS
    'sequential: anytime-valid, right under peeking (statistics.md P, Q, P1); threshold: the value over a window against the limit';

CREATE TYPE flagscope.action AS ENUM (
    'start', 'advance', 'approve', 'pause', 'resume', 'complete', 'warn', 'hold', 'step_back', 'rollback', 'disable');
COMMENT ON TYPE flagscope.action IS 'what a decision does to a rollout; the last five can be a guardrail''s action, in rising severity';

CREATE TYPE flagscope.data_state AS ENUM ('ok', 'breached', 'inconclusive', 'not_enough', 'no_data', 'stale', 'error');
COMMENT ON TYPE flagscope.data_state IS
    'verdict of a guardrail; only ok lets the ramp advance, only breached acts, all others hold the ramp';

CREATE TABLE flagscope.guardrail (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text NOT NULL,
    flag          text NOT NULL,
    environment   text NOT NULL,
    metric        text NOT NULL REFERENCES flagscope.metric,
    comparison    flagscope.comparison NOT NULL DEFAULT 'control',
    test          flagscope.guardrail_test NOT NULL DEFAULT 'sequential',
    quantile      float8,
    margin        float8,
    limit_value   float8,
    action        flagscope.action NOT NULL DEFAULT 'rollback',
    weight        float8 NOT NULL DEFAULT 1,
    min_sample    bigint,
    time_window   interval,
    shadow        boolean NOT NULL DEFAULT false,
    enabled       boolean NOT NULL DEFAULT true,
    version       integer NOT NULL DEFAULT 1,
    description   text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (flag, environment) REFERENCES flagscope.flag_state (flag, environment) ON DELETE CASCADE,
    UNIQUE (flag, environment, name),
    CONSTRAINT guardrail_acts_like_a_guardrail CHECK (
        action IN ('warn', 'hold', 'pause', 'step_back', 'rollback', 'disable')),
    CONSTRAINT guardrail_limit_exactly_when_absolute CHECK ((comparison = 'absolute') = (limit_value IS NOT NULL)),
    CONSTRAINT guardrail_limit_is_finite CHECK (limit_value > '-Infinity' AND limit_value < 'Infinity'),
    CONSTRAINT guardrail_margin_only_against_control CHECK (margin IS NULL OR comparison = 'control'),
    CONSTRAINT guardrail_margin_within_0_and_10 CHECK (margin >= 0 AND margin <= 10),
    CONSTRAINT guardrail_quantile_between_0_and_1 CHECK (quantile > 0 AND quantile < 1),
    CONSTRAINT guardrail_control_is_tested_sequentially CHECK (comparison = 'absolute' OR test = 'sequential'),
    CONSTRAINT guardrail_weight_is_positive CHECK (weight > 0 AND weight < 'Infinity'),
    CONSTRAINT guardrail_sample_is_not_negative CHECK (min_sample >= 0),
    CONSTRAINT guardrail_window_is_positive CHECK (time_window > interval '0')
);
COMMENT ON TABLE flagscope.guardrail IS 'one rule: a metric, what it is compared with, and what happens on a breach';
COMMENT ON COLUMN flagscope.guardrail.quantile IS
    'which quantile, for quantile metrics; NULL against control: the mean of the e-values at p50, p90, p95 and p99 (mix4)';
COMMENT ON COLUMN flagscope.guardrail.margin IS
    'tolerated relative worsening against control: of the odds for proportions, of the value for quantiles; NULL: setting guardrail.margin.*';
COMMENT ON COLUMN flagscope.guardrail.limit_value IS 'limit of an absolute guardrail, in the metric''s unit (a share for proportions)';
COMMENT ON COLUMN flagscope.guardrail.action IS 'what happens when the guardrail is breached';
COMMENT ON COLUMN flagscope.guardrail.weight IS 'share of the rollout''s error budget, relative to its other sequential guardrails';
COMMENT ON COLUMN flagscope.guardrail.min_sample IS
    'data points of the treatment wanted in each stage before the ramp advances; never delays a breach; NULL: setting guardrail.min_sample';
COMMENT ON COLUMN flagscope.guardrail.time_window IS 'time a threshold guardrail looks back; NULL: setting guardrail.window';
COMMENT ON COLUMN flagscope.guardrail.shadow IS 'evaluated and stored, but never acts and never holds the ramp';
COMMENT ON COLUMN flagscope.guardrail.version IS 'grows when the rule changes; a changed rule starts its evidence anew';

CREATE TABLE flagscope.guardrail_status (
    guardrail_id      bigint NOT NULL REFERENCES flagscope.guardrail ON DELETE CASCADE,
    rollout_id        bigint NOT NULL REFERENCES flagscope.rollout ON DELETE CASCADE,
    guardrail_version integer NOT NULL,
    state             flagscope.data_state NOT NULL DEFAULT 'not_enough',
    reason            text NOT NULL DEFAULT '',
    alpha             float8 NOT NULL,
    margin            float8,
    evidence          float8[] NOT NULL DEFAULT '{}',
    log_e             float8 NOT NULL DEFAULT 0,
    max_log_e         float8 NOT NULL DEFAULT 0,
    thresholds        integer[],
    waiting_treatment flagscope.stratum,
    waiting_control   flagscope.stratum,
    waiting_since     timestamptz,
    n_treatment       bigint NOT NULL DEFAULT 0,
    n_control         bigint NOT NULL DEFAULT 0,
    events_treatment  bigint[] NOT NULL DEFAULT '{}',
    events_control    bigint[] NOT NULL DEFAULT '{}',
    stage_treatment   bigint NOT NULL DEFAULT 0,
    value             float8,
    since             timestamptz NOT NULL,
    evaluated_at      timestamptz,
    last_data_at      timestamptz,
    watermark         timestamptz,
    breached_at       timestamptz,
    failures          integer NOT NULL DEFAULT 0,
    retry_at          timestamptz,
    PRIMARY KEY (rollout_id, guardrail_id)
) WITH (fillfactor = 50);
COMMENT ON TABLE flagscope.guardrail_status IS 'where a guardrail stands in a rollout: verdict, reason in words, and the evidence so far';
COMMENT ON COLUMN flagscope.guardrail_status.alpha IS
    'this guardrail''s share of the rollout''s error budget, fixed when the rollout started; a guardrail added or changed later spends a share on top of it';
COMMENT ON COLUMN flagscope.guardrail_status.margin IS 'the margin tested, fixed when the rollout started; NULL against a limit';
COMMENT ON COLUMN flagscope.guardrail_status.evidence IS
    'log likelihood ratios summed over strata, one per grid point (8 for each tested quantile); the e-value is their mixture';
COMMENT ON COLUMN flagscope.guardrail_status.log_e IS 'natural log of the e-value now';
COMMENT ON COLUMN flagscope.guardrail_status.max_log_e IS 'its maximum: breached once it reaches ln(1/alpha); exp(-max) is the anytime p-value';
COMMENT ON COLUMN flagscope.guardrail_status.thresholds IS
    'histogram bins that the next stratum is judged at, taken from the control''s past only (so that the test stays valid)';
COMMENT ON COLUMN flagscope.guardrail_status.waiting_treatment IS
    'data that came without data of the other arm: it waits for it, as one stratum, at most setting guardrail.pairing';
COMMENT ON COLUMN flagscope.guardrail_status.waiting_control IS 'the same of the control';
COMMENT ON COLUMN flagscope.guardrail_status.n_treatment IS
    'data points weighed so far; a quantile against control weighs from its second stratum on, when there are thresholds';
COMMENT ON COLUMN flagscope.guardrail_status.events_treatment IS 'events, or values above the thresholds, summed over strata';
COMMENT ON COLUMN flagscope.guardrail_status.stage_treatment IS 'data points of the treatment since the stage started';
COMMENT ON COLUMN flagscope.guardrail_status.value IS 'last value of a threshold guardrail';
COMMENT ON COLUMN flagscope.guardrail_status.last_data_at IS 'tick that last saw data of the treatment';
COMMENT ON COLUMN flagscope.guardrail_status.watermark IS 'latest ts among all rows judged';

CREATE TABLE flagscope.evaluation (
    at                timestamptz NOT NULL,
    guardrail_id      bigint NOT NULL,
    rollout_id        bigint NOT NULL,
    guardrail_version integer NOT NULL,
    percent           numeric(6,3) NOT NULL,
    state             flagscope.data_state NOT NULL,
    n_treatment       bigint NOT NULL,
    n_control         bigint NOT NULL,
    events_treatment  bigint[] NOT NULL,
    events_control    bigint[] NOT NULL,
    thresholds        integer[],
    increment         float8[] NOT NULL,
    log_e             float8 NOT NULL,
    value             float8,
    watermark         timestamptz
) PARTITION BY RANGE (at);
COMMENT ON TABLE flagscope.evaluation IS
    'one guardrail in one tick: the stratum''s numbers, thresholds in force and increment; the evidence is the sum of these rows';
COMMENT ON COLUMN flagscope.evaluation.percent IS 'share served when the stratum was consumed';
COMMENT ON COLUMN flagscope.evaluation.increment IS 'added to guardrail_status.evidence by this stratum';
COMMENT ON COLUMN flagscope.evaluation.log_e IS 'natural log of the e-value after this stratum';
COMMENT ON COLUMN flagscope.evaluation.watermark IS 'latest ts among the stratum''s rows';
CREATE TABLE flagscope.evaluation_stray PARTITION OF flagscope.evaluation DEFAULT;
CREATE INDEX ON flagscope.evaluation_stray (guardrail_id, rollout_id, at);  -- copied to every partition, as of telemetry_stray
COMMENT ON TABLE flagscope.evaluation_stray IS 'evaluations whose time has no partition; maintain() moves them';
