"""TensorZero feedback. TensorZero sends no webhooks; this takes what its `POST /feedback` takes, so
that an application may send the same call here, and answers as it does.

Its `inference_id` is the completion's id and its `episode_id` the conversation's.
"""

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sidecar.errors import InvalidFeedback
from sidecar.feedback.adapters import metrics, subject
from sidecar.feedback.adapters.base import Reading, Reply, Webhook
from sidecar.feedback.adapters.foreign import (
    as_json,
    as_text,
    delivery_id,
    digest,
    event_id,
    json_of,
    object_of,
    text_of,
)
from sidecar.feedback.adapters.options import OptionProblem, Options, check_options
from sidecar.feedback.adapters.path import View

INFERENCE = subject.Places(
    ("@.inference_id",), "completion_id", ("@.tags.user_id", "@.tags.author")
)
EPISODE = subject.Places(("@.episode_id",), "correlation_id", INFERENCE.actor_path)
RESERVED = {"comment": {"text": "comment"}, "demonstration": {"text": "correction"}}
"""Metrics that exist without being configured, at TensorZero and here."""
_OURS = "https://www.tensorzero.com/docs/gateway/api-reference/feedback"


def check(options: Options) -> list[OptionProblem]:
    """`metrics`: the metrics that count, each with its scale; and those of `subject`."""
    rules = {**subject.SUBJECT_RULES, "metrics": metrics.metrics}
    return check_options(options, rules) or [
        OptionProblem(f"metrics.{name}", "is TensorZero's own; leave it out")
        for name in RESERVED
        if name in options.get("metrics", {})
    ]


def read(webhook: Webhook, options: Options) -> Reading:
    """The feedback of a request."""
    body = object_of(json_of(webhook.body), "the body")
    answer = {"feedback_id": str(uuid5(NAMESPACE_URL, _OURS + digest(body)))}
    reply = Reply(200, "application/json", as_json(answer))
    found = _event(body, options)
    if isinstance(found, str):
        return Reading(ignored=(found,), reply=reply)
    delivery = delivery_id(webhook)
    if delivery is not None:
        found["event_id"] = event_id(options.get("event_prefix", "tensorzero"), delivery)
    return Reading((found,), reply=reply)


def _event(body: Mapping[str, Any], options: Options) -> dict[str, Any] | str:
    if body.get("dryrun"):
        return "a dry run"
    if (body.get("inference_id") is None) == (body.get("episode_id") is None):
        raise InvalidFeedback("give either inference_id or episode_id", param="inference_id")
    name = text_of(body.get("metric_name"), "metric_name") or ""
    counted = {**options.get("metrics", {}), **RESERVED}
    if name not in counted:
        return metrics.undeclared(name, counted)
    view = View(body, body)
    reason = subject.excluded(view, options)
    if reason is not None:
        return reason
    places = EPISODE if body.get("inference_id") is None else INFERENCE
    about = subject.about(view, options, places)
    if about is None:
        return f"{name}: {subject.nowhere(options, places)}"
    value = _plain(body.get("value")) if name == "demonstration" else body.get("value")
    if value is None:
        raise InvalidFeedback("value is missing", param="value")
    said = {**metrics.said(counted[name], value, name), "details": {"metric": name}}
    return {**about, **said, **subject.actor(view, options, places)}


def _plain(value: Any) -> Any:
    """A demonstration as text; of content blocks that are all text, their texts."""
    if not isinstance(value, list):
        return value
    blocks = [block.get("text") if isinstance(block, dict) else None for block in value]
    texts = [block for block in blocks if isinstance(block, str)]
    return "\n".join(texts) if texts and len(texts) == len(blocks) else as_text(value, "value")
