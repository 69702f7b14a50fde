"""The normalised feedback event, and the rule that makes many events one reward.

Scales are declared, never guessed: every score is in [0, 1] by the time an event exists. A
retraction is an event of its own; nothing is ever deleted to undo a vote.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


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
    score: float | None = None
    """In [0, 1]; None for comments, corrections and retractions that carry no number."""
    comment: str | None = None
    correction: str | None = None
    actor: str | None = None
    """Who said it; a later event of the same actor replaces an earlier one."""
    retracts: str | None = None
    """For a retraction: the event id it takes back; None takes back all of the actor's events."""


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


def merge(session_id: str, rollout_id: str, events: Iterable[FeedbackEvent]) -> Reward:
    """One reward from the set of a rollout's events, whatever order they came in and however often.

    Each actor counts once, with the last score of theirs that was not taken back (last by arrival,
    ties by event id); the reward is the mean over actors. Events without an actor share one.
    """
    unique = {event.event_id: event for event in events}
    ordered = sorted(unique.values(), key=lambda e: (e.received_at, e.event_id))
    retracted = {e.retracts for e in ordered if e.kind is Kind.RETRACTION and e.retracts}
    latest: dict[str | None, float] = {}
    comments: dict[str, str] = {}
    for event in ordered:
        if event.kind is Kind.RETRACTION and event.retracts is None:
            latest.pop(event.actor, None)
            continue
        if event.event_id in retracted:
            continue
        if event.score is not None:
            latest[event.actor] = event.score
        said = [text for text in (event.comment, event.correction) if text]
        if said:
            comments[event.event_id] = " ".join(said)
    value = sum(latest.values()) / len(latest) if latest else None
    return Reward(session_id, rollout_id, len(unique), value, tuple(comments.values()))
