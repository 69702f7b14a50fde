"""The normalised feedback event, and the rule that makes many events one reward.

Scales are declared, never guessed: every score is in [0, 1] by the time an event exists. A
retraction is an event of its own; nothing is ever deleted to undo a vote.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

APPLICATION = "session-api"
"""The actor of rewards that came over the session API: the application, not one of its users."""


NAMED = ("resolved", "retry")
"""Metrics that are signals by their own name: was the matter settled, had the user to try again."""


class Kind(StrEnum):
    """What the user expressed."""

    THUMBS = "thumbs"
    RATING = "rating"
    SCORE = "score"
    CORRECTION = "correction"
    COMMENT = "comment"
    RETRACTION = "retraction"


@dataclass(frozen=True, slots=True)
class FeedbackEvent:
    """One statement about one rollout (or, by completion id, about one turn of it)."""

    event_id: str
    """Dedupe key: the same id is the same event, however often it arrives."""
    source: str
    kind: Kind
    received_at: float
    """Unix seconds on our clock."""
    session_id: str | None = None
    rollout_id: str | None = None
    completion_id: str | None = None
    correlation_id: str | None = None
    fingerprint: str | None = None
    """Of the text of the reply it is about (`core.fingerprint`)."""
    score: float | None = None
    """In [0, 1]; None for comments, corrections and retractions that carry no number."""
    comment: str | None = None
    correction: str | None = None
    actor: str | None = None
    """Who said it; a later event of the same actor replaces an earlier one."""
    retracts: str | None = None
    """For a retraction: the event id it takes back; None takes back all of the actor's events."""
    metric: str | None = None
    """What was measured, where a score has a name of its own (`helpfulness`, `resolved`)."""

    @property
    def signal(self) -> str:
        """What a session's objectives call it: the metric's name, else the kind."""
        if self.metric in NAMED:
            return str(self.metric)
        return f"score:{self.metric}" if self.metric else str(self.kind)


def erased(event: FeedbackEvent, alias: str) -> FeedbackEvent:
    """An event without its words and its actor's name."""
    return replace(event, comment=None, correction=None, actor=alias)


@dataclass(frozen=True, slots=True)
class Vote:
    """The last word of one actor in one signal about one turn (or about the conversation)."""

    signal: str
    score: float
    """In [0, 1]."""
    actor: str | None = None
    completion_id: str | None = None
    """The turn it is about; None for the conversation as a whole."""


@dataclass(frozen=True, slots=True)
class Reward:
    """What all events of one rollout amount to."""

    session_id: str
    rollout_id: str
    revision: int
    """How many events it was made from: a higher revision replaces a lower one."""
    value: float | None
    """In [0, 1]; None when nothing scored is left (all retracted, or comments only)."""
    comments: tuple[str, ...] = ()
    """What users wrote, oldest first: data for the proposer, never instructions."""
    votes: tuple[Vote, ...] = ()
    """What `value` was made of, oldest first: a session with rules of its own weighs them anew."""


def merge(session_id: str, rollout_id: str, events: Iterable[FeedbackEvent]) -> Reward:
    """One reward from the set of a rollout's events, whatever order they came in and however often.

    Each actor counts once, with the last score of theirs that was not taken back (last by arrival,
    ties by event id); the reward is the mean over actors. Events without an actor share one. The
    votes are finer, for sessions whose rules are: the last one by actor, signal and turn.
    """
    ordered = sorted({e.event_id: e for e in events}.values(), key=_arrival)
    said = [e for e in ordered if e.kind is not Kind.RETRACTION]
    retractions = [e for e in ordered if e.kind is Kind.RETRACTION]
    kept = [e for e in said if not any(_takes_back(r, e) for r in retractions)]
    latest = {e.actor: e.score for e in kept if e.score is not None}
    value = math.fsum(latest.values()) / len(latest) if latest else None
    texts = (" ".join(text for text in (e.comment, e.correction) if text) for e in kept)
    comments = tuple(filter(None, texts))
    return Reward(session_id, rollout_id, len(ordered), value, comments, _votes(kept))


def _votes(kept: Sequence[FeedbackEvent]) -> tuple[Vote, ...]:
    last: dict[tuple[str | None, str, str | None], Vote] = {}
    for e in kept:
        if e.score is not None:
            about = e.actor, e.signal, e.completion_id
            last.pop(about, None)
            last[about] = Vote(e.signal, e.score, e.actor, e.completion_id)
    return tuple(last.values())


def _arrival(event: FeedbackEvent) -> tuple[float, str]:
    return event.received_at, event.event_id


def _takes_back(retraction: FeedbackEvent, event: FeedbackEvent) -> bool:
    """An actor takes back only what they said themselves. A retraction of one event without an
    actor is the application speaking, which may take back anybody's; without an event id, it
    covers what arrived before it."""
    if retraction.retracts is not None:
        return retraction.retracts == event.event_id and retraction.actor in {None, event.actor}
    return retraction.actor == event.actor and _arrival(event) < _arrival(retraction)
