"""A store that can be taken down, as a whole or one method at a time."""

from sidecar.core.feedback import FeedbackEvent
from sidecar.store.base import DueReward, StoreError
from sidecar.store.memory import MemoryStore


class FailingStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.down: set[str] = set()
        """Names of methods that fail; `*` for all."""

    def _check(self, method: str) -> None:
        if self.down & {method, "*"}:
            raise StoreError("the store is down")

    async def add_feedback(self, events, park_until) -> list[FeedbackEvent | None]:
        self._check("add_feedback")
        return await super().add_feedback(events, park_until)

    async def locate(self, **named):
        self._check("locate")
        return await super().locate(**named)

    async def attribute(self, event_id, session_id, rollout_id) -> bool:
        self._check("attribute")
        return await super().attribute(event_id, session_id, rollout_id)

    async def waiting_feedback(self, limit, after="") -> list[FeedbackEvent]:
        self._check("waiting_feedback")
        return await super().waiting_feedback(limit, after)

    async def events_of(self, session_id, rollout_id) -> list[FeedbackEvent]:
        self._check("events_of")
        return await super().events_of(session_id, rollout_id)

    async def due_rewards(self, now, limit) -> list[DueReward]:
        self._check("due_rewards")
        return await super().due_rewards(now, limit)

    async def mark_reported(self, session_id, rollout_id, revision) -> None:
        self._check("mark_reported")
        await super().mark_reported(session_id, rollout_id, revision)
