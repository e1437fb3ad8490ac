"""Evaluations by openfeature-flagd-core in its own process: flagd_core.py DOCUMENT prints flag, ns each, how many "on".

Contexts are made before the clock starts, which the SQL side cannot do.
"""

import sys
import time

from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext

USERS = 100_000

core = FlagdCore()
with open(sys.argv[1]) as file:
    core.set_flags(file.read())


def measure(name, keys, contexts):
    started = time.perf_counter()
    on = sum(core.resolve_boolean_value(key, False, context).variant == "on" for context in contexts for key in keys)
    print("%s,%d,%d" % (name, (time.perf_counter() - started) / len(contexts) * 1e9, on))


plain = [EvaluationContext("user-%d" % i) for i in range(USERS)]
full = [EvaluationContext("user-%d" % i, {"email": "user-%d@example.com" % i, "age": i % 90, "country": "de"}) for i in range(USERS)]
measure("plain", ["plain"], plain)
measure("new-checkout", ["new-checkout"], plain)
measure("targeted", ["targeted"], full)
measure("hundred", ["many-%d" % i for i in range(100)], full[: USERS // 50])
