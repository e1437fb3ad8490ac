-- One trace, one user, and telemetry by function.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
SELECT flagscope.create_flag('cart'), flagscope.create_flag('theme');
SELECT flagscope.maintain('2040-01-01') IS NOT NULL AS ready;

-- The typed helpers: one row each, in the columns that its signal uses.
SELECT flagscope.record_metric('queue.depth', 7, '{item}', flags => '{"cart": "on"}', at => '2040-01-01 10:00');
SELECT flagscope.record_log('card refused', 'error', 'cart.pay', subject => 'ann', at => '2040-01-01 10:00:01');
SELECT flagscope.record_log('fine', at => '2040-01-01 10:00:02'),
    flagscope.record_log('by number', '24', at => '2040-01-01 10:00:03');
SELECT flagscope.record_span('POST /pay', 0.25, true, trace_id => '00000000-0000-0000-0000-00000000000a',
    span_id => 'EEE19B7EC3C1B174', parent_span_id => 'eee19b7ec3c1b173', at => '2040-01-01 10:00:04');
SELECT flagscope.record_event('order', 'ann', 12.5, 'EUR', attributes => '{"items": 3}', at => '2040-01-01 10:00:05');
SELECT ts, signal, name, value, unit, subject, flags, environment, severity, is_error, encode(span_id, 'hex') AS span,
    encode(parent_span_id, 'hex') AS parent, body, attributes
FROM flagscope.telemetry ORDER BY ts;
SELECT flagscope.record_span('just ended', 2);
SELECT now() - ts BETWEEN interval '2 s' AND interval '30 s' AS started_two_seconds_ago
FROM flagscope.telemetry WHERE name = 'just ended';
-- What is wrong is named.
SELECT flagscope.record_metric('', 1);
SELECT flagscope.record_metric('m', 1, at => 'infinity');
SELECT flagscope.record_metric('m', 1, flags => '["cart"]');
SELECT flagscope.record_event('e', attributes => '5');
SELECT flagscope.record_log('x', 'loud');
SELECT flagscope.record_log('x', '25');
SELECT flagscope.record_span('s', 1, span_id => 'abc');

-- A batch: all or none, and the place of what is wrong.
TRUNCATE flagscope.telemetry;
SELECT flagscope.record($$[
    {"signal": "event", "name": "feature_flag.evaluation", "ts": "2040-01-01 11:00", "subject": "ann",
        "flags": {"cart": "on"}, "trace_id": "00000000-0000-0000-0000-00000000000a"},
    {"signal": "span", "name": "pay", "value": 0.1, "ts": "2040-01-01 11:00:01",
        "trace_id": "00000000-0000-0000-0000-00000000000a", "span_id": "00000000000000aa"},
    {"signal": "log", "name": "shop", "severity": "error", "body": "no", "ts": "2040-01-01 11:00:02", "subject": "ann",
        "flags": null},
    {"signal": "metric", "name": "depth", "value": "NaN", "unit": "1", "ts": "2040-01-01 11:00:03",
        "attributes": {"a": [1]}, "flags": {"cart": "off"}, "environment": "staging", "service": "s"}]$$);
SELECT signal, name, value, unit, subject, flags, attribution, environment, service, severity, is_error, attributes
FROM flagscope.telemetry ORDER BY ts;
SELECT flagscope.record('[]');
SELECT flagscope.record(NULL);
SELECT count(*) FROM flagscope.telemetry;
SELECT flagscope.record('{"signal": "log"}');
SELECT flagscope.record('[{"signal": "log", "name": "good"}, 5]');
SELECT flagscope.record('[{"signal": "log", "name": "good"}, {"signal": "trace", "name": "x"}]');
SELECT flagscope.record('[{"signal": "log"}]');
SELECT flagscope.record('[{"signal": "log", "name": "x", "flags": ["cart"]}]');
SELECT flagscope.record('[{"signal": "log", "name": "x", "sevrity": "error"}]');
SELECT flagscope.record('[{"signal": "log", "name": "x"}, {"signal": "log", "name": "x", "severity": "loud"}]');
SELECT flagscope.record('[{"signal": "log", "name": "x"}, {"signal": "log", "name": "x", "ts": "yesterday or so"}]');
SELECT flagscope.record('[{"signal": "log", "name": "x", "trace_id": "5"}]');
SELECT flagscope.record('[{"signal": "log", "name": "x", "ts": "infinity"}]');
SELECT count(*) FROM flagscope.telemetry;

-- A trace as a tree, however its rows came: two services, a log and an evaluation below their spans, an orphan, a
-- span sent twice, and two that are each other's parents.
TRUNCATE flagscope.telemetry;
INSERT INTO flagscope.telemetry (ts, ts_nanos, signal, name, value, trace_id, span_id, parent_span_id, is_error,
    service, flags, body, severity)
SELECT timestamptz '2040-01-01 12:00' + v.micros * interval '1 microsecond', v.nanos, v.signal::flagscope.signal,
    v.name, v.value, '00000000-0000-0000-0000-0000000000f1', decode(v.span, 'hex'), decode(v.parent, 'hex'),
    v.is_error, v.service, v.flags::jsonb, v.body, CASE WHEN v.signal = 'log' THEN 9 END FROM (VALUES
    (300, 5, 'span', 'charge', 0.0002, '00000000000000c1', '00000000000000a1', true, 'pay', NULL, NULL),
        (0, 0, 'span', 'POST /pay', 0.001, '00000000000000a1', NULL, false, 'shop', NULL, NULL),
    (300, 2, 'span', 'reserve', 0.0003, '00000000000000b1', '00000000000000a1', false, 'stock', NULL, NULL),
        (350, 0, 'log', 'pay', NULL, '00000000000000c1', NULL, true, 'pay', NULL, 'refused'),
    (100, 999, 'event', 'feature_flag.evaluation', NULL, '00000000000000a1', NULL, false, 'shop',
        '{"cart": "on"}', NULL),
        (900, 0, 'span', 'orphan', 0.0001, '00000000000000d1', '00000000000000ff', false, 'late', NULL, NULL),
    (300, 2, 'span', 'reserve', 0.0003, '00000000000000b1', '00000000000000a1', false, 'stock', NULL, NULL),
        (310, 0, 'span', 'lock', 0.0001, '00000000000000e1', '00000000000000b1', false, 'stock', NULL, NULL),
    (950, 0, 'span', 'ouroboros', 0.0001, '0000000000000e01', '0000000000000e02', false, 'x', NULL, NULL),
        (951, 0, 'span', 'tail', 0.0001, '0000000000000e02', '0000000000000e01', false, 'x', NULL, NULL),
    (960, 0, 'span', 'own parent', 0.0001, '0000000000000e03', '0000000000000e03', false, 'x', NULL, NULL)
) v(micros, nanos, signal, name, value, span, parent, is_error, service, flags, body);
SELECT repeat('  ', depth) || name AS tree, signal, round((after * 1e6)::numeric, 3) AS after_us, duration,
    round(self_duration::numeric, 6) AS self, is_error, service, flags, body, span_id
FROM flagscope.trace('00000000-0000-0000-0000-0000000000f1');
SELECT count(*) FROM flagscope.trace('00000000-0000-0000-0000-0000000000f2');

-- One user: what was active at each moment, and what was done in the user's traces by services that know no user.
TRUNCATE flagscope.telemetry;
INSERT INTO flagscope.telemetry (ts, signal, name, subject, flags, trace_id, environment, value) VALUES
    ('2040-01-01 08:00', 'event', 'feature_flag.evaluation', 'ann', '{"cart": "off", "theme": "on"}', NULL, NULL, NULL),
    ('2040-01-01 13:00', 'event', 'page view', 'ann', NULL, NULL, NULL, NULL),
    ('2040-01-01 13:01', 'event', 'feature_flag.evaluation', 'ann', '{"cart": "on"}',
        '00000000-0000-0000-0000-0000000000f1', NULL, NULL),
    ('2040-01-01 13:01:01', 'span', 'POST /pay', 'ann', NULL, '00000000-0000-0000-0000-0000000000f1', NULL, 0.5),
    ('2040-01-01 13:01:01.1', 'span', 'charge', NULL, NULL, '00000000-0000-0000-0000-0000000000f1', NULL, 0.3),
    ('2040-01-01 13:02', 'event', 'order', 'ann', '{"theme": "off"}', NULL, NULL, 20),
    ('2040-01-01 13:03', 'event', 'order', 'bob', NULL, NULL, NULL, 30),
    ('2040-01-01 13:04', 'event', 'test', 'ann', NULL, NULL, 'staging', NULL),
    ('2040-01-01 13:05', 'event', 'bob in her trace', 'bob', NULL, '00000000-0000-0000-0000-0000000000f1', NULL, NULL),
    ('2040-01-01 14:00', 'event', 'after', 'ann', NULL, NULL, NULL, NULL);
SELECT ts, signal, name, value, variants, flags, attribution
FROM flagscope.telemetry_of('ann', '2040-01-01 13:00', '2040-01-01 14:00');
SELECT count(*) FROM flagscope.telemetry_of('ann', '2040-01-01', '2040-01-02');
SELECT count(*) FROM flagscope.telemetry_of('nobody');
SELECT count(*) FROM flagscope.telemetry_of('ann', until => NULL);
-- With the index that the README names, whatever else is in the partition is not read.
CREATE INDEX ON _flagscope.telemetry_p20400101 (left(subject, 255), ts) WHERE subject IS NOT NULL;
SET enable_seqscan = off;
EXPLAIN (COSTS off) SELECT * FROM _flagscope.telemetry_p20400101 t
WHERE left(t.subject, 255) = left('ann', 255) AND t.subject = 'ann' AND t.ts >= '2040-01-01 13:00'
    AND t.ts < '2040-01-01 14:00';
RESET enable_seqscan;
-- Readers may.
CREATE ROLE reading_reader;
SELECT flagscope.grant_reader('reading_reader');
SET ROLE reading_reader;
SELECT count(*) FROM flagscope.telemetry_of('ann', '2040-01-01', '2040-01-02');
SELECT count(*) FROM flagscope.trace('00000000-0000-0000-0000-0000000000f1');
SELECT flagscope.record('[]');
RESET ROLE;
DROP OWNED BY reading_reader;
DROP ROLE reading_reader;
