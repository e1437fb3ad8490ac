"""Shows a boolean flag for a user, at the start and whenever the flags change: client.py FLAG USER [ATTRIBUTE=VALUE...]

Connects as libpq does (PGHOST, PGUSER, PGDATABASE ...). Ends with its standard input.
"""

import sys

from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent

from flagscope_provider import FlagscopeProvider

flag, user, *attributes = sys.argv[1:]
context = EvaluationContext(user, dict(attribute.split("=", 1) for attribute in attributes))
client = api.get_client()


def show(event):
    details = client.get_boolean_details(flag, False, context)
    print(f"{flag} is {details.value} for {user}: {details.variant}, {details.reason}", flush=True)


def stale(event):
    print(f"stale: {event.message.splitlines()[0]}", flush=True)


api.set_provider_and_wait(FlagscopeProvider())
show(None)
client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, show)
client.add_handler(ProviderEvent.PROVIDER_STALE, stale)
sys.stdin.read()
api.shutdown()
