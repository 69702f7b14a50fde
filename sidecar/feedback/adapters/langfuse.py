"""Langfuse scores. Langfuse sends no webhook for scores (its webhooks are about prompts), so this
takes what its API takes and gives: one score as in `POST /api/public/scores`, the SDKs' batch of
`POST /api/public/ingestion`, or a page of `GET /api/public/v2/scores` that a poller passes on.
"""

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sidecar.feedback.adapters import metrics, subject
from sidecar.feedback.adapters.base import Reading, Reply, Webhook
from sidecar.feedback.adapters.foreign import (
    Found,
    as_json,
    digest,
    event_id,
    json_of,
    list_of,
    object_of,
    reading,
    text_of,
    texts,
)
from sidecar.feedback.adapters.options import OptionProblem, Options, check_options
from sidecar.feedback.adapters.path import View

PLACES = subject.Places(("@.traceId",), "rollout_id", ("@.authorUserId", "@.metadata.user_id"))
_OURS = "https://langfuse.com/docs/api-and-data-platform/features/public-api"


def check(options: Options) -> list[OptionProblem]:
    """`metrics`: the score names that count, each with its scale; and those of `subject`."""
    rules = {**subject.SUBJECT_RULES, "metrics": metrics.metrics}
    return check_options(options, rules, ["metrics"])


def read(webhook: Webhook, options: Options) -> Reading:
    """The scores of a request."""
    body = object_of(json_of(webhook.body), "the body")
    if "batch" in body:
        return _batch(body, options)
    if "data" in body and "name" not in body:
        scores = [object_of(one, "data[*]") for one in list_of(body["data"], "data")]
        return reading(_event(body, score, None, options) for score in scores)
    own = text_of(body.get("id"), "id") or str(uuid5(NAMESPACE_URL, _OURS + digest(body)))
    reply = Reply(200, "application/json", as_json({"id": own}))
    return reading([_event(body, body, None, options)], reply)


def _batch(body: Mapping[str, Any], options: Options) -> Reading:
    """The SDKs' batch, answered as they expect it: by the id of each of its events."""
    found: list[Found] = []
    answers = []
    for index, one in enumerate(list_of(body["batch"], "batch")):
        envelope = object_of(one, f"batch[{index}]")
        own = text_of(envelope.get("id"), "id")
        answers.append({"id": own, "status": 201})
        kind = text_of(envelope.get("type"), "type") or ""
        if kind == "score-create":
            score = object_of(envelope.get("body"), f"batch[{index}].body")
            found.append(_event(body, score, own, options))
        else:
            found.append(f"{kind[:64]!r} is not a score")
    answer = as_json({"successes": answers, "errors": []})
    return reading(found, Reply(207, "application/json", answer))


def _event(
    body: Mapping[str, Any], score: Mapping[str, Any], version: str | None, options: Options
) -> Found:
    """The event of one score, or why there is none."""
    name = text_of(score.get("name"), "name") or ""
    declared = options["metrics"].get(name)
    if declared is None:
        return metrics.undeclared(name, options["metrics"])
    view = View(body, score)
    reason = subject.excluded(view, options)
    if reason is not None:
        return reason
    about = subject.about(view, options, PLACES)
    if about is None:
        return f"{name}: {subject.nowhere(options, PLACES)}"
    value, label = score.get("value"), score.get("stringValue")
    worded = metrics.by_label(declared) and label is not None
    said = metrics.said(declared, label if worded else value, name)
    made = {**about, **texts(score, comment="comment"), **said}
    made |= {**subject.actor(view, options, PLACES), "details": {"metric": name}}
    return made | _id(score, version, options)


def _id(score: Mapping[str, Any], version: str | None, options: Options) -> dict[str, str]:
    """Langfuse overwrites a score by its id, so each version of it is an event of its own."""
    own = text_of(score.get("id"), "id")
    prefix = options.get("event_prefix", "langfuse")
    if own is None:
        return {} if version is None else {"event_id": event_id(prefix, version)}
    if version is None:
        stamped = (text_of(score.get(key), key) for key in ("updatedAt", "timestamp"))
        version = next(filter(None, stamped), None) or digest(score)
    return {"event_id": event_id(prefix, own, version)}
