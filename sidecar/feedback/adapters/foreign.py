"""Reading what strangers send: bodies, ids and texts; `InvalidFeedback` for all that is wrong."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import orjson

from sidecar.errors import InvalidFeedback
from sidecar.feedback.adapters.base import Reading, Reply, Webhook
from sidecar.feedback.parse import MAX_ID

_DELIVERY = ("webhook-id", "idempotency-key")
"""Headers that stay the same when a delivery is sent again."""


Found = dict[str, Any] | str
"""An event, or why there is none."""


def reading(found: Iterable[Found], reply: Reply | None = None) -> Reading:
    """The reading of what was found, each in its order."""
    every = list(found)
    return Reading(
        tuple(one for one in every if not isinstance(one, str)),
        tuple(one for one in every if isinstance(one, str)),
        reply,
    )


def json_of(body: bytes | str) -> Any:
    """The JSON of a body. Raises `InvalidFeedback`."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidFeedback(f"the body is not valid JSON: {error}") from None


def object_of(value: Any, name: str) -> dict[str, Any]:
    """`value`, which must be an object. Raises `InvalidFeedback`."""
    if not isinstance(value, dict):
        raise InvalidFeedback(f"{name} must be an object", param=name)
    return value


def list_of(value: Any, name: str) -> list[Any]:
    """`value`, which must be an array. Raises `InvalidFeedback`."""
    if not isinstance(value, list):
        raise InvalidFeedback(f"{name} must be an array", param=name)
    return value


def text_of(value: Any, name: str) -> str | None:
    """A text, None for null or an empty one. Raises `InvalidFeedback` for anything else."""
    if value is None or isinstance(value, str):
        return value or None
    raise InvalidFeedback(f"{name} must be text", param=name)


def id_of(value: Any, name: str) -> str | None:
    """An id, which products write as text or as a whole number; None for null or an empty one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text_of(value, name)


def texts(item: Mapping[str, Any], **places: Any) -> dict[str, str]:
    """The texts among `places` that are there and not empty, as fields of an event."""
    found = {name: text_of(item.get(key), key) for name, key in places.items()}
    return {name: text for name, text in found.items() if text is not None}


def content_type(webhook: Webhook) -> str:
    """The media type, lower case, without its parameters."""
    return webhook.headers.get("content-type", "").partition(";")[0].strip().lower()


def delivery_id(webhook: Webhook) -> str | None:
    """What stays the same when this delivery is sent again, if the sender says so."""
    return next((webhook.headers[name] for name in _DELIVERY if webhook.headers.get(name)), None)


def event_id(prefix: str, *parts: str) -> str:
    """An event id of the product's own ids: the same parts give the same id, other parts another.

    Readable while it fits: parts are percent-encoded, so that no two lists of them look the same.
    """
    readable = f"{prefix}:" + "/".join(quote(part, ":", errors="surrogatepass") for part in parts)
    if len(readable) <= MAX_ID:
        return readable
    return f"{prefix}:{hashlib.sha256(readable.encode()).hexdigest()}"


def digest(value: Any) -> str:
    """A fingerprint of JSON, independent of the order of keys: the version of what has no other."""
    return hashlib.sha256(_written(value)).hexdigest()[:32]


def as_text(value: Any, name: str) -> str:
    """A correction as text: as it is, or as JSON when the product holds an object or an array.
    Raises `InvalidFeedback` for a bare number, true or false, which corrects nothing."""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict | list):
        raise InvalidFeedback(f"{name} must be text or an object", param=name)
    return _written(value).decode()


def as_json(value: Any) -> bytes:
    """An answer of ours."""
    return orjson.dumps(value)


def _written(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        raise InvalidFeedback("the body is nested too deeply") from None


def some_of(values: Iterable[str], most: int = 8) -> str:
    """A list for a message, not longer than a line."""
    names = sorted(values)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
