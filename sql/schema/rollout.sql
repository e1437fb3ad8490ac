-- Rollouts: one treatment served to more and more users, stage by stage.

CREATE TYPE flagscope.rollout_status AS ENUM ('draft', 'running', 'paused', 'held', 'rolled_back', 'completed');
COMMENT ON TYPE flagscope.rollout_status IS
    'draft: not served yet; running: advances by itself; paused: stopped by a person; held: '
    'stopped by a guardrail; rolled_back, completed: over';

CREATE TABLE flagscope.rollout (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    flag             text NOT NULL,
    environment      text NOT NULL,
    treatment        text NOT NULL,
    control          text NOT NULL,
    subject_attribute text NOT NULL DEFAULT 'targetingKey',
    status           flagscope.rollout_status NOT NULL DEFAULT 'draft',
    stage            integer NOT NULL DEFAULT 0,
    stage_started_at timestamptz,
    alpha            float8 NOT NULL,
    alpha_left       float8,
    cooldown         interval,
    follow_up        interval NOT NULL DEFAULT '0',
    follow_up_until  timestamptz,
    holdback         numeric(6,3),
    exclusion_group  text,
    restart_of       bigint,
    version          integer NOT NULL DEFAULT 1,
    previous_variant text,
    problem          text,
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at       timestamptz,
    ended_at         timestamptz,
    FOREIGN KEY (flag, environment) REFERENCES flagscope.flag_state (flag, environment),
    CONSTRAINT rollout_treatment_differs_from_control CHECK (CASE
        WHEN (treatment <> control) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('treatment and control are both variant "%s"', treatment),
            'Name two variants of the flag: treatment is the new one, control what is served today.') END),
    CONSTRAINT rollout_alpha_between_0_and_half CHECK (CASE
        WHEN (alpha > 0 AND alpha <= 0.5) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('alpha must be above 0 and at most 0.5, got "%s"', alpha),
            'It is the chance that a healthy rollout is stopped; 1 % is 0.01.') END),
    CONSTRAINT rollout_cooldown_is_positive CHECK (CASE
        WHEN (cooldown > interval '0') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('cooldown must be longer than zero, got "%s"', cooldown),
            'For example ''30 minutes''; NULL: a person resumes the ramp.') END),
    CONSTRAINT rollout_follow_up_is_not_negative CHECK (CASE
        WHEN (follow_up >= interval '0') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('follow_up must not be negative, got "%s"', follow_up),
            'For example ''1 hour''; 0 for none.') END),
    CONSTRAINT rollout_holdback_within_0_and_50 CHECK (CASE
        WHEN (holdback > 0 AND holdback <= 50) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('holdback must be above 0 and at most 50 percent, got "%s"',
            trim_scale(holdback)),
            '5 keeps the control for 5 % of users; NULL: for nobody.') END),
    CONSTRAINT rollout_holdback_is_for_a_follow_up CHECK (CASE
        WHEN (holdback IS NULL OR follow_up > interval '0') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('a holdback of %s %% lasts as long as the follow-up, and that is 0',
            trim_scale(holdback)),
            'Say for how long: follow_up => ''1 day''.') END),
    -- A time beyond PostgreSQL's last timestamp would make every tick fail.
    CONSTRAINT rollout_times_within_100_years CHECK (CASE
        WHEN (follow_up <= interval '36500 days' AND cooldown <= interval '36500 days') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('follow_up and cooldown must be at most 100 years, got "%s" and "%s"', follow_up,
            coalesce(cooldown::text, 'NULL')), 'For example ''1 hour''.') END),
    CONSTRAINT rollout_is_staged_once_started CHECK (CASE
        WHEN (CASE WHEN status = 'draft' THEN stage = 0 WHEN status = 'running' THEN stage > 0 ELSE stage >= 0 END)
            IS NOT FALSE THEN true
        ELSE _flagscope.refuse(
            format('a draft is at stage 0 and a running rollout at a stage from 1 on, got stage %s and status %s',
                stage, status),
            'Start it with flagscope.start_rollout(id), then continue with advance_rollout(id).') END)
);
COMMENT ON TABLE flagscope.rollout IS 'one rollout of a flag in an environment; at most one is live at a time';
COMMENT ON COLUMN flagscope.rollout.id IS 'number of the rollout';
COMMENT ON COLUMN flagscope.rollout.flag IS 'key of the flag';
COMMENT ON COLUMN flagscope.rollout.environment IS 'key of the environment';
COMMENT ON COLUMN flagscope.rollout.treatment IS 'variant that is rolled out';
COMMENT ON COLUMN flagscope.rollout.control IS 'variant that it is compared with';
COMMENT ON COLUMN flagscope.rollout.status IS 'where it stands';
COMMENT ON COLUMN flagscope.rollout.stage_started_at IS 'when its present stage began';
COMMENT ON COLUMN flagscope.rollout.created_at IS 'when it was made, by the server''s clock';
COMMENT ON COLUMN flagscope.rollout.started_at IS 'when it was started';
COMMENT ON COLUMN flagscope.rollout.ended_at IS 'when it was completed or rolled back';
COMMENT ON COLUMN flagscope.rollout.subject_attribute IS
    'attribute of the evaluation context that is randomised by: the OpenFeature targeting key';
COMMENT ON COLUMN flagscope.rollout.stage IS
    'ordinal of the stage served now; 0: nobody is served the treatment, in a draft or after a step back from stage 1';
COMMENT ON COLUMN flagscope.rollout.alpha IS
    'error budget: chance that a healthy rollout is ever stopped by its sequential guardrails';
COMMENT ON COLUMN flagscope.rollout.alpha_left IS
    'the part of alpha that no evidence uses yet; a guardrail that is added, changed or restarted takes half of it, '
    'so that all together never exceed alpha; NULL in draft';
COMMENT ON COLUMN flagscope.rollout.cooldown IS
    'how long the ramp rests after a guardrail held it, before it resumes by itself once nothing is breached any more; '
    'harm that a sequential test has proven is never over by itself: a person must resume; NULL: a person always must';
COMMENT ON COLUMN flagscope.rollout.follow_up IS
    'how long guardrails remain active after completion; those against the control go on against what it was'; 
COMMENT ON COLUMN flagscope.rollout.follow_up_until IS
    'end of that time; NULL: not completed, or another rollout of the flag has started since';
COMMENT ON COLUMN flagscope.rollout.holdback IS
    'percent of users that keep the control in the last stage, which lasts for the follow-up, too, so that guardrails '
    'compare with it until the end; then everybody is served the treatment, and no other follow-up comes; NULL: none';
COMMENT ON COLUMN flagscope.rollout.exclusion_group IS
    'rollouts of one group exclude each other: at most one of an environment is running, paused or held; NULL: none';
COMMENT ON COLUMN flagscope.rollout.restart_of IS
    'the rollout that this one repeats (no foreign key: pg_dump warns about circular ones)';
COMMENT ON COLUMN flagscope.rollout.version IS 'incremented by every change; makes a decision''s key unique';
COMMENT ON COLUMN flagscope.rollout.problem IS 'why the last tick could not decide on it; NULL: nothing is wrong';
COMMENT ON COLUMN flagscope.rollout.previous_variant IS 'default variant before the rollout: what rollback restores';
CREATE UNIQUE INDEX rollout_is_the_only_live_one ON flagscope.rollout (flag, environment)
    WHERE status IN ('draft', 'running', 'paused', 'held');
CREATE UNIQUE INDEX rollout_excludes_others_of_its_group ON flagscope.rollout (environment, exclusion_group)
    WHERE status IN ('running', 'paused', 'held');

CREATE TABLE flagscope.rollout_stage (
    rollout_id      bigint NOT NULL REFERENCES flagscope.rollout ON DELETE CASCADE,
    ordinal         integer NOT NULL,
    percent         numeric(6,3) NOT NULL,
    min_duration    interval NOT NULL,
    max_duration    interval,
    min_sample      bigint NOT NULL DEFAULT 0,
    advance_when    text NOT NULL DEFAULT 'power',
    approval_needed boolean NOT NULL DEFAULT false,
    approved_by     text,
    approved_at     timestamptz,
    PRIMARY KEY (rollout_id, ordinal),
    CONSTRAINT rollout_stage_ordinal_from_1 CHECK (CASE
        WHEN (ordinal >= 1) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('stages are numbered from 1 on, got "%s"', ordinal),
            'The first stage of the ramp is 1.') END),
    CONSTRAINT rollout_stage_percent_within_0_and_100 CHECK (CASE
        WHEN (percent > 0 AND percent <= 100) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('a stage must serve more than 0 and at most 100 percent, got "%s"', percent),
            '5 % is 5.') END),
    CONSTRAINT rollout_stage_duration_is_not_negative CHECK (CASE
        WHEN (min_duration >= interval '0') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('min_duration of a stage must not be negative, got "%s"', min_duration),
            'For example ''10 minutes''; 0 for none.') END),
    CONSTRAINT rollout_stage_duration_within_100_years CHECK (CASE
        WHEN (min_duration <= interval '36500 days') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('min_duration of a stage must be at most 100 years, got "%s"', min_duration),
            'For example ''10 minutes''.') END),
    CONSTRAINT rollout_stage_max_duration_is_longer CHECK (CASE
        WHEN (max_duration >= min_duration AND max_duration <= interval '36500 days') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('max_duration of a stage must be at least its min_duration "%s" and at most 100 '
            'years, got "%s"', min_duration, max_duration),
            'It ends the wait for power. NULL: rollout.patience times min_duration.') END),
    CONSTRAINT rollout_stage_advance_when_is_a_gate CHECK (CASE
        WHEN (advance_when IN ('clear', 'power', 'safe')) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('advance_when must be "clear", "power" or "safe", got "%s"',
            left(advance_when, 100)),
            'clear: no harm is seen; power: harm would have been seen; safe: harm of safe_margin is refuted.') END),
    CONSTRAINT rollout_stage_sample_is_not_negative CHECK (CASE
        WHEN (min_sample >= 0) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('min_sample of a stage must not be negative, got "%s"', min_sample),
            'It is a number of data points; 0 means no minimum.') END)
);
COMMENT ON TABLE flagscope.rollout_stage IS
    'the plan of a rollout: one stage of the ramp and the conditions for leaving it';
COMMENT ON COLUMN flagscope.rollout_stage.rollout_id IS 'the rollout';
COMMENT ON COLUMN flagscope.rollout_stage.ordinal IS 'number of the stage, from 1';
COMMENT ON COLUMN flagscope.rollout_stage.percent IS 'share of users that the stage serves';
COMMENT ON COLUMN flagscope.rollout_stage.approved_by IS 'who approved it; NULL: nobody yet';
COMMENT ON COLUMN flagscope.rollout_stage.approved_at IS 'when';
COMMENT ON COLUMN flagscope.rollout_stage.min_duration IS 'minimum duration of the stage';
COMMENT ON COLUMN flagscope.rollout_stage.max_duration IS
    'how long the stage waits at most for power (advance_when); it ends no other wait; NULL: setting rollout.patience '
    'times min_duration';
COMMENT ON COLUMN flagscope.rollout_stage.advance_when IS
    'what guardrails that say nothing else wait for (guardrail.advance_when): "clear", "power" or "safe"';
COMMENT ON COLUMN flagscope.rollout_stage.min_sample IS
    'data points of each arm that every guardrail must have seen in this stage, in addition to its own minimum';
COMMENT ON COLUMN flagscope.rollout_stage.approval_needed IS
    'a person must call approve_stage() before the ramp leaves this stage';

CREATE TABLE flagscope.change_freeze (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL,
    environment text REFERENCES flagscope.environment_definition,
    tag         text,
    since       timestamptz,
    until       timestamptz,
    weekdays    integer[],
    from_time   time NOT NULL DEFAULT '00:00',
    to_time     time NOT NULL DEFAULT '24:00',
    time_zone   text NOT NULL DEFAULT 'UTC',
    created_by  text NOT NULL DEFAULT session_user,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT change_freeze_is_one_time_or_weekly CHECK (CASE
        WHEN (num_nonnulls(coalesce(since, until), weekdays) = 1) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(CASE WHEN weekdays IS NULL THEN 'a freeze needs a time: since and until, or weekdays'
            ELSE 'a freeze has since and until or weekdays, not both' END,
            'Once: since => ''2026-12-24'', until => ''2026-12-27''. Every week: '
            'weekdays => ''{5}'', from_time => ''14:00''.') END),
    CONSTRAINT change_freeze_since_is_before_until CHECK (CASE
        WHEN (since < until) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('since must be before until, got "%s" and "%s"', since, until),
            'For example since => ''2026-12-24'', until => ''2026-12-27''.') END),
    CONSTRAINT change_freeze_weekdays_from_1_to_7 CHECK (CASE
        WHEN (weekdays <@ '{1,2,3,4,5,6,7}' AND cardinality(weekdays) > 0) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('weekdays are numbers from 1 to 7, got "%s"', left(weekdays::text, 100)),
            '1 is Monday, 7 is Sunday: ''{6,7}'' is the weekend.') END),
    CONSTRAINT change_freeze_times_in_order CHECK (CASE
        WHEN (from_time < to_time) IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('from_time must be before to_time, got "%s" and "%s"', from_time, to_time),
            'A night is two freezes: from 22:00 to 24:00, and from 00:00 to 06:00.') END)
);
COMMENT ON TABLE flagscope.change_freeze IS
    'periods in which no rollout may reach more users: no start, advance, resume or completion; what reduces exposure '
    '(step back, rollback ...) is always possible';
COMMENT ON COLUMN flagscope.change_freeze.id IS 'number of the row';
COMMENT ON COLUMN flagscope.change_freeze.from_time IS 'time of day at which it begins on weekdays';
COMMENT ON COLUMN flagscope.change_freeze.to_time IS 'time of day at which it ends';
COMMENT ON COLUMN flagscope.change_freeze.time_zone IS 'whose time of day';
COMMENT ON COLUMN flagscope.change_freeze.created_by IS 'who made it';
COMMENT ON COLUMN flagscope.change_freeze.created_at IS 'when it was made, by the server''s clock';
COMMENT ON COLUMN flagscope.change_freeze.name IS 'reason, shown to whoever it stops';
COMMENT ON COLUMN flagscope.change_freeze.environment IS 'only there; NULL: everywhere';
COMMENT ON COLUMN flagscope.change_freeze.tag IS 'only flags with this tag; NULL: all';
COMMENT ON COLUMN flagscope.change_freeze.since IS 'begin of one span of time; NULL: always has been; else weekdays';
COMMENT ON COLUMN flagscope.change_freeze.until IS 'end of that time; NULL: until the row is deleted';
COMMENT ON COLUMN flagscope.change_freeze.weekdays IS
    'every week on these days, 1 is Monday, from from_time to to_time in time_zone';
