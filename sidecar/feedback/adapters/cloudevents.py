"""CloudEvents 1.0 over HTTP: structured, binary and batch. `data` is in our own grammar, `id` and
`source` together are the event's id, and `subject` names the rollout when `data` does not.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from sidecar.errors import InvalidFeedback
from sidecar.feedback.adapters.base import Reading, Webhook
from sidecar.feedback.adapters.foreign import (
    Found,
    content_type,
    event_id,
    json_of,
    list_of,
    object_of,
    reading,
    text_of,
)
from sidecar.feedback.adapters.options import OptionProblem, Options, check_options, prefix, texts
from sidecar.feedback.adapters.subject import ID_KINDS, id_kind

_MEDIA = "application/cloudevents"
_ESCAPED = re.compile(r"\\(.)")


def check(options: Options) -> list[OptionProblem]:
    """`types`: the types that are feedback (without it, all); `subject_kind`: what `subject` is."""
    return check_options(options, {"types": texts, "subject_kind": id_kind, "event_prefix": prefix})


def read(webhook: Webhook, options: Options) -> Reading:
    """The events of a request in any of the three modes."""
    media = content_type(webhook)
    if media.startswith(f"{_MEDIA}-batch"):
        envelopes = list_of(_structured(media, webhook), "the body")
    elif media.startswith(_MEDIA):
        envelopes = [_structured(media, webhook)]
    else:
        envelopes = [_binary(media, webhook)]
    names = [f"[{index}]" for index in range(len(envelopes))] if envelopes[1:] else ["the event"]
    return reading(
        _event(object_of(envelope, name), options, name)
        for envelope, name in zip(envelopes, names, strict=False)
    )


def _event(envelope: Mapping[str, Any], options: Options, name: str) -> Found:
    """The event, or why there is none."""
    if envelope.get("specversion") != "1.0":
        raise InvalidFeedback(f"{name} has no specversion 1.0", param="specversion")
    own = {key: text_of(envelope.get(key), key) for key in ("id", "source", "type")}
    for key, text in own.items():
        if text is None:
            raise InvalidFeedback(f"{name} has no {key}", param=key)
    if own["type"] not in options.get("types", [own["type"]]):
        return f"type {str(own['type'])[:64]!r} is not one that is read"
    data = object_of(_data(envelope), "data")
    if data.get("event_id") is not None or data.get("id") is not None:
        raise InvalidFeedback("data.event_id: the event's id is the CloudEvent's own", param="data")
    made = event_id(options.get("event_prefix", "cloudevents"), str(own["source"]), str(own["id"]))
    return {**_subject(envelope, data, options), **data, "event_id": made}


def _subject(
    envelope: Mapping[str, Any], data: Mapping[str, Any], options: Options
) -> dict[str, str]:
    subject = text_of(envelope.get("subject"), "subject")
    if subject is None or any(data.get(kind) is not None for kind in ID_KINDS):
        return {}
    return {options.get("subject_kind", "correlation_id"): subject}


def _data(envelope: Mapping[str, Any]) -> Any:
    if "data_base64" not in envelope:
        return envelope.get("data")
    if envelope.get("data") is not None:
        raise InvalidFeedback("data cannot stand beside data_base64", param="data")
    encoded = text_of(envelope["data_base64"], "data_base64") or ""
    try:
        return json_of(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        raise InvalidFeedback("data_base64 is not base64", param="data_base64") from None


def _structured(media: str, webhook: Webhook) -> Any:
    if media.partition("+")[2] not in {"", "json"}:
        raise InvalidFeedback(f"CloudEvents are read as JSON, not as {media[:64]}")
    return json_of(webhook.body)


def _binary(media: str, webhook: Webhook) -> dict[str, Any]:
    attributes = {
        name[3:]: _decoded(value)
        for name, value in webhook.headers.items()
        if name.startswith("ce-")
    }
    if not attributes:
        raise InvalidFeedback(
            "this is not a CloudEvent: no ce- headers, no application/cloudevents"
        )
    if media not in {"", "application/json"} and not media.endswith("+json"):
        raise InvalidFeedback(f"data is read as JSON, not as {media[:64]}")
    attributes.pop("data", None)
    attributes.pop("data_base64", None)
    return {**attributes, "data": json_of(webhook.body)}


def _decoded(value: str) -> str:
    """A header's value: unquoted if it is quoted, then percent-decoded once; invalid UTF-8 is
    refused (HTTP binding, 3.1.3.2)."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = _ESCAPED.sub(r"\1", value[1:-1])
    try:
        return unquote_to_bytes(value).decode()
    except UnicodeError:
        raise InvalidFeedback("a ce- header is not valid UTF-8") from None
