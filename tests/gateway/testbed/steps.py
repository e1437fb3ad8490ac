"""The steps of flagd's own test bed (flagd-testbed 3.10.3, gherkin/), for OpenFeature's provider for flagd against the gateway.

Run by behave; RESOLVER is rpc or in-process, FLAGD_RPC and FLAGD_SYNC are host:port. The program LAUNCHPAD does what the test bed's own
does: "restart SECONDS" kills the gateway and starts it again at the same addresses, "modify" changes a flag.
"""
import json
import os
import subprocess
import time

from behave import given, step, then, when
from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import CacheType, ResolverType
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent
from openfeature.provider import ProviderStatus

RESOLVER = ResolverType(os.environ["RESOLVER"])
ADDRESS = os.environ["FLAGD_RPC" if RESOLVER == ResolverType.RPC else "FLAGD_SYNC"]
NOBODY = "127.0.0.1:1"  # a port where nobody listens
EVENTS = {
    "ready": ProviderEvent.PROVIDER_READY,
    "error": ProviderEvent.PROVIDER_ERROR,
    "stale": ProviderEvent.PROVIDER_STALE,
    "change": ProviderEvent.PROVIDER_CONFIGURATION_CHANGED,
}
READERS = {
    "Boolean": lambda text: text.lower() == "true",
    "String": str,
    "Integer": int,
    "Float": float,
    "Object": lambda text: json.loads(text.replace('\\"', '"')) if text else {},
    "StringList": lambda text: text.split(","),
    "CacheType": CacheType,
}
OPTIONS = {"cache": "cache", "deadlineMs": "deadline_ms", "fatalStatusCodes": "fatal_status_codes", "selector": "selector"}


@given('an option "{name}" of type "{kind}" with value "{value}"')
def an_option(context, name, kind, value):
    context.options[OPTIONS[name]] = READERS[kind](value)


@given("a {kind} flagd provider")
def a_provider(context, kind):
    host, port = (NOBODY if kind == "unavailable" else ADDRESS).split(":")
    options = {"deadline_ms": 5000, "retry_backoff_ms": 100, "retry_backoff_max_ms": 1000, "retry_grace_period": 2, **context.options}
    domain = f"testbed-{time.monotonic_ns()}"
    context.client = api.get_client(domain=domain)
    api.set_provider(FlagdProvider(host=host, port=int(port), resolver_type=RESOLVER, **options), domain=domain)
    if kind != "unavailable":
        wait_for(lambda: context.client.get_provider_status() == ProviderStatus.READY, 30, "the provider is not ready")


def wait_for(condition, seconds, problem):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, problem
        time.sleep(0.02)


@given("a {event} event handler")
def an_event_handler(context, event):
    fired = context.fired.setdefault(event, [])
    context.client.add_handler(EVENTS[event], lambda details: fired.append(details))


def executed(context, event, seconds):
    """The next event of its kind, which is then used up."""
    wait_for(lambda: context.fired[event], seconds, f"no {event} event within {seconds} s")
    context.event = context.fired[event].pop(0)


@step("a {event} event was fired")
def an_event_was_fired(context, event):
    executed(context, event, 30)


@then("the {event} event handler should have been executed")
def should_have_been_executed(context, event):
    executed(context, event, 30)


@then("the {event} event handler should have been executed within {milliseconds:d}ms")
def should_have_been_executed_within(context, event, milliseconds):
    executed(context, event, milliseconds / 1000 + 2)  # a machine where others work


@then("the {event} event handler should not have been executed")
def should_not_have_been_executed(context, event):
    assert not context.fired[event], context.fired[event]


@when("the connection is lost for {seconds:d}s")
def the_connection_is_lost(context, seconds):
    context.lost = subprocess.Popen([os.environ["LAUNCHPAD"], "restart", str(seconds)])


@when("the flag was modified")
def the_flag_was_modified(context):
    subprocess.run([os.environ["LAUNCHPAD"], "modify"], check=True)


@given('a {kind}-flag with key "{key}" and a default value "{default}"')
@given('a {kind}-flag with key "{key}" and a default value ""')
def a_flag(context, kind, key, default=""):
    context.flag = (kind, key, READERS[kind](default))


@given('a context containing a key "{key}", with type "{kind}" and with value "{value}"')
@given('a context containing a key "{key}", with type "{kind}" and with value ""')
def a_context_key(context, key, kind, value=""):
    context.attributes[key] = READERS[kind](value)


@given('a context containing a nested property with outer key "{outer}" and inner key "{inner}", with value "{value}"')
def a_nested_key(context, outer, inner, value):
    context.attributes.setdefault(outer, {})[inner] = value


@given('a context containing a targeting key with value "{value}"')
@given('a context containing a targeting key with value ""')
def a_targeting_key(context, value=""):
    context.targeting_key = value


@when("the flag was evaluated with details")
def the_flag_was_evaluated(context):
    kind, key, default = context.flag
    evaluate = getattr(context.client, f"get_{kind.lower()}_details")
    context.details = evaluate(key, default, EvaluationContext(context.targeting_key, context.attributes))


@then('the resolved details value should be "{value}"')
@then('the resolved details value should be ""')
def the_value(context, value=""):
    wanted = READERS[context.flag[0]](value)
    assert context.details.value == wanted, (context.details, wanted)


@then('the reason should be "{reason}"')
def the_reason(context, reason):
    assert str(context.details.reason) == reason, context.details


@then('the variant should be "{variant}"')
def the_variant(context, variant):
    assert context.details.variant == variant, context.details


@then('the error-code should be "{code}"')
@then('the error-code should be ""')
def the_error_code(context, code=""):
    got = context.details.error_code
    assert (got.name if got else "") == code, context.details


@then("the resolved metadata is empty")
def no_metadata(context):
    assert not context.details.flag_metadata, context.details.flag_metadata


@then("the resolved metadata should contain")
def the_metadata(context):
    for row in context.table:
        got = context.details.flag_metadata.get(row["key"])
        assert got == READERS[row["metadata_type"]](row["value"]), (row["key"], context.details.flag_metadata)


@then("the flag should be part of the event payload")
def part_of_the_payload(context):
    assert context.flag[1] in context.event.flags_changed, context.event
