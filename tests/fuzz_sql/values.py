"""Values that somebody may send: for each SQL type those that break things, as SQL text."""
import re

HUGE = "repeat('x', 10000000)"
DEEP = ["(repeat('[', {0}) || repeat(']', {0}))::jsonb".format(n) for n in (126, 127, 128, 129, 1000, 6000)]

NUMBERS = ["0", "1", "-1", "2", "100", "7"]
FLOATS = ["'NaN'", "'Infinity'", "'-Infinity'", "'-0'", "1e308", "-1e308", "5e-324", "0.5", "1e-300", "1e9", "0.05"]
TIMES = ["now()", "'infinity'", "'-infinity'", "'4713-01-01 BC'", "'294276-12-31 23:59:59'", "'1970-01-01'", "'2000-01-01'",
         "(now() - interval '1 hour')", "(now() + interval '10 years')"]
INTERVALS = ["'0'", "'-1 day'", "'1 microsecond'", "'178000000 years'", "'-178000000 years'", "'1 hour'",
             "'100000000 days'", "'1 month -30 days'"]
TEXTS = ["''", "' '", "'x'", HUGE, "'%s %n'", "E'a\\nb\"c\\'\\\\'", "chr(1114111)", "repeat('\u00e9', 70000)", "'-1'", "'NaN'", "'{}'",
         "repeat('[', 100000)", "'{\"resourceSpans\":[{}]}'", "'SELECT 1 AS subject, 1 AS value'", "'SELECT repeat(''x'', 10000000) AS subject, 1 AS value'",
         "'increase'", "'holm'", "'proportion'", "'control'"]
JSON = ["'null'", "'{}'", "'[]'", "'\"\"'", "'0'", "'true'", "'1e400'", "'-1e-400'", "('1' || repeat('0', 100000))::jsonb",
        "to_jsonb(" + HUGE + ")", "jsonb_build_object('a', " + HUGE + ")",
        "(SELECT jsonb_agg(i) FROM generate_series(1, 100000) i)",
        "(SELECT jsonb_object_agg('k' || i, i) FROM generate_series(1, 50000) i)",
        "(repeat('{\"a\":', 200) || '1' || repeat('}', 200))::jsonb",
        "(repeat('{\"!\":[', 60) || 'true' || repeat(']}', 60))::jsonb",
        "'{\"if\": [{\"$ref\": \"beta\"}, \"on\", null]}'", "'{\"fractional\": [{\"var\": \"x\"}, [\"on\", 1e308], [\"off\", -1]]}'",
        "'{\"var\": null}'", "'{\"cat\": [1, [2, {\"var\": \"\"}]]}'", "'{\"substr\": [\"x\", 1e308, -1e308]}'",
        "'{\"sem_ver\": [\"1\", \"^\", \"99999999999999999999.0.0\"]}'", "'{\"on\": true, \"off\": false}'",
        "'{\"flags\": {\"f\": {\"state\": \"ENABLED\", \"variants\": {\"a\": 9007199254740993}, \"defaultVariant\": \"a\"}}}'",
        "'{\"targetingKey\": \"u1\", \"plan\": \"beta\"}'", "'{\"context\": {\"targetingKey\": 7}}'",
        "'{\"name\": [\"a\", null, {}]}'", "'{\"is_error\": true}'", "'[{\"flag\": \"dumped\", \"variant\": \"on\"}]'",
        "'{\"type\": \"object\", \"pattern\": \"(((((\"}'", "'[{\"signal\": \"span\", \"name\": \"x\", \"ts\": \"infinity\"}]'",
        "'{\"count\": 18446744073709551615, \"scale\": -10, \"positive\": {\"offset\": -2147483648, \"bucketCounts\": [2, \"9223372036854775807\"]}}'",
        "'{\"count\": \"10\", \"sum\": \"NaN\", \"bucketCounts\": [\"10\", \"0\"], \"explicitBounds\": [1]}'"] + DEEP
WHOLE = {"int2": (-32768, 32767), "int4": (-2147483648, 2147483647), "int8": (-9223372036854775808, 9223372036854775807)}
EXTREMES = ["0", "-1", "1e308", "-1e308", "5e-324", "18446744073709551615", "9223372036854775807", "1e-9", "2147483647", "NaN", "null", "0.5"]
SKETCHES = ("moments", "histogram", "tdigest")
RANGES = ["'empty'", "'(,)'", "'[-infinity,infinity]'", "'[2020-01-01,2020-01-02)'", "'[now,)'"]


class Values:
    """Draws values of the types of a database."""

    def __init__(self, random, types, names, sketches):
        self.random = random
        self.sketches = sketches  # text forms by type
        self.types = types  # by OID: name, schema-qualified name, category, kind, element, labels, columns
        self.names = names  # what things of the database are called

    def of(self, oid, wild):
        """A value of a type as SQL text: a harmless one, or whatever may be."""
        kind = self.types[oid]
        if wild and self.random.random() < 0.15:
            return f"NULL::{kind.sql}"
        value = self._bare(kind, wild)
        return value if "::" in value or value.startswith("(SELECT") else f"{value}::{kind.sql}"

    def _bare(self, kind, wild):
        pick = self.random.choice
        if kind.category == "A":
            return self._array(kind, wild)
        if kind.labels:
            return "'" + pick(kind.labels) + "'"
        if kind.name in SKETCHES or kind.name == "ratio":
            return self._sketch(kind.name, wild)
        if kind.kind == "c":
            return self._row(kind, wild)
        if kind.name in WHOLE:
            return f"'{pick(WHOLE[kind.name])}'" if wild and self.random.random() < 0.4 else pick(NUMBERS)
        if kind.name in ("float8", "float4", "numeric"):
            fits = [x for x in FLOATS if kind.name != "float4" or "e308" not in x and "e-3" not in x]
            return f"{pick(fits)}" if wild else "0.1"
        if kind.name in ("json", "jsonb"):
            own = ["'\"" + pick(self.names) + "\"'"] + JSON
            return "(" + pick(own).replace("::jsonb", "") + f")::{kind.name}" if wild else "'{\"a\": 1}'"
        return self._other(kind, wild)

    def _other(self, kind, wild):
        pick = self.random.choice
        by_name = {
            "timestamptz": TIMES, "timestamp": TIMES, "interval": INTERVALS, "bool": ["true", "false"],
            "uuid": ["gen_random_uuid()", "'00000000-0000-0000-0000-000000000000'"], "tstzrange": RANGES,
            "bytea": ["''", "'\\x00ff'", "convert_to(" + HUGE + ", 'UTF8')"], "time": ["'00:00'", "'24:00'", "'12:30'"],
            "date": ["'infinity'", "'2026-01-01'", "'5874897-12-31'"], "oid": ["0", "4294967295", "1259"],
            "regrole": ["0", "'fuzz_target'"], "regclass": ["0", "'flagscope.flag_definition'", "'pg_class'"], "char": ["'v'", "''"],
            "tid": ["'(0,1)'", "'(4294967295,65535)'"], "pg_snapshot": ["pg_current_snapshot()"], "xid8": ["'0'", "'18446744073709551615'"],
        }
        if kind.name in by_name:
            return pick(by_name[kind.name]) if wild else by_name[kind.name][0]
        if kind.name == "cstring" and wild:
            return "'" + self._changed(pick(pick(list(self.sketches.values())))) + "'"
        if kind.category == "S" or kind.name in ("cstring", "name"):
            if wild and self.random.random() < 0.5:
                value = pick(TEXTS)
                return value if kind.name == "text" else "'x'"
            return "'" + pick(self.names) + "'"
        return "NULL"

    def _array(self, kind, wild):
        draw = self.random.random() if wild else 0.9
        one = lambda: self.of(kind.element, wild)
        if draw < 0.1:
            return "'{}'"
        if draw < 0.2:
            return "'{NULL}'"
        if draw < 0.3:
            return f"ARRAY[ARRAY[{one()}, {one()}], ARRAY[{one()}, {one()}]]::{kind.sql}"
        if draw < 0.4:  # its first element is not the first
            return f"array_fill({one()}, '{{3}}', '{{-5}}')::{kind.sql}"
        if draw < 0.5:
            return f"array_fill({one()}, '{{{self.random.choice((1000, 100000))}}}')::{kind.sql}"
        return "ARRAY[" + ", ".join(one() for _ in range(self.random.choice((1, 2, 2, 8)))) + f"]::{kind.sql}"

    def _sketch(self, name, wild):
        if wild and self.random.random() < 0.5:
            return "'" + self._changed(self.random.choice(self.sketches[name])) + f"'::flagscope.{name}"
        x = self.random.choice(FLOATS if wild else ["1.5"])
        count = self.random.choice((0, 1, 2, 1000)) if wild else 3
        values = f"{x}::float8, {x}::float8" if name == "ratio" else f"(CASE WHEN i % 2 = 0 THEN i ELSE {x}::float8 END)"
        return f"(SELECT flagscope.{name}({values}) FROM generate_series(1, {count}) i)"

    def _changed(self, text):
        """The text form of a sketch with some of its numbers replaced."""
        number = lambda found: self.random.choice(EXTREMES) if self.random.random() < 0.3 else found.group()
        return re.sub(r"-?\d+(\.\d+)?(e[-+]?\d+)?", number, text)

    def _row(self, kind, wild):
        draw = self.random.random() if wild else 0
        if draw < 0.5 and kind.is_table:
            return f"(SELECT x FROM {kind.sql} x LIMIT 1)"
        return "ROW(" + ", ".join(self.of(c, wild) for c in kind.columns) + f")::{kind.sql}"
