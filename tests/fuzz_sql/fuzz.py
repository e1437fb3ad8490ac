"""Calls every function that a role may execute, and writes every table that it may write, with values.py's values.

Usage: fuzz.py ROLE DATABASE SEED SECONDS. What may be called stands in the catalog, so new functions are called, too. Each
call is one transaction that is rolled back. It fails when the connection is lost, an internal error comes back (XX...), an
error repeats what it was given at length or shows a Rust backtrace, the backend needs more than 1 GB, or statement_timeout
does not end it.
"""
import os
import random
import re
import sys
import time
from collections import Counter, namedtuple

from values import Values
from wire import Connection, Lost

MOST_MEMORY = 1 << 20  # of a backend, in kB
LONGEST_ERROR = 10_000  # characters of all its fields together
TIMEOUT = 5  # seconds that a statement may take
PATIENCE = 90  # seconds until one that should have ended long ago counts as one that cannot be ended
BACKTRACE = re.compile(r"rust_begin_unwind|core::panicking|std::panicking|pgrx_pg_sys::|\bpanicked at\b")
OURS = "('flagscope'::regnamespace, '_flagscope'::regnamespace)"

SKETCHES = {"moments": "flagscope.moments(i)", "histogram": "flagscope.histogram(i - 20.5)", "tdigest": "flagscope.tdigest(i)", "ratio": "flagscope.ratio(i, 2)"}
Kind = namedtuple("Kind", "name sql category kind element labels columns is_table")
TYPES = """SELECT t.oid, t.typname, t.oid::regtype, t.typcategory, t.typtype, t.typelem,
    (SELECT string_agg(e.enumlabel, chr(10) ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
    (SELECT string_agg(a.atttypid::text, ' ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped),
    (SELECT c.relkind IN ('r', 'p', 'v') FROM pg_class c WHERE c.oid = t.typrelid) FROM pg_type t"""
FUNCTIONS = f"""SELECT p.oid::regprocedure, format('%s.%I', p.pronamespace::regnamespace, p.proname), p.prokind, p.proargtypes FROM pg_proc p
    WHERE p.pronamespace IN {OURS} AND has_function_privilege(p.oid, 'EXECUTE')
        AND p.prorettype <> ALL ('{{internal,trigger,event_trigger}}'::regtype[]) AND 'internal'::regtype <> ALL (p.proargtypes) ORDER BY 1"""
TABLES = f"""SELECT c.oid::regclass, a.attname, a.atttypid, has_column_privilege(c.oid, a.attnum, 'INSERT'), has_column_privilege(c.oid, a.attnum, 'UPDATE')
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity <> 'a'
    WHERE c.relnamespace IN {OURS} AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1, a.attnum"""


class Fuzzer:
    """One role's session, and what went wrong in it."""

    def __init__(self, role, database, seed):
        self.role, self.database = role, database
        self.random = random.Random(f"{seed} {role}")
        self.connection = None
        self.states, self.failures, self.calls, self.called = Counter(), {}, 0, set()
        self.connect()
        rows = self.ask(TYPES)
        types = {int(r[0]): Kind(r[1], r[2], r[3], r[4], int(r[5]), (r[6] or "").split("\n") if r[6] else [],
                                 [int(c) for c in (r[7] or "").split()], r[8] == "t") for r in rows}
        names = "dumped theme production staging on off x".split() + ["pay errors", "pay duration", "queue depth", "beta", "1"]
        # By the owner: a writer may not make any, but send them.
        owner = Connection(os.environ["PGUSER"], database, PATIENCE)
        sketches = {name: [r[0] for r in owner.query(f"SELECT {calls}::text FROM generate_series(1, 3) n, generate_series(1, 40 * n * n) i GROUP BY n").rows]
                    for name, calls in SKETCHES.items()}
        owner.close()
        self.values = Values(self.random, types, names, sketches)
        self.functions = [(r[0], r[1], r[2], [int(t) for t in r[3].split()]) for r in self.ask(FUNCTIONS)]
        self.columns = [(r[0], r[1], int(r[2]), r[3] == "t", r[4] == "t") for r in self.ask(TABLES)]

    def connect(self):
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.connection = Connection(self.role, self.database, PATIENCE)
                self.connection.query(f"SET statement_timeout = '{TIMEOUT}s'; SET client_min_messages = error")
                return
            except Lost:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)  # a server that restarts after a crash

    def ask(self, question):
        return self.connection.query(question).rows

    def call(self, function, wild_at):
        """A call whose argument of that number is wild, or all of them, or none."""
        _, name, kind, types = function
        arguments = ", ".join(self.values.of(t, wild_at in (n, "all")) for n, t in enumerate(types))
        if kind == "w":
            return f"SELECT {name}({arguments}) OVER ()"
        if kind == "p":
            return f"CALL {name}({arguments})"
        return f"SELECT {name}({arguments}) FROM generate_series(1, 3)" if kind == "a" else f"SELECT * FROM {name}({arguments})"

    def write(self):
        """An INSERT or UPDATE of some columns that the role may write; None for a role that may write none."""
        verb = self.random.choice((3, 4))
        may = [c for c in self.columns if c[verb]]
        if not may:
            return None
        table = self.random.choice(may)[0]
        columns = [c for c in may if c[0] == table]
        columns = self.random.sample(columns, self.random.randint(1, len(columns)) if verb == 3 else 1)
        wild = lambda c: self.values.of(c[2], self.random.random() < 0.4)
        if verb == 4:
            return f'UPDATE {table} SET "{columns[0][1]}" = {wild(columns[0])}'
        return f"INSERT INTO {table} ({', '.join(chr(34) + c[1] + chr(34) for c in columns)}) VALUES ({', '.join(map(wild, columns))})"

    def statements(self):
        """First every function with each argument wild in turn, then whatever chance brings."""
        for function in self.functions:
            for wild_at in ["none", "all", *range(len(function[3]))]:
                yield function[0], self.call(function, wild_at)
        while True:
            written = self.write() if self.random.random() < 0.2 else None
            if written:
                yield written.split(" ", 3)[2], written
            else:
                function = self.random.choice(self.functions)
                yield function[0], self.call(function, self.random.choice(["all", *range(len(function[3]))]))

    def run(self, until):
        for about, statement in self.statements():
            if time.monotonic() > until and self.called >= {f[0] for f in self.functions}:
                return
            self.calls += 1
            self.called.add(about)
            try:
                self.connection.query("BEGIN")
                answer = self.connection.query(statement)
                if not answer.error:
                    answer = self.connection.query("SET CONSTRAINTS ALL IMMEDIATE")
                self.connection.query("ROLLBACK")
                self.judge(about, statement, answer)
            except Lost as problem:
                self.fail(about, "connection lost", str(problem), statement)
                self.connect()

    def judge(self, about, statement, answer):
        self.states[answer.sqlstate] += 1
        if answer.error:
            # The key of a row that breaks a constraint is PostgreSQL's to tell.
            hidden = "FLRD" if answer.sqlstate.startswith("23") else "FLR"
            told = "\n".join(value for field, value in answer.error.items() if field not in hidden)
            private = about.startswith("_flagscope.")
            # XX001 says that what is stored is damaged; a private function takes what it is given for stored.
            if answer.sqlstate.startswith("XX") and not (answer.sqlstate == "XX001" and private):
                self.fail(about, answer.sqlstate, answer.message, statement)
            # An element of a JSON document that is no number: PostgreSQL says so in its own words.
            if len(told) > LONGEST_ERROR and not (answer.sqlstate == "22P02" and private):
                self.fail(about, f"error of {len(told)} characters", answer.message, statement)
            if BACKTRACE.search(told):
                self.fail(about, "Rust backtrace", told, statement)
        if self.memory() > MOST_MEMORY:
            self.fail(about, "more than 1 GB", f"{self.memory()} kB", statement)
            self.connection.close()
            self.connect()

    def memory(self):
        with open(f"/proc/{self.connection.pid}/status", encoding="ascii") as status:
            return next((int(line.split()[1]) for line in status if line.startswith("VmHWM")), 0)

    def fail(self, about, kind, message, statement):
        self.failures.setdefault((about, kind, message[:60]), (message[:300], statement[:2000]))


def main():
    role, database, seed, seconds = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
    fuzzer = Fuzzer(role, database, seed)
    fuzzer.run(time.monotonic() + seconds)
    states = ", ".join(f"{state} {n}" for state, n in fuzzer.states.most_common(12))
    print(f"# {role}, seed {seed}: {fuzzer.calls} calls of {len(fuzzer.functions)} functions: {states}")
    for (about, kind, _), (message, statement) in fuzzer.failures.items():
        print(f"#   {about}: {kind}: {message}\n#     {statement}".replace("\n", "\n#     "))
    good = fuzzer.calls >= len(fuzzer.functions) > 0 and not fuzzer.failures
    print(f"{'ok' if good else 'not ok'} - {role}, seed {seed}: no call fails internally, ends its backend, or outgrows it")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
