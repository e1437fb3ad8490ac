-- What is compared with the control: which processes serve both arms, and what waits for the other arm
-- (src/core/guardrail/source.rs, strata.rs; sql/api/pair.sql). No foreign keys, as of rollout_subject: a parallel
-- restore fills them in any order.

CREATE TABLE _flagscope.source (
    rollout_id  bigint NOT NULL,
    instance    text NOT NULL,
    n_treatment bigint NOT NULL,
    n_control   bigint NOT NULL,
    expected    float8 NOT NULL,
    PRIMARY KEY (rollout_id, instance)
) WITH (fillfactor = 70);
COMMENT ON TABLE _flagscope.source IS
    'what each exporter instance (telemetry.instance) has sent of the arms of a watched rollout: processes that serve '
    'both in about the allocated shares are compared as soon as their rows come, others by when things happened';
COMMENT ON COLUMN _flagscope.source.n_treatment IS 'data points of the treatment, of all metrics';
COMMENT ON COLUMN _flagscope.source.n_control IS 'the same of the control';
COMMENT ON COLUMN _flagscope.source.expected IS
    'how many data points of the treatment the shares that were served make expected';

CREATE TABLE _flagscope.pairing (
    rollout_id      bigint NOT NULL,
    metric          text NOT NULL,
    since           timestamptz,
    width           integer NOT NULL DEFAULT 10,
    elapsed         float8 NOT NULL DEFAULT 0,
    latest          timestamptz[] NOT NULL DEFAULT '{NULL,NULL}',
    lag             float8[] NOT NULL DEFAULT '{5,5}',
    occupied        float8[] NOT NULL DEFAULT '{0,0}',
    alone_treatment bigint NOT NULL DEFAULT 0,
    alone_control   bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (rollout_id, metric)
) WITH (fillfactor = 50);
COMMENT ON TABLE _flagscope.pairing IS
    'how the arms of a metric come that have had to wait for each other; of arrays the treatment is the first';
COMMENT ON COLUMN _flagscope.pairing.since IS
    'start of the span of time that is open: what happened before is compared';
COMMENT ON COLUMN _flagscope.pairing.width IS 'width of a span in seconds: it grows with the gaps of thin traffic';
COMMENT ON COLUMN _flagscope.pairing.elapsed IS 'seconds for which gaps were watched; what is long ago counts less';
COMMENT ON COLUMN _flagscope.pairing.latest IS 'greatest ts of each arm';
COMMENT ON COLUMN _flagscope.pairing.lag IS 'by how many seconds rows of each arm came after later ones';
COMMENT ON COLUMN _flagscope.pairing.occupied IS 'how many buckets had rows of each arm; older ones count less';
COMMENT ON COLUMN _flagscope.pairing.alone_treatment IS
    'data points of the treatment that were never compared, because the control had none in their span of time';
COMMENT ON COLUMN _flagscope.pairing.alone_control IS 'the same of the control';

CREATE TABLE _flagscope.waiting_stratum (
    rollout_id bigint NOT NULL,
    metric     text NOT NULL,
    bucket     timestamptz NOT NULL,
    epoch      timestamptz NOT NULL,
    treated    boolean NOT NULL,
    n          bigint NOT NULL,
    events     bigint NOT NULL,
    moments    flagscope.moments,
    histogram  flagscope.histogram,
    first_ts   timestamptz NOT NULL,
    last_ts    timestamptz NOT NULL,
    PRIMARY KEY (rollout_id, metric, bucket, epoch, treated)
) WITH (fillfactor = 70);
COMMENT ON TABLE _flagscope.waiting_stratum IS
    'data of one arm that waits until the other arm of its span of time is known to be there';
COMMENT ON COLUMN _flagscope.waiting_stratum.epoch IS
    'since when the share was served that the rows are of: two shares are never compared as one';
COMMENT ON COLUMN _flagscope.waiting_stratum.treated IS 'true: the treatment; false: the control';

CREATE TYPE _flagscope.piece AS (
    rollout_id bigint, metric text, bucket timestamptz, epoch timestamptz, treated boolean, at_once boolean,
    n bigint, events bigint, moments flagscope.moments, histogram flagscope.histogram, first_ts timestamptz,
    last_ts timestamptz
);
COMMENT ON TYPE _flagscope.piece IS
    'what a tick consumed of one arm of a rollout''s metric, of one bucket and share; at_once: from where both arms '
    'come together';

CREATE TYPE _flagscope.pair AS (round integer, until timestamptz, stratum _flagscope.stratum);
COMMENT ON TYPE _flagscope.pair IS
    'one arm of a stratum to be judged: in which round of the tick, since each round of a metric learns from those '
    'before it; until: up to which bucket the control''s past may be read for what is judged next';
