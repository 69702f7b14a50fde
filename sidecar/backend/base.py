"""What the sidecar asks of an optimiser, wherever it runs.

`select` is on the request path: memory only, no await, microseconds. `report` and the rest belong
to the slow loop. The embedded engine and a Synth-compatible server over HTTP are interchangeable
behind this protocol and pass one contract suite.

What holds for both: a conversation keeps its candidate, the assignment is recorded before the
client has its answer, a reward counts once. What differs is when the candidate is known. The
embedded engine draws it before the call and gives a `Selection`; a remote one draws it when the
call arrives there and gives a `Referral`, which becomes a `Selection` once the head of the answer
has named the candidate. How probable a draw was, and whether it is evidence, is known to whoever
drew: the assignment of a referred call says nothing about it (propensity 1, weight 0).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from sidecar.core.feedback import Reward
from sidecar.core.prompt import Demo, Pattern
from sidecar.core.rollout import Assignment
from sidecar.errors import Unavailable

ACTIONS = (
    *("pause", "resume", "cancel", "complete", "pin", "unpin", "rollback", "approve", "retire"),
    "release",
)
NAMING = frozenset({"pin", "approve", "retire"})
"""Those of them that are about one candidate, which `candidate_id` names."""


class NotLoaded(Unavailable):
    """The sessions are not known yet: the backend has not started."""

    def __init__(self) -> None:
        super().__init__("the sessions are not loaded yet; try again later")


class Mode(StrEnum):
    """How a call was served; shown in the response header `x-sidecar-mode`."""

    OPTIMIZED = "optimized"
    """By a candidate that the allocation drew."""
    BASELINE = "baseline"
    """By the baseline, because the allocation drew it or the session is over."""
    FAILOPEN = "failopen"
    """By the last good prompt, because something of ours failed."""
    PASSTHROUGH = "passthrough"
    """Untouched: no session, or a request that the session's baseline does not match."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What serves one conversation."""

    assignment: Assignment
    pattern: Pattern
    """The baseline's system prompt, to be recognised in the application's request."""
    text: str
    """The candidate's system prompt, with the baseline's placeholders. Empty when it was put in
    place elsewhere, by an optimiser that does not show it."""
    mode: Mode
    stored: asyncio.Future[Assignment | None] | None
    """Resolves when the assignment is durable, to None when it is not known to be; None when there
    is nothing to wait for."""
    demos: tuple[Demo, ...] = ()
    """The candidate's demonstrations, shown after its system prompt."""
    algorithm: str = "gepa"
    """Of the session: `gepa` or `mipro`."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A system prompt that can be put in the baseline's place without asking anybody."""

    pattern: Pattern
    """The baseline's."""
    text: str
    demos: tuple[Demo, ...] = ()


@dataclass(frozen=True, slots=True)
class Referral:
    """A call whose candidate is chosen where it is sent."""

    session_id: str
    correlation_id: str
    algorithm: str
    url: str | None
    """Where this conversation's chat completions go, as they are; None: nowhere at present."""
    fallback: Prompt | None
    """The last prompt that was known to be good, for a call that cannot be served there; None: the
    application's own."""
    is_over: bool
    """Whether the session was completed or cancelled, when last heard of."""
    taken: Callable[[str, float], Selection]
    """To be told which candidate the answer's head names, and when: the assignment is recorded."""
    stale: Callable[[], None]
    """To be told that an answer contradicts what is known of the session."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one reported reward."""

    rollout_id: str
    candidate_id: str
    counted: bool
    """False when this revision, or a later one, had been counted before."""


class Selector(Protocol):
    """What the request path asks: memory only, no await, microseconds."""

    def select(self, session_id: str, correlation_id: str, now: float) -> Selection | Referral:
        """The candidate for a conversation, or who will choose it: the one it already has, else a
        new draw.

        A session that is over still answers: a cancelled one with its baseline, a completed one
        with its winner, because the application's calls go on. Raises `NotFound` for an unknown
        session, `NotLoaded` while it is not known which there are; the caller decides whether that
        is an answer or a reason to fail open.
        """

    def pattern(self, session_id: str) -> Pattern:
        """The session's baseline prompt, to see whether a call is its before anything is drawn.
        Memory only. Raises `NotFound`, `NotLoaded`."""


class Claims(Protocol):
    """What is not in memory and may be in the store, because another sidecar put it there or
    because it was pushed out."""

    def unsure(self, session_id: str, correlation_id: str) -> bool:
        """Whether the store may know better than `select` which candidate a conversation has.
        Memory only."""

    async def claim(self, session_id: str, correlation_id: str, now: float) -> bool:
        """Have the store decide it: from then on `select` says what everybody says. False when the
        store did not answer."""

    async def find(self, session_id: str) -> bool:
        """Look for a session that is unknown here. Whether it is known now. Raises `StoreError`."""


class Backend(Selector, Claims, Protocol):
    """An optimiser: sessions that select, learn and can be steered."""

    async def report(self, session_id: str, rewards: Sequence[Reward]) -> list[Receipt]:
        """Count rewards, each (rollout, revision) once however often it is reported; durable when
        it returns. Raises `NotFound` for a session or rollout that is unknown here, before any of
        them counts; `Conflict` when the session is over; `Unavailable` to be asked again later,
        and then some of them may have been counted."""

    async def create(
        self, request: Mapping[str, Any], algorithm: str | None = None
    ) -> dict[str, Any]:
        """A new session from a create request of the published API (or the existing one of the
        same client-chosen id). Raises `InvalidRequest`, also when its algorithm is not the
        `algorithm` that the route stands for (None: any)."""

    async def ensure(self, request: Mapping[str, Any], algorithm: str) -> None:
        """Have a session of the settings: make it, or find the one of that id. One that cannot be
        had now is tried again until it can, and its calls are served as far as they can be."""

    async def status(self, session_id: str) -> dict[str, Any]:
        """The session as the published status answer shows it, with ours under `safety`."""

    async def sessions(self) -> list[dict[str, Any]]:
        """All sessions, in short."""

    async def command(
        self, session_id: str, action: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Carry out one of `ACTIONS`, and return the status after it. Raises `Conflict` when the
        session's state forbids it."""

    async def export(self, session_id: str, candidate_id: str | None = None) -> dict[str, Any]:
        """A prompt to keep without us: text, OpenAI messages and lineage. The best proven one
        when no candidate is named."""

    def describe(self) -> dict[str, Any]:
        """What an operator wants to know of it, without a word about anybody's content."""

    async def start(self) -> None:
        """Load sessions and begin to learn. May be called again after it raised `StoreError`, or
        after `stop`."""

    async def stop(self) -> None:
        """Finish what is in flight and stop learning; selections keep working. Raises `StoreError`,
        once it has stopped, when the store did not take what was known last: nothing is lost by
        that, for the journal has it."""
