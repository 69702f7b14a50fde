"""Intercom: the rating that a contact gives a conversation, `conversation.rating.added`. Its scale
is Intercom's own, 1 to 5; the conversation's id is the correlation id.
"""

from typing import Any

from sidecar.feedback.adapters import subject
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
from sidecar.feedback.adapters.options import texts as some_texts
from sidecar.feedback.adapters.path import View

PLACES = subject.Places(
    ("@.id",),
    "correlation_id",
    ("@.conversation_rating.contact.id", "@.conversation_rating.customer.id"),
)
TOPICS = ("conversation.rating.added",)
SCALE = {"min": 1, "max": 5}


def check(options: Options) -> list[OptionProblem]:
    """`topics`: those that bring ratings; and those of `subject`, where `@` is the conversation."""
    return check_options(options, {**subject.SUBJECT_RULES, "topics": some_texts})


def read(webhook: Webhook, options: Options) -> Reading:
    """The rating of a notification."""
    body = object_of(json_of(webhook.body), "the body")
    topic = text_of(body.get("topic"), "topic") or ""
    if topic not in options.get("topics", TOPICS):
        return Reading(ignored=(f"topic {topic[:64]!r} is not a rating",))
    item = object_of(object_of(body.get("data"), "data").get("item"), "data.item")
    rating = object_of(item.get("conversation_rating") or {}, "conversation_rating")
    said: dict[str, Any] = texts(rating, comment="remark")
    if rating.get("rating") is not None:
        said |= {"rating": {"value": rating["rating"], **SCALE}}
    if not said:
        return Reading(ignored=("neither a rating nor a remark",))
    view = View(body, item)
    reason = subject.excluded(view, options)
    about = subject.about(view, options, PLACES)
    if reason is not None or about is None:
        return Reading(ignored=(reason or subject.nowhere(options, PLACES),))
    notification = text_of(body.get("id"), "id") or digest(item)
    made = event_id(options.get("event_prefix", "intercom"), notification)
    return Reading(({**about, **said, **subject.actor(view, options, PLACES), "event_id": made},))
