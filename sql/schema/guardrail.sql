-- Guardrails: rules as rows, and policies that make them.

CREATE TYPE flagscope.comparison AS ENUM ('control', 'baseline', 'absolute');
COMMENT ON TYPE flagscope.comparison IS
    'control: treatment against the concurrent control; baseline: against the control variant''s own past; '
    'absolute: against a limit';

CREATE TYPE flagscope.guardrail_test AS ENUM ('sequential', 'threshold', 'anomaly');
COMMENT ON TYPE flagscope.guardrail_test IS
    'sequential: valid at every look (tests P, Q, M, R, P1 of src/core/stats/README.md); threshold: the value over a '
    'window against the limit; anomaly: the treatment beside the control at the same time; where there is no control, '
    'the flag beside what is usual at this time of day';

CREATE TYPE flagscope.guardrail_scope AS ENUM ('flag', 'environment');
COMMENT ON TYPE flagscope.guardrail_scope IS
    'which rows of its metric a guardrail reads: flag: those that name a variant of its flag; environment: all of its '
    'environment, with or without flags';

CREATE TYPE flagscope.action AS ENUM (
    'start', 'advance', 'approve', 'pause', 'resume', 'complete', 'warn', 'hold', 'step_back', 'rollback', 'disable');
COMMENT ON TYPE flagscope.action IS
    'what a decision does to a rollout; the last five can be a guardrail''s action, in rising severity';

CREATE TYPE flagscope.data_state AS ENUM ('ok', 'breached', 'inconclusive', 'not_enough', 'no_data', 'stale', 'silent',
    'no_control', 'error');
COMMENT ON TYPE flagscope.data_state IS
    'verdict of a guardrail; only ok lets the ramp advance, breached acts, silent (the data of one arm stopped, the '
    'other''s goes on) holds the rollout, and all other states hold the ramp while they last; no_control: nothing is '
    'compared';

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
            format('the name of a policy must have 1 to 255 bytes and no control characters, got "%s"',
                left(name, 100)),
            'Letters, digits, spaces, hyphens and dots are allowed.') END)
);
COMMENT ON TABLE flagscope.guardrail_policy IS
    'a guardrail for many flags: each matching rollout gets it when it starts, as a guardrail with the policy''s name';
COMMENT ON COLUMN flagscope.guardrail_policy.id IS 'number of the row';
COMMENT ON COLUMN flagscope.guardrail_policy.name IS 'what its guardrails are called';
COMMENT ON COLUMN flagscope.guardrail_policy.enabled IS 'false: rollouts that start do not get it';
COMMENT ON COLUMN flagscope.guardrail_policy.description IS 'for people';
COMMENT ON COLUMN flagscope.guardrail_policy.created_at IS 'when it was made, by the server''s clock';
COMMENT ON COLUMN flagscope.guardrail_policy.environment IS 'only for flags in this environment; NULL: all';
COMMENT ON COLUMN flagscope.guardrail_policy.tag IS 'only for flags with this tag; NULL: all';
COMMENT ON COLUMN flagscope.guardrail_policy.rule IS
    'columns of guardrail as JSON, and per_unit as of create_guardrail(); metric is required, omitted ones have their '
    'defaults';

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
    design_effect float8,
    scope         flagscope.guardrail_scope NOT NULL DEFAULT 'flag',
    variants      text[],
    min_sample    bigint,
    time_window   interval,
    breaches      integer NOT NULL DEFAULT 1,
    of_looks      integer NOT NULL DEFAULT 1,
    grace         interval,
    stale_after   interval,
    advance_when  text,
    safe_margin   float8,
    detectable    float8,
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
            'Actions are warn, hold, pause, step_back, rollback and disable.') END),
    CONSTRAINT guardrail_limit_exactly_when_absolute CHECK (CASE
        WHEN ((comparison = 'absolute') = (limit_value IS NOT NULL)) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(CASE WHEN limit_value IS NULL THEN 'comparison "absolute" needs a limit_value'
            ELSE format('limit_value "%s" needs comparison "absolute", got "%s"', limit_value, comparison) END,
            'Leave comparison out for a limit. Comparisons with the control or a baseline have a margin instead.') END),
    CONSTRAINT guardrail_limit_is_finite CHECK (CASE
        WHEN (limit_value > '-Infinity' AND limit_value < 'Infinity') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('limit_value must be a finite number, got "%s"', limit_value),
            'It is in the metric''s unit; of a proportion a share: 2 % is 0.02.') END),
    CONSTRAINT guardrail_margin_not_of_a_limit CHECK (CASE
        WHEN (margin IS NULL OR comparison <> 'absolute') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('a limit has no margin, got "%s"', margin),
            'Set limit_value to the worst tolerated value.') END),
    CONSTRAINT guardrail_margin_within_0_and_1 CHECK (CASE
        WHEN (margin >= 0 AND margin <= 1) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('margin must be a share between 0 and 1, got "%s"', margin),
            '2 % is 0.02. For a margin in the metric''s own unit use margin_absolute.') END),
    CONSTRAINT guardrail_margin_is_one_of_two CHECK (CASE
        WHEN (margin IS NULL OR margin_absolute IS NULL) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            'a margin is either relative (margin) or in the metric''s unit (margin_absolute), not both',
            'Leave one of them out.') END),
    CONSTRAINT guardrail_margin_absolute_not_of_a_limit CHECK (CASE
        WHEN (margin_absolute IS NULL OR (comparison <> 'absolute' AND test <> 'anomaly')) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('a limit and an anomaly have no margin, got margin_absolute "%s"', margin_absolute),
            'Set limit_value to the worst tolerated value; an anomaly is compared with what is usual.') END),
    CONSTRAINT guardrail_margin_absolute_is_positive CHECK (CASE
        WHEN (margin_absolute > 0 AND margin_absolute < 'Infinity') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('margin_absolute must be a positive number, got "%s"', margin_absolute),
            'It is in the metric''s unit; of a proportion a share: half a percentage point is 0.005.') END),
    CONSTRAINT guardrail_quantile_between_0_and_1 CHECK (CASE
        WHEN (quantile > 0 AND quantile < 1) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('quantile must be between 0 and 1, got "%s"', quantile),
            'The 95th percentile is 0.95.') END),
    CONSTRAINT guardrail_control_is_tested_sequentially CHECK (CASE
        WHEN (comparison <> 'control' OR test = 'sequential') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('against the control, the test must be "sequential", got "%s"', test),
            'A threshold needs a limit: pass limit_value, or comparison => ''baseline''.') END),
    CONSTRAINT guardrail_breaches_of_looks CHECK (CASE
        WHEN (breaches BETWEEN 1 AND of_looks AND of_looks <= 100) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('breaches must be between 1 and of_looks, and of_looks at most 100, got "%s" of "%s"',
                breaches, of_looks),
            'breaches => 3, of_looks => 5: three of the last five looks are beyond the limit.') END),
    CONSTRAINT guardrail_looks_only_of_a_threshold CHECK (CASE
        WHEN (of_looks = 1 OR test = 'threshold') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('of_looks is for test "threshold" only, got test "%s"', test),
            'A sequential test is valid at every look: leave breaches and of_looks out.') END),
    CONSTRAINT guardrail_anomaly_is_of_a_baseline CHECK (CASE
        WHEN (test <> 'anomaly' OR (comparison = 'baseline' AND margin IS NULL)) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            'an anomaly has the comparison "baseline" and no margin: what is usual is learned from the past',
            'Leave comparison and margin out.') END),
    CONSTRAINT guardrail_times_are_positive CHECK (CASE
        WHEN (grace >= interval '0' AND stale_after > interval '0') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('grace must not be negative and stale_after must be longer than zero, got "%s" and "%s"',
            coalesce(grace::text, 'NULL'), coalesce(stale_after::text, 'NULL')),
            'For example ''2 minutes''; NULL takes the settings guardrail.grace and guardrail.stale_after.') END),
    CONSTRAINT guardrail_advance_when_is_a_gate CHECK (CASE
        WHEN (advance_when IN ('clear', 'power', 'safe')) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('advance_when must be "clear", "power" or "safe", got "%s"',
            left(advance_when, 100)),
            'clear: no harm is seen; power: harm would have been seen; safe: harm of safe_margin is refuted. '
            'NULL takes what the stage says.') END),
    CONSTRAINT guardrail_safe_margin_is_of_safe CHECK (CASE
        WHEN (safe_margin IS NULL OR coalesce(advance_when = 'safe', false)) THEN true
        ELSE _flagscope.refuse(format('safe_margin "%s" needs advance_when "safe", got "%s"', safe_margin,
            coalesce(left(advance_when, 100), 'NULL')),
            'advance_when => ''safe'', safe_margin => 0.05: the ramp waits until 5 % worse is refuted.') END),
    CONSTRAINT guardrail_safe_margin_above_0_to_1 CHECK (CASE
        WHEN (safe_margin > 0 AND safe_margin <= 1) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('safe_margin must be a share above 0 and at most 1, got "%s"', safe_margin),
            '5 % is 0.05. No amount of data shows that nothing at all is worse.') END),
    CONSTRAINT guardrail_safe_is_of_a_sequential_test CHECK (CASE
        WHEN (advance_when IS DISTINCT FROM 'safe' OR test = 'sequential') THEN true
        ELSE _flagscope.refuse(format('test "%s" cannot show that a treatment is safe', test),
            'Leave advance_when out, or use test "sequential".') END),
    CONSTRAINT guardrail_detectable_above_1 CHECK (CASE
        WHEN (detectable = 0 OR (detectable > 1 AND detectable <= 100)) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('detectable must be above 1 and at most 100, or 0, got "%s"', detectable),
            '1.5 is half as much again as the baseline; 0: no stage waits for it; NULL: setting '
            'guardrail.detectable.') END),
    CONSTRAINT guardrail_weight_is_positive CHECK (CASE
        WHEN (weight > 0 AND weight < 'Infinity') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('weight must be a positive number, got "%s"', weight),
            'It is the share of the error budget relative to other guardrails; '
            'the default is 1, 2 is twice as much.') END),
    CONSTRAINT guardrail_design_effect_from_1 CHECK (CASE
        WHEN (design_effect >= 1 AND design_effect < 'Infinity') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('design_effect must be at least 1, got "%s"', design_effect),
            '1 stands for independent data points; NULL: it is measured from the rows by subject.') END),
    CONSTRAINT guardrail_scope_has_no_control CHECK (CASE
        WHEN (scope = 'flag' OR comparison <> 'control') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('scope "%s" has no control to compare with: its rows have no variants', scope),
            'Give it a limit (limit_value), comparison => ''baseline'', or test => ''anomaly''.') END),
    CONSTRAINT guardrail_variants_have_no_control CHECK (CASE
        WHEN (variants IS NULL OR comparison <> 'control') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('variants "%s" are not compared with the control: who gets them is not chosen by chance', variants),
            'Give them a limit (limit_value) or comparison => ''baseline'', which is their own past.') END),
    CONSTRAINT guardrail_variants_name_some CHECK (CASE
        WHEN (variants IS NULL OR (cardinality(variants) > 0 AND array_position(variants, NULL) IS NULL)) IS NOT FALSE
            THEN true
        ELSE _flagscope.refuse(format('variants must name at least one variant and no NULL, got "%s"', variants),
            'For example variants => ARRAY[''beta'']; leave it out for the treatment.') END),
    CONSTRAINT guardrail_variants_of_rows_that_name_some CHECK (CASE
        WHEN (variants IS NULL OR (scope = 'flag' AND test <> 'anomaly')) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('variants "%s" cannot be told apart by %s', variants,
                CASE scope WHEN 'environment' THEN 'scope "environment", which reads all rows'
                    ELSE 'an anomaly, whose series is that of all variants' END),
            'Leave variants out, or use a limit or a baseline of scope "flag".') END),
    CONSTRAINT guardrail_sample_is_not_negative CHECK (CASE
        WHEN (min_sample >= 0) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('min_sample must not be negative, got "%s"', min_sample),
            'It is a number of data points; NULL takes the setting guardrail.min_sample.') END),
    CONSTRAINT guardrail_window_is_positive CHECK (CASE
        WHEN (time_window > interval '0') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('time_window must be longer than zero, got "%s"', time_window),
            'For example ''1 minute''; NULL takes the setting guardrail.window.') END),
    CONSTRAINT guardrail_times_within_100_years CHECK (CASE
        WHEN (grace <= interval '36500 days' AND stale_after <= interval '36500 days'
            AND time_window <= interval '36500 days')
            IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('grace, stale_after and time_window must be at most 100 years, got "%s", "%s" and "%s"',
                coalesce(grace::text, 'NULL'), coalesce(stale_after::text, 'NULL'),
                coalesce(time_window::text, 'NULL')),
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
    'which quantile, for quantile metrics; NULL against control: '
    'the mean of the e-values at p50, p90, p95 and p99 (mix4)';
COMMENT ON COLUMN flagscope.guardrail.margin IS
    'tolerated relative worsening against control or baseline, a share from 0 to 1 (2 % is 0.02): of the odds for '
    'proportions, of the value otherwise; must be below 1 for a mean that must not fall; NULL: setting '
    'guardrail.margin.*, unless margin_absolute is given';
COMMENT ON COLUMN flagscope.guardrail.margin_absolute IS
    'tolerated worsening in the metric''s unit, for a proportion as a share (0.005: half a percentage point), '
    'instead of margin; against the control, it is added to the control''s recent value';
COMMENT ON COLUMN flagscope.guardrail.limit_value IS
    'limit of an absolute guardrail, in the metric''s unit (a share for proportions)';
COMMENT ON COLUMN flagscope.guardrail.action IS 'what happens when the guardrail is breached';
COMMENT ON COLUMN flagscope.guardrail.on_state IS
    'JSON object {data state: reaction} for states other than ok and breached: "wait" (the ramp waits: the default, '
    'but of silent it is hold, or warn if the action is), "ignore" (it does not wait), or an action as for a breach';
COMMENT ON COLUMN flagscope.guardrail.priority IS
    'while a guardrail of higher priority demands an action, those below do not act on data from before that action; '
    'among equal priorities the most severe action is taken';
COMMENT ON COLUMN flagscope.guardrail.breaches IS
    'of a threshold: how many of the last of_looks looks must be beyond the limit for a breach; '
    'looks are one time window apart';
COMMENT ON COLUMN flagscope.guardrail.of_looks IS 'how many looks count; breaches = of_looks means consecutive ones';
COMMENT ON COLUMN flagscope.guardrail.grace IS
    'time from the start of a stage during which missing data is tolerated; NULL: setting guardrail.grace';
COMMENT ON COLUMN flagscope.guardrail.stale_after IS
    'time without data after which the guardrail is stale; NULL: setting guardrail.stale_after';
COMMENT ON COLUMN flagscope.guardrail.advance_when IS
    'what a stage below 100 % waits for: "clear" (no harm is seen), "power" (an effect of detectable would have been '
    'found, or the stage''s max_duration is over) or "safe" (worse than safe_margin is refuted); NULL: what the '
    'stage says (rollout_stage.advance_when); sequential tests only';
COMMENT ON COLUMN flagscope.guardrail.safe_margin IS
    'relative worsening against the control that "safe" refutes, a share (0.05: no worse than 5 %); against a limit it '
    'is that the treatment is within the limit; NULL: setting guardrail.safe_margin';
COMMENT ON COLUMN flagscope.guardrail.detectable IS
    'effect that would have been found before a stage ends: so many times the baseline (odds of a proportion, number '
    'of values beyond a quantile; against a limit times the limit); 0: none; NULL: setting guardrail.detectable';
COMMENT ON COLUMN flagscope.guardrail.policy_id IS
    'the policy that created it; the rule is updated from the policy whenever a rollout starts';
COMMENT ON COLUMN flagscope.guardrail.weight IS
    'share of the rollout''s error budget, relative to its other sequential guardrails';
COMMENT ON COLUMN flagscope.guardrail.design_effect IS
    'ratio of the variance to that of independent data points, above 1 if users send many similar ones: evidence is '
    'divided by it; NULL: measured by ticks from the rows of each subject, from what was judged before '
    '(guardrail_status.design_effect)';
COMMENT ON COLUMN flagscope.guardrail.scope IS
    'environment: it reads all rows of its metric in its environment, with or without flags, for what has no variants '
    '(connection pools, CPU, queues): against a limit, a baseline (its own past) or as an anomaly';
COMMENT ON COLUMN flagscope.guardrail.variants IS
    'the variants that it watches instead of the treatment, against a limit or a baseline (their own past): users who '
    'have a variant by targeting, not by chance; NULL: the treatment';
COMMENT ON COLUMN flagscope.guardrail.min_sample IS
    'data points of each arm required in each stage before the ramp advances; never delays a sequential breach; '
    'a threshold or an anomaly, which has no error control, needs as many since its evidence began before it can be '
    'breached; NULL: setting guardrail.min_sample (use 1 for a gauge that is sent every few seconds)';
COMMENT ON COLUMN flagscope.guardrail.time_window IS
    'of a threshold: how far it looks back; NULL: setting guardrail.window. Of an anomaly: width of a point, '
    'whole minutes from 1 to 60; NULL: setting guardrail.anomaly_window at creation';
COMMENT ON COLUMN flagscope.guardrail.shadow IS 'evaluated and stored, but never acts and never holds the ramp';
COMMENT ON COLUMN flagscope.guardrail.version IS
    'incremented when the rule changes; evidence restarts then, unless the rule was only tightened';
