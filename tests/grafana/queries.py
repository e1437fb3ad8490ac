#!/usr/bin/env python3
"""Every query of the dashboards and alert rules, with variables and macros expanded as Grafana does.

queries.py write INTERVAL FLAG METRIC > script.sql   a script for psql --csv, a line "@@ name" before each result
queries.py read < output                             complains about results that are not what the panel expects
"""
import csv, datetime, glob, io, json, os, re, sys

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples/grafana")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def dashboards():
    for path in sorted(glob.glob(os.path.join(HERE, "dashboards/*.json"))):
        with open(path, encoding="utf-8") as file:
            yield os.path.basename(path)[:-5], json.load(file)


def rules():
    with open(os.path.join(HERE, "provisioning/alerting/flagscope.json"), encoding="utf-8") as file:
        return [rule for group in json.load(file)["groups"] for rule in group["rules"]]


def queries():
    """Name, SQL, format, and the columns that the panel speaks of."""
    for name, board in dashboards():
        for variable in board["templating"]["list"]:
            yield f"{name}: variable {variable['name']}", variable["query"], "variable", []
        for annotation in board["annotations"]["list"]:
            yield f"{name}: annotation {annotation['name']}", annotation["target"]["rawSql"], "annotation", []
        for panel in board["panels"]:
            named = [o["matcher"]["options"] for o in panel["fieldConfig"]["overrides"] if o["matcher"]["id"] == "byName"]
            for target in panel["targets"]:
                yield f"{name}: panel {panel['title']}", target["rawSql"], target["format"], named
    for rule in rules():
        for query in rule["data"]:
            if query["datasourceUid"] != "__expr__":
                yield f"alert {rule['uid']}", query["model"]["rawSql"], "alert", []


def quoted(value):
    return "'" + value.replace("'", "''") + "'"


def expanded(sql, interval, variables):
    """As public/app/features/variables (sqlstring) and pkg/tsdb/grafana-postgresql-datasource/macros.go."""
    until = datetime.datetime.now(datetime.timezone.utc)
    since = until - datetime.timedelta(hours=1)
    stamp = lambda at: quoted(at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    sql = re.sub(r"\$\{(\w+):sqlstring\}", lambda m: ",".join(map(quoted, variables[m[1]])), sql)
    sql = sql.replace("$__interval", interval)
    width = str(int(interval[:-1]) * SECONDS[interval[-1]])
    sql = re.sub(r"\$__timeFilter\((\w+)\)", lambda m: f"{m[1]} BETWEEN {stamp(since)} AND {stamp(until)}", sql)
    sql = re.sub(r"\$__timeGroup\((\w+), *'?\w+'?\)", rf"floor(extract(epoch from \1)/{width})*{width}", sql)
    sql = sql.replace("$__timeFrom()", stamp(since)).replace("$__timeTo()", stamp(until))
    if "$" in sql:
        raise SystemExit(f"not expanded: {sql}")
    return sql


def write(interval, flag, metric):
    variables = {"environment": ["production"], "flag": [flag], "metric": [metric], "service": ["web", "(none)"]}
    for name, sql, _, _ in queries():
        print(f"\\echo @@ {name}\n{expanded(sql, interval, variables)};")


def problem(kind, named, rows, may_be_empty):
    if not rows:
        return "failed"
    head, body = rows[0], rows[1:]
    if kind in ("time_series", "annotation") and head[0] != "time":
        return f"its first column is {head[0]}, not time"
    if kind == "time_series" and body != sorted(body, key=lambda row: row[0]):
        return "its rows are not in the order of time"
    if kind == "annotation" and head != ["time", "text", "tags"]:
        return f"its columns are {head}"
    if kind == "alert" and head[-1] != "value":
        return "its last column is not the value"
    if kind == "variable" and len(head) != 1:
        return "it has more than one column"
    missing = [name for name in named if name not in head]
    if missing:
        return f"there is no column {', '.join(missing)}"
    return None if body or may_be_empty else "shows nothing"


def read(text):
    # What is well has no such rows.
    empty = {"alert flagscope-held", "alert flagscope-health", "alert flagscope-blind", "rollout: annotation Warnings"}
    parts = dict(re.findall(r"^@@ (.*)\n((?:(?!@@ ).*\n)*)", text, re.M))
    found = 0
    for name, _, kind, named in queries():
        what = problem(kind, named, list(csv.reader(io.StringIO(parts.get(name, "")))), name in empty)
        found += 1
        if what:
            print(f"{name}: {what}")
    print(f"# {found} queries", file=sys.stderr)


if __name__ == "__main__":
    write(*sys.argv[2:]) if sys.argv[1] == "write" else read(sys.stdin.read())
