-- Health of rollouts: are users and rows split as configured, do users keep their variant, is there any traffic.

-- Written by the ingest trigger in the transaction of the raw rows; rows are only inserted and consumed, so no index.
CREATE TABLE _flagscope.subject_delta (
    flag        text NOT NULL,
    environment text NOT NULL,
    variant     text NOT NULL,
    subject     text NOT NULL,
    ts          timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE _flagscope.subject_delta REPLICA IDENTITY FULL;  -- as of variant_delta
COMMENT ON TABLE _flagscope.subject_delta IS
    'exposures to flags that are being rolled out or watched after completion: each subject once a writing statement, '
    'until the next tick consumes them';

-- No foreign key to rollout: its check would wait for a lock on the rollout, and a tick must not wait.
CREATE TABLE flagscope.rollout_subject (
    rollout_id bigint NOT NULL,
    subject    text NOT NULL,
    variant    text NOT NULL,
    first_seen timestamptz NOT NULL,
    treated_at timestamptz,
    crossed    boolean NOT NULL DEFAULT false,
    PRIMARY KEY (rollout_id, subject)
);
COMMENT ON TABLE flagscope.rollout_subject IS
    'subjects exposed to a rollout or in its watch after completion, from exposures (feature_flag.evaluation with a '
    'subject); kept until setting subject.retention after its end, or until the flag''s next rollout starts';
COMMENT ON COLUMN flagscope.rollout_subject.rollout_id IS 'the rollout';
COMMENT ON COLUMN flagscope.rollout_subject.first_seen IS 'time of the subject''s first exposure';
COMMENT ON COLUMN flagscope.rollout_subject.subject IS 'targeting key; if longer than 255 bytes, its md5';
COMMENT ON COLUMN flagscope.rollout_subject.variant IS 'at the first exposure';
COMMENT ON COLUMN flagscope.rollout_subject.treated_at IS
    'first exposure to the treatment; a wider stage moves units from the control to it';
COMMENT ON COLUMN flagscope.rollout_subject.crossed IS
    'seen with the control after the treatment, though the rollout was never stepped back';

CREATE TYPE flagscope.health_rule AS ENUM ('split', 'crossing', 'traffic', 'rows');
COMMENT ON TYPE flagscope.health_rule IS
    'split: sample ratio mismatch; crossing: units seen in two variants; traffic: no exposures to the treatment any '
    'more, or none at all while the control has some; rows: the rows of one arm are too few for the share served';

CREATE TABLE flagscope.rollout_health (
    rollout_id  bigint NOT NULL,
    rule        flagscope.health_rule NOT NULL,
    state       flagscope.data_state NOT NULL DEFAULT 'ok',
    reason      text NOT NULL DEFAULT '',
    evidence    float8[] NOT NULL DEFAULT '{}',
    max_log_e   float8 NOT NULL DEFAULT 0,
    n_treatment bigint NOT NULL DEFAULT 0,
    n_control   bigint NOT NULL DEFAULT 0,
    expected    float8 NOT NULL DEFAULT 0,
    mismatch    float8[] NOT NULL DEFAULT '{}',
    recrossed   bigint NOT NULL DEFAULT 0,
    counted_since timestamptz,
    clears_at   timestamptz,
    last_at     timestamptz,
    told_at     timestamptz,
    PRIMARY KEY (rollout_id, rule)
) WITH (fillfactor = 50);
COMMENT ON TABLE flagscope.rollout_health IS
    'checks of every rollout besides its guardrails; a state that is not ok is reported once and holds the ramp';
COMMENT ON COLUMN flagscope.rollout_health.rollout_id IS 'the rollout';
COMMENT ON COLUMN flagscope.rollout_health.rule IS 'what is looked at';
COMMENT ON COLUMN flagscope.rollout_health.state IS 'ok, or what kind of finding it is';
COMMENT ON COLUMN flagscope.rollout_health.reason IS 'the finding in words';
COMMENT ON COLUMN flagscope.rollout_health.max_log_e IS 'greatest log e of the evidence';
COMMENT ON COLUMN flagscope.rollout_health.told_at IS 'when it was told';
COMMENT ON COLUMN flagscope.rollout_health.evidence IS
    'of split: sums of log likelihood ratios, one per grid point (test S of src/core/stats/README.md); that of rows '
    'is kept apart';
COMMENT ON COLUMN flagscope.rollout_health.n_treatment IS
    'of split: units first seen in the treatment (while it is breached, those that it was found by); '
    'of crossing: units that crossed; of rows: rows of the treatment since it was counted (while it is breached, '
    'those that it was found by)';
COMMENT ON COLUMN flagscope.rollout_health.n_control IS
    'of split: units first seen in the control; of crossing: all units; of rows: rows of the control';
COMMENT ON COLUMN flagscope.rollout_health.mismatch IS
    'of split and rows: how likely each point of the grid was when a mismatch was found (log weights): it is over '
    'when what came since refutes that; empty: none';
COMMENT ON COLUMN flagscope.rollout_health.recrossed IS 'of crossing: units that crossed since it is breached';
COMMENT ON COLUMN flagscope.rollout_health.counted_since IS
    'units first seen before do not count: of a mismatch that was found, or looked at by a person; NULL: all count';
COMMENT ON COLUMN flagscope.rollout_health.clears_at IS
    'of crossing, while it is breached: when that is over, unless too many units cross till then';
COMMENT ON COLUMN flagscope.rollout_health.expected IS
    'of split and rows: how many units or rows the configured shares would have given the treatment';
COMMENT ON COLUMN flagscope.rollout_health.last_at IS 'tick that last saw an exposure to the treatment';

CREATE TABLE _flagscope.split_count (
    rollout_id  bigint NOT NULL,
    epoch       timestamptz NOT NULL,
    part        smallint NOT NULL CHECK (part BETWEEN 0 AND 60),
    n_treatment bigint NOT NULL,
    n_control   bigint NOT NULL,
    PRIMARY KEY (rollout_id, epoch, part)
) WITH (fillfactor = 70);
COMMENT ON TABLE _flagscope.split_count IS
    'units by when they were first seen: what the split rule of health judges (src/core/stats/split.rs). As of '
    'rollout_subject there is no foreign key';
COMMENT ON COLUMN _flagscope.split_count.epoch IS 'since when the share was served that the units came with';
COMMENT ON COLUMN _flagscope.split_count.part IS
    'which sixtieth of the settling (setting health.settle) after that; 60: after it';
COMMENT ON COLUMN _flagscope.split_count.n_treatment IS 'units first seen in the treatment';
COMMENT ON COLUMN _flagscope.split_count.n_control IS 'the same of the control';

CREATE TABLE _flagscope.row_count (
    rollout_id  bigint NOT NULL,
    epoch       timestamptz NOT NULL,
    bucket      timestamptz NOT NULL,
    n_treatment bigint NOT NULL,
    n_control   bigint NOT NULL,
    PRIMARY KEY (rollout_id, bucket, epoch)
) WITH (fillfactor = 70);
COMMENT ON TABLE _flagscope.row_count IS
    'rows by arm of a rollout''s busiest metric that is compared with the control, by ten seconds and share, until '
    'both arms have shown later ones: then the rule rows of health judges them (src/core/stats/row_share.rs)';
COMMENT ON COLUMN _flagscope.row_count.epoch IS 'since when the share was served that the rows are of';
COMMENT ON COLUMN _flagscope.row_count.n_treatment IS 'rows of the treatment';
COMMENT ON COLUMN _flagscope.row_count.n_control IS 'the same of the control';

CREATE TABLE _flagscope.row_share (
    rollout_id bigint PRIMARY KEY,
    state      float8[] NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE _flagscope.row_share IS
    'evidence of the rule rows of health, with the noise that is measured; as of rollout_subject no foreign key';
COMMENT ON COLUMN _flagscope.row_share.state IS 'as src/core/stats/row_share.rs stores it';
