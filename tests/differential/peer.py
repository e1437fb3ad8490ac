"""The other side of the differential test: random definitions and contexts, and flagd's own core in Python.

    peer.py definitions SEED BUCKETING   definitions as JSON, for setup.sql
    peer.py contexts SEED N              contexts as CSV: number, targeting key, JSON
    peer.py answers DOCUMENT CONTEXTS    what openfeature-flagd-core answers: flag, context's number, variant, reason

Nothing is asked where flagd's engines disagree among themselves: `missing` of an empty text (operators.py has the rest).
"""

import csv
import json
import logging
import random
import sys

FLAGS = 40
PLANS = ["free", "pro", "enterprise"]
EMAILS = ["ann@example.com", "bob@example.org", "eve@shop.test", "zoë@example.com", "", "@example.com"]
VERSIONS = ["1.0.0", "1.2.3", "v1.2.4", "2.0.0-rc.1", "2.0", "3", "10.1.0+build.7", "1.2.3.4", "newest", ""]
COUNTRIES = ["DE", "FR", "JP", "US", "österreich"]
SEGMENTS = {
    "staff": {"ends_with": [{"var": "email"}, "@example.com"]},
    "europe": {"in": [{"var": "country"}, ["DE", "FR"]]},
    "paying": {"!=": [{"var": ["plan", "free"]}, "free"]},
    "inner_circle": {"and": [{"$ref": "staff"}, {"or": [{"$ref": "europe"}, {"var": "beta"}]}]},
}


class Definitions:
    def __init__(self, seed, bucketing):
        self.random = random.Random(seed)
        self.bucketing = bucketing

    def pick(self, *makers):
        return self.random.choice(makers)()

    def condition(self, depth=0):
        r = self.random
        simple = [
            lambda: {r.choice(["==", "===", "!=", "!=="]): [{"var": "plan"}, r.choice(PLANS)]},
            lambda: {"in": [{"var": "country"}, r.sample(COUNTRIES, 2)]},
            lambda: {"in": [r.choice(["example", "@", "z"]), {"var": ["email", "nobody"]}]},
            lambda: {"starts_with": [{"var": "email"}, r.choice(["a", "bob", "zoë", ""])]},
            lambda: {"ends_with": [{"var": "email"}, r.choice([".com", "@example.org", "t"])]},
            lambda: {"sem_ver": [{"var": "version"}, r.choice(["=", "!=", "<", "<=", ">", ">=", "^", "~"]), r.choice(["1.2.3", "v2.0.0", "2", "1.2"])]},
            lambda: {r.choice(["<", "<=", ">", ">="]): [{"var": ["age", 0]}, r.randint(10, 70)]},
            lambda: {"<": [r.randint(10, 40), {"var": ["age", 0]}, r.randint(41, 90)]},
            lambda: {"==": [{"%": [{"var": ["age", 1]}, r.randint(2, 5)]}, r.randint(0, 2)]},
            lambda: {">": [{"+": [{"var": ["age", 0]}, {"var": ["score", 0]}]}, r.randint(10, 120)]},
            lambda: {"==": [{"var": "user.team"}, r.choice(["red", "blue"])]},
            lambda: {"some": [{"var": "tags"}, {"==": [{"var": ""}, r.choice(["x", "y"])]}]},
            lambda: {"all": [{"var": "tags"}, {"in": [{"var": ""}, ["x", "y"]]}]},
            lambda: {"!!": [{"var": "beta"}]},
            lambda: {"var": "beta"},
            lambda: {"missing": ["country"]},
            lambda: {"==": [{"cat": [{"var": ["plan", ""]}, "-", {"var": ["country", "DE"]}]}, "pro-DE"]},
            lambda: {"==": [{"var": "$flagd.flagKey"}, "flag-%d" % r.randrange(FLAGS)]},
            lambda: {"$ref": r.choice(list(SEGMENTS))},
        ]
        if depth > 1:
            return self.pick(*simple)
        return self.pick(
            *simple,
            lambda: {"!": [self.condition(depth + 1)]},
            *[lambda: {r.choice(["and", "or"]): [self.condition(depth + 1) for _ in range(r.randint(2, 3))]}] * 4,
        )

    def fractional(self, names):
        r = self.random
        names = r.sample(names, r.randint(1, len(names)))
        buckets = [[name, r.choice([0, 1, 10, 25, 50, 99])] for name in names]
        if r.random() < 0.2:
            buckets = [[name] for name in names]
        key = self.pick(
            *[lambda: []] * 3,
            lambda: [{"var": "email"}],
            lambda: [{"cat": [{"var": "$flagd.flagKey"}, {"var": ["email", "nobody"]}]}],
            lambda: [{"cat": ["seed", {"var": ["targetingKey", ""]}]}],
        )
        return {"fractional": key + buckets}

    def outcome(self, names, depth=0):
        r = self.random
        return self.pick(
            *[lambda: r.choice(names)] * 3,
            lambda: None,
            lambda: self.fractional(names),
            lambda: self.rule(names, depth + 1) if depth < 2 else r.choice(names),
            lambda: {"var": "plan"},
        )

    def rule(self, names, depth=0):
        branches = []
        for _ in range(self.random.randint(1, 3)):
            branches += [self.condition(), self.outcome(names, depth)]
        return {"if": branches + ([self.outcome(names, depth)] if self.random.random() < 0.7 else [])}

    def flag(self, number):
        r = self.random
        value_type, variants = self.pick(
            lambda: ("boolean", {"on": True, "off": False}),
            lambda: ("string", {"on": "new", "off": "old", "free": "F", "pro": "P", "enterprise": "E"}),
            lambda: ("integer", {"on": 1, "off": 0, "free": 2, "pro": 3, "enterprise": 4}),
            lambda: ("object", {"on": {"a": [1]}, "off": {}}),
        )
        names = list(variants)
        targeting = self.pick(
            *[lambda: self.rule(names)] * 4, lambda: self.fractional(names), lambda: None, lambda: {"if": [{"$ref": "inner_circle"}, "on"]}
        )
        needed = []
        if number and r.random() < 0.25:
            needed = [{"flag": "flag-%d" % n, "variant": r.choice(["on", "off"])} for n in r.sample(range(number), min(number, r.randint(1, 2)))]
        return {
            "key": "flag-%d" % number,
            "value_type": value_type,
            "variants": variants,
            "default_variant": None if r.random() < 0.15 else r.choice(names),
            "enabled": r.random() > 0.07,
            "targeting": targeting,
            "prerequisites": needed,
            "percent": r.choice([0.001, 0.5, 1, 12.345, 33.333, 50, 75, 99.999]) if r.random() < 0.5 else None,
            "bucketing": self.bucketing,
        }


def definitions(seed, bucketing):
    made = Definitions(seed, bucketing)
    print(json.dumps({"segments": SEGMENTS, "flags": [made.flag(n) for n in range(FLAGS)]}))


def contexts(seed, count):
    r = random.Random("contexts " + seed)
    out = csv.writer(sys.stdout)
    for number in range(int(count)):
        known = {
            "plan": r.choice(PLANS + ["gold"]),
            "email": r.choice(EMAILS),
            "country": r.choice(COUNTRIES),
            "version": r.choice(VERSIONS),
            "age": r.randint(0, 90),
            "score": r.choice([0.5, 12.25, 99, -3]),
            "beta": r.random() < 0.5,
            "user": {"team": r.choice(["red", "blue", "green"])},
            "tags": r.sample(["x", "y", "z"], r.randint(0, 3)),
        }
        context = {name: value for name, value in known.items() if r.random() < 0.85}
        key = r.choice(["user-%d", "Benutzer-ß-%d", "%032x"]) % r.getrandbits(60)
        out.writerow([number, "" if r.random() < 0.03 else key, json.dumps(context)])


def answers(document, contexts):
    from openfeature.contrib.tools.flagd.core import FlagdCore
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.exception import OpenFeatureError

    logging.disable(logging.CRITICAL)
    core = FlagdCore()
    with open(document) as file:
        text = file.read()
    core.set_flags(text)
    flags = json.loads(text)["flags"]
    resolve = {key: resolver(core, next(iter(flag["variants"].values()))) for key, flag in flags.items()}
    out = csv.writer(sys.stdout)
    with open(contexts) as file:
        for number, targeting_key, attributes in csv.reader(file):
            context = EvaluationContext(targeting_key or None, json.loads(attributes))
            for key in flags:
                try:
                    details = resolve[key](key, None, context)
                    out.writerow([key, number, details.variant or "", details.reason])
                except OpenFeatureError:
                    out.writerow([key, number, "", "ERROR"])


def resolver(core, value):
    """The function that asks for the type of a flag's values."""
    if isinstance(value, bool):
        return core.resolve_boolean_value
    if isinstance(value, str):
        return core.resolve_string_value
    if isinstance(value, int):
        return core.resolve_integer_value
    return core.resolve_object_value


if __name__ == "__main__":
    {"definitions": definitions, "contexts": contexts, "answers": answers}[sys.argv[1]](*sys.argv[2:])
