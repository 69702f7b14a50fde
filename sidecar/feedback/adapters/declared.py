"""Any other JSON webhook, read by what the options declare: where events are, which of them count,
and where each has its ids, its score with the scale, and its words.
"""

from collections.abc import Mapping
from typing import Any

from sidecar.errors import InvalidFeedback
from sidecar.feedback.adapters import metrics, subject
from sidecar.feedback.adapters.base import Reading, Webhook
from sidecar.feedback.adapters.foreign import (
    Found,
    delivery_id,
    event_id,
    id_of,
    json_of,
    reading,
)
from sidecar.feedback.adapters.options import (
    OptionProblem,
    Options,
    as_list,
    check_options,
    path,
    paths,
)
from sidecar.feedback.adapters.path import MAX_FOUND, View

RULES = {
    **subject.SUBJECT_RULES,
    "events": path,
    "event_id": paths,
    "retract": subject.conditions,
    "retracts": paths,
    "comment": paths,
    "correction": paths,
}
_SAYS = ("score", "comment", "correction", "retract")


def check(options: Options) -> list[OptionProblem]:
    """`events`, `event_id`, `score`, `comment`, `correction`, `retract`, `retracts`; and those of
    `subject`, of which `id_path`, `id_kind` and `event_prefix` must be there."""
    required = ["id_path", "id_kind", "event_prefix"]
    problems = check_options(options, {**RULES, "score": _score}, required)
    if problems:
        return problems
    if not any(name in options for name in (*_SAYS, "retracts")):
        return [OptionProblem("score", f"is missing: give one of {', '.join(_SAYS)}")]
    if "retracts" in options and "retract" not in options:
        return [OptionProblem("retract", "is missing: it says which events are retractions")]
    return []


def read(webhook: Webhook, options: Options) -> Reading:
    """The events that the options find in a body."""
    body = json_of(webhook.body)
    items = View(body, body).all(options.get("events", "$"))
    if len(items) > MAX_FOUND:
        raise InvalidFeedback(f"more than {MAX_FOUND} events in one request")
    if not items:
        return Reading(ignored=(f"nothing at {options.get('events', '$')}",))
    return reading(
        _event(View(body, item), webhook, options, index) for index, item in enumerate(items)
    )


def _event(view: View, webhook: Webhook, options: Options, index: int) -> Found:
    """The event of one item, or why there is none."""
    reason = subject.excluded(view, options)
    if reason is not None:
        return reason
    places = subject.Places((), options["id_kind"])
    about = subject.about(view, options, places)
    if about is None:
        return subject.nowhere(options, places)
    said = _retraction(view, options) or _said(view, options)
    if not said:
        return "neither a score nor a comment, correction or retraction"
    own = _own_id(view, webhook, options, index)
    return {**about, **said, **subject.actor(view, options, places), **own}


def _said(view: View, options: Options) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for name in ("comment", "correction"):
        if name in options:
            found = view.first(*as_list(options[name]))
            if found is not None and found != "":
                said |= metrics.said({"text": name}, found, name)
    if "score" in options:
        value = view.first(*as_list(options["score"]["path"]))
        if value is not None:
            said |= metrics.said(options["score"], value, options["score"]["path"])
    return said


def _retraction(view: View, options: Options) -> dict[str, Any]:
    wanted = options.get("retract")
    if wanted is None:
        return {}
    wanted = [wanted] if isinstance(wanted, Mapping) else wanted
    if not all(subject.holds(view, one) for one in wanted):
        return {}
    if "retracts" not in options:
        return {"retract": True}
    return {"retracts": _id(view, options["retracts"], options)}


def _own_id(view: View, webhook: Webhook, options: Options, index: int) -> dict[str, str]:
    if "event_id" in options:
        return {"event_id": _id(view, options["event_id"], options)}
    delivery = delivery_id(webhook)
    if delivery is None:
        return {}
    return {"event_id": event_id(options["event_prefix"], delivery, str(index))}


def _id(view: View, where: Any, options: Options) -> str:
    """An event id of the values at all of these paths: an id and, say, a time of change."""
    parts = []
    for one in as_list(where):
        part = id_of(view.first(one), one)
        if part is None:
            raise InvalidFeedback(f"nothing at {one}, which is part of the event's id", param=one)
        parts.append(part)
    return event_id(options["event_prefix"], *parts)


def _score(value: Any, at: str) -> list[OptionProblem]:
    rules = {**metrics.METRIC_RULES, "path": path}
    del rules["text"]
    problems = check_options(value, rules, ["path"], f"{at}.")
    return problems or metrics.scale_problems(value, at)
