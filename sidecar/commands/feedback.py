"""`sidecar feedback try`: what a payload would become, without sending or storing anything."""

import argparse
import json
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from sidecar.commands.output import dump, number, table
from sidecar.commands.settings import settings_of
from sidecar.core.feedback import FeedbackEvent
from sidecar.errors import InvalidRequest
from sidecar.feedback.adapters.base import Reading, Webhook
from sidecar.feedback.adapters.registry import ADAPTERS, source_of
from sidecar.feedback.parse import parse
from sidecar.loading import SettingsError

_NEW = "(new)"
"""The id of an event whose payload gives none: each delivery mints another."""


def feedback(arguments: argparse.Namespace, out: TextIO) -> int:
    """Carry out `sidecar feedback try`. Raises `InvalidRequest` and `InvalidFeedback`."""
    kind, options = options_of(arguments)
    options = {**options, **_given(arguments)}
    source = source_of(kind)
    problems = source.check(options)
    if problems:
        words = "; ".join(f"{one.option} {one.message}" for one in problems)
        raise InvalidRequest(f"the options of {arguments.source}: {words}")
    webhook = Webhook(_headers(arguments.header or []), _body(arguments.file))
    reading = source.read(webhook, options)
    events = _events(reading, arguments.source)
    (_dump if arguments.json else _show)(out, reading, events)
    return 0


def options_of(arguments: argparse.Namespace) -> tuple[str, Mapping[str, Any]]:
    """The kind and the options of a configured source by its name; a kind is a source without
    options, and needs no settings. Raises `SettingsError`."""
    name = arguments.source
    try:
        sources = settings_of(arguments).settings.sources
    except SettingsError:
        if name not in ADAPTERS:
            raise
        sources = ()
    for source in sources:
        if source.name == name:
            return source.kind, source.options
    return name, {}


def _events(reading: Reading, source: str) -> list[FeedbackEvent]:
    """The events as they would be stored; raises `InvalidFeedback` as the route would."""
    if not reading.events:
        return []
    body = reading.events[0] if len(reading.events) == 1 else list(reading.events)
    return parse(body, source=source, received_at=0.0, new_id=lambda: _NEW)


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of the command line."""
    try:
        if arguments.options:
            return tomllib.loads(Path(arguments.options).read_text(encoding="utf-8"))
        return tomllib.loads("\n".join(_line(one) for one in arguments.option or []))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the options are not TOML: {error}") from None


def _line(option: str) -> str:
    """`k=v` as a line of TOML; a value that is none is text."""
    name, equals, value = option.partition("=")
    if not equals:
        raise InvalidRequest(f"--option {option!r} must be K=V")
    line = f"{name} = {value}"
    try:
        tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return f"{name} = {json.dumps(value)}"
    return line


def _headers(given: Sequence[str]) -> dict[str, str]:
    headers = {"content-type": "application/json"}
    for one in given:
        name, colon, value = one.partition(":")
        if not colon:
            raise InvalidRequest(f"--header {one!r} must be 'name: value'")
        headers[name.strip().lower()] = value.strip()
    return headers


def _body(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()


def _dump(out: TextIO, reading: Reading, events: Sequence[FeedbackEvent]) -> None:
    reply = reading.reply and {
        "status": reading.reply.status,
        "content_type": reading.reply.content_type,
        "body": reading.reply.body.decode(),
    }
    scores = [event.score for event in events]
    shown = [{**one, "score_in_0_1": s} for one, s in zip(reading.events, scores, strict=True)]
    dump(out, {"events": shown, "ignored": list(reading.ignored), "reply": reply})


def _show(out: TextIO, reading: Reading, events: Sequence[FeedbackEvent]) -> None:
    if events:
        head = ("event", "about", "says", "score", "actor")
        table(out, head, [_row(event) for event in events])
    for event in events:
        for name in ("comment", "correction"):
            if getattr(event, name):
                out.write(f"{name}: {_plain(getattr(event, name))}\n")
    out.writelines(f"ignored: {reason}\n" for reason in reading.ignored)
    if reading.reply is not None:
        body = _plain(reading.reply.body.decode())
        out.write(f"answers: {reading.reply.status} {reading.reply.content_type} {body}".rstrip())
        out.write("\n")
    if not events and not reading.ignored and reading.reply is None:
        out.write("nothing\n")


def _plain(text: str) -> str:
    """A stranger's text on one line, without what a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text)


def _row(event: FeedbackEvent) -> tuple[str, ...]:
    ids = {
        "rollout": event.rollout_id,
        "completion": event.completion_id,
        "correlation": event.correlation_id,
        "text": event.fingerprint,
    }
    about = " ".join(f"{name} {own}" for name, own in ids.items() if own is not None)
    taken = f" of {event.retracts}" if event.retracts else ""
    actor = event.actor or "-"
    return event.event_id, about, f"{event.kind.value}{taken}", number(event.score), actor
