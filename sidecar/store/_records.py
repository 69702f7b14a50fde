"""How records become text and come back: JSON, with floats bit for bit.

Whoever stores the text keeps beside it only what is looked up or changed, so a new field with a
default needs no migration.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import orjson

from sidecar.core.feedback import FeedbackEvent, Kind
from sidecar.core.job import JobEvent, JobKind, JobRecord
from sidecar.core.rollout import Assignment, Outcome, Turn
from sidecar.core.session import Entry, JournalEntry


def dump(value: object) -> str:
    """A record, or several, as JSON."""
    try:
        return orjson.dumps(value, default=_plain).decode()
    except TypeError:  # half a surrogate pair, or more than 64 bits: users can send both
        return json.dumps(value, default=_plain)


def _plain(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(type(value).__name__)


def load(text: str | bytes) -> Any:
    """What `dump` wrote."""
    try:
        return orjson.loads(text)
    except ValueError:
        return json.loads(text)


def to_assignment(body: str | bytes) -> Assignment:
    """An assignment from its text."""
    return Assignment(**load(body))


def to_turn(body: str | bytes) -> Turn:
    """A turn from its text; a pruned one has no request and no reply."""
    return turn_of(load(body))


def turn_of(values: dict[str, Any]) -> Turn:
    """A turn from its fields."""
    request = tuple((role, text) for role, text in values.pop("request", ()))
    return Turn(**values | {"outcome": Outcome(values["outcome"]), "request": request})


def to_event(
    body: str | bytes, session_id: str | None = None, rollout_id: str | None = None
) -> FeedbackEvent:
    """An event from its text; once it is attributed, it carries the ids it was tied to."""
    values = load(body)
    if rollout_id is not None:
        values |= {"session_id": session_id, "rollout_id": rollout_id}
    return FeedbackEvent(**values | {"kind": Kind(values["kind"])})


def to_entry(body: str | bytes, seq: int) -> JournalEntry:
    """A journal entry from its text."""
    values = load(body)
    return JournalEntry(**values | {"kind": Entry(values["kind"]), "seq": seq})


def to_job(body: str | bytes) -> JobRecord:
    """A job's record from its text."""
    values = load(body)
    return JobRecord(**values | {"kind": JobKind(values["kind"])})


def to_job_event(body: str | bytes, seq: int) -> JobEvent:
    """An event of a job from its text."""
    return JobEvent(**load(body) | {"seq": seq})
