#!/usr/bin/env python3
"""One table of simulated rollouts: flagscope beside two rivals that judge the same data.

rivals.py OUTCOME.csv LOOKED.csv: what flagscope did (name, must, flag, alpha, as_it_must, delay, harm_second) and what each look
brought of an arm (flag, second, treated, n, total, squares). Of rollouts that must stay the table counts those that did not, of
others those that were rolled back or held as they must. Rivals have the scenario's alpha; none of them holds anything:

- gbstats, GrowthBook's sequential test (SequentialTwoSidedTTest, its default tuning of 5,000), of the difference of means of all
  data so far, at every look; two-sided at twice alpha, of which harm has half. Left out where it is not installed.
- An oracle with a fixed horizon, which is told when harm begins and how large it is: one z-test at alpha, one-sided and
  stratified by ten seconds (of thin traffic by as much as brings five data points of the treatment), of the data since then, at
  the first time at which 80 % of the scenario's rollouts are found by it; of healthy rollouts at the end, as who has planned an
  experiment would.

rivals.py --check compares its arithmetic with values from elsewhere.
"""
import csv
import math
import sys
from statistics import NormalDist, median

try:
    from gbstats.frequentist.tests import SequentialConfig, SequentialTwoSidedTTest
    from gbstats.models.statistics import SampleMeanStatistic
except ImportError:
    SequentialTwoSidedTTest = None


def binomial_tail(k, n, p):
    """The chance of k or more of n."""
    if p <= 0 or p >= 1:
        return float(k == 0 or p >= 1)
    log = lambda i: math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * math.log(p) + (n - i) * math.log(1 - p)
    return sum(math.exp(log(i)) for i in range(k, n + 1))


def interval(k, n):
    """Clopper and Pearson's exact interval of 95 % for a share."""
    def solve(wanted, chance):
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if chance(middle) < wanted else (low, middle)
        return low
    lower = 0.0 if k == 0 else solve(0.025, lambda p: binomial_tail(k, n, p))
    upper = 1.0 if k == n else solve(0.975, lambda p: binomial_tail(k + 1, n, p))
    return lower, upper


def gbstats_stops(looks, alpha):
    """The second of the first look at which gbstats says worse; looks: (second, [n, total, squares] of treatment, of control)."""
    config = SequentialConfig(difference_type="absolute", alpha=2 * alpha)
    sums = [[0, 0.0, 0.0], [0, 0.0, 0.0]]
    for second, *arms in looks:
        for so_far, arm in zip(sums, arms):
            so_far[:] = [a + b for a, b in zip(so_far, arm)]
        (n_t, t, _), (n_c, c, _) = sums
        # It says nothing without a variance, and nothing of harm where the treatment is no worse.
        if min(n_t, n_c) < 2 or min(t, c) <= 0 or t / n_t <= c / n_c:
            continue
        treatment, control = (SampleMeanStatistic(n=n, sum=x, sum_squares=xx) for n, x, xx in sums)
        if SequentialTwoSidedTTest(control, treatment, config).confidence_interval[0] > 0:
            return second
    return None


class Stratified:
    """A z-test of the difference of means, stratified by looks."""

    def __init__(self):
        self.difference = self.variance = 0.0

    def add(self, treatment, control):
        (n_t, t, tt), (n_c, c, cc) = treatment, control
        if min(n_t, n_c) < 1 or n_t + n_c < 3:
            return
        n, weight = n_t + n_c, n_t * n_c / (n_t + n_c)
        spread = (tt + cc - (t + c) ** 2 / n) / (n - 1)
        self.difference += weight * (t / n_t - c / n_c)
        self.variance += weight * spread

    def z(self):
        return self.difference / math.sqrt(self.variance) if self.variance > 0 else 0.0


def blocks(looks, began):
    """The looks since harm began in strata: seconds since then at their ends, and what they bring of treatment and control."""
    looks = [look for look in looks if look[0] >= began]
    if not looks:
        return []
    span, treated = looks[-1][0] - began + 1, sum(look[1][0] for look in looks)
    width = max(10, math.ceil(5 * span / treated)) if treated else span
    sums = {}
    for second, *arms in looks:
        block = sums.setdefault((second - began) // width, [[0, 0.0, 0.0], [0, 0.0, 0.0]])
        for so_far, arm in zip(block, arms):
            so_far[:] = [a + b for a, b in zip(so_far, arm)]
    return [((nr + 1) * width, *block) for nr, block in sorted(sums.items())]


def oracle(rollouts, alpha):
    """How many are found, and how long after harm began; rollouts: (looks, second at which harm begins or None)."""
    line = NormalDist().inv_cdf(1 - alpha)
    harmful, found = any(began is not None for _, began in rollouts), []
    for looks, began in rollouts:
        test, at = Stratified(), {}
        for second, treatment, control in blocks(looks, began or 0):
            test.add(treatment, control)
            at[second] = test.z() > line
        found.append(at)
    last = lambda at, until: next((at[s] for s in sorted(at, reverse=True) if s <= until), False)
    horizons = sorted({s for at in found for s in at}) or [0]
    for horizon in horizons if harmful else horizons[-1:]:
        stopped = sum(last(at, horizon) for at in found)
        if not harmful or stopped >= 0.8 * len(found) or horizon == horizons[-1]:
            return stopped, horizon


def by_flag(rows):
    """Looks of each flag in order: second, treatment, control."""
    looks = {}
    for row in rows:
        arms = looks.setdefault(row["flag"], {}).setdefault(int(row["second"]), [[0, 0.0, 0.0], [0, 0.0, 0.0]])
        arms[0 if row["treated"] == "t" else 1] = [int(row["n"]), float(row["total"]), float(row["squares"])]
    return {flag: [(second, *arms) for second, arms in sorted(of.items())] for flag, of in looks.items()}


def share(k, n):
    lower, upper = interval(k, n)
    return f"{k} ({100 * lower:.1f} to {100 * upper:.1f} %)"


def seconds(delays):
    return f"{median(delays):,.0f}" if delays else ""


def line(name, outcomes, looks):
    """A row of the table: how many acted with the interval of that rate, and the median delay, of flagscope and of both rivals."""
    must, runs, alpha = outcomes[0]["must"], len(outcomes), float(outcomes[0]["alpha"])
    acted = [o for o in outcomes if (o["as_it_must"] == "t") != (must == "stay")]
    stops = len(acted)
    delays = [float(o["delay"]) for o in acted if o["delay"] and (o["harm_second"] or must == "hold")]
    cells = [name, must, str(runs), share(stops, runs), seconds(delays)]
    known = [o for o in outcomes if looks.get(o["flag"])]
    if must == "hold" or not known:
        return cells + ["", "", "", ""]
    if SequentialTwoSidedTTest is None:
        cells += ["not installed", ""]
    else:
        stopped = [(gbstats_stops(looks[o["flag"]], alpha), o["harm_second"]) for o in known]
        late = [s - int(began) for s, began in stopped if s is not None and began and s >= int(began)]
        cells += [share(sum(s is not None for s, _ in stopped), len(known)), seconds(late)]
    rollouts = [(looks[o["flag"]], int(o["harm_second"]) if o["harm_second"] else None) for o in known]
    found, horizon = oracle(rollouts, alpha)
    return cells + [share(found, len(known)), f"{horizon:,}" if must == "roll back" else ""]


def table(outcomes, looks):
    names = {}
    for row in outcomes:
        names.setdefault(row["name"], []).append(row)
    order = {"stay": 0, "roll back": 1, "hold": 2}
    head = ["scenario", "must", "runs", "flagscope: acted (95 %)", "median s", "gbstats: stopped (95 %)", "median s",
            "oracle: found (95 %)", "looks after s"]
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for name, rows in sorted(names.items(), key=lambda item: (order.get(item[1][0]["must"], 3), item[0])):
        yield "| " + " | ".join(line(name, rows, looks)) + " |"


def check():
    # scipy.stats.binomtest(k, n).proportion_ci(method='exact'), scipy 1.17.
    for k, n, lower, upper in ((0, 120, 0, 0.030272), (5, 100, 0.016432, 0.112835), (30, 30, 0.884297, 1)):
        assert all(abs(a - b) < 2e-6 for a, b in zip(interval(k, n), (lower, upper))), (k, n, interval(k, n))
    assert abs(NormalDist().inv_cdf(0.99) - 2.326347874) < 1e-9  # scipy.stats.norm.ppf(0.99)
    # One stratum is Pearson's chi-square with n - 1 for n: 30 of 100 against 20 of 100 (R: prop.test without correction, 2.666667).
    test = Stratified()
    test.add((100, 30, 30), (100, 20, 20))
    assert abs(test.z() ** 2 - 2.666667 * 199 / 200) < 1e-6, test.z()
    looks = [(s, [100, 40.0 if s >= 50 else 10.0, 40.0 if s >= 50 else 10.0], [100, 10.0, 10.0]) for s in range(100)]
    assert oracle([(looks, 50)], 0.01) == (1, 10) and oracle([(looks[:50], None)], 0.01) == (0, 50)
    # Arms that take turns are compared within ten seconds; a treatment point a minute within five minutes.
    turns = [(s, [100, 40.0, 40.0] if s % 2 else [0, 0.0, 0.0], [0, 0.0, 0.0] if s % 2 else [100, 10.0, 10.0]) for s in range(20)]
    assert oracle([(turns, 0)], 0.01) == (1, 10)
    assert [b[0] for b in blocks([(60 * i, [1, 0.0, 0.0], [9, 0.0, 0.0]) for i in range(20)], 0)][:2] == [286, 572]
    print("ok")


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        check()
    else:
        with open(sys.argv[1]) as outcome_file, open(sys.argv[2]) as looked_file:
            print("\n".join(table(list(csv.DictReader(outcome_file)), by_flag(csv.DictReader(looked_file)))))
