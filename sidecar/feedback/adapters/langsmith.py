"""LangSmith feedback. LangSmith's webhooks are about runs and bring averages only, so this takes
one feedback as its API takes and gives it (`POST /api/v1/feedback`, the "feedback data format"), or
an array of them.
"""

from collections.abc import Mapping
from typing import Any

from sidecar.feedback.adapters import metrics, subject
from sidecar.feedback.adapters.base import Reading, Webhook
from sidecar.feedback.adapters.foreign import (
    Found,
    as_text,
    digest,
    event_id,
    json_of,
    object_of,
    reading,
    text_of,
    texts,
)
from sidecar.feedback.adapters.options import OptionProblem, Options, check_options
from sidecar.feedback.adapters.path import View

PLACES = subject.Places(
    ("@.trace_id", "@.run_id"),
    "rollout_id",
    ("@.feedback_source.user_id", "@.feedback_source.metadata.user_id"),
)


def check(options: Options) -> list[OptionProblem]:
    """`metrics`: the feedback keys that count, each with its scale; and those of `subject`."""
    rules = {**subject.SUBJECT_RULES, "metrics": metrics.metrics}
    return check_options(options, rules, ["metrics"])


def read(webhook: Webhook, options: Options) -> Reading:
    """The feedback of a request."""
    body = json_of(webhook.body)
    if isinstance(body, dict) and "rule_id" in body:
        return Reading(ignored=("a rule's webhook brings averages, not single feedback",))
    items = body if isinstance(body, list) else [body]
    return reading(_event(View(body, object_of(item, "the body")), options) for item in items)


def _event(view: View, options: Options) -> Found:
    """The event of one feedback, or why there is none."""
    item = view.event
    key = text_of(item.get("key"), "key") or ""
    declared = options["metrics"].get(key)
    if declared is None:
        return metrics.undeclared(key, options["metrics"])
    reason = subject.excluded(view, options)
    if reason is not None:
        return reason
    about = subject.about(view, options, PLACES)
    if about is None:
        return f"{key}: {subject.nowhere(options, PLACES)}"
    said = {**_words(item), **_value(item, declared, key)}
    if not said:
        return f"{key}: no score, value, comment or correction"
    said |= {**subject.actor(view, options, PLACES), "details": {"metric": key}}
    return {**about, **said, **_id(item, options)}


def _value(item: Mapping[str, Any], declared: Mapping[str, Any], key: str) -> dict[str, Any]:
    """`score` is the number and `value` the name of it; either may be missing."""
    order = ("value", "score") if metrics.by_label(declared) else ("score", "value")
    value = next((item[name] for name in order if item.get(name) is not None), None)
    return {} if value is None else metrics.said(declared, value, key)


def _words(item: Mapping[str, Any]) -> dict[str, str]:
    words = texts(item, comment="comment")
    if item.get("correction"):
        words["correction"] = as_text(item["correction"], "correction")
    return words


def _id(item: Mapping[str, Any], options: Options) -> dict[str, str]:
    """A feedback may be updated in place, so each version of it is an event of its own."""
    own = text_of(item.get("id"), "id")
    if own is None:
        return {}
    stamped = (text_of(item.get(name), name) for name in ("modified_at", "created_at"))
    version = next(filter(None, stamped), None) or digest(item)
    return {"event_id": event_id(options.get("event_prefix", "langsmith"), own, version)}
