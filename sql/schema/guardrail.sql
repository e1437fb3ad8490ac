-- Guardrails: rules as rows, the evidence so far, and every stratum that went into it.

CREATE TYPE flagscope.comparison AS ENUM ('control', 'baseline', 'absolute');
COMMENT ON TYPE flagscope.comparison IS
    'control: treatment against the concurrent control; baseline: against what the control variant was before; absolute: against a limit';

CREATE TYPE flagscope.guardrail_test AS ENUM ('sequential', 'threshold', 'anomaly');
COMMENT ON TYPE flagscope.guardrail_test IS
    'sequential: anytime-valid, right under peeking (statistics.md P, Q, M, R, P1); threshold: the value over a window against the limit; anomaly: the flag''s own past at this time of day (statistics.md A), and not the control''s too';

CREATE TYPE flagscope.action AS ENUM (
    'start', 'advance', 'approve', 'pause', 'resume', 'complete', 'warn', 'hold', 'step_back', 'rollback', 'disable');
COMMENT ON TYPE flagscope.action IS 'what a decision does to a rollout; the last five can be a guardrail''s action, in rising severity';

CREATE TYPE flagscope.data_state AS ENUM ('ok', 'breached', 'inconclusive', 'not_enough', 'no_data', 'stale', 'error');
COMMENT ON TYPE flagscope.data_state IS
    'verdict of a guardrail; only ok lets the ramp advance, only breached acts, all others hold the ramp';

CREATE TABLE flagscope.guardrail_policy (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    environment text REFERENCES flagscope.environment_definition,
    tag         text,
    rule        jsonb NOT NULL,
    enabled     boolean NOT NULL DEFAULT true,
    description text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT guardrail_policy_name_is_short_text CHECK (CASE
        WHEN (name ~ '^[^[:cntrl:]]+$' AND octet_length(name) <= 255) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('the name of a policy has 1 to 255 bytes and no control characters, got "%s"', left(name, 100)),
            'Letters, digits, spaces, hyphens and dots are all fine.') END)
);
COMMENT ON TABLE flagscope.guardrail_policy IS
    'a guardrail for many flags: every rollout that it is meant for gets it when it starts, as a guardrail of the policy''s name';
COMMENT ON COLUMN flagscope.guardrail_policy.id IS 'number of the row';
COMMENT ON COLUMN flagscope.guardrail_policy.name IS 'what its guardrails are called';
COMMENT ON COLUMN flagscope.guardrail_policy.enabled IS 'false: rollouts that start do not get it';
COMMENT ON COLUMN flagscope.guardrail_policy.description IS 'for people';
COMMENT ON COLUMN flagscope.guardrail_policy.created_at IS 'when it was made, by the server''s clock';
COMMENT ON COLUMN flagscope.guardrail_policy.environment IS 'for flags there; NULL: everywhere';
COMMENT ON COLUMN flagscope.guardrail_policy.tag IS 'for flags with this tag; NULL: for all';
COMMENT ON COLUMN flagscope.guardrail_policy.rule IS
    'columns of guardrail as JSON; metric is wanted, what is left out has the column''s default';

CREATE TABLE flagscope.guardrail (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text NOT NULL,
    flag          text NOT NULL,
    environment   text NOT NULL,
    metric        text NOT NULL REFERENCES flagscope.metric_definition,
    comparison    flagscope.comparison NOT NULL DEFAULT 'control',
    test          flagscope.guardrail_test NOT NULL DEFAULT 'sequential',
    quantile      float8,
    margin        float8,
    margin_absolute float8,
    limit_value   float8,
    action        flagscope.action NOT NULL DEFAULT 'rollback',
    on_state      jsonb NOT NULL DEFAULT '{}',
    priority      integer NOT NULL DEFAULT 0,
    weight        float8 NOT NULL DEFAULT 1,
    design_effect float8 NOT NULL DEFAULT 1,
    min_sample    bigint,
    time_window   interval,
    breaches      integer NOT NULL DEFAULT 1,
    of_looks      integer NOT NULL DEFAULT 1,
    grace         interval,
    stale_after   interval,
    policy_id     bigint REFERENCES flagscope.guardrail_policy ON DELETE SET NULL,
    shadow        boolean NOT NULL DEFAULT false,
    enabled       boolean NOT NULL DEFAULT true,
    version       integer NOT NULL DEFAULT 1,
    description   text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (flag, environment) REFERENCES flagscope.flag_state (flag, environment) ON DELETE CASCADE,
    UNIQUE (flag, environment, name),
    CONSTRAINT guardrail_acts_like_a_guardrail CHECK (CASE
        WHEN (action IN ('warn', 'hold', 'pause', 'step_back', 'rollback', 'disable')) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('"%s" is not an action of a guardrail', action),
            'It is warn, hold, pause, step_back, rollback or disable.') END),
    CONSTRAINT guardrail_limit_exactly_when_absolute CHECK (CASE
        WHEN ((comparison = 'absolute') = (limit_value IS NOT NULL)) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(CASE WHEN limit_value IS NULL THEN 'comparison "absolute" needs a limit_value'
            ELSE format('limit_value "%s" goes with comparison "absolute", not with "%s"', limit_value, comparison) END,
            'A limit is absolute: leave comparison out. Against control or a baseline there is a margin.') END),
    CONSTRAINT guardrail_limit_is_finite CHECK (CASE
        WHEN (limit_value > '-Infinity' AND limit_value < 'Infinity') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('limit_value must be a finite number, got "%s"', limit_value),
            'It is in the metric''s unit; of a proportion a share: 2 % is 0.02.') END),
    CONSTRAINT guardrail_margin_not_of_a_limit CHECK (CASE
        WHEN (margin IS NULL OR comparison <> 'absolute') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('a limit has no margin, got "%s"', margin),
            'Set limit_value to what is tolerated.') END),
    CONSTRAINT guardrail_margin_within_0_and_1 CHECK (CASE
        WHEN (margin >= 0 AND margin <= 1) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('margin is a share between 0 and 1, got "%s"', margin),
            '2 % is 0.02. In the metric''s own unit it is margin_absolute.') END),
    CONSTRAINT guardrail_margin_is_one_of_two CHECK (CASE
        WHEN (margin IS NULL OR margin_absolute IS NULL) IS NOT FALSE THEN true
        ELSE _flagscope.refuse('a margin is relative (margin) or in the metric''s unit (margin_absolute), not both',
            'Leave one of them out.') END),
    CONSTRAINT guardrail_margin_absolute_not_of_a_limit CHECK (CASE
        WHEN (margin_absolute IS NULL OR (comparison <> 'absolute' AND test <> 'anomaly')) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('a limit and an anomaly have no margin, got margin_absolute "%s"', margin_absolute),
            'Set limit_value to what is tolerated; an anomaly takes what is usual.') END),
    CONSTRAINT guardrail_margin_absolute_is_positive CHECK (CASE
        WHEN (margin_absolute > 0 AND margin_absolute < 'Infinity') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('margin_absolute is a positive number, got "%s"', margin_absolute),
            'It is in the metric''s unit; of a proportion a share: half a percentage point is 0.005.') END),
    CONSTRAINT guardrail_quantile_between_0_and_1 CHECK (CASE
        WHEN (quantile > 0 AND quantile < 1) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('quantile lies between 0 and 1, got "%s"', quantile),
            'The 95th percentile is 0.95.') END),
    CONSTRAINT guardrail_control_is_tested_sequentially CHECK (CASE
        WHEN (comparison <> 'control' OR test = 'sequential') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('against control the test is "sequential", not "%s"', test),
            'A threshold looks at a limit: give a limit_value, or comparison => ''baseline''.') END),
    CONSTRAINT guardrail_breaches_of_looks CHECK (CASE
        WHEN (breaches BETWEEN 1 AND of_looks AND of_looks <= 100) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('breaches lies between 1 and of_looks, of_looks is at most 100; got "%s" of "%s"', breaches, of_looks),
            'breaches => 3, of_looks => 5: three of the last five looks are beyond the limit.') END),
    CONSTRAINT guardrail_looks_only_of_a_threshold CHECK (CASE
        WHEN (of_looks = 1 OR test = 'threshold') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('only a threshold counts its looks, not test "%s"', test),
            'A sequential test stays right however often it looks: leave breaches and of_looks out.') END),
    CONSTRAINT guardrail_anomaly_is_of_a_baseline CHECK (CASE
        WHEN (test <> 'anomaly' OR (comparison = 'baseline' AND margin IS NULL)) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            'an anomaly is one beside the flag''s own past: its comparison is "baseline", and it has no margin',
            'Leave comparison and margin out.') END),
    CONSTRAINT guardrail_times_are_positive CHECK (CASE
        WHEN (grace >= interval '0' AND stale_after > interval '0') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('grace must not be negative and stale_after must be longer than nothing, got "%s" and "%s"',
            coalesce(grace::text, 'NULL'), coalesce(stale_after::text, 'NULL')),
            'For example ''2 minutes''; NULL takes the settings guardrail.grace and guardrail.stale_after.') END),
    CONSTRAINT guardrail_weight_is_positive CHECK (CASE
        WHEN (weight > 0 AND weight < 'Infinity') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('weight is a positive number, got "%s"', weight),
            'It is the share of the error budget beside the other guardrails; 1 is usual, 2 twice as much.') END),
    CONSTRAINT guardrail_design_effect_from_1 CHECK (CASE
        WHEN (design_effect >= 1 AND design_effect < 'Infinity') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('design_effect is a number from 1, got "%s"', design_effect),
            '1 is for independent data points; flagscope.design_effect(events, trials) measures it.') END),
    CONSTRAINT guardrail_sample_is_not_negative CHECK (CASE
        WHEN (min_sample >= 0) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('min_sample must not be negative, got "%s"', min_sample),
            'It is a number of data points; NULL takes the setting guardrail.min_sample.') END),
    CONSTRAINT guardrail_window_is_positive CHECK (CASE
        WHEN (time_window > interval '0') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('time_window must be longer than nothing, got "%s"', time_window),
            'For example ''1 minute''; NULL takes the setting guardrail.window.') END),
    CONSTRAINT guardrail_times_within_100_years CHECK (CASE
        WHEN (grace <= interval '36500 days' AND stale_after <= interval '36500 days' AND time_window <= interval '36500 days')
            IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('grace, stale_after and time_window are at most 100 years, got "%s", "%s" and "%s"',
            coalesce(grace::text, 'NULL'), coalesce(stale_after::text, 'NULL'), coalesce(time_window::text, 'NULL')),
            'For example ''2 minutes''.') END)
);
COMMENT ON TABLE flagscope.guardrail IS 'one rule: a metric, what it is compared with, and what happens on a breach';
COMMENT ON COLUMN flagscope.guardrail.id IS 'number of the row';
COMMENT ON COLUMN flagscope.guardrail.name IS 'what it is called in decisions and reports';
COMMENT ON COLUMN flagscope.guardrail.flag IS 'key of the flag';
COMMENT ON COLUMN flagscope.guardrail.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.guardrail.metric IS 'name of the metric';
COMMENT ON COLUMN flagscope.guardrail.comparison IS 'what the treatment is compared with';
COMMENT ON COLUMN flagscope.guardrail.test IS 'how it is tested';
COMMENT ON COLUMN flagscope.guardrail.enabled IS 'false: nobody looks at it';
COMMENT ON COLUMN flagscope.guardrail.description IS 'for people';
COMMENT ON COLUMN flagscope.guardrail.created_at IS 'when it was made, by the server''s clock';
COMMENT ON COLUMN flagscope.guardrail.quantile IS
    'which quantile, for quantile metrics; NULL against control: the mean of the e-values at p50, p90, p95 and p99 (mix4)';
COMMENT ON COLUMN flagscope.guardrail.margin IS
    'tolerated relative worsening against control or baseline, a share from 0 to 1 (2 % is 0.02): of the odds for proportions, of the value otherwise; below 1 for a mean that must not fall; NULL: setting guardrail.margin.*, unless there is a margin_absolute';
COMMENT ON COLUMN flagscope.guardrail.margin_absolute IS
    'tolerated worsening in the metric''s unit, of a proportion as a share (0.005: half a percentage point), in the place of margin: against the control it is added to what the control was just before';
COMMENT ON COLUMN flagscope.guardrail.limit_value IS 'limit of an absolute guardrail, in the metric''s unit (a share for proportions)';
COMMENT ON COLUMN flagscope.guardrail.action IS 'what happens when the guardrail is breached';
COMMENT ON COLUMN flagscope.guardrail.on_state IS
    'JSON object {data state: what happens}, for states that are neither ok nor breached: "wait" (the default: the ramp waits), "ignore" (it does not), or an action as on a breach';
COMMENT ON COLUMN flagscope.guardrail.priority IS 'while one with a higher priority wants an action, those below do not act on what was there when it acted; among equals the most severe action is taken';
COMMENT ON COLUMN flagscope.guardrail.breaches IS
    'of a threshold: how many of the last of_looks looks must be beyond the limit; looks are one time window apart';
COMMENT ON COLUMN flagscope.guardrail.of_looks IS 'how many looks count; breaches = of_looks wants them in a row';
COMMENT ON COLUMN flagscope.guardrail.grace IS
    'time from the start of a stage during which missing data is excused; NULL: setting guardrail.grace';
COMMENT ON COLUMN flagscope.guardrail.stale_after IS 'time without data after which it is stale; NULL: setting guardrail.stale_after';
COMMENT ON COLUMN flagscope.guardrail.policy_id IS 'the policy that attached it; its rule follows the policy at every start of a rollout';
COMMENT ON COLUMN flagscope.guardrail.weight IS 'share of the rollout''s error budget, relative to its other sequential guardrails';
COMMENT ON COLUMN flagscope.guardrail.design_effect IS
    'how many times the variance of independent data points theirs is, when users send many that resemble each other: evidence is divided by it; from design_effect() or suggest_margin() over a past of the control';
COMMENT ON COLUMN flagscope.guardrail.min_sample IS
    'data points of the treatment wanted in each stage before the ramp advances; never delays a sequential breach; a threshold or an anomaly, which controls no error, wants them once, since its evidence began; NULL: setting guardrail.min_sample (take 1 for a gauge that comes every few seconds)';
COMMENT ON COLUMN flagscope.guardrail.time_window IS 'time a threshold guardrail looks back; NULL: setting guardrail.window. Of an anomaly the width of a point, whole minutes from 1 to 60, by setting guardrail.anomaly_window when it is made';
COMMENT ON COLUMN flagscope.guardrail.shadow IS 'evaluated and stored, but never acts and never holds the ramp';
COMMENT ON COLUMN flagscope.guardrail.version IS 'grows when the rule changes; a changed rule starts its evidence anew';

CREATE SEQUENCE _flagscope.evidence_seq;
COMMENT ON SEQUENCE _flagscope.evidence_seq IS 'numbers of evidence: each e-process of a guardrail in a rollout has its own';

CREATE TABLE flagscope.guardrail_status (
    guardrail_id      bigint NOT NULL REFERENCES flagscope.guardrail ON DELETE CASCADE,
    rollout_id        bigint NOT NULL REFERENCES flagscope.rollout ON DELETE CASCADE,
    guardrail_version integer NOT NULL,
    evidence_id       bigint NOT NULL DEFAULT nextval('_flagscope.evidence_seq'),
    last_stratum      integer NOT NULL DEFAULT 0,
    state             flagscope.data_state NOT NULL DEFAULT 'not_enough',
    state_since       timestamptz,
    reason            text NOT NULL DEFAULT '',
    alpha             float8 NOT NULL,
    margin            float8,
    margin_absolute   float8,
    limit_value       float8,
    evidence          float8[] NOT NULL DEFAULT '{}',
    copied_at         timestamptz,
    log_e             float8 NOT NULL DEFAULT 0,
    max_log_e         float8 NOT NULL DEFAULT 0,
    thresholds        integer[],
    centre            float8,
    past              float8[],
    waiting_treatment _flagscope.stratum,
    waiting_control   _flagscope.stratum,
    waiting_since     timestamptz,
    n_treatment       bigint NOT NULL DEFAULT 0,
    n_control         bigint NOT NULL DEFAULT 0,
    events_treatment  bigint[] NOT NULL DEFAULT '{}',
    events_control    bigint[] NOT NULL DEFAULT '{}',
    stage_treatment   bigint NOT NULL DEFAULT 0,
    value             float8,
    looks             boolean[] NOT NULL DEFAULT '{}',
    looked_at         timestamptz,
    since             timestamptz NOT NULL,
    evaluated_at      timestamptz,
    last_data_at      timestamptz,
    watermark         timestamptz,
    breached_at       timestamptz,
    joint             jsonb,
    failures          integer NOT NULL DEFAULT 0,
    retry_at          timestamptz,
    PRIMARY KEY (rollout_id, guardrail_id)
) WITH (fillfactor = 50);
COMMENT ON TABLE flagscope.guardrail_status IS 'where a guardrail stands in a rollout: verdict, reason in words, and the evidence so far';
COMMENT ON COLUMN flagscope.guardrail_status.guardrail_id IS 'the guardrail';
COMMENT ON COLUMN flagscope.guardrail_status.rollout_id IS 'the rollout';
COMMENT ON COLUMN flagscope.guardrail_status.guardrail_version IS 'version of the rule that its evidence is of';
COMMENT ON COLUMN flagscope.guardrail_status.state IS 'verdict';
COMMENT ON COLUMN flagscope.guardrail_status.reason IS 'why, in words';
COMMENT ON COLUMN flagscope.guardrail_status.waiting_since IS 'since when the strata have waited';
COMMENT ON COLUMN flagscope.guardrail_status.n_control IS 'data points of the control so far';
COMMENT ON COLUMN flagscope.guardrail_status.events_control IS 'events of the control so far';
COMMENT ON COLUMN flagscope.guardrail_status.since IS 'when its evidence began';
COMMENT ON COLUMN flagscope.guardrail_status.evaluated_at IS 'when a tick last looked';
COMMENT ON COLUMN flagscope.guardrail_status.breached_at IS 'when it was breached; NULL: it is not';
COMMENT ON COLUMN flagscope.guardrail_status.failures IS 'ticks in a row in which it could not be judged';
COMMENT ON COLUMN flagscope.guardrail_status.retry_at IS 'when it is tried again after that';
COMMENT ON COLUMN flagscope.guardrail_status.evidence_id IS 'number of this evidence; another one when it begins anew';
COMMENT ON COLUMN flagscope.guardrail_status.last_stratum IS 'rows of evaluation with this number so far: ordinal of the last one';
COMMENT ON COLUMN flagscope.guardrail_status.state_since IS 'tick at which the state became what it is';
COMMENT ON COLUMN flagscope.guardrail_status.alpha IS
    'this evidence''s share of the rollout''s error budget, fixed when it began; all shares of a rollout add up to its alpha at most';
COMMENT ON COLUMN flagscope.guardrail_status.margin IS 'the margin tested, fixed when the evidence began; NULL against a limit, and where it is absolute';
COMMENT ON COLUMN flagscope.guardrail_status.margin_absolute IS 'the margin tested in the metric''s unit, of a proportion as a share; NULL where it is relative';
COMMENT ON COLUMN flagscope.guardrail_status.limit_value IS
    'the limit tested: of an absolute guardrail, or taken from the baseline once when there was enough of it; of an anomaly the score of an alarm; NULL against control';
COMMENT ON COLUMN flagscope.guardrail_status.looks IS 'of a threshold that counts them: whether each of the last looks was beyond the limit';
COMMENT ON COLUMN flagscope.guardrail_status.looked_at IS 'time of the last of them; of an anomaly start of the last point that was judged';
COMMENT ON COLUMN flagscope.guardrail_status.evidence IS
    'how many copies of it have begun, then log likelihood ratios summed over strata, one per grid point (8, for quantiles as many for each one tested), copies mixed in; the e-value is their mixture';
COMMENT ON COLUMN flagscope.guardrail_status.copied_at IS
    'tick in which the latest copy of the evidence began, or the evidence itself: a copy has seen nothing of what was before, so an effect that appears late is not held back by it';
COMMENT ON COLUMN flagscope.guardrail_status.log_e IS 'natural log of the e-value now';
COMMENT ON COLUMN flagscope.guardrail_status.max_log_e IS 'its maximum: breached once it reaches ln(1/alpha), or earlier together with others (joint); exp(-max) is the anytime p-value';
COMMENT ON COLUMN flagscope.guardrail_status.thresholds IS
    'histogram bins that the next stratum is judged at, taken from the control''s past only (so that the test stays valid)';
COMMENT ON COLUMN flagscope.guardrail_status.centre IS
    'of a mean against control: the control''s fading mean, from its past only, that the next stratum is judged around; of a proportion or rate with an absolute margin the control''s share or rate just before, that the margin is added to; of an anomaly the control''s highest score in the last six points, infinite where it is not known; NULL: no control is left';
COMMENT ON COLUMN flagscope.guardrail_status.past IS
    'what that share or rate is of: the trials (of a rate the exposure) and events of the control''s last strata, the older ones fading; NULL where nothing is taken from it';
COMMENT ON COLUMN flagscope.guardrail_status.waiting_treatment IS
    'data that came without data of the other arm: it waits for it, as one stratum, at most setting guardrail.pairing; and data that could not be judged because of an error';
COMMENT ON COLUMN flagscope.guardrail_status.waiting_control IS 'the same of the control';
COMMENT ON COLUMN flagscope.guardrail_status.n_treatment IS
    'data points weighed so far; against the control a quantile, a mean and an absolute margin weigh from the second stratum on, when there is a past';
COMMENT ON COLUMN flagscope.guardrail_status.events_treatment IS 'events, or values above the thresholds, summed over strata';
COMMENT ON COLUMN flagscope.guardrail_status.stage_treatment IS 'data points of the treatment since the stage started';
COMMENT ON COLUMN flagscope.guardrail_status.value IS 'last value of a threshold guardrail; of an anomaly its last score (anomaly_score())';
COMMENT ON COLUMN flagscope.guardrail_status.last_data_at IS 'tick that last saw data of the treatment';
COMMENT ON COLUMN flagscope.guardrail_status.joint IS
    'of a breach by several guardrails together, in which this one had the greatest part: at, the reason in words, alpha of the rollout, sum of alpha e, log_mean = ln(sum / alpha) and its line, and parts: log_e, alpha, evidence and rule of each; NULL otherwise, and once evidence begins anew';
COMMENT ON COLUMN flagscope.guardrail_status.watermark IS 'latest ts among all rows judged';

CREATE TABLE flagscope.evaluation (
    at                timestamptz NOT NULL,
    evidence_id       bigint NOT NULL,
    stratum           integer NOT NULL,
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
    centre            float8,
    moments_treatment flagscope.moments,
    moments_control   flagscope.moments,
    increment         float8[] NOT NULL,
    begins_copy       boolean NOT NULL DEFAULT false,
    log_e             float8 NOT NULL,
    value             float8,
    watermark         timestamptz
) PARTITION BY RANGE (at);
COMMENT ON TABLE flagscope.evaluation IS
    'one guardrail in one tick: the stratum''s numbers, thresholds in force and increment; the evidence is what these rows add up to';
COMMENT ON COLUMN flagscope.evaluation.at IS 'time of the tick';
COMMENT ON COLUMN flagscope.evaluation.guardrail_id IS 'the guardrail';
COMMENT ON COLUMN flagscope.evaluation.rollout_id IS 'the rollout';
COMMENT ON COLUMN flagscope.evaluation.guardrail_version IS 'version of the guardrail''s rule that was used';
COMMENT ON COLUMN flagscope.evaluation.state IS 'verdict of the guardrail';
COMMENT ON COLUMN flagscope.evaluation.n_treatment IS 'data points of the treatment in the stratum';
COMMENT ON COLUMN flagscope.evaluation.n_control IS 'data points of the control in the stratum';
COMMENT ON COLUMN flagscope.evaluation.events_treatment IS 'events of the treatment in the stratum; of a quantile guardrail values above each threshold';
COMMENT ON COLUMN flagscope.evaluation.events_control IS 'the same of the control';
COMMENT ON COLUMN flagscope.evaluation.thresholds IS 'bins of the histogram that a quantile guardrail compared at';
COMMENT ON COLUMN flagscope.evaluation.value IS 'what a threshold or anomaly guardrail saw';
COMMENT ON COLUMN flagscope.evaluation.evidence_id IS 'the evidence that it belongs to (guardrail_status.evidence_id)';
COMMENT ON COLUMN flagscope.evaluation.stratum IS 'its ordinal in it, from 1: the order of evidence, whatever the clock did';
COMMENT ON COLUMN flagscope.evaluation.percent IS 'share served when the stratum was consumed';
COMMENT ON COLUMN flagscope.evaluation.increment IS 'added to guardrail_status.evidence by this stratum';
COMMENT ON COLUMN flagscope.evaluation.begins_copy IS 'a copy of the evidence begins with this stratum (guardrail_status.copied_at)';
COMMENT ON COLUMN flagscope.evaluation.centre IS 'of a mean: the centre in force; of an absolute margin: the control''s share or rate that it was added to; of an anomaly: the control''s score beside it';
COMMENT ON COLUMN flagscope.evaluation.moments_treatment IS 'of a mean: of the stratum''s values; of a rate: of the denominator''s values, where these are added';
COMMENT ON COLUMN flagscope.evaluation.moments_control IS 'the same of the control';
COMMENT ON COLUMN flagscope.evaluation.log_e IS 'natural log of the e-value after this stratum';
COMMENT ON COLUMN flagscope.evaluation.watermark IS 'latest ts among the stratum''s rows';
CREATE TABLE _flagscope.evaluation_stray PARTITION OF flagscope.evaluation DEFAULT;
ALTER TABLE flagscope.evaluation REPLICA IDENTITY FULL;  -- as of telemetry
ALTER TABLE _flagscope.evaluation_stray REPLICA IDENTITY FULL;
CREATE INDEX ON _flagscope.evaluation_stray (evidence_id, stratum);  -- copied to every partition, as of telemetry_stray
COMMENT ON TABLE _flagscope.evaluation_stray IS 'evaluations whose time has no partition; maintain() moves them';
