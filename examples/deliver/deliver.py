#!/usr/bin/env python3
"""Delivers flagscope's notifications to a webhook and to Alertmanager. See README.md beside."""

import argparse
import http.client
import json
import sys
import urllib.request
from datetime import datetime, timezone

import psycopg

TAKE = """SELECT id, kind, payload, attempts FROM flagscope.outbox WHERE delivered_at IS NULL AND next_try_at <= clock_timestamp()
    ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"""
DONE = "UPDATE flagscope.outbox SET delivered_at = clock_timestamp(), attempts = attempts + 1 WHERE id = %s"
AGAIN = """UPDATE flagscope.outbox SET attempts = attempts + 1,
    next_try_at = clock_timestamp() + least(2 ^ least(attempts, 20), 300) * interval '1 second' WHERE id = %s"""
SEVERITY = {"rollback": "critical", "disable": "critical"}
FOR_EVER = "2100-01-01T00:00:00Z"  # Alertmanager would resolve an alert without an end after five minutes
ALERTING = {"warn", "hold", "pause", "step_back", "rollback", "disable"}


def post(url, body, key):
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()


def alert(decision):
    rule = decision.get("rule") or {}
    return {
        "labels": {
            "alertname": "FlagscopeDecision",
            "severity": SEVERITY.get(decision["action"], "warning"),
            "flag": decision["flag"],
            "environment": decision["environment"],
            "action": decision["action"],
            "guardrail": rule.get("name", ""),
            "rollout": str(decision["rollout_id"]),
        },
        "annotations": {
            "summary": f'{decision["action"]} of flag {decision["flag"]}: {decision["reason"]}',
            "explain": f'SELECT flagscope.explain_decision({decision["id"]})',
        },
        "startsAt": decision["recorded_at"],
    }


def health_alert(news):
    """News about the judgement itself: an alert that lasts until it is told to be over."""
    over = news["state"] == "ok"
    return {
        "labels": {
            "alertname": "FlagscopeHealth",
            "severity": "critical",
            "database": news["database"],
            "name": news["name"],
        },
        "annotations": {"summary": f'{news["name"]}: {news["reason"]}', "explain": "SELECT * FROM flagscope.status()"},
        "startsAt": news["since"],
        "endsAt": datetime.now(timezone.utc).isoformat() if over else FOR_EVER,
    }


def alert_of(kind, payload):
    """What Alertmanager is told; None: nothing."""
    if kind == "health":
        return health_alert(payload)
    if kind == "correlation":
        return None  # why: for people, not another alert
    own = payload["actor"] == "flagscope" and not payload["shadow"]
    return alert(payload) if own and payload["action"] in ALERTING else None


def words(kind, payload):
    if kind == "health":
        return f'{payload["name"]} is {payload["state"]}'
    if kind == "correlation":
        return f'why {payload["flag"]}: {payload["finding"]}'
    return f'{payload["action"]} of {payload["flag"]}'


def deliver(options, row_id, kind, payload):
    if options.webhook:
        post(options.webhook, payload, f"flagscope-{row_id}")
    told = alert_of(kind, payload)
    if options.alertmanager and told:
        post(f"{options.alertmanager}/api/v2/alerts", [told], f"flagscope-{row_id}")


def deliver_one(connection, options):
    """Delivers the first row that is due and free; False when there is none."""
    with connection.transaction():
        row = connection.execute(TAKE).fetchone()
        if row is None:
            return False
        row_id, kind, payload, attempts = row
        try:
            deliver(options, row_id, kind, payload)
        # OSError: the network and urllib; the others: an answer that is no HTTP, an URL that is none. A row must never end us.
        except (OSError, http.client.HTTPException, ValueError) as problem:
            print(f"row {row_id}, attempt {attempts + 1}: {problem}", file=sys.stderr, flush=True)
            connection.execute(AGAIN, [row_id])
        else:
            connection.execute(DONE, [row_id])
            print(f"delivered {row_id}: {words(kind, payload)}", flush=True)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--webhook", help="URL that gets each decision as JSON")
    parser.add_argument("--alertmanager", help="base URL of an Alertmanager (API v2)")
    parser.add_argument("--once", action="store_true", help="deliver what is due, then end")
    options = parser.parse_args()
    with psycopg.connect(autocommit=True) as connection:
        connection.execute("LISTEN flagscope_outbox")
        while True:
            while deliver_one(connection, options):
                pass
            if options.once:
                break
            for _ in connection.notifies(timeout=10, stop_after=1):
                pass


if __name__ == "__main__":
    main()
