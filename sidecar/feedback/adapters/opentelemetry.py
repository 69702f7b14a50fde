"""OpenTelemetry: `gen_ai.evaluation.result` events among the log records of an OTLP/HTTP export in
JSON. `gen_ai.response.id` is the completion's id.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sidecar.errors import InvalidFeedback
from sidecar.feedback.adapters import metrics, subject
from sidecar.feedback.adapters.base import Reading, Reply, Webhook
from sidecar.feedback.adapters.foreign import (
    Found,
    content_type,
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

PLACES = subject.Places(
    ("@.attributes['gen_ai.response.id']",),
    "completion_id",
    ("@.attributes['user.id']", "@.attributes['enduser.id']"),
)
EVENT = "gen_ai.evaluation.result"
_NAME = "gen_ai.evaluation.name"
_VALUE = "gen_ai.evaluation.score.value"
_LABEL = "gen_ai.evaluation.score.label"
_EXPLANATION = "gen_ai.evaluation.explanation"
_DONE = Reply(200, "application/json", b"{}")
"""Full success, as OTLP says it."""

_DEPTH = 8
"""Nested attribute values below this are not looked at."""


def check(options: Options) -> list[OptionProblem]:
    """`metrics`: the evaluation names that count, each with its scale; and those of `subject`."""
    rules = {**subject.SUBJECT_RULES, "metrics": metrics.metrics}
    return check_options(options, rules, ["metrics"])


def read(webhook: Webhook, options: Options) -> Reading:
    """The evaluation results of an export; other records are ignored without a word each."""
    if content_type(webhook) == "application/x-protobuf":
        raise InvalidFeedback("send OTLP as JSON: OTEL_EXPORTER_OTLP_PROTOCOL=http/json")
    body = object_of(json_of(webhook.body), "the body")
    records = list(_records(body))
    found = [_event(View(body, record), options) for record in records if _is_result(record)]
    if len(found) < len(records):
        found.append(f"{len(records) - len(found)} records are not {EVENT}")
    return reading(found, _DONE)


def _is_result(record: Mapping[str, Any]) -> bool:
    """The event's name has a field of its own; before that it was an attribute."""
    return EVENT in (record.get("eventName"), record["attributes"].get("event.name"))


def _event(view: View, options: Options) -> Found:
    """The event of one evaluation, or why there is none."""
    attributes = view.event["attributes"]
    name = text_of(attributes.get(_NAME), _NAME) or ""
    declared = options["metrics"].get(name)
    if declared is None:
        return metrics.undeclared(name, options["metrics"])
    if attributes.get("error.type") is not None:
        return f"{name}: the evaluation failed"
    reason = subject.excluded(view, options)
    if reason is not None:
        return reason
    about = subject.about(view, options, PLACES)
    if about is None:
        return f"{name}: {subject.nowhere(options, PLACES)}"
    value = attributes.get(_LABEL if metrics.by_label(declared) else _VALUE)
    if value is None:
        return f"{name}: no {_LABEL if metrics.by_label(declared) else _VALUE}"
    made = {**about, **texts(attributes, comment=_EXPLANATION)}
    made |= {**metrics.said(declared, value, name), **subject.actor(view, options, PLACES)}
    prefix = options.get("event_prefix", "opentelemetry")
    return {**made, "details": {"metric": name}, "event_id": event_id(prefix, digest(view.event))}


def _records(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All log records, with their attributes as a plain object."""
    for resource in list_of(body.get("resourceLogs") or [], "resourceLogs"):
        scopes = object_of(resource, "resourceLogs[*]").get("scopeLogs") or []
        for scope in list_of(scopes, "scopeLogs"):
            records = object_of(scope, "scopeLogs[*]").get("logRecords") or []
            for record in list_of(records, "logRecords"):
                fields = object_of(record, "logRecords[*]")
                yield {**fields, "attributes": _attributes(fields.get("attributes"))}


def _attributes(value: Any, depth: int = 0) -> dict[str, Any]:
    found = {}
    for one in list_of(value or [], "attributes"):
        pair = object_of(one, "attributes[*]")
        key = text_of(pair.get("key"), "attributes[*].key")
        if key is not None:
            found[key] = _any(pair.get("value"), depth)
    return found


def _any(value: Any, depth: int) -> Any:
    """An `AnyValue`: of the kinds that can hold something for us; others are null."""
    held = object_of(value or {}, "attributes[*].value")
    for kind in ("stringValue", "boolValue", "doubleValue"):
        if kind in held:
            return held[kind]
    if "intValue" in held:
        return _integer(held["intValue"])
    if "kvlistValue" in held and depth < _DEPTH:
        inner = object_of(held["kvlistValue"], "kvlistValue")
        return _attributes(inner.get("values"), depth + 1)
    return None


def _integer(value: Any) -> Any:
    """64-bit integers are text in the JSON of protobuf, and some write them as numbers."""
    if isinstance(value, str) and value.removeprefix("-").isdecimal() and len(value) < 21:  # noqa: PLR2004
        return int(value)
    return value
