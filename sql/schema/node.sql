-- Several databases that work as one: which part this one has, and what is known of the others. What is of this
-- database alone is never published and never dumped: a restored copy works alone until it is told otherwise.

CREATE TYPE flagscope.node_role AS ENUM ('alone', 'ingest', 'decide');
COMMENT ON TYPE flagscope.node_role IS
    'part of a database in a cluster: alone: does everything itself; ingest: takes in telemetry and evaluates flags; '
    'decide: has configuration and evidence, and decides';

CREATE TABLE _flagscope.this_node (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    role      flagscope.node_role NOT NULL DEFAULT 'alone',
    name      text NOT NULL DEFAULT '',
    delta_slot integer NOT NULL DEFAULT 1,
    is_sending boolean NOT NULL DEFAULT false,
    join_xid  xid8
);
COMMENT ON TABLE _flagscope.this_node IS 'one row: the part that this database has in a cluster';
COMMENT ON COLUMN _flagscope.this_node.delta_slot IS
    'of an ingest node: by which slot it sends, as node.delta_slot';
COMMENT ON COLUMN _flagscope.this_node.is_sending IS
    'of an ingest node: does its slot begin after its publication, which it could not be read without';
COMMENT ON COLUMN _flagscope.this_node.join_xid IS
    'of an ingest node until the first copy of the configuration is complete: what older transactions wrote of it is '
    'no longer part of it';
INSERT INTO _flagscope.this_node DEFAULT VALUES;

CREATE TABLE flagscope.node (
    name      text PRIMARY KEY,
    role      flagscope.node_role NOT NULL,
    joined_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    configuration_slot integer NOT NULL DEFAULT 1,
    delta_slot integer NOT NULL DEFAULT 1,
    synced    integer,
    received  pg_lsn,
    CONSTRAINT node_name_is_a_short_word CHECK (CASE
        WHEN (name ~ '^[a-z][a-z0-9_]{0,29}$') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('the name of a node must be 1 to 30 lower case letters, digits or underscores, '
            'and begin with a letter, got "%s"', left(name, 100)), 'For example eu_1.') END),
    CONSTRAINT node_is_not_alone CHECK (CASE
        WHEN (role <> 'alone') IS NOT FALSE THEN true
        ELSE _flagscope.refuse(format('node "%s" of a cluster cannot be alone', name),
            'Ingest nodes are added by add_node() and removed by leave_cluster().') END)
);
COMMENT ON TABLE flagscope.node IS
    'the nodes of this cluster, the same on each of them; written by create_cluster(), add_node() and leave_cluster()';
COMMENT ON COLUMN flagscope.node.name IS 'what it is called';
COMMENT ON COLUMN flagscope.node.role IS 'ingest or decide';
COMMENT ON COLUMN flagscope.node.joined_at IS 'when it became a node of this cluster';
COMMENT ON COLUMN flagscope.node.configuration_slot IS
    'by which replication slot, flagscope_<node>_configuration_<number>, an ingest node gets its configuration: '
    'another one each time that it is copied anew, so that nothing is taken for a continuation that is none';
COMMENT ON COLUMN flagscope.node.delta_slot IS
    'the same of the slot by which it sends what it counts, flagscope_<node>_delta_<number>';
COMMENT ON COLUMN flagscope.node.synced IS
    'the delta_slot by which everything arrives that an ingest node counts: only then does it forget what it has sent';
COMMENT ON COLUMN flagscope.node.received IS
    'up to where in an ingest node''s WAL everything had arrived by the delta_slot before this one';

CREATE TABLE _flagscope.node_report (
    node          text NOT NULL,
    delta_slot    integer NOT NULL,
    at            timestamptz NOT NULL,
    last_delta_at timestamptz,
    wal_kept      bigint,
    wal_left      bigint,
    arrived_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE _flagscope.node_report REPLICA IDENTITY FULL;
COMMENT ON TABLE _flagscope.node_report IS
    'sign of life of an ingest node, sent in the same stream as what it counts: who has it has all that was committed '
    'before; deleted by the next tick of the deciding node';
COMMENT ON COLUMN _flagscope.node_report.delta_slot IS 'by which slot the node sends';
COMMENT ON COLUMN _flagscope.node_report.at IS 'when it was written, by the clock of the ingest node';
COMMENT ON COLUMN _flagscope.node_report.last_delta_at IS 'when the node last counted something';
COMMENT ON COLUMN _flagscope.node_report.wal_kept IS 'bytes of WAL that the node keeps for the deciding node';
COMMENT ON COLUMN _flagscope.node_report.wal_left IS
    'bytes that may be written until WAL is lost (max_slot_wal_keep_size); NULL: no limit';
COMMENT ON COLUMN _flagscope.node_report.arrived_at IS 'when it came, by the clock of the deciding node; never sent';

CREATE TABLE _flagscope.node_state (
    node          text PRIMARY KEY,
    delta_slot    integer NOT NULL,
    reported_at   timestamptz NOT NULL,
    arrived_at    timestamptz NOT NULL,
    last_delta_at timestamptz,
    wal_kept      bigint,
    wal_left      bigint
) WITH (fillfactor = 50);
COMMENT ON TABLE _flagscope.node_state IS 'of the deciding node: the last report of each ingest node';

CREATE TABLE _flagscope.delta_mark (
    lsn      pg_lsn PRIMARY KEY,
    snapshot pg_snapshot NOT NULL,
    at       timestamptz NOT NULL,
    written  bigint NOT NULL
);
COMMENT ON TABLE _flagscope.delta_mark IS
    'of an ingest node: what was committed before a position in the WAL; where the deciding node has received all up '
    'to there, it has what the snapshot sees';
COMMENT ON COLUMN _flagscope.delta_mark.written IS 'how many deltas and exposures this server had counted by then';

-- No member of variant_delta: everybody who reads that means what is not rolled up yet.
CREATE TABLE _flagscope.kept_delta (
    LIKE _flagscope.variant_delta,
    written xid8 NOT NULL
);
ALTER TABLE _flagscope.kept_delta REPLICA IDENTITY FULL;
COMMENT ON TABLE _flagscope.kept_delta IS
    'of an ingest node: deltas that are part of its own rollups already, and that the deciding node has not confirmed';
COMMENT ON COLUMN _flagscope.kept_delta.written IS 'transaction that wrote the delta';

CREATE TABLE _flagscope.history_delta (
    flag        text NOT NULL,
    environment text NOT NULL,
    variant     text NOT NULL,
    metric      text NOT NULL,
    bucket      timestamptz NOT NULL,
    n           bigint NOT NULL,
    events      bigint NOT NULL,
    moments     flagscope.moments,
    histogram   flagscope.histogram,
    last_ts     timestamptz NOT NULL
);
ALTER TABLE _flagscope.history_delta REPLICA IDENTITY FULL;
COMMENT ON TABLE _flagscope.history_delta IS
    'what an ingest node has rolled up of rows from before a guardrail read their metric; columns as in '
    'variant_rollup. It becomes part of the deciding node''s rollups, and is no evidence';
