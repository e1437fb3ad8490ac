-- What a dump brings along about itself, so that a restored database knows when its configuration is whole.

CREATE TABLE _flagscope.manifest (
    part  text NOT NULL,
    digit integer NOT NULL,
    PRIMARY KEY (part, digit)
);
COMMENT ON TABLE _flagscope.manifest IS
    'how many rows a dump has of each table of configuration: pg_dump can choose rows but not compute any, so it takes '
    'those rows that are the binary digits of the count';
COMMENT ON COLUMN _flagscope.manifest.part IS 'a table of configuration; "end" is in every dump, as the last row';
COMMENT ON COLUMN _flagscope.manifest.digit IS
    'in a dump: the table has 2 to this power rows, and those of its other digits';
INSERT INTO _flagscope.manifest (part, digit)
SELECT p.part, d.digit
FROM unnest('{setting,environment_definition,flag_definition,segment,flag_state,rollout,rollout_stage,change_freeze,metric_definition,
    guardrail_policy,guardrail,guardrail_status}'::text[]) WITH ORDINALITY p(part, nr), generate_series(0, 31) d(digit)
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
    'a restore that is under way or broke off: as long as there are rows, nothing is judged; tick() empties it once '
    'the configuration is whole, finish_restore() at once';
COMMENT ON COLUMN _flagscope.restore.part IS
    'the table of configuration that rows came for, or are to come for; "extension": CREATE EXTENSION was part of a '
    'dump';
COMMENT ON COLUMN _flagscope.restore.digit IS 'of the manifest: a binary digit of the rows to come; NULL: rows came';
COMMENT ON COLUMN _flagscope.restore.pid IS 'the session that restores';
COMMENT ON COLUMN _flagscope.restore.backend_start IS 'when that session began: with pid, which session it is';

CREATE TABLE _flagscope.incarnation (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    number   bigint NOT NULL
);
COMMENT ON TABLE _flagscope.incarnation IS
    'one row: a random number drawn by CREATE EXTENSION and never dumped; cursors of flag_changes() carry it, so that '
    'one from before a restore is recognised';
INSERT INTO _flagscope.incarnation (number) VALUES (1 + floor(random() * 8388607)::bigint);
