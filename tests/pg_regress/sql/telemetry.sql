-- Writing telemetry with ordinary INSERT and COPY; time partitions:
-- made ahead in UTC, strays moved, expired ones dropped.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never

-- Time, signal and name are enough; without a partition yet, rows wait in telemetry_stray.
INSERT INTO flagscope.telemetry (ts, signal, name)
VALUES ('2040-06-15 12:00', 'event', 'signup'), ('1970-01-01', 'log', 'wrong clock'),
    ('2100-02-28 23:59:59.999999', 'span', 'wrong clock');
COPY flagscope.telemetry (ts, signal, name) FROM stdin (DELIMITER '|');
2040-06-15 23:59:59.999999+00|metric|queue
2040-06-16 00:00:00+00|metric|queue
2040-06-15 23:30:00-04|metric|queue
\.
\copy flagscope.telemetry (ts, signal, name, value, flags) from stdin with (format csv)
2040-06-15 13:00,metric,csv,1.5,"{""f"": ""on""}"
2040-06-15 14:00,metric,csv,NaN,
\.
SELECT tableoid::regclass, count(*) FROM flagscope.telemetry GROUP BY 1 ORDER BY 1;

-- Maintenance makes today and three days ahead, whatever the session's time zone: bounds are UTC.
SET timezone = 'America/New_York';
SET datestyle = 'SQL, DMY';
SELECT * FROM flagscope.maintain('2040-06-15 20:00');
RESET timezone;
RESET datestyle;
SELECT parent, chunk, lower, upper FROM flagscope.chunk ORDER BY 1, 3;
SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = 'telemetry_p20400616';
-- Nothing is lost: the rows of these days moved, each to its own; only the wrong clocks are still stray.
SELECT tableoid::regclass, ts, signal, name, value FROM flagscope.telemetry ORDER BY ts, name;
SELECT says FROM flagscope.status() WHERE item = 'stray rows';
-- Again: nothing to do. A row for each second of two days goes where its bounds say.
SELECT * FROM flagscope.maintain('2040-06-16 20:00');
SET timezone = 'Europe/Berlin';
SELECT * FROM flagscope.maintain('2040-06-17 01:59:59');
SELECT * FROM flagscope.maintain('2040-06-17 02:00:00');
INSERT INTO flagscope.telemetry (ts, signal, name) SELECT t, 'metric', 'tick'
FROM generate_series(timestamptz '2040-06-17 00:00+00', '2040-06-18 23:59:59+00', '1 second') t;
RESET timezone;
SELECT c.chunk, count(*), bool_and(t.ts >= c.lower AND t.ts < c.upper) AS within
FROM flagscope.telemetry t JOIN flagscope.chunk c ON c.chunk = t.tableoid::regclass
WHERE name = 'tick' GROUP BY 1 ORDER BY 1;
-- A partition has what its parent has: indexes, checks, the fold, and is no member of the extension.
SELECT c.relname, (SELECT count(*) FROM pg_index i WHERE i.indrelid = c.oid) AS indexes,
    (SELECT string_agg(conname, ' ' ORDER BY conname)
        FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c') AS checks,
    (SELECT string_agg(tgname, ' ' ORDER BY tgname) FROM pg_trigger t WHERE t.tgrelid = c.oid) AS triggers,
    EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') AS member
FROM pg_class c WHERE c.oid IN ('flagscope.telemetry'::regclass, '_flagscope.telemetry_p20400616'::regclass) ORDER BY 1;

-- What cannot be a time is refused; so is what is no object of flags. A batch with one such row fails as a whole.
INSERT INTO flagscope.telemetry (ts, signal, name) VALUES ('infinity', 'log', 'x');
INSERT INTO flagscope.telemetry (ts, signal, name) VALUES ('-infinity', 'log', 'x');
INSERT INTO flagscope.telemetry (ts, signal, name) VALUES (NULL, 'log', 'x');
INSERT INTO flagscope.telemetry (ts, signal, name, flags) VALUES ('2040-06-17', 'log', 'x', '["f"]');
INSERT INTO flagscope.telemetry (ts, signal, name) VALUES ('2040-06-17', 'trace', 'x');
COPY flagscope.telemetry (ts, signal, name) FROM stdin (DELIMITER '|');
2040-06-17 12:00|log|good
infinity|log|bad
\.
SELECT count(*) FROM flagscope.telemetry WHERE name IN ('x', 'good', 'bad');

-- Another width from now on: six hours beside the days that exist, never overlapping them.
SELECT flagscope.set_setting('telemetry.chunk_interval', '"6 hours"');
-- After a jump of more than a day nothing is deleted, until a person has said that the time is right.
SELECT * FROM flagscope.maintain('2040-06-19 22:00');
SELECT item, says FROM flagscope.status() WHERE item = 'retention';
SELECT flagscope.confirm_time('2040-06-19 22:00');
SELECT count(*) FROM flagscope.status() WHERE item = 'retention';
SELECT * FROM flagscope.maintain('2040-06-20 12:00');
SELECT chunk, lower, upper FROM flagscope.chunk WHERE parent = 'telemetry' ORDER BY lower;
SELECT count(*) AS overlaps
FROM flagscope.chunk a
    JOIN flagscope.chunk b
        ON a.parent = b.parent AND a.chunk <> b.chunk AND tstzrange(a.lower, a.upper) && tstzrange(b.lower, b.upper);
-- And wider again: the first week only gets what is left of it.
SELECT flagscope.set_setting('telemetry.chunk_interval', '"7 days"'), flagscope.set_setting('telemetry.premake', '1');
SELECT flagscope.confirm_time('2040-06-21 13:00');
SELECT * FROM flagscope.maintain('2040-06-21 13:00');
SELECT chunk, lower, upper FROM flagscope.chunk WHERE parent = 'telemetry' ORDER BY lower DESC LIMIT 3;
-- Late rows between and before the partitions get one, as long as they are within the retention.
INSERT INTO flagscope.telemetry (ts, signal, name)
VALUES ('2040-06-14 12:00', 'log', 'late'), ('2040-06-05 12:00', 'log', 'late'),
    ('2040-01-01 12:00', 'log', 'too late');
SELECT * FROM flagscope.maintain('2040-06-21 13:01');
SELECT t.tableoid::regclass, c.lower, c.upper, t.ts, t.name
FROM flagscope.telemetry t LEFT JOIN flagscope.chunk c ON c.chunk = t.tableoid::regclass
WHERE name LIKE '%late' ORDER BY ts;

-- Retention: the oldest expired partition goes, one a call.
SELECT flagscope.set_setting('telemetry.retention', '"3 days"');
SELECT chunk FROM flagscope.chunk
WHERE parent = 'telemetry' AND upper <= timestamptz '2040-06-20 13:00' - interval '3 days' ORDER BY upper;
SELECT flagscope.confirm_time('2040-06-20 13:00');
SELECT * FROM flagscope.maintain('2040-06-20 13:00');
SELECT * FROM flagscope.maintain('2040-06-20 13:00');
SELECT chunk FROM flagscope.chunk
WHERE parent = 'telemetry' AND upper <= timestamptz '2040-06-20 13:00' - interval '3 days' ORDER BY upper;
SELECT count(flagscope.maintain('2040-06-20 13:00')) FROM generate_series(1, 5);
SELECT min(lower) AS oldest FROM flagscope.chunk WHERE parent = 'telemetry';
-- Rows with an impossible time went, too: they came more than three days ago. What came later stays.
SELECT ts, name FROM _flagscope.telemetry_stray ORDER BY ts;

-- The views of the four signals have the rows of their signal, and each row is in one.
SELECT (SELECT count(*) FROM flagscope.telemetry) = (SELECT count(*) FROM flagscope.span)
    + (SELECT count(*) FROM flagscope.log) + (SELECT count(*) FROM flagscope.metric_point)
    + (SELECT count(*) FROM flagscope.event) AS all_rows;
SELECT flagscope.maintain('2041-01-01') IS NOT NULL AS next_year;
INSERT INTO flagscope.telemetry (ts, signal, name, value, unit, subject, flags, environment, service, severity,
    is_error, trace_id, span_id, parent_span_id, body, attributes)
VALUES
    ('2041-01-01 12:00', 'span', 'pay', 0.25, 's', 'u1', '{"f": "on", "g": "x"}', 'prod', 'cart', NULL, true,
        '00000000-0000-0000-0000-00000000000a', '\x0102030405060708', '\xffffffffffffffff', NULL, '{"a": 1}'),
    ('2041-01-01 12:01', 'log', 'cart.pay', NULL, NULL, 'u1', NULL, 'prod', 'cart', 17, true, NULL, NULL, NULL,
        'card refused', NULL);
SELECT * FROM flagscope.span WHERE name = 'pay';
SELECT * FROM flagscope.log WHERE logger = 'cart.pay';
SELECT flag, variant, signal, name, value, subject FROM flagscope.tagged WHERE ts > '2041-01-01' ORDER BY flag;
