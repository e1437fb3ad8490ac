"""Operators on values of every type: cases, and what flagd's core in Python makes of them (in JavaScript: peer.cjs).

    operators.py cases SEED N    cases as JSON lines: every operator on every pair of VALUES, and N random nested rules
    operators.py answers         answers to the cases on stdin: {"ok": what the rule gives} or {"error": ...}

A nested case names its parts: it is asked only where the cores agree on each of them. Left out are three things that no
client of both cores can rely on: underscores in numbers, which only Python reads, computed names in `missing` that are no
texts, and a lone value that `*`, `max` or `min` would have to take for a list.
"""

import itertools
import json
import logging
import math
import random
import sys

MISSING = object()
VALUES = [
    MISSING, None, "", " ", "0", "1", "-1", " 20", "20", "1.5", "1e3", "0x10", "+5", ".5", "Infinity", "inf", "nan", "abc", "a", "true", "null", "ö",
    True, False, 0, 1, -1, 20, 42, 1.5, 9007199254740991, 1e21, 1e-7, [], [1], ["a"], ["1"], [1, 2], [""], [None], {}, {"a": 1},
]  # fmt: skip
COMPARISONS = ["==", "!=", "===", "!==", "<", "<=", ">", ">="]
PAIRS = [*COMPARISONS, "in", "cat", "min", "max", "+", "-", "*", "/", "%", "and", "or", "starts_with", "ends_with"]
LONE = ["!", "!!", "+", "-", "cat", "and", "or"]
A, B = {"var": "a"}, {"var": "b"}


class Cases:
    def __init__(self):
        self.count = 0

    def emit(self, rule, values, parts=()):
        context = {name: value for name, value in values.items() if value is not MISSING}
        print(json.dumps({"number": self.count, "rule": rule, "context": context, "parts": list(parts)}))
        self.count += 1
        return self.count - 1

    def every(self):
        for op, (x, y) in itertools.product(PAIRS, itertools.product(VALUES, VALUES)):
            self.emit({op: [A, B]}, {"a": x, "b": y})
        for x in VALUES:
            for rule in self.of_one():
                self.emit(rule, {"a": x, "b": 1, "targetingKey": "ann"})
            if not isinstance(x, dict) and x is not MISSING:
                for op in PAIRS:  # a literal may be folded when the rule is compiled
                    self.emit({op: [x, B]}, {"b": "1"})
            for y in VALUES:
                self.emit({"var": ["a", B]}, {"a": x, "b": y})
                self.emit({"substr": ["hello", A, B]}, {"a": x, "b": y})
                self.emit({"sem_ver": [A, "<", B]}, {"a": x, "b": y})
            for op, y, z in itertools.product(["<", ">=", "+", "max"], ["1", 20, None], [None, 3, "5", "abc"]):
                self.emit({op: [A, y, z]}, {"a": x})

    def of_one(self):
        yield from ({op: args} for op in LONE for args in ([A], A))
        yield from ({op: [A]} for op in ["*", "min", "max"])
        yield from ({op: [A, "t", "f"]} for op in ["if", "?:"])
        yield from ({"var": path} for path in [["a", "d"], ["a.a", "d"], "a.0", "a.1", ["a.length", "d"], ["a.b.c", 7]])
        yield from ({"substr": args} for args in [[A, 1], [A, -1, 1], [A, 0, -1]])
        yield from ({"missing": names} for names in [["a"], ["a", "b"], "a", ["a.a"], ["a.b"]])
        yield {"missing_some": [1, ["a", "b"]]}
        yield from ({loop: [A, {"==": [{"var": ""}, 1]}]} for loop in ["some", "all", "none", "filter", "map"])
        yield {"reduce": [A, {"+": [{"var": "current"}, {"var": "accumulator"}]}, 0]}
        yield {"merge": [A, [1]]}
        yield from ({"in": [A, heap]} for heap in [["a", "1", 1, None, ""], "abc1 20true null"])
        yield from ({"in": [needle, A]} for needle in ["1", 1])

    def nested(self, seed, count):
        r = random.Random("operators " + seed)
        for _ in range(count):
            values = {name: r.choice(VALUES) for name in "abcd"}
            self.part(r, self.rule(r, 0), values)

    def rule(self, r, depth):
        leaf = depth > 2 or r.random() < 0.25
        if leaf:
            plain = [value for value in VALUES if value is not MISSING and not isinstance(value, (list, dict))]
            return {"var": r.choice("abcd")} if r.random() < 0.7 else r.choice(plain)
        op = r.choice([*PAIRS, "if", "!", "var"])
        if op == "var":
            return {"var": [r.choice("abcd"), self.rule(r, depth + 1)]}
        return {op: [self.rule(r, depth + 1) for _ in range({"if": 3, "!": 1}.get(op, 2))]}

    def part(self, r, rule, values):
        """Emits what a rule is made of, then the rule; returns the numbers of all."""
        if not isinstance(rule, dict):
            return []
        below = [number for arg in next(iter(rule.values())) for number in self.part(r, arg, values)]
        return [*below, self.emit(rule, values, below)]


def cases(seed, count):
    made = Cases()
    made.every()
    made.nested(seed, int(count))


def is_json(value):
    if isinstance(value, list):
        return all(map(is_json, value))
    return not isinstance(value, float) or math.isfinite(value)


def answers():
    from openfeature.contrib.tools.flagd.core.targeting import targeting
    from openfeature.evaluation_context import EvaluationContext

    logging.disable(logging.CRITICAL)
    for line in sys.stdin:
        case = json.loads(line)
        attributes = dict(case["context"])
        key = attributes.pop("targetingKey", None)
        try:
            result = targeting("flag", case["rule"], EvaluationContext(key, attributes))
            print(json.dumps({"ok": result} if is_json(result) else {"error": "no JSON"}))
        except Exception as error:
            print(json.dumps({"error": type(error).__name__}))


if __name__ == "__main__":
    {"cases": cases, "answers": answers}[sys.argv[1]](*sys.argv[2:])
