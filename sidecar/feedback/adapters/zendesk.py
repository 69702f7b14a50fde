"""Zendesk: the satisfaction a requester states on a ticket. Either the event
`zen:event-type:ticket.csat_received`, or the body that an admin writes for a trigger's webhook,
with `ticket_id`, `rating`, and, if wanted, `comment` and `requester_id`.

`good` and `bad` are Zendesk's own scale; a survey with points needs its scale in the options. The
ticket's id is the correlation id.
"""

import re
from collections.abc import Mapping
from typing import Any

from sidecar.feedback.adapters import metrics, subject
from sidecar.feedback.adapters.base import Reading, Webhook
from sidecar.feedback.adapters.foreign import (
    digest,
    event_id,
    json_of,
    object_of,
    text_of,
    texts,
)
from sidecar.feedback.adapters.options import OptionProblem, Options, check_options
from sidecar.feedback.adapters.path import View

PLACES = subject.Places(
    ("@.detail.id", "@.ticket_id"), "correlation_id", ("@.detail.requester_id", "@.requester_id")
)
EVENT = "zen:event-type:ticket.csat_received"
RATING = {"values": {"good": 1, "bad": 0}}
_UNRATED = frozenset({"offered", "unoffered"})
_INVOCATION = "x-zendesk-webhook-invocation-id"
_NUMBER = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,9})?")


def check(options: Options) -> list[OptionProblem]:
    """`rating`: the scale, as of a metric; names are compared in lower case. And `subject`'s."""
    return check_options(options, {**subject.SUBJECT_RULES, "rating": metrics.metric})


def read(webhook: Webhook, options: Options) -> Reading:
    """The rating of a request."""
    body = object_of(json_of(webhook.body), "the body")
    kind = text_of(body.get("type"), "type")
    if kind is not None and kind != EVENT:
        return Reading(ignored=(f"{kind[:64]!r} is not a rating",))
    held = _rating(body) if kind else {"score": body.get("rating"), "comment": body.get("comment")}
    said: dict[str, Any] = texts(held, comment="comment")
    value = _value(held.get("score"))
    if isinstance(value, str) and value in _UNRATED:
        return Reading(ignored=(f"{value}: nothing was rated yet",))
    if value is not None:
        said |= metrics.said(options.get("rating", RATING), value, "rating")
    if not said:
        return Reading(ignored=("neither a rating nor a comment",))
    view = View(body, body)
    reason = subject.excluded(view, options)
    about = subject.about(view, options, PLACES)
    if reason is not None or about is None:
        return Reading(ignored=(reason or subject.nowhere(options, PLACES),))
    own = text_of(body.get("id"), "id") if kind else webhook.headers.get(_INVOCATION)
    made = event_id(options.get("event_prefix", "zendesk"), own or digest(body))
    return Reading(({**about, **said, **subject.actor(view, options, PLACES), "event_id": made},))


def _rating(body: Mapping[str, Any]) -> Mapping[str, Any]:
    event = object_of(body.get("event"), "event")
    return object_of(event.get("satisfaction_score"), "event.satisfaction_score")


def _value(value: Any) -> Any:
    """Names in lower case; a number that a placeholder wrote as text, as the number."""
    if not isinstance(value, str):
        return value
    word = value.strip().lower()
    return float(word) if _NUMBER.fullmatch(word) else word or None
