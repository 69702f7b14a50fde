"""A backend with fixed candidates, in memory, for tests of the request path."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sidecar.backend.base import Mode, Receipt, Selection
from sidecar.core.feedback import Reward
from sidecar.core.ids import BASELINE
from sidecar.core.prompt import Pattern, Wildcard
from sidecar.core.rollout import Assignment
from sidecar.errors import Conflict, NotFound


class StaticBackend:
    """Sessions that never learn. `candidates` maps candidate ids to texts; each new conversation
    draws one of them at random (seeded), and keeps it."""

    def __init__(
        self,
        baseline: str = "You are helpful.",
        candidates: Mapping[str, str] | None = None,
        *,
        session: str = "s1",
        wildcards: Sequence[Wildcard] = (),
        algorithm: str = "gepa",
    ) -> None:
        self.baseline = Pattern.parse(baseline, wildcards)
        self.candidates = dict(candidates or {BASELINE: baseline})
        self.sessions = {session}
        self.algorithm = algorithm
        self.closed: set[str] = set()
        self.selected: list[tuple[str, str]] = []
        self.fail: Exception | None = None
        """Raised by `select` and `pattern` when set."""
        self.stored: Callable[[], asyncio.Future[Assignment | None]] | None = None
        """Makes the future of a new assignment; None: it is durable at once."""
        self._assigned: dict[tuple[str, str], Assignment] = {}
        self._random = random.Random(7)

    def pattern(self, session_id: str) -> Pattern:
        if self.fail is not None:
            raise self.fail
        if session_id not in self.sessions:
            raise NotFound(f"There is no session '{session_id}'.")
        return self.baseline

    def select(self, session_id: str, correlation_id: str, now: float) -> Selection:
        pattern = self.pattern(session_id)
        if session_id in self.closed:
            raise Conflict("The session is over.")
        self.selected.append((session_id, correlation_id))
        key = (session_id, correlation_id)
        is_new = key not in self._assigned
        if is_new:
            chosen = self._random.choice(sorted(self.candidates))
            self._assigned[key] = Assignment(
                session_id,
                correlation_id,
                chosen,
                1 / len(self.candidates),
                1,
                len(self._assigned),
                now,
            )
        assignment = self._assigned[key]
        is_baseline = assignment.candidate_id == BASELINE
        return Selection(
            assignment=assignment,
            pattern=pattern,
            text=self.candidates[assignment.candidate_id],
            mode=Mode.BASELINE if is_baseline else Mode.OPTIMIZED,
            stored=self.stored() if is_new and self.stored else None,
            algorithm=self.algorithm,
        )

    async def report(self, session_id: str, rewards: Sequence[Reward]) -> list[Receipt]:
        raise AssertionError("the request path does not report")

    async def create(
        self, request: Mapping[str, Any], algorithm: str | None = None
    ) -> dict[str, Any]:
        raise AssertionError("the request path does not create")

    async def status(self, session_id: str) -> dict[str, Any]:
        return {"session_id": session_id}

    async def command(
        self, session_id: str, action: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        raise AssertionError("the request path does not command")

    async def export(self, session_id: str, candidate_id: str | None = None) -> dict[str, Any]:
        raise AssertionError("the request path does not export")

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass
