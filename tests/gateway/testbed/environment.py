"""A scenario begins with nothing, and ends when the gateway is back and its provider is gone."""
from openfeature import api


def before_scenario(context, scenario):
    context.options, context.fired, context.attributes = {}, {}, {}
    context.targeting_key = context.details = context.event = context.lost = None


def after_scenario(context, scenario):
    if context.lost:
        context.lost.wait()
    api.clear_providers()
