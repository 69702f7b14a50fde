"""The JSON of `POST /feedback`, as events. Pure: the clock and new ids are arguments.

All or nothing: one bad event refuses its whole array and is named by its place, so that a sender
never has to find out which half of a request was stored. Nothing is trimmed or guessed, and unknown
fields are refused, because a misspelt `thumb` would otherwise be an event that says nothing.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from sidecar.core.feedback import FeedbackEvent, Kind
from sidecar.core.fingerprint import fingerprint, is_fingerprint
from sidecar.core.ids import is_correlation_id, is_session_id
from sidecar.errors import InvalidFeedback
from sidecar.feedback.signals import SCORED

MAX_EVENTS = 1000
MAX_ID = 128
MAX_TEXT = 10_000
"""Characters of a comment or a correction: what a proposer can use, and no more."""
MAX_DETAILS = 16 * 1024
_TICK = 1e-6
"""Seconds between the events of one array: later in the array is later."""

_FOREIGN_ID = re.compile(r"[!-~]{1,128}")
_FIELDS = frozenset(
    {
        *("event_id", "id", "rollout_id", "completion_id", "correlation_id", "session_id"),
        *("fingerprint", "reply_text"),
        *("thumbs", "rating", "score", "correction", "comment"),
        *("retracts", "retract", "actor", "details"),
    }
)

Json = Mapping[str, Any]


def parse(
    body: Any, *, source: str, received_at: float, new_id: Callable[[], str]
) -> list[FeedbackEvent]:
    """The events of a request body: one object, or an array of them. Raises `InvalidFeedback`."""
    if not isinstance(body, list):
        return [_event(body, "", source, received_at, new_id)]
    if not 1 <= len(body) <= MAX_EVENTS:
        raise InvalidFeedback(f"an array holds 1 to {MAX_EVENTS} events, this one {len(body)}")
    return [
        _event(item, f"[{index}].", source, received_at + index * _TICK, new_id)
        for index, item in enumerate(body)
    ]


def _event(
    item: Any, at: str, source: str, received_at: float, new_id: Callable[[], str]
) -> FeedbackEvent:
    fields = _fields(item, at)
    text = _fingerprint(fields, at)
    rollout_id, completion_id, correlation_id, session_id = _about(fields, text, at)
    kind, score = _said(fields, at)
    return FeedbackEvent(
        event_id=_own_id(fields, at) or new_id(),
        source=source,
        kind=kind,
        received_at=received_at,
        session_id=session_id,
        rollout_id=rollout_id,
        completion_id=completion_id,
        correlation_id=correlation_id,
        fingerprint=text,
        score=score,
        comment=_text(fields, "comment", at),
        correction=_text(fields, "correction", at),
        actor=_actor(fields, at),
        retracts=_id(fields, "retracts", at, _is_foreign_id),
        metric=_metric(fields.get("details")),
    )


def _fields(item: Any, at: str) -> dict[str, Any]:
    """The fields that are there; null is the same as absent."""
    if not isinstance(item, Mapping):
        raise InvalidFeedback(f"{at[:-1] or 'the body'} must be an object", param=at[:-1] or None)
    for name in item:
        if name not in _FIELDS:
            known = ", ".join(sorted(_FIELDS))
            raise _invalid(at, str(name)[:40], f"is not a known field; known are {known}")
    _check_details(item.get("details"), at)
    return {name: value for name, value in item.items() if value is not None}


def _check_details(details: Any, at: str) -> None:
    if details is None:
        return
    if not isinstance(details, Mapping):
        raise _invalid(at, "details", "must be an object")
    try:
        size = len(orjson.dumps(details))
    except orjson.JSONEncodeError:
        raise _invalid(at, "details", "is nested too deeply") from None
    if size > MAX_DETAILS:
        raise _invalid(at, "details", f"is larger than {MAX_DETAILS} bytes")


def _metric(details: Any) -> str | None:
    """The name of what was measured, if `details` say it; nothing else in them is read."""
    name = details.get("metric") if details else None
    fits = isinstance(name, str) and 1 <= len(name) <= MAX_ID and name.isprintable()
    return name if fits else None


def _own_id(fields: Json, at: str) -> str | None:
    if "event_id" in fields and "id" in fields and fields["event_id"] != fields["id"]:
        raise _invalid(at, "id", "is another name of event_id: give one of them")
    return _id(fields, "event_id", at, _is_foreign_id) or _id(fields, "id", at, _is_foreign_id)


def _fingerprint(fields: Json, at: str) -> str | None:
    """Of the reply's text, worked out here if the text itself came: that goes no further."""
    given, text = fields.get("fingerprint"), fields.get("reply_text")
    if given is not None and not (isinstance(given, str) and is_fingerprint(given.lower())):
        raise _invalid(at, "fingerprint", "must be a SHA-256 in 64 hexadecimal digits")
    if not isinstance(text, str | None):
        raise _invalid(at, "reply_text", "must be text")
    own = fingerprint(text) if text is not None else None
    if own is not None and given is not None and given.lower() != own:
        raise _invalid(at, "fingerprint", "is not that of reply_text: give one of them")
    return own or (given.lower() if given is not None else None)


def _about(
    fields: Json, text: str | None, at: str
) -> tuple[str | None, str | None, str | None, str | None]:
    rollout = _id(fields, "rollout_id", at, is_correlation_id)
    completion = _id(fields, "completion_id", at, _is_foreign_id)
    correlation = _id(fields, "correlation_id", at, is_correlation_id)
    session = _id(fields, "session_id", at, is_session_id)
    if rollout is None and completion is None and correlation is None and text is None:
        raise _invalid(
            at,
            "rollout_id",
            "is missing: give rollout_id, completion_id or correlation_id, or the fingerprint or "
            "reply_text of the reply",
        )
    if rollout is not None and correlation is not None and rollout != correlation:
        raise _invalid(
            at, "correlation_id", "names another conversation than rollout_id; the two are equal"
        )
    return rollout, completion, correlation, session


def _said(fields: Json, at: str) -> tuple[Kind, float | None]:
    """What the event is, and its number if it has one."""
    scored = [name for name in SCORED if name in fields]
    if len(scored) > 1:
        raise _invalid(at, scored[1], f"cannot stand beside {scored[0]}: one number per event")
    if _retracts(fields, at):
        if scored or _text(fields, "comment", at) or _text(fields, "correction", at):
            raise _invalid(at, "retract", "stands alone: send the new signal as its own event")
        return Kind.RETRACTION, None
    if scored:
        kind, score = SCORED[scored[0]]
        return kind, score(fields[scored[0]], f"{at}{scored[0]}")
    for name, kind in (("correction", Kind.CORRECTION), ("comment", Kind.COMMENT)):
        if _text(fields, name, at) is not None:
            return kind, None
    raise _invalid(
        at, "thumbs", "is missing: give thumbs, rating, score, correction, comment or a retraction"
    )


def _retracts(fields: Json, at: str) -> bool:
    flag = fields.get("retract", False)
    if not isinstance(flag, bool):
        raise _invalid(at, "retract", "must be true or false")
    return flag or "retracts" in fields


def _text(fields: Json, name: str, at: str) -> str | None:
    """A text field; blank is the same as absent, because forms send empty fields."""
    text = fields.get(name, "")
    if not isinstance(text, str):
        raise _invalid(at, name, "must be text")
    if len(text) > MAX_TEXT:
        raise _invalid(at, name, f"is longer than {MAX_TEXT} characters")
    return text if text.strip() else None


def _actor(fields: Json, at: str) -> str | None:
    actor = fields.get("actor")
    return None if actor is None else checked_actor(actor, at)


def checked_actor(actor: Any, at: str = "") -> str:
    """The name of an actor. Raises `InvalidFeedback` when it cannot be one."""
    if not isinstance(actor, str) or not 1 <= len(actor) <= MAX_ID or not actor.isprintable():
        raise _invalid(at, "actor", f"must be 1 to {MAX_ID} printable characters")
    return actor


def _id(fields: Json, name: str, at: str, valid: Callable[[str], bool]) -> str | None:
    text = fields.get(name)
    if text is None or (isinstance(text, str) and valid(text)):
        return text
    raise _invalid(at, name, "is not a possible id")


def _is_foreign_id(text: str) -> bool:
    """Ids that others mint: visible ASCII."""
    return _FOREIGN_ID.fullmatch(text) is not None


def _invalid(at: str, name: str, problem: str) -> InvalidFeedback:
    return InvalidFeedback(f"{at}{name} {problem}", param=f"{at}{name}")
