#!/usr/bin/env python3
"""Reads dashboards and alert rules into Grafana's own models (grafana-foundation-sdk) and writes them again: what the
models do not know would be lost. roundtrip.py FILE... prints every loss."""
import json, os, sys

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import alerting, dashboard

plugins.register_default_plugins()


def again(model, document):
    return json.loads(JSONEncoder(sort_keys=True).encode(model.from_json(document)))


def losses(was, now, path):
    if isinstance(was, dict) and isinstance(now, dict):
        for key, value in was.items():
            if value is not None and not is_query(path, key):
                yield from losses(value, now.get(key), f"{path}/{key}")
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for place, (one, other) in enumerate(zip(was, now)):
            yield from losses(one, other, f"{path}/{place}")
    elif was != now:
        yield f"{path}: {was} became {now}"


def is_query(path, key):
    """The target of an annotation is a query of its data source, of which the model knows the built-in one's alone."""
    return key == "target" and "/annotations/" in path


for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    name = os.path.basename(path)
    if "panels" in document:
        found = list(losses(document, again(dashboard.Dashboard, document), name))
    else:
        found = [loss for group in document["groups"] for rule in group["rules"]
                 for loss in losses(rule, again(alerting.Rule, rule), f"{name}/{rule['uid']}")]
    print("\n".join(found), end="\n" if found else "")
