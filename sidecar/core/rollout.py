"""Rollouts and their turns.

A rollout is one conversation served by one candidate: the unit of assignment and of reward. A turn
is one LLM call of it. A turn settles exactly once; a rollout is open until it is scored or expires.
"""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a turn ended."""

    DONE = "done"
    """The provider answered with success and the client received all of it."""
    FAILED = "failed"
    """The provider answered with an error, died mid-stream or could not be reached."""
    ABORTED = "aborted"
    """The client left first."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which candidate serves a conversation, and how that was decided. Never changes."""

    session_id: str
    rollout_id: str
    """Equal to the conversation's correlation id."""
    candidate_id: str
    propensity: float
    """Probability with which the draw chose this candidate, in (0, 1]."""
    table_version: int
    """Version of the allocation table the draw used."""
    tick: int
    """The session's count of assignments before this one: its logical clock."""
    assigned_at: float
    """Unix seconds."""
    weight: float = 1.0
    """1 for an assignment drawn from the table; 0 for one that is no evidence (served while
    pinned, paused into a frozen table, or by fail-open)."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One LLM call of a rollout, as it settled."""

    turn_id: str
    session_id: str
    rollout_id: str
    started_at: float
    """Unix seconds."""
    duration: float
    """Seconds from the request's arrival to the last byte."""
    outcome: Outcome
    status: int | None
    """The provider's HTTP status; None when there was none."""
    completion_id: str | None
    """The provider's id of the answer (`chatcmpl-…`): what an application has at hand when a
    thumb arrives."""
    chain_key: str | None
    """Hash of the conversation up to and including the answer (`core.conversation`)."""
    request: tuple[tuple[str, str], ...] = ()
    """Captured (role, text) of the application's messages, possibly trimmed; empty when content
    capture is off."""
    reply: str = ""
    """Captured text of the answer, possibly trimmed."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    fingerprint: str | None = None
    """Of the answer's text (`core.fingerprint`); None when there was none, or not all of it."""
