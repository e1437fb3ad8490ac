-- Evidence: what each guardrail has seen in a rollout so far, and every stratum of it.

CREATE SEQUENCE _flagscope.evidence_seq;
COMMENT ON SEQUENCE _flagscope.evidence_seq IS
    'numbers that identify evidence: one for each e-process of a guardrail in a rollout';

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
    safe_margin       float8,
    safe_evidence     float8[] NOT NULL DEFAULT '{}',
    safe_log_e        float8 NOT NULL DEFAULT 0,
    information       float8[] NOT NULL DEFAULT '{}',
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
    stage_control     bigint NOT NULL DEFAULT 0,
    rhythm_treatment  float8[] NOT NULL DEFAULT '{}',
    rhythm_control    float8[] NOT NULL DEFAULT '{}',
    value             float8,
    looks             boolean[] NOT NULL DEFAULT '{}',
    looked_at         timestamptz,
    point             timestamptz,
    alarm_score       float8,
    since             timestamptz NOT NULL,
    evaluated_at      timestamptz,
    last_data_at      timestamptz,
    watermark         timestamptz,
    breached_at       timestamptz,
    joint             jsonb,
    design_effect     float8 NOT NULL DEFAULT 1 CHECK (design_effect >= 1 AND design_effect < 'Infinity'),
    dependence        jsonb,
    rearmed           boolean NOT NULL DEFAULT false,
    carries_on        boolean NOT NULL DEFAULT false,
    control_verdict   jsonb,
    failures          integer NOT NULL DEFAULT 0,
    retry_at          timestamptz,
    PRIMARY KEY (rollout_id, guardrail_id)
) WITH (fillfactor = 50);
COMMENT ON TABLE flagscope.guardrail_status IS
    'a guardrail''s status in a rollout: verdict, reason as text, and the evidence so far';
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
COMMENT ON COLUMN flagscope.guardrail_status.evidence_id IS
    'number of this evidence; changes when the evidence restarts';
COMMENT ON COLUMN flagscope.guardrail_status.last_stratum IS
    'ordinal of the last row of evaluation that belongs to this evidence';
COMMENT ON COLUMN flagscope.guardrail_status.state_since IS 'tick since which it is in this state';
COMMENT ON COLUMN flagscope.guardrail_status.alpha IS
    'share of this evidence in the rollout''s error budget, fixed when it began; '
    'all shares of a rollout add up to at most its alpha';
COMMENT ON COLUMN flagscope.guardrail_status.margin IS
    'the relative margin tested, as when the evidence began or tightened since; NULL against a limit, and if the '
    'margin is absolute';
COMMENT ON COLUMN flagscope.guardrail_status.margin_absolute IS
    'the absolute margin tested, in the metric''s unit, for a proportion as a share; NULL if the margin is relative';
COMMENT ON COLUMN flagscope.guardrail_status.limit_value IS
    'the limit tested: of an absolute guardrail, or computed from the baseline once there was enough data; '
    'NULL against the control, and for an anomaly';
COMMENT ON COLUMN flagscope.guardrail_status.looks IS
    'of a threshold with of_looks: whether each of the last looks was beyond the limit';
COMMENT ON COLUMN flagscope.guardrail_status.looked_at IS 'time of the last look';
COMMENT ON COLUMN flagscope.guardrail_status.point IS 'for an anomaly: start of the last point that was judged';
COMMENT ON COLUMN flagscope.guardrail_status.alarm_score IS
    'for an anomaly: the score of an alarm, fixed when the evidence began';
COMMENT ON COLUMN flagscope.guardrail_status.evidence IS
    'number of copies that have begun, then log likelihood ratios summed over strata, one per grid point (8, '
    'or 8 for each tested quantile), with copies mixed in; the e-value is their mixture';
COMMENT ON COLUMN flagscope.guardrail_status.copied_at IS
    'tick in which the latest copy of the evidence began, or the evidence itself: a copy ignores earlier data, '
    'so that an effect that appears late is not masked by it';
COMMENT ON COLUMN flagscope.guardrail_status.log_e IS 'natural log of the e-value now';
COMMENT ON COLUMN flagscope.guardrail_status.max_log_e IS
    'maximum of log_e: breached once it reaches ln(1/alpha), or earlier together with other guardrails (joint); '
    'exp(-max) is the anytime p-value';
COMMENT ON COLUMN flagscope.guardrail_status.safe_margin IS
    'the relative worsening that the evidence of safety is against; NULL: nothing was weighed yet';
COMMENT ON COLUMN flagscope.guardrail_status.safe_evidence IS
    'the same sums as evidence, of the other direction: that the treatment is not worse than safe_margin, or within '
    'its limit; without copies';
COMMENT ON COLUMN flagscope.guardrail_status.safe_log_e IS
    'natural log of the e-value of safety now; shown at ln(1/alpha) of the whole rollout';
COMMENT ON COLUMN flagscope.guardrail_status.information IS
    'what the data so far lets the test see, summed over strata (src/core/stats/power.rs): of shares and rates for '
    'each level events, and these times 1 - p, times the treatment''s share, times the control''s; of a mean two sums; '
    'against a limit trials or exposure';
COMMENT ON COLUMN flagscope.guardrail_status.thresholds IS
    'histogram bins for judging the next stratum, taken from the control''s past only, which keeps the test valid';
COMMENT ON COLUMN flagscope.guardrail_status.centre IS
    'for a mean against the control: exponentially weighted mean of the control''s past, the centre for judging the '
    'next stratum; for a proportion or rate with an absolute margin: the control''s recent share or rate, '
    'which the margin is added to; NULL: nothing is known yet';
COMMENT ON COLUMN flagscope.guardrail_status.past IS
    'what that share or rate is computed from: trials (of a rate: exposure) and events of the control''s recent '
    'strata, older ones with less weight; NULL if not needed';
COMMENT ON COLUMN flagscope.guardrail_status.waiting_treatment IS
    'data that could not be judged because of an error and waits for the next try; of a rate against a limit, what '
    'is gathered for setting guardrail.pairing (what waits for the other arm is in _flagscope.waiting_stratum)';
COMMENT ON COLUMN flagscope.guardrail_status.waiting_control IS 'the same for the control';
COMMENT ON COLUMN flagscope.guardrail_status.n_treatment IS
    'data points weighed so far; against the control, quantiles, means and absolute margins are weighed from the '
    'second stratum on, when there is a past';
COMMENT ON COLUMN flagscope.guardrail_status.events_treatment IS
    'events, or values above the thresholds, summed over strata';
COMMENT ON COLUMN flagscope.guardrail_status.stage_treatment IS 'data points of the treatment since the stage started';
COMMENT ON COLUMN flagscope.guardrail_status.stage_control IS 'the same for the control';
COMMENT ON COLUMN flagscope.guardrail_status.rhythm_treatment IS
    'when the treatment''s data comes in this stage, in microseconds (since 2000): the last and the first arrival of '
    'the present beat, number of gaps between beats, their mean and mean deviation (src/core/guardrail/rhythm.rs)';
COMMENT ON COLUMN flagscope.guardrail_status.rhythm_control IS 'the same for the control';
COMMENT ON COLUMN flagscope.guardrail_status.value IS
    'last value of a threshold; for an anomaly its last score (anomaly_score())';
COMMENT ON COLUMN flagscope.guardrail_status.last_data_at IS 'tick that last saw data of the treatment';
COMMENT ON COLUMN flagscope.guardrail_status.joint IS
    'for a joint breach of several guardrails, to which this one contributed most: at, reason, alpha of the rollout, '
    'sum of alpha e, log_mean = ln(sum / alpha) and its line, and parts: log_e, alpha, evidence and rule of each; '
    'NULL otherwise, and after a restart of the evidence';
COMMENT ON COLUMN flagscope.guardrail_status.design_effect IS
    'what the next strata are divided by, if the guardrail has no design effect of its own: measured from rows that '
    'earlier strata were of';
COMMENT ON COLUMN flagscope.guardrail_status.dependence IS
    'the latest measurement of the design effect: at, effect (used from the next measurement on), estimate (before it '
    'is moved up by its error, for which few units need more), rows, units, by (subject, trace or moment), heaviest '
    '(share of the rows that one unit has), or problem; NULL: nothing was measured';
COMMENT ON COLUMN flagscope.guardrail_status.carries_on IS
    'a guardrail against the control that goes on against what the control was before, since everybody is served the '
    'treatment: its evidence is of a baseline';
COMMENT ON COLUMN flagscope.guardrail_status.control_verdict IS
    'its last verdict against the control, before everybody was served the treatment: until, state, reason, sample '
    'sizes, effect, and of its evidence the number, alpha and margin; NULL: it is still compared, or never was';
COMMENT ON COLUMN flagscope.guardrail_status.rearmed IS
    'of a sequential warning that was armed again: its share of alpha was used by earlier evidence, too';
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
    bound             float8,
    design_effect     float8,
    moments_treatment flagscope.moments,
    moments_control   flagscope.moments,
    increment         float8[] NOT NULL,
    safe_increment    float8[] NOT NULL DEFAULT '{}',
    begins_copy       boolean NOT NULL DEFAULT false,
    log_e             float8 NOT NULL,
    value             float8,
    watermark         timestamptz
) PARTITION BY RANGE (at);
COMMENT ON TABLE flagscope.evaluation IS
    'one stratum of a guardrail: its numbers, the thresholds used and the increment; '
    'the evidence is the sum of these rows';
COMMENT ON COLUMN flagscope.evaluation.at IS 'time of the tick';
COMMENT ON COLUMN flagscope.evaluation.guardrail_id IS 'the guardrail';
COMMENT ON COLUMN flagscope.evaluation.rollout_id IS 'the rollout';
COMMENT ON COLUMN flagscope.evaluation.guardrail_version IS 'version of the guardrail''s rule that was used';
COMMENT ON COLUMN flagscope.evaluation.state IS 'verdict of the guardrail';
COMMENT ON COLUMN flagscope.evaluation.n_treatment IS 'data points of the treatment in the stratum';
COMMENT ON COLUMN flagscope.evaluation.n_control IS 'data points of the control in the stratum';
COMMENT ON COLUMN flagscope.evaluation.events_treatment IS
    'events of the treatment in the stratum; of a quantile guardrail values above each threshold';
COMMENT ON COLUMN flagscope.evaluation.events_control IS 'the same of the control';
COMMENT ON COLUMN flagscope.evaluation.thresholds IS 'bins of the histogram that a quantile guardrail compared at';
COMMENT ON COLUMN flagscope.evaluation.value IS 'what a threshold or anomaly guardrail saw';
COMMENT ON COLUMN flagscope.evaluation.evidence_id IS 'the evidence that it belongs to (guardrail_status.evidence_id)';
COMMENT ON COLUMN flagscope.evaluation.stratum IS
    'ordinal within the evidence, from 1: their order, even if the clock was set back';
COMMENT ON COLUMN flagscope.evaluation.percent IS 'share served when the stratum was consumed';
COMMENT ON COLUMN flagscope.evaluation.increment IS 'added to guardrail_status.evidence by this stratum';
COMMENT ON COLUMN flagscope.evaluation.safe_increment IS
    'added to guardrail_status.safe_evidence by this stratum';
COMMENT ON COLUMN flagscope.evaluation.design_effect IS
    'the design effect that the increments were divided by; the guardrail''s own, else as measured before';
COMMENT ON COLUMN flagscope.evaluation.begins_copy IS
    'a copy of the evidence begins with this stratum (guardrail_status.copied_at)';
COMMENT ON COLUMN flagscope.evaluation.centre IS
    'of a mean: the centre used; of an absolute margin: the control''s share or rate that it was added to';
COMMENT ON COLUMN flagscope.evaluation.bound IS
    'the margin against the control (relative or absolute, as in guardrail_status), else the limit, that the stratum '
    'was compared at: a rule that is tightened changes it within its evidence';
COMMENT ON COLUMN flagscope.evaluation.moments_treatment IS
    'of a mean: moments of the stratum''s values; of a rate: of the denominator''s values, if these are added up';
COMMENT ON COLUMN flagscope.evaluation.moments_control IS 'the same for the control';
COMMENT ON COLUMN flagscope.evaluation.log_e IS 'natural log of the e-value after this stratum';
COMMENT ON COLUMN flagscope.evaluation.watermark IS 'latest ts among the stratum''s rows';
CREATE TABLE _flagscope.evaluation_stray PARTITION OF flagscope.evaluation DEFAULT;
ALTER TABLE flagscope.evaluation REPLICA IDENTITY FULL;  -- as for telemetry
ALTER TABLE _flagscope.evaluation_stray REPLICA IDENTITY FULL;
-- copied to every partition, as for telemetry_stray
CREATE INDEX ON _flagscope.evaluation_stray (evidence_id, stratum);
COMMENT ON TABLE _flagscope.evaluation_stray IS 'evaluations whose time has no partition; maintain() moves them';

CREATE TYPE _flagscope.stepped AS (
    guardrail_id bigint, rollout_id bigint, version integer, percent numeric(6,3),
    was_state flagscope.data_state, was_last_stratum integer, was_stage_treatment bigint, was_evaluated_at timestamptz,
    is_changed boolean, is_judged boolean,
    evidence_id bigint, last_stratum integer, state text, state_since timestamptz, reason text, limit_value float8,
    evidence float8[], copied_at timestamptz, log_e float8, max_log_e float8, safe_margin float8,
    safe_evidence float8[], safe_log_e float8, information float8[], thresholds integer[], centre float8,
    past float8[], waiting_treatment _flagscope.stratum, waiting_control _flagscope.stratum, waiting_since timestamptz,
    n_treatment bigint, n_control bigint, events_treatment bigint[], events_control bigint[], stage_treatment bigint,
    stage_control bigint, rhythm_treatment float8[], rhythm_control float8[],
    value float8, looks boolean[], looked_at timestamptz, point timestamptz,
    evaluated_at timestamptz, last_data_at timestamptz, watermark timestamptz, breached_at timestamptz,
    failures integer, retry_at timestamptz,
    weighed_treatment bigint, weighed_control bigint, weighed_events_treatment bigint[],
    weighed_events_control bigint[], judged_thresholds integer[], judged_centre float8, bound float8,
    moments_treatment flagscope.moments,
    moments_control flagscope.moments, judged_design_effect float8, increment float8[], safe_increment float8[],
    begins_copy boolean,
    weighed_watermark timestamptz
);
COMMENT ON TYPE _flagscope.stepped IS
    'a guardrail after a tick, as it is to be stored: columns of guardrail_status, what some of them were before, '
    'and the row of evaluation (is_judged: there is one)';

CREATE TYPE _flagscope.replayed AS (
    era bigint, ordinal bigint, at timestamptz, n_treatment bigint, events_treatment bigint[], n_control bigint,
    events_control bigint[], value float8, log_e_stored float8, log_e float8, line float8, fires boolean,
    state text, reason text
);
COMMENT ON TYPE _flagscope.replayed IS
    'a rule after one stratum of the past; era: the evidence that it belongs to; fires: the first of it, '
    'or of a threshold or anomaly the first since it recovered';
