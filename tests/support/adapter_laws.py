"""What every adapter keeps to, whatever it is sent: for the property tests and the fuzz program."""

import contextlib
import copy
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_plus

import orjson

from sidecar.errors import InvalidFeedback
from sidecar.feedback.adapters.base import Reading, Webhook
from sidecar.feedback.adapters.registry import ADAPTERS
from support.webhooks import parsed

_ID = re.compile(r"[!-~]{1,128}")
_ABOUT = ("rollout_id", "completion_id", "correlation_id")


def obeyed(kind: str, webhook: Webhook, options: Any) -> Reading | None:
    """The reading, checked against the laws; None for one that was refused. Only `InvalidFeedback`
    may come out of an adapter and of `parse`; anything else is raised and so found."""
    try:
        reading = ADAPTERS[kind].read(webhook, options)
        parsed(reading, kind)
    except InvalidFeedback:
        return None
    held = "\0".join(_texts(webhook))
    for event in reading.events:
        _holds(event, held, options)
    assert all(isinstance(reason, str) and reason for reason in reading.ignored)
    return reading


def _holds(event: Any, held: str, options: Any) -> None:
    """Every text of the event stood in the payload, and so did the number of a rating."""
    if "event_id" in event:
        assert _ID.fullmatch(event["event_id"])
    for name in ("actor", "comment"):
        assert event.get(name) is None or event[name] in held, (name, event)
    for name in _ABOUT:
        own = str(event.get(name) or "").removeprefix(options.get("id_prefix", ""))
        own = own.removeprefix(options.get("message_prefix", "slack:"))
        assert own in held or all(part in held for part in own.split(":")), (name, event)
    for words in filter(None, [event.get("correction")]):
        assert words in held or all(part in held for part in _parts(words)), event

    if "rating" in event:
        assert float(event["rating"]["value"]) in _numbers(held), event


def _numbers(held: str) -> Iterator[float]:
    for text in held.split("\0"):
        with contextlib.suppress(ValueError):
            yield float(text)


def _parts(words: str) -> Iterator[str]:
    """Of a correction that was put together: texts on lines, or an object written as JSON."""
    return _leaves(orjson.loads(words) if words[0] in "{[" else words.split("\n"))


def _texts(webhook: Webhook) -> Iterator[str]:
    yield from webhook.headers.values()
    yield from (unquote_plus(value) for value in webhook.headers.values())
    raw = webhook.body
    if raw.startswith(b"payload="):
        raw = unquote_plus(raw.decode().partition("=")[2]).encode()
    try:
        yield from _leaves(orjson.loads(raw))
    except orjson.JSONDecodeError:
        yield raw.decode(errors="replace")


def _leaves(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
            yield from one
        elif isinstance(one, list):
            waiting += one
        else:
            yield one if isinstance(one, str) else str(one)


def places(value, at=()):
    """Every place in a JSON value, from the outside in."""
    yield at
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(one, (*at, key))


def changed(value, at, new):
    """The value with something else at a place; `...` takes it away."""
    if not at:
        return None if new is ... else new
    value = copy.deepcopy(value)
    node = value
    for key in at[:-1]:
        node = node[key]
    if new is ...:
        del node[at[-1]]
    else:
        node[at[-1]] = new
    return value
