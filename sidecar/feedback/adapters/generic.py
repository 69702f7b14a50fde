"""Our own grammar: the objects of `POST /feedback`, alone, in an array, or in the envelope of
Standard Webhooks, `{"type": "feedback.created", "timestamp": …, "data": {…}}`.

An event without an id of its own is known by its delivery (`webhook-id`), so that a delivery which
is sent again is a duplicate.
"""

from collections.abc import Mapping
from typing import Any

from sidecar.feedback.adapters.base import Reading, Webhook
from sidecar.feedback.adapters.foreign import (
    delivery_id,
    event_id,
    json_of,
    object_of,
    text_of,
)
from sidecar.feedback.adapters.options import OptionProblem, Options, check_options, prefix, texts

TYPES = ("feedback.created",)


def check(options: Options) -> list[OptionProblem]:
    """`types`: the envelope's types that are feedback; `event_prefix`: of ids made from
    `webhook-id`."""
    return check_options(options, {"types": texts, "event_prefix": prefix})


def read(webhook: Webhook, options: Options) -> Reading:
    """The events of a body in our own grammar."""
    body = json_of(webhook.body)
    if isinstance(body, dict) and "type" in body and "data" in body:
        kind = text_of(body["type"], "type") or ""
        if kind not in options.get("types", TYPES):
            return Reading(ignored=(f"type {kind[:64]!r} is not one that is read",))
        body = body["data"]
    if not isinstance(body, list):
        return Reading((_named(object_of(body, "the body"), webhook, options),))
    items = [object_of(item, f"[{index}]") for index, item in enumerate(body)]
    return Reading(
        tuple(_named(item, webhook, options, str(index)) for index, item in enumerate(items))
    )


def _named(
    item: Mapping[str, Any], webhook: Webhook, options: Options, *place: str
) -> Mapping[str, Any]:
    delivery = delivery_id(webhook)
    if delivery is None or item.get("event_id") is not None or item.get("id") is not None:
        return item
    return {**item, "event_id": event_id(options.get("event_prefix", "generic"), delivery, *place)}
