-- What a dump contains about itself, so that a restored database can tell when its configuration is complete.

CREATE TABLE _flagscope.manifest (
    part  text NOT NULL,
    digit integer NOT NULL,
    PRIMARY KEY (part, digit)
);
COMMENT ON TABLE _flagscope.manifest IS
    'number of rows of each configuration table in a dump: pg_dump can select rows but not compute them, so it selects '
    'the rows that are the binary digits of the count';
COMMENT ON COLUMN _flagscope.manifest.part IS 'a configuration table; "end" is the last row of every dump';
COMMENT ON COLUMN _flagscope.manifest.digit IS
    'in a dump: this binary digit of the number of rows is set';
INSERT INTO _flagscope.manifest (part, digit)
SELECT p.part, d.digit
FROM unnest('{setting,environment_definition,flag_definition,segment,flag_state,rollout,rollout_stage,change_freeze,
    metric_definition,guardrail_policy,guardrail,guardrail_status}'::text[]) WITH ORDINALITY p(part, nr),
    generate_series(0, 31) d(digit)
ORDER BY p.nr, d.digit;
INSERT INTO _flagscope.manifest (part, digit) VALUES ('end', 0);

CREATE TABLE _flagscope.restore (
    part          text NOT NULL,
    digit         integer,
    pid           integer NOT NULL,
    backend_start timestamptz,
    at            timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- A publication of all tables must not keep tick() from emptying it.
ALTER TABLE _flagscope.restore REPLICA IDENTITY FULL;
COMMENT ON TABLE _flagscope.restore IS
    'a restore in progress or interrupted: while there are rows, nothing is judged; tick() empties it once '
    'the configuration is complete, finish_restore() at once';
COMMENT ON COLUMN _flagscope.restore.part IS
    'the configuration table that rows were restored to, or are expected for; "extension": '
    'CREATE EXTENSION was part of a dump';
COMMENT ON COLUMN _flagscope.restore.digit IS
    'from the manifest: a binary digit of the expected number of rows; NULL: rows were restored';
COMMENT ON COLUMN _flagscope.restore.pid IS 'process id of the restoring session';
COMMENT ON COLUMN _flagscope.restore.backend_start IS 'start of that session; identifies it together with pid';

CREATE TABLE _flagscope.incarnation (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    number   bigint NOT NULL
);
COMMENT ON TABLE _flagscope.incarnation IS
    'one row: a random number drawn by CREATE EXTENSION and never dumped; cursors of flag_changes() carry it, so that '
    'a cursor from before a restore is recognised';
INSERT INTO _flagscope.incarnation (number) VALUES (1 + floor(random() * 8388607)::bigint);
