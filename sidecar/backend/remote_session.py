"""One session of a remote backend, as far as it is known here.

Where its calls go, what its baseline looks like, which prompt serves if the backend cannot, and who
was served what. The truth is elsewhere; this is what the request path can have without waiting.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from sidecar.backend import remote_reading as reading
from sidecar.backend.base import Mode, Prompt, Referral, Selection
from sidecar.core.ids import BASELINE
from sidecar.core.prompt import Demo, Pattern, Wildcard
from sidecar.core.rollout import Assignment
from sidecar.core.session import Status

Record = Callable[[Assignment], "asyncio.Future[Assignment | None]"]

_FINAL = frozenset(status.value for status in Status if status.final)


class RemoteSession:
    """What is known of it."""

    def __init__(self, session_id: str, algorithm: str | None, remember: int) -> None:
        """`algorithm` may be unknown until it is found; `remember` bounds the conversations."""
        self.session_id = session_id
        self.algorithm = algorithm
        self.request: Mapping[str, Any] | None = None
        """What makes it, where the settings say that; None: it can only be found."""
        self.base: str | None = None
        """Where its calls go; None: not found at the backend, or not at an address we use."""
        self.pattern: Pattern = reading.ANY
        self.good: Prompt | None = None
        self.status: dict[str, Any] = {}
        self.as_of = 0.0
        """When the backend last said how it is; 0: not since we started."""
        self.trouble = ""
        """Why it is not followed at present, in words that were logged."""
        self._texts: dict[str, str] = {}
        self._remember = remember
        self._known: OrderedDict[str, tuple[Assignment, asyncio.Future[Assignment | None]]] = (
            OrderedDict()
        )

    @property
    def shown(self) -> dict[str, Any]:
        """Its status, complete."""
        return reading.completed(self.status, self.session_id, self.algorithm or "gepa")

    @property
    def is_over(self) -> bool:
        """Whether it was completed or cancelled, when last heard of."""
        return self.status.get("status") in _FINAL

    def expect(self, request: Mapping[str, Any]) -> None:
        """What it was, or is to be, made with."""
        self.pattern = reading.pattern_in(request) or self.pattern

    def learn(self, status: Mapping[str, Any], now: float) -> None:
        """How it is."""
        self.status = dict(status)
        self.as_of = now
        self.pattern = reading.pattern_shown(status) or self.pattern
        self._texts = reading.texts_of(status)
        self.good = reading.good_prompt(status, self.pattern)

    # -- the request path -----------------------------------------------------------------------

    def refer(self, correlation_id: str, record: Record, stale: Callable[[], None]) -> Referral:
        """Where a call of this conversation goes."""
        assert self.algorithm is not None or self.base is None
        return Referral(
            session_id=self.session_id,
            correlation_id=correlation_id,
            algorithm=self.algorithm or "",
            url=self.base and f"{self.base}/{correlation_id}/chat/completions",
            fallback=self.good,
            is_over=self.is_over,
            taken=lambda candidate, now: self._taken(correlation_id, candidate, now, record),
            stale=stale,
        )

    def _taken(
        self, correlation_id: str, candidate_id: str, now: float, record: Record
    ) -> Selection:
        """What serves it. The first candidate of a conversation is recorded, once; when the
        session is over, nothing is."""
        assignment, stored = self._known.get(correlation_id, (None, None))
        if assignment is None or assignment.candidate_id != candidate_id:
            first = assignment is None and not self.is_over
            assignment = Assignment(
                self.session_id, correlation_id, candidate_id, 1.0, 0, 0, now, weight=0.0
            )
            stored = record(assignment) if first else None
            if stored is not None:
                self._known[correlation_id] = (assignment, stored)
                if len(self._known) > self._remember:
                    self._known.popitem(last=False)
        else:
            self._known.move_to_end(correlation_id)
        return Selection(
            assignment,
            self.pattern,
            self._texts.get(candidate_id, ""),
            Mode.BASELINE if candidate_id == BASELINE else Mode.OPTIMIZED,
            None if stored is None or stored.done() else stored,
            reading.demos_of(self.status, candidate_id),
            self.algorithm or "gepa",
        )

    # -- over a restart -------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """What lets its calls be served after a restart, also when the backend is away then."""
        pattern, good = self.pattern, self.good
        return {
            "session_id": self.session_id,
            "algorithm": self.algorithm,
            "base": self.base,
            "status": self.status.get("status", Status.STARTED.value),
            "pattern": None if pattern is reading.ANY else _pattern(pattern),
            "good": good
            and {"text": good.text, "demos": [[d.user, d.assistant] for d in good.demos]},
        }

    @staticmethod
    def load(kept: Mapping[str, Any], remember: int) -> "RemoteSession":
        """From what `dump` made."""
        session = RemoteSession(kept["session_id"], kept["algorithm"], remember)
        session.base = kept["base"]
        session.status = {"status": kept["status"]}
        if kept["pattern"] is not None:
            holes = [Wildcard(name, required) for name, required in kept["pattern"]["holes"]]
            session.pattern = Pattern.parse(kept["pattern"]["text"], holes)
        if kept["good"] is not None:
            demos = tuple(Demo("", user, said) for user, said in kept["good"]["demos"])
            session.good = Prompt(session.pattern, kept["good"]["text"], demos)
        return session


def _pattern(pattern: Pattern) -> dict[str, Any]:
    holes = {hole.name: hole.required for hole in pattern.holes}
    return {"text": pattern.text, "holes": list(holes.items())}
