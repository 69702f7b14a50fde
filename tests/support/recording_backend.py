"""An optimiser that remembers what it was told, and can be told to misbehave.

It keeps the promise of `Backend.report` (each revision of a rollout counts once) on its own ledger,
so a test can compare what was counted with what was said. Selection is not its business.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sidecar.backend.base import Receipt, Selection
from sidecar.core.feedback import Reward
from sidecar.core.prompt import Pattern
from sidecar.errors import Conflict, InvalidRequest, NotFound, Unavailable

Fault = Callable[[Sequence[Reward]], Exception | None]


def never(_rewards: Sequence[Reward]) -> Exception | None:
    return None


class RecordingBackend:
    def __init__(self, *session_ids: str, algorithm: str = "gepa") -> None:
        self.status_of = dict.fromkeys(session_ids, "started")
        self.algorithm_of = dict.fromkeys(session_ids, algorithm)
        self.candidates = ["baseline", "cand_a", "cand_b"]
        self.ledger: dict[tuple[str, str], Reward] = {}
        self.counted = 0
        """How many (rollout, revision) pairs were counted."""
        self.deliveries: list[tuple[str, tuple[str, ...]]] = []
        self.poison: set[str] = set()
        """Rollouts whose reward no delivery may hold."""
        self.before: Fault = never
        """An error to raise before anything is counted."""
        self.after: Fault = never
        """An error to raise after all is counted: the acknowledgement that is lost."""
        self.commands: list[tuple[str, str, dict[str, Any]]] = []
        self.created: list[dict[str, Any]] = []

    async def report(self, session_id: str, rewards: Sequence[Reward]) -> list[Receipt]:
        self.deliveries.append((session_id, tuple(r.rollout_id for r in rewards)))
        self._know(session_id)
        if self.status_of[session_id] in {"cancelled", "completed"}:
            raise Conflict("the session is over")
        if error := self.before(rewards):
            raise error
        if any(reward.rollout_id in self.poison for reward in rewards):
            raise InvalidRequest("one of the rewards makes no sense")
        receipts = [self._count(session_id, reward) for reward in rewards]
        if error := self.after(rewards):
            raise error
        return receipts

    def _count(self, session_id: str, reward: Reward) -> Receipt:
        key = (session_id, reward.rollout_id)
        known = self.ledger.get(key)
        counted = known is None or known.revision < reward.revision
        if counted:
            self.ledger[key] = reward
            self.counted += 1
        return Receipt(reward.rollout_id, "cand_a", counted)

    def _know(self, session_id: str) -> None:
        if session_id not in self.status_of:
            raise NotFound(f"there is no session {session_id}")

    def values(self) -> dict[str, float | None]:
        """What each rollout counts for."""
        return {rollout: reward.value for (_, rollout), reward in self.ledger.items()}

    async def create(
        self, request: Mapping[str, Any], algorithm: str | None = None
    ) -> dict[str, Any]:
        if "config_body" not in request:
            raise InvalidRequest("give config_body", param="config_body")
        self.created.append(dict(request))
        session_id = request.get("session_id") or f"session-{len(self.created)}"
        self.status_of.setdefault(session_id, "started")
        self.algorithm_of.setdefault(session_id, algorithm or "gepa")
        return {
            "session_id": session_id,
            "algorithm": self.algorithm_of[session_id],
            "job_id": "pl_0123456789abcdef",
            "status": "started",
            "mode": "online",
            "correlation_id": request.get("correlation_id"),
        }

    async def status(self, session_id: str) -> dict[str, Any]:
        self._know(session_id)
        rewards = [r for (of, _), r in self.ledger.items() if of == session_id]
        return {
            **self._short(session_id),
            "rollout_count": len(rewards),
            "reward_count": len([r for r in rewards if r.value is not None]),
            "candidates": [{"candidate_id": candidate} for candidate in self.candidates],
        }

    async def sessions(self) -> list[dict[str, Any]]:
        return [self._short(session_id) for session_id in self.status_of]

    def _short(self, session_id: str) -> dict[str, Any]:
        return {
            "session_id": session_id,
            "algorithm": self.algorithm_of[session_id],
            "status": self.status_of[session_id],
        }

    async def command(
        self, session_id: str, action: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        self._know(session_id)
        if self.status_of[session_id] in {"cancelled", "completed"}:
            raise Conflict(f"the session is {self.status_of[session_id]}")
        self.commands.append((session_id, action, dict(arguments)))
        after = {
            "pause": "paused",
            "resume": "started",
            "cancel": "cancelled",
            "complete": "completed",
        }
        self.status_of[session_id] = after.get(action, self.status_of[session_id])
        return await self.status(session_id)

    async def export(self, session_id: str, candidate_id: str | None = None) -> dict[str, Any]:
        self._know(session_id)
        return {"candidate_id": candidate_id or "cand_a", "text": "Be kind."}

    def select(self, session_id: str, correlation_id: str, now: float) -> Selection:
        raise Unavailable("this backend selects nothing")

    def pattern(self, session_id: str) -> Pattern:
        raise NotFound("this backend has no patterns")

    async def start(self) -> None:
        """Nothing to load."""

    async def stop(self) -> None:
        """Nothing in flight."""
